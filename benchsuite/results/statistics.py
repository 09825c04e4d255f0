"""What several seeds say: mean, spread and interval, and whether they decide a comparison. Never the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

MIN_SEEDS = 3  # below which a spread says next to nothing


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


def _half_width(data: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Of Student's t interval of the mean over the last axis."""
    n = data.shape[-1]
    width: NDArray[np.float64] = stdtrit(n - 1, (1 + level) / 2) * data.std(axis=-1, ddof=1) / n**0.5
    return width
