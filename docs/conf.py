"""Sphinx's settings: `make site` builds docs/ and notebooks/ to build/site. Nothing is run, nothing is fetched.

The source directory is the checkout, so that links between the files work on the site as they do in the repository.
"""

import functools
import pathlib
import re
import sys

import tomllib
from docutils.nodes import SkipNode, container
from latex2mathml.converter import convert
from myst_nb.core.render import NbElementRenderer

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
#: The one setting of the launch buttons: without it there are none.
REPOSITORY = PROJECT.get('urls', {}).get('Repository', '').removesuffix('.git').rstrip('/')

project, author, release = 'DenseNet in MXNet', 'the d2l-densenet authors', PROJECT['version']
copyright = '2026, the d2l-densenet authors'
root_doc = 'index'
include_patterns = ['index.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSES.md', 'docs/**.md', 'notebooks/**']
exclude_patterns = ['.*', 'build', 'runs', 'tests', 'records', 'notebooks/solutions', '**/.ipynb_checkpoints']
extensions = ['myst_nb', 'sphinx.ext.autodoc', 'numpydoc', 'sphinx_copybutton']

nb_execution_mode = 'off'
nb_merge_streams = True
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence', 'attrs_block']
myst_heading_anchors = 4

default_role = 'py:obj'
add_module_names = False
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
numpydoc_show_class_members = False
copybutton_exclude = '.linenos, .gp, .go'
copybutton_prompt_text = r'>>> |\.\.\. |\$ '
copybutton_prompt_is_regexp = True

html_theme = 'sphinx_book_theme'
html_title = project
html_static_path = ['_static']
html_css_files = ['course.css']
html_js_files = ['course.js']
html_copy_source = True
html_show_sphinx = False
html_domain_indices = False
html_context = {'default_mode': 'auto'}
html_math_renderer = 'mathml'
html_theme_options = {'navbar_persistent': [], 'show_toc_level': 2,
                      'pygments_light_style': 'a11y-high-contrast-light',
                      'pygments_dark_style': 'a11y-high-contrast-dark'}
if REPOSITORY:
    html_theme_options |= {'repository_url': REPOSITORY, 'repository_branch': 'main', 'use_repository_button': True}


@functools.lru_cache(None)
def mathml(latex, display):
    """An equation as MathML, which browsers draw themselves: no script, no fonts from elsewhere, and it prints."""
    return convert(latex.strip(), display=display)


def inline_math(self, node):
    # The word joiner keeps a full stop on the line of the equation before it.
    self.body.append(f'<span class="math">{mathml(node.astext(), "inline")}</span>&#8288;')
    raise SkipNode


def block_math(self, node):
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise SkipNode


def with_alternative_text(render_image):
    """myst-nb's function, with the text that plots.describe has put into the output's metadata."""
    def rendered(self, data):
        images = render_image(self, data)
        alt = data.output_metadata.get(data.mime_type, {}).get('alt')
        if alt:
            images[0]['alt'] = alt
        return images
    return rendered


NbElementRenderer.render_image = with_alternative_text(NbElementRenderer.render_image)


def prompts(app, doctree):
    """What is written over a folded part of a cell: the output of a cell with the tag hide-output is an answer."""
    for cell in doctree.findall(container):
        if cell.get('hide_mode'):
            what = 'answer' if cell['hide_mode'] == 'output' else 'code'
            cell['prompt_show'], cell['prompt_hide'] = f'Show the {what}', f'Hide the {what}'


def launch_buttons(app, pagename, templatename, context, doctree):
    """Buttons that open a notebook elsewhere, where the repository's address is known and is one of GitHub."""
    place = re.fullmatch(r'https://github\.com/([^/]+/[^/]+)', REPOSITORY)
    if not place or not (ROOT / f'{pagename}.ipynb').is_file():
        return
    file = f'{place[1]}/blob/main/{pagename}.ipynb'
    targets = {'Colab': f'https://colab.research.google.com/github/{file}',
               'Kaggle': f'https://kaggle.com/kernels/welcome?src=https://github.com/{file}',
               'JupyterLab, on Binder': f'https://mybinder.org/v2/gh/{place[1]}/main?urlpath=lab/tree/{pagename}.ipynb'}
    buttons = [{'type': 'link', 'text': name, 'tooltip': f'Open in {name}', 'url': url, 'icon': 'fas fa-rocket'}
               for name, url in targets.items()]
    context['header_buttons'].insert(0, {'type': 'group', 'tooltip': 'Open and run this notebook',
                                         'icon': 'fas fa-rocket', 'label': 'launch-buttons', 'buttons': buttons})


def public_name(app, env, node, contnode):
    """A name of the package in the docstring of one of its modules: `fit` for `d2l_densenet.fit`."""
    if node.get('reftype') == 'obj':
        return env.get_domain('py').resolve_xref(env, node['refdoc'], app.builder, 'obj',
                                                 f'd2l_densenet.{node["reftarget"]}', node, contnode)


def setup(app):
    app.add_html_math_renderer('mathml', (inline_math, None), (block_math, None))
    app.connect('doctree-read', prompts)
    app.connect('html-page-context', launch_buttons, priority=600)
    app.connect('missing-reference', public_name)
