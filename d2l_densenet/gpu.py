"""MXNet for NVIDIA GPUs: what the driver says, and ``d2l-densenet gpu``, which installs what a GPU needs.

The wheel ``mxnet-cu112`` and the CUDA 11 libraries go into a directory of their own, ``d2l-densenet-gpu`` among the
installed packages, and ``import mxnet`` looks there first, where there is a driver (_gpu_finder.py). So the wheel for
the CPU stays, and so do libraries of PyTorch that have the same file names (NCCL for one). MXNet's library looks for
others beside itself, so that is where NVIDIA's are moved: no CUDA installation, no LD_LIBRARY_PATH.

This module imports the standard library alone, and no MXNet: it is needed where MXNet cannot be imported.
"""

import ctypes
import importlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import sysconfig
from importlib import util
from typing import NamedTuple

__all__ = ['Driver', 'ask_driver', 'why_no_gpu', 'gpu_wheel', 'install_gpu', 'remove_gpu']

#: What `install_gpu` installs. The versions belong together: the last CUDA 11, and the libraries that MXNet links to.
REQUIREMENTS = """\
mxnet-cu112==1.9.1 --hash=sha256:70137a60eef49241b1137231bbd6bdeedbb0eca83e136f864ead36998814bfe5
nvidia-cublas-cu11==11.11.3.6 --hash=sha256:60252822adea5d0b10cd990a7dc7bedf7435f30ae40083c7a624a85a43225abc
nvidia-cuda-nvrtc-cu11==11.8.89 --hash=sha256:a8d02f3cba345be56b1ffc3e74d8f61f02bb758dd31b0f20e12277a5a244f756
nvidia-cuda-runtime-cu11==11.8.89 --hash=sha256:92d04069a987e1fbc9213f8376d265df0f7bb42617d44f5eda1f496acea7f2d1
nvidia-cudnn-cu11==8.9.6.50 --hash=sha256:319a8f7ca3d65139f1b69998595c7076ae0e4271a325e5dfde50a3ca31f55584
nvidia-cufft-cu11==10.9.0.58 --hash=sha256:e21037259995243cc370dd63c430d77ae9280bedb68d5b5a18226bfc92e5d748
nvidia-curand-cu11==10.3.0.86 --hash=sha256:cd4cffbf78bb06580206b4814d5dc696d1161c902aae37b2bba00056832379e6
nvidia-cusolver-cu11==11.4.1.48 --hash=sha256:ea9fb1ad8c644ca9ed55af13cc39af3b7ba4c3eb5aef18471fe1fe77d94383cb
nvidia-nccl-cu11==2.21.5 --hash=sha256:49d8350629c7888701d1fd200934942671cb5c728f49acc5a0b3a768820bed29
nvidia-nvtx-cu11==11.8.86 --hash=sha256:979f5b2aef5da164c5c53c64c85c3dfa61b8b4704f4f963bb568bf98fa8472e8
"""
# The packages, and the largest of them once more as a wheel; pip's cache takes another 2.1 GB, perhaps elsewhere.
_DISK = 4.5e9
# CUDA 11 runs with every driver from the first that knew it. A driver tells the version as 1000 * major + 10 * minor.
_OLDEST = (11, 0)
# The wheels mxnet-cu110, -cu112 and -cu117 hold code for compute capability 5.0, 6.0, 7.0 and 8.0 (the last two for
# 8.6 too), and no PTX, which a driver could translate for later cards: read from the binaries. Code for x.y runs on
# x.z with z >= y.
_FIRST, _LAST = 5, 8
_ATTRIBUTES = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


class Driver(NamedTuple):
    """What NVIDIA's driver says."""

    version: tuple = ()
    """The newest CUDA that it runs, such as ``(12, 4)``; empty without a driver."""
    cards: tuple = ()
    """Name and compute capability of each card that this process may use: ``(('Tesla T4', (7, 5)),)``."""
    error: str = ''
    """Why it could not be asked, if so."""


def ask_driver():
    """What NVIDIA's driver says of its version and its cards; without a driver the `Driver` is empty."""
    try:
        cuda = ctypes.CDLL('libcuda.so.1')
        version = ctypes.c_int()
        cuda.cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return Driver(error='libcuda.so.1 cannot be loaded')
    version = version.value // 1000, version.value % 1000 // 10
    try:
        return Driver(version, tuple(_cards(cuda)))
    except (RuntimeError, AttributeError) as error:
        return Driver(version, error=str(error))


def _cards(cuda):
    def call(name, *arguments):
        status = getattr(cuda, name)(*arguments)
        if status == 100:  # CUDA_ERROR_NO_DEVICE
            return False
        if status:
            text = ctypes.c_char_p()
            cuda.cuGetErrorString(status, ctypes.byref(text))
            raise RuntimeError(f'{name}: error {status}, {(text.value or b"unknown").decode(errors="replace")}')
        return True

    count, device, number = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if not call('cuInit', 0):
        return
    call('cuDeviceGetCount', ctypes.byref(count))
    for i in range(count.value):
        call('cuDeviceGet', ctypes.byref(device), i)
        name = ctypes.create_string_buffer(256)
        call('cuDeviceGetName', name, len(name), device)
        capability = []
        for attribute in _ATTRIBUTES:
            call('cuDeviceGetAttribute', ctypes.byref(number), attribute, device)
            capability.append(number.value)
        yield name.value.decode(errors='replace'), tuple(capability)


def why_no_gpu(i=0, driver=None):
    """Why MXNet's wheels cannot use GPU number `i`, and what to do, from what the driver says; None if they can."""
    driver = ask_driver() if driver is None else driver
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES')
    if not driver.version:
        return (f'there is no NVIDIA driver ({driver.error})',
                'use the CPU; if there is an NVIDIA card, install its driver (a container needs `--gpus all`, WSL 2 '
                'the driver of Windows)')
    if driver.version < _OLDEST:
        return (f"NVIDIA's driver is too old: it runs CUDA {_dotted(driver.version)}, and MXNet needs "
                f'{_dotted(_OLDEST)}', 'update the driver to 450.80.02 or later')
    if driver.error:
        return (f"NVIDIA's driver is there but does not work ({driver.error})",
                'see whether nvidia-smi works; after an update of the driver, restart the machine')
    if i >= len(driver.cards):
        seen = f'there is no GPU {i}: the driver shows {len(driver.cards)}, numbered from 0'
        return (seen if driver.cards else 'the driver shows no card',
                f'CUDA_VISIBLE_DEVICES is set to {hidden!r}, which hides cards: unset it, or use the CPU'
                if hidden is not None else 'nvidia-smi lists the cards of the system; without one use the CPU')
    name, capability = driver.cards[i]
    if not _FIRST <= capability[0] <= _LAST:
        return (f'GPU {i} ({name}) has compute capability {_dotted(capability)}, and the wheels of MXNet 1.9.1 hold '
                f'code for {_FIRST}.0 to {_LAST}.9 (Maxwell to Ada)',
                'use the CPU' + ('' if capability[0] < _FIRST else
                                 '; for Hopper and Blackwell there is a fork with another API, smolix/mxnet 2.0.0'))
    return None


def _dotted(version):
    return '.'.join(map(str, version))


def gpu_wheel():
    """The wheel for GPUs that `import mxnet` takes here, such as ``'mxnet-cu112 1.9.1'``, or None."""
    spec = util.find_spec('mxnet')
    place = pathlib.Path(spec.origin).parent.parent if spec and spec.origin else None
    found = sorted(place.glob('mxnet_cu*.dist-info')) if place else []
    return ' '.join(found[0].stem.split('-')).replace('_', '-') if found else None


def _places():
    """Where the packages for GPUs are, the two files that have them found, and where they are while unfinished."""
    packages = pathlib.Path(sysconfig.get_path('purelib'))
    return (packages / 'd2l-densenet-gpu', packages / 'd2l_densenet_gpu.py', packages / 'd2l_densenet_gpu.pth',
            packages / '.d2l-densenet-gpu')


def install_gpu(anyway=False):
    """Install MXNet for GPUs, and the CUDA 11 libraries, beside what is there: 2.1 GB to download, 3.6 GB on disk.

    It is done once: where all is there nothing happens. After an interruption the next call goes on with the package
    that was not finished; until all are there, nothing is changed for anybody. In this process, ``import mxnet`` takes
    the new wheel if MXNet had not been imported before; else restart it (in a notebook: the kernel).

    Parameters
    ----------
    anyway : bool, default False
        Install where no card could use it too: on the machine that sets up an environment for others.

    Returns
    -------
    bool
        Whether something was installed now.

    Raises
    ------
    RuntimeError
        If no card here can use it, this system has no such wheel, or pip fails; the message says what to do.
    OSError
        If it cannot be written, or the disk has too little space.

    Examples
    --------
    >>> install_gpu()  # doctest: +SKIP
    """
    if (sys.platform, platform.machine()) != ('linux', 'x86_64'):
        raise RuntimeError(f'MXNet has wheels for GPUs for Linux on x86-64 only, and this is {sys.platform} on '
                           f'{platform.machine()}: use the CPU')
    problem = None if anyway else why_no_gpu()
    if problem:
        raise RuntimeError('; '.join(problem) + '. Nothing was installed')
    place, finder, path_file, unfinished = _places()
    installed = _read(place / 'requirements.txt') == REQUIREMENTS
    if not installed:
        _download(place, unfinished)
    shutil.copyfile(pathlib.Path(__file__).with_name('_gpu_finder.py'), finder)
    path_file.write_text(f'import {finder.stem}\n')
    importlib.invalidate_caches()
    importlib.import_module(finder.stem)
    return not installed


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return None


def _download(place, unfinished):
    import fcntl  # not on Windows, where the doctor imports this module too

    try:
        unfinished.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f'{unfinished.parent} cannot be written ({error.strerror}): use an environment of your own, '
                      'python3 -m venv') from None
    lock = os.open(unfinished, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise RuntimeError(f'another process is installing into {unfinished}: wait for it') from None
    new, one, temporary = (unfinished / name for name in ('new', 'one', 'tmp'))
    done = _read(new / 'requirements.txt') or ''
    try:
        for left in (one, temporary) if done and REQUIREMENTS.startswith(done) else (one, temporary, new):
            shutil.rmtree(left, ignore_errors=True)  # of an installation that was killed, or of other versions
        new.mkdir(exist_ok=True)
        done = _read(new / 'requirements.txt') or ''
        free = shutil.disk_usage(unfinished).free
        if not done and free < _DISK:
            raise OSError(f'{unfinished.parent} has {free / 1e9:.1f} GB free, and {_DISK / 1e9:.1f} GB are needed')
        lines = REQUIREMENTS.splitlines(keepends=True)
        for number in range(done.count('\n'), len(lines)):
            print(f'{number + 1} of {len(lines)}: {lines[number].split()[0]}', flush=True)
            temporary.mkdir()
            _install_one(lines[number], one, temporary)
            _take_over(one, new)
            with open(new / 'requirements.txt', 'a') as file:
                file.write(lines[number])
            shutil.rmtree(temporary)
        if place.exists():
            shutil.rmtree(place)
        new.rename(place)
        unfinished.rmdir()
    finally:
        for left in (one, temporary):
            shutil.rmtree(left, ignore_errors=True)
        os.close(lock)


def _install_one(line, target, temporary):
    requirement = temporary / 'requirement.txt'
    requirement.write_text(line)
    # TMPDIR: pip unpacks there and moves to the target, and /tmp may be small.
    environment = {**os.environ, 'TMPDIR': str(temporary), 'PIP_USER': '0', 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}
    uv = not util.find_spec('pip') and shutil.which('uv')  # which makes environments without pip
    install = ['uv', 'pip', 'install', '--python', sys.executable] if uv else [sys.executable, '-m', 'pip', 'install']
    if subprocess.run([*install, '--no-deps', '--require-hashes', '--target', str(target), '-r', str(requirement)],
                      env=environment).returncode:
        raise RuntimeError('it could not be installed (the message is above). Run this again to go on from here')


def _take_over(one, new):
    """Move what was installed to `one` into `new`, NVIDIA's libraries to the place where MXNet's looks for them."""
    for library in one.glob('nvidia/*/lib/*.so*'):
        library.rename(new / 'mxnet' / library.name)
    # Left behind: headers, and packages that would hide others of the name nvidia.
    shutil.rmtree(one / 'nvidia', ignore_errors=True)
    for entry in one.iterdir():
        if (new / entry.name).is_dir():  # moved by an installation that was killed right then
            shutil.rmtree(new / entry.name)
        entry.rename(new / entry.name)
    one.rmdir()


def remove_gpu():
    """Remove what `install_gpu` has installed, so that ``import mxnet`` takes the CPU's wheel; False if nothing was."""
    place, *_ = places = _places()
    there = [path for path in places if path.exists()]
    for path in there:
        path.unlink() if path.is_file() else shutil.rmtree(path)
    sys.path[:] = [entry for entry in sys.path if entry != str(place)]
    importlib.invalidate_caches()
    return bool(there)
