"""Training in less memory: ``recompute.record()`` and ``recompute.backward(loss)``; see `execution.recompute`."""

from .execution.recompute import backward, record

__all__ = ['backward', 'record']
