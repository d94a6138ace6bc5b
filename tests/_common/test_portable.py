"""Array modes for a while, and files of parameters that say what is wrong with them."""

import mxnet as mx
import pytest
from helpers import MODES, switch
from mxnet.util import is_np_array, is_np_shape

from d2l_densenet import conv_block, resnet
from d2l_densenet._common.portable import array_mode


@pytest.mark.parametrize('before', MODES)
@pytest.mark.parametrize('inside', MODES)
def test_an_array_mode_has_its_arrays_and_shapes_and_is_over_afterwards(before, inside):
    switch(before)
    with pytest.raises(KeyError), array_mode(inside == 'np'):
        assert is_np_array() == is_np_shape() == (inside == 'np')
        raise KeyError
    assert is_np_array() == is_np_shape() == (before == 'np')


def block():
    made = conv_block(2, in_channels=1)
    made.initialize()
    return made


def test_parameters_that_do_not_fit_are_told_by_gluon(tmp_path):
    place = str(tmp_path / 'x.params')
    block().save_parameters(place)
    with pytest.raises(AssertionError, match='shape'):
        conv_block(3, in_channels=1).load_parameters(place)
    block().load_parameters(place)


def test_a_file_that_is_none_is_told_before_mxnet_reads_it(tmp_path):
    (tmp_path / 'x.params').write_bytes(b'nothing of the kind')
    with pytest.raises(ValueError, match='x.params is no Gluon .params file, or is cut off or damaged .its first'):
        block().load_parameters(tmp_path / 'x.params')
    mx.nd.save(str(tmp_path / 'y.params'), [mx.nd.ones(1)])
    with pytest.raises(ValueError, match='y.params holds 1 arrays without names'):
        block().load_parameters(tmp_path / 'y.params')
    with pytest.raises(OSError, match='x.params/z cannot be written .*: choose another place or free the space'):
        block().save_parameters(tmp_path / 'x.params' / 'z')


def test_what_has_no_shapes_yet_is_not_written(tmp_path):
    net = resnet('resnet110')
    net.initialize()
    with pytest.raises(ValueError, match='shapes are not known yet; call the network on a batch first'):
        net.save_parameters(tmp_path / 'x.params')
