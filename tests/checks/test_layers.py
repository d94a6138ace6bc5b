"""The checks of single layers: correct ones pass, and each likely mistake gets its own sentence."""

import math
import random

import pytest
from helpers import MODES, switch
from learners import (
    BN,
    ConvBlock,
    assert_passes,
    assert_sentence,
    assert_ten_mistakes,
    average,
    conv1,
    conv3,
    join,
    maximum,
    message_of,
    mistakes,
    my_conv_block,
    relu,
    sequence,
    solutions,
)
from mxnet import autograd, np, npx
from mxnet.gluon import nn

import d2l_densenet
from d2l_densenet import checks


def adds_but_returns_nothing(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))


def returns_what_add_gives(num_channels):
    return nn.Sequential().add(nn.BatchNorm(), nn.Activation('relu'))


def adds_a_function(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), npx.relu, nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return block


def adds_a_list(num_channels):
    block = nn.Sequential()
    block.add([nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1)])
    return block


def misspelt(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2d(num_channels, kernel_size=3, padding=1))
    return block


def undefined(num_channels):
    return conv_blok(num_channels)  # noqa: F821


def names_its_layers(num_channels):
    block = nn.Sequential()
    block.add(layers=[nn.BatchNorm(), nn.Activation('relu'), conv3(num_channels)])
    return block


def initializes_a_function(num_channels):
    block = adds_a_function(num_channels)
    block.initialize()
    return block


class Act(nn.Block):
    """An activation of another kind."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, X):
        return self.function(X)


def with_activation(function):
    return sequence(BN, lambda k: Act(function), conv3)


def leaky(k):
    return Act(lambda X: npx.leaky_relu(X, slope=0.01))


def gelu(X):
    return X * 0.5 * (1 + np.tanh((2 / math.pi) ** 0.5 * (X + 0.044715 * X * X * X)))


class ReadsSome(nn.Block):
    def __init__(self, num_channels, count):
        super().__init__()
        self.count, self.rest = count, sequence(BN, relu, conv3)(num_channels)

    def forward(self, X):
        return self.rest(X[:, :self.count])


class Twins(nn.Block):
    """Two convolutions with one weight, of which the second is used."""

    def __init__(self, num_channels):
        super().__init__()
        self.bn, self.first = nn.BatchNorm(), conv3(num_channels)
        self.second = nn.Conv2D(num_channels, kernel_size=3, padding=1, params=self.first.params)

    def forward(self, X):
        return self.second(npx.relu(self.bn(X)))


class Scaled(nn.Block):
    """A weight that no gradient reaches."""

    def __init__(self, num_channels):
        super().__init__()
        self.rest = my_conv_block(num_channels)
        self.weight = self.params.get('weight', shape=(1,))

    def forward(self, X):
        with autograd.pause():
            scale = 1 + 0 * self.weight.data()
        return self.rest(X) * scale


class CountsItsCalls(nn.HybridBlock):
    """Its graph is another one than what it computes call by call."""

    def __init__(self, num_channels):
        super().__init__()
        self.layers = nn.HybridSequential()
        self.layers.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))

    def hybrid_forward(self, F, X):
        return self.layers(X) * (1 if isinstance(X, np.ndarray) else 2)


class Concatenates(nn.Sequential):
    def forward(self, X):
        return join(X, super().forward(X))


class WritesIntoInput(nn.Sequential):
    def forward(self, X):
        X[:] = X - 1
        return super().forward(X)


class ReturnsNumPy(nn.Sequential):
    def forward(self, X):
        return super().forward(X).asnumpy()


class Detaches(nn.Sequential):
    def forward(self, X):
        return super().forward(np.array(X.asnumpy()))


class NotInHybrid(nn.HybridBlock):
    def __init__(self, num_channels):
        super().__init__()
        self.layers = nn.HybridSequential()
        self.layers.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))

    def hybrid_forward(self, F, X):
        assert X.shape[0]
        return self.layers(X)


class NoHybridForward(nn.HybridBlock):
    def __init__(self, num_channels):
        super().__init__()


class ReturnsText(nn.Sequential):
    def forward(self, X):
        super().forward(X)
        return 'done'


class ReturnsOtherKind(nn.Sequential):
    def forward(self, X):
        return super().forward(X).as_nd_ndarray()


class NoForward(nn.Block):
    def __init__(self, num_channels):
        super().__init__()
        self.conv = nn.Conv2D(num_channels, kernel_size=3, padding=1)

    def froward(self, X):
        return self.conv(X)


class ForgetsConv(nn.Block):
    def __init__(self, num_channels):
        super().__init__()
        self.bn, self.conv = nn.BatchNorm(), nn.Conv2D(num_channels, kernel_size=3, padding=1)

    def forward(self, X):
        return npx.relu(self.bn(X))


CONV_BLOCKS = [
    ('no BN', sequence(relu, conv3), r'no batch normalization.*Activation, Conv2D.*BatchNorm'),
    ('no ReLU', sequence(BN, conv3), r'Where is the ReLU'),
    ('no convolution', sequence(BN, relu), r'no convolution.*Conv2D'),
    ('empty', sequence(), r'no convolution and no BatchNorm'),
    ('conv, BN, ReLU', sequence(conv3, BN, relu), r'computes 3x3 convolution, BN, ReLU, in this order'),
    ('BN, conv, ReLU', sequence(BN, conv3, relu), r'computes BN, 3x3 convolution, ReLU, in this order'),
    ('ReLU, BN, conv', sequence(relu, BN, conv3), r'computes ReLU, BN, 3x3 convolution.*takes one away'),
    ('ReLU at the end too', sequence(BN, relu, conv3, relu), r'second ReLU'),
    ('sigmoid', sequence(BN, lambda k: nn.Activation('sigmoid'), conv3), r'sigmoid instead of ReLU'),
    ('no padding', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=3)),
     r'\(4, 10, 6, 4\); it should be \(4, 10, 8, 6\)\. .*padding=1'),
    ('1x1', sequence(BN, relu, conv1), r'kernel of 1x1'),
    ('5x5', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=5, padding=2)), r'kernel of 5x5'),
    ('stride', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=3, padding=1, strides=2)), r'stride of 2'),
    ('too much padding', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=3, padding=2)), r'It grew'),
    ('padding of the width alone', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=3, padding=(0, 1))),
     r'\(4, 10, 6, 6\); it should be \(4, 10, 8, 6\)\. Which of your layers changes it so'),
    ('stride in the second block', lambda k: (my_conv_block if k == 10 else sequence(
        BN, relu, lambda k: nn.Conv2D(k, kernel_size=3, padding=1, strides=2)))(k),
     r'input of shape \(3, 7, 5, 9\), returns shape \(3, 4, 3, 5\); it should be \(3, 4, 5, 9\)\. .*are halved'),
    ('global pooling', sequence(BN, relu, conv3, lambda k: nn.GlobalAvgPool2D()), r'Only one pixel is left'),
    ('three channels', lambda k: my_conv_block(3), r'as many channels as the input: .* num_channels = 10'),
    ('twice the channels', lambda k: my_conv_block(2 * k), r'makes 20 channels: is it given num_channels'),
    ('reads one channel', lambda k: ReadsSome(k, 1), r'reads 1 of the 3 input channels'),
    ('reads two channels', lambda k: ReadsSome(k, 2), r'has the right shape, but its values are not those of BN'),
    ('BN of the running statistics', sequence(lambda k: nn.BatchNorm(use_global_stats=True), relu, conv3),
     r'wrong in training\. Does its BatchNorm'),
    *[(name, with_activation(function), rf'computes BN, {name}, 3x3 convolution, .*has {name} instead of ReLU'.replace(
        '(', '[(]').replace(')', '[)]')) for name, function in [
            ('tanh', np.tanh), ('softplus', lambda X: np.log(1 + np.exp(X))), ('softsign', lambda X: X / (1 + abs(X))),
            ('leaky ReLU (0.01)', lambda X: npx.leaky_relu(X, slope=0.01)),
            ('leaky ReLU (0.1)', lambda X: npx.leaky_relu(X, slope=0.1)),
            ('leaky ReLU (0.2)', lambda X: npx.leaky_relu(X, slope=0.2)), ('GELU', gelu),
            ('Swish', lambda X: X * npx.sigmoid(X)), ('ELU', lambda X: npx.leaky_relu(X, act_type='elu', slope=1.0))]],
    ('square', with_activation(lambda X: X * X), r'values are not those of BN, ReLU, 3x3 convolution with your own'),
    ('ReLU first and last', sequence(relu, BN, conv3, relu),
     r'computes ReLU, BN, 3x3 convolution, ReLU, .*What is the second ReLU for'),
    ('one weight twice', Twins, r'Two layers of Twins\(10\) share the parameter \w+weight'),
    ('weight without gradient', Scaled, r'No gradient reaches the parameter \w+weight of Scaled\(10\)'),
    ('another graph', CountsItsCalls, r'gives other values after hybridize\(\)'),
    ('no hybrid_forward', NoHybridForward, r'no method forward \(or hybrid_forward\) of its own'),
    ('text from forward', sequence(BN, relu, conv3, kind=ReturnsText), r"should return an array and returns 'done'"),
    ('nd from forward', sequence(BN, relu, conv3, kind=ReturnsOtherKind),
     r'Two kinds of arrays meet: use mx\.np throughout'),
    ('layers by name', names_its_layers, r'block\.add takes layers, one after the other'),
    ('function initialized', initializes_a_function, r'Only blocks can be added to a Sequential'),
    ('hard-coded', lambda k: my_conv_block(10), r'is a number written into the code'),
    ('two convolutions', sequence(BN, relu, conv3, conv3), r'2 convolutions; it should have 1'),
    ('two BN', sequence(BN, BN, relu, conv3), r'2 batch normalizations'),
    ('dropout', sequence(BN, relu, conv3, lambda k: nn.Dropout(0.5)), r'wrong in training.*no Dropout'),
    ('flattens', sequence(BN, relu, conv3, lambda k: nn.Flatten()), r'should have 4 axes'),
    ('layer norm', sequence(lambda k: nn.LayerNorm(axis=1), relu, conv3), r'LayerNorm.*batch normalization'),
    ('other axis', sequence(lambda k: nn.BatchNorm(axis=2), relu, conv3), r'along axis 2'),
    ('float channels', lambda k: my_conv_block(k / 1), r'must be an integer'),
    ('concatenates', sequence(BN, relu, conv3, kind=Concatenates), r'returns shape \(4, 13, 8, 6\).*dense block'),
    ('no return', adds_but_returns_nothing, r'returns None \(\w+\.py, line \d+\)\. Did you forget `return`'),
    ('return add', returns_what_add_gives, r'block\.add\(\.\.\.\) returns None'),
    ('class', lambda k: nn.Sequential, r'returns the class Sequential'),
    ('list', lambda k: [nn.BatchNorm(), nn.Activation('relu'), conv3(k)], r'list of length 3'),
    ('number', lambda k: 3 * k, r'should return a Gluon block and returns 30 \(of type int\)'),
    ('instance given', my_conv_block(10), r'without brackets'),
    ('no function', 'conv_block', r"without brackets after its name\. It got 'conv_block'"),
    ('no argument', lambda: my_conv_block(10), r'should take \(num_channels\), and yours takes \(\)'),
    ('function added', adds_a_function, r'npx\.relu is a function'),
    ('list added', adds_a_list, r'list of layers was added.*add\(\*layers\)'),
    ('misspelt layer', misspelt, r'AttributeError: .*Conv2d.*line \d+: `block\.add\(nn\.BatchNorm\(\).*small letters'),
    ('undefined name', undefined, r'NameError: .*conv_blok.*typing mistake'),
    ('writes into input', sequence(BN, relu, conv3, kind=WritesIntoInput),
     r'changes the input.*at \w+\.py, line \d+: `X\[:\] = X - 1`'),
    ('NumPy array', sequence(BN, relu, conv3, kind=ReturnsNumPy), r'returns a NumPy array.*asnumpy'),
    ('detached', sequence(BN, relu, conv3, kind=Detaches), r'No gradient reaches the input.*asnumpy'),
    ('not hybridizable', NotInHybrid, r'after hybridize\(\).*shape'),
    ('forward misspelt', NoForward, r'no method forward'),
    ('unused layer', ForgetsConv, r'Conv2D that is never used.*forward'),
    ('not written yet', lambda k: (_ for _ in ()).throw(NotImplementedError()), r'not written yet'),
]

TRANSITIONS = [
    ('no pooling', sequence(BN, relu, conv1), r'not halved: where is the pooling'),
    ('max', sequence(BN, relu, conv1, maximum), r'ends with max-pooling; this task asks for average'),
    ('no BN', sequence(relu, conv1, average), r'no batch normalization'),
    ('no ReLU', sequence(BN, conv1, average), r'Where is the ReLU'),
    ('no convolution', sequence(BN, relu, average), r'no convolution'),
    ('conv first', sequence(conv1, BN, relu, average), r'computes 1x1 convolution, BN, ReLU, average pooling'),
    ('pool first', sequence(average, BN, relu, conv1), r'in this order; it should compute BN, ReLU'),
    ('ReLU first', sequence(relu, BN, conv1, average), r'computes ReLU, BN'),
    ('3x3', sequence(BN, relu, conv3, average), r'kernel of 3x3'),
    ('stride in the convolution', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=1, strides=2)),
     r'stride of 2 in the convolution, without pooling'),
    ('stride 1', sequence(BN, relu, conv1, lambda k: nn.AvgPool2D(2, strides=1)), r'forget strides=2'),
    ('global', sequence(BN, relu, conv1, lambda k: nn.GlobalAvgPool2D()), r'GlobalAvgPool2D belongs'),
    ('window 3', sequence(BN, relu, conv1, lambda k: nn.AvgPool2D(3)), r'window 3'),
    ('half of the input', lambda k: sequence(BN, relu, conv1, average)(11), r'half of the input: .*num_channels = 10,'),
    ('all of the input', lambda k: sequence(BN, relu, conv1, average)(23), r'as many channels as the input: .* = 10\?'),
    ('seven channels', lambda k: sequence(BN, relu, conv1, average)(7), r'makes 7 channels: is it given num_channels'),
    ('window too large', sequence(BN, relu, conv1, lambda k: nn.AvgPool2D(16)), r'too small for that kernel'),
    ('stride 1 of the height', sequence(BN, relu, conv1, lambda k: nn.AvgPool2D(2, strides=(1, 2))),
     r'\(4, 10, 11, 4\); it should be \(4, 10, 6, 4\)\. Is there a padding'),
    ('no pooling in the second block', lambda k: sequence(BN, relu, conv1, *[average] * (k == 10))(k),
     r'input of shape \(2, 6, 9, 14\), returns shape \(2, 4, 9, 14\); it should be \(2, 4, 4, 7\)\. .*not halved'),
    ('both strides', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=1, strides=2), average), r'Divided by four'),
    ('ceil_mode', sequence(BN, relu, conv1, lambda k: nn.AvgPool2D(2, ceil_mode=True)), r'rounded down.*ceil_mode'),
    ('padding', sequence(BN, relu, lambda k: nn.Conv2D(k, kernel_size=1, padding=1), average), r'Is there a padding'),
    ('halves again', lambda k: sequence(BN, relu, conv1, average)(k // 2), r'halve it again'),
    ('hard-coded', lambda k: sequence(BN, relu, conv1, average)(10), r'number written into the code'),
    ('no return', lambda k: None, r'returns None'),
    ('ReLU at the end', sequence(BN, relu, conv1, average, relu), r'second ReLU'),
]

MAX_TRANSITIONS = [
    ('average', sequence(BN, relu, conv1, average), r'ends with average pooling; this task asks for max'),
    ('pool first', sequence(maximum, BN, relu, conv1), r'max-pooling, BN, ReLU, 1x1 convolution, in this order'),
]


def bottleneck(*layers, kind=nn.Sequential):
    return sequence(*layers, kind=kind)


def wide(k):
    return nn.Conv2D(4 * k, kernel_size=1, use_bias=False)


BOTTLENECKS = [
    ('no bottleneck', my_conv_block, r'one convolution \(3x3\).*4 x 6 = 24'),
    ('no second BN', bottleneck(BN, relu, wide, relu, conv3), r'one BatchNorm, on 17 channels.*before the 3x3'),
    ('no first BN', bottleneck(relu, wide, BN, relu, conv3), r'one BatchNorm, on 24 channels.*before the 1x1'),
    ('no second ReLU', bottleneck(BN, relu, wide, BN, conv3), r'Where is the ReLU'),
    ('no first ReLU', bottleneck(BN, wide, BN, relu, conv3), r'Where is the ReLU'),
    ('no ReLU', bottleneck(BN, wide, BN, conv3), r'Where is each ReLU'),
    ('no factor', bottleneck(BN, relu, conv1, BN, relu, conv3), r'makes 6 channels.*4 x 6 = 24.*factor 4'),
    ('factor 2', bottleneck(BN, relu, lambda k: conv1(2 * k), BN, relu, conv3), r'makes 12 channels.*How wide'),
    ('times the input', bottleneck(BN, relu, lambda k: conv1(68), BN, relu, conv3), r'4 times the input'),
    ('hard-coded', bottleneck(BN, relu, lambda k: conv1(24), BN, relu, conv3), r'number written into the code'),
    ('3x3 first', bottleneck(BN, relu, conv3, BN, relu, wide), r'3x3 convolution first'),
    ('two 3x3', bottleneck(BN, relu, lambda k: conv3(4 * k), BN, relu, conv3), r'convolutions of 3x3 and 3x3'),
    ('two 1x1', bottleneck(BN, relu, wide, BN, relu, conv1), r'convolutions of 1x1 and 1x1'),
    ('no padding', bottleneck(BN, relu, wide, BN, relu, lambda k: nn.Conv2D(k, kernel_size=3)), r'forget padding=1'),
    ('stride', bottleneck(BN, relu, wide, BN, relu, lambda k: nn.Conv2D(k, kernel_size=3, padding=1, strides=2)),
     r'Is there a stride or a pooling'),
    ('padding of the width alone', bottleneck(
        BN, relu, wide, BN, relu, lambda k: nn.Conv2D(k, kernel_size=3, padding=(0, 1))), r'Is there a stride'),
    ('24 and 18', bottleneck(BN, relu, lambda k: conv1(24 if k == 6 else 18), BN, relu, conv3),
     r'makes 18 channels; it should make 4 x 3 = 12\. How wide'),
    ('stride in the second block', bottleneck(
        BN, relu, wide, BN, relu, lambda k: nn.Conv2D(k, kernel_size=3, padding=1, strides=2 - (k == 6))),
     r'input of shape \(2, 5, 6, 4\), returns shape \(2, 3, 3, 2\); it should be \(2, 3, 6, 4\)'),
    ('Dropout', bottleneck(BN, relu, wide, BN, relu, conv3, lambda k: nn.Dropout(0.5)), r'asks for no Dropout'),
    ('first leaky', bottleneck(BN, leaky, wide, BN, relu, conv3), r'computes BN \(first\), leaky ReLU \(0\.01\), 1x1'),
    ('second leaky', bottleneck(BN, relu, wide, BN, leaky, conv3), r'BN \(second\), leaky ReLU \(0\.01\), 3x3'),
    ('padded 1x1', bottleneck(BN, relu, lambda k: nn.Conv2D(4 * k, 1, padding=1), BN, relu, conv3), r'It grew'),
    ('4k at the end', bottleneck(BN, relu, wide, BN, relu, lambda k: conv3(4 * k)),
     r'3x3 convolution makes 24 channels'),
    ('conv, BN, ReLU', bottleneck(wide, BN, relu, conv3, BN, relu), r'work on 24 and 6 channels.*after'),
    ('ReLU, BN', bottleneck(relu, BN, wide, relu, BN, conv3), r'in this order; it should compute BN'),
    ('concatenates', bottleneck(BN, relu, wide, BN, relu, conv3, kind=Concatenates), r"dense block's work"),
    ('no return', lambda k: None, r'returns None'),
    ('three BN', bottleneck(BN, relu, wide, BN, relu, conv3, BN), r'3 batch normalizations'),
]


def hybridized(f):
    def build(num_channels):
        block = f(num_channels)
        block.initialize()
        block.hybridize()
        return block
    return build


MISTAKES = [
    *[('conv_block', *row) for row in CONV_BLOCKS],
    *[('transition_block', *row) for row in TRANSITIONS],
    *[('bottleneck_layer', *row) for row in BOTTLENECKS],
]

CORRECT = [
    ('conv_block', my_conv_block),
    ('conv_block', ConvBlock),
    ('conv_block', d2l_densenet.conv_block),
    ('conv_block', hybridized(sequence(BN, relu, conv3, kind=nn.HybridSequential))),
    ('conv_block', sequence(BN, relu, lambda k: nn.Conv2D(k, 3, padding=1, use_bias=False))),
    ('conv_block', sequence(lambda k: nn.BatchNorm(scale=False), relu, conv3)),
    ('transition_block', sequence(BN, relu, conv1, average)),
    ('transition_block', sequence(BN, relu, average, conv1)),
    ('transition_block', d2l_densenet.transition_block),
    ('bottleneck_layer', bottleneck(BN, relu, wide, BN, relu, conv3)),
    ('bottleneck_layer', lambda k: d2l_densenet.conv_block(k, bottleneck=4, bias=True)),
]


@mistakes(MISTAKES)
def test_a_mistake_gets_its_own_sentence(check, learner, expected):
    assert_sentence(check, learner, expected)


@pytest.mark.parametrize('mode', MODES)
@solutions(CORRECT)
def test_a_correct_solution_passes(mode, check, learner, capsys):
    assert_passes(check, learner, mode, capsys)


def test_every_check_knows_at_least_ten_mistakes():
    assert_ten_mistakes('layers', MISTAKES)


@pytest.mark.parametrize('name, learner, expected', MAX_TRANSITIONS, ids=[row[0] for row in MAX_TRANSITIONS])
def test_a_max_transition_is_told_from_an_average_one(name, learner, expected):
    assert_sentence('transition_block', learner, expected, pool='max')


@pytest.mark.parametrize('mode', MODES)
def test_a_max_transition_passes_where_it_is_asked_for(mode):
    switch(mode)
    checks.transition_block(sequence(BN, relu, conv1, maximum), pool='max')
    with pytest.raises(checks.CheckFailed, match="pool='max', and got 'mean'"):
        checks.transition_block(sequence(BN, relu, conv1, maximum), pool='mean')


def test_an_np_array_from_nd_arrays_is_told():
    class ReturnsNp(nn.Sequential):
        def forward(self, X):
            return super().forward(X).as_np_ndarray()

    switch('nd')
    message = message_of(checks.conv_block, sequence(BN, relu, conv3, kind=ReturnsNp))
    assert 'returns an mx.np array while its input is an mx.nd array' in message and 'functions of mx.nd' in message


def test_any_stack_of_layers_gets_a_verdict():
    npx.set_np()
    draw = random.Random(0)
    bag = [BN, relu, conv3, conv1, average, maximum, nn.Dense, lambda k: nn.Flatten(), lambda k: nn.GlobalAvgPool2D(),
           lambda k: nn.Dropout(0.5), lambda k: nn.Conv1D(k, 3), lambda k: nn.PReLU(), lambda k: nn.GroupNorm(),
           lambda k: nn.Embedding(4, k), lambda k: nn.Conv2DTranspose(k, 2), lambda k: nn.BatchNorm(axis=-1)]
    for _ in range(40):
        layers = draw.choices(bag, k=draw.randint(0, 5))
        check = draw.choice([checks.conv_block, checks.transition_block, checks.bottleneck_layer])
        message = message_of(check, sequence(*layers))  # none of these 40 is right
        assert 'cannot make sense' not in message, message
