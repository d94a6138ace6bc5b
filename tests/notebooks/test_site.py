"""`make site`: what the pages hold, and how they behave in a browser. (How they look was looked at.)"""

import json
import pathlib
import re
import shutil
import urllib.parse

import pytest
from bs4 import BeautifulSoup
from helpers import ROOT, script

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


builder = script('tools/build_site.py')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp('site') / 'site'
    builder.build(target)
    return target


@pytest.fixture(scope='module')
def pages(site):
    """Address to soup."""
    return {page.url: BeautifulSoup((site / page.url).read_text(encoding='utf-8'), 'html.parser')
            for page in builder.pages()}


# The whole course

def test_every_notebook_and_exercise_has_a_page_and_no_solution_has(site, pages):
    found = {path.relative_to(site).as_posix() for path in site.rglob('*.html')}
    assert found == set(pages) >= {'index.html', 'glossary.html', 'project.html'}
    for path in ROOT.glob('notebooks/*.ipynb'):
        assert f'{path.stem}.html' in pages
    for path in ROOT.glob('notebooks/exercises/*.ipynb'):
        assert f'exercises/{path.stem}.html' in pages
    for path in site.rglob('*'):
        assert 'solution' not in path.name.lower()
        if path.suffix in ('.html', '.ipynb'):
            assert 'BEGIN SOLUTION' not in path.read_text(encoding='utf-8'), path


def test_every_picture_is_there_and_says_what_it_shows(site, pages):
    """The notebooks' own pictures carry the text in the metadata of their outputs: see plots.describe."""
    count = 0
    for url, page in pages.items():
        for picture in page.select('img'):
            count += 1
            assert (site / url).parent.joinpath(picture['src']).is_file(), (url, picture['src'])
            alt = picture.get('alt', '')
            assert len(alt) >= 20 and 'No description' not in alt, (url, picture['src'], alt)
            assert int(picture['width']) > 100
    committed = sum('image/png' in output.get('data', {}) for path in ROOT.glob('notebooks/*.ipynb')
                    for cell in json.loads(path.read_text(encoding='utf-8'))['cells']
                    for output in cell.get('outputs', ()))
    assert count >= committed > 30


def test_every_link_leads_somewhere(site, pages):
    for url, page in pages.items():
        for link in page.select('a[href]'):
            address = urllib.parse.urlsplit(link['href'])
            if address.scheme:
                assert address.scheme in ('http', 'https'), (url, link['href'])
                continue
            target = (site / url).parent.joinpath(urllib.parse.unquote(address.path)).resolve() if address.path \
                else site / url
            assert target.is_file(), (url, link['href'])
            if address.fragment:
                other = pages[target.relative_to(site.resolve()).as_posix()] if address.path else page
                assert other.find(id=urllib.parse.unquote(address.fragment)), (url, link['href'])


def test_nothing_comes_from_elsewhere_and_nothing_runs(pages, site):
    for url, page in pages.items():
        assert not page.select('script, iframe, object, embed'), url
        for tag in page.select('[src], link[href]'):
            address = tag.get('src') or tag['href']
            assert not re.match(r'(https?:)?//', address), (url, address)
    assert not re.search(r'@import|url\((?!math\.woff\))', (site / 'style.css').read_text())


def test_one_can_read_on_from_the_first_page_to_the_last(pages):
    url, seen = 'index.html', []
    while url:
        seen.append(url)
        before, after = (pages[url].select_one(f'a[rel={which}]') for which in ('prev', 'next'))
        if len(seen) > 1:
            place = pathlib.PurePosixPath(url).parent.joinpath(before['href'])
            assert place.name == pathlib.PurePosixPath(seen[-2]).name
        url = after and str(pathlib.PurePosixPath(url).parent / after['href'])
        url = url and re.sub(r'^\w+/\.\./', '', url)
    assert seen == list(pages)
    assert [link['href'] for link in pages['index.html'].select('section.site a')] == [u for u in pages][1:]


def test_equations_are_mathml(pages):
    assert sum(len(page.select('math')) for page in pages.values()) > 300
    for url, page in pages.items():
        assert not page.select('merror'), url
        for code in page.select('pre, code'):
            code.extract()
        assert not re.search(r'\$[^$]+\$|\\(frac|theta|sum|cdot)', page.find('main').get_text()), url


def test_pages_have_a_title_and_a_language_and_one_first_heading(pages):
    titles = [page.title.get_text() for page in pages.values()]
    assert len(set(titles)) == len(titles)
    for url, page in pages.items():
        assert page.html['lang'] == 'en' and len(page.select('h1')) == 1, url


# A course of two pages

@pytest.fixture
def small(tmp_path):
    """A checkout with one notebook, its exercise and its solution."""
    import nbformat
    root = tmp_path / 'checkout'
    for folder in ('exercises', 'solutions'):
        (root / 'notebooks' / folder).mkdir(parents=True)
    new = nbformat.v4
    text = new.new_markdown_cell('# One\n\n[next](exercises/01_one.ipynb#two-or-2), [code](../LICENSE), $x_0$.')
    output = new.new_output('stream', text='\x1b[31mred\x1b[0m <b>')
    task = new.new_markdown_cell('# Exercises: one\n\n## Two (or $2$)\n\n## Two (or $2$)')
    for place, cells in (('', [text, new.new_code_cell('1 < 2', outputs=[output])]), ('exercises/', [task]),
                         ('solutions/', [new.new_markdown_cell('# Secret')])):
        nbformat.write(new.new_notebook(cells=cells), root / 'notebooks' / place / '01_one.ipynb')
    (root / 'notebooks' / 'README.md').write_text('# Course\n\n[a](01_one.ipynb) ![the curve](../curve.svg)')
    (root / 'notebooks' / 'glossary.md').write_text('# Glossary\n\n$$\\frac{1}{2}$$')
    (root / 'README.md').write_text('# Project\n\n| a |\n|---|\n| 1 |')
    (root / 'curve.svg').write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    return root


def test_links_between_files_become_links_between_pages(small, tmp_path):
    made = builder.build(tmp_path / 'site', small)
    assert [page.url for page in made] == ['index.html', '01_one.html', 'exercises/01_one.html', 'glossary.html',
                                           'project.html']
    index, one, exercise = ((tmp_path / 'site' / page.url).read_text() for page in made[:3])
    assert '<a href="01_one.html">a</a>' in index and 'src="files/curve.svg"' in index
    assert (tmp_path / 'site' / 'files' / 'curve.svg').is_file()
    assert 'href="exercises/01_one.html#two-or-2"' in one and 'id="two-or-2"' in exercise
    assert '<li><a href="#two-or-2-1">Two (or <math' in exercise
    assert 'LICENSE' not in one and ', code,' in one
    assert 'red &lt;b&gt;' in one and '1 < 2' in BeautifulSoup(one, 'html.parser').select_one('.highlight').text
    assert 'href="../style.css"' in exercise and 'href="../index.html"' in exercise
    assert '<mfrac>' in (tmp_path / 'site' / 'glossary.html').read_text()
    assert '<div aria-label="table" class="scroll"' in (tmp_path / 'site' / 'project.html').read_text()
    assert not any('Secret' in path.read_text() for path in (tmp_path / 'site').rglob('*.html'))


def test_a_new_build_takes_the_place_of_the_old_one_and_of_nothing_else(small, tmp_path):
    builder.build(tmp_path / 'site', small)
    (small / 'notebooks' / '01_one.ipynb').rename(small / 'notebooks' / '02_two.ipynb')
    builder.build(tmp_path / 'site', small)
    assert not (tmp_path / 'site' / '01_one.html').exists() and (tmp_path / 'site' / '02_two.html').exists()
    (tmp_path / 'thesis').mkdir()
    (tmp_path / 'thesis' / 'chapter.txt').write_text('years of work')
    with pytest.raises(ValueError, match='is not a site'):
        builder.build(tmp_path / 'thesis', small)
    assert (tmp_path / 'thesis' / 'chapter.txt').exists()


def test_what_cannot_be_shown_is_an_error(small, tmp_path):
    (small / 'notebooks' / 'glossary.md').write_text('# Glossary\n\n$\\left( x$')
    with pytest.raises(ValueError, match='equation'):
        builder.build(tmp_path / 'site', small)
    (small / 'notebooks' / 'glossary.md').write_text('# Glossary\n\n![gone](gone.png)')
    with pytest.raises(FileNotFoundError, match='gone.png'):
        builder.build(tmp_path / 'again', small)


# In a browser

# What sticks out of its page: boxes whose content is wider than they are and which do not scroll (on paper nothing
# does), and boxes beyond the right edge that no scrolling box holds.
STICKS_OUT = '''paper => {
    const found = [], width = document.documentElement.clientWidth;
    const scrolls = box => !paper && ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
    const held = box => { for (let b = box.parentElement; b; b = b.parentElement) if (scrolls(b)) return true; };
    if (document.documentElement.scrollWidth > width) found.push('the page');
    for (const box of document.querySelectorAll('body *:not(span)')) {
        if (box.closest('math') && box.tagName != 'math') continue;
        const { width: w, right } = box.getBoundingClientRect();
        if (w && right > width + 1 && !held(box)) found.push(box.outerHTML.slice(0, 150));
        if (['PRE', 'DIV'].includes(box.tagName) && !scrolls(box) && box.scrollWidth > box.clientWidth + 1 && w)
            found.push('too narrow: ' + box.outerHTML.slice(0, 150));
    }
    return found;
}'''


@pytest.mark.skipif(BROWSER is None, reason='no chromium (Debian: apt-get install chromium)')
def test_every_page_in_a_browser(site, pages):
    """On a desktop, on a telephone 360 pixels wide, and on A4 paper."""
    api = pytest.importorskip('playwright.sync_api')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER)
        page = browser.new_context(viewport={'width': 1280, 'height': 900}).new_page()
        faults = []
        page.on('console', lambda message: faults.append(f'console: {message.text}'))
        page.on('pageerror', lambda error: faults.append(f'error: {error}'))
        page.on('requestfailed', lambda request: faults.append(f'failed: {request.url}'))
        page.on('request', lambda request: faults.append(f'elsewhere: {request.url}')
                if urllib.parse.urlsplit(request.url).scheme not in ('file', 'data') else None)
        for url in pages:
            page.goto((site / url).as_uri())
            missing = page.evaluate('[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)')
            assert (faults, missing) == ([], []), url
            assert page.evaluate(STICKS_OUT, False) == [], url
            page.set_viewport_size({'width': 360, 'height': 740})
            assert page.evaluate(STICKS_OUT, False) == [], f'{url}, 360 pixels'
            # A4 less the margins of the style sheet: 182 mm at 96 pixels to the inch.
            page.set_viewport_size({'width': 687, 'height': 1000})
            page.emulate_media(media='print')
            assert page.evaluate(STICKS_OUT, True) == [], f'{url}, on paper'
            assert not any(page.locator(part).first.is_visible() for part in ('nav', '#sections')), url
            page.emulate_media(media='screen')
            page.set_viewport_size({'width': 1280, 'height': 900})
        browser.close()
