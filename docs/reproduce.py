"""Makes the tables and figures of a page again from an archive of runs, and names every cell that differs.

python docs/reproduce.py docs/paper.md             compares: make reproduce
python docs/reproduce.py docs/paper.md --write     writes them into the page: make reproduce WRITE=--write

The page's own commands that read an archive are run, word by word. A comment above a table or a figure names the file that it
comes from, <!-- from: runs/reproduced/paper/tables/cifar10-stars.md -->; one on its own names a file that is copied,
<!-- copy: FILE to FILE -->. Every number with decimals or thousands in the text must stand in one of these tables, or among
those that are given and not measured: <!-- given: 10,000 -->.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from hybridnets.program import plural

ROOT = Path(__file__).resolve().parents[1]
COMMAND = re.compile(r"hybridnets report \S+\.npz ")
TABLE = re.compile(r"^(<!-- from: (\S+\.md) -->\n)((?:\|.*\n)*)", re.M)
FIGURE = re.compile(r"^<!-- from: (\S+) -->\n!\[.*\]\((\S+)\)", re.M)
COPY = re.compile(r"^<!-- copy: (\S+) to (\S+) -->", re.M)
GIVEN = re.compile(r"^<!-- given: (.*) -->", re.M)
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
NOT_TEXT = re.compile(r"^```.*?^```$|^\|.*?$|<!--.*?-->|`[^`]*`|\]\([^)]*\)", re.M | re.S)
NUMBER = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*\.\d+|(?<![\w.,])\d+(?:,\d{3})+")


@dataclass
class Counts:
    """How much of a page was made again.

    Attributes:
        tables: Its tables.
        cells: Their cells.
        figures: Its figures.
        files: The files that are copied.
    """

    tables: int = 0
    cells: int = 0
    figures: int = 0
    files: int = 0


def commands(text: str) -> list[str]:
    """The commands of a page that read an archive.

    Args:
        text: The page.
    """
    lines = "\n".join(FENCE.findall(text)).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if COMMAND.match(line)]


def made_again(name: str) -> str:
    """The lines of a table that a command of the page has made; empty where there is no such file.

    Args:
        name: Its file.
    """
    path = ROOT / name
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return "".join(f"{line}\n" for line in lines if line.startswith("|"))


def cells(line: str) -> list[str]:
    """The cells of a line of a table.

    Args:
        line: The line.
    """
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]


def differences(ours: list[str], made: list[str]) -> Iterator[str]:
    """A sentence on each cell in which two tables differ.

    Args:
        ours: The lines of the page's table.
        made: The lines of the table that was made again.
    """
    if len(ours) != len(made):
        yield f"the page has {len(ours)} lines of a table, the archive {len(made)}"
        return
    header = cells(made[0])
    for our_line, made_line in zip(ours, made, strict=True):
        rows = [cells(our_line), cells(made_line)]
        label = next((cell for cell in (rows[1][0], rows[0][0]) if cell), "")
        for name, our_cell, made_cell in zip_longest(header, *rows, fillvalue=""):
            if our_cell != made_cell:
                yield f"{label}, {name}: the page has {our_cell or 'nothing'}, the archive {made_cell or 'nothing'}"


def unfounded(text: str) -> Iterator[str]:
    """A sentence on each number of the text that is not given, and stands in none of the tables that were made.

    Args:
        text: The page.
    """
    made = [match[3] for match in TABLE.finditer(text)]
    founded = {number for part in (*made, *GIVEN.findall(text)) for number in NUMBER.findall(part)}
    plain = NOT_TEXT.sub(lambda match: "\n" * match[0].count("\n"), text)
    for number, line in enumerate(plain.splitlines(), start=1):
        yield from (
            f"line {number}: {found} is in no table of the page"
            for found in NUMBER.findall(line)
            if found not in founded
        )


def compare(page: Path, counts: Counts) -> Iterator[str]:
    """Compares a page with what its commands have made, and yields a sentence on each difference.

    Args:
        page: The page.
        counts: Counts what is compared.
    """
    text = page.read_text(encoding="utf-8")
    for match in TABLE.finditer(text):
        where = f"line {text.count(chr(10), 0, match.start(3)) + 1}"
        _, name, ours = match.groups()
        made = made_again(name)
        counts.tables += 1
        counts.cells += sum(len(cells(line)) for line in made.splitlines())
        if not made:
            yield f"{where}: no command of the page writes {name}"
        else:
            yield from (f"{where}: {difference}" for difference in differences(ours.splitlines(), made.splitlines()))
    for source, figure in FIGURE.findall(text):
        counts.figures += 1
        if not (ROOT / source).is_file() or not (page.parent / figure).is_file():
            yield f"{figure} or {source} does not exist"
    for source, target in COPY.findall(text):
        counts.files += 1
        if (ROOT / source).read_bytes() != (ROOT / target).read_bytes():
            yield f"{target} is not {source}"
    yield from unfounded(text)


def write(page: Path) -> None:
    """Writes into a page what its commands have made, and copies its figures and files.

    Args:
        page: The page.
    """
    text = TABLE.sub(lambda match: match[1] + made_again(match[2]), page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")
    for source, figure in FIGURE.findall(text):
        shutil.copyfile(ROOT / source, page.parent / figure)
    for source, target in COPY.findall(text):
        shutil.copyfile(ROOT / source, ROOT / target)


def main(words: list[str]) -> int:
    """Makes a page's tables and figures again, and returns the exit code.

    Args:
        words: The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--write", action="store_true", help="write the tables, figures and files instead of comparing")
    request = parser.parse_args(words)
    if not request.page.is_file():
        parser.error(f"the page must be a file, got {request.page}")
    try:
        return make_again(request.page, is_writing=request.write)
    except OSError as error:
        print(f"reproduce.py: {error.filename} cannot be used ({error.strerror})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # the report that was being made has said so
        return 130


def make_again(page: Path, *, is_writing: bool) -> int:
    """Runs a page's commands, compares the page with what they make, and returns the exit code.

    Args:
        page: The page.
        is_writing: Whether to write into the page what they make before it is compared.
    """
    for command in commands(page.read_text(encoding="utf-8")):
        print(command, flush=True)
        arguments = [sys.executable, "-m", *command.split()]
        done = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            return 2
    if is_writing:
        write(page)
    counts = Counts()
    found = list(compare(page, counts))
    print(*found, sep="\n" if found else "", file=sys.stderr, end="\n" if found else "")
    tables = f"{plural(counts.tables, 'table')} with {plural(counts.cells, 'cell')}"
    what = f"{tables}, {plural(counts.figures, 'figure')} and {plural(counts.files, 'file')}"
    print(f"{page}: {what}: {plural(len(found), 'difference')} from the archive")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
