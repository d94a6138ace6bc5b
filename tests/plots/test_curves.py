"""Curves: that they show what their data say."""

from types import SimpleNamespace

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
    colours = {line.get_color() for line in figure.axes[0].get_lines()}
    assert len(colours) == 2


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


@pytest.mark.parametrize('runs, words', [
    ([[0.90, 0.92], [0.89, 0.91]], 'its runs overlap with those of DenseNet'),
    ([[0.9], [0.8]], 'nobody knows the spread')])
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


def test_memory_of_fewer_than_three_depths_has_no_curve():
    figure = plots.plot_memory(memory(6, 12), memory(6, 12))
    assert all(line.get_marker() == 'o' for axes in figure.axes for line in axes.lines)
    assert '2 times the layers need more memory: ordinary 3.2 times, recomputing 1.7 times' in texts(figure)
    assert 'one training step: ordinary 30 MB, recomputing 34 MB' in texts(plots.plot_memory(memory(6), memory(6)))


def test_memory_of_nothing_is_refused():
    for bad, error in [({}, ValueError), ([], TypeError), ({'a': []}, ValueError), ({'a': [(0, 1)]}, ValueError)]:
        with pytest.raises(error, match='measured'):
            plots.plot_memory(memory(6), bad)


def test_live_accuracy_grows_and_starts_again():
    live = plots.LiveAccuracy('validation accuracy')
    for label, epoch, accuracy in (('linear', 0, 0.1), ('linear', 1, 0.8), ('DenseNet', 0, 0.2), ('linear', 0, 0.3)):
        live.add(label, epoch, accuracy)
    assert live.curves == {'linear': [(0, 0.3)], 'DenseNet': [(0, 0.2)]}
    assert 'DenseNet: 0.200' in texts(live.figure) and 'so far: linear, 0.300' in texts(live.figure)
    with pytest.raises(ValueError, match='accuracy'):
        live.add('linear', 1, 1.5)


def test_live_accuracy_changes_its_figure_in_place(monkeypatch):
    """One display per curve; later points update it."""
    calls = []

    class Handle:
        def update(self, figure):
            calls.append('update')

    monkeypatch.setattr('IPython.get_ipython', lambda: SimpleNamespace(kernel=True))
    monkeypatch.setattr('IPython.display.display', lambda figure, display_id: calls.append('display') or Handle())
    live = plots.LiveAccuracy('accuracy')
    for label, epoch in (('a', 0), ('a', 1), ('a', 2), ('b', 0), ('b', 1), ('a', 0)):
        live.add(label, epoch, 0.5)
    assert calls == ['display', 'update', 'update', 'display', 'update', 'display']
