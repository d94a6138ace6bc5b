"""Put faults into the package, one at a time, and see whether the quick tests notice.

``python benchmarks/mutants.py`` writes ``records/mutants.json`` and the table in README.md. Each fault is put into a
copy of the project in a temporary directory; then the test files of its module run there until the first failure. A
fault that no test notices has survived. ``--only WORD`` tries those with that word in module or description;
``--survivors`` those that survived or are new, and keeps what the record says of the others.

The faults are made by hand. cosmic-ray 8.7, a kept tool that makes them, finds 14,320 in this package (2026-11-22), and
each needs a process that imports MXNet and runs tests: at 10 seconds each, 40 hours of one core. Those below are
mistakes that people make, and that a course on DenseNet must not have.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
import time

import readme

from d2l_densenet.runs import machine, versions, write_atomically

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / 'records' / 'mutants.json'
START, END = '<!-- mutants table: made by benchmarks/mutants.py -->', '<!-- end of mutants table -->'
TIMEOUT = 400

#: The test files that are asked about each module, the quickest first.
TESTS = {
    'blocks': ['blocks', 'densenet', 'counting', 'networks'],
    'builder': ['densenet', 'counting', 'networks', 'properties'],
    'networks': ['networks', 'oracles'],
    'formulas': ['networks', 'properties'],
    'resnets': ['networks', 'oracles'],
    'counting': ['counting', 'networks'],
    'training': ['training', 'devices', 'resume'],
    'data': ['data'],
    'idx': ['data'],
    'recipes': ['training', 'optimizers'],
    'optimizers': ['optimizers', 'training'],
    'resume': ['resume'],
    'checkpoints': ['resume'],
    'pretrained': ['pretrained'],
    'plots': ['plots'],
    'recompute': ['memory'],
    'reuse': ['reuse'],
}

#: (module, what is wrong, the text, the faulty text). The text occurs once in the module.
FAULTS = [
    (
        'blocks',
        'concatenates along the batch axis',
        'return F.np.concatenate(parts, axis=1)',
        'return F.np.concatenate(parts, axis=0)',
    ),
    ('blocks', 'concatenates along the height', 'return F.concat(*parts, dim=1)', 'return F.concat(*parts, dim=2)'),
    ('blocks', 'does not concatenate the input', 'X = _concat_channels(F, [X, block(X)], aligned)', 'X = block(X)'),
    ('blocks', 'puts new features before the input', '[X, block(X)], aligned', '[block(X), X], aligned'),
    ('blocks', 'takes the unsafe concatenation at any width', 'width > 0 and width % _SIMD_BLOCK == 0', 'width > 0'),
    (
        'blocks',
        'ReLU before BN',
        """nn.BatchNorm(in_channels=in_channels), nn.Activation('relu'),
                      nn.Conv2D(width""",
        """nn.Activation('relu'), nn.BatchNorm(in_channels=in_channels),
                      nn.Conv2D(width""",
    ),
    (
        'blocks',
        'sigmoid in the place of ReLU',
        """nn.Activation('relu'),
                      nn.Conv2D(width""",
        """nn.Activation('sigmoid'),
                      nn.Conv2D(width""",
    ),
    ('blocks', 'no padding', 'padding=size // 2', 'padding=0'),
    (
        'blocks',
        'always a bias in the convolution',
        'padding=size // 2, use_bias=bias',
        'padding=size // 2, use_bias=True',
    ),
    (
        'blocks',
        'dropout is never added to the composite function',
        """            if dropout:
                block.add(nn.Dropout""",
        """            if False:
                block.add(nn.Dropout""",
    ),
    (
        'blocks',
        'the bottleneck is B wide, not B k',
        "width = positive_int('bottleneck', bottleneck) * num_channels",
        "width = positive_int('bottleneck', bottleneck)",
    ),
    ('blocks', 'the bottleneck comes last', 'steps.insert(0, (', 'steps.append(('),
    (
        'blocks',
        'maximum in the place of the average in transitions',
        'nn.AvgPool2D(pool_size=2, strides=2)',
        'nn.MaxPool2D(pool_size=2, strides=2)',
    ),
    (
        'blocks',
        'stride 1 in the pooling of transitions',
        'nn.AvgPool2D(pool_size=2, strides=2)',
        'nn.AvgPool2D(pool_size=2, strides=1)',
    ),
    (
        'blocks',
        'of a 3x3 convolution on one pixel another weight than the middle',
        'begin=(None, None, *middle), end=(None, None, *(place + 1 for place in middle))',
        'begin=(None, None, 0, 1), end=(None, None, 1, 2)',
    ),
    ('blocks', 'a transition with dropout is reordered too', 'and len(layers) == 4', 'and len(layers) >= 4'),
    ('blocks', 'the order of the paper is not kept where work is counted', 'or _written_order.get()', ''),
    (
        'blocks',
        'no ReLU in transitions',
        """nn.Activation('relu'),
                  nn.Conv2D(num_channels, kernel_size=1""",
        """nn.Activation('softrelu'),
                  nn.Conv2D(num_channels, kernel_size=1""",
    ),
    ('blocks', 'files of the other array mode are not read', "if 'is_np_shape' not in str(error)", 'if True'),
    (
        'builder',
        'what a window of a transition holds beyond the image is counted',
        "'count_include_pad': not (",
        "'count_include_pad': True or (",
    ),
    (
        'builder',
        'a graph for images of one pixel in the last block is used for larger ones',
        '[-1] == (1, 1) and',
        '[-1] and',
    ),
    (
        'builder',
        'all dense blocks are taken for ones with images of one pixel',
        'self.one_pixel and layer in last',
        'self.one_pixel',
    ),
    ('builder', 'a changed network is computed as if it were not', "blocks == vars(self)['__built']", 'True'),
    ('builder', 'all graphs are for images of one pixel', 'features.one_pixel = False', 'pass'),
    (
        'builder',
        'theta m is rounded up',
        'math.floor(compression * num_channels)',
        'math.ceil(compression * num_channels)',
    ),
    (
        'builder',
        'theta is always one half',
        'width = math.floor(compression * num_channels)',
        'width = num_channels // 2',
    ),
    ('builder', 'a transition behind the last block too', 'if i != len(block_config) - 1:', 'if True:'),
    ('builder', 'stride 1 in the stem', 'kernel_size=7, strides=2', 'kernel_size=7, strides=1'),
    (
        'builder',
        'average in the place of the maximum in the stem',
        'nn.MaxPool2D(pool_size=3',
        'nn.AvgPool2D(pool_size=3',
    ),
    (
        'builder',
        'no BN in the stem',
        "nn.BatchNorm(in_channels=num_channels), nn.Activation('relu'),\n            nn.Max",
        "nn.Activation('relu'),\n            nn.Max",
    ),
    (
        'builder',
        'another activation before the classifier',
        "nn.Activation('relu'), nn.GlobalAvgPool2D()",
        "nn.Activation('tanh'), nn.GlobalAvgPool2D()",
    ),
    ('builder', 'maximum in the global pooling', 'nn.GlobalAvgPool2D()', 'nn.GlobalMaxPool2D()'),
    (
        'builder',
        'no bias in the classifier',
        'nn.Dense(classes, in_units=num_channels)',
        'nn.Dense(classes, in_units=num_channels, use_bias=False)',
    ),
    ('builder', 'rounds up where rounding down would do', 'return after_stem < 2 **', 'return after_stem <= 2 **'),
    (
        'builder',
        'dropout does not reach the blocks',
        'num_channels, bottleneck, dropout, bias',
        'num_channels, bottleneck, 0.0, bias',
    ),
    (
        'builder',
        'the bottleneck does not reach the blocks',
        'num_channels, bottleneck, dropout, bias',
        'num_channels, None, dropout, bias',
    ),
    ('networks', 'initial values by the number of outputs', "factor_type='in'", "factor_type='out'"),
    ('networks', 'initial variance 1 / n', 'slope=0', 'slope=1'),
    ('formulas', 'a layer too many', 'k * layers * (layers - 1) // 2', 'k * layers * (layers + 1) // 2'),
    ('formulas', 'shifts of BN forgotten', 'biased * k * layers, 2 * inputs)', 'biased * k * layers, inputs)'),
    (
        'formulas',
        'the work of the transitions after the pooling',
        'total += _Total(m * out, sizes,',
        'total += _Total(m * out, [side // 2 for side in sizes],',
    ),
    ('resnets', 'no shortcut', 'return self.relu(self.body(x) + shortcut)', 'return self.relu(self.body(x))'),
    ('resnets', 'no ReLU after the sum', 'return self.relu(self.body(x) + shortcut)', 'return self.body(x) + shortcut'),
    ('resnets', 'a block too few in ResNet-50', '(3, 4, 6, 3), (64, 256', '(3, 4, 5, 3), (64, 256'),
    (
        'counting',
        'running statistics are counted as parameters',
        "        if parameter.grad_req == 'null':",
        "        if parameter.grad_req == 'none':",
    ),
    (
        'counting',
        'the work at one position only',
        'positions = _product(self._shapes[current, 0]) // channels',
        'positions = 1',
    ),
    (
        'counting',
        'inputs of convolutions are not kept',
        "_KEPT = {'Convolution': ([0], [])",
        "_KEPT = {'Convolution': ([], [])",
    ),
    (
        'training',
        'a step as if the batch were one image',
        'trainer.step(step_size or size)',
        'trainer.step(step_size or 1)',
    ),
    (
        'training',
        'a short batch is divided by the full size',
        'trainer.step(step_size or size)',
        "trainer.step(step_size or getattr(train_iter, 'batch_size', size))",
    ),
    ('training', 'mirror images are upside down', 'X[:, :, :, ::-1]', 'X[:, :, ::-1, :]'),
    (
        'training',
        "the test images are normalised by their batch's own statistics",
        'scores = net(X)\n            if mirrored',
        'scores = (autograd.set_training(True), net(X))[1]\n            if mirrored',
    ),
    (
        'training',
        'the test accuracy is that of the training images',
        "_evaluate(net, test_iter, devices[0], 'test_iter')",
        "_evaluate(net, train_iter, devices[0], 'test_iter')",
    ),
    (
        'training',
        'the class with the lowest score',
        'int((scores.argmax(axis=1) == labels).sum())',
        'int((scores.argmin(axis=1) == labels).sum())',
    ),
    (
        'training',
        'the loss of a batch is its mean',
        "part.asnumpy().sum(dtype='float64')",
        "part.asnumpy().mean(dtype='float64')",
    ),
    (
        'training',
        'label smoothing the wrong way round',
        '(1 - self._smoothing) * on_label + self._smoothing * on_all',
        'self._smoothing * on_label + (1 - self._smoothing) * on_all',
    ),
    ('training', 'a wrong sign in label smoothing', 'on_all = -log_softmax', 'on_all = log_softmax'),
    ('training', 'the history holds the smoothed loss', 'if isinstance(loss, SmoothedCrossEntropyLoss):', 'if False:'),
    ('training', 'a network that diverged keeps its NaN', '                _restore(net, good)\n', ''),
    ('training', 'an infinite loss goes unnoticed', 'if not math.isfinite(batch_loss):', 'if math.isnan(batch_loss):'),
    (
        'training',
        'probabilities that sum to 1 over the images',
        'powers.sum(axis=1, keepdims=True)',
        'powers.sum(axis=0, keepdims=True)',
    ),
    ('training', 'an idle device adds its old gradient', '                parameter.grad(idle)[:] = 0\n', ''),
    (
        'data',
        'not shuffled',
        'order = random.permutation(count) if self.shuffle',
        'order = numpy.arange(count) if self.shuffle',
    ),
    ('data', 'the same order in each epoch', 'default_rng([self.seed, epoch])', 'default_rng([self.seed])'),
    (
        'data',
        'labels off by one',
        "array(self.labels[chosen], dtype='int32'",
        "array((self.labels[chosen] + 1) % 10, dtype='int32'",
    ),
    (
        'data',
        'images and labels in different orders',
        "array(self.labels[chosen], dtype='int32'",
        "array(self.labels[start:start + len(chosen)], dtype='int32'",
    ),
    ('data', 'pixels divided by 256', 'numpy.float32(255)', 'numpy.float32(256)'),
    ('data', 'mirrored upside down', 'batch[flipped, :, ::-1]', 'batch[flipped, ::-1]'),
    ('data', 'shifts never reach one side', '2 * self.crop + 1, (count, 2)', '2 * self.crop, (count, 2)'),
    ('data', 'erases each image', 'hit = random.random(count) < self.erase', 'hit = random.random(count) < 1'),
    ('data', 'validation images are trained on', 'numpy.sort(order[:-validation])', 'numpy.sort(order)'),
    (
        'data',
        'the test images are shuffled',
        'ImageLoader(test, test_labels, batch_size, resize=resize,',
        'ImageLoader(test, test_labels, batch_size, resize=resize, shuffle=True,',
    ),
    (
        'data',
        'the last short batch is lost',
        'for start in range(0, count, self.batch_size):',
        'for start in range(0, count - self.batch_size + 1, self.batch_size):',
    ),
    ('idx', 'a file that goes on after its end is taken', 'if len(body) != size:', 'if len(body) < size:'),
    (
        'idx',
        'sizes read in the wrong byte order',
        "struct.unpack(f'>{axes}I', header[4:])",
        "struct.unpack(f'<{axes}I', header[4:])",
    ),
    ('idx', 'label 10 is taken', 'if labels.max() >= classes:', 'if labels.max() > classes:'),
    ('recipes', 'no warm-up', 'warmup = min(round(self.warmup * num_steps), num_steps - 1)', 'warmup = 0'),
    ('recipes', 'momentum is lost', 'if self.momentum:', 'if False:'),
    (
        'recipes',
        'augmentation is lost',
        "return {'flip': self.flip, 'crop': self.crop, 'erase': self.erase}",
        'return {}',
    ),
    (
        'optimizers',
        'plain momentum in the place of Nesterov',
        '(grad + self.momentum * state).reshape',
        'state.reshape',
    ),
    ('optimizers', 'no weight decay for convolutions', 'weight *= 1 - rate * wd', 'weight *= 1'),
    ('optimizers', 'three iterations in the place of five', 'for _ in range(5):', 'for _ in range(3):'),
    (
        'optimizers',
        'the step does not depend on the shape',
        'rate * max(1, rows / columns) ** 0.5 * step',
        'rate * step',
    ),
    ('checkpoints', 'the oldest checkpoint is taken', 'reverse=True)', 'reverse=False)'),
    (
        'checkpoints',
        'a damaged checkpoint is taken',
        'if hashlib.sha256(content).hexdigest()[:32] != ',
        'if False and ',
    ),
    ('checkpoints', 'only one checkpoint is kept', 'self.files()[self.keep:]', 'self.files()[self.keep - 1:]'),
    ('resume', "NumPy's generator is not put back", 'numpy.random.set_state(self._numpy)', 'pass'),
    ('resume', 'a run of other settings is resumed', '        if differences:', '        if False:'),
    ('resume', 'the history starts anew', "history.rows[:] = state['history']['rows']", 'pass'),
    ('recompute', 'running statistics move twice', 'if again:', 'if False:'),
    (
        'recompute',
        'the forward pass moves the statistics of what is between dense blocks',
        '        if first:\n',
        '        if False:\n',
    ),
    ('recompute', 'a gradient overwrites what another call gave', '        gradient += part', '        pass'),
    ('recompute', 'features get the gradient of their last reader only', "gradients, 'add')", "gradients, 'write')"),
    (
        'recompute',
        'dropout draws other masks backward',
        'gradient = self._drop(gradient, seeds)',
        'gradient = gradient',
    ),
    (
        'recompute',
        "the ReLU's gradient is left out",
        "gradient = _invoke('_backward_Activation', [gradient, active], gradient, act_type='relu')",
        'pass',
    ),
    ('recompute', 'grad_req add is not heeded', "if parameter.grad_req == 'add':", 'if False:'),
    ('recompute', 'the gradient stops at the first dense block', 'return x.grad.copy()', 'return x.grad.copy() * 0'),
    ('reuse', 'means without the absolute value', 'magnitudes = abs(_values(weight))', 'magnitudes = _values(weight)'),
    ('reuse', 'the sum in the place of the mean', ".mean(dtype='float64')", ".sum(dtype='float64')"),
    (
        'reuse',
        'cuts the source before',
        'values[:, _channels(weights, source)] = 0',
        'values[:, _channels(weights, max(source - 1, 0))] = 0',
    ),
    (
        'reuse',
        'layers counted from 0',
        'weight = weights[layer - 1]\n    values',
        'weight = weights[layer - 2]\n    values',
    ),
]


def faulty(module, text, fault):
    """The source of `module` with the fault; ValueError if the text is not there exactly once."""
    source = (ROOT / 'd2l_densenet' / f'{module}.py').read_text()
    if source.count(text) != 1:
        raise ValueError(f'd2l_densenet/{module}.py holds {source.count(text)} times, not once: {text}')
    return source.replace(text, fault)


def copy_project(directory):
    """What the quick tests need of the project, in `directory`."""
    shutil.copytree(
        ROOT,
        directory,
        symlinks=True,
        ignore=shutil.ignore_patterns(
            '.git', '.venv', 'runs', 'build', '__pycache__', '.pytest_cache', '.hypothesis', '.ruff_cache', '*.egg-info'
        ),
    )
    (directory / '.venv').symlink_to(ROOT / '.venv')


def run_tests(directory, files):
    """Run test files in a copy; returns ('passed' | 'failed' | 'hangs' | 'broken', the line that says why, seconds)."""
    environment = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'TQDM_DISABLE': '1',
        'D2L_DENSENET_QUICK': '1',
        'PYTHONPATH': str(directory),
        'PYTHONDONTWRITEBYTECODE': '1',
    }
    command = [
        sys.executable,
        '-m',
        'pytest',
        '-x',
        '-q',
        '--no-header',
        '-p',
        'no:cacheprovider',
        '--tb=no',
        *(f'tests/test_{name}.py' for name in files),
    ]
    start = time.perf_counter()
    try:
        result = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return 'hangs', f'no end within {TIMEOUT} s', time.perf_counter() - start
    seconds = time.perf_counter() - start
    why = [line for line in result.stdout.splitlines() if line.startswith(('FAILED', 'ERROR'))]
    if result.returncode in (0, 1):
        return ('failed' if result.returncode else 'passed'), (why or [''])[0][:200], seconds
    # A collection error, or a process that MXNet ended.
    return 'broken', (why or result.stdout.splitlines()[-1:] or [''])[0][:200], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', metavar='WORD', help='faults with this word only; write no record')
    parser.add_argument(
        '--survivors', action='store_true', help='only those that survived, by the record, and new ones'
    )
    parser.add_argument('--jobs', type=int, default=2, help='copies at the same time (default: %(default)s)')
    parser.add_argument('--table', action='store_true', help='try nothing: only make the table of the record')
    options = parser.parse_args()
    if options.table:
        record = json.loads(RECORD.read_text())
    else:
        kept = []
        if options.survivors:
            present = {fault[:2] for fault in FAULTS}
            rows = json.loads(RECORD.read_text())['rows']
            kept = [row for row in rows if row['outcome'] != 'passed' and (row['module'], row['fault']) in present]
        record = measure(options.only, options.jobs, kept)
        if options.only:
            return
        RECORD.parent.mkdir(exist_ok=True)
        write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
    readme.put(START, END, table(record))
    print(table(record))


def measure(only, jobs, kept):
    known = {(row['module'], row['fault']) for row in kept}
    chosen = [fault for fault in FAULTS if not only or only in fault[0] or only in fault[1]]
    chosen = [fault for fault in chosen if fault[:2] not in known]
    sources = {fault: faulty(fault[0], *fault[2:]) for fault in chosen}  # all of them, before anything runs
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        copies = queue.SimpleQueue()
        for number in range(jobs):
            copy_project(pathlib.Path(scratch) / str(number))
            copies.put(pathlib.Path(scratch) / str(number))
        modules = sorted({fault[0] for fault in chosen})
        files = list(dict.fromkeys(name for module in modules for name in TESTS[module]))
        copy = copies.get()
        for name in files:
            outcome, why, seconds = run_tests(copy, [name])
            print(f'without a fault: test_{name} {outcome} in {seconds:.0f} s {why}', flush=True)
            if outcome != 'passed':
                raise RuntimeError(f'tests/test_{name}.py must pass before faults can be tried: {why}')
        copies.put(copy)

        def attempt(fault):
            copy = copies.get()
            path = copy / 'd2l_densenet' / f'{fault[0]}.py'
            right = path.read_text()
            try:
                path.write_text(sources[fault])
                outcome, why, seconds = run_tests(copy, TESTS[fault[0]])
            finally:
                path.write_text(right)
                copies.put(copy)
            print(
                f'{"SURVIVED" if outcome == "passed" else "caught":8}  {fault[0]}: {fault[1]}  ({outcome}, '
                f'{seconds:.0f} s) {why}',
                flush=True,
            )
            return {'module': fault[0], 'fault': fault[1], 'outcome': outcome, 'by': why, 'seconds': round(seconds, 1)}

        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            rows = list(pool.map(attempt, chosen))
    order = [fault[:2] for fault in FAULTS]
    rows = sorted(kept + rows, key=lambda row: order.index((row['module'], row['fault'])))
    caught = sum(row['outcome'] != 'passed' for row in rows)
    print(f'{caught} of {len(rows)} caught')
    return {
        'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'caught': caught,
        'faults': len(rows),
        'rows': rows,
        'versions': versions(),
        'machine': machine(),
    }


def table(record):
    modules = list(dict.fromkeys(row['module'] for row in record['rows']))
    lines = ['| module | faults | caught |', '|---|---:|---:|']
    for module in modules:
        rows = [row for row in record['rows'] if row['module'] == module]
        lines.append(f'| `{module}` | {len(rows)} | {sum(row["outcome"] != "passed" for row in rows)} |')
    lines.append(
        f'| all | {record["faults"]} | {record["caught"]} ({100 * record["caught"] / record["faults"]:.0f} %) |'
    )
    survivors = [
        f'- survived: `{row["module"]}`: {row["fault"]}' for row in record['rows'] if row['outcome'] == 'passed'
    ]
    return '\n'.join(
        [
            *lines,
            '',
            *survivors,
            *([''] if survivors else []),
            f'Measured on {record["started"][:10]} by `python benchmarks/mutants.py`.',
        ]
    )


if __name__ == '__main__':
    main()
