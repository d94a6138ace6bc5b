"""Errors of MXNet's engine: named where they belong, and nothing of them left over."""

import mxnet as mx
import pytest

from d2l_densenet._common.engine import settled, surfacing


def fail():
    """Not positive definite: MXNet says so only when it is asked for a result."""
    return mx.nd.linalg.potrf(-mx.nd.eye(3))


def test_an_error_gets_the_place_of_the_innermost_context():
    with pytest.raises(mx.MXNetError, match='^MXNet failed in batch 3 of x: .*positive definite.*images have the size'):
        with surfacing('outer', lambda: 'the whole'), surfacing('inner', lambda: 'batch 3 of x'):
            fail()
    mx.nd.waitall()


def test_nothing_of_many_errors_is_left_for_the_next_call():
    with pytest.raises(KeyError), surfacing('it', lambda: 'here'):
        for _ in range(5):
            fail()
        raise KeyError
    mx.nd.waitall()
    with surfacing('the next', lambda: 'there'):
        mx.nd.ones(3)


def test_without_a_place_the_error_is_mxnets_own():
    with pytest.raises(mx.MXNetError) as caught, surfacing('it'):
        fail()
    assert 'MXNet failed in' not in str(caught.value) and 'positive definite' in str(caught.value)
    mx.nd.waitall()


def test_an_earlier_error_is_not_this_calls():
    fail()
    with pytest.raises(mx.MXNetError, match='^an operation before it had failed.*positive definite.*waitall'):
        with surfacing('it', lambda: 'here'):
            raise AssertionError('it does not come to this')
    mx.nd.waitall()
    settled('it')
