"""Weights loaded and written, compared with PyTorch and Gluon's model zoo."""

import collections
import dataclasses
import itertools
import os

import mxnet as mx
import numpy
import pytest
from helpers import MODES, ROOT, images, python, randomized, same, switch, values
from mxnet import gluon
from mxnet.gluon.model_zoo import vision
from safetensors.numpy import load_file, save_file

from d2l_densenet import CheckpointError, DenseNet, LoadReport, densenet, load_pretrained, save_torch
from d2l_densenet.interop import checkpoints, names

#: A BC network of three-channel images, as torchvision builds them, but small.
SMALL = {'growth_rate': 4, 'block_config': (2, 3), 'num_init_features': 8, 'bottleneck': 2, 'bias': False, 'classes': 5,
         'in_channels': 3}


#: One of each kind: plain with biases, CIFAR stem, CIFAR stem with bottleneck and dropout.
KINDS = {
    'bc': SMALL,
    'plain': {'growth_rate': 4, 'block_config': (2, 3), 'num_init_features': 6, 'in_channels': 3},
    'cifar': {'growth_rate': 4, 'block_config': (2, 2, 1), 'num_init_features': 6, 'stem': 'cifar', 'bias': False,
              'compression': 1.0, 'in_channels': 3},
    'cifar-b-dropout': {'growth_rate': 4, 'block_config': (2, 2), 'num_init_features': 6, 'stem': 'cifar',
                        'bottleneck': 4, 'dropout': 0.2, 'in_channels': 3},
}


TINY = {'growth_rate': 2, 'block_config': (1,), 'num_init_features': 2, 'stem': 'cifar', 'bias': False, 'classes': 2}


def network(config=SMALL, **overrides):
    """An initialized network."""
    net = DenseNet(**{**config, **overrides})
    net.initialize()
    return net


def torch_densenet(torch, growth_rate=4, block_config=(2, 3), num_init_features=8, bottleneck=2, classes=5,
                   in_channels=3, stem='imagenet', bias=False, compression=0.5, dropout=0):
    """DenseNet in PyTorch with torchvision's names, written for this test, with random values in all of it."""
    nn = torch.nn

    class Layer(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm1 = nn.BatchNorm2d(width)
            if bottleneck:
                self.conv1 = nn.Conv2d(width, bottleneck * growth_rate, 1, bias=bias)
                self.norm2 = nn.BatchNorm2d(bottleneck * growth_rate)
                self.conv2 = nn.Conv2d(bottleneck * growth_rate, growth_rate, 3, padding=1, bias=bias)
            else:
                self.conv1 = nn.Conv2d(width, growth_rate, 3, padding=1, bias=bias)

        def forward(self, x):
            y = self.conv1(torch.relu(self.norm1(x)))
            if bottleneck:
                y = self.conv2(torch.relu(self.norm2(y)))
            return torch.cat([x, y], 1)

    def named(*pairs):
        return nn.Sequential(collections.OrderedDict(pairs))

    parts, width = [], num_init_features
    if stem == 'imagenet':
        parts += [('conv0', nn.Conv2d(in_channels, width, 7, 2, 3, bias=bias)), ('norm0', nn.BatchNorm2d(width)),
                  ('relu0', nn.ReLU()), ('pool0', nn.MaxPool2d(3, 2, 1))]
    else:
        parts += [('conv0', nn.Conv2d(in_channels, width, 3, padding=1, bias=bias))]
    for i, count in enumerate(block_config, start=1):
        parts.append((f'denseblock{i}', named(*((f'denselayer{j + 1}', Layer(width + j * growth_rate))
                                                for j in range(count)))))
        width += count * growth_rate
        if i < len(block_config):
            parts.append((f'transition{i}', named(
                ('norm', nn.BatchNorm2d(width)), ('relu', nn.ReLU()),
                ('conv', nn.Conv2d(width, int(compression * width), 1, bias=bias)), ('pool', nn.AvgPool2d(2, 2)))))
            width = int(compression * width)
    parts.append(('norm5', nn.BatchNorm2d(width)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.classifier = named(*parts), nn.Linear(width, classes)

        def forward(self, x):
            return self.classifier(torch.relu(self.features(x)).mean((2, 3)))

    net = Net().eval()
    generator = torch.Generator().manual_seed(int(numpy.random.randint(2 ** 31)))
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                positive = name.endswith('var') or ('norm' in name and name.endswith('weight'))
                value.uniform_(*((0.5, 2) if positive else (-0.4, 0.4)), generator=generator)
    return net


def old_names(state):
    """The names of torchvision's published files: norm.1 for norm1."""
    renamed = ((name.replace('norm1', 'norm.1').replace('norm2', 'norm.2').replace('conv1', 'conv.1')
                .replace('conv2', 'conv.2') if 'denselayer' in name else name, value) for name, value in state.items())
    return collections.OrderedDict(renamed)


def arrays(state):
    return {name: value.numpy() for name, value in state.items()}


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('names', ['new', 'old'])
@pytest.mark.parametrize('form', ['zip', 'legacy', 'safetensors'])
def test_outputs_equal_those_of_pytorch(torch, tmp_path, form, names, mode):
    oracle = torch_densenet(torch)
    state = oracle.state_dict() if names == 'new' else old_names(oracle.state_dict())
    if form == 'safetensors':
        file = tmp_path / 'model.safetensors'
        save_file(arrays(state), file)
    else:
        file = tmp_path / 'model.pth'
        torch.save(state, file, _use_new_zipfile_serialization=form == 'zip')
    array = switch(mode)
    net = DenseNet(**SMALL)
    report = load_pretrained(net, file)
    assert report.source == {'zip': 'PyTorch', 'legacy': 'PyTorch before 1.6'}.get(form, form)
    assert set(report.loaded) == {name for name in oracle.state_dict() if not name.endswith('tracked')}
    assert not (report.kept or report.missing or report.unexpected or report.mismatched)
    x = images(2, 3, 40, 40)
    with torch.no_grad():
        expected = oracle(torch.from_numpy(x)).numpy()
    assert numpy.abs(expected).max() > 0.1
    numpy.testing.assert_allclose(net(array(x)).asnumpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('ending', ['.pth', '.pt', '.safetensors'])
@pytest.mark.parametrize('kind', KINDS)
def test_pytorch_reads_what_save_torch_wrote(torch, tmp_path, kind, ending):
    net = randomized(network(KINDS[kind]))
    file = tmp_path / f'model{ending}'
    save_torch(net, file)
    config = {key: value for key, value in net.config.items() if key != 'pooling_convention'}
    oracle = torch_densenet(torch, **config)
    state = torch.load(file, weights_only=True) if ending != '.safetensors' else \
        {name: torch.from_numpy(value) for name, value in load_file(file).items()}
    oracle.load_state_dict(state, strict=True)
    x = images(2, 3, 24, 24)
    with torch.no_grad():
        expected = oracle(torch.from_numpy(x)).numpy()
    numpy.testing.assert_allclose(net(mx.nd.array(x)).asnumpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', 'float64', 'int32', 'bool', 'complex64', 'float8_e4m3fn'])
@pytest.mark.parametrize('form', ['zip', 'safetensors'])
def test_types(torch, tmp_path, form, dtype):
    safetensors = pytest.importorskip('safetensors.torch')
    state = torch_densenet(torch).state_dict()
    name = 'features.conv0.weight'
    state[name] = state[name].to(getattr(torch, dtype))
    file = tmp_path / 'model'
    if form == 'zip':
        torch.save(state, file)
    else:
        safetensors.save_file(state, file)
    net = network()
    before = values(net)
    if dtype in ('float16', 'bfloat16', 'float64'):
        load_pretrained(net, file)
        assert (net.features[0].weight.data().asnumpy() == state[name].float().numpy()).all()
        assert net.features[0].weight.dtype == numpy.float32
    else:
        with pytest.raises(CheckpointError, match='float8|another shape or type: features.conv0.weight'):
            load_pretrained(net, file)
        assert same(values(net), before)


@pytest.mark.parametrize('dtype', ['float16', 'float64', 'int32', 'uint8', 'bool'])
def test_floats_are_loaded_and_other_numbers_refused(file, dtype):
    name = 'features.conv0.weight'
    changed = file.state[name].astype(dtype)
    net = network()
    if dtype.startswith('float'):
        load_pretrained(net, file({name: changed}))
        assert (values(net)[0] == changed.astype('float32')).all() and values(net)[0].dtype == 'float32'
    else:
        with pytest.raises(CheckpointError, match=f'another shape or type: {name} is {dtype} '):
            load_pretrained(net, file({name: changed}))


def test_outputs_equal_those_of_the_zoo(tmp_path):
    zoo = vision.densenet121(classes=7)
    zoo.initialize()
    x = mx.nd.array(images(1, 3, 224, 224))
    zoo(x)  # finds the shapes
    expected = randomized(zoo)(x).asnumpy()
    zoo.save_parameters(str(tmp_path / 'dotted.params'))
    zoo.collect_params().save(str(tmp_path / 'flat.params'))
    zoo.collect_params().save(str(tmp_path / 'stripped.params'), strip_prefix=zoo.prefix)
    zoo.hybridize()
    zoo(x)
    zoo.export(str(tmp_path / 'exported'))
    with open(tmp_path / 'exported-0000.params', 'rb') as file:
        assert b'arg:densenet' in file.read()
    net = densenet('densenet121', classes=7)
    for name in ('dotted.params', 'flat.params', 'stripped.params', 'exported-0000.params'):
        net.initialize(mx.init.Zero(), force_reinit=True)
        report = load_pretrained(net, tmp_path / name)
        assert report.source == 'Gluon params' and len(report.loaded) == 606
        assert same(values(net), values(zoo)), name
    numpy.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('write, read', [*itertools.product(MODES, MODES)])
@pytest.mark.parametrize('kind', KINDS)
def test_own_files_in_both_array_modes(tmp_path, kind, write, read):
    switch(write)
    net = randomized(network(KINDS[kind]))
    net.save_parameters(str(tmp_path / 'dotted.params'))
    if write == 'nd':  # MXNet cannot write the other kind in np mode
        net.collect_params().save(str(tmp_path / 'flat.params'))
    for name in os.listdir(tmp_path):
        switch(read)
        # Dropout shifts the positions that are in the dotted names.
        other = DenseNet(**{**KINDS[kind], 'dropout': 0.3 if net.config['dropout'] == 0 else 0})
        load_pretrained(other, tmp_path / name)
        assert same(values(other), values(net))


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('ending', ['.pth', '.safetensors'])
def test_round_trip_to_the_bit(tmp_path, ending, kind, mode):
    array = switch(mode)
    net = randomized(network(KINDS[kind]))
    file = tmp_path / f'model{ending}'
    assert save_torch(net, str(file)) is None
    again = DenseNet(**KINDS[kind])
    report = load_pretrained(again, str(file))
    assert same(values(again), values(net))
    assert len(report.loaded) == len(values(net))
    x = array(images(1, 3, 24, 24))
    assert (again(x).asnumpy() == net(x).asnumpy()).all()


def test_no_kind_of_file_needs_pytorch(tmp_path):
    # Not `sys.modules["torch"] = None`: newer scipy, which MXNet loads, looks PyTorch's classes up in sys.modules.
    (tmp_path / 'none').mkdir()
    (tmp_path / 'none' / 'torch.py').write_text('raise ModuleNotFoundError("hidden", name="torch")')
    code = ('from d2l_densenet import *; net = DenseNet(4, (1, 1), 4); net.initialize()\n'
            'for ending in ("safetensors", "pth", "pt"):\n'
            '    save_torch(net, f"x.{ending}"); print(load_pretrained(net, f"x.{ending}"))')
    run = python('-c', code, cwd=tmp_path, PYTHONPATH=f'{tmp_path / "none"}:{ROOT}')
    assert run.stdout.count('missing=0, unexpected=0') == 3 and not run.stderr, run
    assert sorted(os.listdir(tmp_path)) == ['none', 'x.pt', 'x.pth', 'x.safetensors']


@pytest.fixture
def file(tmp_path):
    """A checkpoint of SMALL in safetensors, and a function to change it: change({name: array or None})."""
    net = randomized(network())
    path = tmp_path / 'model.safetensors'
    save_torch(net, path)
    state = load_file(path)

    def change(changes=(), **others):
        state.update(dict(changes), **others)
        save_file({name: value for name, value in state.items() if value is not None}, path)
        return path

    change.state = state
    return change


def test_strict_names_everything_that_does_not_fit_and_sets_nothing(file):
    conv = file.state['features.conv0.weight']
    lost = [name for name in file.state if 'denseblock1' in name]
    path = file({**dict.fromkeys(lost), 'features.conv0.weight': conv[:, :1], 'fc.weight': conv, 'nørm': conv[0, 0, 0],
                 'odd\n\x1b[1m': conv[0, 0, 0]})
    net = network()
    before = values(net)
    with pytest.raises(CheckpointError) as error:
        load_pretrained(net, path)
    text = str(error.value)
    assert str(path) in text and '20 missing: features.denseblock1.denselayer1.norm1.weight, ' in text
    assert 'and 10 more. 3 unexpected: ' in text and 'fc.weight' in text and 'nørm' in text
    assert '1 of another shape or type: features.conv0.weight is float32 (8, 1, 7, 7), the network has ' \
           'float32 (8, 3, 7, 7)' in text
    assert '\n' not in text and '\x1b' not in text and 'strict=False' in text
    assert same(values(net), before)
    report = load_pretrained(net, path, strict=False)
    assert sorted(report.missing) == sorted(lost)
    assert sorted(report.unexpected) == ['fc.weight', 'nørm', 'odd\n\x1b[1m']
    assert report.mismatched == (('features.conv0.weight', 'float32 (8, 1, 7, 7)', 'float32 (8, 3, 7, 7)'),)
    assert repr(report) == (f"LoadReport(source='safetensors', loaded={len(report.loaded)}, kept=0, missing=20, "
                            'unexpected=3, mismatched=1)')
    for (name, parameter), old in zip(names.parameters_of(net, names.layers_of(net)).items(), before):
        expected = file.state[name] if name in report.loaded else old
        assert (parameter.data().asnumpy() == expected).all()


def test_number_of_classes(file):
    path = file()
    net = network(classes=7)
    before = values(net)
    with pytest.raises(CheckpointError, match=r'2 of another.*\(5, 20\).*\(7, 20\).*new_head=True'):
        load_pretrained(net, path)
    assert same(values(net), before)
    report = load_pretrained(net, path, new_head=True)
    assert report.kept == ('classifier.weight', 'classifier.bias')
    assert len(report.loaded) == len(before) - 2 and not report.missing and not report.unexpected
    assert same(values(net)[-2:], before[-2:])
    assert (values(net)[0] == file.state['features.conv0.weight']).all()
    # The classifier is kept also where it would fit, or where the file has none.
    same_classes = network()
    before = values(same_classes)
    load_pretrained(same_classes, file({'classifier.weight': None, 'classifier.bias': None}), new_head=True)
    assert same(values(same_classes)[-2:], before[-2:])
    with pytest.raises(CheckpointError, match='initialize'):
        load_pretrained(DenseNet(**SMALL), path, new_head=True)


@pytest.mark.parametrize('bad', [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize('strict', [True, False])
def test_values_that_are_not_finite(file, bad, strict):
    value = file.state['features.norm5.bias'].copy()
    value[3] = bad
    net = network()
    before = values(net)
    with pytest.raises(CheckpointError, match='features.norm5.bias has NaN or infinity'):
        load_pretrained(net, file({'features.norm5.bias': value}), strict=strict)
    assert same(values(net), before)


def test_values_out_of_range(file):
    net = network()
    with pytest.raises(CheckpointError, match='norm5.bias has NaN or infinity as float32'):
        load_pretrained(net, file({'features.norm5.bias': numpy.full(20, 1e300)}))
    with pytest.raises(CheckpointError, match='norm5.running_var has a negative variance'):
        load_pretrained(net, file({'features.norm5.bias': numpy.full(20, 0.1),
                                   'features.norm5.running_var': numpy.full(20, -0.1)}))
    load_pretrained(net, file({'features.norm5.running_var': numpy.full(20, 0.1)}))
    assert (net.features[-4].running_var.data().asnumpy() == numpy.float32(0.1)).all()


@pytest.mark.parametrize('call', [load_pretrained, save_torch])
@pytest.mark.parametrize('net', [None, gluon.nn.Dense(3), vision.densenet121()])
def test_other_networks_are_refused(call, net):
    with pytest.raises(TypeError, match='must be a d2l_densenet.DenseNet, got'):
        call(net, 'x.safetensors')


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('state', ['none', 'initialized', 'hybridized', 'two devices', 'half', 'unknown width'])
def test_states_of_the_network(file, state, mode):
    array = switch(mode)
    path = file()
    net = DenseNet(**SMALL)
    devices = {'two devices': [mx.cpu(1), mx.cpu(2)], 'half': [mx.cpu(1)]}.get(state, [mx.cpu(0)])
    if state == 'unknown width':
        net.output = gluon.nn.Dense(5)
    if state == 'half':
        net.output.initialize(ctx=devices)
    elif state != 'none':
        net.initialize(ctx=devices)
    x = array(images(1, 3, 24, 24), ctx=devices[0])
    if state == 'hybridized':
        net.hybridize()
        net(x)
    load_pretrained(net, path)
    scores = net(x).asnumpy()
    assert all(parameter.list_ctx() == devices for parameter in net.collect_params().values())
    for name, parameter in names.parameters_of(net, names.layers_of(net)).items():
        for data in parameter.list_data():
            assert (data.asnumpy() == file.state[name]).all()
            assert isinstance(data, mx.np.ndarray) == (mode == 'np')
    load_pretrained(net, path, new_head=True)
    save_torch(net, path)
    assert all((value == file.state[name]).all() for name, value in load_file(path).items())
    other = DenseNet(**SMALL)
    load_pretrained(other, path)
    numpy.testing.assert_allclose(scores, other(x.as_in_context(mx.cpu())).asnumpy(), rtol=1e-6, atol=1e-6)


def test_half_precision_stays_and_is_kept_to_the_bit(file, tmp_path):
    net = network()
    net.cast('float16')
    load_pretrained(net, file())
    assert (values(net)[0] == file.state['features.conv0.weight'].astype('float16')).all()
    assert values(net)[0].dtype == 'float16'
    save_torch(net, tmp_path / 'half.safetensors')
    # Gluon keeps the normalization in float32.
    assert {str(value.dtype) for value in load_file(tmp_path / 'half.safetensors').values()} == {'float16', 'float32'}
    again = network()
    again.cast('float16')
    load_pretrained(again, tmp_path / 'half.safetensors')
    assert same(values(again), values(net))


def test_save_torch_replaces_a_file_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / 'model.safetensors'
    file.write_bytes(b'old')

    def fail(*_):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', fail)
        with pytest.raises(CheckpointError, match='model.safetensors: cannot be written .No space left'):
            save_torch(network(), file)
    assert os.listdir(tmp_path) == ['model.safetensors'] and file.read_bytes() == b'old'
    save_torch(network(), file)
    assert os.listdir(tmp_path) == ['model.safetensors'] and file.read_bytes()[8:9] == b'{'


def test_what_devices_disagree_about_is_averaged(tmp_path):
    net = DenseNet(**TINY)
    net.initialize(ctx=[mx.cpu(1), mx.cpu(2)])
    for device, value in ((mx.cpu(1), 1), (mx.cpu(2), 4)):
        net.output.bias.data(device)[:] = value
    save_torch(net, tmp_path / 'x.safetensors')
    assert load_file(tmp_path / 'x.safetensors')['classifier.bias'].tolist() == [2.5, 2.5]


def test_the_sizes_in_a_file(file):
    net = network()
    assert checkpoints.sizes_in(net, file()) == (3, 5)
    assert checkpoints.sizes_in(net, file({'classifier.weight': None, 'classifier.bias': None})) == (3, None)
    assert checkpoints.sizes_in(net, file({'features.conv0.weight': None})) == (None, None)


@pytest.mark.parametrize('count, text', [(1, '0'), (10, '0, 1, 2, 3, 4, 5, 6, 7, 8, 9'),
                                         (11, '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1 more'),
                                         (25, '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 15 more')])
def test_ten_names_are_listed_and_the_others_counted(count, text):
    assert checkpoints._few([*map(str, range(count))]) == text


def test_a_report_stays_as_it_is():
    report = LoadReport('PyTorch', ('a', 'b'), ('c',), (), ('d',), (), 'ema')
    assert repr(report) == ("LoadReport(source='PyTorch', loaded=2, kept=1, missing=0, unexpected=1, mismatched=0, "
                            "part='ema')")
    assert repr(LoadReport('PyTorch', ())) == (
        "LoadReport(source='PyTorch', loaded=0, kept=0, missing=0, unexpected=0, mismatched=0)")
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.part = ''


def test_save_torch_refuses(tmp_path):
    for name in ('model.params', 'model', 'model.safetensors.gz'):
        with pytest.raises(CheckpointError, match=r'must end in .safetensors, .pth or .pt'):
            save_torch(network(), tmp_path / name)
    with pytest.raises(CheckpointError, match='initialize'):
        save_torch(DenseNet(**SMALL), tmp_path / 'a.safetensors')
    with pytest.raises(CheckpointError, match='cannot be written'):
        save_torch(network(), tmp_path / 'nowhere' / 'a.safetensors')
    assert not os.listdir(tmp_path)


def test_scales_that_the_network_would_ignore_are_refused(tmp_path):
    randomized(network()).save_parameters(str(tmp_path / 'x.params'))
    net = network()
    norm = gluon.nn.BatchNorm(scale=False, in_channels=net.features[1].gamma.shape[0])
    norm.initialize()
    net.features.register_child(norm, '1')
    before = values(net)
    with pytest.raises(CheckpointError, match='features.norm0.weight has other scales than 1'):
        load_pretrained(net, tmp_path / 'x.params')
    assert all((a == b).all() for a, b in zip(before, values(net)))
    net.save_parameters(str(tmp_path / 'own.params'))
    load_pretrained(net, tmp_path / 'own.params')
