"""The checks for any task: spelling does not count, behavior does, and the right answer stays hidden."""

import mxnet as mx
import numpy
import pytest

from d2l_densenet import checks
from d2l_densenet.checks import CheckFailed


@pytest.mark.parametrize('said', [(3, 6, 3, 5), [3, 6, 3, 5], '3 x 6 x 3 x 5', numpy.array([3, 6, 3, 5])])
def test_an_answer_in_any_spelling(said, capsys):
    checks.answer(said, (3, 6, 3, 5), 'shape')
    assert capsys.readouterr().out == 'shape: correct.\n'


@pytest.mark.parametrize('said, sentence', [
    (None, 'shape is still None'), (..., 'shape is still Ellipsis'),
    ((3, 9, 3, 5), 'number 2 of 4 is not right. Which layer'),
    ((3, 6, 5), '4 values were asked for, 3 given'), ('big', '4 values were asked for'),
    ((3, 5, 3, 6), 'another order')])
def test_a_wrong_answer_gets_a_sentence_without_the_right_one(said, sentence):
    with pytest.raises(CheckFailed) as failure:
        checks.answer(said, (3, 6, 3, 5), 'shape', hints=[((3, 9, 3, 5), 'Which layer sets the channels?')])
    assert sentence in str(failure.value) and '3, 6, 3, 5' not in str(failure.value)


@pytest.mark.parametrize('said', [{'coat'}, 'shirt', ['coat', 'bag']])
def test_what_is_missing_from_a_set_is_not_given_away(said):
    with pytest.raises(CheckFailed) as failure:
        checks.answer(said, {'coat', 'pullover'})
    assert 'pullover' not in str(failure.value)


def draw(rng):
    return [tuple(map(int, rng.integers(1, 30, 2))) for _ in range(4)]


@pytest.mark.parametrize('f', [lambda m, n: m * n, lambda m, n: numpy.int64(m * n), lambda m, n: float(m * n),
                               lambda *a: [a[0] * a[1]], lambda m, n: mx.nd.array([m * n])])
def test_a_function_by_what_it_returns(f, capsys):
    checks.function(f, lambda m, n: m * n, draw)
    assert capsys.readouterr().out.endswith(': correct.\n')


@pytest.mark.parametrize('f, sentence', [
    (lambda m, n: None, 'returns None'), (lambda m, n: m + n, 'Add or multiply?'),
    (lambda m, n: m * n + 1, 'it should be'),
    (lambda m: m, 'positional argument'), (3, 'A function is wanted'), (lambda m, n: 1 / 0, 'ZeroDivisionError'),
    (lambda m, n: numpy.ones((m, n)), 'an array of shape')])
def test_a_wrong_function_gets_a_sentence(f, sentence):
    with pytest.raises(CheckFailed) as failure:
        checks.function(f, lambda m, n: m * n, draw, hints=[(lambda m, n: m + n, 'Add or multiply?')])
    assert sentence in str(failure.value)


def test_arrays_are_compared_as_values_and_left_as_they_are():
    x = numpy.array([-2., 1., 3.])
    checks.function(lambda x: mx.nd.array(x).relu(), lambda x: numpy.maximum(x, 0), [(x,)])

    def spoils(x):
        x[:] = 0
        return x
    with pytest.raises(CheckFailed, match='differs from what is right by up to 3'):
        checks.function(spoils, lambda x: x, [(x,)])
    assert x.tolist() == [-2, 1, 3]
    checks.function(lambda x: x + numpy.nan, lambda x: x * numpy.nan, [(x,)])
    with pytest.raises(CheckFailed, match='nan or infinite values'):
        checks.function(lambda x: numpy.sqrt(x), lambda x: x, [(x,)])
    with pytest.raises(CheckFailed, match='returns 1; it should be nan'):
        checks.function(lambda x: 1.0, lambda x: numpy.nan, [(x,)])
    checks.function(lambda x: numpy.nan, lambda x: numpy.nan, [(x,)])
    with pytest.raises(CheckFailed, match=r'shape \(1, 3\); it should be \(3,\)'):
        checks.function(lambda x: x[None], lambda x: x, [(x,)])


@pytest.mark.parametrize('f, sentence', [
    (lambda p: 100 * p, 'returns 39.12; it should be 0.3912'), (lambda p: round(p, 2), 'returns 0.39; it'),
    (str, 'returns 0.391234; it should be 0.3912'), (lambda p: f'{p:.4g}', "returns '0.3912'; it should be 0.391234"),
    (lambda p: f'{p:.3f}', 'returns 0.391; it should be 0.3912'),
    (lambda p: (p, p), 'it should be 0.3912')])
def test_a_function_gives_numbers_to_go_on_with(f, sentence):
    checks.answer('39.1 %', 0.391234)  # which a person may write down
    with pytest.raises(CheckFailed) as failure:
        checks.function(f, lambda p: p, [(0.391234,), (0.5,)], tolerance=1e-6)
    assert sentence in str(failure.value)
    with pytest.raises(CheckFailed, match=r'it should be \(1, 0.3912'):
        checks.function(lambda p: (1, f(p)), lambda p: (1, p), [(0.391234,), (0.5,)], tolerance=1e-6)


def test_cases_are_drawn_anew_at_each_check():
    seen = []
    for _ in range(2):
        checks.function(lambda m, n: seen.append((m, n)) or m * n, lambda m, n: m * n, draw)
    assert len({*seen[:4]} & {*seen[4:]}) < 4


def refuse(theta):
    if not 0 < theta <= 1:
        raise ValueError(f'theta must be in (0, 1], got {theta}')


def test_an_error_that_says_what_is_wrong(capsys):
    checks.raises(refuse, 2, mentions=('theta', 2))
    assert 'refused. Correct.' in capsys.readouterr().out


@pytest.mark.parametrize('f, sentence', [
    (lambda theta: theta, 'it should raise ValueError or TypeError'), (lambda theta: 1 / 0, 'raises ZeroDivisionError'),
    (lambda theta: int('x'), 'does not name theta and 2'), (5, 'This check wants your function itself'),
    (lambda: 1, 'should take (1 values), and yours takes ()'), (lambda theta: exit(), 'ends Python'),
    (lambda theta: print('x' * 20000), 'printed more than 10,000 characters')])
def test_a_missing_or_mute_error_gets_a_sentence(f, sentence):
    with pytest.raises(CheckFailed) as failure:
        checks.raises(f, 2, mentions=('theta', 2))
    assert sentence in str(failure.value)
