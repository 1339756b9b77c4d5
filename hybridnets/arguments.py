"""The command lines of report.py and features.py: a slip ends with one sentence and exit code 2, without the usage.

This module imports nothing slow, because `--help` uses it.
"""

import argparse
import re
from typing import NoReturn

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
    (r"unrecognized arguments: (?P<value>.*)", "{value} is not an argument of this command"),
    (r"the following arguments are required: (?P<name>.*)", "{name} is missing"),
)


class ArgumentParser(argparse.ArgumentParser):
    """A parser that names the argument, the rule and the value; its subcommands' parsers are of this kind too."""

    def error(self, message: str) -> NoReturn:
        """Prints one sentence and exits with code 2."""
        self.exit(2, f"{self.prog}: {_sentence(message)} (--help lists the arguments)\n")


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
                words["choices"] = " or ".join(words["choices"].replace("'", "").rsplit(", ", 1))
            if "type" in words:
                words["type"] = TYPES.get(words["type"], words["type"])
            return sentence.format(**words)
    return message
