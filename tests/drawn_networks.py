"""One property for whatever a learner makes of a network: however it is computed, it computes the same.

A case is drawn from its number: a small DenseNet, up to three changes to it, made before or after its first call, and a
few calls. Each way to compute it starts from a network built and changed alike, goes through the same calls, and is
compared with the plain network, imperative: scores, the gradient of the images, those of all parameters, and running
statistics. What is not reordered must agree to the bit, all else but for rounding.
"""

import copy
import random
import tempfile
import warnings
import zlib
from unittest import mock

import mxnet as mx
import numpy
from mxnet import autograd, npx
from mxnet.gluon import HybridBlock, SymbolBlock, nn

from d2l_densenet import DenseNet, export_model, transition_block
from d2l_densenet.blocks import DenseBlock
from d2l_densenet.execution import fast, recompute
from d2l_densenet.execution.block import HybridSequential
from d2l_densenet.execution.operators import RoundingUpAvgPool2D


class NotHere(Exception):
    """A change that this network has no place for."""


# What a learner's own classes look like.

class Identity(HybridBlock):
    def hybrid_forward(self, F, x):
        return x


class Scale(HybridBlock):
    """Multiplies by an attribute and by a parameter with one element."""

    def __init__(self, factor=1.5, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        with self.name_scope():
            self.weight = self.params.get('weight', shape=(1, 1, 1, 1), init='ones')

    def hybrid_forward(self, F, x, weight):
        multiply = F.np.multiply if mx.util.is_np_array() else F.broadcast_mul
        return multiply(x * self.factor, weight)


class Twice(nn.HybridSequential):
    """Layers in a row, with a hybrid_forward of its own."""

    def hybrid_forward(self, F, x):
        for layer in self._children.values():
            x = layer(x)
        return 2 * x


class Residual(nn.HybridSequential):
    def hybrid_forward(self, F, x):
        y = x
        for layer in self._children.values():
            y = layer(y)
        return x + y


class LeakyConv2D(nn.Conv2D):
    def hybrid_forward(self, F, x, weight, bias=None):
        y = super().hybrid_forward(F, x, weight, bias)
        return y * 0.5


class Doubling(DenseNet):
    """A network with a hybrid_forward of its own."""

    def hybrid_forward(self, F, x):
        return 2 * self.output(self.features(x / 2))


class Other(DenseNet):
    """A network that is nothing but a subclass."""


# Where to change something.

def pick(r, found):
    found = list(found)
    if not found:
        raise NotHere
    return r.choice(found)


def named(net, *kinds):
    """(Key, child) of the children of `features` of these exact classes."""
    return [(key, child) for key, child in net.features._children.items() if type(child) in kinds]


def transition(net, r):
    return pick(r, named(net, HybridSequential))[1]


def dense(net, r):
    return pick(r, named(net, DenseBlock))[1]


def dense_layer(net, r):
    layer = pick(r, dense(net, r).net._children.values())
    if not isinstance(layer, nn.HybridSequential):
        raise NotHere
    return layer


def child(parent, r, *kinds):
    """(Key, child) of one of the layers of these classes in `parent`."""
    return pick(r, [(key, layer) for key, layer in parent._children.items() if type(layer) in kinds])


def put(parent, key, layer):
    """A child in the place of another, as a learner does it; its values are given later."""
    layer.initialize()
    parent.register_child(layer, key)


def in_transition(kinds, make):
    def change(net, r):
        parent = transition(net, r)
        key, old = child(parent, r, *kinds)
        put(parent, key, make(old, r))
    return change


def in_layer(kinds, make):
    def change(net, r):
        parent = dense_layer(net, r)
        key, old = child(parent, r, *kinds)
        put(parent, key, make(old, r))
    return change


def in_features(kinds, make):
    def change(net, r):
        key, old = child(net.features, r, *kinds)
        put(net.features, key, make(old, r))
    return change


def conv(old, kernel=None, **settings):
    """A convolution of the same channels as `old`."""
    if type(old) is not nn.Conv2D:
        raise NotHere
    kernel = kernel or old._kwargs['kernel'][0]
    settings = {'strides': old._kwargs['stride'], 'padding': kernel // 2, **settings}
    channels = old.weight.shape[1] * old._kwargs['num_group']
    groups = settings.get('groups', 1)
    if channels % groups or old._channels % groups:
        raise NotHere
    return nn.Conv2D(old._channels, kernel, in_channels=channels, **settings)


def norm(old, **settings):
    return nn.BatchNorm(in_channels=old.gamma.shape[0], **settings)


CONV, RELU, NORM = (nn.Conv2D,), (nn.Activation,), (nn.BatchNorm,)
POOL = (nn.AvgPool2D, RoundingUpAvgPool2D)


def order(kinds):
    """Exchange a layer of a transition with the next."""
    def change(net, r):
        parent = transition(net, r)
        keys = list(parent._children)
        place = pick(r, [i for i, key in enumerate(keys[:-1]) if type(parent._children[key]) in kinds])
        children = parent._children
        a, b = children[keys[place]], children[keys[place + 1]]
        if isinstance(a, nn.BatchNorm) or isinstance(b, nn.BatchNorm):
            raise NotHere
        parent.register_child(b, keys[place])
        parent.register_child(a, keys[place + 1])
    return change


def wrapped(kind, where):
    def change(net, r):
        if where == 'layer':
            parent = dense(net, r).net
            key = pick(r, parent._children)
        else:
            parent = net.features
            key, _ = pick(r, named(net, *where))
        inner, wrapper = parent._children[key], kind()
        wrapper.add(inner)
        parent.register_child(wrapper, key)
    return change


def frozen(find):
    def change(net, r):
        found = find(net, r)
        for parameter in found.collect_params().values():
            parameter.grad_req = 'null'
    return change


def behind(kinds, make):
    """A further layer behind one of `features`, in a container with it."""
    def change(net, r):
        key, old = pick(r, named(net, *kinds))
        both = nn.HybridSequential()
        new = make(r)
        new.initialize()
        both.add(old, new)
        net.features.register_child(both, key)
    return change


def added(make):
    def change(net, r):
        new = make(r)
        new.initialize()
        net.features.add(new)
    return change


def hooked(find):
    def change(net, r):
        find(net, r).register_forward_hook(lambda block, inputs, output: None)
    return change


def shared_scale(net, r):
    """One layer, with a parameter, in two places."""
    keys = [key for key, _ in named(net, DenseBlock, HybridSequential)]
    if len(keys) < 2:
        raise NotHere
    scale = Scale()
    scale.initialize()
    for key in r.sample(keys, 2):
        both = nn.HybridSequential()
        both.add(scale, net.features._children[key])
        net.features.register_child(both, key)


def shared_twice(net, r):
    """One convolution twice in a row behind the stem."""
    key, _ = pick(r, named(net, DenseBlock)[:1])
    block = net.features._children[key]
    try:
        channels = block.net[0][0].gamma.shape[0]
    except (AttributeError, IndexError):
        raise NotHere from None
    layer, three = nn.Conv2D(channels, 1, in_channels=channels), nn.HybridSequential()
    layer.initialize()
    three.add(layer, layer, block)
    net.features.register_child(three, key)


def shared_relu(net, r):
    relu = pick(r, [layer for layer in net.features._children.values() if type(layer) is nn.Activation])
    layer = dense_layer(net, r)
    key, _ = child(layer, r, nn.Activation)
    layer.register_child(relu, key)


def head(make):
    def change(net, r):
        if type(net.output) is not nn.Dense:
            raise NotHere
        new = make(net.output.weight.shape[1])
        new.initialize()
        net.output = new
    return change


def donor(net, r):
    """The features of another network of the same kind."""
    other = type(net)(**net.config)
    other.initialize()
    net.features = other.features


def donor_part(net, r):
    other = DenseNet(**net.config)
    other.initialize()
    key, old = pick(r, named(net, DenseBlock, HybridSequential))
    net.features.register_child(other.features._children[key], key)


def donor_of_another_kind(net, r):
    other = DenseNet(3, (2,), 5, stem='cifar', in_channels=net.config['in_channels'])
    other.initialize()
    net.features = other.features
    net.output = nn.Dense(net.config['classes'], in_units=11)
    net.output.initialize()


def copied_part(net, r):
    key, old = pick(r, named(net, DenseBlock, HybridSequential, nn.BatchNorm, nn.Conv2D))
    net.features.register_child(copy.deepcopy(old), key)


def attribute(find, name, value):
    def change(net, r):
        layer = find(net, r)
        if not hasattr(layer, name):
            raise NotHere
        setattr(layer, name, value)
    return change


def setting(kinds, name, value, where=dense_layer):
    def change(net, r):
        _, layer = child(where(net, r), r, *kinds)
        layer._kwargs[name] = value
    return change


def removed(where, kinds):
    def change(net, r):
        parent = where(net, r)
        key, _ = child(parent, r, *kinds)
        put(parent, key, Identity())
    return change


def features(net, r):
    return net.features


def any_leaf(net, r):
    found = []
    net.apply(lambda block: found.append(block) if not block._children and block._reg_params else None)
    return pick(r, found)


def lambda_relu(old, r):
    return nn.HybridLambda(lambda F, x: (F.npx.relu if mx.util.is_np_array() else F.relu)(x))


def like(old):
    """A transition as `old`."""
    convs = [layer for layer in old._children.values() if type(layer) is nn.Conv2D]
    norms = [layer for layer in old._children.values() if type(layer) is nn.BatchNorm]
    if not convs or not norms:
        raise NotHere
    return transition_block(convs[0]._channels, norms[0].gamma.shape[0])


def row(*layers):
    found = nn.HybridSequential()
    found.add(*layers)
    return found


def residual():
    found = Residual()
    found.add(nn.Activation('relu'), Scale(0.5))
    return found


def upto_last_dense(net):
    layers = list(net.features._children.values())
    places = [i for i, layer in enumerate(layers) if type(layer) is DenseBlock]
    if not places:
        raise NotHere
    return layers[:places[-1]]


def dilate(layer):
    if layer._kwargs['kernel'] != (3, 3):
        raise NotHere
    layer._kwargs.update(dilate=(2, 2), pad=(2, 2))


CHANGES = {
    # The pooling of a transition.
    'max-pooling': in_transition(POOL, lambda old, r: nn.MaxPool2D(2)),
    'overlapping average': in_transition(POOL, lambda old, r: nn.AvgPool2D(3, 2, 1)),
    'average without padding in the count': in_transition(
        POOL, lambda old, r: nn.AvgPool2D(2, count_include_pad=False)),
    'overlapping maximum': in_transition(POOL, lambda old, r: nn.MaxPool2D(3, 2, 1)),
    'maximum rounding up': in_transition(POOL, lambda old, r: nn.MaxPool2D(2, ceil_mode=True)),
    'average rounding up': in_transition(POOL, lambda old, r: nn.AvgPool2D(2, ceil_mode=True, count_include_pad=False)),
    'rounding up': in_transition(POOL, lambda old, r: RoundingUpAvgPool2D()),
    'no pooling': removed(transition, POOL),
    'a map of one average': in_transition(POOL, lambda old, r: nn.GlobalAvgPool2D()),
    # The convolution of a transition.
    '3x3 in a transition': in_transition(CONV, lambda old, r: conv(old, 3)),
    'grouped in a transition': in_transition(CONV, lambda old, r: conv(old, groups=2)),
    'strided in a transition': in_transition(CONV, lambda old, r: conv(old, strides=2)),
    'ReLU behind the 1x1': in_transition(CONV, lambda old, r: conv(old, activation='relu')),
    'tanh behind the 1x1': in_transition(CONV, lambda old, r: conv(old, activation='tanh')),
    'other bias in a transition': in_transition(CONV, lambda old, r: conv(old, use_bias=old.bias is None)),
    'a subclass of convolution in a transition': in_transition(CONV, lambda old, r: LeakyConv2D(
        old._channels, old._kwargs['kernel'], in_channels=old.weight.shape[1], padding=old._kwargs['pad'])),
    # Its activation and normalization.
    'LeakyReLU in a transition': in_transition(RELU, lambda old, r: nn.LeakyReLU(0.2)),
    'tanh in a transition': in_transition(RELU, lambda old, r: nn.Activation('tanh')),
    'softrelu in a transition': in_transition(RELU, lambda old, r: nn.Activation('softrelu')),
    'ELU in a transition': in_transition(RELU, lambda old, r: nn.ELU()),
    'GELU in a transition': in_transition(RELU, lambda old, r: nn.GELU()),
    'Swish in a transition': in_transition(RELU, lambda old, r: nn.Swish()),
    'HybridLambda in a transition': in_transition(RELU, lambda_relu),
    'no activation in a transition': removed(transition, RELU),
    'no normalization in a transition': removed(transition, NORM),
    'InstanceNorm in a transition': in_transition(
        NORM, lambda old, r: nn.InstanceNorm(in_channels=old.gamma.shape[0], epsilon=0.1)),
    'global statistics in a transition': in_transition(NORM, lambda old, r: norm(old, use_global_stats=True)),
    'no scale in a transition': in_transition(NORM, lambda old, r: norm(old, scale=False)),
    'other momentum in a transition': in_transition(NORM, lambda old, r: norm(old, momentum=0.5, epsilon=1e-3)),
    # The order of a transition, all of it.
    'convolution and pooling exchanged': order(CONV),
    'activation and convolution exchanged': order(RELU),
    'an equal transition': lambda net, r: put(net.features, (found := pick(r, named(net, HybridSequential)))[0],
                                              like(found[1])),
    'a transition wrapped': wrapped(nn.HybridSequential, (HybridSequential,)),
    'a transition in a class of its own': wrapped(Twice, (HybridSequential,)),
    'a hook on a transition': hooked(transition),
    'a further layer behind a transition': behind((HybridSequential,), lambda r: nn.LeakyReLU(0.3)),
    'ReLU and max-pooling behind a dense block': behind((DenseBlock,), lambda r: row(
        nn.Activation('relu'), nn.MaxPool2D(3, 1, 1))),
    # The layers of a dense block.
    'grouped': in_layer(CONV, lambda old, r: conv(old, groups=2)),
    'dilated': in_layer(CONV, lambda old, r: conv(old, 3, dilation=2, padding=2)),
    '5x5': in_layer(CONV, lambda old, r: conv(old, 5)),
    '1x1': in_layer(CONV, lambda old, r: conv(old, 1)),
    'activated': in_layer(CONV, lambda old, r: conv(old, activation='relu')),
    'softly activated': in_layer(CONV, lambda old, r: conv(old, activation='softsign')),
    'other bias': in_layer(CONV, lambda old, r: conv(old, use_bias=old.bias is None)),
    'a subclass of convolution': in_layer(CONV, lambda old, r: LeakyConv2D(
        old._channels, old._kwargs['kernel'], in_channels=old.weight.shape[1], padding=old._kwargs['pad'])),
    'LeakyReLU': in_layer(RELU, lambda old, r: nn.LeakyReLU(0.2)),
    'sigmoid': in_layer(RELU, lambda old, r: nn.Activation('sigmoid')),
    'HybridLambda': in_layer(RELU, lambda_relu),
    'no activation': removed(dense_layer, RELU),
    'no normalization': removed(dense_layer, NORM),
    'global statistics': in_layer(NORM, lambda old, r: norm(old, use_global_stats=True)),
    'no scale': in_layer(NORM, lambda old, r: norm(old, scale=False)),
    'no shift': in_layer(NORM, lambda old, r: norm(old, center=False)),
    'other momentum': in_layer(NORM, lambda old, r: norm(old, momentum=0.5, epsilon=1e-2)),
    'a residual layer': in_layer(RELU, lambda old, r: residual()),
    'a layer wrapped': wrapped(nn.HybridSequential, 'layer'),
    'a layer in a class of its own': wrapped(Twice, 'layer'),
    'a hook on a layer': hooked(any_leaf),
    'a hook on a layer of a dense block': hooked(dense_layer),
    'a dense block wrapped': wrapped(nn.HybridSequential, (DenseBlock,)),
    'a dense block in a class of its own': wrapped(Twice, (DenseBlock,)),
    'a hook on a dense block': hooked(dense),
    'Dropout that drops nothing': in_layer(RELU, lambda old, r: row(nn.Activation('relu'), nn.Dropout(0))),
    # Stem and classifier.
    'average in the stem': in_features((nn.MaxPool2D,), lambda old, r: nn.AvgPool2D(2)),
    'another stem convolution': in_features(CONV, lambda old, r: conv(old, 5)),
    'LeakyReLU in the stem or the classifier': in_features(RELU, lambda old, r: nn.LeakyReLU(0.1)),
    'no normalization in the stem or the classifier': removed(features, NORM),
    'no activation in the stem or the classifier': removed(features, RELU),
    'no pooling in the stem': removed(features, (nn.MaxPool2D,)),
    'global maximum': in_features((nn.GlobalAvgPool2D,), lambda old, r: nn.GlobalMaxPool2D()),
    'a subclass of global pooling': in_features((nn.GlobalAvgPool2D,), lambda old, r: row(nn.GlobalAvgPool2D(),
                                                                                           Scale())),
    'another number of classes': head(lambda width: nn.Dense(3, in_units=width)),
    'another number of classes, deferred': head(lambda width: nn.Dense(4)),
    'a head with an activation': head(lambda width: nn.Dense(5, in_units=width, activation='tanh')),
    'a head without bias': head(lambda width: nn.Dense(2, in_units=width, use_bias=False)),
    'a further layer at the end': added(lambda r: nn.LeakyReLU(0.1)),
    'LayerNorm at the end': added(lambda r: nn.LayerNorm()),
    'Dropout of nothing at the end': added(lambda r: nn.Dropout(0)),
    # Frozen.
    'a layer frozen': frozen(any_leaf),
    'the stem frozen': frozen(lambda net, r: pick(r, named(net, nn.Conv2D))[1]),
    'a normalization frozen': frozen(lambda net, r: child(dense_layer(net, r), r, nn.BatchNorm)[1]),
    'a dense block frozen': frozen(dense),
    'a transition frozen': frozen(transition),
    'all features frozen': frozen(features),
    'the head frozen': frozen(lambda net, r: net.output),
    'all before the last dense block frozen': lambda net, r: [
        setattr(parameter, 'grad_req', 'null') for layer in upto_last_dense(net)
        for parameter in layer.collect_params().values()],
    # Shared, from elsewhere, copied.
    'a layer in two places': shared_scale,
    'a layer twice in a row': shared_twice,
    'an activation in two places': shared_relu,
    'features of a donor': donor,
    'a part of a donor': donor_part,
    'features of another kind of network': donor_of_another_kind,
    'a part copied': copied_part,
    # Attributes.
    'another activation by attribute': attribute(lambda net, r: child(dense_layer(net, r), r, *RELU)[1],
                                                 '_act_type', 'tanh'),
    'another activation of a transition by attribute': attribute(
        lambda net, r: child(transition(net, r), r, *RELU)[1], '_act_type', 'tanh'),
    'another momentum by attribute': setting(NORM, 'momentum', 0.3),
    'another epsilon by attribute': setting(NORM, 'eps', 0.05),
    'global statistics by attribute': setting(NORM, 'use_global_stats', True),
    'dilated by attribute': lambda net, r: dilate(child(dense_layer(net, r), r, *CONV)[1]),
    'maximum by attribute': setting(POOL, 'pool_type', 'max', transition),
}


# A case, and the ways to compute it.

class Case:
    """What case `number` is: a network, changes, calls."""

    def __init__(self, number):
        r = random.Random(number)
        self.number = number
        self.mode = r.choice(['nd', 'np'])
        stem, convention = r.choice(['imagenet', 'cifar']), r.choice(['valid', 'full'])
        self.config = {
            'growth_rate': r.choice([2, 3, 4, 8, 12, 16]),
            'block_config': [r.randint(1, 2) for _ in range(r.choice([1, 2, 2, 3]))],
            'num_init_features': r.choice([2, 4, 6, 8, 16]), 'bottleneck': r.choice([None, 1, 2]),
            'compression': r.choice([0.5, 1.0]), 'stem': stem, 'bias': r.random() < 0.5, 'classes': r.randint(2, 4),
            'in_channels': r.randint(1, 2), 'pooling_convention': convention}
        self.kind = r.choice([DenseNet] * 6 + [Other, Doubling])
        self.changes = self._that_fit(r)
        self.after = r.random() < 0.4
        least = DenseNet(**self.config).smallest_input_size
        self.calls = [(r.choice([2, 3, 4]), least + r.choice([0, 1, 2, 5]), least + r.choice([0, 0, 1, 3]))
                      for _ in range(r.randint(1, 2) + self.after)]
        self.image_gradient = r.random() < 0.7
        ways = ['hybridized', 'in a hybridized parent', 'memory-efficient', 'memory-efficient and hybridized', 'copied',
                'exported', 'files']
        self.ways = r.sample(ways, 3)
        self.flags = r.choice([{}, {'static_alloc': True}, {'static_alloc': True, 'static_shape': True},
                               {'inline_limit': 0}, {'forward_bulk_size': 2, 'backward_bulk_size': 2}])

    def _that_fit(self, r):
        """Up to three changes for which this network has a place, one after the other."""
        wanted, net, found = r.choice([0, 1, 1, 2, 2, 3]), self.kind(**self.config), []
        for name in r.sample(sorted(CHANGES), 12):
            if len(found) == wanted:
                break
            try:
                CHANGES[name](net, random.Random(f'{self.number} {len(found)}'))
            except NotHere:
                continue
            found.append(name)
        return found

    def __str__(self):
        return (f'case {self.number}: {self.kind.__name__} {self.config}, mx.{self.mode}, changes {self.changes} '
                f'{"after" if self.after else "before"} the first call, calls {self.calls}, flags {self.flags}, '
                f'gradient of the images: {self.image_gradient}')

    def array(self, values):
        return (mx.np if self.mode == 'np' else mx.nd).array(values, dtype='float32')

    def build(self):
        net = self.kind(**self.config)
        net.initialize()
        if not self.after:
            self.change(net)
        self.give_values(net)
        return net

    def change(self, net):
        for number, name in enumerate(self.changes):
            CHANGES[name](net, random.Random(f'{self.number} {number}'))

    def give_values(self, net):
        """Each parameter its values, which depend on its place and shape alone."""
        done = set()
        for name, parameter in net._collect_params_with_prefix().items():
            shape = parameter.shape
            if id(parameter) in done or shape is None or any(size <= 0 for size in shape):
                continue
            done.add(id(parameter))
            random_state = numpy.random.RandomState(zlib.crc32(f'{name} {tuple(shape)}'.encode()))
            if name.endswith(('gamma', 'running_var')):
                values = random_state.uniform(0.7, 1.3, shape)
            elif name.endswith('weight') and len(shape) > 1 and numpy.prod(shape) > 1:
                values = random_state.standard_normal(shape) * numpy.sqrt(2 / numpy.prod(shape[1:]))
            else:
                values = 1 + 0.2 * random_state.standard_normal(shape) if name.endswith('weight') else (
                    0.3 * random_state.standard_normal(shape))
            parameter.set_data(self.array(values))

    def images(self, number, jitter=0):
        random_state = numpy.random.RandomState(1000 * self.number % 2 ** 31 + number)
        n, height, width = self.calls[number]
        images = random_state.standard_normal((n, self.config['in_channels'], height, width))
        return images * (1 + jitter * random_state.standard_normal(images.shape))


def run(case, way, jitter=0):
    """What a way gives: for each call the scores in training, the gradients, the scores in prediction; statistics."""
    net = case.build()
    efficient = way.startswith('memory-efficient')
    net.memory_efficient = efficient
    settle(case, net, way)
    called = caller(case, net, way)
    found = {}
    for number in range(len(case.calls)):
        if number == 1 and case.after:
            case.change(net)
            case.give_values(net)
            net.memory_efficient = efficient
            settle(case, net, way)
            called = caller(case, net, way)
        if number == len(case.calls) - 1 and way == 'copied':
            called = net = copy.deepcopy(net)
        X = case.array(case.images(number, jitter))
        if case.image_gradient:
            X.attach_grad()
        trained = [p for p in net.collect_params().values() if p.grad_req != 'null']
        for parameter in trained:
            for gradient in parameter.list_grad():
                gradient[:] = 0
        with recompute.record() if efficient else autograd.record():
            scores = called(X)
            weights = numpy.random.RandomState(number).standard_normal(scores.shape)
            loss = (scores * case.array(weights)).sum()
        if trained or case.image_gradient:
            (recompute.backward if efficient else autograd.backward)(loss)
        mx.nd.waitall()
        found[f'scores {number}'] = scores.asnumpy()
        if case.image_gradient:
            found[f'images {number}'] = X.grad.asnumpy()
        for name, parameter in net._collect_params_with_prefix().items():
            if parameter.grad_req != 'null':
                found[f'gradient {number} {name}'] = parameter.grad().asnumpy()
            elif 'running' in name:
                found[f'statistics {number} {name}'] = parameter.data().asnumpy()
        if way in ('exported', 'files') and number == len(case.calls) - 1:
            called = from_files(case, net, way)
        found[f'prediction {number}'] = called(X).asnumpy()
    return found


def settle(case, net, way):
    """Let every way begin with known shapes, and with values that depend on nothing else."""
    if any(p.shape is None or any(size <= 0 for size in p.shape) for p in net.collect_params().values()):
        net(case.array(case.images(0)))
        case.give_values(net)
        mx.nd.waitall()


def caller(case, net, way):
    if way == 'in a hybridized parent':
        parent = nn.HybridSequential()
        parent.add(net)
        parent.hybridize(**case.flags)
        return parent
    if 'hybridized' in way or (way == 'copied' and case.number % 2):
        if not net._active:
            net.hybridize(**case.flags)
    return net


def from_files(case, net, way):
    """The network again, from what it has written."""
    with tempfile.TemporaryDirectory() as folder:
        if way == 'files':
            net.save_parameters(f'{folder}/net.params')
            other = case.build()
            if case.after:
                case.change(other)
            other.load_parameters(f'{folder}/net.params')
            return other
        shape = (case.config['in_channels'], *case.calls[-1][1:])
        export_model(net, folder, shape, ['mxnet'])
        npx.reset_np()
        block = SymbolBlock.imports(f'{folder}/densenet-symbol.json', ['data'], f'{folder}/densenet-0000.params')
        values = block(mx.nd.array(case.images(len(case.calls) - 1)))
        mx.nd.waitall()
        if case.mode == 'np':
            npx.set_np()
        return lambda X: values


def check(case):
    """None if all ways agree or the plain network itself cannot be computed; else what is wrong."""
    npx.set_np() if case.mode == 'np' else npx.reset_np()
    try:
        # Filters are added for these small images too.
        with warnings.catch_warnings(), mock.patch.object(fast, 'FEWEST_PIXELS', 0):
            warnings.simplefilter('ignore')
            try:
                expected = run(case, 'plain')
            except (NotHere, ValueError, TypeError, mx.base.MXNetError, AssertionError) as error:
                settle_engine()
                return error
            wrong = []
            for way in case.ways:
                try:
                    found = run(case, way)
                except Exception as error:
                    settle_engine()
                    wrong.append(f'{way}: {type(error).__name__}: {str(error)[-400:]}')
                    continue
                wrong += compare(case, way, found, expected)
            if not wrong and case.number % 5 == 0:
                wrong += by_differences(case)
    finally:
        recompute._tape.__init__()
        npx.reset_np()
    if wrong:
        raise AssertionError('\n'.join([str(case), *wrong]))
    return None


def settle_engine():
    for _ in range(20):
        try:
            mx.nd.waitall()
            return
        except mx.base.MXNetError:
            pass


def compare(case, way, found, expected):
    if found.keys() != expected.keys():
        return [f'{way}: {sorted(found.keys() ^ expected.keys())}']
    exact = way == 'files' or (way == 'copied' and case.number % 2 == 0)
    if exact:
        return [f'{way}: {name} is not equal to the bit' for name in found
                if not numpy.array_equal(found[name], expected[name], equal_nan=True)]
    wrong = distances(found, expected, 2e-4)
    if wrong:
        # Is it the network that is sensitive? Then the plain one differs as much for images that differ in a bit.
        spread = {}
        for jitter in (3e-7, 1e-6, -1e-6):
            other = run(case, 'plain', jitter)
            for name in wrong:
                spread[name] = max(spread.get(name, 0), numpy.linalg.norm(other[name] - expected[name]))
        wrong = {name: text for name, text in wrong.items()
                 if not numpy.linalg.norm(found[name] - expected[name]) <= 30 * spread[name]}
    return [f'{way}: {name}: {text}' for name, text in list(wrong.items())[:4]]


def distances(found, expected, tolerance):
    """What differs by more than rounding: as a whole, since rounding may turn a ReLU on."""
    wrong = {}
    for kind in {name.split(' ')[0] for name in expected}:
        names = [name for name in expected if name.startswith(kind)]
        scale = numpy.sqrt(sum((expected[name].astype('float64') ** 2).sum() for name in names))
        for name in names:
            error = numpy.linalg.norm(found[name].astype('float64') - expected[name])
            allowed = tolerance * max(numpy.linalg.norm(expected[name]), 0.03 * scale) + 1e-6
            if not error <= allowed:
                wrong[name] = f'differs by {error:.3g} of {numpy.linalg.norm(expected[name]):.3g}'
    return wrong


def by_differences(case):
    """The slope of the plain network's loss along its gradient, by differences, is the gradient's length."""
    if not case.image_gradient or 'average rounding up' in case.changes:
        return []
    net = case.build()
    settle(case, net, 'plain')
    values = case.images(0)

    def loss_of(values):
        X = case.array(values)
        X.attach_grad()
        with autograd.record():
            scores = net(X)
            weights = numpy.random.RandomState(0).standard_normal(scores.shape)
            loss = (scores * case.array(weights)).sum()
        loss.backward()
        return float((scores.asnumpy().astype('float64') * weights).sum()), X.grad.asnumpy().astype('float64')

    _, gradient = loss_of(values)
    length = numpy.linalg.norm(gradient)
    if length < 1e-3:
        return []
    slopes = []
    for step in (3e-2, 1e-2, 3e-3, 1e-3):
        ends = [loss_of(values + sign * step * gradient / length)[0] for sign in (1, -1)]
        slopes.append((ends[0] - ends[1]) / (2 * step))
        if abs(slopes[-1] - length) <= 0.1 * length:
            return []
    # Normalized over a few numbers, a network may be too rough for differences to say anything.
    if max(slopes) - min(slopes) > 0.3 * max(map(abs, slopes)):
        return []
    return [f'plain: slopes {slopes} along the gradient of the images, whose length is {length}']
