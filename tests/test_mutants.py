"""The list of faults in benchmarks/mutants.py fits the package as it is."""

import ast
import importlib.util
import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def mutants(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    spec = importlib.util.spec_from_file_location('mutants', ROOT / 'benchmarks' / 'mutants.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop('readme', None)


def test_each_fault_can_be_put_in(mutants):
    assert len(mutants.FAULTS) >= 40 and len(set(mutants.FAULTS)) == len(mutants.FAULTS)
    for module, what, text, fault in mutants.FAULTS:
        source = (ROOT / 'd2l_densenet' / f'{module}.py').read_text()
        changed = mutants.faulty(module, text, fault)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source)), what
        for name in mutants.TESTS[module]:
            assert (ROOT / 'tests' / f'test_{name}.py').is_file(), name


def test_a_text_that_is_not_there_once_is_refused(mutants):
    with pytest.raises(ValueError, match='blocks.py holds 0 times, not once'):
        mutants.faulty('blocks', 'no such line', '')


def test_the_record_is_of_these_faults(mutants):
    if not mutants.RECORD.exists():
        pytest.skip('records/mutants.json: make mutants has not been run')
    record = json.loads(mutants.RECORD.read_text())
    assert {(row['module'], row['fault']) for row in record['rows']} == {fault[:2] for fault in mutants.FAULTS}
    assert record['caught'] == sum(row['outcome'] != 'passed' for row in record['rows'])
    assert record['caught'] >= 0.95 * record['faults']
