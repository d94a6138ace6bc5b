"""The tables in README.md and docs/ that are made by the programs beside this file, each between two marks."""

import pathlib

from d2l_densenet.runs.directories import write_atomically

ROOT = pathlib.Path(__file__).resolve().parent.parent


def page(start):
    """The page that holds the mark `start`."""
    found = [path for path in [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))] if start in path.read_text()]
    if len(found) != 1:
        raise RuntimeError(f'the mark {start} must be in README.md or in one page of docs/, and is in {len(found)}')
    return found[0]


def put(start, end, table):
    """Put `table` between the marks `start` and `end` of the page that holds them."""
    file = page(start)
    head, _, rest = file.read_text().partition(start)
    _, found, tail = rest.partition(end)
    if not found:
        raise RuntimeError(f'{file.name} lacks the mark {end}')
    write_atomically(file, f'{head}{start}\n{table}\n{end}{tail}')
