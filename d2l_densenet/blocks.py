"""The dense block and its two neighbours: composite function, dense block, transition layer.

Every block here is a ``HybridBlock`` that runs in both of MXNet's array modes (classic ``mx.nd`` and
``mx.npx.set_np()``), imperatively or hybridized. The paper is Huang, Liu, van der Maaten and
Weinberger, "Densely Connected Convolutional Networks", CVPR 2017 (arXiv:1608.06993).
"""

import contextlib
import contextvars

from mxnet.base import MXNetError
from mxnet.gluon import HybridBlock, nn
from mxnet.ndarray import waitall
from mxnet.symbol import Symbol
from mxnet.util import is_np_array, np_shape

from ._common.arguments import block_options, image_batch, positive_int, share, switch
from ._common.disk import a_path
from ._common.messages import last_line
from ._common.params import check_params

__all__ = ['conv_block', 'DenseBlock', 'transition_block']


# How features are concatenated, decided here and nowhere else.
#
# oneDNN's concat keeps its blocked memory layout, so that the next convolution need not reorder its input:
# a training step of the article's network is about a sixth shorter with it. But the version inside MXNet
# 1.9.1 fails ("could not construct a sub-memory") when the joined width is a multiple of the SIMD block
# (16 channels with AVX-512, 8 with AVX2) and the place where the parts meet is not. The failure is
# asynchronous and can end the process. So oneDNN's concat is used only where every part is known to be a
# multiple of 16 wide, and NumPy's `concatenate`, which never reaches oneDNN, everywhere else.
# Both copy the same numbers: the choice changes the speed and not one bit of the result.
_SIMD_BLOCK = 16


def _aligned(*widths):
    """Whether oneDNN's concat is safe for parts of these widths (0 stands for an unknown width)."""
    return all(width > 0 and width % _SIMD_BLOCK == 0 for width in widths)


def _concat_channels(F, parts, aligned):
    """Join `parts` along the channel axis; `F`, as in ``hybrid_forward``, is ``mx.nd`` or ``mx.sym``."""
    if aligned:
        if is_np_array():
            return F.concat(*[part.as_nd_ndarray() for part in parts], dim=1).as_np_ndarray()
        return F.concat(*parts, dim=1)
    if is_np_array():
        return F.np.concatenate(parts, axis=1)
    return F.np.concatenate([part.as_np_ndarray() for part in parts], axis=1).as_nd_ndarray()


# What a hybridized network computes otherwise than it is written, decided here and in `builder` and nowhere else.
# Results are the same but for rounding; `benchmarks/NOTES.md` has what each is worth.
#
# Transitions. The 1x1 convolution works on each pixel alone and the average pooling on each channel alone, so the two
# can change places, and the convolution has a quarter of the work. On the CPU it saves more than that. A convolution
# whose width is no multiple of 16 hands back its gradient in another memory layout, for which oneDNN has only a slow
# reference form of batch normalisation: in the article's network that one step took 87 of 583 ms. Behind the pooling
# the gradient comes in the layout that was put in.
#
# Images of one pixel (in the last block of the article's network). All but the middle weights of a 3x3 convolution meet
# the padding. A 1x1 convolution with the middle weights is the same, and its gradient does not fall to a slow form.
_written_order = contextvars.ContextVar('written_order', default=False)
_one_pixel = contextvars.ContextVar('one_pixel', default=False)


@contextlib.contextmanager
def written_order():
    """Within it networks are traced in the order of the paper, which is how their work is counted."""
    token = _written_order.set(True)
    try:
        yield
    finally:
        _written_order.reset(token)


def as_written(x):
    """Whether to compute in the order of the paper: outside a hybridized network, or where that is asked for."""
    return not isinstance(x, Symbol) or _written_order.get()


@contextlib.contextmanager
def one_pixel(switch):
    """Within it, if `switch`, 3x3 convolutions are traced for images of one pixel."""
    token = _one_pixel.set(switch)
    try:
        yield
    finally:
        _one_pixel.reset(token)


class ModePortable:
    """Mix-in for a Gluon block that makes its files safe.

    `load_parameters` also reads, in classic nd mode, a file written in np mode. (The other direction Gluon has itself.)
    It raises OSError for a file that cannot be read and ValueError for one that is damaged, before MXNet sees it:
    MXNet's reader takes as much memory as the file asks for. `save_parameters` waits for what is being computed: oneDNN
    rearranges weights in place while a forward pass uses them, and MXNet may copy them in between.
    """

    def save_parameters(self, filename, *args, **kwargs):
        filename = a_path('filename', filename)
        waitall()
        try:
            super().save_parameters(filename, *args, **kwargs)
        except MXNetError as error:
            raise OSError(f'{filename} cannot be written ({last_line(error)}): choose another place or free the '
                          'space') from error

    def load_parameters(self, filename, *args, **kwargs):
        filename = a_path('filename', filename)
        check_params(filename)
        try:
            super().load_parameters(filename, *args, **kwargs)
        except MXNetError as error:
            if 'is_np_shape' not in str(error):
                raise
            with np_shape(True):
                super().load_parameters(filename, *args, **kwargs)


class HybridSequential(ModePortable, nn.HybridSequential):
    """Gluon's ``HybridSequential`` for images, its files readable in both array modes.

    `owner` is what errors call it, `least` the smallest height and width that it takes.
    """

    def __init__(self, owner='HybridSequential', least=1, **kwargs):
        super().__init__(**kwargs)
        self._owner, self._least, self._built_in_np = owner, least, is_np_array()

    def forward(self, x, *args):
        if not isinstance(x, Symbol):
            image_batch(self._owner, x, self._built_in_np, least=self._least)
        return super().forward(x, *args)


class Transition(HybridSequential):
    """The layers of a transition; hybridized, its pooling comes before its convolution."""

    def hybrid_forward(self, F, x):
        layers = list(self._children.values())
        # Dropout, which stands between the two, must see what the convolution produces.
        if not as_written(x) and len(layers) == 4:
            layers[2], layers[3] = layers[3], layers[2]
        for layer in layers:
            x = layer(x)
        return x


class _ConvBlock(HybridSequential):
    """The layers of a convolution block; hybridized, for images of one pixel, its 3x3 convolution is a 1x1."""

    def hybrid_forward(self, F, x):
        small = _one_pixel.get() and not as_written(x)
        for layer in self._children.values():
            x = _middle(F, x, layer) if small and isinstance(layer, nn.Conv2D) else layer(x)
        return x


def _middle(F, x, conv):
    """What `conv`, a layer of `conv_block`, gives for images of one pixel."""
    weight, *bias = [parameter.var() for parameter in (conv.weight, conv.bias) if parameter is not None]
    middle = conv._kwargs['pad']
    if is_np_array():
        x, weight, *bias = (array.as_nd_ndarray() for array in (x, weight, *bias))
    if any(middle):
        weight = F.slice(weight, begin=(None, None, *middle), end=(None, None, *(place + 1 for place in middle)))
    with conv.name_scope():
        y = F.Convolution(x, weight, *bias, name='fwd', **{**conv._kwargs, 'kernel': (1, 1), 'pad': (0, 0)})
    return y.as_np_ndarray() if is_np_array() else y


# For those who print a network, and in the names that Gluon gives parameters, they are what they hold: layers in a row.
Transition.__name__ = _ConvBlock.__name__ = 'HybridSequential'


def conv_block(num_channels, in_channels=0, bottleneck=None, dropout=0.0, bias=True, **kwargs):
    """Composite function H_l: batch normalisation, ReLU, 3x3 convolution (section 3, "Composite function").

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

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> block = conv_block(10)
    >>> block.initialize()
    >>> block(mx.nd.ones((4, 3, 8, 8))).shape
    (4, 10, 8, 8)
    """
    positive_int('num_channels', num_channels)
    positive_int('in_channels', in_channels, least=0)
    share('dropout', dropout)
    switch('bias', bias)
    block_options(kwargs)
    steps = [(num_channels, 3)]
    if bottleneck is not None:
        width = positive_int('bottleneck', bottleneck) * num_channels
        steps.insert(0, (positive_int('bottleneck times num_channels', width), 1))
    block = _ConvBlock('conv_block', **kwargs)
    with block.name_scope():
        for width, size in steps:
            block.add(nn.BatchNorm(in_channels=in_channels), nn.Activation('relu'),
                      nn.Conv2D(width, kernel_size=size, padding=size // 2, use_bias=bias, in_channels=in_channels))
            if dropout:
                block.add(nn.Dropout(dropout))
            in_channels = width
    return block


class DenseBlock(ModePortable, HybridBlock):
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
        Channels of the input; 0 leaves them to the first call. Given, it lets a hybridized parent use the
        faster concatenation where that is safe.
    bottleneck, dropout, bias
        As for `conv_block`.
    **kwargs
        ``prefix`` and ``params`` of the Gluon block.

    **Inputs:** (N, C, H, W). **Outputs:** (N, C + num_convs * num_channels, H, W).

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> block = DenseBlock(4, 10)
    >>> block.initialize()
    >>> block(mx.nd.ones((4, 5, 22, 22))).shape
    (4, 45, 22, 22)
    """

    def __init__(self, num_convs, num_channels, in_channels=0, bottleneck=None, dropout=0.0, bias=True, **kwargs):
        block_options(kwargs)
        super().__init__(**kwargs)
        positive_int('num_convs', num_convs)
        positive_int('num_channels', num_channels)
        positive_int('in_channels', in_channels, least=0)
        positive_int('in_channels plus num_convs times num_channels', in_channels + num_convs * num_channels)
        self._num_channels = num_channels
        self._in_channels = in_channels
        self._built_in_np = is_np_array()
        with self.name_scope():
            self.net = nn.HybridSequential()
            for i in range(num_convs):
                self.net.add(conv_block(num_channels, in_channels and in_channels + i * num_channels,
                                        bottleneck, dropout, bias))

    def forward(self, X, *args):
        # Only a real array can be checked and shows its width. Inside a hybridized parent X is a symbol.
        if not isinstance(X, Symbol):
            image_batch('DenseBlock', X, self._built_in_np, channels=self._in_channels)
            self._in_channels = X.shape[1]
        return super().forward(X, *args)

    def hybrid_forward(self, F, X):
        aligned = _aligned(self._in_channels, self._num_channels)
        for block in self.net:
            X = _concat_channels(F, [X, block(X)], aligned)
        return X

    def __repr__(self):
        width = self._in_channels or '?'
        return f'{type(self).__name__}({len(self.net)} x conv_block({self._num_channels}), in_channels={width})'


def transition_block(num_channels, in_channels=0, dropout=0.0, bias=True, **kwargs):
    """Transition layer: batch normalisation, ReLU, 1x1 convolution, 2x2 average pooling (section 3, "Pooling layers").

    It sits between two dense blocks, sets the number of channels and halves height and width. An odd
    height or width is rounded down, as in the articles. Hybridized, it pools first: see `written_order`.

    Parameters
    ----------
    num_channels : int, >= 1
        Channels that the layer produces.
    in_channels, dropout, bias
        As for `conv_block`.
    **kwargs
        ``prefix`` and ``params`` of the Gluon block.

    Returns
    -------
    mxnet.gluon.nn.HybridSequential
        **Inputs:** (N, C, H, W), H and W at least 2. **Outputs:** (N, num_channels, H // 2, W // 2).

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> block = transition_block(10)
    >>> block.initialize()
    >>> block(mx.nd.ones((4, 45, 22, 22))).shape
    (4, 10, 11, 11)
    """
    positive_int('num_channels', num_channels)
    positive_int('in_channels', in_channels, least=0)
    share('dropout', dropout)
    switch('bias', bias)
    block_options(kwargs)
    block = Transition('transition_block', least=2, **kwargs)
    with block.name_scope():
        block.add(nn.BatchNorm(in_channels=in_channels), nn.Activation('relu'),
                  nn.Conv2D(num_channels, kernel_size=1, use_bias=bias, in_channels=in_channels))
        if dropout:
            block.add(nn.Dropout(dropout))
        block.add(nn.AvgPool2D(pool_size=2, strides=2))
    return block
