"""try_gpu, with every failure simulated: there is no GPU where these tests were written, nor need there be one."""

import os

import mxnet as mx
import pytest
from mxnet import npx
from mxnet.base import MXNetError

from d2l_densenet import try_gpu
from d2l_densenet._common.arguments import last_line
from d2l_densenet.runs import devices as device

# What CUDA reports through MXNet when the library holds no code for the card.
NO_CODE = ('Traceback (most recent call last):\n  File "../src/engine/threaded_engine.cc", line 547\n'
           'MXNetError: Check failed: e == cudaSuccess: CUDA: no kernel image is available for execution on the device')


@pytest.fixture
def gpu_build(monkeypatch, tmp_path):
    """Make MXNet look like a build with CUDA that sees two GPUs, both working; no nvidia-smi on PATH."""
    class Features:
        def is_enabled(self, name):
            return name == 'CUDA'
    monkeypatch.setattr(mx.runtime, 'Features', Features)
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: 2)
    monkeypatch.setattr(device, '_work', lambda ctx: None)
    monkeypatch.setenv('PATH', str(tmp_path))
    return monkeypatch


def failing(message):
    def fail(*args):
        raise MXNetError(message)
    return fail


def nvidia_smi(directory, text, status=0):
    script = directory / 'nvidia-smi'
    script.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{text}\nEND\nexit {status}\n")
    script.chmod(0o755)
    assert os.environ['PATH'] == str(directory)


def said(capsys):
    captured = capsys.readouterr()
    assert captured.err == ''
    return captured.out


def test_a_gpu_that_works_is_used(gpu_build, capsys):
    worked = []
    gpu_build.setattr(device, '_work', worked.append)
    assert try_gpu(1) == mx.gpu(1)
    assert worked == [mx.gpu(1)]
    assert said(capsys) == 'try_gpu(1): using GPU 1\n'


def test_default_is_the_first(gpu_build):
    assert try_gpu() == mx.gpu(0)


def test_no_gpu_build(monkeypatch, capsys):
    class Features:
        def is_enabled(self, name):
            return False
    monkeypatch.setattr(mx.runtime, 'Features', Features)
    assert try_gpu() == mx.cpu()
    text = said(capsys)
    assert text.count('\n') == 1 and 'CPU only' in text and 'mxnet-cu112' in text


def test_no_gpu(gpu_build, capsys):
    gpu_build.setattr(mx.context, 'num_gpus', lambda: 0)
    assert try_gpu() == mx.cpu()
    text = said(capsys)
    assert text.count('\n') == 1 and 'no NVIDIA GPU' in text


def test_driver_too_old(gpu_build, capsys):
    gpu_build.setattr(mx.context, 'num_gpus', failing('MXNetError: CUDA driver version is insufficient'))
    assert try_gpu() == mx.cpu()
    text = said(capsys)
    assert text.count('\n') == 1 and 'driver' in text and 'insufficient' in text


def test_number_out_of_range(gpu_build, capsys):
    assert try_gpu(2) == mx.cpu()
    text = said(capsys)
    assert text.count('\n') == 1 and 'no GPU 2' in text and 'sees 2' in text


def test_no_code_for_the_card(gpu_build, capsys, tmp_path):
    nvidia_smi(tmp_path, 'NVIDIA H100 80GB HBM3, 9.0')
    gpu_build.setattr(device, '_work', failing(NO_CODE))
    assert try_gpu() == mx.cpu()
    text = said(capsys)
    assert 'holds no code for it' in text and 'no kernel image' in text and 'Traceback' not in text
    assert 'NVIDIA H100 80GB HBM3, compute capability 9.0' in text
    for wheel in ('mxnet-cu110  5.0, 6.0, 7.0, 8.0\n', 'mxnet-cu112  5.0, 6.0, 7.0, 8.0, 8.6\n',
                  'mxnet-cu117  5.0, 6.0, 7.0, 8.0, 8.6\n'):
        assert wheel in text


def test_another_error_on_a_foreign_card_is_explained_too(gpu_build, capsys, tmp_path):
    nvidia_smi(tmp_path, 'NVIDIA B200, 10.0')
    gpu_build.setattr(device, '_work', failing('MXNetError: CUDNN_STATUS_ARCH_MISMATCH'))
    assert try_gpu() == mx.cpu()
    text = said(capsys)
    assert 'holds no code for it' in text and '10.0' in text and 'CUDNN_STATUS_ARCH_MISMATCH' in text


def test_a_supported_card_that_fails_is_not_blamed(gpu_build, capsys, tmp_path):
    nvidia_smi(tmp_path, 'NVIDIA A100, 8.0')
    gpu_build.setattr(device, '_work', failing('MXNetError: cudaMalloc retry failed: out of memory'))
    assert try_gpu() == mx.cpu()
    text = said(capsys)
    assert 'out of memory' in text and 'no code' not in text


@pytest.mark.parametrize('answer, status', [('', 0), ('N/A', 0), ('A card, [N/A]', 0), ('A card, 8.0', 9)])
def test_nvidia_smi_that_does_not_help(gpu_build, capsys, tmp_path, answer, status):
    nvidia_smi(tmp_path, answer, status)
    gpu_build.setattr(device, '_work', failing(NO_CODE))
    assert try_gpu() == mx.cpu()
    text = said(capsys)
    assert 'holds no code for it' in text and 'mxnet-cu112' in text


def test_no_nvidia_smi(gpu_build, capsys):
    gpu_build.setattr(device, '_work', failing(NO_CODE))
    assert try_gpu() == mx.cpu()
    assert 'could not be asked' in said(capsys)


def test_really_without_a_gpu(capsys):
    """Whatever the machine, the answer is a device that computes."""
    ctx = try_gpu()
    assert said(capsys).startswith('try_gpu(0): using ')
    assert mx.nd.ones((2,), ctx=ctx).sum().asscalar() == 2


@pytest.mark.parametrize('np_mode', [False, True])
def test_the_work_can_be_done_and_is_checked(monkeypatch, np_mode):
    """On the CPU, the operations that the GPU would run give 20, in both array modes, and leave no record."""
    if np_mode:
        npx.set_np()
    with mx.autograd.record():
        device._work(mx.cpu())
        assert mx.autograd.is_recording()
    convolution = mx.nd.Convolution
    monkeypatch.setattr(mx.nd, 'Convolution', lambda *args, **kwargs: convolution(*args, **kwargs) + 1)
    with pytest.raises(MXNetError, match='gave 21'):
        device._work(mx.cpu())


@pytest.mark.skipif(mx.runtime.Features().is_enabled('CUDA'), reason='needs a build without CUDA')
def test_a_real_error_of_mxnet_becomes_one_line():
    """The error that MXNet itself raises on `mx.gpu(0)` in a CPU build has a stack trace; one line is kept."""
    with pytest.raises(MXNetError) as caught:
        device._work(mx.gpu(0))
    line = last_line(caught.value)
    assert '\n' not in line and 'GPU' in line and 'Traceback' not in line


# NVIDIA's rule, with cards everybody can look up: https://developer.nvidia.com/cuda-gpus
@pytest.mark.parametrize('card, wheel, runs', [
    ((3, 7), 'mxnet-cu112', False),   # Tesla K80
    ((5, 2), 'mxnet-cu110', True),    # GTX 980
    ((6, 1), 'mxnet-cu117', True),    # GTX 1080
    ((7, 5), 'mxnet-cu112', True),    # T4
    ((8, 6), 'mxnet-cu110', True),    # RTX 3090: code for 8.0 serves
    ((8, 9), 'mxnet-cu112', True),    # RTX 4090
    ((9, 0), 'mxnet-cu117', False),   # H100
    ((12, 0), 'mxnet-cu117', False),  # RTX 5090
])
def test_which_wheel_runs_where(card, wheel, runs):
    assert device._runs_on(card, device.WHEELS[wheel]) is runs


@pytest.mark.parametrize('i', [-1, 1.0, '0', None, True])
def test_a_number_that_is_none(i):
    with pytest.raises(ValueError, match='^i must be an integer of at least 0'):
        try_gpu(i)
