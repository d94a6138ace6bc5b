"""What a network consists of, counted on its graph: output shapes, parameters, multiply-adds, kept activations."""

import io
import json
import math
from contextlib import contextmanager, redirect_stdout
from html import escape

import mxnet as mx
from mxnet.base import MXNetError
from mxnet.gluon import HybridBlock, nn
from mxnet.util import is_np_array

from .._common.arguments import gluon_block, sizes
from .._common.messages import last_line
from ..execution.block import in_channels
from ..named import named_network, published_shape
from ..network import DenseNet

__all__ = ['Summary', 'count_parameters', 'summary']

# The operators whose weights are multiplied, with the attribute that gives their output channels. In np mode a
# graph may hold the same operators under their other names.
_WEIGHTED = {'Convolution': 'num_filter', '_npx_convolution': 'num_filter',
             'FullyConnected': 'num_hidden', '_npx_fully_connected': 'num_hidden'}
# What the backward pass reads: for each operator, which of its inputs and outputs. In np mode a graph may hold the
# same operators under their other names.
_KEPT = {'Convolution': ([0], []), 'FullyConnected': ([0], []), 'BatchNorm': ([0], []), 'Activation': ([], [0]),
         'Dropout': ([], [1])}
_KEPT |= {'_npx_convolution': _KEPT['Convolution'], '_npx_fully_connected': _KEPT['FullyConnected'],
          '_npx_batch_norm': _KEPT['BatchNorm'], '_npx_activation': _KEPT['Activation'],
          '_npx_relu': _KEPT['Activation'], 'relu': _KEPT['Activation'], '_npx_dropout': _KEPT['Dropout']}
_MAX_POOLING = ([0], [])
_FLOAT32 = 4  # bytes
_NOTE = ('Trainable parameters; the running statistics of batch normalisation are left out. Multiply-adds for one\n'
         'input: each weight of a convolution or dense layer once at every output position. Biases, batch\n'
         'normalisation, activations, pooling and concatenation are not counted. Kept bytes: the float32 values\n'
         'of one input that the backward pass reads (inputs of convolutions, dense layers, batch normalisations\n'
         'and max-poolings, outputs of ReLU, masks of dropout), each array once; a framework may keep more.')
_EXAMPLE = '(1, 48, 48), the shape of one input without the batch axis'
_HEADINGS = ('stage', 'output shape', 'channels', 'parameters', 'multiply-adds', 'kept bytes')


def count_parameters(net):
    """Number of trainable parameters of a Gluon block (those whose ``grad_req`` is not ``'null'``).

    MXNet keeps the running mean and variance of batch normalisation as parameters too; they are not trained and
    not counted. The network need not be initialised, but every shape must be known.

    Parameters
    ----------
    net : mxnet.gluon.Block

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If `net` is not a Gluon block.
    ValueError
        If a shape is not known yet: Gluon completes it at the first call.

    Examples
    --------
    >>> count_parameters(mx.gluon.nn.Dense(10, in_units=20))
    210
    """
    gluon_block('net', net)
    total = 0
    for name, parameter in net.collect_params().items():
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

    The graph of the network is traced with symbols in the array mode that is on, so nothing is computed. The
    network may be initialised or not, hybridized or not, and stays as it was.

    Parameters
    ----------
    net : mxnet.gluon.Block or str
        A network with a method ``stages()``, such as `DenseNet`, gets a row for each stage; a HybridSequential one
        for each layer; any other block one for each child (for each layer of a child that is a HybridSequential).
        A name that `densenet` or `resnet` knows stands for that network.
    input_shape : sequence of int, optional
        Shape of one input without the batch axis: (C, H, W) for images. By default (1, 48, 48), and for a name the
        shape that the network was published for.

    Returns
    -------
    Summary

    Raises
    ------
    TypeError
        If `net` is not a Gluon block, or holds blocks that cannot be traced.
    ValueError
        If the network takes no input of `input_shape`, or no network has this name.

    Examples
    --------
    >>> table = summary(DenseNet())
    >>> table.parameters, table.multiply_adds
    (758226, 32029232)
    >>> table.rows[1]['stage'], table.rows[1]['output_shape']
    ('dense block 1', (192, 12, 12))
    """
    name = None
    if isinstance(net, str):
        name = net
        input_shape = published_shape(name) if input_shape is None else input_shape
        input_shape = sizes('input_shape', input_shape, _EXAMPLE)
        net = named_network(name, size=input_shape[1:] if len(input_shape) == 3 else None)
    gluon_block('net', net)
    input_shape = _check_shape(net, (1, 48, 48) if input_shape is None else input_shape)
    parts = _parts(net)
    with _left_as_found(net):
        calls = _traced_calls(net, parts)
    graph = _Graph(net, [symbol for _, symbols in calls for symbol in symbols], input_shape)

    rows = [_Graph.row(stage) for stage, _ in parts]
    rest = _Graph.row('(net itself)')
    # The calls come in the order in which they were made. What a symbol needs and no earlier symbol needed
    # belongs to the part that produced it, or to the network's own code.
    for part, symbols in calls:
        row = rest if part is None else rows[part]
        for _ in symbols:
            graph.add_next_head(row)
    # A child that the forward pass never calls has no row; nor has a network whose own code has no weights.
    rows = [row for row in rows if row['output_shape'] is not None]
    output_shape = rest['output_shape']
    if rest['parameters'] or rest['multiply_adds'] or not rows:
        rows.append(rest)
    return Summary(name or type(net).__name__, input_shape, output_shape, rows)


class Summary:
    """Table of a network, as `summary` returns it: ``print`` it, or let a notebook show it.

    Attributes
    ----------
    rows : list of dict
        For each stage ``stage`` (its name), ``output_shape`` (without the batch axis), ``channels`` (its first
        entry), ``parameters`` (trainable), ``multiply_adds`` and ``activation_bytes`` (for one input; what the
        backward pass reads, in float32).
    parameters, multiply_adds, activation_bytes : int
        The totals. A parameter or array that several stages share is counted once, in the first of them.
    input_shape, output_shape : tuple of int
        Of the whole network, without the batch axis.
    """

    def __init__(self, name, input_shape, output_shape, rows):
        self.name = name
        self.input_shape = input_shape
        self.output_shape = output_shape
        self.rows = rows
        self.parameters = sum(row['parameters'] for row in rows)
        self.multiply_adds = sum(row['multiply_adds'] for row in rows)
        self.activation_bytes = sum(row['activation_bytes'] for row in rows)

    def _cells(self):
        lines = [[row['stage'], str(row['output_shape']), str(row['channels']), f'{row["parameters"]:,}',
                  f'{row["multiply_adds"]:,}', f'{row["activation_bytes"]:,}'] for row in self.rows]
        return lines, ['total', '', '', f'{self.parameters:,}', f'{self.multiply_adds:,}',
                       f'{self.activation_bytes:,}']

    def __str__(self):
        lines, total = self._cells()
        widths = [max(len(cell) for cell in column) for column in zip(_HEADINGS, *lines, total, strict=True)]

        def line(cells):
            first = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
            return '  '.join(first + [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)])

        rule = '-' * len(line(total))
        return '\n'.join([f'{self.name}, input shape {self.input_shape}', rule, line(_HEADINGS), rule,
                          *(line(cells) for cells in lines), rule, line(total), '', _NOTE])

    __repr__ = __str__

    def _repr_html_(self):
        def line(cells, tag):
            return '<tr>' + ''.join(f'<{tag} style="text-align: {"left" if i < 2 else "right"}">{escape(cell)}</{tag}>'
                                    for i, cell in enumerate(cells)) + '</tr>'

        lines, total = self._cells()
        return '\n'.join([
            f'<table><caption>{escape(self.name)}, input shape {self.input_shape}</caption>',
            '<thead>', line(_HEADINGS, 'th'), '</thead>',
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
    """The rows of the table: a list of (name, list of blocks)."""
    if hasattr(net, 'stages'):
        return net.stages()

    def named(prefix, items):
        return [(f'{prefix}{name} {type(block).__name__}', [block]) for name, block in items]

    if isinstance(net, (nn.HybridSequential, nn.Sequential)):
        return named('', net._children.items())
    parts = []
    for name, block in net._children.items():
        if isinstance(block, nn.HybridSequential):
            parts += named(f'{name}.', block._children.items())
        else:
            parts += named('', [(name, block)])
    return parts


@contextmanager
def _left_as_found(net):
    """Put back at the end what tracing touches: variables of the parameters and cached graphs of the blocks."""
    parameters = list(net.collect_params().values())
    variables = [parameter._var for parameter in parameters]
    hybrids = []
    net.apply(lambda block: hybrids.append(block) if isinstance(block, HybridBlock) else None)
    graphs = [(block._cached_graph, block._cached_op, block._cached_op_args) for block in hybrids]
    # A parameter keeps the variable of the array mode in which it was first traced: start without any.
    for parameter in parameters:
        parameter._var = None
    try:
        yield
    finally:
        for parameter, variable in zip(parameters, variables, strict=True):
            parameter._var = variable
        for block, graph in zip(hybrids, graphs, strict=True):
            block._cached_graph, block._cached_op, block._cached_op_args = graph


def _traced_calls(net, parts):
    """Call `net` on a symbol; return what passed by as a list of (number of the part or None, list of symbols)."""
    calls, handles = [], []
    for number, (_, blocks) in enumerate(parts):
        for block in blocks:
            handles.append(block.register_forward_pre_hook(
                lambda _block, inputs: calls.append((None, _symbols(inputs)))))
            handles.append(block.register_forward_hook(
                lambda _block, _inputs, outputs, number=number: calls.append((number, _symbols(outputs)))))
    data = mx.sym.var('data')
    try:
        outputs = net(data.as_np_ndarray() if is_np_array() else data)
    except (TypeError, AttributeError, NotImplementedError, AssertionError, MXNetError) as error:
        mode = 'np' if is_np_array() else 'nd'
        raise TypeError(f'{type(net).__name__} cannot be traced with symbols in mx.{mode} mode; every block in it must '
                        f'be a HybridBlock that works in this mode. MXNet said: {error}') from error
    finally:
        for handle in handles:
            handle.detach()
    return calls + [(None, _symbols(outputs))]


def _symbols(values):
    """The symbols in `values` (one, or nested lists and tuples of them), as classic ones."""
    if isinstance(values, mx.sym.Symbol):
        values = values.as_nd_ndarray()
        return [values[i] for i in range(len(values.list_outputs()))]
    if isinstance(values, (list, tuple)):
        return [symbol for value in values for symbol in _symbols(value)]
    return []


class _Graph:
    """The traced graph with its shapes; `next_head` walks through the symbols `heads` it was made from."""

    def __init__(self, net, heads, input_shape):
        internals = mx.sym.Group(heads).get_internals()
        everything = mx.sym.Group([internals, *heads])
        try:
            with redirect_stdout(io.StringIO()):  # MXNet prints the shapes there before it raises
                _, shapes, _ = everything.infer_shape(data=(1, *input_shape))
        except MXNetError as error:
            if isinstance(net, DenseNet) and 'exceeds input' in str(error):
                raise ValueError(net.too_small(*input_shape[1:])) from error
            raise ValueError(_no_fit(net, input_shape, last_line(error))) from error
        if shapes is None:
            raise ValueError(_no_fit(net, input_shape, 'some shapes stay unknown'))
        graph = json.loads(everything.tojson())
        self._nodes = graph['nodes']
        self._shapes = {(node, output): shape
                        for (node, output, *_), shape in zip(graph['heads'], shapes, strict=True)}
        self._heads = iter(graph['heads'][-len(heads):])
        self._trainable = {name for name, parameter in net.collect_params().items() if parameter.grad_req != 'null'}
        self._seen, self._kept = set(), set()

    @staticmethod
    def row(stage):
        """A row of the table, still empty."""
        return {'stage': stage, 'output_shape': None, 'channels': None, 'parameters': 0, 'multiply_adds': 0,
                'activation_bytes': 0}

    def add_next_head(self, row):
        """Add to `row` what the next head needs and no earlier one needed, and set its output shape."""
        node, output, *_ = next(self._heads)
        todo = [node]
        while todo:
            current = todo.pop()
            if current in self._seen:
                continue
            self._seen.add(current)
            entry = self._nodes[current]
            todo += [source for source, *_ in entry['inputs']]
            if entry['op'] == 'null' and entry['name'] in self._trainable:
                row['parameters'] += math.prod(self._shapes[current, 0])
            elif entry['op'] in _WEIGHTED:
                channels = int(entry['attrs'][_WEIGHTED[entry['op']]])
                positions = math.prod(self._shapes[current, 0]) // channels
                row['multiply_adds'] += positions * math.prod(self._shapes[tuple(entry['inputs'][1][:2])])
            row['activation_bytes'] += self._newly_kept(current, entry)
        shape = tuple(self._shapes[node, output][1:])
        row['output_shape'], row['channels'] = shape, (shape[0] if shape else None)

    def _newly_kept(self, node, entry):
        """Bytes of the arrays that the backward pass of this operator reads and that are not counted yet."""
        inputs, outputs = _KEPT.get(entry['op'], ([], []))
        if entry['op'] in ('Pooling', '_npx_pooling') and entry['attrs'].get('pool_type', 'max') == 'max':
            inputs, outputs = _MAX_POOLING
        arrays = {tuple(entry['inputs'][i][:2]) for i in inputs} | {(node, i) for i in outputs}
        arrays -= self._kept
        self._kept |= arrays
        return sum(_FLOAT32 * math.prod(self._shapes[array if array in self._shapes else (array[0], 0)])
                   for array in arrays)


def _no_fit(net, input_shape, reason):
    return (f'{type(net).__name__} takes no input of shape {input_shape} (without the batch axis, (channels, height, '
            f'width) for images): {reason}')
