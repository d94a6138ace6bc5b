"""Muon, an optimizer that MXNet lacks, and the optimizer that `fit` makes from its arguments."""

import collections
import copy
import os

import mxnet as mx
import numpy
from mxnet import gluon

from ._common.arguments import number, share, show

__all__ = ['Muon']


@mx.optimizer.register
class Muon(mx.optimizer.Optimizer):
    """Muon: momentum whose step for each convolution is made orthogonal.

    A convolution's weight, seen as a matrix with one row for each output channel, moves along the nearest
    (semi-)orthogonal matrix to its Nesterov momentum, found by five Newton-Schulz iterations, so that all directions
    advance equally. All other parameters (scales, shifts, biases, dense layers) take the step of MXNet's ``'nag'``.
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
    https://kellerjordan.github.io/posts/muon/. ``gluon.Trainer`` knows ``'muon'`` once this module is imported.

    Parameters
    ----------
    learning_rate : float, default 0.02
        For convolutions. A step of one orthogonal r x c matrix times the rate times sqrt(max(1, r / c)).
    momentum : float, 0 <= momentum < 1, default 0.9
    others : float, default 5
        Factor by which the rate of all other parameters is higher.
    wd : float, default 0
        Weight decay: each step takes ``rate * wd`` of the weight away.
    **kwargs
        As for ``mxnet.optimizer.Optimizer``: ``lr_scheduler``, ``rescale_grad``, ``clip_gradient`` ...

    Examples
    --------
    >>> net = mx.gluon.nn.Conv2D(8, 3)
    >>> net.initialize()
    >>> trainer = mx.gluon.Trainer(net.collect_params(), 'muon', {'learning_rate': 0.02})
    """

    def __init__(self, learning_rate=0.02, momentum=0.9, others=5.0, **kwargs):
        if learning_rate is None:
            learning_rate = kwargs['lr_scheduler'].base_lr if kwargs.get('lr_scheduler') else 0.02
        number('learning_rate', learning_rate)
        if kwargs.get('wd') is not None:
            number('wd', kwargs['wd'])
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = share('momentum', momentum)
        self.others = number('others', others)
        self.aggregate_num = 2 ** 16  # how many parameters `gluon.Trainer` hands over at a time: all

    def create_state(self, index, weight):
        return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype)

    def update(self, index, weight, grad, state):
        """Update a parameter, or all of a list of them, in fewer operators."""
        if not isinstance(index, (list, tuple)):
            index, weight, grad, state = [index], [weight], [grad], [state]
        self._update_count(index)
        common = {'momentum': self.momentum, 'rescale_grad': self.rescale_grad,
                  **({'clip_gradient': self.clip_gradient} if self.clip_gradient else {})}
        convolutions, directions = [], []
        for i, w, g, mean in zip(index, weight, grad, state):
            # The same memory as classic arrays, whichever array mode is on.
            w, g, rate, wd = w.as_nd_ndarray(), g.as_nd_ndarray(), self._get_lr(i), self._get_wd(i)
            if w.ndim < 3:
                mx.nd.nag_mom_update(w, g, mean, out=w, lr=rate * self.others, wd=wd, **common)
                continue
            direction = mx.nd.zeros_like(w)  # from which a step of -1 leads to g + momentum * mean
            mx.nd.nag_mom_update(direction, g, mean, out=direction, lr=-1, wd=0, **common)
            convolutions.append((w, rate, wd))
            directions.append(direction.reshape((w.shape[0], -1)))
        for (w, rate, wd), step in zip(convolutions, _orthogonalized(directions)):
            scale = max(1, step.shape[0] / step.shape[1]) ** 0.5
            mx.nd.sgd_update(w, step.reshape(w.shape), out=w, lr=rate * scale, wd=wd / scale)

    def update_multi_precision(self, index, weight, grad, state):
        if self.multi_precision and isinstance(index, (list, tuple)):
            for one in zip(index, weight, grad, state):
                super().update_multi_precision(*one)
        else:
            super().update_multi_precision(index, weight, grad, state)


def _orthogonalized(matrices):
    """For each a matrix with its singular vectors and values of about 1 (0.7 to 1.2, less for tiny ones)."""
    # An iteration multiplies X from the left by P = a I + b A + c A A, where A = X X'. As P and A commute, A goes to
    # P A P, and the small square matrices are all that the iterations need: those of one size go together. The first X
    # has Frobenius norm 1.
    wide = [matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T for matrix in matrices]
    steps, places = [None] * len(wide), collections.defaultdict(list)
    for place, X in enumerate(wide):
        places[X.shape[0]].append(place)
    # Coefficients of the quintic in the source named above: steep at 0, so that five rounds suffice.
    a, b, c = 3.4445, -4.7750, 2.0315
    for size, group in places.items():
        A = mx.nd.stack(*[mx.nd.linalg.syrk(wide[place]) for place in group])
        identity = mx.nd.eye(size, ctx=A.context, dtype=A.dtype).expand_dims(0)
        square = mx.nd.broadcast_mul(A, identity).sum(axis=(1, 2), keepdims=True) + 1e-14
        A, product = mx.nd.broadcast_div(A, square), None
        for _ in range(5):
            P = mx.nd.broadcast_add(mx.nd.linalg.gemm(A, A, A, alpha=c, beta=b), a * identity)
            product = P if product is None else mx.nd.linalg.gemm2(P, product)
            A = mx.nd.linalg.gemm2(mx.nd.linalg.gemm2(P, A), P)
        product = mx.nd.broadcast_div(product, square.sqrt())
        for place, one in zip(group, product):
            step = mx.nd.dot(one, wide[place])
            steps[place] = step if wide[place] is matrices[place] else step.T
    return steps


def own_optimizer(optimizer, params=None, lr_scheduler=None):
    """A new optimizer from the arguments of `fit`, which stay as they are."""
    known = mx.optimizer.Optimizer.opt_registry
    if not isinstance(optimizer, mx.optimizer.Optimizer) and not (
            isinstance(optimizer, str) and optimizer.lower() in known):
        raise ValueError(f'optimizer must be an mx.optimizer.Optimizer or one of {", ".join(sorted(known))}, got '
                         f'{show(optimizer)}')
    if params is not None and not isinstance(params, dict):
        raise TypeError(f"optimizer_params must be a dict such as {{'learning_rate': 0.1}}, got {show(params)}")
    _check_scheduler('lr_scheduler', lr_scheduler)
    if isinstance(optimizer, mx.optimizer.Optimizer):
        if params or lr_scheduler is not None:
            raise ValueError('optimizer_params and lr_scheduler go with the name of an optimizer; '
                             f'{optimizer!r} already has its own')
        made = copy.copy(optimizer)  # one that has made no step yet
        made.param_dict = {}
        made = copy.deepcopy(made)
        made.num_update = made.begin_num_update
        made._all_index_update_counts = {0: {}}
        made._index_update_count = made._all_index_update_counts[0]
        return made
    params = {name: value.item() if isinstance(value, numpy.generic) else value  # as a checkpoint holds it
              for name, value in (params or {}).items()}
    if params.get('lr_scheduler') is not None:
        if lr_scheduler is not None:
            raise ValueError("lr_scheduler is given, and another one as optimizer_params['lr_scheduler']: leave one "
                             'out')
        lr_scheduler = params['lr_scheduler']
        _check_scheduler("optimizer_params['lr_scheduler']", lr_scheduler)
    _set_rates(optimizer.lower(), params, copy.deepcopy(lr_scheduler))
    try:
        made = mx.optimizer.create(optimizer, **params)
    except (TypeError, AttributeError) as error:  # an unknown keyword, or a value of another type
        raise TypeError(f'optimizer_params must be what the optimizer {show(optimizer)} takes, got '
                        f'{show(params)}: {error}') from error
    if optimizer.lower() == 'sgd' and 'MXNET_OPTIMIZER_AGGREGATION_SIZE' not in os.environ:
        made.aggregate_num = 60  # so many weights are updated by one operator; MXNet's own 4 cost time
    return made


def _check_scheduler(name, scheduler):
    if scheduler is not None and not isinstance(scheduler, mx.lr_scheduler.LRScheduler):
        raise TypeError(f'{name} must be an mx.lr_scheduler.LRScheduler, got {show(scheduler)}')


def _set_rates(optimizer, params, scheduler):
    """Let the parameters of an optimizer and its scheduler agree on the learning rate."""
    rate = params.get('learning_rate')
    if rate is not None:
        number("optimizer_params['learning_rate']", rate)
    elif scheduler is not None:
        params['learning_rate'] = scheduler.base_lr  # MXNet would give the scheduler the optimizer's default
    elif optimizer == 'sgd':
        params['learning_rate'] = 0.1
    if scheduler is not None:
        params['lr_scheduler'] = scheduler
        for name in vars(scheduler).keys() & {'base_lr', 'base_lr_orig', 'warmup_final_lr'} if rate is not None else ():
            setattr(scheduler, name, rate)  # MXNet would set the first alone, which some do not read


def make_trainer(net, optimizer, kvstore='device'):
    """The ``gluon.Trainer`` that `fit` uses, with an optimizer from `own_optimizer`."""
    if {parameter.grad_req for parameter in net.collect_params().values()} == {'null'}:
        raise ValueError("all parameters of net are frozen (their grad_req is 'null'): there is nothing to train")
    # On several devices each updates its own copy, and so does each worker: then the optimizer's state is where a
    # checkpoint looks for it.
    return gluon.Trainer(net.collect_params(), optimizer, kvstore=kvstore, update_on_kvstore=False)
