"""TemplateName: points near two arcs that lie in each other, labelled by their arc.

Source: own work. (Say here where your data come from, and under which licence.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import benchsuite


@dataclass(frozen=True)
class TemplateName(benchsuite.Dataset):
    """Two noisy arcs in the plane."""

    name = "template_name"
    kind = "vector"
    latent_dim = 2

    points: benchsuite.PositiveInt = 2000
    noise: benchsuite.NonNegative = 0.05

    def load(self, split: benchsuite.Split, cache: Path) -> benchsuite.Samples:
        """The same points each time; a generator of their own leaves everybody's seeds alone."""
        generator = torch.Generator().manual_seed(0 if split == "train" else 1)
        n = self.points if split == "train" else max(1, self.points // 4)
        arc = torch.arange(n) % 2
        angle = math.pi * (torch.rand(n, generator=generator) + arc)
        x = torch.stack([angle.cos() + arc, angle.sin() + arc / 2], 1)
        return benchsuite.Samples(x + self.noise * torch.randn(n, 2, generator=generator), arc)


@benchsuite.hookimpl
def benchsuite_datasets() -> Sequence[type[benchsuite.Dataset]]:
    """Provides ``template_name``."""
    return [TemplateName]
