"""Faults that others reported of the same trades, tried here: docs/reports.md is the list, with a test for each.

The tests here are those that belong to no module of their own.
"""

import re

import mxnet as mx
import numpy
import pytest
from helpers import ROOT
from mxnet import autograd, gluon
from mxnet.gluon import nn

from d2l_densenet import DenseNet, ImageLoader, evaluate_accuracy, export_model, fit

LOG = (ROOT / 'docs' / 'reports.md').read_text(encoding='utf-8')


def small(**options):
    net = DenseNet(8, (2, 2), 8, **options)
    net.initialize(mx.init.Xavier())
    return net


def loader(number, batch_size=10):
    images = numpy.random.RandomState(0).randint(0, 255, (number, 28, 28)).astype('uint8')
    return ImageLoader(images, numpy.arange(number) % 10, batch_size)


def data(number=4):
    return mx.nd.random.uniform(shape=(number, 1, 28, 28))


def replace_norms(block, **options):
    for name, child in list(block._children.items()):
        if isinstance(child, nn.BatchNorm):
            new = nn.BatchNorm(**options)
            new.initialize()
            block._children[name] = new
        else:
            replace_norms(child, **options)


def test_statistics_move_without_gamma_and_beta():
    net = small()
    replace_norms(net, center=False, scale=False)
    net(data())
    with autograd.record():
        loss = net(data()).sum()
    loss.backward()
    means = [p.data().asnumpy() for name, p in net.collect_params().items() if name.endswith('running_mean')]
    assert len(means) == 7 and all(abs(mean).max() > 0 for mean in means)


def test_a_batch_of_one_image_is_trained_on():
    net = small()
    history = fit(net, loader(21), num_epochs=1, progress=False)
    assert numpy.isfinite(history.rows[0]['loss']) and numpy.isfinite(net(data()).asnumpy()).all()


@pytest.mark.parametrize('workers', [0, 1])
def test_gluons_loader_with_a_last_batch_of_one(workers):
    """With workers its arrays are in shared memory: no 'cpu', and on NumPy 2.4 and later one more trap."""
    pictures = gluon.data.ArrayDataset(data(9).asnumpy(), (numpy.arange(9) % 10).astype('int32'))
    batches = gluon.data.DataLoader(pictures, 4, last_batch='keep', num_workers=workers)
    net = small()
    assert numpy.isfinite(fit(net, batches, num_epochs=1, progress=False).rows[0]['loss'])
    scores = net(mx.nd.array(pictures._data[0])).asnumpy()
    assert evaluate_accuracy(net, batches) == (scores.argmax(axis=1) == numpy.arange(9) % 10).mean()


def test_accuracy_counts_images_and_not_batches():
    net, batches = small(), loader(23)
    right = sum((net(X).asnumpy().argmax(axis=1) == y.asnumpy()).sum() for X, y in batches)
    assert evaluate_accuracy(net, batches) == right / 23


@pytest.mark.parametrize('nothing', [[], iter(())])
def test_no_images_are_refused_in_words(nothing):
    with pytest.raises(ValueError, match='no images'):
        evaluate_accuracy(small(), nothing)


def test_an_iterator_that_is_used_up_is_named():
    once = ((X, y) for X, y in loader(20))
    with pytest.raises(ValueError, match='iterated again, not a generator'):
        fit(small(), once, num_epochs=2, progress=False)


def test_a_fixed_gamma_is_exported_as_one(tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    net = small()
    last = [name for name, child in net.features._children.items() if isinstance(child, nn.BatchNorm)][-1]
    net.features._children[last] = nn.BatchNorm(scale=False)
    net.features._children[last].initialize()
    net(data())
    net.features._children[last].gamma.set_data(net.features._children[last].gamma.data() * 3)
    export_model(net, tmp_path / 'model', input_shape=(1, 28, 28))
    session = onnxruntime.InferenceSession(str(tmp_path / 'model' / 'densenet.onnx'))
    X = data()
    [theirs] = session.run(None, {session.get_inputs()[0].name: X.asnumpy()})
    numpy.testing.assert_allclose(theirs, net(X).asnumpy(), atol=1e-5)


def test_saved_in_one_array_mode_and_loaded_in_the_other_before_the_first_call(tmp_path):
    net, X = small(), data()
    scores = net(X).asnumpy()
    net.save_parameters(str(tmp_path / 'net.params'))
    mx.npx.set_np()
    other = DenseNet(8, (2, 2), 8)
    other.load_parameters(str(tmp_path / 'net.params'))
    numpy.testing.assert_array_equal(other(X.as_np_ndarray()).asnumpy(), scores)


def test_a_second_network_loads_the_file_of_the_first(tmp_path):
    first, X = small(), data()
    scores = first(X).asnumpy()
    first.save_parameters(str(tmp_path / 'net.params'))
    second = small()
    assert second.prefix != first.prefix
    second.load_parameters(str(tmp_path / 'net.params'))
    numpy.testing.assert_array_equal(second(X).asnumpy(), scores)


def test_memory_efficient_training_reaches_every_parameter_and_moves_statistics_once():
    X, results = data(), []
    for efficient in (False, True):
        mx.random.seed(1)
        net = small(memory_efficient=efficient)
        net(X)
        with autograd.record():
            loss = (net(X) ** 2).sum()
        loss.backward()
        results.append([*(p.grad().asnumpy() for p in net.collect_params().values() if p.grad_req != 'null'),
                        *(p.data().asnumpy() for p in net.collect_params().values() if p.grad_req == 'null')])
    for usual, efficient in zip(*results, strict=True):
        numpy.testing.assert_array_equal(usual, efficient)
    assert all(abs(gradient).max() > 0 for gradient in results[1][:2])


def test_the_log_names_tests_that_are_there():
    named = re.findall(r'`(test_\w+)`', LOG)
    text = '\n'.join(path.read_text(encoding='utf-8') for path in (ROOT / 'tests').rglob('test_*.py'))
    assert len(named) >= 12
    for name in named:
        assert f'def {name}(' in text, name
