"""Gradients of what a network predicts."""

import contextlib

from mxnet.gluon import nn

from .._common.arguments import gluon_block
from .block import forget_graphs, inside

__all__ = ['eval_mode']


@contextlib.contextmanager
def eval_mode(net):
    """Inside ``with eval_mode(net):`` its layers work as in evaluation, though autograd records in training mode.

    Batch normalization uses its running statistics and leaves them as they are, dropout drops nothing. This is for
    gradients of what a network predicts, as saliency maps and adversarial examples need them: recorded in predict mode
    (``autograd.record(train_mode=False)``) they are wrong behind a max-pooling on a CPU (apache/mxnet#10994).

    Parameters
    ----------
    net : mxnet.gluon.Block

    Raises
    ------
    TypeError
        If `net` is not a Gluon block.

    Examples
    --------
    >>> import mxnet as mx
    >>> from mxnet import autograd
    >>> from d2l_densenet import DenseNet
    >>> net = DenseNet(4, (2, 2), 8)
    >>> net.initialize()
    >>> X = mx.nd.random.normal(shape=(1, 1, 32, 32))
    >>> X.attach_grad()
    >>> with eval_mode(net), autograd.record():
    ...     score = net(X)[0, 3]
    >>> score.backward()
    >>> X.grad.shape
    (1, 1, 32, 32)
    """
    blocks, former = inside(gluon_block('net', net)), []
    for layer in blocks:
        # `use_global_stats` of any kind of batch normalization, and the rate of a Dropout.
        for settings, name, value in ((getattr(layer, '_kwargs', {}), 'use_global_stats', True),
                                      (vars(layer) if isinstance(layer, nn.Dropout) else {}, '_rate', 0)):
            if name in settings:
                former.append((settings, name, settings[name]))
                settings[name] = value
    forget_graphs(blocks)
    try:
        yield
    finally:
        for settings, name, value in reversed(former):  # a layer may be there twice
            settings[name] = value
        forget_graphs(blocks)
