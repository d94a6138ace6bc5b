"""Files from strangers, and the server that `make lab` starts: nothing is run, overwritten, waited for or let in."""

import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import mxnet as mx
import numpy
import pytest
from helpers import script
from safetensors.numpy import save_file

from d2l_densenet import DenseNet, History, ImageLoader, fit, load_pretrained
from d2l_densenet._common.disk import replace_file
from d2l_densenet.runs.checkpoints import Checkpoints, ResumeError
from d2l_densenet.runs.directories import RunError, load_run, read_config, save_run

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUZZ = script('benchmarks/fuzz.py')


def test_some_hundred_damaged_files_for_each_reader(tmp_path):
    """As `make fuzz` does it, with a limit of memory and time, in one process: see benchmarks/fuzz.py."""
    targets = list(FUZZ.TARGETS)
    result = subprocess.run(
        [sys.executable, ROOT / 'benchmarks' / 'fuzz.py', '--runs', '100', '--engine', 'mutator', '--place', tmp_path,
         *(part for name in targets for part in ('--target', name))], capture_output=True, text=True, timeout=300,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'Agg', 'PYTHONPATH': str(ROOT)}, errors='replace')
    assert result.returncode == 0, result.stderr[-5000:]
    rows = [json.loads(line[7:]) for line in result.stdout.splitlines() if line.startswith('counts ')]
    assert len(rows) == len(targets)
    # Neither was everything refused nor everything read: the damage reaches what it should.
    assert all(row['inputs'] == 100 and row['read'] and row['refused'] > 50 for row in rows), rows


def test_the_corpus_is_small_and_the_record_is_whole():
    assert sum(path.stat().st_size for path in FUZZ.CORPUS.rglob('*') if path.is_file()) < 200_000
    record = json.loads(FUZZ.RECORD.read_text())
    assert record['targets'].keys() == FUZZ.TARGETS.keys()
    for row in record['targets'].values():
        assert row['inputs'] >= 10_000 and not row['findings'] and row['grown_mb'] < 200
    page = (ROOT / 'docs' / 'reliability.md').read_text()
    assert page.partition(FUZZ.START)[2].partition(FUZZ.END)[0].strip() == FUZZ.table(record)


def test_the_fuzzing_itself_notices(tmp_path):
    """A reader that opens a file elsewhere, runs code, takes memory, or fails otherwise is found out."""
    program = ("import sys, pathlib; sys.path.insert(0, sys.argv[1]); import fuzz, numpy, time; fuzz.SECONDS = 2\n"
               "def bad(content):\n    if not content or content in good: return True\n    {}\n    return True\n"
               "good = fuzz.seeds_of('idx'); fuzz.target = lambda name, directory: bad\n"
               "fuzz.child(['idx'], 5, 0, 'mutator', pathlib.Path(sys.argv[2]))")
    for number, (act, words) in enumerate([
            ("open('/tmp/x-elsewhere', 'w')", 'touched or run'), ("eval(compile('1', 'x', 'eval'))", 'touched or run'),
            ('numpy.ones(2 ** 29)', 'Unable to allocate'), ('time.sleep(60)', 'Timeout'), ('1 / 0', 'division'),
            ('raise ValueError', 'ValueError'), ('pass', '')]):
        place = tmp_path / str(number)
        place.mkdir()
        result = subprocess.run([sys.executable, '-c', program.format(act), ROOT / 'benchmarks', place], text=True,
                                capture_output=True, timeout=60, env={**os.environ, 'PYTHONPATH': str(ROOT)})
        assert bool(result.returncode) == bool(words) and words in result.stderr, (act, result.stderr)
    pathlib.Path('/tmp/x-elsewhere').unlink(missing_ok=True)


def small():
    net = DenseNet(2, (1, 1), 2, stem='cifar', classes=2)
    net.initialize()
    return net


def test_mxnets_reader_is_never_given_a_damaged_file(tmp_path, monkeypatch):
    """It would take as much memory as the file asks for."""
    net = small()
    content = (FUZZ.CORPUS / 'params' / 'nd').read_bytes()
    (tmp_path / 'good').write_bytes(content)
    at = 36  # the first length of the first array: it claims 2 ** 40 now
    (tmp_path / 'bad').write_bytes(content[:at] + (2 ** 40).to_bytes(8, 'little') + content[at + 8:])
    reached = []
    monkeypatch.setattr(mx.nd, 'load', lambda *_: reached.append(1))
    monkeypatch.setattr(mx.gluon.block.ndarray, 'load', lambda *_: reached.append(1))
    with pytest.raises(ValueError, match='bad is no Gluon .params file.*bytes are claimed'):
        net.load_parameters(str(tmp_path / 'bad'))
    assert not reached
    monkeypatch.undo()
    net.load_parameters(str(tmp_path / 'good'))


@pytest.mark.parametrize('changes, words', [
    ({'network': {'block_config': [10 ** 9]}}, 'convolution blocks'),
    ({'network': {'growth_rate': 10 ** 9, 'block_config': [1]}}, 'does not fit'),
    ({'network': {'prefix': 'x'}}, 'must be a dict with'), ({'network': {'params': {}}}, 'must be a dict with'),
    ({'network': {'name': 'resnet18', 'classes': 10 ** 9}}, 'does not fit'), ({'network': None}, 'network must be'),
    ({'size': 10 ** 9}, 'size'), ({'batch_size': 10 ** 9}, 'batch_size'),
    ({'batch_size': 10 ** 6, 'size': 100}, 'memory'),
    ({'data': {'name': '\x1b[2J', 'checksum': ''}}, 'name must be a short text'), ({'data': 3}, 'data must be'),
    ({'seed': -1}, 'seed')])
def test_what_a_run_claims_is_refused_before_it_is_built(changes, words, tmp_path, monkeypatch):
    config = json.loads((FUZZ.CORPUS / 'run' / 'config-json').read_text())
    config['network'].update(changes.pop('network') or {}) if isinstance(changes.get('network'), dict) else None
    if 'name' in config['network']:
        config['network'] = {key: config['network'][key] for key in ('name', 'classes')}
    (tmp_path / 'config.json').write_text(json.dumps({**config, **changes}))
    (tmp_path / 'history.json').write_bytes((FUZZ.CORPUS / 'run' / 'history-json').read_bytes())
    (tmp_path / 'model.params').write_bytes((FUZZ.CORPUS / 'run' / 'model-params').read_bytes())
    with pytest.raises(RunError, match=words):
        load_run(tmp_path)


def planted(directory, name, target):
    target.write_text('mine')
    (directory / name).symlink_to(target)


def test_links_in_a_strangers_directory_are_not_written_through(tmp_path):
    directory, mine = tmp_path / 'run', tmp_path / 'mine'
    directory.mkdir()
    planted(directory, f'.config.json.{os.getpid()}.tmp', mine)
    planted(directory, f'.model.params.{os.getpid()}.tmp', mine)
    save_run(directory, small(), History(), {})
    assert mine.read_text() == 'mine' and not (directory / 'config.json').is_symlink()
    planted(directory, 'x', mine)
    replace_file(directory / 'x', b'new')
    assert mine.read_text() == 'mine' and (directory / 'x').read_bytes() == b'new'


def test_the_lock_of_a_strangers_checkpoints_may_be_a_link(tmp_path):
    directory, mine = tmp_path / 'checkpoints', tmp_path / 'mine'
    directory.mkdir()
    planted(directory, 'lock', mine)
    with pytest.raises(ResumeError, match='cannot be written'), Checkpoints(directory):
        pass
    assert mine.read_text() == 'mine'
    (directory / 'lock').unlink()
    notes = [directory / '.notes.tmp', directory / '.checkpoint-1.txt']
    for path in notes:
        path.write_text('mine')
    leftover = directory / f'.checkpoint-000001-00000002-{"0" * 32}.safetensors.77.tmp'
    leftover.write_bytes(b'')
    with Checkpoints(directory):
        assert all(path.exists() for path in notes) and not leftover.exists()


def test_names_in_files_are_no_paths(tmp_path, monkeypatch):
    place = tmp_path / 'in'
    place.mkdir()
    monkeypatch.chdir(place)
    save_file({'../escaped': numpy.ones(2, 'float32'), '/tmp/x-escaped': numpy.ones(2, 'float32')}, place / 'x')
    with pytest.raises(ValueError, match='does not fit'):
        load_pretrained(small(), place / 'x', strict=False)
    mx.nd.save(str(place / 'y'), {'../escaped': mx.nd.ones(2)})
    with pytest.raises((ValueError, AssertionError)):
        small().load_parameters(str(place / 'y'))
    assert [path.name for path in tmp_path.iterdir()] == ['in'] and not pathlib.Path('/tmp/x-escaped').exists()


def test_a_checkpoint_that_claims_a_trillion_batches_does_not_keep_us(tmp_path):
    """Its checksum is right: whoever made it computed it."""
    loader = ImageLoader(numpy.zeros((4, 8, 8), 'uint8'), [0, 1, 0, 1], 2)
    fit(small(), loader, None, 1, seed=0, progress=False, checkpoint_dir=tmp_path)
    with Checkpoints(tmp_path) as store:
        _, arrays, state = store.newest()
        for path in store.files():
            path.unlink()
        state['progress'].update(epoch=1, batch=10 ** 12, count=4, seconds=1.0)
        store.save(1, 0, arrays, state)
    history = fit(small(), loader, None, 1, seed=0, progress=False, checkpoint_dir=tmp_path, resume=True)
    assert len(history) <= 2
    for change, words in (({'numpy': ['MT19937', 2 ** 31, 0, 0.0]}, 'NumPy'), ({'progress': {'x': 1}}, 'no checkpoint'),
                          ({'scheduler': {'__class__': 'x'}}, 'scheduler'), ({'num_update': 10 ** 30}, 'count'),
                          ({'updates': {'x': 1}}, 'no checkpoint')):
        with Checkpoints(tmp_path) as store:
            for path in store.files():
                path.unlink()
            store.save(1, 0, arrays, {**state, 'progress': {**state['progress'], 'batch': 0, 'epoch': 2}, **change})
        with pytest.raises(ResumeError, match=words):
            fit(small(), loader, None, 3, seed=0, progress=False, checkpoint_dir=tmp_path, resume=True)


def test_nothing_in_the_package_unpickles():
    reader = ROOT / 'd2l_densenet' / 'interop' / 'torch_files.py'  # see tests/interop/test_torch_files.py
    imports = r'^\s*(import|from) (pickle|marshal|shelve|dill|joblib)\b'
    for path in (ROOT / 'd2l_densenet').rglob('*.py'):
        text = path.read_text()
        assert not re.search(r'numpy\.load\(|allow_pickle=True|weights_only=False|\beval\(|\bexec\(|yaml\.load|'
                             r'pickle\.loads?\(|pickle\.Unpickler', text, re.M), path
        assert path == reader or not re.search(imports, text, re.M), path


def test_a_config_that_is_endless(tmp_path):
    for text in ('[' * 10 ** 6, '{"a":' * 10 ** 6, '1' * 10 ** 6, '"' + 'x' * 2 ** 27 + '"'):
        (tmp_path / 'config.json').write_text(text)
        with pytest.raises(RunError, match='config.json is damaged'):
            read_config(tmp_path)


# --- JupyterLab

def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def listening(port):
    """Addresses, as hexadecimal numbers, on which something listens at `port`."""
    found = set()
    for table in ('tcp', 'tcp6'):
        path = pathlib.Path('/proc/net') / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            address, number = line.split()[1].split(':')
            if int(number, 16) == port and line.split()[3] == '0A':
                found.add(address)
    return found


def ask(url):
    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    try:
        with urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({})).open(url, timeout=20) as answer:
            return answer.status, ''
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get('Location', '')


def test_make_lab_listens_on_loopback_and_wants_its_token(tmp_path):
    pytest.importorskip('jupyterlab')
    port = free_port()
    arguments = f'--no-browser --port={port} --ServerApp.port_retries=0' + (' --allow-root' if not os.geteuid() else '')
    shown = subprocess.run(['make', '--no-print-directory', '-n', 'lab', f'ARGS={arguments}'], cwd=ROOT, text=True,
                           capture_output=True, check=True).stdout.strip().splitlines()[-1]
    command = shlex.split(shown)
    assert 'jupyterlab' in command and [word for word in command if word.startswith('--')] == arguments.split()
    command[command.index('.venv/bin/python')] = sys.executable
    log = tmp_path / 'log'
    with open(log, 'wb') as output:
        server = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                                  env={**os.environ, 'HOME': str(tmp_path)})  # without settings of whoever tests
    try:
        deadline = time.monotonic() + 90
        while not (token := re.search(r'http://127\.0\.0\.1:\d+/lab\S*\?token=([0-9a-f]{48})', log.read_text())):
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        if listening(port):
            assert listening(port) <= {'0100007F', '00000000000000000000000001000000'}
        base = f'http://127.0.0.1:{port}'
        assert ask(f'{base}/api/contents')[0] == 403 and ask(f'{base}/api/contents?token={"0" * 48}')[0] == 403
        status, place = ask(f'{base}/lab')
        assert status == 302 and place.startswith('/login')
        assert ask(f'{base}/api/contents?token={token[1]}')[0] == 200
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_no_settings_of_jupyter_are_in_the_project():
    tracked = subprocess.run(['git', 'ls-files'], cwd=ROOT, text=True, capture_output=True).stdout.split()
    assert not [path for path in tracked if 'jupyter' in path.lower() or path.endswith('_config.py')]
    for name in ('Makefile', 'README.md', 'environment.yml', 'tools/make-env', 'pyproject.toml'):
        assert not re.search(r'--ip\b|IdentityProvider|[Ss]erverApp\.|token\s*=|allow_origin|disable_check_xsrf',
                             (ROOT / name).read_text()), name
