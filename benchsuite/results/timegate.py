"""Seconds of training as scores of a gate: only where both sides ran alone, in one environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchsuite.contracts import MetricRow, Record
from benchsuite.results.comparing import fit_seconds, incomparable
from benchsuite.results.verdicts import Row

TIME = "training_seconds"
_Place = tuple[str, str]


def with_times(baseline: Sequence[Record], records: Sequence[Record]) -> tuple[list[Record], list[Record], list[Row]]:
    """Both sides with the score ``training_seconds`` where it compares, and a row that says why where it does not."""
    before, after = _by_place(baseline), _by_place(records)
    reasons = {place: _reason(before[place], after[place]) for place in before if place in after}
    rows = [
        Row(method, dataset, TIME, "ungated", reason=f"times do not compare: {reason}", unit="s", direction="min")
        for (method, dataset), reason in reasons.items()
        if reason
    ]
    timed = {place for place, reason in reasons.items() if not reason}
    return _scored(baseline, timed), _scored(records, timed), rows


def _by_place(records: Sequence[Record]) -> dict[_Place, list[Record]]:
    found: dict[_Place, list[Record]] = {}
    for record in records:
        if fit_seconds(record) is not None:
            found.setdefault(_place(record), []).append(record)
    return found


def _place(record: Record) -> _Place:
    return record.cell.method, record.cell.dataset


def _reason(before: Sequence[Record], after: Sequence[Record]) -> str:
    found = (incomparable(one, other, ("the baseline", "this run")) for one in before for other in after)
    return next((reason for reason in found if reason), "")


def _scored(records: Sequence[Record], timed: set[_Place]) -> list[Record]:
    return [_with_time(record) if _place(record) in timed else record for record in records]


def _with_time(record: Record) -> Record:
    seconds = fit_seconds(record)
    if seconds is None:
        return record
    protocol = {"environment": record.environment}
    row = MetricRow(TIME, TIME, seconds, "s", "min", None, record.environment, protocol=protocol)
    return replace(record, metrics=(*record.metrics, row))
