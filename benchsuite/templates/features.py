"""TemplateName: brightness on a coarse grid, as features of images.

Source: own work. (Name the network and its training data here, and where its weights come from.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import benchsuite


@dataclass(frozen=True)
class TemplateName(benchsuite.FeatureExtractor):
    """Mean brightness in the cells of a grid."""

    name = "template_name"
    kind = "image"

    side: benchsuite.PositiveInt = 4

    def fingerprint(self, cache: Path) -> str:
        """Put the number up when the same image would have other features."""
        return f"template_name 1, side {self.side}"

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        """(N, C, H, W) in [0, 1] -> (N, C side^2)."""
        return lambda x: functional.adaptive_avg_pool2d(x, self.side).flatten(1)


@benchsuite.hookimpl
def benchsuite_features() -> Sequence[type[benchsuite.FeatureExtractor]]:
    """Provides ``template_name``."""
    return [TemplateName]
