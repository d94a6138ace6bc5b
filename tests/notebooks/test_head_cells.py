"""The first code cell of the notebooks, and what it runs on Colab and Kaggle (tests/colab: in places like them)."""

import json
import os
import subprocess
import sys

import pytest
from helpers import ROOT

from d2l_densenet import gpu
from tools import colab, head_cells

NOTEBOOKS = sorted((ROOT / 'notebooks').rglob('[0-9]*.ipynb'))
MARKS = ('COLAB_RELEASE_TAG', 'KAGGLE_KERNEL_RUN_TYPE')
T4, H100 = ('Tesla T4', (7, 5)), ('NVIDIA H100', (9, 0))


def read(path):
    return json.loads(path.read_text(encoding='utf-8'))


def run(*options, address='', home, **marks):
    environment = {name: value for name, value in os.environ.items() if name not in MARKS}
    return subprocess.run([sys.executable, *options, '-c', ''.join(head_cells.head_cell(address)['source'])], text=True,
                          capture_output=True, cwd=home, env={**environment, 'HOME': str(home), **marks})


# What else the tool does

def test_folds_what_answers_a_question_and_joins_what_was_printed_in_pieces():
    out = [{'output_type': 'stream', 'name': 'stdout', 'text': text} for text in (['a\n', 'b'], ['c\n'])]
    cell = {'cell_type': 'code', 'id': 'x', 'execution_count': 1, 'metadata': {'tags': ['hide-output']},
            'outputs': [*out, {**out[0], 'name': 'stderr'}], 'source': []}
    title = {'cell_type': 'markdown', 'id': 'y', 'metadata': {}, 'source': ['# T']}
    cell = head_cells.with_head({'cells': [title, cell]}, '')['cells'][2]
    assert cell['metadata']['jupyter'] == {'outputs_hidden': True} and cell['metadata']['collapsed'] is True
    assert [output['text'] for output in cell['outputs']] == [['a\n', 'bc\n'], ['a\n', 'b']]


def test_folds_the_code_of_a_check_that_holds_a_way_to_solve_it():
    title = {'cell_type': 'markdown', 'id': 'y', 'metadata': {}, 'source': ['# T']}
    cells = [{'cell_type': 'code', 'id': name, 'execution_count': None, 'metadata': {'tags': [name]}, 'source': [],
              'outputs': []} for name in ('hide-input', 'other')]
    folded, other = head_cells.with_head({'cells': [title, *cells]}, '')['cells'][2:]
    assert folded['metadata'] == {
        'tags': ['hide-input'], '_kg_hide-input': True, 'jupyter': {'source_hidden': True}}
    assert other['metadata'] == {'tags': ['other']}


def test_writes_the_table_of_the_map_and_nothing_else():
    head = '# Two\n\nA promise.\n\n**Time:** about 40 minutes, 2 computing. **Device:** a GPU helps; CPU.\n\n' \
        '**What to know first:** 02 to 04, and 07 (memory).\n\nThen 08.'
    book = {'cells': [{'cell_type': 'markdown', 'source': head.splitlines(keepends=True)},
                      {**head_cells.head_cell(''), 'outputs': []},
                      {'cell_type': 'code', 'id': 'x', 'source': ['1\n', '2']}]}
    page = 'a\n## The notebooks\n\nb\n\n| n |\n|---|--:|\n| old |\n| old |\n\nc\n\n| d |\n|---|\n| e |\n'
    row = f'| [05](05_two.ipynb) Two | 02, 03, 04, 07 | 40 | a GPU helps | {len(head.split())} | 2 |'
    assert head_cells.with_table(page, {'05_two': book}) == page.replace('| old |\n| old |', row)


def test_saves_the_picture_of_sliders_and_not_the_sliders():
    view = {head_cells.WIDGET: {'model_id': '1'}}
    cells = [{'cell_type': 'code', 'id': name, 'execution_count': 1, 'metadata': {}, 'source': [], 'outputs': [
        {'output_type': 'display_data', 'metadata': {}, 'data': {**view, **data}}]}
        for name, data in (('with', {'image/png': 'abc'}), ('without', {}))]
    title = {'cell_type': 'markdown', 'id': 'y', 'metadata': {}, 'source': ['# T']}
    new = head_cells.with_head({'metadata': {'widgets': {'state': {}}, 'a': 1}, 'cells': [title, *cells]}, '')
    assert [cell['outputs'][0]['data'] for cell in new['cells'][2:]] == [{'image/png': 'abc'}, view]
    assert new['metadata'] == {'a': 1}


# The cell

@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_stands_after_the_title_of_every_notebook_and_is_the_same(path):
    cells = read(path)['cells']
    expected = head_cells.head_cell(head_cells.address())
    if path.parent.name == 'exercises':
        expected['execution_count'] = None
    assert cells[1] == expected, 'make head-cells'
    assert [cell['id'] for cell in cells].count(head_cells.IDENTIFIER) == 1


def test_a_notebook_keeps_everything_but_its_numbers():
    old = read(ROOT / 'notebooks' / '13_bug_hunt.ipynb')
    del old['cells'][1]
    new = head_cells.with_head(old, 'https://example.org/one')
    assert new == head_cells.with_head(head_cells.with_head(old, 'https://example.org/two'), 'https://example.org/one')
    counts = [cell['execution_count'] for cell in new['cells'] if cell['cell_type'] == 'code']
    assert counts == list(range(1, len(counts) + 1))
    assert "'https://example.org/one'" in ''.join(new['cells'].pop(1)['source'])
    for notebook in (old, new):
        for part in [part for cell in notebook['cells'] for part in (cell, *cell.get('outputs', ()))]:
            part.pop('execution_count', None)
    assert new == old


def test_does_nothing_where_the_course_is_and_says_what_to_do_where_it_is_not(tmp_path):
    done = run(home=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    done = run('-I', '-S', home=tmp_path)   # without installed packages
    assert done.returncode == 0 and done.stdout.count('\n') == 1
    assert '"DenseNet course"' in done.stdout and '`make kernel`' in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('mark', MARKS)
@pytest.mark.parametrize('address', ['', 'file:///no/such/repository'])
def test_asks_for_the_address_where_there_is_nothing_at_it(tmp_path, mark, address):
    done = run(address=address, home=tmp_path, **{mark: '1'})
    assert done.returncode and f'REPOSITORY = {address!r} must be the address of the course' in done.stderr


@pytest.mark.parametrize('mark', MARKS)
def test_fetches_the_course_once_and_runs_its_program(tmp_path, mark):
    course, home = tmp_path / 'a course', tmp_path / 'home'
    (course / 'tools').mkdir(parents=True)
    home.mkdir()
    (course / 'tools' / 'colab.py').write_text("if __name__ == '__main__':\n    print('runs')")
    git = ['git', '-C', course, '-c', 'user.name=A', '-c', 'user.email=a@b']
    for command in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'all']):
        subprocess.run([*git, *command], check=True)
    for address in (str(course), ''):   # the second time it is there
        done = run(address=address, home=home, **{mark: '1'})
        assert (done.returncode, done.stdout) == (0, 'runs\n'), done.stderr


# The program

def test_takes_what_is_absent_and_names_a_version_only_for_that():
    project = {'dependencies': ['numpy>=1.26', 'safetensors>=0.8,<1', "mxnet==1.9.1; python_version < '3'"],
               'optional-dependencies': {
                   'course': ['jupyterlab>=4', 'ipykernel>=6', 'ipython>=8', 'pandas>=2.2'],
                   'newer': ["mxnet==1.9.1; python_version >= '3'", 'd2l==1.0.3'], 'interop': ['onnx>=1.16']}}
    present = {'numpy': '1.0', 'pandas': '1.0'}     # too old, and left alone
    alone, others = colab.absent(present, project)
    assert sorted(alone) == ['d2l==1.0.3', 'mxnet==1.9.1']
    assert sorted(others) == ['onnx>=1.16', 'safetensors<1,>=0.8']
    assert colab.absent({**present, 'mxnet': '1', 'd2l': '1', 'onnx': '1', 'safetensors': '1'}, project) == ([], [])


def test_knows_packages_by_any_spelling_of_their_name():
    assert colab.installed()['d2l-densenet'] and colab.installed()['jupyterlab-pygments']


def test_says_what_pip_could_not_do(capsys):
    with pytest.raises(SystemExit, match=r'--no-index no-such-thing; .*internet'):
        colab._pip('--no-index', 'no-such-thing')
    assert 'no-such-thing' in capsys.readouterr().out


def test_says_what_was_installed_and_what_was_changed(capsys, monkeypatch):
    monkeypatch.setenv('KAGGLE_KERNEL_RUN_TYPE', 'Interactive')
    colab._report({'a': '1'}, {'a': '1'}, 0)
    assert capsys.readouterr().out == 'Kaggle: the course is here.\n'
    colab._report({'a': '1', 'b': '1'}, {'a': '1', 'b': '1', 'c': '2'}, 3)
    assert 'installed c 2 in 3 s' in (text := capsys.readouterr().out) and 'is as it was' in text
    colab._report({'a': '1', 'b': '1'}, {'a': '2', 'c': '2'}, 3)
    assert 'Changed: a 1, now 2; b 1, now gone.' in capsys.readouterr().out


@pytest.mark.parametrize('driver, calls, said', [
    (gpu.Driver(error='none'), 0, ''),
    (gpu.Driver((12, 8), (T4,)), 1, 'MXNet uses the GPU: Tesla T4.\n'),
    (gpu.Driver((12, 8), (H100,)), 0, 'No GPU for MXNet: GPU 0 (NVIDIA H100) has compute capability 9.0')])
def test_takes_the_card_if_mxnet_has_code_for_it(monkeypatch, capsys, driver, calls, said):
    called = []
    monkeypatch.setattr(gpu, 'ask_driver', lambda: driver)
    monkeypatch.setattr(gpu, 'install_gpu', lambda: called.append(1))
    colab.gpu()
    assert len(called) == calls and capsys.readouterr().out.startswith(said)


def test_says_why_the_card_is_not_taken(monkeypatch, capsys):
    def fails():
        raise OSError('the disk is full')

    monkeypatch.setattr(gpu, 'ask_driver', lambda: gpu.Driver((12, 8), (T4,)))
    monkeypatch.setattr(gpu, 'install_gpu', fails)
    colab.gpu()
    assert 'the disk is full' in capsys.readouterr().out
    monkeypatch.setattr(gpu, 'install_gpu', lambda: True)    # into a process that has imported MXNet, as this one
    colab.gpu()
    assert 'restart the kernel' in capsys.readouterr().out
