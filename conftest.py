"""What every test and doctest gets: a seed, classic array mode, matplotlib without a screen, the data set's place.

It stands beside the package and not in tests/, because pytest gives a conftest.py to what lies below it, and the
doctests lie in the package.
"""

import atexit
import collections
import ctypes
import gc
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import zlib

import hypothesis
import mxnet as mx
import nbformat
import numpy
import pytest
from mxnet import npx
from nbval.plugin import IPyNbCell, IPyNbFile
from notebook_files import DIRECTORY, guards

pytest.register_assert_rewrite('helpers')  # in tests/: what several test modules share

# Programs, not tests: collecting them for doctests would import, and so run, them.
# Exercises as handed out fail on purpose: tests/notebooks/test_exercises.py runs them, nbval does not.
collect_ignore_glob = ['benchmarks/*', 'notebooks/**/*.py', 'notebooks/exercises/*', 'tests/notebooks/guards/*',
                       'tests/notebooks/answers/*', 'tests/reader_file.py']

# A shell starts what it puts into the background (`make test &`) with Ctrl-C ignored, and so would be what the tests
# start: tests that send it would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The project's own machines keep the official data set beside the checkout.
_DATA = pathlib.Path(__file__).resolve().parent.parent / 'shared' / 'fashion-mnist'
if not os.environ.get('D2L_DENSENET_DATA') and _DATA.is_dir():
    os.environ['D2L_DENSENET_DATA'] = str(_DATA)

# The notebooks run with blocks that a reader may have written, each process with a file of its own.
_OWN_FILE = pathlib.Path(tempfile.mkdtemp(prefix='d2l-densenet-')) / 'my_densenet.py'
shutil.copy(pathlib.Path(__file__).parent / 'tests' / 'reader_file.py', _OWN_FILE)
os.environ['D2L_DENSENET_OWN_FILE'] = str(_OWN_FILE)
atexit.register(shutil.rmtree, _OWN_FILE.parent, ignore_errors=True)

# A seed of its own for each test, the same at each run, so that a green test stays green. To look further:
# D2L_DENSENET_TEST_SEED=random draws new ones, and =N repeats the one that a failure has printed.
_SEED = os.environ.get('D2L_DENSENET_TEST_SEED', '')
if _SEED not in ('', 'random') and not _SEED.isdecimal():
    raise pytest.UsageError(f"D2L_DENSENET_TEST_SEED must be an integer of at least 0 or 'random', got {_SEED!r}")

# MXNet's first call of an operator takes long: no deadline. No database of examples is left behind.
hypothesis.settings.register_profile('d2l', deadline=None, database=None, derandomize=_SEED != 'random')
hypothesis.settings.load_profile('d2l')


def _seed(item):
    if _SEED == 'random':
        return random.SystemRandom().randrange(2**31)
    return int(_SEED) % 2**32 if _SEED else zlib.crc32(item.nodeid.encode()) % 2**31


@pytest.fixture(autouse=True)
def _reproducible(request, monkeypatch):
    seed = request.node.seed = _seed(request.node)
    random.seed(seed)
    numpy.random.seed(seed)
    npx.reset_np()
    mx.random.seed(seed)
    monkeypatch.delenv('D2L_DENSENET_QUICK', raising=False)  # it is for the notebooks
    # In this process only; the notebooks' kernels choose their own.
    monkeypatch.setenv('MPLBACKEND', 'Agg')
    if 'matplotlib.pyplot' in sys.modules:
        sys.modules['matplotlib.pyplot'].switch_backend('Agg')
    yield
    npx.reset_np()
    if 'matplotlib.pyplot' in sys.modules:
        sys.modules['matplotlib.pyplot'].close('all')


def _without_notices(compare):
    """nbval's comparison of a cell's outputs, without those that say something about the machine: `notice`."""
    def compared(self, test, ref, *args, **kwargs):
        test, ref = ([output for output in outputs if 'd2l_densenet' not in output.get('metadata', {})]
                     for outputs in (test, ref))
        return compare(self, test, ref, *args, **kwargs)
    return compared


IPyNbCell.compare_outputs = _without_notices(IPyNbCell.compare_outputs)


def _with_guards(collect):
    """nbval's cells of a notebook, each followed by what tests/notebooks/guards/ asserts of its result."""
    def collected(self):
        asserts = guards(self.path.stem) if self.path.parent == DIRECTORY else {}
        for item in collect(self):
            yield item
            if guard := asserts.get(item.cell.get('id')):
                cell = nbformat.v4.new_code_cell(guard)
                yield IPyNbCell.from_parent(self, name=f'{item.name}: guard', cell_num=item.cell_num, cell=cell,
                                            options=collections.defaultdict(bool, check=True))
    return collected


IPyNbFile.collect = _with_guards(IPyNbFile.collect)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and hasattr(item, 'seed'):
        report.sections.append(('Seed', f'repeat with D2L_DENSENET_TEST_SEED={item.seed}'))
    return report


@pytest.fixture(autouse=True, scope='module')
def _memory_given_back():
    """One process may run all tests, in 5 GB: Gluon's blocks are in cycles, and glibc keeps what is freed."""
    yield
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim:
        trim(0)


@pytest.fixture(autouse=True, scope='session')
def _doctest_names(doctest_namespace):
    doctest_namespace.update(mx=mx, nd=mx.nd)
