"""The code blocks of a document, and how a test runs them: word for word, or in a short form that takes seconds."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

FENCE = re.compile(r"^( *)(```+|~~~+)\s*\{?([\w-]*)")
MARK = re.compile(r"<!-- *not run: *(\S.*?) *-->")
LANGUAGES = {"bash", "python"}
SHELLS = {"sh", "shell", "console", "zsh", "shell-session"}  # languages that a command could hide in
COMMAND = re.compile(
    r"(\$ )?(hybridnets (demo|init|train|report|predict|encode|decode|export|card|completion|-)|(python3?|pip|make|cd) )"
)
ELLIPSIS = re.compile(r"\.\.\.|<\w+>|\b(RUN|FOLDER|FILE)\b")  # a placeholder, which no shell can run
# What sets up an environment: the tests have one, and no network.
SETUP = re.compile(r"python3? -m venv |(\.|source) \S*activate$|pip install |PIP_\w+=\S+ pip install |deactivate$")
TRAINS = ("hybridnets train ", "python ")
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@dataclass(frozen=True)
class Block:
    """A block of code in a document.

    Attributes:
        line: The line of its fence, from 1.
        language: bash, python, or any other.
        text: What stands between the fences.
        reason: Why it is not run; empty if it is.
    """

    line: int
    language: str
    text: str
    reason: str = ""


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a document in Markdown.

    Args:
        text: The document.
    """
    found: list[Block] = []
    lines = text.splitlines()
    above, number = "", 0
    while number < len(lines):
        line = lines[number]
        if not (fence := FENCE.match(line)):
            above = line.strip() or above
            number += 1
            continue
        indent, marks, language = fence.groups()
        end = next(
            (n for n in range(number + 1, len(lines)) if re.fullmatch(rf" *{re.escape(marks)} *", lines[n])), len(lines)
        )
        content = "\n".join(line.removeprefix(indent) for line in lines[number + 1 : end])
        mark = MARK.fullmatch(above)
        found.append(Block(number + 1, language, content, mark[1] if mark else ""))
        above, number = "", end + 1
    return found


def hidden_commands(text: str) -> list[str]:
    """The commands that no test would see: in an unmarked block of another language, or indented without a fence.

    Args:
        text: The document.
    """
    fenced = blocks(text)
    hidden = [
        f"line {block.line + 1 + n}: {line.strip()}"
        for block in fenced
        for n, line in enumerate(block.text.splitlines())
        if not block.reason
        and (block.language in SHELLS or (block.language not in LANGUAGES and COMMAND.match(line.strip())))
    ]
    inside = {block.line + n for block in fenced for n in range(len(block.text.splitlines()) + 2)}
    return hidden + [
        f"line {number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if number not in inside and line.startswith(("    ", "\t")) and COMMAND.match(line.strip())
    ]


def commands(block: Block) -> list[str]:
    """The commands of a bash block, without comments; a command continues where its line ends with a backslash.

    Args:
        block: The block.
    """
    joined = block.text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]


def shortened(command: str) -> list[str]:
    """The commands that a short test runs in the place of one: fewer runs of one epoch each.

    Args:
        command: A command line.
    """
    words = shlex.split(command, comments=True)
    match words:
        case ["hybridnets", "demo", *_]:
            return [f"python {shlex.quote(str(Path(__file__).with_name('short_demo.py')))}"]
        case ["hybridnets", "train", *arguments] | ["python", "train.py", *arguments]:
            short = _training(_narrowed(arguments))
            return [short if words[0] == "hybridnets" else short.replace("hybridnets train", "python train.py")]
    return [command]


def _training(arguments: list[str]) -> str:
    is_sweep = bool({"-m", "--multirun", "-cn", "--config-name"} & set(arguments))
    plain = [word for word in arguments if not re.match(r"seed=|trainer\.max_epochs=", word)]
    jobs = ["hydra.launcher.jobs=2"] if is_sweep and "dry_run=true" not in arguments else []
    return shlex.join(["hybridnets", "train", *plain, "trainer.max_epochs=1", "seed=0", *jobs])


def _narrowed(arguments: list[str]) -> list[str]:
    """A sweep's words with two values of the first key that has several, and one of each other."""
    narrowed, width = [], 2
    for word in arguments:
        key, equals, values = word.partition("=")
        if equals and "," in values and not re.search(r"[\[({'\"]", values):
            word = f"{key}={','.join(values.split(',')[:width])}"
            width = 1
        narrowed.append(word)
    return narrowed


class Reader:
    """Somebody who types the commands of a document, block by block, in one folder.

    Args:
        folder: The folder in which the document begins.
        is_short: Whether commands are run in their short form, and not again where nothing was trained meanwhile.
        earlier: Readers of other documents: in the short form, what one of them has trained is copied and not trained again.
    """

    def __init__(self, folder: Path, *, is_short: bool, earlier: Sequence["Reader"] = ()) -> None:
        self.folder = self._beginning = folder
        self.is_short = is_short
        self._earlier = earlier
        self._done: set[tuple[Path, str]] = set()  # commands, and where below the beginning
        self._after: dict[tuple[Path, str], Path] = {}  # copies of that folder as it was after a command that trains

    def follow(self, block: Block) -> None:
        """Runs a block.

        Args:
            block: A block of bash or python that is not marked as not run.

        Raises:
            AssertionError: If one of its commands fails.
        """
        if block.language == "python":
            self._run([sys.executable, "-c", block.text], block, "python block")
            return
        for command in commands(block):
            if SETUP.match(command):
                continue
            if command.startswith("cd "):
                self.folder /= command.removeprefix("cd ").split("#")[0].strip()
                assert self.folder.is_dir(), f"line {block.line}: {command}: there is no such folder"
                continue
            for words in shortened(command) if self.is_short else [command]:
                self._follow_command(words, block)

    def _follow_command(self, command: str, block: Block) -> None:
        key = self.folder.relative_to(self._beginning), command
        if self.is_short and key in self._done:
            return
        after = next((reader._after[key] for reader in self._earlier if key in reader._after), None)
        if self.is_short and after:
            shutil.copytree(after, self.folder, dirs_exist_ok=True)
        else:
            self._run(["bash", "-euo", "pipefail", "-c", _in_checkout(command)], block, command)
        if command.startswith(TRAINS):
            if self.is_short:
                copy = self._beginning.with_name(f"{self._beginning.name}-{len(self._after)}")
                self._after[key] = shutil.copytree(self.folder, copy)
            self._done = {done for done in self._done if done[1].startswith(TRAINS)}  # a report now has more to say
        self._done.add(key)

    def _run(self, words: list[str], block: Block, what: str) -> None:
        completed = subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, "PATH": PATH, "HYDRA_FULL_ERROR": "0"},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        said = f"{completed.stdout[-3000:]}\n{completed.stderr[-3000:]}"
        assert completed.returncode == 0, f"line {block.line}: {what}: exit code {completed.returncode}\n{said}"


def _in_checkout(command: str) -> str:
    """A command whose scripts are those of the checkout, so that it works in any folder."""
    return re.sub(r"\bpython3? (train|report|features)\.py\b", rf"{shlex.quote(sys.executable)} {ROOT}/\1.py", command)
