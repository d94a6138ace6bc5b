"""Quantize a trained network to int8 with MXNet, measure size, accuracy and latency beside float32, print the table.

``python benchmarks/int8.py RUN`` takes a directory that ``d2l-densenet train`` wrote with the article's network, and
writes ``records/int8.json`` and the table in docs/measurements.md. Four variants of the network are measured:

- fp32: hybridized, as everywhere in the course.
- fp32, fused: ``net.optimize_for(x, backend='MKLDNN')``. oneDNN then folds batch normalization and ReLU into the
  convolution before them. In this network that is the stem alone: everywhere else batch normalization comes first.
- int8, naive and entropy: ``quantize_net_v2``, calibrated on training images with the range of the values, or with the
  range that loses least. Convolutions, batch normalization, ReLU, pooling and oneDNN's concat run in int8. The last
  dense block runs its concat in float32, because its width is not a multiple of 16 and the block then uses
  NumPy's, which has no int8 version.

All of them classify the whole test set. Latency is the median of many calls that take turns in one process, so that
a busy machine slows all of them. Nothing else should run: int8 gains little where another program uses the cores.
"""

import itertools
import json
import pathlib
import statistics
import tempfile
import time

import mxnet as mx
from harness import Benchmark, markdown, measuring
from mxnet.contrib.quantization import quantize_net_v2

from d2l_densenet import load_data_fashion_mnist
from d2l_densenet.runs.directories import load_run

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
    """For each block the seconds of `repeats` calls, all blocks in turn; the first calls, which set up, left out."""
    seconds = {name: [] for name in blocks}
    for turn in range(repeats + 3):
        for name, block in blocks.items():
            start = time.perf_counter()
            block(images).wait_to_read()
            if turn >= 3:
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
    print(f'{len(right)} test images, calibration on {len(calibration)} training images, data: {test.source}',
          flush=True)
    kept = ('recipe', 'epochs', 'seed', 'size', 'network', 'data')
    with measuring(run={key: config[key] for key in kept}, calibration_images=len(calibration),
                   test_images=len(right)) as record:
        record['machine']['instructions'] = instructions()
        blocks = variants(options.run, batches[0][0], calibration)
        rows, first = {}, None
        for name, block in blocks.items():
            classes, scores = classify(block, batches)
            first = first or (classes, scores)
            rows[name] = {
                'accuracy': float((classes == right).mean()), 'same_class': float((classes == first[0]).mean()),
                'difference': float(abs(scores - first[1]).max() / abs(first[1]).max()),
                'bytes': file_sizes(block), 'operators': operators(block), 'milliseconds': {}}
            print(f'{name}: accuracy {rows[name]["accuracy"]:.4f}', flush=True)
        for size in LATENCY_BATCHES:
            repeats = max(30, options.repeats // size)
            for name, seconds in latencies(blocks, batches[0][0][:size].copy(), repeats).items():
                low, middle, high = statistics.quantiles(seconds, n=4)
                rows[name]['milliseconds'][str(size)] = {
                    'median': 1e3 * middle, 'quartiles': [1e3 * low, 1e3 * high], 'calls': repeats}
        record['rows'] = rows
    return record


def table(record):
    """The rows as Markdown."""
    base, rows = record['rows']['fp32']['milliseconds'], []
    for name, row in record['rows'].items():
        median = {size: row['milliseconds'][size]['median'] for size in ('1', '64')}
        rows.append((name, f'{sum(row["bytes"].values()) / 1e6:.2f}', f'{row["accuracy"]:.4f}',
                     f'{100 * row["same_class"]:.2f} %', f'{median["1"]:.2f}', f'{median["64"]:.1f}',
                     f'{base["1"]["median"] / median["1"]:.2f}, {base["64"]["median"] / median["64"]:.2f}'))
    run, used = record['run'], record['machine']
    return '\n\n'.join([
        markdown(['network', '>files, MB', '>test accuracy', '>same class as fp32', '>1 image, ms', '>64 images, ms',
                  '>faster'], rows),
        'Milliseconds: medians. Faster: so many times as fp32, at 1 image and at 64. The int8 files are no '
        'smaller: MXNet keeps the weights of fused operators in float32 and quantizes them at the first call.',
        BENCHMARK.measured(
            record, f'{", ".join(used["instructions"])}', f'{used["omp_threads"]} thread(s)',
            f'a run of the recipe {run["recipe"]}, {run["epochs"]} epoch(s), seed {run["seed"]}',
            f'{record["test_images"]} test images', f'{record["calibration_images"]} for calibration',
            f'data {run["data"]["checksum"]}')])


BENCHMARK = Benchmark(__file__, table)


def main():
    parser = BENCHMARK.options(
        __doc__, calibration=(5, f'training batches of {BATCH} images to calibrate on'),
        repeats=(1000, 'images to time a network with, but at least 30 calls'))
    parser.add_argument('run', nargs='?', metavar='RUN', help='directory that d2l-densenet train wrote')
    parser.add_argument('--data-dir', metavar='DIR', help='directory with the four Fashion-MNIST files')
    options = parser.parse_args()
    if not options.table and (not options.run or options.calibration < 1 or options.repeats < 1):
        parser.error('RUN is needed, and --calibration and --repeats must be at least 1')
    record = BENCHMARK.read() if options.table else measure(options)
    if not options.table:
        BENCHMARK.write(record)
    BENCHMARK.publish(record)


if __name__ == '__main__':
    main()
