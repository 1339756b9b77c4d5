"""A model's optimiser and schedule before anything is trained, and the optimisers that a run cannot have."""

import inspect
from typing import Any

import torch

from hybridnets.models import Classifier


def optimizer_and_schedule(model: Classifier) -> tuple[Any, Any]:
    """A new optimiser of a model and its schedule, or None; both are None for a model that configures several optimisers."""
    configured = model.configure_optimizers()
    if isinstance(configured, torch.optim.Optimizer):
        return configured, None
    if not isinstance(configured, dict):
        return None, None
    schedule = configured.get("lr_scheduler")
    return configured["optimizer"], schedule["scheduler"] if isinstance(schedule, dict) else schedule


def check_optimizer(optimizer: torch.optim.Optimizer | None) -> None:
    """Refuses an optimiser that does not step by the dense gradients of one evaluation of a batch.

    Raises:
        ValueError: If it evaluates a batch several times, as LBFGS does, or takes only sparse gradients.
    """
    if optimizer is None:
        return
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure and closure.default is inspect.Parameter.empty:
        reason = "it evaluates a batch several times a step, and each would count in train/loss and train/acc"
    elif isinstance(optimizer, torch.optim.SparseAdam):
        reason = "it takes sparse gradients only, and those of images are dense"
    else:
        return
    raise ValueError(
        f"optimizer._target_ must be one that steps by a batch's gradients, got {type(optimizer).__name__}: {reason}"
    )
