"""What 03_whole_network shows where its output is not compared."""

# %% picture
shown = plots.describe(plots.draw_network(trained_network(), image, labels=FASHION_MNIST_LABELS))
assert image.shape == (1, 1, 48, 48) and '48 x 48 pixels become 248 numbers' in shown
assert 'dense block 4: 248 channels, 1 x 1' in shown
# The text speaks of a shoe.
assert 'Highest logit: ankle boot' in shown or test_iter.source.name == 'synthetic'
