"""fit and train_ch5: against a hand-written loop, and what happens when things go wrong."""

import pathlib
import re
import runpy

import article
import mxnet as mx
import numpy
import pytest
from helpers import MODES, Batches, classifier, loader, network, same, switch, values
from mxnet import autograd, gluon

import d2l_densenet
from d2l_densenet import ResumeError, evaluate_accuracy, fit, train_ch5
from d2l_densenet.training import SmoothedCrossEntropyLoss

LINE = re.compile(r'^epoch (\d+), loss \d+\.\d{4}, train acc [01]\.\d{3}, test acc [01]\.\d{3}, time \d+\.\d sec', re.M)


@pytest.mark.parametrize('mode', MODES)
def test_fit_is_the_loop_one_would_write(mode):
    switch(mode)
    mx.random.seed(5)
    net = classifier()
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1, 'momentum': 0.9})
    loss, losses, shares = gluon.loss.SoftmaxCrossEntropyLoss(), [], []
    mx.random.seed(5)
    for _ in range(3):
        total = right = 0
        for X, y in Batches():
            with autograd.record():
                scores = net(X)
                value = loss(scores, y)
            value.backward()
            trainer.step(len(y))
            total += float(value.asnumpy().sum())
            right += int((scores.asnumpy().argmax(axis=1) == y.asnumpy()).sum())
        losses.append(total / 20)
        shares.append(right / 20)
    mx.random.seed(5)
    again = classifier()
    history = fit(again, Batches(), Batches(), 3, seed=5, optimizer_params={'learning_rate': 0.1, 'momentum': 0.9})
    numpy.testing.assert_allclose(history['loss'], losses, rtol=1e-6)
    assert history['train_acc'] == shares and shares[0] != 0.5
    for a, b in zip(values(net), values(again)):
        numpy.testing.assert_array_equal(a, b)
    assert history['test_acc'][-1] == evaluate_accuracy(again, Batches())
    assert history['epoch'] == [1, 2, 3] and history['learning_rate'] == [0.1] * 3


def test_the_last_short_batch_counts_by_its_own_size_in_fit_and_by_batch_size_in_train_ch5():
    """With all rates scaled, only the last batch of 4 tells the two apart: there the step is half as long."""
    after = {}
    for name in ('fit', 'train_ch5'):
        mx.random.seed(5)
        net = gluon.nn.Dense(2, in_units=16)
        net.initialize(mx.init.Normal(0.1))
        batches = list(Batches())[2:]
        before = net.weight.data().asnumpy()
        if name == 'fit':
            fit(net, batches, None, 1, progress=False)
        else:
            trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
            train_ch5(net, batches, None, 8, trainer, mx.cpu(), 1)
        after[name] = net.weight.data().asnumpy() - before
    numpy.testing.assert_allclose(after['fit'], 2 * after['train_ch5'], rtol=1e-4)


def test_train_ch5_prints_the_articles_lines(capsys):
    net = classifier()
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
    history = train_ch5(net, Batches(), Batches(), 8, trainer, mx.cpu(), 2)
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == 'training on cpu(0)'
    assert [int(n) for n in LINE.findall(printed.out)] == [1, 2] == history['epoch']
    assert all(line.endswith('sec') for line in printed.out.splitlines()[1:])
    assert not printed.err


@pytest.mark.parametrize('program', ['own', 'article', "article, the package's blocks"])
def test_the_articles_program_runs(program, monkeypatch, capsys, tmp_path):
    """It needs to import this package instead of d2lzh, and nothing else. Fewer images, drawn ones, to be quick."""
    load = d2l_densenet.load_data_fashion_mnist
    monkeypatch.setattr(d2l_densenet, 'load_data_fashion_mnist',
                        lambda batch_size, resize: load(batch_size, resize, data='synthetic', limit=300))
    text = pathlib.Path(article.__file__).read_text() if program == 'own' else article.listing()
    if program.endswith('blocks'):
        for start, end in [('def conv_block', 'blk=DenseBlock'), ('def transition_block', 'blk=transition_block')]:
            begin = text.index(start)
            text = text[:begin] + text[text.index(end, begin):]
        text = 'from d2l_densenet import conv_block, DenseBlock, transition_block\n' + text
    path = tmp_path / 'program.py'
    path.write_text(text)
    runpy.run_path(str(path), run_name='__main__')
    out = capsys.readouterr().out
    assert program == 'own' or '(4, 45, 22, 22)\n(4, 10, 11, 11)\n' in out
    assert [int(n) for n in LINE.findall(out)] == [1, 2, 3, 4, 5]


def test_a_lost_indentation_is_restored_by_rule():
    page = ['class A(B):', 'def f(self,x):', 'for y in x:', 'x=g(x,', 'y)', 'return x', 'a sentence: 过渡层', 'a=A()',
            'for i in a:#one', 'if i:', 'i+=1', 'a.h(i)', '#最后', 'a.k()', 'def l(m):', 'return m', 'l(a)']
    assert article.restored('\n'.join(page)).splitlines() == [
        'class A(B):', '    def f(self,x):', '        for y in x:', '            x=g(x, y)', '        return x',
        'a=A()', 'for i in a:', '    if i:', '        i+=1', '        a.h(i)', 'a.k()', 'def l(m):', '    return m',
        'l(a)']


def test_the_schedule_is_followed():
    net = classifier()
    scheduler = mx.lr_scheduler.FactorScheduler(step=3, factor=0.5, base_lr=0.2)
    history = fit(net, Batches(), None, 3, optimizer='nag', optimizer_params={'momentum': 0.9},
                  lr_scheduler=scheduler, progress=False)
    assert history['learning_rate'] == pytest.approx([0.2, 0.1, 0.05])


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match='not initialized'):
        fit(gluon.nn.Dense(2), Batches())
    with pytest.raises(ValueError, match='num_epochs.*0'):
        fit(classifier(), Batches(), num_epochs=0)
    with pytest.raises(ValueError, match='no batches'):
        fit(classifier(), [])
    with pytest.raises(ValueError, match='second pass'):
        fit(classifier(), iter(Batches()), num_epochs=2, progress=False)
    with pytest.raises(TypeError, match="ctx.*'cpu'"):
        fit(classifier(), Batches(), ctx='cpu')
    with pytest.raises(ValueError, match='already has its own'):
        fit(classifier(), Batches(), optimizer=mx.optimizer.SGD(), optimizer_params={'learning_rate': 1})
    with pytest.raises(ValueError, match="kvstore must be one of 'device', 'dist_sync', got 'dist_async'"):
        fit(classifier(), Batches(), kvstore='dist_async')
    with pytest.raises(TypeError, match='gluon.Trainer'):
        train_ch5(classifier(), Batches(), Batches(), 8, 'sgd', mx.cpu(), 1)
    with pytest.raises(ValueError, match='data_iter gave no images$'):
        evaluate_accuracy(classifier(), [])
    with pytest.raises(ValueError, match='data_iter gave no images: it is a generator'):
        evaluate_accuracy(classifier(), iter([]))


@pytest.mark.parametrize('mode', MODES)
def test_label_smoothing_is_cross_entropy_with_softened_targets(mode):
    array = switch(mode)
    scores, labels = numpy.random.normal(size=(6, 4)).astype('float32'), numpy.array([0, 3, 1, 1, 2, 0])
    targets = numpy.full((6, 4), 0.2 / 4) + 0.8 * numpy.eye(4)[labels]
    log_p = scores - numpy.log(numpy.exp(scores).sum(axis=1, keepdims=True))
    losses = SmoothedCrossEntropyLoss(0.2)(array(scores), array(labels))
    numpy.testing.assert_allclose(losses.asnumpy(), -(targets * log_p).sum(axis=1), rtol=1e-5)


def test_the_history_holds_the_plain_cross_entropy():
    def run(**kwargs):
        net = gluon.nn.Dense(3, in_units=4)
        mx.random.seed(2)
        net.initialize(mx.init.Normal(1))
        X = mx.nd.array([[1, 2, 3, 4], [4, 3, 2, 1]])
        return fit(net, [(X, mx.nd.array([0, 2]))], num_epochs=1, optimizer_params={'learning_rate': 0.0},
                   progress=False, **kwargs)['loss'][0]
    # With these scores the smoothed loss is another; at a rate of 0 the plain one is the same, whatever trains.
    assert run() == run(label_smoothing=0.3)
    with pytest.raises(ValueError, match='label_smoothing'):
        run(label_smoothing=1)
    with pytest.raises(ValueError, match='give one of the two'):
        run(label_smoothing=0.1, loss=gluon.loss.L2Loss())


def test_numbers_may_be_numpys(tmp_path):
    history = fit(network('nd'), loader(), num_epochs=numpy.int64(1), seed=numpy.int64(3), progress=False,
                  optimizer_params={'learning_rate': numpy.float32(0.5)}, label_smoothing=numpy.float32(0.5),
                  checkpoint_dir=tmp_path)
    assert type(history['learning_rate'][0]) is float and 'learning_rate": 0.5' in history.to_json()
    with pytest.raises(ResumeError, match='lr: 0.5 in the checkpoint, 0.25 here'):
        fit(network('nd'), loader(), num_epochs=2, seed=3, progress=False, label_smoothing=0.5, resume=True,
            optimizer_params={'learning_rate': numpy.float32(0.25)}, checkpoint_dir=tmp_path)


@pytest.mark.parametrize('options', [
    {'optimizer': mx.optimizer.create('sgd', learning_rate=numpy.float32(0.5))},
    {'lr_scheduler': mx.lr_scheduler.FactorScheduler(100, base_lr=numpy.float32(0.5))}])
def test_numbers_may_be_numpys_inside_what_is_given(options, tmp_path):
    history = fit(network('nd'), loader(), num_epochs=1, progress=False, checkpoint_dir=tmp_path, **options)
    assert '"learning_rate": 0.5' in history.to_json()


def test_a_batch_of_nothing_is_no_end():
    batch = next(iter(loader()))
    with pytest.raises(TypeError, match='batch 2 of train_iter'):
        fit(network('nd'), [batch, None, batch], num_epochs=1, progress=False)


def test_the_devices_of_the_network_are_all_used():
    net = network('nd')
    fit(net, loader(), num_epochs=1, ctx=[mx.cpu(0), mx.cpu(1)], progress=False)
    fit(net, loader(), num_epochs=1, progress=False)
    assert next(iter(net.collect_params().values())).list_ctx() == [mx.cpu(0), mx.cpu(1)]
    trainer = gluon.Trainer(net.collect_params(), 'sgd')
    with pytest.raises(ValueError, match='ctx must be the only device of net'):
        train_ch5(net, loader(), loader(), 16, trainer, mx.cpu(), 1)


def test_an_epoch_is_kept_whatever_comes_after_it(tmp_path, capsys):
    def fail(history):
        raise OSError('disk full')
    whole = network('nd')
    fit(whole, loader(), num_epochs=2, seed=3, progress=False)
    with pytest.raises(OSError, match='disk full'):
        fit(network('nd'), loader(), num_epochs=1, seed=3, progress=False, on_epoch=fail, checkpoint_dir=tmp_path,
            checkpoint_seconds=999)
    again = network('nd')
    history = fit(again, loader(), num_epochs=2, seed=3, progress=False, checkpoint_dir=tmp_path, resume=True)
    assert 'resumed in epoch 2, after batch 0' in capsys.readouterr().out
    assert history['epoch'] == [1, 2] and same(values(whole), values(again))
