"""Residual networks, to hold DenseNet against: Gluon's model zoo where it has them, d2l's ResNet-18 written here.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv:1512.03385); the
pre-activation networks: "Identity Mappings in Deep Residual Networks", ECCV 2016 (arXiv:1603.05027). A name that is
unknown, or an argument that is out of its range, is a ValueError.
"""

from mxnet.gluon import nn
from mxnet.gluon.model_zoo.vision import resnet as zoo

from ._common.arguments import known_name, one_of, positive_int
from .blocks import conv_block, transition_block
from .execution.block import Block, HybridSequential

__all__ = ['RESNETS', 'resnet', 'small_resnet']


class Residual(Block):
    """Residual block of the d2l book. It has no batch normalization on the shortcut's 1x1 convolution (`downsample`).

    **Inputs:** (N, in_channels, H, W). **Outputs:** (N, channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, channels, stride=1, downsample=False, in_channels=0, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = HybridSequential('body', prefix='')
            self.body.add(nn.Conv2D(channels, 3, stride, 1, in_channels=in_channels), nn.BatchNorm(),
                          nn.Activation('relu'), nn.Conv2D(channels, 3, 1, 1, in_channels=channels), nn.BatchNorm())
            self.downsample = nn.Conv2D(channels, 1, stride, in_channels=in_channels) if downsample else None
            self.relu = nn.Activation('relu')

    def hybrid_forward(self, F, x):
        shortcut = self.downsample(x) if self.downsample else x
        return self.relu(self.body(x) + shortcut)


class PreActivationResidual(Block):
    """Two `conv_block`, their result added to the input. **Inputs** and **outputs:** (N, channels, H, W)."""

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = HybridSequential(prefix='')
            with self.body.name_scope():
                self.body.add(conv_block(channels, channels), conv_block(channels, channels))

    def hybrid_forward(self, F, x):
        return x + self.body(x)


class ResNet(Block):
    """A residual network in the form of Gluon's zoo, ``output(features(x))``; made by `resnet`.

    **Inputs:** images (N, C, H, W), float32. **Outputs:** scores before the softmax, (N, classes).
    """

    def __init__(self, name, features, output, **kwargs):
        super().__init__(**kwargs)
        #: The arguments of `resnet`, enough to build the same network again.
        self.config = {'name': name, 'classes': output._units}
        self.features, self.output = features, output

    def stages(self):
        """The parts of the network in order: a list of (name, list of blocks)."""
        layers = [*self.features, self.output]
        stages = [layer for layer in layers if isinstance(layer, nn.HybridSequential)]
        start = layers.index(stages[0])
        return [('stem', layers[:start]), *((f'stage {i}', [stage]) for i, stage in enumerate(stages, 1)),
                ('classifier', layers[start + len(stages):])]

    def hybrid_forward(self, F, x):
        return self.output(self.features(x))


_IMAGENET = (3, 224, 224)
_CIFAR = (3, 32, 32)
#: For each name: residual block, blocks in each stage, channels of the stem and of each stage, classes, and the shape
#: (C, H, W) of the images it was published for.
RESNETS = {
    'd2l_resnet18': (Residual, (2, 2, 2, 2), (64, 64, 128, 256, 512), 10, (1, 96, 96)),
    'resnet18': (zoo.BasicBlockV1, (2, 2, 2, 2), (64, 64, 128, 256, 512), 1000, _IMAGENET),
    'resnet34': (zoo.BasicBlockV1, (3, 4, 6, 3), (64, 64, 128, 256, 512), 1000, _IMAGENET),
    'resnet50': (zoo.BottleneckV1, (3, 4, 6, 3), (64, 256, 512, 1024, 2048), 1000, _IMAGENET),
    'resnet101': (zoo.BottleneckV1, (3, 4, 23, 3), (64, 256, 512, 1024, 2048), 1000, _IMAGENET),
    'resnet152': (zoo.BottleneckV1, (3, 8, 36, 3), (64, 256, 512, 1024, 2048), 1000, _IMAGENET),
    'resnet110': (zoo.BasicBlockV2, (18, 18, 18), (16, 16, 32, 64), 10, _CIFAR),
    'resnet164': (zoo.BottleneckV2, (18, 18, 18), (16, 64, 128, 256), 10, _CIFAR),
    'resnet1001': (zoo.BottleneckV2, (111, 111, 111), (16, 64, 128, 256), 10, _CIFAR),
}


def resnet(name, classes=None, **kwargs):
    """Build a ResNet by its name.

    -18 to -152 are Gluon's ``resnet18_v1`` to ``resnet152_v1`` (their files of parameters fit). The 1x1 convolutions
    of -50, -101 and -152 have biases there, which the paper's have not, and the first of each stage has the stride.
    -110, -164 and -1001 are the pre-activation networks for CIFAR, from the parts of the zoo's ``ResNetV2``, without
    its normalization of the images, which the paper has not. ``'d2l_resnet18'`` is the d2l book's.

    Parameters
    ----------
    name : str
        A key of `RESNETS`.
    classes : int, >= 1, optional
        Outputs of the classifier; by default as published.
    **kwargs
        ``prefix`` and ``params`` of the Gluon block.

    Returns
    -------
    ResNet
        It takes images with any number of channels: the first call settles it.

    Examples
    --------
    >>> net = resnet('d2l_resnet18')
    >>> net.initialize()
    >>> net(mx.nd.ones((2, 1, 48, 48))).shape
    (2, 10)
    """
    block, layers, channels, published_classes, published = known_name(name, RESNETS)
    classes = published_classes if classes is None else positive_int('classes', classes)
    cifar = published[1] == 32
    parts = (zoo.ResNetV2 if cifar else zoo.ResNetV1)(block, layers, channels, classes=classes, thumbnail=cifar)
    features = parts.features
    if block is Residual or cifar:
        first, *rest = features
        features = HybridSequential(prefix='')
        if block is Residual:
            # d2l's first convolution has a bias, the zoo's has none.
            features.add(nn.Conv2D(channels[0], 7, 2, 3))
        # Else `first` normalizes the images, and is left out. The paper has no such layer, and its running statistics
        # would never move: MXNet moves them in the backward pass, which ends behind the last layer with a gradient.
        features.add(*rest)
    return ResNet(name, features, parts.output, **kwargs)


#: The block designs of `small_resnet`.
DESIGNS = ('pre-activation', 'post-activation', 'chain')


def small_resnet(width, design='pre-activation', blocks=3, classes=10):
    """Build a ResNet on the frame of ``DenseNet(k, (6, 6), pooling_convention='full')``, to compare the two.

    The stem for one-channel images, `blocks` blocks of two 3x3 convolutions with `width` channels, as many with twice
    the channels at half the height and width, global average pooling and a dense layer.

    Parameters
    ----------
    width : int, >= 1
        Channels of the stem and of the first blocks.
    design : {'pre-activation', 'post-activation', 'chain'}
        ``'pre-activation'``: BN and ReLU before each convolution, a `transition_block` halves, BN and ReLU before the
        classifier: as in the DenseNet, but what two convolutions make is added. ``'chain'``: the same, nothing added.
        ``'post-activation'``: `Residual`, whose first convolution with stride 2 halves.
    blocks : int, >= 1
        Residual blocks of each half.
    classes : int, >= 1

    Returns
    -------
    mxnet.gluon.nn.HybridSequential
        **Inputs:** images (N, 1, H, W). **Outputs:** scores before the softmax, (N, classes).

    Examples
    --------
    >>> net = small_resnet(16)
    >>> net.initialize()
    >>> net(mx.nd.ones((2, 1, 28, 28))).shape
    (2, 10)
    """
    positive_int('width', width)
    positive_int('blocks', blocks, most=2 ** 10)
    positive_int('classes', classes)
    one_of('design', design, DESIGNS)
    net = HybridSequential()
    net.add(nn.Conv2D(width, 7, 2, 3, in_channels=1), nn.BatchNorm(in_channels=width), nn.Activation('relu'),
            nn.MaxPool2D(3, 2, 1))
    for channels in (width, 2 * width):
        if channels > width and design != 'post-activation':
            net.add(transition_block(channels, width, pooling_convention='full'))
        for number in range(blocks):
            if design == 'pre-activation':
                net.add(PreActivationResidual(channels))
            elif design == 'chain':
                net.add(conv_block(channels, channels), conv_block(channels, channels))
            else:
                halves = channels > width and number == 0
                net.add(Residual(channels, 1 + halves, halves, width if halves else channels))
    if design != 'post-activation':
        net.add(nn.BatchNorm(in_channels=2 * width), nn.Activation('relu'))
    net.add(nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(classes, in_units=2 * width))
    return net
