"""Arrays in whichever of MXNet's two modes is on."""

import mxnet as mx
import numpy
from mxnet.util import is_np_array


def array(values, dtype=None, ctx=None):
    """``mx.np.array`` or ``mx.nd.array``."""
    return (mx.np.array if is_np_array() else mx.nd.array)(values, dtype=dtype, ctx=ctx)


def to_device(array, ctx):
    """The array on the device `ctx`: itself if it is there already."""
    # np mode renamed the method, and warns where the old name is used.
    return array.as_in_ctx(ctx) if isinstance(array, mx.np.ndarray) else array.as_in_context(ctx)


# So many arrays fit into one call on a GPU.
_ARRAYS_AT_ONCE = 100


def first_not_finite(named):
    """The name of the first of the floating-point arrays {name: array} that holds NaN or infinity, or None.

    One pass over the memory: some 0.3 % of a training step of the article's network.
    """
    # oneDNN rearranges weights in place while a forward pass uses them.
    mx.nd.waitall()
    for name, array in named.items():
        if array.dtype in (numpy.float16, numpy.float64) and not numpy.isfinite(array.asnumpy()).all():
            return name
    named = {name: array.as_nd_ndarray() for name, array in named.items() if array.dtype == numpy.float32}
    for ctx in {array.context for array in named.values()}:
        arrays = [array for array in named.values() if array.context == ctx]
        for start in range(0, len(arrays), _ARRAYS_AT_ONCE):
            part = arrays[start:start + _ARRAYS_AT_ONCE]
            # The squares of large finite values may overflow: only then is each value looked at.
            if not numpy.isfinite(mx.nd.multi_sum_sq(*part, num_arrays=len(part)).asnumpy()).all():
                found = [name for name, array in named.items() if not numpy.isfinite(array.asnumpy()).all()]
                if found:
                    return found[0]
    return None
