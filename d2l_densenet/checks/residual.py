"""Check of the residual block."""

import itertools

import numpy

from . import _blocks as look
from ._guard import CheckFailed, check
from .layers import LAYER_HINTS, _kernel


@check
def residual_block(cls):
    """Check the residual block of d2l and of the article.

    3x3 convolution with the given stride, BN, ReLU, 3x3 convolution, BN; the input, or with `use_1x1conv` a 1x1
    convolution of it with the same stride, is added; ReLU. No batch normalization on the shortcut.

    Parameters
    ----------
    cls : type or callable
        ``cls(num_channels, use_1x1conv=False, strides=1)`` gives a Gluon block. **Inputs:** (N, C, H, W).
        **Outputs:** (N, num_channels, ceil(H / strides), ceil(W / strides)).

    Raises
    ------
    CheckFailed
    """
    for k, with_conv, strides, X in ((6, False, 1, look.images(2, 6, 8, 10)), (7, True, 2, look.images(3, 4, 10, 7)),
                                     (5, True, 1, look.images(2, 3, 6, 5))):
        _residual_block(cls, k, with_conv, strides, X)
    return 'residual block: with and without 1x1 convolution and stride, the input added before the last ReLU. Correct.'


def _residual_block(cls, k, with_conv, strides, X):
    block, text = look.build(cls, {'num_channels': k, 'use_1x1conv': with_conv, 'strides': strides}, LAYER_HINTS)
    n, c, height, width = X.shape
    hints = [(r'could not be broadcast|elemwise', 'The two cannot be added: their shapes differ. Does the input go '
              'through the 1x1 convolution, with the same strides, if use_1x1conv is True; and do both 3x3 '
              'convolutions pad by 1?'),
             (r"'NoneType' object is not callable", 'Without use_1x1conv there is no 1x1 convolution. Do you ask '
              'whether it is there before you use it?'),
             (r"has no attribute '(conv3|conv_1x1|shortcut|downsample)'", 'That layer is made only if use_1x1conv is '
              'True. What is the attribute otherwise (None)?'),
             *LAYER_HINTS]
    Y = look.fill(block, X, text, hints)
    convs, norms, _ = look.parts(block)
    if look.unused(block):
        part = look.unused(block)[0]
        kind = 'The 1x1 convolution' if getattr(part, '_kwargs', {}).get('kernel') == (1, 1) else \
            f'A {type(part).__name__}'
        raise CheckFailed(f'{kind} of {text} is made and never used. Where in forward should the input go through it?')
    threes = [part for part in convs if part['weight'].shape[2:] == (3, 3)]
    ones = [part for part in convs if part['weight'].shape[2:] == (1, 1)]
    if len(threes) != 2:
        found = ', '.join(_kernel(part) for part in convs) or 'none'
        raise CheckFailed(f'{text} has {len(threes)} 3x3 convolutions; it should have two (its convolutions: {found}). '
                          'Is one used twice, or its kernel_size another?')
    if len(ones) != with_conv or len(convs) > 2 + with_conv:
        hint = ('Where is it?' if len(ones) < with_conv else 'Is it made only if use_1x1conv is True?')
        raise CheckFailed(f'{text} has {len(ones)} 1x1 convolutions; with use_1x1conv={with_conv} it should have '
                          f'{int(with_conv)}. {hint}')
    for part in threes + ones:
        if part['weight'].shape[0] != k:
            raise CheckFailed(f'A {_kernel(part)} convolution of {text} makes {part["weight"].shape[0]} channels; all '
                              f'should make num_channels = {k}. What is it given?')
    rows, columns = -(-height // strides), -(-width // strides)
    look.require_shape(Y.shape, (n, k, rows, columns), X.shape, text, [
        (Y.shape[1:2] in ((c + k,), (2 * k,)), 'You concatenate, as DenseNet does. A residual block adds.'),
        (strides > 1 and Y.shape[2:] == (height, width), 'Where is strides used?'),
        (strides > 1 and Y.shape[2] == -(-rows // strides), 'The size is divided twice: only the first 3x3 convolution '
         'has the strides.'),
        (Y.shape[2] < rows, 'Did you forget padding=1?')])
    if len(norms) == 3:
        raise CheckFailed(f"{text} has three batch normalizations. He et al. have one on the shortcut too, d2l's and "
                          "the article's block have not. Can you take it out?")
    if not norms or len(norms) > 3:
        raise CheckFailed(f'{text} has {len(norms) or "no"} batch normalizations; it should have two, one after each '
                          '3x3 convolution. Where are they?')
    Y = look.run(block, X, text, hints)
    _require_values(X, Y, threes, norms, ones, strides, text)
    train = look.run(block, X, text, train=True)
    orders = list(itertools.product(itertools.permutations(threes), itertools.permutations(norms)))
    if not any(look.same(train, _residual(X, a, b, ones, strides, train=True)) for a, b in orders):
        raise CheckFailed(f'{text} is right outside of training and wrong in training. Is there a Dropout, or a '
                          'BatchNorm that does not use the statistics of the batch?')
    look.require_hybrid(block, X, Y, text)
    look.require_gradient(block, X, text)


def _require_values(X, Y, threes, norms, ones, strides, text):
    # Attributes may be made in another order than they are used.
    orders = [(a, b) for a in itertools.permutations(threes) for b in itertools.permutations(norms)]

    def found(**changes):
        return any(look.same(Y, _residual(X, a, b, ones, strides, **changes)) for a, b in orders)

    if len(norms) == 1:
        hint = ('One and the same is used twice. Each convolution needs its own.' if found(norm='shared') else
                'The one after the first convolution is missing.' if found(norm='second') else
                'The one after the second convolution is missing.' if found(norm='first') else 'Where is the '
                                                                                               'other one?')
        raise CheckFailed(f'{text} has one batch normalization; it should have two, one after each 3x3 '
                          f'convolution. {hint}')
    if found():
        return
    for changes, hint in _MISTAKES:
        if found(**changes):
            raise CheckFailed(f'{text} has the right layers and the right shape, but {hint}')
    raise CheckFailed(f'{text} has the right shape, but its values are not those of 3x3 convolution, BN, ReLU, 3x3 '
                      'convolution, BN, then the input added, then ReLU, with your own parameters. What does forward '
                      'do in another order?')


def _residual(X, convs, norms, ones, strides, train=False, norm='both', add='input', middle=True, last='after',
              pre=False, order='BN ReLU', place='first', scale=1):
    """The block in NumPy, right or with one thing changed; None where the shapes do not fit."""
    def relu(x):
        return numpy.maximum(x, 0)

    def normalize(x, i):
        if norm in ('both', 'shared') or norm == ('first', 'second')[i]:
            return look.norm(x, norms[i if norm == 'both' else 0], train)
        return x

    first, second = (strides, 1) if place == 'first' else (1, strides)
    try:
        if pre:
            h = look.conv(relu(normalize(X, 0)), convs[0], first)
            h = look.conv(relu(normalize(h, 1)), convs[1], second)
        else:
            h = look.conv(X, convs[0], first)
            h = relu(normalize(h, 0)) if middle and order == 'BN ReLU' else normalize(relu(h) if middle else h, 0)
            inner = h
            h = normalize(look.conv(h, convs[1], second), 1)
        shortcut = look.conv(X, ones[0], strides) if ones and add != 'input itself' else X
        if add == 'inner':
            shortcut = inner
        elif add == 'relu':
            shortcut = relu(shortcut)
        if last == 'before':
            h = relu(h)
        if add != 'nothing':
            h = h * shortcut if add == 'product' else h - shortcut if add == 'minus' else h + scale * shortcut
        return (relu(h) if last == 'after' else h).astype('float32')
    except (TypeError, ValueError, AttributeError):
        return None


_MISTAKES = [
    ({'add': 'nothing'}, 'nothing is added: it is a plain chain of layers. Where does forward add the input?'),
    ({'add': 'nothing', 'last': 'none'}, 'nothing is added, and the last ReLU is missing. What comes after the second '
     'BN?'),
    ({'last': 'none'}, 'the last ReLU is missing. What happens to the sum?'),
    ({'last': 'before'}, 'the last ReLU comes before the addition; it should come after it. Which sum does it see?'),
    ({'middle': False}, 'the ReLU between the two convolutions is missing. What follows the first BN?'),
    ({'middle': False, 'last': 'none'}, 'there is no ReLU. Where should the two be?'),
    ({'order': 'ReLU BN'}, 'the ReLU between the convolutions comes before BN. In which order should they be?'),
    ({'add': 'inner'}, 'the features of the first convolution are added, not the input. Is X overwritten before it is '
     'added?'),
    ({'scale': 2}, 'the input is added twice. Where?'),
    ({'add': 'relu'}, 'the input goes through a ReLU before it is added. Should the shortcut change it?'),
    ({'add': 'product'}, 'the input is multiplied. What does a residual block do with it?'),
    ({'add': 'minus'}, 'the input is subtracted. What does a residual block do with it?'),
    ({'pre': True, 'last': 'none'}, 'BN and ReLU come before each convolution, as in DenseNet and in the later '
     '(pre-activation) ResNet. In which order are they here?'),
    ({'pre': True}, 'BN and ReLU come before each convolution. In which order are they here?'),
    ({'place': 'second'}, 'the second 3x3 convolution has the strides; it should be the first. Which one reads the '
     'larger maps?'),
]
