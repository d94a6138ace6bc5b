"""What long runs have left behind, so that nobody must wait for them: trained weights, and histories."""

import json
import pathlib

import mxnet as mx

from ._common.arguments import one_of
from ._common.disk import record
from .devices import usable
from .network import DenseNet

__all__ = ['recorded_runs', 'trained_network', 'weights_record']

_WEIGHTS = pathlib.Path(__file__).resolve().parent / 'weights' / 'course-seed0.safetensors'


def trained_network(ctx=None):
    """The article's network, trained on Fashion-MNIST at 48 x 48 pixels: the course's recipe, seed 0, 5 epochs.

    Its weights are part of the package; `weights_record` says how they were made and what they reach.

    Parameters
    ----------
    ctx : mxnet.Context, optional
        Device; the CPU by default.

    Returns
    -------
    DenseNet

    Examples
    --------
    >>> trained_network()(nd.zeros((2, 1, 48, 48))).shape
    (2, 10)
    """
    from .interop.checkpoints import load_pretrained  # here, because it imports safetensors

    net = DenseNet()
    net.initialize(ctx=mx.cpu() if ctx is None else usable('ctx', ctx))
    load_pretrained(net, _WEIGHTS)
    return net


def weights_record():
    """How the weights of `trained_network` were made: command, recipe, seed, data, versions, machine, and history.

    Returns
    -------
    dict

    Examples
    --------
    >>> made = weights_record()
    >>> made['recipe'], made['seed'], made['size'], len(made['history']['rows'])
    ('course', 0, 48, 5)
    """
    return json.loads(_WEIGHTS.with_suffix('.json').read_text(encoding='utf-8'))


def recorded_runs(recipe):
    """The recorded runs of a recipe, in the order of their seeds.

    Parameters
    ----------
    recipe : {'article', 'course'}

    Returns
    -------
    list of dict
        Each with ``command``, ``seed``, ``versions``, ``machine``, ... and the ``history``, which `History.from_dict`
        takes.

    Examples
    --------
    >>> [run['seed'] for run in recorded_runs('article')]
    [0, 1, 2]
    """
    one_of('recipe', recipe, ('article', 'course'))
    return [record(f'{recipe}-seed{seed}.json') for seed in range(3)]
