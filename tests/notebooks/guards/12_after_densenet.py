# %% time
assert turns.shape[1] == 2 and (turns > 0).all() and len(ratios) == len(turns)

# %% accuracy
assert [len(values) for values in found.values()] == [5, 5]
assert found[name][-1] == dn.evaluate_accuracy(net, test_data)

# %% accuracy-interval
assert interval(numpy.arange(1, 6)) == '300.00 (103.68 to 496.32)'
assert all(0 <= value <= 1 for values in found.values() for value in values)

# %% unet-result
assert all(0 <= share <= 100 for values in shares.values() for share in values)
assert sum(p.data().size for p in runs[True][0].collect_params().values()) > \
    sum(p.data().size for p in runs[False][0].collect_params().values())

# %% figure-unet
assert better == ('more' if shares[True].mean() > shares[False].mean() else 'fewer')
assert better in figure._suptitle.get_text()
