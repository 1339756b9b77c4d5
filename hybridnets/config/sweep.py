"""A sweep as its launcher sees it: which runs, in what order, and what is known of them before they start."""

import atexit
import contextlib
import json
import math
import shlex
import shutil
import sys
import weakref
from pathlib import Path
from statistics import median
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from hybridnets.config import flags
from hybridnets.config.check import ConfigError, backbone, check, diverged, trial
from hybridnets.config.rehearsal import rehearsal
from hybridnets.config.schema import scratch
from hybridnets.runs import Run, manifest
from hybridnets.runs import identity as ids
from hybridnets.runs.claims import Watch
from hybridnets.runs.declaration import parse_declaration
from hybridnets.runs.labels import labels
from hybridnets.runs.published_figures import read_figures
from hybridnets.runs.records import Provenance, RecordError, provenance
from hybridnets.runs.store import owner
from hydra_plugins import process_launcher as launcher


def plan(configs: list[DictConfig]) -> list["SweepJob"]:
    """What the launcher asks before it starts a process: the runs of a sweep, checked, and what is finished already.

    Raises:
        ValueError: As `check`, for the first configuration that breaks a rule.
    """
    hydra = HydraConfig.get()
    if hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir must be false, got true: a run's folder is its own, whatever the working folder"
        )
    if hydra.sweeper.get("max_batch_size"):
        raise ConfigError("hydra.sweeper.max_batch_size must be null: hydra.launcher.jobs says how many run at a time")
    if not configs:
        raise ConfigError("a sweep must have a setting, and its words name none: does a glob() match nothing?")
    if varying := next((cfg.trainer for cfg in configs if flags.varies(cfg.trainer)), None):
        raise ConfigError(
            f"trainer.devices must be a number, or a list of devices, in a sweep: how many train a run determines its result, "
            f"and machines have other numbers of them, got {varying.get('devices') or 'null'}"
        )
    report = _report(configs[0])
    jobs = [SweepJob(check(cfg), cfg) for cfg in configs]
    runs = {job.key: job.run for job in jobs}
    pending = [job for job in {job.key: job for job in jobs}.values() if not job.finished()]
    needed = [job.need for job in pending if job.need]
    _tell_apart([*jobs, *needed])
    _rehearse([*(need for need in needed if not need.finished()), *pending])
    name = hydra.job.config_name
    for out in {run.out for run in runs.values() if not configs[0].dry_run} - {Path(scratch("trial"))}:
        asked = [run for run in runs.values() if run.out == out]
        _declare(out, None if name == "config" else name, asked, report)
    print(f"{len(configs)} settings, {len(runs)} runs, {len(runs) - len(pending)} finished already", flush=True)
    return jobs


# Of each sweep of this process, by its Hydra: the manifest in each folder of runs. A search has one for all its batches.
_declared: weakref.WeakKeyDictionary[Any, dict[Path, Path]] = weakref.WeakKeyDictionary()


def _declare(out: Path, name: str | None, asked: list[Run], report: Any) -> None:
    """Writes the sweep's manifest; a further batch of the same search is added to it."""
    manifests = _declared.setdefault(GlobalHydra.instance().hydra, {})
    if path := manifests.get(out):
        manifest.extend(path, out, asked)
        return
    manifests[out] = path = manifest.write(out, name, shlex.join(sys.orig_argv), asked, report)
    atexit.register(_keep, path.with_suffix("").absolute())  # wherever the process is by then


def _keep(folder: Path) -> None:
    """Copies what the sweeper wrote, such as the best parameters of a search, from where Hydra let it write."""
    written = sorted(path for path in Path(scratch("sweep")).iterdir() if path.name != "multirun.yaml")
    if not written or not folder.parent.is_dir():  # nothing to keep, or somebody removed the runs
        return
    names = ", ".join(path.name for path in written)
    try:
        folder.mkdir(exist_ok=True)
        for path in written:
            if path.is_dir():
                shutil.copytree(path, folder / path.name, dirs_exist_ok=True)
            else:
                shutil.copy(path, folder / path.name)
    except OSError as error:
        print(f"train.py: {names} cannot be kept in {folder} ({error})", file=sys.stderr)
    else:
        print(f"{names}: in {folder}")


def _report(cfg: DictConfig) -> Any:
    """The sweep's `report:` section as its manifest keeps it, with the published figures in the place of their file's name.

    Raises:
        ValueError: If a part of it has no meaning.
    """
    section = OmegaConf.to_container(cfg.report, resolve=True) if OmegaConf.is_config(cfg.report) else cfg.report
    if isinstance(section, dict) and isinstance(name := section.get("published"), str):
        sources = [Path(source.path) for source in HydraConfig.get().runtime.config_sources if source.schema == "file"]
        path = next((found for folder in [*sources, Path()] if (found := folder / name).is_file()), None)
        if path is None:
            raise ConfigError(f"report.published must be a CSV beside the sweep's file, got {name}, which is not there")
        section["published"] = read_figures(path)
    parse_declaration(section)
    return section


def _tell_apart(jobs: list["SweepJob"]) -> None:
    """Adds to the names of variants that share theirs the settings in which they differ."""
    variants = [ids.variant(job.run.identity) for job in jobs]
    keys = [ids.digest(variant) for variant in variants]
    names = {key: ids.name(variant) for key, variant in zip(keys, variants, strict=True)}
    told = labels(dict(zip(keys, variants, strict=True)), names)
    for job, key in zip(jobs, keys, strict=True):
        job.name = f"{told[key][0]} seed={ids.seed(job.run.identity)}"


def _rehearse(jobs: list["SweepJob"]) -> None:
    """Has everything built once a variant, in a process of its own: what the parts refuse, they refuse before the sweep.

    Raises:
        ConfigError: With the sentence of the first part that cannot be built.
    """
    variants: dict[str, None] = {}
    for job in jobs:
        plain = _any_seed(job.cfg)
        if job.backbone and job.backbone.cfg is not None:
            plain["model"]["backbone"] = _any_seed(job.backbone.cfg)
        elif job.backbone or job.cfg.ckpt_path:  # of a finished run, or of its checkpoint, only its own split will do
            plain = OmegaConf.to_container(job.cfg, resolve=True)
        variants.setdefault(json.dumps(plain), None)
    if variants:
        rehearsal.run(list(variants))
    else:
        rehearsal.stop()


def _any_seed(cfg: DictConfig) -> Any:
    """A configuration as plain values, at seeds that all runs of its variant have in common."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    return {**plain, "seed": 0, "seeds": {"split": 0, "init": 0, "order": 0}}


class SweepJob(launcher.PlannedJob):
    """One run of a sweep, as the launcher sees it.

    Args:
        run: The run.
        cfg: Its configuration.

    Attributes:
        backbone: The run that it stands on; None where it stands on none.
        need: That as a job, where it may have to be trained first.
    """

    def __init__(self, run: Run, cfg: DictConfig) -> None:
        accelerator, devices = cfg.trainer.get("accelerator"), cfg.trainer.get("devices")
        dealt = accelerator in (None, "auto", "gpu", "cuda") and isinstance(devices, int | None)
        many = max(devices, 1) if isinstance(devices, int) else 1
        super().__init__(str(run.folder), run.name, many * dealt, many, cfg.trainer.get("num_nodes") or 1)
        self.run = run
        self.cfg = cfg
        self.watch = Watch(run.folder)
        self.retry_diverged = cfg.retry_diverged
        self.max_epochs: int = run.identity["trainer"]["max_epochs"]
        self.backbone = found = backbone(cfg)
        self.need: SweepJob | None = None
        if found and found.run and found.cfg is not None and not trial(cfg):
            self.need = SweepJob(found.run, found.cfg)

    def needs(self) -> list[tuple[tuple[str, ...], "SweepJob"]]:
        """The run that it stands on, if overrides name it, with all that compose it."""
        return [(self.backbone.overrides, self.need)] if self.backbone and self.need else []

    def replaces(self) -> dict[str, Any]:
        """The run's folder in the place of those overrides, which its process could not compose; or what they compose."""
        if not self.backbone:
            return {}
        if trial(self.cfg) and self.backbone.cfg is not None and not self.backbone.finished:
            return {"backbone": OmegaConf.to_container(self.backbone.cfg, resolve=True)}
        return {"backbone": str(self.backbone.folder)}

    def finished(self) -> bool:
        """Whether the run has its result."""
        return self.run.result() is not None

    def refuses(self) -> str:
        """A run that diverged would do so again."""
        return "" if self.retry_diverged else diverged(self.run)

    def busy(self) -> str:
        """The process that trains it just now."""
        seen = self.watch.look()
        return "" if seen == "free" else f"by {owner(self.run.folder)}{', silent so far' * (seen == 'silent')}"

    def cost(self) -> tuple[float, float]:
        """By the finished runs of the same name: the median of their seconds, and of the bytes in their folders."""
        seconds, sizes = [], []
        for folder in {result.parent for result in self.run.folder.parent.glob("*/result.json")}:
            with contextlib.suppress(OSError, RecordError):
                attempts = provenance.read(folder) or Provenance()
                seconds.append(sum(attempts.epoch_seconds.values()))
                sizes.append(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
        return (median(seconds), median(sizes)) if sizes else (math.nan, math.nan)

    def result(self) -> float:
        """What main returned for the finished run."""
        result = self.run.result()
        return result.monitored if result else math.nan

    def progress(self) -> tuple[float, str]:
        """Share of the epochs done, at most, and the last epoch's val accuracy."""
        history = self.run.history()
        if not history:
            return 0.0, ""
        shown = "  ".join(f"{key} {history[-1][key]:.3f}" for key in ("val/acc",) if key in history[-1])
        return len(history) / self.max_epochs, f"epoch {len(history)}/{self.max_epochs}  {shown}"
