"""Writing a file so that its name stands for the old content or the new one, never for a part."""

import os
import pathlib


def replace_file(path, content):
    """Write bytes to `path`; OSError if that fails, and then what was there is as it was and nothing is left over."""
    path = pathlib.Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with open(temporary, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the new name too must outlive a loss of power
        finally:
            os.close(directory)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
