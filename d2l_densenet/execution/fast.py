"""A graph that computes the same in less time: what a hybridized block runs instead of the graph that was traced.

`faster` reads operators, not layers: what a learner puts into a network is left alone unless an operator's own settings
show that a rule holds for it. The rules (`benchmarks/NOTES.md` has what each saves on a CPU):

- A 1x1 convolution before an average pooling: the one works on each pixel alone and the other on each channel alone, so
  they can change places, and the convolution has a quarter of the work. (Its gradient then has oneDNN's own layout,
  too; in the article's network that saves a batch normalization from a slow reference form.)
- A ReLU before a max-pooling: the largest of a window and of 0 is the same in either order, to the bit.
- On maps of one pixel (the last block of the article's network) all but the middle weights of a convolution meet the
  padding: it becomes a 1x1 convolution with the middle weights, and a global pooling is left out.
- A concatenation of parts that are multiples of 16 wide is safe for oneDNN (see `operators`).
- A pooling that rounds up where there is nothing to round is one that does not.
- A convolution with 12 filters, or another number that is no multiple of 8, gets filters of zeros beside them, whose
  output is thrown away: oneDNN has a fast form for 16 filters, and MXNet takes a slow one for 12.

The first, the third and the sixth change results by rounding, the others not at all. (Of the weights that the third
leaves out nothing shows any more, not even that they are infinite.)
"""

import ast
import collections
import contextlib
import io
import json

import mxnet as mx
from mxnet.base import MXNetError

from .operators import SIMD_BLOCK, aligned

CONVOLUTION = 'Convolution', '_npx_convolution'
POOLING = 'Pooling', '_npx_pooling'
ACTIVATION = 'Activation', '_npx_activation'
RELU = 'relu', '_npx_relu'
BATCH_NORM = 'BatchNorm', '_npx_batch_norm'
# Of a batch, below which filling up a convolution costs what it gains.
FEWEST_PIXELS = 4096


def faster(symbol, shape, any_size=False):
    """A symbol that computes the same as `symbol` for inputs ``data`` of this shape, or `symbol` itself.

    With `any_size` only what holds for images of other heights and widths as well.
    """
    graph = Nodes(symbol, shape)
    if graph.nodes is None:
        return symbol
    before = json.dumps(graph.content())
    for node in graph.nodes:
        if node.op in POOLING:
            if not any_size:
                _round_nothing(node)
            _swap(node, graph.readers)
        elif node.op == '_npi_concatenate':
            _take_onednn(node)
    if not any_size:
        for node in graph.nodes:
            if node.op in CONVOLUTION:
                _take_middle(node)
                _fill_filters(node)
            node.inputs = [(_past_pooling(source), *rest) for source, *rest in node.inputs]
        graph.out = _past_pooling(graph.out)
    content = graph.content()
    if json.dumps(content) == before:
        return symbol
    return loaded(content, symbol)


def loaded(content, like):
    """A symbol of the content of `Nodes`, in the array mode of another one."""
    found = mx.sym.load_json(json.dumps(content))
    return found.as_np_ndarray() if isinstance(like, mx.sym.np._Symbol) else found


class Node:
    """An operator of the graph, or a variable; `inputs` are (node, number of its output, version)."""

    def __init__(self, op, name, inputs, attrs=None):
        self.op, self.name, self.inputs, self.attrs = op, name, inputs, attrs or {}
        self.shapes = {}  # of its outputs

    def get(self, name, default=None):
        """An attribute; `default` where it is not given."""
        text = self.attrs.get(name)
        try:
            return default if text is None else ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text

    @property
    def of_images(self):
        """Whether a convolution or pooling works on (N, C, H, W)."""
        return self.get('layout') in (None, 'NCHW') and len(self.get('kernel', ())) == len(self.reads()) - 2 == 2

    def reads(self, number=0):
        """The shape of an input, or () where it is not known."""
        source, output, *_ = self.inputs[number]
        return source.shapes.get(output, ())


class Nodes:
    """The nodes of a symbol in their order, with their shapes; no nodes if a rule cannot be trusted with it."""

    def __init__(self, symbol, shape):
        self.nodes = None
        internals = symbol.get_internals()
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # MXNet prints the shapes there before it raises
                _, shapes, _ = internals.infer_shape(data=shape)
        except MXNetError:
            return
        graph = json.loads(mx.sym.Group([internals, symbol]).tojson())
        # The rules hold in float32. Nodes with sub-graphs (control flow) or in reduced precision: not known.
        if shapes is None or len(symbol.list_outputs()) != 1 or any(
                not node.keys() <= {'op', 'name', 'inputs', 'attrs'}
                or 'cast' in node['op'].lower().replace('broadcast', '') for node in graph['nodes']):
            return
        self._attrs = graph['attrs']
        nodes = [Node(**node) for node in graph['nodes']]
        for node in nodes:
            node.inputs = [(nodes[source], *rest) for source, *rest in node.inputs]
        *places, (out, output, *_) = graph['heads']
        if output:
            return
        for (place, number, *_), found in zip(places, shapes):
            nodes[place].shapes[number] = tuple(found)
        self.out = nodes[out]
        self.readers = collections.Counter(id(source) for node in nodes for source, *_ in node.inputs)
        self.readers[id(self.out)] += 1
        self.nodes = nodes

    def content(self):
        """What `out` depends on, as MXNet writes it."""
        order, place, todo = [], {}, [(self.out, False)]
        while todo:
            node, complete = todo.pop()
            if id(node) in place:
                continue
            if complete:
                place[id(node)] = len(order)
                order.append(node)
            else:
                todo += [(node, True), *((source, False) for source, *_ in reversed(node.inputs))]
        nodes = [{'op': node.op, 'name': node.name, **({'attrs': node.attrs} if node.attrs else {}),
                  'inputs': [[place[id(source)], *rest] for source, *rest in node.inputs]} for node in order]
        return {'nodes': nodes, 'arg_nodes': [i for i, node in enumerate(order) if node.op == 'null'],
                'heads': [[place[id(self.out)], 0, 0]], 'attrs': self._attrs}


def _is_relu(node):
    return node.op in RELU or (node.op in ACTIVATION and node.get('act_type') == 'relu')


def _round_nothing(node):
    """Let an average pooling in which no window reaches beyond the map round down, which then says the same."""
    if node.of_images and node.get('pool_type') == 'avg' and node.get('pooling_convention') == 'full' and (
            not node.get('global_pool', False) and node.get('pad', (0, 0)) == (0, 0)):
        sides = zip(node.reads()[2:], node.get('kernel'), node.get('stride', (1, 1)))
        if all(size >= kernel and (size - kernel) % stride == 0 for size, kernel, stride in sides):
            node.attrs = {**node.attrs, 'pooling_convention': 'valid', 'count_include_pad': 'True'}


def _swap(pooling, readers):
    """Let a pooling come before the operator that it alone reads, if that changes nothing."""
    first = pooling.inputs[0][0]
    if readers[id(first)] != 1 or not pooling.of_images or pooling.get('global_pool', False):
        return
    kind, convention, pad = (pooling.get(name) for name in ('pool_type', 'pooling_convention', 'pad'))
    if first.op in CONVOLUTION:
        # Each window must be an average, so that the bias stays what it is, and MXNet's gradient must be right.
        true = convention == 'valid' or (convention == 'full' and pooling.get('count_include_pad') is False)
        alone = (first.get('kernel'), first.get('stride', (1, 1)), first.get('pad', (0, 0))) == ((1, 1), (1, 1), (0, 0))
        if kind != 'avg' or not true or pad != (0, 0) or not first.of_images or not alone:
            return
    elif _is_relu(first):
        # Each window must hold a pixel: of none the largest is not 0 but the least number there is.
        if kind != 'max' or convention != 'valid' or any(
                2 * beside > side for beside, side in zip(pad, pooling.get('kernel'))):
            return
    else:
        return
    first.op, pooling.op = pooling.op, first.op
    first.name, pooling.name = pooling.name, first.name
    first.attrs, pooling.attrs = pooling.attrs, first.attrs
    pooling.inputs, first.inputs = [pooling.inputs[0], *first.inputs[1:]], first.inputs[:1]
    first.shapes = {0: (*first.reads()[:2], *pooling.shapes[0][2:])}


def _take_onednn(node):
    """Join along the channels with oneDNN's operator, where it is safe."""
    shapes = [node.reads(number) for number in range(len(node.inputs))]
    if node.get('axis') == 1 and all(len(shape) == 4 for shape in shapes) and aligned(*(shape[1] for shape in shapes)):
        node.op, node.attrs = 'Concat', {'dim': '1', 'num_args': str(len(shapes))}


def _take_middle(node):
    """Make a convolution that keeps the size of maps of one pixel one of 1x1, with its middle weights."""
    kernel, pad = node.get('kernel'), node.get('pad', (0, 0))
    if not node.of_images or node.reads()[2:] != (1, 1) or kernel == (1, 1) or (
            any(step != 1 for step in node.get('dilate', (1, 1))) or kernel != tuple(2 * side + 1 for side in pad)):
        return
    middle = Node('slice', node.name + '_middle', [node.inputs[1]], {
        'begin': str((None, None, *pad)), 'end': str((None, None, *(side + 1 for side in pad)))})
    node.inputs[1] = (middle, 0, 0)
    node.attrs = {**node.attrs, 'kernel': '(1, 1)', 'pad': '(0, 0)'}


def _fill_filters(node):
    """Give a convolution a multiple of 16 filters, where that is faster, and leave out what the new ones say.

    The node becomes what picks the old channels, so that whatever reads it goes on doing so.
    """
    (batch, filters, *size), given = node.shapes[0], node.reads()[1:2]
    more = -filters % SIMD_BLOCK
    # Measured: 1x1 convolutions gain nothing, others if what they read is blocked.
    if not node.of_images or node.get('num_group', 1) != 1 or node.get('kernel') == (1, 1) or not (
            filters % 8 and more <= filters and given[0] % 8 == 0 and batch * size[0] * size[1] >= FEWEST_PIXELS):
        return
    before = node.inputs[0][0]
    while before.op in (*BATCH_NORM, *RELU, *ACTIVATION, *POOLING):
        before = before.inputs[0][0]
    # Maps in blocks of 8 channels, whose gradient would now come in blocks of 16: a slow form of batch normalization.
    if before.op in CONVOLUTION and before.reads()[1:2] and before.reads()[1] % 16 == 8:
        return

    def filled(source):
        some = Node('slice_axis', f'{node.name}_some{len(made)}', [source],
                    {'axis': '0', 'begin': '0', 'end': str(more)})
        zeros = Node('zeros_like', f'{node.name}_zeros{len(made)}', [(some, 0, 0)])
        made.append(Node('_npi_concatenate', f'{node.name}_filled{len(made)}', [source, (zeros, 0, 0)],
                         {'axis': '0', 'num_args': '2'}))
        return made[-1], 0, 0
    made = []
    wide = Node(node.op, f'{node.name}_wide', [node.inputs[0], *map(filled, node.inputs[1:])],
                {**node.attrs, 'num_filter': str(filters + more)})
    node.op, node.inputs = 'slice_axis', [(wide, 0, 0)]
    node.attrs = {'axis': '1', 'begin': '0', 'end': str(filters)}


def _past_pooling(node):
    """What a global pooling of one pixel reads, instead of the pooling; any other operator itself."""
    if node.op in POOLING and node.get('global_pool', False) and node.get('pool_type') in ('avg', 'max') and (
            node.get('layout') in (None, 'NCHW') and node.reads()[2:] == (1, 1) and not node.inputs[0][1]):
        return node.inputs[0][0]
    return node
