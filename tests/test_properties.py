"""Properties that hold for every network, whatever its widths: drawn by hypothesis.

Here MXNet's failing concat (blocks.py) would show: the widths include multiples of the SIMD block and others.
"""

import math

import mxnet as mx
import numpy
from helpers import MODES, images, switch
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import autograd, gluon

from d2l_densenet import DenseBlock, DenseNet, count_parameters, densenet_formula, summary

# Small widths, and those around the SIMD blocks of 8 and 16 channels.
WIDTHS = st.one_of(st.integers(1, 12), st.sampled_from([15, 16, 17, 24, 31, 32, 33, 40, 48]))


@st.composite
def configurations(draw):
    """Arguments of DenseNet, with the height and width of images that it takes."""
    blocks = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    config = {'growth_rate': draw(WIDTHS), 'block_config': blocks, 'num_init_features': draw(WIDTHS),
              'bottleneck': draw(st.sampled_from([None, 1, 2, 4])),
              'compression': draw(st.one_of(st.sampled_from([0.5, 1.0]), st.floats(0.1, 1.0))),
              'dropout': draw(st.sampled_from([0.0, 0.2])), 'stem': draw(st.sampled_from(['imagenet', 'cifar'])),
              'bias': draw(st.booleans()), 'classes': draw(st.integers(1, 12)), 'in_channels': draw(st.integers(1, 4)),
              'pooling_convention': draw(st.sampled_from(['valid', 'full']))}
    width = config['num_init_features']
    for layers in blocks[:-1]:
        width = math.floor(config['compression'] * (width + layers * config['growth_rate']))
        if not width:
            config['compression'] = 1.0  # a theta that leaves a transition nothing is refused: another test
            break
    # Behind the stem, for T transitions: rounding down 2^T pixels, rounding up one more than 2^(T-1).
    halved = 2 ** (len(blocks) - 1)
    least = halved if config['pooling_convention'] == 'valid' or halved == 1 else halved // 2 + 1
    least = (4 if config['stem'] == 'imagenet' else 1) * (least - 1) + 1
    return config, draw(st.integers(least, least + 15)), draw(st.integers(least, least + 15))


@given(configurations(), st.sampled_from(MODES), st.booleans())
@settings(max_examples=80)
def test_every_network(drawn, mode, hybrid):
    config, height, width = drawn
    array = switch(mode)
    net = DenseNet(**config)
    net.initialize(mx.init.MSRAPrelu())
    X = array(images(2, config['in_channels'], height, width))

    # Shape, and the identity of the first channels of each dense block, bit for bit.
    expected, out, sizes = net(X), X, []
    for _, blocks in net.stages():
        for block in blocks:
            before, out = out, block(out)
            if isinstance(block, DenseBlock):
                assert (out.asnumpy()[:, :before.shape[1]] == before.asnumpy()).all()
                added = config['growth_rate'] * len(block.net)
                assert out.shape == (2, before.shape[1] + added, *before.shape[2:])
                sizes.append(out.shape[2:])
    assert out.shape == (2, config['classes'])
    assert (out.asnumpy() == expected.asnumpy()).all()
    assert sizes == net.stage_sizes(height, width)

    # Counts: by formula, on the graph, over the parameters.
    table = summary(net, (config['in_channels'], height, width))
    assert (table.parameters, table.multiply_adds) == densenet_formula(net.config, height, width)
    assert count_parameters(net) == table.parameters

    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
        numpy.testing.assert_allclose(net(X).asnumpy(), out.asnumpy(), rtol=1e-4, atol=1e-5)

    # Training steps.
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.01})
    old = net.output.weight.data().asnumpy()
    for _ in range(2):
        with autograd.record():
            loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), array([0, 0]))
        loss.backward()
        trainer.step(2)
        mx.nd.waitall()
        assert numpy.isfinite(loss.asnumpy()).all()
    moved = (net.output.weight.data().asnumpy() != old).any()
    assert moved or config['classes'] == 1


@given(WIDTHS, st.integers(1, 4), WIDTHS, st.sampled_from([None, 4]), st.sampled_from(MODES), st.booleans())
@settings(max_examples=60)
def test_every_dense_block_inside_a_network_of_blocked_inputs(width, layers, growth_rate, bottleneck, mode, hybrid):
    """A convolution before the block gives it oneDNN's blocked layout, at which concat fails if it is let."""
    array = switch(mode)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(width, 3, padding=1, in_channels=2),
            DenseBlock(layers, growth_rate, in_channels=width, bottleneck=bottleneck), gluon.nn.GlobalAvgPool2D())
    net.initialize()
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    X = array(images(2, 2, 5, 6))
    for _ in range(2):
        with autograd.record():
            loss = net(X).sum()
        loss.backward()
        mx.nd.waitall()
    assert numpy.isfinite(loss.asnumpy().item())
