"""Parameters and multiply-adds by formula, on the graph, and as others have published them."""

import pytest

from d2l_densenet import (
    NETWORKS,
    RESNETS,
    DenseNet,
    densenet,
    densenet_formula,
    network_formula,
    resnet,
    resnet_formula,
    summary,
)
from d2l_densenet.analysis.published import PUBLISHED, SOURCES, _compared, network_rows, network_table
from d2l_densenet.named import OWN

# Trainable parameters and, in millions, multiply-adds as torchvision since 0.13 publishes them (`num_params` and
# `_ops` in the meta data of its weights); its ResNets from -50 on have the stride elsewhere and no biases.
TORCHVISION = {
    'densenet121': (7_978_856, 2834), 'densenet161': (28_681_000, 7728), 'densenet169': (14_149_480, 3360),
    'densenet201': (20_013_928, 4291), 'resnet18': (11_689_512, 1814), 'resnet34': (21_797_672, 3664)}
OTHERS = {'resnet50': 25_557_032, 'resnet101': 44_549_160, 'resnet152': 60_192_808}
# Millions of parameters: Huang et al., Table 2; He et al. 2016, Table 4 (pre-activation networks).
PAPERS = {
    'densenet_40_12': 1.0, 'densenet_100_12': 7.0, 'densenet_100_24': 27.2, 'densenet_bc_100_12': 0.8,
    'densenet_bc_250_24': 15.3, 'densenet_bc_190_40': 25.6, 'resnet110': 1.7, 'resnet164': 1.7}
# Billions of multiply-adds: He et al., Table 1.
HE = {'resnet18': 1.8, 'resnet34': 3.6, 'resnet50': 3.8, 'resnet101': 7.6, 'resnet152': 11.3}


@pytest.mark.parametrize('name', [*NETWORKS, *OWN, *RESNETS])
def test_counts_by_formula_by_graph_and_published(name):
    table = summary(name)
    assert (table.parameters, table.multiply_adds) == network_formula(name)
    if name in TORCHVISION:
        parameters, millions = TORCHVISION[name]
        assert table.parameters == parameters
        assert round(table.multiply_adds / 1e6) == millions
    if name in PAPERS:
        assert round(table.parameters / 1e6, 1) == PAPERS[name]
    if name in HE:
        # The paper rounds 3.66 down.
        assert abs(table.multiply_adds / 1e9 - HE[name]) < 0.07


def test_counts_that_are_known_exactly():
    assert network_formula('article')[0] == 758_226
    assert network_formula('densenet_bc_100_12')[0] == 769_162
    # He et al. give 10.2 M for ResNet-1001; with projections at the two changes of width it is 10.3 M.
    assert round(network_formula('resnet1001')[0] / 1e6, 1) == 10.3


def test_the_published_table_is_of_all_names_and_agrees_with_the_tests_figures():
    assert set(PUBLISHED) == {*NETWORKS, *OWN, *RESNETS}
    for name, (parameters, multiply_adds) in PUBLISHED.items():
        if name in TORCHVISION:
            assert parameters == (TORCHVISION[name][0], 'tv')
            if multiply_adds[1] == 'tv':
                assert round(multiply_adds[0] / 1e6) == TORCHVISION[name][1]
        if name in OTHERS:
            assert parameters == (OTHERS[name], 'tv')
        if name in PAPERS:
            assert parameters[0] == PAPERS[name] * 1e6
        if name in HE:
            assert multiply_adds[0] == HE[name] * 1e9 or multiply_adds[1] == 'tv'


def test_a_row_compares_the_count_with_what_is_published():
    rows = {row[0]: row for row in network_rows()}
    name, shape, formula, count, published, difference, *_ = rows['densenet121']
    assert (shape, formula, count, published, difference) == (
        '3 x 224 x 224', '7,978,856', '7,978,856', '7,978,856 [tv]', '0')
    assert rows['densenet_bc_100_12'][4:6] == ['0.8 M [Huang]', '-3.9 %'] and rows['d2l_resnet18'][4:6] == ['-', '-']


def test_what_neither_torchvision_nor_a_paper_has():
    """PaddleClas's table of models, He et al. 2016, Table 4, and the sum that article 001 gives."""
    assert PUBLISHED['densenet264'] == ((33.74e6, 'Paddle'), (5.82e9, 'Paddle'))
    assert PUBLISHED['resnet1001'] == ((10.2e6, 'He2'), None)
    assert PUBLISHED['article'] == ((758_226, 'article'), None)
    assert PUBLISHED['densenet161'][0] == (28_681_000, 'tv')


@pytest.mark.parametrize('count, figure, shown', [
    (5, None, ('-', '-')), (758_226, (758_226, 'article'), ('758,226 [article]', '0')),
    (2_834_161_664, (2.834e9, 'tv'), ('2.834 G [tv]', '+0.0 %')), (10 ** 9, (1e9, 'He'), ('1.0 G [He]', '0')),
    (999_000_000, (999.5e6, 'He'), ('999.5 M [He]', '-0.1 %')), (1_030_000, (1e6, 'He'), ('1.0 M [He]', '+3.0 %')),
    (1_500, (1_000, 'tv'), ('1,000 [tv]', '+50.0 %')), (24_600_000, (27.2e6, 'Huang'), ('27.2 M [Huang]', '-9.6 %'))])
def test_a_published_figure_has_its_unit_source_and_difference(count, figure, shown):
    assert _compared(count, figure) == shown


def test_the_published_table_has_its_columns_and_sources():
    head, rule, row, empty, *sources = network_table([['x', *'123456789']]).split('\n')
    columns = head.strip('| ').split(' | ')
    assert columns == ['network', 'input', 'parameters: formula', 'count', 'published', 'difference',
                       'multiply-adds: formula', 'count', 'published', 'difference']
    assert rule == '| --- | --- |' + ' --: |' * 8 and row == '| x | ' + ' | '.join('123456789') + ' |' and not empty
    assert [source.partition(']')[0][1:] for source in sources] == ['article', 'Huang', 'He', 'He2', 'tv', 'Paddle']
    assert sources[2].startswith(f'[He] {SOURCES["He"]}.')


@pytest.mark.parametrize('config', [None, {}, {'growth_rate': 4}, 'article'])
def test_a_formula_wants_every_argument(config):
    with pytest.raises(ValueError, match='config must be a dict of all arguments of DenseNet'):
        densenet_formula(config, 48, 48)


@pytest.mark.parametrize('height, width', [(48, 40), (64, 33), (97, 200)])
def test_any_size_classes_and_channels(height, width):
    for options in ({'bottleneck': 3, 'compression': 0.7, 'bias': False}, {'bottleneck': 2, 'bias': True},
                    {'stem': 'cifar', 'bias': True}, {'stem': 'cifar', 'compression': 1.0, 'bias': False},
                    {'pooling_convention': 'full', 'bias': True}):
        net = DenseNet(12, (3, 2, 2), 10, classes=7, in_channels=2, **options)
        table = summary(net, (2, height, width))
        assert densenet_formula(net.config, height, width) == (table.parameters, table.multiply_adds), options
    for name in ('resnet18', 'resnet50', 'resnet110', 'resnet164', 'd2l_resnet18'):
        table = summary(resnet(name, classes=7), (RESNETS[name][-1][0], height, width))
        assert resnet_formula(name, height, width, classes=7) == (table.parameters, table.multiply_adds), name


@pytest.mark.parametrize('name, weights, places', [('resnet50', 49 * 64, 24 * 17), ('resnet110', 9 * 16, 48 * 33),
                                                   ('d2l_resnet18', 49 * 64, 24 * 17)])
def test_each_channel_of_an_image_adds_to_the_first_convolution(name, weights, places):
    one, three = (resnet_formula(name, 48, 33, in_channels=channels) for channels in (1, 3))
    assert [more - less for more, less in zip(three, one)] == [2 * weights, 2 * weights * places]


def test_a_networks_config_gives_what_its_name_gives():
    assert network_formula('densenet121') == densenet_formula(densenet('densenet121').config, 224, 224)
