# %% batch
assert X.shape == (32, 1, 28, 28) and len(set(y.asnumpy().tolist())) > 1

# %% p1-learn-code
assert 2.2 < curves['no BN'][0] < 2.4 and abs(curves['no BN'][-1] - 2.303) < 0.15

# %% p1-spread
spreads = []
for one in (stage, stage_with_bn):
    net = Program1(one, halvers)
    initialize(net)
    with autograd.train_mode():
        spreads.append(float(net(X).std(axis=0).mean()))
assert spreads[1] > 100 * spreads[0]
assert curves['BN'][-1] < curves['no BN'][-1] - 0.02

# %% p2-learn
assert curves['shortcut'][-1] < curves['no shortcut'][-1] - 0.1
assert 2 < curves['no shortcut'][-1] < curves['no shortcut'][0]

# %% figure
for axis, (wrong, right) in zip(axes, (('no BN', 'BN'), ('no shortcut', 'shortcut'))):
    lines = {line.get_label(): line.get_ydata() for line in axis.lines}
    assert lines[right][-1] < lines[wrong][-1] and len(lines[right]) == steps
