"""What instructors hand out and grade: the archive, other numbers, the quiz, and nbgrader from end to end."""

import csv
import os
import re
import shlex
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import nbformat
import pytest
from helpers import ROOT
from notebook_files import run

from tools import handouts, make_exercises

SOLUTIONS = sorted((ROOT / 'notebooks' / 'solutions').glob('*.ipynb'))


def test_the_archive_for_students_gives_nothing_away(tmp_path):
    if not (ROOT / '.git').exists():
        pytest.skip('the archive is made of what git knows')
    handouts.student(tmp_path / 'student.zip')
    with zipfile.ZipFile(tmp_path / 'student.zip') as archive:
        names = archive.namelist()
        assert {f'densenet-course/{name}' for name in ('Makefile', 'README.md', 'requirements.lock')} <= {*names}
        assert any('/notebooks/exercises/' in name for name in names)
        assert not [name for name in names if '/solutions/' in name or '/tests/' in name]
        for name in names:
            assert b'BEGIN SOLUTION' not in archive.read(name) or name.endswith(('.py', '.md')), name


def a_set():
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [text('A block of 12 layers and 112 maps, 12.5 of 12', metadata={'varies': ['layers']}),
             code('f(12, k=12, x12=3) == -12', metadata={'varies': ['layers']}), code('f(12)')]
    return nbformat.v4.new_notebook(cells=cells, metadata={'variants': {'layers': [12, 5, 6, 7]}})


def test_a_variant_has_another_number_wherever_the_cell_says_so_and_nowhere_else():
    original, drawn = a_set(), set()
    for seed in range(30):
        text, code, other = (cell.source for cell in handouts.variant(original, seed).cells)
        number = re.search(r'of (\d+) layers', text)[1]
        drawn.add(number)
        assert text == f'A block of {number} layers and 112 maps, 12.5 of {number}'
        assert code == f'f({number}, k={number}, x12=3) == -{number}' and other == 'f(12)'
        assert handouts.variant(original, seed) == handouts.variant(original, seed)
    assert drawn == {'12', '5', '6', '7'} and original.cells[2].source == 'f(12)'


def test_variants_are_written_as_sources_and_as_handed_out(tmp_path):
    handouts.variants(3, tmp_path)
    for path in SOLUTIONS:
        source = nbformat.read(tmp_path / 'solutions' / path.name, as_version=4)
        assert nbformat.read(tmp_path / 'exercises' / path.name, as_version=4) == make_exercises.exercise(source)


# Their answers are functions that are judged on drawn numbers, or words: there is no number to copy.
NO_NUMBERS = ('10', '11', '12', '13', '14')


def test_which_sets_have_other_numbers():
    assert {path.stem[:2] for path in SOLUTIONS if not nbformat.read(path, as_version=4).metadata.get('variants')} == {
        *NO_NUMBERS}


@pytest.mark.parametrize('path', [path for path in SOLUTIONS if path.stem[:2] not in NO_NUMBERS],
                         ids=lambda path: path.stem)
def test_the_solutions_solve_a_variant(path, monkeypatch, tmp_path):
    """With other numbers every check still says that the official solution is right."""
    monkeypatch.setenv('D2L_DENSENET_QUICK', '1')
    monkeypatch.setenv('TQDM_DISABLE', '1')
    original = nbformat.read(path, as_version=4)
    seed = next(seed for seed in range(1, 50) if handouts.variant(original, seed).cells != original.cells)
    monkeypatch.chdir(tmp_path)
    for cell, error in run(handouts.variant(original, seed)):
        assert error is None, cell.source


def test_the_table_of_sets_is_true():
    page = (ROOT / 'docs' / 'instructors.md').read_text(encoding='utf-8')
    assert '<!-- sets -->' in page and handouts.with_table(page) == page, 'run `make exercises`'


# The quiz

def test_the_quiz_has_every_prediction_as_a_question(tmp_path):
    number = handouts.quiz(tmp_path / 'quiz.xml')
    predictions = sum(len(re.findall(r'^predict\(', cell.source, flags=re.M))
                      for path in (ROOT / 'notebooks').glob('*.ipynb')
                      for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == 'code')
    assert number >= 0.6 * predictions, 'a question needs one prediction a cell, with its text right before'
    for question in ElementTree.parse(tmp_path / 'quiz.xml').getroot():
        if question.get('type') == 'category':
            continue
        right = [answer for answer in question.findall('answer') if answer.get('fraction') == '100']
        assert len(right) == 1 and right[0].findtext('text'), ElementTree.tostring(question)
        text = question.findtext('questiontext/text')
        assert len(text) > 30 and '**' not in text and not text[3].islower()
        assert question.get('type') == 'numerical' or len(question.findall('answer')) >= 2


@pytest.mark.parametrize('answer, kind, spoken', [
    ('45', 'numerical', ['45']), ('758,226', 'numerical', ['758226']), ('0.3904', 'numerical', ['0.3904']),
    ('yes', 'multichoice', ['yes', 'no']), ('(4, 45, 22, 22)', 'multichoice', ['(4, 45, 22, 22)', '(4, 22, 22, 45)']),
    ('coat, pullover', 'multichoice', ['coat, pullover', 'bag, shirt'])])
def test_kinds_of_questions(answer, kind, spoken):
    question = handouts._question('n', 'How many?', answer, ['yes', 'bag, shirt', 'float32', answer, '7'])
    said = [element.findtext('text') for element in question.findall('answer')]
    assert question.get('type') == kind and {*spoken} <= {*said} and len({*said}) == len(said) and '7' not in said


def test_the_quiz_is_read_by_a_library_that_knows_the_format(tmp_path, monkeypatch):
    """amc2moodle 2.12 reads Moodle's XML and writes an examination in LaTeX: for those who have installed it."""
    try:
        from amc2moodle.moodle2amc import Quiz
    except ImportError:  # Wand says so too where ImageMagick is missing
        pytest.skip('amc2moodle or ImageMagick is not installed')
    number = handouts.quiz(tmp_path / 'quiz.xml')
    monkeypatch.chdir(tmp_path)
    Quiz('quiz.xml').convert('quiz.tex')
    text = (tmp_path / 'quiz.tex').read_text()
    assert text.count('\\begin{question') == number
    questions = ElementTree.parse(tmp_path / 'quiz.xml').getroot().findall('question')
    chosen = [question for question in questions if question.get('type') == 'multichoice']
    assert text.count('\\correctchoice') == len(chosen)
    assert text.count('\\AMCnumericChoices') == sum(question.get('type') == 'numerical' for question in questions)


# nbgrader

def submission(handout, source, change=None):
    """The handout, solved as in the source, with `change(cell, number)` made in every code cell."""
    solved = nbformat.from_dict(handout)
    number = 0
    for cell, right in zip(solved.cells, source.cells):
        if cell.metadata.get('nbgrader', {}).get('solution'):
            cell.source = re.sub(r'^\s*### (BEGIN|END) SOLUTION\n?', '', right.source, flags=re.M)
        if cell.cell_type == 'code' and change:
            number += cell.metadata.get('nbgrader', {}).get('solution', False)
            change(cell, number)
    return solved


def first_solution(line):
    def change(cell, number):
        if number == 1 and cell.metadata.get('nbgrader', {}).get('solution'):
            cell.source = f'{line}\n{cell.source}'
    return change


def edit_checks(cell, number):
    if cell.metadata.get('nbgrader', {}).get('grade'):
        cell.source = 'print("Correct.")'


def one_wrong(handout, source):
    """The solved set with one wrong answer of tests/notebooks/answers/, and the points that it must cost."""
    text = (ROOT / 'tests' / 'notebooks' / 'answers' / f'{SOLUTIONS[0].stem}.py').read_text(encoding='utf-8')
    test, code = re.search(r'^# %% (\S+) wrong: .*\n((?:(?!# %%).*\n)*)', text, flags=re.M).groups()
    notebook = submission(handout, source)
    place = next(i for i, cell in enumerate(notebook.cells)
                 if cell.metadata.get('nbgrader', {}).get('grade_id') == test)
    answers = [cell for cell in notebook.cells[:place]
               if cell.cell_type == 'code' and cell.metadata.get('nbgrader', {}).get('solution')]
    answers[-1].source = code
    return notebook, notebook.cells[place].metadata.nbgrader.points


def test_nbgrader_from_end_to_end(tmp_path):
    """Right, wrong, untouched and hostile notebooks get the marks that they should, and everybody gets feedback."""
    pytest.importorskip('nbgrader')
    handouts.grader(tmp_path)
    name = SOLUTIONS[0].stem
    # nbgrader calls alembic by its name: the environment's programs must be found.
    environment = {**os.environ, 'PATH': os.pathsep.join([os.path.dirname(sys.executable), os.environ['PATH']]),
                   'D2L_DENSENET_QUICK': '1', 'OMP_NUM_THREADS': '1'}

    def nbgrader(*arguments):
        done = subprocess.run([sys.executable, '-m', 'nbgrader', *arguments], cwd=tmp_path, env=environment,
                              capture_output=True, text=True, timeout=1500)
        return done.returncode, done.stderr

    assert nbgrader('generate_assignment', name)[0] == 0
    handout = nbformat.read(tmp_path / 'release' / name / f'{name}.ipynb', as_version=4)
    source = nbformat.read(SOLUTIONS[0], as_version=4)
    students = {'right': submission(handout, source), 'untouched': handout,
                'endless': submission(handout, source, first_solution('while True: pass')),
                'exits': submission(handout, source, first_solution('import os; os._exit(0)')),
                'edits': nbformat.from_dict(handout)}
    students['wrong'], cost = one_wrong(handout, source)
    for cell in students['edits'].cells:
        edit_checks(cell, 0)
    for student, notebook in students.items():
        folder = tmp_path / 'submitted' / student / name
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f'{name}.ipynb')
    code, said = nbgrader('autograde', name, '--ExecutePreprocessor.timeout=30')
    assert 'exits' in said or code == 0, said
    assert nbgrader('generate_feedback', name)[0] == 0 and nbgrader('export')[0] == 0
    with open(tmp_path / 'grades.csv', newline='') as file:
        score = {row['student_id']: float(row['score']) for row in csv.DictReader(file) if row['score']}
    tests = [cell.metadata.nbgrader for cell in source.cells if cell.metadata.get('nbgrader', {}).get('grade')]
    full = sum(marks.points for marks in tests if not marks.solution)
    assert score['right'] == full > score['endless'] > 0 and score['wrong'] == full - cost
    assert score['untouched'] == score['edits'] == score.get('exits', 0) == 0
    for student in ('right', 'wrong', 'untouched', 'endless', 'edits'):
        assert (tmp_path / 'feedback' / student / name / f'{name}.html').stat().st_size > 10_000, student


def test_the_way_without_nbgrader_ends_whatever_is_handed_in(tmp_path):
    """The command of docs/instructors.md, with less patience."""
    text = (ROOT / 'docs' / 'instructors.md').read_text(encoding='utf-8').split('## Without nbgrader')[1]
    command = text.split('```')[1].replace('.venv/bin/python', shlex.quote(sys.executable))
    assert command.count('1800') == command.count('timeout=600') == 1
    # A handler, not `except`: in CPython 3.11 and 3.12 an interruption can leave an empty loop past its `try`.
    catches = 'import signal\nsignal.signal(signal.SIGINT, lambda *given: None)\nwhile True: pass'

    def named(folder, seconds, **notebooks):
        """What the command says that it could not grade."""
        (folder / 'handed_in').mkdir(parents=True)
        for name, cell in notebooks.items():
            cells = [nbformat.v4.new_code_cell(source) for source in (cell, 'print("after", 1)')]
            notebook = nbformat.v4.new_notebook(
                cells=cells, metadata={'kernelspec': {'name': 'python3', 'display_name': 'Python'}})
            nbformat.write(notebook, folder / 'handed_in' / f'{name}.ipynb')
        patient = command.replace('1800', str(seconds)).replace('timeout=600', 'timeout=30')
        said = subprocess.run(['bash', '-c', patient], cwd=folder, capture_output=True, text=True, timeout=1300).stdout
        return [line.split(':')[0] for line in said.splitlines()]

    with ThreadPoolExecutor() as pool:  # most of it is waiting
        end = pool.submit(named, tmp_path / 'end', 600, loops='while True: pass', right='print("fine")')
        # However busy the machine: neither would ever be graded.
        never = pool.submit(named, tmp_path / 'never', 25, catches=catches, exits='import os; os._exit(1)')
    assert end.result() == [] and never.result() == ['handed_in/catches.ipynb', 'handed_in/exits.ipynb']
    for name in ('loops', 'right'):
        graded = nbformat.read(tmp_path / 'end' / 'graded' / f'{name}.ipynb', as_version=4)
        assert graded.cells[1].outputs[0].text == 'after 1\n', name
