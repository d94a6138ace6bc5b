"""Batches, checked. (What each public function says of bad ones: tests/test_bad_input.py.)"""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, switch

from d2l_densenet._common.batches import a_batch, iterable, labels_of


@pytest.mark.parametrize('labels, said', [
    ([0, 3, 1], '3.0 at position 1'), ([0, 1, 7], '7.0 at position 2'), ([-1, 0, 1], '-1.0 at position 0'),
    ([0, -5, 9], '-5.0 at position 1'), ([0, 1, 0.5], '0.5 at position 2'), ([0, 1, numpy.inf], 'inf at position 2')])
@pytest.mark.parametrize('mode', MODES)
def test_labels_are_whole_numbers_below_the_number_of_classes(mode, labels, said):
    make = switch(mode)
    good = labels_of('data_iter', 1, make(numpy.zeros((3, 3), 'float32')), make([0, 2, 1], dtype='int32'))
    assert good.tolist() == [0, 2, 1]
    with pytest.raises(ValueError, match=f'labels in batch 4 of data_iter must be integers from 0 to 2, as net has 3 '
                                         f'classes, got {said}: mend'):
        labels_of('data_iter', 4, make(numpy.zeros((3, 3), 'float32')), make(numpy.array(labels, 'float32')))


@pytest.mark.parametrize('shape', [(3,), (3, 2, 1), (2, 5), (4, 5)])
def test_scores_have_a_row_for_each_label(shape):
    with pytest.raises(ValueError, match=r'scores of the shape \(3, classes\) for batch 2 of it, got an mx.nd'):
        labels_of('it', 2, mx.nd.zeros(shape), mx.nd.zeros(3))
    with pytest.raises(ValueError, match=r'scores of the shape \(3, classes\) for batch 2 of it, got \['):
        labels_of('it', 2, [mx.nd.zeros((3, 2))], mx.nd.zeros(3))


@pytest.mark.parametrize('mode', MODES)
def test_a_pair_of_arrays_is_a_batch(mode):
    make = switch(mode)
    for kind in (tuple, list):
        X, y = make(numpy.full((2, 1, 3, 3), 3e38, 'float32')), make([1, 0])  # the sum of the images overflows
        assert a_batch('it', 1, kind((X, y))) == (X, y)
    for count in (0, 1, 3):
        with pytest.raises(TypeError, match=rf'batch 5 of it must be a pair .images, labels., got a tuple of {count}$'):
            a_batch('it', 5, (X, y, y)[:count])
    with pytest.raises(TypeError, match=rf'the labels in batch 5 of it must be an mx.{mode} array, .*dtype="int32"'):
        a_batch('it', 5, (X, [1, 0]))
    with pytest.raises(TypeError, match=rf'the images in batch 5 of it must be an mx.{mode} array, .*dtype="float32"'):
        a_batch('it', 5, ([1, 0], y))


@pytest.mark.parametrize('value', [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize('dtype', ['float32', 'float64', 'float16'])
def test_images_that_are_not_finite_are_named_whatever_their_type(value, dtype):
    X = mx.nd.array([[1, value]], dtype=dtype)
    with pytest.raises(ValueError, match='the images in batch 1 of it hold NaN or infinity'):
        a_batch('it', 1, (X, mx.nd.zeros(1)))


def test_what_a_loop_can_go_over_is_taken_as_it_is():
    for good in ([], (), iter([]), (pair for pair in ())):
        assert iterable('it', good) is good
    for bad in ('ab', b'ab', {}, numpy.zeros(3), mx.nd.zeros(3), 3, None):
        with pytest.raises(TypeError, match=r'^it must be iterable and give \(images, labels\) pairs'):
            iterable('it', bad)
