"""The tests themselves: each stands alone, and where the notebooks say that it is."""

import ast
import re
import warnings

import pytest
from helpers import ROOT

TESTS = sorted((ROOT / 'tests').rglob('test_*.py'))


def test_no_test_module_imports_another():
    """What several need is in tests/helpers.py and the modules beside it: a test module can be read and run alone."""
    names = {path.stem for path in TESTS}
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module or ''] if isinstance(node, ast.ImportFrom) else []
            assert not names & {name.rpartition('.')[2] for name in imported}, (path.relative_to(ROOT), imported)


def test_no_module_of_the_package_makes_python_warn():
    """Of 'is' beside a text, say: it may hold in a fresh module and not in one that comes from its .pyc."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for path in (ROOT / 'd2l_densenet').rglob('*.py'):
            compile(path.read_bytes(), str(path), 'exec')


@pytest.mark.parametrize('path', sorted(ROOT.glob('notebooks/*.ipynb')), ids=lambda path: path.stem)
def test_tests_that_a_notebook_names_are_there(path):
    for file, name in re.findall(r'(tests/[\w/]+\.py)::(?!test_nothing)(\w+)', path.read_text(encoding='utf-8')):
        assert re.search(rf'^def {name}\(', (ROOT / file).read_text(encoding='utf-8'), flags=re.M), (file, name)
