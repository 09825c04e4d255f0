"""Timings are ratios to something measured alternately in the same run, since machines are shared and noisy."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest

Timed = Callable[[], float]  # does the work and returns the processor seconds that it took


@pytest.fixture
def alternating_ratio() -> Callable[[Timed, Timed], float]:
    """A function of two works: the median over 7 rounds, run in turn, of seconds of the first over the second's."""

    def ratio(first: Timed, second: Timed) -> float:
        ratios = []
        for number in range(7):
            if number % 2:
                denominator, numerator = second(), first()
            else:
                numerator, denominator = first(), second()
            ratios.append(numerator / denominator)
        return statistics.median(ratios)

    return ratio
