"""Event files, as torch 2.13, Lightning 2.6.6 and tensorboard 2.21 wrote them."""

import shutil
import struct
from pathlib import Path

import pytest

from hybridnets.report import ReportError
from hybridnets.report.reading.score_kind import ScoreOptions
from hybridnets.report.reading.scores.mapping import Reading
from hybridnets.report.reading.tools import event_files
from tests.report.reading.tools.tool_runs import read, scores

FIXTURES = Path(__file__).parent / "fixtures"
ACCURACIES = {  # after the last epoch, as make_tensorboard.py wrote them
    **{("cnn", 0): 0.7, ("cnn", 1): 0.71, ("cnn", 2): 0.72, ("crnn", 0): 0.825, ("crnn", 1): 0.835, ("crnn", 2): 0.845}
}


@pytest.mark.parametrize(("fixture", "key"), [("tensorboard", "val/acc"), ("tensorboard-hparams", "val_acc")])
def test_settings_are_in_names_or_hyperparameters(fixture: str, key: str) -> None:
    runs = read(FIXTURES / fixture)
    assert scores(runs) == ACCURACIES
    assert runs.score.name == key
    assert (runs.problems, runs.missing, runs.partial) == ((), (), "")
    assert f"seed=seed score={key}" in runs.head[1]
    assert (
        scores(read(FIXTURES / fixture, Reading.of([], "best", ScoreOptions(key.replace("acc", "loss")))))["cnn", 0]
        == 0.3
    )


def test_scalars_of_tensorflow_2_are_tensors() -> None:
    (folder,) = (FIXTURES / "tensorboard-tensors").iterdir()
    assert event_files.read_scalars(folder.iterdir()).metrics == {"val/acc": {0: 0.5, 1: 0.6, 2: 0.7}}


def test_every_scalar_is_what_tensorboard_reads() -> None:
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    for file in FIXTURES.glob("tensorboard*/**/*tfevents*"):
        theirs = accumulators.EventAccumulator(str(file)).Reload()
        ours = event_files.read_scalars([file]).metrics
        for tag in theirs.Tags()["scalars"]:
            assert {event.step: event.value for event in theirs.Scalars(tag)} == pytest.approx(ours[tag], rel=1e-7)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cnn-seed3", {"name": "cnn", "seed": "3"}),
        ("cnn/seed_3", {"name": "cnn", "seed": "3"}),
        ("vit-s16-seed12", {"name": "vit-s16", "seed": "12"}),
        ("seed12_cnn", {"name": "cnn", "seed": "12"}),
        ("vit-s16", {"name": "vit-s16"}),
        ("lr=0.1,seed=3", {"lr": "0.1", "seed": "3"}),
        ("a/model=b,seed=3", {"name": "a", "model": "b", "seed": "3"}),
        ("lstms2", {"name": "lstms2"}),
        ("PPO_1", {"name": "PPO_1"}),
        ("reseed7", {"name": "reseed7"}),
    ],
)
def test_a_name_states_a_seed_or_settings(name: str, settings: dict[str, str]) -> None:
    assert event_files.settings_of_name(name) == settings


def test_a_number_at_the_end_of_a_name_is_no_seed_unless_the_user_says_so(tmp_path: Path) -> None:
    for n, folder in enumerate(sorted((FIXTURES / "tensorboard").iterdir())):
        shutil.copytree(folder, tmp_path / ("cnn" if n < 3 else "crnn") / str(n % 3))
    with pytest.raises(
        ReportError, match=r"--map must say which column of .* is the seed, as in seed=COLUMN, because none can"
    ):
        read(tmp_path)
    files = [*tmp_path.rglob("*tfevents*")]
    assert len(files) == 6
    for file in files:
        file.parent.rename(file.parent.with_name(f"run_{file.parent.name}"))
    runs = read(tmp_path, Reading.of(["seed=number", "variant=stem"]))
    assert {name.removesuffix("/run"): score for (name, _), score in scores(runs).items()} == {
        "cnn": 0.72,
        "crnn": 0.845,
    }
    assert len(runs.runs) == 6


def test_keras_writes_a_folder_for_each_part_of_the_data(tmp_path: Path) -> None:
    for n, folder in enumerate(sorted((FIXTURES / "tensorboard").iterdir())):
        for part in ("train", "validation"):
            shutil.copytree(folder, tmp_path / f"{'ab'[n // 3]}-seed{n % 3}" / part)
    runs = read(tmp_path)
    assert runs.score.name == "validation/val/acc"
    assert len(runs.runs) == 6


def test_a_training_that_began_again_replaces_what_came_after(tmp_path: Path) -> None:
    (first,) = (FIXTURES / "tensorboard" / "cnn-seed0").iterdir()
    (second,) = (FIXTURES / "tensorboard" / "cnn-seed2").iterdir()
    shutil.copy(first, tmp_path / "events.out.tfevents.1")
    whole = second.read_bytes()
    shutil.copy(second, tmp_path / "events.out.tfevents.2")
    assert event_files.read_scalars(tmp_path.iterdir()).metrics["val/acc"] == {0: 0.52, 1: 0.62, 2: 0.72}
    (tmp_path / "events.out.tfevents.2").write_bytes(whole[: whole.rindex(b"val/loss") - 30])
    scalars = event_files.read_scalars(tmp_path.iterdir())
    assert "events.out.tfevents.2 is cut short after " in scalars.cut
    assert scalars.metrics["val/loss"] == {0: 0.48, 1: 0.38}  # and not 0.3 of the first


def test_the_folder_of_one_run_is_a_run(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "tensorboard" / "cnn-seed0", tmp_path / "validation")
    source = event_files.read_folders(tmp_path / "validation", [*tmp_path.rglob("*tfevents*")])
    assert [(run.labels["folder"], sorted(run.metrics)) for run in source.runs] == [
        ("validation", ["val/acc", "val/loss"])
    ]


def test_a_file_cut_short_is_an_unfinished_run(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "tensorboard", tmp_path, dirs_exist_ok=True)
    (file,) = (tmp_path / "crnn-seed2").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    runs = read(tmp_path)
    assert runs.problems == (f"{file} is cut short after 7 records; its run counts as unfinished",)
    assert [str(run.folder) for run in runs.missing] == [str(file.parent)]
    file.write_bytes(whole[:90])
    assert "is cut short after 1 record; " in read(tmp_path).problems[0]


def test_a_damaged_or_foreign_file_is_one_sentence(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "tensorboard", tmp_path, dirs_exist_ok=True)
    (file,) = (tmp_path / "crnn-seed2").iterdir()
    whole = bytearray(file.read_bytes())
    whole[-20] ^= 1
    file.write_bytes(whole)
    (problem,) = read(tmp_path).problems
    assert str(file) in problem
    assert problem.endswith("a checksum is wrong; its run counts as unfinished")
    file.write_bytes(b"some other file, which is longer than a header")
    (problem,) = read(tmp_path).problems
    assert problem == (
        f"{file} is no event file of TensorBoard, or damaged at byte 0: a checksum is wrong; its run counts as unfinished"
    )


def test_large_records_are_passed_over(tmp_path: Path) -> None:
    (file,) = (FIXTURES / "tensorboard" / "cnn-seed0").iterdir()
    length = struct.pack("<Q", 100_000)
    large = length + struct.pack("<I", event_files._masked(length)) + bytes(100_004)
    (tmp_path / "x.tfevents").write_bytes(large + file.read_bytes())
    assert event_files.read_scalars([tmp_path / "x.tfevents"]).metrics["val/acc"][2] == 0.7


def test_the_checksum_is_that_of_castagnoli() -> None:
    crc = (
        0xE3069283 >> 15 | 0xE3069283 << 17
    ) + event_files.MASK & 0xFFFFFFFF  # of "123456789", by RFC 3720's polynomial
    assert event_files._masked(b"123456789") == crc
