"""Checks of what is done with whole runs: refreshing BN's running statistics, comparing learning rates."""

import collections.abc

import mxnet as mx
import numpy
from mxnet import autograd, gluon
from mxnet.gluon import nn

from .. import evaluation
from . import _blocks as look
from ._compare import plain
from ._guard import CheckFailed, call, check, generator, place_of, shown

__all__ = ['compare_rates', 'refresh_statistics']


def _network(random):
    net = nn.Sequential()
    net.add(nn.Dense(8, in_units=6), nn.BatchNorm(in_channels=8), nn.Activation('relu'), nn.Dense(3, in_units=8))
    look.fill(net, look.images(2, 6), 'the network', axes=2)
    for parameter in net.collect_params().values():
        if parameter.name.endswith('weight'):
            parameter.set_data(look.array(random.normal(0, 1, parameter.shape)))
    return net


def _batches(random, sizes, centers):
    """(X, y) in batches of these sizes: three classes around `centers`, which overlap."""
    batches = []
    for n in sizes:
        y = random.randint(0, 3, n)
        batches.append((look.array(centers[y] + random.normal(0, 1.2, (n, 6))), look.array(y, 'int32')))
    return batches


def _values(net):
    mx.nd.waitall()
    parameters = net.collect_params().values()
    return [[p.data().asnumpy() for p in parameters if (p.grad_req == 'null') == kind] for kind in (False, True)]


def _alike(some, others, tolerance=1e-4):
    return all(numpy.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in zip(some, others))


@check
def refresh_statistics(f):
    """Check a function that lets BN's running statistics go on while the weights stay as they are.

    Parameters
    ----------
    f : callable
        ``f(net, train_iter, num_batches)`` does the forward and backward pass of so many batches, in their order, and
        begins `train_iter` again when it ends.

    Raises
    ------
    CheckFailed
    """
    name = look.require_callable(f)
    look.require_signature(f, name, ['net', 'train_iter', 'num_batches'], range(3))
    random = numpy.random.RandomState(generator().integers(2**32))
    batches = _batches(random, (8, 7, 6), 2 * random.normal(size=(3, 6)))
    for wanted in (2, 3, 7):
        net = _network(random)
        weights, start = _values(net)
        expected = _refreshed(net, batches, 12, start)
        text = f'{name}(net, train_iter, {wanted}), with a train_iter of {len(batches)} batches,'
        call(text, f, net, _Loader(batches), wanted)
        weights_after, statistics = _values(net)
        if not _alike(weights, weights_after, 0):
            raise CheckFailed(f'{text} changes weights{place_of(f)}. They should stay as they are: which line makes a '
                              'step?')
        done = next((count for count, right in enumerate(expected) if _alike(right, statistics)), None)
        if done == wanted:
            continue
        where = f'{text} should leave the running statistics as they are after {wanted} batches{place_of(f)}.'
        if done == 0:
            hint = ('They have not changed at all. BN updates them in the backward pass of what was recorded in '
                    'training mode: are record() and backward() both there?')
        elif done is None:
            hint = ('They are not what they would be after any number of batches. Is each batch used once, in its '
                    'turn, and nothing else done to them?')
        else:
            hint = f'It did {done}. ' + (
                'Is train_iter begun again when it ends?' if done == len(batches) < wanted else
                'When does the outer loop look at the count, and when the inner one?')
        raise CheckFailed(f'{where} {hint}')
    return 'refresh_statistics: so many batches exactly, beyond the end of train_iter too, no weight moved. Correct.'


class _Loader:
    """Batches that can be gone through again, and no list: a learner's loader has no indices either."""

    def __init__(self, batches):
        self._batches = batches

    def __iter__(self):
        return iter(self._batches)

    def __len__(self):
        return len(self._batches)


def _refreshed(net, batches, most, start):
    """The running statistics after 0, 1, ..., `most` batches; `net` is then as it was."""
    loss, found = gluon.loss.SoftmaxCrossEntropyLoss(), [start]
    for count in range(most):
        X, y = batches[count % len(batches)]
        with autograd.record():
            losses = loss(net(X), y)
        losses.backward()
        found.append(_values(net)[1])
    running = [p for p in net.collect_params().values() if p.grad_req == 'null']
    for parameter, value in zip(running, start):
        parameter.set_data(look.array(value))
    return found


@check
def compare_rates(f):
    """Check a function that compares learning rates on validation images.

    Parameters
    ----------
    f : callable
        ``f(rates, seeds, new_network, train, train_iter, valid_iter)`` trains a new network, ``new_network(seed)``, for
        each rate and seed by ``train(net, train_iter, rate)``, and returns the accuracies on `valid_iter`: a row for
        each rate, or {rate: row}.

    Raises
    ------
    CheckFailed
    """
    name = look.require_callable(f)
    names = ['rates', 'seeds', 'new_network', 'train', 'train_iter', 'valid_iter']
    look.require_signature(f, name, names, range(6))
    for rates, seeds in (([0.003, 0.5, 0.03], [4, 9]), ([0.2, 0.01], [1, 2, 5])):
        world = _World()
        text = f'{name}({rates}, {seeds}, ...)'
        got = call(text, f, list(rates), list(seeds), world.new_network, world.train, *world.loaders())
        trained = len(world.trained)
        got = _table(got, rates, (len(rates), len(seeds)), text, f)
        right = world.accuracies(rates, seeds)
        if numpy.abs(got - right).max() < 1e-4:
            continue
        hint = next((hint for wrong, hint in world.mistakes(rates, seeds) if numpy.abs(got - wrong()).max() < 1e-4), '')
        if not hint:
            hint = (f'{trained} of {right.size} networks were trained with train(net, train_iter, rate).'
                    if trained < right.size else 'Is it the accuracy on valid_iter, after the training, in the order '
                    'of rates and seeds?')
        raise CheckFailed(f'{text} does not return the validation accuracies of networks trained at these rates'
                          f'{place_of(f)}. {hint}')
    return 'compare_rates: a new network for each rate and seed, judged on validation images. Correct.'


def _table(got, rates, shape, text, f):
    if got is None:
        raise CheckFailed(f'{text} returns None{place_of(f)}. Did you forget `return`?')
    if isinstance(got, collections.abc.Mapping):
        if set(got) != set(rates):
            raise CheckFailed(f'{text} returns a dictionary whose keys are {sorted(map(str, got))}; the keys should be '
                              'the rates.')
        got = [got[rate] for rate in rates]
    try:
        table = numpy.array([plain(row) for row in got], dtype=float)
    except (TypeError, ValueError):
        raise CheckFailed(f'{text} returns {shown(got)}{place_of(f)}; it should be a row of numbers for each '
                          'rate.') from None
    if table.shape != shape:
        hint = (' The rows are the rates, the columns the seeds.' if table.shape == shape[::-1] else
                ' Is there one number for each seed, not their mean or their maximum?' if table.shape == shape[:1] else
                '')
        raise CheckFailed(f'{text} returns something of shape {table.shape}; it should be {shape}: a row for each '
                          f'rate, with a number for each seed.{hint}')
    return table


class _World:
    """Small networks and data, drawn afresh, on which everything is exactly repeatable."""

    def __init__(self):
        random = numpy.random.RandomState(generator().integers(2**32))
        centers = random.normal(size=(3, 6))
        self._offset = random.randint(1000)
        self._train, self._valid = (_batches(random, sizes, centers) for sizes in ((20, 20, 15), (200, 197)))
        self.trained = {}

    def loaders(self):
        return _Loader(self._train), _Loader(self._valid)

    def new_network(self, seed=0):
        return _network(numpy.random.RandomState(self._offset + int(seed)))

    def train(self, net, train_iter, rate):
        self.trained[id(net)] = net  # kept, so that no other network gets its id
        loss = gluon.loss.SoftmaxCrossEntropyLoss()
        trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': float(rate)})
        for X, y in train_iter:
            with autograd.record():
                losses = loss(net(X), y)
            losses.backward()
            trainer.step(len(y))

    def _trained(self, seed, *rates):
        net = self.new_network(seed)
        for rate in rates:
            self.train(net, self._train, rate)
        return net

    def _all(self, rates, seeds, one):
        return numpy.array([[one(rate, seed) for seed in seeds] for rate in rates])

    def _judged(self, net):
        return evaluation.evaluate_accuracy(net, _Loader(self._valid))

    def accuracies(self, rates, seeds):
        return self._all(rates, seeds, lambda rate, seed: self._judged(self._trained(seed, rate)))

    def mistakes(self, rates, seeds):
        def through(grid):
            net = self.new_network(seeds[0])
            found = {}
            for rate, seed in grid:
                self.train(net, self._train, rate)
                found[rate, seed] = self._judged(net)
            return self._all(rates, seeds, lambda rate, seed: found[rate, seed])

        return [
            (lambda: self._all(rates, seeds, lambda rate, seed: evaluation.evaluate_accuracy(
                self._trained(seed, rate), _Loader(self._train))),
             'Those are accuracies on the training images. Which loader is there to choose with?'),
            (lambda: self._all(rates, seeds, lambda rate, seed: self._judged(
                self._trained(seed, *rates[:rates.index(rate) + 1]))),
             'One network is trained on through all rates. Where does each rate get a new one?'),
            (lambda: through([(rate, seed) for rate in rates for seed in seeds]),
             'One network is trained on through all runs. Where does each run get a new one?'),
            (lambda: through([(rate, seed) for seed in seeds for rate in rates]),
             'One network is trained on through all runs. Where does each run get a new one?'),
            (lambda: self._all(rates, seeds, lambda rate, seed: self._judged(
                self._trained(seeds[0], *[rate] * (seeds.index(seed) + 1)))),
             'One network is trained on through all seeds. Where does each seed get a new one?'),
            (lambda: self._all(rates, seeds, lambda rate, seed: self._judged(self._trained(seeds[0], rate))),
             'All seeds give the same: what is new_network given?'),
            (lambda: self._all(rates, seeds, lambda rate, seed: self._judged(self._trained(0, rate))),
             'All seeds give the same: what is new_network given?'),
            (lambda: self._all(rates, seeds, lambda rate, seed: self._judged(
                self._trained(seeds.index(seed), rate))), 'The seeds are those in `seeds`, not 0, 1, 2.'),
            (lambda: self._all(rates, seeds, lambda rate, seed: self._judged(self.new_network(seed))),
             'Those are accuracies of networks that are not trained yet.'),
            (lambda: self._all(rates, seeds, lambda rate, seed: self._judged(self._trained(seed, rates[0]))),
             'All rates give the same: what is train given?'),
            (lambda: self.accuracies(sorted(rates), seeds), 'The rows are in the order of `rates`, not sorted.'),
            (lambda: 1 - self.accuracies(rates, seeds), 'Those are the shares of mistakes.'),
            (lambda: 100 * self.accuracies(rates, seeds), 'Those are percent; a share is between 0 and 1.')]
