"""What the site needs beyond Sphinx: pages quote commands as they print, and docstrings are read as plain text with `code`.

```{command-output} hybridnets report --help
```
"""

import os
import re
import shlex
import subprocess
import sys
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

WIDTH = "100"  # columns of a line
# Code or emphasis, which is kept; or a character that is meant as itself in a docstring, and has a meaning in reStructuredText.
MARKUP = re.compile(r"(`[^`]*`|(?<![\w*])\*\w[^*\n]*?\w\*(?![\w*]))|([*|])")


class CommandOutput(SphinxDirective):
    """Runs a command of hybridnets, and shows what it prints."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """The command and its output, as one block."""
        program, *words = shlex.split(self.arguments[0])
        if program != "hybridnets":
            raise self.error(f"command-output runs hybridnets only, got {program}")
        completed = subprocess.run(
            [sys.executable, "-m", "hybridnets", *words],
            env={**os.environ, "COLUMNS": WIDTH},
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode:
            raise self.error(f"{self.arguments[0]} ended with {completed.returncode}: {completed.stderr.strip()}")
        text = f"$ {self.arguments[0]}\n{completed.stdout.rstrip()}"
        return [nodes.literal_block(text, text, language="text")]


def escape(app: Sphinx, what: str, name: str, documented: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Escapes what docstrings do not mean as markup, such as the stars of shapes: (B, *code_shape)."""
    lines[:] = [MARKUP.sub(lambda match: match[1] or f"\\{match[2]}", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive, and the treatment of docstrings before napoleon reads their sections."""
    app.connect("autodoc-process-docstring", escape, priority=100)
    app.add_directive("command-output", CommandOutput)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
