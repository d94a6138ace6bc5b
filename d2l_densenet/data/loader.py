"""Fashion-MNIST in batches: what is loaded, how it is resized, shuffled and augmented."""

import copy
import dataclasses
import functools
import hashlib
import textwrap
import warnings

import mxnet as mx
import numpy

from .._common.arguments import MOST_ELEMENTS, a_seed, one_of, positive_int, share, show, switch
from .._common.arrays import array
from .._common.disk import a_path
from .._common.messages import notice
from .._common.shares import equal_share
from .idx import DataError
from .official import OFFICIAL, REMEDY, Unavailable, cache_directory, can_be_written, find_fashion_mnist
from .synthetic import TEST_SEED, TEST_SIZE, TRAIN_SEED, TRAIN_SIZE, synthetic_fashion

__all__ = ['FASHION_MNIST_LABELS', 'DataError', 'DataSource', 'ImageLoader', 'load_data_fashion_mnist']

#: Names of the classes 0 to 9.
FASHION_MNIST_LABELS = ('t-shirt/top', 'trouser', 'pullover', 'dress', 'coat',
                        'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot')

# Up to this many bytes (Fashion-MNIST below 130 pixels) a data set is resized once, when it is loaded; above, each
# batch when it is needed, which costs time in every epoch but fits in memory. And to how many pixels at most.
_RESIZE_AT_ONCE, _MOST_PIXELS = 10 ** 9, 4096


@dataclasses.dataclass(frozen=True)
class DataSource:
    """Which data set the images are from.

    Attributes
    ----------
    name : str
        'fashion-mnist', 'synthetic', or 'arrays' for a loader made by hand.
    checksum : str
        'md5:' and 32 digits: of Fashion-MNIST the published ones of the training images' .gz, else those of the arrays.
    location : str
        Directory, or where else they came from.

    Examples
    --------
    >>> from d2l_densenet import load_data_fashion_mnist
    >>> train_iter, _ = load_data_fashion_mnist(32, data='synthetic', limit=32)
    data: SYNTHETIC STAND-IN (not Fashion-MNIST)
    >>> train_iter.source.name
    'synthetic'
    """

    name: str
    checksum: str
    location: str

    def __str__(self):
        if self.name == 'synthetic':
            return 'SYNTHETIC STAND-IN (not Fashion-MNIST)'
        name = 'Fashion-MNIST (official, ' if self.name == 'fashion-mnist' else f'{self.name} ('
        return f'{name}md5 {self.checksum[4:12]}...)'


def _md5(*arrays):
    """'md5:...' over the bytes of the arrays, one after the other."""
    digest = hashlib.md5()
    for part in arrays:
        digest.update(numpy.ascontiguousarray(part))
    return 'md5:' + digest.hexdigest()


def _as_numpy(name, values):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error', UserWarning)  # all that NumPy 1.23 says of lists of different lengths
            return values.asnumpy() if isinstance(values, mx.nd.NDArray) else numpy.asarray(values)
    except (ValueError, UserWarning) as error:
        raise ValueError(f'{name} must be an array, got {show(values)}: {error}') from None


def _resized(images, size):
    """`images` (n, h, w), uint8, scaled to (n, size, size) with MXNet's own bilinear operator."""
    # The classic operator works in both array modes, and on the CPU whatever the current context is.
    images = mx.nd.array(images[:, :, :, None], dtype='uint8', ctx=mx.cpu())
    return mx.nd.image.resize(images, size, False, 1).asnumpy()[:, :, :, 0]


class ImageLoader:
    """Batches of gray images and their labels, one pass an epoch.

    Iterating yields ``(X, y)``: X (B, 1, H, W) float32 in [0, 1] and y (B,) int32, arrays of the array mode that is on,
    on the CPU. The last batch may be shorter. Order and augmentation of a pass depend only on `seed` and on its number.

    Parameters
    ----------
    images : numpy.ndarray
        (n, h, w), uint8.
    labels : numpy.ndarray
        (n,), integers of at least 0.
    batch_size : int, >= 1
        Images in a batch.
    resize : int, >= 1, optional
        Height and width to scale to, bilinear, as ``gluon.data.vision.transforms.Resize`` does.
    shuffle : bool, default False
        Another order in each pass.
    flip : bool, default False
        Mirror each image left to right with probability 1/2.
    crop : int, >= 0, default 0
        Pad by so many black pixels (of the resized image) on each side and take a random window of the size before.
    erase : float, 0 <= erase < 1, default 0
        Probability with which a rectangle of an image is overwritten with noise: 2 to 25 % of the area, up to about
        three times as high as wide or the reverse (random erasing, Zhong et al., arXiv:1708.04896).
    seed : int, >= 0, default 0
        For order and augmentation.
    source : DataSource, optional
        Which data set this is.

    Attributes
    ----------
    images, labels : numpy.ndarray
        uint8, resized, except when that takes over 1 GB: then each batch is resized; int32.
    epoch : int
        Number of passes that have begun. Set it to e to make the next pass number e (from 0).
    num_examples : int
        Number of images.
    place : (int, int)
        (0, 1), or what `part` was called with.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> import numpy
    >>> loader = ImageLoader(numpy.zeros((5, 28, 28), 'uint8'), numpy.arange(5), batch_size=2, resize=48)
    >>> len(loader), [X.shape for X, y in loader]
    (3, [(2, 1, 48, 48), (2, 1, 48, 48), (1, 1, 48, 48)])
    """

    def __init__(self, images, labels, batch_size, *, resize=None, shuffle=False, flip=False, crop=0,
                 erase=0.0, seed=0, source=None):
        images, labels = _as_numpy('images', images), _as_numpy('labels', labels)
        if images.ndim != 3 or images.dtype != numpy.uint8 or not images.size:
            raise ValueError(f'images must be uint8 of shape (n, h, w), got {images.dtype} {images.shape}')
        if labels.shape != images.shape[:1]:
            raise ValueError(f'labels must be of shape ({len(images)},), one for each image, got {labels.shape}')
        if labels.dtype.kind not in 'iuf':
            raise ValueError(f'labels must be integers, got {show(labels)}')
        with numpy.errstate(all='ignore'):
            self.labels = labels.astype(numpy.int32)
        wrong = numpy.flatnonzero((self.labels != labels) | (labels < 0))
        if len(wrong):
            raise ValueError(f'labels must be integers from 0 to {MOST_ELEMENTS:,}, got {labels[wrong[0]]} at position '
                             f'{wrong[0]}')
        self.batch_size = positive_int('batch_size', batch_size)
        self.shuffle = switch('shuffle', shuffle)
        self.flip = switch('flip', flip)
        self.seed = a_seed('seed', seed)
        if not isinstance(source, (DataSource, type(None))):
            raise TypeError(f'source must be a DataSource or None, got {show(source)}')
        self.epoch = 0
        self.place = (0, 1)
        self.num_examples = len(images)
        self.source = source or DataSource('arrays', _md5(images, self.labels), 'memory')
        #: Size that each batch is scaled to, None where `images` has its final size.
        self.resize = None
        height, width = images.shape[1:]
        if resize is not None:
            height = width = positive_int('resize', resize, most=_MOST_PIXELS)
            if images.shape[1:] != (height, width):
                if len(images) * height * width > _RESIZE_AT_ONCE:
                    self.resize = height
                else:
                    images = _resized(images, height)
        self.images = images
        #: Height and width of the images in a batch.
        self.image_shape = (height, width)
        self.crop = positive_int('crop', crop, least=0, most=min(height, width) - 1)
        self.erase = share('erase', erase)

    def part(self, rank, workers):
        """A loader over the same images that gives part number `rank` of each batch, from 0, of `workers` equal parts.

        Together the parts are the whole's batches; of a short last batch, the images that would make them unequal
        are left out. ValueError if `workers` does not divide `batch_size`, or this is itself a part.
        """
        positive_int('rank', rank, least=0, most=positive_int('workers', workers) - 1)
        if self.place != (0, 1):
            raise ValueError(f'this loader gives part {self.place[0]} of {self.place[1]}: take parts of the whole')
        equal_share(self.batch_size, workers)
        part = copy.copy(self)
        part.place = (rank, workers)
        return part

    def __len__(self):
        whole, rest = divmod(self.num_examples, self.batch_size)
        return whole + (rest >= self.place[1])

    def __iter__(self):
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._batches(epoch)

    def _batches(self, epoch):
        """The batches of pass number `epoch`."""
        for chosen, mirrored, shifts, boxes, noise in self._drawn(epoch):
            batch = self.images[chosen]
            if self.resize:
                batch = _resized(batch, self.resize)
            batch[mirrored] = batch[mirrored, :, ::-1]
            if self.crop:
                padded = numpy.pad(batch, ((0, 0), (self.crop, self.crop), (self.crop, self.crop)))
                windows = numpy.lib.stride_tricks.sliding_window_view(padded, self.image_shape, axis=(1, 2))
                batch = windows[numpy.arange(len(batch)), shifts[:, 0], shifts[:, 1]]
            if self.erase:
                for image, (top, left, high, wide, row, column) in zip(batch, boxes):
                    image[top:top + high, left:left + wide] = noise[row:row + high, column:column + wide]
            # float32 / 255, as gluon.data.vision.transforms.ToTensor does: equal to the last bit.
            X = numpy.divide(batch[:, None], numpy.float32(255), dtype=numpy.float32)
            yield array(X, 'float32', mx.cpu()), array(self.labels[chosen], 'int32', mx.cpu())

    def _drawn(self, epoch):
        """For each batch of pass number `epoch`: images, which are mirrored, shifts, boxes to erase and their noise."""
        # Everything random is drawn here for the whole pass: it cannot depend on the batch size.
        random = numpy.random.default_rng([self.seed, epoch])
        count = self.num_examples
        order = random.permutation(count) if self.shuffle else numpy.arange(count)
        mirrored = random.random(count) < 0.5 if self.flip else numpy.zeros(count, bool)
        shifts = random.integers(0, 2 * self.crop + 1, (count, 2))
        boxes, noise = self._draw_erasures(random) if self.erase else (numpy.zeros((count, 6), int), None)
        rank, workers = self.place
        for start in range(0, count, self.batch_size):
            chosen = order[start:start + self.batch_size]
            share = len(chosen) // workers
            chosen = chosen[rank * share:(rank + 1) * share]
            if share:
                yield chosen, mirrored[chosen], shifts[chosen], boxes[chosen], noise

    def _draw_erasures(self, random):
        """(top, left, height or 0 for none, width, row and column in the noise) for each image; the noise."""
        (height, width), count = self.image_shape, self.num_examples
        hit = random.random(count) < self.erase
        area, ratio = random.uniform(0.02, 0.25, count) * height * width, numpy.exp(random.uniform(-1, 1, count))
        high = numpy.clip(numpy.sqrt(area * ratio), 1, height).astype(int) * hit
        wide = numpy.clip(numpy.sqrt(area / ratio), 1, width).astype(int)
        place, begin = random.random((2, count)), random.integers(0, (height, width), (count, 2)).T
        top, left = (place[0] * (height - high + 1)).astype(int), (place[1] * (width - wide + 1)).astype(int)
        boxes = numpy.stack([top, left, high, wide, *begin], axis=1)
        return boxes, random.integers(0, 256, (2 * height, 2 * width), 'uint8')

    def __repr__(self):
        height, width = self.image_shape
        return (f'{type(self).__name__}({self.num_examples:,} images {height}x{width}, batch_size={self.batch_size}, '
                f'{self.source})')


def load_data_fashion_mnist(batch_size, resize=None, root=None, *, data='auto', flip=False, crop=0, erase=0.0,
                            seed=0, limit=None, validation=0):
    """Load Fashion-MNIST, or say loudly that it is not available and load a stand-in.

    The official files are looked for in `root`, else in the directory that the environment variable
    ``D2L_DENSENET_DATA`` names, else in the user's cache, else downloaded there. A place that is named and bad is an
    error; if none is named and the download fails, the stand-in takes over, under a banner.

    Parameters
    ----------
    batch_size, resize, flip, crop, erase, seed
        As for `ImageLoader`; test images are neither shuffled nor augmented.
    root : str or os.PathLike, optional
        Directory of the four idx files, gzipped or plain.
    data : {'auto', 'fashion-mnist', 'synthetic'}
        'fashion-mnist' refuses the stand-in, 'synthetic' asks for it.
    limit : int, >= 1, optional
        Only the first so many training images, and at most so many test images.
    validation : int, >= 0, default 0
        Take so many training images, chosen by `seed`, for the second loader in place of the test set.

    Returns
    -------
    train_iter, test_iter : ImageLoader

    Raises
    ------
    ValueError
        An argument is out of its range. DataError: the files are bad, or cannot be had and the stand-in is refused.

    Examples
    --------
    >>> train_iter, test_iter = load_data_fashion_mnist(32, resize=48, data='synthetic', limit=64)
    data: SYNTHETIC STAND-IN (not Fashion-MNIST)
    >>> for X, y in train_iter:
    ...     print(X.shape, y.shape)
    (32, 1, 48, 48) (32,)
    (32, 1, 48, 48) (32,)
    """
    make = functools.partial(ImageLoader, batch_size=batch_size, resize=resize, seed=seed)
    augmented = functools.partial(make, shuffle=True, flip=flip, crop=crop, erase=erase)
    augmented(numpy.zeros((1, 28, 28), 'uint8'), [0])  # what it refuses is refused before anything is downloaded
    if limit is not None:
        positive_int('limit', limit)
    positive_int('validation', validation, least=0)
    if root is not None:
        root = a_path('root', root)
    one_of('data', data, ('auto', 'fashion-mnist', 'synthetic'))
    if data == 'synthetic' and root is not None:
        raise ValueError(f"root must be None with data='synthetic', which reads no files, got {root!r}")
    (train, train_labels, test, test_labels), source = _load(root, data, limit)
    if validation:
        if validation >= len(train):
            raise ValueError(f'validation must leave training images, got {validation!r} of {len(train):,}')
        order = numpy.random.default_rng(seed).permutation(len(train))
        kept, held = numpy.sort(order[:-validation]), numpy.sort(order[-validation:])
        train, train_labels, test, test_labels = train[kept], train_labels[kept], train[held], train_labels[held]
    return augmented(train, train_labels, source=source), make(test, test_labels, source=source)


def _load(root, data, limit):
    """The four arrays, cut to `limit`, and their DataSource."""
    if data != 'synthetic':
        try:
            arrays, location = find_fashion_mnist(root)
            return [array[:limit] for array in arrays], DataSource('fashion-mnist', 'md5:' + OFFICIAL[0].md5, location)
        except Unavailable as error:
            if data == 'fashion-mnist':
                raise
            _banner(error)
    train, test = min(limit or TRAIN_SIZE, TRAIN_SIZE), min(limit or TEST_SIZE, TEST_SIZE)
    arrays = [*synthetic_fashion(train, TRAIN_SEED), *synthetic_fashion(test, TEST_SEED)]
    source = DataSource('synthetic', _md5(*arrays), 'd2l_densenet.synthetic')
    if data == 'synthetic':
        notice(f'data: {source}')
    return arrays, source


def _banner(error):
    """Say, so that nobody overlooks it, that the stand-in takes over."""
    why, cache = str(error).removesuffix(REMEDY).rstrip(), cache_directory()
    lines = ['', 'THIS IS NOT FASHION-MNIST', '',
             'The images are a built-in SYNTHETIC STAND-IN: silhouettes drawn by the program.',
             'An accuracy measured on them says NOTHING about Fashion-MNIST.', '',
             *textwrap.wrap(f'Why: {why}', 96, break_long_words=False, break_on_hyphens=False), '',
             'Remedy: fetch these four files (30 MB), for instance on another machine,',
             *(f'    {official.name}.gz' for official in OFFICIAL),
             'from https://github.com/zalandoresearch/fashion-mnist/tree/master/data/fashion and put them into',
             *([f'    {cache}', 'or into'] if can_be_written(cache) else []),
             'a directory whose path you set in the environment variable D2L_DENSENET_DATA.',
             "data='fashion-mnist' (--data fashion-mnist) makes this an error.", '']
    notice('\n'.join(['#' * 100, *(f'##  {line}'.rstrip() for line in lines), '#' * 100]))
