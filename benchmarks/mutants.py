"""Put faults into the package at random, one at a time, and see whether the tests notice: ``make mutants N=600``.

cosmic-ray, which keeps the kinds of faults, applies one to a copy of the checkout. pytest-cov has told beforehand which
tests run which line: those in the files of the module that was changed run first, then the rest of these files, and
others; of each as many, drawn, as take a minute. Of the notebooks' tests only those of exercises' answers run.
The result of each goes to records/mutants.json at once: an interrupted run goes on where it was. A survivor is read by
a person, who writes ``"equivalent": "why"`` into its entry if the fault changes nothing that a user can see.
"""

import ast
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from xml.etree import ElementTree

from harness import ROOT, Benchmark, markdown, now

FORKS = multiprocessing.get_context('forkserver')
FORKS.set_forkserver_preload(['pytest', 'nbval.plugin'])       # three seconds of every run
# Slow, or about files that a fault in the package does not change.
LEFT_OUT = ['bare', 'colab', 'gpu', 'benchmarks', 'test_packaging.py', 'test_site.py', 'test_reports.py', *(
    f'notebooks/{path.name}' for path in (ROOT / 'tests' / 'notebooks').glob('test_*.py')
    if path.name != 'test_answers.py')]
# The one left out by itself wants an installation of its own.
TESTS = ['tests', 'd2l_densenet', '--deselect=tests/test_doctor.py::test_mxnet_that_is_not_installed',
         *(f'--ignore=tests/{name}' for name in LEFT_OUT)]


def draw(number, seed):
    """`number` pairs of a module and one of cosmic-ray's mutations: first a module is drawn, then one of its own."""
    from cosmic_ray.commands.init import _all_work_items
    generator = random.Random(seed)
    modules = sorted(path.relative_to(ROOT) for path in (ROOT / 'd2l_densenet').rglob('*.py'))
    found = {}
    for path in modules:
        faults = [item.mutations[0] for item in _all_work_items([ROOT / path], {})]
        found[path] = generator.sample(faults, len(faults))
    found = {path: faults for path, faults in found.items() if faults}
    drawn = []
    while len(drawn) < number and any(found.values()):
        path = generator.choice([path for path, faults in found.items() if faults])
        drawn.append((path, found[path].pop()))
    return drawn


def tests_of(path):
    """The tests that mirror a module, and its examples."""
    folder = path.relative_to('d2l_densenet').parent
    mirrored = ROOT / 'tests' / folder / f'test_{path.stem.strip("_")}.py'
    own = [mirrored] if mirrored.exists() else sorted((ROOT / 'tests' / folder).glob('test_*.py')) \
        if folder.parts else [ROOT / 'tests' / 'test_network.py', ROOT / 'tests' / 'test_training.py']
    return [str(test.relative_to(ROOT)) for test in own] + [str(path)]


def covering(copy, workers):
    """{module: {line: names of the tests that run it}} and {name: its seconds}; asked once, then kept in build/."""
    kept = ROOT / 'build' / 'mutants-coverage.json'
    if kept.exists():
        return json.loads(kept.read_text())
    print('which tests run which line? (a run of all tests, about ten minutes)', flush=True)
    done = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-n', str(workers), '--cov=d2l_densenet',
                           '--cov-context=test', '--cov-report=', '--junit-xml=junit.xml', '-o', 'junit_family=xunit1',
                           *TESTS], cwd=copy, env=environment(copy), text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + '\nThe tests must pass before faults are put in.')
    import coverage
    data = coverage.CoverageData(str(copy / '.coverage'))
    data.read()
    found, seconds = {}, {}
    for file in data.measured_files():
        lines = data.contexts_by_lineno(file)
        found[str(pathlib.Path(file).relative_to(copy))] = {
            line: sorted({name_of(name) for name in names if name}) for line, names in lines.items()}
    for case in ElementTree.parse(copy / 'junit.xml').iter('testcase'):
        name = name_of(f'{case.get("file")}::{case.get("name")}|')
        seconds[name] = seconds.get(name, 0) + float(case.get('time'))
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps([found, seconds]))
    return json.loads(kept.read_text())


def name_of(context):
    """A test without its parameters, unless they say which of hundreds of answers it is about."""
    test = context.rpartition('|')[0]
    return test if 'test_answers.py' in test else test.partition('[')[0]


def running(lines, source, line):
    """The tests that run the statement around a line; all of the module's, if it is run at the import."""
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)
                  and node.lineno <= line <= node.end_lineno]
    smallest = min(statements, key=lambda node: node.end_lineno - node.lineno, default=None)
    where = range(smallest.lineno, smallest.end_lineno + 1) if smallest else [line]
    found = {name for number in where for name in lines.get(str(number), [])}
    return sorted(found or {name for names in lines.values() for name in names})


def environment(copy):
    return {**os.environ, 'PYTHONPATH': str(copy), 'OMP_NUM_THREADS': '1', 'TQDM_DISABLE': '1',
            'PYTHONDONTWRITEBYTECODE': '1', 'D2L_DENSENET_QUICK': '1'}


def tested(copy, tests):
    """In a process of its own, which another has forked that had loaded pytest: say which test fails first."""
    import pytest

    class First:
        def pytest_collectreport(self, report):
            if report.failed:
                (copy / 'failed').write_text(report.nodeid)

        pytest_runtest_logreport = pytest_collectreport

    os.setsid()
    os.chdir(copy)
    os.environ.update(environment(copy))
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    sys.exit(int(pytest.main(['-x', '-q', '--no-header', '-p', 'no:cacheprovider', *tests], plugins=[First()])))


def notice(copy, tests, seconds):
    """The test that fails first, in a copy of the checkout, within a minute and three times the usual seconds."""
    (copy / 'failed').write_text('the end of the process')
    running = FORKS.Process(target=tested, args=(copy, tests))
    running.start()
    running.join(60 + 3 * seconds)
    if running.is_alive():
        os.killpg(running.pid, signal.SIGKILL)      # and what it had started
        running.join()
        return 'the limit of time'
    return ((copy / 'failed').read_text() or 'the collection') if running.exitcode else None


def affordable(names, seconds, patience):
    """Tests that take `patience` seconds together, the shortest first."""
    chosen = []
    for name in names:
        if seconds.get(name, 1) <= patience:
            chosen.append(name)
            patience -= seconds.get(name, 1)
    return sorted(chosen, key=lambda name: seconds.get(name, 1))


def difference(before, after):
    """(Number, old text, new text) of the first line that is another one."""
    lines = enumerate(zip(before.splitlines(), (after or before).splitlines()), 1)
    return next(((number, old.strip(), new.strip()) for number, (old, new) in lines if old != new), (0, '', ''))


def today(entry):
    """The fault of an entry of the record, wherever it is in today's source; None if the line has gone."""
    from cosmic_ray.commands.init import _all_work_items
    from cosmic_ray.mutating import MutationVisitor
    from cosmic_ray.plugins import get_operator
    path = ROOT / entry['module']
    source = path.read_text(encoding='utf-8')
    faults = [item.mutations[0] for item in _all_work_items([path], {})]
    for fault in sorted(faults, key=lambda fault: abs(fault.occurrence - entry['occurrence'])):
        if fault.operator_name == entry['operator']:
            operator = get_operator(fault.operator_name)(**fault.operator_args)
            after = MutationVisitor.mutate_code(source, operator, fault.occurrence)
            if difference(source, after)[1:] == (entry['before'], entry['after']):
                return fault
    print(f'{entry["module"]}:{entry["line"]} has gone: {entry["before"]}')
    return None


def judge(copy, path, fault, lines, seconds, patience, again):
    """What became of one fault."""
    from cosmic_ray.mutating import apply_mutation
    from cosmic_ray.plugins import get_operator
    operator = get_operator(fault.operator_name)(**fault.operator_args)
    target, start = copy / path, time.perf_counter()
    try:
        before, after = apply_mutation(target, operator, fault.occurrence)
    except AttributeError:      # cosmic-ray cannot change `except module.Error`
        return None
    line, old, new = difference(before, after)
    tests, own = running(lines, before, line), tests_of(path)
    drawn = random.Random(str(fault)).sample(tests, len(tests))
    near = affordable([name for name in drawn if name.startswith(tuple(own))], seconds, patience)
    far = affordable([name for name in drawn if not name.startswith(tuple(own))], seconds, patience)
    # What runs in a process of its own is not covered: the command line, say.
    rest = affordable([name for name in seconds if name.startswith(tuple(own)) and name not in near], seconds, patience)
    # Tests that were added since are in the module's own files.
    stages = [own, near + far] if again else [near or own, rest + far if near else far]
    said = None
    try:
        for chosen in stages:
            if chosen and not said:
                expected = sum(spent for name, spent in seconds.items() if name.startswith(tuple(chosen)))
                said = notice(copy, chosen, expected)
    finally:
        target.write_text(before, encoding='utf-8')
    return {'module': str(path), 'operator': fault.operator_name, 'occurrence': fault.occurrence, 'line': line,
            'before': old, 'after': new, 'noticed': bool(said), 'test': said,
            'seconds': round(time.perf_counter() - start)}


def score(faults):
    """(Number of faults, how many are equivalent, how many of the others were noticed, their share)."""
    counted = [fault for fault in faults if 'equivalent' not in fault]
    noticed = sum(fault['noticed'] for fault in counted)
    return len(faults), len(faults) - len(counted), noticed, f'{noticed / max(len(counted), 1):.0%}'


def table(record):
    folders = {}
    for fault in record['faults']:
        folder = pathlib.Path(fault['module']).relative_to('d2l_densenet').parent
        folders.setdefault(f'`{folder}/`' if folder.parts else 'the top', []).append(fault)
    rows = [(name, *score(found)) for name, found in sorted(folders.items())]
    rows.append(('**all**', *score(record['faults'])))
    return markdown(['part', '>faults', '>equivalent', '>of the others noticed', '>share'], rows) + (
        '\n\n' + BENCHMARK.measured(record, f'seed {record["seed"]}'))


BENCHMARK = Benchmark(__file__, table)


def main():
    parser = BENCHMARK.options(
        __doc__, number=(600, 'faults to draw'), seed=(0, 'which ones'), workers=(os.cpu_count(), 'faults at a time'),
        patience=(60, 'seconds of tests of the module, and of others, for one fault'))
    parser.add_argument('--again', action='store_true', help='judge the survivors again, after tests were added')
    options = parser.parse_args()
    from d2l_densenet.runs.directories import machine, versions
    record = BENCHMARK.read() if BENCHMARK.record.exists() else {}
    if options.table:
        return BENCHMARK.publish(record)
    if record.get('seed') != options.seed:
        record = {'started': now(), 'seed': options.seed, 'versions': versions(), 'machine': machine(), 'faults': []}
    if options.again:
        faults = [(today(entry), pathlib.Path(entry['module']), entry) for entry in record['faults']
                  if not entry['noticed'] and 'equivalent' not in entry]
    else:
        known = {(fault['module'], fault['operator'], fault['occurrence']) for fault in record['faults']}
        faults = [(fault, path, None) for path, fault in draw(options.number, options.seed)
                  if (str(path), fault.operator_name, fault.occurrence) not in known]
    with tempfile.TemporaryDirectory() as folder:
        copies = queue.SimpleQueue()
        for number in range(options.workers):
            copy = pathlib.Path(folder) / f'main{number}'
            shutil.copytree(ROOT, copy, ignore=lambda folder, names: {'__pycache__'} | (
                {'.venv', '.git', 'build', 'runs'} if folder == str(ROOT) else set()))
            copies.put(copy)
        lines, seconds = covering(copy, options.workers)

        def judged(path, fault):
            copy = copies.get()
            try:
                return judge(copy, path, fault, lines.get(str(path), {}), seconds, options.patience, options.again)
            finally:
                copies.put(copy)
        pool = concurrent.futures.ThreadPoolExecutor(options.workers)
        started = {pool.submit(judged, path, fault): entry for fault, path, entry in faults if fault}
        try:
            for done in concurrent.futures.as_completed(started):
                result = done.result()
                if result is None:
                    continue
                if started[done]:
                    record['faults'].remove(started[done])
                record['faults'].append(result)
                BENCHMARK.write(record)
                verdict = 'noticed' if result['noticed'] else 'SURVIVED'
                print(f'{len(record["faults"])}: {result["module"]}:{result["line"]} {verdict}: {result["before"]}'
                      f'  ->  {result["after"]}', flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
    BENCHMARK.publish(record)


if __name__ == '__main__':
    main()
