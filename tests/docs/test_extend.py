"""What docs/how-to/extend.md shows works as it is shown: a layer, a model and a data set of a project's own."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Said
from tests.docs.documents import blocks

PAGE = ROOT / "docs" / "how-to" / "extend.md"
NAMED = re.compile(r"# ((?:my_project|conf)/\S+\.(?:py|yaml))")  # the file that a block's first line names
IMAGES = """np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16), np.uint8), np.arange(60) % 2, \\
        np.random.default_rng(1).integers(0, 256, (10, 3, 16, 16), np.uint8), np.arange(10) % 2"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with the files of the page; in place of `...`, which stands for the reader's own images, are some."""
    for block in blocks(PAGE.read_text()):
        if block.language in ("python", "yaml"):
            named = NAMED.search(block.text.partition("\n")[0])
            path = tmp_path / (named[1] if named else "conf/rnn/relu.yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                f"import numpy as np\n{block.text}".replace("= ...", f"= {IMAGES}")
                if path.suffix == ".py"
                else block.text
            )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("model=crnn", "rnn=relu", "data=digits"), "crnn-rnn-1x16 seed=0"),
        (("model=crnn", "rnn=mean", "data=digits"), "crnn-mean-1x16 seed=0"),
        (("model=linear", "data=digits"), "linear seed=0"),
        (("model=linear", "data=mine", "recipe=digits"), "linear seed=0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_the_files_of_the_page_make_a_run(command: Callable[..., Said], words: tuple[str, ...], name: str) -> None:
    said = command(*words, "dry_run=true")
    assert said.code == 0, said.err
    assert f"{name} would run" in said.out
