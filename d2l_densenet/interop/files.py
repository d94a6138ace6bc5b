"""What a file with weights is, whatever its name, and what is in it.

A file is read without trust: each length in it is compared with the bytes that are there before memory is taken, and
nothing in it is run.
"""

from .._common import params
from .._common.disk import read_file
from .._common.params import Entry, shown, values
from . import torch_files


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, does not fit the network, or cannot be written."""


# Their names for the types.
_SAFETENSORS_TYPES = {'F64': 'float64', 'F32': 'float32', 'F16': 'float16', 'BF16': 'bfloat16', 'I64': 'int64',
                      'I32': 'int32', 'I16': 'int16', 'I8': 'int8', 'U64': 'uint64', 'U32': 'uint32',
                      'U16': 'uint16', 'U8': 'uint8', 'BOOL': 'bool'}

_SIGNATURES = (
    (b'version https://git-lfs', 'is a Git LFS pointer, the file itself was not fetched: run "git lfs pull"'),
    (b'\x1f\x8b', 'is packed by gzip: unpack it first'), (b'BZh', 'is packed by bzip2: unpack it first'),
    (b'\xfd7zXZ', 'is packed by xz: unpack it first'), (b'\x28\xb5\x2f\xfd', 'is packed by zstd: unpack it first'),
    (b"7z\xbc\xaf'", 'is packed by 7-Zip: unpack it first'), (b'\x89HDF', 'is an HDF5 file, as Keras writes it'),
    (b'\x93NUMPY', 'is a single NumPy array'),
    (b'PK', 'is a zip archive that is empty or damaged at its start'),
    (b'\x80', 'is a Python pickle but not a checkpoint of torch.save; reading it could run any code'),
    (b'{', 'is a JSON text, perhaps the index or the symbol that belongs to the weights'),
)


def read(path):
    """What the file is (see `LoadReport.source`), and its dictionaries: {keys that lead there: {name: Entry}}."""
    try:
        data = read_file(path, params.MOST_BYTES)
    except FileNotFoundError:
        raise CheckpointError(f'{path}: is not there. Give the path of a .safetensors, .pth, .pt or .params file.') \
            from None
    except OSError as error:
        raise CheckpointError(f'{path}: cannot be read ({error.strerror or error}). Give the path of a .safetensors, '
                              '.pth, .pt or .params file that you may read.') from error
    except ValueError as error:
        raise CheckpointError(f'{error}: not the weights of one DenseNet. Save the network alone.') from None
    # Before .params: eight bytes with the length of a header, which may be 274, their magic number.
    if data[4:9] == b'\0\0\0\0{':
        return 'safetensors', {'': _read_safetensors(path, data)}
    if data[:8] == params.MAGIC:
        return 'Gluon params', {'': _read_params(path, data)}
    if data[:4] == b'PK\x03\x04':
        return 'PyTorch', _read_torch(path, data)
    if data[:1] == b'\x80' and torch_files.LEGACY in data[:32]:
        return 'PyTorch before 1.6', _read_torch(path, data)
    raise CheckpointError(f'{path}: {_what_is_it(data)}. Expected a checkpoint in safetensors, PyTorch (.pth) or Gluon '
                          '(.params) format.')


def _what_is_it(data):
    """Say what a file that is no checkpoint is, from its first bytes."""
    if not data:
        return 'is empty'
    if data[:512].lstrip(b'\xef\xbb\xbf \t\r\n')[:1] == b'<':
        return 'is an HTML or XML page: a server answered with a page instead of the file'
    if data[257:262] == b'ustar':
        return 'is a tar archive: unpack it first, or if PyTorch before 0.4 wrote it save it again with a newer one'
    for start, text in _SIGNATURES:
        if data.startswith(start):
            return text
    if not any(data[:4096]):
        return 'begins with nothing but zeros, as after a download that stopped'
    return f'is of no known format, its first bytes are {data[:16]!r}'


def _damaged(path, what, reason):
    return CheckpointError(f'{path}: looks like {what}, but is cut off or damaged ({shown(str(reason), 200)}). '
                           'Fetch or write the file again.')


def _read_safetensors(path, data):
    from safetensors import deserialize

    try:
        arrays = deserialize(data)
    except Exception as error:  # SafetensorError, or whatever else the header provokes
        raise _damaged(path, 'a safetensors file', error) from error
    entries = {}
    for name, array in arrays:
        shape, dtype = tuple(array['shape']), _SAFETENSORS_TYPES.get(array['dtype'], array['dtype'])
        entries[name] = Entry(shape, dtype, values(dtype, array['data']) if dtype in params.DTYPES else None)
    return entries


def _read_params(path, data):
    try:
        return params.read_params(data)
    except params.NamelessError as error:
        raise CheckpointError(f'{path}: {error}') from None
    except ValueError as error:
        raise _damaged(path, 'a Gluon .params file', error) from error


def _read_torch(path, data):
    try:
        return torch_files.read(data)
    except torch_files.OtherFile as error:
        raise CheckpointError(f'{path}: {error}. Expected a dictionary of tensors, as net.state_dict() is in '
                              'PyTorch.') from None
    except torch_files.Refused as error:
        raise CheckpointError(f'{path}: is a PyTorch file that is damaged or holds more than weights: it has {error}. '
                              'Save net.state_dict() alone with a current PyTorch, or convert it to .safetensors '
                              'where it can be trusted.') from error
    except Exception as error:  # zipfile and pickle raise dozens of kinds
        raise _damaged(path, 'a PyTorch file', f'{type(error).__name__}: {error}') from error
