"""Install the course in a running kernel on Colab or Kaggle. The first cell of each notebook runs this.

Those places come with hundreds of packages, PyTorch and its CUDA libraries among them. Everything that is there stays
as it is: what the course needs and is absent is installed, at versions that go with what is there, and nothing else.
MXNet and d2l, which ask pip for a NumPy of 2023 and do without it, are installed without what they ask for.
"""

import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from importlib import metadata

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: What shows notebooks. Where this runs, something else does that already.
INTERFACE = ('jupyterlab', 'ipykernel', 'ipython')


def installed():
    """The version of each package that this Python finds, by the package's normal name."""
    return {_normal(distribution.name): distribution.version for distribution in metadata.distributions()}


def absent(present, project):
    """What the course needs and is not there, in two lists of requirements for pip.

    Parameters
    ----------
    present : dict of str to str
        As from `installed`.
    project : dict
        The table `project` of pyproject.toml.

    Returns
    -------
    alone : list of str
        To be installed without what they ask for.
    others : list of str
    """
    from packaging.requirements import Requirement  # ipykernel needs it too

    wanted = [*project['dependencies']]
    for extra in ('course', 'newer', 'interop'):
        wanted += project['optional-dependencies'][extra]
    alone, others = [], []
    for requirement in map(Requirement, wanted):
        name = _normal(requirement.name)
        if name in present or name in INTERFACE or requirement.marker and not requirement.marker.evaluate():
            continue
        (alone if name in ('mxnet', 'd2l') else others).append(f'{requirement.name}{requirement.specifier}')
    return alone, others


def main():
    """Install what is absent, let this kernel find it, and say in a few lines what was done."""
    began = time.monotonic()
    # As in a checkout, where a notebook's own directory is the working directory: notebooks keep my_densenet.py there.
    os.chdir(ROOT / 'notebooks')
    before = installed()
    if sys.version_info < (3, 12):
        raise SystemExit(f'Python {sys.version_info[0]}.{sys.version_info[1]} runs here, and the course needs 3.12 or '
                         'later in such places: choose a newer runtime.')
    import tomllib

    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    alone, others = absent(before, project)
    if project['name'] not in before:
        alone.append(str(ROOT))
    if alone or others:
        print('Installing the course (about a minute) ...', flush=True)
        _install(alone, others, before)
    # The kernel has looked into these directories before the packages were there, and has not read their .pth files.
    importlib.invalidate_caches()
    import mxnet_compat

    mxnet_compat.install()
    _report(before, installed() if alone or others else before, time.monotonic() - began)
    gpu()


def gpu():
    """If there is a card, have MXNet use it, or say why it cannot."""
    from d2l_densenet import gpu

    driver = gpu.ask_driver()
    if not driver.cards:
        return
    problem = gpu.why_no_gpu(driver=driver)
    try:
        if not problem and gpu.install_gpu() and 'mxnet' in sys.modules:
            problem = 'MXNet was imported before it was installed for the card', 'restart the kernel'
    except (RuntimeError, OSError) as error:
        problem = 'MXNet could not be installed for it', str(error)
    print(f'No GPU for MXNet: {"; ".join(problem)}.' if problem else f'MXNet uses the GPU: {driver.cards[0][0]}.')


def _install(alone, others, present):
    # The course itself comes last: where it is found, everything is there.
    with tempfile.TemporaryDirectory() as directory:
        constraints = pathlib.Path(directory) / 'constraints.txt'
        constraints.write_text('\n'.join(f'{name}=={version}' for name, version in present.items()), encoding='utf-8')
        if others:
            _pip('--constraint', str(constraints), *others)
        if alone:
            _pip('--no-deps', *alone)


def _pip(*arguments):
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input',
               '--root-user-action=ignore', *arguments]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        print(done.stdout)
        raise SystemExit(f'pip could not install {" ".join(arguments)}; its message stands above. Is this place '
                         'connected to the internet (on Kaggle: Settings, Internet)? Then run this cell again.')


def _report(before, after, seconds):
    place = 'Kaggle' if 'KAGGLE_KERNEL_RUN_TYPE' in os.environ else 'Colab'
    new = [f'{name} {version}' for name, version in after.items() if name not in before]
    if not new:
        print(f'{place}: the course is here.')
        return
    print(f'{place}: installed {", ".join(sorted(new))} in {seconds:.0f} s.')
    changed = [f'{name} {version}, now {after.get(name, "gone")}' for name, version in before.items()
               if after.get(name) != version]
    print(f'Changed: {"; ".join(changed)}.' if changed else 'Every package that was here before is as it was.')


def _normal(name):
    return name.lower().replace('_', '-').replace('.', '-')


if __name__ == '__main__':
    main()
