"""Parts of a network that are right and unusual: other containers, names, orders of registration, BN by hand."""

import functools

import mxnet as mx
import numpy
import pytest
from mxnet import autograd, np, npx
from mxnet.gluon import HybridBlock, nn

import d2l_densenet
from d2l_densenet import checks


@pytest.fixture(autouse=True)
def np_mode():
    npx.set_np()
    yield
    npx.reset_np()


class HandBN(HybridBlock):
    """Batch normalization over MXNet's operator, with other names."""

    def __init__(self):
        super().__init__()
        for name, kind in (('scale', 'ones'), ('shift', 'zeros'), ('moving_mean', 'zeros'), ('moving_var', 'ones')):
            setattr(self, name, self.params.get(name, shape=(0,), init=kind, allow_deferred_init=True,
                                                grad_req='null' if 'moving' in name else 'write'))

    def hybrid_forward(self, F, x, scale, shift, moving_mean, moving_var):
        return F.npx.batch_norm(x, scale, shift, moving_mean, moving_var, eps=1e-5, fix_gamma=False)


class BookBN(nn.Block):
    """Batch normalization as d2l writes it, its running statistics plain arrays."""

    def __init__(self):
        super().__init__()
        self.a = self.params.get('a', shape=(1, 0, 1, 1), init='ones', allow_deferred_init=True)
        self.c = self.params.get('c', shape=(1, 0, 1, 1), init='zeros', allow_deferred_init=True)
        self.moving_mean, self.moving_var = np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1))

    def forward(self, x):
        for parameter in (self.a, self.c):
            if parameter._deferred_init:
                parameter.shape = (1, x.shape[1], 1, 1)
                parameter._finish_deferred_init()
        mean, var = self.moving_mean, self.moving_var
        if autograd.is_training():
            mean = x.mean(axis=(0, 2, 3), keepdims=True)
            var = ((x - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)
            self.moving_mean, self.moving_var = [0.9 * old + 0.1 * new for old, new in (
                (self.moving_mean, mean), (self.moving_var, var))]
        return self.a.data() * (x - mean) / np.sqrt(var + 1e-5) + self.c.data()


class Layer(nn.Block):
    def __init__(self, num_channels, bn=nn.BatchNorm, kernel=3, relu=npx.relu, pool=None):
        super().__init__()
        self.third = nn.Conv2D(num_channels, kernel, padding=kernel // 2, use_bias=False)
        self.first = bn()
        self.relu, self.pool = relu, pool or (lambda x: x)

    def forward(self, x):
        return self.pool(self.third(self.relu(self.first(x))))


class HybridLayer(HybridBlock):
    def __init__(self, num_channels):
        super().__init__()
        self.conv, self.norm = nn.Conv2D(num_channels, 3, padding=1), HandBN()

    def hybrid_forward(self, F, x):
        return self.conv(F.np.maximum(self.norm(x), 0))


def nested(num_channels):
    inner, outer = nn.HybridSequential(prefix='mine_'), nn.HybridSequential()
    inner.add(nn.BatchNorm(), nn.HybridLambda(lambda F, x: F.npx.relu(x)))
    outer.add(inner, nn.Conv2D(num_channels, 3, padding=1))
    outer.hybridize()
    return outer


def mean_of_four(x):
    n, c, h, w = x.shape
    x = x[:, :, :h // 2 * 2, :w // 2 * 2]
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


CONV_BLOCKS = [Layer, HybridLayer, nested, functools.partial(Layer, relu=lambda x: np.maximum(x, 0)),
               functools.partial(Layer, bn=HandBN), functools.partial(Layer, bn=BookBN),
               lambda n: Layer(n, relu=lambda x: x * (x > 0)),
               functools.partial(Layer, bn=lambda: nn.BatchNorm(epsilon=1e-3, momentum=0.5))]


@pytest.mark.parametrize('f', CONV_BLOCKS)
def test_conv_block(f):
    checks.conv_block(f)


class Backwards(nn.Block):
    """Its layers are registered last first, under names of their own."""

    def __init__(self, num_convs, num_channels, layer=Layer):
        super().__init__()
        self.count = num_convs
        for number in reversed(range(num_convs)):
            setattr(self, f'h{number}', layer(num_channels))

    def forward(self, x):
        seen = (x,)
        for number in range(self.count):
            seen += (getattr(self, f'h{number}')(np.concatenate(seen, axis=1)),)
        return np.concatenate(seen, axis=1)


class Recursive(nn.HybridBlock):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.rest = Recursive(num_convs - 1, num_channels) if num_convs > 1 else nn.HybridSequential()
        self.layer = HybridLayer(num_channels)

    def hybrid_forward(self, F, x):
        x = self.rest(x)
        return F.np.concatenate([x, self.layer(x)], axis=1)


class Pair(nn.Block):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return np.concatenate((x, self.layer(x)), 1)


def chained(num_convs, num_channels):
    block = nn.Sequential()
    for _ in range(num_convs):
        block.add(Pair(nested(num_channels)))
    return block


@pytest.mark.parametrize('f', [Backwards, Recursive, chained, functools.partial(Backwards, layer=HybridLayer),
                               lambda num_convs, num_channels: Backwards(num_convs, num_channels, CONV_BLOCKS[5])])
def test_dense_block(f):
    checks.dense_block(f)


class PixelDense(nn.Block):
    """The 1x1 convolution as a fully connected layer at each pixel."""

    def __init__(self, num_channels):
        super().__init__()
        self.bn, self.mix, self.pool = nn.BatchNorm(), nn.Dense(num_channels, flatten=False), nn.AvgPool2D()

    def forward(self, x):
        x = self.mix(npx.relu(self.bn(x)).transpose(0, 2, 3, 1))
        return self.pool(x.transpose(0, 3, 1, 2))


@pytest.mark.parametrize('f', [functools.partial(Layer, kernel=1, pool=mean_of_four), PixelDense,
                               functools.partial(Layer, kernel=1, bn=HandBN, pool=nn.AvgPool2D(2, 2))])
def test_transition_block(f):
    checks.transition_block(f)


class Net(nn.Block):
    """The end is registered before the blocks, and those before the stem, which has no bias."""

    def __init__(self, growth_rate, block_config, num_init_features, classes, dense=d2l_densenet.DenseBlock):
        super().__init__()
        self.output = nn.Dense(classes)
        self.bn2, self.bn1 = nn.BatchNorm(), nn.BatchNorm()
        self.body = nn.Sequential()
        width = num_init_features
        for count in block_config[:-1]:
            width = (width + count * growth_rate) // 2
            self.body.add(dense(count, growth_rate), Layer(width, kernel=1, pool=nn.AvgPool2D()))
        self.body.add(dense(block_config[-1], growth_rate))
        self.stem = nn.Conv2D(num_init_features, 7, 2, 3, use_bias=False)

    def forward(self, x):
        x = npx.pooling(npx.relu(self.bn1(self.stem(x))), (3, 3), stride=(2, 2), pad=(1, 1), pool_type='max')
        x = npx.relu(self.bn2(self.body(x)))
        return self.output(x.mean(axis=(2, 3)))


@pytest.mark.parametrize('f', [Net, functools.partial(Net, dense=Backwards), lambda *args: Net(*args, dense=chained)])
def test_densenet(f):
    checks.densenet(f, own=True)


def test_densenet_of_the_package_is_not_ones_own():
    def build(growth_rate, block_config, num_init_features, classes):
        return d2l_densenet.DenseNet(growth_rate=growth_rate, block_config=block_config,
                                     num_init_features=num_init_features, classes=classes)

    checks.densenet(build)
    with pytest.raises(checks.CheckFailed, match="the package's DenseNet"):
        checks.densenet(build, own=True)


@pytest.mark.parametrize('kind', [float, numpy.float32, numpy.int64, numpy.array,
                                  lambda n: mx.np.array(n), lambda n: np.array([n], dtype='int64')])
def test_a_count_may_be_of_any_type(kind):
    checks.connections(lambda num_layers: kind(num_layers * (num_layers + 1) // 2))


class NoStatistics(nn.Block):
    """Normalizes with the batch's own statistics, outside of training too."""

    def __init__(self, num_channels):
        super().__init__()
        self.bn, self.conv = BookBN(), nn.Conv2D(num_channels, 3, padding=1)

    def forward(self, x):
        with autograd.train_mode():
            x = self.bn(x)
        return self.conv(npx.relu(x))


def test_a_normalization_that_is_always_in_training_is_refused():
    with pytest.raises(checks.CheckFailed, match='values are not those of BN'):
        checks.conv_block(NoStatistics)


def test_a_scale_and_shift_alone_is_no_normalization():
    class Scale(BookBN):
        def __init__(self):
            super().__init__()
            del self.moving_mean, self.moving_var

        def forward(self, x):
            for parameter in (self.a, self.c):
                if parameter._deferred_init:
                    parameter.shape = (1, x.shape[1], 1, 1)
                    parameter._finish_deferred_init()
            return self.a.data() * x + self.c.data()

    with pytest.raises(checks.CheckFailed, match='normalizes with Scale'):
        checks.conv_block(functools.partial(Layer, bn=Scale))
