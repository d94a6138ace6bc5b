"""Choosing the device: a GPU is trusted only after it has done some work."""

import mxnet as mx
from mxnet import autograd
from mxnet.base import MXNetError

from ._common.arguments import positive_int, show
from ._common.messages import last_line
from .gpu import why_no_gpu

__all__ = ['try_gpu']


def try_gpu(i=0):
    """Return GPU number `i` if it can be used, else the CPU, and say on stdout why.

    Before a GPU is trusted it runs a multiplication and a convolution, and their results are waited for: MXNet
    reports a card that its wheel holds no code for only when something runs on it.

    Parameters
    ----------
    i : int, >= 0, default 0
        Number of the GPU, counted as CUDA counts those that this process may see.

    Returns
    -------
    mxnet.context.Context
        ``mx.gpu(i)`` or ``mx.cpu()``.

    Raises
    ------
    ValueError
        If `i` is not an integer of at least 0.

    Examples
    --------
    >>> try_gpu() in (mx.gpu(0), mx.cpu())  # doctest: +ELLIPSIS
    try_gpu(0): ...
    True
    """
    i = positive_int('i', i, least=0)
    problem = why_not_gpu(i)
    if problem is None:
        print(f'try_gpu({i}): using GPU {i}', flush=True)
        return mx.gpu(i)
    print(f'try_gpu({i}): using the CPU: {problem}', flush=True)
    return mx.cpu()


def usable(name, ctx):
    """Return `ctx` if it is a device on which MXNet can compute, else raise TypeError or ValueError."""
    if not isinstance(ctx, mx.Context):
        raise TypeError(f'{name} must be one mxnet device such as mx.cpu() or mx.gpu(0), got {show(ctx)}')
    if ctx.device_type == 'gpu':
        problem = why_not_gpu(ctx.device_id)
        if problem:
            raise ValueError(f'{name} {ctx} cannot be used: {problem}; take mx.cpu(), or what try_gpu() returns')
    return ctx


def why_not_gpu(i):
    """What stands in the way of using GPU number `i`, in one line, or None."""
    if not mx.runtime.Features().is_enabled('CUDA'):
        problem = why_no_gpu(i)
        return 'this MXNet is built for the CPU only, and ' + (
            problem[0] if problem else f'GPU {i} could be used: d2l-densenet gpu installs what it needs')
    try:
        _work(mx.gpu(i))
    except MXNetError as error:
        # Asked only now: somebody's own build may hold code for other cards than the wheels do.
        problem = why_no_gpu(i)
        text = problem[0] if problem else f'GPU {i} is there, but an operation on it failed'
        return f'{text} ({last_line(error)}); d2l-densenet doctor says what to do'
    return None


def _work(ctx):
    """Run one operation of MXNet's own and one of cuDNN on `ctx`, in whichever array mode is on, and wait."""
    with autograd.pause():
        # Not random and not ones alone: a wrong result would go unnoticed if every element were the same.
        x = mx.nd.array([[[[1, 2], [3, 4]]]], ctx=ctx) * 2
        y = mx.nd.Convolution(x, mx.nd.ones((1, 1, 2, 2), ctx=ctx), kernel=(2, 2), num_filter=1, no_bias=True)
        result = y.asnumpy().item()
    if result != 20:
        raise MXNetError(f'a convolution whose result is 20 gave {result}')
