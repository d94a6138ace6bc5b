"""A run when things go wrong: numbers that are not finite, signals; and several devices, with CPU devices for GPUs."""

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy
import pytest
from helpers import (
    MODES,
    Batches,
    Clock,
    Piped,
    classifier,
    loader,
    network,
    run_once,
    same,
    stopping_after,
    switch,
    values,
)
from mxnet import gluon

from d2l_densenet import DenseNet, DivergenceError, History, ImageLoader, evaluate_accuracy, fit, predict, train_ch5
from d2l_densenet.runs import session
from d2l_densenet.runs.session import Signals, article_line, report_line, together


def test_a_nan_loss_stops_with_a_useful_error_and_a_usable_network():
    net = classifier()
    fit(net, Batches(), None, 1, progress=False)
    with pytest.raises(DivergenceError, match=r'nan in epoch 2, batch 3, at learning rate 0\.5.*0\.05') as caught:
        fit(net, Batches(spoil=(2, 3)), None, 5, optimizer_params={'learning_rate': 0.5}, progress=False)
    assert caught.value.history['epoch'] == [1]
    assert all(numpy.isfinite(v).all() for v in values(net))
    assert fit(net, Batches(), None, 1, progress=False)['loss'][0] < 1


def test_an_infinite_loss_stops_too():
    class Infinite(gluon.loss.SoftmaxCrossEntropyLoss):
        def hybrid_forward(self, F, pred, label, sample_weight=None):
            return super().hybrid_forward(F, pred, label) * 1e38 * 10

    with pytest.raises(DivergenceError, match='inf in epoch 1, batch 1'):
        fit(classifier(), Batches(), None, 1, loss=Infinite(), progress=False)


def test_the_network_goes_back_to_the_start_of_the_epoch_that_diverged():
    seen = []
    net = classifier()
    with pytest.raises(DivergenceError):
        fit(net, Batches(spoil=(2, 2)), None, 5, progress=False, on_epoch=lambda history: seen.append(values(net)))
    for a, b in zip(seen[0], values(net)):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('rate', [1e20, 1e30])
def test_a_new_network_that_diverges_at_once_keeps_its_first_values(rate, recwarn):
    mx.random.seed(5)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(8), gluon.nn.Dense(2))  # no BatchNorm: it would keep the loss finite
    net.initialize(mx.init.Normal(0.1))
    with pytest.raises(DivergenceError, match='in epoch 1, batch'):
        fit(net, Batches(), None, 3, seed=5, optimizer_params={'learning_rate': rate}, progress=False)
    mx.random.seed(5)
    other = gluon.nn.HybridSequential()
    other.add(gluon.nn.Dense(8), gluon.nn.Dense(2))
    other.initialize(mx.init.Normal(0.1))
    other(next(iter(Batches()))[0])
    for a, b in zip(values(net), values(other)):
        numpy.testing.assert_array_equal(a, b)
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_ctrl_c_returns_the_history_so_far(capsys):
    net = classifier()
    history = fit(net, Batches(stop=(3, 2)), Batches(), 5)
    assert history['epoch'] == [1, 2] and 'epoch 3' in history.stopped
    assert 'interrupted in epoch 3' in capsys.readouterr().out
    assert fit(net, Batches(), None, 1, progress=False).stopped is None


@pytest.mark.parametrize('number, words', [(signal.SIGINT, 'interrupted'), (signal.SIGTERM, 'ended by SIGTERM')])
def test_a_signal_ends_after_the_batch_and_says_how_to_go_on(number, words, tmp_path, capsys):
    whole, net, resumed = network(), network(), network()
    fit(whole, loader(), None, 2, optimizer='nag', optimizer_params={'momentum': 0.9, 'learning_rate': 0.05}, seed=3,
        progress=False)
    train_iter = loader()

    class Signalling(ImageLoader):
        def __iter__(self):
            for i, batch in enumerate(super().__iter__()):
                if i == 2:
                    os.kill(os.getpid(), number)
                yield batch

    train_iter.__class__ = Signalling
    history = run_once(tmp_path, net=net, train_iter=train_iter, epochs=2)
    out = capsys.readouterr().out
    assert history.stopped == f'{words} in epoch 1, after batch 3' and 'resume=True' in out
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
    run_once(tmp_path, net=resumed, epochs=2, resume=True)
    assert same(resumed, whole)


class Others:
    """Stands for the workers: `total` adds what another one says."""

    number = 2

    def __init__(self, *says):
        self.says = says

    def total(self, values):
        return [a + b for a, b in zip(values, self.says, strict=True)]


def test_workers_agree_on_the_end():
    ended = Signals(object())
    assert together(Others(1, 4, 2.5, 2.25, 3, 0, 0), [4, 1.5, 1.25, 2], ended) == [8, 4.0, 3.5, 5]
    assert ended.ended_by is None
    assert together(Others(0, 0, 0, 0, 0, 0, 0), None, ended) == []
    together(Others(1, 4, 2.5, 2.25, 3, 0, 1), [4, 1.5, 1.25, 2], ended)
    assert ended.ended_by == 'ended by SIGTERM'
    for own, other in ([4, 1, 1, 1], 0), (None, 1):
        with pytest.raises(ValueError, match='1 of the 2 workers fewer batches'):
            together(Others(other, 0, 0, 0, 0, 0, 0), own, ended)


def test_a_signal_alone_does_not_end_a_worker():
    with Signals(object()) as ended:
        os.kill(os.getpid(), signal.SIGINT)
        assert (ended.noted, ended.ended_by) == ('interrupted', None)
    with Signals() as ended:
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended.ended_by == 'ended by SIGTERM'


DEVICES = [mx.cpu(0), mx.cpu(1), mx.cpu(2)]


def plain(mode):
    """A network without batch normalization: with it each device would have statistics of its own."""
    switch(mode)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(4, 3, in_channels=1, activation='relu'), gluon.nn.GlobalAvgPool2D(),
            gluon.nn.Dense(3, in_units=4))
    mx.random.seed(1)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return net


def run(net, ctx=None, **kwargs):
    # 30 images in batches of 7: parts of 3, 2 and 2, and a last batch of 2, which leaves a device idle.
    return fit(net, kwargs.pop('train_iter', None) or loader(batch_size=7), loader(batch_size=7), 2, seed=1, ctx=ctx,
               progress=False, optimizer='nag', optimizer_params={'learning_rate': 0.1, 'momentum': 0.9}, **kwargs)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('number', [2, 3])
def test_several_devices_train_as_one(mode, number):
    one, several = plain(mode), plain(mode)
    expected, history = run(one), run(several, DEVICES[:number])
    for column in ('loss', 'train_acc', 'test_acc'):
        numpy.testing.assert_allclose(history[column], expected[column], rtol=1e-5)
    for a, b in zip(values_on(one, 0), values_on(several, 0)):
        numpy.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)
    for device in range(1, number):
        assert all((a == b).all() for a, b in zip(values_on(several, 0), values_on(several, device)))


def values_on(net, device):
    return [p.list_data()[device].asnumpy() for p in net.collect_params().values()]


def dense():
    switch('nd')
    net = DenseNet(4, (2, 1), 6, classes=3)
    mx.random.seed(7)
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def test_a_densenet_trains_and_each_device_has_its_own_statistics():
    net = dense()
    history = run(net, DEVICES[:2])
    assert numpy.isfinite(history['loss']).all()
    for parameter in net.collect_params().values():
        first, second = (data.asnumpy() for data in parameter.list_data())
        assert (first == second).all() == (parameter.grad_req != 'null'), parameter.name
    assert history['test_acc'][-1] == evaluate_accuracy(net, loader(), DEVICES[0])


def test_a_run_on_two_devices_resumes_to_the_same_bits(tmp_path):
    whole, resumed = dense(), dense()
    run(whole, DEVICES[:2])
    with pytest.raises(Exception, match='^$'):
        run(dense(), DEVICES[:2], train_iter=stopping_after(5, batch_size=7), checkpoint_dir=tmp_path,
            checkpoint_seconds=0)
    run(resumed, DEVICES[:2], checkpoint_dir=tmp_path, resume=True)
    for device in (0, 1):
        assert all((a == b).all() for a, b in zip(values_on(whole, device), values_on(resumed, device)))


@pytest.mark.parametrize('ctx', [[], [mx.cpu(0), mx.cpu(0)], ['cpu'], 'cpu'])
def test_wrong_devices_are_named(ctx):
    with pytest.raises(TypeError, match='ctx must be'):
        run(plain('nd'), ctx)


def test_one_device_in_a_list():
    assert run(plain('nd'), [mx.cpu(0)])['loss'] == run(plain('nd'))['loss']


def test_parameters_that_are_no_longer_finite_end_the_run_though_the_loss_is_finite():
    """AdaMax divides by the largest gradient so far: 0 by 0 where a ReLU has never been on."""
    mx.random.seed(1)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(4, activation='relu', in_units=16), gluon.nn.Dense(2, in_units=4))
    net.initialize(mx.init.Normal(0.1))
    net[0].bias.set_data(mx.nd.array([0, -100, 0, 0]))  # the second is never on
    with pytest.raises(DivergenceError, match=r'parameter \S+_weight became NaN or infinite in epoch 1, batch 1,'):
        fit(net, Batches(), None, 1, optimizer='adamax', optimizer_params={'learning_rate': 0.001}, progress=False)
    assert all(numpy.isfinite(value).all() for value in values(net))


def test_scores_that_are_not_finite_end_the_run_whatever_the_loss_makes_of_them():
    def forgiving(scores, labels):
        return mx.nd.where(scores == scores, scores, mx.nd.zeros_like(scores)).sum(axis=1)

    with pytest.raises(DivergenceError, match='the loss became nan in epoch 2, batch 1'):
        fit(classifier(), Batches(spoil=(2, 1)), None, 2, loss=forgiving, progress=False,
            optimizer_params={'learning_rate': 0.0})


@pytest.mark.parametrize('value', [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize('number', range(6))
def test_a_network_that_is_not_finite_is_refused_by_name(value, number):
    net = classifier()
    net(next(iter(Batches()))[0])
    parameter = list(net.collect_params().values())[number]
    spoilt = parameter.data().asnumpy()
    spoilt.flat[-1] = value
    parameter.set_data(mx.nd.array(spoilt))
    for call in (lambda: fit(net, Batches(), None, 1), lambda: evaluate_accuracy(net, Batches()),
                 lambda: predict(net, Batches())):
        with pytest.raises(ValueError, match=f'parameter {parameter.name} holds NaN or infinity'):
            call()


def test_large_values_are_finite():
    net = classifier()
    net(next(iter(Batches()))[0])
    net[1].bias.set_data(mx.nd.array([3e38, 3e38]))
    assert 0 <= evaluate_accuracy(net, Batches()) <= 1


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('reduce', [lambda losses: losses.mean(), lambda losses: losses.sum(),
                                    lambda losses: losses.reshape((-1, 1)), lambda losses: losses[:3],
                                    lambda losses: losses.asnumpy(), lambda losses: 2.0])
def test_a_loss_that_is_not_one_for_each_image_is_named(mode, reduce):
    switch(mode)
    plain = gluon.loss.SoftmaxCrossEntropyLoss()
    net = classifier()
    with pytest.raises(ValueError, match=r'loss must give one value for each image, .* of shape \(8,\), and gave '):
        fit(net, Batches(), None, 1, loss=lambda scores, labels: reduce(plain(scores, labels)), progress=False)
    assert fit(net, Batches(), None, 1, loss=lambda scores, labels: plain(scores, labels), progress=False).rows


@pytest.mark.parametrize('optimizer', ['sgd', 'adam'])
@pytest.mark.parametrize('some', [False, True])
def test_gradients_that_the_user_added_up_do_not_count(optimizer, some):
    def run(grad_req):
        mx.random.seed(3)
        net = classifier()
        net(next(iter(Batches()))[0])
        for parameter in list(net.collect_params().values())[-1 if some else 0:]:
            if parameter.grad_req != 'null':
                parameter.grad_req = grad_req
                parameter.grad()[:] = 7
        fit(net, Batches(), None, 2, optimizer=optimizer, progress=False)
        return values(net), {parameter.grad_req for parameter in net.collect_params().values()}

    (expected, _), (found, states) = run('write'), run('add')
    assert all((a == b).all() for a, b in zip(expected, found)) and 'add' in states


def test_whoever_reads_the_log_through_a_pipe_sees_each_line_at_once(tmp_path):
    class Interrupted(ImageLoader):
        def __iter__(self):
            yield next(super().__iter__())
            raise KeyboardInterrupt

    train_iter = loader()
    train_iter.__class__ = Interrupted
    with contextlib.redirect_stdout(Piped()) as out:
        run_once(tmp_path, train_iter=train_iter, checkpoint_seconds=0)
        run_once(tmp_path, epochs=2, resume=True, progress=True)
        net = classifier()
        trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
        train_ch5(net, Batches(), None, 8, trainer, mx.cpu(), 2)
    starts = [line.split(',')[0] for line in out.getvalue().splitlines()]
    assert starts == ['interrupted in epoch 1', 'resumed in epoch 1', 'epoch 1', 'epoch 2', 'training on cpu(0)',
                      'epoch 1', 'epoch 2']
    assert out.late in ([], ['training on cpu(0)'])  # which the first epoch follows


@pytest.mark.parametrize('data, test_acc, article, own', [
    ('fashion-mnist', 0.75, 'epoch 3, loss 0.1235, train acc 0.667, test acc 0.750, time 12.3 sec',
     ', 1235 images/s, lr 0.01235, data fashion-mnist'),
    ('synthetic', None, 'epoch 3, loss 0.1235, train acc 0.667, time 12.3 sec, data synthetic',
     ', 1235 images/s, lr 0.01235, data synthetic')])
def test_the_lines_of_an_epoch(data, test_acc, article, own, capsys):
    history = History(data=data)
    row = {'epoch': 3, 'loss': 0.12346, 'train_acc': 2 / 3, 'test_acc': test_acc, 'seconds': 12.34,
           'images_per_second': 1234.6, 'data_seconds': 1.0, 'learning_rate': 0.0123456}
    history.rows += [{**row, 'epoch': 2}, row]
    article_line(history)
    assert capsys.readouterr().out == article + '\n'
    report_line(history)
    assert capsys.readouterr().out == article.removesuffix(', data synthetic') + own + '\n'


class Slow(Batches):
    """Each batch is waited for."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def __iter__(self):
        for batch in super().__iter__():
            self.clock.now += self.seconds
            yield batch


def test_the_seconds_of_an_epoch_are_told_apart(monkeypatch):
    """Three batches and an evaluation of three: waiting for each 2 and 7 seconds, and computing 3."""
    clock = Clock(1000)
    monkeypatch.setattr(session, 'time', clock)
    plain = gluon.loss.SoftmaxCrossEntropyLoss()

    def slow_loss(scores, labels):
        clock.now += 3
        return plain(scores, labels)

    history = fit(classifier(), Slow(clock, 2), Slow(clock, 7), 2, loss=slow_loss, progress=False)
    assert history['data_seconds'] == [3 * 2] * 2
    assert history['images_per_second'] == [20 / (3 * (2 + 3))] * 2
    assert history['seconds'] == [3 * (2 + 3) + 3 * 7] * 2


class Bar:
    """Stands for tqdm: what it was made with, and what it then showed."""

    made = []

    def __init__(self, **settings):
        self.settings, self.steps, self.shown = settings, 0, []
        self.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        pass

    def update(self):
        self.steps += 1

    def set_postfix_str(self, text, refresh):
        self.shown.append(text)


@pytest.mark.parametrize('progress, terminal, disabled', [
    (True, True, False), (True, False, True), (False, True, True), (False, False, True)])
def test_a_bar_shows_batches_and_the_mean_loss(progress, terminal, disabled, monkeypatch, capsys):
    monkeypatch.setattr('tqdm.auto.tqdm', Bar)
    monkeypatch.setattr(Bar, 'made', [])
    monkeypatch.setattr(session, 'progress_shows', lambda: terminal)
    history = fit(classifier(), Batches(), None, 2, progress=progress)
    assert [bar.settings for bar in Bar.made] == [
        {'total': 3, 'initial': 0, 'desc': f'epoch {number}/2', 'unit': 'batch', 'leave': False, 'disable': disabled}
        for number in (1, 2)]
    assert [bar.steps for bar in Bar.made] == [3, 3]
    assert [bar.shown[-1] for bar in Bar.made] == [f'loss {loss:.4f}' for loss in history['loss']]
    assert bool(capsys.readouterr().out) is progress
    fit(classifier(), list(Batches())[:2], None, 1, progress=False)
    fit(classifier(), Generated(), None, 1, progress=False)
    assert [bar.settings['total'] for bar in Bar.made[2:]] == [2, None]


class Generated:
    def __iter__(self):
        return iter(Batches())


def test_the_bar_of_a_resumed_run_goes_on(tmp_path, monkeypatch):
    with pytest.raises(Exception, match='^$'):
        run_once(tmp_path, train_iter=stopping_after(2), checkpoint_seconds=0)
    monkeypatch.setattr('tqdm.auto.tqdm', Bar)
    monkeypatch.setattr(Bar, 'made', [])
    run_once(tmp_path, epochs=2, resume=True)
    assert [(bar.settings['initial'], bar.steps) for bar in Bar.made] == [(3, 1), (0, 4)]


def test_a_second_ctrl_c_breaks_into_the_step_and_handlers_come_back():
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(KeyboardInterrupt), Signals() as ended:
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended.ended_by == 'ended by SIGTERM'
        os.kill(os.getpid(), signal.SIGINT)
    assert ended.ended_by == 'ended by SIGTERM'
    with ThreadPoolExecutor(1) as pool:  # where Python sets no handlers
        pool.submit(lambda: Signals().__enter__().__exit__()).result()
    assert {number: signal.getsignal(number) for number in former} == former


@pytest.mark.parametrize('optimizer, clip', [('sgd', True), ('muon', False)])
def test_the_advice_fits_the_optimizer(optimizer, clip):
    """Of Muon's steps clip_gradient does not bound the length."""
    with pytest.raises(DivergenceError, match=r'at learning rate 0\.25\. Try a learning rate of 0\.025, or') as caught:
        fit(classifier(), Batches(spoil=(1, 2)), None, 1, optimizer=optimizer, optimizer_params={'learning_rate': 0.25},
            progress=False)
    assert ('clip_gradient' in str(caught.value)) is clip


def test_a_loader_without_batches_is_told_from_one_that_can_be_used_once():
    with pytest.raises(ValueError, match='gave no batches: give a loader with images; an iterator that was'):
        fit(classifier(), [], None, 1, progress=False)
    with pytest.raises(ValueError, match='gave no batches in a second pass: .* not a generator'):
        fit(classifier(), iter(Batches()), None, 2, progress=False)


@pytest.mark.parametrize('kind', [AssertionError, ValueError, TypeError])
def test_whatever_an_optimizer_raises_it_is_named(kind):
    class Broken(mx.optimizer.SGD):
        def update_multi_precision(self, *args):
            raise kind('of its own')

    with pytest.raises(RuntimeError, match=rf'optimizer Broken fails .* \({kind.__name__}: of its own\): take another'):
        fit(classifier(), Batches(), None, 1, optimizer=Broken(), progress=False)


def test_a_parameter_without_a_gradient_is_named():
    net = network(hybrid=False)
    net.unused = gluon.nn.Dense(2, in_units=3)
    net.unused.initialize()
    message = r"parameter dense\d+_(bias|weight) got no gradient: .* \(grad_req = 'null'\)"
    with pytest.raises(RuntimeError, match=message):
        fit(net, loader(), None, 1, progress=False)
    net.unused.collect_params().setattr('grad_req', 'null')
    assert len(fit(net, loader(), None, 1, progress=False)) == 1
