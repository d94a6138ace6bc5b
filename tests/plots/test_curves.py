"""Curves: that they show what their data say."""

from unittest.mock import MagicMock

import numpy
import pytest
from plot_samples import costs, history, memory, texts

from d2l_densenet import History, plots


def test_history_shows_the_numbers_and_names_the_data():
    figure = plots.plot_history(history(0.6, 0.75, 0.7))
    assert 'test accuracy 0.700 after 3 epochs' in texts(figure) and 'some data' in texts(figure)
    lines = [line.get_ydata() for axes in figure.axes for line in axes.get_lines()]
    assert any(list(y) == [0.6, 0.75, 0.7] for y in lines) and any(list(y) == [1, 1 / 2, 1 / 3] for y in lines)


def test_histories_side_by_side_and_without_test_data():
    figure = plots.plot_history({'article': history(0.6, 0.7), 'course': history(0.8)})
    assert '0.800 (course, 1 epoch)' in texts(figure) and 'article, test' in texts(figure)
    assert 'training accuracy 0.500' in texts(plots.plot_history(history(None)))
    colors = {line.get_color() for line in figure.axes[0].get_lines()}
    assert len(colors) == 2


def looks(line):
    return line.get_linestyle(), line.get_marker(), line.get_markerfacecolor()


def test_training_and_test_accuracy_are_told_apart_without_color():
    figure = plots.plot_history(history(0.6, 0.7))
    loss, = figure.axes[0].get_lines()
    train, test = figure.axes[1].get_lines()
    blue = plots.DENSENET
    assert [looks(line) for line in (loss, train, test)] == [('-', 'o', blue), ('--', 'o', 'white'), ('-', 'o', blue)]
    assert [line.get_label() for line in (loss, train, test)] == ['training', 'training', 'test']


def test_epochs_are_whole_numbers_with_room_at_both_ends():
    figure = plots.plot_history({'long': history(*[0.5] * 4), 'short': history(0.5)})
    for axes in figure.axes:
        assert axes.get_xlim() == pytest.approx((0.7, 4.3)) and axes.get_xlabel() == 'epoch'
        assert [tick for tick in axes.get_xticks() if 0.7 < tick < 4.3] == [1, 2, 3, 4]
        assert axes.get_xgridlines()[0].get_visible()
    assert [axes.get_title() for axes in figure.axes] == ['loss', 'accuracy']
    assert [axes.get_ylabel() for axes in figure.axes] == ['cross-entropy (nats per image)',
                                                           'accuracy (share of images)']
    long = plots.plot_history(history(*[0.5] * 100)).axes[0]
    assert len([tick for tick in long.get_xticks() if 0.7 < tick < 100.3]) <= 11


def test_data_sets_are_named_once_each():
    runs = {'a': history(0.5, data='one'), 'b': history(0.5, data='two'), 'c': history(0.5, data='one')}
    assert plots.plot_history(runs)._supxlabel.get_text() == 'one, two'


@pytest.mark.parametrize('runs, title', [
    ({'a': history(0.9, 0.6), 'b': history(0.7, 0.65)}, 'best test accuracy at the end: 0.650 (b, 2 epochs)'),
    ({'a': history(None), 'b': history(0.1)}, 'best test accuracy at the end: 0.100 (b, 1 epoch)'),
    ({'a': history(None), 'b': history(None)}, 'best training accuracy at the end: 0.500 (a, 1 epoch)'),
    ({'a': history(0.7)}, 'a: test accuracy 0.700 after 1 epoch'),
    ({'a': history(0.0)}, 'a: test accuracy 0.000 after 1 epoch'),
    (history(0.7), 'test accuracy 0.700 after 1 epoch')])
def test_the_title_states_the_best_at_the_end(runs, title):
    assert plots.plot_history(runs)._suptitle.get_text() == title


@pytest.mark.parametrize('changes', [{'loss': None}, {'epoch': 'one'}, {'train_acc': None}, {'test_acc': 'high'}])
def test_a_row_without_its_numbers_is_shown(changes):
    row = {'epoch': 1, 'loss': 0.5, 'train_acc': 0.5, 'test_acc': None, **changes}
    with pytest.raises(ValueError, match="each row of history 'a' must have the numbers epoch, loss, .*, got {'epoch'"):
        plots.plot_history({'a': History([row])})
    del row[[*changes][0]]
    with pytest.raises(ValueError, match='each row of history must have the numbers'):
        plots.plot_history(History([row]))


def test_history_of_nothing_is_refused():
    for bad, error in [({}, ValueError), (History(), ValueError), ([0.5], TypeError)]:
        with pytest.raises(error, match='history'):
            plots.plot_history(bad)


def test_accuracy_against_cost():
    figure = plots.plot_accuracy({
        'ResNet': (costs(200_000, 7e6), [0.90, 0.92]), 'DenseNet, small': (costs(100_000, 7e6), [0.86, 0.88]),
        'DenseNet': (costs(200_000, 12e6), [0.85, 0.89]), 'plain': (costs(200_000, 7e6), [0.5, 0.6])}, data='some data')
    assert 'ResNet, 0.910, each run above all runs' in texts(figure) and 'some data' in texts(figure)
    for axes, expected in zip(figure.axes, ([200, 100, 200, 200], [7, 7, 12, 7])):
        means = {line.get_gid(): line for line in axes.get_lines() if line.get_gid()}
        assert [line.get_xdata()[0] for line in means.values()] == expected
        assert [line.get_ydata()[0] for line in means.values()] == pytest.approx([0.91, 0.87, 0.87, 0.55])
        assert [line.get_color() for line in means.values()][:3] == [plots.RESNET, plots.DENSENET, plots.DENSENET]
        assert len({(line.get_color(), line.get_marker()) for line in means.values()}) == 4
        assert axes.get_ylim()[0] < 0.5 and axes.get_ylim()[1] > 0.92
        # Equal costs stand side by side.
        places = [tuple(line.get_transform().transform((0, 0)).round(3)) for line in means.values()]
        assert len(set(places)) >= 3


def shift(line):
    """By how many points a line is moved to the right."""
    moved = line.get_transform().transform((0, 0)) - line.axes.transData.transform((0, 0))
    assert moved[1] == 0
    return moved[0] * 72 / line.figure.dpi


@pytest.mark.parametrize('cost, points', [
    ([100, 200, 300], [0, 0, 0]), ([100, 100, 300], [-6.5, 6.5, 0]), ([100, 100, 100], [-13, 0, 13]),
    ([100, 103, 300], [-6.5, 6.5, 0]), ([100, 105, 300], [0, 0, 0]), ([0, 0, 300], [-6.5, 6.5, 0])])
def test_marks_of_about_equal_cost_stand_side_by_side(cost, points):
    figure = plots.plot_accuracy({f'net {i}': (costs(1000 * each, 1e6 * each), [0.5, 0.6])
                                  for i, each in enumerate(cost)})
    figure.canvas.draw()
    for axes in figure.axes:
        shifts = [shift(line) for line in axes.get_lines()]
        assert shifts[2::3] == pytest.approx(points, abs=1e-6)         # the means
        assert shifts[::3] == shifts[1::3] == shifts[2::3]             # the lines and the runs move along
        assert axes.get_xlim() == pytest.approx((0, 1.12 * max(cost)))


def test_each_network_shows_its_lowest_its_highest_and_every_run():
    runs = [0.62, 0.5, 0.59]
    figure = plots.plot_accuracy({'a': (costs(1000, 1e6), runs), 'b': (costs(9000, 9e6), [0.4])})
    line, marks, mean = figure.axes[0].get_lines()[:3]
    assert [*line.get_ydata()] == [0.5, 0.62] and [*marks.get_ydata()] == runs
    assert [*mean.get_ydata()] == pytest.approx([0.57]) and marks.get_marker() == '_'
    assert (line.get_linewidth(), marks.get_markersize(), mean.get_markersize()) == (1.5, 11, 9)
    assert figure.axes[0].get_ylim() == pytest.approx((0.4 - 0.08 * 0.22, 0.62 + 0.08 * 0.22))
    assert [axes.get_ylabel() for axes in figure.axes] == [
        'accuracy (share of images)', '']


def test_equal_accuracies_have_room_above_and_below():
    axes = plots.plot_accuracy({'a': (costs(1, 1), [0.5]), 'b': (costs(2, 2), [0.5])}).axes[0]
    assert axes.get_ylim() == pytest.approx((0.49, 0.51))


def test_networks_of_a_kind_share_its_color_and_have_marks_of_their_own():
    names = [f'{kind} {i}' for kind in ('resnet', 'DenseNet', 'net') for i in range(3)]
    figure = plots.plot_accuracy({name: (costs(i + 1, i + 1), [0.5]) for i, name in enumerate(names)})
    found = [(line.get_color(), line.get_marker()) for line in figure.axes[0].get_lines() if line.get_gid()]
    assert found == [(color, mark) for color, marks in (
        (plots.RESNET, 'sDP'), (plots.DENSENET, 'o^v'), (plots.look.GRAY, 'Xd*')) for mark in marks]


@pytest.mark.parametrize('bad', [
    {'a': costs(1, 1)}, {'a': (costs(1, 1),)}, {'a': (costs(1, 1), 0.5)}, {'a': (1, [0.5])}, {1: (costs(1, 1), [0.5])},
    {'a': (costs(1, 1), [0.5], 1)}])
def test_an_entry_that_is_no_pair_is_shown(bad):
    with pytest.raises(ValueError, match=r'each entry of networks must be a label with \(summary of the network'):
        plots.plot_accuracy(bad)


@pytest.mark.parametrize('accuracy', [-0.01, 1.01, 50, None, float('nan')])
def test_an_accuracy_is_a_share(accuracy):
    with pytest.raises(ValueError, match="each accuracy in networks, here of 'a', must be .* and at most 1"):
        plots.plot_accuracy({'a': (costs(1, 1), [0.5, accuracy])})
    with pytest.raises(ValueError, match='accuracy must be .* and at most 1'):
        plots.LiveAccuracy('accuracy').add('a', 0, accuracy)
    assert plots.plot_accuracy({'a': (costs(1, 1), [0, 1])})


@pytest.mark.parametrize('runs, words', [
    ([[0.90, 0.92], [0.89, 0.91]], 'its runs overlap with those of DenseNet'),
    ([[0.90, 0.92], [0.89, 0.90]], 'its runs overlap with those of DenseNet'),     # as high as the lowest
    ([[0.9], [0.8]], 'nobody knows the spread'), ([[0.9, 0.91], [0.8]], 'nobody knows the spread')])
def test_accuracy_claims_no_order_that_the_runs_do_not_show(runs, words):
    resnet, densenet = runs
    figure = plots.plot_accuracy({'ResNet': (costs(1, 1), resnet), 'DenseNet': (costs(1, 2), densenet)})
    assert words in texts(figure) and 'above all' not in texts(figure)
    for bad in ({}, {'ResNet': (costs(1, 1), [])}):
        with pytest.raises(ValueError, match='networks'):
            plots.plot_accuracy(bad)


def test_memory_shows_the_rows_and_how_they_grow():
    figure = plots.plot_memory(memory(24, 6, 12), {'ordinary': memory(6, 12, 24)['ordinary']})
    counted, measured = figure.axes
    dots = {line.get_label().split(':')[0]: line for line in counted.lines if line.get_marker() == 'o'}
    assert list(dots['ordinary'].get_xdata()) == [6, 12, 24]
    numpy.testing.assert_allclose(dots['ordinary'].get_ydata(), [30, 96, 336])
    numpy.testing.assert_allclose(dots['recomputing'].get_ydata(), [34, 58, 106])
    assert [text.get_text() for text in counted.get_legend().get_texts()] == ['ordinary: $0.5 L^2 + 2 L$',
                                                                              'recomputing: $4 L + 10$']
    assert dots['ordinary'].get_color() == measured.lines[0].get_color() != dots['recomputing'].get_color()
    # The curve of degree 2 goes through points that lie on one.
    curve, = (line for line in measured.lines if line.get_marker() == 'None')
    numpy.testing.assert_allclose(curve.get_ydata(), 0.5 * curve.get_xdata() ** 2 + 2 * curve.get_xdata())
    assert '4 times the layers need more memory: ordinary 11.2 times' in texts(figure)


def test_a_term_that_counts_at_the_deepest_is_written_however_small_its_factor():
    rows = {'bends': [(n, 2e6 * n - 2e3 * n * n) for n in (20, 100, 200)],            # by 80 of 320 MB at L = 200
            'straight': [(n, 2e6 * n + 10 * n * n) for n in (20, 100, 200)]}          # by 0.4 of 400 MB
    legend = plots.plot_memory(rows, rows).axes[0].get_legend().get_texts()
    assert [text.get_text() for text in legend] == ['bends: $- 0.002 L^2 + 2 L$', 'straight: $2 L$']


@pytest.mark.parametrize('rows, title', [
    ({'a': [(2, 1e6), (5, 3e6)], 'b': [(2, 2e6), (5, 2e6)]},
     '2.5 times the layers need more memory: a 3.0 times, b 1.0 times'),
    ({'a': [(2, 1e6), (5, 3e6)], 'b': [(2, 2e6), (6, 2.6e6)]}, 'peak memory of one training step: a 3 MB, b 3 MB'),
    ({'a': [(2, 1e6), (5, 3e6)], 'b': [(1, 2e6), (5, 2e6)]}, 'peak memory of one training step: a 3 MB, b 2 MB'),
    ({'a': [(2, 0), (5, 3e6)]}, 'peak memory of one training step: a 3 MB')])           # not times nothing
def test_the_title_compares_what_can_be_compared(rows, title):
    assert plots.plot_memory(memory(6), rows)._suptitle.get_text() == title


@pytest.mark.parametrize('factors, formula', [
    ((0.5, 2, 0), '0.5 L^2 + 2 L'), ((0.004, 0, 0.1), '0.004 L^2 + 0.1'), ((0, 0, 7), '7'), ((0, 3, -7), '3 L - 7'),
    ((0, 0, 0), '0'), ((0.123456, 1.98765, 0), '0.12 L^2 + 2 L'), ((-0.02, 3, 1), '- 0.02 L^2 + 3 L + 1'),
    ((0, 5, 0.004), '5 L'), ((0, 5, 0.006), '5 L + 0.006'), ((0, 0.004, 7), '7'),
    ((0, 0.03, 0.004), '0.03 L'), ((0.00021, 0, 0.979), '0.00021 L^2 + 0.98')])
def test_the_polynomial_of_a_curve_has_two_digits_and_no_terms_of_nothing(factors, formula):
    assert plots.curves._polynomial(factors, 10) == formula


def test_memory_is_in_megabytes_from_nothing_up():
    figure = plots.plot_memory({'a': [(2, 3e6), (9, 8e6)]}, {'a': [(2, 1.5e6)]})
    assert [line.get_ydata().tolist() for axes in figure.axes for line in axes.lines] == [[3, 8], [1.5]]
    assert [axes.get_ylabel() for axes in figure.axes] == ['kept for the backward pass (MB)',
                                                           'peak of one training step (MB)']
    for axes in figure.axes:
        assert axes.get_xlim()[0] == axes.get_ylim()[0] == 0
        assert axes.get_legend().get_texts()[0].get_fontsize() == 12


def test_memory_of_three_rows_at_two_depths_has_no_curve():
    rows = {'a': [(6, 1e6), (6, 2e6), (12, 3e6)]}
    assert [line.get_marker() for line in plots.plot_memory(rows, rows).axes[0].lines] == ['o']


def test_a_curve_leads_from_the_first_depth_to_the_last():
    curve = plots.plot_memory(memory(24, 6, 12), memory(6)).axes[0].lines[0].get_xdata()
    assert (curve[0], curve[-1]) == (6, 24) and len(curve) >= 50


def test_memory_of_fewer_than_three_depths_has_no_curve():
    figure = plots.plot_memory(memory(6, 12), memory(6, 12))
    assert all(line.get_marker() == 'o' for axes in figure.axes for line in axes.lines)
    assert '2 times the layers need more memory: ordinary 3.2 times, recomputing 1.7 times' in texts(figure)
    assert 'one training step: ordinary 30 MB, recomputing 34 MB' in texts(plots.plot_memory(memory(6), memory(6)))


def test_memory_of_nothing_is_refused():
    rows = [[], [(0, 1)], [(1.5, 1)], [(1, -1)], [(1, 2, 3)], [1, 2], [(1, float('nan'))]]
    for bad, error in [({}, ValueError), ([], TypeError), *(({'a': some}, ValueError) for some in rows)]:
        with pytest.raises(error, match='measured'):
            plots.plot_memory(memory(6), bad)
    assert plots.plot_memory({'a': [(1, 0)]}, memory(6))


def test_live_accuracy_grows_and_starts_again():
    live = plots.LiveAccuracy('validation accuracy')
    for label, epoch, accuracy in (('linear', 0, 0.1), ('linear', 1, 0.8), ('DenseNet', 0, 0.2), ('linear', 0, 0.3)):
        live.add(label, epoch, accuracy)
    assert live.curves == {'linear': [(0, 0.3)], 'DenseNet': [(0, 0.2)]}
    assert 'DenseNet: 0.200' in texts(live.figure) and 'so far: linear, 0.300' in texts(live.figure)
    with pytest.raises(ValueError, match='accuracy'):
        live.add('linear', 1, 1.5)


def test_live_accuracy_has_fixed_limits_and_room_for_two_epochs_from_the_start():
    live = plots.LiveAccuracy('accuracy')
    live.add('a', 0, 0)
    assert live.figure.axes[0].get_xlim() == pytest.approx((-0.1, 1.1))
    live.add('a', 3, 1)
    assert live.figure.axes[0].get_xlim() == pytest.approx((-0.1, 3.1)) and live.figure.axes[0].get_ylim() == (0, 1)
    assert live.figure.axes[0].get_ylabel() == 'accuracy\n(share of images)'
    line, = live.figure.axes[0].get_lines()
    assert ([*line.get_xdata()], [*line.get_ydata()], line.get_label()) == ([0, 3], [0, 1], 'a: 1.000')


def test_live_accuracy_starts_again_at_an_epoch_that_was_there():
    live = plots.LiveAccuracy('accuracy')
    for epoch in (1, 2, 2):
        live.add('a', epoch, 0.5)
    assert live.curves == {'a': [(2, 0.5)]}
    with pytest.raises(ValueError, match='epoch must be a finite number'):
        live.add('b', 'two', 0.5)
    live.add('a', 3, 0.5)


def test_live_accuracy_changes_its_figure_in_place(monkeypatch):
    """One display per curve; later points update it."""
    calls = []

    class Handle:
        def update(self, figure):
            calls.append('update')

    monkeypatch.setattr('IPython.get_ipython', MagicMock(return_value=MagicMock(kernel=True)))
    monkeypatch.setattr('IPython.display.display', lambda figure, display_id: calls.append('display') or Handle())
    live = plots.LiveAccuracy('accuracy')
    for label, epoch in (('a', 0), ('a', 1), ('a', 2), ('b', 0), ('b', 1), ('a', 0)):
        live.add(label, epoch, 0.5)
    assert calls == ['display', 'update', 'update', 'display', 'update', 'display']
