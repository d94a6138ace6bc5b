"""MXNet computes later than it is asked to: its errors, and the call that each of them belongs to."""

import contextlib

import mxnet as mx
from mxnet.base import MXNetError

from .messages import last_line


def settled(name):
    """Wait for what was computed before `name`; an error of it must not be taken for an error of `name`."""
    try:
        mx.nd.waitall()
    except MXNetError as error:
        raise MXNetError(f'an operation before {name} had failed, which MXNet tells only now: {last_line(error)}. '
                         'Call mx.nd.waitall() after each earlier step to see which') from error


@contextlib.contextmanager
def surfacing(name, where=None):
    """Context from which no error of MXNet's asynchronous engine gets out late, or is taken for this call's.

    `where` is called for the place to name, such as 'batch 3 of data_iter'.
    """
    settled(name)
    try:
        yield
        mx.nd.waitall()
    except BaseException as error:
        # What else has failed belongs to this call: the next one must not stumble over it.
        for _ in range(100):
            try:
                mx.nd.waitall()
                break
            except MXNetError:
                pass
        if type(error) is not MXNetError or where is None or hasattr(error, 'placed'):
            raise
        placed = MXNetError(f'MXNet failed in {where()}: {last_line(error)}. Check that the images have the size and '
                            'type that the network takes')
        placed.placed = True  # a context around this one leaves it as it is
        raise placed from error
