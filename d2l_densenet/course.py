"""What the notebooks use besides DenseNet: predictions, quick mode, and the file with the reader's own code."""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import linecache
import os
import pathlib

from . import checks
from ._common.disk import replace_file
from ._common.messages import notice
from .checks._compare import difference, plain, shown

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
    fact = plain(fact)
    if answer is None:
        print(f'{shown(fact)} (no prediction)')
        return
    said = answer.strip() if isinstance(answer, str) else shown(plain(answer))
    wrong = difference(plain(answer), fact, tolerance)
    print(f'{shown(fact)}, ' + (f'where you said {said}: {wrong}' if wrong else 'as you predicted'))


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
