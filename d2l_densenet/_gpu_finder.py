"""Has ``import mxnet`` take MXNet for GPUs, where NVIDIA's driver is.

`d2l_densenet.gpu.install_gpu` copies this file to the installed packages, as d2l_densenet_gpu.py beside the directory
d2l-densenet-gpu. A .pth file imports it whenever Python starts, so it does next to nothing before ``import mxnet``.
"""

import os
import sys

_PLACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'd2l-densenet-gpu')


class _Finder:
    """Finds nothing itself: it puts the place first on the path before the others look there."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == 'mxnet' and _PLACE not in sys.path and os.path.isdir(_PLACE) and _driver():
            sys.path.insert(0, _PLACE)
            # The wheel was built with an older cuDNN, and warns of ours.
            os.environ.setdefault('MXNET_CUDNN_LIB_CHECKING', '0')


def _driver():
    import ctypes

    try:
        ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False  # MXNet for GPUs cannot even be imported, and the CPU's can
    return True


sys.meta_path.insert(0, _Finder)
