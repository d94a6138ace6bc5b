# ruff: noqa
# %% test-accuracy right: a loop with numpy
def accuracy(scores, labels):
    right = 0
    for row, label in zip(scores.asnumpy(), labels.asnumpy()):
        right += row.argmax() == label
    return right / len(labels)

# %% test-accuracy right: an array with no axis
def accuracy(scores, labels):
    return (scores.argmax(axis=-1).astype('int32') == labels).astype('float32').mean()

# %% test-accuracy right: a lambda with sort
accuracy = lambda s, y: (numpy.argsort(s.asnumpy(), axis=1)[:, -1] == y.asnumpy()).mean()

# %% test-accuracy right: Gluon's metric
def accuracy(scores, labels):
    metric = mx.metric.Accuracy()
    metric.update([labels.as_nd_ndarray()], [scores.as_nd_ndarray()])
    return metric.get()[1]

# %% test-accuracy wrong: types are not the same | astype
def accuracy(scores, labels):
    return float((scores.argmax(axis=1) == labels).mean())

# %% test-accuracy wrong: the number, no share | Divide by what
def accuracy(scores, labels):
    return float((scores.argmax(axis=1).astype('int32') == labels).sum())

# %% test-accuracy wrong: axis 0 | axis=1
def accuracy(scores, labels):
    return float((scores.argmax(axis=0).astype('int32') == labels).astype('float32').mean())

# %% test-accuracy wrong: percent | percent
def accuracy(scores, labels):
    return 100 * float((scores.argmax(axis=1).astype('int32') == labels).astype('float32').mean())

# %% test-accuracy wrong: divided by a batch of 256 | divided by 256
def accuracy(scores, labels):
    return float((scores.argmax(axis=1).astype('int32') == labels).sum()) / 256

# %% test-accuracy wrong: one value per row | mean
def accuracy(scores, labels):
    return scores.argmax(axis=1).astype('int32') == labels

# %% test-accuracy wrong: prints | return
def accuracy(scores, labels):
    print(float((scores.argmax(axis=1).astype('int32') == labels).astype('float32').mean()))

# %% test-accuracy wrong: the largest of all | axis
def accuracy(scores, labels):
    return float((int(scores.argmax()) == labels.asnumpy()).mean())

# %% test-accuracy wrong: the package's | should take
from d2l_densenet import evaluate_accuracy as accuracy
accuracy = lambda net, data_iter, ctx: evaluate_accuracy(net, data_iter, ctx)

# %% test-train-step right: the mean, and step of 1
def train_step(net, loss, trainer, X, y):
    with autograd.record():
        mean = loss(net(X), y).mean()
    mean.backward()
    trainer.step(1)
    return mean

# %% test-train-step right: zero_grad first
def train_step(net, loss, trainer, X, y):
    net.collect_params().zero_grad()
    with autograd.record():
        l = loss(net(X), y)
    autograd.backward(l)
    trainer.step(batch_size=X.shape[0])
    return l.mean().item()

# %% test-train-step right: scaled by hand, numpy's number
def train_step(net, loss, trainer, X, y):
    with autograd.record():
        l = loss(net(X), y).sum() / len(X)
    l.backward()
    trainer.allreduce_grads()
    trainer.update(1)
    return l.asnumpy()

# %% test-train-step right: backward inside of record, numpy's float
def train_step(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
        losses.backward()
    trainer.step(y.size)
    return numpy.float32(losses.asnumpy().mean())

# %% test-train-step wrong: step of 1 on a sum | sum of the losses
def train_step(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    trainer.step(1)
    return float(losses.mean())

# %% test-train-step wrong: divided twice | twice
def train_step(net, loss, trainer, X, y):
    with autograd.record():
        l = loss(net(X), y).mean()
    l.backward()
    trainer.step(len(y))
    return float(l)

# %% test-train-step wrong: a batch of 64 | trainer.step(64)
def train_step(net, loss, trainer, X, y):
    with autograd.record():
        l = loss(net(X), y)
    l.backward()
    trainer.step(64)
    return float(l.mean())

# %% test-train-step wrong: nothing recorded | autograd.record()
def train_step(net, loss, trainer, X, y):
    losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return float(losses.mean())

# %% test-train-step wrong: no step | trainer.step
def train_step(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    return float(losses.mean())

# %% test-train-step wrong: the loss after the step | after the step
def train_step(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return float(loss(net(X), y).mean())

# %% test-train-step wrong: not in training mode | training mode
def train_step(net, loss, trainer, X, y):
    with autograd.record(train_mode=False):
        losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return float(losses.mean())

# %% test-train-step wrong: PyTorch | trainer.step
def train_step(net, loss, trainer, X, y):
    trainer.zero_grad()
    l = loss(net(X), y)
    l.backward()
    trainer.step()
    return l.item()

# %% test-train-step wrong: the sum is returned | sum over the batch
def train_step(net, loss, trainer, X, y):
    with autograd.record():
        losses = loss(net(X), y)
    losses.backward()
    trainer.step(len(y))
    return float(losses.sum())

# %% test-learning-rate right: MXNet's
def learning_rate(step, num_steps, peak, warmup_steps):
    return mx.lr_scheduler.CosineScheduler(num_steps, peak, 0, warmup_steps=warmup_steps)(step)

# %% test-learning-rate right: the square of a half angle, an array
def learning_rate(step, num_steps, peak, warmup_steps):
    if warmup_steps and step <= warmup_steps:
        return np.array(peak * step / warmup_steps)
    return numpy.array([peak * math.cos(math.pi / 2 * (step - warmup_steps) / (num_steps - warmup_steps)) ** 2])

# %% test-learning-rate right: one expression
learning_rate = lambda t, n, p, w: p * (t / max(w, 1) if t < w else 0.5 * (1 + numpy.cos(numpy.pi * (t - w) / (n - w))))

# %% test-learning-rate wrong: cosine over all steps | where the warm-up ends
def learning_rate(step, num_steps, peak, warmup_steps):
    if step < warmup_steps:
        return peak * step / warmup_steps
    return peak * (1 + math.cos(math.pi * step / num_steps)) / 2

# %% test-learning-rate wrong: no warm-up | no warm-up
def learning_rate(step, num_steps, peak, warmup_steps):
    return peak * (1 + math.cos(math.pi * step / num_steps)) / 2

# %% test-learning-rate wrong: one step ahead | one step ahead
def learning_rate(step, num_steps, peak, warmup_steps):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * (1 + math.cos(math.pi * (step - warmup_steps) / (num_steps - warmup_steps))) / 2

# %% test-learning-rate wrong: divides by 0 | may be 0
def learning_rate(step, num_steps, peak, warmup_steps):
    warm = step / warmup_steps
    return peak * min(warm, (1 + math.cos(math.pi * (step - warmup_steps) / (num_steps - warmup_steps))) / 2)

# %% test-learning-rate wrong: no half | half
def learning_rate(step, num_steps, peak, warmup_steps):
    if step < warmup_steps:
        return peak * step / warmup_steps
    return peak * (1 + math.cos(math.pi * (step - warmup_steps) / (num_steps - warmup_steps)))

# %% test-learning-rate wrong: a straight line | straight line
def learning_rate(step, num_steps, peak, warmup_steps):
    if step < warmup_steps:
        return peak * step / warmup_steps
    return peak * (num_steps - step) / (num_steps - warmup_steps)

# %% test-learning-rate wrong: a quarter of a cosine | quarter
def learning_rate(step, num_steps, peak, warmup_steps):
    if step < warmup_steps:
        return peak * step / warmup_steps
    return peak * math.cos(math.pi / 2 * (step - warmup_steps) / (num_steps - warmup_steps))

# %% test-refresh right: itertools.cycle, zero_grad
import itertools


def refresh_statistics(net, train_iter, num_batches):
    net.collect_params().zero_grad()
    for X, y in itertools.islice(itertools.cycle(train_iter), num_batches):
        with autograd.record():
            loss(net(X), y).mean().backward()

# %% test-refresh right: an iterator and StopIteration
def refresh_statistics(net, train_iter, num_batches):
    batches = iter(train_iter)
    for _ in range(num_batches):
        try:
            X, y = next(batches)
        except StopIteration:
            batches = iter(train_iter)
            X, y = next(batches)
        with autograd.record():
            out = net(X)
        out.backward()
    return net

# %% test-refresh right: a return in the middle
def refresh_statistics(net, loader, n):
    count = 0
    while True:
        for X, y in loader:
            if count >= n:
                return
            count += 1
            with autograd.record():
                l = gluon.loss.SoftmaxCrossEntropyLoss()(net(X.as_in_ctx(mx.cpu())), y)
            autograd.backward([l])
            mx.nd.waitall()

# %% test-refresh wrong: whole epochs | the inner one
def refresh_statistics(net, train_iter, num_batches):
    done = 0
    while done < num_batches:
        for X, y in train_iter:
            with autograd.record():
                losses = loss(net(X), y)
            losses.backward()
            done += 1

# %% test-refresh wrong: ends with the loader | begun again
def refresh_statistics(net, train_iter, num_batches):
    for i, (X, y) in enumerate(train_iter):
        if i == num_batches:
            break
        with autograd.record():
            losses = loss(net(X), y)
        losses.backward()

# %% test-refresh wrong: one batch too many | It did 3
def refresh_statistics(net, train_iter, num_batches):
    done = 0
    while done <= num_batches:
        for X, y in train_iter:
            if done > num_batches:
                break
            with autograd.record():
                losses = loss(net(X), y)
            losses.backward()
            done += 1

# %% test-refresh wrong: makes steps | changes weights
def refresh_statistics(net, train_iter, num_batches):
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.01})
    done = 0
    while done < num_batches:
        for X, y in train_iter:
            if done == num_batches:
                break
            with autograd.record():
                losses = loss(net(X), y)
            losses.backward()
            trainer.step(len(y))
            done += 1

# %% test-refresh wrong: not recorded | not changed at all
def refresh_statistics(net, train_iter, num_batches):
    done = 0
    while done < num_batches:
        for X, y in train_iter:
            if done == num_batches:
                break
            net(X)
            done += 1

# %% test-refresh wrong: the first batch again and again | Is each batch used once
def refresh_statistics(net, train_iter, num_batches):
    for _ in range(num_batches):
        for X, y in train_iter:
            break
        with autograd.record():
            losses = loss(net(X), y)
        losses.backward()

# %% test-refresh wrong: num_batches epochs | It did 6
def refresh_statistics(net, train_iter, num_batches):
    for _ in range(num_batches):
        for X, y in train_iter:
            with autograd.record():
                losses = loss(net(X), y)
            losses.backward()

# %% test-rates right: a dictionary
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    def once(rate, seed):
        net = new_network(seed)
        train(net, train_iter, rate)
        return evaluate_accuracy(net, valid_iter)
    return {rate: [once(rate, seed) for seed in seeds] for rate in rates}

# %% test-rates right: seeds outside, an array
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    table = numpy.zeros((len(rates), len(seeds)))
    for j, seed in enumerate(seeds):
        for i, rate in enumerate(rates):
            net = new_network(seed=seed)
            train(net, train_iter, rate)
            table[i, j] = evaluate_accuracy(net, valid_iter)
    return table

# %% test-rates right: its own accuracy, arrays in lists
def compare_rates(rates, seeds, make, fit, data, held):
    rows = []
    for rate in rates:
        nets = [make(seed) for seed in seeds]
        for net in nets:
            fit(net, data, rate)
        rows.append(tuple(np.array(sum(int((net(X).argmax(axis=1).astype('int32') == y).sum()) for X, y in held)
                                   / sum(len(y) for _, y in held)) for net in nets))
    return rows

# %% test-rates wrong: one network through all rates | through all rates
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    table = {rate: [] for rate in rates}
    for seed in seeds:
        net = new_network(seed)
        for rate in rates:
            train(net, train_iter, rate)
            table[rate].append(evaluate_accuracy(net, valid_iter))
    return table

# %% test-rates wrong: one network through everything | through all runs
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    net = new_network(seeds[0])
    table = []
    for rate in rates:
        table.append([])
        for seed in seeds:
            train(net, train_iter, rate)
            table[-1].append(evaluate_accuracy(net, valid_iter))
    return table

# %% test-rates wrong: invented numbers | 0 of 6 networks were trained
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    return [[0.71, 0.7, 0.72][:len(seeds)], [0.8, 0.79, 0.8][:len(seeds)], [0.6, 0.5, 0.6][:len(seeds)]][:len(rates)]

# %% test-rates wrong: training images | training images
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    table = []
    for rate in rates:
        table.append([])
        for seed in seeds:
            net = new_network(seed)
            train(net, train_iter, rate)
            table[-1].append(evaluate_accuracy(net, train_iter))
    return table

# %% test-rates wrong: test images | raised
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    test_iter = load_data_fashion_mnist(64, limit=64)[1]
    table = []
    for rate in rates:
        table.append([])
        for seed in seeds:
            net = new_network(seed)
            train(net, train_iter, rate)
            table[-1].append(evaluate_accuracy(net, test_iter))
    return table

# %% test-rates wrong: means | one number for each seed
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    means = []
    for rate in rates:
        found = []
        for seed in seeds:
            net = new_network(seed)
            train(net, train_iter, rate)
            found.append(evaluate_accuracy(net, valid_iter))
        means.append(numpy.mean(found))
    return means

# %% test-rates wrong: without the seed | new_network given
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    table = []
    for rate in rates:
        table.append([])
        for seed in seeds:
            net = new_network()
            train(net, train_iter, rate)
            table[-1].append(evaluate_accuracy(net, valid_iter))
    return table

# %% test-rates wrong: the best alone | row of numbers
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    found = {}
    for rate in rates:
        net = new_network(seeds[0])
        train(net, train_iter, rate)
        found[rate] = evaluate_accuracy(net, valid_iter)
    return max(found, key=found.get)

# %% test-rates wrong: measured before training | not trained yet
def compare_rates(rates, seeds, new_network, train, train_iter, valid_iter):
    table = []
    for rate in rates:
        table.append([])
        for seed in seeds:
            net = new_network(seed)
            table[-1].append(evaluate_accuracy(net, valid_iter))
            train(net, train_iter, rate)
    return table

# %% test-dense-mlp right: the activation is a layer of its own
class DenseMLP(nn.Block):
    def __init__(self, num_layers, growth_rate):
        super().__init__()
        self.parts = [nn.Sequential() for _ in range(num_layers)]
        for i, part in enumerate(self.parts):
            part.add(nn.Dense(growth_rate), nn.Activation('relu'))
            self.register_child(part, f'part{i}')

    def forward(self, X):
        for part in self._children.values():
            X = np.concatenate((X, part(X)), axis=-1)
        return X

# %% test-dense-mlp right: keeps a list of all that was made
class DenseMLP(nn.Block):
    def __init__(self, L, k):
        super().__init__()
        self.fc = nn.Sequential()
        self.fc.add(*[nn.Dense(k, use_bias=False) for _ in range(L)])

    def forward(self, X):
        made = [X]
        for layer in self.fc:
            made.append(npx.relu(layer(np.concatenate(made, axis=1))))
        return np.hstack(made)

# %% test-dense-mlp right: a HybridBlock
class DenseMLP(nn.HybridBlock):
    def __init__(self, num_layers, growth_rate):
        super().__init__()
        self.net = nn.HybridSequential()
        for _ in range(num_layers):
            self.net.add(nn.Dense(growth_rate, activation='relu'))

    def hybrid_forward(self, F, X):
        for layer in self.net:
            X = F.np.concatenate([X, layer(X)], axis=1)
        return X

# %% test-dense-mlp wrong: a plain chain | plain chain
class DenseMLP(nn.Block):
    def __init__(self, num_layers, growth_rate):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_layers):
            self.net.add(nn.Dense(growth_rate, activation='relu'))

    def forward(self, X):
        return self.net(X)

# %% test-dense-mlp wrong: linear | nonlinearity
class DenseMLP(nn.Block):
    def __init__(self, num_layers, growth_rate):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_layers):
            self.net.add(nn.Dense(growth_rate))

    def forward(self, X):
        for layer in self.net:
            X = np.concatenate([X, layer(X)], axis=1)
        return X

# %% test-dense-mlp wrong: a plain list | plain list
class DenseMLP(nn.Block):
    def __init__(self, num_layers, growth_rate):
        super().__init__()
        self.net = [nn.Dense(growth_rate, activation='relu') for _ in range(num_layers)]

    def forward(self, X):
        for layer in self.net:
            X = np.concatenate([X, layer(X)], axis=1)
        return X

# %% test-dense-mlp wrong: axis 0 | along axis 0, which is the batch
class DenseMLP(nn.Block):
    def __init__(self, num_layers, growth_rate):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_layers):
            self.net.add(nn.Dense(growth_rate, activation='relu'))

    def forward(self, X):
        for layer in self.net:
            X = np.concatenate([X, layer(X)], axis=0)
        return X

# %% test-dense-mlp wrong: one layer used again | Dense 3 times
class DenseMLP(nn.Block):
    def __init__(self, num_layers, growth_rate):
        super().__init__()
        self.net = nn.Sequential()
        self.net.add(*[nn.Dense(growth_rate, activation='relu')] * num_layers)

    def forward(self, X):
        for layer in self.net:
            X = np.concatenate([X, layer(X)], axis=1)
        return X

# %% test-dense-mlp wrong: the new ones first | input
class DenseMLP(nn.Block):
    def __init__(self, num_layers, growth_rate):
        super().__init__()
        self.net = nn.Sequential()
        for _ in range(num_layers):
            self.net.add(nn.Dense(growth_rate, activation='relu'))

    def forward(self, X):
        for layer in self.net:
            X = np.concatenate([layer(X), X], axis=1)
        return X

# %% test-dense-mlp wrong: adds as a ResNet does | plain chain
class DenseMLP(nn.Block):
    def __init__(self, num_layers, growth_rate):
        super().__init__()
        self.first = nn.Dense(growth_rate, activation='relu')
        self.net = nn.Sequential()
        for _ in range(num_layers - 1):
            self.net.add(nn.Dense(growth_rate, activation='relu'))

    def forward(self, X):
        X = self.first(X)
        for layer in self.net:
            X = X + layer(X)
        return X
