"""Images and maps: that each stands where it belongs, under its name."""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, switch
from matplotlib.colors import to_hex
from mxnet import gluon
from plot_samples import Loader, column_reader, reuse_map, texts

from d2l_densenet import plots


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
    figure = plots.plot_mistakes(net, Loader())
    assert 'no mistakes in 10 images' in texts(figure) and figure.get_size_inches().tolist() == [6, 2]
    assert not figure.axes[0].axison and figure.axes[0].texts[0].get_position() == (0.5, 0.5)
    assert 'no mistakes in 10 images' in texts(plots.plot_confusion_matrix(net, Loader()))


class Certain(Loader):
    """Images whose pixels are the logits of a network: (label, class it is taken for, logit of that class)."""

    def __init__(self, *rows, classes=10):
        self.labels = numpy.array([label for label, _, _ in rows])
        self.images = numpy.zeros((len(rows), 1, classes), 'float32')
        for image, (_, taken, logit) in zip(self.images, rows):
            image[0, taken] = logit
        self.net = gluon.nn.Dense(classes, use_bias=False, in_units=classes)
        self.net.initialize()
        self.net.weight.set_data(mx.nd.array(numpy.eye(classes)))

    def __iter__(self):
        yield mx.nd.array(self.images[:, None]), mx.nd.array(self.labels, dtype='int32')


def test_names_are_those_of_the_images():
    loader = Certain((1, 2, 1))
    loader.source = None
    assert plots.plot_confusion_matrix(loader.net, loader)._suptitle.get_text() == \
        'most frequent mistake: 1 taken for 2, 1 of 1'
    loader.labels = loader.labels.astype('float32')
    assert plots.plot_mistakes(loader.net, loader).axes[0].get_title().endswith('true: 1')
    names = list('abcdefghij')
    assert 'b taken for c' in plots.plot_confusion_matrix(loader.net, loader, names=names)._suptitle.get_text()
    with pytest.raises(ValueError, match='names must hold 10 names, one for each class'):
        plots.plot_mistakes(loader.net, loader, names=names[1:])


def confusions(*rows, **options):
    loader = Certain(*rows, **options)
    return plots.plot_confusion_matrix(loader.net, loader)


def test_the_most_frequent_mistake_is_named_with_its_share():
    figure = confusions(*[(1, 2, 1)] * 2, (1, 1, 1), *[(3, 4, 1)] * 3, *[(3, 3, 1)] * 1200)
    assert figure._suptitle.get_text() == 'most frequent mistake: dress taken for coat, 3 of 1,203'
    assert confusions(*[(0, 0, 1)] * 1001)._suptitle.get_text() == 'no mistakes in 1,001 images'


def test_cells_have_counts_where_there_are_any_and_the_color_of_their_share():
    rows = [(0, 0, 1)] * 3 + [(0, 2, 1)] + [(2, 0, 1)] * 5 + [(2, 2, 1)] * 7 + [(2, 1, 1)] * 8     # none of class 1
    axes, bar = confusions(*rows, classes=3).axes
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): '3', (2, 0): '1', (0, 2): '5', (2, 2): '7', (1, 2): '8'}
    shares = axes.images[0].get_array()
    numpy.testing.assert_allclose(shares, [[0.75, 0, 0.25], [0, 0, 0], [0.25, 0.4, 0.35]])
    norm = axes.images[0].norm
    assert [norm(0), norm(0.25), norm(1)] == pytest.approx([0, 0.5, 1]) and axes.images[0].get_cmap().name == 'Blues'
    # 0.35 is the darkest share on which black is written.
    assert {text.get_text(): text.get_color() for text in axes.texts} == {
        '3': 'white', '1': 'black', '5': 'black', '7': 'black', '8': 'white'}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ('predicted class', 'true class')
    for ticks in (axes.get_xticks(), axes.get_yticks()):
        assert [*ticks] == [0, 1, 2]
    assert [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())] == ['0', '1', '2'] * 2
    assert bar.get_ylabel() == 'share of the images of the true class'
    assert [*bar.get_yticks()] == [0, 0.05, 0.2, 0.5, 1]


def shown(figure):
    """(title, first pixels) of each image of a grid."""
    return [(axes.get_title(), axes.images[0].get_array().tolist()) for axes in figure.axes if axes.images]


def test_the_mistakes_of_most_confidence_come_first():
    loader = Certain((0, 1, 1), (5, 5, 9), (2, 3, 3), (4, 6, 2), (7, 8, 3))
    figure = plots.plot_mistakes(loader.net, loader, num=3)
    share = {logit: numpy.exp(logit) / (numpy.exp(logit) + 9) for logit in (2, 3)}
    assert [title for title, _ in shown(figure)] == [f'dress {share[3]:.2f}\ntrue: pullover',
                                                     f'bag {share[3]:.2f}\ntrue: sneaker',
                                                     f'shirt {share[2]:.2f}\ntrue: coat']
    assert [image for _, image in shown(figure)] == loader.images[[2, 4, 3]].tolist()
    assert figure._suptitle.get_text() == ('4 mistakes in 5 images; the 3 most confident,\n'
                                           'with the probability given to the wrong class')
    assert figure._supxlabel.get_text() == 'drawn by hand'


@pytest.mark.parametrize('count, shape', [(1, (1, 1)), (6, (1, 6)), (7, (2, 4)), (12, (2, 6)), (13, (2, 6))])
def test_mistakes_stand_in_rows_of_six_and_are_twelve_at_most(count, shape):
    loader = Certain(*[(0, 1, 1)] * count)
    axes = plots.plot_mistakes(loader.net, loader).axes
    grid = axes[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == shape and sum(bool(one.images) for one in axes) == min(count, 12)
    assert not any(one.axison for one in axes)


def test_a_title_above_few_mistakes_is_small_enough_for_them():
    sizes = []
    for count in (3, 4):
        loader = Certain(*[(0, 1, 1)] * count)
        sizes.append(plots.plot_mistakes(loader.net, loader)._suptitle.get_fontsize())
    assert sizes[0] == 11 < sizes[1]


def test_images_that_are_not_those_of_the_batches_are_refused():
    loader = Certain((0, 1, 1), (0, 1, 1))
    loader.images, images = loader.images[:1], loader.images
    loader.__class__ = type('Longer', (Certain,), {'__iter__': lambda self: iter(
        [(mx.nd.array(images[:, None]), mx.nd.array(self.labels, dtype='int32'))])})
    with pytest.raises(ValueError, match='data_iter.images holds 1 images but its batches 2'):
        plots.plot_mistakes(loader.net, loader)
    with pytest.raises(ValueError, match='this list has no images'):
        plots.plot_mistakes(loader.net, [])


def test_a_data_set_without_a_name_is_said_to_have_none():
    loader = Certain((0, 1, 1))
    loader.source = None
    assert plots.plot_mistakes(loader.net, loader)._supxlabel.get_text() == 'data set not named by the iterator'


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
    figure = plots.plot_images(numpy.zeros((2, 28, 28)), numpy.array(['cat', 'dog'], dtype=object))
    assert 'cat' in texts(figure)
    with pytest.raises(ValueError, match='0 to 9'):
        plots.plot_images(numpy.zeros((1, 28, 28)), [10])
    with pytest.raises(ValueError, match='images must have the shape'):
        plots.plot_images(numpy.zeros((28, 28)), [1])


@pytest.mark.parametrize('count, rows, shape', [(1, 2, (1, 1)), (4, 2, (2, 2)), (5, 2, (2, 3)), (5, 1, (1, 5)),
                                                (3, 3, (3, 1)), (2, 9, (2, 1))])
def test_images_fill_their_rows(count, rows, shape):
    figure = plots.plot_images(numpy.arange(4 * count).reshape(count, 2, 2), list('abcdefghi')[:count], rows)
    grid = figure.axes[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == shape
    assert [title for title, _ in shown(figure)] == list('abcdefghi')[:count]
    assert [image[0][0] for _, image in shown(figure)] == [*range(0, 4 * count, 4)]
    assert figure.get_size_inches() == pytest.approx((max(1.75 * shape[1], 4.5), 2.15 * shape[0] + 0.7))
    assert all(axes.images[0].get_cmap().name == 'gray_r' for axes in figure.axes if axes.images)     # dark on light


@pytest.mark.parametrize('labels, title', [([0], '1 image of 1 class'), ([0, 0], '2 images of 1 class'),
                                           ([0, 1, 0], '3 images of 2 classes')])
def test_images_and_classes_are_counted(labels, title):
    images = numpy.zeros((len(labels), 1, 2, 2))
    assert plots.plot_images(images, labels)._suptitle.get_text() == title
    assert plots.plot_images(images, labels, title='boots')._suptitle.get_text() == 'boots'
    assert len(plots.plot_images(numpy.zeros((3, 2, 2)), [0, 1, 2]).axes) == 4          # two rows


@pytest.mark.parametrize('images, labels, words', [
    (numpy.zeros((0, 2, 2)), [], 'with n at least 1'), (numpy.zeros((1, 2, 2, 2)), [0], 'images must have the shape'),
    (numpy.zeros((2, 2, 2)), [0], 'one label for each of the 2 images'), (numpy.zeros((1, 2, 2)), [-1], '0 to 9'),
    (numpy.zeros((1, 2, 2)), [1.5], '0 to 9'), (numpy.zeros((1, 2, 2)), [10], '0 to 9 or strings, got 10'),
    ([[[1], [2, 3]]], [0], 'images must hold numbers'), (numpy.zeros((1, 2, 2)), [[1], [1, 2]], 'labels must hold'),
    ([['a']], [0], 'images must hold numbers')])
def test_images_that_cannot_be_shown(images, labels, words):
    with pytest.raises(ValueError, match=words):
        plots.plot_images(images, labels)


def test_all_ten_classes_have_their_names():
    """The table of https://github.com/zalandoresearch/fashion-mnist, in the spelling of d2l."""
    figure = plots.plot_images(numpy.zeros((10, 2, 2)), range(10))
    assert [title for title, _ in shown(figure)] == ['t-shirt/top', 'trouser', 'pullover', 'dress', 'coat', 'sandal',
                                                     'shirt', 'sneaker', 'bag', 'ankle boot']


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


def test_feature_reuse_in_rows_with_few_digits_fits_a_page():
    maps = {name: 100 * reuse_map(6) for name in 'abcde'}
    figure = plots.plot_feature_reuse(maps, rows=2, digits=2)
    *panels, _ = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in panels] == list('abcde')
    assert [axes.get_xlabel() != '' for axes in panels] == [False, False, True, True, True]
    assert [axes.get_ylabel() != '' for axes in panels] == [True, False, False, True, False]
    assert all('.' not in text.get_text() for axes in panels for text in axes.texts)
    wide = plots.plot_feature_reuse({name: maps[name] for name in 'abc'})
    assert figure.get_figwidth() < 10 < wide.get_figwidth()


@pytest.mark.parametrize('largest, digits, written', [
    (1, 3, '1.00'), (9.99, 3, '9.99'), (12.3456, 3, '12.3'), (123.456, 3, '123'), (12345.6, 3, '12346'),
    (0.12345, 3, '0.123'), (0.0123456, 3, '0.0123'), (0.00123456, 3, '0.0012'), (0.000123456, 3, '1.23e-04'),
        (0.000123456, 1, '1e-04'), (3.456, 1, '3'), (3.456, 2, '3.5'),
    (-0.5, 3, '-0.500'), (0, 3, '0')])
def test_numbers_have_as_many_digits_as_asked_for_and_four_decimals_at_most(largest, digits, written):
    figure = plots.plot_feature_reuse([[largest]], digits=digits)
    assert [text.get_text() for text in figure.axes[0].texts] == [written]
    assert figure._suptitle.get_text() == f'largest mean absolute weight: {written}, from x0 to layer 1'


@pytest.mark.parametrize('values, limits', [([[2]], (2, 3)), ([[0]], (0, 1)), ([[-3, 0], [1, 2]], (-3, 2))])
def test_the_scale_of_feature_reuse_goes_from_the_smallest_to_the_largest(values, limits):
    assert plots.plot_feature_reuse(values).axes[0].images[0].get_clim() == limits


@pytest.mark.parametrize('shapes, options, size', [
    ([1], {}, (6.4, 3.1)), ([12], {}, (10.46, 8.6)), ([6, 3], {}, (9.52, 5.6)), ([6, 3], {'rows': 2}, (6.4, 9.7)),
    ([6, 6, 6], {'digits': 2}, (9, 4.4)), ([6, 2, 3, 12], {'rows': 2}, (15.64, 15.7))])
def test_a_map_is_as_large_as_its_numbers_need(shapes, options, size):
    maps = {f'block {number}': reuse_map(layers) for number, layers in enumerate(shapes)}
    assert plots.plot_feature_reuse(maps, **options).get_size_inches() == pytest.approx(size)


@pytest.mark.parametrize('count, rows, below, left', [
    (6, 2, [3, 4, 5], [0, 3]), (5, 2, [2, 3, 4], [0, 3]), (4, 4, [3], [0, 1, 2, 3]), (3, 1, [0, 1, 2], [0])])
def test_the_lowest_and_the_leftmost_maps_have_the_labels(count, rows, below, left):
    maps = {str(number): reuse_map(2) for number in range(count)}
    panels = plots.plot_feature_reuse(maps, rows=rows).axes[:count]
    assert [i for i, axes in enumerate(panels) if axes.get_xlabel() == 'layer that reads'] == below
    assert [i for i, axes in enumerate(panels) if axes.get_ylabel() == 'what it reads'] == left


def test_more_rows_than_maps_are_not_made():
    assert len(plots.plot_feature_reuse({'a': reuse_map(2), 'b': reuse_map(2)}, rows=5).axes) == 3      # and the scale


def test_the_largest_number_is_found_in_any_map():
    figure = plots.plot_feature_reuse({'one': reuse_map(3), 'two': reuse_map(4)})
    assert figure._suptitle.get_text() == 'largest mean absolute weight: 3.30, from x3 to layer 4 (two)'
    assert plots.plot_feature_reuse(reuse_map(2))._suptitle.get_text().endswith('from x1 to layer 2')


@pytest.mark.parametrize('option', [{'power': -1}, {'power': 0}, {'digits': 0}, {'rows': 0}])
def test_options_of_feature_reuse_that_make_no_sense(option):
    with pytest.raises(ValueError, match=[*option][0]):
        plots.plot_feature_reuse(reuse_map(2), **option)


def test_the_scale_of_feature_reuse_can_spread_small_numbers():
    values = numpy.array([[100, 0], [1, 0]])
    plain, spread = (plots.plot_feature_reuse(values, power=power).axes[0].images[0].norm for power in (1, 0.5))
    assert [plain(1), spread(1), spread(100)] == pytest.approx([0.01, 0.1, 1])


@pytest.mark.parametrize('power', [0.5, 1])
def test_feature_reuse_can_be_told_apart_in_grey_and_read_in_each_cell(power):
    """The scale rises in lightness from end to end, and each number stands out from its cell."""
    axes = plots.plot_feature_reuse(numpy.linspace(-1, 3, 144).reshape(12, 12), power=power).axes[0]
    picture = axes.images[0]

    def lightness(color):
        linear = numpy.array(color[:3]) ** 2.2
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


def test_feature_maps_are_shown_row_by_row_on_a_scale_of_their_own():
    maps = numpy.arange(3 * 4 * 5, dtype=float).reshape(3, 4, 5)
    figure = plots.plot_feature_maps({'x0': maps, 'x1': 100 * maps[:1]}, 'a boot', most=2)
    rows = [[axis.images[0].get_array() for axis in line if axis.images] for line in
            (figure.axes[:2], figure.axes[2:])]
    assert [len(row) for row in rows] == [2, 1]
    numpy.testing.assert_allclose(rows[0][0], rows[1][0])
    numpy.testing.assert_allclose([rows[0][1].mean(), rows[0][1].std()], [0, 1], atol=1e-12)
    with pytest.raises(ValueError, match=r'\(C, H, W\)'):
        plots.plot_feature_maps({'x0': maps[0]}, 'a boot')


def test_feature_maps_stand_beside_their_names_in_cells_of_one_size():
    rows = {'$x_0$': numpy.random.rand(8, 3, 3), '$x_1$': numpy.random.rand(2, 3, 3)}
    figure = plots.plot_feature_maps(rows, 'a boot', data='drawn')
    grid = figure.axes[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == (2, 6)               # six at most, by default
    assert figure.get_size_inches() == pytest.approx((1.15 * 6 + 0.8, 1.15 * 2 + 0.9))
    assert [bool(axes.images) for axes in figure.axes] == [True] * 8 + [False] * 4
    assert [axes.get_ylabel() for axes in figure.axes] == ['$x_0$', *[''] * 5, '$x_1$', *[''] * 5]
    assert figure.axes[0].yaxis.label.get_rotation() == 0 and figure.axes[0].yaxis.label.get_fontsize() == 15
    for axes in figure.axes:
        assert not len(axes.get_xticks()) and not len(axes.get_yticks())
        assert not any(spine.get_visible() for spine in axes.spines.values())
        assert all(picture.get_clim() == (-2.5, 2.5) and picture.get_cmap().name == 'gray' for picture in axes.images)
    assert figure._suptitle.get_text() == 'a boot' and figure._supxlabel.get_text() == 'drawn'


def test_a_map_of_one_value_is_grey():
    picture = plots.plot_feature_maps({'x0': numpy.full((1, 2, 2), 7.0)}, 'a boot').axes[0].images[0]
    assert picture.get_array().tolist() == [[0, 0], [0, 0]] and to_hex(picture.to_rgba([[0]])[0, 0]) == '#808080'


@pytest.mark.parametrize('features, options, words', [
    ({}, {}, 'empty'),
    ({'x': numpy.zeros((2, 2))}, {}, r"features\['x'\] must have the shape \(C, H, W\), got \(2, 2\)"),
    ({'x': numpy.zeros((0, 2, 2))}, {}, r'\(0, 2, 2\)'), ({'x': numpy.zeros((1, 2, 2))}, {'most': 0}, 'most must be')])
def test_feature_maps_that_cannot_be_shown(features, options, words):
    with pytest.raises(ValueError, match=words):
        plots.plot_feature_maps(features, 'a boot', **options)
