"""What a reader sees: when a bar shows, where a notice goes, which line of an error is told."""

import io
import sys
import types

import mxnet as mx
import pytest

from d2l_densenet._common.messages import last_line, notice, progress_shows


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def notebook(monkeypatch):
    """As in a notebook: IPython is there and has a kernel; what it displays."""
    shown = []
    display = types.SimpleNamespace(display=lambda data, **options: shown.append((data, options)))
    monkeypatch.setitem(sys.modules, 'IPython', types.SimpleNamespace(
        get_ipython=lambda: types.SimpleNamespace(kernel=None), display=display))
    return shown


@pytest.fixture
def no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, 'IPython', types.SimpleNamespace(get_ipython=lambda: None))


@pytest.mark.parametrize('variable, shows', [(None, True), ('', True), ('0', True), ('1', False), ('true', False)])
def test_a_bar_shows_in_a_terminal_unless_the_environment_says_otherwise(no_notebook, monkeypatch, variable, shows):
    monkeypatch.delenv('TQDM_DISABLE', raising=False)
    if variable is not None:
        monkeypatch.setenv('TQDM_DISABLE', variable)
    monkeypatch.setattr(sys, 'stderr', Terminal())
    assert progress_shows() == progress_shows(Terminal()) == shows
    assert not progress_shows(io.StringIO()), 'not in a terminal'
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    assert not progress_shows() and progress_shows(Terminal()) == shows, 'it is stderr that counts'


def test_a_bar_does_not_show_without_a_stream(no_notebook, monkeypatch):
    monkeypatch.delenv('TQDM_DISABLE', raising=False)
    monkeypatch.setattr('sys.stderr', None)
    assert progress_shows() is False


def test_a_bar_shows_in_a_notebook(notebook, monkeypatch):
    monkeypatch.setenv('TQDM_DISABLE', '')
    assert progress_shows(io.StringIO())
    monkeypatch.setenv('TQDM_DISABLE', '1')
    assert not progress_shows(io.StringIO())


def test_a_notice_is_an_output_of_its_own_in_a_notebook(notebook, capsys):
    notice('one\ntwo')
    assert notebook == [({'text/plain': 'one\ntwo'}, {'raw': True, 'metadata': {'d2l_densenet': 'notice'}})]
    assert capsys.readouterr().out == ''


def test_a_notice_goes_to_stdout_elsewhere_and_is_there_at_once(no_notebook, monkeypatch):
    class Buffered(io.StringIO):
        seen = ''

        def flush(self):
            self.seen = self.getvalue()

    monkeypatch.setattr(sys, 'stdout', Buffered())
    notice('one\ntwo')
    assert sys.stdout.seen == 'one\ntwo\n'


@pytest.mark.parametrize('text, told', [
    ('Traceback\n  File "../src/x.cc", line 3\nMXNetError: Check failed: 3 == 4: shapes differ.', (
        'Check failed: 3 == 4: shapes differ')),
    ('[12:34:56] ../src/operator/x.cc:17: MXNetError: out of memory\n\n  ', 'out of memory'),
    ('one line', 'one line'), ('  ', 'MXNetError'), ('', 'MXNetError'),
    ('x' * 600, 'x' * 600), ('x' * 601, 'x' * 600)])
def test_the_last_line_of_an_error_without_its_place(text, told):
    assert last_line(mx.MXNetError(text)) == told
