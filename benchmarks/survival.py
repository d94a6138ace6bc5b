"""Kill, stop and damage training runs, resume them, compare the parameters to the bit, and print the table.

Every row is ``d2l-densenet train`` on the drawn stand-in, again and again: it is ended at a random moment, resumed, and
once it has finished, its parameters are compared with those of a run that nothing happened to. Runs follow one
another until the number of events is reached. The last row is ``d2l-densenet launch`` with two workers: one of its four
processes is killed, and the whole job resumed. The record goes to ``records/survival.json``, the table to
docs/reliability.md.
"""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import mxnet as mx
from harness import ROOT, Benchmark, markdown, measuring

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
    place = draw.randrange(len(content))
    if draw.random() < 0.5:
        content[place] ^= 1 << draw.randrange(8)
    else:
        del content[place:]
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


@contextlib.contextmanager
def small_disk(place):
    """A file system of 96 MB; None where none can be mounted."""
    place.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', place], capture_output=True).returncode:
        print('no small file system can be mounted here: the row of the full disk is left out')
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(['umount', place], check=True)


def measure(options):
    """The record; with --only the one that there is, with a new row, which has its own date."""
    draw, begun = random.Random(options.seed), time.monotonic()
    with measuring(seed=options.seed, settings=SETTINGS, rows={}) as record, \
            tempfile.TemporaryDirectory() as temporary:
        place, expected = pathlib.Path(temporary), {}
        for job in (False, True):
            output, _ = (process := begin(place / f'whole-{job}', job)).communicate()
            if process.returncode:
                raise RuntimeError(output)
            expected[job] = parameters(place / f'whole-{job}')
        for kind in [options.only] if options.only else ROWS:
            events = options.kills if kind == 'SIGKILL' else max(1, options.kills // 5)
            with small_disk(place / 'small') if kind == 'full' else contextlib.nullcontext(place) as here:
                if here:
                    record['rows'][kind] = row(kind, events, expected[kind == 'job'], draw, here)
        record['seconds'] = round(time.monotonic() - begun)
    if options.only:
        old = BENCHMARK.read()
        old['rows'][options.only] = {**record['rows'][options.only], 'started': record['started']}
        return old
    return record


def table(record):
    """The rows as Markdown."""
    return '\n\n'.join([
        markdown(['what was done', '>how often', '>runs', '>runs whose parameters came out different'],
                 [(ROWS[kind], entry['events'], entry['runs'], entry['different'])
                  for kind, entry in record['rows'].items()]),
        BENCHMARK.measured(record, f'seed {record["seed"]}')])


BENCHMARK = Benchmark(__file__, table)


def main():
    parser = BENCHMARK.options(__doc__, kills=(50, 'SIGKILLs; a fifth as many of the others'),
                               seed=(0, 'for the moments'))
    parser.add_argument('--only', choices=ROWS, help='only this row; the others stay as they are recorded')
    options = parser.parse_args()
    record = BENCHMARK.read() if options.table else measure(options)
    if not options.table:
        BENCHMARK.write(record)
    BENCHMARK.publish(record)


if __name__ == '__main__':
    main()
