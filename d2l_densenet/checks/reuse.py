"""Checks of what notebook 08 does with a trained dense block: its weights by source, and cut connections."""

import mxnet as mx
import numpy

from .. import blocks
from . import _blocks as look
from ._answers import known_mistake
from ._compare import plain
from ._guard import CheckFailed, call, check, place_of, shown


def _block(num_convs, num_channels, in_channels):
    """A dense block of the package with known weights."""
    block = blocks.DenseBlock(num_convs, num_channels)
    look.fill(block, look.images(1, in_channels, 4, 4), 'the block')
    return block


def _values_of(block):
    mx.nd.waitall()
    return {name: p.data().asnumpy() for name, p in block._collect_params_with_prefix().items()}


def _weights(block):
    mx.nd.waitall()
    return [layer[2].weight.data().asnumpy() for layer in block.net]


def _source(c, k, s):
    """The channels that source s made: 0 is the block's input."""
    return slice(0, c) if s == 0 else slice(c + (s - 1) * k, c + s * k)


def _table(measure, weights, c, k, source=_source):
    L = len(weights)
    out = numpy.full((L, L), numpy.nan)
    for i, weight in enumerate(weights):
        for s in range(i + 1):
            part = weight[:, source(c, k, s)]
            out[i, s] = measure(part) if part.size else numpy.nan
    return out


def _mean(w):
    return numpy.abs(w).mean()


@check
def mean_absolute_weights(f):
    """Check the table behind the paper's Figure 5: how much each layer's convolution weighs each source.

    Parameters
    ----------
    f : callable
        ``f(block)``, with a `DenseBlock` of the package (layer l is ``block.net[l - 1]``, its convolution
        ``block.net[l - 1][2]``), returns a NumPy array (num_layers, num_layers). Row l - 1, column s: the mean of the
        absolute weights of layer l's convolution on the channels that source s made; source 0 is the block's input,
        source s the output of layer s. Where s >= l there is no connection: NaN or 0.

    Raises
    ------
    CheckFailed
    """
    name = look.require_callable(f)
    look.require_signature(f, name, ['block'], [None])
    answers, cases, texts = [], [], []
    for L, k, c in ((4, 3, 5), (2, 6, 2)):
        block = _block(L, k, c)
        before, text = _values_of(block), f'{name}(block), given a DenseBlock({L}, {k}) on {c} channels,'
        texts.append(text)
        value = call(text, f, block, hints=[
            (r'list index|index .* out of|IndexError', f'The block has {L} layers, block.net[0] to block.net[{L - 1}], '
             'and layer l reads l sources. Which index goes too far?'),
            (r"has no attribute '(abs|mean|numpy|asnumpy)'|type for abs\(\): 'Parameter'|'Parameter' object is not sub",
             'A Parameter is not an array: its data() gives the values, and asnumpy() of that a NumPy array.')])
        if any(not numpy.array_equal(a, b) for a, b in zip(before.values(), _values_of(block).values())):
            raise CheckFailed(f'{text} changes the weights of the block{place_of(f)}. Can you work on a copy '
                              '(data().asnumpy() is one)?')
        answers.append(_square(value, L, text, f))
        cases.append((_weights(block), c, k))
    wrong = [found for found in zip(answers, (_table(_mean, *case) for case in cases), texts)
             if not _alike(*found[:2])]
    if not wrong:
        return 'mean_absolute_weights: two blocks, each layer by source. Correct.'
    hint = known_mistake(answers, cases, _WRONG_TABLES, _alike)
    mine, right, text = wrong[0]
    L = len(right)
    below = [(i, s) for i in range(L) for s in range(i + 1) if not _equal(mine[i, s], right[i, s])]
    above = [(i, s) for i in range(L) for s in range(i + 1, L) if mine[i, s] and not numpy.isnan(mine[i, s])]
    i, s = (below or above)[0]
    if s > i:
        raise CheckFailed(f'{text} says {mine[i, s]:.4g} in row {i}, column {s}; it should be NaN or 0. Layer '
                          f'{i + 1} does not read source {s}, which is computed later. What fills this half?')
    hint = hint or ('It is on the diagonal: layer l reads sources 0 to l - 1.' if numpy.isnan(mine[i, s]) else
                    f'Which channels of block.net[{i}][2].weight (axis 1) did source {s} make?')
    raise CheckFailed(f'{text} says {mine[i, s]:.4g} in row {i}, column {s} (layer {i + 1}, source {s}); it should be '
                      f'{right[i, s]:.4g}. {hint}')


def _square(value, L, text, f):
    where = place_of(f)
    if value is None:
        raise CheckFailed(f'{text} returns None{where}; it should return the table. Did you forget `return`?')
    if isinstance(value, mx.nd.NDArray):
        value = value.asnumpy()
    elif isinstance(value, (list, tuple)):
        rows = [plain(row) for row in value]
        if len({len(row) if isinstance(row, tuple) else 0 for row in rows}) > 1:
            raise CheckFailed(f'{text} returns rows of different lengths{where}; each needs {L} numbers. Can you fill '
                              'up with numpy.nan where there is no connection?')
        value = numpy.array(rows)
    if not isinstance(value, numpy.ndarray) or value.dtype.kind not in 'fiu':
        raise CheckFailed(f'{text} should return an array of numbers and returns {shown(value)}{where}.')
    if value.shape != (L, L):
        hint = ('The last layer is not a source for any layer of the block: is a column too many?'
                if value.shape in ((L, L + 1), (L + 1, L + 1)) else
                'Are rows and columns one less than the layers?' if value.shape == (L - 1, L - 1) else
                'Is the mean taken over all sources at once?' if value.shape in ((L,), (L, 1)) else
                'One row for each layer, one column for each source: which are too many or missing?')
        raise CheckFailed(f'{text} returns shape {value.shape}{where}; it should be {(L, L)}. {hint}')
    return value.astype(float)


def _equal(a, b):
    return bool(numpy.isnan(a) and numpy.isnan(b) or abs(a - b) <= 1e-4 * max(abs(b), 1e-6))


def _alike(mine, right):
    """The same numbers, 0 and NaN being one above the diagonal."""
    if mine.shape != right.shape:
        return False
    return bool(numpy.allclose(numpy.nan_to_num(mine), numpy.nan_to_num(right), rtol=1e-4, atol=1e-8))


def _changed_rows(change):
    """The right table with each row changed."""
    def table(weights, c, k):
        return numpy.array([change(row) for row in _table(_mean, weights, c, k)])
    return table


def _table_of(measure, source=_source):
    return lambda weights, c, k: _table(measure, weights, c, k, source)


_WRONG_TABLES = [
    (_table_of(numpy.mean), 'The signs cancel each other: where is the absolute value?'),
    (_table_of(lambda w: abs(w.mean())), 'First the absolute value, then the mean: else the signs cancel each other.'),
    (_table_of(lambda w: numpy.abs(w).sum()),
     'That is the sum. Sources have different numbers of channels: where is the mean?'),
    (_table_of(lambda w: numpy.abs(w).sum((2, 3)).mean()),
     'The nine weights of a kernel are added up. Is the mean taken over them too?'),
    (_table_of(lambda w: numpy.abs(w).sum((1, 2, 3)).mean()),
     'The mean is over the output channels only. Is it taken over all four axes?'),
    (_table_of(lambda w: numpy.sqrt((w ** 2).mean())),
     'That is the root of the mean square. The paper takes the mean of the absolute values.'),
    (_table_of(lambda w: (w ** 2).mean()), 'Those are squares. Where is the absolute value?'),
    (_table_of(lambda w: numpy.sqrt((w ** 2).sum())), 'That is the Euclidean norm. Where is the mean of the '
                                                  'absolute values?'),
    (_table_of(lambda w: numpy.abs(w).max()), 'That is the largest. Where is the mean?'),
    (_table_of(lambda w: numpy.median(numpy.abs(w))), 'That is the median. Where is the mean?'),
    (_table_of(numpy.std), 'That is the standard deviation. Where is the mean of the absolute values?'),
    (lambda weights, c, k: _table(_mean, weights, c, k).T, 'Rows and columns are swapped: a row is a layer, a column '
     'is a source.'),
    (_table_of(_mean, lambda c, k, s: slice(s * k, (s + 1) * k)),
     "Source 0 is the block's input and has its own number of channels, not k. Where do the channels of source 1 "
     "begin?"),
    (_table_of(_mean, lambda c, k, s: slice(c + s * k, c + (s + 1) * k)), "Source 0 is the block's input, source 1 the "
     'first layer. Are you one source too far?'),
    (_table_of(_mean, lambda c, k, s: slice(s * c, (s + 1) * c)),
     "Each source but the block's input has k channels. How wide is your slice?"),
    (_table_of(_mean, lambda c, k, s: slice(0, c + s * k)), 'That is source s with all before it. Where does its '
                                                        'slice begin?'),
    (_table_of(_mean, lambda c, k, s: slice(0 if s == 0 else c + (s - 1) * k, None)),
     'That is source s with all after it. Where does its slice end?'),
    (_changed_rows(lambda row: row / numpy.nanmax(row)),
     'Each row is divided by its largest value. The paper does that for its picture; here the values themselves are '
     'wanted.'),
    (_changed_rows(lambda row: row / numpy.nansum(row)), 'Each row is divided by its sum. Here the values themselves '
                                                 'are wanted.'),
    (_changed_rows(lambda row: numpy.where(numpy.isnan(row), row, row[::-1][numpy.isnan(row).sum():].tolist()
                                   + [numpy.nan] * int(numpy.isnan(row).sum()))), 'The sources are in reverse order: '
     "the first channels are the block's input."),
    (lambda weights, c, k: _table(_mean, [w.transpose(1, 0, 2, 3) for w in weights], c, k), 'The weight has the shape '
     '(channels out, channels in, 3, 3). Along which axis is the source?'),
    (lambda weights, c, k: numpy.array([[_mean(w[:, _source(c, k, s)]) if s <= i else 0 for s in range(len(weights))]
                                        for i, w in enumerate([*weights[1:], weights[0]])]), 'The rows are those of '
     'other layers: layer l is block.net[l - 1]. Are you one off?'),
]


@check
def cut_connection(f):
    """Check a function that cuts one connection of a dense block.

    Parameters
    ----------
    f : callable
        ``f(block, source, layer)`` sets the weights of layer `layer`'s convolution (1 to L; it is
        ``block.net[layer - 1][2]``) on the channels that source `source` made (0: the block's input, s: layer s) to
        zero, in the block itself, and nothing else. What it returns does not matter.

    Raises
    ------
    CheckFailed
    """
    name = look.require_callable(f)
    look.require_signature(f, name, ['block', 'source', 'layer'], range(3))
    L, k, c = 4, 6, 2
    for source, layer in ((0, 3), (1, 4), (2, 3), (0, 1), (3, 4)):
        block = _block(L, k, c)
        before = _values_of(block)
        text = f'{name}(block, source={source}, layer={layer})'
        call(text, f, block, source, layer, hints=[
            (r'list index|index .* out of|IndexError', f'The layers are 1 to {L}, and block.net[0] to '
                                                       f'block.net[{L - 1}] '
             'in Python. Is there a - 1 missing?'),
            (r'broadcast|shape|Shape', 'set_data wants an array of the shape of the whole weight. What shape '
                                       'has yours?'),
            (r'assignment destination is read-only|read-only', 'asnumpy() gives a copy for reading. Work on '
             '.copy(), and write it back with set_data.'),
            (r"'Parameter' object (is not subscriptable|does not support)", 'A Parameter is not an array: '
             'weight.data() gives its values, weight.set_data(...) writes them.')])
        after = _values_of(block)
        _require_cut(before, after, source, layer, (L, k, c), text)
    return 'cut_connection: five connections cut, all other weights untouched. Correct.'


def _require_cut(before, after, source, layer, sizes, text):
    L, k, c = sizes
    if list(before) != list(after) or any(before[n].shape != after[n].shape for n in before):
        raise CheckFailed(f'After {text} the block has other layers or shapes. Only numbers should change: can you use '
                          'set_data on the weight?')
    changed = {name: before[name] != after[name] for name in before if (before[name] != after[name]).any()}
    right = f'net.{layer - 1}.2.weight'
    channels = _source(c, k, source)
    wanted = (f'the weights of layer {layer} on channels {channels.start} to {channels.stop - 1}, which source '
              f'{source} made')
    if not changed:
        raise CheckFailed(f'{text} changes nothing in the block; it should set {wanted}, to zero. Do you work on a '
                          'copy (asnumpy() is one), without writing it back with set_data?')
    others = [name for name in changed if not name.endswith('2.weight')]
    if others:
        kind = ('the bias of a convolution' if others[0].endswith('bias') else 'batch normalization')
        raise CheckFailed(f'{text} changes {kind} ({others[0]}); it should set {wanted}, to zero, and nothing else. '
                          'What belongs to this one connection?')
    layers = [int(name.split('.')[1]) + 1 for name in changed]
    mask = numpy.zeros(before[right].shape, bool)
    mask[:, channels] = True
    if len(layers) > 1:
        raise CheckFailed(f'{text} changes layers {", ".join(map(str, layers))}; it should change layer {layer} alone. '
                          'Other layers read this source through connections of their own. Is there a loop too many?')
    if layers != [layer]:
        raise CheckFailed(f'{text} changes the weights of layer {layers[0]}; it should be layer {layer}. Layers count '
                          'from 1, Python from 0: is it block.net[layer - 1]?')
    where = changed[right]
    if (after[right][where] != 0).any():
        raise CheckFailed(f'{text} gives the weights other values than zero, such as '
                          f'{after[right][where].ravel()[0]:.4g}. What should a connection weigh that is not there?')
    if numpy.array_equal(where, mask):
        return
    found = sorted(set(numpy.nonzero(where)[1].tolist()))
    rows = sorted(set(numpy.nonzero(where)[0].tolist()))
    part = '' if len(rows) == k and where[:, found].all() else 'some of the weights on '
    seen = f'{text} sets {part}channels {_ranges(found)} of layer {layer} to zero; it should be all of {wanted}.'
    if len(found) == mask.shape[1] and len(rows) == k and where.all():
        hint = 'The whole layer is cut off. Which of its input channels belong to the source?'
    elif len(rows) < k:
        hint = ('The weight has the shape (channels out, channels in, 3, 3). Is the source on axis 1?'
                if len(found) == mask.shape[1] else 'All output channels should be cut off from the source, '
                                                    'with [:, ...].')
    elif not where[:, found].all():
        hint = 'All nine weights of each kernel belong to the connection.'
    elif found == list(range(source * k, (source + 1) * k)):
        hint = "Source 0 is the block's input and has its own number of channels, not k. Where does this source begin?"
    elif any(found == list(range(mask.shape[1]))[_source(c, k, s)] for s in (source - 1, source + 1) if s >= 0):
        hint = "You are one source off: source 0 is the block's input, source 1 the first layer."
    elif found[0] == channels.start and found[-1] == mask.shape[1] - 1:
        hint = 'Where does its slice end?'
    elif found[0] == 0 and found[-1] == channels.stop - 1:
        hint = 'Where does its slice begin?'
    elif source == 0:
        hint = f'How many channels does the input of the block have? Here {c}, and layer 1 reads all of them.'
    else:
        hint = f'The input has {c} channels, each layer {k}. Where does source {source} begin, where does it end?'
    raise CheckFailed(f'{seen} {hint}')


def _ranges(numbers):
    """``[0, 1, 2, 5]`` as ``'0 to 2, 5'``."""
    runs = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ', '.join(f'{a} to {b}' if a != b else str(a) for a, b in runs)
