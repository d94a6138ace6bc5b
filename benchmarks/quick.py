"""Measure `make train`: minutes from the prompt and test accuracy, beside PyTorch with the same recipe.

``python benchmarks/quick.py`` runs ``make train`` and the same training in PyTorch (the network of
tests/test_oracles.py in float32 with channels last, which is the fastest there; the same images, augmentation, schedule
and optimizer, initial values by the same rule), each with several seeds, one at a time and in turn, with all cores. It
writes ``records/quick.json``, a picture, and a table in docs/measurements.md. The network and settings of `make train`
were chosen on held-out images (``benchmarks/NOTES.md``).
"""

import itertools
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time

from harness import RECORDS, ROOT, Benchmark, markdown, measuring

#: What `make train` says: the Makefile is read, so that this cannot differ from it.
MAKEFILE = dict(re.findall(r'^(NETWORK|EPOCHS|SIZE|RECIPE) \?= (\S+)', (ROOT / 'Makefile').read_text(), re.MULTILINE))
GOAL = 0.930


def package(seed):
    """Run `make train`; the rows of its history, with the seconds since the start, and the data's checksum."""
    with tempfile.TemporaryDirectory() as directory:
        start = time.time()
        subprocess.run(['make', 'train', f'SEED={seed}', 'DATA=fashion-mnist',
                        f'ARGS=--device cpu --output {directory}/run'], cwd=ROOT, check=True)
        seconds = time.time() - start
        read = {name: json.loads(open(f'{directory}/run/{name}.json').read()) for name in ('history', 'config')}
    rows = read['history']['rows']
    # What is left is start-up, and some two seconds for a picture at the end, counted as if they came first.
    ends = itertools.accumulate((row['seconds'] for row in rows), initial=seconds - sum(row['seconds'] for row in rows))
    return {'curve': [[end, row['test_acc']] for end, row in zip(list(ends)[1:], rows)],
            'seconds': seconds, 'data': read['config']['data']['checksum']}


def torch(seed):
    """The same training in PyTorch, in a process of its own."""
    start = time.time()
    found = BENCHMARK.process({'seed': seed, 'start': start})
    return {**found, 'seconds': time.time() - start}


def muon(parameters, momenta, rate, recipe):
    """One step, as in the paper of Muon: an independent writing of d2l_densenet/optimizers.py."""
    import torch
    with torch.no_grad():
        for parameter, momentum in zip(parameters, momenta):
            decay, gradient = 1 - rate * recipe.weight_decay, parameter.grad
            if parameter.ndim < 3:
                decay, gradient = 1, gradient + recipe.weight_decay * parameter
            momentum.mul_(recipe.momentum).add_(gradient)
            step = gradient + recipe.momentum * momentum
            scale = 5.0
            if parameter.ndim > 2:
                X = step.flatten(1)
                scale = max(1, X.shape[0] / X.shape[1]) ** 0.5
                wide = X if X.shape[0] <= X.shape[1] else X.T
                wide = wide / wide.norm()
                for _ in range(5):
                    A = wide @ wide.T
                    wide = 3.4445 * wide + (-4.7750 * A + 2.0315 * A @ A) @ wide
                step = (wide if X.shape[0] <= X.shape[1] else wide.T).view_as(parameter)
            parameter.mul_(decay).sub_(step, alpha=rate * scale)


def train_in_torch(job):
    import torch

    from d2l_densenet import load_data_fashion_mnist
    from d2l_densenet.named import named_network
    from d2l_densenet.recipes import RECIPES
    sys.path.insert(0, str(ROOT / 'tests'))
    import test_oracles
    recipe, size, epochs = RECIPES[MAKEFILE['RECIPE']], int(MAKEFILE['SIZE']), int(MAKEFILE['EPOCHS'])
    torch.manual_seed(job['seed'])
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    ours = named_network(MAKEFILE['NETWORK'], classes=10, in_channels=1, size=(size, size))
    net = test_oracles.Network(**ours.config)
    for layer in net.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
    net = net.to(memory_format=torch.channels_last)
    train_iter, test_iter = load_data_fashion_mnist(
        recipe.batch_size, resize=size, data='fashion-mnist', seed=job['seed'], **recipe.loader_options())
    parameters = list(net.parameters())
    momenta = [torch.zeros_like(parameter) for parameter in parameters]
    steps, done, curve = epochs * len(train_iter), 0, []
    warm_up = round(recipe.warmup * steps)

    def batches(loader):
        for X, y in loader:
            yield (torch.from_numpy(X.asnumpy()).to(memory_format=torch.channels_last),
                   torch.from_numpy(y.asnumpy()).long())
    for _ in range(epochs):
        net.train()
        for X, y in batches(train_iter):
            done += 1
            share = done / warm_up if done <= warm_up else (
                1 + math.cos(math.pi * (done - warm_up) / (steps - warm_up))) / 2
            loss = torch.nn.functional.cross_entropy(net(X), y, label_smoothing=recipe.label_smoothing)
            for parameter in parameters:
                parameter.grad = None
            loss.backward()
            muon(parameters, momenta, recipe.learning_rate * share, recipe)
        net.eval()
        with torch.inference_mode():
            right = sum(int((net(X).argmax(1) == y).sum()) for X, y in batches(test_iter))
        curve.append([time.time() - job['start'], right / test_iter.num_examples])
    return {'curve': curve, 'torch': torch.__version__}


def table(record):
    rows = []
    for name, runs in record['runs'].items():
        last = [run['curve'][-1][1] for run in runs]
        rows.append((name, len(runs), ', '.join(f'{found:.4f}' for found in last), f'{sum(last) / len(last):.4f}',
                     ', '.join(f'{run["seconds"] / 60:.1f}' for run in runs)))
    settings = record['settings']
    return '\n\n'.join([
        markdown([f'`{settings["NETWORK"]}`, recipe `{settings["RECIPE"]}`, {settings["EPOCHS"]} epochs at '
                  f'{settings["SIZE"]} pixels', '>seeds',
                  'test accuracy, each seed', '>mean', '>minutes from the prompt'], rows),
        BENCHMARK.measured(record, f'{record["machine"]["cores"]} cores', f'PyTorch {record["torch"]}',
                           f'data {record["data"]}')])


def draw(record):
    from matplotlib import pyplot

    from d2l_densenet import plots
    with plots.style():
        figure, axes = pyplot.subplots(figsize=(8, 4.5), layout='constrained')
        for (name, runs), color, mark in zip(record['runs'].items(), (plots.DENSENET, '#555555'), 'os'):
            for number, run in enumerate(runs):
                seconds, accuracies = zip(*run['curve'])
                axes.plot([second / 60 for second in seconds], accuracies, mark + '-', color=color, linewidth=1.2,
                          markersize=5, label=None if number else name)
        axes.axhline(GOAL, color='#999999', linewidth=0.8)
        axes.set(xlabel='minutes from the prompt', ylabel='accuracy on the test images', xlim=(0, None))
        axes.legend(loc='lower right')
        last = {name: max(run['seconds'] for run in runs) / 60 for name, runs in record['runs'].items()}
        slowest = ', '.join(f'{name} {value:.1f} minutes' for name, value in last.items())
        axes.set_title(f'same recipe, slowest seed: {slowest}')
        figure.savefig(RECORDS / 'quick.png', dpi=100)


BENCHMARK = Benchmark(__file__, table)


def main():
    options = BENCHMARK.options(__doc__, seeds=(3, 'seeds 0 to N-1')).parse_args()
    if options.child:
        print(json.dumps(train_in_torch(json.loads(options.child))))
        return
    if not options.table:
        runs = {'make train': [], 'PyTorch': []}
        with measuring(settings=MAKEFILE) as record:
            for seed in range(options.seeds):
                for name, run in list(zip(runs, (package, torch)))[::-1 if seed % 2 else 1]:
                    runs[name].append(run(seed))
                    found = runs[name][-1]
                    curve = ', '.join(f'{accuracy:.4f} at {seconds:.0f} s' for seconds, accuracy in found['curve'])
                    print(f'{name}, seed {seed}: {curve}; {found["seconds"]:.0f} s in all', flush=True)
        record.update(runs=runs, torch=runs['PyTorch'][0]['torch'], data=runs['make train'][0]['data'])
        BENCHMARK.write(record)
    record = BENCHMARK.read()
    draw(record)
    BENCHMARK.publish(record)


if __name__ == '__main__':
    main()
