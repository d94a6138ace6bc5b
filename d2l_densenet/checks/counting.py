"""Checks of functions that count: connections, parameters, kept values."""

import itertools
import operator

from . import _blocks as look
from ._answers import known_mistake, whole_number
from ._guard import CheckFailed, call, check, generator


@check
def connections(f):
    """Check the number of direct connections in a dense block (section 3, "Dense connectivity").

    Parameters
    ----------
    f : callable
        ``f(num_layers)`` returns L(L+1)/2 as an integer.

    Raises
    ------
    CheckFailed
    """
    _compare(f, ['num_layers'], [(1,), (2,), (3,), (4,), (12,), (40,)], lambda L: L * (L + 1) // 2, [
        (lambda L: L, 'That is the number in a plain chain, where each layer reads one thing. How many does layer l '
         'of a dense block read?'),
        (lambda L: L * (L - 1) // 2, "Layer 1 reads something too: the block's input. Does your sum run from 1 to L, "
         'or only to L - 1?'),
        (lambda L: L * (L - 1), "Each pair of layers is counted twice, and the block's input not at all. Which layers "
         'can layer l read?'),
        (lambda L: L * (L + 1), 'That is twice too many. In the formula for 1 + 2 + ... + L, what is forgotten at the '
         'end?'),
        (lambda L: L * L, 'That is every layer with every layer. Can layer 1 read layer 3? (If your formula has '
         'brackets: did they get lost?)'),
        (lambda L: (L + 1) * (L + 2) // 2, 'What reads all of x_0 to x_L after the block is not counted: is your '
         'range one too long?'),
        (lambda L: L * (L + 1) // 2 - 1, 'One is missing. Does your count begin at the second layer?'),
        (lambda L: L * (L + 1) // 2 + 1, 'One too many. What does your sum start from?'),
        (lambda L: L * (L + 1) // 2 + L, 'Each layer is counted as reading itself. Which things are there when layer '
         'l is computed?'),
        (lambda L: 2 ** L, 'Doubling with each layer is too fast: how many connections does one more layer add?'),
        (lambda L: 2 ** L - 1, 'Doubling with each layer is too fast: how many connections does one more layer add?'),
        (lambda L: L ^ 2, 'In Python ^ is not a power: that is **. And is it really L squared?'),
        (lambda L: L - 1, 'That is the number of neighbors in a chain. How many things does layer l read?'),
        (lambda L: L // 2 * (L + 1), 'L // 2 loses the half of an odd L. In which order should you multiply and '
         'divide?'),
        (lambda L: L * ((L + 1) // 2), '(L + 1) // 2 loses the half. In which order should you multiply and divide?'),
        (lambda L: 2 * L, 'How many things does the fourth layer read, how many the fifth?'),
    ])
    return 'connections: L(L+1)/2 for L = 1, 2, 3, 4, 12, 40 and others. Correct.'


def _parameters(c0, L, k, *, bias, normalized, kernel, width, layers):
    """Parameters of a dense block, with what may be wrong in a learner's formula."""
    total = 0
    for i in layers(L):
        c = width(c0, k, i, L)
        total += kernel * c * k + bias * k + {'none': 0, 'right': 2 * c, 'one': c, 'four': 4 * c, 'out': 2 * k,
                                               'fixed': 2, 'in and out': 2 * c + 2 * k}[normalized]
    return total


# What may differ in each place: the right thing first, then (value, hint).
_MISTAKES = {
    'bias': [(1, ''), (0, 'Where are the biases of the convolutions, one for each of the growth_rate channels?')],
    'normalized': [
        ('right', ''), ('none', 'Where are the parameters of the batch normalizations, 2 for each channel read?'),
        ('one', 'A batch normalization has two numbers for each channel: gamma and beta. Is one of them missing?'),
        ('four', 'The running mean and variance are not trained. What is left of the 4 numbers for each channel?'),
        ('out', 'The batch normalization comes before the convolution: on how many channels does it work then?'),
        ('fixed', 'A batch normalization has gamma and beta for each channel, not one of each. Multiply by what?'),
        ('in and out', 'There is one batch normalization for each layer, before its convolution. What is the other?')],
    'kernel': [(9, ''), (1, 'Is the kernel in it? A 3x3 convolution has 9 weights for each pair of channels.'),
               (3, 'Is the kernel in it with both its sides? It is 3 x 3.'),
               (6, 'The kernel has 3 x 3 weights, not 3 + 3. How many is that?')],
    'width': [
        (lambda c0, k, i, L: c0 + k * (i - 1), ''),
        (lambda c0, k, i, L: c0, 'Each layer reads more than the one before. How many channels does layer l read?'),
        (lambda c0, k, i, L: c0 + k * i, 'You are one layer too far: layer 1 reads in_channels alone. What does layer '
         'l read?'),
        (lambda c0, k, i, L: k * (i - 1), "Where are the channels of the block's input, which every layer reads?"),
        (lambda c0, k, i, L: k * i, "Where are the channels of the block's input, which every layer reads?"),
        (lambda c0, k, i, L: c0 + i - 1, 'Each earlier layer passes on growth_rate channels, not one. By how much do '
         'the channels grow?'),
        (lambda c0, k, i, L: c0 if i == 1 else k, 'That is a plain chain, in which a layer reads only the one before. '
         'What does it read in a dense block?'),
        (lambda c0, k, i, L: c0 + k * (i > 1), 'Layer 3 reads the input, layer 1 and layer 2. What does layer l read?'),
        (lambda c0, k, i, L: c0 + k * L, 'That is what leaves the block. How many channels does layer l read?'),
        (lambda c0, k, i, L: c0 * i, 'The growth is growth_rate for each layer, not in_channels. What does layer l '
         'read?')],
    'layers': [
        (lambda L: range(1, L + 1), ''), (lambda L: range(L, L + 1), 'That is the last layer alone. Is there a sum '
                                          'over all layers (is the return inside the loop, or is = written for +=)?'),
        (lambda L: range(1, 2), 'That is the first layer alone. Is there a sum over all layers, or is the return '
         'inside the loop?'),
        (lambda L: range(1, L), 'The last layer is missing. Where does your range end?'),
        (lambda L: range(1, L + 2), 'That is one layer too many. Where does your range end?'),
        (lambda L: range(2, L + 1), 'The first layer is missing. Where does your range begin?')],
}


@check
def block_parameters(f):
    """Check the number of trainable parameters of the article's dense block.

    Layer l reads c = in_channels + growth_rate (l - 1) channels: 2c for its batch normalization, 9 c growth_rate
    weights, growth_rate biases.

    Parameters
    ----------
    f : callable
        ``f(in_channels, num_convs, growth_rate)`` returns an integer.

    Raises
    ------
    CheckFailed
    """
    right = {place: choices[0][0] for place, choices in _MISTAKES.items()}
    wrong = []
    for number in (1, 2):
        for places in itertools.combinations(_MISTAKES, number):
            for choices in itertools.product(*(_MISTAKES[place][1:] for place in places)):
                changed = {**right, **{place: value for place, (value, _) in zip(places, choices)}}
                wrong.append((lambda c, L, k, changed=changed: _parameters(c, L, k, **changed),
                              ' '.join(dict.fromkeys(hint for _, hint in choices))))

    def exact(c, L, k):
        return _parameters(c, L, k, **right)

    wrong[:0] = [(lambda c, L, k: exact(c, k, L), 'Are num_convs and growth_rate swapped?'),
                 (lambda c, L, k: exact(L, c, k), 'Are in_channels and num_convs swapped?'),
                 (lambda c, L, k: exact(k, L, c), 'Are in_channels and growth_rate swapped?'),
                 (lambda c, L, k: exact(5, 4, 10), 'It is the same whatever comes in: does it use its arguments?')]
    _compare(f, ['in_channels', 'num_convs', 'growth_rate'],
             [(5, 4, 10), (64, 4, 32), (3, 1, 7), (120, 6, 12)], exact, wrong)
    return 'block_parameters: seven blocks counted, (5, 4, 10) has 7,400. Correct.'


@check
def kept_values(f):
    """Check the number of values that the concatenations of a plain dense block keep for the backward pass.

    Each layer's input is a concatenation, kept until the backward pass: for one image the sum of
    (in_channels + growth_rate (l - 1)) height width over the layers l = 1 to num_layers.

    Parameters
    ----------
    f : callable
        ``f(in_channels, growth_rate, num_layers, height, width)`` returns an integer.

    Raises
    ------
    CheckFailed
    """
    def exact(c, k, L, h, w, first=1, last=0):
        return sum(c + k * (i - 1) for i in range(first, L + 1 + last)) * h * w

    def channels(c, k, L):
        return exact(c, k, L, 1, 1)

    _compare(f, ['in_channels', 'growth_rate', 'num_layers', 'height', 'width'],
             [(5, 10, 4, 22, 20), (64, 32, 4, 12, 12), (3, 7, 1, 4, 6), (24, 12, 16, 32, 30)], exact, [
        (lambda c, k, L, h, w: channels(c, k, L), 'Those are channels. How many values does one channel have?'),
        (lambda c, k, L, h, w: channels(c, k, L) * h, 'A channel has height x width values. Where is the width?'),
        (lambda c, k, L, h, w: channels(c, k, L) * w, 'A channel has height x width values. Where is the height?'),
        (lambda c, k, L, h, w: channels(c, k, L) * (h + w), 'A channel has height x width values, not the sum. Is '
         'there a + that should be a *?'),
        (lambda c, k, L, h, w: channels(c, k, L) * h * h, 'Height and width may differ. Did you square one of them?'),
        (lambda c, k, L, h, w: channels(c, k, L) * w * w, 'Height and width may differ. Did you square one of them?'),
        (lambda c, k, L, h, w: exact(c, k, L, h, w, last=1), 'That is one layer too many: what leaves the block is '
         'not the input of one of its layers. Where does your sum end?'),
        (lambda c, k, L, h, w: exact(c, k, L, h, w, last=-1), 'The input of the last layer is missing. Where does '
         'your sum end?'),
        (lambda c, k, L, h, w: exact(c, k, L, h, w, first=2, last=1), 'You are one layer too far: layer 1 reads '
         'in_channels alone. What does layer l read?'),
        (lambda c, k, L, h, w: exact(c, k, L, h, w, first=2), "The input of layer 1, which is the block's, is missing. "
         'Where does your sum begin?'),
        (lambda c, k, L, h, w: (c + k * L) * h * w, 'That is what leaves the block: each value once. Each '
         'concatenation makes a copy, and each is kept. What is the sum over the layers?'),
        (lambda c, k, L, h, w: (c + k * (L - 1)) * h * w, 'That is the input of the last layer. The inputs of the '
         'others are kept too: where is the sum?'),
        (lambda c, k, L, h, w: k * L * h * w, 'Those are the new features alone, each once. Each layer keeps a '
         'concatenation of everything before it: what is the sum?'),
        (lambda c, k, L, h, w: exact(0, k, L, h, w), "Where are the channels of the block's input, which every layer "
         'reads?'),
        (lambda c, k, L, h, w: (c + exact(0, k, L, 1, 1)) * h * w, "Every layer copies the block's input again. How "
         'often is in_channels in the sum?'),
        (lambda c, k, L, h, w: c * L * h * w, 'The concatenations grow by growth_rate a layer. Where is it?'),
        (lambda c, k, L, h, w: c * h * w, "That is the block's input alone. Is the return inside the loop?"),
        (lambda c, k, L, h, w: (L * c + k * L * L // 2) * h * w, 'Nearly: 0 + 1 + ... + (L-1) is L(L-1)/2, not '
         'L^2/2. What does layer 1 read?'),
        (lambda c, k, L, h, w: (L * c + k * L * (L - 1)) * h * w, '0 + 1 + ... + (L-1) is L(L-1)/2. Where is the '
         'half?'),
        (lambda c, k, L, h, w: 4 * exact(c, k, L, h, w), 'Those are bytes. The question is for the number of values: '
         'what is the 4 for?'),
        (lambda c, k, L, h, w: 8 * exact(c, k, L, h, w), 'Those are the bytes of what is kept, of the concatenations '
         'and after the ReLUs. Only the values of the concatenations are asked for: what are the 4 and the 2 for?'),
        (lambda c, k, L, h, w: 2 * exact(c, k, L, h, w), 'Twice too many: only the concatenations are asked for, not '
         'what BN or ReLU keep besides. What is the 2 for?'),
        (lambda c, k, L, h, w: exact(k, c, L, h, w), 'Are in_channels and growth_rate swapped?'),
        (lambda c, k, L, h, w: exact(c, L, k, h, w), 'Are growth_rate and num_layers swapped?'),
    ])
    return 'kept_values: the inputs of all layers summed, for seven blocks. Correct.'


def _compare(f, names, points, right, wrong):
    """Compare the learner's numbers with the right ones; a wrong formula that gives all of answers names the mistake.

    Parameters
    ----------
    wrong : list of (function, hint)
        Formulas that learners have in mind, the likeliest first.
    """
    name = look.require_callable(f)
    look.require_signature(f, name, names, points[0])
    # Others at each check: a table of the right answers is no formula.
    drawn = generator().integers(1, 60, (3, len(names))).tolist()
    points = [*points, *map(tuple, drawn)]
    answers = []
    for point in points:
        text = f'{name}({", ".join(map(str, point))})'
        value = call(text, f, *point)
        answers.append(whole_number(value, text, f, right(*point)))
    if answers == [right(*point) for point in points]:
        return
    i = next(i for i, point in enumerate(points) if answers[i] != right(*point))
    seen = f'{name}({", ".join(map(str, points[i]))}) returns {answers[i]:,}; it should be {right(*points[i]):,}.'
    hint = known_mistake(answers, points, wrong, operator.eq)
    if hint is None:
        case = ', '.join(f'{name} = {value}' for name, value in zip(names, points[i]))
        hint = ('It is the same number whatever comes in: does your function use its arguments?'
                if len(set(answers)) == 1 else
                f'Can you write the terms down by hand for {case}, and compare each?')
    raise CheckFailed(f'{seen} {hint}')
