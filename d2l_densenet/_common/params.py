"""Gluon's .params files, read without trust.

MXNet's own reader believes the sizes in the file: 1,170 bytes have made it take 12 GB. Here each length is compared
with the bytes that are there before memory is taken.
"""

import math
import struct
from typing import NamedTuple

import numpy

from .disk import read_file

# The largest named network has 0.13 GB of weights; an optimizer may have stored as much again two or three times.
MOST_BYTES = 2 ** 32
# NumPy's limit.
MOST_AXES = 32


class Entry(NamedTuple):
    """An array of a file: `values` has its elements, in this shape or flat; None if no parameter can have its type."""

    shape: tuple
    dtype: str
    values: object = None

    def __str__(self):
        return f'{self.dtype} {self.shape if len(self.shape) < 9 else "of many axes"}'


def shown(name, most=80):
    """A text from a file, fit to be printed."""
    name = name if len(name) <= most else name[:most - 3] + '...'
    return name if name.isprintable() and name else repr(name)


# NumPy's name for each type, and the types in the order of their numbers in MXNet.
DTYPES = {'float64': 'f8', 'float32': 'f4', 'float16': 'f2', 'bfloat16': 'u2', 'int64': 'i8', 'int32': 'i4',
          'int16': 'i2', 'int8': 'i1', 'uint64': 'u8', 'uint32': 'u4', 'uint16': 'u2', 'uint8': 'u1', 'bool': 'u1',
          'complex64': 'c8', 'complex128': 'c16'}
_MXNET_TYPES = ('float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64', 'bool', 'int16', 'uint16',
                'uint32', 'uint64', 'bfloat16')


def values(dtype, content, order='<'):
    """The numbers of a type in bytes of a whole number of them, as a flat array."""
    flat = numpy.frombuffer(content, order + DTYPES[dtype])
    # bfloat16 is the upper half of a float32.
    return (flat.astype('u4') << 16).view('f4') if dtype == 'bfloat16' else flat


#: What a file begins with. Then come arrays and their names, as NDArray::Save in MXNet's ndarray.cc writes them.
MAGIC = (0x112).to_bytes(8, 'little')
_V1, _V2, _V3 = 0xf993fac8, 0xf993fac9, 0xf993faca


class _Cursor:
    """Reads numbers and bytes from the front of `data` and never beyond its end."""

    def __init__(self, data):
        self._data, self._at = memoryview(data), 0

    @property
    def left(self):
        return len(self._data) - self._at

    def take(self, size):
        if not 0 <= size <= self.left:
            raise ValueError(f'{size:,} bytes are claimed at byte {self._at:,}, {self.left:,} are left')
        self._at += size
        return self._data[self._at - size:self._at]

    def numbers(self, form):
        return struct.unpack('<' + form, self.take(struct.calcsize('<' + form)))


class NamelessError(ValueError):
    """A file of arrays without names."""


def read_params(data):
    """The entries {name: Entry} of a .params file, of nd mode, np mode or MXNet before 1.0.

    ValueError if `data` is no such file, or cut off or damaged; NamelessError if its arrays have no names.
    """
    cursor = _Cursor(data)
    try:
        if cursor.take(16)[:8] != MAGIC:
            raise ValueError(f'its first bytes are {bytes(data[:8])!r}, expected {MAGIC!r}')
        count, = cursor.numbers('Q')
        if count > cursor.left // 16:
            raise ValueError(f'{count:,} arrays are claimed in {cursor.left:,} bytes')
        arrays = [_array(cursor) for _ in range(count)]
        names, = cursor.numbers('Q')
        if names == 0 and count:
            raise NamelessError(f'holds {count} arrays without names, so there is no telling which is which. Save it '
                                'with net.save_parameters.')
        if names != count:
            raise ValueError(f'{count} arrays have {names:,} names')
        entries = {}
        for array in arrays:
            name = str(cursor.take(*cursor.numbers('Q')), 'utf-8')
            if name in entries:
                raise ValueError(f'the name {shown(name)} comes twice')
            entries[name] = array
        if cursor.left:
            raise ValueError(f'{cursor.left:,} bytes follow its end')
    except struct.error as error:
        raise ValueError(str(error)) from error
    return entries


def check_params(path):
    """Raise OSError or ValueError unless `path` is a .params file that MXNet's reader can be given."""
    data = read_file(path, MOST_BYTES)
    try:
        read_params(data)
    except NamelessError as error:
        raise ValueError(f'{path} {error}') from None
    except ValueError as error:
        raise ValueError(f'{path} is no Gluon .params file, or is cut off or damaged ({error}). Fetch or write it '
                         'again.') from None


def _array(cursor):
    """One array: version, storage, shape, device, type, values."""
    version, = cursor.numbers('I')
    if version in (_V2, _V3):
        storage, = cursor.numbers('i')
        if storage != 0:
            raise ValueError(f'storage type {storage}, expected 0, a dense array')
    axes, of = cursor.numbers('i')[0] if version in (_V1, _V2, _V3) else version, 'q'
    if version not in (_V1, _V2, _V3):
        of = 'I'  # the oldest files begin an array with the number of axes
    if not (0 if version == _V3 else 1) <= axes <= MOST_AXES:
        raise ValueError(f'an array of {axes:,} axes')
    shape = cursor.numbers(f'{axes}{of}')
    cursor.take(8)  # the device that it was on
    number, = cursor.numbers('i')
    if not 0 <= number < len(_MXNET_TYPES):
        raise ValueError(f'type number {number}, expected 0 to {len(_MXNET_TYPES) - 1}')
    if min(shape, default=1) < 0:
        raise ValueError(f'an array of shape {shape}')
    dtype = _MXNET_TYPES[number]
    return Entry(shape, dtype, values(dtype, cursor.take(math.prod(shape) * int(DTYPES[dtype][1:]))))
