"""Training and evaluation of any Gluon classifier: `fit`, the article's `train_ch5`, `predict`."""

import contextlib
import dataclasses
import json
import math
import os
import signal
import sys
import threading
import time

import mxnet as mx
import numpy
from mxnet import gluon
from mxnet.util import is_np_array

from . import optimizers  # noqa: F401  (optimizers: so that gluon.Trainer knows 'muon')
from ._common import arguments as _checks
from ._common.arguments import a_seed, positive_int, share, show
from ._common.batches import a_batch, iterable, labels_of
from ._common.disk import a_path, parse_json
from ._common.engine import surfacing
from .execution import recompute
from .runs.checkpoints import Checkpoints, ResumeError
from .runs.resume import Keeper, Progress, draws_in_training, settings_of, share_parameters
from .runs.workers import check_kvstore, join

__all__ = ['fit', 'train_ch5', 'evaluate_accuracy', 'predict', 'History', 'DivergenceError']


@dataclasses.dataclass
class History:
    """What a training run did, epoch by epoch.

    Attributes
    ----------
    rows : list of dict
        One a finished epoch: ``epoch`` (from 1), ``loss`` (mean over the training images), ``train_acc`` and
        ``test_acc`` (0 to 1; the second None without test data), ``seconds`` (whole epoch, evaluation included),
        ``images_per_second`` (training part), ``data_seconds`` (waiting for the loader), ``learning_rate``
        (of the last step).
    data : str
        Name of the data set.
    stopped : str or None
        Why the run ended early, if it did.

    ``history['loss']`` is a column as a list.
    """

    columns = ('epoch', 'loss', 'train_acc', 'test_acc', 'seconds', 'images_per_second', 'data_seconds',
               'learning_rate')

    rows: list = dataclasses.field(default_factory=list)
    data: str = 'unnamed data'
    stopped: str | None = None

    def __getitem__(self, column):
        return [row[column] for row in self.rows]

    def __len__(self):
        return len(self.rows)

    def to_json(self):
        """The history as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text):
        """The history that `to_json` wrote; ValueError if `text` is something else."""
        return cls.from_dict(parse_json(text))

    @classmethod
    def from_dict(cls, values):
        """The history whose attributes are `values`; ValueError if they are something else."""
        fits = isinstance(values, dict) and values.keys() == {'rows', 'data', 'stopped'}
        if not fits or not isinstance(values['rows'], list) or not isinstance(values['data'], str) or not isinstance(
                values['stopped'], (str, type(None))):
            raise ValueError('this JSON is not a training history: rows, data and stopped are expected')
        for number, row in enumerate(values['rows'], 1):
            if not isinstance(row, dict) or not row.keys() <= set(cls.columns) or not all(
                    type(value) in (int, float) and abs(value) < 1e300 or value != value or
                    name == 'test_acc' and value is None for name, value in row.items()):
                raise ValueError(f'row {number} of this training history must have numbers under some of '
                                 f'{", ".join(cls.columns)}, got {show(row)}')
        return cls(**values)


class DivergenceError(RuntimeError):
    """The loss became NaN or infinite. `history` holds the epochs before."""

    def __init__(self, message, history):
        super().__init__(message)
        self.history = history


def fit(net, train_iter, test_iter=None, num_epochs=5, *, optimizer='sgd', optimizer_params=None,
        lr_scheduler=None, loss=None, label_smoothing=0.0, ctx=None, seed=None, progress=True, on_epoch=None,
        checkpoint_dir=None, checkpoint_seconds=60, resume=False, kvstore='device'):
    """Train a classifier and return its history.

    Each step takes the gradient of the mean loss over the images of the batch, also of a short last one. The
    shuffling has the loader's own seed; `seed` covers what MXNet and NumPy draw: initial values that Gluon
    defers to the first batch, dropout.

    Ctrl-C (in a notebook: Interrupt) and SIGTERM end the run after the batch that is being computed, and the history so
    far is returned, with ``stopped`` set. A second Ctrl-C ends it at once.

    With a `checkpoint_dir` a run that was ended, or killed, is resumed by the same call with ``resume=True``. On the
    same machine with the same versions and number of threads its parameters then come out the same, to the bit, as if
    nothing had happened. That holds for an `ImageLoader`, and for any loader that gives the same batches in each new
    process (shuffling included), and for networks whose only random layers are ``nn.Dropout``.

    With ``kvstore='dist_sync'`` this process is a worker of a job of many (docs/distributed/README.md). Each worker
    takes an equal part of each batch of an `ImageLoader`; any other loader must give the worker's own part, and as many
    batches in each worker. The parameter servers add up the gradients, each worker takes the same step, of the gradient
    of the mean loss over the whole batch: learning rate and batch size mean what they mean in one process. Batch
    normalisation takes the mean and variance of each part. The worker with rank 0 evaluates, prints, calls `on_epoch`
    and writes the checkpoints, from which all workers resume; its running statistics are those that are kept.

    Parameters
    ----------
    net : mxnet.gluon.Block
        Initialised; maps (N, C, H, W) to scores (N, classes).
    train_iter, test_iter : iterable
        Each pass yields (X, y): images (N, C, H, W) and integer labels (N,), in the array mode that is on.
    num_epochs : int, >= 1
    optimizer : str or mxnet.optimizer.Optimizer
        As for ``gluon.Trainer``; ``'muon'`` is `Muon`.
    optimizer_params : dict, optional
        As for ``gluon.Trainer``; by default a learning rate of 0.1 for ``'sgd'``, MXNet's own otherwise.
    lr_scheduler : mxnet.lr_scheduler.LRScheduler, optional
        Called with the number of the update.
    loss : mxnet.gluon.loss.Loss, optional
        Default: softmax cross-entropy.
    label_smoothing : float, 0 <= label_smoothing < 1, default 0
        Share of each target that is spread evenly over all classes (Szegedy et al., arXiv:1512.00567). The history
        holds the cross-entropy with the true labels all the same, so that losses can be compared.
    ctx : mxnet.Context or list of them, optional
        Device, or devices that share the work of each batch; by default the one that the network is on. With several,
        each takes a part of the batch, and the gradients are added up: the step is that of one device, but for batch
        normalisation, which takes the mean and variance of each part and keeps running ones on each device. Accuracy
        is evaluated on the first.
    seed : int, optional
    progress : bool
        Print a line for each epoch, and show a bar where the output is a terminal or a notebook.
    on_epoch : callable, optional
        Called with the history after each epoch.
    checkpoint_dir : str or pathlib.Path, optional
        Directory of the run's checkpoints, one run in each. The newest two stay.
    checkpoint_seconds : float, >= 0, default 60
        Least time between two checkpoints within an epoch; there is one after each epoch in any case. 0: after each
        batch.
    resume : bool, default False
        Go on from the newest good checkpoint in `checkpoint_dir`, or start if there is none.
    kvstore : {'device', 'dist_sync'}
        What adds up the gradients: the devices of this process, or the servers of a job of many, which the DMLC
        environment variables describe. A process can train once in such a job.

    Returns
    -------
    History

    Raises
    ------
    DivergenceError
        If the loss turns NaN or infinite; the network then has its values from the start of that epoch.
    ResumeError
        A ValueError: if the checkpoints belong to a run with other settings (it says which), if there are some and
        `resume` is False, or if another process writes to `checkpoint_dir`.
    ValueError, TypeError
        If an argument is unusable.
    """
    positive_int('num_epochs', num_epochs)
    if kvstore != 'device':
        check_kvstore(kvstore)
    _check_fit(net, train_iter, test_iter, optimizer, optimizer_params, lr_scheduler, loss, progress, on_epoch,
               checkpoint_dir, checkpoint_seconds, resume)
    if resume and checkpoint_dir is None:
        raise ValueError('resume=True needs checkpoint_dir, the directory with the checkpoints')
    if share('label_smoothing', label_smoothing):
        if loss is not None:
            raise ValueError('label_smoothing goes with the default loss; give one of the two')
        loss = SmoothedCrossEntropyLoss(label_smoothing)
    devices = _places(net, ctx)
    if seed is not None:
        a_seed('seed', seed)
        mx.random.seed(seed)
        numpy.random.seed(seed)
    if optimizer_params is None:
        optimizer_params = {'learning_rate': 0.1} if optimizer == 'sgd' else {}
    optimizer_params = dict(optimizer_params)
    if lr_scheduler is not None:
        optimizer_params['lr_scheduler'] = lr_scheduler
        # Gluon's optimizer would overwrite the scheduler's base rate with its own default.
        optimizer_params.setdefault('learning_rate', lr_scheduler.base_lr)
    if not isinstance(optimizer, str):
        if optimizer_params:
            raise ValueError('optimizer_params and lr_scheduler go with the name of an optimizer; '
                             f'{optimizer!r} already has its own')
        optimizer_params = None
    workers = None
    if kvstore == 'dist_sync':
        train_iter, workers = _join(net, train_iter)
        if workers.rank:
            progress = on_epoch = test_iter = None
    trainer = make_trainer(net, optimizer, optimizer_params, workers.store if workers else kvstore)
    report = _report_line if progress else None
    loss = loss or gluon.loss.SoftmaxCrossEntropyLoss()
    writes = checkpoint_dir is not None and not (workers and workers.rank)
    with Checkpoints(checkpoint_dir) if writes else contextlib.nullcontext() as store:
        if writes and not resume and store.files():
            raise ResumeError(f'checkpoint_dir {checkpoint_dir} holds the checkpoints of a run: go on with it by '
                              'resume=True, or give another directory')
        keeper = None
        if checkpoint_dir is not None:
            keeper = Keeper(store, net, trainer, settings_of(net, train_iter, trainer, loss, seed), checkpoint_seconds,
                            workers)
        try:
            history = _run(net, train_iter, test_iter, trainer, devices, num_epochs, loss, None, report, on_epoch, seed,
                           keeper, workers)
        except DivergenceError:
            if workers:  # it comes in all of them, after the same step
                workers.leave_together()
            raise
    if workers:
        workers.leave_together()
    return history


def _join(net, train_iter):
    """Connect to the other workers: this one's part of the batches, and the `Workers`."""
    if any(param._deferred_init for param in net.collect_params().values()):
        raise ValueError("kvstore 'dist_sync' needs all parameters before the first batch, and some of this network "
                         'have no shape yet: call the network on one batch first')
    workers = join()
    workers.take()
    if getattr(train_iter, 'place', None) == (0, 1) and workers.number > 1:
        train_iter = train_iter.part(workers.rank, workers.number)
    return train_iter, workers


class SmoothedCrossEntropyLoss(gluon.loss.SoftmaxCrossEntropyLoss):
    """Softmax cross-entropy with targets of ``1 - smoothing`` on the label and ``smoothing / classes`` on every class.

    **Inputs:** scores (N, classes), integer labels (N,). **Outputs:** losses (N,).
    """

    def __init__(self, smoothing, **kwargs):
        super().__init__(sparse_label=True, **kwargs)
        self._smoothing = smoothing

    def hybrid_forward(self, F, pred, label, sample_weight=None):
        # The cross-entropy is linear in the target: a part for the label and a part for all classes alike.
        on_label = super().hybrid_forward(F, pred, label, sample_weight)
        log_softmax = F.npx.log_softmax if is_np_array() else F.log_softmax
        on_all = -log_softmax(pred, axis=-1).mean(axis=-1)
        return (1 - self._smoothing) * on_label + self._smoothing * on_all


def train_ch5(net, train_iter, test_iter, batch_size, trainer, ctx, num_epochs):
    """Train as the function of this name in d2lzh does, printing the article's line for each epoch.

    A step divides the summed gradient by `batch_size`, also for a short last batch.

    Parameters
    ----------
    net : mxnet.gluon.Block
        Initialised on `ctx`.
    train_iter, test_iter : iterable
        Each pass yields (X, y), as for `fit`.
    batch_size : int, >= 1
    trainer : mxnet.gluon.Trainer
    ctx : mxnet.Context
    num_epochs : int, >= 1

    Returns
    -------
    History

    Raises
    ------
    DivergenceError
        As `fit`.
    """
    positive_int('batch_size', batch_size)
    positive_int('num_epochs', num_epochs)
    iterable('train_iter', train_iter)
    if test_iter is not None:
        iterable('test_iter', test_iter)
    if not isinstance(trainer, gluon.Trainer):
        raise TypeError(f'trainer must be a gluon.Trainer, got {show(trainer)}')
    ctx = _place(net, ctx)
    own = {id(parameter) for parameter in net.collect_params().values()}
    strangers = [parameter.name for parameter in trainer._params if id(parameter) not in own]
    if strangers:
        raise ValueError(f'trainer must be made from the parameters of net, gluon.Trainer(net.collect_params(), ...), '
                         f'and has {len(strangers)} others, the first {strangers[0]}')
    print('training on', ctx)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    return _run(net, train_iter, test_iter, trainer, [ctx], num_epochs, loss, batch_size, _article_line)


def evaluate_accuracy(net, data_iter, ctx=None, mirrored=False):
    """Share of the images that `net` classifies correctly, 0 to 1.

    Parameters
    ----------
    net : mxnet.gluon.Block
    data_iter : iterable
        Yields (X, y), as for `fit`.
    ctx : mxnet.Context, optional
        Device; by default the one that the network is on.
    mirrored : bool, default False
        Whether the scores of each image's mirror image (left to right) are added to its own.

    Raises
    ------
    TypeError, ValueError
        If the network has no values, or a batch is none: no pair of arrays, empty, with NaN or infinity, or with labels
        that are none of the network's classes. The error names the batch.
    """
    _checks.switch('mirrored', mirrored)
    return _evaluate(net, data_iter, _place(net, ctx), 'data_iter', mirrored)


def _evaluate(net, data_iter, ctx, name, mirrored=False):
    """`evaluate_accuracy` of an iterable that errors call `name`."""
    right = count = 0
    for scores, labels in _forward(net, data_iter, ctx, name, mirrored):
        right += int((scores.argmax(axis=1) == labels).sum())
        count += len(labels)
    if not count:
        raise ValueError(f'{name} gave no images: there is nothing to evaluate')
    return right / count


def _forward(net, data_iter, ctx, name, mirrored=False):
    """Scores and labels of each batch, as NumPy arrays."""
    number = 1
    # It waits in the end, as _snapshot does, for whoever reads the parameters next.
    with surfacing('this evaluation', lambda: f'batch {number} of {name}'):
        for number, item in enumerate(iterable(name, data_iter), 1):  # noqa: B007
            X, y = a_batch(name, number, item)
            X = _to(X, ctx)
            scores = net(X)
            if mirrored:
                if X.ndim != 4:
                    raise ValueError(f'mirrored needs images (N, C, H, W), and batch {number} of {name} is {X.shape}')
                scores = scores + net(X[:, :, :, ::-1])
            labels = labels_of(name, number, scores, y)
            yield scores.asnumpy(), labels


def predict(net, data_iter, ctx=None):
    """Probabilities that `net` gives to the classes of each image, with the true labels.

    Parameters
    ----------
    net : mxnet.gluon.Block
    data_iter : iterable
        Yields (X, y), as for `fit`.
    ctx : mxnet.Context, optional

    Returns
    -------
    probabilities : numpy.ndarray, (images, classes), float32
    labels : numpy.ndarray, (images,)

    Raises
    ------
    TypeError, ValueError
        As `evaluate_accuracy`.
    """
    found = list(_forward(net, data_iter, _place(net, ctx), 'data_iter'))
    if not found:
        raise ValueError('data_iter gave no images: there is nothing to predict')
    scores, labels = zip(*found)
    scores = numpy.concatenate(scores)
    powers = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True), numpy.concatenate(labels)


def _run(net, train_iter, test_iter, trainer, devices, num_epochs, loss, step_size, report, on_epoch=None, seed=None,
         keeper=None, workers=None):
    """The loop that `fit` and `train_ch5` share; `step_size` None stands for the size of each batch."""
    source = getattr(train_iter, 'source', None)
    history = History(data=getattr(source, 'name', 'unnamed data'))
    at = Progress()
    first = not workers or workers.rank == 0
    if len(devices) > 1 or workers:
        share_parameters(trainer)
    if keeper:
        at = keeper.restore(history) or at
        if at.epoch > 1 or at.batch:
            if first:
                print(f'resumed in epoch {at.epoch}, after batch {at.batch}', flush=True)
            if at.loader_pass is not None:
                train_iter.epoch = at.loader_pass
    # MXNet's generator cannot be read. So that dropout is the same in a resumed run, each step has its own seed.
    seeds = seed if seed is not None and draws_in_training(net) else None
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(surfacing('training', lambda: f'epoch {at.epoch}, batch {at.batch + 1} of '
                                                  'train_iter'))
            ended = stack.enter_context(_EndedBySignal(workers))
            while at.epoch <= num_epochs and not ended.by:
                if not _train_epoch(net, train_iter, trainer, devices, num_epochs, loss, step_size, report, history,
                                    at, seeds, keeper, ended, workers):
                    break
                if workers and not workers.same_everywhere(_snapshot(net, 'null').values()) and first:
                    print('note: the parameters of the workers are no longer the same to the bit: their machines or '
                          'versions round differently', flush=True)
                trained = at.seconds
                test_acc = None if test_iter is None else _evaluate(net, test_iter, devices[0], 'test_iter')
                history.rows.append({
                    'epoch': at.epoch, 'loss': at.loss_sum / at.count, 'train_acc': at.right / at.count,
                    'test_acc': test_acc, 'seconds': time.perf_counter() - at.started,
                    'images_per_second': at.count / trained, 'data_seconds': at.waited,
                    'learning_rate': trainer.learning_rate})
                if report:
                    report(history)
                if on_epoch:
                    on_epoch(history)
                at = Progress(at.epoch + 1, loader_pass=getattr(train_iter, 'epoch', None))
                if keeper:
                    keeper.save(at, history)
        if ended.by and at.epoch <= num_epochs:
            history.stopped = f'{ended.by} in epoch {at.epoch}, after batch {at.batch}'
            if keeper:
                keeper.save(at, history)
    except KeyboardInterrupt:
        if workers:  # the others wait for this one's gradients: there is nothing to keep together any more
            raise
        mx.nd.waitall()
        history.stopped = f'interrupted in epoch {at.epoch}, after batch {at.batch}'
    if history.stopped and first:
        how = f'; to go on: resume=True with checkpoint_dir={str(keeper.store.directory)!r}' if keeper else ''
        print(f'{history.stopped}; the network keeps what it has learnt{how}', flush=True)
    return history


def _train_epoch(net, train_iter, trainer, devices, num_epochs, loss, step_size, report, history, at, seeds, keeper,
                 ended, workers=None):
    """Train for what is left of an epoch, counting in `at`; False if a signal has ended it."""
    plain = gluon.loss.SoftmaxCrossEntropyLoss()
    at.started = time.perf_counter() - at.seconds
    if not at.batch:
        at.loader_pass = getattr(train_iter, 'epoch', None)
    good = None
    with _bar(train_iter, f'epoch {at.epoch}/{num_epochs}', report, at.batch) as bar:
        batches = iter(train_iter)
        for _ in range(at.batch):  # those that the run had before it was resumed
            if next(batches, None) is None:
                break
        if keeper:
            keeper.batches_skipped()
        while True:
            tick = time.perf_counter()
            item = next(batches, None)
            at.waited += time.perf_counter() - tick
            if item is None:
                if workers:
                    _together(workers, None, ended)
                break
            X, y = a_batch('train_iter', at.batch + 1, item)
            parts = _split(X, y, devices, trainer)
            if seeds is not None and (at.epoch, at.batch) != (1, 0):
                of_step = [seeds, at.epoch, at.batch] + ([workers.rank] if workers and workers.rank else [])
                mx.random.seed(int(numpy.random.SeedSequence(of_step).generate_state(1)[0] >> 1))
            with recompute.record():
                scores = [net(X) for X, _ in parts]
                for out, (_, part) in zip(scores, parts):
                    labels_of('train_iter', at.batch + 1, out, part)
                losses = [loss(out, y) for out, (_, y) in zip(scores, parts)]
            if good is None:
                # Only now has a new network all its values. (BN's statistics move in the backward pass.)
                good = _snapshot(net)
            recompute.backward(losses)
            batch_loss = told_loss = _total(losses)
            if isinstance(loss, SmoothedCrossEntropyLoss):
                told_loss = _total([plain(out, y) for out, (_, y) in zip(scores, parts)])
            size, right = len(y), sum(_correct(out, y) for out, (_, y) in zip(scores, parts))
            if workers:
                size, batch_loss, told_loss, right = _together(workers, [size, batch_loss, told_loss, right], ended)
            if not math.isfinite(batch_loss):
                _restore(net, good)
                raise DivergenceError(_divergence(batch_loss, at.epoch, at.batch + 1, trainer.learning_rate), history)
            if len(devices) > 1:
                # What the backward pass writes into running statistics, MXNet's engine does not know of.
                mx.nd.waitall()
            trainer.step(step_size or size)
            at.loss_sum += told_loss
            at.right += right
            at.count += size
            at.batch += 1
            bar.set_postfix_str(f'loss {at.loss_sum / at.count:.4f}', refresh=False)
            bar.update()
            # Errors of this step surface here, and the time of the next batch is the loader's alone.
            mx.nd.waitall()
            at.seconds = time.perf_counter() - at.started
            if ended.by:
                return False
            if keeper and keeper.due():
                keeper.save(at, history)
    if not at.count:
        raise ValueError('train_iter gave no batches' + (' in a second pass: give a loader that can be iterated again, '
                         'not a generator' if at.epoch > 1 else ': give a loader with images; an iterator that was '
                         'used before has none left'))
    return True


def _together(workers, numbers, ended):
    """Images, loss, told loss and right answers of a step, over all workers; [] if all have no batch left (None).

    With them the workers agree: that each has a batch, and, where one got a signal, that all end after this step.
    """
    told = [1.0, *numbers] if numbers else [0.0] * 5
    count, size, *losses, right, interrupted, terminated = workers.total(
        [*told, ended.noted == _SIGNALS[signal.SIGINT], ended.noted == _SIGNALS[signal.SIGTERM]])
    if count not in (0, workers.number):
        raise ValueError(f'train_iter gave {workers.number - int(count)} of the {workers.number} workers fewer batches '
                         'than the others: with kvstore dist_sync all must have equally many')
    if interrupted or terminated:
        ended.by = _SIGNALS[signal.SIGINT if interrupted else signal.SIGTERM]
    return [int(size), *losses, int(right)] if numbers else []


_SIGNALS = {signal.SIGINT: 'interrupted', signal.SIGTERM: 'ended by SIGTERM'}


class _EndedBySignal:
    """Context in which Ctrl-C and SIGTERM do not break into a training step, but set `by`; a second one breaks in.

    With `workers` they set `noted` only: `_together` sets `by`, in all workers at once.
    """

    def __init__(self, workers=None):
        self.workers, self.noted, self.by = workers, None, None

    def __enter__(self):
        self._former = {}
        if threading.current_thread() is threading.main_thread():  # elsewhere signals do not arrive
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._note)
        return self

    def _note(self, number, frame):
        if self.noted:
            raise KeyboardInterrupt
        self.noted = _SIGNALS[number]
        if not self.workers:
            self.by = self.noted

    def __exit__(self, *_):
        for number, former in self._former.items():
            signal.signal(number, former)


def _place(net, ctx):
    """The device to compute on, the network's parameters being there; ValueError if they have no values."""
    params = _checks.gluon_block('net', net).collect_params()
    for name, param in params.items():
        if param._data is None and not param._deferred_init:
            raise ValueError(f'the network is not initialised (parameter {name} has no values): '
                             'call net.initialize() or net.load_parameters(file) first')
    first = next(iter(params.values()), None)
    if ctx is not None:
        _checks.device('ctx', ctx)
    if first is None:
        return ctx or mx.cpu()
    here = first.list_ctx()
    if ctx is None:
        return here[0]
    if ctx not in here:
        params.reset_ctx(ctx)
    return ctx


def _check_fit(net, train_iter, test_iter, optimizer, optimizer_params, lr_scheduler, loss, progress, on_epoch,
               checkpoint_dir, checkpoint_seconds, resume):
    """Check what `fit` is given before anything is computed or written."""
    _checks.gluon_block('net', net)
    iterable('train_iter', train_iter)
    if test_iter is not None:
        iterable('test_iter', test_iter)
    known = mx.optimizer.Optimizer.opt_registry
    if not isinstance(optimizer, mx.optimizer.Optimizer) and not (
            isinstance(optimizer, str) and optimizer.lower() in known):
        raise ValueError(f'optimizer must be an mx.optimizer.Optimizer or one of {", ".join(sorted(known))}, got '
                         f'{show(optimizer)}')
    if optimizer_params is not None:
        if not isinstance(optimizer_params, dict):
            raise TypeError(f"optimizer_params must be a dict such as {{'learning_rate': 0.1}}, got "
                            f'{show(optimizer_params)}')
        if optimizer_params.get('learning_rate') is not None:
            _checks.number("optimizer_params['learning_rate']", optimizer_params['learning_rate'])
    if lr_scheduler is not None and not isinstance(lr_scheduler, mx.lr_scheduler.LRScheduler):
        raise TypeError(f'lr_scheduler must be an mx.lr_scheduler.LRScheduler, got {show(lr_scheduler)}')
    for name, value in (('loss', loss), ('on_epoch', on_epoch)):
        if value is not None and not callable(value):
            raise TypeError(f'{name} must be callable or None, got {show(value)}')
    if checkpoint_dir is not None:
        a_path('checkpoint_dir', checkpoint_dir)
    _checks.number('checkpoint_seconds', checkpoint_seconds)
    _checks.switch('progress', progress)
    _checks.switch('resume', resume)


def make_trainer(net, optimizer, optimizer_params, kvstore='device'):
    """The ``gluon.Trainer`` that `fit` uses."""
    try:
        # On several devices each updates its own copy, and so does each worker: then the optimizer's state is where a
        # checkpoint looks for it.
        trainer = gluon.Trainer(net.collect_params(), optimizer, optimizer_params, kvstore=kvstore,
                                update_on_kvstore=False)
    except (TypeError, AttributeError) as error:  # an unknown keyword, or a value of another type
        raise TypeError(f'optimizer_params must be what the optimizer {show(optimizer)} takes, got '
                        f'{show(optimizer_params)}: {error}') from error
    if optimizer == 'sgd' and 'MXNET_OPTIMIZER_AGGREGATION_SIZE' not in os.environ:
        trainer.optimizer.aggregate_num = 60  # so many weights are updated by one operator; MXNet's own 4 cost time
    return trainer


def _places(net, ctx):
    """The devices to compute on, as a list, the network's parameters being on all of them."""
    if not isinstance(ctx, (list, tuple)):
        return [_place(net, ctx)]
    if not ctx or not all(isinstance(one, mx.Context) for one in ctx) or len({str(one) for one in ctx}) < len(ctx):
        raise TypeError(f'ctx must be an mxnet device or a list of different ones, got {ctx!r}')
    for one in ctx:
        _checks.device('ctx', one)
    _place(net, None)
    if any(param.list_ctx() != list(ctx) for param in net.collect_params().values()):
        net.collect_params().reset_ctx(list(ctx))
    return list(ctx)


def _split(X, y, devices, trainer):
    """The batch in parts, one on each device: (X, y) pairs. A short batch may leave the last devices without."""
    if len(devices) == 1:
        return [(_to(X, devices[0]), _to(y, devices[0]))]
    used = devices[:len(y)]
    for idle in devices[len(used):]:
        # The gradients of all devices are added up: what an idle one still has must not count again. Trainer takes a
        # gradient that no backward pass has written for a mistake; here it is none.
        for parameter in trainer._params:
            if parameter.grad_req != 'null':
                parameter.grad(idle)[:] = 0
                parameter.data(idle)._fresh_grad = True
    return list(zip(*(gluon.utils.split_and_load(array, used, even_split=False) for array in (X, y))))


def _total(losses):
    return sum(float(part.asnumpy().sum(dtype='float64')) for part in losses)


def _to(array, ctx):
    # np mode renamed the method, and warns where the old name is used.
    return array.as_in_ctx(ctx) if isinstance(array, mx.np.ndarray) else array.as_in_context(ctx)


def _correct(scores, y):
    return int((scores.asnumpy().argmax(axis=1) == y.asnumpy()).sum())


def _snapshot(net, without=None):
    # oneDNN rearranges weights in place while a forward pass uses them, and MXNet's copy to NumPy does not wait for it:
    # now and then it read nonsense, raised "could not create a primitive descriptor", or ended the process.
    mx.nd.waitall()
    return {name: param.list_data()[0].asnumpy() for name, param in net.collect_params().items()
            if param.grad_req != without}


def _restore(net, values):
    make = mx.np.array if is_np_array() else mx.nd.array
    for name, param in net.collect_params().items():
        param.set_data(make(values[name], dtype=param.dtype))


def _divergence(value, epoch, batch, learning_rate):
    return (f'the loss became {value} in epoch {epoch}, batch {batch}, at learning rate {learning_rate:g}. Try a '
            f'learning rate of {learning_rate / 10:g}, a warm-up, or clip_gradient among the optimizer_params; '
            'the images are finite. The network has its values from the start of this epoch')


def _article_line(history):
    row = history.rows[-1]
    test = '' if row['test_acc'] is None else f'test acc {row["test_acc"]:.3f}, '
    # The article's line has no place for the data set: only what is not Fashion-MNIST is named.
    data = f', data {history.data}' if history.data == 'synthetic' else ''
    print(f'epoch {row["epoch"]}, loss {row["loss"]:.4f}, train acc {row["train_acc"]:.3f}, {test}'
          f'time {row["seconds"]:.1f} sec{data}', flush=True)


def _report_line(history):
    row = history.rows[-1]
    test = '' if row['test_acc'] is None else f'test acc {row["test_acc"]:.3f}, '
    print(f'epoch {row["epoch"]}, loss {row["loss"]:.4f}, train acc {row["train_acc"]:.3f}, {test}'
          f'time {row["seconds"]:.1f} sec, {row["images_per_second"]:.0f} images/s, '
          f'lr {row["learning_rate"]:.4g}, data {history.data}', flush=True)


def _bar(train_iter, title, report, done=0):
    """A progress bar over the batches: widgets in a notebook, nothing where the output is a file."""
    from tqdm.auto import tqdm
    shell = sys.modules['IPython'].get_ipython() if 'IPython' in sys.modules else None
    if not report or os.environ.get('TQDM_DISABLE'):
        off = True
    elif 'IPKernelApp' in getattr(shell, 'config', {}):
        off = False
    else:
        off = None  # tqdm's own rule: shown on a terminal only
    total = len(train_iter) if hasattr(train_iter, '__len__') else None
    return tqdm(total=total, initial=done, desc=title, unit='batch', leave=False, disable=off)
