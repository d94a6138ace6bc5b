"""What 04_training shows where its output is not compared. Findings in its text are asserted on the full runs."""

# %% sweep
import os

FULL = os.environ.get('D2L_DENSENET_QUICK') != '1' and valid_iter.source.name == 'fashion-mnist'
REAL = valid_iter.source.name == 'fashion-mnist'
assert len({losses[0] for losses in curves.values()}) == 1, 'all rates start from the same weights and images'
assert len({len(losses) for losses in curves.values()}) == 1 and list(curves) == list(accuracies)

# %% sweep-figure
ends = {rate: numpy.mean(losses[-16:]) for rate, losses in curves.items()}
if FULL:
    assert 0.8 < ends[0.001] < numpy.log(10) and max(ends[0.01], ends[0.1]) < 0.7
    assert max(curves[1]) > 3 and ends[1] < 1.3 and ends[10] > 2

# %% again
assert {rate: len(found) for rate, found in again.items()} == {0.01: 3, 0.1: 3}
if FULL:
    assert max(accuracies[rate] for rate in (0.001, 10)) < min(again[0.01])

# %% own
assert accuracy == evaluate_accuracy(mine, valid_iter) and valid_iter.num_examples == held
assert train_iter.num_examples == limit - held and (accuracy > 0.7 or not FULL)

# %% fit
assert len(history) == epochs and history['learning_rate'][-1] < 0.01 * recipe.learning_rate
assert history['test_acc'][-1] > 0.8 or not FULL

# %% swings-run
assert [step for step, _, _ in track] == list(range(2, 2 * half + 1, 2))
frozen = [row for row in track if row[0] > half]
assert len({with_batch for _, _, with_batch in frozen}) == 1, 'frozen weights have one accuracy with batch statistics'
if FULL:
    assert abs(frozen[-1][1] - frozen[-1][2]) < 0.02

# %% swings-figure
moving = steps <= half
if FULL:
    assert numpy.ptp(running[moving]) > 2 * numpy.ptp(batch[moving]), 'the swings are those of the running statistics'

# %% classes
assert len(labels) == test_iter.num_examples and abs(probabilities.sum(axis=1) - 1).max() < 1e-4
assert min(right, key=right.get) == 'shirt' or not REAL
if FULL:
    assert abs(accuracy - d2l_densenet.weights_record()['history']['rows'][-1]['test_acc']) < 2e-4

# %% confusion
tops = [FASHION_MNIST_LABELS.index(name) for name in ('t-shirt/top', 'pullover', 'coat', 'shirt')]
among_tops = (answers != labels) & numpy.isin(labels, tops) & numpy.isin(answers, tops)
assert among_tops.sum() > 0.5 * (answers != labels).sum() or not REAL

# %% wager
assert len(chosen) == len(captions) == 18 and {*labels[chosen].tolist()} == {2, 4, 6}

# %% wager-figure
assert (numpy.diff(chosen) > 0).all() and test_iter.images[chosen].shape == (18, 48, 48)

# %% linear
assert len(history) == len(history['loss']) and history['loss'][-1] < numpy.log(10)
assert 0.79 < history['test_acc'][-1] < 0.86 or not FULL
