"""What a wheel holds besides the package: mxnet_compat.pth, the notebooks, and the recorded runs that they show.

An editable installation has the first from tools/make-env, and the second beside it.
"""

import pathlib
from distutils.command.install_data import install_data

from setuptools.command.build_py import build_py


class InstallData(install_data):
    """The step that would install files outside packages: puts mxnet_compat.pth where Python reads it at its start."""

    def run(self):
        place = pathlib.Path(self.get_finalized_command('install').install_lib)
        self.mkpath(str(place))
        self.outfiles.append(self.copy_file('tools/mxnet_compat.pth', str(place / 'mxnet_compat.pth'))[0])


class BuildPackage(build_py):
    """The step that copies modules: copies notebooks/, for ``d2l-densenet notebooks``, and the runs in records/ too."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for source, target in self._beside():
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode=True):
        return super().get_outputs(include_bytecode) + [str(target) for _, target in self._beside()]

    def _beside(self):
        notebooks = [source for source in sorted(pathlib.Path('notebooks').rglob('*'))
                     if source.suffix in ('.ipynb', '.md') and '.ipynb_checkpoints' not in source.parts]
        for source in [*notebooks, *sorted(pathlib.Path('records').glob('*-seed?.json')),
                       pathlib.Path('records', 'families.json')]:
            yield source, pathlib.Path(self.build_lib, 'd2l_densenet', source)
