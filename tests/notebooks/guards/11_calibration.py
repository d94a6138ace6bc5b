# %% train
assert len(batches.labels) == images and len(history.rows) == epochs

# %% sets
assert len(report_images.labels) == half and (report_images.labels == test_data.labels[half:]).all()
assert not (validation_images.images[:100, None] == batches.images[None, :100]).all(axis=(2, 3)).any()

# %% first
assert right.mean() == dn.evaluate_accuracy(overtrained, report_images)
assert 0.1 <= confidence.min() and confidence.max() <= 1

# %% reliability
count, confident, correct = binned(confidence, right, 10)
assert count.sum() == len(right) and abs((count * correct).sum() / count.sum() - right.mean()) < 1e-9
assert abs((count * confident).sum() / count.sum() - confidence.mean()) < 1e-6
assert [round(float(limit), 3) for limit in wilson(0.5, 100)] == [0.404, 0.596]

# %% ece
assert abs(ece(numpy.full(10, 0.95), numpy.arange(10) > 0) - 0.05) < 1e-9
assert 0 < ece_if_calibrated(confidence, 2000).mean() < ece_if_calibrated(confidence, 100).mean()

# %% figure-bias
few, customary, many = (line.get_ydata() for line in axes.lines)
assert all(values[-1] < values[0] for values in (few, customary, many))
assert few[0] < customary[0] < many[0] and few[-1] < customary[-1] < many[-1]

# %% ece-report
assert abs(nll(numpy.zeros((7, 10)), numpy.arange(7)) - numpy.log(10)) < 1e-9

# %% temperature
assert nll(*validation, T) <= nll(*validation)
assert (judged(*report)[1] == judged(*report, T)[1]).all()

# %% figure-temperature
assert (judged(*report, T)[0].mean() < judged(*report)[0].mean()) == (T > 1)

# %% shipped
assert nll(*validation_careful, T_careful) <= nll(*validation_careful)
assert len(first.labels) <= half and (second.labels == test_data.labels[half:][:len(second.labels)]).all()

# %% figure-risk
assert abs(errors[-1] - (1 - judged(*report_careful)[1].mean())) < 1e-9 and coverage[-1] == 1

# %% classes
assert sum((answers == c).sum() for c in range(10)) == len(right)

# %% shift
assert len(labels) == len(report[1]) and (labels == report[1]).all()
assert brightness == 0.5 and abs(logits - report[0]).max() > 0
