"""Checks for any task: one answer, a function, an error that a call should raise."""

import math
import numbers
import reprlib

import mxnet as mx
import numpy

from . import _blocks as look
from ._compare import close, difference, plain, shown
from ._guard import CheckFailed, call, check, generator, place_of
from ._guard import shown as as_written

__all__ = ['answer', 'function', 'raises']


@check
def answer(said, fact, name='your answer', hints=(), tolerance=0.01):
    """Check one result; what is right is not printed.

    Parameters
    ----------
    said : object
        The learner's: a number, a shape, several values, a name, yes or no, in any spelling `course.predict` reads.
    fact : number, bool, str, tuple, or set
        A tuple has an order, a set has none.
    name : str
        What the message calls it.
    hints : sequence of (object, str)
        Known wrong answers, each with the sentence that helps.
    tolerance : float
        How far from the fact, as a share of it, an answer may be where the fact is not an integer.

    Raises
    ------
    CheckFailed
    """
    if said is None or said is ...:
        raise CheckFailed(f'{name} is still {said}: write down what you found.')
    said, fact = plain(said), plain(fact)
    wrong = difference(said, fact, tolerance, tell=False)
    if wrong:
        hint = next((hint for value, hint in hints if not difference(said, plain(value), tolerance)), '')
        raise CheckFailed(f'{name}: you have {shown(said)}; {wrong}.{" " * bool(hint)}{hint}')
    return f'{name}: correct.'


@check
def function(f, right, cases, hints=(), tolerance=1e-4):
    """Check a function by what it returns.

    Parameters
    ----------
    f : callable
        The learner's.
    right : callable
        What it should do, by another way.
    cases : sequence of tuples, or callable
        Arguments; or a function that draws such a sequence with a ``numpy.random.Generator``, new ones at each check.
    hints : sequence of (callable, str)
        Wrong functions with the sentence that helps whoever wrote it: it must give all the learner's results.
    tolerance : float
        Relative, for results that are not integers; arrays may differ by it times the largest value.

    Raises
    ------
    CheckFailed
    """
    return compared(f, right, cases, hints, tolerance)


def compared(f, right, cases, hints, tolerance):
    """`function`, for a check that calls it."""
    if not callable(f):
        raise CheckFailed(f'A function is wanted, this is {as_written(f)}.')
    cases = list(cases(generator()) if callable(cases) else cases)
    results = [(case, _result(f, case), right(*case)) for case in cases]
    for case, got, wanted in results:
        wrong = _unlike(got, wanted, tolerance)
        if wrong:
            hint = next((hint for other, hint in hints if all(
                not _unlike(result, other(*arguments), tolerance) for arguments, result, _ in results)), '')
            raise CheckFailed(f'{_call_text(f, case)} {wrong}{place_of(f)}.{" " * bool(hint)}{hint}')
    # Not how many cases: that may be drawn, and tests compare what a solution prints.
    return f'{getattr(f, "__name__", "your function")}: correct.'


@check
def raises(f, *args, error=(ValueError, TypeError), mentions=()):
    """Check that a call raises an error which says what is wrong.

    Parameters
    ----------
    f : callable
    *args
        Arguments that `f` should refuse.
    error : type or tuple of types
    mentions : sequence of str
        What the message must name, in any order.

    Raises
    ------
    CheckFailed
    """
    name = look.require_callable(f)
    look.require_signature(f, name, [f'{len(args)} values'], args)
    kinds = ' or '.join(kind.__name__ for kind in (error if isinstance(error, tuple) else (error,)))

    def attempt():
        try:
            result = f(*args)
            mx.nd.waitall()
            return result, None
        except Exception as raised:
            return None, raised

    result, raised = call(_call_text(f, args), attempt)  # which tells what is no Exception, such as exit()
    if raised is None:
        raise CheckFailed(f'{_call_text(f, args)} returns {as_written(result)}; it should raise {kinds}.')
    if not isinstance(raised, error):
        raise CheckFailed(f'{_call_text(f, args)} raises {type(raised).__name__}; {kinds} is wanted.')
    missing = [word for word in mentions if str(word) not in str(raised)]
    if missing:
        raise CheckFailed(f'{_call_text(f, args)} raises {type(raised).__name__}, but its message does not name '
                          f'{" and ".join(map(str, missing))}: its reader should know what was wrong.')
    return f'{_call_text(f, args)} is refused. Correct.'


def _result(f, case):
    result = call(_call_text(f, case), f, *[value.copy() if hasattr(value, 'copy') else value for value in case])
    if result is None:
        raise CheckFailed(f'{_call_text(f, case)} returns None{place_of(f)}. Did you forget `return`, or print the '
                          'result instead of returning it?')
    return result


def _unlike(got, wanted, tolerance):
    """What is wrong with a result, or None."""
    if getattr(wanted, 'shape', ()):
        got, wanted = _array(got), _array(wanted)
        if numpy.shape(got) != wanted.shape:
            return f'returns something of shape {numpy.shape(got)}; it should be {wanted.shape}'
        finite = numpy.isfinite(wanted)
        if not numpy.array_equal(numpy.isfinite(got), finite):
            return 'returns nan or infinite values where numbers should be'
        scale = max(float(numpy.abs(wanted[finite]).max()), 1e-30) if finite.any() else 1
        worst = float(numpy.abs(got - wanted)[finite].max()) if finite.any() else 0
        return None if worst <= tolerance * scale else f'differs from what is right by up to {worst:.3g}'
    array = f'an array of shape {got.shape}' if getattr(got, 'shape', ()) else ''
    got, wanted = plain(got), plain(wanted)
    if _equal(got, wanted, tolerance):
        return None
    said, right = array or shown(got), shown(wanted)
    if said == right:  # in four digits
        said, right = repr(got), repr(wanted)
    return f'returns {said}; it should be {right}'


def _equal(got, wanted, tolerance):
    """Whether a result is the right one. A function gives numbers to go on with: no text, no percent, no rounding."""
    if isinstance(wanted, tuple):
        return isinstance(got, tuple) and len(got) == len(wanted) and all(
            _equal(*pair, tolerance) for pair in zip(got, wanted))
    if isinstance(got, tuple) and len(got) == 1:
        [got] = got
    if isinstance(wanted, bool) or not isinstance(wanted, numbers.Real):
        return not difference(got, wanted, tolerance)
    if not isinstance(got, numbers.Real):
        return False
    return math.isnan(got) if math.isnan(wanted) else close(got, wanted, tolerance)


def _array(value):
    return value.asnumpy() if isinstance(value, mx.nd.NDArray) else value


def _call_text(f, case):
    inside = ', '.join(f'an array of shape {value.shape}' if getattr(value, 'shape', ()) else reprlib.repr(value)
                       for value in case)
    return f'{getattr(f, "__name__", "your function")}({inside})'
