"""Checkpoints and resuming: bit for bit, after a kill at any moment, and what is refused."""

import os
import random
import signal
import subprocess
import sys
import time

import mxnet as mx
import numpy
import pytest
from helpers import MODES, ROOT, Stop, loader, same, stopping_after, switch, values
from mxnet import gluon

from d2l_densenet import DenseNet, ImageLoader, ResumeError, fit
from d2l_densenet.runs.checkpoints import Checkpoints


def network(mode='nd', dropout=0.2, hybrid=True, growth_rate=4):
    switch(mode)
    net = DenseNet(growth_rate, (2, 1), 6, dropout=dropout, classes=3)
    mx.random.seed(7)
    net.initialize(mx.init.Xavier())
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    return net


def schedule():
    return mx.lr_scheduler.CosineScheduler(12, base_lr=0.05, final_lr=0.0, warmup_steps=3)


OPTIMIZERS = [('sgd', {}), ('nag', {'momentum': 0.9, 'wd': 1e-3}), ('adam', {}), ('muon', {'wd': 1e-3}),
              ('rmsprop', {'centered': True})]


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('optimizer, params', OPTIMIZERS)
def test_resumed_runs_end_with_the_same_bits(mode, optimizer, params, tmp_path):
    def run(net, train_iter, **kwargs):
        return fit(net, train_iter, None, 3, optimizer=optimizer, optimizer_params=params, lr_scheduler=schedule(),
                   label_smoothing=0.1, seed=3, progress=False, **kwargs)

    whole = network(mode)
    expected = run(whole, loader())
    # Killed after 5 batches (in the second epoch), then after 3 more, then left to end.
    for steps in (5, 3):
        with pytest.raises(Stop):
            run(network(mode), stopping_after(steps), checkpoint_dir=tmp_path, checkpoint_seconds=0, resume=True)
    resumed = network(mode)
    history = run(resumed, loader(), checkpoint_dir=tmp_path, checkpoint_seconds=0, resume=True)
    assert same(resumed, whole)
    for column in ('loss', 'train_acc', 'learning_rate'):
        assert history[column] == expected[column]
    assert len(list(tmp_path.glob('checkpoint-*'))) == 2
    # Once more: nothing is left to do.
    again = network(mode)
    assert run(again, loader(), checkpoint_dir=tmp_path, resume=True)['loss'] == expected['loss'] and same(again, whole)


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


def run_once(tmp_path, net=None, train_iter=None, epochs=1, **kwargs):
    return fit(net or network(), train_iter or loader(), None, epochs, **{
        'optimizer': 'nag', 'optimizer_params': {'momentum': 0.9, 'learning_rate': 0.05}, 'seed': 3, 'progress': False,
        'checkpoint_dir': tmp_path, **kwargs})


@pytest.mark.parametrize('change, words', [
    (lambda: {'net': network(growth_rate=5)}, ['network has', 'other parameters']),
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


def test_a_new_run_does_not_overwrite_an_old_one(tmp_path):
    run_once(tmp_path)
    with pytest.raises(ResumeError, match='resume=True'):
        run_once(tmp_path)
    with pytest.raises(ValueError, match='needs checkpoint_dir'):
        fit(network(), loader(), None, 1, resume=True)


@pytest.mark.parametrize('damage', [
    lambda content: content[:len(content) // 2], lambda content: b'', lambda content: content + b'x',
    lambda content: content[:50] + bytes([content[50] ^ 1]) + content[51:],
    lambda content: content[:-1] + bytes([content[-1] ^ 1])])
def test_a_damaged_newest_checkpoint_is_set_aside(damage, tmp_path, capsys):
    whole, resumed = network(), network()
    fit(whole, loader(), None, 2, optimizer='nag', optimizer_params={'momentum': 0.9, 'learning_rate': 0.05}, seed=3,
        progress=False)
    run_once(tmp_path, checkpoint_seconds=0)
    newest = max(tmp_path.glob('checkpoint-*'))
    newest.write_bytes(damage(newest.read_bytes()))
    run_once(tmp_path, net=resumed, epochs=2, resume=True)
    out = capsys.readouterr().out
    assert f'{newest} is damaged' in out and newest.with_name(newest.name + '.damaged').exists()
    assert same(resumed, whole)


def test_a_second_run_in_the_directory_is_refused(tmp_path):
    with Checkpoints(tmp_path):
        with pytest.raises(ResumeError, match='another run writes'):
            run_once(tmp_path)
    run_once(tmp_path)


def test_a_full_disk_loses_no_earlier_checkpoint(tmp_path, monkeypatch, capsys):
    """The write fails after the first bytes, as on a full disk."""
    run_once(tmp_path, checkpoint_seconds=0)
    before = {path: path.read_bytes() for path in tmp_path.glob('checkpoint-*')}

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    history = run_once(tmp_path, epochs=2, resume=True, checkpoint_seconds=0)
    assert len(history) == 2 and 'No space left on device' in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tmp_path.glob('checkpoint-*')} == before
    assert not list(tmp_path.glob('.*.tmp'))


@pytest.mark.skipif(os.getuid() != 0, reason='mounting a small file system needs root')
def test_a_disk_that_is_really_full(tmp_path, capsys):
    place = tmp_path / 'small'
    place.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', place], capture_output=True).returncode:
        pytest.skip('no tmpfs can be mounted here')
    try:
        run_once(place / 'c')
        (place / 'filler').write_bytes(bytes(os.statvfs(place).f_bavail * os.statvfs(place).f_frsize - 4096))
        before = {path: path.read_bytes() for path in (place / 'c').glob('checkpoint-*')}
        assert before
        history = run_once(place / 'c', epochs=2, resume=True, checkpoint_seconds=0)
        assert len(history) == 2 and 'no checkpoint could be written' in capsys.readouterr().out
        assert {path: path.read_bytes() for path in (place / 'c').glob('checkpoint-*')} == before
    finally:
        subprocess.run(['umount', place], check=True)


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


def command(*arguments, cwd):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    return subprocess.Popen([sys.executable, '-m', 'd2l_densenet', 'train', '--device', 'cpu', *arguments], cwd=cwd,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def parameters(directory):
    return {name: value.asnumpy() for name, value in mx.nd.load(str(directory / 'model.params')).items()}


NEW = ['--data', 'synthetic', '--limit', '120', '--size', '20', '--batch-size', '16', '--epochs', '4', '--seed', '5',
       '--checkpoint-seconds', '0']


def steps_of(directory):
    """Steps in the newest checkpoint: 8 an epoch."""
    names = [path.name.split('-') for path in (directory / 'checkpoints').glob('checkpoint-*.safetensors')]
    return max((8 * int(epoch) + int(batch) for _, epoch, batch, _ in names), default=0)


def test_the_command_survives_kills_at_random_moments(tmp_path, request):
    out, _ = command(*NEW, '--output', 'whole', cwd=tmp_path).communicate(timeout=300)
    expected = parameters(tmp_path / 'whole')
    draw, kills = random.Random(request.node.seed), 0
    process = command(*NEW, '--output', 'killed', cwd=tmp_path)
    # After so many of the 32 steps, and a moment more: so it hits the run however fast the machine is.
    for target in sorted(draw.sample(range(20), 4)):
        while process.poll() is None and steps_of(tmp_path / 'killed') < target:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        kills += process.returncode == -signal.SIGKILL
        arguments = ['--resume', 'killed'] if (tmp_path / 'killed' / 'config.json').exists() else [
            *NEW, '--output', 'killed']
        process = command(*arguments, '--checkpoint-seconds', '0', cwd=tmp_path)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    found = parameters(tmp_path / 'killed')
    assert kills and found.keys() == expected.keys()
    assert all((found[name] == expected[name]).all() for name in expected)


def test_the_command_ends_cleanly_on_sigterm_and_resumes(tmp_path):
    process = command(*NEW, '--output', 'out', cwd=tmp_path)
    while not list((tmp_path / 'out' / 'checkpoints').glob('checkpoint-*')) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and 'd2l-densenet train --resume out' in out
    process = command('--resume', 'out', '--seed', '6', cwd=tmp_path)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and '--seed 6 differs from the run in out, which has 5' in out
    process = command('--resume', 'out', cwd=tmp_path)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and 'resumed in epoch' in out, out
    process = command('--resume', 'nowhere', cwd=tmp_path)
    assert 'nowhere' in process.communicate(timeout=60)[0] and process.returncode == 2
