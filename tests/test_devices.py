"""Several devices: CPU contexts stand for them, because no GPU can be had where this is tested."""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, loader, stopping_after, switch
from mxnet import gluon

from d2l_densenet import DenseNet, evaluate_accuracy, fit

DEVICES = [mx.cpu(0), mx.cpu(1), mx.cpu(2)]


def plain(mode):
    """A network without batch normalisation: with it each device would have statistics of its own."""
    switch(mode)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(4, 3, in_channels=1, activation='relu'), gluon.nn.GlobalAvgPool2D(),
            gluon.nn.Dense(3, in_units=4))
    mx.random.seed(1)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return net


def run(net, ctx=None, **kwargs):
    # 30 images in batches of 7: parts of 3, 2 and 2, and a last batch of 2, which leaves a device idle.
    return fit(net, kwargs.pop('train_iter', None) or loader(batch_size=7), loader(batch_size=7), 2, seed=1, ctx=ctx,
               progress=False, optimizer='nag', optimizer_params={'learning_rate': 0.1, 'momentum': 0.9}, **kwargs)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('number', [2, 3])
def test_several_devices_train_as_one(mode, number):
    one, several = plain(mode), plain(mode)
    expected, history = run(one), run(several, DEVICES[:number])
    for column in ('loss', 'train_acc', 'test_acc'):
        numpy.testing.assert_allclose(history[column], expected[column], rtol=1e-5)
    for a, b in zip(values_on(one, 0), values_on(several, 0)):
        numpy.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)
    for device in range(1, number):
        assert all((a == b).all() for a, b in zip(values_on(several, 0), values_on(several, device)))


def values_on(net, device):
    return [p.list_data()[device].asnumpy() for p in net.collect_params().values()]


def dense():
    switch('nd')
    net = DenseNet(4, (2, 1), 6, classes=3)
    mx.random.seed(7)
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def test_a_densenet_trains_and_each_device_has_its_own_statistics():
    net = dense()
    history = run(net, DEVICES[:2])
    assert numpy.isfinite(history['loss']).all()
    for parameter in net.collect_params().values():
        first, second = (data.asnumpy() for data in parameter.list_data())
        assert (first == second).all() == (parameter.grad_req != 'null'), parameter.name
    assert history['test_acc'][-1] == evaluate_accuracy(net, loader(), DEVICES[0])


def test_a_run_on_two_devices_resumes_to_the_same_bits(tmp_path):
    whole, resumed = dense(), dense()
    run(whole, DEVICES[:2])
    with pytest.raises(Exception, match='^$'):
        run(dense(), DEVICES[:2], train_iter=stopping_after(5, batch_size=7), checkpoint_dir=tmp_path,
            checkpoint_seconds=0)
    run(resumed, DEVICES[:2], checkpoint_dir=tmp_path, resume=True)
    for device in (0, 1):
        assert all((a == b).all() for a, b in zip(values_on(whole, device), values_on(resumed, device)))


@pytest.mark.parametrize('ctx', [[], [mx.cpu(0), mx.cpu(0)], ['cpu'], 'cpu'])
def test_wrong_devices_are_named(ctx):
    with pytest.raises(TypeError, match='ctx must be'):
        run(plain('nd'), ctx)


def test_one_device_in_a_list():
    assert run(plain('nd'), [mx.cpu(0)])['loss'] == run(plain('nd'))['loss']
