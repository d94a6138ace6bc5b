"""MXNet 1.9.1 on the Pythons and NumPys that came after it.

    import mxnet_compat
    mxnet_compat.install()
    import mxnet

MXNet is Python and one shared library behind ctypes, so any Python runs it. What stops it, or gives other results, is
what NumPy (1.24, 2.0 and later), Python (3.12), SciPy and onnx have removed or changed since. `install` puts a finder
before the others, which does nothing until ``import mxnet``. Then a few of MXNet's modules see NumPy through a view
that still has the old names, and a few of their functions are mended once they are loaded. Nobody else sees any of it:
NumPy itself, ``builtins`` and ``sys.modules`` are left as they are. With NumPy before 1.24 MXNet loads as it is.

mxnet_compat.pth calls `install` whenever Python starts, so this file imports next to nothing at its top, and neither
MXNet nor NumPy before MXNet is imported. It stands by itself: copy it, or install it. docs/mxnet_compat.md has the
table of what is mended and what is not.
"""

import sys

__all__ = ['cores', 'install']


def install():
    """See to it that ``import mxnet`` works here. Doing so twice does nothing more."""
    if not any(type(finder).__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds MXNet's modules as the other finders do, and has those in `_MENDED` loaded by `_Loader`."""

    def find_spec(self, name, path=None, target=None):
        if name in _MENDED:
            spec = self._others(name, path, target)
            if spec is not None and spec.loader is not None and (name == 'mxnet' or _is_newer()):
                spec.loader = _Loader(spec.loader)
            return spec
        # MXNet's exporter and importer read two tables of onnx.mapping, which onnx 1.19 removed. They say
        # `onnx.mapping.NAME` as well as `from onnx import mapping`, so it has to be a module of onnx.
        if name == 'onnx.mapping' and 'mxnet' in sys.modules and self._others(name, path, target) is None:
            from importlib.machinery import ModuleSpec

            return ModuleSpec(name, _OnnxMapping())
        return None

    def _others(self, name, path, target):
        for finder in sys.meta_path[sys.meta_path.index(self) + 1:]:  # only these: an earlier one may be asking
            if hasattr(finder, 'find_spec'):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None


def _is_newer():
    try:
        import numpy
    except ImportError:  # MXNet's own import says so
        return False
    return tuple(map(int, numpy.__version__.split('.')[:2])) >= (1, 24)


class _Loader:
    """The module's own loader, with the module's view of other libraries before it and the mends after it."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        if name == '_loader':  # asked for by copy and pickle, before there is one
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        name = module.__spec__.name
        if name != 'mxnet':
            vars(module)['__builtins__'] = _builtins()
        elif not hasattr(module, '__version__'):  # not a reload
            # An `import mxnet` that failed earlier leaves the modules behind that it had got to, without the mends.
            for left in [other for other in sys.modules if other.startswith('mxnet.')]:
                del sys.modules[left]
        if name == 'mxnet':
            _load_with_all_cores(self._loader, module)
        else:
            self._loader.exec_module(module)
        if not _is_newer():
            return
        for mend in _MENDED[name]:
            mend(module)
        if name == 'mxnet':
            _mend_what_others_loaded()


def _load_with_all_cores(loader, module):
    """Load MXNet so that it computes with all cores.

    By itself it takes half as many threads as there are processors. That is right where two of them share a core, too
    few where they do not (virtual machines), and too many in a container that gets a part of their time. It looks when
    it is loaded, so the variable does not stay and no other process gets it.
    """
    import os

    number = None if {'OMP_NUM_THREADS', 'MXNET_OMP_MAX_THREADS'} & os.environ.keys() else cores()
    if number:
        os.environ['MXNET_OMP_MAX_THREADS'] = str(number)
    try:
        loader.exec_module(module)
    finally:
        if number:
            os.environ.pop('MXNET_OMP_MAX_THREADS', None)


def cores(root='/sys'):
    """How many cores this process may use; None where Linux does not say."""
    import os

    def read(file):
        with open(f'{root}/{file}') as opened:
            return opened.read()
    try:
        found = len({read(f'devices/system/cpu/cpu{number}/topology/thread_siblings_list')
                     for number in os.sched_getaffinity(0)})
    except (AttributeError, OSError):
        return None
    try:
        quota, period = read('fs/cgroup/cpu.max').split()
        return max(1, min(found, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no limit
        return found


def _mend_what_others_loaded():
    """Mend modules that a finder before this one took: pytest loads every test_*.py itself, MXNet's test_utils too."""
    import numpy

    for name in _MENDED:
        module = sys.modules.get(name)
        if module is None or isinstance(module.__spec__.loader, _Loader):
            continue
        for key, value in list(vars(module).items()):
            if value is numpy:
                vars(module)[key] = _numpy()
        for mend in _MENDED[name]:
            mend(module)


# What MXNet's modules see of other libraries

def _builtins():
    """Python's builtins with an ``import`` that gives `_numpy` and the like for the modules that MXNet asks for.

    An import made by these modules alone, rather than names put into NumPy or modules put into sys.modules for a
    while: other threads, and libraries that MXNet imports, never see them.
    """
    import builtins

    def import_(name, globals=None, locals=None, fromlist=(), level=0):
        if level == 0 and name in _IMPORTS:
            return _IMPORTS[name]()
        return builtins.__import__(name, globals, locals, fromlist, level)

    return {**vars(builtins), '__import__': import_}


def _view(module, names):
    """A module that has `names`, and for all others what `module` has."""
    from types import ModuleType

    class View(ModuleType):
        def __getattr__(self, name):
            value = getattr(module, name)
            vars(self)[name] = value  # as fast as the module itself from then on
            return value

    view = View(module.__name__)
    vars(view).update(names)
    return view


def _numpy():
    """NumPy with the names that MXNet reads, when it loads or when it is called, and that NumPy no longer has."""
    global _numpy_view
    if _numpy_view is None:
        import numpy

        _numpy_view = _view(numpy, _old_names(numpy))
    return _numpy_view


_numpy_view = None


def _old_names(numpy):
    from types import SimpleNamespace

    def removed(name):
        def function(*args, **kwargs):
            raise RuntimeError(f'NumPy no longer has {name}: numpy-financial has it')

        return function

    def renamed(name, finish=lambda result: result):
        # Another object than the function itself: MXNet notes for each what stands in for it when it meets MXNet's
        # arrays.
        return lambda *args, **kwargs: finish(getattr(numpy, name)(*args, **kwargs))

    names = {
        # NumPy 2.0
        'PZERO': 0.0, 'NZERO': -0.0, 'PINF': numpy.inf, 'NINF': -numpy.inf, 'Inf': numpy.inf,
        'NAN': numpy.nan, 'NaN': numpy.nan, 'compat': SimpleNamespace(basestring=(str, bytes)),
        'sometrue': renamed('any'), 'product': renamed('prod'), 'round_': renamed('round'),
        # MXNet has an `all` of its own, and left this one to NumPy
        'alltrue': lambda a, *args, **kwargs: numpy.all(numpy.asarray(a), *args, **kwargs),
        'msort': lambda a: numpy.sort(a, axis=0),
        # NumPy 2.4
        'trapz': renamed('trapezoid'), 'in1d': renamed('isin', finish=numpy.ravel),
        # 1.24, after years as names of Python's own types
        'int': int,
    }
    for name in ('mirr', 'npv', 'pmt', 'ppmt', 'pv', 'rate'):  # since NumPy 1.20 they have only raised
        names[name] = removed(name)
    names = {name: value for name, value in names.items() if name not in vars(numpy)}

    def array(*args, **kwargs):
        """``numpy.array``, in which a Python integer too large for the type wraps around as before NumPy 2."""
        try:
            return numpy.array(*args, **kwargs)
        except OverflowError:
            dtype = numpy.dtype(kwargs.get('dtype'))
            if dtype.kind not in 'iu':
                raise
            return numpy.array(args[0], dtype=numpy.int64).astype(dtype)

    def quantiles(name):
        # NumPy 2.4 removed the argument's old name.
        def function(*args, interpolation='linear', **kwargs):
            return getattr(numpy, name)(*args, **{'method': interpolation, **kwargs})

        return function

    names['array'] = array
    names.update({name: quantiles(name) for name in ('nanpercentile', 'nanquantile')})
    names['bool'] = bool  # NumPy 2.0 uses the name again, for numpy.bool_
    if hasattr(numpy.lib, 'array_utils'):  # NumPy 2.0; numpy.core warns since
        names['core'] = SimpleNamespace(numeric=numpy.lib.array_utils)
    return names


def _distutils():
    """What MXNet compares NumPy's version with. Python 3.12 removed distutils, and not everyone has setuptools."""
    from types import SimpleNamespace

    return SimpleNamespace(LooseVersion=_Version, StrictVersion=_Version)


class _Version(tuple):
    def __new__(cls, text):
        digits = [''.join(filter(str.isdigit, part)) for part in text.split('.')[:3]]
        return super().__new__(cls, (int(part or 0) for part in digits))


def _scipy():
    """``import scipy.sparse as ...``, with the module ``csr``, which goes with SciPy 2 and warns until then."""
    from types import SimpleNamespace

    import scipy.sparse

    names = {'csr': SimpleNamespace(csr_matrix=scipy.sparse.csr_matrix)}
    return SimpleNamespace(sparse=_view(scipy.sparse, names))


_IMPORTS = {'numpy': _numpy, 'distutils.version': _distutils, 'scipy.sparse': _scipy}


# What is mended in a module once it is loaded

def _text(module):
    """Write NumPy's numbers bare in the text that MXNet hands its library.

    The arguments of operators travel as ``str(value)``, and since NumPy 2 ``str((np.int64(4),))`` reads
    ``(np.int64(4),)``, which the library does not understand: shape=, kernel=, split, indexing with NumPy's integers.
    """
    import numpy

    if _numbers_are_as_before():
        return

    def text(value=''):
        result = str(value)
        if 'np.' in result and not isinstance(value, str):
            with numpy.printoptions(legacy='1.25'):
                result = str(value)
        return result

    class Kind(type):
        def __instancecheck__(cls, value):
            return isinstance(value, str)

        def __call__(cls, value=''):
            return text(value)

    # Two of the modules also ask isinstance(name, str): there, a class. The others call it for each argument.
    vars(module)['str'] = text if '_ctypes' in module.__name__ else Kind('str', (str,), {})


def _arrays(module):
    """Tell NumPy how to make an array of MXNet's.

    Without ``__array__`` NumPy takes them for nested sequences. Of nd arrays, whose elements are arrays in turn, that
    made arrays of 32 dimensions and is an error since NumPy 2; and ``numpy.array(a, copy=False)`` is another since.
    """
    def __array__(self, dtype=None, copy=None):
        # Always a copy, also with copy=False: before NumPy 2 that meant "unless necessary".
        array = self.asnumpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    module.NDArray.__array__ = __array__
    module.NDArray.asscalar = _giving_numbers(module.NDArray.asscalar)


def _metrics(module):
    """Let metrics add up in float64, and print, as before NumPy 2: see `_number`."""
    import functools

    import numpy

    def starting_at_a_number(reset):
        @functools.wraps(reset)
        def wrapper(self, *args, **kwargs):
            result = reset(self, *args, **kwargs)
            for name in ('sum_metric', 'global_sum_metric'):
                if type(vars(self).get(name)) is float:  # one metric has properties by these names
                    setattr(self, name, _number(numpy.float64(vars(self)[name])))
            return result

        return wrapper

    if _numbers_are_as_before():
        return
    wrappers = {'get': _giving_numbers, 'get_global': _giving_numbers,
                'reset': starting_at_a_number, 'reset_local': starting_at_a_number}
    for value in list(vars(module).values()):
        if isinstance(value, type) and issubclass(value, module.EvalMetric):
            for name in wrappers:
                if name in vars(value):
                    setattr(value, name, wrappers[name](vars(value)[name]))


def _norms(module):
    """Let the learning rates that come of norms of weights be computed in float64: see `_number`."""
    for optimizer in (module.LARS, module.LBSGD):
        optimizer._l2norm = _giving_numbers(optimizer._l2norm)


def _giving_numbers(function):
    """`function`, with NumPy's numbers in what it returns made into those of `_number`."""
    import functools

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return _number(function(*args, **kwargs))

    return function if _numbers_are_as_before() else wrapper


def _numbers_are_as_before():
    import numpy

    return repr(numpy.int64(4)) == '4'


def _number(value):
    """A number of NumPy's that MXNet hands out, such that it prints and calculates as before NumPy 2.

    Since then ``[loss.asscalar()]`` prints as ``[np.float32(0.5)]``, and, what nobody sees, adding up with
    ``total += loss.asscalar()`` happens in float32 where it was float64, while ``image.max().asscalar() + 1``
    overflows at 255. The number keeps its dtype and stays one of NumPy's.
    """
    import numpy

    if isinstance(value, (tuple, list)):
        return type(value)(map(_number, value))
    kind = type(value)
    if not isinstance(value, (numpy.floating, numpy.integer)) or kind in _kinds.values():
        return value
    if kind not in _kinds:
        _kinds[kind] = _kind(kind, numpy)
    return _kinds[kind](value)


_kinds = {}


def _kind(kind, numpy):
    """The type for `_number` of NumPy's type `kind`."""
    import operator

    def as_numpys(number):
        # NumPy 2 lets a number of Python's take the type of the other. Before, it had a type of its own.
        if type(number) is float:
            return numpy.float64(number)
        return numpy.int64(number) if type(number) is int and -2**63 <= number < 2**63 else number

    def forward(function):
        return lambda self, *others: _number(function(kind(self), *map(as_numpys, others)))

    def backward(function):
        return lambda self, other: _number(function(as_numpys(other), kind(self)))

    methods = {}
    for name in ('neg', 'abs', 'lt', 'le', 'eq', 'ne', 'gt', 'ge'):
        methods[f'__{name}__'] = forward(getattr(operator, name))
    for name in ('add', 'sub', 'mul', 'truediv', 'floordiv', 'mod', 'pow', 'divmod'):
        function = getattr(operator, name, divmod)
        methods[f'__{name}__'], methods[f'__r{name}__'] = forward(function), backward(function)
    return type(kind.__name__, (kind,), {'__module__': 'numpy', '__repr__': kind.__str__, '__hash__': kind.__hash__,
                                         **methods})


def _bytes(module):
    """``tobytes`` for ``tostring``, which arrays no longer have since NumPy 2.3, in the two functions that write."""
    for function in (module.pack, module.pack_img):
        code = function.__code__
        names = tuple('tobytes' if name == 'tostring' else name for name in code.co_names)
        function.__code__ = code.replace(co_names=names)


def _tuples(module):
    """Take the named tuples in which ``numpy.linalg.qr`` and others answer since NumPy 2 as tuples.

    MXNet makes another of the same type from a list of arrays, which a named tuple is not made from.
    """
    convert = module._as_mx_np_array

    def as_mx_np_array(object, ctx=None):
        return convert(tuple(object) if isinstance(object, tuple) else object, ctx)

    module._as_mx_np_array = as_mx_np_array


def _ufuncs(module):
    """Give NumPy's functions that meet MXNet's arrays their replacement under the name that they have now.

    ``numpy.divide`` called itself true_divide until NumPy 1.23. Without its replacement it still computes, but in
    NumPy, on the CPU and never while autograd records.
    """
    import numpy

    replacements = module.numpy.multiarray._NUMPY_ARRAY_UFUNC_DICT
    for name, replacement in list(replacements.items()):
        replacements.setdefault(getattr(numpy, name).__name__, replacement)


def _thresholds(module):
    """Give the library its thresholds as numbers: those of the entropy are arrays of one, and NumPy 2.4 stopped letting
    ctypes take an array for a number."""
    c_array = module.c_array

    def of_numbers(kind, values):
        return c_array(kind, [value.item() if hasattr(value, 'item') else value for value in values])

    module.c_array = of_numbers


#: The modules of MXNet that see other libraries through `_IMPORTS`, and what is mended in each once it is loaded.
_MENDED = {
    'mxnet': (_ufuncs,),
    'mxnet._ctypes.ndarray': (_text,),
    'mxnet._ctypes.symbol': (_text,),
    'mxnet.contrib.quantization': (_thresholds,),
    'mxnet.gluon.contrib.estimator.event_handler': (),
    'mxnet.io.io': (_text,),
    'mxnet.metric': (_metrics,),
    'mxnet.ndarray.ndarray': (_arrays,),
    'mxnet.ndarray.numpy._op': (),
    'mxnet.ndarray.sparse': (),
    'mxnet.ndarray.utils': (),
    'mxnet.numpy.fallback': (),
    'mxnet.numpy.multiarray': (_tuples,),
    'mxnet.numpy.utils': (),
    'mxnet.numpy_dispatch_protocol': (),
    'mxnet.numpy_op_fallback': (),
    'mxnet.optimizer.optimizer': (_norms,),
    'mxnet.recordio': (_bytes,),
    'mxnet.symbol.numpy._symbol': (),
    'mxnet.symbol.symbol': (_text,),
    'mxnet.test_utils': (),
}


class _OnnxMapping:
    """`onnx.mapping` as it was until onnx 1.18, of which MXNet reads two tables."""

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        import numpy
        from onnx import TensorProto, helper

        module.TENSOR_TYPE_TO_NP_TYPE, module.NP_TYPE_TO_TENSOR_TYPE = {}, {}
        for number in sorted(TensorProto.DataType.values()):
            try:
                dtype = numpy.dtype(helper.tensor_dtype_to_np_dtype(number))
            except (KeyError, TypeError):  # 0 means undefined
                continue
            module.TENSOR_TYPE_TO_NP_TYPE[number] = dtype
            module.NP_TYPE_TO_TENSOR_TYPE.setdefault(dtype, number)
