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


def mean_or_nan(w):
    return abs(w).mean() if w.size else numpy.nan


def rows_of_the_next_layer(block):
    k, c = block.net[0][2].weight.shape[:2]
    weights = [layer[2].weight.data().asnumpy() for layer in [*block.net[1:], block.net[0]]]
    return [[abs(w[:, :c] if s == 0 else w[:, c + (s - 1) * k:c + s * k]).mean() if s <= i else 0
             for s in range(len(weights))] for i, w in enumerate(weights)]


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
    ('rows normalized', table(rows=lambda t: t / numpy.nanmax(t, axis=1, keepdims=True)), r'divided by its largest'),
    ('too wide', table(rows=lambda t: numpy.pad(t, ((0, 0), (0, 1)))), r'shape \(4, 5\).*column too many'),
    ('one mean a layer', table(rows=lambda t: numpy.nanmean(t, axis=1)), r'shape \(4,\).*all sources at once'),
    ('one mean a layer, as a column', table(rows=lambda t: numpy.nanmean(t, axis=1, keepdims=True)),
     r'shape \(4, 1\).*all sources at once'),
    ('too wide and too long', table(rows=lambda t: numpy.pad(t, ((0, 1), (0, 1)))), r'shape \(5, 5\).*column too many'),
    ('too small', table(rows=lambda t: t[1:, 1:]), r'shape \(3, 3\).*one less than the layers'),
    ('half of the rows', table(rows=lambda t: t[:2]), r'shape \(2, 4\).*which are too many or missing'),
    ('text', lambda block: 'Figure 5', r"an array of numbers and returns 'Figure 5'"),
    ('table of text', table(rows=lambda t: t.astype(str)), r'an array of numbers'),
    ('diagonal missing', table(rows=lambda t: numpy.where(numpy.eye(len(t)), numpy.nan, t)),
     r'says nan in row 0, column 0 \(layer 1, source 0\).*on the diagonal'),
    ('last row doubled', table(rows=lambda t: numpy.vstack([t[:-1], t[-1:] * 2])),
     r'in row 3, column 0 \(layer 4, source 0\).*Which channels of block\.net\[3\]'),
    ('numbers of the first block', table(source=lambda s, c, k: (0, 5) if s == 0 else (2 + 3 * s, 5 + 3 * s)),
     r'a DenseBlock\(2, 6\) on 2 channels, says \S+ in row 1, column 0'),
    ('above the diagonal of the second block', table(rows=lambda t: numpy.nan_to_num(t, nan=7.0 if len(t) == 2 else 0)),
     r'a DenseBlock\(2, 6\) on 2 channels, says 7 in row 0, column 1'),
    ('all sources as wide as the input', table(source=lambda s, c, k: (s * c, (s + 1) * c), measure=mean_or_nan),
     r'How wide is your slice'),
    ('rows add up to 1', table(rows=lambda t: t / numpy.nansum(t, axis=1, keepdims=True)), r'divided by its sum'),
    ('sources reversed', table(rows=lambda t: [[*row[:i + 1][::-1], *row[i + 1:]] for i, row in enumerate(t)]),
     r'in reverse order'),
    ('axis 0', table(weight_of=lambda w: w.swapaxes(0, 1), measure=mean_or_nan), r'Along which axis is the source'),
    ('rows of the next layer', rows_of_the_next_layer, r'Are you one off'),
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


def wrong_only_at(source, layer):
    def my_cut(block, *connection):
        if connection != (source, layer):
            cut()(block, *connection)
    return my_cut


def cuts_with(write):
    """A learner that writes with write(weight, slice of the source's channels)."""
    def my_cut(block, source, layer):
        k, c = block.net[0][2].weight.shape[:2]
        write(block.net[layer - 1][2].weight, slice(0, c) if source == 0 else slice(c + (source - 1) * k,
                                                                                    c + source * k))
    return my_cut


def writes(index, value=0):
    """``weight[index(channels)] = value``, done right."""
    def write(weight, channels):
        values = weight.data().asnumpy().copy()
        values[index(channels)] = value
        weight.set_data(np.array(values))
    return cuts_with(write)


def writes_into_what_is_read_only(weight, channels):
    values = weight.data().asnumpy()
    values.setflags(write=False)
    values[:, channels] = 0


def removes_layers(block, source, layer):
    block.net = block.net[:layer]


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
    ('all behind but for the input', cut(source=lambda s, c, k: (0, c) if s == 0 else (c + (s - 1) * k, None)),
     r'source=1, layer=4\) sets channels 2 to 19 .*Where does its slice end'),
    ('all before', cut(source=lambda s, c, k: (0, c + s * k)), r'Where does its slice begin'),
    ('whole layer', cut(source=lambda s, c, k: (0, None)), r'whole layer is cut off'),
    ('output channels', cut(axis=0), r'axis 1'),
    ('one instead of zero', cut(value=1.0), r'other values than zero'),
    ('later layers too', cut(more=cuts_next_layer), r'changes layers 3, 4.*layer 3 alone'),
    ('bias too', cut(more=cuts_bias), r'the bias of a convolution'),
    ('gamma', cut(more=cuts_gamma), r'batch normalization'),
    ('center only', cuts_center, r'All nine weights'),
    ('one output channel', writes(lambda channels: (0, channels)), r'some of the weights on .*All output channels'),
    ('all output channels but one', writes(lambda channels: (slice(1, None), channels)),
     r'some of the weights on .*All output channels'),
    ('the source before', cut(source=lambda s, c, k: (0, c) if s < 2 else (c + (s - 2) * k, c + (s - 1) * k)),
     r'source=1, layer=4\) sets channels 0 to 1 of layer 4 .* channels 2 to 7, which source 1 .*one source off'),
    ('five channels', cut(source=lambda s, c, k: (0, 5)), r'sets channels 0 to 4 of layer 3 .*input .*Here 2, and'),
    ('first channel missing', cut(source=lambda s, c, k: (0, c) if s == 0 else (c + (s - 1) * k + 1, c + s * k)),
     r'sets channels 3 to 7 of layer 4 .*The input has 2 channels, each layer 6\. Where does source 1 begin'),
    ('each second channel', writes(lambda channels: (slice(None), slice(channels.start, channels.stop, 2))),
     r'sets channels 0 of layer 3'),
    ('all but one channel', writes(lambda channels: (slice(None), [i for i in range(channels.stop) if i != 4])),
     r'source=1, layer=4\) sets channels 0 to 3, 5 to 7 of layer 4'),
    ('array of another shape', cuts_with(lambda weight, channels: weight.set_data(np.zeros((6, 2)))),
     r'wants an array of the shape of the whole weight'),
    ('read-only', cuts_with(writes_into_what_is_read_only), r'asnumpy\(\) gives a copy for reading'),
    ('layers removed', removes_layers, r'other layers or shapes'),
    *[(f'source {source} of layer {layer} forgotten', wrong_only_at(source, layer),
       rf'={source}, layer={layer}\) changes nothing .* of layer {layer} on channels {channels}, which source {source}')
      for source, layer, channels in ((0, 3, '0 to 1'), (1, 4, '2 to 7'), (2, 3, '8 to 13'), (0, 1, '0 to 1'),
                                      (3, 4, '14 to 19'))],
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
