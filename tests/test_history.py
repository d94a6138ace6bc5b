"""What a run did, as JSON."""

import pytest

from d2l_densenet import History


def test_history_survives_json():
    history = History([{'epoch': 1, 'loss': 0.5}], 'fashion-mnist', 'why')
    assert History.from_json(history.to_json()) == history
    with pytest.raises(ValueError, match='not a training history'):
        History.from_json('{"epochs": 3}')
