"""What several test modules share. `pythonpath` in pyproject.toml puts it within reach of each, whatever its folder."""

import importlib.util
import io
import os
import pathlib
import subprocess
import sys

import mxnet as mx
import numpy
from mxnet import gluon, npx

from d2l_densenet import DenseNet, ImageLoader, fit

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODES = ['nd', 'np']


def switch(mode):
    """Turn an array mode on and return the function that makes its arrays (conftest turns it off again)."""
    (npx.set_np if mode == 'np' else npx.reset_np)()
    return (mx.np if mode == 'np' else mx.nd).array


def images(*shape):
    """Float32 values between 0 and 1, drawn from the test's seed."""
    return numpy.random.uniform(size=shape).astype('float32')


def values(net):
    """The value of every parameter, running statistics included, in order."""
    mx.nd.waitall()
    return [parameter.data().asnumpy() for parameter in net.collect_params().values()]


def randomized(net):
    """The network with random values everywhere, in the running statistics too."""
    for name, parameter in net.collect_params().items():
        low, high = (0.5, 2) if name.endswith(('var', 'gamma')) else (-0.4, 0.4)
        drawn = numpy.random.uniform(low, high, parameter.shape).astype('float32')
        parameter.set_data((mx.np if isinstance(parameter.data(), mx.np.ndarray) else mx.nd).array(drawn))
    return net


def gradients(net, ctx=None):
    """{name: gradient} of every parameter that has one; the names do not depend on the network's prefix."""
    mx.nd.waitall()
    return {name: parameter.grad(ctx).asnumpy() for name, parameter in net._collect_params_with_prefix().items()
            if parameter.grad_req != 'null'}


def same(one, other):
    """Whether two networks, or two lists of arrays, are equal to the bit."""
    one, other = (item if isinstance(item, (list, tuple)) else values(item) for item in (one, other))
    return len(one) == len(other) and all(a.dtype == b.dtype and numpy.array_equal(a, b) for a, b in zip(one, other))


def assert_close(actual, expected, tolerance=2e-6):
    """Equal but for rounding, measured against the largest expected value."""
    numpy.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * abs(expected).max())


def assert_gradients_close(found, expected, tolerance=1e-3):
    """Each array of two dictionaries, but for rounding.

    As a whole and not value by value, since rounding may turn a ReLU on; measured against all of them where an array
    is nothing but rounding.
    """
    assert found.keys() == expected.keys()
    scale = numpy.sqrt(sum((value ** 2).sum() for value in expected.values()))
    for name, value in expected.items():
        error = numpy.linalg.norm(found[name] - value)
        assert error <= tolerance * max(numpy.linalg.norm(value), 1e-2 * scale), (name, error)


def loader(batch_size=8, seed=0, count=30):
    """Drawn images of 20 x 20 pixels in three classes, shuffled and augmented."""
    pixels = numpy.random.default_rng(0)
    drawn = pixels.integers(0, 256, (count, 20, 20), dtype='uint8')
    return ImageLoader(drawn, pixels.integers(0, 3, count).astype('int32'), batch_size, shuffle=True, flip=True,
                       crop=1, seed=seed)


class Stop(Exception):
    """What `stopping_after` raises."""


def stopping_after(steps, **kwargs):
    """A `loader` that raises after so many batches: the process is gone, as far as `fit` can tell."""
    train_iter, left = loader(**kwargs), iter(range(steps))

    class Stopping(ImageLoader):
        def __iter__(self):
            for batch in super().__iter__():
                yield batch
                if next(left, None) is None:
                    raise Stop

    train_iter.__class__ = Stopping
    return train_iter


def environment(**changes):
    """The environment for a process that is to import this checkout; a variable given as None is absent."""
    found = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'Agg', **changes}
    return {name: value for name, value in found.items() if value is not None}


def python(*arguments, cwd=None, timeout=300, **changes):
    """Run this Python in the `environment` with `changes`; the finished process, with its output as text."""
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=environment(**changes), text=True,
                          errors='replace', capture_output=True, timeout=timeout)


def script(path):
    """The module in a file of the checkout that is a program, such as 'benchmarks/memory.py'."""
    path = ROOT / path
    sys.path.insert(0, str(path.parent))  # as when Python runs a file there
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


class Piped(io.StringIO):
    """A standard output that somebody reads while the program runs: `late` are the lines that were not flushed."""

    def __init__(self):
        super().__init__()
        self._late, self._waiting = [], False

    def write(self, text):
        self._note()
        self._waiting = text.endswith('\n')
        return super().write(text)

    def flush(self):
        self._waiting = False

    def _note(self):
        if self._waiting:
            self._late.append(self.getvalue().splitlines()[-1])
        self._waiting = False

    @property
    def late(self):
        self._note()
        return self._late


class Clock:
    """Stands for the module `time`: a second passes in two naps, however long they are."""

    def __init__(self, now):
        self.now = now

    def monotonic(self):
        return self.now

    perf_counter = monotonic

    def sleep(self, seconds):
        self.now += 0.5


class Batches:
    """Two batches of 8 and one of 4, in the array mode that is on; two classes that a line can separate."""

    batch_size = 8

    def __init__(self, spoil=None, stop=None):
        rng = numpy.random.default_rng(0)
        self.y = rng.integers(0, 2, 20).astype('int32')
        self.X = (rng.normal(size=(20, 1, 4, 4)) + 2 * self.y[:, None, None, None]).astype('float32')
        self.spoil, self.stop, self.passes = spoil, stop, 0

    def __len__(self):
        return 3

    def __iter__(self):
        self.passes += 1
        module = mx.np if mx.util.is_np_array() else mx.nd
        for i in range(3):
            X = self.X[8 * i:8 * i + 8].copy()
            if self.spoil == (self.passes, i + 1):
                X[:] = 3e38  # finite, but not what comes of it
            if self.stop == (self.passes, i + 1):
                raise KeyboardInterrupt
            yield module.array(X), module.array(self.y[8 * i:8 * i + 8], dtype='int32')


def classifier():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.BatchNorm(), gluon.nn.Dense(2))
    net.initialize(mx.init.Normal(0.1))
    return net


def network(mode='nd', dropout=0.2, hybrid=True, growth_rate=4):
    """A small DenseNet for the images of `loader`, always with the same initial values."""
    switch(mode)
    net = DenseNet(growth_rate, (2, 1), 6, dropout=dropout, classes=3)
    mx.random.seed(7)
    net.initialize(mx.init.Xavier())
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    return net


def run_once(tmp_path, net=None, train_iter=None, epochs=1, **kwargs):
    """A run with checkpoints in `tmp_path`."""
    return fit(net or network(), train_iter or loader(), None, epochs, **{
        'optimizer': 'nag', 'optimizer_params': {'momentum': 0.9, 'learning_rate': 0.05}, 'seed': 3, 'progress': False,
        'checkpoint_dir': tmp_path, **kwargs})
