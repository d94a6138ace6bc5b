"""Arrays in both modes, and the search for NaN and infinity among many."""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, switch

from d2l_densenet._common.arrays import array, first_not_finite, to_device


@pytest.mark.parametrize('mode', MODES)
def test_an_array_is_of_the_mode_and_goes_where_it_is_asked_to(mode):
    switch(mode)
    made = array([1, 2], 'int32', mx.cpu(1))
    assert type(made) is (mx.np.ndarray if mode == 'np' else mx.nd.NDArray) and made.dtype == numpy.int32
    assert made.context == mx.cpu(1) and to_device(made, mx.cpu(1)) is made
    moved = to_device(made, mx.cpu(2))
    assert moved.context == mx.cpu(2) and type(moved) is type(made) and moved.asnumpy().tolist() == [1, 2]


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('value', [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize('number', [0, 99, 100, 199, 200, 249])
def test_one_bad_value_among_many_arrays_is_found(mode, value, number):
    make = switch(mode)
    named = {f'array {i}': make(numpy.ones((2, 2), 'float32')) for i in range(250)}
    assert first_not_finite(named) is None
    spoilt = numpy.ones((2, 2), 'float32')
    spoilt[1, 1] = value
    assert first_not_finite({**named, f'array {number}': make(spoilt)}) == f'array {number}'


def test_each_device_is_searched_and_the_first_by_name_is_told():
    def on(device, value):
        return mx.nd.full((3,), value, ctx=mx.cpu(device))

    assert first_not_finite({'a': on(0, 1), 'b': on(1, 1), 'c': on(2, 1)}) is None
    for device in range(3):
        assert first_not_finite({'a': on(0, 1), 'b': on(1, 1), 'c': on(2, 1), 'd': on(device, numpy.nan)}) == 'd'
    assert first_not_finite({'a': on(0, 1), 'b': on(0, numpy.inf), 'c': on(0, numpy.nan)}) == 'b'


@pytest.mark.parametrize('dtype', ['float64', 'float16'])
def test_other_floating_point_types_are_searched(dtype):
    good, bad = (mx.nd.array([1, value], dtype=dtype) for value in (2, numpy.nan))
    assert first_not_finite({'good': good, 'bad': bad}) == 'bad' and first_not_finite({'good': good}) is None


def test_large_values_and_other_types_are_finite():
    large = {'large': mx.nd.full((3,), 3e38), 'negative': mx.nd.full((3,), -3e38),
             'whole': mx.nd.ones(2, dtype='int32')}
    assert first_not_finite(large) is None and first_not_finite({}) is None
    assert first_not_finite({**large, 'last': mx.nd.full((1,), numpy.nan)}) == 'last'
