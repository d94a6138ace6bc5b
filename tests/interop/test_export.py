"""Exported files, judged by programs that are not this package: onnxruntime, ONNX's own checker and its reference."""

import json
import pathlib
import subprocess
import sys
import types

import mxnet as mx
import numpy
import pytest
from mxnet import npx
from mxnet.util import is_np_array, is_np_shape
from safetensors.numpy import load_file, save_file

from d2l_densenet import NETWORKS, RESNETS, CheckpointError, DenseNet, cli, densenet, he_initialize, resnet
from d2l_densenet.interop import export
from d2l_densenet.interop.checkpoints import save_torch
from d2l_densenet.interop.export import ExportError, export_model
from d2l_densenet.named import OWN, published_shape
from d2l_densenet.runs.directories import save_run
from d2l_densenet.training import History

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = {'growth_rate': 8, 'block_config': (2, 2), 'num_init_features': 8}
REASON = 'needs the packages of the extra interop: make env'


@pytest.fixture
def onnx():
    pytest.importorskip('onnxruntime', reason=REASON)
    return pytest.importorskip('onnx', reason=REASON)


def with_values(net, seed=0):
    """`net`, every value of it random, so that a mistake in any of them shows."""
    random = numpy.random.RandomState(seed)
    net.initialize()
    array = mx.np.array if is_np_array() else mx.nd.array
    for name, parameter in net.collect_params().items():
        if name.endswith(('gamma', 'running_var')):
            values = random.uniform(0.5, 1.5, parameter.shape)
        elif name.endswith('weight'):
            values = random.standard_normal(parameter.shape) * numpy.sqrt(2 / numpy.prod(parameter.shape[1:]))
        else:
            values = 0.2 * random.standard_normal(parameter.shape)
        parameter.set_data(array(values.astype('float32')))
    return net


def random_images(count, shape):
    return numpy.random.standard_normal((count, *shape)).astype('float32')


def own_scores(net, images):
    array = mx.np.array if is_np_array() else mx.nd.array
    return net(array(images)).asnumpy()


def mxnet_scores(directory, images, name='densenet'):
    """What MXNet gives from the two files, as a user reads them."""
    npx.reset_np()
    block = mx.gluon.SymbolBlock.imports(f'{directory}/{name}-symbol.json', ['data'], f'{directory}/{name}-0000.params')
    return block(mx.nd.array(images)).asnumpy()


def onnx_scores(directory, images, name='densenet'):
    import onnxruntime
    session = onnxruntime.InferenceSession(f'{directory}/{name}.onnx', providers=['CPUExecutionProvider'])
    scores, = session.run(None, {'data': images})
    return scores


def assert_close(scores, expected):
    numpy.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * abs(expected).max())


CASES = {
    'article': ({}, (1, 48, 48)),
    'article, rounding up': ({'pooling_convention': 'full'}, (1, 28, 28)),
    'unaligned, rounding up, not square': ({**SMALL, 'growth_rate': 12, 'block_config': (2, 1, 2),
                                            'pooling_convention': 'full'}, (1, 13, 10)),
    'bottleneck': ({**SMALL, 'bottleneck': 4, 'bias': False, 'in_channels': 3, 'classes': 7}, (3, 40, 24)),
    'CIFAR stem, dropout': ({**SMALL, 'growth_rate': 12, 'num_init_features': 16, 'stem': 'cifar', 'dropout': 0.5,
                             'compression': 1.0}, (1, 9, 9)),
    'one block': ({**SMALL, 'block_config': (1,)}, (1, 8, 8)),
}


@pytest.mark.parametrize('hybridized', [False, True], ids=['imperative', 'hybridized'])
@pytest.mark.parametrize('np_on', [False, True], ids=['nd', 'np'])
@pytest.mark.parametrize('case', CASES)
def test_files_give_the_scores_of_the_network(case, np_on, hybridized, onnx, tmp_path):
    config, shape = CASES[case]
    if np_on:
        npx.set_np()
    net = with_values(DenseNet(**config))
    if hybridized:
        net.hybridize(static_alloc=True, static_shape=True)
    exported = export_model(net, tmp_path, shape)
    names = ['densenet-symbol.json', 'densenet-0000.params', 'densenet.onnx']
    assert exported.files == [tmp_path / name for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert set(exported.differences) == {'mxnet', 'onnx'} and max(exported.differences.values()) <= 1e-5
    onnx.checker.check_model(str(tmp_path / 'densenet.onnx'), full_check=True)
    # Other images and other numbers of them than those of the check.
    all_images = [random_images(count, shape) for count in (1, 2, 5)]
    expected = [own_scores(net, images) for images in all_images]
    assert abs(expected[1][0] - expected[1][1]).max() > 0.1  # the scores depend on the image
    for images, scores in zip(all_images, expected, strict=True):
        assert_close(onnx_scores(tmp_path, images), scores)
        assert_close(mxnet_scores(tmp_path, images), scores)


@pytest.mark.parametrize('name', ['densenet_40_12', 'densenet_bc_100_12'])
def test_a_network_by_name(name, onnx, tmp_path):
    net, shape = with_values(densenet(name)), NETWORKS[name][1]
    export_model(net, tmp_path / 'new' / 'directory', shape, name=name)
    images = random_images(2, shape)
    assert_close(onnx_scores(tmp_path / 'new' / 'directory', images, name), own_scores(net, images))


def test_the_record_holds_every_network():
    record = json.loads((ROOT / 'records' / 'export.json').read_text())
    assert list(record['networks']) == [*NETWORKS, *OWN, *RESNETS]
    for name, row in record['networks'].items():
        assert tuple(row['input_shape']) == published_shape(name)
        assert set(row['difference']) == {'mxnet', 'onnx'} and max(row['difference'].values()) <= 1e-5
        # Four bytes a parameter, and the graph.
        assert all(4 * row['parameters'] < row['bytes'][f'{name}{end}'] for end in ('-0000.params', '.onnx'))


def test_the_onnx_file_says_what_it_takes_and_gives(onnx, tmp_path):
    export_model(with_values(DenseNet(**SMALL, classes=5)), tmp_path, (1, 20, 24), ['onnx'])
    assert [path.name for path in tmp_path.iterdir()] == ['densenet.onnx']
    model = onnx.load(str(tmp_path / 'densenet.onnx'))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [('', 15)]
    takes, = model.graph.input  # the weights are no inputs
    gives, = model.graph.output

    def shape(value):
        return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]

    assert (takes.name, shape(takes)) == ('data', ['batch', 1, 20, 24])
    assert (gives.name, shape(gives)) == ('scores', ['batch', 5])
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert DenseNet(**json.loads(properties['network'])).config['classes'] == 5


@pytest.mark.parametrize('size, ceil', [(28, 1), (48, 0)])
def test_rounding_by_the_onnx_standard(size, ceil, onnx, tmp_path):
    """onnxruntime is one reading of the standard; ONNX's reference implementation is the standard's own."""
    reference = pytest.importorskip('onnx.reference', reason=REASON)
    net = with_values(DenseNet(**{**SMALL, 'block_config': (1, 1, 1, 1)},
                               pooling_convention='full' if ceil else 'valid'))
    export_model(net, tmp_path, (1, size, size), ['onnx'])
    model = onnx.load(str(tmp_path / 'densenet.onnx'))
    pools = [{entry.name: entry.i for entry in node.attribute} for node in model.graph.node
             if node.op_type == 'AveragePool']
    assert [pool['ceil_mode'] for pool in pools] == [ceil] * 3
    images = random_images(2, (1, size, size))
    scores, = reference.ReferenceEvaluator(model).run(None, {'data': images})
    assert_close(scores, own_scores(net, images))


def test_equal_networks_give_equal_files(onnx, tmp_path):
    net = with_values(DenseNet(**SMALL))
    net.save_parameters(str(tmp_path / 'values'))
    first = export_model(net, tmp_path / 'nd', (1, 28, 28))
    npx.set_np()
    net = DenseNet(**SMALL)
    net.load_parameters(str(tmp_path / 'values'))
    second = export_model(net, tmp_path / 'np', (1, 28, 28))
    for one, other in zip(first.files, second.files, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize('mode_of_call', ['same', 'other'])
@pytest.mark.parametrize('np_on', [False, True], ids=['nd', 'np'])
@pytest.mark.parametrize('hybridized', [False, True], ids=['imperative', 'hybridized'])
def test_the_network_stays_as_it_was(hybridized, np_on, mode_of_call, tmp_path):
    modes = {False: npx.reset_np, True: npx.set_np}
    modes[np_on]()
    net = with_values(DenseNet(**{**SMALL, 'block_config': (1, 1, 1)}, dropout=0.3, pooling_convention='full'))
    if hybridized:
        net.hybridize(static_alloc=True)
    images = random_images(2, (1, 33, 33))
    before = own_scores(net, images)
    graphs = [(block._cached_graph, block._cached_op) for block in (net, net.features)]
    values = {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}
    mode_on = np_on if mode_of_call == 'same' else not np_on
    modes[mode_on]()
    with mx.autograd.record():
        export_model(net, tmp_path, (1, 12, 12), ['mxnet'])
        assert mx.autograd.is_recording() and mx.autograd.is_training()
    assert (is_np_array(), is_np_shape()) == (mode_on, mode_on)
    modes[np_on]()
    assert net._active is hybridized
    assert all(now[0] is then[0] and now[1] is then[1] for now, then in
               zip([(block._cached_graph, block._cached_op) for block in (net, net.features)], graphs, strict=True))
    for name, parameter in net.collect_params().items():
        assert (parameter.data().asnumpy() == values[name]).all()
    assert (own_scores(net, images) == before).all()


def test_the_mxnet_files_tell_weights_from_statistics(tmp_path):
    """Gluon does not need it, MXNet's Module and its other languages do."""
    net = with_values(DenseNet(**SMALL))
    export_model(net, tmp_path, formats=['mxnet'])
    symbol, weights, statistics = mx.model.load_checkpoint(str(tmp_path / 'densenet'), 0)
    module = mx.mod.Module(symbol, label_names=None)
    module.bind([('data', (2, 1, 48, 48))], for_training=False)
    module.set_params(weights, statistics)
    images = random_images(2, (1, 48, 48))
    module.forward(mx.io.DataBatch([mx.nd.array(images)]))
    assert_close(module.get_outputs()[0].asnumpy(), own_scores(net, images))


def test_the_mxnet_files_can_be_trained_further(tmp_path):
    """k = 12 and 24 wide joints: where oneDNN's concat fails in training. The files keep NumPy's."""
    net = with_values(DenseNet(12, (2, 2), 24))
    export_model(net, tmp_path, (1, 16, 16), ['mxnet'])
    twin = mx.gluon.SymbolBlock.imports(str(tmp_path / 'densenet-symbol.json'), ['data'],
                                        str(tmp_path / 'densenet-0000.params'))
    net.hybridize()  # so that both compute in the same order
    images = mx.nd.array(random_images(4, (1, 16, 16)))
    gradients = []
    for block in (net, twin):
        with mx.autograd.record():
            loss = (block(images) ** 2).sum()
        loss.backward()
        gradients.append({name.partition('_')[2]: parameter.grad().asnumpy()
                          for name, parameter in block.collect_params().items() if parameter.grad_req != 'null'})
    assert len(gradients[0]) == len(gradients[1]) > 20
    for name, gradient in gradients[0].items():
        assert_close(gradients[1][name], gradient + 1e-30)


@pytest.mark.parametrize('arguments, words', [
    ({'input_shape': (1, 48)}, 'input_shape must be'),
    ({'input_shape': (3, 48, 48)}, r'input_shape must be \(1, height, width\)'),
    ({'input_shape': (1, 4, 4)}, 'smallest height and width is 5'),
    ({'formats': 'onnx'}, "formats must be a sequence of 'mxnet' and 'onnx', got 'onnx'"),
    ({'formats': ()}, r'formats must be .* got \(\)'),
    ({'formats': ['mxnet', 'tflite']}, 'formats must be .*tflite'),
    ({'formats': None}, 'formats must be .*None'),
    ({'formats': [['onnx']]}, 'formats must be'),
    ({'name': '../net'}, "name must consist of .* got '../net'"),
    ({'name': ''}, 'name must consist of'),
    ({'name': 7}, 'name must consist of .* got 7'),
])
def test_wrong_arguments(arguments, words, tmp_path):
    net = with_values(DenseNet(**SMALL))
    with pytest.raises(ValueError, match=words):
        export_model(net, tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_only_a_densenet(tmp_path):
    with pytest.raises(TypeError, match='net must be a DenseNet or a ResNet of this package, got Dense'):
        export_model(mx.gluon.nn.Dense(3), tmp_path)


def test_networks_that_cannot_be_exported(tmp_path):
    net = DenseNet(**SMALL)
    with pytest.raises(ExportError, match=r'no values yet: call net.initialize\(\)'):
        export_model(net, tmp_path, formats=['mxnet'])
    with pytest.raises(ExportError, match=r'output.weight is float16: call net.cast\("float32"\)'):
        half = with_values(DenseNet(**SMALL))
        half.output.cast('float16')
        export_model(half, tmp_path, formats=['mxnet'])
    with_values(net).output.weight.set_data(net.output.weight.data() * numpy.inf)
    with pytest.raises(ExportError, match='NaN or infinity'):
        export_model(net, tmp_path, formats=['mxnet'])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('kind, victim', [('mxnet', 'densenet_conv0_weight'), ('onnx', 'densenet_dense0_bias'),
                                          ('onnx', 'densenet_denseblock1_hybridsequential1_batchnorm0_running_var')])
def test_a_failing_check_leaves_nothing(kind, victim, onnx, tmp_path, monkeypatch):
    """One value of one format is a thousandth off."""
    write = export._WRITERS[kind]

    def write_wrongly(path, symbol, values, *rest):
        wrong = values[victim].copy()
        wrong += 1e-3 * wrong.abs().max()
        write(path, symbol, {**values, victim: wrong}, *rest)

    monkeypatch.setitem(export._WRITERS, kind, write_wrongly)
    net = with_values(DenseNet(**SMALL))
    with pytest.raises(ExportError, match=f'check failed: scores of the {kind} files differ'):
        export_model(net, tmp_path / 'new')
    assert not list(tmp_path.iterdir())
    old = tmp_path / 'densenet.onnx'
    old.write_text('an older export')
    with pytest.raises(ExportError, match='check failed'):
        export_model(net, tmp_path)
    assert list(tmp_path.iterdir()) == [old] and old.read_text() == 'an older export'


@pytest.mark.parametrize('scores', [lambda right: right[:, :-1], lambda right: right * numpy.nan])
def test_scores_of_another_shape_or_none_fail_the_check(scores, tmp_path, monkeypatch):
    run = export._RUNNERS['mxnet']
    monkeypatch.setitem(export._RUNNERS, 'mxnet', lambda *args: [scores(right) for right in run(*args)])
    with pytest.raises(ExportError, match='check failed'):
        export_model(with_values(DenseNet(**SMALL)), tmp_path, formats=['mxnet'])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('value', [numpy.nan, numpy.inf])
def test_what_is_not_finite_is_not_exported_though_the_scores_are(value, tmp_path):
    """An infinite variance makes its channel 0."""
    net = with_values(DenseNet(**SMALL))
    spoilt = net.features[1].running_var
    spoilt.set_data(mx.nd.concat(mx.nd.array([value]), spoilt.data()[1:], dim=0))
    with pytest.raises(ExportError, match=r'parameter features\.1\.running_var has NaN or infinity'):
        export_model(net, tmp_path, formats=['mxnet'])
    with pytest.raises(CheckpointError, match=r'parameter features\.norm0\.running_var of net has NaN or infinity'):
        save_torch(net, tmp_path / 'net.pth')
    assert not list(tmp_path.iterdir())


def test_differences_are_shares_of_the_largest_score():
    right = numpy.array([[4, -8], [1, 2]], 'float32')
    for off, share in ((0.00004, 5e-6), (-0.00007, 8.75e-6)):
        found = right.astype('float64')
        found[1, 0] += off
        assert export._difference('onnx', [right, right], [found, right]) == pytest.approx(share)
        assert export._difference('onnx', [right, right], [right, found]) == pytest.approx(share)
    assert export._difference('onnx', [0 * right], [0 * right + 5e-6]) == pytest.approx(5e-6)
    with pytest.raises(ExportError, match='scores of the onnx .* by 1.1e-05 of the largest, more than 1e-05'):
        export._difference('onnx', [right], [right.astype('float64') + 0.000088])
    with pytest.raises(ExportError, match=r'the onnx files give scores of shape \(2, 1\), the network \(2, 2\)'):
        export._difference('onnx', [right], [right[:, :1]])


def test_the_images_of_the_check_are_of_every_kind():
    usual, bright, three, bright_three, negative, none = export._images((2, 32, 32))
    assert [len(batch) for batch in (usual, bright, three, bright_three, negative, none)] == [1, 1, 3, 3, 1, 1]
    for batch, spread in ((usual, 1), (three, 1), (bright, 1000), (bright_three, 1000)):
        assert batch.shape[1:] == (2, 32, 32) and batch.dtype == 'float32'
        assert batch.std() == pytest.approx(spread, rel=0.05) and abs(batch.mean()) < 0.1 * spread
    numpy.testing.assert_allclose(negative, -10 * abs(usual), rtol=1e-6)
    assert none.shape == (1, 2, 32, 32) and not none.any()


def test_an_interrupted_export_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        assert not list(tmp_path.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setitem(export._RUNNERS, 'mxnet', interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_model(with_values(DenseNet(**SMALL)), tmp_path / 'a' / 'b', formats=['mxnet'])
    assert not list(tmp_path.iterdir())


def test_an_export_replaces_an_older_one(tmp_path):
    export_model(with_values(DenseNet(**SMALL), seed=1), tmp_path, formats=['mxnet'])
    net = with_values(DenseNet(**SMALL), seed=2)
    export_model(net, str(tmp_path), formats=['mxnet'])
    images = random_images(1, (1, 48, 48))
    assert_close(mxnet_scores(tmp_path, images), own_scores(net, images))


def test_a_place_that_cannot_be_written(tmp_path):
    net = with_values(DenseNet(**SMALL))
    (tmp_path / 'file').write_text('')
    for directory in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(ExportError, match='cannot write densenet-symbol.json.*choose another directory'):
            export_model(net, directory, formats=['mxnet'])
    (tmp_path / 'densenet-0000.params').mkdir()
    with pytest.raises(ExportError, match='densenet-0000.params is a directory there'):
        export_model(net, tmp_path, formats=['mxnet'])
    assert sorted(path.name for path in tmp_path.iterdir()) == ['densenet-0000.params', 'file']


@pytest.mark.parametrize('missing', ['onnx', 'onnxruntime'])
def test_missing_packages(missing, tmp_path, monkeypatch):
    for name in ('onnx', 'onnxruntime'):
        monkeypatch.setitem(sys.modules, name, None if name == missing else types.ModuleType(name))
    net = with_values(DenseNet(**SMALL))
    with pytest.raises(ExportError, match=rf'{missing}.*make env, or pip install .*, or leave onnx out'):
        export_model(net, tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(export_model(net, tmp_path, formats=['mxnet']).files) == 2


def test_an_onnx_that_is_too_new(tmp_path, monkeypatch):
    new = types.ModuleType('onnx')
    monkeypatch.setitem(sys.modules, 'onnx', new)
    monkeypatch.setitem(sys.modules, 'onnx.mapping', None)
    monkeypatch.setitem(sys.modules, 'onnxruntime', types.ModuleType('onnxruntime'))
    with pytest.raises(ExportError, match=r'onnx 1\.16 to 1\.18 and onnxruntime .*onnx.mapping.*: make env'):
        export_model(with_values(DenseNet(**SMALL)), tmp_path)


def test_what_an_import_loads():
    """`import mxnet` itself loads onnx where it finds it; nothing here adds to that."""
    program = ('import sys, d2l_densenet\n'
               'assert not {"onnx", "onnxruntime", "numpy", "mxnet"} & set(sys.modules)\n'
               'import mxnet\n'
               'before = "onnx" in sys.modules\n'
               'import d2l_densenet.interop.export\n'
               'assert "onnxruntime" not in sys.modules and ("onnx" in sys.modules) == before')
    subprocess.run([sys.executable, '-c', program], check=True, cwd=ROOT)


def test_a_resnet(tmp_path):
    pytest.importorskip('onnxruntime', reason=REASON)
    net = resnet('resnet110')
    he_initialize(net, 0, (3, 32, 32))
    exported = export_model(net, tmp_path, (3, 32, 32), name='resnet110')
    assert set(exported.differences) == {'mxnet', 'onnx'}


def test_the_command_on_a_run(tmp_path, capsys):
    net = with_values(DenseNet(**SMALL))
    save_run(tmp_path, net, History(), {'network': net.config, 'size': 28})
    assert cli.main(['export', str(tmp_path), '--output', str(tmp_path / 'out'), '--format', 'mxnet',
                     '--name', 'small']) == 0
    printed = capsys.readouterr().out
    assert 'mxnet: checked, largest difference' in printed and str(tmp_path / 'out' / 'small-0000.params') in printed
    images = random_images(2, (1, 28, 28))
    assert_close(mxnet_scores(tmp_path / 'out', images, 'small'), own_scores(net, images))


def test_the_command_on_a_named_network_with_weights(tmp_path, capsys):
    net = densenet('densenet_bc_100_12')
    he_initialize(net, 3)
    net.save_parameters(str(tmp_path / 'trained.params'))
    assert cli.main(['export', '--network', 'densenet_bc_100_12', '--weights', str(tmp_path / 'trained.params'),
                     '--format', 'mxnet', '--output', str(tmp_path)]) == 0
    images = random_images(1, (3, 32, 32))
    assert_close(mxnet_scores(tmp_path, images, 'densenet_bc_100_12'), own_scores(net, images))
    assert 'random' not in capsys.readouterr().out
    assert cli.main(['export', '--network', 'article', '--format', 'mxnet', '--output', str(tmp_path)]) == 0
    assert 'random initial values' in capsys.readouterr().out


def test_the_command_on_what_others_have_saved(tmp_path, capsys):
    """Classes and channels are the file's; what errors advise are options of the command, and they work."""
    net = DenseNet(**{**densenet('densenet_bc_100_12').config, 'classes': 3, 'in_channels': 1})
    he_initialize(net, input_shape=(1, 32, 32))
    save_torch(net, tmp_path / 'plain.safetensors')
    state = load_file(tmp_path / 'plain.safetensors')
    twice = {f'{part}.{name}': value for part in ('state_dict', 'state_dict_ema') for name, value in state.items()}
    save_file(twice, tmp_path / 'twice.safetensors')
    save_file({**state, 'op_threshs': state['classifier.bias']}, tmp_path / 'more.safetensors')
    headless = {name: value for name, value in state.items() if not name.startswith('classifier')}
    save_file(headless, tmp_path / 'headless.safetensors')

    def run(file, *more):
        return cli.main(['export', '--network', 'densenet_bc_100_12', '--weights', str(tmp_path / file), '--format',
                         'mxnet', '--output', str(tmp_path / 'out'), *more])

    images = random_images(1, (1, 32, 32))
    for file, advice in [('plain.safetensors', []), ('twice.safetensors', ['--part', "'state_dict_ema'"]),
                         ('more.safetensors', ['--no-strict'])]:
        if advice:
            assert run(file) == 2
            said = capsys.readouterr().err
            assert ' '.join(advice) in said and 'part=' not in said and 'strict=' not in said
        assert run(file, *[word.strip("'") for word in advice]) == 0
        assert_close(mxnet_scores(tmp_path / 'out', images, 'densenet_bc_100_12'), own_scores(net, images))
    assert run('headless.safetensors') == 2
    said = capsys.readouterr().err
    assert 'export a file that has one' in said and 'new_head' not in said


@pytest.mark.parametrize('arguments, words', [
    (['--network', 'article', '--output', 'out', '--part', 'x'], '--weights'),
    (['somewhere', '--no-strict'], '--weights'),
    ([], 'RUN or --network'), (['somewhere', '--network', 'article'], 'RUN or --network'),
    (['--network', 'article'], '--output'), (['somewhere', '--weights', 'x'], '--weights'),
    (['--network', 'article', '--output', 'out', '--size', '8'], 'smallest height and width is 17'),
    (['--network', 'resnet110', '--output', 'out', '--weights', 'x'], 'ResNet')])
def test_wrong_arguments_of_the_command(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['export', *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_layer_that_onnx_cannot_say_is_an_error_of_ours(onnx, tmp_path):
    """MXNet translates a LayerNorm to what today's ONNX no longer takes."""
    net = DenseNet(**SMALL, classes=3)
    net.features[4].net[0].register_child(mx.gluon.nn.LayerNorm(axis=1, in_channels=SMALL['num_init_features']), '0')
    with pytest.raises(ExportError, match='has no translation to ONNX .* leave onnx out of the formats'):
        export_model(with_values(net), tmp_path, (1, 32, 32), ['onnx'])
