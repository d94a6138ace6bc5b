"""The base of the package's blocks: what Gluon's do, and the same result in whatever way it is computed."""

import collections
import contextlib
import copyreg
import operator
import warnings
import weakref

import mxnet as mx
import numpy
from mxnet import autograd
from mxnet.base import MXNetError
from mxnet.gluon import Constant, HybridBlock, Parameter, SymbolBlock, nn
from mxnet.gluon.block import _BlockScope
from mxnet.ndarray import CachedOp
from mxnet.symbol import Symbol
from mxnet.util import is_np_array

from .._common.arguments import block_options, image_batch
from .._common.portable import ModePortable, array_mode
from .fast import faster


def _parameter(kind, content):
    """A copied parameter. Its array does not know its gradient any more."""
    new = kind.__new__(kind)
    vars(new).update(content)
    if new._grad is not None:
        autograd.mark_variables(new._data, new._grad, new.grad_req)
    return new


# What `copy.deepcopy` of any Gluon block is to do. A traced graph is a handle of MXNet's that cannot be copied: a copy
# traces its own. What numbers the names of a block's children holds on to the block around it, which is not copied.
copyreg.pickle(CachedOp, lambda _: (type(None), ()))
copyreg.pickle(_BlockScope, lambda scope: (_BlockScope, (scope._block,), {'_counter': scope._counter}))
for _kind in (Parameter, Constant):
    # A Trainer is of the parameters that it was given, not of their copies.
    copyreg.pickle(_kind, lambda parameter: (_parameter, (type(parameter), {**vars(parameter), '_trainer': None})))

# What a block notes down about itself that does not change what it computes.
BOOKKEEPING = frozenset((
    '_empty_prefix', '_prefix', '_params', '_name', '_scope', '_children', '_cached_graph', '_cached_op',
    '_cached_op_args', '_out_format', '_in_format', '_active', '_flags', '_callback', '_monitor_all', '_backend',
    '_backend_opts', '_built_in_np', '_owner'))
_VALUES = frozenset((int, float, str, bool, type(None), Parameter, Constant))

# For each block that was traced what it was like then, and the faster graphs made of that one. Beside the blocks, so
# that copies and files of them do not hold any of it.
_states, _faster = weakref.WeakKeyDictionary(), weakref.WeakKeyDictionary()
# Blocks whose user has been warned.
_warned = weakref.WeakSet()


class Block(ModePortable, HybridBlock):
    """A HybridBlock of images (N, C, H, W) whose result depends on its layers, their parameters and its input alone.

    Gluon's hybridized blocks go on computing what they were when they were traced. This one is traced again when a
    layer in it was replaced, added or removed or an attribute of one has changed. It runs the graph that `fast` makes
    of the traced one, unless a backend or a monitor wants to see the latter. It can be copied by ``copy.deepcopy``.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._written = cls.hybrid_forward  # a learner may put another into the class

    def __init__(self, **kwargs):
        block_options(kwargs)
        super().__init__(**kwargs)
        self._owner, self._built_in_np = type(self).__name__, is_np_array()

    def __setattr__(self, name, value):
        if isinstance(vars(self).get(name), HybridSequential) and isinstance(value, nn.HybridSequential):
            del vars(self)[name]  # Gluon would take one of the same class only
        super().__setattr__(name, value)

    def forward(self, x, *args):
        if isinstance(x, Symbol):
            return super().forward(x, *args)
        image_batch(self._owner, x, self._built_in_np, in_channels(self))
        if autograd.is_recording() and not autograd.is_training() and x.context.device_type == 'cpu':
            _warn_of_predict_mode(self)
        try:
            return self.run(x, *args)
        except (MXNetError, ValueError) as error:
            # MXNet says so of a window larger than the image; `too_small` may have said it of a block in this one.
            if 'exceeds input' not in str(error) and 'nothing is left to pool' not in str(error):
                raise
            raise ValueError(self.too_small(*x.shape[2:])) from error

    def run(self, x, *args):
        """The output for an array that has been checked."""
        return super().forward(x, *args)

    def too_small(self, height, width):
        """What to say where images of this size leave a pooling nothing."""
        return f'{self._owner} takes larger images than {height} x {width} pixels: nothing is left to pool'

    def _get_graph(self, *args):
        self._forget_if_changed()
        _states[self] = State(self)
        return super()._get_graph(*args)

    def _forget_if_changed(self):
        if self._cached_graph and not (self in _states and _states[self].holds(self)):
            self._clear_cached_op()

    def export(self, *args, **kwargs):
        self._forget_if_changed()  # Gluon then asks for a call
        return super().export(*args, **kwargs)

    def _call_cached_op(self, x, *args):
        self._forget_if_changed()
        if args or self._backend or self._callback:
            return super()._call_cached_op(x, *args)
        if self._cached_op is None:
            self._build_cache(x)
        found = _faster.get(self)
        if found is None or found.traced is not self._cached_op:
            found = _faster[self] = _Faster(self)
        graph = found.graph(x) if self._out_format == 0 else None  # one array, and not in a list
        return super()._call_cached_op(x) if graph is None else graph(x)


class HybridSequential(Block, nn.HybridSequential):
    """Gluon's ``HybridSequential`` for images; `owner` is what errors call it."""

    def __init__(self, owner=None, **kwargs):
        super().__init__(**kwargs)
        self._owner = owner or self._owner


class Graph:
    """A symbol that is run on one array and on the values that `parameters`, a dict by name, have at that time."""

    def __init__(self, symbol, parameters, flags=()):
        #: For each input its parameter, or None for the array.
        self.inputs = [parameters.get(name) for name in symbol.list_inputs()]
        self.operator = CachedOp(symbol, [
            ('data_indices', [i for i, item in enumerate(self.inputs) if item is None]),
            ('param_indices', [i for i, item in enumerate(self.inputs) if item is not None]), *flags])
        self.statistics = {parameters[name] for name in symbol.list_auxiliary_states()}
        self._places, self._values = None, {}

    def __call__(self, x, keep_statistics=False):
        """The output; `keep_statistics`: those that the symbol would move in its forward pass stay as they are."""
        arrays = [x if value is None else value for value in self._arrays(x.context)]
        if keep_statistics:
            arrays = [array.copy() if item in self.statistics else array for item, array in zip(self.inputs, arrays)]
        return self.operator(*arrays)

    def _arrays(self, device):
        """The array of each input's parameter, asked for again where a parameter has got others."""
        places = [item and item._data for item in self.inputs]
        if self._places is None or not all(map(operator.is_, places, self._places)):
            self._places, self._values = places, {}
        if device not in self._values:
            self._values[device] = [item and item.data(device) for item in self.inputs]
        return self._values[device]


def inside(block):
    """A block and all blocks in it."""
    return [block, *(other for child in block._children.values() for other in inside(child))]


def _warn_of_predict_mode(block):
    blocks = [] if block in _warned else inside(block)
    _warned.update(blocks)
    pooling = next((layer for layer in blocks if isinstance(layer, (nn.MaxPool2D, nn.GlobalMaxPool2D))), None)
    if pooling is not None:
        warnings.warn(f'gradients recorded in predict mode on a CPU are wrong behind a max-pooling ({pooling.name}), a '
                      'fault of MXNet. For right ones: with d2l_densenet.eval_mode(net), autograd.record(): ...',
                      stacklevel=4)


def forget_graphs(blocks):
    """Have blocks traced again, whatever they are, when they are called next."""
    for block in blocks:
        if isinstance(block, HybridBlock):
            block._clear_cached_op()


class _Faster:
    """The graphs that a block runs instead of the one that was traced."""

    def __init__(self, block):
        self.traced, self._symbol, self._flags = block._cached_op, block._cached_graph[1], block._flags
        self._parameters = {item.name: item for is_data, item in block._cached_op_args if not is_data}
        self._by_shape, self._by_content = {}, {}

    def graph(self, x):
        """The graph for images like these, or None: the traced one will do."""
        if x.shape not in self._by_shape:
            symbol = faster(self._symbol, x.shape)
            content = None if symbol is self._symbol else symbol.tojson()
            if content and content not in self._by_content:
                self._by_content[content] = Graph(symbol, self._parameters, self._flags)
            self._by_shape[x.shape] = self._by_content.get(content)
        return self._by_shape[x.shape]


def written_graph(block, name='data'):
    """The symbol of what a block computes, in the array mode in which it was built."""
    parameters = list(block._collect_params_with_prefix().values())
    names = {parameter.name for parameter in parameters}
    if len(names) < len({id(parameter) for parameter in parameters}):
        raise ValueError(f'two parameters of this {type(block).__name__} have the same name, so a graph cannot tell '
                         'them apart: build a layer that was copied again, with a prefix of its own')
    with array_mode(block._built_in_np), left_as_found(block):
        data = mx.sym.var(name)
        return block(data.as_np_ndarray() if block._built_in_np else data)


@contextlib.contextmanager
def left_as_found(net):
    """Put back at the end what tracing touches: variables of the parameters and cached graphs of the blocks."""
    before = [(parameter, '_var', parameter._var) for parameter in net.collect_params().values()]
    # A parameter keeps the variable of the array mode in which it was first traced: start without any.
    for parameter, *_ in before:
        parameter._var = None
    before += [(block, name, getattr(block, name)) for block in inside(net) if isinstance(block, HybridBlock)
               for name in ('_cached_graph', '_cached_op', '_cached_op_args')]
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def in_channels(layer):
    """Channels that a layer, or the first layer in it, takes; 0 where that is not known."""
    while layer._children:
        # A learner's own class, or function, may call its layers in any order.
        if not as_built(layer) or type(layer).forward not in (HybridBlock.forward, Block.forward) or (
                type(layer).hybrid_forward is not nn.HybridSequential.hybrid_forward and
                type(layer).hybrid_forward.__module__.split('.')[0] != __name__.split('.')[0]):
            return 0
        layer = next(iter(layer._children.values()))
    found = 0
    if type(layer) is nn.Conv2D and layer._kwargs['layout'] == 'NCHW':
        found = layer.weight.shape[1] * layer._kwargs['num_group']
    elif type(layer) is nn.BatchNorm and layer._kwargs['axis'] == 1:
        found = layer.gamma.shape[0]
    return max(found, 0)  # np mode has -1 for what is not known yet


def as_built(layer):
    """Whether a layer does what its class did when it was written, and nobody watches it."""
    kind = type(layer)
    return not (layer._forward_hooks or layer._forward_pre_hooks or vars(layer).keys() & {'forward', 'hybrid_forward'}
                or (hasattr(kind, '_written') and kind.hybrid_forward is not kind._written))


class State:
    """All that the function of a block depends on but the values of its parameters.

    Asked for in each call, so `holds` leaves the comparing to C.
    """

    def __init__(self, block):
        self._parts = []
        for part in _walk(block):
            content = vars(part)
            names = [name for name in content if name not in BOOKKEEPING]
            get = operator.itemgetter(*names, *['_cached_graph'] * isinstance(part, SymbolBlock))
            kind = type(part)
            self._parts.append((weakref.ref(part), (kind, getattr(kind, 'hybrid_forward', None)), len(content), get,
                                _frozen(get(content)), list(part._children)))

    def holds(self, block):
        """Whether it is the same now."""
        try:
            for part, (refer, (kind, function), size, get, values, children) in zip(_walk(block), self._parts):
                content = vars(part)
                if refer() is not part or type(part) is not kind or len(content) != size or (
                        getattr(kind, 'hybrid_forward', None) is not function or values != get(content)
                        or children != list(part._children)):
                    return False
        except (KeyError, TypeError, ValueError, MXNetError):  # an attribute has gone, or is of another kind
            return False
        return True


def _walk(block):
    todo = [block]
    while todo:
        block = todo.pop()
        yield block
        todo.extend(block._children.values())


def _frozen(value, within=()):
    """What equals `value` (on its right) as long as that holds the same things; `within` has the ids of its holders."""
    kind = type(value)
    if kind in _VALUES:
        return value
    if id(value) in within:
        return _Same(value)
    within = *within, id(value)
    if kind in (dict, collections.OrderedDict):
        return kind((name, _frozen(item, within)) for name, item in value.items())
    if kind in (list, tuple):
        return kind(_frozen(item, within) for item in value)
    if kind in (set, frozenset):
        return kind(value)
    if kind is numpy.ndarray:
        return _Same(value, _bytes)
    # A learner's own settings. What can be called is a layer, a function or a class.
    if hasattr(value, '__dict__') and not callable(value) and (
            kind.__module__.split('.')[0] not in ('builtins', 'mxnet')):
        return _Same(value, vars, _frozen(vars(value), within))
    return _Same(value)


def _bytes(array):
    return array.shape, array.dtype, array.tobytes()


class _Same:
    """Equal for the same object, and for no other: also when that has gone and another is in its place.

    Only as long as the function `look` says of the object what it says now, or what equals `found`.
    """

    __slots__ = '_refer', '_look', '_found'

    def __init__(self, value, look=lambda value: None, found=None):
        try:
            self._refer = weakref.ref(value)
        except TypeError:
            self._refer = lambda: value
        self._look, self._found = look, look(value) if found is None else found

    def __eq__(self, other):
        return self._refer() is other is not None and self._found == self._look(other)
