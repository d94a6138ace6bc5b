"""One image on its way through the whole network: the size of every stage, and what its maps show."""

import numpy
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Rectangle
from mxnet import autograd

from .._common.arguments import image_batch, positive_int, show
from .._common.arrays import array
from ..evaluation import place
from ..network import DenseNet
from .look import DENSENET, GRAY, an_array, finished, new_figure, plural, style, tint

__all__ = ['draw_network']


@style()
def draw_network(net, image, maps=6, labels=None, data=None):
    """The network from top to bottom, with one image going through it: each stage as a bar, and some of its maps.

    A bar is as wide as the stage has channels and as high as its maps are, in pixels. In a dense block the pale part
    is what came in and the dark part what its layers have added.

    Parameters
    ----------
    net : DenseNet
        Initialized, best trained.
    image : array (H, W), (1, H, W) or (1, 1, H, W)
        NumPy or MXNet, values from 0 to 1.
    maps : int, 1 to 8, default 6
        Feature maps to show of each stage: channels at equal distances. Those of a stage share one gray scale.
    labels : sequence of str, optional
        Names of the classes; by default their numbers.
    data : optional
        The data set's name, to be written below.

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
    if not numpy.isfinite(image).all():
        raise ValueError('image must hold finite numbers, and it holds NaN or infinity')
    X = array(image[None, None], 'float32', ctx=place(net, None, 'this picture'))
    image_batch(type(net).__name__, X, net._built_in_np, net.config['in_channels'])
    stages = {'image': image[None]}     # and the output of each stage, (C, H, W)
    with autograd.pause(train_mode=False):
        for name, blocks in net.stages():
            for block in blocks:
                X = block(X)
            stages[name] = X.asnumpy()[0]
    logits = stages.pop('classifier')
    names = an_array('labels', range(len(logits)) if labels is None else labels, 'iuU')
    if names.shape != logits.shape:
        raise ValueError(f'labels must hold {len(logits)} names, one for each class, got shape {names.shape}')
    sizes = {name: f'{name}: {plural(len(values), "channel")}, {values.shape[1]} x {values.shape[2]}'
             for name, values in stages.items()}
    figure, axes = new_figure(8.6, 0.98 * (len(stages) + 1) + 0.8)
    axes.remove()
    grid = GridSpec(len(stages) + 1, maps + 2, figure, width_ratios=[3.1] + [1] * maps + [0.05])
    most, before = max(len(logits), *map(len, stages.values())), 0
    for row, (name, values) in enumerate(stages.items()):
        axes = figure.add_subplot(grid[row, 0], xlim=(0, most))
        came_in = before if name.startswith('dense block') else 0
        before = len(values)
        _bar(axes, sizes[name], before, came_in, values.shape[1] / max(image.shape), gid=name)
        shown_maps = values[numpy.unique(numpy.linspace(0, before - 1, maps).astype(int))]
        for column, one in enumerate(shown_maps, 1):
            axes = figure.add_subplot(grid[row, column], xticks=[], yticks=[])
            axes.imshow(one, cmap='gray_r', interpolation='nearest', vmin=shown_maps.min(), vmax=shown_maps.max())
            for spine in axes.spines.values():
                spine.set(visible=True, color=GRAY, linewidth=0.6)
    axes = figure.add_subplot(grid[-1, 0], xlim=(0, most))
    _bar(axes, f'classifier: {plural(before, "channel")}, 1 x 1', before, 0, 1 / max(image.shape), gid='classifier')
    axes = figure.add_subplot(grid[-1, 1:-1])
    axes.bar(range(len(names)), logits, color=[DENSENET if value == logits.max() else GRAY for value in logits])
    axes.axhline(0, color='black', lw=1.5)
    axes.set_xticks(range(len(names)), names, fontsize=11, rotation=30, ha='right', rotation_mode='anchor')
    axes.tick_params(axis='y', labelsize=11)
    axes.set_ylabel('logit', fontsize=11)
    height, width = image.shape
    finding = f'{height} x {width} pixels become {before} numbers, and these {len(names)} logits'
    figure.set_label(f'{finding}. {"; ".join(sizes.values())}. Highest logit: {names[int(logits.argmax())]}.')
    return finished(figure, finding, data)


def _bar(axes, text, channels, came_in, thick, gid):
    # The edge keeps a bar of one pixel visible.
    axes.add_patch(Rectangle((0, -thick / 2), channels, thick, color=DENSENET if came_in else tint(DENSENET), lw=1,
                             gid=gid))
    if came_in:
        axes.add_patch(Rectangle((0, -thick / 2), came_in, thick, color=tint(DENSENET), lw=1))
    axes.text(0, 0.62, text, fontsize=11, va='bottom')
    axes.set(ylim=(-0.55, 1.0))
    axes.set_axis_off()
