"""try_gpu, with every failure simulated: there is no GPU where these tests were written, nor need there be one."""

import mxnet as mx
import pytest
from mxnet import npx
from mxnet.base import MXNetError

from d2l_densenet import devices as device
from d2l_densenet import gpu, try_gpu
from d2l_densenet._common.messages import last_line

# What CUDA reports through MXNet when the library holds no code for the card.
NO_CODE = ('Traceback (most recent call last):\n  File "../src/engine/threaded_engine.cc", line 547\n'
           'MXNetError: Check failed: e == cudaSuccess: CUDA: no kernel image is available for execution on the device')


CARDS = ('NVIDIA A100-SXM4-40GB', (8, 0)), ('NVIDIA H100 80GB HBM3', (9, 0))


@pytest.fixture
def gpu_build(monkeypatch):
    """Make MXNet look like a build with CUDA, for which two cards are there, both working."""
    class Features:
        def is_enabled(self, name):
            return name == 'CUDA'
    monkeypatch.setattr(mx.runtime, 'Features', Features)
    monkeypatch.setattr(device, '_work', lambda ctx: None)
    monkeypatch.setattr(gpu, 'ask_driver', lambda: gpu.Driver((12, 4), CARDS))
    return monkeypatch


def failing(message):
    def fail(*args):
        raise MXNetError(message)
    return fail


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


def cpu_build(monkeypatch, driver):
    class Features:
        def is_enabled(self, name):
            return False
    monkeypatch.setattr(mx.runtime, 'Features', Features)
    monkeypatch.setattr(gpu, 'ask_driver', lambda: driver)


@pytest.mark.parametrize('driver, reason', [
    (gpu.Driver(error='libcuda.so.1 cannot be loaded'), 'there is no NVIDIA driver (libcuda.so.1 cannot be loaded)'),
    (gpu.Driver((12, 4), CARDS), 'GPU 0 could be used: d2l-densenet gpu installs what it needs'),
    (gpu.Driver((12, 4), CARDS[1:]),
     'GPU 0 (NVIDIA H100 80GB HBM3) has compute capability 9.0, and the wheels of MXNet 1.9.1 hold code for 5.0 to 8.9 '
     '(Maxwell to Ada)')])
def test_a_build_for_the_cpu(monkeypatch, capsys, driver, reason):
    cpu_build(monkeypatch, driver)
    assert try_gpu() == mx.cpu()
    assert said(capsys) == f'try_gpu(0): using the CPU: this MXNet is built for the CPU only, and {reason}\n'


@pytest.mark.parametrize('driver, reason', [
    (gpu.Driver((12, 4)), 'the driver shows no card'),
    (gpu.Driver((10, 2), CARDS), "NVIDIA's driver is too old: it runs CUDA 10.2, and MXNet needs 11.0"),
    (gpu.Driver((12, 4), error='cuInit: error 999, unknown error'),
     "NVIDIA's driver is there but does not work (cuInit: error 999, unknown error)"),
    (gpu.Driver((12, 4), CARDS), 'GPU 0 is there, but an operation on it failed')])
def test_an_operation_that_fails(gpu_build, capsys, driver, reason):
    gpu_build.setattr(device, '_work', failing('a stack trace\nMXNetError: CUDA: something is wrong'))
    gpu_build.setattr(gpu, 'ask_driver', lambda: driver)
    assert try_gpu() == mx.cpu()
    assert said(capsys) == (f'try_gpu(0): using the CPU: {reason} (CUDA: something is wrong); '
                            'd2l-densenet doctor says what to do\n')


def test_number_out_of_range(gpu_build, capsys):
    gpu_build.setattr(device, '_work', failing('invalid device ordinal'))
    assert try_gpu(2) == mx.cpu()
    assert 'there is no GPU 2: the driver shows 2, numbered from 0 (invalid device ordinal)' in said(capsys)


def test_no_code_for_the_card(gpu_build, capsys):
    gpu_build.setattr(device, '_work', failing(NO_CODE))
    assert try_gpu(1) == mx.cpu()
    text = said(capsys)
    assert 'GPU 1 (NVIDIA H100 80GB HBM3) has compute capability 9.0, and the wheels of MXNet 1.9.1 hold code' in text
    assert 'no kernel image' in text and 'Traceback' not in text and text.count('\n') == 1


def test_a_build_of_ones_own_may_hold_code_for_other_cards(gpu_build, capsys):
    assert try_gpu(1) == mx.gpu(1)
    assert said(capsys) == 'try_gpu(1): using GPU 1\n'


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


@pytest.mark.parametrize('i', [-1, 1.0, '0', None, True])
def test_a_number_that_is_none(i):
    with pytest.raises(ValueError, match='^i must be an integer of at least 0'):
        try_gpu(i)
