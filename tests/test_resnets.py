"""`small_resnet`: the frame that it shares with a DenseNet, and what its three designs compute."""

import mxnet as mx
import numpy
import pytest
from helpers import images
from mxnet.gluon import nn
from mxnet.gluon.model_zoo.vision import resnet as zoo

from d2l_densenet import RESNETS, DenseNet, he_initialize, resnet, summary
from d2l_densenet.blocks import conv_block
from d2l_densenet.resnets import DESIGNS, PreActivationResidual, Residual, small_resnet

SHAPE = (1, 28, 28)


@pytest.mark.parametrize('name', RESNETS)
def test_the_table_has_the_depth_in_the_name_and_widths_that_double(name):
    block, layers, channels, classes, shape = RESNETS[name]
    bottleneck = block in (zoo.BottleneckV1, zoo.BottleneckV2)
    # Two or three convolutions in each block, the stem's, and the classifier.
    assert int(name.rpartition('resnet')[2]) == 1 + (3 if bottleneck else 2) * sum(layers) + 1
    small = shape[1] == 32
    stem, stages = (16, 3) if small else (64, 4)
    assert channels == (stem, *(stem * (4 if bottleneck else 1) * 2 ** stage for stage in range(stages)))
    assert len(layers) == stages and shape[1] == shape[2]
    assert (classes, shape) == {True: (10, (3, 32, 32)), False: (1000, (3, 224, 224))}[small] or (
        name, classes, shape) == ('d2l_resnet18', 10, (1, 96, 96))


@pytest.mark.parametrize('name, stem', [('d2l_resnet18', 4), ('resnet110', 1)])
def test_the_stages_are_those_of_the_table(name, stem):
    net = resnet(name, classes=7)
    assert net.config == {'name': name, 'classes': 7}
    (first, layers), *stages, (last, head) = net.stages()
    assert (first, len(layers), last) == ('stem', stem, 'classifier') and head[-1] is net.output
    assert [stage for stage, _ in stages] == [f'stage {i}' for i in range(1, len(stages) + 1)]
    assert tuple(len(blocks) for _, (blocks,) in stages) == RESNETS[name][1]
    assert [*net.features] == [*layers, *(blocks for _, (blocks,) in stages), *head[:-1]]


def test_more_than_1024_blocks_are_refused():
    with pytest.raises(ValueError, match='blocks must be an integer of at most 1,024, got 1025'):
        small_resnet(1, blocks=1025)


def cost(w, design, blocks=3):
    """Parameters and multiply-adds by hand: maps of 14 x 14 in the stem, then 7 x 7, then 4 x 4."""
    def conv(read, made, window, size):
        return numpy.array([window ** 2 * read * made + made, window ** 2 * read * made * size ** 2])

    def norm(channels):
        return numpy.array([2 * channels, 0])

    total = conv(1, w, 7, 14) + norm(w) + 2 * blocks * (conv(w, w, 3, 7) + norm(w)) + conv(2 * w, 10, 1, 1)
    if design == 'post-activation':
        return (total + conv(w, 2 * w, 3, 4) + norm(2 * w) + conv(w, 2 * w, 1, 4)
                + (2 * blocks - 1) * (conv(2 * w, 2 * w, 3, 4) + norm(2 * w)))
    # A transition (it convolves at 7 x 7, then pools), and BN before the classifier.
    return (total + norm(w) + conv(w, 2 * w, 1, 7) + 2 * blocks * (conv(2 * w, 2 * w, 3, 4) + norm(2 * w))
            + norm(2 * w))


@pytest.mark.parametrize('design', DESIGNS)
@pytest.mark.parametrize(('width', 'blocks'), [(4, 3), (5, 1)])
def test_it_has_the_size_that_its_description_gives(design, width, blocks):
    table = summary(small_resnet(width, design, blocks), SHAPE)
    assert (table.parameters, table.multiply_adds) == tuple(cost(width, design, blocks))


def shapes(net):
    """Height and width of what each layer of a sequence makes of an image of 28 x 28."""
    net.initialize()
    x, found = mx.nd.zeros((1, *SHAPE)), []
    for layer in net:
        x = layer(x)
        found.append(x.shape[2:])
    return found


@pytest.mark.parametrize('design', DESIGNS)
def test_its_maps_are_those_of_the_densenet(design):
    dense = shapes(DenseNet(4, (6, 6), 8, pooling_convention='full').features)
    assert set(shapes(small_resnet(4, design))) == set(dense) == {(14, 14), (7, 7), (4, 4), (1, 1), ()}


def test_the_block_adds_what_two_composite_functions_make():
    block, X = PreActivationResidual(3), mx.nd.array(images(2, 3, 6, 5))
    he_initialize(block, seed=1)
    plain = mx.gluon.nn.Sequential()
    plain.add(conv_block(3, 3), conv_block(3, 3))
    plain.initialize()
    for to, source in zip(plain.collect_params().values(), block.collect_params().values(), strict=True):
        to.set_data(source.data())
    numpy.testing.assert_allclose(block(X).asnumpy(), (X + plain(X)).asnumpy(), rtol=1e-5, atol=1e-6)


def test_the_chain_is_the_residual_network_without_its_additions():
    nets = [small_resnet(4, design) for design in ('pre-activation', 'chain')]
    for net in nets:
        he_initialize(net, seed=2)
    values = [[parameter.data().asnumpy() for parameter in net.collect_params().values()] for net in nets]
    assert all(numpy.array_equal(*pair) for pair in zip(*values, strict=True))
    X = mx.nd.array(images(2, *SHAPE))
    assert not numpy.allclose(*[net(X).asnumpy() for net in nets], atol=1e-3)
    # A residual block whose convolutions make nothing passes its input on; the chain's forgets it.
    for net in nets:
        for name, parameter in net.collect_params('.*(weight|bias)').items():
            if len(parameter.shape) == 4 and parameter.shape[2] == 3 or name.endswith('bias'):
                parameter.set_data(mx.nd.zeros(parameter.shape))
    added, forgotten = [net(X).asnumpy() for net in nets]
    assert numpy.abs(added).max() > 1e-3 and numpy.abs(forgotten).max() == 0


@pytest.mark.parametrize('design', DESIGNS)
def test_hybridized_it_computes_the_same(design):
    net, X = small_resnet(4, design), mx.nd.array(images(2, *SHAPE))
    he_initialize(net, seed=3, input_shape=SHAPE)
    before = net(X).asnumpy()
    net.hybridize()
    numpy.testing.assert_allclose(net(X).asnumpy(), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kind', [lambda: Residual(4, in_channels=4), lambda: PreActivationResidual(4)])
def test_a_block_called_by_itself_is_what_it_is_now(kind):
    block = kind()
    block.initialize(mx.init.Normal(0.5))
    block.hybridize()
    X = mx.nd.array(images(2, 4, 6, 5))
    before = block(X).asnumpy()
    body = nn.HybridSequential()
    body.add(nn.Conv2D(4, 3, padding=1, in_channels=4))
    body.initialize(mx.init.Normal(0.5))
    block.body = body
    found = block(X).asnumpy()
    block.hybridize(False)
    assert abs(found - before).max() > 0.1 and abs(found - block(X).asnumpy()).max() < 1e-5
