"""Files of parameters that can be trusted, and read in both array modes."""

import contextlib

from mxnet.base import MXNetError
from mxnet.gluon.parameter import DeferredInitializationError
from mxnet.ndarray import waitall
from mxnet.util import np_array, np_shape

from .disk import a_path
from .messages import last_line
from .params import check_params


@contextlib.contextmanager
def array_mode(np_on):
    """One of the two array modes, and afterwards the mode that was on."""
    # MXNet refuses np mode's arrays without its shapes, also for the moment between two scopes.
    scopes = (np_shape, np_array) if np_on else (np_array, np_shape)
    with scopes[0](np_on), scopes[1](np_on):
        yield


class ModePortable:
    """Mix-in for a Gluon block that makes its files safe.

    `load_parameters` also reads, in classic nd mode, a file written in np mode. (The other direction Gluon has itself.)
    It raises OSError for a file that cannot be read and ValueError for one that is damaged, before MXNet sees it:
    MXNet's reader takes as much memory as the file asks for. `save_parameters` waits for what is being computed: oneDNN
    rearranges weights in place while a forward pass uses them, and MXNet may copy them in between.
    """

    def save_parameters(self, filename, *args, **kwargs):
        filename = a_path('filename', filename)
        waitall()
        try:
            super().save_parameters(filename, *args, **kwargs)
        except DeferredInitializationError as error:
            raise ValueError(f'{filename} is not written: shapes are not known yet; call the network on a batch '
                             'first') from error
        except MXNetError as error:
            raise OSError(f'{filename} cannot be written ({last_line(error)}): choose another place or free the '
                          'space') from error

    def load_parameters(self, filename, *args, **kwargs):
        filename = a_path('filename', filename)
        check_params(filename)
        try:
            super().load_parameters(filename, *args, **kwargs)
        except MXNetError as error:
            if 'is_np_shape' not in str(error):
                raise
            with np_shape(True):
                super().load_parameters(filename, *args, **kwargs)
