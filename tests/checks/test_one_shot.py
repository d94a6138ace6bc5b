"""The check of one-shot aggregation: correct blocks pass, each likely mistake gets its own sentence."""

import pytest
from helpers import MODES
from learners import BN, assert_passes, assert_sentence, block_class, conv3, join, relu, sequence
from mxnet import np, npx

from d2l_densenet import DenseBlock


def chain(end, read=lambda outputs: outputs[-1], layer=None):
    """A forward whose layers read the one before, and which ends in `end(input, list of outputs)`."""
    def forward(self, X):
        outputs = [X]
        for layer in self.net:
            outputs.append(layer(read(outputs)))
        return end(X, outputs[1:])
    return block_class(forward, layer and (lambda L, k: [layer(k) for _ in range(L)]))


def everything(X, Y):
    return join(X, *Y)


@pytest.mark.parametrize('mode', MODES)
def test_correct(mode, capsys):
    assert_passes('one_shot_block', chain(everything), mode, capsys)


def first_again(self, X):
    outputs = [X]
    for layer in self.net:
        outputs.append(layer(X))
    return join(*outputs)


@pytest.mark.parametrize('wrong, sentence', [
    (DenseBlock, 'as in a dense block'), (chain(lambda X, Y: join(*Y)), 'without the input'),
    (chain(lambda X, Y: Y[-1]), 'the last layer alone'),
    (chain(lambda X, Y: join(X, Y[-1])), 'the input and one layer'),
    (chain(lambda X, Y: join(*Y, X)), 'should be the first'), (chain(lambda X, Y: join(X, *Y[::-1])), 'which order'),
    (chain(lambda X, Y: np.concatenate([npx.relu(X), *Y], axis=1)), 'after a ReLU'),
    (block_class(first_again), "Layer 2 .* reads 5 channels; it should read 10, .*block's input again"),
    (chain(everything, lambda outputs: join(outputs[0], outputs[-1]) if len(outputs) == 3 else outputs[-1]),
     "Layer 3 .* reads 15 channels; it should read 10, .*block's input again"),
    (chain(everything, lambda outputs: join(*[outputs[-1]] * 2) if len(outputs) > 1 else outputs[0]),
     r'Layer 2 .* reads 20 channels; .*What is it given'),
    (chain(lambda X, Y: join(X, *Y, Y[-1])), r'5 \+ 4 x 10 channels\. What is missing at the end, or there twice'),
    (chain(lambda X, Y: np.concatenate([everything(X, Y)] * 2, axis=0)), 'The batch has grown'),
    (chain(lambda X, Y: everything(X, Y)[:, :, 1:]), 'Height and width should stay'),
    (chain(lambda X, Y: join(X, *Y) if len(Y) == 4 else Y[-1]),
     r'returns shape \(3, 4, 5, 9\); it should be \(3, 15, 5, 9\)'),
    (chain(everything, layer=sequence(relu, BN, conv3)),
     r'Layer 1 .* computes ReLU, BN, 3x3 convolution, .* It should be a conv_block'),
    (chain(lambda X, Y: join(X, Y[0], Y[1], *Y[:1:-1])), 'features of layer 3 .* are not where they should be'),
    (chain(lambda X, Y: join(X, 2 * Y[0], *Y[1:])), 'features of layer 1 .* are not where they should be'),
    (chain(lambda X, Y: join(X, Y[0], 2 * Y[1], *Y[2:])), 'Layer 2 .* has the right shape, but its values')])
def test_mistakes(wrong, sentence):
    assert_sentence('one_shot_block', wrong, sentence)
