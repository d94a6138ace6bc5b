"""Images and maps: what the network is shown, what it takes for what, and which features its layers read."""

import math

import numpy
from matplotlib.colors import PowerNorm

from .._common.arguments import number, positive_int
from ..data.loader import FASHION_MNIST_LABELS
from ..evaluation import predict
from .look import an_array, finished, labeled, new_figure, plural, style

__all__ = ['plot_confusion_matrix', 'plot_feature_maps', 'plot_feature_reuse', 'plot_images', 'plot_mistakes']

#: More layers leave no room for the numbers of a map, or the arcs of a diagram.
MOST_LAYERS = 12


@style()
def plot_confusion_matrix(net, data_iter, ctx=None, names=None):
    """How often images of each class were taken for each class: counts, on the color of their share of the true class.

    Parameters
    ----------
    net : mxnet.gluon.Block
        A trained classifier.
    data_iter : iterable of (X, y)
        Usually the test loader of ``load_data_fashion_mnist``.
    ctx : mxnet.Context, optional
        Device; by default the one the network is on.
    names : sequence of str, optional
        Of the classes; by default those of Fashion-MNIST if the loader has its images, else the classes' numbers.

    Examples
    --------
    >>> from d2l_densenet import DenseNet, ImageLoader
    >>> loader = ImageLoader(numpy.zeros((8, 12, 12), 'uint8'), numpy.arange(8), batch_size=4)
    >>> net = DenseNet(2, (1, 1), 4, stem='cifar')
    >>> net.initialize()
    >>> figure = plot_confusion_matrix(net, loader)
    """
    probabilities, labels = predict(net, data_iter, ctx)
    classes = probabilities.shape[1]
    names = _class_names(names, classes, data_iter)
    counts = numpy.zeros((classes, classes), dtype='int64')
    numpy.add.at(counts, (labels.astype('int64'), probabilities.argmax(axis=1)), 1)
    wrong = counts - numpy.diag(counts.diagonal())
    true, taken = numpy.unravel_index(wrong.argmax(), wrong.shape)
    finding = f'most frequent mistake: {names[true]} taken for {names[taken]}, {wrong[true, taken]:,} of ' \
              f'{counts[true].sum():,}' if wrong.any() else f'no mistakes in {len(labels):,} images'
    figure, axes = new_figure(9.5, 8.4)
    shares = counts / numpy.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The square root lets the few mistakes show beside the many right answers.
    picture = _map(axes, shares, {place: f'{counts[place]}' for place in zip(*counts.nonzero())},
                   white=lambda share: share > 0.35, cmap='Blues', norm=PowerNorm(0.5, vmin=0, vmax=1))
    axes.set_xticks(range(classes), names, rotation=45, ha='right', rotation_mode='anchor')
    axes.set_yticks(range(classes), names)
    axes.set(xlabel='predicted class', ylabel='true class')
    figure.colorbar(picture, ax=axes, shrink=0.8, ticks=[0, 0.05, 0.2, 0.5, 1],
                    label='share of the images of the true class')
    return finished(figure, finding, _source(data_iter))


@style()
def plot_mistakes(net, data_iter, num=12, ctx=None, names=None):
    """The mistakes of which the network was most confident, as images with both labels.

    Parameters
    ----------
    net, ctx, names
        As for `plot_confusion_matrix`.
    data_iter : ImageLoader
        A loader that does not shuffle, such as the test loader: its ``images`` must be in the order of its batches,
        else ValueError.
    num : int, >= 1, default 12
        Mistakes to show, at most.

    Examples
    --------
    >>> from d2l_densenet import DenseNet, ImageLoader
    >>> loader = ImageLoader(numpy.zeros((8, 12, 12), 'uint8'), numpy.arange(8), batch_size=4)
    >>> net = DenseNet(2, (1, 1), 4, stem='cifar')
    >>> net.initialize()
    >>> figure = plot_mistakes(net, loader, num=3)
    """
    positive_int('num', num)
    images = getattr(data_iter, 'images', None)
    if images is None or getattr(data_iter, 'shuffle', False):
        raise ValueError('data_iter must be a loader with an attribute images in the order of its batches, such as '
                         f'the test loader of load_data_fashion_mnist; this {type(data_iter).__name__} '
                         f'{"has no images" if images is None else "shuffles"}')
    probabilities, labels = predict(net, data_iter, ctx)
    if len(images) != len(labels):
        raise ValueError(f'data_iter.images holds {len(images)} images but its batches {len(labels)}')
    names = _class_names(names, probabilities.shape[1], data_iter)
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = numpy.flatnonzero(predicted != labels)
    chosen = wrong[numpy.argsort(-confidence[wrong], kind='stable')][:num]
    if not len(chosen):
        figure, axes = new_figure(6, 2)
        axes.set_axis_off()
        axes.text(0.5, 0.5, f'no mistakes in {len(labels):,} images', ha='center', va='center', fontsize=16)
        return finished(figure, None, _source(data_iter))
    captions = [f'{names[predicted[i]]} {confidence[i]:.2f}\ntrue: {names[int(labels[i])]}' for i in chosen]
    figure = _image_grid([images[i] for i in chosen], captions, rows=-(-len(chosen) // 6))
    return finished(figure, f'{plural(len(wrong), "mistake")} in {len(labels):,} images; the {len(chosen)} most '
                    'confident,\nwith the probability given to the wrong class', _source(data_iter),
                    fontsize='large' if len(chosen) > 3 else 11)


@style()
def plot_images(images, labels, rows=2, title=None, data=None):
    """A grid of images with their class names.

    Parameters
    ----------
    images : array (n, H, W) or (n, 1, H, W)
        NumPy or MXNet, n at least 1.
    labels : sequence of n strings, or of n integers from 0 to 9
        Integers are shown as the class names of Fashion-MNIST.
    rows : int, >= 1, default 2
    title, data : optional
        What to write above, by default the number of images and classes, and below, such as ``loader.source``.

    Examples
    --------
    >>> figure = plot_images(numpy.zeros((4, 28, 28)), [0, 1, 2, 9])
    >>> figure.axes[3].get_title()
    'ankle boot'
    """
    positive_int('rows', rows)
    images, labels = an_array('images', images), an_array('labels', labels, 'biufU')
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim != 3 or not len(images):
        raise ValueError(f'images must have the shape (n, H, W) or (n, 1, H, W) with n at least 1, got {images.shape}')
    if labels.shape != (len(images),):
        raise ValueError(f'labels must hold one label for each of the {len(images)} images, got shape {labels.shape}')
    if labels.dtype.kind != 'U':
        for label in labels:
            if label not in range(10):
                raise ValueError(f'labels must be integers from 0 to 9 or strings, got {label}')
        labels = [FASHION_MNIST_LABELS[int(label)] for label in labels]
    count = f'{plural(len(images), "image")} of {plural(len(set(labels)), "class", "es")}'
    return finished(_image_grid(images, labels, min(rows, len(images))), title or count, data)


@style()
def plot_feature_maps(features, title, most=6, data=None):
    """Feature maps of one image, one row per layer, `most` of each.

    Each map is shifted and scaled to mean 0 and standard deviation 1 over its own pixels: scales of maps differ.

    Parameters
    ----------
    features : dict of str to array (C, H, W)
        For each row its name and maps, NumPy or MXNet.
    most : int, >= 1, default 6
    title, data
        What to write above and, if anything, below.

    Examples
    --------
    >>> figure = plot_feature_maps({'$x_0$': numpy.zeros((3, 8, 8)), '$x_1$': numpy.ones((2, 8, 8))}, 'maps')
    >>> len(figure.axes), len([axes for axes in figure.axes if axes.images])
    (6, 5)
    """
    positive_int('most', most)
    rows = {}
    for name, maps in labeled('features', features, 'array (C, H, W)').items():
        maps = an_array(f'features[{name!r}]', maps).astype('float64')
        if maps.ndim != 3 or not maps.size:
            raise ValueError(f'features[{name!r}] must have the shape (C, H, W), got {maps.shape}')
        rows[name] = maps[:most]
    columns = max(map(len, rows.values()))
    figure, axes = new_figure(1.15 * columns + 0.8, 1.15 * len(rows) + 0.9, len(rows), columns, squeeze=False)
    for line, (name, maps) in zip(axes, rows.items()):
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha='right', va='center', fontsize=15)
        for axis, one in zip(line, maps):
            scaled = (one - one.mean()) / (one.std() or 1)
            axis.imshow(scaled, cmap='gray', vmin=-2.5, vmax=2.5, interpolation='nearest')
    return finished(figure, title, data)


@style()
def plot_feature_reuse(maps, label='mean absolute weight', title=None, data=None, power=1.0, rows=1, digits=3):
    """Numbers on the connections of dense blocks as heat maps, laid out as in figure 5 of the paper.

    A column is a layer that reads, a row what it reads: x0 is the block's input, x1 the output of layer 1, and so on.
    All maps share one scale of colors, from the smallest number to the largest.

    Parameters
    ----------
    maps : array (L, L) or dict of str to array
        As `mean_absolute_weights` returns it: row l - 1 is layer l, column s the source, NaN for no connection.
        Several maps with a title for each are drawn side by side; L is 1 to 12, and may differ.
    label : str, default 'mean absolute weight'
        What the numbers are, with their unit if they have one.
    title, data : optional
        What to write above, by default where the largest number stands, and below.
    power : float, > 0, default 1
        Exponent of the scale of colors; below 1 it tells small numbers apart beside a large one.
    rows : int, >= 1, default 1
        Rows of panels.
    digits : int, >= 1, default 3
        Digits that are written of the largest number. With 1 or 2 the cells are small, so that three maps of six layers
        fit the width of a page.

    Examples
    --------
    >>> figure = plot_feature_reuse(numpy.array([[0.5, numpy.nan], [0.25, 1.0]]))
    >>> figure._suptitle.get_text()
    'largest mean absolute weight: 1.00, from x1 to layer 2'
    """
    number('power', power, above=0)
    positive_int('digits', digits)
    shown = {str(name): _checked_map(f'maps[{name!r}]' if name else 'maps', values) for name, values in
             labeled('maps', maps if isinstance(maps, dict) else {'': maps}, 'array').items()}
    low = min(numpy.nanmin(values) for values in shown.values())
    high = max(numpy.nanmax(values) for values in shown.values())
    largest = max(abs(low), abs(high))
    decimals = min(max(digits - 1 - math.floor(math.log10(largest)), 0), 4) if largest else 0
    form = f'.{decimals}f' if not 0 < largest < 0.001 else f'.{digits - 1}e'  # more decimals do not fit the cells
    norm = PowerNorm(power, low, high if high > low else low + 1)
    rows = min(positive_int('rows', rows), len(shown))
    columns, most = -(-len(shown) // rows), max(map(len, shown.values()))
    # Inches: a cell, and beside each panel its labels.
    cell, beside = ((0.35, 0.3), 0.5) if digits < 3 else ((0.68, 0.5), 1.1)
    widths = [max(map(len, list(shown.values())[column::columns])) for column in range(columns)]
    figure, axes = new_figure(max(sum(cell[0] * width + beside for width in widths) + 1.2, 6.4),
                              rows * (cell[1] * most + 1.1) + 1.5, rows, columns, squeeze=False)
    for axis in axes.flat[len(shown):]:
        axis.set_axis_off()
    for place, (axis, (name, values)) in enumerate(zip(axes.flat, shown.items())):
        # Adding 0 takes the sign from a -0.
        written = {(source, layer): f'{float(f"{values[layer, source]:{form}}") + 0:{form}}'
                   for layer, source in zip(*numpy.tril_indices(len(values)))}
        picture = _map(axis, values.T, written, white=lambda value: norm(value) <= 0.47, cmap='cividis', norm=norm,
                       aspect='auto')
        axis.set_xticks(range(len(values)), range(1, len(values) + 1))
        axis.set_yticks(range(len(values)), [f'$x_{{{source}}}$' for source in range(len(values))])
        axis.tick_params(length=0)
        axis.set(title=name, xlabel='layer that reads' if place >= len(shown) - columns else None,
                 ylabel='what it reads' if place % columns == 0 else None)
    figure.colorbar(picture, ax=axes[:, -1], pad=0.03, label=label)
    if title is None:
        name = max(shown, key=lambda name: numpy.nanmax(shown[name]))
        layer, source = numpy.unravel_index(numpy.nanargmax(shown[name]), shown[name].shape)
        title = f'largest {label}: {high:{form}}, from x{source} to layer {layer + 1}{f" ({name})" * bool(name)}'
    return finished(figure, title, data)


def _checked_map(which, values):
    """The map with NaN above its diagonal: no connection, whatever stands there."""
    values = an_array(which, values, 'fiu')
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not 1 <= len(values) <= MOST_LAYERS:
        raise ValueError(f'{which} must have the shape (L, L) with L from 1 to {MOST_LAYERS}, got {values.shape}')
    if not numpy.isfinite(values[numpy.tril_indices(len(values))]).all():
        raise ValueError(f'{which} must hold a finite number where the column is at most the row')
    return numpy.where(numpy.tri(len(values), dtype=bool), values, numpy.nan)


def _map(axes, values, written, white, **look):
    """An image of `values` with a text at each (row, column) of `written`, in white where `white(value)` says so."""
    picture = axes.imshow(values, **look)
    for (row, column), text in written.items():
        axes.text(column, row, text, ha='center', va='center', fontsize=11,
                  color='white' if white(values[row, column]) else 'black')
    return picture


def _image_grid(images, captions, rows):
    columns = -(-len(images) // rows)
    figure, axes = new_figure(max(1.75 * columns, 4.5), 2.15 * rows + 0.7, rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, caption in zip(axes.flat, images, captions):
        axis.imshow(image, cmap='gray_r', interpolation='nearest')
        axis.set_title(caption, fontsize=12)
    return figure


def _source(data_iter):
    return getattr(data_iter, 'source', None) or 'data set not named by the iterator'


def _class_names(names, classes, data_iter):
    if names is None:
        named = getattr(_source(data_iter), 'name', None) in ('fashion-mnist', 'synthetic')
        names = FASHION_MNIST_LABELS if named and classes == len(FASHION_MNIST_LABELS) else range(classes)
    found = an_array('names', names, 'iuU').astype(str)
    if found.shape != (classes,):
        raise ValueError(f'names must hold {classes} names, one for each class, got shape {found.shape}')
    return found.tolist()
