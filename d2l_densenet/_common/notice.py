"""What a reader must not overlook, such as a stand-in for the data set, or a download."""

import sys

__all__ = ['notice']


def notice(text):
    """Show `text`: on stdout, or in a notebook as an output of its own, with a mark in its metadata.

    Whether there is something to say depends on the machine, so tests that compare a notebook's outputs leave out what
    carries the mark (conftest.py).
    """
    ipython = sys.modules.get('IPython')
    shell = ipython and ipython.get_ipython()
    if hasattr(shell, 'kernel'):
        ipython.display.display({'text/plain': text}, raw=True, metadata={'d2l_densenet': 'notice'})
    else:
        print(text, flush=True)
