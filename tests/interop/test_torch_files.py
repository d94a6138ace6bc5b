"""PyTorch's files, read and written without PyTorch: of all ages, damaged, and hostile."""

import argparse
import collections
import importlib.util
import io
import itertools
import os
import pathlib
import pickle
import struct
import zipfile

import numpy
import pytest
from helpers import images, same
from safetensors.numpy import load_file

from d2l_densenet import CheckpointError, DenseNet, load_pretrained
from d2l_densenet.interop import torch_files
from d2l_densenet.interop.names import layers_of, parameters_of


class Name:
    """A class or function in a pickle, by its name: nothing of that name need be there."""

    def __init__(self, name):
        self.module, _, self.name = name.rpartition('.')

    def __call__(self):
        """For pickle, which wants it."""


class Made:
    """Is pickled as a call, and perhaps a state, of whatever is named; as PyTorch's tensors are."""

    def __init__(self, function, *arguments, state=None):
        function = Name(function) if isinstance(function, str) else function
        self._parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self._parts


class Bytes:
    """A storage: the pickle has its number and length, the file its bytes."""

    def __init__(self, key, values, numel=None):
        self.reference = 'storage', Name('torch.FloatStorage'), key, 'cpu', values.size if numel is None else numel


class _Pickler(pickle._Pickler):
    def persistent_id(self, thing):
        return thing.reference + self.extra if isinstance(thing, Bytes) else None

    def save_name(self, thing):
        self.write(f'c{thing.module}\n{thing.name}\n'.encode())

    dispatch = {**pickle._Pickler.dispatch, Name: save_name}


def pickled(thing, extra=()):
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol=2)
    pickler.extra = extra
    pickler.dump(thing)
    return stream.getvalue()


def zip_of(root, storages, root_name='archive'):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr(f'{root_name}/data.pkl', root)
        archive.writestr(f'{root_name}/byteorder', 'little')
        for key, content in storages.items():
            archive.writestr(f'{root_name}/data/{key}', content)
        archive.writestr(f'{root_name}/version', '3\n')
    return stream.getvalue()


def legacy_of(root, storages, keys=None):
    parts = [pickled(0x1950a86a20f9469cfc6c), pickled(1001), pickled({'little_endian': True}), root,
             pickled(sorted(storages) if keys is None else keys)]
    for key in sorted(storages) if keys is None else keys:
        parts.append(struct.pack('<q', storages[key].size) + storages[key].tobytes())
    return b''.join(parts)


@pytest.mark.parametrize('age', ['_rebuild_tensor', 'Parameter', 'FloatTensor', 'OrderedDict of pairs'])
def test_pickles_as_pytorch_wrote_them_when_torchvision_published(tmp_path, age):
    """The layouts of PyTorch 0.1 to 0.3, made by hand: a tensor that is called otherwise, a Parameter with a state."""
    storages, entries = {}, collections.OrderedDict()
    for i, shape in enumerate(((8, 3, 7, 7), (8,), (), (5, 8))):
        key, name, value = str(94360006889392 + i), f'part.{i}', images(*shape)
        storages[key] = numpy.asarray(value)
        place = (Bytes(key, numpy.asarray(value)), 0, shape, tuple(step // 4 for step in numpy.asarray(value).strides))
        if age == 'FloatTensor':
            entries[name] = Made('torch.FloatTensor', state=place)
        else:
            entries[name] = Made('torch._utils._rebuild_tensor', *place)
        if age == 'Parameter' and i % 2:
            entries[name] = Made('torch.nn.parameter.Parameter', entries[name],
                                 state=(True, False, collections.OrderedDict()))
    names = list(entries)
    if age == 'OrderedDict of pairs':
        entries = Made('collections.OrderedDict', [[name, entry] for name, entry in entries.items()])
    content = legacy_of(pickled(entries, extra=(None,)), storages)
    found = torch_files.read(content)['']
    assert [*found] == names and same([entry.values for entry in found.values()], [*storages.values()])
    if importlib.util.find_spec('torch'):  # the oracle: PyTorch itself reads what was made here
        import torch
        loaded = torch.load(io.BytesIO(content), weights_only=True)
        assert same([value.detach().numpy() for value in loaded.values()], [*storages.values()])


@pytest.mark.parametrize('new', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
@pytest.mark.filterwarnings('ignore')
def test_tensors_of_every_kind_are_read_as_pytorch_reads_them(torch, new, protocol):
    """Views that share a storage, turned, spread, empty and without axes, of all types, with what stands beside."""
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5) / 7
    saved = {'base': base, 'turned': base.permute(2, 0, 1), 'part': base[1:, 2], 'again': base, 'every other': base[
        :, ::2, 1::3], 'repeated': base[:1, :1].expand(1, 4, 5), 'one': torch.tensor(2.5), 'empty': torch.zeros(0, 5),
        'parameter': torch.nn.Parameter(base[0].clone()), 'no gradient': torch.nn.Parameter(base[0], False),
        **{str(kind): (base * 9).to(kind) for kind in (
            torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
            torch.uint8, torch.bool, torch.complex64, torch.complex128)},
        'count': 3, 'rate': 0.1, 'name': 'x', 'nothing': None, 'list': [1, 'x', (2, 3)], 'device': torch.device('cpu'),
        'numpy': numpy.float32(2), 'array': numpy.ones(3), 'size': base.size(), 'options': argparse.Namespace(a=1)}
    if protocol == 5:  # NumPy writes arrays otherwise
        del saved['array']
    if new:  # the older format has no place for these
        saved['torch.uint16'] = torch.tensor([1, 65535], dtype=torch.uint16)
    state = collections.OrderedDict(saved)
    state._metadata = collections.OrderedDict({'': {'version': 1}})
    stream = io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=new, pickle_protocol=protocol)
    found = torch_files.read(stream.getvalue())['']
    assert [*found] == [*saved]
    for name, value in saved.items():
        entry = found[name]
        if not isinstance(value, torch.Tensor):
            assert entry.values is None and entry.shape == ()
            continue
        expected = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        assert entry.shape == tuple(value.shape) and entry.dtype == str(value.dtype).removeprefix('torch.')
        numpy.testing.assert_array_equal(entry.values.reshape(entry.shape), expected.numpy(), name)


@pytest.mark.parametrize('form', ['zip', 'legacy'])
def test_the_corpus_without_pytorch(form):
    """Files that PyTorch wrote, against the same values in safetensors."""
    corpus = pathlib.Path(__file__).parent.parent / 'corpus'
    expected = load_file(corpus / 'safetensors' / 'small')
    found = torch_files.read((corpus / 'pytorch' / form).read_bytes())['']
    assert sorted(found) == sorted(expected)
    assert all(same([found[name].values], [value]) for name, value in expected.items())


def test_what_is_written_is_read_by_pytorch(torch, tmp_path):
    arrays = {'a.weight': images(3, 4, 5), 'b': images(7).astype('float16'), 'ü': images(2).astype('float64'),
              'one': numpy.array(3, 'float32'), 'none': numpy.zeros((0, 2), 'float32')}
    content = torch_files.write(arrays)
    assert content == torch_files.write(arrays), 'the same twice'
    (tmp_path / 'x.pth').write_bytes(content)
    for options in ({}, {'mmap': True}):
        loaded = torch.load(tmp_path / 'x.pth', weights_only=True, **options)
        assert type(loaded) is collections.OrderedDict and [*loaded] == [*arrays]
        assert same([value.numpy() for value in loaded.values()], [*arrays.values()])
    found = torch_files.read(content)['']
    assert same([entry.values.reshape(entry.shape) for entry in found.values()], [*arrays.values()])


def test_big_endian_files():
    values = images(4)
    thing = {'w': Made('torch._utils._rebuild_tensor_v2', Bytes('7', values), 0, (4,), (1,), False, {})}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        parts = {'data.pkl': pickled(thing), 'byteorder': b'big', 'data/7': values.astype('>f4').tobytes()}
        for name, part in parts.items():
            archive.writestr(f'x/{name}', part)
    assert (torch_files.read(stream.getvalue())['']['w'].values == values).all()


def test_big_endian_files_from_before_1_6():
    values = images(4)
    thing = {'w': Made('torch._utils._rebuild_tensor_v2', Bytes('7', values), 0, (4,), (1,), False, {})}
    content = b''.join([pickled(0x1950a86a20f9469cfc6c), pickled(1001), pickled({'little_endian': False}),
                        pickled(thing, extra=(None,)), pickled(['7']), struct.pack('>q', 4),
                        values.astype('>f4').tobytes()])
    assert (torch_files.read(content)['']['w'].values == values).all()


class Evil:
    """Runs code where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def hostile(tmp_path):
    """Pickles of one storage of four floats, with what is wrong with each."""
    def tensor(offset=0, size=(4,), stride=(1,), numel=None, rest=()):
        storage = Bytes('7', numpy.ones(4, 'float32'), numel)
        return {'w': Made('torch._utils._rebuild_tensor_v2', storage, offset, size, stride, False, *rest)}

    nothing = (collections.OrderedDict(),)
    yield tensor(size=(2 ** 40,), rest=nothing), 'out of range|leaves its storage'
    yield tensor(size=(2 ** 40,), stride=(0,), rest=nothing), 'out of range|leaves its storage'
    yield tensor(size=(5,), rest=nothing), 'out of range|leaves its storage'
    yield tensor(size=(4,), stride=(2,), rest=nothing), 'leaves its storage'
    yield tensor(size=(4,), stride=(-1,), rest=nothing), 'out of range'
    yield tensor(size=(-4,), rest=nothing), 'out of range'
    yield tensor(size=(4,), offset=1, rest=nothing), 'leaves its storage'
    yield tensor(size=(4,), offset=-1, rest=nothing), 'out of range'
    yield tensor(size=(2, 2), rest=nothing), 'number of axes'
    yield tensor(size=(1,) * 50, stride=(1,) * 50, rest=nothing), 'number of axes'
    yield tensor(size=('4',), rest=nothing), 'no whole number'
    yield tensor(numel=2 ** 40, rest=nothing), 'storages larger|claimed|bytes, .* are left|storage of'
    yield tensor(numel=3, rest=nothing), 'out of range|claimed|leaves|storage of'
    yield tensor(numel=-4, rest=nothing), 'out of range'
    yield tensor(rest=(Made('os.system', 'x'),)), 'os.system'
    yield {'w': Evil(str(tmp_path / 'evil'))}, 'posix.mkdir|nt.mkdir'
    yield {'w': Made('builtins.bytearray', 2 ** 40)}, 'bytearray'
    yield {'w': Made('torch.FloatTensor', 2 ** 40)}, 'takes 0 positional'
    yield {'w': Made('torch.FloatTensor', state=(1, 2, 3, 4))}, 'without a storage'
    yield {'w': Made('torch.nn.modules.linear.Linear')}, 'Linear'
    nested = ()
    for _ in range(60):
        nested = (nested, nested)
    # A dictionary with this key, whose hash takes 2 ** 60 steps.
    yield b'\x80\x02}' + pickled(nested)[2:-1] + b'K\x01s.', 'key'
    yield Made('collections.OrderedDict', [[nested, 1]]), 'key'
    yield Made('collections.OrderedDict', [['w', 1, 'x', 2]]), 'no pairs'
    yield Made('collections.OrderedDict', 'ab'), 'no pairs'
    # Attributes of what stands for a class or a function would stay changed.
    for name in ('collections.OrderedDict', 'torch._utils._rebuild_tensor_v2', 'argparse.Namespace', 'torch.float32'):
        yield pickled(Name(name))[:-1] + pickled({'__doc__': 'x'})[2:-1] + b'b.', 'state of its own'
        yield pickled(Name(name))[:-1] + pickled((None, {'__defaults__': ()}))[2:-1] + b'b.', 'state of its own'
    yield pickled(Name('torch.FloatTensor'))[:-1] + b'K\x01\x85\x81.', 'takes 0 positional'
    yield pickled([])[:-1] + b')R.', 'no function'
    yield pickled(Name('collections.OrderedDict'))[:-1] + b'(' + b'N' * 50 + b'tR.', 'no function'
    # Opcodes that take memory for a number in the file, call by another way, or are of the text protocol.
    for code in (b'\x96' + (2 ** 40).to_bytes(8, 'little'), b'cos\nsystem\no', b'(ios\nsystem\n', b'2', b'P7\n',
                 b'I1\n', b'\x82\x01', b'\x97', b'(\x91', b'\x92'):
        yield b'\x80\x05' + code + b'.', 'opcode|os.system'
    yield b'\x80\x02}r' + (2 ** 32 - 1).to_bytes(4, 'little') + b'.', 'a dictionary of nothing'  # a place in the memo
    yield collections.OrderedDict(w=1), 'dictionary of w. Expected a dictionary of tensors'
    yield [1, 2], 'object of type list'
    yield {}, 'a dictionary of nothing'
    yield b'\x80\x02)' + b'\x85' * 10 ** 4 + b'.', 'object of type tuple'  # ((((...))))


@pytest.mark.parametrize('form', ['zip', 'legacy'])
@pytest.mark.filterwarnings('ignore')
def test_hostile_files(refused, tmp_path, form):
    for thing, text in hostile(tmp_path):
        root = thing if isinstance(thing, bytes) else pickled(thing, extra=() if form == 'zip' else (None,))
        ones = {'7': numpy.ones(4, 'float32')} if b'storage' in root else {}
        content = zip_of(root, {'7': ones['7'].tobytes()} if ones else {}) if form == 'zip' else legacy_of(root, ones)
        refused(content, text)
    assert not (tmp_path / 'evil').exists()


def test_one_list_of_pairs_cannot_fill_a_thousand_dictionaries(refused):
    """24 kB that would take 300 MB."""
    pairs = pickled([[str(i), i] for i in range(1000)])[:-1]
    again = b'ccollections\nOrderedDict\nh\x00\x85R'
    refused(zip_of(pairs + again * 400 + b'.', {}), 'dictionary of nothing')


def test_a_pickle_that_is_too_long(refused):
    refused(zip_of(b'\x80\x02' + b'N' * 2 ** 22 + b'.', {}), 'a pickle of 4,194,307 bytes, expected at most 4,194,304')
    refused(zip_of(b'\x80\x02' + b'N' * (2 ** 22 - 2) + b'.', {}), 'a pickle of 4,194,305 bytes')
    refused(zip_of(b'\x80\x02' + b'N' * (2 ** 22 - 3) + b'.', {}), 'an object of type NoneType')


def whole(storage, offset=0, size=(4,), stride=(1,)):
    return {'w': Made('torch._utils._rebuild_tensor_v2', storage, offset, size, stride, False,
                      collections.OrderedDict())}


def made(size=(4,), stride=(1,), offset=0, count=4, storage='torch.FloatStorage', numel=None):
    """A pickled dictionary of one tensor, and the bytes of its storage of `count` floats: 0, 1, ..."""
    values = numpy.arange(count, dtype='float32')
    place = Bytes('7', values, numel)
    place.reference = (place.reference[0], Name(storage), *place.reference[2:])
    return pickled(whole(place, offset, size, stride)), {'7': values.tobytes()}


@pytest.mark.parametrize('place, values', [
    ({}, [0, 1, 2, 3]), ({'size': (2,), 'stride': (2,), 'offset': 1}, [1, 3]), ({'size': (2,), 'stride': (3,)}, [0, 3]),
    ({'size': (2, 2), 'stride': (1, 2)}, [[0, 2], [1, 3]]), ({'size': (1,), 'offset': 3}, [3]),
    ({'size': (0,), 'offset': 4}, []), ({'size': (1,) * 32, 'stride': (9,) * 32}, None),
    ({'size': (), 'stride': (), 'offset': 2}, 2)])
def test_a_tensor_may_reach_to_the_end_of_its_storage(place, values):
    entry = torch_files.read(zip_of(*made(**place)))['']['w']
    assert entry.shape == place.get('size', (4,))
    assert values is None or entry.values.reshape(entry.shape).tolist() == values


@pytest.mark.parametrize('place, text', [
    ({'size': (2,), 'stride': (4,)}, 'of 2 elements that leaves its storage of 4'),
    ({'size': (0,), 'offset': 5}, 'of 0 elements that leaves its storage of 4'),
    ({'size': (1,), 'offset': 4}, 'of 1 elements that leaves'), ({'size': (5,), 'stride': (0,)}, 'of 5 elements'),
    ({'size': (1,) * 33, 'stride': (1,) * 33}, 'number of axes'), ({'offset': 2 ** 62}, 'out of range'),
    ({'offset': 2 ** 62 - 1}, 'leaves its storage'), ({'numel': 2 ** 62}, 'out of range'),
    ({'numel': 2 ** 62 - 1}, 'storages larger than the file'),
    ({'numel': 5}, 'a storage of 16 bytes where 20 are claimed')])
def test_a_tensor_beyond_the_end_of_its_storage(refused, place, text):
    refused(zip_of(*made(**place)), text)


def test_of_two_dictionaries_with_one_set_of_names_the_wanted_one_is_loaded(tmp_path):
    """As timm writes it: the weights, and beside them their moving average."""
    net = DenseNet(2, (1,), 2, stem='cifar', bias=False, classes=2)
    net.initialize()
    saved, storages = {'state_dict': {}, 'state_dict_ema': {}}, {}
    for number, (part, (name, parameter)) in enumerate(itertools.product(
            saved, parameters_of(net, layers_of(net)).items())):
        values = numpy.full(parameter.shape, 1 + (part == 'state_dict_ema'), 'float32')
        strides = tuple(step // 4 for step in values.strides)
        saved[part].update({name: whole(Bytes(str(number), values), size=values.shape, stride=strides)['w']})
        storages[str(number)] = values.tobytes()
    (tmp_path / 'x.pth').write_bytes(zip_of(pickled(saved), storages))
    with pytest.raises(CheckpointError, match="holds 2 networks, under 'state_dict', 'state_dict_ema': say which"):
        load_pretrained(net, tmp_path / 'x.pth')
    for part, value in (('state_dict_ema', 2), ('state_dict', 1)):
        report = load_pretrained(net, tmp_path / 'x.pth', part=part)
        assert report.part == part and not report.unexpected
        assert all((parameter.data().asnumpy() == value).all() for parameter in net.collect_params().values())


def test_the_dictionary_lies_at_most_six_keys_deep(refused):
    root, storages = made()
    for depth in range(1, 8):
        # ('a' {'a' ... {...}}): each level is an empty dictionary, a key, the value, and SETITEM.
        nested = b'\x80\x02' + b'}U\x01a' * depth + root[2:-1] + b's' * depth + b'.'
        if depth == 7:
            refused(zip_of(nested, storages), 'a dictionary of a')
        else:
            assert [*torch_files.read(zip_of(nested, storages))] == ['.'.join('a' * depth)]


def typed(dtype, size, count=2):
    """As newer PyTorch writes types of which there is no class of storages: bytes, and the type beside them."""
    storage = Bytes('7', numpy.zeros(0))
    storage.reference = ('storage', Name('torch.storage.UntypedStorage'), '7', 'cpu', 4 * count)
    dtype = Name(dtype) if isinstance(dtype, str) else dtype
    thing = {'w': Made('torch._utils._rebuild_tensor_v3', storage, 0, size, (1,), False, collections.OrderedDict(),
                       dtype)}
    return zip_of(pickled(thing), {'7': numpy.arange(count, dtype='float32').tobytes()})


def test_a_tensor_with_its_type_beside_its_bytes(refused):
    entry = torch_files.read(typed('torch.float32', (2,)))['']['w']
    assert (entry.dtype, entry.values.tolist()) == ('float32', [0, 1])
    entry = torch_files.read(typed('torch.float8_e4m3fn', (8,)))['']['w']
    assert (entry.dtype, entry.shape, entry.values) == ('float8_e4m3fn', (8,), None)
    refused(typed('torch.float32', (3,)), 'a tensor of 3 elements that leaves its storage of 2')
    refused(typed(3, (2,)), 'a tensor without a type')


@pytest.mark.parametrize('kind', ['collections.OrderedDict', 'collections.Counter', 'collections.defaultdict'])
def test_dictionaries_of_every_kind(kind):
    values = numpy.ones(4, 'float32')
    before = (None,) if 'default' in kind else ()
    for content in (whole(Bytes('7', values)), [['w', whole(Bytes('7', values))['w']]]):
        root = pickled(Made(kind, *before, content))
        assert [*torch_files.read(zip_of(root, {'7': values.tobytes()}))['']] == ['w']


def test_what_stands_beside_the_tensors_is_an_entry_without_values():
    values = numpy.ones(4, 'float32')
    thing = {**whole(Bytes('7', values)), 'epoch': 3, 'options': Made('argparse.Namespace'), 'best': None, 5: 'x'}
    found = torch_files.read(zip_of(pickled(thing), {'7': values.tobytes()}))['']
    assert {name: (entry.shape, entry.values is None) for name, entry in found.items()} == {
        'w': ((4,), False), 'epoch': ((), True), 'options': ((), True), 'best': ((), True), '5': ((), True)}


def test_a_key_is_cut_at_eighty_letters():
    root, storages = made()
    nested = b'\x80\x02}U\x64' + b'a' * 100 + root[2:-1] + b's.'
    assert [*torch_files.read(zip_of(nested, storages))] == ['a' * 80]


def test_a_call_has_at_most_forty_arguments(refused):
    for count, text in ((40, 'holds an object of type _Other'), (41, 'a call of what is no function')):
        refused(zip_of(pickled(Made('torch.Size', *[None] * count)), {}), text)


@pytest.mark.parametrize('kind, rest, text', [
    ('torch.FloatStorage', ['7', 'cpu'], 'no storage'),
    ('torch.FloatStorage', ['7', 'cpu', 4, None, None], 'no storage'),
    ('torch.FloatStorage', ['7', 'cpu', 4, (0, 2)], 'to a part of one'),
    ('torch.FloatStorage', ['x', 'cpu', 4], 'without a type or number'),
    ('torch.FloatStorage', [7, 'cpu', 4], 'without a type or number'),
    ('torch.Size', ['7', 'cpu', 4], 'without a type or number'),
    ('torch.FloatStorage', ['7', 'cpu', 4.0], 'no whole number')])
def test_references_to_what_is_no_storage(refused, kind, rest, text):
    storage = Bytes('7', numpy.ones(4, 'float32'))
    storage.reference = ('storage', Name(kind), *rest)
    refused(zip_of(pickled(whole(storage)), {'7': bytes(16)}), text)


def test_one_storage_has_one_type(refused):
    values = numpy.ones(4, 'float32')
    other = Bytes('7', values)
    other.reference = ('storage', Name('torch.IntStorage'), '7', 'cpu', 4)
    thing = {name: whole(place)['w'] for name, place in (('w', Bytes('7', values)), ('v', other))}
    refused(zip_of(pickled(thing), {'7': values.tobytes()}), 'a storage with two sizes or types')


@pytest.mark.parametrize('kind, dtype, width', [
    ('Double', 'float64', 8), ('Float', 'float32', 4), ('Half', 'float16', 2), ('BFloat16', 'bfloat16', 2),
    ('Long', 'int64', 8), ('Int', 'int32', 4), ('Short', 'int16', 2), ('Char', 'int8', 1), ('Byte', 'uint8', 1),
    ('Bool', 'bool', 1), ('ComplexFloat', 'complex64', 8), ('ComplexDouble', 'complex128', 16)])
def test_storages_of_every_type_have_their_widths(kind, dtype, width):
    root, storages = made(size=(16 // width,), numel=16 // width, storage=f'torch.{kind}Storage')
    entry = torch_files.read(zip_of(root, storages))['']['w']
    assert (entry.dtype, entry.shape) == (dtype, (16 // width,)) and entry.values.size == 16 // width


def test_dictionaries_in_circles_and_depths(refused):
    circle = {}
    circle.update(a=circle, b=circle, c=[circle])
    refused(zip_of(pickled(circle), {}), 'a dictionary of a, b, c')
    circle.update((str(i), circle) for i in range(300))  # 300 ** 6 ways down
    refused(zip_of(pickled(circle), {}), 'a dictionary of a, b, c')
    deep = {}
    for _ in range(300):
        deep = {'x' * 200: deep}
    refused(zip_of(pickled(deep), {}), 'dictionary of xxx')


def test_damaged_storages(refused):
    ones = numpy.ones(4, 'float32')
    thing = {'w': Made('torch._utils._rebuild_tensor_v2', Bytes('7', ones), 0, (4,), (1,), False,
                        collections.OrderedDict())}
    root, legacy = pickled(thing), pickled(thing, extra=(None,))
    for content in (zip_of(root, {'7': ones.tobytes()}), legacy_of(legacy, {'7': ones})):
        refused(content, 'Nothing in it fits')  # so far all is well
    refused(zip_of(root, {'7': ones.tobytes()[:8]}), 'a storage of 8 bytes where 16 are claimed')
    refused(zip_of(root, {}), 'cut off or damaged')
    # PyTorch would leave the memory as it found it.
    refused(legacy_of(legacy, {'7': ones}, keys=[]), 'storages without bytes')
    refused(legacy_of(legacy, {'7': ones}, keys=['7', '7']), 'without a storage')
    refused(legacy_of(legacy, {'7': ones[:2]}), 'a storage of 16 bytes')
    refused(legacy_of(legacy, {'7': ones}) + b'x', '1 bytes after its end')
    refused(legacy_of(legacy, {'7': ones})[:-1], 'a storage of 16 bytes, 15 are left')
    many = numpy.ones(1000, 'float32')
    long = pickled(whole(Bytes('7', many), size=(1000,)), extra=(None,))
    refused(legacy_of(long, {'7': many})[:-1], 'a storage of 4,000 bytes, 3,999 are left')
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr('a/data.pkl', pickled({'w': 'x' * 10 ** 4}), zipfile.ZIP_DEFLATED)
        archive.writestr('a/padding', bytes(10 ** 5))
    refused(stream.getvalue(), 'compressed')
    damaged = bytearray(zip_of(root, {'7': ones.tobytes()}))
    damaged[damaged.index(ones.tobytes())] ^= 1
    refused(bytes(damaged), 'CRC')


def test_zip_archives_that_are_something_else(tmp_path):
    numpy.savez(tmp_path / 'a.npz', x=numpy.ones(3))
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('notes.txt', 'x')
    with zipfile.ZipFile(tmp_path / 'a.pt', 'w') as archive:
        archive.writestr('model/data.pkl', 'x')
        archive.writestr('model/constants.pkl', 'x')
    for name, text in (('a.npz', 'NumPy .npz'), ('a.zip', 'torch.save has not written'), ('a.pt', 'TorchScript')):
        with pytest.raises(CheckpointError, match=text):
            load_pretrained(DenseNet(4, (1,), 4), tmp_path / name)
