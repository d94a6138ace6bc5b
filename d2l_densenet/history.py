"""What a training run did, epoch by epoch, and the error that ends one whose numbers are no longer finite."""

import dataclasses
import json

from ._common.arguments import show
from ._common.disk import parse_json

__all__ = ['DivergenceError', 'History']


@dataclasses.dataclass
class History:
    """What a training run did, epoch by epoch.

    Attributes
    ----------
    rows : list of dict
        One for each finished epoch: ``epoch`` (from 1), ``loss`` (mean over the training images), ``train_acc`` and
        ``test_acc`` (0 to 1; the second is None without test data), ``seconds`` (the whole epoch, evaluation
        included), ``images_per_second`` (training only), ``data_seconds`` (time spent waiting for the loader),
        ``learning_rate`` (of the last step).
    data : str
        Name of the data set.
    stopped : str or None
        Why the run ended early, if it did.

    Examples
    --------
    >>> history = History([{'epoch': 1, 'loss': 0.9}, {'epoch': 2, 'loss': 0.6}], 'my images')
    >>> history['loss'], len(history)
    ([0.9, 0.6], 2)
    """

    columns = ('epoch', 'loss', 'train_acc', 'test_acc', 'seconds', 'images_per_second', 'data_seconds',
               'learning_rate')

    rows: list = dataclasses.field(default_factory=list)
    data: str = 'unnamed data'
    stopped: str | None = None

    def __getitem__(self, column):
        return [row[column] for row in self.rows]

    def __len__(self):
        return len(self.rows)

    def to_json(self):
        """The history as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text):
        """The history that `to_json` wrote; ValueError if `text` is something else."""
        return cls.from_dict(parse_json(text))

    @classmethod
    def from_dict(cls, values):
        """The history with the attributes in `values`; ValueError if they are something else."""
        fits = isinstance(values, dict) and values.keys() == {'rows', 'data', 'stopped'}
        if not fits or not isinstance(values['rows'], list) or not isinstance(values['data'], str) or not isinstance(
                values['stopped'], (str, type(None))):
            raise ValueError('this JSON is not a training history: rows, data and stopped are expected')
        for number, row in enumerate(values['rows'], 1):
            if not isinstance(row, dict) or not row.keys() <= set(cls.columns) or not all(
                    _is_number(value) or name == 'test_acc' and value is None for name, value in row.items()):
                raise ValueError(f'row {number} of this training history must have numbers under some of '
                                 f'{", ".join(cls.columns)}, got {show(row)}')
        return cls(**values)


def _is_number(value):
    return type(value) in (int, float) and (abs(value) < 1e300 or value != value)


class DivergenceError(RuntimeError):
    """The loss, a score or a parameter became NaN or infinite. `history` holds the epochs before."""

    def __init__(self, message, history):
        super().__init__(message)
        self.history = history
