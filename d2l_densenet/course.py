"""What the notebooks use besides DenseNet: predictions, quick mode, and the file with the reader's own code."""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import linecache
import numbers
import os
import pathlib
import re

import mxnet as mx
import numpy

from . import checks
from ._common.disk import replace_file
from ._common.messages import notice

#: The file in which `keep` puts what the reader has written, beside the notebooks.
OWN_FILE = 'my_densenet.py'
_HEADER = '''"""What I wrote in the notebooks: `keep` puts it here, and `yours` reads it in later notebooks."""

import mxnet as mx
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

npx.set_np()
'''
# Each name with the check that tells whether it does what the course says.
_CHECKS = {'conv_block': checks.conv_block, 'DenseBlock': checks.dense_block,
           'transition_block': checks.transition_block}
_SCALES = {'': 1, '%': 0.01, 'k': 1e3, 'thousand': 1e3, 'm': 1e6, 'million': 1e6, 'billion': 1e9}
_NUMBER = r'[-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?'


def predict(answer, fact, tolerance=0.01):
    """Print the fact and, if there is an answer, whether it is right; if not, in what it differs.

    Parameters
    ----------
    answer : object
        The reader's prediction; None if there is none. Lists, arrays and text count as what they say:
        ``(4, 45)``, ``[4, 45]`` and ``'4 x 45'`` are the same, and so are ``0.39`` and ``'39 %'``.
    fact : number, bool, str, tuple, or set
        A shape or several values are a tuple, what has no order is a set.
    tolerance : float
        How far from the fact, as a share of it, an answer may be where the fact is not an integer.

    Examples
    --------
    >>> predict([4, 45, 22, 22], (4, 45, 22, 22))
    (4, 45, 22, 22), as you predicted
    >>> predict('4 x 40 x 22 x 22', (4, 45, 22, 22))
    (4, 45, 22, 22), where you said 4 x 40 x 22 x 22: number 2 of 4 is 45
    """
    fact = _plain(fact)
    shown = _shown(fact)
    if answer is None:
        print(f'{shown} (no prediction)')
        return
    said = answer.strip() if isinstance(answer, str) else _shown(_plain(answer))
    wrong = _difference(_plain(answer), fact, tolerance)
    print(f'{shown}, as you predicted' if not wrong else f'{shown}, where you said {said}: {wrong}')


def _plain(value):
    """Arrays, dtypes and types of numbers as Python's own."""
    if isinstance(value, mx.nd.NDArray):
        value = value.asnumpy()
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        value = value.tolist()
    if isinstance(value, numpy.dtype) or isinstance(value, type):
        return numpy.dtype(value).name
    if isinstance(value, (set, frozenset)):
        return frozenset(map(_plain, value))
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple, range)) else value


def _shown(fact):
    if isinstance(fact, frozenset):
        return ', '.join(sorted(map(_shown, fact)))
    if isinstance(fact, tuple):
        return f'({", ".join(map(_shown, fact))}{"," * (len(fact) == 1)})'
    if isinstance(fact, bool) or not isinstance(fact, numbers.Real):
        return {True: 'yes', False: 'no'}.get(fact, str(fact)) if isinstance(fact, bool) else str(fact)
    return f'{fact:,}' if isinstance(fact, numbers.Integral) else f'{fact:.4g}'


def _difference(answer, fact, tolerance):
    """What is wrong with the answer, or None."""
    if isinstance(fact, bool):
        word = str(answer).strip().lower()
        said = {'yes': True, 'y': True, 'true': True, '1': True, 'no': False, 'n': False, 'false': False, '0': False}
        return 'the answer is yes or no' if word not in said else None if said[word] == fact else 'it is the other way'
    if isinstance(fact, (tuple, frozenset)):
        return _difference_of_several(answer, fact, tolerance)
    if isinstance(answer, (tuple, frozenset)) and len(answer) == 1:
        [answer] = answer
    if isinstance(fact, str):
        return None if _word(answer) == _word(fact) else 'that is another one'
    number = _number(answer)
    if number is None:
        return 'one number was asked for'
    if _close(number, fact, tolerance) or _rounded(answer, number, fact):
        return None
    if _close(number / 100, fact, tolerance) and 0 < abs(fact) <= 1:
        return None                                                          # 39 for 0.39: percent
    times = number / fact if fact else 0
    hint = f', {times:,.3g} times as much' if times >= 1.5 else \
        f', {1 / times:,.3g} times too little' if 0 < times < 0.67 else ''
    return f'that is too {"high" if number > fact else "low"}{hint}'


def _difference_of_several(answer, fact, tolerance):
    if isinstance(answer, str):
        words = re.split(r'[,;x×]\s*(?![\d.]*[a-z])|\s+and\s+', answer.strip('()[]{} '), flags=re.I)
        if not any(isinstance(part, str) for part in fact):
            words = re.findall(_NUMBER.replace(r'[\d,_]*', r'[\d_]*'), answer)
        answer = tuple(word for word in map(str.strip, words) if word)
    if not isinstance(answer, (tuple, frozenset)):
        answer = (answer,)
    if len(answer) != len(fact):
        return f'{len(fact)} values were asked for, {len(answer)} given'
    if isinstance(fact, frozenset):
        missing = [part for part in fact if all(_difference(said, part, tolerance) for said in answer)]
        return f'{_shown(frozenset(missing))} is missing' if missing else None
    if isinstance(answer, frozenset):
        return 'the order counts: write a list'
    wrong = [i for i, (said, part) in enumerate(zip(answer, fact)) if _difference(said, part, tolerance)]
    if not wrong:
        return None
    if len(wrong) > 1 and sorted(map(_word, answer)) == sorted(map(_word, fact)):
        return 'the right values, in another order'
    return ' and '.join(f'number {i + 1} of {len(fact)} is {_shown(fact[i])}' for i in wrong)


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


def _close(number, fact, tolerance):
    if isinstance(fact, numbers.Integral):
        return number == fact
    return abs(number - fact) <= tolerance * abs(fact) + 1e-12


def _rounded(answer, number, fact):
    """Whether the answer is the fact, rounded to the digits that the answer has: at least two."""
    digits = re.sub(r'e.*|\D', '', str(answer).lower()).lstrip('0')
    if isinstance(fact, numbers.Integral) and not isinstance(answer, str):
        return False
    return len(digits) >= 2 and number == float(f'{float(fact):.{len(digits)}g}')


def budget(full, quick):
    """`full`, or `quick` where notebooks are tested (``D2L_DENSENET_QUICK=1``): then it says so in the cell's output.

    Parameters
    ----------
    full, quick : object
        How many images, epochs, repetitions, ...

    Returns
    -------
    object
        One of the two.

    Examples
    --------
    >>> budget(full=60_000, quick=512) in (60_000, 512)
    True
    """
    if os.environ.get('D2L_DENSENET_QUICK') != '1':
        return full
    notice(f'QUICK MODE: {quick} instead of {full}. This shows that the code runs; its numbers mean nothing.')
    return quick


def keep(*definitions):
    """Write functions and classes from a notebook to the reader's file, over earlier ones of the same names.

    Parameters
    ----------
    *definitions : functions or classes
        Defined in a cell, or in a file.

    Raises
    ------
    TypeError
        If one is not a function or class with source text.

    Examples
    --------
    >>> def conv_block(num_channels):
    ...     ...
    >>> keep(conv_block)  # doctest: +SKIP
    conv_block: kept in my_densenet.py
    """
    path = _own_path()
    sources = {definition.__name__: source for definition in definitions if (source := _source(definition))}
    try:
        text = path.read_text(encoding='utf-8') if path.exists() else _HEADER
        for name, source in sources.items():
            text = _without(text, name).rstrip() + f'\n\n\n{source}\n'
        replace_file(path, text.encode())
        notice(f'{", ".join(sources)}: kept in {path.name}')
    except OSError as error:
        notice(f"{path.name} cannot be written ({error.strerror}): later notebooks use the package's")
    except SyntaxError as error:
        notice(f'Nothing was kept, because {path.name} has an error in line {error.lineno}: mend or delete it')


def yours(*names):
    """The reader's own functions and classes out of their file, each tried first; the package's where there is none.

    Parameters
    ----------
    *names : str
        'conv_block', 'DenseBlock' or 'transition_block'.

    Returns
    -------
    object or tuple
        One for one name, several for several.

    Examples
    --------
    >>> conv_block, DenseBlock = yours('conv_block', 'DenseBlock')  # doctest: +SKIP
    conv_block: yours
    DenseBlock: the package's, because my_densenet.py has none
    """
    own, said = _own_module(), []
    found = []
    for name in names:
        definition = getattr(own, name, None)
        fault = f'{OWN_FILE} has none' if definition is None else _fault(name, definition)
        said.append(f'{name}: ' + ('yours' if not fault else f"the package's, because {fault}"))
        found.append(getattr(importlib.import_module('d2l_densenet'), name) if fault else definition)
    notice('\n'.join(said))
    return found[0] if len(found) == 1 else tuple(found)


def _own_path():
    return pathlib.Path(os.environ.get('D2L_DENSENET_OWN_FILE', OWN_FILE))


def _own_module():
    """The reader's file as a module, read anew; None if there is none, or if it cannot be run, which is said."""
    path = _own_path()
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        notice(f'{path.name} cannot be run ({type(error).__name__}: {error}): mend or delete it')
        return None
    return module


def _fault(name, definition):
    """What the check of that name says is wrong, or None."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            _CHECKS[name](definition)
    except checks.CheckFailed as error:
        return f'with yours: {error}'


def _source(definition):
    """The text of a function or class, from a cell as well as from a file."""
    functions = [definition] if inspect.isfunction(definition) else \
        [part for part in vars(definition).values() if inspect.isfunction(part)] if inspect.isclass(definition) else []
    if not functions:
        raise TypeError(f'keep(...) takes functions and classes that you have defined, got {definition!r}')
    lines = linecache.getlines(functions[0].__code__.co_filename)
    return ast.get_source_segment(''.join(lines), _node(''.join(lines), definition.__name__))


def _node(text, name):
    """The last definition of that name in a text, or None."""
    return next((node for node in reversed(ast.parse(text).body) if getattr(node, 'name', None) == name), None)


def _without(text, name):
    """A text without its definition of that name."""
    node = _node(text, name)
    if node is None:
        return text
    lines = text.splitlines(keepends=True)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    return ''.join(lines[:first]).rstrip() + '\n\n\n' + ''.join(lines[node.end_lineno:]).lstrip()
