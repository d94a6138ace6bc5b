"""Weights from elsewhere and for elsewhere: the DenseNet checkpoints of torchvision, timm and Gluon's model zoo.

A file is read without trust. Each length in it is compared with the bytes that are there before memory is taken,
nothing in it is run, and everything is checked before the first parameter is set. MXNet's own reader of `.params`
believes the sizes in the file (1,170 bytes have made it take 12 GB), so `_params` stands in its place.
`torch.load` runs nothing with `weights_only=True`, but in files from before PyTorch 1.6 it believes the sizes too and
returns memory as it happens to be (tried with 2.13). It is given only what has been followed to its end here first.
"""

import collections
import dataclasses
import io
import math
import os
import pickletools
import re
import warnings
import zipfile
from typing import NamedTuple

import mxnet as mx
import numpy
from mxnet.gluon import nn
from mxnet.util import is_np_array

from .._common import params as _params
from .._common.arguments import switch
from .._common.disk import a_path
from .._common.params import Entry, entry, shown
from ..network import DenseNet
from ..runs.directories import RunError, write_atomically

__all__ = ['CheckpointError', 'LoadReport', 'load_pretrained', 'save_torch']

# A pickle of 600 tensors has about 20,000 opcodes. More than this is not a checkpoint but an attempt to keep us busy.
_MOST_OPCODES = 2 ** 22
# Names that an error quotes or a pattern searches.
_LONGEST_NAME = 200

_AGAIN = 'Fetch or write the file again.'


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, does not fit the network, or cannot be written."""


@dataclasses.dataclass(frozen=True, repr=False)
class LoadReport:
    """What `load_pretrained` did. Parameters of the network have torchvision's names here.

    Attributes
    ----------
    source : str
        What the file is: ``'safetensors'``, ``'PyTorch'``, ``'PyTorch before 1.6'`` or ``'Gluon params'``.
    loaded : tuple of str
        Parameters that were set.
    kept : tuple of str
        Parameters of the classifier, which ``new_head=True`` leaves as they are.
    missing : tuple of str
        Parameters for which the file has no entry; they are as they were.
    unexpected : tuple of str
        Entries of the file, under its own names, that are no parameter of the network.
    mismatched : tuple of (str, str, str)
        Parameters for which the file has another shape or type: the name, what the file has, what the network
        has. They are as they were.
    """

    source: str
    loaded: tuple
    kept: tuple = ()
    missing: tuple = ()
    unexpected: tuple = ()
    mismatched: tuple = ()

    def __repr__(self):
        counts = ', '.join(f'{field.name}={len(getattr(self, field.name))}' for field in dataclasses.fields(self)[1:])
        return f'LoadReport(source={self.source!r}, {counts})'


def load_pretrained(net, file, new_head=False, strict=True):
    """Load a DenseNet checkpoint of torchvision, timm, Gluon's model zoo or this package into `net`.

    The content decides how the file is read, not its name. `.safetensors` and Gluon's `.params` need no PyTorch;
    `.pth` and `.pt` do, and are read with ``torch.load(..., weights_only=True)`` only. Names may be torchvision's
    (new or old, with prefixes such as ``module.``, in a dictionary under ``state_dict`` or ``model``),
    those of ``save_parameters`` (dotted) or those of ``collect_params().save`` and ``export`` (with a prefix).
    ``num_batches_tracked`` has no counterpart here and is passed over.

    The parameters keep their device and type. Those that are not initialised get the device of the others, or
    ``mx.cpu()``. float16 and bfloat16 become float32 exactly, float64 is rounded to the nearest float32, and
    integers are refused.

    Parameters
    ----------
    net : DenseNet
        The network, in either array mode.
    file : str or os.PathLike
        The checkpoint.
    new_head : bool, default False
        Leave the classifier as it is, whatever the file has: for another number of classes. It must be initialised.
    strict : bool, default True
        Refuse the file unless each entry and each parameter has its counterpart. False: load what fits.

    Returns
    -------
    LoadReport

    Raises
    ------
    TypeError
        If `net` is not a `DenseNet`, or was cast to a type that NumPy lacks.
    CheckpointError
        If the file cannot be read or trusted, has NaN, infinity or a negative variance, does not fit, or (with
        ``strict=False``) no part of it does. The network is then as it was.

    Examples
    --------
    >>> import os, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> trained, net = DenseNet(4, (2, 2), 8), DenseNet(4, (2, 2), 8, classes=3)
    >>> trained.initialize(), net.initialize()
    (None, None)
    >>> trained.save_parameters(os.path.join(folder.name, 'trained.params'))
    >>> report = load_pretrained(net, os.path.join(folder.name, 'trained.params'), new_head=True)
    >>> len(report.loaded), report.kept
    (40, ('classifier.weight', 'classifier.bias'))
    >>> folder.cleanup()
    """
    layers = _layers(net)
    parameters = _parameters(layers)
    path = _text_path(file)
    switch('strict', strict)
    if switch('new_head', new_head):
        try:
            net.output.weight.list_data()
        except RuntimeError:
            raise CheckpointError('new_head=True keeps the classifier, which has no values yet: call '
                                  'net.initialize() first') from None
    source, entries = _read(path)
    found, unexpected = _match(path, net, layers, parameters, entries)
    plan, kept, missing, mismatched = {}, [], [], []
    for name, parameter in parameters.items():
        if new_head and name.startswith('classifier.'):
            kept.append(name)
        elif name not in found:
            missing.append(name)
        elif _fits(entries[found[name]], parameter):
            plan[name] = _value(entries[found[name]], parameter)
        else:
            mismatched.append((name, str(entries[found[name]]),
                               f'{numpy.dtype(parameter.dtype).name} {parameter.shape}'))
    if strict and (missing or unexpected or mismatched) or not plan:
        raise CheckpointError(_misfit(path, source, plan, missing, unexpected, mismatched))
    for name, value in plan.items():
        bad = 'NaN or infinity' if not numpy.isfinite(value).all() else \
            'a negative variance' if name.endswith('running_var') and (value < 0).any() else None
        if bad:
            raise CheckpointError(f'{path}: {shown(found[name])} has {bad} as {value.dtype.name}, expected numbers to '
                                  'compute with. Give a checkpoint of a training that did not diverge.')
    ctx = next((parameter.list_ctx() for parameter in parameters.values() if _is_initialised(parameter)), mx.cpu())
    for name, value in plan.items():
        _set(parameters[name], value, ctx)
    return LoadReport(source, *map(tuple, (plan, kept, missing, unexpected, mismatched)))


def save_torch(net, file):
    """Write the parameters and running statistics of `net` under torchvision's names, for PyTorch.

    For a BC network of three-channel images with the ImageNet stem and a compression of 0.5 these are the names and
    shapes of torchvision's ``DenseNet``, which loads the file with ``load_state_dict``. The other networks extend them:

    ========================================  ===========================================================
    ``features.conv0``                        convolution of the stem, 7x7 or 3x3
    ``features.norm0``                        its batch normalisation; the CIFAR stem has none
    ``features.denseblockI.denselayerJ``      ``norm1``, ``conv1``, with a bottleneck also ``norm2``, ``conv2``;
                                              without one ``conv1`` is the 3x3 convolution
    ``features.transitionI``                  ``norm``, ``conv``
    ``features.norm5``, ``classifier``        as they are, for any number of dense blocks
    ========================================  ===========================================================

    Each ends in ``.weight`` and ``.bias`` (convolutions have the latter only with ``bias=True``), a normalisation
    also in ``.running_mean`` and ``.running_var``. The values are kept to the bit. Where the network is on several
    devices they are averaged, as Gluon does.

    Parameters
    ----------
    net : DenseNet
        The network, initialised.
    file : str or os.PathLike
        Where to; the ending decides: ``.safetensors`` (without PyTorch), ``.pth`` or ``.pt`` (with it). The file is
        replaced as a whole or not at all.

    Raises
    ------
    TypeError
        If `net` is not a `DenseNet`, or was cast to a type that NumPy lacks.
    CheckpointError
        If the ending is another, the network is not initialised, or the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> net = DenseNet(4, (2, 2), 8)
    >>> net.initialize()
    >>> save_torch(net, os.path.join(folder.name, 'small.safetensors'))
    >>> load_pretrained(net, os.path.join(folder.name, 'small.safetensors'))
    LoadReport(source='safetensors', loaded=42, kept=0, missing=0, unexpected=0, mismatched=0)
    >>> folder.cleanup()
    """
    parameters = _parameters(_layers(net))
    path = _text_path(file)
    ending = os.path.splitext(path)[1]
    if ending not in ('.safetensors', '.pth', '.pt'):
        raise CheckpointError(f'file must end in .safetensors, .pth or .pt, got {path!r}')
    mx.nd.waitall()  # see training._snapshot
    try:
        values = {name: _current(parameter) for name, parameter in parameters.items()}
    except RuntimeError:
        raise CheckpointError('net has parameters without values: call net.initialize() or load some first') from None
    if ending == '.safetensors':
        _import_safetensors(path)
        from safetensors.numpy import save
        content = save(values, metadata={'format': 'pt'})
    else:
        torch = _import_torch(path)
        buffer = io.BytesIO()
        torch.save(collections.OrderedDict((name, torch.from_numpy(value)) for name, value in values.items()), buffer)
        content = buffer.getvalue()
    try:
        write_atomically(path, content)
    except RunError as error:
        reason = getattr(error.__cause__, 'strerror', None) or error
        raise CheckpointError(f'{path}: cannot be written ({reason}). Choose another place or free the '
                              'space.') from error


# --- The network's side: layers, their names in each kind of file, and their parameters.


class _Layer(NamedTuple):
    """A layer with parameters: what it is called in torchvision's, dotted Gluon's and the zoo's prefixed files."""

    layer: object
    name: str
    dotted: tuple
    zoo: str


def _layers(net):
    """The layers of `net` that have parameters, in the order of ``collect_params()``."""
    if not isinstance(net, DenseNet):
        raise TypeError(f'net must be a d2l_densenet.DenseNet, got {type(net).__name__}')
    per_layer = 1 if net.config['bottleneck'] is None else 2
    first = net._stem_layers  # where in `features` the first dense block is
    layers, block, transition = [], -1, 0
    for stage, parts in net.stages():
        if stage == 'stem':
            layers += [_Layer(layer, f'features.{kind}0', (f'features.{i}',), f'{zoo}0')
                       for i, (layer, (kind, zoo)) in enumerate(zip(parts, (('conv', 'conv'), ('norm', 'batchnorm'))))]
        elif stage.startswith('dense block'):
            block += 1
            at = f'features.{first + 2 * block}'
            for j, steps in enumerate(parts[0].net):
                for kind, zoo, layer, n in _numbered(steps):
                    # Layer and position: in our own files without and with dropout, and in the zoo's.
                    shift = 0 if kind == 'norm' else 2
                    dotted = (f'{at}.net.{j}.{3 * n + shift}', f'{at}.net.{j}.{4 * n + shift}',
                              f'{at}.{j}.1.{3 * n + shift}')
                    name = f'features.denseblock{block + 1}.denselayer{j + 1}.{kind}{n + 1}'
                    layers.append(_Layer(layer, name, dotted, f'stage{block + 1}_{zoo}{per_layer * j + n}'))
        elif stage.startswith('transition'):
            transition += 1
            at = f'features.{first + 2 * block + 1}'
            layers += [_Layer(layer, f'features.transition{transition}.{kind}', (f'{at}.{0 if kind == "norm" else 2}',),
                              f'{zoo}{transition}') for kind, zoo, layer, _ in _numbered(parts[0])]
        else:
            layers += [_Layer(parts[0], 'features.norm5', (f'features.{first + 2 * block + 1}',),
                              f'batchnorm{transition + 1}'), _Layer(net.output, 'classifier', ('output',), 'dense0')]
    return layers


def _numbered(steps):
    """Normalisations and convolutions among `steps`: (torchvision's kind, Gluon's kind, layer, number from 0)."""
    count = collections.Counter()
    for layer in steps:
        kind = ('norm', 'batchnorm') if isinstance(layer, nn.BatchNorm) else \
            ('conv', 'conv') if isinstance(layer, nn.Conv2D) else None
        if kind:
            yield (*kind, layer, count[kind])
            count[kind] += 1


def _endings(layer):
    """Parameters of a layer: (torchvision's ending, Gluon's ending, Parameter)."""
    if isinstance(layer, nn.BatchNorm):
        return [('weight', 'gamma', layer.gamma), ('bias', 'beta', layer.beta),
                ('running_mean', 'running_mean', layer.running_mean), ('running_var', 'running_var', layer.running_var)]
    return [(name, name, getattr(layer, name)) for name in ('weight', 'bias') if getattr(layer, name) is not None]


def _parameters(layers):
    """The parameters of `layers` by torchvision's names, in order."""
    parameters = {f'{layer.name}.{ending}': parameter for layer in layers
                  for ending, _, parameter in _endings(layer.layer)}
    for name, parameter in parameters.items():
        if numpy.dtype(parameter.dtype) not in (numpy.float16, numpy.float32, numpy.float64):
            raise TypeError(f"net must have parameters of float32, float16 or float64, {name} has {parameter.dtype}: "
                            "use net.cast('float32')")
    return parameters


def _fits(entry, parameter):
    """Whether `entry` has the shape of `parameter` (0 or -1 stands for a length not known yet) and floats."""
    return entry.flat is not None and entry.flat.dtype.kind == 'f' and len(entry.shape) == len(parameter.shape) and all(
        there == here or here <= 0 < there for there, here in zip(entry.shape, parameter.shape))


def _value(entry, parameter):
    """The values of `entry` in the type and shape that `parameter` takes."""
    with numpy.errstate(all='ignore'):  # what becomes infinite is looked for afterwards
        return entry.flat.reshape(entry.shape).astype(parameter.dtype)


def _current(parameter):
    """The values of `parameter` as a NumPy array: averaged over its devices, as Gluon saves them."""
    values = [array.asnumpy() for array in parameter.list_data()]
    return numpy.ascontiguousarray(values[0] if len(values) == 1 else numpy.mean(values, axis=0, dtype=values[0].dtype))


def _is_initialised(parameter):
    """Whether `parameter` has a device, and values or the promise of them."""
    try:
        return bool(parameter.list_ctx())
    except RuntimeError:
        return False


def _set(parameter, value, ctx):
    """Set `parameter`; on `ctx` if it was not initialised."""
    if not _is_initialised(parameter):
        parameter.shape = value.shape
        parameter.initialize(init='zeros', ctx=ctx)
    try:
        in_np = isinstance(parameter.list_data()[0], mx.np.ndarray)
    except RuntimeError:  # initialised, but waits for its first batch
        in_np = is_np_array()
    parameter.set_data((mx.np if in_np else mx.nd).array(value, dtype=value.dtype))


# --- Matching the names of a file with those of the network.

_WRAPPERS = re.compile(r'(?:arg:|aux:|(?:module|model|net|state_dict|_orig_mod)\.)*')
_OLD_TORCH = re.compile(r'(\.denselayer\d+\.(?:norm|conv))\.([12])\.')
_FLAT = re.compile(r'(?:(?:stage|denseblock|hybridsequential)\d+_)*(?:conv|batchnorm|dense)\d+_'
                   r'(?:weight|bias|gamma|beta|running_mean|running_var)$')


def _match(path, net, layers, parameters, entries):
    """Which entry belongs to which parameter: {torchvision's name: the file's name}, and the names left over."""
    dotted, own, zoo = {}, {}, {}
    for layer in layers:
        for ending, gluon, parameter in _endings(layer.layer):
            name = f'{layer.name}.{ending}'
            dotted.update({f'{start}.{gluon}': name for start in layer.dotted})
            own[parameter.name.removeprefix(net.prefix)] = name
            zoo[f'{layer.zoo}_{gluon}'] = name
    plain = {}  # without what wrappers, export and old versions put around or into a name
    for name in entries:
        short = name if len(name) <= _LONGEST_NAME else ''
        plain[name] = _OLD_TORCH.sub(r'\1\2.', short[_WRAPPERS.match(short).end():])
    tails = {name: _FLAT.search(short).group() for name, short in plain.items() if _FLAT.search(short)}
    # One number of a layer may mean different layers in the zoo's files and in ours. Only the zoo's have stages.
    flat = zoo if any(tail.startswith('stage') for tail in tails.values()) else own
    prefixes = collections.Counter(plain[name][:-len(tail)] for name, tail in tails.items())
    prefix = prefixes.most_common(1)[0][0] if prefixes else None
    found, unexpected = {}, []
    for name, short in plain.items():
        if short.rpartition('.')[2] == 'num_batches_tracked':
            continue
        known = short if short in parameters else dotted.get(short)
        if known is None and name in tails and short == prefix + tails[name]:
            known = flat.get(tails[name])
        if known is None:
            unexpected.append(name)
        elif known in found:
            raise CheckpointError(f'{path}: {shown(found[known])} and {shown(name)} are both {known}: expected one '
                                  'network in the file. Save the one that is wanted by itself.')
        else:
            found[known] = name
    return found, unexpected


def _few(texts):
    """At most ten of `texts`, in one line."""
    texts = list(texts)
    return ', '.join(texts[:10]) + (f' and {len(texts) - 10} more' if len(texts) > 10 else '')


def _misfit(path, source, plan, missing, unexpected, mismatched):
    """The text of the error about a file whose entries are not the network's parameters."""
    parts = []
    if missing:
        parts.append(f'{len(missing)} missing: {_few(missing)}')
    if unexpected:
        parts.append(f'{len(unexpected)} unexpected: {_few(map(shown, unexpected))}')
    if mismatched:
        shapes = (f'{name} is {there}, the network has {here}' for name, there, here in mismatched)
        parts.append(f'{len(mismatched)} of another shape or type: {_few(shapes)}')
    if not plan:
        remedy = 'Nothing in it fits: give the checkpoint of a DenseNet of this size.'
    elif not missing and not unexpected and all(name.startswith('classifier.') for name, _, _ in mismatched):
        remedy = ("Only the classifier differs: build the network with the file's number of classes, or pass "
                  "new_head=True to keep the network's own classifier.")
    else:
        remedy = ('Build the network that the file was made from (block_config, growth_rate, bottleneck, stem, bias, '
                  'in_channels, classes), or pass strict=False to load what fits.')
    return f'{path}: does not fit this network (read as {source}). ' + '. '.join(parts) + f'. {remedy}'


# --- The file's side: what it is, and its entries.


def _text_path(file):
    try:
        return os.path.expanduser(a_path('file', file))
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def _read(path):
    """What the file is and its entries {name: Entry}, whatever its ending."""
    try:
        if not os.path.isfile(path):
            found = 'is a directory or device, not a file' if os.path.exists(path) else 'is not there'
            raise CheckpointError(f'{path}: {found}. Give the path of a .safetensors, .pth, .pt or .params file.')
        with open(path, 'rb') as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > _params.MOST_BYTES:
                raise CheckpointError(f'{path}: has {size:,} bytes, expected at most {_params.MOST_BYTES:,}: not the '
                                      'weights of one DenseNet. Save the network alone.')
            data = stream.read(size)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f'{path!r}: cannot be read ({getattr(error, "strerror", None) or error}). Check the path '
                              'and its permissions.') from error
    # Before .params: eight bytes with the length of a header, which may be 274, their magic number.
    if data[4:9] == b'\0\0\0\0{':
        return 'safetensors', _read_safetensors(path, data)
    if data[:8] == _params.MAGIC:
        return 'Gluon params', _read_params(path, data)
    if data[:4] == b'PK\x03\x04':
        return 'PyTorch', _read_torch_zip(path, data)
    if data[:len(_LEGACY_MAGIC)] == _LEGACY_MAGIC:
        return 'PyTorch before 1.6', _read_torch_legacy(path, data)
    raise CheckpointError(f'{path}: {_what_is_it(data)}. Expected a checkpoint in safetensors, PyTorch (.pth) or Gluon '
                          f'(.params) format.')


_SIGNATURES = (
    (b'version https://git-lfs', 'is a Git LFS pointer, the file itself was not fetched: run "git lfs pull"'),
    (b'\x1f\x8b', 'is packed by gzip: unpack it first'), (b'BZh', 'is packed by bzip2: unpack it first'),
    (b'\xfd7zXZ', 'is packed by xz: unpack it first'), (b'\x28\xb5\x2f\xfd', 'is packed by zstd: unpack it first'),
    (b"7z\xbc\xaf'", 'is packed by 7-Zip: unpack it first'), (b'\x89HDF', 'is an HDF5 file, as Keras writes it'),
    (b'\x93NUMPY', 'is a single NumPy array'),
    (b'PK', 'is a zip archive that is empty or damaged at its start'),
    (b'\x80', 'is a Python pickle but not a checkpoint of torch.save; reading it could run any code'),
    (b'{', 'is a JSON text, perhaps the index or the symbol that belongs to the weights'),
)


def _what_is_it(data):
    """Say what a file that is no checkpoint is, from its first bytes."""
    if not data:
        return 'is empty'
    if data[:512].lstrip(b'\xef\xbb\xbf \t\r\n')[:1] == b'<':
        return 'is an HTML or XML page: a server answered with a page in place of the file'
    if data[257:262] == b'ustar':
        return 'is a tar archive: unpack it first, or if PyTorch before 0.4 wrote it save it again with a newer one'
    for start, text in _SIGNATURES:
        if data.startswith(start):
            return text
    if not any(data[:4096]):
        return 'begins with nothing but zeros, as after a download that stopped'
    return f'is of no known format, its first bytes are {data[:16]!r}'


# Their names for the types.
_SAFETENSORS_TYPES = {'F64': 'float64', 'F32': 'float32', 'F16': 'float16', 'BF16': 'bfloat16', 'I64': 'int64',
                      'I32': 'int32', 'I16': 'int16', 'I8': 'int8', 'U64': 'uint64', 'U32': 'uint32',
                      'U16': 'uint16', 'U8': 'uint8', 'BOOL': 'bool'}


def _damaged(path, what, reason):
    return CheckpointError(f'{path}: looks like {what}, but is cut off or damaged ({shown(str(reason), 200)}). '
                           f'{_AGAIN}')


def _import_safetensors(path):
    try:
        import safetensors
    except ImportError:
        raise CheckpointError(f'{path}: is a safetensors file, for which the package safetensors is missing: run '
                              '"pip install safetensors"') from None
    return safetensors


def _import_torch(path):
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of it cannot be loaded
        raise CheckpointError(f'{path}: is a PyTorch file, for which PyTorch is needed ({error}). Run "pip install '
                              'torch", or use a .safetensors file, which needs no PyTorch.') from None
    return torch


def _read_safetensors(path, data):
    safetensors = _import_safetensors(path)
    try:
        arrays = safetensors.deserialize(data)
    except Exception as error:  # SafetensorError, or whatever else the header provokes
        raise _damaged(path, 'a safetensors file', str(error)) from error
    entries = {}
    for name, array in arrays:
        shape, dtype = tuple(array['shape']), _SAFETENSORS_TYPES.get(array['dtype'])
        entries[name] = entry(shape, dtype, array['data']) if dtype else Entry(shape, array['dtype'])
    return entries


def _read_params(path, data):
    try:
        return _params.read_params(data)
    except _params.NamelessError as error:
        raise CheckpointError(f'{path}: {error}') from None
    except ValueError as error:
        raise _damaged(path, 'a Gluon .params file', error) from error


# --- PyTorch: a pickle that names storages, and their bytes; in a zip archive, or one after the other before 1.6.

# The pickled number 0x1950a86a20f9469cfc6c.
_LEGACY_MAGIC = b'\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'
_ITEM_SIZES = {'Double': 8, 'Float': 4, 'Half': 2, 'BFloat16': 2, 'Long': 8, 'Int': 4, 'Short': 2, 'Char': 1,
               'Byte': 1, 'Bool': 1, 'ComplexFloat': 8, 'ComplexDouble': 16}
_PUSHES_ITS_ARGUMENT = {'BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'BINUNICODE', 'SHORT_BINSTRING'}
_PUSHES = {'NONE': lambda: None, 'NEWTRUE': lambda: True, 'NEWFALSE': lambda: False, 'EMPTY_TUPLE': tuple,
           'EMPTY_LIST': list, 'EMPTY_DICT': dict}


class _Refused(Exception):
    """A checkpoint of PyTorch that is damaged, or holds what no plain checkpoint does."""


class _Global(str):
    """The name of a class or function in a pickle. It stays a name."""


class _Storage(NamedTuple):
    key: str
    kind: str
    numel: int

    @property
    def size(self):
        return self.numel * _ITEM_SIZES[self.kind]


class _Tensor(NamedTuple):
    """Stands for a tensor of the pickle, whose extent has been checked. `kind` says how it may be built upon."""

    kind: str = 'tensor'


def _whole(value, most=2 ** 62):
    """`value` if it is an integer from 0 to `most`."""
    if type(value) is not int or not 0 <= value <= most:
        raise _Refused('a size that is no whole number or is out of range')
    return value


def _follow(stream, storages):
    """Follow a pickle to its end without making anything that it names.

    It does what the unpickler behind ``weights_only=True`` does, of which it takes only what a dictionary of tensors
    and numbers needs, and checks what that does not: that a storage is stored with one size, and that a tensor
    lies within its storage (``Tensor.set_`` enlarges the storage to whatever the file says, with memory as
    it happens to be).

    Parameters
    ----------
    stream : io.BytesIO
        At the start of the pickle; afterwards after its end.
    storages : dict
        Gets a _Storage for each key.
    """
    stack, outer, memo = [], [], {}
    for i, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        op = opcode.name
        if i > _MOST_OPCODES:
            raise _Refused('a pickle without end')
        if op in _PUSHES_ITS_ARGUMENT:
            stack.append(argument)
        elif op in _PUSHES:
            stack.append(_PUSHES[op]())
        elif op in ('BINPUT', 'LONG_BINPUT'):
            memo[argument] = stack[-1]
        elif op in ('BINGET', 'LONG_BINGET'):
            stack.append(memo[argument])
        elif op == 'GLOBAL':
            stack.append(_Global(argument))
        elif op == 'MARK':
            outer.append(stack)
            stack = []
        elif op in ('TUPLE', 'SETITEMS', 'APPENDS'):
            items, stack = stack, outer.pop()
            if op == 'TUPLE':
                stack.append(tuple(items))
            elif op == 'SETITEMS':
                _fill(stack[-1], items)
            else:
                _list(stack[-1]).extend(items)
        elif op in ('TUPLE1', 'TUPLE2', 'TUPLE3'):
            items = [stack.pop() for _ in range(int(op[-1]))]
            stack.append(tuple(reversed(items)))
        elif op == 'SETITEM':
            value, key = stack.pop(), stack.pop()
            _fill(stack[-1], [key, value])
        elif op == 'APPEND':
            value = stack.pop()
            _list(stack[-1]).append(value)
        elif op == 'REDUCE':
            arguments, function = stack.pop(), stack.pop()
            stack.append(_called(function, arguments))
        elif op == 'NEWOBJ':
            raise _Refused(_stranger(stack[-2]))
        elif op == 'BUILD':
            state = stack.pop()
            stack[-1] = _built(stack[-1], state)
        elif op == 'BINPERSID':
            stack.append(_stored(stack.pop(), storages))
        elif op == 'PROTO':
            if argument != 2:
                raise _Refused(f'pickle protocol {argument}, expected 2')
        elif op == 'STOP':
            return stack.pop()
        else:
            raise _Refused(f'the pickle opcode {op}')


def _list(target):
    if type(target) is not list:
        raise _Refused('an item for what is no list')
    return target


def _fill(target, items):
    """Set the items [key, value, key, value, ...] in a dictionary."""
    if type(target) is not dict or len(items) % 2:
        raise _Refused('an item for what is no dictionary')
    for key in items[::2]:
        # Other keys are not in checkpoints, and finding the hash of a nested tuple can take for ever.
        if type(key) not in (str, int):
            raise _Refused('a key that is no text')
    target.update(zip(items[::2], items[1::2]))


def _stranger(function):
    name = shown(function.replace(' ', '.')) if type(function) is _Global else 'an object'
    return f'{name}, which is neither a tensor nor a dictionary'


def _called(function, arguments):
    """What a call in the pickle stands for. It is not made."""
    if type(function) is not _Global or type(arguments) is not tuple:
        raise _Refused('a call of what is no function')
    if function in ('collections OrderedDict', 'collections Counter'):
        result = {}
        for items in arguments[:1]:
            if type(items) is dict:
                result.update(items)
            else:
                for pair in _list(items):
                    _fill(result, [*pair] if type(pair) in (list, tuple) else [pair])
        return result
    if function in ('torch._utils _rebuild_tensor_v2', 'torch._utils _rebuild_tensor') and len(arguments) >= 4:
        _check_tensor(*arguments[:4])
        _check_flags(arguments[4:])
        return _Tensor()
    if function in ('torch._utils _rebuild_parameter', 'torch.nn.parameter Parameter') and arguments:
        if type(arguments[0]) is not _Tensor:
            raise _Refused('a parameter that is no tensor')
        _check_flags(arguments[1:])
        return _Tensor('parameter')
    if re.fullmatch('torch [A-Z][a-z]+Tensor', function) and not arguments:  # PyTorch before 0.2
        return _Tensor('blank')
    raise _Refused(_stranger(function))


def _built(target, state):
    """What `target` is once it has `state`."""
    if type(target) is dict and type(state) is dict:  # the _metadata of an OrderedDict
        return target
    if type(target) is _Tensor and type(state) is tuple:
        if target.kind == 'blank' and len(state) == 4:
            _check_tensor(*state)
            return _Tensor()
        if target.kind == 'parameter' and len(state) == 3:  # PyTorch before 0.4
            _check_flags(state)
            return target
    raise _Refused('an object with a state of its own')


def _check_tensor(storage, offset, size, stride):
    """Refuse a tensor that does not lie within its storage."""
    if type(storage) is not _Storage or type(size) is not tuple or type(stride) is not tuple:
        raise _Refused('a tensor without a storage or shape')
    if len(size) != len(stride) or len(size) > _params.MOST_AXES:
        raise _Refused('a tensor with a wrong number of axes')
    numel = math.prod(_whole(length, storage.numel) for length in size)
    last = _whole(offset) + sum((length - 1) * _whole(step) for length, step in zip(size, stride))
    # The first: tensors that repeat the elements of a smaller storage would unfold to any size.
    if numel > storage.numel or last >= storage.numel and numel or offset > storage.numel:
        raise _Refused(f'a tensor of {numel:,} elements that leaves its storage of {storage.numel:,}')


def _check_flags(values):
    """Refuse what follows a tensor if it is more than flags and empty hooks and metadata."""
    if any(value is not None and type(value) is not bool and value != {} for value in values):
        raise _Refused('a tensor with hooks or metadata')


def _stored(reference, storages):
    """The storage that a persistent id ('storage', class, key, device, elements) names."""
    if type(reference) is not tuple or len(reference) not in (5, 6) or reference[5:] not in ((), (None,)):
        raise _Refused('a reference to what is no storage, or to a part of one')
    word, kind, key, device, numel = reference[:5]
    if word != 'storage' or type(kind) is not _Global or type(key) is not str or type(device) is not str:
        raise _Refused('a reference to what is no storage')
    name = re.fullmatch('torch ([A-Za-z0-9]+)Storage', kind)
    if not name or name[1] not in _ITEM_SIZES or not re.fullmatch('[0-9]{1,20}', key):
        raise _Refused(f'a storage of the type {shown(kind)}')
    storage = _Storage(key, name[1], _whole(numel))
    if storages.setdefault(key, storage) != storage:
        raise _Refused('a storage with two sizes or types')
    return storage


def _guarded(path, check):
    """Call `check`, with every way in which a damaged checkpoint of PyTorch can fail made a CheckpointError."""
    try:
        return check()
    except CheckpointError:
        raise
    except _Refused as error:
        raise CheckpointError(f'{path}: is a PyTorch file that is damaged or holds more than weights: it has {error}. '
                              'Save net.state_dict() alone with a current PyTorch, or convert it to .safetensors '
                              'where it can be trusted.') from error
    except Exception as error:  # zipfile, pickletools and torch raise dozens of kinds
        raise _damaged(path, 'a PyTorch file', f'{type(error).__name__}: {error}') from error


def _read_torch_zip(path, data):
    return _load_torch(path, _guarded(path, lambda: _checked_zip(path, data)))


def _read_torch_legacy(path, data):
    return _load_torch(path, _guarded(path, lambda: _checked_legacy(data)))


def _checked_zip(path, data):
    """The archive written anew, with nothing in it but the pickle and the storages that it names, all checked."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in infos if name.endswith('/data.pkl')]
        if len(pickles) != 1 or any(name.endswith('/constants.pkl') for name in infos):
            found = 'a TorchScript program' if any(name.endswith('/constants.pkl') for name in infos) else \
                'a NumPy .npz file' if any(name.endswith('.npy') for name in infos) else \
                'a zip archive that torch.save has not written'
            raise CheckpointError(f'{path}: is {found}. Expected the state_dict() of a DenseNet.')
        root = pickles[0][:-len('data.pkl')]

        def member(name):
            info = infos[root + name]
            # torch.save does not compress. So no part is larger than the file, or becomes so when it is unpacked.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data):
                raise _Refused(f'a compressed or too large part {shown(name)}')
            return archive.read(info)  # checks the CRC

        pickle, storages = member('data.pkl'), {}
        stream = io.BytesIO(pickle)
        _follow(stream, storages)
        if sum(storage.size for storage in storages.values()) > len(data):
            raise _Refused('storages larger than the file')
        parts = {'data.pkl': pickle, 'version': b'3\n'}
        if root + 'byteorder' in infos:
            parts['byteorder'] = member('byteorder')
        for storage in storages.values():
            part = f'data/{storage.key}'
            stored = infos[root + part].file_size
            if stored != storage.size:
                raise _Refused(f'a storage of {stored:,} bytes where {storage.size:,} are claimed')
            parts[part] = member(part)
    checked = io.BytesIO()
    with zipfile.ZipFile(checked, 'w') as archive:
        for name, content in parts.items():
            archive.writestr(f'archive/{name}', content)
    checked.seek(0)
    return checked


def _checked_legacy(data):
    """The file of PyTorch before 1.6 as it is, after its pickles and all its storages have been followed."""
    stream, storages = io.BytesIO(data), {}
    for _ in range(3):  # magic number, protocol, machine
        _follow(stream, {})
    _follow(stream, storages)
    keys = _follow(stream, {})
    if sorted(_list(keys)) != sorted(storages):
        raise _Refused('storages without bytes, or bytes without a storage')
    for key in keys:
        numel = int.from_bytes(stream.read(8), 'little', signed=True)
        if numel != storages[key].numel or storages[key].size > len(data) - stream.tell():
            raise _Refused(f'a storage of {storages[key].size:,} bytes, {len(data) - stream.tell():,} are left')
        stream.seek(storages[key].size, os.SEEK_CUR)
    if stream.tell() != len(data):
        raise _Refused(f'{len(data) - stream.tell():,} bytes after its end')
    return io.BytesIO(data)


def _load_torch(path, checked):
    """The entries of a checkpoint that has been checked."""
    torch = _import_torch(path)

    def load():
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return torch.load(checked, map_location='cpu', weights_only=True)

    entries = {}
    for name, tensor in _state_dict(path, _guarded(path, load)).items():
        if not isinstance(tensor, torch.Tensor):
            entries[str(name)] = Entry((), type(tensor).__name__)
            continue
        flat = tensor.detach().reshape(-1)
        flat = flat.float() if flat.dtype == torch.bfloat16 else flat
        entries[str(name)] = Entry(tuple(tensor.shape), str(tensor.dtype).removeprefix('torch.'), flat.numpy())
    return entries


def _state_dict(path, saved):
    """The dictionary of tensors in what torch.load returned, out of the usual wrappers."""
    for _ in range(3):
        if not isinstance(saved, dict):
            break
        inner = [saved[key] for key in ('state_dict', 'model_state_dict', 'model', 'net') if
                 isinstance(saved.get(key), dict)]
        if not inner:
            if any(hasattr(value, 'dtype') for value in saved.values()):
                return saved
            break
        saved = inner[0]
    found = f'an object of type {type(saved).__name__}' if not isinstance(saved, dict) else \
        f'a dictionary of {_few(shown(str(key)) for key in saved) or "nothing"}'
    raise CheckpointError(f'{path}: expected a dictionary of tensors, by itself or under state_dict or model, found '
                          f'{found}. Save net.state_dict().')
