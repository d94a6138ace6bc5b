"""Checks of arguments: the ends of each range, what comes back, what an error says."""

import mxnet as mx
import numpy
import pytest
from helpers import switch

from d2l_densenet import DenseBlock, conv_block, resnet
from d2l_densenet._common.arguments import a_seed, known_name, number, one_of, positive_int, share, show, sizes
from d2l_densenet._common.arguments import switch as true_or_false


def at_least_zero(name, value):
    return positive_int(name, value, least=0)


def at_most_seven(name, value):
    return positive_int(name, value, most=7)


def above_zero(name, value):
    return number(name, value, above=0)


def a_part(name, value):
    return number(name, value, above=0, most=1)


BELOW_ONE = float(numpy.nextafter(1, 0))


@pytest.mark.parametrize('check, good', [
    (positive_int, [1, 2 ** 31 - 1]), (at_least_zero, [0, 2 ** 31 - 1]), (at_most_seven, [1, 7]),
    (a_seed, [0, 2 ** 32 - 1]), (number, [0, 0.0, 1e308]), (above_zero, [1e-300, 3]), (a_part, [1e-300, 1]),
    (share, [0, 0.0, BELOW_ONE]), (true_or_false, [True, False, numpy.True_, numpy.False_])])
def test_both_ends_of_a_range_are_taken(check, good):
    kind = {true_or_false: bool, number: float, above_zero: float, a_part: float, share: float}.get(check, int)
    for value in good:
        taken = check('it', value)
        assert taken == value and type(taken) is kind


@pytest.mark.parametrize('check, bad, words', [
    (positive_int, 0, 'an integer of at least 1, got 0'), (at_least_zero, -1, 'an integer of at least 0, got -1'),
    (positive_int, 2 ** 31, 'an integer of at most 2,147,483,647, got 2147483648'),
    (at_most_seven, 8, 'an integer of at most 7, got 8'), (a_seed, -1, 'an integer of at least 0, got -1'),
    (a_seed, 2 ** 32, 'an integer of at most 4,294,967,295, got 4294967296'),
    (number, -1e-9, 'a finite number of at least 0, got -1e-09'), (number, numpy.inf, 'a finite number of at least 0'),
    (number, False, 'a finite number of at least 0, got False'),
    (above_zero, 0, 'a finite number above 0, got 0'), (above_zero, -2, 'a finite number above 0, got -2'),
    (a_part, 0, 'a finite number above 0 and at most 1, got 0'), (a_part, 1.001, 'above 0 and at most 1, got 1.001'),
    (share, 1, 'a number with 0 <= it < 1, got 1'), (share, 1.5, 'it < 1, got 1.5'), (share, -1e-9, 'got -1e-09'),
    (share, False, 'it < 1, got False'), (true_or_false, 1, 'True or False, got 1')])
def test_what_lies_beyond_an_end_is_named(check, bad, words):
    with pytest.raises(ValueError) as caught:
        check('it', bad)
    assert str(caught.value).startswith('it must be ') and str(caught.value).find(words) > 0


def test_one_of_a_list():
    assert one_of('stem', 'cifar', ('imagenet', 'cifar')) == 'cifar'
    for bad in ('cif', ['cifar'], None):
        with pytest.raises(ValueError, match="stem must be one of 'imagenet', 'cifar', got "):
            one_of('stem', bad, ('imagenet', 'cifar'))


@pytest.mark.parametrize('name, nearest', [
    ('Abcd', 'abcd'), ('abxy', 'abcd'), ('axyz', None), ('rstuv', 'rstuvw'), (3, None), (None, None)])
def test_a_name_that_half_agrees_with_a_known_one_gets_a_hint(name, nearest):
    table = {'abcd': 1, 'rstuvw': 2}
    assert known_name('rstuvw', table) == 2
    hint = r'\. Did you mean ' + repr(nearest) if nearest else r'\.$'
    with pytest.raises(ValueError, match=r'^name must be one of abcd, rstuvw; got .*' + hint):
        known_name(name, table)


def test_sizes_come_back_as_a_tuple():
    assert sizes('s', [3, 32, 32], '(3, 32, 32)') == sizes('s', (3, 32, 32), '', axes=3) == (3, 32, 32)
    assert sizes('s', [4], '(4,)') == sizes('s', numpy.array([4]).tolist(), '(4,)', axes=1) == (4,)
    for bad in ((1, 2), (1, 2, 3, 4), 'abc', {1: 2, 3: 4, 5: 6}, 3):
        with pytest.raises(ValueError, match=r's must be a sequence of 3 positive integers, such as \(3, 8, 8\), got '):
            sizes('s', bad, '(3, 8, 8)', axes=3)
    for bad in ((), '4', 4):
        with pytest.raises(ValueError, match='s must be a sequence of one or more positive integers, such as .4,., '):
            sizes('s', bad, '(4,)')
    for bad in ((1, 0), (1, 2.0), (1, True)):
        with pytest.raises(ValueError, match='each entry of s must be an integer of at least 1, got'):
            sizes('s', bad, '')


class Wordy:
    def __init__(self, length):
        self.length = length

    def __repr__(self):
        return 'w' * self.length


def test_a_value_of_up_to_120_characters_is_shown_whole():
    for make, quotes in ((lambda length: 'x' * length, 2), (Wordy, 0)):
        assert show(make(120 - quotes)) == repr(make(120 - quotes))
        assert len(show(make(121 - quotes))) == 120 and '...' in show(make(121 - quotes))
    assert show('two\n lines') == r"'two\n lines'" and show(numpy.ones(3, 'int8')) == 'a numpy.ndarray of int8 (3,)'
    assert show(mx.nd.zeros((2, 3))) == 'an mx.nd array of float32 (2, 3)'
    assert show(mx.np.zeros(2)) == 'an mx.np array of float32 (2,)'


@pytest.mark.parametrize('make', [lambda **kwargs: conv_block(2, **kwargs), lambda **kwargs: DenseBlock(1, 2, **kwargs),
                                  lambda **kwargs: resnet('d2l_resnet18', **kwargs)])
def test_prefix_and_params_are_those_of_the_block(make):
    shared = mx.gluon.nn.Dense(2).params
    assert make(prefix='mine_', params=shared).prefix == 'mine_'
    with pytest.raises(TypeError, match='^prefix must be a text or None, got 3$'):
        make(prefix=3)
    with pytest.raises(TypeError, match='^params must be a gluon.ParameterDict, .* got {}$'):
        make(params={})


def test_images_without_pixels_or_with_other_axes_are_named():
    switch('np')
    block = conv_block(2, in_channels=1)
    block.initialize()
    for shape in ((1, 1, 0, 5), (1, 1, 5, 0)):
        with pytest.raises(ValueError, match=f'conv_block takes images of at least one pixel, got .{str(shape)[1:-1]}'):
            block(mx.np.zeros(shape))
    for shape in ((1, 5, 5), (1, 1, 1, 5, 5)):
        with pytest.raises(ValueError, match=r'conv_block takes images of shape \(N, 1, H, W\), got'):
            block(mx.np.zeros(shape))
    assert block(mx.np.zeros((1, 1, 1, 1))).shape == (1, 2, 1, 1)
