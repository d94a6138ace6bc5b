"""One image on its way through the network."""

import numpy
import pytest
from helpers import MODES, switch
from plot_samples import initialised, texts

from d2l_densenet import DenseNet, plots


def bars(figure):
    """{stage: (channels, height of its bar)}, and the channels that came into each dense block."""
    patches = [patch for axes in figure.axes for patch in axes.patches if patch.get_gid()]
    return {patch.get_gid(): (patch.get_width(), patch.get_height()) for patch in patches}


@pytest.mark.parametrize('mode', MODES)
def test_each_stage_has_a_bar_as_wide_as_its_channels(mode):
    switch(mode)
    found = bars(plots.draw_network(initialised(DenseNet()), numpy.zeros((48, 48))))
    widths = {name: width for name, (width, _) in found.items()}
    assert widths == {'image': 1, 'stem': 64, 'dense block 1': 192, 'transition 1': 96, 'dense block 2': 224,
                      'transition 2': 112, 'dense block 3': 240, 'transition 3': 120, 'dense block 4': 248,
                      'classifier': 248}
    heights = [found[f'dense block {number}'][1] for number in (1, 2, 3, 4)]
    assert heights == sorted(heights, reverse=True) and found['image'][1] == 1


def test_the_maps_are_those_of_the_network():
    net, image = initialised(DenseNet(4, (1, 1), 4)), numpy.random.rand(16, 16).astype('float32')
    figure = plots.draw_network(net, image, maps=2)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert numpy.array_equal(shown[0], image)
    assert [numpy.shape(one) for one in shown] == [(16, 16)] + 4 * [(4, 4)] + 4 * [(2, 2)]
    # Concatenation leaves what came in as it was: the first map of the stem is that of the block, too.
    assert numpy.array_equal(shown[1], shown[3]) and not numpy.array_equal(shown[2], shown[4])


def test_it_names_the_class_with_the_highest_logit():
    net = initialised(DenseNet(4, (1, 1), 4, classes=3))
    net.output.initialize(force_reinit=True, init='zeros')
    net.output.bias.data()[1] = 2
    figure = plots.draw_network(net, numpy.zeros((16, 16)), labels=['cat', 'dog', 'owl'], data='drawn')
    assert 'Highest logit: dog' in plots.describe(figure) and 'drawn' in texts(figure)


@pytest.mark.parametrize('shape', [(48, 48), (1, 48, 48), (1, 1, 48, 48), (40, 56)])
def test_one_image_in_any_form(shape):
    title = plots.draw_network(initialised(DenseNet()), numpy.zeros(shape))._suptitle.get_text()
    assert title.startswith(f'{shape[-2]} x {shape[-1]} pixels become 248 numbers')
