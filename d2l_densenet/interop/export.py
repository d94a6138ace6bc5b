"""A network as files for other programs: MXNet's symbol and parameters, and ONNX.

Nothing is written that was not first read back, run, and found to give the network's own scores.
"""

import json
import math
import os
import pathlib
import re
import shutil
import tempfile
import warnings
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import mxnet as mx
import numpy
from mxnet.base import MXNetError
from mxnet.util import np_array, np_shape

from .._common.arguments import MOST_ELEMENTS
from .._common.disk import a_path
from .._common.engine import settled
from ..analysis.counting import _check_shape, _input_size, _left_as_found
from ..named import from_config
from ..network import DenseNet
from ..resnets import ResNet

__all__ = ['ExportError', 'Exported', 'export_model']

#: The formats, each with the files it consists of.
FORMATS = {'mxnet': ('{}-symbol.json', '{}-0000.params'), 'onnx': ('{}.onnx',)}

#: Largest difference that the check allows, as a share of the largest score.
TOLERANCE = 1e-5

# MXNet 1.9.1 translates to ONNX's operator set 13 but labels the file with the newest set that the installed onnx
# knows. The operators used here mean the same in set 15, which runtimes have had since 2021, and from 14 on batch
# normalisation says whether it is in training. (Below, that follows from the number of its outputs, and ONNX's own
# reference implementation takes it for training.)
_OPSET = 15
_INPUT, _OUTPUT, _BATCH = 'data', 'scores', 'batch'
_BATCH_SIZES = (1, 3)
_INSTALL = 'make env, or pip install onnx onnxruntime'


class ExportError(ValueError):
    """A network that cannot be exported, or whose files do not give its scores."""


class Exported(NamedTuple):
    """What `export_model` wrote, and how well it agrees with the network."""

    #: The files, as a list of pathlib.Path.
    files: list
    #: For each format the largest difference that was found, as a share of the largest score.
    differences: dict


def export_model(net, directory, input_shape=(1, 48, 48), formats=('mxnet', 'onnx'), name='densenet'):
    """Write a network as files that run without this package.

    ``'mxnet'`` writes ``NAME-symbol.json`` and ``NAME-0000.params``, for ``mx.gluon.SymbolBlock.imports`` in classic nd
    mode. ``'onnx'`` writes ``NAME.onnx`` (operator set 15), for onnxruntime and others. Both take any number of images
    a call (``data``, float32, scaled as in training) and give the scores before the softmax (``scores`` in ONNX).

    The files are read back and run on random images, one and three at a time: MXNet's in MXNet, ONNX's in
    onnxruntime. No score may differ from the network's by more than 1e-5 of the largest. Only then do they appear in
    `directory`, each whole, in the place of files of the same name.

    The network may be in either array mode, hybridized or not, and stays as it was. It is exported for inference:
    batch normalisation uses the running statistics, dropout does nothing.

    Parameters
    ----------
    net : DenseNet or ResNet
        With values: initialised, loaded or trained.
    directory : str or pathlib.Path
        Made if it is not there.
    input_shape : sequence of int, default (1, 48, 48)
        Shape (C, H, W) of one image. ONNX fixes it. A symbol of MXNet takes other sizes too, but its transitions
        round odd sizes as this one needs it.
    formats : sequence of {'mxnet', 'onnx'}, default both
    name : str, default 'densenet'
        What the file names begin with: letters, digits, ``_``, ``-`` and ``.``.

    Returns
    -------
    Exported
        ``files``, a list of paths, and ``differences``, for each format the largest difference found by the check.

    Raises
    ------
    TypeError
        If `net` is neither a DenseNet nor what `resnet` makes.
    ValueError
        If another argument is wrong, or `input_shape` does not fit the network.
    ExportError
        A ValueError: if the network has no values, or others than float32; if onnx or onnxruntime is missing; if a file
        cannot be written; if the check fails. No file is left behind.

    Examples
    --------
    >>> net = DenseNet(8, (2, 2))
    >>> net.initialize()
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     exported = export_model(net, directory, formats=['mxnet'], name='small')
    >>> [path.name for path in exported.files], exported.differences['mxnet'] < 1e-5
    (['small-symbol.json', 'small-0000.params'], True)
    """
    if not isinstance(net, (DenseNet, ResNet)):
        raise TypeError(f'net must be a DenseNet or a ResNet of this package, got {type(net).__name__}')
    input_shape = _check_shape(net, input_shape)
    if isinstance(net, DenseNet):
        net.stage_sizes(*input_shape[1:])
    formats = _check_formats(formats)
    if not isinstance(name, str) or not re.fullmatch(r'\w[\w.-]*', name, re.ASCII):
        raise ValueError('name must consist of letters, digits, "_", "-" and "." and begin with none of the last two, '
                         f'got {name!r}')
    if 'onnx' in formats:
        _check_packages()
    settled('export_model')
    directory = pathlib.Path(a_path('directory', directory))
    if math.prod(input_shape) * max(_BATCH_SIZES) > MOST_ELEMENTS:
        raise ValueError(f'input_shape must be smaller, got {input_shape}: MXNet counts to {MOST_ELEMENTS:,} elements')
    values = _values(net)
    symbol, values = _graph(net, values, input_shape)
    images = [numpy.random.RandomState(size).standard_normal((size, *input_shape)).astype('float32')
              for size in _BATCH_SIZES]
    scores = _scores(net, images)

    files = [pattern.format(name) for kind in formats for pattern in FORMATS[kind]]
    # Files are made beside their place, so that moving them there is one step each.
    try:
        existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
        staging = pathlib.Path(tempfile.mkdtemp(prefix='.export-', dir=existing))
        try:
            for kind in formats:
                _WRITERS[kind](staging / name, symbol, values, input_shape, net.config)
            differences = {kind: _difference(kind, scores, _RUNNERS[kind](staging / name, images)) for kind in formats}
            for file in files:
                with open(staging / file, 'rb') as written:
                    os.fsync(written.fileno())
            for file in files:
                if (directory / file).is_dir():
                    raise OSError(f'{file} is a directory there')
            directory.mkdir(parents=True, exist_ok=True)
            for file in files:
                os.replace(staging / file, directory / file)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise ExportError(f'cannot write {", ".join(files)} to {directory}: {error.strerror or error}; choose another '
                          'directory or free the space') from error
    return Exported([directory / file for file in files], differences)


def _check_formats(formats):
    known = ', '.join(repr(kind) for kind in FORMATS)
    try:
        chosen = [] if isinstance(formats, str) else list(formats)
        if not chosen or any(kind not in FORMATS for kind in chosen):
            raise TypeError
    except TypeError:
        raise ValueError(f'formats must be a sequence of one or more of {known}, got {formats!r}') from None
    return list(dict.fromkeys(chosen))


def _check_packages():
    """Raise ExportError unless onnx, in a version that MXNet 1.9.1 can use, and onnxruntime are there."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ExportError(f'the format onnx needs the packages onnx and onnxruntime ({error}): {_INSTALL}, or leave '
                          'onnx out of the formats') from error
    try:
        import onnx.mapping  # noqa: F401
    except ImportError as error:
        raise ExportError(f'MXNet {mx.__version__} writes ONNX with onnx 1.16 to 1.18, and onnx {onnx.__version__} is '
                          f'installed: {_INSTALL}') from error
    if 'Convolution' not in mx.onnx.get_operator_support():
        raise ExportError('onnx was installed after MXNet was imported: restart Python (in a notebook, the kernel)')


@contextmanager
def _array_mode(np_on):
    """One of the two array modes, and afterwards the mode that was on."""
    # MXNet refuses np mode's arrays without its shapes, also for the moment between two scopes.
    scopes = (np_shape, np_array) if np_on else (np_array, np_shape)
    with scopes[0](np_on), scopes[1](np_on):
        yield


def _values(net):
    """The parameters' values on the CPU and in nd mode, by the names that `save_parameters` gives them."""
    values = {}
    mx.nd.waitall()  # see training._snapshot
    for name, parameter in net._collect_params_with_prefix().items():
        if numpy.dtype(parameter.dtype) != numpy.float32:
            raise ExportError(f'only float32 networks are exported and parameter {name} is '
                              f'{numpy.dtype(parameter.dtype).name}: call net.cast("float32")')
        try:
            value = parameter.data(parameter.list_ctx()[0])
        except RuntimeError as error:
            raise ExportError('the network has no values yet: call net.initialize() or net.load_parameters() '
                              'first') from error
        values[name] = value.as_in_context(mx.cpu()).as_nd_ndarray()
    return values


def _graph(net, values, input_shape):
    """The network's graph in nd mode, and its values by the names that they have there."""
    with _array_mode(np_on=False):
        # A new network of the same kind: the graph then has nd mode's operators whatever mode `net` was built in, and
        # names that do not depend on what else was built before.
        dense = isinstance(net, DenseNet)
        twin = from_config(net.config, prefix='densenet_' if dense else 'resnet_')
        if dense:
            twin.set_input_size(*input_shape[1:])
        symbol = twin(mx.sym.var(_INPUT))
    parameters = twin._collect_params_with_prefix()
    if parameters.keys() != values.keys():
        raise ExportError(f'this {type(net).__name__} has other parameters than one built from its config, which is '
                          'what is exported: copy its values to such a network')
    return symbol, {parameter.name: values[name] for name, parameter in parameters.items()}


def _scores(net, images):
    """What `net` itself gives, in its own array mode and on its own device."""
    ctx = next(iter(net.collect_params().values())).list_ctx()[0]
    with ExitStack() as stack:
        stack.enter_context(_array_mode(net._built_in_np))
        stack.enter_context(mx.autograd.pause(train_mode=False))
        stack.enter_context(_left_as_found(net))
        if isinstance(net, DenseNet):
            stack.enter_context(_input_size(net, *images[0].shape[2:]))
        array = mx.np.array if net._built_in_np else mx.nd.array
        scores = [net(array(batch, dtype='float32', ctx=ctx)).asnumpy() for batch in images]
    if not all(numpy.isfinite(batch).all() for batch in scores):
        raise ExportError('the network gives NaN or infinity on random images: there is nothing to check its files '
                          'against; train it again at a lower rate, or load other parameters')
    return scores


def _write_mxnet(path, symbol, values, _input_shape, _config):
    auxiliary = set(symbol.list_auxiliary_states())
    named = {f'{"aux" if name in auxiliary else "arg"}:{name}': value for name, value in values.items()}
    try:
        with _array_mode(np_on=False):
            symbol.save(f'{path}-symbol.json')
            mx.nd.save(f'{path}-0000.params', named)
    except MXNetError as error:
        raise OSError(str(error).strip().splitlines()[-1]) from error


def _run_mxnet(path, images):
    with _array_mode(np_on=False), mx.autograd.pause(train_mode=False), warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Cannot decide type')  # of the input, before there is one
        block = mx.gluon.SymbolBlock.imports(f'{path}-symbol.json', [_INPUT], f'{path}-0000.params', ctx=mx.cpu())
        return [block(mx.nd.array(batch)).asnumpy() for batch in images]


def _write_onnx(path, symbol, values, input_shape, config):
    import onnx
    path = f'{path}.onnx'
    with _array_mode(np_on=False):
        mx.onnx.export_model(_translatable(symbol), values, [(1, *input_shape)], numpy.float32, path,
                             dynamic=True, dynamic_input_shapes=[(_BATCH, *input_shape)])
    model = onnx.load(path)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid('', _OPSET))
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    model.producer_name = 'd2l-densenet'
    onnx.helper.set_model_props(model, {'network': json.dumps(config)})
    # MXNet lists the weights among the inputs too, where a caller could replace them: a runtime may then not fold
    # batch normalisation into convolutions.
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    # The output has the name of the last operator and a shape of unknowns.
    last, = graph.output
    for node in graph.node:
        node.output[:] = [_OUTPUT if output == last.name else output for output in node.output]
    last.CopyFrom(onnx.helper.make_tensor_value_info(_OUTPUT, onnx.TensorProto.FLOAT, [_BATCH, config['classes']]))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _translatable(symbol):
    """The same graph in operators for which MXNet has a translation. It is not run in MXNet: see blocks.py."""
    graph = json.loads(symbol.tojson())
    for node in graph['nodes']:
        attributes = node.get('attrs', {})
        if node['op'] == '_npi_concatenate':
            node['op'], node['attrs'] = 'Concat', {'dim': attributes['axis'], 'num_args': attributes['num_args']}
    return mx.sym.load_json(json.dumps(graph))


def _run_onnx(path, images):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(f'{path}.onnx', options, providers=['CPUExecutionProvider'])
    return [session.run([_OUTPUT], {_INPUT: batch})[0] for batch in images]


_WRITERS = {'mxnet': _write_mxnet, 'onnx': _write_onnx}
_RUNNERS = {'mxnet': _run_mxnet, 'onnx': _run_onnx}


def _difference(kind, expected, got):
    """Largest difference as a share of the largest expected score, or an ExportError."""
    worst = 0.0
    for right, batch in zip(expected, got, strict=True):
        if batch.shape != right.shape:
            raise ExportError(f'the check failed: the {kind} files give scores of shape {batch.shape}, the network '
                              f'{right.shape}; nothing is written. Please report it')
        largest = float(abs(right).max()) or 1.0
        # numpy's maximum keeps a NaN, Python's max does not.
        worst = float(numpy.maximum(worst, abs(batch.astype('float64') - right).max() / largest))
    if not worst <= TOLERANCE:
        raise ExportError(f'the check failed: scores of the {kind} files differ from the network\'s by {worst:.1e} of '
                          f'the largest, more than {TOLERANCE:.0e}; nothing is written. Please report it, with '
                          'net.config')
    return worst
