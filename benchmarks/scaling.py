"""What a step on many machines takes: measured on this one, and computed for faster and slower networks.

Measured are the computing of one process for batches of several sizes, and what jobs of one and two workers need to add
up the gradients over the loopback interface, in about two minutes. The record goes to ``records/scaling.json``, the
table to ``docs/distributed/README.md``.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import readme

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / 'records' / 'scaling.json'
START, END = '<!-- scaling table: made by benchmarks/scaling.py -->', '<!-- end of scaling table -->'
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
                    '--', sys.executable, __file__, '--worker', str(result)], check=True,
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
    lines = ['| measured here | |', '|---|---:|',
             f'| parameters, in arrays | {record["bytes"] // 4:,} in {exchanges["1"]["arrays"]} |',
             f'| bytes a worker pushes in a step, and pulls again | {record["bytes"]:,} |']
    lines += [f'| computing a step of {size} images, processor time of one thread | {1e3 * seconds:.0f} ms |'
              for size, seconds in record['compute'].items()]
    for workers, found in exchanges.items():
        rate, many = 2 * 4 * LARGE * int(workers) / found['large'] / 1e9, f'{workers} worker{"s" * (workers > "1")}'
        lines += [f'| adding up the gradients on loopback, {many} | {1e3 * found["gradients"]:.0f} ms |',
                  f'| as many messages of one number each, {many} | {1e3 * found["tiny"]:.0f} ms |',
                  f'| one large array, in and out of the server, {many} | {rate:.2f} GB/s |']
    lines += ['', f'| computed: {record["batch_size"]} images a step | 1 Gbit/s | 10 Gbit/s | 100 Gbit/s |',
              '|---|---:|---:|---:|']
    for workers in WORKERS:
        cells = [predicted(record, workers, gigabits) for gigabits in (1, 10, 100)]
        lines.append(f'| {workers} machines: ms a step, times as fast as one | ' + ' | '.join(
            f'{1e3 * seconds:.0f}, {one / seconds:.2f}' for seconds in cells) + ' |')
    before, after = record['load']
    return '\n'.join([*lines, '', f'Measured on {record["started"][:10]}, {record["machine"]["cpu"]}, the fastest of 8 '
                      f'to 40 tries, {record["machine"]["cores"]} cores shared with other work (load average '
                      f'{before:.1f} before, {after:.1f} after), MXNet {record["versions"]["mxnet"]}, by '
                      '`python benchmarks/scaling.py`.'])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--table', action='store_true', help='only make the table of the record')
    parser.add_argument('--worker', metavar='FILE', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        found, rank = exchange()
        if rank == 0:
            pathlib.Path(options.worker).write_text(json.dumps(found))
        return
    if options.table:
        record = json.loads(RECORD.read_text())
    else:
        from d2l_densenet import count_parameters
        from d2l_densenet.runs.directories import machine, versions, write_atomically
        os.environ.setdefault('OMP_NUM_THREADS', '1')
        started, load = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'), os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as temporary:
            exchanges = {str(workers): job(workers, pathlib.Path(temporary)) for workers in (1, 2)}
        sizes = [BATCH, *(BATCH // workers for workers in WORKERS)]
        record = {
            'started': started, 'batch_size': BATCH, 'size': SIZE, 'bytes': 4 * count_parameters(network()),
            'compute': {str(size): compute(size) for size in sizes}, 'exchange': exchanges,
            'load': [load, os.getloadavg()[0]], 'machine': machine(), 'versions': versions()}
        write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
    readme.put(START, END, table(record))
    print(table(record))


if __name__ == '__main__':
    main()
