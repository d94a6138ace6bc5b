# ruff: noqa
# %% test-bottleneck-layer right: a Block whose 3x3 convolution is registered first
class Layer(nn.Block):
    def __init__(self, k):
        super().__init__()
        self.three = nn.Conv2D(k, 3, padding=1)
        self.one = nn.Conv2D(4 * k, 1)
        self.norm2 = nn.BatchNorm()
        self.norm1 = nn.BatchNorm()

    def forward(self, x):
        x = self.one(npx.relu(self.norm1(x)))
        return self.three(npx.relu(self.norm2(x)))


def bottleneck_layer(growth_rate):
    return Layer(growth_rate)

# %% test-bottleneck-layer right: the class itself
class bottleneck_layer(nn.HybridBlock):
    def __init__(self, growth_rate):
        super().__init__()
        self.body = nn.HybridSequential()
        for channels, kernel in ((4 * growth_rate, 1), (growth_rate, 3)):
            self.body.add(nn.BatchNorm(), nn.Activation('relu'),
                          nn.Conv2D(channels, kernel, padding=kernel // 2, use_bias=False))

    def hybrid_forward(self, F, x):
        return self.body(x)

# %% test-bottleneck-layer right: nested blocks, ReLU as a lambda
def bottleneck_layer(g):
    def part(*conv):
        block = nn.Sequential()
        block.add(nn.BatchNorm(), nn.HybridLambda(lambda F, x: F.npx.relu(x)), nn.Conv2D(*conv))
        return block
    whole = nn.Sequential()
    whole.add(part(4 * g, 1), part(g, 3, 1, 1))
    return whole

# %% test-bottleneck-layer wrong: the package's layer | uses the package
from d2l_densenet import conv_block
def bottleneck_layer(growth_rate):
    return conv_block(growth_rate, bottleneck=4)

# %% test-bottleneck-layer wrong: no widening | factor 4
def bottleneck_layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(k, 1), nn.BatchNorm(), nn.Activation('relu'),
          nn.Conv2D(k, 3, padding=1))
    return b

# %% test-bottleneck-layer wrong: the 3x3 convolution is applied first | 3x3 convolution first
def bottleneck_layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(4 * k, 3, padding=1), nn.BatchNorm(),
          nn.Activation('relu'), nn.Conv2D(k, 1))
    return b

# %% test-bottleneck-layer wrong: convolution before BN | after
def bottleneck_layer(k):
    b = nn.Sequential()
    b.add(nn.Conv2D(4 * k, 1), nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(k, 3, padding=1), nn.BatchNorm(),
          nn.Activation('relu'))
    return b

# %% test-bottleneck-layer wrong: no ReLU in the middle | Where is the ReLU
def bottleneck_layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(4 * k, 1), nn.BatchNorm(), nn.Conv2D(k, 3, padding=1))
    return b

# %% test-bottleneck-layer wrong: four times the input of the example | How wide
def bottleneck_layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(48, 1), nn.BatchNorm(), nn.Activation('relu'),
          nn.Conv2D(k, 3, padding=1))
    return b

# %% test-bottleneck-layer wrong: the padding is forgotten | padding=1
def bottleneck_layer(k):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(4 * k, 1), nn.BatchNorm(), nn.Activation('relu'),
          nn.Conv2D(k, 3))
    return b

# %% test-break-even right: a lambda, and the number as text
break_even = lambda k, B: k * B / (1 - B / 9)
never_from = '9'

# %% test-break-even right: NumPy
def break_even(k, B):
    return numpy.divide(9 * k * B, 9 - B)
never_from = numpy.int64(9)

# %% test-break-even right: an array of no axis, and a search
def break_even(k, B):
    return np.array(9.0 * k * B / (9 - B))
never_from = next(B for B in range(1, 100) if B >= 9)

# %% test-break-even right: fractions
from fractions import Fraction
def break_even(k, B):
    return Fraction(9 * B * k, 9 - B)
never_from = 9.0

# %% test-break-even wrong: only for B = 4 | B = 4 only
def break_even(k, B):
    return 7.2 * k
never_from = 9

# %% test-break-even wrong: in units of k | where is k
def break_even(k, B):
    return 9 * B / (9 - B)
never_from = 9

# %% test-break-even wrong: the 3x3 convolution has no factor 9 | Which weights
def break_even(k, B):
    return B * k / (9 - B)
never_from = 9

# %% test-break-even wrong: the 3x3 convolution reads k channels | Which weights
def break_even(k, B):
    return 9 * k / (9 - B)
never_from = 9

# %% test-break-even wrong: the 1x1 convolution costs nothing | Which weights
def break_even(k, B):
    return 9 * B * k
never_from = 9

# %% test-break-even wrong: one too late | cheaper than the plain one
def break_even(k, B):
    return 9 * B * k / (9 - B)
never_from = 10

# %% test-break-even wrong: the last that pays | for this B
def break_even(k, B):
    return 9 * B * k / (9 - B)
never_from = 8

# %% test-break-even wrong: printed | Did you forget `return`
def break_even(k, B):
    print(9 * B * k / (9 - B))
never_from = 9

# %% test-break-even wrong: never_from left open | still None
def break_even(k, B):
    return 9 * B * k / (9 - B)
never_from = None

# %% test-theta right: an exact decimal number
from decimal import Decimal
def channels_kept(m, percent):
    return int(Decimal(percent) / 100 * m)

# %% test-theta right: fractions
import math
from fractions import Fraction
channels_kept = lambda m, percent: math.floor(Fraction(percent, 100) * m)

# %% test-theta right: the product first, then a float
def channels_kept(m, percent):
    return numpy.floor(m * percent / 100)

# %% test-theta right: divmod
def channels_kept(channels, theta):
    return divmod(channels * theta, 100)[0]

# %% test-theta wrong: the float | rounded already
def channels_kept(m, percent):
    return int(percent / 100 * m)

# %% test-theta wrong: floor of the float | rounded already
def channels_kept(m, percent):
    import math
    theta = percent / 100
    return math.floor(theta * m)

# %% test-theta wrong: rounded | Is it the floor
def channels_kept(m, percent):
    return round(m * percent / 100)

# %% test-theta wrong: the ceiling | Is it the floor
def channels_kept(m, percent):
    return -(-m * percent // 100)

# %% test-theta wrong: divided first | in which order
def channels_kept(m, percent):
    return percent // 100 * m

# %% test-theta wrong: the dropped ones | that are dropped
def channels_kept(m, percent):
    return m - m * percent // 100

# %% test-theta wrong: theta is a half | it should be
def channels_kept(m, percent):
    return m // 2

# %% test-theta wrong: no return | Did you forget `return`
def channels_kept(m, percent):
    m * percent // 100

# %% test-table-1 right: a Block that adds its parts from the end
TABLE_1 = {121: [6, 12, 24, 16], 169: '6, 12, 32, 32', 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
class Net(nn.Block):
    def __init__(self, config, classes):
        super().__init__()
        self.output = nn.Dense(classes)
        self.norm = nn.BatchNorm()
        self.body = nn.Sequential()
        width = 64
        for i, n in enumerate(config):
            self.body.add(DenseBlock(n, 32, bottleneck=4, bias=False))
            width += 32 * n
            if i + 1 < len(config):
                width = int(width * 0.5)
                self.body.add(transition_block(width, bias=False))
        self.stem = nn.Conv2D(64, 7, 2, 3, use_bias=False)
        self.stem_norm = nn.BatchNorm()
        self.pool = nn.MaxPool2D(3, 2, 1)

    def forward(self, x):
        x = self.body(self.pool(npx.relu(self.stem_norm(self.stem(x)))))
        return self.output(npx.relu(self.norm(x)).mean(axis=(2, 3)))


def imagenet_densenet(block_config, classes=1000):
    return Net(block_config, classes)

# %% test-table-1 right: a class, and lists joined
TABLE_1 = {n: (6, 12, *rest) for n, rest in {121: (24, 16), 169: (32, 32), 201: (48, 32), 264: (64, 48)}.items()}
class imagenet_densenet(nn.HybridSequential):
    def __init__(self, block_config, classes=1000):
        super().__init__()
        self.add(nn.Conv2D(64, 7, 2, 3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
        c = 64
        for n in block_config[:-1]:
            c = (c + 32 * n) // 2
            self.add(DenseBlock(n, 32, bottleneck=4, bias=False), transition_block(c, bias=False))
        self.add(DenseBlock(block_config[-1], 32, bottleneck=4, bias=False), nn.BatchNorm(), nn.Activation('relu'),
                 nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(classes))

# %% test-table-1 right: stem and tail in blocks of their own, numbers as arrays
TABLE_1 = {121: numpy.array([6, 12, 24, 16]), 169: np.array([6, 12, 32, 32]), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    stem, tail, net = nn.Sequential(), nn.Sequential(), nn.Sequential()
    stem.add(nn.Conv2D(64, 7, 2, 3, use_bias=False), nn.BatchNorm(), nn.LeakyReLU(0), nn.MaxPool2D(3, 2, 1))
    tail.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    net.add(stem)
    c = 64
    for i, n in enumerate(block_config):
        net.add(DenseBlock(n, 32, bottleneck=4, bias=False))
        c = c + 32 * n
        if i != len(block_config) - 1:
            c = c // 2
            net.add(transition_block(c, bias=False))
    net.add(tail)
    return net

# %% test-table-1 wrong: the package's network | the package's network
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    return densenet('densenet121', block_config=block_config, classes=classes)

# %% test-table-1 wrong: a bias in the stem | bias outside
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-table-1 wrong: no bottlenecks | other weights
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-table-1 wrong: average pooling in the stem | max-pooling
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.AvgPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-table-1 wrong: no compression | half the channels
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-table-1 wrong: no ReLU at the end | before the dense layer
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-table-1 wrong: no padding of the pooling | right paddings
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-table-1 wrong: always 1000 classes | it should be
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(1000))
    return net

# %% test-table-1 wrong: blocks of 169 and 201 swapped | TABLE_1[169]
TABLE_1 = {121: (6, 12, 24, 16), 201: (6, 12, 32, 32), 169: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-table-1 wrong: 264 is missing | TABLE_1[264] is still None
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-table-1 wrong: a transition after the last block too | other weights
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config):
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-table-1 wrong: nothing returned | None
TABLE_1 = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32), 264: (6, 12, 64, 48)}
def imagenet_densenet(block_config, classes=1000):
    net, c = nn.HybridSequential(), 64
    net.add(nn.Conv2D(c, kernel_size=7, strides=2, padding=3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1))
    for i, num_convs in enumerate(block_config):
        net.add(DenseBlock(num_convs, 32, bottleneck=4, bias=False))
        c += 32 * num_convs
        if i < len(block_config) - 1:
            c //= 2
            net.add(transition_block(c, bias=False))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
