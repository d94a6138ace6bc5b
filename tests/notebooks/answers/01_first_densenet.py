# ruff: noqa
# %% test-conv-block right: a Block of its own, without a bias
class conv_block(nn.Block):
    def __init__(self, num_channels):
        super().__init__()
        self.conv = nn.Conv2D(num_channels, 3, padding=1, use_bias=False)
        self.bn = nn.BatchNorm()

    def forward(self, X):
        return self.conv(npx.relu(self.bn(X)))

# %% test-conv-block right: hybrid
def conv_block(num_channels):
    net = nn.HybridSequential()
    for layer in [nn.BatchNorm(), nn.Activation(activation='relu'), nn.Conv2D(num_channels, (3, 3), padding=(1, 1))]:
        net.add(layer)
    return net

# %% test-conv-block right: a lambda
conv_block = lambda n: (s := nn.Sequential(), s.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(n, 3, 1, 1)))[0]

# %% test-conv-block wrong: the package's | uses the package
from d2l_densenet import conv_block

# %% test-conv-block wrong: the package's, wrapped | uses the package
import d2l_densenet


def conv_block(num_channels):
    return d2l_densenet.conv_block(num_channels)

# %% test-conv-block wrong: the convolution first | BN, ReLU
def conv_block(num_channels):
    block = nn.Sequential()
    block.add(nn.Conv2D(num_channels, 3, padding=1), nn.BatchNorm(), nn.Activation('relu'))
    return block

# %% test-conv-block wrong: no padding | padding=1
def conv_block(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3))
    return block

# %% test-conv-block wrong: no return | return
def conv_block(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(num_channels, kernel_size=3, padding=1))

# %% test-conv-block wrong: the channels of the example | is it given num_channels?
def conv_block(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(16, kernel_size=3, padding=1))
    return block

# %% test-conv-block wrong: no ReLU | ReLU
def conv_block(num_channels):
    block = nn.Sequential()
    block.add(nn.BatchNorm(), nn.Conv2D(num_channels, kernel_size=3, padding=1))
    return block

# %% test-shapes right: lists
after_block_1, after_transition, after_block_2 = [8, 96, 14, 14], [8, 40, 7, 7], [8, 112, 7, 7]

# %% test-shapes right: text
after_block_1 = '8 x 96 x 14 x 14'
after_transition = '(8, 40, 7, 7)'
after_block_2 = '8, 112, 7, 7'

# %% test-shapes right: computed with the network
X = np.random.normal(size=(8, 24, 14, 14))
block_1, transition, block_2 = DenseBlock(6, 12), transition_block(40), DenseBlock(6, 12)
for part in (block_1, transition, block_2):
    part.initialize()
after_block_1 = block_1(X).shape
after_transition = transition(block_1(X)).shape
after_block_2 = np.array(block_2(transition(block_1(X))).shape)

# %% test-shapes wrong: the new channels alone | What does a block do with its input?
after_block_1, after_transition, after_block_2 = (8, 72, 14, 14), (8, 40, 7, 7), (8, 72, 7, 7)

# %% test-shapes wrong: the growth rate | one layer outputs
after_block_1, after_transition, after_block_2 = (8, 12, 14, 14), (8, 40, 7, 7), (8, 12, 7, 7)

# %% test-shapes wrong: the stem does not pool | pooling layer comes first
after_block_1, after_transition, after_block_2 = (8, 96, 28, 28), (8, 40, 14, 14), (8, 112, 14, 14)

# %% test-shapes wrong: the transition does not pool | does more than reduce
after_block_1, after_transition, after_block_2 = (8, 96, 14, 14), (8, 40, 14, 14), (8, 112, 14, 14)

# %% test-shapes wrong: the second block goes on from the first | out of the transition
after_block_1, after_transition, after_block_2 = (8, 96, 14, 14), (8, 40, 7, 7), (8, 96, 7, 7)

# %% test-shapes wrong: channels last | in another order
after_block_1, after_transition, after_block_2 = (8, 14, 14, 96), (8, 7, 7, 40), (8, 7, 7, 112)

# %% test-shapes wrong: one left out | still None
after_block_1, after_transition = (8, 96, 14, 14), (8, 40, 7, 7)
after_block_2 = None

# %% test-shapes wrong: the channels alone | 4 values were asked for
after_block_1, after_transition, after_block_2 = 96, 40, 112

# %% test-added right: in place
def added(X, layers):
    for i in range(len(layers)):
        X += layers[i](X)
    return X

# %% test-added right: with itself
def added(X, layers):
    return X if not layers else added(X + layers[0](X), layers[1:])

# %% test-added right: NumPy's result
def added(X, layers):
    total = X.asnumpy()
    for layer in layers:
        total = total + layer(total)
    return total

# %% test-added wrong: a chain | nothing is added
def added(X, layers):
    for layer in layers:
        X = layer(X)
    return X

# %% test-added wrong: one sum at the end | once, at the end
def added(X, layers):
    Y = X
    for layer in layers:
        Y = layer(Y)
    return X + Y

# %% test-added wrong: all read the input | every layer reads X
def added(X, layers):
    return X + sum(layer(X) for layer in layers)

# %% test-added wrong: the sum of results | not in the sum
def added(X, layers):
    return sum(layer(X) for layer in layers)

# %% test-added wrong: return in the loop | in the loop
def added(X, layers):
    for layer in layers:
        X = X + layer(X)
        return X

# %% test-added wrong: concatenated | of shape
def added(X, layers):
    for layer in layers:
        X = np.concatenate([X, layer(X)], axis=1)
    return X

# %% test-added wrong: printed | returns None
def added(X, layers):
    for layer in layers:
        X = X + layer(X)
    print(X)

# %% test-added wrong: only what is positive | differs from what is right
def added(X, layers):
    for layer in layers:
        X = npx.relu(X + layer(X))
    return X

# %% test-choose right: a loop, a list
def choose(rates, train, measure):
    best, best_net, best_accuracy = None, None, -1
    for rate in rates:
        net = train(rate)
        accuracy = measure(net, 'validation')
        if accuracy > best_accuracy:
            best, best_net, best_accuracy = rate, net, accuracy
    return [best, measure(best_net, 'test')]

# %% test-choose right: with NumPy, from the smallest rate
def choose(rates, train, measure):
    rates = numpy.sort(rates)
    nets = [train(float(rate)) for rate in rates]
    i = numpy.argmax([measure(net, images='validation') for net in nets])
    return numpy.array([rates[i], measure(nets[i], images='test')])

# %% test-choose right: looks at the training images too
def choose(rates, train, measure):
    measured = []
    for rate in reversed(rates):
        net = train(rate)
        print(rate, measure(net, 'training'))
        measured.append((measure(net, 'validation'), rate, net))
    _, rate, net = max(measured)
    return rate, measure(net, 'test')

# %% test-choose wrong: the test images decide | more than once on the test images
def choose(rates, train, measure):
    networks = {rate: train(rate) for rate in rates}
    best = max(rates, key=lambda rate: measure(networks[rate], 'test'))
    return best, measure(networks[best], 'test')

# %% test-choose wrong: the training images decide | networks were trained on
def choose(rates, train, measure):
    networks = {rate: train(rate) for rate in rates}
    best = max(rates, key=lambda rate: measure(networks[rate], 'training'))
    return best, measure(networks[best], 'test')

# %% test-choose wrong: the validation accuracy is reported | which chose it
def choose(rates, train, measure):
    networks = {rate: train(rate) for rate in rates}
    best = max(rates, key=lambda rate: measure(networks[rate], 'validation'))
    return best, measure(networks[best], 'validation')

# %% test-choose wrong: trained again | trains twice
def choose(rates, train, measure):
    best = max(rates, key=lambda rate: measure(train(rate), 'validation'))
    return best, measure(train(best), 'test')

# %% test-choose wrong: all are tested beforehand | more than once on the test images
def choose(rates, train, measure):
    networks = [train(rate) for rate in rates]
    test = [measure(net, 'test') for net in networks]
    validation = [measure(net, 'validation') for net in networks]
    best = validation.index(max(validation))
    return rates[best], test[best]

# %% test-choose wrong: in another order | it should be
def choose(rates, train, measure):
    networks = {rate: train(rate) for rate in rates}
    best = max(rates, key=lambda rate: measure(networks[rate], 'validation'))
    return measure(networks[best], 'test'), best

# %% test-choose wrong: the worst | it should be
def choose(rates, train, measure):
    networks = {rate: train(rate) for rate in rates}
    best = min(rates, key=lambda rate: measure(networks[rate], 'validation'))
    return best, measure(networks[best], 'test')

# %% test-choose wrong: the network for its rate | it should be
def choose(rates, train, measure):
    networks = [train(rate) for rate in rates]
    best = max(networks, key=lambda net: measure(net, 'validation'))
    return best, measure(best, 'test')

# %% test-interval right: a list, rounded
def interval(right, total):
    p = right / total
    se = numpy.sqrt(p * (1 - p) / total)
    return [p - 1.96 * se, p + 1.96 * se]


images_needed = 101_400

# %% test-interval right: an array, and text
def interval(right, total):
    p = right / total
    return p + np.array([-1.96, 1.96]) * math.sqrt(p * (1 - p) / total)


images_needed = '101,000'

# %% test-interval right: of zeros and ones
def interval(right, total):
    hits = numpy.r_[numpy.ones(right), numpy.zeros(total - right)]
    margin = 1.96 * hits.std() / total ** 0.5
    return hits.mean() - margin, hits.mean() + margin


images_needed = math.ceil(0.88 * 0.12 / (0.002 / 1.96) ** 2)

# %% test-interval wrong: one standard error | one standard error
def interval(right, total):
    p = right / total
    margin = (p * (1 - p) / total) ** 0.5
    return p - margin, p + margin


images_needed = 101_413

# %% test-interval wrong: not divided by the number | what do you divide by
def interval(right, total):
    p = right / total
    margin = 1.96 * (p * (1 - p)) ** 0.5
    return p - margin, p + margin


images_needed = 101_413

# %% test-interval wrong: no root | it should be
def interval(right, total):
    p = right / total
    margin = 1.96 * p * (1 - p) / total
    return p - margin, p + margin


images_needed = 101_413

# %% test-interval wrong: the margin alone | it should be (
def interval(right, total):
    p = right / total
    return 1.96 * (p * (1 - p) / total) ** 0.5


images_needed = 101_413

# %% test-interval wrong: always 10,000 images | it should be
def interval(right, total):
    p = right / total
    margin = 1.96 * (p * (1 - p) / 10_000) ** 0.5
    return p - margin, p + margin


images_needed = 101_413

# %% test-interval wrong: images instead of shares | it should be
def interval(right, total):
    p = right / total
    margin = 1.96 * (p * (1 - p) / total) ** 0.5
    return right - margin * total, right + margin * total


images_needed = 101_413

# %% test-interval wrong: from end to end | not from end to end
def interval(right, total):
    p = right / total
    margin = 1.96 * (p * (1 - p) / total) ** 0.5
    return p - margin, p + margin


images_needed = 25_353

# %% test-interval wrong: without 1.96 | What is the 1.96 for
def interval(right, total):
    p = right / total
    margin = 1.96 * (p * (1 - p) / total) ** 0.5
    return p - margin, p + margin


images_needed = 26_400

# %% test-interval wrong: not solved for | still None
def interval(right, total):
    p = right / total
    margin = 1.96 * (p * (1 - p) / total) ** 0.5
    return p - margin, p + margin


images_needed = None
