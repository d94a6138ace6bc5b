"""What a stranger meets first: the pins and their lock, the search for a Python, make's targets, a light import."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())
EXTRAS = PROJECT['project']['optional-dependencies']
TORCH, = EXTRAS['torch']  # installed by `make torch`, not locked; atheris by `make fuzz`
REQUIREMENTS = PROJECT['project']['dependencies'] + [r for extra in EXTRAS.values() for r in extra
                                                          if r not in (TORCH, *EXTRAS['fuzz'])]
LOCK = (ROOT / 'requirements.lock').read_text()

needs_make = pytest.mark.skipif(shutil.which('make') is None, reason='needs make')


def clean_environment(**extra):
    """The environment without what a surrounding make or test run would hand on."""
    names = ('MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MAKEOVERRIDES', 'PYTHON', 'PYTHONPATH')
    return {**{name: value for name, value in os.environ.items() if name not in names}, **extra}


def make(*arguments, **environment):
    return subprocess.run(['make', *arguments], cwd=ROOT, env=clean_environment(**environment), text=True,
                          capture_output=True, timeout=60, stdin=subprocess.DEVNULL)


def locked():
    """{name: {version, ...}} in the lock: several versions where those for one Python and another differ."""
    versions = {}
    for name, version in re.findall(r'^([a-z0-9.-]+)==([^ ;\\]+)', LOCK, flags=re.M):
        versions.setdefault(name, set()).add(version)
    return versions


# The pins and the lock

def test_every_requirement_is_locked_as_pinned():
    for requirement in REQUIREMENTS:
        name, exact = re.match(r'([A-Za-z0-9-]+)(?:==([^ ;]+))?', requirement).groups()
        assert name in locked(), f'{requirement}: not in requirements.lock (make lock)'
        assert exact is None or exact in locked()[name], f'{requirement}: locked at {locked()[name]} (make lock)'


def test_every_pin_has_its_reason_beside_it():
    lines = (ROOT / 'pyproject.toml').read_text().splitlines()
    extras = [requirement for name in ('course', 'newer', 'interop', 'test') for requirement in EXTRAS[name]]
    for requirement in PROJECT['project']['dependencies'] + extras:
        assert any(f'"{requirement}",  # ' in line for line in lines), requirement


def test_the_lock_is_exact_and_names_no_place():
    entries = re.split(r'\n(?=[a-z0-9])', LOCK.strip())
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r'[a-z0-9.-]+==[^ ]+ ', entry) and '--hash=sha256:' in entry, entry
    for trace in ('://', '--index', '--find-links', 'file:', '/root', '/home', '/tmp', '/work', '/opt', ' @ '):
        assert trace not in LOCK, trace


def test_what_is_installed_here_is_what_is_locked():
    """These tests say something about the locked versions only if they run with them."""
    for name in ('mxnet', 'numpy', 'matplotlib', 'pooch', 'tqdm', 'd2l', 'nbval', 'pytest', 'ipykernel', 'onnx',
                 'safetensors'):
        assert metadata.version(name) in locked()[name]


@needs_make
def test_make_torch_asks_for_the_version_in_pyproject():
    assert f'/whl/cpu {TORCH}\n' in make('-n', 'torch').stdout and TORCH not in LOCK


def test_python_versions_that_are_promised():
    assert PROJECT['project']['requires-python'] == '>=3.10,<3.14'


def test_conda_repeats_no_pin():
    text = (ROOT / 'environment.yml').read_text()
    assert '-e .[course,interop,test]' in text
    names = [re.match('[A-Za-z0-9-]+', requirement).group() for requirement in REQUIREMENTS]
    for line in text.splitlines():
        entry = line.strip().removeprefix('- ')
        assert re.match('[A-Za-z0-9-]*', entry).group().lower() not in names, entry
    assert re.findall('python=([0-9.]+)', text) == ['3.11']


def test_wrong_python_is_refused_by_pip_with_the_reason(tmp_path):
    """pip's message for requires-python, from the real metadata with the range turned around."""
    project = (ROOT / 'pyproject.toml').read_text().replace('">=3.10,<3.14"', '">=3.14"')
    (tmp_path / 'pyproject.toml').write_text(project)
    for name in ('README.md', 'LICENSE'):
        (tmp_path / name).write_text('x')
    shutil.copy(ROOT / 'mxnet_compat.py', tmp_path)
    shutil.copytree(ROOT / 'tools', tmp_path / 'tools')
    for package in PROJECT['tool']['setuptools']['packages']:
        (tmp_path / package.replace('.', '/')).mkdir()
        (tmp_path / package.replace('.', '/') / '__init__.py').write_text('')
    done = subprocess.run([sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-index', '--no-build-isolation',
                           '--target', str(tmp_path / 'site'), str(tmp_path)], env=clean_environment(PIP_USER='0'),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert 'requires a different Python' in done.stderr and '>=3.14' in done.stderr


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    source = tmp_path / 'source'
    source.mkdir()
    for name in ('pyproject.toml', 'README.md', 'LICENSE', 'mxnet_compat.py'):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / 'tools', source / 'tools')
    shutil.copytree(ROOT / 'd2l_densenet', source / 'd2l_densenet', ignore=shutil.ignore_patterns('__pycache__'))
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-index', '--no-build-isolation',
                    '--wheel-dir', str(tmp_path), str(source)], check=True, capture_output=True, timeout=120)
    wheel, = tmp_path.glob('d2l_densenet-*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'd2l_densenet').rglob('*.py')}
    modules |= {'mxnet_compat.py', 'mxnet_compat.pth'}
    assert modules == {name for name in names if '.dist-info/' not in name}
    assert any(name.endswith('LICENSE') for name in names)


# The import

def test_importing_the_package_is_light():
    """Names load on first use; even with all but the plots loaded, nothing that draws or is optional is there."""
    code = ('import sys, d2l_densenet as d\n'
            'assert "mxnet" not in sys.modules\n'
            'for name in d.__all__:\n'
            '    if not name.startswith(("plot", "draw")): getattr(d, name)\n'
            'heavy = {"matplotlib", "pandas", "d2l", "onnxruntime", "safetensors", "torch", "IPython"}\n'
            'heavy &= set(sys.modules)\n'  # onnx is loaded by `import mxnet` itself where it is installed
            'sys.exit(str(heavy) if heavy else 0)')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('first', ['import d2l_densenet.{module}', 'from d2l_densenet.{module} import *', ''])
def test_public_names_stay_what_they_are(first):
    """A module may have the name of a function (`summary`): importing the one must not hide the other."""
    code = ('import types, d2l_densenet as d\n'
            'for module in set(d._HOME.values()):\n'
            f'    exec({first!r}.format(module=module))\n'
            'for name in d.__all__:\n'
            '    assert not isinstance(getattr(d, name), types.ModuleType), name\n')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# The search for a Python

class Search:
    """tools/find-python in an empty directory, with pretended interpreters."""

    def __init__(self, directory):
        self.directory = directory
        self.binaries = directory / 'with a space' / 'bin'

    def fake(self, path, version=(3, 11), works=True, ensurepip=True):
        """Put an interpreter at `path`: this one, told some lies about itself, or one that fails like a shim."""
        lies = f'import sys; sys.version_info = {(*version, 0, "final", 0)!r}'.replace("'", '"')
        if not ensurepip:
            lies += '; sys.modules["ensurepip"] = None'
        path.parent.mkdir(parents=True, exist_ok=True)
        # find-python calls it as: NAME -I -c CODE.
        path.write_text('#!/bin/sh\n' + (f"exec '{sys.executable}' -c '{lies}; exec(sys.argv[1])' \"$3\"\n" if works
                                         else "echo 'pyenv: python3.11: command not found' >&2; exit 127\n"))
        path.chmod(0o755)
        return str(path)

    def __call__(self, **environment):
        # What this machine has in the usual places must not count.
        script = (ROOT / 'tools' / 'find-python').read_text()
        for place in ('/usr/', '/opt/'):
            script = script.replace(f' {place}', f' {self.directory}/nowhere/')
        (self.directory / 'find-python').write_text(script)
        done = subprocess.run(['/bin/sh', 'find-python'], cwd=self.directory, text=True, capture_output=True,
                              timeout=60, env={'PATH': str(self.binaries), 'HOME': str(self.directory), **environment})
        return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path)


def test_no_python_at_all(search):
    assert search() == (1, '', '')


def test_the_newer_of_two(search):
    search.fake(search.binaries / 'python3.10', (3, 10))
    newer = search.fake(search.binaries / 'python3.11')
    assert search() == (0, newer, '')


def test_a_shim_that_does_not_run_is_passed_over(search):
    search.fake(search.binaries / 'python3.11', works=False)
    real = search.fake(search.directory / '.pyenv' / 'versions' / '3.11.7' / 'bin' / 'python3.11')
    assert search() == (0, real, '')


def test_without_ensurepip_the_next_one(search):
    search.fake(search.binaries / 'python3.11', ensurepip=False)
    other = search.fake(search.binaries / 'python3.10', (3, 10))
    assert search() == (0, other, '')


@pytest.mark.parametrize('version', [(2, 7), (3, 9), (3, 14), (4, 0)])
def test_other_versions_do_not_count(search, version):
    search.fake(search.binaries / 'python3', version)
    search.fake(search.binaries / 'python3.11', version)
    assert search()[0] == 1


def test_plain_python3_counts_if_it_is_right(search):
    assert search() == (1, '', '')
    path = search.fake(search.binaries / 'python3', (3, 10))
    assert search() == (0, path, '')


def test_conda_in_the_home_directory(search):
    path = search.fake(search.directory / 'miniforge3' / 'envs' / 'a' / 'bin' / 'python3.10', (3, 10))
    assert search() == (0, path, '')


def test_the_environment_itself_is_not_what_it_is_made_from(search):
    search.fake(search.directory / '.venv' / 'bin' / 'python3.11')
    assert search(PATH=str(search.directory / '.venv' / 'bin'))[0] == 1


def test_a_python_that_is_named(search):
    search.fake(search.binaries / 'python3.11')
    other = search.fake(search.directory / 'elsewhere' / 'py', (3, 10))
    assert search(PYTHON=other) == (0, other, '')
    wrong = search.fake(search.directory / 'elsewhere' / 'wrong', (3, 14))
    status, path, told = search(PYTHON=wrong)
    assert (status, path) == (1, '') and wrong in told and '3.10 to 3.13' in told


# The environment and make

@pytest.fixture
def checkout(tmp_path):
    """A checkout in a directory with spaces whose interpreter and pip are pretended: what make-env does is seen."""
    place = tmp_path / 'a check out'
    for name in ('tools/make-env', 'tools/find-python', 'tools/mxnet_compat.pth', 'pyproject.toml',
                 'requirements.lock'):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    # `python -m venv .venv` copies the pretender; `-m pip` notes its arguments; `import mxnet` succeeds.
    python = place / 'python'
    python.write_text("""#!/bin/sh
case "$*" in
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && touch .venv/pyvenv.cfg .venv/new ;;
*"-m pip"*)
    echo "$* PIP_TARGET=$PIP_TARGET PYTHONPATH=$PYTHONPATH PIP_INDEX_URL=$PIP_INDEX_URL" >>pip.log
    ! [ -e pip-fails ] ;;
*sysconfig*) echo .venv ;;
*"import mxnet"*) ! [ -e mxnet-fails ] ;;
*doctor.py*) echo 'the doctor was here' ;;
*version_info*2*) echo '(3, 11)' ;;
esac
""")
    python.chmod(0o755)
    return place


def make_env(place, **environment):
    environment = {'PATH': os.environ['PATH'], 'PYTHON': str(place / 'python'), **environment}
    return subprocess.run(['sh', 'tools/make-env'], cwd=place, env=environment, text=True, capture_output=True,
                          timeout=60, stdin=subprocess.DEVNULL)


def pip_calls(place):
    log = place / 'pip.log'
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def test_the_environment_is_made_once(checkout):
    done = make_env(checkout, PIP_TARGET='/elsewhere', PYTHONPATH='/elsewhere', PIP_INDEX_URL='https://mine.example')
    assert done.returncode == 0, done.stderr
    lock, package = pip_calls(checkout)
    assert '--no-deps --require-hashes -r requirements.lock' in lock
    assert '--no-deps --no-build-isolation --editable .' in package
    for call in (lock, package):
        assert call.endswith(' PIP_TARGET= PYTHONPATH= PIP_INDEX_URL=https://mine.example')
    again = make_env(checkout)
    assert (again.returncode, again.stdout, pip_calls(checkout)) == (0, '', [])


@pytest.mark.parametrize('name', ['requirements.lock', 'pyproject.toml'])
def test_a_changed_pin_installs_again(checkout, name):
    make_env(checkout)
    pip_calls(checkout)
    with open(checkout / name, 'a') as file:
        file.write('# changed\n')
    (checkout / '.venv' / 'new').unlink()
    assert make_env(checkout).returncode == 0
    assert len(pip_calls(checkout)) == 2
    assert not (checkout / '.venv' / 'new').exists()


def test_an_interrupted_installation_starts_afresh(checkout):
    (checkout / 'pip-fails').touch()
    done = make_env(checkout)
    assert done.returncode != 0 and 'could not be installed' in done.stderr
    (checkout / '.venv' / 'new').unlink()
    (checkout / 'pip-fails').unlink()
    pip_calls(checkout)
    assert make_env(checkout).returncode == 0
    assert len(pip_calls(checkout)) == 2
    assert (checkout / '.venv' / 'new').exists()


def test_a_moved_checkout_starts_afresh(checkout):
    make_env(checkout)
    pip_calls(checkout)
    moved = checkout.with_name('moved')
    checkout.rename(moved)
    (moved / '.venv' / 'new').unlink()
    assert make_env(moved).returncode == 0
    assert len(pip_calls(moved)) == 2
    assert (moved / '.venv' / 'new').exists()


def test_mxnet_that_cannot_be_imported_calls_the_doctor(checkout):
    (checkout / 'mxnet-fails').touch()
    done = make_env(checkout)
    assert done.returncode != 0 and 'the doctor was here' in done.stdout
    (checkout / 'mxnet-fails').unlink()
    assert make_env(checkout).returncode == 0


def test_a_directory_that_is_no_environment_is_left_alone(checkout):
    (checkout / '.venv').mkdir()
    (checkout / '.venv' / 'thesis.txt').write_text('years of work')
    done = make_env(checkout)
    assert done.returncode != 0 and 'move it away' in done.stderr
    assert (checkout / '.venv' / 'thesis.txt').exists()


def test_no_python_and_no_uv_says_what_to_do(checkout, tmp_path):
    (checkout / 'tools' / 'find-python').write_text('exit 1\n')
    for name in ('sh', 'cat', 'cksum', 'rm', 'tail', 'ls'):
        (tmp_path / name).symlink_to(shutil.which(name))
    done = make_env(checkout, PATH=str(tmp_path), PYTHON='')
    assert done.returncode == 1
    for remedy in ('apt install python3.11 python3.11-venv', 'uv:', 'environment.yml', 'PYTHON=/path/to/python3.11'):
        assert remedy in done.stderr
    assert not (checkout / '.venv').exists()


def test_no_python_but_uv(checkout, tmp_path):
    (checkout / 'tools' / 'find-python').write_text('exit 1\n')
    uv = tmp_path / 'bin' / 'uv'
    uv.parent.mkdir()
    uv.write_text(f'#!/bin/sh\necho "uv $*"\nexec "{checkout}/python" -m venv .venv\n')
    uv.chmod(0o755)
    done = make_env(checkout, PATH=f'{uv.parent}{os.pathsep}{os.environ["PATH"]}', PYTHON='')
    assert done.returncode == 0, done.stderr
    assert 'uv venv' in done.stdout and '--seed --python 3.11 .venv' in done.stdout


@needs_make
def test_make_alone_lists_every_target():
    text = make().stdout
    targets = re.search(r'^\.PHONY: (.*)$', (ROOT / 'Makefile').read_text(), flags=re.M).group(1).split()
    for target in set(targets) - {'help'}:
        assert f'make {target} ' in text, target


@needs_make
def test_make_train_passes_what_is_asked():
    text = make('-n', 'train').stdout
    assert '-m d2l_densenet train --epochs 5 --size 48 --recipe course --data auto --seed 0' in text
    text = make('-n', 'train', 'EPOCHS=1', 'SIZE=28', 'RECIPE=article', 'DATA=synthetic', 'SEED=3',
                'ARGS=--limit 9').stdout
    assert 'train --epochs 1 --size 28 --recipe article --data synthetic --seed 3 --limit 9' in text


@needs_make
@pytest.mark.parametrize('target', ['train', 'test', 'test-full', 'lab', 'notebooks', 'site', 'records', 'bench',
                                    'lint', 'doctor'])
def test_each_target_makes_the_environment_and_shuts_others_out(target):
    text = make('-n', target, PYTHON='/somewhere/python3.12').stdout
    assert "PYTHON='' sh tools/make-env" in text
    assert 'env -u PYTHONPATH -u PYTHONHOME' in text and ' .venv/bin/python ' in text


@needs_make
def test_the_quick_setting_is_for_make_test_alone():
    assert 'D2L_DENSENET_QUICK=1' in make('-n', 'test').stdout
    assert '-u D2L_DENSENET_QUICK' in make('-n', 'test-full').stdout


def test_continuous_integration_calls_make():
    path = ROOT / '.ci' / 'run'
    assert os.access(path, os.X_OK)
    assert re.findall('^make .*$', path.read_text(), flags=re.M) == [
        'make lint </dev/null', 'make torch </dev/null || ' + re.search(r"echo 'PyTorch.*'", path.read_text())[0],
        'make test </dev/null']
    assert subprocess.run(['bash', '-n', str(path)], timeout=60).returncode == 0
