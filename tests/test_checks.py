"""The self-checks of the exercises: correct solutions pass, and each likely mistake gets its own sentence."""

import functools
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import mxnet as mx
import numpy
import pytest
from mxnet import autograd, gluon, nd, np, npx
from mxnet.gluon import nn
from mxnet.util import is_np_array

import d2l_densenet
from d2l_densenet import DenseBlock, DenseNet, checks, resnets

MODES = ['nd', 'np']


def switch(mode):
    (npx.set_np if mode == 'np' else npx.reset_np)()


# What a learner writes, in pieces. Each of these makes a layer for `k` channels.

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


def dense_layers(make):
    return block_class(dense_forward, make)


# connections, block_parameters, kept_values, learning_rate: functions of numbers.

def count(c, L, k, bias=1, norm=2, kernel=9, start=0):
    return sum(norm * (c + k * (i + start)) + kernel * (c + k * (i + start)) * k + bias * k for i in range(L))


def kept(c, k, L, h, w):
    return sum(c + k * i for i in range(L)) * h * w


def schedule(t, n, peak, w):
    return peak * t / w if t < w else peak * (1 + math.cos(math.pi * (t - w) / (n - w))) / 2


def forgets_return(*args):
    args[0]  # noqa: B018


def reached(t, n, w):
    return math.pi * (t - w) / (n - w)


NUMBERS = [
    ('connections', 'plain chain', lambda L: L, r'returns 2; it should be 3\. .*plain chain'),
    ('connections', 'half without the input', lambda L: L * (L - 1) // 2, r"block's input"),
    ('connections', 'all pairs twice', lambda L: L * (L - 1), r'counted twice'),
    ('connections', 'no half', lambda L: L * (L + 1), r'twice too many'),
    ('connections', 'square', lambda L: L ** 2, r'every layer with every layer'),
    ('connections', 'lost brackets', lambda L: L * L + 1 // 2, r'brackets'),
    ('connections', 'float', lambda L: L * (L + 1) / 2, r'returns 1\.0, a float.*//'),
    ('connections', 'range one too long', lambda L: sum(range(L + 2)), r'one too long'),
    ('connections', 'range one too short', lambda L: sum(range(L)), r'only to L - 1'),
    ('connections', 'power of two', lambda L: 2 ** L, r'[Dd]oubling'),
    ('connections', 'caret', lambda L: L ^ 2, r'\^ is no power'),
    ('connections', 'divides first', lambda L: L // 2 * (L + 1), r'loses the half'),
    ('connections', 'neighbours', lambda L: L - 1, r'neighbours'),
    ('connections', 'the list', lambda L: [(s, i) for i in range(L) for s in range(i + 1)], r'list of length 1.*len'),
    ('connections', 'no return', forgets_return, r'returns None.*return'),
    ('connections', 'hard-coded', lambda L: 10, r'uses? its arguments'),
    ('connections', 'text', lambda L: str(L * (L + 1) // 2),
     r"should return an integer and returns '1' \(of type str\)"),
    ('connections', 'array', lambda L: numpy.array(L * (L + 1) // 2), r'returns an array'),
    ('connections', 'two arguments', lambda L, k: L, r'should take \(num_layers\), and yours takes \(L, k\)'),

    ('block_parameters', 'no bias', functools.partial(count, bias=0), r'7,360; it should be 7,400.*biases'),
    ('block_parameters', 'no BN', functools.partial(count, norm=0), r'batch normalisations, 2'),
    ('block_parameters', 'only gamma', functools.partial(count, norm=1), r'gamma and beta'),
    ('block_parameters', 'running statistics', functools.partial(count, norm=4), r'mean and variance are not trained'),
    ('block_parameters', '1x1', functools.partial(count, kernel=1), r'Is the kernel in it'),
    ('block_parameters', '3', functools.partial(count, kernel=3), r'both its sides'),
    ('block_parameters', '3 + 3', functools.partial(count, kernel=6), r'not 3 \+ 3'),
    ('block_parameters', 'one layer too far', functools.partial(count, start=1), r'one layer too far'),
    ('block_parameters', 'no growth', lambda c, L, k: L * count(c, 1, k), r'reads more than the one before'),
    ('block_parameters', 'without the input', lambda c, L, k: count(0, L, k), r"channels of the block's input"),
    ('block_parameters', 'last layer', lambda c, L, k: count(c + k * (L - 1), 1, k), r'last layer alone'),
    ('block_parameters', 'first layer', lambda c, L, k: count(c, 1, k), r'first layer alone'),
    ('block_parameters', 'one layer missing', lambda c, L, k: count(c, L - 1, k), r'last layer is missing'),
    ('block_parameters', 'one layer too many', lambda c, L, k: count(c, L + 1, k), r'one layer too many'),
    ('block_parameters', 'plain chain', lambda c, L, k: count(c, 1, k) + (L - 1) * count(k, 1, k), r'plain chain'),
    ('block_parameters', 'BN on the outputs', lambda c, L, k: count(c, L, k, norm=0) + 2 * k * L,
     r'on how many channels'),
    ('block_parameters', 'neither BN nor bias', functools.partial(count, norm=0, bias=0),
     r'biases.*batch normalisations|batch normalisations.*biases'),
    ('block_parameters', 'swapped', lambda c, L, k: count(c, k, L), r'num_convs and growth_rate swapped'),
    ('block_parameters', 'float', lambda c, L, k: count(c, L, k) / 1, r'a float'),
    ('block_parameters', 'something else', lambda c, L, k: 17 * c + L + k, r'by hand for in_channels = 5'),

    ('kept_values', 'channels', lambda c, k, L, h, w: kept(c, k, L, 1, 1), r'Those are channels'),
    ('kept_values', 'only height', lambda c, k, L, h, w: kept(c, k, L, h, 1), r'Where is the width'),
    ('kept_values', 'sum of sides', lambda c, k, L, h, w: kept(c, k, L, h + w, 1), r'a \+ that should be a \*'),
    ('kept_values', 'square maps', lambda c, k, L, h, w: kept(c, k, L, h, h), r'square one'),
    ('kept_values', 'one layer too many', lambda c, k, L, h, w: kept(c, k, L + 1, h, w), r'one layer too many'),
    ('kept_values', 'one layer missing', lambda c, k, L, h, w: kept(c, k, L - 1, h, w), r'last layer is missing'),
    ('kept_values', 'one layer too far', lambda c, k, L, h, w: kept(c + k, k, L, h, w), r'one layer too far'),
    ('kept_values', 'output', lambda c, k, L, h, w: (c + k * L) * h * w, r'leaves the block'),
    ('kept_values', 'last input', lambda c, k, L, h, w: (c + k * (L - 1)) * h * w, r'input of the last layer'),
    ('kept_values', 'new features', lambda c, k, L, h, w: k * L * h * w, r'new features alone'),
    ('kept_values', 'no input', lambda c, k, L, h, w: kept(0, k, L, h, w), r"channels of the block's input"),
    ('kept_values', 'input once', lambda c, k, L, h, w: c * h * w + kept(0, k, L, h, w), r"copies the block's input"),
    ('kept_values', 'no growth', lambda c, k, L, h, w: c * L * h * w, r'grow by growth_rate'),
    ('kept_values', 'L^2 / 2', lambda c, k, L, h, w: (L * c + k * L * L // 2) * h * w, r'L\(L-1\)/2, not'),
    ('kept_values', 'no half', lambda c, k, L, h, w: (L * c + k * L * (L - 1)) * h * w, r'Where is the half'),
    ('kept_values', 'bytes', lambda c, k, L, h, w: 4 * kept(c, k, L, h, w), r'Those are bytes'),
    ('kept_values', 'kept bytes', lambda c, k, L, h, w: 8 * kept(c, k, L, h, w), r'the 4 and the 2'),
    ('kept_values', 'twice', lambda c, k, L, h, w: 2 * kept(c, k, L, h, w), r'Twice too many'),
    ('kept_values', 'swapped', lambda c, k, L, h, w: kept(k, c, L, h, w), r'in_channels and growth_rate swapped'),

    ('learning_rate', 'a step ahead', lambda t, n, p, w: p * (t + 1) / w if t < w else schedule(t, n, p, w), r'\+ 1'),
    ('learning_rate', 'no warm-up', lambda t, n, p, w: schedule(t, n, p, 0), r'no warm-up'),
    ('learning_rate', 'cosine from the start', lambda t, n, p, w: p * t / w if t < w else schedule(t, n, p, 0),
     r'begin where the warm-up ends'),
    ('learning_rate', 'cosine too slow', lambda t, n, p, w: p * t / w if t < w else schedule(t - w, n, p, 0),
     r'does not come to its end'),
    ('learning_rate', 'no half', lambda t, n, p, w: p * t / w if t < w else p * (1 + math.cos(reached(t, n, w))),
     r'Where is the half'),
    ('learning_rate', 'cos alone', lambda t, n, p, w: p * t / w if t < w else p * math.cos(reached(t, n, w)),
     r'from 1 to -1'),
    ('learning_rate', 'quarter', lambda t, n, p, w: p * t / w if t < w else p * math.cos(reached(t, n, w) / 2),
     r'quarter of a cosine'),
    ('learning_rate', 'rises', lambda t, n, p, w: p * t / w if t < w else p * (1 - math.cos(reached(t, n, w))) / 2,
     r'Which sign'),
    ('learning_rate', 'no pi', lambda t, n, p, w: p * t / w if t < w else p * (1 + math.cos((t - w) / (n - w))) / 2,
     r'Where is pi'),
    ('learning_rate', 'degrees',
     lambda t, n, p, w: p * t / w if t < w else p * (1 + math.cos(180 * (t - w) / (n - w))) / 2, r'radians'),
    ('learning_rate', 'linear', lambda t, n, p, w: p * t / w if t < w else p * (n - t) / (n - w), r'straight line'),
    ('learning_rate', 'constant', lambda t, n, p, w: p * t / w if t < w else p, r'stays at the peak'),
    ('learning_rate', 'peak ignored', lambda t, n, p, w: schedule(t, n, 0.1, w), r'whatever the peak is'),
    ('learning_rate', 'warm-up to 1', lambda t, n, p, w: t / w if t < w else schedule(t, n, p, w), r'ends at 1'),
    ('learning_rate', '//', lambda t, n, p, w: p * (t // w) if t < w else schedule(t, n, p, w),
     r'// that should be a /'),
    ('learning_rate', 'divides by zero', lambda t, n, p, w: p * t / w if t <= w else schedule(t, n, p, w),
     r'ZeroDivisionError.*test_checks\.py, line \d+: `.*`\. warmup_steps may be 0'),
    ('learning_rate', 'no return', forgets_return, r'returns None'),
    ('learning_rate', 'array', lambda t, n, p, w: np.array(schedule(t, n, p, w)), r'float\(\.\.\.\)'),
    ('learning_rate', 'the same', lambda t, n, p, w: 0.123, r'does it use step'),
]


def the_article_s_conv_block(num_channels):
    blk = nn.Sequential()
    blk.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return blk


def adds_but_returns_nothing(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))


def returns_what_add_gives(num_channels):
    return nn.Sequential().add(nn.BatchNorm(), nn.Activation('relu'))


def adds_a_function(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), npx.relu, nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return block


def adds_a_list(num_channels):
    block = nn.Sequential()
    block.add([nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1)])
    return block


def misspelt(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2d(num_channels, kernel_size=3, padding=1))
    return block


def undefined(num_channels):
    return conv_blok(num_channels)  # noqa: F821


class Concatenates(nn.Sequential):
    def forward(self, X):
        return join(X, super().forward(X))


class WritesIntoInput(nn.Sequential):
    def forward(self, X):
        X[:] = X - 1
        return super().forward(X)


class ReturnsNumPy(nn.Sequential):
    def forward(self, X):
        return super().forward(X).asnumpy()


class Detaches(nn.Sequential):
    def forward(self, X):
        return super().forward(np.array(X.asnumpy()))


class NotInHybrid(nn.HybridBlock):
    def __init__(self, num_channels):
        super().__init__()
        self.layers = nn.HybridSequential()
        self.layers.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))

    def hybrid_forward(self, F, X):
        assert X.shape[0]
        return self.layers(X)


class NoForward(nn.Block):
    def __init__(self, num_channels):
        super().__init__()
        self.conv = nn.Conv2D(num_channels, kernel_size=3, padding=1)

    def froward(self, X):
        return self.conv(X)


class ForgetsConv(nn.Block):
    def __init__(self, num_channels):
        super().__init__()
        self.bn, self.conv = nn.BatchNorm(), nn.Conv2D(num_channels, kernel_size=3, padding=1)

    def forward(self, X):
        return npx.relu(self.bn(X))


CONV_BLOCKS = [
    ('no BN', sequence(relu, conv3), r'no batch normalisation.*Activation, Conv2D.*BatchNorm'),
    ('no ReLU', sequence(BN, conv3), r'Where is the ReLU'),
    ('no convolution', sequence(BN, relu), r'no convolution.*Conv2D'),
    ('empty', sequence(), r'no convolution and no BatchNorm'),
    ('conv, BN, ReLU', sequence(conv3, BN, relu), r'computes 3x3 convolution, BN, ReLU, in this order'),
    ('BN, conv, ReLU', sequence(BN, conv3, relu), r'computes BN, 3x3 convolution, ReLU, in this order'),
    ('ReLU, BN, conv', sequence(relu, BN, conv3), r'computes ReLU, BN, 3x3 convolution.*takes one away'),
    ('ReLU at the end too', sequence(BN, relu, conv3, relu), r'second ReLU'),
    ('sigmoid', sequence(BN, lambda k: nn.Activation('sigmoid'), conv3), r'sigmoid in the place of ReLU'),
    ('no padding', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=3)),
     r'\(4, 10, 6, 4\); it should be \(4, 10, 8, 6\)\. .*padding=1'),
    ('1x1', sequence(BN, relu, conv1), r'kernel of 1x1'),
    ('5x5', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=5, padding=2)), r'kernel of 5x5'),
    ('stride', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=3, padding=1, strides=2)), r'stride of 2'),
    ('too much padding', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=3, padding=2)), r'It grew'),
    ('hard-coded', lambda k: my_conv_block(10), r'is a number written into the code'),
    ('two convolutions', sequence(BN, relu, conv3, conv3), r'2 convolutions; it should have 1'),
    ('two BN', sequence(BN, BN, relu, conv3), r'2 batch normalisations'),
    ('dropout', sequence(BN, relu, conv3, lambda k: nn.Dropout(0.5)), r'wrong in training.*no Dropout'),
    ('flattens', sequence(BN, relu, conv3, lambda k: nn.Flatten()), r'should have 4 axes'),
    ('layer norm', sequence(lambda k: nn.LayerNorm(axis=1), relu, conv3), r'LayerNorm.*batch normalisation'),
    ('other axis', sequence(lambda k: nn.BatchNorm(axis=2), relu, conv3), r'along axis 2'),
    ('float channels', lambda k: my_conv_block(k / 1), r'must be an integer'),
    ('concatenates', sequence(BN, relu, conv3, kind=Concatenates), r'returns shape \(4, 13, 8, 6\).*dense block'),
    ('no return', adds_but_returns_nothing, r'returns None \(test_checks\.py, line \d+\)\. Did you forget `return`'),
    ('return add', returns_what_add_gives, r'block\.add\(\.\.\.\) returns None'),
    ('class', lambda k: nn.Sequential, r'returns the class Sequential'),
    ('list', lambda k: [nn.BatchNorm(), nn.Activation('relu'), conv3(k)], r'list of length 3'),
    ('number', lambda k: 3 * k, r'should return a Gluon block and returns 30 \(of type int\)'),
    ('instance given', the_article_s_conv_block(10), r'without brackets'),
    ('no function', 'conv_block', r"without brackets after its name\. It got 'conv_block'"),
    ('no argument', lambda: my_conv_block(10), r'should take \(num_channels\), and yours takes \(\)'),
    ('function added', adds_a_function, r'npx\.relu is a function'),
    ('list added', adds_a_list, r'list of layers was added.*add\(\*layers\)'),
    ('misspelt layer', misspelt, r'AttributeError: .*Conv2d.*line \d+: `block\.add\(nn\.BatchNorm\(\).*small letters'),
    ('undefined name', undefined, r'NameError: .*conv_blok.*typing mistake'),
    ('writes into input', sequence(BN, relu, conv3, kind=WritesIntoInput),
     r'changes the input.*at test_checks\.py, line \d+: `X\[:\] = X - 1`'),
    ('NumPy array', sequence(BN, relu, conv3, kind=ReturnsNumPy), r'returns a NumPy array.*asnumpy'),
    ('detached', sequence(BN, relu, conv3, kind=Detaches), r'No gradient reaches the input.*asnumpy'),
    ('not hybridizable', NotInHybrid, r'after hybridize\(\).*shape'),
    ('forward misspelt', NoForward, r'no method forward'),
    ('unused layer', ForgetsConv, r'Conv2D that is never used.*forward'),
    ('not written yet', lambda k: (_ for _ in ()).throw(NotImplementedError()), r'not written yet'),
]

TRANSITIONS = [
    ('no pooling', sequence(BN, relu, conv1), r'not halved: where is the pooling'),
    ('max', sequence(BN, relu, conv1, maximum), r'ends with max-pooling; this task asks for average'),
    ('no BN', sequence(relu, conv1, average), r'no batch normalisation'),
    ('no ReLU', sequence(BN, conv1, average), r'Where is the ReLU'),
    ('no convolution', sequence(BN, relu, average), r'no convolution'),
    ('conv first', sequence(conv1, BN, relu, average), r'computes 1x1 convolution, BN, ReLU, average pooling'),
    ('pool first', sequence(average, BN, relu, conv1), r'in this order; it should compute BN, ReLU'),
    ('ReLU first', sequence(relu, BN, conv1, average), r'computes ReLU, BN'),
    ('3x3', sequence(BN, relu, conv3, average), r'kernel of 3x3'),
    ('stride in the convolution', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=1, strides=2)),
     r'stride of 2 in the convolution, without pooling'),
    ('stride 1', sequence(BN, relu, conv1, lambda k: nn.AvgPool2D(2, strides=1)), r'forget strides=2'),
    ('global', sequence(BN, relu, conv1, lambda k: nn.GlobalAvgPool2D()), r'GlobalAvgPool2D belongs'),
    ('window 3', sequence(BN, relu, conv1, lambda k: nn.AvgPool2D(3)), r'window 3'),
    ('both strides', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=1, strides=2), average), r'Divided by four'),
    ('ceil_mode', sequence(BN, relu, conv1, lambda k: nn.AvgPool2D(2, ceil_mode=True)), r'rounded down.*ceil_mode'),
    ('padding', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=1, padding=1), average), r'Is there a padding'),
    ('halves again', lambda k: sequence(BN, relu, conv1, average)(k // 2), r'halve it again'),
    ('hard-coded', lambda k: sequence(BN, relu, conv1, average)(10), r'number written into the code'),
    ('no return', lambda k: None, r'returns None'),
    ('ReLU at the end', sequence(BN, relu, conv1, average, relu), r'second ReLU'),
]

MAX_TRANSITIONS = [
    ('average', sequence(BN, relu, conv1, average), r'ends with average pooling; this task asks for max'),
    ('pool first', sequence(maximum, BN, relu, conv1), r'max-pooling, BN, ReLU, 1x1 convolution, in this order'),
]


def bottleneck(*layers, kind=nn.Sequential):
    return sequence(*layers, kind=kind)


def wide(k):
    return nn.Conv2D(4 * k, kernel_size=1, use_bias=False)


BOTTLENECKS = [
    ('no bottleneck', my_conv_block, r'one convolution \(3x3\).*4 x 6 = 24'),
    ('no second BN', bottleneck(BN, relu, wide, relu, conv3), r'one BatchNorm, on 17 channels.*before the 3x3'),
    ('no first BN', bottleneck(relu, wide, BN, relu, conv3), r'one BatchNorm, on 24 channels.*before the 1x1'),
    ('no second ReLU', bottleneck(BN, relu, wide, BN, conv3), r'Where is the ReLU'),
    ('no first ReLU', bottleneck(BN, wide, BN, relu, conv3), r'Where is the ReLU'),
    ('no ReLU', bottleneck(BN, wide, BN, conv3), r'Where is each ReLU'),
    ('no factor', bottleneck(BN, relu, conv1, BN, relu, conv3), r'makes 6 channels.*4 x 6 = 24.*factor 4'),
    ('factor 2', bottleneck(BN, relu, lambda k: conv1(2 * k), BN, relu, conv3), r'makes 12 channels.*How wide'),
    ('times the input', bottleneck(BN, relu, lambda k: conv1(68), BN, relu, conv3), r'4 times the input'),
    ('hard-coded', bottleneck(BN, relu, lambda k: conv1(24), BN, relu, conv3), r'number written into the code'),
    ('3x3 first', bottleneck(BN, relu, conv3, BN, relu, wide), r'3x3 convolution first'),
    ('two 3x3', bottleneck(BN, relu, lambda k: conv3(4 * k), BN, relu, conv3), r'convolutions of 3x3 and 3x3'),
    ('two 1x1', bottleneck(BN, relu, wide, BN, relu, conv1), r'convolutions of 1x1 and 1x1'),
    ('no padding', bottleneck(BN, relu, wide, BN, relu, lambda k: nn.Conv2D(k, kernel_size=3)), r'forget padding=1'),
    ('padded 1x1', bottleneck(BN, relu, lambda k: nn.Conv2D(4 * k, 1, padding=1), BN, relu, conv3), r'It grew'),
    ('4k at the end', bottleneck(BN, relu, wide, BN, relu, lambda k: conv3(4 * k)),
     r'3x3 convolution makes 24 channels'),
    ('conv, BN, ReLU', bottleneck(wide, BN, relu, conv3, BN, relu), r'work on 24 and 6 channels.*behind'),
    ('ReLU, BN', bottleneck(relu, BN, wide, relu, BN, conv3), r'in this order; it should compute BN'),
    ('concatenates', bottleneck(BN, relu, wide, BN, relu, conv3, kind=Concatenates), r"dense block's work"),
    ('no return', lambda k: None, r'returns None'),
    ('three BN', bottleneck(BN, relu, wide, BN, relu, conv3, BN), r'3 batch normalisations'),
]


# Dense blocks.

def returns_new_features(self, X):
    parts = []
    for layer in self.net:
        parts.append(layer(join(X, *parts) if parts else X))
    return join(*parts)


def returns_last(self, X):
    for layer in self.net:
        Y = layer(X)
        X = join(X, Y)
    return Y


def plain_chain(self, X):
    for layer in self.net:
        X = layer(X)
    return X


def adds(self, X):
    for layer in self.net:
        X = X + layer(X)
    return X


def joins_along_0(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], axis=0)
    return X


def joins_along_2(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], axis=2)
    return X


def joins_along_last(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], axis=-1)
    return X


def joins_without_axis(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)])
    return X


def joins_along_0_by_position(self, X):
    for layer in self.net:
        X = np.concatenate((X, layer(X)), 0)
    return X


def joins_without_list(self, X):
    for layer in self.net:
        X = np.concatenate(X, layer(X), axis=1)
    return X


def stacks(self, X):
    for layer in self.net:
        X = np.stack([X, layer(X)], axis=1)
    return X


def joins_with_dim(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], dim=1)
    return X


def joins_legacy(self, X):
    for layer in self.net:
        X = nd.concat(X, layer(X), dim=1)
    return X


def reversed_order(self, X):
    for layer in self.net:
        X = join(layer(X), X)
    return X


def returns_in_loop(self, X):
    for layer in self.net:
        X = join(X, layer(X))
        return X


def forgets_to_return(self, X):
    for layer in self.net:
        X = join(X, layer(X))


def keeps_the_input(self, X):
    for layer in self.net:
        Y = join(X, layer(X))
    return Y


def throws_away(self, X):
    for layer in self.net:
        join(X, layer(X))
    return X


def reads_only_last(self, X):
    out = Y = X
    for layer in self.net:
        Y = layer(Y)
        out = join(out, Y)
    return out


def reads_input_only(self, X):
    return join(X, *[layer(X) for layer in self.net])


def input_in_each_turn(self, X):
    first = X
    for layer in self.net:
        X = join(first, X, layer(X))
    return X


def returns_all(self, X):
    parts = [X]
    for layer in self.net:
        parts.append(layer(join(*parts)))
    return parts


def relu_outside(self, X):
    return npx.relu(dense_forward(self, X))


def changes_input(self, X):
    X *= 2
    return dense_forward(self, X)


def halves_input(self, X):
    return dense_forward(self, X * 0.5)


def misnamed(self, X):
    for layer in self.nets:
        X = join(X, layer(X))
    return X


class WithoutSelf(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()

    def forward(X):
        return X


class PlainList(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = [my_conv_block(num_channels) for _ in range(num_convs)]

    def forward(self, X):
        for layer in self.layers:
            X = join(X, layer(X))
        return X


class WithoutSuper(nn.Block):
    def __init__(self, num_convs, num_channels):
        self.net = nn.Sequential()

    def forward(self, X):
        return X


class WithoutSuperOrLayers(nn.Block):
    def __init__(self, num_convs, num_channels):
        self.num_convs = num_convs

    def forward(self, X):
        return X


class NotABlock:
    def __init__(self, num_convs, num_channels):
        self.net = nn.Sequential()

    def forward(self, X):
        return X


class MisspeltInit(nn.Block):
    def _init_(self, num_convs, num_channels):
        self.net = nn.Sequential()

    def forward(self, X):
        return X


class ForgetsNumConvs(nn.Block):
    def __init__(self, num_channels):
        super().__init__()

    def forward(self, X):
        return X


class ReusesOneLayer(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.num_convs, self.layer = num_convs, my_conv_block(num_channels)

    def forward(self, X):
        for _ in range(self.num_convs):
            X = join(X, self.layer(X))
        return X


class BlockInHybrid(nn.HybridBlock):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.HybridSequential()
        self.net.add(*[my_conv_block(num_channels) for _ in range(num_convs)])

    def hybrid_forward(self, F, X):
        return dense_forward(self, X)


class HybridWithoutF(nn.HybridBlock):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.HybridSequential()
        self.net.add(*[sequence(BN, relu, conv3, kind=nn.HybridSequential)(num_channels) for _ in range(num_convs)])

    def hybrid_forward(self, F, X):
        for layer in self.net:
            X = np.concatenate([X, layer(X)], axis=1)
        return X


def one_conv_block(L, k):
    return [my_conv_block(k)]


def same_layer(L, k):
    return [my_conv_block(k)] * L


def same_convolution(L, k):
    conv = conv3(k)
    return [sequence(BN, relu, lambda k: conv)(k) for _ in range(L)]


DENSE_BLOCKS = [
    ('new features only', block_class(returns_new_features),
     r'returns 40 channels; it should return 5 \+ 4 x 10 = 45\. .*did you concatenate the input'),
    ('last layer only', block_class(returns_last), r'returns 10 channels.*last layer alone'),
    ('no concatenation', block_class(plain_chain),
     r'returns 10 channels; it should return 5 \+ 4 x 10 = 45: did you concatenate the input.*plain chain'),
    ('adds', block_class(adds), r'line \d+: `X = X \+ layer\(X\)`\. You add the two, as ResNet does'),
    ('axis 0', block_class(joins_along_0), r'concatenate along axis 0, which is the batch'),
    ('axis 0 by position', block_class(joins_along_0_by_position), r'concatenate along axis 0'),
    ('no list', block_class(joins_without_list), r'as one list: \[X, Y\]'),
    ('axis 2', block_class(joins_along_2), r'along axis 2, the height'),
    ('axis -1', block_class(joins_along_last), r'along axis -1, the last one'),
    ('no axis', block_class(joins_without_axis), r'without axis= joins along axis 0'),
    ('stack', block_class(stacks), r'np\.stack makes a new axis'),
    ('dim', block_class(joins_with_dim), r'np\.concatenate calls it axis'),
    ('nd.concat in np mode', block_class(joins_legacy), r'Two kinds of arrays meet'),
    ('reversed', block_class(reversed_order), r'last 5 channels .* are the input; it should be the first'),
    ('return in the loop', block_class(returns_in_loop), r'4 convolutions, and forward used 1 .*not inside'),
    ('no return', block_class(forgets_to_return), r'returns None \(test_checks\.py, line \d+\).*return'),
    ('overwrites', block_class(keeps_the_input), r'returns 15 channels.*turn before'),
    ('throws away', block_class(throws_away), r'returns 5 channels, as many as came in'),
    ('reads only the last', block_class(reads_only_last),
     r'Layer 2 of MyDenseBlock\(4, 10\) reads 10 channels; .*5 \+ 1 x 10 = 15\. Only the layer before'),
    ('reads only the input', block_class(reads_input_only), r"reads 5 channels.*block's input alone"),
    ('input in each turn', block_class(input_in_each_turn), r'more than 5 \+ 4 x 10.*more than once'),
    ('returns the list', block_class(returns_all), r'returns a list of length 5.*concatenated'),
    ('relu outside', block_class(relu_outside), r'input after a ReLU'),
    ('changes the input', block_class(changes_input), r'changes the input.*line \d+: `X \*= 2`'),
    ('another input', block_class(halves_input), r'first 5 channels .* value by value'),
    ('misnamed attribute', block_class(misnamed), r"AttributeError.*'nets'.*line \d+: `for layer in self\.nets:`"),
    ('without self', WithoutSelf, r'A method takes self first'),
    ('one layer too few', dense_layers(lambda L, k: [my_conv_block(k) for _ in range(L - 1)]), r'one too early'),
    ('one layer too many', dense_layers(lambda L, k: [my_conv_block(k) for _ in range(L + 1)]), r'one time too many'),
    ('one layer', dense_layers(one_conv_block), r'one convolution; it should have 4.*inside the loop'),
    ('num_convs hard-coded', dense_layers(lambda L, k: [my_conv_block(k) for _ in range(4)]),
     r'where num_convs should'),
    ('num_channels hard-coded', dense_layers(lambda L, k: [my_conv_block(10) for _ in range(L)]),
     r'make 10, 10 channels; each should make num_channels = 4'),
    ('swapped', dense_layers(lambda L, k: [my_conv_block(L) for _ in range(k)]), r'num_convs and num_channels swapped'),
    ('growing width', dense_layers(lambda L, k: [my_conv_block(k * (i + 1)) for i in range(L)]), r'nothing that grows'),
    ('[layer] * n', dense_layers(same_layer), r'one and the same Sequential .* 4 times.*\[layer\] \* n'),
    ('one convolution shared', dense_layers(same_convolution), r'one and the same Conv2D 4 times'),
    ('one layer called often', ReusesOneLayer, r'one layer used twice'),
    ('plain list', PlainList, r'self\.layers of your PlainList is a plain list with 4 layers.*nn\.Sequential'),
    ('no super().__init__', WithoutSuper, r'line \d+: `self\.net = nn\.Sequential\(\)`.*super\(\)\.__init__\(\)'),
    ('no super().__init__, no layers', WithoutSuperOrLayers, r'super\(\)\.__init__\(\)'),
    ('no nn.Block', NotABlock, r'class NotABlock is no Gluon block.*class NotABlock\(nn\.Block\)'),
    ('_init_', MisspeltInit, r'no __init__ of its own'),
    ('no num_convs', ForgetsNumConvs, r'should take \(num_convs, num_channels\), and yours takes \(num_channels\)'),
    ('no ReLU', dense_layers(lambda L, k: [sequence(BN, conv3)(k) for _ in range(L)]),
     r'Layer 1 of .* computes BN, 3x3 convolution, in this order.*Where is the ReLU'),
    ('no BN', dense_layers(lambda L, k: [sequence(relu, conv3)(k) for _ in range(L)]), r'no batch normalisation'),
    ('conv first', dense_layers(lambda L, k: [sequence(conv3, BN, relu)(k) for _ in range(L)]),
     r'computes 3x3 convolution, BN, ReLU'),
    ('no padding', dense_layers(lambda L, k: [sequence(BN, relu, lambda k: nn.Conv2D(k, 3))(k) for _ in range(L)]),
     r'heights and widths differ.*padding=1'),
    ('1x1', dense_layers(lambda L, k: [sequence(BN, relu, conv1)(k) for _ in range(L)]), r'kernels of 1x1'),
    ('Block in HybridSequential', BlockInHybrid, r'ValueError.*HybridBlock.*hybrid_forward, or put it into nn'),
    ('np in hybrid_forward', HybridWithoutF, r'after hybridize\(\).*from F'),
    ('no arguments', lambda: None, r'should take \(num_convs, num_channels\), and yours takes \(\)'),
    ('class returned', lambda L, k: nn.Sequential, r'returns the class'),
]


def dense(k):
    return nn.Dense(k, activation='relu')


def mlp_layers(make):
    return block_class(dense_forward, lambda L, k: [make(k) for _ in range(L)])


def mlp(forward):
    return block_class(forward, lambda L, k: [dense(k) for _ in range(L)])


MLPS = [
    ('new features only', mlp(returns_new_features), r'did you concatenate the input'),
    ('last layer only', mlp(returns_last), r'last layer alone'),
    ('no concatenation', mlp(plain_chain), r'plain chain'),
    ('adds', mlp(adds), r'You add the two'),
    ('axis 0', mlp(joins_along_0), r'along axis 0, which is the batch'),
    ('no axis', mlp(joins_without_axis), r'without axis='),
    ('reversed', mlp(reversed_order), r'last 5 features'),
    ('return in the loop', mlp(returns_in_loop), r'3 fully connected layers, and forward used 1'),
    ('no return', mlp(forgets_to_return), r'returns None'),
    ('throws away', mlp(throws_away), r'as many as came in'),
    ('overwrites', mlp(keeps_the_input), r'turn before'),
    ('reads only the last', mlp(reads_only_last), r'Layer 2 .* reads 10 values.*5 \+ 1 x 10 = 15'),
    ('no nonlinearity', mlp_layers(lambda k: nn.Dense(k)), r'Layer 1 .* is a linear map.*nonlinearity'),
    ('shared', block_class(dense_forward, lambda L, k: [dense(k)] * L), r'one and the same Dense 3 times'),
    ('one layer too few', block_class(dense_forward, lambda L, k: [dense(k) for _ in range(L - 1)]),
     r'2 fully connected layers; it should have num_layers = 3'),
    ('output layer', block_class(dense_forward, lambda L, k: [dense(k) for _ in range(L)] + [nn.Dense(1)]),
     r'4 fully connected layers.*one for the result'),
    ('swapped', block_class(dense_forward, lambda L, k: [dense(L) for _ in range(k)]), r'swapped'),
    ('convolution', mlp_layers(conv3), r'right kind of layer'),
    ('plain list', type('Hidden', (PlainList,), {}), r'plain list'),
    ('changes the input', mlp(changes_input), r'changes the input'),
]


# Networks.

def network(stem=None, end=None, transition=None, last_transition=False, halve=True, layer=None):
    def my_net(growth_rate, block_config, num_init_features, classes):
        net = nn.Sequential()
        net.add(*(stem or article_stem)(num_init_features))
        channels = num_init_features
        for i, num_convs in enumerate(block_config):
            net.add(block_class(dense_forward, lambda L, k: [(layer or my_conv_block)(k) for _ in range(L)])(
                num_convs, growth_rate))
            channels += num_convs * growth_rate
            if i < len(block_config) - 1 or last_transition:
                channels = channels // 2 if halve else channels
                net.add((transition or sequence(BN, relu, conv1, average))(channels))
        net.add(*(end or article_end)(classes))
        return net
    return my_net


def article_stem(k):
    return [nn.Conv2D(k, kernel_size=7, strides=2, padding=3), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1)]


def article_end(k):
    return [nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(k)]


def without(layers, i):
    return lambda k: [layer for j, layer in enumerate(layers(k)) if j != i]


def instead(layers, i, layer):
    return lambda k: [layer(k) if j == i else old for j, old in enumerate(layers(k))]


def ignores_block_config(growth_rate, block_config, num_init_features, classes):
    return network()(growth_rate, (4, 4, 4, 4), num_init_features, classes)


class Softmax(nn.Block):
    def forward(self, X):
        return npx.softmax(X)


class LogSoftmax(nn.Block):
    def forward(self, X):
        return npx.log_softmax(X)


NETWORKS = [
    ('no max-pooling', network(without(article_stem, 3)), r'no max-pooling in the stem'),
    ('no BN in the stem', network(without(article_stem, 1)), r'no batch normalisation in the stem'),
    ('no ReLU in the stem', network(without(article_stem, 2)), r'no ReLU in the stem'),
    ('stem 3x3', network(instead(article_stem, 0, conv3)), r'kernel of 3x3.*7x7'),
    ('stem without stride', network(instead(article_stem, 0, lambda k: nn.Conv2D(k, 7, 1, 3))), r'stride 1'),
    ('stem 64', network(instead(article_stem, 0, lambda k: nn.Conv2D(64, 7, 2, 3))), r'num_init_features = 5.*64'),
    ('average in the stem', network(instead(article_stem, 3, lambda k: nn.AvgPool2D(3, 2, 1))), r'pools by averages'),
    ('no BN at the end', network(end=without(article_end, 0)), r'no batch normalisation after the last block'),
    ('no ReLU at the end', network(end=without(article_end, 1)), r'no ReLU after the last'),
    ('no global pooling', network(end=without(article_end, 2)), r'global average pooling'),
    ('global max', network(end=instead(article_end, 2, lambda k: nn.GlobalMaxPool2D())), r'last pooling takes maxima'),
    ('no classifier', network(end=without(article_end, 3)), r'no fully connected layer.*nn\.Dense\(classes\)'),
    ('10 classes', network(end=lambda k: article_end(10)), r'10 scores .* classes = 7.*10 written'),
    ('softmax', network(end=lambda k: [*article_end(k), Softmax()]), r'probabilities.*before the softmax'),
    ('log-softmax', network(end=lambda k: [*article_end(k), LogSoftmax()]), r'log-softmax'),
    ('ReLU on the scores', network(end=lambda k: [*article_end(k), relu(k)]), r'ReLU after the last layer'),
    ('transition at the end', network(last_transition=True), r'2 transitions .* 2 dense blocks have 1 .*leaves it out'),
    ('no transition', network(transition=lambda k: nn.Sequential()), r'0 transitions.*halved'),
    ('not halved', network(halve=False), r'Transition 1 .* makes 17 channels of 17; .*17 // 2 = 8'),
    ('max in transitions', network(transition=sequence(BN, relu, conv1, maximum)), r'transitions take maxima'),
    ('no pooling in transitions', network(transition=sequence(BN, relu, conv1)), r'transitions do not pool'),
    ('block_config ignored', ignores_block_config, r'16 3x3 convolutions; block_config \(2, 3\) asks for 5'),
    ('growth rate hard-coded', lambda k, blocks, init, classes: network()(32, blocks, init, classes),
     r'makes 32 channels; it should make growth_rate = 6'),
    ('no ReLU in the blocks', network(layer=sequence(BN, conv3)), r'no ReLU in the layers of the dense blocks'),
    ('two dense layers', network(end=lambda k: [*article_end(20), nn.Dense(k)]), r'2 fully connected layers'),
    ('no return', lambda k, blocks, init, classes: None, r'returns None'),
    ('arguments', lambda k, blocks: None, r'should take \(growth_rate, block_config, num_init_features, classes\)'),
]


# Residual blocks.

def residual(forward=None, shortcut_bn=False, one_bn=False, always=False, never=False, stride_at=1, pad=1,
             shortcut_stride=True):
    class MyResidual(nn.Block):
        def __init__(self, num_channels, use_1x1conv=False, strides=1):
            super().__init__()
            first, second = (strides, 1) if stride_at == 1 else (1, strides) if stride_at == 2 else (1, 1)
            self.conv1 = nn.Conv2D(num_channels, kernel_size=3, padding=pad, strides=first)
            self.conv2 = nn.Conv2D(num_channels, kernel_size=3, padding=pad, strides=second)
            self.conv3 = None
            if (use_1x1conv or always) and not never:
                self.conv3 = nn.Conv2D(num_channels, kernel_size=1, strides=strides if shortcut_stride else 1)
            self.bn1 = nn.BatchNorm()
            if not one_bn:
                self.bn2 = nn.BatchNorm()
            if shortcut_bn and self.conv3:
                self.bn3 = nn.BatchNorm()

    MyResidual.forward = forward or right_residual
    return MyResidual


def positive(X):
    return npx.relu(X) if is_np_array() else nd.relu(X)


def right_residual(self, X):
    Y = positive(self.bn1(self.conv1(X)))
    Y = self.bn2(self.conv2(Y))
    if self.conv3:
        X = self.conv3(X)
    return positive(Y + X)


def residual_in_place(self, X):
    Y = positive(self.bn1(self.conv1(X)))
    Y = self.bn2(self.conv2(Y))
    X += Y
    return positive(X)


def residual_steps(last=lambda Y, X: positive(Y + X), middle=positive, before=lambda X: X):
    def forward(self, X):
        shortcut = self.conv3(X) if self.conv3 else X
        Y = middle(self.bn1(self.conv1(before(X))))
        return last(self.bn2(self.conv2(Y)), shortcut)
    return forward


def residual_forgets_shortcut(self, X):
    return positive(self.bn2(self.conv2(positive(self.bn1(self.conv1(X))))))


def residual_overwrites(self, X):
    X = positive(self.bn1(self.conv1(X)))
    return positive(self.bn2(self.conv2(X)) + X)


def residual_shares_bn(self, X):
    Y = self.bn1(self.conv2(positive(self.bn1(self.conv1(X)))))
    return positive(Y + (self.conv3(X) if self.conv3 else X))


def residual_calls_none(self, X):
    Y = self.bn2(self.conv2(positive(self.bn1(self.conv1(X)))))
    return positive(Y + self.conv3(X))


def residual_bn_shortcut(self, X):
    Y = self.bn2(self.conv2(positive(self.bn1(self.conv1(X)))))
    return positive(Y + (self.bn3(self.conv3(X)) if self.conv3 else X))


class SharedConvolution(nn.Block):
    def __init__(self, num_channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv = nn.Conv2D(num_channels, kernel_size=3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm(), nn.BatchNorm()

    def forward(self, X):
        return positive(self.bn2(self.conv(positive(self.bn1(self.conv(X))))) + X)


class NoStrides(nn.Block):
    def __init__(self, num_channels, use_1x1conv=False):
        super().__init__()

    def forward(self, X):
        return X


RESIDUALS = [
    ('no shortcut', residual(residual_forgets_shortcut), r'nothing is added'),
    ('no last ReLU', residual(residual_steps(lambda Y, X: Y + X)), r'last ReLU is missing'),
    ('ReLU before adding', residual(residual_steps(lambda Y, X: positive(Y) + X)), r'before the addition'),
    ('no middle ReLU', residual(residual_steps(middle=lambda X: X)), r'between the two convolutions is missing'),
    ('no ReLU', residual(residual_steps(lambda Y, X: Y + X, lambda X: X)), r'there is no ReLU'),
    ('concatenates', residual(residual_steps(lambda Y, X: positive(join(Y, X)))), r'concatenate, as DenseNet does'),
    ('subtracts', residual(residual_steps(lambda Y, X: positive(Y - X))), r'subtracted'),
    ('multiplies', residual(residual_steps(lambda Y, X: positive(Y * X))), r'multiplied'),
    ('adds twice', residual(residual_steps(lambda Y, X: positive(Y + X + X))), r'added twice'),
    ('ReLU on the shortcut', residual(residual_steps(lambda Y, X: positive(Y + positive(X)))), r'through a ReLU'),
    ('overwrites X', residual(residual_overwrites), r'Is X overwritten'),
    ('in place', residual(residual_in_place), r'changes the input.*line \d+: `X \+= Y`'),
    ('one BN twice', residual(residual_shares_bn, one_bn=True), r'one batch normalisation; .*One and the same'),
    ('BN on the shortcut', residual(residual_bn_shortcut, shortcut_bn=True), r'three batch normalisations'),
    ('None called', residual(residual_calls_none), r'ask whether it is there'),
    ('1x1 always', residual(always=True), r'1 1x1 convolutions; with use_1x1conv=False it should have 0'),
    ('1x1 never', residual(never=True), r'could not be broadcast.*1x1 convolution'),
    ('1x1 without stride', residual(shortcut_stride=False), r'same strides'),
    ('no stride', residual(stride_at=0, shortcut_stride=False), r'Where is strides used'),
    ('stride second', residual(stride_at=2), r'second 3x3 convolution has the strides'),
    ('no padding', residual(pad=0), r'pad by 1'),
    ('one convolution twice', SharedConvolution, r'1 3x3 convolutions; it should have two'),
    ('no strides argument', NoStrides, r'should take \(num_channels, use_1x1conv, strides\)'),
]


# Training.

def predicted(scores):
    return scores.asnumpy().argmax(axis=1)


ACCURACIES = [
    ('count', lambda s, y: float((predicted(s) == y.asnumpy()).sum()),
     r'returns 6; it should be 6/8 = 0\.75\. That is their number'),
    ('per cent', lambda s, y: 100 * float((predicted(s) == y.asnumpy()).mean()), r'per cent'),
    ('mistakes', lambda s, y: float((predicted(s) != y.asnumpy()).mean()), r'share of mistakes'),
    ('axis 0', lambda s, y: float((s.argmax(axis=0).astype('int32') == y).mean()), r'argmax along the classes, axis=1'),
    ('types', lambda s, y: float((s.argmax(axis=1) == y).mean()), r'astype before you compare'),
    ('argmin', lambda s, y: float((s.asnumpy().argmin(axis=1) == y.asnumpy()).mean()), r'smallest score'),
    ('max', lambda s, y: float((s.asnumpy().max(axis=1) == y.asnumpy()).mean()), r'not its place'),
    ('classes', lambda s, y: float((predicted(s) == y.asnumpy()).sum() / s.shape[1]), r'number of classes'),
    ('integer division', lambda s, y: int((predicted(s) == y.asnumpy()).sum() // len(y)), r'a // that should be a /'),
    ('batch size', lambda s, y: float((predicted(s) == y.asnumpy()).sum() / 256), r'divided by 256'),
    ('array', lambda s, y: (s.argmax(axis=1).astype('int32') == y).mean(), r'float\(\.\.\.\)'),
    ('whole array', lambda s, y: s.argmax(axis=1).astype('int32') == y, r'array of shape \(8,\).*mean'),
    ('no axis', lambda s, y: float((s.asnumpy().argmax() == y.asnumpy()).mean()), r'without an axis'),
    ('first row', lambda s, y: float(predicted(s)[0] == y.asnumpy()[0]), r'first row alone'),
    ('last row', lambda s, y: float(predicted(s)[-1] == y.asnumpy()[-1]), r'last row alone'),
    ('no return', forgets_return, r'returns None'),
    ('constant', lambda s, y: 0.5, r'use its arguments'),
]


def step_with(divisor=len, loss_of=lambda losses: losses, result=lambda losses: losses.mean(), train=True, times=1):
    """A training step; the divisor is a function of y, the result of the losses."""
    def my_step(net, loss, trainer, X, y):
        for _ in range(times):
            with autograd.record(train_mode=train):
                losses = loss(net(X), y)
                value = loss_of(losses)
            value.backward()
            trainer.step(divisor(y))
        return result(losses).asnumpy().item()
    return my_step


def no_backward(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    trainer.step(len(y))
    return float(losses.mean().asnumpy())


def no_record(net, loss, trainer, X, y):
    losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return float(losses.mean().asnumpy())


def no_step(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    return float(losses.mean().asnumpy())


def no_number_for_step(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    trainer.step()
    return float(losses.mean().asnumpy())


def backward_of_a_float(net, loss, trainer, X, y):
    with autograd.record():
        value = float(loss(net(X), y).mean().asnumpy())
    value.backward()
    return value


def backward_of_the_loss(net, loss, trainer, X, y):
    with autograd.record():
        loss(net(X), y)
    loss.backward()


def like_pytorch(net, loss, trainer, X, y):
    trainer.zero_grad()


def loss_again(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return float(loss(net(X), y).mean().asnumpy())


def backward_twice(net, loss, trainer, X, y):
    with autograd.record():
        loss(net(X), y).backward()
    return step_with()(net, loss, trainer, X, y)


def returns_nothing(net, loss, trainer, X, y):
    step_with()(net, loss, trainer, X, y)


def returns_losses(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return losses


def swaps(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(y, net(X))
    losses.backward()
    trainer.step(len(y))
    return float(losses.mean().asnumpy())


def own_trainer(net, loss, trainer, X, y):
    return step_with()(net, loss, gluon.Trainer(net.collect_params(), 'adam'), X, y)


TRAIN_STEPS = [
    ('step(1)', step_with(lambda y: 1), r'8 times the right step.*sum of the losses'),
    ('mean and step(n)', step_with(loss_of=lambda losses: losses.mean()), r'divided by 8 twice'),
    ('step(256)', step_with(lambda y: 256), r'trainer\.step\(256\).*len\(y\)'),
    ('step(8)', step_with(lambda y: 8), r'On a batch of 5 .*trainer\.step\(8\)'),
    ('uphill', step_with(lambda y: len(y), lambda losses: -losses), r'uphill'),
    ('two steps', step_with(times=2), r'takes two steps'),
    ('predict mode', step_with(train=False), r'outside of training mode'),
    ('no backward', no_backward, r'line \d+: `trainer\.step\(len\(y\)\)`\. There is no gradient.*backward\(\)'),
    ('no record', no_record, r'autograd\.record\(\)'),
    ('no step', no_step, r'leaves all parameters as they are.*trainer\.step'),
    ('step()', no_number_for_step, r'trainer\.step wants the number'),
    ('backward of a float', backward_of_a_float, r'plain number'),
    ('backward of the loss function', backward_of_the_loss, r'not to the function'),
    ('PyTorch', like_pytorch, r'That is PyTorch|one method for this'),
    ('loss after the step', loss_again, r'after the step'),
    ('backward twice', backward_twice, r'running statistics.*more than once'),
    ('sum', step_with(result=lambda losses: losses.sum()), r'sum over the batch'),
    ('first loss', step_with(result=lambda losses: losses[0]), r'first image alone'),
    ('mean twice', step_with(result=lambda losses: losses.mean() / len(losses)), r'divided by 8 twice'),
    ('no return', returns_nothing, r'returns None'),
    ('array', returns_losses, r'array of shape \(8,\).*mean'),
    ('swapped', swaps, r'scores first, then the labels'),
    ('own trainer', own_trainer, r'another direction'),
]


# Feature reuse.

def table(measure=lambda w: abs(w).mean(), source=None, rows=lambda table: table, weight_of=None):
    def my_table(block):
        L = len(block.net)
        k, c = block.net[0][2].weight.shape[:2]
        out = numpy.full((L, L), numpy.nan)
        for i, layer in enumerate(block.net):
            w = layer[2].weight.data().asnumpy()
            w = weight_of(w) if weight_of else w
            for s in range(i + 1):
                a, b = source(s, c, k) if source else (0 if s == 0 else c + (s - 1) * k, c + s * k)
                out[i, s] = measure(w[:, a:b])
        return rows(out)
    return my_table


def fills_above(block):
    return numpy.nan_to_num(table()(block), nan=7.0)


def changes_weights(block):
    for layer in block.net:
        layer[2].weight.set_data(abs(layer[2].weight.data()))
    return table()(block)


def one_layer_too_far(block):
    return block.net[len(block.net)]


TABLES = [
    ('no abs', table(lambda w: w.mean()), r'signs cancel'),
    ('abs of the mean', table(lambda w: abs(w.mean())), r'First the absolute value'),
    ('sum', table(lambda w: abs(w).sum()), r'That is the sum'),
    ('rms', table(lambda w: (w ** 2).mean() ** 0.5), r'root of the mean square'),
    ('squares', table(lambda w: (w ** 2).mean()), r'Those are squares'),
    ('max', table(lambda w: abs(w).max()), r'largest'),
    ('kernel summed', table(lambda w: abs(w).sum((2, 3)).mean()), r'nine weights'),
    ('transposed', table(rows=lambda t: t.T), r'Rows and columns are swapped'),
    ('source 0 is k wide', table(source=lambda s, c, k: (s * k, (s + 1) * k)), r'own number of channels, not k'),
    ('one source too far', table(source=lambda s, c, k: (c + s * k, c + (s + 1) * k)), r'one source too far'),
    ('all before', table(source=lambda s, c, k: (0, c + s * k)), r'all before it'),
    ('all behind', table(source=lambda s, c, k: (0 if s == 0 else c + (s - 1) * k, None)), r'all behind it'),
    ('rows normalised', table(rows=lambda t: t / numpy.nanmax(t, axis=1, keepdims=True)), r'divided by its largest'),
    ('too wide', table(rows=lambda t: numpy.pad(t, ((0, 0), (0, 1)))), r'shape \(4, 5\).*column too many'),
    ('one mean a layer', table(rows=lambda t: numpy.nanmean(t, axis=1)), r'shape \(4,\).*all sources at once'),
    ('above the diagonal', fills_above, r'row 0, column 1; it should be NaN or 0'),
    ('changes weights', changes_weights, r'changes the weights'),
    ('index', one_layer_too_far, r'block\.net\[0\] to block\.net\[3\]'),
    ('mx array', table(rows=lambda t: mx.np.array(t)), r'array of MXNet.*asnumpy'),
    ('abs of a Parameter', lambda block: abs(block.net[0][2].weight), r'A Parameter is no array'),
    ('slice of a Parameter', lambda block: block.net[0][2].weight[:, :5], r'A Parameter is no array'),
    ('asnumpy of a Parameter', lambda block: block.net[0][2].weight.asnumpy(), r'A Parameter is no array'),
    ('list', table(rows=lambda t: t.tolist()), r'returns a list'),
    ('no return', forgets_return, r'returns None'),
]


def cut(layer_of=lambda layer: layer - 1, source=None, value=0.0, axis=1, write=True, more=None):
    def my_cut(block, source_, layer):
        k, c = block.net[0][2].weight.shape[:2]
        weight = block.net[layer_of(layer)][2].weight
        values = weight.data().asnumpy().copy()
        a, b = source(source_, c, k) if source else (0 if source_ == 0 else c + (source_ - 1) * k, c + source_ * k)
        if axis == 1:
            values[:, a:b] = value
        else:
            values[a:b] = value
        if write:
            weight.set_data((np if is_np_array() else nd).array(values))
        if more:
            more(block, source_, layer)
    return my_cut


def cuts_bias(block, source, layer):
    block.net[layer - 1][2].bias.set_data(np.zeros(block.net[layer - 1][2].bias.shape))


def cuts_gamma(block, source, layer):
    block.net[layer - 1][0].gamma.data()[0] = 0


def cuts_next_layer(block, source, layer):
    for later in range(layer + 1, len(block.net) + 1):
        cut()(block, source, later)


def cuts_center(block, source, layer):
    block.net[layer - 1][2].weight.data()[:, 0:2, 1, 1] = 0


def assigns_to_parameter(block, source, layer):
    block.net[layer - 1][2].weight[:, 0:5] = 0


CUTS = [
    ('copy', cut(write=False), r'changes nothing in the block.*copy'),
    ('layer one off', cut(lambda layer: layer % 4), r'layer 4; it should be layer 3.*layer - 1'),
    ('index', cut(lambda layer: layer + 1), r'layers are 1 to 4|should be layer'),
    ('source one off', cut(source=lambda s, c, k: (c + s * k, c + (s + 1) * k)), r'one source off'),
    ('source 0 is k wide', cut(source=lambda s, c, k: (s * k, (s + 1) * k)), r'own number of channels'),
    ('all behind', cut(source=lambda s, c, k: (0 if s == 0 else c + (s - 1) * k, None)),
     r'whole layer|Where does its slice end'),
    ('all before', cut(source=lambda s, c, k: (0, c + s * k)), r'Where does its slice begin'),
    ('whole layer', cut(source=lambda s, c, k: (0, None)), r'whole layer is cut off'),
    ('output channels', cut(axis=0), r'axis 1'),
    ('one instead of zero', cut(value=1.0), r'other values than zero'),
    ('later layers too', cut(more=cuts_next_layer), r'changes layers 3, 4.*layer 3 alone'),
    ('bias too', cut(more=cuts_bias), r'the bias of a convolution'),
    ('gamma', cut(more=cuts_gamma), r'batch normalisation'),
    ('centre only', cuts_center, r'All nine weights'),
    ('one output channel', cut(write=False, more=lambda block, s, layer: block.net[layer - 1][2].weight.data()[0].
                               __setitem__(slice(0, 5), 0)), r'All output channels|changes nothing'),
    ('assigns to the parameter', assigns_to_parameter, r'Parameter is no array'),
    ('arguments', lambda block, source: None, r'should take \(block, source, layer\)'),
]

MISTAKES = [
    *NUMBERS, *[('conv_block', *row) for row in CONV_BLOCKS], *[('dense_block', *row) for row in DENSE_BLOCKS],
    *[('transition_block', *row) for row in TRANSITIONS], *[('dense_mlp', *row) for row in MLPS],
    *[('densenet', *row) for row in NETWORKS], *[('residual_block', *row) for row in RESIDUALS],
    *[('bottleneck_layer', *row) for row in BOTTLENECKS], *[('accuracy', *row) for row in ACCURACIES],
    *[('train_step', *row) for row in TRAIN_STEPS], *[('mean_absolute_weights', *row) for row in TABLES],
    *[('cut_connection', *row) for row in CUTS]]


def message_of(check, learner, **options):
    with pytest.raises(checks.CheckFailed) as caught:
        check(learner, **options)
    message = str(caught.value)
    assert '\n' not in message and 'Traceback' not in message and 'd2l_densenet' not in message, message
    assert len(message) < 700, message
    return message


@pytest.mark.parametrize('check, learner, expected', [pytest.param(check, learner, expected, id=f'{check}: {name}')
                                                      for check, name, learner, expected in MISTAKES])
def test_a_mistake_gets_its_own_sentence(check, learner, expected):
    npx.set_np()
    message = message_of(getattr(checks, check), learner)
    assert re.search(expected, message, re.DOTALL), message


@pytest.mark.parametrize('name, learner, expected', MAX_TRANSITIONS, ids=[row[0] for row in MAX_TRANSITIONS])
def test_a_max_transition_is_told_from_an_average_one(name, learner, expected):
    npx.set_np()
    message = message_of(checks.transition_block, learner, pool='max')
    assert re.search(expected, message), message


def test_every_check_knows_at_least_ten_mistakes():
    tasks = [name for name in checks.__all__ if name not in ('CheckFailed', 'TIME_LIMIT')]
    assert len(tasks) == 15
    for task in tasks:
        assert len({expected for check, _, _, expected in MISTAKES if check == task}) >= 10, task


# Correct solutions.

class HybridDense(nn.HybridBlock):
    """As a HybridBlock; without biases; initialised and hybridized by the learner."""

    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.HybridSequential()
        for _ in range(num_convs):
            self.net.add(sequence(BN, relu, lambda k: nn.Conv2D(k, 3, padding=1, use_bias=False),
                                  kind=nn.HybridSequential)(num_channels))
        self.initialize()
        self.hybridize()

    def hybrid_forward(self, F, X):
        for layer in self.net:
            X = F.np.concatenate([X, layer(X)], axis=1) if is_np_array() else F.concat(X, layer(X), dim=1)
        return X


class ListOfFeatures(nn.Block):
    """Keeps x_0 to x_L in a list, and its layers in one too, but registers them."""

    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = [my_conv_block(num_channels) for _ in range(num_convs)]
        for layer in self.layers:
            self.register_child(layer)

    def forward(self, X):
        features = [X]
        for layer in self.layers:
            features.append(layer(join(*features)))
        return join(*features)


class ListAndSequential(nn.Block):
    """Has its layers in a list besides the nn.Sequential in which they are registered."""

    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = [my_conv_block(num_channels) for _ in range(num_convs)]
        self.net = nn.Sequential()
        self.net.add(*self.layers)

    forward = dense_forward


class ConvBlock(nn.Block):
    """A class for a function, its layers made in another order than they are used, an initializer of its own."""

    def __init__(self, num_channels):
        super().__init__()
        self.conv = nn.Conv2D(num_channels, kernel_size=3, padding=1, weight_initializer=mx.init.Normal(0.1))
        self.bn = nn.BatchNorm(epsilon=1e-3)

    def forward(self, X):
        return self.conv(positive(self.bn(X)))


def hybridized(f):
    def build(num_channels):
        block = f(num_channels)
        block.initialize()
        block.hybridize()
        return block
    return build


def package_network(growth_rate, block_config, num_init_features, classes):
    return DenseNet(growth_rate, block_config, num_init_features, classes=classes)


def package_residual(num_channels, use_1x1conv=False, strides=1):
    return resnets.Residual(num_channels, strides, use_1x1conv)


def step_by_mean(net, loss, trainer, X, y):
    with autograd.record():
        mean = loss(net(X), y).mean()
    mean.backward()
    trainer.step(1)
    return mean.asnumpy().item()


def pre_activation_mlp(L, k):
    return [sequence(BN, relu, lambda k: nn.Dense(k))(k) for _ in range(L)]


CORRECT = [
    ('connections', lambda L: L * (L + 1) // 2), ('connections', lambda L: numpy.int64(L * (L + 1) // 2)),
    ('connections', lambda num_layers=4, **kwargs: sum(range(num_layers + 1))),
    ('conv_block', my_conv_block), ('conv_block', ConvBlock), ('conv_block', d2l_densenet.conv_block),
    ('conv_block', hybridized(sequence(BN, relu, conv3, kind=nn.HybridSequential))),
    ('conv_block', sequence(BN, relu, lambda k: nn.Conv2D(k, 3, padding=1, use_bias=False))),
    ('conv_block', sequence(lambda k: nn.BatchNorm(scale=False), relu, conv3)),
    ('dense_block', block_class(dense_forward)), ('dense_block', HybridDense), ('dense_block', ListOfFeatures),
    ('dense_block', ListAndSequential),
    ('dense_block', DenseBlock), ('dense_block', functools.partial(DenseBlock, bias=False)),
    ('dense_mlp', mlp(dense_forward)), ('dense_mlp', block_class(dense_forward, pre_activation_mlp)),
    ('dense_mlp', mlp_layers(lambda k: nn.Dense(k, activation='tanh', flatten=False))),
    ('transition_block', sequence(BN, relu, conv1, average)),
    ('transition_block', sequence(BN, relu, average, conv1)),  # the two commute
    ('transition_block', d2l_densenet.transition_block),
    ('block_parameters', count), ('block_parameters', lambda c, L, k: numpy.int64(count(c, L, k))),
    ('densenet', network()), ('densenet', package_network),
    ('accuracy', lambda s, y: float((predicted(s) == y.asnumpy()).mean())),
    ('accuracy', lambda s, y: (predicted(s) == y.asnumpy()).mean(dtype='float32')),
    ('train_step', step_with()), ('train_step', step_by_mean),
    ('learning_rate', schedule),
    ('learning_rate', lambda t, n, p, w: mx.lr_scheduler.CosineScheduler(n, p, 0, warmup_steps=w)(t)),
    ('residual_block', residual()), ('residual_block', package_residual),
    ('bottleneck_layer', bottleneck(BN, relu, wide, BN, relu, conv3)),
    ('bottleneck_layer', lambda k: d2l_densenet.conv_block(k, bottleneck=4, bias=True)),
    ('kept_values', kept),
    ('mean_absolute_weights', table()), ('mean_absolute_weights', table(rows=numpy.nan_to_num)),
    ('cut_connection', cut())]


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('check, learner', [pytest.param(*row, id=f'{row[0]}-{i}') for i, row in enumerate(CORRECT)])
def test_a_correct_solution_passes(mode, check, learner, capsys):
    switch(mode)
    assert getattr(checks, check)(learner) is None
    out = capsys.readouterr().out
    assert out.count('\n') == 1 and out.endswith('Correct.\n'), out


@pytest.mark.parametrize('mode', MODES)
def test_a_max_transition_passes_where_it_is_asked_for(mode):
    switch(mode)
    checks.transition_block(sequence(BN, relu, conv1, maximum), pool='max')
    with pytest.raises(checks.CheckFailed, match="pool='max', and got 'mean'"):
        checks.transition_block(sequence(BN, relu, conv1, maximum), pool='mean')


def test_any_stack_of_layers_gets_a_verdict():
    npx.set_np()
    draw = random.Random(0)
    bag = [BN, relu, conv3, conv1, average, maximum, nn.Dense, lambda k: nn.Flatten(), lambda k: nn.GlobalAvgPool2D(),
           lambda k: nn.Dropout(0.5), lambda k: nn.Conv1D(k, 3), lambda k: nn.PReLU(), lambda k: nn.GroupNorm(),
           lambda k: nn.Embedding(4, k), lambda k: nn.Conv2DTranspose(k, 2), lambda k: nn.BatchNorm(axis=-1)]
    for _ in range(40):
        layers = draw.choices(bag, k=draw.randint(0, 5))
        check = draw.choice([checks.conv_block, checks.transition_block, checks.bottleneck_layer])
        message = message_of(check, sequence(*layers))  # none of these 40 is right
        assert 'cannot make sense' not in message, message


def test_what_nobody_thought_of_ends_in_a_sentence_too():
    class Odd:
        def __call__(self, num_channels):
            return my_conv_block(num_channels)

        def __getattr__(self, name):
            raise RuntimeError('odd')

    message = message_of(checks.conv_block, Odd())
    assert 'cannot make sense of your solution; inside it came to RuntimeError: odd' in message


# Code that does not end, or ends too much.

def loops(num_channels):
    while True:
        pass


def loops_and_catches(num_channels):
    while True:
        try:
            num_channels += 1
        except:  # noqa: E722
            pass


def sleeps(num_channels):
    time.sleep(60)


def exits(num_channels):
    sys.exit(0)


def recurses(num_channels):
    return recurses(num_channels + 1)


def prints_without_end(num_channels):
    while True:
        print('num_channels', num_channels)


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


def raises_the_unprintable(num_channels):
    raise Unprintable


def returns_the_unprintable(num_channels):
    return Unprintable()


def stops(num_channels):
    raise StopIteration


HOSTILE = [
    (loops, r'still running after 0\.3 s, at test_checks\.py, line \d+: `(while True:|pass)`'),
    (loops_and_catches, r'still running after 0\.3 s, at test_checks\.py, line \d+'),
    (exits, r'ends Python, at test_checks\.py, line \d+: `sys\.exit\(0\)`'),
    (recurses, r'calls itself without end, at test_checks\.py, line \d+: `return recurses'),
    (prints_without_end, r'printed more than 10,000 characters, at .*`print\('),
    (raises_the_unprintable, r'raised Unprintable, at test_checks\.py, line \d+: `raise Unprintable`'),
    (returns_the_unprintable, r'should return a Gluon block and returns .*Unprintable'),
    (stops, r'raised StopIteration, at'),
]


@pytest.mark.parametrize('learner, expected', HOSTILE, ids=[row[0].__name__ for row in HOSTILE])
def test_hostile_code_gets_a_sentence(learner, expected, capsys):
    npx.set_np()
    before = signal.getsignal(signal.SIGALRM)
    message = message_of(checks.conv_block, learner, time_limit=0.3)
    assert re.search(expected, message), message
    assert len(capsys.readouterr().out) <= 10_000
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_sleep_is_ended_too():
    message = message_of(checks.conv_block, sleeps, time_limit=0.2)
    assert re.search(r'still running after 0\.2 s, at test_checks\.py, line \d+: `time\.sleep\(60\)`', message)


@pytest.mark.parametrize('learner', [loops, loops_and_catches])
def test_the_time_limit_holds_outside_the_main_thread(learner):
    messages = []

    def in_thread():
        with pytest.raises(checks.CheckFailed) as caught:
            checks.conv_block(learner, time_limit=0.3)
        messages.append(str(caught.value))
        checks.connections(lambda L: L * (L + 1) // 2)  # nothing is left pending
        messages.append('end')

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join(60)
    assert 'still running after 0.3 s, at test_checks.py' in messages[0] and messages[1:] == ['end']


def test_an_outer_alarm_goes_on():
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 1000)
        checks.connections(lambda L: L * (L + 1) // 2)
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 500 < left <= 1000 and not rang
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_passes_through():
    def interrupted(num_channels):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.conv_block(interrupted)


def test_what_the_learner_prints_is_shown(capsys):
    def prints(num_layers):
        print('here', num_layers)
        return num_layers * (num_layers + 1) // 2

    checks.connections(prints)
    assert capsys.readouterr().out.startswith('here 1\nhere 2\n')


def disturbs(num_channels):
    """Whatever a learner may leave behind."""
    (npx.reset_np if is_np_array() else npx.set_np)()
    numpy.random.seed(5)
    random.seed(5)
    autograd.set_recording(True)
    autograd.set_training(True)
    raise ValueError('left behind')


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('check, learner', [('conv_block', disturbs), ('conv_block', ConvBlock),
                                             *dict(CORRECT).items()], ids=['disturbs', 'initializer', *dict(CORRECT)])
def test_nothing_is_disturbed(mode, check, learner):
    switch(mode)
    mx.random.seed(3)
    expected = mx.nd.random.uniform(shape=4).asnumpy() if mode == 'nd' else np.random.uniform(size=4).asnumpy()
    mx.random.seed(3)
    states = numpy.random.get_state()[1].copy(), numpy.random.get_state()[2], random.getstate()
    number = int(re.search(r'\d+', nn.Dense(1).name)[0])
    try:
        getattr(checks, check)(learner)
    except checks.CheckFailed:
        assert learner is disturbs
    assert is_np_array() == (mode == 'np') and npx.is_np_shape() == (mode == 'np')
    assert not autograd.is_recording() and not autograd.is_training()
    assert (numpy.random.get_state()[1] == states[0]).all() and numpy.random.get_state()[2] == states[1]
    assert random.getstate() == states[2]
    assert int(re.search(r'\d+', nn.Dense(1).name)[0]) == number + 1
    drawn = mx.nd.random.uniform(shape=4) if mode == 'nd' else np.random.uniform(size=4)
    assert (drawn.asnumpy() == expected).all()


def test_a_check_within_a_recording_leaves_it_on():
    with autograd.record():
        checks.conv_block(my_conv_block)
        assert autograd.is_recording() and autograd.is_training()


CELLS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors='NoColor')

def run(cell):
    print('>>>')
    shell.run_cell(cell, store_history=True)

run('''from mxnet import np, npx
from mxnet.gluon import nn
from d2l_densenet import checks
npx.set_np()''')
run('''def connections(num_layers):
    return num_layer * 2''')
run('checks.connections(connections)')
run('''def connections(num_layers):
    exit()''')
run('checks.connections(connections)')
run('checks.connections(lambda L: L * (L + 1) // 2)')
run('checks.connections(lambda L: L)')
"""


def test_in_ipython_only_the_sentence_appears(tmp_path):
    pytest.importorskip('IPython')
    done = subprocess.run([sys.executable, '-c', CELLS], capture_output=True, text=True, timeout=120,
                          env={**os.environ, 'IPYTHONDIR': str(tmp_path)})
    cells = done.stdout.split('>>>\n')[1:]
    assert len(cells) == 7, done.stdout + done.stderr
    text = ' '.join(cells[2].split())
    assert text.startswith('CheckFailed: connections(1) raised NameError: '), cells[2]
    assert 'at Cell In[2], line 2: `return num_layer * 2`' in text
    assert 'ends Python, at Cell In[4], line 2: `exit()`' in ' '.join(cells[4].split())
    assert cells[5].startswith('connections: L(L+1)/2 for L = 1, 2, 3, 4, 12 and 40. Correct.')
    assert 'plain chain' in cells[6]
    assert 'Traceback' not in done.stdout and '.py' not in done.stdout
    assert all(len(line) <= 110 for cell in cells for line in cell.splitlines())
