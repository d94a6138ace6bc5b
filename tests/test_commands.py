"""`d2l-densenet train`: killed, ended, resumed; and each of its options."""

import argparse
import datetime
import json
import os
import random
import signal
import subprocess
import sys
import time

import mxnet as mx
import pytest
from helpers import ROOT

from d2l_densenet import DenseNet, History, cli
from d2l_densenet import commands as run_command


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
    for target in sorted(draw.sample(range(20), 2)):
        while process.poll() is None and steps_of(tmp_path / 'killed') < target:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=300)
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
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 143 and 'd2l-densenet train --resume out' in out
    process = command('--resume', 'out', '--seed', '6', cwd=tmp_path)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 2 and '--seed 6 differs from the run in out, which has 5' in out
    process = command('--resume', 'out', cwd=tmp_path)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and 'resumed in epoch' in out, out
    process = command('--resume', 'nowhere', cwd=tmp_path)
    assert 'nowhere' in process.communicate(timeout=300)[0] and process.returncode == 2


class Reached(Exception):
    """Training would begin."""


def arrived(monkeypatch, *arguments):
    """What `fit`, the loader and the network get from a command line."""
    found = {}

    def load(*args, **kwargs):
        found['data'] = {'batch_size': args[0], **kwargs}
        return actual_load(*args, **kwargs)

    def reached(net, train_iter, test_iter, num_epochs, **kwargs):
        found['fit'] = {'num_epochs': num_epochs, **kwargs}
        found['net'], found['train_iter'] = net, train_iter
        raise Reached

    actual_load = run_command.load_data_fashion_mnist
    with monkeypatch.context() as patch:
        patch.setattr(run_command, 'load_data_fashion_mnist', load)
        patch.setattr(run_command, 'fit', reached)
        patch.setattr(run_command, 'device', lambda name: found.setdefault('device', name) and mx.cpu())
        with pytest.raises(Reached):
            cli.main(['train', *arguments])
    return found


SMALL = ['--data', 'synthetic', '--limit', '64', '--size', '20', '--output', 'out']

#: For each option of train: what to type after it, and where that must arrive.
ARRIVES = {
    '--network': ('densenet_bc_100_12', lambda found, config: found['net'].config['block_config'] == [16, 16, 16]
                  and config['network_name'] == 'densenet_bc_100_12'),
    '--size': ('24', lambda found, config: found['data']['resize'] == 24 == config['size']),
    '--epochs': ('7', lambda found, config: found['fit']['num_epochs'] == 7 == config['epochs']),
    '--batch-size': ('9', lambda found, config: found['data']['batch_size'] == 9 == config['batch_size']),
    '--recipe': ('article', lambda found, config: found['fit']['optimizer'] == 'sgd' and not found['data']['flip']
                 and config['recipe'] == 'article'),
    '--data': ('synthetic', lambda found, config: found['data']['data'] == 'synthetic' == config['data']['name']),
    '--data-dir': (None, None),  # below
    '--device': ('gpu:1', lambda found, config: found['device'] == 'gpu:1'),
    '--seed': ('11', lambda found, config: found['data']['seed'] == found['fit']['seed'] == config['seed'] == 11),
    '--limit': ('50', lambda found, config: found['train_iter'].num_examples == config['limit'] == 50),
    '--validation': ('14', lambda found, config: found['train_iter'].num_examples == 50 and config['validation'] == 14),
    '--memory-efficient': ('', lambda found, config: found['net'].memory_efficient and config['memory_efficient']),
    '--dtype': ('bfloat16', lambda found, config: found['fit']['dtype'] == 'bfloat16' == config['dtype']),
    '--data-on-device': ('', lambda found, config: found['fit']['data_on_device'] is True),
    '--output': ('elsewhere', lambda found, config: found['fit']['checkpoint_dir'].parts[0] == 'elsewhere'),
    '--resume': (None, None),  # test_the_command_ends_cleanly_on_sigterm_and_resumes
    '--checkpoint-seconds': ('3.5', lambda found, config: found['fit']['checkpoint_seconds'] == 3.5),
    '--kvstore': ('device', lambda found, config: found['fit']['kvstore'] == 'device'),  # dist_sync: test_workers.py
}


def options_of_train():
    commands, = (action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
    return {action.option_strings[-1]: action for action in commands.choices['train']._actions}


def test_every_option_of_train_is_listed_here():
    assert options_of_train().keys() - {'--help'} == ARRIVES.keys()


@pytest.mark.parametrize('option', [option for option, (value, _) in ARRIVES.items() if value is not None])
def test_each_option_arrives_where_it_should(option, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    value, fits = ARRIVES[option]
    arguments = [*SMALL, option, *([value] if value else [])]
    found = arrived(monkeypatch, *arguments)
    config = json.loads((found['fit']['checkpoint_dir'].parent / 'config.json').read_text())
    assert fits(found, config), (found, config)


def test_the_defaults_are_not_what_the_options_say(monkeypatch, tmp_path):
    """Else the test above could not fail."""
    monkeypatch.chdir(tmp_path)
    found = arrived(monkeypatch, *SMALL)
    config = json.loads((tmp_path / 'out' / 'config.json').read_text())
    same = {option for option, (value, fits) in ARRIVES.items() if value is not None and fits(found, config)}
    assert same == {'--data', '--kvstore'}


def test_a_data_directory_arrives(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['train', '--data-dir', str(tmp_path / 'gone')]) == 2
    assert 'gone' in capsys.readouterr().err
    for command in (['train'], ['evaluate', 'out']):
        config = {'size': 9, 'batch_size': 9, 'data': {}}
        monkeypatch.setattr(run_command, 'load_run', lambda *_, config=config: (DenseNet(), None, config))
        assert cli.main([*command, '--data', 'synthetic', '--data-dir', str(tmp_path)]) == 2
        assert '--data-dir names a directory with files, and --data synthetic' in capsys.readouterr().err


def test_two_runs_in_one_second_have_a_directory_each(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)

    monkeypatch.setattr(run_command.datetime, 'datetime', Clock)
    for name in ('', '-2', '-3'):
        found = arrived(monkeypatch, *SMALL[:-2])
        assert found['fit']['checkpoint_dir'].parent.name == f'article-course-seed0-20260102-030405{name}'


def test_a_directory_that_another_process_has_just_taken_is_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'out').mkdir()
    program = ('import fcntl, os, sys; fcntl.flock(os.open("out", os.O_RDONLY), fcntl.LOCK_EX); print(flush=True); '
               'sys.stdin.read()')
    other = subprocess.Popen([sys.executable, '-c', program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        assert cli.main(['train', *SMALL, '--device', 'cpu']) == 2
        assert 'another run is about to write to out' in capsys.readouterr().err
    finally:
        other.communicate()


def test_a_home_directory_is_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    arrived(monkeypatch, *SMALL[:-1], '~/out')
    assert [path.name for path in tmp_path.iterdir()] == ['home'] and (tmp_path / 'home/out/config.json').exists()


@pytest.mark.parametrize('stopped, status, epochs', [
    (None, 0, 2), ('interrupted in epoch 1, after batch 2', 130, 0),
    ('ended by SIGTERM in epoch 1, after batch 2', 143, 0)])
def test_the_status_says_how_training_ended(stopped, status, epochs, monkeypatch, tmp_path, capsys):
    """128 and the number of the signal, as a shell has it."""
    monkeypatch.chdir(tmp_path)
    row = {'epoch': 1, 'loss': 1.0, 'train_acc': 0.5, 'test_acc': 0.5, 'seconds': 4.0, 'images_per_second': 9.0,
           'data_seconds': 0.5, 'learning_rate': 0.1}
    history = History([row, {**row, 'epoch': 2, 'seconds': 6.0}][:epochs], 'synthetic', stopped)
    monkeypatch.setattr(run_command, 'fit', lambda *args, **kwargs: history)
    assert cli.main(['train', *SMALL, '--device', 'cpu']) == status
    out = capsys.readouterr().out
    assert ('to go on: d2l-densenet train --resume out\n' in out) is bool(stopped)
    # Of ten seconds one was spent waiting.
    assert ('90.0 % of the time was spent in the network' in out) is bool(epochs)
    written = {path.name for path in (tmp_path / 'out').iterdir()}
    assert written == {'config.json', *(('model.params', 'history.json', 'curve.png') if epochs else ())}


@pytest.mark.parametrize('name, number, found, taken', [
    ('cpu', None, None, 'cpu'), ('auto', 0, 'gpu', 'gpu'), ('auto', 0, 'cpu', 'cpu'), ('gpu', 0, 'gpu', 'gpu'),
    ('gpu:3', 3, 'gpu', 'gpu'), ('gpu:3', 3, 'cpu', None), ('gpu', 0, 'cpu', None)])
def test_a_gpu_that_was_asked_for_by_name_is_used_or_an_error(name, number, found, taken, monkeypatch):
    tried = []
    monkeypatch.setattr(run_command, 'try_gpu', lambda i: tried.append(i) or getattr(mx, found)(i if number else 0))
    if taken:
        assert run_command.device(name) == (mx.gpu(number) if taken == 'gpu' else mx.cpu())
    else:
        with pytest.raises(ValueError, match=f'--device {name} cannot be used'):
            run_command.device(name)
    assert tried == ([] if number is None else [number])


def test_what_is_not_typed_is_the_articles_network_and_the_course_s_recipe(monkeypatch, tmp_path):
    """As docs and the help have it: 48 x 48 pixels, 5 epochs, batches of 128, a checkpoint a minute."""
    monkeypatch.chdir(tmp_path)
    found = arrived(monkeypatch, '--data', 'synthetic', '--limit', '300')
    directory = found['fit']['checkpoint_dir'].parent
    config = json.loads((directory / 'config.json').read_text())
    assert {name: config[name] for name in ('network_name', 'size', 'epochs', 'batch_size', 'recipe', 'seed', 'limit',
                                            'validation', 'memory_efficient', 'dtype', 'workers')} == {
        'network_name': 'article', 'size': 48, 'epochs': 5, 'batch_size': 128, 'recipe': 'course', 'seed': 0,
        'limit': 300, 'validation': 0, 'memory_efficient': False, 'dtype': 'float32', 'workers': 1}
    assert found['device'] == 'auto' and directory.parent.name == 'runs'
    assert {name: found['fit'][name] for name in ('num_epochs', 'checkpoint_seconds', 'resume', 'kvstore', 'dtype',
                                                  'data_on_device', 'seed')} == {
        'num_epochs': 5, 'checkpoint_seconds': 60, 'resume': False, 'kvstore': 'device', 'dtype': 'float32',
        'data_on_device': False, 'seed': 0}


def test_what_will_be_done_is_announced(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    arrived(monkeypatch, *SMALL, '--seed', '3', '--batch-size', '16', '--validation', '14')
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3] == ('network article, 20 x 20 pixels, recipe course, batch 16, seed 3, on cpu(0)')
    assert lines[-2].endswith('50 training and 14 held-out training images')
    assert lines[-1] == 'writing to out after each epoch; Ctrl-C ends the run and keeps what is there'


def test_a_run_of_an_earlier_version_is_in_float32_and_keeps_all():
    config = {key: 'text' for key in run_command.SETTINGS.values() if key not in ('memory_efficient', 'dtype')}
    config |= {'recipe': 'course', 'data_option': 'auto', 'size': 48}
    options = argparse.Namespace(output=None, resume='old', given={'size'}, size=48)
    run_command.take_settings(options, config)
    assert (options.memory_efficient, options.dtype, options.size, options.epochs) == (False, 'float32', 48, 'text')
    options.size = 49
    with pytest.raises(ValueError, match='--size 49 differs from the run in old, which has 48: leave it out'):
        run_command.take_settings(options, config)
    options.given, options.output = set(), 'new'
    with pytest.raises(ValueError, match='--output goes with a new run'):
        run_command.take_settings(options, config)
    options.output = None
    del config['seed']
    with pytest.raises(ValueError, match='old was written by an earlier version, without checkpoints'):
        run_command.take_settings(options, config)


def test_recomputing_is_for_a_densenet(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['train', *SMALL, '--device', 'cpu', '--network', 'resnet110', '--memory-efficient']) == 2
    assert '--memory-efficient is for a DenseNet, and resnet110 is none' in capsys.readouterr().err


def test_a_run_goes_on_with_the_images_that_it_began_with(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    arrived(monkeypatch, *SMALL)
    path = tmp_path / 'out' / 'config.json'
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, 'data': {'name': 'fashion-mnist', 'checksum': 'md5:0'}}))
    assert cli.main(['train', '--resume', 'out', '--device', 'cpu']) == 2
    assert "begun on other images: {'name': 'fashion-mnist'" in capsys.readouterr().err


@pytest.mark.parametrize('options, words', [
    (['--size', '96', '--batch-size', '60000'], 'batches of 60,000 images of 96 pixels square take too much memory'),
    (['--epochs', '3000000000'], 'epochs must be an integer of at most 2,147,483,647')])
def test_what_could_not_be_read_again_is_not_begun(options, words, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['train', *SMALL, '--device', 'cpu', *options]) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_what_to_type_is_quoted(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_command, 'fit', lambda *args, **kwargs: History([], 'synthetic', 'interrupted'))
    assert cli.main(['train', *SMALL[:-1], 'my run', '--device', 'cpu']) == 130
    assert "to go on: d2l-densenet train --resume 'my run'\n" in capsys.readouterr().out
