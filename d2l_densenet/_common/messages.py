"""What a reader is told: notices that must not be overlooked, and the one line of an error that says what happened."""

import re
import sys


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


def last_line(error):
    """The line of an error that says what happened: MXNet puts a stack trace and a place in its source before it."""
    lines = [line for line in map(str.strip, str(error).splitlines()) if line]
    text = re.sub(r'\[[\d:]+\] \S+: |MXNetError: ', '', lines[-1]) if lines else type(error).__name__
    return text[:600].rstrip('.')
