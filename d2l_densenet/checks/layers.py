"""Checks of single layers: composite function, transition, bottleneck layer, residual block."""

import itertools

import numpy

from . import _blocks as look
from ._guard import CheckFailed, check, shown

CONV = '3x3 convolution'
# What goes wrong inside the layers of a learner's block, where the traceback has no line of answers.
LAYER_HINTS = [
    (r'num_filter|expect int', 'A number of channels must be an integer: is there a / that should be a //?'),
    (r'kernel size \(\d+\) exceeds', 'The maps are too small for that kernel. Is one pooled twice?'),
    (r'Shape inconsistent', 'A layer is used on two inputs with different numbers of channels. Is one layer used '
     'twice?'),
    (r'Sequential.*(unexpected keyword|positional)|add\(\)', 'block.add takes layers, one after the other.'),
    (r"'(function|method|builtin_function_or_method|type|str)' object has no attribute|_OpNamespace",
     'Only blocks can be added to a Sequential; nn.Activation("relu") is one, npx.relu is a function.'),
]


@check
def conv_block(f):
    """Check a composite function: batch normalization, ReLU, 3x3 convolution with padding 1.

    Parameters
    ----------
    f : callable
        ``f(num_channels)`` returns a Gluon block. **Inputs:** (N, C, H, W). **Outputs:** (N, num_channels, H, W).

    Raises
    ------
    CheckFailed
    """
    for num_channels, X in ((10, look.images(4, 3, 8, 6)), (4, look.images(3, 7, 5, 9))):
        block, text = look.build(f, {'num_channels': num_channels}, LAYER_HINTS)
        Y = look.fill(block, X, text, LAYER_HINTS)
        (n, c, height, width), k = X.shape, num_channels
        convs, norms, _ = look.parts(block)
        _require_layers(block, text, len(convs), len(norms), 1, 1)
        out = convs[0]['weight'].shape[0]
        _require_kernel(convs[0], text, 3, Y, X)
        look.require_shape(Y.shape, (n, k, height, width), X.shape, text, [
            (Y.shape[1:2] == (c + k,), 'A conv_block returns its own channels alone: is the concatenation, which is '
             "the dense block's work, in it already?"),
            (Y.shape[1:2] == (c,), f'It has as many channels as the input: where do you use num_channels = {k}?'),
            (Y.shape[1:2] != (k,) and k == 4, 'For num_channels = 10 it returned 10 channels: is a number written '
             'into the code where num_channels should stand?'),
            (Y.shape[1:2] != (k,), f'The convolution makes {out} channels: is it given num_channels?'),
            (Y.shape[2:] == (height - 2, width - 2), 'A 3x3 convolution cuts off one pixel on each side: did you '
             'forget padding=1?'),
            (Y.shape[2] > height, 'It grew: does the padding fit the kernel (1 for 3x3)?'),
            (Y.shape[2] == -(-height // 2), 'Height and width are halved: is there a stride of 2, or a pooling that '
             'belongs to the transition layer?'),
            (Y.shape[2:] == (1, 1), 'Only one pixel is left: is there a global pooling?')])
        _require_statistics(block, norms, text, c)
        operations = {'BN': lambda x, p=norms[0]: look.norm(x, p), CONV: lambda x, p=convs[0]: look.conv(x, p)}
        right = ('BN', 'ReLU', CONV)
        Y = look.run(block, X, text)
        look.require_order(look.identify(X, Y, right, operations), right, text,
                           'BN and ReLU come first here, before the convolution; and BN sees both signs, before ReLU '
                           'takes one away. Which layer should see the input?')
        _require_training(block, X, text, lambda x, p=norms[0], q=convs[0]: look.conv(
            numpy.maximum(look.norm(x, p, train=True), 0), q))
        look.require_hybrid(block, X, Y, text)
        look.require_gradient(block, X, text)
    return 'conv_block: BN, ReLU, 3x3 convolution in this order, size kept, num_channels used. Correct.'


@check
def transition_block(f, pool='avg'):
    """Check a transition layer: BN, ReLU, 1x1 convolution, 2x2 pooling with stride 2.

    Parameters
    ----------
    f : callable
        ``f(num_channels)`` returns a Gluon block. **Inputs:** (N, C, H, W).
        **Outputs:** (N, num_channels, H // 2, W // 2).
    pool : {'avg', 'max'}
        Which pooling the task asks for.

    Raises
    ------
    CheckFailed
    """
    pools = {'avg': 'average pooling', 'max': 'max-pooling'}
    if pool not in pools:
        raise CheckFailed(f"checks.transition_block knows pool='avg' and pool='max', and got {shown(pool)}.")
    conv_name = '1x1 convolution'
    for num_channels, X in ((10, look.images(4, 23, 12, 8)), (4, look.images(2, 6, 9, 14))):
        block, text = look.build(f, {'num_channels': num_channels}, LAYER_HINTS)
        Y = look.fill(block, X, text, LAYER_HINTS)
        (n, c, height, width), k = X.shape, num_channels
        convs, norms, denses = look.parts(block)
        if not convs:  # a fully connected layer at each pixel is a 1x1 convolution
            convs = [{**part, 'weight': part['weight'][:, :, None, None]} for part in denses]
        _require_layers(block, text, len(convs), len(norms), 1, 1)
        out, _, *kernel = convs[0]['weight'].shape
        if tuple(kernel) != (1, 1):
            raise CheckFailed(f'The convolution of {text} has a kernel of {kernel[0]}x{kernel[1]}; a transition mixes '
                              'channels only and needs 1x1. What does kernel_size say?')
        look.require_shape(Y.shape, (n, k, height // 2, width // 2), X.shape, text, [
            (out == k // 2, 'num_channels is already what should come out. Do you halve it again?'),
            (out == c // 2, f'That is half of the input: the function should return num_channels = {k}, whatever '
             'comes in.'),
            (Y.shape[1:2] == (c,) and Y.shape[1] != k, 'It has as many channels as the input: where do you use '
             f'num_channels = {k}?'),
            (Y.shape[1:2] != (k,) and k == 4, 'For num_channels = 10 it returned 10 channels: is a number written '
             'into the code where num_channels should stand?'),
            (Y.shape[1:2] != (k,), f'The convolution makes {out} channels: is it given num_channels?'),
            (Y.shape[2:] == (height, width), 'Height and width are not halved: where is the pooling?'),
            (Y.shape[2:] == (height - 1, width - 1), 'The window moves by one pixel at a time: did you forget '
             'strides=2?'),
            (Y.shape[2:] == (-(-height // 2), -(-width // 2)), 'An odd size is rounded down in the articles: is there '
             'ceil_mode=True, or a padding?'),
            (Y.shape[2:] == (1, 1), 'Only one pixel is left: a GlobalAvgPool2D belongs to the end of the network.'),
            (Y.shape[2] == height // 3, 'Is the window 3 instead of 2?'),
            (Y.shape[2] == height // 4, 'Divided by four: is there a stride of 2 in the convolution as well?'),
            (Y.shape[2] > height // 2, 'Is there a padding? Neither the 1x1 convolution nor the pooling needs one.')])
        _require_statistics(block, norms, text, c)
        operations = {'BN': lambda x, p=norms[0]: look.norm(x, p), conv_name: lambda x, p=convs[0]: look.conv(x, p),
                      **{name: lambda x, how=how: look.pool(x, how) for how, name in pools.items()},
                      'picking every second pixel (a stride of 2 in the convolution, without pooling)':
                      lambda x: x[:, :, ::2, ::2][:, :, :x.shape[2] // 2, :x.shape[3] // 2]}
        right = ('BN', 'ReLU', conv_name, pools[pool])
        X = X[:, :, :height // 2 * 2, :width // 2 * 2]
        Y = look.run(block, X, text)
        found = look.identify(X, Y, right, operations)
        for name in operations:
            # Another pooling in the same place is likelier than another order.
            swapped = (*right[:3], name)
            if found is None or found != right:
                if name != right[3] and look.same(
                        look.apply(swapped, X, {**look.ACTIVATIONS, **operations}), Y):
                    raise CheckFailed(f'{text} ends with {name}; this task asks for {pools[pool]}. Which layer of '
                                      f'gluon.nn does that?')
        found = found or next((order for name in operations for order in itertools.permutations((*right[:3], name))
                               if look.same(look.apply(order, X, {**look.ACTIVATIONS, **operations}), Y)), None)
        look.require_order(found, right, text, 'As in conv_block, BN and ReLU come before the convolution. Which '
                           'layer should see the input, and which the result of the others?')
        _require_training(block, X, text, lambda x, p=norms[0], q=convs[0]: look.pool(look.conv(
            numpy.maximum(look.norm(x, p, train=True), 0), q), pool))
        look.require_hybrid(block, X, Y, text)
        look.require_gradient(block, X, text)
    return f'transition_block: BN, ReLU, 1x1 convolution, {pools[pool]}; height and width halved. Correct.'


@check
def bottleneck_layer(f):
    """Check a bottleneck layer: BN, ReLU, 1x1 convolution to 4k channels, BN, ReLU, 3x3 convolution to k.

    Parameters
    ----------
    f : callable
        ``f(growth_rate)`` returns a Gluon block. **Inputs:** (N, C, H, W). **Outputs:** (N, growth_rate, H, W).
        Convolutions may have biases or none.

    Raises
    ------
    CheckFailed
    """
    for k, X in ((6, look.images(3, 17, 5, 7)), (3, look.images(2, 5, 6, 4))):
        _bottleneck_layer(f, k, X)
    return 'bottleneck_layer: BN, ReLU, 1x1 to 4k, BN, ReLU, 3x3 to k. Correct.'


def _bottleneck_layer(f, k, X):
    block, text = look.build(f, {'growth_rate': k}, LAYER_HINTS)
    Y = look.fill(block, X, text, LAYER_HINTS)
    n, c, height, width = X.shape
    convs, norms, _ = look.parts(block)
    if len(convs) == 1:
        raise CheckFailed(f'{text} has one convolution ({_kernel(convs[0])}); a bottleneck layer has two: 1x1 to '
                          f'4 x {k} = {4 * k} channels, then 3x3 to {k}. Where is the other one?')
    _require_layers(block, text, len(convs), len(norms), 2, None)
    kernels = [_kernel(part) for part in convs]
    if kernels == ['3x3', '1x1']:
        raise CheckFailed(f'{text} has the 3x3 convolution first. Which of the two should see the many channels of '
                          'the input, the cheap 1x1 or the costly 3x3?')
    if kernels != ['1x1', '3x3']:
        raise CheckFailed(f'{text} has convolutions of {" and ".join(kernels)}; it should have 1x1 and then 3x3. '
                          'What do the two kernel_size say?')
    middle, out = convs[0]['weight'].shape[0], convs[1]['weight'].shape[0]
    if middle != 4 * k:
        hint = ('It has no widening: where is the factor 4?' if middle == k else
                'Is it 4 times the input? The bottleneck is measured in growth rates.' if middle == 4 * c else
                'Is the number written into the code, where 4 * growth_rate should stand?' if k == 3
                and middle == 24 else 'How wide is the bottleneck, in terms of growth_rate?')
        raise CheckFailed(f'The 1x1 convolution of {text} makes {middle} channels; it should make 4 x {k} = '
                          f'{4 * k}. {hint}')
    look.require_shape(Y.shape, (n, k, height, width), X.shape, text, [
        (Y.shape[1:2] == (c + k,), "It should return its own channels alone; the concatenation is the dense block's "
         'work.'),
        (out != k, f'The 3x3 convolution makes {out} channels: is it given growth_rate?'),
        (Y.shape[2:] == (height - 2, width - 2), 'Did you forget padding=1 of the 3x3 convolution?'),
        (Y.shape[2] > height, 'It grew: the 1x1 convolution needs no padding, the 3x3 one needs 1.'),
        (Y.shape[2] < height, 'Is there a stride or a pooling? A layer of a dense block keeps the size.')])
    _require_statistics(block, norms[:1], text, None)
    if len(norms) == 1:
        where = 'the 1x1' if norms[0]['gamma'].size != c else 'the 3x3'
        raise CheckFailed(f'{text} has one BatchNorm, on {norms[0]["gamma"].size} channels; it should have two, '
                          f'one before each convolution. Where is the one before {where} convolution?')
    _require_layers(block, text, len(convs), len(norms), 2, 2)
    first, second = _by_width(norms, (c, 4 * k), text)
    operations = {'BN (first)': lambda x: look.norm(x, first), '1x1 convolution': lambda x: look.conv(x, convs[0]),
                  'BN (second)': lambda x: look.norm(x, second), CONV: lambda x: look.conv(x, convs[1])}
    right = ('BN (first)', 'ReLU', '1x1 convolution', 'BN (second)', 'ReLU', CONV)
    Y = look.run(block, X, text)
    found = look.identify(X, Y, right, operations)
    look.require_order(found, right, text, 'Each convolution has BN and ReLU directly before it.')
    _require_training(block, X, text, lambda x: look.conv(numpy.maximum(look.norm(look.conv(numpy.maximum(
        look.norm(x, first, train=True), 0), convs[0]), second, train=True), 0), convs[1]))
    look.require_hybrid(block, X, Y, text)
    look.require_gradient(block, X, text)


def _by_width(norms, widths, text):
    """The two normalizations in the order in which they are used."""
    found = [part['gamma'].size for part in norms]
    if sorted(found) != sorted(widths):
        raise CheckFailed(f'The BatchNorms of {text} work on {found[0]} and {found[1]} channels; they should stand '
                          f'before the convolutions and so work on {widths[0]} and {widths[1]}. Is one of them after '
                          'its convolution?')
    return norms if found == list(widths) else norms[::-1]


def _kernel(part):
    return 'x'.join(str(side) for side in part['weight'].shape[2:])


def _require_layers(block, text, convs, norms, want_convs, want_norms):
    """The numbers of convolutions and normalizations; None: any."""
    layers = look.layer_names(block)
    forgotten = look.unused(block)
    if forgotten:
        raise CheckFailed(f'{text} has a {type(forgotten[0]).__name__} that is never used. Is it missing from forward?')
    if not convs and not norms:
        raise CheckFailed(f'{text} has no convolution and no BatchNorm; its layers: {layers}. Did you add the layers '
                          'to the block?')
    if convs < want_convs:
        raise CheckFailed(f'{text} has {"no convolution" if not convs else f"{convs} convolution"}; its layers: '
                          f'{layers}. Where is the Conv2D?')
    if convs > want_convs:
        raise CheckFailed(f'{text} has {convs} convolutions; it should have {want_convs}. Its layers: {layers}. Which '
                          'one is too many?')
    if want_norms is None:
        return
    if norms < want_norms:
        raise CheckFailed(f'{text} has {"no" if not norms else norms} batch normalization where it should have '
                          f'{want_norms}; its layers: {layers}. Where is the BatchNorm?')
    if norms > want_norms:
        raise CheckFailed(f'{text} has {norms} batch normalizations; it should have {want_norms}. Its layers: '
                          f'{layers}. Which one is too many?')


def _require_kernel(part, text, side, Y, X):
    _, channels, *kernel = part['weight'].shape
    if tuple(kernel) != (side, side):
        raise CheckFailed(f'The convolution of {text} has a kernel of {_kernel(part)}; it should be {side}x{side}. '
                          'What does kernel_size say?')
    if channels < X.shape[1] and X.shape[1] % channels == 0:
        raise CheckFailed(f'Each output channel of {text} reads {channels} of the {X.shape[1]} input channels; it '
                          'should read all of them. Is there a groups=...?')


def _require_statistics(block, norms, text, channels):
    """Batch normalization, over the channel axis."""
    for part in norms:
        if part['mean'] is None:
            kind = type(part['layer']).__name__
            raise CheckFailed(f'{text} normalizes with {kind}; the paper uses batch normalization, whose statistics '
                              'come from the whole batch. Which layer of gluon.nn does that?')
        if getattr(part['layer'], '_kwargs', {}).get('axis', 1) != 1:
            raise CheckFailed(f'The BatchNorm of {text} normalizes along axis {part["layer"]._kwargs["axis"]}; '
                              'channels are axis 1. Can you leave its axis out?')


def _require_training(block, X, text, reference):
    """In training BN uses the statistics of the batch, and nothing is drawn at random."""
    Y = look.run(block, X, text, train=True)
    if not look.same(Y, reference(X).astype('float32')):
        dropout = any(type(part).__name__ == 'Dropout' for part in look.walk(block))
        hint = ('This task asks for no Dropout.' if dropout else
                'Does its BatchNorm use the statistics of the batch in training (no use_global_stats)?')
        raise CheckFailed(f'{text} is right outside of training and wrong in training. {hint}')
