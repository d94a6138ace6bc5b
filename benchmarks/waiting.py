"""Measure what a person waits for: the import, the first sign of progress, the environment.

``python benchmarks/waiting.py`` writes ``records/waiting.json`` and the table in docs/measurements.md. The environment
is made in a fresh clone of what is committed, in a new directory. All of it takes some two minutes.
"""

import fcntl
import os
import pathlib
import pty
import select
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time

from harness import ROOT, Benchmark, in_turn, markdown, measuring, ratio

ROUNDS = 9


def seconds_of(command, **options):
    """Seconds that `command` takes; RuntimeError with the end of its output if it fails."""
    start = time.perf_counter()
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if result.returncode:
        raise RuntimeError(f'{" ".join(map(str, command))} ended with status {result.returncode}:\n'
                           + '\n'.join(result.stdout.splitlines()[-15:]))
    return time.perf_counter() - start


def imports():
    """Seconds of ``import mxnet`` and of ``import d2l_densenet`` with all its public names, in turn."""
    programs = {'mxnet': 'import mxnet', 'd2l_densenet': 'import d2l_densenet',
                'all names': 'from d2l_densenet import *'}
    seconds = in_turn(programs, ROUNDS + 1, lambda name: seconds_of([sys.executable, '-c', programs[name]], cwd=ROOT),
                      '{:.2f} s'.format)
    return {f'import {name}': values[1:] for name, values in seconds.items()}  # the first fills the disk's cache


def first_progress():
    """Seconds from the command ``d2l-densenet train``, on a terminal, to a bar that has moved."""
    with tempfile.TemporaryDirectory() as directory:
        here, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack('4H', 24, 80, 0, 0))  # a terminal without width has no bar
        environment = {name: value for name, value in os.environ.items() if name != 'TQDM_DISABLE'}
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, '-m', 'd2l_densenet', 'train', '--output', f'{directory}/run'],
                                   cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=there, stderr=there)
        os.close(there)
        shown = ''
        try:
            while process.poll() is None and time.perf_counter() - start < 120:
                if select.select([here], [], [], 1)[0]:
                    shown += os.read(here, 4096).decode(errors='replace')
                # tqdm's bar: "3/469 [00:01<...". At 0 it only says that it is there.
                if any(f' {count}/' in shown and '[' in shown for count in range(1, 10)):
                    return time.perf_counter() - start
        finally:
            process.kill()
            process.wait()
            os.close(here)
    raise RuntimeError(f'no progress was shown: {shown[-500:]}')


def fresh_clone():
    """Seconds of ``make env`` in a fresh clone."""
    with tempfile.TemporaryDirectory() as directory:
        clone = pathlib.Path(directory) / 'fresh clone'
        seconds_of(['git', 'clone', '--quiet', str(ROOT), str(clone)])
        environment = {name: value for name, value in os.environ.items()
                       if name not in ('PYTHONPATH', 'VIRTUAL_ENV', 'OMP_NUM_THREADS')}
        print('make env: ...', flush=True)
        return seconds_of(['make', 'env'], cwd=clone, env=environment)


def measure():
    with measuring(free_disk_gb=shutil.disk_usage(ROOT).free / 1e9) as record:
        record['seconds'] = {**imports(), 'first progress': [first_progress() for _ in range(3)],
                             'make env': [fresh_clone()]}
    return record


def table(record):
    seconds = record['seconds']
    times = {name: ratio(seconds[f'import {name}'], seconds['import mxnet']) for name in ('d2l_densenet', 'all names')}
    rows = [('`import mxnet`, for comparison', 'import mxnet', ''),
            ('`import d2l_densenet`', 'import d2l_densenet', f'under 1.5 times that (is {times["d2l_densenet"]:.2f})'),
            ('`from d2l_densenet import *`', 'import all names', f'(is {times["all names"]:.2f} times that)'),
            ('`d2l-densenet train`, until the bar moves', 'first progress', 'at most 15 s'),
            ('`make env` in a fresh clone', 'make env', 'at most 120 s')]
    return '\n\n'.join([
        markdown(['what', '>seconds, median', '>runs', 'aim'],
                 [(what, f'{statistics.median(seconds[name]):.3g}', len(seconds[name]), aim)
                  for what, name, aim in rows if name in seconds]),
        BENCHMARK.measured(record, f'{record["machine"]["cores"]} cores')])


BENCHMARK = Benchmark(__file__, table)


def main():
    options = BENCHMARK.options(__doc__).parse_args()
    record = BENCHMARK.read() if options.table else measure()
    if not options.table:
        BENCHMARK.write(record)
    BENCHMARK.publish(record)


if __name__ == '__main__':
    main()
