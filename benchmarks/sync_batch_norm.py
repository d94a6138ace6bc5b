"""Does Gluon's SyncBatchNorm work on two CPU contexts? Print a table: what was set, and how far it came.

Each row is a process of its own, ended half a minute after the last of them has come through the forward pass, because
a backward pass that hangs cannot be ended otherwise.
"""

import os
import subprocess
import sys
import tempfile
import time

SETTINGS = {
    'as it is': {}, 'np arrays': {'MODE': 'np'},
    'one backward call a device': {'MODE': 'apart'},
    'four threads a device': {'MXNET_CPU_WORKER_NTHREADS': '4'},
    'no operators in bulk': {'MXNET_EXEC_BULK_EXEC_MAX_NODE_TRAIN': '1'},
    'both, and one backward call a device': {'MXNET_CPU_WORKER_NTHREADS': '4', 'MODE': 'apart',
                                             'MXNET_EXEC_BULK_EXEC_MAX_NODE_TRAIN': '1'},
    'ThreadedEngine': {'MXNET_ENGINE_TYPE': 'ThreadedEngine', 'MXNET_CPU_WORKER_NTHREADS': '4'}}
SECONDS = 30


def attempt():
    """Normalise a batch on two devices, forwards and backwards, and compare with one device."""
    import mxnet as mx
    import numpy
    from mxnet import autograd, gluon
    from mxnet.gluon.contrib.nn import SyncBatchNorm
    mode, devices = os.environ.get('MODE'), [mx.cpu(0), mx.cpu(1)]
    if mode == 'np':
        mx.npx.set_np()
    array = mx.np.array if mode == 'np' else mx.nd.array
    X = numpy.random.default_rng(0).normal(1, 2, (4, 3, 4, 4)).astype('float32')
    norm = SyncBatchNorm(in_channels=3, num_devices=2)
    norm.initialize(ctx=devices)
    parts = gluon.utils.split_and_load(array(X), devices)
    for part in parts:
        part.attach_grad()
    with autograd.record():
        print('it cannot be called', flush=True)
        out = [norm(part) for part in parts]
        losses = [one * one * one for one in out]
    mx.nd.waitall()
    expected = (X - X.mean((0, 2, 3), keepdims=True)) / numpy.sqrt(X.var((0, 2, 3), keepdims=True) + 1e-5)
    error = abs(numpy.concatenate([one.asnumpy() for one in out]) - expected).max()
    print(f'forwards, right to {error:.0e}; the backward pass hung', flush=True)
    if mode == 'apart':
        for loss in losses:
            loss.backward()
    else:
        autograd.backward(losses)
    mx.nd.waitall()
    print('forwards and backwards', flush=True)


def main():
    runs = {}
    for name, settings in SETTINGS.items():
        output = tempfile.TemporaryFile('w+')
        runs[name] = output, subprocess.Popen([sys.executable, __file__, 'attempt'], env={**os.environ, **settings},
                                              stdout=output, stderr=subprocess.DEVNULL)

    def lines(output):
        output.seek(0)
        return output.read().splitlines()

    while any(process.poll() is None and len(lines(output)) < 2 for output, process in runs.values()):
        time.sleep(1)
    time.sleep(SECONDS)
    print('| SyncBatchNorm on two CPU contexts | how far it came |\n|---|---|')
    for name, (output, process) in runs.items():
        process.kill()
        process.wait()
        print(f'| {name} | {lines(output)[-1]} |')


if __name__ == '__main__':
    attempt() if sys.argv[1:] == ['attempt'] else main()
