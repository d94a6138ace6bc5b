"""The network: a stem, dense blocks with transition layers between them, and a classifier."""

from mxnet.gluon import HybridBlock, nn
from mxnet.ndarray import NDArray
from mxnet.util import is_np_array

from ._checks import image_batch, positive_int
from .blocks import DenseBlock, ModePortable, transition_block

__all__ = ['DenseNet']


class DenseNet(ModePortable, HybridBlock):
    """DenseNet as in the articles: plain dense blocks, transitions that halve the width.

    The defaults give the network of article 001: a stem (7x7 convolution with stride 2 and 64 channels, batch
    normalisation, ReLU, 3x3 max-pooling with stride 2), four dense blocks of four convolutions with growth
    rate 32, three transition layers, then batch normalisation, ReLU, global average pooling and a dense
    layer. Section 3 of the paper, "Implementation Details".

    Parameters
    ----------
    growth_rate : int, >= 1, default 32
        Channels k that each convolution block adds.
    block_config : sequence of int, default (4, 4, 4, 4)
        Convolution blocks in each dense block.
    num_init_features : int, >= 1, default 64
        Channels that the stem produces.
    classes : int, >= 1, default 10
        Outputs of the classifier.
    in_channels : int, >= 1, default 1
        Channels of the image.
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

    def __init__(self, growth_rate=32, block_config=(4, 4, 4, 4), num_init_features=64, classes=10,
                 in_channels=1, **kwargs):
        super().__init__(**kwargs)
        positive_int('growth_rate', growth_rate)
        positive_int('num_init_features', num_init_features)
        positive_int('classes', classes)
        positive_int('in_channels', in_channels)
        if isinstance(block_config, (str, int)) or not len(block_config):
            raise ValueError(f'block_config must be a sequence of positive integers, got {block_config!r}')
        for num_convs in block_config:
            positive_int('each entry of block_config', num_convs)
        #: The arguments, enough to build the same network again.
        self.config = {'growth_rate': int(growth_rate), 'block_config': [int(n) for n in block_config],
                       'num_init_features': int(num_init_features), 'classes': int(classes),
                       'in_channels': int(in_channels)}
        self._round_up = False
        self._built_in_np = is_np_array()
        with self.name_scope():
            self.features = nn.HybridSequential(prefix='')
            with self.features.name_scope():
                self.features.add(
                    nn.Conv2D(num_init_features, kernel_size=7, strides=2, padding=3),
                    nn.BatchNorm(), nn.Activation('relu'),
                    nn.MaxPool2D(pool_size=3, strides=2, padding=1))
                num_channels = num_init_features
                for i, num_convs in enumerate(block_config):
                    self.features.add(DenseBlock(num_convs, growth_rate, in_channels=num_channels))
                    num_channels += num_convs * growth_rate
                    if i != len(block_config) - 1:
                        num_channels //= 2
                        self.features.add(transition_block(num_channels))
                self.features.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Flatten())
            self.output = nn.Dense(classes)

    @property
    def smallest_input_size(self):
        """Smallest height and width, in pixels, at which every transition still has something to halve."""
        # Rounding up, T transitions need more than 2^(T-1) pixels to halve T times; the stem divides by 4.
        transitions = len(self.config['block_config']) - 1
        return 4 * 2 ** (transitions - 1) + 1 if transitions else 1

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
        pairs = [tuple(-(-size // 4) for size in (height, width))]
        for _ in self.config['block_config'][1:]:
            pairs.append(tuple((size + round_up) // 2 for size in pairs[-1]))
        return pairs

    def _rounds_up(self, height, width):
        if min(height, width) < self.smallest_input_size:
            raise ValueError(f'images of {height} x {width} pixels are too small for this network: after the stem '
                             f'and {len(self.config["block_config"]) - 1} transitions nothing is left to pool; '
                             f'the smallest height and width is {self.smallest_input_size}')
        return -(-min(height, width) // 4) < 2 ** (len(self.config['block_config']) - 1)

    def set_input_size(self, height, width):
        """Let the transitions round odd sizes as images of `height` x `width` pixels need it.

        A call on an array does this by itself. It is needed by hand only before the network is traced without
        one: as part of another hybridized block, for images below 29 pixels.

        Raises
        ------
        ValueError
            If the image is smaller than `smallest_input_size`.
        """
        round_up = self._rounds_up(height, width)
        if round_up == self._round_up:
            return
        self._round_up = round_up
        # Graphs that were traced with the other rounding must go.
        self._clear_cached_op()
        self.features._clear_cached_op()
        for block in self.features:
            if isinstance(block, nn.HybridSequential):
                block[3]._kwargs['pooling_convention'] = 'full' if round_up else 'valid'
                block._clear_cached_op()

    def stages(self):
        """The parts of the network in order: a list of (name, list of blocks).

        Examples
        --------
        >>> [name for name, blocks in DenseNet(block_config=(4, 4)).stages()]
        ['stem', 'dense block 1', 'transition 1', 'dense block 2', 'classifier']
        """
        layers = list(self.features)
        parts, number = [('stem', layers[:4])], 0
        for block in layers[4:-4]:
            if isinstance(block, DenseBlock):
                number += 1
                parts.append((f'dense block {number}', [block]))
            else:
                parts.append((f'transition {number}', [block]))
        return parts + [('classifier', layers[-4:] + [self.output])]

    def forward(self, x, *args):
        # Inside a hybridized parent x is a symbol without a size: the rounding stays as last decided.
        if isinstance(x, NDArray):
            image_batch('DenseNet', x, self._built_in_np, channels=self.config['in_channels'])
            self.set_input_size(*x.shape[2:])
        return super().forward(x, *args)

    def hybrid_forward(self, F, x):
        return self.output(self.features(x))
