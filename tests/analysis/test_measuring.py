"""Wall time in turn, peak memory in a process of its own."""

import sys
import time

import numpy
import pytest

from d2l_densenet.analysis.measuring import in_turn, peak_memory


def hold(megabytes):
    return mx.nd.ones((megabytes, 1000, 250))  # noqa: F821  (the new process has mx)


def free(megabytes):
    for _ in range(4):
        hold(megabytes).wait_to_read()


def fail():
    raise KeyError('no such thing')


def test_candidates_take_turns_and_the_warm_up_is_not_timed():
    calls = []
    times = in_turn({'a': lambda: calls.append('a'), 'b': lambda: (calls.append('b'), time.sleep(0.02))}, 3, warm_up=2)
    assert calls == ['a', 'b'] * 5
    assert {name: len(row) for name, row in times.items()} == {'a': 3, 'b': 3}
    assert all(isinstance(row, numpy.ndarray) and (row >= 0).all() for row in times.values())
    assert times['b'].min() >= 20 > numpy.median(times['a'])


@pytest.mark.parametrize('rounds', [0, 1.5, None])
def test_rounds_that_make_no_sense(rounds):
    with pytest.raises(ValueError, match='rounds'):
        in_turn({}, rounds)


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_peak_is_what_is_held_at_once():
    """100 MB are 100 MB; four times the same, freed each time, are no more."""
    assert 99e6 <= peak_memory(hold, 100) < 110e6
    assert 99e6 <= peak_memory(free, 100, uses=[hold]) < 130e6


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_a_call_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"fail failed: KeyError: 'no such thing'"):
        peak_memory(fail)
