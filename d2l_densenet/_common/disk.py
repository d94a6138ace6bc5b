"""Files, written so that a name stands for the old content or the new one, and read so that none can be a trap."""

import contextlib
import errno
import json
import os
import pathlib
import reprlib
import stat

PACKAGE = pathlib.Path(__file__).resolve().parent.parent


def record(name):
    """The content of records/`name`: in the package once it is installed from a wheel, beside it in a checkout."""
    folder = next(place for place in (PACKAGE / 'records', PACKAGE.parent / 'records') if place.is_dir())
    return json.loads((folder / name).read_text(encoding='utf-8'))


def a_path(name, value):
    """Return `value` as text, with a ``~`` expanded, if it can be a path; else raise TypeError or ValueError."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise TypeError(f'{name} must be a path (str or pathlib.Path), got {reprlib.repr(value)}')
    path = os.fspath(value)
    if not path or '\0' in path:
        raise ValueError(f'{name} must be a path that is not empty and holds no null character, got '
                         f'{reprlib.repr(value)}')
    if any('\ud800' <= letter <= '\udfff' for letter in path):  # how Python writes bytes that it cannot read
        raise ValueError(f'{name} must be a path in UTF-8, which is all that MXNet takes, got {ascii(path)}: choose '
                         'another one, or a UTF-8 locale (LC_ALL=C.UTF-8)')
    return os.path.expanduser(path)


def replace_file(path, content):
    """Write bytes to `path`; OSError if that fails, and then what was there is as it was and nothing is left over."""
    replace_files({path: content})


def replace_files(contents):
    """The same for files that belong together, {path: bytes}."""
    temporaries = {path: path.with_name(f'.{path.name}.{os.getpid()}.tmp') for path in map(pathlib.Path, contents)}
    try:
        for temporary, content in zip(temporaries.values(), contents.values()):
            temporary.unlink(missing_ok=True)
            # 'x' does not follow a link that a stranger has put there.
            with open(temporary, 'xb') as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
        for parent in {path.parent for path in temporaries}:
            directory = os.open(parent, os.O_RDONLY)
            try:
                os.fsync(directory)  # the new names too must outlive a loss of power
            finally:
                os.close(directory)
    except BaseException:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise


def open_file(path):
    """Open a file to read its bytes; OSError if it is anything else: a pipe or a device could keep the reader."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, 'O_CLOEXEC', 0))
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        code = errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL
        text = os.strerror(code) if stat.S_ISDIR(kind) else 'It is a pipe or a device, not a file'
        raise OSError(code, text, str(path))
    return os.fdopen(descriptor, 'rb')


def read_file(path, most):
    """The bytes of a file; OSError if it cannot be read, ValueError if there are more than `most`."""
    with open_file(path) as file:
        # To read `most` bytes at most would take memory for all of them first.
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f'{path} has {size:,} bytes, expected at most {most:,}')
        return file.read(size)


def read_json(path):
    """What the JSON file `path` holds; OSError if it cannot be read, ValueError if it is no JSON or too long."""
    return parse_json(read_file(path, 2 ** 26))


def parse_json(content):
    """What a JSON text holds; ValueError if it is none, also where it is nested without end."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError('it is nested too deeply') from None
