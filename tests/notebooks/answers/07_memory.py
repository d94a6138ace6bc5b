# ruff: noqa
# %% test-kept-values right: a loop over the layers
def kept_values(in_channels, growth_rate, num_layers, height, width):
    values = 0
    for number in range(num_layers):
        values += (in_channels + number * growth_rate) * height * width
    return values

# %% test-kept-values right: a lambda with other names, and a float
kept_values = lambda c, k, n, h, w: h * w * n * (c + k * (n - 1) / 2)

# %% test-kept-values right: a NumPy sum
def kept_values(in_channels, growth_rate, num_layers, height, width):
    return numpy.sum(in_channels + growth_rate * numpy.arange(num_layers)) * height * width

# %% test-kept-values wrong: the output of the block | leaves the block
def kept_values(c, k, L, h, w):
    return (c + k * L) * h * w

# %% test-kept-values wrong: bytes | Those are bytes
def kept_values(c, k, L, h, w):
    return 4 * sum(c + k * i for i in range(L)) * h * w

# %% test-kept-values wrong: both arrays | Twice too many
def kept_values(c, k, L, h, w):
    return 2 * sum(c + k * i for i in range(L)) * h * w

# %% test-kept-values wrong: channels only | Those are channels
def kept_values(c, k, L, h, w):
    return sum(c + k * i for i in range(L))

# %% test-kept-values wrong: one layer too many | one layer too many
def kept_values(c, k, L, h, w):
    return sum(c + k * i for i in range(L + 1)) * h * w

# %% test-kept-values wrong: the input once | copies the block's input
def kept_values(c, k, L, h, w):
    return (c + sum(k * i for i in range(L))) * h * w

# %% test-kept-values wrong: no half | Where is the half
def kept_values(c, k, L, h, w):
    return (L * c + k * L * (L - 1)) * h * w

# %% test-kept-bytes right: a loop over layers
def kept_bytes(k0, k, L, B, height, width):
    total = 0
    for layer in range(L):
        m = k0 + k * layer
        for channels in (m, m, B * k, B * k):
            total += 4 * channels * height * width
    return total

# %% test-kept-bytes right: a lambda in float
kept_bytes = lambda k0, k, L, B, h, w: 8. * h * w * L * (k0 + k * (L - 1) / 2 + B * k)

# %% test-kept-bytes right: by the package's count
def kept_bytes(k0, k, L, B, height, width):
    return numpy.int64(summary(DenseBlock(L, k, bottleneck=B), (k0, height, width)).activation_bytes)

# %% test-kept-bytes wrong: a plain block | plain block
def kept_bytes(k0, k, L, B, height, width):
    return 8 * (L * k0 + k * L * (L - 1) // 2) * height * width

# %% test-kept-bytes wrong: values | How many bytes
def kept_bytes(k0, k, L, B, height, width):
    return 2 * (L * k0 + k * L * (L - 1) // 2 + B * k * L) * height * width

# %% test-kept-bytes wrong: the bottleneck's channels once | What do both BN read
def kept_bytes(k0, k, L, B, height, width):
    return 4 * (2 * (L * k0 + k * L * (L - 1) // 2) + B * k * L) * height * width

# %% test-kept-bytes wrong: one layer has a bottleneck | in each of the layers
def kept_bytes(k0, k, L, B, height, width):
    return 8 * (L * k0 + k * L * (L - 1) // 2 + B * k) * height * width

# %% test-kept-bytes wrong: the bottlenecks alone | both convolutions
def kept_bytes(k0, k, L, B, height, width):
    return 8 * B * k * L * height * width

# %% test-kept-bytes wrong: B channels | both convolutions
def kept_bytes(k0, k, L, B, height, width):
    return 8 * (L * k0 + k * L * (L - 1) // 2 + B * L) * height * width

# %% test-kept-bytes wrong: square maps | it should be
def kept_bytes(k0, k, L, B, height, width):
    return 8 * (L * k0 + k * L * (L - 1) // 2 + B * k * L) * height ** 2

# %% test-kept-bytes wrong: printed | Did you forget `return`
def kept_bytes(k0, k, L, B, height, width):
    print(8 * (L * k0 + k * L * (L - 1) // 2 + B * k * L) * height * width)

# %% test-largest-batch right: integer division
def largest_batch(side, memory):
    return memory // summary(DenseNet(), (1, side, side)).activation_bytes

# %% test-largest-batch right: floor of a float
def largest_batch(side, memory):
    table = summary(DenseNet(), (1, side, side))
    return numpy.floor(memory / table.activation_bytes)

# %% test-largest-batch right: counts up by doubling
def largest_batch(side, memory):
    one, n = summary(DenseNet(), (1, side, side)).activation_bytes, 0
    for step in (2 ** i for i in range(20, -1, -1)):
        if (n + step) * one <= memory:
            n += step
    return n

# %% test-largest-batch wrong: not whole | whole number
def largest_batch(side, memory):
    return memory / summary(DenseNet(), (1, side, side)).activation_bytes

# %% test-largest-batch wrong: rounded up | one more must not
def largest_batch(side, memory):
    return -(-memory // summary(DenseNet(), (1, side, side)).activation_bytes)

# %% test-largest-batch wrong: one too many | one more must not
def largest_batch(side, memory):
    return memory // summary(DenseNet(), (1, side, side)).activation_bytes + 1

# %% test-largest-batch wrong: the side is fixed | 224x224
def largest_batch(side, memory):
    return memory // summary(DenseNet(), (1, 224, 224)).activation_bytes

# %% test-largest-batch wrong: bytes taken for values | bytes already
def largest_batch(side, memory):
    return memory // (4 * summary(DenseNet(), (1, side, side)).activation_bytes)

# %% test-largest-batch wrong: parameters | whole number of images
def largest_batch(side, memory):
    return memory // summary(DenseNet(), (1, side, side)).parameters

# %% test-largest-batch wrong: at least one | these must fit
def largest_batch(side, memory):
    return max(1, memory // summary(DenseNet(), (1, side, side)).activation_bytes)

# %% test-dropout right: an index that counts down
def features_seeded(block, X, seed):
    features = [X]
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    number = len(block.net)
    while number:
        number -= 1
        layer = block.net[number]
        mx.random.seed(seed + number)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()

# %% test-dropout right: a tuple, and record without recording
def features_seeded(block, X, seed):
    features = [X]
    with autograd.pause(train_mode=True):
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return tuple(features)


def backward_seeded(block, features, seed):
    for number, layer in reversed(list(enumerate(block.net))):
        mx.random.seed(seed + number)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()

# %% test-dropout right: autograd.backward, features popped
def features_seeded(block, X, seed):
    features = [X]
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    for number in range(len(block.net))[::-1]:
        x = features.pop()
        layer = list(block.net)[number]
        mx.random.seed(seed + number)
        with autograd.record():
            again = layer(np.concatenate(features, axis=1))
        autograd.backward([again], [x.grad])
        npx.waitall()

# %% test-dropout wrong: no seed in the second pass | its own seed
def features_seeded(block, X, seed):
    features = [X]
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    for number, layer in reversed(list(enumerate(block.net))):
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()

# %% test-dropout wrong: the seed set once in the first pass | before each layer
def features_seeded(block, X, seed):
    features = [X]
    mx.random.seed(seed)
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    for number, layer in reversed(list(enumerate(block.net))):
        mx.random.seed(seed + number)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()

# %% test-dropout wrong: the same seed for all layers | before each layer
def features_seeded(block, X, seed):
    features = [X]
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    for number, layer in reversed(list(enumerate(block.net))):
        mx.random.seed(seed)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()

# %% test-dropout wrong: the second pass one seed off | its own seed
def features_seeded(block, X, seed):
    features = [X]
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    for number, layer in reversed(list(enumerate(block.net))):
        mx.random.seed(seed + number + 1)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()

# %% test-dropout wrong: not in training mode | training mode
def features_seeded(block, X, seed):
    features = [X]
    with autograd.predict_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    for number, layer in reversed(list(enumerate(block.net))):
        mx.random.seed(seed + number)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()

# %% test-dropout wrong: from the first layer to the last | the last first
def features_seeded(block, X, seed):
    features = [X]
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    for number, layer in list(enumerate(block.net)):
        mx.random.seed(seed + number)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()

# %% test-dropout wrong: the seeds of the second pass in reverse | its own seed
def features_seeded(block, X, seed):
    features = [X]
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    for number, layer in reversed(list(enumerate(block.net))):
        mx.random.seed(seed + len(block.net) - 1 - number)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()

# %% test-dropout wrong: a gradient of ones | gradient of its own output
def features_seeded(block, X, seed):
    features = [X]
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()
    return features


def backward_seeded(block, features, seed):
    for number, layer in reversed(list(enumerate(block.net))):
        mx.random.seed(seed + number)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward()
        npx.waitall()

# %% test-dropout wrong: features not returned | None
def features_seeded(block, X, seed):
    features = [X]
    with autograd.train_mode():
        for number, layer in enumerate(block.net):
            mx.random.seed(seed + number)
            features.append(layer(np.concatenate(features, axis=1)))
            npx.waitall()


def backward_seeded(block, features, seed):
    for number, layer in reversed(list(enumerate(block.net))):
        mx.random.seed(seed + number)
        with autograd.record():
            again = layer(np.concatenate(features[:number + 1], axis=1))
        again.backward(features[number + 1].grad)
        npx.waitall()
