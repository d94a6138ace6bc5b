# ruff: noqa
# %% test-maps right: a 1 x 1 convolution of MXNet
def activation_maps(features, weight):
    x, w = npx.set_np() or __import__('mxnet').np.array(features), __import__('mxnet').np.array(weight)
    return npx.convolution(x, w[:, :, None, None], kernel=(1, 1), num_filter=w.shape[0], no_bias=True)

# %% test-maps right: loops over images and positions
def activation_maps(features, weight):
    n, c, h, w = features.shape
    maps = numpy.zeros((n, len(weight), h, w), 'float32')
    for i in range(n):
        for a in range(h):
            for b in range(w):
                maps[i, :, a, b] = weight @ features[i, :, a, b]
    return maps

# %% test-maps right: a lambda with matrices
activation_maps = lambda x, w: (w @ x.reshape(x.shape[0], x.shape[1], -1)).reshape(len(x), len(w), *x.shape[2:])

# %% test-maps right: broadcasting, channels added up
def activation_maps(features, weight):
    return (weight[None, :, :, None, None] * features[:, None]).sum(axis=2)

# %% test-maps wrong: pooled first | keeps the positions
def activation_maps(features, weight):
    return features.mean(axis=(2, 3)) @ weight.T

# %% test-maps wrong: divided by the positions | the map must not
def activation_maps(features, weight):
    return numpy.einsum('kc,nchw->nkhw', weight, features) / features.shape[2] / features.shape[3]

# %% test-maps wrong: a ReLU as in Grad-CAM | no ReLU
def activation_maps(features, weight):
    return numpy.maximum(numpy.einsum('kc,nchw->nkhw', weight, features), 0)

# %% test-maps wrong: classes first | Axis 0 are the images
def activation_maps(features, weight):
    return numpy.tensordot(weight, features, axes=(1, 1))

# %% test-maps wrong: classes last | should be axis 1
def activation_maps(features, weight):
    return numpy.tensordot(features, weight, axes=(1, 1))

# %% test-maps wrong: weight transposed | raised ValueError
def activation_maps(features, weight):
    return numpy.einsum('ck,nchw->nkhw', weight, features)

# %% test-maps wrong: only the first image | something of shape
def activation_maps(features, weight):
    return numpy.einsum('kc,chw->khw', weight, features[0])

# %% test-maps wrong: printed, not returned | Did you forget `return`
def activation_maps(features, weight):
    print(numpy.einsum('kc,nchw->nkhw', weight, features).shape)

# %% test-size right: a search
def smallest_size(maps):
    net = dn.densenet('densenet201')
    size = net.smallest_input_size
    while net.stage_sizes(size, size)[-1][0] < maps:
        size += 1
    return size

# %% test-size right: backwards through the network
def smallest_size(maps):
    for _ in range(3):
        maps *= 2
    return (maps - 1) * 4 + 1

# %% test-size right: a NumPy integer
smallest_size = lambda maps: numpy.int64(32 * maps - 3)

# %% test-size wrong: 32 times | The stem rounds up
def smallest_size(maps):
    return 32 * maps

# %% test-size wrong: as if transitions rounded up | transitions round down
def smallest_size(maps):
    return 32 * (maps - 1) + 1

# %% test-size wrong: one too small | One pixel more
def smallest_size(maps):
    return 32 * maps - 4

# %% test-size wrong: one too large | One pixel less
def smallest_size(maps):
    return 32 * maps - 2

# %% test-size wrong: two transitions | How many transitions
def smallest_size(maps):
    return 4 * (4 * maps - 1) + 1

# %% test-size wrong: the published size | it should be
def smallest_size(maps):
    return 224

# %% test-size wrong: both sides | it should be 29
def smallest_size(maps):
    return 32 * maps - 3, 32 * maps - 3

# %% test-size wrong: right for the example only | it should be
def smallest_size(maps):
    return 61 if maps == 2 else 29

# %% test-prepared right: one channel after another
def prepared(images):
    planes = []
    for c, (m, s) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))):
        planes.append((images[..., c].astype('float32') / 255 - m) / s)
    return numpy.stack(planes, axis=1)

# %% test-prepared right: axes moved first, an MXNet array returned
def prepared(images):
    from mxnet import np
    x = np.array(numpy.moveaxis(images, -1, 1), dtype='float32') / 255
    m, s = (np.array(v).reshape(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return (x - m) / s

# %% test-prepared right: Gluon's transforms
def prepared(images):
    from mxnet import np
    from mxnet.gluon.data.vision import transforms
    t = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return np.stack([t(transforms.ToTensor()(np.array(image, dtype='uint8'))) for image in images])

# %% test-prepared right: multiplied out
prepared = lambda x: x.transpose(0, 3, 1, 2) * (1 / (255 * numpy.array([[[.229]], [[.224]], [[.225]]]))) - numpy.array([[[.485 / .229]], [[.456 / .224]], [[.406 / .225]]])

# %% test-prepared wrong: not divided by 255 | between 0 and 1
def prepared(images):
    return ((images - numpy.array([0.485, 0.456, 0.406])) / numpy.array([0.229, 0.224, 0.225])).transpose(0, 3, 1, 2)

# %% test-prepared wrong: channels last | channels as axis 1
def prepared(images):
    return (images / 255 - numpy.array([0.485, 0.456, 0.406])) / numpy.array([0.229, 0.224, 0.225])

# %% test-prepared wrong: reshaped | reshape keeps the order
def prepared(images):
    x = (images / 255 - numpy.array([0.485, 0.456, 0.406])) / numpy.array([0.229, 0.224, 0.225])
    return x.reshape(x.shape[0], 3, x.shape[1], x.shape[2])

# %% test-prepared wrong: width before height | Height comes before
def prepared(images):
    x = (images / 255 - numpy.array([0.485, 0.456, 0.406])) / numpy.array([0.229, 0.224, 0.225])
    return x.swapaxes(1, 3)

# %% test-prepared wrong: scaled only | mean and the standard deviation are missing
def prepared(images):
    return images.transpose(0, 3, 1, 2) / 255

# %% test-prepared wrong: mean only | standard deviation is missing
def prepared(images):
    return (images / 255 - numpy.array([0.485, 0.456, 0.406])).transpose(0, 3, 1, 2)

# %% test-prepared wrong: its own statistics | statistics of your images
def prepared(images):
    x = images.transpose(0, 3, 1, 2) / 255
    return (x - x.mean(axis=(0, 2, 3), keepdims=True)) / x.std(axis=(0, 2, 3), keepdims=True)

# %% test-prepared wrong: blue first | red, green, blue
def prepared(images):
    return ((images / 255 - numpy.array([0.406, 0.456, 0.485])) / numpy.array([0.225, 0.224, 0.229])).transpose(0, 3, 1, 2)

# %% test-batch right: integer division by hand
def largest_batch(memory, parameters, kept_bytes):
    left, n = memory - 12 * parameters, 0
    return int(left / kept_bytes) if left > 0 else 0

# %% test-batch right: floor gives a float
def largest_batch(memory, parameters, kept_bytes):
    return numpy.floor(max(memory - 4 * (parameters + parameters + parameters), 0) / kept_bytes)

# %% test-batch right: divmod
largest_batch = lambda m, p, k: divmod(max(m - 12 * p, 0), k)[0]

# %% test-batch wrong: negative where nothing fits | the answer is 0
def largest_batch(memory, parameters, kept_bytes):
    return (memory - 12 * parameters) // kept_bytes

# %% test-batch wrong: images only | need memory too
def largest_batch(memory, parameters, kept_bytes):
    return memory // kept_bytes

# %% test-batch wrong: weights only | not for gradients
def largest_batch(memory, parameters, kept_bytes):
    return max(0, (memory - 4 * parameters) // kept_bytes)

# %% test-batch wrong: no momentum | Three numbers per parameter
def largest_batch(memory, parameters, kept_bytes):
    return max(0, (memory - 8 * parameters) // kept_bytes)

# %% test-batch wrong: numbers, not bytes | 4 bytes
def largest_batch(memory, parameters, kept_bytes):
    return max(0, (memory - 3 * parameters) // kept_bytes)

# %% test-batch wrong: rounded | the last image does not fit
def largest_batch(memory, parameters, kept_bytes):
    return max(0, round((memory - 12 * parameters) / kept_bytes))

# %% test-batch wrong: half an image | whole number of images
def largest_batch(memory, parameters, kept_bytes):
    return max(0, memory - 12 * parameters) / kept_bytes

# %% test-choose right: a loop that keeps the best
def chosen_accuracy(train, accuracy, rates, validation, test):
    best, kept = -1, None
    for rate in rates:
        net = train(rate)
        if (a := accuracy(net, validation)) > best:
            best, kept = a, net
    return accuracy(kept, test)

# %% test-choose right: trained again after the choice
def chosen_accuracy(train, accuracy, rates, validation, test):
    found = {rate: accuracy(train(rate), validation) for rate in rates}
    return accuracy(train(max(found, key=found.get)), test)

# %% test-choose right: sorted, a NumPy number returned
chosen_accuracy = lambda train, accuracy, rates, v, t: numpy.float64(accuracy(sorted(map(train, rates), key=lambda n: -accuracy(n, v))[0], t))

# %% test-choose wrong: chosen with the test images | had a part in the choice
def chosen_accuracy(train, accuracy, rates, validation, test):
    return max(accuracy(train(rate), test) for rate in rates)

# %% test-choose wrong: all tested, the chosen one reported | had a part in the choice
def chosen_accuracy(train, accuracy, rates, validation, test):
    results = [(accuracy(net, validation), accuracy(net, test)) for net in map(train, rates)]
    return max(results)[1]

# %% test-choose wrong: the validation accuracy reported | too high on average
def chosen_accuracy(train, accuracy, rates, validation, test):
    return max(accuracy(train(rate), validation) for rate in rates)

# %% test-choose wrong: the last one trained | That is the last network
def chosen_accuracy(train, accuracy, rates, validation, test):
    for rate in rates:
        net = train(rate)
        accuracy(net, validation)
    return accuracy(net, test)

# %% test-choose wrong: the lowest, as if it were a loss | lowest validation accuracy
def chosen_accuracy(train, accuracy, rates, validation, test):
    return accuracy(min(map(train, rates), key=lambda net: accuracy(net, validation)), test)

# %% test-choose wrong: the rate instead of the network | takes a network
def chosen_accuracy(train, accuracy, rates, validation, test):
    return accuracy(max(rates, key=lambda rate: accuracy(train(rate), validation)), test)

# %% test-choose wrong: the rate returned | it should be
def chosen_accuracy(train, accuracy, rates, validation, test):
    return max(rates, key=lambda rate: accuracy(train(rate), validation))
