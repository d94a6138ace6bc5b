"""The figures: that they show what their data say. How they look was looked at."""

import io

import mxnet as mx
import numpy
import pytest
from matplotlib.colors import to_hex
from mxnet import gluon
from test_blocks import MODES, switch

from d2l_densenet import DenseNet, History, plots


def history(*accuracies, data='some data'):
    return History([{'epoch': i + 1, 'loss': 1 / (i + 1), 'train_acc': 0.5, 'test_acc': acc, 'seconds': 1.0,
                     'images_per_second': 10.0, 'learning_rate': 0.1} for i, acc in enumerate(accuracies)], data)


def texts(figure):
    """All that a figure says."""
    from matplotlib.text import Text
    return ' | '.join(text.get_text() for text in figure.findobj(Text))


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format='png')
    return file.getvalue()


def test_history_shows_the_numbers_and_names_the_data():
    figure = plots.plot_history(history(0.6, 0.75, 0.7))
    assert 'test accuracy 0.700 after 3 epochs' in texts(figure) and 'some data' in texts(figure)
    lines = [line.get_ydata() for axes in figure.axes for line in axes.get_lines()]
    assert any(list(y) == [0.6, 0.75, 0.7] for y in lines) and any(list(y) == [1, 1 / 2, 1 / 3] for y in lines)
    assert png(figure).startswith(b'\x89PNG')


def test_histories_side_by_side_and_without_test_data():
    figure = plots.plot_history({'article': history(0.6, 0.7), 'course': history(0.8)})
    assert '0.800 (course, 1 epoch)' in texts(figure) and 'article, test' in texts(figure)
    assert 'training accuracy 0.500' in texts(plots.plot_history(history(None)))
    colours = {line.get_color() for line in figure.axes[0].get_lines()}
    assert len(colours) == 2


def test_history_of_nothing_is_refused():
    for bad, error in [({}, ValueError), (History(), ValueError), ([0.5], TypeError)]:
        with pytest.raises(error, match='history'):
            plots.plot_history(bad)


class Loader:
    """Ten images whose label is the brightest column; the loader names its data."""

    shuffle = False
    source = 'drawn by hand'

    def __init__(self):
        self.labels = numpy.arange(10) % 10
        self.images = numpy.zeros((10, 4, 10), 'uint8')
        self.images[numpy.arange(10), :, self.labels] = 255

    def __iter__(self):
        module = mx.np if mx.util.is_np_array() else mx.nd
        yield module.array(self.images[:, None] / 255, dtype='float32'), module.array(self.labels, dtype='int32')


def column_reader(mode, swap=()):
    """A network that reads the brightest column, but takes class a for b for each (a, b) in `swap`."""
    net = gluon.nn.Dense(10, use_bias=False, in_units=40)
    net.initialize()
    weight = numpy.tile(numpy.eye(10), (1, 4)).astype('float32')
    for a, b in swap:
        weight[:, a::10] = 0
        weight[b, a::10] = 1
    net.weight.set_data(switch(mode)(weight))
    return net


@pytest.mark.parametrize('mode', MODES)
def test_confusions_and_mistakes(mode):
    switch(mode)
    net = column_reader(mode, swap=[(6, 0)])
    figure = plots.plot_confusion_matrix(net, Loader())
    assert 'shirt taken for t-shirt/top, 1 of 1' in texts(figure) and 'drawn by hand' in texts(figure)
    shares = figure.axes[0].images[0].get_array()
    assert shares[6, 0] == 1 and shares[6, 6] == 0 and shares[5, 5] == 1
    figure = plots.plot_mistakes(net, Loader())
    assert '1 mistake in 10 images' in texts(figure) and 'true: shirt' in texts(figure)
    assert (figure.axes[0].images[0].get_array() == Loader().images[6]).all()


def test_no_mistakes():
    net = column_reader('nd')
    assert 'no mistakes in 10 images' in texts(plots.plot_mistakes(net, Loader()))
    assert 'no mistakes in 10 images' in texts(plots.plot_confusion_matrix(net, Loader()))


def test_mistakes_need_images_in_order():
    loader = Loader()
    loader.shuffle = True
    with pytest.raises(ValueError, match='shuffles'):
        plots.plot_mistakes(column_reader('nd'), loader)
    with pytest.raises(ValueError, match='num'):
        plots.plot_mistakes(column_reader('nd'), Loader(), num=0)


def test_images_have_their_class_names():
    figure = plots.plot_images(numpy.zeros((3, 28, 28)), [0, 1, 9], data='source')
    assert [axes.get_title() for axes in figure.axes[:3]] != [] and 'ankle boot' in texts(figure)
    assert 'source' in texts(figure)
    with pytest.raises(ValueError, match='0 to 9'):
        plots.plot_images(numpy.zeros((1, 28, 28)), [10])
    with pytest.raises(ValueError, match='images must have the shape'):
        plots.plot_images(numpy.zeros((28, 28)), [1])


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


def test_add_vs_concat_names_the_widths():
    assert {'64', '32', '96'} <= set(texts(plots.draw_add_vs_concat()).split(' | '))


@pytest.mark.parametrize('make', [
    lambda: plots.plot_history({'article': history(0.6, 0.7), 'course': history(0.8)}),
    lambda: plots.plot_confusion_matrix(column_reader('nd', swap=[(6, 0)]), Loader()),
    lambda: plots.plot_mistakes(column_reader('nd', swap=[(6, 0)]), Loader()),
    lambda: plots.plot_mistakes(column_reader('nd', swap=[(i, 9) for i in range(6)]), Loader()),
    lambda: plots.draw_dense_block(1), lambda: plots.draw_chain(1), lambda: plots.draw_dense_block(8),
    lambda: plots.draw_add_vs_concat(), lambda: plots.plot_channels(DenseNet()),
    lambda: plots.plot_channels({'growth_rate': 12, 'block_config': (6, 12, 24, 16)}, (224, 224)),
    lambda: plots.plot_stages(), lambda: plots.plot_stages('resnet110', 'densenet_bc_100_12', 'article')])
def test_no_text_is_cut_off(make):
    switch('nd')
    figure = make()
    figure.savefig(io.BytesIO(), format='png')      # the layout is settled when the figure is drawn
    written = [figure._suptitle, figure._supxlabel]
    for axes in figure.axes:
        written += [axes.title, *axes.texts]
        written += [axes.xaxis.label, axes.yaxis.label] if axes.axison else []
    written = [text for text in written if text is not None and text.get_text()]
    assert written
    for text in written:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0, text
        assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height, text


def test_style_leaves_the_readers_settings_alone():
    import matplotlib
    before = dict(matplotlib.rcParams)
    plots.draw_dense_block(3)
    with plots.style():
        assert dict(matplotlib.rcParams) != before
    assert dict(matplotlib.rcParams) == before
