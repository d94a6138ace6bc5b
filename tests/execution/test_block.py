"""A hybridized block goes on computing what its layers say."""

import copy
import gc
import types
import weakref

import mxnet as mx
import numpy
import pytest
from helpers import images
from mxnet import autograd, gluon
from mxnet.gluon import nn

from d2l_densenet import DenseBlock, DenseNet, he_initialize
from d2l_densenet.execution.block import HybridSequential, State


def small(cls=DenseNet, **options):
    net = cls(4, (2, 2), 8, classes=3, **options)
    he_initialize(net, 0)
    net.hybridize()
    return net, mx.nd.array(images(2, net.config['in_channels'], 32, 32))


def as_written(net, X):
    """What a new copy says that runs Python in each call."""
    other = copy.deepcopy(net)
    other.hybridize(False)
    return other(X).asnumpy()


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
               put(numpy.zeros(3)), lambda: conv._activation.fill(1), put({1}), lambda: conv._activation.add(2),
               put(types.SimpleNamespace(a=[0])), lambda: conv._activation.a.append(1),
               lambda: conv.register_forward_hook(print), lambda: setattr(conv, '__class__', nn.Conv2DTranspose),
               lambda: setattr(net, 'output', nn.Dense(3)), lambda: net.features._children.popitem()]
    for change in changes:
        state = State(net)
        assert state.holds(net) and state.holds(net)
        change()
        assert not state.holds(net)
    gone = State(net)
    assert not gone.holds(copy.deepcopy(net))


def test_another_function_put_into_a_class_is_noticed():
    class Mine(DenseNet):
        def hybrid_forward(self, F, x):
            return self.output(self.features(x))
    net, X = small(Mine)
    before = net(X).asnumpy()
    Mine.hybrid_forward = lambda self, F, x: 3 * self.output(self.features(x))
    numpy.testing.assert_allclose(net(X).asnumpy(), 3 * before, rtol=1e-5)


def test_settings_that_refer_to_themselves():
    net, X = small()
    net.settings = types.SimpleNamespace(scale=1)
    net.settings.mine = net.settings
    state = State(net)
    assert net(X).shape == (2, 3) and state.holds(net)
    net.settings.scale = 2
    assert not state.holds(net)


@pytest.mark.parametrize('all_of_it', [True, False])
def test_parts_called_by_themselves_are_what_they_are_now(all_of_it):
    net, X = small()
    net.hybridize(all_of_it)
    net.features.hybridize()
    net(X), net.features(X)
    net.features[5][1]._act_type = 'tanh'
    assert abs(net.features(X).asnumpy() - as_written(net.features, X)).max() < 1e-5
    assert abs(net(X).asnumpy() - as_written(net, X)).max() < 1e-5


def test_the_layers_of_a_network_can_be_replaced_by_gluons():
    net, X = small()
    net.features = gluon.model_zoo.vision.get_model('squeezenet1.0').features
    net.output = nn.Dense(3)
    net.initialize()
    assert net(mx.nd.array(images(2, 3, 64, 64))).shape == (2, 3)
    net = DenseBlock(2, 4, 8)
    net.net = nn.HybridSequential()
    with pytest.raises(TypeError, match='Changing attribute type'):
        net.net = nn.Dense(3)


def test_gluons_export_does_not_write_what_was(tmp_path):
    net, X = small()
    net(X)
    net.features[5][1]._act_type = 'tanh'
    with pytest.raises(RuntimeError, match='run forward'):
        net.export(str(tmp_path / 'net'))
    expected = net(X).asnumpy()
    net.export(str(tmp_path / 'net'))
    again = gluon.SymbolBlock.imports(str(tmp_path / 'net-symbol.json'), ['data'], str(tmp_path / 'net-0000.params'))
    assert abs(again(X).asnumpy() - expected).max() < 1e-5


def test_one_output_in_a_list_stays_in_it():
    class Mine(DenseNet):
        def hybrid_forward(self, F, x):
            return [self.output(self.features(x))]
    net, X = small(Mine)
    one, = net(X)
    assert isinstance(net(X), list) and one.shape == (2, 3)


@pytest.mark.parametrize('own', [DenseNet, lambda *given, **options: nn.Dense(3, in_units=4)])
def test_a_copy_of_what_is_being_trained_is_trained_by_nobody(own):
    net = own(4, (2, 2), 8, classes=3)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), 'sgd')
    X = mx.nd.array(images(2, 1, 32, 32)) if isinstance(net, DenseNet) else mx.nd.ones((2, 4))

    def step(net, trainer):
        with autograd.record():
            loss = net(X).sum()
        loss.backward()
        trainer.step(2)
    step(net, trainer)
    other = copy.deepcopy(net)
    before = net(X).asnumpy()
    assert (other(X).asnumpy() == before).all()
    step(other, gluon.Trainer(other.collect_params(), 'sgd'))
    assert (net(X).asnumpy() == before).all() and (other(X).asnumpy() != before).any()


def test_what_is_not_a_number_is_said_in_every_way():
    """MXNet's ReLU makes 0 of it, in each call."""
    net, X = small()
    net.features[4].net[0][2].weight.data()[0, 0, 0, 0] = float('nan')
    expected = as_written(net, X)
    first = net(X).asnumpy()
    with autograd.record():
        net(X)
    assert abs(first - expected).max() < 1e-5 and abs(as_written(net, X) - net(X).asnumpy()).max() < 1e-5


@pytest.mark.parametrize('kind', ['class', 'object'])
def test_a_learners_own_way_to_make_three_channels_of_one(kind):
    class Color(nn.HybridSequential):
        def forward(self, x):
            return super().forward(mx.nd.concat(x, x, x, dim=1))
    net, _ = small(in_channels=3)
    net.hybridize(False)
    X = mx.nd.array(images(2, 1, 32, 32))
    if kind == 'class':
        color = Color()
        color.add(*net.features)
        net.features = color
    else:
        net.hybrid_forward = lambda F, x: net.output(net.features(F.concat(x, x, x, dim=1)))
    assert net(X).shape == (2, 3)


def test_what_is_remembered_of_a_block_keeps_neither_it_nor_its_layers():
    net = DenseNet(4, (1, 1), 8, classes=3)
    net.mine, net.features[0].up = images, [net]
    state, refer = State(net), weakref.ref(net.features[0])
    del net
    gc.collect()
    assert refer() is None and state
