"""The data: idx files, where they are looked for, downloads from a local server, and the loader."""

import dataclasses
import functools
import gzip
import hashlib
import http.server
import io
import logging.handlers
import os
import pathlib
import re
import struct
import subprocess
import sys
import threading

import mxnet as mx
import numpy
import pooch
import pytest
from helpers import MODES, switch
from mxnet.gluon.data.vision import transforms

from d2l_densenet import DataError, ImageLoader, load_data_fashion_mnist
from d2l_densenet.data import idx
from d2l_densenet.data import loader as data
from d2l_densenet.data import official as files
from d2l_densenet.data.official import OFFICIAL, OfficialFile, Unavailable, download, find_fashion_mnist, read_directory

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = [official.name for official in OFFICIAL]
IMAGES, LABELS = NAMES[:2]


def packed(magic, shape, body):
    """An idx file, unzipped."""
    return struct.pack(f'>{1 + len(shape)}I', magic, *shape) + bytes(body)


class Small:
    """A data set of 50 + 20 images in the official form: contents by name, and the registry that knows them."""

    def __init__(self):
        rng = numpy.random.default_rng(3)
        self.arrays = []
        for n in (50, 20):
            self.arrays.append(rng.integers(0, 256, (n, 28, 28), dtype='uint8'))
            self.arrays.append((numpy.arange(n) % 10).astype('uint8'))
        self.plain = {name: packed(0x803 if a.ndim == 3 else 0x801, a.shape, a.tobytes())
                      for name, a in zip(NAMES, self.arrays)}
        self.gz = {name: gzip.compress(content, mtime=0) for name, content in self.plain.items()}
        self.files = [OfficialFile(o.name, o.kind, hashlib.md5(self.gz[o.name]).hexdigest(),
                                   hashlib.md5(self.plain[o.name]).hexdigest()) for o in OFFICIAL]

    def write(self, directory, plain=(), **changed):
        """Write the four files into `directory`; `changed` by 'images', 'labels': bytes in place of the .gz."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            content = changed.get({IMAGES: 'images', LABELS: 'labels'}.get(name), self.gz[name])
            if name in plain:
                (directory / name).write_bytes(self.plain[name])
            else:
                (directory / f'{name}.gz').write_bytes(content)
        return directory


@pytest.fixture(scope='module')
def small():
    return Small()


def same(arrays, expected):
    return all(numpy.array_equal(a, b) for a, b in zip(arrays, expected)) and len(arrays) == len(expected)


# Reading

@pytest.mark.parametrize('plain', [(), NAMES, NAMES[1:3]], ids=['gzipped', 'plain', 'mixed'])
def test_files_are_read_plain_or_gzipped(small, tmp_path, plain):
    assert same(read_directory(small.write(tmp_path, plain), small.files), small.arrays)


def test_content_decides_and_not_the_name(small, tmp_path):
    """A browser may unzip a download and keep its name."""
    directory = small.write(tmp_path, images=small.plain[IMAGES])
    assert same(read_directory(directory, small.files), small.arrays)


def bad_images(small):
    good, content = small.gz[IMAGES], small.plain[IMAGES]
    body = content[16:]
    return {
        'truncated gzip': (good[:len(good) // 2], rf'expected a complete gzip .* first {len(good) // 2:,} bytes'),
        'only the checksum of the gzip is missing': (good[:-6], 'expected a complete gzip'),
        'damaged gzip': (good[:60] + bytes(99) + good[159:], 'expected a gzip stream, found a damaged one'),
        'wrong magic': (b'\0\0\x0d\x03' + content[4:], 'expected 0x00000803 for idx images, found 0x00000d03'),
        'labels in the place of images': (small.gz[LABELS], 'found 0x00000801 .that of a file with labels'),
        'HTML page': (b'<!DOCTYPE html><html>Sign in</html>', 'HTML or XML page'),
        'zipped HTML page': (gzip.compress(b'\n <html><body>404</body></html>'), 'HTML or XML page'),
        'empty': (b'', 'cut off, 0 bytes hold no complete idx header of 16'),
        'short header': (content[:10], 'cut off, 10 bytes'),
        'short body': (content[:-1], f'claims {len(body):,} bytes .* found only {len(body) - 1:,}'),
        'long body': (content + b'x', f'claims {len(body):,} bytes .* found more'),
        'absurd header': (packed(0x803, (2**32 - 1,) * 3, body), 'claims images of shape .*4294967295.* expected betw'),
        'no images': (packed(0x803, (0, 28, 28), b''), r'shape \(0, 28, 28\), 0 bytes; expected between 1'),
        'wrong size': (packed(0x803, (50, 14, 56), body), 'expected images of 28 x 28 pixels, found 14 x 56'),
        'one image less': (packed(0x803, (49, 28, 28), body[784:]), '49 images and .* holds 50 labels'),
        'another data set': (packed(0x803, (50, 28, 28), body[::-1]), 'expected the official .* 50 images with anoth'),
    }


@pytest.mark.parametrize('trouble', bad_images(Small()))
def test_a_bad_image_file_is_named(small, tmp_path, trouble):
    content, message = bad_images(small)[trouble]
    directory = small.write(tmp_path, images=content)
    with pytest.raises(DataError, match=message) as caught:
        find_fashion_mnist(directory, files=small.files)
    assert str(directory / f'{IMAGES}.gz') in str(caught.value)
    assert re.search(r'[Ff]etch|Put the', str(caught.value)), 'no remedy'
    assert not isinstance(caught.value, Unavailable), 'the stand-in would take over'


def test_absurd_header_takes_no_memory(tmp_path):
    """2 TB claimed by 20 bytes: refused before anything is read."""
    path = tmp_path / 'file'
    path.write_bytes(packed(0x803, (2**31, 32, 32), b'abcd'))
    with pytest.raises(DataError, match='2,199,023,255,552 bytes'):
        idx.read_idx(path, 'images')


def test_a_label_over_nine_is_named(small, tmp_path):
    labels = small.arrays[1].copy()
    labels[17] = 10
    directory = small.write(tmp_path, labels=packed(0x801, labels.shape, labels.tobytes()))
    with pytest.raises(DataError, match=f'{LABELS}.gz: label 10 at position 17, expected labels from 0 to 9'):
        read_directory(directory, small.files)


def test_mnist_under_these_names_is_recognised(small, tmp_path):
    """zalandoresearch/fashion-mnist#107, by MNIST's known first labels and by its known mean pixel."""
    labels = small.arrays[1].copy()
    labels[:10] = 5, 0, 4, 1, 9, 2, 1, 3, 1, 4
    directory = small.write(tmp_path, labels=gzip.compress(packed(0x801, labels.shape, labels.tobytes())))
    with pytest.raises(DataError, match=rf'{LABELS}.gz: expected the official .* MNIST .handwritten digits'):
        read_directory(directory, small.files)
    digits = numpy.zeros((10000, 28, 28), 'uint8')
    digits.reshape(-1)[:round(0.1325 * digits.size)] = 255
    assert files._what_is_it(directory / f'{LABELS}.gz', digits).startswith('MNIST')
    assert 'another content' in files._what_is_it(directory / f'{LABELS}.gz', digits // 2)


def test_gluons_older_release_is_recognised(small, tmp_path, monkeypatch):
    """The four files that Gluon pins are known by their SHA-1, which is read here out of MXNet itself."""
    source = pathlib.Path(mx.gluon.data.vision.datasets.__file__).read_text(encoding='utf-8')
    pinned = re.findall(r"'([0-9a-f]{40})'", source[source.index('class FashionMNIST'):source.index('class CIFAR10')])
    assert len(pinned) == 4 and set(pinned) == files._GLUON_SHA1
    # Its files cannot be had here: another file takes the place of one.
    changed = gzip.compress(small.plain[LABELS][:-1] + b'\7')
    monkeypatch.setattr(files, '_GLUON_SHA1', {hashlib.sha1(changed).hexdigest()})
    with pytest.raises(DataError, match="Gluon's older release .* 2017-08-26.* duplicate samples"):
        read_directory(small.write(tmp_path, labels=changed), small.files)


def test_missing_files_are_named_and_looked_for_nearby(small, tmp_path):
    small.write(tmp_path / 'FashionMNIST' / 'raw')
    with pytest.raises(DataError, match=f'no {IMAGES}.gz, no {LABELS}.gz.*They are in .*raw: name that directory'):
        read_directory(tmp_path, small.files)


def test_unreadable_places_are_named(small, tmp_path):
    (tmp_path / 'file').write_text('')
    for place in (tmp_path / 'nowhere', tmp_path / 'file'):
        with pytest.raises(DataError, match=f'{place}: cannot be read .*Expected a directory with the four.*Put the'):
            find_fashion_mnist(place)
    directory = small.write(tmp_path / 'data')
    (directory / f'{LABELS}.gz').unlink()
    (directory / f'{LABELS}.gz').mkdir()
    with pytest.raises(DataError, match=f'{LABELS}.gz: cannot be read .*check the path and its permissions'):
        find_fashion_mnist(directory, files=small.files)


@pytest.mark.skipif(os.geteuid() == 0, reason='the root user may read and write everything')
def test_permissions_are_told(small, tmp_path):
    directory = small.write(tmp_path / 'data')
    (directory / f'{LABELS}.gz').chmod(0)
    with pytest.raises(DataError, match=f'{LABELS}.gz: cannot be read .Permission denied'):
        find_fashion_mnist(directory, files=small.files)
    directory.chmod(0)
    with pytest.raises(DataError, match='data: cannot be read .Permission denied'):
        find_fashion_mnist(directory, files=small.files)
    with pytest.raises(Unavailable, match='data: cannot be written .Permission denied'):
        download(directory, small.files, [])
    directory.chmod(0o700)


# Where it is looked for

@pytest.fixture
def places(small, tmp_path, monkeypatch):
    """Four places, told apart by which file lies there unzipped; nothing but these can be reached."""
    made = {place: small.write(tmp_path / place) for place in ('root', 'env', 'cache')}
    monkeypatch.setenv('D2L_DENSENET_DATA', str(made['env']))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    return made


def test_order_of_the_places(small, places, monkeypatch):
    find = functools.partial(find_fashion_mnist, cache=str(places['cache']), files=small.files, mirrors=[])
    assert find(places['root'])[1] == str(places['root'])
    assert find()[1] == str(places['env'])
    monkeypatch.setenv('D2L_DENSENET_DATA', '')
    assert find()[1] == str(places['cache'])
    monkeypatch.delenv('D2L_DENSENET_DATA')
    assert find()[1] == str(places['cache'])


@pytest.mark.skipif(sys.platform != 'linux', reason='the place of the cache is asked the Linux way')
def test_the_cache_is_the_users(places, tmp_path):
    assert files.cache_directory() == str(tmp_path / 'xdg' / 'd2l-densenet')


def test_a_named_place_that_is_bad_is_never_passed_over(small, places, monkeypatch):
    find = functools.partial(find_fashion_mnist, cache=str(places['cache']), files=small.files, mirrors=[])
    (places['root'] / f'{IMAGES}.gz').unlink()
    with pytest.raises(DataError, match='root: expected the four files'):
        find(places['root'])
    (places['env'] / f'{IMAGES}.gz').unlink()
    with pytest.raises(DataError, match='^D2L_DENSENET_DATA=.*env: expected the four files'):
        find()
    for choice in ('auto', 'fashion-mnist'):
        with pytest.raises(DataError, match='^D2L_DENSENET_DATA='):
            load_data_fashion_mnist(4, data=choice)


# Downloads

class Server:
    """A web server on this machine: `answers[path]` is (status, body, bytes that are really sent)."""

    def __init__(self):
        self.answers, self.asked = {}, []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                status, body, _ = server.answers.get(self.path, (404, b'', 0))
                self.send_response(status)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()

            def do_GET(self):
                server.asked.append(self.path)
                self.do_HEAD()
                _, body, sent = server.answers.get(self.path, (404, b'', 0))
                self.wfile.write(body[:sent])

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.http.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()

    def mirror(self, name, contents, status=200, keep=None):
        """Serve `contents` {file name: bytes} below /name/, of each body only the first `keep` bytes; the address."""
        for file, body in contents.items():
            self.answers[f'/{name}/{file}.gz'] = status, body, len(body) if keep is None else keep
        return f'http://127.0.0.1:{self.http.server_port}/{name}/'


@pytest.fixture
def server(monkeypatch):
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.delenv('D2L_DENSENET_DATA', raising=False)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def bad_mirrors(server, small):
    """The ways in which a mirror fails: {reason that must be told: address}."""
    other = {name: gzip.compress(b'another file') for name in NAMES}
    page = {name: b'<!doctype html><title>Log in</title>' for name in NAMES}
    return {'cut off midway': server.mirror('cut', small.gz, keep=20),
            'HTML or XML page': server.mirror('page', page),
            'HTTP status 404': server.mirror('none', {}),
            'HTTP status 503': server.mirror('busy', small.gz, status=503),
            r'wrong MD5': server.mirror('other', other),
            'no connection': 'http://127.0.0.1:1/'}


def test_download_goes_on_to_a_good_mirror(server, small, tmp_path, capfd):
    records = logging.handlers.BufferingHandler(1000)  # pooch's own handler keeps an older stderr
    pooch.get_logger().addHandler(records)
    good = server.mirror('good', small.gz)
    mirrors = [*bad_mirrors(server, small).values(), good]
    arrays, place = find_fashion_mnist(cache=str(tmp_path / 'a' / 'cache'), files=small.files, mirrors=mirrors)
    assert same(arrays, small.arrays) and place == str(tmp_path / 'a' / 'cache')
    assert sorted(os.listdir(place)) == sorted(f'{name}.gz' for name in NAMES), 'something half-written is left'
    pooch.get_logger().removeHandler(records)
    assert not records.buffer, 'pooch tells things on stderr'
    asked = len(server.asked)
    told = capfd.readouterr()
    assert told.out.count('downloading') == 4 * 6 and not told.err, 'the dead mirror is left out; nothing on stderr'
    # Now they are in the cache: nothing is asked again, even with every mirror dead.
    assert same(find_fashion_mnist(cache=place, files=small.files, mirrors=['http://127.0.0.1:1/'])[0], small.arrays)
    assert len(server.asked) == asked


@pytest.mark.parametrize('reason', ['cut off midway', 'HTML or XML page', 'HTTP status 404', 'HTTP status 503',
                                    'wrong MD5', 'no connection'])
def test_failed_download_leaves_nothing(server, small, tmp_path, reason):
    mirror = bad_mirrors(server, small)[reason]
    with pytest.raises(Unavailable, match=f'{IMAGES}.gz: expected the official file, found none.*{mirror}: .*{reason}'
                                          '.*set D2L_DENSENET_DATA'):
        download(str(tmp_path), small.files, [mirror])
    assert os.listdir(tmp_path) == []


def test_an_interrupted_download_leaves_nothing(server, small, tmp_path, monkeypatch):
    def interrupt(url, output_file, *_):
        pathlib.Path(output_file).write_bytes(b'half')
        raise KeyboardInterrupt

    monkeypatch.setattr(files, '_fetch', interrupt)
    with pytest.raises(KeyboardInterrupt):
        download(str(tmp_path), small.files, [server.mirror('good', small.gz)])
    assert os.listdir(tmp_path) == []


def test_damaged_file_in_the_cache_is_fetched_again(server, small, tmp_path, capsys):
    cut = small.gz[LABELS][:-9]
    small.write(tmp_path, labels=cut)
    with pytest.raises(Unavailable, match=f'{LABELS}.gz: expected the official file, found none that is good'):
        find_fashion_mnist(cache=str(tmp_path), files=small.files, mirrors=['http://127.0.0.1:1/'])
    assert (tmp_path / f'{LABELS}.gz').read_bytes() == cut
    capsys.readouterr()
    arrays, _ = find_fashion_mnist(cache=str(tmp_path), files=small.files, mirrors=[server.mirror('good', small.gz)])
    assert same(arrays, small.arrays)
    assert server.asked == [f'/good/{LABELS}.gz'], 'only the bad one'
    assert 'damaged file in the cache' in capsys.readouterr().out


def test_progress_bar_is_for_terminals(server, small, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv('TQDM_DISABLE', '')
    monkeypatch.setattr(sys, 'stdout', Terminal())
    download(str(tmp_path / 'a'), small.files, [server.mirror('good', small.gz)])
    assert re.search(rf'{IMAGES}.gz: 100%.*B/s', sys.stdout.getvalue())
    monkeypatch.setattr(sys, 'stdout', io.StringIO())
    download(str(tmp_path / 'b'), small.files, [server.mirror('good', small.gz)])
    assert '%' not in sys.stdout.getvalue()


def test_unwritable_cache(small, tmp_path):
    """Below a file no directory can be made, not even by root."""
    (tmp_path / 'file').write_text('')
    with pytest.raises(Unavailable, match='cache: cannot be written .*make it writable, or set XDG_CACHE_HOME'):
        download(str(tmp_path / 'file' / 'cache'), small.files, [])


def test_a_cache_that_cannot_be_written_gives_way_to_the_temporary_directory(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr(files.tempfile, 'tempdir', str(tmp_path / 'temporary'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert files.cache_directory() == str(tmp_path / 'cache' / 'd2l-densenet')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    found = pathlib.Path(files.cache_directory())
    assert found.is_relative_to(tmp_path / 'temporary') and 'd2l-densenet' in str(found)
    monkeypatch.setattr(files.tempfile, 'tempdir', str(tmp_path / 'file'))
    assert files.cache_directory() == str(tmp_path / 'file' / 'd2l-densenet'), 'where nothing can be written, the usual'
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['file', 'temporary']


# What is loaded when there is nothing

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
    assert out.count('\n') > 15 and max(map(len, out.split('\n'))) <= 110 and out.startswith('#' * 100)
    for loader in (train, test):
        assert loader.source.name == 'synthetic' and 'SYNTHETIC STAND-IN' in str(loader.source)
        assert 'SYNTHETIC' in repr(loader)


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
    {'data': 'mnist'}, {'crop': 28}, {'erase': 1.0}, {'root': '.', 'data': 'synthetic'}], ids=str)
def test_wrong_arguments_are_named(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f'^{name} must ') as caught:
        load_data_fashion_mnist(**{'batch_size': 8, 'data': 'synthetic', 'limit': 40, **wrong})
    assert repr(wrong[name]) in str(caught.value)


# The loader

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


def test_resize_in_pieces_is_resize_in_one(monkeypatch):
    images, _ = some_images()
    whole = data._resized(images, 48)
    monkeypatch.setattr(data, '_RESIZE_CHUNK', 5)
    numpy.testing.assert_array_equal(data._resized(images, 48), whole)


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



@pytest.mark.parametrize('images, labels, message', [
    (numpy.zeros((3, 28, 28), 'float32'), [0, 1, 2], 'uint8 of shape .n, h, w., got float32'),
    (numpy.zeros((3, 1, 28, 28), 'uint8'), [0, 1, 2], r'got uint8 \(3, 1, 28, 28\)'),
    (numpy.zeros((3, 28, 28), 'uint8'), [0, 1], r'labels must be of shape \(3,\)'),
    (numpy.zeros((0, 28, 28), 'uint8'), [], r'got uint8 \(0, 28, 28\)')])
def test_loader_refuses_other_arrays(images, labels, message):
    with pytest.raises(ValueError, match=message):
        ImageLoader(images, labels, 2)


def test_limit_and_validation(small, tmp_path, monkeypatch):
    monkeypatch.setattr(data, 'find_fashion_mnist', functools.partial(find_fashion_mnist, files=small.files))
    load = functools.partial(load_data_fashion_mnist, 8, root=small.write(tmp_path))
    train, test = load(limit=30)
    assert same([train.images, test.images], [small.arrays[0][:30], small.arrays[2]])
    assert train.shuffle and not test.shuffle
    train, held = load(validation=20, seed=6)
    assert (train.num_examples, held.num_examples) == (30, 20)
    rows = [{image.tobytes() for image in loader.images} for loader in (train, held)]
    assert not rows[0] & rows[1] and rows[0] | rows[1] == {image.tobytes() for image in small.arrays[0]}
    assert same([load(validation=20, seed=6)[1].images], [held.images])
    assert not same([load(validation=20, seed=7)[1].images], [held.images])


def test_source_is_plain_data():
    train, _ = load_data_fashion_mnist(8, data='synthetic', limit=10)
    assert re.fullmatch('md5:[0-9a-f]{32}', train.source.checksum)
    assert dataclasses.asdict(train.source)['name'] == 'synthetic'
    with pytest.raises(dataclasses.FrozenInstanceError):
        train.source.name = 'fashion-mnist'


# The real data

REAL = os.environ.get('D2L_DENSENET_DATA') or ''
real = pytest.mark.skipif(not os.path.isdir(REAL), reason='needs the official files: set D2L_DENSENET_DATA')


@real
def test_official_files():
    """Against the numbers that Zalando publishes and that are known of the data set."""
    for name, md5 in zip(NAMES, ['8d4fb7e6c68d591d4c3dfef9ec88bf0d', '25c81989df183df01b3e8a0aad5dffbe',
                                 'bef4ecab320f06d8554ea6380940ec79', 'bb300cfdad3c16e7a12a480ee83cd310']):
        path = pathlib.Path(REAL, name + '.gz')
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
    env = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path), 'D2L_DENSENET_DATA': '', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stderr == '', done.stderr
    assert 'THIS IS NOT FASHION-MNIST' in done.stdout
    assert done.stdout.rstrip().endswith('[(256, 1, 48, 48), (256, 1, 48, 48), (88, 1, 48, 48)]')
