"""Gluon's .params files of all ages and types, and damaged ones."""

import struct
import tracemalloc

import mxnet as mx
import numpy
import pytest
from helpers import MODES, images, same, switch
from mxnet import npx

from d2l_densenet._common.params import read_params, shown


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


@pytest.mark.parametrize('number, dtype, bits', [
    (0, 'float32', 32), (1, 'float64', 64), (2, 'float16', 16), (3, 'uint8', 8), (4, 'int32', 32), (5, 'int8', 8),
    (6, 'int64', 64), (7, 'bool', 8), (8, 'int16', 16), (9, 'uint16', 16), (10, 'uint32', 32), (11, 'uint64', 64),
    (12, 'bfloat16', 16)])
def test_the_numbers_of_the_types_are_those_of_mxnets_mshadow(number, dtype, bits):
    entry = read_params(params({'a': ((3, 1), number, bytes(3 * bits // 8))}))['a']
    assert (entry.shape, entry.dtype, entry.values.tolist()) == ((3, 1), dtype, [0, 0, 0])
    with pytest.raises(ValueError, match='names|claimed'):
        read_params(params({'a': ((3, 1), number, bytes(3 * bits // 8 - 1))}))


def test_bfloat16_is_the_upper_half_of_float32():
    numbers = numpy.array([1, -2.5, 0, numpy.inf, 3e38], 'float32')
    upper = (numbers.view('uint32') >> 16).astype('<u2')
    found = read_params(params({'a': ((5,), 12, upper.tobytes())}))['a'].values
    numpy.testing.assert_allclose(found, numbers, rtol=2 ** -7)
    assert found.dtype == numpy.float32 and (found[:4] == numbers[:4]).all()


def test_an_array_may_have_32_axes_and_in_np_mode_none():
    for shape, version in (((1,) * 32, 0xf993fac9), ((1,), 0xf993fac9), ((), 0xf993faca)):
        assert read_params(params({'a': (shape, 0, ONE)}, version))['a'].shape == shape
    assert str(read_params(params({'a': ((1,) * 8, 0, ONE)}))['a']) == 'float32 (1, 1, 1, 1, 1, 1, 1, 1)'
    assert str(read_params(params({'a': ((1,) * 9, 0, ONE)}))['a']) == 'float32 of many axes'


def test_a_file_without_arrays_is_a_file():
    assert read_params(params({})) == {}


def test_a_name_from_a_file_is_shown_up_to_80_characters():
    assert shown('x' * 80) == 'x' * 80 and shown('x' * 81) == 'x' * 77 + '...'
    assert shown('') == "''" and shown('a\x1b[2J') == repr('a\x1b[2J')


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
    (params({'a': ((1,), 13, ONE)}), 'type number 13, expected 0 to 12'),
    (params({'a': ((0, -1), 0, b'')}), r'shape \(0, -1\)'),
    (params({'a': ((1,), 0, ONE)}).replace(struct.pack('<Q', 0x112), struct.pack('<Q', 0x113)), 'its first bytes are'),
    (params({'a': ((1,), 0, ONE)})[:-1], '1 bytes are claimed at byte 76, 0 are left'),
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
