"""The stand-in for NVIDIA's driver."""

import pathlib
import shutil
import subprocess
import sys

import pytest


@pytest.fixture(scope='session')
def libraries(tmp_path_factory):
    """A directory with the stand-in, to be named in LD_LIBRARY_PATH."""
    if sys.platform != 'linux' or shutil.which('gcc') is None:
        pytest.skip('needs Linux and gcc')
    place, source = tmp_path_factory.mktemp('driver'), pathlib.Path(__file__).with_name('libcuda.c')
    subprocess.run(['gcc', '-shared', '-fPIC', '-Wall', '-Werror', '-o', str(place / 'libcuda.so.1'), str(source),
                    '-ldl'], check=True, timeout=60)
    return place
