"""The checks of residual_block: correct solutions pass, each likely mistake gets its own sentence."""

import pytest
from helpers import MODES
from learners import assert_passes, assert_sentence, assert_ten_mistakes, join, mistakes, positive, solutions
from mxnet import npx
from mxnet.gluon import nn

from d2l_densenet import resnets


def residual(forward=None, shortcut_bn=False, one_bn=False, always=False, never=False, stride_at=1, pad=1,
             shortcut_stride=True, bns=2, first_width=1, unused=None):
    class MyResidual(nn.Block):
        def __init__(self, num_channels, use_1x1conv=False, strides=1):
            super().__init__()
            first, second = (strides, 1) if stride_at == 1 else (1, strides) if stride_at == 2 else (1, 1)
            self.strides = strides
            self.conv1 = nn.Conv2D(first_width * num_channels, kernel_size=3, padding=pad, strides=first)
            self.conv2 = nn.Conv2D(num_channels, kernel_size=3, padding=pad, strides=second)
            self.conv3 = None
            if (use_1x1conv or always) and not never:
                self.conv3 = nn.Conv2D(num_channels, kernel_size=1, strides=strides if shortcut_stride else 1)
            for number in range(1, (1 if one_bn else bns) + 1):
                setattr(self, f'bn{number}', nn.BatchNorm())
            if unused:
                self.unused = unused()
            if shortcut_bn and self.conv3:
                self.bn3 = nn.BatchNorm()

    MyResidual.forward = forward or right_residual
    return MyResidual


def right_residual(self, X):
    Y = positive(self.bn1(self.conv1(X)))
    Y = self.bn2(self.conv2(Y))
    if self.conv3:
        X = self.conv3(X)
    return positive(Y + X)


def residual_in_place(self, X):
    Y = positive(self.bn1(self.conv1(X)))
    Y = self.bn2(self.conv2(Y))
    X += Y
    return positive(X)


def residual_steps(last=lambda Y, X: positive(Y + X), middle=positive, before=lambda X: X):
    def forward(self, X):
        shortcut = self.conv3(X) if self.conv3 else X
        Y = middle(self.bn1(self.conv1(before(X))))
        return last(self.bn2(self.conv2(Y)), shortcut)
    return forward


def residual_forgets_shortcut(self, X):
    return positive(self.bn2(self.conv2(positive(self.bn1(self.conv1(X))))))


def residual_overwrites(self, X):
    X = positive(self.bn1(self.conv1(X)))
    return positive(self.bn2(self.conv2(X)) + X)


def residual_shares_bn(self, X):
    Y = self.bn1(self.conv2(positive(self.bn1(self.conv1(X)))))
    return positive(Y + (self.conv3(X) if self.conv3 else X))


def residual_calls_none(self, X):
    Y = self.bn2(self.conv2(positive(self.bn1(self.conv1(X)))))
    return positive(Y + self.conv3(X))


def residual_bn_shortcut(self, X):
    Y = self.bn2(self.conv2(positive(self.bn1(self.conv1(X)))))
    return positive(Y + (self.bn3(self.conv3(X)) if self.conv3 else X))


def shortcut_of(block, X):
    return block.conv3(X) if block.conv3 else X


def residual_one_bn(first=lambda bn, Y: Y, second=lambda bn, Y: Y, after=lambda bn, Y: Y):
    def forward(self, X):
        Y = second(self.bn1, self.conv2(positive(first(self.bn1, self.conv1(X)))))
        return positive(after(self.bn1, Y + shortcut_of(self, X)))
    return forward


def residual_without_bn(self, X):
    return positive(self.conv2(positive(self.conv1(X))) + shortcut_of(self, X))


def residual_four_bn(self, X):
    Y = self.bn2(self.conv2(positive(self.bn1(self.conv1(self.bn4(X))))))
    return positive(self.bn3(Y + shortcut_of(self, X)))


def residual_pre_activation(last=lambda Y: Y):
    def forward(self, X):
        Y = self.conv2(positive(self.bn2(self.conv1(positive(self.bn1(X))))))
        return last(Y + shortcut_of(self, X))
    return forward


def residual_relu_first(self, X):
    Y = self.bn2(self.conv2(self.bn1(positive(self.conv1(X)))))
    return positive(Y + shortcut_of(self, X))


def residual_asks_for_downsample(self, X):
    return right_residual(self, X if self.downsample is None else self.downsample(X))


def residual_leaves_out_conv3(self, X):
    return residual_forgets_shortcut(self, X) if self.conv3 else right_residual(self, X)


def residual_strides_again(self, X):
    return right_residual(self, X)[:, :, ::self.strides, ::self.strides]


def wrong_in_the_last_block(self, X):
    if self.conv3 and self.strides == 1:
        X *= 2
    return right_residual(self, X)


class SharedConvolution(nn.Block):
    def __init__(self, num_channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv = nn.Conv2D(num_channels, kernel_size=3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm(), nn.BatchNorm()

    def forward(self, X):
        return positive(self.bn2(self.conv(positive(self.bn1(self.conv(X))))) + X)


class NoStrides(nn.Block):
    def __init__(self, num_channels, use_1x1conv=False):
        super().__init__()

    def forward(self, X):
        return X


RESIDUALS = [
    ('no shortcut', residual(residual_forgets_shortcut), r'nothing is added'),
    ('no last ReLU', residual(residual_steps(lambda Y, X: Y + X)), r'last ReLU is missing'),
    ('ReLU before adding', residual(residual_steps(lambda Y, X: positive(Y) + X)), r'before the addition'),
    ('no middle ReLU', residual(residual_steps(middle=lambda X: X)), r'between the two convolutions is missing'),
    ('no ReLU', residual(residual_steps(lambda Y, X: Y + X, lambda X: X)), r'there is no ReLU'),
    ('concatenates', residual(residual_steps(lambda Y, X: positive(join(Y, X)))), r'concatenate, as DenseNet does'),
    ('subtracts', residual(residual_steps(lambda Y, X: positive(Y - X))), r'subtracted'),
    ('multiplies', residual(residual_steps(lambda Y, X: positive(Y * X))), r'multiplied'),
    ('adds twice', residual(residual_steps(lambda Y, X: positive(Y + X + X))), r'added twice'),
    ('ReLU on the shortcut', residual(residual_steps(lambda Y, X: positive(Y + positive(X)))), r'through a ReLU'),
    ('overwrites X', residual(residual_overwrites), r'Is X overwritten'),
    ('in place', residual(residual_in_place), r'changes the input.*line \d+: `X \+= Y`'),
    ('one BN twice', residual(residual_shares_bn, one_bn=True), r'one batch normalization; .*One and the same'),
    ('BN on the shortcut', residual(residual_bn_shortcut, shortcut_bn=True), r'three batch normalizations'),
    ('None called', residual(residual_calls_none), r'ask whether it is there'),
    ('1x1 always', residual(always=True), r'1 1x1 convolutions; with use_1x1conv=False it should have 0'),
    ('1x1 never', residual(never=True), r'could not be broadcast.*1x1 convolution'),
    ('1x1 without stride', residual(shortcut_stride=False), r'same strides'),
    ('no stride', residual(stride_at=0, shortcut_stride=False), r'Where is strides used'),
    ('stride second', residual(stride_at=2), r'second 3x3 convolution has the strides'),
    ('no padding', residual(pad=0), r'pad by 1'),
    ('no padding, the input cut', residual(residual_steps(lambda Y, X: positive(Y + X[:, :, 2:-2, 2:-2])), pad=0),
     r'returns shape \(2, 6, 4, 6\); it should be \(2, 6, 8, 10\)\. Did you forget padding=1'),
    ('strides twice', residual(residual_strides_again),
     r'MyResidual\(7, True, 2\), given an input of shape \(3, 4, 10, 7\), returns shape \(3, 7, 3, 2\); '
     r'it should be \(3, 7, 5, 4\)\. The size is divided twice'),
    ('third block', residual(wrong_in_the_last_block),
     r'MyResidual\(5, True, 1\), given an input of shape \(2, 3, 6, 5\), changes the input'),
    ('wide in the middle', residual(first_width=2), r'A 3x3 convolution of .* makes 12 channels; .*num_channels = 6'),
    ('no BN', residual(residual_without_bn, bns=0), r'has no batch normalizations; it should have two'),
    ('four BN', residual(residual_four_bn, bns=4), r'has 4 batch normalizations; it should have two'),
    ('no first BN', residual(residual_one_bn(second=lambda bn, Y: bn(Y)), bns=1), r'after the first convolution is'),
    ('no second BN', residual(residual_one_bn(first=lambda bn, Y: bn(Y)), bns=1), r'after the second convolution is'),
    ('one BN at the end', residual(residual_one_bn(after=lambda bn, Y: bn(Y)), bns=1), r'Where is the other one'),
    ('pre-activation', residual(residual_pre_activation()), r'before each convolution, as in DenseNet'),
    ('pre-activation and a ReLU', residual(residual_pre_activation(positive)), r'before each convolution\. In which'),
    ('ReLU before BN', residual(residual_relu_first), r'between the convolutions comes before BN'),
    ('neither sum nor last ReLU', residual(residual_steps(lambda Y, X: Y)), r'nothing is added, and the last ReLU'),
    ('half of the input', residual(residual_steps(lambda Y, X: positive(Y + 0.5 * X))), r'values are not those of 3x3'),
    ('Dropout', residual(residual_steps(lambda Y, X: positive(npx.dropout(Y, p=0.5) + X))), r'wrong in training'),
    ('no attribute', residual(residual_asks_for_downsample), r'What is the attribute otherwise \(None\)'),
    ('1x1 made for nothing', residual(residual_leaves_out_conv3), r'The 1x1 convolution of .* is made and never used'),
    ('3x3 made for nothing', residual(unused=lambda: nn.Conv2D(3, 3)), r'A Conv2D of .* is made and never used'),
    ('one convolution twice', SharedConvolution, r'1 3x3 convolutions; it should have two'),
    ('no strides argument', NoStrides, r'should take \(num_channels, use_1x1conv, strides\)'),
]


def package_residual(num_channels, use_1x1conv=False, strides=1):
    return resnets.Residual(num_channels, strides, use_1x1conv)


MISTAKES = [
    *[('residual_block', *row) for row in RESIDUALS],
]

CORRECT = [
    ('residual_block', residual()),
    ('residual_block', package_residual),
]


@mistakes(MISTAKES)
def test_a_mistake_gets_its_own_sentence(check, learner, expected):
    assert_sentence(check, learner, expected)


@pytest.mark.parametrize('mode', MODES)
@solutions(CORRECT)
def test_a_correct_solution_passes(mode, check, learner, capsys):
    assert_passes(check, learner, mode, capsys)


def test_every_check_knows_at_least_ten_mistakes():
    assert_ten_mistakes('residual', MISTAKES)
