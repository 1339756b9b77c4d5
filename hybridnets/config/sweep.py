"""A sweep as its launcher sees it: its runs in their order, and what is known of them before they start."""

import atexit
import contextlib
import json
import math
import shutil
import sys
import weakref
from pathlib import Path
from statistics import median
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from hybridnets import program
from hybridnets.config.command_line import typed_command
from hybridnets.config.devices import depends_on_machine
from hybridnets.config.errors import ConfigError
from hybridnets.config.question import check_margin, check_question
from hybridnets.config.rehearsal import rehearsal
from hybridnets.config.request import RunRequest, changed_code_message, divergence_message, resolve
from hybridnets.config.schema import UNTIL_SETTLED, scratch
from hybridnets.program import few
from hybridnets.runs import Run, identities, manifest
from hybridnets.runs.claims import Watch
from hybridnets.runs.declaration import parse_declaration
from hybridnets.runs.labels import label_variants
from hybridnets.runs.published_figures import read_figures
from hybridnets.runs.records import Metrics, Provenance, RecordError, metrics, provenance
from hybridnets.runs.store import owner
from hydra_plugins import process_launcher as launcher


def plan(configs: list[DictConfig]) -> list["SweepJob"]:
    """What the launcher calls before it starts a process: checks the runs of a sweep, and declares them in a manifest.

    Raises:
        ValueError: As `resolve`, for the first configuration that breaks a rule.
    """
    _check_sweep(configs)
    report = read_report(configs[0])
    jobs = [SweepJob(resolve(cfg)) for cfg in configs]
    if HydraConfig.get().sweeper.get("_target_") == UNTIL_SETTLED:
        _check_settled(jobs)
    _plans[GlobalHydra.instance().hydra] = jobs
    runs = {job.key: job.run for job in jobs}
    check_question(report, list(runs.values()), [job.need.run for job in jobs if job.need])
    check_margin(report, min(len(job.request.dataset.test_labels) for job in jobs))
    unique = {job.key: job for job in jobs}.values()
    finished = [job for job in unique if job.finished()]
    pending = [job for job in unique if job not in finished]
    needed = [job.need for job in pending if job.need]
    _name_uniquely([*jobs, *needed])
    _rehearse([*(need for need in needed if not need.finished()), *pending])
    name = HydraConfig.get().job.config_name
    for out in {run.out for run in runs.values() if not configs[0].dry_run} - {Path(scratch("trial"))}:
        requested = [run for run in runs.values() if run.out == out]
        _declare(out, None if name == "config" else name, requested, report)
    if message := changed_code_message(job.run for job in finished):
        print(message, file=sys.stderr)
    print(f"{len(configs)} settings, {len(runs)} runs, {len(finished)} finished already", flush=True)
    return jobs


def _check_sweep(configs: list[DictConfig]) -> None:
    """Refuses Hydra settings that a sweep cannot have, and a sweep without configurations."""
    hydra = HydraConfig.get()
    if hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir must be false, got true: a run has its own folder, whatever the working folder is"
        )
    if hydra.sweeper.get("max_batch_size"):
        raise ConfigError("hydra.sweeper.max_batch_size must be null: hydra.launcher.jobs limits the runs at a time")
    if not configs:
        raise ConfigError("the sweep has no configurations: does a glob() match nothing?")
    for trainer in (cfg.trainer for cfg in configs):
        if depends_on_machine(trainer):
            raise ConfigError(
                "trainer.devices must be a number or a list of devices in a sweep, because the number of devices is part of a "
                f"run's identity and machines differ in it, got {trainer.get('devices') or 'null'}"
            )


def _check_settled(jobs: list["SweepJob"]) -> None:
    """Refuses a sweep that adds seeds where its looks could not be recorded in one manifest."""
    if any(job.request.is_trial for job in jobs):
        raise ConfigError(
            "trainer.fast_dev_run must be null if until=settled: its runs are not kept, so none can be looked at"
        )
    if len(folders := dict.fromkeys(job.run.out for job in jobs)) > 1:
        raise ConfigError(f"out must be one folder if until=settled, got {few(folders)}")


# The manifest in each folder of runs, for each sweep of this process by its Hydra. All batches of a search share one.
_manifests: weakref.WeakKeyDictionary[Any, dict[Path, Path]] = weakref.WeakKeyDictionary()


# The jobs of the last batch, for each sweep of this process by its Hydra.
_plans: weakref.WeakKeyDictionary[Any, list["SweepJob"]] = weakref.WeakKeyDictionary()


def manifests_of_this_sweep() -> list[Path]:
    """The manifests that this sweep wrote, one in each folder of runs."""
    return list(_manifests.get(GlobalHydra.instance().hydra, {}).values())


def runs_of_last_batch() -> list[Run]:
    """The runs of the last batch, job by job."""
    return [job.run for job in _plans.get(GlobalHydra.instance().hydra, [])]


def _declare(out: Path, name: str | None, runs: list[Run], report: Any) -> None:
    """Writes the sweep's manifest; adds to it the further batches of the same search."""
    manifests = _manifests.setdefault(GlobalHydra.instance().hydra, {})
    if path := manifests.get(out):
        manifest.extend(path, out, runs)
        return
    manifests[out] = path = manifest.write(out, name, typed_command(), runs, report)
    atexit.register(_keep, path.with_suffix("").absolute())  # absolute, because the working folder may change


def _keep(folder: Path) -> None:
    """Copies what the sweeper wrote, such as the best parameters of a search, from Hydra's temporary folder."""
    written = sorted(path for path in Path(scratch("sweep")).iterdir() if path.name != "multirun.yaml")
    if not written or not folder.parent.is_dir():  # nothing to keep, or somebody deleted the runs
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
        print(f"{program.name('train')}: {names} cannot be kept in {folder} ({error})", file=sys.stderr)
    else:
        print(f"{names}: in {folder}")


def read_report(cfg: DictConfig) -> Any:
    """The sweep's `report:` section as its manifest keeps it, with the published figures instead of their file's name.

    Raises:
        ValueError: If a part of it is not legal.
    """
    section = OmegaConf.to_container(cfg.report, resolve=True) if OmegaConf.is_config(cfg.report) else cfg.report
    if isinstance(section, dict) and isinstance(name := section.get("published"), str):
        sources = [Path(source.path) for source in HydraConfig.get().runtime.config_sources if source.schema == "file"]
        path = next((folder / name for folder in [*sources, Path()] if (folder / name).is_file()), None)
        if path is None:
            raise ConfigError(
                f"report.published must be a CSV file next to the sweep's file, but {name} does not exist"
            )
        section["published"] = read_figures(path)
    parse_declaration(section)
    return section


def _name_uniquely(jobs: list["SweepJob"]) -> None:
    """Adds to the names of variants that share a name the settings in which they differ."""
    variants = [identities.variant(job.run.identity) for job in jobs]
    keys = [identities.hash_of(variant) for variant in variants]
    names = {key: identities.name(variant) for key, variant in zip(keys, variants, strict=True)}
    unique = label_variants(dict(zip(keys, variants, strict=True)), names)
    for job, key in zip(jobs, keys, strict=True):
        job.name = f"{unique[key][0]} seed={identities.seed(job.run.identity)}"


def _rehearse(jobs: list["SweepJob"]) -> None:
    """Builds every variant once in a separate process, so that parts refuse what they refuse before the sweep starts.

    Raises:
        ConfigError: With the sentence of the first part that cannot be built.
    """
    variants: dict[str, None] = {}
    for job in jobs:
        settings, backbone = _any_seed(job.request), job.request.backbone
        if backbone and backbone.request:
            settings["model"] = {**settings["model"], "backbone": _any_seed(backbone.request)}
        elif backbone or settings["ckpt_path"]:  # a finished run and a checkpoint fit their own split only
            settings = {**job.request.settings}
        variants.setdefault(json.dumps(settings), None)
    if variants:
        rehearsal.run(list(variants))
    else:
        rehearsal.stop()


def _any_seed(request: RunRequest) -> dict[str, Any]:
    """The settings of a request with seeds that all runs of its variant have in common."""
    return {**request.settings, "seed": 0, "seeds": {"split": 0, "init": 0, "order": 0}}


class SweepJob(launcher.PlannedJob):
    """One run of a sweep, as the launcher sees it.

    Args:
        request: What asks for the run.

    Attributes:
        run: The run.
        need: The job of the backbone's run, which may have to be trained first; None without one.
    """

    def __init__(self, request: RunRequest) -> None:
        run, trainer = request.run, request.settings["trainer"]
        devices = trainer.get("devices")
        uses_gpus = trainer.get("accelerator") in (None, "auto", "gpu", "cuda") and isinstance(devices, int | None)
        processes = max(devices, 1) if isinstance(devices, int) else 1
        super().__init__(str(run.folder), run.name, processes * uses_gpus, processes, trainer.get("num_nodes") or 1)
        self.request = request
        self.run = run
        self.watch = Watch(run.folder)
        self.max_epochs: int = run.identity["trainer"]["max_epochs"]
        backbone = request.backbone
        self.need: SweepJob | None = None
        if backbone and backbone.request and backbone.overrides and not request.is_trial:
            self.need = SweepJob(backbone.request)

    def needs(self) -> list[tuple[tuple[str, ...], "SweepJob"]]:
        """The job of the backbone's run, with all overrides that compose it."""
        backbone = self.request.backbone
        return [(backbone.overrides, self.need)] if backbone and self.need else []

    def replaces(self) -> dict[str, Any]:
        """The backbone's folder instead of its overrides, which the job's process could not compose; or its settings."""
        backbone = self.request.backbone
        if not backbone:
            return {}
        if self.request.is_trial and backbone.request and not backbone.is_finished:
            return {"backbone": backbone.request.settings}
        return {"backbone": str(backbone.folder)}

    def finished(self) -> bool:
        """Whether the run has its result."""
        return self.run.result() is not None

    def refuses(self) -> str:
        """Why the run would only diverge again; empty if it is worth a try."""
        return "" if self.request.settings["retry_diverged"] else divergence_message(self.run)

    def busy(self) -> str:
        """The process that is training the run; empty without one."""
        state = self.watch.state()
        return "" if state == "free" else f"by {owner(self.run.folder)}{', silent so far' * (state == 'silent')}"

    def cost(self) -> tuple[float, float]:
        """The median seconds, and the median bytes in the folders, of the finished runs with the same name."""
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
        """The share of max_epochs that is done; in words the epochs done, the last one's val accuracy and the best so far."""
        epochs = metrics.read(self.run.folder)
        accuracies = epochs.columns.get("val/acc", ())
        if not len(epochs):
            return 0.0, ""
        text = f"epoch {len(epochs)}/{self.max_epochs}"
        return len(epochs) / self.max_epochs, text + (
            f"  val/acc {accuracies[-1]:.3f} (best {self._best(epochs):.3f})" if accuracies else ""
        )

    def _best(self, epochs: Metrics) -> float:
        """The val accuracy that reports use, at the reported epoch; of a run that is not finished, the highest so far."""
        result = self.run.result()
        return result.best["val/acc"] if result else epochs.highest("val/acc")
