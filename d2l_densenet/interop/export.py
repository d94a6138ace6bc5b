"""A network as files for other programs: MXNet's symbol and parameters, and ONNX.

Nothing is written that was not first read back, run, and found to give the network's own scores.
"""

import json
import math
import pathlib
import re
import tempfile
import warnings
from typing import NamedTuple

import mxnet as mx
import numpy
from mxnet.base import MXNetError

from .._common.arguments import MOST_ELEMENTS, one_of, show
from .._common.disk import a_path, replace_files
from .._common.engine import settled
from .._common.messages import last_line
from .._common.portable import array_mode
from ..analysis.counting import _check_shape
from ..execution.block import left_as_found, written_graph
from ..execution.fast import faster
from ..named import describes
from ..network import DenseNet
from ..resnets import ResNet

__all__ = ['ExportError', 'Exported', 'export_model']

FORMATS = {'mxnet': ('{}-symbol.json', '{}-0000.params'), 'onnx': ('{}.onnx',)}

#: Largest difference that the check allows, as a share of the largest score.
TOLERANCE = 1e-5

# MXNet 1.9.1 translates to ONNX's operator set 13 but labels the file with the newest that the installed onnx knows.
# The operators used here mean the same in set 15, which runtimes have had since 2021. (Below 14, ONNX's reference
# implementation takes batch normalization for training.)
_OPSET = 15
_INPUT, _OUTPUT, _BATCH = 'data', 'scores', 'batch'
_BATCH_SIZES = (1, 3)
# np mode's operators for which MXNet's translation to ONNX knows the classic ones only.
_CLASSIC = {'_npi_concatenate': 'Concat', '_npx_sigmoid': 'sigmoid', '_npi_tanh': 'tanh'}


class ExportError(ValueError):
    """A network that cannot be exported, or whose files do not give its scores."""


class Exported(NamedTuple):
    """What `export_model` wrote: the files (pathlib.Path), and for each format the largest difference of its scores."""

    files: list
    differences: dict


def export_model(net, directory, input_shape=(1, 48, 48), formats=('mxnet', 'onnx'), name='densenet'):
    """Write a network as files that run without this package.

    ``'mxnet'`` writes ``NAME-symbol.json`` and ``NAME-0000.params``, for ``mx.gluon.SymbolBlock.imports`` in classic nd
    mode. ``'onnx'`` writes ``NAME.onnx`` (operator set 15), for onnxruntime and others. Both take any number of images
    a call (``data``, float32, scaled as in training) and give the scores before the softmax (``scores`` in ONNX).

    The network, changed layers and all, is exported for inference and stays as it was. Before the files appear in
    `directory`, each whole, they are read back and run, ONNX's in onnxruntime, on random images, bright ones, negative
    ones and zeros: no score may differ from the network's by more than 1e-5 of the largest.

    Parameters
    ----------
    net : DenseNet or ResNet
        With values: initialized, loaded or trained.
    directory : str or pathlib.Path
        Made if it is not there.
    input_shape : sequence of int, default (1, 48, 48)
        Shape (C, H, W) of one image. ONNX fixes it.
    formats : sequence of {'mxnet', 'onnx'}, default both
    name : str, default 'densenet'
        What the file names begin with: letters, digits, ``_``, ``-`` and ``.``.

    Returns
    -------
    Exported
        ``files``, a list of paths, and ``differences``, the largest one for each format.

    Raises
    ------
    TypeError, ValueError
        If `net` is neither a DenseNet nor what `resnet` makes, or another argument is wrong.
    ExportError
        A ValueError: the network has no values, or others than float32; onnx or onnxruntime is missing; a file cannot
        be written; or the check fails. No file is left behind.

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
    if not isinstance(formats, (list, tuple)) or not formats:
        raise ValueError(f'formats must be a sequence of {" and ".join(map(repr, FORMATS))}, got {show(formats)}')
    formats = list(dict.fromkeys(one_of('each of formats', kind, FORMATS) for kind in formats))
    if not isinstance(name, str) or not re.fullmatch(r'\w[\w.-]*', name, re.ASCII):
        raise ValueError('name must consist of letters, digits, "_", "-" and "." and begin with none of the last two, '
                         f'got {name!r}')
    if 'onnx' in formats:
        _check_packages()
    settled('export_model')
    directory = pathlib.Path(a_path('directory', directory))
    if math.prod(input_shape) * max(_BATCH_SIZES) > MOST_ELEMENTS:
        raise ValueError(f'input_shape must be smaller, got {input_shape}: MXNet counts to {MOST_ELEMENTS:,} elements')
    symbol, values = _graph(net, input_shape)
    images = _images(input_shape)
    scores = _scores(net, images)
    properties = {'network': json.dumps(net.config)} if describes(net.config, net) else {}

    files = [pattern.format(name) for kind in formats for pattern in FORMATS[kind]]
    try:
        with tempfile.TemporaryDirectory() as staging:
            staging = pathlib.Path(staging)
            for kind in formats:
                _WRITERS[kind](staging / name, symbol, values, input_shape, scores[0].shape[1:], properties)
            differences = {kind: _difference(kind, scores, _RUNNERS[kind](staging / name, images)) for kind in formats}
            contents = {file: (staging / file).read_bytes() for file in files}
        for file in files:
            if (directory / file).is_dir():
                raise OSError(f'{file} is a directory there')
        directory.mkdir(parents=True, exist_ok=True)
        replace_files({directory / file: content for file, content in contents.items()})
    except OSError as error:
        raise ExportError(f'cannot write {", ".join(files)} to {directory}: {error.strerror or error}; choose another '
                          'directory or free the space') from error
    return Exported([directory / file for file in files], differences)


def _check_packages():
    """Raise ExportError unless onnx, as MXNet 1.9.1 can use it, and onnxruntime are there."""
    try:
        import onnx.mapping  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ExportError(f'the format onnx needs onnx 1.16 to 1.18 and onnxruntime ({error}): make env, or pip '
                          'install them, or leave onnx out of the formats') from error
    if 'Convolution' not in mx.onnx.get_operator_support():
        raise ExportError('onnx was installed after MXNet was imported: restart Python (in a notebook, the kernel)')


def _graph(net, input_shape):
    """The network's graph as nd mode has it, and the values of its parameters on the CPU, by their names there."""
    graph = json.loads(written_graph(net, _INPUT).tojson())
    used = {node['name'] for node in graph['nodes'] if node['op'] == 'null'} - {_INPUT}
    values = {}
    for path, parameter in net._collect_params_with_prefix().items():
        if parameter.name not in used:
            continue
        if numpy.dtype(parameter.dtype) != numpy.float32:
            raise ExportError(f'only float32 networks are exported and parameter {path} is '
                              f'{numpy.dtype(parameter.dtype).name}: call net.cast("float32")')
        try:
            value = parameter.data(parameter.list_ctx()[0]).as_in_context(mx.cpu()).as_nd_ndarray()
        except RuntimeError as error:
            raise ExportError('the network has no values yet: call net.initialize() or net.load_parameters() '
                              'first') from error
        if not numpy.isfinite(value.asnumpy()).all():
            raise ExportError(f'parameter {path} has NaN or infinity: train again at a lower rate, or load other '
                              'parameters')
        values[parameter.name] = value
    # Names that do not depend on what else was built before.
    prefix = 'densenet_' if isinstance(net, DenseNet) else 'resnet_'
    names = {node['name']: prefix + node['name'].removeprefix(net.prefix).replace('batch_flatten', 'flatten')
             for node in graph['nodes'] if node['name'].startswith(net.prefix)}
    for node in graph['nodes']:
        node['name'] = names.get(node['name'], node['name'])
    values = {names.get(name, name): value for name, value in values.items()}
    with array_mode(np_on=False):
        return faster(mx.sym.load_json(json.dumps(graph)), (1, *input_shape), any_size=True), values


def _scores(net, images):
    """What `net` itself gives, in its own array mode and on its own device."""
    ctx = next(iter(net._collect_params_with_prefix().values())).list_ctx()[0]
    array = mx.np.array if net._built_in_np else mx.nd.array
    with array_mode(net._built_in_np), mx.autograd.pause(train_mode=False), left_as_found(net):
        scores = [net(array(batch, dtype='float32', ctx=ctx)).asnumpy() for batch in images]
    if not all(numpy.isfinite(batch).all() for batch in scores):
        raise ExportError('the network gives NaN or infinity on random images: there is nothing to check its files '
                          'against; train it again at a lower rate, or load other parameters')
    return scores


def _images(shape):
    """Images to compare on: as in training, and such as no training has, where a difference cannot hide."""
    random = numpy.random.RandomState(0)
    images = [scale * random.standard_normal((size, *shape)) for size in _BATCH_SIZES for scale in (1, 1000)]
    images += [-10 * abs(images[0]), numpy.zeros((1, *shape))]
    return [batch.astype('float32') for batch in images]


def _write_mxnet(path, symbol, values, *_):
    auxiliary = set(symbol.list_auxiliary_states())
    named = {f'{"aux" if name in auxiliary else "arg"}:{name}': value for name, value in values.items()}
    try:
        with array_mode(np_on=False):
            symbol.save(f'{path}-symbol.json')
            mx.nd.save(f'{path}-0000.params', named)
    except MXNetError as error:
        raise OSError(last_line(error)) from error


def _run_mxnet(path, images):
    with array_mode(np_on=False), mx.autograd.pause(train_mode=False), warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Cannot decide type')  # of the input, before there is one
        block = mx.gluon.SymbolBlock.imports(f'{path}-symbol.json', [_INPUT], f'{path}-0000.params', ctx=mx.cpu())
        return [block(mx.nd.array(batch)).asnumpy() for batch in images]


def _write_onnx(path, symbol, values, input_shape, output_shape, properties):
    import onnx
    path = f'{path}.onnx'
    try:
        with array_mode(np_on=False):
            mx.onnx.export_model(_translatable(symbol), values, [(1, *input_shape)], numpy.float32, path,
                                 dynamic=True, dynamic_input_shapes=[(_BATCH, *input_shape)])
    except (AttributeError, onnx.checker.ValidationError) as error:
        # "No conversion function registered for op type ... yet.", or a conversion that is wrong for this version.
        raise ExportError(f'a layer of this network has no translation to ONNX ({" ".join(str(error).split())}): leave '
                          'onnx out of the formats') from error
    model = onnx.load(path)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid('', _OPSET))
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    model.producer_name = 'd2l-densenet'
    onnx.helper.set_model_props(model, properties)
    # MXNet lists the weights among the inputs too, where a caller could replace them: a runtime may then not fold
    # batch normalization into convolutions.
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    # The output has the name of the last operator and a shape of unknowns.
    last, = graph.output
    for node in graph.node:
        node.output[:] = [_OUTPUT if output == last.name else output for output in node.output]
    last.CopyFrom(onnx.helper.make_tensor_value_info(_OUTPUT, onnx.TensorProto.FLOAT, [_BATCH, *output_shape]))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _translatable(symbol):
    """The same graph in operators for which MXNet has a translation. It is not run in MXNet: see `operators`."""
    graph = json.loads(symbol.tojson())
    for node in graph['nodes']:
        if node['op'] == '_npi_concatenate':
            node['attrs'] = {'dim': node['attrs']['axis'], 'num_args': node['attrs']['num_args']}
        node['op'] = _CLASSIC.get(node['op'], node['op'])
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
