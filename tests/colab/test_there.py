"""Every notebook, from its first cell on, in environments made like Colab's and Kaggle's: `make colab-test`.

The kernel runs already and has loaded NumPy, `import mxnet` has failed in it, and there is no data set and no checkout
but the one that the first cell fetches from a repository on this disk. What was installed before must be there
afterwards, to the file. The outputs are compared with those in the notebooks, as nbval does.
"""

import json
import os
import re
import shutil
import subprocess

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

from tools.head_cells import IDENTIFIER, head_cell

ENVIRONMENTS = ROOT / 'build' / 'colab'
NOTEBOOKS = [str(path.relative_to(ROOT / 'notebooks').with_suffix(''))
             for folder in ('notebooks', 'notebooks/solutions') for path in sorted((ROOT / folder).glob('*.ipynb'))]
MARKS = {'colab': {'COLAB_RELEASE_TAG': 'release-colab_20260819-060000_RC00', 'COLAB_GPU': ''},
         'kaggle': {'KAGGLE_KERNEL_RUN_TYPE': 'Interactive'}}
#: What has happened in the kernel before the notebook is run.
BEFORE = '''
import sys, types
import numpy
try:
    import mxnet
except ImportError:
    pass
if {colab}:
    sys.modules['google'] = types.ModuleType('google')
    sys.modules['google.colab'] = sys.modules['google'].colab = types.ModuleType('google.colab')
'''

pytestmark = pytest.mark.skipif(os.environ.get('D2L_DENSENET_COLAB') != '1', reason='run by make colab-test')


class Place:
    """A copy of an environment, with a home, a working directory, and a kernel in it that Jupyter knows by its name."""

    def __init__(self, name, folder, address):
        self.name, self.folder, self.address = name, folder, address
        self.environment = ENVIRONMENTS / f'{name}-tried'
        shutil.rmtree(self.environment, ignore_errors=True)
        # Links and not copies, of 8 GB. pip replaces files and does not write into them.
        subprocess.run(['cp', '-al', ENVIRONMENTS / name, self.environment], check=True)
        self.python = self.environment / 'bin' / 'python'
        for directory in ('home', 'content', 'jupyter/kernels'):
            (folder / directory).mkdir(parents=True)
        self.kernel('there')
        self.kernel('with-data', D2L_DENSENET_DATA=os.environ.get('D2L_DENSENET_DATA', ''))
        self.before = self.freeze(), self.files()

    def kernel(self, name, **variables):
        variables = {'D2L_DENSENET_DATA': '', **variables}
        environment = {**MARKS[self.name], **variables, 'HOME': str(self.folder / 'home'), 'D2L_DENSENET_QUICK': '1',
                       'TQDM_DISABLE': '1', 'MPLBACKEND': 'module://matplotlib_inline.backend_inline',
                       'IPYTHONDIR': str(self.folder / 'home' / '.ipython')}
        specification = self.folder / 'jupyter' / 'kernels' / name / 'kernel.json'
        specification.parent.mkdir()
        specification.write_text(json.dumps({
            'argv': [str(self.python), '-m', 'ipykernel_launcher', '-f', '{connection_file}'], 'language': 'python',
            'display_name': name, 'env': environment}))

    def freeze(self):
        return set(subprocess.run([self.python, '-m', 'pip', 'freeze', '--all'], check=True, text=True,
                                  capture_output=True, cwd=self.folder).stdout.splitlines())

    def files(self):
        """Size and time of every file of the packages, without what Python compiles."""
        return {str(path.relative_to(self.environment)): (path.stat().st_size, path.stat().st_mtime_ns)
                for path in self.environment.rglob('*') if path.is_file() and path.suffix != '.pyc'}

    def run(self, name, kernel='there'):
        """The notebook as it is after it was run there."""
        notebook = nbformat.read(ROOT / 'notebooks' / f'{name}.ipynb', as_version=4)
        for cell in notebook.cells:
            if cell.get('id') == IDENTIFIER:
                cell.source = ''.join(head_cell(self.address)['source'])
        notebook.cells.insert(0, nbformat.v4.new_code_cell(BEFORE.format(colab=self.name == 'colab')))
        NotebookClient(notebook, timeout=600, kernel_name=kernel, record_timing=True,
                       resources={'metadata': {'path': str(self.folder / 'content')}}).execute()
        del notebook.cells[0]
        return notebook


@pytest.fixture(scope='module')
def address(tmp_path_factory):
    """A repository with what is committed here."""
    target = tmp_path_factory.mktemp('server') / 'course.git'
    subprocess.run(['git', 'clone', '--quiet', '--bare', ROOT, target], check=True)
    return target.as_uri()


@pytest.fixture(scope='module', params=['colab', 'kaggle'])
def place(request, tmp_path_factory, address):
    if not (ENVIRONMENTS / request.param / 'made').is_file():
        pytest.skip(f'there is no environment like that of {request.param}: make colab-test')
    folder = tmp_path_factory.mktemp(request.param)
    old = os.environ.get('JUPYTER_PATH')
    os.environ['JUPYTER_PATH'] = str(folder / 'jupyter')
    yield Place(request.param, folder, address)
    os.environ.pop('JUPYTER_PATH') if old is None else os.environ.update(JUPYTER_PATH=old)


def shown(cell):
    """The texts that a cell has put out, one for each stream and each result, without notices and addresses."""
    texts = []
    for output in cell.outputs:
        if 'd2l_densenet' in output.get('metadata', {}):
            continue
        kind = output.get('name', output.output_type)
        text = output.get('text', output.get('data', {}).get('text/plain', ''))
        if texts and output.output_type == 'stream' and texts[-1][0] == kind:
            texts[-1][1] += text
        else:
            texts.append([kind, text])
    return [[kind, re.sub('0x[0-9a-fA-F]{6,16}', 'ADDRESS', text)] for kind, text in texts]


def seconds(cell):
    from datetime import datetime

    times = [cell.metadata.execution[name] for name in ('iopub.execute_input', 'shell.execute_reply')]
    began, ended = (datetime.fromisoformat(time.replace('Z', '+00:00')) for time in times)
    return (ended - began).total_seconds()


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_runs_and_shows_what_it_showed(place, name):
    installed = (place.folder / 'home' / 'd2l-densenet').exists()
    notebook = place.run(name)
    head, = [cell for cell in notebook.cells if cell.get('id') == IDENTIFIER]
    text = ''.join(text for _, text in shown(head))
    if installed:
        assert text == f'{place.name.capitalize()}: the course is here.\n'
        assert seconds(head) < 1
    else:
        assert 'mxnet 1.9.1' in text and 'Every package that was here before is as it was.' in text, text
    old = nbformat.read(ROOT / 'notebooks' / f'{name}.ipynb', as_version=4)
    for was, cell in zip(old.cells, notebook.cells):
        if cell.cell_type == 'code' and cell is not head and 'nbval-ignore-output' not in cell.metadata.get('tags', []):
            assert shown(cell) == shown(was), cell.source


def test_trains_on_the_real_images(place):
    if not os.environ.get('D2L_DENSENET_DATA'):
        pytest.skip('D2L_DENSENET_DATA names no data set')
    notebook = place.run('04_training', 'with-data')
    assert not any('THIS IS NOT FASHION-MNIST' in str(cell.get('outputs')) for cell in notebook.cells)


def test_nothing_that_was_there_is_touched(place):
    freeze, files = place.before
    new = place.freeze() - freeze
    assert freeze <= place.freeze()
    assert {'mxnet==1.9.1', 'd2l==1.0.3'} <= new
    now = place.files()
    assert {name: now.get(name) for name in files} == files


def test_pytorch_still_works_beside_mxnet(place):
    for first, second in (('mxnet', 'torch'), ('torch', 'mxnet')):
        program = (f'import {first}, {second}, torch, mxnet, d2l_densenet\n'
                   'print(float(torch.ones(3, 4).matmul(torch.ones(4, 2)).sum() + '
                   'mxnet.nd.ones((2, 3)).sum().asscalar()))')
        done = subprocess.run([place.python, '-c', program], text=True, capture_output=True, cwd=place.folder)
        assert done.stdout == '30.0\n', done.stderr
