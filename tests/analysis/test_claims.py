"""The claims of the articles: the table, the rules of the ledger, and whether what shows a claim is there."""

import ast
import re

import pytest
from notebook_files import DIRECTORY, ROOT, code_cells, read, tree

from d2l_densenet.analysis.claims import CLAIMS, VERDICTS, Ledger

NOTEBOOK = '14_claims'


def judged():
    """The numbers of the claims that cells of the notebook judge, with the cell's id."""
    found = []
    for cell in code_cells(read(NOTEBOOK)):
        for node in ast.walk(tree(cell)):
            if isinstance(node, ast.For) and any('judge' in ast.unparse(part) for part in node.body):
                if isinstance(node.iter, ast.Tuple):
                    found += [(number, cell['id']) for number in ast.literal_eval(node.iter)]
            elif isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'judge':
                if isinstance(node.args[0], ast.Constant):
                    found.append((node.args[0].value, cell['id']))
    return found


def test_each_claim_has_its_parts():
    assert [claim.number for claim in CLAIMS] == list(range(1, 62))
    assert sorted(claim.topic for claim in CLAIMS) == [claim.topic for claim in CLAIMS]
    for claim in CLAIMS:
        assert claim.verdict in (None, *VERDICTS) and claim.claim and claim.because and claim.shown, claim
        assert all(re.match(r'\s*[0-3]\b', place) for place in claim.places.split(';')), claim


def test_a_verdict_is_in_the_table_or_computed_once():
    numbers = [number for number, _ in judged()]
    assert sorted(numbers) == [claim.number for claim in CLAIMS if claim.verdict is None]


def test_what_shows_a_claim_is_there():
    cells = dict(judged())
    ids = {cell['id'] for cell in read(NOTEBOOK)['cells']}
    for claim in CLAIMS:
        places = claim.shown.split('; ')
        assert claim.verdict or cells[claim.number] in places, (claim.number, cells[claim.number])
        for place in places:
            if '::' in place:
                path, function = place.split('::')
                module = ast.parse((ROOT / path).read_text(encoding='utf-8'))
                assert any(getattr(node, 'name', '') == function for node in module.body), place
            elif place.isdigit():
                assert list(DIRECTORY.glob(f'{place}_*.ipynb')), place
            else:
                assert place == 'quoted' or place in ids, place


@pytest.mark.parametrize('as_written, narrower, verdict', [
    (True, False, 'holds'), (True, True, 'holds'), (False, True, 'conditional'), (False, False, 'wrong')])
def test_the_rules(as_written, narrower, verdict):
    ledger = Ledger()
    assert ledger.verdicts(1, 53) == (None, 'open')
    ledger.judge(1, as_written, narrower)
    assert ledger.verdicts(1, 53) == (verdict, 'open')
    assert verdict in repr(ledger.table(1)) and f'<b>{verdict}</b>' in ledger.table(1)._repr_html_()


def test_what_the_table_says_is_not_judged_again():
    with pytest.raises(ValueError, match='claim 24'):
        Ledger().judge(24, True)


def test_a_claim_counts_for_each_article_that_makes_it():
    ledger = Ledger()
    before = ledger.counts()
    ledger.judge(3, False, True)                        # made in all four
    assert all(counts['conditional'] == before[article]['conditional'] + 1
               for article, counts in ledger.counts().items())


def test_words_are_marked_as_chinese_and_everything_is_escaped():
    html = Ledger().table(3)._repr_html_()
    assert '<span lang="zh">最初的</span>' in html and 'theta &lt; 1' in html and '<1' not in html
    assert html.count('<tr>') == 1 + 8


def test_a_table_says_where_a_claim_is_shown():
    html = Ledger().table(6)._repr_html_()
    assert '>above; 08<' in html and '>above<' in html and 'stacks' not in html and '>quoted<' in html
