"""How the figures look: legible on a projector, to the color-blind, and in words. That they please was looked at."""

import io
import itertools

import matplotlib.style
import numpy
import pytest
from helpers import ROOT, switch
from matplotlib.colors import to_rgb, to_rgba
from plot_samples import FIGURES, Loader, column_reader, costs, memory, reuse_map

from d2l_densenet import plots

# Beside a figure of each kind, the smallest and the largest.
EXTREMES = {
    'six mistakes': lambda: plots.plot_mistakes(column_reader('nd', swap=[(i, 9) for i in range(6)]), Loader()),
    'smallest map': lambda: plots.plot_feature_reuse(reuse_map(1)),
    'largest map': lambda: plots.plot_feature_reuse(reuse_map(12)),
    'three maps': lambda: plots.plot_feature_reuse({f'dense block {i}': reuse_map(6) for i in (1, 2, 3)}, data='a net'),
    'small maps': lambda: plots.plot_feature_reuse(dict.fromkeys('abcdef', 100 * reuse_map(6)), rows=2, digits=2),
    'smallest block': lambda: plots.draw_dense_block(1), 'smallest chain': lambda: plots.draw_chain(1),
    'large block': lambda: plots.draw_dense_block(8),
    'densenet121': lambda: plots.plot_channels({'growth_rate': 12, 'block_config': (6, 12, 24, 16)}, (224, 224)),
    'equal costs': lambda: plots.plot_accuracy({'ResNet': (costs(3, 9), [0.9, 0.91]),
                                                'DenseNet, same work': (costs(3, 9), [0.9])}),
    'one depth': lambda: plots.plot_memory(memory(6), memory(6)),
    'two networks': plots.plot_stages,
    'three networks': lambda: plots.plot_stages('resnet110', 'densenet_bc_100_12', 'article')}


@pytest.mark.parametrize('name', [*FIGURES, *EXTREMES])
def test_no_text_is_cut_off(name):
    switch('nd')
    figure = {**FIGURES, **EXTREMES}[name]()
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


def test_the_readers_style_does_not_change_a_figure():
    with matplotlib.style.context('dark_background'):
        figure = plots.draw_dense_block(3)
    texts = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, *axes.texts)]
    assert to_rgba(figure.get_facecolor()) == (1, 1, 1, 1) and all(to_rgba(text.get_color())[:3] != (1, 1, 1)
                                                                   for text in texts)


def test_the_style_is_that_of_the_course():
    """So that figures made at different times stand side by side in one size."""
    from matplotlib import rcParams
    with plots.style():
        found = {name: rcParams[name] for name in (
            'figure.dpi', 'savefig.dpi', 'font.size', 'axes.titlesize', 'axes.labelsize', 'lines.linewidth',
            'lines.markersize')}
        spines = [rcParams[f'axes.spines.{side}'] for side in ('left', 'bottom', 'top', 'right')]
        padding = [rcParams[f'figure.constrained_layout.{side}_pad'] for side in 'wh']
        assert rcParams['axes.axisbelow'] is True and not rcParams['axes.grid'] and not rcParams['legend.frameon']
    assert found == {'figure.dpi': 100, 'savefig.dpi': 100, 'font.size': 13, 'axes.titlesize': 14, 'axes.labelsize': 13,
                     'lines.linewidth': 2.2, 'lines.markersize': 7}
    assert spines == [True, True, False, False] and all(0.05 < inches < 0.1 for inches in padding)


# Width and height in inches.
SIZES = {'history': (13, 4.4), 'confusions': (9.5, 8.4), 'mistakes': (4.5, 2.85), 'images': (4.5, 5),
         'block': (8.8, 3.96), 'growth': (7.5, 7), 'feature maps': (7.7, 3.2), 'live': (7.5, 4.4), 'chain': (8.8, 2.1),
         'add': (11, 4.8), 'channels': (9, 5), 'accuracy': (12, 4.8), 'network': (8.6, 10.6), 'memory': (12, 4.8),
         'stages': (10.4, 6.4)}


@pytest.mark.parametrize('name', FIGURES)
def test_figures_have_their_sizes(name):
    switch('nd')
    figure = FIGURES[name]()
    assert figure.get_size_inches() == pytest.approx(SIZES[name])
    assert type(figure.get_layout_engine()).__name__ == 'ConstrainedLayoutEngine'       # it was drawn in the style


@pytest.mark.parametrize('labels, expected', [
    (['ResNet-18', 'DenseNet', 'plain'], ['RESNET', 'DENSENET', 0]),
    (['plain', 'DENSENET', 'resnet'], [0, 'DENSENET', 'RESNET']),
    (['DenseNet, wide', 'DenseNet, deep'], ['DENSENET', 0]),            # the second is told apart from the first
    (['ResNet', 'ResNet, wide', 'other'], ['RESNET', 'DENSENET', 0]),   # without a DenseNet its color is free
    ([1, 2, 3], ['DENSENET', 0, 1]),
    ('abcdefg', ['DENSENET', 0, 1, 2, 3, 'GRAY', 'GRAY'])])
def test_each_network_keeps_its_color(labels, expected):
    shown = [plots.look.FURTHER[one] if isinstance(one, int) else getattr(plots.look, one) for one in expected]
    assert plots.look.colors(labels) == shown


def test_a_tint_is_one_third_color_and_two_thirds_white():
    assert plots.look.tint('black') == pytest.approx([2 / 3] * 3)
    assert plots.look.tint('#ff0000') == pytest.approx([1, 2 / 3, 2 / 3])


@pytest.mark.parametrize('count, words', [(0, '0 epochs'), (1, '1 epoch'), (2, '2 epochs'), (1500, '1,500 epochs')])
def test_nouns_are_in_the_plural_but_for_one(count, words):
    assert plots.look.plural(count, 'epoch') == words
    assert plots.look.plural(2, 'class', 'es') == '2 classes'


def linear(color):
    parts = numpy.array(to_rgb(color))
    return numpy.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(color, ground='white'):
    """Contrast ratio of WCAG 2.2, from 1 to 21."""
    light = sorted(linear(one) @ [0.2126, 0.7152, 0.0722] + 0.05 for one in (color, ground))
    return light[1] / light[0]


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
SIGHTS = {'usual': numpy.eye(3),
          'protanopia': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                         [-0.003882, -0.048116, 1.051998]],
          'deuteranopia': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                           [-0.011820, 0.042940, 0.968881]]}


def difference(one, other, sight):
    """Distance of two colors in CIELAB, as seen; 2.3 can just be noticed side by side."""
    places = []
    for color in (one, other):
        seen = (numpy.array(SIGHTS[sight]) @ linear(color)).clip(0, 1)
        xyz = numpy.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
        x, y, z = (numpy.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz / [0.9505, 1, 1.0888])
        places.append(numpy.array([116 * y - 16, 500 * (x - y), 200 * (y - z)]))
    return numpy.linalg.norm(places[0] - places[1])


def test_contrast_of_known_pairs():
    """WCAG's own examples: black on white has 21, and #777 just misses 4.5."""
    assert contrast('black') == pytest.approx(21)
    assert contrast('#777777') == pytest.approx(4.48, abs=0.01)


def test_colors_stand_out_from_white():
    """4.5 is WCAG's limit for text (level AA), 3 that for lines and marks."""
    for color in (plots.RESNET, plots.DENSENET, plots.look.GRAY):
        assert contrast(color) >= 4.5, color
    for color in (*plots.look.FURTHER, *plots.diagrams.SOURCE_COLORS):
        assert contrast(color) >= 3, color


@pytest.mark.parametrize('sight', SIGHTS)
def test_colors_used_together_can_be_told_apart(sight):
    for group in ([plots.RESNET, plots.DENSENET, *plots.look.FURTHER[:3]], [plots.DENSENET, *plots.look.FURTHER],
                  plots.diagrams.SOURCE_COLORS):
        for one, other in itertools.combinations(group, 2):
            assert difference(one, other, sight) > 25, (one, other)


@pytest.mark.parametrize('name', FIGURES)
def test_text_is_dark_and_large_and_lines_are_wide(name):
    from matplotlib.text import Text
    switch('nd')
    figure = FIGURES[name]()
    for text in figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text().strip()):
        assert text.get_fontsize() >= 11, text
        # The numbers in a confusion matrix stand on its colors, not on white.
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


def panels(*labels):
    """A figure with a panel for each (x label, y label)."""
    from matplotlib.figure import Figure
    figure = Figure()
    for axes, (x, y) in zip(numpy.ravel(figure.subplots(1, len(labels))), labels):
        axes.set(xlabel=x, ylabel=y)
    return figure


@pytest.mark.parametrize('labels, text', [
    ([('x', 'y')], 'y against x'), ([('', 'y')], 'y'), ([('x', '')], 'x'), ([('', '')], ''),
    ([('x', ''), ('z', '')], 'x. z'),
    ([('x', 'y'), ('x', '')], 'y against x')])          # the second shares the first one's axis
def test_alternative_text_has_the_labels_of_the_axes(labels, text):
    assert plots.describe(panels(*labels)) == text


def test_alternative_text_is_in_the_order_of_the_figure_and_without_formatting():
    figure = panels(('epoch', 'loss'), ('', ''))
    first, second = figure.axes
    first.plot([1], label='a net')
    first.plot([2], label='$x_{0}$')
    first.legend()
    first.set_title('left\n  side')
    second.set_title('map')
    second.set_axis_off()
    figure.suptitle('a finding')
    figure.supxlabel('the data')
    assert plots.describe(figure) == 'a finding. left side: loss against epoch: a net, x_0. map. the data'
    figure.set_label('in other words')
    assert plots.describe(figure) == 'in other words'


@pytest.mark.parametrize('wrong', [None, 'figure', 3])
def test_only_figures_are_described(wrong):
    with pytest.raises(TypeError, match='figure must be a matplotlib.figure.Figure, got '):
        plots.describe(wrong)


def test_captions_are_smaller_and_paler_than_titles():
    figure = FIGURES['history']()
    assert figure._suptitle.get_fontsize() > figure._supxlabel.get_fontsize() == 11
    assert figure._supxlabel.get_color() == plots.look.GRAY


def test_legends_beside_the_axes_begin_where_these_end_at_half_their_height():
    figure = FIGURES['history']()
    figure.savefig(io.BytesIO(), format='png')
    axes = figure.axes[1]
    box, legend = axes.get_window_extent(), axes.get_legend().get_window_extent()
    assert 0 <= legend.x0 - box.x1 < 20 and (legend.y0 + legend.y1) / 2 == pytest.approx((box.y0 + box.y1) / 2, abs=1)


def test_alternative_text_lists_images_by_their_captions():
    figure = plots.plot_images(numpy.zeros((4, 2, 2)), [9, 9, 9, 0])
    assert plots.describe(figure) == '4 images of 2 classes. ankle boot (3 times), t-shirt/top'


def test_notebooks_carry_the_alternative_text(monkeypatch):
    """In the metadata of the output, in a real kernel, for a figure that is returned and for one of pyplot."""
    import nbformat
    from nbclient import NotebookClient
    monkeypatch.setenv('MPLBACKEND', 'module://matplotlib_inline.backend_inline')    # what a kernel has by itself
    new = nbformat.v4.new_code_cell
    notebook = nbformat.v4.new_notebook(cells=[
        new('from d2l_densenet import plots\nplots.draw_chain(2)'),
        new('import matplotlib.pyplot as plt\n'
            'with plots.style():\n'
            '    plt.figure(figsize=(5, 2)); plt.plot([1, 2])\n'
            r"    plt.title(r'as $\theta$ falls'); plt.xlabel('x'); plt.ylabel('y')" '\n'
            '    plt.show()')])
    NotebookClient(notebook, timeout=100, resources={'metadata': {'path': str(ROOT)}}).execute()
    first, second = (cell.outputs[-1] for cell in notebook.cells)
    assert 'image/png' in first.data and 'image/png' in second.data
    assert first.metadata['image/png']['alt'].startswith('plain chain: 2 layers, 2 connections.')
    assert second.metadata['image/png']['alt'] == 'as theta falls: y against x'
