"""Train ResNets and DenseNets of several widths, with several seeds: the numbers of notebooks 05 and 09.

`curves`: 10,000 training images, 3 epochs, three widths of each family. `few`: 1,000 images for 16 epochs and 4,000
for 4, networks of about equal size, a dense one with dropout too. The learning rate is the one of RATES that did best
on validation images (`rates`: seed 100, the family's middle width; for `few` each network, on 1,000 images). A seed
draws the training images (never one of the last 5,000, which validate), their order and the initial values: all
networks of one seed see the same images in the same order.

Each run goes to records/families.json when it is over, with one bit for each test image (was it classified correctly?),
so that networks can be compared in pairs. Runs that are there are skipped, so the command can be repeated.
"""

import base64
import concurrent.futures
import multiprocessing
import os
import statistics
import time

from harness import Benchmark, markdown, measuring, now

FAMILIES = ('DenseNet', 'pre-activation ResNet', 'post-activation ResNet')
WIDTHS = {'DenseNet': (8, 16, 32), 'pre-activation ResNet': (16, 32, 48), 'post-activation ResNet': (16, 32, 48)}
RATES = (0.03, 0.1, 0.3, 1.0)
VALIDATION, SIZE, BATCH, MOMENTUM, DECAY, WARMUP = 5_000, 28, 64, 0.9, 5e-4, 0.2
CURVES, FEW = (10_000, 3), ((1_000, 16), (4_000, 4))     # (training images, epochs)
#: The networks of `few`: name, width, dropout.
SMALL = (('DenseNet', 16, 0.0), ('DenseNet', 16, 0.2), ('pre-activation ResNet', 24, 0.0), ('chain', 24, 0.0))
RATE_SEED = 100                                          # of the runs that choose the rates
KEY = ('experiment', 'network', 'width', 'dropout', 'images', 'epochs', 'rate', 'seed')


def build(network, width, dropout=0.0):
    from d2l_densenet import DenseNet
    from d2l_densenet.resnets import small_resnet
    if network == 'DenseNet':
        return DenseNet(width, (6, 6), 2 * width, dropout=dropout, pooling_convention='full')
    return small_resnet(width, network.removesuffix(' ResNet'))


def run(experiment, network, width, dropout, images, epochs, rate, seed):
    """Train one network and evaluate it; the entry of the record."""
    import mxnet as mx
    import numpy

    from d2l_densenet import ImageLoader, fit, he_initialize, load_data_fashion_mnist, predict
    mx.npx.set_np()
    train, test = load_data_fashion_mnist(500, data='fashion-mnist')
    drawn = numpy.random.default_rng(seed).permutation(len(train.images) - VALIDATION)[:images]

    def judged(chosen):
        probabilities, labels = predict(net, ImageLoader(train.images[chosen], train.labels[chosen], 500))
        return scores(probabilities, labels)

    def scores(probabilities, labels):
        right = probabilities.argmax(axis=1) == labels
        return float(-numpy.log(probabilities[numpy.arange(len(labels)), labels] + 1e-30).mean()), right

    net = build(network, width, dropout)
    he_initialize(net, seed, (1, SIZE, SIZE))
    net.hybridize(static_alloc=True, static_shape=True)
    loader = ImageLoader(train.images[drawn], train.labels[drawn], BATCH, shuffle=True, seed=seed)
    steps = epochs * len(loader)
    schedule = mx.lr_scheduler.CosineScheduler(steps, base_lr=rate, final_lr=0, warmup_steps=round(WARMUP * steps))
    began = time.process_time()
    fit(net, loader, None, epochs, optimizer='nag', optimizer_params={'momentum': MOMENTUM, 'wd': DECAY},
        lr_scheduler=schedule, seed=seed, progress=False)
    seconds = time.process_time() - began
    entry = dict(zip(KEY, (experiment, network, width, dropout, images, epochs, rate, seed)))
    entry['train_loss'], right = judged(drawn[:2_000])
    entry['train_acc'] = float(right.mean())
    entry['validation_loss'], right = judged(slice(len(train.images) - VALIDATION, None))
    entry['validation_acc'] = float(right.mean())
    entry['test_loss'], right = scores(*predict(net, test))
    return {**entry, 'test_acc': float(right.mean()), 'seconds': round(seconds, 1),
            'right': base64.b64encode(numpy.packbits(right).tobytes()).decode()}


def settings():
    """What is compared: (experiment, network, width, dropout, images, epochs)."""
    return ([('curves', name, width, 0.0, *CURVES) for name in FAMILIES for width in WIDTHS[name]]
            + [('few', *network, *size) for size in FEW for network in SMALL])


def choices():
    """The runs that choose the rates."""
    return [('rates', *network, *size, rate, RATE_SEED) for rate in RATES for network, size in
            [((name, WIDTHS[name][1], 0.0), CURVES) for name in FAMILIES] + [(network, FEW[0]) for network in SMALL]]


def rate_for(runs, setting):
    """The rate with the highest accuracy on the validation images, among the runs that choose for this setting."""
    experiment, network, _, dropout = setting[:4]
    images = CURVES[0] if experiment == 'curves' else FEW[0][0]
    rivals = [entry for entry in runs if tuple(entry[key] for key in ('experiment', 'network', 'dropout', 'images'))
              == ('rates', network, dropout, images)]
    return max(rivals, key=lambda entry: entry['validation_acc'])['rate']


def table(record):
    """Mean and standard deviation of the seeds, as Markdown."""
    groups = {}
    for entry in record['runs']:
        if entry['experiment'] != 'rates':
            groups.setdefault(tuple(entry[key] for key in KEY[:-1]), []).append(entry)
    rows = []
    for (_, network, width, dropout, images, epochs, rate), runs in sorted(groups.items(), key=str):
        accuracies = [entry['test_acc'] for entry in runs]
        rows.append((network + (f', dropout {dropout}' if dropout else ''), width, f'{images:,}', epochs, rate,
                     len(runs), f'{statistics.mean(accuracies):.4f}',
                     f'{statistics.stdev(accuracies):.4f}' if len(runs) > 1 else '',
                     f'{statistics.mean(entry["train_acc"] for entry in runs):.4f}'))
    heads = ['network', '>width', '>images', '>epochs', '>rate', '>seeds', '>test accuracy, mean', '>SD',
             '>training accuracy']
    return '\n\n'.join([markdown(heads, rows), BENCHMARK.measured(record, '1 thread a run',
                                                                   f'data {record["data"]["checksum"]}')])


BENCHMARK = Benchmark(__file__, table)


def complete(record, plans, workers):
    """Run what the record lacks of these plans, and keep each result when it is there."""
    known = {tuple(entry[key] for key in KEY) for entry in record['runs']}
    missing = [plan for plan in plans if plan not in known]
    with concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context('spawn')) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, *plan) for plan in missing]):
            entry = done.result()
            record['runs'].append(entry)
            record['runs'].sort(key=lambda entry: str([entry[key] for key in KEY]))
            BENCHMARK.write(record)
            print(now(), *(entry[key] for key in (*KEY, 'train_acc', 'validation_acc', 'test_acc', 'seconds')),
                  flush=True)


def main():
    parser = BENCHMARK.options(__doc__, seeds=(5, 'seeds 0 to N-1'), workers=(2, 'processes, each of one thread'))
    options = parser.parse_args()
    if not options.table:
        os.environ['OMP_NUM_THREADS'] = '1'
        from d2l_densenet import load_data_fashion_mnist
        if BENCHMARK.record.exists():
            record = BENCHMARK.read()
        else:
            data = load_data_fashion_mnist(500, data='fashion-mnist')[0].source
            with measuring(data={'name': data.name, 'checksum': data.checksum}, runs=[], momentum=MOMENTUM,
                           weight_decay=DECAY, warmup=WARMUP, batch_size=BATCH, validation=VALIDATION) as record:
                pass
        complete(record, choices(), options.workers)
        for seed in range(options.seeds):
            complete(record, [(*setting, rate_for(record['runs'], setting), seed) for setting in settings()],
                     options.workers)
    BENCHMARK.publish(BENCHMARK.read())


if __name__ == '__main__':
    main()
