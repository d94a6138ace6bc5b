"""Measure the memory and the time of a training step, with and without the memory-efficient mode, and beside PyTorch.

``python benchmarks/memory.py`` writes ``records/memory.json``, the picture ``records/memory.png`` and the table in
docs/measurements.md. Every number comes from a process of its own: the memory is the most that it used at any moment
of some steps (VmHWM) over what it used before the first (the libraries, the parameters and the images), the time the
median of its steps but the first. The contestants take turns, so that a busy machine slows all of them, and the table
shows medians of rounds, and medians of each round's ratio.

- step: DenseNet-BC (100, 12) on 32 x 32 pixels, as the paper trains it on CIFAR-10. (Batches of 64 like the paper's.)
- depth: the same at other depths, for the curve.
- large: DenseNet-BC (190, 40), the largest of the paper's Table 2, with the mode on.

What is in the record is not measured again: to go on after an interruption, call it again.
"""

import importlib.util
import json
import os
import pathlib
import resource
import statistics
import time

from harness import Benchmark, kilobytes, markdown, measuring, now, ratio

#: Contestants: what the table calls them.
CONTESTANTS = {
    'imperative': 'MXNet, imperative',
    'hybridized': 'MXNet, hybridized (`static_alloc`)',
    'efficient': '`memory_efficient=True`',
    'efficient, one array': '`memory_efficient=True`, `MXNET_CPU_TEMP_COPY=1`',
    'torch': 'PyTorch',
    'torch checkpoint': 'PyTorch, `torch.utils.checkpoint`'}
BATCH, DEPTH_BATCH = 64, 16
DEPTHS = (22, 40, 64, 100, 148, 190)


def mxnet_step(contestant, depth, growth_rate, batch):
    """A function that takes one training step of a DenseNet-BC."""
    if contestant.endswith('one array'):
        os.environ['MXNET_CPU_TEMP_COPY'] = '1'
    import mxnet as mx
    import numpy
    from mxnet import autograd, gluon

    from d2l_densenet import densenet, he_initialize
    from d2l_densenet.execution import recompute
    net = densenet('densenet_bc_100_12', growth_rate=growth_rate, num_init_features=2 * growth_rate,
                   block_config=((depth - 4) // 6,) * 3, memory_efficient=contestant.startswith('efficient'))
    he_initialize(net)
    if contestant != 'imperative':
        net.hybridize(static_alloc=True, static_shape=True)
    X = mx.nd.array(numpy.random.default_rng(0).standard_normal((batch, 3, 32, 32)))
    y = mx.nd.array(numpy.arange(batch) % 10)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'nag', {'learning_rate': 0.1, 'momentum': 0.9, 'wd': 1e-4})
    record, backward = ((recompute.record, recompute.backward) if net.memory_efficient else
                        (autograd.record, autograd.backward))

    def step():
        with record():
            losses = loss(net(X), y)
        backward(losses)
        trainer.step(batch)
        mx.nd.waitall()
        return float(losses.mean().asscalar())
    mx.nd.waitall()
    return step


def torch_step(contestant, depth, growth_rate, batch):
    """The same in PyTorch; with checkpoint as in torchvision, from the concatenation to the bottleneck's output."""
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.checkpoint import checkpoint

    class Layer(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm1, self.conv1 = nn.BatchNorm2d(width), nn.Conv2d(width, 4 * growth_rate, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(4 * growth_rate)
            self.conv2 = nn.Conv2d(4 * growth_rate, growth_rate, 3, padding=1, bias=False)

        def bottleneck(self, *features):
            return self.conv1(F.relu(self.norm1(torch.cat(features, dim=1))))

        def forward(self, features):
            h = checkpoint(self.bottleneck, *features, use_reentrant=False) if contestant.endswith('checkpoint') else \
                self.bottleneck(*features)
            return self.conv2(F.relu(self.norm2(h)))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            width, layers = 2 * growth_rate, (depth - 4) // 6
            self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
            self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
            for number in range(3):
                self.blocks.append(nn.ModuleList(Layer(width + i * growth_rate) for i in range(layers)))
                width += layers * growth_rate
                if number < 2:
                    self.transitions.append(nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(),
                                                          nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)))
                    width //= 2
            self.norm, self.head = nn.BatchNorm2d(width), nn.Linear(width, 10)

        def forward(self, x):
            x = self.stem(x)
            for number, block in enumerate(self.blocks):
                features = [x]
                for layer in block:
                    features.append(layer(features))
                x = torch.cat(features, dim=1)
                if number < 2:
                    x = self.transitions[number](x)
            return self.head(F.relu(self.norm(x)).mean(dim=(2, 3)))

    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    torch.manual_seed(0)
    net = Network()
    X, y = torch.randn(batch, 3, 32, 32), torch.arange(batch) % 10
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(X), y)
        loss.backward()
        optimizer.step()
        return loss.item()
    return step


def child(job):
    """Take the steps of a job and print what they needed, as JSON."""
    make = torch_step if job['contestant'].startswith('torch') else mxnet_step
    step = make(job['contestant'], job['depth'], job['growth_rate'], job['batch'])
    pathlib.Path('/proc/self/clear_refs').write_text('5')  # VmHWM starts again
    base = kilobytes('VmRSS')
    seconds, processor, losses = [], [], []
    for _ in range(job['steps']):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        losses.append(step())
        after = resource.getrusage(resource.RUSAGE_SELF)
        seconds.append(time.perf_counter() - start)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(json.dumps({'base_gb': base * 1024 / 1e9, 'peak_gb': (kilobytes('VmHWM') - base) * 1024 / 1e9,
                      'seconds': seconds, 'processor_seconds': processor, 'losses': losses}))


def jobs(options):
    """All jobs, in the order in which they run."""
    def job(part, contestant, depth, growth_rate, batch, steps, turn=0):
        return {'part': part, 'contestant': contestant, 'depth': depth, 'growth_rate': growth_rate, 'batch': batch,
                'steps': steps, 'round': turn}
    for turn in range(options.rounds):
        for contestant in CONTESTANTS:
            yield job('step', contestant, 100, 12, BATCH, options.steps, turn)
    for depth in DEPTHS:
        for contestant in ('hybridized', 'efficient, one array'):
            yield job('depth', contestant, depth, 12, DEPTH_BATCH, 2)
    if options.large_batch:
        yield job('large', 'efficient, one array', 190, 40, options.large_batch, 1)


def measure(options):
    """Run the jobs that the record lacks, and write it after each."""
    old = BENCHMARK.read() if BENCHMARK.record.exists() and not options.again else {'rows': []}
    for job in jobs(options):
        if job in [row['job'] for row in old['rows']] or (
                job['contestant'].startswith('torch') and not importlib.util.find_spec('torch')):
            continue
        with measuring() as record:
            found = BENCHMARK.process(job, OMP_NUM_THREADS=str(options.threads))
        record['machine']['omp_threads'] = str(options.threads)
        row = {'job': job, **found, 'load': record['load'][1], 'finished': now()}
        old = {**old, 'rows': [*old['rows'], row], 'versions': record['versions'], 'machine': record['machine']}
        BENCHMARK.write(old)
        seconds = statistics.median(found['seconds'][1:] or found['seconds'])
        print(f'{job["part"]} {job["contestant"]}, depth {job["depth"]}, batch {job["batch"]}: '
              f'{found["peak_gb"]:.2f} GB, {seconds:.2f} s', flush=True)
    return old


def curves(record):
    """For the two ways: depth against GB, as measured."""
    found = {}
    for row in record['rows']:
        if row['job']['part'] == 'depth':
            name = 'usual' if row['job']['contestant'] == 'hybridized' else 'memory-efficient'
            found.setdefault(name, []).append((row['job']['depth'], row['peak_gb']))
    return {name: sorted(points) for name, points in found.items()}


def counted(depths):
    """For the two ways: depth against the bytes that they keep for the backward pass."""
    from d2l_densenet import densenet, summary
    found = {'usual': [], 'memory-efficient': []}
    for depth in depths:
        layers = (depth - 4) // 6
        net = densenet('densenet_bc_100_12', block_config=(layers,) * 3)
        found['usual'].append((depth, DEPTH_BATCH * summary(net, (3, 32, 32)).activation_bytes))
        # Features, and in all blocks but the first the bottlenecks' outputs.
        values, width = 0, 24
        for number, (rows, columns) in enumerate(net.stage_sizes(32, 32)):
            values += rows * columns * (width + layers * 12 + (layers * 48 if number else 0))
            width = (width + layers * 12) // 2
        found['memory-efficient'].append((depth, DEPTH_BATCH * 4 * values))
    return found


def table(record):
    """The rows as Markdown."""
    found = {}
    for row in record['rows']:
        if row['job']['part'] == 'step':
            found.setdefault(row['job']['contestant'], {})[row['job']['round']] = (
                row['peak_gb'], statistics.median(row['seconds'][1:]), statistics.median(row['processor_seconds'][1:]))
    base, rows = found['hybridized'], []
    for contestant, name in CONTESTANTS.items():
        if contestant in found:
            ours = found[contestant]
            both = [turn for turn in ours if turn in base]
            memory, wall, processor = (ratio([ours[turn][i] for turn in both], [base[turn][i] for turn in both])
                                       for i in range(3))
            peak, seconds, _ = (statistics.median(values) for values in zip(*ours.values()))
            rows.append((name, f'{peak:.2f}', f'{100 * memory:.0f} %', f'{seconds:.1f}', f'{wall:.2f}',
                         f'{processor:.2f}'))
    depths = curves(record)
    loads, last = [row['load'] for row in record['rows']], record['rows'][-1]
    text = [f'DenseNet-BC (100, 12), batch {BATCH}, 32 x 32 pixels; medians of {len(base)} rounds and of their '
            'ratios; every contestant had a process of its own; memory over what that had before the first step.']
    for row in record['rows']:
        if row['job']['part'] == 'large':
            text.append(f'DenseNet-BC ({row["job"]["depth"]}, {row["job"]["growth_rate"]}), 25.6 M parameters, took a '
                        f'step of {row["job"]["batch"]} images with the mode on in {row["peak_gb"]:.2f} GB '
                        f'({row["base_gb"]:.2f} GB before it) and {row["seconds"][0]:.0f} s.')
    text.append(BENCHMARK.measured(
        {**record, 'started': last['finished']}, f'{record["machine"]["omp_threads"]} thread(s)',
        f'load average {min(loads):.1f} to {max(loads):.1f} (a busy machine: compare ratios, not seconds)'))
    return '\n\n'.join([
        markdown(['one training step', '>peak memory, GB', '>of hybridized', '>step, s', '>times hybridized',
                  '>processor time, times hybridized'], rows),
        markdown([f'depth L (DenseNet-BC, k = 12, batch {DEPTH_BATCH})',
                  *(f'>{depth}' for depth, _ in depths['usual'])],
                 [(f'{name}, peak GB', *(f'{gb:.2f}' for _, gb in points)) for name, points in depths.items()]),
        ' '.join(text)])


BENCHMARK = Benchmark(__file__, table)


def main():
    parser = BENCHMARK.options(
        __doc__, rounds=(5, 'rounds of the first part'), steps=(4, 'steps in each process'),
        threads=(1, 'OpenMP threads'),
        large_batch=(64, 'images in the step of DenseNet-BC (190, 40); 0: leave it out'))
    parser.add_argument('--again', action='store_true', help='forget the record and measure everything')
    options = parser.parse_args()
    if options.child:
        return child(json.loads(options.child))
    if min(options.rounds, options.threads) < 1 or options.steps < 2:
        parser.error('--rounds and --threads must be at least 1, --steps at least 2')
    record = BENCHMARK.read() if options.table else measure(options)
    from d2l_densenet.plots import plot_memory
    measured = curves(record)
    figure = plot_memory(counted([depth for depth, _ in measured['usual']]),
                         {name: [(depth, 1e9 * gb) for depth, gb in points] for name, points in measured.items()})
    figure.savefig(BENCHMARK.record.with_suffix('.png'), dpi=120)
    BENCHMARK.publish(record)


if __name__ == '__main__':
    main()
