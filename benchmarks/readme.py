"""The tables in README.md and docs/ that are made by the programs beside this file, each between two marks."""

import pathlib

from d2l_densenet.runs.directories import write_atomically

README = pathlib.Path(__file__).resolve().parent.parent / 'README.md'


def put(start, end, table, file=README):
    """Put `table` between the marks `start` and `end` of `file`."""
    head, _, rest = file.read_text().partition(start)
    _, _, tail = rest.partition(end)
    if not tail:
        raise RuntimeError(f'{file.name} lacks the marks {start} and {end}')
    write_atomically(file, f'{head}{start}\n{table}\n{end}{tail}')
