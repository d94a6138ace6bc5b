"""Check of a block with one-shot aggregation: a chain of layers, concatenated once at its end."""

import numpy

from . import _blocks as look
from ._guard import CheckFailed, check
from .dense import _CONCATENATION_HINTS, _require_convs, _require_first
from .layers import CONV

_RIGHT = ('BN', 'ReLU', CONV)


@check
def one_shot_block(cls):
    """Check a block whose layers read only the layer before, and whose end concatenates everything.

    Parameters
    ----------
    cls : type or callable
        ``cls(num_convs, num_channels)`` gives a Gluon block of conv_blocks. **Inputs:** (N, C, H, W).
        **Outputs:** (N, C + num_convs * num_channels, H, W), the input first, then the layers in order.

    Raises
    ------
    CheckFailed
    """
    for L, k, X in ((4, 10, look.images(2, 5, 8, 6)), (2, 4, look.images(3, 7, 5, 9))):
        block, text = look.build(cls, {'num_convs': L, 'num_channels': k}, _CONCATENATION_HINTS)
        Y = look.fill(block, X, text, _CONCATENATION_HINTS)
        _require_convs(block, text, L, k, X.shape[1], Y)
        convs, norms, _ = look.parts(block)
        _require_chain([part['weight'].shape[1] for part in convs], X.shape[1], k, text)
        _require_all(Y.shape, X.shape, L, k, text)
        Y = look.run(block, X, text, _CONCATENATION_HINTS)
        _require_first(X, Y, X.shape[1], text)
        _require_layers(X, Y, convs, norms, k, text)
        look.require_hybrid(block, X, Y, text)
        look.require_gradient(block, X, text)
    return 'one-shot block: a chain, and everything concatenated at its end, the input first. Correct.'


def _require_chain(reads, c, k, text):
    for i, (got, want) in enumerate(zip(reads, [c] + [k] * (len(reads) - 1)), 1):
        if got != want:
            hint = ('That is everything before it, as in a dense block. What does a layer of a chain read?'
                    if got == c + (i - 1) * k else "Is it given the block's input again?" if got in (c, c + k) else
                    'What is it given?')
            raise CheckFailed(f'Layer {i} of {text} reads {got} channels; it should read {want}, the output of the '
                              f'layer before. {hint}')


def _require_all(got, given, L, k, text):
    n, c, height, width = given
    want = c + L * k
    look.require_shape(got, (n, want, height, width), given, text, [
        (got[0] != n, 'The batch has grown: along which axis do you concatenate? Channels are axis 1.'),
        (got[2:] != (height, width), 'Height and width should stay. Which axis do you concatenate along?'),
        (got[1] == k, 'That is the output of the last layer alone: where is the concatenation?'),
        (got[1] == L * k, 'Those are the layers without the input: it is concatenated too.'),
        (got[1] == c + k, 'Those are the input and one layer: which list collects the outputs of all layers?'),
        (True, f'It should be {c} + {L} x {k} channels. What is missing at the end, or there twice?')])


def _require_layers(X, Y, convs, norms, k, text):
    """Each layer's features are BN, ReLU, convolution of those of the layer before."""
    c = X.shape[1]
    features = [X, *numpy.split(Y[:, c:], len(convs), axis=1)]
    for i, part in enumerate(convs):
        found = {look.identify(features[i], features[i + 1], _RIGHT, {
            'BN': lambda x, p=own: look.norm(x, p), CONV: lambda x, p=part: look.conv(x, p)}) for own in norms}
        if _RIGHT in found:
            continue
        places = [j for j in range(len(convs)) if j != i and any(look.same(look.apply(_RIGHT, features[i], {
            **look.ACTIVATIONS, 'BN': lambda x, p=own: look.norm(x, p), CONV: lambda x, p=part: look.conv(x, p)}),
            features[j + 1]) for own in norms)]
        if places or found == {None} and i == 0:
            raise CheckFailed(f'The features of layer {i + 1} of {text} are not where they should be. In which order '
                              'do you concatenate: the input, then layer 1, layer 2, ...?')
        look.require_order(next(filter(None, found), None), _RIGHT, f'Layer {i + 1} of {text}', 'It should be a '
                           'conv_block.')
