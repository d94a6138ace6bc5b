"""The finder that has `import mxnet` take MXNet for GPUs: where it puts the place of that, and when."""

import ctypes
import os
import pathlib
import runpy
import shutil
import sys

import pytest

from d2l_densenet import gpu


@pytest.mark.parametrize('name, driver, folder, already, taken', [
    ('mxnet', True, True, False, True), ('json', True, True, False, False), ('numpy', True, True, False, False),
    ('mxnet.nd', True, True, False, False),
    ('mxnet', False, True, False, False), ('mxnet', True, False, False, False), ('mxnet', True, True, True, False)])
def test_the_place_comes_first_when_mxnet_is_imported_and_there_is_a_driver(
        name, driver, folder, already, taken, monkeypatch, tmp_path):
    def load(library):
        if not driver:
            raise OSError(library)

    place = str(tmp_path / 'd2l-densenet-gpu')
    shutil.copyfile(pathlib.Path(gpu.__file__).with_name('_gpu_finder.py'), tmp_path / 'd2l_densenet_gpu.py')
    monkeypatch.setattr(sys, 'meta_path', ['others'])
    monkeypatch.setattr(sys, 'path', ['others', *([place] if already else [])])
    monkeypatch.setattr(ctypes, 'CDLL', load)
    for own in (None, '1'):
        with monkeypatch.context() as patch:
            patch.setattr(sys, 'path', [*sys.path])
            patch.setattr(sys, 'meta_path', [*sys.meta_path])
            patch.setenv('MXNET_CUDNN_LIB_CHECKING', '1')
            if own is None:
                patch.delenv('MXNET_CUDNN_LIB_CHECKING')
            runpy.run_path(str(tmp_path / 'd2l_densenet_gpu.py'))
            if folder:
                pathlib.Path(place).mkdir(exist_ok=True)
            finder, *others = sys.meta_path
            before = [*sys.path]
            assert others == ['others'] and finder.find_spec(name) is None
            assert sys.path == ([place, *before] if taken else before)
            assert os.environ.get('MXNET_CUDNN_LIB_CHECKING') == own or (
                taken and own is None and os.environ['MXNET_CUDNN_LIB_CHECKING'] == '0')
