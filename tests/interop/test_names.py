"""Whose names a file has, below which keys and prefixes, and what an error advises."""

import argparse
import math
import re

import mxnet as mx
import numpy
import pytest
from helpers import randomized, same, values
from mxnet.gluon import nn
from safetensors.numpy import save_file

from d2l_densenet import CheckpointError, DenseNet, densenet, load_pretrained, save_torch
from d2l_densenet.interop.names import layers_of, parameters_of

SMALL = {'growth_rate': 4, 'block_config': (2, 3), 'num_init_features': 8, 'bottleneck': 2, 'bias': False, 'classes': 5,
         'in_channels': 3}


def network(**overrides):
    net = DenseNet(**{**SMALL, **overrides})
    net.initialize()
    return net


@pytest.fixture
def state():
    """The parameters of a network of random values by torchvision's names, in NumPy."""
    net = randomized(network())
    parameters = parameters_of(net, layers_of(net))
    return {name: parameter.data().asnumpy() for name, parameter in parameters.items()}


def is_loaded(net, state, without='-'):
    return all((parameter.data().asnumpy() == state[name]).all() for name, parameter in
               parameters_of(net, layers_of(net)).items() if not name.startswith(without))

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


@pytest.mark.parametrize('written, read', [(0, 0.3), (0.3, 0), (0.3, 0.3)])
@pytest.mark.parametrize('bottleneck', [None, 2])
def test_dropout_shifts_the_places_in_our_own_names(tmp_path, bottleneck, written, read):
    net = randomized(network(bottleneck=bottleneck, dropout=written))
    net.save_parameters(str(tmp_path / 'x.params'))
    other = network(bottleneck=bottleneck, dropout=read)
    load_pretrained(other, tmp_path / 'x.params')
    assert same(values(other), values(net))


def renamed(change):
    return lambda state: {change(name): value for name, value in state.items()}


#: What other programs make of torchvision's names.
SPELLINGS = {
    'module.': renamed(lambda name: f'module.{name}'), 'backbone.': renamed(lambda name: f'backbone.{name}'),
    '_orig_mod.module.': renamed(lambda name: f'_orig_mod.module.{name}'),
    'module.densenet121.': renamed(lambda name: f'module.densenet121.{name}'),
    'a name like a parameter': renamed(lambda name: f'features.classifier.{name}'),
    'features alone under another name': renamed(
        lambda name: name if name.startswith('classifier') else 'encoder.0.' + name.removeprefix('features.')),
    'another prefix for the head': renamed(
        lambda name: f'head.{name}' if name.startswith('classifier') else f'backbone.{name}'),
    'a Sequential head': renamed(lambda name: name.replace('classifier.', 'classifier.1.')),
    'before torchvision 0.3': renamed(lambda name: re.sub(r'(denselayer\d+\.(?:norm|conv))([12])', r'\1.\2', name)),
    'MONAI': renamed(lambda name: re.sub(r'(denselayer\d+\.)', r'\1layers.', name).replace(
        'classifier', 'class_layers.out')),
    'Pleiss': renamed(lambda name: name.replace('norm5', 'norm_final')),
    'counters': lambda state: {**renamed(lambda name: f'module.{name}')(state), 'n_averaged': numpy.array(3),
                               'module.features.norm0.num_batches_tracked': numpy.array(7)},
}


@pytest.mark.parametrize('how', SPELLINGS)
def test_spellings_and_prefixes_are_found(state, tmp_path, how):
    save_file(SPELLINGS[how](state), tmp_path / 'x')
    net = network()
    report = load_pretrained(net, tmp_path / 'x')
    assert is_loaded(net, state) and not report.unexpected
    assert report.part == (how.strip('.') if how.endswith('.') else report.part)


WRAPPERS = {
    'state_dict': lambda state: {'state_dict': state, 'epoch': 3, 'best_acc1': state['classifier.bias'].sum()},
    'model': lambda state: {'model': state, 'optimizer': {'state': {0: {'step': 5, 'exp_avg': state[
        'features.conv0.weight']}}, 'param_groups': [{'lr': 0.1}]}, 'args': argparse.Namespace(lr=0.1)},
    'net.module': lambda state: {'net': renamed(lambda name: f'module.{name}')(state), 'best': numpy.float64(0.5)},
    'checkpoint.ema.weights': lambda state: {'checkpoint': {'ema': {'weights': state}}},
    '': lambda state: {name: value.clone().requires_grad_() for name, value in state.items()},
}


@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize('label', WRAPPERS)
def test_the_dictionary_of_the_network_is_found(torch, state, tmp_path, label, protocol):
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    torch.save(WRAPPERS[label](tensors), tmp_path / 'x.pth', pickle_protocol=protocol)
    net = network()
    assert load_pretrained(net, tmp_path / 'x.pth').part == label and is_loaded(net, state)


def test_of_several_networks_the_user_chooses(state, tmp_path):
    other = {name: value + 1 for name, value in state.items()}
    save_file({**renamed(lambda name: f'model.{name}')(state), **renamed(lambda name: f'ema.module.{name}')(other)},
              tmp_path / 'x')
    for strict in (True, False):
        net = network()
        before = values(net)
        with pytest.raises(CheckpointError, match="x: holds 2 networks, under 'ema.module', 'model': say which one to "
                                                  "load, such as part='model'"):
            load_pretrained(net, tmp_path / 'x', strict=strict)
        assert same(values(net), before)
        for part, expected in (('model', state), ('ema', other), ('ema.module', other)):
            report = load_pretrained(net, tmp_path / 'x', strict=strict, part=part)
            assert is_loaded(net, expected) and report.part == {'ema': 'ema.module'}.get(part, part)
            assert not report.unexpected and f'part={report.part!r}' in repr(report)
    with pytest.raises(CheckpointError, match="x: has no network under part='emo'. Those in it: 'ema.module', 'model'"):
        load_pretrained(net, tmp_path / 'x', part='emo')


def test_an_average_beside_the_weights_is_not_passed_over(torch, state, tmp_path):
    """As timm and torchvision's training programs write it."""
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    average = {name: value + 1 for name, value in tensors.items()}
    for file, saved in (('timm', {'state_dict': tensors, 'state_dict_ema': average}),
                        ('torchvision', {'model': tensors, 'model_ema': {
                            'n_averaged': torch.tensor(3), **renamed(lambda name: f'module.{name}')(average)}})):
        torch.save(saved, tmp_path / file)
        with pytest.raises(CheckpointError, match=r"holds 2 networks, .*part='\w+_ema"):
            load_pretrained(network(), tmp_path / file)
        net = network()
        load_pretrained(net, tmp_path / file, part=[*saved][1])
        assert is_loaded(net, {name: value + 1 for name, value in state.items()})


@pytest.mark.parametrize('fewer, several', [(0, True), (1, False)])
def test_half_the_parameters_make_another_network(state, tmp_path, fewer, several):
    names = [*state][:len(state) // 2 * 2]
    half = {f'b.{name}': state[name] for name in names[:len(names) // 2 - fewer]}
    save_file({**{f'a.{name}': state[name] for name in names}, **half}, tmp_path / 'x')
    if several:
        with pytest.raises(CheckpointError, match="holds 2 networks, under 'a', 'b'"):
            load_pretrained(network(), tmp_path / 'x', strict=False)
    else:
        report = load_pretrained(network(), tmp_path / 'x', strict=False)
        assert report.part == 'a' and sorted(report.unexpected) == sorted(half)


@pytest.mark.parametrize('length, found', [(200, True), (201, False)])
def test_names_have_at_most_200_letters(state, tmp_path, length, found):
    save_file({'classifier.bias'.rjust(length, 'x').replace('xclassifier', '.classifier'): state['classifier.bias']},
              tmp_path / 'x')
    net = network()
    if found:
        assert load_pretrained(net, tmp_path / 'x', strict=False).loaded == ('classifier.bias',)
    else:
        with pytest.raises(CheckpointError, match='Nothing in it fits'):
            load_pretrained(net, tmp_path / 'x', strict=False)


@pytest.mark.parametrize('heads', [['classifier.0', 'classifier.3'], ['a.classifier', 'b.classifier']])
def test_of_two_heads_none_is_taken(state, tmp_path, heads):
    changed = {f'backbone.{name}': value for name, value in state.items() if not name.startswith('classifier')}
    for head in heads:
        head = f'backbone.{head}' if head.startswith('classifier') else head
        changed.update({f'{head}.{end}': state[f'classifier.{end}'] for end in ('weight', 'bias')})
    save_file(changed, tmp_path / 'x')
    with pytest.raises(CheckpointError, match='2 missing: classifier.weight, classifier.bias. 4 unexpected: .*It has '
                                              'no classifier: pass new_head=True and strict=False'):
        load_pretrained(network(), tmp_path / 'x')


def test_a_head_elsewhere_does_not_replace_the_networks_own(state, tmp_path):
    save_file({**renamed(lambda name: f'a.{name}')(state), 'b.classifier.bias': state['classifier.bias'] + 1},
              tmp_path / 'x')
    net = network()
    assert load_pretrained(net, tmp_path / 'x', strict=False).unexpected == ('b.classifier.bias',)
    assert is_loaded(net, state)


def test_of_many_networks_the_largest_comes_first(state, tmp_path):
    names = [*state]
    parts = {'a': names[:10], 'b': names, 'c': names[:20], 'd': names[:60]}
    save_file({f'{part}.{name}': state[name] for part, some in parts.items() for name in some}, tmp_path / 'x')
    with pytest.raises(CheckpointError, match="holds 2 networks, under 'b', 'd': .* such as part='d'"):
        load_pretrained(network(), tmp_path / 'x')
    report = load_pretrained(network(), tmp_path / 'x', part='c', strict=False)
    assert report.part == 'c' and len(report.loaded) == 20 and not report.unexpected


def test_two_entries_for_one_parameter(state, tmp_path):
    layer = 'features.denseblock1.denselayer1'
    save_file({**state, f'{layer}.norm.1.bias': state[f'{layer}.norm1.bias']}, tmp_path / 'x')
    for strict in (True, False):
        with pytest.raises(CheckpointError, match='are both features.denseblock1.denselayer1.norm1.bias'):
            load_pretrained(network(), tmp_path / 'x', strict=strict)
    save_file({**state, 'module.classifier.bias': state['classifier.bias'] + 1}, tmp_path / 'x')
    with pytest.raises(CheckpointError, match='1 unexpected: module.classifier.bias'):
        load_pretrained(network(), tmp_path / 'x')
    net = network()
    assert load_pretrained(net, tmp_path / 'x', strict=False).unexpected == ('module.classifier.bias',)
    assert is_loaded(net, state)


HEAD = ('classifier.weight', 'classifier.bias')
#: What is wrong with a file, the options that its error advises, and the parameters that are as they were with them.
REMEDIES = {
    'no classifier': (dict.fromkeys(HEAD), {'new_head': True}, 'classifier'),
    'no classifier, something else': ({**dict.fromkeys(HEAD), 'fc.weight': numpy.ones(3, 'float32')},
                                      {'new_head': True, 'strict': False}, 'classifier'),
    'another number of classes': ({'classifier.weight': numpy.ones((7, 20), 'float32'),
                                   'classifier.bias': numpy.ones(7, 'float32')}, {'new_head': True}, 'classifier'),
    'one entry more': ({'op_threshs': numpy.ones(3, 'float32')}, {'strict': False}, '-'),
    'the loss of Lightning': ({'criterion.weight': numpy.ones(5, 'float32')}, {'strict': False}, '-'),
}


@pytest.mark.parametrize('case', REMEDIES)
def test_what_an_error_advises_works(state, tmp_path, case):
    changes, options, kept = REMEDIES[case]
    changed = {**state, **changes}
    save_file({name: value for name, value in changed.items() if value is not None}, tmp_path / 'x')
    net = network()
    before = [value for name, value in zip(state, values(net)) if name.startswith(kept)]
    with pytest.raises(CheckpointError) as caught:
        load_pretrained(net, tmp_path / 'x')
    advised = str(caught.value).rpartition('. ')[2]
    assert 'pass ' + ' and '.join(f'{name}={value}' for name, value in options.items()) in advised
    assert all((f'{name}=' in advised) == (name in options) for name in ('strict', 'new_head'))
    load_pretrained(net, tmp_path / 'x', **options)
    assert is_loaded(net, state, without=kept)
    assert same([value for name, value in zip(state, values(net)) if name.startswith(kept)], before)


def test_another_network_is_not_advised_to_be_taken(state, tmp_path):
    """A stem of three convolutions, as timm's densenetblur121d and densenet264d have: with strict=False the outputs
    would be those of no network."""
    conv = numpy.ones((8, 3, 3, 3), 'float32')
    save_file({**state, 'features.conv0.weight': conv, 'features.conv1.weight': conv, 'features.conv2.weight': conv},
              tmp_path / 'x')
    with pytest.raises(CheckpointError, match='1 of another shape .*Build the network that the file was made from.*'
                                              'strict=False would load 65 parameters, leave 1 as they are, and compute '
                                              'something else'):
        load_pretrained(network(), tmp_path / 'x')


def test_a_layer_that_torchvision_lacks(state, tmp_path):
    """It is not passed over: its values would be lost on the way there, and be any on the way back."""
    save_file(state, tmp_path / 'x')
    net = network()
    net.features.add(nn.PReLU(prefix='own_'))
    net.features[-1].initialize()
    with pytest.raises(CheckpointError, match='no names for own_alpha.*use net.save_parameters'):
        save_torch(net, tmp_path / 'y.pth')
    with pytest.raises(CheckpointError, match='1 missing: own_alpha'):
        load_pretrained(net, tmp_path / 'x')
    assert load_pretrained(net, tmp_path / 'x', strict=False).missing == ('own_alpha',)
    assert not (tmp_path / 'y.pth').exists()


def test_a_replaced_head(state, tmp_path):
    """Gluon's own way to another number of classes: the new layer waits for its first batch."""
    save_file(state, tmp_path / 'x')
    net = network()
    net.output = nn.Dense(3)
    with pytest.raises(CheckpointError, match='call net.initialize.. first'):
        load_pretrained(net, tmp_path / 'x', new_head=True)
    net.output.initialize()
    load_pretrained(net, tmp_path / 'x', new_head=True)
    assert (net.features[0].weight.data().asnumpy() == state['features.conv0.weight']).all()
    assert net(mx.nd.ones((1, 3, 40, 40))).shape == (1, 3)


def test_nothing_fits(tmp_path):
    save_file({'layer1.0.conv1.weight': numpy.ones((2, 2), 'float32')}, tmp_path / 'resnet')
    for strict in (True, False):
        with pytest.raises(CheckpointError, match='Nothing in it fits'):
            load_pretrained(network(), tmp_path / 'resnet', strict=strict)


def test_a_network_inside_another_prefix(tmp_path):
    net = randomized(network(prefix='hybridsequential3_densenet7_'))
    net.collect_params().save(str(tmp_path / 'flat.params'))
    other = DenseNet(**SMALL, prefix='x_')
    load_pretrained(other, tmp_path / 'flat.params')
    assert same(values(other), values(net))
