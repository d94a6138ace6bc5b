"""The course as a whole: the map for instructors and the glossary, held against the notebooks and the package."""

import importlib
import inspect
import json
import re

import pytest
from helpers import ROOT

import d2l_densenet

NOTEBOOKS = {path.stem[:2]: path for path in sorted((ROOT / 'notebooks').glob('*.ipynb'))}
MAP = (ROOT / 'notebooks' / 'README.md').read_text(encoding='utf-8')
GLOSSARY = (ROOT / 'notebooks' / 'glossary.md').read_text(encoding='utf-8')


def markdown(number):
    cells = json.loads(NOTEBOOKS[number].read_text(encoding='utf-8'))['cells']
    return [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'markdown']


def minutes(number):
    """What the head of a notebook says under Time."""
    return int(re.search(r'\*\*Time:\*\*\s+about\s+(\d+)\s+minutes', markdown(number)[0])[1])


def table(text, heading):
    """The rows of the first table below a heading, as lists of cells."""
    lines = text.split(f'\n## {heading}\n')[1].split('\n## ')[0].splitlines()
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if line.startswith('|')]
    return rows[2:]


# The two maps

def test_readme_has_the_minutes_and_the_device_of_each_notebook():
    rows = {row[0].strip('[`')[:2]: row for row in table((ROOT / 'README.md').read_text(), 'The notebooks')}
    links = [f'[`{path.stem}`](notebooks/{path.name})' for path in NOTEBOOKS.values()]
    assert [row[0] for row in rows.values()] == links
    for number, (_, _, time, device) in rows.items():
        assert int(re.match(r'\d+', time)[0]) == minutes(number), number
        wants_gpu = re.search(r'\*\*Device:\*\*\s+([^.;,]*)', markdown(number)[0])[1].startswith('a GPU')
        assert device == ('CPU or GPU' if wants_gpu else 'CPU'), number


def needs():
    """From the map: what each notebook needs, as sets of numbers."""
    return {row[0][1:3]: set(re.findall(r'\d\d', row[1])) for row in table(MAP, 'Which notebook needs which')}


def test_the_map_has_each_notebook_with_a_link():
    links = [re.fullmatch(r'\[(\w+)\]\((\w+)\.ipynb\)', row[0]).groups()
             for row in table(MAP, 'Which notebook needs which')]
    assert links == [(path.stem, path.stem) for path in NOTEBOOKS.values()]


@pytest.mark.parametrize('number', [number for number in NOTEBOOKS if number != '00'])
def test_what_a_notebook_needs_is_what_its_head_says(number):
    first = re.search(r'\*\*What to know first:\*\*(.*?)(\n\n|$)', markdown(number)[0], flags=re.S)[1]
    said = set()
    for low, high in re.findall(r'\b(\d\d)\b(?: to (\d\d)\b)?', first):
        said |= {f'{n:02}' for n in range(int(low), int(high or low) + 1)}
    # 00 checks the installation, which every notebook needs.
    assert needs()[number] == said - {'00'}


def test_the_paths_fit_their_hours_and_leave_no_gap():
    rows = table(MAP, 'Two paths')
    assert [row[0] for row in rows] == ['2 hours', '6 hours']
    for name, order, total, _ in rows:
        numbers = re.findall(r'\d\d', order)
        assert int(total) == sum(minutes(number) for number in numbers) <= 60 * int(name.split()[0])
        for place, number in enumerate(numbers):
            assert needs()[number] <= set(numbers[:place]), number


def test_no_number_is_in_both_maps():
    """Minutes and devices stand in the project's README alone, so that there is one place to change."""
    assert not re.search(r'\bCPU\b', '\n'.join(line for line in MAP.splitlines() if line.startswith('|')))


# The glossary

# What the paper has: sections with the names of their paragraphs (CVPR 2017 and arXiv version 5).
SECTIONS = {'1': [], '3': ['ResNets', 'Dense connectivity', 'Composite function', 'Pooling layers', 'Growth rate',
                           'Bottleneck layers', 'Compression', 'Implementation Details'],
            '4.1': [], '4.2': [], '4.3': [], '4.4': [],
            '5': ['Model compactness', 'Implicit Deep Supervision', 'Stochastic vs. deterministic connection',
                  'Feature Reuse']}
ENTRIES = [re.fullmatch(r'(.+?)\n\n(.+?)\n\n\*(.+?)\* · (.+) · \[(\d\d)\]\((\w+\.ipynb)\)\n*', entry, flags=re.S)
           for entry in GLOSSARY.split('\n## ')[1:]]


def test_each_entry_has_its_parts():
    assert len(ENTRIES) >= 40 and all(ENTRIES)


def test_each_term_is_there_once_in_order():
    terms = [entry[1].lower() for entry in ENTRIES]
    assert len(set(terms)) == len(terms)
    assert terms == sorted(terms)


def test_a_section_is_one_of_the_papers():
    for entry in ENTRIES:
        if entry[3] != 'Not in the paper':
            section, title = re.fullmatch(r'Section ([\d.]+)(?:, "(.+)")?', entry[3]).groups()
            assert section in SECTIONS and (title is None or title in SECTIONS[section]), entry[3]


def find(name):
    """A name of the package, of one of its modules, or of Gluon (`nn.`, `gluon.`)."""
    first, *others = name.split('.')
    if first in ('nn', 'gluon'):
        thing = importlib.import_module('mxnet.gluon' if first == 'gluon' else 'mxnet.gluon.nn')
    else:
        thing = getattr(d2l_densenet, first)
    for part in others:
        thing = getattr(thing, part)
    return thing


@pytest.mark.parametrize('entry', ENTRIES, ids=lambda entry: entry[1])
def test_the_symbol_in_code_is_there(entry):
    symbols = re.findall(r'`([^`]+)`', entry[4])
    assert symbols and re.sub(r'`[^`]+`|, ', '', entry[4]) == ''
    for symbol in symbols:
        name, argument = re.fullmatch(r'([\w.]+)(?:\((.+)\))?', symbol).groups()
        thing = find(name)
        if argument and argument.startswith("'"):
            thing(argument.strip("'"))      # a value: the call must work
        elif argument:
            assert argument in inspect.signature(thing).parameters, symbol


@pytest.mark.parametrize('entry', ENTRIES, ids=lambda entry: entry[1])
def test_the_notebook_named_uses_the_term(entry):
    term, number = entry[1], entry[5]
    assert NOTEBOOKS[number].name == entry[6]
    words = term.removesuffix(' images').removesuffix(' factor').removesuffix(' width').lower()
    assert words in re.sub(r'\s+', ' ', ' '.join(markdown(number))).lower()
