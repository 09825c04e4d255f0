"""What several seeds say: mean, spread and interval. Never the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
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
    quantile = float(stdtrit(n - 1, (1 + level) / 2))
    return Summary(n, mean, sd, quantile * sd / n**0.5)
