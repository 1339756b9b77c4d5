"""What published stars counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Report = Callable[..., int]


ROOT = Path(__file__).parents[3]


def test_what_the_published_stars_counted(report: Report, capsys: Any) -> None:
    assert report("--published", ROOT / "sweeps" / "published.csv") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "36 of 36 star labels follow from 45,000 independent outcomes per variant, 22 from 15,000" in text
    assert "probably count images, not runs" in text
    assert report("--published", ROOT / "sweeps" / "published.csv", "-n", "15000") == 0
    assert "the stars were computed in another way" in " ".join(capsys.readouterr().out.split())
    assert report("--published", "nowhere.csv") == 2
    assert report("--published", ROOT / "sweeps" / "published.csv", "-n", "0") == 2
    assert "-n must be" in capsys.readouterr().err


PUBLISHED = "table,baseline,candidate,baseline_accuracy,candidate_accuracy,difference,stars\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (PUBLISHED, "must have a row of published figures, got none"),
        ("baseline,candidate\na,b\n", "must have the columns table, baseline,"),
        (
            PUBLISHED + "2,a,b,50,60,77,\n",
            "must have the difference of the two accuracies, got 77.0 for 60.0 and 50.0",
        ),
        (PUBLISHED + "2,a,b,1e-5,60,60,\n", "must have percentages and one of"),
    ],
)
def test_published_files_are_refused_in_one_sentence(
    text: str, sentence: str, tmp_path: Path, report: Report, capsys: Any
) -> None:
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    assert report("--published", tmp_path / "p.csv") == 2
    assert sentence in capsys.readouterr().err


def test_stars_that_every_count_gives_decide_nothing(tmp_path: Path, report: Report, capsys: Any) -> None:
    (tmp_path / "p.csv").write_text(PUBLISHED + "2,a,b,50,50,0,\n", encoding="utf-8")
    assert report("--published", tmp_path / "p.csv") == 0
    assert "do not reveal what the stars counted" in " ".join(capsys.readouterr().out.split())
