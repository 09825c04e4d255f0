"""A run against a baseline: a verdict for each method, dataset and metric.

Rows match by label, data, protocol and seed, see benchsuite.results.matching. A score whose bits are the baseline's at
every seed passes. Others are tested over seeds, see benchsuite.results.detection; with fewer than three seeds in the
baseline there is no test, and the means over common seeds are held to the tolerance alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchsuite.contracts import Record
from benchsuite.kit.text import clean, plural
from benchsuite.results.changes import cell_changes
from benchsuite.results.detection import Difference, Look, looks, smallest_loss
from benchsuite.results.matching import Pair, joined, match, ordered
from benchsuite.results.rules import Rules
from benchsuite.results.sides import side_of
from benchsuite.results.statistics import holm
from benchsuite.results.summary import p_value
from benchsuite.results.verdicts import Row, in_order

BASELINE, RUN = "the baseline", "this run"


def judge(
    baseline: Sequence[Record],
    records: Sequence[Record],
    missing: Iterable[Mapping[str, Any]],
    rules: Rules,
    *,
    escalates: bool,
) -> tuple[tuple[Row, ...], int]:
    """The verdicts on ``records`` and the ``missing`` cells of their plan, the worst first, and how many were tested.

    ``escalates`` says that suspects get the rest of the baseline's seeds, after ``rules.seeds`` to begin with, which
    is what the smallest loss that can be seen goes by.
    """
    a, b = side_of(BASELINE, baseline), side_of(RUN, records, missing)
    found = [match(key, a, b, rules) for key in ordered(a, b)]
    rows = [one for one in found if isinstance(one, Row)]
    pairs = [one for one in found if isinstance(one, Pair)]
    rows += _tested(pairs, rules, escalates)
    told = [replace(row, reason=clean(row.reason, markdown=False)) for row in rows]
    return in_order(told), len(pairs)


def changes_of(baseline: Sequence[Record], records: Sequence[Record]) -> tuple[str, ...]:
    """Sentences on what else differs between cells of both sides: parameters, settings, code, data."""
    a, b = side_of(BASELINE, baseline), side_of(RUN, records)
    return tuple(dict.fromkeys(cell_changes(a.records, b.records)["sentence"]))


def _tested(pairs: Sequence[Pair], rules: Rules, escalates: bool) -> Iterator[Row]:
    """The rows of ``pairs``, whose p are adjusted all together."""
    differences = [pair.difference for pair in pairs]
    worse = _adjusted([d.p_worse for d in differences], pairs)
    better = _adjusted([d.p_better for d in differences], pairs)
    for pair, of_pair, p_worse, p_better in zip(pairs, differences, worse, better, strict=True):
        tolerance = rules.tolerance_of(pair.row.metric, pair.selection).of(pair.row.baseline)
        row = replace(
            pair.row,
            by="test",
            look="first" if pair.is_first else "last",
            loss=of_pair.loss,
            half_width=of_pair.half_width,
            sd=of_pair.sd,
            p=p_worse if of_pair.loss > 0 else p_better,
            tolerance=tolerance,
            sees=smallest_loss(
                _steps(pair, rules, escalates),
                alarm=rules.alarm,
                screen=rules.screen,
                comparisons=len(pairs),
                sd=of_pair.sd,
                tolerance=tolerance,
            ),
        )
        yield _decided(row, of_pair, p_worse, p_better, rules)


def _adjusted(p: Sequence[float], pairs: Sequence[Pair]) -> list[float]:
    """Each p over the share of its look, then by Holm."""
    shared = [min(1.0, one / pair.look.share) for one, pair in zip(p, pairs, strict=True)]
    return [float(one) for one in holm(np.asarray(shared, dtype=np.float64))]


def _steps(pair: Pair, rules: Rules, escalates: bool) -> Sequence[Look]:
    """The looks that a loss had to pass, or has to."""
    if escalates:
        return looks(pair.tried[0], min(rules.seeds, pair.tried[1]))
    return (pair.look,)


def _decided(row: Row, of_row: Difference, p_worse: float, p_better: float, rules: Rules) -> Row:
    tolerance = row.tolerance
    if row.loss > tolerance and p_worse <= rules.alarm:
        return replace(row, verdict="regression")
    if -row.loss > tolerance and p_better <= rules.alarm:
        return replace(row, verdict="improved")
    if row.look == "first" and of_row.p_worse <= rules.screen and row.loss + row.half_width > tolerance:
        at = f"{row.seeds} of the baseline's {plural(row.seeds_baseline, 'seed')}"
        more = f"suspected at {at} (p {p_value(of_row.p_worse)} by itself); --run runs the others"
        return replace(row, verdict="inconclusive", reason=joined(row.reason, more))
    if row.look == "last" and row.loss > tolerance and p_worse <= rules.screen:
        why = "a loss that the seeds neither prove nor let pass"
        return replace(row, verdict="inconclusive", reason=joined(row.reason, why))
    return row
