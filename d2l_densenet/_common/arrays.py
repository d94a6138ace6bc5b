"""Arrays in whichever of MXNet's two modes is on."""

import mxnet as mx
from mxnet.util import is_np_array


def array(values, dtype=None, ctx=None):
    """``mx.np.array`` or ``mx.nd.array``."""
    return (mx.np.array if is_np_array() else mx.nd.array)(values, dtype=dtype, ctx=ctx)


def to_device(array, ctx):
    """The array on the device `ctx`: itself if it is there already."""
    # np mode renamed the method, and warns where the old name is used.
    return array.as_in_ctx(ctx) if isinstance(array, mx.np.ndarray) else array.as_in_context(ctx)
