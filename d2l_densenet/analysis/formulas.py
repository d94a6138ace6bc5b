"""Parameters and multiply-adds of the named networks by formula, without building or tracing anything.

The tests compare them with what `summary` counts on the graph. The conventions are those of `summary`: trainable
parameters; a multiply-add for each weight of a convolution or dense layer at each output position.
"""

import inspect

from .._common.arguments import known_name, positive_int, show
from ..named import NETWORKS, OWN, published_shape
from ..network import DenseNet
from ..resnets import RESNETS

__all__ = ['densenet_formula', 'network_formula', 'resnet_formula']

# Arguments of DenseNet that have a default: all of them.
_DEFAULTS = {name: inspect.signature(DenseNet).parameters[name].default for name in DenseNet.arguments}


def densenet_formula(config, height, width):
    """Parameters and multiply-adds of a DenseNet: two integers.

    A dense block of L layers with growth rate k on m channels reads m, m + k, ..., m + (L - 1) k channels, together
    S = L m + k L (L - 1) / 2. Its convolutions have 9 k S weights; with a bottleneck of B, B k S + 9 B k^2 L.

    Parameters
    ----------
    config : dict
        All arguments of `DenseNet`, as its attribute ``config`` holds them.
    height, width : int
        Of the images, in pixels.

    Examples
    --------
    >>> densenet_formula(DenseNet().config, 48, 48)
    (758226, 32029232)
    """
    positive_int('height', height)
    positive_int('width', width)
    if not isinstance(config, dict) or not _DEFAULTS.keys() <= config.keys():
        raise ValueError(f'config must be a dict of all arguments of DenseNet, as its attribute config is, got '
                         f'{show(config)}')
    k, factor, theta = config['growth_rate'], config['bottleneck'], config['compression']
    biased, blocks, m = config['bias'], config['block_config'], config['num_init_features']
    count, sizes = _Count(), (height, width)
    if config['stem'] == 'imagenet':
        sizes = _halved(sizes)
        count.add(49 * config['in_channels'] * m, sizes, biased * m + 2 * m)
        sizes = _halved(sizes)
    else:
        count.add(9 * config['in_channels'] * m, sizes, biased * m)
    round_up = config['pooling_convention'] == 'full'
    for i, layers in enumerate(blocks):
        read = layers * m + k * layers * (layers - 1) // 2
        if factor is None:
            count.add(9 * k * read, sizes, 2 * read + biased * k * layers)
        else:
            count.add(factor * k * read + 9 * factor * k * k * layers, sizes,
                      2 * read + 2 * factor * k * layers + biased * (factor + 1) * k * layers)
        m += layers * k
        if i < len(blocks) - 1:
            out = int(theta * m)
            count.add(m * out, sizes, 2 * m + biased * out)
            m, sizes = out, _halved(sizes, round_up)
    count.add(m * config['classes'], (1, 1), 2 * m + config['classes'])
    return count.parameters, count.multiply_adds


def resnet_formula(name, height, width, classes=None, in_channels=None):
    """Parameters and multiply-adds of a named ResNet: two integers.

    A stage of n basic blocks from m to c channels has 9 m c + 9 (2 n - 1) c^2 weights; of bottleneck blocks, with
    b = c / 4, m b + (n - 1) c b + n (9 b^2 + b c); and m c for the shortcut, if m differs from c.

    Parameters
    ----------
    name : str
        A name that `resnet` knows.
    height, width : int
        Of the images, in pixels.
    classes, in_channels : int, optional
        By default as published.

    Examples
    --------
    >>> resnet_formula('resnet18', 224, 224)
    (11689512, 1814073344)
    """
    block, layers, channels, published_classes, (published_channels, *_) = known_name(name, RESNETS)
    positive_int('height', height)
    positive_int('width', width)
    kind = block.__name__
    in_channels = published_channels if in_channels is None else positive_int('in_channels', in_channels)
    classes = published_classes if classes is None else positive_int('classes', classes)
    count, m, sizes = _Count(), channels[0], (height, width)
    first, second = kind.endswith('V1'), kind.endswith('V2')
    if second:
        count.add(9 * in_channels * m, sizes)
    else:
        sizes = _halved(sizes)
        count.add(49 * in_channels * m, sizes, 2 * m + m * (kind == 'Residual'))
        sizes = _halved(sizes)
    for i, (n, c) in enumerate(zip(layers, channels[1:])):
        before, sizes = sizes, _halved(sizes) if i else sizes
        shortcut = m * c if m != c else 0
        if kind.startswith('Bottleneck'):
            b = c // 4
            # The stride is in the first 1x1 convolution of V1, in the 3x3 convolution of V2.
            count.add(m * b, sizes if first else before)
            # V1 has biases on its 1x1 convolutions and normalizes outputs; V2 has none and normalizes inputs.
            count.add((n - 1) * c * b + n * (9 * b * b + b * c) + shortcut, sizes,
                      n * (b + c) + 2 * n * (2 * b + c) if first else 2 * m + 2 * (n - 1) * c + 4 * n * b)
        else:
            normalized = 2 * m + 2 * (2 * n - 1) * c if second else 4 * n * c
            biases = 2 * n * c + c * (m != c) if kind == 'Residual' else 0
            count.add(9 * m * c + 9 * (2 * n - 1) * c * c + shortcut, sizes, normalized + biases)
        count.add(0, sizes, 2 * c if shortcut and first else 0)
        m = c
    count.add(m * classes, (1, 1), classes + 2 * m * second)
    return count.parameters, count.multiply_adds


def network_formula(name):
    """Parameters and multiply-adds of a named network on images of the size it was published for.

    Examples
    --------
    >>> network_formula('densenet121')
    (7978856, 2834161664)
    """
    _, height, width = published_shape(name)
    if name in RESNETS:
        return resnet_formula(name, height, width)
    arguments, _ = {**NETWORKS, **OWN}[name]
    return densenet_formula({**_DEFAULTS, **arguments}, height, width)


class _Count:
    """Parameters and multiply-adds of the layers so far."""

    parameters = multiply_adds = 0

    def add(self, weights, sizes, others=0):
        """A layer's weights, used at ``sizes[0] * sizes[1]`` positions, and `others`, which multiply nothing."""
        self.parameters += weights + others
        self.multiply_adds += weights * sizes[0] * sizes[1]


def _halved(sizes, round_up=True):
    return tuple((side + round_up) // 2 for side in sizes)
