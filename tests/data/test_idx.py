"""The idx format. That bad files are refused by name is tested where they are looked for: test_official.py."""

import gzip
import hashlib
import struct

import numpy
import pytest
from helpers import ROOT

from d2l_densenet import DataError
from d2l_densenet.data.idx import check_pair, content_md5, read_idx

CORPUS = ROOT / 'tests' / 'corpus' / 'idx'


@pytest.mark.parametrize('form', ['plain', 'packed'])
def test_bytes_and_axes(form):
    images, labels = (read_idx(CORPUS / f'{form}-{kind}', kind) for kind in ('images', 'labels'))
    content = (CORPUS / 'plain-images').read_bytes()
    assert content[:4] == bytes([0, 0, 8, 3]) and images.tobytes() == content[16:]
    assert images.shape == (2, 28, 28) and labels.shape == (2,) and images.dtype == labels.dtype == numpy.uint8
    assert labels.tobytes() == (CORPUS / 'plain-labels').read_bytes()[8:]
    check_pair('images', images, 'labels', labels)


def test_the_checksum_is_that_of_the_unzipped_file():
    for kind in ('images', 'labels'):
        path = CORPUS / f'plain-{kind}'
        assert content_md5(read_idx(path, kind)) == hashlib.md5(path.read_bytes()).hexdigest()
        assert gzip.decompress((CORPUS / f'packed-{kind}').read_bytes()) == path.read_bytes()


def test_absurd_header_takes_no_memory(tmp_path):
    """2 TB claimed by 20 bytes: refused before anything is read."""
    path = tmp_path / 'file'
    path.write_bytes(bytes.fromhex('00000803 80000000 00000020 00000020') + b'abcd')
    with pytest.raises(DataError, match='2,199,023,255,552 bytes'):
        read_idx(path, 'images')


@pytest.mark.parametrize('kind, shape', [('labels', (2 ** 28,)), ('images', (2 ** 8, 2 ** 10, 2 ** 10))])
def test_a_header_may_claim_256_mebibytes(kind, shape, tmp_path):
    path, magic = tmp_path / 'file', 0x803 if kind == 'images' else 0x801
    path.write_bytes(struct.pack(f'>{1 + len(shape)}I', magic, *shape) + b'abcd')
    with pytest.raises(DataError, match='claims 268,435,456 bytes of .*, found only 4'):
        read_idx(path, kind)
    path.write_bytes(struct.pack(f'>{1 + len(shape)}I', magic, shape[0] + 1, *shape[1:]) + b'abcd')
    with pytest.raises(DataError, match='expected between 1 and 268,435,456'):
        read_idx(path, kind)


def test_one_label_is_a_file(tmp_path):
    (tmp_path / 'file').write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]))
    assert read_idx(tmp_path / 'file', 'labels').tolist() == [7]


@pytest.mark.parametrize('content, kind, message', [
    (bytes([0, 0, 8, 3]) + bytes(12), 'labels', 'expected 0x00000801 .*, found 0x00000803 .that of a file with images'),
    (bytes([0, 0, 8, 1]) + bytes(12), 'images', 'expected 0x00000803 .*, found 0x00000801 .that of a file with labels'),
    (bytes([0, 0, 13, 3]), 'images', r'found 0x00000d03\. Put'), (bytes([0, 0, 7, 1]), 'labels', r'0x00000701\. Put'),
    (bytes([0, 0, 8, 2]) + bytes(12), 'images', r'found 0x00000802\. Put'),
    (bytes([0, 0, 8, 3]) + bytes(11), 'images', 'cut off, 15 bytes hold no complete idx header of 16'),
    (bytes([0, 0, 8, 1]) + bytes(3), 'labels', 'cut off, 7 bytes hold no complete idx header of 8'),
    (bytes([9, 9, 9]), 'labels', 'cut off, 3 bytes')])
def test_a_header_that_is_short_or_of_another_kind(content, kind, message, tmp_path):
    (tmp_path / 'file').write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / 'file', kind)


def images_of(count=5, height=28, width=28):
    return numpy.zeros((count, height, width), 'uint8')


@pytest.mark.parametrize('images, labels, message', [
    (images_of(height=27), [0] * 5, 'found 27 x 28'), (images_of(height=29), [0] * 5, 'found 29 x 28'),
    (images_of(width=27), [0] * 5, 'found 28 x 27'), (images_of(width=29), [0] * 5, 'found 28 x 29'),
    (images_of(4), [0] * 5, 'A holds 4 images and B holds 5 labels'), (images_of(6), [0] * 5, 'A holds 6 images and B'),
    (images_of(), [0, 9, 10, 11, 10], 'B: label 10 at position 2, expected labels from 0 to 9'),
    (images_of(), [0, 9, 9, 255, 10], 'B: label 255 at position 3, expected labels from 0 to 9'),
    (images_of(), [11, 9, 9, 0, 0], 'B: label 11 at position 0, expected labels from 0 to 9')])
def test_images_and_labels_that_do_not_belong_together(images, labels, message):
    with pytest.raises(DataError, match=message):
        check_pair('A', images, 'B', numpy.array(labels, 'uint8'))
    check_pair('A', images_of(), 'B', numpy.array([0, 9, 9, 0, 0], 'uint8'))
