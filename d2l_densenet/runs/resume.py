"""What a training run consists of besides its code: written to a checkpoint, put back, and compared."""

import dataclasses
import functools
import math
import os
import platform
import time

import mxnet as mx
import numpy
from mxnet.base import MXNetError
from mxnet.gluon import nn

from mxnet_compat import cores

from .._common.arguments import show
from .._common.arrays import array
from .._common.params import shown
from ..execution.block import BOOKKEEPING
from ..history import History
from .checkpoints import ResumeError, parsed

__all__ = ['Keeper', 'Progress', 'draws_in_training', 'settings_of', 'share_parameters']


@dataclasses.dataclass
class Progress:
    """How far a run is: `epoch` from 1, finished batches of it, and its sums so far."""

    epoch: int = 1
    batch: int = 0
    loss_sum: float = 0.0
    right: int = 0
    count: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    #: The loader's own number of the pass that this epoch makes, where it has one.
    loader_pass: int | None = None
    #: What the loss is multiplied by in mixed precision, and for how many steps it has been.
    loss_scale: float = 2.0 ** 12
    steps_at_scale: int = 0


class Keeper:
    """Writes the checkpoints of one run, at most one in `seconds` within an epoch, and puts the newest one back.

    `store` is an open `Checkpoints`, or None in a worker that writes nothing; `settings`, from `settings_of`, may not
    differ when the run is resumed. The checkpoint of the first of the `workers` is put back into all of them.
    """

    def __init__(self, store, net, trainer, settings, seconds, workers=None):
        self.store, self.net, self.trainer = store, net, trainer
        self.settings, self.seconds, self.workers = settings, seconds, workers
        self._last, self._numpy, self._at_pass = time.monotonic(), None, numpy.random.get_state()

    def pass_begins(self, resumed):
        """Note where NumPy's generator is, which shuffles for some loaders; `resumed`: put it back where it was."""
        if resumed and self._at_pass:  # which the first versions did not keep
            numpy.random.set_state(self._at_pass)
        self._at_pass = numpy.random.get_state()

    def batches_skipped(self):
        """Put NumPy's generator back: only now, because a loader may draw from it for the batches that are skipped."""
        if self._numpy:
            numpy.random.set_state(self._numpy)
            self._numpy = None

    def due(self):
        """Whether it is time for a checkpoint in the middle of an epoch."""
        return self.store is not None and time.monotonic() - self._last >= self.seconds

    def save(self, progress, history):
        """Write a checkpoint; if it cannot be written, say so and go on: the earlier ones are there."""
        if self.store is None:
            return
        mx.nd.waitall()  # see evaluation.snapshot
        (kind, keys, *rest), (_, keys_at_pass, *at_pass) = numpy.random.get_state(), self._at_pass
        optimizer = self.trainer._optimizer
        arrays = {**_arrays(self.net, self.trainer), 'numpy': keys, 'numpy at pass': keys_at_pass}
        names = _names(self.net)
        state = {
            'progress': dataclasses.asdict(progress), 'history': dataclasses.asdict(history),
            'settings': self.settings, 'environment': self._environment(), 'numpy': [kind, *rest],
            'numpy at pass': [kind, *at_pass],
            'updates': {names[id(self.trainer._params[i])]: count
                        for i, count in optimizer._index_update_count.items()},
            'num_update': optimizer.num_update, 'scheduler': _scalars(optimizer.lr_scheduler),
            'optimizer': _scalars(optimizer)}
        try:
            self.store.save(progress.epoch - 1, progress.batch, arrays, state)
        except OSError as error:
            print(f'no checkpoint could be written to {self.store.directory} ({error.strerror}); the earlier ones are '
                  'as they were, and training goes on', flush=True)
        self._last = time.monotonic()

    def restore(self, history):
        """Put the newest checkpoint back into network, trainer and `history`; returns the Progress, or None."""
        found = self.store.newest() if self.store else None
        if self.workers:
            content = self.workers.from_first(found[0].read_bytes() if found else b'')
            found = ('the checkpoint of worker 0', *parsed(content)) if content and not found else found
        if found is None:
            return None
        path, arrays, state = found
        try:
            return self._restored(history, path, arrays, state)
        except ResumeError:
            raise
        # Its checksum is right, so it is not damaged: it was made so.
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, AssertionError, MXNetError) as error:
            raise ResumeError(f'{path} is no checkpoint that fit has written ({type(error).__name__}: '
                              f'{shown(str(error)[-80:])}): give another checkpoint_dir, and initialize the network '
                              'again') from error

    def _restored(self, history, path, arrays, state):
        differences = _differences(state['settings'], self.settings)
        if differences:
            raise ResumeError(f'{path} belongs to another run: ' + '; '.join(differences[:10]) +
                              '. Give the same settings, or another checkpoint_dir for a new run')
        progress = _checked(state, arrays, self.trainer)
        if self.store and state['environment'] != self._environment():
            print(f'note: {path.name} was written with {show(state["environment"])}, this is {self._environment()}: '
                  'the numbers need not be the same to the last bit', flush=True)
        for name, value in arrays.items():
            if value.dtype.kind == 'f' and not numpy.isfinite(value).all():
                raise ResumeError(f'{path} holds NaN or infinity in {shown(name)}: remove it, and the one before it is '
                                  'tried')
        _put_back(self.net, self.trainer, arrays, state)
        self._numpy, self._at_pass = (
            (state[name][0], arrays[name], *state[name][1:]) if name in state else None for name in _GENERATORS)
        history.rows[:] = state['history']['rows']
        return progress

    def _environment(self):
        found = {'python': platform.python_version(), 'mxnet': mx.__version__, 'numpy': numpy.__version__,
                 'threads': os.environ.get('OMP_NUM_THREADS') or str(cores() or 'unset')}
        return {**found, 'workers': self.workers.number} if self.workers else found


#: The state of NumPy's generator, and the one with which the loader's pass began; the first versions lack the latter.
_GENERATORS = 'numpy', 'numpy at pass'


def _checked(state, arrays, trainer):
    """The Progress in a checkpoint's `state`; an error if a number in it would lead astray what takes it as it is."""
    progress = Progress(**state['progress'])
    counts = (progress.batch, progress.right, progress.count, progress.epoch - 1, progress.steps_at_scale,
              0 if progress.loader_pass is None else progress.loader_pass, state['num_update'],
              *state['updates'].values())
    if type(progress.epoch) is not int or any(
            type(count) is not int or not 0 <= count < 2 ** 53 for count in counts):
        raise ValueError('a count that is none')
    if any(type(value) not in (int, float) or not math.isfinite(value) for value in (
            progress.loss_sum, progress.seconds, progress.waited, progress.loss_scale)) or progress.batch and not (
            progress.count and progress.seconds > 0):
        raise ValueError('sums that are none')
    rows = History.from_dict(state['history']).rows
    if any(row.keys() != set(History.columns) or not row['seconds'] > 0 for row in rows):
        raise ValueError('a history with other columns')
    # NumPy takes the place in its generator's numbers unseen, and reads beyond their end.
    for name in [name for name in _GENERATORS if name == 'numpy' or name in state]:
        kind, place, has_gauss, gauss = state[name]
        if kind != 'MT19937' or type(place) is not int or not 0 <= place <= 624 or has_gauss not in (0, 1) or not (
                math.isfinite(gauss)) or arrays[name].shape != (624,) or arrays[name].dtype != 'uint32':
            raise ValueError("no state of NumPy's generator")
    optimizer = trainer._optimizer
    for name, thing in (('scheduler', optimizer.lr_scheduler), ('optimizer', optimizer)):
        here = {} if thing is None else vars(thing)
        there = state.get(name, _scalars(thing))  # the first versions wrote none of the optimizer
        numbers = (int, float, type(None))  # None: some note a number at the first step
        if not _scalars(thing).keys() <= there.keys() <= here.keys() or any(
                not isinstance(value, numbers[:2] if type(plain(here[key])) in numbers else type(here[key]))
                for key, value in there.items()):
            raise ValueError(f'the state of another {name}')
    return progress


def settings_of(net, train_iter, trainer, loss, seed, dtype='float32'):
    """What decides a run's numbers, as JSON can hold it."""
    source = getattr(train_iter, 'source', None)
    optimizer = trainer._optimizer
    return {
        'network': {name: [list(p.shape), numpy.dtype(p.dtype).name, p.grad_req]
                    for name, p in net._collect_params_with_prefix().items()},
        'layer': dict(_layers(net, type(net).__name__)),
        'multiplier': {name: [p.lr_mult, p.wd_mult] for name, p in net._collect_params_with_prefix().items()
                       if (p.lr_mult, p.wd_mult) != (1, 1)},
        'data': [getattr(source, 'name', None), getattr(source, 'checksum', None)],
        'loader': {name: plain(getattr(train_iter, name)) for name in (
            'num_examples', 'batch_size', 'shuffle', 'flip', 'crop', 'erase', 'resize', 'image_shape', 'seed')
            if hasattr(train_iter, name)},
        'optimizer': {'name': type(optimizer).__name__, **_scalars(optimizer),
                      # They round differently.
                      **({'memory_efficient': True} if getattr(net, 'memory_efficient', False) else {}),
                      **({'dtype': dtype} if dtype != 'float32' else {})},
        'scheduler': {'name': type(optimizer.lr_scheduler).__name__, **_scalars(optimizer.lr_scheduler)},
        'scheduler list': _lists(optimizer.lr_scheduler),
        'loss': {'name': type(loss).__name__, **_scalars(loss)}, 'loss function': _named(loss),
        'seed': seed}


#: Settings that the first versions did not write.
_LATER = {'layer', 'multiplier', 'scheduler list', 'loss function'}


def _layers(block, path):
    """Each block of a network by its path, and its settings as a text."""
    settings = {name: value for name, value in _scalars(block).items()
                if name not in BOOKKEEPING and name != 'memory_efficient'}
    settings.update(getattr(block, '_kwargs', {}))
    yield path, ' '.join([type(block).__name__, *(f'{name}={value}' for name, value in settings.items())])
    for name, child in block._children.items():
        yield from _layers(child, f'{path}.{name}')


def share_parameters(trainer):
    """Copy the first device's parameters to the others now; Trainer would do it at the first step."""
    if not trainer._kv_initialized:
        trainer._init_kvstore()
    if trainer._params_to_init:
        trainer._init_params()


def draws_in_training(net, trainer):
    """Whether a layer of `net` (dropout) or the optimizer draws random numbers at each step."""
    found = [isinstance(trainer.optimizer, mx.optimizer.SGLD)]
    net.apply(lambda block: found.append(isinstance(block, nn.Dropout)))
    return any(found)


# What counts updates, is set again at each step or call, or numbers the objects of a process.
_NOT_SETTINGS = {'num_update', 'rescale_grad', '_name', '_prefix', '_active', '_out_format'}


def plain(value):
    """What JSON can hold of a setting: NumPy's numbers as Python's, and of other things their type."""
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    value = value.item() if isinstance(value, numpy.generic) else value
    return value if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__


def _named(function):
    if isinstance(function, functools.partial):
        return [_named(function.func), plain(function.args), plain(sorted(function.keywords.items()))]
    return getattr(function, '__qualname__', None)


def _scalars(thing):
    """The numbers, texts and switches among the attributes of `thing`; what counts updates is kept elsewhere."""
    return {name: plain(value) for name, value in sorted(vars(thing).items())
            if isinstance(value, (bool, int, float, str, numpy.number)) and name not in _NOT_SETTINGS} if (
                thing is not None) else {}


def _lists(thing):
    """The lists of numbers among the attributes of `thing`, such as the steps of a scheduler."""
    return {name: [*value] for name, value in sorted(vars(thing).items()) if isinstance(value, (list, tuple))
            and all(type(item) in (int, float) for item in value)} if thing is not None else {}


def _differences(old, new):
    """Settings that differ, each as a text."""
    texts = []
    for part in [part for part in new if part in old or part not in _LATER]:
        was, now = (settings[part] if isinstance(new[part], dict) else {'': settings[part]} for settings in (old, new))
        names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
        if names and part == 'network':
            texts.append(f'the network has {len(names)} other parameters')
            names = names[:1]
        texts += [f'{part} {shown(name)}: {show(was.get(name))} in the checkpoint, {show(now.get(name))} here'
                  if name else f'{part}: {show(was[name])} in the checkpoint, {show(now[name])} here' for name in names]
    return texts


def _names(net):
    """Names of the parameters by their place in the network, which do not depend on what else was built before."""
    return {id(parameter): name for name, parameter in reversed(net._collect_params_with_prefix().items())}


def _leaves(state):
    """The arrays in an optimizer's state for one parameter: None, an array, or nested tuples of them."""
    if isinstance(state, (tuple, list)):
        return [leaf for part in state for leaf in _leaves(part)]
    return [] if state is None else [state]


def _arrays(net, trainer):
    """Parameters, running statistics and the optimizer's state, as NumPy arrays."""
    names = _names(net)
    arrays = {f'parameter/{name}': parameter.data(parameter.list_ctx()[0]).asnumpy()
              for name, parameter in net._collect_params_with_prefix().items()}
    # Running statistics are each device's own; all else is the same on all.
    for name, parameter in net._collect_params_with_prefix().items():
        if parameter.grad_req == 'null':
            for device, ctx in enumerate(parameter.list_ctx()[1:], start=1):
                arrays[f'device {device}/{name}'] = parameter.data(ctx).asnumpy()
    for i, state in trainer._updaters[0].states.items():
        for number, leaf in enumerate(_leaves(state)):
            arrays[f'optimizer/{names[id(trainer._params[i])]}/{number}'] = leaf.asnumpy()
    return arrays


def _put_back(net, trainer, arrays, state):
    for name, parameter in net._collect_params_with_prefix().items():
        value = arrays[f'parameter/{name}']
        if value.dtype != parameter.dtype or value.ndim != len(parameter.shape) or any(
                there != here and here > 0 for there, here in zip(value.shape, parameter.shape)):
            raise ValueError(f'parameter {name} is {value.dtype} {value.shape}')
        parameter.set_data(array(value, dtype=value.dtype))
        if parameter._data is None:
            parameter._finish_deferred_init()
    share_parameters(trainer)
    for name, parameter in net._collect_params_with_prefix().items():
        for device, ctx in enumerate(parameter.list_ctx()[1:], start=1):
            if parameter.grad_req == 'null':  # of a run on fewer devices, the first one's
                value = arrays.get(f'device {device}/{name}', arrays[f'parameter/{name}'])
                parameter.data(ctx)[:] = array(value, dtype=value.dtype, ctx=ctx)
    _put_optimizer_back(_names(net), trainer, arrays, state)


def _put_optimizer_back(names, trainer, arrays, state):
    optimizer = trainer._optimizer
    optimizer.num_update = state['num_update']
    indices = {names[id(parameter)]: i for i, parameter in enumerate(trainer._params)}
    counts = {indices[name]: count for name, count in state['updates'].items()}
    # One dictionary of counts for each device.
    optimizer._all_index_update_counts = {device: dict(counts) for device in range(len(trainer._updaters))}
    optimizer._set_current_context(0)
    vars(optimizer).update(state.get('optimizer', {}))  # nadam's schedule, for one
    if optimizer.lr_scheduler is not None:
        vars(optimizer.lr_scheduler).update(state['scheduler'])
    for name in state['updates']:
        i = indices[name]
        for updater, data in zip(trainer._updaters, trainer._params[i].list_data()):
            # As MXNet's updater does, which shows optimizers nothing but classic arrays.
            classic = data.as_nd_ndarray() if isinstance(data, mx.np.ndarray) else data
            updater.states[i] = optimizer.create_state_multi_precision(i, classic)
            updater.states_synced[i] = True
            for number, leaf in enumerate(_leaves(updater.states[i])):
                value = arrays[f'optimizer/{name}/{number}']
                if value.shape != leaf.shape:
                    raise ValueError(f'the state of parameter {name} is {value.shape}')
                # Some optimizers make arrays of the other mode.
                like = mx.np.array if isinstance(leaf, mx.np.ndarray) else mx.nd.array
                leaf[:] = like(value, dtype=leaf.dtype, ctx=data.context)
