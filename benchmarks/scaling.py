"""What a step on many machines takes: measured on this one, and computed for faster and slower networks.

Measured are the computing of one process for batches of several sizes, and what jobs of one and two workers need to add
up the gradients over the loopback interface, in about two minutes. The record goes to ``records/scaling.json``, the
table to ``docs/distributed/README.md``.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from harness import ROOT, Benchmark, markdown, measuring

BATCH, SIZE = 128, 48
WORKERS = (2, 4, 8)
# A number of floats that takes long enough for its time to be its bytes'.
LARGE = 8 * 2 ** 20


def fastest(act, times, clock=time.perf_counter):
    """Seconds of the fastest of `times` calls, after one that warms up: other work on the machine counts least."""
    act()
    seconds = []
    for _ in range(times):
        started = clock()
        act()
        seconds.append(clock() - started)
    return min(seconds)


def network():
    import mxnet as mx

    from d2l_densenet import DenseNet
    net = DenseNet(in_channels=1)
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def compute(batch_size, times=8):
    """Seconds of processor time, of one thread, that a step of the course's recipe takes."""
    import mxnet as mx
    from mxnet import autograd, gluon

    from d2l_densenet import Muon  # noqa: F401  (so that Trainer knows it)
    net, loss = network(), gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'muon', {'wd': 1e-3})
    X = mx.nd.random.uniform(shape=(batch_size, 1, SIZE, SIZE))
    y = mx.nd.random.randint(0, 10, shape=(batch_size,))

    def step():
        with autograd.record():
            value = loss(net(X), y)
        value.backward()
        trainer.step(batch_size)
        mx.nd.waitall()

    return fastest(step, times, time.process_time)


def exchange():
    """What a worker measures: adding up the network's gradients, as many tiny arrays, one large array."""
    import mxnet as mx

    from d2l_densenet.runs.workers import join
    workers = join()
    shapes = [p.shape for p in network().collect_params().values() if p.grad_req != 'null']
    kinds = {'gradients': shapes, 'tiny': [(1,)] * len(shapes), 'large': [(LARGE,)]}
    found, key = {'arrays': len(shapes)}, 0
    for kind, all_shapes in kinds.items():
        arrays = []
        for shape in all_shapes:
            arrays.append((key, mx.nd.ones(shape)))
            workers.store.init(*arrays[-1])
            key += 1

        def push_and_pull(arrays=arrays):
            for number, array in arrays:
                workers.store.pushpull(number, array, priority=-number)
            mx.nd.waitall()

        found[kind] = fastest(push_and_pull, 8 if kind == 'large' else 40)
    workers.leave_together()
    return found, workers.rank


def job(workers, place):
    """`exchange` in a job of so many workers and one server; the figures of worker 0."""
    result = place / f'{workers}.json'
    subprocess.run([sys.executable, '-m', 'd2l_densenet', 'launch', '--workers', str(workers), '--time-limit', '120',
                    '--', sys.executable, __file__, '--child', str(result)], check=True,
                   env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'})
    return json.loads(result.read_text())


def predicted(record, workers, gigabits):
    """Seconds of a step of `workers` machines, each a worker and a server, on links of so many Gbit/s each way."""
    # The gradients go out of each worker, then the sums come back. With as many servers as workers each server has the
    # work that the one of the measured job of one worker had.
    sending = 2 * record['bytes'] * 8 / (gigabits * 1e9)
    return record['compute'][str(record['batch_size'] // workers)] + record['exchange']['1']['gradients'] + sending


def table(record):
    """The figures as Markdown."""
    one = record['compute'][str(record['batch_size'])]
    exchanges = record['exchange']
    rows = [('parameters, in arrays', f'{record["bytes"] // 4:,} in {exchanges["1"]["arrays"]}'),
            ('bytes a worker pushes in a step, and pulls again', f'{record["bytes"]:,}')]
    rows += [(f'computing a step of {size} images, processor time of one thread', f'{1e3 * seconds:.0f} ms')
             for size, seconds in record['compute'].items()]
    for workers, found in exchanges.items():
        rate, many = 2 * 4 * LARGE * int(workers) / found['large'] / 1e9, f'{workers} worker{"s" * (workers > "1")}'
        rows += [(f'adding up the gradients on loopback, {many}', f'{1e3 * found["gradients"]:.0f} ms'),
                 (f'as many messages of one number each, {many}', f'{1e3 * found["tiny"]:.0f} ms'),
                 (f'one large array, in and out of the server, {many}', f'{rate:.2f} GB/s')]
    speeds = (1, 10, 100)
    computed = []
    for workers in WORKERS:
        seconds = [predicted(record, workers, gigabits) for gigabits in speeds]
        computed.append((f'{workers} machines: ms a step, times as fast as one',
                         *(f'{1e3 * value:.0f}, {one / value:.2f}' for value in seconds)))
    return '\n\n'.join([
        markdown(['measured here', '>'], rows),
        markdown([f'computed: {record["batch_size"]} images a step', *(f'>{speed} Gbit/s' for speed in speeds)],
                 computed),
        BENCHMARK.measured(record, 'the fastest of 8 to 40 tries',
                           f'{record["machine"]["cores"]} cores')])


BENCHMARK = Benchmark(__file__, table)


def main():
    options = BENCHMARK.options(__doc__).parse_args()
    if options.child:
        found, rank = exchange()
        if rank == 0:
            pathlib.Path(options.child).write_text(json.dumps(found))
        return
    if options.table:
        record = BENCHMARK.read()
    else:
        from d2l_densenet import count_parameters
        os.environ.setdefault('OMP_NUM_THREADS', '1')
        with measuring(batch_size=BATCH, size=SIZE) as record, tempfile.TemporaryDirectory() as temporary:
            record['exchange'] = {str(workers): job(workers, pathlib.Path(temporary)) for workers in (1, 2)}
            sizes = [BATCH, *(BATCH // workers for workers in WORKERS)]
            record['compute'] = {str(size): compute(size) for size in sizes}
            record['bytes'] = 4 * count_parameters(network())
        BENCHMARK.write(record)
    BENCHMARK.publish(record)


if __name__ == '__main__':
    main()
