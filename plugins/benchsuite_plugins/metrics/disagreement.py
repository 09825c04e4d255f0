"""``disagreement_quality``: whether draws of the prior that are far from the codes of data decode to worse samples.

The paper shows 20 such samples and finds them of poor quality by eye. Here the quality of a sample is its distance from
the nearest training image, in features: large for what looks like no image of the data. Distance from the codes is as
in ``prior_disagreement``: from the nearest code, or, as in the paper, the mean squared distance, which orders draws as
their distance from the mean code does.

Source: Kilcher, Lucchi, Hofmann, Flexible Prior Distributions for Deep Generative Models (2017), section 4.2 and Figure
3; its codes are those of ``codes_by=reversal``, its order ``distance=mean``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from benchsuite import Between, DivergedError, Metric, Model, PositiveInt, Score, hookimpl
from benchsuite.kit.coding import CodesBy, decoded, prior_draws
from benchsuite.kit.latents import standardised
from benchsuite.kit.neighbours import nearest

Distance = Literal["nearest", "mean"]

_SHOWN = 20  # draws, as in the paper
_BATCH = 256  # samples whose features are computed at once


def disagreement_quality(
    model: Model,
    codes_train: Tensor,
    real_features: Tensor,
    extractor: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    *,
    features: str | None = None,
    rows: PositiveInt = 1024,
    codes_by: CodesBy = "own",
    draws: Annotated[int, Between(2)] = 1000,
    distance: Distance = "nearest",
) -> Score:
    """The distance of samples from the nearest training image, in features, at least 0.

    Rows ``farthest`` and ``nearest``, means over the 20 draws of the prior that are farthest from the codes of data and
    nearest to them (half of the draws, where these are fewer than 40), ``all``, and ``correlation``, Spearman's of the
    two distances over the draws, in [-1, 1], 0 where either is the same for all. Raises NotApplicableError without
    prior or decoder.
    """
    drawn = prior_draws(model, draws, generator)
    prior = getattr(model, "prior", None)
    far = _from_codes(standardised(drawn, prior), standardised(codes_train, prior), distance)
    samples = decoded(model, drawn)
    found = torch.cat([extractor(part).flatten(1) for part in torch.split(samples, _BATCH)])
    if not bool(found.isfinite().all()):
        raise DivergedError("the features of decoded draws are NaN or infinity")
    quality = nearest(found, real_features)[0].cpu()
    order = far.argsort(descending=True, stable=True)
    shown = min(_SHOWN, draws // 2)
    values = {
        "farthest": float(quality[order[:shown]].mean()),
        "nearest": float(quality[order[-shown:]].mean()),
        "all": float(quality.mean()),
        "correlation": _rank_correlation(far, quality),
    }
    return Score(values, n=draws, arrays={"from_codes": far, "from_data": quality})


def _from_codes(draws: Tensor, codes: Tensor, distance: Distance) -> Tensor:
    """Of each of ``draws`` (n, d) how far it is from ``codes`` (N, d), (n,); by the mean up to a monotone function."""
    if distance == "nearest":
        return nearest(draws, codes)[0].cpu()
    from_mean: Tensor = (draws - codes.mean(0)).norm(dim=1)
    return from_mean.cpu()


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation of (n,) and (n,), ties at their mean ranks; 0 where either is constant."""
    x, y = (_ranks(v) - (len(v) - 1) / 2 for v in (a, b))
    size = float(x.norm() * y.norm())
    return float(x @ y) / size if size else 0.0


def _ranks(v: Tensor) -> Tensor:
    """The rank of each of (n,), from 0, equal ones at the mean of theirs, float64."""
    _, group, sizes = torch.unique(v, return_inverse=True, return_counts=True)
    last = sizes.cumsum(0).double() - 1
    ranks: Tensor = (last - (sizes - 1) / 2)[group]
    return ranks


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``disagreement_quality``, where it is named."""
    return [Metric("disagreement_quality", disagreement_quality, higher_is_better=None, default=False)]
