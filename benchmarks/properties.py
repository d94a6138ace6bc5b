"""Draw many networks and changes, and compare every way to compute each with the plain one: ``make properties``.

What a case is and what is compared is in tests/drawn_networks.py. The result goes to records/properties.json: versions,
machine, which cases, how many of them could not be computed at all, and those that failed, of which there must be none.
"""

import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tests'))

import drawn_networks  # noqa: E402

from d2l_densenet.runs.directories import machine, versions, write_atomically  # noqa: E402

RECORD = ROOT / 'records' / 'properties.json'


def outcome(number):
    """(Number, whether it could be computed, its ways, its changes, what is wrong) of a case."""
    case = drawn_networks.Case(number)
    try:
        able = drawn_networks.check(case) is None
    except AssertionError as error:
        return number, True, case.ways, case.changes, str(error)
    return number, able, case.ways, case.changes, None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('-n', '--number', type=int, default=1000, help='cases to draw (default 1000)')
    parser.add_argument('--first', type=int, default=0, help='number of the first case, which repeats it (default 0)')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes (default one a core)')
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.number)
    start, done = time.perf_counter(), []
    # Processes that start anew: MXNet's threads do not live through a fork.
    with multiprocessing.get_context('spawn').Pool(options.workers, maxtasksperchild=200) as pool:
        try:
            for found in pool.imap_unordered(outcome, numbers):
                done.append(found)
                if found[-1]:
                    print(found[-1], flush=True)
                if len(done) % 50 == 0:
                    write(options, done, time.perf_counter() - start)
        except KeyboardInterrupt:
            print('interrupted: the record says how many cases were tried')
    return write(options, done, time.perf_counter() - start)


def write(options, done, seconds):
    """Write the record of the cases that are done, and tell of it; the exit status."""
    able = [(ways, changes) for _, able, ways, changes, _ in done if able]
    failures = sorted(number for number, *_, wrong in done if wrong)
    record = {'versions': versions(), 'machine': machine(), 'first': options.first, 'cases': len(done),
              'could_not_be_computed': len(done) - len(able), 'failures': failures, 'seconds': round(seconds),
              'ways': dict(sorted(collections.Counter(way for ways, _ in able for way in ways).items())),
              'changes': dict(sorted(collections.Counter(name for _, names in able for name in names).items()))}
    write_atomically(RECORD, json.dumps(record, indent=1) + '\n')
    print(f'{len(done)} of {options.number} cases, {record["could_not_be_computed"]} of them networks that cannot be '
          f'computed; failures: {failures}; {seconds:.0f} s', flush=True)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
