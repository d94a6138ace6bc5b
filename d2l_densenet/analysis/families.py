"""The recorded runs of ResNets and DenseNets of several widths, records/families.json (benchmarks/families.py)."""

import base64

import numpy

from .._common.arguments import show
from .._common.disk import record

__all__ = ['recorded_families']


def recorded_families(**wanted):
    """The recorded runs that have these values, in the order of their seeds.

    Parameters
    ----------
    **wanted
        Such as ``experiment='curves'``, ``network='DenseNet'``, ``width=16``, ``seed=0``.

    Returns
    -------
    list of dict
        Each with the settings (``experiment``, ``network``, ``width``, ``dropout``, ``images``, ``epochs``, ``rate``,
        ``seed``), accuracies and losses (``train_acc``, ``validation_acc``, ``test_acc``, ``train_loss``, ...), the
        ``seconds`` of processor time that training took, and ``right``: for each test image, in the data set's
        order, whether it was classified correctly. A value that no run has is a ValueError.

    Examples
    --------
    >>> run, = recorded_families(experiment='curves', network='DenseNet', width=16, seed=0)
    >>> run['right'].shape, bool(run['right'].mean() == run['test_acc'])
    ((10000,), True)
    """
    runs = record('families.json')['runs']
    for key, value in wanted.items():
        known = sorted({run[key] for run in runs if key in run and key != 'right'})
        if value not in known:
            others = ', '.join(map(str, known[:9])) or 'other settings'
            raise ValueError(f'no recorded run has {key} = {show(value)}, only {others}')
    found = [{**run, 'right': numpy.unpackbits(numpy.frombuffer(base64.b64decode(run['right']), 'uint8')).astype(bool)}
             for run in runs if all(run[key] == value for key, value in wanted.items())]
    return sorted(found, key=lambda run: run['seed'])
