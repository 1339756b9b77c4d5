"""What the commands that argparse reads have in common: their parser, and how they end."""

import argparse
import errno
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from hybridnets import program
from hybridnets.program import either, printable

TYPES = {"float": "a number", "int": "a whole number"}  # what a type of ours takes, in words
# What argparse says, as a pattern, and what we say.
SENTENCES = (
    (
        r"argument (?P<name>.+?): invalid choice: (?P<value>.*) \(choose from (?P<choices>.*)\)",
        "{name} must be {choices}, got {value}",
    ),
    (r"argument (?P<name>.+?): invalid (?P<type>\w+) value: (?P<value>.*)", "{name} must be {type}, got {value}"),
    (r"argument (?P<name>.+?): expected (one|at least one) argument", "{name} needs a value"),
    (r"argument (?P<name>.+?): expected (?P<count>\d+) arguments", "{name} needs {count} values"),
    (r"argument (?P<name>.+?): (?P<rule>must .*)", "{name} {rule}"),
    (r"unrecognized arguments: (?P<value>.*)", "{value} is not an argument of this command"),
    (r"the following arguments are required: (?P<name>.*)", "{name} is missing"),
)


class Parser(argparse.ArgumentParser):
    """A parser that keeps the layout of examples, and whose errors name argument, rule and value, without the usage."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **settings})

    def error(self, message: str) -> NoReturn:
        """Prints one sentence and exits with code 2."""
        self.exit(2, f"{self.prog}: {printable(_sentence(message))} (--help lists the arguments)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Argparse's own would ignore that the help cannot be printed."""
        (file or sys.stderr).write(message)


def epilog(examples: str, command: str) -> str:
    """Examples of a command as the user would call it.

    Args:
        examples: Lines with PROGRAM in the place of the words that call the command.
        command: The command.
    """
    return examples.replace("PROGRAM", " ".join(program.words(command)))


def path_of(text: str) -> Path:
    """A path of an argument; shells leave the ~ of --to=~/x to us, and Path.expanduser raises for unknown users.

    Raises:
        argparse.ArgumentTypeError: If it is empty, as an unset variable is in quotes, which would be the working folder; or
            a link that leads to itself, for which Path.resolve raises no OSError.
    """
    if not text:
        raise argparse.ArgumentTypeError("must be a path, got nothing")
    path = Path(os.path.expanduser(text))  # noqa: PTH111
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise argparse.ArgumentTypeError(f"must be a path, got {path}, a link that leads to itself") from None
    return path


def find_modules_here() -> None:
    """Finds modules in the working folder, as `python -m` does: those of a project are there."""
    sys.path.insert(0, str(Path.cwd()))


def end_with_a_sentence(
    command: str, action: Callable[[], int], errors: tuple[type[Exception], ...] = (ValueError,)
) -> int:
    """Runs a command, and returns its exit code: 2, after one sentence, where it raises one of the errors or an OSError.

    Args:
        command: The command.
        action: What the command does.
        errors: The errors that a user can cause.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold characters that the terminal lacks
    try:
        return action()
    except errors as error:
        sentence = str(error)
    except OSError as error:  # never one of the standard streams, which raise signals.Unprintable
        from hybridnets.runs.files import unusable

        sentence = unusable(error)
    print(f"{program.name(command)}: {printable(sentence)}", file=sys.stderr)
    return 2


def _sentence(message: str) -> str:
    """Argparse's message in our words; as it is where it is a rarer one."""
    for pattern, sentence in SENTENCES:
        if match := re.fullmatch(pattern, message, re.DOTALL):
            words = match.groupdict()
            name = words.get("name") or ""
            words["name"] = (
                "the command" if " | " in name else re.sub(r"\S*/", "", name)
            )  # of -o/--output the long name
            if "value" in words:
                words["value"] = words["value"].strip("'\"")
            if "choices" in words:
                words["choices"] = either(words["choices"].replace("'", "").split(", "))
            if "type" in words:
                words["type"] = TYPES.get(words["type"], words["type"])
            return sentence.format(**words)
    return message
