"""Bad input: each argument of each public function, and each option of each command, with values it cannot take.

Every one must be refused with an error of one line that names the argument and the value. A public name, an argument or
an option that has no entry in the tables below fails the first tests.
"""

import argparse
import contextlib
import functools
import importlib
import inspect
import os
import pathlib
import pkgutil

import mxnet as mx
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mxnet import gluon, npx

import d2l_densenet
from d2l_densenet import DataSource, DenseBlock, DenseNet, History, ImageLoader, Recipe, cli
from d2l_densenet._common.arguments import show
from d2l_densenet.data import idx

NAN = float('nan')
COUNTS = [0, -1, 1.5, 'x', None, True, NAN, 2 ** 40, [3]]  # for an integer of at least 1
SIZES = COUNTS[1:]                                         # for one of at least 0
SHARES = [1, -0.5, 'x', None, True, NAN, float('inf'), [0.5]]
SWITCHES = ['no', 0, 1, None, [True]]
NUMBERS = [-1, 'x', True, NAN, float('inf'), [1]]
SHAPES = ['x', 3, 0, [], (0, 8, 8), (1, -8, 8), (1, 8.5, 8), (1, 2 ** 40, 8), {}]
PATHS = [3, None, b'bytes', [], '', 'null\0character']
BLOCKS = [3, None, 'article', [], numpy.zeros(3)]
DEVICES = [3, 'cpu', [], mx.gpu(7)]
LOADERS = [3, None, 'ab', {}, numpy.zeros(3), mx.nd.zeros((2, 2))]
SEEDS = [-1, 1.5, 'x', True, 2 ** 32]
IMAGES = numpy.zeros((6, 8, 8), 'uint8')
LABELS = numpy.arange(6)
MEMORY = {'ordinary': [(6, 2e7), (12, 8e7)]}


@functools.lru_cache(None)
def net():
    built = DenseNet(4, (1, 1), 4, stem='cifar')
    built.initialize()
    return built


@functools.lru_cache(None)
def loader():
    return ImageLoader(IMAGES, LABELS, 4)


def history(**changes):
    row = {'epoch': 1, 'loss': 1.0, 'train_acc': 0.5, 'test_acc': None, 'seconds': 1.0, 'images_per_second': 1.0,
           'data_seconds': 0.1, 'learning_rate': 0.1}
    return History([{**row, **changes}])


def trainer(of=None):
    return gluon.Trainer((of or net()).collect_params(), 'sgd')


def another_net():
    built = DenseNet(4, (1, 1), 4, stem='cifar')
    built.initialize()
    return built


def without(values, *good):
    return [value for value in values if not any(value is one for one in good)]


NO_NONE = without(COUNTS, None)
CONVENTIONS = ['same', 3, None, [], True]
OPTIONS = {'prefix': [3], 'params': [{}, 3]}
CONV = {'num_channels': COUNTS, 'in_channels': SIZES, 'bottleneck': NO_NONE, 'dropout': SHARES, 'bias': SWITCHES,
        'kwargs': OPTIONS}
WIDTHS = {'growth_rate': COUNTS, 'block_config': ['x', 3, None, [], [0], [1.5], ['x'], {1, 2}], 'bottleneck': NO_NONE,
          'num_init_features': COUNTS, 'compression': [0, 1.5, 'x', None, True, NAN], 'dropout': SHARES,
          'stem': ['x', 3, None, []], 'bias': SWITCHES, 'classes': COUNTS, 'in_channels': COUNTS,
          'pooling_convention': CONVENTIONS, 'kwargs': OPTIONS}
LOADING = {'batch_size': COUNTS, 'resize': NO_NONE, 'flip': SWITCHES, 'crop': SIZES, 'erase': SHARES, 'seed': SEEDS}
TYPES = ['float64', 'float16', 3, None, []]
EVALUATING = {'net': BLOCKS, 'data_iter': LOADERS, 'ctx': DEVICES}

#: For each public callable: arguments that it takes, and for each argument values that it must refuse. The name of the
#: argument stands in the error, but for those in CALLED.
TABLE = {
    'blocks.conv_block': (lambda: {'num_channels': 4}, CONV),
    'blocks.transition_block': (lambda: {'num_channels': 4}, {
        **{k: v for k, v in CONV.items() if k != 'bottleneck'}, 'pooling_convention': CONVENTIONS}),
    'blocks.DenseBlock': (lambda: {'num_convs': 1, 'num_channels': 4}, {**CONV, 'num_convs': COUNTS}),
    'network.DenseNet': (dict, {**WIDTHS, 'memory_efficient': SWITCHES}),
    'network.DenseNet.stage_sizes': (lambda: {'self': net(), 'height': 8, 'width': 8},
                                     {'height': COUNTS, 'width': COUNTS}),
    'network.DenseNet.load_parameters': (lambda: {'self': net()}, {'filename': PATHS}),
    'network.DenseNet.save_parameters': (lambda: {'self': net()}, {'filename': PATHS}),
    'named.densenet': (lambda: {'name': 'article'}, {'name': ['densenet', 3, None, []],
                                                        'overrides': {'growth_rate': COUNTS, 'stem': ['x', []]}}),
    'named.he_initialize': (lambda: {'net': another_net()}, {
        'net': BLOCKS, 'seed': [*SEEDS, None], 'input_shape': SHAPES, 'ctx': DEVICES}),
    'resnets.resnet': (lambda: {'name': 'd2l_resnet18'}, {
        'name': ['resnet', 3, None, []], 'classes': NO_NONE, 'kwargs': OPTIONS}),
    'resnets.small_resnet': (lambda: {'width': 4}, {
        'width': COUNTS, 'blocks': COUNTS, 'classes': COUNTS, 'design': ['post', 3, None, []]}),
    'analysis.families.recorded_families': (dict, {'wanted': {
        'network': ['densenet', None, []], 'width': [5, NAN], 'length': [3]}}),
    'analysis.formulas.network_formula': (dict, {'name': ['nope', 3, None, []]}),
    'analysis.formulas.densenet_formula': (lambda: {'config': net().config, 'height': 8, 'width': 8}, {
        'config': [3, None, {}, 'article', {'growth_rate': 4}], 'height': COUNTS, 'width': COUNTS}),
    'analysis.formulas.resnet_formula': (lambda: {'name': 'resnet18', 'height': 8, 'width': 8}, {
        'name': ['article', 3, None, []], 'height': COUNTS, 'width': COUNTS, 'classes': NO_NONE,
        'in_channels': NO_NONE}),
    'data.loader.ImageLoader': (lambda: {'images': IMAGES, 'labels': LABELS, 'batch_size': 4}, {
        **LOADING, 'shuffle': SWITCHES, 'source': [3, 'x'], 'crop': [*SIZES, 8], 'resize': [*NO_NONE, 2 ** 20],
        'images': [3, None, 'x', [], IMAGES.astype('float64'), IMAGES[:0], IMAGES[..., None], [[1], [1, 2]]],
        'labels': [3, None, 'x', [], LABELS[:4], LABELS + 0.5, LABELS - 1, LABELS * 10 ** 12, [NAN] * 6, ['a'] * 6,
                   LABELS[:, None], [True] * 6]}),
    'data.loader.load_data_fashion_mnist': (lambda: {'batch_size': 4, 'limit': 20, 'data': 'synthetic'}, {
        **LOADING, 'root': without(PATHS, None), 'data': ['x', 3, None, []], 'limit': NO_NONE,
        'validation': SIZES}),
    'execution.recompute.record': (dict, {'train_mode': SWITCHES}),
    'execution.recompute.backward': (lambda: {'heads': mx.nd.ones(1)}, {
        'heads': [3, 'x', None, [], [mx.nd.ones(1), 3], numpy.ones(1)]}),
    'training.fit': (lambda: {'net': net(), 'train_iter': loader(), 'num_epochs': 1, 'progress': False}, {
        'net': BLOCKS, 'train_iter': LOADERS, 'test_iter': without(LOADERS, None), 'num_epochs': COUNTS,
        'optimizer': ['best', 3, None, []],
        'optimizer_params': [3, 'x', [], {'learning_rate': -1}, {'learning_rate': NAN}, {'learning_rate': 'x'},
                             {'rate': 1}],
        'lr_scheduler': [3, 'x', []], 'loss': [3, 'x', []], 'label_smoothing': SHARES, 'ctx': [*DEVICES, ['cpu']],
        'seed': SEEDS, 'progress': SWITCHES, 'on_epoch': [3, 'x'], 'checkpoint_dir': without(PATHS, None),
        'checkpoint_seconds': [*NUMBERS, None], 'resume': [*SWITCHES, True],
        'kvstore': ['local', 3, None, [], 'dist_sync'], 'dtype': TYPES,
        'data_on_device': SWITCHES}),
    'training.train_ch5': (lambda: {'net': net(), 'train_iter': loader(), 'test_iter': loader(), 'batch_size': 4,
                                    'trainer': trainer(), 'ctx': mx.cpu(), 'num_epochs': 1}, {
        'net': BLOCKS, 'train_iter': LOADERS, 'test_iter': without(LOADERS, None), 'batch_size': COUNTS,
        'trainer': [3, None, 'sgd'], 'ctx': DEVICES, 'num_epochs': COUNTS}),
    'execution.eval_mode.eval_mode': (lambda: {'net': net()}, {'net': BLOCKS}),
    'evaluation.evaluate_accuracy': (lambda: {'net': net(), 'data_iter': loader()},
                                   {**EVALUATING, 'mirrored': SWITCHES, 'dtype': TYPES}),
    'evaluation.predict': (lambda: {'net': net(), 'data_iter': loader()}, {**EVALUATING, 'dtype': TYPES}),
    'history.History.from_json': (dict, {'text': [
        '', '[]', '{}', 'NaN', '[' * 10 ** 5, '{"rows": [], "data": 3, "stopped": null}', 'x' * 10 ** 5,
        '{"rows": [{"epoch": "x"}], "data": "", "stopped": null}']}),
    'optimizers.Muon': (dict, {'learning_rate': NUMBERS, 'momentum': SHARES, 'others': [*NUMBERS, None],
                               'kwargs': {'wd': NUMBERS}}),
    'recipes.Recipe.fit_options': (lambda: {'self': Recipe('sgd', 0.1)}, {'num_steps': COUNTS}),
    'devices.try_gpu': (dict, {'i': SIZES}),
    'analysis.counting.summary': (lambda: {'net': net()}, {'net': [3, None, 'nope', []], 'input_shape': [*SHAPES, (3,
        8, 8)]}),
    'analysis.counting.count_parameters': (dict, {'net': BLOCKS}),
    'interop.checkpoints.load_pretrained': (lambda: {'net': net(), 'file': __file__}, {
        'net': [*BLOCKS, gluon.nn.Dense(1)], 'file': PATHS, 'new_head': SWITCHES, 'strict': SWITCHES,
        'part': [3, [], b'x', True]}),
    'interop.checkpoints.save_torch': (lambda: {'net': net(), 'file': 'x'}, {'net': [*BLOCKS, gluon.nn.Dense(1)],
                                                                    'file': [*PATHS, 'x.params']}),
    'interop.export.export_model': (lambda: {'net': net(), 'directory': 'x', 'input_shape': (1, 8, 8),
        'formats': ['mxnet']}, {
        'net': [*BLOCKS, gluon.nn.Dense(1)], 'directory': PATHS,
        'input_shape': [*SHAPES, None, (3, 8, 8), (1, 40000, 40000)],
        'formats': [3, None, 'onnx', [], ['x'], [3], [[]]], 'name': [3, None, [], '', 'a/b', '../x', '.x', 'a b']}),
    'shipped.trained_network': (dict, {'ctx': without(DEVICES, None)}),
    'shipped.recorded_runs': (lambda: {'recipe': 'article'}, {'recipe': ['record', 3, None, []]}),
    'plots.draw_network': (lambda: {'net': net(), 'image': numpy.zeros((8, 8))}, {
        'net': [*BLOCKS, gluon.nn.Dense(1)], 'image': [3, None, 'x', [], IMAGES[:2], numpy.zeros(4)],
        'maps': [*COUNTS, 9], 'labels': [3, ['a'], ['a'] * 11], 'data': []}),  # any object can name the data
    'plots.draw_growth': (dict, {'blocks': [
        3, None, 'abc', [4, 10, 5], (4, 10), (4, 10, 0), (4, 1.5, 5), (4, 10, 5, 2)]}),
    'analysis.measuring.in_turn': (lambda: {'candidates': {'a': list}, 'rounds': 1}, {
        'candidates': [3, None, 'x', [], {'a': 3}], 'rounds': COUNTS, 'warm_up': [-1, 1.5, True, 'x', None]}),
    'analysis.measuring.peak_memory': (lambda: {'function': another_net}, {
        'function': [3, None, 'x', list], 'arguments': [], 'uses': [[3], ['x']]}),
    'plots.plot_feature_maps': (lambda: {'features': {'a': numpy.zeros((2, 4, 4))}, 'title': 'maps'}, {
        'features': [3, None, 'x', [], {}, {'a': 3}, {'a': numpy.zeros((4, 4))}],
        'most': COUNTS, 'title': [], 'data': []}),
    'plots.plot_history': (dict, {'history': [3, None, 'x', {}, History(), {'a': 3}, history(loss='x'),
                                              history(loss=None)]}),
    'plots.plot_confusion_matrix': (lambda: {'net': net(), 'data_iter': loader()}, {
        **EVALUATING, 'names': [3, 'x', [], ['a'], [NAN] * 3]}),
    'plots.plot_mistakes': (lambda: {'net': net(), 'data_iter': loader()}, {
        **EVALUATING, 'names': [3, 'x', [], ['a']], 'num': COUNTS,
        'data_iter': [*LOADERS, ImageLoader(IMAGES, LABELS, 4, shuffle=True)]}),
    'plots.plot_images': (lambda: {'images': IMAGES, 'labels': LABELS}, {
        'images': [3, None, 'x', [], IMAGES[:0], IMAGES.astype('str'), IMAGES[:, None, None]],
        'labels': [3, None, [], LABELS[:2], LABELS + 5, LABELS + 0.5, [NAN] * 6], 'rows': COUNTS, 'title': [],
        'data': []}),  # any object can be a title
    'plots.plot_accuracy': (dict, {'networks': [
        3, None, 'x', [], {}, {'a': 3}, {'a': (3, [0.5])}, {3: (d2l_densenet.summary(net()), [0.5])},
        *({'a': (d2l_densenet.summary(net()), runs)} for runs in (3, None, [], 'x', ['x'], [NAN], [1.5], [True]))],
        'data': []}),
    'plots.plot_memory': (lambda: {'counted': MEMORY, 'measured': MEMORY}, dict.fromkeys(['counted', 'measured'], [
        3, None, 'x', [], {}, {'a': 3}, {'a': []}, {'a': 'xy'}, {'a': [(1,)]}, {'a': [(0, 1)]}, {'a': [(1.5, 1)]},
        {'a': [(1, -1)]}, {'a': [(1, NAN)]}, {'a': [(NAN, 1)]}, {'a': [('1', 1)]}])),
    'plots.plot_feature_reuse': (lambda: {'maps': numpy.ones((2, 2))}, {
        'maps': [3, None, 'x', [], {}, {'a': 3}, {'a': 'x'}, [[NAN]], numpy.ones((2, 3)), numpy.ones((13, 13)), IMAGES],
        'label': [], 'title': [], 'data': [], 'power': [0, *NUMBERS, None], 'rows': COUNTS,  # any object can be a title
        'digits': COUNTS}),
    'plots.plot_channels': (lambda: {'net': net()}, {
        'net': [3, None, 'article', {'growth_rate': 0}], 'input_size': [3, None, 'xy', (8,), (0, 8), (8, 1.5)]}),
    'plots.plot_stages': (dict, {'nets': [3, 'nope', []], 'input_shape': SHAPES}),
    'plots.draw_dense_block': (dict, {'num_layers': [*COUNTS, 13]}),
    'plots.describe': (dict, {'figure': [3, None, 'x', []]}),
    'plots.draw_chain': (dict, {'num_layers': [*COUNTS, 13]}),
    'analysis.reuse.mean_absolute_weights': (dict, {'block': [*BLOCKS, gluon.nn.Dense(1), DenseBlock(2, 4)]}),
    'analysis.reuse.cut_connection': (lambda: {'block': net().features[1], 'source': 0, 'layer': 1}, {
        'block': [*BLOCKS, gluon.nn.Dense(1), DenseBlock(2, 4)], 'source': [1, *SIZES], 'layer': [2, *COUNTS]}),
    'data.synthetic.synthetic_fashion': (lambda: {'num': 1, 'seed': 0}, {'num': COUNTS, 'seed': [*SEEDS[:-1], None]}),
    'runs.checkpoints.Checkpoints': (lambda: {'directory': 'x'}, {'directory': PATHS, 'new': []}),
    'runs.directories.load_run': (dict, {'directory': [*PATHS, '/nowhere', __file__], 'ctx': []}),
    'runs.directories.save_run': (lambda: {'directory': 'x', 'net': net(), 'history': History(), 'config': {}}, {
        'directory': PATHS, 'net': BLOCKS, 'history': [3, None, {}], 'config': [{'a': {1}}, {(1,): 2}]}),
    'runs.directories.write_atomically': (lambda: {'path': 'x', 'content': ''}, {'path': PATHS, 'content': [3, None,
        []]}),
    'data.official.find_fashion_mnist': (dict, {'root': [*without(PATHS, None), '/nowhere', __file__], 'cache': [],
        'files': [],
                                        'mirrors': []}),
    'runs.workers.check_kvstore': (dict, {'kvstore': ['local', 3, None, [], 'dist_sync'], 'environment': []}),
    'd2l_api.FashionMNISTData': (lambda: {'batch_size': 4, 'limit': 20, 'data': 'synthetic'}, {
        **{name: LOADING[name] for name in ('batch_size', 'resize', 'flip', 'crop', 'seed')}, 'limit': NO_NONE,
        'root': without(PATHS, None), 'data': ['x', 3], 'validation': SIZES}),
    'd2l_api.DenseNetClassifier': (dict, {'net': [3, 'article'], 'lr': [0, *NUMBERS], 'num_classes': COUNTS}),
}

#: What the error calls an argument where it has another name for it: a text, or a pattern for some values.
CALLED = {
    ('training.fit', 'resume'): 'resume', ('runs.directories.load_run', 'directory'): '',
    ('data.official.find_fashion_mnist', 'root'): '', ('history.History.from_json', 'text'): '',
    ('analysis.counting.summary', 'net'): 'n', ('plots.plot_stages', 'nets'): 'n', ('plots.plot_channels', 'net'): '',
    ('plots.plot_channels', 'input_size'): '', ('named.densenet', 'overrides'): '',
    ('plots.draw_dense_block', 'num_layers'): 'num_layers',
}

#: Public names that take nothing from outside: constants, exceptions, records, functions without arguments; and what
#: `fit` and the command line hand to their own helpers, whose arguments they have checked.
NOTHING_TO_REFUSE = {
    'NETWORKS', 'RESNETS', 'RECIPES', 'FASHION_MNIST_LABELS', 'OFFICIAL', 'MIRRORS', 'REMEDY', 'DENSENET', 'RESNET',
    'PUBLISHED', 'SOURCES', 'TRAIN_SIZE', 'TEST_SIZE', 'TRAIN_SEED', 'TEST_SEED',
    'DataError', 'DivergenceError', 'ResumeError', 'CheckpointError', 'ExportError', 'RunError', 'Unavailable',
    'DataSource', 'LoadReport', 'Exported', 'Summary', 'Check', 'OfficialFile', 'Progress', 'Recipe', 'History',
    'weights_record', 'CLAIMS', 'VERDICTS', 'Claim', 'Ledger', 'LiveAccuracy',
    'style', 'draw_add_vs_concat', 'cache_directory', 'network_rows', 'network_table', 'machine', 'versions',
    'Driver', 'ask_driver', 'gpu_wheel', 'install_gpu', 'remove_gpu', 'why_no_gpu',
    'run_checks', 'main', 'Keeper', 'Session', 'MixedPrecision', 'with_casts', 'OnDevice', 'own_optimizer',
    'make_trainer', 'draws_in_training', 'settings_of', 'share_parameters',
    'KVSTORES', 'Job', 'Workers', 'Role', 'job_of', 'join', 'join_workers', 'launch', 'supervise',
}


def modules():
    for info in pkgutil.walk_packages(d2l_densenet.__path__, 'd2l_densenet.'):
        name = info.name.partition('.')[2]
        # checks is made for wrong answers: tests/test_checks.py
        if not name.startswith('_') and name != 'd2l_api' and name.partition('.')[0] != 'checks':
            yield name, importlib.import_module(info.name)


def the_callable(name):
    if name.startswith('d2l_api.'):
        pytest.importorskip('d2l')
        npx.reset_np()
    return pkgutil.resolve_name(f'd2l_densenet.{name}')


def test_every_public_name_has_an_entry():
    known = {part for name in TABLE for part in name.split('.')} | NOTHING_TO_REFUSE
    missing = {name for _, module in modules() for name in getattr(module, '__all__', ())} - known
    assert not missing, f'write into TABLE what these must refuse: {sorted(missing)}'
    assert set(d2l_densenet.__all__) <= known


@pytest.mark.parametrize('name', [name for name in TABLE if not name.startswith('d2l_api')])
def test_every_argument_has_an_entry(name):
    if name.endswith('_parameters'):
        return  # the rest is Gluon's
    arguments = set(inspect.signature(the_callable(name)).parameters) - {'self'}
    assert arguments == set(TABLE[name][1])


def one_line(error):
    text = str(error)
    assert isinstance(error, (ValueError, TypeError, OSError)) and '\n' not in text and 10 < len(text) < 900, text
    return text


@pytest.mark.parametrize('name', TABLE)
def test_what_cannot_be_taken_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, (good, bad) = the_callable(name), TABLE[name]
    before = [p.data().asnumpy() for p in net().collect_params().values()]
    for argument, values in bad.items():
        keywords = isinstance(values, dict)  # **kwargs
        for key, value in [(k, v) for k in values for v in values[k]] if keywords else [(argument, v) for v in values]:
            arguments = {**good(), key: value}
            positional = [arguments.pop('self')] if 'self' in arguments else []
            if argument == 'nets' or name == 'plots.draw_growth':
                positional, arguments = [value], {}
            with pytest.raises((ValueError, TypeError, OSError)) as caught:
                result = function(*positional, **arguments)
                if isinstance(result, contextlib._GeneratorContextManager):
                    result.__enter__()
                pytest.fail(f'{name}({key}={value!r}) was taken')
            text = one_line(caught.value)
            assert CALLED.get((name, argument), key) in text, (key, value, text)
            if isinstance(value, (bool, int, float)):
                # The value, or that it is an int, or an array without axes.
                found = (f'{value:,}', repr(value), type(value).__name__, '()')
                assert any(part in text for part in found), (key, value, text)
    assert not list(tmp_path.iterdir()), 'something was written'
    for parameter, value in zip(net().collect_params().values(), before):
        numpy.testing.assert_array_equal(parameter.data().asnumpy(), value)


# --- What a loader gives.

def arrays(np_on, number=4):
    module = mx.np if np_on else mx.nd
    return module, module.array(numpy.random.rand(number, 1, 8, 8), dtype='float32'), module.array(
        numpy.arange(number), dtype='int32')


def spoilt(X, place, value):
    X = X.copy()
    X[place] = value
    return X


BATCHES = {
    'NaN pixels': (lambda m, X, y: (spoilt(X, (1, 0, 2, 3), NAN), y), ['images', 'NaN']),
    'infinite pixels': (lambda m, X, y: (spoilt(X, (3, 0, 7, 7), -float('inf')), y), ['images', 'infinity']),
    'both infinities': (lambda m, X, y: (spoilt(spoilt(X, (3, 0, 7, 7), -float('inf')), (0, 0, 0, 0), float('inf')), y),
                        ['images', 'infinity']),
    'a label above the classes': (lambda m, X, y: (X, y + 7), ['labels', '0 to 9', '10']),
    'a label below the classes': (lambda m, X, y: (X, y - 1), ['labels', '0 to 9', '-1']),
    'half a label': (lambda m, X, y: (X, m.array([0, 1, 2.5, 3])), ['labels', 'integers', '2.5']),
    'a NaN label': (lambda m, X, y: (X, m.array([0, 1, NAN, 3])), ['labels', 'integers', 'nan']),
    'too few labels': (lambda m, X, y: (X, y[:2]), ['labels', '(4,)', '(2,)']),
    'labels of two axes': (lambda m, X, y: (X, y.reshape((4, 1))), ['labels', '(4, 1)']),
    'one label': (lambda m, X, y: (X, 3), ['labels', '3']),
    'float64 images': (lambda m, X, y: (X.astype('float64'), y), ['float32', 'float64']),
    'uint8 images': (lambda m, X, y: (X.astype('uint8'), y), ['float32', 'uint8']),
    'NumPy images': (lambda m, X, y: (X.asnumpy(), y), ['images', 'numpy.ndarray', 'array(images']),
    'NumPy labels': (lambda m, X, y: (X, y.asnumpy()), ['labels', 'numpy.ndarray']),
    'a list of labels': (lambda m, X, y: (X, [0, 1, 2, 3]), ['labels', '[0, 1, 2, 3]']),
    'three axes': (lambda m, X, y: (X[:, 0], y), ['(N, 1, H, W)', '(4, 8, 8)']),
    'three channels': (lambda m, X, y: (m.concatenate([X, X, X], axis=1) if m is mx.np else
                                        m.concat(X, X, X, dim=1), y), ['(N, 1, H, W)', '(4, 3, 8, 8)']),
    'tiny images': (lambda m, X, y: (X[:, :, :1, :1], y), ['1 x 1', 'too small']),
    'no labels': (lambda m, X, y: X, ['pair (images, labels)']),
    'three parts': (lambda m, X, y: (X, y, y), ['pair (images, labels)', '3']),
    'a DataBatch': (lambda m, X, y: mx.io.DataBatch([X], [y]), ['DataBatch', 'batch.data[0]']),
    'the other array mode': (lambda m, X, y: (X.as_nd_ndarray() if m is mx.np else X.as_np_ndarray(), y),
                             ['array mode', 'mx.nd', 'mx.np']),
    'none': (None, ['data_iter', 'no images']),
}


@pytest.mark.parametrize('np_on', [False, True], ids=['nd', 'np'])
@pytest.mark.parametrize('kind', BATCHES)
def test_bad_batches_are_named_by_every_function_that_takes_them(kind, np_on):
    if np_on:
        npx.set_np()
    make, words = BATCHES[kind]
    built = another_net()
    module, X, y = arrays(np_on)
    built(X)
    bad = [(X, y), make(module, X, y)] if make else []
    calls = {'train_iter': lambda: d2l_densenet.fit(built, bad, None, 1, progress=False),
             'test_iter': lambda: d2l_densenet.fit(built, [(X, y)], bad, 1, progress=False),
             'data_iter': lambda: d2l_densenet.evaluate_accuracy(built, bad)}
    for call in (*calls.items(), ('data_iter', lambda: d2l_densenet.predict(built, bad))):
        with pytest.raises((ValueError, TypeError)) as caught:
            call[1]()
        text = one_line(caught.value)
        expected = [call[0], 'no '] if make is None else words
        assert all(word in text for word in expected), text
        if 'DenseNet' not in text and make and kind != 'tiny images':
            assert f'batch 2 of {call[0]}' in text, text
    # Nothing of it is left behind: the next call works.
    assert 0 <= d2l_densenet.evaluate_accuracy(built, [(X, y)]) <= 1


@pytest.mark.parametrize('np_on', [False, True], ids=['nd', 'np'])
def test_views_and_float_labels_and_large_pixels_are_taken(np_on):
    """Not contiguous, of another integer or float type, or so large that their sum overflows: right all the same."""
    if np_on:
        npx.set_np()
    built = another_net()
    module, X, y = arrays(np_on, 8)
    expected, _ = d2l_densenet.predict(built, [(module.array(X.asnumpy()[::2]), module.array(y.asnumpy()[::2]))])
    for labels in (y, y.astype('float32'), y.astype('int64'), y.astype('uint8')):
        found, _ = d2l_densenet.predict(built, [(X[::2], labels[::2])])
        numpy.testing.assert_array_equal(found, expected)
    d2l_densenet.predict(built, [(module.ones((4, 1, 8, 8)) * 3e38, y[:4])])


def test_an_empty_batch():
    npx.set_np()
    built = another_net()
    empty = [(mx.np.zeros((0, 1, 8, 8)), mx.np.zeros((0,), dtype='int32'))]
    for call in (lambda: d2l_densenet.fit(built, empty, None, 1), lambda: d2l_densenet.evaluate_accuracy(built, empty),
                 lambda: d2l_densenet.predict(built, empty)):
        with pytest.raises(ValueError, match=r'batch 1 of \w+ is empty.*\(0, 1, 8, 8\)'):
            call()
    with pytest.raises(ValueError, match='DenseNet takes one or more images, got none'):
        built(empty[0][0])
    mx.nd.waitall()  # MXNet itself would tell of it only here


@pytest.mark.parametrize('loader', [[], iter([]), (pair for pair in ())], ids=['list', 'iterator', 'generator'])
def test_exhausted_iterators(loader):
    for call, name in ((lambda: d2l_densenet.fit(net(), loader, None, 1), 'train_iter'),
                       (lambda: d2l_densenet.evaluate_accuracy(net(), loader), 'data_iter'),
                       (lambda: d2l_densenet.predict(net(), loader), 'data_iter')):
        with pytest.raises(ValueError, match=f'{name} gave no'):
            call()


@pytest.mark.parametrize('call', [
    lambda built, loader: d2l_densenet.fit(built, loader, None, 1), d2l_densenet.evaluate_accuracy,
    d2l_densenet.predict, lambda built, loader: d2l_densenet.export_model(built, 'x', (1, 8, 8), ['mxnet']),
    lambda built, loader: d2l_densenet.save_torch(built, 'x.safetensors'), d2l_densenet.plot_confusion_matrix,
    d2l_densenet.plot_mistakes, lambda built, loader: built(next(iter(loader))[0])])
def test_a_network_that_was_never_initialized(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, RuntimeError), match='initialize') as caught:
        call(DenseNet(4, (1, 1), 4, stem='cifar'), loader())
    assert len(str(caught.value)) < 600 and not list(tmp_path.iterdir())


def test_the_trainer_of_another_network():
    with pytest.raises(ValueError, match='trainer must be made from the parameters of net.*others'):
        d2l_densenet.train_ch5(net(), loader(), loader(), 4, trainer(another_net()), mx.cpu(), 1)


@pytest.mark.parametrize('build, shape', [
    (lambda: d2l_densenet.conv_block(4), (1, 2, 4, 4)), (lambda: d2l_densenet.DenseBlock(1, 4), (1, 2, 4, 4)),
    (lambda: d2l_densenet.transition_block(4), (1, 2, 4, 4)), (net, (1, 1, 8, 8)),
    (lambda: d2l_densenet.resnet('d2l_resnet18'), (1, 1, 32, 32))])
def test_blocks_name_what_they_cannot_take(build, shape):
    block = build()
    if block is not net():
        block.initialize()
    good = mx.nd.ones(shape)
    for bad, words in ((3, '3'), (None, 'None'), (numpy.ones(shape, 'float32'), 'numpy.ndarray'),
                       (good[0], str(shape[1:])), (good.astype('float64'), 'float64'),
                       (good.as_np_ndarray(), 'mx.np'), ([good], 'array')):
        with pytest.raises((ValueError, TypeError)) as caught:
            block(bad)
        assert words in one_line(caught.value)
    numpy.testing.assert_array_equal(block(mx.nd.concat(good, good, dim=0)[::2]).asnumpy(), block(good).asnumpy())


def test_transitions_need_two_pixels():
    block = d2l_densenet.transition_block(4)
    block.initialize()
    with pytest.raises(ValueError, match='transition_block takes larger images than 1 x 5 pixels'):
        block(mx.nd.ones((1, 2, 1, 5)))


def test_a_compression_that_leaves_no_channel_is_named():
    with pytest.raises(ValueError, match='leaves transition 1 no channel'):
        DenseNet(1, (1, 1), 1, compression=0.1)


# --- MXNet's engine tells of errors when it is asked for a result, which may be three cells later.

class Cholesky(gluon.nn.HybridSequential):
    """Decomposes its images, which fails in the engine, not at the call, where one is not positive definite."""

    def __init__(self):
        super().__init__()
        self.add(gluon.nn.Dense(10))
        self.initialize()

    def hybrid_forward(self, F, x):
        return super().hybrid_forward(F, F.linalg.potrf(x))


def test_asynchronous_errors_surface_in_the_call_that_caused_them():
    module, X, y = arrays(False)
    good = mx.nd.broadcast_like(mx.nd.eye(8).reshape((1, 1, 8, 8)), X)
    bad = [(good, y), (-good, y)]
    block = Cholesky()
    block(-good)  # MXNet says nothing yet
    with pytest.raises(mx.MXNetError):
        mx.nd.waitall()
    for call, place in ((lambda: d2l_densenet.fit(block, bad, None, 1, progress=False),
                         'epoch 1, batch 2 of train_iter'),
                        (lambda: d2l_densenet.fit(block, bad[:1], bad, 1, progress=False), 'batch 2 of test_iter'),
                        (lambda: d2l_densenet.evaluate_accuracy(block, bad), 'batch 2 of data_iter'),
                        (lambda: d2l_densenet.predict(block, bad), 'batch 2 of data_iter')):
        with pytest.raises(mx.MXNetError, match=f'MXNet failed in .*{place}.*positive definite') as caught:
            call()
        assert '\n' not in str(caught.value)
        mx.nd.waitall()  # nothing is left for the next cell
    assert 0 <= d2l_densenet.evaluate_accuracy(block, bad[:1]) <= 1


def test_an_error_from_before_is_not_taken_for_an_error_of_the_call(tmp_path):
    module, X, y = arrays(False)
    for name, call in (('training', lambda: d2l_densenet.fit(net(), [(X, y)], None, 1)),
                       ('this evaluation', lambda: d2l_densenet.evaluate_accuracy(net(), [(X, y)])),
                       ('he_initialize', lambda: d2l_densenet.he_initialize(another_net())),
                       ('export_model', lambda: d2l_densenet.export_model(net(), tmp_path, (1, 8, 8), ['mxnet']))):
        mx.nd.linalg.potrf(-mx.nd.eye(3))
        with pytest.raises(mx.MXNetError, match=f'an operation before {name} had failed.*positive definite.*waitall'):
            call()
        mx.nd.waitall()
    d2l_densenet.summary(net(), (1, 8, 8))


# --- Places that cannot be read or written.

WRITERS = {
    'save_torch': lambda path: d2l_densenet.save_torch(net(), path / 'x.safetensors'),
    'save_parameters': lambda path: net().save_parameters(str(path / 'x.params')),
    'export_model': lambda path: d2l_densenet.export_model(net(), path, (1, 8, 8), ['mxnet']),
    'save_run': lambda path: d2l_densenet.runs.directories.save_run(path, net(), History(), {}),
    'write_atomically': lambda path: d2l_densenet.runs.directories.write_atomically(path / 'x', 'text'),
    'checkpoint_dir': lambda path: d2l_densenet.fit(net(), loader(), None, 1, progress=False,
                                                    checkpoint_dir=path / 'checkpoints'),
    'download': lambda path: d2l_densenet.data.official.download(path / 'data', mirrors=()),
}


@contextlib.contextmanager
def no_rights(path):
    """Root may write everywhere: without root's rights for the while."""
    os.chmod(path, 0o500)
    user = os.geteuid()
    if not user:
        os.seteuid(65534)
    try:
        yield
    finally:
        if not user:
            os.seteuid(user)
        os.chmod(path, 0o700)


@pytest.mark.parametrize('name', WRITERS)
def test_a_directory_without_the_right_to_write(name, tmp_path):
    importlib.import_module('d2l_densenet.runs.directories')  # what is imported late is imported now
    importlib.import_module('pooch')
    if name != 'download':
        WRITERS[name](tmp_path / 'fine') if name == 'export_model' else WRITERS[name](tmp_path)
    place = tmp_path / 'locked'
    place.mkdir()
    with no_rights(place), pytest.raises((ValueError, OSError)) as caught:
        WRITERS[name](place)
    text = one_line(caught.value)
    assert str(place) in text and 'cannot' in text and 'Permission denied' in text
    assert not list(place.iterdir())


@pytest.mark.parametrize('name', WRITERS)
def test_a_file_where_a_directory_is_expected(name, tmp_path):
    place = tmp_path / 'file'
    place.write_text('mine')
    with pytest.raises((ValueError, OSError)) as caught:
        WRITERS[name](place)
    text = one_line(caught.value)
    assert str(place) in text and 'cannot' in text
    assert place.read_text() == 'mine' and [path.name for path in tmp_path.iterdir()] == ['file']


@pytest.mark.parametrize('make', [lambda path: path.mkdir(), lambda path: os.mkfifo(path), lambda path: None,
                                  lambda path: path.symlink_to('/dev/zero'), lambda path: path.symlink_to(path)],
                         ids=['directory', 'pipe', 'nothing', 'device', 'endless link'])
@pytest.mark.parametrize('read', [
    lambda path: d2l_densenet.load_pretrained(net(), path), lambda path: net().load_parameters(str(path)),
    lambda path: idx.read_idx(path, 'images'), lambda path: d2l_densenet.runs.directories.read_config(path.parent)],
    ids=['load_pretrained', 'load_parameters', 'read_idx', 'read_config'])
def test_what_is_no_file_is_not_waited_for(read, make, tmp_path):
    importlib.import_module('d2l_densenet.runs.directories')
    path = tmp_path / 'config.json'
    make(path)
    with pytest.raises((ValueError, OSError)) as caught:
        read(path)
    assert str(path) in one_line(caught.value)


# --- The command line.

#: For each option of each command, values that must end with status 1 or 2 and one line that names the option or value.
COMMANDS = {
    'train': {'--network': ['nope', ''], '--size': ['0', 'x', '1.5', '99999999999999999999', '3', '100000'],
              '--epochs': ['0', '-1', 'x'], '--batch-size': ['0', 'x'], '--recipe': ['best', ''],
              '--data': ['x'], '--data-dir': ['', '/nowhere', __file__],
              '--device': ['tpu', 'gpu:x', 'gpu:99', 'gpu:²'],
              '--seed': ['-1', 'x', '4294967296'], '--limit': ['0', 'x'], '--validation': ['-1', 'x', '64'],
              '--kvstore': ['x', 'dist_sync'], '--output': ['', __file__, f'{__file__}/x'],
              '--resume': ['', '/nowhere', __file__],
              '--checkpoint-seconds': ['-1', 'nan', 'inf', 'x'], '--memory-efficient': ['x'], '--dtype': ['float64'],
              '--data-on-device': ['x']},
    'evaluate': {'directory': ['', '/nowhere', __file__, '.'], '--data': ['x'], '--data-dir': ['/nowhere'],
                 '--device': ['tpu'], '--mirrored': ['x']},
    'summary': {'--network': ['nope'], '--size': ['0', 'x', '1', '99999999999']},
    'export': {'directory': ['', '/nowhere', __file__], '--network': ['nope'], '--weights': ['', '/nowhere', __file__],
               '--part': ['', 'x'], '--no-strict': ['x'], '--size': ['0', 'x', '1', '1000000'],
               '--output': ['', __file__], '--format': ['x'],
               '--name': ['', '../x', 'a/b']},
    'launch': {'--workers': ['0', 'x'], '--servers': ['0', 'x'], '--time-limit': ['-1', 'nan', 'x'],
               'program': ['', 'train --epochs 0', 'train --kvstore device', 'train --batch-size 3']},
    'notebooks': {'directory': ['', __file__], '--force': ['x']}, 'gpu': {'--anyway': ['x'], '--remove': ['x']},
    'networks': {}, 'doctor': {},
}
GIVEN = {'train': ['--data', 'synthetic', '--limit', '64', '--device', 'cpu'], 'summary': [],
         'evaluate': [], 'export': ['--network', 'article', '--output', 'out', '--format', 'mxnet'],
         'launch': [], 'notebooks': [], 'gpu': []}


def test_every_command_and_option_has_an_entry():
    commands, = (action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert {name: {(action.option_strings or [action.dest])[-1] for action in parser._actions} - {'--help'}
            for name, parser in commands.choices.items()} == {name: set(table) for name, table in COMMANDS.items()}


@pytest.mark.parametrize('command, option', [(command, option) for command in COMMANDS for option in COMMANDS[command]])
def test_options_that_cannot_be_taken(command, option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for value in COMMANDS[command][option]:
        given = list(GIVEN[command])
        if option == 'directory':
            arguments = [command, value]
        elif option == 'program':
            arguments = [command, '--', *value.split()]
        else:
            if option == '--data-dir':
                given = ['--device', 'cpu', *(['.'] if command == 'evaluate' else [])]
            elif option == '--resume':
                given = []
            elif command == 'evaluate':
                given = ['.']
            if option in given:
                at = given.index(option)
                del given[at:at + 2]
            arguments = [command, *given, f'{option}={value}']
        try:
            status = cli.main(arguments)
        except SystemExit as end:
            status = end.code
        error = capsys.readouterr().err
        assert status in (1, 2) and error.count('\n') == 1 and 'error:' in error, (arguments, status, error)
        assert 'Traceback' not in error
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == []


# --- Anything.

JUNK = st.one_of(st.none(), st.booleans(), st.sampled_from([-2 ** 40, -1, 0, 1, 2, 2 ** 31, 2 ** 63]), st.floats(),
                 st.text(max_size=4), st.binary(max_size=4), st.lists(st.integers(-1, 3), max_size=3),
                 st.dictionaries(st.text(max_size=2), st.integers(0, 2), max_size=2), st.just(numpy.zeros(2)),
                 st.just(mx.nd.zeros(2)), st.just(object()), st.just(len))
SOME = ['blocks.conv_block', 'blocks.transition_block', 'blocks.DenseBlock', 'network.DenseNet',
        'network.DenseNet.stage_sizes', 'named.densenet', 'resnets.resnet', 'analysis.formulas.densenet_formula',
        'analysis.formulas.resnet_formula', 'data.loader.ImageLoader', 'optimizers.Muon', 'recipes.Recipe.fit_options',
        'devices.try_gpu', 'analysis.counting.summary', 'analysis.counting.count_parameters',
        'plots.draw_dense_block', 'data.synthetic.synthetic_fashion']


@settings(max_examples=15)
@pytest.mark.parametrize('name', SOME)
@given(data=st.data())
def test_anything_is_taken_or_named(name, data):
    function, (good, bad) = the_callable(name), TABLE[name]
    argument = data.draw(st.sampled_from(sorted(key for key, value in bad.items() if not isinstance(value, dict))))
    arguments = {**good(), argument: data.draw(JUNK)}
    positional = [arguments.pop('self')] if 'self' in arguments else []
    try:
        function(*positional, **arguments)
    except (ValueError, TypeError) as error:
        one_line(error)


def test_show_is_short():
    assert len(show('x' * 10 ** 6)) < 200 and len(show(list(range(10 ** 6)))) < 200
    assert show(numpy.zeros((2, 3))) == 'a numpy.ndarray of float64 (2, 3)'
    assert show(mx.np.zeros((2, 3))) == 'an mx.np array of float32 (2, 3)' and show(net()) == 'a DenseNet'
    assert str(DataSource('x', 'md5:' + '0' * 32, '')).startswith('x') and pathlib.Path(__file__).exists()
