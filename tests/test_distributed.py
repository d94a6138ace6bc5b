"""Many machines: jobs on the loopback interface, what supervises them, and what is refused."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import distributed_worker
import mxnet as mx
import numpy
import pytest
from distributed_worker import loader, network, train, values
from helpers import script, switch

from d2l_densenet import ImageLoader, cli, fit
from d2l_densenet.runs import workers as distributed
from d2l_densenet.runs.launching import Role, launch, supervise
from d2l_densenet.runs.session import Signals, together

ROOT = pathlib.Path(__file__).resolve().parent.parent
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
    """With batch normalisation and Muon: one worker has the whole batch."""
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


# The supervisor, with shell commands in the place of MXNet.

def shells(**scripts):
    return [Role(name.replace('_', ' '), ['sh', '-c', script], dict(os.environ)) for name, script in scripts.items()]


def run(tmp_path, capfd, time_limit=None, **scripts):
    started = time.monotonic()
    with open(tmp_path / 'log', 'wb') as log:
        status = supervise(shells(**scripts), time_limit, log)
    return status, (tmp_path / 'log').read_text(), capfd.readouterr().err, time.monotonic() - started


def alive(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def gone(pid):
    end = time.monotonic() + 30
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


def test_one_log_and_one_status(tmp_path, capfd):
    status, log, error, _ = run(tmp_path, capfd, scheduler='echo hello', worker_0='echo one; printf two >&2; true')
    assert status == 0 and not error
    assert sorted(log.splitlines()) == ['scheduler | hello', 'worker 0  | one', 'worker 0  | two']


@pytest.mark.parametrize('script, status, words', [
    ('exit 7', 7, 'worker 1 ended with status 7'), ('kill -9 $$', 137, 'worker 1 was killed by SIGKILL'),
    ('kill -ABRT $$', 134, 'worker 1 was killed by SIGABRT')])
def test_the_first_death_ends_all_and_is_named(script, status, words, tmp_path, capfd):
    found, log, error, seconds = run(
        tmp_path, capfd, scheduler='trap "" TERM; echo $$; sleep 600 & echo $!; wait; wait', server_0='sleep 600',
        worker_0='sleep 600; exit 3', worker_1='sleep 1; ' + script)
    assert found == status and words in error and seconds < 60
    # The one that would not hear SIGTERM, and its child.
    pids = [int(line.rpartition('| ')[2]) for line in log.splitlines()]
    assert len(pids) == 2 and all(map(gone, pids))


def test_the_time_limit_ends_all(tmp_path, capfd):
    status, log, error, seconds = run(tmp_path, capfd, 1, server_0='sleep 600',
                                      worker_0='trap "echo saved; exit 143" TERM; sleep 600 & wait')
    assert status == 124 and 'time limit of 1 s' in error and 'saved' in log and seconds < 60


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_goes_to_the_workers_and_the_others_end_after_them(number, tmp_path, capfd):
    (tmp_path / 'end').mkdir()
    name = signal.Signals(number).name[3:]
    script = f'until [ -e {tmp_path}/done ]; do sleep 0.1; done; echo server ends'
    timer = subprocess.Popen(['sh', '-c', f'sleep 1; kill -{name} {os.getpid()}'])
    status, log, error, _ = run(
        tmp_path, capfd, server_0=script,
        worker_0=f'trap "touch {tmp_path}/done; exit {128 + number}" {name}; while true; do sleep 0.1; done')
    timer.wait()
    assert status == 128 + number and 'workers told to end' in error and 'server ends' in log
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)


def test_nothing_outlives_a_killed_launcher(tmp_path):
    program = ('import os, sys; from d2l_densenet.runs.launching import Role, supervise; '
               'supervise([Role(f"worker {i}", ["sh", "-c", "echo $$; exec sleep 600"], dict(os.environ)) '
               'for i in range(2)])')
    launcher = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    pids = [int(launcher.stdout.readline().rpartition('| ')[2]) for _ in range(2)]
    assert all(map(alive, pids))
    launcher.kill()
    launcher.communicate()
    assert all(map(gone, pids))


def test_one_that_ends_well_and_leaves_the_others_waiting_is_named(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr('d2l_densenet.runs.launching._AFTER_SUCCESS', 0.5)
    status, _, error, _ = run(tmp_path, capfd, worker_0='true', worker_1='sleep 600')
    assert status == 1 and 'worker 0 ended well' in error and 'worker 1' in error


def test_launching_does_not_import_mxnet():
    program = ('import sys; from d2l_densenet import cli; from d2l_densenet.runs import launching, workers; '
               'sys.exit("mxnet" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', program], env=ENVIRONMENT, timeout=60).returncode == 0


# What is refused.

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


def test_a_scheduler_that_does_not_answer_is_named():
    import socket
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(('127.0.0.1', 0))
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f'no scheduler answers at 127.0.0.1:{port} .* within 0.1 s'):
            distributed._await_scheduler(distributed.Job('worker', 2, 1, '127.0.0.1', port), 0.1)


@pytest.mark.parametrize('arguments, words', [
    (['launch'], 'say after --'), (['launch', '--', 'tran'], 'tran is neither train nor a program'),
    (['launch', '--workers', '3', '--', 'train'], '128 images cannot be shared equally by 3 workers: .* 126 or 129'),
    (['launch', '--workers', '9', '--', 'train', '--batch-size', '4'], 'give a batch size of 9'),
    (['launch', '--', 'train', '--kvstore', 'device'], 'got --kvstore device: leave it out'),
    (['train', '--kvstore', 'dist_sync'], 'needs the environment variable')])
def test_wrong_commands_are_named(arguments, words, capsys, monkeypatch):
    monkeypatch.delenv('DMLC_ROLE', raising=False)
    assert cli.main(arguments) == 2
    assert re.search(words, capsys.readouterr().err)


def test_a_wrong_option_of_train_ends_before_anything_starts(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(['launch', '--', 'train', '--epohs', '1'])
    assert caught.value.code == 2 and '--epohs' in capsys.readouterr().err
    with pytest.raises(ValueError, match='no-such-program is neither'):
        launch(['no-such-program'])


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


# Parts of batches.

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
    (0, 3, 'cannot be shared equally by 3 workers: give a batch size of 6 or 9'), (2, 2, 'rank must be below workers'),
    (-1, 2, 'rank must be'), (0, 0, 'workers must be')])
def test_wrong_parts_are_named(rank, workers, words):
    with pytest.raises(ValueError, match=words):
        loader().part(rank, workers)


def test_a_part_has_no_parts():
    with pytest.raises(ValueError, match='part 1 of 2'):
        loader().part(1, 2).part(0, 2)


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


def test_the_document_shows_the_record():
    scaling = script('benchmarks/scaling.py')
    text = scaling.DOCUMENT.read_text()
    found = text.partition(scaling.START)[2].partition(scaling.END)[0].strip()
    assert found == scaling.table(json.loads(scaling.RECORD.read_text()))


def test_the_model_of_a_step():
    """By hand: 1 Gbit/s carries 4 x 250,000 bytes in 8 ms, out and back in 16; then the computing and the messages."""
    record = {'batch_size': 128, 'bytes': 10 ** 6, 'compute': {'64': 0.1}, 'exchange': {'1': {'gradients': 0.005}}}
    assert script('benchmarks/scaling.py').predicted(record, 2, 1) == pytest.approx(0.1 + 0.005 + 0.016)
