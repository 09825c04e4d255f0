"""Points between codes or images, and the average image that lies in the midst of them."""

from __future__ import annotations

import torch
from torch import Tensor

from benchsuite.kit.samples import Samples

_BATCH = 256


def between(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Evenly spaced points from ``start`` to ``end`` (n, *shape), both of them included: (n, steps + 1, *shape).

    >>> between(torch.zeros(1, 1), torch.ones(1, 1), 2).flatten().tolist()
    [0.0, 0.5, 1.0]
    """
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64).to(start)
    return torch.lerp(start[:, None], end[:, None], times.view(-1, *[1] * (start.ndim - 1)))


def average(samples: Samples) -> Tensor:
    """The mean of ``samples``, (*shape), in float64 on the processor. Raises ValueError where there are none."""
    if not len(samples):
        raise ValueError("no samples have no average")
    total = torch.zeros(samples.shape, dtype=torch.float64)
    for batch in samples.batches(_BATCH):
        total += batch.cpu().double().sum(0)
    return total / len(samples)
