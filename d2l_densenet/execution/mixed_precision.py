"""Mixed precision: convolutions and dense layers compute in 16 bits, all else, parameters included, stays in 32.

A pass over the traced graph puts casts around each of these layers. So batch normalisation, pooling, concatenation,
softmax and loss are computed in float32; parameters, gradients, the optimizer's state and checkpoints are float32 too,
and the network itself is as it was. (Gluon's own ``amp.init`` patches MXNet for the rest of the process.) Small
gradients would vanish in float16, so the loss is scaled up before the backward pass, and the gradients are scaled down
again in the update; `Session` does that.

**Not run on a card:** no GPU that MXNet 1.9.1 has code for could be had. What is tested is the same graph with bfloat16
on the CPU, for which oneDNN has kernels, and the scaling of the loss.
"""

import json

import mxnet as mx
import numpy
from mxnet import autograd, gluon
from mxnet.base import MXNetError
from mxnet.util import is_np_array

from .._common.arguments import one_of, show
from .._common.arrays import array
from .._common.engine import surfacing
from .._common.messages import last_line

__all__ = ['MixedPrecision', 'with_casts']

#: Names for the `dtype` of `fit`.
DTYPES = ('float32', 'float16', 'bfloat16')

_IN_16_BITS = ('Convolution', 'Deconvolution', 'FullyConnected')


class MixedPrecision:
    """A network, called in mixed precision: maps float32 images to float32 scores. The first call traces it.

    TypeError if `net` cannot be traced, ValueError if it saves memory by recomputation, which has a graph of its own.
    """

    def __init__(self, net, dtype):
        one_of('dtype', dtype, DTYPES[1:])
        if not isinstance(net, gluon.HybridBlock):
            raise TypeError(f'dtype={dtype!r} needs a HybridBlock as net, whose graph can be traced, got {show(net)}')
        if getattr(net, 'memory_efficient', False):
            raise ValueError(f'dtype={dtype!r} and memory_efficient=True do not go together: leave one of them out')
        self.net, self.dtype, self._graph = net, dtype, None

    def __call__(self, x):
        if self._graph is None:
            with autograd.pause():
                self.net(x[:1])  # now all parameters have their shapes
            data = mx.sym.var('data', dtype='float32')
            data = data.as_np_ndarray() if is_np_array() else data
            symbol = with_casts(self.net(data), self.dtype)
            self._graph = gluon.SymbolBlock(symbol, data, params=self.net.collect_params())
            self._graph.hybridize()
        return self._graph(x)


def with_casts(symbol, dtype):
    """The symbol with casts around each convolution and dense layer, so that these compute in `dtype`."""
    graph = json.loads(symbol.tojson())
    nodes, place, casts = [], [], {}

    def add(op, name, inputs, attrs):
        nodes.append({'op': op, 'name': name, 'inputs': inputs, 'attrs': attrs})
        return len(nodes) - 1

    def cast(source, to):
        if (*source, to) not in casts:
            name = f'{nodes[source[0]]["name"]}_{source[1]}_{to}'
            casts[(*source, to)] = [add('amp_cast', name, [source], {'dtype': to}), 0, 0]
        return casts[(*source, to)]

    for node in graph['nodes']:
        inputs = [[place[source], *rest] for source, *rest in node['inputs']]
        reduced = node['op'] in _IN_16_BITS
        if reduced:
            inputs = [cast(source, dtype) for source in inputs]
        number = add(node['op'], node['name'], inputs, node.get('attrs', {}))
        place.append(cast([number, 0, 0], 'float32')[0] if reduced else number)
    result = mx.sym.load_json(json.dumps({
        'nodes': nodes, 'arg_nodes': [i for i, node in enumerate(nodes) if node['op'] == 'null'],
        'heads': [[place[source], *rest] for source, *rest in graph['heads']], 'attrs': graph['attrs']}))
    return result.as_np_ndarray() if is_np_array() else result


def check_dtype(dtype, ctx):
    """ValueError unless a convolution in `dtype` works on the device `ctx`, forwards and backwards."""
    if one_of('dtype', dtype, DTYPES) == 'float32':
        return
    net, x = gluon.nn.Conv2D(1, 2, in_channels=1, use_bias=False), array(numpy.ones((1, 1, 2, 2)), 'float32', ctx)
    net.initialize(mx.init.One(), ctx=ctx)
    try:
        with surfacing('the check of dtype'):
            with autograd.record():
                y = MixedPrecision(net, dtype)(x)
            y.backward()
            if y.asnumpy().item() != 4 or not (net.weight.grad(ctx).asnumpy() == 1).all():
                raise MXNetError('a convolution gave a wrong result')
    except MXNetError as error:
        raise ValueError(f"dtype={dtype!r} does not work on {ctx} ({last_line(error)}): take 'float32'; 'float16' "
                         "needs a GPU, 'bfloat16' a CPU with AVX-512") from error
