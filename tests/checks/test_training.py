"""The checks of training: correct solutions pass, and each likely mistake gets its own sentence."""

import math

import mxnet as mx
import numpy
import pytest
from helpers import MODES
from learners import assert_passes, assert_sentence, assert_ten_mistakes, forgets_return, mistakes, solutions
from mxnet import autograd, gluon, np, npx

from d2l_densenet import checks


def schedule(t, n, peak, w):
    return peak * t / w if t < w else peak * (1 + math.cos(math.pi * (t - w) / (n - w))) / 2


def reached(t, n, w):
    return math.pi * (t - w) / (n - w)


def predicted(scores):
    return scores.asnumpy().argmax(axis=1)


def accurate(s, y):
    return float((predicted(s) == y.asnumpy()).mean())


def wrong_for(rows, classes):
    return lambda s, y: -1 if s.shape == (rows, classes) else accurate(s, y)


def spoils(s, y):
    share = accurate(s, y)
    y[:] = 0
    return share


def spoils_scores(s, y):
    share = accurate(s, y)
    s[:] = 0
    return share


ACCURACIES = [
    ('number of mistakes', lambda s, y: float((predicted(s) != y.asnumpy()).sum()), r'number of mistakes'),
    ('all scores', lambda s, y: float((predicted(s) == y.asnumpy()).sum() / s.size), r'number of all scores'),
    ('two best', lambda s, y: numpy.mean([label in scores.argsort()[-2:] for scores, label in zip(
        s.asnumpy(), y.asnumpy())]), r'second best counts as right'),
    ('scores as labels', lambda s, y: float((s.asnumpy().max(axis=1).round() == y.asnumpy()).mean()),
     r'Scores are not labels'),
    *[(f'divided by {n}', lambda s, y, n=n: float((predicted(s) == y.asnumpy()).sum() / n), rf'divided by {n} whatever')
      for n in (10, 32, 64, 100, 128, 512, 10_000, 60_000)],
    ('something else', lambda s, y: accurate(s, y) ** 2, r'returns 0\.5625; it should be 6/8 = 0\.75\. Can you do it'),
    ('labels changed', spoils, r'changes the arrays that it was given'),
    ('scores changed', spoils_scores, r'changes the arrays that it was given'),
    *[(f'{rows} rows of {classes}', wrong_for(rows, classes),
       rf'given {rows} rows of {classes} scores of which {right} are right, returns -1; it should be {right}/{rows}')
      for rows, classes, right in ((8, 5, 6), (3, 4, 2), (5, 5, 2), (1, 3, 1), (4, 3, 0))],
    ('nearly right', lambda s, y: accurate(s, y) * (1 + 2e-5), r'returns 0\.75;'),
    ('nearly 0', lambda s, y: accurate(s, y) + 2e-9, r'given 4 rows .* should be 0/4'),
    ('count', lambda s, y: float((predicted(s) == y.asnumpy()).sum()),
     r'returns 6; it should be 6/8 = 0\.75\. That is their number'),
    ('percent', lambda s, y: 100 * float((predicted(s) == y.asnumpy()).mean()), r'percent'),
    ('mistakes', lambda s, y: float((predicted(s) != y.asnumpy()).mean()), r'share of mistakes'),
    ('axis 0', lambda s, y: float((s.argmax(axis=0).astype('int32') == y).mean()), r'argmax along the classes, axis=1'),
    ('types', lambda s, y: float((s.argmax(axis=1) == y).mean()), r'astype before you compare'),
    ('argmin', lambda s, y: float((s.asnumpy().argmin(axis=1) == y.asnumpy()).mean()), r'smallest score'),
    ('max', lambda s, y: float((s.asnumpy().max(axis=1) == y.asnumpy()).mean()), r'not its place'),
    ('classes', lambda s, y: float((predicted(s) == y.asnumpy()).sum() / s.shape[1]), r'number of classes'),
    ('integer division', lambda s, y: int((predicted(s) == y.asnumpy()).sum() // len(y)), r'a // that should be a /'),
    ('batch size', lambda s, y: float((predicted(s) == y.asnumpy()).sum() / 256), r'divided by 256'),
    ('whole array', lambda s, y: s.argmax(axis=1).astype('int32') == y, r'array of shape \(8,\).*mean'),
    ('no axis', lambda s, y: float((s.asnumpy().argmax() == y.asnumpy()).mean()), r'without an axis'),
    ('first row', lambda s, y: float(predicted(s)[0] == y.asnumpy()[0]), r'first row alone'),
    ('last row', lambda s, y: float(predicted(s)[-1] == y.asnumpy()[-1]), r'last row alone'),
    ('no return', forgets_return, r'returns None'),
    ('constant', lambda s, y: 0.5, r'use its arguments'),
]


def step_with(divisor=len, loss_of=lambda losses: losses, result=lambda losses: losses.mean(), train=True, times=1):
    """A training step; the divisor is a function of y, the result of the losses."""
    def my_step(net, loss, trainer, X, y):
        for _ in range(times):
            with autograd.record(train_mode=train):
                losses = loss(net(X), y)
                value = loss_of(losses)
            value.backward()
            trainer.step(divisor(y))
        return result(losses).asnumpy().item()
    return my_step


def returns(value):
    """A right step, and what `value` makes of (losses, net, loss, X, y) after it."""
    def my_step(net, loss, trainer, X, y):
        with autograd.record():
            losses = loss(net(X), y)
        losses.backward()
        trainer.step(len(y))
        return float(value(losses.asnumpy(), net, loss, X, y))
    return my_step


def loss_in(mode):
    def value(losses, net, loss, X, y):
        with mode():
            return loss(net(X), y).mean().asnumpy()
    return value


def last_layer_only(net, loss, trainer, X, y):
    with autograd.pause(train_mode=True):
        features = net[2](net[1](net[0](X)))
    with autograd.record():
        losses = loss(net[3](features), y)
    losses.backward()
    for layer in net[:3]:
        layer.collect_params().zero_grad()
    trainer.step(len(y), ignore_stale_grad=True)
    return float(losses.mean().asnumpy())


def infinite(net, loss, trainer, X, y):
    value = step_with()(net, loss, trainer, X, y)
    net[0].weight.set_data(net[0].weight.data() / 0)
    return value


def predicts_first(net, loss, trainer, X, y):
    value = float(loss(net(X), y).mean().asnumpy())
    step_with()(net, loss, trainer, X, y)
    return value


def no_backward(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    trainer.step(len(y))
    return float(losses.mean().asnumpy())


def no_record(net, loss, trainer, X, y):
    losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return float(losses.mean().asnumpy())


def no_step(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    return float(losses.mean().asnumpy())


def no_number_for_step(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    trainer.step()
    return float(losses.mean().asnumpy())


def backward_of_a_float(net, loss, trainer, X, y):
    with autograd.record():
        value = float(loss(net(X), y).mean().asnumpy())
    value.backward()
    return value


def backward_of_the_loss(net, loss, trainer, X, y):
    with autograd.record():
        loss(net(X), y)
    loss.backward()


def like_pytorch(net, loss, trainer, X, y):
    trainer.zero_grad()


def loss_again(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return float(loss(net(X), y).mean().asnumpy())


def backward_twice(net, loss, trainer, X, y):
    with autograd.record():
        loss(net(X), y).backward()
    return step_with()(net, loss, trainer, X, y)


def returns_nothing(net, loss, trainer, X, y):
    step_with()(net, loss, trainer, X, y)


def returns_losses(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return losses


def swaps(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(y, net(X))
    losses.backward()
    trainer.step(len(y))
    return float(losses.mean().asnumpy())


def own_trainer(net, loss, trainer, X, y):
    return step_with()(net, loss, gluon.Trainer(net.collect_params(), 'adam'), X, y)


TRAIN_STEPS = [
    ('step(1)', step_with(lambda y: 1), r'8 times the right step.*sum of the losses'),
    ('mean and step(n)', step_with(loss_of=lambda losses: losses.mean()), r'divided by 8 twice'),
    ('step(256)', step_with(lambda y: 256), r'trainer\.step\(256\).*len\(y\)'),
    ('step(8)', step_with(lambda y: 8), r'On a batch of 5 .*trainer\.step\(8\)'),
    ('uphill', step_with(lambda y: len(y), lambda losses: -losses), r'uphill'),
    ('two steps', step_with(times=2), r'takes two steps'),
    ('predict mode', step_with(train=False), r'outside of training mode'),
    ('no backward', no_backward, r'line \d+: `trainer\.step\(len\(y\)\)`\. There is no gradient.*backward\(\)'),
    ('no record', no_record, r'autograd\.record\(\)'),
    ('no step', no_step, r'leaves all parameters as they are.*trainer\.step'),
    ('step()', no_number_for_step, r'trainer\.step wants the number'),
    ('backward of a float', backward_of_a_float, r'plain number'),
    ('backward of the loss function', backward_of_the_loss, r'not to the function'),
    ('PyTorch', like_pytorch, r'That is PyTorch|one method for this'),
    ('loss after the step', loss_again, r'after the step'),
    ('backward twice', backward_twice, r'running statistics.*more than once'),
    ('sum', step_with(result=lambda losses: losses.sum()), r'sum over the batch'),
    ('first loss', step_with(result=lambda losses: losses[0]), r'first image alone'),
    ('mean twice', step_with(result=lambda losses: losses.mean() / len(losses)), r'divided by 8 twice'),
    ('no return', returns_nothing, r'returns None'),
    ('array', returns_losses, r'array of shape \(8,\).*mean'),
    ('swapped', swaps, r'scores first, then the labels'),
    ('step(5/2)', step_with(lambda y: len(y) / 2.5), r'moves each parameter by 2\.5 times .*business of the trainer'),
    ('step(n * n)', step_with(lambda y: len(y) ** 2), r'trainer\.step\(64\)'),
    ('ten times', step_with(loss_of=lambda losses: 10 * losses), r'by 10 times .*business of the trainer'),
    ('infinite', infinite, r'some parameters are not finite'),
    ('last layer', last_layer_only, r'moves only 2 of 6 parameters'),
    ('loss after the step, in training', returns(loss_in(autograd.train_mode)),
     r'That is the loss after the step\. The loss that was differentiated'),
    ('loss after the step, outside of training', returns(loss_in(autograd.predict_mode)),
     r'after the step, outside of training mode'),
    ('loss outside of training', predicts_first, r'That is the loss outside of training mode'),
    ('last loss', step_with(result=lambda losses: losses[-1]), r'last image alone'),
    ('largest loss', step_with(result=lambda losses: losses.max()), r'largest loss of the batch'),
    ('number of images', returns(lambda losses, net, loss, X, y: len(y)), r'That is the number of images'),
    ('minus', step_with(result=lambda losses: -losses.mean()), r'The sign is wrong'),
    ('median', returns(lambda losses, *rest: numpy.median(losses)), r'Is it the mean of the losses of this batch'),
    ('nearly the loss', returns(lambda losses, *rest: losses.mean() * (1 + 3e-4)), r'Is it the mean of the losses'),
    ('own trainer', own_trainer, r'another direction'),
]


def step_by_mean(net, loss, trainer, X, y):
    with autograd.record():
        mean = loss(net(X), y).mean()
    mean.backward()
    trainer.step(1)
    return mean.asnumpy().item()


MISTAKES = [
    ('learning_rate', 'a step ahead', lambda t, n, p, w: p * (t + 1) / w if t < w else schedule(t, n, p, w), r'\+ 1'),
    ('learning_rate', 'no warm-up', lambda t, n, p, w: schedule(t, n, p, 0), r'no warm-up'),
    ('learning_rate', 'cosine from the start', lambda t, n, p, w: p * t / w if t < w else schedule(t, n, p, 0),
     r'begin where the warm-up ends'),
    ('learning_rate', 'cosine too slow', lambda t, n, p, w: p * t / w if t < w else schedule(t - w, n, p, 0),
     r'does not come to its end'),
    ('learning_rate', 'no half', lambda t, n, p, w: p * t / w if t < w else p * (1 + math.cos(reached(t, n, w))),
     r'Where is the half'),
    ('learning_rate', 'cos alone', lambda t, n, p, w: p * t / w if t < w else p * math.cos(reached(t, n, w)),
     r'from 1 to -1'),
    ('learning_rate', 'quarter', lambda t, n, p, w: p * t / w if t < w else p * math.cos(reached(t, n, w) / 2),
     r'quarter of a cosine'),
    ('learning_rate', 'rises', lambda t, n, p, w: p * t / w if t < w else p * (1 - math.cos(reached(t, n, w))) / 2,
     r'Which sign'),
    ('learning_rate', 'no pi', lambda t, n, p, w: p * t / w if t < w else p * (1 + math.cos((t - w) / (n - w))) / 2,
     r'Where is pi'),
    ('learning_rate', 'degrees',
     lambda t, n, p, w: p * t / w if t < w else p * (1 + math.cos(180 * (t - w) / (n - w))) / 2, r'radians'),
    ('learning_rate', 'linear', lambda t, n, p, w: p * t / w if t < w else p * (n - t) / (n - w), r'straight line'),
    ('learning_rate', 'constant', lambda t, n, p, w: p * t / w if t < w else p, r'stays at the peak'),
    ('learning_rate', 'peak ignored', lambda t, n, p, w: schedule(t, n, 0.1, w), r'whatever the peak is'),
    ('learning_rate', 'warm-up to 1', lambda t, n, p, w: t / w if t < w else schedule(t, n, p, w), r'ends at 1'),
    ('learning_rate', '//', lambda t, n, p, w: p * (t // w) if t < w else schedule(t, n, p, w),
     r'// that should be a /'),
    ('learning_rate', 'divides by w + 1', lambda t, n, p, w: p * t / (w + 1) if t < w else schedule(t, n, p, w),
     r'does not reach the peak'),
    ('learning_rate', 'too late', lambda t, n, p, w: p * t / w if t < w else p * (1 + math.cos(
        math.pi * t / (n - w))) / 2, r'how many steps after it is this one'),
    ('learning_rate', 'whole period', lambda t, n, p, w: p * t / w if t < w else p * (1 + math.cos(
        2 * reached(t, n, w))) / 2, r'whole period of the cosine'),
    ('learning_rate', 'sine', lambda t, n, p, w: p * t / w if t < w else p * (1 + math.sin(reached(t, n, w))) / 2,
     r'That is a sine'),
    ('learning_rate', 'peak 1', lambda t, n, p, w: schedule(t, n, 1, w), r'It rises to 1, whatever the peak is'),
    ('learning_rate', 'no rise', lambda t, n, p, w: p if t < w else schedule(t, n, p, w), r'It starts at the peak'),
    ('learning_rate', 'falls first', lambda t, n, p, w: p - p * t / w if t < w else schedule(t, n, p, w),
     r'It falls during the warm-up'),
    ('learning_rate', 'of all steps', lambda t, n, p, w: p * t / n if t < w else schedule(t, n, p, w),
     r'measured in warmup_steps'),
    ('learning_rate', 'quadratic warm-up', lambda t, n, p, w: p * (t / w) ** 2 if t < w else schedule(t, n, p, w),
     r'step=1, .*In the warm-up it should be'),
    ('learning_rate', 'wrong at the peak', lambda t, n, p, w: 0.9 * p if t == w else schedule(t, n, p, w),
     r'step=20, .*At the end of the warm-up it should be the peak'),
    ('learning_rate', 'wrong at the end', lambda t, n, p, w: 0.1 * p if t == n else schedule(t, n, p, w),
     r'step=100, .*At the last step it should be 0'),
    ('learning_rate', 'wrong in between', lambda t, n, p, w: 0.1 * p if w < t < n else schedule(t, n, p, w),
     r'step=21, .*After the warm-up, which share'),
    ('learning_rate', 'nearly right', lambda t, n, p, w: schedule(t, n, p, w) + 2e-5 * p, r'step=0, .*returns 2e-06'),
    ('learning_rate', 'divides by zero', lambda t, n, p, w: p * t / w if t <= w else schedule(t, n, p, w),
     r'ZeroDivisionError.*\w+\.py, line \d+: `.*`\. warmup_steps may be 0'),
    ('learning_rate', 'no return', forgets_return, r'returns None'),
    ('learning_rate', 'the same', lambda t, n, p, w: 0.123, r'does it use step'),
    *[('accuracy', *row) for row in ACCURACIES],
    *[('train_step', *row) for row in TRAIN_STEPS],
]

CORRECT = [
    ('accuracy', lambda s, y: float((predicted(s) == y.asnumpy()).mean())),
    ('accuracy', lambda s, y: (predicted(s) == y.asnumpy()).mean(dtype='float32')),
    ('accuracy', lambda s, y: (predicted(s) == y.asnumpy()).mean(keepdims=True)),
    ('accuracy', lambda s, y: np.array((predicted(s) == y.asnumpy()).mean())),
    ('train_step', step_with()),
    ('train_step', step_by_mean),
    ('learning_rate', schedule),
    ('learning_rate', lambda t, n, p, w: schedule(t, n, p, w) - 5e-6 * p),
    ('accuracy', lambda s, y: accurate(s, y) * (1 - 5e-6) + 5e-10),
    ('train_step', returns(lambda losses, *rest: losses.mean() * (1 + 3e-5))),
    ('learning_rate', lambda t, n, p, w: np.array(schedule(t, n, p, w))),
    ('learning_rate', lambda t, n, p, w: mx.lr_scheduler.CosineScheduler(n, p, 0, warmup_steps=w)(t)),
]


@mistakes(MISTAKES)
def test_a_mistake_gets_its_own_sentence(check, learner, expected):
    assert_sentence(check, learner, expected)


@pytest.mark.parametrize('mode', MODES)
@solutions(CORRECT)
def test_a_correct_solution_passes(mode, check, learner, capsys):
    assert_passes(check, learner, mode, capsys)


def test_every_check_knows_at_least_ten_mistakes():
    assert_ten_mistakes('training', MISTAKES)


def test_the_rates_at_both_ends_of_the_warm_up_and_of_the_training_are_asked_for():
    npx.set_np()
    asked = {}

    def asks(step, num_steps, peak, warmup_steps):
        asked.setdefault((num_steps, peak, warmup_steps), []).append(step)
        return schedule(step, num_steps, peak, warmup_steps)

    checks.learning_rate(asks)
    assert asked == {(100, 0.1, 20): [0, 1, 10, 19, 20, 21, 60, 99, 100], (50, 0.4, 0): [0, 1, 25, 49, 50],
                     (8, 2.0, 3): [0, 1, 2, 3, 4, 5, 7, 8]}
