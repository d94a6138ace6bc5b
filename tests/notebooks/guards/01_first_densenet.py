# %% data
assert train_iter.images.shape[1:] == valid_iter.images.shape[1:] == test_iter.images.shape[1:] == (28, 28)
assert train_iter.shuffle and not test_iter.shuffle and train_iter.num_examples > valid_iter.num_examples
assert train_iter.labels[first].tolist() == list(range(10))
# No validation image is a training image (Fashion-MNIST repeats a few images itself).
_train = {image.tobytes() for image in train_iter.images}
assert sum(image.tobytes() in _train for image in valid_iter.images) <= 5

# %% tops
assert len(chosen) == 18 and numpy.bincount(test_iter.labels[chosen]).tolist() == [0, 0, 6, 0, 6, 0, 6]

# %% try-gpu
assert np.ones(3, ctx=device).sum() == 3 and device.device_type in ('cpu', 'gpu')

# %% train-dense
assert [epoch for epoch, _ in live.curves['DenseNet']] == [0, 1, 2, 3, 4, 5]
assert live.curves['DenseNet'][-1][1] == evaluate_accuracy(networks['DenseNet'], valid_iter)
assert live.curves['DenseNet'][-1][1] > live.curves['DenseNet'][0][1]

# %% train-rivals
assert [*live.curves] == ['DenseNet', 'CNN', 'linear'] and [*networks] == [*live.curves]
assert all(curve[-1][1] > curve[0][1] + 0.1 for name, curve in live.curves.items() if name != 'DenseNet')

# %% test
assert 0.1 < share < 1 and net is networks['linear'] and 0 < margin < 0.03
if test_iter.num_examples == 10_000 and train_iter.source.name == 'fashion-mnist':
    assert evaluate_accuracy(networks['DenseNet'], test_iter) > 0.87 and share < 0.86

# %% wager-net
assert answers.shape == (18,) and {*answers.tolist()} <= {2, 4, 6}
