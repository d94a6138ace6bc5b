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

from d2l_densenet import DenseNet, export_model
from d2l_densenet.execution import recompute
from d2l_densenet.history import History
from d2l_densenet.runs.directories import load_run, save_run


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
    net = DenseNet(pooling_convention='full' if min(height, width) < 29 else 'valid')
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
    net = DenseNet(growth_rate=8, block_config=(1, 1, 1, 1), pooling_convention='full')
    net.initialize()
    batches = [mx.nd.array(images(2, 1, n, n)) for n in (48, 28, 48, 17, 29)]
    expected = [net(X).asnumpy() for X in batches]
    of_features = [net.features(X).asnumpy() for X in batches]
    for X, y in zip(reversed(batches), reversed(of_features)):
        assert (net.features(X).asnumpy() == y).all()  # whatever came before
    net.hybridize(static_alloc=True, static_shape=True)
    for X, y in zip(batches, expected):
        assert_close(net(X).asnumpy(), y)


@pytest.mark.parametrize('hybrid', [False, True])
@pytest.mark.parametrize('convention, stem, blocks, smallest', [
    ('valid', 'imagenet', (4, 4, 4, 4), 29), ('valid', 'imagenet', (2,), 1), ('valid', 'imagenet', (1, 1), 5),
    ('valid', 'imagenet', (1, 1, 1), 13), ('valid', 'cifar', (1, 1, 1), 4), ('full', 'imagenet', (4, 4, 4, 4), 17),
    ('full', 'imagenet', (1, 1), 5), ('full', 'imagenet', (1, 1, 1), 9), ('full', 'cifar', (1, 1, 1), 3)])
def test_too_small_names_the_smallest_and_the_argument(convention, stem, blocks, smallest, hybrid):
    net = DenseNet(growth_rate=4, block_config=blocks, stem=stem, pooling_convention=convention)
    net.initialize()
    if hybrid:
        net.hybridize()
    assert net.smallest_input_size == smallest
    assert net(mx.nd.array(images(1, 1, smallest, smallest))).shape == (1, 10)
    if smallest > 1:
        words = f"pooling_convention='{convention}' the smallest height and width is {smallest}"
        for efficient in (False, True):
            net.memory_efficient = efficient
            with pytest.raises(ValueError, match=words), recompute.record():
                net(mx.nd.array(images(1, 1, smallest + 3, smallest - 1)))
        with pytest.raises(ValueError, match=words):
            net.stage_sizes(smallest - 1, smallest)


def test_too_small_says_what_rounding_up_would_take():
    said = ('^images of 28 x 30 pixels are too small for this network: after the stem and 3 transitions nothing is '
            "left to pool. With pooling_convention='valid' the smallest height and width is 29, with 'full', which "
            'rounds odd sizes up, 17$')
    with pytest.raises(ValueError, match=said):
        DenseNet().stage_sizes(28, 30)
    with pytest.raises(ValueError, match="2 transitions .*='full' the smallest height and width is 3$"):
        DenseNet(4, (1, 1, 1), 4, stem='cifar', pooling_convention='full').stage_sizes(2, 9)


@pytest.mark.parametrize('blocks', [(1,), (1, 1), (1, 1, 1)])
def test_the_stages_are_the_parts_in_order(blocks):
    net = DenseNet(4, blocks, 8)
    names = ['stem']
    for number in range(1, len(blocks) + 1):
        names += [f'dense block {number}', f'transition {number}']
    assert [name for name, _ in net.stages()] == [*names[:-1], 'classifier']
    assert [layer for _, layers in net.stages() for layer in layers] == [*net.features, net.output]
    assert len(net.stages()[0][1]) == 4 and len(net.stages()[-1][1]) == 5


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
    # Biases in front of a batch normalization have a gradient of zero but for rounding, so one scale serves all.
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
        net = DenseNet(growth_rate=12, block_config=(2, 2, 1, 1), pooling_convention='full')
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
    net = DenseNet(growth_rate=12, block_config=(2, 2, 1, 1), pooling_convention='full')
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
    ({'block_config': 4}, 'block_config'), ({'block_config': (4, 0)}, 'block_config'),
    ({'pooling_convention': 'same'}, 'pooling_convention')])
def test_wrong_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        DenseNet(**arguments)


def test_wrong_images_are_named():
    net = DenseNet()
    net.initialize()
    with pytest.raises(ValueError, match=r'\(N, 1, H, W\).*\(2, 3, 48, 48\)'):
        net(mx.nd.ones((2, 3, 48, 48)))


def step(net, X):
    """A training step's gradients and statistics."""
    with recompute.record():
        loss = (net(X) ** 2).sum()
    recompute.backward(loss)
    mx.nd.waitall()
    found = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    return found | {f'gradient {name}': p.grad().asnumpy() for name, p in net._collect_params_with_prefix().items()
                    if p.grad_req != 'null'}


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('efficient', [False, True])
@pytest.mark.parametrize('hybrid', [False, True])
def test_a_copy_at_every_moment_goes_its_own_way(hybrid, efficient, mode):
    array = switch(mode)
    X = array(images(3, 1, 29, 29))
    net = DenseNet(growth_rate=4, block_config=(1, 1, 1, 2), memory_efficient=efficient)
    copies = [copy.deepcopy(net)]
    net.initialize(mx.init.Xavier())
    copies.append(copy.deepcopy(net))
    net.hybridize(hybrid, static_alloc=hybrid)
    for _ in range(2):
        copies.append(copy.deepcopy(net))
        expected = step(net, X)
    assert copies[0].collect_params().keys() == net.collect_params().keys()
    for each in copies[2:]:
        before = net.output.weight.data().asnumpy()
        step(each, X)
        each.output.weight.set_data(each.output.weight.data() * 2)
        assert (net.output.weight.data().asnumpy() == before).all()
    again = copy.deepcopy(net)
    expected, found = step(net, X), step(again, X)
    assert found.keys() == expected.keys() and all((found[name] == expected[name]).all() for name in expected)


@pytest.mark.parametrize('hybrid', [False, True])
def test_a_head_replaced_as_gluon_teaches_it(hybrid, tmp_path):
    """It trains, and goes into every kind of file and back."""
    net = DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=8)
    net.initialize()
    X = mx.nd.array(images(2, 1, 32, 32))
    net.hybridize(hybrid)
    assert net(X).shape == (2, 10)
    net.output = nn.Dense(3)
    net.output.initialize()
    assert net(X).shape == (2, 3) and net.config['classes'] == 3
    step(net, X)
    expected = net(X).asnumpy()
    (tmp_path / 'run').mkdir()
    save_run(tmp_path / 'run', net, History(), {'network': net.config, 'size': 32})
    assert_close(load_run(tmp_path / 'run')[0](X).asnumpy(), expected)
    assert export_model(net, tmp_path, (1, 32, 32), ['mxnet']).differences['mxnet'] < 1e-5
    loaded = gluon.SymbolBlock.imports(str(tmp_path / 'densenet-symbol.json'), ['data'],
                                       str(tmp_path / 'densenet-0000.params'))
    assert_close(loaded(X).asnumpy(), expected)


def max_pooling(net):
    net.features[5].register_child(nn.MaxPool2D(2), '3')


def donated(net):
    net.features = DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=16).features
    net.features.initialize()
    net.output = nn.Dense(10)
    net.output.initialize()


@pytest.mark.parametrize('change', [max_pooling, donated])
def test_a_run_of_a_changed_network_is_not_written_as_if_it_were_none(change, tmp_path):
    net = DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=8)
    net.initialize()
    change(net)
    X = mx.nd.array(images(2, 1, 32, 32))
    expected = net(X).asnumpy()
    with pytest.raises(ValueError, match=r'its layers are not those of config.*save_parameters'):
        save_run(tmp_path / 'run', net, History(), {'network': net.config})
    assert export_model(net, tmp_path, (1, 32, 32), ['mxnet']).differences['mxnet'] < 1e-5
    loaded = gluon.SymbolBlock.imports(str(tmp_path / 'densenet-symbol.json'), ['data'],
                                       str(tmp_path / 'densenet-0000.params'))
    assert_close(loaded(X).asnumpy(), expected)


def test_a_run_from_before_there_was_the_argument_rounds_as_it_did(tmp_path):
    net = DenseNet(growth_rate=8, block_config=(1, 1, 1, 1), pooling_convention='full')
    net.initialize()
    config = {name: value for name, value in net.config.items() if name != 'pooling_convention'}
    (tmp_path / 'run').mkdir()
    save_run(tmp_path / 'run', net, History(), {'network': net.config, 'size': 28})
    (tmp_path / 'run' / 'config.json').write_text(json.dumps({'network': config, 'size': 28}))
    loaded, _, _ = load_run(tmp_path / 'run')
    X = mx.nd.array(images(2, 1, 28, 28))
    assert loaded.config == net.config and (loaded(X).asnumpy() == net(X).asnumpy()).all()
