"""Mean absolute weights of the connections in a dense block, and connections cut."""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, switch
from mxnet.gluon import nn

from d2l_densenet import DenseBlock, cut_connection, mean_absolute_weights


def make(mode, layers=3, bottleneck=None, in_channels=5):
    """A block with k = 4 and random values, and 2 images for it."""
    array = switch(mode)
    mx.random.seed(0)
    block = DenseBlock(layers, 4, bottleneck=bottleneck)
    block.initialize(mx.init.Normal(0.5))
    X = array(numpy.random.RandomState(0).normal(size=(2, in_channels, 6, 6)).astype('float32'))
    block(X)
    mx.nd.waitall()
    return block, X


def first_convolution(block, layer):
    return block.net[layer - 1][2].weight


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('bottleneck', [None, 2])
def test_each_mean_is_over_the_channels_of_one_source(mode, bottleneck):
    block, _ = make(mode, bottleneck=bottleneck)
    borders = [0, 5, 9, 13]                 # x_0 has 5 channels, x_1 and x_2 have 4
    wanted = numpy.full((3, 3), numpy.nan)
    for layer in (1, 2, 3):
        weight = first_convolution(block, layer).data().asnumpy()
        for source in range(layer):
            part = weight[:, borders[source]:borders[source + 1]]
            wanted[layer - 1, source] = abs(part).sum() / part.size
    means = mean_absolute_weights(block)
    assert means.shape == (3, 3) and means.dtype == 'float64'
    numpy.testing.assert_allclose(means, wanted, rtol=1e-5)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('bottleneck', [None, 2])
@pytest.mark.parametrize('source, layer', [(0, 1), (0, 3), (1, 3), (2, 3)])
def test_a_cut_layer_is_blind_to_that_source_and_to_no_other(mode, bottleneck, source, layer):
    """Judged by what the layer computes: change one source after the other, and see whether its output changes."""
    block, _ = make(mode, bottleneck=bottleneck)
    others = {name: p.data().asnumpy() for name, p in block.collect_params().items()
              if p is not first_convolution(block, layer)}
    cut_connection(block, source, layer)
    composite, borders = block.net[layer - 1], [0, 5, 9, 13][:layer + 1]
    read = numpy.random.RandomState(1).normal(size=(2, borders[-1], 6, 6)).astype('float32')
    array = switch(mode)
    before = composite(array(read)).asnumpy()
    for other, (start, end) in enumerate(zip(borders, borders[1:])):
        changed = read.copy()
        changed[:, start:end] += 1
        same = (composite(array(changed)).asnumpy() == before).all()
        assert same == (other == source), other
    mx.nd.waitall()
    for name, value in others.items():
        assert (block.collect_params()[name].data().asnumpy() == value).all(), name


def test_a_hybridized_block_is_cut_too():
    block, X = make('np')
    block.hybridize(static_alloc=True, static_shape=True)
    before = block(X).asnumpy()
    cut_connection(block, 0, 3)
    after = block(X).asnumpy()
    assert (before[:, :13] == after[:, :13]).all() and (before[:, 13:] != after[:, 13:]).any()


def test_the_map_of_a_cut_connection_is_zero_there_alone():
    block, _ = make('nd')
    before = mean_absolute_weights(block)
    cut_connection(block, source=1, layer=3)
    after = mean_absolute_weights(block)
    assert after[2, 1] == 0
    after[2, 1] = before[2, 1]
    numpy.testing.assert_array_equal(after, before)


def test_a_block_of_one_layer():
    block, _ = make('np', layers=1)
    assert mean_absolute_weights(block).shape == (1, 1)
    cut_connection(block, 0, 1)
    assert mean_absolute_weights(block).tolist() == [[0]]


@pytest.mark.parametrize('arguments, match', [
    ((0, 4), 'layer must be an integer of at most 3'), ((2, 2), 'source must be an integer of at most 1'),
    ((0, 0), 'layer must be an integer'), ((-1, 1), 'source must be an integer'), ((1.0, 2), 'source must be an')])
def test_connections_that_are_not_there(arguments, match):
    block, _ = make('nd')
    with pytest.raises(ValueError, match=match):
        cut_connection(block, *arguments)


@pytest.mark.parametrize('layer', [nn.Conv2D(4, 3, padding=1, groups=2, in_channels=8), nn.Activation('relu')])
def test_a_convolution_that_does_not_read_all_is_refused(layer):
    block = DenseBlock(2, 4, 8)
    block.net[0].register_child(layer, '2')
    block.initialize()
    with pytest.raises(ValueError, match='layer 1 of block must be BN, ReLU and a convolution that reads all'):
        cut_connection(block, 0, 1)
    with pytest.raises(ValueError, match='layer 1 of block must be'):
        mean_absolute_weights(block)


@pytest.mark.parametrize('initialized', [False, True])
def test_blocks_without_weights_and_other_blocks(initialized):
    switch('nd')
    block = DenseBlock(2, 4)
    if initialized:
        block.initialize()                  # the shapes wait for the first call
    with pytest.raises(ValueError, match='block has no weights yet'):
        mean_absolute_weights(block)
    with pytest.raises(TypeError, match='DenseBlock'):
        cut_connection(mx.gluon.nn.Dense(3), 0, 1)
