"""d2l 1.0.3: its Trainer trains the network on the data. In processes of their own, since d2l draws and switches."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(code):
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'MPLBACKEND': 'Agg'}
    return subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize('mode', ['np', 'nd'])
def test_trainer_trains(mode):
    """The two classes as d2l's readers use them; the optimizer that d2l makes is plain SGD at `lr`."""
    done = run(f'''
import mxnet as mx
mx.npx.{'set' if mode == 'np' else 'reset'}_np()
from d2l import mxnet as d2l
from d2l_densenet import evaluate_accuracy
from d2l_densenet.d2l_api import DenseNetClassifier, FashionMNISTData
mx.random.seed(1)
data = FashionMNISTData(batch_size=16, resize=32, data='synthetic', limit=320, seed=3)
assert data.num_workers == 0 and data.source.name == 'synthetic' and data.batch_size == 16
assert data.train_dataloader().shuffle and not data.val_dataloader().shuffle
assert len(data.train_dataloader()) == 20 and data.text_labels([0, 9]) == ['t-shirt/top', 'ankle boot']
model = DenseNetClassifier(lr=0.1)
assert isinstance(model, d2l.Classifier) and isinstance(data, d2l.DataModule)
trainer = d2l.Trainer(max_epochs=2, num_gpus=0)
trainer.fit(model, data)
assert trainer.train_batch_idx == 40 and trainer.optim.learning_rate == 0.1
losses = [point.y for point in model.board.data['train_loss']]
assert losses[-1] < 0.6 * losses[0], losses
assert sorted(model.board.data) == ['train_loss', 'val_acc', 'val_loss'] and len(model.board.data['val_acc']) == 2
# d2l averages over batches, and all of these 20 hold 16 images: its last accuracy is the package's.
accuracy = evaluate_accuracy(model.net, data.val_dataloader())
assert abs(accuracy - model.board.data['val_acc'][-1].y) < 1e-6 and accuracy > 0.3, accuracy
assert model.net._active, 'not hybridized'
data.visualize(next(iter(data.val_dataloader())), 2, 4)
assert [axes.get_title() for axes in d2l.plt.gcf().axes] == data.text_labels(data.val.labels[:8])
data.visualize(next(iter(data.val_dataloader())), labels='abcdefgh')
assert [axes.get_title() for axes in d2l.plt.gcf().axes] == [*'abcdefgh']
model.layer_summary((1, 1, 48, 48))
DenseNetClassifier(model.net.output).layer_summary((2, 248))
''')
    assert done.returncode == 0, done.stderr
    assert 'data: SYNTHETIC STAND-IN' in done.stdout
    assert 'Conv2D output shape:\t (1, 64, 24, 24)' in done.stdout and done.stdout.count('Dense output shape') == 2


def test_classes_and_a_network_of_ones_own():
    done = run(r'''
from mxnet import np, npx
npx.set_np()
from d2l_densenet import DenseNet
from d2l_densenet.d2l_api import DenseNetClassifier, FashionMNISTData
assert DenseNetClassifier(num_classes=7)(np.ones((2, 1, 48, 48))).shape == (2, 7)
net = DenseNet(growth_rate=4, block_config=(2, 2), classes=3)
net.initialize()
model = DenseNetClassifier()
assert model.lr == 0.1 and model(np.ones((2, 1, 48, 48))).shape == (2, 10)
data = FashionMNISTData(data='synthetic', limit=130)
assert [len(y) for _, y in data.train_dataloader()] == [64, 64, 2] and data.train.image_shape == (48, 48)
assert data.train.seed == data.train.crop == 0 and not data.train.flip and len(data.val.labels) == 130
held = FashionMNISTData(8, None, data='synthetic', limit=30, seed=5, flip=True, crop=2, validation=10)
assert (held.train.seed, held.train.flip, held.train.crop, held.train.num_examples, held.val.num_examples) == (
    5, True, 2, 20, 10)
assert held.val.image_shape == (28, 28) and held.val.batch_size == 8
model = DenseNetClassifier(net, num_classes=3)
X = np.ones((2, 1, 32, 32))
assert model.net is net and (model(X) == net(X)).all()
assert set(model.parameters()) == set(net.collect_params())
import io, contextlib
from mxnet import gluon
with contextlib.redirect_stdout(io.StringIO()) as printed:
    model.layer_summary((1, 1, 32, 32))
lines = printed.getvalue().splitlines()
assert len(lines) == len(net.features) + 1 and lines[0] == 'Conv2D output shape:\t (1, 64, 16, 16)', lines
assert lines[-1] == 'Dense output shape:\t (1, 3)'
net.output = gluon.nn.Dense(4)
net.output.initialize()
assert DenseNetClassifier(net, num_classes=4)(X).shape == (2, 4)
net.output = gluon.nn.Dense(3)
net.output.initialize()
for wrong in ({'net': net}, {'lr': 0}, {'lr': 'fast'}, {'num_classes': 0}):
    try:
        DenseNetClassifier(**wrong)
    except ValueError as error:
        assert f'{"num_classes" if "net" in wrong else next(iter(wrong))} must' in str(error) or 'classes' in str(error)
    else:
        raise AssertionError(wrong)
''')
    assert done.returncode == 0, done.stderr


def test_without_d2l_the_remedy_is_told():
    done = run('import sys; sys.modules["d2l"] = None\nimport d2l_densenet.d2l_api')
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('ImportError: ') and 'pip install d2l==1.0.3' in last and 'make env' in last


def test_the_package_does_not_import_it():
    done = run('''
import sys, d2l_densenet
for name in d2l_densenet.__all__:
    getattr(d2l_densenet, name)
assert 'd2l_densenet.d2l_api' not in sys.modules and 'd2l' not in sys.modules
''')
    assert done.returncode == 0, done.stderr
