"""`install_gpu` with small wheels of the same shape; tests/gpu/test_installed.py looks at the real ones."""

import base64
import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys
import zipfile
from importlib import util

import pytest

from d2l_densenet import gpu

DRIVER = gpu.ask_driver()
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WHEELS = {
    'mxnet-cu112==1.9.1': {'mxnet/__init__.py': 'gpu = True', 'mxnet/libmxnet.so': 'MXNet'},
    'nvidia-nccl-cu11==2.0': {'nvidia/__init__.py': '', 'nvidia/nccl/lib/libnccl.so.2': 'for CUDA 11',
                              'nvidia/nccl/include/nccl.h': ''},
    'nvidia-nvtx-cu11==11.8': {'nvidia/__init__.py': '', 'nvidia/nvtx/lib/libnvToolsExt.so.1': 'nvtx'},
}
pytestmark = pytest.mark.skipif(sys.platform != 'linux' or util.find_spec('pip') is None, reason='needs Linux and pip')


def make_wheel(directory, requirement, files):
    """Write a wheel; returns its line in a requirements file."""
    name, version = requirement.replace('-', '_').split('==')
    path = directory / f'{name}-{version}-py3-none-any.whl'
    about = f'{name}-{version}.dist-info'
    files = {**files, f'{about}/METADATA': f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n',
             f'{about}/WHEEL': 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n'}
    record = ''
    with zipfile.ZipFile(path, 'w') as wheel:
        for file, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')
            record += f'{file},sha256={digest},{len(text)}\n'
            wheel.writestr(file, text)
        wheel.writestr(f'{about}/RECORD', f'{record}{about}/RECORD,,\n')
    return f'{requirement} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n'


@pytest.fixture
def packages(monkeypatch, tmp_path):
    """Where packages are installed: there are those of somebody else, and the small wheels can be had."""
    place, wheels = tmp_path / 'packages', tmp_path / 'wheels'
    wheels.mkdir()
    for name, text in (('mxnet/__init__.py', 'gpu = False'), ('nvidia/nccl/lib/libnccl.so.2', "PyTorch's")):
        (place / name).parent.mkdir(parents=True)
        (place / name).write_text(text)
    monkeypatch.setattr(gpu, 'REQUIREMENTS', ''.join(make_wheel(wheels, *wheel) for wheel in WHEELS.items()))
    monkeypatch.setattr(gpu, 'ask_driver', lambda: gpu.Driver((12, 4), (('Tesla T4', (7, 5)),)))
    monkeypatch.setattr(gpu.platform, 'machine', lambda: 'x86_64')
    monkeypatch.setattr(gpu.sysconfig, 'get_path', lambda name: str(place))
    monkeypatch.setattr(sys, 'meta_path', [*sys.meta_path])
    monkeypatch.setenv('PIP_FIND_LINKS', str(wheels))
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.delenv('PIP_EXTRA_INDEX_URL', raising=False)
    monkeypatch.syspath_prepend(str(place))
    yield place
    sys.modules.pop('d2l_densenet_gpu', None)


@pytest.fixture
def pip(monkeypatch):
    """The packages that pip is asked for, in turn. What it would install is unpacked, without its second of work."""
    asked = []

    def run(command, env):
        asked.append(pathlib.Path(command[-1]).read_text().partition('==')[0])
        wheel, = pathlib.Path(env['PIP_FIND_LINKS']).glob(asked[-1].replace('-', '_') + '-*')
        zipfile.ZipFile(wheel).extractall(command[command.index('--target') + 1])
        return subprocess.CompletedProcess(command, 0)
    monkeypatch.setattr(gpu.subprocess, 'run', run)
    return asked


def files(place):
    return {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob('*')
            if path.is_file() and '__pycache__' not in path.parts}


def test_everything_is_there_once_and_nothing_of_others_is_replaced(packages, monkeypatch, capfd):
    """With pip itself."""
    before = files(packages)
    assert gpu.install_gpu() is True
    said = capfd.readouterr().out
    assert '1 of 3: mxnet-cu112==1.9.1\n' in said and '3 of 3: nvidia-nvtx-cu11==11.8\n' in said
    after = files(packages)
    assert before.items() <= after.items()
    new = {name for name in set(after) - set(before) if 'dist-info' not in name}
    libraries = ('libmxnet.so', 'libnccl.so.2', 'libnvToolsExt.so.1')
    assert new == {'d2l_densenet_gpu.py', 'd2l_densenet_gpu.pth', 'd2l-densenet-gpu/requirements.txt',
                   *(f'd2l-densenet-gpu/mxnet/{name}' for name in ('__init__.py', *libraries))}
    assert after['d2l-densenet-gpu/mxnet/libnccl.so.2'] == 'for CUDA 11'
    monkeypatch.setattr(gpu.subprocess, 'run', None)
    assert gpu.install_gpu() is False
    assert gpu.remove_gpu() is True and files(packages) == before
    assert gpu.remove_gpu() is False


def test_other_versions_replace_it_whole(packages, pip, monkeypatch):
    gpu.install_gpu()
    monkeypatch.setattr(gpu, 'REQUIREMENTS', gpu.REQUIREMENTS.splitlines(keepends=True)[0])
    assert gpu.install_gpu() is True
    assert not (packages / 'd2l-densenet-gpu' / 'mxnet' / 'libnccl.so.2').exists()


def test_what_fails_leaves_no_trace_for_others_and_the_next_goes_on(packages, monkeypatch, capfd):
    """With pip itself, which refuses a file whose hash is another."""
    before, requirements = files(packages), gpu.REQUIREMENTS
    first, second, third = requirements.splitlines(keepends=True)
    monkeypatch.setattr(gpu, 'REQUIREMENTS', first + second[:-6] + '00000\n' + third)
    with pytest.raises(RuntimeError, match='Run this again'):
        gpu.install_gpu()
    assert 'DO NOT MATCH THE HASHES' in capfd.readouterr().err
    assert {name for name in files(packages) if not name.startswith('.d2l-densenet-gpu/new/')} == set(before)
    monkeypatch.setattr(gpu, 'REQUIREMENTS', requirements)
    assert gpu.install_gpu() is True
    assert capfd.readouterr().out.startswith('2 of 3: nvidia-nccl-cu11')
    assert not (packages / '.d2l-densenet-gpu').exists()


def test_interrupted_in_the_middle_of_a_package(packages, pip, monkeypatch):
    """Ctrl-C while pip runs, or a process that is killed right then: what is half done does not count."""
    real = gpu._take_over

    def interrupt(one, new):
        if (one / 'nvidia' / 'nccl').exists():
            raise KeyboardInterrupt
        real(one, new)
    monkeypatch.setattr(gpu, '_take_over', interrupt)
    with pytest.raises(KeyboardInterrupt):
        gpu.install_gpu()
    assert [path.name for path in (packages / '.d2l-densenet-gpu').iterdir()] == ['new']
    for left in ('one/nvidia', 'tmp', 'new/nvidia_nccl_cu11-2.0.dist-info'):  # as after `kill -9`
        (packages / '.d2l-densenet-gpu' / left / 'something').mkdir(parents=True)
    monkeypatch.setattr(gpu, '_take_over', real)
    assert gpu.install_gpu() is True
    assert pip == ['mxnet-cu112', 'nvidia-nccl-cu11', 'nvidia-nccl-cu11', 'nvidia-nvtx-cu11']
    assert gpu.remove_gpu() is True


def test_two_at_once(packages, pip):
    unfinished = packages / '.d2l-densenet-gpu'
    unfinished.mkdir()
    lock = os.open(unfinished, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    with pytest.raises(RuntimeError, match='another process is installing'):
        gpu.install_gpu()
    os.close(lock)
    assert pip == []
    assert gpu.install_gpu() is True


def test_a_card_without_code_costs_no_download(packages, pip, monkeypatch):
    monkeypatch.setattr(gpu, 'ask_driver', lambda: gpu.Driver((12, 8), (('NVIDIA H200', (9, 0)),)))
    with pytest.raises(RuntimeError, match='NVIDIA H200.*9.0.*use the CPU.*Nothing was installed'):
        gpu.install_gpu()
    assert pip == [] and not list(packages.glob('*d2l*'))
    assert gpu.install_gpu(anyway=True) is True


def test_another_kind_of_machine(packages, monkeypatch):
    monkeypatch.setattr(gpu.platform, 'machine', lambda: 'aarch64')
    with pytest.raises(RuntimeError, match='linux on aarch64: use the CPU'):
        gpu.install_gpu(anyway=True)


def test_a_full_disk(packages, pip, monkeypatch):
    monkeypatch.setattr(gpu.shutil, 'disk_usage', lambda place: type('', (), {'free': 3e9}))
    with pytest.raises(OSError, match='3.0 GB free, and 4.5 GB are needed'):
        gpu.install_gpu()
    assert pip == []


def test_packages_of_somebody_else(packages, pip, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(gpu.pathlib.Path, 'mkdir', refuse)
    with pytest.raises(OSError, match='cannot be written .Permission denied.: use an environment of your own'):
        gpu.install_gpu()


def test_import_takes_it_where_a_driver_is(packages, pip, libraries, tmp_path, monkeypatch):
    gpu.install_gpu()
    monkeypatch.undo()

    def imported(**settings):
        code = (f'import sys; sys.path.insert(0, {str(packages)!r}); import d2l_densenet_gpu, mxnet, os\n'
                'print(mxnet.gpu, os.environ.get("MXNET_CUDNN_LIB_CHECKING"))')
        return subprocess.run([sys.executable, '-I', '-S', '-c', code], capture_output=True, text=True, check=True,
                              timeout=60, env={**os.environ, **settings}).stdout.split()
    assert imported(LD_LIBRARY_PATH=str(libraries)) == ['True', '0']
    assert imported(LD_LIBRARY_PATH=str(libraries), MXNET_CUDNN_LIB_CHECKING='1') == ['True', '1']
    if not DRIVER.version:
        assert imported(LD_LIBRARY_PATH=str(tmp_path)) == ['False', 'None']


def test_the_command(packages, pip, capsys, monkeypatch):
    from d2l_densenet import cli
    assert cli.main(['gpu']) == 0
    said = capsys.readouterr()
    assert 'Now installed.\n' in said.out and '  GPU  ' in said.out and said.err == ''
    assert cli.main(['gpu', '--remove']) == 0 and capsys.readouterr().out == 'removed\n'
    monkeypatch.setattr(gpu, 'ask_driver', lambda: gpu.Driver(error='gone'))
    assert cli.main(['gpu']) == 1
    said = capsys.readouterr().err
    assert said.startswith('d2l-densenet gpu: error: there is no NVIDIA driver (gone); use the CPU; if')

    def interrupt(anyway):
        raise KeyboardInterrupt
    monkeypatch.setattr(gpu, 'install_gpu', interrupt)
    assert cli.main(['gpu']) == 130
    assert 'nothing is changed' in capsys.readouterr().err


@pytest.mark.parametrize('typed, command', [([], None), (['GPU=0'], None), (['GPU=1'], '-m d2l_densenet gpu'),
                                            (['GPU=anyway'], '-m d2l_densenet gpu --anyway')])
def test_make_env(typed, command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith('MAKE')}
    done = subprocess.run(['make', '-n', 'env', *typed], cwd=ROOT, env={**environment, 'GPU': '1'}, text=True,
                          capture_output=True, timeout=60)
    last = done.stdout.strip().splitlines()[-1].strip()
    assert last.endswith(command) if command else last.endswith('sh tools/make-env')
