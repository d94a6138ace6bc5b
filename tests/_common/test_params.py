"""Gluon's .params files of all ages and types, and damaged ones."""

import struct
import tracemalloc

import mxnet as mx
import numpy
import pytest
from helpers import MODES, images, same, switch
from mxnet import npx

from d2l_densenet._common.params import read_params


def params(arrays, version=0xf993fac9, names=None):
    """The bytes of a .params file, from MXNet's description of it: {name: (shape, type number, bytes)}."""
    parts = [struct.pack('<QQQ', 0x112, 0, len(arrays))]
    for shape, number, content in arrays.values():
        if version is None:  # before 0.12
            parts.append(struct.pack(f'<I{len(shape)}I', len(shape), *shape))
        else:
            parts.append(struct.pack('<I', version))
            parts.append(struct.pack('<i', 0) if version != 0xf993fac8 else b'')
            parts.append(struct.pack(f'<i{len(shape)}q', len(shape), *shape))
        parts.append(struct.pack('<iii', 1, 0, number) + content)
    names = list(arrays) if names is None else names
    parts.append(struct.pack('<Q', len(names)))
    parts += [struct.pack('<Q', len(name.encode())) + name.encode() for name in names]
    return b''.join(parts)


@pytest.mark.parametrize('version', [None, 0xf993fac8, 0xf993fac9])
def test_params_of_all_ages(tmp_path, version):
    arrays = {'a.weight': images(8, 3, 7, 7), 'b': images(5), 'c': images(4, 2)}
    content = params({name: (value.shape, 0, value.tobytes()) for name, value in arrays.items()}, version)
    (tmp_path / 'old.params').write_bytes(content)
    by_mxnet = mx.nd.load(str(tmp_path / 'old.params'))
    assert same([value.asnumpy() for value in by_mxnet.values()], [*arrays.values()])
    found = read_params(content)
    assert [*found] == [*arrays]
    assert same([entry.values.reshape(entry.shape) for entry in found.values()], [*arrays.values()])


@pytest.mark.parametrize('dtype', ['float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64'])
@pytest.mark.parametrize('mode', MODES)
def test_params_of_all_types_are_read_as_mxnet_reads_them(tmp_path, dtype, mode):
    array = switch(mode)
    things = {'a': array(images(2, 3) * 100, dtype=dtype), 'b': array(images(4), dtype=dtype)}
    if mode == 'np':
        things['zero axes'] = mx.np.array(3, dtype=dtype)
        things['empty'] = mx.np.zeros((0, 3), dtype=dtype)
    (npx.save if mode == 'np' else mx.nd.save)(str(tmp_path / 'x.params'), things)
    entries = read_params((tmp_path / 'x.params').read_bytes())
    for name, thing in things.items():
        entry = entries[name]
        assert entry.shape == thing.shape and entry.values.dtype == thing.dtype
        assert (entry.values.reshape(entry.shape) == thing.asnumpy()).all()


ONE = numpy.float32(1).tobytes()


def label(value):
    return 'content' if isinstance(value, bytes) else value


@pytest.mark.parametrize('content, text', [
    (params({'a': ((2 ** 20, 2 ** 20), 0, ONE)}), 'are claimed'),
    (params({'a': ((2 ** 62, 2 ** 62), 0, ONE)}), 'are claimed'),
    (params({'a': ((-1, -1), 0, ONE)}), 'shape'),
    (params({'a': ((1,), 77, ONE)}), 'type number 77'),
    (params({'a': ((1,), -1, ONE)}), 'type number -1'),
    (params({'a': ((1,) * 33, 0, ONE)}), '33 axes'),
    (params({'a': ((), 0, ONE)}), '0 axes'),
    (params({'a': ((1,), 0, ONE)}).replace(struct.pack('<Ii', 0xf993fac9, 0), struct.pack('<Ii', 0xf993fac9, 1)),
     'storage type 1'),
    (params({'a': ((1,), 0, ONE)}, version=0x7fffffff), 'axes'),
    (struct.pack('<QQQ', 0x112, 0, 2 ** 63) + bytes(100), 'arrays are claimed'),
    (params({'a': ((1,), 0, ONE)}, names=[]), 'without names'),
    (params({'a': ((1,), 0, ONE)}, names=['a', 'b']), 'have 2 names'),
    (params({'a': ((1,), 0, ONE), 'b': ((1,), 0, ONE)}, names=['a', 'a']), 'comes twice'),
    (params({'a': ((1,), 0, ONE)})[:-1] + b'\xff', 'utf-8'),
    (params({'a': ((1,), 0, ONE)}) + b'x', '1 bytes follow'),
], ids=label)
def test_damaged_params(content, text):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=text):
            read_params(content)
        assert tracemalloc.get_traced_memory()[1] < 1e6, 'it believes the sizes in the file'
    finally:
        tracemalloc.stop()
