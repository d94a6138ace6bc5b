"""What a computation takes, measured: wall time in turn with others, peak memory in a process of its own."""

import inspect
import linecache
import os
import subprocess
import sys
import time

import mxnet as mx
import numpy

from .._common.arguments import positive_int, show

__all__ = ['in_turn', 'peak_memory']

_CHILD = '''
import mxnet as mx
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn
from d2l_densenet import DenseBlock, DenseNet, conv_block, recompute
npx.set_np()

{sources}

def peak():
    mx.nd.waitall()
    return next(int(line.split()[1]) * 1024 for line in open('/proc/self/status') if line.startswith('VmHWM'))

np.zeros((1, 1)) + 1
base = peak()
kept = {name}(*{arguments!r})
print(peak() - base)
'''


def in_turn(candidates, rounds, warm_up=1):
    """Wall time of several computations, run in turn, so that a busy moment meets all of them.

    Parameters
    ----------
    candidates : dict of str to function
        Each is called without arguments; then its results are waited for.
    rounds : int, >= 1
        How often each is timed.
    warm_up : int, >= 0, default 1
        Rounds before, which are not timed.

    Returns
    -------
    dict of str to numpy.ndarray, (rounds,)
        Milliseconds. Entry i of every candidate is from the same round.

    Examples
    --------
    >>> times = in_turn({'add': lambda: mx.nd.ones((2, 2)) + 1}, rounds=3)
    >>> times['add'].shape
    (3,)
    """
    positive_int('rounds', rounds)
    if not isinstance(candidates, dict) or not all(map(callable, candidates.values())):
        raise TypeError(f'candidates must be a dict of functions, got {show(candidates)}')
    times = {name: numpy.empty(rounds) for name in candidates}
    for number in range(-positive_int('warm_up', warm_up, least=0), rounds):
        for name, run in candidates.items():
            mx.nd.waitall()
            begin = time.perf_counter()
            run()
            mx.nd.waitall()
            if number >= 0:
                times[name][number] = 1000 * (time.perf_counter() - begin)
    return times


def peak_memory(function, *arguments, uses=()):
    """The most bytes of memory that a call holds at any moment, measured in a new process (Linux only).

    Parameters
    ----------
    function : function
        Defined in a notebook's cell or in a file. It may use ``mx, autograd, gluon, init, np, npx, nn, recompute``,
        ``DenseBlock``, ``DenseNet``, ``conv_block``, and what is in `uses`, in np mode. What it returns is held.
    *arguments : object
        Its arguments: numbers, strings, and tuples of them.
    uses : sequence of functions
        Other functions that it calls.

    Raises
    ------
    RuntimeError
        If the system is not Linux, or the call fails; the message ends with the last line of its error.
    """
    if not os.path.exists('/proc/self/status'):
        raise RuntimeError('peak memory is read from /proc/self/status, which only Linux has')
    for name, one in [('function', function), *(('uses', one) for one in uses)]:
        if not inspect.isfunction(one):
            raise TypeError(f'{name} must be a function that is written in a cell or a file, got {show(one)}')
    linecache.checkcache()  # in a notebook this finds the text of cells again
    sources = '\n\n'.join(map(inspect.getsource, (*uses, function)))
    program = _CHILD.format(sources=sources, name=function.__name__, arguments=arguments)
    # Freed memory is given back at once, so that the peak is what is in use.
    done = subprocess.run([sys.executable, '-c', program], text=True, capture_output=True, check=False,
                          env={**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536', 'MALLOC_TRIM_THRESHOLD_': '65536'})
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f'exit code {done.returncode}']
        raise RuntimeError(f'{function.__name__} failed: {last[0]}')
    return int(done.stdout)
