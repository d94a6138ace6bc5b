# %% live
# Accuracy on the training images and on the test images, without dropout and with it.
assert list(live) == ['dropout 0.0', 'dropout 0.2'] and all(len(both) == 2 for both in live.values())
assert all(0 <= value <= 1 for both in live.values() for value in both)
