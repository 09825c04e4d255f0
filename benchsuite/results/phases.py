"""The phases of a cell as the parts that people ask for, and their seconds."""

from __future__ import annotations

from collections.abc import Sequence

from benchsuite.contracts import Record

# The part of a cell that a phase belongs to, by the first word of its name; other phases lie inside of ``fit``.
_PARTS = {
    "load": "set-up",
    "build": "set-up",
    "fit": "fit",
    "sample": "sample",
    "encode": "encode",
    "recover": "recover",
    "features": "features",
    "metric": "metrics",
    "warm_up": "warm-up",
}
PARTS = tuple(dict.fromkeys(_PARTS.values()))


def mean_seconds(cells: Sequence[Record]) -> dict[str, float]:
    """Seconds per cell by part, of those of ``PARTS`` that any of ``cells`` has."""
    totals: dict[str, float] = {}
    for phase in (phase for record in cells for phase in record.phases):
        part = _PARTS.get(phase.phase.partition(".")[0].partition("[")[0])
        if part is not None and (phase.phase == "fit" or part != "fit"):
            totals[part] = totals.get(part, 0.0) + phase.seconds
    return {part: seconds / len(cells) for part, seconds in totals.items()}


def seconds_of(record: Record) -> float:
    """What a cell took altogether; phases that lie inside another count once."""
    return sum(mean_seconds([record]).values())
