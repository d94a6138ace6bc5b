"""What the programs beside this file share: records, tables between marks, runs in turn, processes of their own.

A program says what it measures and how its record reads as Markdown; `Benchmark` keeps the record in records/, finds
the page in README.md or docs/ that holds the marks of its table, and puts the table there.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORDS = ROOT / 'records'
# This checkout, whatever is installed. The package is imported late: a process may be there to measure another one.
sys.path.insert(0, str(ROOT))


class Benchmark:
    """A program with a record, ``records/NAME.json``, and a table between the marks that name it.

    Parameters
    ----------
    file : str
        The program's ``__file__``.
    table : function of a record
        Returns the record as Markdown.
    """

    def __init__(self, file, table):
        self.name, self.file, self.table = pathlib.Path(file).stem, file, table
        self.record = RECORDS / f'{self.name}.json'
        what = 'tables' if self.name == 'throughput' else 'table'
        self.marks = (f'<!-- {self.name} {what}: made by benchmarks/{self.name}.py -->',
                      f'<!-- end of {self.name} {what} -->')

    def options(self, doc, *arguments, **defaults):
        """The parser of the command line: what every program takes, and integers ``name=(default, help)``."""
        parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument('--table', action='store_true', help='measure nothing: only make the table of the record')
        for name, (default, text) in defaults.items():
            parser.add_argument(f'--{name.replace("_", "-")}', type=int, default=default,
                                help=f'{text} (default: %(default)s)')
        parser.add_argument('--child', help=argparse.SUPPRESS)
        return parser

    def read(self):
        return json.loads(self.record.read_text())

    def write(self, record):
        RECORDS.mkdir(exist_ok=True)
        write(self.record, json.dumps(record, indent=1) + '\n')

    def publish(self, record):
        """Put the table between its marks, and print it."""
        table = self.table(record)
        put(*self.marks, table)
        print(table)

    def process(self, job, file=None, **environment):
        """Run this program with ``--child JOB`` in a process of its own; what it prints last, read as JSON."""
        done = subprocess.run([sys.executable, file or self.file, '--child', json.dumps(job)], cwd=ROOT, text=True,
                              capture_output=True, env={**os.environ, **environment})
        if done.returncode:
            raise SystemExit(f'{job} ended with status {done.returncode}:\n{done.stdout}{done.stderr}')
        return json.loads(done.stdout.splitlines()[-1])

    def measured(self, record, *facts):
        """The line that says when, where and with what the record was measured."""
        load = record.get('load')
        busy = [f'load average {load[0]:.1f} before and {load[1]:.1f} after'] if load else []
        return (f'Measured on {", ".join([record["started"][:10], record["machine"]["cpu"], *facts, *busy])}, '
                f'MXNet {record["versions"]["mxnet"]}, by `python benchmarks/{self.name}.py`.')


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')


@contextlib.contextmanager
def measuring(**facts):
    """A new record with `facts`: when it was begun and on what, and how busy the machine was before and after."""
    from d2l_densenet.runs.directories import machine, versions
    record, before = {'started': now(), **facts, 'versions': versions(), 'machine': machine()}, os.getloadavg()[0]
    yield record
    record['load'] = [before, os.getloadavg()[0]]


def in_turn(names, rounds, measure, say=str):
    """``{name: [measure(name), ...]}``, one of each a round and every other round backwards.

    So whatever else the machine does falls on all of them. A round is printed when it is over, with ``say(value)``.
    """
    values = {name: [] for name in names}
    for number in range(rounds):
        for name in list(names)[::-1 if number % 2 else 1]:
            values[name].append(measure(name))
        print(f'round {number + 1} of {rounds}: '
              + ', '.join(f'{name} {say(found[-1])}' for name, found in values.items()), flush=True)
    return values


def ratio(values, others):
    """The median of the ratios within the rounds, which a busy hour changes least."""
    return statistics.median(value / other for value, other in zip(values, others))


def kilobytes(name):
    """A line of this process's memory, such as VmHWM, in kB."""
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def markdown(headings, rows):
    """A table as Markdown; its numbers, in columns whose heading begins with '>', stand on the right."""
    titles = [heading.removeprefix('>') for heading in headings]
    rules = ['---:' if heading.startswith('>') else '---' for heading in headings]
    return '\n'.join(['| ' + ' | '.join(titles) + ' |', '|' + '|'.join(rules) + '|',
                      *('| ' + ' | '.join(map(str, row)) + ' |' for row in rows)])


def page(start):
    """The page that holds the mark `start`."""
    found = [path for path in [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))] if start in path.read_text()]
    if len(found) != 1:
        raise RuntimeError(f'the mark {start} must be in README.md or in one page of docs/, and is in {len(found)}')
    return found[0]


def between(start, end):
    """What stands between two marks, and the text before and after it."""
    head, _, rest = page(start).read_text().partition(start)
    inside, found, tail = rest.partition(end)
    if not found:
        raise RuntimeError(f'{page(start).name} lacks the mark {end}')
    return inside.strip(), head + start, end + tail


def put(start, end, table):
    """Put `table` between the marks `start` and `end` of the page that holds them."""
    _, head, tail = between(start, end)
    write(page(start), f'{head}\n{table}\n{tail}')


def write(path, content):
    """Write a file whole or not at all."""
    from d2l_densenet.runs.directories import write_atomically
    write_atomically(path, content)
