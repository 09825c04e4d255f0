"""A run against a baseline: a verdict for each method, dataset and metric.

Rows match by label, data, protocol and seed. A score whose bits are the baseline's at every seed passes. Others are
tested over seeds, see benchsuite.results.detection; with fewer than three seeds in the baseline there is no test, and
the means over common seeds are held to the tolerance alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchsuite.contracts import MetricRow, Record
from benchsuite.kit.text import clean, named, plural
from benchsuite.results.changes import cell_changes, protocol_changes
from benchsuite.results.detection import Difference, Look, difference, looks, smallest_loss
from benchsuite.results.rates import fails_more_often
from benchsuite.results.rules import Rules
from benchsuite.results.sides import Key, Side, said, side_of, why_absent
from benchsuite.results.statistics import MIN_SEEDS, holm
from benchsuite.results.verdicts import Row, Verdict, in_order

BASELINE, RUN = "the baseline", "this run"


@dataclass(frozen=True)
class _Pair:
    """The values of one score by seed, on both sides, both finite; ``difference`` where they are to be tested."""

    row: Row
    rules: Rules
    a: Mapping[int, float]
    b: Mapping[int, float]
    selection: str

    @property
    def difference(self) -> Difference:
        best_is_high = self.row.direction == "max"
        return difference([*self.a.values()], [*self.b.values()], higher_is_better=best_is_high)

    @property
    def look(self) -> Look:
        """The one that is being taken."""
        return looks(len(self.a), len(self.b))[0]

    @property
    def is_first(self) -> bool:
        return len(self.b) < len(self.a)


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
    found = [_match(key, a, b, rules) for key in _ordered(a, b)]
    rows = [one for one in found if isinstance(one, Row)]
    pairs = [one for one in found if isinstance(one, _Pair)]
    rows += _tested(pairs, rules, escalates)
    told = [replace(row, reason=clean(row.reason, markdown=False)) for row in rows]
    return in_order(told), len(pairs)


def changes_of(baseline: Sequence[Record], records: Sequence[Record]) -> tuple[str, ...]:
    """Sentences on what else differs between cells of both sides: parameters, settings, code, data."""
    a, b = side_of(BASELINE, baseline), side_of(RUN, records)
    return tuple(dict.fromkeys(cell_changes(a.records, b.records)["sentence"]))


def _ordered(a: Side, b: Side) -> list[Key]:
    """Everything that the baseline has a number or a failure of, and then what only the run has a number of."""
    failed = [key for key, rows in a.lacking.items() if any(row.status != "skipped" for row in rows.values())]
    named_otherwise = [key for key in failed if key in a.scored and key not in a.values]
    keys = dict.fromkeys([*a.values, *(key for key in failed if key not in named_otherwise), *b.values])
    places = {pair: place for place, pair in enumerate(dict.fromkeys((dataset, method) for dataset, _, method in keys))}
    return sorted(keys, key=lambda key: places[key[0], key[2]])


def _match(key: Key, a: Side, b: Side, rules: Rules) -> Row | _Pair | None:
    """The verdict on one score, or what has to be tested for it; None where there is nothing to say."""
    dataset, metric, method = key
    of_a, of_b = a.values.get(key, {}), b.values.get(key, {})
    row = Row(method, dataset, metric)
    if not of_a:
        return _without_baseline(row, key, a, b)
    known = a.rows[key]
    values = next(iter(of_a.values()))
    row = replace(row, unit=known.unit, direction=known.direction, seeds_baseline=len(values), baseline=_mean(values))
    if len(of_a) > 1:
        return replace(row, verdict="changed", reason="the baseline has scores by several protocols; set it again")
    if reason := _other_data(method, dataset, a, b):
        return replace(row, verdict="changed", reason=reason)
    if not of_b:
        kind, reason = why_absent(key, known.selection, b)
        return replace(row, verdict="new failure" if kind == "failed" else "missing", reason=reason)
    now = b.rows[key]
    if [*of_a] != [*of_b]:
        said_of = protocol_changes(known, now) if [*of_a] != [now.fingerprint] else "of some seeds"
        return replace(row, verdict="changed", reason=f"the protocol changed: {said_of}")
    if reason := _other_meaning(known, now):
        return replace(row, verdict="changed", reason=reason)
    run_values = of_b[known.fingerprint]
    row = replace(row, seeds=len(run_values), value=_mean(run_values))
    row = replace(row, direction=rules.direction_of(metric, known.selection, known.direction))
    failures, more = _failures(key, known.selection, a, b, rules)
    if more:
        return replace(row, verdict="new failure", by="rate" if a.failed(key, known.selection) else "", reason=failures)
    cautions = "; ".join(f"caution: {text}" for text in b.cautions.get(key, []))
    row = replace(row, reason="; ".join(text for text in (failures, cautions) if text))
    return _compared(row, known.selection, values, run_values, rules)


def _mean(values: Mapping[int, float]) -> float:
    with np.errstate(invalid="ignore"):
        return float(np.mean([*values.values()]))


def _without_baseline(row: Row, key: Key, a: Side, b: Side) -> Row | None:
    """What the baseline has no number of."""
    of_b = b.values.get(key, {})
    selection = b.rows[key].selection if key in b.rows else key[1]
    failed = a.failed(key, selection)
    if of_b:
        now = b.rows[key]
        values = next(iter(of_b.values()))
        row = replace(row, unit=now.unit, direction=now.direction, seeds=len(values), value=_mean(values))
        if failed:
            return replace(row, verdict="improved", reason=f"it failed in the baseline: {said(failed)}")
        return replace(row, verdict="new", reason="the baseline does not have it; set it again to gate it")
    if selection in {selection for _, selection, method in b.scored if method == key[2]}:
        return None  # a metric that failed has its own name, one that did not those of what it found
    kind, reason = why_absent(key, selection, b)
    if kind == "failed":
        return replace(row, reason=f"it fails as it did in the baseline: {reason}")
    return replace(row, verdict="missing", reason=reason)


def _other_data(method: str, dataset: str, a: Side, b: Side) -> str:
    """Whether the data changed: other bytes, and other code or parameters. Rounding may change the bytes alone, and a
    refactoring the code alone."""
    before, after = _data(method, dataset, a), _data(method, dataset, b)
    if not before or not after or before.data == after.data:
        return ""
    if before.cell.dataset_fingerprint == after.cell.dataset_fingerprint:
        return ""
    return f"the data changed: {before.data} -> {after.data}; scores on other data do not compare"


def _data(method: str, dataset: str, side: Side) -> Record | None:
    """The first record that says what its data were."""
    records = (record for key, record in side.records.items() if key[:2] == (method, dataset) and record.data)
    return next(records, None)


def _other_meaning(known: MetricRow, now: MetricRow) -> str:
    """Whether a number means something else under the same protocol."""
    for what in ("direction", "unit"):
        before, after = getattr(known, what) or "none", getattr(now, what) or "none"
        if before != after:
            return f"the metric's {what} changed: {before} -> {after}"
    return ""


def _failures(key: Key, selection: str, a: Side, b: Side, rules: Rules) -> tuple[str, bool]:
    """A sentence on seeds that failed, and whether they are more than the baseline's let expect."""
    before, after = a.failed(key, selection), b.failed(key, selection)
    if not after:
        return "", False
    n_before = sum(map(len, a.values.get(key, {}).values())) + len(before)
    n_after = sum(map(len, b.values.get(key, {}).values())) + len(after)
    seeds = ", ".join(map(str, after))
    reason = (
        f"failed at {len(after)} of {plural(n_after, 'seed')} ({seeds}), {len(before)} of {n_before} in the baseline"
    )
    more = fails_more_often(len(before), n_before, len(after), n_after, rules.alarm)
    return f"{reason}: {said(after)}", more


def _compared(row: Row, selection: str, a: Mapping[int, float], b: Mapping[int, float], rules: Rules) -> Row | _Pair:
    """Two sides that both have values of one protocol."""
    if row.direction == "none":
        return replace(row, verdict="ungated", reason=_joined(row.reason, "it has no direction"))
    if all(seed in a and a[seed] == value for seed, value in b.items()):
        return replace(row, by="bits", loss=0.0)
    if not all(map(math.isfinite, [*a.values(), *b.values()])):
        return _infinite(row, a, b)
    if len(a) < MIN_SEEDS:
        return _by_tolerance(row, selection, a, b, rules)
    return _Pair(row, rules, a, b, selection)


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _infinite(row: Row, a: Mapping[int, float], b: Mapping[int, float]) -> Row:
    """Where all of a side are one infinity there is nothing uncertain; else no test applies."""
    if len({*a.values()}) == 1 or len({*b.values()}) == 1:
        worse = (row.value < row.baseline) == (row.direction == "max")
        if row.value != row.baseline and not math.isnan(row.value + row.baseline):
            return replace(row, verdict="regression" if worse else "improved", loss=math.inf if worse else -math.inf)
    return replace(
        row, verdict="inconclusive", reason=_joined(row.reason, "infinite values at some seeds, which no test takes")
    )


def _by_tolerance(row: Row, selection: str, a: Mapping[int, float], b: Mapping[int, float], rules: Rules) -> Row:
    """The smoke gate: the means over common seeds, without a test."""
    common = [seed for seed in a if seed in b]
    row = replace(row, by="smoke", seeds_baseline=len(common), seeds=len(common))
    if not common:
        return replace(
            row, verdict="missing", reason=f"no seed in common with the baseline, which has {named(map(str, a))}"
        )
    before, after = (float(np.mean([side[seed] for seed in common])) for side in (a, b))
    loss = before - after if row.direction == "max" else after - before
    tolerance = rules.smoke_tolerance_of(row.metric, selection, row.unit).of(before)
    row = replace(row, baseline=before, value=after, loss=loss, tolerance=tolerance)
    verdict: Verdict = "regression" if loss > tolerance else "improved" if -loss > tolerance else "pass"
    return replace(row, verdict=verdict)


def _tested(pairs: Sequence[_Pair], rules: Rules, escalates: bool) -> Iterator[Row]:
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


def _adjusted(p: Sequence[float], pairs: Sequence[_Pair]) -> list[float]:
    """Each p over the share of its look, then by Holm."""
    shared = [min(1.0, one / pair.look.share) for one, pair in zip(p, pairs, strict=True)]
    return [float(one) for one in holm(np.asarray(shared, dtype=np.float64))]


def _steps(pair: _Pair, rules: Rules, escalates: bool) -> Sequence[Look]:
    """The looks that a loss had to pass, or has to."""
    if escalates:
        return looks(len(pair.a), min(rules.seeds, len(pair.b)))
    return (pair.look,)


def _decided(row: Row, of_row: Difference, p_worse: float, p_better: float, rules: Rules) -> Row:
    tolerance = row.tolerance
    if row.loss > tolerance and p_worse <= rules.alarm:
        return replace(row, verdict="regression")
    if -row.loss > tolerance and p_better <= rules.alarm:
        return replace(row, verdict="improved")
    if row.look == "first" and of_row.p_worse <= rules.screen and row.loss + row.half_width > tolerance:
        more = f"suspected at {row.seeds} of the baseline's {plural(row.seeds_baseline, 'seed')}; --run runs the others"
        return replace(row, verdict="inconclusive", reason=_joined(row.reason, more))
    if row.look == "last" and row.loss > tolerance and p_worse <= rules.screen:
        why = "a loss that the seeds neither prove nor let pass"
        return replace(row, verdict="inconclusive", reason=_joined(row.reason, why))
    return row
