"""The launcher, with shell commands instead of MXNet, and what it refuses."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

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


def test_each_process_has_a_port_of_its_own_and_what_others_had_set_is_gone(monkeypatch):
    monkeypatch.setenv('PORT', '80')
    monkeypatch.setenv('DMLC_INTERFACE', 'eth7')
    started = []
    monkeypatch.setattr(launching, 'supervise', lambda roles, time_limit, log: started.extend(roles) or 0)
    assert launch(['true'], workers=3, servers=2) == 0
    assert [role.name for role in started] == ['scheduler', 'server 0', 'server 1', 'worker 0', 'worker 1', 'worker 2']
    ports = [role.environment.get('PORT') for role in started]
    roots = {role.environment['DMLC_PS_ROOT_PORT'] for role in started}
    assert ports[0] is None and len({*ports[1:], *roots}) == 6
    assert not any('DMLC_INTERFACE' in role.environment for role in started)
