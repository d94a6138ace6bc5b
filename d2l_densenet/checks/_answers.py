"""What a learner's function returned: one number, or nothing, or several things, and which known mistake gives it."""

import math
import numbers

import mxnet as mx
import numpy

from ._guard import CheckFailed, place_of, shown


def require_one(value, text, where, nothing, several):
    """Refuse None and collections, which any task may return by mistake; `nothing` and `several` end the sentence."""
    if value is None:
        raise CheckFailed(f'{text} returns None{where}{nothing}')
    if isinstance(value, (list, tuple, set, dict, range)):
        raise CheckFailed(f'{text} returns a {type(value).__name__} of length {len(value)}{where}{several}')


def number(value, text, f, right, kind='a number'):
    """The learner's result as a float; `right` is what it should be, in words."""
    where = place_of(f)
    require_one(value, text, where,
                f'; it should return {right}. Did you forget `return`, or print the number instead of returning it?',
                f'; it should return one number, {right}. Which function counts (len) or adds up (sum)?')
    if isinstance(value, (mx.nd.NDArray, numpy.ndarray)) and value.size == 1:
        value = numpy.asarray(value.asnumpy() if hasattr(value, 'asnumpy') else value).item()
    if isinstance(value, (mx.nd.NDArray, numpy.ndarray)):
        raise CheckFailed(f'{text} returns an array of shape {value.shape}{where}; it should be one number, {right}. '
                          'Is there a mean or a sum missing?')
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise CheckFailed(f'{text} should return {kind} and returns {shown(value)}{where}.')
    return float(value)


def whole_number(value, text, f, right):
    """The learner's result as an int, in whatever type it comes; `right` is the integer that it should be."""
    if isinstance(value, (mx.nd.NDArray, numpy.ndarray)) and value.size == 1:
        value = (value.asnumpy() if isinstance(value, mx.nd.NDArray) else value).item()
    found = number(value, text, f, f'{right:,}', 'an integer')
    if math.isfinite(found) and found == round(found):
        return int(value) if isinstance(value, numbers.Integral) else round(found)  # a float holds 53 bits
    raise CheckFailed(f'{text} returns {value!r}{place_of(f)}, and a count is a whole number. It should be {right:,}. '
                      'Is there a / that should be a //?')


def known_mistake(answers, cases, formulas, equal):
    """The hint of the first wrong formula, out of pairs (formula, hint), that gives all of the learner's answers."""
    return next((hint for formula, hint in formulas
                 if all(equal(answer, formula(*case)) for answer, case in zip(answers, cases))), None)
