# ruff: noqa
# %% test-map right: the weight is split along axis 1
def mean_absolute_weights(block):
    npx.waitall()
    rows, L = [], len(block.net)
    k, c = block.net[0][2].weight.shape[:2]
    for i, layer in enumerate(block.net):
        parts = numpy.split(numpy.abs(layer[2].weight.data().asnumpy()), [c + k * s for s in range(i + 1)], axis=1)
        rows.append([part.mean() for part in parts[:i + 1]] + [numpy.nan] * (L - i - 1))
    return numpy.array(rows)

# %% test-map right: float64, zeros where there is no connection
def mean_absolute_weights(block):
    table = numpy.zeros((len(block.net), len(block.net)))
    c = block.net[0][2].weight.shape[1]
    k = block.net[0][2].weight.shape[0]
    for i in range(len(block.net)):
        w = block.net[i][2].weight.data().asnumpy().astype('float64')
        table[i, 0] = numpy.sqrt(w[:, :c] ** 2).mean()
        for s in range(1, i + 1):
            table[i, s] = numpy.mean(numpy.absolute(w[:, c + k * (s - 1):c + k * s]))
    return table

# %% test-map right: in MXNet, turned into NumPy at the end
def mean_absolute_weights(block):
    npx.waitall()
    ws = [layer[2].weight.data() for layer in block.net]
    c, k = ws[0].shape[1], ws[0].shape[0]
    means = np.zeros((len(ws), len(ws)))
    for i, w in enumerate(ws):
        start = 0
        for s in range(i + 1):
            width = k if s else c
            means[i, s] = np.abs(w[:, start:start + width]).mean()
            start += width
    return means.asnumpy()

# %% test-map right: an array of MXNet
def mean_absolute_weights(block):
    return np.array(numpy.nan_to_num(by_hand(block)))


def by_hand(block):
    k, c = block.net[0][2].weight.shape[:2]
    edges = [0, *(c + k * s for s in range(len(block.net)))]
    return numpy.array([[abs(layer[2].weight.data().asnumpy()[:, a:b]).mean() if b <= layer[2].weight.shape[1] else 0
                         for a, b in zip(edges, edges[1:])] for layer in block.net])

# %% test-map right: a list of lists
def mean_absolute_weights(block):
    k, c = block.net[0][2].weight.shape[:2]
    edges = [0, *(c + k * s for s in range(len(block.net)))]
    return [[float(abs(layer[2].weight.data().asnumpy()[:, a:b]).mean()) if b <= layer[2].weight.shape[1] else math.nan
             for a, b in zip(edges, edges[1:])] for layer in block.net]

# %% test-cut right: written into the data in place
def cut_connection(block, source, layer):
    npx.waitall()
    w = block.net[layer - 1][2].weight
    k, c = block.net[0][2].weight.shape[:2]
    edges = [0] + [c + k * s for s in range(len(block.net) + 1)]
    w.data()[:, edges[source]:edges[source + 1]] = 0

# %% test-cut right: multiplied by a mask
def cut_connection(block, source, layer):
    weight = block.net[layer - 1][2].weight
    k, c = block.net[0][2].weight.shape[:2]
    mask = numpy.ones(weight.shape, 'float32')
    start = 0 if not source else c + k * (source - 1)
    mask[:, start:start + (k if source else c)] = 0
    weight.set_data(weight.data() * np.array(mask))

# %% test-cut right: parts joined, and the block returned
def cut_connection(b, s, l):
    w = b.net[l - 1][2].weight.data().asnumpy()
    k, c = b.net[0][2].weight.shape[:2]
    a, e = (0, c) if s == 0 else (c + k * s - k, c + k * s)
    b.net[l - 1][2].weight.set_data(np.array(numpy.concatenate([w[:, :a], 0 * w[:, a:e], w[:, e:]], axis=1)))
    return b

# %% test-map wrong: no absolute value | signs cancel
def mean_absolute_weights(block):
    npx.waitall()
    L = len(block.net)
    k, k0 = block.net[0][2].weight.shape[:2]
    means = numpy.full((L, L), numpy.nan)
    for row in range(L):
        weight = block.net[row][2].weight.data().asnumpy()
        for source in range(row + 1):
            start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
            means[row, source] = weight[:, start:stop].mean()
    return means

# %% test-map wrong: the sum | That is the sum
def mean_absolute_weights(block):
    npx.waitall()
    L = len(block.net)
    k, k0 = block.net[0][2].weight.shape[:2]
    means = numpy.full((L, L), numpy.nan)
    for row in range(L):
        weight = abs(block.net[row][2].weight.data().asnumpy())
        for source in range(row + 1):
            start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
            means[row, source] = weight[:, start:stop].sum()
    return means

# %% test-map wrong: source 0 has k channels | own number of channels
def mean_absolute_weights(block):
    npx.waitall()
    L = len(block.net)
    k, k0 = block.net[0][2].weight.shape[:2]
    means = numpy.full((L, L), numpy.nan)
    for row in range(L):
        weight = abs(block.net[row][2].weight.data().asnumpy())
        for source in range(row + 1):
            start, stop = (source * k, source * k + k)
            means[row, source] = weight[:, start:stop].mean()
    return means

# %% test-map wrong: the wrong axis | it should be
def mean_absolute_weights(block):
    npx.waitall()
    L = len(block.net)
    k, k0 = block.net[0][2].weight.shape[:2]
    means = numpy.full((L, L), numpy.nan)
    for row in range(L):
        weight = abs(block.net[row][2].weight.data().asnumpy())
        for source in range(row + 1):
            start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
            means[row, source] = weight[start:stop].mean()
    return means

# %% test-map wrong: rows divided by their largest | divided by its largest
def mean_absolute_weights(block):
    npx.waitall()
    L = len(block.net)
    k, k0 = block.net[0][2].weight.shape[:2]
    means = numpy.full((L, L), numpy.nan)
    for row in range(L):
        weight = abs(block.net[row][2].weight.data().asnumpy())
        for source in range(row + 1):
            start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
            means[row, source] = weight[:, start:stop].mean()
    return means / numpy.nanmax(means, axis=1, keepdims=True)

# %% test-map wrong: turned | Rows and columns are swapped
def mean_absolute_weights(block):
    npx.waitall()
    L = len(block.net)
    k, k0 = block.net[0][2].weight.shape[:2]
    means = numpy.full((L, L), numpy.nan)
    for row in range(L):
        weight = abs(block.net[row][2].weight.data().asnumpy())
        for source in range(row + 1):
            start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
            means[row, source] = weight[:, start:stop].mean()
    return means.T

# %% test-map wrong: no return | Did you forget `return`
def mean_absolute_weights(block):
    npx.waitall()
    L = len(block.net)
    k, k0 = block.net[0][2].weight.shape[:2]
    means = numpy.full((L, L), numpy.nan)
    for row in range(L):
        weight = abs(block.net[row][2].weight.data().asnumpy())
        for source in range(row + 1):
            start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
            means[row, source] = weight[:, start:stop].mean()

# %% test-map wrong: the root of the mean square | root of the mean square
def mean_absolute_weights(block):
    npx.waitall()
    L = len(block.net)
    k, k0 = block.net[0][2].weight.shape[:2]
    means = numpy.full((L, L), numpy.nan)
    for row in range(L):
        weight = abs(block.net[row][2].weight.data().asnumpy())
        for source in range(row + 1):
            start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
            means[row, source] = (weight[:, start:stop] ** 2).mean() ** 0.5
    return means

# %% test-map wrong: the package's function | uses the package
from d2l_densenet import mean_absolute_weights

# %% test-map wrong: the package's function, wrapped | uses the package
def mean_absolute_weights(block):
    return d2l_densenet.mean_absolute_weights(block)

# %% test-cut wrong: on a copy | changes nothing
def cut_connection(block, source, layer):
    npx.waitall()
    k, k0 = block.net[0][2].weight.shape[:2]
    start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
    weight = block.net[layer - 1][2].weight
    values = weight.data().asnumpy().copy()
    values[:, start:stop] = 0

# %% test-cut wrong: one layer off | Layers count from 1
def cut_connection(block, source, layer):
    npx.waitall()
    k, k0 = block.net[0][2].weight.shape[:2]
    start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
    weight = block.net[layer % len(block.net)][2].weight
    values = weight.data().asnumpy().copy()
    values[:, start:stop] = 0
    weight.set_data(np.array(values))

# %% test-cut wrong: one source off | one source off
def cut_connection(block, source, layer):
    npx.waitall()
    k, k0 = block.net[0][2].weight.shape[:2]
    start, stop = (0, k0) if source == 0 else (k0 + source * k, k0 + source * k + k)
    weight = block.net[layer - 1][2].weight
    values = weight.data().asnumpy().copy()
    values[:, start:stop] = 0
    weight.set_data(np.array(values))

# %% test-cut wrong: the output channels | axis 1
def cut_connection(block, source, layer):
    npx.waitall()
    k, k0 = block.net[0][2].weight.shape[:2]
    start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
    weight = block.net[layer - 1][2].weight
    values = weight.data().asnumpy().copy()
    values[start:stop] = 0
    weight.set_data(np.array(values))

# %% test-cut wrong: ones | other values than zero
def cut_connection(block, source, layer):
    npx.waitall()
    k, k0 = block.net[0][2].weight.shape[:2]
    start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
    weight = block.net[layer - 1][2].weight
    values = weight.data().asnumpy().copy()
    values[:, start:stop] = 1
    weight.set_data(np.array(values))

# %% test-cut wrong: the center of the kernels only | nine weights
def cut_connection(block, source, layer):
    npx.waitall()
    k, k0 = block.net[0][2].weight.shape[:2]
    start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
    weight = block.net[layer - 1][2].weight
    values = weight.data().asnumpy().copy()
    values[:, start:stop, 1, 1] = 0
    weight.set_data(np.array(values))

# %% test-cut wrong: all after it too | Which of its input channels
def cut_connection(block, source, layer):
    npx.waitall()
    k, k0 = block.net[0][2].weight.shape[:2]
    start, stop = (0, k0) if source == 0 else (k0 + (source - 1) * k, k0 + source * k)
    weight = block.net[layer - 1][2].weight
    values = weight.data().asnumpy().copy()
    values[:, start:] = 0
    weight.set_data(np.array(values))

# %% test-cut wrong: the package's function | uses the package
cut_connection = lambda block, source, layer: d2l_densenet.cut_connection(block, source, layer)

# %% test-repaint right: in place, and the block returned
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), float(wanted[row, source] / now[row, source])
            weight[:, channels] *= factor
            gamma[channels] /= factor
            beta[channels] /= factor
    return block

# %% test-repaint right: gamma times the reciprocal
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data().asnumpy().copy() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), wanted[row, source] / now[row, source]
            weight[:, channels] *= factor
            gamma[channels] *= 1 / factor
            beta[channels] /= factor
        for parameter, values in ((norm.gamma, gamma), (norm.beta, beta), (conv.weight, weight)):
            parameter.set_data(np.array(values))

# %% test-repaint right: one factor per channel, the map by hand
def repaint(block, wanted):
    npx.waitall()
    for row in range(len(block.net)):
        layer = block.net[row]
        w = layer[2].weight.data().asnumpy()
        factors = numpy.ones(w.shape[1], 'float32')
        for s in range(row + 1):
            part = source_channels(block, s)
            factors[part] = wanted[row][s] / numpy.abs(w[:, part]).mean()
        layer[2].weight.set_data(np.array(w * factors[None, :, None, None]))
        layer[0].gamma.set_data(layer[0].gamma.data() / np.array(factors))
        layer[0].beta.set_data(layer[0].beta.data() / np.array(factors))

# %% test-repaint wrong: only the weights | the output must stay
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data().asnumpy().copy() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), wanted[row, source] / now[row, source]
            weight[:, channels] *= factor
        for parameter, values in ((norm.gamma, gamma), (norm.beta, beta), (conv.weight, weight)):
            parameter.set_data(np.array(values))

# %% test-repaint wrong: gamma only | the output must stay
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data().asnumpy().copy() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), wanted[row, source] / now[row, source]
            weight[:, channels] *= factor
            gamma[channels] /= factor
        for parameter, values in ((norm.gamma, gamma), (norm.beta, beta), (conv.weight, weight)):
            parameter.set_data(np.array(values))

# %% test-repaint wrong: gamma and beta multiplied | the output must stay
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data().asnumpy().copy() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), wanted[row, source] / now[row, source]
            weight[:, channels] *= factor
            gamma[channels] *= factor
            beta[channels] *= factor
        for parameter, values in ((norm.gamma, gamma), (norm.beta, beta), (conv.weight, weight)):
            parameter.set_data(np.array(values))

# %% test-repaint wrong: nothing written back | do you write with set_data
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data().asnumpy().copy() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), wanted[row, source] / now[row, source]
            weight[:, channels] *= factor
            gamma[channels] /= factor
            beta[channels] /= factor
        for parameter, values in ((norm.gamma, gamma), (norm.beta, beta), (conv.weight, weight)):
            pass

# %% test-repaint wrong: the factor upside down | over what the map says now
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data().asnumpy().copy() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), now[row, source] / wanted[row, source]
            weight[:, channels] *= factor
            gamma[channels] /= factor
            beta[channels] /= factor
        for parameter, values in ((norm.gamma, gamma), (norm.beta, beta), (conv.weight, weight)):
            parameter.set_data(np.array(values))

# %% test-repaint wrong: without the map of now | over what the map says now
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data().asnumpy().copy() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), wanted[row, source]
            weight[:, channels] *= factor
            gamma[channels] /= factor
            beta[channels] /= factor
        for parameter, values in ((norm.gamma, gamma), (norm.beta, beta), (conv.weight, weight)):
            parameter.set_data(np.array(values))

# %% test-repaint wrong: set to the number | the output must stay
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data().asnumpy().copy() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), wanted[row, source] / now[row, source]
            weight[:, channels] = wanted[row, source]
            gamma[channels] /= factor
            beta[channels] /= factor
        for parameter, values in ((norm.gamma, gamma), (norm.beta, beta), (conv.weight, weight)):
            parameter.set_data(np.array(values))

# %% test-repaint wrong: rows and columns swapped | differs
def repaint(block, wanted):
    now = d2l_densenet.mean_absolute_weights(block)
    for row, (norm, _, conv) in enumerate(block.net):
        gamma, beta, weight = (p.data().asnumpy().copy() for p in (norm.gamma, norm.beta, conv.weight))
        for source in range(row + 1):
            channels, factor = source_channels(block, source), wanted[source, row] / now[row, source]
            weight[:, channels] *= factor
            gamma[channels] /= factor
            beta[channels] /= factor
        for parameter, values in ((norm.gamma, gamma), (norm.beta, beta), (conv.weight, weight)):
            parameter.set_data(np.array(values))

# %% test-seeds right: a loop, a set
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    n = 2
    while abs(m) < 2 * s / math.sqrt(n):
        n += 1
    return n


met = {'C', 'A'}

# %% test-seeds right: the statistics module, text
def seeds_needed(differences):
    import statistics
    m, s = statistics.mean(differences), statistics.stdev(differences)
    return max(2, math.ceil((2 * s / m) ** 2))


met = 'A and C'

# %% test-seeds right: NumPy numbers, a tuple
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return numpy.maximum(2, numpy.ceil(4 * s ** 2 / m ** 2))


met = ('C', 'A')

# %% test-seeds wrong: the other standard deviation | ddof=1
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences)
    return max(2, math.ceil((2 * s / m) ** 2))


met = ['A', 'C']

# %% test-seeds wrong: can be one | At least 2
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return max(1, math.ceil((2 * s / m) ** 2))


met = ['A', 'C']

# %% test-seeds wrong: rounded down | smallest whole number
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return max(2, math.floor((2 * s / m) ** 2))


met = ['A', 'C']

# %% test-seeds wrong: only positive means | For which n
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return max(2, math.ceil(2 * s / m))


met = ['A', 'C']

# %% test-seeds wrong: one standard error | For which n
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return max(2, math.ceil((s / m) ** 2))


met = ['A', 'C']

# %% test-seeds wrong: not whole | smallest whole number
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return (2 * s / m) ** 2


met = ['A', 'C']

# %% test-seeds wrong: B too | met
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return max(2, math.ceil((2 * s / m) ** 2))


met = ['A', 'B', 'C']

# %% test-seeds wrong: the verdict turned round | met
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return max(2, math.ceil((2 * s / m) ** 2))


met = ['B']

# %% test-seeds wrong: only A | met
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return max(2, math.ceil((2 * s / m) ** 2))


met = ['A']

# %% test-seeds wrong: not answered | still None
def seeds_needed(differences):
    m, s = numpy.mean(differences), numpy.std(differences, ddof=1)
    return max(2, math.ceil((2 * s / m) ** 2))


met = None
