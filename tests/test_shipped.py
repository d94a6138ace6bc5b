"""What the package ships of long runs: weights, how they were made, and the histories of the recorded runs."""

import mxnet as mx
import numpy
import pytest
from helpers import MODES, ROOT, switch

from d2l_densenet import RECIPES, DenseNet, History, ImageLoader, evaluate_accuracy, load_data_fashion_mnist, shipped
from d2l_densenet._common import disk
from d2l_densenet.data.official import OFFICIAL, Unavailable


@pytest.mark.parametrize('mode', MODES)
def test_the_weights_are_those_of_the_articles_network(mode):
    array = switch(mode)
    net = shipped.trained_network()
    assert net.config == DenseNet().config == {**shipped.weights_record()['network']}
    X = array(numpy.random.rand(2, 1, 48, 48).astype('float32'))
    assert net(X).shape == (2, 10) and numpy.isfinite(net(X).asnumpy()).all()
    # Trained: the running statistics are no longer those of a new network.
    assert all(float(abs(param.data().asnumpy()).max()) > 0 for name, param in net.collect_params().items()
               if name.endswith('running_mean'))


def test_they_reach_the_accuracy_of_their_record():
    try:
        _, test_iter = load_data_fashion_mnist(500, resize=48, data='fashion-mnist')
    except Unavailable:
        pytest.skip('Fashion-MNIST is not available')
    images, labels = test_iter.images[:1000], test_iter.labels[:1000]
    part = evaluate_accuracy(shipped.trained_network(), ImageLoader(images, labels, 500))
    said = shipped.weights_record()['history']['rows'][-1]['test_acc']
    # 1,000 of the 10,000 images: three standard errors.
    assert said > 0.92 and abs(part - said) < 3 * (said * (1 - said) / 1000) ** 0.5


def test_the_record_says_how_they_were_made():
    record = shipped.weights_record()
    assert {'command', 'started', 'versions', 'machine', 'device'} <= record.keys()
    assert record['data'] == {'name': 'fashion-mnist', 'checksum': f'md5:{OFFICIAL[0].md5}'}
    assert record['recipe'] in RECIPES and record['limit'] is None and record['validation'] == 0
    assert len(History.from_dict(record['history'])) == record['epochs'] == 5


@pytest.mark.parametrize('recipe', ['article', 'course'])
def test_three_recorded_runs_of_each_recipe(recipe):
    runs = shipped.recorded_runs(recipe)
    assert [(run['recipe'], run['seed'], run['size'], run['epochs']) for run in runs] == [
        (recipe, seed, 48, 5) for seed in range(3)]
    assert all(len(History.from_dict(run['history'])) == 5 for run in runs)


def test_from_a_wheel_the_records_in_the_package_count(tmp_path, monkeypatch):
    for folder in (tmp_path / 'records', tmp_path / 'package' / 'records'):
        folder.mkdir(parents=True)
        for seed in range(3):
            (folder / f'article-seed{seed}.json').write_text(f'{{"place": "{folder.parent.name}"}}')
    monkeypatch.setattr(disk, 'PACKAGE', tmp_path / 'package')
    assert shipped.recorded_runs('article') == 3 * [{'place': 'package'}]


def test_the_weights_are_in_the_checkout():
    assert (ROOT / 'd2l_densenet' / 'weights' / 'course-seed0.safetensors').stat().st_size < 4e6
    assert mx.cpu() in next(iter(shipped.trained_network().collect_params().values())).list_ctx()
