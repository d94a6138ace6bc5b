"""What a loader gives and what a network returns for it: checked, batch by batch."""

import math

import mxnet as mx
import numpy
from mxnet.util import is_np_array

from .arguments import show


def iterable(name, data_iter):
    """Check that a loop can go over `data_iter`, before anything has been computed for it."""
    if not hasattr(data_iter, '__iter__') or isinstance(
            data_iter, (str, bytes, dict, numpy.ndarray, mx.nd.NDArray)):
        raise TypeError(f'{name} must be iterable and give (images, labels) pairs, as load_data_fashion_mnist() '
                        f'returns it, got {show(data_iter)}')
    return data_iter


def a_batch(name, number, item):
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
        # Large finite values may overflow the sum: only then is each looked at. (From a GPU one number is copied.)
        if numpy.dtype(X.dtype).kind == 'f' and not math.isfinite(
                X.sum().asnumpy().item() if X.context.device_type == 'gpu' else X.asnumpy().sum()) and not \
                numpy.isfinite(X.asnumpy()).all():
            raise ValueError(f'the images in {where} hold NaN or infinity: leave such images out, or mend what made '
                             'them')
    return X, y


def labels_of(name, number, scores, y):
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
