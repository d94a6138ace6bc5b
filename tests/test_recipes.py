"""Recipes: what the loader and `fit` get from them."""

import dataclasses

import pytest

import d2l_densenet
from d2l_densenet import RECIPES, Recipe


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


def test_the_recipe_for_a_long_run():
    options = RECIPES['record'].fit_options(100)
    schedule = options.pop('lr_scheduler')
    assert options == {'optimizer': 'muon', 'optimizer_params': {'learning_rate': 0.02, 'wd': 1e-3, 'momentum': 0.9},
                       'label_smoothing': 0.1}
    assert [schedule(step) for step in (0, 5, 10, 55, 100)] == pytest.approx([0, 0.01, 0.02, 0.01, 0])
    # The article's own program has 256.
    assert [RECIPES[name].batch_size for name in ('article', 'course', 'record')] == [256, 128, 128]


def test_a_recipe_of_ones_own():
    recipe = Recipe('nag', 0.3)
    assert recipe == Recipe('nag', learning_rate=0.3, momentum=0.0, weight_decay=0.0, warmup=None, flip=False, crop=0,
                            erase=0.0, batch_size=256, label_smoothing=0.0)
    assert dataclasses.replace(recipe, momentum=0.5).fit_options(1)['optimizer_params'] == {
        'learning_rate': 0.3, 'wd': 0.0, 'momentum': 0.5}
    without = dataclasses.replace(recipe, warmup=0.0).fit_options(4)['lr_scheduler']
    assert [without(step) for step in range(5)] == pytest.approx([0.3, 0.3 * (1 + 0.5 ** 0.5) / 2, 0.15, 0.3 * (
        1 - 0.5 ** 0.5) / 2, 0])


@pytest.mark.parametrize('wrong', [{'learning_rate': -1}, {'weight_decay': -1}, {'momentum': 1}, {'warmup': 1.0},
                                   {'warmup': -0.1}], ids=str)
def test_wrong_numbers_of_a_recipe_are_named(wrong):
    with pytest.raises(ValueError, match=f'^{next(iter(wrong))} must '):
        Recipe(**{'optimizer': 'sgd', 'learning_rate': 0.1, **wrong}).fit_options(10)


def test_a_warm_up_leaves_one_step_to_fall_in():
    options = dataclasses.replace(RECIPES['course'], warmup=0.99).fit_options(10)
    assert [options['lr_scheduler'](step) for step in (9, 10)] == pytest.approx([0.02, 0])
