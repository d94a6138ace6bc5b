"""Checkpoints from elsewhere: compared with PyTorch and Gluon's model zoo, and damaged in a thousand ways each."""

import collections
import io
import itertools
import json
import math
import os
import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import mxnet as mx
import numpy
import pytest
from mutations import NUMBERS, mutated
from mxnet import gluon, npx
from mxnet.gluon.model_zoo import vision
from safetensors.numpy import load_file, save_file

from d2l_densenet import DenseNet, densenet
from d2l_densenet.interop import pretrained
from d2l_densenet.interop.pretrained import CheckpointError, LoadReport, load_pretrained, save_torch

MODES = ['nd', 'np']
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


@pytest.fixture
def torch():
    return pytest.importorskip('torch', reason='.pth files and the oracle need PyTorch, which is optional')


def switch(mode):
    """Turn an array mode on and return the function that makes its arrays (conftest turns it off again)."""
    (npx.set_np if mode == 'np' else npx.reset_np)()
    return (mx.np if mode == 'np' else mx.nd).array


def network(config=SMALL, **overrides):
    """An initialised network."""
    net = DenseNet(**{**config, **overrides})
    net.initialize()
    return net


def values(net):
    """The values of all parameters, in order."""
    return [parameter.data().asnumpy() for parameter in net.collect_params().values()]


def randomized(net):
    """The network with random values everywhere, in the running statistics too."""
    for name, parameter in net.collect_params().items():
        low, high = (0.5, 2) if name.endswith(('var', 'gamma')) else (-0.4, 0.4)
        draw = numpy.random.uniform(low, high, parameter.shape).astype('float32')
        parameter.set_data((mx.np if isinstance(parameter.data(), mx.np.ndarray) else mx.nd).array(draw))
    return net


def same(these, those):
    return len(these) == len(those) and all((a == b).all() and a.dtype == b.dtype for a, b in zip(these, those))


def images(*shape):
    return numpy.random.uniform(size=shape).astype('float32')


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


# --- PyTorch is the oracle.

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
    config = {key: net.config[key] for key in net.config}
    oracle = torch_densenet(torch, **config)
    state = torch.load(file, weights_only=True) if ending != '.safetensors' else \
        {name: torch.from_numpy(value) for name, value in load_file(file).items()}
    oracle.load_state_dict(state, strict=True)
    x = images(2, 3, 24, 24)
    with torch.no_grad():
        expected = oracle(torch.from_numpy(x)).numpy()
    numpy.testing.assert_allclose(net(mx.nd.array(x)).asnumpy(), expected, rtol=1e-5, atol=1e-5)


def test_names_and_shapes_that_torchvision_publishes(tmp_path):
    published = {'features.conv0.weight': (64, 3, 7, 7)}

    def norm(name, width):
        published.update({f'{name}.{end}': (width,) for end in ('weight', 'bias', 'running_mean', 'running_var')})

    norm('features.norm0', 64)
    width = 64
    for i, count in enumerate((6, 12, 24, 16), start=1):
        for j in range(1, count + 1):
            layer = f'features.denseblock{i}.denselayer{j}'
            norm(f'{layer}.norm.1', width)
            published[f'{layer}.conv.1.weight'] = (128, width, 1, 1)
            norm(f'{layer}.norm.2', 128)
            published[f'{layer}.conv.2.weight'] = (32, 128, 3, 3)
            width += 32
        if i < 4:
            norm(f'features.transition{i}.norm', width)
            width //= 2
            published[f'features.transition{i}.conv.weight'] = (width, 2 * width, 1, 1)
    norm('features.norm5', width)
    published.update({'classifier.weight': (1000, 1024), 'classifier.bias': (1000,)})
    assert sum(math.prod(shape) for name, shape in published.items() if 'running' not in name) == 7_978_856
    assert len(published) == 606
    file = tmp_path / 'densenet121.safetensors'
    # Each array has its own number, so that two of one shape cannot change places unseen.
    save_file({name: numpy.full(shape, i + 1, 'float32') for i, (name, shape) in enumerate(published.items())}, file)
    net = densenet('densenet121')
    assert len(load_pretrained(net, file).loaded) == 606
    # collect_params() is in torchvision's order.
    assert [int(parameter.data().asnumpy().flat[-1]) for parameter in net.collect_params().values()] == [*range(1, 607)]
    with pytest.raises(CheckpointError, match='does not fit this network'):
        load_pretrained(densenet('densenet169'), file)


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


@pytest.mark.parametrize('wrap', [
    lambda state: {'state_dict': state, 'epoch': 3, 'best_acc1': next(iter(state.values())).sum()},
    lambda state: {'model': state, 'optimizer': {'state': {0: {'step': 5}}, 'param_groups': [{'lr': 0.1}]}},
    lambda state: {'net': {'module.' + name: value for name, value in state.items()}, 'args': {'lr': 0.5}},
    lambda state: {f'_orig_mod.module.{name}': value for name, value in state.items()},
    lambda state: {f'model.{name}': value for name, value in state.items()},
    lambda state: {name: value.clone().requires_grad_(value.is_floating_point()) for name, value in state.items()},
])
def test_wrappers(torch, tmp_path, wrap):
    state = torch_densenet(torch).state_dict()
    torch.save(wrap(dict(state)), tmp_path / 'model.pth')
    net = network()
    load_pretrained(net, tmp_path / 'model.pth')
    assert (net.output.weight.data().asnumpy() == state['classifier.weight'].numpy()).all()


class _Made:
    """Is pickled as a call, and perhaps a state, of whatever is named; as PyTorch's tensors are."""

    def __init__(self, function, *arguments, state=None):
        self._parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self._parts


class _Bytes(_Made):
    """A storage: the pickle has its number and length, the file its bytes."""

    def __init__(self, torch, key, values, numel=None):
        self.key, self.values = key, values
        self.reference = ('storage', torch.FloatStorage, key, 'cpu', values.size if numel is None else numel)


class _Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        return thing.reference + self.extra if isinstance(thing, _Bytes) else None


def pickled(thing, extra=()):
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol=2)
    pickler.extra = extra
    pickler.dump(thing)
    return stream.getvalue()


def zip_of(root, storages, root_name='archive'):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr(f'{root_name}/data.pkl', root)
        archive.writestr(f'{root_name}/byteorder', 'little')
        for key, content in storages.items():
            archive.writestr(f'{root_name}/data/{key}', content)
        archive.writestr(f'{root_name}/version', '3\n')
    return stream.getvalue()


def legacy_of(root, storages, keys=None):
    parts = [pickled(0x1950a86a20f9469cfc6c), pickled(1001), pickled({'little_endian': True}), root,
             pickled(sorted(storages) if keys is None else keys)]
    for key in sorted(storages) if keys is None else keys:
        parts.append(struct.pack('<q', storages[key].size) + storages[key].tobytes())
    return b''.join(parts)


@pytest.mark.parametrize('age', ['_rebuild_tensor', 'Parameter', 'FloatTensor', 'OrderedDict of pairs'])
def test_pickles_as_pytorch_wrote_them_when_torchvision_published(torch, tmp_path, age):
    """The layouts of PyTorch 0.1 to 0.3, made by hand: a tensor that is called otherwise, a Parameter with a state."""
    state = old_names(torch_densenet(torch).state_dict())
    state = {name: value.numpy() for name, value in state.items() if value.is_floating_point()}
    storages, entries = {}, collections.OrderedDict()
    for i, (name, value) in enumerate(state.items()):
        key = str(94360006889392 + i)
        storages[key] = value
        place = (_Bytes(torch, key, value), 0, value.shape, tuple(step // 4 for step in value.strides))
        if age == 'FloatTensor':
            entries[name] = _Made(torch.FloatTensor, state=place)
        else:
            entries[name] = _Made(torch._utils._rebuild_tensor, *place)
        if age == 'Parameter' and 'running' not in name:
            entries[name] = _Made(torch.nn.Parameter, entries[name], state=(True, False, collections.OrderedDict()))
    if age == 'OrderedDict of pairs':
        entries = _Made(collections.OrderedDict, [[name, entry] for name, entry in entries.items()])
    file = tmp_path / 'densenet.pth'
    file.write_bytes(legacy_of(pickled(entries, extra=(None,)), storages))
    loaded = torch.load(file, weights_only=True)  # the oracle: PyTorch itself reads what was made here
    assert all((loaded[name].detach().numpy() == value).all() for name, value in state.items())
    net = network()
    assert load_pretrained(net, file).source == 'PyTorch before 1.6'
    names = [name.replace('norm.', 'norm').replace('conv.', 'conv') if 'denselayer' in name else name for name in state]
    save_torch(net, tmp_path / 'again.safetensors')
    again = load_file(tmp_path / 'again.safetensors')
    assert all((again[new] == state[old]).all() for new, old in zip(names, state))


# --- Gluon's model zoo, and our own files.

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


def test_a_network_inside_another_prefix(tmp_path):
    net = randomized(network(prefix='hybridsequential3_densenet7_'))
    net.collect_params().save(str(tmp_path / 'flat.params'))
    other = DenseNet(**SMALL, prefix='x_')
    load_pretrained(other, tmp_path / 'flat.params')
    assert same(values(other), values(net))


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('ending', ['.pth', '.safetensors'])
def test_round_trip_to_the_bit(request, tmp_path, ending, kind, mode):
    if ending == '.pth':
        request.getfixturevalue('torch')
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


def test_safetensors_need_no_pytorch(tmp_path):
    # Not `sys.modules["torch"] = None`: newer scipy, which MXNet loads, looks PyTorch's classes up in sys.modules.
    (tmp_path / 'none').mkdir()
    (tmp_path / 'none' / 'torch.py').write_text('raise ModuleNotFoundError("hidden", name="torch")')
    code = (f'import sys; sys.path.insert(0, {str(tmp_path / "none")!r}); '
            'from d2l_densenet.interop.pretrained import *; '
            'from d2l_densenet import DenseNet; net = DenseNet(4, (1, 1), 4); net.initialize(); '
            f'save_torch(net, {str(tmp_path / "x.safetensors")!r}); '
            f'print(load_pretrained(net, {str(tmp_path / "x.safetensors")!r}))\n'
            f'try: save_torch(net, {str(tmp_path / "x.pth")!r})\n'
            'except CheckpointError as error: print(error)')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60,
                         cwd=os.path.dirname(os.path.dirname(pretrained.__file__)))
    assert 'missing=0, unexpected=0' in run.stdout and 'pip install torch' in run.stdout, run
    assert sorted(os.listdir(tmp_path)) == ['none', 'x.safetensors']


def test_what_is_not_installed_is_named(torch, tmp_path, monkeypatch):
    net = network()
    save_torch(net, tmp_path / 'a.pth')
    save_torch(net, tmp_path / 'a.safetensors')
    for package in ('torch', 'safetensors'):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CheckpointError, match='pip install torch.*safetensors'):
        load_pretrained(net, tmp_path / 'a.pth')
    for call in (load_pretrained, save_torch):
        with pytest.raises(CheckpointError, match='pip install safetensors'):
            call(net, tmp_path / 'a.safetensors')


# --- What fits and what does not.

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
    for (name, parameter), old in zip(pretrained._parameters(pretrained._layers(net)).items(), before):
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


def test_nothing_fits(file, tmp_path):
    save_file({'layer1.0.conv1.weight': numpy.ones((2, 2), 'float32')}, tmp_path / 'resnet')
    for strict in (True, False):
        with pytest.raises(CheckpointError, match='Nothing in it fits'):
            load_pretrained(network(), tmp_path / 'resnet', strict=strict)


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


def test_two_entries_for_one_parameter(file):
    path = file({'module.classifier.bias': file.state['classifier.bias']})
    with pytest.raises(CheckpointError, match='are both classifier.bias'):
        load_pretrained(network(), path, strict=False)


@pytest.mark.parametrize('call', [load_pretrained, save_torch])
@pytest.mark.parametrize('net', [None, gluon.nn.Dense(3), vision.densenet121()])
def test_other_networks_are_refused(call, net):
    with pytest.raises(TypeError, match='must be a d2l_densenet.DenseNet, got'):
        call(net, 'x.safetensors')


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('state', ['none', 'initialised', 'hybridized', 'two devices', 'half', 'unknown width'])
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
    for name, parameter in pretrained._parameters(pretrained._layers(net)).items():
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
    # Gluon keeps the normalisation in float32.
    assert {str(value.dtype) for value in load_file(tmp_path / 'half.safetensors').values()} == {'float16', 'float32'}
    again = network()
    again.cast('float16')
    load_pretrained(again, tmp_path / 'half.safetensors')
    assert same(values(again), values(net))


# --- Writing.

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


def test_save_torch_refuses(tmp_path):
    for name in ('model.params', 'model', 'model.safetensors.gz'):
        with pytest.raises(CheckpointError, match=r'must end in .safetensors, .pth or .pt'):
            save_torch(network(), tmp_path / name)
    with pytest.raises(CheckpointError, match='initialize'):
        save_torch(DenseNet(**SMALL), tmp_path / 'a.safetensors')
    with pytest.raises(CheckpointError, match='cannot be written'):
        save_torch(network(), tmp_path / 'nowhere' / 'a.safetensors')
    assert not os.listdir(tmp_path)


# --- Files that are something else, damaged, or hostile.

def label(value):
    return 'content' if isinstance(value, bytes) else value


@pytest.mark.parametrize('content, text', [
    (b'', 'is empty'),
    (b'\n<!DOCTYPE html><html>Not found</html>', 'HTML or XML page'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n', 'Git LFS pointer.*git lfs pull'),
    (b'\x1f\x8b\x08\x00' + bytes(20), 'packed by gzip'),
    (b'\x89HDF\r\n\x1a\n' + bytes(20), 'HDF5'),
    (b'\x93NUMPY\x01\x00' + bytes(20), 'single NumPy array'),
    (pickle.dumps({'a': 1}), 'Python pickle.*could run any code'),
    (json.dumps({'weight_map': {}}).encode(), 'JSON'),
    (bytes(257) + b'ustar' + bytes(250), 'tar archive'),
    (bytes(5000), 'nothing but zeros'),
    (b'PK\x03\x04' + bytes(100), 'cut off or damaged'),
    (b'PK\x05\x06' + bytes(18), 'zip archive that is empty'),
    (b'hello', "no known format, its first bytes are b'hello'"),
    ((50).to_bytes(8, 'little') + b'{"a"', 'looks like a safetensors file, but is cut off or damaged'),
    ((0x112).to_bytes(8, 'little'), 'looks like a Gluon .params file, but is cut off or damaged'),
    (pickle.dumps(0x1950a86a20f9469cfc6c, 2) + b'\x80\x02', 'looks like a PyTorch file, but is cut off'),
], ids=label)
def test_files_that_are_something_else(tmp_path, content, text):
    (tmp_path / 'model.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match=f'model.pth: .*{text}'):
        load_pretrained(network(), tmp_path / 'model.pth')


def test_zip_archives_that_are_something_else(tmp_path):
    numpy.savez(tmp_path / 'a.npz', x=numpy.ones(3))
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('notes.txt', 'x')
    with zipfile.ZipFile(tmp_path / 'a.pt', 'w') as archive:
        archive.writestr('model/data.pkl', 'x')
        archive.writestr('model/constants.pkl', 'x')
    for name, text in (('a.npz', 'NumPy .npz'), ('a.zip', 'torch.save has not written'), ('a.pt', 'TorchScript')):
        with pytest.raises(CheckpointError, match=text):
            load_pretrained(network(), tmp_path / name)


def test_paths_that_cannot_be_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / 'fifo')
    for path, text in ((tmp_path, 'is a directory or device'), (tmp_path / 'no', 'is not there'),
                       ('a\0b', 'null|not there'), (tmp_path / 'fifo', 'directory or device')):
        with pytest.raises(CheckpointError, match=text):
            load_pretrained(network(), path)
    (tmp_path / 'huge').write_bytes(b'')
    os.truncate(tmp_path / 'huge', 2 ** 32 + 1)
    with pytest.raises(CheckpointError, match='expected at most'):
        load_pretrained(network(), tmp_path / 'huge')


def params(arrays, version=0xf993fac9, names=None):
    """The bytes of a .params file, from MXNet's description of it: {name: (shape, type number, bytes)}."""
    parts = [struct.pack('<QQQ', 0x112, 0, len(arrays))]
    for shape, number, content in arrays.values():
        if version is None:  # before 0.12
            parts.append(struct.pack(f'<I{len(shape)}I', len(shape), *shape))
        else:
            parts.append(struct.pack('<I', version))
            parts.append(struct.pack('<i', 0) if version != 0xf993fac8 else b'')
            parts.append(struct.pack(f'<i{len(shape)}q', len(shape), *shape))
        parts.append(struct.pack('<iii', 1, 0, number) + content)
    names = list(arrays) if names is None else names
    parts.append(struct.pack('<Q', len(names)))
    parts += [struct.pack('<Q', len(name.encode())) + name.encode() for name in names]
    return b''.join(parts)


@pytest.mark.parametrize('version', [None, 0xf993fac8, 0xf993fac9])
def test_params_of_all_ages(file, tmp_path, version):
    content = params({name: (value.shape, 0, value.tobytes()) for name, value in file.state.items()}, version)
    (tmp_path / 'old.params').write_bytes(content)
    by_mxnet = mx.nd.load(str(tmp_path / 'old.params'))
    assert same([value.asnumpy() for value in by_mxnet.values()], [*file.state.values()])
    net = network()
    load_pretrained(net, tmp_path / 'old.params')
    save_torch(net, tmp_path / 'again.safetensors')
    again = load_file(tmp_path / 'again.safetensors')
    assert all((again[name] == value).all() for name, value in file.state.items())


@pytest.mark.parametrize('dtype', ['float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64'])
@pytest.mark.parametrize('mode', MODES)
def test_params_of_all_types_are_read_as_mxnet_reads_them(tmp_path, dtype, mode):
    array = switch(mode)
    things = {'a': array(images(2, 3) * 100, dtype=dtype), 'b': array(images(4), dtype=dtype)}
    if mode == 'np':
        things['zero axes'] = mx.np.array(3, dtype=dtype)
        things['empty'] = mx.np.zeros((0, 3), dtype=dtype)
    (npx.save if mode == 'np' else mx.nd.save)(str(tmp_path / 'x.params'), things)
    entries = pretrained._read_params('x', (tmp_path / 'x.params').read_bytes())
    for name, thing in things.items():
        entry = entries[name]
        assert entry.shape == thing.shape and entry.flat.dtype == thing.dtype
        assert (entry.flat.reshape(entry.shape) == thing.asnumpy()).all()


ONE = numpy.float32(1).tobytes()


@pytest.mark.parametrize('content, text', [
    (params({'a': ((2 ** 20, 2 ** 20), 0, ONE)}), 'are claimed'),
    (params({'a': ((2 ** 62, 2 ** 62), 0, ONE)}), 'are claimed'),
    (params({'a': ((-1, -1), 0, ONE)}), 'shape'),
    (params({'a': ((1,), 77, ONE)}), 'type number 77'),
    (params({'a': ((1,), -1, ONE)}), 'type number -1'),
    (params({'a': ((1,) * 33, 0, ONE)}), '33 axes'),
    (params({'a': ((), 0, ONE)}), '0 axes'),
    (params({'a': ((1,), 0, ONE)}).replace(struct.pack('<Ii', 0xf993fac9, 0), struct.pack('<Ii', 0xf993fac9, 1)),
     'storage type 1'),
    (params({'a': ((1,), 0, ONE)}, version=0x7fffffff), 'axes'),
    (struct.pack('<QQQ', 0x112, 0, 2 ** 63) + bytes(100), 'arrays are claimed'),
    (params({'a': ((1,), 0, ONE)}, names=[]), 'without names'),
    (params({'a': ((1,), 0, ONE)}, names=['a', 'b']), 'have 2 names'),
    (params({'a': ((1,), 0, ONE), 'b': ((1,), 0, ONE)}, names=['a', 'a']), 'comes twice'),
    (params({'a': ((1,), 0, ONE)})[:-1] + b'\xff', 'utf-8'),
    (params({'a': ((1,), 0, ONE)}) + b'x', '1 bytes follow'),
], ids=label)
def test_damaged_params(tmp_path, content, text):
    refused(tmp_path, content, text)


def refused(tmp_path, content, text):
    """Check that the file is refused, with little memory and the network as it was."""
    (tmp_path / 'bad').write_bytes(content)
    net = network(TINY)
    before = values(net)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=text):
            load_pretrained(net, tmp_path / 'bad', strict=False)
        assert tracemalloc.get_traced_memory()[1] < 2e6 + 100 * len(content)
    finally:
        tracemalloc.stop()
    assert same(values(net), before)


def safetensors_of(header, content=ONE):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(header).to_bytes(8, 'little') + header + content


@pytest.mark.parametrize('content', [
    safetensors_of({'a': {'dtype': 'F32', 'shape': [2 ** 40], 'data_offsets': [0, 2 ** 42]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [2 ** 40], 'data_offsets': [0, 4]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [2 ** 62, 16], 'data_offsets': [0, 4]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [-1], 'data_offsets': [0, 4]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [1], 'data_offsets': [4, 0]}}),
    safetensors_of({'a': {'dtype': 'F99', 'shape': [1], 'data_offsets': [0, 4]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': 1, 'data_offsets': [0, 4]}}),
    safetensors_of(b'{"a":' + b'[' * 100000),
    (2 ** 31).to_bytes(8, 'little') + b'{' + bytes(100),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}}, ONE + ONE),
], ids=label)
def test_damaged_safetensors(tmp_path, content):
    refused(tmp_path, content, 'cut off or damaged')


@pytest.mark.parametrize('content', [
    safetensors_of({'a': {'dtype': 'F32', 'shape': [2 ** 62, 0], 'data_offsets': [0, 0]}}, b''),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [1] * 40, 'data_offsets': [0, 4]}}),
    safetensors_of({'output.bias': {'dtype': 'F32', 'shape': [2 ** 62, 0], 'data_offsets': [0, 0]}}, b''),
    safetensors_of({'features.conv0.weight': {'dtype': 'F32', 'shape': [1] * 40, 'data_offsets': [0, 4]}}),
    safetensors_of({}, b''),
    safetensors_of({'denseblock1_' * 10000: {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}}),
], ids=label)
def test_odd_safetensors(tmp_path, content):
    refused(tmp_path, content, 'Nothing in it fits')


def test_a_header_that_begins_like_params(tmp_path):
    """The length of a safetensors header may be 0x112, the magic number of .params."""
    net = randomized(network(TINY))
    save_torch(net, tmp_path / 'x.safetensors')
    state = load_file(tmp_path / 'x.safetensors')
    header = json.dumps({'classifier.bias': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}}).encode()
    content = safetensors_of(header.ljust(0x112), state['classifier.bias'].tobytes())
    (tmp_path / 'x').write_bytes(content)
    report = load_pretrained(net, tmp_path / 'x', strict=False)
    assert report.source == 'safetensors' and report.loaded == ('classifier.bias',)


class Evil:
    """Runs code where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def hostile(torch, tmp_path):
    """Pickles of one storage of four floats, with what is wrong with each."""
    def tensor(offset=0, size=(4,), stride=(1,), numel=None, rest=()):
        storage = _Bytes(torch, '7', numpy.ones(4, 'float32'), numel)
        return {'w': _Made(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, *rest)}

    nothing = (collections.OrderedDict(),)
    yield tensor(size=(2 ** 40,), rest=nothing), 'out of range|leaves its storage'
    yield tensor(size=(2 ** 40,), stride=(0,), rest=nothing), 'out of range|leaves its storage'
    yield tensor(size=(5,), rest=nothing), 'out of range|leaves its storage'
    yield tensor(size=(4,), stride=(2,), rest=nothing), 'leaves its storage'
    yield tensor(size=(4,), stride=(-1,), rest=nothing), 'out of range'
    yield tensor(size=(-4,), rest=nothing), 'out of range'
    yield tensor(size=(4,), offset=1, rest=nothing), 'leaves its storage'
    yield tensor(size=(4,), offset=-1, rest=nothing), 'out of range'
    yield tensor(size=(2, 2), rest=nothing), 'number of axes'
    yield tensor(size=(1,) * 50, stride=(1,) * 50, rest=nothing), 'number of axes'
    yield tensor(size=('4',), rest=nothing), 'no whole number'
    yield tensor(numel=2 ** 40, rest=nothing), 'storages larger|claimed|bytes, .* are left|storage of'
    yield tensor(numel=3, rest=nothing), 'out of range|claimed|leaves|storage of'
    yield tensor(numel=-4, rest=nothing), 'out of range'
    yield tensor(rest=({'hook': 1},)), 'hooks'
    yield {'w': Evil(str(tmp_path / 'evil'))}, 'posix.mkdir|nt.mkdir'
    yield {'w': _Made(bytearray, 2 ** 40)}, 'bytearray'
    yield {'w': _Made(torch.FloatTensor, 2 ** 40)}, 'FloatTensor'
    yield {'w': _Made(torch.FloatTensor, state=(1, 2, 3, 4))}, 'without a storage'
    yield {'w': torch.nn.Linear(1, 1)}, 'Linear'
    nested = ()
    for _ in range(60):
        nested = (nested, nested)
    # A dictionary with this key, whose hash takes 2 ** 60 steps.
    yield b'\x80\x02}' + pickled(nested)[2:-1] + b'K\x01s.', 'key'
    yield _Made(collections.OrderedDict, [[nested, 1]]), 'key'
    yield collections.OrderedDict(w=1), 'expected a dictionary of tensors'
    yield [1, 2], 'object of type list'
    yield {}, 'a dictionary of nothing'
    yield b'\x80\x02)' + b'\x85' * 10 ** 4 + b'.', 'object of type tuple'  # ((((...))))


@pytest.mark.parametrize('form', ['zip', 'legacy'])
@pytest.mark.filterwarnings('ignore')
def test_hostile_pytorch_files(torch, tmp_path, form):
    for thing, text in hostile(torch, tmp_path):
        root = thing if isinstance(thing, bytes) else pickled(thing, extra=() if form == 'zip' else (None,))
        ones = {'7': numpy.ones(4, 'float32')} if b'storage' in root else {}
        content = zip_of(root, {'7': ones['7'].tobytes()} if ones else {}) if form == 'zip' else legacy_of(root, ones)
        refused(tmp_path, content, text)
    assert not (tmp_path / 'evil').exists()


def test_damaged_storages_of_pytorch(torch, tmp_path):
    ones = numpy.ones(4, 'float32')
    thing = {'w': _Made(torch._utils._rebuild_tensor_v2, _Bytes(torch, '7', ones), 0, (4,), (1,), False,
                        collections.OrderedDict())}
    root, legacy = pickled(thing), pickled(thing, extra=(None,))
    for content in (zip_of(root, {'7': ones.tobytes()}), legacy_of(legacy, {'7': ones})):
        refused(tmp_path, content, 'Nothing in it fits')  # so far all is well
    refused(tmp_path, zip_of(root, {'7': ones.tobytes()[:8]}), 'a storage of 8 bytes where 16 are claimed')
    refused(tmp_path, zip_of(root, {}), 'cut off or damaged')
    # PyTorch would leave the memory as it found it.
    refused(tmp_path, legacy_of(legacy, {'7': ones}, keys=[]), 'storages without bytes')
    refused(tmp_path, legacy_of(legacy, {'7': ones}, keys=['7', '7']), 'without a storage')
    refused(tmp_path, legacy_of(legacy, {'7': ones[:2]}), 'a storage of 16 bytes')
    refused(tmp_path, legacy_of(legacy, {'7': ones}) + b'x', '1 bytes after its end')
    refused(tmp_path, legacy_of(legacy, {'7': ones})[:-1], 'a storage of 16 bytes, 15 are left')
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr('a/data.pkl', pickled({'w': 'x' * 10 ** 4}), zipfile.ZIP_DEFLATED)
        archive.writestr('a/padding', bytes(10 ** 5))
    refused(tmp_path, stream.getvalue(), 'compressed')
    damaged = bytearray(zip_of(root, {'7': ones.tobytes()}))
    damaged[damaged.index(ones.tobytes())] ^= 1
    refused(tmp_path, bytes(damaged), 'CRC')


# --- A thousand mutations of each.

def mutants(rng, form, content, others):
    """One mutation of a file, half of them below what a checksum or a length at its front would catch."""
    if rng.random() < 0.5:
        return mutated(rng, content, others)
    if form == 'safetensors':
        size = int.from_bytes(content[:8], 'little')
        header, rest = content[8:8 + size], content[8 + size:]
        if rng.random() < 0.5:
            entries = json.loads(header)
            entry = entries[rng.choice([name for name in entries if name != '__metadata__'])]
            key = rng.choice(list(entry))
            if key == 'dtype':
                entry[key] = rng.choice(('F64', 'F16', 'BF16', 'I32', 'BOOL', 'U8', 'F8_E4M3', 'C64', '', 'x', 3, None))
            else:
                entry[key][rng.randrange(len(entry[key]))] = rng.choice([*NUMBERS, -1, 1.5, None, 'x'])
            return safetensors_of(entries, rest)
        return safetensors_of(mutated(rng, header, [header]), rest)
    if form == 'zip':
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {info.filename.partition('/')[2]: archive.read(info) for info in archive.infolist()}
        root = mutated(rng, parts['data.pkl'], [parts['data.pkl']])
        return zip_of(root, {name[5:]: value for name, value in parts.items() if name.startswith('data/')})
    # The numbers of .params and of an old .pth are everywhere in it: set one, at any place, to another.
    at, size = rng.randrange(len(content)), rng.choice((1, 2, 4, 8))
    number = (rng.choice(NUMBERS) % 256 ** size).to_bytes(size, 'little')
    return content[:at] + number + content[at + size:]


def test_pytorch_is_asked_for_weights_only(torch, tmp_path, monkeypatch):
    asked = []
    read = torch.load
    monkeypatch.setattr(torch, 'load', lambda *args, **options: asked.append(options) or read(*args, **options))
    for new in (True, False):
        torch.save(torch_densenet(torch).state_dict(), tmp_path / 'x.pth', _use_new_zipfile_serialization=new)
        load_pretrained(network(), tmp_path / 'x.pth')
    assert [options['weights_only'] for options in asked] == [True, True]


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('form', ['params', 'params-np', 'safetensors', 'zip', 'legacy'])
def test_a_thousand_mutations(request, tmp_path, form):
    torch = request.getfixturevalue('torch') if form in ('zip', 'legacy') else None
    switch('np' if form == 'params-np' else 'nd')
    net = randomized(network(TINY))
    path = tmp_path / {'safetensors': 'x.safetensors'}.get(form, 'x.pth')
    if form.startswith('params'):
        net.save_parameters(str(path))
    else:
        save_torch(net, path)
    if form == 'legacy':
        torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert isinstance(load_pretrained(net, path), LoadReport)
    rng = random.Random(request.node.seed)
    start = values(net)
    shapes = [value.shape for value in start]
    outcomes = collections.Counter()
    for i in range(300 if form == 'params-np' else 1000):
        mutant = mutants(rng, form, content, [content])
        path.write_bytes(mutant)
        try:
            report = load_pretrained(net, path, strict=rng.random() < 0.5)
        except CheckpointError as error:
            assert same(values(net), start), (i, error)
            assert str(path) in str(error) and len(str(error)) < 4000
            outcomes['refused'] += 1
        else:
            found = values(net)
            assert report.loaded and [value.shape for value in found] == shapes
            assert all(numpy.isfinite(value).all() for value in found)
            outcomes['loaded'] += 1
            for parameter, value in zip(net.collect_params().values(), start):
                parameter.set_data(value)
    # Neither was everything refused nor everything loaded: the mutations reach what they should.
    assert outcomes['refused'] > 100 and outcomes['loaded'] > 5, outcomes
