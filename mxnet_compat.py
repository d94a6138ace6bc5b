"""MXNet 1.9.1 beside libraries that came after it.

MXNet is Python and one shared library behind ctypes, so that any Python runs it. What stops it is names that were
taken out of NumPy (1.24, 2.0 and later), Python (distutils, 3.12) and onnx (onnx.mapping, 1.19) since, and NumPy 2's
repr of scalars: MXNet hands its operators their arguments as text, and ``str((np.int64(4),))`` no longer reads
``(4,)``.

`install` puts a finder before the others. It does nothing until ``import mxnet``; then it lends NumPy the missing
names while MXNet loads, and afterwards replaces ``str`` in the four modules that write text for the library, and
``numpy`` in the five that read a missing name later. With numpy < 1.24 MXNet loads as it is.

mxnet_compat.pth runs this whenever Python starts, so it imports next to nothing, and neither MXNet nor NumPy.
"""

import sys

__all__ = ['install']

#: Modules of MXNet that turn arguments into text for its library with ``str``.
_WRITERS = ('mxnet._ctypes.ndarray', 'mxnet._ctypes.symbol', 'mxnet.symbol.symbol', 'mxnet.io.io')
#: Modules of MXNet that read a missing name from NumPy when they are called, and how they call NumPy.
_READERS = {'mxnet.numpy.multiarray': '_np', 'mxnet.ndarray.numpy._op': '_np', 'mxnet.symbol.numpy._symbol': '_np',
            'mxnet.gluon.contrib.estimator.event_handler': 'np', 'mxnet.test_utils': 'np'}
#: What MXNet reads from NumPy while it loads, and how that is called now.
_CONSTANTS = {'Inf': 'inf', 'NAN': 'nan', 'NaN': 'nan', 'PINF': 'inf'}
_FUNCTIONS = {'alltrue': 'all', 'sometrue': 'any', 'in1d': 'isin', 'trapz': 'trapezoid', 'product': 'prod',
              'round_': 'round'}
_FINANCE = ('mirr', 'npv', 'pmt', 'ppmt', 'pv', 'rate')  # since NumPy 1.20 they have only raised


def install():
    """See to it that ``import mxnet`` works here. Doing so twice does nothing more."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds `mxnet` as the other finders do, and has it loaded by `_Loader`; finds `onnx.mapping` if nobody does."""

    def find_spec(self, name, path=None, target=None):
        if name == 'mxnet':
            spec = self._others(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader)
            return spec
        if name == 'onnx.mapping' and self._others(name, path, target) is None:
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


class _Loader:
    """MXNet's own loader, with what is missing lent for as long as it runs."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        if name == '_loader':  # asked for by copy and pickle, before there is one
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        import numpy

        old = tuple(map(int, numpy.__version__.split('.')[:2])) < (1, 24)
        names = {} if old else _missing_in(numpy)
        modules = _distutils()
        vars(numpy).update(names)
        sys.modules.update(modules)
        try:
            self._loader.exec_module(module)
        finally:
            for name in names:
                vars(numpy).pop(name, None)
            for name in modules:
                sys.modules.pop(name, None)
        if not old:
            _read_as_before(numpy)
            _write_as_before(numpy)


def _missing_in(numpy):
    names = {'PZERO': 0.0, 'NZERO': -0.0, 'NINF': -numpy.inf, 'msort': lambda a: numpy.sort(a, axis=0)}
    names['bool'] = bool  # gone in 1.24 to 1.26; NumPy 2's own is numpy.bool_, and does
    names.update({old: getattr(numpy, new) for old, new in _CONSTANTS.items()})
    names.update({old: _renamed(getattr(numpy, new)) for old, new in _FUNCTIONS.items() if hasattr(numpy, new)})
    names.update({name: _removed(name) for name in _FINANCE})
    return {name: value for name, value in names.items() if name not in vars(numpy)}


def _renamed(function):
    # Another object than the function itself: MXNet notes for each what stands in for it when it meets MXNet's arrays.
    return lambda *args, **kwargs: function(*args, **kwargs)


def _removed(name):
    def removed(*args, **kwargs):
        raise RuntimeError(f'NumPy no longer has {name}: numpy-financial has it')

    removed.__name__ = name
    return removed


def _distutils():
    """MXNet compares versions with distutils, which setuptools has where Python has not. Where neither has it: this."""
    from importlib.util import find_spec
    from types import ModuleType

    if find_spec('distutils') is not None:
        return {}
    package, module = ModuleType('distutils'), ModuleType('distutils.version')
    package.__path__, package.version = [], module
    module.LooseVersion = module.StrictVersion = _Version
    return {'distutils': package, 'distutils.version': module}


class _Version:
    def __init__(self, text):
        digits = [''.join(character for character in part if character.isdigit()) for part in text.split('.')[:3]]
        self._key = tuple(int(part or 0) for part in digits)

    def __ge__(self, other):
        return self._key >= other._key


def _read_as_before(numpy):
    """For the functions that read a name that is gone only when they are called: ``mx.np.pad``, boolean indices, ..."""
    from types import ModuleType, SimpleNamespace

    class View(ModuleType):
        def __getattr__(self, name):
            return getattr(numpy, name)

    view = View('numpy')
    vars(view).update(bool=bool, int=int, Inf=numpy.inf, compat=SimpleNamespace(basestring=(str, bytes)))
    for name, alias in _READERS.items():
        vars(sys.modules[name])[alias] = view


def _write_as_before(numpy):
    if repr(numpy.int64(4)) == '4':
        return

    def text(value=''):
        """``str(value)`` as NumPy 1 made it: numbers of NumPy inside a tuple or list are written bare."""
        if type(value) not in (tuple, list):
            return str(value)
        inner = ', '.join(map(item, value))
        return f'[{inner}]' if type(value) is list else f'({inner},)' if len(value) == 1 else f'({inner})'

    def item(value):
        if isinstance(value, (numpy.number, numpy.bool_)):
            return str(value)
        return text(value) if type(value) in (tuple, list) else repr(value)

    class Kind(type):
        def __instancecheck__(cls, value):
            return isinstance(value, str)

        def __call__(cls, value=''):
            return text(value)

    # Two of them also ask isinstance(name, str), so there a class.
    for name in _WRITERS:
        vars(sys.modules[name])['str'] = text if '_ctypes' in name else Kind('str', (str,), {})


class _OnnxMapping:
    """`onnx.mapping` as it was until onnx 1.18, of which MXNet's exporter reads two tables."""

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
