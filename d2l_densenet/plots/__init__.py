"""Figures of the course: training curves, mistakes, and diagrams of the network.

Every ``plot_...`` and ``draw_...`` returns a ``matplotlib.figure.Figure`` and shows nothing. In a notebook the figure
is shown once, as the last expression of a cell; elsewhere use ``figure.savefig('name.png')``. What
cannot be drawn is refused with a TypeError or ValueError that names the argument.
"""

from .curves import LiveAccuracy, plot_accuracy, plot_history, plot_memory
from .diagrams import draw_add_vs_concat, draw_chain, draw_dense_block, draw_growth, plot_channels, plot_stages
from .journey import draw_network
from .look import DENSENET, RESNET, describe, style
from .pictures import plot_confusion_matrix, plot_feature_maps, plot_feature_reuse, plot_images, plot_mistakes

__all__ = ['DENSENET', 'RESNET', 'LiveAccuracy', 'describe', 'draw_add_vs_concat', 'draw_chain', 'draw_dense_block',
           'draw_growth', 'draw_network', 'plot_accuracy', 'plot_channels', 'plot_confusion_matrix',
           'plot_feature_maps', 'plot_feature_reuse', 'plot_history', 'plot_images', 'plot_memory', 'plot_mistakes',
           'plot_stages', 'style']
