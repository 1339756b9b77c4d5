"""The code that a run was trained with, as far as it is the user's own."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from hybridnets.runs import origin

TARGETS = {
    "model": {"_target_": "mine.model.Net", "rnn": {"_target_": "mine.cells.Cell"}},
    "optimizer": {"_target_": "torch.optim.Adam"},
    "callbacks": [{"_target_": "alone.Bar"}, {"_target_": "nowhere.at.all.X"}, {"_target_": "hybridnets.models.CNN"}],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of modules: a package whose import fails, and a module of its own."""
    (tmp_path / "mine" / "cells").mkdir(parents=True)
    for name in ("mine/__init__.py", "mine/model.py", "mine/cells/__init__.py", "alone.py"):
        (tmp_path / name).write_text(f"raise ImportError  # {name}")
    return tmp_path


def test_own_modules_are_hashed_and_no_others(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project)
    origin._own_file.cache_clear()
    files = {"alone": "alone.py", "mine.cells": "mine/cells/__init__.py", "mine.model": "mine/model.py"}
    assert origin.code_of(TARGETS) == {
        module: hashlib.sha256((project / file).read_bytes()).hexdigest() for module, file in files.items()
    }


def test_nothing_is_imported_to_find_them(project: Path) -> None:
    """A sweep's parent asks for them, and must not wait for torch."""
    script = (
        "import sys\nfrom hybridnets.runs.origin import code_of\n"
        f"assert len(code_of({TARGETS!r})) == 3\n"
        "assert not {'torch', 'mine', 'alone'} & set(sys.modules)\n"
    )
    completed = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
