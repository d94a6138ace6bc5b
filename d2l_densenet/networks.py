"""Networks by name: the article's, and every DenseNet that the paper names."""

import difflib

from .builder import DenseNet

__all__ = ['NETWORKS', 'densenet']


def _imagenet(growth_rate, num_init_features, *block_config):
    """A DenseNet-BC for ImageNet: a row of the paper's Table 1."""
    return {'growth_rate': growth_rate, 'block_config': block_config, 'num_init_features': num_init_features,
            'bottleneck': 4, 'compression': 0.5, 'stem': 'imagenet', 'bias': False, 'classes': 1000, 'in_channels': 3}


def _cifar(depth, growth_rate, bc=False):
    """A DenseNet for CIFAR-10: a row of the paper's Table 2.

    The depth counts the convolutions (two in a bottleneck layer), the two transitions, the stem and the classifier.
    """
    num_convs = (depth - 4) // (6 if bc else 3)
    return {'growth_rate': growth_rate, 'block_config': (num_convs,) * 3,
            'num_init_features': 2 * growth_rate if bc else 16, 'bottleneck': 4 if bc else None,
            'compression': 0.5 if bc else 1.0, 'stem': 'cifar', 'bias': False, 'classes': 10, 'in_channels': 3}


#: Arguments of `DenseNet` for each name, each with the shape (C, H, W) of the images it was published for.
NETWORKS = {
    'article': ({}, (1, 48, 48)),  # article 001: the defaults
    'densenet121': (_imagenet(32, 64, 6, 12, 24, 16), (3, 224, 224)),
    'densenet169': (_imagenet(32, 64, 6, 12, 32, 32), (3, 224, 224)),
    'densenet201': (_imagenet(32, 64, 6, 12, 48, 32), (3, 224, 224)),
    'densenet264': (_imagenet(32, 64, 6, 12, 64, 48), (3, 224, 224)),
    'densenet161': (_imagenet(48, 96, 6, 12, 36, 24), (3, 224, 224)),
    'densenet_40_12': (_cifar(40, 12), (3, 32, 32)),
    'densenet_100_12': (_cifar(100, 12), (3, 32, 32)),
    'densenet_100_24': (_cifar(100, 24), (3, 32, 32)),
    'densenet_bc_100_12': (_cifar(100, 12, bc=True), (3, 32, 32)),
    'densenet_bc_250_24': (_cifar(250, 24, bc=True), (3, 32, 32)),
    'densenet_bc_190_40': (_cifar(190, 40, bc=True), (3, 32, 32)),
}


def densenet(name, **overrides):
    """Build a DenseNet by its name, with other arguments of `DenseNet` in the place of its own where given.

    Parameters
    ----------
    name : str
        ``'article'``; for ImageNet (Table 1 of the paper, and -161 of the authors' code) ``'densenet121'``, ``'...169'``,
        ``'...201'``, ``'...264'``, ``'...161'``; for CIFAR (Table 2, depth and growth rate) ``'densenet_40_12'``,
        ``'densenet_100_12'``, ``'densenet_100_24'``, ``'densenet_bc_100_12'``, ``'densenet_bc_250_24'``,
        ``'densenet_bc_190_40'``.
    **overrides
        Arguments of `DenseNet`.

    Returns
    -------
    DenseNet

    Raises
    ------
    ValueError
        If the name is unknown, or an argument is out of its range.

    Examples
    --------
    >>> net = densenet('densenet_bc_100_12', in_channels=1)
    >>> net.config['block_config'], net.config['num_init_features']
    ([16, 16, 16], 24)
    """
    arguments, _ = known_name(name, NETWORKS)
    return DenseNet(**{**arguments, **overrides})


def known_name(name, table):
    """``table[name]``, or a ValueError that lists the names and the nearest of them."""
    if name not in table:
        near = difflib.get_close_matches(str(name).lower(), table, n=1, cutoff=0.5)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise ValueError(f'name must be one of {", ".join(table)}; got {name!r}.{hint}')
    return table[name]
