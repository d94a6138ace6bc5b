"""Measure how fast networks train and answer, beside the article's code, MXNet's model zoo and PyTorch.

``python benchmarks/throughput.py`` writes ``records/throughput.json`` and tables in docs/measurements.md. The groups:

- ``article``: a training step (forward, backward, update by SGD) of the article's network, 256 images of 48 x 48: as
  the article writes it (plain Gluon layers, run imperatively: tests/article.py), this package's network as `fit` runs
  it, and an independent writing in PyTorch, run eagerly, with channels last and compiled. Both with bfloat16, too
  (which rounds more, and stands apart).
- ``densenet121``: a training step of DenseNet-121, 16 images of 3 x 224 x 224: this package, MXNet's model zoo,
  PyTorch.
- ``bc``: a training step of DenseNet-BC (100, 12), 64 images of 3 x 32 x 32, one thread.
- ``inference``: one answer of the course's network, for 1 and for 64 images.

Each contestant lives in a process of its own, sets up, and then waits. They take turns, one step each, so that whatever
else the machine does falls on all of them. All that three times with new processes, in case one process is faster than
another of the same program. The tables show medians, and the median of the ratios within each turn. A
contestant that cannot run here (no PyTorch, no compiler) is left out, and the record says why.
"""

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata

from harness import ROOT, Benchmark, in_turn, markdown, measuring, ratio

STATIC = {'static_alloc': True, 'static_shape': True}

#: For each group what it measures, the contestants, and which of them the others are compared with.
GROUPS = {
    'article': ("training step, the article's network, 256 images of 48 x 48",
                ('listing', 'package', 'package, bfloat16', 'package, imperative', 'torch',
                 'torch, channels last', 'torch, compiled', 'torch, bfloat16'), 'listing'),
    'densenet121': ('training step, DenseNet-121, 16 images of 3 x 224 x 224',
                    ('zoo', 'package', 'torch', 'torch, channels last'), 'zoo'),
    'bc': ('training step, DenseNet-BC (100, 12), 64 images of 3 x 32 x 32, one thread',
           ('package', 'torch', 'torch, channels last'), 'package'),
    'inference 1': ("inference, the article's network, 1 image of 48 x 48",
                    ('package', 'package, bfloat16', 'package, optimize_for', 'onnxruntime', 'torch'), 'package'),
    'inference 64': ("inference, the article's network, 64 images of 48 x 48",
                     ('package', 'package, bfloat16', 'package, optimize_for', 'onnxruntime', 'torch'), 'package'),
}
SHAPES = {'article': (256, 1, 48, 48), 'densenet121': (16, 3, 224, 224), 'bc': (64, 3, 32, 32),
          'inference 1': (1, 1, 48, 48), 'inference 64': (64, 1, 48, 48)}
#: Groups of other networks than the article's, by the name that `densenet` builds, and with other numbers of threads.
NETWORKS = {'densenet121': 'densenet121', 'bc': 'densenet_bc_100_12'}
THREADS = {'bc': 1}


def network(group):
    from d2l_densenet import DenseNet, densenet
    return densenet(NETWORKS[group], classes=10) if group in NETWORKS else DenseNet()


def batch(group):
    """Random images and labels, the same for each contestant."""
    import numpy
    random = numpy.random.RandomState(0)
    shape = SHAPES[group]
    return random.random_sample(shape).astype('float32'), random.randint(0, 10, shape[0]).astype('int32')


def tests_module(name):
    """A module of tests/, for a network in another writing."""
    sys.path.insert(0, str(ROOT / 'tests'))
    return importlib.import_module(name)


def mxnet_step(net, images, labels, array, trainer=None):
    """A function that makes one training step of a Gluon network and waits for its end."""
    import mxnet as mx
    trainer = trainer or mx.gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.01})
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    X, y = array(images), array(labels)

    def step():
        with mx.autograd.record():
            value = loss(net(X), y)
        value.backward()
        trainer.step(len(images))
        mx.nd.waitall()
    return step


def listing(group):
    """The article's way: its network in plain Gluon, imperatively, in nd mode."""
    import mxnet as mx
    net = tests_module('article').network()
    net.initialize(mx.init.Xavier())
    return mxnet_step(net, *batch(group), mx.nd.array)


def package(group, how):
    """This package's network, in np mode as the notebooks use it; `optimize_for` in nd mode, as it must be."""
    import mxnet as mx

    from d2l_densenet import DenseNet, he_initialize
    from d2l_densenet.execution.mixed_precision import MixedPrecision
    from d2l_densenet.optimizers import make_trainer, own_optimizer
    if how == 'optimize_for':
        net = DenseNet()
        he_initialize(net, 0)
        images = mx.nd.array(batch(group)[0])
        net.optimize_for(images, backend='MKLDNN', **STATIC)
        return lambda: net(images).wait_to_read()
    mx.npx.set_np()
    net = network(group)
    he_initialize(net, 0, SHAPES[group][1:])
    if how != 'imperative':
        net.hybridize(**STATIC)
    forward = MixedPrecision(net, how) if how == 'bfloat16' else net
    if not group.startswith('inference'):
        trainer = make_trainer(net, own_optimizer('sgd', {'learning_rate': 0.01}))
        return mxnet_step(forward, *batch(group), mx.np.array, trainer)
    images = mx.np.array(batch(group)[0])
    return lambda: forward(images).wait_to_read()


def zoo(group):
    import mxnet as mx
    net = mx.gluon.model_zoo.vision.densenet121(classes=10)
    net.initialize(mx.init.Xavier())
    net.hybridize(**STATIC)
    return mxnet_step(net, *batch(group), mx.nd.array)


def onnx(group):
    import onnx  # noqa: F401  (export_model needs it)
    import onnxruntime

    from d2l_densenet import DenseNet, export_model, he_initialize
    net = DenseNet()
    he_initialize(net, 0, SHAPES[group][1:])
    with tempfile.TemporaryDirectory() as directory:
        file, = export_model(net, directory, SHAPES[group][1:], ['onnx']).files
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ['OMP_NUM_THREADS'])
        session = onnxruntime.InferenceSession(str(file), options, providers=['CPUExecutionProvider'])
    images = {'data': batch(group)[0]}
    return lambda: session.run(None, images)


def torch(group, how):
    """The network of tests/test_oracles.py, an independent writing."""
    import torch
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    oracles = tests_module('test_oracles')
    torch.manual_seed(0)
    net = oracles.Network(**network(group).config)
    images, labels = (torch.from_numpy(array) for array in batch(group))
    labels = labels.long()
    if how != '':
        net, images = net.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    if group.startswith('inference'):
        net.eval()

        def answer():
            with torch.inference_mode():
                net(images)
        return answer
    call = torch.compile(net) if how == 'compiled' else net
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def step():
        with torch.autocast('cpu', torch.bfloat16, enabled=how == 'bfloat16'):
            value = torch.nn.functional.cross_entropy(call(images), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return step


def contestant(group, name):
    """Be one contestant: set up, say so, then make one step for each line that comes in and answer with its seconds."""
    kind, _, how = name.partition(', ')
    make = {'listing': listing, 'package': package, 'zoo': zoo, 'onnxruntime': onnx, 'torch': torch}[kind]
    try:
        step = make(group, how) if kind in ('package', 'torch') else make(group)
        for _ in range(3):
            step()
    except ImportError as error:
        print(f'left out: {error}', file=sys.__stdout__, flush=True)
        return
    print('ready', file=sys.__stdout__, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            step()
        print((time.perf_counter() - start) / int(line), file=sys.__stdout__, flush=True)


def measure(group, starts, rounds, threads):
    """The seconds of each contestant of `group`, turn by turn, and what was measured."""
    what, names, base = GROUPS[group]
    runs = [turns(group, rounds, threads) for _ in range(starts)]
    left_out = {name: why for _, missing in runs for name, why in missing.items()}
    return {'what': what, 'base': base, 'left_out': left_out, 'images': SHAPES[group][0], 'threads': threads,
            'starts': starts, 'seconds': {name: [value for seconds, _ in runs for value in seconds[name]]
                                          for name in names if name not in left_out}}


def turns(group, rounds, threads):
    """Start the contestants of `group` and let them take turns: seconds by name, and who was left out and why."""
    _, names, _ = GROUPS[group]
    steps = 20 if group.startswith('inference') else 1
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
    processes, ready, left_out = {}, [], {}
    try:
        for name in names:  # one after the other, so that none sets up while another warms up
            process = subprocess.Popen([sys.executable, __file__, '--child', json.dumps([group, name])], cwd=ROOT,
                                       text=True, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            processes[name] = process
            answer = ''
            for answer in process.stdout:
                if answer.startswith(('ready', 'left out')):
                    break
            if answer.startswith('ready'):
                ready.append(name)
            else:
                left_out[name] = answer.partition(': ')[2].strip() or 'it ended early: see its message above'
            print(f'{group}: {name}: {answer.strip() or "ended early"}', flush=True)

        def take(name):
            processes[name].stdin.write(f'{steps}\n')
            processes[name].stdin.flush()
            return float(processes[name].stdout.readline())
        seconds = in_turn(ready, rounds, take, lambda value: f'{1e3 * value:.4g} ms')
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return seconds, left_out


def table(record):
    """The record as Markdown, a table for each group."""
    parts = []
    for group in record['groups'].values():
        base, rows = group['seconds'][group['base']], []
        for name, values in group['seconds'].items():
            low, middle, high = (1e3 * value for value in statistics.quantiles(values, n=4, method='inclusive'))
            rows.append((name, f'{middle:.4g}', f'{low:.4g} to {high:.4g}', f'{1e3 * group["images"] / middle:.0f}',
                         f'{ratio(base, values):.2f}'))
        rows += [(name, f'left out: {why}', '', '', '') for name, why in group['left_out'].items()]
        parts.append(markdown([group['what'], '>ms, median', '>quartiles', '>images/s',
                               f'>times as fast as {group["base"]}'], rows))
    group = next(iter(record['groups'].values()))
    turns, starts = len(next(iter(group['seconds'].values()))), group.get('starts', 1)
    parts.append(BENCHMARK.measured(record, f'{group["threads"]} threads', f'{turns} turns ({starts} starts)',
                                    f'PyTorch {record["torch"]}'))
    return '\n\n'.join(parts)


BENCHMARK = Benchmark(__file__, table)


def main():
    parser = BENCHMARK.options(__doc__, starts=(3, 'times that all start again'),
                               rounds=(10, 'turns a start, at least 2'), threads=(2, 'OpenMP threads of each'))
    parser.add_argument('--group', action='append', choices=GROUPS, help='only this group; write no record')
    options = parser.parse_args()
    if options.child:
        contestant(*json.loads(options.child))
        return
    if options.rounds < 2 or min(options.starts, options.threads) < 1:
        parser.error('--rounds must be at least 2, --starts and --threads at least 1')
    if options.table:
        return BENCHMARK.publish(BENCHMARK.read())
    try:
        torch_version = metadata.version('torch')
    except metadata.PackageNotFoundError:
        torch_version = 'not installed'
    with measuring(torch=torch_version) as record:
        record['groups'] = {group: measure(group, options.starts, options.rounds, THREADS.get(group, options.threads))
                            for group in options.group or GROUPS}
    if options.group:
        print(table(record))
        return
    BENCHMARK.write(record)
    BENCHMARK.publish(record)


if __name__ == '__main__':
    main()
