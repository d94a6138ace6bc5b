"""Put the first code cell, one and the same, into every notebook, and fold what is to be folded: `make head-cells`.

On Colab and Kaggle the cell fetches the course and runs tools/colab.py. Elsewhere it does nothing, unless the kernel
cannot import the course: then it says so. The address it fetches from is Repository at [project.urls] in
pyproject.toml. The output of a cell with the tag `hide-output` is folded until it is opened: it answers a question.
So is the code of one with the tag `hide-input`: a check of an exercise that holds a way to solve it.
What a cell prints in several pieces becomes one piece. Sliders, which need a running kernel, are left out of the saved
output, which holds a picture of them too. What else is in a notebook stays as it is, but for the numbers of execution,
which count the new cell. The table in notebooks/README.md is made of the notebooks again.
notebooks/exercises/ comes from notebooks/solutions/: `make exercises` afterwards.
"""

import json
import pathlib
import re
import sys

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
IDENTIFIER = 'head'
TAG = 'hide-input'
#: Colab shows the title alone, Kaggle and JupyterLab a bar to open; Jupyter Book and the site know the tag.
METADATA = {'_kg_hide-input': True, 'cellView': 'form', 'jupyter': {'source_hidden': True}, 'tags': [TAG]}
#: JupyterLab's word, and the one of Jupyter's older pages and of Colab.
FOLDED = {'collapsed': True, 'jupyter': {'outputs_hidden': True}}
WIDGET = 'application/vnd.jupyter.widget-view+json'
SOURCE = '''\
# @title Run this first: it installs the course on Colab and Kaggle, and does nothing elsewhere
import os
from importlib.util import find_spec
from runpy import run_path

REPOSITORY = {address!r}  # @param {{type:"string"}}
if {{'COLAB_RELEASE_TAG', 'KAGGLE_KERNEL_RUN_TYPE'}} & {{*os.environ}}:
    failed = os.system(f'test -e ~/d2l-densenet || git clone -q --depth 1 "{{REPOSITORY}}" ~/d2l-densenet')
    assert not failed, f'REPOSITORY = {{REPOSITORY!r}} must be the address of the course (on Kaggle, with Internet on)'
    run_path(os.path.expanduser('~/d2l-densenet/tools/colab.py'), run_name='__main__')
elif not (find_spec('mxnet') and find_spec('d2l_densenet')):
    print('This kernel lacks the course: choose the kernel "DenseNet course", which `make kernel` adds')'''


def address(root=ROOT):
    """The address of the repository, or '' where pyproject.toml does not say."""
    project = tomllib.loads((root / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    return project.get('urls', {}).get('Repository', '')


def head_cell(repository):
    """The cell, as a notebook's file has it.

    Parameters
    ----------
    repository : str
        The address to fetch the course from.

    Returns
    -------
    dict
    """
    return {'cell_type': 'code', 'execution_count': 1, 'id': IDENTIFIER, 'metadata': METADATA, 'outputs': [],
            'source': SOURCE.format(address=repository).splitlines(keepends=True)}


def merged(outputs):
    """A cell's outputs, with what it wrote to one stream without a pause between as one output."""
    found = []
    for output in outputs:
        if found and output['output_type'] == 'stream' and output.get('name') == found[-1].get('name'):
            found[-1]['text'] = ''.join([*found[-1]['text'], *output['text']]).splitlines(keepends=True)
        else:
            found.append(output)
    return found


def without_widgets(outputs):
    """A cell's outputs without views of widgets, where there is a picture too: saved, a widget has no kernel."""
    for output in outputs:
        if 'image/png' in output.get('data', {}):
            output['data'].pop(WIDGET, None)
    return outputs


def with_head(notebook, repository):
    """The notebook with the cell after its title, in place of one that is there.

    Parameters
    ----------
    notebook : dict
        Not changed.
    repository : str

    Returns
    -------
    dict
    """
    cells = [cell for cell in json.loads(json.dumps(notebook['cells'])) if cell.get('id') != IDENTIFIER]
    cells.insert(1, head_cell(repository))
    count = 0
    for cell in cells:
        if cell['cell_type'] == 'code':
            cell['outputs'] = without_widgets(merged(cell['outputs']))
        tags = cell['metadata'].get('tags', [])
        if 'hide-output' in tags:
            cell['metadata'].update(FOLDED)
        if TAG in tags:
            cell['metadata'].update({name: METADATA[name] for name in ('_kg_hide-input', 'jupyter')})
        if cell['cell_type'] == 'code' and cell['execution_count'] is not None:
            count += 1
            cell['execution_count'] = count
            for output in cell['outputs']:
                if 'execution_count' in output:
                    output['execution_count'] = count
    metadata = {name: value for name, value in notebook.get('metadata', {}).items() if name != 'widgets'}
    return {**notebook, 'metadata': metadata, 'cells': cells}


def words(notebook):
    """How many words of Markdown a notebook has, headings, tables and formulas included."""
    return sum(len(''.join(cell['source']).split()) for cell in notebook['cells'] if cell['cell_type'] == 'markdown')


def lines(notebook):
    """How many lines of code a notebook has, without the head cell."""
    return sum(len(''.join(cell['source']).splitlines()) for cell in notebook['cells']
               if cell['cell_type'] == 'code' and cell.get('id') != IDENTIFIER)


def minutes(notebook):
    """What a notebook says after **Time:**."""
    return int(re.search(r'\*\*Time:\*\* about (\d+) minutes', _head(notebook))[1])


def device(notebook):
    """What a notebook says after **Device:**, up to the first comma or full stop."""
    return re.search(r'\*\*Device:\*\* ([^.,;:]*)', _head(notebook))[1]


def needs(notebook):
    """The numbers of the notebooks to know first: ['02', '03'] for "02 and 03" as well as for "02 to 03"."""
    said = re.search(r'\*\*What to know first:\*\*(.*)', _head(notebook), flags=re.S)[1].split('\n\n')[0]
    numbers = [(int(low), int(high or low)) for low, high in re.findall(r'\b(\d\d)\b(?: to (\d\d)\b)?', said)]
    return [f'{number:02}' for low, high in numbers for number in range(low, high + 1)]


def _head(notebook):
    return ''.join(notebook['cells'][0]['source'])


def with_table(text, notebooks):
    """A page with the table below its heading "The notebooks" made of the notebooks.

    Parameters
    ----------
    text : str
        With a table there: its head stays, its rows are written again.
    notebooks : dict
        Name to notebook.

    Returns
    -------
    str
    """
    rows = ''
    for name, notebook in notebooks.items():
        title = _head(notebook).splitlines()[0].removeprefix('# ')
        rows += (f'| [{name[:2]}]({name}.ipynb) {title} | {", ".join(needs(notebook)) or "-"} | {minutes(notebook)} | '
                 f'{device(notebook)} | {words(notebook):,} | {lines(notebook)} |\n')
    before, heading, after = text.partition('\n## The notebooks\n')
    return before + heading + re.sub(r'(\|[-:|]+\n)(?:\|.*\n)*', lambda found: found[1] + rows, after, count=1)


def main():
    repository = address()
    if not repository:
        print('Repository at [project.urls] in pyproject.toml is empty: on Colab and Kaggle the cell asks for it')
    for path in sorted([*ROOT.glob('notebooks/*.ipynb'), *ROOT.glob('notebooks/solutions/*.ipynb')]):
        old = path.read_text(encoding='utf-8')
        new = json.dumps(with_head(json.loads(old), repository), indent=1, ensure_ascii=False) + '\n'
        if new != old:
            path.write_text(new, encoding='utf-8')
            print(path.relative_to(ROOT))
    page = ROOT / 'notebooks' / 'README.md'
    notebooks = {path.stem: json.loads(path.read_text(encoding='utf-8'))
                 for path in sorted(ROOT.glob('notebooks/*.ipynb'))}
    page.write_text(with_table(page.read_text(encoding='utf-8'), notebooks), encoding='utf-8')


if __name__ == '__main__':
    sys.exit(main())
