"""What the cells of notebook 08 whose output nbval does not compare must have found."""

# %% untrained
for block, means in zip(blocks, untrained.values()):
    read = numpy.array([9 * layer[2].weight.shape[1] for layer in block.net])
    assert numpy.nanmax(abs(means / (2e4 / numpy.sqrt(numpy.pi * read))[:, None] - 1)) < 0.15

# %% train
assert len(history['test_acc']) == epochs and 0 <= history['test_acc'][-1] <= 1

# %% trained
lower = numpy.tril_indices(LAYERS)
assert all(numpy.isfinite(means[lower]).all() and numpy.isnan(means).sum() == LAYERS * (LAYERS - 1) // 2
           for means in trained.values())
assert not numpy.allclose(trained['block 1'][lower], untrained['block 1'][lower])
assert numpy.allclose(trained['block 2'][lower], 1e4 * d2l.mean_absolute_weights(blocks[1])[lower], rtol=1e-5)

# %% observe
assert means.shape == (LAYERS, LAYERS) and 0 <= least <= LAYERS - 1

# %% rescale
assert change < 1e-4 and abs(mean_weights(blocks[2])[-1, 1] / before - 1) < 1e-4

# %% cut-run
assert len(batches) > 0 and len(images_to_test.labels) == tested

# %% cut-all
assert len(CONNECTIONS) == 3 * LAYERS * (LAYERS + 1) // 2 and rise.shape == (len(CONNECTIONS), 2, tested)
# Nothing is left of the cuts: the parameters are what they were.
assert all((parameter.data().asnumpy() == value).all() for parameter, value in zip(parameters, start))
assert (rise[:, 0] != 0).any(axis=1).all()

# %% cut-table
assert error.shape == damage.shape and (fall <= 100).all()
assert sum(map(len, readers)) == len(CONNECTIONS) - 3

# %% cut-maps
assert numpy.nanmax(as_maps(damage[0], 'stale')['stale, block 2']) == max(
    value for (b, *_), value in zip(CONNECTIONS, damage[0]) if b == 1)

# %% predictors
assert all(len(values) == len(CONNECTIONS) for values in predictors.values())
assert (ranks(numpy.array([5, 1, 5])) == [2.5, 1, 2.5]).all()
assert widths[0] == 16 and max(widths) == 16 + 32 * LAYERS

# %% spearman
assert abs(spearman(numpy.arange(5), numpy.arange(5) ** 3) - 1) < 1e-9
assert all(-1 <= within(values, damage[1]) <= 1 for values in predictors.values())

# %% spearman-table
assert set(drawn) == {(name, column) for name in predictors for column in (0, 1)}

# %% spearman-layers
assert len(layers) == 3 * (LAYERS - 2) and all(CONNECTIONS[i[0]][1] == 0 for i in layers)
assert all(len({CONNECTIONS[j][2] for j in i}) == 1 and {widths[j] for j in i[1:]} == {16} for i in layers)
assert all(len(values) == len(layers) and (abs(values) <= 2 + 1e-9).all() for values in each.values())
assert (abs(each['sum |wγ|']) <= 1 + 1e-9).all() and len(each) == 3

# %% per-channel
assert all(low <= middle <= high for low, middle, high in intervals.values()) and len(intervals) == 2 * LAYERS

# %% per-channel-figure
assert all(0 <= count <= LAYERS - 1 for count in below)

# %% compress-run
assert len(numpy.intersect1d(plans['least weight'][0], plans['most weight'][0])) == 0
assert all((parameter.data().asnumpy() == value).all() for parameter, value in zip(parameters, start))

# %% long
assert all(layer - source >= reach for _, source, layer in far) and not set(far) & set(near)
assert all((parameter.data().asnumpy() == value).all() for parameter, value in zip(parameters, start))
