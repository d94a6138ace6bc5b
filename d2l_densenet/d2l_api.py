"""For d2l 1.0.3: Fashion-MNIST as a ``d2l.DataModule`` and DenseNet as a ``d2l.Classifier``.

Importing this module imports d2l; the package itself never does. d2l is written for np mode, which its notebooks
switch on with ``npx.set_np()``; what is here, and ``d2l.Trainer`` with it, works in both array modes.
"""

import mxnet as mx

from ._common.arguments import gluon_block, number, positive_int
from ._common.arrays import array
from .data.loader import FASHION_MNIST_LABELS, load_data_fashion_mnist
from .network import DenseNet

try:
    from d2l import mxnet as d2l
except ImportError as error:
    raise ImportError(f'd2l_densenet.d2l_api needs d2l 1.0.3, which could not be imported ({error}): run '
                      '`pip install d2l==1.0.3`, or `make env` in a checkout') from error

__all__ = ['FashionMNISTData', 'DenseNetClassifier']


class FashionMNISTData(d2l.DataModule):
    """The official Fashion-MNIST for ``d2l.Trainer``; d2l's own `FashionMNIST` fetches an older release.

    It loads in the process itself: d2l's worker processes hand out arrays that a hybridized network refuses.
    Arguments and errors are those of `load_data_fashion_mnist`.

    Attributes
    ----------
    train, val : ImageLoader
        Batches (X, y): X (B, 1, H, W) float32 in [0, 1], y (B,) int32.
    source : DataSource
        Which data set this is.

    Examples
    --------
    >>> mx.npx.set_np()
    >>> data = FashionMNISTData(batch_size=32, data='synthetic', limit=64)
    data: SYNTHETIC STAND-IN (not Fashion-MNIST)
    >>> X, y = next(iter(data.train_dataloader()))
    >>> X.shape, y.shape
    ((32, 1, 48, 48), (32,))
    """

    def __init__(self, batch_size=64, resize=48, root=None, data='auto', limit=None, seed=0, *, flip=False, crop=0,
                 validation=0):
        super().__init__(root=root, num_workers=0)
        self.save_hyperparameters()
        self.train, self.val = load_data_fashion_mnist(
            batch_size, resize, root, data=data, flip=flip, crop=crop, seed=seed, limit=limit, validation=validation)
        self.source = self.train.source

    def get_dataloader(self, train):
        """The loader of the training images, or of the test (or validation) images."""
        return self.train if train else self.val

    def text_labels(self, indices):
        """The class names of an array or a sequence of labels."""
        indices = indices.asnumpy() if hasattr(indices, 'asnumpy') else indices
        return [FASHION_MNIST_LABELS[int(i)] for i in indices]

    def visualize(self, batch, nrows=1, ncols=8, labels=()):
        """Draw the first ``nrows * ncols`` images of a batch with their class names, or with `labels`."""
        X, y = batch
        d2l.show_images(X.asnumpy()[:nrows * ncols, 0], nrows, ncols, titles=list(labels) or self.text_labels(y))


class DenseNetClassifier(d2l.Classifier):
    """A network for ``d2l.Trainer``, by default the DenseNet of the article, hybridized.

    Parameters
    ----------
    net : gluon.Block, optional
        Initialized; used as it is. By default ``DenseNet(classes=num_classes)`` with Xavier initialization.
    lr : float, > 0, default 0.1
        Learning rate of stochastic gradient descent.
    num_classes : int, >= 1, default 10
        Outputs of the network; a `DenseNet` with another number is a ValueError.

    **Inputs:** images (N, 1, H, W), float32. **Outputs:** scores before the softmax, (N, num_classes).

    Examples
    --------
    >>> mx.npx.set_np()
    >>> model = DenseNetClassifier(num_classes=7)
    >>> model(mx.np.ones((2, 1, 48, 48))).shape
    (2, 7)
    """

    def __init__(self, net=None, lr=0.1, num_classes=10):
        super().__init__()
        number('lr', lr, above=0)
        positive_int('num_classes', num_classes)
        self.save_hyperparameters(ignore=['net'])
        if net is None:
            net = DenseNet(classes=num_classes)
            net.initialize(mx.init.Xavier())
            net.hybridize(static_alloc=True, static_shape=True)
        elif isinstance(gluon_block('net', net), DenseNet) and net.config['classes'] != num_classes:
            raise ValueError(f'num_classes must be the number of outputs of net, {net.config["classes"]}, '
                             f'got {num_classes!r}')
        self.net = net

    def layer_summary(self, X_shape):
        """Print the output's shape of each layer, as the book's chapters do, for images of the shape `X_shape`."""
        X = array(mx.nd.random.normal(shape=X_shape).asnumpy(), 'float32')
        layers = [*self.net.features, self.net.output] if hasattr(self.net, 'features') else self.net._children.values()
        for layer in layers or [self.net]:
            X = layer(X)
            print(type(layer).__name__, 'output shape:\t', X.shape)
