"""Recorded runs are found by their values, in the order of their seeds."""

import base64

import numpy
import pytest

from d2l_densenet.analysis import families


@pytest.fixture(autouse=True)
def runs(monkeypatch):
    """Four runs of 16 images each, written out of order."""
    bits = numpy.arange(16) % 3 == 0
    right = base64.b64encode(numpy.packbits(bits).tobytes()).decode()
    found = [{'network': network, 'width': width, 'seed': seed, 'right': right}
             for network, width, seed in (('DenseNet', 8, 2), ('ResNet', 8, 1), ('DenseNet', 16, 1),
                                          ('DenseNet', 8, 0))]
    found[1]['depth'] = 3
    monkeypatch.setattr(families, 'record', lambda name: {'runs': found})
    return bits


def test_all_wanted_values_must_agree():
    found = families.recorded_families(network='DenseNet', width=8)
    assert [(run['network'], run['width'], run['seed']) for run in found] == [('DenseNet', 8, 0), ('DenseNet', 8, 2)]
    assert [run['seed'] for run in families.recorded_families()] == [0, 1, 1, 2]


def test_the_images_that_were_right_come_as_booleans(runs):
    run, = families.recorded_families(seed=0)
    assert run['right'].dtype == bool and run['right'].tolist() == runs.tolist()


@pytest.mark.parametrize('wanted, message', [
    ({'width': 5}, 'no recorded run has width = 5, only 8, 16'),
    ({'network': 'densenet'}, "no recorded run has network = 'densenet', only DenseNet, ResNet"),
    ({'depth': 4}, 'no recorded run has depth = 4, only 3'),
    ({'length': 1}, 'no recorded run has length = 1, only other settings'),
    ({'right': True}, 'no recorded run has right = True, only other settings')])
def test_a_value_that_no_run_has(wanted, message):
    with pytest.raises(ValueError) as caught:
        families.recorded_families(**wanted)
    assert str(caught.value) == message


def test_nine_other_values_are_named(monkeypatch):
    monkeypatch.setattr(families, 'record', lambda name: {'runs': [{'seed': seed} for seed in range(20)]})
    with pytest.raises(ValueError, match=r'only 0, 1, 2, 3, 4, 5, 6, 7, 8$'):
        families.recorded_families(seed=20)
