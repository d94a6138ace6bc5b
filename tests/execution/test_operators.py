"""The two operators that need care: both ways to concatenate, and a pooling that rounds up."""

import subprocess
import sys

import mxnet as mx
import numpy
import pytest
from helpers import MODES, images, switch
from mxnet import autograd

from d2l_densenet import DenseBlock
from d2l_densenet.execution import operators
from d2l_densenet.execution.operators import RoundingUpAvgPool2D


@pytest.mark.parametrize('rule', ['on', 'off'])
def test_the_rule_for_concat_is_needed(rule):
    """With oneDNN's concat everywhere, a network with k = 12 fails; with the rule it trains.

    In a process of its own, since the failure can end it. Should MXNet one day train with the rule off, the rule
    can go.
    """
    if 'MKLDNN' not in [f.name for f in mx.runtime.feature_list() if f.enabled]:
        pytest.skip('this MXNet is built without oneDNN')
    program = f'''
import mxnet as mx
from d2l_densenet import DenseNet
from d2l_densenet.execution import operators
if {rule!r} == 'off':
    operators.aligned = lambda *widths: True
net = DenseNet(growth_rate=12, num_init_features=16, block_config=(4, 4))
net.initialize()
X = mx.nd.random.uniform(shape=(4, 1, 64, 64))
for _ in range(2):
    with mx.autograd.record():
        loss = (net(X) ** 2).mean()
    loss.backward()
mx.nd.waitall()
print('trained')
'''
    result = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=300)
    assert ('trained' in result.stdout) == (rule == 'on'), result.stderr
    if rule == 'off':
        assert 'sub-memory' in result.stderr or result.returncode < 0


def test_both_ways_to_concatenate_give_the_same_bits(monkeypatch):
    X = images(2, 32, 8, 8)
    results = []
    for aligned in (True, False):
        monkeypatch.setattr(operators, 'aligned', lambda *widths, aligned=aligned: aligned)
        mx.random.seed(3)
        block = DenseBlock(2, 16)
        block.initialize()
        results.append(block(mx.nd.array(X)).asnumpy())
    assert (results[0] == results[1]).all()


def test_a_width_with_a_known_multiple_of_16_takes_the_fast_concat():
    assert operators.aligned(64, 32) and operators.aligned(16)
    assert not operators.aligned(0, 32) and not operators.aligned(24, 16) and not operators.aligned(32, 8)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('hybrid', [False, True])
@pytest.mark.parametrize('height, width', [(7, 7), (4, 4), (3, 5), (2, 3), (11, 15), (6, 7), (8, 2)])
def test_rounding_up_averages_the_pixels_that_are_there(height, width, hybrid, mode):
    """The last windows hold two pixels or one, and each pixel has a half or all of the gradient."""
    array = switch(mode)
    pooling = RoundingUpAvgPool2D()
    if hybrid:
        pooling.hybridize()
    values, weights = images(2, 16, height, width), images(2, 16, -(-height // 2), -(-width // 2))
    X = array(values)
    X.attach_grad()
    with autograd.record():
        Y = pooling(X)
        loss = (Y * array(weights)).sum()
    loss.backward()
    for i in range(Y.shape[2]):
        for j in range(Y.shape[3]):
            window = values[:, :, 2 * i:2 * i + 2, 2 * j:2 * j + 2]
            numpy.testing.assert_allclose(Y.asnumpy()[:, :, i, j], window.mean(axis=(2, 3)), rtol=1e-6)
            found = X.grad.asnumpy()[:, :, 2 * i:2 * i + 2, 2 * j:2 * j + 2]
            share = weights[:, :, i, j] / window[0, 0].size
            numpy.testing.assert_allclose(found, numpy.broadcast_to(share[:, :, None, None], found.shape), rtol=1e-6)


def test_where_nothing_is_rounded_onednn_has_nothing_to_complain_of():
    program = '''
import mxnet as mx
from d2l_densenet import DenseNet
for hybrid in (False, True):
    net = DenseNet(4, (1, 1, 1, 1), 16, pooling_convention="full")
    net.initialize()
    net.hybridize(hybrid)
    with mx.autograd.record():
        loss = net(mx.nd.ones((2, 1, 28, 28))).sum()
    loss.backward()
    mx.nd.waitall()
print("trained")
'''
    result = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=300)
    assert result.stdout == 'trained\n' and 'Pooling' not in result.stderr
