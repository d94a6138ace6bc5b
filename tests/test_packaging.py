"""What a stranger meets first: the pins and their lock, the search for a Python, make's targets, a light import."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
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
    extras = [requirement for name in ('course', 'newer', 'interop', 'test', 'site') for requirement in EXTRAS[name]]
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
    assert PROJECT['project']['requires-python'] == '>=3.10,<3.15'


def test_conda_installs_the_lock():
    """With a Python below 3.12, for which pip accepts mxnet and d2l beside the rest: conda cannot pass it --no-deps."""
    text = (ROOT / 'environment.yml').read_text()
    entries = [line.strip().removeprefix('- ') for line in text.splitlines() if line.strip().startswith('- ')]
    assert entries == ['conda-forge', 'python=3.11', 'pip', 'pip:', '-r requirements.lock']


def test_no_address_is_made_up():
    """Whoever publishes this fills it in: until then the metadata name none, and pyproject.toml says where it goes."""
    text = (ROOT / 'pyproject.toml').read_text()
    assert 'urls' in PROJECT['project'] or '# [project.urls]\n# Repository = "https://..."\n' in text
    assert 'example' not in str(PROJECT['project'].get('urls')) and '...' not in str(PROJECT['project'].get('urls'))
    assert PROJECT['project']['authors'] and PROJECT['project']['keywords']


def run(*command, **settings):
    """Run `command` and return it when it is done; it must succeed, and does not reach the network."""
    done = subprocess.run(command, text=True, capture_output=True, timeout=300,
                          env=clean_environment(PIP_USER='0', PIP_NO_INDEX='1'), **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def copy_sources(target):
    """What a wheel is built from."""
    target.mkdir()
    for name in ('pyproject.toml', 'README.md', 'LICENSE', 'LICENSES.md', 'MANIFEST.in', 'mxnet_compat.py'):
        shutil.copy(ROOT / name, target)
    leftovers = shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints')
    for name in ('tools', 'd2l_densenet', 'notebooks', 'records'):
        shutil.copytree(ROOT / name, target / name, ignore=leftovers)
    return target


def build_wheel(source, target):
    run(sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '--wheel-dir',
        str(target), str(source))
    wheel, = target.glob('d2l_densenet-*.whl')
    return wheel


def contents(wheel):
    return {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel, built from a copy of the checkout, so that no `build` is left there."""
    place = tmp_path_factory.mktemp('wheel')
    return build_wheel(copy_sources(place / 'source'), place)


def test_wrong_python_is_refused_by_pip_with_the_reason(tmp_path):
    """pip's message for requires-python, from the real metadata with the range turned around."""
    source = copy_sources(tmp_path / 'source')
    project = (ROOT / 'pyproject.toml').read_text().replace('">=3.10,<3.15"', '">=3.15"')
    (source / 'pyproject.toml').write_text(project)
    done = subprocess.run([sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-index', '--no-build-isolation',
                           '--target', str(tmp_path / 'site'), str(source)], env=clean_environment(PIP_USER='0'),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert 'requires a different Python' in done.stderr and '>=3.15' in done.stderr


def test_the_wheel_holds_the_package_and_the_notebooks_and_nothing_else(wheel):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'd2l_densenet').rglob('*.py')}
    modules |= {'mxnet_compat.py', 'mxnet_compat.pth'}
    course = {f'd2l_densenet/{path.relative_to(ROOT).as_posix()}' for path in (ROOT / 'notebooks').rglob('*')
              if path.suffix in ('.ipynb', '.md') and '.ipynb_checkpoints' not in path.parts}
    assert len(course) > 25
    runs = {f'd2l_densenet/records/{path.name}' for path in [*(ROOT / 'records').glob('*-seed?.json'),
                                                               ROOT / 'records' / 'families.json']}
    weights = {f'd2l_densenet/weights/course-seed0.{ending}' for ending in ('safetensors', 'json')}
    assert contents(wheel) == modules | course | runs | weights
    assert any(name.endswith('LICENSE') for name in zipfile.ZipFile(wheel).namelist())
    assert wheel.stat().st_size < 9e6


def test_the_source_distribution_builds_the_same_wheel_and_has_no_tests(wheel, tmp_path):
    source = copy_sources(tmp_path / 'source')
    shutil.copytree(ROOT / 'tests', source / 'tests', ignore=shutil.ignore_patterns('__pycache__'))
    run(sys.executable, '-c', 'from setuptools import build_meta; build_meta.build_sdist("..")', cwd=source)
    archive, = tmp_path.glob('*.tar.gz')
    (tmp_path / 'unpacked').mkdir()
    run('tar', '-xf', str(archive), '-C', str(tmp_path / 'unpacked'))
    unpacked, = (tmp_path / 'unpacked').iterdir()
    assert not list(unpacked.rglob('test_*.py'))
    assert contents(build_wheel(unpacked, tmp_path)) == contents(wheel)


@pytest.fixture(scope='module')
def with_the_wheel(wheel, tmp_path_factory):
    """The interpreter of a new environment with the wheel in it, which lends this one's other packages."""
    place = tmp_path_factory.mktemp('with the wheel')
    run(sys.executable, '-m', 'venv', '--without-pip', str(place))
    python = place / 'bin' / 'python'
    site, = place.glob('lib/python*/site-packages')
    run(sys.executable, '-m', 'pip', '--python', str(python), 'install', '--quiet', '--no-deps', str(wheel))
    # Without the files of this environment that bring a checkout, or mxnet_compat, along: those of the wheel count.
    lent = place / 'lent'
    lent.mkdir()
    for path in pathlib.Path(sysconfig.get_path('purelib')).iterdir():
        if path.suffix != '.pth' and not path.name.startswith(('__editable__', 'd2l_densenet')):
            (lent / path.name).symlink_to(path)
    (site / 'zzz.pth').write_text(f'{lent}\n')
    return python


def test_a_wheel_mends_mxnet_by_itself(with_the_wheel, tmp_path):
    code = ('import mxnet; assert mxnet.nd.ones((2, 3)).sum().asscalar() == 6\n'
            'import d2l_densenet; print(d2l_densenet.__file__)')
    done = run(str(with_the_wheel), '-c', code, cwd=tmp_path)
    assert str(with_the_wheel.parent.parent) in done.stdout


def test_a_wheel_brings_the_course(with_the_wheel, tmp_path):
    done = run(str(with_the_wheel), '-m', 'd2l_densenet', 'notebooks', 'my course', cwd=tmp_path)
    course = tmp_path / 'my course'
    assert str(course / '01_first_densenet.ipynb') in done.stdout and str(with_the_wheel) in done.stdout
    for path in ('01_first_densenet.ipynb', 'README.md', 'exercises/02_dense_block.ipynb'):
        assert (course / path).read_bytes() == (ROOT / 'notebooks' / path).read_bytes()


def test_a_wheel_brings_the_trained_network_and_the_recorded_runs(with_the_wheel, tmp_path):
    code = ('import mxnet; from d2l_densenet import recorded_runs, trained_network, weights_record\n'
            'print(trained_network()(mxnet.nd.zeros((1, 1, 48, 48))).shape, weights_record()["recipe"], '
            '[run["seed"] for run in recorded_runs("course")])')
    assert run(str(with_the_wheel), '-c', code, cwd=tmp_path).stdout == '(1, 10) course [0, 1, 2]\n'


def test_the_doctor_of_a_wheel_names_pip_and_not_make(with_the_wheel, tmp_path):
    code = 'from d2l_densenet import doctor; print(doctor._install("mxnet", "tqdm"))'
    told = run(str(with_the_wheel), '-c', code, cwd=tmp_path).stdout
    assert told == (f"'{with_the_wheel}' -m pip install --no-deps mxnet==1.9.1 and '{with_the_wheel}' -m pip install "
                    'tqdm\n')
    assert 'make env' not in run(str(with_the_wheel), '-m', 'd2l_densenet', 'doctor', cwd=tmp_path).stdout


@needs_make
def test_a_kernel_of_this_environment(tmp_path):
    """What `make kernel` runs registers a kernel that Jupyter finds and that is this environment's."""
    assert '--user' in make('-n', 'kernel').stdout
    text = make('-n', 'kernel', f'ARGS=--prefix {tmp_path}').stdout
    assert '--user' not in text
    arguments = text.replace('\\\n', ' ').strip().splitlines()[-1].partition(' -m ipykernel ')[2]
    run(sys.executable, '-m', 'ipykernel', *shlex.split(arguments))
    kernel = json.loads((tmp_path / 'share/jupyter/kernels/d2l-densenet/kernel.json').read_text())
    assert kernel['argv'][0] == sys.executable and kernel['display_name'] == 'DenseNet course (d2l-densenet)'


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

    def __call__(self, *versions, **environment):
        # What this machine has in the usual places must not count.
        script = (ROOT / 'tools' / 'find-python').read_text()
        for place in ('/usr/', '/opt/'):
            script = script.replace(f' {place}', f' {self.directory}/nowhere/')
        # readlink is found by its own path: PATH holds nothing of this machine.
        script = script.replace('readlink', shutil.which('readlink'))
        (self.directory / 'find-python').write_text(script)
        done = subprocess.run(['/bin/sh', 'find-python', *versions], cwd=self.directory, text=True, capture_output=True,
                              timeout=60, env={'PATH': str(self.binaries), 'HOME': str(self.directory), **environment})
        return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path)


def test_no_python_at_all(search):
    assert search() == (1, '', '')


def test_the_newest(search):
    for minor in (10, 13, 12):
        search.fake(search.binaries / f'python3.{minor}', (3, minor))
    newest = search.fake(search.directory / '.pyenv' / 'versions' / '3.14.2' / 'bin' / 'python3.14', (3, 14))
    assert search() == (0, newest, '')


def test_the_versions_that_are_asked_for(search):
    search.fake(search.binaries / 'python3.13', (3, 13))
    older = search.fake(search.binaries / 'python3.11')
    assert search('3.11') == (0, older, '')
    status, path, told = search('3.10')
    assert (status, path) == (1, '') and '3.13.0' not in told  # only python3.10, python3 and python are looked at


def test_a_shim_that_does_not_run_is_passed_over(search):
    search.fake(search.binaries / 'python3.11', works=False)
    real = search.fake(search.directory / '.pyenv' / 'versions' / '3.11.7' / 'bin' / 'python3.11')
    assert search() == (0, real, '')


def test_without_ensurepip_the_next_one(search):
    search.fake(search.binaries / 'python3.11', ensurepip=False)
    other = search.fake(search.binaries / 'python3.10', (3, 10))
    assert search() == (0, other, '')


def test_nothing_but_one_without_ensurepip(search):
    path = search.fake(search.binaries / 'python3.13', (3, 13), ensurepip=False)
    status, found, told = search()
    assert (status, found) == (2, path)
    assert told.endswith(f'{path}: 3.13.0 comes without the modules venv and ensurepip')


@pytest.mark.parametrize('version, verdict', [((2, 7), 'too old'), ((3, 9), 'too old'), ((3, 15), 'too new'),
                                              ((4, 0), 'too new')])
def test_other_versions_do_not_count(search, version, verdict):
    path = search.fake(search.binaries / 'python3', version)
    search.fake(search.binaries / 'python3.11', version)
    status, found, told = search()
    assert (status, found) == (1, '') and f'{path}: {version[0]}.{version[1]}.0 is {verdict}' in told


def test_a_shim_alone(search):
    path = search.fake(search.binaries / 'python3.11', works=False)
    assert search() == (1, '', f'Found, but of no use here:\n  {path}: does not run')


def test_plain_python3_counts_if_it_is_right(search):
    assert search() == (1, '', '')
    path = search.fake(search.binaries / 'python3', (3, 10))
    assert search() == (0, path, '')


def test_several_names_of_one_python_are_one(search):
    path = search.fake(search.binaries / 'python3', (3, 9))
    (search.binaries / 'python').symlink_to(path)
    assert search()[2].count('too old') == 1


def test_conda_in_the_home_directory(search):
    path = search.fake(search.directory / 'miniforge3' / 'envs' / 'a' / 'bin' / 'python3.10', (3, 10))
    assert search() == (0, path, '')


def test_the_environment_itself_is_not_what_it_is_made_from(search):
    path = search.fake(search.directory / '.venv' / 'bin' / 'python3.11')
    assert search(PATH=str(search.directory / '.venv' / 'bin'))[0] == 1
    assert search(PYTHON=path)[0] == 1


def test_a_python_that_is_named(search):
    search.fake(search.binaries / 'python3.11')
    other = search.fake(search.directory / 'elsewhere' / 'py', (3, 10))
    assert search(PYTHON=other) == (0, other, '')
    wrong = search.fake(search.directory / 'elsewhere' / 'wrong', (3, 9))
    status, path, told = search(PYTHON=wrong)
    assert (status, path) == (1, '') and f'{wrong}: 3.9.0 is too old' in told
    assert 'no such program' in search(PYTHON=str(search.directory / 'nothing'))[2]


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
*"doctor.py libraries"*) ! [ -e libraries-fail ] || { echo 'do: apt install'; exit 1; } ;;
*doctor.py*) echo 'the doctor was here' ;;
*verdict*) printf usable ;;
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


@pytest.mark.parametrize('name, calls', [('requirements.lock', 2), ('pyproject.toml', 1)])
def test_a_changed_pin_installs_again(checkout, name, calls):
    """The packages only where the lock has changed."""
    make_env(checkout)
    pip_calls(checkout)
    with open(checkout / name, 'a') as file:
        file.write('# changed\n')
    (checkout / '.venv' / 'new').unlink()
    assert make_env(checkout).returncode == 0
    assert len(pip_calls(checkout)) == calls
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


def test_missing_libraries_stop_it_before_anything_is_installed(checkout):
    (checkout / 'libraries-fail').touch()
    done = make_env(checkout)
    assert done.returncode == 1 and 'do: apt install' in done.stdout and 'Nothing has been installed' in done.stderr
    assert pip_calls(checkout) == []
    (checkout / 'libraries-fail').unlink()
    assert make_env(checkout).returncode == 0


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
    assert len(pip_calls(checkout)) == 2
    # What was installed is not installed once more; only the package is.
    assert make_env(checkout).returncode != 0
    package, = pip_calls(checkout)
    assert '--editable .' in package
    (checkout / 'mxnet-fails').unlink()
    assert make_env(checkout).returncode == 0


def test_a_directory_that_is_no_environment_is_left_alone(checkout):
    (checkout / '.venv').mkdir()
    (checkout / '.venv' / 'thesis.txt').write_text('years of work')
    done = make_env(checkout)
    assert done.returncode != 0 and 'move it away' in done.stderr
    assert (checkout / '.venv' / 'thesis.txt').exists()


def programs(directory, *others, **scripts):
    """A directory for PATH with the few programs that make-env needs, and no Python."""
    directory.mkdir()
    for name in ('sh', 'cat', 'cksum', 'rm', 'tail', 'ls', 'sed', 'readlink', *others):
        (directory / name).symlink_to(shutil.which(name))
    for name, text in scripts.items():
        (directory / name.replace('_', '-')).write_text('#!/bin/sh\n' + text)
        (directory / name.replace('_', '-')).chmod(0o755)
    return str(directory)


REMEDIES = ('pipx install uv', 'pyenv install 3.13', 'environment.yml', 'PYTHON=/path/to/python3.13')


def found(checkout, text='', status=1, python=''):
    """Have find-python find this."""
    (checkout / 'tools' / 'find-python').write_text(f"printf '%s\\n' '{text}' >&2\n"
                                                    f"{f'echo {python!r}' if python else ''}\nexit {status}\n")


def test_no_python_and_no_uv_says_what_to_do(checkout, tmp_path):
    found(checkout, '  /usr/bin/python3: 3.9.2 is too old')
    done = make_env(checkout, PATH=programs(tmp_path / 'bin'), PYTHON='')
    assert done.returncode == 1
    for text in ('/usr/bin/python3: 3.9.2 is too old', *REMEDIES):
        assert text in done.stderr
    assert 'apt install' not in done.stderr and 'dnf' not in done.stderr
    assert not (checkout / '.venv').exists()


def test_only_a_package_that_this_release_has_is_recommended(checkout, tmp_path):
    found(checkout)
    path = programs(tmp_path / 'bin', apt_cache='[ "$2" = python3.12-venv ]\n')
    done = make_env(checkout, PATH=path, PYTHON='')
    assert 'sudo apt install python3.12-venv\n' in done.stderr and done.stderr.count('apt install') == 1
    done = make_env(checkout, PATH=programs(tmp_path / 'dnf', dnf='exit 0\n'), PYTHON='')
    assert 'sudo dnf install python3.12\n' in done.stderr


UV = 'echo "uv $*"\nexec "{checkout}/python" -m venv .venv\n'


def test_no_python_but_uv(checkout, tmp_path):
    found(checkout, '  /usr/bin/python3: 3.9.2 is too old')
    path = programs(tmp_path / 'bin', 'mkdir', 'cp', 'touch', uv=UV.format(checkout=checkout))
    done = make_env(checkout, PATH=path, PYTHON='')
    assert done.returncode == 0, done.stderr
    assert '3.9.2 is too old' in done.stdout and '--seed --python 3.13 .venv' in done.stdout


def test_uv_makes_it_with_a_python_that_lacks_venv(checkout, tmp_path):
    found(checkout, '  /usr/bin/python3: 3.13.5 comes without', status=2, python='/usr/bin/python3')
    path = programs(tmp_path / 'bin', 'mkdir', 'cp', 'touch', uv=UV.format(checkout=checkout))
    done = make_env(checkout, PATH=path, PYTHON='')
    assert done.returncode == 0, done.stderr
    assert '--seed --python /usr/bin/python3 .venv' in done.stdout


def test_uv_that_fails_has_a_sentence_of_ours_after_its_own(checkout, tmp_path):
    found(checkout)
    path = programs(tmp_path / 'bin', uv='echo "error: no route to host" >&2\nexit 2\n')
    done = make_env(checkout, PATH=path, PYTHON='')
    assert done.returncode == 1
    theirs, ours, end = done.stderr.split('\n')
    assert theirs == 'error: no route to host' and end == ''
    assert re.match(r'uv could not make the environment with Python 3\.13 .* make env PYTHON=/path/to/python', ours)
    assert not (checkout / '.venv').exists()


def test_a_python_that_is_named_and_wrong_is_not_passed_over_for_uv(checkout, tmp_path):
    found(checkout, '  /opt/py: 3.9.2 is too old')
    path = programs(tmp_path / 'bin', uv='echo uv was here\n')
    done = make_env(checkout, PATH=path, PYTHON='/opt/py')
    assert done.returncode == 1 and 'too old' in done.stderr and 'uv was here' not in done.stdout


@needs_make
def test_make_alone_lists_every_target():
    text = make().stdout
    targets = re.search(r'^\.PHONY: (.*)$', (ROOT / 'Makefile').read_text(), flags=re.M).group(1).split()
    for target in set(targets) - {'help'}:
        assert f'make {target} ' in text, target


@needs_make
def test_make_train_passes_what_is_asked():
    text = make('-n', 'train').stdout
    assert ('-m d2l_densenet train --network fashion_13_32 --epochs 4 --size 28 '
            '--recipe course --data auto --seed 0') in text
    text = make('-n', 'train', 'NETWORK=article', 'EPOCHS=1', 'SIZE=48', 'RECIPE=article', 'DATA=synthetic', 'SEED=3',
                'ARGS=--limit 9').stdout
    assert 'train --network article --epochs 1 --size 48 --recipe article --data synthetic --seed 3 --limit 9' in text


@needs_make
@pytest.mark.parametrize('target', ['train', 'test', 'test-full', 'lab', 'notebooks', 'site', 'records', 'bench',
                                    'lint', 'doctor'])
def test_each_target_makes_the_environment_and_shuts_others_out(target):
    text = make('-n', target, PYTHON='/somewhere/python3.12').stdout
    assert "PYTHON='' sh tools/make-env" in text
    assert 'env -u PYTHONPATH -u PYTHONHOME' in text and ' .venv/bin/python ' in text


@needs_make
@pytest.mark.skipif(hasattr(os, 'geteuid') and os.geteuid() == 0, reason='root can write everywhere')
def test_a_home_that_cannot_be_written_is_replaced(tmp_path):
    tmp_path.chmod(0o555)
    text = make('-n', 'lab', HOME=str(tmp_path)).stdout
    assert f"HOME='{ROOT}/.venv/home'" in text and f"IPYTHONDIR='{ROOT}/.venv/ipython'" in text


@needs_make
def test_a_home_that_is_missing_is_replaced_and_another_stays(tmp_path):
    assert f"HOME='{ROOT}/.venv/home'" in make('-n', 'lab', HOME=str(tmp_path / 'nowhere')).stdout
    assert ' HOME=' not in make('-n', 'lab', HOME=str(tmp_path)).stdout


@needs_make
def test_the_quick_setting_is_for_make_test_alone():
    assert 'D2L_DENSENET_QUICK=1' in make('-n', 'test').stdout
    assert '-u D2L_DENSENET_QUICK' in make('-n', 'test-full').stdout


def test_continuous_integration_calls_make():
    """Everything, then the old stack, then without data: each a `make test`, so that pytest's own line is the last."""
    path = ROOT / '.ci' / 'run'
    text = path.read_text()
    assert os.access(path, os.X_OK)
    assert subprocess.run(['bash', '-n', str(path)], timeout=60).returncode == 0
    assert text.rstrip().splitlines()[-1].strip().endswith('make test </dev/null')
    assert re.findall(r'\bmake (lint|test)\b', text) == ['lint', 'test', 'test', 'test']


def test_workflows_and_hooks_call_make_alone():
    workflow = (ROOT / '.github/workflows/tests.yml').read_text()
    commands = re.findall(r'- run: (.*)', workflow)
    assert len(commands) == workflow.count('run:') and all(command.startswith('make ') for command in commands)
    assert {'make lint', 'make test', 'make site'} <= {*commands}
    hooks = re.findall(r'entry: (.*)', (ROOT / '.pre-commit-config.yaml').read_text())
    assert hooks == ['make lint', 'make test']


def test_the_version_is_the_same_everywhere():
    version = PROJECT['project']['version']
    assert f'\nversion: {version}\n' in (ROOT / 'CITATION.cff').read_text()
    assert f'## {version}' in (ROOT / 'CHANGELOG.md').read_text()
    assert f"__version__ = '{version}'" in (ROOT / 'd2l_densenet' / '__init__.py').read_text()


def test_containers_install_what_make_env_asks_for():
    """The libraries of apt.txt, which `make env` names too, and the newest Python with a page of the site."""
    libraries = (ROOT / 'apt.txt').read_text().split()
    for name in ('Dockerfile', '.devcontainer/devcontainer.json'):
        text = (ROOT / name).read_text()
        assert all(library in text for library in libraries) and 'python:3.13-slim' in text
        assert 'make env' in text or 'ARG MAKE=env\nRUN make $MAKE' in text
        assert 'linux/amd64' in text
