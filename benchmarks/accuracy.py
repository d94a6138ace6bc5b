"""Train the article's network with both recipes and three seeds, on the real data, and print the table.

Each run is one ``d2l-densenet train``; its record (settings, versions, data checksum, machine, history) goes to
``records/RECIPE-seedN.json``. Runs whose record is there are skipped, so an interrupted call can be repeated. The
table in README.md and records/curve.png are made anew from the records.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import readme

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORDS = ROOT / 'records'
START, END = '<!-- accuracy table: made by benchmarks/accuracy.py -->', '<!-- end of accuracy table -->'
RECIPES = ('article', 'course')
# Article 001's printed table, its last epoch and its best.
ARTICLE = {'loss': 0.2146, 'test_acc': 0.905, 'best': 0.909}


def train(recipe, seed, threads):
    """Run one training in a process of its own and write its record."""
    output = ROOT / 'runs' / f'record-{recipe}-seed{seed}'
    shutil.rmtree(output, ignore_errors=True)
    arguments = ['train', '--recipe', recipe, '--seed', str(seed), '--epochs', '5', '--size', '48',
                 '--data', 'fashion-mnist', '--device', 'cpu', '--output', str(output.relative_to(ROOT))]
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
    process = subprocess.Popen([sys.executable, '-m', 'd2l_densenet', *arguments], cwd=ROOT, env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        print(f'[{recipe}, seed {seed}] {line}', end='', flush=True)
    if process.wait():
        raise RuntimeError(f'{recipe}, seed {seed} ended with status {process.returncode}: see its lines above')
    config = json.loads((output / 'config.json').read_text())
    record = {**config, 'history': json.loads((output / 'history.json').read_text())}
    temporary = RECORDS / f'.{recipe}-seed{seed}.tmp'
    temporary.write_text(json.dumps(record, indent=1) + '\n')
    temporary.replace(RECORDS / f'{recipe}-seed{seed}.json')


def table():
    """The table of all records, as Markdown."""
    lines = ['| recipe | seeds | test accuracy after 5 epochs, each seed | mean | lowest and highest epoch | loss |',
             '|---|---|---|---|---|---|',
             f'| article 001, as printed (its GPU) | 1 | {ARTICLE["test_acc"]:.3f} | {ARTICLE["test_acc"]:.3f} '
             f'| 0.862 to {ARTICLE["best"]:.3f} | {ARTICLE["loss"]:.4f} |']
    machines = set()
    for recipe in RECIPES:
        records = [json.loads(path.read_text()) for path in sorted(RECORDS.glob(f'{recipe}-seed*.json'))]
        if not records:
            continue
        last = [record['history']['rows'][-1] for record in records]
        every = [row['test_acc'] for record in records for row in record['history']['rows']]
        each = ', '.join(f'{row["test_acc"]:.4f}' for row in last)
        lines.append(f'| `{recipe}` | {len(records)} | {each} | {statistics.mean(r["test_acc"] for r in last):.4f} '
                     f'| {min(every):.3f} to {max(every):.3f} | {statistics.mean(r["loss"] for r in last):.4f} |')
        machines |= {f'{r["started"][:10]}, {r["machine"]["cpu"]}, {r["machine"]["omp_threads"]} thread(s) a run, '
                     f'MXNet {r["versions"]["mxnet"]}, data {r["data"]["checksum"]}' for r in records}
    return '\n'.join([*lines, '', *(f'Measured on {text}.' for text in sorted(machines))])


def draw():
    """Draw the seed-0 runs of both recipes into records/curve.png, the picture in README.md."""
    from d2l_densenet import History, plot_history
    histories = {recipe: History(**json.loads((RECORDS / f'{recipe}-seed0.json').read_text())['history'])
                 for recipe in RECIPES}
    plot_history(histories).savefig(RECORDS / 'curve.png', dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    parser.add_argument('--seeds', type=int, default=3, help='seeds 0 to N-1 (default: %(default)s)')
    parser.add_argument('--jobs', type=int, default=min(cores, 6),
                        help='runs at the same time, sharing the cores (default: %(default)s)')
    parser.add_argument('--table', action='store_true', help='train nothing: only make the table and the picture anew')
    options = parser.parse_args()
    if options.seeds < 1 or options.jobs < 1:
        parser.error('--seeds and --jobs must be at least 1')
    RECORDS.mkdir(exist_ok=True)
    if not options.table:
        missing = [(recipe, seed) for seed in range(options.seeds) for recipe in RECIPES
                   if not (RECORDS / f'{recipe}-seed{seed}.json').exists()]
        threads = max(1, cores // options.jobs)
        print(f'{len(missing)} runs to do, {options.jobs} at a time with {threads} thread(s) each', flush=True)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for future in [pool.submit(train, *run, threads) for run in missing]:
                future.result()
    draw()
    readme.put(START, END, table())
    print(table())


if __name__ == '__main__':
    main()
