"""What the benchmarks share: where a table goes, whose turn it is, what a record says about the machine."""

import json

import pytest
from helpers import ROOT, python, script

harness = script('benchmarks/harness.py')
PROGRAMS = sorted(path.stem for path in (ROOT / 'benchmarks').glob('*.py') if path.stem != 'harness')


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A README, a page in docs/ with the marks of a program `x`, and the program."""
    monkeypatch.setattr(harness, 'ROOT', tmp_path)
    monkeypatch.setattr(harness, 'RECORDS', tmp_path / 'records')
    benchmark = harness.Benchmark(str(tmp_path / 'x.py'), lambda record: f'| {record["seed"]} |')
    start, end = benchmark.marks
    (tmp_path / 'docs' / 'a').mkdir(parents=True)
    (tmp_path / 'README.md').write_text('no marks\n')
    (tmp_path / 'docs' / 'a' / 'page.md').write_text(f'before\n{start}\nold\n{end}\nafter\n')
    return tmp_path, benchmark


def test_a_table_goes_between_its_marks(checkout, capsys):
    place, benchmark = checkout
    start, end = benchmark.marks
    assert start == '<!-- x table: made by benchmarks/x.py -->' and end == '<!-- end of x table -->'
    benchmark.write({'seed': 5})
    benchmark.publish(benchmark.read())
    assert (place / 'docs' / 'a' / 'page.md').read_text() == f'before\n{start}\n| 5 |\n{end}\nafter\n'
    assert (place / 'README.md').read_text() == 'no marks\n' and '| 5 |' in capsys.readouterr().out


def test_marks_that_are_missing_or_there_twice_are_errors(checkout):
    place, benchmark = checkout
    page = place / 'docs' / 'a' / 'page.md'
    (place / 'README.md').write_text(page.read_text())
    with pytest.raises(RuntimeError, match='is in 2'):
        benchmark.publish({'seed': 1})
    page.write_text('')
    (place / 'README.md').write_text(benchmark.marks[0])
    with pytest.raises(RuntimeError, match='lacks the mark <!-- end of x table -->'):
        benchmark.publish({'seed': 1})


def test_contestants_take_turns_and_every_other_round_goes_backwards(capsys):
    calls = []

    def measure(name):
        calls.append(name)
        return len(calls)

    assert harness.in_turn(['a', 'b'], 3, measure) == {'a': [1, 4, 5], 'b': [2, 3, 6]}
    assert calls == ['a', 'b', 'b', 'a', 'a', 'b']
    assert capsys.readouterr().out.splitlines()[1] == 'round 2 of 3: a 4, b 3'
    assert harness.ratio([1, 4, 9], [1, 2, 3]) == 2


def test_a_record_says_when_and_on_what():
    with harness.measuring(seed=3) as record:
        assert record['seed'] == 3 and 'load' not in record
    assert {'started', 'versions', 'machine', 'load'} <= record.keys()
    record.update(started='2026-11-22T10:00:00+00:00', load=[0.25, 1.96], machine={'cpu': 'a chip'},
                  versions={'mxnet': '1.9.1'})
    assert harness.Benchmark('x.py', None).measured(record, '2 threads') == (
        'Measured on 2026-11-22, a chip, 2 threads, load average 0.2 before and 2.0 after, MXNet 1.9.1, by '
        '`python benchmarks/x.py`.')


def test_a_table_of_numbers_stands_on_the_right():
    assert harness.markdown(['a', '>b'], [('x', 1), ('y', 2)]) == '| a | b |\n|---|---:|\n| x | 1 |\n| y | 2 |'


def test_a_process_of_its_own_answers_in_json_or_its_output_is_shown(tmp_path):
    program = tmp_path / 'x.py'
    program.write_text('import json, os, sys\nprint("a line")\njob = json.loads(sys.argv[2])\n'
                       'assert job, "no job"\nprint(json.dumps([job, os.environ["X"]]))\n')
    benchmark = harness.Benchmark(str(program), None)
    assert benchmark.process({'a': 1}, X='2') == [{'a': 1}, '2']
    with pytest.raises(SystemExit, match='(?s)ended with status 1.*a line.*no job'):
        benchmark.process({}, X='2')


@pytest.mark.parametrize('name', PROGRAMS)
def test_every_program_starts_and_says_what_it_does(name):
    done = python(f'benchmarks/{name}.py', '--help', cwd=ROOT)
    assert done.returncode == 0 and done.stdout.startswith('usage: ') and len(done.stdout) > 200, done.stderr


def test_the_records_are_json():
    assert all(json.loads(path.read_text()) for path in (ROOT / 'records').glob('*.json'))
