"""What is installed, what is missing and what to do: ``python -m d2l_densenet doctor``.

This module imports nothing at its top but the standard library, and runs as a file too: it is needed most where
MXNet, or the package, cannot be imported.
"""

import ctypes
import importlib
import os
import platform
import shutil
import sys
import tempfile
from importlib import metadata
from typing import NamedTuple

__all__ = ['Check', 'run_checks', 'main']

_INSTALL = ('make env (or: pip install -e ".[course]" in an environment with Python 3.10 to 3.13; from 3.12 on also '
            'pip install --no-deps mxnet==1.9.1 d2l==1.0.3)')
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
    """Look at everything that the course stands on.

    Returns
    -------
    list of Check
        In the order in which trouble should be mended. No check raises.
    """
    checks = [_python(), _libraries(), _numpy(), _mxnet()]
    checks += [_package(name) for name in ('matplotlib', 'tqdm', 'pooch', 'd2l', 'jupyterlab', 'ipykernel')]
    return [*checks, _ipython(), _gpu(), _data(), _disk()]


def main():
    """Print the checks, one a line, and what to do about those that fail.

    Returns
    -------
    int
        Exit status: 0 if everything that is required is there, else 1.
    """
    checks = run_checks()
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f'{"ok" if check.ok else "--"}  {check.name:<{width}}  ' + check.detail.replace('\n', '\n' + ' ' * 6))
        if not check.ok:
            print(f'    {"":<{width}}  {"do" if check.required else "optional"}: {check.remedy}')
    missing = [check.name for check in checks if check.required and not check.ok]
    print(f'Missing: {", ".join(missing)}.' if missing else 'All that the course needs is here.', flush=True)
    return 1 if missing else 0


def _python():
    detail = f'{platform.python_version()}, {sys.executable}'
    return Check('Python', (3, 10) <= sys.version_info[:2] <= (3, 13), detail,
                 'use Python 3.10 to 3.13 (make env looks for one)')


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
    return Check(name, version is not None, version or 'not installed', _INSTALL, required)


def _numpy():
    try:
        version = importlib.import_module('numpy').__version__
    except Exception as error:
        return Check('numpy', False, _tell(error), _INSTALL)
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
            return Check('mxnet', False, f'{mx.__version__}, and a sum comes out wrong', _INSTALL)
    except Exception as error:
        return Check('mxnet', False, f'cannot be imported: {_tell(error)}', _mxnet_remedy(error))
    return Check('mxnet', mx.__version__.startswith('1.9.'), f'{mx.__version__} with {", ".join(enabled)}',
                 f'the course needs mxnet 1.9.1: {_INSTALL}')


def _mxnet_remedy(error):
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        return _INSTALL
    if 'has no attribute' in text and 'numpy' in text:
        return 'import d2l_densenet before mxnet, or pip install numpy==1.23.5'
    if 'libcuda' in text or 'libcu' in text or 'libnccl' in text:
        return ('this is a wheel for GPUs, and CUDA is not where it looks: install what the README lists for it, or '
                'the CPU wheel: pip install mxnet==1.9.1')
    if 'libgomp' in text or 'libquadmath' in text:
        return 'install the system libraries, above'
    return f'mend what stands above first, then: {_INSTALL}'


def _ipython():
    version = _version('ipython')
    newer = tuple(map(int, (_version('matplotlib') or '0.0').split('.')[:2])) > (3, 7)
    fits = version is not None and (newer or int(version.split('.')[0]) < 9)
    return Check('IPython', fits, version or 'not installed',
                 'pip install "ipython<9": matplotlib 3.7.2 draws nothing with newer ones' if version else _INSTALL)


def _gpu():
    try:
        from d2l_densenet.runs import devices
        problem = devices.why_not_gpu(0)
    except Exception as error:
        problem = f'not asked: {_tell(error)}'
    return Check('GPU', problem is None, problem or 'GPU 0 has run a convolution',
                 'the course runs on the CPU; the README says which MXNet fits which card', required=False)


def _data():
    named = os.environ.get('D2L_DENSENET_DATA')
    try:
        from d2l_densenet.data import official
        place = named or official.cache_directory()
        if not named and not (os.path.isdir(place) and os.listdir(place)):
            return Check('data', False, f'Fashion-MNIST is not here yet (looked in {place})',
                         'the first training downloads it (30 MB); with no network it trains on a synthetic stand-in '
                         'and says so. Or set D2L_DENSENET_DATA to a directory with the four files', required=False)
        official.read_directory(place)
    except Exception as error:
        return Check('data', False, ('D2L_DENSENET_DATA: ' if named else '') + _tell(error),
                     'do what the message says' + (', or unset D2L_DENSENET_DATA' if named else
                                                   ', or let the next training download what is bad'), required=False)
    return Check('data', True, f'the official Fashion-MNIST, checksums right, in {place}', required=False)


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
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main())
