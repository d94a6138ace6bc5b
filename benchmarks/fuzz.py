"""Feed damaged and hostile files to everything in the package that reads one, and print the table.

Each reader (a target) gets files mutated from a few small good ones in tests/corpus/. Wanted: the file is read, or it
is refused with the error that is documented, in one line. Counted as findings: any other exception, a crash, an input
that takes more than 10 seconds or 1 GB of memory, a file touched outside the working directory, code that is run or a
process that is started (an audit hook looks for them), a network that a refused file has changed. Each target runs in a
process of its own. The record goes to ``records/fuzz.json``, the table to docs/reliability.md.

The mutations come from atheris (libFuzzer for Python, guided by coverage), together with tests/mutations.py; where
atheris is not installed, from the latter alone.
"""

import argparse
import contextlib
import datetime
import faulthandler
import gzip
import hashlib
import importlib.util
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / 'tests'), str(ROOT)]

from mutations import mutated, mutated_json  # noqa: E402

RECORD, CORPUS = ROOT / 'records' / 'fuzz.json', ROOT / 'tests' / 'corpus'
START, END = '<!-- fuzz table: made by benchmarks/fuzz.py -->', '<!-- end of fuzz table -->'
SECONDS, MEMORY = 10, 2 ** 30

#: For each target: the file and what reads it, as in the table, and where in the corpus its good files are.
TARGETS = {
    'idx': ('idx, plain and gzipped', '`read_idx`', 'idx/*'),
    'idx-packed': ('idx damaged before it was gzipped', '`read_idx`', 'idx/plain-*'),
    'safetensors': ('safetensors', '`load_pretrained`', 'safetensors/*'),
    'params': ('Gluon .params', '`load_pretrained`', 'params/*'),
    'pytorch': ('PyTorch, new and old', '`load_pretrained`', 'pytorch/*'),
    'parameters': ('Gluon .params', '`net.load_parameters`', 'params/*'),
    'run': ('model.params of a run', '`load_run`', 'run/model-params'),
    'config': ('config.json of a run', '`load_run`, `train --resume`', 'run/config-json'),
    'history': ('history.json of a run', '`load_run`, `plot_history`', 'run/history-json'),
    'checkpoint': ('checkpoint with a right checksum', '`fit(resume=True)`', 'checkpoint/small'),
    'state': ('state in such a checkpoint', '`fit(resume=True)`', 'checkpoint/small'),
}


def build(seed=0):
    """The smallest DenseNet, with values."""
    import mxnet as mx

    from d2l_densenet import DenseNet
    mx.random.seed(seed)
    net = DenseNet(2, (1, 1), 2, stem='cifar', classes=2)
    net.initialize()
    return net


def values(net):
    import mxnet as mx
    mx.nd.waitall()
    return [parameter.data().asnumpy() for parameter in net.collect_params().values()]


def same(first, second):
    return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(first, second))


class Finding(Exception):
    """What must not happen has happened."""


# --- The targets. Each is made in an empty directory and returns a function that takes the content of a file and
# returns True if it was read and False if it was refused.

def idx(directory, packed=False):
    from d2l_densenet.data.idx import DataError, check_pair, read_idx

    def run(content):
        path = directory / 'x'
        path.write_bytes(gzip.compress(content, 1) if packed else content)
        read = False
        for kind in ('images', 'labels'):
            try:
                array = read_idx(path, kind)
                read = True
                check_pair('x', array, 'y', array[:, 0, 0]) if kind == 'images' else None
            except DataError as error:
                refused(error)
        return read
    return run


def pretrained(directory):
    from d2l_densenet import CheckpointError, load_pretrained
    net = build()
    start, parameters = values(net), list(net.collect_params().values())

    def run(content):
        (directory / 'x').write_bytes(content)
        try:
            report = load_pretrained(net, directory / 'x', strict=len(content) % 2 == 0)
        except CheckpointError as error:
            refused(error)
            if not same(values(net), start):
                raise Finding('a refused file has changed the network') from error
            return False
        if not report.loaded or [value.shape for value in values(net)] != [value.shape for value in start]:
            raise Finding('nothing was loaded, or shapes have changed')
        set_back(parameters, start)
        return True
    return run


def set_back(parameters, start):
    import mxnet as mx
    for parameter, value in zip(parameters, start):
        parameter.set_data(mx.nd.array(value))


def parameters(directory):
    net = build()
    shapes = [value.shape for value in values(net)]

    def run(content):
        (directory / 'x').write_bytes(content)
        try:
            net.load_parameters(str(directory / 'x'))
        except (ValueError, AssertionError) as error:  # AssertionError: Gluon's, of a file that does not fit
            if not isinstance(error, AssertionError):
                refused(error)
            return False
        if [value.shape for value in values(net)] != shapes:
            raise Finding('shapes have changed')
        return True
    return run


def run_directory(directory, name):
    from d2l_densenet import plot_history
    from d2l_densenet.commands import take_settings
    from d2l_densenet.runs.directories import RunError, load_run, read_config
    for file in ('config.json', 'history.json', 'model.params'):
        (directory / file).write_bytes((CORPUS / 'run' / file.replace('.', '-')).read_bytes())

    def run(content):
        (directory / name).write_bytes(content)
        read = True
        try:
            _, history, _ = load_run(directory)
            if name == 'history.json' and history.rows:
                plot_history(history)
        except (RunError, ValueError) as error:
            refused(error)
            read = False
        if name == 'config.json':
            try:
                options = argparse.Namespace(resume=str(directory), output=None, given=set())
                take_settings(options, read_config(directory))
            except ValueError as error:
                refused(error)
        return read
    return run


def checkpoint(directory, state=False):
    from d2l_densenet import History, ResumeError
    from d2l_densenet.runs.checkpoints import Checkpoints
    net = build()
    good = (CORPUS / 'checkpoint' / 'small').read_bytes()
    made = {}

    def run(content):
        if state:  # the good arrays with another state
            size = int.from_bytes(good[:8], 'little')
            header = json.loads(good[8:8 + size])
            header['__metadata__']['state'] = content.decode('utf-8', 'replace')
            text = json.dumps(header).encode()
            content = len(text).to_bytes(8, 'little') + text + good[8 + size:]
        for old in directory.iterdir():
            old.unlink()
        digest = hashlib.sha256(content).hexdigest()[:32]
        (directory / f'checkpoint-000001-00000000-{digest}.safetensors').write_bytes(content)
        made['history'] = History()
        with Checkpoints(directory) as store:
            try:
                progress = keeper_of(store, net).restore(made['history'])
            except ResumeError as error:
                refused(error)
                return False
        return progress is not None
    return run


def keeper_of(store, net):
    """What `fit` makes to write and read the checkpoints of a run of `build`'s network on 4 images."""
    import numpy
    from mxnet import gluon, lr_scheduler

    from d2l_densenet import ImageLoader
    from d2l_densenet.runs.resume import Keeper, settings_of
    scheduler = lr_scheduler.CosineScheduler(10, base_lr=0.1)
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'momentum': 0.9, 'lr_scheduler': scheduler,
                                                          'learning_rate': 0.1}, update_on_kvstore=False)
    loader = ImageLoader(numpy.zeros((4, 8, 8), 'uint8'), [0, 1, 0, 1], 2)
    return Keeper(store, net, trainer, settings_of(net, loader, trainer, gluon.loss.SoftmaxCrossEntropyLoss(), 0), 60)


def target(name, directory):
    """The function that runs one input of a target."""
    if name in ('idx', 'idx-packed'):
        return idx(directory, name == 'idx-packed')
    if name in ('safetensors', 'params', 'pytorch'):
        return pretrained(directory)
    if name == 'parameters':
        return parameters(directory)
    if name in ('checkpoint', 'state'):
        return checkpoint(directory, name == 'state')
    return run_directory(directory, {'run': 'model.params', 'config': 'config.json', 'history': 'history.json'}[name])


def refused(error):
    """Check an error that says why a file is refused."""
    text = str(error)
    if '\n' in text.strip() or len(text) > 4000 or any(not part.isprintable() for part in text.split()):
        raise Finding(f'an error of more than one line: {text[:500]!r}') from error
    if 'bad_alloc' in text or 'MemoryError' in text or 'allocate' in text:
        raise Finding(f'memory: {text[:500]!r}') from error


# --- The mutations of each target.

def mutate(name, rng, content, seeds):
    if name in ('config', 'history', 'state'):
        return mutated_json(rng, content) if rng.random() < 0.8 else mutated(rng, content, seeds)
    if name in ('safetensors', 'checkpoint') and len(content) > 8 and rng.random() < 0.5:
        size = int.from_bytes(content[:8], 'little')
        header = mutated_json(rng, content[8:8 + size])
        return len(header).to_bytes(8, 'little') + header + content[8 + size:]
    if name == 'idx' and content[:2] == b'\x1f\x8b' and rng.random() < 0.3:
        return content + rng.choice(seeds)  # another member
    return mutated(rng, content, seeds)


# --- One process for each target.

_TOUCHES = ('open', 'os.remove', 'os.rename', 'os.mkdir', 'os.rmdir', 'os.symlink', 'os.link', 'os.chmod',
            'os.truncate', 'os.listdir', 'os.scandir', 'shutil.rmtree', 'shutil.copyfile')
_RUNS = ('exec', 'compile', 'os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'subprocess.Popen',
         'pickle.find_class', 'ctypes.dlopen', 'socket.connect', 'code.__new__')


def watch(directory):
    """A list that gets whatever is touched outside `directory`, or run, from now on."""
    seen, inside = [], str(directory)
    own = tuple({os.path.realpath(path) for path in (*sys.path, sys.prefix, sys.base_prefix) if path and path != '/'})

    def hook(event, arguments):
        if event in _RUNS:
            # A module that is imported late is compiled and run too: one of Python's, not a file's.
            code = arguments[0] if arguments else None
            late = event in ('exec', 'compile') and str(getattr(code, 'co_filename', '')).startswith(own)
            if not late:
                seen.append(f'{event} {str(arguments)[:200]}')
        elif event in _TOUCHES and arguments and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            reading = event in ('os.listdir', 'os.scandir') or event == 'open' and not (arguments[2] or 0) & (
                os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if not path.startswith(inside) and not (reading and path.startswith(own)):
                seen.append(f'{event} {path}')

    sys.addaudithook(hook)
    return seen


def seeds_of(name):
    """The good files of a target."""
    contents = [path.read_bytes() for path in sorted(CORPUS.glob(TARGETS[name][2]))]
    if name == 'state':
        size = int.from_bytes(contents[0][:8], 'little')
        contents = [json.loads(contents[0][8:8 + size])['__metadata__']['state'].encode()]
    return contents


def child(names, count, seed, engine, place):
    """Run targets in this process, in the directory `place`, and print the counts of each as JSON."""
    with contextlib.ExitStack() as stack:
        if engine == 'atheris':
            import atheris
            stack.enter_context(atheris.instrument_imports(include=['d2l_densenet']))
        runs = {}
        for name in names:
            (place / name).mkdir()
            runs[name] = target(name, place / name)
    for name, run in runs.items():  # which also imports what is imported late
        if not all(run(content) for content in seeds_of(name)):
            raise Finding(f'{name}: a good file of the corpus was refused')
        run(b'')
    now = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * os.sysconf('SC_PAGE_SIZE')
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.RLIM_INFINITY))
    seen = watch(place)
    for name, run in runs.items():
        seeds, counts = seeds_of(name), {'inputs': 0, 'read': 0, 'refused': 0}
        before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        seen.clear()

        def one(content):
            (place / 'last').write_bytes(content)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                read = run(content)  # noqa: B023
            finally:
                faulthandler.cancel_dump_traceback_later()
            if seen:
                raise Finding(f'{name}: touched or run: {seen}')  # noqa: B023
            counts['inputs'] += 1  # noqa: B023
            counts['read' if read else 'refused'] += 1  # noqa: B023
            if counts['inputs'] == count:  # noqa: B023
                grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # noqa: B023
                print('counts ' + json.dumps({**counts, 'seconds': round(time.monotonic() - begun, 1),  # noqa: B023
                                              'grown_mb': round(grown / 1024)}), flush=True)
                if engine == 'atheris':
                    os._exit(0)  # before libFuzzer says its part

        if engine == 'atheris':
            guided(atheris, name, one, seeds, seed, place)
        rng = random.Random(f'{name} {seed}')
        for _ in range(count):
            one(mutate(name, rng, rng.choice(seeds), seeds))


def guided(atheris, name, one, seeds, seed, place):
    """Let libFuzzer choose what is mutated further; it does not return."""
    def mutator(content, most, number):
        rng = random.Random(number)
        if rng.random() < 0.3:
            return atheris.Mutate(content, min(len(content) + 64, most))
        return mutate(name, rng, content, seeds)[:most]

    corpus = place / 'corpus'
    corpus.mkdir()
    for number, content in enumerate(seeds):
        (corpus / str(number)).write_bytes(content)
    atheris.Setup([sys.argv[0], f'-seed={seed + 1}', '-rss_limit_mb=0', f'-timeout={6 * SECONDS}', '-max_len=100000',
                   '-verbosity=0', f'-artifact_prefix={place}/', str(corpus)], one, custom_mutator=mutator)
    atheris.Fuzz()


def fuzz(name, count, seed, engine):
    """Run one target in a process of its own; its counts, with the finding that ended it, if one did."""
    with tempfile.TemporaryDirectory(prefix='fuzz-') as temporary:
        place = pathlib.Path(temporary).resolve()
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'Agg', 'PYTHONFAULTHANDLER': '1'}
        process = subprocess.run([sys.executable, __file__, '--target', name, '--runs', str(count), '--seed', str(seed),
                                  '--engine', engine, '--place', temporary], capture_output=True, text=True,
                                 env=environment, cwd=place, errors='replace')
        lines = [line for line in process.stdout.splitlines() if line.startswith('counts ')]
        if process.returncode == 0 and lines:
            return {**json.loads(lines[-1][7:]), 'findings': []}
        last = place / 'last'
        kept = None
        if last.exists():
            kept = ROOT / 'runs' / 'fuzz' / f'{name}-{hashlib.sha256(last.read_bytes()).hexdigest()[:12]}'
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(last.read_bytes())
        print(f'{name}: status {process.returncode}; the input is kept as {kept}\n{process.stdout[-1000:]}'
              f'{process.stderr[-4000:]}', file=sys.stderr)
        reason = [line for line in process.stderr.splitlines() if line.strip()][-1:] or [f'status {process.returncode}']
        return {'inputs': 0, 'read': 0, 'refused': 0, 'seconds': 0, 'grown_mb': 0, 'findings': reason}


def make_corpus():
    """Write the good files, all of them small."""
    import mxnet as mx
    import numpy

    from d2l_densenet import History, save_torch
    from d2l_densenet.runs.checkpoints import Checkpoints
    from d2l_densenet.runs.directories import save_run
    from d2l_densenet.runs.resume import Progress
    for part in ('idx', 'safetensors', 'params', 'pytorch', 'run', 'checkpoint'):
        (CORPUS / part).mkdir(parents=True, exist_ok=True)
    images = numpy.arange(2 * 28 * 28, dtype='uint8').reshape(2, 28, 28) % 10
    for kind, array in (('images', images), ('labels', images[:, 0, 1])):
        content = bytes([0, 0, 8, array.ndim]) + b''.join(n.to_bytes(4, 'big') for n in array.shape) + array.tobytes()
        (CORPUS / 'idx' / f'plain-{kind}').write_bytes(content)
        (CORPUS / 'idx' / f'packed-{kind}').write_bytes(gzip.compress(content, mtime=0))
    net = build()
    net(mx.nd.zeros((1, 1, 8, 8)))
    row = {'epoch': 1, 'loss': 1.0, 'train_acc': 0.5, 'test_acc': 0.5, 'seconds': 1.0, 'images_per_second': 4.0,
           'data_seconds': 0.1, 'learning_rate': 0.1}
    history = History([row], 'synthetic')
    config = {'network_name': 'article', 'network': net.config, 'recipe': 'course', 'size': 8, 'batch_size': 2,
              'epochs': 2, 'seed': 0, 'limit': 4, 'validation': 0, 'device': 'cpu(0)', 'data_option': 'synthetic',
              'data': {'name': 'synthetic', 'checksum': 'md5:' + '0' * 32}}
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(temporary)
        save_torch(net, place / 'x.safetensors')
        (CORPUS / 'safetensors' / 'small').write_bytes((place / 'x.safetensors').read_bytes())
        net.save_parameters(str(CORPUS / 'params' / 'nd'))
        save_run(place, net, history, config)
        for file in ('config.json', 'history.json', 'model.params'):
            (CORPUS / 'run' / file.replace('.', '-')).write_bytes((place / file).read_bytes())
        with Checkpoints(place / 'checkpoints') as store:
            keeper_of(store, net).save(Progress(2), history)
            (CORPUS / 'checkpoint' / 'small').write_bytes(store.files()[0].read_bytes())
        arrays = mx.nd.load(str(CORPUS / 'params' / 'nd'))
        mx.npx.set_np()
        mx.npx.save(str(CORPUS / 'params' / 'np'), {name: value.as_np_ndarray() for name, value in arrays.items()})
        mx.npx.reset_np()
        import torch
        from safetensors.torch import load_file
        state = load_file(place / 'x.safetensors')
        torch.save(state, CORPUS / 'pytorch' / 'zip')
        torch.save(state, CORPUS / 'pytorch' / 'legacy', _use_new_zipfile_serialization=False)


def table(record):
    """The record as Markdown."""
    lines = ['| file | what reads it | inputs | read | refused | findings | memory, MB | seconds |',
             '|---|---|---:|---:|---:|---:|---:|---:|']
    for name, row in record['targets'].items():
        lines.append(f'| {TARGETS[name][0]} | {TARGETS[name][1]} | {row["inputs"]:,} | {row["read"]:,} | '
                     f'{row["refused"]:,} | {len(row["findings"])} | {row["grown_mb"]} | {row["seconds"]:.0f} |')
    return '\n'.join([*lines, '', f'Memory: what the process grew by. Measured on {record["started"][:10]}, '
                      f'{record["machine"]["cpu"]}, MXNet {record["versions"]["mxnet"]}, mutations by '
                      f'{record["engine"]}, seed {record["seed"]}, by `make fuzz`.'])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=10_000, help='inputs for each target')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--engine', choices=('atheris', 'mutator'), help='default: atheris, if it is installed')
    parser.add_argument('--target', choices=TARGETS, action='append', help='only this one, without a record')
    parser.add_argument('--input', type=pathlib.Path, help='one file, such as a kept one, given to --target')
    parser.add_argument('--table', action='store_true', help='only make the table of the record')
    parser.add_argument('--corpus', action='store_true', help='only make the good files in tests/corpus/ anew')
    parser.add_argument('--place', type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.corpus:
        return make_corpus()
    if options.place:
        return child(options.target, options.runs, options.seed, options.engine, options.place.resolve())
    if options.input:
        with tempfile.TemporaryDirectory() as temporary:
            run = target(options.target[0], pathlib.Path(temporary))
            print('read' if run(options.input.read_bytes()) else 'refused')
        return None
    if options.table:
        record = json.loads(RECORD.read_text())
    else:
        from d2l_densenet.runs.directories import machine, versions, write_atomically
        engine = options.engine or ('atheris' if importlib.util.find_spec('atheris') else 'mutator')
        record = {'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
                  'engine': engine, 'seed': options.seed, 'versions': versions(), 'machine': machine(), 'targets': {}}
        for name in options.target or TARGETS:
            record['targets'][name] = row = fuzz(name, options.runs, options.seed, engine)
            print(f'{name}: {row}', flush=True)
        if options.target:
            return sum(len(row['findings']) for row in record['targets'].values())
        write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
    import harness  # which imports the package: too early, at the top, for atheris to see into it
    harness.put(START, END, table(record))
    print(table(record))
    return sum(len(row['findings']) for row in record['targets'].values())


if __name__ == '__main__':
    sys.exit(main())
