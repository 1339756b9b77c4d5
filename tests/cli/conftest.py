"""A project of a user's own, written by `hybridnets init`."""

from pathlib import Path

import pytest

from tests.cli.test_commands import hybridnets_command


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that `hybridnets init` wrote."""
    folder = tmp_path_factory.mktemp("projects")
    completed = hybridnets_command("init", "my-study", cwd=folder)
    assert completed.returncode == 0, completed.stderr
    assert "hybridnets train -cn question" in completed.stdout
    return folder / "my-study"
