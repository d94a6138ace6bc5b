"""The notebooks as files, for the tests in tests/notebooks/."""

import ast
import json
import linecache
import pathlib
import re
import warnings

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / 'notebooks'
CORE = ['01_first_densenet', '02_dense_block', '03_whole_network', '04_training', '05_resnet_vs_densenet']
EXPECTED = [*CORE, '06_bottleneck_and_compression', '07_memory', '08_feature_reuse',
            '09_regularization_and_statistics', '10_named_networks', '11_calibration', '12_after_densenet',
            '13_bug_hunt', '14_claims']
NOTEBOOKS = sorted({*EXPECTED, *(path.stem for path in DIRECTORY.glob('*.ipynb'))})
GUARDS = ROOT / 'tests' / 'notebooks' / 'guards'


def read(name):
    """A notebook, such as '02_dense_block' or 'solutions/02_dense_block'."""
    path = DIRECTORY / f'{name}.ipynb'
    assert path.is_file(), f'notebooks/{name}.ipynb is missing'
    return json.loads(path.read_text(encoding='utf-8'))


def code_cells(notebook):
    return [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']


def markdown(notebook):
    """The texts of a notebook's Markdown cells."""
    return [source(cell) for cell in notebook['cells'] if cell['cell_type'] == 'markdown']


def guards(name):
    """What is asserted after the cells of a notebook: {id of a cell: code}, from tests/notebooks/guards/NAME.py.

    Such a file is one program in the notebook's own names; each part follows a line ``# %% ID``.
    """
    path = GUARDS / f'{name}.py'
    if not path.is_file():
        return {}
    _, *parts = re.split(r'^# %% (\S+)\n', path.read_text(encoding='utf-8'), flags=re.M)
    return dict(zip(parts[::2], map(str.strip, parts[1::2])))


def source(cell):
    return ''.join(cell['source'])


def tags(cell):
    return cell['metadata'].get('tags', [])


def tree(cell):
    """The cell's syntax tree; IPython's own lines (%, !) are left out."""
    return ast.parse('\n'.join('' if re.match(r'\s*[%!]', line) else line for line in source(cell).splitlines()))


def calls(cell, name):
    """Whether a cell calls a function of this name."""
    return any(isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
               for node in ast.walk(tree(cell)))


def run(notebook):
    """Run the code cells in this process, which has MXNet already: pairs of a cell and its exception, or None."""
    names = {'__name__': '__main__'}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for number, cell in enumerate(code_cells(notebook)):
            place, text, error = f'cell {number} of {id(notebook)}', source(cell), None
            linecache.cache[place] = len(text), None, text.splitlines(keepends=True), place
            try:
                exec(compile(text, place, 'exec'), names)
            except Exception as raised:
                error = raised
            yield cell, error
