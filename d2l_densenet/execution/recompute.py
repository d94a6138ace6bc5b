"""Training a DenseNet in memory that grows linearly with its depth: values are computed again instead of kept.

For the backward pass a framework keeps what every operator has read: of layer l the concatenation of all features
before it, its batch normalisation and its ReLU. That is the sum over l of k0 + k (l - 1) channels, which grows with
the square of the depth (Pleiss et al., "Memory-Efficient Implementation of DenseNets", arXiv:1707.06990). Here only
each layer's own k channels are kept. The backward pass goes from layer to layer, the last first, and computes each
again from the features that it reads, this time recorded by autograd.

    net = DenseNet(memory_efficient=True)
    ...
    with recompute.record():            # instead of autograd.record()
        l = loss(net(X), y)
    recompute.backward(l)               # instead of l.backward()

Only layers that are known, by their kinds and settings, are computed again. All others are computed as they are
written, which keeps what autograd keeps; a warning names them once.

`fit` does this by itself. A step that uses ``autograd.record()`` and ``l.backward()`` is right too, but saves nothing.
"""

import contextlib
import ctypes
import functools
import itertools
import math
import threading
import warnings
import weakref

import mxnet as mx
from mxnet import autograd
from mxnet._ctypes.ndarray import _imperative_invoke
from mxnet.base import _LIB, MXNetError, c_str, check_call
from mxnet.gluon import nn
from mxnet.gluon.parameter import DeferredInitializationError
from mxnet.util import is_np_array

from .._common.arguments import show, switch
from .block import Graph, HybridSequential, State, as_built
from .fast import faster
from .operators import SIMD_BLOCK, RoundingUpAvgPool2D, aligned

__all__ = ['backward', 'record']


class _Tape(threading.local):
    """What this thread has recorded and not yet taken backward."""

    open = False

    def __init__(self):
        self.pending = []
        #: Outputs whose pieces are gone: a loss that depends on one cannot go backward any more.
        self.gone = []


_tape = _Tape()


def record(train_mode=True):
    """Context to use instead of ``autograd.record()``; its loss goes backward by `backward`.

    Inside, a `DenseNet` with ``memory_efficient=True`` keeps its features only. All else is recorded as ever.

    Parameters
    ----------
    train_mode : bool, default True
        As for ``autograd.record``.

    Raises
    ------
    ValueError
        If `train_mode` is neither True nor False.
    RuntimeError
        If the loss recorded before went backward without `backward`, so that parameters have no gradients.

    Examples
    --------
    >>> from d2l_densenet import DenseNet
    >>> net = DenseNet(memory_efficient=True)
    >>> net.initialize()
    >>> with record():
    ...     loss = net(mx.nd.ones((2, 1, 32, 32))).sum()
    >>> backward(loss)
    >>> net.output.bias.grad()[:3].asnumpy()
    array([2., 2., 2.], dtype=float32)
    """
    return _record(switch('train_mode', train_mode))


@contextlib.contextmanager
def _record(train_mode):
    if _tape.open:
        with autograd.record(train_mode):
            yield
        return
    if any(call.output._fresh_grad for call in _tape.pending):
        _tape.pending = []
        raise RuntimeError('the loss of the last recompute.record() went backward without recompute.backward(loss), so '
                           'the network has no gradients from it: call that instead of loss.backward(), or '
                           'record with autograd.record()')
    _forget(_tape.pending)
    _tape.open, _tape.pending = True, []
    try:
        with autograd.record(train_mode):
            yield
    finally:
        _tape.open = False
    for call in _tape.pending:
        # Should the loss go backward without `backward`, and the update not be a Trainer's, which then raises: what
        # the gradients hold is old, and nobody shall train with it unawares.
        for parameter in call.parameters[-1:]:
            if parameter.grad_req == 'write':
                parameter.grad(call.device)[:] = math.nan


def backward(heads):
    """Take a loss backward; used instead of ``loss.backward()`` or ``autograd.backward(losses)``.

    What was recorded by ``autograd.record()`` goes backward as ever.

    Parameters
    ----------
    heads : mxnet array, or list of them
        The loss, or a loss per device.

    Raises
    ------
    ValueError
        If `heads` is neither.
    RuntimeError
        If the loss comes from an earlier `record` than the last, or has gone backward already.

    Examples
    --------
    >>> weight = mx.nd.ones(2)
    >>> weight.attach_grad()
    >>> with record():
    ...     loss = (3 * weight).sum()
    >>> backward(loss)
    >>> weight.grad.asnumpy()
    array([3., 3.], dtype=float32)
    """
    arrays = heads if isinstance(heads, (list, tuple)) else [heads]
    if not arrays or not all(isinstance(array, mx.nd.NDArray) for array in arrays):
        raise ValueError(f'heads must be an array of MXNet, such as a loss, or a list of them, got {show(heads)}')
    calls = _tape.pending
    # From here on a fresh gradient is one that this loss has given.
    former = [array for call in calls for array in call.weights() if array._fresh_grad]
    for array in former:
        array._fresh_grad = False
    autograd.backward(heads)
    if any(output._fresh_grad for output in _tape.gone):
        _tape.gone = []
        raise RuntimeError('this loss comes from an earlier recompute.record() than the last, or has gone backward '
                           'already: call recompute.backward(loss) once, before the next recompute.record()')
    while True:
        # Calls on different devices go side by side. Those on one device may depend on each other, or share
        # parameters: one after the other, the last first.
        group = {call.device: call for call in _tape.pending if call.output._fresh_grad}.values()
        if not group:
            break
        _tape.pending = [call for call in _tape.pending if call not in group]
        _go_backward(group)
        _forget(group)
    for array in former:
        array._fresh_grad = True


def recording():
    """Whether a network that is called now shall keep its features only."""
    return _tape.open and autograd.is_recording() and autograd.is_training()


def forward(net, x, layers, usual, dense):
    """What `net` gives for `x`, with what the backward pass needs noted down.

    `layers` are those that it applies one after the other, or None if that is not known; `usual` is the function that
    computes it as ever; `dense` is the class of the dense blocks whose layers are computed again.
    """
    leaf = x.grad is not None
    plan = _plan(net, layers, leaf, dense)
    if plan.reason is None and not leaf and _on_tape(x):
        plan.tell('the network', 'layers before it are trained')
    elif plan.reason is None and plan.has_values(x.context):
        call = _Call(plan, x, leaf)
        _tape.pending.append(call)
        return call.output
    return usual(x)


def _on_tape(x):
    """Whether autograd knows where an array comes from."""
    try:
        autograd.get_symbol(x)
    except MXNetError:
        return False
    return True


def _forget(calls):
    for call in calls:
        call.output._fresh_grad = False
    # A bounded number: each is small, but a loop may record and never go backward.
    _tape.gone = [*_tape.gone, *(call.output for call in calls)][-16:]


class _Call:
    """One call of a network: what is kept of it to go backward through."""

    def __init__(self, plan, x, leaf):
        self.device, self.plan = x.context, plan
        self.parameters = [p for p in plan.parameters if p.grad_req != 'null']
        self.image, self.kept = x if leaf else x.detach(), []
        self.leaf = [x] if leaf else []
        buffers = plan.buffers(self.device)
        with autograd.pause(train_mode=True):
            self.seeds = _Seeds(plan.draws, self.device)
            output, self.of_first = plan.pieces[0].forward(x.detach(), self.seeds)
            for block, piece in zip(plan.blocks, plan.pieces[1:]):
                *kept, output = block.forward(_classic(output), self.seeds, buffers)
                output, of_piece = piece.forward(output, self.seeds)
                self.kept.append((kept, of_piece))
        # 'add': several losses, or networks, may read it.
        output = output.detach()
        output.attach_grad('add')
        self.output = output

    def weights(self):
        """The arrays of the trained parameters, and the images if they have a gradient."""
        return [*(parameter.data(self.device) for parameter in self.parameters), *self.leaf]

    def backward(self):
        """Go backward; a generator that stops after each dense block."""
        gradient, buffers = self.output.grad, self.plan.buffers(self.device)
        for block, piece in zip(reversed(self.plan.blocks), self.plan.pieces[:0:-1]):
            kept, of_piece = self.kept.pop()
            with autograd.pause(train_mode=True):
                through = functools.partial(piece.backward, of_piece, gradient, self.seeds)
                gradient = block.backward(*kept, through, self.seeds, buffers)
            yield
        first = self.plan.pieces[0]
        if self.leaf or first.trained():
            with autograd.pause(train_mode=True):
                gradient = first.backward(self.of_first, gradient, self.seeds, self.image.detach())
        if self.leaf:
            with autograd.record():
                image = self.image * 1
            autograd.backward(image, gradient.as_np_ndarray() if is_np_array() else _classic(gradient))


def _go_backward(calls):
    """Take calls on different devices backward, side by side."""
    # What the loss itself gave to an array (a penalty on weights), or another call, would be overwritten, or, where
    # gradients add up, counted twice.
    before = [(array.grad, array.grad.copy()) for call in calls for array in call.weights() if array._fresh_grad]
    for gradient, _ in before:
        gradient[:] = 0
    for _ in itertools.zip_longest(*(call.backward() for call in calls)):
        # Else the engine would compute the parts further on ahead of the gradients that wait for them, and keep all.
        mx.nd.waitall()
    for gradient, part in before:
        gradient += part


class _Seeds:
    """Seeds for the places where a network may draw, so that dropout draws again what it drew."""

    def __init__(self, places, device):
        self.device, self.seeds = device, None
        if places:
            if device.device_type == 'gpu':
                raise ValueError('dropout and memory_efficient=True do not go together on a GPU, whose generator '
                                 'cannot be made to repeat itself: use dropout=0, or autograd.record() and '
                                 'loss.backward()')
            self.seeds = mx.nd.random.randint(0, 2**31 - 1, places, ctx=device).asnumpy()

    def go(self, place):
        """Seed MXNet's generator for this place."""
        if self.seeds is not None:
            mx.random.seed(int(self.seeds[place]), ctx=self.device)


class _Piece:
    """Layers between dense blocks, one after the other: recomputed as one operator, or recorded as they are written."""

    def __init__(self, layers, place, known, needs, hybridized):
        self.layers, self.place, self.known, self.needs = layers, place, known, needs
        self._parameters = {parameter.name: parameter for layer in layers
                            for parameter in layer._collect_params_with_prefix().values()}
        # The gradient of MXNet's max-pooling is wrong for an array that is a part of another; other layers: not known.
        self.reads_parts = known and type(layers[0] if layers else None) in (
            nn.AvgPool2D, nn.GlobalAvgPool2D, nn.Conv2D)
        self._graphs, self._symbol = {}, None
        if layers and (known or hybridized):
            symbol = mx.sym.var('data')
            if is_np_array():
                symbol = symbol.as_np_ndarray()
            for layer in layers:
                symbol = layer(symbol)
            self._symbol = symbol

    def forward(self, x, seeds):
        """The output, and what is kept of it."""
        if not self.layers:
            return x.copy(), None  # it may be a part of a buffer
        if self.known:
            return self(x, seeds, first=True), None
        x = self._own(x)
        if self.needs:
            x.attach_grad()
        with autograd.record():
            y = self(x, seeds)
        return y.detach(), (x, y)

    def backward(self, kept, gradient, seeds, y, out=None):
        """The gradient of what it reads: of `y`, which holds the same numbers as in the forward pass."""
        if not self.layers or not self.known:
            if self.layers:
                x, again = kept
                autograd.backward(again, gradient)
                gradient = x.grad
            # A whole array may have oneDNN's layout, which must not meet parts of buffers.
            return gradient if gradient is None or out is None else _invoke('_copy', [gradient], out)
        y = _classic(y)
        if not self.reads_parts:
            y = y.copy()
        if self.needs:
            autograd.mark_variables([y], [mx.nd.empty(y.shape, y.context) if out is None else out])
        with autograd.record():
            again = self(y, seeds)
        autograd.backward(again, gradient)
        return y.grad if self.needs else None

    def __call__(self, x, seeds, first=False):
        """The output; `first`: in the pass that is not recorded, which leaves running statistics alone."""
        seeds.go(self.place)
        if self._symbol is None:
            for layer in self.layers:
                x = layer(x)
            return x
        if x.shape not in self._graphs:
            # No static_alloc: it would keep the buffers.
            self._graphs[x.shape] = Graph(faster(self._symbol, x.shape), self._parameters)
        # On the CPU MXNet moves them in the backward pass, but with cuDNN in the forward pass.
        return self._graphs[x.shape](x, keep_statistics=first)

    def _own(self, x):
        x = _classic(x).copy()
        return x.as_np_ndarray() if is_np_array() else x

    def trained(self):
        """Whether any of its parameters gets a gradient."""
        return any(parameter.grad_req != 'null' for parameter in self._parameters.values())


class _DenseBlock:
    """The two passes through a dense block, and through the batch normalisation and the ReLU after it.

    They use MXNet's own backward operators and not autograd, for two reasons. The backward pass of a convolution does
    not need its output, which autograd would compute again. And the large arrays can be parts of a few buffers: a
    process that asks for memory and gives it back at each operator waits for fresh pages, and keeps many of the old.
    All arrays are classic ones.
    """

    def __init__(self, groups, after, keep, place):
        self.keep = keep
        places = itertools.count(place + 1)  # the first is that of the piece behind this block
        self.layers = [[_Step(*group, next(places)) for group in layer] for layer in groups]
        self.after = _Step(*after, None, None) if after else None
        self.next_place = next(places)
        grown = [steps[-1].width for steps in self.layers]
        self.widths = list(itertools.accumulate(grown, initial=self.layers[0][0].norm.gamma.shape[0]))
        # These operators keep oneDNN's layout of the arrays, but only of whole ones.
        self.aligned = aligned(self.widths[0], *grown)

    def forward(self, x, seeds, buffers):
        """All features; per layer the batch's statistics and perhaps the bottleneck's output; what comes after it."""
        features, statistics = [x], []

        def joined(width):
            # The block's input may have oneDNN's own layout. Batch normalisation that reads such an array and writes to
            # a part of another ends the process (a fault of MXNet's).
            if self.aligned or len(features) == 1:
                return self._join(features, None), None
            return self._join(features, buffers.part('X', x, width)), buffers.part('A', x, width)

        for steps, width in zip(self.layers, self.widths):
            (h, out), found, inner = joined(width), [], []
            for step in steps:
                h, *moments = step.normalise(h, out)
                found.append(moments)
                h = step.convolve(h, None, seeds)
                if self.keep and step is not steps[-1]:
                    inner.append(h)
                out = None
            statistics.append((found, inner))
            features.append(h)
        h, out = joined(self.widths[-1])
        if self.after:
            h, *moments = self.after.normalise(h, out)
            statistics.append(moments)
        return features, statistics, h

    def backward(self, features, statistics, through, seeds, buffers):
        """The gradient of the block's input. Empties the lists; the layers' parameters get their gradients.

        ``through`` takes the output of `forward`, and returns the loss's gradient with respect to it, in a given place.
        """
        x = features[0]

        def part(name, width):
            return None if self.aligned else buffers.part(name, x, width)
        if not self.aligned:
            # Where two arrays differ in layout, oneDNN's batch normalisation goes backward at a tenth of its speed.
            x = features[0] = _invoke('_copy', [x], part('x', self.widths[0]))
            gradients = buffers.list('G', features, zero=True)
        else:
            gradients = [mx.nd.zeros_like(feature) for feature in features]
        autograd.mark_variables(features, gradients, 'add')
        joined = self._join(features, part('X', self.widths[-1]), record=True)
        if self.after:
            moments = statistics.pop()
            active = self.after.activate(joined, moments, part('A', self.widths[-1]))
            flow = through(active.detach(), part('D', self.widths[-1]))
            flow = self.after.unnormalise(flow, joined, active, moments)
        else:
            flow = through(joined.detach(), part('D', self.widths[-1]))
        autograd.backward(joined, flow)
        for steps, width in zip(self.layers[::-1], self.widths[-2::-1]):
            (moments, inner), flow = statistics.pop(), features.pop().grad
            joined = self._join(features, part('X', width), record=True)
            if len(steps) > 1 and not inner:
                # To the bit: what differs in the bottleneck's output may turn a ReLU on that was off.
                active = [steps[0].normalise(joined, part('A', width), again=True)[0]]
            else:
                active = [steps[0].activate(joined, moments[0], part('A', width))]
            read = [joined]
            for before, step, found in zip(steps, steps[1:], moments[1:]):
                h = part('H', before.width)
                read.append(_invoke('_copy', [inner.pop(0)], h) if inner else before.convolve(active[-1], h, seeds))
                active.append(step.activate(read[-1], found, part('I', before.width)))
            for number in range(len(steps) - 1, -1, -1):
                out = part('J', steps[0].width) if number else part('D', width)
                flow = steps[number].backward(flow, read[number], active[number], moments[number], seeds, out)
            autograd.backward(joined, flow)
        return x.grad.copy()  # the block before this one uses the buffers too

    def _join(self, features, out, record=False):
        """The features as one array, recorded, so that a gradient of it can be added to theirs, or not."""
        if len(features) == 1 and not record:
            return features[0]
        with autograd.record() if record else autograd.pause(autograd.is_training()):
            if self.aligned:
                return _invoke('Concat', features, num_args=len(features), dim=1)
            return _invoke('_npi_concatenate', features, out, num_args=len(features), axis=1)


class _Step:
    """Batch normalisation and ReLU, then perhaps a convolution and dropout, forward and backward."""

    def __init__(self, norm, relu, convolution, *dropout_and_place):
        *dropout, self.place = dropout_and_place
        self.norm, self.gamma, self.beta = norm, norm.gamma, norm.beta
        if convolution:
            self.convolution, self.width = convolution, convolution._channels
            self.filters = [convolution.weight] if convolution.bias is None else [convolution.weight, convolution.bias]
            self.dropout = dropout[0]._rate if dropout else 0

    def normalise(self, x, out, again=False):
        """Batch normalisation and ReLU with the statistics of the batch; mean and inverse standard deviation."""
        device, norm = x.context, self.norm
        running = [norm.running_mean.data(device), norm.running_var.data(device)]
        # The CPU moves them in the backward pass, cuDNN here.
        if again:
            running = [array.copy() for array in running]
        if out is not None:
            out = [out, mx.nd.empty(x.shape[1], device), mx.nd.empty(x.shape[1], device)]
        h, mean, inverse = _invoke('BatchNorm', [x, self.gamma.data(device), self.beta.data(device), *running], out,
                                   output_mean_var=True, **norm._kwargs)
        return _invoke('Activation', [h], h, act_type='relu'), mean, inverse

    def activate(self, x, moments, out):
        """What `normalise` gave but for rounding, and faster: the statistics are known."""
        mean, inverse = moments
        device, settings = x.context, {**self.norm._kwargs, 'use_global_stats': True}
        h = _invoke('BatchNorm', [x, self.gamma.data(device), self.beta.data(device), mean,
                                  1 / (inverse * inverse) - settings['eps']], out, **settings)
        return _invoke('Activation', [h], h, act_type='relu')

    def convolve(self, x, out, seeds):
        """Convolution and dropout."""
        filters, settings = [p.data(x.context) for p in self.filters], self.convolution._kwargs
        if out is None:
            out = _invoke('Convolution', [x, *filters], **settings)
        else:
            for x_part, out_part in _parts(x, out):
                _invoke('Convolution', [x_part, *filters], out_part, **settings)
        return self._drop(out, seeds)

    def backward(self, gradient, x, active, moments, seeds, out):
        """The gradient of `x` from that of the output, written over `active`; the parameters get theirs."""
        device, settings = x.context, self.convolution._kwargs
        # Dropout multiplies by its mask, forward and backward.
        gradient = self._drop(gradient, seeds)
        filters = [p.data(device) for p in self.filters]
        extra = -self.width % SIMD_BLOCK
        if extra and settings['kernel'] != (1, 1):
            # oneDNN's fast kernels want whole blocks of channels: a few of zeros cost less than they save.
            gradient = _widen(gradient, extra, 1)
            filters = [_widen(array, extra, 0) for array in filters]
            settings = {**settings, 'num_filter': self.width + extra}
        if out is None:
            out = mx.nd.empty(x.shape, device)
            parts = [(gradient, active, out)]
        else:
            parts = _parts(gradient, active, out)
        found = []
        for gradient, read, result in parts:
            found.append([mx.nd.empty(array.shape, device) for array in filters])
            _invoke('_backward_Convolution', [gradient, read, *filters], [result, *found[-1]], **settings)
        for parameter, *arrays in zip(self.filters, *found):
            _give(parameter, functools.reduce(mx.nd.NDArray.__iadd__, arrays)[:parameter.shape[0]])
        return self.unnormalise(out, x, active, moments)

    def unnormalise(self, gradient, x, active, moments):
        """The same for `normalise` alone."""
        device, norm = x.context, self.norm
        gradient = _invoke('_backward_Activation', [gradient, active], gradient, act_type='relu')
        found = [mx.nd.empty(x.shape[1], device) for _ in range(2)]
        _invoke('_backward_BatchNorm', [gradient, *moments, x, self.gamma.data(device), self.beta.data(device),
                                        norm.running_mean.data(device), norm.running_var.data(device)],
                [active, *found], **norm._kwargs)
        for parameter, array in zip((self.gamma, self.beta), found):
            _give(parameter, array)
        return active

    def _drop(self, x, seeds):
        if not self.dropout:
            return x
        seeds.go(self.place)
        return _invoke('Dropout', [x], p=self.dropout)


class _Buffers:
    """Flat arrays by name, which grow as needed, and of which the arrays of dense blocks are parts.

    A part always has the plain layout: oneDNN gives its own to whole arrays only.
    """

    def __init__(self, device):
        self._device, self._flat = device, {}

    def part(self, name, like, width):
        """An array with so many channels, and the batch, height and width of `like`."""
        return self.list(name, [like], width)[0]

    def list(self, name, features, width=None, zero=False):
        """One array in the shape of each of the `features`, side by side; with zeros in them, or anything."""
        shapes = [(f.shape[0], width or f.shape[1], *f.shape[2:]) for f in features]
        ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
        if name not in self._flat or self._flat[name].size < ends[-1]:
            self._flat.pop(name, None)
            self._flat[name] = mx.nd.empty(ends[-1] + 1, self._device)  # one more: a part, and never all of it
        if zero:
            self._flat[name][:] = 0
        return [self._flat[name][start:end].reshape(shape) for start, end, shape in zip([0, *ends], ends, shapes)]


@functools.cache
def _operator(name):
    handle = ctypes.c_void_p()
    check_call(_LIB.NNGetOpHandle(c_str(name), ctypes.byref(handle)))
    return handle.value


def _invoke(name, arrays, out=None, **attributes):
    """Call an operator by its name: MXNet has no Python functions for most of those that autograd calls."""
    return _imperative_invoke(_operator(name), list(arrays), list(attributes), [str(v) for v in attributes.values()],
                              out, False, False)


def _widen(array, extra, axis):
    """The array with `extra` zeros at the end of an axis."""
    shape = list(array.shape)
    shape[axis] = extra
    return _invoke('_npi_concatenate', [array, mx.nd.zeros(shape, array.context)], num_args=2, axis=axis)


def _give(parameter, gradient):
    """Let a parameter have its gradient, as its ``grad_req`` says."""
    if parameter.grad_req == 'null':
        return
    total = _classic(parameter.grad(gradient.context))
    if parameter.grad_req == 'add':
        total += gradient
    else:
        total[:] = gradient
    parameter.data(gradient.context)._fresh_grad = True


def _parts(*arrays):
    """The arrays in parts along the batch, of 16 MB at most, or one image."""
    # oneDNN copies what a convolution reads and gives where its kernel wants another layout; MXNet keeps the memory.
    count = len(arrays[0])
    pieces = min(count, -(-max(array.size for array in arrays) // 2**22))
    ends = [count * i // pieces for i in range(pieces + 1)]
    return [[array[start:end] for array in arrays] for start, end in zip(ends, ends[1:])]


def _classic(array):
    return array.as_nd_ndarray() if isinstance(array, mx.np.ndarray) else array


# Layers whose output, computed again by a graph, is the same to the bit.
_KNOWN = (nn.Conv2D, nn.Dense, nn.BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm, nn.Activation, nn.LeakyReLU,
          nn.ELU, nn.SELU, nn.GELU, nn.Swish, nn.MaxPool2D, nn.AvgPool2D, nn.GlobalMaxPool2D, nn.GlobalAvgPool2D,
          RoundingUpAvgPool2D, nn.Flatten, nn.Dropout)
_SEQUENTIAL = (nn.HybridSequential, HybridSequential)


class _Plan:
    """How a network is computed: dense blocks, the pieces around them, or the `reason` why it is computed as ever."""

    def __init__(self, net, layers, leaf, dense):
        self.net, self.dense, self.reason = type(net).__name__, dense, None
        self.pieces, self.blocks, self._buffers, self._told = [], [], {}, _told.setdefault(net, set())
        # Each once, though it may stand in several places.
        self.parameters = list({id(p): p for p in net._collect_params_with_prefix().values()}.values())
        if layers is None:
            self.reason = f'{self.net} has a hybrid_forward of its own'
        elif net._backend or net._callback:
            self.reason = 'a backend or a monitor is set'
        else:
            self.layers = list(_one_by_one(layers, ('features', 'output')))
            self._divide(leaf, net._active)
        if self.reason:
            self.tell('the network', self.reason)

    def _divide(self, needs, hybridized):
        """Find the pieces and the blocks. `needs`: whether the gradient of what is read next is needed."""
        place, place_of_piece, run, parts = 1, 0, [], []
        items = list(self.layers)
        while items:
            path, layer = items.pop(0)
            groups = _layers_of(layer, self.dense)
            if groups is None:
                run.append((path, layer))
                continue
            needs_block = needs or any(_trained(item) for _, item in run)
            if not needs_block and not _trained(layer.net[0][0]):
                # Its first normalisation gets no gradient, and so must not move its statistics.
                run.append((path, layer))
                continue
            after = [item for _, item in items[:2]]
            after = after if len(after) == 2 and _normal(after) else []
            del items[:len(after)]
            self._add_piece(run, needs, hybridized, place_of_piece)
            # The most memory is in use in the first dense block, where images are largest. What the others keep is gone
            # when the backward pass gets there: so they keep the bottlenecks' outputs, for speed.
            place_of_piece = place
            self.blocks.append(_DenseBlock(groups, after, bool(self.blocks), place))
            place = self.blocks[-1].next_place
            parts.append([layer, *after])
            run, needs = [], True
        self._add_piece(run, needs, hybridized, place_of_piece)
        dropout = [item for _, layer in self.layers for item in _all(layer) if isinstance(item, nn.Dropout)]
        self.draws = place if any(layer._rate for layer in dropout) else 0
        shared = [parameter for part in (*parts, *(piece.layers for piece in self.pieces))
                  for parameter in {id(p): p for item in part for p in item._collect_params_with_prefix().values()
                                    }.values()]
        distinct = {id(parameter): parameter.name for parameter in shared}
        if len(distinct) < len(shared):
            self.reason = 'a parameter is shared by several of its parts'
        elif len(set(distinct.values())) < len(distinct):
            self.reason = 'two of its parameters have the same name'
        elif not self.blocks:
            self.reason = ''  # what of it costs memory has been told

    def _add_piece(self, run, needs, hybridized, place):
        on_tape = needs
        for path, layer in run:
            on_tape = on_tape or _trained(layer)
            if on_tape and not _known(layer):
                self.tell(path, _reason(layer, self.dense))
        known = all(_known(layer) for _, layer in run)
        self.pieces.append(_Piece([layer for _, layer in run], place, known, needs, hybridized))

    def tell(self, path, reason):
        """Warn, once for each network, that a part of it is computed as ever."""
        if (path, reason) not in self._told:
            self._told.add((path, reason))
            warnings.warn(f'memory_efficient=True saves nothing in {path} of this {self.net}: it is computed as it is '
                          f'written, because {reason}', stacklevel=8)

    def has_values(self, device):
        """Whether every parameter has a value on the device; the first call may have to find its shape."""
        try:
            for parameter in self.parameters:
                parameter.data(device)
        except DeferredInitializationError:
            return False
        return True

    def buffers(self, device):
        """The buffers on a device."""
        return self._buffers.setdefault(device, _Buffers(device))


_plans, _told = weakref.WeakKeyDictionary(), weakref.WeakKeyDictionary()


def _plan(net, layers, leaf, dense):
    # What a plan depends on, looked at in each step: a layer may have been replaced, frozen or given other settings.
    key = [leaf, net._active, net._backend, net._callback is None, layers is None,
           [parameter.grad_req for parameter in net._collect_params_with_prefix().values()]]
    (known, state), plan = _plans.get(net, ((None, None), None))
    if known != key or not state.holds(net):
        plan = _Plan(net, layers, leaf, dense)
        _plans[net] = (key, State(net)), plan
    return plan


def _one_by_one(layers, names=None):
    """(Path, layer) for each layer of these, those of layers in a row one by one."""
    for name, layer in zip(names or itertools.count(), layers):
        if type(layer) in _SEQUENTIAL and as_built(layer):
            for path, item in _one_by_one(layer._children.values(), layer._children):
                yield f'{name}.{path}', item
        else:
            yield str(name), layer


def _all(layer):
    found = []
    layer.apply(found.append)
    return found


def _trained(layer):
    return any(parameter.grad_req != 'null' for parameter in layer._collect_params_with_prefix().values())


def _known(layer):
    return type(layer) in _KNOWN and as_built(layer) and all(map(_known, layer._children.values()))


def _layers_of(block, dense):
    """The layers of a dense block in `_groups`; None if it is no dense block, or has others, or one of them twice."""
    if type(block) is not dense or not as_built(block) or (
            type(block.net) not in _SEQUENTIAL or not as_built(block.net)):
        return None
    found = [_groups([layer for _, layer in _one_by_one([layer])]) for layer in block.net]
    places = [id(parameter) for groups in found for group in groups for layer in group
              for parameter in layer._collect_params_with_prefix().values()]
    return found if found and all(found) and len(set(places)) == len(places) else None


def _reason(layer, dense):
    """Why a layer is not computed again."""
    if type(layer) is dense and as_built(layer):
        if _layers_of(layer, dense):
            return 'its first layer is frozen'
        for path, part in _one_by_one(layer.net._children.values(), layer.net._children):
            if not _convolution(part) and not _known_in_a_block(part):
                return f'net.{path} in it is not as this package builds it ({type(part).__name__})'
    return f'{type(layer).__name__} is not known, or not with these settings'


def _known_in_a_block(layer):
    return as_built(layer) and (
        (type(layer) is nn.BatchNorm and not layer._kwargs['use_global_stats']) or type(layer) is nn.Dropout
        or (type(layer) is nn.Activation and layer._act_type == 'relu'))


def _normal(layers):
    """Whether these are batch normalisation, with the statistics of the batch, and ReLU."""
    return [type(layer) for layer in layers] == [nn.BatchNorm, nn.Activation] and all(map(as_built, layers)) and (
        layers[1]._act_type == 'relu' and layers[0]._kwargs['axis'] == 1 and not layers[0]._kwargs['use_global_stats'])


def _convolution(layer):
    """Whether this is a convolution that keeps the size of its maps, and nothing more."""
    if type(layer) is not nn.Conv2D or not as_built(layer) or layer.act is not None:
        return False
    settings = layer._kwargs
    return settings['kernel'] == tuple(2 * side + 1 for side in settings['pad']) and settings['layout'] == 'NCHW' and (
        settings['stride'] == settings['dilate'] == (1, 1) and settings['num_group'] == 1
        and settings['num_filter'] == layer._channels and settings['no_bias'] is (layer.bias is None))


def _groups(layers):
    """The layers in groups of batch normalisation, ReLU, convolution and perhaps dropout; none if they are others."""
    groups = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm):
            groups.append([])
        groups[-1:] = [[*group, layer] for group in groups[-1:]]
    good = all(_normal(group[:2]) and len(group) in (3, 4) and _convolution(group[2]) and all(
        type(layer) is nn.Dropout and as_built(layer) and not layer._axes for layer in group[3:]) for group in groups)
    return groups if good and sum(map(len, groups)) == len(layers) else []
