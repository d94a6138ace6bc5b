"""The course as a whole: the map for instructors and the glossary, held against the notebooks and the package."""

import importlib
import inspect
import json
import re

import pytest
from helpers import ROOT

import d2l_densenet
from tools import head_cells

NOTEBOOKS = {path.stem[:2]: path for path in sorted((ROOT / 'notebooks').glob('*.ipynb'))}
MAP = (ROOT / 'notebooks' / 'README.md').read_text(encoding='utf-8')
GLOSSARY = (ROOT / 'notebooks' / 'glossary.md').read_text(encoding='utf-8')


def notebook(number):
    return json.loads(NOTEBOOKS[number].read_text(encoding='utf-8'))


def markdown(number):
    return [''.join(cell['source']) for cell in notebook(number)['cells'] if cell['cell_type'] == 'markdown']


def table(text, heading):
    """The rows of the first table below a heading, as lists of cells."""
    lines = text.split(f'\n## {heading}\n')[1].split('\n## ')[0].splitlines()
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if line.startswith('|')]
    return rows[2:]


# The two maps

def test_the_readme_has_each_notebook_with_a_link():
    rows = table((ROOT / 'README.md').read_text(encoding='utf-8'), 'The notebooks')
    assert [row[0] for row in rows] == [f'[`{path.stem}`](notebooks/{path.name})' for path in NOTEBOOKS.values()]
    assert all(len(row[1].split()) > 3 for row in rows)


def test_the_readme_fits_on_three_screens():
    assert len((ROOT / 'README.md').read_text(encoding='utf-8').splitlines()) <= 120


def test_the_map_is_made_of_the_notebooks():
    """Title, needs, minutes, device, words and lines of code of each."""
    made = head_cells.with_table(MAP, {path.stem: notebook(number) for number, path in NOTEBOOKS.items()})
    assert made == MAP, 'make head-cells'


@pytest.mark.parametrize('number', NOTEBOOKS)
def test_a_notebook_needs_only_earlier_ones(number):
    assert set(head_cells.needs(notebook(number))) <= {other for other in NOTEBOOKS if other < number}


def test_the_paths_fit_their_hours_and_leave_no_gap():
    rows = table(MAP, 'Two paths')
    assert [row[0] for row in rows] == ['2 hours', '6 hours']
    for hours, order, _ in rows:
        numbers = re.findall(r'\d\d', order)
        total = sum(head_cells.minutes(notebook(number)) for number in numbers)
        assert total <= 60 * int(hours.split()[0]), total
        for place, number in enumerate(numbers):
            assert set(head_cells.needs(notebook(number))) <= set(numbers[:place]), number


@pytest.mark.parametrize('path', sorted(ROOT.glob('notebooks/*.ipynb')), ids=lambda path: path.stem)
def test_links_to_files_lead_somewhere(path):
    for text in markdown(path.stem[:2]):
        for target in re.findall(r'\]\((?!https?:|#|attachment:)([^)#\s]+)', text):
            assert (path.parent / target).exists(), target


# The glossary

# What the paper has: sections with the names of their paragraphs (CVPR 2017 and arXiv version 5).
SECTIONS = {'1': [], '3': ['ResNets', 'Dense connectivity', 'Composite function', 'Pooling layers', 'Growth rate',
                           'Bottleneck layers', 'Compression', 'Implementation Details'],
            '4.1': [], '4.2': [], '4.3': [], '4.4': [],
            '5': ['Model compactness', 'Implicit Deep Supervision', 'Stochastic vs. deterministic connection',
                  'Feature Reuse']}
#: Rows of the glossary: term, meaning, paper, in code, notebook.
ENTRIES = table(GLOSSARY, 'Terms')
#: Rows: symbol, meaning, in code.
SYMBOLS = table(GLOSSARY, 'Symbols')


def test_each_entry_has_its_parts():
    assert len(ENTRIES) >= 60 and len(SYMBOLS) >= 12
    assert all(len(entry) == 5 and entry[0] and entry[1] for entry in ENTRIES)


def test_each_term_is_there_once_in_order():
    terms = [entry[0].lower() for entry in ENTRIES]
    assert len(set(terms)) == len(terms)
    assert terms == sorted(terms)


def test_a_symbol_means_one_thing():
    symbols = [symbol for row in SYMBOLS for symbol in re.findall(r'\$[^$]+\$', row[0])]
    assert len(set(symbols)) == len(symbols)
    assert {'$L$', '$k$', '$k_0$', r'$\theta$', '$m$', '$N$'} <= set(symbols)


def test_a_section_is_one_of_the_papers():
    for entry in ENTRIES:
        if entry[2]:
            section, title = re.fullmatch(r'([\d.]+)(?:, (.+))?', entry[2]).groups()
            assert section in SECTIONS and (title is None or title in SECTIONS[section]), entry[2]


def find(name):
    """A name of the package, of one of its modules, or of Gluon (`nn.`, `gluon.`)."""
    first, *others = name.split('.')
    modules = {'nn': 'mxnet.gluon.nn', 'gluon': 'mxnet.gluon', 'init': 'mxnet.initializer'}
    thing = importlib.import_module(modules[first]) if first in modules else getattr(d2l_densenet, first)
    for part in others:
        thing = getattr(thing, part)
    return thing


@pytest.mark.parametrize('entry', [*ENTRIES, *SYMBOLS], ids=lambda entry: entry[0])
def test_the_name_in_code_is_there(entry):
    symbols = re.findall(r'`([^`]+)`', entry[3] if len(entry) == 5 else entry[2])
    for symbol in symbols:
        name, argument = re.fullmatch(r'([\w.]+)(?:\((.+)\))?', symbol).groups()
        thing = find(name)
        if argument and argument.startswith("'"):
            thing(argument.strip("'"))      # a value: the call must work
        elif argument:
            assert argument in inspect.signature(thing).parameters, symbol


@pytest.mark.parametrize('entry', [entry for entry in ENTRIES if entry[4]], ids=lambda entry: entry[0])
def test_the_notebook_named_uses_the_term(entry):
    """Or one of its other names, which follow in brackets."""
    names = [name.strip().lower() for name in re.split(r'[(),]', entry[0]) if name.strip()]
    text = re.sub(r'\s+', ' ', ' '.join(markdown(entry[4]))).lower()
    assert any(name in text for name in names), entry[4]
