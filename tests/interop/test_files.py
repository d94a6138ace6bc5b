"""Files that are something else than they seem, damaged in a thousand ways each, or out of reach."""

import collections
import io
import json
import os
import pathlib
import pickle
import random
import re
import zipfile

import numpy
import pytest
from helpers import randomized, same, switch, values
from mutations import NUMBERS, mutated
from safetensors.numpy import load_file

from d2l_densenet import CheckpointError, DenseNet, LoadReport, load_pretrained, save_torch
from d2l_densenet.interop import files


def tiny():
    net = DenseNet(2, (1,), 2, stem='cifar', bias=False, classes=2)
    net.initialize()
    return net


def label(value):
    return 'content' if isinstance(value, bytes) else value


@pytest.mark.parametrize('content, text', [
    (b'', 'is empty'),
    (b'\n<!DOCTYPE html><html>Not found</html>', 'HTML or XML page'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n', 'Git LFS pointer.*git lfs pull'),
    (b'\xef\xbb\xbf \t\r\n' + b'<?xml version="1.0"?>', 'HTML or XML page'),
    (b' ' * 511 + b'<html>', 'HTML or XML page'), (b' ' * 512 + b'<html>', 'no known format'),
    (b'\x1f\x8b\x08\x00' + bytes(20), 'packed by gzip'), (b'BZh91AY&SY', 'packed by bzip2'),
    (b'\xfd7zXZ\x00', 'packed by xz'), (b'\x28\xb5\x2f\xfd\x00', 'packed by zstd'),
    (b"7z\xbc\xaf'\x1c", 'packed by 7-Zip'),
    (b'\x89HDF\r\n\x1a\n' + bytes(20), 'HDF5'),
    (b'\x93NUMPY\x01\x00' + bytes(20), 'single NumPy array'),
    (pickle.dumps({'a': 1}), 'Python pickle.*could run any code'),
    (json.dumps({'weight_map': {}}).encode(), 'JSON'),
    (bytes(257) + b'ustar' + bytes(250), 'tar archive'),
    (bytes(256) + b'ustar' + bytes(250), 'no known format'),
    (bytes(5000), 'nothing but zeros'), (bytes(4096) + b'x', 'nothing but zeros'),
    (bytes(4095) + b'x', 'no known format'),
    (b'abcdefghijklmnopqrstuvwxyz', "no known format, its first bytes are b'abcdefghijklmnop'. Expected"),
    (b'PK\x03\x04' + bytes(100), 'cut off or damaged'),
    (b'PK\x05\x06' + bytes(18), 'zip archive that is empty'),
    (b'hello', "no known format, its first bytes are b'hello'"),
    ((50).to_bytes(8, 'little') + b'{"a"', 'looks like a safetensors file, but is cut off or damaged'),
    ((0x112).to_bytes(8, 'little'), 'looks like a Gluon .params file, but is cut off or damaged'),
    (pickle.dumps(0x1950a86a20f9469cfc6c, 2) + b'\x80\x02', 'looks like a PyTorch file, but is cut off'),
], ids=label)
def test_files_that_are_something_else(tmp_path, content, text):
    (tmp_path / 'model.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match=f'model.pth: .*{text}'):
        load_pretrained(tiny(), tmp_path / 'model.pth')


@pytest.mark.parametrize('length, shown', [(200, 'z' * 200), (201, 'z' * 197 + '...')])
def test_the_reason_of_a_damage_is_cut_at_200_letters(monkeypatch, tmp_path, length, shown):
    def damaged(data):
        raise ValueError('z' * length)

    monkeypatch.setattr(files.params, 'read_params', damaged)
    (tmp_path / 'x').write_bytes((0x112).to_bytes(8, 'little'))
    with pytest.raises(CheckpointError, match=rf'damaged \({re.escape(shown)}\)\. Fetch or write the file again'):
        load_pretrained(tiny(), tmp_path / 'x')


def test_paths_that_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / 'fifo')
    for path, text in ((tmp_path, 'Is a directory'), (tmp_path / 'no', 'is not there'),
                       (tmp_path / 'fifo', 'a pipe or a device')):
        with pytest.raises(CheckpointError, match=text):
            load_pretrained(tiny(), path)
    with pytest.raises(ValueError, match='null'):
        load_pretrained(tiny(), 'a\0b')
    (tmp_path / 'huge').write_bytes(b'')
    os.truncate(tmp_path / 'huge', 2 ** 32 + 1)
    with pytest.raises(CheckpointError, match='expected at most'):
        load_pretrained(tiny(), tmp_path / 'huge')


ONE = numpy.float32(1).tobytes()


def safetensors_of(header, content=ONE):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(header).to_bytes(8, 'little') + header + content


@pytest.mark.parametrize('content', [
    safetensors_of({'a': {'dtype': 'F32', 'shape': [2 ** 40], 'data_offsets': [0, 2 ** 42]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [2 ** 40], 'data_offsets': [0, 4]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [2 ** 62, 16], 'data_offsets': [0, 4]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [-1], 'data_offsets': [0, 4]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [1], 'data_offsets': [4, 0]}}),
    safetensors_of({'a': {'dtype': 'F99', 'shape': [1], 'data_offsets': [0, 4]}}),
    safetensors_of({'a': {'dtype': 'F32', 'shape': 1, 'data_offsets': [0, 4]}}),
    safetensors_of(b'{"a":' + b'[' * 100000),
    (2 ** 31).to_bytes(8, 'little') + b'{' + bytes(100),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}}, ONE + ONE),
], ids=label)
def test_damaged_safetensors(refused, content):
    refused(content, 'cut off or damaged')


@pytest.mark.parametrize('content', [
    safetensors_of({'a': {'dtype': 'F32', 'shape': [2 ** 62, 0], 'data_offsets': [0, 0]}}, b''),
    safetensors_of({'a': {'dtype': 'F32', 'shape': [1] * 40, 'data_offsets': [0, 4]}}),
    safetensors_of({'output.bias': {'dtype': 'F32', 'shape': [2 ** 62, 0], 'data_offsets': [0, 0]}}, b''),
    safetensors_of({'features.conv0.weight': {'dtype': 'F32', 'shape': [1] * 40, 'data_offsets': [0, 4]}}),
    safetensors_of({}, b''),
    safetensors_of({'denseblock1_' * 10000: {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}}),
], ids=label)
def test_odd_safetensors(refused, content):
    refused(content, 'Nothing in it fits')


def test_a_header_that_begins_like_params(tmp_path):
    """The length of a safetensors header may be 0x112, the magic number of .params."""
    net = randomized(tiny())
    save_torch(net, tmp_path / 'x.safetensors')
    state = load_file(tmp_path / 'x.safetensors')
    header = json.dumps({'classifier.bias': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}}).encode()
    content = safetensors_of(header.ljust(0x112), state['classifier.bias'].tobytes())
    (tmp_path / 'x').write_bytes(content)
    report = load_pretrained(net, tmp_path / 'x', strict=False)
    assert report.source == 'safetensors' and report.loaded == ('classifier.bias',)


def mutants(rng, form, content, others):
    """One mutation of a file, half of them below what a checksum or a length at its front would catch."""
    if rng.random() < 0.5:
        return mutated(rng, content, others)
    if form == 'safetensors':
        size = int.from_bytes(content[:8], 'little')
        header, rest = content[8:8 + size], content[8 + size:]
        if rng.random() < 0.5:
            entries = json.loads(header)
            entry = entries[rng.choice([name for name in entries if name != '__metadata__'])]
            key = rng.choice(list(entry))
            if key == 'dtype':
                entry[key] = rng.choice(('F64', 'F16', 'BF16', 'I32', 'BOOL', 'U8', 'F8_E4M3', 'C64', '', 'x', 3, None))
            else:
                entry[key][rng.randrange(len(entry[key]))] = rng.choice([*NUMBERS, -1, 1.5, None, 'x'])
            return safetensors_of(entries, rest)
        return safetensors_of(mutated(rng, header, [header]), rest)
    if form == 'zip':
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {info.filename: archive.read(info) for info in archive.infolist()}
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, 'w') as archive:
            for name, part in parts.items():
                archive.writestr(name, mutated(rng, part, [part]) if name.endswith('data.pkl') else part)
        return stream.getvalue()
    # The numbers of .params and of an old .pth are everywhere in it: set one, at any place, to another.
    at, size = rng.randrange(len(content)), rng.choice((1, 2, 4, 8))
    number = (rng.choice(NUMBERS) % 256 ** size).to_bytes(size, 'little')
    return content[:at] + number + content[at + size:]


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('form', ['params', 'params-np', 'safetensors', 'zip', 'legacy'])
def test_a_thousand_mutations(request, tmp_path, form):
    switch('np' if form == 'params-np' else 'nd')
    net = randomized(tiny())
    path = tmp_path / {'safetensors': 'x.safetensors'}.get(form, 'x.pth')
    if form.startswith('params'):
        net.save_parameters(str(path))
    elif form == 'legacy':
        path.write_bytes((pathlib.Path(__file__).parent.parent / 'corpus' / 'pytorch' / 'legacy').read_bytes())
        net = DenseNet(2, (1, 1), 2, stem='cifar', classes=2)
        net.initialize()
    else:
        save_torch(net, path)
    content = path.read_bytes()
    assert isinstance(load_pretrained(net, path), LoadReport)
    rng = random.Random(request.node.seed)
    start = values(net)
    shapes = [value.shape for value in start]
    outcomes = collections.Counter()
    for i in range(300 if form == 'params-np' else 1000):
        mutant = mutants(rng, form, content, [content])
        path.write_bytes(mutant)
        try:
            report = load_pretrained(net, path, strict=rng.random() < 0.5)
        except CheckpointError as error:
            assert same(values(net), start), (i, error)
            assert str(path) in str(error) and len(str(error)) < 4000
            outcomes['refused'] += 1
        else:
            found = values(net)
            assert report.loaded and [value.shape for value in found] == shapes
            assert all(numpy.isfinite(value).all() for value in found)
            outcomes['loaded'] += 1
            for parameter, value in zip(net.collect_params().values(), start):
                parameter.set_data(value)
    # Neither was everything refused nor everything loaded: the mutations reach what they should.
    assert outcomes['refused'] > 100 and outcomes['loaded'] > 5, outcomes
