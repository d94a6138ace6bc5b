# ruff: noqa
# %% test-one-shot right: a Block with layers of its own
class OneShotBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.norms, self.convs = nn.Sequential(), nn.Sequential()
        for _ in range(num_convs):
            self.convs.add(nn.Conv2D(num_channels, 3, padding=1, use_bias=False))
            self.norms.add(nn.BatchNorm())

    def forward(self, x):
        everything = [x]
        for norm, conv in zip(self.norms, self.convs):
            x = conv(npx.relu(norm(x)))
            everything.append(x)
        return np.concatenate(everything, axis=1)

# %% test-one-shot right: concatenated as it goes
class OneShotBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        for i in range(num_convs):
            self.register_child(conv_block(num_channels), str(i))

    def forward(self, X):
        result, last = X, X
        for layer in self._children.values():
            last = layer(last)
            result = np.concatenate((result, last), axis=1)
        return result

# %% test-one-shot right: a function that builds a nested block
def OneShotBlock(n, k):
    class Tail(nn.HybridBlock):
        def __init__(self, n):
            super().__init__()
            self.layer, self.rest = conv_block(k), Tail(n - 1) if n > 1 else None

        def hybrid_forward(self, F, x):
            y = self.layer(x)
            return F.np.concatenate([x, self.rest(y) if self.rest is not None else y], axis=1)
    return Tail(n)

# %% test-one-shot wrong: a dense block | as in a dense block
class OneShotBlock(nn.HybridBlock):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.HybridSequential()
        for _ in range(num_convs):
            self.net.add(conv_block(num_channels))

    def hybrid_forward(self, F, X):
        for layer in self.net:
            X = F.np.concatenate([X, layer(X)], axis=1)
        return X

# %% test-one-shot wrong: the input forgotten | without the input
class OneShotBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(conv_block(num_channels))

    def forward(self, X):
        outputs = []
        for layer in self.net:
            X = layer(X)
            outputs.append(X)
        return np.concatenate(outputs, axis=1)

# %% test-one-shot wrong: input and last layer | the input and one layer
class OneShotBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(conv_block(num_channels))

    def forward(self, X):
        return np.concatenate([X, self.net(X)], axis=1)

# %% test-one-shot wrong: every layer reads the input | block's input again
class OneShotBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(conv_block(num_channels))

    def forward(self, X):
        return np.concatenate([X] + [layer(X) for layer in self.net], axis=1)

# %% test-one-shot wrong: the batch grows | Incompatible input shape
class OneShotBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(conv_block(num_channels))

    def forward(self, X):
        outputs = [X]
        for layer in self.net:
            outputs.append(layer(outputs[-1]))
        return np.concatenate(outputs)

# %% test-one-shot wrong: the last layer first | which order
class OneShotBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_convs):
            self.net.add(conv_block(num_channels))

    def forward(self, X):
        outputs = [X]
        for layer in self.net:
            outputs.append(layer(outputs[-1]))
        return np.concatenate([X, *outputs[:0:-1]], axis=1)

# %% test-one-shot wrong: a plain list of layers | plain list
class OneShotBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = [conv_block(num_channels) for _ in range(num_convs)]

    def forward(self, X):
        outputs = [X]
        for layer in self.net:
            outputs.append(layer(outputs[-1]))
        return np.concatenate(outputs, axis=1)

# %% test-one-shot wrong: the package's dense block | as in a dense block
from d2l_densenet import DenseBlock as OneShotBlock

# %% test-one-shot wrong: one layer shared | share their weights
class OneShotBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.net = nn.Sequential()
        self.net.add(*[conv_block(num_channels)] * num_convs)

    def forward(self, X):
        outputs = [X]
        for layer in self.net:
            outputs.append(layer(outputs[-1]))
        return np.concatenate(outputs, axis=1)

# %% test-harmonic right: a while loop, largest last
def harmonic_sources(layer):
    step, found = 1, []
    while layer % step == 0:
        found.append(layer - step)
        step *= 2
    return found

# %% test-harmonic right: bits
harmonic_sources = lambda layer: tuple(layer - (1 << n) for n in range((layer & -layer).bit_length()))

# %% test-harmonic right: a NumPy array
def harmonic_sources(layer):
    powers = 2 ** numpy.arange(10)
    return layer - powers[layer % powers == 0]

# %% test-harmonic wrong: n up to three | n does not stop at 3
def harmonic_sources(layer):
    return [layer - 2 ** n for n in range(4) if layer % 2 ** n == 0]

# %% test-harmonic wrong: all powers | that divide the number
def harmonic_sources(layer):
    return [layer - 2 ** n for n in range(10) if 2 ** n <= layer]

# %% test-harmonic wrong: everything | a dense block
def harmonic_sources(layer):
    return list(range(layer))

# %% test-harmonic wrong: only the one before | a chain
def harmonic_sources(layer):
    return [layer - 1]

# %% test-harmonic wrong: the powers | the layer minus them
def harmonic_sources(layer):
    return [2 ** n for n in range(10) if layer % 2 ** n == 0]

# %% test-harmonic wrong: n from 1 | n begins at 0
def harmonic_sources(layer):
    return [layer - 2 ** n for n in range(1, 10) if layer % 2 ** n == 0]

# %% test-harmonic wrong: without the input | may be a source too
def harmonic_sources(layer):
    return [layer - 2 ** n for n in range(10) if layer % 2 ** n == 0 and layer - 2 ** n > 0]

# %% test-harmonic wrong: all divisors | not all divisors
def harmonic_sources(layer):
    return [layer - d for d in range(1, layer + 1) if layer % d == 0]

# %% test-read right: counting sources
def values_read(reads, k0, k):
    flat = [s for sources in reads for s in sources]
    return flat.count(0) * k0 + (len(flat) - flat.count(0)) * k

# %% test-read right: a table of widths
def values_read(reads, k0, k):
    widths = [k0] + [k] * len(reads)
    total = 0
    for sources in reads:
        for s in sources:
            total += widths[s]
    return total

# %% test-read right: with NumPy
def values_read(reads, k0, k):
    return numpy.where(numpy.concatenate(reads) == 0, k0, k).sum()

# %% test-read wrong: k everywhere | has k0 channels, not k
def values_read(reads, k0, k):
    return sum(len(sources) for sources in reads) * k

# %% test-read wrong: connections counted | Those are connections
def values_read(reads, k0, k):
    return sum(len(sources) for sources in reads)

# %% test-read wrong: the formula for a dense block | dense block only
def values_read(reads, k0, k):
    L = len(reads)
    return L * k0 + k * L * (L - 1) // 2

# %% test-read wrong: the formula for a chain | chain only
def values_read(reads, k0, k):
    return k0 + (len(reads) - 1) * k

# %% test-read wrong: written values too | not what is written
def values_read(reads, k0, k):
    return sum((k0 if s == 0 else k) for sources in reads for s in sources) + len(reads) * k

# %% test-read wrong: the last layer only | Add up all layers
def values_read(reads, k0, k):
    for sources in reads:
        total = sum(k0 if s == 0 else k for s in sources)
    return total

# %% test-read wrong: one per layer | values
def values_read(reads, k0, k):
    return [sum(k0 if s == 0 else k for s in sources) for sources in reads]

# %% test-growth right: the quadratic equation
def equal_growth(layers, k0, k):
    dense = k * (layers * k0 + k * layers * (layers - 1) / 2)
    a = layers - 1
    return round((-k0 + (k0 ** 2 + 4 * a * dense) ** 0.5) / (2 * a))

# %% test-growth right: counting up, then looking back
def equal_growth(layers, k0, k):
    wanted = sum((k0 + i * k) * k for i in range(layers))
    def chain(w):
        return k0 * w + (layers - 1) * w * w
    w = k
    while chain(w) < wanted:
        w += 1
    return w if chain(w) - wanted < wanted - chain(w - 1) else w - 1

# %% test-growth right: NumPy
def equal_growth(layers, k0, k):
    w = numpy.arange(1, 2000)
    dense = 9 * k * numpy.sum(k0 + k * numpy.arange(layers))
    return w[numpy.abs(9 * (k0 * w + (layers - 1) * w ** 2) - dense).argmin()]

# %% test-growth wrong: rounded down | The next integer
def equal_growth(layers, k0, k):
    dense = k * (layers * k0 + k * layers * (layers - 1) / 2)
    a = layers - 1
    return int((-k0 + (k0 ** 2 + 4 * a * dense) ** 0.5) / (2 * a))

# %% test-growth wrong: the first that has as many | The integer before
def equal_growth(layers, k0, k):
    wanted, w = sum((k0 + i * k) * k for i in range(layers)), 1
    while k0 * w + (layers - 1) * w * w < wanted:
        w += 1
    return w

# %% test-growth wrong: not rounded | whole numbers
def equal_growth(layers, k0, k):
    dense = k * (layers * k0 + k * layers * (layers - 1) / 2)
    a = layers - 1
    return (-k0 + (k0 ** 2 + 4 * a * dense) ** 0.5) / (2 * a)

# %% test-growth wrong: the same k | far fewer weights
def equal_growth(layers, k0, k):
    return k

# %% test-growth wrong: the first layer as wide as the others | reads k0 channels
def equal_growth(layers, k0, k):
    dense = k * sum(k0 + i * k for i in range(layers))
    return min(range(1, 1000), key=lambda w: abs(layers * w * w - dense))

# %% test-growth wrong: k0 forgotten | where is k0
def equal_growth(layers, k0, k):
    dense = k * sum(i * k for i in range(layers))
    return min(range(1, 1000), key=lambda w: abs((layers - 1) * w * w - dense))

# %% test-growth wrong: twice as wide, as in the notebook | it should be
def equal_growth(layers, k0, k):
    return 2 * k

# %% test-joined right: Kronecker product
def joined(late, sharp):
    f = sharp.shape[-1] // late.shape[-1]
    return numpy.concatenate((sharp, numpy.kron(late, numpy.ones((1, 1, f, f)))), 1)

# %% test-joined right: indices
def joined(late, sharp):
    h = numpy.arange(sharp.shape[2]) * late.shape[2] // sharp.shape[2]
    w = numpy.arange(sharp.shape[3]) * late.shape[3] // sharp.shape[3]
    return numpy.concatenate([sharp, late[:, :, h][:, :, :, w]], axis=1)

# %% test-joined right: MXNet arrays
def joined(late, sharp):
    f = sharp.shape[2] // late.shape[2]
    a, b = np.array(late, dtype='float64'), np.array(sharp, dtype='float64')
    return np.concatenate([b, np.repeat(np.repeat(a, f, axis=2), f, axis=3)], axis=1)

# %% test-joined right: an array filled in loops
def joined(late, sharp):
    n, c, h, w = late.shape
    d, f = sharp.shape[1], sharp.shape[2] // h
    out = numpy.empty((n, d + c, h * f, w * f))
    out[:, :d] = sharp
    for i in range(f):
        for j in range(f):
            out[:, d:, i::f, j::f] = late
    return out

# %% test-joined wrong: tiled | puts whole maps side by side
def joined(late, sharp):
    f = sharp.shape[2] // late.shape[2]
    return numpy.concatenate([sharp, numpy.tile(late, (1, 1, f, f))], axis=1)

# %% test-joined wrong: late first | sharp channels come first
def joined(late, sharp):
    f = sharp.shape[2] // late.shape[2]
    return numpy.concatenate([late.repeat(f, 2).repeat(f, 3), sharp], axis=1)

# %% test-joined wrong: only enlarged | Where are the sharp channels
def joined(late, sharp):
    f = sharp.shape[2] // late.shape[2]
    return late.repeat(f, 2).repeat(f, 3)

# %% test-joined wrong: factor fixed | ValueError
def joined(late, sharp):
    return numpy.concatenate([sharp, late.repeat(2, 2).repeat(2, 3)], axis=1)

# %% test-joined wrong: sharp reduced | to be enlarged
def joined(late, sharp):
    f = sharp.shape[2] // late.shape[2]
    return numpy.concatenate([sharp[:, :, ::f, ::f], late], axis=1)

# %% test-joined wrong: added | ValueError
def joined(late, sharp):
    f = sharp.shape[2] // late.shape[2]
    return sharp + late.repeat(f, 2).repeat(f, 3)

# %% test-joined wrong: a ReLU behind | cut off at 0
def joined(late, sharp):
    f = sharp.shape[2] // late.shape[2]
    return numpy.concatenate([sharp, late.repeat(f, 2).repeat(f, 3)], axis=1).clip(0)
