"""Choosing the device: a GPU is trusted only after it has done some work."""

import csv
import subprocess

import mxnet as mx
from mxnet import autograd
from mxnet.base import MXNetError

from .._common.arguments import positive_int, show
from .._common.engine import last_line

__all__ = ['try_gpu']

# Compute capabilities whose machine code the wheels on PyPI hold, read from the binaries themselves. Code for x.y
# runs on x.z with z >= y. There is no PTX in them, which a driver could translate for later cards.
WHEELS = {
    'mxnet-cu110': ((5, 0), (6, 0), (7, 0), (8, 0)),
    'mxnet-cu112': ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6)),
    'mxnet-cu117': ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6)),
}


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
            raise ValueError(f'{name} {ctx} cannot be used: {problem.splitlines()[0]}; take mx.cpu(), or what '
                             'try_gpu() returns')
    return ctx


def why_not_gpu(i):
    """What stands in the way of using GPU number `i` (a text of one line or a few), or None."""
    if not mx.runtime.Features().is_enabled('CUDA'):
        return f'this MXNet is built for the CPU only (the wheels for GPUs are {", ".join(WHEELS)})'
    try:
        count = mx.context.num_gpus()
    except MXNetError as error:
        return f'CUDA cannot be asked for GPUs, so its driver is missing or too old ({last_line(error)})'
    if count == 0:
        return 'no NVIDIA GPU, or no driver for it (nvidia-smi shows what the system sees)'
    if i >= count:
        return f'there is no GPU {i}: CUDA sees {count}, numbered from 0'
    try:
        _work(mx.gpu(i))
    except MXNetError as error:
        return _why_it_failed(i, error)
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


def _why_it_failed(i, error):
    cards = _cards()
    listed = '; '.join(f'{name}, compute capability {major}.{minor}' for name, (major, minor) in cards)
    seen = f'nvidia-smi lists: {listed}' if cards else 'nvidia-smi could not be asked for its compute capability'
    foreign = bool(cards) and not any(_runs_on(card) for _, card in cards)
    text = str(error)
    if foreign or 'no kernel image' in text or 'invalid device function' in text:
        return (f'GPU {i} is there, but this MXNet holds no code for it ({last_line(error)}).\n'
                f'  {seen}\n{_table()}')
    return f'GPU {i} is there, but an operation on it failed: {last_line(error)}\n  {seen}'


def _cards():
    """The cards that nvidia-smi lists: (name, (major, minor)) each. Its order may differ from CUDA's."""
    try:
        answer = subprocess.run(['nvidia-smi', '--query-gpu=name,compute_cap', '--format=csv,noheader'],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True, timeout=10, check=True).stdout
        rows = [(name.strip(), capability.strip().split('.')) for name, capability in csv.reader(answer.splitlines())]
        return [(name, (int(major), int(minor))) for name, (major, minor) in rows]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []  # not installed, hanging, or too old to know the field: the message does without


def _runs_on(card, codes=None):
    """Whether code for any of `codes` (default: of any wheel) runs on a card of compute capability `card`."""
    codes = codes or {code for wheel in WHEELS.values() for code in wheel}
    return any(major == card[0] and minor <= card[1] for major, minor in codes)


def _table():
    lines = ['  wheel        holds code for compute capability']
    lines += [f'  {wheel:<12} {", ".join(f"{major}.{minor}" for major, minor in codes)}'
              for wheel, codes in WHEELS.items()]
    lines.append('  Code for x.y runs on x.z with z >= y: on Maxwell (5.x) to Ada (8.9), not on Hopper (9.0), '
                 'Blackwell (10.0, 12.0) or Kepler (3.x).')
    return '\n'.join(lines)
