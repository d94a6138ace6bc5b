"""Checks of arguments, shared by the modules: each error names the argument, the value and the remedy."""

import collections.abc
import difflib
import math
import numbers
import reprlib

import mxnet as mx
import numpy
from mxnet.gluon import Block, ParameterDict
from mxnet.util import is_np_array

# MXNet counts in 32 bits: no axis, and no array, may have more elements.
MOST_ELEMENTS = 2 ** 31 - 1

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120


def show(value):
    """``repr(value)`` for an error: short, and of an array its type and shape."""
    if isinstance(value, (mx.nd.NDArray, numpy.ndarray)):
        kind = 'a numpy.ndarray' if isinstance(value, numpy.ndarray) else \
            f'an mx.{"np" if isinstance(value, mx.np.ndarray) else "nd"} array'
        return f'{kind} of {numpy.dtype(value.dtype).name} {tuple(value.shape)}'
    return f'a {type(value).__name__}' if isinstance(value, Block) else ' '.join(_SHORT.repr(value).split())


def positive_int(name, value, least=1, most=MOST_ELEMENTS):
    """Return `value` if it is an integer from `least` to `most`, else raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f'{name} must be an integer of at least {least}, got {show(value)}')
    if value > most:
        raise ValueError(f'{name} must be an integer of at most {most:,}, got {show(value)}')
    return int(value)


def a_seed(name, value):
    """Return `value` if NumPy and MXNet take it as a seed, else raise ValueError."""
    return positive_int(name, value, least=0, most=2 ** 32 - 1)


def number(name, value, least=0.0, above=None, most=math.inf):
    """Return `value` if it is a finite number of at least `least` (or above `above`), else raise ValueError."""
    fits = not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value)
    if not fits or value > most or (value < least if above is None else value <= above):
        bound = f'of at least {least:g}' if above is None else f'above {above:g}'
        bound += '' if most == math.inf else f' and at most {most:g}'
        raise ValueError(f'{name} must be a finite number {bound}, got {show(value)}')
    return float(value)


def share(name, value):
    """Return `value` if it is a number from 0 up to but not including 1, else raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise ValueError(f'{name} must be a number with 0 <= {name} < 1, got {show(value)}')
    return float(value)


def switch(name, value):
    """Return `value` if it is True or False, else raise ValueError: 'no' would count as True."""
    if not isinstance(value, (bool, numpy.bool_)):
        raise ValueError(f'{name} must be True or False, got {show(value)}')
    return bool(value)


def one_of(name, value, choices):
    """Return `value` if it is one of the texts `choices`, else raise ValueError with the list."""
    if not isinstance(value, str) or value not in choices:
        known = ', '.join(repr(choice) for choice in choices)
        raise ValueError(f'{name} must be one of {known}, got {show(value)}')
    return value


def known_name(name, table):
    """``table[name]``, or a ValueError that lists the names and the nearest of them."""
    if not isinstance(name, str) or name not in table:
        near = difflib.get_close_matches(str(name).lower()[:80], table, n=1, cutoff=0.5)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise ValueError(f'name must be one of {", ".join(table)}; got {show(name)}.{hint}')
    return table[name]


def sizes(name, value, example, axes=None):
    """Return `value` as a tuple if it is a sequence of positive integers (`axes` of them), else raise ValueError."""
    if isinstance(value, (str, bytes)) or not isinstance(value, collections.abc.Sequence) or not value or (
            axes and len(value) != axes):
        raise ValueError(f'{name} must be a sequence of {axes or "one or more"} positive integers, such as {example}, '
                         f'got {show(value)}')
    return tuple(positive_int(f'each entry of {name}', size) for size in value)


def block_options(options):
    """Check the ``prefix`` and ``params`` among the keyword arguments that a Gluon block gets."""
    prefix, params = options.get('prefix'), options.get('params')
    if prefix is not None and not isinstance(prefix, str):
        raise TypeError(f'prefix must be a text or None, got {show(prefix)}')
    if params is not None and not isinstance(params, ParameterDict):
        raise TypeError(f'params must be a gluon.ParameterDict, as another block has in its params, or None, got '
                        f'{show(params)}')


def gluon_block(name, net):
    """Return `net` if it is a Gluon block, else raise TypeError."""
    if not isinstance(net, Block):
        raise TypeError(f'{name} must be a Gluon block, such as DenseNet(), got {show(net)}')
    return net


def image_batch(owner, X, built_in_np, channels=None):
    """Check that `X` is an (N, C, H, W) array of the array mode that is on and in which the block was built.

    Gluon's layers choose their operators when they are built, and MXNet's own errors here name an operator and not
    the cause.
    """
    np_on = is_np_array()
    mode, other = ('np', 'nd') if np_on else ('nd', 'np')
    if built_in_np != np_on:
        raise TypeError(f'this {owner} was built in mx.{other} mode and mx.{mode} mode is on: build it again in this '
                        'mode; save_parameters and load_parameters carry its values over')
    if not isinstance(X, mx.nd.NDArray):
        raise TypeError(f'{owner} takes an mx.{mode} array of images, got {show(X)}: make it with '
                        f'mx.{mode}.array(images, dtype="float32")')
    if isinstance(X, mx.np.ndarray) != np_on:
        raise TypeError(f'{owner} got an mx.{other} array while the array mode is mx.{mode}: make the input with '
                        f'mx.{mode}.array, or switch with npx.{"reset_np" if np_on else "set_np"}()')
    if X.ndim != 4 or (channels and X.shape[1] != channels):
        raise ValueError(f'{owner} takes images of shape (N, {channels or "C"}, H, W), got {tuple(X.shape)}')
    if not X.shape[0]:
        raise ValueError(f'{owner} takes one or more images, got none: shape {tuple(X.shape)}')
    if not min(X.shape[2:]):
        raise ValueError(f'{owner} takes images of at least one pixel, got {tuple(X.shape)}')
    if X.dtype != numpy.float32:
        raise TypeError(f'{owner} takes float32 images, got {numpy.dtype(X.dtype).name}: use X.astype("float32")')
