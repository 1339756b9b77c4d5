"""What a search for settings is worth, in the report."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridnets import stats
from hybridnets.report import analyse
from hybridnets.report.figures import pictures
from hybridnets.report.reading.results import read
from hybridnets.runs import Run, manifest


def test_a_search_shows_what_its_number_of_settings_is_worth(tmp_path: Path, finished: Callable[..., Run]) -> None:
    values = [0.70, 0.74, 0.66, 0.78, 0.72, 0.75]
    runs = [finished("cnn", 0, val=value, model__dropout=n / 10) for n, value in enumerate(values)]
    path = manifest.write(tmp_path, "search", "python train.py -cn search", runs[:2], None)
    (part,) = analyse(read([tmp_path]), "t", "c").parts
    assert part.searches == {}  # a sweep that was planned is no search
    manifest.extend(path, tmp_path, runs[2:])
    (part,) = analyse(read([tmp_path]), "t", "c").parts
    assert part.searches == {"cnn": stats.expected_best(values)}
    generator = np.random.default_rng(0)
    drawn = generator.choice(values, (200_000, 3)).max(1).mean()  # the best of three settings, by drawing
    assert part.searches["cnn"].mean[2] == pytest.approx(drawn, abs=5e-4)
    figures = pictures(part.data_set, part.comparisons, [], [], lambda: None, part.best, part.searches)
    assert "expected-best" in [picture.key for picture in figures]
