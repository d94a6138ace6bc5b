"""One training run: everything around its loop, which stands in `training`."""

import collections
import contextlib
import dataclasses
import itertools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable

import mxnet as mx
import numpy
from mxnet import autograd, gluon
from mxnet.base import MXNetError

from .._common.arguments import show
from .._common.arrays import array, first_not_finite, to_device
from .._common.batches import a_batch, labels_of
from .._common.engine import surfacing
from .._common.messages import last_line, progress_shows
from ..evaluation import accuracy, not_finite, snapshot
from ..execution.mixed_precision import MixedPrecision
from ..history import DivergenceError, History
from .resume import Keeper, Progress, draws_in_training, plain, share_parameters
from .workers import Workers

__all__ = ['Session']

# As torch.amp.GradScaler, but for the first scale (in `Progress`), below which float16 seldom overflows.
_STEPS_TO_DOUBLE, _LEAST_SCALE = 2000, 2.0 ** -20
_END = object()  # of an epoch: a loader may give None by mistake


@dataclasses.dataclass
class Session:
    """The machinery of a training run: what there is besides the network and its loop."""

    net: gluon.Block
    trainer: gluon.Trainer
    loss_function: Callable  # (scores, labels) -> one loss per image
    devices: list  # share the work of each batch
    reported_loss: Callable | None = None  # for the history, where it differs from the one that is trained
    test_iter: Iterable | None = None
    report: Callable | None = None  # gets the history after each epoch and prints; with it there is a progress bar
    on_epoch: Callable | None = None  # gets the history after each epoch
    step_size: int | None = None  # what the summed gradient is divided by; default: the number of images
    seed: int | None = None  # of what layers draw
    keeper: Keeper | None = None
    workers: Workers | None = None
    mixed: MixedPrecision | None = None

    def __post_init__(self):
        self.history, self.progress, self.signals = History(), Progress(), Signals(self.workers)
        #: What gives the scores.
        self.forward = self.mixed or self.net
        #: Whether this process is the one that prints.
        self.first = not self.workers or self.workers.rank == 0
        self._bar, self._title, self._good, self._results = contextlib.ExitStack(), '', None, []

    @contextlib.contextmanager
    def running(self, train_iter):
        """Context of the loop: goes on from a checkpoint, and ends the run in good order whatever happens in it."""
        self.history.data = getattr(getattr(train_iter, 'source', None), 'name', self.history.data)
        if len(self.devices) > 1 or self.workers:
            share_parameters(self.trainer)
        self._loader = train_iter
        self._resume()
        # MXNet's generator cannot be read. So that dropout is the same in a resumed run, each step has its own seed.
        self._seeded = self.seed is not None and draws_in_training(self.net, self.trainer)
        # Left over from a loop of the user's own, which added up the gradients of several batches.
        self._added_up = [p for p in self.net.collect_params().values() if p.grad_req == 'add']
        try:
            with surfacing('training', self._where), self.signals, self._bar:
                yield
        except KeyboardInterrupt:
            if self.workers:  # the others wait for this one's gradients: nothing is left to keep together
                raise
            mx.nd.waitall()
            self._stop('interrupted')
        if self.history.stopped and self.first:
            how = '' if self.keeper is None else (
                f'; to go on: resume=True with checkpoint_dir={str(self.keeper.store.directory)!r}')
            print(f'{self.history.stopped}; the network keeps what it has learned{how}', flush=True)
        if self.workers:
            self.workers.leave_together()

    def _resume(self):
        self.progress = self.keeper and self.keeper.restore(self.history) or self.progress
        if self.progress.epoch > 1 or self.progress.batch:
            if self.first:
                print(f'resumed in epoch {self.progress.epoch}, after batch {self.progress.batch}', flush=True)
            if self.progress.loader_pass is not None:
                self._loader.epoch = self.progress.loader_pass

    def _where(self):
        return f'epoch {self.progress.epoch}, batch {self.progress.batch + 1} of train_iter'

    def _stop(self, why):
        self.history.stopped = f'{why} in epoch {self.progress.epoch}, after batch {self.progress.batch}'

    def epochs(self, num_epochs):
        """The number of each epoch that is left, until a signal ends the run; evaluates and reports after each."""
        while self.progress.epoch <= num_epochs and not self.signals.ended_by:
            self._title = f'epoch {self.progress.epoch}/{num_epochs}'
            yield self.progress.epoch
            if not self.signals.ended_by:
                self._finish_epoch()
        if self.signals.ended_by and self.progress.epoch <= num_epochs:
            self._stop(self.signals.ended_by)
            if self.keeper:
                self.keeper.save(self.progress, self.history)

    def batches(self, train_iter):
        """The batches (X, y) that are left of the epoch, checked; each must be followed by `step`."""
        progress, self._good = self.progress, None
        self._started = time.perf_counter() - progress.seconds
        if not progress.batch:
            progress.loader_pass = _pass_of(train_iter)
        self._bar.close()
        bar = self._bar.enter_context(self._new_bar(train_iter))
        if self.keeper:
            self.keeper.pass_begins(resumed=progress.batch > 0)
        batches = iter(train_iter)
        collections.deque(itertools.islice(batches, progress.batch), maxlen=0)  # done before the run was resumed
        if self.keeper:
            self.keeper.batches_skipped()
        while True:
            before = time.perf_counter()
            item = next(batches, _END)
            progress.waited += time.perf_counter() - before
            if item is _END:
                if self.workers:
                    together(self.workers, None, self.signals)
                break
            X, y = a_batch('train_iter', progress.batch + 1, item)
            self._prepare()
            yield X, y
            bar.set_postfix_str(f'loss {progress.loss_sum / progress.count:.4f}', refresh=False)
            bar.update()
            if self.signals.ended_by:
                break
            if self.keeper and self.keeper.due():
                self.keeper.save(progress, self.history)
        bar.close()
        if not progress.count:
            raise ValueError('train_iter gave no batches' + (
                ' in a second pass: give a loader that can be iterated again, not a generator' if progress.epoch > 1
                else ': give a loader with images; an iterator that was used before has none left'))

    def _new_bar(self, train_iter):
        from tqdm.auto import tqdm
        total = len(train_iter) if hasattr(train_iter, '__len__') else None
        return tqdm(total=total, initial=self.progress.batch, desc=self._title, unit='batch', leave=False,
                    disable=not (self.report and progress_shows()))

    def _prepare(self):
        """Get ready for a step."""
        self._results = []
        for parameter in self._added_up:
            parameter.zero_grad()
        if self._seeded and (self.progress.epoch, self.progress.batch) != (1, 0):
            entropy = [self.seed, self.progress.epoch, self.progress.batch]
            entropy += [self.workers.rank] if self.workers and self.workers.rank else []
            mx.random.seed(int(numpy.random.SeedSequence(entropy).generate_state(1)[0] >> 1))

    def split(self, X, y):
        """The batch in parts, one on each device: (X, y) pairs. A short batch may leave the last devices without."""
        with autograd.pause(train_mode=autograd.is_training()):
            used = self.devices[:len(y)]
            if len(self.devices) == 1:
                return [(to_device(X, used[0]), to_device(y, used[0]))]
            for idle in self.devices[len(used):]:
                # The gradients of all devices are added up: what an idle one still holds must not count again. Trainer
                # takes a gradient that no backward pass has written for a mistake; here it is none.
                for parameter in self.trainer._params:
                    if parameter.grad_req != 'null':
                        parameter.grad(idle)[:] = 0
                        parameter.data(idle)._fresh_grad = True
            return list(zip(*(gluon.utils.split_and_load(part, used, even_split=False) for part in (X, y))))

    def loss(self, scores, labels):
        """The losses to go backward from, one per image, checked; notes them, and the scores, for `step`."""
        number = self.progress.batch + 1
        labels_of('train_iter', number, scores, labels)
        if self._good is None:
            # Only now has a new network all its values. (On the CPU, running statistics move in the backward pass.)
            self._good = snapshot(self.net)
        losses = self.loss_function(scores, labels)
        if not isinstance(losses, mx.nd.NDArray) or losses.shape != (len(labels),):
            raise ValueError(f'loss must give one value for each image, an array of shape ({len(labels)},), and gave '
                             f'{show(losses)} for batch {number}: leave out the mean or the sum over the batch')
        self._results.append((scores, labels, losses))
        return losses * self.progress.loss_scale if self.mixed else losses

    def step(self):
        """Update the parameters from the gradients of the batch; DivergenceError if anything is not finite.

        With several workers the sums are those over all of them.
        """
        progress = self.progress
        size, loss, reported_loss, right = self._sums()
        if self.workers:
            size, loss, reported_loss, right = together(self.workers, [size, loss, reported_loss, right], self.signals)
        if not math.isfinite(loss):
            if self.workers:  # it is the same in all of them
                self.workers.leave_together()
            self._diverged(f'the loss became {loss}')
        if len(self.devices) > 1:
            # What the backward pass writes into running statistics, MXNet's engine does not know of.
            mx.nd.waitall()
        try:
            if self.mixed:
                self._scaled_update(size)
            else:
                self.trainer.step(self.step_size or size)
        except UserWarning as error:
            name = str(error).partition('`')[2].partition('`')[0]
            if not name:  # a warning that somebody had made an error
                raise
            raise RuntimeError(f'parameter {name} got no gradient: the network does not use it, or got it after this '
                               "fit began. Take the layer out, freeze it (grad_req = 'null'), or begin another "
                               'fit') from error
        except (AssertionError, ValueError, TypeError, MXNetError) as error:
            if isinstance(error, MXNetError) and 'Invalid Parameter' not in str(error):
                raise
            raise RuntimeError(f'the optimizer {type(self.trainer.optimizer).__name__} fails on this network in MXNet '
                               f'itself ({type(error).__name__}: {last_line(error)}): take another, or other '
                               'optimizer_params') from error
        # It waits. So errors of this step surface here, and the time of the next batch is the loader's alone.
        name = not_finite(self.net)
        if name:
            self._diverged(f'parameter {name} became NaN or infinite')
        progress.loss_sum += reported_loss
        progress.right += right
        progress.count += size
        progress.batch += 1
        progress.seconds = time.perf_counter() - self._started

    def _scaled_update(self, size):
        """Update from gradients of the scaled loss; if they have overflowed, halve the scale and leave the step out."""
        progress = self.progress
        self.trainer.allreduce_grads()
        if first_not_finite({(i, j): gradient for i, parameter in enumerate(self.trainer._params)
                             if parameter.grad_req != 'null' for j, gradient in enumerate(parameter.list_grad())}):
            progress.loss_scale, progress.steps_at_scale = progress.loss_scale / 2, 0
            if progress.loss_scale < _LEAST_SCALE:
                self._diverged('the gradients became NaN or infinite')
            return
        self.trainer.update(size * progress.loss_scale)
        progress.steps_at_scale += 1
        if progress.steps_at_scale == _STEPS_TO_DOUBLE:
            progress.loss_scale, progress.steps_at_scale = progress.loss_scale * 2, 0

    def _sums(self):
        """Images, loss, reported loss and right answers of the batch."""
        size = right = 0
        loss = reported_loss = 0.0
        for scores, labels, losses in self._results:
            values, answers = scores.asnumpy(), labels.asnumpy()
            size += len(answers)
            right += int((values.argmax(axis=1) == answers).sum())
            # A loss function of the user's own may hide what is wrong with the scores.
            loss += _total(losses) if numpy.isfinite(values).all() else math.nan
        if self.reported_loss:
            reported_loss = sum(_total(self.reported_loss(scores, labels)) for scores, labels, _ in self._results)
        return [size, loss, reported_loss if self.reported_loss else loss, right]

    def _diverged(self, what):
        """Put the values from the start of the epoch back, and raise DivergenceError."""
        for name, parameter in self.net.collect_params().items():
            parameter.set_data(array(self._good[name], dtype=parameter.dtype))
        rate = self.trainer.learning_rate
        # Of Muon's steps clip_gradient does not bound the length.
        clip = '' if type(self.trainer.optimizer).__name__ == 'Muon' else ' or clip_gradient among the optimizer_params'
        raise DivergenceError(
            f'{what} in epoch {self.progress.epoch}, batch {self.progress.batch + 1}, at learning rate {rate:g}. Try a '
            f'learning rate of {rate / 10:g}, or a warm-up{clip}; the images are finite. The network has its values '
            'from the start of this epoch', self.history)

    def _finish_epoch(self):
        progress = self.progress
        if self.workers and not self.workers.same_everywhere(
                [value for name, value in snapshot(self.net).items()
                 if self.net.collect_params()[name].grad_req != 'null']) and self.first:
            print('note: the parameters of the workers are no longer the same to the bit: their machines or versions '
                  'round differently', flush=True)
        test_acc = None if self.test_iter is None else accuracy(self.net, self.test_iter, self.devices[0], 'test_iter')
        self.history.rows.append({
            'epoch': progress.epoch, 'loss': progress.loss_sum / progress.count,
            'train_acc': progress.right / progress.count, 'test_acc': test_acc,
            'seconds': time.perf_counter() - self._started, 'images_per_second': progress.count / progress.seconds,
            'data_seconds': progress.waited, 'learning_rate': float(self.trainer.learning_rate)})
        if self.report:
            self.report(self.history)
        self.progress = Progress(progress.epoch + 1, loader_pass=_pass_of(self._loader),
                                 loss_scale=progress.loss_scale, steps_at_scale=progress.steps_at_scale)
        if self.keeper:
            self.keeper.save(self.progress, self.history)
        if self.on_epoch:
            self.on_epoch(self.history)


def _pass_of(loader):
    """The loader's own number of its next pass, where it counts them."""
    number = plain(getattr(loader, 'epoch', None))
    return number if type(number) is int else None


def _total(losses):
    return float(losses.asnumpy().sum(dtype='float64'))


def together(workers, numbers, signals):
    """Images, loss, reported loss and right answers of a step, over all workers; [] if none has a batch left (None).

    With them the workers agree: that each has a batch, and, where one got a signal, that all end after this step.
    """
    mine = [1.0, *numbers] if numbers else [0.0] * 5
    count, size, *losses, right, interrupted, terminated = workers.total(
        [*mine, *(signals.noted == text for text in _ENDED_BY.values())])
    if count not in (0, workers.number):
        raise ValueError(f'train_iter gave {workers.number - int(count)} of the {workers.number} workers fewer batches '
                         'than the others: with kvstore dist_sync all must have equally many')
    if interrupted or terminated:
        signals.ended_by = _ENDED_BY[signal.SIGINT if interrupted else signal.SIGTERM]
    return [int(size), *losses, int(right)] if numbers else []


def article_line(history):
    """Print the line of d2lzh's `train_ch5` for the epoch that has ended."""
    # The article's line has no place for the data set: only what is not Fashion-MNIST is named.
    print(_line(history) + (f', data {history.data}' if history.data == 'synthetic' else ''), flush=True)


def report_line(history):
    """Print the line of `fit` for the epoch that has ended."""
    row = history.rows[-1]
    print(f'{_line(history)}, {row["images_per_second"]:.0f} images/s, lr {row["learning_rate"]:.4g}, data '
          f'{history.data}', flush=True)


def _line(history):
    row = history.rows[-1]
    test = '' if row['test_acc'] is None else f'test acc {row["test_acc"]:.3f}, '
    return (f'epoch {row["epoch"]}, loss {row["loss"]:.4f}, train acc {row["train_acc"]:.3f}, {test}'
            f'time {row["seconds"]:.1f} sec')


_ENDED_BY = {signal.SIGINT: 'interrupted', signal.SIGTERM: 'ended by SIGTERM'}


class Signals:
    """Context in which Ctrl-C and SIGTERM set `ended_by` and do not break into a training step; a second one does.

    With `workers` they set `noted` only: `together` sets `ended_by`, in all workers at once.
    """

    def __init__(self, workers=None):
        self.workers, self.noted, self.ended_by, self._former = workers, None, None, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # elsewhere signals do not arrive
            self._former = {number: signal.signal(number, self._note) for number in _ENDED_BY}
        return self

    def _note(self, number, frame):
        if self.noted:
            raise KeyboardInterrupt
        self.noted = _ENDED_BY[number]
        if not self.workers:
            self.ended_by = self.noted

    def __exit__(self, *_):
        for number, former in self._former.items():
            signal.signal(number, former)
