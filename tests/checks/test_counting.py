"""The checks of functions of numbers: correct ones pass, and each likely mistake gets its own sentence."""

import functools
import re

import mxnet as mx
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
from mxnet import npx

from d2l_densenet import checks


def count(c, L, k, bias=1, norm=2, kernel=9, start=0):
    return sum(norm * (c + k * (i + start)) + kernel * (c + k * (i + start)) * k + bias * k for i in range(L))


def counts(read, norm=lambda c, k: 2 * c):
    """The parameters of a block whose layers read `read(c, L, k)` channels."""
    return lambda c, L, k: sum(norm(width, k) + 9 * width * k + k for width in read(c, L, k))


def right(c, L, k):
    return [c + k * i for i in range(L)]


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
    ('connections', 'one missing', lambda L: L * (L + 1) // 2 - 1, r'One is missing'),
    ('connections', 'one too many', lambda L: L * (L + 1) // 2 + 1, r'One too many'),
    ('connections', 'reads itself', lambda L: L * (L + 3) // 2, r'reading itself'),
    ('connections', 'subsets', lambda L: 2 ** L - 1, r'[Dd]oubling'),
    ('connections', 'a large one', lambda L: 2 ** 60 + L, rf'returns {2 ** 60 + 1:,}; it should be 1'),
    ('connections', 'halves the other first', lambda L: (L + 1) // 2 * L, r'\(L \+ 1\) // 2 loses the half'),
    ('connections', 'two a layer', lambda L: L + L, r'How many things does the fourth layer read'),
    ('connections', 'something else', lambda L: 3 * L + 4, r'returns 7; it should be 1\. .*for num_layers = 1,'),
    ('connections', 'neighbors', lambda L: L - 1, r'neighbors'),
    ('connections', 'the list', lambda L: [(s, i) for i in range(L) for s in range(i + 1)], r'list of length 1.*len'),
    ('connections', 'no return', forgets_return, r'returns None.*return'),
    ('connections', 'hard-coded', lambda L: 10, r'uses? its arguments'),
    ('connections', 'text', lambda L: str(L * (L + 1) // 2),
     r"should return an integer and returns '1' \(of type str\)"),
    ('connections', 'array', lambda L: numpy.arange(L + 1), r'returns an array'),
    ('connections', 'two arguments', lambda L, k: L, r'should take \(num_layers\), and yours takes \(L, k\)'),
    ('block_parameters', 'no bias', functools.partial(count, bias=0), r'7,360; it should be 7,400.*biases'),
    ('block_parameters', 'no BN', functools.partial(count, norm=0), r'batch normalizations, 2'),
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
    ('block_parameters', 'two for each BN', counts(right, lambda c, k: 2), r'not one of each'),
    ('block_parameters', 'BN on both sides', counts(right, lambda c, k: 2 * c + 2 * k), r'What is the other'),
    ('block_parameters', 'new features', counts(lambda c, L, k: [k * i for i in range(1, L + 1)]),
     r"channels of the block's input"),
    ('block_parameters', 'grows by one', counts(lambda c, L, k: range(c, c + L)), r'not one\. By how much'),
    ('block_parameters', 'input and the last', counts(lambda c, L, k: [c, *[c + k] * (L - 1)]), r'Layer 3 reads'),
    ('block_parameters', 'what leaves', counts(lambda c, L, k: [c + k * L] * L), r'what leaves the block'),
    ('block_parameters', 'grows by the input', counts(lambda c, L, k: range(c, c * L + 1, c)), r'not in_channels'),
    ('block_parameters', 'first missing', counts(lambda c, L, k: right(c, L, k)[1:]), r'first layer is missing'),
    ('block_parameters', 'chain without BN', counts(lambda c, L, k: [c, *[k] * (L - 1)], lambda c, k: 0),
     r'batch normalizations, 2.*plain chain'),
    ('block_parameters', 'input and layers swapped', lambda c, L, k: count(L, c, k),
     r'in_channels and num_convs swapped'),
    ('block_parameters', 'input and growth swapped', lambda c, L, k: count(k, L, c),
     r'in_channels and growth_rate swapped'),
    ('block_parameters', 'constant', lambda c, L, k: 7400, r'same whatever comes in: does it use its arguments'),
    ('block_parameters', 'neither BN nor bias', functools.partial(count, norm=0, bias=0),
     r'biases.*batch normalizations|batch normalizations.*biases'),
    ('block_parameters', 'swapped', lambda c, L, k: count(c, k, L), r'num_convs and growth_rate swapped'),
    ('block_parameters', 'float', lambda c, L, k: count(c, L, k) / 3, r'a count is a whole number'),
    ('block_parameters', 'something else', lambda c, L, k: 17 * c + L + k, r'by hand for in_channels = 5'),
    ('kept_values', 'channels', lambda c, k, L, h, w: kept(c, k, L, 1, 1), r'Those are channels'),
    ('kept_values', 'only height', lambda c, k, L, h, w: kept(c, k, L, h, 1), r'Where is the width'),
    ('kept_values', 'only width', lambda c, k, L, h, w: kept(c, k, L, 1, w), r'Where is the height'),
    ('kept_values', 'square maps of the width', lambda c, k, L, h, w: kept(c, k, L, w, w), r'square one'),
    ('kept_values', 'first missing', lambda c, k, L, h, w: kept(c + k, k, L - 1, h, w), r'input of layer 1'),
    ('kept_values', 'input alone', lambda c, k, L, h, w: c * h * w, r'return inside the loop'),
    ('kept_values', 'layers swapped', lambda c, k, L, h, w: kept(c, L, k, h, w), r'growth_rate and num_layers swapped'),
    ('kept_values', 'constant', lambda c, k, L, h, w: 35200, r'uses? its arguments'),
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
    ('connections', lambda L: mx.nd.array([L * (L + 1) / 2])),
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


@pytest.mark.parametrize('check, learner, first', [
    ('connections', lambda L: L * (L + 1) // 2, [(1,), (2,), (3,), (4,), (12,), (40,)]),
    ('block_parameters', count, [(5, 4, 10), (64, 4, 32), (3, 1, 7), (120, 6, 12)]),
    ('kept_values', kept, [(5, 10, 4, 22, 20), (64, 32, 4, 12, 12), (3, 7, 1, 4, 6), (24, 12, 16, 32, 30)])])
def test_three_questions_are_drawn_at_each_check(check, learner, first, capsys):
    npx.set_np()
    asked = []

    def learners(*args):
        asked.append(args)
        return learner(*args)

    times = 600 // len(first[0])  # so that a number that may be drawn is missing once in 10^13 runs
    for _ in range(times):
        getattr(checks, check)(learners)
    rounds = [asked[i:i + len(first) + 3] for i in range(0, len(asked), len(first) + 3)]
    assert len(rounds) == times and all(questions[:-3] == first for questions in rounds)
    assert numpy.unique([questions[-3:] for questions in rounds]).tolist() == list(range(1, 60))
    numbers = re.sub(r'.* L = (.*) and others.*', r'\1', capsys.readouterr().out.splitlines()[0])
    assert check != 'connections' or numbers == ', '.join(str(L) for L, in first)
