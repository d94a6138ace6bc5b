"""Fashion-MNIST in batches: which data are loaded, and what the loader makes of them."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import re

import mxnet as mx
import numpy
import pytest
from helpers import MODES, python, same, switch
from mxnet.gluon.data.vision import transforms

from d2l_densenet import DataError, DataSource, ImageLoader, load_data_fashion_mnist
from d2l_densenet.data import loader as data
from d2l_densenet.data import official
from d2l_densenet.data.official import find_fashion_mnist


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    """No files and no network."""
    monkeypatch.delenv('D2L_DENSENET_DATA', raising=False)
    monkeypatch.setattr(data, 'find_fashion_mnist', functools.partial(
        find_fashion_mnist, cache=str(tmp_path), mirrors=['http://127.0.0.1:1/']))


def test_auto_falls_back_under_a_banner(nothing, capfd):
    train, test = load_data_fashion_mnist(8, limit=40)
    out, err = capfd.readouterr()
    assert 'THIS IS NOT FASHION-MNIST' in out and 'no connection' in out and 'D2L_DENSENET_DATA' in out and not err
    assert out.count('\n') > 15 and max(map(len, out.split('\n'))) <= 110 and '\n' + '#' * 100 + '\n##' in out
    for loader in (train, test):
        assert loader.source.name == 'synthetic' and 'SYNTHETIC STAND-IN' in str(loader.source)
        assert 'SYNTHETIC' in repr(loader)


def test_the_banner_promises_no_cache_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv('D2L_DENSENET_DATA', raising=False)
    (tmp_path / 'file').write_text('')
    for place, named in ((tmp_path / 'cache', True), (tmp_path / 'file', False)):
        monkeypatch.setattr(official.tempfile, 'tempdir', str(place))
        monkeypatch.setenv('XDG_CACHE_HOME', str(place))
        monkeypatch.setattr(data, 'find_fashion_mnist', functools.partial(
            find_fashion_mnist, mirrors=['http://127.0.0.1:1/']))
        load_data_fashion_mnist(8, limit=40)
        out = capsys.readouterr().out
        assert (f'##      {place}/d2l-densenet\n' in out) == named
        assert ('put them into\n##  a directory whose path you set' in out) != named
        assert named or f'{place}/d2l-densenet: cannot be written' in ' '.join(out.replace('##', '').split())


def test_fashion_mnist_refuses_the_stand_in(nothing, capsys):
    with pytest.raises(DataError, match='no download worked'):
        load_data_fashion_mnist(8, data='fashion-mnist', limit=40)
    assert 'STAND-IN' not in capsys.readouterr().out


def test_synthetic_asks_for_it(monkeypatch, capsys):
    monkeypatch.setattr(data, 'find_fashion_mnist', None)  # whoever looks for files fails
    train, _ = load_data_fashion_mnist(8, data='synthetic', limit=40)
    assert train.source.name == 'synthetic' and train.num_examples == 40
    assert capsys.readouterr().out == 'data: SYNTHETIC STAND-IN (not Fashion-MNIST)\n'


@pytest.mark.parametrize('wrong', [
    {'batch_size': 0}, {'batch_size': 2.0}, {'resize': (28, 28)}, {'limit': 0}, {'seed': -1}, {'validation': 40},
    {'validation': 41}, {'data': 'mnist'}, {'crop': 28}, {'crop': 29}, {'erase': 1.0},
    {'root': '.', 'data': 'synthetic'}], ids=str)
def test_wrong_arguments_are_named(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f'^{name} must ') as caught:
        load_data_fashion_mnist(**{'batch_size': 8, 'data': 'synthetic', 'limit': 40, **wrong})
    assert repr(wrong[name]) in str(caught.value)


@pytest.mark.parametrize('wrong', [{'crop': 28}, {'crop': 40, 'resize': 40}, {'batch_size': 0}, {'limit': 0},
                                   {'validation': -1}, {'root': ''}, {'data': 'mnist'}], ids=str)
def test_what_is_refused_is_refused_before_anything_is_looked_for(wrong, monkeypatch):
    looked, arrays = [], [*some_images(), *some_images()]
    monkeypatch.setattr(data, 'find_fashion_mnist', lambda root: looked.append(root) or (arrays, 'there'))
    with pytest.raises(ValueError, match=f'^{next(iter(wrong))} must '):
        load_data_fashion_mnist(**{'batch_size': 8, **wrong})
    assert not looked
    assert load_data_fashion_mnist(8, crop=27)[0].crop == 27 and looked == [None]


def test_the_stand_in_has_12000_and_2000_images_or_the_limit(monkeypatch, capsys):
    drawn = []

    def draw(num, seed):
        drawn.append((num, seed))
        return numpy.zeros((num, 28, 28), 'uint8'), numpy.zeros(num, 'int32')

    monkeypatch.setattr(data, 'synthetic_fashion', draw)
    for limit in (None, 100, 3000, 20000):
        load_data_fashion_mnist(8, data='synthetic', limit=limit)
    seeds = 20170825, 20170831
    assert drawn == [(num, seed) for pair in ((12000, 2000), (100, 100), (3000, 2000), (12000, 2000))
                     for num, seed in zip(pair, seeds)]


def some_images(n=23, height=28, width=28):
    rng = numpy.random.default_rng(11)
    return rng.integers(0, 256, (n, height, width), dtype='uint8'), rng.integers(0, 10, n)


def everything(loader):
    """One pass as two numpy arrays."""
    batches = [(X.asnumpy(), y.asnumpy()) for X, y in loader]
    return tuple(numpy.concatenate(part) for part in zip(*batches))


@pytest.mark.parametrize('mode', MODES)
def test_batches_are_arrays_of_the_mode(mode):
    switch(mode)
    images, labels = some_images()
    loader = ImageLoader(images, labels, 8)
    kind = mx.np.ndarray if mode == 'np' else mx.nd.NDArray
    batches = list(loader)
    assert [X.shape for X, y in batches] == [(8, 1, 28, 28), (8, 1, 28, 28), (7, 1, 28, 28)] and len(loader) == 3
    for X, y in batches:
        assert type(X) is type(y) is kind and X.context == y.context == mx.cpu()
        assert X.dtype == numpy.float32 and y.dtype == numpy.int32
    X, y = everything(loader)
    numpy.testing.assert_array_equal(X[:, 0], images.astype('float32') / numpy.float32(255))
    numpy.testing.assert_array_equal(y, labels)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('size', [48, 33, 20, 28])
def test_resize_is_gluons_to_the_bit(mode, size):
    images, labels = some_images(5)
    if size == 33:
        images = images[:, :20]  # not square: the sides are scaled each its own way
    images[1:] = data._resized(images[1:], 7).repeat(4, axis=1).repeat(4, axis=2)[:, :images.shape[1]]  # smoother
    X, _ = everything(ImageLoader(images, labels, 3, resize=size))
    switch(mode)
    array = mx.np.array if mode == 'np' else mx.nd.array
    both = transforms.Compose([transforms.Resize(size), transforms.ToTensor()])
    for image, x in zip(images, X):
        numpy.testing.assert_array_equal(x, both(array(image[:, :, None], dtype='uint8')).asnumpy())


def test_resize_per_batch_is_resize_at_once(monkeypatch):
    images, labels = some_images()
    make = functools.partial(ImageLoader, images, labels, 8, resize=40, shuffle=True, flip=True, crop=3)
    at_once = make()
    monkeypatch.setattr(data, '_RESIZE_AT_ONCE', 100)
    per_batch = make()
    assert at_once.images.shape == (23, 40, 40) and per_batch.images.shape == (23, 28, 28)
    assert at_once.image_shape == per_batch.image_shape == (40, 40)
    for a, b in zip(everything(at_once), everything(per_batch)):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('count, size, at_once', [
    (1000, 1000, True), (1000, 1001, False), (60000, 129, True), (60000, 130, False)])
def test_up_to_a_billion_pixels_are_resized_at_once(count, size, at_once, monkeypatch):
    resized = []
    monkeypatch.setattr(data, '_resized', lambda images, size: resized.append(size) or images)
    loader = ImageLoader(numpy.zeros((count, 1, 1), 'uint8'), numpy.zeros(count), 8, resize=size)
    assert (resized, loader.resize) == (([size], None) if at_once else ([], size))
    assert loader.image_shape == (size, size)


def test_images_are_scaled_to_4096_pixels_at_most():
    images = numpy.full((1, 2, 2), 9, 'uint8')
    assert ImageLoader(images, [0], 1, resize=4096).images.shape == (1, 4096, 4096)
    with pytest.raises(ValueError, match='resize must be an integer of at most 4,096, got 4097'):
        ImageLoader(images, [0], 1, resize=4097)


@pytest.mark.parametrize('height, width', [(9, 12), (12, 9)])
def test_a_crop_is_below_the_shorter_side(height, width):
    make = functools.partial(ImageLoader, *some_images(5, height, width), 8)
    assert next(iter(make(crop=8)))[0].shape == (5, 1, height, width)
    for crop in (9, 10, 12, 40):
        with pytest.raises(ValueError, match=f'crop must be an integer of at most 8, got {crop}'):
            make(crop=crop)


def test_labels_up_to_32_bits_are_kept():
    assert ImageLoader(*some_images(2)[:1], [0, 2 ** 31 - 1], 2).labels.tolist() == [0, 2 ** 31 - 1]


def test_order_depends_on_seed_and_pass_only():
    images, _ = some_images()
    labels = numpy.arange(23)
    make = functools.partial(ImageLoader, images, labels, shuffle=True)
    loader = make(8, seed=4)
    passes = [everything(loader) for _ in range(3)]
    assert loader.epoch == 3
    for X, y in passes:
        assert sorted(y) == list(labels), 'an image is lost or twice there'
        numpy.testing.assert_array_equal(X[:, 0], images[y] / numpy.float32(255), 'image and label belong together')
    orders = [list(y) for _, y in passes]
    assert list(labels) not in orders and orders[0] != orders[1] != orders[2] != orders[0]
    numpy.random.seed(99)  # the global generator has no say, nor has the batch size
    assert [list(everything(again)[1]) for again in [make(5, seed=4)] * 3] == orders
    assert list(everything(make(8, seed=5))[1]) != orders[0]
    loader.epoch = 1
    assert list(everything(loader)[1]) == orders[1] and loader.epoch == 2


def test_parts_are_consecutive_and_what_cannot_be_shared_is_left_out():
    images, _ = some_images(23)
    whole = ImageLoader(images, numpy.arange(23), 9)
    given = [[y.asnumpy().tolist() for _, y in whole.part(rank, 3)] for rank in range(3)]
    assert given == [[[0, 1, 2], [9, 10, 11], [18]], [[3, 4, 5], [12, 13, 14], [19]], [[6, 7, 8], [15, 16, 17], [20]]]
    assert [len(whole.part(rank, 3)) for rank in range(3)] == [3, 3, 3] and len(whole.part(0, 9)) == 2


def test_two_passes_at_a_time_do_not_mix():
    images, _ = some_images()
    make = functools.partial(ImageLoader, images, numpy.arange(23), 8, shuffle=True)
    one, two = make(), make()
    first, second = iter(one), iter(one)
    mixed = [(next(first)[1].asnumpy(), next(second)[1].asnumpy()) for _ in range(3)]
    for got in zip(*mixed):
        numpy.testing.assert_array_equal(numpy.concatenate(got), everything(two)[1])


@pytest.mark.parametrize('flip, crop', [(True, 0), (False, 2), (True, 3)])
def test_augmentation_against_a_plain_loop(flip, crop):
    """Each image, one by one, is one of the windows of itself or of its mirror image; all of them come up."""
    images, labels = some_images(1200, 9, 12)
    loader = ImageLoader(images, numpy.arange(1200) % 10, 64, flip=flip, crop=crop, seed=2)
    X = (everything(loader)[0][:, 0] * 255).round().astype('uint8')
    drawn = []
    for image, got in zip(images, X):
        fits = set()
        for mirrored in ([False, True] if flip else [False]):
            frame = numpy.zeros((9 + 2 * crop, 12 + 2 * crop), 'uint8')
            for row in range(9):
                for column in range(12):
                    frame[crop + row, crop + column] = image[row, 11 - column if mirrored else column]
            for down in range(2 * crop + 1):
                for right in range(2 * crop + 1):
                    if numpy.array_equal(frame[down:down + 9, right:right + 12], got):
                        fits.add((mirrored, down, right))
        assert len(fits) == 1
        drawn += fits
    assert len(set(drawn)) == (1 + flip) * (2 * crop + 1) ** 2
    if flip:
        counted = sum(kind for kind, _, _ in drawn)
        assert 530 < counted < 670  # four standard deviations around half of 1200
    # The pass after this one draws anew, the same pass again draws the same; the images stay as they were.
    assert not numpy.array_equal(everything(loader)[0], X / numpy.float32(255))
    loader.epoch = 0
    numpy.testing.assert_array_equal((everything(loader)[0][:, 0] * 255).round(), X)
    numpy.testing.assert_array_equal(loader.images, some_images(1200, 9, 12)[0])


def test_erasing_overwrites_one_rectangle_of_some_images():
    images = numpy.full((2000, 20, 30), 7, 'uint8')
    make = functools.partial(ImageLoader, images, numpy.arange(2000) % 10, erase=0.25, seed=3)
    X = (everything(make(64))[0][:, 0] * 255).round().astype('uint8')
    hit, shares, tops, lefts = 0, [], set(), set()
    for image in X:
        rows, columns = numpy.nonzero(image != 7)
        if not len(rows):
            continue
        hit += 1
        # One value of 256 is as before by chance: the box around the others is the rectangle, nearly all of it changed.
        top, left, high, wide = rows.min(), columns.min(), numpy.ptp(rows) + 1, numpy.ptp(columns) + 1
        assert len(rows) >= 0.8 * high * wide
        shares.append(high * wide / 600)
        tops.add(top)
        lefts.add(left)
        assert 1 / 4.5 < high / wide < 4.5
    assert 420 < hit < 580  # four standard deviations around a quarter of 2000
    assert 0.01 < min(shares) < 0.04 and 0.2 < max(shares) <= 0.25
    assert len(tops) > 12 and len(lefts) > 18
    numpy.testing.assert_array_equal((everything(make(77))[0][:, 0] * 255).round(), X)  # whatever the batch size
    numpy.testing.assert_array_equal(images, 7)
    # Rectangles touch each edge, and what is in them is of every shade.
    changed = (X != 7).any(axis=0)
    assert changed.all()
    assert set(numpy.unique(X[X != 7])) == {*range(256)} - {7}


def test_in_a_tiny_image_a_single_pixel_is_erased():
    loader = ImageLoader(numpy.full((4000, 3, 3), 7, 'uint8'), numpy.zeros(4000), 500, erase=0.999, seed=1)
    count = (everything(loader)[0][:, 0] != numpy.float32(7) / numpy.float32(255)).sum(axis=(1, 2))
    # At most a quarter of nine pixels; by chance, one in a thousand is not hit and one in 256 gets the shade it had.
    assert count.max() in (1, 2) and (count == 0).mean() < 0.015 and (count == 1).mean() > 0.5


@pytest.mark.parametrize('images, labels, message', [
    (numpy.zeros((3, 28, 28), 'float32'), [0, 1, 2], 'uint8 of shape .n, h, w., got float32'),
    (numpy.zeros((3, 1, 28, 28), 'uint8'), [0, 1, 2], r'got uint8 \(3, 1, 28, 28\)'),
    (numpy.zeros((3, 28, 28), 'uint8'), [0, 1], r'labels must be of shape \(3,\)'),
    (numpy.zeros((0, 28, 28), 'uint8'), [], r'got uint8 \(0, 28, 28\)'),
    (numpy.zeros((3, 28, 28), 'uint8'), [0, 1.5, 2], 'got 1.5 at position 1'),
    (numpy.zeros((3, 28, 28), 'uint8'), [0, float('nan'), 2], 'got nan at position 1'),
    (numpy.zeros((3, 28, 28), 'uint8'), [0, 1, -2], 'got -2 at position 2'),
    (numpy.zeros((3, 28, 28), 'uint8'), [0, 1, 2.0 ** 31], 'got 2147483648.0 at position 2')])
def test_loader_refuses_other_arrays(images, labels, message):
    with pytest.raises(ValueError, match=message):
        ImageLoader(images, labels, 2)


def test_limit_and_validation(monkeypatch):
    arrays = [*some_images(50), *some_images(20)]
    monkeypatch.setattr(data, 'find_fashion_mnist', lambda root: (arrays, root))
    load = functools.partial(load_data_fashion_mnist, 8, root='here')
    train, test = load(limit=30)
    assert same([train.images, test.images], [arrays[0][:30], arrays[2]]) and train.source.location == 'here'
    assert train.shuffle and not test.shuffle
    train, held = load(validation=20, seed=6)
    assert (train.num_examples, held.num_examples) == (30, 20)
    rows = [{image.tobytes() for image in loader.images} for loader in (train, held)]
    assert not rows[0] & rows[1] and rows[0] | rows[1] == {image.tobytes() for image in arrays[0]}
    assert same([load(validation=20, seed=6)[1].images], [held.images])
    assert not same([load(validation=20, seed=7)[1].images], [held.images])


@pytest.mark.parametrize('name, told', [
    ('fashion-mnist', 'Fashion-MNIST (official, md5 01234567...)'), ('arrays', 'arrays (md5 01234567...)'),
    ('synthetic', 'SYNTHETIC STAND-IN (not Fashion-MNIST)')])
def test_a_source_and_its_loader_say_what_they_are(name, told):
    source = DataSource(name, 'md5:0123456789abcdef0123456789abcdef', 'memory')
    loader = ImageLoader(numpy.zeros((1234, 3, 4), 'uint8'), numpy.zeros(1234), 100, source=source)
    assert str(source) == told and repr(loader) == f'ImageLoader(1,234 images 3x4, batch_size=100, {told})'


def test_the_checksum_is_that_of_the_images_and_labels_one_after_the_other():
    images, labels = some_images()
    source = ImageLoader(images, labels.astype('float64'), 8).source
    expected = hashlib.md5(images.tobytes() + labels.astype('int32').tobytes()).hexdigest()
    assert (source.name, source.checksum, source.location) == ('arrays', f'md5:{expected}', 'memory')


def test_source_is_plain_data():
    train, _ = load_data_fashion_mnist(8, data='synthetic', limit=10)
    assert re.fullmatch('md5:[0-9a-f]{32}', train.source.checksum)
    assert dataclasses.asdict(train.source)['name'] == 'synthetic'
    with pytest.raises(dataclasses.FrozenInstanceError):
        train.source.name = 'fashion-mnist'


REAL = os.environ.get('D2L_DENSENET_DATA') or ''
real = pytest.mark.skipif(not os.path.isdir(REAL), reason='needs the official files: set D2L_DENSENET_DATA')


@real
def test_official_files():
    """Against the numbers that Zalando publishes and that are known of the data set."""
    published = ['8d4fb7e6c68d591d4c3dfef9ec88bf0d', '25c81989df183df01b3e8a0aad5dffbe',
                 'bef4ecab320f06d8554ea6380940ec79', 'bb300cfdad3c16e7a12a480ee83cd310']
    for file, md5 in zip(official.OFFICIAL, published):
        path = pathlib.Path(REAL, file.name + '.gz')
        if path.exists():
            assert hashlib.md5(path.read_bytes()).hexdigest() == md5
    train, test = load_data_fashion_mnist(256, data='fashion-mnist')
    assert train.images.shape == (60000, 28, 28) and test.images.shape == (10000, 28, 28)
    assert list(numpy.bincount(train.labels)) == [6000] * 10 and list(numpy.bincount(test.labels)) == [1000] * 10
    pixels = train.images / 255
    assert round(pixels.mean(), 4) == 0.2860 and round(pixels.std(), 4) == 0.3530
    assert str(train.source) == 'Fashion-MNIST (official, md5 8d4fb7e6...)' and train.source.name == 'fashion-mnist'
    assert len(train) == 235 and sum(len(y) for _, y in test) == 10000


@real
def test_real_images_resized_as_gluon_does():
    train, _ = load_data_fashion_mnist(32, data='fashion-mnist', limit=32)
    larger, _ = load_data_fashion_mnist(32, 48, data='fashion-mnist', limit=32)
    both = transforms.Compose([transforms.Resize(48), transforms.ToTensor()])
    larger.shuffle = False
    for image, x in zip(train.images, everything(larger)[0]):
        numpy.testing.assert_array_equal(x, both(mx.nd.array(image[:, :, None], dtype='uint8')).asnumpy())


@pytest.mark.parametrize('mode', MODES)
def test_new_process_without_network_gets_the_stand_in(mode, tmp_path):
    """As a student does it who has neither files nor network: within seconds, nothing on stderr."""
    code = (f'import mxnet as mx; mx.npx.{"set" if mode == "np" else "reset"}_np()\n'
            'import d2l_densenet as d2l\nfrom d2l_densenet.data.official import find_fashion_mnist\n'
            'find_fashion_mnist.__kwdefaults__["mirrors"] = ("http://127.0.0.1:1/",)\n'
            'train, test = d2l.load_data_fashion_mnist(256, resize=48, limit=600)\n'
            'print(train.source, [X.shape for X, y in train])')
    done = python('-c', code, timeout=100, XDG_CACHE_HOME=str(tmp_path), D2L_DENSENET_DATA='')
    assert done.returncode == 0 and done.stderr == '', done.stderr
    assert 'THIS IS NOT FASHION-MNIST' in done.stdout
    assert done.stdout.rstrip().endswith('[(256, 1, 48, 48), (256, 1, 48, 48), (88, 1, 48, 48)]')
