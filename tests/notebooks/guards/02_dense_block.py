# %% train
assert float(batch_loss.mean()) < 2.2                               # less than ln 10 = 2.30, what guessing costs
assert 0 < evaluate_accuracy(net, valid_iter) < 1 and valid_iter.num_examples < train_iter.num_examples

# %% maps
assert [maps.shape for maps in features.values()] == [(8, 28, 28)] * 5
assert (features['$x_0$'] == stem(image)[0].asnumpy()).all() and train_iter.labels[boot] == 9
assert numpy.allclose(features['$x_4$'], block.layers[3](Y[None, :32])[0].asnumpy(), atol=1e-4)

# %% readers
assert [len(gamma) for gamma in gammas] == [8] * 4 and len(betas) == 4
assert numpy.min(gammas) > 0                                        # 'above', not 'below', the threshold
_thresholds = -numpy.array(betas) / numpy.array(gammas)
assert (numpy.ptp(_thresholds, axis=0) > 0).all()                   # no two of the readers are the same

# %% depths
_last = {kind: values[-1] for kind, values in found.items()}
assert _last['plain'][0] > 5 * max(_last['sum'][0], _last['dense'][0])
assert _last['plain'][1] < 0.1 and min(_last['sum'][1], _last['dense'][1]) > 0.6
assert _last['sum'][1] > _last['dense'][1]                          # by this measure the sum is not worse

# %% sliders
_titles = [axes.get_title() for axes in filmstrip.axes]
assert [' 72 channels' in _titles[0], ' 120 channels' in _titles[1], ' 120 channels' in _titles[2]] == [True] * 3
assert '65,676 parameters' in _titles[1] and '59,916 parameters' in _titles[2]
