"""The checks of dense_block, dense_mlp: correct solutions pass, each likely mistake gets its own sentence."""

import functools

import pytest
from helpers import MODES
from learners import (
    BN,
    assert_passes,
    assert_sentence,
    assert_ten_mistakes,
    block_class,
    conv1,
    conv3,
    dense_forward,
    join,
    mistakes,
    my_conv_block,
    relu,
    sequence,
    solutions,
)
from mxnet import nd, np, npx
from mxnet.gluon import nn
from mxnet.util import is_np_array

from d2l_densenet import DenseBlock


def dense_layers(make):
    return block_class(dense_forward, make)


def returns_new_features(self, X):
    parts = []
    for layer in self.net:
        parts.append(layer(join(X, *parts) if parts else X))
    return join(*parts)


def returns_last(self, X):
    for layer in self.net:
        Y = layer(X)
        X = join(X, Y)
    return Y


def plain_chain(self, X):
    for layer in self.net:
        X = layer(X)
    return X


def adds(self, X):
    for layer in self.net:
        X = X + layer(X)
    return X


def joins_along_0(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], axis=0)
    return X


def joins_along_2(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], axis=2)
    return X


def joins_along_last(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], axis=-1)
    return X


def joins_without_axis(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)])
    return X


def joins_along_0_by_position(self, X):
    for layer in self.net:
        X = np.concatenate((X, layer(X)), 0)
    return X


def joins_without_list(self, X):
    for layer in self.net:
        X = np.concatenate(X, layer(X), axis=1)
    return X


def stacks(self, X):
    for layer in self.net:
        X = np.stack([X, layer(X)], axis=1)
    return X


def joins_with_dim(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], dim=1)
    return X


def joins_legacy(self, X):
    for layer in self.net:
        X = nd.concat(X, layer(X), dim=1)
    return X


def reversed_order(self, X):
    for layer in self.net:
        X = join(layer(X), X)
    return X


def returns_in_loop(self, X):
    for layer in self.net:
        X = join(X, layer(X))
        return X


def forgets_to_return(self, X):
    for layer in self.net:
        X = join(X, layer(X))


def keeps_the_input(self, X):
    for layer in self.net:
        Y = join(X, layer(X))
    return Y


def throws_away(self, X):
    for layer in self.net:
        join(X, layer(X))
    return X


def reads_only_last(self, X):
    out = Y = X
    for layer in self.net:
        Y = layer(Y)
        out = join(out, Y)
    return out


def reads_input_only(self, X):
    return join(X, *[layer(X) for layer in self.net])


def input_in_each_turn(self, X):
    first = X
    for layer in self.net:
        X = join(first, X, layer(X))
    return X


def returns_all(self, X):
    parts = [X]
    for layer in self.net:
        parts.append(layer(join(*parts)))
    return parts


def relu_outside(self, X):
    return npx.relu(dense_forward(self, X))


def changes_input(self, X):
    X *= 2
    return dense_forward(self, X)


def halves_input(self, X):
    return dense_forward(self, X * 0.5)


def second_block(forward):
    """Right in the block of four layers (three in the MLP), as `forward` in that of two."""
    return lambda self, X: forward(self, X) if len(self.net) == 2 else dense_forward(self, X)


def at_the_end(change):
    return lambda self, X: change(dense_forward(self, X))


def reads(chosen, returned=lambda parts: parts):
    """A forward whose layers read those of [x_0, x_1, ...] that `chosen` gives."""
    def forward(self, X):
        parts = [X]
        for layer in self.net:
            parts.append(layer(join(*chosen(parts))))
        return join(*returned(parts))
    return forward


def joins_along_3(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], axis=3)
    return X


def joins_along_minus_2(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], axis=-2)
    return X


TYPED_IN = {'np': np, '__name__': '__main__'}
# A name of its own: of '<string>' Python 3.13 may know the source, that of `python -c`.
exec(compile("""def joins_without_source(self, X):
    for layer in self.net:
        X = np.concatenate([X, layer(X)], axis=0)
    return X""", '<typed in>', 'exec'), TYPED_IN)


def newest_first(self, X):
    parts = [X]
    for layer in self.net:
        parts.insert(1, layer(join(*parts)))
    return join(*parts)


def joins_what_the_row_is_above_the_mean(self, X):
    for layer in self.net:
        Y = layer(X)
        X = join(X, Y - Y.mean(axis=0))
    return X


def misnamed(self, X):
    for layer in self.nets:
        X = join(X, layer(X))
    return X


class WithoutSelf(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()

    def forward(X):
        return X


class PlainList(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = [my_conv_block(num_channels) for _ in range(num_convs)]

    def forward(self, X):
        for layer in self.layers:
            X = join(X, layer(X))
        return X


class WithoutSuper(nn.Block):
    def __init__(self, num_convs, num_channels):
        self.net = nn.Sequential()

    def forward(self, X):
        return X


class WithoutSuperOrLayers(nn.Block):
    def __init__(self, num_convs, num_channels):
        self.num_convs = num_convs

    def forward(self, X):
        return X


class NotABlock:
    def __init__(self, num_convs, num_channels):
        self.net = nn.Sequential()

    def forward(self, X):
        return X


class MisspeltInit(nn.Block):
    def _init_(self, num_convs, num_channels):
        self.net = nn.Sequential()

    def forward(self, X):
        return X


class ForgetsNumConvs(nn.Block):
    def __init__(self, num_channels):
        super().__init__()

    def forward(self, X):
        return X


class ReusesOneLayer(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.num_convs, self.layer = num_convs, my_conv_block(num_channels)

    def forward(self, X):
        for _ in range(self.num_convs):
            X = join(X, self.layer(X))
        return X


class BlockInHybrid(nn.HybridBlock):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.HybridSequential()
        self.net.add(*[my_conv_block(num_channels) for _ in range(num_convs)])

    def hybrid_forward(self, F, X):
        return dense_forward(self, X)


class HybridWithoutF(nn.HybridBlock):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.HybridSequential()
        self.net.add(*[sequence(BN, relu, conv3, kind=nn.HybridSequential)(num_channels) for _ in range(num_convs)])

    def hybrid_forward(self, F, X):
        for layer in self.net:
            X = np.concatenate([X, layer(X)], axis=1)
        return X


def one_conv_block(L, k):
    return [my_conv_block(k)]


def same_layer(L, k):
    return [my_conv_block(k)] * L


def same_convolution(L, k):
    conv = conv3(k)
    return [sequence(BN, relu, lambda k: conv)(k) for _ in range(L)]


DENSE_BLOCKS = [
    ('new features only', block_class(returns_new_features),
     r'returns 40 channels; it should return 5 \+ 4 x 10 = 45\. .*did you concatenate the input'),
    ('last layer only', block_class(returns_last), r'returns 10 channels.*last layer alone'),
    ('no concatenation', block_class(plain_chain),
     r'returns 10 channels; it should return 5 \+ 4 x 10 = 45: did you concatenate the input.*plain chain'),
    ('adds', block_class(adds), r'line \d+: `X = X \+ layer\(X\)`\. You add the two, as ResNet does'),
    ('axis 0', block_class(joins_along_0), r'concatenate along axis 0, which is the batch'),
    ('axis 0 by position', block_class(joins_along_0_by_position), r'concatenate along axis 0'),
    ('no list', block_class(joins_without_list), r'as one list: \[X, Y\]'),
    ('axis 2', block_class(joins_along_2), r'along axis 2, the height'),
    ('axis -1', block_class(joins_along_last), r'along axis -1, the last one'),
    ('no axis', block_class(joins_without_axis), r'without axis= joins along axis 0'),
    ('stack', block_class(stacks), r'np\.stack makes a new axis'),
    ('dim', block_class(joins_with_dim), r'np\.concatenate calls it axis'),
    ('nd.concat in np mode', block_class(joins_legacy), r'Two kinds of arrays meet'),
    ('reversed', block_class(reversed_order), r'last 5 channels .* are the input; it should be the first'),
    ('return in the loop', block_class(returns_in_loop), r'4 convolutions, and forward used 1 .*not inside'),
    ('no return', block_class(forgets_to_return), r'returns None \(\w+\.py, line \d+\).*return'),
    ('overwrites', block_class(keeps_the_input), r'returns 15 channels.*turn before'),
    ('throws away', block_class(throws_away), r'returns 5 channels, as many as came in'),
    ('reads only the last', block_class(reads_only_last),
     r'Layer 2 of MyDenseBlock\(4, 10\) reads 10 channels; .*5 \+ 1 x 10 = 15\. Only the layer before'),
    ('reads only the input', block_class(reads_input_only), r"reads 5 channels.*block's input alone"),
    ('input in each turn', block_class(input_in_each_turn), r'more than 5 \+ 4 x 10.*more than once'),
    ('returns the list', block_class(returns_all), r'returns a list of length 5.*concatenated'),
    ('relu outside', block_class(relu_outside), r'input after a ReLU'),
    ('changes the input', block_class(changes_input), r'changes the input.*line \d+: `X \*= 2`'),
    ('changes the input of the second block', block_class(second_block(changes_input)),
     r'MyDenseBlock\(2, 4\), given an input of shape \(3, 7, 5, 9\), changes the input'),
    ('no concatenation in the second block', block_class(second_block(plain_chain)),
     r'MyDenseBlock\(2, 4\) returns 4 channels; it should return 7 \+ 2 x 4 = 15'),
    ('batch doubled', block_class(at_the_end(lambda X: np.concatenate([X, X], axis=0))),
     r'returns shape \(4, 45, 8, 6\); it should be \(2, 45, 8, 6\)\. The batch has grown'),
    ('a pixel less at each edge', block_class(at_the_end(lambda X: X[:, :, 1:-1, 1:-1])), r'Did you forget padding=1'),
    ('a row less', block_class(at_the_end(lambda X: X[:, :, 1:])), r'Height and width should stay as they are'),
    ('a pixel less above and below', block_class(at_the_end(lambda X: X[:, :, 1:-1])), r'Height and width should stay'),
    ('everything twice', block_class(at_the_end(lambda X: join(X, X))), r'Everything is there twice'),
    ('outputs of a chain', block_class(reads(lambda parts: parts[-1:], lambda parts: parts[1:])),
     r'That is not 5 \+ 4 x 10\. Which features are missing'),
    ('the last two', block_class(reads(lambda parts: parts, lambda parts: parts[-2:])),
     r'That is not 5 \+ 4 x 10\. Which features are missing'),
    ('axis 3', block_class(joins_along_3), r'along axis 3, the width'),
    ('axis -2', block_class(joins_along_minus_2), r'along axis -2\. Which axis'),
    ('no source', block_class(TYPED_IN['joins_without_source']), r'Along which axis do you concatenate\? .*padding=1'),
    ('reads all but the input', block_class(reads(lambda parts: parts if len(parts) < 3 else parts[1:])),
     r"Layer 3 .* reads 20 channels; .*5 \+ 2 x 10 = 25\. The block's input is missing in it"),
    ('reads the input and the last', block_class(reads(lambda parts: [*parts[:1], *parts[1:][-1:]])),
     r"Layer 3 .* reads 15 channels; .*The block's input and the layer before it only"),
    ('reads the last twice', block_class(reads(lambda parts: [*parts, *parts[2:][-1:]])),
     r'Layer 3 .* reads 35 channels; .*What is concatenated before it\? \(Read by layers 1 to 4: 5, 15, 35, 45; '
     r'wanted: 5, 15, 25, 35\.\)'),
    ('reads the input last', block_class(reads(lambda parts: [*parts[1:], parts[0]])),
     r'Layer 2 .* reads the earlier layers first and the input last'),
    ('newest first', block_class(newest_first), r'features of layer 1 .* stand where those of layer 4 should'),
    ('another input', block_class(halves_input), r'first 5 channels .* value by value'),
    ('misnamed attribute', block_class(misnamed), r"AttributeError.*'nets'.*line \d+: `for layer in self\.nets:`"),
    ('without self', WithoutSelf, r'A method takes self first'),
    ('one layer too few', dense_layers(lambda L, k: [my_conv_block(k) for _ in range(L - 1)]), r'one too early'),
    ('one layer too many', dense_layers(lambda L, k: [my_conv_block(k) for _ in range(L + 1)]), r'one time too many'),
    ('one layer', dense_layers(one_conv_block), r'one convolution; it should have 4.*inside the loop'),
    ('num_convs hard-coded', dense_layers(lambda L, k: [my_conv_block(k) for _ in range(4)]),
     r'where num_convs should'),
    ('num_channels layers', dense_layers(lambda L, k: [my_conv_block(k) for _ in range(k)]),
     r'has 10 convolutions; it should have num_convs = 4\. Is the number written'),
    ('num_convs channels', dense_layers(lambda L, k: [my_conv_block(L) for _ in range(L)]),
     r'make 4, 4, 4, 4 channels; each should make num_channels = 10'),
    ('no layer', dense_layers(lambda L, k: []), r'has no convolution; .*add 4 conv_blocks'),
    ('two normalizations', dense_layers(lambda L, k: [sequence(BN, relu, BN, conv3)(k) for _ in range(L)]),
     r'has 8 batch normalizations; it should have 4'),
    ('5x5 at the end', dense_layers(lambda L, k: [
        my_conv_block(k) if i < L - 1 else sequence(BN, relu, lambda k: nn.Conv2D(k, 5, padding=2))(k)
        for i in range(L)]), r'kernels of 3x3, 5x5; they should be 3x3'),
    ('Dropout in the second layer', dense_layers(lambda L, k: [
        my_conv_block(k) if i != 1 else sequence(BN, relu, conv3, lambda k: nn.Dropout(0.5))(k) for i in range(L)]),
     r'wrong in training, from layer 2 on'),
    ('num_channels hard-coded', dense_layers(lambda L, k: [my_conv_block(10) for _ in range(L)]),
     r'make 10, 10 channels; each should make num_channels = 4'),
    ('swapped', dense_layers(lambda L, k: [my_conv_block(L) for _ in range(k)]),
     r'10 convolutions of 4 channels; it should have 4 of 10\. .*give 40 new channels.*num_channels swapped'),
    ('growing width', dense_layers(lambda L, k: [my_conv_block(k * (i + 1)) for i in range(L)]), r'nothing that grows'),
    ('[layer] * n', dense_layers(same_layer), r'one and the same Sequential .* 4 times.*\[layer\] \* n'),
    ('one convolution shared', dense_layers(same_convolution), r'one and the same Conv2D 4 times'),
    ('one layer called often', ReusesOneLayer, r'one layer used twice'),
    ('plain list', PlainList, r'self\.layers of your PlainList is a plain list with 4 layers.*nn\.Sequential'),
    ('no super().__init__', WithoutSuper, r'line \d+: `self\.net = nn\.Sequential\(\)`.*super\(\)\.__init__\(\)'),
    ('no super().__init__, no layers', WithoutSuperOrLayers, r'super\(\)\.__init__\(\)'),
    ('no nn.Block', NotABlock, r'class NotABlock is not a Gluon block.*class NotABlock\(nn\.Block\)'),
    ('_init_', MisspeltInit, r'no __init__ of its own'),
    ('no num_convs', ForgetsNumConvs, r'should take \(num_convs, num_channels\), and yours takes \(num_channels\)'),
    ('no ReLU', dense_layers(lambda L, k: [sequence(BN, conv3)(k) for _ in range(L)]),
     r'Layer 1 of .* computes BN, 3x3 convolution, in this order.*Where is the ReLU'),
    ('no BN', dense_layers(lambda L, k: [sequence(relu, conv3)(k) for _ in range(L)]), r'no batch normalization'),
    ('conv first', dense_layers(lambda L, k: [sequence(conv3, BN, relu)(k) for _ in range(L)]),
     r'computes 3x3 convolution, BN, ReLU'),
    ('no padding', dense_layers(lambda L, k: [sequence(BN, relu, lambda k: nn.Conv2D(k, 3))(k) for _ in range(L)]),
     r'heights and widths differ.*padding=1'),
    ('1x1', dense_layers(lambda L, k: [sequence(BN, relu, conv1)(k) for _ in range(L)]), r'kernels of 1x1'),
    ('Block in HybridSequential', BlockInHybrid, r'ValueError.*HybridBlock.*hybrid_forward, or put it into nn'),
    ('np in hybrid_forward', HybridWithoutF, r'after hybridize\(\).*from F'),
    ('no arguments', lambda: None, r'should take \(num_convs, num_channels\), and yours takes \(\)'),
    ('class returned', lambda L, k: nn.Sequential, r'returns the class'),
]


def dense(k):
    return nn.Dense(k, activation='relu')


def mlp_layers(make):
    return block_class(dense_forward, lambda L, k: [make(k) for _ in range(L)])


def mlp(forward):
    return block_class(forward, lambda L, k: [dense(k) for _ in range(L)])


MLPS = [
    ('new features only', mlp(returns_new_features), r'did you concatenate the input'),
    ('last layer only', mlp(returns_last), r'last layer alone'),
    ('no concatenation', mlp(plain_chain), r'plain chain'),
    ('adds', mlp(adds), r'You add the two'),
    ('axis 0', mlp(joins_along_0), r'along axis 0, which is the batch'),
    ('no axis', mlp(joins_without_axis), r'without axis='),
    ('reversed', mlp(reversed_order), r'last 5 features'),
    ('return in the loop', mlp(returns_in_loop), r'3 fully connected layers, and forward used 1'),
    ('no return', mlp(forgets_to_return), r'returns None'),
    ('throws away', mlp(throws_away), r'as many as came in'),
    ('overwrites', mlp(keeps_the_input), r'turn before'),
    ('reads only the last', mlp(reads_only_last), r'Layer 2 .* reads 10 values.*5 \+ 1 x 10 = 15'),
    ('no nonlinearity', mlp_layers(lambda k: nn.Dense(k)), r'Layer 1 .* is a linear map.*nonlinearity'),
    ('shared', block_class(dense_forward, lambda L, k: [dense(k)] * L), r'one and the same Dense 3 times'),
    ('one layer too few', block_class(dense_forward, lambda L, k: [dense(k) for _ in range(L - 1)]),
     r'2 fully connected layers; it should have num_layers = 3'),
    ('output layer', block_class(dense_forward, lambda L, k: [dense(k) for _ in range(L)] + [nn.Dense(1)]),
     r'4 fully connected layers.*one for the result'),
    ('swapped', block_class(dense_forward, lambda L, k: [dense(L) for _ in range(k)]), r'swapped'),
    ('convolution', mlp_layers(conv3), r'right kind of layer'),
    ('plain list', type('Hidden', (PlainList,), {}), r'plain list'),
    ('changes the input', mlp(changes_input), r'changes the input'),
    ('changes the input of the second block', mlp(second_block(changes_input)),
     r'MyDenseBlock\(2, 4\), given an input of shape \(3, 7\), changes the input'),
    ('new features only in the second block', mlp(second_block(returns_new_features)),
     r'MyDenseBlock\(2, 4\), .*returns shape \(3, 8\); it should be \(3, 15\)\. Those are the new features alone'),
    ('batch doubled', mlp(at_the_end(lambda X: np.concatenate([X, X], axis=0))), r'The batch has grown'),
    ('outputs of a chain', mlp(reads(lambda parts: parts[-1:], lambda parts: parts[1:])),
     r'returns shape \(6, 30\); .*It should be 5 \+ 3 x 10 = 35\. What is missing'),
    ('everything twice', mlp(at_the_end(lambda X: join(X, X))), r'What is missing, or there twice'),
    ('no Dense', block_class(dense_forward, lambda L, k: [nn.Activation('relu')] * L), r'Where is nn\.Dense'),
    ('one layer', block_class(dense_forward, lambda L, k: [dense(k)]), r'has 1 fully .*inside the loop'),
    ('growth_rate hard-coded', mlp_layers(lambda k: dense(10)), r'make 10, 10 values; .*growth_rate = 4'),
    ('growth_rate layers', block_class(dense_forward, lambda L, k: [dense(k) for _ in range(k)]),
     r'has 10 fully connected layers; it should have num_layers = 3\. Does the loop'),
    ('num_layers values', block_class(dense_forward, lambda L, k: [dense(L) for _ in range(L)]),
     r'make 3, 3, 3 values; .*growth_rate = 10'),
    ('last layer linear', block_class(dense_forward, lambda L, k: [
        nn.Dense(k, activation='relu' if i < L - 1 else None) for i in range(L)]), r'Layer 3 .* is a linear map'),
    ('BN, and no ReLU', mlp_layers(sequence(BN, nn.Dense)), r'Layer 1 .* is a linear map.*nonlinearity'),
    ('BN at the end, and no ReLU', mlp_layers(lambda k: sequence(lambda k: nn.Dense(k), BN)(k)),
     r'Layer 1 .* is a linear map'),
    ('linear without bias', mlp_layers(lambda k: nn.Dense(k, use_bias=False)), r'Layer 1 .* is a linear map'),
    ('rows mixed', mlp(joins_what_the_row_is_above_the_mean), r'first row of a batch other values when it comes alone'),
]


class HybridDense(nn.HybridBlock):
    """As a HybridBlock; without biases; initialized and hybridized by the learner."""

    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.HybridSequential()
        for _ in range(num_convs):
            self.net.add(sequence(BN, relu, lambda k: nn.Conv2D(k, 3, padding=1, use_bias=False),
                                  kind=nn.HybridSequential)(num_channels))
        self.initialize()
        self.hybridize()

    def hybrid_forward(self, F, X):
        for layer in self.net:
            X = F.np.concatenate([X, layer(X)], axis=1) if is_np_array() else F.concat(X, layer(X), dim=1)
        return X


class ListOfFeatures(nn.Block):
    """Keeps x_0 to x_L in a list, and its layers in one too, but registers them."""

    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = [my_conv_block(num_channels) for _ in range(num_convs)]
        for layer in self.layers:
            self.register_child(layer)

    def forward(self, X):
        features = [X]
        for layer in self.layers:
            features.append(layer(join(*features)))
        return join(*features)


class ListAndSequential(nn.Block):
    """Has its layers in a list besides the nn.Sequential in which they are registered."""

    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = [my_conv_block(num_channels) for _ in range(num_convs)]
        self.net = nn.Sequential()
        self.net.add(*self.layers)

    forward = dense_forward


def pre_activation_mlp(L, k):
    return [sequence(BN, relu, lambda k: nn.Dense(k))(k) for _ in range(L)]


MISTAKES = [
    *[('dense_block', *row) for row in DENSE_BLOCKS],
    *[('dense_mlp', *row) for row in MLPS],
]

CORRECT = [
    ('dense_block', block_class(dense_forward)),
    ('dense_block', HybridDense),
    ('dense_block', ListOfFeatures),
    ('dense_block', ListAndSequential),
    ('dense_block', DenseBlock),
    ('dense_block', functools.partial(DenseBlock, bias=False)),
    ('dense_mlp', mlp(dense_forward)),
    ('dense_mlp', block_class(dense_forward, pre_activation_mlp)),
    ('dense_mlp', mlp_layers(lambda k: nn.Dense(k, activation='relu', use_bias=False))),
    ('dense_mlp', mlp_layers(lambda k: nn.Dense(k, activation='tanh', flatten=False))),
]


@mistakes(MISTAKES)
def test_a_mistake_gets_its_own_sentence(check, learner, expected):
    assert_sentence(check, learner, expected)


@pytest.mark.parametrize('mode', MODES)
@solutions(CORRECT)
def test_a_correct_solution_passes(mode, check, learner, capsys):
    assert_passes(check, learner, mode, capsys)


def test_every_check_knows_at_least_ten_mistakes():
    assert_ten_mistakes('dense', MISTAKES)
