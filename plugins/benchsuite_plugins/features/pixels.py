"""``pixels``: the numbers of a sample themselves, flattened, for vectors and as a floor for what features add.

Source: own work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchsuite import FeatureExtractor, hookimpl


@dataclass(frozen=True)
class Pixels(FeatureExtractor):
    """The numbers of a sample themselves, flattened: (N, *shape) -> (N, D) float32."""

    name = "pixels"
    kept = False  # a copy of the data would take more room than work

    def fingerprint(self, cache: Path) -> str:
        """There are no weights and no preprocessing."""
        return "pixels"

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        """Flattening."""
        return lambda samples: samples.to(torch.float32).flatten(1)


@hookimpl
def benchsuite_features() -> Sequence[type[FeatureExtractor]]:
    """Provides ``pixels``."""
    return [Pixels]
