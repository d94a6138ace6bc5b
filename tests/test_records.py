"""The records and the README's table that is made of them. Nothing is trained here."""

import importlib.util
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
# MD5 of the official train-images-idx3-ubyte.gz, from the README of zalandoresearch/fashion-mnist.
OFFICIAL = 'md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d'


def accuracy_script():
    spec = importlib.util.spec_from_file_location('accuracy', ROOT / 'benchmarks' / 'accuracy.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_records_are_complete():
    names = {path.name for path in (ROOT / 'records').glob('*-seed*.json')}
    assert names == {f'{recipe}-seed{seed}.json' for recipe in ('article', 'course') for seed in range(3)}
    for name in names:
        record = json.loads((ROOT / 'records' / name).read_text())
        assert record['data'] == {'name': 'fashion-mnist', 'checksum': OFFICIAL}
        assert f'{record["recipe"]}-seed{record["seed"]}.json' == name
        assert (record['size'], record['epochs'], len(record['history']['rows'])) == (48, 5, 5)
        assert record['limit'] is None and record['history']['stopped'] is None
        assert record['machine']['cpu'] and record['versions']['mxnet'] == '1.9.1'


def test_the_readme_shows_the_records():
    script = accuracy_script()
    readme = (ROOT / 'README.md').read_text()
    shown = readme.partition(script.START)[2].partition(script.END)[0]
    assert shown.strip() == script.table()
