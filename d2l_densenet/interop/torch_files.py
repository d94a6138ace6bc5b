"""PyTorch's checkpoints (.pth, .pt), read and written without PyTorch. Nothing in a file is run.

The pickle in such a file names classes and functions. `_Reader` hands out stand-ins from a short list and refuses every
other name. A tensor is a part of a storage, and the bytes of the storages stand outside the pickle: in a zip archive,
or one after another in files from before PyTorch 1.6. Every size in a file is compared with the bytes that are there
before memory is taken.
"""

import io
import math
import pickle
import re
import types
import zipfile
from typing import NamedTuple

import numpy

from .._common.params import DTYPES, MOST_AXES, Entry, shown, values

# A pickle of 600 tensors takes 0.1 MB. Its objects in memory may take 70 times as much.
_MOST_PICKLE = 2 ** 22
# How deep in a file the dictionary of the tensors may lie, and how much of a key names it.
_DEEPEST, _LONGEST_KEY = 6, 80

_KINDS = {'Double': 'float64', 'Float': 'float32', 'Half': 'float16', 'BFloat16': 'bfloat16', 'Long': 'int64',
          'Int': 'int32', 'Short': 'int16', 'Char': 'int8', 'Byte': 'uint8', 'Bool': 'bool',
          'ComplexFloat': 'complex64', 'ComplexDouble': 'complex128'}
#: Bytes within the first 32 of a file from before PyTorch 1.6: a number, pickled.
LEGACY = b'l\xfc\x9cF\xf9 j\xa8P\x19.'


class Refused(ValueError):
    """A checkpoint that is damaged, or holds what no plain checkpoint does."""


class OtherFile(ValueError):
    """A file that is sound, and something else than a checkpoint."""


class _Dtype(str):
    """The name of a type of numbers."""


class _Storage(NamedTuple):
    key: str
    dtype: str
    numel: int

    @property
    def size(self):
        return self.numel * _width(self.dtype)


class _Tensor(NamedTuple):
    storage: _Storage
    dtype: str
    offset: int
    size: tuple
    stride: tuple


class _Blank:
    """A tensor that gets its storage later, as PyTorch before 0.2 wrote it."""


class _Other:
    """What is no tensor and may stand beside the tensors, such as a program's options."""


def _width(dtype):
    return numpy.dtype(DTYPES[dtype]).itemsize


def _tensor(storage, offset, size, stride, *_, dtype=None):
    # What follows, such as hooks, stands for nothing here.
    if type(storage) is not _Storage or type(size) is not tuple or type(stride) is not tuple:
        raise Refused('a tensor without a storage or shape')
    if len(size) != len(stride) or len(size) > MOST_AXES:
        raise Refused('a tensor with a wrong number of axes')
    if any(type(n) is not int or not 0 <= n < 2 ** 62 for n in (offset, *size, *stride)):
        raise Refused('a size that is no whole number or is out of range')
    dtype = dtype or storage.dtype
    if dtype in DTYPES:
        numel, there = math.prod(size), storage.size // _width(dtype)
        last = offset + sum((length - 1) * step for length, step in zip(size, stride))
        # The first: tensors that repeat the elements of a smaller storage would unfold to any size.
        if numel > there or numel and last >= there or offset > there:
            raise Refused(f'a tensor of {numel:,} elements that leaves its storage of {there:,}')
    return _Tensor(storage, dtype, offset, size, stride)


def _tensor_of_new_type(storage, offset, size, stride, requires_grad, hooks, dtype, *_):
    if type(dtype) is not _Dtype:
        raise Refused('a tensor without a type')
    return _tensor(storage, offset, size, stride, dtype=dtype)


def _dictionary(items=None):
    """An OrderedDict. Its pairs are moved, not copied: a file may call for them as often as it likes."""
    if type(items) is dict:
        return items
    result = {}
    if items is not None:
        if type(items) is not list or any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in items):
            raise Refused('a dictionary of what are no pairs')
        for pair in items:
            _fill(result, pair)
        items.clear()
    return result


def _fill(target, items):
    """Set the items [key, value, key, value, ...] in a dictionary."""
    if type(target) is not dict or len(items) % 2:
        raise Refused('an item for what is no dictionary')
    # Other keys are not in checkpoints, and the hash of a nested tuple can take for ever.
    if any(type(key) not in (str, int) for key in items[::2]):
        raise Refused('a key that is no text')
    target.update(zip(items[::2], items[1::2]))


_KNOWN = {
    'collections.OrderedDict': _dictionary, 'collections.Counter': _dictionary,
    'collections.defaultdict': lambda factory=None, items=None: _dictionary(items),
    'torch._utils._rebuild_tensor': _tensor, 'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_tensor_v3': _tensor_of_new_type,
    **dict.fromkeys(['torch._utils._rebuild_parameter', 'torch.nn.parameter.Parameter'], lambda tensor, *_: tensor),
    **{f'torch.{kind}Tensor': lambda: _Blank() for kind in _KINDS},
    **{f'torch.{kind}Storage': _Dtype(dtype) for kind, dtype in _KINDS.items()},
    'torch.storage.UntypedStorage': _Dtype('uint8'),
    # What programs put beside the tensors: their options, the best score so far.
    **dict.fromkeys("""argparse.Namespace torch.Size torch.device numpy.dtype numpy.ndarray _codecs.encode builtins.dict
        __builtin__.dict numpy.core.multiarray.scalar numpy.core.multiarray._reconstruct numpy._core.multiarray.scalar
        numpy._core.multiarray._reconstruct""".split(), lambda *_: _Other())}


class _Opcodes(dict):
    def __missing__(self, code):
        raise Refused(f'the pickle opcode {code}')


class _Reader(pickle._Unpickler):
    """Python's unpickler in the form that is written in Python: the one in C takes memory for any number in a file.

    It knows the opcodes of a checkpoint, and those that build upon an object are here: none can reach an attribute.
    """

    dispatch = _Opcodes({getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in (
        'PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINSTRING SHORT_BINSTRING '
        'BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 '
        'EMPTY_LIST APPEND APPENDS EMPTY_DICT GLOBAL STACK_GLOBAL BINPERSID BINPUT LONG_BINPUT MEMOIZE BINGET '
        'LONG_BINGET').split()})

    def __init__(self, content):
        self.stream = io.BytesIO(content)
        self.storages = {}
        super().__init__(self.stream, encoding='utf-8')

    def find_class(self, module, name):
        if module == 'torch' and re.fullmatch('b?float[0-9]+(_[a-z0-9]+)?|u?int[0-9]+|complex[0-9]+|bool', name):
            return _Dtype(name)
        if f'{module}.{name}' not in _KNOWN:
            raise Refused(f'{shown(f"{module}.{name}")}, which is neither a tensor nor a dictionary')
        return _KNOWN[f'{module}.{name}']

    def persistent_load(self, reference):
        if type(reference) is not tuple or len(reference) not in (5, 6) or reference[5:] not in ((), (None,)):
            raise Refused('a reference to what is no storage, or to a part of one')
        _, dtype, key, _, numel = reference[:5]
        if type(dtype) is not _Dtype or dtype not in DTYPES or type(key) is not str or not key.isdecimal():
            raise Refused('a storage without a type or number')
        if type(numel) is not int or not 0 <= numel < 2 ** 62:
            raise Refused('a size that is no whole number or is out of range')
        storage = _Storage(key, dtype, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise Refused('a storage with two sizes or types')
        return storage

    def load_reduce(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not types.FunctionType or type(arguments) is not tuple or len(arguments) > 40:
            raise Refused('a call of what is no function')
        self.stack.append(function(*arguments))

    def load_newobj(self):
        self.load_reduce()

    def load_build(self):
        state, thing = self.stack.pop(), type(self.stack[-1])
        if thing is _Blank and type(state) is tuple and len(state) == 4:
            self.stack[-1] = _tensor(*state)
        elif thing not in (_Tensor, _Other, dict):  # of those the state, such as _metadata, has no meaning here
            raise Refused('an object with a state of its own')

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        _fill(self.stack[-1], [key, value])

    def load_setitems(self):
        items = self.pop_mark()
        _fill(self.stack[-1], items)

    dispatch.update({pickle.REDUCE[0]: load_reduce, pickle.NEWOBJ[0]: load_newobj, pickle.BUILD[0]: load_build,
                     pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems})


def read(content):
    """The content of a file: {keys that lead to it, joined by points: {name: Entry}} for each dictionary with a tensor.

    An array is a view of its storage. OtherFile, Refused: see there. A damaged file may raise anything else as well.
    """
    saved, storages, order = (_from_zip if content[:2] == b'PK' else _from_legacy)(content)
    parts, todo, seen, arrays = {}, [('', saved, 0)], set(), {}
    for path, found, depth in todo:
        if type(found) is not dict or id(found) in seen or depth > _DEEPEST:
            continue
        seen.add(id(found))
        if any(type(value) is _Tensor for value in found.values()):
            parts[path] = {str(name): _entry(value, storages, order, arrays) for name, value in found.items()}
        todo += [(f'{path}.{str(key)[:_LONGEST_KEY]}'.lstrip('.'), value, depth + 1) for key, value in found.items()
                 if type(value) is dict]
    if not parts:
        keys = [shown(str(key)) for key in saved][:10] if type(saved) is dict else ()
        raise OtherFile(f'holds a dictionary of {", ".join(keys) or "nothing"}' if type(saved) is dict else
                        f'holds an object of type {type(saved).__name__}')
    return parts


def _entry(value, storages, order, arrays):
    """The Entry of a tensor; `arrays` keeps a storage's elements for its other tensors."""
    if type(value) is not _Tensor:
        return Entry((), type(value).__name__)
    if value.dtype not in DTYPES:
        return Entry(value.size, value.dtype)
    place = value.storage.key, value.dtype
    if place not in arrays:
        content, width = storages[value.storage.key], _width(value.dtype)
        arrays[place] = values(value.dtype, content[:len(content) // width * width], order)
    flat = arrays[place][value.offset:]
    strides = [step * flat.itemsize if length > 1 else 0 for length, step in zip(value.size, value.stride)]
    return Entry(value.size, value.dtype, numpy.lib.stride_tricks.as_strided(flat, value.size, strides)
                 if math.prod(value.size) else flat[:0])


def _from_zip(content):
    """What is pickled in an archive, the bytes of its storages by their keys, and their order ('<' or '>')."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in infos if name.endswith('/data.pkl')]
        if len(pickles) != 1 or any(name.endswith('/constants.pkl') for name in infos):
            raise OtherFile('is ' + (
                'a TorchScript program' if any(name.endswith('/constants.pkl') for name in infos) else
                'a NumPy .npz file' if any(name.endswith('.npy') for name in infos) else
                'a zip archive that torch.save has not written'))

        def member(name):
            info = infos[pickles[0].removesuffix('data.pkl') + name]
            # torch.save does not compress. So no part is larger than the file, or becomes so when it is unpacked.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(content):
                raise Refused(f'a compressed or too large part {shown(name)}')
            return archive.read(info)  # checks the CRC

        root = member('data.pkl')
        if len(root) > _MOST_PICKLE:
            raise Refused(f'a pickle of {len(root):,} bytes, expected at most {_MOST_PICKLE:,}')
        reader = _Reader(root)
        saved = reader.load()
        if sum(storage.size for storage in reader.storages.values()) > len(content):
            raise Refused('storages larger than the file')
        storages = {key: member(f'data/{key}') for key in reader.storages}
        for key, storage in reader.storages.items():
            if len(storages[key]) != storage.size:
                raise Refused(f'a storage of {len(storages[key]):,} bytes where {storage.size:,} are claimed')
        big = pickles[0].removesuffix('data.pkl') + 'byteorder' in infos and member('byteorder') == b'big'
        return saved, storages, '>' if big else '<'


def _from_legacy(content):
    """The same of a file from before PyTorch 1.6."""
    begin, readers = 0, []

    def load():
        nonlocal begin
        readers.append(_Reader(content[begin:begin + _MOST_PICKLE]))
        result = readers[-1].load()
        begin += readers[-1].stream.tell()
        return result

    _, _, machine, saved, keys = (load() for _ in range(5))  # the first two: a magic number, the version of the format
    claimed, storages = readers[3].storages, {}
    if type(keys) is not list or sorted(keys) != sorted(claimed):
        raise Refused('storages without bytes, or bytes without a storage')
    order = '>' if type(machine) is dict and machine.get('little_endian') is False else '<'
    for key in keys:
        numel = int.from_bytes(content[begin:begin + 8], 'little' if order == '<' else 'big')
        begin += 8
        if numel != claimed[key].numel or claimed[key].size > len(content) - begin:
            raise Refused(f'a storage of {claimed[key].size:,} bytes, {len(content) - begin:,} are left')
        storages[key] = memoryview(content)[begin:begin + claimed[key].size]
        begin += claimed[key].size
    if begin != len(content):
        raise Refused(f'{len(content) - begin:,} bytes after its end')
    return saved, storages, order


def write(arrays):
    """The content of a file for ``torch.load`` with an OrderedDict of these contiguous float arrays, {name: array}."""
    def plain(value):
        return pickle.dumps(value, 2)[2:-1]  # without its first and last opcode

    parts, stream = [b'\x80\x02ccollections\nOrderedDict\n)R('], io.BytesIO()
    kinds = {dtype: kind for kind, dtype in _KINDS.items()}
    with zipfile.ZipFile(stream, 'w') as archive:
        for key, (name, array) in enumerate(arrays.items()):
            storage = (plain('storage') + f'ctorch\n{kinds[array.dtype.name]}Storage\n'.encode() + plain(str(key)) +
                       plain('cpu') + plain(array.size))
            strides = tuple(step // array.itemsize for step in array.strides)
            parts.append(plain(name) + b'ctorch._utils\n_rebuild_tensor_v2\n((' + storage + b'tQ' + plain(0) +
                         plain(array.shape) + plain(strides) + plain(False) + b'ccollections\nOrderedDict\n)RtR')
            little = array.astype(array.dtype.newbyteorder('<'), copy=False)
            archive.writestr(zipfile.ZipInfo(f'archive/data/{key}'), little.tobytes())
        for name, content in (('data.pkl', b''.join([*parts, b'u.'])), ('byteorder', b'little'), ('version', b'3\n')):
            archive.writestr(zipfile.ZipInfo(f'archive/{name}'), content)
    return stream.getvalue()
