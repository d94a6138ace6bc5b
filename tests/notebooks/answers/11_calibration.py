# ruff: noqa
# %% test-softmax right: MXNet's
def softmax(logits, temperature):
    from mxnet import np, npx
    return npx.softmax(np.array(logits / temperature, dtype='float64'), axis=-1)

# %% test-softmax right: row by row, a list of rows
def softmax(logits, temperature):
    rows = []
    for row in logits:
        e = numpy.exp(row / temperature - max(row / temperature))
        rows.append(e / sum(e))
    return rows

# %% test-softmax right: from the logarithm
def softmax(logits, temperature):
    z = logits / temperature
    return numpy.exp(z - numpy.logaddexp.reduce(z, axis=1, keepdims=True))

# %% test-softmax wrong: overflow | exp of a large number
def softmax(logits, temperature):
    p = numpy.exp(logits / temperature)
    return p / p.sum(axis=1, keepdims=True)

# %% test-softmax wrong: one maximum for all | of each row
def softmax(logits, temperature):
    p = numpy.exp((logits - logits.max()) / temperature)
    return p / p.sum(axis=1, keepdims=True)

# %% test-softmax wrong: no temperature | has no effect
def softmax(logits, temperature):
    p = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)

# %% test-softmax wrong: multiplied | Divide the logits
def softmax(logits, temperature):
    p = numpy.exp((logits - logits.max(axis=1, keepdims=True)) * temperature)
    return p / p.sum(axis=1, keepdims=True)

# %% test-softmax wrong: probabilities divided | not the probabilities
def softmax(logits, temperature):
    p = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True) / temperature

# %% test-softmax wrong: over the images | which axis are the classes
def softmax(logits, temperature):
    p = numpy.exp((logits - logits.max(axis=0)) / temperature)
    return p / p.sum(axis=0)

# %% test-softmax wrong: the confidence only | something of shape
def softmax(logits, temperature):
    p = numpy.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    return (p / p.sum(axis=1, keepdims=True)).max(axis=1)

# %% test-ece right: digitize
def ece(confidence, right, bins):
    place = numpy.clip(numpy.digitize(confidence, numpy.linspace(0, 1, bins + 1)) - 1, 0, bins - 1)
    return sum(abs((confidence[place == b] - right[place == b]).sum()) for b in range(bins)) / len(right)

# %% test-ece right: histograms
def ece(confidence, right, bins):
    edges = numpy.linspace(0, 1, bins + 1)
    sums = [numpy.histogram(confidence, edges, weights=w)[0] for w in (confidence, right.astype(float))]
    return numpy.abs(sums[0] - sums[1]).sum() / confidence.size

# %% test-ece right: intervals open below, as many papers have them
def ece(confidence, right, bins):
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.sum():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total

# %% test-ece right: plain Python
def ece(confidence, right, bins):
    table = {}
    for c, r in zip(confidence, right):
        table.setdefault(min(int(c * bins), bins - 1), []).append(float(c) - bool(r))
    return sum(abs(sum(values)) for values in table.values()) / len(confidence)

# %% test-ece wrong: bins not weighted | as much as full ones
def ece(confidence, right, bins):
    place = numpy.minimum((confidence * bins).astype(int), bins - 1)
    return numpy.mean([abs(confidence[place == b].mean() - right[place == b].mean()) for b in set(place.tolist())])

# %% test-ece wrong: overall gap | In which bins
def ece(confidence, right, bins):
    return abs(confidence.mean() - right.mean())

# %% test-ece wrong: signed | cancel out
def ece(confidence, right, bins):
    return confidence.mean() - right.mean()

# %% test-ece wrong: the largest gap | the mean is wanted
def ece(confidence, right, bins):
    place = numpy.minimum((confidence * bins).astype(int), bins - 1)
    return max(abs(confidence[place == b].mean() - right[place == b].mean()) for b in set(place.tolist()))

# %% test-ece wrong: image by image | Take the means of a bin
def ece(confidence, right, bins):
    return numpy.abs(confidence - right).mean()

# %% test-ece wrong: nan from empty bins | returns nan
def ece(confidence, right, bins):
    place = numpy.minimum((confidence * bins).astype(int), bins - 1)
    return sum((place == b).mean() * abs(confidence[place == b].mean() - right[place == b].mean()) for b in range(bins))

# %% test-ece wrong: index error at 1 | IndexError
def ece(confidence, right, bins):
    sums = numpy.zeros(bins)
    for c, r in zip(confidence, right):
        sums[int(c * bins)] += c - r
    return abs(sums).sum() / len(confidence)

# %% test-ece wrong: confidences of 1 lost | belong to the last bin
def ece(confidence, right, bins):
    total = 0
    for b in range(bins):
        inside = (confidence >= b / bins) & (confidence < (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return total

# %% test-temperature right: SciPy
def fitted_temperature(logits, labels):
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax
    return minimize_scalar(lambda t: -log_softmax(logits / t, axis=1)[numpy.arange(len(labels)), labels].sum(),
                           bounds=(0.2, 5), method='bounded').x

# %% test-temperature right: gradient descent on 1/T
def fitted_temperature(logits, labels):
    b, hot = 1.0, numpy.eye(logits.shape[1])[labels]
    for _ in range(300):
        z = b * (logits - logits.max(axis=1, keepdims=True))
        p = numpy.exp(z) / numpy.exp(z).sum(axis=1, keepdims=True)
        mean = (p * logits).sum(axis=1)
        slope = (mean - (hot * logits).sum(axis=1)).mean()
        curve = ((p * logits ** 2).sum(axis=1) - mean ** 2).mean()
        b = min(max(b - slope / curve, b / 1.5), b * 1.5)
    return 1 / b

# %% test-temperature right: a coarse grid that is fine enough, in an array
def fitted_temperature(logits, labels):
    T = numpy.geomspace(0.2, 5, 100)
    def nll(t):
        p = numpy.exp((logits - logits.max(1, keepdims=True)) / t)
        return -numpy.log(p[range(len(labels)), labels] / p.sum(1) + 1e-300).mean()
    return numpy.array(min(T, key=nll))

# %% test-temperature wrong: the logits multiplied | That is 1/T
def fitted_temperature(logits, labels):
    b = numpy.geomspace(0.2, 5, 300)
    z = logits - logits.max(axis=1, keepdims=True)
    return b[numpy.argmin([(numpy.log(numpy.exp(z * t).sum(1)) - t * z[range(len(labels)), labels]).mean() for t in b])]

# %% test-temperature wrong: always 1 | changes nothing
def fitted_temperature(logits, labels):
    return 1.0

# %% test-temperature wrong: the NLL returned | At which temperature
def fitted_temperature(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    return min((numpy.log(numpy.exp(z / t).sum(1)) - z[range(len(labels)), labels] / t).mean() for t in numpy.geomspace(0.2, 5, 300))

# %% test-temperature wrong: by accuracy | it should be
def fitted_temperature(logits, labels):
    return max(numpy.geomspace(0.2, 5, 50), key=lambda t: ((logits / t).argmax(axis=1) == labels).mean())

# %% test-temperature wrong: the sign forgotten | it should be
def fitted_temperature(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    return max(numpy.geomspace(0.2, 5, 100), key=lambda t: (numpy.log(numpy.exp(z / t).sum(1)) - z[range(len(labels)), labels] / t).mean())

# %% test-temperature wrong: a grid with steps of 1 | it should be
def fitted_temperature(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    return min(range(1, 6), key=lambda t: (numpy.log(numpy.exp(z / t).sum(1)) - z[range(len(labels)), labels] / t).mean())

# %% test-temperature wrong: the position in the grid | it should be
def fitted_temperature(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    return numpy.argmin([(numpy.log(numpy.exp(z / t).sum(1)) - z[range(len(labels)), labels] / t).mean() for t in numpy.geomspace(0.2, 5, 100)])

# %% test-chance right: a loop, seeded by nothing
def by_chance(ece, confidence):
    total = 0
    for _ in range(300):
        right = numpy.random.rand(len(confidence)) < confidence
        total += ece(confidence, right)
    return total / 300

# %% test-chance right: binomial draws as numbers
def by_chance(ece, confidence):
    return numpy.mean([ece(confidence, numpy.random.binomial(1, confidence)) for _ in range(400)])

# %% test-chance right: Python's own random numbers and a list of answers
def by_chance(ece, confidence):
    import random, statistics
    return statistics.fmean(ece(confidence, [random.random() < c for c in confidence]) for _ in range(300))

# %% test-chance wrong: zero by definition | the measured one is not
def by_chance(ece, confidence):
    return 0.0

# %% test-chance wrong: the mean confidence for all | its own confidence
def by_chance(ece, confidence):
    return numpy.mean([ece(confidence, numpy.random.rand(len(confidence)) < confidence.mean()) for _ in range(1000)])

# %% test-chance wrong: fair coins | coins are fair
def by_chance(ece, confidence):
    return numpy.mean([ece(confidence, numpy.random.rand(len(confidence)) < 0.5) for _ in range(500)])

# %% test-chance wrong: the wrong way round | wrong with probability confidence
def by_chance(ece, confidence):
    return numpy.mean([ece(confidence, numpy.random.rand(len(confidence)) > confidence) for _ in range(500)])

# %% test-chance wrong: not random | drawn at random
def by_chance(ece, confidence):
    return ece(confidence, confidence > 0.5)

# %% test-chance wrong: the upper limit instead of the mean | it should be
def by_chance(ece, confidence):
    return numpy.quantile([ece(confidence, numpy.random.rand(len(confidence)) < confidence) for _ in range(300)], 0.95)

# %% test-chance wrong: all values returned | it should be
def by_chance(ece, confidence):
    return [ece(confidence, numpy.random.rand(len(confidence)) < confidence) for _ in range(300)]

# %% test-chance wrong: a number from the notebook | it should be
def by_chance(ece, confidence):
    return 0.026

# %% test-coverage right: each confidence a threshold, in a set
def largest_coverage(confidence, right, risk):
    shares = [0]
    for t in set(confidence):
        kept = right[confidence >= t]
        if 1 - kept.mean() <= risk:
            shares.append(len(kept) / len(right))
    return max(shares)

# %% test-coverage right: sorted, ends of ties only
def largest_coverage(confidence, right, risk):
    order = numpy.argsort(-confidence)
    c, errors = confidence[order], (~right[order]).cumsum()
    n = numpy.arange(1, len(c) + 1)
    ends = numpy.append(c[1:] != c[:-1], True)
    good = ends & (errors / n <= risk)
    return n[good].max() / len(c) if good.any() else 0.0

# %% test-coverage right: a matrix of thresholds
def largest_coverage(confidence, right, risk):
    accepted = confidence[None] >= confidence[:, None]
    error = (accepted & ~right).sum(1) / accepted.sum(1)
    return float(numpy.where(error <= risk, accepted.mean(1), 0).max())

# %% test-coverage wrong: stops at the first violation | do not stop
def largest_coverage(confidence, right, risk):
    best = 0
    for t in sorted(set(confidence), reverse=True):
        if (~right[confidence >= t]).mean() > risk:
            break
        best = (confidence >= t).mean()
    return best

# %% test-coverage wrong: ties cut apart | together or not at all
def largest_coverage(confidence, right, risk):
    wrong = (~right[numpy.argsort(-confidence, kind='stable')]).cumsum()
    n = numpy.arange(1, len(wrong) + 1)
    return max(n[wrong / n <= risk], default=0) / len(n)

# %% test-coverage wrong: least sure first | surest first
def largest_coverage(confidence, right, risk):
    wrong = (~right[numpy.argsort(confidence, kind='stable')]).cumsum()
    n = numpy.arange(1, len(wrong) + 1)
    return max(n[wrong / n <= risk], default=0) / len(n)

# %% test-coverage wrong: the number of images | not their number
def largest_coverage(confidence, right, risk):
    best = 0
    for t in numpy.unique(confidence):
        if (~right[confidence >= t]).mean() <= risk:
            best = max(best, (confidence >= t).sum())
    return best

# %% test-coverage wrong: the confidences trusted | which answers were right
def largest_coverage(confidence, right, risk):
    return (confidence >= 1 - risk).mean()

# %% test-coverage wrong: the threshold returned | it should be
def largest_coverage(confidence, right, risk):
    return min((t for t in numpy.unique(confidence) if (~right[confidence >= t]).mean() <= risk), default=0)

# %% test-coverage wrong: the threshold itself refused | it should be
def largest_coverage(confidence, right, risk):
    shares = [(confidence > t).mean() for t in numpy.unique(confidence)
              if (confidence > t).any() and (~right[confidence > t]).mean() <= risk]
    return max(shares, default=0)

# %% test-coverage wrong: fails where nothing can be accepted | ValueError
def largest_coverage(confidence, right, risk):
    return max((confidence >= t).mean() for t in numpy.unique(confidence) if (~right[confidence >= t]).mean() <= risk)
