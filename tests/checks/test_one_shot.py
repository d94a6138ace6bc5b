"""The check of one-shot aggregation: correct blocks pass, each likely mistake gets its own sentence."""

import pytest
from helpers import MODES
from learners import assert_passes, assert_sentence, block_class, join
from mxnet import np, npx

from d2l_densenet import DenseBlock


def chain(end):
    """A forward whose layers read the one before, and which ends in `end(input, list of outputs)`."""
    def forward(self, X):
        outputs = [X]
        for layer in self.net:
            outputs.append(layer(outputs[-1]))
        return end(X, outputs[1:])
    return block_class(forward)


@pytest.mark.parametrize('mode', MODES)
def test_correct(mode, capsys):
    assert_passes('one_shot_block', chain(lambda X, Y: join(X, *Y)), mode, capsys)


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
    (block_class(first_again), "block's input again")])
def test_mistakes(wrong, sentence):
    assert_sentence('one_shot_block', wrong, sentence)
