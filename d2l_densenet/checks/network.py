"""Check of the whole network."""

import numpy

from ..network import DenseNet
from . import _blocks as look
from ._guard import CheckFailed, check
from .layers import LAYER_HINTS


@check
def densenet(f, own=False):
    """Check the article's network: stem, dense blocks with halving transitions between them, classifier.

    Stem: 7x7 convolution with stride 2, BN, ReLU, 3x3 max-pooling with stride 2. A transition halves the channels and
    pools. Classifier: BN, ReLU, global average pooling, one fully connected layer; it gives scores, before any softmax.

    Parameters
    ----------
    f : callable
        ``f(growth_rate, block_config, num_init_features, classes)`` gives a Gluon block.
        **Inputs:** (N, 1, H, W). **Outputs:** (N, classes).
    own : bool
        Whether to refuse the package's `DenseNet`. Its blocks may be used.

    Raises
    ------
    CheckFailed
    """
    # In each of these all layers of a kind read different numbers of channels.
    _densenet(f, 6, (2, 3), 5, 7, look.images(3, 1, 32, 40), own)
    _densenet(f, 4, (3, 1, 2), 9, 4, look.images(2, 1, 48, 40), own)
    return 'densenet: stem, dense blocks, transitions and classifier, channels and order of operations. Correct.'


def _densenet(f, k, blocks, stem, classes, X, own):
    net, text = look.build(f, {'growth_rate': k, 'block_config': blocks, 'num_init_features': stem, 'classes': classes},
                           LAYER_HINTS)
    if own and any(isinstance(part, DenseNet) for part in look.walk(net)):
        raise CheckFailed(f"{text} is the package's DenseNet. Can you build it yourself, out of layers of gluon.nn and "
                          'the blocks?')
    Y = look.fill(net, X, text, [
        (r'kernel size \(\d+\) exceeds|non-?positive|invalid', 'The maps have become too small: does the stem or a '
         'transition shrink them more often than in the article?'), *LAYER_HINTS], axes=None)
    convs, norms, denses = look.parts(net)
    if look.unused(net):
        raise CheckFailed(f'{text} has a {type(look.unused(net)[0]).__name__} that is never used. Is it missing from '
                          'forward?')
    c = _require_channels(convs, text, k, blocks, stem)
    _require_classifier(denses, Y, X, text, c, classes)
    _require_norms(norms, text, k, blocks, stem, c)
    Y = look.run(net, X, text)
    if look.same(Y.sum(axis=1), numpy.ones(len(X), 'float32')) and (Y > 0).all():
        raise CheckFailed(f'{text} returns probabilities: each row adds up to 1. It should return the scores before '
                          'the softmax, since the loss (SoftmaxCrossEntropyLoss) has the softmax in it. Can you take '
                          'it out?')
    reference = _Reference(convs, norms, denses[0], k, blocks)
    if not look.same(Y, reference(X)):
        for changes, sentence in _MISTAKES:
            if look.same(Y, reference(X, **changes)):
                raise CheckFailed(f'{text} has the right parameters, but {sentence}')
        raise CheckFailed(f"{text} has the right parameters and gives other scores than the article's network. Compare "
                          'stride, padding and pooling of the stem, then the layers after the last block, and look at '
                          'your blocks with checks.conv_block, checks.dense_block and checks.transition_block.')
    if not look.same(look.run(net, X, text, train=True), reference(X, train=True)):
        raise CheckFailed(f'{text} is right outside of training and wrong in training. Is there a Dropout, or a '
                          'BatchNorm that does not use the statistics of the batch?')
    look.require_hybrid(net, X, Y, text)
    look.require_gradient(net, X, text)


def _require_channels(convs, text, k, blocks, stem):
    """The convolutions one by one; returns the channels at the end."""
    kernels = ['x'.join(map(str, part['weight'].shape[2:])) for part in convs]
    if not convs:
        raise CheckFailed(f'{text} has no convolution. Does your function add the layers to the network it returns?')
    out, _, *kernel = convs[0]['weight'].shape
    if tuple(kernel) != (7, 7):
        raise CheckFailed(f"The first convolution of {text} has a kernel of {kernels[0]}; the article's stem begins "
                          'with 7x7. Is the stem there?')
    if out != stem:
        raise CheckFailed(f'The first convolution of {text} makes {out} channels; it should make num_init_features = '
                          f'{stem}. ' + ('Is 64 written into the code?' if out == 64 else
                                         'Which argument does the stem get?'))
    layers, transitions = kernels.count('3x3'), kernels.count('1x1')
    if layers != sum(blocks):
        hint = (f'Only as many as the {"first" if layers == blocks[0] else "last"} block has: is there a loop over '
                'block_config?' if layers in (blocks[0], blocks[-1]) else 'Four blocks of four, whatever block_config '
                'says?' if layers == 16 else 'Does each dense block get its own entry of block_config?')
        raise CheckFailed(f'{text} has {layers} 3x3 convolutions; block_config {blocks} asks for {sum(blocks)}. {hint}')
    if transitions != len(blocks) - 1:
        hint = ('There is none after the last block: which condition leaves it out (i != len(block_config) - 1)?'
                if transitions == len(blocks) else 'Where do the channels get halved?' if not transitions else
                'There is one between each two dense blocks.')
        raise CheckFailed(f'{text} has {transitions} transitions (1x1 convolutions); {len(blocks)} dense blocks have '
                          f'{len(blocks) - 1} between them. {hint}')
    c, rest = stem, iter(convs[1:])
    for i, count in enumerate(blocks, start=1):
        for layer in range(1, count + 1):
            out, reads, *kernel = next(rest)['weight'].shape
            if tuple(kernel) != (3, 3):
                raise CheckFailed(f'In dense block {i} of {text} a convolution has a kernel of {kernel[0]}x{kernel[1]} '
                                  f'where its 3x3 convolution number {layer} of {count} should be. In which order does '
                                  'block_config go through the blocks?')
            if out != k:
                raise CheckFailed(f'Layer {layer} of dense block {i} of {text} makes {out} channels; it should make '
                                  f'growth_rate = {k}. What does the dense block get?')
            if reads != c:
                raise CheckFailed(f'Layer {layer} of dense block {i} of {text} reads {reads} channels; it should read '
                                  f'{c}. Is your dense block the one that passes checks.dense_block?')
            c += k
        if i < len(blocks):
            out, reads, *kernel = next(rest)['weight'].shape
            if tuple(kernel) != (1, 1) or reads != c:
                raise CheckFailed(f'After dense block {i} of {text} a {kernel[0]}x{kernel[1]} convolution reads '
                                  f'{reads} channels; a 1x1 convolution should read {c}. What stands between the '
                                  'blocks?')
            if out != c // 2:
                hint = ('They are not halved: where is the // 2?' if out == c else 'That is half of the channels '
                        'before the block, or without its growth: is num_channels increased by num_convs * '
                        'growth_rate first?'
                        if out in ((c - count * k) // 2, (c - k) // 2) else
                        'Is num_channels halved once for each transition, and from the channels that leave the block?')
                raise CheckFailed(f'Transition {i} of {text} makes {out} channels of {c}; it should make {c} // 2 = '
                                  f'{c // 2}. {hint}')
            c = out
    return c


def _require_classifier(denses, Y, X, text, c, classes):
    if not denses:
        raise CheckFailed(f'{text} has no fully connected layer, and returns shape {Y.shape} instead of '
                          f'{(len(X), classes)}. Where is nn.Dense(classes)?')
    if len(denses) > 1:
        raise CheckFailed(f'{text} has {len(denses)} fully connected layers; the article has one, from the channels to '
                          'the classes. Which one is too many?')
    units, reads = denses[0]['weight'].shape
    if units != classes:
        hint = 'Is 10 written into the code?' if units == 10 else 'What does nn.Dense get?'
        raise CheckFailed(f'{text} gives {units} scores for each image; it should give classes = {classes}. {hint}')
    if reads != c:
        hint = ('Each pixel is read by itself: where is the global average pooling?' if reads % c == 0 else
                'What stands before it?')
        raise CheckFailed(f'The fully connected layer of {text} reads {reads} values; it should read one for each of '
                          f'the {c} channels. {hint}')
    look.require_shape(Y.shape, (len(X), classes), X.shape, text, [(True, 'What comes after nn.Dense?')])


def _require_norms(norms, text, k, blocks, stem, c):
    """The batch normalizations by the channels they work on."""
    for part in norms:
        if part['mean'] is None:
            raise CheckFailed(f'{text} normalizes with {type(part["layer"]).__name__}; the paper uses BatchNorm. Can '
                              'you change it?')
    found = [part['gamma'].size for part in norms]
    want, width = [stem], stem
    for count in blocks:
        want += [width + k * j for j in range(count)]
        width += count * k
        want.append(width)
        width //= 2
    if found == want:
        return
    if found == want[1:]:
        raise CheckFailed(f'{text} has no batch normalization in the stem. What comes after the 7x7 convolution there?')
    if found == want[:-1]:
        raise CheckFailed(f'{text} has no batch normalization after the last block. What does the classifier begin '
                          'with, before the global pooling?')
    raise CheckFailed(f'The batch normalizations of {text} work on {found} channels; they should work on {want}, in '
                      'this order: the stem, each layer of each dense block, each transition, the classifier. Which '
                      'one is missing, or in another place?')


class _Reference:
    """The network in NumPy with the learner's parameters, right or with one thing changed."""

    def __init__(self, convs, norms, dense, growth_rate, blocks):
        self._parts, self._dense, self._blocks = (convs, norms), dense, blocks

    def __call__(self, X, train=False, stem_stride=2, stem_pad=3, stem_pool='max', stem_relu=True, stem_first=False,
                 stem_size=3, stem_pool_pad=1, transition='avg', last_relu=True, last='avg', layer='BN ReLU conv',
                 end=None):
        convs, norms = (iter(parts) for parts in self._parts)

        def composite(x, order='BN ReLU conv'):
            for step in order.split():
                x = (look.norm(x, next(norms), train) if step == 'BN' else numpy.maximum(x, 0) if step == 'ReLU'
                     else look.conv(x, next(convs)))
            return x

        with numpy.errstate(all='ignore'):
            x = look.conv(X, next(convs), stem_stride, stem_pad)
            if stem_first and stem_pool:
                x = _pool(x, stem_pool, stem_size, stem_pool_pad)
            x = look.norm(x, next(norms), train)
            x = numpy.maximum(x, 0) if stem_relu else x
            if stem_pool and not stem_first:
                x = _pool(x, stem_pool, stem_size, stem_pool_pad)
            for i, count in enumerate(self._blocks):
                for _ in range(count):
                    x = numpy.concatenate([x, composite(x, layer)], axis=1)
                if i < len(self._blocks) - 1:
                    x = composite(x)
                    if transition:
                        x = look.pool(x, transition)
                        if x is None:
                            return None
            x = look.norm(x, next(norms), train)
            x = numpy.maximum(x, 0) if last_relu else x
            x = x.mean((2, 3)) if last == 'avg' else x.max((2, 3))
            bias = self._dense['bias']
            x = x @ self._dense['weight'].T + (0 if bias is None else bias)
            return (x if end is None else end(x)).astype('float32')


def _pool(x, how, size, pad):
    fill = -numpy.inf if how == 'max' else 0
    x = numpy.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], constant_values=fill)
    return look.pool(x, how, size, 2)


_MISTAKES = [
    ({'stem_pool': None}, 'no max-pooling in the stem. What follows the ReLU there?'),
    ({'stem_stride': 1}, 'the 7x7 convolution of the stem has stride 1. What halves the size there for the '
     'first time?'),
    ({'stem_stride': 1, 'stem_pool': None}, 'the stem does not shrink the image. Where are the stride of 2 and the '
     'max-pooling?'),
    ({'stem_pad': 0}, 'the 7x7 convolution of the stem does not pad. Which padding keeps the middle of a 7x7 kernel on '
     'the first pixel?'),
    ({'stem_pool': 'avg'}, 'the stem pools by averages; the article has max-pooling there. Which layer is that?'),
    ({'stem_pool_pad': 0}, 'the max-pooling of the stem does not pad. Which padding goes with its 3x3 window?'),
    ({'stem_size': 2, 'stem_pool_pad': 0}, 'the max-pooling of the stem has a window of 2x2; the article has 3x3 with '
     'stride 2 and padding 1. Can you change it?'),
    ({'stem_relu': False}, 'no ReLU in the stem. What follows its batch normalization?'),
    ({'stem_first': True}, 'the stem pools before the batch normalization. In which order are its four layers?'),
    ({'transition': 'max'}, 'the transitions take maxima; the article averages. What does '
                            'checks.transition_block say?'),
    ({'transition': None}, 'the transitions do not pool. What does checks.transition_block say?'),
    ({'last_relu': False}, 'no ReLU after the last batch normalization. What follows it, before the pooling?'),
    ({'last': 'max'}, 'the last pooling takes maxima; the article averages over all pixels. Which layer is that?'),
    ({'layer': 'BN conv'}, 'no ReLU in the layers of the dense blocks. What does checks.conv_block say?'),
    ({'layer': 'ReLU BN conv'}, 'ReLU comes before BN in the layers of the dense blocks. What does '
                                'checks.conv_block say?'),
    ({'end': lambda x: numpy.maximum(x, 0)}, 'there is a ReLU after the last layer: scores may be negative. Can you '
     'take it out?'),
    ({'end': lambda x: x - numpy.log(numpy.exp(x).sum(1, keepdims=True))}, 'there is a log-softmax after the last '
     'layer; the loss contains it. Can you take it out?'),
    ({'end': lambda x: 1 / (1 + numpy.exp(-x))}, 'there is a sigmoid after the last layer: it should give scores. Can '
     'you take it out?'),
]
