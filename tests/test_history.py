"""What a run did, as JSON."""

import pytest

from d2l_densenet import DivergenceError, History


def test_history_survives_json():
    history = History([{'epoch': 1, 'loss': 0.5}], 'fashion-mnist', 'why')
    assert History.from_json(history.to_json()) == history
    with pytest.raises(ValueError, match='not a training history'):
        History.from_json('{"epochs": 3}')


def test_a_loss_may_be_missing_and_not_absurd():
    rows = [{'epoch': 1, 'loss': float('nan')}]
    kept, = History.from_dict({'rows': rows, 'data': '', 'stopped': None}).rows
    assert kept['loss'] != kept['loss']
    for loss in (1e301, float('inf'), True, '1'):
        with pytest.raises(ValueError, match='row 1'):
            History.from_dict({'rows': [{'epoch': 1, 'loss': loss}], 'data': '', 'stopped': None})


@pytest.mark.parametrize('loss', [0, -1.5, 9.9e299, -9.9e299])
def test_any_number_that_can_be_drawn_is_one(loss):
    assert History.from_dict({'rows': [{'loss': loss}], 'data': '', 'stopped': None})['loss'] == [loss]


@pytest.mark.parametrize('row', [[], 3, {'loss': None}, {'loss': 1e300}, {'loss': -1e300}, {'Loss': 1}, {'epoch': True},
                                 {'train_acc': None}, {'epoch': 1, 'test_acc': 'x'}])
def test_a_row_that_is_none_is_named_by_its_number(row):
    with pytest.raises(ValueError, match='row 2 of this training history must have numbers under some of epoch, loss, '
                                         'train_acc, test_acc, seconds, images_per_second, data_seconds, '
                                         'learning_rate, got '):
        History.from_dict({'rows': [{'epoch': 1, 'test_acc': None}, row], 'data': '', 'stopped': None})


@pytest.mark.parametrize('changes', [{'rows': {}}, {'rows': None}, {'data': None}, {'data': 3}, {'stopped': 3},
                                     {'more': 1}])
def test_a_history_has_rows_data_and_what_stopped_it(changes):
    values = {'rows': [], 'data': 'x', 'stopped': 'why'}
    assert History.from_dict(values) == History([], 'x', 'why')
    with pytest.raises(ValueError, match='rows, data and stopped are expected'):
        History.from_dict({**values, **changes})
    for name in values:
        with pytest.raises(ValueError, match='rows, data and stopped are expected'):
            History.from_dict({key: value for key, value in values.items() if key != name})
    with pytest.raises(ValueError, match='rows, data and stopped are expected'):
        History.from_dict([values])


def test_a_new_history_is_empty_and_its_own():
    first, second = History(), History()
    first.rows.append({'epoch': 1})
    assert (len(first), len(second), second.data, second.stopped) == (1, 0, 'unnamed data', None)
    assert second.to_json() == '{\n "rows": [],\n "data": "unnamed data",\n "stopped": null\n}'


def test_a_divergence_carries_the_epochs_before():
    error = DivergenceError('the loss is NaN', History([{'epoch': 1}]))
    assert isinstance(error, RuntimeError) and str(error) == 'the loss is NaN' and error.history['epoch'] == [1]
