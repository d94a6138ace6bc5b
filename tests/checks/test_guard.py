"""What runs the learner's code: it ends whatever happens, leaves everything as it was, and speaks in one sentence."""

import random
import re
import signal
import sys
import threading
import time

import numpy
import pytest
from helpers import MODES, python, switch
from learners import ConvBlock, message_of, my_conv_block, undisturbed
from mxnet import autograd, npx
from mxnet.util import is_np_array

from d2l_densenet import checks


def test_what_nobody_thought_of_ends_in_a_sentence_too():
    class Odd:
        def __call__(self, num_channels):
            return my_conv_block(num_channels)

        def __getattr__(self, name):
            raise RuntimeError('odd')

    message = message_of(checks.conv_block, Odd())
    assert 'cannot make sense of your solution; inside it came to RuntimeError: odd' in message


def loops(num_channels):
    while True:
        pass


def loops_and_catches(num_channels):
    while True:
        try:
            num_channels += 1
        except:  # noqa: E722
            pass


def sleeps(num_channels):
    time.sleep(60)


def exits(num_channels):
    sys.exit(0)


def recurses(num_channels):
    return recurses(num_channels + 1)


def prints_without_end(num_channels):
    while True:
        print('num_channels', num_channels)


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


def raises_the_unprintable(num_channels):
    raise Unprintable


def returns_the_unprintable(num_channels):
    return Unprintable()


def stops(num_channels):
    raise StopIteration


HOSTILE = [
    (loops, r'still running after 0\.3 s, at \w+\.py, line \d+: `(while True:|pass)`'),
    (loops_and_catches, r'still running after 0\.3 s, at \w+\.py, line \d+'),
    (exits, r'ends Python, at \w+\.py, line \d+: `sys\.exit\(0\)`'),
    (recurses, r'calls itself without end, at \w+\.py, line \d+: `return recurses'),
    (prints_without_end, r'printed more than 10,000 characters, at .*`print\('),
    (raises_the_unprintable, r'raised Unprintable, at \w+\.py, line \d+: `raise Unprintable`'),
    (returns_the_unprintable, r'should return a Gluon block and returns .*Unprintable'),
    (stops, r'raised StopIteration, at'),
]


def skip_what_cannot_be_ended(learner):
    if learner is loops_and_catches and sys.version_info < (3, 11):
        pytest.skip('Python 3.10 looks for no signal in this loop, not even for Ctrl-C')


@pytest.mark.parametrize('learner, expected', HOSTILE, ids=[row[0].__name__ for row in HOSTILE])
def test_hostile_code_gets_a_sentence(learner, expected, capsys):
    skip_what_cannot_be_ended(learner)
    npx.set_np()
    before = signal.getsignal(signal.SIGALRM)
    message = message_of(checks.conv_block, learner, time_limit=0.3)
    assert re.search(expected, message), message
    assert len(capsys.readouterr().out) <= 10_000
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_sleep_is_ended_too():
    message = message_of(checks.conv_block, sleeps, time_limit=0.2)
    assert re.search(r'still running after 0\.2 s, at \w+\.py, line \d+: `time\.sleep\(60\)`', message)


def test_the_line_that_called_the_check_is_not_blamed():
    message = message_of(checks.connections, time.sleep, time_limit=0.05)  # no line of the learner's is running
    assert 'still running after 0.05 s. Is there' in message


@pytest.mark.parametrize('learner', [loops, loops_and_catches])
def test_the_time_limit_holds_outside_the_main_thread(learner):
    skip_what_cannot_be_ended(learner)
    messages = []

    def in_thread():
        with pytest.raises(checks.CheckFailed) as caught:
            checks.conv_block(learner, time_limit=0.3)
        messages.append(str(caught.value))
        checks.connections(lambda L: L * (L + 1) // 2)  # nothing is left pending
        messages.append('end')
        sys.setprofile(lambda *_: None)  # on Python 3.11 a traced call would never end, or fail
        try:
            (lambda: messages.append('traced'))()
        finally:
            sys.setprofile(None)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join(60)
    assert 'still running after 0.3 s, at ' in messages[0] and messages[1:] == ['end', 'traced']


@pytest.mark.parametrize('limit', [0, -1, None, '5', float('nan')])
def test_a_time_limit_is_a_number_of_seconds(limit):
    with pytest.raises(ValueError, match='time_limit must be a finite number above 0'):
        checks.connections(lambda L: L * (L + 1) // 2, time_limit=limit)


def test_an_outer_alarm_goes_on():
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 1000)
        checks.connections(lambda L: L * (L + 1) // 2)
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 500 < left <= 1000 and not rang
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_passes_through():
    def interrupted(num_channels):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks.conv_block(interrupted)


def test_what_the_learner_prints_is_shown(capsys):
    def prints(num_layers):
        print('here', num_layers)
        return num_layers * (num_layers + 1) // 2

    checks.connections(prints)
    assert capsys.readouterr().out.startswith('here 1\nhere 2\n')


def disturbs(num_channels):
    """Whatever a learner may leave behind."""
    (npx.reset_np if is_np_array() else npx.set_np)()
    numpy.random.seed(5)
    random.seed(5)
    autograd.set_recording(True)
    autograd.set_training(True)
    raise ValueError('left behind')


def test_a_check_within_a_recording_leaves_it_on():
    with autograd.record():
        checks.conv_block(my_conv_block)
        assert autograd.is_recording() and autograd.is_training()


CELLS = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors='NoColor')

def run(cell):
    print('>>>')
    shell.run_cell(cell, store_history=True)

run('''from mxnet import np, npx
from mxnet.gluon import nn
from d2l_densenet import checks
npx.set_np()''')
run('''def connections(num_layers):
    return num_layer * 2''')
run('checks.connections(connections)')
run('''def connections(num_layers):
    exit()''')
run('checks.connections(connections)')
run('checks.connections(lambda L: L * (L + 1) // 2)')
run('checks.connections(lambda L: L)')
"""


def test_in_ipython_only_the_sentence_appears(tmp_path):
    pytest.importorskip('IPython')
    done = python('-c', CELLS, IPYTHONDIR=str(tmp_path))
    cells = done.stdout.split('>>>\n')[1:]
    assert len(cells) == 7, done.stdout + done.stderr
    text = ' '.join(cells[2].split())
    assert text.startswith('CheckFailed: connections(1) raised NameError: '), cells[2]
    assert 'at Cell In[2], line 2: `return num_layer * 2`' in text
    assert 'ends Python, at Cell In[4], line 2: `exit()`' in ' '.join(cells[4].split())
    assert cells[5].startswith('connections: L(L+1)/2 for L = 1, 2, 3, 4, 12, 40 and others. Correct.')
    assert 'plain chain' in cells[6]
    assert 'Traceback' not in done.stdout and '.py' not in done.stdout
    assert all(len(line) <= 110 for cell in cells for line in cell.splitlines())


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('learner', [disturbs, ConvBlock])
def test_nothing_is_disturbed(mode, learner):
    switch(mode)
    with undisturbed(mode):
        if learner is disturbs:
            message_of(checks.conv_block, learner)
        else:
            checks.conv_block(learner)
