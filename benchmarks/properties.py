"""Draw many networks and changes, and compare every way to compute each with the plain one: ``make properties``.

What a case is and what is compared is in tests/drawn_networks.py. The result goes to records/properties.json: versions,
machine, which cases, how many of them could not be computed at all, and those that failed, of which there must be none.
"""

import argparse
import collections
import json
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tests'))

import drawn_networks  # noqa: E402

from d2l_densenet.runs.directories import machine, versions, write_atomically  # noqa: E402

RECORD = ROOT / 'records' / 'properties.json'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('-n', '--number', type=int, default=1000, help='cases to draw (default 1000)')
    parser.add_argument('--first', type=int, default=0, help='number of the first case, which repeats it (default 0)')
    parser.add_argument('--no-record', action='store_true', help='print only')
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.number)
    ways, changes, refused, failures = collections.Counter(), collections.Counter(), 0, []
    start, done = time.perf_counter(), 0
    try:
        for number in numbers:
            case = drawn_networks.Case(number)
            try:
                unable = drawn_networks.check(case) is not None
            except AssertionError as error:
                failures.append(number)
                print(error, flush=True)
                unable = False
            done += 1
            refused += unable
            if not unable:
                ways.update(case.ways)
                changes.update(case.changes)
            if done % 50 == 0:
                print(f'{done} of {len(numbers)} cases, {refused} could not be computed, {len(failures)} failures, '
                      f'{time.perf_counter() - start:.0f} s', flush=True)
    except KeyboardInterrupt:
        print('interrupted: the record says how many cases were tried')
    record = {'versions': versions(), 'machine': machine(), 'first': options.first, 'cases': done,
              'could_not_be_computed': refused, 'failures': failures, 'seconds': round(time.perf_counter() - start),
              'ways': dict(sorted(ways.items())), 'changes': dict(sorted(changes.items()))}
    if not options.no_record:
        write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
    print(f'{done} cases, {len(failures)} failures: {failures}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
