"""What an instructor gives to students: `make student`, `make variants SEED=7`, `make quiz`, `make grader`.

student    an archive of the course without solutions, hidden tests and the project's own tests
variants   the sets with other numbers, as sources for nbgrader and as handed out
quiz       the notebooks' predictions as questions in Moodle's XML
grader     a course directory for nbgrader, with the sets and a configuration
table      the table of sets in docs/instructors.md
"""

import argparse
import pathlib
import random
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import nbformat
from nbconvert.filters import markdown2html

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import make_exercises  # noqa: E402

SOLUTIONS, BUILD = ROOT / 'notebooks' / 'solutions', ROOT / 'build'


def student(target):
    """Write the archive, of what is committed, to `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(['git', 'archive', '--prefix=densenet-course/', f'--output={target}', 'HEAD', '.',
                    ':!notebooks/solutions', ':!tests', ':!.ci', ':!benchmarks', ':!tools/handouts.py'],
                   cwd=ROOT, check=True)


def variant(notebook, seed):
    """A set with other numbers.

    ``notebook.metadata.variants`` is {name: [the number as written, other choices, ...]}, and ``varies`` in a cell's
    metadata names those that occur in it: there each such number, as a word of its own, is replaced.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        A set with solutions. Not changed.
    seed : int

    Returns
    -------
    nbformat.NotebookNode
    """
    notebook = nbformat.from_dict(notebook)
    chosen = {name: (written, random.Random(f'{seed} {name}').choice([written, *others]))
              for name, (written, *others) in notebook.metadata.get('variants', {}).items()}
    for cell in notebook.cells:
        numbers = dict(chosen[name] for name in cell.metadata.get('varies', []))
        if numbers:
            words = re.split(rf'(?<![\w.])({"|".join(map(str, numbers))})(?![\w]|\.\d)', cell.source)
            words[1::2] = [str(numbers[int(word)]) for word in words[1::2]]
            cell.source = ''.join(words)
    return notebook


def variants(seed, target):
    """Write every set with other numbers below `target`: solutions/ and exercises/."""
    for source in sorted(SOLUTIONS.glob('*.ipynb')):
        notebook = variant(nbformat.read(source, as_version=4), seed)
        for cell in notebook.cells:
            if cell.cell_type == 'code':
                cell.outputs, cell.execution_count = [], None
        for folder, made in (('solutions', notebook), ('exercises', make_exercises.exercise(notebook))):
            (target / folder).mkdir(parents=True, exist_ok=True)
            (target / folder / source.name).write_text(make_exercises.text(made), encoding='utf-8')


def questions():
    """The predictions of all notebooks in order: (notebook, text, answer as it is printed, tolerance)."""
    for path in sorted((ROOT / 'notebooks').glob('*.ipynb')):
        cells = nbformat.read(path, as_version=4).cells
        for before, cell in zip(cells, cells[1:]):
            if cell.cell_type != 'code' or 'predict(' not in cell.source or '**Predict' not in before.source:
                continue
            text = before.source[before.source.rindex('\n\n', 0, before.source.index('**Predict')) + 2:] \
                if '\n\n' in before.source[:before.source.index('**Predict')] else before.source
            printed = ''.join(output.get('text', '') for output in cell.outputs)
            answers = re.findall(r'^(.*) \(no prediction\)$', printed, flags=re.M)
            if len(answers) == 1:
                text = re.sub(r'\*\*Predict(?:[.:]\*\*|\*\*[.:])\s*(\w)', lambda found: found[1].upper(), text)
                tolerance = re.search(r'tolerance=([\d.]+)', cell.source)
                yield path.stem, text.replace('**Predict**', 'Predict').strip(), answers[0], \
                    float(tolerance[1]) if tolerance else 0.01


def quiz(target):
    """Write the questions to `target` in Moodle's XML: one category a notebook. Returns how many there are."""
    root = ElementTree.Element('quiz')
    asked = list(questions())
    answers = [answer for _, _, answer, _ in asked]
    # What could only be chosen, and has nothing to choose from, is left out.
    asked = [one for one in asked if _is_number(one[2]) or _distractors(one[2], answers)]
    for number, (notebook, text, answer, tolerance) in enumerate(asked, 1):
        if number == 1 or asked[number - 2][0] != notebook:
            category = ElementTree.SubElement(root, 'question', type='category')
            _text(category, 'category', f'$course$/DenseNet/{notebook}')
        root.append(_question(f'{notebook} {number}', text, answer, answers, tolerance))
    ElementTree.indent(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(target, encoding='utf-8', xml_declaration=True)
    return len(asked)


def _text(parent, name, text, **attributes):
    element = ElementTree.SubElement(parent, name, **attributes)
    ElementTree.SubElement(element, 'text').text = text
    return element


def _html(text):
    # Moodle knows formulas by \\( and \\), for a single $ is often money.
    return re.sub(r'(?<![\\$])\$([^$\n]+)\$(?!\$)', r'\\(\1\\)', markdown2html(text)).strip()


def _question(name, text, answer, others, tolerance=0.01):
    """One question: a number is typed in, everything else chosen."""
    value, numerical = answer.replace(',', ''), _is_number(answer)
    question = ElementTree.Element('question', type='numerical' if numerical else 'multichoice')
    _text(question, 'name', name)
    _text(question, 'questiontext', _html(text), format='html')
    ElementTree.SubElement(question, 'defaultgrade').text = '1'
    if numerical:
        # As in the notebooks: integers exactly, unless they say otherwise.
        exact = value.lstrip('-').isdigit() and tolerance == 0.01
        allowed = '0' if exact else f'{abs(float(value)) * tolerance:.3g}'
        ElementTree.SubElement(_text(question, 'answer', value, fraction='100', format='moodle_auto_format'),
                               'tolerance').text = allowed
        return question
    ElementTree.SubElement(question, 'single').text = 'true'
    ElementTree.SubElement(question, 'shuffleanswers').text = 'true'
    for choice in [answer, *_distractors(answer, others)]:
        _text(question, 'answer', choice, fraction='100' if choice == answer else '0', format='plain_text')
    return question


def _is_number(answer):
    # Not 0: one percent of it is nothing, and amc2moodle takes its logarithm.
    return re.fullmatch(r'-?[\d,]+(\.\d+)?(e[-+]?\d+)?', answer) and answer != '0'


def _distractors(answer, others):
    """Up to three wrong answers of the same kind."""
    if answer in ('yes', 'no'):
        return [{'yes': 'no', 'no': 'yes'}[answer]]
    if answer == '0':
        return ['1', '2', '3']
    numbers = re.findall(r'\d+', answer)
    if re.fullmatch(r'\([\d, ]+\)', answer) and len(numbers) > 1:
        n = [int(number) for number in numbers]
        wrong = [[n[0], *n[:0:-1]], [n[0], 2 * n[1], *n[2:]], [*n[:-1], n[-1] // 2], [*n[:-1], n[-1] + 1]]
        shapes = dict.fromkeys(f'({", ".join(map(str, shape))})' for shape in wrong)
        return [shape for shape in shapes if shape != answer][:3]
    alike = [other for other in dict.fromkeys(others) if other not in (answer, 'yes', 'no')
             and other.count(',') == answer.count(',') and not re.match(r'[\d(-]', other)]
    return random.Random(answer).sample(alike, min(3, len(alike)))


def grader(target, source=SOLUTIONS):
    """Make a course directory for nbgrader: nbgrader_config.py and source/SET/SET.ipynb."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / 'tools' / 'grader_settings.py', target / 'nbgrader_config.py')
    for path in sorted(source.glob('*.ipynb')):
        folder = target / 'source' / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)


def sets():
    """Rows of the table: name, exercises, minutes, points by checks and by hand, answers tried, right and wrong."""
    for path in sorted(SOLUTIONS.glob('*.ipynb')):
        cells = nbformat.read(path, as_version=4).cells
        minutes = [int(found[1]) for cell in cells if cell.cell_type == 'markdown'
                   for found in re.finditer(r'^## .*, (\d+) minutes\)$', cell.source, flags=re.M)]
        marks = [cell.metadata.nbgrader for cell in cells if cell.metadata.get('nbgrader', {}).get('grade')]
        answers = ROOT / 'tests' / 'notebooks' / 'answers' / f'{path.stem}.py'
        text = answers.read_text(encoding='utf-8') if answers.is_file() else ''
        tried = re.findall(r'^# %% \S+ (right|wrong):', text, flags=re.M)
        yield (path.stem, len(minutes), sum(minutes), sum(mark.points for mark in marks if not mark.solution),
               sum(mark.points for mark in marks if mark.solution), tried.count('right'), tried.count('wrong'))


def table():
    """The table of sets, in Markdown."""
    rows = list(sets())
    lines = ['| set | exercises | minutes | points by checks | by hand | right answers tried | wrong answers tried |',
             '|---|---|---|---|---|---|---|']
    lines += [f'| `{name}` | {" | ".join(map(str, numbers))} |' for name, *numbers in rows]
    lines += [f'| together | {" | ".join(str(sum(column)) for column in list(zip(*rows))[1:])} |']
    return '\n'.join(lines)


def with_table(text):
    """A page with the table between its two marks."""
    return re.sub(r'(<!-- sets -->\n).*?(<!-- end -->)', lambda found: f'{found[1]}\n{table()}\n\n{found[2]}', text,
                  flags=re.S)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['student', 'variants', 'quiz', 'grader', 'table'])
    parser.add_argument('--seed', type=int, default=1, help='of variants: which numbers (default 1)')
    parser.add_argument('--target', type=pathlib.Path, help='file or directory to write (default: below build/)')
    given = parser.parse_args(arguments)
    if given.what == 'student':
        target = given.target or BUILD / 'densenet-course-student.zip'
        student(target)
    elif given.what == 'variants':
        target = given.target or BUILD / f'variants-{given.seed}'
        variants(given.seed, target)
    elif given.what == 'quiz':
        target = given.target or BUILD / 'quiz.xml'
        print(f'{quiz(target)} questions')
    elif given.what == 'table':
        target = ROOT / 'docs' / 'instructors.md'
        target.write_text(with_table(target.read_text(encoding='utf-8')), encoding='utf-8')
    else:
        target = given.target or BUILD / 'grading'
        grader(target)
    print(target)


if __name__ == '__main__':
    sys.exit(main())
