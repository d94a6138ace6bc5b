"""The checks of densenet: correct solutions pass, each likely mistake gets its own sentence."""

import pytest
from helpers import MODES
from learners import (
    BN,
    assert_passes,
    assert_sentence,
    assert_ten_mistakes,
    average,
    block_class,
    conv1,
    conv3,
    dense_forward,
    maximum,
    mistakes,
    my_conv_block,
    relu,
    sequence,
    solutions,
)
from mxnet import npx
from mxnet.gluon import nn

from d2l_densenet import DenseNet


def network(stem=None, end=None, transition=None, last_transition=False, halve=True, layer=None):
    def my_net(growth_rate, block_config, num_init_features, classes):
        net = nn.Sequential()
        net.add(*(stem or article_stem)(num_init_features))
        channels = num_init_features
        for i, num_convs in enumerate(block_config):
            net.add(block_class(dense_forward, lambda L, k: [(layer or my_conv_block)(k) for _ in range(L)])(
                num_convs, growth_rate))
            channels += num_convs * growth_rate
            if i < len(block_config) - 1 or last_transition:
                channels = channels // 2 if halve else channels
                net.add((transition or sequence(BN, relu, conv1, average))(channels))
        net.add(*(end or article_end)(classes))
        return net
    return my_net


def article_stem(k):
    return [nn.Conv2D(k, kernel_size=7, strides=2, padding=3), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1)]


def article_end(k):
    return [nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(k)]


def without(layers, i):
    return lambda k: [layer for j, layer in enumerate(layers(k)) if j != i]


def instead(layers, i, layer):
    return lambda k: [layer(k) if j == i else old for j, old in enumerate(layers(k))]


def ignores_block_config(growth_rate, block_config, num_init_features, classes):
    return network()(growth_rate, (4, 4, 4, 4), num_init_features, classes)


def with_blocks(change):
    return lambda k, blocks, init, classes: network()(k, change(blocks), init, classes)


def chained(growth_rate, block_config, num_init_features, classes):
    net = nn.Sequential()
    net.add(*article_stem(num_init_features), *[my_conv_block(growth_rate) for _ in range(2)],
            sequence(BN, relu, conv1, average)(2), *[my_conv_block(growth_rate) for _ in range(3)],
            *article_end(classes))
    return net


def transition_of(channels):
    """Transitions with other numbers of channels than half of what comes in."""
    def my_net(growth_rate, block_config, num_init_features, classes):
        leaving = num_init_features + block_config[0] * growth_rate
        made = channels(leaving, num_init_features, growth_rate)
        return network(transition=lambda k: sequence(BN, relu, conv1, average)(made))(
            growth_rate, block_config, num_init_features, classes)
    return my_net


class Function(nn.Block):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, X):
        return self.function(X)


def after(function):
    """The article's network with a function of the scores at its end."""
    return network(end=lambda k: [*article_end(k), Function(function)])


NETWORKS = [
    ('no max-pooling', network(without(article_stem, 3)), r'no max-pooling in the stem'),
    ('no BN in the stem', network(without(article_stem, 1)), r'no batch normalization in the stem'),
    ('no ReLU in the stem', network(without(article_stem, 2)), r'no ReLU in the stem'),
    ('stem 3x3', network(instead(article_stem, 0, conv3)), r'kernel of 3x3.*7x7'),
    ('stem without stride', network(instead(article_stem, 0, lambda k: nn.Conv2D(k, 7, 1, 3))), r'stride 1'),
    ('stem 64', network(instead(article_stem, 0, lambda k: nn.Conv2D(64, 7, 2, 3))), r'num_init_features = 5.*64'),
    ('average in the stem', network(instead(article_stem, 3, lambda k: nn.AvgPool2D(3, 2, 1))), r'pools by averages'),
    ('no BN at the end', network(end=without(article_end, 0)), r'no batch normalization after the last block'),
    ('no ReLU at the end', network(end=without(article_end, 1)), r'no ReLU after the last'),
    ('no global pooling', network(end=without(article_end, 2)), r'global average pooling'),
    ('global max', network(end=instead(article_end, 2, lambda k: nn.GlobalMaxPool2D())), r'last pooling takes maxima'),
    ('no classifier', network(end=without(article_end, 3)), r'no fully connected layer.*nn\.Dense\(classes\)'),
    ('10 classes', network(end=lambda k: article_end(10)), r'10 scores .* classes = 7.*10 written'),
    ('softmax', after(npx.softmax), r'probabilities.*before the softmax'),
    ('log-softmax', after(npx.log_softmax), r'log-softmax'),
    ('ReLU on the scores', network(end=lambda k: [*article_end(k), relu(k)]), r'ReLU after the last layer'),
    ('transition at the end', network(last_transition=True), r'2 transitions .* 2 dense blocks have 1 .*leaves it out'),
    ('no transition', network(transition=lambda k: nn.Sequential()), r'0 transitions.*halved'),
    ('not halved', network(halve=False), r'Transition 1 .* makes 17 channels of 17; .*17 // 2 = 8'),
    ('max in transitions', network(transition=sequence(BN, relu, conv1, maximum)), r'transitions take maxima'),
    ('no pooling in transitions', network(transition=sequence(BN, relu, conv1)), r'transitions do not pool'),
    ('block_config ignored', ignores_block_config, r'16 3x3 convolutions; block_config \(2, 3\) asks for 5'),
    ('growth rate hard-coded', lambda k, blocks, init, classes: network()(32, blocks, init, classes),
     r'makes 32 channels; it should make growth_rate = 6'),
    ('no ReLU in the blocks', network(layer=sequence(BN, conv3)), r'no ReLU in the layers of the dense blocks'),
    ('ReLU first in the blocks', network(layer=sequence(relu, BN, conv3)), r'ReLU comes before BN in the layers'),
    ('no BN in the blocks', network(layer=sequence(relu, conv3)),
     r'work on \[5, 17, 26\] channels; they should work on \[5, 5, 11, 17, 8, 14, 20, 26\]'),
    ('LayerNorm', network(instead(article_stem, 1, lambda k: nn.LayerNorm())), r'normalizes with LayerNorm'),
    ('plain chain', chained, r'Layer 2 of dense block 1 .* reads 6 channels; it should read 11\. Is your dense block'),
    ('stem of growth_rate', lambda k, blocks, init, classes: network()(k, blocks, k, classes),
     r'makes 6 channels; .*num_init_features = 5\. Which argument'),
    ('stem that keeps the size', network(lambda k: [nn.Conv2D(k, 7, 1, 3), nn.BatchNorm(), nn.Activation('relu')]),
     r'stem does not shrink'),
    ('stem without padding', network(instead(article_stem, 0, lambda k: nn.Conv2D(k, 7, 2))),
     r'7x7 convolution of the stem does not pad'),
    ('max-pooling without padding', network(instead(article_stem, 3, lambda k: nn.MaxPool2D(3, 2))),
     r'max-pooling of the stem does not pad'),
    ('max-pooling 2x2', network(instead(article_stem, 3, lambda k: nn.MaxPool2D(2, 2))), r'window of 2x2'),
    ('max-pooling 5x5', network(instead(article_stem, 3, lambda k: nn.MaxPool2D(5, 2, 2))),
     r"gives other scores than the article's"),
    ('pooling before BN', network(lambda k: [article_stem(k)[i] for i in (0, 3, 1, 2)]),
     r'pools before the batch normalization'),
    ('sigmoid', after(npx.sigmoid), r'sigmoid after the last layer'),
    ('scores that add up to 1', after(lambda X: X + (1 - X.sum(axis=1, keepdims=True)) / X.shape[1]),
     r"gives other scores than the article's"),
    ('positive scores', after(lambda X: 1 + X * X), r"gives other scores than the article's"),
    ('one score for each image', after(lambda X: X.sum(axis=1)), r'returns shape \(3,\).*\(3, 7\)\. What comes after'),
    ('Dropout', network(end=lambda k: [*article_end(k), nn.Dropout(0.5)]), r'right outside of training and wrong in'),
    ('no convolution', lambda k, blocks, init, classes: sequence(lambda k: nn.Dense(k))(classes), r'no convolution'),
    ('first block alone', with_blocks(lambda blocks: blocks[:1]), r'has 2 3x3 .* 5\. Only as many as the first block'),
    ('last block alone', with_blocks(lambda blocks: blocks[1:]), r'has 3 3x3 .* 5\. Only as many as the last block'),
    ('all blocks alike', with_blocks(lambda blocks: (blocks[0],) * 2), r'has 4 3x3 .* Does each dense block get'),
    ('blocks reversed', with_blocks(lambda blocks: blocks[::-1]),
     r'After dense block 1 .* a 3x3 convolution reads 17 channels; a 1x1 convolution should read 17'),
    ('blocks sorted', with_blocks(sorted),
     r'In dense block 1 .* a kernel of 1x1 where its 3x3 convolution number 2 of 3 should be'),
    ('two transitions', network(transition=sequence(BN, relu, conv1, BN, relu, conv1, average)),
     r'has 2 transitions .* 2 dense blocks have 1'),
    ('three transitions', network(transition=sequence(BN, relu, conv1, conv1, conv1, average)),
     r'has 3 transitions .* There is one between each two'),
    ('half of what came in', transition_of(lambda out, init, k: init // 2),
     r'makes 2 channels of 17.*before the block'),
    ('half without one layer', transition_of(lambda out, init, k: (out - k) // 2),
     r'makes 5 channels of 17.*before the block'),
    ('a quarter', transition_of(lambda out, init, k: out // 4), r'makes 4 channels of 17.*halved once'),
    ('maps too small', network(transition=sequence(BN, relu, conv1, lambda k: nn.AvgPool2D(9))), r'maps have become'),
    ('classes ignored', network(end=lambda k: article_end(6)), r'6 scores .* classes = 7\. What does nn\.Dense get'),
    ('mean over the channels', network(end=instead(article_end, 2, lambda k: Function(lambda X: X.mean(axis=1)))),
     r'reads 20 values; .* 26 channels\. What stands before it'),
    ('two dense layers', network(end=lambda k: [*article_end(20), nn.Dense(k)]), r'2 fully connected layers'),
    ('no return', lambda k, blocks, init, classes: None, r'returns None'),
    ('arguments', lambda k, blocks: None, r'should take \(growth_rate, block_config, num_init_features, classes\)'),
]


def package_network(growth_rate, block_config, num_init_features, classes):
    return DenseNet(growth_rate, block_config, num_init_features, classes=classes)


MISTAKES = [
    *[('densenet', *row) for row in NETWORKS],
]

CORRECT = [
    ('densenet', network()),
    ('densenet', package_network),
]


@mistakes(MISTAKES)
def test_a_mistake_gets_its_own_sentence(check, learner, expected):
    assert_sentence(check, learner, expected)


@pytest.mark.parametrize('mode', MODES)
@solutions(CORRECT)
def test_a_correct_solution_passes(mode, check, learner, capsys):
    assert_passes(check, learner, mode, capsys)


def test_every_check_knows_at_least_ten_mistakes():
    assert_ten_mistakes('network', MISTAKES)
