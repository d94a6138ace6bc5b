"""Files: how large they may be, what a path is, and that a name stands for the old content or the new one."""

import os
import pathlib

import pytest

from d2l_densenet._common.disk import a_path, open_file, parse_json, read_file, read_json, replace_file, replace_files


def test_a_file_may_have_as_many_bytes_as_are_allowed(tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'0123456789')
    assert read_file(path, 10) == read_file(path, 11) == b'0123456789'
    with pytest.raises(ValueError, match=r'file has 10 bytes, expected at most 9$'):
        read_file(path, 9)
    (tmp_path / 'empty').touch()
    assert read_file(tmp_path / 'empty', 0) == b''


def test_json_of_more_than_64_megabytes_is_not_read(tmp_path):
    path = tmp_path / 'config.json'
    path.write_text('[1, {"a": null}]')
    assert read_json(path) == [1, {'a': None}]
    os.truncate(path, 2 ** 26)      # zeros behind it, which take no room
    with pytest.raises(ValueError, match='Extra data'):
        read_json(path)
    os.truncate(path, 2 ** 26 + 1)
    with pytest.raises(ValueError, match='has 67,108,865 bytes, expected at most 67,108,864'):
        read_json(path)


def test_json_nested_without_end_is_named():
    with pytest.raises(ValueError, match='^it is nested too deeply$'):
        parse_json('[' * 10 ** 5)


def test_a_path_is_a_text_that_is_not_empty():
    assert a_path('x', '~/a') == str(pathlib.Path.home() / 'a') and a_path('x', pathlib.Path('a', 'b')) == 'a/b'
    for bad in (b'a', 3, None):
        with pytest.raises(TypeError, match='^x must be a path .str or pathlib.Path., got '):
            a_path('x', bad)
    for bad in ('', 'a\0b', '\0'):
        with pytest.raises(ValueError, match='^x must be a path that is not empty and holds no null character, got '):
            a_path('x', bad)


def test_a_file_is_replaced_and_nothing_else_is_touched(tmp_path):
    path, other = tmp_path / 'file', tmp_path / 'other'
    other.write_bytes(b'of somebody else')
    # What an earlier process with this number has left, or a stranger has put there.
    (tmp_path / f'.file.{os.getpid()}.tmp').symlink_to(other)
    for content in (b'old', b'new and longer', b''):
        replace_file(path, content)
        assert path.read_bytes() == content and not path.is_symlink()
    assert sorted(item.name for item in tmp_path.iterdir()) == ['file', 'other']
    assert other.read_bytes() == b'of somebody else'


def test_a_replacement_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    path.write_bytes(b'old')

    def full(*_):
        raise OSError(28, 'No space left on device')

    for call in ('fsync', 'replace'):
        with monkeypatch.context() as patch, pytest.raises(OSError, match='No space left'):
            patch.setattr(os, call, full)
            replace_file(path, b'new')
        assert path.read_bytes() == b'old' and [item.name for item in tmp_path.iterdir()] == ['file']


def test_what_is_no_file_is_told_as_what_it_is(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path, said in ((tmp_path / 'pipe', 'It is a pipe or a device, not a file'), (tmp_path, 'Is a directory')):
        before = len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0
        with pytest.raises(OSError, match=f'{said}: .*{path}'):
            open_file(path)
        assert not before or len(os.listdir('/proc/self/fd')) == before, 'it is still open'


def test_files_that_belong_together_are_replaced_together(tmp_path):
    files = [tmp_path / 'a', tmp_path / 'b']
    replace_files(dict.fromkeys(files, b'old'))
    with pytest.raises(TypeError):
        replace_files(dict(zip(files, (b'new', 'no bytes'))))
    assert [path.read_bytes() for path in files] == [b'old', b'old'] and sorted(tmp_path.iterdir()) == files


def test_a_path_that_mxnet_cannot_take_is_named():
    with pytest.raises(ValueError, match=r"output must be a path in UTF-8, .*got '\\udcff'.*LC_ALL"):
        a_path('output', b'\xff'.decode(errors='surrogateescape'))
    assert a_path('output', 'ö 3 ☃') == 'ö 3 ☃'
