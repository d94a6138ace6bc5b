"""Measure what a person waits for: the import, the first sign of progress, the environment, the tests.

``python benchmarks/waiting.py`` writes ``records/waiting.json`` and the table in README.md. The environment is made,
and the tests are run, in a fresh clone of what is committed, in a new directory; ``--skip`` leaves one of them out and
keeps what the record says about it. All of it takes some ten minutes.
"""

import argparse
import datetime
import fcntl
import json
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

import readme

from d2l_densenet.runs.directories import machine, versions, write_atomically

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / 'records' / 'waiting.json'
START, END = '<!-- waiting table: made by benchmarks/waiting.py -->', '<!-- end of waiting table -->'
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
    seconds = {name: [] for name in programs}
    for turn in range(ROUNDS + 1):
        for name, program in programs.items():
            value = seconds_of([sys.executable, '-c', program], cwd=ROOT)
            if turn:  # the first fills the disk's cache
                seconds[name].append(value)
    return seconds


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


def fresh_clone(skip):
    """Seconds of ``make env`` and of ``make test`` in a fresh clone."""
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        clone = pathlib.Path(directory) / 'fresh clone'
        seconds_of(['git', 'clone', '--quiet', str(ROOT), str(clone)])
        environment = {name: value for name, value in os.environ.items()
                       if name not in ('PYTHONPATH', 'VIRTUAL_ENV', 'OMP_NUM_THREADS')}
        for target in ('env', 'test'):
            if target not in skip:
                print(f'make {target}: ...', flush=True)
                found[f'make {target}'] = [seconds_of(['make', target], cwd=clone, env=environment)]
    return found


def measure(skip):
    old = json.loads(RECORD.read_text())['seconds'] if RECORD.exists() else {}
    load = os.getloadavg()[0]
    seconds = {f'import {name}': values for name, values in imports().items()}
    print(seconds, flush=True)
    seconds['first progress'] = [first_progress() for _ in range(3)]
    print(seconds['first progress'], flush=True)
    kept = {f'make {target}': old[f'make {target}'] for target in skip if f'make {target}' in old}
    seconds |= kept | (fresh_clone(skip) if set(skip) != {'env', 'test'} else {})
    return {'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'), 'seconds': seconds,
            'versions': versions(), 'machine': machine(), 'load': [load, os.getloadavg()[0]],
            'free_disk_gb': shutil.disk_usage(ROOT).free / 1e9}


def table(record):
    seconds = record['seconds']
    base = seconds['import mxnet']

    def ratio(name):
        return statistics.median(value / other for value, other in zip(seconds[name], base))

    rows = [('`import mxnet`, for comparison', 'import mxnet', ''),
            ('`import d2l_densenet`', 'import d2l_densenet',
             f'under 1.5 times that; {ratio("import d2l_densenet"):.2f}'),
            ('`from d2l_densenet import *`', 'import all names', f'{ratio("import all names"):.2f} times that'),
            ('`d2l-densenet train`, until the bar moves', 'first progress', 'at most 15 s'),
            ('`make env` in a fresh clone', 'make env', 'at most 120 s'),
            ('`make test` in a fresh clone, environment there', 'make test', 'at most 600 s')]
    lines = ['| what | seconds, median | runs | aim |', '|---|---:|---:|---|']
    lines += [f'| {what} | {statistics.median(seconds[name]):.3g} | {len(seconds[name])} | {aim} |'
              for what, name, aim in rows if name in seconds]
    return '\n'.join([*lines, '', f'Measured on {record["started"][:10]}, {record["machine"]["cpu"]}, '
                      f'{record["machine"]["cores"]} cores, load average {record["load"][0]:.1f} before, by '
                      '`python benchmarks/waiting.py`.'])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--skip', action='append', choices=('env', 'test'), default=[],
                        help='do not run this target of make (test needs env)')
    parser.add_argument('--table', action='store_true', help='measure nothing: only make the table of the record')
    options = parser.parse_args()
    if 'env' in options.skip and 'test' not in options.skip:
        parser.error('--skip env needs --skip test too: the tests run in that environment')
    if options.table:
        record = json.loads(RECORD.read_text())
    else:
        record = measure(options.skip)
        RECORD.parent.mkdir(exist_ok=True)
        write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
    readme.put(START, END, table(record))
    print(table(record))


if __name__ == '__main__':
    main()
