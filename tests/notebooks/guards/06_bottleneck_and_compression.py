"""What the cells of notebook 06 whose output nbval does not compare must have found."""

# %% trial-train
assert set(right) == {(theta, seed) for theta in (1, 0.5) for seed in range(seeds)}
assert len({len(r) for r in right.values()}) == 1 and all(0 < r.mean() < 1 for r in right.values())

# %% mcnemar
assert mcnemar(5, 5) == 1 and mcnemar(0, 6) == 2 / 64 and mcnemar(1, 5) == mcnemar(5, 1) == 14 / 64

# %% mcnemar-result
assert c - b == compressed.sum() - plain.sum() and c + b == (compressed != plain).sum()
assert abs((paired / 1.96) ** 2 * n - ((compressed ^ plain).mean() - difference ** 2)) < 1e-9
assert 0 <= shared <= 1
assert abs(points[-1] - 100 * difference) < 1e-9 and half > 0 and len(points) == seeds

# %% time-steps
assert numpy.allclose(sum(steps['plain'].values()), best['plain 3'])
assert numpy.allclose(sum(steps['B'].values()), best['B 6'])
assert len(times['B 6']) == runs and best['B 6'].min() == times['B 6'].min() > 0

# %% time-figure
assert whole[0] <= whole[1] <= whole[2] <= times['B 6'].max()

# %% time-nets
assert set(per_image) == {(name, batch) for name in nets for batch in sizes}
assert work['BC'] < work['C'] < work['plain'] and work['BC'] < work['B'] < work['BC, k = 16']

# %% time-nets-figure
assert max(cost.values()) >= cost['BC'] >= min(cost.values()) > 0
