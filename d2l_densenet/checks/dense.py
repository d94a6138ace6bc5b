"""Checks of the dense block, and of dense connections between fully connected layers."""

import re

import numpy

from . import _blocks as look
from ._guard import CheckFailed, check
from .layers import CONV, LAYER_HINTS

_RIGHT = ('BN', 'ReLU', CONV)


@check
def dense_block(cls):
    """Check a dense block: each conv_block reads the input and all earlier outputs (section 3).

    Parameters
    ----------
    cls : type or callable
        ``cls(num_convs, num_channels)`` gives a Gluon block. **Inputs:** (N, C, H, W).
        **Outputs:** (N, C + num_convs * num_channels, H, W), the input first.

    Raises
    ------
    CheckFailed
    """
    for L, k, X in ((4, 10, look.images(2, 5, 8, 6)), (2, 4, look.images(3, 7, 5, 9))):
        block, text = look.build(cls, {'num_convs': L, 'num_channels': k}, LAYER_HINTS)
        Y = look.fill(block, X, text, _CONCATENATION_HINTS)
        n, c, height, width = X.shape
        _require_convs(block, text, L, k, c, Y)
        convs, norms, _ = look.parts(block)
        want = c + L * k
        grows = all(part['weight'].shape[1] == c + k * i for i, part in enumerate(convs))
        got = Y.shape[1]
        should = f'it should return {c} + {L} x {k} = {want}'
        if Y.shape[0] != n or got == want and Y.shape[2:] != (height, width):
            look.require_shape(Y.shape, (n, want, height, width), X.shape, text, [
                (Y.shape[0] != n, 'The batch has grown: along which axis do you concatenate? Channels are axis 1.'),
                (Y.shape[2:] == (height - 2, width - 2), 'Did you forget padding=1?'),
                (True, 'Height and width should stay as they are. Along which axis do you concatenate, and does the '
                 'convolution pad by 1?')])
        if got == c and want != c:
            raise CheckFailed(f'{text} returns {c} channels, as many as came in; {should}. Does forward keep the '
                              'concatenation (X = ...), and return it?')
        if got == L * k and grows:
            raise CheckFailed(f'{text} returns {got} channels; {should}. Those are the new features alone: did you '
                              'concatenate the input?')
        if got == k and grows:
            raise CheckFailed(f'{text} returns {got} channels; {should}. Those are the features of the last layer '
                              'alone. Which variable holds the concatenation of all?')
        if got == k:
            raise CheckFailed(f'{text} returns {got} channels; {should}: did you concatenate the input? Each layer '
                              'reads only the one before, as in a plain chain. Where is the concatenation?')
        if got == c + k and L > 1:
            raise CheckFailed(f'{text} returns {got} channels; {should}. Only one layer was joined to the input. Does '
                              'each turn of the loop continue from the concatenation of the turn before?')
        if got != want:
            look.require_shape(Y.shape, (n, want, height, width), X.shape, text, [
                (got == 2 * want, 'Everything is there twice. What do you concatenate in each turn?'),
                (got > want, f'That is more than {c} + {L} x {k}: is something concatenated more '
                 'than once, such as the input in each turn?'),
                (True, f'That is not {c} + {L} x {k}. Which features are missing in what you return?')])
        _require_reading(convs, c, k, text)
        Y = look.run(block, X, text, _CONCATENATION_HINTS)
        _require_first(X, Y, c, text)
        _require_composites(Y, convs, norms, c, k, text)
        _require_training(block, X, Y, norms, convs, c, k, text)
        look.require_hybrid(block, X, Y, text)
        look.require_gradient(block, X, text)
    return 'dense block: C + L x k channels, the input first, each layer reads everything before it. Correct.'


def _concatenation_hint(source):
    """The hint for a concatenation that fails, after a look at how the learner wrote it."""
    written = re.search(r'(?:axis\s*=|dim\s*=|[])],)\s*(-?\d)\b', source)
    place = int(written.group(1)) if written else None
    if place not in (None, 1):
        meaning = {0: ', which is the batch', 2: ', the height', 3: ', the width', -1: ', the last one'}.get(place, '')
        return f'You concatenate along axis {place}{meaning}. Which axis are the channels (or features)?'
    if place is None and 'concatenate' in source:
        return ('np.concatenate without axis= joins along axis 0, which is the batch. Which axis are the channels (or '
                'features)?')
    if not source:
        return ('Along which axis do you concatenate? The channels (or features) are axis 1. And does the convolution '
                'keep the size (padding=1)?')
    return 'Their heights and widths differ. Does the convolution keep the size: is padding=1 there, and no stride?'


def _axes_hint(source):
    """The hint for an array with another number of axes."""
    if 'stack' in source:
        return 'np.stack makes a new axis; np.concatenate joins along one that is there. Which do you want?'
    return 'An array has another number of axes than its layer takes. Is it the right kind of layer for this input?'


_CONCATENATION_HINTS = [
    (r'Incompatible input shape', _concatenation_hint),
    (r'ndim\(\)|4D|new and old shape', _axes_hint),
    (r'could not be broadcast|elemwise', 'You add the two, as ResNet does. DenseNet puts them side by side: which '
     'function does that?'),
    *LAYER_HINTS]


def _require_convs(block, text, L, k, c, Y):
    """As many convolutions as asked for, all of them used."""
    convs, norms, _ = look.parts(block)
    widths = [part['weight'].shape[0] for part in convs]
    forgotten = [part for part in look.unused(block) if getattr(part, 'weight', None) is not None]
    if forgotten:
        total = len(convs) + len(forgotten)
        raise CheckFailed(f'{text} has {total} convolutions, and forward used {len(convs)} of them: it returned '
                          f'{Y.shape[1]} channels where {c} + {L} x {k} = {c + L * k} are wanted. Does the loop run '
                          'over all layers, with the return after it and not inside?')
    if not convs:
        raise CheckFailed(f'{text} has no convolution; its layers: {look.layer_names(block)}. Does __init__ add '
                          f'{L} conv_blocks to a nn.Sequential?')
    if len(convs) == k and set(widths) == {L}:
        raise CheckFailed(f'{text} has {k} convolutions of {L} channels; it should have {L} of {k}. (Both give '
                          f'{L * k} new channels.) Are num_convs and num_channels swapped?')
    if len(convs) == 1 and L > 1:
        raise CheckFailed(f'{text} has one convolution; it should have {L}. Is the line that adds the conv_block '
                          'inside the loop?')
    if len(convs) != L:
        hint = ({-1: f'Does the loop run over range({L})? It seems to stop one too early.',
                 1: f'Does the loop run over range({L})? It seems to run one time too many.'}.get(len(convs) - L) or
                'Is the number written into the code where num_convs should stand?')
        raise CheckFailed(f'{text} has {len(convs)} convolutions; it should have num_convs = {L}. {hint} It returns '
                          f'{Y.shape[1]} channels instead of {c} + {L} x {k} = {c + L * k}.')
    if set(widths) != {k}:
        raise CheckFailed(f'The convolutions of {text} make {", ".join(map(str, widths))} channels; each should make '
                          f'num_channels = {k}. Does the conv_block get num_channels, and nothing that grows?')
    kernels = {part['weight'].shape[2:] for part in convs}
    if kernels != {(3, 3)}:
        raise CheckFailed(f'The convolutions of {text} have kernels of '
                          f'{", ".join(f"{a}x{b}" for a, b in sorted(kernels))}; they should be 3x3. What does '
                          'kernel_size say in your conv_block?')
    if not norms:
        raise CheckFailed(f'{text} has no batch normalization. Is your conv_block BN, ReLU, 3x3 convolution? '
                          '(checks.conv_block looks at it alone.)')
    if len(norms) != L:
        raise CheckFailed(f'{text} has {len(norms)} batch normalizations; it should have {L}, one before each '
                          'convolution. Does each conv_block have exactly one?')


def _require_reading(convs, c, k, text):
    """Layer l reads c + k (l - 1) channels."""
    reads = [part['weight'].shape[1] for part in convs]
    right = [c + k * i for i in range(len(convs))]
    if reads == right:
        return
    l = next(i for i, (a, b) in enumerate(zip(reads, right)) if a != b)  # noqa: E741
    hint = ('Only the layer before it: where do the earlier ones come in?' if reads[l] == k else
            "The block's input is missing in it." if reads[l] == k * l else
            "The block's input and the layer before it only: where are the others?" if reads[l] == c + k else
            "It reads the block's input alone: where are the earlier layers?" if reads[l] == c else
            'What is concatenated before it?')
    raise CheckFailed(f'Layer {l + 1} of {text} reads {reads[l]} channels; it should read the input and all earlier '
                      f'layers, {c} + {l} x {k} = {right[l]}. {hint} (Read by layers 1 to {len(reads)}: '
                      f'{", ".join(map(str, reads))}; wanted: {", ".join(map(str, right))}.)')


def _require_first(X, Y, c, text, kind='channels'):
    """The first channels are the input itself."""
    if numpy.array_equal(Y[:, :c], X):
        return
    if numpy.array_equal(Y[:, -c:], X):
        raise CheckFailed(f'The last {c} {kind} of what {text} returns are the input; it should be the first. In '
                          'which order do you name the two when you concatenate: [X, Y] or [Y, X]?')
    if look.same(Y[:, :c], numpy.maximum(X, 0)):
        raise CheckFailed(f'The first {c} {kind} of what {text} returns are the input after a ReLU; they should be '
                          'the input, untouched. Is there a ReLU that is not inside a conv_block?')
    raise CheckFailed(f'The first {c} {kind} of what {text} returns should be the input itself, value by value, and '
                      'are not. Is it changed before, or is something else put in its place?')


def _layers(convs, norms, c, k):
    """The normalization and the convolution of each layer, matched by the channels that the layer reads."""
    by_width = {}
    for part in norms:
        by_width.setdefault(part['gamma'].size, part)
    for i, part in enumerate(convs):
        yield i, c + i * k, part, by_width.get(c + i * k), norms[i]


def _require_composites(Y, convs, norms, c, k, text):
    """Each layer's features are H_l of the channels before them."""
    for i, reads, part, before, own in _layers(convs, norms, c, k):
        x, y = Y[:, :reads], Y[:, reads:reads + k]
        operations = {'BN': lambda x, p=before or own: look.norm(x, p), CONV: lambda x, p=part: look.conv(x, p)}
        found = look.identify(x, y, _RIGHT, operations)
        if found is None and before is not own:  # normalization after the convolution
            found = look.identify(x, y, _RIGHT, {**operations, 'BN': lambda x, p=own: look.norm(x, p)})
        if found is None:
            others = [j for j in range(len(convs)) if j != i and look.same(
                look.apply(_RIGHT, x, {**look.ACTIVATIONS, **operations}), Y[:, c + j * k:c + (j + 1) * k])]
            if others:
                raise CheckFailed(f'The features of layer {i + 1} of {text} stand where those of layer {others[0] + 1} '
                                  'should stand. In which order do you concatenate them?')
            swapped = numpy.concatenate([x[:, c:], x[:, :c]], axis=1)
            if i and look.identify(swapped, y, _RIGHT, operations, everything=False) == _RIGHT:
                raise CheckFailed(f'Layer {i + 1} of {text} reads the earlier layers first and the input last. In '
                                  'which order do you concatenate them?')
        look.require_order(found, _RIGHT, f'Layer {i + 1} of {text}', 'It should be your conv_block: '
                           'checks.conv_block looks at it alone.')


def _require_training(block, X, Y, norms, convs, c, k, text):
    Y = look.run(block, X, text, train=True)
    for i, reads, part, before, own in _layers(convs, norms, c, k):
        h = numpy.maximum(look.norm(Y[:, :reads], before or own, train=True), 0)
        if not look.same(Y[:, reads:reads + k], look.conv(h, part).astype('float32')):
            raise CheckFailed(f'{text} is right outside of training and wrong in training, from layer {i + 1} on. Is '
                              'there a Dropout, or a BatchNorm that does not use the statistics of the batch?')


@check
def dense_mlp(cls):
    """Check dense connections between fully connected layers (exercise 5 of d2l's chapter).

    Layer l reads the input and the outputs of all earlier layers, and makes growth_rate values with a nonlinearity;
    which one, and whether before or after the fully connected layer, is free.

    Parameters
    ----------
    cls : type or callable
        ``cls(num_layers, growth_rate)`` gives a Gluon block. **Inputs:** (N, F).
        **Outputs:** (N, F + num_layers * growth_rate), the input first.

    Raises
    ------
    CheckFailed
    """
    for L, k, X in ((3, 10, look.images(6, 5)), (2, 4, look.images(3, 7))):
        block, text = look.build(cls, {'num_layers': L, 'growth_rate': k}, LAYER_HINTS)
        Y = look.fill(block, X, text, _CONCATENATION_HINTS, axes=2)
        n, c = X.shape
        want = c + L * k
        _, _, denses = look.parts(block)
        units = [part['weight'].shape[0] for part in denses]
        reads = [part['weight'].shape[1] for part in denses]
        right = [c + k * i for i in range(L)]
        if look.unused(block):
            total = len(denses) + len(look.unused(block))
            raise CheckFailed(f'{text} has {total} fully connected layers, and forward used {len(denses)} of them. '
                              'Does the loop run over all layers, with the return after it and not inside?')
        if len(denses) == k and set(units) == {L}:
            raise CheckFailed(f'{text} has {k} layers of {L} values; it should have {L} of {k}. Are num_layers and '
                              'growth_rate swapped?')
        if len(denses) != L:
            hint = ('Where is nn.Dense?' if not denses else 'Is the line that adds the layer inside the loop?'
                    if len(denses) == 1 else 'Does the loop run over range(num_layers), and is no layer added besides '
                    '(such as one for the result, which is not part of this block)?')
            raise CheckFailed(f'{text} has {len(denses)} fully connected layers; it should have num_layers = {L}. '
                              f'{hint}')
        if set(units) != {k}:
            raise CheckFailed(f'The layers of {text} make {", ".join(map(str, units))} values; each should make '
                              f'growth_rate = {k}. What is nn.Dense given?')
        grows, got = reads == right, Y.shape[1]
        look.require_shape(Y.shape, (n, want), X.shape, text, [
            (Y.shape[0] != n, 'The batch has grown: along which axis do you concatenate? Features are axis 1.'),
            (got == L * k and grows, 'Those are the new features alone: did you concatenate the input?'),
            (got == k and grows, 'Those are the features of the last layer alone. Which variable holds all?'),
            (got == k, 'That is a plain chain of layers: where is the concatenation?'),
            (got == c, 'That is as many as came in: does forward keep the concatenation, and return it?'),
            (got == c + k, 'Only one layer was joined to the input. Does each turn of the loop continue from the '
             'concatenation of the turn before?'),
            (True, f'It should be {c} + {L} x {k} = {want}. What is missing, or there twice, in what you return?')])
        if not grows:
            i = next(i for i in range(L) if reads[i] != right[i])
            raise CheckFailed(f'Layer {i + 1} of {text} reads {reads[i]} values; it should read the input and all '
                              f'earlier layers, {c} + {i} x {k} = {right[i]}. What is concatenated before it?')
        Y = look.run(block, X, text, _CONCATENATION_HINTS)
        _require_first(X, Y, c, text, 'features')
        _require_nonlinear(block, X, Y, c, k, L, text)
        look.require_hybrid(block, X, Y, text)
        look.require_gradient(block, X, text)
    return 'dense MLP: F + L x k features, the input first, each layer reads everything before it. Correct.'


def _require_nonlinear(block, X, Y, c, k, L, text):
    """Each layer does more than a linear map; its values come from what it reads."""
    many = look.run(block, look.images(64, c), text)  # more rows than a linear map can fit
    for i in range(L):
        # Batch normalization, too, is a linear map of one batch.
        x = numpy.hstack([many[:, :c + i * k], numpy.ones((len(many), 1))]).astype('float64')
        y = many[:, c + i * k:c + (i + 1) * k]
        map_of = numpy.linalg.lstsq(x, y, rcond=None)[0]
        if abs(x @ map_of - y).max() <= 1e-5 * abs(y).max():
            raise CheckFailed(f'Layer {i + 1} of {text} is a linear map: however many of them there are, together they '
                              'are one linear map. Where is the nonlinearity, such as activation="relu"?')
    # The first layer's features must be a function of the input row alone: no mixing of the images in a batch.
    alone = look.run(block, X[:1], text)
    if not look.same(alone, Y[:1]):
        raise CheckFailed(f'{text} gives the first row of a batch other values when it comes alone. Which operation '
                          'mixes the rows? Features are axis 1.')
