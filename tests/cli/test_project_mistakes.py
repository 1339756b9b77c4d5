"""A project's own mistakes: files that would be hidden, modules and YAML that cannot be read."""

import shutil
from pathlib import Path

import pytest

from tests.cli.test_commands import hybridnets_command
from tests.conftest import ROOT


def test_a_file_of_the_project_that_would_be_hidden_is_refused(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "copy")
    hidden = tmp_path / "copy" / "conf" / "model" / "cnn.yaml"
    hidden.write_bytes((ROOT / "conf" / "model" / "cnn.yaml").read_bytes())  # a copy hides nothing
    words = ("train", "model=mlp", "data=shapes", "dry_run=true")
    assert hybridnets_command(*words, cwd=tmp_path / "copy").returncode == 0
    hidden.write_text("_target_: my_study.model.MLP\n")
    completed = hybridnets_command(*words, cwd=tmp_path / "copy")
    assert completed.returncode == 2
    assert completed.stderr.strip() == (
        "hybridnets train: conf/model/cnn.yaml must have another name, because hybridnets brings a conf/model/cnn.yaml too: "
        "rename it"
    )


def test_a_projects_own_mistakes_are_one_sentence(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "copy")
    model = tmp_path / "copy" / "conf" / "model" / "mlp.yaml"
    text = model.read_text()
    words = ("train", "model=mlp", "data=shapes", "dry_run=true")

    model.write_text(f"{text}other: a: b\n")
    completed = hybridnets_command(*words, cwd=tmp_path / "copy")
    assert (completed.returncode, len(completed.stderr.splitlines())) == (2, 1)
    assert f"{model}, line 3, column 9, must be valid YAML: mapping values are not allowed here" in completed.stderr

    model.write_text(f"{text}channels: 8\n")  # a list in hybridnets' models, and here what its model says
    completed = hybridnets_command(*words, cwd=tmp_path / "copy")
    assert "model.channels is not an argument of MLP" in completed.stderr

    model.write_text(text)
    question = tmp_path / "copy" / "sweeps" / "question.yaml"
    question.write_text(question.read_text().replace("baseline: mlp", "baseline: mpl"))
    completed = hybridnets_command("train", "-cn", "question", "dry_run=true", cwd=tmp_path / "copy")
    assert completed.returncode == 0
    assert "report.primary names mpl, which the sweep does not train: its variants are cnn, mlp" in completed.stderr


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        (
            "my_study/model.py",
            "import sys; sys.exit(0)",
            "sys.exit was called by a module that the configuration names, with 0",
        ),
        (
            "my_study/data.py",
            "def load(): raise SystemExit(3)",
            "data.dataset must return an ImageDataset, but called sys.exit(3)",
        ),
        (
            "sweeps/demo.yaml",
            "defaults: [config]",
            "sweeps/demo.yaml must have another name, because hybridnets brings a sweeps/demo.yaml",
        ),
        (
            "my_study/model.py",
            "from hybridnets.models import Classifier\nclass MLP(Classifier):\n"
            "    def __init__(self, image_shape, num_classes, width): super().__init__(num_classes)\n",
            "model.MLP must call self.save_hyperparameters() in its __init__, after super().__init__(num_classes)",
        ),
    ],
)
def test_a_projects_broken_file_is_one_sentence(
    file: str, text: str, sentence: str, project: Path, tmp_path: Path
) -> None:
    shutil.copytree(project, tmp_path / "copy")
    (tmp_path / "copy" / file).write_text(text)
    completed = hybridnets_command("train", "model=mlp", "data=shapes", cwd=tmp_path / "copy")
    assert (completed.returncode, len(completed.stderr.splitlines())) == (2, 1), completed.stderr
    assert completed.stderr.startswith(f"hybridnets train: {sentence}")


def test_a_file_of_config_dir_that_would_be_hidden_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "cnn.yaml").write_text("_target_: my_study.model.MLP\n")
    completed = hybridnets_command("train", "--config-dir", str(tmp_path), "model=cnn", cwd=project)
    assert completed.returncode == 2
    assert "model/cnn.yaml must have another name, because hybridnets brings a conf/model/cnn.yaml" in completed.stderr
