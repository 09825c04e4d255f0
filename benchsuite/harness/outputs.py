"""What a model returned, held to its contract."""

from __future__ import annotations

import torch
from torch import Tensor

from benchsuite.contracts import Dataset, DataSpec
from benchsuite.errors import ContractError, DivergedError

TOLERANCE = 1e-4  # how far outside [0, 1] rounding may take an image


def check_output(method: str, call: str, x: object, n: int, spec: DataSpec, dataset: Dataset) -> Tensor:
    """``x`` as float32, once it is what the contract promises; images are cut to [0, 1] at rounding.

    Raises ContractError for a wrong type, shape or range, DivergedError for NaN or infinity.
    """
    expected = (n, *spec.shape)
    if not isinstance(x, Tensor):
        raise ContractError(f"{method}: {call} returned a {type(x).__name__}; a tensor of shape {expected} is needed")
    if tuple(x.shape) != expected:
        raise ContractError(
            f"{method}: {call} returned shape {tuple(x.shape)}; dataset '{dataset.name}' needs {expected}"
        )
    x = x.to(torch.float32)
    if not bool(torch.isfinite(x).all()):
        raise DivergedError(f"{method}: {call} returned NaN or infinity")
    if spec.kind != "image":
        return x
    low, high = float(x.min()), float(x.max())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise ContractError(f"{method}: {call} returned values from {low:.4g} to {high:.4g}; images are in [0, 1]")
    return torch.clamp(x, 0, 1)
