"""Makes the tables and figures of a page again from an archive of runs, and names every cell that differs.

python docs/reproduce.py docs/paper.md             compares: make reproduce
python docs/reproduce.py docs/paper.md --write     writes them into the page: make reproduce WRITE=--write

The page's own commands that read an archive are run, word by word. A comment above a table or a figure names the file that it
comes from, <!-- from: runs/reproduced/paper/tables/cifar10-stars.md -->; one on a line of its own names a file that is copied,
<!-- copy: FILE to FILE -->. Every number with decimals or thousands in the text must stand in one of the page's tables.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = re.compile(r"hybridnets report \S+\.npz ")
FROM = re.compile(r"<!-- from: (\S+) -->")
COPY = re.compile(r"<!-- copy: (\S+) to (\S+) -->")
FIGURE = re.compile(r"!\[.*\]\((\S+)\)")
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


def table_at(lines: list[str], start: int) -> list[str]:
    """The lines of the table that begins at a line; none where there is no table.

    Args:
        lines: The lines of a text.
        start: The index of its first line.
    """
    return list(takewhile(lambda line: line.startswith("|"), lines[start:]))


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
    header = cells(made[0])
    for our_line, made_line in zip_longest(ours, made, fillvalue=""):
        rows = [cells(our_line), cells(made_line)]
        label = next((cell for cell in (rows[1][0], rows[0][0]) if cell), "")
        for name, our_cell, made_cell in zip_longest(header, *rows, fillvalue=""):
            if our_cell != made_cell:
                yield f"{label}, {name}: the page has {our_cell or 'nothing'}, the archive {made_cell or 'nothing'}"


def unfounded(text: str) -> Iterator[str]:
    """A sentence on each number of the text that stands in none of its tables.

    Args:
        text: The page.
    """
    founded = {number for line in text.splitlines() if line.startswith("|") for number in NUMBER.findall(line)}
    plain = NOT_TEXT.sub(lambda match: "\n" * match[0].count("\n"), text)
    for number, line in enumerate(plain.splitlines(), start=1):
        yield from (
            f"line {number}: {found} is in no table of the page"
            for found in NUMBER.findall(line)
            if found not in founded
        )


def compare(page: Path, counts: Counts, *, write: bool) -> Iterator[str]:
    """Compares a page with what its commands have made, and yields a sentence on each difference.

    Args:
        page: The page.
        counts: Counts what is compared.
        write: Whether to write what differs into the page instead, and copy figures and files.
    """
    lines = page.read_text(encoding="utf-8").splitlines()
    for start in reversed([number for number, line in enumerate(lines) if FROM.fullmatch(line)]):
        made = ROOT / lines[start].split()[2]
        where = f"line {start + 2}"
        if not made.is_file():
            yield f"{where}: no command of the page writes {made.relative_to(ROOT)}"
        elif figure := FIGURE.fullmatch(lines[start + 1]):
            counts.figures += 1
            if write:
                shutil.copyfile(made, page.parent / figure[1])
            elif not (page.parent / figure[1]).is_file():
                yield f"{where}: {figure[1]} does not exist"
        else:
            ours = table_at(lines, start + 1)
            text = made.read_text(encoding="utf-8").splitlines()
            again = table_at(text, next((n for n, line in enumerate(text) if line.startswith("|")), len(text)))
            counts.tables += 1
            counts.cells += sum(len(cells(line)) for line in again)
            if write:
                lines[start + 1 : start + 1 + len(ours)] = again
            elif ours != again:
                yield from (f"{where}: {difference}" for difference in differences(ours, again))
    for source, target in COPY.findall("\n".join(lines)):
        counts.files += 1
        if write:
            shutil.copyfile(ROOT / source, ROOT / target)
        elif (ROOT / source).read_bytes() != (ROOT / target).read_bytes():
            yield f"{target} is not {source}"
    if write:
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    yield from unfounded("\n".join(lines))


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
    for command in commands(request.page.read_text(encoding="utf-8")):
        print(command, flush=True)
        arguments = [sys.executable, "-m", *command.split()]
        done = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            return 2
    counts = Counts()
    found = list(compare(request.page, counts, write=request.write))
    print(*found, sep="\n" if found else "", file=sys.stderr, end="\n" if found else "")
    what = f"{counts.tables} tables with {counts.cells} cells, {counts.figures} figures and {counts.files} files"
    print(
        f"{request.page}: {what}, {len(found)} differences from the archive"
        if found
        else f"{request.page}: {what} are the archive's"
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
