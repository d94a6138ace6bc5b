"""An independent writing of DenseNet in PyTorch: same weights, same batch, outputs, gradients, statistics, kept bytes.

PyTorch is not a dependency: it is in the extra ``torch``, and these tests skip where it is missing.
"""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, images, switch
from mxnet import autograd, gluon

from d2l_densenet import DenseBlock, DenseNet, conv_block, densenet, resnet, summary, transition_block

torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install torch==2.13.0, or make torch')
from torch import nn  # noqa: E402  (after importorskip)
from torch.nn import functional as F  # noqa: E402


class Composite(nn.Module):
    """BN, ReLU, convolution; with a bottleneck the same with a 1x1 convolution before it."""

    def __init__(self, m, k, bottleneck, bias):
        super().__init__()
        if bottleneck:
            self.norm0, self.conv0 = nn.BatchNorm2d(m), nn.Conv2d(m, bottleneck * k, 1, bias=bias)
            m = bottleneck * k
        self.norm1, self.conv1 = nn.BatchNorm2d(m), nn.Conv2d(m, k, 3, padding=1, bias=bias)

    def forward(self, x):
        if hasattr(self, 'norm0'):
            x = self.conv0(F.relu(self.norm0(x)))
        return self.conv1(F.relu(self.norm1(x)))


class Dense(nn.Module):
    def __init__(self, layers, m, k, bottleneck, bias):
        super().__init__()
        self.layers = nn.ModuleList(Composite(m + i * k, k, bottleneck, bias) for i in range(layers))

    def forward(self, x):
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, dim=1)))
        return torch.cat(features, dim=1)


class Transition(nn.Module):
    def __init__(self, m, width, bias, rounds_up=False):
        super().__init__()
        self.rounds_up = rounds_up
        self.norm, self.conv = nn.BatchNorm2d(m), nn.Conv2d(m, width, 1, bias=bias)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2, ceil_mode=self.rounds_up, count_include_pad=False)


class Network(nn.Module):
    def __init__(self, growth_rate, block_config, num_init_features, bottleneck, compression, stem, bias, classes,
                 in_channels, dropout, pooling_convention):
        super().__init__()
        m = num_init_features
        if stem == 'imagenet':
            self.stem = nn.Sequential(nn.Conv2d(in_channels, m, 7, 2, 3, bias=bias), nn.BatchNorm2d(m), nn.ReLU(),
                                      nn.MaxPool2d(3, 2, 1))
        else:
            self.stem = nn.Conv2d(in_channels, m, 3, padding=1, bias=bias)
        stages = []
        for layers in block_config:
            if stages:
                stages.append(Transition(m, int(m * compression), bias, pooling_convention == 'full'))
                m = int(m * compression)
            stages.append(Dense(layers, m, growth_rate, bottleneck, bias))
            m += layers * growth_rate
        self.stages, self.norm, self.head = nn.Sequential(*stages), nn.BatchNorm2d(m), nn.Linear(m, classes)

    def forward(self, x):
        x = F.relu(self.norm(self.stages(self.stem(x))))
        return self.head(x.mean(dim=(2, 3)))


class PreActivation(nn.Module):
    """Basic block of He et al. 2016."""

    def __init__(self, m, c, stride):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(m), nn.Conv2d(m, c, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(c), nn.Conv2d(c, c, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(m, c, 1, stride, bias=False) if m != c else None

    def forward(self, x):
        h = F.relu(self.norm1(x))
        if self.shortcut is not None:
            x = self.shortcut(h)
        return x + self.conv2(F.relu(self.norm2(self.conv1(h))))


class ResNet110(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        blocks, m = [], 16
        for c in (16, 32, 64):
            for i in range(18):
                blocks.append(PreActivation(m, c, 2 if i == 0 and c > 16 else 1))
                m = c
        self.blocks, self.norm, self.head = nn.Sequential(*blocks), nn.BatchNorm2d(64), nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.blocks(self.stem(x))))
        return self.head(x.mean(dim=(2, 3)))


def gluon_layers(net):
    """Convolutions, normalizations and dense layers in the order of the graph's parameters."""
    found = []

    def visit(block):
        if isinstance(block, (gluon.nn.Conv2D, gluon.nn.BatchNorm, gluon.nn.Dense)):
            found.append(block)
        for child in block._children.values():
            visit(child)
    visit(net)
    return found


def torch_layers(net):
    return [module for module in net.modules() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]


def tensors(ours, theirs):
    """Pairs (Gluon parameter, torch tensor) of every layer, the layers paired by their kind and order."""
    left, right = gluon_layers(ours), torch_layers(theirs)
    kinds = {gluon.nn.Conv2D: nn.Conv2d, gluon.nn.BatchNorm: nn.BatchNorm2d, gluon.nn.Dense: nn.Linear}
    assert [kinds[type(a)] for a in left] == [type(b) for b in right]
    for a, b in zip(left, right):
        if isinstance(a, gluon.nn.BatchNorm):
            yield a.gamma, b.weight
            yield a.beta, b.bias
            yield a.running_mean, b.running_mean
            yield a.running_var, b.running_var
        else:
            yield a.weight, b.weight
            if b.bias is not None:
                yield a.bias, b.bias


def copy_to_torch(ours, theirs):
    with torch.no_grad():
        for a, b in tensors(ours, theirs):
            assert tuple(a.shape) == tuple(b.shape), a.name
            b.copy_(torch.from_numpy(a.data().asnumpy()))


def randomize(net, array, shift):
    """Statistics, scales, shifts and biases other than the initial 0 and 1; `shift` is added to every beta."""
    for p in net.collect_params().values():
        if p.name.endswith(('gamma', 'running_var')):
            p.set_data(array(numpy.random.uniform(0.5, 1.5, p.shape).astype('float32')))
        elif not p.name.endswith('weight'):
            values = numpy.random.normal(0, 0.2, p.shape) + shift * p.name.endswith('beta')
            p.set_data(array(values.astype('float32')))


def compare(ours, theirs, X, array, shift, of_gradients):
    """Outputs on inference; then outputs and gradients of one training step. `of_gradients`: relative tolerance."""
    randomize(ours, array, shift)
    copy_to_torch(ours, theirs)
    theirs.eval()
    expected = theirs(torch.from_numpy(X)).detach().numpy()
    assert abs(ours(array(X)).asnumpy() - expected).max() <= 1e-5 * abs(expected).max()
    mx.nd.waitall()

    weights = numpy.random.normal(size=expected.shape).astype('float32') / expected.size
    theirs.train()
    theirs.zero_grad()
    out = theirs(torch.from_numpy(X))
    (out * torch.from_numpy(weights)).sum().backward()
    with autograd.record():
        scores = ours(array(X))
        loss = (scores * array(weights)).sum()
    loss.backward()
    expected = out.detach().numpy()
    assert abs(scores.asnumpy() - expected).max() <= 1e-4 * abs(expected).max()
    rows = [(a.name, a.grad().asnumpy(), b.grad.numpy()) for a, b in tensors(ours, theirs) if a.grad_req != 'null']
    total = sum(numpy.linalg.norm(b) ** 2 for *_, b in rows) ** 0.5
    assert sum(numpy.linalg.norm(a - b) ** 2 for _, a, b in rows) ** 0.5 <= of_gradients * total
    for name, a, b in rows:
        # Biases in front of a normalization have a gradient of zero but for rounding: hence the second term.
        assert numpy.linalg.norm(a - b) <= 2 * of_gradients * numpy.linalg.norm(b) + 1e-5 * total, name


def compare_statistics(ours, theirs, positions):
    """Running statistics after a step. PyTorch's variance has n - 1 in the denominator, MXNet's n."""
    for a, b in zip(gluon_layers(ours), torch_layers(theirs)):
        if isinstance(a, gluon.nn.BatchNorm):
            n = positions[b]
            mean, variance = a.running_mean.data().asnumpy(), a.running_var.data().asnumpy()
            old = b.before
            assert abs(mean - b.running_mean.numpy()).max() <= 1e-4 * max(abs(mean).max(), 1)
            expected = 0.9 * old + (b.running_var.numpy() - 0.9 * old) * (n - 1) / n
            assert abs(variance - expected).max() <= 1e-4 * max(abs(variance).max(), 1)


def step_and_compare(ours, theirs, X, array):
    positions = {}

    def look(module, inputs):
        x = inputs[0]
        if module.training:
            positions[module] = x.numel() // x.shape[1]
            module.before = module.running_var.numpy().copy()

    for module in torch_layers(theirs):
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(look)
    ours.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0))
    ours(array(X))
    mx.nd.waitall()  # before parameters are read: see training._snapshot
    # With every ReLU open the network is smooth, and gradients agree closely. With the usual ones rounding flips a few
    # of 100,000 (MXNet errs five times as far from double precision as PyTorch), and each flip is a jump.
    compare(ours, theirs, X, array, shift=8, of_gradients=5e-3)
    compare(ours, theirs, X, array, shift=0, of_gradients=5e-2)
    compare_statistics(ours, theirs, positions)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('hybrid', [False, True])
@pytest.mark.parametrize('k, bottleneck, bias', [(10, None, True), (16, None, False), (12, 4, False), (8, 2, True)])
def test_blocks(mode, hybrid, k, bottleneck, bias):
    array = switch(mode)
    X = images(3, 16, 9, 7) - 0.5
    for ours, theirs in [
            (conv_block(k, bottleneck=bottleneck, bias=bias), Composite(16, k, bottleneck, bias)),
            (DenseBlock(3, k, bottleneck=bottleneck, bias=bias), Dense(3, 16, k, bottleneck, bias)),
            (transition_block(k, bias=bias), Transition(16, k, bias)),
            (transition_block(k, bias=bias, pooling_convention='full'), Transition(16, k, bias, True))]:
        if hybrid:
            ours.hybridize()
        step_and_compare(ours, theirs, X, array)


NETWORKS = {
    'article': {},
    'plain, cifar': {'stem': 'cifar', 'growth_rate': 12, 'block_config': (4, 4, 4), 'num_init_features': 16,
                     'compression': 1.0, 'bias': False},
    'B': {'bottleneck': 4, 'compression': 1.0, 'growth_rate': 8, 'block_config': (3, 2)},
    'C': {'compression': 0.7, 'growth_rate': 9, 'block_config': (3, 2)},
    'BC, cifar': {'stem': 'cifar', 'growth_rate': 12, 'block_config': (3, 3, 3), 'num_init_features': 24,
                  'bottleneck': 4, 'bias': False},
    'BC, imagenet': {'bottleneck': 4, 'bias': False, 'in_channels': 3, 'growth_rate': 32, 'block_config': (3, 4, 3, 2)}}


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('name', NETWORKS)
def test_one_network_of_each_kind(name, mode):
    array = switch(mode)
    ours = DenseNet(**NETWORKS[name])
    X = images(4, ours.config['in_channels'], 48, 48) - 0.5
    step_and_compare(ours, Network(**ours.config), X, array)


@pytest.mark.parametrize('mode', MODES)
def test_resnet110(mode):
    array = switch(mode)
    step_and_compare(resnet('resnet110'), ResNet110(), images(4, 3, 32, 32) - 0.5, array)


def test_a_whole_named_network():
    ours = densenet('densenet_bc_100_12')
    step_and_compare(ours, Network(**ours.config), images(2, 3, 32, 32) - 0.5, switch('nd'))


@pytest.mark.parametrize('name', ['article', 'densenet_40_12', 'densenet_bc_100_12', 'densenet121'])
def test_bytes_kept_for_the_backward_pass(name):
    """PyTorch hands every tensor that it saves to a hook: the same bytes, but for what it keeps beyond need."""
    net = densenet(name)
    table = summary(name)
    theirs = Network(**net.config)
    theirs.train()
    own = {p.data_ptr() for p in [*theirs.parameters(), *theirs.buffers()]}
    saved, beyond = {}, set()

    def pack(tensor):
        if tensor.data_ptr() not in own and tensor.dtype == torch.float32 and tensor.ndim in (2, 4):
            saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    def pooled(module, inputs, output):
        # The backward pass of average pooling needs the shape alone; PyTorch saves the input.
        beyond.add(module.conv.last.data_ptr())

    for module in theirs.modules():
        if isinstance(module, Transition):
            module.conv.register_forward_hook(lambda conv, inputs, output: setattr(conv, 'last', output))
            module.register_forward_hook(pooled)
    X = torch.from_numpy(images(2, *table.input_shape))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        theirs(X)
    kept = sum(numel for address, numel in saved.items() if address not in beyond)
    assert 2 * table.activation_bytes == 4 * kept
