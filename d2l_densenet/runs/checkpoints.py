"""Checkpoints of a training run: written whole or not at all, verified when read, no pickle.

A checkpoint is one .safetensors file: arrays, and everything else as JSON in its header. The first 32 digits of its
SHA-256 are part of its name, so a damaged file is known before it is read.
"""

import fcntl
import hashlib
import json
import os
import pathlib
import re
import weakref

import numpy

from .._common.disk import a_path, parse_json, read_file, replace_file
from .._common.params import shown

__all__ = ['Checkpoints', 'ResumeError']

# Parameters, the optimizer's state and the running statistics of the largest named network come to less than 1 GB.
_MOST_BYTES = 2 ** 32

# How many of the newest stay.
_KEEP = 2

_NAME = re.compile(r'checkpoint-(\d{6})-(\d{8})-([0-9a-f]{32})\.safetensors')


# Those that are open. A process that is forked meanwhile, as a helper of a loader may be, lets go of their locks: else
# it would hold them when this one is gone.
_open = weakref.WeakSet()
os.register_at_fork(after_in_child=lambda: [store._lock.close() for store in _open])


class ResumeError(ValueError):
    """A run that cannot be resumed, or a directory that cannot be used for its checkpoints."""


class Checkpoints:
    """The checkpoints in a directory, which it holds for itself while it is open (``with Checkpoints(path) as c``).

    The newest two stay. ResumeError if another process has the directory open, if it cannot be written, or if the
    run is `new` and there are checkpoints already.
    """

    def __init__(self, directory, new=False):
        self.directory = pathlib.Path(a_path('directory', directory))
        self.new = new

    def __enter__(self):
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # Neither emptied nor followed where it is a link: the directory may be a stranger's.
            lock = os.open(self.directory / 'lock', os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            self._lock = os.fdopen(lock, 'r+')
        except OSError as error:
            raise ResumeError(f'checkpoint_dir {self.directory} cannot be written ({error.strerror}): give another '
                              'directory') from error
        try:
            # The kernel releases it when the process ends, however it ends.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ResumeError(f'another run writes its checkpoints to {self.directory}: wait until it has ended, or '
                              'give another directory') from None
        for leftover in self.directory.glob('.checkpoint-*.safetensors.*.tmp'):  # of a process killed while it wrote
            leftover.unlink(missing_ok=True)
        if self.new and self.files():
            self._lock.close()
            raise ResumeError(f'checkpoint_dir {self.directory} holds the checkpoints of a run: go on with it by '
                              'resume=True, or give another directory')
        _open.add(self)
        return self

    def __exit__(self, *_):
        self._lock.close()

    def files(self):
        """The checkpoints by name, the newest first."""
        return sorted((path for path in self.directory.iterdir() if _NAME.fullmatch(path.name)), reverse=True)

    def save(self, epoch, batch, arrays, state):
        """Write a checkpoint after `epoch` epochs and `batch` batches of the next, then remove what is too old.

        OSError if it cannot be written; the earlier ones are then as they were.
        """
        from safetensors.numpy import save

        arrays = {name: numpy.ascontiguousarray(value) for name, value in arrays.items()}
        content = save(arrays, metadata={'state': json.dumps(state)})
        digest = hashlib.sha256(content).hexdigest()[:32]
        path = self.directory / f'checkpoint-{epoch:06d}-{batch:08d}-{digest}.safetensors'
        replace_file(path, content)
        for old in self.files()[_KEEP:]:
            old.unlink(missing_ok=True)

    def newest(self):
        """The newest good checkpoint: (path, arrays, state), or None. A damaged one is renamed and named on stdout."""
        for path in self.files():
            try:
                content = read_file(path, _MOST_BYTES)
                if hashlib.sha256(content).hexdigest()[:32] != _NAME.fullmatch(path.name)[3]:
                    raise ValueError('its checksum is another')
                return path, *parsed(content)
            except (OSError, ValueError, KeyError) as error:
                aside = path.with_name(path.name + '.damaged')
                why = shown(str(error).removeprefix(f'{path} '))
                print(f'{path} is damaged ({why}): it is renamed to {aside.name}, and the one before it is tried',
                      flush=True)
                try:
                    os.replace(path, aside)
                except OSError as problem:
                    raise ResumeError(f'{path} is damaged ({why}) and cannot be renamed ({problem.strerror}): move '
                                      'it out of the directory') from None
        return None


def parsed(content):
    """Arrays and state of a checkpoint (bytes) whose checksum is right."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        header = parse_json(content[8:8 + int.from_bytes(content[:8], 'little')])
        state = parse_json(header['__metadata__']['state'])
    except (SafetensorError, KeyError, TypeError) as error:  # a KeyError also of a type that NumPy lacks
        raise ValueError(f'it is no checkpoint of a run: {error}') from error
    if not isinstance(state, dict):
        raise ValueError('it is no checkpoint of a run: its state is no object')
    return arrays, state
