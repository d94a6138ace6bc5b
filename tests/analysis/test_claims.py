"""The claims of the articles: the table, the rules of the ledger, and whether what shows a claim is there."""

import ast
import collections
import dataclasses
import re

import pytest
from notebook_files import DIRECTORY, ROOT, code_cells, read, tree

from d2l_densenet.analysis.claims import CLAIMS, VERDICTS, Ledger, _articles

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


def test_claims_are_in_the_section_that_judges_and_shows_them():
    """A section of the notebook ends with the table of its topic."""
    topic, section = 1, {}
    for cell in code_cells(read(NOTEBOOK)):
        section[cell['id']] = topic
        if found := re.search(r'ledger\.table\((\d)\)', ''.join(cell['source'])):
            assert int(found[1]) == topic
            topic += 1
    assert topic == 8
    for number, cell in judged():
        assert CLAIMS[number - 1].topic == section[cell], number
    assert collections.Counter(claim.topic for claim in CLAIMS) == {1: 8, 2: 9, 3: 8, 4: 7, 5: 9, 6: 10, 7: 10}


def test_claims_stay_as_they_are():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CLAIMS[0].verdict = 'holds'


@pytest.mark.parametrize('places, articles', [
    ('1, opening', '1'), ('0, Connections; 1 and 3, openings; 2, section 2.2', '0132'), ('3, ResNet', '3'),
    ('1, opening; 3, Dense connection', '13'), ('2, question 6', '2'), ('1, 2 and 3, openings', '123'),
    ('2, sections 2.2 and 3.2', '2')])
def test_articles_are_read_off_the_places(places, articles):
    assert ''.join(map(str, _articles(places))) == articles


def test_each_article_has_its_claims():
    ledger = Ledger()
    for claim in CLAIMS:
        if claim.verdict is None:
            ledger.judge(claim.number, True)
    wanted = {article: sum(bool(re.search(rf'(?:^|; |, |and ){article}(?:,| and)', claim.places)) for claim in CLAIMS)
              for article in range(4)}
    assert {article: sum(counts.values()) for article, counts in ledger.counts().items()} == wanted
    assert all([*counts] == [*VERDICTS] for counts in ledger.counts().values())


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


def test_a_verdict_that_is_still_open_shows_as_a_question():
    table = Ledger().table(1)
    assert repr(table).splitlines()[0] == (
        ' 1 ?            a model of L layers has L(L+1)/2 connections: L counts the layers of ONE dense block: 16 '
        'layers in four blocks have 40 connections, not 136')
    html = table._repr_html_().splitlines()
    assert html[0] == '<table><tr>' + ''.join(f'<th style="text-align: left">{head}</th>' for head in (
        'no.', 'article', 'claim', 'verdict', 'because', 'shown by')) + '</tr>'
    assert html[1].startswith('<tr><td style="text-align: left">1</td><td style="text-align: left">1, opening</td>')
    assert '<b>?</b>' in html[1] and len(html) == 9


def test_words_are_marked_as_chinese_and_everything_is_escaped():
    html = Ledger().table(3)._repr_html_()
    assert '<span lang="zh">最初的</span>' in html and 'theta &lt; 1' in html and '<1' not in html
    assert html.count('<tr>') == 1 + 8


def test_a_table_says_where_a_claim_is_shown():
    html = Ledger().table(6)._repr_html_()
    assert '>above; 08<' in html and '>above<' in html and 'stacks' not in html and '>quoted<' in html
