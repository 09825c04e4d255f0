"""The two subproblems of a generator's step: making inverse examples of its samples, and regressing it on them.

Source: Weber, Exploiting the Hidden Tasks of GANs: Making Implicit Subproblems Explicit (2021), eqs. 4 and 10.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from benchsuite.kit.nets import frozen
from benchsuite.kit.optimisers import OptimiserName, make_optimiser
from benchsuite.kit.similarity import ssim, total_variation

RegressionLoss = Literal["l2", "l1", "ssim"]


def _half_squares(x: Tensor, start: Tensor, change: Tensor) -> Tensor:
    return 0.5 * (x - start - change).square().sum()


def _absolute(x: Tensor, start: Tensor, change: Tensor) -> Tensor:
    return (x - start - change).abs().sum()


def _dissimilarity(x: Tensor, start: Tensor, change: Tensor) -> Tensor:
    return (1 - ssim(x, start + change, peak=2.0)).sum()


# delta_2 of x and the inverse example start + change, summed over batch and pixels: with a mean, eq. 13 would hold only
# up to their number. x - start is exactly 0 at the first step, so that a small change is not rounded away beside x.
REGRESSIONS: Mapping[RegressionLoss, Callable[[Tensor, Tensor, Tensor], Tensor]] = MappingProxyType(
    {"l2": _half_squares, "l1": _absolute, "ssim": _dissimilarity}
)


def inverse_change(
    critic: nn.Module,
    start: Tensor,
    delta_1: Callable[[Tensor], Tensor],
    *,
    rate: float,
    steps: int = 1,
    optimiser: OptimiserName = "sgd",
    smoothness: float = 0.0,
    autocast: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
) -> Tensor:
    """What ``steps`` steps, each of ``rate`` / ``steps``, add to ``start`` to make inverse examples of it, (N, *shape).

    Down the mean of ``delta_1``, a function of the critic's outputs (N,) -> (N,), and ``smoothness`` times total
    variation. Needs gradients to be enabled; parameters of ``critic`` take none.
    """
    change = torch.zeros_like(start).requires_grad_()
    descent = make_optimiser(optimiser, [change], rate / steps)
    with frozen(critic):
        for _ in range(steps):
            with autocast():
                loss = delta_1(critic(start + change)).mean()
            if smoothness:
                loss = loss + smoothness * total_variation(start + change).mean()
            descent.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            descent.step()
    return change.detach()
