"""Mixed precision: with bfloat16, because a CPU has no float16 convolutions; and the scaling of the loss."""

import collections
import json
import pathlib
import re

import mxnet as mx
import numpy
import pytest
from helpers import MODES, images, switch
from mxnet import autograd, gluon

from d2l_densenet import DenseNet, DivergenceError, ImageLoader, ResumeError, evaluate_accuracy, fit, predict, resnet
from d2l_densenet.execution import mixed_precision
from d2l_densenet.execution.fast import faster
from d2l_densenet.execution.mixed_precision import MixedPrecision, check_dtype, with_casts


def works(dtype):
    try:
        check_dtype(dtype, mx.cpu())
        return True
    except ValueError:
        return False


needs_bfloat16 = pytest.mark.skipif(not works('bfloat16'), reason='this processor has no bfloat16 (AVX-512)')


def flags():
    try:
        text = pathlib.Path('/proc/cpuinfo').read_text()
    except OSError:
        return set()
    return set(next((line.split() for line in text.splitlines() if line.startswith('flags')), []))


@pytest.mark.skipif('avx512_bf16' not in flags(), reason='needs avx512_bf16')
def test_bfloat16_works_where_the_processor_has_it():
    """Else all tests that need it would be left out without a word."""
    check_dtype('bfloat16', mx.cpu())


@pytest.mark.parametrize('spoil', [
    None, lambda y: y + 1, lambda y: y + mx.nd.array([0] * 15 + [1]).reshape((1, 16, 1, 1)),
    lambda y: mx.nd.BlockGrad(y), lambda y: mx.nd.concat(y[:, :1], mx.nd.BlockGrad(y[:, 1:]), dim=1)])
def test_the_check_of_a_type_looks_at_all_scores_and_gradients(spoil, monkeypatch):
    """With float32 for the type, which every processor computes."""
    monkeypatch.setattr(mixed_precision, 'MixedPrecision',
                        lambda net, dtype: lambda x: spoil(net(x)) if spoil else net(x))
    if spoil:
        with pytest.raises(ValueError, match=r"dtype='float16' does not work on cpu\(0\) \(a convolution gave a wrong"):
            check_dtype('float16', mx.cpu())
    else:
        check_dtype('float16', mx.cpu())


def network(mode='nd', **kwargs):
    switch(mode)
    mx.random.seed(1)
    net = DenseNet(16, (2, 1), 16, classes=3, **kwargs)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return net


def loader():
    draw = numpy.random.default_rng(0)
    return ImageLoader(draw.integers(0, 256, (20, 20, 20), dtype='uint8'), draw.integers(0, 3, 20), 8, shuffle=True,
                       seed=1)


def run(net, epochs=2, rate=0.05, **kwargs):
    return fit(net, loader(), None, epochs, optimizer='nag', optimizer_params={'learning_rate': rate, 'momentum': 0.9},
               seed=1, progress=False, **kwargs)


def values(net):
    return [parameter.data().asnumpy() for parameter in net.collect_params().values()]


def types_and_shapes(symbol, shape):
    """{name of an operator: (type, shape) of its output}; what MXNet calls bfloat16 has a field of that name."""
    internals = symbol.get_internals()
    found = zip(internals.list_outputs(), internals.infer_type()[1], internals.infer_shape(data=shape)[1])
    return {re.sub('_out(put)?$', '', name): ((dtype.names or (dtype.name,))[0], shape)
            for name, dtype, shape in ((name, numpy.dtype(dtype), shape) for name, dtype, shape in found)}


@pytest.mark.parametrize('build', [network, lambda: resnet('resnet110')], ids=['DenseNet', 'ResNet'])
def test_in_float16_convolutions_and_dense_layers_get_16_bits_and_nothing_else_does(build):
    net, shape = build(), (2, 1 if build is network else 3, 32, 32)
    symbol = with_casts(net(mx.sym.var('data', dtype='float32')), 'float16', shape)
    types = types_and_shapes(symbol, shape)
    nodes = json.loads(net(mx.sym.var('data')).tojson())['nodes']
    low = {node['name'] for node in nodes if node['op'] in ('Convolution', 'FullyConnected')}
    assert low and {node['name'] for node in nodes if types.get(node['name'], '?')[0] == 'float16'} == low
    assert symbol.infer_type()[1] == [numpy.float32]


@pytest.mark.parametrize('mode', MODES)
def test_in_bfloat16_what_is_blocked_gets_16_bits_and_nothing_else_does(mode):
    """Widths of 32, 48 and 64, or of 32, 40 and 48; stem and classifier stay in float32."""
    switch(mode)
    net = DenseNet(16, (2,), 32, classes=3)
    net.initialize()
    wide, shape = DenseNet(8, (2,), 32, classes=3), (2, 1, 32, 32)
    wide.initialize()
    expected = {'Convolution': 2, 'Concat': 2, 'BatchNorm': 2, 'Activation': 2, 'Pooling': 1}
    for built, lowest in ((net, expected), (wide, {})):
        data = mx.sym.var('data', dtype='float32')
        symbol = faster(built(data.as_np_ndarray() if mode == 'np' else data), shape)
        symbol = with_casts(symbol, 'bfloat16', shape)
        types = types_and_shapes(symbol, shape)
        nodes = [node for node in json.loads(symbol.tojson())['nodes'] if node['op'] not in ('null', 'amp_cast')]
        low = [node for node in nodes if types[node['name']][0] == 'bfloat16']
        assert all(types[node['name']][1][1] % 16 == 0 for node in low)
        assert collections.Counter(node['op'].split('_')[-1] for node in low) == lowest


@needs_bfloat16
@pytest.mark.parametrize('mode', MODES)
def test_scores_and_gradients_are_those_of_float32_but_for_rounding(mode):
    """Without ReLU and batch normalization, which blow rounding up: to a hundredth, as 8 bits have it."""
    make = switch(mode)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(16, 3), gluon.nn.AvgPool2D(), gluon.nn.Conv2D(32, 3), gluon.nn.Conv2D(32, 3, groups=2),
            gluon.nn.Conv2D(16, 1, use_bias=False), gluon.nn.Dense(3))
    net.initialize(mx.init.Xavier())
    mixed = MixedPrecision(net, 'bfloat16')
    X, factors = make(images(8, 1, 20, 20)), make(images(8, 3))
    found = {}
    for name, forward in (('float32', net), ('bfloat16', mixed)):
        with autograd.record():
            scores = forward(X)
            total = (scores * factors).sum()
        total.backward()
        assert scores.dtype == numpy.float32
        found[name] = [scores.asnumpy(), *(p.grad().asnumpy() for p in net.collect_params().values()
                                           if p.grad_req != 'null')]
    assert not numpy.array_equal(found['float32'][0], found['bfloat16'][0]), 'nothing was computed in bfloat16'
    distance = sum(((a - b) ** 2).sum() for a, b in zip(*found.values())) ** 0.5
    assert distance < 0.01 * sum((a ** 2).sum() for a in found['float32']) ** 0.5
    assert all(array.dtype == numpy.float32 for array in found['bfloat16'])


@needs_bfloat16
@pytest.mark.parametrize('mode', MODES)
def test_statistics_move_as_in_float32(mode):
    X, moved = switch(mode)(images(8, 1, 20, 20)), []
    for dtype in ('float32', 'bfloat16'):
        net = network(mode)
        forward = net if dtype == 'float32' else MixedPrecision(net, dtype)
        net(X)
        for _ in range(3):
            with autograd.record():
                total = forward(X).sum()
            total.backward()
        moved.append({name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()
                      if 'running' in name})
    for name, expected in moved[0].items():
        assert numpy.abs(moved[1][name] - expected).max() < 0.02 * numpy.abs(expected).max(), name
        assert moved[1][name].dtype == numpy.float32


class Attention(gluon.nn.HybridBlock):
    """A convolution whose channels are weighed by `broadcast_mul`, whose name has a cast in it."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool = gluon.nn.Conv2D(16, 3, in_channels=16), gluon.nn.GlobalAvgPool2D()

    def hybrid_forward(self, F, x):
        x = self.conv(x)
        return F.broadcast_mul(x, self.pool(x))


@needs_bfloat16
def test_broadcasting_is_no_cast():
    net, X = Attention(), mx.nd.array(images(4, 16, 9, 9))
    net.initialize(mx.init.Xavier())
    expected = net(X).asnumpy()
    found = MixedPrecision(net, 'bfloat16')(X).asnumpy()
    assert 0 < numpy.abs(found - expected).max() < 0.05 * numpy.abs(expected).max()


def test_what_has_types_of_its_own_is_refused():
    symbol = mx.sym.cast(mx.sym.var('data'), 'float64')
    with pytest.raises(ValueError, match='needs a network of one output without casts or control flow of its own'):
        with_casts(symbol, 'bfloat16', (2, 3))


@needs_bfloat16
@pytest.mark.parametrize('mode', MODES)
def test_training_in_bfloat16_follows_float32_and_leaves_a_float32_network(mode):
    plain, mixed = network(mode), network(mode)
    # At a small rate: what rounding does to a ReLU grows from step to step.
    expected, history = run(plain, 4, rate=0.005), run(mixed, 4, rate=0.005, dtype='bfloat16')
    numpy.testing.assert_allclose(history['loss'], expected['loss'], rtol=0.05)
    assert history['loss'] != expected['loss'] and history['loss'][-1] < history['loss'][0]
    assert all(array.dtype == numpy.float32 for array in values(mixed))


@needs_bfloat16
def test_the_scale_of_the_loss_changes_no_update(monkeypatch):
    """Powers of two: nothing is rounded differently."""
    from d2l_densenet.runs.resume import Progress
    ends = []
    for scale in (1.0, 2.0 ** 10):
        monkeypatch.setattr(Progress.__init__, '__defaults__', (*Progress.__init__.__defaults__[:-2], scale, 0))
        net = network()
        run(net, dtype='bfloat16')
        ends.append(values(net))
    assert all((a == b).all() for a, b in zip(*ends))


@needs_bfloat16
def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_halved(monkeypatch):
    """The first backward pass gives infinity; without that step the run is the one on the other batches."""
    from d2l_densenet.runs import session
    seen, backward = [], session.Session._scaled_update

    def overflowing(self, size):
        if not seen:
            next(p for p in self.net.collect_params().values() if p.grad_req != 'null').grad()[:] = numpy.inf
        before = values(self.net)
        backward(self, size)
        moved = any((a != b).any() for (a, b), p in zip(zip(before, values(self.net)),
                                                         self.net.collect_params().values()) if p.grad_req != 'null')
        seen.append((self.progress.loss_scale, moved))

    monkeypatch.setattr(session.Session, '_scaled_update', overflowing)
    monkeypatch.setattr(session, '_STEPS_TO_DOUBLE', 3)
    history = run(network(), dtype='bfloat16')
    assert seen == [(2048, False), (2048, True), (2048, True), (4096, True), (4096, True), (4096, True)]
    assert numpy.isfinite(history['loss']).all()


@needs_bfloat16
def test_gradients_that_never_fit_end_the_run(monkeypatch):
    from d2l_densenet.runs import session
    monkeypatch.setattr(session, 'first_not_finite', lambda named: 'x')
    # From 2 ** 12 to below 2 ** -20 it is halved 33 times; three steps are an epoch.
    with pytest.raises(DivergenceError, match='the gradients became NaN or infinite in epoch 11, batch 3,'):
        run(network(), 20, dtype='bfloat16')


@needs_bfloat16
def test_a_run_in_bfloat16_resumes_to_the_same_bits_and_only_as_one(tmp_path):
    whole, resumed = network(), network()
    run(whole, 3, dtype='bfloat16')
    run(network(), 1, dtype='bfloat16', checkpoint_dir=tmp_path)
    with pytest.raises(ResumeError, match="optimizer dtype: 'bfloat16' in the checkpoint"):
        run(network(), 3, checkpoint_dir=tmp_path, resume=True)
    run(resumed, 3, dtype='bfloat16', checkpoint_dir=tmp_path, resume=True)
    assert all((a == b).all() for a, b in zip(values(whole), values(resumed)))


@needs_bfloat16
def test_a_layer_that_is_changed_between_two_calls_counts():
    net, x = network(), mx.nd.array(images(2, 1, 20, 20))
    low = MixedPrecision(net, 'bfloat16')
    before = low(x).asnumpy()
    net.output = gluon.nn.Dense(3, in_units=net.output.weight.shape[1])
    net.output.initialize()
    expected = net(x).asnumpy()
    assert abs(expected - before).max() > 0.05
    numpy.testing.assert_allclose(low(x).asnumpy(), expected, atol=0.02)


@pytest.mark.skipif(works('float16'), reason='this CPU has float16 convolutions')
def test_float16_is_refused_on_a_cpu():
    with pytest.raises(ValueError, match=r"dtype='float16' does not work on cpu\(0\) \(.*\): take 'float32'"):
        run(network(), dtype='float16')


def test_what_does_not_go_together_is_named():
    with pytest.raises(ValueError, match='memory_efficient=True do not go together'):
        MixedPrecision(network(memory_efficient=True), 'bfloat16')
    with pytest.raises(TypeError, match='needs a HybridBlock as net'):
        MixedPrecision(gluon.nn.Sequential(), 'float16')


@needs_bfloat16
@pytest.mark.parametrize('mode', MODES)
def test_predictions_in_bfloat16_are_those_of_the_network_but_for_rounding(mode):
    net = network(mode)
    X = images(64, 1, 20, 20)
    labels = (X.mean(axis=(1, 2, 3)) > X.mean()).astype('int32')
    batches = [(switch(mode)(X), switch(mode)(labels))]
    expected, _ = predict(net, batches)
    before = values(net)
    found, kept = predict(net, batches, dtype='bfloat16')
    assert 0 < numpy.abs(found - expected).max() < 0.02 and (kept == labels).all()
    right = float((found.argmax(axis=1) == labels).mean())
    assert evaluate_accuracy(net, batches, dtype='bfloat16') == right
    assert 0 <= evaluate_accuracy(net, batches, mirrored=True, dtype='bfloat16') <= 1
    assert all((a == b).all() for a, b in zip(values(net), before)), 'the network was changed'
    with autograd.train_mode():
        assert numpy.abs(predict(net, batches, dtype='bfloat16')[0] - found).max() > 0.02, 'as in training'


@pytest.mark.parametrize('call', [evaluate_accuracy, predict])
def test_a_type_that_predictions_cannot_have_is_refused(call):
    batch = [(mx.nd.array(images(4, 1, 20, 20)), mx.nd.zeros(4))]
    with pytest.raises(ValueError, match="dtype must be one of 'float32', 'float16', 'bfloat16', got 'float64'"):
        call(network(), batch, dtype='float64')
    if not works('float16'):
        with pytest.raises(ValueError, match=r"dtype='float16' does not work on cpu\(0\)"):
            call(network(), batch, dtype='float16')
