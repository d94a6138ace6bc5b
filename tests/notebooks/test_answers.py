"""Answers that people give, right and wrong, to every exercise: each gets the verdict and the sentence that it should.

tests/notebooks/answers/SET.py holds them. Each follows a line ``# %% TEST right: what is unusual about it`` or
``# %% TEST wrong: what is wrong | words of the sentence``, where TEST is the grade_id of the cell that judges it.
"""

import collections
import contextlib
import io
import linecache
import re
import warnings

import mxnet as mx
import nbformat
import pytest
from helpers import ROOT

from d2l_densenet.checks import CheckFailed
from tools import make_exercises

ANSWERS = ROOT / 'tests' / 'notebooks' / 'answers'
SETS = sorted(path.stem for path in ANSWERS.glob('*.py'))
Answer = collections.namedtuple('Answer', 'set test verdict what sentence code')


def marks(cell):
    return cell.metadata.get('nbgrader', {})


def read(name):
    return nbformat.read(ROOT / 'notebooks' / 'solutions' / f'{name}.ipynb', as_version=4)


def judging(name):
    """The ids of the cells of a set that judge code."""
    return [marks(cell)['grade_id'] for cell in read(name).cells
            if cell.cell_type == 'code' and marks(cell).get('grade')]


def answers(name):
    parts = re.split(r'^# %% (.*)\n', (ANSWERS / f'{name}.py').read_text(encoding='utf-8'), flags=re.M)[1:]
    for head, code in zip(parts[::2], parts[1::2]):
        test, verdict, what, _, sentence = re.fullmatch(r'(\S+) (right|wrong): ([^|]+?)( \| (.+))?', head).groups()
        yield Answer(name, test, verdict, what, sentence, code)


ALL = [answer for name in SETS for answer in answers(name)]


def judged(answer):
    """(what the cell as handed out says, what the whole cell says): None, or the exception."""
    cells = read(answer.set).cells
    place = next(i for i, cell in enumerate(cells) if marks(cell).get('grade_id') == answer.test)
    names = {'__name__': '__main__'}
    said = []
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for cell in cells[:place]:
            if cell.cell_type == 'code' and not marks(cell).get('solution') and not marks(cell).get('grade'):
                exec(cell.source, names)
        # As in Jupyter, where a check can show the learner's own line.
        place_of_code = f'{answer.set} {answer.test}'
        linecache.cache[place_of_code] = len(answer.code), None, answer.code.splitlines(keepends=True), place_of_code
        try:
            exec(compile(answer.code, place_of_code, 'exec'), names)
        except NotImplementedError:
            pass
        for source in (make_exercises.replace_regions(cells[place].source, 'HIDDEN TESTS')[0], cells[place].source):
            try:
                exec(source, dict(names))
                mx.nd.waitall()
                said.append(None)
            except Exception as error:
                said.append(error)
    return said


@pytest.fixture(autouse=True)
def as_in_the_notebooks(monkeypatch, tmp_path):
    monkeypatch.setenv('D2L_DENSENET_QUICK', '1')
    monkeypatch.chdir(tmp_path)
    mx.npx.set_np()


@pytest.mark.parametrize('answer', ALL, ids=lambda answer: f'{answer.set}-{answer.test}-{answer.what}')
def test_an_answer_gets_its_verdict_and_a_sentence(answer):
    visible, whole = judged(answer)
    if answer.verdict == 'right':
        assert visible is None and whole is None
        return
    assert whole is not None, 'a wrong answer gets the points'
    assert isinstance(whole, CheckFailed), f'no sentence but {whole!r}'
    assert visible is not None, f'the visible check calls it correct, the hidden test says: {whole}'
    assert answer.sentence and answer.sentence in str(whole), str(whole)


@pytest.mark.parametrize('name', sorted(path.stem for path in (ROOT / 'notebooks' / 'solutions').glob('*.ipynb')))
def test_every_exercise_has_enough_answers(name):
    counted = collections.Counter((answer.test, answer.verdict) for answer in ALL if answer.set == name)
    assert {test for test, _ in counted} == {*judging(name)}
    for test in judging(name):
        assert counted[test, 'right'] >= 3 and counted[test, 'wrong'] >= 6, test
