"""Compare this package with an earlier state of itself: time and memory of a training step, and bits.

``python benchmarks/editions.py CHECKOUT``, where CHECKOUT is a directory with the earlier state (``git worktree
add``), writes ``records/editions.json`` and the table in docs/measurements.md. Each number comes from a process of its
own; the two states take turns, so that a busy machine slows both, and the table shows medians of rounds and of each
round's ratio.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / 'records' / 'editions.json'
START, END = '<!-- editions table: made by benchmarks/editions.py -->', '<!-- end of editions table -->'
#: Name: network, memory-efficient, shape of a batch, steps after the first.
CONTESTANTS = {
    'article': ('article', False, (256, 1, 48, 48), 20),
    'DenseNet-BC (100, 12)': ('densenet_bc_100_12', False, (32, 3, 32, 32), 4),
    'DenseNet-BC (100, 12), memory-efficient': ('densenet_bc_100_12', True, (32, 3, 32, 32), 4)}


def kilobytes(name):
    """A line of this process's memory, such as VmHWM, in kB."""
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def child(checkout, contestant):
    """Take the steps; milliseconds of a step, peak memory in MB, and a checksum of the parameters."""
    sys.path.insert(0, checkout)
    import mxnet as mx
    import numpy
    from mxnet import autograd, gluon

    import d2l_densenet
    from d2l_densenet import DenseNet, densenet, he_initialize, recompute
    assert pathlib.Path(d2l_densenet.__file__).is_relative_to(checkout)
    name, efficient, shape, steps = CONTESTANTS[contestant]
    net = DenseNet() if name == 'article' else densenet(name)
    net.memory_efficient = efficient
    he_initialize(net, 0, shape[1:])
    net.hybridize(static_alloc=True, static_shape=True)
    random = numpy.random.default_rng(0)
    X = mx.nd.array(random.standard_normal(shape), dtype='float32')
    y = mx.nd.array(random.integers(0, 10, shape[0]), dtype='int32')
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.05, 'momentum': 0.9})
    mx.nd.waitall()
    base, seconds = kilobytes('VmHWM'), []
    for _ in range(1 + steps):
        start = time.perf_counter()
        with recompute.record() if efficient else autograd.record():
            losses = loss(net(X), y)
        if efficient:
            recompute.backward(losses)
        else:
            losses.backward()
        trainer.step(shape[0])
        mx.nd.waitall()
        seconds.append(time.perf_counter() - start)
    digest = hashlib.sha256()
    for parameter in net.collect_params().values():
        digest.update(parameter.data().asnumpy().tobytes())
    return {'ms': 1000 * statistics.median(seconds[1:]), 'mb': (kilobytes('VmHWM') - base) / 1000,
            'parameters': digest.hexdigest()}


def table(record):
    rows = ['| one training step | ms | earlier | times as fast | peak memory, MB | earlier | times '
            '| parameters afterwards |', '|---|---:|---:|---:|---:|---:|---:|---|']
    for name, runs in record['runs'].items():
        new, old = ([run[which] for run in runs] for which in ('new', 'old'))
        middle = [statistics.median(run[key] for run in state) for key in ('ms', 'mb') for state in (new, old)]
        faster = statistics.median(b['ms'] / a['ms'] for a, b in zip(new, old))
        memory = statistics.median(a['mb'] / b['mb'] for a, b in zip(new, old))
        same = len({run['parameters'] for run in new + old}) == 1
        rows.append(f'| {name} | {middle[0]:.0f} | {middle[1]:.0f} | {faster:.2f} | {middle[2]:.0f} | {middle[3]:.0f} '
                    f'| {memory:.2f} | {"the same to the bit" if same else "differ in rounding"} |')
    machine, load = record['machine'], record['load']
    return '\n'.join([
        *rows, '', f'Earlier: commit {record["earlier"][:7]}. {len(runs)} rounds. Measured on {record["date"]}, '
        f'{machine["cpu"]}, {record["threads"]} thread(s), load average {load[0]:.1f} before and {load[1]:.1f} after, '
        f'MXNet {record["versions"]["mxnet"]}, by `python benchmarks/editions.py CHECKOUT`.'])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkout', type=pathlib.Path, help='directory that holds the earlier state')
    parser.add_argument('--rounds', type=int, default=9, help='how often both states are measured (default: 9)')
    parser.add_argument('--child', metavar='CONTESTANT', choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    checkout = arguments.checkout.resolve()
    if arguments.child:
        print(json.dumps(child(str(checkout), arguments.child)))
        return
    if not (checkout / 'd2l_densenet').is_dir():
        parser.error(f'{checkout} holds no d2l_densenet')
    import readme

    from d2l_densenet.runs.directories import machine, versions, write_atomically
    threads = os.environ.setdefault('OMP_NUM_THREADS', '2')
    before, runs = os.getloadavg()[0], {name: [] for name in CONTESTANTS}
    for number in range(arguments.rounds):
        for name in CONTESTANTS:
            turn = {}
            for which, place in (('new', ROOT), ('old', checkout))[::1 if number % 2 else -1]:
                done = subprocess.run([sys.executable, __file__, '--child', name, place], check=True, text=True,
                                      stdout=subprocess.PIPE)
                turn[which] = json.loads(done.stdout.splitlines()[-1])
            runs[name].append(turn)
            print(f'round {number + 1} of {arguments.rounds}, {name}: {turn["new"]["ms"]:.0f} ms, earlier '
                  f'{turn["old"]["ms"]:.0f}', flush=True)
    earlier = subprocess.run(['git', '-C', checkout, 'rev-parse', 'HEAD'], check=True, text=True,
                             stdout=subprocess.PIPE).stdout.strip()
    record = {'date': datetime.date.today().isoformat(), 'machine': machine(), 'versions': versions(),
              'threads': threads, 'load': [before, os.getloadavg()[0]], 'earlier': earlier, 'seed': 0,
              'data': 'random numbers', 'runs': runs}
    write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
    readme.put(START, END, table(record))


if __name__ == '__main__':
    main()
