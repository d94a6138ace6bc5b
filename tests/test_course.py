"""The helpers of the notebooks: predictions in every spelling, quick mode, the reader's own file."""

import base64
import sys

import mxnet as mx
import numpy
import pytest
from helpers import ROOT

import d2l_densenet
from d2l_densenet import course

SHAPE = (4, 45, 22, 22)
RIGHT = [
    (45, 45), ('45', 45), (numpy.int64(45), 45), (45.0, 45), ([45], 45), (mx.nd.array([45]), 45), (' 45 channels ', 45),
    (1024, 1024), ('1,024', 1024), ('1_024', 1024), (758_226, 758_226), ('758k', 758_226), ('0.76 million', 758_226),
    (2.303, 2.302585), ('2.3', 2.302585), ('about 2.3', 2.302585), (0.39, 0.3904), ('39 %', 0.3904), ('39%', 0.3904),
    (39, 0.3904), ('1e-3', 0.001), (-1.5, -1.5), ('6.7M', 6_720_000),
    (SHAPE, SHAPE), (list(SHAPE), SHAPE), (numpy.array(SHAPE), SHAPE), ('4 x 45 x 22 x 22', SHAPE),
    ('(4, 45, 22, 22)', SHAPE), ('4,45,22,22', SHAPE), ('4×45×22×22', SHAPE), ('[4 45 22 22]', SHAPE),
    ((4, '45', 22., 22), SHAPE),
    ((5, 15, 25, 35), [5, 15, 25, 35]), (range(3), (0, 1, 2)), (mx.nd.array([1, 2]), (1, 2)), ('1 and 2', (1, 2)),
    ('float32', numpy.dtype('float32')), (numpy.float32, 'float32'), ('numpy.float32', 'float32'),
    ('Float 32', 'float32'),
    ('Ankle boot', 'ankle boot'), ('ankle-boot', 'ankle boot'), ('the shirt', 'shirt'),
    ('coat and pullover', {'coat', 'pullover'}), (['pullover', 'coat'], {'coat', 'pullover'}),
    ('Pullover, Coat', {'coat', 'pullover'}), ({'coat', 'pullover'}, {'coat', 'pullover'}),
    (True, True), ('yes', True), ('No', False), (0, False), (numpy.bool_(True), True),
]
WRONG = [
    (40, 45, 'too low'), (90, 45, 'times as much'), (4.5, 45, '10 times too little'), ('many', 45, 'one number'),
    ((4, 5), 45, 'one number'), (2.4, 2.302585, 'too high'), (3, 2.302585, 'too high'), (0.5, 0.39, 'too high'),
    ((4, 40, 22, 22), SHAPE, 'number 2 of 4 is 45'), ('4 x 40 x 22 x 22', SHAPE, 'number 2 of 4 is 45'),
    ((4, 22, 22, 45), SHAPE, 'another order'), ((45, 22, 22), SHAPE, '4 values were asked for, 3 given'),
    (45, SHAPE, '4 values'), ('large', SHAPE, '4 values'), ({1, 2}, (1, 2), 'order counts'),
    ('float64', 'float32', 'another'),
    ('shirt', 'coat', 'another'), ({'coat', 'shirt'}, {'coat', 'pullover'}, 'pullover is missing'),
    ('coat', {'coat', 'pullover'}, '2 values'), (False, True, 'other way'), ('perhaps', True, 'yes or no'),
    (object(), 45, 'one number'), (object(), SHAPE, '4 values'), (4.9, 5, 'too low'), ('4.9', 5, 'too low'),
    ('758.3k', 758_226, 'too high'), (758_000, 758_226, 'too low'),
]


@pytest.mark.parametrize('answer, fact', RIGHT, ids=map(str, range(len(RIGHT))))
def test_a_right_answer_is_right_in_every_spelling(answer, fact, capsys):
    course.predict(answer, fact)
    assert capsys.readouterr().out.endswith(', as you predicted\n')


@pytest.mark.parametrize('answer, fact, reason', WRONG, ids=map(str, range(len(WRONG))))
def test_a_wrong_answer_gets_one_line_with_the_fact_and_a_reason(answer, fact, reason, capsys):
    course.predict(answer, fact)
    out = capsys.readouterr().out
    assert 'where you said' in out and reason in out and out.count('\n') == 1


def test_without_an_answer_the_fact_is_shown(capsys):
    course.predict(None, SHAPE)
    course.predict(None, 0.39041)
    course.predict(None, {'b', 'a'})
    assert capsys.readouterr().out == ('(4, 45, 22, 22) (no prediction)\n0.3904 (no prediction)\n'
                                       'a, b (no prediction)\n')


def test_tolerance(capsys):
    course.predict(0.85, 0.88, tolerance=0.05)
    course.predict(0.8, 0.88, tolerance=0.05)
    right, wrong = capsys.readouterr().out.splitlines()
    assert right.endswith('as you predicted') and 'too low' in wrong


@pytest.mark.parametrize('answer, right', [(0.505, True), (0.495, True), (0.506, False), (0.494, False)])
def test_an_answer_may_be_one_percent_off(answer, right, capsys):
    course.predict(answer, 0.5)
    assert ('as you predicted' in capsys.readouterr().out) == right


@pytest.mark.parametrize('value', ['0', '', 'yes', '11'])
def test_only_1_means_quick(value, monkeypatch):
    monkeypatch.setenv('D2L_DENSENET_QUICK', value)
    assert course.budget(3, 2) == 3


def test_quick_mode_says_so(monkeypatch, capsys):
    monkeypatch.delenv('D2L_DENSENET_QUICK', raising=False)
    assert course.budget(12_000, 256) == 12_000 and not capsys.readouterr().out
    monkeypatch.setenv('D2L_DENSENET_QUICK', '1')
    assert course.budget(12_000, 256) == 256 and 'QUICK MODE: 256 instead of 12000' in capsys.readouterr().out


# The reader's own file

READER = (ROOT / 'tests' / 'reader_file.py').read_text(encoding='utf-8')


def blocks(padding):
    return READER.replace('padding=1', f'padding={padding}')


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """An IPython that runs cells; what they define is in its user_ns."""
    InteractiveShell = pytest.importorskip('IPython.core.interactiveshell').InteractiveShell
    monkeypatch.setenv('D2L_DENSENET_OWN_FILE', str(tmp_path / 'my_densenet.py'))
    mx.npx.set_np()
    shell = InteractiveShell()
    shell.run_cell('from mxnet import np, npx\nfrom mxnet.gluon import nn\n'
                   'from d2l_densenet.course import keep, yours').raise_error()
    return shell


def test_what_is_kept_comes_back_checked(shell, tmp_path, capsys):
    assert course.yours('conv_block') is d2l_densenet.conv_block
    shell.run_cell(blocks(padding=1) + '\nkeep(conv_block, DenseBlock)').raise_error()
    capsys.readouterr()
    conv_block, DenseBlock, transition_block = course.yours('conv_block', 'DenseBlock', 'transition_block')
    assert capsys.readouterr().out == ('conv_block: yours\nDenseBlock: yours\n'
                                       "transition_block: the package's, because my_densenet.py has none\n")
    assert transition_block is d2l_densenet.transition_block and DenseBlock is not d2l_densenet.DenseBlock
    block = DenseBlock(2, 10)
    block.initialize()
    assert block(mx.np.ones((4, 3, 8, 8))).shape == (4, 23, 8, 8)


def test_what_is_kept_may_rest_on_the_packages_own(shell, capsys):
    """Who begins with notebook 02 has no conv_block of their own, and the dense block that they write calls one."""
    shell.run_cell("conv_block = yours('conv_block')\n" + blocks(padding=1).partition('class')[2].join(['class', ''])
                   + '\nkeep(conv_block, DenseBlock)').raise_error()
    capsys.readouterr()
    conv_block, DenseBlock = course.yours('conv_block', 'DenseBlock')
    assert capsys.readouterr().out == ("conv_block: the package's, because my_densenet.py has none\n"
                                       'DenseBlock: yours\n')
    assert conv_block is d2l_densenet.conv_block and DenseBlock.__module__ == 'my_densenet'


def test_a_later_version_replaces_the_earlier_one(shell, tmp_path):
    shell.run_cell(blocks(padding=0) + '\nkeep(conv_block, DenseBlock)').raise_error()
    shell.run_cell(blocks(padding=1) + '\nkeep(conv_block)').raise_error()
    text = (tmp_path / 'my_densenet.py').read_text()
    assert text.count('def conv_block') == text.count('class DenseBlock') == 1 and 'padding=1' in text
    assert course.yours('DenseBlock').__module__ == 'my_densenet'


def test_a_decorated_definition_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / 'my_densenet.py'
    monkeypatch.setenv('D2L_DENSENET_OWN_FILE', str(path))
    old = 'import functools\n\nbefore = 1\n\n\n@functools.cache\n@functools.wraps(print)\ndef test_tolerance():\n' \
          '    return 1\n\n\nafter = 2\n'
    path.write_text(old)
    course.keep(test_tolerance)
    text = path.read_text()
    assert text.startswith('import functools\n\nbefore = 1\n\n\nafter = 2\n\n\ndef test_tolerance(capsys):\n    course')
    assert text.endswith('\n') and not text.endswith('\n\n')
    course.keep(test_tolerance)
    assert path.read_text() == text


def test_a_new_file_begins_with_what_its_definitions_need(tmp_path, monkeypatch, capsys):
    path = tmp_path / 'my_densenet.py'
    monkeypatch.setenv('D2L_DENSENET_OWN_FILE', str(path))
    course.keep(test_tolerance, blocks)
    assert capsys.readouterr().out == 'test_tolerance, blocks: kept in my_densenet.py\n'
    header, first, second = path.read_text().split('\n\n\n')
    assert header.startswith('\"\"\"What I wrote in the notebooks') and header.endswith('npx.set_np()')
    assert first.startswith('def test_tolerance(capsys):') and second.startswith('def blocks(padding):')


def test_an_error_in_the_file_is_named_with_its_line(tmp_path, monkeypatch, capsys):
    path = tmp_path / 'my_densenet.py'
    monkeypatch.setenv('D2L_DENSENET_OWN_FILE', str(path))
    path.write_text('x = 1\ny = (\n')
    course.keep(blocks)
    assert 'my_densenet.py has an error in line 2: fix or delete it' in capsys.readouterr().out
    assert path.read_text() == 'x = 1\ny = (\n'


def test_what_does_the_wrong_thing_is_named_and_replaced(shell, capsys):
    shell.run_cell(blocks(padding=0) + '\nkeep(conv_block)').raise_error()
    capsys.readouterr()
    assert course.yours('conv_block') is d2l_densenet.conv_block
    assert 'padding=1' in capsys.readouterr().out


def test_a_file_that_cannot_be_run_or_written_stops_nobody(shell, tmp_path, capsys, monkeypatch):
    (tmp_path / 'my_densenet.py').write_text('def conv_block(:')
    assert course.yours('conv_block') is d2l_densenet.conv_block
    assert 'SyntaxError' in capsys.readouterr().out
    course.keep(test_tolerance)
    assert 'Nothing was kept' in capsys.readouterr().out
    monkeypatch.setenv('D2L_DENSENET_OWN_FILE', str(tmp_path / 'nowhere' / 'my_densenet.py'))
    course.keep(test_tolerance)
    assert 'cannot be written' in capsys.readouterr().out


def test_the_packages_own_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv('D2L_DENSENET_OWN_FILE', str(tmp_path / 'my_densenet.py'))
    course.keep(d2l_densenet.conv_block)
    assert not (tmp_path / 'my_densenet.py').exists()
    course.keep(d2l_densenet.DenseBlock, test_tolerance)
    assert 'class DenseBlock' not in (tmp_path / 'my_densenet.py').read_text()


@pytest.mark.parametrize('definition', [3, len, 'conv_block', None])
def test_only_definitions_can_be_kept(definition, tmp_path, monkeypatch):
    monkeypatch.setenv('D2L_DENSENET_OWN_FILE', str(tmp_path / 'my_densenet.py'))
    with pytest.raises(TypeError, match='functions and classes'):
        course.keep(definition)


# The wager

@pytest.fixture
def tops(tmp_path, monkeypatch):
    """A test set in which every seventh image is a coat, and so on; the reader's file is an empty one."""
    monkeypatch.setenv('D2L_DENSENET_OWN_FILE', str(tmp_path / 'my_densenet.py'))
    return d2l_densenet.ImageLoader(numpy.zeros((70, 28, 28), 'uint8'), numpy.arange(70) % 7, batch_size=10)


def test_the_wager_shows_the_first_six_of_each_class(tops):
    chosen = course.wager_images(tops)
    assert chosen.tolist() == sorted(chosen) and chosen.tolist()[:5] == [2, 4, 6, 9, 11]
    assert numpy.bincount(tops.labels[chosen]).tolist() == [0, 0, 6, 0, 6, 0, 6]


@pytest.mark.parametrize('letters, score', [('pcs' * 6, 18), ('PCS pcs ' * 3, 18), ('p' * 18, 6), ('?' * 17 + 's', 1)])
def test_the_wager_counts_and_keeps_the_answers(tops, letters, score, capsys):
    course.wager('?' * 18, tops)
    course.wager(letters, tops)
    assert f'\n{score} of 18 right' in capsys.readouterr().out
    kept = course.wager_answers()
    assert sum(kept == tops.labels[course.wager_images(tops)]) == score and len(kept) == 18
    course.keep(test_tolerance)
    assert course.wager_answers().tolist() == kept.tolist() and course._own_module() is not None


def test_no_idea_is_no_class(tops, capsys):
    assert course.wager_answers() is None
    course.wager('? C P S' + ' ?' * 14, tops)
    assert course.wager_answers().tolist() == [-1, 4, 2, 6] + [-1] * 14
    assert capsys.readouterr().out.splitlines()[0].endswith(' of 18 right; guessing gives 6 on average')


@pytest.mark.parametrize('letters, said', [
    ('zyx' * 6, 'asked for; these are 18: zyxzyx'), ('pcs' * 5, 'asked for; these are 15: pcs'),
    (None, 'no labels yet'), ('cps', 'these are 3'), ('x' * 18, 'each c, p, s or ?'), ('pcs' * 7, 'these are 21')])
def test_a_wager_without_18_letters_is_none(tops, letters, said, capsys):
    course.wager(letters, tops)
    assert said in capsys.readouterr().out and course.wager_answers() is None


# Sliders

def test_sliders_draw_again_when_one_moves(monkeypatch):
    widgets = pytest.importorskip('ipywidgets')
    shown, drawn = [], []
    monkeypatch.setattr('IPython.display.display', lambda *parts, **options: shown.append((parts, options)))
    figure = d2l_densenet.draw_chain(2)
    course.sliders(lambda L: drawn.append(L) or figure, figure, L=(1, 8, 1))
    bundle = shown[-1][0][0]
    assert drawn == [4] and {'image/png', 'application/vnd.jupyter.widget-view+json'} < {*bundle}
    view = bundle['application/vnd.jupyter.widget-view+json']
    assert (view['version_major'], view['version_minor'], shown[-1][1]['raw']) == (2, 0, True)
    assert base64.b64decode(bundle['image/png']).startswith(b'\x89PNG')
    slider, = (child for child in _widget(widgets, view['model_id']).children if hasattr(child, 'min'))
    slider.value = 6
    assert drawn == [4, 6]
    assert 'plain chain' in shown[-1][1].get('metadata', shown[1][1].get('metadata', {}))['image/png']['alt']


def _widget(widgets, model_id):
    """A widget by its id, in ipywidgets 7 and 8."""
    registry = getattr(widgets.widgets.widget, '_instances', None) or widgets.Widget.widgets
    return registry[model_id]


def test_without_ipywidgets_the_filmstrip_is_shown(monkeypatch, capsys):
    shown = []
    monkeypatch.setitem(sys.modules, 'ipywidgets', None)
    monkeypatch.setattr('IPython.display.display', shown.append)
    figure = d2l_densenet.draw_chain(2)
    course.sliders(None, figure, L=(1, 8, 1))
    assert shown == [figure] and 'ipywidgets' in capsys.readouterr().out
