"""A page's tables made again: every cell that differs is named, and no number of the text comes from nowhere."""

from pathlib import Path
from types import ModuleType

import pytest

from docs import reproduce as tool
from tests.conftest import ROOT

PAGE = """\
# A page

```bash
hybridnets report sweeps/a.npz --sweep a \\
  --to runs/reproduced/a   # the first
hybridnets train -cn a
```

<!-- given: 10,000 -->
CNN reaches 78.07 % on 10,000 images with 400,586 parameters; `torch 2.13` and p < .05 are no figures of a table.

| 1.25 | is not made by a command |

<!-- from: tables/a.md -->
| variant | test |
| --- | ---: |
| cnn | 78.07 ± 0.15 |
| ecrnn \\| x | 400,586 |

<!-- from: figures/a.png -->
![A figure](a.png)

<!-- copy: tables/runs.csv to copied.csv -->
"""
TABLE = "**A title with 1.25**\n\n" + "\n".join(line for line in PAGE.splitlines()[14:] if line.startswith("|"))


@pytest.fixture
def reproduce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, for a page in an empty folder beside what its commands have made."""
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    for name, content in (
        ("page.md", PAGE),
        ("a.png", "old"),
        ("tables/a.md", f"{TABLE}\n\nA caption.\n"),
        ("tables/runs.csv", "a,1\n"),
        ("copied.csv", "a,1\n"),
        ("figures/a.png", "new"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tool


def compared(reproduce: ModuleType, folder: Path) -> list[str]:
    """The differences of the page."""
    counts = reproduce.Counts()
    found = list(reproduce.compare(folder / "page.md", counts))
    assert (counts.tables, counts.cells, counts.figures, counts.files) == (1, 8, 1, 1)
    return found


def test_the_commands_that_read_an_archive(reproduce: ModuleType) -> None:
    (command,) = reproduce.commands(PAGE)
    assert command.split() == ["hybridnets", "report", "sweeps/a.npz", "--sweep", "a", "--to", "runs/reproduced/a"]


def test_a_page_that_is_what_its_commands_make(reproduce: ModuleType, tmp_path: Path) -> None:
    assert compared(reproduce, tmp_path) == []


def test_every_cell_that_differs_is_named(reproduce: ModuleType, tmp_path: Path) -> None:
    made = tmp_path / "tables" / "a.md"
    made.write_text(made.read_text().replace("78.07 ± 0.15", "78.17 ± 0.15"))
    (tmp_path / "copied.csv").write_text("a,2\n")
    (tmp_path / "a.png").unlink()
    assert compared(reproduce, tmp_path) == [
        "line 15: cnn, test: the page has 78.07 ± 0.15, the archive 78.17 ± 0.15",
        "a.png or figures/a.png does not exist",
        "copied.csv is not tables/runs.csv",
    ]


def test_written_pages_have_the_archives_cells_figures_and_files(reproduce: ModuleType, tmp_path: Path) -> None:
    made = tmp_path / "tables" / "a.md"
    made.write_text(made.read_text().replace("400,586", "400,587"))
    (tmp_path / "copied.csv").write_text("a,2\n")
    reproduce.write(tmp_path / "page.md")
    # What the text says is its writer's to mend.
    assert compared(reproduce, tmp_path) == ["line 10: 400,586 is in no table of the page"]
    assert (tmp_path / "page.md").read_text() == PAGE.replace("| 400,586 |", "| 400,587 |")
    assert (tmp_path / "copied.csv").read_text() == "a,1\n"
    assert (tmp_path / "a.png").read_text() == "new"


def test_a_row_or_a_table_too_few_is_named(reproduce: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("| cnn | 78.07 ± 0.15 |\n", "").replace("78.07", "78"))
    assert list(reproduce.compare(page, reproduce.Counts())) == [
        "line 15: the page has 3 lines of a table, the archive 4"
    ]
    (tmp_path / "tables" / "a.md").unlink()
    assert "line 15: no command of the page writes tables/a.md" in reproduce.compare(page, reproduce.Counts())


def test_a_number_of_the_text_must_stand_in_a_table(reproduce: ModuleType) -> None:
    text = PAGE.replace("78.07 %", "78.08 % or 1.25 points")
    assert list(reproduce.unfounded(text)) == [
        "line 10: 78.08 is in no table of the page",
        "line 10: 1.25 is in no table of the page",
    ]


def test_a_page_that_does_not_exist_is_refused(reproduce: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        reproduce.main([str(tmp_path / "none.md")])
    assert ended.value.code == 2


def test_a_file_that_is_missing_is_one_sentence(
    reproduce: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("hybridnets report", "hybridnets train"))
    (tmp_path / "copied.csv").unlink()
    assert reproduce.main([str(page)]) == 2
    missing = tmp_path / "copied.csv"
    assert capsys.readouterr().err == f"reproduce.py: {missing} cannot be used (No such file or directory)\n"


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_the_readmes_figures_of_the_paper_stand_in_its_page(name: str) -> None:
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    section = (ROOT / name).read_text(encoding="utf-8").partition("feature_autoencoder")[0].rpartition("\n## ")[2]
    figures = tool.NUMBER.findall(section)
    assert len(figures) == 18
    assert set(figures) <= {number for match in tool.TABLE.finditer(page) for number in tool.NUMBER.findall(match[3])}
