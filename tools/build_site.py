"""Render the course to static HTML: `python tools/build_site.py [DIRECTORY]`, into build/site by default.

One page for each notebook and each exercise notebook, for notebooks/README.md (the index), the glossary and the
project's README. nbconvert does the work, with the template and the style sheet in tools/site/. The pages hold no
script and ask nothing of the network: equations become MathML, which browsers draw themselves, and pictures are files.

(jupyter-book 2 was not taken: it needs node and downloads its theme when it builds.)
"""

import itertools
import os
import pathlib
import posixpath
import re
import shutil
import struct
import sys
import urllib.parse
from typing import NamedTuple

import nbformat
from bs4 import BeautifulSoup
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters import DataTypeFilter, Highlight2HTML, strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEMPLATE = pathlib.Path(__file__).resolve().parent / 'site'
# The one style of Pygments whose every colour has a contrast of 4.5 with the grey behind the code.
CODE_STYLE = 'xcode'


class Page(NamedTuple):
    """A page of the site: where it comes from, and its address; both from the root, with slashes."""

    source: str
    url: str


def pages(root=ROOT):
    """Every page in reading order: each notebook is followed by its exercises.

    Parameters
    ----------
    root : pathlib.Path
        The checkout.

    Returns
    -------
    list of Page
    """
    found = [Page('notebooks/README.md', 'index.html')]
    for path in sorted((root / 'notebooks').glob('*.ipynb')):
        found.append(Page(f'notebooks/{path.name}', f'{path.stem}.html'))
        if (root / 'notebooks' / 'exercises' / path.name).is_file():
            found.append(Page(f'notebooks/exercises/{path.name}', f'exercises/{path.stem}.html'))
    found += [Page('notebooks/glossary.md', 'glossary.html'), Page('README.md', 'project.html')]
    return found + [Page(path.relative_to(root).as_posix(), f'docs/{path.stem}.html')
                    for path in sorted((root / 'docs').glob('*.md'))]


class _Renderer(IPythonRenderer):
    """Markdown with its equations as MathML."""

    def inline_math(self, body):
        # The word joiner keeps a full stop on the line of the equation before it.
        equation = _mathml(body, 'inline')
        return (f'<span class="long">{equation}</span>' if len(body) > 24 else equation) + '&#8288;'

    def block_math(self, body):
        return f'<div class="math">{_mathml(body, "block")}</div>'

    def latex_environment(self, name, body):
        return self.block_math(f'\\begin{{{name}}}{body}\\end{{{name}}}')


def _mathml(body, display):
    try:
        return convert(body.strip(), display=display)
    except Exception as error:
        raise ValueError(f'this equation cannot be turned into MathML: {body.strip()!r}') from error


class _Exporter(HTMLExporter):
    """nbconvert's exporter with the template of tools/site/."""

    def __init__(self):
        super().__init__(template_name='site', extra_template_basedirs=[str(TEMPLATE.parent)], config=Config({
            'ExtractOutputPreprocessor': {'enabled': True,
                                          'output_filename_template': '{unique_key}_{cell_index}_{index}{extension}'}}))

    def markdown2html(self, context, source):
        return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(source)

    def from_notebook_node(self, nb, resources=None, **options):
        # HTMLExporter's own does two things more, which cost a third of the time: it parses the page once more, to
        # write 'No description' where a picture has none, and prepares widgets, of which this course has none.
        self.register_filter('highlight_code', Highlight2HTML(pygments_lexer='ipython3', parent=self))
        self.register_filter('filter_data_type', DataTypeFilter(parent=self))
        return super(HTMLExporter, self).from_notebook_node(nb, self._init_resources(resources), **options)

    markdown2html.__dict__.update(HTMLExporter.markdown2html.__dict__)     # marked as a filter that gets the context


def build(target, root=ROOT):
    """Render every page to `target`, which is emptied first.

    Parameters
    ----------
    target : path
        Directory of the site; made if it is missing.
    root : pathlib.Path
        The checkout.

    Returns
    -------
    list of Page

    Raises
    ------
    ValueError
        If `target` holds something that is not a site, or an equation cannot be converted.
    FileNotFoundError
        If a picture is missing.
    """
    target = pathlib.Path(target)
    if target.is_dir() and any(target.iterdir()) and not (target / 'index.html').is_file():
        raise ValueError(f'{target} holds files but no index.html: it is not a site, and is left as it is')
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    style = (TEMPLATE / 'style.css').read_text(encoding='utf-8')
    style += HtmlFormatter(style=CODE_STYLE).get_style_defs('.highlight') + '\n'
    (target / 'style.css').write_text(style, encoding='utf-8')
    for name in ('math.woff', 'math.LICENSE'):
        shutil.copy(TEMPLATE / name, target)

    order = pages(root)
    titles = {page: _title(root / page.source) for page in order}
    exporter = _Exporter()
    for number, page in enumerate(order):
        _write(exporter, target, root, page, order, titles, number)
    return order


def _read(path):
    if path.suffix == '.ipynb':
        return nbformat.read(path, as_version=4)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(path.read_text(encoding='utf-8'))])


def _title(path):
    first = _read(path).cells[0].source.lstrip().splitlines()[0].lstrip('# ')
    return f'{path.stem[:2]} {first}' if path.stem[:2].isdigit() else first


def _write(exporter, target, root, page, order, titles, number):
    place = posixpath.dirname(page.url)

    def to(url):
        return posixpath.relpath(url, place or '.')

    def link(other):
        return {'url': to(other.url), 'title': titles[other]}

    notebook = _read(root / page.source)
    # The cell that installs the course where it is run says nothing to who reads it on a page.
    notebook.cells = [cell for cell in notebook.cells if 'hide-input' not in cell.metadata.get('tags', [])]
    for cell in notebook.cells:
        for output in cell.get('outputs', ()):
            # Colours of a terminal mean nothing here, and their contrast is unknown.
            if 'text' in output:
                output['text'] = strip_ansi(output['text'])
    is_notebook = page.source.endswith('.ipynb')
    others = [other for other in order if other.url != 'index.html']
    body, resources = exporter.from_notebook_node(notebook, {
        'unique_key': pathlib.PurePosixPath(page.url).stem, 'output_files_dir': 'images',
        'metadata': {'name': titles[page]},
        'site': {'title': titles[page], 'style': to('style.css'), 'index': to('index.html'),
                 'glossary': to('glossary.html'), 'is_index': page.url == 'index.html',
                 'before': link(order[number - 1]) if number else None,
                 'after': link(order[number + 1]) if number + 1 < len(order) else None,
                 'file': posixpath.basename(page.source) if is_notebook else None,
                 'pages': [link(other) for other in others] if page.url == 'index.html' else []}})
    for name, data in resources['outputs'].items():
        file = target / place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (target / place).mkdir(parents=True, exist_ok=True)
    if is_notebook:
        shutil.copy(root / page.source, target / place)
    soup = BeautifulSoup(body, 'html.parser')
    _mend_links(soup, target, root, page, order, to)
    _finish(soup, target / place)
    (target / page.url).write_text(str(soup), encoding='utf-8')


def _mend_links(soup, target, root, page, order, to):
    """Make links from file to file links from page to page, and bring the pictures of Markdown texts along."""
    known = {other.source: other.url for other in order}
    folder = posixpath.dirname(page.source)
    main = soup.find('main')
    for link in main.select('a[href]'):
        address = urllib.parse.urlsplit(link['href'])
        if address.scheme or not address.path or link.find_parent(class_='site'):
            continue
        source = posixpath.normpath(posixpath.join(folder, urllib.parse.unquote(address.path)))
        if source in known:
            link['href'] = to(known[source]) + (f'#{address.fragment}' if address.fragment else '')
        else:
            link.unwrap()       # a file of the checkout that is no page: its name stays
    for picture in main.select('.jp-MarkdownCell img[src]'):
        address = urllib.parse.urlsplit(picture['src'])
        if address.scheme:
            continue
        source = posixpath.normpath(posixpath.join(folder, urllib.parse.unquote(address.path)))
        copy = target / 'files' / source
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / source, copy)
        picture['src'] = to(f'files/{source}')


def _finish(soup, place):
    """Boxes in which wide tables scroll, sizes of pictures, anchors, a list of the sections."""
    for table in soup.select('main table'):
        table.wrap(soup.new_tag('div', attrs={'class': 'scroll', 'role': 'region', 'tabindex': '0',
                                              'aria-label': 'table'}))
        for text in table.find_all(string=re.compile(r'[\w./:]{17,}')):
            # Long names may break at their joints, so that they do not make a column wider than paper.
            parts = re.split(r'(?<=[_/:.])(?=[^\W_])', text)
            text.replace_with(*[piece for part in parts for piece in (part, soup.new_tag('wbr'))][:-1])
    for picture in soup.select('main img[src]'):
        if picture['src'].endswith('.png'):
            # The size in the file's header lets the browser keep the room free, and the style find the wide ones.
            picture['width'], picture['height'] = struct.unpack('>II', (place / picture['src']).read_bytes()[16:24])
            if picture['width'] > 600:
                picture['class'] = 'wide'
            picture.attrs = {name: value for name, value in picture.attrs.items() if value != ''}
            whole = soup.new_tag('a', attrs={'href': picture['src']})
            picture.wrap(whole).wrap(soup.new_tag('div', attrs={'class': 'scroll'}))
    contents, taken = soup.find(id='sections'), set()
    # Not nbconvert's own anchors: they would take headings with equations for XML, and differ from GitHub's.
    for heading in soup.select('.jp-MarkdownCell :is(h1, h2, h3, h4)'):
        heading['id'] = _slug(heading.get_text(), taken)
        if heading.name == 'h2':
            entry = soup.new_tag('a', attrs={'href': '#' + heading['id']})
            entry.extend([part.__copy__() for part in heading.contents])
            contents.ul.append(soup.new_tag('li'))
            contents.ul.contents[-1].append(entry)
        anchor = soup.new_tag('a', attrs={'class': 'anchor-link', 'href': '#' + heading['id'], 'title': 'link here'})
        anchor.string = '¶'
        heading.append(anchor)
    if len(contents.ul.contents) < 2:
        contents.decompose()


def _slug(text, taken):
    """A heading's anchor as GitHub makes it, so that a link to it works there and here."""
    slug = re.sub(r'[^\w\- ]', '', text.strip().lower()).replace(' ', '-')
    number = next(n for n in itertools.count() if (f'{slug}-{n}' if n else slug) not in taken)
    taken.add(f'{slug}-{number}' if number else slug)
    return f'{slug}-{number}' if number else slug


def main():
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / 'build' / 'site')
    made = build(target)
    print(f'{len(made)} pages: {os.path.relpath(target / "index.html")}')


if __name__ == '__main__':
    main()
