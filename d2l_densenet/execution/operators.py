"""Two operators of MXNet that need care: a concatenation that oneDNN cannot break, a pooling whose gradient is right.

Where a block is traced the shapes are not known: there both do what is always right, and `fast` makes it faster.
"""

from mxnet.gluon import nn
from mxnet.symbol import Symbol
from mxnet.util import is_np_array

# oneDNN's concat keeps its blocked memory layout, which makes a training step of the article's network a sixth shorter.
# But MXNet 1.9.1's fails ("could not construct a sub-memory"), asynchronously, and may end the process, when the joined
# width is a multiple of the SIMD block (16 channels with AVX-512, 8 with AVX2) and the place where the parts meet is
# not. So it is used only where every part is known to be a multiple of 16 wide, and NumPy's `concatenate`, which never
# reaches oneDNN, everywhere else. The choice changes not one bit of the result.
SIMD_BLOCK = 16


def aligned(*widths):
    """Whether oneDNN's concat is safe for parts of these widths."""
    return all(width > 0 and width % SIMD_BLOCK == 0 for width in widths)


def concatenate(F, parts):
    """Join feature maps (N, C, H, W) along the channels; `F`, as in ``hybrid_forward``, is ``mx.nd`` or ``mx.sym``."""
    if not isinstance(parts[0], Symbol) and aligned(*(part.shape[1] for part in parts)):
        if is_np_array():
            return F.concat(*[part.as_nd_ndarray() for part in parts], dim=1).as_np_ndarray()
        return F.concat(*parts, dim=1)
    if is_np_array():
        return F.np.concatenate(parts, axis=1)
    return F.np.concatenate([part.as_np_ndarray() for part in parts], axis=1).as_nd_ndarray()


class RoundingUpAvgPool2D(nn.AvgPool2D):
    """Average pooling by 2 that rounds odd sizes up: the last windows average the pixels that are there.

    Nothing is padded. But where a window reaches beyond the image, MXNet's gradient (at 3, 7, 11, ... pixels), its int8
    pooling and ONNX divide by four whatever it holds, unless padding is left out of the count. Where no window does,
    leaving it out changes nothing but that oneDNN prints a complaint.
    """

    def __init__(self, **kwargs):
        super().__init__(pool_size=2, strides=2, ceil_mode=True, count_include_pad=False, **kwargs)

    def hybrid_forward(self, F, x):
        if isinstance(x, Symbol) or any(size % 2 for size in x.shape[2:]):
            return super().hybrid_forward(F, x)
        pooling = F.npx.pooling if is_np_array() else F.Pooling
        return pooling(x, name='fwd', **{**self._kwargs, 'pooling_convention': 'valid', 'count_include_pad': True})


