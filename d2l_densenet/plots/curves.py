"""Numbers against numbers: training curves, accuracy against cost, memory against depth."""

import sys
from itertools import cycle
from numbers import Real
from statistics import fmean

import numpy
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from .._common.arguments import number, show
from .look import BESIDE, DENSENET, GRAY, RESNET, an_array, colors, finished, labeled, new_figure, plural, style

__all__ = ['LiveAccuracy', 'plot_accuracy', 'plot_history', 'plot_memory']


@style()
def plot_history(history):
    """Loss and accuracy against epochs, in two panels.

    Parameters
    ----------
    history : History or dict of str to History
        What ``fit`` returned, or several with a label for each. The title states the best test accuracy at the end,
        or training accuracy where none has a test accuracy.

    Examples
    --------
    >>> from d2l_densenet import History
    >>> figure = plot_history(History([{'epoch': 1, 'loss': 0.9, 'train_acc': 0.6, 'test_acc': 0.7}], 'my images'))
    >>> figure._suptitle.get_text()
    'test accuracy 0.700 after 1 epoch'
    """
    histories = labeled('history', history if isinstance(history, dict) else {'': history}, 'History')
    for label, one in histories.items():
        _check_history(one, f'history {label!r}' if label else 'history')
    figure, (loss_axes, accuracy_axes) = new_figure(11 if len(histories) == 1 else 13, 4.4, columns=2)
    for color, (label, one) in zip(colors(histories), histories.items()):
        for axes, key, name, line, fill in ((loss_axes, 'loss', 'training', 'o-', color),
                                            (accuracy_axes, 'train_acc', 'training', 'o--', 'white'),
                                            (accuracy_axes, 'test_acc', 'test', 'o-', color)):
            points = [(row['epoch'], row[key]) for row in one.rows if row[key] is not None]
            if points:
                axes.plot(*zip(*points), line, color=color, mfc=fill, label=f'{label}, {name}' if label else name)
    longest = max(row['epoch'] for one in histories.values() for row in one.rows)
    for axes, title, unit in ((loss_axes, 'loss', 'cross-entropy (nats per image)'),
                              (accuracy_axes, 'accuracy', 'accuracy (share of images)')):
        _panel(axes, whole=True, title=title, xlabel='epoch', ylabel=unit, xlim=(0.7, longest + 0.3))
    loss_axes.legend()
    # Accuracies of several runs leave no free corner.
    accuracy_axes.legend(**BESIDE if len(histories) > 1 else {})
    return finished(figure, _history_finding(histories), ', '.join({str(one.data): 0 for one in histories.values()}))


def _check_history(history, name):
    if not hasattr(history, 'rows') or not hasattr(history, 'data'):
        raise TypeError(f'{name} must be a History as fit returns it, got {show(history)}')
    if not history.rows:
        raise ValueError(f'{name} has no finished epoch: nothing to plot')
    for row in history.rows:
        numbers = [row.get(key) for key in ('epoch', 'loss', 'train_acc')] + [row.get('test_acc', 'none') or 0]
        if not all(isinstance(value, Real) for value in numbers):
            raise ValueError(f'each row of {name} must have the numbers epoch, loss, train_acc and test_acc, got '
                             f'{show(row)}')


def _history_finding(histories):
    last = {label: one.rows[-1] for label, one in histories.items()}
    tested = [label for label in last if last[label]['test_acc'] is not None]
    key, name = ('test_acc', 'test') if tested else ('train_acc', 'training')
    label = max(tested or last, key=lambda label: last[label][key])
    value, epochs = last[label][key], plural(last[label]['epoch'], 'epoch')
    if len(histories) == 1:
        return f'{label + ": " if label else ""}{name} accuracy {value:.3f} after {epochs}'
    return f'best {name} accuracy at the end: {value:.3f} ({label}, {epochs})'


class LiveAccuracy:
    """A figure that grows during training: accuracy after each epoch, one curve per network.

    In a notebook the cell that starts a curve shows the figure, and later points change it in place. The attribute
    ``figure`` is the one of the last point.

    Parameters
    ----------
    what : str
        What is measured, for the title and the axis.

    Examples
    --------
    >>> live = LiveAccuracy('validation accuracy')
    >>> live.add('linear', 0, 0.1)
    >>> live.add('linear', 1, 0.8)
    >>> live.figure._suptitle.get_text()
    'highest validation accuracy so far: linear, 0.800'
    """

    def __init__(self, what):
        self.what, self.curves, self.figure, self._shown = what, {}, None, None

    def add(self, label, epoch, accuracy):
        """Add a point, and show it. An epoch that does not follow the curve's last one starts the curve again."""
        number('epoch', epoch)
        number('accuracy', accuracy, most=1)
        curve = self.curves.get(label, [])
        new = not curve or epoch <= curve[-1][0]
        self.curves[label] = [*([] if new else curve), (epoch, accuracy)]
        best = max(self.curves, key=lambda name: self.curves[name][-1][1])
        self.figure = self._drawn(f'highest {self.what} so far: {best}, {self.curves[best][-1][1]:.3f}')
        ipython = sys.modules.get('IPython')
        if not hasattr(ipython and ipython.get_ipython(), 'kernel'):
            return
        if new or self._shown is None:
            self._shown = ipython.display.display(self.figure, display_id=True)
        else:
            self._shown.update(self.figure)

    @style()
    def _drawn(self, finding):
        figure, axes = new_figure(7.5, 4.4)
        for (label, curve), color in zip(self.curves.items(), colors(self.curves)):
            axes.plot(*zip(*curve), 'o-', color=color, label=f'{label}: {curve[-1][1]:.3f}')
        last = max(epoch for curve in self.curves.values() for epoch, _ in curve)
        _panel(axes, whole=True, xlabel='epoch', ylabel=f'{self.what}\n(share of images)', ylim=(0, 1),
               xlim=(-0.1, max(last, 1) + 0.1))
        axes.legend(loc='lower right')
        return finished(figure, finding)


@style()
def plot_accuracy(networks, data=None):
    """Accuracy of several runs of each network against its parameters and against its multiply-adds.

    A small mark for each run, a large one for their mean. Networks of about equal cost stand side by side. The title
    says whether every run of the highest mean lies above all others.

    Parameters
    ----------
    networks : dict of str to (Summary, list of float)
        For each label what `summary` returned, and the accuracies (0 to 1) of one or more runs. A label that names
        ResNet or DenseNet gets the color of its kind.
    data : optional
        The data set's name, such as ``loader.source``, to be written below.

    Examples
    --------
    >>> from d2l_densenet import summary
    >>> figure = plot_accuracy({'ResNet-18': (summary('resnet18'), [0.90, 0.92]),
    ...                         'DenseNet-121': (summary('densenet121'), [0.93, 0.94])})
    >>> figure._suptitle.get_text()
    'highest mean: DenseNet-121, 0.935, each run above all runs of the others'
    """
    for label, entry in labeled('networks', networks, '(summary of the network, accuracies of its runs)').items():
        pair = isinstance(entry, (tuple, list)) and len(entry) == 2 and hasattr(entry[0], 'multiply_adds')
        if not isinstance(label, str) or not pair or not isinstance(entry[1], (tuple, list)) or not entry[1]:
            raise ValueError('each entry of networks must be a label with (summary of the network, list of one or more '
                             f'accuracies), got {show(label)}: {show(entry)}')
        for accuracy in entry[1]:
            number(f'each accuracy in networks, here of {label!r},', accuracy, most=1)
    kinds = {'resnet': (RESNET, cycle('sDP')), 'densenet': (DENSENET, cycle('o^v')), '': (GRAY, cycle('Xd*'))}
    looks = {label: next((color, next(marks)) for kind, (color, marks) in kinds.items() if kind in label.lower())
             for label in networks}
    figure, both = new_figure(12, 4.8, columns=2, sharey=True)
    for axes, quantity, unit, xlabel in ((both[0], 'parameters', 1e3, 'trainable parameters (thousands)'),
                                         (both[1], 'multiply_adds', 1e6, 'multiply-adds for one image (millions)')):
        costs = {label: getattr(table, quantity) / unit for label, (table, _) in networks.items()}
        for label, (_, runs) in networks.items():
            # Marks of about equal cost would hide one another: they move aside, by points and not by a cost.
            near = [other for other in costs if abs(costs[other] - costs[label]) <= 0.04 * costs[label]]
            points = 13 * (near.index(label) - (len(near) - 1) / 2)
            aside = axes.transData + ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
            (color, mark), x = looks[label], costs[label]
            axes.plot([x, x], [min(runs), max(runs)], color=color, lw=1.5, transform=aside)
            axes.plot([x] * len(runs), runs, '_', color=color, markersize=11, transform=aside)
            axes.plot([x], [fmean(runs)], mark, color=color, markersize=9, transform=aside, label=label, gid=label)
        _panel(axes, xlabel=xlabel, xlim=(0, 1.12 * max(costs.values())))
    # Artists that are moved aside do not set the limits.
    everything = [run for _, runs in networks.values() for run in runs]
    margin = 0.08 * (max(everything) - min(everything)) or 0.01
    both[0].set(ylabel='accuracy (share of images)', ylim=(min(everything) - margin, max(everything) + margin))
    both[1].legend(**BESIDE)
    return finished(figure, _accuracy_finding({label: runs for label, (_, runs) in networks.items()}), data)


def _accuracy_finding(runs):
    best = max(runs, key=lambda label: fmean(runs[label]))
    finding = f'highest mean: {best}, {fmean(runs[best]):.3f}'
    others = [label for label in runs if label != best]
    overlapping = [label for label in others if max(runs[label]) >= min(runs[best])]
    return finding + ('' if not others else
                      '; from one run nobody knows the spread' if min(map(len, runs.values())) == 1 else
                      f'; its runs overlap with those of {", ".join(overlapping)}' if overlapping else
                      ', each run above all runs of the others')


@style()
def plot_memory(counted, measured):
    """Memory of a training step against the number of layers: counted on the left, measured on the right.

    In megabytes of 10^6 bytes. The title compares the deepest measured with the shallowest.

    Parameters
    ----------
    counted, measured : dict of str to list of (int, number)
        For each way of training its rows: the number of layers, at least 1, and bytes, at least 0. Rows for three or
        more depths get the polynomial of degree 2 that is nearest to them; its term in L^2 says how memory grows.

    Examples
    --------
    >>> rows = {'ordinary': [(6, 20e6), (12, 80e6), (24, 320e6)]}
    >>> figure = plot_memory(rows, rows)
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'ordinary: $0.56 L^2$'
    """
    counted, measured = _memory_rows('counted', counted), _memory_rows('measured', measured)
    figure, panels = new_figure(12, 4.8, columns=2)
    ways = {**counted, **measured}
    color_of = dict(zip(ways, colors(ways)))
    for axes, title, unit, table in ((panels[0], 'counted', 'kept for the backward pass (MB)', counted),
                                     (panels[1], 'measured', 'peak of one training step (MB)', measured)):
        for label, rows in table.items():
            (layers, sizes), name = rows.T, label
            if len(set(layers)) >= 3:
                fit = numpy.polyfit(layers, sizes, 2)
                grid = numpy.linspace(min(layers), max(layers), 100)
                axes.plot(grid, numpy.polyval(fit, grid), color=color_of[label])
                name = f'{label}: ${_polynomial(fit, max(layers))}$'
            axes.plot(layers, sizes, 'o', color=color_of[label], label=name)
        _panel(axes, whole=True, title=title, xlabel='layers $L$', ylabel=unit, xlim=(0, None), ylim=(0, None))
        axes.legend(fontsize=12)
    return finished(figure, _memory_finding(measured))


def _memory_rows(name, ways):
    """The rows of each way as an array (depths, 2), in megabytes and in the order of depth."""
    found = {}
    for label, rows in labeled(name, ways, 'list of rows (layers, bytes)').items():
        table = an_array(f'{name}[{label!r}]', rows)
        if table.ndim != 2 or table.shape[1] != 2 or not numpy.isfinite(table).all() or (
                table[:, 0] < 1).any() or (table[:, 0] % 1).any() or (table[:, 1] < 0).any():
            raise ValueError(f'{name} must hold rows (layers, bytes), such as (12, 8e6), under each label, got '
                             f'{show(rows)} under {label!r}')
        found[label] = table[table[:, 0].argsort(kind='stable')] / [1, 1e6]
    return found


def _polynomial(fit, deepest):
    """'0.26 L^2 + 1.2 L + 9'; terms that make no difference at the deepest are left out."""
    text = ''
    for factor, exponent, power in zip(fit, (2, 1, 0), (' L^2', ' L', '')):
        if abs(factor) > 0.005 or abs(factor) * deepest ** exponent > 0.02 * abs(numpy.polyval(fit, deepest)):
            text += f'{" + " if factor > 0 else " - "}{float(f"{abs(factor):.2g}"):g}{power}'
    return text.removeprefix(' + ').strip() or '0'


def _memory_finding(measured):
    """How many times the memory of the shallowest the deepest has, in each way, if all have the same depths."""
    (low, high), *others = {(rows[0][0], rows[-1][0]) for rows in measured.values()}
    if others or low == high or not all(rows[0][1] for rows in measured.values()):
        return 'peak memory of one training step: ' + ', '.join(
            f'{label} {rows[-1][1]:.0f} MB' for label, rows in measured.items())
    return f'{high / low:.3g} times the layers need more memory: ' + ', '.join(
        f'{label} {rows[-1][1] / rows[0][1]:.1f} times' for label, rows in measured.items())


def _panel(axes, whole=False, **settings):
    """Labels, limits and a grid; if `whole`, with ticks at whole numbers only, one at least."""
    axes.set(**settings)
    axes.grid(True)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
