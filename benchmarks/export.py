"""Export every network by name to MXNet's files and to ONNX, check them, and print the table.

Each network gets random values: He's for the weights, and random ones for the biases, batch normalization's
parameters and its running statistics, so that a mistake in any of them shows. ``export_model`` checks what it writes
(see its documentation). The files go to a temporary directory. A row is kept in ``records/export.json`` as soon as it
is there, and networks whose row is there are skipped, so an interrupted call can be repeated. Rows of another
machine, other versions or another seed are measured again.
"""

import tempfile
import time

import mxnet as mx
import numpy
from harness import Benchmark, markdown, now

from d2l_densenet import NETWORKS, RESNETS, count_parameters, export_model, he_initialize
from d2l_densenet.named import OWN, named_network, published_shape
from d2l_densenet.runs.directories import machine, versions

NAMES = [*NETWORKS, *OWN, *RESNETS]


def random_values(net, seed, shape, scale):
    """Initialize `net` so that every value matters to its scores."""
    random = numpy.random.RandomState(seed)
    he_initialize(net, seed, shape)
    for name, parameter in net.collect_params().items():
        if name.endswith('gamma'):
            values = scale * random.uniform(0.5, 1.5, parameter.shape)
        elif name.endswith('running_var'):
            values = random.uniform(0.5, 1.5, parameter.shape)
        elif name.endswith(('bias', 'beta', 'running_mean')):
            values = 0.1 * random.standard_normal(parameter.shape)
        else:
            continue
        parameter.set_data(mx.nd.array(values.astype('float32')))


def measure(name, seed):
    """The row of one network."""
    net, shape = named_network(name), published_shape(name)
    # A sum over hundreds of blocks overflows where each adds as much as it got: ResNets get small scales.
    random_values(net, seed, shape, scale=0.1 if name in RESNETS else 1)
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        exported = export_model(net, directory, shape, name=name)
        seconds = time.perf_counter() - start
        return {'input_shape': shape, 'parameters': count_parameters(net),
                'bytes': {path.name: path.stat().st_size for path in exported.files},
                'difference': exported.differences, 'seconds': round(seconds, 1)}


def settings(seed):
    """What the rows depend on."""
    import onnx
    import onnxruntime
    return {'seed': seed, 'versions': {**versions(), 'onnx': onnx.__version__, 'onnxruntime': onnxruntime.__version__},
            'machine': machine()}


def table(record):
    """The rows as Markdown."""
    rows = []
    for name, row in record['networks'].items():
        onnx_bytes = row['bytes'][f'{name}.onnx']
        rows.append((f'`{name}`', ' x '.join(map(str, row['input_shape'])), f'{row["parameters"]:,}',
                     f'{(sum(row["bytes"].values()) - onnx_bytes) / 1e6:.1f}', f'{onnx_bytes / 1e6:.1f}',
                     f'{row["difference"]["mxnet"]:.1e}', f'{row["difference"]["onnx"]:.1e}', f'{row["seconds"]:.1f}'))
    used = record['versions']
    return '\n\n'.join([
        markdown(['network', 'input', '>parameters', '>MXNet, MB', '>ONNX, MB', '>difference, MXNet',
                  '>difference, ONNX', '>seconds'], rows),
        'Difference: the largest in any score, as a share of the largest score, on random images, one and three at a '
        'time. Seconds: writing and checking both formats.',
        BENCHMARK.measured(record, f'{record["machine"]["omp_threads"]} thread(s)', f'onnx {used["onnx"]}',
                           f'onnxruntime {used["onnxruntime"]}', f'seed {record["seed"]}')])


BENCHMARK = Benchmark(__file__, table)


def main():
    parser = BENCHMARK.options(__doc__, seed=(0, 'for the values'))
    parser.add_argument('--networks', nargs='+', choices=NAMES, default=NAMES, metavar='NAME',
                        help='which (default: all)')
    options = parser.parse_args()
    record = BENCHMARK.read() if BENCHMARK.record.exists() else {}
    if not options.table:
        found = settings(options.seed)
        if any(record.get(key) != value for key, value in found.items()):
            record = {'started': now(), **found, 'networks': {}}
        for name in options.networks:
            if name in record['networks']:
                continue
            row = measure(name, options.seed)
            rows = {**record['networks'], name: row}
            record['networks'] = {known: rows[known] for known in NAMES if known in rows}
            BENCHMARK.write(record)
            print(f'{name}: {row["seconds"]} s', flush=True)
    if not record:
        parser.error(f'{BENCHMARK.record} is not there yet: run once without --table')
    print(table(record))


if __name__ == '__main__':
    main()
