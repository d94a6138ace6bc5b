"""Checks of arguments, shared by the modules: each error names the argument, the value and the range."""

import difflib
import numbers

import mxnet as mx
import numpy
from mxnet.util import is_np_array


def positive_int(name, value, least=1):
    """Return `value` if it is an integer of at least `least`, else raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f'{name} must be an integer of at least {least}, got {value!r}')
    return int(value)


def share(name, value):
    """Return `value` if it is a number from 0 up to but not including 1, else raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise ValueError(f'{name} must be a number with 0 <= {name} < 1, got {value!r}')
    return float(value)


def one_of(name, value, choices):
    """Return `value` if it is one of `choices`, else raise ValueError with the list."""
    if value not in choices:
        known = ', '.join(repr(choice) for choice in choices)
        raise ValueError(f'{name} must be one of {known}, got {value!r}')
    return value


def known_name(name, table):
    """``table[name]``, or a ValueError that lists the names and the nearest of them."""
    if name not in table:
        near = difflib.get_close_matches(str(name).lower(), table, n=1, cutoff=0.5)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise ValueError(f'name must be one of {", ".join(table)}; got {name!r}.{hint}')
    return table[name]


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
    if isinstance(X, mx.np.ndarray) != np_on:
        raise TypeError(f'{owner} got an mx.{other} array while the array mode is mx.{mode}: make the input with '
                        f'mx.{mode}.array, or switch with npx.{"reset_np" if np_on else "set_np"}()')
    if X.ndim != 4 or (channels and X.shape[1] != channels):
        raise ValueError(f'{owner} takes images of shape (N, {channels or "C"}, H, W), got {tuple(X.shape)}')
    if X.dtype != numpy.float32:
        raise TypeError(f'{owner} takes float32 images, got {numpy.dtype(X.dtype).name}: use X.astype("float32")')
