"""The memory-efficient mode: the same training as without it, and only features kept."""

import json
import os
import pathlib
import subprocess
import sys

import mxnet as mx
import numpy
import pytest
from helpers import MODES, Stop, images, loader, stopping_after, switch
from mxnet import autograd, gluon

from d2l_densenet import DenseNet, ResumeError, cli, evaluate_accuracy, fit, he_initialize, predict, summary
from d2l_densenet.execution import recompute

# Widths that are multiples of 16 and widths that are not go different ways, with and without a bottleneck.
KINDS = {
    'BC': {'growth_rate': 12, 'block_config': (3, 3), 'num_init_features': 24, 'bottleneck': 4, 'stem': 'cifar',
           'bias': False},
    'plain': {'growth_rate': 5, 'block_config': (3, 2), 'num_init_features': 7, 'stem': 'cifar', 'compression': 1.0},
    'aligned': {'growth_rate': 16, 'block_config': (3, 2), 'num_init_features': 16, 'bottleneck': 2, 'stem': 'cifar'},
    'one block': {'growth_rate': 8, 'block_config': (2,), 'num_init_features': 16, 'bottleneck': 4, 'stem': 'cifar'},
    'article': {'growth_rate': 16, 'block_config': (2, 2, 1), 'num_init_features': 32}}
LOSS = gluon.loss.SoftmaxCrossEntropyLoss()


@pytest.fixture(autouse=True)
def _nothing_pending():
    yield
    recompute._tape.__init__()


def build(kind='BC', seed=3, hybrid=True, **kwargs):
    net = DenseNet(**{**KINDS[kind], 'classes': 4, **kwargs})
    he_initialize(net, seed)
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    return net


def batch(array, count=6, side=20, ctx=None):
    return array(images(count, 1, side, side) - 0.5, ctx=ctx), array(numpy.arange(count) % 4, ctx=ctx)


def gradients(net, ctx=None):
    mx.nd.waitall()
    return {name: p.grad(ctx).asnumpy() for name, p in net._collect_params_with_prefix().items()
            if p.grad_req != 'null'}


def statistics(net):
    mx.nd.waitall()
    return {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items() if 'running' in name}


def agree(found, expected, tolerance=1e-3):
    """Each array but for rounding, which is measured against all of them where one is nothing but rounding.

    (Rounding may turn a ReLU on, so a gradient is not compared value by value.)
    """
    assert found.keys() == expected.keys()
    scale = numpy.sqrt(sum((value ** 2).sum() for value in expected.values()))
    for name, value in expected.items():
        error = numpy.linalg.norm(found[name] - value)
        assert error <= tolerance * max(numpy.linalg.norm(value), 1e-2 * scale), (name, error)


def step(net, X, y, efficient=True):
    """A step in a loop of one's own, with or without the mode's two lines."""
    with recompute.record() if efficient else autograd.record():
        scores = net(X)
        loss = LOSS(scores, y)
    if efficient:
        recompute.backward(loss)
    else:
        loss.backward()
    return scores.asnumpy()


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('hybrid', [False, True])
@pytest.mark.parametrize('kind', KINDS)
def test_scores_gradients_and_statistics_are_those_of_the_usual_way(kind, mode, hybrid):
    array = switch(mode)
    usual, lean = build(kind, hybrid=hybrid), build(kind, hybrid=hybrid, memory_efficient=True)
    for side in (20, 28, 20):
        X, y = batch(array, side=side)
        X.attach_grad()
        expected = step(usual, X, y, efficient=False)
        of_images = X.grad.asnumpy()
        numpy.testing.assert_allclose(step(lean, X, y), expected, rtol=1e-4, atol=1e-5)
        agree(gradients(lean), gradients(usual))
        agree({'': X.grad.asnumpy()}, {'': of_images})
        for name, value in statistics(lean).items():
            numpy.testing.assert_allclose(value, statistics(usual)[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('hybrid', [False, True])
@pytest.mark.parametrize('place', ['object', 'class'])
def test_another_function_of_the_network_is_what_is_computed(place, hybrid, monkeypatch):
    usual, lean = build(hybrid=hybrid), build(hybrid=hybrid, memory_efficient=True)
    if place == 'class':
        monkeypatch.setattr(DenseNet, 'hybrid_forward', lambda net, F, x: 2 * net.output(net.features(x)))
    for net in (usual, lean):
        if place == 'object':
            net.hybrid_forward = lambda F, x, net=net: 2 * net.output(net.features(x))
    X, y = batch(mx.nd.array)
    expected = step(usual, X, y, efficient=False)
    with pytest.warns(UserWarning, match='saves nothing in the network'):
        found = step(lean, X, y)
    numpy.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    agree(gradients(lean), gradients(usual))


@pytest.mark.parametrize('hybrid', [False, True])
def test_two_calls_before_the_backward_pass_with_a_part_as_it_is_written(hybrid):
    usual, lean = build(hybrid=hybrid), build(hybrid=hybrid, memory_efficient=True)
    X, y = batch(mx.nd.array)
    for net in (usual, lean):
        layer = net.features[2][1]  # in the transition
        layer._act_type = 'softrelu'
        layer.register_forward_hook(lambda *given: None)
    with autograd.record():
        loss = LOSS(usual(X), y).sum() + LOSS(usual(2 * X), y).sum()
    loss.backward()
    with recompute.record(), pytest.warns(UserWarning, match='saves nothing in features.2.1'):
        loss = LOSS(lean(X), y).sum() + LOSS(lean(2 * X), y).sum()
    recompute.backward(loss)
    agree(gradients(lean), gradients(usual))


@pytest.mark.parametrize('kind', ['BC', 'aligned'])
def test_running_statistics_move_once(kind):
    array = switch('nd')
    net = build(kind, memory_efficient=True)
    X, y = batch(array)
    step(net, X, y)
    mean = net.features[0](X).asnumpy().mean(axis=(0, 2, 3))
    norm = net.features[1].net[0][0]
    numpy.testing.assert_allclose(norm.running_mean.data().asnumpy(), 0.1 * mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('kind', ['BC', 'aligned', 'article'])
def test_they_move_once_where_the_forward_pass_moves_them(kind, monkeypatch):
    """cuDNN's batch normalization moves them forward (cudnn_batch_norm-inl.h in MXNet's source), the CPU's backward."""
    array = switch('nd')
    usual, lean = build(kind), build(kind, memory_efficient=True)
    X, y = batch(array)
    step(usual, X, y, efficient=False)
    plain_invoke = recompute._invoke

    def invoke(name, arrays, out=None, **attributes):
        if name == 'BatchNorm' and not attributes['use_global_stats']:
            arrays[3][:] += 1
        if name == '_backward_BatchNorm':
            arrays = [*arrays[:6], arrays[6].copy(), arrays[7].copy()]
        return plain_invoke(name, arrays, out, **attributes)

    plain_call = recompute.Graph.__call__

    def call(graph, x, keep_statistics=False):
        operator = graph.operator

        def moving(*arrays):
            with autograd.pause():
                for item, array in zip(graph.inputs, arrays):
                    if item in graph.statistics:
                        array[:] += 1
            return operator(*arrays)
        graph.operator = moving
        try:
            return plain_call(graph, x, keep_statistics)
        finally:
            graph.operator = operator

    monkeypatch.setattr(recompute, '_invoke', invoke)
    monkeypatch.setattr(recompute.Graph, '__call__', call)
    before = statistics(lean)
    step(lean, X, y)
    pieces = {p.name for piece in recompute._plans[lean][1].pieces for p in recompute._parameters(*piece.layers)}
    for name, parameter in lean._collect_params_with_prefix().items():
        if parameter.name in pieces and 'running' in name:
            # These go on to the CPU's backward pass: 0.9 of the 1 stays.
            expected = statistics(usual)[name] + 0.9
        elif name.endswith('running_mean'):
            expected = before[name] + 1
        else:
            continue
        numpy.testing.assert_allclose(statistics(lean).get(name), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('kind', ['BC', 'aligned', 'plain'])
def test_only_features_are_kept(kind):
    """So what is kept grows in a line with the depth; usually each layer keeps what it has read."""
    array = switch('nd')
    kept = []
    for layers in (2, 4, 8):
        net = build(kind, memory_efficient=True, block_config=(layers,))
        X, y = batch(array)
        with recompute.record():
            net(X)
        call, = recompute._tape.pending
        ((features, (*moments, _)), _), = call.kept
        widths = [net.config['num_init_features'], *[net.config['growth_rate']] * layers]
        assert [f.shape for f in features] == [(6, width, 20, 20) for width in widths]
        assert not any(inner for _, inner in moments)
        small = sum(m.size for layer, _ in moments for step in layer for m in step)
        assert small < 0.05 * sum(f.size for f in features)
        kept.append(sum(f.size for f in features))
    assert kept[2] - kept[1] == 2 * (kept[1] - kept[0])


def test_later_blocks_keep_the_bottlenecks_outputs_too():
    array = switch('nd')
    net = build(memory_efficient=True)
    with recompute.record():
        net(batch(array)[0])
    call, = recompute._tape.pending
    ((_, (*first, _)), _), ((_, (*second, _)), _) = call.kept
    assert not any(inner for _, inner in first)
    assert [[h.shape for h in inner] for _, inner in second] == 3 * [[(6, 48, 10, 10)]]


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('kind', ['BC', 'aligned', 'plain'])
def test_dropout_draws_the_same_again(kind, mode):
    """The slope of the loss along its gradient, by differences, is the gradient's length, if the masks stay.

    Along the gradient within the dense blocks: the classifier's is the longest, and knows nothing of masks.
    """
    array = switch(mode)
    net = build(kind, memory_efficient=True, dropout=0.4)
    X, y = batch(array, count=12)

    def loss_and_gradients():
        mx.random.seed(11)
        with recompute.record():
            loss = LOSS(net(X), y).mean()
        recompute.backward(loss)
        return loss.asnumpy().item(), gradients(net)

    _, slopes = loss_and_gradients()
    assert all((a == b).all() for a, b in zip(slopes.values(), loss_and_gradients()[1].values()))
    values = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    slopes = {name: slope for name, slope in slopes.items() if '.net.' in name}
    length = numpy.sqrt(sum((slope ** 2).sum() for slope in slopes.values()))
    losses = []
    for sign in (1, -1):
        for name, parameter in net._collect_params_with_prefix().items():
            if name in slopes:
                parameter.set_data(array(values[name] + sign * 2e-3 * slopes[name] / length))
        losses.append(loss_and_gradients()[0])
    assert (losses[0] - losses[1]) / 4e-3 == pytest.approx(length, rel=0.05)


def test_dropout_leaves_the_generator_at_a_new_place():
    array = switch('nd')
    net = build(memory_efficient=True, dropout=0.4)
    X, y = batch(array)
    mx.random.seed(5)
    draws = []
    for _ in range(3):
        step(net, X, y)
        draws.append(tuple(mx.nd.random.uniform(shape=4).asnumpy()))
    assert len(set(draws)) == 3


def test_dropout_is_refused_on_a_gpu():
    with pytest.raises(ValueError, match='dropout.*GPU.*dropout=0'):
        recompute._seeder(3, mx.gpu(0))
    recompute._seeder(0, mx.gpu(0))


# In a loop of one's own

def test_without_either_line_nothing_is_saved_and_all_is_right():
    array = switch('nd')
    usual, lean = build(), build(memory_efficient=True)
    X, y = batch(array)
    for net in (usual, lean):
        step(net, X, y, efficient=False)
    assert all((a == b).all() for a, b in zip(gradients(usual).values(), gradients(lean).values()))
    with autograd.record():  # the first line forgotten
        loss = LOSS(lean(X), y)
    recompute.backward(loss)
    assert all((a == b).all() for a, b in zip(gradients(usual).values(), gradients(lean).values()))


@pytest.mark.parametrize('mode', MODES)
def test_a_forgotten_backward_is_no_silent_fault(mode):
    array = switch(mode)
    net = build(memory_efficient=True)
    X, y = batch(array)
    step(net, X, y)
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
    trainer.step(6)
    with recompute.record():
        loss = LOSS(net(X), y)
    loss.backward()
    assert numpy.isnan(net.output.bias.grad().asnumpy()).all()  # for those who update without a Trainer
    with pytest.raises(UserWarning, match='has not been updated'):
        trainer.step(6)
    with pytest.raises(RuntimeError, match=r'without recompute.backward\(loss\)'):
        with recompute.record():
            pass
    with recompute.record():
        pass


def test_a_step_that_is_given_up_does_no_harm():
    array = switch('nd')
    usual, lean = build(), build(memory_efficient=True)
    X, y = batch(array)
    with recompute.record():
        old = LOSS(lean(X.copy()), y.copy())  # MXNet cannot go backward where a later loss has shared an array and gone
    step(usual, X, y, efficient=False)
    step(lean, X, y)
    agree(gradients(lean), gradients(usual))
    with pytest.raises(RuntimeError, match='earlier recompute.record'):
        recompute.backward(old)
    with recompute.record():
        loss = LOSS(lean(X), y)
    recompute.backward(loss)


def test_losses_one_by_one_on_several_devices():
    array, devices = switch('nd'), [mx.cpu(0), mx.cpu(1)]
    usual, lean = build(), build(memory_efficient=True)
    data = [batch(array, ctx=ctx) for ctx in devices]
    for net, record, backward in ((usual, autograd.record, lambda loss: loss.backward()),
                                  (lean, recompute.record, recompute.backward)):
        net.collect_params().reset_ctx(devices)
        with record():
            losses = [LOSS(net(X), y) for X, y in data]
        for loss in losses:
            backward(loss)
    for ctx in devices:
        agree(gradients(lean, ctx), gradients(usual, ctx))


@pytest.mark.parametrize('mode', MODES)
def test_a_network_called_twice_and_a_penalty_on_its_weights(mode):
    array = switch(mode)
    usual, lean = build(), build(memory_efficient=True)
    (X, y), (Z, _) = batch(array), batch(array)
    for net, record, backward in ((usual, autograd.record, autograd.backward),
                                  (lean, recompute.record, recompute.backward)):
        with record():
            penalty = sum((p.data() ** 2).sum() for p in net.collect_params('.*weight').values())
            loss = LOSS(net(X) - net(Z), y).sum() + penalty
        backward(loss)
    agree(gradients(lean), gradients(usual))


def test_gradients_that_add_up_and_frozen_layers():
    array = switch('nd')
    usual, lean = build(), build(memory_efficient=True)
    for net in (usual, lean):
        net.collect_params('.*(gamma|conv0_weight)').setattr('grad_req', 'add')
        net.features[0].collect_params().setattr('grad_req', 'null')  # the stem
        net.features[1].net[0].collect_params('.*weight').setattr('grad_req', 'null')
    for _ in range(2):
        X, y = batch(array)
        step(usual, X, y, efficient=False)
        step(lean, X, y)
    assert len(gradients(lean)) < len(gradients(build()))
    agree(gradients(lean), gradients(usual))


def test_between_other_layers():
    array = switch('nd')
    results = []
    for efficient in (False, True):
        net = gluon.nn.Sequential()
        inner = build(memory_efficient=efficient)
        net.add(gluon.nn.Conv2D(1, 3, padding=1, in_channels=1), inner, gluon.nn.Dense(4, in_units=4))
        for layer in (net[0], net[2]):
            he_initialize(layer, 1)
        numpy.random.seed(0)
        step(net, *batch(array), efficient=efficient)
        results.append(gradients(net))
    agree(results[1], results[0])


def test_inside_a_hybridized_block_the_usual_way_is_taken():
    array = switch('nd')
    net = gluon.nn.HybridSequential()
    net.add(build(memory_efficient=True))
    net.hybridize()
    X, y = batch(array)
    usual = build()
    step(usual, X, y, efficient=False)
    step(net, X, y)
    assert not recompute._tape.pending
    # A parent computes in the order of the paper, which rounds otherwise.
    agree(dict(enumerate(gradients(net).values())), dict(enumerate(gradients(usual).values())))


def test_predict_mode_takes_the_usual_way():
    array = switch('nd')
    net = build(memory_efficient=True)
    X, y = batch(array)
    step(net, X, y)
    expected = net(X).asnumpy()
    with recompute.record(train_mode=False):
        scores = net(X)
    assert not recompute._tape.pending
    numpy.testing.assert_allclose(scores.asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_replaced_layers_are_noticed():
    array = switch('nd')
    nets = [build(kind='plain'), build(kind='plain', memory_efficient=True)]
    X, y = batch(array)
    step(nets[1], X, y)
    for net in nets:
        net.output = gluon.nn.Dense(7, in_units=net.output._in_units)
        transition = net.features[2]
        transition._children['3'] = gluon.nn.MaxPool2D(2)
        he_initialize(net, 8)
    step(nets[0], X, y, efficient=False)
    assert step(nets[1], X, y).shape == (6, 7)
    agree(gradients(nets[1]), gradients(nets[0]))
    for net in nets:
        net.features[1].net[0]._children['1'] = gluon.nn.LeakyReLU(0.1)
    step(nets[0], X, y, efficient=False)
    with pytest.warns(UserWarning, match=r'saves nothing in features\.1 of this DenseNet.*net\.0\.1 in it.*LeakyReLU'):
        step(nets[1], X, y)
    agree(gradients(nets[1]), gradients(nets[0]))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='memory_efficient must be True or False, got 1'):
        DenseNet(memory_efficient=1)


# All the rest of the package

def test_everything_but_training_is_as_without_it(tmp_path):
    switch('nd')
    usual, lean = build(), build(memory_efficient=True)
    assert usual.config == lean.config and not usual.memory_efficient
    test = [batch(mx.nd.array)]
    fit(lean, loader(), None, 1, seed=1, progress=False)
    lean.save_parameters(str(tmp_path / 'a.params'))
    usual.load_parameters(str(tmp_path / 'a.params'))
    assert evaluate_accuracy(lean, test) == evaluate_accuracy(usual, test)
    assert (predict(lean, test)[0] == predict(usual, test)[0]).all()
    assert str(summary(lean)) == str(summary(usual))
    lean.export(str(tmp_path / 'lean'))
    usual.export(str(tmp_path / 'usual'))
    symbols = [json.loads((tmp_path / f'{name}-symbol.json').read_text())['nodes'] for name in ('lean', 'usual')]
    assert [node['op'] for node in symbols[0]] == [node['op'] for node in symbols[1]]


def run(net, train_iter=None, **kwargs):
    # Small steps: rounding grows in training, and large ones would let it grow beyond comparing.
    return fit(net, train_iter or loader(), loader(), 2, optimizer='nag', seed=3, progress=False,
               optimizer_params={'learning_rate': 2e-3, 'momentum': 0.9}, **kwargs)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('ctx', [None, [mx.cpu(0), mx.cpu(1)]])
def test_fit_trains_alike(mode, ctx):
    switch(mode)
    usual, lean = build('plain', classes=3), build('plain', classes=3, memory_efficient=True)
    expected, history = (run(net, ctx=ctx, label_smoothing=0.1) for net in (usual, lean))
    numpy.testing.assert_allclose(history['loss'], expected['loss'], rtol=1e-4)
    for a, b in zip(usual.collect_params().values(), lean.collect_params().values()):
        numpy.testing.assert_allclose(b.data(mx.cpu(0)).asnumpy(), a.data(mx.cpu(0)).asnumpy(), rtol=1e-2, atol=1e-3)


def test_fit_uses_the_mode(monkeypatch):
    switch('nd')
    calls, forward = [], recompute.forward
    monkeypatch.setattr(recompute, 'forward', lambda net, x, *rest: calls.append(x.shape) or forward(net, x, *rest))
    run(build(classes=3))
    assert not calls
    run(build(classes=3, memory_efficient=True))
    assert calls == 2 * [*3 * [(8, 1, 20, 20)], (6, 1, 20, 20)]


@pytest.mark.parametrize('mode, ctx', [('nd', None), ('np', [mx.cpu(0), mx.cpu(1)])])
def test_resumed_runs_end_with_the_same_bits(mode, ctx, tmp_path):
    switch(mode)

    def network():
        return build(classes=3, memory_efficient=True, dropout=0.2)

    whole, resumed = network(), network()
    run(whole, ctx=ctx)
    with pytest.raises(Stop):
        run(network(), stopping_after(5), ctx=ctx, checkpoint_dir=tmp_path, checkpoint_seconds=0)
    with pytest.raises(ResumeError, match='memory_efficient: True in the checkpoint, None here'):
        run(build(classes=3, dropout=0.2), ctx=ctx, checkpoint_dir=tmp_path, resume=True)
    run(resumed, ctx=ctx, checkpoint_dir=tmp_path, resume=True)
    for a, b in zip(whole.collect_params().values(), resumed.collect_params().values()):
        for device in a.list_ctx():
            assert (a.data(device).asnumpy() == b.data(device).asnumpy()).all()


def test_the_command(tmp_path, capsys):
    root = pathlib.Path(__file__).resolve().parents[2]

    def command(*arguments):
        return subprocess.run([sys.executable, '-m', 'd2l_densenet', 'train', '--device', 'cpu', *arguments],
                              cwd=tmp_path, capture_output=True, text=True, timeout=120,
                              env={**os.environ, 'PYTHONPATH': str(root), 'OMP_NUM_THREADS': '1'})

    new = ['--data', 'synthetic', '--limit', '64', '--size', '28', '--epochs', '1', '--batch-size', '16']
    done = command(*new, '--memory-efficient', '--output', 'out')
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / 'out' / 'config.json').read_text())['memory_efficient'] is True
    done = command('--resume', 'out')
    assert done.returncode == 0, done.stderr
    # The checkpoint says what the network did. A config.json without the setting is from before there was one.
    config = json.loads((tmp_path / 'out' / 'config.json').read_text())
    del config['memory_efficient']
    (tmp_path / 'out' / 'config.json').write_text(json.dumps(config))
    done = command('--resume', 'out')
    assert done.returncode == 2 and 'memory_efficient: True in the checkpoint, None here' in done.stderr
    assert cli.main(['train', *new, '--memory-efficient', '--network', 'resnet18']) == 2
    assert '--memory-efficient is for a DenseNet' in capsys.readouterr().err


# What a learner freezes or changes; many more of these are drawn in test_property.py.

@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('last', [1, 2, 3, 4, None])
@pytest.mark.parametrize('kind', ['BC', 'aligned'])
def test_statistics_of_frozen_layers_move_as_in_the_usual_mode(kind, last, mode):
    """Those below the lowest trained layer stay, because MXNet moves them in the backward pass."""
    array = switch(mode)
    usual, lean = build(kind), build(kind, memory_efficient=True)
    for net in (usual, lean):
        for layer in list(net.features)[:last]:
            layer.collect_params().setattr('grad_req', 'null')
    X, y = batch(array)
    before = statistics(usual)
    step(usual, X, y, efficient=False)
    step(lean, X, y)
    agree(gradients(lean), gradients(usual))
    assert any((statistics(usual)[name] == value).all() for name, value in before.items()) == (last != 1)
    for name, value in statistics(lean).items():
        numpy.testing.assert_allclose(value, statistics(usual)[name], rtol=1e-5, atol=1e-6)


def test_what_costs_memory_is_named_once():
    array = switch('nd')
    net = build(memory_efficient=True)
    grouped = gluon.nn.Conv2D(12, 3, padding=1, groups=2, in_channels=48)
    net.features[1].net[1].register_child(grouped, '5')
    he_initialize(net, 2)
    X, y = batch(array)
    with pytest.warns(UserWarning, match=r'saves nothing in features\.1 .*net\.1\.5 in it.*Conv2D') as told:
        for _ in range(3):
            step(net, X, y)
    assert len(told) == 1


def test_images_that_get_a_gradient_get_all_of_it():
    """From two calls, and from a loss that reads them itself."""
    array = switch('nd')
    results, X = [], batch(array)[0]
    X.attach_grad()
    for efficient in (False, True, True):  # there is an older gradient each time but the first
        net = build(memory_efficient=efficient)
        with recompute.record() if efficient else autograd.record():
            loss = (net(X) ** 2).sum() + net(X).sum() + (X ** 2).sum()
        (recompute.backward if efficient else autograd.backward)(loss)
        results.append({'': X.grad.asnumpy()})
    agree(results[1], results[0])
    agree(results[2], results[0])
