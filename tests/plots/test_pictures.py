"""Images and maps: that each stands where it belongs, under its name."""

import numpy
import pytest
from helpers import MODES, switch
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
