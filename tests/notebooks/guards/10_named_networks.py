# %% pretrain
again = network(0)
assert dn.load_pretrained(again, f'{folder.name}/old-{SEEDS[-1]}.safetensors').missing == ()
old_classes = loader(*pick(test_data, OLD, 1000), 250)
assert dn.evaluate_accuracy(again, old_classes) == dn.evaluate_accuracy(net, old_classes)  # the file is what was shown

# %% compare
assert all(set(rates[way]) <= set(RATES[way]) and len(results[way]) == len(SEEDS) for way in RATES)
assert {*OLD}.isdisjoint(NEW) and len(images) == len(NEW) and images.shape[1] == 100
# The last value of the table is that of the rate beside it.
repeated = tuned('frozen features', SEEDS[-1], rates['frozen features'][-1], images[:, :50], labels[:, :50], epochs)
assert dn.evaluate_accuracy(repeated, test_batches) == results['frozen features'][-1]

# %% result
assert interval(numpy.arange(1, 6)) == '+3.000 (+1.037 to +4.963)'
assert all(0 <= value <= 1 for values in results.values() for value in values)

# %% figure-ways
assert figure._suptitle.get_text().endswith(ways[-1])
assert results[ways[-1]].mean() == max(values.mean() for values in results.values())

# %% ten-classes
assert net.output.weight.shape == (10, 160)

# %% figure-cam
for column, i in enumerate(shown):
    texts = [axes[row, column].get_title().split('\n')[1] for row in (1, 2)]
    assert (texts[0] == texts[1]) == (answers[i] == labels[i])
    assert dn.FASHION_MNIST_LABELS.index(texts[0]) == logits[i].argmax()
