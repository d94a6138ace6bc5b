"""What a reader may have kept from notebooks 01 to 03: plain blocks, with which every later notebook must run."""

from mxnet import np, npx
from mxnet.gluon import nn

npx.set_np()


def conv_block(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return block


class DenseBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = nn.Sequential()
        for _ in range(num_convs):
            self.layers.add(conv_block(num_channels))

    def forward(self, X):
        for layer in self.layers:
            X = np.concatenate([X, layer(X)], axis=1)
        return X


def transition_block(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=1), nn.AvgPool2D(2, 2))
    return block
