"""Where the official Fashion-MNIST comes from: looked for, downloaded, and recognized by its checksums."""

import hashlib
import os
import sys
import tempfile
from typing import NamedTuple
from urllib.parse import urlsplit

from .._common.disk import a_path
from .._common.messages import notice, progress_shows
from .idx import DataError, check_pair, content_md5, read_idx


class OfficialFile(NamedTuple):
    """One of the four files: its name without ``.gz``, what it holds, the MD5 of the .gz and of its content."""

    name: str
    kind: str
    md5: str
    content_md5: str


#: The release of 2017-08-31, the one that Zalando has published ever since. The `md5` are those of its README.
OFFICIAL = (
    OfficialFile('train-images-idx3-ubyte', 'images',
                 '8d4fb7e6c68d591d4c3dfef9ec88bf0d', 'f4a8712d7a061bf5bd6d2ca38dc4d50a'),
    OfficialFile('train-labels-idx1-ubyte', 'labels',
                 '25c81989df183df01b3e8a0aad5dffbe', '9018921c3c673c538a1fc5bad174d6f9'),
    OfficialFile('t10k-images-idx3-ubyte', 'images',
                 'bef4ecab320f06d8554ea6380940ec79', '8181f5470baa50b63fa0f6fddb340f0a'),
    OfficialFile('t10k-labels-idx1-ubyte', 'labels',
                 'bb300cfdad3c16e7a12a480ee83cd310', '15d484375f8d13e6eb1aabb0c3f46965'),
)

#: Tried in this order. Each serves the four files under their own names.
MIRRORS = (
    'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
    'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
    'https://storage.googleapis.com/tensorflow/tf-keras-datasets/',
)

# What has been found under these names: Gluon's pinned files, and MNIST, however it was packed, by its first labels and
# its mean pixel (0.1307 of 255 in training, 0.1325 in test).
_GLUON_SHA1 = {
    '0cf37b0d40ed5169c6b3aba31069a9770ac9043d', '236021d52f1e40852b06a4c3008d8de8aef1e40b',
    '626ed6a7c06dd17c0eec72fa3be1740f146a2863', '17f9ab60e7257a1620f4ad76bbbaf857c3920701',
}
_MNIST_FIRST_LABELS = ((5, 0, 4, 1, 9, 2, 1, 3, 1, 4), (7, 2, 1, 0, 4, 1, 4, 9, 5, 9))
_MNIST_MEANS = {60000: 0.1307, 10000: 0.1325}

#: What every error about missing or wrong files ends with.
REMEDY = ('Put the four official .gz files of https://github.com/zalandoresearch/fashion-mnist (data/fashion) into '
           'one directory and set D2L_DENSENET_DATA to it.')

# Seconds: for a mirror to answer, and between two pieces of a file.
_ANSWER, _READ = 5, 10


class Unavailable(DataError):
    """The files are nowhere and cannot be downloaded: the one case in which the stand-in may take over."""


def cache_directory():
    """The directory for downloads: the user's cache, or where that cannot be written, one for temporary files."""
    import pooch
    cache = os.fspath(pooch.os_cache('d2l-densenet'))
    if can_be_written(cache):
        return cache
    # A name of the user's own: a directory of somebody else's could not be written.
    name = f'd2l-densenet-{os.getuid()}' if hasattr(os, 'getuid') else 'd2l-densenet'
    instead = os.path.join(tempfile.gettempdir(), name, 'data')
    return instead if can_be_written(instead) else cache


def can_be_written(directory):
    """Whether `directory`, or what of its path is there, can be written. Nothing is made."""
    while not os.path.lexists(directory) and os.path.dirname(directory) != directory:
        directory = os.path.dirname(directory)
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


def _what_is_it(path, array):
    """Name the data set behind a well-formed file that is not the official one."""
    with open(path, 'rb') as file:
        sha1 = hashlib.sha1(file.read(2 ** 25)).hexdigest()  # the largest of the known ones has 26 MB
    if sha1 in _GLUON_SHA1:
        return ("Gluon's older release of Fashion-MNIST, of 2017-08-26. Zalando replaced it on 2017-08-31 to remove "
                'duplicate samples; mxnet.gluon and d2l still download the old one')
    if array.ndim == 1:
        mnist = tuple(array[:10]) in _MNIST_FIRST_LABELS
    else:
        mnist = abs(array.mean() / 255 - _MNIST_MEANS.get(len(array), 9)) < 0.0005
    if mnist:
        return 'MNIST (handwritten digits) under the names of Fashion-MNIST'
    return (f'an idx file of {len(array):,} {"labels" if array.ndim == 1 else "images"} with another content: changed, '
            'cut to size, or an older release')


def _locate(directory, name):
    """Path of the file `name` in `directory`, gzipped or plain, or None."""
    paths = (os.path.join(directory, name + ending) for ending in ('.gz', ''))
    return next(filter(os.path.lexists, paths), None)


def read_directory(directory, files=OFFICIAL):
    """Read the four files in `directory`, gzipped or plain; DataError if one is missing, damaged or not official."""
    directory = os.path.expanduser(directory)
    try:
        os.listdir(directory)
    except OSError as error:
        raise DataError(f'{directory}: cannot be read ({error.strerror or error}). Expected a directory with the four '
                        f'files of Fashion-MNIST. {REMEDY}') from error
    paths = [_locate(directory, official.name) for official in files]
    missing = [official.name + '.gz' for official, path in zip(files, paths) if path is None]
    if missing:
        raise DataError(f'{directory}: expected the four files of Fashion-MNIST, gzipped or plain, found no '
                        f'{", no ".join(missing)}.{_nearby(directory, files)} {REMEDY}')
    arrays = [read_idx(path, official.kind) for official, path in zip(files, paths)]
    for i in range(0, len(files), 2):
        check_pair(paths[i], arrays[i], paths[i + 1], arrays[i + 1])
    for official, path, array in zip(files, paths, arrays):
        _verify(path, array, official)
    return arrays


def _nearby(directory, files):
    """A sentence that says where the files are if it is one of the usual places below `directory`."""
    for below in ('raw', 'FashionMNIST/raw', 'data/fashion', 'fashion-mnist', 'fashion', 'd2l-densenet'):
        place = os.path.join(directory, *below.split('/'))
        if all(_locate(place, official.name) for official in files):
            return f' They are in {place}: name that directory.'
    return ''


def _verify(path, array, official):
    """Raise DataError unless `array`, read from `path`, is the content of the official file."""
    found = content_md5(array)
    if found != official.content_md5:
        raise DataError(f'{path}: expected the official Fashion-MNIST (MD5 of the content {official.content_md5}), '
                        f'found {found}: {_what_is_it(path, array)}. {REMEDY}')


def download(directory, files=OFFICIAL, mirrors=MIRRORS):
    """Download the files that `directory` lacks or holds in a bad state; Unavailable if no mirror has one of them."""
    import pooch

    _make_writable(directory)
    wanted, reasons = [official for official in files if not _is_good(directory, official)], []
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel('ERROR')  # pooch reports its progress on stderr; the lines below report it on stdout
    try:
        for mirror in mirrors:
            try:
                for official in list(wanted):
                    name = official.name + '.gz'
                    notice(f'downloading {name} from {urlsplit(mirror).netloc}')
                    # A file appears under its name when it is complete and its MD5 is right.
                    pooch.retrieve(mirror + name, known_hash=f'md5:{official.md5}', fname=name, path=directory,
                                   downloader=_fetch)
                    wanted.remove(official)
            except Exception as error:  # whatever is wrong with this mirror, the next may do
                reasons.append(f'{mirror}: {_reason(error)}')
                notice(f'  {_reason(error)}')
    finally:
        logger.setLevel(level)
    if wanted:
        raise Unavailable(f'{os.path.join(directory, wanted[0].name)}.gz: expected the official file, found none that '
                          f'is good, and no download worked ({"; ".join(reasons)}). {REMEDY}')


def _make_writable(directory):
    """Make `directory` if need be and raise Unavailable if nothing can be written there."""
    try:
        os.makedirs(directory, exist_ok=True)
        # Tried and not asked: permission bits say nothing about a full or read-only file system.
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise Unavailable(f'{directory}: cannot be written ({error.strerror or error}). Expected the directory that '
                          f'downloads are kept in: make it writable, or set XDG_CACHE_HOME to another place. '
                          f'{REMEDY}') from error


def _is_good(directory, official):
    """Whether the file is in `directory` and is the official one. A bad one is named."""
    path = _locate(directory, official.name)
    try:
        if path:
            _verify(path, read_idx(path, official.kind), official)
        return path is not None
    except DataError as error:
        notice(f'damaged file in the cache, it will be downloaded again: {error}')
        return False


def _fetch(url, output_file, pooch_of_it):
    """Download `url` to `output_file`: the downloader that pooch calls. It looks at what came before pooch hashes."""
    from pooch import HTTPDownloader
    from tqdm import tqdm

    # pooch asks whether the bar is true, which one without a total cannot answer; it sets the right one itself.
    bar = progress_shows(sys.stdout) and tqdm(desc=url.rpartition('/')[2], total=1, unit='B', unit_scale=True, ncols=79,
                                              file=sys.stdout, disable=False)
    try:
        # `identity`: no server packs the .gz once more.
        HTTPDownloader(progressbar=bar, chunk_size=2 ** 16, timeout=(_ANSWER, _READ),
                       headers={'Accept-Encoding': 'identity'})(url, output_file, pooch_of_it)
    finally:
        if bar is not False:
            bar.close()
    with open(output_file, 'rb') as file:
        if file.read(64).lstrip()[:1] == b'<':
            raise DataError('served an HTML or XML page instead of the file')


def _reason(error):
    """One short line for an exception of requests, pooch or the file system."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f'HTTP status {error.response.status_code}'
    for kinds, text in ((exceptions.Timeout, 'timed out'), (
            (exceptions.ChunkedEncodingError, exceptions.ContentDecodingError), 'the connection was cut off midway'), (
            exceptions.ConnectionError, 'no connection, or it was lost')):
        if isinstance(error, kinds):
            return text
    if isinstance(error, ValueError) and 'hash' in str(error).lower():
        return 'served another file or an incomplete one (wrong MD5)'
    return str(error) if isinstance(error, DataError) else f'{type(error).__name__}: {error}'


def find_fashion_mnist(root=None, *, cache=None, files=OFFICIAL, mirrors=MIRRORS):
    """Find the official Fashion-MNIST: `root`, ``D2L_DENSENET_DATA``, the user's cache, a download.

    Returns the four uint8 arrays and their directory. DataError if a place that the user named (the first two) is bad;
    Unavailable, a DataError, if no place is named, the cache has no good files and the download fails.
    """
    named = root if root is not None else os.environ.get('D2L_DENSENET_DATA') or None
    if named is not None:
        directory = os.path.abspath(os.path.expanduser(a_path('D2L_DENSENET_DATA' if root is None else 'root', named)))
        try:
            return read_directory(directory, files), directory
        except DataError as error:
            if root is not None:
                raise
            raise DataError(f'D2L_DENSENET_DATA={named}: {error}') from None
    directory = cache or cache_directory()
    if all(_locate(directory, official.name) for official in files):
        try:
            return read_directory(directory, files), directory
        except DataError:
            pass  # download() looks at each file, names the bad ones and fetches them again
    download(directory, files, mirrors)
    return read_directory(directory, files), directory
