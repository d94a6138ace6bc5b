"""What a reader sees: notices, progress bars, and the one line of an error that says what happened."""

import os
import re
import sys


def _in_notebook():
    ipython = sys.modules.get('IPython')
    return hasattr(ipython and ipython.get_ipython(), 'kernel')


def progress_shows(stream=None):
    """Whether to show a progress bar: in a notebook or a terminal (`stream`: stderr), unless TQDM_DISABLE is set."""
    if os.environ.get('TQDM_DISABLE', '0') not in ('', '0'):
        return False
    stream = stream or sys.stderr  # which may be None, or closed
    return _in_notebook() or bool(stream and not stream.closed and stream.isatty())


def notice(text):
    """Show `text`: on stdout, or in a notebook as an output of its own, with a mark in its metadata."""
    # Whether there is something to say depends on the machine, so tests that compare a notebook's outputs leave out
    # what has the mark (conftest.py).
    if _in_notebook():
        sys.modules['IPython'].display.display({'text/plain': text}, raw=True, metadata={'d2l_densenet': 'notice'})
    else:
        print(text, flush=True)


def last_line(error):
    """The line of an error that says what happened: MXNet puts a stack trace and a place in its source before it."""
    lines = [line for line in map(str.strip, str(error).splitlines()) if line]
    text = re.sub(r'\[[\d:]+\] \S+: |MXNetError: ', '', lines[-1]) if lines else type(error).__name__
    return text[:600].rstrip('.')
