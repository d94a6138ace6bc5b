"""A training run on disk: parameters, history, curve and configuration in one directory."""

import json
import os
import pathlib
import platform
import sys

import mxnet as mx
import numpy

from ._atomic import replace_file
from .networks import from_config
from .training import History

__all__ = ['RunError', 'load_run', 'machine', 'save_run', 'versions', 'write_atomically']


class RunError(ValueError):
    """A run directory that cannot be read or written."""


def versions():
    """Versions that a result depends on, name to text."""
    return {'python': platform.python_version(), 'numpy': numpy.__version__, 'mxnet': mx.__version__}


def machine():
    """What computed a result: processor, cores, threads, system."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
        cpu = next(line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return {'cpu': cpu, 'cores': cores, 'omp_threads': os.environ.get('OMP_NUM_THREADS', 'unset'),
            'system': f'{platform.system()} {platform.machine()}'}


def write_atomically(path, content):
    """Write text or bytes so that `path` holds the old content or the new one, never a part."""
    path = pathlib.Path(path)
    content = content.encode() if isinstance(content, str) else content
    try:
        replace_file(path, content)
    except OSError as error:
        raise RunError(f'cannot write {path}: {error.strerror or error}; choose another --output or free the '
                       'space') from error


def save_run(directory, net, history, config):
    """Write model.params, history.json and config.json to `directory`, each whole or not at all."""
    directory = pathlib.Path(directory)
    temporary = directory / f'.model.params.{os.getpid()}.tmp'
    try:
        net.save_parameters(str(temporary))
        os.replace(temporary, directory / 'model.params')
    except (OSError, mx.base.MXNetError) as error:
        temporary.unlink(missing_ok=True)
        reason = str(error).strip().splitlines()[-1]
        raise RunError(f'cannot write {directory / "model.params"}: {reason}; free some space') from error
    write_atomically(directory / 'history.json', history.to_json() + '\n')
    write_atomically(directory / 'config.json', json.dumps(config, indent=1) + '\n')


def read_config(directory):
    """The settings in `directory`/config.json; RunError if there are none."""
    path = pathlib.Path(directory) / 'config.json'
    try:
        config = json.loads(path.read_text())
        if not isinstance(config, dict):
            raise ValueError('it is no object')
    except OSError as error:
        raise RunError(f'{path} cannot be read ({error.strerror}): give the directory that "d2l-densenet train" '
                       'wrote') from error
    except ValueError as error:
        raise RunError(f'{path} is damaged: {error}') from error
    return config


def load_run(directory, ctx=None):
    """Read what `save_run` wrote.

    Parameters
    ----------
    directory : str or pathlib.Path
    ctx : mxnet.Context, optional
        Device for the parameters; default ``mx.cpu()``.

    Returns
    -------
    net : DenseNet
    history : History
    config : dict

    Raises
    ------
    RunError
        If a file is missing or is not what it should be.
    """
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        raise RunError(f'{directory} is not a directory; give the one that "d2l-densenet train" wrote')
    try:
        config = json.loads((directory / 'config.json').read_text())
        history = History.from_json((directory / 'history.json').read_text())
        net = from_config(config['network'])
    except FileNotFoundError as error:
        raise RunError(f'{error.filename} is missing: {directory} does not hold a finished epoch') from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f'the run in {directory} cannot be read: {type(error).__name__}: {error}') from error
    params = directory / 'model.params'
    if not params.is_file():
        raise RunError(f'{params} is missing: the run cannot be used without its parameters')
    try:
        net.load_parameters(str(params), ctx=ctx or mx.cpu())
    except (AssertionError, ValueError, mx.base.MXNetError) as error:
        text = str(error).strip().splitlines()[-1]
        raise RunError(f'{params} does not fit the network in config.json: {text}') from error
    return net, history, config


def command():
    """The command line that runs, for a record."""
    return ' '.join(['d2l-densenet', *sys.argv[1:]])
