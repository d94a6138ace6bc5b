"""One image on its way through the whole network: the size of every stage, and what its maps show."""

import numpy
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Rectangle

from .._common.arguments import positive_int, show
from .._common.arrays import array
from ..blocks import DenseBlock
from ..network import DenseNet
from .look import DENSENET, GREY, an_array, finished, in_style, new_figure, plural, tint

__all__ = ['draw_network']


@in_style
def draw_network(net, image, maps=6, labels=None, data=None):
    """The network from top to bottom, with one image going through it: each stage as a bar, and some of its maps.

    A bar is as wide as the stage has channels and as high as its maps are, in pixels. In a dense block the pale part
    is what came in and the dark part what its layers have added.

    Parameters
    ----------
    net : DenseNet
        Initialised, best trained.
    image : array (H, W), (1, H, W) or (1, 1, H, W)
        NumPy or MXNet, values from 0 to 1.
    maps : int, 1 to 8, default 6
        Feature maps to show of each stage: channels at equal distances. Those of a stage share one grey scale.
    labels : sequence of str, optional
        Names of the classes; by default their numbers.
    data : optional
        The data set's name, to be written below.

    Returns
    -------
    matplotlib.figure.Figure
        The bar of a stage has its name as its gid.

    Examples
    --------
    >>> net = DenseNet()
    >>> net.initialize()
    >>> draw_network(net, numpy.zeros((48, 48)))._suptitle.get_text()
    '48 x 48 pixels become 248 numbers, and these 10 logits'
    """
    if not isinstance(net, DenseNet):
        raise TypeError(f'net must be a DenseNet, got {show(net)}')
    positive_int('maps', maps, most=8)
    image = an_array('image', image)
    if image.ndim < 2 or image.shape[:-2] not in ((), (1,), (1, 1)):
        raise ValueError(f'image must be one image of one channel, of shape (H, W), got {image.shape}')
    image = image.reshape(image.shape[-2:])
    stages = _outputs(net, image)
    classes = stages[-1][1].shape[1]
    names = an_array('labels', range(classes) if labels is None else labels, 'iuU')
    if names.shape != (classes,):
        raise ValueError(f'labels must hold {classes} names, one for each class, got shape {names.shape}')
    figure, axes = new_figure(8.6, 0.98 * len(stages) + 0.8)
    axes.remove()
    grid = GridSpec(len(stages), maps + 2, figure, width_ratios=[3.1] + [1] * maps + [0.05])
    most, before = max(values.shape[1] for _, values, _ in stages), 0
    for row, (name, values, new) in enumerate(stages[:-1]):
        _bar(figure.add_subplot(grid[row, 0]), name, values.shape[1:], before if new else 0, most, max(image.shape))
        shown_maps = values[0, numpy.unique(numpy.linspace(0, values.shape[1] - 1, maps).astype(int))]
        for column, one in enumerate(shown_maps):
            axes = figure.add_subplot(grid[row, 1 + column], xticks=[], yticks=[])
            axes.imshow(one, cmap='gray_r', interpolation='nearest', vmin=shown_maps.min(), vmax=shown_maps.max())
            for spine in axes.spines.values():
                spine.set(visible=True, color=GREY, linewidth=0.6)
        before = values.shape[1]
    logits = stages[-1][1][0]
    axes = figure.add_subplot(grid[-1, 0])
    _bar(axes, 'classifier', (before, 1, 1), 0, most, max(image.shape))
    axes = figure.add_subplot(grid[-1, 1:-1])
    axes.bar(range(len(names)), logits, color=[DENSENET if value == logits.max() else GREY for value in logits])
    axes.axhline(0, color='black', lw=1.5)
    axes.set_xticks(range(len(names)), names, fontsize=11, rotation=30, ha='right', rotation_mode='anchor')
    axes.tick_params(axis='y', labelsize=11)
    axes.set_ylabel('logit', fontsize=11)
    height, width = image.shape
    finding = f'{height} x {width} pixels become {before} numbers, and these {len(names)} logits'
    sizes = '; '.join(f'{name}: {_size(values.shape[1:])}' for name, values, _ in stages[:-1])
    figure.set_label(f'{finding}. {sizes}. Highest logit: {names[int(logits.argmax())]}.')
    return finished(figure, finding, data)


def _outputs(net, image):
    """The image and the output of each stage as (name, array (1, C, H, W), whether it is a dense block)."""
    X = array(image[None, None], 'float32', ctx=next(iter(net.collect_params().values())).list_ctx()[0])
    found = [('image', image[None, None], False)]
    for name, blocks in net.stages():
        for block in blocks:
            X = block(X)
        found.append((name, X.asnumpy(), isinstance(blocks[0], DenseBlock)))
    return found


def _size(shape):
    return f'{plural(shape[0], "channel")}, {shape[1]} x {shape[2]}'


def _bar(axes, name, shape, came_in, most, highest):
    channels, height, width = shape
    thick = height / highest
    # The edge keeps a bar of one pixel visible.
    axes.add_patch(Rectangle((0, -thick / 2), channels, thick, color=DENSENET if came_in else tint(DENSENET), lw=1,
                             gid=name))
    if came_in:
        axes.add_patch(Rectangle((0, -thick / 2), came_in, thick, color=tint(DENSENET), lw=1))
    axes.text(0, 0.62, f'{name}: {_size(shape)}', fontsize=11, va='bottom')
    axes.set(xlim=(0, most), ylim=(-0.55, 1.0))
    axes.set_axis_off()
