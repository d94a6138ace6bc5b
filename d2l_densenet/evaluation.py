"""What a trained network says of images: its accuracy, its probabilities."""

import mxnet as mx
import numpy

from ._common.arguments import gluon_block, switch
from ._common.arrays import first_not_finite, to_device
from ._common.batches import a_batch, iterable, labels_of
from ._common.engine import settled, surfacing
from .devices import usable
from .execution.mixed_precision import MixedPrecision, check_dtype

__all__ = ['evaluate_accuracy', 'predict']


def evaluate_accuracy(net, data_iter, ctx=None, mirrored=False, dtype='float32'):
    """Share of the images that `net` classifies correctly, 0 to 1.

    Inside ``autograd.train_mode()`` the layers work as in training (a batch's own statistics), else as in prediction.

    Parameters
    ----------
    net : mxnet.gluon.Block
    data_iter : iterable
        Yields (X, y), as for `fit`.
    ctx : mxnet.Context, optional
        Device; by default the one that the network is on.
    mirrored : bool, default False
        Whether to add the scores of each image's mirror image (left to right) to its own.
    dtype : {'float32', 'float16', 'bfloat16'}
        Other than ``'float32'``: mixed precision, as in `fit`. The network is left as it is.

    Raises
    ------
    TypeError, ValueError
        If the network has no values, or a parameter of it is not finite; if a batch is not a pair of arrays, is empty,
        or holds NaN, infinity, or labels outside the network's classes; if the device cannot compute in `dtype`. The
        error names the parameter, the batch, or the device.

    Examples
    --------
    >>> from d2l_densenet import DenseNet
    >>> net = DenseNet(2, (1, 1), 4, stem='cifar', classes=2)
    >>> net.initialize()
    >>> 0 <= evaluate_accuracy(net, [(mx.nd.ones((4, 1, 12, 12)), mx.nd.array([0, 1, 0, 1]))]) <= 1
    True
    """
    switch('mirrored', mirrored)
    return accuracy(net, data_iter, place(net, ctx), 'data_iter', mirrored, dtype)


def accuracy(net, data_iter, ctx, name, mirrored=False, dtype='float32'):
    """`evaluate_accuracy` of an iterable that errors call `name`."""
    right = count = 0
    for scores, labels in _scored(net, data_iter, ctx, name, mirrored, dtype):
        right += int((scores.argmax(axis=1) == labels).sum())
        count += len(labels)
    return right / count


def predict(net, data_iter, ctx=None, dtype='float32'):
    """Probabilities that `net` gives to the classes of each image, with the true labels.

    Parameters
    ----------
    net, data_iter, ctx, dtype
        As for `evaluate_accuracy`.

    Returns
    -------
    probabilities : numpy.ndarray, (images, classes), float32
    labels : numpy.ndarray, (images,)

    Raises
    ------
    TypeError, ValueError
        As `evaluate_accuracy`.

    Examples
    --------
    >>> from d2l_densenet import DenseNet
    >>> net = DenseNet(2, (1, 1), 4, stem='cifar', classes=2)
    >>> net.initialize()
    >>> probabilities, labels = predict(net, [(mx.nd.ones((4, 1, 12, 12)), mx.nd.array([0, 1, 0, 1]))])
    >>> probabilities.shape
    (4, 2)
    """
    scores, labels = zip(*_scored(net, data_iter, place(net, ctx), 'data_iter', dtype=dtype))
    scores = numpy.concatenate(scores)
    powers = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True), numpy.concatenate(labels)


def _scored(net, data_iter, ctx, name, mirrored=False, dtype='float32'):
    """Scores and labels of each batch, as NumPy arrays."""
    check_dtype(dtype, ctx)
    call = net if dtype == 'float32' else MixedPrecision(net, dtype)
    number = 0
    # At the end it waits, so that whoever reads the parameters next reads them at rest (see `snapshot`).
    with surfacing('this evaluation', lambda: f'batch {number or 1} of {name}'):
        for item in iterable(name, data_iter):
            number += 1
            X, y = a_batch(name, number, item)
            X = to_device(X, ctx)
            if mirrored and X.ndim != 4:
                raise ValueError(f'mirrored needs images (N, C, H, W), and batch {number} of {name} is {X.shape}')
            # In a loop of one's own that records, too; `autograd.train_mode()` alone is meant.
            with mx.autograd.pause(mx.autograd.is_training() and not mx.autograd.is_recording()):
                scores = call(X) + call(X[:, :, :, ::-1]) if mirrored else call(X)
            labels, values = labels_of(name, number, scores, y), scores.asnumpy()
            if not numpy.isfinite(values).all():
                raise ValueError(f'the network gives NaN or infinity for batch {number} of {name}, though the images '
                                 'and its parameters are finite: they are too large; train again at a lower rate')
            yield values, labels
    if not number:
        raise ValueError(f'{name} gave no images' + (
            ': it is a generator, which gives its batches only once' if iter(data_iter) is data_iter else ''))


def place(net, ctx, task='this evaluation'):
    """The device for a task, once the network's parameters are there; ValueError if they have no usable values."""
    settled(task)
    params = gluon_block('net', net).collect_params()
    for name, param in params.items():
        if param._data is None and not param._deferred_init:
            raise ValueError(f'the network is not initialized (parameter {name} has no values): '
                             'call net.initialize() or net.load_parameters(file) first')
    devices = devices_of(net)
    if ctx is not None and usable('ctx', ctx) not in devices:
        params.reset_ctx(ctx)
    name = not_finite(net)
    if name:
        raise ValueError(f'parameter {name} holds NaN or infinity: initialize the network again, or load values that '
                         'are finite')
    return ctx or devices[0]


def devices_of(net):
    """Where the parameters of a network are; of one that has none, the CPU."""
    return next((param.list_ctx() for param in net.collect_params().values()), [mx.cpu()])


def places(net, ctx):
    """The devices to train on, as a list, once the network's parameters are on all of them."""
    if not isinstance(ctx, (list, tuple)):
        one = place(net, ctx, 'training')
        return [one] if ctx else devices_of(net)
    if not ctx or not all(isinstance(one, mx.Context) for one in ctx) or len(set(ctx)) < len(ctx):
        raise TypeError(f'ctx must be an mxnet device or a list of different ones, got {ctx!r}')
    for one in ctx:
        usable('ctx', one)
    place(net, None, 'training')
    if any(param.list_ctx() != list(ctx) for param in net.collect_params().values()):
        net.collect_params().reset_ctx(list(ctx))
    return list(ctx)


def not_finite(net):
    """The name of the first parameter or running statistic that holds NaN or infinity, or None."""
    found = first_not_finite({(name, i): array for name, param in net.collect_params().items()
                              if param._data is not None for i, array in enumerate(param.list_data())})
    return found and found[0]


def snapshot(net):
    """The values of all parameters and running statistics, name to NumPy array."""
    # oneDNN rearranges weights in place while a forward pass uses them; MXNet's copy to NumPy does not wait for that.
    mx.nd.waitall()
    return {name: param.list_data()[0].asnumpy() for name, param in net.collect_params().items()}
