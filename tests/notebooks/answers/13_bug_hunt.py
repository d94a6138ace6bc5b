# ruff: noqa
# %% test-without-gradient right: a set, from the sum of squares
def without_gradient(net, X):
    with autograd.record():
        loss = (net(X) ** 2).sum()
    loss.backward()
    return {p.name for p in net.collect_params().values() if p.grad_req != 'null' and float(abs(p.grad()).max()) == 0}

# %% test-without-gradient right: a tuple, with NumPy
def without_gradient(net, X):
    with autograd.record():
        Y = net(X)
    Y.backward(np.arange(Y.size).reshape(Y.shape) - 7.5)
    params = {n: p for n, p in net.collect_params().items() if p.grad_req == 'write'}
    return tuple(sorted(n for n in params if (params[n].grad().asnumpy() == 0).all()))

# %% test-without-gradient right: tiny ones count as zero
def without_gradient(net, X):
    with autograd.record():
        Y = net(X)
    Y.backward(np.random.normal(size=Y.shape))
    found = []
    for name, p in net.collect_params().items():
        if p.grad_req == 'null':
            continue
        if np.abs(p.grad()).max() < 1e-12:
            found.append(name)
    return found

# %% test-without-gradient wrong: those that get one | that do get a gradient
def without_gradient(net, X):
    with autograd.record():
        Y = net(X)
    Y.backward(np.random.normal(size=Y.shape))
    return [name for name, p in net.collect_params().items() if p.grad_req != 'null' and p.grad().any()]

# %% test-without-gradient wrong: their number | how many there are
def without_gradient(net, X):
    with autograd.record():
        Y = net(X)
    Y.backward(np.random.normal(size=Y.shape))
    return sum(not p.grad().any() for p in net.collect_params().values() if p.grad_req != 'null')

# %% test-without-gradient wrong: not recorded | raised
def without_gradient(net, X):
    Y = net(X)
    Y.backward(np.random.normal(size=Y.shape))
    return [name for name, p in net.collect_params().items() if p.grad_req != 'null' and not p.grad().any()]

# %% test-without-gradient wrong: running means too | raised
def without_gradient(net, X):
    with autograd.record():
        Y = net(X)
    Y.backward(np.random.normal(size=Y.shape))
    return [name for name, p in net.collect_params().items() if not p.grad().any()]

# %% test-without-gradient wrong: running means, by name | Running means
def without_gradient(net, X):
    with autograd.record():
        Y = net(X)
    Y.backward(np.random.normal(size=Y.shape))
    return [name for name, p in net.collect_params().items() if p.grad_req == 'null' and any(
        name.startswith(n.rpartition('_')[0]) for n, q in net.collect_params().items() if q.grad_req != 'null' and not q.grad().any())
        or p.grad_req != 'null' and not p.grad().any()]

# %% test-without-gradient wrong: weights without biases | it should be
def without_gradient(net, X):
    with autograd.record():
        Y = net(X)
    Y.backward(np.random.normal(size=Y.shape))
    return [name for name, p in net.collect_params('.*weight').items() if not p.grad().any()]

# %% test-without-gradient wrong: one zero is enough | it should be
def without_gradient(net, X):
    with autograd.record():
        Y = net(X)
    Y.backward(np.random.normal(size=Y.shape))
    return [name for name, p in net.collect_params().items() if p.grad_req != 'null' and not p.grad()[1:].any()][:1]

# %% test-without-gradient wrong: printed | returns None
def without_gradient(net, X):
    with autograd.record():
        Y = net(X)
    Y.backward(np.random.normal(size=Y.shape))
    for name, p in net.collect_params().items():
        if p.grad_req != 'null' and not p.grad().any():
            print(name)

# %% test-shared right: a list
reached, parameters = ['E', 'C', 'A'], 20

# %% test-shared right: text
reached = 'a, c and e'
parameters = '20'

# %% test-shared right: found by trying
x = [np.zeros(2)] * 3
x[0] += 1
reached = ('A', 'C') + (('E',) if x[2].sum() > 0 else ())
net = nn.Dense(4, in_units=4)
net.initialize()
parameters = sum(p.data().size for p in net.collect_params().values())

# %% test-shared wrong: numbers too | A number cannot change
reached, parameters = {'A', 'B', 'C', 'E'}, 20

# %% test-shared wrong: all products | Numbers and tuples cannot change
reached, parameters = {'A', 'B', 'C', 'E', 'F'}, 20

# %% test-shared wrong: arrays not | changed in place
reached, parameters = {'A', 'C'}, 20

# %% test-shared wrong: layers not | What does * copy
reached, parameters = {'A', 'E'}, 20

# %% test-shared wrong: the comprehension too | calls nn.Dense three times
reached, parameters = {'A', 'C', 'D', 'E'}, 20

# %% test-shared wrong: three layers | How many layers are there really
reached, parameters = {'A', 'C', 'E'}, 60

# %% test-shared wrong: no bias | has biases too
reached, parameters = {'A', 'C', 'E'}, 16

# %% test-shared wrong: half of it | still None
reached, parameters = {'A', 'C', 'E'}, None

# %% test-repaired right: hybrid, the layers one by one
class Repaired(nn.HybridBlock):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        for i in range(num_convs):
            layer = nn.HybridSequential()
            layer.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 3, padding=1, use_bias=False))
            setattr(self, f'layer{i}', layer)
        self.n = num_convs

    def hybrid_forward(self, F, X):
        for i in range(self.n):
            X = F.np.concatenate([X, getattr(self, f'layer{i}')(X)], axis=1)
        return X

# %% test-repaired right: a list, registered
class Repaired(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.units = []
        for _ in range(num_convs):
            layers = nn.Sequential()
            layers.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))
            self.units.append(layers)
            self.register_child(layers)

    def forward(self, X):
        for one in self.units:
            X = np.concatenate([X, one(X)], axis=1)
        return X

# %% test-repaired right: made of Broken, keeps all maps in a list
class Repaired(Broken):
    def __init__(self, num_convs, num_channels):
        super().__init__(num_convs, num_channels)
        self.units = nn.Sequential()
        for _ in range(num_convs):
            one = unit(num_channels)
            one[2]._kwargs['pad'] = (1, 1)
            self.units.add(one)

    def forward(self, X):
        maps = [X]
        for one in self.units:
            maps.append(one(np.concatenate(maps, axis=1)))
        return np.concatenate(maps, axis=1)

# %% test-repaired wrong: the package's | uses the package
class Repaired(DenseBlock):
    pass

# %% test-repaired wrong: as it was | not
Repaired = Broken

# %% test-repaired wrong: padding forgotten | pad
class Repaired(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.units = nn.Sequential()
        self.units.add(*[unit(num_channels) for _ in range(num_convs)])

    def forward(self, X):
        for one in self.units:
            X = np.concatenate([X, one(X)], axis=1)
        return X

# %% test-repaired wrong: still one object | share their weights
class Repaired(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        one = nn.Sequential()
        one.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))
        self.units = nn.Sequential()
        self.units.add(*[one] * num_convs)

    def forward(self, X):
        for one in self.units:
            X = np.concatenate([X, one(X)], axis=1)
        return X

# %% test-repaired wrong: still joined to the input alone | Does
def padded(num_channels):
    layers = nn.Sequential()
    layers.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return layers


class Repaired(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.units = nn.Sequential()
        self.units.add(*[padded(num_channels) for _ in range(num_convs)])

    def forward(self, X):
        Y = X
        for one in self.units:
            Y = np.concatenate([X, one(Y)], axis=1)
        return Y

# %% test-repaired wrong: still a plain list | Gluon does not see
def padded(num_channels):
    layers = nn.Sequential()
    layers.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return layers


class Repaired(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.units = [padded(num_channels) for _ in range(num_convs)]

    def forward(self, X):
        for one in self.units:
            X = np.concatenate([X, one(X)], axis=1)
        return X

# %% test-repaired wrong: a chain | Only one layer was joined
def padded(num_channels):
    layers = nn.Sequential()
    layers.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return layers


class Repaired(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.units = nn.Sequential()
        self.units.add(*[padded(num_channels) for _ in range(num_convs)])

    def forward(self, X):
        Y = X
        for one in self.units:
            Y = one(Y)
        return np.concatenate([X, Y], axis=1)

# %% test-gradient-is-wrong right: forward differences in double precision
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    numeric = []
    for i in range(w.size):
        v = w.copy()
        v[i] += 0.01
        numeric.append(float(f(v) - loss) / 0.01)
    return max(abs(numeric[i] - float(w.grad[i])) for i in range(w.size)) > 0.1

# %% test-gradient-is-wrong right: in place, an array of one yes or no
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    grad = w.grad.copy()
    slopes = np.zeros(w.shape)
    for i in range(len(w)):
        old = float(w[i])
        w[i] = old + 0.005
        up = f(w)
        w[i] = old - 0.005
        slopes[i] = (up - f(w)) / 0.01
        w[i] = old
    return (np.abs(slopes - grad) > 0.1).any()

# %% test-gradient-is-wrong right: not close
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    eps = 0.02 * np.eye(w.size)
    slopes = [(f(w + e) - f(w - e)).item() / 0.04 for e in eps]
    import numpy
    return not numpy.allclose(slopes, w.grad.asnumpy(), rtol=0, atol=0.1)

# %% test-gradient-is-wrong wrong: the other way | the other way
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    eps = 0.01 * np.eye(w.size)
    return all(abs((f(w + e) - f(w - e)) / 0.02 - g) <= 0.1 for e, g in zip(eps, w.grad))

# %% test-gradient-is-wrong wrong: not equal | always answer True
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    eps = 0.01 * np.eye(w.size)
    return any((f(w + e) - f(w - e)) / 0.02 != g for e, g in zip(eps, w.grad))

# %% test-gradient-is-wrong wrong: no absolute value | Some differences are negative
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    eps = 0.01 * np.eye(w.size)
    return any((f(w + e) - f(w - e)) / 0.02 - g > 0.1 for e, g in zip(eps, w.grad))

# %% test-gradient-is-wrong wrong: the first entry alone | first entry alone
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    for i in range(len(w)):
        e = np.zeros(len(w))
        e[i] = 0.01
        return abs((f(w + e) - f(w - e)) / 0.02 - w.grad[i]) > 0.1

# %% test-gradient-is-wrong wrong: epsilon too small for seven digits | returns yes
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    eps = 1e-8 * np.eye(w.size)
    return any(abs((f(w + e) - f(w - e)) / 2e-8 - g) > 0.1 for e, g in zip(eps, w.grad))

# %% test-gradient-is-wrong wrong: divided by epsilon once | returns
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    eps = 0.01 * np.eye(w.size)
    return any(abs((f(w + e) - f(w - e)) / 0.01 - g) > 0.1 for e, g in zip(eps, w.grad))

# %% test-gradient-is-wrong wrong: not recorded | raised
def gradient_is_wrong(f, w):
    w.attach_grad()
    loss = f(w)
    loss.backward()
    eps = 0.01 * np.eye(w.size)
    return any(abs((f(w + e) - f(w - e)) / 0.02 - g) > 0.1 for e, g in zip(eps, w.grad))

# %% test-gradient-is-wrong wrong: the differences themselves | it should be
def gradient_is_wrong(f, w):
    w.attach_grad()
    with autograd.record():
        loss = f(w)
    loss.backward()
    eps = 0.01 * np.eye(w.size)
    return [float((f(w + e) - f(w - e)) / 0.02 - g) for e, g in zip(eps, w.grad)]

# %% test-faulty-block right: the input last
def part(num_channels):
    layer = nn.Sequential()
    layer.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 3, padding=1))
    return layer


class FaultyBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = nn.Sequential()
        self.layers.add(*[part(num_channels) for _ in range(num_convs)])

    def forward(self, X):
        for layer in self.layers:
            X = np.concatenate([layer(X), X], axis=1)
        return X

# %% test-faulty-block right: average of neighbors before each convolution
class FaultyBlock(nn.HybridBlock):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = nn.HybridSequential()
        for _ in range(num_convs):
            layer = nn.HybridSequential()
            layer.add(nn.BatchNorm(), nn.Activation('relu'), nn.AvgPool2D(3, 1, padding=1), nn.Conv2D(num_channels, 3, padding=1))
            self.layers.add(layer)

    def hybrid_forward(self, F, X):
        for layer in self.layers:
            X = F.np.concatenate([X, layer(X)], axis=1)
        return X

# %% test-faulty-block right: no ReLU, made of the package's block
class FaultyBlock(DenseBlock):
    def forward(self, X):
        for layer in self.net:
            X = np.concatenate([X, layer[2](layer[0](X))], axis=1)
        return X

# %% test-faulty-block wrong: nothing is wrong with it | finds nothing wrong
FaultyBlock = DenseBlock

# %% test-faulty-block wrong: a bias less | it should be
def part(num_channels):
    layer = nn.Sequential()
    layer.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 3, padding=1, use_bias=False))
    return layer


class FaultyBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = nn.Sequential()
        self.layers.add(*[part(num_channels) for _ in range(num_convs)])

    def forward(self, X):
        for layer in self.layers:
            X = np.concatenate([X, layer(X)], axis=1)
        return X

# %% test-faulty-block wrong: one layer in all places | raised
class FaultyBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        layer = nn.Sequential()
        layer.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, 3, padding=1))
        self.layers = [layer] * num_convs
        self.one = layer

    def forward(self, X):
        for layer in self.layers:
            X = np.concatenate([X, layer(X)], axis=1)
        return X

# %% test-faulty-block wrong: the count shows it | it should be
class FaultyBlock(nn.Block):
    def __init__(self, num_convs, num_channels):
        super().__init__()
        self.layers = nn.Sequential()
        for _ in range(num_convs):
            layer = nn.Sequential()
            layer.add(nn.Activation('relu'), nn.Conv2D(num_channels, 3, padding=1))
            self.layers.add(layer)

    def forward(self, X):
        for layer in self.layers:
            X = np.concatenate([X, layer(X)], axis=1)
        return X

# %% test-faulty-block wrong: the gradients show it | it should be
class FaultyBlock(DenseBlock):
    def forward(self, X):
        for i, layer in enumerate(self.net):
            Y = layer(X)
            X = np.concatenate([X, Y if i else Y.detach()], axis=1)
        return X

# %% test-faulty-block wrong: the shape shows it | it should be
class FaultyBlock(DenseBlock):
    def forward(self, X):
        return super().forward(X)[:, X.shape[1]:]

# %% test-faulty-block wrong: an object | raised
FaultyBlock = DenseBlock(4, 10)
