"""Quantise a trained network to int8 with MXNet, measure size, accuracy and latency beside float32, print the table.

``python benchmarks/int8.py RUN`` takes a directory that ``d2l-densenet train`` wrote with the article's network, and
writes ``records/int8.json`` and the table in README.md. Four variants of the network are measured:

- fp32: hybridized, as everywhere in the course.
- fp32, fused: ``net.optimize_for(x, backend='MKLDNN')``. oneDNN then folds batch normalisation and ReLU into the
  convolution before them. In this network that is the stem alone: everywhere else batch normalisation comes first.
- int8, naive and entropy: ``quantize_net_v2``, calibrated on training images with the range of the values, or with the
  range that loses least. Convolutions, batch normalisation, ReLU, pooling and oneDNN's concat run in int8. The last
  dense block runs its concat in float32, because its width is not a multiple of 16 and ``blocks.py`` then uses
  NumPy's, which has no int8 version.

All of them classify the whole test set. Latency is the median of many calls that take turns in one process, so that
a busy machine slows all of them. Nothing else should run: int8 gains little where another program uses the cores.
"""

import argparse
import datetime
import itertools
import json
import os
import pathlib
import statistics
import tempfile
import time

import mxnet as mx
import readme
from mxnet.contrib.quantization import quantize_net_v2

from d2l_densenet import load_data_fashion_mnist
from d2l_densenet.runs.directories import load_run, machine, versions, write_atomically

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / 'records' / 'int8.json'
START, END = '<!-- int8 table: made by benchmarks/int8.py -->', '<!-- end of int8 table -->'
BATCH = 128
LATENCY_BATCHES = (1, 64)
STATIC = {'static_alloc': True, 'static_shape': True}


def variants(run, example, calibration):
    """The networks to measure, name to block. Each starts from the files, because these tools change what they get."""
    fp32 = load_run(run)[0]
    fp32.hybridize(**STATIC)
    fused = load_run(run)[0]
    fused.optimize_for(example, backend='MKLDNN', **STATIC)
    blocks = {'fp32': fp32, 'fp32, fused': fused}
    for mode in ('naive', 'entropy'):
        net = load_run(run)[0]
        net.set_input_size(*example.shape[2:])
        block = quantize_net_v2(net, quantized_dtype='auto', quantize_mode='full', calib_mode=mode,
                                calib_data=mx.io.NDArrayIter(calibration, None, BATCH))
        block.hybridize(**STATIC)
        blocks[f'int8, {mode}'] = block
    return blocks


def classify(block, batches):
    """Classes and scores of all test images."""
    scores = mx.nd.concat(*[block(images) for images, _ in batches], dim=0)
    return scores.argmax(axis=1).asnumpy().astype('int64'), scores.asnumpy()


def latencies(blocks, images, repeats):
    """For each block the seconds of `repeats` calls, all blocks in turn."""
    seconds = {name: [] for name in blocks}
    for turn in range(repeats + 3):
        for name, block in blocks.items():
            start = time.perf_counter()
            block(images).wait_to_read()
            if turn >= 3:  # the first calls set up
                seconds[name].append(time.perf_counter() - start)
    return seconds


def file_sizes(block):
    """Bytes of the files that ``block.export`` writes."""
    with tempfile.TemporaryDirectory() as directory:
        block.export(f'{directory}/net')
        return {path.name: path.stat().st_size for path in sorted(pathlib.Path(directory).iterdir())}


def operators(block):
    """How often each operator with values of its own, and each conversion, occurs in the graph."""
    nodes = json.loads(block._cached_graph[1].tojson())['nodes']
    found = [node['op'] for node in nodes if node['op'] != 'null']
    return {name: found.count(name) for name in sorted(set(found))}


def instructions():
    """The processor's instructions that int8 arithmetic depends on."""
    try:
        flags = pathlib.Path('/proc/cpuinfo').read_text().partition('flags')[2].partition('\n')[0].split()
    except OSError:
        return []
    return [flag for flag in ('avx2', 'avx512f', 'avx_vnni', 'avx512_vnni', 'amx_int8') if flag in flags]


def measure(options):
    """The whole record."""
    config = load_run(options.run)[2]
    train, test = load_data_fashion_mnist(BATCH, resize=config['size'], root=options.data_dir,
                                          data=config['data']['name'], seed=0)
    calibration = mx.nd.concat(*[images for images, _ in itertools.islice(train, options.calibration)], dim=0)
    batches = [(images, labels) for images, labels in test]
    right = mx.nd.concat(*[labels for _, labels in batches], dim=0).asnumpy().astype('int64')
    load = os.getloadavg()[0]
    print(f'{len(right)} test images, calibration on {len(calibration)} training images, data: {test.source}',
          flush=True)
    blocks = variants(options.run, batches[0][0], calibration)
    rows, first = {}, None
    for name, block in blocks.items():
        classes, scores = classify(block, batches)
        first = first or (classes, scores)
        rows[name] = {'accuracy': float((classes == right).mean()), 'same_class': float((classes == first[0]).mean()),
                      'difference': float(abs(scores - first[1]).max() / abs(first[1]).max()),
                      'bytes': file_sizes(block), 'operators': operators(block), 'milliseconds': {}}
        print(f'{name}: accuracy {rows[name]["accuracy"]:.4f}', flush=True)
    for size in LATENCY_BATCHES:
        repeats = max(30, options.repeats // size)
        for name, seconds in latencies(blocks, batches[0][0][:size].copy(), repeats).items():
            low, middle, high = statistics.quantiles(seconds, n=4)
            rows[name]['milliseconds'][str(size)] = {
                'median': 1e3 * middle, 'quartiles': [1e3 * low, 1e3 * high], 'calls': repeats}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
    kept = ('recipe', 'epochs', 'seed', 'size', 'network', 'data')
    return {'started': now, 'run': {key: config[key] for key in kept},
            'calibration_images': len(calibration), 'test_images': len(right), 'versions': versions(),
            'machine': {**machine(), 'instructions': instructions()}, 'load': [load, os.getloadavg()[0]], 'rows': rows}


def table(record):
    """The rows as Markdown."""
    lines = ['| network | files, MB | test accuracy | same class as fp32 | 1 image, ms | 64 images, ms | faster |',
             '|---|---:|---:|---:|---:|---:|---:|']
    base = record['rows']['fp32']['milliseconds']
    for name, row in record['rows'].items():
        median = {size: row['milliseconds'][size]['median'] for size in ('1', '64')}
        lines.append(f'| {name} | {sum(row["bytes"].values()) / 1e6:.2f} | {row["accuracy"]:.4f} '
                     f'| {100 * row["same_class"]:.2f} % | {median["1"]:.2f} | {median["64"]:.1f} '
                     f'| {base["1"]["median"] / median["1"]:.2f}, {base["64"]["median"] / median["64"]:.2f} |')
    run, used = record['run'], record['machine']
    return '\n'.join([
        *lines, '', 'Milliseconds: medians. Faster: so many times as fp32, at 1 image and at 64. The int8 files are no '
        'smaller: MXNet keeps the weights of fused operators in float32 and quantises them at the first call.', '',
        f'Measured on {record["started"][:10]}, {used["cpu"]} ({", ".join(used["instructions"])}), '
        f'{used["omp_threads"]} thread(s), load average {record["load"][0]:.1f} before and {record["load"][1]:.1f} '
        f'after, MXNet {record["versions"]["mxnet"]}; run: recipe {run["recipe"]}, {run["epochs"]} epoch(s), '
        f'seed {run["seed"]}; {record["test_images"]} test images, '
        f'{record["calibration_images"]} for calibration; data {run["data"]["checksum"]}.'])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', metavar='RUN', help='directory that d2l-densenet train wrote')
    parser.add_argument('--data-dir', metavar='DIR', help='directory with the four Fashion-MNIST files')
    parser.add_argument('--calibration', type=int, default=5,
                        help=f'training batches of {BATCH} images to calibrate on (default: %(default)s)')
    parser.add_argument('--repeats', type=int, default=1000,
                        help='images to time a network with, but at least 30 calls (default: %(default)s)')
    parser.add_argument('--table', action='store_true', help='measure nothing: only make the table of the record')
    options = parser.parse_args()
    if options.table:
        record = json.loads(RECORD.read_text())
    elif not options.run or options.calibration < 1 or options.repeats < 1:
        parser.error('RUN is needed, and --calibration and --repeats must be at least 1')
    else:
        record = measure(options)
        RECORD.parent.mkdir(exist_ok=True)
        write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
    readme.put(START, END, table(record))
    print(table(record))


if __name__ == '__main__':
    main()
