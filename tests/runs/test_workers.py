"""Many machines: jobs on the loopback interface, parts of batches, and what is refused."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import distributed_worker
import mxnet as mx
import numpy
import pytest
from distributed_worker import loader, network, train, values
from helpers import Clock, script, switch

from d2l_densenet import ImageLoader, fit
from d2l_densenet.runs import workers as distributed

ROOT = pathlib.Path(__file__).resolve().parents[2]

ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}

# Generous, because a busy machine takes long to import MXNet four times; only a job that hangs takes so long.
LIMIT = 240


def command(*arguments, cwd, **kwargs):
    return subprocess.Popen([sys.executable, '-m', 'd2l_densenet', *arguments], cwd=cwd, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT, **kwargs)


def job(directory, optimizer='sgd', resume='new', kill_after=0):
    """A job of two workers; its output and exit status."""
    directory.mkdir(exist_ok=True)
    process = command('launch', '--time-limit', str(LIMIT), '--', sys.executable, distributed_worker.__file__,
                      str(directory), optimizer, resume, str(kill_after), cwd=directory)
    out, _ = process.communicate(timeout=LIMIT + 30)
    return out, process.returncode


def parameters(directory, rank):
    with numpy.load(directory / f'{rank}.npz') as file:
        return [file[name] for name in file.files]


def same(one, other):
    return all((a == b).all() for a, b in zip(one, other, strict=True))


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The directory of a job that nothing happened to."""
    directory = tmp_path_factory.mktemp('whole')
    out, status = job(directory)
    assert status == 0, out
    return directory


def test_two_workers_train_as_one_process(whole):
    switch('nd')
    net = network()
    expected = train(net, loader())
    first = json.loads((whole / '0.json').read_text())
    for row, other in zip(expected.rows, first['rows'], strict=True):
        for name in ('loss', 'train_acc', 'test_acc'):
            numpy.testing.assert_allclose(other[name], row[name], rtol=1e-5)
    start = values(network())
    for a, b, c in zip(values(net), parameters(whole, 0), start):
        numpy.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)
        assert abs(a - c).max() > 1e-3
    assert same(parameters(whole, 0), parameters(whole, 1))


def test_each_worker_gets_half_of_each_batch(whole):
    assert [json.loads((whole / f'{rank}.json').read_text())['seen'] for rank in (0, 1)] == [3 * 15, 3 * 15]


def test_only_the_first_worker_evaluates_and_none_trains_twice(whole):
    first, second = (json.loads((whole / f'{rank}.json').read_text()) for rank in (0, 1))
    for row, other in zip(first['rows'], second['rows'], strict=True):
        assert row.pop('test_acc') is not None and other.pop('test_acc') is None and row == other
    assert 'train once' in first['refused']


def test_a_job_listens_on_loopback_only(whole):
    # Scheduler, server, two workers; 127.0.0.1 in the kernel's hexadecimal.
    assert json.loads((whole / '0.json').read_text())['listening'] == ['0100007F'] * 4


def test_a_killed_worker_ends_all_and_is_named_and_the_job_resumes_to_the_same_bits(whole, tmp_path):
    started = time.monotonic()
    out, status = job(tmp_path / 'killed', kill_after=6)
    assert time.monotonic() - started < LIMIT
    assert status == 128 + signal.SIGKILL and 'worker 1 was killed by SIGKILL' in out, out
    assert not list((tmp_path / 'killed').glob('*.npz'))
    out, status = job(tmp_path / 'killed', resume='resume')
    assert status == 0 and 'resumed in epoch 2' in out, out
    for rank in (0, 1):
        assert same(parameters(tmp_path / 'killed', rank), parameters(whole, rank))


def test_a_worker_that_fails_alone_does_not_wait_for_the_others(tmp_path):
    out, status = job(tmp_path / 'failed', kill_after=-1)
    assert status == 1 and 'worker 1 ended with status 1' in out, out
    assert re.search(r'worker 1 +\| OSError: a worker that fails alone', out), out


NEW = ['--data', 'synthetic', '--limit', '40', '--size', '20', '--batch-size', '8', '--epochs', '2', '--seed', '5',
       '--device', 'cpu', '--checkpoint-seconds', '0']


def test_a_job_of_one_worker_stops_on_ctrl_c_and_ends_as_train_does(tmp_path):
    """With batch normalization and Muon: one worker has the whole batch."""
    plain = command('train', *NEW, '--output', 'plain', cwd=tmp_path)
    process = command('launch', '--workers', '1', '--time-limit', str(LIMIT), '--', 'train', *NEW, '--output', 'out',
                      cwd=tmp_path)
    while process.poll() is None and not list((tmp_path / 'out' / 'checkpoints').glob('checkpoint-*')):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LIMIT + 30)
    assert process.returncode == 130, out
    assert 'to go on: d2l-densenet train --resume out' in out and 'launch: interrupted' in out, out
    assert plain.communicate(timeout=LIMIT)[0] and plain.returncode == 0
    # Without the parameter server: what it did is in the checkpoint.
    process = command('train', '--resume', 'out', cwd=tmp_path)
    out, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and 'resumed in epoch' in out, out
    expected, found = (mx.nd.load(str(tmp_path / run / 'model.params')) for run in ('plain', 'out'))
    assert all((expected[name].asnumpy() == found[name].asnumpy()).all() for name in expected)


DMLC = {'DMLC_ROLE': 'worker', 'DMLC_NUM_WORKER': '2', 'DMLC_NUM_SERVER': '1', 'DMLC_PS_ROOT_URI': '127.0.0.1',
        'DMLC_PS_ROOT_PORT': '9000'}


@pytest.mark.parametrize('kvstore, change, words', [
    ('dist_sync', {'DMLC_ROLE': 'servr'}, "DMLC_ROLE must be one of scheduler, server, worker, got 'servr'"),
    ('dist_sync', {'DMLC_ROLE': '', 'DMLC_PS_ROOT_URI': ''}, 'needs the .* DMLC_ROLE, DMLC_PS_ROOT_URI:'),
    ('dist_sync', {'DMLC_NUM_WORKER': '0'}, "DMLC_NUM_WORKER must be an integer from 1 to .*, got '0'"),
    ('dist_sync', {'DMLC_NUM_SERVER': 'one'}, "DMLC_NUM_SERVER must be an integer .*'one'"),
    ('dist_sync', {'DMLC_PS_ROOT_PORT': '65536'}, 'DMLC_PS_ROOT_PORT must be an integer from 1 to 65535'),
    ('device', {}, 'DMLC_ROLE=worker .* give --kvstore dist_sync, or unset'),
    ('dist_async', {}, "kvstore must be one of 'device', 'dist_sync', got 'dist_async' .*resumed"),
    ('horovod', {}, "got 'horovod'"), (None, {}, 'got None')])
def test_wrong_variables_are_named(kvstore, change, words):
    with pytest.raises(ValueError, match=words):
        distributed.check_kvstore(kvstore, {**DMLC, **change})


def test_right_variables_are_read():
    distributed.check_kvstore('dist_sync', DMLC)
    assert distributed.job_of(DMLC) == distributed.Job('worker', 2, 1, '127.0.0.1', 9000)
    distributed.check_kvstore('device', {})


@pytest.mark.parametrize('name, most', [
    ('DMLC_NUM_WORKER', 1000000), ('DMLC_NUM_SERVER', 1000000), ('DMLC_PS_ROOT_PORT', 65535)])
def test_the_least_and_the_most_are_taken_and_nothing_beyond(name, most):
    field = {'DMLC_NUM_WORKER': 'workers', 'DMLC_NUM_SERVER': 'servers', 'DMLC_PS_ROOT_PORT': 'port'}[name]
    for value in (1, most):
        assert getattr(distributed.job_of({**DMLC, name: str(value)}), field) == value
    for text in ('0', str(most + 1), '-1', '1.0', '+1', ' 1', '\u0661', '\u00b2'):  # Arabic 1, superscript 2
        words = f'{name} must be an integer from 1 to {most}, got {re.escape(repr(text))}$'
        with pytest.raises(ValueError, match=words):
            distributed.job_of({**DMLC, name: text})


@pytest.mark.parametrize('role', ['scheduler', 'server', 'worker'])
def test_every_role_is_known(role):
    assert distributed.job_of({**DMLC, 'DMLC_ROLE': role}).role == role


def test_a_scheduler_that_answers_is_taken_and_without_a_network_none_is_looked_for(monkeypatch):
    import socket
    with socket.create_server(('127.0.0.1', 0)) as scheduler:
        distributed._await_scheduler(distributed.Job('worker', 2, 1, *scheduler.getsockname()), 5)
    monkeypatch.setenv('DMLC_LOCAL', '1')
    monkeypatch.setattr(socket, 'create_connection', None)
    distributed._await_scheduler(distributed.Job('worker', 2, 1, '127.0.0.1', 9), 5)


def test_the_scheduler_may_be_five_minutes_late(monkeypatch):
    clock, tried = Clock(50), []

    def refuse(address, timeout):
        tried.append(clock.now)
        raise ConnectionRefusedError('nobody is there')

    monkeypatch.setattr(distributed, 'time', clock)
    monkeypatch.setattr(distributed.socket, 'create_connection', refuse)
    monkeypatch.setenv('DMLC_LOCAL', '0')
    with pytest.raises(ValueError, match=r'within 300 s \(nobody is there\): start it'):
        distributed._await_scheduler(distributed.job_of(DMLC))
    assert tried == [50 + 0.5 * i for i in range(600)]


def test_a_scheduler_that_does_not_answer_is_named():
    import socket
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(('127.0.0.1', 0))
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f'no scheduler answers at 127.0.0.1:{port} .* within 0.1 s'):
            distributed._await_scheduler(distributed.Job('worker', 2, 1, '127.0.0.1', port), 0.1)


def test_a_network_without_shapes_cannot_be_shared(monkeypatch):
    for name, value in DMLC.items():
        monkeypatch.setenv(name, value)
    net = mx.gluon.nn.Dense(3)
    net.initialize()
    with pytest.raises(ValueError, match='call the network on one batch first'):
        fit(net, loader(), None, 1, kvstore='dist_sync')
    monkeypatch.setenv('DMLC_ROLE', 'server')
    with pytest.raises(ValueError, match='DMLC_ROLE must be worker'):
        distributed.join()


class Store:
    """Stands for MXNet's store: what the worker with rank 0 broadcasts is what all get."""

    handle = None

    def __init__(self, rank, sent):
        self.rank, self.num_workers, self.sent = rank, 2, sent

    def broadcast(self, key, value, out):
        out[:] = self.sent.setdefault(key, value) if self.rank == 0 else self.sent[key]


class Alone(distributed.Workers):
    """One worker, whose sums are what `sums` makes of its own numbers."""

    def leave_together(self, wait=True):
        pass

    def total(self, values):
        return self.sums(values)


@pytest.mark.parametrize('length', [0, 1, 2, 3, 255, 65535, 65536, 65537, 3 * 65536 + 1])
def test_every_worker_has_the_bytes_of_the_first(length):
    switch('nd')
    content, sent = numpy.random.default_rng(length).bytes(length), {}
    assert Alone(Store(0, sent)).from_first(content) == content
    assert Alone(Store(1, sent)).from_first(b'its own') == content


@pytest.mark.parametrize('rank', [0, 1])
def test_arrays_that_differ_by_a_bit_in_one_worker_are_noticed(rank):
    arrays = [numpy.arange(6, dtype='float32').reshape(2, 3), numpy.ones(2)]
    one = Alone(Store(rank, {}))
    said = []

    def noted(values):
        said.append(values)
        return values

    one.sums = noted
    one.same_everywhere(arrays)
    own = said[0]
    assert all(0 <= value < 2 ** 16 for value in own) and own[2 * (1 - rank):][:2] == [0, 0]
    other = own[2:] + own[:2]  # what the other says who has the same
    one.sums = lambda values: [a + b for a, b in zip(values, other)]
    assert one.same_everywhere(arrays)
    for change in (0, 1):
        spoilt = [array.copy() for array in arrays]
        spoilt[change].flat[-1] = numpy.nextafter(spoilt[change].flat[-1], numpy.float32(9))
        assert not one.same_everywhere(spoilt)
    # Two halves of 16 bits, either of which tells.
    for half in (0, 1):
        changed = list(other)
        changed[2 * (1 - rank) + half] += 1
        one.sums = lambda values, changed=changed: [a + b for a, b in zip(values, changed)]
        assert not one.same_everywhere(arrays)


def test_a_second_training_run_is_refused():
    one = Alone(Store(0, {}))
    one.take()
    with pytest.raises(ValueError, match='a process can train once'):
        one.take()


@pytest.mark.parametrize('number, already, place', [(2, False, (1, 2)), (1, False, (0, 1)), (2, True, (0, 2))])
def test_a_whole_loader_is_divided_and_a_part_stays(number, already, place, monkeypatch):
    workers = Alone(Store(number - 1, {}))
    workers.number = number
    monkeypatch.setattr(distributed, 'join', lambda: workers)
    given = loader().part(0, 2) if already else loader()
    found, train_iter = distributed.join_workers(network(), given)
    assert found is workers and train_iter.place == place and workers._used
    workers._used = False
    assert distributed.join_workers(network(), [])[1] == [], 'not a loader that could be divided'


def test_ctrl_c_ends_the_process_that_waits_and_is_caught_again_afterwards():
    own = signal.getsignal(signal.SIGINT)
    with distributed._interruptible():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == own
    with ThreadPoolExecutor(1) as pool:  # where Python sets no handlers
        pool.submit(lambda: contextlib.ExitStack().enter_context(distributed._interruptible())).result()
    assert signal.getsignal(signal.SIGINT) == own


@pytest.mark.parametrize('count, batch_size, workers', [(30, 8, 2), (33, 8, 4), (32, 8, 8), (17, 8, 2), (5, 6, 3)])
def test_the_parts_are_the_whole_in_equal_shares(count, batch_size, workers):
    images = numpy.arange(count, dtype='uint8')[:, None, None] * numpy.ones((1, 5, 5), 'uint8')
    whole = ImageLoader(images, numpy.arange(count), batch_size, shuffle=True, flip=True, crop=1, seed=3)
    parts = [whole.part(rank, workers) for rank in range(workers)]
    for _ in range(2):
        batches = list(whole)
        left_out = len(batches[-1][1]) % workers
        together = [list(part) for part in parts]
        assert {len(part) for part in together} == {len(parts[0])} and len(together[0]) == len(parts[0])
        for number, (X, y) in enumerate(batches[:len(together[0])]):
            pieces = [part[number] for part in together]
            assert len({len(labels) for _, labels in pieces}) == 1
            keep = len(y) - (left_out if number == len(batches) - 1 else 0)
            assert (numpy.concatenate([labels.asnumpy() for _, labels in pieces]) == y.asnumpy()[:keep]).all()
            assert (numpy.concatenate([data.asnumpy() for data, _ in pieces]) == X.asnumpy()[:keep]).all()


@pytest.mark.parametrize('rank, workers, words', [
    (0, 3, 'cannot be shared equally by 3 workers: give a batch size of 6 or 9'), (2, 2, 'rank must be'),
    (-1, 2, 'rank must be'), (0, 0, 'workers must be')])
def test_wrong_parts_are_named(rank, workers, words):
    with pytest.raises(ValueError, match=words):
        loader().part(rank, workers)


def test_a_part_has_no_parts():
    with pytest.raises(ValueError, match='part 1 of 2'):
        loader().part(1, 2).part(0, 2)


def test_the_model_of_a_step():
    """By hand: 1 Gbit/s carries 4 x 250,000 bytes in 8 ms, out and back in 16; then the computing and the messages."""
    record = {'batch_size': 128, 'bytes': 10 ** 6, 'compute': {'64': 0.1}, 'exchange': {'1': {'gradients': 0.005}}}
    assert script('benchmarks/scaling.py').predicted(record, 2, 1) == pytest.approx(0.1 + 0.005 + 0.016)
