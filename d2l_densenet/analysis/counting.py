"""What a network consists of, counted on its graph: output shapes, parameters, multiply-adds, kept activations."""

import ast
import inspect
import io
import json
import math
from contextlib import redirect_stdout
from html import escape

import mxnet as mx
from mxnet.base import MXNetError
from mxnet.gluon import nn
from mxnet.util import is_np_array

from .._common.arguments import gluon_block, sizes
from .._common.messages import last_line
from ..execution.block import in_channels, left_as_found
from ..named import named_network, published_shape
from ..network import DenseNet

__all__ = ['Summary', 'count_parameters', 'summary']

# What the backward pass reads: for each operator, which of its inputs and which of its outputs.
_KEPT = {**dict.fromkeys(('Convolution', 'Deconvolution', 'FullyConnected', 'BatchNorm', 'max pooling'), ([0], [])),
         'Activation': ([], [0]), 'Dropout': ([], [1])}
# In np mode a graph may hold the same operators under other names.
_OTHER_NAMES = {'_npx_convolution': 'Convolution', '_npx_deconvolution': 'Deconvolution',
                '_npx_fully_connected': 'FullyConnected', '_npx_batch_norm': 'BatchNorm', '_npx_relu': 'Activation',
                '_npx_activation': 'Activation', 'relu': 'Activation', '_npx_dropout': 'Dropout',
                '_npx_pooling': 'Pooling'}
_NOTE = ('Trainable parameters; the running statistics of batch normalization are left out. Multiply-adds for one\n'
         'input: each weight of a convolution or dense layer once at every output position. Biases, batch\n'
         'normalization, activations, pooling and concatenation are not counted. Kept bytes: the float32 values\n'
         'of one input that the backward pass reads (inputs of convolutions, dense layers, batch normalizations\n'
         'and max-poolings, outputs of ReLU, masks of dropout), each array once; a framework may keep more.')
_EXAMPLE = '(1, 48, 48), the shape of one input without the batch axis'
_COUNTS = ('parameters', 'multiply_adds', 'activation_bytes')
_HEADINGS = ('stage', 'output shape', 'channels', 'parameters', 'multiply-adds', 'kept bytes')


def count_parameters(net):
    """Number of trainable parameters of a Gluon block (those whose ``grad_req`` is not ``'null'``).

    The running mean and variance of batch normalization are not trained and not counted. The network need not be
    initialized, but every shape must be known (Gluon completes it at the first call), else ValueError.

    Parameters
    ----------
    net : mxnet.gluon.Block

    Examples
    --------
    >>> count_parameters(mx.gluon.nn.Dense(10, in_units=20))
    210
    """
    total = 0
    for name, parameter in gluon_block('net', net).collect_params().items():
        if parameter.grad_req == 'null':
            continue
        shape = parameter.shape
        if shape is None or any(size <= 0 for size in shape):
            raise ValueError(f'the shape of parameter {name} is not known yet (so far {shape}): call the network on '
                             f'one batch first, or use summary(net, input_shape).parameters')
        total += math.prod(shape)
    return total


def summary(net, input_shape=None):
    """Count a network stage by stage: output shapes, trainable parameters, multiply-adds, activations kept.

    The result is a `Summary`. Nothing is computed: the graph is traced with symbols, in the array mode that is on. The
    network need not be initialized, and stays as it was.

    Parameters
    ----------
    net : mxnet.gluon.Block or str
        The network, or a name that `densenet` or `resnet` knows. With a method ``stages()``, as `DenseNet` has, it
        gets a row for each stage; else for each layer or child, and for each layer of a child HybridSequential.
    input_shape : sequence of int, optional
        Shape of one input without the batch axis: (C, H, W) for images. By default (1, 48, 48), and for a name the
        shape that the network was published for.

    Raises
    ------
    TypeError, ValueError
        If blocks cannot be traced, the network takes no input of `input_shape`, or no network has this name.

    Examples
    --------
    >>> table = summary(DenseNet())
    >>> table.parameters, table.multiply_adds
    (758226, 32029232)
    >>> table.rows[1]['stage'], table.rows[1]['output_shape']
    ('dense block 1', (192, 12, 12))
    """
    name = type(net).__name__
    if isinstance(net, str):
        name = net
        input_shape = sizes('input_shape', published_shape(name) if input_shape is None else input_shape, _EXAMPLE)
        net = named_network(name, size=input_shape[1:] if len(input_shape) == 3 else None)
    gluon_block('net', net)
    input_shape = _check_shape(net, (1, 48, 48) if input_shape is None else input_shape)
    parts = [(_row(stage), blocks) for stage, blocks in _parts(net)]
    rest = _row('(net itself)')
    with left_as_found(net):
        heads = _traced(net, parts, rest)
    _count(net, heads, input_shape)
    # A child that the forward pass never calls has no row; nor has a network whose own code has no weights.
    rows = [row for row, _ in parts if row['output_shape'] is not None]
    if rest['parameters'] or rest['multiply_adds'] or not rows:
        rows.append(rest)
    return Summary(name, input_shape, rest['output_shape'], rows)


class Summary:
    """Table of a network, as `summary` returns it: ``print`` it, or let a notebook show it.

    Attributes
    ----------
    rows : list of dict
        For each stage ``stage`` (its name), ``output_shape``, ``channels`` (its first entry), ``parameters``
        (trainable), ``multiply_adds`` and ``activation_bytes`` (for one input; what the backward pass reads, float32).
    parameters, multiply_adds, activation_bytes : int
        The totals. A parameter or array that several stages share is counted once, in the first of them.
    input_shape, output_shape : tuple of int
        Of the whole network. No shape here has the batch axis.
    """

    def __init__(self, name, input_shape, output_shape, rows):
        self.name, self.input_shape, self.output_shape, self.rows = name, input_shape, output_shape, rows
        self.parameters, self.multiply_adds, self.activation_bytes = (sum(row[key] for row in rows) for key in _COUNTS)

    def _lines(self):
        total = {'stage': 'total', 'output_shape': '', 'channels': '', **{key: getattr(self, key) for key in _COUNTS}}
        return [_HEADINGS, *([row['stage'], str(row['output_shape']), str(row['channels']),
                              *(f'{row[key]:,}' for key in _COUNTS)] for row in (*self.rows, total))]

    def __str__(self):
        widths = [max(map(len, column)) for column in zip(*self._lines())]
        head, *lines, total = ('  '.join(cell.ljust(width) if i < 2 else cell.rjust(width)
                                         for i, (cell, width) in enumerate(zip(cells, widths)))
                               for cells in self._lines())
        rule = '-' * len(head)
        return '\n'.join([f'{self.name}, input shape {self.input_shape}', rule, head, rule, *lines, rule, total, '',
                          _NOTE])

    __repr__ = __str__

    def _repr_html_(self):
        def line(cells, tag):
            return '<tr>' + ''.join(f'<{tag} style="text-align: {"left" if i < 2 else "right"}">{escape(cell)}</{tag}>'
                                    for i, cell in enumerate(cells)) + '</tr>'

        head, *lines, total = self._lines()
        return '\n'.join([
            f'<table><caption>{escape(self.name)}, input shape {self.input_shape}</caption>',
            '<thead>', line(head, 'th'), '</thead>',
            '<tbody>', *(line(cells, 'td') for cells in lines), '</tbody>',
            '<tfoot>', line(total, 'th'), '</tfoot>', '</table>', f'<p><small>{_NOTE}</small></p>'])


def _check_shape(net, input_shape):
    input_shape = sizes('input_shape', input_shape, _EXAMPLE)
    if isinstance(net, DenseNet):
        channels = in_channels(net) or net.config['in_channels']
        if len(input_shape) != 3 or input_shape[0] != channels:
            raise ValueError(f'input_shape must be ({channels}, height, width) for this network, without the batch '
                             f'axis, got {input_shape}')
    return input_shape


def _parts(net):
    """The stages of a network, or else its layers: a list of (name, list of blocks)."""
    if inspect.ismethod(getattr(net, 'stages', None)):
        return net.stages()
    parts = []
    for name, block in net._children.items():
        layers = {name: block}
        if isinstance(block, nn.HybridSequential) and not isinstance(net, (nn.HybridSequential, nn.Sequential)):
            layers = {f'{name}.{inner}': layer for inner, layer in block._children.items()}
        parts += [(f'{label} {type(layer).__name__}', [layer]) for label, layer in layers.items()]
    return parts


def _row(stage):
    """A row of the table, still empty."""
    return {'stage': stage, 'output_shape': None, 'channels': None, **dict.fromkeys(_COUNTS, 0)}


def _traced(net, parts, rest):
    """Call `net` on a symbol; return what passes by, in that order, as a list of (row it belongs to, symbol)."""
    heads, handles = [], []

    def note(row, values):
        heads.extend((row, symbol) for symbol in _symbols(values))

    for row, blocks in parts:
        for block in blocks:
            handles += [block.register_forward_pre_hook(lambda _block, inputs: note(rest, inputs)),
                        block.register_forward_hook(lambda _block, _inputs, outputs, row=row: note(row, outputs))]
    data = mx.sym.var('data')
    try:
        note(rest, net(data.as_np_ndarray() if is_np_array() else data))
    except (TypeError, AttributeError, NotImplementedError, AssertionError, MXNetError) as error:
        mode = 'np' if is_np_array() else 'nd'
        raise TypeError(f'{type(net).__name__} cannot be traced with symbols in mx.{mode} mode; every block in it must '
                        f'be a HybridBlock that works in this mode. MXNet said: {error}') from error
    finally:
        for handle in handles:
            handle.detach()
    return heads


def _symbols(values):
    """The symbols in `values` (one, or nested lists and tuples of them), as classic ones."""
    if isinstance(values, mx.sym.Symbol):
        values = values.as_nd_ndarray()
        return [values[i] for i in range(len(values.list_outputs()))]
    if isinstance(values, (list, tuple)):
        return [symbol for value in values for symbol in _symbols(value)]
    return []


def _count(net, heads, input_shape):
    """Add to the row of each symbol what it needs and no earlier symbol needed, and set the row's output shape."""
    nodes, places, shapes = _graph(net, [symbol for _, symbol in heads], input_shape)
    trainable = {name for name, parameter in net.collect_params().items() if parameter.grad_req != 'null'}
    seen, kept = set(), set()
    for (row, _), place in zip(heads, places):
        todo = [place[0]]
        while todo:
            node = todo.pop()
            if node in seen:
                continue
            seen.add(node)
            entry = nodes[node]
            inputs = [tuple(source[:2]) for source in entry['inputs']]
            todo += [source for source, _ in inputs]
            operator = _OTHER_NAMES.get(entry['op'], entry['op'])
            if operator == 'null' and entry['name'] in trainable:
                row['parameters'] += math.prod(shapes[node, 0])
            elif operator in ('Convolution', 'FullyConnected'):
                # Each value of the output takes all weights of its channel, the first axis of the weights.
                row['multiply_adds'] += math.prod(shapes[node, 0]) * math.prod(shapes[inputs[1]][1:])
            elif operator == 'Deconvolution':  # and here each value of the input
                row['multiply_adds'] += math.prod(shapes[inputs[0]]) * math.prod(shapes[inputs[1]][1:])
            elif operator == 'Pooling' and entry['attrs'].get('pool_type', 'max') == 'max':
                operator = 'max pooling'
            reads, writes = _KEPT.get(operator, ([], []))
            new = {*(inputs[i] for i in reads), *((node, i) for i in writes)} - kept
            kept |= new
            for array in new:
                # A mask is not among the graph's outputs: it has the shape of what it masks, but for its `axes`.
                one = ast.literal_eval(entry['attrs'].get('axes', '()')) if array not in shapes else ()
                row['activation_bytes'] += 4 * math.prod(
                    size for axis, size in enumerate(shapes.get(array, shapes[array[0], 0])) if axis not in one)
        shape = shapes[place][1:]
        row['output_shape'], row['channels'] = shape, (shape[0] if shape else None)


def _graph(net, symbols, input_shape):
    """Nodes of the traced graph, the (node, output) of each symbol, and the shapes {(node, output): shape}."""
    everything = mx.sym.Group([mx.sym.Group(symbols).get_internals(), *symbols])
    try:
        with redirect_stdout(io.StringIO()):  # MXNet prints the shapes there before it raises
            _, shapes, _ = everything.infer_shape(data=(1, *input_shape))
        reason = 'some shapes stay unknown'
    except MXNetError as error:
        if isinstance(net, DenseNet) and 'exceeds input' in str(error):
            raise ValueError(net.too_small(*input_shape[1:])) from error
        shapes, reason = None, last_line(error)
    if shapes is None:
        raise ValueError(f'{type(net).__name__} takes no input of shape {input_shape} (without the batch axis, '
                         f'(channels, height, width) for images): {reason}')
    graph = json.loads(everything.tojson())
    places = [tuple(head[:2]) for head in graph['heads']]
    return graph['nodes'], places[-len(symbols):], dict(zip(places, map(tuple, shapes)))
