"""The form of every notebook, solutions too, without running it.

(That each runs, and shows again what it showed, is nbval's part of `make test`.)
"""

import ast
import json
import re

import pytest
from notebook_files import DIRECTORY, NOTEBOOKS, code_cells, read, source, tags, tree

IGNORE = 'nbval-ignore-output'


SOLUTIONS = [f'solutions/{path.stem}' for path in sorted(DIRECTORY.glob('solutions/*.ipynb'))]


@pytest.fixture(params=[*NOTEBOOKS, *SOLUTIONS])
def notebook(request):
    return read(request.param)


@pytest.fixture(params=NOTEBOOKS)
def core(request):
    """The name of a notebook of the course itself."""
    return request.param


def has_assert(cell):
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree(cell)))


def shown(cell):
    """The texts among the outputs of a code cell (pictures are left out)."""
    for output in cell['outputs']:
        yield ''.join(output.get('text', ''))
        yield '\n'.join(output.get('traceback', ''))
        for kind, data in output.get('data', {}).items():
            if not kind.startswith('image/'):
                yield ''.join(data) if isinstance(data, (str, list)) else json.dumps(data)


def headings(notebook):
    return [line for cell in notebook['cells'] if cell['cell_type'] == 'markdown'
            for line in source(cell).splitlines() if re.match('#+ ', line)]


def test_was_run_from_top_to_bottom_and_saved(notebook):
    counts = [cell['execution_count'] for cell in code_cells(notebook) if source(cell).strip()]
    assert counts == list(range(1, len(counts) + 1))


def test_shows_no_error_and_nothing_on_stderr(notebook):
    for cell in code_cells(notebook):
        for output in cell['outputs']:
            assert output['output_type'] != 'error', source(cell)
            assert output.get('name') != 'stderr', (source(cell), output['text'])


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


def test_cells_are_short(notebook):
    first, *others = code_cells(notebook)
    assert len(source(first).splitlines()) <= 15, 'the set-up cell'
    for cell in others:
        assert len(source(cell).splitlines()) <= 30, source(cell)


def test_an_ignored_output_is_guarded_by_an_assert(notebook):
    """An output that nbval does not compare shows something all the same; an assert says what."""
    cells = code_cells(notebook)
    for cell, following in zip(cells, [*cells[1:], None]):
        if IGNORE in tags(cell):
            assert has_assert(cell) or (following and has_assert(following)), source(cell)


def test_nothing_is_kept_from_nbval(notebook):
    """The only mark is the one above: no skipped cell, no expected exception, no mark hidden in a comment."""
    for cell in code_cells(notebook):
        assert [tag for tag in tags(cell) if tag.startswith('nbval') or tag == 'raises-exception'] in ([], [IGNORE])
        assert not re.search(r'#\s*(NBVAL_|PYTEST_VALIDATE)', source(cell)), source(cell)


def test_kernel_is_the_one_everybody_has(notebook):
    kernel = notebook['metadata']['kernelspec']
    assert (kernel['name'], kernel['display_name']) == ('python3', 'Python 3 (ipykernel)')


def test_is_small_enough_to_look_at_in_a_browser(core):
    assert (DIRECTORY / f'{core}.ipynb').stat().st_size < 1_500_000


def test_has_the_parts_of_a_notebook_of_this_course(core):
    """A title with what is promised, a recap, exercises."""
    notebook = read(core)
    first = source(notebook['cells'][0])
    assert first.startswith('# ')
    assert [line for line in headings(notebook) if line.startswith('# ')] == [first.splitlines()[0]], 'one title'
    assert 'You will be able to' in first or 'you will be able to' in first
    assert re.search(r'\bminutes?\b', first) and re.search(r'\b(CPU|GPU|device)\b', first)
    sections = [line.strip('# ').lower() for line in headings(notebook)]
    assert any(line.startswith('recap') for line in sections)
    assert any(line.startswith('exercises') for line in sections)


def test_carries_no_times_of_execution(notebook):
    """They change at each run and would bury the real changes in a diff; `make notebooks` leaves them out."""
    assert not any('execution' in cell['metadata'] for cell in notebook['cells'])
