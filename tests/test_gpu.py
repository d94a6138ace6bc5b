"""MXNet for GPUs without a driver, a compiler or pip: what is asked, said, written and taken away.

tests/gpu has the same with a library in the place of the driver's, and with pip.
"""

import ctypes
import os
import sys
import types

import pytest

from d2l_densenet import gpu


def library(version, cards, init=0, text=b'unknown error'):
    """Stands for libcuda.so.1: the functions that the driver has, with the numbers of CUDA's manual."""
    def give(pointer, value):
        pointer._obj.value = value
        return 0

    def attribute(pointer, number, device):
        return give(pointer, cards[device.value][1][{75: 0, 76: 1}[number]])

    def name(buffer, length, device):
        assert length == len(buffer) == 256
        buffer.value = cards[device.value][0].encode()
        return 0

    return types.SimpleNamespace(
        cuDriverGetVersion=lambda pointer: give(pointer, version), cuInit=lambda flags: 1 if flags else init,
        cuDeviceGetCount=lambda pointer: give(pointer, len(cards)), cuDeviceGetName=name,
        cuDeviceGet=lambda pointer, i: give(pointer, i), cuDeviceGetAttribute=attribute,
        cuGetErrorString=lambda status, pointer: give(pointer, text))


CARDS = ('Tesla T4', (7, 5)), ('NVIDIA A100', (8, 0)), ('GTX 980', (5, 2))


@pytest.mark.parametrize('number, version', [
    (12040, (12, 4)), (11080, (11, 8)), (10020, (10, 2)), (9000, (9, 0)), (13000, (13, 0)), (12100, (12, 10))])
def test_a_driver_is_asked_for_its_version_and_cards(number, version, monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: asked.append(name) or library(number, CARDS))
    assert gpu.ask_driver() == gpu.Driver(version, CARDS)
    assert asked == ['libcuda.so.1']


@pytest.mark.parametrize('status, text, error', [
    (100, b'no device', ''), (999, b'unknown error', 'cuInit: error 999, unknown error'),
    (3, None, 'cuInit: error 3, unknown'), (1, b'bad \xff', 'cuInit: error 1, bad \ufffd')])
def test_a_driver_that_shows_no_card(status, text, error, monkeypatch):
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: library(12040, CARDS, status, text))
    assert gpu.ask_driver() == gpu.Driver((12, 4), (), error)


def test_a_library_that_is_none_of_the_drivers(monkeypatch):
    def missing(name):
        raise OSError(name)

    for found in (lambda name: types.SimpleNamespace(), missing):
        monkeypatch.setattr(ctypes, 'CDLL', found)
        assert gpu.ask_driver() == gpu.Driver((), (), 'libcuda.so.1 cannot be loaded')
    half = library(12040, CARDS)
    del half.cuDeviceGetCount
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: half)
    assert gpu.ask_driver().version == (12, 4) and 'cuDeviceGetCount' in gpu.ask_driver().error


@pytest.mark.parametrize('capability, usable', [
    ((3, 7), False), ((4, 9), False), ((5, 0), True), ((6, 1), True), ((7, 5), True), ((8, 9), True), ((9, 0), False),
    ((12, 0), False)])
def test_the_cards_that_the_wheels_have_code_for(capability, usable):
    driver = gpu.Driver((12, 4), (*CARDS, ('a card', capability)))
    assert gpu.why_no_gpu(0, driver) is None
    problem = gpu.why_no_gpu(3, driver)
    assert (problem is None) is usable
    if problem:
        assert problem[0].startswith('GPU 3 (a card) has compute capability {}.{}, and'.format(*capability))
        assert problem[0].endswith('code for 5.0 to 8.9 (Maxwell to Ada)')
        assert problem[1].startswith('use the CPU') and ('Hopper' in problem[1]) is (capability >= (9, 0))


@pytest.mark.parametrize('driver, i, hidden, words, remedy', [
    (gpu.Driver(error='it is not there'), 0, None, 'no NVIDIA driver (it is not there)', 'install its driver'),
    (gpu.Driver((10, 2), CARDS), 0, None, 'runs CUDA 10.2, and MXNet needs 11.0', '450.80.02'),
    (gpu.Driver((11, 8), error='cuInit: error 999'), 0, None, 'does not work (cuInit: error 999)', 'restart'),
    (gpu.Driver((11, 0)), 0, None, 'the driver shows no card', 'nvidia-smi lists the cards'),
    (gpu.Driver((11, 0)), 0, '', 'the driver shows no card', "CUDA_VISIBLE_DEVICES is set to ''"),
    (gpu.Driver((11, 0), CARDS), 3, '2,1,0', 'no GPU 3: the driver shows 3, numbered from 0', "set to '2,1,0', which")])
def test_what_stands_in_the_way_and_what_to_do(driver, i, hidden, words, remedy, monkeypatch):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if hidden is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', hidden)
    problem, do = gpu.why_no_gpu(i, driver)
    assert words in problem and remedy in do


def test_without_a_driver_given_the_one_here_is_asked(monkeypatch):
    monkeypatch.setattr(gpu, 'ask_driver', lambda: gpu.Driver((11, 0), CARDS))
    assert gpu.why_no_gpu() is None and gpu.why_no_gpu(2) is None and gpu.why_no_gpu(3) is not None


@pytest.fixture
def place(monkeypatch, tmp_path):
    """Where packages are installed; three small ones can be had."""
    packages = tmp_path / 'packages'
    packages.mkdir()
    monkeypatch.setattr(gpu, 'REQUIREMENTS', 'mxnet-cu112==1 --hash=a\nnvidia-one==2 --hash=b\nnvidia-two==3 --hash=c'
                                             '\n')
    monkeypatch.setattr(gpu.sysconfig, 'get_path', lambda name: str(packages))
    monkeypatch.setattr(gpu.platform, 'machine', lambda: 'x86_64')
    monkeypatch.setattr(gpu, 'ask_driver', lambda: gpu.Driver((12, 4), CARDS))
    monkeypatch.setattr(sys, 'meta_path', [*sys.meta_path])
    monkeypatch.setattr(sys, 'path', [*sys.path, str(packages)])
    monkeypatch.setattr(gpu, '_install_one', install)
    yield packages
    sys.modules.pop('d2l_densenet_gpu', None)


def install(line, target, temporary):
    assert temporary.is_dir()
    name = line.partition('==')[0]
    folder = 'mxnet' if name.startswith('mxnet') else f'nvidia/{name}/lib'
    (target / folder).mkdir(parents=True)
    (target / folder / f'lib{name}.so.1').write_text(line)


def there(place):
    return {path.relative_to(place).as_posix() for path in place.rglob('*')
            if path.is_file() and '__pycache__' not in path.parts}


INSTALLED = {'d2l-densenet-gpu/requirements.txt', 'd2l_densenet_gpu.py', 'd2l_densenet_gpu.pth', *(
    f'd2l-densenet-gpu/mxnet/lib{name}.so.1' for name in ('mxnet-cu112', 'nvidia-one', 'nvidia-two'))}


def test_what_is_installed_is_there_once_and_goes_again(place, capsys):
    (place / 'of others').write_text('')
    assert gpu.install_gpu() is True
    assert there(place) == {'of others', *INSTALLED}
    assert (place / 'd2l_densenet_gpu.pth').read_text() == 'import d2l_densenet_gpu\n'
    assert capsys.readouterr().out == '1 of 3: mxnet-cu112==1\n2 of 3: nvidia-one==2\n3 of 3: nvidia-two==3\n'
    assert gpu.install_gpu() is False and not capsys.readouterr().out
    before = [*sys.path]
    sys.path.insert(0, os.path.join(str(place), 'd2l-densenet-gpu'))  # as the finder does
    assert gpu.remove_gpu() is True
    assert there(place) == {'of others'} and sys.path == before
    assert gpu.remove_gpu() is False


def test_an_installation_goes_on_where_it_failed(place, monkeypatch, capsys):
    def failing(line, target, temporary):
        if line.startswith('nvidia-two'):
            raise RuntimeError('no network')
        install(line, target, temporary)

    monkeypatch.setattr(gpu, '_install_one', failing)
    with pytest.raises(RuntimeError, match='no network'):
        gpu.install_gpu()
    assert not {name for name in there(place) if not name.startswith('.')}
    monkeypatch.setattr(gpu, '_install_one', install)
    monkeypatch.setattr(gpu.shutil, 'disk_usage', lambda place: types.SimpleNamespace(free=0))  # most is there
    capsys.readouterr()
    assert gpu.install_gpu() is True and there(place) == INSTALLED
    assert capsys.readouterr().out == '3 of 3: nvidia-two==3\n'


@pytest.mark.parametrize('free, enough', [(4.5e9, True), (4.2e9, False), (4.5e9 - 1, False)])
def test_the_disk_must_have_room(free, enough, place, monkeypatch):
    monkeypatch.setattr(gpu.shutil, 'disk_usage', lambda place: types.SimpleNamespace(free=free))
    if enough:
        assert gpu.install_gpu()
    else:
        with pytest.raises(OSError, match=f'{free / 1e9:.1f} GB free, and 4.5 GB are needed'):
            gpu.install_gpu()
        assert not there(place)


def test_where_no_card_can_use_it_nothing_is_installed_unless_one_insists(place, monkeypatch):
    monkeypatch.setattr(gpu, 'ask_driver', lambda: gpu.Driver((12, 4), (('NVIDIA H100', (9, 0)),)))
    with pytest.raises(RuntimeError, match=r'capability 9\.0, .*; use the CPU.* Nothing was installed$'):
        gpu.install_gpu()
    assert not there(place)
    assert gpu.install_gpu(anyway=True) and there(place) == INSTALLED


@pytest.mark.parametrize('system, machine', [('linux', 'aarch64'), ('darwin', 'x86_64'), ('win32', 'AMD64')])
def test_other_machines_have_no_such_wheel(system, machine, place, monkeypatch):
    monkeypatch.setattr(sys, 'platform', system)
    monkeypatch.setattr(gpu.platform, 'machine', lambda: machine)
    with pytest.raises(RuntimeError, match=f'Linux on x86-64 only, and this is {system} on {machine}: use the CPU'):
        gpu.install_gpu(anyway=True)
    assert not there(place)
