"""Resuming: bit for bit, and what is refused."""

import copy
import functools
import json
import math
import re

import mxnet as mx
import numpy
import pytest
from helpers import MODES, Clock, Stop, loader, network, run_once, same, stopping_after, switch, values
from mxnet import autograd, gluon

from d2l_densenet import History, ImageLoader, ResumeError, fit
from d2l_densenet.runs import resume
from d2l_densenet.runs.checkpoints import Checkpoints
from d2l_densenet.runs.resume import Keeper, Progress, _checked


def schedule():
    return mx.lr_scheduler.CosineScheduler(12, base_lr=0.05, final_lr=0.001, warmup_steps=3)


OPTIMIZERS = [('sgd', {}), ('nag', {'momentum': 0.9, 'wd': 1e-3}), ('adam', {}), ('muon', {'wd': 1e-3}),
              ('rmsprop', {'centered': True}), ('nadam', {}), ('sgld', {}), ('ftml', {}), ('signum', {}),
              ('lamb', {}), ('lars', {'momentum': 0.9}), ('ftrl', {}), ('adagrad', {}), ('adadelta', {}),
              ('adamax', {'learning_rate': 1e-4}), ('dcasgd', {}), ('lbsgd', {'momentum': 0.9}),
              ('groupadagrad', {}), ('ccsgd', {}), ('test', {})]


def test_the_list_holds_every_optimizer_that_there_is():
    assert {name for name, _ in OPTIMIZERS} == set(mx.optimizer.Optimizer.opt_registry)


def linear(mode):
    """One matrix, no gradient of which is 0: AdaMax divides by it, and GroupAdaGrad takes nothing but matrices."""
    switch(mode)
    mx.random.seed(7)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(3, use_bias=False, in_units=1))
    net.initialize(mx.init.Xavier())
    return net


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('optimizer, params', OPTIMIZERS)
def test_resumed_runs_end_with_the_same_bits(mode, optimizer, params, tmp_path):
    def run(net, train_iter, **kwargs):
        return fit(net, train_iter, None, 3, optimizer=optimizer, optimizer_params=params, lr_scheduler=schedule(),
                   label_smoothing=0.1, seed=3, progress=False, **kwargs)

    def build():
        return linear(mode) if optimizer in ('adamax', 'groupadagrad') else network(mode)

    whole = build()
    expected = run(whole, loader())
    # Killed after 5 batches (in the second epoch), then after 3 more, then left to end.
    for steps in (5, 3):
        with pytest.raises(Stop):
            run(build(), stopping_after(steps), checkpoint_dir=tmp_path, checkpoint_seconds=0, resume=True)
    resumed = build()
    history = run(resumed, loader(), checkpoint_dir=tmp_path, checkpoint_seconds=0, resume=True)
    assert same(resumed, whole)
    for column in ('loss', 'train_acc', 'learning_rate'):
        assert history[column] == expected[column]
    assert len(list(tmp_path.glob('checkpoint-*'))) == 2
    # Once more: nothing is left to do.
    again = build()
    assert run(again, loader(), checkpoint_dir=tmp_path, resume=True)['loss'] == expected['loss'] and same(again, whole)


@pytest.mark.parametrize('optimizer, params', [
    ('groupadagrad', {}), ('dcasgd', {'momentum': 0.9}), ('sgd', {'clip_gradient': 'a'})])
def test_an_optimizer_that_mxnet_itself_cannot_run_is_named(optimizer, params):
    with pytest.raises(RuntimeError, match=f'(?i)optimizer {optimizer} fails .* in MXNet.* take another'):
        fit(network(), loader(), None, 1, optimizer=optimizer, optimizer_params=params, progress=False)


def test_a_network_whose_shapes_come_with_the_first_call(tmp_path):
    def build():
        switch('nd')
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Conv2D(4, 3), gluon.nn.BatchNorm(), gluon.nn.Dense(3))
        net.initialize()
        return net

    def run(net, train_iter, **kwargs):
        return fit(net, train_iter, None, 2, optimizer='adam', seed=3, progress=False, **kwargs)

    whole, resumed = build(), build()
    run(whole, loader())
    with pytest.raises(Stop):
        run(build(), stopping_after(5), checkpoint_dir=tmp_path, checkpoint_seconds=0)
    run(resumed, loader(), checkpoint_dir=tmp_path, resume=True)
    assert same(resumed, whole)


def test_a_schedule_with_a_memory_and_noise_from_numpy_resume(tmp_path):
    class Noisy(ImageLoader):
        def __iter__(self):
            for X, y in super().__iter__():
                yield X + mx.nd.array(numpy.random.normal(0, 0.1, X.shape)), y

    def run(net, steps=None, **kwargs):
        train_iter = loader()
        train_iter.__class__ = Noisy
        if steps:
            kwargs['on_epoch'] = stop_now
        return fit(net, train_iter, None, 3, optimizer='sgd', seed=3, progress=False,
                   lr_scheduler=Falling(0.1), **kwargs)

    class Falling(mx.lr_scheduler.LRScheduler):
        def __call__(self, num_update):  # it cannot be derived from the number of the update
            self.base_lr *= 0.999
            return self.base_lr

    def stop_now(history):
        if len(history) == 2:
            raise Stop  # at the end of an epoch, before its checkpoint: the newest is of its last batch

    whole, resumed = network(), network()
    expected = run(whole)
    with pytest.raises(Stop):
        run(network(), steps=1, checkpoint_dir=tmp_path, checkpoint_seconds=0)
    # As if it had been killed one batch earlier, in the second epoch.
    max(tmp_path.glob('checkpoint-*')).unlink()
    history = run(resumed, checkpoint_dir=tmp_path, resume=True)
    assert same(resumed, whole) and history['learning_rate'] == expected['learning_rate']


def slower():
    net = network()
    net.output.weight.lr_mult = 0.5
    return net


@pytest.mark.parametrize('change, words', [
    (lambda: {'net': network(growth_rate=5)}, ['network has', 'other parameters']),
    (lambda: {'net': network(dropout=0.3)}, ['layer DenseNet.features.', '_rate=0.2', '_rate=0.3']),
    (lambda: {'net': slower()}, ['multiplier output.weight: None in the checkpoint, [0.5, 1.0] here']),
    (lambda: {'train_iter': loader(batch_size=6)}, ['loader batch_size: 8 in the checkpoint, 6 here']),
    (lambda: {'train_iter': loader(count=24)}, ['num_examples: 30', '24 here']),
    (lambda: {'train_iter': loader(seed=1)}, ['loader seed: 0', '1 here']),
    (lambda: {'seed': 4}, ['seed: 3 in the checkpoint, 4 here']),
    (lambda: {'optimizer': 'sgd'}, ["'NAG' in the checkpoint, 'SGD' here"]),
    (lambda: {'lr_scheduler': schedule()}, ['scheduler']),
    (lambda: {'label_smoothing': 0.1}, ['loss'])])
def test_another_run_is_refused_with_what_differs(change, words, tmp_path):
    run_once(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    net = network()
    arguments = {'net': net, **change()}
    old = values(arguments['net'])
    with pytest.raises(ResumeError) as caught:
        run_once(tmp_path, epochs=2, resume=True, **arguments)
    assert all(word in str(caught.value) for word in words), caught.value
    assert all((a == b).all() for a, b in zip(old, values(arguments['net'])))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_steps_of_a_scheduler_are_compared(tmp_path):
    def scheduler(*steps):
        return {'lr_scheduler': mx.lr_scheduler.MultiFactorScheduler([*steps], base_lr=0.05)}
    run_once(tmp_path, **scheduler(2, 6))
    with pytest.raises(ResumeError, match=r'scheduler list step: \[2, 6\] in the checkpoint, \[2, 7\] here'):
        run_once(tmp_path, epochs=2, resume=True, **scheduler(2, 7))
    assert len(run_once(tmp_path, epochs=2, resume=True, **scheduler(2, 6))) == 2


def test_a_scheduler_that_holds_others_and_a_network_that_has_been_called_resume(tmp_path):
    class Both(mx.lr_scheduler.LRScheduler):
        def __init__(self):
            super().__init__(0.05)
            self.parts, self.names = [schedule(), schedule()], ['first', 'second']

        def __call__(self, num_update):
            return self.parts[0](num_update)
    net, loss = network(), gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize()
    run_once(tmp_path, net, lr_scheduler=Both(), loss=loss)
    assert len(run_once(tmp_path, net, epochs=2, resume=True, lr_scheduler=Both(), loss=loss)) == 2


@pytest.mark.parametrize('part', ['network', 'optimizer', 'layer'])
def test_what_a_checkpoint_may_lack_is_what_the_first_versions_did_not_write(part):
    settings = resume.settings_of(network(), loader(), gluon.Trainer(network().collect_params(), 'sgd'), None, 0)
    old = {name: value for name, value in settings.items() if name != part}
    if part == 'layer':
        assert resume._differences(old, settings) == []
    else:
        with pytest.raises(KeyError, match=part):
            resume._differences(old, settings)


def test_the_same_call_with_the_same_scheduler_resumes(tmp_path):
    scheduler = mx.lr_scheduler.FactorScheduler(step=2, factor=0.5, base_lr=0.1)
    whole, resumed = network(), network()

    def run(net, epochs, **kwargs):
        return fit(net, loader(), None, epochs, lr_scheduler=scheduler, seed=3, progress=False, **kwargs)

    run(whole, 2)
    run(network(), 1, checkpoint_dir=tmp_path)
    run(resumed, 2, checkpoint_dir=tmp_path, resume=True)
    assert same(resumed, whole)


def test_a_checkpoint_that_is_not_finite_is_refused_by_name(tmp_path):
    run_once(tmp_path)
    with Checkpoints(tmp_path) as store:
        path, arrays, state = store.newest()
        name = next(name for name in arrays if name.startswith('optimizer/'))
        arrays[name] = arrays[name] * numpy.nan
        path.unlink()
        store.save(1, 0, arrays, state)
    with pytest.raises(ResumeError, match=f'holds NaN or infinity in {name}: remove it'):
        run_once(tmp_path, epochs=2, resume=True)


def test_an_optimizer_that_draws_noise_resumes_to_the_same_bits(tmp_path):
    """Without dropout, for which the generator is seeded in any case."""
    def run(net, epochs, **kwargs):
        return fit(net, loader(), None, epochs, optimizer='sgld', seed=3, progress=False, **kwargs)

    whole, resumed = network(dropout=0.0), network(dropout=0.0)
    run(whole, 2)
    run(network(dropout=0.0), 1, checkpoint_dir=tmp_path)
    run(resumed, 2, checkpoint_dir=tmp_path, resume=True)
    assert same(resumed, whole)


@pytest.fixture(scope='module')
def kept():
    """What a Keeper writes after a step, and the trainer."""
    class Store:
        def save(self, epoch, batch, arrays, state):
            self.saved = arrays, json.loads(json.dumps(state))

    net = gluon.nn.Dense(2, in_units=3)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'momentum': 0.5, 'lr_scheduler': schedule()})
    with autograd.record():
        loss = net(mx.nd.ones((4, 3))).sum()
    loss.backward()
    trainer.step(4)
    row = dict.fromkeys(History.columns, 1)
    Keeper(store := Store(), net, trainer, {}, 0).save(
        Progress(2, 3, 1.5, 4, 8, 0.5, 0.25, loader_pass=1), History([row]))
    return (*store.saved, trainer)


def checked(kept, where, value):
    arrays, state, trainer = copy.deepcopy(kept[:2]) + kept[2:]
    if where:
        place = arrays if where[0] == 'arrays' else state
        for name in where[1:-1] if where[0] == 'arrays' else where[:-1]:
            place = place[name]
        place[where[-1]] = value
    return _checked(state, arrays, trainer)


MOST = 2 ** 53 - 1  # JSON's numbers are exact up to here


@pytest.mark.parametrize('where', [
    *(('progress', name) for name in ('batch', 'right', 'count', 'steps_at_scale', 'loader_pass')), ('num_update',),
    ('updates', 'weight'), ('progress', 'epoch')])
def test_counts_of_a_checkpoint_are_counts(where, kept):
    epoch = where[-1] == 'epoch'  # the number of finished ones counts
    least = 1 if epoch or where[-1] == 'count' else 0  # after a batch there are images
    for value in (least, MOST + epoch):
        checked(kept, where, value)
    for value in (least - 1, MOST + epoch + 1, 1.5, '1', True):
        with pytest.raises((ValueError, TypeError)):
            checked(kept, where, value)


@pytest.mark.parametrize('where, good, bad', [
    (('progress', 'loss_sum'), (0, -1.5, 1e300), (math.nan, -math.inf, '1', True, None)),
    (('progress', 'seconds'), (1, 1e-9), (0, -1, math.inf, '1', True)),
    (('progress', 'waited'), (0, 2.5), (math.inf, '1', False)),
    (('progress', 'loss_scale'), (1, 2.0 ** 12), (math.nan, None)),
    (('history', 'rows'), ([],), ([{'epoch': 1}], [{**dict.fromkeys(History.columns, 1), 'seconds': 0}],
                                  [{**dict.fromkeys(History.columns, 1), 'more': 1}])),
    (('numpy', 0), ('MT19937',), ('PCG64',)), (('numpy', 1), (0, 624), (-1, 625, 1.0, True)),
    (('numpy', 2), (0, 1), (2, -1)), (('numpy', 3), (0.0, -2.5), (math.nan, math.inf)),
    (('arrays', 'numpy'), (numpy.zeros(624, 'uint32'),), (numpy.zeros(623, 'uint32'), numpy.zeros(624, 'int64'))),
    (('optimizer', 'lr'), (1, 0.5), ('1', [])), (('optimizer', 'of_another'), (), (1,)),
    (('scheduler', 'base_lr'), (0.5,), ('1',)), (('scheduler', 'of_another'), (), (1,)),
    (('scheduler',), (), ({},))])
def test_what_a_checkpoint_says_is_of_the_right_kind(where, good, bad, kept):
    for value in good:
        checked(kept, where, value)
    for value in bad:
        with pytest.raises((ValueError, TypeError)):
            checked(kept, where, value)


def test_what_was_written_is_taken(kept):
    assert checked(kept, (), None) == Progress(2, 3, 1.5, 4, 8, 0.5, 0.25, loader_pass=1)


def test_before_the_first_batch_of_an_epoch_there_are_no_sums(kept):
    arrays, state, trainer = kept
    _checked({**state, 'progress': {'epoch': 2}}, arrays, trainer)


@pytest.mark.parametrize('seconds, now, due', [(60, 159.9, False), (60, 160.0, True), (0, 100.0, True)])
def test_a_checkpoint_is_due_after_so_many_seconds(seconds, now, due, monkeypatch):
    clock = Clock(100.0)
    monkeypatch.setattr(resume, 'time', clock)
    keeper, worker = (Keeper(store, None, None, {}, seconds) for store in ('a store', None))
    clock.now = now
    assert keeper.due() is due and worker.due() is False


def test_another_environment_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    run_once(tmp_path)
    capsys.readouterr()
    run_once(tmp_path, resume=True)
    assert 'note:' not in capsys.readouterr().out
    monkeypatch.setenv('OMP_NUM_THREADS', '2')
    run_once(tmp_path, epochs=2, resume=True)
    assert re.search(r"note: checkpoint-000001-\S+ was written with .*'threads': '1'.*, this is .*'threads': '2'",
                     capsys.readouterr().out)


def test_what_differs_is_told_and_of_a_network_the_first_alone():
    old = {'network': {'a': 1, 'b': 2, 'c': 3}, 'loader': {'seed': 1, 'crop': 2}, 'seed': 3}
    assert resume._differences(old, old) == []
    new = {'network': {'a': 1, 'b': 3, 'd': 3}, 'loader': {'seed': 2, 'flip': 1}, 'seed': 4}
    assert resume._differences(old, new) == [
        'the network has 3 other parameters', 'network b: 2 in the checkpoint, 3 here',
        'loader seed: 1 in the checkpoint, 2 here', 'loader crop: 2 in the checkpoint, None here',
        'loader flip: None in the checkpoint, 1 here', 'seed: 3 in the checkpoint, 4 here']


def test_gluons_own_loader_shuffles_again_as_it_did(tmp_path):
    images = loader()
    dataset = gluon.data.ArrayDataset(numpy.concatenate([X.asnumpy() for X, _ in images]),
                                      numpy.concatenate([y.asnumpy() for _, y in images]))

    class Batches:
        def __init__(self, steps):
            self.loader, self.left = gluon.data.DataLoader(dataset, 8, shuffle=True), iter(range(steps))

        def __iter__(self):
            for batch in self.loader:
                yield batch
                if next(self.left, None) is None:
                    raise Stop

    def run(net, steps=1000, **options):
        return fit(net, Batches(steps), num_epochs=3, seed=3, progress=False, **options)['loss']
    whole, again = network('nd'), network('nd')
    expected = run(whole)
    with pytest.raises(Stop):
        run(network('nd'), steps=6, checkpoint_dir=tmp_path, checkpoint_seconds=0)
    assert run(again, checkpoint_dir=tmp_path, resume=True) == expected and same(values(whole), values(again))


def test_another_argument_of_a_loss_is_another_loss(tmp_path):
    def scaled(scores, labels, scale, part):
        return scale * gluon.loss.SoftmaxCrossEntropyLoss()(scores, labels)

    def run(scale, part=None, **options):
        fit(network('nd'), loader(), num_epochs=1, loss=functools.partial(scaled, scale=scale, part=part),
            progress=False, checkpoint_dir=tmp_path, **options)
    run(1.0, part=object())
    run(1.0, resume=True, part=object())
    with pytest.raises(ResumeError, match='loss function'):
        run(5.0, resume=True, part=object())


def test_a_run_on_one_device_goes_on_on_two(tmp_path):
    def run(epochs, ctx, **options):
        return fit(network('nd'), loader(), num_epochs=epochs, ctx=ctx, progress=False, checkpoint_dir=tmp_path,
                   **options)
    run(1, mx.cpu(0))
    assert run(2, [mx.cpu(0), mx.cpu(1)], resume=True)['epoch'] == [1, 2]


def test_settings_are_what_json_can_hold():
    assert [resume.plain(value) for value in (numpy.int64(3), (None, numpy.int32(2)), numpy.float32(0.5), object)] == [
        3, [None, 2], 0.5, 'type']
