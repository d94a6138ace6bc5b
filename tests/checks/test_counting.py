"""The checks of functions of numbers: correct ones pass, and each likely mistake gets its own sentence."""

import functools

import numpy
import pytest
from helpers import MODES
from learners import (
    assert_passes,
    assert_sentence,
    assert_ten_mistakes,
    forgets_return,
    mistakes,
    solutions,
)


def count(c, L, k, bias=1, norm=2, kernel=9, start=0):
    return sum(norm * (c + k * (i + start)) + kernel * (c + k * (i + start)) * k + bias * k for i in range(L))


def kept(c, k, L, h, w):
    return sum(c + k * i for i in range(L)) * h * w


MISTAKES = [
    ('connections', 'plain chain', lambda L: L, r'returns 2; it should be 3\. .*plain chain'),
    ('connections', 'half without the input', lambda L: L * (L - 1) // 2, r"block's input"),
    ('connections', 'all pairs twice', lambda L: L * (L - 1), r'counted twice'),
    ('connections', 'no half', lambda L: L * (L + 1), r'twice too many'),
    ('connections', 'square', lambda L: L ** 2, r'every layer with every layer'),
    ('connections', 'lost brackets', lambda L: L * L + 1 // 2, r'brackets'),
    ('connections', 'float', lambda L: L * (L + 2) / 2, r'returns 1\.5.*a count is a whole number.*//'),
    ('connections', 'range one too long', lambda L: sum(range(L + 2)), r'one too long'),
    ('connections', 'range one too short', lambda L: sum(range(L)), r'only to L - 1'),
    ('connections', 'power of two', lambda L: 2 ** L, r'[Dd]oubling'),
    ('connections', 'caret', lambda L: L ^ 2, r'\^ is not a power'),
    ('connections', 'divides first', lambda L: L // 2 * (L + 1), r'loses the half'),
    ('connections', 'neighbours', lambda L: L - 1, r'neighbours'),
    ('connections', 'the list', lambda L: [(s, i) for i in range(L) for s in range(i + 1)], r'list of length 1.*len'),
    ('connections', 'no return', forgets_return, r'returns None.*return'),
    ('connections', 'hard-coded', lambda L: 10, r'uses? its arguments'),
    ('connections', 'text', lambda L: str(L * (L + 1) // 2),
     r"should return an integer and returns '1' \(of type str\)"),
    ('connections', 'array', lambda L: numpy.arange(L + 1), r'returns an array'),
    ('connections', 'two arguments', lambda L, k: L, r'should take \(num_layers\), and yours takes \(L, k\)'),
    ('block_parameters', 'no bias', functools.partial(count, bias=0), r'7,360; it should be 7,400.*biases'),
    ('block_parameters', 'no BN', functools.partial(count, norm=0), r'batch normalisations, 2'),
    ('block_parameters', 'only gamma', functools.partial(count, norm=1), r'gamma and beta'),
    ('block_parameters', 'running statistics', functools.partial(count, norm=4), r'mean and variance are not trained'),
    ('block_parameters', '1x1', functools.partial(count, kernel=1), r'Is the kernel in it'),
    ('block_parameters', '3', functools.partial(count, kernel=3), r'both its sides'),
    ('block_parameters', '3 + 3', functools.partial(count, kernel=6), r'not 3 \+ 3'),
    ('block_parameters', 'one layer too far', functools.partial(count, start=1), r'one layer too far'),
    ('block_parameters', 'no growth', lambda c, L, k: L * count(c, 1, k), r'reads more than the one before'),
    ('block_parameters', 'without the input', lambda c, L, k: count(0, L, k), r"channels of the block's input"),
    ('block_parameters', 'last layer', lambda c, L, k: count(c + k * (L - 1), 1, k), r'last layer alone'),
    ('block_parameters', 'first layer', lambda c, L, k: count(c, 1, k), r'first layer alone'),
    ('block_parameters', 'one layer missing', lambda c, L, k: count(c, L - 1, k), r'last layer is missing'),
    ('block_parameters', 'one layer too many', lambda c, L, k: count(c, L + 1, k), r'one layer too many'),
    ('block_parameters', 'plain chain', lambda c, L, k: count(c, 1, k) + (L - 1) * count(k, 1, k), r'plain chain'),
    ('block_parameters', 'BN on the outputs', lambda c, L, k: count(c, L, k, norm=0) + 2 * k * L,
     r'on how many channels'),
    ('block_parameters', 'neither BN nor bias', functools.partial(count, norm=0, bias=0),
     r'biases.*batch normalisations|batch normalisations.*biases'),
    ('block_parameters', 'swapped', lambda c, L, k: count(c, k, L), r'num_convs and growth_rate swapped'),
    ('block_parameters', 'float', lambda c, L, k: count(c, L, k) / 3, r'a count is a whole number'),
    ('block_parameters', 'something else', lambda c, L, k: 17 * c + L + k, r'by hand for in_channels = 5'),
    ('kept_values', 'channels', lambda c, k, L, h, w: kept(c, k, L, 1, 1), r'Those are channels'),
    ('kept_values', 'only height', lambda c, k, L, h, w: kept(c, k, L, h, 1), r'Where is the width'),
    ('kept_values', 'sum of sides', lambda c, k, L, h, w: kept(c, k, L, h + w, 1), r'a \+ that should be a \*'),
    ('kept_values', 'square maps', lambda c, k, L, h, w: kept(c, k, L, h, h), r'square one'),
    ('kept_values', 'one layer too many', lambda c, k, L, h, w: kept(c, k, L + 1, h, w), r'one layer too many'),
    ('kept_values', 'one layer missing', lambda c, k, L, h, w: kept(c, k, L - 1, h, w), r'last layer is missing'),
    ('kept_values', 'one layer too far', lambda c, k, L, h, w: kept(c + k, k, L, h, w), r'one layer too far'),
    ('kept_values', 'output', lambda c, k, L, h, w: (c + k * L) * h * w, r'leaves the block'),
    ('kept_values', 'last input', lambda c, k, L, h, w: (c + k * (L - 1)) * h * w, r'input of the last layer'),
    ('kept_values', 'new features', lambda c, k, L, h, w: k * L * h * w, r'new features alone'),
    ('kept_values', 'no input', lambda c, k, L, h, w: kept(0, k, L, h, w), r"channels of the block's input"),
    ('kept_values', 'input once', lambda c, k, L, h, w: c * h * w + kept(0, k, L, h, w), r"copies the block's input"),
    ('kept_values', 'no growth', lambda c, k, L, h, w: c * L * h * w, r'grow by growth_rate'),
    ('kept_values', 'L^2 / 2', lambda c, k, L, h, w: (L * c + k * L * L // 2) * h * w, r'L\(L-1\)/2, not'),
    ('kept_values', 'no half', lambda c, k, L, h, w: (L * c + k * L * (L - 1)) * h * w, r'Where is the half'),
    ('kept_values', 'bytes', lambda c, k, L, h, w: 4 * kept(c, k, L, h, w), r'Those are bytes'),
    ('kept_values', 'kept bytes', lambda c, k, L, h, w: 8 * kept(c, k, L, h, w), r'the 4 and the 2'),
    ('kept_values', 'twice', lambda c, k, L, h, w: 2 * kept(c, k, L, h, w), r'Twice too many'),
    ('kept_values', 'swapped', lambda c, k, L, h, w: kept(k, c, L, h, w), r'in_channels and growth_rate swapped'),
]

CORRECT = [
    ('connections', lambda L: L * (L + 1) // 2),
    ('connections', lambda L: numpy.int64(L * (L + 1) // 2)),
    ('connections', lambda num_layers=4, **kwargs: sum(range(num_layers + 1))),
    ('block_parameters', count),
    ('block_parameters', lambda c, L, k: numpy.int64(count(c, L, k))),
    ('kept_values', kept),
]


@mistakes(MISTAKES)
def test_a_mistake_gets_its_own_sentence(check, learner, expected):
    assert_sentence(check, learner, expected)


@pytest.mark.parametrize('mode', MODES)
@solutions(CORRECT)
def test_a_correct_solution_passes(mode, check, learner, capsys):
    assert_passes(check, learner, mode, capsys)


def test_every_check_knows_at_least_ten_mistakes():
    assert_ten_mistakes('counting', MISTAKES)
