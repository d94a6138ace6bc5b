"""Checks of training: accuracy, one step, the learning rate."""

import math

import mxnet as mx
import numpy
from mxnet import autograd, gluon
from mxnet.gluon import nn

from . import _blocks as look
from ._answers import known_mistake, number
from ._guard import CheckFailed, call, check, place_of

_HINTS = [(r'Incompatible attr|Type inconsistent|expected (float|int)\d+, got', 'Labels are int32, and argmax gives '
           'another type: can you convert one with astype before you compare?')]


@check
def accuracy(f):
    """Check the share of rows of scores whose largest entry is that of the label.

    Parameters
    ----------
    f : callable
        ``f(scores, labels)``, scores (N, classes) float32 and labels (N,) int32 as arrays of MXNet, returns a float
        from 0 to 1.

    Raises
    ------
    CheckFailed
    """
    name = look.require_callable(f)
    cases = []
    for n, classes, right in ((8, 5, 6), (3, 4, 2), (5, 5, 2), (1, 3, 1), (4, 3, 0)):
        scores = look.images(n, classes, seed=n)
        labels = scores.argmax(axis=1)
        labels[right:] = scores[right:].argmin(axis=1)
        labels[right:right + 1] = scores[right:right + 1].argsort(axis=1)[:, -2]
        if n == 3:  # the last row is right once, where others are wrong
            scores, labels = scores[::-1].copy(), labels[::-1]
        cases.append((scores, labels, right))
    look.require_signature(f, name, ['scores', 'labels'], cases[0][:2])
    answers = []
    for scores, labels, right in cases:
        text = (f'{name}(scores, labels), given {len(scores)} rows of {scores.shape[1]} scores of which {right} are '
                'right,')
        arrays = look.array(scores), look.array(labels, 'int32')
        value = call(text, f, *arrays, hints=[
            *_HINTS, (r'broadcast|Shape|shape|elemwise', 'Do you take argmax along the classes, axis=1, so that there '
                      'is one for each row?')])
        if not numpy.array_equal(arrays[0].asnumpy(), scores) or not numpy.array_equal(arrays[1].asnumpy(), labels):
            raise CheckFailed(f'{text} changes the arrays that it was given{place_of(f)}. Can you compute with '
                              'new ones?')
        answers.append(number(value, text, f, f'{right}/{len(scores)} = {right / len(scores):.4g}'))
    if all(_close(a, right / len(scores)) for a, (scores, _, right) in zip(answers, cases)):
        return 'accuracy: five batches, the share of rows whose largest score is that of the label. Correct.'
    i = next(i for i, (scores, _, right) in enumerate(cases) if not _close(answers[i], right / len(scores)))
    hint = known_mistake(answers, [case[:2] for case in cases], _WRONG_ACCURACIES, _close) or (
        'It is the same whatever comes in: does it use its arguments?' if len(set(answers)) == 1 else
        'Can you do it by hand for two rows: which column is the largest, and is it the label?')
    scores, _, right = cases[i]
    raise CheckFailed(f'{name}(scores, labels), given {len(scores)} rows of {scores.shape[1]} scores of which {right} '
                      f'are right, returns {answers[i]:.4g}; it should be {right}/{len(scores)} = '
                      f'{right / len(scores):.4g}. '
                      f'{hint}')


def _hits(scores, labels):
    return scores.argmax(1) == labels


_WRONG_ACCURACIES = [
    (lambda s, y: _hits(s, y).sum(), 'That is their number. Divide by what?'),
    (lambda s, y: 100 * _hits(s, y).mean(), 'That is in percent. The share is between 0 and 1: what is the 100 for?'),
    (lambda s, y: 1 - _hits(s, y).mean(), 'That is the share of mistakes. Is there a != that should be a ==?'),
    (lambda s, y: (~_hits(s, y)).sum(), 'That is the number of mistakes. Which share is asked for?'),
    (lambda s, y: _hits(s, y).sum() / s.shape[1], 'It is divided by the number of classes. How many rows are there?'),
    (lambda s, y: _hits(s, y).sum() / s.size, 'It is divided by the number of all scores. How many rows are there?'),
    (lambda s, y: (s.argmin(1) == y).mean(), 'You take the smallest score. Which function gives the largest?'),
    (lambda s, y: _hits(s, y).sum() // len(y), 'A share is not an integer: is there a // that should be a /, '
     'or an int()?'),
    (lambda s, y: (s.max(1) == y).mean(), 'max gives the largest score, not its place. Which function gives '
                                          'the place?'),
    (lambda s, y: (s.argmax() == y).mean(), 'argmax without an axis looks at all rows at once. Which axis are the '
     'classes?'),
    (lambda s, y: (s.argmax(1)[0] == y[0]).mean(), 'That is the first row alone. Where are the others?'),
    (lambda s, y: (s.argmax(1)[-1] == y[-1]).mean(), 'That is the last row alone: is the return inside the loop, or = '
     'written for +=?'),
    (lambda s, y: (s.argsort(1)[:, -2:] == y[:, None]).any(1).mean(), 'The second best counts as right too. Only the '
     'largest should.'),
    (lambda s, y: (numpy.round(s.max(1)) == y).mean(), 'Scores are not labels. Which column is the largest?'),
    *[(lambda s, y, n=n: _hits(s, y).sum() / n, f'It is divided by {n} whatever comes in; the last batch may be short. '
       'How many rows are there (len)?') for n in (10, 32, 64, 100, 128, 256, 512, 10_000, 60_000)],
]


def _close(a, b):
    return math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-9)


@check
def learning_rate(f):
    """Check a schedule: linear warm-up to the peak, then half a cosine to 0.

    For steps t from 0 to num_steps = n with w warm-up steps: peak t / w for t < w, then
    peak (1 + cos(pi (t - w) / (n - w))) / 2. So it is 0 at t = 0 (with w = 0: the peak), peak at t = w, and 0 at
    t = n: MXNet's ``lr_scheduler.CosineScheduler(n, peak, final_lr=0, warmup_steps=w)``, which `RECIPES` use.

    Parameters
    ----------
    f : callable
        ``f(step, num_steps, peak, warmup_steps)`` returns a float; 0 <= warmup_steps < num_steps.

    Raises
    ------
    CheckFailed
    """
    name = look.require_callable(f)
    names = ['step', 'num_steps', 'peak', 'warmup_steps']
    points = [(t, n, peak, w) for n, peak, w in ((100, 0.1, 20), (50, 0.4, 0), (8, 2.0, 3))
              for t in sorted({0, 1, w // 2, max(w - 1, 0), w, w + 1, (n + w) // 2, n - 1, n})]
    look.require_signature(f, name, names, points[0])
    answers = []
    for point in points:
        text = f'{name}({", ".join(f"{n}={v}" for n, v in zip(names, point))})'
        value = call(text, f, *point, hints=[
            (r'ZeroDivisionError', 'warmup_steps may be 0: then no step is a warm-up step. Is it step < warmup_steps, '
             'asked before the division?')])
        answers.append(number(value, text, f, f'{_schedule(*point):.6g}'))
    if all(_close_rate(a, _schedule(*point), point) for a, point in zip(answers, points)):
        return 'learning_rate: linear warm-up, the peak, half a cosine to 0, also without warm-up. Correct.'
    # As shares of the peak, which differ from case to case.
    peaks = [point[2] for point in points]
    hint = known_mistake([rate / peak for rate, peak in zip(answers, peaks)], points, [
        (lambda *point, formula=formula: formula(*point) / point[2], hint) for formula, hint in _WRONG_SCHEDULES],
        lambda a, b: abs(a - b) <= 1e-5)
    i = next(i for i, point in enumerate(points) if not _close_rate(answers[i], _schedule(*point), point))
    t, n, peak, w = points[i]
    hint = hint or (
        'It is the same at every step: does it use step?' if len(set(answers)) == 1 else
        'In the warm-up it should be peak * step / warmup_steps.' if t < w else
        'At the end of the warm-up it should be the peak.' if t == w else
        'At the last step it should be 0.' if t == n else
        'After the warm-up, which share of the remaining steps is over, and what is the cosine of pi times it?')
    raise CheckFailed(f'{name}({", ".join(f"{n}={v}" for n, v in zip(names, points[i]))}) returns {answers[i]:.6g}; it '
                      f'should be {_schedule(*points[i]):.6g}. {hint}')


def _close_rate(a, b, point):
    return abs(a - b) <= 1e-5 * point[2]


def _schedule(t, n, peak, w):
    return peak * t / w if t < w else peak * (1 + math.cos(math.pi * (t - w) / (n - w))) / 2


def _decay(shape):
    """A schedule with the right warm-up, and `shape` of the share of the steps after it."""
    return lambda t, n, peak, w: peak * t / w if t < w else peak * shape((t - w) / (n - w))


def _cosine(x):
    return (1 + math.cos(math.pi * x)) / 2


_WRONG_SCHEDULES = [
    (lambda t, n, peak, w: peak * (t + 1) / w if t < w else _schedule(t, n, peak, w), 'The warm-up is one step ahead: '
     'it begins at 0, and step 0 is the first. What is the + 1 for?'),
    (lambda t, n, peak, w: peak * t / (w + 1) if t < w else _schedule(t, n, peak, w), 'The warm-up does not reach the '
     'peak at step = warmup_steps. What is it divided by?'),
    (lambda t, n, peak, w: peak * _cosine(t / n), 'There is no warm-up. What happens while step < warmup_steps?'),
    (lambda t, n, peak, w: peak * t / w if t < w else peak * _cosine(t / n), 'The cosine should begin where the '
     'warm-up ends: which share of the steps after it is over?'),
    (lambda t, n, peak, w: peak * t / w if t < w else peak * _cosine((t - w) / n), 'The cosine does not come to its '
     'end at the last step: how many steps are there after the warm-up?'),
    (lambda t, n, peak, w: peak * t / w if t < w else peak * _cosine(t / (n - w)), 'The cosine should begin where the '
     'warm-up ends: how many steps after it is this one?'),
    (_decay(lambda x: 1 + math.cos(math.pi * x)), '1 + cos goes from 2 to 0. Where is the half?'),
    (_decay(lambda x: math.cos(math.pi * x)), 'cos alone goes from 1 to -1. What must be added and divided, so that it '
     'goes from 1 to 0?'),
    (_decay(lambda x: math.cos(math.pi * x / 2)), 'That is a quarter of a cosine, which falls steeply at the end. Half '
     'a period is (1 + cos(pi x)) / 2.'),
    (_decay(lambda x: (1 - math.cos(math.pi * x)) / 2), 'It rises from 0 to the peak after the warm-up. Which sign '
     'does the cosine have?'),
    (_decay(lambda x: (1 + math.cos(180 * x)) / 2), 'math.cos takes radians. What is 180 degrees in radians?'),
    (_decay(lambda x: (1 + math.cos(x)) / 2), 'Where is pi? The cosine should go from 0 to pi.'),
    (_decay(lambda x: _cosine(2 * x)), 'That is a whole period of the cosine, which comes back to the peak. Half of it '
     'is enough.'),
    (_decay(lambda x: (1 + math.sin(math.pi * x)) / 2), 'That is a sine. Which function begins at 1?'),
    (_decay(lambda x: 1 - x), 'It falls in a straight line. Where is the cosine?'),
    (_decay(lambda x: 1), 'It stays at the peak after the warm-up. Where is the cosine?'),
    (lambda t, n, peak, w: t / w if t < w else peak * _cosine((t - w) / (n - w)), 'The warm-up ends at 1 and not at '
     'the peak. Where is the peak in it?'),
    (lambda t, n, peak, w: _schedule(t, n, 1, w), 'It rises to 1, whatever the peak is. Where do you use it?'),
    (lambda t, n, peak, w: _schedule(t, n, 0.1, w), 'It rises to 0.1, whatever the peak is. Is a number written into '
     'the code?'),
    (lambda t, n, peak, w: peak if t < w else _schedule(t, n, peak, w), 'It starts at the peak. How should it grow '
     'while step < warmup_steps?'),
    (lambda t, n, peak, w: 0 if t < w else _schedule(t, n, peak, w), 'It is 0 during the warm-up: is there a // that '
     'should be a /?'),
    (lambda t, n, peak, w: peak * (1 - t / w) if t < w else _schedule(t, n, peak, w), 'It falls during the warm-up. '
     'Where should it begin?'),
    (lambda t, n, peak, w: peak * t / n if t < w else _schedule(t, n, peak, w), 'The warm-up is measured in '
     'warmup_steps, not in num_steps. What is step divided by?'),
]


@check
def train_step(f):
    """Check one step of training.

    Parameters
    ----------
    f : callable
        ``f(net, loss, trainer, X, y)`` takes one step along the gradient of the mean loss of this batch, with `net` in
        training mode, and returns that mean loss, from before the step, as a float.

    Raises
    ------
    CheckFailed
    """
    name = look.require_callable(f)
    text = f'{name}(net, loss, trainer, X, y)'
    look.require_signature(f, name, ['net', 'loss', 'trainer', 'X', 'y'], range(5))
    net, twin = _small_net(), _small_net()
    rate, loss = 0.05, gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': rate}, update_on_kvstore=False)
    for n in (8, 5):  # the second is a short batch
        X, labels = look.images(n, 6, seed=n), numpy.random.RandomState(n).randint(0, 3, n)
        y = look.array(labels, 'int32')
        before = _numbers(net)
        wanted = _expected(twin, loss, before, look.array(X), y, rate)
        value = call(f'{text} on a batch of {n}', f, net, loss, trainer, look.array(X), y, hints=_STEP_HINTS)
        mx.nd.waitall()
        _require_moved(before, _numbers(net), wanted, n, text)
        _require_loss(number(value, text, f, f'the mean loss of the batch, {wanted["loss"]:.4g}'), wanted, n, text)
    return 'train_step: one step along the gradient of the mean loss, also for a short batch. Correct.'


_STEP_HINTS = [
    (r'not in a computational graph|is_recording', 'The forward pass (net and loss) must be inside with '
     'autograd.record(): is it?'),
    (r'[Gg]radient of Parameter.*(not been|has not)|stale', 'There is no gradient from this batch yet. Where is '
     'backward(), and was the forward pass recorded?'),
    (r'step\(\) missing', 'trainer.step wants the number by which to divide the gradient. Which number is that?'),
    (r"'float(64|32)?' object has no attribute 'backward'", 'A plain number knows nothing of the network. Call '
     'backward() on the array of losses, before you make a float of it.'),
    (r"Loss' object has no attribute 'backward'", 'backward() belongs to the losses that were computed, not to the '
     'function that computes them.'),
    (r"'(Hybrid)?Sequential' object has no attribute 'backward'", 'backward() belongs to the losses, not to the '
     'network.'),
    (r'Trainer.* has no attribute', 'The trainer has one method for this: trainer.step(...).'),
    (r'has no attribute .(zero_grad|item)', 'That is PyTorch. In Gluon a gradient is overwritten by each backward(), '
     'and float(...) makes a number.'),
    (r'only (size-1|length-1) arrays|ambiguous|size 1|scalar', 'There is one loss for each image. Which number is '
     'asked for?'),
    (r'pick|Shape|shape|infer', 'loss takes the scores first, then the labels.'), *_HINTS]


def _small_net():
    net = nn.Sequential()
    net.add(nn.Dense(8, in_units=6), nn.BatchNorm(in_channels=8), nn.Activation('relu'), nn.Dense(3, in_units=8))
    look.fill(net, look.images(2, 6), 'the network', axes=2)
    return net


def _numbers(net):
    mx.nd.waitall()
    # By position: the names of two networks differ.
    return [(p.data().asnumpy(), p.grad_req != 'null') for p in net.collect_params().values()]


def _set(net, values):
    for parameter, (value, _) in zip(net.collect_params().values(), values):
        parameter.set_data(look.array(value))


def _expected(twin, loss, before, X, y, rate):
    """What the step should do: {'delta', 'delta_predict', 'delta_second', 'loss', ...}."""
    def gradient(train):
        with autograd.record(train_mode=train):
            losses = loss(twin(X), y)
        losses.backward()
        mx.nd.waitall()
        return losses.asnumpy(), [-rate * p.grad().asnumpy() / len(X) for p in twin.collect_params().values()
                                  if p.grad_req != 'null']

    _set(twin, before)
    in_predict, delta_predict = gradient(False)
    _set(twin, before)
    losses, delta = gradient(True)
    statistics = [value for value, trained in _numbers(twin) if not trained]
    moved, kept = iter(delta), iter(statistics)
    _set(twin, [(value + next(moved) if trained else next(kept), trained) for value, trained in before])
    with autograd.predict_mode():
        after_predict = loss(twin(X), y).asnumpy()
    after, second = gradient(True)
    return {'delta': delta, 'delta_predict': delta_predict, 'delta_two': [a + b for a, b in zip(delta, second)],
            'statistics': statistics, 'loss': losses.mean(), 'losses': losses, 'predict': in_predict.mean(),
            'after': after.mean(), 'after_predict': after_predict.mean()}


def _require_moved(before, after, wanted, n, text):
    moved = [b - a for (a, trained), (b, _) in zip(before, after) if trained]
    flat, right = (numpy.concatenate([part.ravel() for part in parts]) for parts in (moved, wanted['delta']))
    if not numpy.isfinite(flat).all():
        raise CheckFailed(f'After {text} some parameters are not finite numbers. What is divided by, or '
                          'multiplied with?')
    if not flat.any():
        raise CheckFailed(f'{text} leaves all parameters as they are. Where is trainer.step(...)?')
    factor = float(flat @ right / (right @ right))
    if numpy.abs(flat - factor * right).max() > 1e-3 * numpy.abs(factor * right).max():
        two, predict = (numpy.concatenate([part.ravel() for part in wanted[key]])
                        for key in ('delta_two', 'delta_predict'))
        scale = float(flat @ predict / (predict @ predict))
        if numpy.abs(flat - scale * predict).max() <= 1e-3 * numpy.abs(scale * predict).max():
            raise CheckFailed(f'{text} computes the gradient outside of training mode: batch normalization used its '
                              'running statistics. Is it autograd.record(), without train_mode=False?')
        if numpy.abs(flat - two).max() <= 1e-2 * numpy.abs(two).max():
            raise CheckFailed(f'{text} takes two steps on this batch; it should take one. Is trainer.step called '
                              'twice, or is there a loop?')
        some = [not part.any() for part in moved]
        if any(some):
            raise CheckFailed(f'{text} moves only {len(some) - sum(some)} of {len(some)} parameters. Does the gradient '
                              'reach all of them?')
        raise CheckFailed(f'{text} moves the parameters in another direction than that of the gradient of the mean '
                          'loss. Is it one step, of this batch, with the loss and the trainer that were given?')
    if abs(factor - 1) > 1e-3:
        _raise_factor(factor, n, text)
    statistics = [value for value, trained in after if not trained]
    if any(numpy.abs(a - b).max() > 1e-3 for a, b in zip(statistics, wanted['statistics'])):
        raise CheckFailed(f'{text} moves the parameters correctly, but not the running statistics of batch '
                          'normalization: the network sees the batch more than once, or not in training mode. How '
                          'often do you call net and backward?')


def _raise_factor(factor, n, text):
    divisor = n / factor
    seen = f'On a batch of {n} images {text} moves each parameter by {factor:.4g} times the right step.'
    if abs(factor + 1) < 1e-3:
        hint = 'It goes uphill: is there a minus too many?'
    elif abs(divisor - 1) < 1e-3:
        hint = ('That is the gradient of the sum of the losses: backward() adds them up. Which number should '
                'trainer.step(...) get, so that it is the mean?')
    elif abs(factor * n - 1) < 1e-3:
        hint = (f'Is it divided by {n} twice, by a mean and by trainer.step({n})? One is enough. Or is it '
                f'trainer.step({n * n})?')
    elif abs(divisor - round(divisor)) < 1e-2 and round(divisor) > 0:
        hint = (f'That is trainer.step({round(divisor)}). How many images are in the batch (the last one may be short: '
                'len(y))?')
    else:
        hint = 'The learning rate is the business of the trainer. What multiplies the gradient or the loss besides?'
    raise CheckFailed(f'{seen} {hint}')


def _require_loss(value, wanted, n, text):
    if _near(value, wanted['loss']):
        return
    hint = next((hint for right, hint in (
        (wanted['losses'].sum(), 'That is the sum over the batch. Divide by what?'),
        (wanted['loss'] / n, f'It is divided by {n} twice. Which of the two do you want?'),
        (wanted['after'], 'That is the loss after the step. The loss that was differentiated is there already: can you '
         'return that one?'),
        (wanted['after_predict'], 'That is the loss after the step, outside of training mode. The loss that was '
         'differentiated is there already: can you return that one?'),
        (wanted['predict'], 'That is the loss outside of training mode. Can you return the one that was '
                            'differentiated?'),
        (wanted['losses'][0], 'That is the loss of the first image alone. Where is the mean?'),
        (wanted['losses'][-1], 'That is the loss of the last image alone. Where is the mean?'),
        (wanted['losses'].max(), 'That is the largest loss of the batch. Where is the mean?'),
        (n, 'That is the number of images. Which loss was it?'),
        (-wanted['loss'], 'The sign is wrong. What is the minus for?')) if _near(value, right)),
        'Is it the mean of the losses of this batch, computed before the step?')
    raise CheckFailed(f'{text} makes the right step, and returns {value:.5g} on a batch of {n}; it should return the '
                      f'mean loss, {wanted["loss"]:.5g}. {hint}')


def _near(a, b):
    return abs(a - b) <= 1e-4 * max(abs(b), 1e-3)
