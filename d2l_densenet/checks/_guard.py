"""Running a learner's code so that whatever it does ends in one sentence, and leaves no trace.

Every check is a function wrapped by `check`; it calls the learner's code through `call` only.
"""

import contextlib
import ctypes
import functools
import inspect
import io
import linecache
import os
import pathlib
import random
import re
import reprlib
import signal
import sys
import sysconfig
import textwrap
import threading
import time
import warnings

import mxnet as mx
import numpy
from mxnet import autograd, util
from mxnet.name import NameManager

from .._common.arguments import number

#: Seconds that one check may take, unless its argument `time_limit` says otherwise.
TIME_LIMIT = 20.0
#: Characters that the learner's code may print during one check.
PRINT_LIMIT = 10_000


#: How the message begins where a check itself fails on what it was given.
UNFORESEEN = 'This check cannot make sense of your solution; inside it came to'


class CheckFailed(AssertionError):
    """A learner's solution is not right yet; the message says what was seen and where to look.

    IPython and Jupyter show the message alone: they ask an exception for its own rendering.
    """

    def _render_traceback_(self):
        return textwrap.wrap(f'CheckFailed: {self}', 110, break_long_words=False, break_on_hyphens=False)


class _OutOfTime(BaseException):
    """The time limit; not an Exception, so that a learner's ``except Exception`` does not swallow it."""


class _TooMuchOutput(BaseException):
    """The print limit."""


class _Exit(SystemExit):
    """IPython's ``exit()``, which by itself raises nothing and ends the kernel after the cell."""


def check(function):
    """Make a check of a function that returns the sentence to print, or raises `CheckFailed`."""

    @functools.wraps(function)
    def checked(*args, time_limit=TIME_LIMIT, **kwargs):
        __tracebackhide__ = True  # pytest leaves this frame out
        number('time_limit', time_limit, above=0)
        clock, failure = _Clock(), None
        try:
            with _state_kept(), clock.limit(time_limit), contextlib.redirect_stdout(_LimitedOutput(sys.stdout)):
                sentence = function(*args, **kwargs)
        except CheckFailed as error:
            failure = error
        except _OutOfTime:
            failure = CheckFailed(f'Your code was still running after {time_limit:g} s{clock.place}. Is there a '
                                  'loop whose condition never becomes false, or far more work than the task needs?')
        except Exception as error:  # what nobody thought of must not end in a stack of ours either
            failure = CheckFailed(f'{UNFORESEEN} {type(error).__name__}: {_main_line(error)}. Which part of your '
                                  'solution is unlike what the task describes?')
        if failure is not None:
            raise failure.with_traceback(None) from None
        print(sentence)

    return checked


def call(what, function, *args, hints=(), **kwargs):
    """Call the learner's code; what it raises becomes a `CheckFailed` that names the learner's line.

    Parameters
    ----------
    what : str
        The call in the learner's terms: ``'conv_block(10)'``.
    hints : sequence of (str, str or callable)
        Regular expressions on ``'ErrorType: message | source line'``, each with the hint that goes with it, or a
        function that makes the hint of the source text of the learner's function. They come before the general ones.
    """
    try:
        return function(*args, **kwargs)
    except (CheckFailed, KeyboardInterrupt, _OutOfTime):
        raise
    except BaseException as error:
        raise CheckFailed(_explanation(what, error, hints)) from None


def _wait_for_engine():
    """Wait for MXNet's engine, so that a failure inside it does not surface in what is computed next."""
    try:
        mx.nd.waitall()
    except mx.base.MXNetError:
        pass


_TWO_KINDS = 'Two kinds of arrays meet: use mx.np throughout after npx.set_np(), mx.nd throughout without it.'
# Hints for what goes wrong in any task. The first that fits is given.
_HINTS = [
    (r"AttributeError: .*'_(children|scope|prefix|params|reg_params|forward_hooks|active)'",
     'Is super().__init__() the first line of your __init__?'),
    (r"NameError: name '(\w+)' is not defined", 'Is it a typing mistake, or was the cell that defines it not run?'),
    (r'UnboundLocalError', 'It is read before it gets a value inside the function.'),
    (r'forward\(\) takes \d+ positional arguments? but', 'A method takes self first; hybrid_forward takes self, F, X.'),
    (r'__init__\(\) takes \d+ positional arguments? but', 'A method takes self first.'),
    (r'output ndarrays/symbols must be of type', _TWO_KINDS),
    (r'(asarray|array).*Symbol|Symbol.*(shape|iterable|index)|HybridBlock.*(Symbol|symbol)',
     'In hybrid_forward use F (F.np.concatenate), and no shapes or values of X.'),
    (r'Children of Hybrid\w+ must also be HybridBlock',
     'Make your block a nn.HybridBlock with hybrid_forward, or put it into nn.Sequential.'),
    (r'(has not been|not) initialized', 'Is the layer an attribute of your block, or in a nn.Sequential that is one? '
     'Gluon does not see layers in a plain list.'),
    (r"module 'mxnet.gluon.nn' has no attribute", 'Layers are called Conv2D, BatchNorm, Activation, AvgPool2D, Dense: '
     'is it written so, with large and small letters?'),
    (r"multiple values for argument 'axis'", 'np.concatenate takes the arrays as one list: [X, Y].'),
    (r'must have NDArray type, but got \[', 'nd.concat takes the arrays one by one, without a list.'),
    (r'unexpected keyword argument .dim.', 'np.concatenate calls it axis; nd.concat calls it dim.'),
    (r'unexpected keyword argument .axis.', 'nd.concat calls it dim; np.concatenate calls it axis.'),
    (r'onlyaccepts|must be (an )?(mx\.)?(np|nd|NDArray|ndarray)|is not an? (mx\.)?(np|nd)|numpy ndarray|legacy',
     _TWO_KINDS),
    (r'Inplace operations|in-?place', 'Write X = X + Y instead of X += Y: autograd needs the old values.'),
    (r'ZeroDivisionError', 'Which of the arguments may be 0?'),
]


def _explanation(what, error, hints):
    """What the learner reads about an exception of answers."""
    frames = _frames(error.__traceback__)
    place, source = _place(frames)
    if type(error) is NotImplementedError and place:
        return f'{what} meets a part that is not written yet: NotImplementedError is raised{place}.'
    if isinstance(error, _TooMuchOutput):
        return f'{what} printed more than {PRINT_LIMIT:,} characters{place}. Is a print left in a loop?'
    if isinstance(error, RecursionError):
        return f'{what} calls itself without end{place}. Which call should be the last one?'
    if isinstance(error, SystemExit):
        return f'{what} ends Python{place}. Take the exit out: a function gives its result back with return.'
    if isinstance(error, SyntaxError):
        place, source = f', {os.path.basename(str(error.filename))}, line {error.lineno}', ''
    kind, essence = type(error).__name__, _main_line(error)
    seen = f'{kind}: {_message(error)} | {source}'
    hint = next((hint for pattern, hint in [*hints, *_HINTS] if re.search(pattern, seen)), '')
    if callable(hint):
        hint = hint(_function_text(frames))
    return f'{what} raised {kind}{": " * bool(essence)}{essence}{place}.{" " * bool(hint)}{hint}'


def _main_line(error):
    """The one line of an error message that says something, without MXNet's stack and file names."""
    lines = [line.strip() for line in _message(error).splitlines() if line.strip()]
    if not lines:
        return ''
    line = lines[0]
    if isinstance(error, mx.base.MXNetError) or 'MXNetError' in _message(error):
        line = next((line for line in reversed(lines) if 'rror' in line or 'Check failed' in line), lines[-1])
        # Without the time, the places in MXNet's source, and the condition that was checked there.
        line = re.sub(r'^.*MXNetError: |\[\d\d:\d\d:\d\d\] |\S+\.(cc|h|cu):\d+: ', '', line)
        line = re.sub(r'^.*?Check failed: (!?AGInfo: )?.*?: (?=.{12})', '', line)
    return textwrap.shorten(line, 170, placeholder=' ...').rstrip(' .,(')


def _message(error):
    try:
        return str(error)
    except Exception:
        return ''


def _frames(traceback):
    """The frames of a traceback with their lines, innermost first."""
    frames = []
    while traceback is not None:
        frames.insert(0, (traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames


_PACKAGE = str(pathlib.Path(__file__).resolve().parent.parent) + os.sep
_LIBRARIES = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep
                    for name in ('stdlib', 'platstdlib', 'purelib', 'platlib')})


def _is_from_learner(code, names):
    """Whether this code is the learner's; `names` are the global names it sees."""
    if code.co_filename.startswith('<'):
        return names.get('__name__') == '__main__'  # MXNet, too, makes functions of strings
    path = os.path.realpath(code.co_filename)
    return not path.startswith(_PACKAGE) and not path.startswith(_LIBRARIES)


def _place(frames):
    """``(', at Cell In[3], line 2: `source`', source)`` of the innermost frame that is the learner's, or two empty
    strings."""
    for frame, line in frames:
        if _is_from_learner(frame.f_code, frame.f_globals):
            filename = frame.f_code.co_filename
            source = linecache.getline(filename, line).strip()
            where = f', at {file_name(filename)}, line {line}'
            return (f'{where}: `{textwrap.shorten(source, 110)}`' if source else where), source
    return '', ''


def _function_text(frames):
    """The source of the innermost function that is the learner's."""
    for frame, _ in frames:
        if _is_from_learner(frame.f_code, frame.f_globals):
            try:
                return inspect.getsource(frame.f_code)
            except (OSError, TypeError):
                return ''
    return ''


def file_name(filename):
    """How the learner knows this file: the number of the cell, or the name without the directories."""
    shell = _shell()
    named = shell.compile.format_code_name(filename) if hasattr(getattr(shell, 'compile', None),
                                                               'format_code_name') else None
    return ' '.join(named) if named else os.path.basename(filename)


def place_of(function):
    """Where the learner's function or class begins: ``' (Cell In[3], line 1)'``, or an empty string."""
    code = getattr(function, '__code__', None)
    if code is None or not _is_from_learner(code, function.__globals__):
        return ''
    return f' ({file_name(code.co_filename)}, line {code.co_firstlineno})'


def shown(value):
    """`value` in a few words, whatever it is."""
    try:
        text = reprlib.repr(value)
    except Exception:
        text = '?'
    return f'{text} (of type {type(value).__name__})'


def _shell():
    module = sys.modules.get('IPython')
    return module.get_ipython() if module else None


@contextlib.contextmanager
def _state_kept():
    """Random states, array mode, autograd's state, Gluon's names and the kernel stay as the learner has them.

    MXNet's own generator can be neither read nor put back. So the checks draw nothing from it.
    """
    states = numpy.random.get_state(), random.getstate()
    modes = util.is_np_shape(), util.is_np_array()
    _wait_for_engine()
    recording, training = autograd.set_recording(False), autograd.set_training(False)
    shell = _shell()
    if shell is not None:
        shell.ask_exit = _refuse_exit
    numpy.random.seed(0)
    random.seed(0)
    try:
        with NameManager(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        _wait_for_engine()
        if shell is not None:
            del shell.ask_exit
        autograd.set_recording(recording)
        autograd.set_training(training)
        if (util.is_np_shape(), util.is_np_array()) != modes:
            util.set_np(*modes)
        numpy.random.set_state(states[0])
        random.setstate(states[1])


_seeds = numpy.random.SeedSequence(0)


def generator():
    """Another one at each check, so that a table of the right answers is no formula; the same ones in each process, so
    that a notebook that is graded again gets the same points.
    """
    return numpy.random.default_rng(_seeds.spawn(1)[0])


def _refuse_exit():
    raise _Exit


class _LimitedOutput(io.TextIOBase):
    """Passes on what the learner prints, up to a limit."""

    def __init__(self, stream):
        self._stream, self._left = stream, PRINT_LIMIT

    def write(self, text):
        if str(sys._getframe(1).f_globals.get('__name__')).startswith('mxnet.'):
            return len(text)  # Gluon prints the shapes before some of its errors
        self._left -= len(text)
        if self._left < 0:
            raise _TooMuchOutput
        return self._stream.write(text)

    def flush(self):
        with contextlib.suppress(ValueError):  # the stream may be closed when Python clears this one away
            self._stream.flush()


class _Clock:
    """A time limit on the code of this thread; `place` is the learner's line at which it was over."""

    place = ''
    # Again and again after the limit: a bare `except:` of the learner may swallow an alarm.
    _REPEAT_SECONDS = 0.02

    @contextlib.contextmanager
    def limit(self, seconds):
        in_main = threading.current_thread() is threading.main_thread() and hasattr(signal, 'setitimer')
        with (self._by_signal if in_main else self._by_thread)(seconds):
            yield

    def _record_place(self, frame):
        frames = []
        while frame is not None:
            frames.append((frame, frame.f_lineno))
            frame = frame.f_back
        # The learner's code below the check, not the cell that called it.
        end = next((i for i, (frame, _) in enumerate(frames)
                    if (frame.f_code.co_name, frame.f_code.co_filename) == ('checked', __file__)), len(frames))
        self.place = self.place or _place(frames[:end])[0]

    @contextlib.contextmanager
    def _by_signal(self, seconds):
        armed = True

        def ring(number, frame):
            if armed:
                self._record_place(frame)
                raise _OutOfTime

        started = time.monotonic()
        former = signal.signal(signal.SIGALRM, ring)
        before = signal.setitimer(signal.ITIMER_REAL, seconds, self._REPEAT_SECONDS)
        try:
            try:
                yield
            finally:
                armed = False
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)
            if before[0]:
                signal.setitimer(signal.ITIMER_REAL, max(before[0] - (time.monotonic() - started), 1e-3), before[1])

    @contextlib.contextmanager
    def _by_thread(self, seconds):
        # Signals arrive in the main thread only. Elsewhere a second thread asks the interpreter to raise.
        ident, lock, done, rang = threading.get_ident(), threading.Lock(), threading.Event(), threading.Event()

        def ring():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(_OutOfTime))

        def watch():
            pause = seconds
            while not done.wait(pause):
                with lock:
                    if not done.is_set():
                        self._record_place(sys._current_frames().get(ident))
                        rang.set()
                        ring()
                pause = self._REPEAT_SECONDS

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            try:
                yield
            finally:
                done.set()
        finally:
            done.set()
            with lock:
                pass  # the watcher does not ring from here on
            if rang.is_set():
                # One may be on its way, and this thread can have one at a time. To take it back (with NULL) leaves
                # Python 3.11 in a state in which a traced call never ends. So let one more come, here.
                try:
                    ring()
                    while True:
                        pass
                except _OutOfTime:
                    pass
