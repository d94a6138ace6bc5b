"""Answers in any reasonable spelling: whether one is right, and if not, in what it differs."""

import numbers
import re

import mxnet as mx
import numpy

_SCALES = {'': 1, '%': 0.01, 'k': 1e3, 'thousand': 1e3, 'm': 1e6, 'million': 1e6, 'billion': 1e9}
_NUMBER = r'[-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?'


def plain(value):
    """Arrays, dtypes and types of numbers as Python's own."""
    if isinstance(value, mx.nd.NDArray):
        value = value.asnumpy()
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        value = value.tolist()
    if isinstance(value, (numpy.dtype, type)):
        return numpy.dtype(value).name
    if isinstance(value, (set, frozenset)):
        return frozenset(map(plain, value))
    return tuple(map(plain, value)) if isinstance(value, (list, tuple, range)) else value


def shown(fact):
    if isinstance(fact, frozenset):
        return ', '.join(sorted(map(shown, fact)))
    if isinstance(fact, tuple):
        return f'({", ".join(map(shown, fact))}{"," * (len(fact) == 1)})'
    if isinstance(fact, bool):
        return 'yes' if fact else 'no'
    if not isinstance(fact, numbers.Real):
        return str(fact)
    return f'{fact:,}' if isinstance(fact, numbers.Integral) else f'{float(fact):.4g}'


def difference(answer, fact, tolerance=0.01, tell=True):
    """In what an answer differs from the fact, or None.

    Both are `plain`. With ``tell=False`` the words do not give the fact away.
    """
    if isinstance(fact, bool):
        word = str(int(answer) if answer in (0, 1) else answer).strip().lower()
        said = {'yes': True, 'y': True, 'true': True, '1': True, 'no': False, 'n': False, 'false': False, '0': False}
        return 'the answer is yes or no' if word not in said else None if said[word] == fact else 'it is the other way'
    if isinstance(fact, (tuple, frozenset)):
        return _difference_of_several(answer, fact, tolerance, tell)
    if isinstance(answer, (tuple, frozenset)) and len(answer) == 1:
        [answer] = answer
    if isinstance(fact, str):
        return None if _word(answer) == _word(fact) else 'that is another one'
    number = _number(answer)
    if number is None:
        return 'one number was asked for'
    if close(number, fact, tolerance) or _rounded(answer, number, fact):
        return None
    if close(number / 100, fact, tolerance) and 0 < abs(fact) <= 1:
        return None                                                          # 39 for 0.39: percent
    times = float(number / fact) if fact else 0
    hint = f', {times:,.3g} times as much' if times >= 1.5 else \
        f', {1 / times:,.3g} times too little' if 0 < times < 0.67 else ''
    return f'that is too {"high" if number > fact else "low"}{hint}'


def _difference_of_several(answer, fact, tolerance, tell):
    if isinstance(answer, str):
        words = re.split(r'[,;x×]\s*(?![\d.]*[a-z])|\s+and\s+', answer.strip('()[]{} '), flags=re.I)
        if not any(isinstance(part, str) for part in fact):
            words = re.findall(_NUMBER.replace(r'[\d,_]*', r'[\d_]*'), answer)
        answer = tuple(word for word in map(str.strip, words) if word)
    if not isinstance(answer, (tuple, frozenset)):
        answer = (answer,)
    if isinstance(fact, frozenset) and not tell and len(answer) != len(fact):
        return 'that is another set'  # how many there are is a part of the answer
    if len(answer) != len(fact):
        return f'{len(fact)} values were asked for, {len(answer)} given'
    if isinstance(fact, frozenset):
        missing = [part for part in fact if all(difference(said, part, tolerance) for said in answer)]
        if not missing:
            return None
        right = len(fact) - len(missing)
        return f'{shown(frozenset(missing))} is missing' if tell else f'{right} of {len(fact)} are right'
    if isinstance(answer, frozenset):
        return 'the order counts: write a list'
    wrong = [i for i, (said, part) in enumerate(zip(answer, fact)) if difference(said, part, tolerance)]
    if not wrong:
        return None
    if len(wrong) > 1 and sorted(map(_word, answer)) == sorted(map(_word, fact)):
        return 'the right values, in another order'
    return ' and '.join(f'number {i + 1} of {len(fact)} is {shown(fact[i]) if tell else "not right"}' for i in wrong)


def _word(value):
    return re.sub(r'[\s_\-./]|numpy|^the', '', str(value).lower())


def _number(value):
    """A number, or text such as '1,024', '39 %', '0.76 million'; else None."""
    if isinstance(value, numbers.Real):
        return float(value)
    found = re.fullmatch(rf'(?:about|~|≈|=)?\s*({_NUMBER})\s*([%a-z]*)', str(value).strip().lower())
    if not found:
        return None
    return float(re.sub('[,_]', '', found[1])) * _SCALES.get(found[2], 1)


def close(number, fact, tolerance):
    """Whether a number is the fact: an integer exactly, others up to `tolerance` times the fact."""
    if isinstance(fact, numbers.Integral):
        return number == fact
    return abs(number - fact) <= tolerance * abs(fact) + 1e-12


def _rounded(answer, number, fact):
    """Whether the answer is the fact, rounded to the digits that the answer has: at least two."""
    digits = re.sub(r'e.*|\D', '', str(answer).lower()).lstrip('0')
    if isinstance(fact, numbers.Integral) and not isinstance(answer, str):
        return False
    return len(digits) >= 2 and number == float(f'{float(fact):.{len(digits)}g}')

