"""What a plugin's function returned, held to the shape and range that its contract promises."""

from __future__ import annotations

import torch
from torch import Tensor

from benchsuite.harness.outputs import TOLERANCE
from benchsuite.testing.contract import BrokenContractError


def check_returned(x: object, *, call: str, shape: tuple[int, ...], image: bool = False, read: str) -> Tensor:
    """``x`` as a tensor. Raises BrokenContractError unless it is finite, of this ``shape`` and, an image, in [0, 1]."""
    got = _wrong(x, shape, image)
    if got is None:
        assert isinstance(x, Tensor)
        return x
    expected = f"{call} returns numbers of shape {shape}, finite{' and in [0, 1]' if image else ''}"
    raise BrokenContractError(expected=expected, got=got, read=read)


def _wrong(x: object, shape: tuple[int, ...], image: bool) -> str | None:
    if not isinstance(x, Tensor):
        return f"a {type(x).__name__}, which is no tensor"
    if tuple(x.shape) != shape:
        return f"shape {tuple(x.shape)}"
    if x.is_complex() or not (x.is_floating_point() or x.dtype in (torch.int64, torch.int32)):
        return f"numbers of type {x.dtype}"
    if not bool(torch.isfinite(x).all()):
        return "NaN or infinity among them"
    low, high = float(x.min()), float(x.max())
    if image and (low < -TOLERANCE or high > 1 + TOLERANCE):
        return f"values from {low:.4g} to {high:.4g}"
    return None
