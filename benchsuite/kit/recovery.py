"""Recovery: finding the codes of given data by optimising them through a frozen decoder, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchsuite.kit.similarity import squared_error

_CHUNK = 1024  # codes optimised at once, restarts included: bounds memory, changes no result


@dataclass(frozen=True)
class Recovered:
    """``codes`` (N, d) and their per-sample mean squared ``error`` (N,), each the best of its restarts."""

    codes: Tensor
    error: Tensor


def recover(
    decode: Callable[[Tensor], Tensor],
    x: Tensor,
    starts: Tensor,
    *,
    steps: int = 250,
    learning_rate: float | None = None,
    project: Callable[[Tensor], Tensor] | None = None,
) -> Recovered:
    """Codes z that minimise ||decode(z) - x||^2 for each row of ``x`` by Adam, from every one of its ``starts``.

    ``x`` is (N, *shape) and ``starts`` (restarts, N, d). The loss is a sum over samples, so that a code's path does
    not depend on how many share its batch; ``decode`` must treat rows independently (evaluation mode).
    ``learning_rate`` is in units of codes and falls linearly to a tenth; by default 0.15 times the root mean square
    of the starts. ``project`` is applied after each step.

    Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks, section 4.4.
    """
    if learning_rate is None:
        learning_rate = 0.15 * float(starts.square().mean().sqrt())
    restarts, rows = starts.shape[0], max(1, _CHUNK // starts.shape[0])
    codes, errors = [], []
    for first in range(0, len(x), rows):
        start = starts[:, first : first + rows].flatten(0, 1)
        target = x[first : first + rows].repeat(restarts, *[1] * (x.ndim - 1))
        z = _descend(decode, target, start, steps, learning_rate, project)
        with torch.no_grad():
            error = squared_error(decode(z), target)
        error, z = error.view(restarts, -1), z.view(restarts, -1, z.shape[1])
        best = error.nan_to_num(nan=torch.inf).argmin(0)  # argmin alone would choose NaN
        columns = torch.arange(len(best), device=z.device)
        codes.append(z[best, columns])
        errors.append(error[best, columns])
    return Recovered(torch.cat(codes), torch.cat(errors))


def _descend(
    decode: Callable[[Tensor], Tensor],
    target: Tensor,
    start: Tensor,
    steps: int,
    learning_rate: float,
    project: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    z = start.clone()
    first, second = torch.zeros_like(z), torch.zeros_like(z if project is None else z[:, :1])
    for step in range(steps):
        with torch.enable_grad():
            z.requires_grad_()
            loss = (decode(z) - target).square().flatten(1).sum(1).sum()
            (gradient,) = torch.autograd.grad(loss, z)
        z = z.detach()
        # One scale a code where codes are projected: with one a coordinate, descent ends where the rescaled gradient
        # is normal to the set, which is not at the nearest code.
        squares = gradient.square() if project is None else gradient.square().mean(1, keepdim=True)
        first.lerp_(gradient, 0.1)
        second.lerp_(squares, 0.001)
        unbiased = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        rate = learning_rate * (1 - 0.9 * step / steps)
        z = z - rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8)
        if project is not None:
            with torch.no_grad():
                z = project(z)
    return z
