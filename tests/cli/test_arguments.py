"""An error on a command line is one sentence and exit code 2."""

from typing import Any

import pytest

from hybridnets.cli.arguments import Parser


def parser() -> Parser:
    top = Parser(prog="report.py")
    commands = top.add_subparsers(dest="command", metavar="encode | decode", required=True)
    commands.add_parser("decode")
    encode = commands.add_parser("encode")
    encode.add_argument("run", metavar="RUN")
    encode.add_argument("--margin", type=float)
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
