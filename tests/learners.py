"""What a learner writes, in pieces, and what the tests of the checks ask of each check."""

import contextlib
import random
import re

import mxnet as mx
import numpy
import pytest
from helpers import switch
from mxnet import autograd, nd, np, npx
from mxnet.gluon import nn
from mxnet.util import is_np_array

from d2l_densenet import checks

# Each of these makes a layer for `k` channels.


def BN(k):
    return nn.BatchNorm()


def relu(k):
    return nn.Activation('relu')


def conv3(k):
    return nn.Conv2D(k, kernel_size=3, padding=1)


def conv1(k):
    return nn.Conv2D(k, kernel_size=1)


def average(k):
    return nn.AvgPool2D(pool_size=2, strides=2)


def maximum(k):
    return nn.MaxPool2D(pool_size=2, strides=2)


def sequence(*layers, kind=nn.Sequential):
    """A function of one argument that puts these layers one after the other."""
    def my_block(num_channels):
        block = kind()
        block.add(*[layer(num_channels) for layer in layers])
        return block
    return my_block

my_conv_block = sequence(BN, relu, conv3)


def join(*arrays):
    return np.concatenate(arrays, axis=1) if is_np_array() else nd.concat(*arrays, dim=1)


def positive(X):
    return npx.relu(X) if is_np_array() else nd.relu(X)


def block_class(forward, make=None, kind=nn.Block, container=nn.Sequential):
    """A block class with the given forward(self, X), and ``make(num_convs, num_channels)`` as its list of layers."""
    make = make or (lambda L, k: [my_conv_block(k) for _ in range(L)])

    class MyDenseBlock(kind):
        def __init__(self, num_convs, num_channels):
            super().__init__()
            self.net = container()
            self.net.add(*make(num_convs, num_channels))

    MyDenseBlock.forward = forward
    return MyDenseBlock


def dense_forward(self, X):
    for layer in self.net:
        X = join(X, layer(X))
    return X


def forgets_return(*args):
    args[0]  # noqa: B018


class ConvBlock(nn.Block):
    """A class for a function, its layers made in another order than they are used, an initializer of its own."""

    def __init__(self, num_channels):
        super().__init__()
        self.conv = nn.Conv2D(num_channels, kernel_size=3, padding=1, weight_initializer=mx.init.Normal(0.1))
        self.bn = nn.BatchNorm(epsilon=1e-3)

    def forward(self, X):
        return self.conv(positive(self.bn(X)))


def message_of(check, learner, **options):
    """The sentence with which a check refuses a solution."""
    with pytest.raises(checks.CheckFailed) as caught:
        check(learner, **options)
    message = str(caught.value)
    assert '\n' not in message and 'Traceback' not in message and 'd2l_densenet' not in message, message
    assert len(message) < 700, message
    return message


def assert_sentence(check, learner, expected, **options):
    """The check refuses the solution with a sentence that matches the pattern `expected`."""
    npx.set_np()
    message = message_of(getattr(checks, check), learner, **options)
    assert re.search(expected, message, re.DOTALL), message


def mistakes(rows):
    """Rows (check, name, learner, expected) for pytest.mark.parametrize."""
    return pytest.mark.parametrize('check, learner, expected', [
        pytest.param(check, learner, expected, id=f'{check}: {name}') for check, name, learner, expected in rows])


def solutions(rows):
    """Rows (check, learner) for pytest.mark.parametrize."""
    return pytest.mark.parametrize('check, learner', [
        pytest.param(*row, id=f'{row[0]}-{i}') for i, row in enumerate(rows)])


@contextlib.contextmanager
def undisturbed(mode):
    """What MXNet, NumPy and Python hold between two calls is the same behind the `with` as before it."""
    mx.random.seed(3)
    expected = mx.nd.random.uniform(shape=4).asnumpy() if mode == 'nd' else np.random.uniform(size=4).asnumpy()
    mx.random.seed(3)
    states = numpy.random.get_state()[1].copy(), numpy.random.get_state()[2], random.getstate()
    number = int(re.search(r'\d+', nn.Dense(1).name)[0])
    yield
    assert is_np_array() == (mode == 'np') and npx.is_np_shape() == (mode == 'np')
    assert not autograd.is_recording() and not autograd.is_training()
    assert (numpy.random.get_state()[1] == states[0]).all() and numpy.random.get_state()[2] == states[1]
    assert random.getstate() == states[2]
    assert int(re.search(r'\d+', nn.Dense(1).name)[0]) == number + 1
    drawn = mx.nd.random.uniform(shape=4) if mode == 'nd' else np.random.uniform(size=4)
    assert (drawn.asnumpy() == expected).all()


def assert_passes(check, learner, mode, capsys):
    """The check accepts the solution, in one line, and leaves everything as it was."""
    switch(mode)
    with undisturbed(mode):
        assert getattr(checks, check)(learner) is None
    out = capsys.readouterr().out
    assert out.count('\n') == 1 and out.endswith('Correct.\n'), out


def assert_ten_mistakes(module, rows):
    """Each check of a module of `checks` is tested with at least ten mistakes that get sentences of their own."""
    tasks = [name for name in checks.__all__ if getattr(checks, name, None).__class__.__name__ == 'function'
             and getattr(checks, name).__module__ == f'd2l_densenet.checks.{module}']
    assert tasks and {check for check, *_ in rows} == set(tasks)
    for task in tasks:
        assert len({expected for check, _, _, expected in rows if check == task}) >= 10, task
