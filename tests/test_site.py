"""`make site`: what the pages hold, and how they behave in a browser. (How they look was looked at.)"""

import json
import pathlib
import re
import shutil
import types
import urllib.parse

import pytest
from helpers import ROOT, python, script

import d2l_densenet
from d2l_densenet import DenseNet, summary

pytest.importorskip('sphinx', reason='the site is built with Python 3.13 and later')
BeautifulSoup = pytest.importorskip('bs4').BeautifulSoup
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
NOTEBOOKS = sorted([*ROOT.glob('notebooks/*.ipynb'), *ROOT.glob('notebooks/exercises/*.ipynb')])


def cells(path):
    return json.loads(path.read_text(encoding='utf-8'))['cells']


def page_of(path):
    return path.relative_to(ROOT).with_suffix('.html').as_posix()


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The site as `make site` builds it: a warning fails."""
    place = tmp_path_factory.mktemp('site')
    options, = re.findall(r'-m sphinx (.*) build/site ', (ROOT / 'Makefile').read_text())
    options = options.replace('build/', f'{place}/').split()
    done = python('-m', 'sphinx', *options, place / 'site', cwd=ROOT, timeout=570)
    assert (done.returncode, done.stderr) == (0, '')
    return place / 'site'


@pytest.fixture(scope='module')
def pages(site):
    """Address to soup."""
    return {path.relative_to(site).as_posix(): BeautifulSoup(path.read_text(encoding='utf-8'), 'html.parser')
            for path in sorted(site.rglob('*.html')) if '_static' not in path.parts}


def texts(pages):
    """The pages with a text of ours, without what Sphinx makes."""
    return {url: page for url, page in pages.items() if url not in ('genindex.html', 'search.html')}


# What is there

def test_every_notebook_has_a_page_and_no_solution_has(site, pages):
    assert len(NOTEBOOKS) > 10 and {page_of(path) for path in NOTEBOOKS} <= pages.keys()
    for path in site.rglob('*'):
        assert 'solution' not in path.name.lower()
        if path.suffix in ('.html', '.ipynb', '.js'):
            assert 'BEGIN SOLUTION' not in path.read_text(encoding='utf-8'), path


def test_every_guide_has_a_page(pages):
    for path in ROOT.glob('docs/**/*.md'):
        assert page_of(path) in pages


def test_a_notebook_can_be_downloaded_as_it_is(site, pages):
    for path in NOTEBOOKS:
        link, = pages[page_of(path)].select('a.btn-download-source-button')
        assert (site / page_of(path)).parent.joinpath(link['href']).resolve().read_bytes() == path.read_bytes()


def test_tagged_cells_are_folded_until_they_are_opened(pages):
    for path in NOTEBOOKS:
        tags = [tag for cell in cells(path) for tag in cell['metadata'].get('tags', ())
                if tag == 'hide-input' or tag == 'hide-output' and cell.get('outputs')]
        folds = pages[page_of(path)].select('.cell details')
        assert [fold.find('p').get_text() for fold in folds] == \
            [{'hide-input': 'Show the code', 'hide-output': 'Show the answer'}[tag] for tag in tags], path.name
        assert not any(fold.has_attr('open') for fold in folds), path.name


def test_every_picture_is_there_and_says_what_it_shows(site, pages):
    """The notebooks' own pictures carry the text in the metadata of their outputs: see plots.describe."""
    count = 0
    for url, page in texts(pages).items():
        for picture in page.select('main img'):
            count += 1
            assert (site / url).parent.joinpath(picture['src']).is_file(), (url, picture['src'])
            assert len(picture.get('alt', '')) >= 20 and not picture['alt'].startswith('../_images'), (url, picture)
    committed = sum('image/png' in output.get('data', {}) for path in NOTEBOOKS for cell in cells(path)
                    for output in cell.get('outputs', ()))
    assert count >= committed > 20


def test_every_link_leads_somewhere(site, pages):
    anchors = {url: {tag['id'] for tag in page.find_all(id=True)} for url, page in pages.items()}
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
                other = target.relative_to(site.resolve()).as_posix() if address.path else url
                assert urllib.parse.unquote(address.fragment) in anchors[other], (url, link['href'])


def test_nothing_comes_from_elsewhere(site, pages):
    for url, page in pages.items():
        assert not page.select('iframe, object, embed'), url
        for tag in page.select('[src], link[href]'):
            address = tag.get('src') or tag['href']
            assert not re.match(r'(https?:)?//', address), (url, address)
    for path in site.rglob('*.css'):
        assert not re.search(r'(@import |url\()["\']?(https?:)?//', path.read_text(encoding='utf-8')), path


def test_one_can_read_on_from_the_first_page_to_the_last(pages):
    url, seen = 'index.html', []
    while url:
        seen.append(url)
        after = pages[url].select_one('a.right-next')
        url = after and pathlib.PurePosixPath('/').joinpath(url).parent.joinpath(after['href'])
        url = url and pathlib.Path(url).resolve().relative_to('/').as_posix()
    assert sorted(seen) == sorted(texts(pages))


def test_equations_are_mathml(pages):
    assert sum(len(page.select('math')) for page in pages.values()) > 100
    for url, page in texts(pages).items():
        assert not page.select('merror'), url
        words = re.sub(r'<(pre|code|math)\b.*?</\1>', '', str(page.find('article')), flags=re.S)
        assert not re.search(r'\$[^$]+\$|\\(frac|theta|sum|cdot)', words), url


def test_pages_have_a_title_and_a_language_and_one_first_heading(pages):
    titles = [page.title.get_text() for page in pages.values()]
    assert len(set(titles)) == len(titles)
    for url, page in texts(pages).items():
        assert page.html['lang'] == 'en' and len(page.select('article h1')) == 1, url


# The reference

def documented(pages):
    """What the reference describes: {full name: its entry}."""
    return {term['id']: term.find_parent('dl') for url, page in pages.items() if url.startswith('docs/api/')
            for term in page.select('dl.py > dt[id]')}


def test_every_public_name_is_in_the_reference_with_an_example(pages):
    found = documented(pages)
    modules = d2l_densenet, d2l_densenet.checks, d2l_densenet.recompute
    for module, name in [(m, name) for m in modules for name in m.__all__ if name != 'TIME_LIMIT']:
        thing, key = getattr(module, name), f'{module.__name__}.{name}'
        key = key if key in found else f'{thing.__module__}.{name}'
        assert key in found, key
        needs = isinstance(thing, types.FunctionType) or \
            isinstance(thing, type) and not issubclass(thing, Exception) and name != 'LoadReport'
        if needs and module is not d2l_densenet.checks:
            assert 'Examples' in found[key].get_text(), key


def test_names_in_the_reference_are_links(pages):
    """`conv_block` in a docstring leads to conv_block, unless that is where one is."""
    count = 0
    for url, page in pages.items():
        for code in page.select('code.py-obj') if url.startswith('docs/api/') else ():
            if code.get_text() in d2l_densenet.__all__:
                count += 1
                assert code.find_parent('a'), (url, code.get_text())
    assert count > 30


# The address

def test_launch_buttons_have_one_setting(pages):
    """Repository at [project.urls] in pyproject.toml."""
    conf = script('docs/conf.py')
    name = NOTEBOOKS[0].relative_to(ROOT).with_suffix('').as_posix()
    for host, expected in [('', 0), ('https://gitlab.com/', 0), ('https://github.com/', 3)]:
        address = host and f'{host}someone/course'
        conf.REPOSITORY, context = address, {'header_buttons': []}
        conf.launch_buttons(None, name, None, context, None)
        conf.launch_buttons(None, 'docs/data', None, context, None)
        urls = [button['url'] for group in context['header_buttons'] for button in group['buttons']]
        assert len(urls) == expected
        assert all('someone/course' in url and f'{name}.ipynb' in url for url in urls)
    shown = pages[page_of(NOTEBOOKS[0])].select('.dropdown-launch-buttons')
    assert bool(shown) == script('docs/conf.py').REPOSITORY.startswith('https://github.com/')


# In a browser

@pytest.fixture(scope='module')
def browser():
    if BROWSER is None:
        pytest.skip('no chromium (Debian: apt-get install chromium)')
    api = pytest.importorskip('playwright.sync_api')
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER)
        yield browser
        browser.close()


def opened(browser, width=1280, scheme='light'):
    """A page that notes what goes wrong in `faults`."""
    page = browser.new_context(viewport={'width': width, 'height': 900}, color_scheme=scheme).new_page()
    page.faults = []
    page.on('console', lambda message: page.faults.append(message.text) if message.type == 'error' else None)
    page.on('pageerror', lambda error: page.faults.append(f'error: {error}'))
    page.on('requestfailed', lambda request: page.faults.append(f'failed: {request.url}'))
    page.on('request', lambda request: page.faults.append(f'elsewhere: {request.url}')
            if urllib.parse.urlsplit(request.url).scheme not in ('file', 'data') else None)
    return page


# What sticks out of its page: boxes whose content is wider than they are and which do not scroll (on paper nothing
# does), and boxes beyond the right edge that no scrolling box holds.
STICKS_OUT = '''paper => {
    const found = [], width = document.documentElement.clientWidth;
    const scrolls = box => !paper && ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
    const held = box => { for (let b = box.parentElement; b; b = b.parentElement) if (scrolls(b)) return true; };
    if (document.documentElement.scrollWidth > width) found.push('the page');
    for (const box of document.querySelectorAll('article *:not(span)')) {
        if (box.closest('math, .visually-hidden') && box.tagName != 'math') continue;
        const { width: w, right } = box.getBoundingClientRect();
        if (w && right > width + 1 && !held(box)) found.push(box.outerHTML.slice(0, 150));
    }
    return found;
}'''


@pytest.mark.parametrize('width, media', [(390, 'screen'), (820, 'screen'), (687, 'print')])
def test_every_page_in_a_browser(site, pages, browser, width, media):
    """687 pixels are A4 paper less its margins."""
    page = opened(browser, width)
    page.emulate_media(media=media)
    for url in texts(pages):
        page.goto((site / url).as_uri())
        missing = page.evaluate('[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)')
        assert (page.faults, missing) == ([], []), url
        assert page.evaluate(STICKS_OUT, media == 'print') == [], url


def test_what_scrolls_can_be_reached_with_the_keyboard(site, browser):
    page = opened(browser, 390)
    page.goto((site / 'docs/networks.html').as_uri())
    page.wait_for_function('document.querySelector(".pst-scrollable-table-container").tabIndex == 0')


@pytest.mark.parametrize('query, expected', [
    ('theta', 'notebooks/glossary.html'), ('growth rate', 'notebooks/glossary.html'),
    ('load_pretrained', 'docs/api/files.html')])
def test_the_search_works_from_the_disk(site, browser, query, expected):
    page = opened(browser)
    page.goto((site / 'search.html').as_uri() + f'?q={urllib.parse.quote(query)}')
    page.wait_for_selector(f'#search-results a[href*="{expected}"]', timeout=20_000)


@pytest.mark.parametrize('width, scheme', [(390, 'light'), (1280, 'dark')])
def test_axe_finds_nothing_serious(site, browser, width, scheme):
    axe = pytest.importorskip('axe_playwright_python.sync_playwright').Axe()
    for url in ('index.html', 'docs/play.html', 'docs/networks.html', 'docs/api/networks.html', page_of(NOTEBOOKS[1]),
                'search.html'):
        page = opened(browser, width, scheme)
        page.goto((site / url).as_uri())
        page.wait_for_load_state('load')
        found = [(rule['id'], [node['html'][:200] for node in rule['nodes'][:3]])
                 for rule in axe.run(page).response['violations'] if rule['impact'] in ('serious', 'critical')]
        page.context.close()
        assert found == [], url


@pytest.mark.parametrize('settings', [
    dict(L=4, k=32, k0=64, theta=50, size=12, bottleneck=False, bias=True),
    dict(L=4, k=32, k0=64, theta=50, size=12, bottleneck=True, bias=True),
    dict(L=16, k=12, k0=25, theta=55, size=7, bottleneck=True, bias=False),
    dict(L=1, k=1, k0=1, theta=100, size=2, bottleneck=False, bias=False),
    dict(L=7, k=5, k0=33, theta=29, size=9, bottleneck=False, bias=False)])
def test_the_page_to_play_with_counts_as_the_package_does(site, browser, settings):
    page = opened(browser)
    page.goto((site / 'docs/play.html').as_uri())
    for name, value in settings.items():
        page.evaluate('''([name, value]) => {
            const input = document.getElementById(`play-${name}`);
            if (input.type == 'checkbox') input.checked = value; else input.value = value;
            input.dispatchEvent(new Event('input', { bubbles: true }));
        }''', [name, value])
    shown = {name: page.locator(f'#play-{name}').inner_text().replace(',', '') for name in
             ('out', 'kept', 'connections', 'parameters', 'work', 'transition-parameters', 'transition-work')}
    L, k, k0, size = (settings[name] for name in ('L', 'k', 'k0', 'size'))
    net = DenseNet(k, (L, 1), k0, bottleneck=4 if settings['bottleneck'] else None, compression=settings['theta'] / 100,
                   bias=settings['bias'], stem='cifar')
    block, transition = summary(net, (1, size, size)).rows[1:3]
    assert (block['stage'], transition['stage']) == ('dense block 1', 'transition 1')
    assert shown == {
        'out': ' × '.join(map(str, block['output_shape'])), 'kept': ' × '.join(map(str, transition['output_shape'])),
        'parameters': str(block['parameters']), 'transition-parameters': str(transition['parameters']),
        'work': str(block['multiply_adds']), 'transition-work': str(transition['multiply_adds']),
        'connections': str(L * (L + 1) // 2)}
    rows = page.locator('#play tbody tr').all_inner_texts()
    assert len(rows) == L + 1
    reads = [int(row.split('\t')[2].replace(',', '')) for row in rows]
    assert reads == [k0 + i * k for i in range(L + 1)]
    assert page.faults == []
