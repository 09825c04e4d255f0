"""Timings are ratios to something measured alternately in the same run, since machines are shared and noisy.

Each ratio goes with its rounds into pytest-benchmark's report (``--benchmark-json FILE``), which ``ratios.py``
compares with those that are stored in ``benchmarks/baselines/speed.json``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Literal

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

Timed = Callable[[], float]  # does the work and returns the processor seconds that it took
Measured = Callable[[Timed, Timed], float]
_ROUNDS = 7


@pytest.fixture
def speedup(benchmark: BenchmarkFixture) -> Measured:
    """A function of the work of a peer and our own, run in turn: the median of how many times as fast ours is."""
    return lambda peer, ours: _measured(benchmark, peer, ours, better="high")


@pytest.fixture
def cost(benchmark: BenchmarkFixture) -> Measured:
    """A function of our own work and that of a peer, run in turn: the median of how many times as long ours takes."""
    return lambda ours, peer: _measured(benchmark, ours, peer, better="low")


def _measured(benchmark: BenchmarkFixture, first: Timed, second: Timed, *, better: Literal["high", "low"]) -> float:
    """The median over rounds of seconds of ``first`` over those of ``second``, kept in the report."""
    rounds: list[float] = benchmark.pedantic(_alternating, args=(first, second), rounds=1)
    benchmark.extra_info |= {"ratios": rounds, "better": better}
    return statistics.median(rounds)


def _alternating(first: Timed, second: Timed) -> list[float]:
    ratios = []
    for number in range(_ROUNDS):
        if number % 2:
            denominator, numerator = second(), first()
        else:
            numerator, denominator = first(), second()
        ratios.append(numerator / denominator)
    return ratios
