"""Export every network by name to MXNet's files and to ONNX, check them, and print the table.

Each network gets random values: He's for the weights, and random ones for the biases, batch normalisation's
parameters and its running statistics, so that a mistake in any of them shows. ``export_model`` checks what it writes
(see its documentation). The files go to a temporary directory. A row is kept in ``records/export.json`` as soon as it
is there, and networks whose row is there are skipped, so an interrupted call can be repeated. Rows of another
machine, other versions or another seed are measured anew.
"""

import argparse
import datetime
import json
import pathlib
import tempfile
import time

import mxnet as mx
import numpy

from d2l_densenet import NETWORKS, RESNETS, count_parameters, export_model, he_initialize
from d2l_densenet.named import OWN, named_network, published_shape
from d2l_densenet.runs.directories import machine, versions, write_atomically

RECORD = pathlib.Path(__file__).resolve().parent.parent / 'records' / 'export.json'


NAMES = [*NETWORKS, *OWN, *RESNETS]


def random_values(net, seed, shape, scale):
    """Initialise `net` so that every value matters to its scores."""
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
    lines = ['| network | input | parameters | MXNet, MB | ONNX, MB | difference, MXNet | difference, ONNX | seconds |',
             '|---|---|---:|---:|---:|---:|---:|---:|']
    for name in NAMES:
        if name in record['networks']:
            row = record['networks'][name]
            onnx_bytes = row['bytes'][f'{name}.onnx']
            mxnet_bytes = sum(row['bytes'].values()) - onnx_bytes
            lines.append(f'| `{name}` | {" x ".join(map(str, row["input_shape"]))} | {row["parameters"]:,} '
                         f'| {mxnet_bytes / 1e6:.1f} | {onnx_bytes / 1e6:.1f} | {row["difference"]["mxnet"]:.1e} '
                         f'| {row["difference"]["onnx"]:.1e} | {row["seconds"]:.1f} |')
    used = record['versions']
    return '\n'.join([
        *lines, '', 'Difference: the largest in any score, as a share of the largest score, on random images, one and '
        'three at a time. Seconds: writing and checking both formats.', '',
        f'Measured on {record["started"][:10]}, {record["machine"]["cpu"]}, {record["machine"]["omp_threads"]} '
        f'thread(s), MXNet {used["mxnet"]}, onnx {used["onnx"]}, onnxruntime {used["onnxruntime"]}, '
        f'seed {record["seed"]}.'])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--networks', nargs='+', choices=NAMES, default=NAMES, metavar='NAME',
                        help='which (default: all)')
    parser.add_argument('--seed', type=int, default=0, help='for the values (default: %(default)s)')
    parser.add_argument('--table', action='store_true', help='export nothing: only print the table of the record')
    options = parser.parse_args()
    try:
        record = json.loads(RECORD.read_text())
    except FileNotFoundError:
        record = {}
    if not options.table:
        found = settings(options.seed)
        if any(record.get(key) != value for key, value in found.items()):
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
            record = {'started': now, **found, 'networks': {}}
        for name in options.networks:
            if name in record['networks']:
                continue
            row = measure(name, options.seed)
            rows = {**record['networks'], name: row}
            record['networks'] = {known: rows[known] for known in NAMES if known in rows}
            RECORD.parent.mkdir(exist_ok=True)
            write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
            print(f'{name}: {row["seconds"]} s', flush=True)
    if not record:
        parser.error(f'{RECORD} is not there yet: run once without --table')
    print(table(record))


if __name__ == '__main__':
    main()
