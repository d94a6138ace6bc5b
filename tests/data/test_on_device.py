"""The data set on the device: the same batches as from the loader; a second CPU device stands for the card."""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, network, switch
from mxnet import gluon

from d2l_densenet import ImageLoader, fit
from d2l_densenet.data import loader as loader_module
from d2l_densenet.data.on_device import OnDevice

CARD = mx.cpu(1)


def loader(count=30, batch_size=8, **kwargs):
    draw = numpy.random.default_rng(0)
    return ImageLoader(draw.integers(0, 256, (count, 12, 9), dtype='uint8'), draw.integers(0, 3, count), batch_size,
                       seed=3, **kwargs)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('options', [
    {}, {'shuffle': True}, {'flip': True}, {'crop': 3}, {'erase': 0.9}, {'resize': 14},
    {'shuffle': True, 'flip': True, 'crop': 2, 'erase': 0.5}])
def test_the_batches_are_equal_to_the_bit(mode, options):
    switch(mode)
    plain, card = loader(**options), OnDevice(loader(**options), CARD)
    assert len(card) == len(plain) == 4
    for _ in range(2):
        for (X, y), (X_card, y_card) in zip(plain, card, strict=True):
            assert X_card.context == y_card.context == CARD and type(X_card) is type(X)
            assert X_card.dtype == X.dtype and y_card.dtype == y.dtype
            assert numpy.array_equal(X.asnumpy(), X_card.asnumpy()) and (y.asnumpy() == y_card.asnumpy()).all()


def test_parts_for_workers_and_the_count_of_passes():
    whole = loader(shuffle=True)
    part = OnDevice(whole.part(1, 2), CARD)
    for (X, _), (expected, _) in zip(part, whole.part(1, 2)):
        assert numpy.array_equal(X.asnumpy(), expected.asnumpy())
    card = OnDevice(whole, CARD)
    list(card)
    assert whole.epoch == card.epoch == 1
    card.epoch = 5
    assert whole.epoch == 5


@pytest.mark.parametrize('ctx', [mx.cpu(1), [mx.cpu(1), mx.cpu(2)]])
def test_fit_trains_on_it_to_the_same_bits_and_resumes(ctx, tmp_path):
    def network():
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Conv2D(4, 3, in_channels=1), gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(3, in_units=4))
        mx.random.seed(1)
        net.initialize(mx.init.Xavier())
        return net

    def run(net, epochs=2, **kwargs):
        return fit(net, loader(shuffle=True, flip=True), loader(), epochs, ctx=ctx, seed=1, progress=False, **kwargs)

    plain, card, resumed = network(), network(), network()
    expected, history = run(plain), run(card, data_on_device=True)
    assert history['loss'] == expected['loss'] and history['test_acc'] == expected['test_acc']
    run(network(), 1, data_on_device=True, checkpoint_dir=tmp_path)
    run(resumed, data_on_device=True, checkpoint_dir=tmp_path, resume=True)
    for a, b, c in zip(*(net.collect_params().values() for net in (plain, card, resumed))):
        first = a.list_ctx()[0]
        assert numpy.array_equal(a.data(first).asnumpy(), b.data(first).asnumpy())
        assert numpy.array_equal(a.data(first).asnumpy(), c.data(first).asnumpy())


def test_what_cannot_lie_there_is_named(monkeypatch):
    class Inverted(ImageLoader):
        def __iter__(self):
            yield from ((1 - X, y) for X, y in super().__iter__())

    with pytest.raises(TypeError, match='needs an ImageLoader itself as train_iter, .* got .*Inverted'):
        fit(network('nd'), Inverted(numpy.zeros((4, 20, 20), 'uint8'), numpy.zeros(4), 2), num_epochs=1,
            data_on_device=True)
    with pytest.raises(TypeError, match=r'needs an ImageLoader itself as train_iter, .* got \[\]'):
        OnDevice([], CARD, 'train_iter')
    monkeypatch.setattr(loader_module, '_RESIZE_AT_ONCE', 10)
    with pytest.raises(ValueError, match='pixels that are resized once: make the images of loader smaller'):
        OnDevice(loader(resize=20), CARD)


@pytest.mark.parametrize('most, fits', [(30 * 12 * 9, True), (30 * 12 * 9 - 1, False)])
def test_an_axis_of_all_pixels_must_be_one_that_mxnet_can_count(most, fits, monkeypatch):
    monkeypatch.setattr('d2l_densenet.data.on_device.MOST_ELEMENTS', most)
    if fits:
        assert len(list(OnDevice(loader(), CARD))) == 4
    else:
        with pytest.raises(ValueError, match='up to 3,239 pixels that are resized once: make the images'):
            OnDevice(loader(), CARD)
