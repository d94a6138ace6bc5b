"""Training of any Gluon classifier: `fit`, and the article's `train_ch5`."""

import contextlib

import mxnet as mx
import numpy
from mxnet import gluon
from mxnet.util import is_np_array

from ._common.arguments import a_seed, gluon_block, number, positive_int, share, show, switch
from ._common.batches import iterable
from ._common.disk import a_path
from .evaluation import devices_of, evaluate_accuracy, place, places, predict
from .execution import recompute
from .execution.mixed_precision import MixedPrecision, check_dtype
from .history import DivergenceError, History
from .optimizers import make_trainer, own_optimizer
from .runs.checkpoints import Checkpoints
from .runs.resume import Keeper, settings_of
from .runs.session import Session, article_line, report_line
from .runs.workers import check_kvstore, join_workers

__all__ = ['DivergenceError', 'History', 'evaluate_accuracy', 'fit', 'predict', 'train_ch5']


def fit(net, train_iter, test_iter=None, num_epochs=5, *, optimizer='sgd', optimizer_params=None,
        lr_scheduler=None, loss=None, label_smoothing=0.0, ctx=None, seed=None, progress=True, on_epoch=None,
        checkpoint_dir=None, checkpoint_seconds=60, resume=False, kvstore='device', dtype='float32',
        data_on_device=False):
    """Train a classifier and return its history.

    Each step takes the gradient of the mean loss over the images of the batch, including a short last one. The
    shuffling has the loader's own seed; `seed` covers what MXNet and NumPy draw: initial values that Gluon defers to
    the first batch, dropout. Nothing that is passed in changes, except the network: the same call can be made again.

    Ctrl-C (in a notebook: Interrupt) and SIGTERM end the run after the batch that is being computed, and the history so
    far is returned, with ``stopped`` set. A second Ctrl-C ends it at once.

    With a `checkpoint_dir`, a run that was ended or killed is resumed by the same call with ``resume=True``. On the
    same machine with the same versions and number of threads its parameters are then the same, to the bit, as if
    nothing had happened. That holds for an `ImageLoader`, and for any loader that gives the same batches in each new
    process, or shuffles by NumPy's generator as Gluon's ``DataLoader`` does; for networks whose only random layers are
    ``nn.Dropout``; and for optimizers and schedulers that remember numbers and arrays alone (not ``'lbsgd'``).

    With ``kvstore='dist_sync'`` this process is one worker of a job of many (docs/distributed/README.md), which takes
    an equal part of each batch of an `ImageLoader`; any other loader must give the worker's own part, and the same
    number of batches in each worker. Each worker takes the same step, along the gradient of the mean loss over the
    whole batch. Batch normalization takes the mean and variance of each part. The worker with rank 0 evaluates, prints,
    calls `on_epoch` and writes the checkpoints, from which all workers resume; its running statistics are kept.

    Parameters
    ----------
    net : mxnet.gluon.Block
        Initialized; maps (N, C, H, W) to scores (N, classes).
    train_iter, test_iter : iterable
        Each pass yields (X, y): images (N, C, H, W) and integer labels (N,), in the array mode that is on.
    num_epochs : int, >= 1
    optimizer : str or mxnet.optimizer.Optimizer
        As for ``gluon.Trainer``; ``'muon'`` is `Muon`.
    optimizer_params : dict, optional
        As for ``gluon.Trainer``. Without a learning rate here, the scheduler's applies; without a scheduler, 0.1 for
        ``'sgd'`` and MXNet's own default for any other.
    lr_scheduler : mxnet.lr_scheduler.LRScheduler, optional
        Called with the number of the update.
    loss : callable, optional
        (scores, labels) -> one loss for each image, such as a ``gluon.loss.Loss``; default: softmax cross-entropy.
    label_smoothing : float, 0 <= label_smoothing < 1, default 0
        Share of each target that is spread evenly over all classes (Szegedy et al., arXiv:1512.00567). The history
        still holds the cross-entropy with the true labels.
    ctx : mxnet.Context or list of them, optional
        Device, by default the one that the network is on. With several, each takes a part of the batch: the step is
        that of one device, except for batch normalization, which takes the mean and variance of each part and keeps
        running ones on each device. Accuracy is evaluated on the first.
    seed : int, optional
    progress : bool
        Print a line for each epoch, and show a bar where the output is a terminal or a notebook.
    on_epoch : callable, optional
        Called with the history after each epoch.
    checkpoint_dir : str or pathlib.Path, optional
        Directory of the run's checkpoints, one run in each. The newest two are kept.
    checkpoint_seconds : float, >= 0, default 60
        Least time between two checkpoints within an epoch; there is one after each epoch in any case.
    resume : bool, default False
        Go on from the newest good checkpoint in `checkpoint_dir`, or start if there is none.
    kvstore : {'device', 'dist_sync'}
        What adds up the gradients: the devices of this process, or the servers of a job of many, which the DMLC
        environment variables describe. A process can train once in such a job.
    dtype : {'float32', 'float16', 'bfloat16'}
        Other than ``'float32'``: mixed precision. ``'bfloat16'``, for a CPU with AVX-512: convolutions on maps whose
        channels are a multiple of 16, and what lies between them, compute in it. On an AMD EPYC with ``avx512_bf16``
        steps are shorter, on an Intel Xeon with it longer: try. ``'float16'``: convolutions and dense layers; it
        needs a GPU, **on which it has not been run: no card could be had**. All else stays in float32, and so does
        evaluation. The loss is scaled so that small gradients do not vanish; a step whose gradients overflow is left
        out, and the scale halved.
    data_on_device : bool, default False
        Whether to copy the whole data set of an `ImageLoader` to the (first) device once, one byte for each pixel, and
        to make the same batches there. It spares a GPU from waiting for the loader; **on a card it has not been run**.

    Returns
    -------
    History

    Raises
    ------
    DivergenceError
        If the loss or a parameter becomes NaN or infinite; the network then has its values from the start of that
        epoch.
    ResumeError
        A ValueError: if the checkpoints belong to a run with other settings (it says which), if there are some and
        `resume` is False, or if another process writes to `checkpoint_dir`.
    ValueError, TypeError
        If an argument is unusable.

    Examples
    --------
    >>> from d2l_densenet import DenseNet
    >>> net = DenseNet(2, (1, 1), 4, stem='cifar', classes=2)
    >>> net.initialize()
    >>> batches = [(mx.nd.ones((4, 1, 12, 12)), mx.nd.array([0, 1, 0, 1]))]
    >>> fit(net, batches, num_epochs=2, optimizer_params={'learning_rate': 0.1}, progress=False)['learning_rate']
    [0.1, 0.1]
    """
    if kvstore != 'device':
        check_kvstore(kvstore)
    _check(net, train_iter, test_iter, num_epochs)
    optimizer = own_optimizer(optimizer, optimizer_params, lr_scheduler)
    loss, reported_loss = _losses(loss, label_smoothing)
    if on_epoch is not None and not callable(on_epoch):
        raise TypeError(f'on_epoch must be callable or None, got {show(on_epoch)}')
    switch('progress', progress)
    if checkpoint_dir is not None:
        a_path('checkpoint_dir', checkpoint_dir)
    number('checkpoint_seconds', checkpoint_seconds)
    if switch('resume', resume) and checkpoint_dir is None:
        raise ValueError('resume=True needs checkpoint_dir, the directory with the checkpoints')
    devices = places(net, ctx)
    for one in devices:
        check_dtype(dtype, one)
    mixed = None if dtype == 'float32' else MixedPrecision(net, dtype)
    if seed is not None:
        seed = a_seed('seed', seed)
        mx.random.seed(seed)
        numpy.random.seed(seed)
    workers = None
    if kvstore == 'dist_sync':
        workers, train_iter = join_workers(net, train_iter)
    first = not workers or workers.rank == 0
    if switch('data_on_device', data_on_device):
        from .data.on_device import OnDevice  # here, because most runs do without
        train_iter = OnDevice(train_iter, devices[0], 'train_iter')
        test_iter = None if test_iter is None else OnDevice(test_iter, devices[0], 'test_iter')
    trainer = make_trainer(net, optimizer, kvstore=workers.store if workers else kvstore)
    session = Session(
        net, trainer, loss, devices, reported_loss, test_iter=test_iter if first else None,
        report=report_line if progress and first else None, on_epoch=on_epoch if first else None, seed=seed,
        workers=workers, mixed=mixed)
    if checkpoint_dir is None:
        return _train(session, train_iter, num_epochs)
    with Checkpoints(checkpoint_dir, new=not resume) if first else contextlib.nullcontext() as store:
        settings = settings_of(net, train_iter, trainer, loss, seed, dtype)
        session.keeper = Keeper(store, net, trainer, settings, checkpoint_seconds, workers)
        return _train(session, train_iter, num_epochs)


def train_ch5(net, train_iter, test_iter, batch_size, trainer, ctx, num_epochs):
    """Train as the function of this name in d2lzh does, printing the article's line for each epoch.

    A step divides the summed gradient by `batch_size`, even for a short last batch.

    Parameters
    ----------
    net, train_iter, test_iter
        As for `fit`; `net` initialized on `ctx`.
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

    Examples
    --------
    >>> from d2l_densenet import DenseNet
    >>> net = DenseNet(2, (1, 1), 4, stem='cifar', classes=2)
    >>> net.initialize()
    >>> batches = [(mx.nd.ones((4, 1, 12, 12)), mx.nd.array([0, 1, 0, 1]))]
    >>> trainer = mx.gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
    >>> train_ch5(net, batches, batches, 4, trainer, mx.cpu(), 1)  # doctest: +ELLIPSIS
    training on cpu(0)
    epoch 1, loss ..., train acc ..., test acc ..., time ... sec
    ...
    """
    positive_int('batch_size', batch_size)
    _check(net, train_iter, test_iter, num_epochs)
    if not isinstance(trainer, gluon.Trainer):
        raise TypeError(f'trainer must be a gluon.Trainer, got {show(trainer)}')
    ctx = place(net, ctx, 'training')
    if len(devices_of(net)) > 1:
        raise ValueError(f'ctx must be the only device of net, which is on {devices_of(net)}: fit trains on several')
    own = {id(parameter) for parameter in net.collect_params().values()}
    strangers = [parameter.name for parameter in trainer._params if id(parameter) not in own]
    if strangers:
        raise ValueError(f'trainer must be made from the parameters of net, gluon.Trainer(net.collect_params(), ...), '
                         f'and has {len(strangers)} others, the first {strangers[0]}')
    print('training on', ctx)
    session = Session(net, trainer, gluon.loss.SoftmaxCrossEntropyLoss(), [ctx], test_iter=test_iter,
                      report=article_line, step_size=batch_size)
    return _train(session, train_iter, num_epochs)


def _train(session, train_iter, num_epochs):
    """The loop that `fit` and `train_ch5` share."""
    net, loss = session.forward, session.loss
    with session.running(train_iter):
        for _ in session.epochs(num_epochs):
            for X, y in session.batches(train_iter):
                with recompute.record():
                    losses = [loss(net(part), labels) for part, labels in session.split(X, y)]
                recompute.backward(losses)
                session.step()
    return session.history


class SmoothedCrossEntropyLoss(gluon.loss.SoftmaxCrossEntropyLoss):
    """Softmax cross-entropy with targets of ``1 - smoothing`` on the label and ``smoothing / classes`` on every class.
    """

    def __init__(self, smoothing):
        super().__init__()
        self._smoothing = smoothing

    def hybrid_forward(self, F, pred, label):
        # The cross-entropy is linear in the target: a part for the label and a part for all classes alike.
        log_softmax = F.npx.log_softmax if is_np_array() else F.log_softmax
        on_all = -log_softmax(pred, axis=-1).mean(axis=-1)
        return (1 - self._smoothing) * super().hybrid_forward(F, pred, label) + self._smoothing * on_all


def _losses(loss, label_smoothing):
    """The loss to train, and the one to report where that is another."""
    plain = gluon.loss.SoftmaxCrossEntropyLoss()
    if loss is not None and not callable(loss):
        raise TypeError(f'loss must be callable or None, got {show(loss)}')
    label_smoothing = share('label_smoothing', label_smoothing)
    if not label_smoothing:
        return loss or plain, None
    if loss is not None:
        raise ValueError('label_smoothing goes with the default loss; give one of the two')
    return SmoothedCrossEntropyLoss(label_smoothing), plain


def _check(net, train_iter, test_iter, num_epochs):
    gluon_block('net', net)
    positive_int('num_epochs', num_epochs)
    iterable('train_iter', train_iter)
    if test_iter is not None:
        iterable('test_iter', test_iter)
