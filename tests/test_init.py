"""The package's names: they load on first use, each from its module."""

import importlib

import pytest

import d2l_densenet


@pytest.mark.parametrize('name', d2l_densenet.__all__)
def test_a_name_is_that_of_its_module(name):
    thing = getattr(d2l_densenet, name)
    assert thing is getattr(d2l_densenet, name) and name in dir(d2l_densenet)
    home = getattr(thing, '__module__', None)
    if home:    # a function or class, not a table
        assert thing is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize('name', ['checks', 'plots', 'recompute', 'resnets'])
def test_modules_that_are_attributes(name):
    assert getattr(d2l_densenet, name) is importlib.import_module(f'd2l_densenet.{name}')
    assert d2l_densenet.__getattr__(name) is getattr(d2l_densenet, name), 'before anybody has imported it'


def test_an_unknown_name_is_named():
    with pytest.raises(AttributeError, match="^module 'd2l_densenet' has no attribute 'DenseNet121'$"):
        _ = d2l_densenet.DenseNet121
    assert not hasattr(d2l_densenet, 'blocked') and dir(d2l_densenet) == sorted(dir(d2l_densenet))
