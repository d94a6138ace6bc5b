"""Looking into a learner's block: building and running it, its layers, and the same operations in NumPy."""

import collections
import inspect
import itertools
import re
import weakref

import mxnet as mx
import numpy
from mxnet import autograd
from mxnet.gluon import Block, HybridBlock, Parameter, nn
from mxnet.util import is_np_array

from .._common import arrays
from ._answers import require_one
from ._guard import CheckFailed, call, place_of, shown

# The relative difference up to which two results are the same: float32 and another epsilon in BN stay far below it,
# a wrong operation far above.
_TOLERANCE = 0.01
_USED = weakref.WeakKeyDictionary()  # block: its parts in the order of their first call


def build(f, arguments, hints=()):
    """Call the learner's function or class with `arguments` ({name: value}) and look at what it gives.

    Returns
    -------
    block : mxnet.gluon.Block
        Not yet initialized by us.
    text : str
        The call in the learner's terms: ``'conv_block(10)'``.
    """
    if isinstance(f, Block):
        raise CheckFailed(f'This check builds the block itself, with its own arguments. Give it the function or class '
                          f'without brackets: {type(f).__name__}, not {type(f).__name__}(...) and not a block made by '
                          'it.')
    name = require_callable(f)
    wanted = ', '.join(arguments)
    text = f'{name}({", ".join(str(value) for value in arguments.values())})'
    if inspect.isclass(f) and f.__init__ in (Block.__init__, HybridBlock.__init__, object.__init__):
        raise CheckFailed(f'The class {name} has no __init__ of its own{place_of(getattr(f, "forward", None))}. Is it '
                          'written with two underscores on both sides, and indented so that it belongs to the class? '
                          f'It should take ({wanted}).')
    require_signature(f, name, list(arguments), arguments.values())
    block = call(text, f, *arguments.values(), hints=hints)
    require_block(block, f, name, text)
    return block, text


def require_callable(f):
    """The name of the learner's function; `CheckFailed` if it is not callable."""
    if not callable(f):
        raise CheckFailed(f'This check wants your function itself, without brackets after its name. It got {shown(f)}.')
    name = getattr(getattr(f, 'func', f), '__name__', type(f).__name__)
    return 'your_function' if name == '<lambda>' else name


def require_signature(f, name, wanted, values):
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*values)
    except TypeError:
        raise CheckFailed(f'{name} should take ({", ".join(wanted)}), and yours takes {signature}'
                          f'{place_of(getattr(f, "__init__", f) if inspect.isclass(f) else f)}. Which argument is '
                          'missing or too many?') from None


def require_block(block, f, name, text):
    where = place_of(f)
    require_one(block, text, where, '. Did you forget `return` at the end? (block.add(...) returns None too, so it '
                'cannot be what is returned.)',
                '. It should return one block: can you add the layers to a nn.Sequential and return that?')
    if inspect.isclass(block):
        raise CheckFailed(f'{text} returns the class {block.__name__} and not a block{where}. Did you forget the '
                          f'brackets that make a block of it: {block.__name__}(...)?')
    if not isinstance(block, Block):
        if inspect.isclass(f):
            raise CheckFailed(f'The class {name} is not a Gluon block. Does it inherit from nn.Block: '
                              f'class {name}(nn.Block)?')
        raise CheckFailed(f'{text} should return a Gluon block and returns {shown(block)}{where}.')
    if not hasattr(block, '_children'):
        raise CheckFailed(f'{text} was made, but Gluon\'s own part of it is missing. Is super().__init__() the first '
                          f'line of __init__{place_of(type(block).__init__)}?')
    kind = type(block)
    own = kind.forward not in (Block.forward, HybridBlock.forward) or (
        isinstance(block, HybridBlock) and kind.hybrid_forward is not HybridBlock.hybrid_forward)
    if not own:
        wanted = 'forward (or hybrid_forward)' if isinstance(block, HybridBlock) else 'forward'
        raise CheckFailed(f'The class {kind.__name__} has no method {wanted} of its own. Is the name right, and is it '
                          'indented so that it belongs to the class?')
    _require_registered(block)
    _require_unshared(block, text)


def _require_registered(block):
    """Layers in a plain list are invisible to Gluon."""
    registered = {id(part) for part in walk(block)}
    for part in walk(block):
        for attribute, value in vars(part).items():
            hidden = [item for item in _items(value) if isinstance(item, Block) and id(item) not in registered]
            if hidden:
                raise CheckFailed(f'self.{attribute} of your {type(part).__name__} is a plain {type(value).__name__} '
                                  f'with {len(hidden)} layers. Gluon does not see layers in it: they are not '
                                  f'initialized and not trained. Can you make it a nn.Sequential() and use '
                                  f'self.{attribute}.add?')


def _items(value):
    values = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    for item in values:
        yield from (_items(item) if isinstance(item, (list, tuple, dict)) else [item])


def _require_unshared(block, text):
    """One layer registered several times shares its weights."""
    seen, times = {}, {}
    for part in walk(block, repeated=True):
        if any(part.collect_params().keys()):
            times[id(part)] = times.get(id(part), 0) + 1
            seen[id(part)] = part
    # The outermost first: its children are repeated with it.
    for key, count in times.items():
        if count > 1:
            raise CheckFailed(f'{text} uses one and the same {_kind(seen[key])} {count} times, so these layers share '
                              'their weights. `[layer] * n` repeats one layer, it does not make n. Can you make a new '
                              'one in each turn of a loop?')
    owners = {}
    for part in walk(block):
        for parameter in part._reg_params.values():
            if owners.setdefault(id(parameter), part) is not part:
                raise CheckFailed(f'Two layers of {text} share the parameter {parameter.name}. Each layer should have '
                                  'parameters of its own.')


def _kind(block):
    if not isinstance(block, (nn.Sequential, nn.HybridSequential)):
        return type(block).__name__
    return f'{type(block).__name__} ({layer_names(block)})'


def walk(block, repeated=False):
    """All blocks in `block`, itself first, in the order of registration; each once, or as often as registered."""
    seen = set()

    def visit(part):
        if id(part) in seen and not repeated:
            return
        seen.add(id(part))
        if isinstance(part, (list, tuple)):
            raise CheckFailed(f'A {type(part).__name__} of layers was added to a Sequential, which takes them one by '
                              'one. Is there a * missing: add(*layers)?')
        if not isinstance(part, Block):
            raise CheckFailed(f'{shown(part)} was added to a Sequential, which takes only blocks. npx.relu is a '
                              "function, nn.Activation('relu') is a block. Which one did you add?")
        yield part
        for child in part._children.values():
            yield from visit(child)

    return visit(block)


class _KnownValues(mx.init.Initializer):
    """Initial values that are not drawn from MXNet's generator, whose state the learner keeps.

    It replaces the initializers of the learner's layers too: Gluon gives them to this one to use.
    """

    def __init__(self, generator):
        super().__init__()
        self._generator = generator

    def __call__(self, desc, arr):
        arr[:] = array(_values(str(desc), arr.shape, self._generator))


def _values(name, shape, generator):
    """Values that tell the operations apart: no statistics of 0 and 1, no scales of 1, no biases of 0."""
    if re.search('gamma$|var(iance)?$', name):
        values = generator.uniform(0.5, 2.0, shape)
        if name.endswith('gamma'):  # of both signs: else a maximum could change places with BN
            values *= numpy.where(numpy.arange(values.size).reshape(shape) % 2, -1, 1)
    elif name.endswith(('beta', 'mean', 'bias')):
        values = generator.normal(0, 0.5, shape)
    else:
        values = generator.normal(0, 1.5 / numpy.sqrt(max(numpy.prod(shape[1:]), 1)), shape)
    return values.astype('float32')


def array(values, dtype='float32'):
    """An array of the array mode that is on."""
    return arrays.array(values, dtype)


def images(*shape, seed=0):
    """Inputs, the same at each call: of both signs, no two alike."""
    return numpy.random.RandomState(seed).normal(0.3, 1, shape).astype('float32')


def fill(block, X, text, hints=(), axes=4):
    """Initialize the learner's block, run it once on the NumPy array `X`, and give its parameters telling values.

    Returns the output as a NumPy array, from before the values changed; of use for its shape, which has `axes` axes.
    """
    generator = numpy.random.RandomState(1)
    params = call(text, block.collect_params)
    call(f'{text}.initialize()', block.initialize, _KnownValues(generator), force_reinit=True)
    call(f'{text}.hybridize(False)', block.hybridize, False)  # a cached graph would not call its parts
    used = _USED[block] = {}
    hooks = [part.register_forward_pre_hook(lambda part, _: used.setdefault(id(part), len(used)))
             for part in walk(block)]
    Y = run(block, X, text, hints)
    for hook in hooks:
        hook.detach()
    if axes and Y.ndim != axes:
        raise CheckFailed(f'{text}, given an input of shape {X.shape}, returns shape {Y.shape}; it should have {axes} '
                          f'axes, {"(N, C, H, W)" if axes == 4 else "(N, features)"}. Which layer adds some or '
                          'takes some away?')
    for parameter in params.values():
        if parameter._data is not None:
            parameter.set_data(array(_values(parameter.name, parameter.shape, generator)))
    mx.nd.waitall()
    return Y


def unused(block):
    """Layers whose parameters no call has needed: their shapes are still unknown."""
    return [part for part in walk(block)
            if any(parameter._data is None for parameter in part._reg_params.values())]


def run(block, X, text, hints=(), train=False):
    """The output of the learner's block for the NumPy array `X`, as a NumPy array."""
    given = array(X)
    what = f'{text}, given an input of shape {X.shape},'

    def forward():
        with (autograd.train_mode if train else autograd.predict_mode)():
            Y = block(given)
            return Y, Y.asnumpy() if isinstance(Y, mx.nd.NDArray) else None

    Y, values = call(what, forward, hints=hints)
    mx.nd.waitall()
    require_array(Y, what, type(block))
    if given.shape != X.shape or not numpy.array_equal(given.asnumpy(), X):
        raise CheckFailed(f'{what} changes the input that it was given{_changing_line(block)}. Whoever called it '
                          'still needs that array. Can you make a new one (X = X + Y, np.concatenate([X, Y], axis=1)) '
                          'instead of writing into X?')
    return values


def require_array(Y, what, kind):
    where = place_of(kind.hybrid_forward if getattr(kind, 'hybrid_forward', None) not in
                     (None, HybridBlock.hybrid_forward) else kind.forward)
    require_one(Y, what, where, '. Does forward end with `return`, at the indentation of its loop and not inside '
                'something else?',
                '. It should return one array. Which one, or are they still to be concatenated?')
    if isinstance(Y, numpy.ndarray):
        raise CheckFailed(f'{what} returns a NumPy array{where}. No gradient can come back through it. Can you stay '
                          f'with arrays of MXNet ({"mx.np" if is_np_array() else "mx.nd"}), without asnumpy()?')
    if not isinstance(Y, mx.nd.NDArray):
        raise CheckFailed(f'{what} should return an array and returns {shown(Y)}{where}.')
    if isinstance(Y, mx.np.ndarray) != is_np_array():
        found, wanted = ('mx.np', 'mx.nd') if isinstance(Y, mx.np.ndarray) else ('mx.nd', 'mx.np')
        raise CheckFailed(f'{what} returns an {found} array while its input is an {wanted} array{where}. Can you use '
                          f'the functions of {wanted} throughout?')


def _changing_line(block):
    """The line of the learner's forward that looks as if it writes into its input."""
    kind = type(block)
    for method in (kind.forward, getattr(kind, 'hybrid_forward', None)):
        try:
            lines, first = inspect.getsourcelines(method)
        except (OSError, TypeError):
            continue
        if not place_of(method):
            continue
        for i, line in enumerate(lines):
            if re.search(r'[-+*/]=|\]\s*=[^=]|\bout\s*=', line):
                name = place_of(method)[2:].rsplit(', line', 1)[0]
                return f', at {name}, line {first + i}: `{line.strip()}`'
    return ''


def require_shape(got, want, given, text, reasons):
    """Compare shapes; `reasons` is a list of (condition, hint), of which the first that holds is given."""
    if tuple(got) == tuple(want):
        return
    hint = next((hint for holds, hint in reasons if holds), 'Which of your layers changes it so?')
    raise CheckFailed(f'{text}, given an input of shape {tuple(given)}, returns shape {tuple(got)}; it should be '
                      f'{tuple(want)}. {hint}')


def require_gradient(block, X, text):
    """The gradient must reach the input and every trained parameter."""
    given = array(X)
    given.attach_grad()
    weight = array(images(*run(block, X, text).shape, seed=5))

    def backward():
        with autograd.record():
            Y = (block(given) * weight).sum()
        Y.backward()
        return given.grad.asnumpy()

    at_input = call(f'{text}, trained,', backward)
    mx.nd.waitall()
    hint = 'Is there an asnumpy(), a detach(), or an array made again from values in forward?'
    if not numpy.abs(at_input).max() > 0:
        raise CheckFailed(f'No gradient reaches the input of {text}. {hint}')
    for parameter in block.collect_params().values():
        # Only weights: after a bias, batch normalization takes the gradient away.
        trained = parameter.grad_req != 'null' and parameter.name.endswith('weight')
        if trained and not numpy.abs(parameter.grad().asnumpy()).max() > 0:
            raise CheckFailed(f'No gradient reaches the parameter {parameter.name} of {text}: it would never be '
                              f'trained. {hint}')


def require_hybrid(block, X, Y, text):
    """A HybridBlock must give the same when it is hybridized."""
    if not isinstance(block, HybridBlock):
        return
    block.hybridize()
    again = run(block, X, f'{text}, after hybridize()', [
        ('must have NDArray type|Symbol|operator can only accept|can only accept',
         'In hybrid_forward take every function from F (F.np.concatenate in np mode, F.concat in nd mode), and use '
         'no shapes and no values of X.')])
    block.hybridize(False)
    if not same(again, Y):
        raise CheckFailed(f'{text} gives other values after hybridize(). What in hybrid_forward is decided in Python, '
                          'once and for all?')


def same(a, b):
    """Whether two NumPy arrays hold the same numbers, up to rounding."""
    return a is not None and b is not None and a.shape == b.shape and bool(numpy.isfinite(a).all()) and bool(
        numpy.abs(a - b).max() <= _TOLERANCE * max(numpy.abs(b).max(), 1e-3))


# The same operations in NumPy, with the learner's parameters.

def parts(block):
    """What `block` can learn, in the order of use: lists of the parameters of its convolutions, batch normalizations
    and dense layers, each a dict of NumPy arrays, whatever their names and whoever wrote the layer."""
    mx.nd.waitall()
    convs, norms, denses = [], [], []
    used = _USED.get(block, {})
    for part in sorted(walk(block), key=lambda part: used.get(id(part), len(used))):
        values, vectors = _weights_and_vectors(part)
        norm = None
        if 'mean' in vectors or 'gamma' in vectors or len(vectors) == 2 and not values:
            norm = _norm(part, vectors)
        for weight in values:
            (convs if weight.ndim == 4 else denses).append({'weight': weight, 'bias': vectors.get('bias'),
                                                            'layer': part})
        if norm:
            norms.append(norm)
    return convs, norms, denses


_ROLES = (('mean', 'mean'), ('var', 'var'), ('gamma', 'gamma|scale'), ('beta', 'beta|shift|offset'),
          ('bias', 'bias|^b$'))


def _weights_and_vectors(part):
    """The kernels and matrices of one layer, and {role: values} of what has one value for each channel."""
    found = {name: parameter.data() for name, parameter in part._reg_params.items()
             if isinstance(parameter, Parameter) and parameter._data is not None}
    # Running statistics may be plain arrays.
    found.update((name, value) for name, value in vars(part).items()
                 if isinstance(value, mx.nd.NDArray) and re.search('mean|var', name))
    values, vectors = [], {}
    for name, value in found.items():
        role = next((role for role, names in _ROLES if re.search(names, name)), None)
        if value.ndim in (2, 4) and (value.size > max(value.shape) or re.search('weight|kernel|filter|^w', name)):
            values.append(value.asnumpy())
        else:
            vectors[role or name] = value.asnumpy().ravel()
    return values, vectors


def _norm(part, vectors):
    statistics = {role: vectors.pop(role, None) for role in ('mean', 'var')}
    if 'gamma' not in vectors:  # other names: by custom the scale comes first
        vectors = dict(zip(('gamma', 'beta'), vectors.values()))
    gamma = vectors.get('gamma', numpy.ones(1, 'float32'))
    if getattr(part, '_kwargs', {}).get('fix_gamma'):
        gamma = numpy.ones_like(gamma)
    size = max(gamma.shape, *(value.shape for value in statistics.values() if value is not None))
    return {'gamma': numpy.broadcast_to(gamma, size),
            'beta': numpy.broadcast_to(vectors.get('beta', numpy.zeros(1, 'float32')), size), 'layer': part,
            **{role: value if value is None else numpy.broadcast_to(value, size) for role, value in statistics.items()}}


def conv(x, part, stride=1, pad=None):
    """Convolution that by default keeps the size (odd kernels), or divides it by the stride."""
    weight, bias = part['weight'], part['bias']
    if weight.shape[1] != x.shape[1]:
        return None
    pads = [side // 2 if pad is None else pad for side in weight.shape[2:]]
    x = numpy.pad(x, [(0, 0), (0, 0), *((side, side) for side in pads)])
    windows = numpy.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    y = numpy.einsum('nchwij,kcij->nkhw', windows[:, :, ::stride, ::stride], weight, optimize=True)
    return y if bias is None else y + bias[:, None, None]


def norm(x, part, train=False):
    """Batch normalization with the running statistics, or with those of the batch."""
    if part['gamma'].shape != (x.shape[1],) or part['mean'] is None:
        return None
    axes = (0, *range(2, x.ndim))
    mean, var = (x.mean(axes), x.var(axes)) if train else (part['mean'], part['var'])
    wide = (slice(None), *[None] * (x.ndim - 2))
    return (x - mean[wide]) / numpy.sqrt(var[wide] + 1e-5) * part['gamma'][wide] + part['beta'][wide]


def pool(x, how, size=2, stride=2):
    if min(x.shape[2:]) < size:
        return None
    windows = numpy.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
    return windows.mean((-2, -1)) if how == 'avg' else windows.max((-2, -1))


ACTIVATIONS = {
    'ReLU': lambda x: numpy.maximum(x, 0), 'sigmoid': lambda x: 1 / (1 + numpy.exp(-x)), 'tanh': numpy.tanh,
    'softplus': lambda x: numpy.log1p(numpy.exp(x)), 'softsign': lambda x: x / (1 + numpy.abs(x)),
    'leaky ReLU (0.01)': lambda x: numpy.where(x > 0, x, 0.01 * x),
    'leaky ReLU (0.1)': lambda x: numpy.where(x > 0, x, 0.1 * x),
    'leaky ReLU (0.2)': lambda x: numpy.where(x > 0, x, 0.2 * x),
    'GELU': lambda x: 0.5 * x * (1 + numpy.tanh(0.7978846 * (x + 0.044715 * x ** 3))),
    'Swish': lambda x: x / (1 + numpy.exp(-x)),
    'ELU': lambda x: numpy.where(x > 0, x, numpy.exp(numpy.minimum(x, 0)) - 1)}


def apply(steps, x, operations):
    """`x` after the named operations, or None where one does not fit."""
    with numpy.errstate(all='ignore'):
        for step in steps:
            x = operations[step](x)
            if x is None:
                return None
    return x


def sequences(right, operations, everything=True):
    """Orders of operations that a learner may have written instead of `right`, the likeliest first."""
    yield tuple(right)
    for length in range(len(right) - 1, 0, -1):  # something left out
        yield from itertools.combinations(right, length)
    for i, step in enumerate(right):  # another activation
        if step == 'ReLU':
            for other in ACTIVATIONS:
                yield (*right[:i], other, *right[i + 1:])
    for place in range(len(right) + 1):  # a ReLU too many
        yield (*right[:place], 'ReLU', *right[place:])
    if everything:
        for length in range(len(right), 0, -1):  # another order, with or without all of them
            yield from itertools.permutations(right, length)
        for order in itertools.permutations(right):
            for place in range(len(right) + 1):
                yield (*order[:place], 'ReLU', *order[place:])


def identify(x, y, right, operations, **kwargs):
    """The operations in the order in which `x` becomes `y`: `right` if they are, another order, or None."""
    operations = {**ACTIVATIONS, **operations}
    found = next((steps for steps in sequences(right, operations, **kwargs)
                  if same(apply(steps, x, operations), y)), None)
    if found == tuple(right):  # a slope of 0.01 is within the tolerance, too: which of the two is nearer?
        def error(steps):
            return numpy.abs(apply(steps, x, operations) - y).max()

        leaky = itertools.product(*([step, 'leaky ReLU (0.01)'] if step == 'ReLU' else [step] for step in right))
        nearest = min(leaky, key=error)
        found = nearest if 10 * error(nearest) < error(found) else found
    return found


def require_order(found, right, text, why):
    """`CheckFailed` if the operations that `identify` found are not the right ones."""
    if found == tuple(right):
        return
    should = ', '.join(right)
    if found is None:
        raise CheckFailed(f'{text} has the right shape, but its values are not those of {should} with your own '
                          'parameters. What else does it do, or what does it leave out?')
    missing = list((_count(right) - _count(found)).elements())
    extra = list((_count(found) - _count(right)).elements())
    if extra and missing:
        hint = (f'It has {" and ".join(extra)} instead of {" and ".join(missing)}. Which of the '
                'two does the paper have?')
    elif len(set(missing)) < len(missing):
        hint = f'Where is each {missing[0]}?'
    elif missing:
        hint = f'Where is the {" and the ".join(missing)}?'
    elif extra:
        hint = f'What is the second {extra[0]} for?' if extra[0] in right else f'What is the {extra[0]} for?'
    else:
        hint = why
    raise CheckFailed(f'{text} computes {", ".join(found)}, in this order; it should compute {should}. {hint}')


def _count(steps):
    return collections.Counter(step.split(' (', 1)[0] if step.startswith('BN') else step for step in steps)


def layer_names(block):
    """The layers of `block` that hold no others, for a message."""
    return ', '.join(type(part).__name__ for part in walk(block) if not part._children) or 'no layer'

