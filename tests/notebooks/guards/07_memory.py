"""What the cells of notebook 07 whose output nbval does not compare must have found."""

# %% measure-run
assert all((rest[side] > 0).all() and len(peaks[side]) == len(depths) for side in sides)
assert all(peaks[side][-1] > peaks[side][0] for side in sides)

# %% measure-fit
assert abs(square_term(3 * numpy.array(depths) ** 2 + numpy.array(depths))[0] - 3) < 1e-6
assert len(depths) > 3

# %% measure-figure
assert numpy.allclose(numpy.sum(parts, axis=1) + rest[sides[-1]] / 1e6, peaks[sides[-1]] / 1e6)

# %% save-run
assert all(after > counted(L, 2, side)[1] for L, after in zip(depths, with_again))
# What is left out by recomputing is worth a measurement where there are many layers.
assert depths[-1] < 30 or with_again[-1] < 0.5 * peaks[side][-1]

# %% save-figure
assert len(with_again) == len(depths)

# %% cost
assert set(times) == {(way, step) for way in factors for step in ('ordinary_step', 'recomputing_step')}
assert all((factor > 0).all() and len(factor) == rounds for factor in factors.values())

# %% cost-table
assert set(factors) == {'imperative', 'hybridized'}
