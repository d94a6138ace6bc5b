"""What the cells of notebook 06 whose output nbval does not compare must have found."""

# %% trial-train
assert set(right) == {1, 0.5} and all(len(r) == len(labels) == len(test_iter.labels) for r in right.values())
assert all(0 < r.mean() < 1 for r in right.values())

# %% mcnemar
assert only_compressed - only_plain == right[0.5].sum() - right[1].sum()
assert only_plain + only_compressed == (right[1] != right[0.5]).sum()
assert mcnemar(5, 5) == 1 and mcnemar(0, 6) == 2 / 64 and mcnemar(1, 5) == mcnemar(5, 1) == 14 / 64

# %% mcnemar-result
assert abs((half_width / 1.96) ** 2 * n - ((right[1] ^ right[0.5]).mean() - difference ** 2)) < 1e-9
assert 0 <= shared <= 1 and abs(difference - (right[0.5].mean() - right[1].mean())) < 1e-9

# %% time-steps
assert numpy.allclose(sum(steps['plain'].values()), times['plain 3'])
assert numpy.allclose(sum(steps['B'].values()), times['B 6'])
assert len(times['B 6']) == rounds and times['B 6'].min() > 0

# %% time-figure
assert whole[0] <= whole[1] <= whole[2] and whole[2] <= times['B 6'].max()

# %% time-nets
assert set(per_image) == {(name, batch) for name in nets for batch in sizes}
assert work['BC'] < work['C'] < work['plain'] and work['BC'] < work['B'] < work['BC, k = 16']

# %% time-nets-figure
assert max(cost.values()) >= cost['BC'] >= min(cost.values()) > 0
