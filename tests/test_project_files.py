"""The files beside the code say what pyproject.toml says, and everything that is fetched is fixed."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hybridnets
from tests.conftest import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
HASH = r"--hash=sha256:[0-9a-f]{64}"
ENTRY = re.compile(rf"([\w.-]+)==([^\s;]+)( ; [^\\]+)?(?: \\\n    {HASH})+\n")


def test_the_citation_is_of_this_version_and_names_both_papers() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (hybridnets.__version__, PROJECT["license"])
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert [[author["family-names"] for author in paper["authors"]] for paper in citation["references"]] == [
        ["Woo", "Kim", "Choi"],
        ["Go", "Kwon", "Kim"],
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_of_a_lock_has_one_version_and_hashes(lock: Path) -> None:
    text = re.sub(r"^#.*\n", "", lock.read_text())
    assert ENTRY.sub("", text) == ""
    names = [entry[1] for entry in ENTRY.finditer(text)]
    assert names == sorted(set(names))


def test_the_locks_have_what_pyproject_admits() -> None:
    versions = {entry[1]: entry[2] for lock in LOCKS for entry in ENTRY.finditer(lock.read_text())}
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(text for extra in extras.values() for text in extra)]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name in (PROJECT["name"], "hydra-process-launcher"):  # installed from this folder
            continue
        assert versions[name] in requirement.specifier, text


def test_both_builds_of_torch_are_of_one_version() -> None:
    index, cpu = (
        re.search(r"^torch==(\S+)", (ROOT / "requirements" / f"torch{build}.lock").read_text(), re.M)
        for build in ("", "-cpu")
    )
    assert index
    assert cpu
    assert cpu[1] == f"{index[1]}+cpu"


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").iterdir()), ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version(workflow: Path) -> None:
    uses = re.findall(r"uses: *(.*)", workflow.read_text())
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} +# v\d+(\.\d+)*", action), action
