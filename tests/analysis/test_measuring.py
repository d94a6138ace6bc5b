"""Wall time in turn, peak memory in a process of its own."""

import subprocess
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


def test_times_are_in_milliseconds_and_one_round_warms_up(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(time, 'perf_counter', lambda: next(clock) / 8)
    calls = []
    times = in_turn({'a': lambda: calls.append('a')}, 2)
    assert times['a'].tolist() == [125, 125] and len(calls) == 3
    assert in_turn({'a': lambda: calls.append('a')}, 1, warm_up=0)['a'].tolist() == [125] and len(calls) == 4


@pytest.mark.parametrize('candidates', [None, [len], {'a': 3}, {'a': len, 'b': 'x'}])
def test_candidates_are_functions(candidates):
    with pytest.raises(TypeError, match='candidates must be a dict of functions, got '):
        in_turn(candidates, 1)
    with pytest.raises(ValueError, match='warm_up must be an integer of at least 0'):
        in_turn({}, 1, warm_up=-1)


def test_what_cannot_be_measured_is_named():
    with pytest.raises(TypeError, match='function must be a function that is written in a cell or a file, got <built'):
        peak_memory(len)
    with pytest.raises(TypeError, match='uses must be a function'):
        peak_memory(hold, 1, uses=[3])


def test_only_linux_says_its_peak(monkeypatch):
    monkeypatch.setattr('os.path.exists', lambda path: False)
    with pytest.raises(RuntimeError, match='which only Linux has'):
        peak_memory(hold, 1)


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


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_a_call_that_ends_without_a_word_has_its_exit_code(monkeypatch):
    monkeypatch.setattr(subprocess, 'run', lambda command, **options: subprocess.CompletedProcess(command, 3, '', ' '))
    with pytest.raises(RuntimeError, match=r'hold failed: exit code 3$'):
        peak_memory(hold, 1)
