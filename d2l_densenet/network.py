"""The network builder: a stem, dense blocks with transition layers between them, and a classifier.

The module is not called densenet, because that name in the package is the function that builds networks by name.
"""

import math

from mxnet.gluon import nn

from ._common.arguments import number, one_of, positive_int, share, sizes, switch
from .blocks import POOLING_CONVENTIONS, DenseBlock, transition_block
from .execution import recompute
from .execution.block import Block, HybridSequential

__all__ = ['DenseNet']

#: Stems, with the factor by which they reduce height and width.
STEMS = {'imagenet': 4, 'cifar': 1}


class DenseNet(Block):
    """DenseNet: every network of the paper (by name: `densenet`), and the one of article 001, which the defaults give.

    A stem, then dense blocks with transition layers between them, then batch normalization, ReLU, global average
    pooling and a dense layer. Section 3 of the paper, "Implementation Details". With a `bottleneck` it is the paper's
    DenseNet-B, with `compression` < 1 DenseNet-C, with both DenseNet-BC.

    Parameters
    ----------
    growth_rate : int, >= 1, default 32
        Channels k that each convolution block adds.
    block_config : sequence of int, default (4, 4, 4, 4)
        Convolution blocks in each dense block.
    num_init_features : int, >= 1, default 64
        Channels that the stem produces.
    bottleneck : int, >= 1, or None, default None
        Width of the 1x1 convolution before each 3x3 convolution, as a multiple of `growth_rate` (4 in the paper);
        None: no 1x1 convolution.
    compression : float, 0 < compression <= 1, default 0.5
        Factor theta of the transitions: of m channels floor(theta * m) stay, as in the authors' code.
    dropout : float, 0 <= dropout < 1, default 0
        Share of the values set to 0 in training after each convolution but the first (0.2 in the paper where it
        trains without augmentation, section 4.2).
    stem : {'imagenet', 'cifar'}, default 'imagenet'
        ``'imagenet'``: 7x7 convolution with stride 2, batch normalization, ReLU, 3x3 max-pooling with stride 2.
        ``'cifar'``: one 3x3 convolution, which leaves the size as it is.
    bias : bool, default True
        Whether the convolutions have biases: they do in the articles, they do not in the paper's code.
    classes : int, >= 1, default 10
        Outputs of the classifier.
    in_channels : int, >= 1, default 1
        Channels of the image.
    pooling_convention : {'valid', 'full'}, default 'valid'
        How the transitions halve an odd height or width: ``'valid'`` rounds down, as in the articles, ``'full'`` up,
        so that smaller images will do: 28 x 28 pixels for the network of the articles.
    memory_efficient : bool, default False
        Whether training by `fit`, or by ``recompute.record()`` and ``recompute.backward(loss)`` in a loop of your own,
        keeps the features only and computes the rest again in the backward pass. Parameters and results are the same.
    **kwargs
        ``prefix`` and ``params`` of the Gluon block.

    **Inputs:** images (N, in_channels, H, W), float32. **Outputs:** scores before the softmax, (N, classes).

    Any H and W from `smallest_input_size` on will do. The stem rounds odd sizes up.

    Raises
    ------
    ValueError
        If an argument is out of its range; on a call, if the images have the wrong number of axes or
        channels or are too small.

    Examples
    --------
    >>> net = DenseNet()
    >>> net.initialize()
    >>> net(mx.nd.ones((2, 1, 48, 48))).shape
    (2, 10)
    """

    #: Names of the arguments, the keys of `config`.
    arguments = ('growth_rate', 'block_config', 'num_init_features', 'bottleneck', 'compression', 'dropout', 'stem',
                 'bias', 'classes', 'in_channels', 'pooling_convention')

    def __init__(self, growth_rate=32, block_config=(4, 4, 4, 4), num_init_features=64, bottleneck=None,
                 compression=0.5, dropout=0.0, stem='imagenet', bias=True, classes=10, in_channels=1,
                 pooling_convention='valid', memory_efficient=False, **kwargs):
        super().__init__(**kwargs)
        self._config = {
            'growth_rate': positive_int('growth_rate', growth_rate),
            'block_config': list(sizes('block_config', block_config, '(4, 4, 4, 4)')),
            'num_init_features': positive_int('num_init_features', num_init_features),
            'bottleneck': None if bottleneck is None else positive_int('bottleneck', bottleneck),
            'compression': number('compression', compression, above=0, most=1), 'dropout': share('dropout', dropout),
            'stem': one_of('stem', stem, STEMS), 'bias': switch('bias', bias),
            'classes': positive_int('classes', classes), 'in_channels': positive_int('in_channels', in_channels),
            'pooling_convention': one_of('pooling_convention', pooling_convention, POOLING_CONVENTIONS)}
        #: The argument, which may be changed at any time.
        self.memory_efficient = switch('memory_efficient', memory_efficient)
        with self.name_scope():
            self.features = HybridSequential('features', prefix='')
            with self.features.name_scope():
                self.features.add(*_stem(stem, num_init_features, in_channels, bias))
                num_channels = num_init_features
                for i, num_convs in enumerate(block_config):
                    self.features.add(DenseBlock(num_convs, growth_rate, num_channels, bottleneck, dropout, bias))
                    num_channels += num_convs * growth_rate
                    if i != len(block_config) - 1:
                        width = math.floor(compression * num_channels)
                        if not width:
                            raise ValueError(f'compression {compression!r} leaves transition {i + 1} no channel: '
                                             f'floor({compression!r} * {num_channels}) is 0')
                        self.features.add(transition_block(width, num_channels, dropout, bias, pooling_convention))
                        num_channels = width
                self.features.add(nn.BatchNorm(in_channels=num_channels), nn.Activation('relu'), nn.GlobalAvgPool2D(),
                                  nn.Flatten())
            self.output = nn.Dense(classes, in_units=num_channels)

    @property
    def config(self):
        """The arguments, enough to build the same network again; `classes` are those of the classifier in place."""
        if type(self.output) is not nn.Dense:
            return dict(self._config)
        return {**self._config, 'classes': self.output.weight.shape[0]}

    def hybrid_forward(self, F, x):
        return self.output(self.features(x))

    def run(self, x, *args):
        if self.memory_efficient and not args and recompute.recording():
            known = type(self).hybrid_forward is DenseNet._written and 'hybrid_forward' not in vars(self)
            layers = {'features': self.features, 'output': self.output} if known else {'the network': self}
            return recompute.forward(self, x, layers, super().run, DenseBlock)
        return super().run(x, *args)

    def stages(self):
        """The parts of the network in order: a list of (name, list of blocks).

        Examples
        --------
        >>> [name for name, blocks in DenseNet(block_config=(4, 4)).stages()]
        ['stem', 'dense block 1', 'transition 1', 'dense block 2', 'classifier']
        """
        parts = [('stem', [])]
        for layer in self.features:
            number = len(parts) // 2
            if isinstance(layer, DenseBlock):
                parts += [(f'dense block {number + 1}', [layer]), (f'transition {number + 1}', [])]
            else:
                parts[-1][1].append(layer)
        last = parts.pop()[1] if len(parts) > 1 else []
        return [part for part in (*parts, ('classifier', [*last, self.output])) if part[1]]

    @property
    def smallest_input_size(self):
        """Smallest height and width, in pixels, at which every transition still has something to halve."""
        return self._smallest(self._config['pooling_convention'])

    def _smallest(self, convention):
        transitions = len(self._config['block_config']) - 1
        # Behind the stem, for T transitions: rounding down 2^T pixels, rounding up more than 2^(T-1).
        least = 2 ** transitions if convention == 'valid' else 2 ** transitions // 2 + 1
        return STEMS[self._config['stem']] * (least - 1) + 1 if transitions else 1

    def stage_sizes(self, height, width):
        """Height and width in each dense block for images of this size; ValueError if they are too small.

        Examples
        --------
        >>> DenseNet().stage_sizes(48, 48)
        [(12, 12), (6, 6), (3, 3), (1, 1)]
        """
        positive_int('height', height)
        positive_int('width', width)
        if min(height, width) < self.smallest_input_size:
            raise ValueError(self.too_small(height, width))
        pairs = [tuple(-(-size // STEMS[self._config['stem']]) for size in (height, width))]
        for _ in self._config['block_config'][1:]:
            pairs.append(tuple((size + (self._config['pooling_convention'] == 'full')) // 2 for size in pairs[-1]))
        return pairs

    def too_small(self, height, width):
        convention = self._config['pooling_convention']
        return (f'images of {height} x {width} pixels are too small for this network: after the stem and '
                f'{len(self._config["block_config"]) - 1} transitions nothing is left to pool. With '
                f'pooling_convention={convention!r} the smallest height and width is {self._smallest(convention)}'
                + (f", with 'full', which rounds odd sizes up, {self._smallest('full')}"
                   if convention == 'valid' else ''))


def _stem(stem, num_channels, in_channels, bias):
    """Layers of the stem."""
    if stem == 'cifar':
        return [nn.Conv2D(num_channels, kernel_size=3, padding=1, use_bias=bias, in_channels=in_channels)]
    return [nn.Conv2D(num_channels, kernel_size=7, strides=2, padding=3, use_bias=bias, in_channels=in_channels),
            nn.BatchNorm(in_channels=num_channels), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1)]
