"""What a run's config.json may claim."""

import json

import pytest

from d2l_densenet.runs.directories import RunError, load_run, read_config


@pytest.mark.parametrize('name, least, most', [
    ('seed', 0, 4294967295), ('epochs', 1, 2147483647), ('limit', 1, 2147483647), ('validation', 0, 2147483647),
    ('size', 1, 4096), ('batch_size', 1, 268435456)])
def test_numbers_out_of_range_are_named(tmp_path, name, least, most):
    for value in (least, most, least - 1, most + 1):
        (tmp_path / 'config.json').write_text(json.dumps({'epochs': 1, name: value}))
        if least <= value <= most:
            assert read_config(tmp_path)[name] == value
        else:
            with pytest.raises(RunError, match=f'{name} must be .*got {value}'):
                read_config(tmp_path)


@pytest.mark.parametrize('blocks, size, refused', [([60, 40], 19999, True), ([60, 40], 20000, False)])
def test_a_file_of_a_few_bytes_holds_no_hundred_blocks(blocks, size, refused, tmp_path):
    """Of each at least five arrays and their names: 200 bytes."""
    (tmp_path / 'config.json').write_text(json.dumps({'network': {'block_config': blocks}}))
    (tmp_path / 'history.json').write_text('{"rows": [], "data": "none", "stopped": null}')
    (tmp_path / 'model.params').write_bytes(bytes(size))
    with pytest.raises(RunError, match='does not fit') as caught:
        load_run(tmp_path)
    assert (f'{size:,} bytes hold no 100 convolution blocks' in str(caught.value)) is refused
