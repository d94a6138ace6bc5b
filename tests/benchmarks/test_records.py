"""The records, and the tables that are made of them. Nothing is measured here."""

import json

import pytest
from helpers import ROOT, script

# MD5 of the official train-images-idx3-ubyte.gz, from the README of zalandoresearch/fashion-mnist.
OFFICIAL = 'md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d'


def test_records_are_complete():
    names = {path.name for path in (ROOT / 'records').glob('*-seed*.json')}
    # And the course's recipe in bfloat16, where it was measured.
    assert {name for name in names if not name.startswith('bfloat16-')} == {
        *(f'{recipe}-seed{seed}.json' for recipe in ('article', 'course') for seed in range(3)), 'record-seed0.json'}
    for name in names:
        record = json.loads((ROOT / 'records' / name).read_text())
        if record.get('dtype') == 'bfloat16' and record['recipe'] == 'course':
            record['recipe'] = 'bfloat16'
        assert record['data'] == {'name': 'fashion-mnist', 'checksum': OFFICIAL}
        assert f'{record["recipe"]}-seed{record["seed"]}.json' == name
        size, epochs = (28, 68) if record['recipe'] == 'record' else (48, 5)
        assert (record['size'], record['epochs'], len(record['history']['rows'])) == (size, epochs, epochs)
        assert record['limit'] is None and record['history']['stopped'] is None
        assert record['machine']['cpu'] and record['versions']['mxnet'] == '1.9.1'


def test_the_long_run_held_images_out_and_kept_to_its_limits():
    record = json.loads((ROOT / 'records' / 'record-seed0.json').read_text())
    assert record['validation'] == 5000 and record['test']['images'] == 10_000
    # At most 0.80 M parameters, and at most three hours.
    assert script('benchmarks/accuracy.py').parameters(record) <= 800_000
    assert sum(row['seconds'] for row in record['history']['rows']) <= 3 * 3600


@pytest.mark.parametrize('name', ['accuracy', 'families', 'int8', 'memory', 'mutants', 'quick', 'scaling',
                                  'survival', 'throughput', 'waiting'])
def test_the_pages_show_the_records(name):
    program = script(f'benchmarks/{name}.py')
    record = {recipe: program.records(recipe) for recipe in program.OPTIONS} if name == 'accuracy' else \
        program.BENCHMARK.read()
    shown, _, _ = script('benchmarks/harness.py').between(*program.BENCHMARK.marks)
    assert shown == program.BENCHMARK.table(record)


def test_the_families_are_complete_and_their_rates_were_not_chosen_on_test_images():
    program = script('benchmarks/families.py')
    record = program.BENCHMARK.read()
    assert record['data'] == {'name': 'fashion-mnist', 'checksum': OFFICIAL} and record['versions']['mxnet'] == '1.9.1'
    runs = {tuple(entry[key] for key in program.KEY): entry for entry in record['runs']}
    wanted = {(*setting, program.rate_for(record['runs'], setting), seed)
              for setting in program.settings() for seed in range(3)}
    assert set(runs) == wanted | set(program.choices()) and len(runs) == len(record['runs'])
    for setting in program.settings():
        rivals = [entry for entry in record['runs'] if entry['experiment'] == 'rates' and entry['network'] == setting[1]
                  and entry['dropout'] == setting[3]
                  and entry['images'] == (10_000 if setting[0] == 'curves' else 1_000)]
        best = max(entry['validation_acc'] for entry in rivals)
        assert program.rate_for(record['runs'], setting) in {e['rate'] for e in rivals if e['validation_acc'] == best}
        assert {entry['seed'] for entry in rivals} == {100}


def test_the_bits_of_the_families_are_their_accuracies():
    from d2l_densenet.analysis.families import recorded_families
    every = recorded_families()
    assert all(run['right'].shape == (10_000,) and abs(run['right'].mean() - run['test_acc']) < 1e-9 for run in every)
    some = recorded_families(experiment='curves', network='DenseNet', width=16)
    assert [run['seed'] for run in some] == [0, 1, 2]
    assert all((run['experiment'], run['network'], run['width']) == ('curves', 'DenseNet', 16) for run in some)


def test_the_int8_record_is_of_a_full_run_on_the_real_data():
    record = json.loads((ROOT / 'records' / 'int8.json').read_text())
    assert record['run']['epochs'] == 5 and record['run']['data'] == {'name': 'fashion-mnist', 'checksum': OFFICIAL}
    assert record['test_images'] == 10_000 and set(record['rows']) == {
        'fp32', 'fp32, fused', 'int8, naive', 'int8, entropy'}


def test_nothing_was_lost():
    record = json.loads((ROOT / 'records' / 'survival.json').read_text())
    assert record['rows']['SIGKILL']['events'] >= 50
    assert all(row['different'] == 0 for row in record['rows'].values())


def test_nine_faults_of_ten_are_noticed():
    program = script('benchmarks/mutants.py')
    faults = program.BENCHMARK.read()['faults']
    assert len({tuple(fault[key] for key in ('module', 'operator', 'occurrence')) for fault in faults}) >= 600
    counted = [fault for fault in faults if 'equivalent' not in fault]
    assert sum(fault['noticed'] for fault in counted) >= 0.9 * len(counted)
    assert not any(fault['noticed'] for fault in faults if 'equivalent' in fault)
