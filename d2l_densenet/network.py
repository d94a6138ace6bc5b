"""The network builder: a stem, dense blocks with transition layers between them, and a classifier.

The module is not called densenet, because that name in the package is the function that builds networks by name.
"""

import math
import numbers

from mxnet.gluon import HybridBlock, nn
from mxnet.symbol import Symbol
from mxnet.util import is_np_array

from ._common.arguments import MOST_ELEMENTS, block_options, image_batch, one_of, positive_int, share, show, switch
from .blocks import DenseBlock, ModePortable, Transition, as_written, one_pixel, transition_block
from .execution import recompute

__all__ = ['DenseNet']

#: Stems, with the factor by which they reduce height and width.
STEMS = {'imagenet': 4, 'cifar': 1}


class _Features(nn.HybridSequential):
    """All layers but the last; hybridized, some compute otherwise than they are written (see `blocks`)."""

    #: Whether what is traced now is for images that have one pixel in the last dense block.
    one_pixel = False

    def hybrid_forward(self, F, x):
        layers = list(self._children.values())
        if not as_written(x):
            # Of a window's largest number and of 0 the larger is kept, in either order the same to the bit; behind the
            # pooling ReLU has a quarter of the work.
            if [type(layer) for layer in layers[2:4]] == [nn.Activation, nn.MaxPool2D]:
                layers[2:4] = layers[3], layers[2]
            if self.one_pixel:
                layers = [layer for layer in layers if not isinstance(layer, nn.GlobalAvgPool2D)]
        last = [layer for layer in layers if isinstance(layer, DenseBlock)][-1:]
        for layer in layers:
            with one_pixel(self.one_pixel and layer in last):
                x = layer(x)
        return x


_Features.__name__ = 'HybridSequential'  # as in `blocks`


class DenseNet(ModePortable, HybridBlock):
    """DenseNet: every network of the paper, and the one of the articles, which the defaults give.

    A stem, then dense blocks with transition layers between them, then batch normalisation, ReLU, global average
    pooling and a dense layer. Section 3 of the paper, "Implementation Details". With a `bottleneck` it is the paper's
    DenseNet-B, with `compression` < 1 DenseNet-C, with both DenseNet-BC. The default is article 001's network: four
    plain dense blocks of four convolutions, transitions that halve the width. (`densenet` gives networks by name.)

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
        ``'imagenet'``: 7x7 convolution with stride 2, batch normalisation, ReLU, 3x3 max-pooling with stride 2.
        ``'cifar'``: one 3x3 convolution, which leaves the size as it is.
    bias : bool, default True
        Whether the convolutions have biases: they do in the articles, they do not in the paper's code.
    classes : int, >= 1, default 10
        Outputs of the classifier.
    in_channels : int, >= 1, default 1
        Channels of the image.
    memory_efficient : bool, default False
        Whether training by `fit`, or by ``recompute.record()`` and ``recompute.backward(loss)`` in a loop of your own,
        keeps the features only and computes the rest again in the backward pass. Parameters and results are the same.
    **kwargs
        ``prefix`` and ``params`` of the Gluon block.

    **Inputs:** images (N, in_channels, H, W), float32. **Outputs:** scores before the softmax, (N, classes).

    Any H and W from `smallest_input_size` on will do. The stem rounds odd sizes up and a transition rounds
    them down, as in the article. Where rounding down would leave a later transition nothing to pool (28 x 28
    pixels: 7, 3, 1 and then 0), all transitions round up instead (7, 4, 2, 1).

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
                 'bias', 'classes', 'in_channels')

    def __init__(self, growth_rate=32, block_config=(4, 4, 4, 4), num_init_features=64, bottleneck=None,
                 compression=0.5, dropout=0.0, stem='imagenet', bias=True, classes=10, in_channels=1,
                 memory_efficient=False, **kwargs):
        block_options(kwargs)
        super().__init__(**kwargs)
        if isinstance(block_config, (str, bytes, dict, set)) or not hasattr(block_config, '__len__') or \
                not len(block_config):
            raise ValueError(f'block_config must be a sequence of positive integers, got {show(block_config)}')
        if isinstance(compression, bool) or not isinstance(compression, numbers.Real) or not 0 < compression <= 1:
            raise ValueError(f'compression must be a number with 0 < compression <= 1, got {show(compression)}')
        #: The arguments, enough to build the same network again.
        self.config = {
            'growth_rate': positive_int('growth_rate', growth_rate),
            'block_config': [positive_int('each entry of block_config', num_convs) for num_convs in block_config],
            'num_init_features': positive_int('num_init_features', num_init_features),
            'bottleneck': None if bottleneck is None else positive_int('bottleneck', bottleneck),
            'compression': float(compression), 'dropout': share('dropout', dropout),
            'stem': one_of('stem', stem, STEMS), 'bias': switch('bias', bias),
            'classes': positive_int('classes', classes), 'in_channels': positive_int('in_channels', in_channels)}
        self._check_widths()
        #: The argument, which may be changed at any time.
        self.memory_efficient = switch('memory_efficient', memory_efficient)
        # For each transition, settings of its pooling.
        self._pooling = [{'pooling_convention': 'valid', 'count_include_pad': True}] * (len(block_config) - 1)
        self._built_in_np = is_np_array()
        with self.name_scope():
            self.features = _Features(prefix='')
            with self.features.name_scope():
                self.features.add(*_stem(stem, num_init_features, in_channels, bias))
                self._stem_layers = len(self.features)
                num_channels = num_init_features
                for i, num_convs in enumerate(block_config):
                    self.features.add(DenseBlock(num_convs, growth_rate, num_channels, bottleneck, dropout, bias))
                    num_channels += num_convs * growth_rate
                    if i != len(block_config) - 1:
                        width = math.floor(compression * num_channels)
                        self.features.add(transition_block(width, num_channels, dropout, bias))
                        num_channels = width
                self.features.add(nn.BatchNorm(in_channels=num_channels), nn.Activation('relu'), nn.GlobalAvgPool2D(),
                                  nn.Flatten())
            self.output = nn.Dense(classes, in_units=num_channels)
        # Gluon warns of lists of blocks, but not of names like this one.
        vars(self)['__built'] = _all_blocks(self)

    def _check_widths(self):
        """ValueError if a layer would have no channel, or more weights than MXNet can count."""
        config = self.config
        compression, growth_rate = config['compression'], config['growth_rate']
        width = config['num_init_features']
        most = 49 * config['in_channels'] * width
        for i, num_convs in enumerate(config['block_config']):
            bottleneck = (config['bottleneck'] or 0) * growth_rate
            width += num_convs * growth_rate
            most = max(most, 9 * growth_rate * (bottleneck or width), bottleneck * width)
            if i != len(config['block_config']) - 1:
                before, width = width, math.floor(compression * width)
                if not width:
                    raise ValueError(f'compression {compression!r} leaves transition {i + 1} no channel: '
                                     f'floor({compression!r} * {before}) is 0')
                most = max(most, before * width)
        most = max(most, config['classes'] * width)
        if most > MOST_ELEMENTS:
            raise ValueError(f'a layer of this network would have {most:,} weights, and MXNet counts to '
                             f'{MOST_ELEMENTS:,}: take a smaller growth_rate, block_config, num_init_features, '
                             f'bottleneck, classes or in_channels than in {self.config}')

    @property
    def smallest_input_size(self):
        """Smallest height and width, in pixels, at which every transition still has something to halve."""
        # Rounding up, T transitions need more than 2^(T-1) pixels to halve T times.
        transitions = len(self.config['block_config']) - 1
        return STEMS[self.config['stem']] * 2 ** (transitions - 1) + 1 if transitions else 1

    def stage_sizes(self, height, width):
        """Height and width in each dense block for images of `height` x `width` pixels.

        Returns
        -------
        list of (int, int)
            One pair for each dense block.

        Raises
        ------
        ValueError
            If the image is smaller than `smallest_input_size`.

        Examples
        --------
        >>> DenseNet().stage_sizes(48, 48)
        [(12, 12), (6, 6), (3, 3), (1, 1)]
        """
        round_up = self._rounds_up(height, width)
        pairs = [tuple(-(-size // STEMS[self.config['stem']]) for size in (height, width))]
        for _ in self.config['block_config'][1:]:
            pairs.append(tuple((size + round_up) // 2 for size in pairs[-1]))
        return pairs

    def _rounds_up(self, height, width):
        positive_int('height', height)
        positive_int('width', width)
        if min(height, width) < self.smallest_input_size:
            raise ValueError(f'images of {height} x {width} pixels are too small for this network: after the stem '
                             f'and {len(self.config["block_config"]) - 1} transitions nothing is left to pool; '
                             f'the smallest height and width is {self.smallest_input_size}')
        after_stem = -(-min(height, width) // STEMS[self.config['stem']])
        return after_stem < 2 ** (len(self.config['block_config']) - 1)

    def set_input_size(self, height, width):
        """Let the transitions round odd sizes as images of `height` x `width` pixels need it.

        A call on an array does this by itself. It is needed by hand only before the network is traced without
        one: as part of another hybridized block, for small images (below 29 pixels in the article's network).

        Raises
        ------
        ValueError
            If the image is smaller than `smallest_input_size`.
        """
        # Nothing is padded. But where a window reaches beyond the image, MXNet's gradient (at 3, 7, 11, ... pixels),
        # its int8 pooling and ONNX divide by four whatever it holds, unless padding is left out of the count. (Where
        # none does, MXNet would complain.)
        round_up = self._rounds_up(height, width)
        self._set_pooling([
            {'pooling_convention': 'full' if round_up else 'valid',
             'count_include_pad': not (round_up and any(size % 2 for size in sizes))}
            for sizes in self.stage_sizes(height, width)[:-1]])

    def _set_pooling(self, settings):
        """Take these settings for the pooling of each transition."""
        if settings == self._pooling:
            return
        self._pooling = settings
        # Graphs that were traced with the other settings must go.
        self._clear_cached_op()
        self.features._clear_cached_op()
        for block, setting in zip((block for block in self.features if type(block) is Transition), settings):
            block[-1]._kwargs.update(setting)
            block._clear_cached_op()

    def stages(self):
        """The parts of the network in order: a list of (name, list of blocks).

        Examples
        --------
        >>> [name for name, blocks in DenseNet(block_config=(4, 4)).stages()]
        ['stem', 'dense block 1', 'transition 1', 'dense block 2', 'classifier']
        """
        layers = list(self.features)
        parts, number = [('stem', layers[:self._stem_layers])], 0
        for block in layers[self._stem_layers:-4]:
            if isinstance(block, DenseBlock):
                number += 1
                parts.append((f'dense block {number}', [block]))
            else:
                parts.append((f'transition {number}', [block]))
        return parts + [('classifier', layers[-4:] + [self.output])]

    def forward(self, x, *args):
        # Inside a hybridized parent x is a symbol without a size: the rounding stays as last decided.
        if not isinstance(x, Symbol):
            image_batch('DenseNet', x, self._built_in_np, channels=self.config['in_channels'])
            self.set_input_size(*x.shape[2:])
            if self.memory_efficient and recompute.recording():
                return recompute.forward(self, x)
            if self._active and self.stage_sizes(*x.shape[2:])[-1] == (1, 1) and self._may_have_a_second_graph():
                return self._second_graph(x)
        return super().forward(x, *args)

    def _may_have_a_second_graph(self):
        """Whether nobody changed the network or watches its layers, so that some may be computed otherwise."""
        if self._backend or self._callback:
            return False
        if self._one_pixel is not None:
            return True
        blocks = _all_blocks(self)
        return type(self) is DenseNet and blocks == vars(self)['__built'] and not any(
            block._forward_hooks or block._forward_pre_hooks for block in blocks)

    def _second_graph(self, x):
        """The scores, by a graph for images that have one pixel in the last dense block. The first is there as well."""
        if self._cached_op is None:
            self._build_cache(x)
        if self._one_pixel is None:
            # Not as an attribute: it would become a child.
            vars(self)['_one_pixel'] = _OnePixel(self)
            self._one_pixel.hybridize(**dict(self._flags))
        return self._one_pixel(x)

    def _clear_cached_op(self):
        super()._clear_cached_op()
        vars(self)['_one_pixel'] = None

    def hybrid_forward(self, F, x):
        return self.output(self.features(x))


class _OnePixel(HybridBlock):
    """A DenseNet with a graph of its own, for images that have one pixel in the last dense block.

    It is no child of the network, and the network's own graph, which others read, holds for images of any size.
    """

    def __init__(self, net):
        super().__init__(prefix=net.prefix)
        vars(self)['_net'] = net

    def collect_params(self, select=None):
        return self._net.collect_params(select)

    def hybrid_forward(self, F, x):
        features = self._net.features
        features.one_pixel = True
        try:
            return self._net.hybrid_forward(F, x)
        finally:
            features.one_pixel = False


def _all_blocks(net):
    blocks = []
    net.apply(blocks.append)
    return blocks


def _stem(stem, num_channels, in_channels, bias):
    """Layers of the stem."""
    if stem == 'cifar':
        return [nn.Conv2D(num_channels, kernel_size=3, padding=1, use_bias=bias, in_channels=in_channels)]
    return [nn.Conv2D(num_channels, kernel_size=7, strides=2, padding=3, use_bias=bias, in_channels=in_channels),
            nn.BatchNorm(in_channels=num_channels), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1)]
