"""What the notebooks use besides DenseNet: predictions, sliders, a wager, quick mode, the reader's own file."""

import ast
import base64
import contextlib
import importlib.util
import inspect
import io
import linecache
import os
import pathlib
import re

import numpy

from . import blocks, checks
from ._common.disk import replace_file
from ._common.messages import notice
from .checks._compare import difference, plain, shown

#: The file in which `keep` puts what the reader has written, beside the notebooks.
OWN_FILE = 'my_densenet.py'
_HEADER = '''"""What I wrote in the notebooks: `keep` puts it here, and `yours` reads it in later notebooks."""

import mxnet as mx
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from d2l_densenet import DenseBlock, conv_block, transition_block  # as long as yours do not stand below

npx.set_np()
'''
# Each name with the check that tells whether it does what the course says.
_CHECKS = {'conv_block': checks.conv_block, 'DenseBlock': checks.dense_block,
           'transition_block': checks.transition_block}
# The letters of the wager with the classes they name, and the line that keeps them in the reader's file.
_TOPS = {'c': 4, 'p': 2, 's': 6}
_WAGER = re.compile(r"^wager_letters = '([cps?]{18})'\n?", re.M)


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

    Examples
    --------
    >>> budget(full=60_000, quick=512)
    60000
    """
    if os.environ.get('D2L_DENSENET_QUICK') != '1':
        return full
    notice(f'QUICK MODE: {quick} instead of {full}. This shows that the code runs; its numbers mean nothing.')
    return quick


def sliders(draw, filmstrip, **values):
    """Sliders that call `draw`; where nothing can answer them, one figure that shows several settings.

    Parameters
    ----------
    draw : callable
        Takes one keyword argument per slider and returns a figure.
    filmstrip : matplotlib.figure.Figure
        Shown where the notebook is only read, or where ipywidgets is missing.
    **values : tuple
        For each argument ``(lowest, highest, step)``, as ``ipywidgets.interact`` takes them.
    """
    from IPython.display import display

    from .plots import describe

    try:
        import ipywidgets
    except ImportError:
        notice('No sliders: ipywidgets is missing (pip install ipywidgets).')
        display(filmstrip)
        return

    def show(**chosen):
        display(draw(**chosen))
        return chosen

    widget = ipywidgets.interactive(show, **values)
    if widget.result is None:                       # ipywidgets 7 draws only when it displays the widget itself
        widget.update()
    # One output with two forms: a page shows the sliders if it can, else the picture.
    picture = io.BytesIO()
    filmstrip.savefig(picture, format='png')
    view = {'version_major': 2, 'version_minor': 0, 'model_id': widget.model_id}
    display({'application/vnd.jupyter.widget-view+json': view, 'text/plain': 'sliders, or a figure',
             'image/png': base64.b64encode(picture.getvalue()).decode()}, raw=True,
            metadata={'image/png': {'alt': describe(filmstrip)}})


def wager_images(test_iter):
    """Positions of the wager's 18 images: the first six coats, pullovers and shirts of the test set, in its order.

    `test_iter` is its loader; a few hundred images are enough.
    """
    return numpy.sort(numpy.concatenate([numpy.flatnonzero(test_iter.labels == label)[:6]
                                         for label in _TOPS.values()]))


def wager(letters, test_iter):
    """Print how many of the 18 images of `wager_images` the reader has named rightly, and keep the answers.

    Parameters
    ----------
    letters : str or None
        One letter per image: c for coat, p for pullover, s for shirt, ? for no idea. Spaces do not count. None: no
        wager.
    test_iter : ImageLoader
        As for `wager_images`.
    """
    if letters is None:
        print('no labels yet: write 18 letters instead of None and run the cell again')
        return
    answers = ''.join(letters.lower().split())
    if len(answers) != 18 or not {*answers} <= {*_TOPS, '?'}:
        print(f'18 letters, each c, p, s or ?, were asked for; these are {len(answers)}: {answers}')
        return
    right = sum(_TOPS.get(letter) == label
                for letter, label in zip(answers, test_iter.labels[wager_images(test_iter)]))
    print(f'{right} of 18 right; guessing gives 6 on average')
    _write_own(lambda text: f'{re.sub(_WAGER, "", text).rstrip()}\n\n\nwager_letters = {answers!r}\n', 'your labels')


def wager_answers():
    """What the reader said in `wager`: an array of 18 classes, -1 for no idea; None if there are no answers."""
    path = _own_path()
    found = re.search(_WAGER, path.read_text(encoding='utf-8')) if path.exists() else None
    return found and numpy.array([_TOPS.get(letter, -1) for letter in found[1]])


def keep(*definitions):
    """Write functions and classes from a notebook to the reader's file, over earlier ones of the same names.

    The package's own, which `yours` gives where the reader has none, are left out.

    Parameters
    ----------
    *definitions : functions or classes
        Defined in a cell, or in a file; others are a TypeError.

    Examples
    --------
    >>> def conv_block(num_channels):
    ...     ...
    >>> keep(conv_block)  # doctest: +SKIP
    conv_block: kept in my_densenet.py
    """
    sources = {definition.__name__: source for definition in definitions if (source := _source(definition))
               and not definition.__module__.startswith(__package__)}
    if not sources:
        return

    def changed(text):
        for name, source in sources.items():
            text = _without(text, name).rstrip() + f'\n\n\n{source}\n'
        return text
    _write_own(changed, ', '.join(sources))


def _write_own(change, what):
    """Change the text of the reader's file, and say that `what` is kept there, or why it is not."""
    path = _own_path()
    try:
        text = path.read_text(encoding='utf-8') if path.exists() else _HEADER
        replace_file(path, change(text).encode())
        notice(f'{what}: kept in {path.name}')
    except OSError as error:
        notice(f'{path.name} cannot be written ({error.strerror}), so this is not kept: {what}')
    except SyntaxError as error:
        notice(f'Nothing was kept, because {path.name} has an error in line {error.lineno}: fix or delete it')


def yours(*names):
    """The reader's own functions and classes out of their file, each tried first; the package's where there is none.

    Parameters
    ----------
    *names : str
        'conv_block', 'DenseBlock' or 'transition_block'. For several names it returns a tuple.

    Examples
    --------
    >>> conv_block, DenseBlock = yours('conv_block', 'DenseBlock')  # doctest: +SKIP
    conv_block: yours
    DenseBlock: the package's, because my_densenet.py has none
    """
    own, said, found = _own_module(), [], []
    for name in names:
        definition = getattr(own, name, None)
        if definition is getattr(blocks, name):
            definition = None
        fault = f'{OWN_FILE} has none' if definition is None else _fault(name, definition)
        said.append(f'{name}: ' + (f"the package's, because {fault}" if fault else 'yours'))
        found.append(getattr(blocks, name) if fault else definition)
    notice('\n'.join(said))
    return found[0] if len(found) == 1 else tuple(found)


def _own_path():
    return pathlib.Path(os.environ.get('D2L_DENSENET_OWN_FILE', OWN_FILE))


def _own_module():
    """The reader's file as a module, read again; None if there is none, or if it cannot be run, which is said."""
    path = _own_path()
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        notice(f'{path.name} cannot be run ({type(error).__name__}: {error}): fix or delete it')
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
    parts = vars(definition).values() if inspect.isclass(definition) else [definition]
    function = next(filter(inspect.isfunction, parts), None)
    if function is None:
        raise TypeError(f'keep(...) takes functions and classes that you have defined, got {definition!r}')
    text = ''.join(linecache.getlines(function.__code__.co_filename))
    return ast.get_source_segment(text, _node(text, definition.__name__))


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
