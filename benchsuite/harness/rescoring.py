"""What a record says of scores that were made at different times, and what becomes of it when there are more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from benchsuite.contracts import Cell, MetricRow, PhaseRow, Record, Status

# Notes of a record; each attempt at scoring takes away those of the one before.
SCORING_FAILED = "scoring failed, earlier scores stand"
OTHER_CODE = "scored by code, or on data, other than it was trained with"


def rescored(record: Record, scored: Record, cell: Cell, note: str) -> Record:
    """``record`` with the scores that ``cell`` asks for, as in ``scored``, beside those that it does not name.

    What training was stays as it was: device, environment, attempts, notes, and whether it was contended. The times of
    a scoring that was, beside a training that was not, say nothing and are left out.
    """
    displaced = scored.contended and not record.contended
    others = [row for row in record.metrics if row.selection not in cell.metrics]
    selections = dict.fromkeys((*cell.metrics, *(row.selection for row in others)))
    return replace(
        record,
        cell=replace(cell, metrics=tuple(selections)),
        metrics=(*scored.metrics, *others),
        notes=(*_lasting(record.notes), *([note] if note else [])),
        phases=record.phases if displaced else _merged(record.phases, scored.phases),
        reconstruction=sources_of_codes((*scored.metrics, *others)),
        reference=record.reference or scored.reference,
        data=scored.data or record.data,
    )


def with_failed_metrics(record: Record, cell: Cell, status: Status, reason: str) -> Record:
    """``record`` of a model that could not be scored again: what has no score fails, what has one stands."""
    standing = [r for r in record.metrics if r.status in ("ok", "skipped") or r.selection not in cell.metrics]
    missing = [text for text in cell.metrics if text not in {row.selection for row in standing}]
    rows = [MetricRow(text, text, None, "", "none", None, "", status, reason) for text in missing]
    metrics = tuple(dict.fromkeys((*cell.metrics, *record.cell.metrics)))
    return replace(
        record,
        cell=replace(record.cell, metrics=metrics),
        metrics=(*standing, *rows),
        notes=(*_lasting(record.notes), f"{SCORING_FAILED}: {reason}"),
    )


def sources_of_codes(rows: Iterable[MetricRow]) -> str:
    """Where the model's own codes came from, by split, as the scores of ``rows`` tell: ``test by encoder``."""
    found = {}
    for row in rows:
        if row.protocol.get("params", {}).get("codes_by", "own") == "own":
            for artefact, source in row.protocol.get("codes", {}).items():
                found["train" if artefact.endswith("train") else "test"] = source
    return ", ".join(f"{split} by {source}" for split, source in sorted(found.items()))


def _lasting(notes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(note for note in notes if not note.startswith((SCORING_FAILED, OTHER_CODE)))


def _merged(old: tuple[PhaseRow, ...], new: tuple[PhaseRow, ...]) -> tuple[PhaseRow, ...]:
    """The phases of training as they were, and those of scoring, the later ones in place of the earlier."""
    names = {p.phase for p in new} - {"load", "build"}
    fresh = [p for p in new if p.phase in names]
    return (*(p for p in old if p.phase not in names), *fresh)
