"""The network: the article's numbers, sizes, array modes, files, agreement with the article's own program."""

import copy
import json

import article
import mxnet as mx
import numpy
import pytest
from helpers import MODES, assert_close, images, switch
from mxnet import autograd, gluon
from mxnet.gluon import nn

from d2l_densenet import DenseNet, he_initialize, summary


def trainable(net):
    return sum(int(numpy.prod(p.shape)) for p in net.collect_params().values() if p.grad_req != 'null')


def test_the_article_network():
    net = DenseNet()
    net.initialize()
    X = mx.nd.array(images(2, 1, 48, 48))
    assert net(X).shape == (2, 10)
    assert trainable(net) == 758_226
    widths = []
    for block in net.features:
        X = block(X)
        widths.append(X.shape[1:])
    # Stem, then dense blocks and transitions in turn: the channels that the article computes.
    assert widths[3:11] == [(64, 12, 12), (192, 12, 12), (96, 6, 6), (224, 6, 6), (112, 3, 3), (240, 3, 3),
                            (120, 1, 1), (248, 1, 1)]


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('size', [17, 28, 29, 31, 48, 96, 97, 224, (28, 60), (33, 48)])
def test_sizes(mode, size):
    array = switch(mode)
    height, width = size if isinstance(size, tuple) else (size, size)
    X = array(images(1, 1, height, width))
    net = DenseNet()
    net.initialize()
    expected = net(X).asnumpy()
    assert expected.shape == (1, 10)
    out, seen = X, []
    for name, blocks in net.stages():
        for block in blocks:
            out = block(out)
        if name.startswith('dense'):
            seen.append(out.shape[2:])
    assert net.stage_sizes(height, width) == seen
    net.hybridize()
    assert_close(net(X).asnumpy(), expected)


def test_sizes_may_alternate_when_hybridized():
    net = DenseNet(growth_rate=8, block_config=(1, 1, 1, 1))
    net.initialize()
    batches = [mx.nd.array(images(2, 1, n, n)) for n in (48, 28, 48, 17, 29)]
    expected = [net(X).asnumpy() for X in batches]
    net.hybridize(static_alloc=True, static_shape=True)
    for X, y in zip(batches, expected):
        assert_close(net(X).asnumpy(), y)


def graph_of(net):
    """The operators of a hybridized network's graph."""
    nodes = json.loads(net._cached_graph[1].tojson())['nodes']
    return [node['op'].removeprefix('_npx_').lower() for node in nodes if node['op'] != 'null']


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('size, options', [
    (48, {}), (17, {'growth_rate': 5, 'num_init_features': 7, 'block_config': (2, 1, 1, 3)}),
    (28, {'bias': False, 'block_config': (1, 1, 2, 1)}), (64, {'block_config': (1, 1, 1, 2)}),
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
    assert (net._one_pixel is not None) == one_pixel
    assert not one_pixel or 'slice' in graph_of(net._one_pixel)
    for hybrid, written in zip(results[1], results[0], strict=True):
        # By the norm: where rounding opens a ReLU that was shut, a few numbers differ by more.
        assert numpy.linalg.norm(hybrid - written) <= 5e-3 * numpy.linalg.norm(written) + 1e-3


@pytest.mark.parametrize('mode', MODES)
def test_relu_comes_after_the_pooling_bit_for_bit(mode):
    """Also where numbers are equal, and where all of a window are negative."""
    array = switch(mode)
    features = DenseNet(num_init_features=16, block_config=(1,)).features
    stem = type(features)(prefix='')
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
    assert graph_of(stem)[-2:] == ['pooling', 'activation']
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
    assert 'slice' in graph_of(net._one_pixel) and 'slice' not in graph_of(net)
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
    assert net._one_pixel is None
    assert_close(net(small).asnumpy(), expected['small'])
    assert ('static_alloc', True) in net._one_pixel._flags
    net.hybridize(False)
    net.features.hybridize()
    assert_close(net(small).asnumpy(), expected['small'])
    assert_close(net(large).asnumpy(), expected['large'])
    if mode == 'nd':
        net.optimize_for(small, backend='MKLDNN')
        assert_close(net(small).asnumpy(), expected['small'])
        assert_close(net(large).asnumpy(), expected['large'])


def replaced_convolution(net):
    block = net.features[-5].net[0]
    conv = nn.Conv2D(8, 3, padding=1, in_channels=block[2].weight.shape[1], activation='tanh')
    conv.initialize()
    block._children['2'] = conv


def replaced_pooling(net):
    class Doubled(nn.GlobalAvgPool2D):
        def hybrid_forward(self, F, x):
            return 2 * super().hybrid_forward(F, x)
    place, = (key for key, layer in net.features._children.items() if isinstance(layer, nn.GlobalAvgPool2D))
    net.features._children[place] = Doubled()


def hooked(net):
    net.features[-5].net[0][2].register_forward_hook(lambda block, inputs, output: seen.append(block))


seen = []


@pytest.mark.parametrize('change', [replaced_convolution, replaced_pooling, hooked])
def test_a_network_that_was_changed_is_computed_as_it_is_written(change):
    net = DenseNet(growth_rate=8, block_config=(1, 1, 1, 2))
    he_initialize(net, 0)
    change(net)
    X = mx.nd.array(images(2, 1, 48, 48))
    expected = net(X).asnumpy()
    del seen[:]
    net.hybridize()
    assert_close(net(X).asnumpy(), expected)
    assert net._one_pixel is None and len(seen) == (change is hooked)


def test_a_copy_computes_with_its_own_values():
    net = DenseNet(growth_rate=8, block_config=(1, 1, 1, 2))
    he_initialize(net, 0)
    other = copy.deepcopy(net)
    X = mx.nd.array(images(2, 1, 48, 48))
    net.hybridize(), other.hybridize()
    other.output.weight.set_data(2 * other.output.weight.data())
    other.output.bias.set_data(2 * other.output.bias.data())
    assert_close(other(X).asnumpy(), 2 * net(X).asnumpy())
    assert other._one_pixel is not None


def test_rounding_up_averages_the_pixels_that_are_there():
    net = DenseNet(growth_rate=4, block_config=(1, 1))
    net.initialize()
    net(mx.nd.array(images(1, 1, 5, 5)))  # 2 x 2 after the stem: nothing to round
    net.set_input_size(5, 5)
    assert net.smallest_input_size == 5
    net = DenseNet()
    net.initialize()
    net(mx.nd.array(images(1, 1, 28, 28)))
    pool = net.features[5][3]
    X = images(1, 2, 7, 7)
    Y = pool(mx.nd.array(X)).asnumpy()
    assert Y.shape == (1, 2, 4, 4)
    windows = X[:, :, :6, :6].reshape(1, 2, 3, 2, 3, 2)
    numpy.testing.assert_allclose(Y[:, :, :3, :3], windows.mean(axis=(3, 5)), rtol=1e-6)
    numpy.testing.assert_allclose(Y[:, :, 3, 0], X[:, :, 6, :2].mean(axis=2), rtol=1e-6)
    numpy.testing.assert_allclose(Y[:, :, 3, 3], X[:, :, 6, 6], rtol=1e-6)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('rows, columns', [(28, 28), (12, 12), (20, 20), (28, 36), (12, 26), (32, 28)])
def test_gradients_of_windows_that_reach_beyond_the_image(mode, rows, columns):
    """Rounding up, the last windows hold two pixels or one, and each pixel has a half or all of the gradient."""
    array = switch(mode)
    net = DenseNet(growth_rate=4, block_config=(1, 1, 1) if rows < 17 else (1, 1, 1, 1))
    net.initialize()
    net(array(images(1, 1, rows, columns)))
    sizes = net.stage_sizes(rows, columns)
    odd = 0
    for transition, (height, width) in zip(
            (layer for layer in net.features if isinstance(layer, nn.HybridSequential)), sizes):
        X, weights = array(images(2, 3, height, width)), images(2, 3, -(-height // 2), -(-width // 2))
        X.attach_grad()
        with autograd.record():
            loss = (transition[-1](X) * array(weights)).sum()
        loss.backward()
        whole = weights.repeat(2, axis=2).repeat(2, axis=3)[:, :, :height, :width]
        shares = [numpy.where((numpy.arange(size) == size - 1) & (size % 2 == 1), 1, 0.5) for size in (height, width)]
        numpy.testing.assert_allclose(X.grad.asnumpy(), whole * shares[0][:, None] * shares[1], rtol=1e-5)
        odd += height % 2 or width % 2
    assert odd


@pytest.mark.parametrize('blocks, smallest', [((4, 4, 4, 4), 17), ((2,), 1), ((1, 1), 5), ((1, 1, 1), 9)])
def test_too_small_names_the_smallest(blocks, smallest):
    net = DenseNet(growth_rate=4, block_config=blocks)
    net.initialize()
    assert net(mx.nd.array(images(1, 1, smallest, smallest))).shape == (1, 10)
    if smallest > 1:
        with pytest.raises(ValueError, match=f'smallest height and width is {smallest}$'):
            net(mx.nd.array(images(1, 1, smallest + 3, smallest - 1)))


@pytest.mark.parametrize('oracle', ['own', 'article'])
def test_same_outputs_gradients_and_statistics_as_the_article(oracle):
    """The oracle: the network in plain Gluon, in our own writing or as the article's program builds it."""
    theirs, ours = article.network(), DenseNet()
    if oracle == 'article':
        names = {}
        exec(article.listing().partition('lr,num_epochs,batch_size')[0], names)
        theirs = names['net']
    for net in (theirs, ours):
        net.initialize(mx.init.Xavier())
    X, y = mx.nd.array(images(8, 1, 96, 96)), mx.nd.arange(8)
    theirs(X), ours(X)
    pairs = list(zip(theirs.collect_params().values(), ours.collect_params().values()))
    assert [a.shape for a, _ in pairs] == [b.shape for _, b in pairs]
    for a, b in pairs:
        b.set_data(a.data())
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    outputs = []
    for net in (theirs, ours):
        with autograd.record():
            scores = net(X)
            value = loss(scores, y)
        value.backward()
        outputs.append(scores.asnumpy())
    numpy.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-5, atol=1e-5)
    # Biases in front of a batch normalisation have a gradient of zero but for rounding, so one scale serves all.
    scale = max(abs(a.grad().asnumpy()).max() for a, _ in pairs if a.grad_req != 'null')
    for a, b in pairs:
        if a.grad_req == 'null':
            numpy.testing.assert_allclose(b.data().asnumpy(), a.data().asnumpy(), rtol=1e-5, atol=1e-6)
        else:
            assert abs(b.grad().asnumpy() - a.grad().asnumpy()).max() < 1e-3 * scale, a.name


def test_export_import_and_files_across_modes(tmp_path):
    X, files, outputs = images(2, 1, 28, 28), {}, {}
    for mode in MODES:
        array = switch(mode)
        net = DenseNet(growth_rate=12, block_config=(2, 2, 1, 1))
        net.initialize(mx.init.Xavier())
        if files:
            net.load_parameters(files['nd'])
        outputs[mode] = net(array(X)).asnumpy()
        files[mode] = str(tmp_path / f'{mode}.params')
        net.save_parameters(files[mode])
        net.hybridize()
        assert_close(net(array(X)).asnumpy(), outputs[mode])
        net.export(str(tmp_path / mode))
        back = gluon.SymbolBlock.imports(str(tmp_path / f'{mode}-symbol.json'), ['data'],
                                         str(tmp_path / f'{mode}-0000.params'))
        assert_close(back(array(X)).asnumpy(), outputs[mode])
    assert (outputs['nd'] == outputs['np']).all()
    array = switch('nd')
    net = DenseNet(growth_rate=12, block_config=(2, 2, 1, 1))
    net.load_parameters(files['np'])
    assert (net(array(X)).asnumpy() == outputs['nd']).all()


def test_config_builds_the_same_network():
    net = DenseNet(growth_rate=8, block_config=(2, 3), num_init_features=12, classes=7, in_channels=3)
    again = DenseNet(**net.config)
    for each in (net, again):
        each.initialize()
        assert each(mx.nd.ones((1, 3, 32, 32))).shape == (1, 7)
    assert [p.shape for p in net.collect_params().values()] == [p.shape for p in again.collect_params().values()]


@pytest.mark.parametrize('arguments, name', [
    ({'growth_rate': 0}, 'growth_rate'), ({'num_init_features': 1.5}, 'num_init_features'),
    ({'classes': '10'}, 'classes'), ({'in_channels': -1}, 'in_channels'), ({'block_config': ()}, 'block_config'),
    ({'block_config': 4}, 'block_config'), ({'block_config': (4, 0)}, 'block_config')])
def test_wrong_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        DenseNet(**arguments)


def test_wrong_images_are_named():
    net = DenseNet()
    net.initialize()
    with pytest.raises(ValueError, match=r'\(N, 1, H, W\).*\(2, 3, 48, 48\)'):
        net(mx.nd.ones((2, 3, 48, 48)))
