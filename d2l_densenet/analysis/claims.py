"""What four articles on the web say about DenseNet, claim by claim: data and the table of notebook 14.

The articles are numbered as in the notebook, 0 to 3. Claims are in the course's words; `words` are the few of the
article's own on which a verdict turns.
"""

import re
from dataclasses import dataclass
from html import escape

__all__ = ['CLAIMS', 'VERDICTS', 'Claim', 'Ledger']

VERDICTS = ('holds', 'conditional', 'wrong', 'open')


@dataclass(frozen=True)
class Claim:
    """A claim, where it is made, and what there is to say about it.

    `topic` is the section of notebook 14, `places` articles and their sections. The verdict is one of VERDICTS, or None
    where a cell of notebook 14 computes it: see `Ledger.judge`. `because` is the condition or the reason; `shown` names
    cells of notebook 14, other notebooks and tests, separated by '; '; `words` are a few of the article, in Chinese.
    """

    number: int
    topic: int
    places: str
    claim: str
    verdict: str
    because: str
    shown: str
    words: str = ''


_BLOCKS, _TESTS = 'tests/test_blocks.py', 'tests/test_named.py'
_COUNTS = 'tests/analysis/test_formulas.py::test_counts_by_formula_by_graph_and_published'

#: topic, places, claim, verdict, because, shown, words
_ROWS = [
    (1, '1, opening', 'a model of L layers has L(L+1)/2 connections', None,
     'L counts the layers of ONE dense block: 16 layers in four blocks have 40 connections, not 136', 'connections; 02',
     '对于任何层的模型'),
    (1, '1, opening', 'a traditional network of L layers has L connections', None,
     'each layer reads the one before it and nothing else', 'connections'),
    (1, '0, Connections; 1 and 3, openings; 2, section 2.2', 'each layer is connected to all layers before it', None,
     'within one dense block; connections stop at a transition', 'connections; 03', '所有前层'),
    (1, '1, opening; 3, Dense connection', 'features are concatenated along the channels, not added', None,
     'widths add up, and the output begins with the input',
     f'joined; 02; {_BLOCKS}::test_dense_block_computes_the_formula'),
    (1, '3, Pooling layers', 'maps that are connected must agree in height and width', None,
     'MXNet refuses to join 12x12 and 6x6', 'joined; 03'),
    (1, '0, Connections', 'no features are lost', None,
     'inside a dense block; a transition maps different inputs to the same output', 'lost', '避免了特征的丢失'),
    (1, '2, section 2.1', 'ResNet has a direct connection around each layer', None,
     'around each BLOCK: 8 for 17 convolutions in ResNet-18, 16 for 49 in ResNet-50',
     'shortcuts; tests/test_oracles.py::test_resnet110', '每个层之间'),
    (1, '2, sections 2.1 and 2.2', 'the input passes directly to the output layer', None,
     'to the output of ONE block; behind a closed stem the network sees nothing', 'closed', '直接传递到输出层'),

    (2, '3, Growth rate', 'layer l of a block has k0 + k(l-1) channels', None,
     'that is what it READS; it outputs k', 'widths; 02'),
    (2, '3, Growth rate', 'the larger k, the wider the output of a block', None,
     'k0 + kL channels leave it', 'widths; 02'),
    (2, '1, dense block and transition', 'its program prints (4, 45, 22, 22) and (4, 10, 11, 11)', None,
     '5 + 4 x 10 = 45', f'shapes; {_BLOCKS}::test_shapes_of_the_article'),
    (2, '1, dense block', 'the average pooling halves height and width', None,
     'of even sizes; an odd one is rounded down, and 3 to 1 happens in this very network', 'shapes; 03'),
    (2, '1, opening; 3, Compression', 'a transition outputs theta m maps of m', None,
     'where theta m is a whole number; else it is rounded down',
     f'shapes; {_TESTS}::test_compression_is_floored_as_in_the_authors_code'),
    (2, '3, Composite function', 'H without a bottleneck is BN, ReLU, 3x3 convolution', None, 'in this order',
     'parts; 02'),
    (2, '3, Pooling layers', 'a transition is BN, 1x1 convolution, 2x2 average pooling', None,
     "not counting the ReLU that the authors' code and article 1 have after the BN",
     'parts; tests/test_network.py::test_same_outputs_gradients_and_statistics_as_the_article'),
    (2, '1, opening; 3, Bottleneck layers', 'DenseNet-B has a 1x1 convolution before each 3x3', None,
     'paper, section 3, "Bottleneck layers"', 'parts; 06; tests/test_oracles.py::test_blocks'),
    (2, '1, opening', 'the bottleneck is the same as in ResNet', None,
     'a 1x1 before the 3x3 in both; ResNet widens again with a second 1x1', 'bottlenecks', '在ResNet中一样'),

    (3, '1, opening', 'with theta = 1 widths stay, and that is called DenseNet-C', None,
     'it is then a plain DenseNet: C means theta < 1', f'names; {_COUNTS}', '当θ=1'),
    (3, '1, opening', 'bottlenecks and theta < 1 together are DenseNet-BC', None, "the count is Table 2's",
     f'names; 06; {_COUNTS}'),
    (3, '3, Compression', 'bottleneck + transition is DenseNet-BC', None,
     'with theta < 1; every DenseNet has transitions', f'names; {_COUNTS}', 'bottleneck+transition'),
    (3, '3, Compression', 'theta is 0.5 in the experiments', None,
     'in those called BC and for ImageNet; plain ones have theta = 1', f'names; {_COUNTS}'),
    (3, '0, Evolution', '-121, -169 and -201 have as many layers as their names say', None,
     'if convolutions and the dense layer are counted, and not the BNs',
     f'depths; 10; {_TESTS}::test_table_1_of_the_paper'),
    (3, '0, Evolution', 'DenseNet-BC came after these and brought the bottleneck', None,
     'all three have bottlenecks and theta = 0.5: they are DenseNet-BC',
     f'depths; {_TESTS}::test_same_outputs_and_gradients_as_gluons_zoo', 'DenseNet-BC: 引入了瓶颈层'),
    (3, '0, Evolution', 'DenseNet-121 was the first', 'wrong',
     'the abstract of version 1 (August 2016) has errors on CIFAR and SVHN only; Table 1 has -121 to -264 at once',
     'quoted', '最初的'),
    (3, '2, section 1', 'He et al. proposed ResNet in 2015', 'holds', 'arXiv:1512.03385 is of December 2015', 'quoted'),

    (4, '3, Dense connection', 'x_l = H_l([x_0, x_1, ..., x_{l-1}])', None, "the paper's equation 2",
     f'equations; 02; {_BLOCKS}::test_dense_block_computes_the_formula'),
    (4, '3, ResNet', 'in ResNet x_l = H(x_{l-1}) + x_{l-1}', None,
     'for a BLOCK with an identity shortcut; the first ResNet has a ReLU after the sum',
     'equations; tests/test_oracles.py::test_resnet110'),
    (4, '2, section 3.1', 'ResNet is y = f_n(...f_1(x)) + x', None,
     'one block, before its last ReLU; a network adds in each: (1 + a)^n, not 1 + a^n', 'one-sum', '+x表示残差连接'),
    (4, '2, section 3.2', 'DenseNet is y = f_n(...f_1(x)) + x', None,
     'nothing is added: 5 channels become 45', 'one-sum; 02'),
    (4, '0, PyTorch', 'its program is a DenseNet', 'wrong',
     'ReLUs are joined as layers, one convolution is used in four places; it fails on the first image', '13'),
    (4, '2, section 4.1', 'its program is a simple ResNet', 'wrong',
     'no shortcut; 224x224 pixels are used up after 5 of 49 poolings', '13'),
    (4, '2, section 4.2', 'its program is a simple DenseNet', 'wrong',
     'nothing is concatenated; with its default arguments it cannot be built', '13'),

    (5, '2, question 6', 'usually ResNet has fewer parameters', None,
     'in 17 of 25 pairs the DenseNet has fewer; the article itself says elsewhere that dense connections reduce them',
     f'pairs; {_COUNTS}', '参数数量较少'),
    (5, '2, question 7', 'usually DenseNet needs more computation', None,
     'in 12 of 25 pairs: at equal parameters yes, at equal error no (-201 and ResNet-101, paper, section 4.4)',
     f'pairs; 05; {_COUNTS}'),
    (5, '1, opening', 'DenseNets have fewer parameters than ResNets and lower errors', None,
     'at about equal error: -201 has half as many as ResNet-101 (errors quoted, section 4.4)', f'pairs; 05; {_COUNTS}'),
    (5, '2, sections 2.2 and 3.2', 'dense connections reduce the number of parameters', None,
     'against a chain as wide as their output; a chain of layers just as narrow has fewer still', 'savings'),
    (5, '2, section 1', 'more layers, more parameters', None,
     'within one design; ResNet-164 has fewer than ResNet-110', f'pairs; {_COUNTS}'),
    (5, '0, Evolution', "BC's bottleneck reduces computation and keeps accuracy", None,
     'in layers that read more than 7.2 k channels; accuracy not tested: Table 2 has 4.10 % error plain, 4.51 % BC',
     'savings; 06'),
    (5, '1, dense block', 'transitions lower the complexity', None,
     'against 16 layers in one block: half the parameters, a sixth of the multiply-adds', 'savings; 03'),
    (5, '1, opening', 'DenseNet-BC (100, 12) has 0.8 M parameters, ResNet-1001 10.2 M', None,
     'ResNet-1001 has 10.3 M as built here; Table 2 of the paper prints 10.2',
     'published; tests/analysis/test_formulas.py::test_counts_that_are_known_exactly'),
    (5, '1, model', 'at 224x224 memory overflows', 'open',
     'its GPU is not named; activations take 22 times as much as at 48x48', 'published; 07'),

    (6, '2, section 1', 'with depth, gradients may vanish or explode', None,
     'in a plain chain of 32 layers they vanish without BN and grow with BN', 'stacks'),
    (6, '2, section 1', 'ResNet solves vanishing gradients', None,
     'without BN; the plain networks it replaced had BN, and there nothing vanishes (He et al., section 4.1)', 'stacks',
     '解决梯度消失问题'),
    (6, '3, ResNet', 'ResNet eases vanishing gradients', None,
     'where they vanish, as without BN; that training is steadier was not tested', 'stacks', '缓解了梯度消失'),
    (6, '2, section 3.1', 'ResNet keeps the gradient stable throughout training', None,
     'with BN less than tenfold over 32 layers, without it hundreds of times; measured only before training', 'stacks',
     '保持稳定'),
    (6, '1, opening', "ResNet's gradient flows back through the identity", None,
     'in pre-activation blocks of one width; in the first ResNet a ReLU stops part of it', 'direct'),
    (6, '1, opening; 3, ResNet', 'adding may impede the flow of information', 'open',
     "the paper's conjecture (section 3, ResNets); a test would have to isolate it", '02', '可能会阻碍'),
    (6, '3, summary', 'every layer gets the gradient of the loss', None,
     'the paper says "directly" (section 1); before the last block it comes through transitions', 'reached',
     '获得前面每一层的梯度'),
    (6, '0, Connections', 'dense connections make for an even flow of the gradient', None,
     'inside a block, less than tenfold over 32 layers; transitions are an ordinary chain', 'reached; stacks',
     '平稳传递'),
    (6, '0, Connections', 'DenseNet converges more easily', 'open',
     'this would take many training runs at equal cost; the paper says so (section 1)', 'quoted'),
    (6, '0, Connections; 3, summary', 'features are used again by later layers', None,
     'each output is read by all later layers of its block; what trained ones do with it: 08', 'reuse; 08'),

    (7, '1, model', 'running its program gives its table', 'conditional',
     'loss and training accuracy, within 0.03; its test accuracies are higher than ours, and in both they swing',
     '04; tests/benchmarks/test_records.py::test_records_are_complete'),
    (7, '3, summary', 'dense connections have a regularizing effect', 'open',
     'our small runs do not decide; the paper sees it on C10 and C100 (section 4.3)', '09', '有正则化的作用'),
    (7, '2, question 5', 'ResNet and DenseNet are trained alike', 'holds',
     'the same function, optimizer and loss train both',
     '05; tests/test_training.py::test_fit_is_the_loop_one_would_write'),
    (7, '1, opening', '0.8 M parameters are as accurate as ResNet-1001', 'open',
     '300 epochs of CIFAR; Table 2 agrees: errors of 4.51 and 4.62 % (C10+), 22.27 and 22.71 % (C100+)', 'quoted'),
    (7, '0, Evolution', '-169 did excellently in the ImageNet competition', 'open',
     'the paper reports validation errors (Table 3: 23.80 % top-1), no entry in a competition', 'quoted'),
    (7, '0, Evolution', '-201 is more accurate than -169', 'open', 'Table 3 agrees: 22.58 against 23.80 %', 'quoted'),
    (7, '2, section 5.1', 'deeper ResNets may overfit more', 'open',
     'He et al., section 4.2, argue so: 7.93 % error for ResNet-1202, 6.43 % for ResNet-110', 'quoted'),
    (7, '2, question 3', 'on some tasks DenseNet surpasses ResNet', 'open',
     'Table 2 (CIFAR, SVHN) and Figure 3 (ImageNet) agree', 'quoted'),
    (7, '2, question 9', 'DenseNet scales less well', 'open',
     'no measure is named; the paper says the opposite (section 6)', 'quoted'),
    (7, '2, question 8', 'DenseNet is less interpretable', 'open',
     'no measure is named, and the paper does not speak of it', 'quoted'),
]
CLAIMS = tuple(Claim(number, *row) for number, row in enumerate(_ROWS, 1))


class Ledger:
    """The claims with their verdicts, as far as they have been computed.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.judge(1, as_written=False, narrower=True)
    >>> ledger.verdicts(1, 24)
    ('conditional', 'wrong')
    """

    def __init__(self):
        self.verdict = {claim.number: claim.verdict for claim in CLAIMS}

    def judge(self, number, as_written, narrower=False):
        """Settle a claim: is it true as it is written, or at least in the narrower sense that the table names?"""
        if CLAIMS[number - 1].verdict is not None:
            raise ValueError(f'claim {number} has its verdict from elsewhere')
        self.verdict[number] = 'holds' if as_written else 'conditional' if narrower else 'wrong'

    def verdicts(self, *numbers):
        """The verdicts on claims, in the order asked for."""
        return tuple(self.verdict[number] for number in numbers)

    def table(self, topic):
        """What a notebook shows of one topic."""
        return _Table([(claim, self.verdict[claim.number] or '?') for claim in CLAIMS if claim.topic == topic])

    def counts(self):
        """How many claims have each verdict: {article: {verdict: count}}; a claim of two articles counts for each."""
        return {article: {verdict: sum(article in _articles(claim.places) and self.verdict[claim.number] == verdict
                                       for claim in CLAIMS) for verdict in VERDICTS} for article in range(4)}


def _articles(places):
    """'1, 2 and 3, openings' is of 1, 2 and 3; '0, Evolution; 2, sections 2.2 and 3.2' of 0 and 2."""
    return [int(number) for number in re.findall(r'(?:^|; |, |and )([0-3])(?=,| and)', places)]


def _place(place):
    """A cell's name means nothing to readers: it is in the section that ends with the table."""
    return place.replace('tests/', '') if '::' in place or place.isdigit() or place == 'quoted' else 'above'


class _Table:
    def __init__(self, rows):
        self._rows = rows

    def _repr_html_(self):
        heads = ''.join(f'<th style="text-align: left">{head}</th>'
                        for head in ('no.', 'article', 'claim', 'verdict', 'because', 'shown by'))
        return f'<table><tr>{heads}</tr>\n' + '\n'.join(map(self._row, self._rows)) + '</table>'

    @staticmethod
    def _row(row):
        claim, verdict = row
        words = f' (<span lang="zh">{escape(claim.words)}</span>)' if claim.words else ''
        shown = '; '.join(dict.fromkeys(map(_place, claim.shown.split('; '))))
        cells = (str(claim.number), escape(claim.places), escape(claim.claim) + words,
                 f'<b>{verdict}</b>', escape(claim.because), escape(shown))
        return '<tr>' + ''.join(f'<td style="text-align: left">{cell}</td>' for cell in cells) + '</tr>'

    def __repr__(self):
        return '\n'.join(f'{claim.number:2} {verdict:12} {claim.claim}: {claim.because}'
                         for claim, verdict in self._rows)
