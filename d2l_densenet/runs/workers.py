"""Training on many machines with MXNet's parameter server: who this process is, and what workers tell each other.

A job has one scheduler, servers and workers. Each process learns from the environment which of them it is; `import
mxnet` turns the scheduler and the servers into what they are, and does not return in them. The workers train, each on
its part of every batch, and the servers add up their gradients.
"""

import contextlib
import ctypes
import dataclasses
import os
import signal
import socket
import threading
import time
import zlib

__all__ = ['KVSTORES', 'Job', 'Workers', 'check_kvstore', 'join', 'join_workers', 'job_of']

#: What can add up gradients: the devices of this process, or the servers of a job.
KVSTORES = ('device', 'dist_sync')

ROLES = ('scheduler', 'server', 'worker')

# The scheduler may be started after the workers, on a machine that is still busy importing MXNet.
_SECONDS_FOR_SCHEDULER = 300

# Trainer numbers the parameters from 0; these keys of the parameter server are above.
_TOTAL, _LENGTH, _CONTENT = 1_000_000, 2_000_000, 2_000_001


@dataclasses.dataclass(frozen=True)
class Job:
    """What the DMLC variables say: this process's role, how many workers and servers, the scheduler's address."""

    role: str
    workers: int
    servers: int
    address: str
    port: int


def job_of(environment=None):
    """The `Job` that the DMLC variables in `environment` describe (default: this process's); ValueError if none."""
    environment = os.environ if environment is None else environment
    names = ('DMLC_ROLE', 'DMLC_NUM_WORKER', 'DMLC_NUM_SERVER', 'DMLC_PS_ROOT_URI', 'DMLC_PS_ROOT_PORT')
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise ValueError(f"kvstore 'dist_sync' needs the environment variable(s) {', '.join(missing)}: d2l-densenet "
                         'launch sets them on this machine, docs/distributed/README.md says how on several')
    if environment['DMLC_ROLE'] not in ROLES:
        raise ValueError(f'DMLC_ROLE must be one of {", ".join(ROLES)}, got {environment["DMLC_ROLE"]!r}')
    numbers = []
    for name in ('DMLC_NUM_WORKER', 'DMLC_NUM_SERVER', 'DMLC_PS_ROOT_PORT'):
        text, most = environment[name], 65535 if name == 'DMLC_PS_ROOT_PORT' else 10 ** 6
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise ValueError(f'{name} must be an integer from 1 to {most}, got {text!r}')
        numbers.append(int(text))
    return Job(environment['DMLC_ROLE'], numbers[0], numbers[1], environment['DMLC_PS_ROOT_URI'], numbers[2])


def check_kvstore(kvstore, environment=None):
    """Check that `kvstore` is one of `KVSTORES` and that the DMLC variables go with it; ValueError if not.

    Where MXNet is not yet imported, this must come first: with a DMLC_ROLE of 'server' its import waits for ever.
    """
    environment = os.environ if environment is None else environment
    if kvstore not in KVSTORES:
        hint = ' (asynchronous updates can be neither repeated nor resumed)' if 'async' in str(kvstore) else ''
        raise ValueError(f'kvstore must be one of {", ".join(map(repr, KVSTORES))}, got {kvstore!r}{hint}')
    if kvstore == 'dist_sync':
        job_of(environment)
    elif environment.get('DMLC_ROLE'):
        raise ValueError(f'DMLC_ROLE={environment["DMLC_ROLE"]} makes this process part of a job of many, but only '
                         'training with kvstore dist_sync is that: give --kvstore dist_sync, or unset DMLC_ROLE')


class Workers:
    """The workers of a job, seen from one of them. `join` makes it; `store` is for ``gluon.Trainer``.

    The worker with `rank` 0, of `number`, writes files and evaluates.
    """

    def __init__(self, store):
        self.store, self.rank, self.number = store, store.rank, store.num_workers
        self._used, self._started = False, set()
        # An error in one worker must end it. With MXNet's barrier it would wait at its exit, for ever, for the
        # others, which wait for its gradients; and nobody would see that it has failed.
        self.leave_together(False)

    def take(self):
        """Claim the parameter server for one training run; ValueError if there was one before."""
        if self._used:
            raise ValueError("with kvstore 'dist_sync' a process can train once, because the servers keep the arrays "
                             'of the first time: start the job again')
        self._used = True

    def total(self, values):
        """Sums over all workers, in float32, of each of `values` (as many in each worker), as a list of floats."""
        import mxnet as mx
        key = _TOTAL + len(values)
        mine, sums = mx.nd.array(values, ctx=mx.cpu()), mx.nd.zeros((len(values),), ctx=mx.cpu())
        if key not in self._started:
            self.store.init(key, sums)
            self._started.add(key)
        self.store.pushpull(key, mine, out=sums)
        return [float(value) for value in sums.asnumpy()]

    def from_first(self, content):
        """`content` (bytes) of the worker with rank 0, in every worker. Once in the life of a job."""
        import mxnet as mx
        import numpy

        def shared(key, array):
            out = mx.nd.zeros(array.shape, ctx=mx.cpu())
            self.store.broadcast(key, mx.nd.array(array, ctx=mx.cpu()), out=out)
            return out.asnumpy()

        content = content if self.rank == 0 else b''
        # The servers add up in float32, which holds 16 bits exactly.
        high, low = shared(_LENGTH, numpy.array(divmod(len(content), 2 ** 16), 'float32')).astype(int)
        length = int(high) * 2 ** 16 + int(low)
        if not length:
            return b''
        pairs = numpy.zeros(-(-length // 2), 'float32')
        if self.rank == 0:
            pairs[:] = numpy.frombuffer(content + b'\0' * (length % 2), '<u2')
        return shared(_CONTENT, pairs).astype('<u2').tobytes()[:length]

    def same_everywhere(self, arrays):
        """Whether the NumPy arrays are the same, to the bit, in all workers."""
        digest = 0
        for array in arrays:
            digest = zlib.crc32(array.tobytes(), digest)
        places = [0] * (2 * self.number)
        places[2 * self.rank:2 * self.rank + 2] = divmod(digest, 2 ** 16)
        digests = self.total(places)
        return digests[0::2] == digests[0:1] * self.number and digests[1::2] == digests[1:2] * self.number

    def leave_together(self, wait=True):
        """Wait at the process's exit for the others, because all workers are about to end."""
        from mxnet.base import _LIB, check_call
        check_call(_LIB.MXKVStoreSetBarrierBeforeExit(self.store.handle, ctypes.c_int(wait)))


_joined = None


def join():
    """Connect this worker to its job, once in a process, and return its `Workers`; waits until all have come.

    ValueError if the DMLC variables are unusable, or no scheduler answers.
    """
    global _joined
    if _joined:
        return _joined
    job = job_of()
    if job.role != 'worker':
        raise ValueError(f'DMLC_ROLE must be worker in a process that trains, got {job.role!r}: set it before Python '
                         'starts, then `import mxnet` makes this process the ' + job.role)
    import mxnet as mx
    _await_scheduler(job)
    print(f'waiting for {job.workers} workers and {job.servers} servers at {job.address}:{job.port}', flush=True)
    with _interruptible():
        store = mx.kv.create('dist_sync')
    _joined = Workers(store)
    print(f'this is worker {_joined.rank} of {_joined.number}', flush=True)
    return _joined


def join_workers(net, train_iter):
    """Connect to the other workers for a training run: the `Workers`, and this one's part of the batches."""
    if any(param._deferred_init for param in net.collect_params().values()):
        raise ValueError("kvstore 'dist_sync' needs all parameters before the first batch, and some of this network "
                         'have no shape yet: call the network on one batch first')
    workers = join()
    workers.take()
    if getattr(train_iter, 'place', None) == (0, 1) and workers.number > 1:
        train_iter = train_iter.part(workers.rank, workers.number)
    return workers, train_iter


def _await_scheduler(job, seconds=_SECONDS_FOR_SCHEDULER):
    """Return when something listens at the scheduler's address. MXNet would wait for it without end or word."""
    if os.environ.get('DMLC_LOCAL', '0') != '0':  # no network: sockets in /tmp
        return
    end, reason = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            socket.create_connection((job.address, job.port), timeout=5).close()
            return
        except OSError as error:
            reason = error
            time.sleep(min(0.2, seconds))
    raise ValueError(f'no scheduler answers at {job.address}:{job.port} (DMLC_PS_ROOT_URI, DMLC_PS_ROOT_PORT) within '
                     f'{seconds} s ({reason}): start it, or correct the address')


@contextlib.contextmanager
def _interruptible():
    """Let Ctrl-C end the process while it waits inside MXNet, where Python's own handler does not get its turn."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
