"""The named networks against the paper's tables and against Gluon's model zoo."""

import gc

import mxnet as mx
import numpy
import pytest
from helpers import MODES, images, switch
from mxnet import autograd, gluon
from mxnet.gluon.model_zoo import vision

from d2l_densenet import (
    NETWORKS,
    RESNETS,
    DenseNet,
    densenet,
    he_initialize,
    resnet,
    summary,
)
from d2l_densenet.named import OWN


def build(name, **kwargs):
    return (resnet if name in RESNETS else densenet)(name, **kwargs)


def input_shape(name):
    return {**NETWORKS, **OWN, **RESNETS}[name][-1]


@pytest.mark.parametrize('name, blocks', [
    ('densenet121', (6, 12, 24, 16)), ('densenet169', (6, 12, 32, 32)), ('densenet201', (6, 12, 48, 32)),
    ('densenet264', (6, 12, 64, 48))])
def test_table_1_of_the_paper(name, blocks):
    """Output sizes at every stage, and the depth in the name: all convolutions and the classifier."""
    rows = {row['stage']: row['output_shape'] for row in summary(densenet(name), (3, 224, 224)).rows}
    sizes = {'stem': 56, 'dense block 1': 56, 'transition 1': 28, 'dense block 2': 28, 'transition 2': 14,
             'dense block 3': 14, 'transition 3': 7, 'dense block 4': 7}
    assert {stage: shape[1:] for stage, shape in rows.items() if stage in sizes} == {
        stage: (size, size) for stage, size in sizes.items()}
    assert rows['classifier'] == (1000,)
    # Growth rate 32, 64 channels after the stem, transitions that halve.
    width = 64
    for number, num_convs in enumerate(blocks, 1):
        width += 32 * num_convs
        assert rows[f'dense block {number}'][0] == width
        if number < 4:
            width //= 2
            assert rows[f'transition {number}'][0] == width
    depth = int(name.removeprefix('densenet'))
    layers = []
    densenet(name).apply(lambda block: layers.append(type(block).__name__))
    # The paper's Table 1 gives DenseNet-264 blocks of (6, 12, 64, 48), and these make 265 layers, not 264.
    assert layers.count('Conv2D') + layers.count('Dense') == depth + (name == 'densenet264')


@pytest.mark.parametrize('name', [name for name in NETWORKS if name.startswith('densenet_')])
def test_depth_of_the_cifar_networks(name):
    kinds = []
    net = densenet(name)
    net.apply(lambda block: kinds.append(type(block).__name__))
    depth, growth_rate = map(int, name.split('_')[-2:])
    assert kinds.count('Conv2D') + kinds.count('Dense') == depth
    assert net.config['growth_rate'] == growth_rate
    assert net.config['num_init_features'] == (2 * growth_rate if 'bc' in name else 16)
    assert net.stage_sizes(32, 32) == [(32, 32), (16, 16), (8, 8)]


@pytest.mark.parametrize('name, channels, parameters', [
    ('fashion_13_32', [16, 48, 48, 80, 80, 176, 176, 272, 10], 340_666),
    ('fashion_16_32', [32, 64, 64, 128, 128, 256, 256, 384, 10], 704_298)])
def test_this_courses_own_networks_have_the_depth_and_growth_rate_of_their_names(name, channels, parameters):
    net, kinds = densenet(name), []
    net.apply(lambda block: kinds.append(type(block).__name__))
    assert kinds.count('Conv2D') + kinds.count('Dense') == int(name[8:10]) and net.config['growth_rate'] == 32
    # One layer on the whole image, and no transition narrows; the README gives the number of parameters.
    assert input_shape(name) == (1, 28, 28)
    assert net.stage_sizes(28, 28) == [(28, 28), (14, 14), (7, 7), (3, 3)]
    assert [row['channels'] for row in summary(net).rows] == channels and summary(net).parameters == parameters


def copy_parameters(source, target):
    """By position: the order of the parameters is part of what is compared."""
    pairs = list(zip(source.collect_params().values(), target.collect_params().values(), strict=True))
    assert [a.shape for a, _ in pairs] == [b.shape for _, b in pairs]
    for a, b in pairs:
        b.set_data(a.data())
    return pairs


def random_parameters(net):
    """Values other than the initial ones where initial ones would hide a mistake (statistics, biases)."""
    for parameter in net.collect_params().values():
        if parameter.name.endswith(('gamma', 'running_var')):
            parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
        elif not parameter.name.endswith('weight'):
            parameter.set_data(mx.nd.random.normal(0, 0.1, parameter.shape))


def scores_and_gradients(net, X, y):
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    with autograd.record():
        scores = net(X)
        value = loss(scores, y)
    value.backward()
    return scores.asnumpy(), [p.grad().asnumpy() for p in net.collect_params().values() if p.grad_req != 'null']


ZOO = ['densenet121', 'densenet161', 'densenet169', 'densenet201', 'resnet18', 'resnet34', 'resnet50', 'resnet101',
       'resnet152']


@pytest.mark.parametrize('name', ZOO)
def test_same_outputs_and_gradients_as_gluons_zoo(name):
    gc.collect()  # Gluon's blocks are in cycles: the networks of the tests before would stay, gigabytes in all
    theirs = vision.get_model(name if name in NETWORKS else f'{name}_v1')
    ours = build(name)
    # The zoo's DenseNet ends in a 7x7 pooling: 224 pixels and no others. ResNets take any size.
    size = 224 if name in NETWORKS else 64
    X, y = mx.nd.array(images(2, 3, size, size) - 0.5), mx.nd.array([7, 1])
    for net in (theirs, ours):
        net.initialize(mx.init.Xavier())
        net(X)
    mx.nd.waitall()  # before parameters are read: see training._snapshot
    random_parameters(theirs)
    copy_parameters(theirs, ours)
    expected = theirs(X).asnumpy()
    assert abs(ours(X).asnumpy() - expected).max() <= 1e-5 * abs(expected).max()
    expected, expected_gradients = scores_and_gradients(theirs, X, y)
    scores, gradients = scores_and_gradients(ours, X, y)
    assert abs(scores - expected).max() <= 1e-5 * abs(expected).max()
    scale = max(abs(a).max() for a in expected_gradients)
    for a, b in zip(expected_gradients, gradients, strict=True):
        assert abs(a - b).max() <= 1e-5 * scale


def test_d2l_resnet18_is_built_of_d2ls_own_blocks():
    """d2l 1.0.3's Residual block, in the stages of its chapter, in np mode: same weights, same outputs."""
    d2l = pytest.importorskip('d2l.mxnet', reason='d2l is not installed')
    array = switch('np')
    from mxnet.gluon import nn
    theirs = nn.Sequential()
    theirs.add(nn.Conv2D(64, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
    for stage, channels in enumerate((64, 128, 256, 512)):
        theirs.add(d2l.Residual(channels, use_1x1conv=stage > 0, strides=2 if stage else 1), d2l.Residual(channels))
    theirs.add(nn.GlobalAvgPool2D(), nn.Dense(10))
    ours = resnet('d2l_resnet18')
    X = array(images(2, 1, 96, 96))
    for net in (theirs, ours):
        net.initialize(mx.init.Xavier())
        net(X)
    # d2l's block holds its convolutions before its normalizations; the names say which is which.
    by_name = {}
    for i, block in enumerate(theirs._children.values()):
        if isinstance(block, d2l.Residual):
            by_name[len(by_name)] = (block, i)
    blocks = [block for block, _ in by_name.values()]
    mine = [block for stage in list(ours.features)[4:8] for block in stage]
    pairs = [(theirs[0], ours.features[0]), (theirs[1], ours.features[1]), (theirs[-1], ours.output)]
    for a, b in zip(blocks, mine, strict=True):
        pairs += [(a.conv1, b.body[0]), (a.bn1, b.body[1]), (a.conv2, b.body[3]), (a.bn2, b.body[4])]
        assert (a.conv3 is None) == (b.downsample is None)
        if a.conv3:
            pairs.append((a.conv3, b.downsample))
    for a, b in pairs:
        for p, q in zip(a.collect_params().values(), b.collect_params().values(), strict=True):
            q.set_data(p.data())
    expected = theirs(X).asnumpy()
    assert abs(ours(X).asnumpy() - expected).max() <= 1e-5 * abs(expected).max()


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('name', ['article', 'densenet_40_12', 'densenet_bc_100_12', 'd2l_resnet18', 'resnet110'])
def test_named_networks_run_in_both_modes_and_hybridized(mode, name):
    array = switch(mode)
    net = build(name, classes=7)
    net.initialize(mx.init.MSRAPrelu())
    X = array(images(2, input_shape(name)[0], 32, 32))
    expected = net(X).asnumpy()
    assert expected.shape == (2, 7)
    net.hybridize()
    numpy.testing.assert_allclose(net(X).asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_overrides_replace_arguments():
    net = densenet('densenet121', classes=10, in_channels=1, compression=1, bias=True)
    assert net.config == {**densenet('densenet121').config, 'classes': 10, 'in_channels': 1, 'compression': 1.0,
                          'bias': True}


@pytest.mark.parametrize('builder, name, nearest', [
    (densenet, 'densenet-121', 'densenet121'), (densenet, 'DenseNet_BC_100_12', 'densenet_bc_100_12'),
    (resnet, 'resnet81', 'resnet18'), (densenet, None, None)])
def test_unknown_names_list_the_known_and_the_nearest(builder, name, nearest):
    with pytest.raises(ValueError, match='name must be one of') as caught:
        builder(name)
    assert all(known in str(caught.value) for known in (NETWORKS if builder is densenet else RESNETS))
    assert (f'Did you mean {nearest!r}?' in str(caught.value)) == (nearest is not None)


def test_compression_is_floored_as_in_the_authors_code():
    net = DenseNet(growth_rate=5, block_config=(1, 1), num_init_features=8, compression=0.75)
    assert [row['channels'] for row in summary(net).rows] == [8, 13, 9, 14, 10]


def test_dropout_follows_each_convolution_but_the_first():
    net = DenseNet(growth_rate=4, block_config=(2, 3), bottleneck=4, dropout=0.2)
    kinds = []
    net.apply(lambda block: kinds.append(type(block).__name__))
    order = [kind for kind in kinds if kind in ('Conv2D', 'Dropout', 'AvgPool2D')]
    one = ['Conv2D', 'Dropout']
    assert order == ['Conv2D'] + one * 4 + one + ['AvgPool2D'] + one * 6
    net.initialize()
    X = mx.nd.array(images(2, 1, 32, 32))
    assert (net(X).asnumpy() == net(X).asnumpy()).all()
    with autograd.train_mode():
        assert (net(X).asnumpy() != net(X).asnumpy()).any()


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('name', ['densenet_bc_100_12', 'resnet110'])
def test_he_initialization_has_the_papers_variance_and_follows_the_seed(mode, name):
    switch(mode)

    def values(seed):
        net = build(name)
        he_initialize(net, seed, (3, 32, 32))
        return {p.name.partition('_')[2]: p.data().asnumpy() for p in net.collect_params().values()}

    mx.random.seed(99)
    first = values(5)
    mx.random.seed(100)
    again, other = values(5), values(6)
    assert all((first[key] == again[key]).all() for key in first)
    weights = {key: value for key, value in first.items() if value.ndim > 1}
    assert all((value != other[key]).any() for key, value in weights.items())
    # The weights in units of sqrt(2 / fan-in) are standard normal: about a million of them.
    scaled = numpy.concatenate([value.ravel() / (2 / value[0].size) ** 0.5 for value in weights.values()])
    assert abs(scaled.mean()) < 0.01 and abs(scaled.std() - 1) < 0.01
    assert abs((abs(scaled) < 1).mean() - 0.6827) < 0.01
    for key, value in first.items():
        if value.ndim == 1:
            assert (value == (1 if key.endswith(('gamma', 'running_var')) else 0)).all(), key


def test_he_initialization_asks_for_the_shape_it_needs():
    with pytest.raises(ValueError, match='give input_shape'):
        he_initialize(resnet('resnet18'))
    with pytest.raises(ValueError, match='seed must be'):
        he_initialize(densenet('article'), seed=-1)


@pytest.mark.parametrize('arguments, message', [
    ({'compression': 0}, 'compression must be a finite number above 0 and at most 1, got 0'),
    ({'compression': 1.5}, 'compression must'), ({'compression': True}, 'compression must'),
    ({'compression': 0.01, 'num_init_features': 8, 'growth_rate': 4}, 'leaves transition 1 no channel'),
    ({'bottleneck': 0}, 'bottleneck must be an integer of at least 1, got 0'),
    ({'bottleneck': True}, 'bottleneck must'),
    ({'dropout': 1}, 'dropout must be a number with 0 <= dropout < 1, got 1'), ({'dropout': -0.1}, 'dropout must'),
    ({'stem': 'mnist'}, "stem must be one of 'imagenet', 'cifar', got 'mnist'"), ({'bias': 1}, 'bias must')])
def test_wrong_values_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenseNet(**arguments)
    with pytest.raises(ValueError, match=message):
        densenet('article', **arguments)
