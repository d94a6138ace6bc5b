"""`d2l-densenet train`: killed, ended, resumed; and each of its options."""

import os
import random
import signal
import subprocess
import sys
import time

import mxnet as mx
from helpers import ROOT


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
