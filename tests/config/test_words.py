"""Words of the command line: paths and names are taken as they are typed, and a section as a whole takes its place."""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from hybridnets.config import explain
from hybridnets.config.build import build
from hybridnets.config.check import check
from hybridnets.config.words import quoted, words
from hybridnets.runs.claims import hold
from tests.conftest import ROOT, Said

HOME = str(Path.home())


def understood(word: str) -> Any:
    """The value that Hydra reads from a word: of a sweep's choices a list."""
    value = OverridesParser.create().parse_override(quoted(word)).value()
    choices = [str(getattr(choice, "text", choice)) for choice in getattr(value, "list", [])]
    return choices or value


@pytest.mark.parametrize(
    "path",
    [
        *(
            "runs/digits/cnn/seed=0-755cd0/checkpoints/last.ckpt",
            "runs#1",
            "실험/é",
            "my runs",
            "../runs",
            "./~x",
            "a@b",
        ),
        *("runs(old)", "runs (old)", "{a}", "a}b", "a[b", "it's", 'a"b', "a=\\", "2024", "1_000", "1e3", "007", "true"),
        *("a\nb", "a:b=c", "x=${oc.env:HOME}", "a&b;c|d", "C:\\x=y", "a\udc80=b", ""),
    ],
)
@pytest.mark.parametrize("key", ["out", "+ckpt_path", "++data.root", "trainer.default_root_dir", "callbacks.x.dirpath"])
def test_a_path_is_taken_as_it_is(key: str, path: str) -> None:
    assert understood(f"{key}={path}") == path
    assert quoted(quoted(f"{key}={path}")) == quoted(f"{key}={path}")  # DDP's ranks have the words of the first


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("out=~/runs", f"{HOME}/runs"),
        ("backbone=~/seed=0-1f3a9c", f"{HOME}/seed=0-1f3a9c"),
        ("model.weights=~", HOME),
        ('out="~/runs"', "~/runs"),
        ('out="a,b"', "a,b"),
        (r"out=a\=b", "a=b"),
        ("ckpt_path=null", None),
        ("ckpt_path=null,seed=0/a, ~/b#1", ["None", "seed=0/a", f"{HOME}/b#1"]),
        ("out='a,b=1',c=2", ["a,b=1", "c=2"]),
        ("out=${oc.env:HOME,/tmp}/a=b", "${oc.env:HOME,/tmp}/a=b"),
        ("out=choice(a,b)", ["a", "b"]),
        ("data.name=실험", "실험"),
        ("logger.name=a=b", "a=b"),
        ("nodes=16,32", ["16", "32"]),
        ("optimizer.lr=1e-3", 0.001),
        ("trainer.deterministic=true", True),
    ],
)
def test_what_hydra_understands_stays(word: str, value: Any) -> None:
    assert understood(word) == value


@pytest.mark.parametrize("word", ["nodes=[1", "~scheduler", "x={a:b=c}", 'out="abc', "--config-dir=a=b", "model=cnn@x"])
def test_other_words_and_slips_are_left_to_hydra(word: str) -> None:
    assert quoted(word) == word


STEP = "{_target_:torch.optim.lr_scheduler.StepLR,step_size:1}"


def test_a_section_with_a_target_takes_the_place_of_the_configured_one(composed: Callable[..., DictConfig]) -> None:
    cfg = composed(
        *words([f"scheduler={STEP}", "optimizer={_target_:torch.optim.SGD,lr:0.1}", "model=cnn", "data=digits"]),
        *words(["callbacks.early_stopping={_target_:pytorch_lightning.callbacks.Timer}", "scheduler.step_size=2"]),
    )
    assert cfg.scheduler == {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 2}
    assert cfg.optimizer == {"_target_": "torch.optim.SGD", "lr": 0.1}
    assert cfg.callbacks == {"early_stopping": {"_target_": "pytorch_lightning.callbacks.Timer"}}
    build(cfg)
    assert composed(*words(["callbacks={}"])).callbacks == {}
    assert list(composed(*words(["callbacks={a:{_target_:x}}"])).callbacks) == ["a"]
    assert list(composed(*words(["+callbacks={a:{_target_:x}}"])).callbacks) == ["early_stopping", "a"]
    # What names no target is merged, as by Hydra.
    assert composed(*words(["optimizer={lr:0.5}"])).optimizer == {**composed().optimizer, "lr": 0.5}
    assert composed(*words(["callbacks={early_stopping:{patience:7}}"])).callbacks.early_stopping.patience == 7
    assert words([f"scheduler={STEP},null"]) == ["scheduler=null", f"+scheduler={STEP},null"]


@pytest.mark.parametrize(
    "word",
    [
        *(f"scheduler={STEP}", f" scheduler = {STEP} ", f"+scheduler={STEP}", f"++scheduler={STEP}"),
        "scheduler={_target_: torch.optim.lr_scheduler.StepLR, step_size: 1}",
        "scheduler={\n  _target_: torch.optim.lr_scheduler.StepLR,\n  step_size : 1\n}",
    ],
)
def test_a_section_is_one_however_it_is_spaced(composed: Callable[..., DictConfig], word: str) -> None:
    step = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1}
    assert composed(*words([word])).scheduler == step
    assert composed(*words(words([word]))).scheduler == step  # as DDP's ranks take them


def test_loggers_may_be_several(composed: Callable[..., DictConfig]) -> None:
    own = "{_target_:pytorch_lightning.loggers.CSVLogger,save_dir:'a,b'}"
    whole = {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "a,b"}
    assert composed(*words([f"logger={own}"])).logger == whole
    assert composed(*words([f"logger=[{own},{own}]"])).logger == {"logger0": whole, "logger1": whole}
    cfg = composed(*words([f"logger=[tensorboard,{own},wandb]"]))
    assert {key: part["_target_"].rpartition(".")[2] for key, part in cfg.logger.items()} == {
        "tensorboard": "TensorBoardLogger",
        "wandb": "WandbLogger",
        "logger1": "CSVLogger",
    }
    words_of_a_job = words([f"logger=[{own},{own}]", "data=digits", "model=cnn"])
    cfg = composed(*words_of_a_job)
    trainer = build(cfg).trainer(callbacks=[], plugins=[], default_root_dir=Path("x"))
    assert [type(logger).__name__ for logger in trainer.loggers] == ["CSVLogger", "CSVLogger"]
    # A sweep's file may have them as a list.
    cfg.logger = [whole]
    assert len(build(cfg).trainer(callbacks=[], plugins=[], default_root_dir=Path("x")).loggers) == 1


def test_a_name_that_no_folder_can_have_is_refused(composed: Callable[..., DictConfig]) -> None:
    for word, key in (("out=", "out"), ("out=runs/", "out"), ("data.name=", "data.name")):
        name = "가" * 86  # of three bytes each
        with pytest.raises(ValueError, match=f"^{key} must be at most 255 bytes long, for it names a folder, got 258$"):
            check(composed("data=digits", "model=cnn", quoted(f"{word}{name}")))
    with pytest.raises(ValueError, match=r"^out must be at most \d+ bytes long as a whole path$"):
        check(composed("data=digits", "model=cnn", f"out={'/'.join(['a' * 200] * 20)}"))


def test_a_link_to_nothing_is_named(command: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to("nowhere")
    for words_of_it in (["dry_run=true"], [], ["-m", "seed=0,1"]):
        said = command("data=digits", "model=cnn", *words_of_it)
        assert (said.code, said.err) == (
            2,
            "train.py: out must be a folder that can be written to, got runs: "
            f"{tmp_path}/runs is a link to nowhere, which is not there\n",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_lock_of_another_user_is_named() -> None:
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o777)
        lock = Path(top) / "lock"
        lock.touch()
        lock.chmod(0o444)
        root = os.geteuid() == 0  # who may write everywhere
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError) as raised, hold(Path(top)):
                pass
        finally:
            if root:
                os.seteuid(0)
        sentence = explain(raised.value, ROOT / "conf", [])
    assert sentence
    assert sentence.startswith(
        f"{lock} must be a file or folder that you may use, and is not (Permission denied; it belongs"
    )
    assert "has mode 444): have its permissions changed, or choose another folder with out=" in sentence


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_where_no_folder_can_be_made_is_one_sentence(command: Callable[..., Said]) -> None:
    for words_of_it in ([], ["-m", "seed=0,1"]):
        said = command("data=digits", "model=cnn", "out=/proc/nothing", *words_of_it)
        assert said.code == 2
        assert said.err.startswith(
            "train.py: out must be a folder that can be made, and /proc/nothing cannot be (No such"
        )


def test_the_command_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(ROOT / "train.py")
    command = [sys.executable, str(tmp_path / "train"), "-cn", "demo", "--cfg", "job", "-p", "report"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "primary:" in done.stdout, done.stderr


INFO = {"plugins": "LocalLauncher", "defaults-tree": "data: digits", "searchpath": "Config search path"}


@pytest.mark.parametrize("what", ["plugins", "defaults-tree", "searchpath", "config", "defaults", "all", ""])
def test_hydra_tells_of_itself(command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    root = logging.getLogger()  # to which Hydra adds a handler, and lowers its level
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    said = command("data=digits", "--info", *([what] if what else []))
    assert (said.code, said.err) == (0, "")
    assert INFO.get(what, "digits") in said.out


def test_hydras_own_configuration_is_shown_resolved(command: Callable[..., Said]) -> None:
    said = command("--cfg", "hydra", "--resolve")
    assert said.code == 0
    assert "plan: hybridnets.config.plan" in said.out
    assert not said.err
