"""Whether a part is the learner's own work."""

import sys

from mxnet import gluon

from ._guard import CheckFailed, call, check, shown

__all__ = ['own']

_PACKAGE, _CHECKS = 'd2l_densenet.', 'd2l_densenet.checks.'


@check
def own(f, *args):
    """Refuse what is the package's where a part is to be built from memory.

    Parameters
    ----------
    f : callable
        The learner's function or class.
    *args
        Arguments to call it with.

    Raises
    ------
    CheckFailed
        If `f`, or a function that it calls, or a block inside what it returns, is from `d2l_densenet`.
    """
    if not callable(f):
        raise CheckFailed(f'A function or a class is wanted, this is {shown(f)}.')
    name = getattr(f, '__name__', 'your function')
    called, before = [f'{_module(f)}{name}'], sys.getprofile()

    def note(frame, event, _):
        if event == 'call':
            called.append(f'{frame.f_globals.get("__name__", "")}.{frame.f_code.co_name}')

    text = f'{name}({", ".join(map(shown, args))})'  # not below: a block of the package as an argument is no use of it
    sys.setprofile(note)
    try:
        made = call(text, f, *args)
    finally:
        sys.setprofile(before)
    if isinstance(made, gluon.Block) and all(made is not given for given in args):
        made.apply(lambda block: called.append(_module(type(block)) + type(block).__name__))
    used = next((word for word in called if word.startswith(_PACKAGE) and not word.startswith(_CHECKS)), None)
    if used:
        raise CheckFailed(f'{name} uses the package ({used.rpartition(".")[2]} of {used.rpartition(".")[0]}). Write it '
                          'yourself, with layers of mxnet.gluon.nn.')
    return f'{name}: your own.'


def _module(thing):
    return f'{getattr(thing, "__module__", "")}.'
