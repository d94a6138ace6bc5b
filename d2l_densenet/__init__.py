"""DenseNet in Apache MXNet Gluon: the helper package of the course in ``notebooks/``.

The names load on first use. So ``python -m d2l_densenet doctor`` runs where MXNet itself cannot be imported,
and nothing that only draws (matplotlib) is loaded by who only trains.
"""

import importlib

import mxnet_compat

# For `import mxnet` on NumPy 2 and later; mxnet_compat.pth has done it already where the interpreter reads such files.
mxnet_compat.install()

__version__ = '0.1.0'

_MODULES = {
    'blocks': ['conv_block', 'DenseBlock', 'transition_block'],
    'network': ['DenseNet'],
    'named': ['densenet', 'NETWORKS', 'he_initialize'],
    'resnets': ['resnet', 'RESNETS'],
    'analysis.formulas': ['network_formula', 'densenet_formula', 'resnet_formula'],
    'data.loader': ['load_data_fashion_mnist', 'ImageLoader', 'DataSource', 'DataError', 'FASHION_MNIST_LABELS'],
    'training': ['fit', 'train_ch5'],
    'evaluation': ['evaluate_accuracy', 'predict'],
    'execution.eval_mode': ['eval_mode'],
    'history': ['History', 'DivergenceError'],
    'shipped': ['trained_network', 'weights_record', 'recorded_runs'],
    'optimizers': ['Muon'],
    'recipes': ['RECIPES', 'Recipe'],
    'runs.checkpoints': ['ResumeError'],
    'devices': ['try_gpu'],
    'analysis.counting': ['summary', 'count_parameters'],
    'interop.checkpoints': ['load_pretrained', 'save_torch', 'LoadReport', 'CheckpointError'],
    'analysis.reuse': ['cut_connection', 'mean_absolute_weights'],
    'interop.export': ['export_model', 'ExportError'],
    'plots': ['plot_history', 'plot_confusion_matrix', 'plot_mistakes', 'plot_images', 'plot_channels', 'plot_stages',
              'plot_accuracy', 'plot_memory', 'plot_feature_reuse', 'draw_dense_block', 'draw_chain',
              'draw_add_vs_concat', 'draw_network'],
}
#: Modules that are attributes too: `d2l_densenet.recompute.record()`.
_ATTRIBUTES = ('checks', 'plots', 'recompute', 'resnets')
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_HOME]


def __getattr__(name):
    if name in _ATTRIBUTES:
        return importlib.import_module(f'.{name}', __name__)
    if name not in _HOME:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(importlib.import_module(f'.{_HOME[name]}', __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
