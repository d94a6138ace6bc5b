"""Figures of the course: training curves, mistakes, and diagrams of the network.

Every function returns a matplotlib ``Figure`` and shows nothing. In a notebook the figure is shown once, as the
last expression of a cell; elsewhere use ``figure.savefig('name.png')``. matplotlib is imported on the first call.
"""

import itertools
import math
import re
import sys

import mxnet as mx
import numpy

from ._common.arguments import number as finite_number
from ._common.arguments import positive_int, show
from .blocks import DenseBlock
from .network import DenseNet

__all__ = ['DENSENET', 'RESNET', 'describe', 'draw_add_vs_concat', 'draw_chain', 'draw_dense_block', 'plot_accuracy',
           'plot_channels', 'plot_confusion_matrix', 'plot_feature_reuse', 'plot_history', 'plot_images', 'plot_memory',
           'plot_mistakes', 'plot_stages', 'style']

# One colour for each network in every figure. Blue, vermilion and green are those of Okabe and Ito; the vermilion
# is darkened and their paler colours are replaced, so that all stand out from white on a projector and those used
# together stay apart for readers with red-green colour blindness. tests/test_plots.py has the limits.
RESNET = '#C44F00'
DENSENET = '#0072B2'
_FURTHER = ('#009E73', '#5F27CD', '#000000', '#B88500')
_GREY = '#555555'

_MOST_LAYERS = 12


def style():
    """Context in which every figure of the course is made: ``with style(): ...``.

    In a notebook, the figures shown from then on carry their alternative text (`describe`) in the metadata of the
    output. The course's site makes the ``alt`` of its pictures from it; JupyterLab 4.6 does not read it.

    Returns
    -------
    context manager
        Sets matplotlib's ``rcParams`` and puts the former ones back at the end.
    """
    from matplotlib import rc_context

    _give_alternative_text()
    return rc_context({
        'figure.dpi': 100, 'savefig.dpi': 100, 'figure.facecolor': 'white', 'figure.constrained_layout.use': True,
        'figure.constrained_layout.h_pad': 0.09, 'figure.constrained_layout.w_pad': 0.07,
        'font.family': 'sans-serif', 'font.sans-serif': ['DejaVu Sans'], 'font.size': 13,
        'axes.titlesize': 14, 'axes.labelsize': 13, 'axes.spines.top': False, 'axes.spines.right': False,
        'axes.grid': False, 'grid.color': '#dddddd', 'axes.axisbelow': True,
        'lines.linewidth': 2.2, 'lines.markersize': 7, 'legend.frameon': False})


def describe(figure):
    """Alternative text of a figure: what its titles, axes, legends and captions say, as one line.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        A label, set by ``figure.set_label('...')``, is taken instead.

    Returns
    -------
    str
        Empty if the figure has no text.

    Examples
    --------
    >>> describe(draw_chain(3))
    'plain chain: 3 layers, 3 connections. A row x0, H1, x1, H2, ...: each layer H reads only the features before it.'
    """
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        raise TypeError(f'figure must be a matplotlib.figure.Figure, got {show(figure)}')
    if figure.get_label():
        return str(figure.get_label())
    title, caption = ('' if text is None else text.get_text() for text in (figure._suptitle, figure._supxlabel))
    labels = [[axis.label.get_text() if axes.axison else '' for axis in (axes.xaxis, axes.yaxis)]
              for axes in figure.axes]
    panels = []
    for axes, (x, y) in zip(figure.axes, labels):
        legend = axes.get_legend()
        lines = [text.get_text() for text in legend.get_texts()] if legend else []
        # Panels beside the first often leave the label of the shared axis out: theirs says nothing new.
        units = f'{y} against {x}' if x and y else y or ('' if any(y for _, y in labels) else x)
        panels.append(': '.join(part for part in [axes.get_title(), units, ', '.join(lines)] if part))
    if not any(axes.axison for axes in figure.axes):
        # Images with their captions: one list.
        groups = [(name, len(list(same))) for name, same in itertools.groupby(panels)]
        panels = [', '.join(f'{name} ({count} times)' if count > 1 else name for name, count in groups if name)]
    text = '. '.join(part for part in [title, *panels, caption] if part)
    return re.sub(r'\s+', ' ', re.sub(r'[$\\{}]', '', text)).strip()


def _give_alternative_text():
    """Let IPython put the description of each figure that it shows into the metadata of the output."""
    shell = sys.modules['IPython'].get_ipython() if 'IPython' in sys.modules else None
    if shell is None:
        return
    from matplotlib.figure import Figure

    def metadata(figure):
        text = describe(figure)
        return {}, {'image/png': {'alt': text}} if text else {}

    shell.display_formatter.mimebundle_formatter.for_type(Figure, metadata)


def plot_history(history):
    """Loss and accuracy against epochs, in two panels.

    Parameters
    ----------
    history : History or dict of str to History
        What ``fit`` returned, or several with a label for each. The title states the best final test accuracy,
        or training accuracy where no history has a test accuracy.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        If `history` is neither.
    ValueError
        If there is no history, or one without a finished epoch.

    Examples
    --------
    >>> figure = plot_history(history)                                  # doctest: +SKIP
    >>> figure = plot_history({'article': first, 'course': second})     # doctest: +SKIP
    """
    histories = history if isinstance(history, dict) else {'': history}
    if not histories:
        raise ValueError('history must hold at least one History, got an empty dict')
    for label, one in histories.items():
        if not hasattr(one, 'rows') or not hasattr(one, 'data'):
            raise TypeError(f'history must be a History as fit returns it, or a dict of label to History, '
                            f'got {type(one).__name__}{f" under {label!r}" if label else ""}')
        if not one.rows:
            raise ValueError(f'history{f" {label!r}" if label else ""} has no finished epoch: nothing to plot')
        for row in one.rows:
            if not all(isinstance(row.get(name), (int, float)) or name == 'test_acc' and row.get(name, 0) is None
                       for name in ('epoch', 'loss', 'train_acc', 'test_acc')):
                raise ValueError('each row of history must have the numbers epoch, loss, train_acc and test_acc, got '
                                 f'{show(row)}')

    from matplotlib.ticker import MaxNLocator

    with style():
        figure, (loss_axes, accuracy_axes) = _new_figure(11 if len(histories) == 1 else 13, 4.4, columns=2)
        for colour, (label, one) in zip(_colours(histories), histories.items(), strict=False):
            epochs = [row['epoch'] for row in one.rows]
            prefix = f'{label}, ' if label else ''
            loss_axes.plot(epochs, [row['loss'] for row in one.rows], 'o-', color=colour, label=f'{prefix}training')
            accuracy_axes.plot(epochs, [row['train_acc'] for row in one.rows], 'o--', color=colour, mfc='white',
                               label=f'{prefix}training')
            tested = [(row['epoch'], row['test_acc']) for row in one.rows if row['test_acc'] is not None]
            if tested:
                accuracy_axes.plot(*zip(*tested, strict=True), 'o-', color=colour, label=f'{prefix}test')
        longest = max(row['epoch'] for one in histories.values() for row in one.rows)
        for axes, title, unit in ((loss_axes, 'loss', 'cross-entropy (nats per image)'),
                                  (accuracy_axes, 'accuracy', 'accuracy (share of images)')):
            axes.set(title=title, xlabel='epoch', ylabel=unit, xlim=(0.7, longest + 0.3))
            # At least one tick, and only whole epochs, also when there is just one.
            axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
            axes.grid(True)
        loss_axes.legend()
        # Accuracies of several runs leave no free corner.
        accuracy_axes.legend(**{'loc': 'center left', 'bbox_to_anchor': (1, 0.5)} if len(histories) > 1 else {})
        figure.suptitle(_history_finding(histories))
        _caption(figure, ', '.join(dict.fromkeys(str(one.data) for one in histories.values())))
    return figure


def _history_finding(histories):
    tested = any(one.rows[-1]['test_acc'] is not None for one in histories.values())
    key, name = ('test_acc', 'test') if tested else ('train_acc', 'training')
    finals = {label: one.rows[-1] for label, one in histories.items() if one.rows[-1][key] is not None}
    label = max(finals, key=lambda label: finals[label][key])
    row = finals[label]
    epochs = f'{row["epoch"]} epoch{"s" if row["epoch"] > 1 else ""}'
    if len(histories) == 1:
        return f'{label + ": " if label else ""}{name} accuracy {row[key]:.3f} after {epochs}'
    return f'best {name} accuracy at the end: {row[key]:.3f} ({label}, {epochs})'


def _colours(histories):
    """One colour for each label: a network named in the label keeps its own."""
    free = [DENSENET, *_FURTHER]
    chosen = []
    for number, label in enumerate(histories):
        if 'resnet' in str(label).lower() and RESNET not in chosen:
            chosen.append(RESNET)
        elif 'densenet' in str(label).lower() and DENSENET in free:
            chosen.append(free.pop(0))
        else:
            # Keep DENSENET for a label further on that names it.
            waiting = DENSENET in free and any('densenet' in str(name).lower() for name in list(histories)[number:])
            chosen.append(free.pop(1 if waiting else 0) if len(free) > waiting else _GREY)
    return chosen


def plot_accuracy(networks, data=None):
    """Accuracy of several runs of each network against its parameters and against its multiply-adds.

    Parameters
    ----------
    networks : dict of str to (Summary, sequence of float)
        For each label what `summary` returned, and a list of the accuracies (0 to 1) of one or more runs. A label that
        names ResNet or DenseNet gets the colour of its kind.
    data : optional
        The data set's name, such as ``loader.source``, to be written below.

    Returns
    -------
    matplotlib.figure.Figure
        Each run is a small mark, the mean a large one with a line from the lowest to the highest run. Networks of about
        equal cost stand side by side. The title says whether the runs of the best mean lie above all others.

    Raises
    ------
    ValueError
        If there is no network, one without a run, or an accuracy that is none.

    Examples
    --------
    >>> table = summary(DenseNet())                                         # doctest: +SKIP
    >>> figure = plot_accuracy({'DenseNet': (table, [0.93, 0.94, 0.93])})   # doctest: +SKIP
    """
    if not isinstance(networks, dict) or not networks:
        raise ValueError('networks must be a dict of label to (summary of the network, accuracies of its runs), got '
                         f'{show(networks)}')
    for label, entry in networks.items():
        pair = isinstance(entry, (tuple, list)) and len(entry) == 2 and hasattr(entry[0], 'multiply_adds')
        if not isinstance(label, str) or not pair or not isinstance(entry[1], (tuple, list)) or not entry[1]:
            raise ValueError('each entry of networks must be a label with (summary of the network, list of one or more '
                             f'accuracies), got {show(label)}: {show(entry)}')
        for accuracy in entry[1]:
            finite_number(f'each accuracy in networks, here of {label!r},', accuracy, most=1)

    from matplotlib.transforms import ScaledTranslation

    kinds = {'resnet': (RESNET, 'sDP'), 'densenet': (DENSENET, 'o^v'), '': (_GREY, 'Xd*')}
    seen = dict.fromkeys(kinds, 0)
    everything = [run for _, runs in networks.values() for run in runs]
    margin = 0.08 * (max(everything) - min(everything)) or 0.01
    with style():
        figure, both = _new_figure(12, 4.8, columns=2, sharey=True)
        looks = {}
        for label in networks:
            kind = next(kind for kind in kinds if kind in label.lower())
            colour, marks = kinds[kind]
            looks[label] = colour, marks[seen[kind] % len(marks)]
            seen[kind] += 1
        for axes, quantity, unit, xlabel in ((both[0], 'parameters', 1e3, 'trainable parameters (thousands)'),
                                             (both[1], 'multiply_adds', 1e6, 'multiply-adds for one image (millions)')):
            costs = {label: getattr(table, quantity) / unit for label, (table, _) in networks.items()}
            for label, (_, runs) in networks.items():
                # Marks of about equal cost would hide one another: they move aside, by points and not by a cost.
                near = [other for other in costs if abs(costs[other] / costs[label] - 1) < 0.04]
                points = 13 * (near.index(label) - (len(near) - 1) / 2)
                aside = axes.transData + ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
                colour, mark = looks[label]
                x, mean = costs[label], sum(runs) / len(runs)
                axes.plot([x, x], [min(runs), max(runs)], color=colour, lw=1.5, transform=aside)
                axes.plot([x] * len(runs), runs, '_', color=colour, markersize=11, transform=aside)
                axes.plot([x], [mean], mark, color=colour, markersize=9, transform=aside, label=label, gid=label)
            axes.set(xlabel=xlabel, xlim=(0, 1.12 * max(costs.values())))
            axes.grid(True)
        # Artists that are moved aside do not set the limits.
        both[0].set(ylabel='accuracy (share of images)', ylim=(min(everything) - margin, max(everything) + margin))
        both[1].legend(loc='center left', bbox_to_anchor=(1, 0.5))
        figure.suptitle(_accuracy_finding({label: runs for label, (_, runs) in networks.items()}))
        _caption(figure, data)
    return figure


def _accuracy_finding(runs):
    best = max(runs, key=lambda label: sum(runs[label]) / len(runs[label]))
    finding = f'highest mean: {best}, {sum(runs[best]) / len(runs[best]):.3f}'
    others = [label for label in runs if label != best]
    if not others:
        return finding
    if min(len(values) for values in runs.values()) == 1:
        return f'{finding}; from one run nobody knows the spread'
    overlapping = [label for label in others if max(runs[label]) >= min(runs[best])]
    return finding + (f'; its runs overlap with those of {", ".join(overlapping)}' if overlapping
                      else ', each run above all runs of the others')


def plot_confusion_matrix(net, data_iter, ctx=None):
    """How often images of each class were taken for each class.

    Parameters
    ----------
    net : mxnet.gluon.Block
        A trained classifier.
    data_iter : iterable of (X, y)
        Usually the test loader of ``load_data_fashion_mnist``.
    ctx : mxnet.Context, optional
        Device; by default the one the network is on.

    Returns
    -------
    matplotlib.figure.Figure
        Counts in the cells; colour is the share of the true class. The title names the most frequent confusion.
    """
    from .training import predict

    probabilities, labels = predict(net, data_iter, ctx)
    classes = probabilities.shape[1]
    names = _class_names(classes)
    counts = numpy.zeros((classes, classes), dtype='int64')
    numpy.add.at(counts, (labels.astype('int64'), probabilities.argmax(axis=1)), 1)
    wrong = counts - numpy.diag(counts.diagonal())
    if wrong.any():
        true, taken = numpy.unravel_index(wrong.argmax(), wrong.shape)
        finding = f'most frequent mistake: {names[true]} taken for {names[taken]}, ' \
                  f'{wrong[true, taken]:,} of {counts[true].sum():,}'
    else:
        finding = f'no mistakes in {len(labels):,} images'

    from matplotlib.colors import PowerNorm

    with style():
        figure, axes = _new_figure(9.5, 8.4)
        shares = counts / numpy.maximum(counts.sum(axis=1, keepdims=True), 1)
        # The square root lets the few mistakes show beside the many right answers.
        picture = axes.imshow(shares, cmap='Blues', norm=PowerNorm(0.5, vmin=0, vmax=1))
        for row in range(classes):
            for column in range(classes):
                if counts[row, column]:
                    axes.text(column, row, f'{counts[row, column]}', ha='center', va='center', fontsize=11,
                              color='white' if shares[row, column] > 0.35 else 'black')
        axes.set_xticks(range(classes), names, rotation=45, ha='right', rotation_mode='anchor')
        axes.set_yticks(range(classes), names)
        axes.set(xlabel='predicted class', ylabel='true class')
        bar = figure.colorbar(picture, ax=axes, shrink=0.8, ticks=[0, 0.05, 0.2, 0.5, 1])
        bar.set_label('share of the images of the true class')
        figure.suptitle(finding)
        _caption(figure, _source(data_iter))
    return figure


def plot_memory(counted, measured):
    """Memory of a training step against the number of layers: counted on the left, measured on the right.

    Parameters
    ----------
    counted, measured : dict of str to list of (int, number)
        For each way of training its rows: the number of layers, at least 1, and bytes, at least 0. Rows for three or
        more depths get the polynomial of degree 2 that is nearest to them; its term in L^2 says how memory grows.

    Returns
    -------
    matplotlib.figure.Figure
        Megabytes of 10^6 bytes. The title compares the deepest measured with the shallowest.

    Raises
    ------
    TypeError
        If an argument is no dict.
    ValueError
        If one is empty, or holds a row that is no such pair.

    Examples
    --------
    >>> rows = {'ordinary': [(6, 20e6), (12, 80e6), (24, 320e6)]}
    >>> figure = plot_memory(rows, rows)
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'ordinary: $0.56 L^2$'
    """
    counted, measured = _memory_rows('counted', counted), _memory_rows('measured', measured)

    from matplotlib.ticker import MaxNLocator

    with style():
        figure, panels = _new_figure(12, 4.8, columns=2)
        ways = {**counted, **measured}
        colours = dict(zip(ways, _colours(ways), strict=True))
        for axes, title, unit, table in (
                (panels[0], 'counted', 'kept for the backward pass (MB)', counted),
                (panels[1], 'measured', 'peak of one training step (MB)', measured)):
            for label, rows in table.items():
                layers, sizes = (numpy.array(column, dtype=float) for column in zip(*rows, strict=True))
                colour, name = colours[label], label
                if len(set(layers)) >= 3:
                    fit = numpy.polyfit(layers, sizes, 2)
                    grid = numpy.linspace(min(layers), max(layers), 100)
                    axes.plot(grid, numpy.polyval(fit, grid), color=colour)
                    name = f'{label}: ${_polynomial(fit, max(layers))}$'
                axes.plot(layers, sizes, 'o', color=colour, label=name)
            axes.set(title=title, xlabel='layers $L$', ylabel=unit, xlim=(0, None), ylim=(0, None))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(True)
            axes.legend(fontsize=12)
        figure.suptitle(_memory_finding(measured))
    return figure


def _memory_rows(name, rows):
    """The rows of each way, in megabytes and in the order of depth."""
    if not isinstance(rows, dict):
        raise TypeError(f'{name} must be a dict of label to rows (layers, bytes), got {type(rows).__name__}')
    if not rows:
        raise ValueError(f'{name} must hold the rows of at least one way of training, got an empty dict')
    found = {}
    for label, pairs in rows.items():
        try:
            pairs = [(layers, float(size)) for layers, size in pairs]
            good = pairs and all(layers == int(layers) >= 1 and 0 <= size < math.inf for layers, size in pairs)
        except (TypeError, ValueError, OverflowError):
            good = False
        if not good:
            raise ValueError(f'{name} must hold rows (layers, bytes), such as (12, 8e6), under each label, got '
                             f'{show(rows[label])} under {label!r}')
        found[label] = sorted((layers, size / 1e6) for layers, size in pairs)
    return found


def _polynomial(fit, deepest):
    """'0.26 L^2 + 1.2 L + 9'; terms that make no difference at the deepest are left out."""
    text = ''
    for factor, exponent, power in zip(fit, (2, 1, 0), (' L^2', ' L', '')):
        digits = f'{float(f"{abs(factor):.2g}"):g}'
        if abs(factor) > 0.005 or abs(factor) * deepest ** exponent > 0.02 * abs(numpy.polyval(fit, deepest)):
            text += (' + ' if factor > 0 else ' - ') + digits + power
    return text.removeprefix(' + ').strip() or '0'


def _memory_finding(measured):
    """How many times the memory of the shallowest the deepest has, in each way, if all have the same depths."""
    depths = {(rows[0][0], rows[-1][0]) for rows in measured.values()}
    (low, high), *others = depths
    if others or low == high or not all(rows[0][1] for rows in measured.values()):
        return 'peak memory of one training step: ' + ', '.join(
            f'{label} {rows[-1][1]:.0f} MB' for label, rows in measured.items())
    return f'{high / low:.3g} times the layers need more memory: ' + ', '.join(
        f'{label} {rows[-1][1] / rows[0][1]:.1f} times' for label, rows in measured.items())


def plot_mistakes(net, data_iter, num=12, ctx=None):
    """The mistakes of which the network was most confident, as images with both labels.

    Parameters
    ----------
    net : mxnet.gluon.Block
        A trained classifier.
    data_iter : ImageLoader
        A loader that does not shuffle, such as the test loader: its ``images`` must be in the order of its batches.
    num : int, >= 1, default 12
        Mistakes to show, at most.
    ctx : mxnet.Context, optional
        Device; by default the one the network is on.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If `num` is not a positive integer, or the loader shuffles or has no images of its own.
    """
    from .training import predict

    positive_int('num', num)
    images = getattr(data_iter, 'images', None)
    if images is None or getattr(data_iter, 'shuffle', False):
        raise ValueError(f'data_iter must be a loader with an attribute images in the order of its batches, such as '
                         f'the test loader of load_data_fashion_mnist; this {type(data_iter).__name__} '
                         f'{"has no images" if images is None else "shuffles"}')
    probabilities, labels = predict(net, data_iter, ctx)
    if len(images) != len(labels):
        raise ValueError(f'data_iter.images holds {len(images)} images but its batches {len(labels)}')
    names = _class_names(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = numpy.flatnonzero(predicted != labels)
    chosen = wrong[numpy.argsort(-confidence[wrong], kind='stable')][:num]

    with style():
        if not len(chosen):
            figure, axes = _new_figure(6, 2)
            axes.set_axis_off()
            axes.text(0.5, 0.5, f'no mistakes in {len(labels):,} images', ha='center', va='center', fontsize=16)
        else:
            captions = [f'{names[predicted[i]]} {confidence[i]:.2f}\ntrue: {names[labels[i]]}' for i in chosen]
            figure = _image_grid([images[i] for i in chosen], captions, rows=-(-len(chosen) // 6))
            mistakes = 'mistake' if len(wrong) == 1 else 'mistakes'
            figure.suptitle(f'{len(wrong):,} {mistakes} in {len(labels):,} images; the {len(chosen)} most confident,\n'
                            'with the probability given to the wrong class',
                            fontsize='large' if len(chosen) > 3 else 11)
        _caption(figure, _source(data_iter))
    return figure


def plot_images(images, labels, rows=2, title=None, data=None):
    """A grid of images with their class names.

    Parameters
    ----------
    images : array (n, H, W) or (n, 1, H, W)
        NumPy or MXNet, n at least 1.
    labels : sequence of n integers or strings
        Integers 0 to 9 are shown as the class names of Fashion-MNIST.
    rows : int, >= 1, default 2
    title : str, optional
        By default the number of images and classes.
    data : optional
        The data set's name, such as ``loader.source``, to be written below.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the shapes do not fit, or a label is not a class.

    Examples
    --------
    >>> figure = plot_images(numpy.zeros((4, 28, 28)), [0, 1, 2, 9])
    >>> figure.axes[3].get_title()
    'ankle boot'
    """
    positive_int('rows', rows)
    images, labels = _host(images), _host(labels)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim != 3 or not len(images):
        raise ValueError(f'images must have the shape (n, H, W) or (n, 1, H, W) with n at least 1, got {images.shape}')
    if labels.shape != (len(images),):
        raise ValueError(f'labels must hold one label for each of the {len(images)} images, got shape {labels.shape}')
    if images.dtype.kind not in 'biuf':
        raise ValueError(f'images must be an array of numbers, got {images.dtype}')
    if labels.dtype.kind in 'iuf':
        names = _class_names(10)
        for label in labels:
            if label not in range(10):
                raise ValueError(f'labels must be integers from 0 to 9 or strings, got {label}')
        labels = [names[int(label)] for label in labels]
    count = f'{len(images)} image{"s" if len(images) > 1 else ""} of {len(set(labels))} ' \
            f'class{"es" if len(set(labels)) > 1 else ""}'
    with style():
        figure = _image_grid(images, labels, min(rows, len(images)))
        figure.suptitle(title or count)
        _caption(figure, data)
    return figure


def draw_dense_block(num_layers):
    """Every connection of a dense block with L layers: L (L + 1) / 2 arcs (section 1, figure 1 of the paper).

    The features x_0 are the input, x_l the output of layer H_l. An arc goes from each x_i to each later layer
    H_j, i < j, and has the colour of the features it carries.

    Parameters
    ----------
    num_layers : int, 1 to 12
        Number L of layers.

    Returns
    -------
    matplotlib.figure.Figure
        The artist of each connection has the gid ``'connection i j'``.

    Raises
    ------
    ValueError
        If `num_layers` is out of its range.

    Examples
    --------
    >>> draw_dense_block(4).axes[0].get_title()
    'dense block: 4 layers, 4 · 5 / 2 = 10 connections'
    """
    count = _check_layers(num_layers) * (num_layers + 1) // 2
    pairs = [(i, j) for j in range(1, num_layers + 1) for i in range(j)]
    return _draw_layers(num_layers, pairs, _SOURCE_COLOURS, f'dense block: {num_layers} layer{"s"[:num_layers - 1]}, '
                        f'{num_layers} · {num_layers + 1} / 2 = {count} connection{"s"[:count - 1]}',
                        'arcs lead from every feature x to all later layers H.')


def draw_chain(num_layers):
    """The same layers one after the other, as in a plain network: L connections, to stand beside `draw_dense_block`.

    Parameters
    ----------
    num_layers : int, 1 to 12
        Number L of layers.

    Returns
    -------
    matplotlib.figure.Figure
        The artist of each connection has the gid ``'connection i j'``.

    Raises
    ------
    ValueError
        If `num_layers` is out of its range.

    Examples
    --------
    >>> draw_chain(4).axes[0].get_title()
    'plain chain: 4 layers, 4 connections'
    """
    plural = 's'[:_check_layers(num_layers) - 1]
    pairs = [(j - 1, j) for j in range(1, num_layers + 1)]
    return _draw_layers(num_layers, pairs, [_GREY], f'plain chain: {num_layers} layer{plural}, '
                        f'{num_layers} connection{plural}', 'each layer H reads only the features before it.')


# For the features x_0, x_1, ...; with more of them the colours come again.
_SOURCE_COLOURS = (DENSENET, '#B88500', '#009E73', '#5F27CD', '#000000')


def _check_layers(num_layers):
    if positive_int('num_layers', num_layers) > _MOST_LAYERS:
        raise ValueError(f'num_layers must be at most {_MOST_LAYERS} for the arcs to be told apart, got {num_layers}')
    return num_layers


def _draw_layers(num_layers, pairs, colours, title, meaning):
    from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path

    step, gap, radius = 2.0, 0.62, 0.26        # between layers; from box to circle; of a circle
    top = max(j - i for i, j in pairs) - 1

    def lift(span):
        return 0.75 * (span - 1) + 0.35 * (span > 1)

    with style():
        figure, axes = _new_figure(min(max(2.4 + 1.6 * num_layers, 5), 16), 2.1 + 0.62 * top)
        for j in range(num_layers + 1):
            colour = colours[j % len(colours)]
            if j:
                axes.add_patch(FancyBboxPatch((j * step - gap - 0.2, -0.24), 0.4, 0.48, facecolor='white', zorder=3,
                                              boxstyle='round,pad=0.05', edgecolor='black', linewidth=1.5))
                axes.text(j * step - gap, 0, f'$H_{{{j}}}$', ha='center', va='center', zorder=4)
                axes.plot([j * step - gap + 0.25, j * step - radius], [0, 0], color='black', lw=1.5, zorder=1)
            axes.add_patch(Circle((j * step, 0), radius, facecolor=colour, edgecolor='black', zorder=3, gid=f'x_{j}'))
            axes.text(j * step, -0.42, f'$x_{{{j}}}$', ha='center', va='top', zorder=4)
        for i, j in pairs:
            colour, span = colours[i % len(colours)], j - i
            gid = f'connection {i} {j}'
            if span == 1:
                axes.add_patch(FancyArrowPatch((i * step + radius, 0), (j * step - gap - 0.25, 0), shrinkA=0, shrinkB=0,
                                               arrowstyle='-|>', mutation_scale=14, color=colour, lw=2.2, gid=gid))
                continue
            # Arcs that end at one layer come down side by side, the longest on the left; so the arrowheads
            # do not cover one another. Those that leave one circle fan out in the same way.
            landing = j * step - gap + 0.2 - 0.4 * (span - 2) / max(top, 1) - (0.2 if top < 2 else 0)
            start = i * step - 0.12 + 0.24 * (span - 2) / max(top, 1)
            height = lift(span) + 0.3
            path = Path([(start, radius - 0.03), (start + 0.1, 4 / 3 * height), (landing - 0.1, 4 / 3 * height),
                         (landing, 0.30)], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
            axes.add_patch(FancyArrowPatch(path=path, arrowstyle='-|>', mutation_scale=12, color=colour, lw=2.0,
                                           gid=gid, zorder=2))
        axes.set(xlim=(-0.6, num_layers * step + 0.6), ylim=(-0.95, lift(top + 1) + 0.75), title=title)
        axes.set_axis_off()
        figure.set_label(f'{title}. A row x0, H1, x1, H2, ...: {meaning}')
    return figure


def draw_add_vs_concat():
    """What a ResNet and a DenseNet do with the input and the output of a layer, drawn as channels.

    A ResNet adds the two, which must be of one width, and the sum has that width. A DenseNet puts them side by
    side, and the widths add up.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> [axes.get_title() for axes in draw_add_vs_concat().axes]
    ['ResNet adds: 64 + 64 channels give 64', 'DenseNet concatenates: 64 and 32 channels give 96']
    """
    with style():
        figure, (left, right) = _new_figure(11, 4.8, columns=2, sharey=True)
        bar = {'edgecolor': 'black', 'linewidth': 1.5, 'width': 0.55}
        left.bar([0, 1], [64, 64], color=[RESNET, _tint(RESNET)], **bar)
        # Each channel of the sum holds both: stripes of the two colours, under an outline like the others'.
        left.bar([2], [64], color=_tint(RESNET), hatch='//', **{**bar, 'edgecolor': RESNET})
        left.bar([2], [64], color='none', **bar)
        right.bar([0, 1], [64, 32], color=[DENSENET, _tint(DENSENET)], **bar)
        right.bar([2, 2], [64, 32], bottom=[0, 64], color=[DENSENET, _tint(DENSENET)], **bar)
        for axes, sign, widths, names, title in (
                (left, '+', (64, 64, 64), ('$x$', '$F(x)$', '$x + F(x)$'), 'ResNet adds: 64 + 64 channels give 64'),
                (right, 'and', (64, 32, 96), ('$x$', '$H(x)$', '$[x, H(x)]$'),
                 'DenseNet concatenates: 64 and 32 channels give 96')):
            for x, width in enumerate(widths):
                axes.text(x, width + 2, f'{width}', ha='center', va='bottom')
            axes.text(0.5, 20, sign, ha='center', va='center', fontsize=24 if len(sign) == 1 else 15)
            axes.text(1.5, 20, '=', ha='center', va='center', fontsize=24)
            axes.set_xticks(range(3), names)
            axes.tick_params(axis='x', length=0, labelsize=15)
            axes.set(ylim=(0, 112), yticks=range(0, 97, 32))
            axes.set_title(title, fontsize=13)
        left.set_ylabel('channels')
        right.tick_params(labelleft=True)
        figure.set_label('ResNet adds x and F(x), of 64 channels each, to a sum of 64 channels. DenseNet puts x, '
                         'of 64 channels, and H(x), of 32, side by side and gets 96.')
    return figure


def plot_channels(net, input_size=(48, 48)):
    """The staircase of channels through a DenseNet: k up at each convolution, halved at each transition.

    Parameters
    ----------
    net : DenseNet or dict
        The network, or its ``config``.
    input_size : (int, int), default (48, 48)
        Height and width of the images, in pixels, for the resolution written at each dense block.

    Returns
    -------
    matplotlib.figure.Figure
        The steps are the patch with the gid ``'channels'``.

    Raises
    ------
    TypeError
        If `net` is neither a DenseNet nor a dict.
    ValueError
        If the images are too small for the network.

    Examples
    --------
    >>> figure = plot_channels(DenseNet(growth_rate=12, block_config=(2, 2)))
    >>> figure.axes[0].patches[-1].get_data().values
    array([64, 76, 88, 44, 56, 68])
    """
    if isinstance(net, dict):
        net = DenseNet(**net)
    if not isinstance(net, DenseNet):
        raise TypeError(f'net must be a DenseNet or its config (a dict), got {type(net).__name__}')
    try:
        height, width = input_size
    except (TypeError, ValueError):
        raise ValueError(f'input_size must be (height, width) in pixels, got {input_size!r}') from None
    sizes = net.stage_sizes(positive_int('height', height), positive_int('width', width))
    growth_rate = net.config['growth_rate']

    widths = [net.config['num_init_features']]
    blocks = []                                 # first and last index of each dense block in `widths`
    for _, (layer, *_) in net.stages()[1:-1]:
        if isinstance(layer, DenseBlock):
            blocks.append((len(widths), len(widths) + len(layer.net)))
            widths += [widths[-1] + growth_rate * (n + 1) for n in range(len(layer.net))]
        else:
            widths.append(layer[2]._channels)

    with style():
        figure, axes = _new_figure(max(9.0, min(0.42 * len(widths), 16)), 5)
        top = max(widths) * 1.32
        for number, ((first, last), (rows, columns)) in enumerate(zip(blocks, sizes, strict=True), start=1):
            axes.axvspan(first, last, color=DENSENET, alpha=0.10, lw=0)
            axes.text((first + last) / 2, top * 0.985, f'dense block {number}\n{rows} x {columns}', ha='center',
                      va='top', fontsize=12)
            axes.text(last - 0.05, widths[last - 1] + 0.012 * top, f'{widths[last - 1]}', ha='right', va='bottom',
                      fontsize=12)
            axes.text(first - 0.5, widths[first - 1] - 0.015 * top, f'{widths[first - 1]}', ha='center', va='top',
                      fontsize=12)
        axes.stairs(widths, color=DENSENET, baseline=None, linewidth=2.6, gid='channels')
        kinds = ['stem'] + [''] * (len(widths) - 1)
        for number, (first, last) in enumerate(blocks, start=1):
            # Where the numbers would run into one another, only the last of a block stands.
            for index in range(first if len(widths) <= 32 else last - 1, last):
                kinds[index] = f'{index - first + 1}'
            if last < len(widths):
                kinds[last] = f'T{number}'
        axes.set_xticks(numpy.arange(len(widths)) + 0.5, kinds, fontsize=11)
        axes.set(xlabel='layer: stem, convolutions of each dense block, transitions T',
                 ylabel='channels after the layer', xlim=(0, len(widths)), ylim=(0, top))
        axes.grid(True, axis='y')
        theta = net.config['compression']
        shrunk = 'halves them' if theta == 0.5 else f'multiplies them by {theta:g}' if theta < 1 else 'keeps them'
        halved = f', each transition {shrunk}' if len(blocks) > 1 else ''
        figure.suptitle(f'each convolution adds {growth_rate} channels{halved}')
        _caption(figure, f'resolution in pixels, for images of {height} x {width}')
    return figure


def plot_stages(*nets, input_shape=None):
    """Channels and resolution through networks, stage by stage, side by side.

    Parameters
    ----------
    *nets : mxnet.gluon.Block or str
        Networks with a method ``stages()``, or names that `densenet` or `resnet` knows; by default ResNet-50 and
        DenseNet-121.
    input_shape : sequence of int, optional
        Shape (C, H, W) of the images, as for `summary`.

    Returns
    -------
    matplotlib.figure.Figure
        One column a network: channels after each stage above, height of the feature maps in pixels below.

    Raises
    ------
    TypeError, ValueError
        As `summary`.

    Examples
    --------
    >>> figure = plot_stages('resnet18', 'densenet121')
    >>> [int(bar.get_height()) for bar in figure.axes[1].patches]
    [64, 256, 128, 512, 256, 1024, 512, 1024]
    """
    from .analysis.counting import summary

    tables = [summary(net, input_shape) for net in nets or ('resnet50', 'densenet121')]
    with style():
        figure, axes = _new_figure(max(5.2 * len(tables), 6.5), 6.4, 2, len(tables), sharey='row', squeeze=False)
        for table, (above, below) in zip(tables, axes.T):
            rows = [row for row in table.rows if len(row['output_shape']) == 3]
            if not rows:
                raise ValueError(f'{table.name} has no stage that produces feature maps')
            dense = any(row['stage'].startswith('dense') for row in rows)
            colour = DENSENET if dense else RESNET
            places = range(len(rows))
            bars = above.bar(places, [row['channels'] for row in rows],
                             color=[_tint(colour) if row['stage'].startswith('transition') else colour for row in rows])
            above.bar_label(bars, fontsize=11, padding=2)
            above.margins(y=0.15)  # room for the labels below the title
            above.set_title(table.name)
            heights = [row['output_shape'][1] for row in rows]
            below.plot(places, heights, 'o-', color=colour)
            for place, height in zip(places, heights):
                below.annotate(f'{height}', (place, height), (0, 7), textcoords='offset points', ha='center',
                               fontsize=11)
            below.set_yscale('log', base=2)
            below.margins(y=0.2)
            above.set_xticks([])
            below.set_xticks(places, [_short(row['stage']) for row in rows], fontsize=11)
            below.set_xlabel('stage')
        axes[0, 0].set_ylabel('channels after the stage')
        axes[1, 0].set_ylabel('height in pixels')
        axes[1, 0].yaxis.set_major_formatter(lambda value, _: f'{value:g}')
        axes[1, 0].minorticks_off()
        axes[1, 0].set_ylim(bottom=max(axes[1, 0].get_ylim()[0], 0.71))  # no tick below one pixel
        figure.suptitle('channels grow while the resolution falls')
        shapes = {table.input_shape for table in tables}
        _caption(figure, 'images of ' + ' and '.join(' x '.join(map(str, shape)) for shape in sorted(shapes))
                 + ('; pale: transitions' if any('dense' in row['stage'] for t in tables for row in t.rows) else ''))
    return figure


def plot_feature_reuse(maps, label='mean absolute weight', title=None, data=None, power=1.0):
    """Numbers on the connections of dense blocks as heat maps, laid out as in figure 5 of the paper.

    A column is a layer that reads, a row what it reads: x0 is the block's input, x1 the output of layer 1, and so on.
    All maps share one scale of colours, from the smallest number to the largest.

    Parameters
    ----------
    maps : array (L, L) or dict of str to array
        As `mean_absolute_weights` returns it: row l - 1 is layer l, column s the source, NaN for no connection.
        Several maps with a title for each are drawn side by side; L is 1 to 12, and may differ.
    label : str, default 'mean absolute weight'
        What the numbers are, with their unit if they have one.
    title : str, optional
        By default where the largest number stands.
    data : optional
        What the maps are of, to be written below.
    power : float, > 0, default 1
        Exponent of the scale of colours; below 1 it tells small numbers apart beside a large one.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no map, or a map is not square, too large, or holds anything but finite numbers up to its diagonal,
        or if `power` is not a positive number.

    Examples
    --------
    >>> figure = plot_feature_reuse(numpy.array([[0.5, numpy.nan], [0.25, 1.0]]))
    >>> figure._suptitle.get_text()
    'largest mean absolute weight: 1.00, from x1 to layer 2'
    """
    maps = {str(name): _host(values) for name, values in (maps if isinstance(maps, dict) else {'': maps}).items()}
    finite_number('power', power, above=0)
    if not maps:
        raise ValueError('maps must hold at least one array, got an empty dict')
    for name, values in maps.items():
        which = f'maps[{name!r}]' if name else 'maps'
        if values.dtype.kind not in 'fiu':
            raise ValueError(f'{which} must hold numbers, got an array of {values.dtype}')
        if values.ndim != 2 or values.shape[0] != values.shape[1] or not 1 <= len(values) <= _MOST_LAYERS:
            raise ValueError(f'{which} must have the shape (L, L) with L from 1 to {_MOST_LAYERS}, got {values.shape}')
        if not numpy.isfinite(values[numpy.tril_indices(len(values))]).all():
            raise ValueError(f'{which} must hold a finite number where the column is at most the row')

    from matplotlib.colors import Normalize, PowerNorm

    # Above the diagonal there is no connection, whatever stands there.
    shown = {name: numpy.where(numpy.tri(len(values), dtype=bool), values, numpy.nan) for name, values in maps.items()}
    low = min(numpy.nanmin(values) for values in shown.values())
    high = max(numpy.nanmax(values) for values in shown.values())
    largest = max(abs(low), abs(high))
    decimals = min(max(2 - math.floor(math.log10(largest)), 0), 4) if largest else 0        # three digits of it
    limits = {'vmin': low, 'vmax': high if high > low else low + 1}
    norm = Normalize(**limits) if power == 1 else PowerNorm(power, **limits)
    with style():
        figure, axes = _new_figure(max(sum(0.68 * len(values) + 1.1 for values in shown.values()) + 1.2, 6.4),
                                   0.5 * max(map(len, shown.values())) + 2.6, columns=len(shown), squeeze=False)
        for axis, (name, values) in zip(axes[0], shown.items(), strict=True):
            picture = axis.imshow(values.T, cmap='cividis', norm=norm, aspect='auto')
            for layer, source in zip(*numpy.tril_indices(len(values)), strict=True):
                value = values[layer, source]
                written = f'{round(value, decimals) + 0:.{decimals}f}'       # adding 0 takes the sign from a -0
                axis.text(layer, source, written, ha='center', va='center', fontsize=11,
                          color='black' if norm(value) > 0.47 else 'white')
            axis.set_xticks(range(len(values)), range(1, len(values) + 1))
            axis.set_yticks(range(len(values)), [f'$x_{{{source}}}$' for source in range(len(values))])
            axis.tick_params(length=0)
            axis.set(title=name, xlabel='layer that reads')
        axes[0, 0].set_ylabel('what it reads')
        bar = figure.colorbar(picture, ax=axes[0, -1], pad=0.03)
        bar.set_label(label)
        if title is None:
            name = max(shown, key=lambda name: numpy.nanmax(shown[name]))
            layer, source = numpy.unravel_index(numpy.nanargmax(shown[name]), shown[name].shape)
            title = f'largest {label}: {high:.{decimals}f}, from x{source} to layer {layer + 1}' \
                    f'{f" ({name})" if name else ""}'
        figure.suptitle(title)
        _caption(figure, data)
    return figure


def _short(stage):
    """'dense block 2' as 'D2', 'transition 1' as 'T1', 'stage 3' as '3'."""
    words = stage.split()
    letters = {'dense': 'D', 'transition': 'T', 'stage': ''}
    return letters[words[0]] + words[-1] if words[0] in letters and words[-1].isdigit() else stage


def _new_figure(width, height, rows=1, columns=1, **options):
    """A figure of `width` x `height` inches and its axes; matplotlib.pyplot forgets it at once."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, columns, figsize=(width, height), **options)
    # Closed figures can still be saved and shown. An open one would be shown a second time at the end of a
    # notebook's cell, and would stay in memory.
    pyplot.close(figure)
    return figure, axes


def _image_grid(images, captions, rows):
    columns = -(-len(images) // rows)
    figure, axes = _new_figure(max(1.75 * columns, 4.5), 2.15 * rows + 0.7, rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, caption in zip(axes.flat, images, captions, strict=False):
        axis.imshow(image, cmap='gray_r', interpolation='nearest')
        axis.set_title(caption, fontsize=12)
    return figure


def _tint(colour):
    """The colour mixed with white, two parts in three."""
    from matplotlib.colors import to_rgb

    return tuple(1 - (1 - part) / 3 for part in to_rgb(colour))


def _caption(figure, data):
    """Write below the figure which data set, or what else, it is about."""
    if data is not None:
        figure.supxlabel(str(data), fontsize=11, color=_GREY)


def _source(data_iter):
    source = getattr(data_iter, 'source', None)
    return 'data set not named by the iterator' if source is None else str(source)


def _class_names(classes):
    from .data.loader import FASHION_MNIST_LABELS

    return list(FASHION_MNIST_LABELS) if classes == len(FASHION_MNIST_LABELS) else [str(i) for i in range(classes)]


def _host(values):
    return values.asnumpy() if isinstance(values, mx.nd.NDArray) else numpy.asarray(values)
