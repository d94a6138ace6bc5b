# ruff: noqa
# %% test-transition right: a Block with its own names, the pooling a function
class T(nn.Block):
    def __init__(self, n):
        super().__init__()
        self.c = nn.Conv2D(n, 1, use_bias=False)
        self.b = nn.BatchNorm()

    def forward(self, x):
        return npx.pooling(self.c(npx.relu(self.b(x))), (2, 2), stride=(2, 2), pool_type='avg')


def transition_block(num_channels):
    return T(num_channels)

# %% test-transition right: a lambda
transition_block = lambda n: [b := nn.HybridSequential(), b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 1), nn.AvgPool2D(2))][0]

# %% test-transition right: pooled first
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.HybridLambda(lambda F, x: F.npx.relu(x)), nn.AvgPool2D(2, 2), nn.Conv2D(num_channels, 1))
    return b

# %% test-transition right: the mean of four slices, a dense layer for each pixel
class transition_block(nn.Block):
    def __init__(self, k):
        super().__init__()
        self.mix, self.bn = nn.Dense(k, flatten=False), nn.BatchNorm()

    def forward(self, x):
        x = np.maximum(self.bn(x), 0).transpose(0, 2, 3, 1)
        x = self.mix(x[:, :x.shape[1] // 2 * 2, :x.shape[2] // 2 * 2])
        return ((x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4).transpose(0, 3, 1, 2)

# %% test-transition wrong: the package's | uses the package
transition_block = d2l_densenet.transition_block

# %% test-transition wrong: max-pooling | asks for average pooling
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 1), nn.MaxPool2D(2, 2))
    return b

# %% test-transition wrong: half of the argument | Do you halve it again
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels // 2, 1), nn.AvgPool2D(2, 2))
    return b

# %% test-transition wrong: no ReLU | Where is the ReLU
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Conv2D(num_channels, 1), nn.AvgPool2D(2, 2))
    return b

# %% test-transition wrong: the convolution first | which the result of the others
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.Conv2D(num_channels, 1), nn.BatchNorm(), nn.Activation('relu'), nn.AvgPool2D(2, 2))
    return b

# %% test-transition wrong: a 3x3 kernel | needs 1x1
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 3, padding=1), nn.AvgPool2D(2, 2))
    return b

# %% test-transition wrong: a stride for the pooling | picking every second pixel
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 1, strides=2))
    b.add(nn.Lambda(lambda x: x))
    return b

# %% test-transition wrong: rounded up | ceil_mode=True
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 1), nn.AvgPool2D(2, 2, ceil_mode=True))
    return b

# %% test-transition wrong: a dropout | no Dropout
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 1), nn.Dropout(0.2), nn.AvgPool2D(2, 2))
    return b

# %% test-transition wrong: no return | forget `return`
def transition_block(num_channels):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 1), nn.AvgPool2D(2, 2))

# %% test-build right: output registered before features, no bias in the stem
class Net(nn.Block):
    def __init__(self, k, blocks, c, classes):
        super().__init__()
        self.output = nn.Dense(classes)
        self.features = nn.Sequential(prefix='f_')
        self.features.add(nn.Conv2D(c, 7, 2, 3, use_bias=False), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
        for i, n in enumerate(blocks):
            if i:
                self.features.add(d2l_densenet.transition_block(c // 2))
                c = c // 2
            self.features.add(DenseBlock(n, k))
            c += n * k
        self.features.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Flatten())

    def forward(self, x):
        return self.output(self.features(x))


build_densenet = lambda growth_rate, block_config, num_init_features, classes: Net(growth_rate, block_config, num_init_features, classes)

# %% test-build right: a HybridBlock, everything written out
class Layer(nn.HybridBlock):
    def __init__(self, k):
        super().__init__()
        self.f = nn.HybridSequential()
        self.f.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(k, 3, padding=1, use_bias=False))

    def hybrid_forward(self, F, x):
        return F.np.concatenate([x, self.f(x)], axis=1)


def build_densenet(growth_rate, block_config, num_init_features, classes):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(num_init_features, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
    width = num_init_features
    for n in block_config[:-1]:
        net.add(*[Layer(growth_rate) for _ in range(n)])
        width = (width + n * growth_rate) // 2
        net.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(width, 1), nn.AvgPool2D())
    net.add(*[Layer(growth_rate) for _ in range(block_config[-1])])
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(classes))
    net.hybridize()
    return net

# %% test-build right: functions for the layers without parameters
class build_densenet(nn.Block):
    def __init__(self, growth_rate, block_config, num_init_features, classes):
        super().__init__()
        self.norms, self.blocks, self.mixes = nn.Sequential(), nn.Sequential(), nn.Sequential()
        self.stem, self.dense = nn.Conv2D(num_init_features, 7, 2, 3), nn.Dense(classes, use_bias=False)
        self.first, self.last = nn.BatchNorm(), nn.BatchNorm()
        c = num_init_features
        for n in block_config:
            self.blocks.add(DenseBlock(n, growth_rate))
            c = (c + n * growth_rate) // 2
            if len(self.blocks) < len(block_config):
                self.norms.add(nn.BatchNorm())
                self.mixes.add(nn.Conv2D(c, 1))

    def forward(self, x):
        x = np.maximum(self.first(self.stem(x)), 0)
        x = npx.pooling(x, (3, 3), stride=(2, 2), pad=(1, 1), pool_type='max')
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i < len(self.norms):
                x = npx.pooling(self.mixes[i](npx.relu(self.norms[i](x))), (2, 2), stride=(2, 2), pool_type='avg')
        return self.dense(npx.relu(self.last(x)).mean(axis=(2, 3)))

# %% test-build wrong: the package's | the package's DenseNet
def build_densenet(growth_rate, block_config, num_init_features, classes):
    return DenseNet(growth_rate=growth_rate, block_config=block_config, num_init_features=num_init_features, classes=classes)

# %% test-build wrong: the package's in a Sequential | the package's DenseNet
def build_densenet(growth_rate, block_config, num_init_features, classes):
    net = nn.Sequential()
    net.add(DenseNet(growth_rate=growth_rate, block_config=block_config, num_init_features=num_init_features, classes=classes))
    return net

# %% test-build wrong: a transition after the last block | none after the last block
def build_densenet(growth_rate, block_config, num_init_features, classes):
    net, c = nn.Sequential(), num_init_features
    net.add(nn.Conv2D(c, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
    for n in block_config:
        c = (c + n * growth_rate) // 2
        net.add(DenseBlock(n, growth_rate), d2l_densenet.transition_block(c))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-build wrong: the article's numbers written in | written into the code
def build_densenet(growth_rate, block_config, num_init_features, classes):
    net, c = nn.Sequential(), 64
    net.add(nn.Conv2D(c, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
    for i in range(4):
        net.add(DenseBlock(4, 32))
        c += 128
        if i < 3:
            c //= 2
            net.add(d2l_densenet.transition_block(c))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(10))
    return net

# %% test-build wrong: channels not halved | not halved
def build_densenet(growth_rate, block_config, num_init_features, classes):
    net, c = nn.Sequential(), num_init_features
    net.add(nn.Conv2D(c, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
    for i, n in enumerate(block_config):
        net.add(DenseBlock(n, growth_rate))
        c += n * growth_rate
        if i < len(block_config) - 1:
            net.add(d2l_densenet.transition_block(c))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-build wrong: no BN at the end | no batch normalization after the last block
def build_densenet(growth_rate, block_config, num_init_features, classes):
    net, c = nn.Sequential(), num_init_features
    net.add(nn.Conv2D(c, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
    for i, n in enumerate(block_config):
        net.add(DenseBlock(n, growth_rate))
        c += n * growth_rate
        if i < len(block_config) - 1:
            c //= 2
            net.add(d2l_densenet.transition_block(c))
    net.add(nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-build wrong: probabilities | before the softmax
def build_densenet(growth_rate, block_config, num_init_features, classes):
    net, c = nn.Sequential(), num_init_features
    net.add(nn.Conv2D(c, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
    for i, n in enumerate(block_config):
        net.add(DenseBlock(n, growth_rate))
        c += n * growth_rate
        if i < len(block_config) - 1:
            c //= 2
            net.add(d2l_densenet.transition_block(c))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes), nn.Lambda(lambda x: npx.softmax(x)))
    return net

# %% test-build wrong: no global pooling | global average pooling
def build_densenet(growth_rate, block_config, num_init_features, classes):
    net, c = nn.Sequential(), num_init_features
    net.add(nn.Conv2D(c, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1))
    for i, n in enumerate(block_config):
        net.add(DenseBlock(n, growth_rate))
        c += n * growth_rate
        if i < len(block_config) - 1:
            c //= 2
            net.add(d2l_densenet.transition_block(c))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.Dense(classes))
    return net

# %% test-build wrong: the stem does not pool | no max-pooling in the stem
def build_densenet(growth_rate, block_config, num_init_features, classes):
    net, c = nn.Sequential(), num_init_features
    net.add(nn.Conv2D(c, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'))
    for i, n in enumerate(block_config):
        net.add(DenseBlock(n, growth_rate))
        c += n * growth_rate
        if i < len(block_config) - 1:
            c //= 2
            net.add(d2l_densenet.transition_block(c))
    net.add(nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))
    return net

# %% test-staircase right: a generator
def staircase(c, k, blocks):
    def steps():
        width = c
        for n in blocks:
            yield width
            yield width + n * k
            width = (width + n * k) // 2
    return tuple(steps())

# %% test-staircase right: an array
def staircase(num_init_features, growth_rate, block_config):
    found = numpy.zeros(2 * len(block_config), int)
    found[0] = num_init_features
    for i, n in enumerate(block_config):
        found[2 * i] = found[2 * i - 1] // 2 if i else num_init_features
        found[2 * i + 1] = found[2 * i] + n * growth_rate
    return found

# %% test-staircase right: recursion
def staircase(c, k, blocks):
    n, *rest = blocks
    out = c + n * k
    return [c, out] + (staircase(int(out / 2), k, rest) if rest else [])

# %% test-staircase wrong: not halved | it should be
def staircase(c, k, blocks):
    channels = []
    for n in blocks:
        channels += [c, c + n * k]
        c = channels[-1]
    return channels

# %% test-staircase wrong: the ends only | it should be
def staircase(c, k, blocks):
    channels = []
    for n in blocks:
        c += n * k
        channels.append(c)
        c //= 2
    return channels

# %% test-staircase wrong: a transition after the last block | it should be
def staircase(c, k, blocks):
    channels = []
    for n in blocks:
        channels += [c, c + n * k]
        c = channels[-1] // 2
    return channels + [c]

# %% test-staircase wrong: halves are kept | it should be
def staircase(c, k, blocks):
    channels = []
    for n in blocks:
        channels += [c, c + n * k]
        c = channels[-1] / 2
    return channels

# %% test-staircase wrong: four layers, whatever is asked | it should be
def staircase(c, k, blocks):
    channels = []
    for n in blocks:
        channels += [c, c + 4 * k]
        c = channels[-1] // 2
    return channels

# %% test-staircase wrong: the article's | it should be
def staircase(c, k, blocks):
    return [64, 192, 96, 224, 112, 240, 120, 248]

# %% test-staircase wrong: printed | Did you forget `return`
def staircase(c, k, blocks):
    for n in blocks:
        print(c, c + n * k)
        c = (c + n * k) // 2

# %% test-staircase wrong: return in the loop | it should be
def staircase(c, k, blocks):
    channels = []
    for n in blocks:
        channels += [c, c + n * k]
        c = channels[-1] // 2
        return channels

# %% test-smallest-side right: backwards
def smallest_side(num_blocks):
    side = 1
    for _ in range(num_blocks - 1):
        side *= 2
    return 4 * side - 3

# %% test-smallest-side right: by trying, an array
def smallest_side(num_blocks):
    n = 1
    while -(-n // 4) < 2 ** (num_blocks - 1):
        n += 1
    return np.array([n])

# %% test-smallest-side right: a float, a shift
smallest_side = lambda blocks: float((1 << blocks + 1) - 3)

# %% test-smallest-side wrong: asks the package | uses the package
def smallest_side(num_blocks):
    return DenseNet(block_config=(1,) * num_blocks).smallest_input_size

# %% test-smallest-side wrong: the stem rounds down | the stem rounds up
smallest_side = lambda b: 2 ** (b + 1)

# %% test-smallest-side wrong: a transition too many | How many transitions
smallest_side = lambda b: 4 * 2 ** b

# %% test-smallest-side wrong: no stem | What does the stem do before it
smallest_side = lambda b: 2 ** (b - 1)

# %% test-smallest-side wrong: the last map needs 2 pixels | it should be
smallest_side = lambda b: 4 * 2 ** b - 3

# %% test-smallest-side wrong: four blocks, whatever is asked | it should be
smallest_side = lambda b: 29

# %% test-smallest-side wrong: linear | it should be
smallest_side = lambda b: 8 * b - 3

# %% test-smallest-side wrong: a side and a side | it should be
smallest_side = lambda b: (2 ** (b + 1) - 3, 2 ** (b + 1) - 3)

# %% test-smallest-side wrong: printed | Did you forget `return`
smallest_side = lambda b: print(2 ** (b + 1) - 3)

# %% test-max right: a class and NumPy
class max_transition(nn.Block):
    def __init__(self, n):
        super().__init__()
        self.conv, self.bn = nn.Conv2D(n, 1, use_bias=False), nn.BatchNorm()

    def forward(self, x):
        return npx.pooling(self.conv(npx.relu(self.bn(x))), (2, 2), stride=(2, 2), pool_type='max')


def gradient_share(layer, X):
    x = np.array(X)
    x.attach_grad()
    with autograd.record():
        y = layer(x).sum()
    y.backward()
    return numpy.mean(x.grad.asnumpy() != 0)

# %% test-max right: a lambda, autograd.grad
max_transition = lambda n: [b := nn.HybridSequential(), b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 1), nn.MaxPool2D())][0]


def gradient_share(f, X):
    copy = X.copy()
    copy.attach_grad()
    with autograd.record():
        y = f(copy)
    y.backward(np.ones(y.shape))
    return np.count_nonzero(copy.grad) / copy.size

# %% test-max right: an array as result, a function as layer
def max_transition(channels):
    b = nn.Sequential(prefix='t_')
    b.add(nn.BatchNorm(), nn.Lambda(lambda x: np.maximum(x, 0)), nn.Conv2D(channels, 1), nn.MaxPool2D(2, 2))
    return b


def gradient_share(layer, X):
    X = X * 1
    X.attach_grad()
    with autograd.record():
        layer(X).backward()
    return (np.abs(X.grad) > 0).astype('float32').mean()

# %% test-max wrong: the mean | asks for max-pooling
def max_transition(n):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 1), nn.AvgPool2D())
    return b

# %% test-max wrong: the maximum first | should compute
def max_transition(n):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(), nn.Conv2D(n, 1))
    return b

# %% test-max wrong: only positive gradients | it should be
def max_transition(n):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 1), nn.MaxPool2D())
    return b


def gradient_share(layer, X):
    X = X.copy()
    X.attach_grad()
    with autograd.record():
        Y = layer(X)
    Y.backward()
    return float((X.grad > 0).mean())

# %% test-max wrong: the mean gradient | it should be
def max_transition(n):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 1), nn.MaxPool2D())
    return b


def gradient_share(layer, X):
    X = X.copy()
    X.attach_grad()
    with autograd.record():
        Y = layer(X)
    Y.backward()
    return float(np.abs(X.grad).mean())

# %% test-max wrong: a count | it should be
def max_transition(n):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 1), nn.MaxPool2D())
    return b


def gradient_share(layer, X):
    X = X.copy()
    X.attach_grad()
    with autograd.record():
        Y = layer(X)
    Y.backward()
    return int((X.grad != 0).sum())

# %% test-max wrong: what is known of the two layers | it should be
def max_transition(n):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 1), nn.MaxPool2D())
    return b


def gradient_share(layer, X):
    return 1 if isinstance(layer, nn.AvgPool2D) else 0.25

# %% test-max wrong: outputs other than zero | it should be
def max_transition(n):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 1), nn.MaxPool2D())
    return b


def gradient_share(layer, X):
    return float((layer(X) != 0).mean())

# %% test-max wrong: not recorded | record
def max_transition(n):
    b = nn.Sequential()
    b.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 1), nn.MaxPool2D())
    return b


def gradient_share(layer, X):
    X = X.copy()
    X.attach_grad()
    Y = layer(X)
    Y.backward()
    return float((X.grad != 0).mean())

# %% test-fewer right: text, rounded
fewer_weights, fewer_parameters, fewer_multiply_adds = '8', '3.2', '1.36'

# %% test-fewer right: arrays
fewer_weights, fewer_parameters, fewer_multiply_adds = np.array(8), numpy.float32(3.2055), np.array([1.3612])

# %% test-fewer right: counted
tables = [summary(name) for name in ('resnet50', 'densenet121')]
fewer_weights = 256 // 32
fewer_parameters = tables[0].parameters / tables[1].parameters
fewer_multiply_adds = tables[0].multiply_adds / tables[1].multiply_adds

# %% test-fewer wrong: upside down | DenseNet divided by ResNet
fewer_weights, fewer_parameters, fewer_multiply_adds = 8, 1 / 3.2055, 1 / 1.3612

# %% test-fewer wrong: upside down from the start | DenseNet divided by ResNet
fewer_weights, fewer_parameters, fewer_multiply_adds = 0.125, 3.2055, 1.3612

# %% test-fewer wrong: in the range of the old test | too
fewer_weights, fewer_parameters, fewer_multiply_adds = 8, 3.1, 1.31

# %% test-fewer wrong: growth counted too | too high
fewer_weights, fewer_parameters, fewer_multiply_adds = 9, 3.2055, 1.3612

# %% test-fewer wrong: numbers of weights | too high
fewer_weights, fewer_parameters, fewer_multiply_adds = 9 * 256 * 256, 3.2055, 1.3612

# %% test-fewer wrong: the smaller ResNet | too low
fewer_weights = 8
fewer_parameters = summary('resnet18').parameters / summary('densenet121').parameters
fewer_multiply_adds = 1.3612

# %% test-fewer wrong: nothing yet | write down what you found
fewer_weights = fewer_parameters = fewer_multiply_adds = None

# %% test-fewer wrong: parameters twice | too high
fewer_weights, fewer_parameters, fewer_multiply_adds = 8, 3.2055, 3.2055
