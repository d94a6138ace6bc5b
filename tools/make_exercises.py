"""Make notebooks/exercises/ from notebooks/solutions/: `make exercises`.

A notebook in notebooks/solutions/ is a source in nbgrader's format. What this program writes is what
`nbgrader generate_assignment` of nbgrader 0.9.6 writes with its default settings; a test holds the two against each
other where nbgrader is installed. nbgrader itself is no dependency of the course, because it comes with a database and
switches on four extensions in the JupyterLab of whoever installs it.

In a code cell marked as a solution, what stands between BEGIN SOLUTION and END SOLUTION becomes a stub that raises
NotImplementedError; a written solution becomes 'YOUR ANSWER HERE'; what stands between BEGIN HIDDEN TESTS and END
HIDDEN TESTS goes; so do all outputs. The check sums are those by which nbgrader knows a cell that was not touched.
"""

import hashlib
import pathlib
import re
import sys

import nbformat

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOLUTIONS, EXERCISES = ROOT / 'notebooks' / 'solutions', ROOT / 'notebooks' / 'exercises'
CODE_STUB = ['# YOUR CODE HERE', 'raise NotImplementedError()']
TEXT_STUB = ['YOUR ANSWER HERE']


def replace_regions(text, name, stub=()):
    """Replace each region between BEGIN `name` and END `name` in `text` with the lines of `stub`, indented as it was.

    Returns
    -------
    text : str
    found : bool
        Whether there was a region.

    Raises
    ------
    ValueError
        If a region begins inside another one or does not end.
    """
    lines, inside, found = [], False, False
    for line in text.split('\n'):
        if f'BEGIN {name}' in line:
            if inside:
                raise ValueError(f'BEGIN {name} inside another one in the cell:\n{text}')
            inside = found = True
            indent = re.match(r'\s*', line).group()
            lines += [indent + stub_line for stub_line in stub]
        elif f'END {name}' in line:
            inside = False
        elif not inside:
            lines.append(line)
    if inside:
        raise ValueError(f'BEGIN {name} without END {name} in the cell:\n{text}')
    return '\n'.join(lines), found


def check_sum(cell):
    """nbgrader's check sum of a cell: its text and its marks."""
    marks = cell.metadata.nbgrader
    locked = not marks.solution and (marks.grade or marks.locked)
    parts = [cell.source, cell.cell_type, str(marks.grade), str(marks.solution), str(locked), marks.grade_id]
    if marks.grade:
        parts.append(str(float(marks.points)))
    return hashlib.md5(''.join(parts).encode()).hexdigest()


def exercise(solution):
    """The notebook to hand out.

    Parameters
    ----------
    solution : nbformat.NotebookNode
        Not changed.

    Returns
    -------
    nbformat.NotebookNode

    Raises
    ------
    ValueError
        If a solution or a hidden test stands in a cell that is not marked as such, or a region does not end.
    """
    notebook = nbformat.from_dict(solution)
    for cell in notebook.cells:
        marks = cell.metadata.get('nbgrader', {})
        stub = CODE_STUB if cell.cell_type == 'code' else TEXT_STUB
        cell.source, found = replace_regions(cell.source, 'SOLUTION', stub)
        if found and not marks.get('solution'):
            raise ValueError(f'a solution in a cell that is not marked as one:\n{cell.source}')
        if marks.get('solution') and not found:
            cell.source = '\n'.join(stub)
        cell.source, found = replace_regions(cell.source, 'HIDDEN TESTS')
        if found and not marks.get('grade'):
            raise ValueError(f'hidden tests in a cell that is not marked as a test:\n{cell.source}')
        if cell.cell_type == 'code':
            cell.outputs, cell.execution_count = [], None
        if marks.get('solution'):
            cell.metadata['deletable'] = False
        elif marks.get('grade') or marks.get('locked'):
            cell.metadata['deletable'] = cell.metadata['editable'] = False
        if marks.get('solution') or marks.get('grade') or marks.get('locked'):
            marks['checksum'], marks['cell_type'] = check_sum(cell), cell.cell_type
    return notebook


def text(notebook):
    """The notebook as it stands in its file."""
    return nbformat.writes(notebook, version=4) + '\n'


def main():
    sources = sorted(SOLUTIONS.glob('*.ipynb'))
    EXERCISES.mkdir(exist_ok=True)
    for old in EXERCISES.glob('*.ipynb'):
        if old.name not in {source.name for source in sources}:
            old.unlink()
    for source in sources:
        notebook = exercise(nbformat.read(source, as_version=4))
        (EXERCISES / source.name).write_text(text(notebook), encoding='utf-8')
        print(f'notebooks/exercises/{source.name}')


if __name__ == '__main__':
    sys.exit(main())
