"""What is installed, what is missing and what to do: ``python -m d2l_densenet doctor``.

This module imports nothing at its top but the standard library, and runs as a file too: it is needed most where
MXNet, or the package, cannot be imported.
"""

import ctypes
import importlib
import os
import platform
import shlex
import shutil
import sys
import tempfile
from importlib import metadata
from typing import NamedTuple

__all__ = ['Check', 'run_checks', 'main']

# The last releases, and what they ask of others they do without: pip would look for a long time, or refuse.
_LAST = {'mxnet': '1.9.1', 'd2l': '1.0.3'}
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# File name: the packages of Debian and of Fedora that hold it.
_LIBRARIES = {'libgomp.so.1': ('libgomp1', 'libgomp'), 'libquadmath.so.0': ('libquadmath0', 'libquadmath')}
_MEGABYTE = 10**6


class Check(NamedTuple):
    """One line of the report. `remedy` is what to do if not `ok`; a check that is not `required` may fail."""

    name: str
    ok: bool
    detail: str
    remedy: str = ''
    required: bool = True


def run_checks():
    """Look at everything that the course needs: a list of Check, the most basic first. No check raises."""
    checks = [_python(), _libraries(), _numpy(), _mxnet()]
    checks += [_package(name) for name in ('matplotlib', 'tqdm', 'pooch', 'd2l', 'jupyterlab', 'ipykernel')]
    return [*checks, _ipython(), check_gpu(), _data(), _home(), _disk(), _project()]


def main(checks=None):
    """Print the checks (default: all), one per line, and what to do about those that fail; returns the exit status."""
    whole = checks is None
    checks = run_checks() if whole else checks
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        print(f'{"ok" if check.ok else "--"}  {check.name:<{width}}  ' + check.detail.replace('\n', '\n' + ' ' * 6))
        if not check.ok:
            print(f'    {"":<{width}}  {"do" if check.required else "optional"}: {check.remedy}')
    missing = [check.name for check in checks if check.required and not check.ok]
    if missing or whole:
        print(f'Missing: {", ".join(missing)}.' if missing else 'All that the course needs is here.', flush=True)
    return 1 if missing else 0


def _install(*names):
    """What to type for the packages `names`, in the way that this Python was set up."""
    exact = [f'{name}=={_LAST[name]}' for name in names if name in _LAST]
    others = [name for name in names if name not in _LAST]
    pip = '%pip' if 'google.colab' in sys.modules else f'{shlex.quote(sys.executable or "python3")} -m pip'
    commands = [f'{pip} install --no-deps {" ".join(exact)}'] * bool(exact)
    commands += [f'{pip} install {" ".join(others)}'] * bool(others)
    if 'google.colab' in sys.modules:
        return ', '.join(commands) + ', then restart the runtime'
    if os.path.isfile(os.path.join(_ROOT, 'tools', 'make-env')):
        if os.path.isdir(os.path.join(sys.prefix, 'conda-meta')):
            return f'{pip} install --no-deps --require-hashes -r requirements.lock, in {_ROOT}'
        if sys.prefix == sys.base_prefix or os.path.realpath(sys.prefix) == os.path.realpath(f'{_ROOT}/.venv'):
            return f'make env, in {_ROOT}'
    return ' and '.join(commands)


def _python():
    detail = f'{platform.python_version()}, {sys.executable}'
    return Check('Python', (3, 10) <= sys.version_info[:2] <= (3, 14), detail,
                 'use Python 3.10 to 3.14 (make env, in a checkout, looks for one)')


def _libraries():
    if sys.platform != 'linux':
        return Check('system libraries', True, 'nothing is known to be needed on this system')
    # libquadmath exists for x86 only; the arm64 wheel does without.
    wanted = [name for name in _LIBRARIES if 'quadmath' not in name or platform.machine() in ('x86_64', 'AMD64')]
    missing = [name for name in wanted if not _loads(name)]
    debian, fedora = (' '.join(_LIBRARIES[name][i] for name in missing) for i in (0, 1))
    return Check('system libraries', not missing, f'no {", no ".join(missing)}' if missing else ', '.join(wanted),
                 f'sudo apt install {debian} (Debian, Ubuntu) or sudo dnf install {fedora} (Fedora)')


def _loads(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _package(name):
    version = _version(name)
    # Where the notebook runs already, in Colab or another program, nobody needs JupyterLab.
    ipython = sys.modules.get('IPython')
    required = name != 'jupyterlab' or ipython is None or ipython.get_ipython() is None
    return Check(name, version is not None, version or 'not installed', _install(name), required)


def _numpy():
    try:
        version = importlib.import_module('numpy').__version__
    except Exception as error:
        return Check('numpy', False, _tell(error), _install('numpy'))
    return Check('numpy', tuple(map(int, version.split('.')[:2])) < (1, 24) or _mended(), version,
                 'import d2l_densenet before mxnet: by itself `import mxnet` fails with numpy 1.24 and later')


def _mended():
    """Whether what `import mxnet` lacks on newer libraries is lent to it here."""
    try:
        importlib.import_module('d2l_densenet')
    except Exception:
        return False
    return any(type(finder).__module__ == 'mxnet_compat' for finder in sys.meta_path)


def _mxnet():
    try:
        mx = importlib.import_module('mxnet')
        enabled = [feature.name for feature in mx.runtime.feature_list() if feature.enabled]
        if mx.nd.ones((2, 3)).sum().asscalar() != 6:
            return Check('mxnet', False, f'{mx.__version__}, and a sum comes out wrong', _install('mxnet'))
    except Exception as error:
        return Check('mxnet', False, f'cannot be imported: {_tell(error)}', _mxnet_remedy(error))
    return Check('mxnet', mx.__version__.startswith('1.9.'), f'{mx.__version__} with {", ".join(enabled)}',
                 f'the course needs mxnet 1.9.1: {_install("mxnet")}')


def _mxnet_remedy(error):
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        return _install((error.name or 'mxnet').partition('.')[0])
    if 'has no attribute' in text and 'numpy' in text:
        return 'import d2l_densenet before mxnet'
    if 'libcuda.so' in text:
        return f"this is a wheel for GPUs: install NVIDIA's driver, or the wheel for the CPU: {_install('mxnet')}"
    if 'libcu' in text or 'libnccl' in text or 'libnv' in text:
        return 'this is a wheel for GPUs, and libraries of CUDA are missing: d2l-densenet gpu installs one with them'
    if 'libgomp' in text or 'libquadmath' in text:
        return 'install the system libraries, above'
    return f'fix what is named above first, then: {_install("mxnet")}'


def _ipython():
    version = _version('ipython')
    newer = tuple(map(int, (_version('matplotlib') or '0.0').split('.')[:2])) > (3, 7)
    fits = version is not None and (newer or int(version.split('.')[0]) < 9)
    return Check('IPython', fits, version or 'not installed',
                 'pip install "ipython<9": matplotlib 3.7.2 draws nothing with newer ones' if version else
                 _install('ipython'))


def check_gpu():
    """What the driver says, which wheel is here, and whether the first GPU works."""
    try:
        from d2l_densenet import gpu
        driver, wheel = gpu.ask_driver(), gpu.gpu_wheel()
    except Exception as error:
        return Check('GPU', False, f'not asked: {_tell(error)}', 'fix what is named above first', required=False)
    try:
        from d2l_densenet import devices
        failure = devices.why_not_gpu(0)
    except Exception as error:
        failure = f'not tried: {_tell(error)}'
    detail, remedy = gpu.why_no_gpu(0, driver) or (
        failure, 'see docs/gpu.md' if wheel else 'd2l-densenet gpu (2.1 GB), or make env GPU=1 in a checkout')
    lines = [f'GPU {i}: {name}, compute capability {major}.{minor}'
             for i, (name, (major, minor)) in enumerate(driver.cards)]
    if driver.version:
        lines.append('the driver runs CUDA up to {}.{}; MXNet: {}'.format(*driver.version, wheel or 'the CPU wheel'))
    if wheel and '+cpu' not in (_version('torch') or '+cpu'):
        lines.append('in one program, import torch before mxnet: both load a library NCCL, and that of mxnet is older')
    return Check('GPU', failure is None, '\n'.join([detail if failure else 'GPU 0 has run a convolution', *lines]),
                 remedy, required=False)


def _data():
    named = os.environ.get('D2L_DENSENET_DATA')
    try:
        from d2l_densenet.data import official
        place = named or official.cache_directory()
        if not named and not (os.path.isdir(place) and os.listdir(place)):
            return Check('data', False, f'Fashion-MNIST is not here yet (looked in {place})',
                         'the first training downloads it (30 MB); with no network it trains on a synthetic stand-in '
                         'and says so. Or set D2L_DENSENET_DATA to a directory with the four files'
                         if official.can_be_written(place) else
                         'nothing can be written there, so training uses a synthetic stand-in: set XDG_CACHE_HOME to a '
                         'directory of yours, or D2L_DENSENET_DATA to one with the four files', required=False)
        official.read_directory(place)
    except Exception as error:
        return Check('data', False, ('D2L_DENSENET_DATA: ' if named else '') + _tell(error),
                     'do what the message says' + (', or unset D2L_DENSENET_DATA' if named else
                                                   ', or let the next training download what is bad'), required=False)
    return Check('data', True, f'the official Fashion-MNIST, checksums right, in {place}', required=False)


def _home():
    home = os.path.expanduser('~')
    writable = os.access(home, os.W_OK | os.X_OK)
    return Check('home', writable, f'HOME ({home}) can{"" if writable else "not"} be written',
                 'set HOME to a directory of yours: Jupyter does not start without (`make lab` finds one by itself)',
                 required=False)


def _project():
    place = f'from {_ROOT}'
    try:
        about = metadata.metadata('d2l-densenet')
    except metadata.PackageNotFoundError:
        return Check('d2l-densenet', True, f'not installed, used {place}', required=False)
    addresses = about.get_all('Project-URL') or ['its address is not filled in (project.urls in pyproject.toml)']
    return Check('d2l-densenet', True, f'{about["Version"]} {place}; {"; ".join(addresses)}', required=False)


def _disk():
    place = os.getcwd()
    try:
        # Tried and not asked: permission bits say nothing about a read-only file system.
        with tempfile.TemporaryFile(dir=place):
            free = shutil.disk_usage(place).free
    except OSError as error:
        return Check('disk', False, f'{place} cannot be written ({error.strerror or error}), where runs/ goes',
                     'run from a directory of yours, or train with --output', required=False)
    return Check('disk', free >= 100 * _MEGABYTE, f'{free / 1e9:.1f} GB free in {place}, where runs/ goes',
                 'free some: a run takes about 4 MB, the data set 30 MB', required=False)


def _tell(error):
    """An exception in one line."""
    text = ' '.join(str(error).split())
    return text or type(error).__name__


if __name__ == '__main__':
    # Run as a file, Python looks for modules beside it first, where `data` or `files` mean this package's.
    sys.path[0] = _ROOT
    # tools/make-env asks for the libraries before it installs anything.
    sys.exit(main([check for check in [_libraries()] if not check.ok] if sys.argv[1:] == ['libraries'] else None))
