"""What the tests of the plots draw: small histories, networks and maps, and a figure of each kind."""

from types import SimpleNamespace

import mxnet as mx
import numpy
from helpers import switch
from mxnet import gluon

from d2l_densenet import DenseNet, History, plots


def history(*accuracies, data='some data'):
    return History([{'epoch': i + 1, 'loss': 1 / (i + 1), 'train_acc': 0.5, 'test_acc': acc, 'seconds': 1.0,
                     'images_per_second': 10.0, 'learning_rate': 0.1} for i, acc in enumerate(accuracies)], data)


def texts(figure):
    """All that a figure says."""
    from matplotlib.text import Text
    return ' | '.join(text.get_text() for text in figure.findobj(Text))


class Source(str):
    """What a loader says of its images, and which they are."""

    name = 'fashion-mnist'


class Loader:
    """Ten images whose label is the brightest column; the loader names its data."""

    shuffle = False
    source = Source('drawn by hand')

    def __init__(self):
        self.labels = numpy.arange(10) % 10
        self.images = numpy.zeros((10, 4, 10), 'uint8')
        self.images[numpy.arange(10), :, self.labels] = 255

    def __iter__(self):
        module = mx.np if mx.util.is_np_array() else mx.nd
        yield module.array(self.images[:, None] / 255, dtype='float32'), module.array(self.labels, dtype='int32')


def column_reader(mode, swap=()):
    """A network that reads the brightest column, but takes class a for b for each (a, b) in `swap`."""
    net = gluon.nn.Dense(10, use_bias=False, in_units=40)
    net.initialize()
    weight = numpy.tile(numpy.eye(10), (1, 4)).astype('float32')
    for a, b in swap:
        weight[:, a::10] = 0
        weight[b, a::10] = 1
    net.weight.set_data(switch(mode)(weight))
    return net


def initialized(net):
    net.initialize()
    return net


def costs(parameters, multiply_adds):
    return SimpleNamespace(parameters=parameters, multiply_adds=multiply_adds)


def memory(*layers):
    """Rows of bytes: 0.5 L^2 + 2 L and 4 L + 10 megabytes."""
    return {'ordinary': [(n, 5e5 * n * n + 2e6 * n) for n in layers],
            'recomputing': [(n, 4e6 * n + 1e7) for n in layers]}


def reuse_map(layers, factor=1.0):
    """A map whose numbers tell where they belong: factor * (layer + source / 10)."""
    return factor * (numpy.arange(layers)[:, None] + numpy.arange(layers) / 10)


def live_accuracy():
    live = plots.LiveAccuracy('validation accuracy')
    live.add('DenseNet', 0, 0.1)
    live.add('DenseNet', 1, 0.9)
    return live.figure


FIGURES = {
    'history': lambda: plots.plot_history({'article': history(0.6, 0.7), 'course': history(0.8)}),
    'confusions': lambda: plots.plot_confusion_matrix(column_reader('nd', swap=[(6, 0)]), Loader()),
    'mistakes': lambda: plots.plot_mistakes(column_reader('nd', swap=[(6, 0)]), Loader()),
    'images': lambda: plots.plot_images(numpy.zeros((3, 28, 28)), [0, 1, 9], data='source'),
    'block': lambda: plots.draw_dense_block(4), 'growth': lambda: plots.draw_growth((4, 10, 5), (8, 10, 20, 0.5)),
    'feature maps': lambda: plots.plot_feature_maps({f'$x_{i}$': numpy.stack([reuse_map(8)] * 6) for i in (0, 1)},
                                                    'One ankle boot in a dense block'),
    'live': live_accuracy, 'chain': lambda: plots.draw_chain(4),
    'add': plots.draw_add_vs_concat, 'channels': lambda: plots.plot_channels(DenseNet()),
    'accuracy': lambda: plots.plot_accuracy({'ResNet': (costs(3, 9), [0.9, 0.8]), 'plain': (costs(3, 9), [0.7])}),
    'network': lambda: plots.draw_network(initialized(DenseNet()), numpy.zeros((48, 48))),
    'memory': lambda: plots.plot_memory(memory(6, 12, 24), memory(6, 12, 24)),
    'stages': lambda: plots.plot_stages('resnet18', 'densenet121')}
