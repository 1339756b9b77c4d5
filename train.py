"""Trains one run, or with -m a sweep of them: `python train.py --help`."""

import logging
import os
import sys
from pathlib import Path

from hybridnets import signals

if __name__ == "__main__":  # before the imports that take time
    signals.install("train.py", then=": the same command goes on where this one ended")

import hydra
from omegaconf import DictConfig, OmegaConf

from hybridnets import config
from hydra_plugins.process_launcher import JobFailed

HERE = Path(__file__).resolve().parent  # also where this file is called by a link
# As the user set it: the ranks that DDP starts inherit what is set below.
WITH_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1" and "LOCAL_RANK" not in os.environ
WITH_VALUE = {  # Hydra's options whose value is the next word
    *("-cn", "-cd", "-cp", "-c", "-p"),
    *("--config-name", "--config-dir", "--config-path", "--cfg", "--package", "--experimental-rerun"),
}
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")  # what --info takes, or nothing


@hydra.main(version_base="1.3", config_path=str(HERE / "conf"), config_name="config")
def main(cfg: DictConfig) -> float:
    """Trains the configured run, unless it is finished, and returns what sweepers optimise: its best val/acc."""
    try:
        run = config.check(cfg)
        result = run.result()
        if result is None:
            config.check_diverged(run, cfg)
            from hybridnets.config.build import build
            from hybridnets.training import prepare, train

            if cfg.dry_run:
                prepare(run, build(cfg), cfg.ckpt_path)  # so that it refuses what would be refused without dry_run
                print(f"{run.name} would run in {run.folder}")
                return float("nan")
            yaml = OmegaConf.to_yaml(cfg, resolve=True)
            result = train(run, build(cfg), command=config.command(), configuration=yaml, checkpoint=cfg.ckpt_path)
        else:
            print(f"{run.name} is finished already: see {run.folder}")
        return result.monitored
    except Exception as error:
        sys.exit(_told(error))  # here, because Hydra would announce it as an error of the job's


def command_line() -> int:
    """Runs `main` on the command line and returns the exit code, 2 for a slip of the user's."""
    # With --info Hydra logs by itself, and each line would come twice.
    if not any(word.startswith(("-i", "--info")) for word in sys.argv[1:]):
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    config.register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors, so that they can be told as one sentence
    try:
        sys.argv[1:] = _in_order(sys.argv[1:])
        main()
    except JobFailed:  # told in the sweep's summary
        return 1
    except Exception as error:
        return _told(error)
    return 0


def _in_order(words: list[str]) -> list[str]:
    """Options first, so that they may stand anywhere; DDP appends overrides of its own to the command of its ranks."""
    options: list[str] = []
    overrides: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        is_value = before in WITH_VALUE or (before in ("-i", "--info") and word in INFO)
        (options if word.startswith("-") or is_value else overrides).append(word)
    if not {"-cd", "--config-dir", "-cp", "--config-path"} & {word.partition("=")[0] for word in options}:
        options.append(f"--config-dir={HERE / 'sweeps'}")  # so that -cn paper works from any folder
    return options + config.words(overrides)


def _told(error: Exception) -> int:
    """Tells a slip as one sentence; what is none is raised again, and everything is in a sweep's jobs, which report it."""
    if code := signals.exit_code():
        return code
    sentence = config.explain(error, HERE / "conf", sys.argv[1:])
    if sentence is None or WITH_TRACEBACK:
        raise error
    print(f"train.py: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(command_line())
