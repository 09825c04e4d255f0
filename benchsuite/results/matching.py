"""What is to be said of a score on both sides of a gate before any test: missing, changed, failed, equal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchsuite.contracts import MetricRow, Record
from benchsuite.kit.text import named, plural
from benchsuite.results.changes import protocol_changes
from benchsuite.results.detection import Difference, Look, difference, looks
from benchsuite.results.rates import fails_more_often
from benchsuite.results.rules import Rules
from benchsuite.results.sides import Key, Side, said, why_absent
from benchsuite.results.statistics import MIN_SEEDS
from benchsuite.results.verdicts import Row, Verdict


@dataclass(frozen=True)
class Pair:
    """The values of one score by seed, all finite, that are to be tested; ``tried`` are the seeds of either side, also
    those that failed."""

    row: Row
    selection: str
    a: Mapping[int, float]
    b: Mapping[int, float]
    tried: tuple[int, int]

    @property
    def difference(self) -> Difference:
        best_is_high = self.row.direction == "max"
        return difference([*self.a.values()], [*self.b.values()], higher_is_better=best_is_high)

    @property
    def is_first(self) -> bool:
        """Whether the baseline has seeds that were not tried."""
        return self.tried[1] < self.tried[0]

    @property
    def look(self) -> Look:
        """The one that is being taken."""
        return looks(*self.tried)[0]


def ordered(a: Side, b: Side) -> list[Key]:
    """Everything that either side has a number or a failure of, by dataset and method as they come in the baseline."""
    failed = [key for side in (a, b) for key, rows in side.lacking.items() if _any_failed(rows)]
    keys = dict.fromkeys([*a.values, *failed, *b.values])
    places = {pair: place for place, pair in enumerate(dict.fromkeys((dataset, method) for dataset, _, method in keys))}
    return sorted(keys, key=lambda key: places[key[0], key[2]])


def _any_failed(rows: Mapping[int, MetricRow]) -> bool:
    return any(row.status != "skipped" for row in rows.values())


def match(key: Key, a: Side, b: Side, rules: Rules) -> Row | Pair | None:
    """The verdict on one score, or what has to be tested for it; None where there is nothing to say."""
    dataset, metric, method = key
    of_a, of_b = a.values.get(key, {}), b.values.get(key, {})
    row = Row(method, dataset, metric)
    if not of_a:
        return _without_baseline(row, key, a, b)
    known = a.rows[key]
    values = next(iter(of_a.values()))
    row = replace(row, unit=known.unit, seeds_baseline=len(values), baseline=_mean(values))
    row = replace(row, direction=rules.direction_of(metric, known.selection, known.direction))
    if row.direction == "none":
        seen = {seed: value for of in of_b.values() for seed, value in of.items()}
        row = replace(row, seeds=len(seen), value=_mean(seen) if seen else math.nan)
        return replace(
            row,
            verdict="ungated",
            reason="it has no direction" if known.direction == "none" else "the rules do not gate it",
        )
    if reason := _incomparable(key, a, b):
        return replace(row, verdict="changed", reason=reason)
    if not of_b:
        return _without_run(row, key, known.selection, a, b)
    run_values = of_b[known.fingerprint]
    row = replace(row, seeds=len(run_values), value=_mean(run_values))
    if reason := _partly_missing(key, known.selection, a, b):
        return replace(row, verdict="missing", reason=reason)
    failures, more = _failures(key, known.selection, a, b, rules)
    if more:
        return replace(row, verdict="new failure", by="rate" if a.failed(key, known.selection) else "", reason=failures)
    cautions = (f"caution: {text}" for text in b.cautions.get(key, []))
    row = replace(row, reason=joined(failures, *cautions))
    tried = (len(values) + len(a.failed(key, known.selection)), len(run_values) + len(b.failed(key, known.selection)))
    return _compared(Pair(row, known.selection, values, run_values, tried), rules)


def _mean(values: Mapping[int, float]) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.mean([*values.values()]))


def joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _without_baseline(row: Row, key: Key, a: Side, b: Side) -> Row | None:
    """What the baseline has no number of."""
    dataset, metric, method = key
    of_b = b.values.get(key, {})
    selection = b.rows[key].selection if key in b.rows else metric
    failed = a.failed(key, selection)
    if of_b:
        now = b.rows[key]
        values = next(iter(of_b.values()))
        row = replace(row, unit=now.unit, direction=now.direction, seeds=len(values), value=_mean(values))
        if failed:
            return replace(row, verdict="improved", reason=f"it failed in the baseline: {said(failed)}")
        return replace(row, verdict="new", reason="the baseline does not have it; set it again to gate it")
    if key in a.scored or key in b.scored:
        return None  # a mapping's numbers have names of their own, and only its failure has the metric's
    kind, reason = why_absent(key, selection, b)
    if kind == "failed" and failed:
        return replace(row, reason=f"it fails as it did in the baseline: {reason}")
    if kind == "failed":
        known = (dataset, method) in a.cells
        return replace(row, verdict="new failure" if known else "new", reason=reason)
    return replace(row, verdict="missing", reason=reason)


def _without_run(row: Row, key: Key, selection: str, a: Side, b: Side) -> Row:
    """What only the baseline has a number of."""
    kind, reason = why_absent(key, selection, b)
    if kind != "failed":
        return replace(row, verdict="missing", reason=reason)
    if b.failed(key, selection).keys() <= a.failed(key, selection).keys():
        why = f"only seeds were run that fail in the baseline as well: {reason}"
        return replace(row, verdict="inconclusive", look="first", reason=why)
    return replace(row, verdict="new failure", reason=reason)


def _incomparable(key: Key, a: Side, b: Side) -> str:
    """Why numbers of both sides are no longer of one thing: data, protocol, or what the number means; empty if not."""
    dataset, _, method = key
    of_a, of_b, known = a.values[key], b.values.get(key, {}), a.rows[key]
    if len(of_a) > 1:
        return "the baseline has scores by several protocols; set it again"
    if reason := _other_data(method, dataset, a, b):
        return reason
    if not of_b:
        return ""
    now = b.rows[key]
    if of_a.keys() != of_b.keys():
        other = next(iter(of_b.keys() - of_a.keys()))
        return f"the protocol changed: {protocol_changes(known, now) if now.fingerprint == other else 'of some seeds'}"
    return _other_meaning(known, now)


def _partly_missing(key: Key, selection: str, a: Side, b: Side) -> str:
    """Seeds of the run that should have a score, and have neither one nor a failure; empty where the baseline is no
    better."""
    lacking = [_without_any(key, selection, side) for side in (a, b)]
    if not lacking[1] or lacking[0]:
        return ""
    skipped = b.without(key, selection)
    why = (
        said({seed: skipped[seed] for seed in lacking[1] if seed in skipped}, status=False)
        or "no record, or no such key"
    )
    return f"no score at {plural(len(lacking[1]), 'seed')} ({named(map(str, lacking[1]), most=20)}): {why}"


def _without_any(key: Key, selection: str, side: Side) -> list[int]:
    """The seeds of a side's cells that have neither a score nor a failure."""
    scored = {seed for of in side.values[key].values() for seed in of}
    return sorted(side.cells[key[0], key[2]] - scored - side.failed(key, selection).keys())


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
    new = after.keys() - before.keys()
    if not new:
        return "", False
    n_before = sum(map(len, a.values[key].values())) + len(before)
    n_after = sum(map(len, b.values[key].values())) + len(after)
    seeds = f"{len(after)} of {plural(n_after, 'seed')} ({named(map(str, after), most=20)})"
    reason = f"failed at {seeds}, {len(before)} of {n_before} in the baseline: {said(after)}"
    return reason, fails_more_often(len(before), n_before, len(after), n_after, rules.alarm)


def _compared(pair: Pair, rules: Rules) -> Row | Pair:
    """Two sides that both have values of one protocol."""
    row, a, b = pair.row, pair.a, pair.b
    if all(seed in a and a[seed] == value for seed, value in b.items()):
        return replace(row, by="bits", loss=0.0)
    if not all(map(math.isfinite, [*a.values(), *b.values()])):
        return _infinite(row, a, b)
    if len(a) < MIN_SEEDS:
        return _by_tolerance(pair, rules)
    return pair


def _infinite(row: Row, a: Mapping[int, float], b: Mapping[int, float]) -> Row:
    """Infinitely bad, or good, values that only one side has decide; others no test takes."""
    bad = -math.inf if row.direction == "max" else math.inf
    sides = [[*side.values()] for side in (a, b)]
    counts = {value: [side.count(value) for side in sides] for value in (bad, -bad)}
    if (counts[bad][1] and not counts[bad][0]) or (counts[-bad][0] and not counts[-bad][1]):
        return replace(row, verdict="regression", loss=math.inf, reason=joined(row.reason, "infinite at some seeds"))
    if (counts[bad][0] and not counts[bad][1]) or (counts[-bad][1] and not counts[-bad][0]):
        return replace(row, verdict="improved", loss=-math.inf)
    why = "infinite values at some seeds of both, which no test takes"
    return replace(row, verdict="inconclusive", reason=joined(row.reason, why))


def _by_tolerance(pair: Pair, rules: Rules) -> Row:
    """The smoke gate: the means over common seeds, without a test."""
    common = [seed for seed in pair.a if seed in pair.b]
    row = replace(pair.row, by="smoke", seeds_baseline=len(common), seeds=len(common))
    if not common:
        why = f"no seed in common with the baseline, which has {named(map(str, pair.a))}"
        return replace(row, verdict="missing", reason=why)
    before, after = (float(np.mean([side[seed] for seed in common])) for side in (pair.a, pair.b))
    loss = before - after if row.direction == "max" else after - before
    tolerance = rules.smoke_tolerance_of(row.metric, pair.selection, row.unit).of(before)
    row = replace(row, baseline=before, value=after, loss=loss, tolerance=tolerance)
    verdict: Verdict = "regression" if loss > tolerance else "improved" if -loss > tolerance else "pass"
    return replace(row, verdict=verdict)
