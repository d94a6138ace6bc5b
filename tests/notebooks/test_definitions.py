"""The definitions that the notebooks derive, held against the package's."""

import ast
import contextlib

import numpy
import pytest
from mxnet import autograd, init, np, npx
from notebook_files import code_cells, read, tree

from d2l_densenet import (
    DenseBlock,
    DenseNet,
    conv_block,
    cut_connection,
    mean_absolute_weights,
    resnets,
    transition_block,
)


def load(name, *wanted):
    """Load the functions and classes `wanted` out of a notebook, with its imports and its other definitions.

    Nothing else in it is run. Of a name that is defined twice, the first definition counts: the derivation.
    """
    # What a notebook takes from the reader's own file is the package's here.
    namespace = {'__name__': f'notebook_{name}', 'conv_block': conv_block, 'DenseBlock': DenseBlock,
                 'transition_block': transition_block}
    defined = set()
    for node in [node for cell in code_cells(read(name)) for node in tree(cell).body]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            # The package's version may be imported too; it must not take the derivation's place.
            node.names = [alias for alias in node.names if (alias.asname or alias.name) not in wanted]
            found = bool(node.names)
        else:
            found = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name not in defined
        if found:
            with contextlib.suppress(NameError):    # a default that some cell computes: not what is wanted
                exec(compile(ast.Module([node], type_ignores=[]), f'{name}.ipynb', 'exec'), namespace)
                defined.add(getattr(node, 'name', None))
    assert defined >= set(wanted), f'{name}.ipynb does not define {", ".join(sorted(set(wanted) - defined))}'
    return [namespace[key] for key in wanted]


def parameters(net):
    return list(net.collect_params().values())


def run(net, X, head):
    """Output, gradients and running statistics of one training step's forward and backward, as NumPy arrays."""
    X = X.copy()
    X.attach_grad()
    with autograd.record():
        Y = net(X)
    Y.backward(head(Y.shape))
    gradients = [p.grad().asnumpy() for p in parameters(net) if p.grad_req != 'null']
    statistics = [p.data().asnumpy() for p in parameters(net) if p.grad_req == 'null']
    return [Y.asnumpy(), X.grad.asnumpy(), *gradients, *statistics, net(X).asnumpy()]


def assert_same(mine, theirs, shape, hybridize=False):
    """Same weights, same input: same outputs (training and inference), gradients and running statistics."""
    for net in (mine, theirs):
        net.initialize(init.Xavier())
        net(np.zeros(shape))
    npx.waitall()  # before parameters are read: see training._snapshot
    assert [p.shape for p in parameters(mine)] == [p.shape for p in parameters(theirs)]
    random = numpy.random.RandomState(0)
    for a, b in zip(parameters(mine), parameters(theirs)):
        # Drawn anew, so that no scale is exactly 1 and no shift exactly 0: a forgotten one would go unseen.
        value = b.data().asnumpy() + random.uniform(0.05, 0.2, b.shape)
        a.set_data(np.array(value, dtype='float32'))
        b.set_data(np.array(value, dtype='float32'))
    if hybridize:
        theirs.hybridize()
    X = np.array(random.uniform(-1, 1, shape), dtype='float32')
    G = random.uniform(-1, 1, 10 ** 6)
    results = [run(net, X, lambda size: np.array(numpy.resize(G, size), dtype='float32')) for net in (mine, theirs)]
    # A hybridized transition computes in another order, and a list of features sums gradients in another one.
    for a, b in zip(*results):
        numpy.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, abs(b).max()))


@pytest.fixture
def np_mode():
    npx.set_np()


HYBRIDIZE = pytest.mark.parametrize('hybridize', [False, True])


@HYBRIDIZE
def test_conv_block_of_notebook_01(np_mode, hybridize):
    mine, = load('01_first_densenet', 'conv_block')
    assert mine is not conv_block
    assert_same(mine(10), conv_block(10), (4, 3, 8, 8), hybridize)


# Widths that are no multiple of 16 and ones that are: the package joins them on different routes.
@HYBRIDIZE
@pytest.mark.parametrize('num_convs, num_channels, shape', [(4, 10, (4, 5, 22, 22)), (3, 16, (2, 32, 7, 6))])
@pytest.mark.parametrize('name', ['01_first_densenet', '02_dense_block'])
def test_dense_block_of_notebooks_01_and_02(np_mode, name, num_convs, num_channels, shape, hybridize):
    mine, = load(name, 'DenseBlock')
    assert mine is not DenseBlock
    assert_same(mine(num_convs, num_channels), DenseBlock(num_convs, num_channels), shape, hybridize)


@HYBRIDIZE
@pytest.mark.parametrize('shape', [(4, 45, 22, 22), (2, 16, 7, 9)])
@pytest.mark.parametrize('name', ['01_first_densenet', '03_whole_network'])
def test_transition_block_of_notebooks_01_and_03(np_mode, name, shape, hybridize):
    mine, = load(name, 'transition_block')
    assert mine is not transition_block
    assert_same(mine(10), transition_block(10), shape, hybridize)


@HYBRIDIZE
def test_network_of_notebook_03(np_mode, hybridize):
    mine, = load('03_whole_network', 'build_densenet')
    assert_same(mine(), DenseNet(), (4, 1, 48, 48), hybridize)


@HYBRIDIZE
def test_bottleneck_of_notebook_06(np_mode, hybridize):
    mine, = load('06_bottleneck_and_compression', 'bottleneck_block')
    assert_same(mine(12), conv_block(12, bottleneck=4, bias=False), (2, 100, 8, 8), hybridize)


@pytest.mark.parametrize('num_convs, num_channels, shape', [(4, 10, (4, 5, 22, 22)), (3, 16, (2, 32, 7, 6))])
def test_recomputing_of_notebook_07(np_mode, num_convs, num_channels, shape):
    """The step that recomputes against autograd's own on the same block, running statistics included."""
    step, ordinary, _ = load('07_memory', 'recomputing_step', 'ordinary_step', 'features_of')
    N, C, *size = shape
    X, G = (np.random.normal(size=(N, width, *size)) for width in (C, C + num_convs * num_channels))
    results, block = [], DenseBlock(num_convs, num_channels)
    block.initialize(init.Xavier())
    block(X)
    npx.waitall()
    start = [p.data().asnumpy().copy() for p in parameters(block)]
    for train in (ordinary, step):
        for p, value in zip(parameters(block), start):
            p.set_data(np.array(value))
        arrays = train(block, X, G)
        npx.waitall()
        results.append([array.asnumpy().copy() for array in arrays]
                       + [(p.data() if p.grad_req == 'null' else p.grad()).asnumpy().copy() for p in parameters(block)])
    for a, b in zip(*results, strict=True):
        numpy.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * max(1, abs(a).max()))


def test_map_and_cut_of_notebook_08(np_mode):
    mean_weights, cut, _ = load('08_feature_reuse', 'mean_weights', 'cut', 'channels_of')
    mine, theirs = (DenseBlock(4, 3, in_channels=5) for _ in range(2))
    for block in (mine, theirs):
        block.initialize(init.Normal(1))
    numpy.testing.assert_allclose(mean_weights(mine), mean_absolute_weights(mine), rtol=1e-6)
    for a, b in zip(parameters(mine), parameters(theirs)):
        b.set_data(a.data())
    cut(mine, 2, 4)
    cut_connection(theirs, 2, 4)
    for a, b in zip(parameters(mine), parameters(theirs)):
        numpy.testing.assert_array_equal(a.data().asnumpy(), b.data().asnumpy())
    assert mean_weights(mine)[3, 2] == 0


@HYBRIDIZE
def test_networks_of_notebook_05(np_mode, hybridize):
    """The residual block, the two networks on one frame, and the package's that stand in for them in its curves."""
    residual, densenet, resnet, _, _ = load('05_resnet_vs_densenet', 'Residual', 'my_densenet', 'my_resnet', 'Added',
                                            'on_one_frame')
    assert_same(residual(5, True, 2), resnets.Residual(5, 2, True), (2, 3, 8, 8), hybridize)
    assert_same(densenet(4), DenseNet(4, (6, 6), 8, pooling_convention='full'), (2, 1, 28, 28), hybridize)
    assert_same(resnet(4), resnets.small_resnet(4), (2, 1, 28, 28), hybridize)
