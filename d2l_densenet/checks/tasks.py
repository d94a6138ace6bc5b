"""Checks of the functions that the later sets of exercises ask for: named networks, calibration, after DenseNet."""

import collections
import itertools
import math

import numpy

from ._guard import CheckFailed, check, shown
from .generic import compared

__all__ = ['task']

#: What is right by another way, arguments drawn afresh at each check, and known wrong ways with their sentences.
Task = collections.namedtuple('Task', 'right cases hints tolerance', defaults=[1e-4])


@check
def task(f, name):
    """Check a function that an exercise asks for.

    Parameters
    ----------
    f : callable
        The learner's.
    name : str
        Which exercise: 'activation_maps', 'smallest_size', 'prepared', 'largest_batch', 'chosen_accuracy', 'softmax',
        'ece', 'temperature', 'by_chance', 'largest_coverage', 'harmonic_sources', 'values_read', 'equal_growth' or
        'joined'.

    Raises
    ------
    CheckFailed
    """
    if str(getattr(f, '__module__', '')).startswith('d2l_densenet'):
        raise CheckFailed(f"{shown(f)} is the package's: write your own.")
    return compared(f, *TASKS[name])


# Notebook 10: named networks

def _maps(features, weight):
    return numpy.moveaxis(numpy.tensordot(weight, features, axes=(1, 1)), 0, 1)


def _feature_cases(rng):
    return [(rng.normal(size=(n, c, h, w)), rng.normal(size=(k, c)))
            for n, c, h, w, k in ((2, 5, 3, 4, 7), (3, 4, 5, 5, 4), (1, 6, 2, 3, 2))]


_ACTIVATION_MAPS = Task(_maps, _feature_cases, [
    (lambda x, w: _maps(x, w).mean((2, 3)), 'That is pooled. A map keeps the positions.'),
    (lambda x, w: _maps(x, w) / x[0, 0].size, 'The pooling divides by the number of positions; the map must not.'),
    (lambda x, w: numpy.maximum(_maps(x, w), 0), 'Evidence against a class counts too: no ReLU.'),
    (lambda x, w: numpy.moveaxis(_maps(x, w), 0, 1), 'Axis 0 are the images, axis 1 the classes.'),
    (lambda x, w: numpy.moveaxis(_maps(x, w), 1, 3), 'The classes should be axis 1.')])


def _size_cases(rng):
    return [(int(maps),) for maps in (1, 2, *rng.integers(3, 20, 3))]


_SMALLEST_SIZE = Task(lambda maps: 32 * maps - 3, _size_cases, [
    (lambda maps: 32 * maps, 'That is enough. Is it the smallest? The stem rounds up.'),
    (lambda maps: 32 * maps - 31, 'The transitions round down.'),
    (lambda maps: 32 * maps - 4, 'One pixel more: at your size the maps are smaller.'),
    (lambda maps: 32 * maps - 2, 'One pixel less is still enough.'),
    (lambda maps: 16 * maps - 3, 'How many transitions are there?')])

_MEAN, _STD = numpy.array([0.485, 0.456, 0.406]), numpy.array([0.229, 0.224, 0.225])


def _prepared(images, mean=_MEAN, std=_STD, scale=255):
    return ((images / scale - mean) / std).transpose(0, 3, 1, 2)


def _image_cases(rng):
    return [(rng.integers(0, 256, (n, h, w, 3)).astype('uint8'),) for n, h, w in ((2, 4, 5), (3, 6, 6), (1, 7, 3))]


_PREPARED = Task(_prepared, _image_cases, [
    (lambda x: _prepared(x, scale=1), 'The means are for values between 0 and 1; yours go up to 255.'),
    (lambda x: ((x / 255 - _MEAN) / _STD), 'Gluon wants the channels as axis 1.'),
    (lambda x: ((x / 255 - _MEAN) / _STD).reshape(len(x), 3, *x.shape[1:3]),
     'reshape keeps the order of the numbers and mixes the channels. Which function moves an axis?'),
    (lambda x: ((x / 255 - _MEAN) / _STD).transpose(0, 3, 2, 1), 'Height comes before width.'),
    (lambda x: ((x / 255 - _MEAN) / _STD).T, 'The batch must remain axis 0.'),
    (lambda x: _prepared(x, 0, 1), 'Scaled, but the mean and the standard deviation are missing.'),
    (lambda x: _prepared(x, _MEAN, 1), 'The standard deviation is missing.'),
    (lambda x: _prepared(x, _MEAN, 1 / _STD), 'Divide by the standard deviation.'),
    (lambda x: _prepared(x, _MEAN[::-1], _STD[::-1]), 'The numbers are in the order red, green, blue.'),
    (lambda x: _prepared(x, x.mean((0, 1, 2)) / 255, x.std((0, 1, 2)) / 255),
     "These are the statistics of your images. The weights were trained with torchvision's.")])


def _batch_cases(rng):
    cases = [(int(rng.integers(4, 9) * 1e9), int(rng.integers(1e8, 3e8)), int(rng.integers(1e6, 1e7)))
             for _ in range(4)]
    kept = int(rng.integers(1000, 2000))
    return [*cases, (12 * 50 + 7 * kept, 50, kept), (12 * 50 + 7 * kept - 1, 50, kept), (1200, 300, kept)]


_LARGEST_BATCH = Task(lambda memory, parameters, kept: max(0, (memory - 12 * parameters) // kept), _batch_cases, [
    (lambda m, p, k: (m - 12 * p) // k, 'Where not even the weights fit, the answer is 0.'),
    (lambda m, p, k: m // k, 'Weights, gradients and momentum need memory too.'),
    (lambda m, p, k: max(0, (m - 4 * p) // k), 'That leaves room for the weights, but not for gradients and momentum.'),
    (lambda m, p, k: max(0, (m - 8 * p) // k), 'Three numbers per parameter: weight, gradient, momentum.'),
    (lambda m, p, k: max(0, (m - 3 * p) // k), 'Each number takes 4 bytes.'),
    (lambda m, p, k: max(0, round((m - 12 * p) / k)), 'Rounded up, the last image does not fit.'),
    (lambda m, p, k: max(0, math.ceil((m - 12 * p) / k)), 'Rounded up, the last image does not fit.'),
    (lambda m, p, k: max(0, m - 12 * p) / k, 'A batch has a whole number of images.')])


class _Network:
    def __init__(self, validation, test):
        self.seen = {'validation': validation, 'test': test}


class _Part:
    """A name that prints as itself."""

    def __init__(self, name, call=None):
        self.name, self._call = name, call

    def __repr__(self):
        return self.name

    def __call__(self, *args):
        return self._call(*args)


def _world(rng, best):
    """Arguments of chosen_accuracy: training and measuring that only look up, and notice uses of the test images."""
    rates = [round(float(rate), 4) for rate in rng.uniform(0.01, 1, 4)]
    values = rng.uniform(0.2, 0.5, (4, 2))      # validation and test; the best in one is not the best in the other
    values[best, 0] += 0.5
    values[best - 1, 1] += 0.5
    networks = {rate: _Network(*pair) for rate, pair in zip(rates, values)}
    tested = set()

    def train(rate):
        if rate not in networks:
            raise CheckFailed(f'train was given {shown(rate)}; it takes one of the rates.')
        return networks[rate]

    def accuracy(net, images):
        if not isinstance(net, _Network) or not isinstance(images, _Part):
            raise CheckFailed('accuracy takes a network that train has returned, and then images.')
        if images.name == 'test':
            tested.add(net)
            if len(tested) > 1:
                raise CheckFailed('The test images were used for more than one network, so they had a part in the '
                                  'choice. Choose on the validation images, and test the one you have chosen.')
        return net.seen[images.name]

    return _Part('train', train), _Part('accuracy', accuracy), rates, _Part('validation'), _Part('test')


def _seen(choose, result):
    """A way to choose a network and to report, without calling `accuracy`."""
    def way(train, accuracy, rates, validation, test):
        return result(choose([train(rate) for rate in rates], key=lambda net: net.seen['validation']))
    return way


def _worlds(rng):
    return [_world(rng, best) for best in range(4)]


_CHOSEN_ACCURACY = Task(_seen(max, lambda net: net.seen['test']), _worlds, [
    (_seen(max, lambda net: net.seen['validation']),
     'That is the accuracy on the images you have chosen with. It is too high on average.'),
    (_seen(min, lambda net: net.seen['test']), 'The network with the lowest validation accuracy was chosen.'),
    (_seen(lambda nets, key: nets[-1], lambda net: net.seen['test']), 'That is the last network, not the best one.'),
    (_seen(lambda nets, key: nets[0], lambda net: net.seen['test']), 'That is the first network, not the best one.')])


# Notebook 11: calibration

def _softmax(logits, temperature=1):
    powers = numpy.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def _naive(logits, temperature):
    with numpy.errstate(all='ignore'):
        powers = numpy.exp(logits / temperature)
        return powers / powers.sum(axis=1, keepdims=True)


def _one_maximum(logits, temperature):
    return _naive(logits - logits.max(), temperature)


def _logit_cases(rng):
    cases = [(rng.normal(0, 3, (n, k)), float(rng.uniform(*span)))
             for n, k, span in ((4, 3, (0.3, 0.8)), (2, 5, (1.5, 3)), (5, 5, (0.5, 2)))]
    return [*cases, (rng.normal(0, 3, (2, 4)) + [[5000], [-5000]], 1.0)]


_SOFTMAX = Task(_softmax, _logit_cases, [
    (_naive, 'exp of a large number is infinite, of a very negative one 0. What can be subtracted from a row without '
     'changing its softmax?'),
    (_one_maximum, 'Subtract the largest logit of each row, not of the whole array.'),
    (lambda x, t: _softmax(x), 'The temperature has no effect in yours.'),
    (lambda x, t: _softmax(x, 1 / t), 'Divide the logits by the temperature.'),
    (lambda x, t: _softmax(x) / t, 'The temperature divides the logits, not the probabilities.'),
    (lambda x, t: numpy.log(numpy.maximum(_softmax(x, t), 1e-300)), 'Those are the logarithms.'),
    (lambda x, t: _softmax(x.T, t).T, 'The probabilities of one image add up to 1: which axis are the classes?')])


def _bins(confidence, right, bins):
    """Number of images, and confidence minus accuracy, of each bin that is not empty."""
    place = numpy.minimum((confidence * bins).astype(int), bins - 1)
    count, gap = (numpy.bincount(place, weights=values, minlength=bins) for values in (1 + 0 * confidence,
                                                                                      confidence - right))
    return count[count > 0], gap[count > 0] / count[count > 0]


def _ece(confidence, right, bins=15):
    count, gap = _bins(confidence, right, bins)
    return float((count * abs(gap)).sum() / count.sum())


def _without_ones(confidence, right, bins):
    count, gap = _bins(confidence[confidence < 1], right[confidence < 1], bins)
    return float((count * abs(gap)).sum() / len(confidence))


def _calibration_cases(rng):
    cases = []
    for n, bins in ((40, 5), (150, 10), (300, 15)):
        confidence = rng.uniform(0.35, 1, n)
        confidence[:n // 8] = 1
        probability = numpy.where(confidence < 0.6, confidence + 0.2, confidence - 0.25)
        if bins == 10:      # here not sure enough
            probability = confidence ** 0.3
        right = rng.uniform(size=n) < probability
        order = rng.permutation(n)
        cases.append((confidence[order], right[order], bins))
    return cases


_ECE = Task(_ece, _calibration_cases, [
    (lambda c, r, b: float(abs(_bins(c, r, b)[1]).mean()), 'Bins with few images count as much as full ones in yours.'),
    (lambda c, r, b: float(abs(_bins(c, r, b)[1]).sum() / b),
     'Each bin counts by its share of the images, not all bins alike.'),
    (lambda c, r, b: float(abs(c.mean() - r.mean())),
     'That is the gap between mean confidence and accuracy. In which bins is it?'),
    (lambda c, r, b: float(c.mean() - r.mean()),
     'Bins that are too sure and bins that are not sure enough cancel out.'),
    (lambda c, r, b: float(abs(_bins(c, r, b)[1]).max()), 'That is the largest gap; the mean is wanted.'),
    (lambda c, r, b: float(abs(c - r).mean()), 'Each image alone is right or wrong. Take the means of a bin first.'),
    (_without_ones, 'Images with a confidence of exactly 1 are lost. They belong to the last bin.')], 1e-3)


def _nll(logits, labels, temperature):
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    return (numpy.log(numpy.exp(scaled).sum(axis=1)) - scaled[numpy.arange(len(labels)), labels]).mean()


def _temperature(logits, labels):
    low, high = 0.02, 50.0
    for _ in range(4):
        tried = numpy.geomspace(low, high, 30)
        best = int(numpy.argmin([_nll(logits, labels, t) for t in tried]))
        low, high = tried[max(best - 1, 0)], tried[min(best + 1, 29)]
    return float((low * high) ** 0.5)


def _labeled_cases(rng):
    cases = []
    for span in ((0.35, 0.6), (1.5, 2.5), (2.5, 4), (0.8, 1.2)):
        truth, temperature = rng.normal(0, 2, (600, 6)), rng.uniform(*span)
        labels = (_softmax(truth).cumsum(axis=1) < rng.uniform(size=(600, 1))).sum(axis=1)
        cases.append((truth * temperature, numpy.minimum(labels, 5)))
    return cases


_TEMPERATURE = Task(_temperature, _labeled_cases, [
    (lambda x, y: 1 / _temperature(x, y), 'That is 1/T. Do you multiply the logits by it?'),
    (lambda x, y: 1, 'A temperature of 1 changes nothing.'),
    (lambda x, y: _nll(x, y, _temperature(x, y)), 'That is the lowest NLL. At which temperature is it?')], 0.03)


def _chance(ece, confidence, probability, draws=1000):
    random = numpy.random.default_rng(0)
    return float(numpy.mean([ece(confidence, random.uniform(size=len(confidence)) < probability)
                             for _ in range(draws)]))


def _chance_cases(rng):
    return [(_Part('ece', lambda c, r, b=bins: _ece(numpy.asarray(c), numpy.asarray(r), b)),
             rng.uniform(low, 1, n)) for n, bins, low in ((60, 5, 0.3), (100, 8, 0.4), (150, 15, 0.5),
                                                 (200, 20, 0.6), (300, 10, 0.2))]


_BY_CHANCE = Task(lambda ece, c: _chance(ece, c, c), _chance_cases, [
    (lambda ece, c: 0, 'The true error of such a network is 0; the measured one is not.'),
    (lambda ece, c: _chance(ece, c, c.mean()),
     'Each answer should be right with its own confidence as probability, not all with the mean.'),
    (lambda ece, c: _chance(ece, c, 0.5), 'These coins are fair. Each answer is right with probability confidence.'),
    (lambda ece, c: _chance(ece, c, 1 - c), 'Yours are wrong with probability confidence.'),
    (lambda ece, c: ece(c, c > 0.5), 'Whether an answer is right must be drawn at random.')], 0.15)


def _thresholds(confidence, right, risk, accept=numpy.greater_equal):
    """(share accepted, error rate), for each threshold, the surest first."""
    for threshold in sorted({*confidence.tolist()}, reverse=True):
        accepted = accept(confidence, threshold)
        yield accepted.mean(), 1 - right[accepted].mean() if accepted.any() else 0


def _largest_coverage(confidence, right, risk):
    return float(max((share for share, error in _thresholds(confidence, right, risk) if error <= risk), default=0))


def _first_violation(confidence, right, risk):
    kept = itertools.takewhile(lambda pair: pair[1] <= risk, _thresholds(confidence, right, risk))
    return float(max((share for share, _ in kept), default=0))


def _without_ties(confidence, right, risk, sign=-1, of_all=False):
    wrong = (~right[numpy.argsort(sign * confidence, kind='stable')]).cumsum()
    number = numpy.arange(1, len(right) + 1)
    return float(max(number[wrong / (len(right) if of_all else number) <= risk], default=0) / len(right))


def _risk_cases(rng):
    cases = [(numpy.array([0.9, 0.8, 0.8, 0.6]), numpy.array([True, True, False, False]), 0.11),
             (numpy.linspace(0.98, 0.6, 10), numpy.arange(10) > 0, 0.13),
             (numpy.linspace(0.5, 0.9, 5), numpy.zeros(5, bool), 0.21)]
    for n in (40, 60, 90):
        confidence = rng.uniform(0.3, 1, n).round(2)
        cases.append((confidence, rng.uniform(size=n) < confidence, float(rng.uniform(0.11, 0.24))))
    return cases


_LARGEST_COVERAGE = Task(_largest_coverage, _risk_cases, [
    (_first_violation, 'The error rate can rise and fall again: do not stop at the first time it is too high.'),
    (_without_ties, 'Answers with the same confidence are accepted together or not at all.'),
    (lambda c, r, risk: _without_ties(c, r, risk, 1), 'Accept the surest first.'),
    (lambda c, r, risk: _without_ties(c, r, risk, of_all=True), 'The error rate is among the answers accepted.'),
    (lambda c, r, risk: _largest_coverage(c, r, risk) * len(c), 'A share of all images is wanted, not their number.'),
    (lambda c, r, risk: float(r.mean()), 'That is the accuracy.'),
    (lambda c, r, risk: float((c >= 1 - risk).mean()),
     'That trusts the confidences. Use which answers were right.')], 1e-6)


# Notebook 12: after DenseNet

def _harmonic(layer, divides=True):
    powers = [2 ** n for n in range(layer.bit_length())]
    return {layer - power for power in powers if layer % power == 0 or not divides}


_HARMONIC_SOURCES = Task(
    _harmonic, lambda rng: [(int(layer),) for layer in (1, 2, 6, 8, 32, 64, *rng.integers(9, 70, 4))], [
        (lambda layer: {layer - 2 ** n for n in range(4) if layer % 2 ** n == 0},
         'n does not stop at 3: which powers of 2 divide 32?'),
        (lambda layer: _harmonic(layer, divides=False), 'Only powers of 2 that divide the number of the layer.'),
        (lambda layer: set(range(layer)), 'That is a dense block.'), (lambda layer: {layer - 1}, 'That is a chain.'),
        (lambda layer: {power for power in map(layer.__sub__, _harmonic(layer))},
         'Those are the powers of 2; the sources are the layer minus them.'),
        (lambda layer: {layer - 2 ** n for n in range(1, 8) if layer % 2 ** n == 0}, 'n begins at 0: 1 divides all.'),
        (lambda layer: {layer - d for d in range(1, layer + 1) if layer % d == 0}, 'Powers of 2, not all divisors.'),
        (lambda layer: _harmonic(layer) - {0}, 'The input of the block, 0, may be a source too.')])


def _read(reads, k0, k):
    return sum(k if source else k0 for sources in reads for source in sources)


def _reads_cases(rng):
    drawn = [sorted({*map(int, rng.integers(0, layer, 3))}) for layer in range(1, 9)]
    all_reads = ([list(range(layer)) for layer in range(1, 7)], [[layer - 1] for layer in range(1, 7)],
                 [sorted(_harmonic(layer)) for layer in range(1, 17)], drawn)
    return [(reads, *map(int, rng.choice(range(10, 99), 2, replace=False))) for reads in all_reads]


_VALUES_READ = Task(_read, _reads_cases, [
    (lambda reads, k0, k: k * sum(map(len, reads)), "The block's input has k0 channels, not k."),
    (lambda reads, k0, k: k0 * sum(map(len, reads)), 'Only source 0 has k0 channels.'),
    (lambda reads, k0, k: sum(map(len, reads)), 'Those are connections; each brings k0 or k channels.'),
    (lambda reads, k0, k: sum(k0 + (layer - 1) * k for layer in range(1, len(reads) + 1)),
     'That is right for a dense block only.'),
    (lambda reads, k0, k: k0 + k * (len(reads) - 1), 'That is right for a chain only.'),
    (lambda reads, k0, k: _read(reads, k0, k) + k * len(reads), 'Only what is read counts, not what is written.'),
    (lambda reads, k0, k: sum(k0 + k * (len(sources) - 1) for sources in reads),
     "Not each layer reads the block's input."),
    (lambda reads, k0, k: _read(reads[-1:], k0, k), 'That is the last layer. Add up all layers.')])


def _growth_root(layers, k0, k, reads=0):
    """Where the convolutions of a chain have as many weights as those of a dense block, not rounded."""
    dense = k * sum(k0 + layer * k for layer in range(layers))
    a = layers - 1
    return (-k0 + math.sqrt(k0 ** 2 + 4 * a * dense)) / (2 * a)


def _growth_cases(rng):
    cases = []
    while len(cases) < 5:       # none in which it matters how "nearest" is meant, and both directions of rounding
        case = int(rng.integers(3, 13)), int(rng.integers(16, 129)), int(rng.integers(8, 49))
        part = _growth_root(*case) % 1
        if (0.6 < part < 0.95) if len(cases) % 2 else (0.05 < part < 0.4):
            cases.append(case)
    return cases


_EQUAL_GROWTH = Task(lambda *case: round(_growth_root(*case)), _growth_cases, [
    (lambda *case: math.floor(_growth_root(*case)), 'The next integer is nearer in some cases.'),
    (lambda *case: math.ceil(_growth_root(*case)), 'The integer before is nearer in some cases.'),
    (lambda *case: _growth_root(*case), 'Channels are whole numbers.'),
    (lambda n, k0, k: k, 'At the same growth rate the chain has far fewer weights.'),
    (lambda n, k0, k: round(math.sqrt(k * sum(k0 + i * k for i in range(n)) / n)),
     "The chain's first layer reads k0 channels, not as many as it writes."),
    (lambda n, k0, k: round(math.sqrt(k * sum(i * k for i in range(n)) / (n - 1))),
     "The layers of both blocks read the block's input too: where is k0?"),
    (lambda n, k0, k: round(sum(k0 + i * k for i in range(n)) / n),
     'A wider layer also writes more: the weights of a convolution are inputs times outputs.')])


def _join(late, sharp):
    factor = sharp.shape[2] // late.shape[2]
    return numpy.concatenate([sharp, late.repeat(factor, 2).repeat(factor, 3)], axis=1)


def _tiled(late, sharp):
    factor = sharp.shape[2] // late.shape[2]
    return numpy.concatenate([sharp, numpy.tile(late, (1, 1, factor, factor))], axis=1)


def _join_cases(rng):
    return [(rng.normal(size=(n, c, h, w)), rng.normal(size=(n, d, factor * h, factor * w)))
            for n, c, d, h, w, factor in ((2, 3, 3, 4, 5, 2), (1, 4, 2, 3, 2, 4), (3, 2, 5, 2, 2, 1))]


_JOINED = Task(_join, _join_cases, [
    (_tiled, 'np.tile puts whole maps side by side. Each value should be repeated in its place.'),
    (lambda late, sharp: numpy.roll(_join(late, sharp), late.shape[1], 1), 'The sharp channels come first.'),
    (lambda late, sharp: _join(late, sharp)[:, sharp.shape[1]:], 'Where are the sharp channels?'),
    (lambda late, sharp: numpy.concatenate([sharp[:, :, ::sharp.shape[2] // late.shape[2],
                                                  ::sharp.shape[2] // late.shape[2]], late], axis=1),
     'The late maps are to be enlarged, not the sharp ones reduced.'),
    (lambda late, sharp: numpy.maximum(_join(late, sharp), 0), 'Nothing should be cut off at 0.')])

TASKS = {'activation_maps': _ACTIVATION_MAPS, 'smallest_size': _SMALLEST_SIZE, 'prepared': _PREPARED,
         'largest_batch': _LARGEST_BATCH, 'chosen_accuracy': _CHOSEN_ACCURACY, 'softmax': _SOFTMAX, 'ece': _ECE,
         'temperature': _TEMPERATURE, 'by_chance': _BY_CHANCE, 'largest_coverage': _LARGEST_COVERAGE,
         'harmonic_sources': _HARMONIC_SOURCES, 'values_read': _VALUES_READ, 'equal_growth': _EQUAL_GROWTH,
         'joined': _JOINED}
