# %% figure-pairs
ordered = sorted(resnets, key=work.get)
for name in densenets:
    at_equal_work = numpy.interp(work[name], [work[other] for other in ordered], [size[other] for other in ordered])
    assert size[name] < at_equal_work, name

# %% stacks
assert rms['chain', 0, 32] < 1e-4 and rms['chain', 1, 32] > 20
assert rms['residual', 0, 32] > 20 and 2 < rms['residual', 1, 32] < 10

# %% figure-stacks
without_bn, with_bn = (axis.lines[0].get_ydata() for axis in axes)
assert without_bn[-1] < 1e-3 * without_bn[0] and with_bn[-1] > 10 * with_bn[0]

# %% counts
assert None not in ledger.verdict.values()
