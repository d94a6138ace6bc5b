"""A hybridized block goes on computing what its layers say."""

import mxnet as mx
import numpy
from mxnet.gluon import nn

from d2l_densenet.execution.block import HybridSequential


def test_another_setting_of_a_layer_is_noticed():
    net = HybridSequential()
    net.add(nn.Activation('relu'))
    net.hybridize()
    X = mx.nd.array([[[[-1.0, 2.0]]]])
    assert net(X).asnumpy().ravel().tolist() == [0, 2]
    net[0]._act_type = 'tanh'
    numpy.testing.assert_allclose(net(X).asnumpy().ravel(), numpy.tanh([-1, 2]), rtol=1e-5)
