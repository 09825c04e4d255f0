"""What straight lines between codes decode to: ``path_length``, how straight and even, and ``path_from_average``.

Each line joins the codes of two training samples, drawn at random, and is decoded at evenly spaced points. Lines run
through whatever lies between, for a model whose codes lie on a sphere through its inside. Paths whose ends decode to
the same are left out.

Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks (2018), section 4.2 and Figure 2, which
shows that paths do not collapse to an average in their middle; the numbers are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from benchsuite import Metric, NotApplicableError, PositiveInt, Samples, Score, hookimpl
from benchsuite.kit.coding import CodesBy, decoded, decoder_of
from benchsuite.kit.latents import finite
from benchsuite.kit.lines import average, between

_POINTS = 128  # that are decoded at once, or those of one path
_ROUNDING = 1e-6  # of the lengths of two vectors: if they are nearer than that, float32 cannot tell them apart


def path_length(
    model: Any,
    codes_train: Tensor,
    extractor: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    *,
    features: str | None = "pixels",
    rows: PositiveInt = 256,
    codes_by: CodesBy = "own",
    steps: PositiveInt = 32,
    pairs: PositiveInt = 100,
) -> Score:
    """How far decoded lines are from straight and even, by distances of features; both rows are at least 1.

    Rows ``ratio``, the mean over paths of their length over the distance of their ends, 1 for a linear decoder; and
    ``largest_step``, the mean of the largest of ``steps`` steps over the mean step, 1 for even speed, ``steps`` for one
    jump.
    """
    ratios, speeds = [], []
    for x in _paths(model, codes_train, generator, steps, pairs):
        points = _apart(_vectors(extractor(x.flatten(0, 1))).view(*x.shape[:2], -1))
        moved = points.diff(dim=1).norm(dim=2)
        ratios.append(moved.sum(1) / (points[:, -1] - points[:, 0]).norm(dim=1))
        speeds.append(moved / moved.mean(1, keepdim=True))
    ratio, speed = _whole(ratios), _whole(speeds)
    values = {"ratio": float(ratio.mean()), "largest_step": float(speed.amax(1).mean())}
    return Score(values, n=len(ratio), arrays={"speed": speed.mean(0)})


def path_from_average(
    model: Any,
    codes_train: Tensor,
    train: Samples,
    generator: torch.Generator,
    *,
    rows: PositiveInt = 256,
    codes_by: CodesBy = "own",
    steps: PositiveInt = 32,
    pairs: PositiveInt = 100,
) -> Score:
    """How near paths come to the mean of the training data, over how near their ends are on average; at least 0.

    Rows ``path``, the mean over paths of the smallest such distance, and ``crossfade``, the same where the two ends are
    blended instead, which is what a linear decoder does and what comes near the average.
    """
    mean = average(train).flatten()
    along, blended = [], []
    for x in _paths(model, codes_train, generator, steps, pairs):
        points = _apart(_vectors(x.flatten(0, 1)).view(*x.shape[:2], -1))
        ends = (points[:, [0, -1]] - mean).norm(dim=2).mean(1, keepdim=True)
        crossfade = between(points[:, 0], points[:, -1], steps)
        along.append((points - mean).norm(dim=2) / ends)
        blended.append((crossfade - mean).norm(dim=2) / ends)
    path, crossfade = _whole(along), _whole(blended)
    values = {"path": float(path.amin(1).mean()), "crossfade": float(crossfade.amin(1).mean())}
    return Score(values, n=len(path), arrays={"path": path.mean(0), "crossfade": crossfade.mean(0)})


def _paths(model: Any, codes: Tensor, generator: torch.Generator, steps: int, pairs: int) -> Iterator[Tensor]:
    """Decoded lines between pairs of ``codes`` (N, d), a few at a time, (n, steps + 1, *shape).

    Raises NotApplicableError for a model without decoder, for fewer than two codes, and codes that are not finite.
    """
    decoder_of(model)  # that it is missing is said before anything is done
    count, codes = len(finite(codes)), codes if codes.is_floating_point() else codes.float()
    if count < 2:
        raise NotApplicableError(f"a path joins two codes; there is {count}")
    first = torch.randint(count, (pairs,), generator=generator)
    second = (first + 1 + torch.randint(count - 1, (pairs,), generator=generator)) % count
    at_once = max(1, _POINTS // (steps + 1))
    for start, end in zip(torch.split(first, at_once), torch.split(second, at_once), strict=True):
        z = between(codes[start.to(codes.device)], codes[end.to(codes.device)], steps)
        x = decoded(model, z.flatten(0, 1))
        yield x.reshape(*z.shape[:2], *x.shape[1:])


def _vectors(rows: Tensor) -> Tensor:
    """``rows`` (n, ...) flattened, (n, D), as float64 on the processor."""
    return rows.cpu().double().flatten(1)


def _apart(points: Tensor) -> Tensor:
    """Those of the paths (n, steps + 1, D) that have two ends."""
    lengths = points[:, [0, -1]].norm(dim=2).sum(1)
    return points[(points[:, -1] - points[:, 0]).norm(dim=1) > _ROUNDING * lengths]


def _whole(parts: Sequence[Tensor]) -> Tensor:
    """All of ``parts``, one row a path. Raises NotApplicableError where no path has two ends."""
    whole = torch.cat(list(parts))
    if not len(whole):
        raise NotApplicableError("the ends of every path decode to the same")
    return whole


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``path_length`` and ``path_from_average``."""
    return [
        Metric("path_length", path_length, higher_is_better=None, default=False),
        Metric("path_from_average", path_from_average, higher_is_better=None, default=False),
    ]
