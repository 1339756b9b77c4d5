"""A sweep from the command line to the comparison: processes, folders, reports."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hybridnets
from tests.conftest import ROOT, SMALL


def python(script: str, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / script), *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def modified(folder: Path) -> dict[Path, int]:
    return {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.parent.name != "sweeps"
    }


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    words = ["-m", *SMALL, "model=cnn,crnn", "rnn=lstm", "nodes=4", "seed=0,1", "hydra.launcher.jobs=2"]
    completed = python("train.py", *words, "trainer.max_epochs=1", cwd=folder)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "4 settings, 4 runs, 0 finished already" in completed.stdout
    assert "4 jobs: 4 finished" in completed.stdout
    return folder


def test_repeated_sweep_trains_nothing(swept: Path) -> None:
    before = modified(swept)
    words = ["-m", *SMALL, "model=cnn,crnn", "rnn=lstm", "nodes=4", "seed=0,1", "trainer.max_epochs=1"]
    completed = python("train.py", *words, cwd=swept)
    assert completed.returncode == 0
    assert "4 settings, 4 runs, 4 finished already" in completed.stdout
    assert modified(swept) == before


def test_only_runs_and_their_manifest_are_written(swept: Path) -> None:
    assert sorted(path.name for path in swept.iterdir()) == ["runs"]
    (manifest,) = (swept / "runs" / "sweeps").iterdir()
    requested = json.loads(manifest.read_text())["runs"]
    assert {swept / "runs" / run["folder"] for run in requested} == {p.parent for p in swept.rglob("result.json")}


def test_all_models_have_the_same_split_per_seed(swept: Path) -> None:
    results = [json.loads(path.read_text()) for path in swept.rglob("result.json")]
    splits = {seed: {r["split"] for r in results if r["seeds"]["split"] == seed} for seed in (0, 1)}
    assert all(len(hashes) == 1 for hashes in splits.values())
    assert splits[0] != splits[1]


def test_report_compares_the_runs(swept: Path) -> None:
    completed = python("report.py", "runs", "--baseline", "cnn", cwd=swept)
    assert completed.returncode == 0, completed.stderr
    assert "digits: 2 variants, 4 runs" in completed.stdout
    assert (swept / "runs" / "report" / "index.html").exists()
    assert len((swept / "runs" / "report" / "tables" / "runs.csv").read_text().splitlines()) == 5
    assert (swept / "runs" / "report" / "figures" / "digits-gallery.png").exists()  # the images were read
    assert python("report.py", "--verify", "runs", cwd=swept).returncode == 0


def test_archive_restores_the_sweep_in_another_folder(swept: Path, tmp_path: Path) -> None:
    archive = str(tmp_path / "evidence.npz")
    assert "4 finished runs packed" in python("report.py", "--pack", "runs/digits", "-o", archive, cwd=swept).stdout
    assert "4 runs restored" in python("report.py", "--unpack", archive, "-o", "runs", cwd=tmp_path).stdout
    words = ["-m", *SMALL, "model=cnn,crnn", "rnn=lstm", "nodes=4", "seed=0,1", "trainer.max_epochs=1"]
    before = modified(tmp_path)
    completed = python("train.py", *words, cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert "4 settings, 4 runs, 4 finished already" in completed.stdout
    assert modified(tmp_path) == before
    manifests = [json.loads(next(top.glob("runs/sweeps/*")).read_text()) for top in (swept, tmp_path)]
    assert manifests[0]["declared"] == manifests[1]["declared"]
    table = python("report.py", "runs", "--no-page", cwd=tmp_path).stdout
    assert table == python("report.py", "runs", "--no-page", cwd=swept).stdout

    (folder,) = tmp_path.glob("runs/digits/cnn/seed=1-*")
    with pytest.raises(ValueError, match=f"the weights of {folder} are missing, as archives of runs contain none"):
        hybridnets.load(folder)
    shutil.rmtree(folder)
    completed = python("train.py", *words, cwd=tmp_path)
    assert "4 settings, 4 runs, 3 finished already" in completed.stdout
    assert modified(tmp_path).items() >= {path: t for path, t in before.items() if folder not in path.parents}.items()
    assert (folder / "checkpoints" / "best.ckpt").exists()
    assert python("report.py", "runs", cwd=tmp_path).returncode == 0
    assert (
        tmp_path / "runs" / "report" / "figures" / "digits-gallery.png"
    ).exists()  # this run's configuration names its images
    # On the same machine the same run, bit for bit.
    trained = json.loads((folder / "result.json").read_text())
    assert trained == json.loads((swept / folder.relative_to(tmp_path) / "result.json").read_text())


def test_help_is_quick_and_needs_no_torch(tmp_path: Path) -> None:
    script = (
        "import runpy, sys\nsys.argv = ['train.py', '--help']\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"try: runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pytorch_lightning', 'rich'} & set(sys.modules)\n"
    )
    completed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    for word in (
        "bigru",
        "ecnn",
        "digits",
        "data.train_fraction",
        "hydra.launcher.jobs",
        "python train.py -m rnn=lstm",
    ):
        assert word in completed.stdout


def test_help_names_only_existing_keys(tmp_path: Path) -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from hybridnets import config

    config.register()
    text = python("train.py", "--help", cwd=tmp_path).stdout.split("Keys")[1]
    keys = [word.strip(",") for line in text.splitlines() if line.startswith("  ") for word in line[2:29].split()]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfgs = [
            compose("config", [f"{group}={path.stem}"], return_hydra_config=True)
            for group in ("model", "data")
            for path in (ROOT / "conf" / group).glob("*.yaml")
        ]
    assert len(keys) >= 20
    for key in keys:
        assert any(OmegaConf.select(cfg, key.removesuffix(".*"), default=...) is not ... for cfg in cfgs), key


MODEL = """
import torch
from hybridnets.models import Classifier

class Linear(Classifier):
    def __init__(self, image_shape, num_classes, scale=1.0):
        super().__init__(num_classes)
        self.save_hyperparameters()
        self.scale = scale
        self.head = torch.nn.Linear(image_shape[0] * image_shape[1] * image_shape[2], num_classes)

    def forward(self, images):
        return self.head(self.scale * images.flatten(1))
"""


def test_model_in_a_users_package(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text(MODEL)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "linear.yaml").write_text("_target_: mine.Linear\nscale: 0.5\n")
    words = ["--config-dir", "conf", "-m", "model=linear,cnn", *SMALL, "trainer.max_epochs=1"]
    completed = python("train.py", *words, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    # That model does not take CNN's settings: the whole sweep is refused before it starts.
    assert completed.returncode == 2
    # A setting that models share may be swept beside one that lacks it, whose runs coincide.
    words = [
        "--config-dir",
        "conf",
        "-m",
        "model=linear,cnn",
        "batch_norm_momentum=0.9,0.99",
        "data=digits",
        "dry_run=true",
    ]
    completed = python("train.py", *words, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "4 settings, 3 runs, 0 finished already" in completed.stdout


def test_failed_job_reports_its_reason_and_does_not_affect_others(tmp_path: Path) -> None:
    """The model is one of a user's package, and the run that finishes can be used."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text(
        MODEL.replace("return self", "assert not self.training or self.scale < 1, 'too large'\n        return self")
    )
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "linear.yaml").write_text("_target_: mine.Linear\nscale: 0.5\n")
    words = ["--config-dir", "conf", "-m", "model=linear", "model.scale=2,0.5", "data=digits", "trainer.max_epochs=2"]
    completed = python("train.py", *words, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert completed.returncode == 1
    assert "1 finished, 1 failed" in completed.stdout
    assert "AssertionError: too large" in completed.stdout
    assert "python " in completed.stdout
    (result,) = (json.loads(path.read_text()) for path in tmp_path.rglob("result.json"))
    assert (result["variant"], result["identity"]["model"]["scale"]) == ("linear", 0.5)
    assert result["best"]["val/acc"] > 0.5
    script = (
        "import hybridnets, glob, numpy, os\n"
        "predictor = hybridnets.load(os.path.dirname(glob.glob('runs/digits/linear/*/result.json')[0]))\n"
        "assert predictor.predict(numpy.zeros((2, 3, 32, 32), numpy.uint8)).shape == (2, 10)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    )
