"""The network as a drawing: connections of a block, what happens to channels, channels and resolution by layer."""

import numpy
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from .._common.arguments import number, positive_int, show, sizes
from ..analysis.counting import summary
from ..blocks import DenseBlock
from ..network import DenseNet
from .look import DENSENET, GRAY, RESNET, finished, new_figure, plural, style, tint
from .pictures import MOST_LAYERS

__all__ = ['draw_add_vs_concat', 'draw_chain', 'draw_dense_block', 'draw_growth', 'plot_channels', 'plot_stages']

# For the features x_0, x_1, ...; with more of them the colors come again.
SOURCE_COLORS = (DENSENET, '#B88500', '#009E73', '#5F27CD', '#000000')


def draw_dense_block(num_layers):
    """Every connection of a dense block with L layers: L (L + 1) / 2 arcs (section 1, figure 1 of the paper).

    The features x_0 are the input, x_l the output of layer H_l. An arc goes from each x_i to each later layer
    H_j, i < j, and has the color of the features it carries.

    Parameters
    ----------
    num_layers : int, 1 to 12
        L; any other value is a ValueError.

    Examples
    --------
    >>> draw_dense_block(4).axes[0].get_title()
    'dense block: 4 layers, 10 connections'
    """
    return _draw_layers('dense block', num_layers, range, SOURCE_COLORS,
                        'arcs lead from every feature x to all later layers H.')


def draw_chain(num_layers):
    """The layers of `draw_dense_block`, with its argument, one after the other as in a plain network: L connections.

    Examples
    --------
    >>> draw_chain(4).axes[0].get_title()
    'plain chain: 4 layers, 4 connections'
    """
    return _draw_layers('plain chain', num_layers, lambda layer: [layer - 1], [GRAY],
                        'each layer H reads only the features before it.')


@style()
def _draw_layers(kind, num_layers, read, colors, meaning):
    """The row of layers: layer j reads the features ``read(j)``."""
    positive_int('num_layers', num_layers, most=MOST_LAYERS)
    pairs = [(i, j) for j in range(1, num_layers + 1) for i in read(j)]
    title = f'{kind}: {plural(num_layers, "layer")}, {plural(len(pairs), "connection")}'
    step, gap, radius = 2.0, 0.62, 0.26        # between layers; from box to circle; of a circle
    top = max(j - i for i, j in pairs) - 1

    def lift(span):
        return 0.75 * (span - 1) + 0.35 * (span > 1)

    figure, axes = new_figure(min(max(2.4 + 1.6 * num_layers, 5), 16), 2.1 + 0.62 * top)
    for j in range(num_layers + 1):
        if j:
            axes.add_patch(FancyBboxPatch((j * step - gap - 0.2, -0.24), 0.4, 0.48, facecolor='white', zorder=3,
                                          boxstyle='round,pad=0.05', edgecolor='black', linewidth=1.5))
            axes.text(j * step - gap, 0, f'$H_{{{j}}}$', ha='center', va='center', zorder=4)
            axes.plot([j * step - gap + 0.25, j * step - radius], [0, 0], color='black', lw=1.5, zorder=1)
        axes.add_patch(Circle((j * step, 0), radius, facecolor=colors[j % len(colors)], edgecolor='black', zorder=3,
                              gid=f'x_{j}'))
        axes.text(j * step, -0.42, f'$x_{{{j}}}$', ha='center', va='top', zorder=4)
    for i, j in pairs:
        span, look = j - i, {'arrowstyle': '-|>', 'color': colors[i % len(colors)], 'gid': f'connection {i} {j}'}
        if span == 1:
            axes.add_patch(FancyArrowPatch((i * step + radius, 0), (j * step - gap - 0.25, 0), shrinkA=0, shrinkB=0,
                                           mutation_scale=14, lw=2.2, **look))
            continue
        # Arcs that end at one layer come down side by side, the longest on the left; so the arrowheads
        # do not cover one another. Those that leave one circle fan out in the same way.
        landing = j * step - gap + 0.2 - 0.4 * (span - 2) / max(top, 1) - (0.2 if top < 2 else 0)
        start = i * step - 0.12 + 0.24 * (span - 2) / max(top, 1)
        height = 4 / 3 * (lift(span) + 0.3)
        path = Path([(start, radius - 0.03), (start + 0.1, height), (landing - 0.1, height), (landing, 0.30)],
                    [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        axes.add_patch(FancyArrowPatch(path=path, mutation_scale=12, lw=2.0, zorder=2, **look))
    axes.set(xlim=(-0.6, num_layers * step + 0.6), ylim=(-0.95, lift(top + 1) + 0.75), title=title)
    axes.set_axis_off()
    figure.set_label(f'{title}. A row x0, H1, x1, H2, ...: {meaning}')
    return figure


@style()
def draw_growth(*blocks):
    """How a dense block's stack of feature maps grows: one bar per step, one color per source.

    The titles give channels, connections and trainable parameters (3x3 convolutions with biases, batch normalization,
    the transition's convolution).

    Parameters
    ----------
    *blocks : tuple
        One to four blocks, drawn on one scale: ``(L, k, k0)`` or ``(L, k, k0, theta)``, with layers, growth rate,
        channels of the input, and the compression of the transition that follows.

    Examples
    --------
    >>> draw_growth((4, 10, 5)).axes[0].get_title()
    '$k_0$ = 5, $L$ = 4, $k$ = 10: 45 channels out,\\n10 connections, 7,400 parameters'
    """
    if not 1 <= len(blocks) <= 4:
        raise ValueError(f'blocks must be one to four tuples, got {len(blocks)}')
    for block in blocks:
        if not isinstance(block, tuple) or len(block) not in (3, 4):
            raise TypeError(f'blocks must be tuples (L, k, k0) or (L, k, k0, theta), got {show(block)}')
        for name, value in zip(('L', 'k', 'k0'), block):
            positive_int(f'{name} in blocks', value)
        for theta in block[3:]:
            number('theta in blocks', theta, most=1)
    figure, panels = new_figure(7.5, 4.6 if len(blocks) == 1 else 1 + 3 * len(blocks), len(blocks), squeeze=False,
                                sharey=True)
    for axes, (layers, rate, first, *theta) in zip(panels[:, 0], blocks):
        channels, widths = first + rate * layers, [first] + [rate] * layers
        for source, width in enumerate(widths):
            bottom = sum(widths[:source])
            axes.bar(range(source, layers + 1), width, bottom=bottom, gid=f'x{source}', edgecolor='white', width=0.8,
                     color=SOURCE_COLORS[source % len(SOURCE_COLORS)])
            if 14 * width > channels:                       # room for its name
                axes.text(layers + 0.45, bottom + width / 2, f'$x_{{{source}}}$', va='center')
        parameters = sum(2 * c + 9 * c * rate + rate for c in range(first, channels, rate))
        names = ['input'] + [('after ' if layers <= 4 else '') + f'$H_{{{step}}}$' for step in range(1, layers + 1)]
        given = f'$k_0$ = {first}, $L$ = {layers}, $k$ = {rate}'
        out = f'{channels} channels out'
        if theta:
            kept = int(theta[0] * channels)
            parameters += 2 * channels + channels * kept + kept
            axes.bar(layers + 1.5, kept, color=GRAY, width=0.8, gid='transition')
            names.append('transition')
            given, out = f'{given}, $\\theta$ = {theta[0]:g}', f'{channels} channels, {kept} after the transition'
        count = plural(layers * (layers + 1) // 2, 'connection')
        axes.set_xticks([*range(layers + 1), layers + 1.5][:len(names)], names, fontsize=11)
        axes.set(xlim=(-0.6, layers + 2.1 if theta else layers + 0.9), ylabel='channels')
        axes.set_title(f'{given}: {out},\n{count}, {parameters:,} parameters', fontsize=12)
    titles = '; '.join(axes.get_title().replace('\n', ' ').replace('$', '').replace('\\', '') for axes in panels[:, 0])
    figure.set_label(f'Stacks of feature maps that grow from layer to layer. {titles}.')
    return figure


@style()
def draw_add_vs_concat():
    """What a ResNet and a DenseNet do with the input and the output of a layer, drawn as channels.

    A ResNet adds the two, of one width, and the sum has it too. A DenseNet puts them side by side: widths add up.

    Examples
    --------
    >>> [axes.get_title() for axes in draw_add_vs_concat().axes]
    ['ResNet adds: 64 + 64 channels give 64', 'DenseNet concatenates: 64 and 32 channels give 96']
    """
    figure, (left, right) = new_figure(11, 4.8, columns=2, sharey=True)
    bar = {'edgecolor': 'black', 'linewidth': 1.5, 'width': 0.55}
    left.bar([0, 1], [64, 64], color=[RESNET, tint(RESNET)], **bar)
    # Each channel of the sum holds both: stripes of the two colors, under an outline like the others'.
    left.bar([2], [64], color=tint(RESNET), hatch='//', **{**bar, 'edgecolor': RESNET})
    left.bar([2], [64], color='none', **bar)
    right.bar([0, 1], [64, 32], color=[DENSENET, tint(DENSENET)], **bar)
    right.bar([2, 2], [64, 32], bottom=[0, 64], color=[DENSENET, tint(DENSENET)], **bar)
    for axes, sign, size, widths, names, title in (
            (left, '+', 24, (64, 64, 64), ('$x$', '$F(x)$', '$x + F(x)$'), 'ResNet adds: 64 + 64 channels give 64'),
            (right, 'and', 15, (64, 32, 96), ('$x$', '$H(x)$', '$[x, H(x)]$'),
             'DenseNet concatenates: 64 and 32 channels give 96')):
        for x, width in enumerate(widths):
            axes.text(x, width + 2, f'{width}', ha='center', va='bottom')
        axes.text(0.5, 20, sign, ha='center', va='center', fontsize=size)
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


@style()
def plot_channels(net, input_size=(48, 48)):
    """The staircase of channels through a DenseNet: k up at each convolution, halved at each transition.

    Parameters
    ----------
    net : DenseNet or dict
        The network, or its ``config``.
    input_size : (int, int), default (48, 48)
        Height and width of the images, in pixels, for the resolution written at each dense block.

    Examples
    --------
    >>> figure = plot_channels(DenseNet(growth_rate=12, block_config=(2, 2)))
    >>> figure.axes[0].patches[-1].get_data().values
    array([64, 76, 88, 44, 56, 68])
    """
    if isinstance(net, dict):
        net = DenseNet(**net)
    if not isinstance(net, DenseNet):
        raise TypeError(f'net must be a DenseNet or its config (a dict), got {show(net)}')
    height, width = sizes('input_size', input_size, '(48, 48)', axes=2)
    growth_rate, theta = net.config['growth_rate'], net.config['compression']
    widths = [net.config['num_init_features']]
    blocks = []                                 # first and last index of each dense block in `widths`
    for _, (layer, *_) in net.stages()[1:-1]:
        if isinstance(layer, DenseBlock):
            blocks.append((len(widths), len(widths) + len(layer.net)))
            widths += [widths[-1] + growth_rate * (n + 1) for n in range(len(layer.net))]
        else:
            widths.append(layer[2]._channels)

    figure, axes = new_figure(max(9.0, min(0.42 * len(widths), 16)), 5)
    top = max(widths) * 1.32
    ticks = ['stem'] + [''] * (len(widths) - 1)
    for block, ((first, last), (rows, columns)) in enumerate(zip(blocks, net.stage_sizes(height, width)), start=1):
        axes.axvspan(first, last, color=DENSENET, alpha=0.10, lw=0)
        for x, y, text, ha, va in (
                ((first + last) / 2, top * 0.985, f'dense block {block}\n{rows} x {columns}', 'center', 'top'),
                (last - 0.05, widths[last - 1] + 0.012 * top, f'{widths[last - 1]}', 'right', 'bottom'),
                (first - 0.5, widths[first - 1] - 0.015 * top, f'{widths[first - 1]}', 'center', 'top')):
            axes.text(x, y, text, ha=ha, va=va, fontsize=12)
        # Where the numbers would run into one another, only the last of a block stands.
        for index in range(first if len(widths) <= 32 else last - 1, last):
            ticks[index] = f'{index - first + 1}'
        if last < len(widths):
            ticks[last] = f'T{block}'
    axes.stairs(widths, color=DENSENET, baseline=None, linewidth=2.6, gid='channels')
    axes.set_xticks(numpy.arange(len(widths)) + 0.5, ticks, fontsize=11)
    axes.set(xlabel='layer: stem, convolutions of each dense block, transitions T',
             ylabel='channels after the layer', xlim=(0, len(widths)), ylim=(0, top))
    axes.grid(True, axis='y')
    shrunk = 'halves them' if theta == 0.5 else f'multiplies them by {theta:g}' if theta < 1 else 'keeps them'
    halved = f', each transition {shrunk}' if len(blocks) > 1 else ''
    return finished(figure, f'each convolution adds {growth_rate} channels{halved}',
                    f'resolution in pixels, for images of {height} x {width}')


@style()
def plot_stages(*nets, input_shape=None):
    """Channels after each stage of networks, and below the height of the feature maps in pixels; a column a network.

    Parameters
    ----------
    *nets : mxnet.gluon.Block or str
        Networks with a method ``stages()``, or names that `densenet` or `resnet` knows; by default ResNet-50 and
        DenseNet-121.
    input_shape : sequence of int, optional
        Shape (C, H, W) of the images. What `summary` refuses is refused here too.

    Examples
    --------
    >>> figure = plot_stages('resnet18', 'densenet121')
    >>> [int(bar.get_height()) for bar in figure.axes[1].patches]
    [64, 256, 128, 512, 256, 1024, 512, 1024]
    """
    tables = [summary(net, input_shape) for net in nets or ('resnet50', 'densenet121')]
    figure, axes = new_figure(max(5.2 * len(tables), 6.5), 6.4, 2, len(tables), sharey='row', squeeze=False)
    pale = ''
    for table, (above, below) in zip(tables, axes.T):
        rows = [row for row in table.rows if len(row['output_shape']) == 3]
        if not rows:
            raise ValueError(f'{table.name} has no stage that produces feature maps')
        color = RESNET
        if any(row['stage'].startswith('dense') for row in rows):
            color, pale = DENSENET, '; pale: transitions'
        places, heights = range(len(rows)), [row['output_shape'][1] for row in rows]
        bars = above.bar(places, [row['channels'] for row in rows],
                         color=[tint(color) if row['stage'].startswith('transition') else color for row in rows])
        above.bar_label(bars, fontsize=11, padding=2)
        above.margins(y=0.15)  # room for the labels below the title
        above.set_title(table.name)
        above.set_xticks([])
        below.plot(places, heights, 'o-', color=color)
        for place, height in zip(places, heights):
            below.annotate(f'{height}', (place, height), (0, 7), textcoords='offset points', ha='center', fontsize=11)
        below.set_yscale('log', base=2)
        below.margins(y=0.2)
        short = [row['stage'].replace('dense block ', 'D').replace('transition ', 'T').replace('stage ', '')
                 for row in rows]
        below.set_xticks(places, short, fontsize=11)
        below.set_xlabel('stage')
    axes[0, 0].set_ylabel('channels after the stage')
    axes[1, 0].set_ylabel('height in pixels')
    axes[1, 0].yaxis.set_major_formatter(lambda value, _: f'{value:g}')
    axes[1, 0].minorticks_off()
    axes[1, 0].set_ylim(bottom=max(axes[1, 0].get_ylim()[0], 0.71))  # no tick below one pixel
    shapes = sorted({table.input_shape for table in tables})
    return finished(figure, 'channels grow while the resolution falls',
                    'images of ' + ' and '.join(' x '.join(map(str, shape)) for shape in shapes) + pale)
