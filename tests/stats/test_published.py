import csv
from pathlib import Path

import pytest

from hybridnets.stats import reproduced, uncorrelated

PUBLISHED = Path(__file__).parents[2] / "sweeps" / "published.csv"


@pytest.mark.parametrize(("n", "agree"), [(45_000, 36), (44_400, 36), (46_800, 36), (15_000, 22)])
def test_the_papers_stars_count_images(n: int, agree: int) -> None:
    with PUBLISHED.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    a, b = ([float(row[f"{side}_accuracy"]) / 100 for row in rows] for side in ("baseline", "candidate"))
    assert len(rows) == 36
    assert reproduced(a, b, [row["stars"] for row in rows], n) == agree


def test_the_accuracies_closest_to_a_level() -> None:
    # ECRNN 1x16, BiLSTM over LSTM, against .0001; CRNN 1x32, BiLSTM over LSTM, against .05
    assert uncorrelated(0.7597, 0.7708, 45_000).p == pytest.approx(8.6e-5, abs=1e-6)
    result = uncorrelated(0.7396, 0.7452, 45_000)
    assert (result.estimate, result.p) == pytest.approx((0.0056, 0.0548), abs=5e-5)
    mirrored = uncorrelated(0.7452, 0.7396, 45_000)
    assert (mirrored.statistic, mirrored.p) == (-(result.statistic or 0), result.p)


def test_arguments_out_of_range_are_refused_by_name() -> None:
    assert uncorrelated(0, 1, 10).why == "accuracies of 0 or 1 have no spread"
    with pytest.raises(ValueError, match=r"b must be an accuracy between 0 and 1, got 74.08"):
        uncorrelated(0.7325, 74.08, 45_000)
    with pytest.raises(ValueError, match="a must be an accuracy"):
        uncorrelated(float("nan"), 0.7, 45_000)
    with pytest.raises(ValueError, match="n must be at least 2"):
        uncorrelated(0.7, 0.8, 1)
    with pytest.raises(ValueError, match="pair one by one"):
        reproduced([0.7], [0.8], ["", "*"], 100)
