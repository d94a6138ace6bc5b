"""Checkpoints on a disk: damaged, full, or another run's."""

import os
import signal
import subprocess
import sys

import pytest
from helpers import ROOT, loader, network, run_once, same

from d2l_densenet import ResumeError, fit
from d2l_densenet.runs.checkpoints import Checkpoints


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


def test_a_forked_helper_does_not_hold_the_directory_of_a_killed_run(tmp_path):
    program = """
import os, sys, time
from d2l_densenet.runs.checkpoints import Checkpoints
with Checkpoints(sys.argv[1]):
    if not os.fork():
        print(os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""
    run = subprocess.Popen([sys.executable, '-c', program, tmp_path], cwd=ROOT, text=True, stdout=subprocess.PIPE)
    helper = int(run.stdout.readline())
    try:
        run.kill()
        run.wait()
        with Checkpoints(tmp_path):
            os.kill(helper, 0)  # it is still there
    finally:
        os.kill(helper, signal.SIGKILL)
        run.stdout.close()


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


def test_a_checkpoint_that_no_network_fills_is_not_read(tmp_path, capsys):
    run_once(tmp_path)
    newest = max(tmp_path.glob('checkpoint-*'))
    os.truncate(newest, 2 ** 32 + 1)        # a hole, which takes no room
    run_once(tmp_path, epochs=2, resume=True)
    assert f'{newest} is damaged (has 4,294,967,297 bytes, expected at most 4,294,967,296)' in capsys.readouterr().out
