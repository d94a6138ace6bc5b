"""The official files: where they are looked for, how they are recognized, and downloads from a local server."""

import functools
import gzip
import hashlib
import http.server
import io
import logging.handlers
import os
import pathlib
import re
import socket
import struct
import sys
import threading
import time

import mxnet as mx
import numpy
import pooch
import pytest
import requests

from d2l_densenet import DataError, load_data_fashion_mnist
from d2l_densenet.data import official as files
from d2l_densenet.data.official import OFFICIAL, OfficialFile, Unavailable, download, find_fashion_mnist, read_directory

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
        'labels in the place of images': (small.gz[LABELS], 'found 0x00000801 .that of a file with labels.'),
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


def test_a_label_over_nine_is_named(small, tmp_path):
    labels = small.arrays[1].copy()
    labels[17] = 10
    directory = small.write(tmp_path, labels=packed(0x801, labels.shape, labels.tobytes()))
    with pytest.raises(DataError, match=f'{LABELS}.gz: label 10 at position 17, expected labels from 0 to 9'):
        read_directory(directory, small.files)


def test_mnist_under_these_names_is_recognized(small, tmp_path):
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


@pytest.mark.parametrize('array, what', [
    # The first labels of MNIST's test set, and the means of its pixels to six digits, as published for both sets.
    (numpy.array([7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6]), 'MNIST (handwritten digits)'),
    (numpy.array([5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3]), 'MNIST (handwritten digits)'),
    (numpy.array([7, 2, 1, 0, 4, 1, 4, 9, 5, 8]), '10 labels with'), (numpy.array([5, 0, 4]), '3 labels with'),
    ((60000, 0.130660), 'MNIST (handwritten'), ((10000, 0.132515), 'MNIST (handwritten'),
    ((60000, 0.132515), '60,000 images with'),
    ((10000, 0.130660), '10,000 images with'), ((60000, 0.1315), '60,000 images with'),
    ((60000, 0.1299), '60,000 images with'), ((50000, 0.1307), '50,000 images with')], ids=str)
def test_what_a_file_of_another_data_set_is_called(array, what, tmp_path):
    if isinstance(array, tuple):  # so many images; one pixel each has the mean of a whole one
        count, mean = array
        array = numpy.zeros((count, 1, 1), 'uint8')
        array[:round(mean * count)] = 255
    (tmp_path / 'file').touch()
    assert what in files._what_is_it(tmp_path / 'file', array)


def test_gluons_files_are_recognized_by_all_of_their_bytes(tmp_path, monkeypatch):
    with open(tmp_path / 'file', 'wb') as file:
        file.truncate(26_421_880)       # as many as the training images have
        file.seek(-1, 2)
        file.write(b'x')
    monkeypatch.setattr(files, '_GLUON_SHA1', {hashlib.sha1((tmp_path / 'file').read_bytes()).hexdigest()})
    assert files._what_is_it(tmp_path / 'file', numpy.zeros(3)).startswith("Gluon's older release")


def test_gluons_older_release_is_recognized(small, tmp_path, monkeypatch):
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


def test_a_directory_can_be_written_where_files_can_be_made_and_opened(tmp_path, monkeypatch):
    assert files.can_be_written(tmp_path) and files.can_be_written(tmp_path / 'not' / 'there' / 'yet')
    (tmp_path / 'file').touch()
    assert not files.can_be_written(tmp_path / 'file') and not files.can_be_written(tmp_path / 'file' / 'below')
    for missing in (os.W_OK, os.X_OK):
        monkeypatch.setattr(files.os, 'access', lambda path, wanted, missing=missing: not wanted & missing)
        assert not files.can_be_written(tmp_path)


@pytest.mark.parametrize('error, said', [
    (requests.ConnectTimeout('x'), 'timed out'), (requests.ReadTimeout('x'), 'timed out'),
    (requests.exceptions.ChunkedEncodingError('x'), 'the connection was cut off midway'),
    (requests.exceptions.ContentDecodingError('x'), 'the connection was cut off midway'),
    (requests.exceptions.SSLError('x'), 'no connection, or it was lost'),
    (requests.HTTPError('x'), 'HTTPError: x'), (OSError(28, 'No space left'), 'OSError: [Errno 28] No space left'),
    (ValueError('MD5 hash of x does not match'), 'served another file or an incomplete one (wrong MD5)'),
    (ValueError('x'), 'ValueError: x'), (RuntimeError('hash'), 'RuntimeError: hash'),
    (DataError('served a page'), 'served a page')], ids=repr)
def test_why_a_download_failed_is_told_in_a_few_words(error, said):
    assert files._reason(error) == said


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
    assert told.out.count('downloading') == 6 + 4 and not told.err, 'a bad mirror is left at once; nothing on stderr'
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


def test_a_mirror_that_never_answers_takes_a_few_seconds(small, tmp_path, monkeypatch):
    monkeypatch.setattr(files, '_READ', 0.3)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    with socket.create_server(('127.0.0.1', 0)) as mute:
        mirrors = [f'http://127.0.0.1:{mute.getsockname()[1]}/{name}/' for name in 'ab']
        begun = time.monotonic()
        with pytest.raises(Unavailable, match='/a/: timed out; .*/b/: '):
            download(str(tmp_path), small.files, mirrors)
        assert time.monotonic() - begun < 5
