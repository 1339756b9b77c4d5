"""Every command of the README and the tutorials runs, or says why no test runs it."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs import documents
from tests.docs.documents import Block, Reader

README, KOREAN = ROOT / "README.md", ROOT / "README.ko.md"
TUTORIALS = sorted((ROOT / "docs" / "tutorial").glob("*.md"))
DOCUMENTS = [README, *TUTORIALS]  # README.ko.md has the README's blocks, as a test below compares
# A document that begins so is run in the folder in which another one has ended.
CONTINUES = re.compile(r"<!-- continues: (\S+) -->")
IS_SHORT = os.environ.get("HYBRIDNETS_LONG") != "1"


def read(path: Path) -> list[Block]:
    return documents.blocks(path.read_text(encoding="utf-8"))


def continued(path: Path) -> str:
    """The name of the document that this one continues; empty if none."""
    match = CONTINUES.match(path.read_text(encoding="utf-8"))
    return match[1] if match else ""


def test_every_block_of_every_document_runs(tmp_path: Path) -> None:
    """One document after the other, because several have the same commands; the short form runs those once."""
    readers: list[Reader] = []
    for first in DOCUMENTS:
        if continued(first):
            continue
        folder = tmp_path / first.stem
        folder.mkdir()
        reader = Reader(folder, is_short=IS_SHORT, earlier=readers)
        for path in [first, *(path for path in TUTORIALS if continued(path) == first.name)]:
            reader.folder = folder
            for block in read(path):
                if block.language in documents.LANGUAGES and not block.reason:
                    try:
                        reader.follow(block)
                    except AssertionError as error:
                        error.add_note(f"in {path.name}")
                        raise
        readers.append(reader)


def test_every_document_is_run() -> None:
    assert {continued(path) for path in TUTORIALS} <= {"", *(path.name for path in DOCUMENTS if not continued(path))}


@pytest.mark.parametrize("path", [*DOCUMENTS, KOREAN], ids=lambda path: path.name)
def test_no_command_escapes(path: Path) -> None:
    """A command stands in a bash block, and one that no shell can run as it is says why it is not run."""
    assert documents.hidden_commands(path.read_text(encoding="utf-8")) == []
    for block in read(path):
        if block.language == "bash" and not block.reason:
            for command in documents.commands(block):
                where = f"{path.name}, line {block.line}: {command}"
                assert not documents.ELLIPSIS.search(command), f"{where}: mark the block as not run"
                assert not re.match(r"(make|git|export|sudo|docker|sbatch)\b|.*<<", command), (
                    f"{where}: mark it as not run"
                )


@pytest.mark.parametrize("path", [*DOCUMENTS, KOREAN], ids=lambda path: path.name)
def test_what_is_installed_exists(path: Path) -> None:
    """Installing is not run, as the tests have no network; its extras must be those of pyproject.toml."""
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for named in re.findall(r"(?:hybridnets\S*|\.)\[([\w,]+)\]", path.read_text(encoding="utf-8")):
        assert set(named.split(",")) <= extras


def test_the_korean_readme_has_the_same_code() -> None:
    """What differs is prose, and the comments in a command's line."""

    def code(path: Path) -> list[tuple[str, str, bool]]:
        return [
            (block.language, re.sub(r"(^|\s+)#\s.*$", "", block.text, flags=re.M), bool(block.reason))
            for block in read(path)
        ]

    assert code(KOREAN) == code(README)


def test_blocks_are_found_with_their_reasons() -> None:
    text = "\n".join(
        [
            *("# Title", "```bash", "hybridnets train \\", "  model=cnn  # one", "```", ""),
            *("<!-- not run: needs a cluster -->", "```bash", "sbatch", "```", ""),
            *("<!-- not run: -->", "```python", "x = 1", "```", ""),
            *("1. item", "   ```bash", "   cd x", "   ```"),
            *("````text", "```bash", "no command", "```", "````"),
        ]
    )
    found = documents.blocks(text)
    assert found == [
        Block(2, "bash", "hybridnets train \\\n  model=cnn  # one"),
        Block(8, "bash", "sbatch", "needs a cluster"),
        Block(13, "python", "x = 1"),
        Block(18, "bash", "cd x"),
        Block(21, "text", "```bash\nno command\n```"),
    ]
    assert [documents.commands(block) for block in found[:2]] == [["hybridnets train    model=cnn  # one"], ["sbatch"]]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Text\n\n    hybridnets demo\n", ["line 3: hybridnets demo"]),
        ("```text\npython train.py\n```\n", ["line 2: python train.py"]),
        ("```\n$ pip install hybridnets\n```\n", ["line 2: $ pip install hybridnets"]),
        ("```sh\nls\n```\n", ["line 2: ls"]),
        ("```bash\nhybridnets demo\n```\n", []),
        ("```text\nhybridnets reached 72 %\n```\n", []),
        ("```text\n  hybridnets init x\n```\n", ["line 2: hybridnets init x"]),
        ("<!-- not run: what init prints -->\n```text\n  hybridnets init x\n```\n", []),
        ("    Some indented text\n- make a list\n", []),
    ],
)
def test_commands_outside_of_bash_blocks_are_hidden(text: str, hidden: list[str]) -> None:
    assert documents.hidden_commands(text) == hidden


@pytest.mark.parametrize(
    ("command", "short"),
    [
        (
            "hybridnets train -m rnn=lstm,bilstm nodes=16,32 data=digits  # four runs",
            [
                "hybridnets train -m rnn=lstm,bilstm nodes=16 data=digits trainer.max_epochs=1 seed=0 hydra.launcher.jobs=2"
            ],
        ),
        (
            "hybridnets train -cn question",
            ["hybridnets train -cn question trainer.max_epochs=1 seed=0 hydra.launcher.jobs=2"],
        ),
        (
            "python train.py model=cnn seed=3 'backbone=[model=cnn,seed=1]'",
            ["python train.py model=cnn 'backbone=[model=cnn,seed=1]' trainer.max_epochs=1 seed=0"],
        ),
        ("hybridnets report runs/shapes", ["hybridnets report runs/shapes"]),
    ],
)
def test_a_short_form_trains_one_epoch_of_few_runs(command: str, short: list[str]) -> None:
    assert documents.shortened(command) == short


def test_a_failing_command_is_named_with_its_line(tmp_path: Path) -> None:
    reader = Reader(tmp_path, is_short=True)
    reader.follow(
        Block(1, "bash", "pip install nothing\n. .venv/bin/activate\nmkdir inner\ncd inner  # into it\ntouch file")
    )
    assert (tmp_path / "inner" / "file").exists()
    with pytest.raises(AssertionError, match=r"line 7: hybridnets train model=no .*exit code 2"):
        reader.follow(Block(7, "bash", "hybridnets train model=no"))
    with pytest.raises(AssertionError, match="line 9: python block: exit code 1"):
        reader.follow(Block(9, "python", "assert False"))


def test_what_another_document_has_trained_is_copied(tmp_path: Path) -> None:
    """As it was then, only where the document itself has the command, and only in the short form."""
    folders = [tmp_path / name for name in ("first", "second", "long")]
    for folder in folders:
        folder.mkdir()
    first, second, long = (folder / "run" for folder in folders)
    trains = Block(1, "bash", 'python -c \'import uuid; open("run", "w").write(uuid.uuid4().hex)\'')
    earlier = Reader(folders[0], is_short=True)
    earlier.follow(trains)
    run = first.read_text()
    first.write_text("changed since then")
    reader = Reader(folders[1], is_short=True, earlier=[earlier])
    with pytest.raises(AssertionError, match="line 3: ls run: exit code 2"):
        reader.follow(Block(3, "bash", "ls run"))
    reader.follow(trains)
    assert second.read_text() == run
    Reader(folders[2], is_short=False, earlier=[earlier]).follow(trains)
    assert len(long.read_text()) == len(run)
    assert long.read_text() != run
