"""The functions of the later sets: what is right passes, each known mistake gets its own sentence."""

import pytest

from d2l_densenet import checks
from d2l_densenet.checks import CheckFailed
from d2l_densenet.checks.tasks import TASKS


def own(f):
    """`f` as a function that the package has not made."""
    def mine(*args):
        return f(*args)
    return mine


@pytest.mark.parametrize('name', TASKS)
def test_what_is_right_passes_again_and_again(name):
    for _ in range(3):
        checks.task(own(TASKS[name].right), name)


@pytest.mark.parametrize('name, number', [(name, i) for name in TASKS for i in range(len(TASKS[name].hints))])
def test_each_known_mistake_gets_its_sentence(name, number):
    wrong, sentence = TASKS[name].hints[number]
    with pytest.raises(CheckFailed) as failure:
        checks.task(own(wrong), name)
    assert str(failure.value).endswith(sentence)


def test_the_packages_own_is_refused():
    with pytest.raises(CheckFailed, match='write your own'):
        checks.task(TASKS['ece'].right, 'ece')


def test_a_look_at_the_test_images_of_all_networks_is_noticed():
    def peeks(train, accuracy, rates, validation, test):
        return max(accuracy(train(rate), test) for rate in rates)
    with pytest.raises(CheckFailed, match='had a part in the choice'):
        checks.task(peeks, 'chosen_accuracy')
