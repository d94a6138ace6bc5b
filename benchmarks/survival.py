"""Kill, stop and damage training runs, resume them, compare the parameters to the bit, and print the table.

Every row is ``d2l-densenet train`` on the drawn stand-in, again and again: it is ended at a random moment, resumed, and
once it has finished, its parameters are compared with those of a run that nothing happened to. Runs follow one
another until the number of events is reached. The last row is ``d2l-densenet launch`` with two workers: one of its four
processes is killed, and the whole job resumed. The record goes to ``records/survival.json``, the table to README.md.
"""

import argparse
import datetime
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import mxnet as mx
import readme

from d2l_densenet.runs.directories import machine, versions, write_atomically

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / 'records' / 'survival.json'
START, END = '<!-- survival table: made by benchmarks/survival.py -->', '<!-- end of survival table -->'
SETTINGS = ['--data', 'synthetic', '--limit', '800', '--size', '20', '--batch-size', '16', '--epochs', '3',
            '--seed', '5', '--device', 'cpu', '--recipe', 'course']
ROWS = {
    'SIGKILL': 'killed with SIGKILL at a random moment, from its first second on',
    'SIGTERM': 'ended with SIGTERM at a random moment',
    'damage': 'killed, then a random byte of the newest checkpoint changed, or its end cut off',
    'full': 'killed; resumed on a full disk for some seconds; killed again',
    'job': 'two workers, a server, a scheduler: one of the four killed with SIGKILL at a random moment'}


def command(*arguments, job=False):
    """A training process, or the launcher of a job."""
    launch = ['launch', '--workers', '2', '--'] if job else []
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'TQDM_DISABLE': '1'}
    return subprocess.Popen([sys.executable, '-m', 'd2l_densenet', *launch, 'train', *arguments], env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def begin(directory, job=False):
    """Start a run in `directory`, or go on with the one that is there."""
    if (directory / 'config.json').exists():
        return command('--resume', str(directory), '--checkpoint-seconds', '0.1', job=job)
    return command(*SETTINGS, '--output', str(directory), '--checkpoint-seconds', '0.1', job=job)


def parameters(directory):
    return {name: value.asnumpy() for name, value in mx.nd.load(str(directory / 'model.params')).items()}


def end_it(process, how, draw):
    """Send a signal after a random time; False if the process had finished by then."""
    try:
        output, _ = process.communicate(timeout=draw.uniform(1, 7))
    except subprocess.TimeoutExpired:
        process.send_signal(how)
        process.communicate()
        return process.returncode != 0
    if process.returncode:
        raise RuntimeError(f'a run ended with status {process.returncode}:\n{output}')
    return False


def kill_one(launcher, draw):
    """Kill one process of a job after a random time; False if the job had finished by then."""
    try:
        output, _ = launcher.communicate(timeout=draw.uniform(1, 40))
    except subprocess.TimeoutExpired:
        children = pathlib.Path(f'/proc/{launcher.pid}/task/{launcher.pid}/children').read_text().split()
        if children:
            os.kill(int(draw.choice(children)), signal.SIGKILL)
        output, _ = launcher.communicate()
        if launcher.returncode and 'was killed by SIGKILL' not in output:
            raise RuntimeError(f'a job ended with status {launcher.returncode}:\n{output}') from None
        return launcher.returncode != 0
    if launcher.returncode:
        raise RuntimeError(f'a job ended with status {launcher.returncode}:\n{output}')
    return False


def damage(directory, draw):
    """Change or cut the newest checkpoint."""
    checkpoints = sorted((directory / 'checkpoints').glob('checkpoint-*.safetensors'))
    if not checkpoints:
        return
    content = bytearray(checkpoints[-1].read_bytes())
    at = draw.randrange(len(content))
    if draw.random() < 0.5:
        content[at] ^= 1 << draw.randrange(8)
    else:
        del content[at:]
    checkpoints[-1].write_bytes(content)


def fill(directory, draw):
    """Let a resumed run meet a full disk for some seconds, and kill it if it has not given up."""
    if not (directory / 'config.json').exists():
        return
    place = os.statvfs(directory)
    filler = directory.parent / 'filler'
    try:
        with open(filler, 'wb') as file:
            file.write(bytes(max(0, place.f_bavail * place.f_frsize - 4096)))
        process = begin(directory)
        try:
            process.communicate(timeout=draw.uniform(3, 9))  # it may end with an error: it cannot write its results
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    finally:
        filler.unlink(missing_ok=True)


def row(kind, events, expected, draw, place):
    """Events of one kind over as many runs as it takes; how many runs ended with other parameters."""
    done = runs = different = 0
    while done < events:
        directory, job = place / f'{kind}-{runs}', kind == 'job'
        while True:
            process = begin(directory, job)
            if not (kill_one(process, draw) if job else
                    end_it(process, signal.SIGTERM if kind == 'SIGTERM' else signal.SIGKILL, draw)):
                break
            done += 1
            print(f'{kind}: {done} of {events}', flush=True)
            if kind == 'damage':
                damage(directory, draw)
            elif kind == 'full':
                fill(directory, draw)
            if done >= events:
                output, _ = (last := begin(directory, job)).communicate()
                if last.returncode:
                    raise RuntimeError(f'a run ended with status {last.returncode}:\n{output}')
                break
        found = parameters(directory)
        runs += 1
        different += found.keys() != expected.keys() or any((found[name] != expected[name]).any() for name in expected)
    return {'events': done, 'runs': runs, 'different': different}


def table(record):
    """The rows as Markdown."""
    lines = ['| what was done | how often | runs | runs whose parameters came out different |', '|---|---:|---:|---:|']
    lines += [f'| {ROWS[kind]} | {entry["events"]} | {entry["runs"]} | {entry["different"]} |'
              for kind, entry in record['rows'].items()]
    return '\n'.join([*lines, '', f'Measured on {record["started"][:10]}, {record["machine"]["cpu"]}, MXNet '
                      f'{record["versions"]["mxnet"]}, seed {record["seed"]}, by `python benchmarks/survival.py`.'])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=50, help='SIGKILLs; a fifth as many of the others')
    parser.add_argument('--seed', type=int, default=0, help='for the moments')
    parser.add_argument('--only', choices=ROWS, help='only this row; the others stay as they are recorded')
    parser.add_argument('--table', action='store_true', help='only make the table of the record')
    options = parser.parse_args()
    if options.table:
        record = json.loads(RECORD.read_text())
    else:
        started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
        draw, rows, begun = random.Random(options.seed), {}, time.monotonic()
        with tempfile.TemporaryDirectory() as temporary:
            place = pathlib.Path(temporary)
            expected = {}
            for job in (False, True):
                process = begin(place / f'whole-{job}', job)
                output, _ = process.communicate()
                if process.returncode:
                    raise RuntimeError(output)
                expected[job] = parameters(place / f'whole-{job}')
            for kind in [options.only] if options.only else ROWS:
                events = options.kills if kind == 'SIGKILL' else max(1, options.kills // 5)
                here = place
                if kind == 'full':
                    here = place / 'small'
                    here.mkdir()
                    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', str(here)],
                                             capture_output=True)
                    if mounted.returncode:
                        print('no small file system can be mounted here: the row of the full disk is left out')
                        continue
                try:
                    rows[kind] = row(kind, events, expected[kind == 'job'], draw, here)
                finally:
                    if kind == 'full':
                        subprocess.run(['umount', str(here)], check=True)
        record = {'started': started, 'seconds': round(time.monotonic() - begun), 'seed': options.seed,
                  'settings': SETTINGS, 'versions': versions(), 'machine': machine(), 'rows': rows}
        if options.only:  # the row has its own date
            row_of, record = rows[options.only], json.loads(RECORD.read_text())
            record['rows'][options.only] = {**row_of, 'started': started}
        write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
    readme.put(START, END, table(record))
    print(table(record))


if __name__ == '__main__':
    main()
