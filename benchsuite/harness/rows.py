"""Records as rows: what results.csv and timings.csv hold, by row for files and by column for frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import attrgetter
from typing import Any

from benchsuite.contracts import MetricRow, PhaseRow, Record

RESULT_COLUMNS = [
    "run",
    "cell",
    "method",
    "params",
    "dataset",
    "seed",
    "status",
    "reason",
    "metric",
    "value",
    "unit",
    "direction",
    "n",
    "fingerprint",
    "environment",
]
TIMING_COLUMNS = [
    "run",
    "cell",
    "method",
    "dataset",
    "seed",
    "status",
    "phase",
    "seconds",
    "items",
    "device",
    "peak_host_mib",
    "peak_device_mib",
    "environment",
    "threads",
    "contended",
]
_OF_A_SCORE = ("status", "reason", "metric", "value", "unit", "direction", "n", "fingerprint", "selection")
_OF_A_CELL: dict[str, Callable[[Record], Any]] = {
    "cell": attrgetter("cell.key"),
    "method": attrgetter("cell.method"),
    "dataset": attrgetter("cell.dataset"),
    "seed": attrgetter("cell.seed"),
    "environment": attrgetter("environment"),
}
_OF_ITS_TIMES: dict[str, Callable[[Record], Any]] = {
    "status": attrgetter("status"),
    "device": attrgetter("device"),
    "threads": attrgetter("cell.threads"),
    "contended": attrgetter("contended"),
}


@dataclass(frozen=True)
class Columns:
    """The columns of a table whose rows are parts of cells: ``of_cells`` hold a value for each cell, which stands in as
    many rows as ``counts`` says, ``of_rows`` one for each row. ``names`` are those of the table, in order."""

    names: Sequence[str]
    of_cells: Mapping[str, Sequence[Any]]
    counts: Sequence[int]
    of_rows: Mapping[str, Sequence[Any]]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row by the names of its columns."""
        repeated = {n: list(chain.from_iterable(map(repeat, v, self.counts))) for n, v in self.of_cells.items()}
        columns = {**repeated, **self.of_rows}
        for values in zip(*(columns[name] for name in self.names), strict=True):
            yield dict(zip(self.names, values, strict=True))


def result_rows(run: str, records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """The rows of results.csv; a cell that came to no score has one row per metric asked for, without a value."""
    return result_columns([(run, record) for record in records]).rows()


def result_columns(cells: Sequence[tuple[str, Record]]) -> Columns:
    """The columns of results.csv, and ``selection`` besides, for records each with the name of its run."""
    scores = [rows_of(record) for _, record in cells]
    flat = list(chain.from_iterable(scores))
    of_rows = {name: _valid(list(map(attrgetter(name), flat))) for name in _OF_A_SCORE}
    return Columns(RESULT_COLUMNS, _of_cells(cells, {"params": _params}), list(map(len, scores)), of_rows)


def _params(record: Record) -> str:
    return json.dumps(record.cell.params, sort_keys=True)


def _of_cells(
    cells: Sequence[tuple[str, Record]], fields: Mapping[str, Callable[[Record], Any]]
) -> dict[str, list[Any]]:
    found = {name: [field(record) for _, record in cells] for name, field in {**_OF_A_CELL, **fields}.items()}
    return found | {"run": [run for run, _ in cells]}


def _valid(values: list[Any]) -> list[Any]:
    """``values``, where they are text without halves of characters, which errors have from logs that are no UTF-8."""
    if all(not isinstance(value, str) or value.isascii() for value in set(values)):
        return values
    return [value.encode(errors="replace").decode() if isinstance(value, str) else value for value in values]


def rows_of(record: Record) -> Sequence[MetricRow]:
    """The scores of ``record``; of a cell that came to none, one without a value for each metric asked for."""
    if record.status == "ok":
        return record.metrics
    return [_unscored(record, selection) for selection in record.cell.metrics]


def _unscored(record: Record, selection: str) -> MetricRow:
    return MetricRow(selection, selection, None, "", "none", None, "", record.status, record.reason)


def timing_rows(run: str, records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """The rows of timings.csv; a cell whose phases are not known has one row ``cell``."""
    return timing_columns([(run, record) for record in records]).rows()


def timing_columns(cells: Sequence[tuple[str, Record]]) -> Columns:
    """The columns of timings.csv, for records each with the name of its run."""
    phases: list[Sequence[PhaseRow | None]] = [record.phases or (None,) for _, record in cells]
    flat = list(chain.from_iterable(phases))
    of_rows: dict[str, list[Any]] = {
        "phase": ["cell" if phase is None else phase.phase for phase in flat],
        "seconds": [None if phase is None else round(phase.seconds, 6) for phase in flat],
        "items": [None if phase is None else phase.items for phase in flat],
        "peak_host_mib": [None if phase is None else _rounded(phase.peak_host_mib) for phase in flat],
        "peak_device_mib": [None if phase is None else _rounded(phase.peak_device_mib) for phase in flat],
    }
    return Columns(TIMING_COLUMNS, _of_cells(cells, _OF_ITS_TIMES), list(map(len, phases)), of_rows)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
