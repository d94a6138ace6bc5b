"""A training run on disk: parameters, history, curve and configuration in one directory."""

import contextlib
import json
import os
import pathlib
import platform

import mxnet as mx
import numpy

import mxnet_compat

from .._common.arguments import gluon_block, positive_int, show
from .._common.disk import a_path, read_json, replace_file
from .._common.messages import last_line
from ..execution.block import Block
from ..history import History
from ..named import describes, from_config, rounding_for

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
    threads = os.environ.get('OMP_NUM_THREADS') or str(mxnet_compat.cores() or 'unset')
    return {'cpu': cpu, 'cores': cores, 'omp_threads': threads,
            'system': f'{platform.system()} {platform.machine()}'}


def write_atomically(path, content):
    """Write text or bytes so that `path` holds the old content or the new one, never a part."""
    path = pathlib.Path(a_path('path', path))
    content = content.encode() if isinstance(content, str) else content
    if not isinstance(content, bytes):
        raise TypeError(f'content must be text or bytes, got {show(content)}')
    if not path.name:
        raise RunError(f'cannot write {path}: it is a directory; give the path of a file')
    try:
        replace_file(path, content)
    except OSError as error:
        raise RunError(f'cannot write {path}: {error.strerror or error}; choose another --output or free the '
                       'space') from error


def save_run(directory, net, history, config):
    """Write model.params, history.json and config.json to `directory`, each whole or not at all."""
    directory = pathlib.Path(a_path('directory', directory))
    if not isinstance(history, History):
        raise TypeError(f'history must be a History, as fit returns it, got {show(history)}')
    network = config.get('network') if isinstance(config, dict) else None
    try:
        config = json.dumps(config, indent=1)
    except (TypeError, ValueError) as error:
        raise TypeError(f'config must hold what JSON can: {error}') from None
    temporary = directory / f'.model.params.{os.getpid()}.tmp'
    gluon_block('net', net)
    if network is not None and isinstance(net, Block) and not describes(network, net):
        raise RunError('net was changed: its layers are not those of config["network"], from which load_run builds it '
                       'again. Write it by net.save_parameters(FILE), or by export_model')
    try:
        temporary.unlink(missing_ok=True)  # MXNet would follow a link that a stranger has put there
        net.save_parameters(str(temporary))
        os.replace(temporary, directory / 'model.params')
    except (OSError, mx.base.MXNetError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RunError(f'cannot write {directory / "model.params"}: {last_line(error)}; free some space') from error
    write_atomically(directory / 'history.json', history.to_json() + '\n')
    write_atomically(directory / 'config.json', config + '\n')


def read_config(directory):
    """The settings in `directory`/config.json; RunError if there are none."""
    path = pathlib.Path(a_path('directory', directory)) / 'config.json'
    try:
        config = read_json(path)
        check_config(config)
    except OSError as error:
        raise RunError(f'{path} cannot be read ({error.strerror}): give the directory that "d2l-densenet train" '
                       'wrote') from error
    except ValueError as error:
        raise RunError(f'{path} is damaged: {error}') from error
    return config


# What a run may claim: its config.json may be a stranger's, and a size or batch that no machine has room for is a trap.
_MOST_PIXELS, _MOST_SIZE = 2 ** 28, 4096
# In model.params, the fewest bytes of a convolution block: five arrays and their names.
_BYTES_A_BLOCK = 200


def check_config(config):
    """ValueError unless `config` has, as far as it has them, settings of the type and range that `train` writes."""
    if not isinstance(config, dict):
        raise ValueError('it is no object')
    for name, least, most in (('size', 1, _MOST_SIZE), ('batch_size', 1, _MOST_PIXELS), ('epochs', 1, 2 ** 31 - 1),
                              ('seed', 0, 2 ** 32 - 1), ('limit', 1, 2 ** 31 - 1), ('validation', 0, 2 ** 31 - 1)):
        if name in config and (name != 'limit' or config[name] is not None):
            positive_int(name, config[name], least, most)
    if config.get('batch_size', 1) * config.get('size', 1) ** 2 > _MOST_PIXELS:
        raise ValueError(f'batches of {config["batch_size"]:,} images of {config["size"]:,} pixels square take too '
                         f'much memory, at most {_MOST_PIXELS:,} pixels are expected')
    data = config.get('data', {'name': '', 'checksum': ''})
    if not isinstance(data, dict) or {'name', 'checksum'} - data.keys():
        raise ValueError(f'data must be an object with name and checksum, got {show(data)}')
    for name, value in (*config.items(), *data.items()):
        if name in ('network_name', 'recipe', 'data_option', 'name', 'checksum') and not (
                isinstance(value, str) and value.isprintable() and len(value) <= 200):
            raise ValueError(f'{name} must be a short text, got {show(value)}')


def load_run(directory, ctx=None):
    """The network (on `ctx`, default ``mx.cpu()``), the History and the config that `save_run` wrote to `directory`.

    RunError if a file is missing or is not what it should be.
    """
    directory = pathlib.Path(a_path('directory', directory))
    if not directory.is_dir():
        raise RunError(f'{directory} is not a directory; give the one that "d2l-densenet train" wrote')
    params = directory / 'model.params'
    try:
        config = read_json(directory / 'config.json')
        check_config(config)
        history = History.from_dict(read_json(directory / 'history.json'))
        if not isinstance(config.get('network'), dict):
            raise ValueError(f'network must be an object with the arguments of DenseNet, got '
                             f'{show(config.get("network"))}')
        blocks = config['network'].get('block_config', [])
        count = sum(positive_int('each entry of block_config', count) for count in blocks)
        if params.is_file() and count * _BYTES_A_BLOCK > params.stat().st_size:
            raise RunError(f'{params} does not fit the network in config.json: {params.stat().st_size:,} bytes hold no '
                           f'{count:,} convolution blocks')
        net = from_config(config['network'])
        if 'size' in config and not config['network'].keys() & {'name', 'pooling_convention'}:
            # A run from before there was this argument: its network rounded as its images needed it.
            net = rounding_for(net, (config['size'], config['size']))
            config['network'] = net.config
    except FileNotFoundError as error:
        raise RunError(f'{error.filename} is missing: {directory} does not hold a finished epoch') from None
    except RunError:
        raise
    except (OSError, ValueError, KeyError, TypeError, OverflowError, mx.base.MXNetError) as error:
        raise RunError(f'the run in {directory} cannot be read: {type(error).__name__}: {last_line(error)}') from error
    if not params.is_file():
        raise RunError(f'{params} is missing: the run cannot be used without its parameters')
    try:
        net.load_parameters(str(params), ctx=ctx or mx.cpu())
    except (AssertionError, ValueError, OSError, mx.base.MXNetError) as error:
        raise RunError(f'{params} does not fit the network in config.json: {last_line(error)}') from error
    return net, history, config
