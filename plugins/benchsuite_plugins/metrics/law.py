"""Scores on data whose law is known: moments of the samples, and the distance of q(z | x) from the posterior.

Source: Velasquez Vergara, Generative Adversarial Networks (2017), Table 1 and section 4.2.1, which shows its posteriors
as pictures only; the Kolmogorov-Smirnov distance of |z| puts a number to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchsuite import Metric, NotApplicableError, Samples, hookimpl
from benchsuite.kit.moments import Moments

_LARGEST = 8  # coordinates that get rows of their own
_DRAWS = 4000
_OBSERVED = (1.0, 5.0, 10.0, 30.0)


def moments(generated: Samples) -> Mapping[str, float]:
    """Mean and standard deviation of each coordinate of the samples, of vectors with at most 8."""
    if generated.kind != "vector" or generated.shape[0] > _LARGEST:
        raise NotApplicableError(f"moments are for vectors of at most {_LARGEST} coordinates; got {generated.shape}")
    found = Moments.of([generated[:]])
    names = [f".{i}" for i in range(generated.shape[0])] if generated.shape[0] > 1 else [""]
    means = {f"mean{name}": float(value) for name, value in zip(names, found.mean, strict=True)}
    deviations = found.covariance.diagonal().sqrt()
    return means | {f"std{name}": float(value) for name, value in zip(names, deviations, strict=True)}


def moment_error(generated: Samples, truth: Any) -> Mapping[str, float]:
    """The largest error of a coordinate's mean and of an entry of the covariance against the law of the data."""
    if not hasattr(truth, "covariance"):
        raise NotApplicableError("the law of this dataset states no moments")
    found = Moments.of([generated[:].cpu()])
    return {
        "mean": float((found.mean - truth.mean).abs().max()),
        "covariance": float((found.covariance - truth.covariance).abs().max()),
    }


def posterior_ks(model: Any, truth: Any, generator: torch.Generator) -> Mapping[str, float]:
    """The Kolmogorov-Smirnov distance of |z| under q(z | x) to the posterior, for x = 1, 5, 10 and 30; and how far from
    uniform the angle of z is, as the length of its mean direction (``angle``, the largest of the four)."""
    if not hasattr(truth, "posterior_radius_cdf"):
        raise NotApplicableError("the law of this dataset states no posterior")
    if not hasattr(model, "posterior_sample"):
        raise NotApplicableError("the method samples no posterior")
    if not isinstance(getattr(model, "law", None), type(truth)):
        raise NotApplicableError("the method's posterior is that of another model; select likelihood=exponential")
    device = next(model.parameters()).device
    rows, lengths = {}, []
    for x in _OBSERVED:
        z = model.posterior_sample(torch.full((_DRAWS, 1), x, device=device), generator).double().cpu()
        radius = z.norm(dim=1).sort().values
        below = torch.arange(_DRAWS, dtype=torch.float64) / _DRAWS
        cdf = truth.posterior_radius_cdf(radius, x)
        rows[f"x={x:g}"] = float(torch.maximum(cdf - below, below + 1 / _DRAWS - cdf).max())
        lengths.append(float((z / z.norm(dim=1, keepdim=True)).mean(0).norm()))
    return rows | {"angle": max(lengths)}


@hookimpl
def benchsuite_metrics() -> Sequence[Metric]:
    """Provides ``moments``, ``moment_error`` and ``posterior_ks``."""
    return [
        Metric("moments", moments, higher_is_better=None, kind="vector"),
        Metric("moment_error", moment_error, higher_is_better=False, kind="vector"),
        Metric("posterior_ks", posterior_ks, higher_is_better=False, kind="vector"),
    ]
