"""Gradients of what a network predicts, against finite differences."""

import warnings

import mxnet as mx
import numpy
import pytest
from helpers import MODES, switch
from mxnet import autograd, gluon
from mxnet.gluon import nn

from d2l_densenet import DenseNet, eval_mode, he_initialize, transition_block


def dense(**kwargs):
    net = DenseNet(4, (2, 2), 8, dropout=0.3, **kwargs)
    he_initialize(net, 1)
    return net


def zoo():
    net = gluon.model_zoo.vision.get_model('resnet18_v1', classes=10, thumbnail=False)
    net.initialize(mx.init.Xavier())
    return net


def trained(net, X):
    """`net` with running statistics and no gamma or beta at its initial value."""
    for _ in range(3):
        with autograd.record():
            y = net(X)
        y.backward()
    for name, parameter in net.collect_params().items():
        if name.endswith(('gamma', 'beta')):
            parameter.set_data(parameter.data() + 0.3)
    return net


def gradient(net, X, inside):
    X.attach_grad()
    with inside, autograd.record():
        score = (net(X) * mx.nd.arange(10)).sum() if not isinstance(X, mx.np.ndarray) else (
            net(X) * mx.np.arange(10)).sum()
    score.backward()
    return X.grad.asnumpy().astype('float64')


@pytest.mark.parametrize('hybrid', [False, True])
@pytest.mark.parametrize('build, channels', [(dense, 1), (lambda: dense(memory_efficient=True), 1), (zoo, 3)])
def test_gradients_are_those_of_what_is_predicted(build, channels, hybrid):
    array = switch('nd')
    random = numpy.random.RandomState(0)
    X = array(random.normal(size=(2, channels, 32, 32)).astype('float32'))
    net = build()
    if hybrid:
        net.hybridize()
    trained(net, X)
    before = {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}
    plain = net(X).asnumpy()
    found = gradient(net, X, eval_mode(net))
    # Along random directions, from what the network predicts.
    slopes = []
    for _ in range(12):
        direction = random.normal(size=X.shape)
        direction /= numpy.linalg.norm(direction)
        ahead, behind = (float((net(X + array(step * direction.astype('float32'))) * mx.nd.arange(10)).sum().asscalar())
                         for step in (2e-2, -2e-2))
        slopes.append(((ahead - behind) / 4e-2, (found * direction).sum()))
    differences, directional = numpy.transpose(slopes)
    assert numpy.corrcoef(differences, directional)[0, 1] > 0.98
    assert 0.9 < (differences @ directional) / (directional @ directional) < 1.1
    # Nothing has moved, and all is as it was.
    assert all((parameter.data().asnumpy() == before[name]).all() for name, parameter in net.collect_params().items())
    assert (net(X).asnumpy() == plain).all()
    with autograd.record():
        assert not numpy.allclose(net(X).asnumpy(), plain, atol=1e-3)


@pytest.mark.parametrize('mode', MODES)
def test_what_is_computed_inside_is_the_prediction(mode):
    array = switch(mode)
    X = array(numpy.random.RandomState(0).normal(size=(2, 1, 32, 32)).astype('float32'))
    net = trained(dense(), X)
    plain = net(X).asnumpy()
    net.again = net.features[1]  # a layer that is there twice
    with eval_mode(net), autograd.record():
        numpy.testing.assert_allclose(net(X).asnumpy(), plain, rtol=1e-4, atol=1e-5)
    with pytest.raises(KeyError), eval_mode(net):
        raise KeyError
    assert all(layer._rate == 0.3 for layer in layers(net, nn.Dropout))
    assert not any(layer._kwargs['use_global_stats'] for layer in layers(net, nn.BatchNorm))


def layers(net, kind):
    found = []
    net.apply(lambda layer: found.append(layer) if isinstance(layer, kind) else None)
    assert found
    return found


def test_gradients_in_predict_mode_are_warned_of():
    array = switch('nd')
    X = array(numpy.ones((1, 1, 32, 32), 'float32'))
    net = dense()
    with pytest.warns(UserWarning, match=r'pool0\).*eval_mode\(net\)') as caught, autograd.record(train_mode=False):
        net(X)
        net(X)
    assert len(caught) == 1 and caught[0].filename == __file__
    other, block = dense(), transition_block(3)
    block.initialize()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        net(X)  # once
        with eval_mode(other), autograd.record():
            other(X)
        with autograd.record(train_mode=False):
            block(X)  # an average


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match='net must be a Gluon block'), eval_mode(3):
        pass
