"""The command line: ``d2l-densenet`` or ``python -m d2l_densenet``."""

import argparse
import difflib
import os
import pathlib
import sys

from ._common.messages import last_line

EPILOG = """\
examples:
  d2l-densenet train                          the article's network, 5 epochs at 48x48, on Fashion-MNIST
  d2l-densenet train --resume runs/NAME       go on with a run that was interrupted or killed
  d2l-densenet train --network densenet_bc_100_12 --size 32
                                              another network of the table that `networks` prints
  d2l-densenet launch --workers 2 -- train    the same by two processes with a parameter server, on this machine
  d2l-densenet evaluate runs/NAME             the test accuracy of a saved run
  d2l-densenet notebooks course               the notebooks of the course, into the directory course

The data are looked for in --data-dir, then in the directory that the environment variable D2L_DENSENET_DATA
names, then in the user's cache; else they are downloaded."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f'{self.prog}: error: {message} (see {self.prog} --help)\n')


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    pass


def _at_least(least):
    def integer(text):
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f'{text!r} is not an integer') from None
        if value < least:
            raise argparse.ArgumentTypeError(f'must be at least {least}, got {value}')
        return value
    return integer


def _seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of seconds, at least 0')
    return value


def _network(text):
    from .analysis.published import PUBLISHED
    if text not in PUBLISHED:
        near = difflib.get_close_matches(text.lower(), PUBLISHED, n=1)
        hint = f'; did you mean {near[0]}?' if near else ''
        raise argparse.ArgumentTypeError(f'{text!r} is none of {", ".join(PUBLISHED)}{hint}')
    return text


def _device(text):
    """'auto', 'cpu', 'gpu' or 'gpu:1'."""
    kind, _, number = text.partition(':')
    if text in ('auto', 'cpu', 'gpu') or (kind == 'gpu' and number.isdecimal()):
        return text
    raise argparse.ArgumentTypeError(f'{text!r} is none of auto, cpu, gpu, gpu:1')


def _parser():
    from .recipes import RECIPES
    from .runs.workers import KVSTORES
    parser = _Parser(prog='d2l-densenet', description='Train, evaluate and describe the DenseNet of the course.',
                     epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)

    def add(name, text, run):
        child = commands.add_parser(name, help=text, description=text, formatter_class=_Formatter, allow_abbrev=False)
        child.set_defaults(run=run)
        return child

    def add_data(child):
        child.add_argument('--data', choices=('auto', 'fashion-mnist', 'synthetic'), default='auto',
                           help='auto: Fashion-MNIST, or a drawn stand-in if it is not available; '
                                'fashion-mnist: that or an error; synthetic: the stand-in')
        child.add_argument('--data-dir', metavar='DIR', help='directory with the four Fashion-MNIST files')
        child.add_argument('--device', type=_device, default='auto',
                           help='auto, cpu, gpu or gpu:NUMBER; auto takes the first GPU that works')

    train = add('train', 'Train a network and write parameters, history, curve and configuration.',
                _with_mxnet('train'))
    _add_network(train)
    train.add_argument('--size', type=_at_least(1), default=48, help='height and width of the images in pixels')
    train.add_argument('--epochs', type=_at_least(1), default=5, help='passes over the training images')
    train.add_argument('--batch-size', type=_at_least(1), help="images a step (default: the recipe's)")
    train.add_argument('--recipe', choices=RECIPES, default='course',
                       help='article: SGD at a constant 0.1; course: Muon, weight decay, warm-up and cosine, flips, '
                            'label smoothing; record: the same with shifts and random erasing, for long runs')
    add_data(train)
    train.add_argument('--seed', type=_at_least(0), default=0, help='for initial values, shuffling and augmentation')
    train.add_argument('--limit', type=_at_least(1), metavar='N', help='use the first N training images only')
    train.add_argument('--validation', type=_at_least(0), default=0, metavar='N',
                       help='hold N training images back and judge each epoch by them instead of the test images')
    train.add_argument('--memory-efficient', action='store_true',
                       help='keep only the features and compute the rest again in the backward pass: for deep networks')
    train.add_argument('--dtype', choices=('float32', 'float16', 'bfloat16'), default='float32',
                       help='mixed precision. bfloat16: on a CPU with AVX-512, faster on some, slower on others; '
                            'float16: on a GPU (not yet run on one)')
    train.add_argument('--data-on-device', action='store_true',
                       help='copy the data set to the GPU once and make the batches there (not yet run on one)')
    train.add_argument('--output', metavar='DIR', help='where to write (default: a new directory under runs/)')
    train.add_argument('--resume', metavar='RUN',
                       help='go on with the run in this directory, with its settings, from its newest checkpoint')
    train.add_argument('--checkpoint-seconds', type=_seconds, default=60, metavar='S',
                       help='least time between two checkpoints within an epoch; 0: after each batch')
    train.add_argument('--kvstore', choices=KVSTORES, default='device',
                       help='what adds up gradients. device: this process alone. dist_sync: it is one of many, which '
                            "the DMLC_* variables describe, and MXNet's parameter servers add up. --batch-size counts "
                            'the images of a step over all workers and must be a multiple of their number; each takes '
                            'an equal part, so learning rate and schedule are those of one process. Worker 0 evaluates '
                            'and writes; to resume, all workers must see the directory of the run')

    launch = add('launch', 'Run a job of many processes on this machine: scheduler, servers and workers on the '
                 'loopback interface, in one log. When one dies, time is up or Ctrl-C is pressed, all of them end. '
                 'The exit status is that of the process that died first; 124: time was up.', _launch)
    launch.usage = '%(prog)s [-h] [--workers N] [--servers N] [--time-limit S] -- train ...'
    launch.add_argument('--workers', type=_at_least(1), default=2, help='processes that train')
    launch.add_argument('--servers', type=_at_least(1), default=1, help='processes that add up gradients')
    launch.add_argument('--time-limit', type=_seconds, metavar='S',
                        help='end the job after so many seconds; the workers write a checkpoint if they still can')
    launch.add_argument('program', nargs=argparse.REMAINDER, metavar='-- train ...',
                        help='what each worker runs: train and its options, or a program that calls '
                             "fit(kvstore='dist_sync')")

    evaluate = add('evaluate', 'Evaluate a saved run on the test images.', _with_mxnet('evaluate'))
    evaluate.add_argument('directory', metavar='RUN', help='directory that train wrote')
    evaluate.add_argument('--mirrored', action='store_true',
                          help='print also the accuracy with the scores of each image and its mirror image added up')
    add_data(evaluate)

    summary = add('summary', 'Print the network as a table, one stage per row.', _with_mxnet('summarize'))
    _add_network(summary)
    summary.add_argument('--size', type=_at_least(1), metavar='PIXELS',
                         help='height and width of the images (default: those the network was published for)')

    export = add('export', "Write a network as files for other programs: MXNet's symbol and parameters, and ONNX. They "
                 'are run, and compared with the network, before they appear.', _with_mxnet('export'))
    export.add_argument('directory', metavar='RUN', nargs='?', help='directory that train wrote')
    export.add_argument('--network', type=_network, metavar='NAME', help='a named network, instead of RUN')
    export.add_argument('--weights', metavar='FILE',
                        help="for --network: a checkpoint of torchvision, timm, Gluon's zoo or this package (default: "
                             'random initial values)')
    export.add_argument('--part', metavar='KEY',
                        help='for --weights: which weights to take where the file holds several, such as '
                             'state_dict_ema')
    export.add_argument('--no-strict', action='store_true',
                        help='for --weights: leave out what the file has besides the network')
    export.add_argument('--size', type=_at_least(1), metavar='PIXELS',
                        help='height and width of the images (default: those of the run, or those published)')
    export.add_argument('--output', metavar='DIR', help='where to write (default: RUN)')
    export.add_argument('--format', choices=('mxnet', 'onnx'), action='append', help='one of them (default: both)')
    export.add_argument('--name', help='how the file names begin (default: the name of the network, or densenet)')

    add('networks', 'Print a Markdown table of the named networks: parameters and multiply-adds by formula, by count '
        'on the graph, and as published.', _with_mxnet('networks'))

    notebooks = add('notebooks', 'Write the notebooks of the course, as they were run, and their exercises into a '
                    'directory. They are those of the installed version.', _notebooks)
    notebooks.add_argument('directory', metavar='DIR', help='where to write; made if it is not there')
    notebooks.add_argument('--force', action='store_true',
                           help='overwrite files that differ: your own work in notebooks of the same name is lost')

    gpu = add('gpu', 'Install MXNet for NVIDIA GPUs and the CUDA 11 libraries beside what is there, if there is a card '
              'for it: 2.1 GB to download, 3.6 GB on disk, no root and no CUDA installation.', _gpu)
    gpu.add_argument('--anyway', action='store_true', help='whatever card is here, or none: for another machine')
    gpu.add_argument('--remove', action='store_true', help='take it away again: MXNet for the CPU is still there')

    add('doctor', 'Check Python, MXNet, system libraries, Jupyter, GPU and data.', None)
    return parser


def _add_network(child):
    child.add_argument('--network', type=_network, default='article', metavar='NAME',
                       help='which network: a name from the table that d2l-densenet networks prints')


def _with_mxnet(name):
    """The function of `commands` of this name, imported when it is called."""
    def run(options):
        from . import commands
        return getattr(commands, name)(options)
    return run


def _launch(options):
    from ._common.shares import equal_share
    from .recipes import RECIPES
    from .runs.launching import launch
    program = options.program[options.program[:1] == ['--']:]
    if not program:
        raise ValueError('say after -- what the workers run, for example: d2l-densenet launch --workers 2 -- train')
    if program[0] == 'train':
        # A mistake in its options ends here, once, and not in every worker.
        train = _parser().parse_args(program)
        if any(text.partition('=')[0] == '--kvstore' for text in program) and train.kvstore != 'dist_sync':
            raise ValueError(f'launch starts workers for --kvstore dist_sync, got --kvstore {train.kvstore}: leave it '
                             'out')
        if not train.resume:
            equal_share(train.batch_size or RECIPES[train.recipe].batch_size, options.workers)
        program = [sys.executable, '-m', 'd2l_densenet', *program, '--kvstore', 'dist_sync']
    return launch(program, options.workers, options.servers, options.time_limit)


def _notebooks(options):
    import shutil

    from ._common.disk import a_path
    here = pathlib.Path(__file__).resolve().parent
    # A wheel holds them in the package; in a checkout they lie beside it.
    source = next((place for place in (here / 'notebooks', here.parent / 'notebooks') if place.is_dir()), None)
    if source is None:
        raise ValueError(f'this installation has no notebooks (looked in {here} and {here.parent})')
    target = pathlib.Path(a_path('DIR', options.directory)).resolve()
    if target == source or source in target.parents:
        raise ValueError(f'{target} is where the notebooks are: give another DIR')
    files = [path.relative_to(source) for path in sorted(source.rglob('*'))
             if path.suffix in ('.ipynb', '.md') and '.ipynb_checkpoints' not in path.parts]
    changed = [name for name in files if os.path.lexists(target / name)
               and not ((target / name).is_file() and (target / name).read_bytes() == (source / name).read_bytes())]
    if changed and not options.force:
        raise ValueError(f'{target} has {changed[0]}{f" and {len(changed) - 1} more" if changed[1:] else ""} with '
                         'other content: give another DIR, or --force to overwrite')
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    size = sum((source / name).stat().st_size for name in files)
    print(f'wrote {len(files)} files ({size / 1e6:.0f} MB) to {target}; README.md there is the map of the course')
    print(f'to begin: {sys.executable} -m jupyterlab "{target / "01_first_densenet.ipynb"}"')
    return 0


def _gpu(options):
    from . import doctor, gpu
    try:
        if options.remove:
            print('removed' if gpu.remove_gpu() else 'there is nothing to remove')
            return 0
        print('Now installed.' if gpu.install_gpu(options.anyway) else 'All is installed already.')
    except KeyboardInterrupt:
        print('interrupted, and nothing is changed: the same command goes on from here, --remove takes away what was '
              'downloaded', file=sys.stderr)
        return 130
    doctor.main([doctor.check_gpu()])
    return 0


def main(arguments=None):
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.given = {text[2:].partition('=')[0].replace('-', '_') for text in arguments if text.startswith('--')}
    try:
        if options.command == 'doctor':
            from . import doctor
            return doctor.main()
        if options.command not in ('gpu', 'launch', 'notebooks'):
            from .runs.workers import check_kvstore
            check_kvstore(getattr(options, 'kvstore', 'device'))
            _import_mxnet()
        return options.run(options)
    except BrokenPipeError:  # the reader of the output, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except (ValueError, OSError, MemoryError, RuntimeError) as error:  # MXNetError and DivergenceError among the last
        usage = isinstance(error, ValueError)
        print(f'd2l-densenet {options.command}: error: {error if usage else last_line(error)}', file=sys.stderr)
        return 2 if usage else 1


def _import_mxnet():
    try:
        import mxnet  # noqa: F401
    except (ImportError, OSError, AttributeError) as error:  # the three ways in which it fails
        raise RuntimeError(f'MXNet cannot be imported ({error}): d2l-densenet doctor says what to do') from error
