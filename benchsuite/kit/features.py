"""Feature extraction in one pass, and weights that are verified before they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchsuite.errors import NotApplicableError
from benchsuite.kit.files import sha256
from benchsuite.kit.samples import Samples


def extract(
    samples: Samples, features: Callable[[Tensor], Tensor], device: torch.device, size: int = 256
) -> Iterator[Tensor]:
    """The features of all ``samples`` in order, (n, D) at a time, on ``device``."""
    with torch.no_grad():
        for batch in samples.batches(size):
            yield features(batch.to(device))


def verified_weights(path: Path, expected_sha256: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, once its SHA-256 is what it should be.

    Raises NotApplicableError where the file is absent or another one.
    """
    if not path.exists():
        raise NotApplicableError(f"weights {path.name} are not at {path.parent}")
    found = sha256(path)
    if found != expected_sha256:
        raise NotApplicableError(f"weights {path.name} have SHA-256 {found[:16]}..., not {expected_sha256[:16]}...")
    return load_file(path)
