"""Checks for the exercises of the course: each says in one sentence what a learner's solution does wrong.

Every check takes the learner's own function or class, calls it with arguments of its own, and either prints one line
and returns None, or raises `CheckFailed`, whose message names what was given, what came out, what should have come
out, and where to look. In Jupyter the message appears alone, without a traceback.

The learner's code may loop forever, exit, print without end or raise: the check ends with a sentence that names the
line. (Python 3.10 cannot end a loop that is nothing but a ``try``, not by Ctrl-C either.) Each check takes
``time_limit=20`` (seconds) besides its own arguments. Random states, the array mode and autograd's state are afterwards
what they were.

Examples
--------
>>> from d2l_densenet import DenseBlock
>>> dense_block(DenseBlock)
dense block: C + L x k channels, the input first, each layer reads everything before it. Correct.
"""

from ._guard import TIME_LIMIT, CheckFailed
from .counting import block_parameters, connections, kept_values
from .dense import dense_block, dense_mlp
from .generic import answer, function, raises
from .layers import bottleneck_layer, conv_block, transition_block
from .network import densenet
from .one_shot import one_shot_block
from .own import own
from .residual import residual_block
from .reuse import cut_connection, mean_absolute_weights
from .tasks import task
from .training import accuracy, learning_rate, train_step
from .training_runs import compare_rates, refresh_statistics

__all__ = ['CheckFailed', 'TIME_LIMIT', 'answer', 'function', 'own', 'raises', 'connections', 'conv_block',
           'dense_block', 'dense_mlp', 'transition_block', 'block_parameters', 'densenet', 'accuracy', 'train_step',
           'learning_rate', 'residual_block', 'bottleneck_layer', 'kept_values', 'mean_absolute_weights',
           'cut_connection', 'one_shot_block', 'task', 'refresh_statistics', 'compare_rates']
