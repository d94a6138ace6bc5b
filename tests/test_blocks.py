"""The blocks: shapes, identity of the first channels, both array modes, any width."""

import itertools

import mxnet as mx
import numpy
import pytest
from helpers import MODES, assert_close, images, switch
from mxnet import autograd, gluon, npx

from d2l_densenet import DenseBlock, conv_block, transition_block


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('hybrid', [False, True])
def test_shapes_of_the_article(mode, hybrid):
    array = switch(mode)
    X = array(images(4, 5, 22, 22))
    dense, transition = DenseBlock(4, 10), transition_block(10)
    for block in (dense, transition):
        block.initialize()
        if hybrid:
            block.hybridize()
    Y = dense(X)
    assert Y.shape == (4, 45, 22, 22)
    assert (Y.asnumpy()[:, :5] == X.asnumpy()).all()
    assert transition(Y).shape == (4, 10, 11, 11)


def reference(block, X):
    """The block's output on inference, in float64 NumPy: BN, ReLU, 3x3 convolution, concatenation."""
    out = X.astype('float64')
    for layers in block.net:
        norm, _, conv = layers
        gamma, beta, mean, var = (p.data().asnumpy().astype('float64')[:, None, None] for p in
                                  (norm.gamma, norm.beta, norm.running_mean, norm.running_var))
        h = numpy.maximum((out - mean) / numpy.sqrt(var + 1e-5) * gamma + beta, 0)
        h = numpy.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = numpy.lib.stride_tricks.sliding_window_view(h, (3, 3), axis=(2, 3))
        weight, bias = conv.weight.data().asnumpy(), conv.bias.data().asnumpy()
        h = numpy.einsum('nchwij,kcij->nkhw', windows, weight) + bias[:, None, None]
        out = numpy.concatenate([out, h], axis=1)
    return out


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('width, growth', [(5, 10), (16, 16), (24, 12)])
def test_dense_block_computes_the_formula(mode, width, growth):
    array = switch(mode)
    X = images(2, width, 6, 7)
    block = DenseBlock(3, growth)
    block.initialize(mx.init.Normal(0.1))
    with autograd.train_mode():
        block(array(X))
    for param in block.collect_params().values():  # statistics other than 0 and 1, biases other than 0
        param.set_data(array(numpy.random.uniform(0.5, 1.5, param.shape).astype('float32')))
    numpy.testing.assert_allclose(block(array(X)).asnumpy(), reference(block, X), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('rows, columns', [(22, 22), (7, 9), (2, 3)])
def test_transition_averages_windows_of_two_by_two(rows, columns):
    X = images(2, 6, rows, columns)
    block = transition_block(4)
    block.initialize(mx.init.Normal(1))
    Y = block(mx.nd.array(X)).asnumpy()
    weight = block[2].weight.data().asnumpy()[:, :, 0, 0]
    # Fresh statistics: BN divides by sqrt(1 + 1e-5), and ReLU passes positive numbers.
    H = numpy.einsum('nchw,kc->nkhw', X / numpy.sqrt(1 + 1e-5), weight)
    H = H[:, :, :rows // 2 * 2, :columns // 2 * 2]
    expected = H.reshape(2, 4, rows // 2, 2, columns // 2, 2).mean(axis=(3, 5))
    numpy.testing.assert_allclose(Y, expected, rtol=1e-4, atol=1e-5)


# Pairs (input width, growth rate) at which oneDNN's concat fails or might: the joined width a multiple of the
# SIMD block of 16 or 8 and the split point not, next to odd and to aligned ones.
WIDTHS = [(24, 12), (24, 24), (20, 12), (8, 24), (16, 8), (4, 12), (5, 11), (1, 1), (64, 32), (16, 16)]


@pytest.mark.parametrize('mode, hybrid, known', list(itertools.product(MODES, [False, True], [False, True])))
def test_every_width_trains(mode, hybrid, known):
    array = switch(mode)
    for width, growth in WIDTHS:
        block = DenseBlock(4, growth, in_channels=width if known else 0)
        block.initialize()
        if hybrid:
            block.hybridize(static_alloc=True, static_shape=True)
        trainer = gluon.Trainer(block.collect_params(), 'sgd', {'learning_rate': 0.1})
        X = array(images(3, width, 9, 9))
        for _ in range(2):
            with autograd.record():
                loss = (block(X) ** 2).mean()
            loss.backward()
            trainer.step(1)
        mx.nd.waitall()
        assert numpy.isfinite(loss.asnumpy()).all(), (width, growth)


@pytest.mark.parametrize('make', [lambda: DenseBlock(2, 6), lambda: conv_block(6), lambda: transition_block(6)])
def test_export_and_import_in_both_modes_and_parameters_across(make, tmp_path):
    X = images(2, 5, 8, 8)
    outputs, files = {}, {}
    for mode in MODES:
        array = switch(mode)
        block = make()
        block.initialize(mx.init.Normal(0.1))
        block(array(X))
        if files:
            block.load_parameters(files['nd'])
        files[mode] = str(tmp_path / f'{mode}.params')
        block.save_parameters(files[mode])
        imperative = block(array(X)).asnumpy()
        block.hybridize()
        assert_close(block(array(X)).asnumpy(), imperative)
        block.export(str(tmp_path / mode))
        back = gluon.SymbolBlock.imports(str(tmp_path / f'{mode}-symbol.json'), ['data'],
                                         str(tmp_path / f'{mode}-0000.params'))
        assert_close(back(array(X)).asnumpy(), imperative)
        outputs[mode] = imperative
    numpy.testing.assert_allclose(outputs['np'], outputs['nd'], rtol=1e-6, atol=1e-6)
    array = switch('nd')
    block = make()
    block.load_parameters(files['np'])
    numpy.testing.assert_allclose(block(array(X)).asnumpy(), outputs['nd'], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('mode', MODES)
def test_inside_a_hybridized_sequential(mode):
    array = switch(mode)
    X = array(images(2, 5, 9, 9))
    net = gluon.nn.HybridSequential()
    net.add(DenseBlock(2, 12), transition_block(7), DenseBlock(1, 3), gluon.nn.Dense(2))
    net.initialize()
    expected = net(X).asnumpy()
    net.hybridize()
    assert_close(net(X).asnumpy(), expected)


@pytest.mark.parametrize('hybrid', [False, True])
def test_a_map_too_small_to_pool_is_named(hybrid):
    block = transition_block(3)
    block.initialize()
    if hybrid:
        block.hybridize()
    with pytest.raises(ValueError, match='transition_block takes larger images than 1 x 5 pixels'):
        block(mx.nd.ones((2, 3, 1, 5)))


@pytest.mark.parametrize('bad', [0, -1, 2.0, '3', None, True])
def test_wrong_numbers_are_named(bad):
    for call, name in [(lambda: conv_block(bad), 'num_channels'), (lambda: transition_block(bad), 'num_channels'),
                       (lambda: DenseBlock(bad, 4), 'num_convs'), (lambda: DenseBlock(4, bad), 'num_channels')]:
        with pytest.raises(ValueError, match=name):
            call()


def test_wrong_images_are_named():
    block = DenseBlock(1, 4)
    block.initialize()
    block(mx.nd.ones((1, 3, 4, 4)))
    with pytest.raises(ValueError, match=r'\(N, 3, H, W\).*\(1, 5, 4, 4\)'):
        block(mx.nd.ones((1, 5, 4, 4)))
    with pytest.raises(ValueError, match=r'got \(3, 4\)'):
        block(mx.nd.ones((3, 4)))
    with pytest.raises(TypeError, match='float32'):
        block(mx.nd.ones((1, 3, 4, 4), dtype='float64'))
    with pytest.raises(TypeError, match='array mode is mx.nd'):
        block(mx.np.ones((1, 3, 4, 4)))
    npx.set_np()
    with pytest.raises(TypeError, match='built in mx.nd mode.*load_parameters'):
        block(mx.np.ones((1, 3, 4, 4)))
