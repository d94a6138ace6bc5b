"""What the commands that need MXNet do: ``d2l-densenet train``, ``evaluate``, ``export``, ``summary``, ``networks``."""

import datetime
import fcntl
import io
import itertools
import json
import os
import pathlib
import re
import shlex
import sys

import mxnet as mx

from ._common.arguments import one_of, switch
from ._common.disk import a_path
from ._common.shares import equal_share
from .analysis.counting import summary
from .analysis.published import network_table
from .data.loader import load_data_fashion_mnist
from .devices import try_gpu
from .evaluation import evaluate_accuracy
from .execution.mixed_precision import DTYPES
from .interop.checkpoints import load_pretrained, sizes_in
from .interop.export import FORMATS, export_model
from .interop.files import CheckpointError
from .named import he_initialize, named_network, published_shape
from .plots import plot_history
from .recipes import RECIPES
from .resnets import RESNETS
from .runs.directories import check_config, load_run, machine, read_config, save_run, versions, write_atomically
from .runs.workers import job_of, join
from .training import fit

#: Options that make a run what it is: where each stands in config.json.
SETTINGS = {'network': 'network_name', 'size': 'size', 'epochs': 'epochs', 'batch_size': 'batch_size',
            'recipe': 'recipe', 'data': 'data_option', 'seed': 'seed', 'limit': 'limit', 'validation': 'validation',
            'memory_efficient': 'memory_efficient', 'dtype': 'dtype'}

#: Those that earlier versions did not have, with what they did.
_FORMERLY = {'memory_efficient': False, 'dtype': 'float32'}


def train(options):
    """A network, data, a run directory and `fit`, as the options say; returns the exit status."""
    resumed = None
    if options.resume is not None:
        resumed = read_config(options.resume)
        take_settings(options, resumed)
    recipe = RECIPES[options.recipe]
    options.batch_size = options.batch_size or recipe.batch_size
    workers = None
    if options.kvstore == 'dist_sync':
        equal_share(options.batch_size, job_of().workers)
        workers = join()
    first = not workers or workers.rank == 0
    net, ctx = _network(options), device(options.device)
    _check_data(options)
    train_iter, test_iter = load_data_fashion_mnist(
        options.batch_size, resize=options.size, root=options.data_dir, data=options.data, seed=options.seed,
        limit=options.limit, validation=options.validation, **recipe.loader_options())
    if workers:
        train_iter = train_iter.part(workers.rank, workers.number)
    config = resumed or _config(options, net, ctx, train_iter.source, workers)
    check_config(config)
    source = {'name': train_iter.source.name, 'checksum': train_iter.source.checksum}
    begun = config.get('data', source)
    if any(begun[key] != source[key] for key in source):
        raise ValueError(f'the run in {options.resume} was begun on other images: {begun}, and these are '
                         f'{source}: give it its own by --data-dir, or start a new run')
    output = _directory(options) if first else pathlib.Path(options.resume or 'runs')
    _initialize(net, options, ctx)
    if first:
        _announce(options, ctx, train_iter, test_iter, workers, output)
        # Now, so that a run that is killed before its first epoch ends can be resumed too.
        write_atomically(output / 'config.json', json.dumps(config, indent=1) + '\n')
    history = fit(net, train_iter, test_iter, options.epochs, ctx=ctx, seed=options.seed,
                  on_epoch=lambda history: save_run(output, net, history, config),
                  checkpoint_dir=output / 'checkpoints', checkpoint_seconds=options.checkpoint_seconds,
                  resume=resumed is not None, kvstore=options.kvstore, dtype=options.dtype,
                  data_on_device=options.data_on_device, **recipe.fit_options(options.epochs * len(train_iter)))
    if first:
        _write_results(output, net, history, config)
    return 0 if not history.stopped else 143 if 'SIGTERM' in history.stopped else 130


def _check_data(options):
    if options.data == 'synthetic' and options.data_dir is not None:
        raise ValueError('--data-dir names a directory with files, and --data synthetic reads none: leave one out')


def device(name):
    """The device that --device names; ValueError if a GPU is asked for by name and cannot be used."""
    if name == 'cpu':
        return mx.cpu()
    ctx = try_gpu(int(name.partition(':')[2] or 0))
    if name != 'auto' and ctx.device_type != 'gpu':
        raise ValueError(f'--device {name} cannot be used (the line above says why); use --device cpu')
    return ctx


def take_settings(options, config):
    """Set the options that `config` records; ValueError if the command line says otherwise."""
    if options.output is not None:
        raise ValueError('--output goes with a new run; --resume writes to the directory of the old one')
    for option, key in SETTINGS.items():
        if key in _FORMERLY:
            config.setdefault(key, _FORMERLY[key])
        if key not in config:
            raise ValueError(f'{options.resume} was written by an earlier version, without checkpoints: it cannot be '
                             'resumed')
        if option in options.given and getattr(options, option) != config[key]:
            raise ValueError(f'--{option.replace("_", "-")} {getattr(options, option)} differs from the run in '
                             f'{options.resume}, which has {config[key]}: leave it out, or start a new run')
        setattr(options, option, config[key])
    one_of('recipe in config.json', options.recipe, RECIPES)
    switch('memory_efficient in config.json', options.memory_efficient)
    one_of('data_option in config.json', options.data, ('auto', 'fashion-mnist', 'synthetic'))
    one_of('dtype in config.json', options.dtype, DTYPES)


def _network(options):
    if options.memory_efficient:
        # MXNet's operators share one array for passing values instead of four. It looks when it runs the first.
        os.environ.setdefault('MXNET_CPU_TEMP_COPY', '1')
    net = named_network(options.network, classes=10, in_channels=1, size=(options.size, options.size))
    if hasattr(net, 'stage_sizes'):
        net.memory_efficient = options.memory_efficient
    elif options.memory_efficient:
        raise ValueError(f'--memory-efficient is for a DenseNet, and {options.network} is none: leave it out')
    return net


def _initialize(net, options, ctx):
    if options.network == 'article':  # as the article did
        mx.random.seed(options.seed)
        net.initialize(mx.init.Xavier(), ctx=ctx)
    else:
        he_initialize(net, options.seed, (1, options.size, options.size), ctx)
    net.hybridize(static_alloc=True, static_shape=True)


def _config(options, net, ctx, source, workers):
    return {
        'command': ' '.join(['d2l-densenet', *sys.argv[1:]]),
        'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'network': net.config, **{key: getattr(options, option) for option, key in SETTINGS.items()},
        'device': str(ctx), 'data': {'name': source.name, 'checksum': source.checksum},
        'workers': workers.number if workers else 1, 'versions': versions(), 'machine': machine()}


def _announce(options, ctx, train_iter, test_iter, workers, output):
    by = f' by {workers.number} workers' if workers else ''
    print(f'network {options.network}, {options.size} x {options.size} pixels, recipe {options.recipe}, '
          f'batch {options.batch_size}{by}, seed {options.seed}, on {ctx}')
    print(f'data: {train_iter.source}: {train_iter.num_examples} training and {test_iter.num_examples} '
          f'{"held-out training" if options.validation else "test"} images')
    print(f'writing to {output} after each epoch; Ctrl-C ends the run and keeps what is there', flush=True)


def _write_results(output, net, history, config):
    if history.rows:
        save_run(output, net, history, config)
        picture = io.BytesIO()
        plot_history(history).savefig(picture, format='png', dpi=120)
        write_atomically(output / 'curve.png', picture.getvalue())
        share = 1 - sum(history['data_seconds']) / sum(history['seconds'])
        print(f'{100 * share:.1f} % of the time was spent in the network, the rest waiting for data')
        print('wrote ' + ', '.join(str(output / name)
                                   for name in ('model.params', 'history.json', 'curve.png', 'config.json')))
    if history.stopped:
        print(f'to go on: d2l-densenet train --resume {shlex.quote(str(output))}')


def _directory(options):
    """The directory of the run: that of --resume, or an empty one, which no other process takes too."""
    if options.resume is not None:
        return pathlib.Path(a_path('--resume', options.resume))
    if options.output is not None:
        path = pathlib.Path(a_path('--output', options.output))
        _make(path, exist_ok=True)
        try:
            # Until this process ends, for another that was given the same directory in the same moment.
            fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f'another run is about to write to {path}: give another --output') from None
        # What a killed run had begun to write is hidden, and does not count.
        if any(not found.name.startswith('.') for found in path.iterdir()):
            raise ValueError(f'{path} is not empty: give a new --output, or remove it first')
        return path
    now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
    for number in itertools.count(1):
        ending = '' if number == 1 else f'-{number}'  # more than one run may begin in a second
        path = pathlib.Path('runs') / f'{options.network}-{options.recipe}-seed{options.seed}-{now}{ending}'
        if _make(path):
            return path


def _make(path, exist_ok=False):
    """Make a directory; whether it is new."""
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
        return True
    except OSError as error:
        if isinstance(error, FileExistsError) and path.is_dir():
            return False
        raise ValueError(f'cannot make the output directory {path}: {error.strerror}; give another --output') from error


def evaluate(options):
    """Print the test accuracy of a saved run."""
    net, _, config = load_run(options.directory, device(options.device))
    size, batch_size, data = (_setting(options.directory, config, name) for name in ('size', 'batch_size', 'data'))
    net.hybridize(static_alloc=True, static_shape=True)
    _check_data(options)
    _, test_iter = load_data_fashion_mnist(batch_size, resize=size, root=options.data_dir, data=options.data)
    if test_iter.source.name != data['name']:
        print(f'note: the run was trained on {data["name"]} and is evaluated on {test_iter.source.name}')
    accuracy = evaluate_accuracy(net, test_iter)
    print(f'test accuracy {accuracy:.4f} on {test_iter.num_examples} images, data: {test_iter.source}')
    if options.mirrored:
        accuracy = evaluate_accuracy(net, test_iter, mirrored=True)
        print(f'with mirror images {accuracy:.4f}')
    return 0


def _setting(directory, config, name):
    """A setting of a run; ValueError if its config.json has none."""
    if name not in config:
        raise ValueError(f'config.json in {directory} has no {name}: it is not one that d2l-densenet train wrote')
    return config[name]


def export(options):
    """Write a network as files for other programs."""
    if (options.directory is None) == (options.network is None):
        raise ValueError('give either RUN or --network NAME')
    if options.network:
        if options.output is None:
            raise ValueError('--network needs --output DIR')
        net, shape = _with_weights(options)
    else:
        if options.weights is not None:
            raise ValueError('--weights goes with --network; a RUN has its own')
        if options.part is not None or options.no_strict:
            raise ValueError('--part and --no-strict go with --weights')
        net, _, config = load_run(options.directory)
        size = _setting(options.directory, config, 'size')
        shape = (config['network'].get('in_channels', 1), size, size)
    exported = export_model(net, options.directory if options.output is None else options.output,
                            (shape[0], options.size or shape[1], options.size or shape[2]),
                            options.format or list(FORMATS),
                            (options.network or 'densenet') if options.name is None else options.name)
    for kind, difference in exported.differences.items():
        print(f'{kind}: checked, largest difference {difference:.1e} of the largest score')
    print('wrote ' + ', '.join(f'{path} ({path.stat().st_size / 1e6:.1f} MB)' for path in exported.files))
    return 0


def _with_weights(options):
    """The named network with the values in the file of --weights, or initial ones; and the shape of its images."""
    name, weights = options.network, options.weights
    channels, *published = published_shape(name)
    size = [options.size or pixels for pixels in published]
    if weights is None:
        if options.part is not None or options.no_strict:
            raise ValueError('--part and --no-strict go with --weights')
        net = named_network(name, size=size)
        he_initialize(net, input_shape=(channels, *size))
        print('no --weights: the network has random initial values')
        return net, (channels, *size)
    if name in RESNETS:
        raise ValueError(f'--weights reads DenseNet checkpoints, and {name} is a ResNet')
    try:
        found, classes = sizes_in(named_network(name, size=size), weights, options.part)
        net = named_network(name, classes, found, size)
        load_pretrained(net, weights, strict=not options.no_strict, part=options.part)
    except CheckpointError as error:
        # What `load_pretrained` advises, as options of this command.
        text = re.sub(r'pass new_head=True.*', 'export a file that has one.', str(error))
        raise CheckpointError(re.sub(r'\bpart=', '--part ', text).replace('strict=False', '--no-strict')) from error
    return net, (found or channels, *size)


def summarize(options):
    """Print a network as a table."""
    channels, height, width = published_shape(options.network)
    print(summary(options.network, (channels, options.size or height, options.size or width)))
    return 0


def networks(options):
    """Print the table of the named networks."""
    print(network_table())
    return 0
