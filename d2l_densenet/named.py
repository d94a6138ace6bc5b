"""Networks by name: the article's, and every DenseNet that the paper names."""

import json

import mxnet as mx
import numpy

from ._common.arguments import a_seed, gluon_block, known_name, show, sizes
from ._common.arrays import array
from ._common.engine import surfacing
from ._common.portable import array_mode
from .devices import usable
from .execution.block import written_graph
from .network import DenseNet
from .resnets import RESNETS, resnet

__all__ = ['NETWORKS', 'densenet', 'he_initialize']


def _imagenet(growth_rate, num_init_features, *block_config):
    """A DenseNet-BC for ImageNet: a row of the paper's Table 1."""
    return {'growth_rate': growth_rate, 'block_config': block_config, 'num_init_features': num_init_features,
            'bottleneck': 4, 'compression': 0.5, 'stem': 'imagenet', 'bias': False, 'classes': 1000, 'in_channels': 3}


def _cifar(depth, growth_rate, bc=False):
    """A DenseNet for CIFAR-10: a row of the paper's Table 2.

    The depth counts the convolutions (two in a bottleneck layer), the two transitions, the stem and the classifier.
    """
    num_convs = (depth - 4) // (6 if bc else 3)
    return {'growth_rate': growth_rate, 'block_config': (num_convs,) * 3,
            'num_init_features': 2 * growth_rate if bc else 16, 'bottleneck': 4 if bc else None,
            'compression': 0.5 if bc else 1.0, 'stem': 'cifar', 'bias': False, 'classes': 10, 'in_channels': 3}


#: Arguments of `DenseNet` for each name, each with the shape (C, H, W) of the images it was published for.
NETWORKS = {
    'article': ({}, (1, 48, 48)),  # article 001: the defaults
    'densenet121': (_imagenet(32, 64, 6, 12, 24, 16), (3, 224, 224)),
    'densenet169': (_imagenet(32, 64, 6, 12, 32, 32), (3, 224, 224)),
    'densenet201': (_imagenet(32, 64, 6, 12, 48, 32), (3, 224, 224)),
    'densenet264': (_imagenet(32, 64, 6, 12, 64, 48), (3, 224, 224)),
    'densenet161': (_imagenet(48, 96, 6, 12, 36, 24), (3, 224, 224)),
    'densenet_40_12': (_cifar(40, 12), (3, 32, 32)),
    'densenet_100_12': (_cifar(100, 12), (3, 32, 32)),
    'densenet_100_24': (_cifar(100, 24), (3, 32, 32)),
    'densenet_bc_100_12': (_cifar(100, 12, bc=True), (3, 32, 32)),
    'densenet_bc_250_24': (_cifar(250, 24, bc=True), (3, 32, 32)),
    'densenet_bc_190_40': (_cifar(190, 40, bc=True), (3, 32, 32)),
}

def _fashion(num_init_features, *block_config):
    """A DenseNet for Fashion-MNIST as it is: one layer at full size, and no transition narrows."""
    return {'growth_rate': 32, 'block_config': block_config, 'num_init_features': num_init_features,
            'compression': 1.0, 'stem': 'cifar', 'bias': False}, (1, 28, 28)


#: This course's own: for `make train`, and for its best accuracy. Depth and growth rate as in the paper's names.
OWN = {'fashion_13_32': _fashion(16, 1, 1, 3, 3), 'fashion_16_32': _fashion(32, 1, 2, 4, 4)}
_ALL = {**NETWORKS, **OWN, **RESNETS}


def densenet(name, **overrides):
    """Build a DenseNet by its name, with other arguments instead of its own where given; ValueError if it has none.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`: ``'article'``; for ImageNet (Table 1 of the paper, and -161 of the authors' code)
        ``'densenet121'``, ...; for CIFAR (Table 2, with depth and growth rate) ``'densenet_40_12'``, ...,
        ``'densenet_bc_190_40'``. Or this course's own for images of 28 x 28, ``'fashion_13_32'``
        and ``'fashion_16_32'``.
    **overrides
        Arguments of `DenseNet`.

    Returns
    -------
    DenseNet

    Examples
    --------
    >>> net = densenet('densenet_bc_100_12', in_channels=1)
    >>> net.config['block_config'], net.config['num_init_features']
    ([16, 16, 16], 24)
    """
    arguments, _ = known_name(name, {**NETWORKS, **OWN})
    return DenseNet(**{**arguments, **overrides})


def published_shape(name):
    """Shape (C, H, W) of the images that a named network was published for."""
    return known_name(name, _ALL)[-1]


def named_network(name, classes=None, in_channels=None, size=None):
    """The named DenseNet or ResNet, with other classes or image channels instead of its own where given.

    With the `size` (height, width) of the images a DenseNet rounds up where rounding down would leave it nothing.
    """
    known_name(name, _ALL)
    if name in RESNETS:
        return resnet(name, classes=classes)  # it takes any number of channels
    given = {'classes': classes, 'in_channels': in_channels}
    return rounding_for(densenet(name, **{k: value for k, value in given.items() if value is not None}), size)


def rounding_for(net, size):
    """A DenseNet as `net`, or `net` itself, for images of `size`: rounding up if they are too small to round down."""
    if size is None or min(size) >= net.smallest_input_size:
        return net
    other = DenseNet(**{**net.config, 'pooling_convention': 'full'})
    other.stage_sizes(*size)
    return other


def describes(config, net):
    """Whether the network built from `config` computes what `net` does, for the same values of its parameters."""
    with array_mode(net._built_in_np):
        return _function(from_config(config)) == _function(net)


def _function(net):
    place = {parameter.name: name for name, parameter in net._collect_params_with_prefix().items()}
    return [[node['op'], place.get(node['name']) if node['op'] == 'null' else node.get('attrs'), node['inputs']]
            for node in json.loads(written_graph(net).tojson())['nodes']]


def from_config(config):
    """The network whose attribute ``config`` this is."""
    known = ('name', 'classes') if isinstance(config, dict) and 'name' in config else DenseNet.arguments
    if not isinstance(config, dict) or not config.keys() <= set(known):
        raise ValueError(f'config must be a dict with some of {", ".join(known)}, as the attribute config of a network '
                         f'is, got {show(config)}')
    return (resnet if 'name' in config else DenseNet)(**config)


def he_initialize(net, seed=0, input_shape=None, ctx=None):
    """Give a network the paper's initial values (section 4.2, "Training"; He et al., arXiv:1502.01852), from a seed.

    Weights of convolutions and dense layers are drawn from a normal distribution with mean 0 and variance 2 / n, where
    n is the number of inputs that one output reads; biases and shifts are 0, scales 1.

    Parameters
    ----------
    net : mxnet.gluon.Block
        Values it has already are replaced.
    seed : int, >= 0, default 0
        For ``mx.random.seed``.
    input_shape : sequence of int, optional
        Shape of one input without the batch axis. Needed where a layer's shape is not known before the first call, as
        in a `resnet`.
    ctx : mxnet.Context, optional
        Default ``mx.cpu()``.

    Raises
    ------
    TypeError, ValueError
        If an argument is unusable, or a shape is unknown and `input_shape` is not given.

    Examples
    --------
    >>> net = DenseNet()
    >>> he_initialize(net, seed=1)
    >>> weight = net.features[0].weight.data()      # each output reads 7 x 7 x 1 inputs
    >>> round(float(weight.asnumpy().std() / (2 / 49) ** 0.5), 1)
    1.0
    """
    ctx = mx.cpu() if ctx is None else usable('ctx', ctx)
    a_seed('seed', seed)
    if input_shape is not None:
        input_shape = sizes('input_shape', input_shape, '(3, 32, 32)')
    parameters = gluon_block('net', net).collect_params().values()
    unknown = [p.name for p in parameters if p.shape is None or any(size <= 0 for size in p.shape)]
    if unknown and input_shape is None:
        raise ValueError(f'the shape of {unknown[0]} is not known yet: give input_shape, such as (3, 32, 32)')
    with surfacing('he_initialize'):
        if unknown:
            # Any values will do for the call that settles the shapes.
            net.initialize(ctx=ctx, force_reinit=True)
            net(array(numpy.zeros((1, *input_shape)), 'float32', ctx))
        mx.random.seed(seed)
        net.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0), ctx=ctx, force_reinit=True)
