"""The figures: that they show what their data say. How they look was looked at."""

import io
import itertools
import pathlib
from types import SimpleNamespace

import mxnet as mx
import numpy
import pytest
from helpers import MODES, switch
from matplotlib.colors import to_hex, to_rgb
from mxnet import gluon

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


def costs(parameters, multiply_adds):
    return SimpleNamespace(parameters=parameters, multiply_adds=multiply_adds)


def test_accuracy_against_cost():
    figure = plots.plot_accuracy({
        'ResNet': (costs(200_000, 7e6), [0.90, 0.92]), 'DenseNet, small': (costs(100_000, 7e6), [0.86, 0.88]),
        'DenseNet': (costs(200_000, 12e6), [0.85, 0.89]), 'plain': (costs(200_000, 7e6), [0.5, 0.6])}, data='some data')
    assert 'ResNet, 0.910, each run above all runs' in texts(figure) and 'some data' in texts(figure)
    for axes, expected in zip(figure.axes, ([200, 100, 200, 200], [7, 7, 12, 7])):
        means = {line.get_gid(): line for line in axes.get_lines() if line.get_gid()}
        assert [line.get_xdata()[0] for line in means.values()] == expected
        assert [line.get_ydata()[0] for line in means.values()] == pytest.approx([0.91, 0.87, 0.87, 0.55])
        assert [line.get_color() for line in means.values()][:3] == [plots.RESNET, plots.DENSENET, plots.DENSENET]
        assert len({(line.get_color(), line.get_marker()) for line in means.values()}) == 4
        assert axes.get_ylim()[0] < 0.5 and axes.get_ylim()[1] > 0.92
        # Equal costs stand side by side.
        places = [tuple(line.get_transform().transform((0, 0)).round(3)) for line in means.values()]
        assert len(set(places)) >= 3


@pytest.mark.parametrize('runs, words', [
    ([[0.90, 0.92], [0.89, 0.91]], 'its runs overlap with those of DenseNet'),
    ([[0.9], [0.8]], 'nobody knows the spread')])
def test_accuracy_claims_no_order_that_the_runs_do_not_show(runs, words):
    resnet, densenet = runs
    figure = plots.plot_accuracy({'ResNet': (costs(1, 1), resnet), 'DenseNet': (costs(1, 2), densenet)})
    assert words in texts(figure) and 'above all' not in texts(figure)
    for bad in ({}, {'ResNet': (costs(1, 1), [])}):
        with pytest.raises(ValueError, match='networks'):
            plots.plot_accuracy(bad)


def memory(*layers):
    """Rows of bytes: 0.5 L^2 + 2 L and 4 L + 10 megabytes."""
    return {'ordinary': [(n, 5e5 * n * n + 2e6 * n) for n in layers],
            'recomputing': [(n, 4e6 * n + 1e7) for n in layers]}


def test_memory_shows_the_rows_and_how_they_grow():
    figure = plots.plot_memory(memory(24, 6, 12), {'ordinary': memory(6, 12, 24)['ordinary']})
    counted, measured = figure.axes
    dots = {line.get_label().split(':')[0]: line for line in counted.lines if line.get_marker() == 'o'}
    assert list(dots['ordinary'].get_xdata()) == [6, 12, 24]
    numpy.testing.assert_allclose(dots['ordinary'].get_ydata(), [30, 96, 336])
    numpy.testing.assert_allclose(dots['recomputing'].get_ydata(), [34, 58, 106])
    assert [text.get_text() for text in counted.get_legend().get_texts()] == ['ordinary: $0.5 L^2 + 2 L$',
                                                                              'recomputing: $4 L + 10$']
    assert dots['ordinary'].get_color() == measured.lines[0].get_color() != dots['recomputing'].get_color()
    # The curve of degree 2 goes through points that lie on one.
    curve, = (line for line in measured.lines if line.get_marker() == 'None')
    numpy.testing.assert_allclose(curve.get_ydata(), 0.5 * curve.get_xdata() ** 2 + 2 * curve.get_xdata())
    assert '4 times the layers need more memory: ordinary 11.2 times' in texts(figure)


def test_a_term_that_counts_at_the_deepest_is_written_however_small_its_factor():
    rows = {'bends': [(n, 2e6 * n - 2e3 * n * n) for n in (20, 100, 200)],            # by 80 of 320 MB at L = 200
            'straight': [(n, 2e6 * n + 10 * n * n) for n in (20, 100, 200)]}          # by 0.4 of 400 MB
    legend = plots.plot_memory(rows, rows).axes[0].get_legend().get_texts()
    assert [text.get_text() for text in legend] == ['bends: $- 0.002 L^2 + 2 L$', 'straight: $2 L$']


def test_memory_of_fewer_than_three_depths_has_no_curve():
    figure = plots.plot_memory(memory(6, 12), memory(6, 12))
    assert all(line.get_marker() == 'o' for axes in figure.axes for line in axes.lines)
    assert '2 times the layers need more memory: ordinary 3.2 times, recomputing 1.7 times' in texts(figure)
    assert 'one training step: ordinary 30 MB, recomputing 34 MB' in texts(plots.plot_memory(memory(6), memory(6)))


def test_memory_of_nothing_is_refused():
    for bad, error in [({}, ValueError), ([], TypeError), ({'a': []}, ValueError), ({'a': [(0, 1)]}, ValueError)]:
        with pytest.raises(error, match='measured'):
            plots.plot_memory(memory(6), bad)


def reuse_map(layers, factor=1.0):
    """A map whose numbers tell where they belong: factor * (layer + source / 10)."""
    return factor * (numpy.arange(layers)[:, None] + numpy.arange(layers) / 10)


def test_feature_reuse_is_laid_out_as_in_the_paper():
    first, second = reuse_map(3), reuse_map(4, 0.5)
    first[0, 2] = 99                                    # above the diagonal: no connection, whatever stands there
    figure = plots.plot_feature_reuse({'block 1': first, 'block 2': second}, label='weight', data='a network')
    left, right, bar = figure.axes
    for axes, values in ((left, reuse_map(3)), (right, second)):
        shown = numpy.ma.filled(axes.images[0].get_array(), numpy.nan)
        for layer in range(len(values)):
            for source in range(len(values)):
                wanted = values[layer, source] if source <= layer else numpy.nan
                numpy.testing.assert_equal(shown[source, layer], wanted)
        written = {text.get_position(): text.get_text() for text in axes.texts}
        assert written == {(layer, source): f'{values[layer, source]:.2f}'
                           for layer in range(len(values)) for source in range(layer + 1)}
    assert [label.get_text() for label in left.get_yticklabels()] == ['$x_{0}$', '$x_{1}$', '$x_{2}$']
    assert [label.get_text() for label in left.get_xticklabels()] == ['1', '2', '3']
    assert left.images[0].get_clim() == right.images[0].get_clim() == (0, 2.2) and bar.get_ylabel() == 'weight'
    assert 'largest weight: 2.20, from x2 to layer 3 (block 1)' in texts(figure) and 'a network' in texts(figure)
    assert 'a finding' in texts(plots.plot_feature_reuse(first, title='a finding'))
    tiny = plots.plot_feature_reuse(numpy.array([[-1e-9, 0], [1, 0.5]])).axes[0]
    assert [text.get_text() for text in tiny.texts] == ['0.00', '1.00', '0.50']


def test_the_scale_of_feature_reuse_can_spread_small_numbers():
    values = numpy.array([[100, 0], [1, 0]])
    plain, spread = (plots.plot_feature_reuse(values, power=power).axes[0].images[0].norm for power in (1, 0.5))
    assert [plain(1), spread(1), spread(100)] == pytest.approx([0.01, 0.1, 1])


@pytest.mark.parametrize('power', [0.5, 1])
def test_feature_reuse_can_be_told_apart_in_grey_and_read_in_each_cell(power):
    """The scale rises in lightness from end to end, and each number stands out from its cell."""
    axes = plots.plot_feature_reuse(numpy.linspace(-1, 3, 144).reshape(12, 12), power=power).axes[0]
    picture = axes.images[0]

    def lightness(colour):
        linear = numpy.array(colour[:3]) ** 2.2
        return linear @ [0.2126, 0.7152, 0.0722]

    scale = [lightness(picture.cmap(value)) for value in numpy.linspace(0, 1, 64)]
    assert (numpy.diff(scale) > -1e-3).all() and scale[-1] > scale[0] + 0.5
    for text in axes.texts:
        layer, source = (int(place) for place in text.get_position())
        cell, ink = lightness(picture.cmap(picture.norm(picture.get_array()[source, layer]))), text.get_color()
        contrast = (1.05 / (cell + 0.05)) if ink == 'white' else (cell + 0.05) / 0.05
        assert contrast >= 3, (text.get_text(), ink, contrast)


@pytest.mark.parametrize('bad, match', [({}, 'empty'), (numpy.zeros((2, 3)), r'shape \(L, L\)'),
                                        (numpy.zeros(4), r'shape \(L, L\)'), (numpy.zeros((13, 13)), '1 to 12'),
                                        ({'b': numpy.full((2, 2), numpy.nan)}, r"maps\['b'\] must hold a finite"),
                                        ([['a']], 'must hold numbers')])
def test_feature_reuse_of_nothing_is_refused(bad, match):
    with pytest.raises(ValueError, match=match):
        plots.plot_feature_reuse(bad)
    with pytest.raises(ValueError, match='power'):
        plots.plot_feature_reuse(reuse_map(2), power=0)


def test_add_vs_concat_names_the_widths():
    assert {'64', '32', '96'} <= set(texts(plots.draw_add_vs_concat()).split(' | '))


@pytest.mark.parametrize('make', [
    lambda: plots.plot_history({'article': history(0.6, 0.7), 'course': history(0.8)}),
    lambda: plots.plot_confusion_matrix(column_reader('nd', swap=[(6, 0)]), Loader()),
    lambda: plots.plot_mistakes(column_reader('nd', swap=[(6, 0)]), Loader()),
    lambda: plots.plot_mistakes(column_reader('nd', swap=[(i, 9) for i in range(6)]), Loader()),
    lambda: plots.plot_feature_reuse(reuse_map(1)), lambda: plots.plot_feature_reuse(reuse_map(12)),
    lambda: plots.plot_feature_reuse({f'dense block {i}': reuse_map(6) for i in (1, 2, 3)}, data='a network'),
    lambda: plots.draw_dense_block(1), lambda: plots.draw_chain(1), lambda: plots.draw_dense_block(8),
    lambda: plots.draw_add_vs_concat(), lambda: plots.plot_channels(DenseNet()),
    lambda: plots.plot_channels({'growth_rate': 12, 'block_config': (6, 12, 24, 16)}, (224, 224)),
    lambda: plots.plot_accuracy({'ResNet': (costs(3, 9), [0.9, 0.91]), 'DenseNet, same work': (costs(3, 9), [0.9])}),
    lambda: plots.plot_memory(memory(6, 12, 24), memory(6, 12, 24)), lambda: plots.plot_memory(memory(6), memory(6)),
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


# Legible: on a projector, and to the colour-blind

def linear(colour):
    parts = numpy.array(to_rgb(colour))
    return numpy.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(colour, ground='white'):
    """Contrast ratio of WCAG 2.2, from 1 to 21."""
    light = sorted(linear(one) @ [0.2126, 0.7152, 0.0722] + 0.05 for one in (colour, ground))
    return light[1] / light[0]


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
SIGHTS = {'usual': numpy.eye(3),
          'protanopia': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                         [-0.003882, -0.048116, 1.051998]],
          'deuteranopia': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                           [-0.011820, 0.042940, 0.968881]]}


def difference(one, other, sight):
    """Distance of two colours in CIELAB, as seen; 2.3 can just be noticed side by side."""
    places = []
    for colour in (one, other):
        seen = (numpy.array(SIGHTS[sight]) @ linear(colour)).clip(0, 1)
        xyz = numpy.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
        x, y, z = (numpy.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz / [0.9505, 1, 1.0888])
        places.append(numpy.array([116 * y - 16, 500 * (x - y), 200 * (y - z)]))
    return numpy.linalg.norm(places[0] - places[1])


def test_contrast_of_known_pairs():
    """WCAG's own examples: black on white has 21, and #777 just misses 4.5."""
    assert contrast('black') == pytest.approx(21)
    assert contrast('#777777') == pytest.approx(4.48, abs=0.01)


def test_colours_stand_out_from_white():
    """4.5 is WCAG's limit for text (level AA), 3 that for lines and marks."""
    for colour in (plots.RESNET, plots.DENSENET, plots._GREY):
        assert contrast(colour) >= 4.5, colour
    for colour in (*plots._FURTHER, *plots._SOURCE_COLOURS):
        assert contrast(colour) >= 3, colour


@pytest.mark.parametrize('sight', SIGHTS)
def test_colours_used_together_can_be_told_apart(sight):
    for group in ([plots.RESNET, plots.DENSENET, *plots._FURTHER[:3]], [plots.DENSENET, *plots._FURTHER],
                  plots._SOURCE_COLOURS):
        for one, other in itertools.combinations(group, 2):
            assert difference(one, other, sight) > 25, (one, other)


FIGURES = {
    'history': lambda: plots.plot_history({'article': history(0.6, 0.7), 'course': history(0.8)}),
    'confusions': lambda: plots.plot_confusion_matrix(column_reader('nd', swap=[(6, 0)]), Loader()),
    'mistakes': lambda: plots.plot_mistakes(column_reader('nd', swap=[(6, 0)]), Loader()),
    'images': lambda: plots.plot_images(numpy.zeros((3, 28, 28)), [0, 1, 9], data='source'),
    'block': lambda: plots.draw_dense_block(4), 'chain': lambda: plots.draw_chain(4),
    'add': plots.draw_add_vs_concat, 'channels': lambda: plots.plot_channels(DenseNet()),
    'accuracy': lambda: plots.plot_accuracy({'ResNet': (costs(3, 9), [0.9, 0.8]), 'plain': (costs(3, 9), [0.7])}),
    'memory': lambda: plots.plot_memory(memory(6, 12, 24), memory(6, 12, 24)),
    'stages': lambda: plots.plot_stages('resnet18', 'densenet121')}


@pytest.mark.parametrize('name', FIGURES)
def test_text_is_dark_and_large_and_lines_are_wide(name):
    from matplotlib.text import Text
    switch('nd')
    figure = FIGURES[name]()
    for text in figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text().strip()):
        assert text.get_fontsize() >= 11, text
        # The numbers in a confusion matrix stand on its colours, not on white.
        image = text.axes.images[0] if text.axes and text.axes.images and text in text.axes.texts else None
        column, row = (round(place) for place in text.get_position()) if image else (0, 0)
        ground = image.cmap(image.norm(image.get_array()[row, column])) if image else 'white'
        assert contrast(text.get_color(), ground) >= 4.5, text
    for axes in figure.axes:
        for line in axes.lines:
            assert line.get_linewidth() >= 1.5


@pytest.mark.parametrize('name', FIGURES)
def test_alternative_text_says_the_finding(name):
    switch('nd')
    figure = FIGURES[name]()
    text = plots.describe(figure)
    assert len(text) >= 30 or name == 'images' and 'ankle boot' in text
    assert '\n' not in text and '$' not in text and '..' not in text.replace('...', '')
    if not figure.get_label():
        assert figure._suptitle.get_text().replace('\n', ' ') in text


def test_notebooks_carry_the_alternative_text(monkeypatch):
    """In the metadata of the output, in a real kernel, for a figure that is returned and for one of pyplot."""
    import nbformat
    from nbclient import NotebookClient
    monkeypatch.setenv('MPLBACKEND', 'module://matplotlib_inline.backend_inline')    # what a kernel has by itself
    new = nbformat.v4.new_code_cell
    notebook = nbformat.v4.new_notebook(cells=[
        new("import sys; sys.path.insert(0, '..')\nfrom d2l_densenet import plots\nplots.draw_chain(2)"),
        new('import matplotlib.pyplot as plt\n'
            'with plots.style():\n'
            '    plt.figure(figsize=(5, 2)); plt.plot([1, 2])\n'
            r"    plt.title(r'as $\theta$ falls'); plt.xlabel('x'); plt.ylabel('y')" '\n'
            '    plt.show()')])
    place = str(pathlib.Path(__file__).resolve().parent)
    NotebookClient(notebook, timeout=100, resources={'metadata': {'path': place}}).execute()
    first, second = (cell.outputs[-1] for cell in notebook.cells)
    assert 'image/png' in first.data and 'image/png' in second.data
    assert first.metadata['image/png']['alt'].startswith('plain chain: 2 layers, 2 connections.')
    assert second.metadata['image/png']['alt'] == 'as theta falls: y against x'
