"""The checks of notebook 08: correct solutions pass, and each likely mistake gets its own sentence."""

import mxnet as mx
import numpy
import pytest
from helpers import MODES
from learners import assert_passes, assert_sentence, assert_ten_mistakes, forgets_return, mistakes, solutions
from mxnet import nd, np
from mxnet.util import is_np_array


def table(measure=lambda w: abs(w).mean(), source=None, rows=lambda table: table, weight_of=None):
    def my_table(block):
        L = len(block.net)
        k, c = block.net[0][2].weight.shape[:2]
        out = numpy.full((L, L), numpy.nan)
        for i, layer in enumerate(block.net):
            w = layer[2].weight.data().asnumpy()
            w = weight_of(w) if weight_of else w
            for s in range(i + 1):
                a, b = source(s, c, k) if source else (0 if s == 0 else c + (s - 1) * k, c + s * k)
                out[i, s] = measure(w[:, a:b])
        return rows(out)
    return my_table


def fills_above(block):
    return numpy.nan_to_num(table()(block), nan=7.0)


def changes_weights(block):
    for layer in block.net:
        layer[2].weight.set_data(abs(layer[2].weight.data()))
    return table()(block)


def one_layer_too_far(block):
    return block.net[len(block.net)]


TABLES = [
    ('no abs', table(lambda w: w.mean()), r'signs cancel'),
    ('abs of the mean', table(lambda w: abs(w.mean())), r'First the absolute value'),
    ('sum', table(lambda w: abs(w).sum()), r'That is the sum'),
    ('rms', table(lambda w: (w ** 2).mean() ** 0.5), r'root of the mean square'),
    ('squares', table(lambda w: (w ** 2).mean()), r'Those are squares'),
    ('max', table(lambda w: abs(w).max()), r'largest'),
    ('norm', table(lambda w: (w ** 2).sum() ** 0.5), r'Euclidean norm'),
    ('median', table(lambda w: numpy.median(abs(w))), r'That is the median'),
    ('deviation', table(lambda w: w.std()), r'standard deviation'),
    ('mean over output channels', table(lambda w: abs(w).sum((1, 2, 3)).mean()), r'over the output channels only'),
    ('kernel summed', table(lambda w: abs(w).sum((2, 3)).mean()), r'nine weights'),
    ('transposed', table(rows=lambda t: t.T), r'Rows and columns are swapped'),
    ('source 0 is k wide', table(source=lambda s, c, k: (s * k, (s + 1) * k)), r'own number of channels, not k'),
    ('one source too far', table(source=lambda s, c, k: (c + s * k, c + (s + 1) * k)), r'one source too far'),
    ('all before', table(source=lambda s, c, k: (0, c + s * k)), r'all before it'),
    ('all behind', table(source=lambda s, c, k: (0 if s == 0 else c + (s - 1) * k, None)), r'all after it'),
    ('rows normalised', table(rows=lambda t: t / numpy.nanmax(t, axis=1, keepdims=True)), r'divided by its largest'),
    ('too wide', table(rows=lambda t: numpy.pad(t, ((0, 0), (0, 1)))), r'shape \(4, 5\).*column too many'),
    ('one mean a layer', table(rows=lambda t: numpy.nanmean(t, axis=1)), r'shape \(4,\).*all sources at once'),
    ('above the diagonal', fills_above, r'row 0, column 1; it should be NaN or 0'),
    ('changes weights', changes_weights, r'changes the weights'),
    ('index', one_layer_too_far, r'block\.net\[0\] to block\.net\[3\]'),
    ('abs of a Parameter', lambda block: abs(block.net[0][2].weight), r'A Parameter is not an array'),
    ('slice of a Parameter', lambda block: block.net[0][2].weight[:, :5], r'A Parameter is not an array'),
    ('asnumpy of a Parameter', lambda block: block.net[0][2].weight.asnumpy(), r'A Parameter is not an array'),
    ('ragged rows', table(rows=lambda t: [row[:i + 1].tolist() for i, row in enumerate(t)]), r'different lengths'),
    ('no return', forgets_return, r'returns None'),
]


def cut(layer_of=lambda layer: layer - 1, source=None, value=0.0, axis=1, write=True, more=None):
    def my_cut(block, source_, layer):
        k, c = block.net[0][2].weight.shape[:2]
        weight = block.net[layer_of(layer)][2].weight
        values = weight.data().asnumpy().copy()
        a, b = source(source_, c, k) if source else (0 if source_ == 0 else c + (source_ - 1) * k, c + source_ * k)
        if axis == 1:
            values[:, a:b] = value
        else:
            values[a:b] = value
        if write:
            weight.set_data((np if is_np_array() else nd).array(values))
        if more:
            more(block, source_, layer)
    return my_cut


def cuts_bias(block, source, layer):
    block.net[layer - 1][2].bias.set_data(np.zeros(block.net[layer - 1][2].bias.shape))


def cuts_gamma(block, source, layer):
    block.net[layer - 1][0].gamma.data()[0] = 0


def cuts_next_layer(block, source, layer):
    for later in range(layer + 1, len(block.net) + 1):
        cut()(block, source, later)


def cuts_center(block, source, layer):
    block.net[layer - 1][2].weight.data()[:, 0:2, 1, 1] = 0


def assigns_to_parameter(block, source, layer):
    block.net[layer - 1][2].weight[:, 0:5] = 0


CUTS = [
    ('copy', cut(write=False), r'changes nothing in the block.*copy'),
    ('layer one off', cut(lambda layer: layer % 4), r'layer 4; it should be layer 3.*layer - 1'),
    ('index', cut(lambda layer: layer + 1), r'layers are 1 to 4|should be layer'),
    ('source one off', cut(source=lambda s, c, k: (c + s * k, c + (s + 1) * k)), r'one source off'),
    ('source 0 is k wide', cut(source=lambda s, c, k: (s * k, (s + 1) * k)), r'own number of channels'),
    ('all behind', cut(source=lambda s, c, k: (0 if s == 0 else c + (s - 1) * k, None)),
     r'whole layer|Where does its slice end'),
    ('all before', cut(source=lambda s, c, k: (0, c + s * k)), r'Where does its slice begin'),
    ('whole layer', cut(source=lambda s, c, k: (0, None)), r'whole layer is cut off'),
    ('output channels', cut(axis=0), r'axis 1'),
    ('one instead of zero', cut(value=1.0), r'other values than zero'),
    ('later layers too', cut(more=cuts_next_layer), r'changes layers 3, 4.*layer 3 alone'),
    ('bias too', cut(more=cuts_bias), r'the bias of a convolution'),
    ('gamma', cut(more=cuts_gamma), r'batch normalisation'),
    ('centre only', cuts_center, r'All nine weights'),
    ('one output channel', cut(write=False, more=lambda block, s, layer: block.net[layer - 1][2].weight.data()[0].
                               __setitem__(slice(0, 5), 0)), r'All output channels|changes nothing'),
    ('assigns to the parameter', assigns_to_parameter, r'Parameter is not an array'),
    ('arguments', lambda block, source: None, r'should take \(block, source, layer\)'),
]

MISTAKES = [
    *[('mean_absolute_weights', *row) for row in TABLES],
    *[('cut_connection', *row) for row in CUTS],
]

CORRECT = [
    ('mean_absolute_weights', table()),
    ('mean_absolute_weights', table(rows=numpy.nan_to_num)),
    ('mean_absolute_weights', table(rows=lambda t: mx.np.array(t))),
    ('mean_absolute_weights', table(rows=lambda t: t.tolist())),
    ('cut_connection', cut()),
]


@mistakes(MISTAKES)
def test_a_mistake_gets_its_own_sentence(check, learner, expected):
    assert_sentence(check, learner, expected)


@pytest.mark.parametrize('mode', MODES)
@solutions(CORRECT)
def test_a_correct_solution_passes(mode, check, learner, capsys):
    assert_passes(check, learner, mode, capsys)


def test_every_check_knows_at_least_ten_mistakes():
    assert_ten_mistakes('reuse', MISTAKES)
