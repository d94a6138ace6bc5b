"""The exercises: solutions and what is made of them are of one mind, and a notebook as handed out fails as it should.

(That each solution runs, and shows again what it showed, is nbval's part of `make test`.)
"""

import os
import re
import runpy
import shutil
import subprocess
import sys

import nbformat
import notebook_files
import pytest
from helpers import ROOT

SOLUTIONS, EXERCISES = ROOT / 'notebooks' / 'solutions', ROOT / 'notebooks' / 'exercises'
TOOL = runpy.run_path(str(ROOT / 'tools' / 'make_exercises.py'))
SETS = sorted({*notebook_files.EXPECTED, *(path.stem for path in SOLUTIONS.glob('*.ipynb'))})  # one for each notebook
MINUTES = dict(zip(notebook_files.CORE, (40, 110, 110, 110, 90)))  # at most; 90 for all others
D2L = [1, 2, 3, 4, 5]  # exercises of d2l's chapter on DenseNet that are in the sets
HEADING = re.compile(r'## (?P<kind>B|d2l |)(?P<number>\d)\. .+ \((?P<stars>★{1,3}), (?P<minutes>\d+) minutes\)')
LISTED = re.compile(r'^(\d)\. \((★{1,3}), (\d+) minutes\) \S', flags=re.M)  # in the last cell of a notebook


def read(directory, name):
    path = directory / f'{name}.ipynb'
    assert path.is_file(), f'{path.name} is missing'
    return nbformat.read(path, as_version=4)


@pytest.fixture(params=SETS)
def name(request):
    return request.param


@pytest.fixture
def notebook(name):
    return read(SOLUTIONS, name)


def marks(cell):
    return cell.metadata.get('nbgrader', {})


def is_test(cell):
    return marks(cell).get('grade', False) and not marks(cell).get('solution', False)


def exercises(notebook):
    """Each exercise: the match of its heading, and its cells."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == 'markdown' and cell.source.startswith('## '):
            line = cell.source.splitlines()[0]
            heading = HEADING.fullmatch(line)
            assert heading, f'{line}: a heading reads "## B1. Title (★★, 15 minutes)", "## 1. ..." or "## d2l 1. ..."'
            found.append((heading, []))
        elif found:
            found[-1][1].append(cell)
    return found


# Source and handout

def test_exercises_are_made_of_the_solutions_as_they_are(name):
    made = TOOL['text'](TOOL['exercise'](read(SOLUTIONS, name)))
    assert (EXERCISES / f'{name}.ipynb').read_text(encoding='utf-8') == made, 'run `make exercises`'


def test_no_exercise_without_a_solution():
    assert {path.stem for path in EXERCISES.glob('*.ipynb')} == set(SETS)


def test_the_handout_gives_nothing_away(name):
    handout = (EXERCISES / f'{name}.ipynb').read_text(encoding='utf-8')
    for mark in ('BEGIN SOLUTION', 'END SOLUTION', 'HIDDEN TESTS'):
        assert mark not in handout
    assert not any(cell.get('outputs') for cell in read(EXERCISES, name).cells)


def cell(source, kind='code', **marks):
    make = nbformat.v4.new_code_cell if kind == 'code' else nbformat.v4.new_markdown_cell
    marks = {'grade': False, 'solution': False, 'locked': False, 'grade_id': 'x', 'schema_version': 3, **marks}
    return make(source, metadata={'nbgrader': marks})


def handed_out(*cells):
    return TOOL['exercise'](nbformat.v4.new_notebook(cells=list(cells))).cells


def test_stubs_stand_where_solutions_stood():
    code, whole, words, test = handed_out(
        cell('def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION\n\nf', solution=True),
        cell('answer = 1', solution=True),
        cell('Why?\n### BEGIN SOLUTION\nSo.\n### END SOLUTION', 'markdown', solution=True, grade=True, points=1),
        cell('f(1)\n### BEGIN HIDDEN TESTS\nf(2)\n### END HIDDEN TESTS', grade=True, points=1))
    assert code.source == 'def f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()\n\nf'
    assert whole.source == '# YOUR CODE HERE\nraise NotImplementedError()'
    assert words.source == 'Why?\nYOUR ANSWER HERE'
    assert test.source == 'f(1)'
    assert [('editable' in c.metadata, c.metadata.deletable) for c in (code, test)] == [(False, False), (True, False)]


@pytest.mark.parametrize('source, marked, message', [
    ('### BEGIN SOLUTION\n1\n### END SOLUTION', {}, 'not marked as one'),
    ('### BEGIN HIDDEN TESTS\n1\n### END HIDDEN TESTS', {}, 'not marked as a test'),
    ('### BEGIN SOLUTION\n1', {'solution': True}, 'without END'),
    ('### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION', {'solution': True}, 'inside another')])
def test_a_source_that_would_give_its_solution_away_is_refused(source, marked, message):
    with pytest.raises(ValueError, match=message):
        handed_out(cell(source, **marked))


def test_nbgrader_makes_the_same(tmp_path):
    """nbgrader is no dependency of the course: this runs for those who have installed it (nbgrader==0.9.6)."""
    pytest.importorskip('nbgrader')
    shutil.copytree(SOLUTIONS, tmp_path / 'source' / 'course', ignore=shutil.ignore_patterns('.*'))
    command = [sys.executable, '-m', 'nbgrader', 'generate_assignment', 'course', f'--course-dir={tmp_path}']
    # nbgrader calls alembic by its name: the environment's programs must be found.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ['PATH']])
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, 'PATH': path}, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    for name in SETS:
        theirs = nbformat.read(tmp_path / 'release' / 'course' / f'{name}.ipynb', as_version=4)
        assert theirs == read(EXERCISES, name), name


# Marks

def test_marks_are_nbgraders(notebook):
    cells = [cell for cell in notebook.cells if marks(cell)]
    ids = [marks(cell).grade_id for cell in cells]
    assert len(set(ids)) == len(ids)
    for cell in cells:
        assert marks(cell).schema_version == 3
        assert all(isinstance(marks(cell)[key], bool) for key in ('grade', 'solution', 'locked'))
        if marks(cell).grade:
            assert isinstance(marks(cell).points, int) and marks(cell).points > 0, marks(cell).grade_id
        else:
            assert 'points' not in marks(cell), marks(cell).grade_id
        if cell.cell_type == 'markdown':  # a written answer: nbgrader knows no other kind
            assert marks(cell).grade and marks(cell).solution, marks(cell).grade_id


def test_every_exercise_has_a_solution_and_is_graded(notebook):
    for heading, cells in exercises(notebook):
        assert any(marks(cell).get('solution') for cell in cells), heading.group()
        assert any(marks(cell).get('grade') for cell in cells), heading.group()
        for cell in cells:
            if marks(cell).get('solution'):
                region = re.search(r'### BEGIN SOLUTION\n(.*?)### END SOLUTION', cell.source, flags=re.S)
                assert region and len(region.group(1).strip()) > 5, cell.source


def test_a_test_judges_by_checks_also_where_it_is_hidden(notebook):
    """A check says what is wrong, an assert does not; the hidden call of it meets data that nobody has seen."""
    for cell in notebook.cells:
        if is_test(cell):
            hidden = re.search(r'### BEGIN HIDDEN TESTS\n(.*?)### END HIDDEN TESTS', cell.source, flags=re.S)
            assert hidden and 'checks.' in hidden.group(1), cell.source
            assert 'checks.' in cell.source[:hidden.start()], cell.source
            assert not re.search(r'^\s*assert\b', cell.source, flags=re.M), cell.source


def test_a_written_answer_is_rare_and_can_be_graded(notebook):
    written = [cell.source for cell in notebook.cells if cell.cell_type == 'markdown' and marks(cell)]
    assert len(written) <= 1
    for source in written:
        assert '\nPoints: ' in source and '\nCommon wrong answers: ' in source, source


def test_kinds_and_numbers(name, notebook):
    """B1, B2, ... from memory, then 1, 2, ..., then those of d2l's chapter that belong here."""
    found = [(heading['kind'], int(heading['number'])) for heading, _ in exercises(notebook)]
    memory, own, d2l = ([number for kind, number in found if kind == wanted] for wanted in ('B', '', 'd2l '))
    assert memory == list(range(1, len(memory) + 1))
    assert own == list(range(1, len(own) + 1)) != []
    assert d2l == sorted(set(d2l))
    assert found == [*(('B', n) for n in memory), *(('', n) for n in own), *(('d2l ', n) for n in d2l)]


def test_the_list_in_the_notebook_is_the_sets(name, notebook):
    of = next(found for found in notebook_files.EXPECTED if found[:2] == name[:2])
    last = nbformat.read(ROOT / 'notebooks' / f'{of}.ipynb', as_version=4).cells[-1].source
    listed = last.partition('## Exercises\n')[2]
    assert f'exercises/{name}.ipynb' in listed
    assert LISTED.findall(listed) == [(heading['number'], heading['stars'], heading['minutes'])
                                      for heading, _ in exercises(notebook) if heading['kind'] == '']


def test_a_check_that_holds_a_way_to_solve_it_is_folded(name):
    """Functions in a check are what an answer is held against, or common mistakes: for who opens the cell."""
    for cell in read(EXERCISES, name).cells:
        if cell.cell_type == 'code' and is_test(cell) and re.search(r'\bdef |\blambda\b', cell.source):
            assert cell.metadata.get('jupyter', {}).get('source_hidden'), f'tag it hide-input:\n{cell.source}'


def test_a_set_is_short(name, notebook):
    assert sum(int(heading['minutes']) for heading, _ in exercises(notebook)) <= MINUTES.get(name, 90)


def test_two_numbers_of_a_core_set_can_be_changed(name, notebook):
    if name in MINUTES:
        assert len(notebook.metadata.get('variants', {})) >= 2
    for number in notebook.metadata.get('variants', {}):
        assert any(number in cell.metadata.get('varies', []) for cell in notebook.cells), number


def test_the_title_names_the_notebook_and_the_minutes(name, notebook):
    title = notebook.cells[0].source
    of = next(found for found in notebook_files.EXPECTED if found[:2] == name[:2])
    assert title.startswith('# Exercises: ') and f'`{of}`' in title
    said = int(re.search(r'about (\d+) minutes', title).group(1))
    assert abs(said - sum(int(heading['minutes']) for heading, _ in exercises(notebook))) <= 5


def test_all_exercises_of_the_book_are_there():
    found = [int(heading['number']) for name in SETS for heading, _ in exercises(read(SOLUTIONS, name))
             if heading['kind'] == 'd2l ']
    assert sorted(found) == D2L


# As handed out

STUB = re.compile(r'^raise NotImplementedError\(\)', flags=re.M)  # not indented: it is met when the cell is run
# NameError: what an unsolved cell should have defined.
UNSOLVED = {'NotImplementedError', 'CheckFailed', 'NameError'}


def test_the_handout_fails_where_it_is_unsolved_and_nowhere_else(name, monkeypatch):
    """An unsolved cell fails with the stub, and each test fails, so that nobody gets points for nothing."""
    monkeypatch.setenv('D2L_DENSENET_QUICK', '1')
    monkeypatch.setenv('TQDM_DISABLE', '1')
    monkeypatch.chdir(EXERCISES)
    for cell, error in notebook_files.run(read(EXERCISES, name)):
        found = error and type(error).__name__
        if marks(cell).get('solution'):
            assert found == ('NotImplementedError' if STUB.search(cell.source) else None), cell.source
        elif is_test(cell):
            assert found in UNSOLVED, (error, cell.source)
        else:
            assert error is None, cell.source
