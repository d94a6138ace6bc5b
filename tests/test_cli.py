"""The command line: each command run as a user runs it, on the drawn data."""

import json
import os
import pathlib
import subprocess
import sys

import mxnet as mx
import numpy
import pytest
from helpers import ROOT

from d2l_densenet import NETWORKS, RESNETS, DenseNet, History, cli, evaluate_accuracy
from d2l_densenet.named import OWN
from d2l_densenet.runs.directories import RunError, load_run

FILES = {'model.params', 'history.json', 'config.json', 'curve.png', 'checkpoints'}


def run(*arguments, cwd, **environment):
    root = str(pathlib.Path(__file__).resolve().parent.parent)
    return subprocess.run([sys.executable, '-m', 'd2l_densenet', *arguments], cwd=cwd, text=True, capture_output=True,
                          env={**os.environ, 'PYTHONPATH': root, **environment}, timeout=600)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run on 300 drawn images; the finished process and its directory."""
    cwd = tmp_path_factory.mktemp('cli')
    result = run('train', '--data', 'synthetic', '--limit', '300', '--size', '28', '--epochs', '2', '--device', 'cpu',
                 '--seed', '4', '--output', 'out', cwd=cwd)
    return result, cwd / 'out'


def test_train_writes_a_run(trained):
    result, directory = trained
    assert result.returncode == 0, result.stderr
    assert {path.name for path in directory.iterdir()} == FILES
    assert (directory / 'curve.png').read_bytes().startswith(b'\x89PNG')
    config = json.loads((directory / 'config.json').read_text())
    assert config['data']['name'] == 'synthetic' and config['data']['checksum'].startswith('md5:')
    # At 28 x 28 pixels the transitions must round up.
    assert config['network'] == DenseNet(pooling_convention='full').config and config['seed'] == 4
    assert {'python', 'numpy', 'mxnet'} <= config['versions'].keys() and config['machine']['cpu']
    history = History.from_json((directory / 'history.json').read_text())
    assert history['epoch'] == [1, 2] and history.data == 'synthetic'
    lines = [line for line in result.stdout.splitlines() if line.startswith('epoch ')]
    assert len(lines) == 2 and all(line.endswith('data synthetic') for line in lines)
    assert 'SYNTHETIC STAND-IN' in result.stdout and 'of the time was spent in the network' in result.stdout
    assert not result.stderr


def test_the_same_seed_gives_the_same_run(trained):
    _, directory = trained
    again = run('train', '--data', 'synthetic', '--limit', '300', '--size', '28', '--epochs', '2', '--device', 'cpu',
                '--seed', '4', cwd=directory.parent)
    assert again.returncode == 0, again.stderr
    (other,) = (directory.parent / 'runs').iterdir()
    assert other.name.startswith('article-course-seed4-')
    first, second = (load_run(path)[0].collect_params().values() for path in (directory, other))
    for a, b in zip(first, second):
        numpy.testing.assert_array_equal(a.data().asnumpy(), b.data().asnumpy())


def test_evaluate_gives_the_recorded_accuracy(trained, monkeypatch):
    """With the same test images: `evaluate` takes all, so the oracle is `evaluate_accuracy` on the loaded run."""
    from d2l_densenet import load_data_fashion_mnist
    _, directory = trained
    result = run('evaluate', 'out', '--data', 'synthetic', '--device', 'cpu', '--mirrored', cwd=directory.parent)
    assert result.returncode == 0, result.stderr
    net, history, config = load_run(directory)
    _, test_iter = load_data_fashion_mnist(256, resize=28, data='synthetic')
    assert f'test accuracy {evaluate_accuracy(net, test_iter):.4f} on {test_iter.num_examples} images' in result.stdout
    assert f'with mirror images {evaluate_accuracy(net, test_iter, mirrored=True):.4f}\n' in result.stdout
    _, few = load_data_fashion_mnist(256, resize=28, data='synthetic', limit=300)
    assert evaluate_accuracy(net, few) == history['test_acc'][-1]


def test_summary_prints_the_articles_count(capsys):
    assert cli.main(['summary', '--size', '48']) == 0
    assert '758,226' in capsys.readouterr().out


def test_summary_of_another_network(capsys):
    assert cli.main(['summary', '--network', 'densenet121']) == 0
    out = capsys.readouterr().out
    assert '7,978,856' in out and '(3, 224, 224)' in out


def test_networks_prints_the_table_of_the_docs(capsys):
    assert cli.main(['networks']) == 0
    table = capsys.readouterr().out.strip()
    assert table.count('\n| ') == len({**NETWORKS, **OWN, **RESNETS}) + 1
    page = (pathlib.Path(__file__).resolve().parent.parent / 'docs' / 'networks.md').read_text()
    assert table in page, 'put what `d2l-densenet networks` prints into docs/networks.md'


@pytest.mark.parametrize('network, kind', [('densenet_bc_100_12', 'DenseNet'), ('resnet110', 'ResNet')])
def test_other_networks_train_and_come_back(network, kind, tmp_path):
    result = run('train', '--network', network, '--size', '12', '--epochs', '1', '--limit', '32', '--batch-size', '16',
                 '--data', 'synthetic', '--device', 'cpu', '--output', 'out', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    net, history, config = load_run(tmp_path / 'out')
    assert type(net).__name__ == kind and len(history) == 1
    assert net(mx.nd.zeros((2, 1, 12, 12))).shape == (2, 10)


@pytest.mark.parametrize('arguments, words', [
    (['train', '--network', 'densenet_121'], ['--network', "'densenet_121'", 'did you mean densenet121']),
    (['train', '--epochs', '0'], ['--epochs', 'at least 1', 'got 0']),
    (['train', '--recipe', 'best'], ['--recipe', "'best'", 'article', 'course']),
    (['train', '--device', 'tpu'], ['--device', "'tpu'", 'gpu:1']),
    (['train', '--seed', 'x'], ['--seed', "'x'", 'integer']),
    (['train', '--size', '16', '--data', 'synthetic'], ['16 x 16', '17']),
    (['evaluate', 'nowhere'], ['nowhere', 'not a directory']),
    (['frobnicate'], ['frobnicate', 'train', 'doctor']),
    ([], ['COMMAND'])])
def test_wrong_arguments_exit_with_2_and_one_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(arguments)
    except SystemExit as end:
        status = end.code
    error = capsys.readouterr().err
    assert status == 2 and error.count('\n') == 1
    assert all(word in error for word in words), error
    assert not list(tmp_path.iterdir())


def test_a_used_output_directory_is_refused(trained, capsys):
    _, directory = trained
    before = {path: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    assert cli.main(['train', '--data', 'synthetic', '--output', str(directory)]) == 2
    assert 'not empty' in capsys.readouterr().err
    assert {path: path.read_bytes() for path in directory.iterdir() if path.is_file()} == before


def test_no_device_no_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['train', '--data-dir', str(tmp_path / 'gone'), '--device', 'cpu']) == 2
    assert 'gone' in capsys.readouterr().err
    assert not (tmp_path / 'runs').exists(), 'a run that never began leaves no directory'


@pytest.mark.parametrize('name, content, words', [
    ('config.json', '{', 'cannot be read'), ('config.json', '{"network": {"growth_rate": 0}}', 'growth_rate'),
    ('history.json', '[]', 'cannot be read'), ('model.params', 'junk', 'does not fit'),
    ('model.params', None, 'missing'), ('config.json', None, 'missing')])
def test_a_damaged_run_is_named(trained, tmp_path, name, content, words):
    _, directory = trained
    for path in filter(pathlib.Path.is_file, directory.iterdir()):
        if path.name != name or content is not None:
            (tmp_path / path.name).write_bytes(path.read_bytes() if path.name != name else content.encode())
    with pytest.raises(RunError, match=words):
        load_run(tmp_path)


def test_notebooks_are_written_and_nobody_s_work_is_lost(tmp_path, capsys):
    source = pathlib.Path(cli.__file__).resolve().parent.parent / 'notebooks'
    target = tmp_path / 'a course'
    assert cli.main(['notebooks', str(target)]) == 0
    assert str(target / '01_first_densenet.ipynb') in capsys.readouterr().out
    written = {path.relative_to(target): path.read_bytes() for path in target.rglob('*') if path.is_file()}
    assert len(written) > 25 and written == {name: (source / name).read_bytes() for name in written}
    assert cli.main(['notebooks', str(target)]) == 0, 'files that are the same are no obstacle'

    mine = [target / '02_dense_block.ipynb', target / 'exercises' / '03_whole_network.ipynb']
    for path in mine:
        path.write_text('my work')
    (target / 'README.md').unlink()
    capsys.readouterr()
    assert cli.main(['notebooks', str(target)]) == 2
    error = capsys.readouterr().err
    assert '02_dense_block.ipynb and 1 more' in error and '--force' in error and error.count('\n') == 1
    assert [path.read_text() for path in mine] == ['my work'] * 2 and not (target / 'README.md').exists()
    assert cli.main(['notebooks', str(target), '--force']) == 0
    assert {name: (target / name).read_bytes() for name in written} == written


def test_notebooks_where_they_cannot_be_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').write_text('')
    assert cli.main(['notebooks', 'file/course']) == 1
    assert 'file' in capsys.readouterr().err
    source = pathlib.Path(cli.__file__).resolve().parent.parent / 'notebooks'
    for place in (source, source / 'exercises'):
        assert cli.main(['notebooks', str(place)]) == 2
        assert 'give another DIR' in capsys.readouterr().err


def test_notebooks_needs_no_mxnet(tmp_path):
    program = ('import sys; from d2l_densenet import cli; cli.main(["notebooks", "course"]); '
               'sys.exit("mxnet" in sys.modules)')
    result = subprocess.run([sys.executable, '-c', program], cwd=tmp_path, capture_output=True, text=True,
                            env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).resolve().parent.parent)})
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize('command', [[], ['train'], ['evaluate'], ['summary'], ['networks'], ['export'], ['notebooks'],
                                     ['doctor']])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*command, '--help'])
    assert end.value.code == 0 and len(capsys.readouterr().out) > 80


def test_importing_the_package_loads_nothing_heavy(tmp_path):
    program = ('import sys, d2l_densenet as d; d.fit, d.DenseNet, d.load_data_fashion_mnist;'
               'heavy = ("matplotlib", "pandas", "d2l", "torch", "onnxruntime", "IPython");'
               'print([m for m in heavy if m in sys.modules])')
    result = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, cwd=tmp_path,
                            env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).resolve().parent.parent)})
    assert result.stdout.strip() == '[]', result.stderr


@pytest.mark.parametrize('error, status, words', [
    (ValueError('say\nit'), 2, 'd2l-densenet networks: error: say\nit\n'), (OSError(28, 'No space'), 1, 'No space'),
    (RuntimeError('a stack\nthe cause'), 1, 'd2l-densenet networks: error: the cause\n'),
    (MemoryError(), 1, 'MemoryError'), (KeyboardInterrupt(), 130, 'interrupted\n'), (None, 5, '')])
def test_the_status_and_the_line_of_each_kind_of_error(error, status, words, monkeypatch, capsys):
    from d2l_densenet import commands

    def run(options):
        if error:
            raise error
        return 5

    monkeypatch.setattr(commands, 'networks', run)
    monkeypatch.delenv('DMLC_ROLE', raising=False)
    assert cli.main(['networks']) == status
    out, said = capsys.readouterr()
    assert words in said and not out and 'Traceback' not in said and bool(said) is bool(error)


def test_a_reader_that_has_seen_enough_is_no_error():
    """More is written than a pipe holds, and nobody reads it."""
    program = ('import sys; from d2l_densenet import cli; cli._notebooks = lambda options: print("x" * 10 ** 6); '
               'sys.exit(cli.main(["notebooks", "there"]))')
    environment = {**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).resolve().parent.parent)}
    with subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment) as done:
        done.stdout.close()
        assert done.stderr.read() == ''
    assert done.returncode == 0


def parsed(*arguments):
    return cli._parser().parse_args(arguments)


@pytest.mark.parametrize('command, option, good, bad', [
    ('train', 'size', ['1', '2'], ['0', '-1', '1.5']), ('train', 'epochs', ['1'], ['0']),
    ('train', 'batch-size', ['1'], ['0']), ('train', 'seed', ['0'], ['-1']), ('train', 'limit', ['1'], ['0']),
    ('train', 'validation', ['0'], ['-1']), ('train', 'checkpoint-seconds', ['0', '0.5'], ['-0.1', 'nan', 'inf', 'x']),
    ('launch', 'workers', ['1'], ['0']), ('launch', 'servers', ['1'], ['0']),
    ('launch', 'time-limit', ['0', '1e9'], ['-1', 'inf']), ('summary', 'size', ['1'], ['0']),
    ('export', 'size', ['1'], ['0']), ('train', 'device', ['auto', 'cpu', 'gpu', 'gpu:0', 'gpu:12'],
                                       ['gpu:', 'gpu:-1', 'cpu:0', 'gpu:x', ''])])
def test_the_bounds_of_each_option(command, option, good, bad, capsys):
    for text in good:
        found = getattr(parsed(command, f'--{option}={text}'), option.replace('-', '_'))
        assert found == (text if option == 'device' else float(text))
    for text in bad:
        with pytest.raises(SystemExit) as end:
            parsed(command, f'--{option}={text}')
        assert end.value.code == 2 and f'--{option}' in capsys.readouterr().err


def test_what_the_other_commands_take_when_nothing_is_typed():
    """As their help has it."""
    launch, evaluate = parsed('launch', '--', 'train'), parsed('evaluate', 'run')
    assert (launch.workers, launch.servers, launch.time_limit) == (2, 1, None)
    assert (evaluate.data, evaluate.data_dir, evaluate.device, evaluate.mirrored) == ('auto', None, 'auto', False)
    assert (parsed('summary').network, parsed('summary').size) == ('article', None)
    found = parsed('export')
    assert (found.directory, found.network, found.weights, found.part, found.no_strict, found.size, found.output,
            found.format, found.name) == (None, None, None, None, False, None, None, None, None)
    assert parsed('notebooks', 'there').force is parsed('gpu').anyway is parsed('gpu').remove is False


def test_launch_hands_the_job_on(monkeypatch):
    from d2l_densenet.runs import launching
    given = []
    monkeypatch.setattr(launching, 'launch', lambda *arguments: given.append(arguments) or 9)
    resumed = ['--kvstore', 'dist_sync', '--resume', 'run', '--batch-size', '3']
    numbers = ['--workers', '4', '--servers', '3', '--time-limit', '5']
    assert cli.main(['launch', *numbers, '--', 'train', '--size', '9']) == 9
    assert cli.main(['launch', 'sleep', '1']) == 9
    assert cli.main(['launch', '--', 'train', *resumed]) == 9
    mine = [sys.executable, '-m', 'd2l_densenet', 'train']
    assert given == [([*mine, '--size', '9', '--kvstore', 'dist_sync'], 4, 3, 5.0), (['sleep', '1'], 2, 1, None),
                     ([*mine, *resumed, '--kvstore', 'dist_sync'], 2, 1, None)]


@pytest.mark.parametrize('typed, does, status, words', [
    ([], True, 0, 'Now installed.'), ([], False, 0, 'All is installed already.'),
    (['--remove'], True, 0, 'removed'), (['--remove'], False, 0, 'there is nothing to remove'),
    (['--anyway'], KeyboardInterrupt, 130, 'the same command goes on from here')])
def test_the_command_for_gpus(typed, does, status, words, monkeypatch, capsys):
    from d2l_densenet import doctor, gpu
    asked = []

    def act(anyway=None):
        asked.append(anyway)
        if does is KeyboardInterrupt:
            raise does
        return does

    monkeypatch.setattr(gpu, 'install_gpu', act)
    monkeypatch.setattr(gpu, 'remove_gpu', act)
    monkeypatch.setattr(doctor, 'check_gpu', lambda: doctor.Check('GPU', True, 'looked at'))
    assert cli.main(['gpu', *typed]) == status
    said = capsys.readouterr()
    assert words in (said.err if status else said.out)
    assert asked == [None if '--remove' in typed else bool(typed)]
    assert ('looked at' in said.out) is (not typed)


def test_a_doctor_without_a_reader_ends_quietly():
    with subprocess.Popen([sys.executable, '-m', 'd2l_densenet', 'doctor'], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)}) as doctor:
        doctor.stdout.close()
        assert doctor.wait(120) == 0 and not doctor.stderr.read()
