"""Weights from elsewhere and for elsewhere: the DenseNet checkpoints of torchvision, timm, MONAI and Gluon's zoo.

Everything in a file is checked before the first parameter is set.
"""

import dataclasses
import os

import mxnet as mx
import numpy
from mxnet.util import is_np_array

from .._common.arguments import switch
from .._common.disk import a_path, replace_file
from .._common.params import shown
from . import torch_files
from .files import CheckpointError, read
from .names import COUNTERS, Network, layers_of, networks_in, parameters_of

__all__ = ['CheckpointError', 'LoadReport', 'load_pretrained', 'save_torch']


@dataclasses.dataclass(frozen=True, repr=False)
class LoadReport:
    """What `load_pretrained` did. Parameters of the network have torchvision's names here.

    Attributes
    ----------
    source : str
        What the file is: ``'safetensors'``, ``'PyTorch'``, ``'PyTorch before 1.6'`` or ``'Gluon params'``.
    loaded, kept, missing : tuple of str
        Parameters that were set; those of the classifier that ``new_head=True`` kept; those that the file lacks.
    unexpected : tuple of str
        Entries of the file, under its own names, that are no parameter of the network.
    mismatched : tuple of (str, str, str)
        Parameters with another shape or type in the file: the name, what the file has, what the network has.
    part : str
        Where in the file the weights are: keys and prefixes such as ``'state_dict.module'``, or ``''``.
    """

    source: str
    loaded: tuple
    kept: tuple = ()
    missing: tuple = ()
    unexpected: tuple = ()
    mismatched: tuple = ()
    part: str = ''

    def __repr__(self):
        counts = ', '.join(f'{name}={len(getattr(self, name))}' for name in (
            'loaded', 'kept', 'missing', 'unexpected', 'mismatched'))
        part = f', part={self.part!r}' if self.part else ''
        return f'LoadReport(source={self.source!r}, {counts}{part})'


def load_pretrained(net, file, new_head=False, strict=True, part=None):
    """Load a DenseNet checkpoint of torchvision, timm, MONAI, Gluon's model zoo or this package into `net`.

    Its content decides how the file is read, not its name: safetensors, PyTorch's (.pth, .pt), or Gluon's .params. None
    of them needs PyTorch. Names may be torchvision's (new or old), MONAI's, those of ``save_parameters`` (dotted) or
    those of ``collect_params().save`` and ``export`` (with a prefix), below any keys and prefixes (``state_dict``,
    ``module.``, ``backbone.``). PyTorch's counters (``num_batches_tracked``) are passed over.

    The parameters keep their device and type; those that are not initialized get the device of the others, or
    ``mx.cpu()``. float64 is rounded to float32, integers are refused.

    Parameters
    ----------
    net : DenseNet
        The network, in either array mode.
    file : str or os.PathLike
        The checkpoint.
    new_head : bool, default False
        Leave the classifier as it is, whatever the file has: for another number of classes. It must be initialized.
    strict : bool, default True
        Refuse the file unless each entry and each parameter has its counterpart. False: load what fits.
    part : str, optional
        Which weights to take of several: the keys and prefixes that lead to them, such as ``'state_dict_ema'``.

    Returns
    -------
    LoadReport

    Raises
    ------
    TypeError
        If `net` is not a `DenseNet`, or was cast to a type that NumPy lacks.
    CheckpointError
        A ValueError: the file cannot be read or trusted, has NaN, infinity or a negative variance, holds several
        networks and `part` does not say which, or does not fit. The network is then as it was.

    Examples
    --------
    >>> import tempfile
    >>> from d2l_densenet import DenseNet
    >>> trained, net = DenseNet(4, (2, 2), 8), DenseNet(4, (2, 2), 8, classes=3)
    >>> trained.initialize(), net.initialize()
    (None, None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trained.save_parameters(f'{folder}/trained.params')
    ...     report = load_pretrained(net, f'{folder}/trained.params', new_head=True)
    >>> len(report.loaded), report.kept
    (40, ('classifier.weight', 'classifier.bias'))
    """
    new_head, strict = switch('new_head', new_head), switch('strict', strict)
    layers = layers_of(net)
    path = a_path('file', file)
    if new_head and not _is_initialized(net.output.weight):
        raise CheckpointError('new_head=True keeps the classifier, which has no values: call net.initialize() first')
    parameters = parameters_of(net, layers)
    source, found, used = _in_file(net, layers, path, part)
    plan, kept, missing, mismatched = {}, [], [], []
    for name, parameter in parameters.items():
        entry = found.entries.get(found.names.get(name))
        if new_head and name.startswith('classifier.'):
            kept.append(name)
        elif entry is None:
            missing.append(name)
        elif _fits(entry, parameter):
            with numpy.errstate(all='ignore'):  # what becomes infinite is looked for below
                plan[name] = entry.values.reshape(entry.shape).astype(parameter.dtype)
        else:
            mismatched.append((name, str(entry), f'{numpy.dtype(parameter.dtype).name} {parameter.shape}'))
    unexpected = [name for name in found.entries if name not in used and name.rpartition('.')[2] not in COUNTERS]
    if strict and (missing or unexpected or mismatched) or not plan:
        raise CheckpointError(f'{path}: does not fit this network (read as {source}). ' + _misfit(
            len(plan), missing, unexpected, mismatched))
    for name, value in plan.items():
        bad = 'NaN or infinity' if not numpy.isfinite(value).all() else \
            'a negative variance' if name.endswith('running_var') and (value < 0).any() else None
        if bad:
            raise CheckpointError(f'{path}: {shown(found.names[name])} has {bad} as {value.dtype.name}, expected '
                                  'numbers to compute with. Give a checkpoint of a training that did not diverge.')
    for layer in layers:
        scale = plan.get(f'{layer.name}.weight') if getattr(layer.layer, '_kwargs', {}).get('fix_gamma') else None
        if scale is not None and (scale != 1).any():
            raise CheckpointError(f'{path}: {layer.name}.weight has other scales than 1, which the '
                                  'BatchNorm(scale=False) of this network would ignore. Give it one with scale=True.')
    ctx = next((parameter.list_ctx() for parameter in parameters.values() if _is_initialized(parameter)), mx.cpu())
    for name, value in plan.items():
        _set(parameters[name], value, ctx)
    return LoadReport(source, *map(tuple, (plan, kept, missing, unexpected, mismatched)), found.label)


def sizes_in(net, file, part=None):
    """(image channels, classes) of the network in a file for `load_pretrained`; None for what it does not say."""
    _, found, _ = _in_file(net, layers_of(net), a_path('file', file), part)
    shapes = {name: found.entries[entry].shape for name, entry in found.names.items()}
    stem, head = shapes.get('features.conv0.weight', ()), shapes.get('classifier.weight', ())
    return stem[1] if len(stem) == 4 else None, head[0] if head else None


def save_torch(net, file):
    """Write the parameters and running statistics of `net` under torchvision's names, for PyTorch.

    For a BC network of three-channel images with the ImageNet stem and a compression of 0.5 these are the names and
    shapes of torchvision's ``DenseNet``, which loads the file with ``load_state_dict``. Other networks extend them:
    ``features.conv0`` and ``norm0`` (the CIFAR stem has no ``norm0``), ``denseblockI.denselayerJ`` with ``norm1``,
    ``conv1`` and, if there is a bottleneck, ``norm2``, ``conv2``, ``transitionI`` with ``norm``, ``conv``, ``norm5``,
    and ``classifier``. Values are kept to the bit, those of several devices averaged.

    Parameters
    ----------
    net : DenseNet
        The network, initialized.
    file : str or os.PathLike
        Ends in ``.safetensors``, ``.pth`` or ``.pt``. It is replaced as a whole or not at all.

    Raises
    ------
    TypeError
        If `net` is not a `DenseNet`, or was cast to a type that NumPy lacks.
    CheckpointError
        A ValueError: another ending, a network that is not initialized or not finite, a place that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from d2l_densenet import DenseNet
    >>> net = DenseNet(4, (2, 2), 8)
    >>> net.initialize()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_torch(net, f'{folder}/small.pth')
    ...     load_pretrained(net, f'{folder}/small.pth')
    LoadReport(source='PyTorch', loaded=42, kept=0, missing=0, unexpected=0, mismatched=0)
    """
    parameters = parameters_of(net, layers_of(net))
    path = a_path('file', file)
    ending = os.path.splitext(path)[1]
    if ending not in ('.safetensors', '.pth', '.pt'):
        raise CheckpointError(f'file must end in .safetensors, .pth or .pt, got {path!r}')
    own = [name for name in parameters if not name.startswith(('features.', 'classifier.'))]
    if own:
        raise CheckpointError(f'torchvision has no names for {_few(own)}, which its DenseNet lacks: use '
                              'net.save_parameters')
    mx.nd.waitall()  # oneDNN may be rearranging weights, for which asnumpy does not wait
    try:
        values = {name: _current(parameter) for name, parameter in parameters.items()}
    except RuntimeError:
        raise CheckpointError('net has parameters without values: call net.initialize() or load some first') from None
    bad = next((name for name, value in values.items() if not numpy.isfinite(value).all()), None)
    if bad:
        raise CheckpointError(f'parameter {bad} of net has NaN or infinity: load_pretrained would refuse the file')
    try:
        if ending == '.safetensors':
            from safetensors.numpy import save  # here, as in `files`, because most programs do without
            content = save(values, metadata={'format': 'pt'})
        else:
            content = torch_files.write(values)
        replace_file(path, content)
    except OSError as error:
        raise CheckpointError(f'{path}: cannot be written ({error.strerror or error}). Choose another place or free '
                              'the space.') from error


def _in_file(net, layers, path, part):
    """How a file was read, the network in it that is meant, and the names that are used or not wanted."""
    if part is not None and not isinstance(part, str):
        raise TypeError(f'part must be a text or None, got {part!r:.100}')
    source, parts = read(path)
    try:
        return source, *_the_one(networks_in(parts, net, layers), parts, part)
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from None


def _fits(entry, parameter):
    """Whether `entry` has the shape of `parameter` (0 or -1 stands for a length not known yet) and floats."""
    return entry.values is not None and entry.values.dtype.kind == 'f' and len(entry.shape) == len(
        parameter.shape) and all(there == here or here <= 0 < there
                                 for there, here in zip(entry.shape, parameter.shape))


def _current(parameter):
    """The values of `parameter` as a NumPy array: averaged over its devices, as Gluon saves them."""
    values = [array.asnumpy() for array in parameter.list_data()]
    return numpy.ascontiguousarray(values[0] if len(values) == 1 else numpy.mean(values, axis=0, dtype=values[0].dtype))


def _is_initialized(parameter):
    """Whether `parameter` has a device, and values or the promise of them."""
    try:
        return bool(parameter.list_ctx())
    except RuntimeError:
        return False


def _set(parameter, value, ctx):
    """Set `parameter`; on `ctx` if it was not initialized."""
    if not _is_initialized(parameter):
        parameter.shape = value.shape
        parameter.initialize(init='zeros', ctx=ctx)
    try:
        in_np = isinstance(parameter.list_data()[0], mx.np.ndarray)
    except RuntimeError:  # initialized, but waits for its first batch
        in_np = is_np_array()
    parameter.set_data((mx.np if in_np else mx.nd).array(value, dtype=value.dtype))


def _the_one(networks, parts, part):
    """The network of a file that is meant; the names in its dictionary that have been used or are not wanted."""
    wanted = [network for network in networks if part is None or f'{network.label}.'.startswith(f'{part}.')]
    # Some layers of another network have these names too; half of them, and it is one that somebody may want.
    wanted = [network for network in wanted if 2 * len(network.names) >= len(wanted[0].names)]
    labels = [shown(repr(network.label)) for network in wanted or networks]
    if part is not None and not wanted:
        raise CheckpointError(f'has no network under part={part!r:.100}. Those in it: {_few(labels) or "none"}.')
    if len(wanted) > 1:
        raise CheckpointError(f'holds {len(wanted)} networks, under {_few(labels)}: say which one to load, such as '
                              f'part={labels[-1]} (ema usually stands for a moving average).')
    if not wanted:
        return Network('', {}, max(parts.values(), key=len)), set()
    beside = wanted[:1] if part is None else [other for other in networks if other.entries is wanted[0].entries]
    return wanted[0], {name for network in beside for name in network.names.values()}


def _few(texts):
    """At most ten of `texts`, in one line."""
    return ', '.join(texts[:10]) + (f' and {len(texts) - 10} more' if len(texts) > 10 else '')


def _misfit(fitting, missing, unexpected, mismatched):
    """What does not fit, and what to do about it."""
    shapes = [f'{name} is {there}, the network has {here}' for name, there, here in mismatched]
    told = {'missing': missing, 'unexpected': [*map(shown, unexpected)], 'of another shape or type': shapes}
    parts = [f'{len(names)} {what}: {_few(names)}' for what, names in told.items() if names]
    lacking = [*missing, *(name for name, _, _ in mismatched)]
    head = 'new_head=True' + (' and strict=False' if unexpected else '')
    if not fitting:
        remedy = 'Nothing in it fits: give the checkpoint of a DenseNet of this size.'
    elif not lacking:
        remedy = 'It has all parameters of the network: pass strict=False to load them and leave out the rest.'
    elif not all(name.startswith('classifier.') for name in lacking):
        remedy = ('Build the network that the file was made from (block_config, growth_rate, bottleneck, stem, bias, '
                  f'in_channels, classes). strict=False would load {fitting} parameters, leave {len(lacking)} as they '
                  'are, and compute something else than the network in the file.')
    elif mismatched:
        remedy = (f"Only the classifier differs: build the network with the file's number of classes, or pass {head} "
                  "to keep the network's own classifier.")
    else:
        remedy = f"It has no classifier: pass {head} to keep the network's own."
    return '. '.join(parts) + f'. {remedy}'
