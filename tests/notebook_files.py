"""The notebooks as files, for the tests in tests/notebooks/."""

import ast
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / 'notebooks'
EXPECTED = ['00_start_here', '01_dense_block', '02_transition_layer', '03_densenet', '04_training',
            '05_resnet_vs_densenet', '06_bottleneck_and_compression', '07_memory', '08_feature_reuse',
            '09_named_networks', '10_bug_hunt', '11_claims']
NOTEBOOKS = sorted({*EXPECTED, *(path.stem for path in DIRECTORY.glob('*.ipynb'))})


def read(name):
    """A notebook, such as '01_dense_block' or 'solutions/01_dense_block'."""
    path = DIRECTORY / f'{name}.ipynb'
    assert path.is_file(), f'notebooks/{name}.ipynb is missing'
    return json.loads(path.read_text(encoding='utf-8'))


def code_cells(notebook):
    return [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']


def guards(name):
    """What is asserted after the cells of a notebook: {id of a cell: code}, from tests/notebooks/guards/NAME.py.

    Such a file is one program in the notebook's own names; each part follows a line ``# %% ID``.
    """
    path = ROOT / 'tests' / 'notebooks' / 'guards' / f'{name}.py'
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
