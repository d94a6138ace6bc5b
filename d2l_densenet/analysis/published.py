"""What others have published about the named networks, to compare the counts with."""

__all__ = ['PUBLISHED', 'SOURCES', 'network_rows', 'network_table']

#: Where the figures come from.
SOURCES = {
    'article': 'the course: counted by hand from article 001',
    'Huang': 'Huang et al., "Densely Connected Convolutional Networks", Table 2, millions to one digit',
    'He': 'He et al., "Deep Residual Learning", Table 1, billions to one digit',
    'He2': 'He et al., "Identity Mappings in Deep Residual Networks", millions to one digit',
    'tv': 'torchvision since 0.13, num_params and _ops in the meta data of its weights',
    'Paddle': 'PaddleClas, table of models; its parameters include the running statistics',
}

#: For each name: (parameters, source) and (multiply-adds, source); None where nothing is published.
PUBLISHED = {
    'article': ((758_226, 'article'), None),
    'fashion_13_32': (None, None),
    'fashion_16_32': (None, None),
    'densenet121': ((7_978_856, 'tv'), (2.834e9, 'tv')),
    'densenet169': ((14_149_480, 'tv'), (3.36e9, 'tv')),
    'densenet201': ((20_013_928, 'tv'), (4.291e9, 'tv')),
    'densenet264': ((33.74e6, 'Paddle'), (5.82e9, 'Paddle')),
    'densenet161': ((28_681_000, 'tv'), (7.728e9, 'tv')),
    'densenet_40_12': ((1.0e6, 'Huang'), None),
    'densenet_100_12': ((7.0e6, 'Huang'), None),
    'densenet_100_24': ((27.2e6, 'Huang'), None),
    'densenet_bc_100_12': ((0.8e6, 'Huang'), None),
    'densenet_bc_250_24': ((15.3e6, 'Huang'), None),
    'densenet_bc_190_40': ((25.6e6, 'Huang'), None),
    'd2l_resnet18': (None, None),
    'resnet18': ((11_689_512, 'tv'), (1.8e9, 'He')),
    'resnet34': ((21_797_672, 'tv'), (3.6e9, 'He')),
    'resnet50': ((25_557_032, 'tv'), (3.8e9, 'He')),
    'resnet101': ((44_549_160, 'tv'), (7.6e9, 'He')),
    'resnet152': ((60_192_808, 'tv'), (11.3e9, 'He')),
    'resnet110': ((1.7e6, 'He2'), None),
    'resnet164': ((1.7e6, 'He2'), None),
    'resnet1001': ((10.2e6, 'He2'), None),
}

_COLUMNS = ('network', 'input', 'parameters: formula', 'count', 'published', 'difference', 'multiply-adds: formula',
            'count', 'published', 'difference')


def network_rows():
    """Ten texts per named network, under the headings of `network_table`; a difference is that of the count."""
    from .counting import summary
    from .formulas import network_formula

    for name, published in PUBLISHED.items():
        counted = summary(name)
        cells = [name, ' x '.join(map(str, counted.input_shape))]
        for by_formula, by_count, figure in zip(
                network_formula(name), (counted.parameters, counted.multiply_adds), published):
            cells += [f'{by_formula:,}', f'{by_count:,}', *_compared(by_count, figure)]
        yield cells


def _compared(count, figure):
    """The published figure with its source, and the difference of `count` from it."""
    if figure is None:
        return '-', '-'
    value, source = figure
    unit, letter = (1e9, 'G') if value >= 1e9 else (1e6, 'M')
    shown = f'{value:,}' if isinstance(value, int) else f'{round(value / unit, 3)} {letter}'
    return f'{shown} [{source}]', '0' if count == value else f'{100 * (count / value - 1):+.1f} %'


def network_table(rows=None):
    """The rows of `network_rows` (or those given) as a Markdown table, with the sources below."""
    lines = [_COLUMNS, ['---', '---'] + ['--:'] * 8, *(network_rows() if rows is None else rows)]
    return '\n'.join(['| ' + ' | '.join(cells) + ' |' for cells in lines] + [''] + [
        f'[{source}] {text}.  ' for source, text in SOURCES.items()]).rstrip()
