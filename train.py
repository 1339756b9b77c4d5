"""Trains one run, or with -m a sweep of them: `python train.py --help`."""

import logging
import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from hybridnets import config

HERE = Path(__file__).parent


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """Trains the configured run, unless it is finished, and returns what sweepers optimise: its best val/acc."""
    run = config.check(cfg)
    result = run.result()
    if result is None:
        from hybridnets.config.build import build
        from hybridnets.training import train

        result = train(run, build(cfg), OmegaConf.to_yaml(cfg, resolve=True), cfg.ckpt_path)
    else:
        print(f"{run.name} is finished already, in {run.folder}")
    return config.value(result)


if __name__ == "__main__":
    with_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors, and they can be told as one sentence
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config.register()
    if not {"-cd", "--config-dir", "-cp", "--config-path"} & {word.partition("=")[0] for word in sys.argv}:
        sys.argv[1:1] = ["--config-dir", str(HERE / "sweeps")]  # so that -cn paper works from any folder
    try:
        main()
    except Exception as error:
        sentence = config.explain(error, HERE / "conf", sys.argv[1:])
        if sentence is None or with_traceback:
            raise
        print(f"train.py: {sentence}", file=sys.stderr)
        sys.exit(2)
