"""The notebooks, without running them: their form, and the definitions they derive against the package's.

(That each runs, and shows again what it showed, is nbval's part of `make test`.)
"""

import ast
import json
import pathlib
import re

import numpy
import pytest
from mxnet import autograd, init, np, npx

from d2l_densenet import (
    DenseBlock,
    DenseNet,
    conv_block,
    cut_connection,
    densenet,
    mean_absolute_weights,
    resnets,
    summary,
    transition_block,
)

DIRECTORY = pathlib.Path(__file__).resolve().parent.parent / 'notebooks'
EXPECTED = ['00_start_here', '01_dense_block', '02_transition_layer', '03_densenet', '04_training',
            '05_resnet_vs_densenet', '06_bottleneck_and_compression', '07_memory', '08_feature_reuse',
            '09_named_networks', '10_bug_hunt', '11_claims']
NOTEBOOKS = sorted({*EXPECTED, *(path.stem for path in DIRECTORY.glob('*.ipynb'))})
IGNORE = 'nbval-ignore-output'


def read(name):
    path = DIRECTORY / f'{name}.ipynb'
    assert path.is_file(), f'{path.name} is missing'
    return json.loads(path.read_text(encoding='utf-8'))


@pytest.fixture(params=NOTEBOOKS)
def notebook(request):
    return read(request.param)


def code_cells(notebook):
    return [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']


def source(cell):
    return ''.join(cell['source'])


def tags(cell):
    return cell['metadata'].get('tags', [])


def tree(cell):
    """The cell's syntax tree; IPython's own lines (%, !) are left out."""
    return ast.parse('\n'.join('' if re.match(r'\s*[%!]', line) else line for line in source(cell).splitlines()))


def has_assert(cell):
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree(cell)))


def shown(cell):
    """The texts among the outputs of a code cell (pictures are left out)."""
    for output in cell['outputs']:
        yield ''.join(output.get('text', ''))
        yield '\n'.join(output.get('traceback', ''))
        for kind, data in output.get('data', {}).items():
            if not kind.startswith('image/'):
                yield ''.join(data) if isinstance(data, (str, list)) else json.dumps(data)


def headings(notebook):
    return [line for cell in notebook['cells'] if cell['cell_type'] == 'markdown'
            for line in source(cell).splitlines() if re.match('#+ ', line)]


# Form

def test_was_run_from_top_to_bottom_and_saved(notebook):
    counts = [cell['execution_count'] for cell in code_cells(notebook) if source(cell).strip()]
    assert counts == list(range(1, len(counts) + 1))


def test_shows_no_error_and_nothing_on_stderr(notebook):
    for cell in code_cells(notebook):
        for output in cell['outputs']:
            assert output['output_type'] != 'error', source(cell)
            assert output.get('name') != 'stderr', (source(cell), output['text'])


def test_names_no_path_of_the_machine_it_was_run_on(notebook):
    path = re.compile(r'(?<![\w./:-])(/(root|home|tmp|work|Users|var|private|mnt|opt)/\S*|[A-Z]:\\\S+)')
    for cell in notebook['cells']:
        texts = [source(cell), *(shown(cell) if cell['cell_type'] == 'code' else [])]
        for text in texts:
            found = path.search(text)
            assert not found, (found.group(), source(cell))


def test_pictures_are_png(notebook):
    """Strict comparison passes over PNG and cannot pass SVG, which holds dates and random ids."""
    for cell in code_cells(notebook):
        for output in cell['outputs']:
            assert {kind for kind in output.get('data', {}) if kind.startswith('image/')} <= {'image/png'}, source(cell)


def test_cells_are_short(notebook):
    first, *others = code_cells(notebook)
    assert len(source(first).splitlines()) <= 15, 'the set-up cell'
    for cell in others:
        assert len(source(cell).splitlines()) <= 30, source(cell)


def test_an_ignored_output_is_guarded_by_an_assert(notebook):
    """An output that nbval does not compare shows something all the same; an assert says what."""
    cells = code_cells(notebook)
    for cell, following in zip(cells, [*cells[1:], None]):
        if IGNORE in tags(cell):
            assert has_assert(cell) or (following and has_assert(following)), source(cell)


def test_nothing_is_kept_from_nbval(notebook):
    """The only mark is the one above: no skipped cell, no expected exception, no mark hidden in a comment."""
    for cell in code_cells(notebook):
        assert [tag for tag in tags(cell) if tag.startswith('nbval') or tag == 'raises-exception'] in ([], [IGNORE])
        assert not re.search(r'#\s*(NBVAL_|PYTEST_VALIDATE)', source(cell)), source(cell)


def test_kernel_is_the_one_everybody_has(notebook):
    kernel = notebook['metadata']['kernelspec']
    assert (kernel['name'], kernel['display_name']) == ('python3', 'Python 3 (ipykernel)')


def test_is_small_enough_to_look_at_in_a_browser(request, notebook):
    name = request.node.callspec.params['notebook']
    assert (DIRECTORY / f'{name}.ipynb').stat().st_size < 1_500_000


def test_has_the_parts_of_a_notebook_of_this_course(notebook):
    """../shared/DESIGN.md, "A notebook": a title with what is promised, a recap, exercises."""
    first = source(notebook['cells'][0])
    assert first.startswith('# ')
    assert [line for line in headings(notebook) if line.startswith('# ')] == [first.splitlines()[0]], 'one title'
    assert 'You will be able to' in first or 'you will be able to' in first
    assert re.search(r'\bminutes?\b', first) and re.search(r'\b(CPU|GPU|device)\b', first)
    sections = [line.strip('# ').lower() for line in headings(notebook)]
    assert any(line.startswith('recap') for line in sections)
    assert any(line.startswith('exercises') for line in sections)


def test_carries_no_times_of_execution(notebook):
    """They change at each run and would bury the real changes in a diff; `make notebooks` leaves them out."""
    assert not any('execution' in cell['metadata'] for cell in notebook['cells'])


# Definitions

def load(name, *wanted):
    """Load the functions and classes `wanted` out of a notebook, with its imports and its other definitions.

    Nothing else in it is run. Of a name that is defined twice, the first definition counts: the derivation.
    """
    module = ast.Module([], type_ignores=[])
    defined = set()
    for cell in code_cells(read(name)):
        for node in tree(cell).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                # The notebook goes over to the package's version later; that must not take the derivation's place.
                node.names = [alias for alias in node.names if (alias.asname or alias.name) not in wanted]
                if node.names:
                    module.body.append(node)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name not in defined:
                defined.add(node.name)
                module.body.append(node)
    assert defined >= set(wanted), f'{name}.ipynb does not define {", ".join(sorted(set(wanted) - defined))}'
    namespace = {'__name__': f'notebook_{name}'}
    exec(compile(ast.fix_missing_locations(module), f'{name}.ipynb', 'exec'), namespace)
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
    # Hybridized, a transition computes in another order, and the rounding of its gradients is another.
    tolerance = 1e-5 if hybridize else 1e-6
    for a, b in zip(*results):
        numpy.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, abs(b).max()))


@pytest.fixture
def np_mode():
    npx.set_np()


@pytest.mark.parametrize('hybridize', [False, True])
def test_conv_block_of_notebook_01(np_mode, hybridize):
    mine, = load('01_dense_block', 'conv_block')
    assert mine is not conv_block
    assert_same(mine(10), conv_block(10), (4, 3, 8, 8), hybridize)


# Widths that are no multiple of 16 and ones that are: the package joins them on different routes.
@pytest.mark.parametrize('hybridize', [False, True])
@pytest.mark.parametrize('num_convs, num_channels, shape', [(4, 10, (4, 5, 22, 22)), (3, 16, (2, 32, 7, 6))])
def test_dense_block_of_notebook_01(np_mode, num_convs, num_channels, shape, hybridize):
    mine, _ = load('01_dense_block', 'DenseBlock', 'conv_block')
    assert mine is not DenseBlock
    assert_same(mine(num_convs, num_channels), DenseBlock(num_convs, num_channels), shape, hybridize)


@pytest.mark.parametrize('hybridize', [False, True])
@pytest.mark.parametrize('shape', [(4, 45, 22, 22), (2, 16, 7, 9)])
def test_transition_block_of_notebook_02(np_mode, shape, hybridize):
    mine, = load('02_transition_layer', 'transition_block')
    assert mine is not transition_block
    assert_same(mine(10), transition_block(10), shape, hybridize)


@pytest.mark.parametrize('hybridize', [False, True])
@pytest.mark.parametrize('strides', [1, 2])
@pytest.mark.parametrize('channels', [12, 16])
def test_residual_of_notebook_05(np_mode, channels, strides, hybridize):
    mine, = load('05_resnet_vs_densenet', 'Residual')
    with_conv = channels != 12 or strides != 1
    theirs = resnets.Residual(channels, strides, with_conv)
    assert_same(mine(channels, with_conv, strides), theirs, (4, 12, 9, 8), hybridize)


def test_costs_of_notebook_05():
    densenet_cost, resnet_cost, build_resnet = load(
        '05_resnet_vs_densenet', 'densenet_cost', 'resnet_cost', 'build_resnet')
    for cost, net in ((densenet_cost(20, 24, 52, (4, 7)), DenseNet(20, (4, 7), 24)),
                      (densenet_cost(16, 48, 48), DenseNet(16, (6, 6), 48, compression=1 / 3)),
                      (resnet_cost(20, 2), build_resnet(20, 2)), (resnet_cost(32), build_resnet())):
        table = summary(net, (1, 32, 32))
        assert tuple(cost) == (table.parameters, table.multiply_adds)


@pytest.mark.parametrize('hybridize', [False, True])
def test_bottleneck_of_notebook_06(np_mode, hybridize):
    mine, = load('06_bottleneck_and_compression', 'bottleneck_block')
    assert_same(mine(12), conv_block(12, bottleneck=4, bias=False), (2, 100, 8, 8), hybridize)


@pytest.mark.parametrize('hybridize', [False, True])
def test_network_of_notebook_06(np_mode, hybridize):
    mine, *_ = load('06_bottleneck_and_compression', 'build_densenet_bc', 'BottleneckDenseBlock', 'bottleneck_block')
    theirs = densenet('densenet_bc_100_12', growth_rate=8, block_config=(2, 2, 2), num_init_features=16,
                      compression=0.4)
    assert_same(mine(2, 8, 0.4), theirs, (4, 3, 32, 32), hybridize)


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


@pytest.mark.parametrize('hybridize', [False, True])
def test_network_of_notebook_03(np_mode, hybridize):
    mine, = load('03_densenet', 'build_densenet')
    assert_same(mine(), DenseNet(), (4, 1, 48, 48), hybridize)


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
