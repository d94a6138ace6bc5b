"""The checks of runs: correct solutions pass, in one line, and each likely mistake gets its own sentence."""

import itertools

import mxnet as mx
import numpy
import pytest
from learners import assert_sentence, forgets_return
from mxnet import autograd, gluon

from d2l_densenet import checks, evaluate_accuracy
from d2l_densenet.checks import CheckFailed, _guard

loss = gluon.loss.SoftmaxCrossEntropyLoss()


@pytest.fixture(autouse=True)
def arrays_of_numpys_kind():
    mx.npx.set_np()


def one(net, X, y, train_mode=True):
    with autograd.record(train_mode=train_mode):
        losses = loss(net(X), y)
    losses.backward()


def cycle(net, train_iter, num_batches):
    net.collect_params().zero_grad()
    for X, y in itertools.islice(itertools.cycle(train_iter), num_batches):
        one(net, X, y)


def refreshes(count, **options):
    def refresh(net, train_iter, num_batches):
        for X, y in itertools.islice(itertools.cycle(train_iter), count(num_batches, len(train_iter))):
            one(net, X, y, **options)
    return refresh


def steps(net, train_iter, num_batches):
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
    for X, y in itertools.islice(itertools.cycle(train_iter), num_batches):
        one(net, X, y)
        trainer.step(len(y))


def first_batch(net, train_iter, num_batches):
    for _ in range(num_batches):
        one(net, *next(iter(train_iter)))


def resets(net, train_iter, num_batches):
    for name, parameter in net.collect_params('.*running.*').items():
        parameter.set_data(mx.np.ones(parameter.shape) if 'var' in name else mx.np.zeros(parameter.shape))
    cycle(net, train_iter, num_batches)


@pytest.mark.parametrize('learner, expected', [
    (refreshes(lambda n, length: -(-n // length) * length), r'It did 3\. When does the outer loop'),
    (refreshes(lambda n, length: min(n, length)), r'It did 3\. Is train_iter begun again'),
    (refreshes(lambda n, length: n + 1), r'It did 3'),
    (refreshes(lambda n, length: n - 1), r'It did 1'),
    (refreshes(lambda n, length: n, train_mode=False), r'not changed at all'),
    (steps, r'changes weights'),
    (first_batch, r'each batch used once'),
    (resets, r'nothing else done'),
    (lambda net, train_iter, num_batches: None, r'not changed at all'),
    (lambda net, train_iter: None, r'should take \(net, train_iter, num_batches\)')])
def test_a_refresh_that_is_wrong(learner, expected):
    assert_sentence('refresh_statistics', learner, expected)


def test_a_refresh_that_is_right(capsys):
    checks.refresh_statistics(cycle)
    assert capsys.readouterr().out.endswith('Correct.\n')


def compares(new=True, seed_of=lambda seed, seeds: seed, judged=lambda train_iter, valid_iter: valid_iter,
             rate_of=lambda rate, rates: rate, made=lambda table: table):
    def compare(rates, seeds, new_network, train, train_iter, valid_iter):
        table, net = [], new_network(seeds[0])
        for rate in rates:
            table.append([])
            for seed in seeds:
                if new:
                    net = new_network(seed_of(seed, seeds))
                train(net, train_iter, rate_of(rate, rates))
                table[-1].append(evaluate_accuracy(net, judged(train_iter, valid_iter)))
        return made(table)
    return compare


def per_rate(rates, seeds, new_network, train, train_iter, valid_iter):
    columns = []
    for seed in seeds:
        net, column = new_network(seed), []
        for rate in rates:
            train(net, train_iter, rate)
            column.append(evaluate_accuracy(net, valid_iter))
        columns.append(column)
    return numpy.array(columns).T


@pytest.mark.parametrize('learner, expected', [
    (compares(new=False), r'through all runs'),
    (per_rate, r'through all rates'),
    (compares(judged=lambda train_iter, valid_iter: train_iter), r'on the training images'),
    (compares(seed_of=lambda seed, seeds: 0), r'what is new_network given'),
    (compares(seed_of=lambda seed, seeds: seeds[0]), r'what is new_network given'),
    (compares(seed_of=lambda seed, seeds: seeds.index(seed)), r'not 0, 1, 2'),
    (compares(rate_of=lambda rate, rates: rates[0]), r'what is train given'),
    (compares(made=lambda table: numpy.mean(table, axis=1)), r'one number for each seed'),
    (compares(made=lambda table: numpy.array(table).T), r'rows are the rates'),
    (compares(made=lambda table: 1 - numpy.array(table)), r'shares of mistakes'),
    (compares(made=lambda table: 100 * numpy.array(table)), r'percent'),
    (compares(made=lambda table: dict(enumerate(table))), r'keys should be the rates'),
    (lambda rates, seeds, *rest: [[0.8] * len(seeds)] * len(rates), r'0 of 6 networks were trained'),
    (lambda rates, seeds, *rest: 'best: 0.1', r'row of numbers'),
    (forgets_return, r'returns None')])
def test_a_comparison_that_is_wrong(learner, expected):
    assert_sentence('compare_rates', learner, expected)


def through_the_seeds(rates, seeds, new_network, train, train_iter, valid_iter):
    table = []
    for rate in rates:
        net, row = new_network(seeds[0]), []
        for _ in seeds:
            train(net, train_iter, rate)
            row.append(evaluate_accuracy(net, valid_iter))
        table.append(row)
    return table


def untrained(rates, seeds, new_network, train, train_iter, valid_iter):
    return [[evaluate_accuracy(new_network(seed), valid_iter) for seed in seeds] for rate in rates]


def through_the_columns(rates, seeds, new_network, train, train_iter, valid_iter):
    net, columns = new_network(seeds[0]), []
    for _ in seeds:
        columns.append([])
        for rate in rates:
            train(net, train_iter, rate)
            columns[-1].append(evaluate_accuracy(net, valid_iter))
    return numpy.transpose(columns)


@pytest.mark.parametrize('learner, expected', [
    (through_the_seeds, r'through all seeds'), (through_the_columns, r'through all runs'),
    (untrained, r'networks that are not trained yet'),
    (lambda rates, *rest: compares()(sorted(rates), *rest), r'not sorted'),
    (compares(made=lambda table: numpy.array(table) + 2e-4), r'Is it the accuracy on valid_iter'),
    (compares(made=lambda table: table[:2]), r'shape \(2, 2\); it should be \(3, 2\)'),
    (compares(made=lambda table: table[:1] if len(table) == 2 else table),
     r'\(\[0\.2, 0\.01\], \[1, 2, 5\], \.\.\.\) .* shape \(1, 3\); it should be \(2, 3\)')])
def test_another_comparison_that_is_wrong(learner, expected):
    assert_sentence('compare_rates', learner, expected)


def test_what_is_drawn_is_the_same_in_each_process():
    seen = []

    def learner(rates, seeds, new_network, train, train_iter, valid_iter):
        seen.append(float(next(iter(valid_iter))[0].asnumpy()[0, 0]))

    for _ in range(2):
        _guard._seeds = numpy.random.SeedSequence(0)
        with pytest.raises(CheckFailed):
            checks.compare_rates(learner)
    with pytest.raises(CheckFailed):
        checks.compare_rates(learner)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize('learner', [
    compares(), compares(made=numpy.array), compares(made=lambda table: mx.np.array(table)),
    lambda rates, *rest: dict(zip(rates, compares()(rates, *rest)))])
def test_a_comparison_that_is_right(learner, capsys):
    checks.compare_rates(learner)
    assert capsys.readouterr().out.endswith('Correct.\n')
