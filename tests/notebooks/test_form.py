"""The form of every notebook, solutions too, without running it.

(That each runs, and shows again what it showed, is nbval's part of `make test`.)
"""

import ast
import json
import re

import pytest
from notebook_files import (
    CORE,
    DIRECTORY,
    EXPECTED,
    GUARDS,
    NOTEBOOKS,
    calls,
    code_cells,
    guards,
    markdown,
    read,
    source,
    tags,
    tree,
)

from tools import head_cells

IGNORE, HIDE = 'nbval-ignore-output', 'hide-output'
WORDS, CORE_WORDS, ALL_CORE_WORDS, CORE_MINUTES = 2000, 1500, 7500, 180
SOLUTIONS = [f'solutions/{path.stem}' for path in sorted(DIRECTORY.glob('solutions/*.ipynb'))]


@pytest.fixture(params=[*NOTEBOOKS, *SOLUTIONS])
def notebook(request):
    return read(request.param)


@pytest.fixture(params=NOTEBOOKS)
def name(request):
    """A notebook of the course itself."""
    return request.param


@pytest.fixture
def cells(name):
    """Its code cells after the head cell, which is the same in all notebooks: tests/notebooks/test_head_cells.py."""
    return [cell for cell in code_cells(read(name)) if cell['id'] != head_cells.IDENTIFIER]


def nodes(cell, kind):
    return [node for node in ast.walk(tree(cell)) if isinstance(node, kind)]


def shown(cell):
    """The texts among the outputs of a code cell (pictures are left out)."""
    for output in cell['outputs']:
        yield ''.join(output.get('text', ''))
        yield '\n'.join(output.get('traceback', ''))
        for kind, data in output.get('data', {}).items():
            if not kind.startswith('image/'):
                yield ''.join(data) if isinstance(data, (str, list)) else json.dumps(data)


def headings(notebook):
    return [line for text in markdown(notebook) for line in text.splitlines() if re.match('#+ ', line)]


# Every notebook, and the solutions

def test_was_run_from_top_to_bottom_and_saved(notebook):
    counts = [cell['execution_count'] for cell in code_cells(notebook) if source(cell).strip()]
    assert counts == list(range(1, len(counts) + 1))


def test_shows_no_error_and_nothing_on_stderr(notebook):
    for cell in code_cells(notebook):
        for output in cell['outputs']:
            assert output['output_type'] != 'error', source(cell)
            assert output.get('name') != 'stderr', (source(cell), output['text'])


def test_what_a_cell_prints_is_one_output(notebook):
    """`make head-cells` joins what came in pieces: how many there are depends on the machine."""
    for cell in code_cells(notebook):
        streams = [output.get('name') for output in cell['outputs']]
        assert not any(one and one == other for one, other in zip(streams, streams[1:])), source(cell)


def test_names_no_path_of_the_machine_it_was_run_on(notebook):
    path = re.compile(r'(?<![\w./:-])(/(root|home|tmp|work|Users|var|private|mnt|opt)/\S*|[A-Z]:\\\S+)')
    for cell in notebook['cells']:
        texts = [source(cell), *(shown(cell) if cell['cell_type'] == 'code' else [])]
        for text in texts:
            found = path.search(text)
            assert not found, (found.group(), source(cell))


def test_pictures_are_png(notebook):
    """Strict comparison passes over PNG and cannot pass SVG, which holds dates and random ids."""
    for cell in code_cells(notebook):
        for output in cell['outputs']:
            assert {kind for kind in output.get('data', {}) if kind.startswith('image/')} <= {'image/png'}, source(cell)


def test_nothing_is_kept_from_nbval(notebook):
    """The only mark is IGNORE: no skipped cell, no expected exception, no mark hidden in a comment."""
    for cell in code_cells(notebook):
        assert [tag for tag in tags(cell) if tag.startswith('nbval') or tag == 'raises-exception'] in ([], [IGNORE])
        assert not re.search(r'#\s*(NBVAL_|PYTEST_VALIDATE)', source(cell)), source(cell)


def test_kernel_is_the_one_everybody_has(notebook):
    kernel = notebook['metadata']['kernelspec']
    assert (kernel['name'], kernel['display_name']) == ('python3', 'Python 3 (ipykernel)')


def test_carries_no_times_of_execution(notebook):
    """They change at each run and would bury the real changes in a diff; `make notebooks` leaves them out."""
    assert not any('execution' in cell['metadata'] for cell in notebook['cells'])


@pytest.mark.parametrize('solution', SOLUTIONS)
def test_an_ignored_output_of_a_solution_is_guarded_by_an_assert_or_a_check(solution):
    """In the cell or in the next one: solutions have no guards of their own."""
    cells = code_cells(read(solution))
    for cell, following in zip(cells, [*cells[1:], None]):
        if IGNORE in tags(cell):
            assert any('checks.' in source(one) or nodes(one, ast.Assert) for one in (cell, following) if one), \
                source(cell)


# The course: what a notebook consists of

def test_the_notebooks_are_these():
    assert NOTEBOOKS == EXPECTED


def test_begins_with_a_promise_and_what_it_takes(name):
    first, *others = markdown(read(name))
    title, promise, time, needs, *rest = [part for part in first.split('\n\n') if part]
    assert re.fullmatch(r'# .+', title)
    assert not any(line.startswith('# ') for text in others for line in text.splitlines()), 'one title'
    assert not promise.startswith(('#', '*', '-', '|')) and promise.endswith('.') and len(promise.split()) <= 60
    assert re.match(r'\*\*Time:\*\* about \d+ minutes\b.*\*\*Device:\*\* (CPU|a GPU helps)', time, flags=re.S)
    assert re.match(r'\*\*What to know first:\*\* \S', needs)


def test_ends_with_a_recap_and_exercises(name):
    sections = [line.strip('# ') for line in headings(read(name)) if line.startswith('## ')]
    assert sections[-2:] == ['Recap', 'Exercises']


def test_is_short(name):
    """Words as a reader meets them, headings, tables and formulas included."""
    assert head_cells.words(read(name)) <= (CORE_WORDS if name in CORE else WORDS)


def test_the_core_takes_half_a_day():
    core = [read(name) for name in CORE]
    assert sum(map(head_cells.words, core)) <= ALL_CORE_WORDS
    assert sum(map(head_cells.minutes, core)) <= CORE_MINUTES


def test_is_small_enough_to_look_at_in_a_browser(name):
    assert (DIRECTORY / f'{name}.ipynb').stat().st_size < 1_500_000


# The course: code that readers read

def test_cells_are_short(cells):
    assert len([line for line in source(cells[0]).splitlines() if line.strip()]) <= 8, 'the set-up cell'
    for cell in cells:
        assert len(source(cell).splitlines()) <= 20, source(cell)


def test_shows_no_machinery(cells):
    """No private name, no other process, no source text read, no switch for the tests but `budget`."""
    for cell in cells:
        private = [node.attr for node in nodes(cell, ast.Attribute) if re.match('_(?!_)', node.attr)]
        private += [alias.name for node in nodes(cell, (ast.Import, ast.ImportFrom)) for alias in node.names
                    if re.search(r'(^|\.)_(?!_)', f'{getattr(node, "module", "") or ""}.{alias.name}'.lstrip('.'))]
        assert not private, (private, source(cell))
        found = re.search(r'\bsubprocess\b|\binspect\b|\bos\.environ\b|\bQUICK\b|D2L_DENSENET_', source(cell))
        assert not found, (found.group(), source(cell))


def test_an_assert_teaches_or_is_in_the_tests(cells):
    for cell in cells:
        asserts = nodes(cell, ast.Assert)
        assert len(asserts) <= 1 and all(node.lineno == node.end_lineno for node in asserts), source(cell)


# The course: predictions

def test_a_prediction_is_asked_for_and_its_answer_folded(name):
    notebook = read(name)
    asked = False
    for cell in notebook['cells']:
        if cell['cell_type'] == 'markdown':
            asked = asked or '**Predict' in source(cell)
        elif calls(cell, 'predict'):
            assert asked, source(cell)
            assert HIDE in tags(cell), source(cell)
            asked = False
        if HIDE in tags(cell):
            assert cell['metadata'].get('jupyter', {}).get('outputs_hidden'), 'make head-cells'


def test_has_predictions_and_no_answer_is_written_into_one(cells):
    assert any(calls(cell, 'predict') for cell in cells)
    for cell in cells:
        for node in nodes(cell, ast.Call):
            if getattr(node.func, 'id', '') == 'predict':
                names = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Name)]
                assert names, f'predict(...) takes what the reader has written: {source(cell)}'


# The course: outputs that nbval does not compare

def test_an_ignored_output_is_guarded(name, cells):
    """It shows something all the same; a guard, or an assert of its own, says what."""
    guarded = guards(name)
    for cell in cells:
        if IGNORE in tags(cell):
            guard = guarded.get(cell['id'], '')
            assert nodes(cell, ast.Assert) or 'assert' in guard, (cell['id'], source(cell))


@pytest.mark.parametrize('path', sorted(GUARDS.glob('*.py')), ids=lambda path: path.stem)
def test_a_guard_belongs_to_a_cell_and_asserts(path):
    ids = {cell['id'] for cell in code_cells(read(path.stem))}
    found = re.findall(r'^# %% (.+)$', path.read_text(encoding='utf-8'), flags=re.M)
    assert found and set(found) <= ids and len(set(found)) == len(found)
    for guard in guards(path.stem).values():
        assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(guard))), guard
