"""What the checks of blocks compute with: MXNet's own operators are the oracle."""

import mxnet as mx
import numpy
import pytest
from helpers import switch
from mxnet.gluon import nn

from d2l_densenet.checks import _blocks

X = numpy.linspace(-4, 4, 81, dtype='float32')
LEAKY = {f'leaky ReLU ({slope})': lambda x, slope=slope: mx.nd.LeakyReLU(x, slope=slope) for slope in (0.01, 0.1, 0.2)}
MXNET = {'ReLU': mx.nd.relu, 'sigmoid': mx.nd.sigmoid, 'tanh': mx.nd.tanh, 'softsign': mx.nd.softsign,
         'softplus': lambda x: mx.nd.Activation(x, 'softrelu'), 'Swish': lambda x: x * mx.nd.sigmoid(x),
         'GELU': lambda x: mx.nd.LeakyReLU(x, act_type='gelu'),
         'ELU': lambda x: mx.nd.LeakyReLU(x, act_type='elu', slope=1.0), **LEAKY}


def test_every_activation_has_an_oracle():
    assert MXNET.keys() == _blocks.ACTIVATIONS.keys()


@pytest.mark.parametrize('name', MXNET)
def test_activations_are_mxnets(name):
    switch('nd')
    # GELU by the tanh is within a thousandth of the one by the error function.
    numpy.testing.assert_allclose(_blocks.ACTIVATIONS[name](X), MXNET[name](mx.nd.array(X)).asnumpy(), rtol=1e-5,
                                  atol=1e-3 if name == 'GELU' else 1e-6)


class Odd(nn.HybridBlock):
    """A learner's layer with names of its own."""

    def __init__(self, **shapes):
        super().__init__()
        for name, shape in shapes.items():
            setattr(self, name, self.params.get(name, shape=shape, init=mx.init.One()))


@pytest.mark.parametrize('shapes, convs, denses', [
    ({'A': (3, 2)}, [], [(3, 2)]), ({'A': (3, 2, 1, 1)}, [(3, 2, 1, 1)], []), ({'A': (3, 1)}, [], []),
    ({'weight': (3, 1)}, [], [(3, 1)]), ({'w1': (1, 3, 1, 1)}, [(1, 3, 1, 1)], []), ({'A': (2, 3, 2)}, [], [])])
def test_matrices_and_kernels_are_found_by_shape_or_name(shapes, convs, denses):
    switch('nd')
    block = Odd(**shapes)
    block.initialize()
    found = _blocks.parts(block)
    assert [part['weight'].shape for part in found[0]] == convs and not found[1]
    assert [part['weight'].shape for part in found[2]] == denses
