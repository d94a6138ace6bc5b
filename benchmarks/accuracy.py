"""Train with three recipes on the real data, and make the table and the picture of accuracies.

`article` and `course` train the article's network for 5 epochs, with three seeds; `bfloat16` is `course` with
``--dtype bfloat16``, left out where the processor cannot compute it. `record` trains `fashion_16_32` for
68, with 5,000 training images held out to judge each epoch; it reads the test images once, at its end. Each run is one
``d2l-densenet train`` under runs/; its record (settings, versions, data checksum, machine, history) goes to
``records/RECIPE-seedN.json``. Runs whose record is there are skipped and a run that was interrupted goes on from its
checkpoint, so the command can be repeated. (To measure one again, delete its record and its directory under runs/.) The
table and the pictures in records/ are made again from the records.
"""

import concurrent.futures
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

import mxnet as mx
from harness import RECORDS, ROOT, Benchmark, markdown

from d2l_densenet.analysis.formulas import densenet_formula
from d2l_densenet.execution.mixed_precision import check_dtype
from d2l_densenet.runs.directories import write_atomically

RECIPES = ('article', 'course')
#: What `d2l-densenet train` is told for each recipe, beyond what is the same for all.
OPTIONS = {'article': ['--recipe', 'article', '--epochs', '5', '--size', '48'],
           'course': ['--recipe', 'course', '--epochs', '5', '--size', '48'],
           'bfloat16': ['--recipe', 'course', '--epochs', '5', '--size', '48', '--dtype', 'bfloat16'],
           'record': ['--recipe', 'record', '--epochs', '68', '--size', '28', '--network', 'fashion_16_32',
                      '--validation', '5000']}
# Article 001's printed table, its last epoch and its best.
ARTICLE = {'loss': 0.2146, 'test_acc': 0.905, 'best': 0.909}


def command(arguments, threads, label):
    """Run d2l-densenet with these arguments in a process of its own; the lines that it printed."""
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
    process = subprocess.Popen([sys.executable, '-m', 'd2l_densenet', *arguments], cwd=ROOT, env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        print(f'[{label}] {line}', end='', flush=True)
    if process.wait():
        raise RuntimeError(f'{label} ended with status {process.returncode}: see its lines above')
    return lines


def train(recipe, seed, threads):
    """Run one training, or the rest of one, and write its record."""
    output = ROOT / 'runs' / f'record-{recipe}-seed{seed}'
    run, label = str(output.relative_to(ROOT)), f'{recipe}, seed {seed}'
    if (output / 'checkpoints').is_dir():
        command(['train', '--resume', run], threads, label)
    else:
        shutil.rmtree(output, ignore_errors=True)
        command(['train', '--seed', str(seed), *OPTIONS[recipe], '--data', 'fashion-mnist',
                 '--device', 'cpu', '--output', run], threads, label)
    config = json.loads((output / 'config.json').read_text())
    record = {**config, 'history': json.loads((output / 'history.json').read_text())}
    if config['validation']:
        # The only place where the test images are read: nothing is chosen any more.
        lines = command(['evaluate', run, '--mirrored', '--data', 'fashion-mnist', '--device', 'cpu'], threads, label)
        found = re.search(r'test accuracy ([0-9.]+) on ([0-9]+) images.*\nwith mirror images ([0-9.]+)', ''.join(lines))
        record['test'] = {'accuracy': float(found[1]), 'images': int(found[2]), 'mirrored': float(found[3])}
    write_atomically(RECORDS / f'{recipe}-seed{seed}.json', json.dumps(record, indent=1) + '\n')


def records(recipe):
    return [json.loads(path.read_text()) for path in sorted(RECORDS.glob(f'{recipe}-seed*.json'))]


def minutes(record):
    """Minutes from the start of a run to the end of each epoch, its evaluation included."""
    return list(itertools.accumulate(row['seconds'] / 60 for row in record['history']['rows']))


def parameters(record):
    """Trainable parameters of a record's network; the oldest records do not say how it rounds."""
    size = record['size']
    return densenet_formula({'pooling_convention': 'full', **record['network']}, size, size)[0]


def table(every):
    """The records of all recipes, {recipe: [record, ...]}, as Markdown."""
    rows = [('article 001, as printed (its GPU)', 1, f'{ARTICLE["test_acc"]:.3f}', f'{ARTICLE["test_acc"]:.3f}',
             f'0.862 to {ARTICLE["best"]:.3f}', f'{ARTICLE["loss"]:.4f}')]
    for recipe, name in (('article', '`article`'), ('course', '`course`'), ('bfloat16', '`course` in bfloat16')):
        last = [record['history']['rows'][-1] for record in every[recipe]]
        tested = [row['test_acc'] for record in every[recipe] for row in record['history']['rows']]
        if last:
            rows.append((name, len(last), ', '.join(f'{row["test_acc"]:.4f}' for row in last),
                         f'{statistics.mean(row["test_acc"] for row in last):.4f}',
                         f'{min(tested):.3f} to {max(tested):.3f}',
                         f'{statistics.mean(row["loss"] for row in last):.4f}'))
    parts = [markdown(['recipe', 'seeds', 'test accuracy after 5 epochs, each seed', 'mean', 'lowest and highest epoch',
                       'loss'], rows)]
    for record in every['record']:
        epochs, used, size = record['history']['rows'], record['machine'], record['size']
        parts.append(
            f'`record`, seed {record["seed"]}: **{record["test"]["accuracy"]:.4f}** of the '
            f'{record["test"]["images"]:,} test images, read once, after {record["epochs"]} epochs of '
            f'{60_000 - record["validation"]:,} training images in {minutes(record)[-1]:.0f} minutes with '
            f'{used["omp_threads"]} thread(s); {epochs[-1]["test_acc"]:.4f} of the {record["validation"]:,} images '
            f'held out; {record["test"]["mirrored"]:.4f} of the test images where the scores of each and of its '
            f'mirror image are added. The network is `{record["network_name"]}`, {size} x {size} pixels, '
            f'{parameters(record):,} parameters.')
    return '\n\n'.join([*parts, '\n'.join(sorted({
        BENCHMARK.measured(record, f'{record["machine"]["omp_threads"]} thread(s) a run',
                           f'data {record["data"]["checksum"]}')
        for found in every.values() for record in found}))])


BENCHMARK = Benchmark(__file__, table)


def draw():
    """Draw the page's pictures: curve.png, seed 0 of both recipes, and accuracy.png, all runs against minutes."""
    from matplotlib import pyplot

    from d2l_densenet import History, plot_history, plots
    histories = {recipe: History(**records(recipe)[0]['history']) for recipe in RECIPES}
    plot_history(histories).savefig(RECORDS / 'curve.png', dpi=100)
    colors = {'article': '#B88500', 'course': plots.DENSENET, 'record': '#000000'}
    with plots.style():
        figure, axes = pyplot.subplots(figsize=(12, 4.8), layout='constrained')
        for recipe, marker in (('article', 's'), ('course', 'o'), ('record', '.')):
            for number, record in enumerate(records(recipe)):
                judged = f'{record["validation"]:,} held-out' if record.get('validation') else 'test'
                axes.plot(minutes(record), [row['test_acc'] for row in record['history']['rows']], marker + '-',
                          color=colors[recipe], markersize=5, linewidth=1.2,
                          label=None if number else f'{recipe}, {judged} images')
        best = records('record')
        for record in best:
            axes.plot(minutes(record)[-1:], [record['test']['accuracy']], '*', color=colors['record'], markersize=15,
                      mfc='white', label='record, test images, read once')
        axes.set(xscale='log', xlabel='minutes of training', ylabel='accuracy')
        axes.set_xticks([2, 5, 10, 20, 50, 100], ['2', '5', '10', '20', '50', '100'])
        axes.minorticks_off()
        axes.grid(True)
        axes.legend(loc='center left', bbox_to_anchor=(1, 0.5))
        if best:
            found = [statistics.mean(r['history']['rows'][-1]['test_acc'] for r in records(recipe))
                     for recipe in RECIPES]
            axes.set_title(f'test accuracy at the end: article {found[0]:.4f}, course {found[1]:.4f}, '
                           f'record {best[0]["test"]["accuracy"]:.4f}')
        figure.savefig(RECORDS / 'accuracy.png', dpi=100)


def main():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    parser = BENCHMARK.options(__doc__, seeds=(3, 'seeds 0 to N-1 of article and course'),
                               jobs=(min(cores, 6), 'runs at the same time, sharing the cores'))
    options = parser.parse_args()
    if options.seeds < 1 or options.jobs < 1:
        parser.error('--seeds and --jobs must be at least 1')
    RECORDS.mkdir(exist_ok=True)
    if not options.table:
        recipes = [*RECIPES, 'bfloat16']
        try:
            check_dtype('bfloat16', mx.cpu())
        except ValueError as error:
            print(f'bfloat16 is left out: {error}', flush=True)
            recipes.remove('bfloat16')
        missing = [(recipe, seed) for recipe, seed in [('record', 0), *itertools.product(recipes, range(options.seeds))]
                   if not (RECORDS / f'{recipe}-seed{seed}.json').exists()]
        threads = max(1, cores // options.jobs)
        print(f'{len(missing)} runs to do, {options.jobs} at a time with {threads} thread(s) each', flush=True)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for future in [pool.submit(train, *run, threads) for run in missing]:
                future.result()
    draw()
    BENCHMARK.publish({recipe: records(recipe) for recipe in OPTIONS})


if __name__ == '__main__':
    main()
