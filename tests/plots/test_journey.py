"""One image on its way through the network."""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, switch
from matplotlib.colors import to_hex
from plot_samples import initialized, texts

from d2l_densenet import DenseNet, plots


def bars(figure):
    """{stage: (channels, height of its bar)}, and the channels that came into each dense block."""
    patches = [patch for axes in figure.axes for patch in axes.patches if patch.get_gid()]
    return {patch.get_gid(): (patch.get_width(), patch.get_height()) for patch in patches}


@pytest.mark.parametrize('mode', MODES)
def test_each_stage_has_a_bar_as_wide_as_its_channels(mode):
    switch(mode)
    found = bars(plots.draw_network(initialized(DenseNet()), numpy.zeros((48, 48))))
    widths = {name: width for name, (width, _) in found.items()}
    assert widths == {'image': 1, 'stem': 64, 'dense block 1': 192, 'transition 1': 96, 'dense block 2': 224,
                      'transition 2': 112, 'dense block 3': 240, 'transition 3': 120, 'dense block 4': 248,
                      'classifier': 248}
    heights = [found[f'dense block {number}'][1] for number in (1, 2, 3, 4)]
    assert heights == sorted(heights, reverse=True) and found['image'][1] == 1


def test_the_maps_are_those_of_the_network():
    net, image = initialized(DenseNet(4, (1, 1), 4)), numpy.random.rand(16, 16).astype('float32')
    figure = plots.draw_network(net, image, maps=2)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert numpy.array_equal(shown[0], image)
    assert [numpy.shape(one) for one in shown] == [(16, 16)] + 4 * [(4, 4)] + 4 * [(2, 2)]
    # Concatenation leaves what came in as it was: the first map of the stem is that of the block, too.
    assert numpy.array_equal(shown[1], shown[3]) and not numpy.array_equal(shown[2], shown[4])


def test_the_mode_around_it_does_not_count():
    net = initialized(DenseNet(4, (1, 1), 4, classes=3, dropout=0.5))

    def shown():
        figure = plots.draw_network(net, numpy.random.RandomState(0).uniform(size=(16, 16)))
        return [image.get_array() for axes in figure.axes for image in axes.images]
    expected = shown()
    with mx.autograd.train_mode():
        found = shown()
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))


def test_what_cannot_be_drawn_is_named():
    net = initialized(DenseNet(4, (1, 1), 4, classes=3))
    with pytest.raises(ValueError, match='image must hold finite numbers'):
        plots.draw_network(net, numpy.full((16, 16), numpy.nan))
    with pytest.raises(ValueError, match='the network is not initialized'):
        plots.draw_network(DenseNet(4, (1, 1), 4), numpy.zeros((16, 16)))
    net.output.bias.data()[1] = numpy.nan
    with pytest.raises(ValueError, match='dense0_bias holds NaN'):
        plots.draw_network(net, numpy.zeros((16, 16)))
    switch('np')
    with pytest.raises(ValueError, match='holds NaN|built in mx.nd mode'):
        plots.draw_network(net, numpy.zeros((16, 16)))
    net = initialized(DenseNet(4, (1, 1), 4, classes=3))
    switch('nd')
    with pytest.raises(TypeError, match='built in mx.np mode'):
        plots.draw_network(net, numpy.zeros((16, 16)))


def test_it_names_the_class_with_the_highest_logit():
    net = initialized(DenseNet(4, (1, 1), 4, classes=3))
    net.output.initialize(force_reinit=True, init='zeros')
    net.output.bias.data()[1] = 2
    figure = plots.draw_network(net, numpy.zeros((16, 16)), labels=['cat', 'dog', 'owl'], data='drawn')
    assert 'Highest logit: dog' in plots.describe(figure) and 'drawn' in texts(figure)


def stages_of(figure):
    """{text above a bar: (color, width, height) of the bar's parts}, in the order of the stages."""
    return {axes.texts[0].get_text(): [(to_hex(patch.get_facecolor()).upper(), patch.get_width(), patch.get_height())
                                       for patch in axes.patches]
            for axes in figure.axes if axes.patches and axes.patches[0].get_gid()}


def test_a_bar_is_as_high_as_its_maps_and_shows_what_came_into_a_block():
    figure = plots.draw_network(initialized(DenseNet()), numpy.zeros((48, 40)))
    dark, pale = plots.DENSENET, to_hex(plots.look.tint(plots.DENSENET)).upper()
    assert stages_of(figure) == {
        'image: 1 channel, 48 x 40': [(pale, 1, 1)], 'stem: 64 channels, 12 x 10': [(pale, 64, 12 / 48)],
        'dense block 1: 192 channels, 12 x 10': [(dark, 192, 12 / 48), (pale, 64, 12 / 48)],
        'transition 1: 96 channels, 6 x 5': [(pale, 96, 6 / 48)],
        'dense block 2: 224 channels, 6 x 5': [(dark, 224, 6 / 48), (pale, 96, 6 / 48)],
        'transition 2: 112 channels, 3 x 2': [(pale, 112, 3 / 48)],
        'dense block 3: 240 channels, 3 x 2': [(dark, 240, 3 / 48), (pale, 112, 3 / 48)],
        'transition 3: 120 channels, 1 x 1': [(pale, 120, 1 / 48)],
        'dense block 4: 248 channels, 1 x 1': [(dark, 248, 1 / 48), (pale, 120, 1 / 48)],
        'classifier: 248 channels, 1 x 1': [(pale, 248, 1 / 48)]}
    for axes in figure.axes:
        if axes.patches and axes.patches[0].get_gid():
            assert all(bar.get_x() == 0 and bar.get_y() == -bar.get_height() / 2 for bar in axes.patches)
            (left, right), (bottom, top), (x, y) = axes.get_xlim(), axes.get_ylim(), axes.texts[0].get_position()
            assert axes.texts[0].get_fontsize() == 11
            assert (left, right) == (0, 248) and -0.6 < bottom < -0.5 and x == 0 and 0.5 < y < 0.7 < top <= 1


def test_bars_are_measured_against_the_longer_side_of_the_image():
    figure = plots.draw_network(initialized(DenseNet(4, (1,), 4)), numpy.zeros((16, 32)))
    assert [bar[0][2] for bar in stages_of(figure).values()] == [0.5, 4 / 32, 4 / 32, 1 / 32]


def test_maps_are_channels_at_equal_distances_on_one_grey_scale():
    net, image = initialized(DenseNet(4, (1, 1), 9)), numpy.random.rand(16, 16).astype('float32')
    figure = plots.draw_network(net, image, maps=3)
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    stem = mx.nd.array(image[None, None])
    for block in net.stages()[0][1]:
        stem = block(stem)
    for picture, channel in zip(shown[1:4], (0, 4, 8)):
        assert numpy.array_equal(picture.get_array(), stem[0, channel].asnumpy())
    lowest, highest = (get(stem[0, ::4].asnumpy()) for get in (numpy.min, numpy.max))
    assert {picture.get_clim() for picture in shown[1:4]} == {(lowest, highest)}


def test_the_logits_are_those_of_the_network_and_the_highest_is_colored():
    net = initialized(DenseNet(4, (1,), 4, classes=4))
    image = numpy.random.rand(16, 16).astype('float32')
    axes = plots.draw_network(net, image, labels=list('abcd')).axes[-1]
    logits = net(mx.nd.array(image[None, None])).asnumpy()[0]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx(logits.tolist(), rel=1e-4)
    colors = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    assert colors == [plots.DENSENET if i == logits.argmax() else plots.look.GRAY for i in range(4)]
    assert [label.get_text() for label in axes.get_xticklabels()] == list('abcd')
    assert [*axes.get_xticks()] == [0, 1, 2, 3]
    assert axes.get_ylabel() == 'logit' and [*axes.lines[0].get_ydata()] == [0, 0]


@pytest.mark.parametrize('maps', [1, 6, 8])
def test_maps_stand_beside_their_bar_in_columns_of_one_width(maps):
    figure = plots.draw_network(initialized(DenseNet(4, (1,), 16)), numpy.zeros((16, 16)), maps=maps)
    assert figure.get_size_inches() == pytest.approx((8.6, 0.98 * 4 + 0.8))         # image, stem, block, classifier
    cells = [axes.get_subplotspec() for axes in figure.axes]
    assert [(cell.rowspan.start, cell.colspan.start, cell.colspan.stop) for cell in cells] == [
        (0, 0, 1), (0, 1, 2), (1, 0, 1), *[(1, 1 + i, 2 + i) for i in range(maps)],
        (2, 0, 1), *[(2, 1 + i, 2 + i) for i in range(maps)], (3, 0, 1), (3, 1, 1 + maps)]
    assert cells[0].get_gridspec().get_width_ratios() == [3.1, *[1] * maps, 0.05]


@pytest.mark.parametrize('wrong, error, words', [
    ({'net': 3}, TypeError, 'net must be a DenseNet, got 3'),
    ({'maps': 9}, ValueError, 'maps must be an integer of at most 8, got 9'),
    ({'maps': 0}, ValueError, 'maps must be'), ({'image': numpy.zeros(48)}, ValueError, 'image must be one image'),
    ({'image': numpy.zeros((2, 48, 48))}, ValueError, r'of shape \(H, W\), got \(2, 48, 48\)'),
    ({'image': numpy.zeros((1, 3, 48, 48))}, ValueError, 'image must be one image of one channel'),
    ({'labels': ['a'] * 9}, ValueError, 'labels must hold 10 names, one for each class, got shape'),
    ({'labels': [['a']] * 10}, ValueError, 'labels must hold 10 names')])
def test_what_the_journey_refuses(wrong, error, words):
    with pytest.raises(error, match=words):
        plots.draw_network(**{'net': initialized(DenseNet()), 'image': numpy.zeros((48, 48)), **wrong})


@pytest.mark.parametrize('shape', [(48, 48), (1, 48, 48), (1, 1, 48, 48), (40, 56)])
def test_one_image_in_any_form(shape):
    title = plots.draw_network(initialized(DenseNet()), numpy.zeros(shape))._suptitle.get_text()
    assert title.startswith(f'{shape[-2]} x {shape[-1]} pixels become 248 numbers')
