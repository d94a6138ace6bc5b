"""Compare this package with an earlier state of itself: time and memory of a training step, and bits.

``python benchmarks/editions.py CHECKOUT``, where CHECKOUT is a directory with the earlier state (``git worktree
add``), writes ``records/editions.json`` and the table in docs/measurements.md. Each number comes from a process of its
own; the two states take turns, so that a busy machine slows both, and the table shows medians of rounds and of each
round's ratio.
"""

import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from harness import ROOT, Benchmark, in_turn, kilobytes, markdown, measuring, ratio

#: Name: network, memory-efficient, shape of a batch, steps after the first.
CONTESTANTS = {
    'article': ('article', False, (256, 1, 48, 48), 20),
    'DenseNet-BC (100, 12)': ('densenet_bc_100_12', False, (32, 3, 32, 32), 4),
    'DenseNet-BC (100, 12), memory-efficient': ('densenet_bc_100_12', True, (32, 3, 32, 32), 4)}


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
    """The rows as Markdown."""
    rows = []
    for name, states in record['runs'].items():
        cells = []
        for key, faster in (('ms', True), ('mb', False)):
            new, old = ([run[key] for run in states[state]] for state in ('new', 'old'))
            cells += [f'{statistics.median(new):.0f}', f'{statistics.median(old):.0f}',
                      f'{ratio(old, new) if faster else ratio(new, old):.2f}']
        bits = {run['parameters'] for runs in states.values() for run in runs}
        rows.append((name, *cells, 'the same to the bit' if len(bits) == 1 else 'differ in rounding'))
    return '\n\n'.join([
        markdown(['one training step', '>ms', '>earlier', '>times as fast', '>peak memory, MB', '>earlier', '>times',
                  'parameters afterwards'], rows),
        f'Earlier: commit {record["earlier"][:7]}. ' + BENCHMARK.measured(
            record, f'{record["threads"]} thread(s)', f'{record["rounds"]} rounds')])


BENCHMARK = Benchmark(__file__, table)


def main():
    parser = BENCHMARK.options(__doc__, rounds=(9, 'how often both states are measured'))
    parser.add_argument('checkout', nargs='?', type=pathlib.Path, help='directory that holds the earlier state')
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(*json.loads(options.child))))
        return
    if options.table:
        BENCHMARK.publish(BENCHMARK.read())
        return
    if not options.checkout or not (options.checkout / 'd2l_densenet').is_dir():
        parser.error(f'CHECKOUT must be a directory that holds d2l_densenet, got {options.checkout}')
    places = {'new': str(ROOT), 'old': str(options.checkout.resolve())}
    threads = os.environ.setdefault('OMP_NUM_THREADS', '2')
    earlier = subprocess.run(['git', '-C', places['old'], 'rev-parse', 'HEAD'], check=True, text=True,
                             stdout=subprocess.PIPE).stdout.strip()
    with measuring(threads=threads, rounds=options.rounds, earlier=earlier, seed=0, data='random numbers') as record:
        pairs = [(name, state) for name in CONTESTANTS for state in places]
        found = in_turn(pairs, options.rounds, lambda pair: BENCHMARK.process([places[pair[1]], pair[0]]),
                        lambda run: f'{run["ms"]:.0f} ms')
        record['runs'] = {name: {state: found[name, state] for state in places} for name in CONTESTANTS}
    BENCHMARK.write(record)
    BENCHMARK.publish(record)


if __name__ == '__main__':
    main()
