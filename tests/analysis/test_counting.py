"""summary and count_parameters: against plain arithmetic, against Gluon's own model zoo, against published figures."""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, images, switch
from mxnet import gluon

from d2l_densenet import DenseBlock, DenseNet, count_parameters, summary


def by_hand(height, width):
    """(parameters, multiply-adds) of the article's network, layer after layer, as article 001 lists them."""
    parameters = multiply_adds = 0

    def conv(kernel, c_in, c_out, h, w):
        nonlocal parameters, multiply_adds
        parameters += kernel * kernel * c_in * c_out + c_out
        multiply_adds += kernel * kernel * c_in * c_out * h * w

    h, w = -(-height // 2), -(-width // 2)
    conv(7, 1, 64, h, w)
    parameters += 2 * 64
    h, w, c = -(-h // 2), -(-w // 2), 64
    for block in range(4):
        for _ in range(4):
            parameters += 2 * c
            conv(3, c, 32, h, w)
            c += 32
        if block < 3:
            parameters += 2 * c
            conv(1, c, c // 2, h, w)
            h, w, c = h // 2, w // 2, c // 2
    parameters += 2 * c + c * 10 + 10
    multiply_adds += c * 10
    return parameters, multiply_adds


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('size', [(48, 48), (224, 224), (97, 64)])
def test_the_articles_network_by_hand(mode, size):
    switch(mode)
    table = summary(DenseNet(), (1, *size))
    assert (table.parameters, table.multiply_adds) == by_hand(*size)
    assert table.parameters == 758_226
    assert table.output_shape == (10,)
    text = str(table)
    assert '758,226' in text and all(row['stage'] in text for row in table.rows)
    assert '758,226' in table._repr_html_()


def test_a_row_for_each_stage():
    rows = summary(DenseNet(), (1, 48, 48)).rows
    assert [(row['stage'], row['output_shape']) for row in rows] == [
        ('stem', (64, 12, 12)), ('dense block 1', (192, 12, 12)), ('transition 1', (96, 6, 6)),
        ('dense block 2', (224, 6, 6)), ('transition 2', (112, 3, 3)), ('dense block 3', (240, 3, 3)),
        ('transition 3', (120, 1, 1)), ('dense block 4', (248, 1, 1)), ('classifier', (10,))]
    assert all(row['channels'] == row['output_shape'][0] for row in rows)


# Published: parameters as in FACTS (Gluon's zoo and torchvision agree); multiply-adds in units of 1e9 as torchvision
# documents them for the same networks.
@pytest.mark.parametrize('name, parameters, giga', [('densenet121', 7_978_856, 2.83), ('resnet18_v1', 11_689_512, 1.81),
                                                    ('resnet34_v1', 21_797_672, 3.66)])
def test_the_zoo(name, parameters, giga):
    net = gluon.model_zoo.vision.get_model(name)
    table = summary(net, (3, 224, 224))
    net.initialize()
    net(mx.nd.zeros((1, 3, 224, 224)))
    counted = sum(int(numpy.prod(p.shape)) for p in net.collect_params().values() if p.grad_req != 'null')
    assert table.parameters == counted == count_parameters(net) == parameters
    assert table.multiply_adds == pytest.approx(giga * 1e9, rel=0.02)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('hybrid', [False, True])
def test_the_network_stays_as_it_was(mode, hybrid, tmp_path):
    array = switch(mode)
    net = DenseNet(growth_rate=8, block_config=(1, 1, 1), pooling_convention='full')
    net.initialize()
    if hybrid:
        net.hybridize()
    X = array(images(2, 1, 9, 9))
    expected = net(X).asnumpy()
    summary(net, (1, 48, 48))
    if hybrid:
        net.export(str(tmp_path / 'net'))  # needs the graph that the call left
    assert (net(X).asnumpy() == expected).all()
    fresh = DenseNet(growth_rate=8, block_config=(1, 1, 1))
    summary(fresh, (1, 48, 48))
    with pytest.raises(RuntimeError, match='not been initialized'):
        fresh.output.weight.data()


def test_activation_bytes_by_hand():
    """A dense block of two convolutions on (3, 4, 4), then dropout: which arrays the backward pass reads."""
    net = gluon.nn.HybridSequential()
    net.add(DenseBlock(2, 5), gluon.nn.Dropout(0.5), gluon.nn.MaxPool2D(), gluon.nn.Dense(7))
    table = summary(net, (3, 4, 4))
    # Each H_l: the input of the normalization and the output of ReLU, which is the convolution's input.
    block = 16 * (3 + 3 + 8 + 8)
    mask, pooled, dense = 16 * 13, 16 * 13, 4 * 13
    assert [row['activation_bytes'] for row in table.rows] == [4 * block, 4 * mask, 4 * pooled, 4 * dense]
    assert table.activation_bytes == 4 * (block + mask + pooled + dense)


@pytest.mark.parametrize('name', ['article', 'densenet_bc_100_12', 'resnet18', 'resnet110', 'd2l_resnet18'])
def test_the_same_in_both_modes(name):
    tables = []
    for mode in MODES:
        switch(mode)
        tables.append(summary(name))
    assert tables[0].rows == tables[1].rows


def test_a_name_stands_for_the_network_at_its_published_size():
    assert str(summary('article')) == str(summary(DenseNet())).replace('DenseNet, input', 'article, input')
    assert summary('densenet121').input_shape == (3, 224, 224)
    assert summary('densenet121', (3, 64, 96)).input_shape == (3, 64, 96)


def test_count_parameters_leaves_out_running_statistics():
    norm = gluon.nn.BatchNorm(in_channels=5)
    assert count_parameters(norm) == 10
    with pytest.raises(ValueError, match='not known yet'):
        count_parameters(gluon.nn.Dense(3))


def test_wrong_use_is_named():
    for shape in [(3, 48, 48), (48, 48), (1, 0, 48), (1, 16, 16), 48, '48', ()]:
        with pytest.raises(ValueError, match='input_shape|too small'):
            summary(DenseNet(), shape)
    with pytest.raises(TypeError, match='Gluon block'):
        summary(7)
    with pytest.raises(ValueError, match="Did you mean 'article'"):
        summary('artikel')
    with pytest.raises(TypeError, match='cannot be traced'):
        block = gluon.nn.Sequential()
        block.add(gluon.nn.Lambda(lambda x: x.asnumpy()))
        summary(block, (4,))


def test_a_convolution_keeps_what_it_reads():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(6, 3, padding=1), gluon.nn.Conv2D(2, 3))
    assert [row['activation_bytes'] for row in summary(net, (3, 5, 5)).rows] == [4 * 25 * 3, 4 * 25 * 6]


def test_the_table_in_text_and_in_html():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(7, in_units=20), gluon.nn.Dense(1200, in_units=7))
    table = summary(net, (20,))
    lines = str(table).split('\n')
    assert lines[:9] == [
        'HybridSequential, input shape (20,)',
        '----------------------------------------------------------------------',
        'stage    output shape  channels  parameters  multiply-adds  kept bytes',
        '----------------------------------------------------------------------',
        '0 Dense  (7,)                 7         147            140          80',
        '1 Dense  (1200,)           1200       9,600          8,400          28',
        '----------------------------------------------------------------------',
        'total                                 9,747          8,540         108', '']
    assert lines[9].startswith('Trainable parameters; the running statistics') and repr(table) == str(table)
    html = table._repr_html_().split('\n')
    cells = ['0 Dense', '(7,)', '7', '147', '140', '80']
    sides = ['left', 'left', 'right', 'right', 'right', 'right']
    assert html[0] == '<table><caption>HybridSequential, input shape (20,)</caption>'
    assert html[5] == '<tr>' + ''.join(f'<td style="text-align: {side}">{cell}</td>'
                                       for side, cell in zip(sides, cells)) + '</tr>'
    assert html[9].startswith('<tr><th style="text-align: left">total</th><th style="text-align: left"></th>')


def test_what_two_layers_share_is_counted_once_and_its_work_twice():
    class Twice(gluon.nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.layer = gluon.nn.Dense(4, in_units=4)

        def hybrid_forward(self, F, x):
            return self.layer(self.layer(x))

    table = summary(Twice(), (4,))
    assert (table.parameters, table.multiply_adds, table.activation_bytes) == (20, 32, 4 * 8)
    assert table.output_shape == (4,) and len(table.rows) == 1


def test_only_max_pooling_keeps_what_it_reads():
    for pool, kept in ((gluon.nn.MaxPool2D(), 4 * 3 * 16), (gluon.nn.AvgPool2D(), 0), (gluon.nn.GlobalAvgPool2D(), 0)):
        net = gluon.nn.HybridSequential()
        net.add(pool)
        assert summary(net, (3, 4, 4)).activation_bytes == kept


@pytest.mark.parametrize('mode', MODES)
def test_a_transposed_convolution_and_a_shared_mask(mode):
    switch(mode)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2DTranspose(8, 3, in_channels=4))
    found = summary(net, (4, 6, 6))
    assert (found.parameters, found.multiply_adds) == (4 * 8 * 9 + 8, 4 * 6 * 6 * 8 * 9)
    assert found.activation_bytes == 4 * 4 * 6 * 6
    for axes, kept in (((), 8 * 7 * 7), ((2, 3), 8), ((1,), 7 * 7)):
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dropout(0.5, axes=axes))
        assert summary(net, (8, 7, 7)).activation_bytes == 4 * kept


def test_stages_may_be_a_layer():
    class Net(gluon.nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.stages = gluon.nn.HybridSequential()
            self.stages.add(gluon.nn.Conv2D(4, 3, in_channels=1))

        def hybrid_forward(self, F, x):
            return self.stages(x)
    assert [row['stage'] for row in summary(Net(), (1, 9, 9)).rows] == ['stages.0 Conv2D']


def test_a_shape_that_is_not_known_is_named():
    for layer in (gluon.nn.Dense(3), gluon.nn.Conv2D(3, 2)):
        with pytest.raises(ValueError, match=r'the shape of parameter \w+_weight is not known yet \(so far .*0'):
            count_parameters(layer)


def test_what_a_network_computes_itself_has_a_row_of_its_own():
    class Own(gluon.nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.weight = self.params.get('weight', shape=(4, 6))
            self.layer = gluon.nn.Dense(3, in_units=4)

        def hybrid_forward(self, F, x, weight):
            return self.layer(F.FullyConnected(x, weight, no_bias=True, num_hidden=4))

    found = [(row['stage'], row['parameters'], row['multiply_adds'], row['output_shape'])
             for row in summary(Own(), (6,)).rows]
    assert found == [('layer Dense', 15, 12, (3,)), ('(net itself)', 24, 24, (3,))]
