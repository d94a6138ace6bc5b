"""The idx format, in which MNIST and Fashion-MNIST are published: reading it and doubting every byte of it."""

import gzip
import hashlib
import math
import os
import struct
import zlib

import numpy

from .._common.disk import open_file

# The first four bytes of a file: two zeros, the type (8: unsigned byte), the number of axes.
_MAGIC = {'images': 0x00000803, 'labels': 0x00000801}

# More than the format's users ever need (the real training images are 47 MB), far less than a corrupt header claims.
_MOST_BYTES = 2 ** 28


class DataError(ValueError):
    """Trouble with the data set: the message names the file, what was expected, what was found and the remedy."""


def read_idx(path, kind):
    """The array in an idx file of 'images' or 'labels', plain or gzipped, as the content says; DataError if bad."""
    try:
        with open_file(path) as raw:
            start = raw.read(2)
            raw.seek(0)
            if start == b'\x1f\x8b':
                with gzip.GzipFile(fileobj=raw) as unzipped:
                    return _parse(path, unzipped, kind)
            return _parse(path, raw, kind)
    except EOFError:
        raise DataError(f'{path}: cut off, expected a complete gzip stream, found only its first '
                        f'{os.path.getsize(path):,} bytes. Delete it and fetch it again.') from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f'{path}: expected a gzip stream, found a damaged one ({error}). Delete it and fetch it '
                        f'again.') from error
    except OSError as error:
        raise DataError(f'{path}: cannot be read ({error.strerror or error}). Expected a readable idx file with '
                        f'{kind}: check the path and its permissions.') from error


def _parse(path, stream, kind):
    """Header, size and pixels or labels of the idx file behind `stream`."""
    axes = 3 if kind == 'images' else 1
    header = stream.read(4 + 4 * axes)
    if header.lstrip()[:1] == b'<':
        raise DataError(f'{path}: is an HTML or XML page, not an idx file with {kind}. A server answered with a page '
                        f'instead: delete it and fetch the file from another source.')
    magic = int.from_bytes(header[:4], 'big')
    if len(header) >= 4 and magic != _MAGIC[kind]:
        other = [name for name, value in _MAGIC.items() if value == magic]
        hint = f' (that of a file with {other[0]})' if other else ''
        raise DataError(f'{path}: wrong magic number, expected 0x{_MAGIC[kind]:08x} for idx {kind}, found '
                        f'0x{magic:08x}{hint}. Put the right file in its place.')
    if len(header) < 4 + 4 * axes:
        raise DataError(f'{path}: cut off, {len(header)} bytes hold no complete idx header of {4 + 4 * axes} bytes. '
                        f'Delete it and fetch it again.')
    shape = struct.unpack(f'>{axes}I', header[4:])
    size = math.prod(shape)
    if not 0 < size <= _MOST_BYTES:
        raise DataError(f'{path}: the header claims {kind} of shape {shape}, {size:,} bytes; expected between 1 and '
                        f'{_MOST_BYTES:,}. The file is damaged: delete it and fetch it again.')
    body = stream.read(size + 1)
    if len(body) != size:
        found = f'only {len(body):,}' if len(body) < size else 'more'
        raise DataError(f'{path}: the header claims {size:,} bytes of {kind} {shape}, found {found}. The file is '
                        f'damaged: delete it and fetch it again.')
    return numpy.frombuffer(body, dtype=numpy.uint8).reshape(shape)


def check_pair(images_path, images, labels_path, labels, classes=10):
    """Raise DataError unless images (n, 28, 28) and labels (n,), each below `classes`, belong together."""
    if images.shape[1:] != (28, 28):
        raise DataError(f'{images_path}: expected images of 28 x 28 pixels, found {images.shape[1]} x '
                        f'{images.shape[2]}. Put the official file in its place.')
    if len(images) != len(labels):
        raise DataError(f'{images_path} holds {len(images):,} images and {labels_path} holds {len(labels):,} labels: '
                        f'expected as many of one as of the other. Fetch both files again, from one source.')
    if labels.max() >= classes:
        first = int((labels >= classes).argmax())
        raise DataError(f'{labels_path}: label {labels[first]} at position {first}, expected labels from 0 to '
                        f'{classes - 1}. The file is damaged or of another data set: fetch it again.')


def content_md5(array):
    """MD5 of the unzipped idx file that holds `array` (uint8), as 32 hexadecimal digits."""
    # Two gzip programs may pack the same file differently, so the content is compared.
    magic = _MAGIC['images' if array.ndim == 3 else 'labels']
    digest = hashlib.md5(struct.pack(f'>{1 + array.ndim}I', magic, *array.shape))
    digest.update(numpy.ascontiguousarray(array))
    return digest.hexdigest()
