"""The functions of the later sets: what is right passes, each known mistake gets its own sentence."""

import math

import numpy
import pytest

from d2l_densenet import checks
from d2l_densenet.checks import CheckFailed
from d2l_densenet.checks.tasks import TASKS

# What learners write, without the formulas of the check.

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of torchvision, in the order red, green, blue


def activation_maps(features, weight):
    return numpy.einsum('nchw,kc->nkhw', features, weight)


def prepared(images, mean=MEAN, std=STD, scale=255):
    x = images.transpose(0, 3, 1, 2) / scale
    return numpy.stack([(x[:, i] - mean[i]) / std[i] for i in range(3)], axis=1)


def largest_batch(memory, parameters, kept, bytes_each=12):
    n = (memory - bytes_each * parameters) // kept
    return n if n > 0 else 0


def choosing(pick, report='test'):
    def chosen_accuracy(train, accuracy, rates, validation, test):
        nets = [train(rate) for rate in rates]
        best = pick(nets, [accuracy(net, validation) for net in nets])
        return accuracy(best, test if report == 'test' else validation)
    return chosen_accuracy


def net_with(wanted):
    return lambda nets, values: nets[values.index(wanted(values))]


def softmax(logits, temperature):
    rows = []
    for row in logits:
        powers = [math.exp((z - max(row)) / temperature) for z in row]
        rows.append([power / sum(powers) for power in powers])
    return numpy.array(rows)


def naive(logits, temperature, subtract=0):
    with numpy.errstate(all='ignore'):
        powers = numpy.exp((logits - subtract) / temperature)
        return powers / powers.sum(axis=1, keepdims=True)


def bins_of(confidence, right, bins):
    """(images, mean confidence - accuracy) of each bin that has images; the last one holds 1."""
    found = []
    for b in range(bins):
        inside = (confidence * bins >= b) & ((confidence * bins < b + 1) | (b == bins - 1))
        if inside.any():
            found.append((inside.sum(), confidence[inside].mean() - right[inside].mean()))
    return found


def ece(confidence, right, bins):
    return sum(n * abs(gap) for n, gap in bins_of(confidence, right, bins)) / len(confidence)


def nll(logits, labels, temperature):
    z = logits / temperature
    z = z - z.max(axis=1, keepdims=True)
    return float(numpy.mean(numpy.log(numpy.exp(z).sum(axis=1)) - z[range(len(labels)), labels]))


def temperature(logits, labels):
    low, high = math.log(0.05), math.log(20)  # golden sections; the NLL has one minimum
    for _ in range(40):
        a, b = high - 0.618 * (high - low), low + 0.618 * (high - low)
        low, high = (low, b) if nll(logits, labels, math.exp(a)) < nll(logits, labels, math.exp(b)) else (a, high)
    return math.exp(low)


def by_chance(error, confidence, probability=lambda c: c, draws=200):
    random = numpy.random.default_rng(1)
    return numpy.mean([error(confidence, random.random(len(confidence)) < probability(confidence))
                       for _ in range(draws)])


def largest_coverage(confidence, right, risk, of_all=False, stop=False):
    best = 0
    for threshold in sorted(set(confidence), reverse=True):
        accepted = confidence >= threshold
        wrong = (accepted & ~right).sum()
        if wrong / (len(right) if of_all else accepted.sum()) <= risk:
            best = max(best, accepted.mean())
        elif stop:
            break
    return best


def one_by_one(confidence, right, risk, surest_first=True, of_all=False):
    order = sorted(range(len(right)), key=lambda i: -confidence[i] if surest_first else confidence[i])
    wrong, best = 0, 0
    for number, i in enumerate(order, 1):
        wrong += not right[i]
        if wrong / (len(right) if of_all else number) <= risk:
            best = number / len(right)
    return best


def harmonic_sources(layer):
    return {layer - power for power in (1, 2, 4, 8, 16, 32, 64) if layer % power == 0}


def values_read(reads, k0, k):
    return sum(k0 if source == 0 else k for sources in reads for source in sources)


def equal_growth(layers, k0, k, rounded=round):
    """The g > 0 with k0 g + (layers - 1) g^2 = the dense block's weights, over 9; by halving."""
    weights, low, high = k * sum(k0 + i * k for i in range(layers)), 0, 10_000
    for _ in range(60):
        g = (low + high) / 2
        low, high = (g, high) if k0 * g + (layers - 1) * g * g < weights else (low, g)
    return rounded(low)


def enlarged(late, sharp):
    factor = sharp.shape[2] // late.shape[2]
    return numpy.kron(late, numpy.ones((factor, factor)))


def joined(late, sharp):
    return numpy.concatenate([sharp, enlarged(late, sharp)], axis=1)


RIGHT = {
    'activation_maps': activation_maps, 'smallest_size': lambda maps: 32 * maps - 3, 'prepared': prepared,
    'largest_batch': largest_batch, 'chosen_accuracy': choosing(net_with(max)), 'softmax': softmax, 'ece': ece,
    'temperature': temperature, 'by_chance': by_chance, 'largest_coverage': largest_coverage,
    'harmonic_sources': harmonic_sources, 'values_read': values_read, 'equal_growth': equal_growth, 'joined': joined}


@pytest.mark.parametrize('name', RIGHT)
def test_what_is_right_passes_again_and_again(name):
    for _ in range(3):
        checks.task(RIGHT[name], name)


WRONG = {
    'activation_maps': [
        (lambda x, w: activation_maps(x, w).mean((2, 3)), 'That is pooled'),
        (lambda x, w: activation_maps(x, w) / (x.shape[2] * x.shape[3]), 'divides by the number of positions'),
        (lambda x, w: activation_maps(x, w).clip(0), 'no ReLU'),
        (lambda x, w: activation_maps(x, w).swapaxes(0, 1), 'axis 1 the classes'),
        (lambda x, w: activation_maps(x, w).transpose(0, 2, 3, 1), 'classes should be axis 1')],
    'smallest_size': [
        (lambda maps: 32 * maps, 'The stem rounds up'), (lambda maps: 32 * (maps - 1) + 1, 'transitions round down'),
        (lambda maps: 32 * maps - 4, 'One pixel more'), (lambda maps: 32 * maps - 2, 'One pixel less'),
        (lambda maps: 16 * maps - 3, 'How many transitions')],
    'prepared': [
        (lambda x: prepared(x, scale=1), 'yours go up to 255'),
        (lambda x: prepared(x).transpose(0, 2, 3, 1), 'channels as axis 1'),
        (lambda x: prepared(x).transpose(0, 2, 3, 1).reshape(len(x), 3, *x.shape[1:3]), 'mixes the channels'),
        (lambda x: prepared(x).swapaxes(2, 3), 'Height comes before width'),
        (lambda x: prepared(x).transpose(1, 3, 2, 0), 'batch must remain axis 0'),
        (lambda x: x.transpose(0, 3, 1, 2) / 255, 'the mean and the standard deviation are missing'),
        (lambda x: prepared(x, std=[1, 1, 1]), 'standard deviation is missing'),
        (lambda x: prepared(x, std=[1 / s for s in STD]), 'Divide by the standard deviation'),
        (lambda x: prepared(x, MEAN[::-1], STD[::-1]), 'red, green, blue'),
        (lambda x: prepared(x, [(x[..., i] / 255).mean() for i in range(3)],
                            [(x[..., i] / 255).std() for i in range(3)]), 'statistics of your images')],
    'largest_batch': [
        (lambda m, p, k: (m - 12 * p) // k, 'the answer is 0'),
        (lambda m, p, k: largest_batch(m, p, k, 0), 'need memory too'),
        (lambda m, p, k: largest_batch(m, p, k, 4), 'not for gradients and momentum'),
        (lambda m, p, k: largest_batch(m, p, k, 8), 'weight, gradient, momentum'),
        (lambda m, p, k: largest_batch(m, p, k, 3), 'takes 4 bytes'),
        (lambda m, p, k: max(0, int((m - 12 * p) / k + 0.5)), 'Rounded up'),
        (lambda m, p, k: max(0, -((12 * p - m) // k)), 'Rounded up'),
        (lambda m, p, k: max(0, (m - 12 * p) / k), 'whole number of images')],
    'chosen_accuracy': [
        (choosing(net_with(max), 'validation'), 'images you have chosen with'),
        (choosing(net_with(min)), 'lowest validation accuracy'),
        (choosing(lambda nets, values: nets[-1]), 'That is the last network'),
        (choosing(lambda nets, values: nets[0]), 'That is the first network')],
    'softmax': [
        (naive, 'infinite'), (lambda x, t: naive(x, t, x.max()), 'largest logit of each row'),
        (lambda x, t: softmax(x, 1), 'temperature has no effect'),
        (lambda x, t: softmax(x, 1 / t), 'Divide the logits'),
        (lambda x, t: softmax(x, 1) / t, 'not the probabilities'),
        (lambda x, t: numpy.log(softmax(x, t).clip(1e-300)), 'logarithms'),
        (lambda x, t: softmax(x.T, t).T, 'which axis are the classes')],
    'ece': [
        (lambda c, r, b: numpy.mean([abs(gap) for _, gap in bins_of(c, r, b)]), 'Bins with few images'),
        (lambda c, r, b: sum(abs(gap) for _, gap in bins_of(c, r, b)) / b, 'not all bins alike'),
        (lambda c, r, b: abs((c - r).mean()), 'In which bins is it'), (lambda c, r, b: (c - r).mean(), 'cancel out'),
        (lambda c, r, b: max(abs(gap) for _, gap in bins_of(c, r, b)), 'largest gap'),
        (lambda c, r, b: abs(c - r).mean(), 'means of a bin first'),
        (lambda c, r, b: ece(c[c < 1], r[c < 1], b) * (c < 1).mean(), 'exactly 1 are lost')],
    'temperature': [
        (lambda x, y: 1 / temperature(x, y), 'multiply the logits'), (lambda x, y: 1.0, 'changes nothing'),
        (lambda x, y: nll(x, y, temperature(x, y)), 'lowest NLL')],
    'by_chance': [
        (lambda e, c: 0.0, 'the measured one is not'), (lambda e, c: by_chance(e, c, numpy.mean), 'its own confidence'),
        (lambda e, c: by_chance(e, c, lambda c: 0.5), 'coins are fair'),
        (lambda e, c: by_chance(e, c, lambda c: 1 - c), 'Yours are wrong with'),
        (lambda e, c: e(c, c > 0.5), 'drawn at random')],
    'largest_coverage': [
        (lambda c, r, risk: largest_coverage(c, r, risk, stop=True), 'do not stop at the first'),
        (one_by_one, 'accepted together or not at all'),
        (lambda c, r, risk: one_by_one(c, r, risk, surest_first=False), 'surest first'),
        (lambda c, r, risk: one_by_one(c, r, risk, of_all=True), 'among the answers accepted'),
        (lambda c, r, risk: len(c) * largest_coverage(c, r, risk), 'not their number'),
        (lambda c, r, risk: r.mean(), 'That is the accuracy'),
        (lambda c, r, risk: (c >= 1 - risk).mean(), 'trusts the confidences')],
    'harmonic_sources': [
        (lambda layer: [layer - 2 ** n for n in range(4) if layer % 2 ** n == 0], 'n does not stop at 3'),
        (lambda layer: {layer - power for power in (1, 2, 4, 8, 16, 32, 64) if power <= layer}, 'that divide the'),
        (lambda layer: {*range(layer)}, 'dense block'), (lambda layer: [layer - 1], 'chain'),
        (lambda layer: {layer - source for source in harmonic_sources(layer)}, 'Those are the powers of 2'),
        (lambda layer: harmonic_sources(layer) - {layer - 1}, 'n begins at 0'),
        (lambda layer: {layer - d for d in range(1, layer + 1) if layer % d == 0}, 'not all divisors'),
        (lambda layer: {source for source in harmonic_sources(layer) if source}, 'may be a source too')],
    'values_read': [
        (lambda reads, k0, k: values_read(reads, k, k), 'has k0 channels, not k'),
        (lambda reads, k0, k: values_read(reads, k0, k0), 'Only source 0'),
        (lambda reads, k0, k: values_read(reads, 1, 1), 'Those are connections'),
        (lambda reads, k0, k: values_read([range(layer) for layer in range(1, len(reads) + 1)], k0, k),
         'for a dense block only'),
        (lambda reads, k0, k: values_read([[layer] for layer in range(len(reads))], k0, k), 'for a chain only'),
        (lambda reads, k0, k: sum(values_read([sources], k0, k) + k for sources in reads), 'not what is written'),
        (lambda reads, k0, k: values_read([[0, *sources[1:]] for sources in reads], k0, k), "reads the block's input"),
        (lambda reads, k0, k: [values_read([sources], k0, k) for sources in reads][-1], 'That is the last layer')],
    'equal_growth': [
        (lambda *case: equal_growth(*case, math.floor), 'next integer is nearer'),
        (lambda *case: equal_growth(*case, math.ceil), 'integer before is nearer'),
        (lambda *case: equal_growth(*case, float), 'whole numbers'), (lambda n, k0, k: k, 'far fewer weights'),
        (lambda n, k0, k: round((k * (n * k0 + k * n * (n - 1) / 2) / n) ** 0.5), 'not as many as it writes'),
        (lambda n, k0, k: round(k * (n / 2) ** 0.5), 'where is k0'),
        (lambda n, k0, k: round(k0 + k * (n - 1) / 2), 'inputs times outputs')],
    'joined': [
        (lambda late, sharp: numpy.concatenate(
            [sharp, numpy.tile(late, sharp.shape[2] // late.shape[2])
             if sharp.shape == late.shape else numpy.block([[late] * (sharp.shape[2] // late.shape[2])] * (
                 sharp.shape[2] // late.shape[2]))], axis=1), 'whole maps side by side'),
        (lambda late, sharp: numpy.concatenate([enlarged(late, sharp), sharp], axis=1), 'sharp channels come first'),
        (enlarged, 'Where are the sharp channels'),
        (lambda late, sharp: numpy.concatenate(
            [sharp[:, :, ::sharp.shape[2] // late.shape[2], ::sharp.shape[3] // late.shape[3]], late], axis=1),
         'not the sharp ones reduced'),
        (lambda late, sharp: joined(late, sharp).clip(0), 'cut off at 0')],
}


@pytest.mark.parametrize('name, f, sentence', [
    pytest.param(name, f, sentence, id=f'{name}: {sentence}') for name in WRONG for f, sentence in WRONG[name]])
def test_each_known_mistake_gets_its_sentence(name, f, sentence):
    with pytest.raises(CheckFailed, match=sentence):
        checks.task(f, name)


def test_each_task_is_here_with_all_its_mistakes():
    assert {name: len(task.hints) for name, task in TASKS.items()} == {name: len(WRONG[name]) for name in RIGHT}


def test_the_packages_own_is_refused():
    with pytest.raises(CheckFailed, match='write your own'):
        checks.task(TASKS['ece'].right, 'ece')


def test_a_look_at_the_test_images_of_all_networks_is_noticed():
    def peeks(train, accuracy, rates, validation, test):
        return max(accuracy(train(rate), test) for rate in rates)
    with pytest.raises(CheckFailed, match='had a part in the choice'):
        checks.task(peeks, 'chosen_accuracy')


@pytest.mark.parametrize('f, sentence', [
    (lambda train, accuracy, rates, *images: accuracy(train(max(rates) + 1), images[1]), 'it takes one of the rates'),
    (lambda train, accuracy, rates, *images: accuracy(images[1], train(rates[0])), 'and then images'),
    (lambda train, accuracy, rates, *images: accuracy(train(rates[0]), 'test'), 'and then images'),
    (lambda train, accuracy, rates, *images: accuracy(rates[0], images[1]), 'and then images')])
def test_what_the_other_functions_take_is_told(f, sentence):
    with pytest.raises(CheckFailed, match=sentence):
        checks.task(f, 'chosen_accuracy')
