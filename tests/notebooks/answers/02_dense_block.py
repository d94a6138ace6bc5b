# ruff: noqa
# %% test-conv-block right: a Block that registers the convolution first, without bias
class conv_block(nn.Block):
    def __init__(self, num_channels):
        super().__init__()
        self.c = nn.Conv2D(num_channels, 3, 1, 1, use_bias=False)
        self.b = nn.BatchNorm()

    def forward(self, x):
        return self.c(np.maximum(self.b(x), 0))

# %% test-conv-block right: a lambda
conv_block = lambda k: [b := nn.HybridSequential(), b.add(nn.BatchNorm(), nn.HybridLambda(lambda F, x: F.npx.relu(x)), nn.Conv2D(k, (3, 3), padding=(1, 1)))][0]

# %% test-conv-block right: nested and hybridized
def conv_block(num_channels):
    first, second = nn.HybridSequential(), nn.HybridSequential()
    first.add(nn.BatchNorm(), nn.Activation('relu'))
    second.add(first, nn.Conv2D(num_channels, kernel_size=3, padding=1))
    second.hybridize()
    return second

# %% test-conv-block right: a HybridBlock by partial
import functools
class H(nn.HybridBlock):
    def __init__(self, num_channels, size):
        super().__init__()
        self.bn, self.conv = nn.BatchNorm(epsilon=1e-3), nn.Conv2D(num_channels, size, padding=size // 2)

    def hybrid_forward(self, F, x):
        return self.conv(F.npx.relu(self.bn(x)))


conv_block = functools.partial(H, size=3)

# %% test-conv-block wrong: the package's | uses the package
conv_block = d2l_densenet.conv_block

# %% test-conv-block wrong: the package's in a function of one's own | uses the package
def conv_block(num_channels):
    return d2l_densenet.conv_block(num_channels)

# %% test-conv-block wrong: the convolution first | come first here
def conv_block(num_channels):
    b = nn.Sequential()
    b.add(nn.Conv2D(num_channels, kernel_size=3, padding=1), nn.BatchNorm(), nn.Activation('relu'))
    return b

# %% test-conv-block wrong: no padding | padding=1
def conv_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3))
    return b

# %% test-conv-block wrong: no return | forget `return`
def conv_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))

# %% test-conv-block wrong: no ReLU | Where is the ReLU
def conv_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return b

# %% test-conv-block wrong: a number for the argument | should stand
def conv_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(10, kernel_size=3, padding=1))
    return b

# %% test-conv-block wrong: frozen statistics | wrong in training
def conv_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(use_global_stats=True), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return b

# %% test-conv-block wrong: the input added | what does it leave out
class conv_block(nn.Block):
    def __init__(self, num_channels):
        super().__init__()
        self.b, self.c = nn.BatchNorm(), nn.Conv2D(num_channels, 3, 1, 1)

    def forward(self, x):
        return self.c(npx.relu(self.b(x))) + x.mean(axis=1, keepdims=True)

# %% test-dense-block right: a list, layers registered last first, no biases
class L(nn.Block):
    def __init__(self, k):
        super().__init__()
        self.conv, self.bn = nn.Conv2D(k, 3, padding=1, use_bias=False), nn.BatchNorm()

    def forward(self, x):
        return self.conv(npx.relu(self.bn(x)))


class DenseBlock(nn.Block):
    def __init__(self, n, k):
        super().__init__()
        self.n = n
        for i in range(n)[::-1]:
            setattr(self, f'mein_{i}', L(k))

    def forward(self, x):
        xs = [x]
        for i in range(self.n):
            xs += [getattr(self, f'mein_{i}')(np.concatenate(xs, axis=1))]
        return np.concatenate(xs, axis=1)

# %% test-dense-block right: a HybridBlock with three flat layers a turn
class DenseBlock(nn.HybridBlock):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.all = nn.HybridSequential(prefix='x_')
        for _ in range(num_convs):
            self.all.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 3, padding=1))

    def hybrid_forward(self, F, x):
        for i in range(0, len(self.all), 3):
            y = x
            for layer in self.all[i:i + 3]:
                y = layer(y)
            x = F.np.concatenate([x, y], axis=1)
        return x

# %% test-dense-block right: a function that returns a Sequential
class Grow(nn.Block):
    def __init__(self, k):
        super().__init__()
        self.f = nn.Sequential()
        self.f.add(nn.BatchNorm(), nn.Lambda(lambda x: x * (x > 0)), nn.Conv2D(k, 3, padding=1))

    def forward(self, x):
        return np.concatenate((x, self.f(x)), axis=-3)


def DenseBlock(a, b):
    net = nn.Sequential()
    net.add(*(Grow(b) for _ in range(a)))
    return net

# %% test-dense-block wrong: the package's | uses the package
DenseBlock = d2l_densenet.DenseBlock

# %% test-dense-block wrong: an heir of the package's | uses the package
class DenseBlock(d2l_densenet.DenseBlock):
    pass

# %% test-dense-block wrong: the package's inside | uses the package
class DenseBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.inner = d2l_densenet.DenseBlock(num_convs, num_channels)

    def forward(self, X):
        return self.inner(X)

# %% test-dense-block wrong: the sum of ResNet | You add the two
def layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(k, 3, padding=1))
    return b


class DenseBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(layer(num_channels))

    def forward(self, X):
        for block in self.net:
            X = X + block(X)
        return X

# %% test-dense-block wrong: a plain chain | Where is the concatenation
class DenseBlock(nn.Sequential):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        for _ in range(num_convs):
            self.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 3, padding=1))

# %% test-dense-block wrong: the new channels first | [X, Y] or [Y, X]
def layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(k, 3, padding=1))
    return b


class DenseBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(layer(num_channels))

    def forward(self, X):
        for block in self.net:
            X = np.concatenate([block(X), X], axis=1)
        return X

# %% test-dense-block wrong: layers in a plain list | plain list
def layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(k, 3, padding=1))
    return b


class DenseBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = [layer(num_channels) for _ in range(num_convs)]

    def forward(self, X):
        for block in self.net:
            X = np.concatenate([X, block(X)], axis=1)
        return X

# %% test-dense-block wrong: one layer used again and again | share
def layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(k, 3, padding=1))
    return b


class DenseBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        self.net.add(*[layer(num_channels)] * num_convs)

    def forward(self, X):
        for block in self.net:
            X = np.concatenate([X, block(X)], axis=1)
        return X

# %% test-dense-block wrong: each layer reads the input alone | alone: where are the earlier layers
def layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(k, 3, padding=1))
    return b


class DenseBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(layer(num_channels))

    def forward(self, X):
        return np.concatenate([X] + [block(X) for block in self.net], axis=1)

# %% test-dense-block wrong: a ReLU on what is passed on | after a ReLU
def layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Conv2D(k, 3, padding=1))
    return b


class DenseBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(layer(num_channels))

    def forward(self, X):
        for block in self.net:
            X = npx.relu(np.concatenate([X, block(X)], axis=1))
        return X

# %% test-cost right: floats and loops
def connections(L):
    return L * (L + 1) / 2


def block_parameters(c, L, k):
    total = 0
    while L:
        total += 2 * c + 9 * c * k + k
        c, L = c + k, L - 1
    return float(total)

# %% test-cost right: counted by building
import numpy
def connections(L):
    return len([(s, l) for l in range(1, L + 1) for s in range(l)])


def block_parameters(in_channels, num_convs, growth_rate):
    net = d2l_densenet.DenseBlock(num_convs, growth_rate, in_channels=in_channels)
    return sum(numpy.prod(p.shape) for p in net.collect_params().values() if p.grad_req != 'null')

# %% test-cost right: NumPy's types, a lambda
import numpy
connections = lambda n: numpy.arange(n + 1).sum()
block_parameters = lambda c0, L, k: (np.array((c0 + k * numpy.arange(L)) * (9 * k + 2), dtype='int64').sum() + L * k)

# %% test-cost wrong: a plain chain | plain chain
def connections(L):
    return L


def block_parameters(c, L, k):
    return sum(2 * (c + k * i) + 9 * (c + k * i) * k + k for i in range(L))

# %% test-cost wrong: every pair | every layer with every layer
def connections(L):
    return L ** 2


block_parameters = lambda c, L, k: 0

# %% test-cost wrong: no biases | biases
connections = lambda L: L * (L + 1) // 2
block_parameters = lambda c, L, k: sum((2 + 9 * k) * (c + k * i) for i in range(L))

# %% test-cost wrong: BN forgotten | batch normalizations
connections = lambda L: L * (L + 1) // 2
block_parameters = lambda c, L, k: sum(9 * k * (c + k * i) + k for i in range(L))

# %% test-cost wrong: no growth | more than the one before
connections = lambda L: L * (L + 1) // 2
block_parameters = lambda c, L, k: L * (2 * c + 9 * c * k + k)

# %% test-cost wrong: one layer too far | one layer too far
connections = lambda L: L * (L + 1) // 2
block_parameters = lambda c, L, k: sum((2 + 9 * k) * (c + k * i) + k for i in range(1, L + 1))

# %% test-cost wrong: printed | Did you forget `return`
connections = lambda L: print(L * (L + 1) // 2)
block_parameters = lambda c, L, k: 0

# %% test-cost wrong: a table of what the check asks | should be
def connections(L):
    return {1: 1, 2: 3, 3: 6, 4: 10, 12: 78, 40: 820}.get(L, 0)


block_parameters = lambda c, L, k: 0

# %% test-by-hand right: text
channels_out, last_reads, weights = '192', '160 ', '129,024'

# %% test-by-hand right: floats of NumPy
import numpy
channels_out, last_reads, weights = numpy.float32(192), numpy.array([160]), 129024.0

# %% test-by-hand right: arrays of MXNet
channels_out, last_reads, weights = np.array(192), np.array([160.0]), np.array(129024, dtype='int64')

# %% test-by-hand wrong: nothing yet | write down what you found
channels_out = last_reads = weights = None

# %% test-by-hand wrong: the new channels alone | too low
channels_out, last_reads, weights = 128, 160, 129024

# %% test-by-hand wrong: the last reads itself | its own output
channels_out, last_reads, weights = 192, 192, 129024

# %% test-by-hand wrong: biases too | and the biases
channels_out, last_reads, weights = 192, 160, 129024 + 128

# %% test-by-hand wrong: no kernel | 3x3 kernel
channels_out, last_reads, weights = 192, 160, 448 * 32

# %% test-by-hand wrong: a kernel of 3 | two sides
channels_out, last_reads, weights = 192, 160, 3 * 448 * 32

# %% test-by-hand wrong: a shape | one number
channels_out, last_reads, weights = (1, 192, 8, 8), 160, 129024

# %% test-join right: f-string
def join(X, Y):
    if X.shape[-2:] != Y.shape[-2:]:
        raise ValueError(f'X is {X.shape}, Y is {Y.shape}')
    return np.concatenate((X, Y), 1)

# %% test-join right: MXNet's error caught
from mxnet import base


def join(a, b):
    try:
        return np.concatenate([a, b], axis=1)
    except base.MXNetError:
        raise ValueError('padding? ' + str(a.shape) + ' ' + str(b.shape))

# %% test-join right: an error of one's own, channels last and back
class SizeError(ValueError):
    pass


def join(X, Y):
    (_, _, h, w), (_, _, i, j) = X.shape, Y.shape
    if h != i or w != j:
        raise SizeError('%d x %d and %d x %d' % (h, w, i, j))
    return np.moveaxis(np.concatenate([np.moveaxis(X, 1, -1), np.moveaxis(Y, 1, -1)], -1), -1, 1)

# %% test-join wrong: MXNet's own error | ValueError is wanted
def join(X, Y):
    return np.concatenate([X, Y], axis=1)

# %% test-join wrong: numbers from the task | does not name
def join(X, Y):
    if X.shape[2:] != Y.shape[2:]:
        raise ValueError('22 20')
    return np.concatenate([X, Y], axis=1)

# %% test-join wrong: only heights | ValueError is wanted
def join(X, Y):
    if X.shape[2] != Y.shape[2]:
        raise ValueError(f'{X.shape} {Y.shape}')
    return np.concatenate([X, Y], axis=1)

# %% test-join wrong: no sizes named | does not name
def join(X, Y):
    if X.shape[2:] != Y.shape[2:]:
        raise ValueError('the sizes differ')
    return np.concatenate([X, Y], axis=1)

# %% test-join wrong: channels must be equal too | raised ValueError
def join(X, Y):
    if X.shape != Y.shape:
        raise ValueError(f'{X.shape} {Y.shape}')
    return np.concatenate([X, Y], axis=1)

# %% test-join wrong: Y first | In which order
def join(X, Y):
    if X.shape[2:] != Y.shape[2:]:
        raise ValueError(f'{X.shape} {Y.shape}')
    return np.concatenate([Y, X], axis=1)

# %% test-join wrong: the error returned | should raise
def join(X, Y):
    if X.shape[2:] != Y.shape[2:]:
        return ValueError(f'{X.shape} {Y.shape}')
    return np.concatenate([X, Y], axis=1)

# %% test-join wrong: another kind of error | ValueError is wanted
def join(X, Y):
    if X.shape[2:] != Y.shape[2:]:
        raise Exception(f'{X.shape} {Y.shape}')
    return np.concatenate([X, Y], axis=1)

# %% test-join wrong: the larger is cut | should raise
def join(X, Y):
    h, w = min(X.shape[2], Y.shape[2]), min(X.shape[3], Y.shape[3])
    return np.concatenate([X[:, :, :h, :w], Y[:, :, :h, :w]], axis=1)

# %% test-keeps-input right: NumPy
import numpy
def keeps_input(block, X):
    Y, x = block(X).asnumpy(), X.asnumpy()
    return Y.shape[1] > x.shape[1] and numpy.array_equal(Y[:, :x.shape[1]], x)

# %% test-keeps-input right: an array of one truth value
def keeps_input(f, x):
    y = f(x)
    if y.shape[1] <= x.shape[1]:
        return np.array(False)
    return (y[:, :x.shape[1]] == x).all()

# %% test-keeps-input right: channel by channel, a word
def keeps_input(block, X):
    Y = block(X)
    n = X.shape[1]
    if Y.shape[1] == n or any(np.abs(Y[:, i] - X[:, i]).max() > 0 for i in range(n)):
        return 'no'
    return 'yes'

# %% test-keeps-input wrong: only the width | is the input among them
def keeps_input(block, X):
    return block(X).shape[1] > X.shape[1]

# %% test-keeps-input wrong: the type | look at what block
def keeps_input(block, X):
    return isinstance(block, d2l_densenet.DenseBlock)

# %% test-keeps-input wrong: the sum would be right too | it should be
def keeps_input(block, X):
    Y = block(X)
    return Y.shape[1] >= X.shape[1] and bool((Y[:, :X.shape[1]] == X).all())

# %% test-keeps-input wrong: always | it should be
def keeps_input(block, X):
    return True

# %% test-keeps-input wrong: nearly is enough | it should be
def keeps_input(block, X):
    Y = block(X)
    return Y.shape[1] > X.shape[1] and bool(np.allclose(Y[:, :X.shape[1]], X, atol=0.01))

# %% test-keeps-input wrong: the first channel only | it should be
def keeps_input(block, X):
    Y = block(X)
    return Y.shape[1] > X.shape[1] and bool((Y[:, 0] == X[:, 0]).all())

# %% test-keeps-input wrong: right only for positive data | it should be
def keeps_input(block, X):
    Y = block(npx.relu(X))
    return Y.shape[1] > X.shape[1] and bool((Y[:, :X.shape[1]] == npx.relu(X)).all())

# %% test-keeps-input wrong: nothing returned | Did you forget `return`
def keeps_input(block, X):
    (block(X)[:, :X.shape[1]] == X).all()
