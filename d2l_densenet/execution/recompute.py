"""Training a DenseNet in memory that grows linearly with its depth: values are computed again instead of kept.

For the backward pass a framework keeps what every operator has read: of layer l the concatenation of all features
before it, its batch normalization and its ReLU. That grows with the square of the depth (Pleiss et al.,
"Memory-Efficient Implementation of DenseNets", arXiv:1707.06990). Here only each layer's own k channels are kept. The
backward pass goes from layer to layer, the last first, and computes each again from the features that it reads.

Only layers that are known, by their kinds and settings, are computed again. All others are computed as they are
written, which keeps what autograd keeps; a warning names them.
"""

import contextlib
import ctypes
import functools
import itertools
import math
import re
import threading
import warnings
import weakref

import mxnet as mx
from mxnet import autograd
from mxnet._ctypes.ndarray import _imperative_invoke
from mxnet.base import _LIB, MXNetError, c_str, check_call
from mxnet.gluon import nn
from mxnet.util import is_np_array

from .._common.arguments import show, switch
from .block import Graph, HybridSequential, State, as_built, inside
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


@contextlib.contextmanager
def record(train_mode=True):
    """Context to use instead of ``autograd.record()``; its loss goes backward by `backward`.

    Inside, a `DenseNet` with ``memory_efficient=True`` keeps its features only. All else is recorded as ever.

    Parameters
    ----------
    train_mode : bool, default True
        As for ``autograd.record``.

    Raises
    ------
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
    switch('train_mode', train_mode)
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
    # From here on a fresh gradient is one that this loss has given.
    former = [array for call in _tape.pending for array in call.weights() if array._fresh_grad]
    for array in former:
        array._fresh_grad = False
    autograd.backward(heads)
    if any(output._fresh_grad for output in _tape.gone):
        _tape.gone = []
        raise RuntimeError('this loss comes from an earlier recompute.record() than the last, or has gone backward '
                           'already: call recompute.backward(loss) once, before the next recompute.record()')
    # Calls on different devices go side by side. Those on one device may depend on each other, or share parameters:
    # one after the other, the last first.
    while group := {call.device: call for call in _tape.pending if call.output._fresh_grad}.values():
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

    `layers` are those that it applies one after the other, by name; `usual` is the function that computes it as ever;
    `dense` is the class of the dense blocks whose layers are computed again.
    """
    parameters = _parameters(net)
    if any(parameter._deferred_init for parameter in parameters):
        return usual(x)  # which finds their shapes
    leaf = x.grad is not None
    # What a plan depends on, looked at in each step: a layer may have been replaced, frozen or given other settings.
    key = [leaf, not leaf and _on_tape(x), net._active, net._backend, net._callback is None, [*layers],
           [parameter.grad_req for parameter in parameters]]
    (known, state), plan = _plans.get(net, ((None, None), None))
    if known != key or not state.holds(net):
        plan = _Plan(net, layers, dense, *key[:3])
        _plans[net] = (key, State(net)), plan
        for path, reason in plan.told:
            warnings.warn(f'memory_efficient=True saves nothing in {path} of this {type(net).__name__}: it is computed '
                          f'as it is written, because {reason}', stacklevel=5)
    if not plan.blocks:
        return usual(x)
    call = _Call(plan, x, leaf, [parameter for parameter in parameters if parameter.grad_req != 'null'])
    _tape.pending.append(call)
    return call.output


#: For each network what its plan depends on, and the plan.
_plans = weakref.WeakKeyDictionary()


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
    _tape.gone = [*_tape.gone, *(call.output for call in calls)][-16:]  # a loop may record and never go backward


class _Call:
    """What is kept of one call of a network, to go backward through."""

    def __init__(self, plan, x, leaf, trained):
        self.device, self.plan, self.parameters = x.context, plan, trained
        self.image, self.leaf, self.kept = x.detach(), [x] if leaf else [], []
        self.buffers = plan.buffers.setdefault(self.device, _Buffers(self.device))
        with autograd.pause(train_mode=True):
            self.seed = _seeder(plan.draws, self.device)
            output, self.of_first = plan.pieces[0].forward(self.image, self.seed)
            for block, piece in zip(plan.blocks, plan.pieces[1:]):
                *kept, output = block.forward(output.as_nd_ndarray(), self.seed, self.buffers)
                output, of_piece = piece.forward(output, self.seed)
                self.kept.append((kept, of_piece))
        # 'add': several losses, or networks, may read it.
        self.output = output.detach()
        self.output.attach_grad('add')

    def weights(self):
        """The arrays of the trained parameters, and the images if they have a gradient."""
        return [*(parameter.data(self.device) for parameter in self.parameters), *self.leaf]

    def backward(self):
        """Go backward; a generator that stops after each dense block."""
        gradient = self.output.grad
        for block, piece in zip(reversed(self.plan.blocks), self.plan.pieces[:0:-1]):
            kept, of_piece = self.kept.pop()
            with autograd.pause(train_mode=True):
                through = functools.partial(piece.backward, of_piece, gradient, self.seed)
                gradient = block.backward(*kept, through, self.seed, self.buffers)
            yield
        first = self.plan.pieces[0]
        if self.leaf or _trained(*first.layers):
            with autograd.pause(train_mode=True):
                gradient = first.backward(self.of_first, gradient, self.seed, self.image)
        for image in self.leaf:
            with autograd.record():
                image = image * 1
            autograd.backward(image, _in_mode(gradient))


def _go_backward(calls):
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


def _seeder(places, device):
    """A function that seeds MXNet's generator for one of the places that may draw: dropout draws again what it drew."""
    if not places:
        return lambda place: None
    if device.device_type == 'gpu':
        raise ValueError('dropout and memory_efficient=True do not go together on a GPU, whose generator cannot be '
                         'made to repeat itself: use dropout=0, or autograd.record() and loss.backward()')
    seeds = mx.nd.random.randint(0, 2**31 - 1, places, ctx=device).asnumpy()
    return lambda place: mx.random.seed(int(seeds[place]), ctx=device)


class _Piece:
    """Layers between dense blocks, one after the other: recomputed as one operator, or recorded as they are written."""

    def __init__(self, layers, place, known, needs, hybridized):
        self.layers, self.place, self.known, self.needs = layers, place, known, needs
        self._traced = layers and (known or hybridized)
        self._graphs = {}
        # The gradient of MXNet's max-pooling is wrong for an array that is a part of another; other layers: not known.
        self.reads_parts = known and type(layers[0] if layers else None) in (
            nn.AvgPool2D, nn.GlobalAvgPool2D, nn.Conv2D)

    def forward(self, x, seed):
        """The output, and what is kept of it."""
        if self.known:
            return self(x, seed, first=True), None
        x = _in_mode(x.as_nd_ndarray().copy())
        if self.needs:
            x.attach_grad()
        with autograd.record():
            y = self(x, seed)
        return y.detach(), (x, y)

    def backward(self, kept, gradient, seed, y, out=None):
        """The gradient of what it reads: of `y`, which holds the same numbers as in the forward pass."""
        if not self.known:
            x, again = kept
            autograd.backward(again, gradient, retain_graph=True)  # of which another call may be a part
            # A whole array may have oneDNN's layout, which must not meet parts of buffers.
            return x.grad if x.grad is None or out is None else _invoke('_copy', [x.grad], out)
        y = y.as_nd_ndarray()
        if not self.reads_parts:
            y = y.copy()
        if self.needs:
            autograd.mark_variables([y], [mx.nd.empty(y.shape, y.context) if out is None else out])
        with autograd.record():
            again = self(y, seed)
        autograd.backward(again, gradient)
        return y.grad

    def __call__(self, x, seed, first=False):
        """The output; `first`: in the pass that is not recorded, which leaves running statistics alone."""
        seed(self.place)
        if not self.layers:
            return x.copy()  # it may be a part of a buffer
        if not self._traced:
            return functools.reduce(lambda x, layer: layer(x), self.layers, x)
        if x.shape not in self._graphs:
            data = mx.sym.var('data')
            symbol = functools.reduce(lambda x, layer: layer(x), self.layers,
                                      data.as_np_ndarray() if is_np_array() else data)
            # No static_alloc: it would keep the buffers.
            self._graphs[x.shape] = Graph(faster(symbol, x.shape), {p.name: p for p in _parameters(*self.layers)})
        # On the CPU MXNet moves them in the backward pass, but with cuDNN in the forward pass.
        return self._graphs[x.shape](x, keep_statistics=first)


class _DenseBlock:
    """The two passes through a dense block, and through the batch normalization and the ReLU after it.

    They use MXNet's own backward operators: a convolution's does not need its output, which autograd would compute
    again, and the large arrays can be parts of a few buffers (a process that asks for memory at each operator waits for
    fresh pages, and keeps many of the old). All arrays are classic ones.
    """

    def __init__(self, groups, after, keep, places):
        self.keep = keep
        self.layers = [[_Step(group, next(places)) for group in layer] for layer in groups]
        self.after = _Step(after) if after else None
        grown = [steps[-1].width for steps in self.layers]
        self.widths = list(itertools.accumulate(grown, initial=self.layers[0][0].norm.gamma.shape[0]))
        # These operators keep oneDNN's layout of the arrays, but only of whole ones.
        self.aligned = aligned(self.widths[0], *grown)

    def forward(self, x, seed, buffers):
        """All features; per layer the batch's statistics and perhaps the bottleneck's output; what comes after it."""
        features, statistics, part = [x], [], self._part_of(buffers, x)

        def joined(width):
            # The block's input may have oneDNN's own layout. Batch normalization that reads such an array and writes to
            # a part of another ends the process (a fault of MXNet's).
            return (x, None) if len(features) == 1 else (self._join(features, part('X', width)), part('A', width))

        for steps, width in zip(self.layers, self.widths):
            (h, out), found, inner = joined(width), [], []
            for step in steps:
                h, *moments = step.normalize(h, out)
                found.append(moments)
                h = step.convolve(h, None, seed)
                if self.keep and step is not steps[-1]:
                    inner.append(h)
                out = None
            statistics.append((found, inner))
            features.append(h)
        h, out = joined(self.widths[-1])
        if self.after:
            h, *moments = self.after.normalize(h, out)
            statistics.append(moments)
        return features, statistics, h

    def backward(self, features, statistics, through, seed, buffers):
        """The gradient of the block's input; ``through`` gives that of the output of `forward`, in a given place."""
        x, part = features[0], self._part_of(buffers, features[0])
        if self.aligned:
            gradients = [mx.nd.zeros_like(feature) for feature in features]
        else:
            # Where two arrays differ in layout, oneDNN's batch normalization goes backward at a tenth of its speed.
            x = features[0] = _invoke('_copy', [x], part('x', self.widths[0]))
            gradients = buffers.parts('G', [feature.shape for feature in features], zero=True)
        autograd.mark_variables(features, gradients, 'add')
        joined = self._join_recorded(features, part('X', self.widths[-1]))
        active = joined
        if self.after:
            moments = statistics.pop()
            active = self.after.activate(joined, moments, part('A', self.widths[-1]))
        flow = through(active.detach(), part('D', self.widths[-1]))
        if self.after:
            flow = self.after.unnormalize(flow, joined, active, moments)
        autograd.backward(joined, flow)
        for steps, width in zip(self.layers[::-1], self.widths[-2::-1]):
            (moments, inner), flow = statistics.pop(), features.pop().grad
            joined = self._join_recorded(features, part('X', width))
            if len(steps) > 1 and not inner:
                # To the bit: what differs in the bottleneck's output may turn a ReLU on that was off.
                active = [steps[0].normalize(joined, part('A', width), again=True)[0]]
            else:
                active = [steps[0].activate(joined, moments[0], part('A', width))]
            read = [joined]
            for before, step, found in zip(steps, steps[1:], moments[1:]):
                h = part('H', before.width)
                read.append(_invoke('_copy', [inner.pop(0)], h) if inner else before.convolve(active[-1], h, seed))
                active.append(step.activate(read[-1], found, part('I', before.width)))
            for number in range(len(steps) - 1, -1, -1):
                out = part('J', steps[0].width) if number else part('D', width)
                flow = steps[number].backward(flow, read[number], active[number], moments[number], seed, out)
            autograd.backward(joined, flow)
        return x.grad.copy()  # the block before this one uses the buffers too

    def _part_of(self, buffers, x):
        """A function (name, width) that gives a part of a buffer for maps like `x`; None if whole arrays are wanted."""
        return lambda name, width: None if self.aligned else buffers.parts(name, [(len(x), width, *x.shape[2:])])[0]

    def _join(self, features, out):
        """The features as one array."""
        if self.aligned:
            return _invoke('Concat', features, num_args=len(features), dim=1)
        return _invoke('_npi_concatenate', features, out, num_args=len(features), axis=1)

    def _join_recorded(self, features, out):
        """The same, so that a gradient of it can be added to theirs."""
        with autograd.record():
            return self._join(features, out)


class _Step:
    """Batch normalization and ReLU, then perhaps a convolution and dropout."""

    def __init__(self, layers, place=None):
        self.norm, _, *others = layers
        self.place = place
        if others:
            self.convolution, *dropout = others
            self.width = self.convolution._channels
            self.filters = [p for p in (self.convolution.weight, self.convolution.bias) if p is not None]
            self.rate = dropout[0]._rate if dropout else 0

    def _values(self, device):
        norm = self.norm
        return [p.data(device) for p in (norm.gamma, norm.beta, norm.running_mean, norm.running_var)]

    def normalize(self, x, out, again=False):
        """Batch normalization and ReLU with the statistics of the batch; mean and inverse standard deviation."""
        *scales, mean, variance = self._values(x.context)
        # The CPU moves them in the backward pass, cuDNN here.
        running = [mean.copy(), variance.copy()] if again else [mean, variance]
        if out is not None:
            out = [out, mx.nd.empty(x.shape[1], x.context), mx.nd.empty(x.shape[1], x.context)]
        h, *moments = _invoke('BatchNorm', [x, *scales, *running], out, output_mean_var=True, **self.norm._kwargs)
        return _invoke('Activation', [h], h, act_type='relu'), *moments

    def activate(self, x, moments, out):
        """What `normalize` gave but for rounding, and faster: the statistics are known."""
        (mean, inverse), settings = moments, {**self.norm._kwargs, 'use_global_stats': True}
        h = _invoke('BatchNorm', [x, *self._values(x.context)[:2], mean, 1 / (inverse * inverse) - settings['eps']],
                    out, **settings)
        return _invoke('Activation', [h], h, act_type='relu')

    def convolve(self, x, out, seed):
        filters, settings = [p.data(x.context) for p in self.filters], self.convolution._kwargs
        if out is None:
            out = _invoke('Convolution', [x, *filters], **settings)
        else:
            for x_part, out_part in _parts(x, out):
                _invoke('Convolution', [x_part, *filters], out_part, **settings)
        return self._drop(out, seed)

    def backward(self, gradient, x, active, moments, seed, out):
        """The gradient of `x` from that of the output, written over `active`; the parameters get theirs."""
        device, settings = x.context, self.convolution._kwargs
        # Dropout multiplies by its mask, forward and backward.
        gradient = self._drop(gradient, seed)
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
        return self.unnormalize(out, x, active, moments)

    def unnormalize(self, gradient, x, active, moments):
        """The same for `normalize` alone."""
        gradient = _invoke('_backward_Activation', [gradient, active], gradient, act_type='relu')
        found = [mx.nd.empty(x.shape[1], x.context) for _ in range(2)]
        _invoke('_backward_BatchNorm', [gradient, *moments, x, *self._values(x.context)], [active, *found],
                **self.norm._kwargs)
        _give(self.norm.gamma, found[0])
        _give(self.norm.beta, found[1])
        return active

    def _drop(self, x, seed):
        if not self.rate:
            return x
        seed(self.place)
        return _invoke('Dropout', [x], p=self.rate)


class _Buffers:
    """Flat arrays by name, which grow as needed. Parts have the plain layout: oneDNN gives its own to whole arrays."""

    def __init__(self, device):
        self._device, self._flat = device, {}

    def parts(self, name, shapes, zero=False):
        """Arrays of these shapes, side by side; with zeros in them, or anything."""
        ends = list(itertools.accumulate(map(math.prod, shapes)))
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
    total = parameter.grad(gradient.context).as_nd_ndarray()
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


def _in_mode(array):
    return array.as_np_ndarray() if is_np_array() else array.as_nd_ndarray()


class _Plan:
    """How a network is computed: dense blocks and the pieces around them; without blocks as ever."""

    def __init__(self, net, layers, dense, leaf, behind_others, hybridized):
        self.pieces, self.blocks, self.buffers, self._dense, self._hybridized = [], [], {}, dense, hybridized
        #: (path, reason) of what is computed as it is written, though that costs memory.
        self.told = []
        if net._backend or net._callback:
            self.told.append(('the network', 'a backend or a monitor is set'))
        elif behind_others:
            self.told.append(('the network', 'layers before it are trained'))
        else:
            places = itertools.count()
            self._divide(layers, leaf, places)
            dropout = any(isinstance(layer, nn.Dropout) and layer._rate for layer in inside(net))
            self.draws = next(places) if dropout else 0

    def _divide(self, layers, needs, places):
        # `needs`: whether the gradient of what is read next is needed.
        items, run, place, names = [*_one_by_one(layers)], {}, next(places), []
        while items:
            path, layer = items.pop(0)
            groups = _layers_of(layer, self._dense)
            # If its first normalization gets no gradient, it must not move its statistics.
            if not groups or not (needs or _trained(*run.values(), groups[0][0][0])):
                run[path] = layer
                continue
            after = [item for _, item in items[:2]]
            after = after if ''.join(map(_kind, after)) == 'NR' else []
            del items[:len(after)]
            self._add_piece(run, place, needs)
            place = next(places)
            # The most memory is in use in the first dense block, where images are largest. What the others keep is gone
            # when the backward pass gets there: so they keep the bottlenecks' outputs, for speed.
            self.blocks.append(_DenseBlock(groups, after, bool(self.blocks), places))
            names += [parameter.name for parameter in _parameters(layer, *after)]
            run, needs = {}, True
        self._add_piece(run, place, needs)
        names += [parameter.name for piece in self.pieces for parameter in _parameters(*piece.layers)]
        if len(set(names)) < len(names):
            self.told.append(('the network', 'two of its parts share a parameter, or parameters have the same name'))
            self.blocks = []
        if not self.blocks:
            self.pieces = []

    def _add_piece(self, run, place, needs):
        on_tape = needs
        for path, layer in run.items():
            on_tape = on_tape or _trained(layer)
            if on_tape and not _known(layer):
                self.told.append((path, _reason(layer, self._dense)))
        known = all(map(_known, run.values()))
        self.pieces.append(_Piece([*run.values()], place, known, needs, self._hybridized))


# Layers whose output, computed again by a graph, is the same to the bit.
_KNOWN = (nn.Conv2D, nn.Dense, nn.BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm, nn.Activation, nn.LeakyReLU,
          nn.ELU, nn.SELU, nn.GELU, nn.Swish, nn.MaxPool2D, nn.AvgPool2D, nn.GlobalMaxPool2D, nn.GlobalAvgPool2D,
          RoundingUpAvgPool2D, nn.Flatten, nn.Dropout)
_SEQUENTIAL = (nn.HybridSequential, HybridSequential)


def _known(layer):
    return type(layer) in _KNOWN and as_built(layer) and all(map(_known, layer._children.values()))


def _parameters(*layers):  # each once
    return list(dict.fromkeys(p for layer in layers for p in layer._collect_params_with_prefix().values()))


def _trained(*layers):
    return any(parameter.grad_req != 'null' for parameter in _parameters(*layers))


def _one_by_one(layers):
    """(Path, layer) for each of the layers {name: layer}, those of layers in a row one by one."""
    for name, layer in layers.items():
        if type(layer) in _SEQUENTIAL and as_built(layer):
            for path, item in _one_by_one(layer._children):
                yield f'{name}.{path}', item
        else:
            yield name, layer


def _kind(layer):
    """Of what dense blocks are made of N, R, C or D (normalization, ReLU, convolution, dropout); '-' for all else."""
    if not as_built(layer):
        return '-'
    settings = getattr(layer, '_kwargs', {})
    if type(layer) is nn.BatchNorm and settings['axis'] == 1 and not settings['use_global_stats']:
        return 'N'
    if type(layer) is nn.Activation and layer._act_type == 'relu':
        return 'R'
    # One that keeps the size of its maps, and nothing more.
    if type(layer) is nn.Conv2D and layer.act is None and settings['num_group'] == 1 and (
            settings['kernel'] == tuple(2 * side + 1 for side in settings['pad']) and settings['layout'] == 'NCHW'
            and settings['stride'] == settings['dilate'] == (1, 1)):
        return 'C'
    return 'D' if type(layer) is nn.Dropout and not layer._axes else '-'


def _layers_of(block, dense):
    """For each layer of a dense block its groups of normalization, ReLU, convolution and perhaps dropout.

    None if it is no dense block, or has other layers, or one of them twice.
    """
    if type(block) is not dense or type(block.net) not in _SEQUENTIAL or not all(map(as_built, (block, block.net))):
        return None
    found, parameters = [], []
    for layer in block.net:
        row = [item for _, item in _one_by_one({'': layer})]
        kinds = ''.join(map(_kind, row))
        if not re.fullmatch('(NRCD?)+', kinds):
            return None
        found.append([row[group.start():group.end()] for group in re.finditer('NRCD?', kinds)])
        parameters += [parameter for item in row for parameter in _parameters(item)]
    return found if len(set(parameters)) == len(parameters) else None


def _reason(layer, dense):
    """Why a layer is not computed again."""
    if type(layer) is dense and as_built(layer):
        if _layers_of(layer, dense):
            return 'its first layer is frozen'
        for path, part in _one_by_one({'net': layer.net}):
            if _kind(part) == '-':
                return f'{path} in it is not as this package builds it ({type(part).__name__})'
    return f'{type(layer).__name__} is not known, or not with these settings'
