"""Diagrams: every connection, every width."""

import mxnet as mx
import pytest
from matplotlib.colors import to_hex
from plot_samples import texts

from d2l_densenet import DenseBlock, DenseNet, plots, transition_block


@pytest.mark.parametrize('layers', [1, 2, 5, 12])
def test_every_connection_is_drawn(layers):
    def connections(figure):
        return [artist.get_gid() for artist in figure.findobj() if str(artist.get_gid()).startswith('connection')]
    dense = connections(plots.draw_dense_block(layers))
    assert sorted(dense) == sorted(f'connection {i} {j}' for j in range(1, layers + 1) for i in range(j))
    assert len(dense) == layers * (layers + 1) // 2
    assert len(connections(plots.draw_chain(layers))) == layers


def test_too_many_layers_to_draw():
    with pytest.raises(ValueError, match='at most 12'):
        plots.draw_dense_block(13)


def test_add_vs_concat_names_the_widths():
    assert {'64', '32', '96'} <= set(texts(plots.draw_add_vs_concat()).split(' | '))


def test_the_staircase_of_the_article():
    figure = plots.plot_channels(DenseNet())
    (stairs,) = (artist for artist in figure.findobj() if artist.get_gid() == 'channels')
    assert list(stairs.get_data().values) == [64, 96, 128, 160, 192, 96, 128, 160, 192, 224, 112, 144, 176, 208, 240,
                                              120, 152, 184, 216, 248]
    assert '12 x 12' in texts(figure) and '1 x 1' in texts(figure)


@pytest.mark.parametrize('theta, words', [(0.5, 'halves them'), (1, 'keeps them'), (0.8, 'multiplies them by 0.8')])
def test_the_staircase_says_what_its_transitions_do(theta, words):
    assert words in texts(plots.plot_channels(DenseNet(compression=theta)))


def test_stages_side_by_side():
    figure = plots.plot_stages('resnet34', 'densenet169')
    left, right, below_left, below_right = figure.axes
    assert [bar.get_height() for bar in left.patches] == [64, 64, 128, 256, 512]
    assert [bar.get_height() for bar in right.patches] == [64, 256, 128, 512, 256, 1280, 640, 1664]
    assert list(below_left.lines[0].get_ydata()) == [56, 56, 28, 14, 7]
    assert list(below_right.lines[0].get_ydata()) == [56, 56, 28, 28, 14, 14, 7, 7]
    colours = [to_hex(axes.lines[0].get_color()).upper() for axes in (below_left, below_right)]
    assert colours == [plots.RESNET, plots.DENSENET]


def test_growth_shows_every_source_in_every_stack():
    figure = plots.draw_growth((4, 10, 5), (2, 4, 8, 0.5))
    above, below = figure.axes
    heights = {}
    for bar in above.patches:
        heights.setdefault(bar.get_gid(), []).append(bar.get_height())
    assert heights == {'x0': [5] * 5, 'x1': [10] * 4, 'x2': [10] * 3, 'x3': [10] * 2, 'x4': [10]}
    assert [bar.get_height() for bar in below.patches if bar.get_gid() == 'transition'] == [8]


@pytest.mark.parametrize('layers, rate, first', [(4, 10, 5), (1, 3, 7), (8, 12, 16)])
def test_growth_counts_what_the_package_builds(layers, rate, first):
    net = mx.gluon.nn.HybridSequential()
    net.add(DenseBlock(layers, rate), transition_block((first + layers * rate) // 2))
    net.initialize()
    net(mx.nd.ones((1, first, 4, 4)))
    titles = [axes.get_title() for axes in plots.draw_growth((layers, rate, first),
                                                             (layers, rate, first, 0.5)).axes]
    for part, title in ((net[0], titles[0]), (net, titles[1])):
        counted = sum(p.data().size for p in part.collect_params().values() if p.grad_req != 'null')
        assert f' {counted:,} parameters' in title
    assert f'{layers * (layers + 1) // 2} connection' in titles[0]
