"""Recipes: what the loader and `fit` get from them."""

import dataclasses

import pytest

import d2l_densenet
from d2l_densenet import RECIPES


@pytest.mark.parametrize('steps', [1, 2, 3, 100])
def test_the_course_schedule_rises_and_falls(steps):
    scheduler = d2l_densenet.RECIPES['course'].fit_options(steps)['lr_scheduler']
    rates = [scheduler(i) for i in range(1, steps + 1)]
    peak = d2l_densenet.RECIPES['course'].learning_rate
    assert all(0 <= rate <= peak * (1 + 1e-9) for rate in rates) and rates[-1] == pytest.approx(0, abs=1e-9)
    if steps == 100:
        top = rates.index(max(rates))
        assert max(rates) == pytest.approx(peak, rel=0.01)
        assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)


def test_the_recipes_are_what_fit_gets():
    assert RECIPES['article'].loader_options() == {'flip': False, 'crop': 0, 'erase': 0.0}
    assert RECIPES['course'].loader_options() == {'flip': True, 'crop': 0, 'erase': 0.0}
    assert RECIPES['record'].loader_options() == {'flip': True, 'crop': 1, 'erase': 0.5}
    assert RECIPES['article'].fit_options(10) == {
        'optimizer': 'sgd', 'optimizer_params': {'learning_rate': 0.1, 'wd': 0.0}, 'lr_scheduler': None,
        'label_smoothing': 0.0}
    options = RECIPES['course'].fit_options(100)
    schedule = options.pop('lr_scheduler')
    assert options == {'optimizer': 'muon', 'optimizer_params': {'learning_rate': 0.02, 'wd': 1e-3, 'momentum': 0.9},
                       'label_smoothing': 0.1}
    assert [schedule(step) for step in (0, 10, 20, 60, 100)] == pytest.approx([0, 0.01, 0.02, 0.01, 0])


def test_a_warm_up_leaves_one_step_to_fall_in():
    options = dataclasses.replace(RECIPES['course'], warmup=0.99).fit_options(10)
    assert [options['lr_scheduler'](step) for step in (9, 10)] == pytest.approx([0.02, 0])
