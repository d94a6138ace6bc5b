"""How the figures of the course look, and what they say in words; what the other modules of `plots` share."""

import itertools
import re
import sys
import warnings
from contextlib import contextmanager

import mxnet as mx
import numpy
from matplotlib import pyplot
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from .._common.arguments import show

__all__ = ['DENSENET', 'RESNET', 'describe', 'style']

# One color for each network in every figure. Blue, vermilion and green are those of Okabe and Ito; the vermilion is
# darker and their paler colors are replaced, so that all stand out from white on a projector, and those used together
# differ for readers with red-green color blindness too. tests/plots/test_look.py has the limits.
RESNET = '#C44F00'
DENSENET = '#0072B2'
FURTHER = ('#009E73', '#5F27CD', '#000000', '#B88500')
GRAY = '#555555'

#: Where a legend stands that has no room in the axes.
BESIDE = {'loc': 'center left', 'bbox_to_anchor': (1, 0.5)}


@contextmanager
def style():
    """Context in which every figure of the course is made: ``with style(): ...``, or ``@style()`` on a function.

    It sets all of matplotlib's ``rcParams`` that say how a figure looks, and restores them at the end. In a notebook,
    the figures shown from then on carry their alternative text (`describe`) in the metadata of the output, from which
    the site makes the ``alt``.

    Examples
    --------
    >>> from matplotlib import rcParams
    >>> with style():
    ...     rcParams['figure.constrained_layout.use']
    True
    """
    shell = sys.modules['IPython'].get_ipython() if 'IPython' in sys.modules else None
    if shell is not None:
        shell.display_formatter.mimebundle_formatter.for_type(
            Figure, lambda figure: ({}, {'image/png': {'alt': describe(figure)}} if describe(figure) else {}))
    with pyplot.style.context(['default', {
            'figure.dpi': 100, 'savefig.dpi': 100, 'figure.facecolor': 'white', 'figure.constrained_layout.use': True,
            'figure.constrained_layout.h_pad': 0.09, 'figure.constrained_layout.w_pad': 0.07,
            'font.family': 'sans-serif', 'font.sans-serif': ['DejaVu Sans'], 'font.size': 13,
            'axes.titlesize': 14, 'axes.labelsize': 13, 'axes.spines.top': False, 'axes.spines.right': False,
            'axes.grid': False, 'grid.color': '#dddddd', 'axes.axisbelow': True,
            'lines.linewidth': 2.2, 'lines.markersize': 7, 'legend.frameon': False}]):
        yield


def describe(figure):
    """Alternative text of a figure: what its titles, axes, legends and captions say, as one line.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        If it has a label, set by ``figure.set_label('...')``, that is its text.

    Examples
    --------
    >>> from d2l_densenet import draw_chain
    >>> describe(draw_chain(3))
    'plain chain: 3 layers, 3 connections. A row x0, H1, x1, H2, ...: each layer H reads only the features before it.'
    """
    if not isinstance(figure, Figure):
        raise TypeError(f'figure must be a matplotlib.figure.Figure, got {show(figure)}')
    if figure.get_label():
        return str(figure.get_label())
    title, caption = ('' if text is None else text.get_text() for text in (figure._suptitle, figure._supxlabel))
    shared = any(axes.axison and axes.get_ylabel() for axes in figure.axes)
    panels = []
    for axes in figure.axes:
        x, y = (axes.get_xlabel(), axes.get_ylabel()) if axes.axison else ('', '')
        legend = axes.get_legend()
        lines = [text.get_text() for text in legend.get_texts()] if legend else []
        # Panels beside the first often leave out the label of the shared axis: theirs says nothing new.
        units = f'{y} against {x}' if x and y else y or ('' if shared else x)
        panels.append(': '.join(part for part in [axes.get_title(), units, ', '.join(lines)] if part))
    if not any(axes.axison for axes in figure.axes):
        # Images with their captions: one list.
        groups = [(name, len(list(same))) for name, same in itertools.groupby(panels)]
        panels = [', '.join(f'{name} ({count} times)' if count > 1 else name for name, count in groups if name)]
    text = '. '.join(part for part in [title, *panels, caption] if part)
    return re.sub(r'\s+', ' ', re.sub(r'[$\\{}]', '', text)).strip()


def new_figure(width, height, rows=1, columns=1, **options):
    """A figure of `width` x `height` inches and its axes; matplotlib.pyplot forgets it at once."""
    figure, axes = pyplot.subplots(rows, columns, figsize=(width, height), **options)
    # Closed figures can still be saved and shown. An open one would be shown a second time at the end of a
    # notebook's cell, and would stay in memory.
    pyplot.close(figure)
    return figure, axes


def finished(figure, finding, caption=None, **options):
    """The figure with what it shows as its title, and below it which data set, or what else, it is about."""
    if finding is not None:
        figure.suptitle(finding, **options)
    if caption is not None:
        figure.supxlabel(str(caption), fontsize=11, color=GRAY)
    return figure


def colors(labels):
    """One color for each label: the first that names ResNet or DenseNet gets the color of that network."""
    names = [str(label).lower() for label in labels]
    first = {kind: next((number for number, name in enumerate(names) if kind in name), None)
             for kind in ('densenet', 'resnet')}
    own = {first['densenet']: DENSENET, first['resnet']: RESNET}
    free = itertools.chain([DENSENET] if first['densenet'] is None else [], FURTHER, itertools.repeat(GRAY))
    return [own.get(number) or next(free) for number in range(len(names))]


def tint(color):
    """The color mixed with white, two parts in three."""
    return tuple(1 - (1 - part) / 3 for part in to_rgb(color))


def plural(count, noun, ending='s'):
    """'1 image', '2 images'."""
    return f'{count:,} {noun}{ending if count != 1 else ""}'


def labeled(name, entries, what):
    """Return `entries` if it is a dict of at least one label to `what`, else raise TypeError or ValueError."""
    if not isinstance(entries, dict):
        raise TypeError(f'{name} must be a dict of label to {what}, got {show(entries)}')
    if not entries:
        raise ValueError(f'{name} must hold at least one {what}, got an empty dict')
    return entries


def an_array(name, values, kinds='biuf'):
    """A list, NumPy or MXNet array as a NumPy array, by default of numbers; else ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # before NumPy 1.24: of rows of several lengths
            found = values.asnumpy() if isinstance(values, mx.nd.NDArray) else numpy.asarray(values)
            if found.dtype == object:  # pandas keeps texts so
                found = numpy.asarray(found.tolist())
    except ValueError:  # since then
        found = None
    if found is None or found.dtype.kind not in kinds:
        raise ValueError(f'{name} must hold numbers, got {show(values)}')
    return found
