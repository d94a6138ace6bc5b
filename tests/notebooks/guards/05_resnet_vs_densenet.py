# %% train-code
# Two networks were judged on every test image, and they are not one and the same.
assert all(r.shape == test.labels.shape and r.dtype == bool for r in right.values())
assert set(right) == {'DenseNet', 'ResNet'} and right['DenseNet'] is not right['ResNet']
# %% train-predict
assert n == len(test.labels) and only_dense + only_resnet == (right['DenseNet'] != right['ResNet']).sum()
assert only_dense - only_resnet == right['DenseNet'].sum() - right['ResNet'].sum()
# %% paired-code
# The variance of a difference is the sum of the variances less twice the covariance: only that part is the pairing's.
covariance = numpy.cov(*right.values(), bias=True)[0, 1]
assert abs(paired ** 2 - (unpaired ** 2 - 2 * 1.96 ** 2 * covariance / n)) < 1e-9
# %% gradients-predict
# It explodes in the chain; the networks with shortcuts, of both kinds, hardly notice the depth.
growth = {name: deep / shallow for name, (shallow, deep) in gradient.items()}
assert growth['chain'] > 20 and growth['DenseNet'] < 3 and growth['ResNet'] < 8
