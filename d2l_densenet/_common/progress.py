"""The one rule for when a progress bar shows."""

import os
import sys


def progress_shows(stream=None):
    """Whether to show a progress bar: in a notebook, or where `stream` (default: stderr) is a terminal.

    The environment variable TQDM_DISABLE turns all of them off.
    """
    if os.environ.get('TQDM_DISABLE', '0') not in ('', '0'):
        return False
    ipython = sys.modules.get('IPython')
    shell = ipython and ipython.get_ipython()
    return hasattr(shell, 'kernel') or (stream or sys.stderr).isatty()
