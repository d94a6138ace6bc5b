"""What each worker of the jobs in runs/test_workers.py runs: a small network without batch normalization."""

import contextlib
import json
import os
import pathlib
import signal
import sys

import mxnet as mx
import numpy
from mxnet import gluon

from d2l_densenet import ImageLoader, fit


def loader(batch_size=8, count=30):
    """30 images in batches of 8: of the last 6, three for each of two workers."""
    pixels = numpy.random.default_rng(0)
    images, labels = pixels.integers(0, 256, (count, 12, 12), dtype='uint8'), pixels.integers(0, 3, count)
    return ImageLoader(images, labels, batch_size, shuffle=True, flip=True, crop=1)


class Counting(ImageLoader):
    """Counts the images that this process has been given, by this loader and its parts."""

    seen = 0

    def __iter__(self):
        for X, y in super().__iter__():
            Counting.seen += len(y)
            yield X, y


class Killing(ImageLoader):
    """After so many batches the process is gone."""

    left = 0

    def __iter__(self):
        for batch in super().__iter__():
            yield batch
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def network(seed=1):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(4, 3, in_channels=1, activation='relu'), gluon.nn.GlobalAvgPool2D(),
            gluon.nn.Dense(3, in_units=4))
    mx.random.seed(seed)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return net


def train(net, train_iter, optimizer='sgd', **kwargs):
    """Three epochs of four steps."""
    params = {'learning_rate': 0.02 if optimizer == 'muon' else 0.1}
    return fit(net, train_iter, loader(), 3, seed=1, progress=False, optimizer=optimizer,
               optimizer_params=params, **kwargs)


def values(net):
    mx.nd.waitall()
    return [parameter.data().asnumpy() for parameter in net.collect_params().values()]


def listening():
    """Addresses, in hexadecimal, at which this process's siblings and itself listen."""
    inodes = set()
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if int((process / 'stat').read_text().rpartition(')')[2].split()[1]) == os.getppid():
                for link in (process / 'fd').iterdir():
                    with contextlib.suppress(OSError):  # the one that lists them
                        inodes.add(os.readlink(link).removeprefix('socket:[').removesuffix(']'))
    rows = [line.split() for name in ('tcp', 'tcp6') if os.path.exists(f'/proc/net/{name}')
            for line in pathlib.Path(f'/proc/net/{name}').read_text().splitlines()[1:]]
    return sorted(row[1].partition(':')[0] for row in rows if row[3] == '0A' and row[9] in inodes)


def main(directory, optimizer, resume, kill_after):
    from d2l_densenet.runs.workers import join
    workers, train_iter = join(), loader()
    train_iter.__class__ = Counting
    if workers.rank == 1 and int(kill_after) < 0:
        raise OSError('a worker that fails alone')
    if workers.rank == 1 and int(kill_after):
        train_iter.__class__, train_iter.left = Killing, int(kill_after)
    # Other initial values in each worker: those of worker 0 must count.
    net = network(seed=1 + workers.rank)
    history = train(net, train_iter, optimizer, kvstore='dist_sync', checkpoint_dir=f'{directory}/checkpoints',
                    checkpoint_seconds=0, resume=resume == 'resume')
    numpy.savez(f'{directory}/{workers.rank}.npz', *values(net))
    rows = [{name: row[name] for name in ('loss', 'train_acc', 'test_acc')} for row in history.rows]
    refused = ''
    try:
        train(net, loader(), kvstore='dist_sync')
    except ValueError as error:
        refused = str(error)
    pathlib.Path(f'{directory}/{workers.rank}.json').write_text(json.dumps(
        {'rows': rows, 'seen': Counting.seen, 'listening': listening(), 'refused': refused, 'rank': workers.rank}))


if __name__ == '__main__':
    main(*sys.argv[1:])
