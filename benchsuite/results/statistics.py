"""What several seeds say: mean, spread and interval, and whether they decide a comparison. Never the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

MIN_SEEDS = 3  # below which a spread says next to nothing
BOOTSTRAP_SEEDS = 20  # below which resampling a few values covers much less than it says: 75% instead of 95% for three
LEVEL = 0.95
_DRAWS = 2000
ROUNDING = 1e-12  # relative to a mean, below which differences are those of floating point


@dataclass(frozen=True)
class Summary:
    """``n`` values by their mean, standard deviation (n - 1) and the half width of their confidence interval.

    ``sd`` is None for one value, ``half_width`` below three.
    """

    n: int
    mean: float
    sd: float | None
    half_width: float | None


def summarise(values: Sequence[float], level: float = 0.95) -> Summary:
    """The mean of ``values`` with Student's t interval from three finite values up. Raises ValueError for none.

    Source: Student, The Probable Error of a Mean (1908).
    """
    if not values:
        raise ValueError("a summary needs at least one value")
    data = np.asarray(values, dtype=np.float64)
    n, mean = len(data), float(data.mean())
    if n < 2 or not np.isfinite(data).all():
        return Summary(n, mean, None, None)
    sd = float(data.std(ddof=1))
    if n < MIN_SEEDS:
        return Summary(n, mean, sd, None)
    return Summary(n, mean, sd, float(_half_width(data, level)))


def decide(
    differences: NDArray[np.float64], *, strict: Sequence[bool], quantities: int = 1, level: float = 0.95
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether every part of a claim holds, and whether it fails, for ``differences`` (parts, ..., seeds).

    Each part says that its difference is above zero where it is ``strict``, else not below it. A part holds where the
    whole interval of its mean over seeds says so, and the claim where all parts do. A part fails where the whole
    interval says the opposite, at the level 1 - (1 - ``level``) / ``quantities``, and the claim where any part does:
    this correction by Bonferroni keeps several chances to fail at the rate of one. ``quantities`` is how many of the
    differences are free; parts that bound one quantity from both sides count once. An interval without width is a
    point. Both results have the shape of the middle axes; where neither is true, the seeds decide nothing.

    Raises ValueError for fewer than three seeds or a number that is not finite.
    Source: Student, The Probable Error of a Mean (1908); Berger, Multiparameter Hypothesis Testing and Acceptance
    Sampling (1982), on why holding needs no correction.
    """
    if differences.shape[-1] < MIN_SEEDS or not np.isfinite(differences).all():
        raise ValueError(f"a decision needs at least {MIN_SEEDS} seeds, and finite numbers")
    mean = differences.mean(axis=-1)
    low = mean - _half_width(differences, level)
    high = mean + _half_width(differences, 1 - (1 - level) / quantities)
    is_strict = np.reshape(np.asarray(strict), (len(strict),) + (1,) * (mean.ndim - 1))
    holds = np.where(is_strict, low > 0, low >= 0)
    fails = np.where(is_strict, high <= 0, high < 0)
    return holds.all(axis=0), fails.any(axis=0)


class Paired(NamedTuple):
    """Paired differences over seeds, each field with one value for each pair (pairs,).

    ``n`` counts the seeds that both have a finite value for, ``mean`` is the mean difference, ``half_width`` that of
    its confidence interval, ``p`` the two-sided p-value of Student's paired t test; both are NaN below three seeds.
    """

    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    half_width: NDArray[np.float64]
    p: NDArray[np.float64]


def paired(differences: NDArray[np.float64], level: float = LEVEL) -> Paired:
    """The paired t test of ``differences`` (seeds, pairs), where what is not finite counts as missing.

    Differences that are the same at every seed have an interval without width: they are not due to seeds, so that p is
    0, or 1 where they are zero.
    Source: Student, The Probable Error of a Mean (1908).
    """
    known = np.isfinite(differences)
    n = known.sum(axis=0)
    enough = n >= MIN_SEEDS
    values = np.where(known, differences, 0.0)
    mean = values.sum(axis=0) / np.maximum(n, 1)
    error = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0) ** 0.5 / np.maximum(n * (n - 1), 1) ** 0.5
    error[error <= ROUNDING * np.abs(mean)] = 0.0
    freedom = np.maximum(n - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(error > 0, 2 * stdtr(freedom, -np.abs(mean) / error), np.where(mean == 0, 1.0, 0.0))
    half_width = stdtrit(freedom, (1 + level) / 2) * error
    return Paired(n, np.where(n > 0, mean, np.nan), np.where(enough, half_width, np.nan), np.where(enough, p, np.nan))


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The p-values (tests,), adjusted so that the chance of any false rejection among them all is what they say.

    NaN, of what was not tested, stays so and counts as no test.
    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return adjusted


def resampled(values: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """The percentile bootstrap interval of the mean of ``values``, the same each time; None below 20 finite values.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    data = np.asarray(values, dtype=np.float64)
    if len(data) < BOOTSTRAP_SEEDS or not np.isfinite(data).all():
        return None
    from scipy.stats import bootstrap  # which takes half a second to import, and few runs need

    options: dict[str, Any] = {"method": "percentile", "n_resamples": _DRAWS, "confidence_level": level}
    found = bootstrap((data,), np.mean, vectorized=True, rng=np.random.default_rng(0), **options)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _half_width(data: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Of Student's t interval of the mean over the last axis."""
    n = data.shape[-1]
    width: NDArray[np.float64] = stdtrit(n - 1, (1 + level) / 2) * data.std(axis=-1, ddof=1) / n**0.5
    return width
