"""Overrides on the command line: paths and names are taken as they are typed, and a whole section replaces another."""

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

from hybridnets.config import resolve
from hybridnets.config.build import build_loggers, build_trainer
from hybridnets.config.hydra_errors import explain
from hybridnets.config.overrides import complete_overrides, quote_paths
from hybridnets.runs.claims import hold
from tests.conftest import ROOT, Said

HOME = str(Path.home())


def value_of(override: str) -> Any:
    """The value that Hydra reads from an override; a list for the choices of a sweep."""
    value = OverridesParser.create().parse_override(quote_paths(override)).value()
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
def test_path_is_taken_as_it_is(key: str, path: str) -> None:
    assert value_of(f"{key}={path}") == path
    assert quote_paths(quote_paths(f"{key}={path}")) == quote_paths(
        f"{key}={path}"
    )  # DDP's ranks have the overrides of the first


@pytest.mark.parametrize(
    ("override", "value"),
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
def test_what_hydra_understands_is_not_changed(override: str, value: Any) -> None:
    assert value_of(override) == value


def test_null_is_none_for_a_group_that_has_this_choice(composed: Callable[..., DictConfig]) -> None:
    assert complete_overrides(["until=null", "logger= null", "rnn=null"]) == ["until=none", "logger=none", "rnn=null"]
    assert composed(*complete_overrides(["until=null", "logger=null"])) == composed()


@pytest.mark.parametrize(
    "override", ["nodes=[1", "~scheduler", "x={a:b=c}", 'out="abc', "--config-dir=a=b", "model=cnn@x"]
)
def test_other_words_and_slips_are_left_to_hydra(override: str) -> None:
    assert quote_paths(override) == override


STEP = "{_target_:torch.optim.lr_scheduler.StepLR,step_size:1}"


def test_section_with_a_target_replaces_the_configured_one(composed: Callable[..., DictConfig]) -> None:
    cfg = composed(
        *complete_overrides(
            [f"scheduler={STEP}", "optimizer={_target_:torch.optim.SGD,lr:0.1}", "model=cnn", "data=digits"]
        ),
        *complete_overrides(
            ["callbacks.early_stopping={_target_:pytorch_lightning.callbacks.Timer}", "scheduler.step_size=2"]
        ),
    )
    assert cfg.scheduler == {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 2}
    assert cfg.optimizer == {"_target_": "torch.optim.SGD", "lr": 0.1}
    assert cfg.callbacks == {"early_stopping": {"_target_": "pytorch_lightning.callbacks.Timer"}}
    assert composed(*complete_overrides(["callbacks={}"])).callbacks == {}
    assert list(composed(*complete_overrides(["callbacks={a:{_target_:x}}"])).callbacks) == ["a"]
    assert list(composed(*complete_overrides(["+callbacks={a:{_target_:x}}"])).callbacks) == ["early_stopping", "a"]
    # A section without a target is merged, as by Hydra.
    assert composed(*complete_overrides(["optimizer={lr:0.5}"])).optimizer == {**composed().optimizer, "lr": 0.5}
    assert (
        composed(*complete_overrides(["callbacks={early_stopping:{patience:7}}"])).callbacks.early_stopping.patience
        == 7
    )
    assert complete_overrides([f"scheduler={STEP},null"]) == ["scheduler=null", f"+scheduler={STEP},null"]


@pytest.mark.parametrize(
    "override",
    [
        *(f"scheduler={STEP}", f" scheduler = {STEP} ", f"+scheduler={STEP}", f"++scheduler={STEP}"),
        "scheduler={_target_: torch.optim.lr_scheduler.StepLR, step_size: 1}",
        "scheduler={\n  _target_: torch.optim.lr_scheduler.StepLR,\n  step_size : 1\n}",
    ],
)
def test_spaces_in_a_section_do_not_matter(composed: Callable[..., DictConfig], override: str) -> None:
    step = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1}
    assert composed(*complete_overrides([override])).scheduler == step
    assert composed(*complete_overrides(complete_overrides([override]))).scheduler == step  # as DDP's ranks take them


def loggers(cfg: DictConfig) -> list[Any]:
    request = resolve(cfg)
    return build_trainer(request, [], build_loggers(request.settings)).loggers


def test_loggers_may_be_several(composed: Callable[..., DictConfig]) -> None:
    section = "{_target_:pytorch_lightning.loggers.CSVLogger,save_dir:'a,b'}"
    settings = {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "a,b"}
    assert composed(*complete_overrides([f"logger={section}"])).logger == settings
    assert composed(*complete_overrides([f"logger=[{section},{section}]"])).logger == {
        "logger0": settings,
        "logger1": settings,
    }
    cfg = composed(*complete_overrides([f"logger=[tensorboard,{section},wandb]"]))
    assert {key: part["_target_"].rpartition(".")[2] for key, part in cfg.logger.items()} == {
        "tensorboard": "TensorBoardLogger",
        "wandb": "WandbLogger",
        "logger1": "CSVLogger",
    }
    cfg = composed(*complete_overrides([f"logger=[{section},{section}]", "data=digits", "model=cnn"]))
    assert [type(logger).__name__ for logger in loggers(cfg)] == ["CSVLogger", "CSVLogger"]
    # In the file of a sweep they may be a list.
    cfg.logger = [settings]
    assert len(loggers(cfg)) == 1


def test_too_long_folder_name_is_refused(composed: Callable[..., DictConfig]) -> None:
    for override, key in (("out=", "out"), ("out=runs/", "out"), ("data.name=", "data.name")):
        name = "가" * 86  # of three bytes each
        with pytest.raises(
            ValueError, match=f"^{key} must be at most 255 bytes long, because it names a folder, got 258$"
        ):
            resolve(composed("data=digits", "model=cnn", quote_paths(f"{override}{name}")))
    with pytest.raises(ValueError, match=r"^out must be at most \d+ bytes long as a whole path$"):
        resolve(composed("data=digits", "model=cnn", f"out={'/'.join(['a' * 200] * 20)}"))


def test_dangling_link_is_named(command: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to("nowhere")
    for arguments in (["dry_run=true"], [], ["-m", "seed=0,1"]):
        answer = command("data=digits", "model=cnn", *arguments)
        assert (answer.code, answer.err) == (
            2,
            "train.py: out must be a folder that can be written to, got runs: "
            f"{tmp_path}/runs is a link to nowhere, which does not exist\n",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_lock_of_another_user_is_named() -> None:
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o777)
        lock = Path(top) / "lock"
        lock.touch()
        lock.chmod(0o444)
        is_root = os.geteuid() == 0  # root may write everywhere
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError) as raised, hold(Path(top)):
                pass
        finally:
            if is_root:
                os.seteuid(0)
        sentence = explain(raised.value, ROOT / "conf", [])
    assert sentence
    assert sentence.startswith(f"{lock} must be a file or folder that you may use (Permission denied; it belongs")
    assert "has mode 444): have its permissions changed, or choose another folder with out=" in sentence


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_impossible_folder_is_refused_in_one_sentence(command: Callable[..., Said]) -> None:
    for arguments in ([], ["-m", "seed=0,1"]):
        answer = command("data=digits", "model=cnn", "out=/proc/nothing", *arguments)
        assert answer.code == 2
        assert answer.err.startswith(
            "train.py: out must be a folder that can be made, and /proc/nothing cannot be (No such"
        )


def test_command_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(ROOT / "train.py")
    command = [sys.executable, str(tmp_path / "train"), "-cn", "demo", "--cfg", "job", "-p", "report"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "primary:" in completed.stdout, completed.stderr


INFO = {"plugins": "LocalLauncher", "defaults-tree": "data: digits", "searchpath": "Config search path"}


@pytest.mark.parametrize("topic", ["plugins", "defaults-tree", "searchpath", "config", "defaults", "all", ""])
def test_hydras_info_is_printed(command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, topic: str) -> None:
    root = logging.getLogger()  # Hydra adds a handler to it, and lowers its level
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    answer = command("data=digits", "--info", *([topic] if topic else []))
    assert (answer.code, answer.err) == (0, "")
    assert INFO.get(topic, "digits") in answer.out


def test_hydras_own_configuration_is_printed_resolved(command: Callable[..., Said]) -> None:
    answer = command("--cfg", "hydra", "--resolve")
    assert answer.code == 0
    assert "plan: hybridnets.config.plan" in answer.out
    assert not answer.err
