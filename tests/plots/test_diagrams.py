"""Diagrams: every connection, every width."""

import mxnet as mx
import numpy
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from plot_samples import texts

from d2l_densenet import DenseBlock, DenseNet, plots, transition_block


@pytest.mark.parametrize('layers', [1, 2, 5, 12])
def test_every_connection_is_drawn(layers):
    def connections(figure):
        return [artist.get_gid() for artist in figure.findobj() if str(artist.get_gid()).startswith('connection')]
    dense = connections(plots.draw_dense_block(layers))
    assert sorted(dense) == sorted(f'connection {i} {j}' for j in range(1, layers + 1) for i in range(j))
    assert len(dense) == layers * (layers + 1) // 2
    assert len(connections(plots.draw_chain(layers))) == layers


def hexed(color):
    return to_hex(color).upper()


def row(figure):
    """What stands in the row: places of the circles x and of the boxes H, and {(i, j): path of the connection}."""
    axes, = figure.axes
    circles = [patch for patch in axes.patches if isinstance(patch, Circle)]
    boxes = [patch.get_path().get_extents() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    arrows = {tuple(int(part) for part in patch.get_gid().split()[1:]): patch for patch in axes.patches
              if isinstance(patch, FancyArrowPatch)}
    return axes, circles, boxes, arrows


def ends(arrow):
    """Where an arrow begins, its highest control point, and where it ends."""
    if arrow._path_original is not None:
        points = arrow._path_original.vertices
        return points[0], points[:, 1].max(), points[-1]
    return numpy.array(arrow._posA_posB[0]), 0, numpy.array(arrow._posA_posB[1])


@pytest.mark.parametrize('layers', [1, 2, 3, 5, 12])
@pytest.mark.parametrize('draw', [plots.draw_dense_block, plots.draw_chain])
def test_circles_and_boxes_take_turns_and_touch_their_lines(draw, layers):
    axes, circles, boxes, _ = row(draw(layers))
    assert len(circles) == layers + 1 and len(boxes) == layers
    assert {patch.get_linewidth() for patch in axes.patches if isinstance(patch, FancyBboxPatch)} == {1.5}
    centers = numpy.array([circle.center for circle in circles])
    assert numpy.allclose(numpy.diff(centers, axis=0), [[2, 0]] * layers) and not centers[0].any()
    radius = circles[0].radius
    assert 0.2 < radius < 0.35 and {circle.radius for circle in circles} == {radius}
    for number, (left, box, right) in enumerate(zip(centers, boxes, centers[1:]), 1):
        assert left[0] + radius < box.x0 < box.x1 < right[0] - radius
        assert box.y0 == pytest.approx(-box.y1) and box.width == pytest.approx(0.5) and 0.5 < box.height < 0.65
        line = axes.lines[number - 1].get_xydata()
        assert line == pytest.approx(numpy.array([[box.x1, 0], [right[0] - radius, 0]]))
        name, = (text for text in axes.texts if text.get_text() == f'$H_{{{number}}}$')
        assert name.get_position() == pytest.approx(((box.x0 + box.x1) / 2, 0))
    for number, (x, _) in enumerate(centers):
        name, = (text for text in axes.texts if text.get_text() == f'$x_{{{number}}}$')
        assert name.get_position()[0] == x and -0.6 < name.get_position()[1] < -radius
        assert (name.get_va(), name.get_ha()) == ('top', 'center')


@pytest.mark.parametrize('layers', [1, 2, 3, 5, 12])
def test_connections_lead_from_their_circle_to_their_box_without_hiding_one_another(layers):
    axes, circles, boxes, arrows = row(plots.draw_dense_block(layers))
    radius, heights = circles[0].radius, {}
    for (i, j), arrow in arrows.items():
        begin, height, end = ends(arrow)
        circle, box = circles[i].center, boxes[j - 1]
        if j == i + 1:
            assert begin == pytest.approx([circle[0] + radius, 0]) and end == pytest.approx([box.x0, 0])
            continue
        assert numpy.hypot(*(begin - circle)) < radius and begin[1] > radius / 2
        assert box.x0 < end[0] < box.x1 and 0 <= end[1] - box.y1 < 0.05
        heights.setdefault(j - i, set()).add(round(height, 6))
    levels = [heights[span] for span in sorted(heights)]
    assert all(len(level) == 1 for level in levels)         # arcs of one length are alike
    levels = [level.pop() for level in levels]
    assert all(later - earlier > 0.5 for earlier, later in zip([0.6, *levels], levels))
    for number in range(layers + 1):        # the longest comes down on the left, and begins on the right
        landing = [ends(arrows[i, number])[2][0] for i in range(number - 1)]
        assert all(right - left > 0.036 for left, right in zip(landing, landing[1:]))
        starting = [ends(arrows[number, j])[0][0] for j in range(number + 2, layers + 1)]
        assert all(right - left > 0.021 for left, right in zip(starting, starting[1:]))
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left == pytest.approx(-0.6) and right == pytest.approx(2 * layers + 0.6) and -1.2 < bottom < -0.7
    # A Bezier curve whose inner points are h high, and whose ends are at 0.3, rises to 0.75 h + 0.075.
    highest = 0.75 * max(levels) + 0.075 if levels else 0.3
    assert 0.3 < top - highest < 1


def test_circles_and_names_lie_above_connections():
    axes, circles, _, arrows = row(plots.draw_dense_block(3))
    box = next(patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)).get_zorder()
    below = [part.get_zorder() for part in (*arrows.values(), *axes.lines)]
    assert max(below) < min(box, *(circle.get_zorder() for circle in circles))
    assert min(text.get_zorder() for text in axes.texts if 'H' in text.get_text()) >= box
    arcs = [arrow.get_zorder() for (i, j), arrow in arrows.items() if j > i + 1]
    assert min(arcs) > max(line.get_zorder() for line in axes.lines)


@pytest.mark.parametrize('layers', [3, 7])
def test_a_connection_has_the_color_of_the_features_it_carries(layers):
    _, circles, _, arrows = row(plots.draw_dense_block(layers))
    colors = [hexed(circle.get_facecolor()) for circle in circles]
    assert colors == [plots.diagrams.SOURCE_COLORS[number % 5] for number in range(layers + 1)]
    assert all(hexed(arrow.get_edgecolor()) == colors[i] for (i, _), arrow in arrows.items())
    assert {arrow.get_linewidth() for (i, j), arrow in arrows.items() if j == i + 1} == {2.2}
    assert {arrow.get_linewidth() for (i, j), arrow in arrows.items() if j > i + 1} == {2.0}    # they lie closer
    _, circles, _, arrows = row(plots.draw_chain(layers))
    assert {hexed(part.get_facecolor()) for part in (*circles, *arrows.values())} == {plots.look.GRAY}


@pytest.mark.parametrize('layers, width', [(1, 5), (2, 5.6), (5, 10.4), (12, 16)])
def test_a_block_is_as_wide_as_its_layers_need_and_fits_a_page(layers, width):
    for draw in (plots.draw_chain, plots.draw_dense_block):
        assert draw(layers).get_figwidth() == pytest.approx(width)
    heights = [plots.draw_dense_block(n).get_figheight() for n in (1, 2, 3, 12)]
    assert heights == pytest.approx([2.1, 2.72, 3.34, 8.92])


@pytest.mark.parametrize('draw', [plots.draw_chain, plots.draw_dense_block])
def test_layers_that_cannot_be_drawn(draw):
    with pytest.raises(ValueError, match='num_layers must be an integer of at most 12, got 13'):
        draw(13)
    for wrong in (0, -1, 2.0, '3'):
        with pytest.raises(ValueError, match='num_layers must be an integer of at least 1'):
            draw(wrong)


def test_one_layer_has_one_connection():
    for draw, kind in ((plots.draw_chain, 'plain chain'), (plots.draw_dense_block, 'dense block')):
        assert draw(1).axes[0].get_title() == f'{kind}: 1 layer, 1 connection'
    assert plots.describe(plots.draw_dense_block(2)) == (
        'dense block: 2 layers, 3 connections. A row x0, H1, x1, H2, ...: arcs lead from every feature x to all later '
        'layers H.')


def test_add_vs_concat_names_the_widths():
    assert {'64', '32', '96'} <= set(texts(plots.draw_add_vs_concat()).split(' | '))


def bars(axes):
    """(left, bottom, height, color) of each bar that is filled."""
    return [(round(bar.get_x() + bar.get_width() / 2, 6), bar.get_y(), bar.get_height(), hexed(bar.get_facecolor()))
            for bar in axes.patches if bar.get_facecolor()[3]]


def test_adding_keeps_the_width_and_concatenation_adds_the_widths():
    left, right = plots.draw_add_vs_concat().axes
    red, blue = plots.RESNET, plots.DENSENET
    pale_red, pale_blue = (hexed(plots.look.tint(color)) for color in (red, blue))
    assert bars(left) == [(0, 0, 64, red), (1, 0, 64, pale_red), (2, 0, 64, pale_red)]
    assert bars(right) == [(0, 0, 64, blue), (1, 0, 32, pale_blue), (2, 0, 64, blue), (2, 64, 32, pale_blue)]
    for axes, widths, sign, names in ((left, (64, 64, 64), '+', ['$x$', '$F(x)$', '$x + F(x)$']),
                                      (right, (64, 32, 96), 'and', ['$x$', '$H(x)$', '$[x, H(x)]$'])):
        numbers, signs = axes.texts[:3], axes.texts[3:]
        assert [(text.get_text(), text.get_position()[0]) for text in numbers] == [
            (str(width), place) for place, width in enumerate(widths)]
        assert all(0 < text.get_position()[1] - width < 6 for text, width in zip(numbers, widths))
        assert [(text.get_text(), *text.get_position()) for text in signs] == [(sign, 0.5, 20), ('=', 1.5, 20)]
        assert [label.get_text() for label in axes.get_xticklabels()] == names and [*axes.get_xticks()] == [0, 1, 2]
        assert [*axes.get_yticks()] == [0, 32, 64, 96] and axes.get_ylim() == (0, 112)
        assert axes.patches[0].get_width() == 0.55


def test_the_staircase_of_the_article():
    figure = plots.plot_channels(DenseNet())
    (stairs,) = (artist for artist in figure.findobj() if artist.get_gid() == 'channels')
    assert list(stairs.get_data().values) == [64, 96, 128, 160, 192, 96, 128, 160, 192, 224, 112, 144, 176, 208, 240,
                                              120, 152, 184, 216, 248]
    assert '12 x 12' in texts(figure) and '1 x 1' in texts(figure)


def written(axes):
    return {text.get_text(): text.get_position() for text in axes.texts}


def test_the_staircase_names_blocks_and_layers_where_they_are():
    """k = 12, two blocks of 2 and 3 layers from 64 channels: 64, 76, 88 | 44, 56, 68, 80."""
    axes, = plots.plot_channels(DenseNet(growth_rate=12, block_config=(2, 3))).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ['stem', '1', '2', 'T1', '1', '2', '3']
    assert list(axes.get_xticks()) == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    shapes = [patch.get_patch_transform().transform_path(patch.get_path()).vertices for patch in axes.patches[:2]]
    spans = [(shape[:, 0].min(), shape[:, 0].max()) for shape in shapes]     # matplotlib 3.7 has polygons there
    assert spans == [(1, 3), (4, 7)] and axes.get_xlim() == (0, 7)
    places, top = written(axes), axes.get_ylim()[1]
    assert axes.get_ylim()[0] == 0 and top == pytest.approx(1.32 * 88)
    for name, middle in (('dense block 1\n12 x 12', 2), ('dense block 2\n6 x 6', 5.5)):
        assert places[name][0] == middle and 0.9 * top < places[name][1] < top
    # The width before a block stands below its step, the width after it above.
    for width, x, side in (('64', 0.5, -1), ('88', 2.95, 1), ('44', 3.5, -1), ('80', 6.95, 1)):
        assert places[width][0] == pytest.approx(x) and 0 < side * (places[width][1] - int(width)) < 0.05 * top
    assert len(places) == 6


def test_a_long_staircase_numbers_only_the_last_layer_of_a_block():
    wide = plots.plot_channels(DenseNet(4, (16, 15), 8))        # 1 + 16 + 1 + 15 widths
    assert [label.get_text() for label in wide.axes[0].get_xticklabels()] == [
        'stem', *[''] * 15, '16', 'T1', *[''] * 14, '15']
    assert wide.get_figwidth() == pytest.approx(0.42 * 33)
    narrow = plots.plot_channels(DenseNet(4, (16, 14), 8)).axes[0].get_xticklabels()
    assert [label.get_text() for label in narrow] == ['stem', *map(str, range(1, 17)), 'T1', *map(str, range(1, 15))]
    assert plots.plot_channels(DenseNet(4, (40,), 8)).get_figwidth() == 16


def test_the_staircase_of_one_block_has_no_transition():
    assert plots.plot_channels(DenseNet(4, (2,), 8))._suptitle.get_text() == 'each convolution adds 4 channels'


@pytest.mark.parametrize('wrong, error, words', [
    ({'net': 3}, TypeError, 'net must be a DenseNet or its config'),
    ({'input_size': 48}, ValueError, 'input_size must'),
    *(({'input_size': size}, ValueError, 'input_size must') for size in ((1, 48, 48), (0, 48), (48, 0))),
    ({'input_size': (4, 48)}, ValueError, 'too small')])
def test_what_the_staircase_refuses(wrong, error, words):
    with pytest.raises(error, match=words):
        plots.plot_channels(**{'net': DenseNet(), **wrong})


@pytest.mark.parametrize('theta, words', [(0.5, 'halves them'), (1, 'keeps them'), (0.8, 'multiplies them by 0.8')])
def test_the_staircase_says_what_its_transitions_do(theta, words):
    assert words in texts(plots.plot_channels(DenseNet(compression=theta)))


def test_stages_side_by_side():
    figure = plots.plot_stages('resnet34', 'densenet169')
    left, right, below_left, below_right = figure.axes
    assert [bar.get_height() for bar in left.patches] == [64, 64, 128, 256, 512]
    assert [bar.get_height() for bar in right.patches] == [64, 256, 128, 512, 256, 1280, 640, 1664]
    assert list(below_left.lines[0].get_ydata()) == [56, 56, 28, 14, 7]
    assert list(below_right.lines[0].get_ydata()) == [56, 56, 28, 28, 14, 14, 7, 7]
    colors = [to_hex(axes.lines[0].get_color()).upper() for axes in (below_left, below_right)]
    assert colors == [plots.RESNET, plots.DENSENET]


def test_stages_are_named_and_measured():
    figure = plots.plot_stages('resnet18', 'densenet121')
    above, below = figure.axes[1], figure.axes[3]
    dark, pale = plots.DENSENET, hexed(plots.look.tint(plots.DENSENET))
    assert [hexed(bar.get_facecolor()) for bar in above.patches] == [dark, dark, pale, dark, pale, dark, pale, dark]
    assert {hexed(bar.get_facecolor()) for bar in figure.axes[0].patches} == {plots.RESNET}
    assert [label.get_text() for label in below.get_xticklabels()] == ['stem', 'D1', 'T1', 'D2', 'T2', 'D3', 'T3', 'D4']
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ['stem', '1', '2', '3', '4']
    assert [text.get_text() for text in above.texts] == ['64', '256', '128', '512', '256', '1024', '512', '1024']
    heights = [(text.get_text(), text.xy) for text in below.texts]
    assert heights == [(str(h), (i, h)) for i, h in enumerate((56, 56, 28, 28, 14, 14, 7, 7))]
    assert all(text.xyann == (0, 7) for text in below.texts)
    assert [axes.get_title() for axes in figure.axes] == ['resnet18', 'densenet121', '', '']
    assert figure._supxlabel.get_text() == 'images of 3 x 224 x 224; pale: transitions'
    assert below.get_yscale() == 'log' and below.yaxis.get_transform().base == 2
    assert [axes.get_ylabel() for axes in figure.axes] == ['channels after the stage', '', 'height in pixels', '']


def test_stages_of_networks_for_other_images():
    figure = plots.plot_stages('article', 'resnet110')
    assert figure._supxlabel.get_text() == 'images of 1 x 48 x 48 and 3 x 32 x 32; pale: transitions'
    assert figure.axes[2].get_ylim()[0] == pytest.approx(0.71)          # down to one pixel
    assert plots.plot_stages('resnet110')._supxlabel.get_text() == 'images of 3 x 32 x 32'
    assert [figure.get_figwidth(), plots.plot_stages('resnet110').get_figwidth()] == [10.4, 6.5]
    with pytest.raises(ValueError, match='Dense has no stage that produces feature maps'):
        plots.plot_stages(mx.gluon.nn.Dense(3), input_shape=(4,))


def test_growth_puts_each_source_on_the_one_before():
    axes, = plots.draw_growth((3, 10, 5, 0.5)).axes
    stacks = {}
    for bar in axes.patches:
        stacks.setdefault(round(bar.get_x() + bar.get_width() / 2, 6), []).append((bar.get_y(), bar.get_height()))
        assert bar.get_width() == pytest.approx(0.8)
    x = [(0, 5), (5, 10), (15, 10), (25, 10)]
    assert stacks == {0: x[:1], 1: x[:2], 2: x[:3], 3: x, 4.5: [(0, 17)]}        # floor(35 / 2)
    colors = {bar.get_gid(): hexed(bar.get_facecolor()) for bar in axes.patches}
    assert colors == {**{f'x{i}': plots.diagrams.SOURCE_COLORS[i] for i in range(4)}, 'transition': plots.look.GRAY}
    assert written(axes) == {f'$x_{{{i}}}$': (3.45, middle) for i, middle in enumerate((2.5, 10, 20, 30))}
    assert [*axes.get_xticks()] == [0, 1, 2, 3, 4.5] and axes.get_xlim() == pytest.approx((-0.6, 5.1))
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ['input', 'after $H_{1}$', 'after $H_{2}$', 'after $H_{3}$', 'transition']
    assert axes.get_title().startswith(
        '$k_0$ = 5, $L$ = 3, $k$ = 10, $\\theta$ = 0.5: 35 channels, 17 after the transition,\n6 connections')
    assert plots.draw_growth((3, 10, 5)).axes[0].get_xlim() == pytest.approx((-0.6, 3.9))


def test_growth_leaves_out_names_for_which_there_is_no_room():
    narrow = plots.draw_growth((8, 2, 12)).axes[0]            # 2 of 28 channels: a fourteenth
    assert [*written(narrow)] == ['$x_{0}$']
    assert [*written(plots.draw_growth((7, 2, 12)).axes[0])] == [f'$x_{{{i}}}$' for i in range(8)]
    names = [[label.get_text() for label in plots.draw_growth((layers, 2, 12)).axes[0].get_xticklabels()][:2]
             for layers in (4, 5)]
    assert names == [['input', 'after $H_{1}$'], ['input', '$H_{1}$']]
    colors = [hexed(bar.get_facecolor()) for bar in narrow.patches if bar.get_gid() in ('x0', 'x5', 'x6')]
    assert colors[0] == plots.diagrams.SOURCE_COLORS[0] and colors[-1] == plots.diagrams.SOURCE_COLORS[1]


@pytest.mark.parametrize('count, height', [(1, 4.6), (2, 7), (4, 13)])
def test_growth_of_several_blocks_is_drawn_on_one_scale(count, height):
    figure = plots.draw_growth(*[(2, 4, 3 * number) for number in range(1, count + 1)])
    assert figure.get_size_inches() == pytest.approx((7.5, height)) and len(figure.axes) == count
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


@pytest.mark.parametrize('blocks, error, words', [
    ([], ValueError, 'one to four tuples, got 0'), ([(1, 1, 1)] * 5, ValueError, 'one to four tuples, got 5'),
    ([3], TypeError, 'blocks must be tuples'), ([(1, 1)], TypeError, 'blocks must be tuples'),
    ([(1, 1, 1, 1, 1)], TypeError, 'blocks must be tuples'), ([[1, 1, 1]], TypeError, 'blocks must be tuples'),
    ([(0, 1, 1)], ValueError, 'L in blocks'), ([(1, 0, 1)], ValueError, 'k in blocks'),
    ([(1, 1, 0)], ValueError, 'k0 in blocks'), ([(1, 1, 1, 1.1)], ValueError, 'theta in blocks must be .* at most 1'),
    ([(1, 1, 1, -0.1)], ValueError, 'theta in blocks')])
def test_what_growth_refuses(blocks, error, words):
    with pytest.raises(error, match=words):
        plots.draw_growth(*blocks)


def test_growth_shows_every_source_in_every_stack():
    figure = plots.draw_growth((4, 10, 5), (2, 4, 8, 0.5))
    above, below = figure.axes
    heights = {}
    for bar in above.patches:
        heights.setdefault(bar.get_gid(), []).append(bar.get_height())
    assert heights == {'x0': [5] * 5, 'x1': [10] * 4, 'x2': [10] * 3, 'x3': [10] * 2, 'x4': [10]}
    assert [bar.get_height() for bar in below.patches if bar.get_gid() == 'transition'] == [8]


@pytest.mark.parametrize('layers, rate, first', [(4, 10, 5), (1, 3, 7), (8, 12, 16)])
def test_growth_counts_what_the_package_builds(layers, rate, first):
    net = mx.gluon.nn.HybridSequential()
    net.add(DenseBlock(layers, rate), transition_block((first + layers * rate) // 2))
    net.initialize()
    net(mx.nd.ones((1, first, 4, 4)))
    titles = [axes.get_title() for axes in plots.draw_growth((layers, rate, first),
                                                             (layers, rate, first, 0.5)).axes]
    for part, title in ((net[0], titles[0]), (net, titles[1])):
        counted = sum(p.data().size for p in part.collect_params().values() if p.grad_req != 'null')
        assert f' {counted:,} parameters' in title
    assert f'{layers * (layers + 1) // 2} connection' in titles[0]
