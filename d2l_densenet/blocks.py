"""The dense block and its two neighbors: composite function, dense block, transition layer.

The paper is Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks", CVPR 2017
(arXiv:1608.06993), section 3. Every block here is a Gluon ``HybridBlock`` for both of MXNet's array modes. An argument
that is out of its range is a ValueError.
"""

from mxnet.gluon import nn

from ._common.arguments import one_of, positive_int, share, switch
from .execution.block import Block, HybridSequential, in_channels
from .execution.operators import RoundingUpAvgPool2D, concatenate

__all__ = ['conv_block', 'DenseBlock', 'transition_block']

#: How a transition rounds an odd height or width: MXNet's own terms.
POOLING_CONVENTIONS = ('valid', 'full')


def conv_block(num_channels, in_channels=0, bottleneck=None, dropout=0.0, bias=True, **kwargs):
    """Composite function H_l: batch normalization, ReLU, 3x3 convolution (section 3, "Composite function").

    The convolution pads by 1, so height and width stay as they are. With a `bottleneck` B the same three steps with
    a 1x1 convolution to B times `num_channels` channels come first (section 3, "Bottleneck layers").

    Parameters
    ----------
    num_channels : int, >= 1
        Channels that the block produces. Inside a dense block this is the growth rate k.
    in_channels : int, >= 0, default 0
        Channels of the input; 0 leaves them to the first call.
    bottleneck : int, >= 1, or None, default None
        Width of the 1x1 convolution as a multiple of `num_channels` (4 in the paper); None: no 1x1 convolution.
    dropout : float, 0 <= dropout < 1, default 0
        Share of the values set to 0 in training after each convolution (section 4.2).
    bias : bool, default True
        Whether convolutions have a bias: they do in the articles, they do not in the paper's code.
    **kwargs
        ``prefix`` and ``params`` of the Gluon block.

    Returns
    -------
    mxnet.gluon.nn.HybridSequential
        **Inputs:** (N, C, H, W) with any C. **Outputs:** (N, num_channels, H, W).

    Examples
    --------
    >>> block = conv_block(10)
    >>> block.initialize()
    >>> block(mx.nd.ones((4, 3, 8, 8))).shape
    (4, 10, 8, 8)
    """
    _check(num_channels, in_channels, dropout, bias)
    steps = [(num_channels, 3)]
    if bottleneck is not None:
        steps.insert(0, (positive_int('bottleneck', bottleneck) * num_channels, 1))
    block = HybridSequential('conv_block', **kwargs)
    with block.name_scope():
        for width, size in steps:
            block.add(nn.BatchNorm(in_channels=in_channels), nn.Activation('relu'),
                      nn.Conv2D(width, kernel_size=size, padding=size // 2, use_bias=bias, in_channels=in_channels))
            if dropout:
                block.add(nn.Dropout(dropout))
            in_channels = width
    return block


class DenseBlock(Block):
    """Dense block: each convolution reads everything before it (section 3, "Dense connectivity").

    Layer l computes x_l = H_l([x_0, x_1, ..., x_{l-1}]): the input and all earlier outputs, joined along the
    channel axis. The output is [x_0, ..., x_L], so its first channels are the input itself.

    Parameters
    ----------
    num_convs : int, >= 1
        Number L of convolution blocks.
    num_channels : int, >= 1
        Channels that each convolution block produces: the growth rate k.
    in_channels : int, >= 0, default 0
        Channels of the input; 0 leaves them to the first call.
    bottleneck, dropout, bias, **kwargs
        As for `conv_block`.

    **Inputs:** (N, C, H, W). **Outputs:** (N, C + num_convs * num_channels, H, W).

    Examples
    --------
    >>> block = DenseBlock(4, 10)
    >>> block.initialize()
    >>> block(mx.nd.ones((4, 5, 22, 22))).shape
    (4, 45, 22, 22)
    """

    def __init__(self, num_convs, num_channels, in_channels=0, bottleneck=None, dropout=0.0, bias=True, **kwargs):
        super().__init__(**kwargs)
        positive_int('num_convs', num_convs)
        _check(num_channels, in_channels, dropout, bias)
        self._num_channels = num_channels
        with self.name_scope():
            self.net = HybridSequential('net')
            for i in range(num_convs):
                self.net.add(conv_block(num_channels, in_channels and in_channels + i * num_channels,
                                        bottleneck, dropout, bias))

    def hybrid_forward(self, F, X):
        for block in self.net:
            X = concatenate(F, [X, block(X)])
        return X

    def __repr__(self):
        width = in_channels(self) or '?'
        return f'{type(self).__name__}({len(self.net)} x conv_block({self._num_channels}), in_channels={width})'


def transition_block(num_channels, in_channels=0, dropout=0.0, bias=True, pooling_convention='valid', **kwargs):
    """Transition layer: batch normalization, ReLU, 1x1 convolution, 2x2 average pooling (section 3, "Pooling layers").

    It sits between two dense blocks, sets the number of channels and halves height and width.

    Parameters
    ----------
    num_channels : int, >= 1
        Channels that the layer produces.
    in_channels, dropout, bias, **kwargs
        As for `conv_block`.
    pooling_convention : {'valid', 'full'}, default 'valid'
        How an odd height or width is halved: ``'valid'`` rounds down, as in the articles; ``'full'`` rounds up, and the
        last windows average the pixels that are there.

    Returns
    -------
    mxnet.gluon.nn.HybridSequential
        **Inputs:** (N, C, H, W), H and W at least 2. **Outputs:** (N, num_channels, H // 2, W // 2), or rounded up.

    Examples
    --------
    >>> block = transition_block(10)
    >>> block.initialize()
    >>> block(mx.nd.ones((4, 45, 22, 22))).shape
    (4, 10, 11, 11)
    """
    _check(num_channels, in_channels, dropout, bias)
    one_of('pooling_convention', pooling_convention, POOLING_CONVENTIONS)
    block = HybridSequential('transition_block', **kwargs)
    with block.name_scope():
        block.add(nn.BatchNorm(in_channels=in_channels), nn.Activation('relu'),
                  nn.Conv2D(num_channels, kernel_size=1, use_bias=bias, in_channels=in_channels))
        if dropout:
            block.add(nn.Dropout(dropout))
        block.add(RoundingUpAvgPool2D() if pooling_convention == 'full' else nn.AvgPool2D(pool_size=2, strides=2))
    return block


def _check(num_channels, in_channels, dropout, bias):
    positive_int('num_channels', num_channels)
    positive_int('in_channels', in_channels, least=0)
    share('dropout', dropout)
    switch('bias', bias)
