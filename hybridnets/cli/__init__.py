"""The command `hybridnets`: `hybridnets --help`. Each command has a module of its own, imported when it is called."""

import difflib
import importlib
import sys

from hybridnets import signals
from hybridnets.program import printable
from hybridnets.version import __version__

COMMANDS = {  # with the module that runs it
    "demo": ("demo", "sweep four networks over handwritten digits, and report on them: 2 to 4 minutes"),
    "init": ("init", "write a project of your own: a model, a data set, a question, a test"),
    "train": ("training", "train one run, or with -m a sweep of runs"),
    "report": ("report", "compare finished runs, or the scores of any project"),
    "predict": ("predict", "classify images with a finished run"),
    "encode": ("features", "encode images with a feature autoencoder: the device's side"),
    "decode": ("features", "classify the codes: the cloud's side"),
    "export": ("export", "write a finished run's network as an ONNX or pt2 file"),
    "card": ("card", "write a model card of a run or a variant, in Markdown"),
    "completion": ("completion", "print the completion for bash or zsh"),
}
HELP = "\n".join(
    [
        "usage: hybridnets COMMAND ...",
        "",
        "Train, sweep and honestly compare hybrid CNN / encoder-decoder / RNN image classifiers.",
        "",
        *(f"  {name:12}{text}" for name, (_, text) in COMMANDS.items()),
        "",
        "hybridnets COMMAND --help tells more about one of them; hybridnets --version prints the version.",
    ]
)


def main() -> int:
    """Runs the command that the command line names, and returns the exit code."""
    command, *arguments = sys.argv[1:] or ["--help"]
    continues = ": the same command continues where this one ended" if command in ("train", "demo") else ""
    signals.install(f"hybridnets {command}" if command in COMMANDS else "hybridnets", continues)
    if command in ("-h", "--help"):
        print(HELP)
        return 0
    if command == "--version":
        print(f"hybridnets {__version__}")
        return 0
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, 1)
        guess = f": did you mean {close[0]}?" if close else ""
        choices = ", ".join(COMMANDS)
        print(f"hybridnets: COMMAND must be one of {choices}, got {printable(command)}{guess}", file=sys.stderr)
        return 2
    module, _ = COMMANDS[command]
    return int(importlib.import_module(f"hybridnets.cli.{module}").main([command, *arguments]))
