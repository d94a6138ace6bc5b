"""What a run's config.json may claim."""

import json

import pytest

from d2l_densenet.runs.directories import RunError, read_config


@pytest.mark.parametrize('name, least, most', [
    ('seed', 0, 4294967295), ('epochs', 1, 2147483647), ('limit', 1, 2147483647), ('validation', 0, 2147483647),
    ('size', 1, 1024), ('batch_size', 1, 268435456)])
def test_numbers_out_of_range_are_named(tmp_path, name, least, most):
    for value in (least, most, least - 1, most + 1):
        (tmp_path / 'config.json').write_text(json.dumps({'epochs': 1, name: value}))
        if least <= value <= most:
            assert read_config(tmp_path)[name] == value
        else:
            with pytest.raises(RunError, match=f'{name} must be .*got {value}'):
                read_config(tmp_path)
