"""An error on a command line is one sentence and exit code 2."""

import errno
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from hybridnets.cli.arguments import Parser, end_with_a_sentence, path_of


def parser() -> Parser:
    top = Parser(prog="report.py")
    commands = top.add_subparsers(dest="command", metavar="encode | decode", required=True)
    commands.add_parser("decode")
    encode = commands.add_parser("encode")
    encode.add_argument("run", metavar="RUN")
    encode.add_argument("--margin", type=float)
    encode.add_argument("--to", type=path_of)
    encode.add_argument("-n", type=int)
    encode.add_argument("--primary", nargs=2)
    encode.add_argument("--vary", nargs="+")
    encode.add_argument("--metric", choices=("test", "val", "score"))
    encode.add_argument("--precision", type=int, choices=(32, 16))
    encode.add_argument("-o", "--output", required=True)
    return top


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("encode --margin abc", "encode: --margin must be a number, got abc"),
        ("encode --to=", "encode: --to must be a path, got nothing"),
        ("encode -n 1.5", "encode: -n must be a whole number, got 1.5"),
        ("encode --margin", "encode: --margin needs a value"),
        ("encode --vary", "encode: --vary needs a value"),
        ("encode --primary a", "encode: --primary needs 2 values"),
        ("encode --metric acc", "encode: --metric must be test, val or score, got acc"),
        ("encode --precision 8", "encode: --precision must be 32 or 16, got 8"),
        ("encode RUN", "encode: --output is missing"),
        ("encode -o x", "encode: RUN is missing"),
        ("encode RUN -o x --nope", ": --nope is not an argument of this command"),
        ("", ": the command is missing"),
        ("list", ": the command must be decode or encode, got list"),
    ],
)
def test_an_error_is_one_sentence(words: str, sentence: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words.split())
    assert ended.value.code == 2
    separator = " " if sentence.startswith("encode") else ""
    assert capsys.readouterr().err == f"report.py{separator}{sentence} (--help lists the arguments)\n"


def test_characters_that_a_terminal_obeys_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["encode", "RUN", "-o", "x", "--\x1b[31mred"])
    assert "--[U+001B][31mred is not an argument of this command" in capsys.readouterr().err


def test_a_link_that_leads_to_itself_is_refused_wherever_a_path_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (loop, loop / "below"):
        with pytest.raises(SystemExit) as ended:
            parser().parse_args(["encode", "RUN", "-o", "x", "--to", str(path)])
        assert ended.value.code == 2
        sentence = f"report.py encode: --to must be a path, got {path}, a link that leads to itself"
        assert capsys.readouterr().err == f"{sentence} (--help lists the arguments)\n"


def test_a_file_that_cannot_be_used_is_named_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret.json"
    secret.touch(0o600)
    gone = f"{tmp_path}/gone"
    owner = pwd.getpwuid(os.getuid()).pw_name
    for number, path, sentence in [
        (errno.ENOSPC, "big.csv", "big.csv cannot be used (No space left on device)"),
        (
            errno.EACCES,
            str(secret),
            f"{secret} cannot be used (Permission denied; it belongs to {owner} and has mode 600): have its permissions "
            "changed",
        ),
        (errno.EACCES, gone, f"{gone} cannot be used (Permission denied): have its permissions changed"),
        (errno.EMFILE, None, "a file cannot be used (Too many open files)"),
    ]:
        error = OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))

        def action(error: OSError = error) -> int:
            raise error

        assert end_with_a_sentence("predict", action) == 2
        assert capsys.readouterr().err == f"hybridnets predict: {sentence}\n"
