"""What a run did, as JSON."""

import pytest

from d2l_densenet import History


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
