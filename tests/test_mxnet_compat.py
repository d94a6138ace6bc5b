"""mxnet_compat: MXNet beside newer libraries behaves as it does, untouched, beside the old ones.

Most of it runs in processes of their own, because what is tested is the import. `CASES` hold for MXNet beside
NumPy 1.23 without any help, which is where their expectations come from: there they are checked too.
"""

import ast
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import numpy
import pytest

import mxnet_compat

ROOT = pathlib.Path(__file__).resolve().parent.parent
OLD = tuple(map(int, numpy.__version__.split('.')[:2])) < (1, 24)
NUMPY_2 = int(numpy.__version__.split('.')[0]) >= 2
newer = pytest.mark.skipif(OLD, reason=f'NumPy {numpy.__version__}: MXNet loads as it is')
numpy_2 = pytest.mark.skipif(not NUMPY_2, reason=f'NumPy {numpy.__version__}: not changed there yet')

# Removes what mxnet_compat.pth, where there is one, has done when Python started.
UNDO = textwrap.dedent('''
    import sys
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != 'mxnet_compat']
    sys.modules.pop('mxnet_compat', None)
''')


def run(program, *, undo=True, options=(), **kwargs):
    program = (UNDO if undo else '') + textwrap.dedent(program)
    done = subprocess.run([sys.executable, *options, '-c', program], cwd=kwargs.pop('cwd', ROOT), capture_output=True,
                          text=True, timeout=300, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


# What MXNet does when it is called. `case` says which mend it is for; the mode of arrays is the second word.

CASES = {
    'text nd': '''
        two, three = np.int64(2), np.int64(3)
        assert mx.nd.zeros((two, three)).shape == (2, 3)
        assert mx.nd.ones((2, 3)).reshape((three, two)).shape == (3, 2)
        x = mx.nd.random.uniform(shape=(1, 2, 8, 8))
        pooled = mx.nd.Pooling(x, kernel=(two, two), stride=[two, two], pool_type='max')
        assert pooled.shape == (1, 2, 4, 4)
        assert mx.nd.ones((4, 3))[np.int64(1):np.int64(3), np.int64(0)].shape == (2,)
        net = mx.gluon.nn.Conv2D(two, kernel_size=(three, three), strides=(two, two))
        net.initialize()
        net.hybridize(static_alloc=np.bool_(True), static_shape=np.bool_(True))
        assert net(x).shape == (1, 2, 3, 3)
    ''',
    'text of strings nd': '''
        from mxnet import _ctypes
        assert _ctypes.ndarray.__dict__.get('str', str)([np.str_('a'), np.float32(0.1), np.bool_(True)]) == \\
            "['a', 0.1, True]"
        assert _ctypes.ndarray.__dict__.get('str', str)({'a': (np.int64(1),)}) == "{'a': (1,)}"
        assert _ctypes.ndarray.__dict__.get('str', str)('(np.int64(1),)') == '(np.int64(1),)'
    ''',
    'text in symbols nd': '''
        x = mx.sym.var('x', shape=(np.int64(2), 3), lr_mult=np.float32(0.5))
        assert x.attr('__shape__') == '(2, 3)' and x.attr('__lr_mult__') == '0.5'
        y = mx.sym.Pooling(x, kernel=(np.int64(3), np.int64(3)), name='y')
        assert y.attr('kernel') == '(3, 3)'
        assert repr(y) == '<Symbol y>' and mx.sym.load_json(y.tojson()).list_arguments() == ['x']
    ''',
    'text in iterators nd': '''
        import os, tempfile
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, 'a.csv')
            np.savetxt(name, np.ones((4, 3)), delimiter=',')
            batch = next(iter(mx.io.CSVIter(data_csv=name, data_shape=(np.int64(3),), batch_size=np.int64(2))))
            assert batch.data[0].shape == (2, 3)
    ''',
    'text in np mode np': '''
        a = mx.np.arange(12).reshape(4, 3)
        assert [part.shape for part in mx.np.split(a, [np.int64(1), np.int64(3)])] == [(1, 3), (2, 3), (1, 3)]
        assert [part.shape[0] for part in mx.np.array_split(a, 3)] == [2, 1, 1]
        parts = mx.gluon.utils.split_and_load(a, [mx.cpu(0), mx.cpu(1), mx.cpu(2)], even_split=False)
        assert sorted(part.shape[0] for part in parts) == [1, 1, 2]
        assert mx.np.zeros((np.int64(2), np.int64(3))).shape == (2, 3)
        assert mx.np.sum(a, axis=(np.int64(0), np.int64(1))) == 66
        assert a[np.int64(1), np.int64(2)] == 5
    ''',
    'pad np': '''
        a = mx.np.ones((2, 2))
        assert mx.np.pad(a, ((1, 1), (0, 0)), mode='constant').shape == (4, 2)
        assert mx.np.pad(a, ((1, 1), (0, 0)), mode='edge').sum() == 8
        assert mx.sym.np.pad(mx.sym.var('x').as_np_ndarray(), ((1, 1), (0, 0)), mode='constant') is not None
    ''',
    'estimator nd': '''
        from mxnet.gluon.contrib.estimator import EarlyStoppingHandler, LoggingHandler
        for mode, best in (('max', -np.inf), ('min', np.inf)):
            handler = EarlyStoppingHandler(monitor=mx.metric.Accuracy(), mode=mode)
            handler.train_begin(None)
            assert handler.best == best
        assert LoggingHandler().priority == np.inf
    ''',
    'test_utils nd': '''
        from mxnet.test_utils import assert_almost_equal, chi_square_check
        buckets = [0, 1]
        p, observed, expected = chi_square_check(lambda n: np.arange(n) % 2, buckets, [0.5, 0.5], 100)
        assert list(observed) == [50, 50]
        assert_almost_equal(np.array([True]), np.array([True]))
    ''',
    'integers nd': '''
        assert mx.nd.array([-1, 256], dtype='uint8').asnumpy().tolist() == [255, 0]
        a = mx.nd.zeros((2,), dtype='uint8')
        a[:] = [300, -2]
        assert a.asnumpy().tolist() == [44, 254]
        assert mx.nd.sparse.row_sparse_array(([[-1, 256]], [0]), shape=(2, 2), dtype='uint8').asnumpy()[0, 0] == 255
    ''',
    'integers np': '''
        assert mx.np.array([-1, 256], dtype='uint8').tolist() == [255, 0]
        try:
            mx.np.array([2**70], dtype='uint8')
        except TypeError:
            pass
        else:
            raise AssertionError
    ''',
    'array of an array nd': '''
        assert numpy.all(mx.nd.ones((2, 2)) == 1)
        assert numpy.array(mx.nd.ones((2, 2))).ravel()[0] == 1
    ''',
    'array without a copy np': '''
        a = mx.np.arange(6).reshape(2, 3)
        assert np.array(a, copy=False).tolist() == [[0, 1, 2], [3, 4, 5]]
        assert np.array(a, dtype='float64').dtype == 'float64'
        assert np.array(a, dtype='int32', copy=True).tolist() == [[0, 1, 2], [3, 4, 5]]
    ''',
    'metrics nd': '''
        label, scores = [mx.nd.array([0, 1, 1])], [mx.nd.array([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9]])]
        both = mx.metric.CompositeEvalMetric(['acc', mx.metric.F1(), mx.metric.CrossEntropy(), mx.metric.MSE()])
        for metric in both.metrics[:3]:
            metric.update(label, scores)
        both.metrics[3].update([mx.nd.ones((2,))], [mx.nd.zeros((2,))])
        for metric in [both, *both.metrics]:
            for text in (str(metric.get()), str(metric.get_global()), str(metric.get_name_value()), str(metric)):
                assert 'np.' not in text and 'float' not in text, text
        name, value = mx.metric.Loss().get()
        assert np.isnan(value)
        value = both.metrics[2].get()[1]
        assert isinstance(value, np.float64) and value.round(3) == round(value, 3)
        with np.errstate(divide='ignore'):
            assert value / 0 == np.inf
        import pickle
        assert pickle.loads(pickle.dumps(value)) == value
    ''',
    'every metric nd': '''
        classes = mx.metric.Accuracy, mx.metric.F1, mx.metric.MCC, mx.metric.PCC, mx.metric.CrossEntropy, \\
            mx.metric.NegativeLogLikelihood, mx.metric.MAE, mx.metric.MSE, mx.metric.RMSE, mx.metric.Loss, \\
            mx.metric.PearsonCorrelation
        metrics = [kind() for kind in classes] + [mx.metric.TopKAccuracy(2), mx.metric.Perplexity(None)]
        for metric in metrics:
            plain = isinstance(metric, (mx.metric.MAE, mx.metric.MSE, mx.metric.PearsonCorrelation))
            scores = mx.nd.array([0.3, 0.9, 0.6] if plain else [[0.7, 0.3], [0.4, 0.6], [0.1, 0.9]])
            for _ in range(2):
                metric.update([mx.nd.array([0, 1, 1])], [scores])
                metric.reset_local()
                metric.update([mx.nd.array([0, 1, 1])], [scores])
                value = metric.get()[1]
                assert np.isfinite(value) and np.isfinite(metric.get_global()[1]), metric
                assert str(value) in repr(metric.get()) and 'np.' not in repr(metric.get()), metric
                metric.reset()
    ''',
    'scalars nd': '''
        half, byte = mx.nd.array([0.5]).asscalar(), mx.nd.array([200], dtype='uint8').asscalar()
        assert str([half, byte]) == '[0.5, 200]' and half.dtype == np.float32 and byte.dtype == np.uint8
        assert byte + 300 == 500 and byte * 2 == 400 and -1 < byte < 2**70 and divmod(byte, 300) == (0, 200)
        assert mx.nd.array([0.1]).asscalar() != 0.1 and half == 0.5 and 0.5 == half and {half: 1}[0.5] == 1
        total = 0
        for value in (2**24, 1):
            total += mx.nd.array([value]).asscalar()
        assert total == 2**24 + 1 and str([total]) == '[16777217.0]' and total.dtype == np.float64
        assert (half * np.ones((2,), 'float32')).dtype == np.float32
        assert isinstance(half * mx.nd.ones((2,)), mx.nd.NDArray)
        assert str([-half, abs(-half), 2 * half, half ** 2, 1 / half]) == '[-0.5, 0.5, 1.0, 0.25, 2.0]'
        assert f'{half:.2f} {half}' == '0.50 0.5' and float(half) == 0.5 and np.sqrt(half * half) == 0.5
        import copy, pickle
        assert pickle.loads(pickle.dumps(half)) == copy.deepcopy(half) == half
    ''',
    'sums of metrics nd': '''
        mean = 2**23 + 0.5
        # MAE adds numbers of float32 that come from NumPy, Loss those of asscalar.
        for metric in (mx.metric.MAE(), mx.metric.Loss(), mx.metric.CustomMetric(lambda label, pred: pred.max())):
            for number in (2**24, 1):
                metric.update([mx.nd.zeros((1,))], [mx.nd.array([number])])
            assert float(metric.get()[1]) == float(metric.get_global()[1]) == mean, metric
            metric.reset_local()
            for number in (2**24, 1):
                metric.update([mx.nd.zeros((1,))], [mx.nd.array([number])])
            assert float(metric.get()[1]) == mean, metric
            metric.reset()
            assert np.isnan(metric.get()[1]) and np.isnan(metric.get_global()[1])
    ''',
    'norms nd': '''
        weight = mx.nd.array([1.0, 1 / 3])
        for optimizer in (mx.optimizer.create('lars'), mx.optimizer.create('lbsgd')):
            norm = optimizer._l2norm(weight)
            assert (norm + 1e-9) - norm > 0 and norm.dtype == np.float32
    ''',
    'records nd': '''
        record = mx.recordio.pack(mx.recordio.IRHeader(0, [1, 2, 3], 7, 0), b'abc')
        header, content = mx.recordio.unpack(record)
        assert header.label.tolist() == [1, 2, 3] and content == b'abc'
        from types import SimpleNamespace
        mx.recordio.cv2 = SimpleNamespace(IMWRITE_JPEG_QUALITY=1, imencode=lambda *_: (True, np.arange(3, dtype='u1')))
        record = mx.recordio.pack_img(mx.recordio.IRHeader(0, 4, 7, 0), np.zeros((2, 2, 3)))
        assert mx.recordio.unpack(record) == (mx.recordio.IRHeader(0, 4, 7, 0), bytes(range(3)))
    ''',
    'divide np': '''
        x = mx.np.array([2.0, 4.0])
        x.attach_grad()
        assert np.divide(x, 2).tolist() == [1, 2] and isinstance(np.true_divide(x, 2), mx.np.ndarray)
        if not OLD:  # NumPy renamed it in 1.23 already, so that there MXNet untouched fails too
            assert np.divide(1, x).tolist() == [0.5, 0.25]
            with mx.autograd.record():
                y = np.divide(1, x).sum()
            y.backward()
            assert x.grad.tolist() == [-0.25, -0.0625]
    ''',
    'qr np': '''
        q, r = mx.np.linalg.qr(mx.np.array([[3.0, 0], [4, 5]]))
        assert isinstance(q, mx.np.ndarray) and isinstance(r, mx.np.ndarray)
        assert abs(mx.np.dot(q, r) - mx.np.array([[3.0, 0], [4, 5]])).max() < 1e-5
    ''',
    'quantiles np': '''
        a = mx.np.array([1.0, 2, 4, np.nan])
        assert mx.np.nanpercentile(a, 50, interpolation='lower') == 2
        assert mx.np.nanquantile(a, 0.75, interpolation='higher') == 4
        assert mx.np.nanquantile(a, 0.75) == 3
    ''',
    'old functions np': '''
        a = mx.np.array([[3.0, 1], [2, 1]])
        assert type(mx.np.alltrue(a)) is not mx.np.ndarray and mx.np.alltrue(a)
        assert mx.np.in1d(a, mx.np.array([1.0])).tolist() == [False, True, False, True]
        assert mx.np.msort(a).tolist() == [[2, 1], [3, 1]]
        assert mx.np.trapz(mx.np.array([1.0, 2, 3])) == 4
        assert mx.np.product(a) == 6 and mx.np.sometrue(a) and mx.np.round_(a).tolist() == a.tolist()
        assert (mx.np.PZERO, mx.np.NZERO, mx.np.PINF, mx.np.NINF) == (0, 0, np.inf, -np.inf)
        assert 1 / np.float64(mx.np.NZERO) < 0 and np.isnan(mx.np.NAN) and np.isnan(mx.np.NaN)
        try:
            mx.np.npv(0.1, [1, 2])
        except RuntimeError as error:
            assert 'financial' in str(error)
        else:
            raise AssertionError
        assert mx.np.bool is bool
    ''',
    'moveaxis nd': '''
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            assert mx.nd.moveaxis(mx.nd.zeros((2, 3, 4)), 0, -1).shape == (3, 4, 2)
    ''',
    'scipy nd': '''
        try:
            from scipy.sparse import csr_matrix
        except ImportError:
            pass
        else:
            matrix = csr_matrix(([1.0, 2.0], ([0, 1], [1, 0])), shape=(2, 2))
            with warnings.catch_warnings():
                if not OLD:
                    warnings.simplefilter('error')
                for array in (mx.nd.array(matrix), mx.nd.sparse.array(matrix), mx.nd.sparse.csr_matrix(matrix)):
                    assert array.stype == 'csr' and array.asnumpy().tolist() == [[0, 1], [2, 0]]
    ''',
}

RUN_CASES = '''
    import json, textwrap, traceback, warnings
    import numpy
    import mxnet_compat
    {before}
    mxnet_compat.install()
    import mxnet as mx

    np = numpy
    OLD = tuple(map(int, np.__version__.split('.')[:2])) < (1, 24)
    results = {{}}
    for name, code in json.loads(sys.argv[1]).items():
        mx.npx.set_np() if name.endswith('np') else mx.npx.reset_np()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                exec(textwrap.dedent(code), dict(globals()))
                mx.nd.waitall()
            results[name] = ''
        except Exception:
            results[name] = traceback.format_exc()
    print(json.dumps(results))
'''
# Only what keeps `import mxnet` from failing. What is left out here is what `CASES` are about.
WITHOUT = '''
    mxnet_compat._MENDED = {name: () for name in mxnet_compat._MENDED}
    del mxnet_compat._IMPORTS['scipy.sparse']
    at_import = mxnet_compat._old_names
    needed = {'PZERO', 'PINF', 'NINF', 'NAN', 'NaN', 'sometrue', 'product', 'round_', 'msort', 'trapz',
              'mirr', 'npv', 'pmt', 'ppmt', 'pv', 'rate'} | (set() if hasattr(numpy, 'bool') else {'bool'})
    wrong = {'Inf': None, 'NZERO': 0.0, 'alltrue': lambda a: numpy.all(a), 'in1d': lambda *a: numpy.isin(*a)}
    mxnet_compat._old_names = lambda numpy: wrong | {k: v for k, v in at_import(numpy).items() if k in needed}
'''


def _results(before):
    program = textwrap.dedent(RUN_CASES.format(before=textwrap.indent(textwrap.dedent(before), '    ').strip()))
    done = subprocess.run([sys.executable, '-c', UNDO + program, json.dumps(CASES)], cwd=ROOT, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope='module')
def results():
    return _results('')


@pytest.fixture(scope='module')
def results_without():
    return _results(WITHOUT)


@pytest.mark.parametrize('case', CASES)
def test_mxnet_behaves_as_beside_the_old_numpy(results, case):
    assert results[case] == ''


@numpy_2
@pytest.mark.parametrize('case', CASES)
def test_without_the_mend_it_does_not(results_without, case):
    if case in NOT_YET and not NOT_YET[case]():
        pytest.skip(f'NumPy {numpy.__version__}, or no SciPy: nothing to mend there')
    assert results_without[case] != ''


def _is_gone(argument):
    try:
        numpy.nanquantile([1.0], 0.5, **argument)
    except TypeError:
        return True
    return False


#: What is mended, and newer than NumPy 2.0: whether its reason has come.
NOT_YET = {
    'records nd': lambda: not hasattr(numpy.ndarray, 'tostring'),
    'quantiles np': lambda: _is_gone({'interpolation': 'lower'}),
    'scipy nd': lambda: importlib.util.find_spec('scipy') is not None,
}


# The import

@newer
def test_every_name_that_mxnet_reads_from_numpy_is_there():
    """Found in MXNet's source: `np.NAME` where np is NumPy. What a later NumPy removes shows here."""
    output = run('''
        import ast, importlib, json, pathlib, sys, warnings
        import mxnet_compat
        mxnet_compat.install()
        import mxnet

        warnings.simplefilter('ignore')
        missing = []
        folder = pathlib.Path(mxnet.__file__).parent
        seen = 0
        for path in sorted(folder.rglob('*.py')):
            parts = ('mxnet', *path.relative_to(folder).with_suffix('').parts)
            tree = ast.parse(path.read_text())
            aliases = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                       for alias in node.names if alias.name == 'numpy'}
            if not aliases or parts[1] == 'tools':
                continue
            name = '.'.join(parts).removesuffix('.__init__')
            module = sys.modules.get(name)
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                    seen += 1
                    view = getattr(module, node.value.id, None) or mxnet_compat._numpy() if module else None
                    if view is None:
                        import numpy as view
                        if name in mxnet_compat._MENDED:
                            view = mxnet_compat._numpy()
                    if not hasattr(view, node.attr):
                        missing.append(f'{name}: {node.attr}')
        print(json.dumps([seen, missing]))
    ''')
    seen, missing = json.loads(output.splitlines()[-1])
    assert seen > 1000 and missing == []


@numpy_2
def test_without_help_the_import_fails():
    run('''
        try:
            import mxnet
        except AttributeError as error:
            assert 'was removed in the NumPy 2.0 release' in str(error)
        else:
            raise AssertionError('it works')
    ''')


@newer
def test_nobody_else_sees_any_of_it():
    """NumPy, builtins and sys.modules, after the import and, seen from another thread, all the time."""
    run('''
        import builtins, threading
        import numpy
        import mxnet_compat
        before = {name: dict(vars(module)) for name, module in (('numpy', numpy), ('builtins', builtins))}
        mxnet_compat.install()
        names = [name for name in mxnet_compat._old_names(numpy) if not hasattr(numpy, name)]
        assert 'PZERO' in names or numpy.__version__.startswith('1.')
        had_distutils = {name for name in sys.modules if name.startswith('distutils')}
        seen, ready = [], threading.Event()

        def watch():
            while not ready.is_set():
                seen.extend(name for name in names if name in vars(numpy))
                seen.extend(name for name in ('distutils', 'distutils.version') if
                            name in sys.modules and name not in had_distutils)
                if sys.modules['numpy'] is not numpy or builtins.__import__ is not before['builtins']['__import__']:
                    seen.append('replaced')

        thread = threading.Thread(target=watch)
        thread.start()
        import mxnet
        ready.set()
        thread.join()
        assert not seen, seen
        for name, module in (('numpy', numpy), ('builtins', builtins)):
            for key, value in before[name].items():
                assert vars(module)[key] is value, key
        assert set(vars(builtins)) == set(before['builtins'])
        assert not [name for name in names if name in vars(numpy)]
        assert numpy.array is not mxnet.ndarray.ndarray.np.array and numpy.__name__ == mxnet.ndarray.ndarray.np.__name__
    ''')


@newer
def test_starting_costs_next_to_nothing():
    """Python starts with it each time: it imports nothing, MXNet and NumPy least of all."""
    run(f'''
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        before = set(sys.modules)
        import mxnet_compat
        mxnet_compat.install()
        assert set(sys.modules) - before == {{'mxnet_compat'}}, set(sys.modules) - before
        import json
        assert 'numpy' not in sys.modules
    ''', undo=False, options=('-I', '-S'))
    tree = ast.parse((ROOT / 'mxnet_compat.py').read_text())
    assert [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))] == ['import sys']
    assert (ROOT / 'tools' / 'mxnet_compat.pth').read_text() == 'import mxnet_compat; mxnet_compat.install()\n'


def test_installing_twice_is_installing_once():
    run('''
        import mxnet_compat
        mxnet_compat.install()
        mxnet_compat.install()
        assert [type(finder).__module__ for finder in sys.meta_path].count('mxnet_compat') == 1
    ''')


@pytest.mark.parametrize('given, seen', [
    ({}, '3'), ({'OMP_NUM_THREADS': '1'}, None), ({'MXNET_OMP_MAX_THREADS': '5'}, '5')])
def test_mxnet_is_told_the_number_of_cores_while_it_loads(given, seen):
    """What a user has set stays, and no other process gets what nobody has set."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ('OMP_NUM_THREADS', 'MXNET_OMP_MAX_THREADS')}
    run(f"""
        import os, mxnet_compat
        mxnet_compat.cores = lambda: 3
        mxnet_compat.install()
        seen, load = [], mxnet_compat._load_with_all_cores
        class Loader:
            def exec_module(self, module):
                seen.append(os.environ.get('MXNET_OMP_MAX_THREADS'))
                self.loader.exec_module(module)
        def watched(loader, module):
            ours = Loader()
            ours.loader = loader
            load(ours, module)
        mxnet_compat._load_with_all_cores = watched
        import mxnet
        assert seen == [{seen!r}]
        assert os.environ.get('MXNET_OMP_MAX_THREADS') == {given.get('MXNET_OMP_MAX_THREADS')!r}
    """, env={**environment, **given})


def test_cores_are_those_that_the_process_may_use(tmp_path, monkeypatch):
    def machine(siblings, quota=None):
        for number, text in enumerate(siblings):
            (tmp_path / f'devices/system/cpu/cpu{number}/topology').mkdir(parents=True, exist_ok=True)
            (tmp_path / f'devices/system/cpu/cpu{number}/topology/thread_siblings_list').write_text(text)
        (tmp_path / 'fs/cgroup').mkdir(parents=True, exist_ok=True)
        (tmp_path / 'fs/cgroup/cpu.max').write_text(quota or 'max 100000\n')
        monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(len(siblings))), raising=False)
        return mxnet_compat.cores(str(tmp_path))
    assert machine('01') == 2  # a virtual machine
    assert machine(['0,2', '1,3', '0,2', '1,3']) == 2  # a laptop with two cores
    assert machine('0123', '150000 100000') == 2
    assert machine('0123', '50000 100000') == 1
    assert machine('0123', '900000 100000') == 4
    assert mxnet_compat.cores(str(tmp_path / 'none')) is None
    monkeypatch.delattr(os, 'sched_getaffinity')
    assert mxnet_compat.cores(str(tmp_path)) is None


@newer
def test_the_pth_file_serves_any_program(tmp_path):
    """An installation for the test: the module, the .pth file, and a program that knows of neither."""
    for name in ('mxnet_compat.py', 'tools/mxnet_compat.pth'):
        shutil.copy(ROOT / name, tmp_path)
    run(f'''
        import site
        site.addsitedir({str(tmp_path)!r})
        assert sys.modules['mxnet_compat'].__file__.startswith({str(tmp_path)!r})
        import mxnet
        assert mxnet.nd.ones((2,)).sum().asscalar() == 2
    ''', cwd=tmp_path)


@newer
def test_a_copy_of_the_file_is_enough(tmp_path):
    """Without the course: it imports nothing of it."""
    shutil.copy(ROOT / 'mxnet_compat.py', tmp_path)
    run('''
        sys.modules['d2l_densenet'] = None
        import mxnet_compat
        mxnet_compat.install()
        import mxnet
        assert mxnet.nd.ones((2,)).sum().asscalar() == 2
    ''', cwd=tmp_path)


@newer
@pytest.mark.parametrize('state', ['numpy', 'everything', 'failed'])
def test_in_a_kernel_that_is_already_running(state):
    """The course is imported first: NumPy may be loaded, and `import mxnet` may have failed already."""
    before = {'numpy': 'import numpy',
              'everything': 'import numpy, numpy.linalg, scipy.stats, scipy.sparse, matplotlib',
              'failed': textwrap.dedent('''
                  try:
                      import mxnet
                  except Exception:
                      assert 'mxnet.base' in sys.modules and 'mxnet' not in sys.modules
                  else:
                      raise SystemExit  # NumPy 1.24 to 1.26 on Python 3.10 and 3.11
              ''') if NUMPY_2 else ''}[state]
    run(UNDO + before + textwrap.dedent('''
        import d2l_densenet
        import mxnet as mx
        import numpy as np
        assert mx.nd.zeros((np.int64(2), 3)).shape == (2, 3)
        assert mx.nd.array([-1], dtype='uint8').asscalar() + 1 == 256
        mx.npx.set_np()
        assert mx.np.pad(mx.np.ones((2, 2)), ((1, 1), (0, 0))).shape == (4, 2)
        assert np.divide(mx.np.ones((2,)), 2).tolist() == [0.5, 0.5]
        net = mx.gluon.nn.Dense(2)
        net.initialize()
        assert net(mx.np.ones((1, 3))).shape == (1, 2)
    '''), undo=False)


@newer
def test_without_the_libraries_that_mxnet_can_do_without():
    run('''
        for name in ('scipy', 'scipy.sparse', 'scipy.stats', 'onnx', 'cv2', 'distutils', 'setuptools', 'requests',
                     'graphviz', 'matplotlib'):
            if name not in ('requests', 'graphviz'):
                sys.modules[name] = None
        import mxnet_compat
        mxnet_compat.install()
        import mxnet as mx
        assert mx.nd.array([1, 2]).sum().asscalar() == 3
        assert mx.ndarray.utils.spsp is None
    ''')


@newer
def test_the_loaded_modules_look_like_any_other():
    """For debuggers, pickle, reload: source, file and loader's answers are the real ones."""
    run('''
        import mxnet_compat
        mxnet_compat.install()
        import copy, importlib, importlib.util, inspect, pickle
        import mxnet as mx
        assert inspect.getsource(mx.metric.Accuracy).startswith('@register')
        assert mx.recordio.__spec__.origin.endswith('recordio.py')
        assert not mx.recordio.__spec__.loader.is_package('mxnet.recordio')
        assert importlib.util.find_spec('mxnet.metric').origin == mx.metric.__file__
        copy.copy(mx.metric.__spec__.loader)
        module = mx.recordio
        assert importlib.reload(module) is module and 'tobytes' in module.pack.__code__.co_names
        assert importlib.reload(mx) is mx and sys.modules['mxnet.recordio'] is module
        assert pickle.loads(pickle.dumps(mx.nd.ones((2,)))).sum().asscalar() == 2
    ''')


@newer
def test_under_pytest():
    """It has a finder before all others, which takes what is called test_*.py: here, in this very process."""
    import mxnet.test_utils

    assert 'pytest' in type(mxnet.test_utils.__spec__.loader).__module__
    _, observed, _ = mxnet.test_utils.chi_square_check(lambda n: numpy.arange(n) % 2, [0, 1], [0.5, 0.5], 100)
    assert list(observed) == [50, 50]


@newer
def test_a_missing_mxnet_or_numpy_says_what_it_always_said():
    run('''
        import mxnet_compat
        mxnet_compat.install()
        real = sys.path[:]
        sys.path[:] = []
        sys.meta_path[:] = [finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()]
        for name in ('mxnet', 'mxnet.metric'):
            try:
                __import__(name)
            except ModuleNotFoundError as error:
                assert str(error) == "No module named 'mxnet'"
            else:
                raise AssertionError
        sys.path[:] = real
        sys.modules['numpy'] = None
        import importlib.util
        assert importlib.util.find_spec('mxnet').origin.endswith('__init__.py')
        try:
            import mxnet
        except ImportError as error:
            assert 'numpy' in str(error)
        else:
            raise AssertionError
    ''')


def test_onnx_mapping_is_there_where_mxnet_is(tmp_path):
    """What onnx 1.19 removed. The onnx installed here is one without it, whatever its version."""
    pytest.importorskip('onnx')
    run(f'''
        import pathlib
        import mxnet_compat
        mxnet_compat.install()
        import numpy
        import onnx
        for path in pathlib.Path(onnx.__path__[0]).iterdir():
            if path.stem != 'mapping':
                (pathlib.Path({str(tmp_path)!r}) / path.name).symlink_to(path)
        onnx.__path__ = [{str(tmp_path)!r}]
        sys.modules.pop('onnx.mapping', None)
        vars(onnx).pop('mapping', None)
        try:
            import onnx.mapping
        except ModuleNotFoundError:
            pass
        else:
            raise AssertionError('lent to a program without MXNet')
        import mxnet
        from onnx import TensorProto, mapping
        assert mapping.NP_TYPE_TO_TENSOR_TYPE[numpy.dtype('float32')] == TensorProto.FLOAT
        assert mapping.NP_TYPE_TO_TENSOR_TYPE[numpy.dtype('int64')] == TensorProto.INT64
        assert mapping.TENSOR_TYPE_TO_NP_TYPE[TensorProto.BOOL] == numpy.dtype('bool')
        assert mapping.TENSOR_TYPE_TO_NP_TYPE[TensorProto.STRING] == numpy.dtype('O')
        net = mxnet.gluon.nn.Conv2D(2, 3)
        net.initialize()
        net.hybridize()
        net(mxnet.nd.ones((1, 1, 5, 5)))
        net.export({str(tmp_path / 'net')!r})
        file = mxnet.onnx.export_model({str(tmp_path / 'net-symbol.json')!r}, {str(tmp_path / 'net-0000.params')!r},
                                       [(1, 1, 5, 5)], numpy.float32, {str(tmp_path / 'net.onnx')!r})
        assert [node.op_type for node in onnx.load(file).graph.node] == ['Conv']
    ''')


@pytest.mark.skipif(not OLD, reason='only beside NumPy before 1.24')
def test_beside_the_old_numpy_mxnet_loads_as_it_is():
    run('''
        import mxnet_compat
        mxnet_compat.install()
        import mxnet as mx, numpy
        for name, module in list(sys.modules.items()):
            if name.startswith('mxnet.') and getattr(module, '__spec__', None):
                assert type(module.__spec__.loader).__module__ != 'mxnet_compat', name
        assert mx.ndarray.ndarray.np is numpy and not hasattr(mx.nd.NDArray, '__array__')
    ''')


# The proof: programs of the years 2018 to 2022

def test_the_zoo_trains():
    """Gluon's DenseNet-121, forward and backward, imperative and hybridized."""
    run('''
        import mxnet_compat
        mxnet_compat.install()
        import mxnet as mx
        import numpy as np
        from mxnet import autograd, gluon
        from mxnet.gluon.model_zoo import vision

        mx.random.seed(0)
        net = vision.densenet121(classes=10)
        net.initialize(mx.init.Xavier())
        trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.01})
        images, labels = mx.nd.random.uniform(shape=(2, 3, 224, 224)), mx.nd.array([1, 2])
        losses = []
        for hybrid in (False, True):
            if hybrid:
                net.hybridize()
            with autograd.record():
                loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(images), labels)
            loss.backward()
            trainer.step(2)
            losses.append(loss.mean().asscalar())
        assert np.isfinite(losses).all() and losses[0] != losses[1]
        parameters = sum(np.prod(p.shape) for p in net.collect_params().values() if p.grad_req != 'null')
        assert parameters == 7978856 - 1024 * 990 - 990
    ''')


def test_an_old_chapter_of_d2l_trains(tmp_path):
    """Linear regression from scratch, a convolutional network with train_ch6, and a ResNet with train_ch13."""
    pytest.importorskip('d2l')
    run('''
        import mxnet_compat
        mxnet_compat.install()
        from d2l import mxnet as d2l
        from mxnet import autograd, gluon, init, np, npx
        from mxnet.gluon import nn
        import mxnet as mx

        npx.set_np()
        mx.random.seed(0)

        true_w, true_b = np.array([2, -3.4]), 4.2
        features, labels = d2l.synthetic_data(true_w, true_b, 200)
        w, b = np.random.normal(0, 0.01, (2, 1)), np.zeros(1)
        w.attach_grad()
        b.attach_grad()
        for epoch in range(5):
            for X, y in d2l.load_array((features, labels), 10):
                with autograd.record():
                    loss = d2l.squared_loss(d2l.linreg(X, w, b), y)
                loss.backward()
                d2l.sgd([w, b], 0.1, 10)
        assert abs(w.reshape(-1) - true_w).max() < 0.05 and abs(b - true_b).max() < 0.05

        images, kinds = np.random.uniform(size=(40, 1, 28, 28)), np.arange(40) % 2
        images[kinds == 1] += 1
        batches = gluon.data.DataLoader(gluon.data.ArrayDataset(images, kinds.astype('float32')), batch_size=8)
        net = nn.Sequential()
        net.add(nn.Conv2D(6, 5, padding=2, activation='sigmoid'), nn.AvgPool2D(2, 2), nn.Dense(10))
        d2l.train_ch6(net, batches, batches, 3, 0.5, d2l.cpu())
        assert d2l.evaluate_accuracy_gpu(net, batches) > 0.9

        net = d2l.resnet18(10)
        net.initialize(init.Xavier(), ctx=[d2l.cpu()])
        trainer = gluon.Trainer(net.collect_params(), 'adam', {'learning_rate': 0.001})
        d2l.train_ch13(net, batches, batches, gluon.loss.SoftmaxCrossEntropyLoss(), trainer, 1, [d2l.cpu()])
    ''', env={**os.environ, 'MPLBACKEND': 'agg'})
