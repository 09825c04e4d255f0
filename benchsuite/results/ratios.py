"""Seconds of training of two checkouts that ran in turn, by their ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchsuite.contracts import Record
from benchsuite.results.changes import identity_of
from benchsuite.results.comparing import fit_seconds
from benchsuite.results.detection import smallest_paired_loss
from benchsuite.results.rules import Rules
from benchsuite.results.statistics import MIN_SEEDS, holm, paired
from benchsuite.results.verdicts import Row

RATIO = "training_time_ratio"


def ratio_rows(before: Sequence[Record], after: Sequence[Record], rules: Rules) -> list[Row]:
    """A row for each method and dataset: whether training takes longer, by more than the tolerance of times.

    The mean is that of the ratio's logarithm over seeds, tested by Student's paired t test, one-sided and by Holm over
    all rows. With fewer than three pairs there is no test, and the row is not gated.

    Source: Kalibera and Jones, Rigorous Benchmarking in Reasonable Time (2013), on ratios of repeated runs.
    """
    logarithms = _logarithms(before, after)
    found = [paired(values[:, None]) for values in logarithms.values()]
    means = [float(one.mean[0]) for one in found]
    two_sided = [float(one.p[0]) for one in found]
    worse = holm(np.asarray([p / 2 if mean > 0 else 1 - p / 2 for mean, p in zip(means, two_sided, strict=True)]))
    better = holm(np.asarray([p / 2 if mean < 0 else 1 - p / 2 for mean, p in zip(means, two_sided, strict=True)]))
    return [
        _row(*place, values, float(of.half_width[0]), (float(p_worse), float(p_better)), rules, len(found))
        for (place, values), of, p_worse, p_better in zip(logarithms.items(), found, worse, better, strict=True)
    ]


def _logarithms(before: Sequence[Record], after: Sequence[Record]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Those of the ratios over seeds, by method and dataset."""
    seconds = {identity_of(record): fit_seconds(record) for record in after}
    ratios: dict[tuple[str, str], list[float]] = {}
    for record in before:
        method, dataset, _ = identity = identity_of(record)
        one, other = fit_seconds(record), seconds.get(identity)
        if one and other:
            ratios.setdefault((method, dataset), []).append(math.log(other / one))
    return {place: np.asarray(values, dtype=np.float64) for place, values in ratios.items()}


def _row(
    method: str,
    dataset: str,
    logarithms: NDArray[np.float64],
    half_width: float,
    p: tuple[float, float],
    rules: Rules,
    tests: int,
) -> Row:
    n, ratio, tolerance = len(logarithms), math.exp(logarithms.mean()), rules.time.amount
    row = Row(method, dataset, RATIO, unit="×", direction="min", seeds_baseline=n, seeds=n, baseline=1.0, value=ratio)
    row = replace(row, loss=ratio - 1, half_width=ratio * half_width, tolerance=tolerance)
    if n < MIN_SEEDS:
        return replace(row, verdict="ungated", reason=f"a test of times needs {MIN_SEEDS} pairs")
    sd = float(logarithms.std(ddof=1))
    sees = math.expm1(math.log1p(tolerance) + smallest_paired_loss(n, rules.alarm / tests, sd))
    row = replace(row, by="test", look="last", sd=sd, p=p[0] if ratio > 1 else p[1], sees=sees)
    if ratio > 1 + tolerance and p[0] <= rules.alarm:
        return replace(row, verdict="regression", reason=f"training takes {100 * (ratio - 1):.0f}% longer")
    if ratio < 1 / (1 + tolerance) and p[1] <= rules.alarm:
        return replace(row, verdict="improved")
    if ratio > 1 + tolerance and p[0] <= rules.screen:
        return replace(row, verdict="inconclusive", reason="more pairs would decide: --seeds")
    return row
