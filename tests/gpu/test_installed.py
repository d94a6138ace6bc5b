"""MXNet for GPUs as `make env GPU=anyway` has installed it, with a stand-in for the driver; no card is needed."""

import json
import os
import pathlib
import subprocess
import sys
from importlib import util

import pytest

from d2l_densenet import gpu

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PLACE = gpu._places()[0]
pytestmark = pytest.mark.skipif(not PLACE.exists(), reason='needs MXNet for GPUs: make env GPU=anyway, 2.1 GB')


def run(libraries, code, **settings):
    environment = {name: value for name, value in os.environ.items() if name != 'CUDA_VISIBLE_DEVICES'}
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={**environment, 'LD_LIBRARY_PATH': str(libraries), **settings})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mxnet_for_gpus_is_imported_with_its_own_libraries(libraries):
    code = ('import json, mxnet as mx\n'
            'features = mx.runtime.Features()\n'
            'enabled = [name for name in ("CUDA", "CUDNN", "NCCL", "MKLDNN") if features.is_enabled(name)]\n'
            'libraries = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}\n'
            'x = mx.nd.array([[[[1, 2], [3, 4]]]])\n'
            'y = mx.nd.Convolution(x, mx.nd.ones((1, 1, 2, 2)), kernel=(2, 2), num_filter=1, no_bias=True)\n'
            'print(json.dumps([mx.__version__, mx.__file__, enabled, sorted(libraries), y.asnumpy().item()]))')
    version, file, enabled, loaded, value = json.loads(run(libraries, code))
    assert version == '1.9.1' and pathlib.Path(file).parent == PLACE / 'mxnet'
    assert enabled == ['CUDA', 'CUDNN', 'NCCL', 'MKLDNN'] and value == 10
    ours = {pathlib.Path(path).name for path in loaded if pathlib.Path(path).parent == PLACE / 'mxnet'}
    assert ours >= {'libmxnet.so', 'libcudart.so.11.0', 'libcudnn.so.8', 'libcublas.so.11', 'libcublasLt.so.11',
                    'libcufft.so.10', 'libcurand.so.10', 'libcusolver.so.11', 'libnccl.so.2', 'libnvrtc.so.11.2',
                    'libnvToolsExt.so.1'}


def test_every_library_finds_those_it_needs():
    """Also those that cuDNN loads when it first computes."""
    names = sorted(path.name for path in (PLACE / 'mxnet').glob('*.so*'))
    assert len([name for name in names if name.startswith('libcudnn_')]) == 6
    for name in names:
        text = subprocess.run(['ldd', str(PLACE / 'mxnet' / name)], capture_output=True, text=True, timeout=60).stdout
        missing = [line.split()[0] for line in text.splitlines() if 'not found' in line]
        assert set(missing) <= {'libcuda.so.1'}, name


@pytest.mark.parametrize('settings, reason', [
    ({'FAKE_CUDA_CARDS': ''}, 'the driver shows no card (CUDA: '),
    ({'FAKE_CUDA_VERSION': '10020'}, "NVIDIA's driver is too old: it runs CUDA 10.2, and MXNet needs 11.0 ("),
    ({'FAKE_CUDA_INIT': '999'}, "NVIDIA's driver is there but does not work (cuInit: error 999, unknown error) ("),
    ({'FAKE_CUDA_CARDS': 'NVIDIA H100=9.0'}, 'GPU 0 (NVIDIA H100) has compute capability 9.0, and the wheels of MXNet'),
    ({'FAKE_CUDA_CARDS': 'NVIDIA B200=10.0'}, 'GPU 0 (NVIDIA B200) has compute capability 10.0, and the wheels of'),
    ({'FAKE_CUDA_CARDS': 'RTX 5090=12.0'}, 'GPU 0 (RTX 5090) has compute capability 12.0, and the wheels of MXNet'),
    ({}, 'GPU 0 is there, but an operation on it failed (')])
def test_try_gpu_says_why_it_takes_the_cpu(libraries, settings, reason):
    """CUDA's own runtime refuses the stand-in at the latest when something is to be computed."""
    code = ('from d2l_densenet import try_gpu\nctx = try_gpu()\nimport mxnet as mx\n'
            'assert ctx == mx.cpu() and mx.nd.ones((2,), ctx=ctx).sum().asscalar() == 2')
    text = run(libraries, code, **settings)
    assert text.startswith(f'try_gpu(0): using the CPU: {reason}') and text.count('\n') == 1
    assert text.endswith('; d2l-densenet doctor says what to do\n')


@pytest.mark.parametrize('version, refused', [('10020', True), ('11000', False)])
def test_the_oldest_driver_is_the_one_that_cuda_says(libraries, version, refused):
    code = ('import ctypes\n'
            f'cuda = ctypes.CDLL({str(PLACE / "mxnet" / "libcudart.so.11.0")!r})\n'
            'print(cuda.cudaGetDeviceCount(ctypes.byref(ctypes.c_int())))')
    insufficient = 35  # cudaErrorInsufficientDriver
    assert (int(run(libraries, code, FAKE_CUDA_VERSION=version)) == insufficient) is refused


def test_without_a_driver_mxnet_for_the_cpu_is_imported(tmp_path):
    if gpu.ask_driver().version:
        pytest.skip('there is a driver here')
    code = 'import mxnet as mx; print(mx.__file__, mx.runtime.Features().is_enabled("CUDA"))'
    file, enabled = run(tmp_path, code).split()
    assert enabled == 'False' and PLACE not in pathlib.Path(file).parents


def test_the_doctor_knows_the_wheel(libraries):
    text = run(libraries, 'from d2l_densenet import doctor; doctor.main()')
    assert 'ok  mxnet             1.9.1 with CUDA, CUDNN, NCCL' in text
    assert 'the driver runs CUDA up to 12.4; MXNet: mxnet-cu112 1.9.1\n' in text


def test_with_pytorch(libraries):
    """In this order: MXNet's NCCL is older than what PyTorch for GPUs needs, and the first one loaded serves both."""
    if util.find_spec('torch') is None:
        pytest.skip('needs PyTorch (make torch)')
    code = ('import torch, mxnet as mx\n'
            'print(mx.nd.ones((2, 2)).sum().asscalar(), torch.nn.Conv2d(1, 1, 3)(torch.ones(1, 1, 8, 8)).shape[-1])')
    assert run(libraries, code) == '4.0 6\n'
