"""Checks of arguments, shared by the modules: each error names the argument, the value and the remedy."""

import collections.abc
import contextlib
import difflib
import math
import numbers
import reprlib

import mxnet as mx
import numpy
from mxnet.base import MXNetError
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


def last_line(error):
    """The line of an MXNetError that says what happened; those before it are a stack trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix('MXNetError: ')[:400].rstrip('.') if lines else type(error).__name__


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


def iterable(name, data_iter):
    """Check that a loop can go over `data_iter`, before anything has been computed for it."""
    if not hasattr(data_iter, '__iter__') or isinstance(
            data_iter, (str, bytes, dict, numpy.ndarray, mx.nd.NDArray)):
        raise TypeError(f'{name} must be iterable and give (images, labels) pairs, as load_data_fashion_mnist() '
                        f'returns it, got {show(data_iter)}')
    return data_iter


def batch(name, number, item):
    """The images and labels of what `name` gave as batch `number`, checked: one array of images, one label for each.

    The sum of the images is computed for it: DenseNet's ReLU and max-pooling turn NaN into 0, and what comes out
    looks like a result.
    """
    where = f'batch {number} of {name}'
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        what = f'a {type(item).__name__} of {len(item)}' if isinstance(item, (tuple, list)) else show(item)
        hint = '; of an mx.io.DataBatch take (batch.data[0], batch.label[0])' if hasattr(item, 'data') and hasattr(
            item, 'label') else ''
        raise TypeError(f'{where} must be a pair (images, labels), got {what}{hint}')
    mode = 'np' if is_np_array() else 'nd'
    for what, array in zip(('images', 'labels'), item):
        if not isinstance(array, mx.nd.NDArray) or isinstance(array, mx.np.ndarray) != is_np_array():
            raise TypeError(f'the {what} in {where} must be an mx.{mode} array, the array mode that is on, got '
                            f'{show(array)}: make them with mx.{mode}.array({what}, dtype='
                            f'"{"float32" if what == "images" else "int32"}")')
    X, y = item
    if not X.ndim or not X.shape[0]:
        raise ValueError(f'{where} is empty, its images have the shape {tuple(X.shape)}: leave such batches out')
    if tuple(y.shape) != (X.shape[0],):
        raise ValueError(f'the labels in {where} must have the shape ({X.shape[0]},), one for each image, got '
                         f'{tuple(y.shape)}')
    with numpy.errstate(all='ignore'):
        # Large finite values may overflow the sum: only then is each looked at.
        if numpy.dtype(X.dtype).kind == 'f' and not math.isfinite(X.asnumpy().sum()) and not numpy.isfinite(
                X.asnumpy()).all():
            raise ValueError(f'the images in {where} hold NaN or infinity: leave such images out, or mend what made '
                             'them')
    return X, y


def classes_of(name, number, scores, y):
    """Check the network's scores and the labels of batch `number` of `name` against each other; the labels as NumPy."""
    labels = y.asnumpy()
    if not isinstance(scores, mx.nd.NDArray) or scores.ndim != 2 or scores.shape[0] != len(labels):
        raise ValueError(f'net must give scores of the shape ({len(labels)}, classes) for batch {number} of {name}, '
                         f'got {show(scores)}')
    classes = scores.shape[1]
    # NaN and 0.5 differ from what is left of them as an integer.
    with numpy.errstate(all='ignore'):
        wrong = numpy.flatnonzero((labels < 0) | (labels >= classes) | (labels.astype('int64') != labels))
    if len(wrong):
        raise ValueError(f'the labels in batch {number} of {name} must be integers from 0 to {classes - 1}, as net has '
                         f'{classes} classes, got {labels[wrong[0]]} at position {wrong[0]}: mend the labels, or build '
                         'the network with more classes')
    return labels


def image_batch(owner, X, built_in_np, channels=None, least=1):
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
    if min(X.shape[2:]) < least:
        raise ValueError(f'{owner} takes images of at least {least} x {least} pixels, got {tuple(X.shape)}')
    if X.dtype != numpy.float32:
        raise TypeError(f'{owner} takes float32 images, got {numpy.dtype(X.dtype).name}: use X.astype("float32")')
