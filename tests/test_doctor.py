"""The doctor: right about a machine that is well, and of use on one that is not."""

import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import types
from importlib import metadata

import pytest

from d2l_densenet import doctor

ROOT = pathlib.Path(__file__).resolve().parent.parent


def check(name):
    return {check.name: check for check in doctor.run_checks()}[name]


def run_in_a_process(tmp_path, **modules):
    """Run the doctor with `modules` (name: source) in the place of the real ones; return its status and output."""
    for name, source in modules.items():
        (tmp_path / f'{name}.py').write_text(source)
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(tmp_path), str(ROOT)])}
    environment.pop('D2L_DENSENET_DATA', None)
    environment['XDG_CACHE_HOME'] = str(tmp_path / 'cache')
    done = subprocess.run([sys.executable, '-m', 'd2l_densenet', 'doctor'], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=120)
    assert 'Traceback' not in done.stdout + done.stderr
    return done.returncode, done.stdout


def test_here_everything_required_is_ok(capsys):
    """These tests run in the environment that the doctor is to approve of."""
    assert doctor.main() == 0
    text = capsys.readouterr().out
    assert f'ok  mxnet             {metadata.version("mxnet")} with ' in text
    assert text.endswith('All that the course needs is here.\n')
    for line in text.splitlines()[:-1]:
        assert line.startswith(('ok  ', '--  ', '    ')), line


def test_every_failure_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(doctor, '_loads', lambda library: False)
    monkeypatch.setattr(doctor, '_version', lambda package: None)
    assert doctor.main() == 1
    lines = capsys.readouterr().out.splitlines()
    for line, following in zip(lines, lines[1:]):
        if line.startswith('--'):
            assert following.strip().startswith(('do: ', 'optional: ')) and len(following.split()) > 2
    assert lines[-1].startswith('Missing: ') and 'jupyterlab' in lines[-1] and 'GPU' not in lines[-1]


@pytest.mark.skipif(sys.platform != 'linux', reason='the libraries have these names on Linux')
def test_missing_system_library(monkeypatch):
    monkeypatch.setattr(doctor, '_loads', lambda library: library != 'libgomp.so.1')
    found = check('system libraries')
    assert not found.ok and found.required and 'libgomp.so.1' in found.detail
    assert 'apt install libgomp1 ' in found.remedy and 'quadmath' not in found.remedy


def test_loading_a_library_that_is_not_there():
    assert not doctor._loads('libthere-is-no-such-library.so.7')


def test_mxnet_that_is_not_installed(tmp_path):
    status, text = run_in_a_process(tmp_path, mxnet="raise ModuleNotFoundError(\"No module named 'mxnet'\")")
    assert status == 1
    assert "--  mxnet             cannot be imported: No module named 'mxnet'\n" in text
    assert 'do: make env' in text and 'Missing: mxnet.' in text


def test_mxnet_without_its_library(tmp_path):
    source = "raise OSError('libquadmath.so.0: cannot open shared object file: No such file or directory')"
    status, text = run_in_a_process(tmp_path, mxnet=source)
    assert status == 1
    assert 'cannot be imported: libquadmath.so.0' in text and 'do: install the system libraries' in text


def test_mxnet_for_gpus_without_cuda(tmp_path):
    status, text = run_in_a_process(tmp_path, mxnet="raise OSError('libcuda.so.1: cannot open shared object file')")
    assert status == 1 and 'a wheel for GPUs' in text


def test_numpy_that_mxnet_cannot_use(tmp_path):
    broken = "raise AttributeError(\"module 'numpy' has no attribute 'bool'\")"
    status, text = run_in_a_process(tmp_path, numpy="__version__ = '1.26.4'", mxnet=broken)
    assert status == 1
    assert 'ok  numpy             1.26.4\n' in text and 'import d2l_densenet before mxnet' in text


def test_other_numpy_versions(monkeypatch):
    import numpy
    for version, ok in (('1.23.5', True), ('1.24.0', True), ('2.0.0rc1', True)):
        monkeypatch.setattr(numpy, '__version__', version)
        assert check('numpy').ok is ok


def test_another_release_of_mxnet(monkeypatch):
    import mxnet
    monkeypatch.setattr(mxnet, '__version__', '2.0.0')
    assert not check('mxnet').ok


def test_wrong_python(monkeypatch):
    for version, ok in (((3, 9, 1), False), ((3, 10, 0), True), ((3, 14, 2), True), ((3, 15, 0), False)):
        monkeypatch.setattr(sys, 'version_info', version)
        found = doctor._python()
        assert found.ok is ok and found.required and '3.10 to 3.14' in found.remedy


@pytest.mark.parametrize('version, ok', [('8.39.0', True), ('9.16.0', False), ('10.0.0', False), (None, False)])
def test_ipython(monkeypatch, version, ok):
    versions = {'ipython': version, 'matplotlib': '3.7.2'}
    monkeypatch.setattr(doctor, '_version', versions.get)
    found = doctor._ipython()
    assert found.ok is ok and found.required
    versions['matplotlib'] = '3.11.2'
    assert doctor._ipython().ok is (version is not None)


def test_gpu_is_optional_and_has_its_reason(monkeypatch):
    from d2l_densenet import devices as device
    from d2l_densenet import gpu
    monkeypatch.setattr(gpu, 'ask_driver', lambda: gpu.Driver((12, 4), (('Tesla T4', (7, 5)),)))
    monkeypatch.setattr(device, 'why_not_gpu', lambda i: 'the fan is broken')
    found = check('GPU')
    assert (found.ok, found.required, found.detail) == (
        False, False, 'the fan is broken\nGPU 0: Tesla T4, compute capability 7.5\n'
        'the driver runs CUDA up to 12.4; MXNet: the CPU wheel')
    monkeypatch.setattr(device, 'why_not_gpu', lambda i: None)
    assert check('GPU').ok


def test_data_nowhere(monkeypatch, tmp_path):
    monkeypatch.delenv('D2L_DENSENET_DATA', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    found = check('data')
    assert not found.ok and not found.required and str(tmp_path) in found.detail and 'downloads it' in found.remedy
    assert list(tmp_path.iterdir()) == []


def test_no_download_is_promised_that_cannot_be_kept(monkeypatch, tmp_path):
    from d2l_densenet.data import official
    (tmp_path / 'file').write_text('')
    monkeypatch.delenv('D2L_DENSENET_DATA', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    monkeypatch.setattr(official.tempfile, 'tempdir', str(tmp_path / 'file'))
    found = check('data')
    assert not found.ok and 'downloads' not in found.remedy and 'XDG_CACHE_HOME' in found.remedy


def test_data_named_and_bad(monkeypatch, tmp_path):
    monkeypatch.setenv('D2L_DENSENET_DATA', str(tmp_path))
    found = check('data')
    assert not found.ok and not found.required and 'D2L_DENSENET_DATA' in found.detail and str(tmp_path) in found.detail
    assert 'unset D2L_DENSENET_DATA' in found.remedy


@pytest.mark.skipif('D2L_DENSENET_DATA' not in os.environ, reason='needs the official files (D2L_DENSENET_DATA)')
def test_data_where_they_are(monkeypatch, tmp_path):
    found = check('data')
    assert found.ok and os.environ['D2L_DENSENET_DATA'] in found.detail
    for path in pathlib.Path(os.environ['D2L_DENSENET_DATA']).iterdir():
        shutil.copyfile(path, tmp_path / path.name)
    labels = tmp_path / 't10k-labels-idx1-ubyte.gz'
    labels.write_bytes(labels.read_bytes()[:-100])
    monkeypatch.setenv('D2L_DENSENET_DATA', str(tmp_path))
    assert not check('data').ok


def test_home_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert check('home').ok
    monkeypatch.setenv('HOME', str(tmp_path / 'nowhere'))
    found = check('home')
    assert not found.ok and not found.required and 'nowhere) cannot' in found.detail and 'set HOME' in found.remedy


def test_the_address_of_the_project(monkeypatch):
    import email.message
    about = email.message.Message()
    about['Version'] = '0.1.0'
    monkeypatch.setattr(doctor.metadata, 'metadata', lambda name: about)
    found = doctor._project()
    assert found.ok and str(ROOT) in found.detail and 'project.urls in pyproject.toml' in found.detail
    about['Project-URL'] = 'Repository, https://densenet.test/'
    assert doctor._project().detail.endswith('; Repository, https://densenet.test/')


@pytest.mark.parametrize('prefix, files, colab, remedy', [
    ('.venv', ['tools/make-env'], False, 'make env, in {root}'),
    ('elsewhere', ['tools/make-env'], False,
     '{python} -m pip install --no-deps mxnet==1.9.1 and {python} -m pip install tqdm'),
    ('conda', ['tools/make-env', 'conda/conda-meta/history'], False,
     '{python} -m pip install --no-deps --require-hashes -r requirements.lock, in {root}'),
    ('conda', ['conda/conda-meta/history'], False,
     '{python} -m pip install --no-deps mxnet==1.9.1 and {python} -m pip install tqdm'),
    ('elsewhere', [], True, '%pip install --no-deps mxnet==1.9.1, %pip install tqdm, then restart the runtime')])
def test_remedies_fit_the_way_of_installing(monkeypatch, tmp_path, prefix, files, colab, remedy):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(doctor, '_ROOT', str(tmp_path))
    monkeypatch.setattr(sys, 'prefix', str(tmp_path / prefix))
    monkeypatch.setattr(sys, 'executable', '/bin/python')
    if colab:
        monkeypatch.setitem(sys.modules, 'google.colab', sys)
    assert doctor._install('mxnet', 'tqdm') == remedy.format(root=tmp_path, python='/bin/python')


def test_the_libraries_alone(tmp_path):
    """What make-env asks before it installs anything: nothing is said where all is well."""
    done = subprocess.run([sys.executable, '-I', str(ROOT / 'd2l_densenet' / 'doctor.py'), 'libraries'], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_directory_that_cannot_be_written(monkeypatch):
    def refuse(**kwargs):
        raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(doctor.tempfile, 'TemporaryFile', refuse)
    found = doctor._disk()
    assert not found.ok and not found.required and 'Permission denied' in found.detail


def test_full_disk(monkeypatch):
    monkeypatch.setattr(doctor.shutil, 'disk_usage', lambda place: shutil._ntuple_diskusage(10**9, 10**9 - 5, 5))
    assert not doctor._disk().ok


def test_runs_as_a_file_where_nothing_is_installed(tmp_path):
    """`make env` runs it so when something went wrong. -I -S: the standard library alone."""
    done = subprocess.run([sys.executable, '-I', '-S', str(ROOT / 'd2l_densenet' / 'doctor.py')], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr == ''
    assert '--  numpy' in done.stdout and '--  mxnet' in done.stdout and 'ok  disk' in done.stdout


def test_importing_it_imports_no_mxnet():
    code = 'import sys, d2l_densenet.doctor; sys.exit("mxnet" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, timeout=60).returncode == 0
    assert importlib.import_module('d2l_densenet.doctor') is doctor


@pytest.mark.parametrize('machine, system, missing, debian, fedora', [
    ('x86_64', 'linux', ['libgomp.so.1', 'libquadmath.so.0'], 'libgomp1 libquadmath0', 'libgomp libquadmath'),
    ('x86_64', 'linux', ['libquadmath.so.0'], 'libquadmath0', 'libquadmath'),
    ('aarch64', 'linux', ['libgomp.so.1'], 'libgomp1', 'libgomp')])
def test_the_packages_with_the_libraries(machine, system, missing, debian, fedora, monkeypatch):
    """The names are those of the distributions. libquadmath is for x86 alone."""
    monkeypatch.setattr(sys, 'platform', system)
    monkeypatch.setattr(doctor.platform, 'machine', lambda: machine)
    asked = []
    monkeypatch.setattr(doctor, '_loads', lambda name: asked.append(name) or name not in missing)
    found = doctor._libraries()
    assert not found.ok and found.detail == 'no ' + ', no '.join(missing)
    assert found.remedy == f'sudo apt install {debian} (Debian, Ubuntu) or sudo dnf install {fedora} (Fedora)'
    assert asked == ['libgomp.so.1', *(['libquadmath.so.0'] if machine == 'x86_64' else [])]
    monkeypatch.setattr(doctor, '_loads', lambda name: True)
    assert doctor._libraries().ok and doctor._libraries().detail == ', '.join(asked)
    monkeypatch.setattr(sys, 'platform', 'darwin')
    monkeypatch.setattr(doctor, '_loads', lambda name: False)
    assert doctor._libraries().ok


@pytest.mark.parametrize('free, ok', [(100 * 10 ** 6, True), (100 * 10 ** 6 - 1, False)])
def test_a_hundred_megabytes_are_enough(free, ok, monkeypatch):
    monkeypatch.setattr(doctor.shutil, 'disk_usage', lambda place: shutil._ntuple_diskusage(10 ** 9, 0, free))
    found = doctor._disk()
    assert found.ok is ok and found.detail.startswith('0.1 GB free in ') and not found.required


@pytest.mark.parametrize('version, mended, ok', [
    ('1.23.5', False, True), ('1.24.0', False, False), ('2.1.0', False, False), ('1.24.0', True, True)])
def test_numpy_from_1_24_needs_what_the_package_lends_it(version, mended, ok, monkeypatch):
    import numpy
    monkeypatch.setattr(numpy, '__version__', version)
    monkeypatch.setattr(doctor, '_mended', lambda: mended)
    assert doctor._numpy().ok is ok and doctor._numpy().required


def test_what_lends_it_is_seen(monkeypatch):
    import d2l_densenet  # noqa: F401
    assert doctor._mended()
    monkeypatch.setattr(sys, 'meta_path', [finder for finder in sys.meta_path
                                           if type(finder).__module__ != 'mxnet_compat'])
    assert not doctor._mended()


@pytest.mark.parametrize('error, remedy', [
    (ModuleNotFoundError('no', name='requests.adapters'), 'install requests'),
    (ModuleNotFoundError('no'), 'install mxnet'),
    (AttributeError("module 'numpy' has no attribute 'bool'"), 'import d2l_densenet before mxnet'),
    (AttributeError("module 'os' has no attribute 'bool'"), 'fix what is named above first, then: install mxnet'),
    (OSError('libcuda.so.1: cannot open'), "install NVIDIA's driver, or the wheel for the CPU: install mxnet"),
    (OSError('libcudart.so.11.0: cannot open'), 'd2l-densenet gpu installs one with them'),
    (OSError('libnccl.so.2: cannot open'), 'd2l-densenet gpu installs one with them'),
    (OSError('libnvToolsExt.so.1: cannot open'), 'd2l-densenet gpu installs one with them'),
    (OSError('libgomp.so.1: cannot open'), 'install the system libraries, above'),
    (OSError('libquadmath.so.0: cannot open'), 'install the system libraries, above')])
def test_each_error_of_mxnets_import_has_its_remedy(error, remedy, monkeypatch):
    monkeypatch.setattr(doctor, '_install', lambda *names: 'install ' + ' '.join(names))
    assert doctor._mxnet_remedy(error).endswith(remedy)


def test_a_sum_that_comes_out_wrong(monkeypatch):
    import mxnet
    ones = mxnet.nd.ones
    monkeypatch.setattr(mxnet.nd, 'ones', lambda shape: ones(shape) * 2)
    assert (doctor._mxnet().ok, 'a sum comes out wrong' in doctor._mxnet().detail) == (False, True)


def test_nobody_needs_jupyterlab_where_the_notebook_runs_already(monkeypatch):
    monkeypatch.setattr(doctor, '_version', lambda package: None)
    for shell, required in ((None, True), ('a shell', False)):
        monkeypatch.setitem(sys.modules, 'IPython', types.SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert doctor._package('jupyterlab').required is required and doctor._package('tqdm').required
    monkeypatch.delitem(sys.modules, 'IPython')
    assert doctor._package('jupyterlab').required


@pytest.mark.parametrize('ok, required, status, last', [
    (True, True, 0, 'ok  b       not here'), (False, True, 1, 'Missing: b.'),
    (False, False, 0, '    {}optional: get it')])
def test_the_report_and_its_status(ok, required, status, last, capsys):
    checks = [doctor.Check('longer', True, 'two\nlines'), doctor.Check('b', ok, 'not here', 'get it', required)]
    assert doctor.main(checks) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ['ok  longer  two', '      lines', f'{"ok" if ok else "--"}  b       not here']
    assert lines[-1] == last.format(' ' * 8)
    assert ok or lines[3] == '            ' + ('do: get it' if required else 'optional: get it')


def test_without_checks_there_is_nothing_to_say(capsys):
    assert doctor.main([]) == 0 and capsys.readouterr().out == ''
