"""Whether a score got worse: the test behind the gate, its error rate over a whole table, and what it can see.

A candidate's seeds are looked at once or twice. The first look, at few seeds, says ``regression`` only for what is
plain already; what it merely suspects gets more seeds and the last look. The looks share the chance of a false alarm,
by Bonferroni; the comparisons of a table share each look's, by Holm. So the chance that any score which did not get
worse is called a regression, in any look, is at most ``alarm``, whatever the correlation between scores.

Sources: Student, The Probable Error of a Mean (1908); Holm, A Simple Sequentially Rejective Multiple Test Procedure
(1979); Dunn, Multiple Comparisons Among Means (1961), on sharing the chance of an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isnan
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, stdtr, stdtrit
from scipy.stats import nct

from benchsuite.results.statistics import LEVEL, ROUNDING

FIRST_SHARE = 0.1  # of the chance of a false alarm, that is spent at the first look
OWN_SHARE = 0.1  # of what is spent at a look, on the test that goes by the baseline's spread alone
POWER = 0.95


class Difference(NamedTuple):
    """By how much a candidate's mean is worse than the baseline's: ``loss``, negative where it is better.

    ``sd`` is the standard deviation over seeds, pooled over both sides, ``error`` the standard error of ``loss``, both
    0 where no seed differs but by rounding; ``freedom`` the degrees of freedom. ``own_error`` and ``own_freedom`` are
    those by the baseline's spread alone.
    """

    loss: float
    sd: float
    error: float
    freedom: int
    own_error: float
    own_freedom: int

    @property
    def p_worse(self) -> float:
        """Of Student's one-sided t test against a loss of nothing: by the pooled spread, or by the baseline's alone.

        The second is for a candidate that blows up at some seeds, whose own spread would hide it. They share the
        chance of a false alarm, nine parts to one.
        """
        by_own = _tail(self.loss, self.own_error, self.own_freedom) if self.own_freedom else 1.0
        pooled = _tail(self.loss, self.error, self.freedom)
        return min(1.0, pooled / (1 - OWN_SHARE), by_own / OWN_SHARE)

    @property
    def p_better(self) -> float:
        """Of the pooled test against a gain of nothing."""
        return _tail(-self.loss, self.error, self.freedom)

    @property
    def half_width(self) -> float:
        """Of the 95% interval of ``loss``."""
        return float(stdtrit(self.freedom, (1 + LEVEL) / 2)) * self.error


def _tail(effect: float, error: float, freedom: int) -> float:
    if error == 0:
        return 0.0 if effect > 0 else 1.0
    return float(stdtr(freedom, -effect / error))


def difference(baseline: Sequence[float], candidate: Sequence[float], *, higher_is_better: bool) -> Difference:
    """The loss from ``baseline`` to ``candidate``, finite values by seed in any order, three or more together.

    Raises ValueError for fewer, or for an empty side.
    """
    a, b = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    freedom = len(a) + len(b) - 2
    if not len(a) or not len(b) or freedom < 1:
        raise ValueError(f"{len(a)} and {len(b)} values say nothing of how far seeds vary; a test needs three together")
    scale = float(max(np.abs(a).max(), np.abs(b).max())) or 1.0  # whose square may be more than a number holds
    a, b = a / scale, b / scale
    mean_a, mean_b = float(a.mean()), float(b.mean())
    squares_a, squares_b = float(((a - mean_a) ** 2).sum()), float(((b - mean_b) ** 2).sum())
    rounding = ROUNDING * max(abs(mean_a), abs(mean_b))
    sd = _spread(squares_a + squares_b, freedom, rounding) * scale
    own = _spread(squares_a, len(a) - 1, rounding) * scale
    loss = (mean_a - mean_b if higher_is_better else mean_b - mean_a) * scale
    width = (1 / len(a) + 1 / len(b)) ** 0.5
    return Difference(loss, sd, sd * width, freedom, own * width, len(a) - 1)


def _spread(squares: float, freedom: int, rounding: float) -> float:
    sd = (squares / max(1, freedom)) ** 0.5
    return sd if sd > rounding else 0.0


@dataclass(frozen=True)
class Look:
    """How many seeds are compared, and the share of the chance of a false alarm that is spent on it."""

    baseline: int
    candidate: int
    share: float = 1.0

    @property
    def freedom(self) -> int:
        """Degrees of freedom."""
        return self.baseline + self.candidate - 2

    def error(self, sd: float) -> float:
        """The standard error of the difference of means."""
        found: float = sd * (1 / self.baseline + 1 / self.candidate) ** 0.5
        return found

    def power(self, loss: float, level: float) -> float:
        """The chance that a loss of so many seed standard deviations is found at ``level``, for normal scores."""
        threshold = -float(stdtrit(self.freedom, level))
        shift = loss / self.error(1.0)
        found: float = nct.sf(threshold, self.freedom, shift)
        return float(shift > threshold) if isnan(found) else float(found)  # NaN is beyond what its series can do


def looks(baseline: int, candidate: int) -> tuple[Look, ...]:
    """The looks of a gate that begins with ``candidate`` seeds: one where these are as many as the baseline's."""
    if candidate >= baseline:
        return (Look(baseline, candidate, 1 - FIRST_SHARE),)
    return Look(baseline, candidate, FIRST_SHARE), Look(baseline, baseline, 1 - FIRST_SHARE)


def smallest_loss(
    steps: Sequence[Look], *, alarm: float, screen: float, comparisons: int, sd: float = 1.0, tolerance: float = 0.0
) -> float:
    """The smallest loss that is called a regression with 95% probability, in the unit of ``sd``.

    ``steps`` are those that are taken: a first look alone, a last alone, or both. A loss passes the first of two where
    its p is at most ``screen``. Of several comparisons it is what the least of them can see, by Bonferroni. For normal
    scores, whose standard deviation over seeds is known to be ``sd``; where two looks have to find the loss, their
    chances to miss it are added, so that the true value is a little less.
    """
    if sd == 0:
        return tolerance
    return sd * _smallest(tuple(steps), alarm, screen, comparisons, round(tolerance / sd, 3))


@lru_cache(maxsize=2**14)
def _smallest(steps: tuple[Look, ...], alarm: float, screen: float, comparisons: int, tolerance: float) -> float:
    """For a standard deviation of 1."""

    def missed(loss: float) -> float:
        chance = 1 - power(steps, loss, alarm=alarm, screen=screen, comparisons=comparisons)
        if tolerance:
            chance += float(ndtr((tolerance - loss) / steps[-1].error(1.0)))
        return chance - (1 - POWER)

    most = tolerance + 1
    while missed(most) > 0:
        most *= 2
    return float(brentq(missed, 0.0, most, rtol=1e-4))


def smallest_paired_loss(pairs: int, level: float, sd: float) -> float:
    """The mean of ``pairs`` differences that Student's one-sided test at ``level`` finds with 95% probability."""
    threshold = -float(stdtrit(pairs - 1, level))
    if sd == 0:
        return 0.0
    shift = brentq(lambda shift: float(nct.sf(threshold, pairs - 1, shift)) - POWER, 0.0, 3 * threshold + 10)
    least: float = shift * sd / pairs**0.5
    return least


def power(steps: Sequence[Look], loss: float, *, alarm: float, screen: float, comparisons: int) -> float:
    """The least chance that a loss of so many seed standard deviations is found; see smallest_loss."""
    found = [steps[-1].power(loss, alarm * (1 - OWN_SHARE) * steps[-1].share / comparisons)]
    if len(steps) > 1:
        found.append(steps[0].power(loss, screen * (1 - OWN_SHARE)))
    return max(0.0, sum(found) - (len(found) - 1))
