"""What the driver says, asked of a stand-in for its library (libcuda.c): there is no GPU where this is tested."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from d2l_densenet import doctor, gpu

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(libraries, *command, **settings):
    environment = {name: value for name, value in os.environ.items() if name != 'CUDA_VISIBLE_DEVICES'}
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120,
                          env={**environment, 'LD_LIBRARY_PATH': str(libraries), **settings})


def ask(libraries, i=0, **settings):
    """The answer of the driver, and what stands in the way of GPU number `i`, in a process of their own."""
    done = run(libraries, '-c', f'from d2l_densenet.gpu import *; print([ask_driver(), why_no_gpu({i})])', **settings)
    assert done.returncode == 0, done.stderr
    return eval(done.stdout, {'Driver': gpu.Driver})


def test_a_card_that_can_be_used(libraries):
    driver, problem = ask(libraries, FAKE_CUDA_CARDS='Tesla T4=7.5,NVIDIA A100-SXM4-40GB=8.0', i=1)
    assert driver == gpu.Driver((12, 4), (('Tesla T4', (7, 5)), ('NVIDIA A100-SXM4-40GB', (8, 0))))
    assert problem is None


# The compute capability of each: https://developer.nvidia.com/cuda-gpus
CARDS = {'Tesla K80': 3.7, 'GTX 980': 5.2, 'Tesla P100': 6.0, 'GTX 1080': 6.1, 'Tesla V100': 7.0, 'Tesla T4': 7.5,
         'A100': 8.0, 'RTX 3090': 8.6, 'Jetson Orin': 8.7, 'L4': 8.9, 'H100': 9.0, 'H200': 9.0, 'B200': 10.0,
         'RTX PRO 6000': 12.0}


def test_which_cards_mxnet_has_code_for(libraries):
    cards = ','.join(f'{name}={capability}' for name, capability in CARDS.items())
    code = f'from d2l_densenet.gpu import *; print([why_no_gpu(i) for i in range({len(CARDS)})])'
    done = run(libraries, '-c', code, FAKE_CUDA_CARDS=cards)
    for i, ((name, capability), problem) in enumerate(zip(CARDS.items(), eval(done.stdout))):
        if 5 <= capability < 9:
            assert problem is None, name
        else:
            assert f'GPU {i} ({name}) has compute capability {capability}, and' in problem[0]
            assert 'use the CPU' in problem[1] and ('smolix/mxnet' in problem[1]) is (capability >= 9)


def test_no_driver(tmp_path):
    driver, problem = ask(tmp_path)
    if driver.version:
        pytest.skip('there is a driver here')
    assert not driver.cards and 'no NVIDIA driver (libcuda.so.1' in problem[0] and 'install its driver' in problem[1]


def test_no_card(libraries):
    driver, problem = ask(libraries, FAKE_CUDA_CARDS='')
    assert driver == gpu.Driver((12, 4)) and problem[0] == 'the driver shows no card' and 'nvidia-smi' in problem[1]
    _, problem = ask(libraries, FAKE_CUDA_CARDS='', CUDA_VISIBLE_DEVICES='-1')
    assert "CUDA_VISIBLE_DEVICES is set to '-1'" in problem[1]


def test_a_number_that_no_card_has(libraries):
    _, problem = ask(libraries, i=1)
    assert problem[0] == 'there is no GPU 1: the driver shows 1, numbered from 0'


@pytest.mark.parametrize('version, usable', [('10020', False), ('11000', True), ('11080', True), ('13000', True)])
def test_the_age_of_the_driver(libraries, version, usable):
    driver, problem = ask(libraries, FAKE_CUDA_VERSION=version)
    assert driver.version == divmod(int(version) // 10, 100)
    assert (problem is None) is usable
    if problem:
        assert 'too old: it runs CUDA 10.2, and MXNet needs 11.0' in problem[0] and '450.80.02' in problem[1]


def test_a_driver_that_does_not_start(libraries):
    driver, problem = ask(libraries, FAKE_CUDA_INIT='999')
    assert driver.cards == () and 'cuInit: error 999, unknown error' in problem[0] and 'restart' in problem[1]


def test_a_library_that_is_no_driver(libraries, tmp_path):
    subprocess.run(['gcc', '-shared', '-x', 'c', '-o', str(tmp_path / 'libcuda.so.1'), '-'], input='int x;', text=True,
                   check=True, timeout=60)
    driver, problem = ask(tmp_path)
    assert driver.version == () and 'no NVIDIA driver' in problem[0]


def test_the_doctor_tells_of_cards(libraries):
    """Here with MXNet for the CPU, or without a working card: either way the GPU is not used, and it says why."""
    text = run(libraries, '-m', 'd2l_densenet', 'doctor', FAKE_CUDA_CARDS='Tesla T4=7.5,NVIDIA H100=9.0').stdout
    part = re.search(r'^--  GPU .*?(?=^\S+ +data )', text, flags=re.M | re.S)[0]
    for line in ('GPU 0: Tesla T4, compute capability 7.5\n', 'GPU 1: NVIDIA H100, compute capability 9.0\n'):
        assert line in part
    assert 'the driver runs CUDA up to 12.4; MXNet: ' in part
    if gpu.gpu_wheel() is None and not gpu._places()[0].exists():
        assert 'built for the CPU only, and GPU 0 could be used' in part and 'optional: d2l-densenet gpu' in part


@pytest.mark.parametrize('card, problem, remedy', [
    ('NVIDIA H100=9.0', 'GPU 0 (NVIDIA H100) has compute capability 9.0', 'use the CPU; for Hopper and Blackwell'),
    ('', 'the driver shows no card', 'nvidia-smi lists')])
def test_the_doctor_has_the_remedy(libraries, card, problem, remedy):
    text = run(libraries, '-m', 'd2l_densenet', 'doctor', FAKE_CUDA_CARDS=card).stdout
    assert f'--  GPU               {problem}' in text and f'optional: {remedy}' in text


def test_try_gpu_names_the_card_that_waits_for_its_wheel(libraries):
    code = 'from d2l_densenet import try_gpu; assert try_gpu().device_type == "cpu"'
    text = run(libraries, '-c', code).stdout
    if gpu._places()[0].exists():
        pytest.skip('MXNet for GPUs is installed here')
    assert text == ('try_gpu(0): using the CPU: this MXNet is built for the CPU only, and GPU 0 could be used: '
                    'd2l-densenet gpu installs what it needs\n')


def test_the_doctor_names_the_order_of_imports(monkeypatch):
    monkeypatch.setattr(gpu, 'gpu_wheel', lambda: 'mxnet-cu112 1.9.1')
    for version, said in (('2.11.0+cu128', True), ('2.11.0', True), ('2.11.0+cpu', False), (None, False)):
        monkeypatch.setattr(doctor, '_version', lambda package, version=version: version)
        assert ('import torch before mxnet' in doctor.check_gpu().detail) is said
