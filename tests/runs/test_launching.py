"""The launcher, with shell commands instead of MXNet, and what it refuses."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import types

import pytest
from helpers import Clock

from d2l_densenet import cli
from d2l_densenet.runs import launching
from d2l_densenet.runs.launching import Role, launch, supervise

ROOT = pathlib.Path(__file__).resolve().parents[2]

ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}


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


def launched(monkeypatch, **kwargs):
    """The processes that `launch` would start, and what it returns; no more is done than to hand them on."""
    found = []
    monkeypatch.setattr(launching, 'supervise', lambda *given: found.extend(given) or 7)
    return launch(['true'], **kwargs), found


def test_each_process_knows_the_job_and_what_others_had_set_is_gone(monkeypatch):
    monkeypatch.setenv('PORT', '80')
    monkeypatch.setenv('DMLC_INTERFACE', 'eth7')
    status, (roles, limit, log) = launched(monkeypatch, workers=3, servers=2, time_limit=9, log='a log')
    assert (status, limit, log) == (7, 9, 'a log')
    assert [role.name for role in roles] == ['scheduler', 'server 0', 'server 1', 'worker 0', 'worker 1', 'worker 2']
    assert [role.environment['DMLC_ROLE'] for role in roles] == ['scheduler', *['server'] * 2, *['worker'] * 3]
    assert not any('DMLC_INTERFACE' in role.environment for role in roles)
    for role in roles:
        assert {name: role.environment[name] for name in ('DMLC_NUM_WORKER', 'DMLC_NUM_SERVER', 'DMLC_PS_ROOT_URI',
                                                          'DMLC_NODE_HOST', 'PYTHONUNBUFFERED')} == {
            'DMLC_NUM_WORKER': '3', 'DMLC_NUM_SERVER': '2', 'DMLC_PS_ROOT_URI': '127.0.0.1',
            'DMLC_NODE_HOST': '127.0.0.1', 'PYTHONUNBUFFERED': '1'}
        assert role.command == (['true'] if role.works else [sys.executable, '-c', 'import mxnet'])
    ports = [role.environment.get('PORT') for role in roles]
    assert ports[0] is None and len({*ports[1:], *(role.environment['DMLC_PS_ROOT_PORT'] for role in roles)}) == 6
    # The rank is by the port.
    assert ports[3:] == sorted(ports[3:], key=int)


def test_without_numbers_there_are_two_workers_and_a_server(monkeypatch):
    _, (roles, limit, log) = launched(monkeypatch)
    assert [role.name for role in roles] == ['scheduler', 'server 0', 'worker 0', 'worker 1']
    assert limit is None and log is None


@pytest.mark.parametrize('cores, workers, own, threads', [
    (8, 2, None, '4'), (7, 2, None, '3'), (2, 3, None, '1'), (8, 2, '5', '5'), (None, 2, None, '6')])
def test_the_workers_share_the_cores(cores, workers, own, threads, monkeypatch):
    monkeypatch.setattr(launching, 'cores', lambda: cores)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(12)))
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if own:
        monkeypatch.setenv('OMP_NUM_THREADS', own)
    _, (roles, *_) = launched(monkeypatch, workers=workers)
    assert {role.environment['OMP_NUM_THREADS'] for role in roles} == {threads}


@pytest.mark.parametrize('handler, script, status, words', [
    (signal.SIG_DFL, 'kill -HUP $PPID; exec sleep 600', 129, 'ended by SIGHUP, and the workers told to end'),
    (signal.SIG_IGN, 'kill -HUP $PPID; sleep 0.2', 0, '')])  # as nohup has it
def test_a_terminal_that_is_closed_ends_the_job_but_not_under_nohup(handler, script, status, words, tmp_path, capfd):
    former = signal.signal(signal.SIGHUP, handler)
    try:
        found, _, error, _ = run(tmp_path, capfd, worker_0=script)
        assert signal.getsignal(signal.SIGHUP) == handler
    finally:
        signal.signal(signal.SIGHUP, former)
    assert found == status and words in error and bool(error) == bool(words)


class Fake(Role):
    """A process that ends when the test says so, or is killed, and notes the signals it gets."""

    def __init__(self, name):
        super().__init__(name, [], {})
        self.process, self.got, self.status = types.SimpleNamespace(returncode=None, stdout=[]), [], None

    def start(self):
        pass

    def has_ended(self):
        if not self.running or self.status is None:
            return False
        self.process.returncode = self.status
        return True

    def send(self, number):
        if self.running:
            self.got.append(signal.Signals(number))
            self.status = -9 if number == signal.SIGKILL else self.status


@pytest.fixture
def job(monkeypatch):
    """A job of a scheduler, a server and two workers, at 100 seconds by the clock."""
    monkeypatch.setattr(launching, 'time', Clock(100))
    monkeypatch.setattr(Role, 'has_ended', Fake.has_ended)
    return launching._Job([Fake('scheduler'), Fake('server 0'), Fake('worker 0'), Fake('worker 1')])


def got(job):
    return [role.got for role in job.roles]


def test_of_two_that_end_at_once_the_killed_one_is_named(job):
    """The other ended because of that."""
    job.roles[2].status, job.roles[3].status = 1, -9
    job.look(100.0)
    assert job.status == 128 + 9 and job.error.startswith('worker 1 was killed by SIGKILL, before any other')


def test_after_a_death_all_are_told_and_two_seconds_later_killed(job):
    job.roles[3].status = 5
    job.look(100.0)
    assert job.status == 5 and got(job) == [[signal.SIGTERM]] * 3 + [[]]
    job.look(101.9)
    assert got(job) == [[signal.SIGTERM]] * 3 + [[]]
    job.look(102.0)
    assert got(job) == [[signal.SIGTERM, signal.SIGKILL]] * 3 + [[]]
    # What the others then end with is not told.
    for role in job.roles[:3]:
        role.status = -9
    job.look(102.1)
    assert job.status == 5 and 'worker 1 ended with status 5' in job.error


@pytest.mark.parametrize('again', [True, False])
def test_ctrl_c_leaves_the_workers_half_a_minute_and_the_second_none(again, job):
    job.interrupt(signal.SIGINT)
    assert job.status == 130 and job.error == 'interrupted, and the workers told to end'
    assert got(job) == [[], [], [signal.SIGINT], [signal.SIGINT]]
    job.look(129.9)
    assert got(job) == [[], [], [signal.SIGINT], [signal.SIGINT]]
    if again:
        job.interrupt(signal.SIGINT)
    job.look(129.9 if again else 130.0)
    assert job.status == 130 and got(job) == [[signal.SIGKILL]] * 2 + [[signal.SIGINT, signal.SIGKILL]] * 2


def test_once_the_workers_have_ended_the_others_have_two_seconds(job):
    job.interrupt(signal.SIGTERM)
    assert job.status == 143 and job.error.startswith('ended by SIGTERM')
    for role in job.roles[2:]:
        role.status = 143
    for now, expected in ((104.0, []), (105.9, []), (106.0, [signal.SIGKILL])):
        job.look(now)
        assert job.roles[0].got == job.roles[1].got == expected
    assert job.status == 143 and job.error.startswith('ended by SIGTERM')


def test_once_one_has_ended_well_the_others_have_two_minutes(job):
    job.roles[2].status = 0
    job.look(100.0)
    job.roles[0].status = 0
    job.look(150.0)
    job.look(220.0)
    assert job.status == 0 and job.error is None
    job.look(220.1)
    assert job.status == 1 and job.error == ('worker 0 ended well, and 120 s later server 0, worker 1 had not: they '
                                             'were ended')


def test_when_time_is_up_the_workers_have_six_seconds(job, capfd):
    clock = launching.time
    ends = {}
    for role in job.roles:
        role.send = lambda number, role=role: (ends.setdefault((role.name, signal.Signals(number).name), clock.now),
                                               Fake.send(role, number))
    assert supervise(job.roles, 10) == 124
    assert 'the time limit of 10 s has passed' in capfd.readouterr().err
    assert ends['worker 1', 'SIGTERM'] == 110.5 and ('server 0', 'SIGTERM') not in ends
    assert {ends[role.name, 'SIGKILL'] for role in job.roles} == {116.5}


def test_a_reader_that_has_gone_does_not_stop_the_job():
    script = 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 3'  # more than a pipe holds
    with subprocess.Popen([sys.executable, '-m', 'd2l_densenet', 'launch', '--workers', '1', '--', 'sh', '-c', script],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as job:
        try:
            assert 'line 0' in job.stdout.readline()
            job.stdout.close()
            assert job.wait(60) == 3 and 'Traceback' not in job.stderr.read()
        finally:
            job.kill()


def test_a_time_limit_of_nothing_is_no_time(tmp_path, capfd):
    started = time.monotonic()
    assert run(tmp_path, capfd, 0, worker='sleep 60')[0] == 124 and time.monotonic() - started < 30
