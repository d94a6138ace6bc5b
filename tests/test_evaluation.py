"""What a network says of images: against a network that is known, and what is read when."""

import mxnet as mx
import numpy
import pytest
from helpers import Batches, classifier, images
from mxnet import autograd, gluon

import d2l_densenet
from d2l_densenet import DenseNet, History, evaluate_accuracy, predict


@pytest.mark.parametrize('np_mode', [False, True])
def test_mirror_images_are_scored_too(np_mode):
    """By a network that reads the left half only: one image is wrong as it is and right with its mirror image."""
    mx.npx.set_np() if np_mode else None
    array = mx.np.array if np_mode else mx.nd.array
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Flatten(), mx.gluon.nn.Dense(2, in_units=4, use_bias=False))
    net.initialize()
    net[1].weight.set_data(array([[0, 0, 0, 0], [1, 0, 1, 0]], dtype='float32'))
    X = array([[[[-1, 3], [0, 0]]], [[[2, 0], [0, 0]]], [[[-2, 1], [0, 0]]]], dtype='float32')
    y = array([1, 1, 0], dtype='int32')
    assert evaluate_accuracy(net, [(X, y)]) == pytest.approx(2 / 3)
    assert evaluate_accuracy(net, [(X, y)], mirrored=True) == 1


def test_mirror_images_need_images():
    net = classifier()
    with pytest.raises(ValueError, match=r'mirrored needs images \(N, C, H, W\), and batch 1 of data_iter is \('):
        evaluate_accuracy(net, [(mx.nd.ones((4, 3)), mx.nd.zeros(4))], mirrored=True)


def test_predict_gives_probabilities():
    net = classifier()
    probabilities, labels = predict(net, Batches())
    assert probabilities.shape == (20, 2)
    numpy.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    numpy.testing.assert_array_equal(labels, Batches().y)
    assert (probabilities.argmax(axis=1) == labels).mean() == evaluate_accuracy(net, Batches())


def test_parameters_are_read_only_when_nothing_is_computed(monkeypatch, tmp_path):
    """oneDNN rearranges weights in place during a forward pass, and MXNet's copy to NumPy does not wait for that.

    On a busy machine `fit` then ended with a segmentation fault in most runs of 150 short epochs, on a quiet one in
    one of six. So this looks at the order of events and not at the fault.
    """
    from d2l_densenet._common import portable
    from d2l_densenet.evaluation import snapshot
    from d2l_densenet.runs.resume import Keeper, Progress
    net = d2l_densenet.DenseNet(4, (1, 1), 4)
    net.initialize()
    X, y = mx.nd.ones((2, 1, 20, 20)), mx.nd.zeros(2)
    trainer, events = gluon.Trainer(net.collect_params(), 'sgd'), []
    waitall, asnumpy = mx.nd.waitall, mx.nd.NDArray.asnumpy
    for module in (mx.nd, portable):
        monkeypatch.setattr(module, 'waitall', lambda: (events.append('wait'), waitall())[1])
    monkeypatch.setattr(mx.nd.NDArray, 'asnumpy', lambda self: (events.append('read'), asnumpy(self))[1])

    class Store:
        def save(self, *args):
            pass

    for read in (lambda: snapshot(net), lambda: Keeper(Store(), net, trainer, {}, 0).save(
            Progress(), History()), lambda: net.save_parameters(str(tmp_path / 'file'))):
        events.clear()
        net(X)
        read()
        assert events[0] == 'wait'
    for use in (evaluate_accuracy, predict):
        events.clear()
        use(net, [(X, y)])
        assert events[-1] == 'wait'


def test_recording_does_not_count_and_training_mode_does():
    """The latter is how notebook 04 asks for the statistics of the batch."""
    net = DenseNet(4, (2, 2), 8, dropout=0.5, classes=3)
    net.initialize()
    batches = [(mx.nd.array(images(4, 1, 32, 32)), mx.nd.array([0, 1, 2, 0]))]
    expected, _ = predict(net, batches)
    with autograd.record():
        assert (predict(net, batches)[0] == expected).all()
    with autograd.train_mode():
        assert (predict(net, batches)[0] != expected).any()


def test_scores_that_are_not_finite_are_no_answers():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Flatten(), gluon.nn.Dense(8, in_units=4, activation='relu'), gluon.nn.Dense(2, in_units=8))
    net.initialize()
    for layer in net[1:]:
        layer.weight.set_data(mx.nd.full(layer.weight.shape, 3e38))
    batches = [(mx.nd.zeros((4, 1, 2, 2)), mx.nd.zeros(4)), (mx.nd.ones((4, 1, 2, 2)), mx.nd.zeros(4))]
    for function in (evaluate_accuracy, predict):
        with pytest.raises(ValueError, match='NaN or infinity for batch 2 of data_iter'):
            function(net, batches)


def test_a_network_without_parameters_is_evaluated():
    assert evaluate_accuracy(gluon.nn.Flatten(), [(mx.nd.array([[[[1, 2]]]]), mx.nd.array([1]))]) == 1
