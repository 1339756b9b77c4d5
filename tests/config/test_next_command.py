"""A sweep ends with the command that compares its runs."""

from collections.abc import Callable

import pytest

from tests.conftest import SMALL, Said


@pytest.mark.parametrize(("words", "is_said"), [((), True), (("trainer.fast_dev_run=true",), False)])
def test_a_sweep_whose_runs_are_kept_names_the_report(
    words: tuple[str, ...], is_said: bool, command: Callable[..., Said]
) -> None:
    said = command("-m", *SMALL, "model=cnn", "seed=0", *words)
    assert said.code == 0, said.err
    assert (said.out.splitlines()[-1] == "compare them: python report.py runs/digits") == is_said
    assert ("compare them" in said.out) == is_said
