"""A hybridized block goes on computing what its layers say."""

import copy
import gc
import weakref

import mxnet as mx
import numpy
from helpers import images
from mxnet.gluon import nn

from d2l_densenet import DenseNet
from d2l_densenet.execution.block import HybridSequential, State


def test_another_setting_of_a_layer_is_noticed():
    net = HybridSequential()
    net.add(nn.Activation('relu'))
    net.hybridize()
    X = mx.nd.array([[[[-1.0, 2.0]]]])
    assert net(X).asnumpy().ravel().tolist() == [0, 2]
    net[0]._act_type = 'tanh'
    numpy.testing.assert_allclose(net(X).asnumpy().ravel(), numpy.tanh([-1, 2]), rtol=1e-5)


def test_what_a_graph_depends_on_is_compared_with_what_it_is_now():
    """Each change is seen, also one within a dictionary, of a kind that has no `==` of its own, or that takes away."""
    net = DenseNet(4, (1, 1), 8, classes=3)
    conv = net.features[0]
    def put(value):
        return lambda: setattr(conv, '_activation', value)

    changes = [lambda: conv._kwargs.update(stride=(1, 1)), lambda: setattr(conv, 'mine', 1),
               lambda: delattr(conv, 'mine'), put(numpy.zeros(3)), put(numpy.zeros(3)), put([mx.nd.zeros(2)]),
               put([1, [2, {}]]), lambda: conv._activation[1][1].update(x=None), put(None),
               lambda: conv.register_forward_hook(print), lambda: setattr(conv, '__class__', nn.Conv2DTranspose),
               lambda: setattr(net, 'output', nn.Dense(3)), lambda: net.features._children.popitem()]
    for change in changes:
        state = State(net)
        assert state.holds(net) and state.holds(net)
        change()
        assert not state.holds(net)
    gone = State(net)
    assert not gone.holds(copy.deepcopy(net))


def test_what_is_remembered_of_a_block_keeps_neither_it_nor_its_layers():
    net = DenseNet(4, (1, 1), 8, classes=3)
    net.mine, net.features[0].up = images, [net]
    state, refer = State(net), weakref.ref(net.features[0])
    del net
    gc.collect()
    assert refer() is None and state
