"""Which layer of a dense block reads whose features: mean absolute weights by source, and connections cut."""

import mxnet as mx
import numpy
from mxnet.gluon import nn
from mxnet.gluon.parameter import DeferredInitializationError

from .._common.arguments import positive_int, show
from .._common.arrays import array
from ..blocks import DenseBlock

__all__ = ['cut_connection', 'mean_absolute_weights']


def mean_absolute_weights(block):
    """Mean absolute weight of each connection in a dense block (section 5, "Feature Reuse", figure 5 of the paper).

    The mean is over all weights with which the first convolution of a layer (with a bottleneck, the 1x1) reads the
    channels of one source. See notebook 08 on what these numbers do not say.

    Parameters
    ----------
    block : DenseBlock
        With L layers; its weights must have their shapes, so give `in_channels` or call it once.

    Returns
    -------
    numpy.ndarray, (L, L), float64
        Row l - 1 is layer l (1 to L), column s the source: 0 the block's input, s > 0 the output of layer s. NaN
        where the layer does not read the source (s >= l).

    Raises
    ------
    TypeError, ValueError
        If `block` is not a DenseBlock, or its weights have no shape or no values yet.

    Examples
    --------
    >>> block = DenseBlock(2, 4, in_channels=3)
    >>> block.initialize(mx.init.Constant(0.5))
    >>> mean_absolute_weights(block)
    array([[0.5, nan],
           [0.5, 0.5]])
    """
    weights = _weights(block)
    means = numpy.full((len(weights), len(weights)), numpy.nan)
    for row, weight in enumerate(weights):
        magnitudes = abs(_values(weight))
        for source in range(row + 1):
            means[row, source] = magnitudes[:, _channels(weights, source)].mean(dtype='float64')
    return means


def cut_connection(block, source, layer):
    """Set the weights with which a layer of a dense block reads one source to 0, in place.

    The layer then computes what it would compute without those channels.

    Parameters
    ----------
    block : DenseBlock
        As for `mean_absolute_weights`.
    source : int, 0 <= source < layer
        0 for the block's input, s > 0 for the output of layer s.
    layer : int, 1 <= layer <= L
        The layer that reads: layer l is ``block.net[l - 1]``.

    Raises
    ------
    TypeError, ValueError
        As for `mean_absolute_weights`; ValueError if there is no such connection.

    Examples
    --------
    >>> block = DenseBlock(2, 4, in_channels=3)
    >>> block.initialize(mx.init.Constant(0.5))
    >>> cut_connection(block, source=0, layer=2)
    >>> mean_absolute_weights(block)
    array([[0.5, nan],
           [0. , 0.5]])
    """
    weights = _weights(block)
    weight = weights[positive_int('layer', layer, most=len(weights)) - 1]
    positive_int('source', source, least=0, most=layer - 1)
    values = _values(weight)
    values[:, _channels(weights, source)] = 0
    weight.set_data(array(values, values.dtype))


def _weights(block):
    """The parameter of the first convolution of each layer: (outputs, channels read, height, width)."""
    if not isinstance(block, DenseBlock):
        raise TypeError(f'block must be a DenseBlock, got {show(block)}')
    layers = [list(layer._children.values())[2:3] for layer in block.net]
    for number, found in enumerate(layers, 1):
        if not found or type(found[0]) is not nn.Conv2D or found[0]._kwargs['num_group'] != 1:
            raise ValueError(f'layer {number} of block must be BN, ReLU and a convolution that reads all channels, got '
                             f'{show(found[0] if found else block.net[number - 1])}')
    weights = [convolution.weight for convolution, in layers]
    try:
        for weight in weights:
            weight.list_data()
    except (RuntimeError, DeferredInitializationError):
        raise ValueError('block has no weights yet: initialize it, and give in_channels or call it once') from None
    return weights


def _values(weight):
    # oneDNN rearranges weights in place while a forward pass uses them.
    mx.nd.waitall()
    return weight.list_data()[0].asnumpy().copy()


def _channels(weights, source):
    """The channels of `source` among those that are read: they come after all that layer `source` itself reads."""
    return slice(weights[source - 1].shape[1] if source else 0, weights[source].shape[1])
