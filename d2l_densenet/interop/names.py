"""What a DenseNet's parameters are called by torchvision, timm, MONAI, Gluon's model zoo and this package."""

import collections
import re
from typing import NamedTuple

import numpy
from mxnet.gluon import nn

from .._common.params import shown
from ..blocks import DenseBlock
from ..network import DenseNet
from .files import CheckpointError

# Names that a pattern searches are not longer.
_LONGEST_NAME = 200

# What comes before a name in exported files, and how others spell torchvision's: its own published files and MONAI
# (norm.1, layers.norm1), the code for efficient memory by Pleiss et al. (norm_final), MONAI again.
_SPELLINGS = ((re.compile(r'^(?:arg|aux):'), ''),
              (re.compile(r'(\.denselayer\d+)\.(?:layers\.)?(norm|conv)\.?([12])\.'), r'\1.\2\3.'),
              (re.compile(r'(?<![^.])norm_final\.'), 'norm5.'),
              (re.compile(r'(?<![^.])class_layers\.out\.'), 'classifier.'))
# A layer in a Sequential, after dropout.
_NUMBERED_HEAD = re.compile(r'(?<![^.])classifier\.(\d+)\.(?=(?:weight|bias)$)')
_FLAT = re.compile(r'(?:(?:stage|denseblock|hybridsequential)\d+_)*(?:conv|batchnorm|dense)\d+_'
                   r'(?:weight|bias|gamma|beta|running_mean|running_var)$')
#: Counters of PyTorch, in which nothing here has an interest.
COUNTERS = ('num_batches_tracked', 'n_averaged')


class _Layer(NamedTuple):
    """A layer with parameters: what it is called in torchvision's, dotted Gluon's and the zoo's prefixed files."""

    layer: object
    name: str
    dotted: tuple
    zoo: str


class Network(NamedTuple):
    """A network in a file: where it is, {torchvision's name: the file's name}, and the dictionary it is in."""

    label: str
    names: dict
    entries: dict


def layers_of(net):
    """The layers of `net` that torchvision has names for, in the order of ``collect_params()``."""
    if not isinstance(net, DenseNet):
        raise TypeError(f'net must be a d2l_densenet.DenseNet, got {type(net).__name__}')
    layers, block, transition = [], 0, 0
    for i, part in enumerate(net.features):
        place = f'features.{i}'
        if isinstance(part, DenseBlock):
            block += 1
            for j, steps in enumerate(part.net):
                for kind, zoo, layer, n, at in _numbered(steps):
                    # In our own files, there with dropout and without, and in the zoo's.
                    shift = 0 if kind == 'norm' else 2
                    dotted = (f'{place}.net.{j}.{at}', f'{place}.net.{j}.{3 * n + shift}',
                              f'{place}.net.{j}.{4 * n + shift}', f'{place}.{j}.1.{3 * n + shift}')
                    name = f'features.denseblock{block}.denselayer{j + 1}.{kind}{n + 1}'
                    number = n + j * (1 if net.config['bottleneck'] is None else 2)
                    layers.append(_Layer(layer, name, dotted, f'stage{block}_{zoo}{number}'))
        elif isinstance(part, nn.HybridSequential):
            transition += 1
            layers += [_Layer(layer, f'features.transition{transition}.{kind}', (f'{place}.{at}',),
                              f'{zoo}{transition}') for kind, zoo, layer, _, at in _numbered(part)]
        else:
            layers += [_Layer(layer, 'features.norm5' if block else f'features.{kind}0', (place,),
                              f'{zoo}{transition + 1 if block else 0}') for kind, zoo, layer, _, _ in _numbered([part])]
    return [*layers, _Layer(net.output, 'classifier', ('output',), 'dense0')]


def _numbered(steps):
    """Normalizations and convolutions among `steps`: (torchvision's kind, Gluon's, layer, number, place)."""
    count = collections.Counter()
    for place, layer in enumerate(steps):
        kind = ('norm', 'batchnorm') if isinstance(layer, nn.BatchNorm) else \
            ('conv', 'conv') if isinstance(layer, nn.Conv2D) else None
        if kind:
            yield (*kind, layer, count[kind], place)
            count[kind] += 1


def _endings(layer):
    """Parameters of a layer: (torchvision's ending, Gluon's ending, Parameter)."""
    if isinstance(layer, nn.BatchNorm):
        return [('weight', 'gamma', layer.gamma), ('bias', 'beta', layer.beta),
                ('running_mean', 'running_mean', layer.running_mean), ('running_var', 'running_var', layer.running_var)]
    return [(name, name, getattr(layer, name)) for name in ('weight', 'bias') if getattr(layer, name) is not None]


def parameters_of(net, layers):
    """The parameters of `net` by torchvision's names, in order; of what it has no name for by Gluon's."""
    parameters = {f'{layer.name}.{ending}': parameter for layer in layers
                  for ending, _, parameter in _endings(layer.layer)}
    known = {id(parameter) for parameter in parameters.values()}
    parameters.update({parameter.name: parameter for parameter in net.collect_params().values()
                       if id(parameter) not in known})
    for name, parameter in parameters.items():
        if numpy.dtype(parameter.dtype) not in (numpy.float16, numpy.float32, numpy.float64):
            raise TypeError(f"net must have parameters of float32, float16 or float64, {name} has {parameter.dtype}: "
                            "use net.cast('float32')")
    return parameters


def networks_in(parts, net, layers):
    """The networks in the dictionaries `parts` of a file, largest first: a list of Network.

    A network is what has names under one prefix, such as 'module.' or 'backbone.', whatever it is.
    """
    known, own, zoo = {}, {}, {}
    for layer in layers:
        for ending, gluon, parameter in _endings(layer.layer):
            name = f'{layer.name}.{ending}'
            known.update({f'{start}.{gluon}': name for start in layer.dotted})
            # Without `features.`: that part alone, under a name that somebody else gave it.
            known.update({name: name, name.removeprefix('features.'): name})
            own[parameter.name.removeprefix(net.prefix)] = name
            zoo[f'{layer.zoo}_{gluon}'] = name
    networks = []
    for part, entries in parts.items():
        heads = {found[1] for found in map(_NUMBERED_HEAD.search, filter(_is_short, entries)) if found}
        plain = {name: _respelt(name, len(heads) == 1) for name in entries if _is_short(name)}
        # One number of a layer may mean different layers in the zoo's files and in ours. Only the zoo's have stages.
        tails = {name: _FLAT.search(short) for name, short in plain.items()}
        flat = zoo if any(tail and tail[0].startswith('stage') for tail in tails.values()) else own
        found = collections.defaultdict(dict)
        for name, short in plain.items():
            prefix, parameter = _split(short, tails[name], known, flat)
            if parameter in found[prefix]:
                raise CheckpointError(f'{shown(found[prefix][parameter])} and {shown(name)} are both {parameter}: '
                                      'expected one network in the file. Save the one that is wanted by itself.')
            if parameter:
                found[prefix][parameter] = name
        _join_head(found)
        networks += [Network(f'{part}.{prefix}'.strip('.'), names, entries)
                     for prefix, names in found.items() if names]
    return sorted(networks, key=lambda network: (-len(network.names), network.label))


def _is_short(name):
    return len(name) <= _LONGEST_NAME


def _respelt(name, one_head):
    for pattern, text in _SPELLINGS:
        name = pattern.sub(text, name)
    return _NUMBERED_HEAD.sub('classifier.', name) if one_head else name


def _split(name, tail, known, flat):
    """The prefix of a name and the parameter that the rest of it means, or None."""
    if tail:
        return name[:tail.start()], flat.get(tail[0])
    begin = 0
    while name[begin:] not in known:
        begin = name.find('.', begin) + 1
        if not begin:
            return '', None
    return name[:begin], known[name[begin:]]


def _join_head(found):
    """Where the classifier alone has another prefix (``backbone.``, none), take it for that of the largest network."""
    sizes = sorted(found, key=lambda prefix: -len(found[prefix]))
    if len(sizes) > 1 and not any(name.startswith('classifier.') for name in found[sizes[0]]):
        heads = [prefix for prefix in sizes[1:] if found[prefix] and all(
            name.startswith('classifier.') for name in found[prefix])]
        if len(heads) == 1:
            found[sizes[0]].update(found.pop(heads[0]))
