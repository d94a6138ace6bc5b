"""The idx format. That bad files are refused by name is tested where they are looked for: test_official.py."""

import gzip
import hashlib

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
