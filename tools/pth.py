"""Puts mxnet_compat.pth beside the package in a wheel. (An editable installation has it from tools/make-env.)"""

import pathlib
from distutils.command.install_data import install_data


class InstallData(install_data):
    """The step that would install files outside packages."""

    def run(self):
        place = pathlib.Path(self.get_finalized_command('install').install_lib)
        self.mkpath(str(place))
        self.outfiles.append(self.copy_file('tools/mxnet_compat.pth', str(place / 'mxnet_compat.pth'))[0])
