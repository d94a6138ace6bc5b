"""The faster graph: what it exchanges changes no result, and what no rule covers stays as it is written."""

import copy
import json

import mxnet as mx
import numpy
import pytest
from helpers import MODES, assert_close, images, switch
from mxnet import autograd, gluon
from mxnet.gluon import nn

from d2l_densenet import DenseNet, he_initialize, summary, transition_block
from d2l_densenet.execution.block import HybridSequential, written_graph
from d2l_densenet.execution.fast import faster

KINDS = {'BatchNorm': 'norm', 'Activation': 'relu', 'Convolution': 'conv', 'Pooling': 'pool', 'Dropout': 'dropout'}
KINDS.update({f'_npx_{name}': kind for name, kind in [
    ('batch_norm', 'norm'), ('activation', 'relu'), ('relu', 'relu'), ('convolution', 'conv'), ('pooling', 'pool'),
    ('dropout', 'dropout')]})


def order(symbol):
    """The operators of a graph, in their order."""
    return [KINDS.get(node['op'], node['op']) for node in json.loads(symbol.tojson())['nodes'] if node['op'] != 'null']


def order_for(net, *shape):
    return order(faster(written_graph(net), shape))


@pytest.mark.parametrize('mode', MODES)
def test_a_transition_pools_first(mode):
    switch(mode)
    shape = (2, 6, 8, 8)
    assert order(written_graph(transition_block(4))) == ['norm', 'relu', 'conv', 'pool']
    assert order_for(transition_block(4, 6), *shape) == ['norm', 'relu', 'pool', 'conv']
    # What dropout sets to 0 would be others, so there the order stays.
    assert order_for(transition_block(4, 6, dropout=0.2), *shape) == ['norm', 'relu', 'conv', 'dropout', 'pool']


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('width, rows, columns, rounding', [
    (16, 8, 8, 'valid'), (6, 7, 9, 'valid'), (5, 7, 9, 'full'), (32, 3, 5, 'full'), (3, 2, 3, 'valid'),
    (16, 7, 7, 'full'), (6, 3, 3, 'full')])
def test_pooling_first_changes_no_result(mode, width, rows, columns, rounding):
    """Outputs, gradients and statistics of a transition, hybridized and as written, odd sizes rounded down and up."""
    array = switch(mode)
    X = array(images(4, width, rows, columns))
    results = []
    for hybrid in (False, True):
        mx.random.seed(7)
        block = transition_block(12, width, pooling_convention=rounding)
        block.initialize(mx.init.Normal(0.5))
        block[2].bias.set_data(array(numpy.arange(12, dtype='float32')))
        if hybrid:
            block.hybridize()
        X.attach_grad()
        with autograd.record():
            Y = block(X)
            loss = (Y ** 2).sum()
        loss.backward()
        mx.nd.waitall()
        parameters = block.collect_params().values()
        results.append([Y.asnumpy(), X.grad.asnumpy(), *(p.data().asnumpy() for p in parameters),
                        *(p.grad().asnumpy() for p in parameters if p.grad_req != 'null')])
    assert len(results[0]) == len(results[1]) == 12
    for hybrid, written in zip(results[1], results[0]):
        numpy.testing.assert_allclose(hybrid, written, rtol=0, atol=2e-5 * abs(written).max())


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('size, options', [
    (48, {}), (28, {'bias': False, 'block_config': (1, 1, 2, 1), 'pooling_convention': 'full'}),
    (17, {'growth_rate': 5, 'num_init_features': 7, 'block_config': (2, 1, 1, 3), 'pooling_convention': 'full'}),
    (64, {'block_config': (1, 1, 1, 2)}),
    ((9, 7), {'bottleneck': 2, 'block_config': (2, 2), 'growth_rate': 16, 'num_init_features': 16}),
    (1, {'stem': 'cifar', 'block_config': (3,), 'bottleneck': 4}), (2, {'stem': 'cifar', 'block_config': (2, 1)}),
    (8, {'stem': 'cifar', 'block_config': (1, 1), 'compression': 1.0})])
def test_what_is_computed_otherwise_when_hybridized_changes_no_result(mode, size, options):
    """Outputs, gradients and running statistics, in the order of the paper and as a hybridized network has them."""
    array = switch(mode)
    height, width = size if isinstance(size, tuple) else (size, size)
    X, y = array(images(24, 1, height, width)), array(numpy.arange(24) % 10)
    results = []
    for hybrid in (False, True):
        net = DenseNet(**options)
        he_initialize(net, 3)
        for parameter in net.collect_params('.*bias|.*beta').values():
            parameter.set_data(array(numpy.linspace(-1, 1, parameter.shape[0], dtype='float32')))
        if hybrid:
            net.hybridize(static_alloc=True, static_shape=True)
        X.attach_grad()
        with autograd.record():
            loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y)
        loss.backward()
        mx.nd.waitall()
        parameters = net.collect_params().values()
        results.append([loss.asnumpy(), X.grad.asnumpy(), net(X).asnumpy(), *(p.data().asnumpy() for p in parameters),
                        *(p.grad().asnumpy() for p in parameters if p.grad_req != 'null')])
    one_pixel = net.stage_sizes(height, width)[-1] == (1, 1)
    assert ('slice' in order_for(net, *X.shape)) == one_pixel
    for hybrid, written in zip(results[1], results[0], strict=True):
        # By the norm: where rounding opens a ReLU that was shut, a few numbers differ by more.
        assert numpy.linalg.norm(hybrid - written) <= 5e-3 * numpy.linalg.norm(written) + 1e-3


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('options, filled', [
    (dict(channels=12, kernel_size=3, padding=1), True), (dict(channels=20, kernel_size=5, use_bias=False), True),
    (dict(channels=12, kernel_size=(1, 3), strides=2, dilation=2), True), (dict(channels=24, kernel_size=3), False),
    (dict(channels=12, kernel_size=1), False), (dict(channels=4, kernel_size=3), False),
    (dict(channels=12, kernel_size=3, groups=2), False)])
def test_filters_of_zeros_change_no_result(mode, options, filled):
    array, results = switch(mode), []
    X = array(images(24, 16, 32, 32))
    for hybrid in (False, True):
        mx.random.seed(3)
        net = HybridSequential(prefix='')
        net.add(nn.BatchNorm(in_channels=16), nn.Conv2D(in_channels=16, **options), nn.Activation('relu'))
        net.initialize(mx.init.Uniform(0.5))
        net.hybridize(hybrid)
        X.attach_grad()
        with autograd.record():
            Y = net(X)
            loss = (Y ** 2).sum()
        loss.backward()
        results.append([Y.asnumpy(), X.grad.asnumpy(), *(p.data().asnumpy() for p in net.collect_params().values()),
                        *(p.grad().asnumpy() for p in net.collect_params().values() if p.grad_req != 'null')])
    assert ('slice_axis' in order_for(net, *X.shape)) == filled
    for hybrid, written in zip(results[1], results[0], strict=True):
        assert_close(hybrid, written, 1e-4)


def test_filters_are_not_added_where_that_slows_down():
    few = DenseNet(12, (2,), 16, stem='cifar')
    he_initialize(few, 0)
    assert 'slice_axis' in order_for(few, 16, 1, 16, 16) and 'slice_axis' not in order_for(few, 15, 1, 16, 16)
    # What the bottleneck writes would come in blocks of 8 channels, and its gradient in blocks of 16.
    for width, times in ((16, 2), (24, 1)):
        net = DenseNet(12, (2,), width, stem='cifar', bottleneck=4)
        he_initialize(net, 0)
        assert order_for(net, 16, 1, 16, 16).count('slice_axis') == 3 * times


@pytest.mark.parametrize('mode', MODES)
def test_relu_comes_after_the_pooling_bit_for_bit(mode):
    """Also where numbers are equal, and where all of a window are negative."""
    array = switch(mode)
    features = DenseNet(num_init_features=16, block_config=(1,)).features
    stem = HybridSequential(prefix='')
    stem.add(nn.Conv2D(16, 1, in_channels=16, use_bias=False), nn.BatchNorm(in_channels=16), features[2], features[3])
    stem.initialize()
    stem[0].weight.set_data(array(numpy.eye(16, dtype='float32')[:, :, None, None]))
    X = array(numpy.random.RandomState(0).randint(-2, 2, (4, 16, 9, 12)).astype('float32'))
    weights = array(images(4, 16, 5, 6))
    results = []
    for hybrid in (False, True):
        stem.hybridize(hybrid)
        X.attach_grad()
        with autograd.record():
            Y = stem(X)
            loss = (Y * weights).sum()
        loss.backward()
        results.append((Y.asnumpy(), X.grad.asnumpy()))
    assert order_for(stem, *X.shape)[-2:] == ['pool', 'relu']
    assert results[0][0].any() and results[0][1].any()
    for hybrid, written in zip(results[1], results[0]):
        numpy.testing.assert_array_equal(hybrid, written)


@pytest.mark.parametrize('mode', MODES)
def test_a_graph_for_images_of_one_pixel_is_used_for_no_others(mode, tmp_path):
    """48 pixels leave one in the last block, 96 leave nine: whatever was traced before, results are right."""
    array = switch(mode)
    small, large = array(images(2, 1, 48, 48)), array(images(2, 1, 96, 96))
    net = DenseNet(growth_rate=8, block_config=(1, 1, 1, 2))
    he_initialize(net, 0)
    expected = {'small': net(small).asnumpy(), 'large': net(large).asnumpy(),
                'features': net.features(large).asnumpy()}
    net.hybridize()
    assert_close(net(small).asnumpy(), expected['small'])
    assert 'slice' in order_for(net, *small.shape) and 'slice' not in order_for(net, *large.shape)
    # Its parts, a parent that holds it, its files and what Gluon reads off its graph are for all sizes.
    assert_close(net.features(large).asnumpy(), expected['features'])
    parent = nn.HybridSequential()
    parent.add(net)
    parent.hybridize()
    assert_close(parent(small).asnumpy(), expected['small'])
    assert_close(parent(large).asnumpy(), expected['large'])
    net(small)
    net.export(str(tmp_path / 'net'))
    loaded = gluon.SymbolBlock.imports(str(tmp_path / 'net-symbol.json'), ['data'], str(tmp_path / 'net-0000.params'))
    assert_close(loaded(large).asnumpy(), expected['large'])
    summary(net)
    net.infer_shape(large)
    net(mx.sym.var('data').as_np_ndarray() if mode == 'np' else mx.sym.var('data'))
    for size, X in [('large', large), ('small', small)] * 2:
        assert_close(net(X).asnumpy(), expected[size])
    # Traced anew with other settings, with only its layers hybridized, and by oneDNN's fusion.
    net.hybridize(static_alloc=True)
    assert_close(net(small).asnumpy(), expected['small'])
    net.hybridize(False)
    net.features.hybridize()
    assert_close(net(small).asnumpy(), expected['small'])
    assert_close(net(large).asnumpy(), expected['large'])
    if mode == 'nd':
        net.optimize_for(small, backend='MKLDNN')
        assert_close(net(small).asnumpy(), expected['small'])
        assert_close(net(large).asnumpy(), expected['large'])


def test_a_copy_computes_with_its_own_values():
    net = DenseNet(growth_rate=8, block_config=(1, 1, 1, 2))
    he_initialize(net, 0)
    other = copy.deepcopy(net)
    X = mx.nd.array(images(2, 1, 48, 48))
    net.hybridize(), other.hybridize()
    other.output.weight.set_data(2 * other.output.weight.data())
    other.output.bias.set_data(2 * other.output.bias.data())
    assert_close(other(X).asnumpy(), 2 * net(X).asnumpy())


@pytest.mark.parametrize('mode', MODES)
def test_values_that_are_not_in_the_same_arrays_any_more_are_used(mode):
    """Initialized again, cast there and back, moved: the graph of before asks for the arrays of now."""
    array = switch(mode)
    net, X = DenseNet(4, (1, 1), 8, classes=3), array(images(2, 1, 16, 16))
    he_initialize(net, 0, (1, 16, 16))
    net.hybridize(static_alloc=True, static_shape=True)
    before = net(X).asnumpy()
    net.initialize(mx.init.Normal(0.3), force_reinit=True)
    for change in (lambda: None, lambda: net.cast('float64') or net.cast('float32'),
                   lambda: net.collect_params().reset_ctx(mx.cpu(0)),
                   lambda: net.output.bias.set_data(array([1, 2, 3]))):
        change()
        found = net(X).asnumpy()
        other = copy.deepcopy(net)
        other.hybridize(active=False)
        assert_close(found, other(X).asnumpy())
        assert abs(found - before).max() > 1e-3
