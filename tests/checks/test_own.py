"""checks.own: what is written from memory is not the package's."""

import functools

import pytest
from mxnet.gluon import nn

import d2l_densenet
from d2l_densenet import checks
from d2l_densenet.checks import CheckFailed


def layer(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 3, padding=1))
    return block


class Block(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = nn.Sequential()
        self.layers.add(*[layer(num_channels) for _ in range(num_convs)])


class Heir(d2l_densenet.DenseBlock):
    pass


@pytest.mark.parametrize('f, args', [(layer, (3,)), (lambda n: layer(n), (3,)), (Block, (2, 4)),
                                     (functools.partial(Block, 2), (4,)), (max, (1, 2))])
def test_own_work_is_accepted(f, args, capsys):
    checks.own(f, *args)
    assert capsys.readouterr().out.endswith(': your own.\n')


def test_what_is_the_packages_is_named():
    with pytest.raises(CheckFailed, match=r'uses the package \(conv_block of d2l_densenet\.blocks\)\. Write it'):
        checks.own(d2l_densenet.conv_block, 3)


@pytest.mark.parametrize('f, args', [
    (d2l_densenet.conv_block, (3,)), (lambda n: d2l_densenet.conv_block(n), (3,)), (d2l_densenet.DenseBlock, (2, 4)),
    (Heir, (2, 4)), (functools.partial(d2l_densenet.DenseBlock, 2), (4,))])
def test_the_packages_is_refused(f, args):
    with pytest.raises(CheckFailed, match='uses the package .* Write it yourself'):
        checks.own(f, *args)


def test_a_part_made_elsewhere_is_found():
    ready = d2l_densenet.conv_block(3)

    def f():
        block = nn.Sequential()
        block.add(ready)
        return block

    with pytest.raises(CheckFailed, match='uses the package'):
        checks.own(f)


def test_errors_become_a_sentence():
    with pytest.raises(CheckFailed, match='division by zero'):
        checks.own(lambda: 1 / 0)
    with pytest.raises(CheckFailed, match='function or a class is wanted'):
        checks.own(3)
