"""Trains one run, or with -m a sweep of them: `python train.py --help`."""

import logging
import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from hybridnets import config
from hydra_plugins.process_launcher import JobFailed

HERE = Path(__file__).parent


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """Trains the configured run, unless it is finished, and returns what sweepers optimise: its best val/acc."""
    run = config.check(cfg)
    result = run.result()
    if result is None:
        from hybridnets.config.build import build
        from hybridnets.training import train

        yaml = OmegaConf.to_yaml(cfg, resolve=True)
        result = train(run, build(cfg), command=config.command(), configuration=yaml, checkpoint=cfg.ckpt_path)
    else:
        print(f"{run.name} is finished already: see {run.folder}")
    return config.value(result)


def command_line() -> int:
    """Runs `main` on the command line; a slip of the user's is one sentence and exit code 2, without a traceback."""
    with_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors, so that they can be told as one sentence
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config.register()
    if not {"-cd", "--config-dir", "-cp", "--config-path"} & {word.partition("=")[0] for word in sys.argv}:
        sys.argv[1:1] = ["--config-dir", str(HERE / "sweeps")]  # so that -cn paper works from any folder
    try:
        main()
    except JobFailed:  # told in the sweep's summary
        return 1
    except Exception as error:
        sentence = config.explain(error, HERE / "conf", sys.argv[1:])
        if sentence is None or with_traceback:
            raise
        print(f"train.py: {sentence}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(command_line())
