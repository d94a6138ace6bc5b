"""Mixed precision: the layers that gain by it compute in 16 bits, all else, parameters included, stays in 32.

A pass over the traced graph puts casts around what computes in 16 bits; the network itself is as it was. (Gluon's own
``amp.init`` patches MXNet for the rest of the process.) `Session` scales the loss, so that small gradients do not
vanish in float16.

In **float16** convolutions and dense layers compute in 16 bits. It needs a GPU, and has **not run on one**: none could
be had that MXNet 1.9.1 has code for. In **bfloat16**, which a CPU with AVX-512 computes, each cast moves a whole map
through memory, so there are few: a convolution whose maps are multiples of 16 channels wide, which oneDNN keeps in its
blocked layout, and what lies between two of them. Where the layout is plain oneDNN has but a slow reference form: the
stem of a network, and all maps of odd widths, stay in float32.
"""

import mxnet as mx
import numpy
from mxnet import autograd, gluon
from mxnet.base import MXNetError
from mxnet.util import is_np_array

from .._common.arguments import one_of, show
from .._common.arrays import array
from .._common.engine import surfacing
from .._common.messages import last_line
from .block import Graph, State
from .fast import ACTIVATION, BATCH_NORM, CONVOLUTION, POOLING, RELU, Node, Nodes, faster, loaded
from .operators import aligned

__all__ = ['MixedPrecision', 'with_casts']

#: Names for the `dtype` of `fit`, `evaluate_accuracy` and `predict`.
DTYPES = ('float32', 'float16', 'bfloat16')

_LAYERS = (*CONVOLUTION, 'Deconvolution', '_npx_deconvolution', 'FullyConnected', '_npx_fully_connected')
_BETWEEN = (*BATCH_NORM, *POOLING, *RELU, *ACTIVATION, 'Concat')


class MixedPrecision:
    """A network, called in mixed precision: maps float32 images to float32 scores. It is traced as it is then.

    TypeError if `net` cannot be traced, ValueError if it saves memory by recomputation, which has a graph of its own,
    or computes with types or control flow of its own.
    """

    def __init__(self, net, dtype):
        if not isinstance(net, gluon.HybridBlock):
            raise TypeError(f'dtype={dtype!r} needs a HybridBlock as net, whose graph can be traced, got {show(net)}')
        if getattr(net, 'memory_efficient', False):
            raise ValueError(f'dtype={dtype!r} and memory_efficient=True do not go together: leave one of them out')
        self.net, self.dtype, self._state = net, dtype, None

    def __call__(self, x):
        if not (self._state and self._state.holds(self.net)):
            with autograd.pause():
                self.net(x[:1])  # now all parameters have their shapes
            data = mx.sym.var('data', dtype='float32')
            self._symbol, self._graphs = self.net(data.as_np_ndarray() if is_np_array() else data), {}
            self._state = State(self.net)
        if x.shape not in self._graphs:
            symbol = with_casts(faster(self._symbol, x.shape), self.dtype, x.shape)
            self._graphs[x.shape] = Graph(symbol, dict(self.net.collect_params().items()), self.net._flags)
        return self._graphs[x.shape](x)


def with_casts(symbol, dtype, shape):
    """The symbol with casts around what is to compute in `dtype`, for inputs ``data`` of this shape."""
    graph = Nodes(symbol, shape)
    if graph.nodes is None:
        raise ValueError(f'dtype={dtype!r} needs a network of one output without casts or control flow of its own, '
                         "whose shapes MXNet can tell: take dtype='float32'")
    low, casts = set(), {}

    def cast(source, output, to, *rest):
        if (id(source) in low) == (to == dtype):
            return source, output, *rest
        key = id(source), output, to
        if key not in casts:
            casts[key] = Node('amp_cast', f'{source.name}_{output}_{to}', [(source, output, *rest)], {'dtype': to})
        return casts[key], 0, 0

    for node in graph.nodes:
        chosen = _in_16_bits(node, dtype, low)
        given = node.inputs
        # Scale, shift and statistics of a batch normalization are always float32.
        data, beside = (given[:1], given[1:]) if node.op in BATCH_NORM else (given, [])
        node.inputs = [cast(source, output, dtype if chosen else 'float32', *rest) for source, output, *rest in data]
        node.inputs += beside
        if chosen:
            low.add(id(node))
    graph.out = cast(graph.out, 0, 'float32', 0)[0]
    return loaded(graph.content(), symbol)


def _in_16_bits(node, dtype, low):
    """Whether an operator computes in `dtype`; `low` are those before it that do."""
    if dtype == 'float16':
        return node.op in _LAYERS
    # Of convolutions in groups oneDNN fails to reorder the weights, now and then.
    if node.op not in (*CONVOLUTION, *_BETWEEN) or node.get('num_group', 1) != 1 or (
            node.op in ACTIVATION and node.get('act_type') != 'relu'):
        return False
    if node.op in _BETWEEN and not any(id(source) in low for source, *_ in node.inputs):
        return False
    maps = len(node.inputs) if node.op == 'Concat' else 1
    shapes = [node.shapes.get(0, ()), *(node.reads(number) for number in range(maps))]
    return all(len(shape) == 4 for shape in shapes) and aligned(*(shape[1] for shape in shapes))


def check_dtype(dtype, ctx):
    """ValueError unless a convolution in `dtype` works on the device `ctx`, forwards and backwards."""
    if one_of('dtype', dtype, DTYPES) == 'float32':
        return
    net, x = gluon.nn.Conv2D(16, 2, in_channels=16, use_bias=False), array(numpy.ones((1, 16, 2, 2)), 'float32', ctx)
    net.initialize(mx.init.One(), ctx=ctx)
    try:
        with surfacing('the check of dtype'):
            with autograd.record():
                y = MixedPrecision(net, dtype)(x)
            y.backward()
            if not (y.asnumpy() == 64).all() or not (net.weight.grad(ctx).asnumpy() == 1).all():
                raise MXNetError('a convolution gave a wrong result')
    except MXNetError as error:
        raise ValueError(f"dtype={dtype!r} does not work on {ctx} ({last_line(error)}): take 'float32'; 'float16' "
                         "needs a GPU, 'bfloat16' a CPU with AVX-512") from error
