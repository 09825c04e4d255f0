"""The run directory: one atomic record per cell, an append-only log of events, and tables derived from the records.

runs/<name>/
  run.json        the recipe as resolved, the cells of the current plan, environment, command
  events.jsonl    what happened, when
  cells/<key>/    record.json (written last), log.txt, curve.csv, model.pt, samples.png, checkpoint.pt while training,
                  plots/ with what metrics found besides numbers
  results.csv, timings.csv, report/
"""

from __future__ import annotations

import csv
import gc
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, repeat
from operator import attrgetter
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchsuite.contracts import Cell, MetricRow, PhaseRow, Record
from benchsuite.errors import StoreError
from benchsuite.harness import exhibits
from benchsuite.kit.files import locked, write_text
from benchsuite.kit.text import spreadsheet_safe

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
_OF_A_SCORE = ("status", "reason", "metric", "value", "unit", "direction", "n", "fingerprint")
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
    many rows as ``counts`` says, ``of_rows`` one for each row. ``names`` are all of them in order."""

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


class RunStore:
    """One run directory. Reading never changes it; writing goes through whole-file replacement."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return self.path.resolve().name

    def create(self) -> None:
        """Make the folder. Raises StoreError where it cannot be written, or holds something else."""
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path} is a file, not a folder; choose another with --out")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = {p.name for p in self.path.iterdir() if not p.name.startswith(".")}
            if names and not names & {"run.json", "cells"}:
                raise StoreError(f"{self.path} holds something else than a run; choose another folder with --out")
            (self.path / "cells").mkdir(exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.path}: {error.strerror}; choose another folder with --out"
            ) from None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the run for this process. Raises StoreError where another process is running it."""
        with locked(self.path / ".lock") as mine:
            if not mine:
                raise StoreError(f"{self.path} is being run by another process; wait for it, or use --fresh")
            yield

    def cell_folder(self, key: str) -> Path:
        """Where one cell keeps its files."""
        return self.path / "cells" / key

    def record(self, key: str) -> Record | None:
        """The record of one cell, or None where there is none that can be read."""
        try:
            return Record.from_json((self.cell_folder(key) / "record.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return None  # not a record of this version: the cell is run again

    def write_record(self, record: Record) -> None:
        """Store how a cell ended, whole or not at all."""
        folder = self.cell_folder(record.cell.key)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "record.json", json.dumps(record.to_json(), indent=1))

    def arrays(self, key: str, row: MetricRow) -> Mapping[str, NDArray[Any]]:
        """What the score of ``row`` in the cell ``key`` has for plots, by name."""
        return exhibits.arrays_of(row, self.cell_folder(key))

    def pictures(self, key: str, row: MetricRow) -> Mapping[str, Path]:
        """The pictures that belong to the score of ``row`` in the cell ``key``, by name."""
        return exhibits.pictures_of(row, self.cell_folder(key))

    def event(self, what: str, **details: Any) -> None:
        """Append one event with the time."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": what, **details})
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def write_run(self, content: Mapping[str, Any]) -> None:
        """Write run.json."""
        write_text(self.path / "run.json", json.dumps(content, indent=1, default=str))

    def read_run(self) -> dict[str, Any]:
        """Read run.json. Raises StoreError where there is no readable run."""
        try:
            content: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StoreError(f"{self.path} is no run directory: it has no run.json") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read {self.path / 'run.json'}: {error}") from None
        return content

    def records(self) -> list[Record]:
        """The records of the current plan's cells, in its order, with the metrics that it asked for."""
        found = [(self.record(cell["key"]), tuple(cell["metrics"])) for cell in self._planned()]
        return [seen_by(record, replace(record.cell, metrics=metrics)) for record, metrics in found if record]

    def missing(self) -> list[dict[str, Any]]:
        """The current plan's cells that have no record that can be read: ``key``, ``method``, ``dataset``, ``seed``."""
        return [cell for cell in self._planned() if self.record(cell["key"]) is None]

    def _planned(self) -> list[dict[str, Any]]:
        try:
            names = ("key", "method", "dataset", "seed", "metrics")
            return [{name: cell[name] for name in names} for cell in self.read_run()["cells"]]
        except (KeyError, TypeError):
            raise StoreError(f"{self.path / 'run.json'} is not of this version; run its command again") from None

    def write_tables(self, records: Sequence[Record]) -> None:
        """Derive results.csv and timings.csv from ``records``."""
        write_text(self.path / "results.csv", _csv(RESULT_COLUMNS, result_rows(self.name, records)))
        write_text(self.path / "timings.csv", _csv(TIMING_COLUMNS, timing_rows(self.name, records)))


@contextmanager
def uncollected() -> Iterator[None]:
    """Keeps the collector of cycles from records for as long as they are worked with: there may be a million objects,
    none in a cycle, which it would look at again and again, for half of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def seen_by(record: Record, cell: Cell) -> Record:
    """``record`` with the rows that ``cell`` asks for only, in its order; a record may hold those of earlier plans.

    Rows are marked by what any row of the record says of the model.
    """
    by_selection: dict[str, list[MetricRow]] = {selection: [] for selection in cell.metrics}
    for row in marked(record.metrics):
        if row.selection in by_selection:
            by_selection[row.selection].append(row)
    return replace(record, cell=cell, metrics=tuple(row for rows in by_selection.values() for row in rows))


def marked(rows: Iterable[MetricRow]) -> tuple[MetricRow, ...]:
    """``rows`` of one cell, where one says that the model copies its training data, with that caution at every score
    of its samples."""
    rows = tuple(rows)
    cautions = tuple(dict.fromkeys(row.reason for row in rows if row.disqualifies and row.status == "ok"))
    return tuple(_with_cautions(row, cautions) for row in rows) if cautions else rows


def _with_cautions(row: MetricRow, cautions: tuple[str, ...]) -> MetricRow:
    if row.status != "ok" or "samples" not in row.protocol:
        return row
    new = [caution for caution in cautions if caution not in row.reason]
    return replace(row, reason="; ".join(text for text in (row.reason, *new) if text))


def result_rows(run: str, records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """The rows of results.csv; a cell that came to no score has one row per metric asked for, without a value."""
    return result_columns([(run, record) for record in records]).rows()


def result_columns(cells: Sequence[tuple[str, Record]]) -> Columns:
    """The columns of results.csv, for records each with the name of its run."""
    scores = [rows_of(record) for _, record in cells]
    flat = list(chain.from_iterable(scores))
    of_rows = {name: _valid(list(map(attrgetter(name), flat))) for name in _OF_A_SCORE}
    return Columns(RESULT_COLUMNS, _of_cells(cells, {"params": _params}), list(map(len, scores)), of_rows)


def _params(record: Record) -> str:
    return json.dumps(record.cell.params, sort_keys=True)


def _of_cells(
    cells: Sequence[tuple[str, Record]], fields: Mapping[str, Callable[[Record], Any]]
) -> dict[str, list[Any]]:
    found = {name: [field(record) for _, record in cells] for name, field in ({**_OF_A_CELL, **fields}).items()}
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


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: spreadsheet_safe(cell) if isinstance(cell, str) else cell for name, cell in row.items()})
    return text.getvalue()


def find_run(path: Path) -> RunStore:
    """The run at ``path``, or at ``runs/<path>``. Raises StoreError where there is none."""
    for candidate in (path, Path("runs") / path):
        if (candidate / "run.json").exists():
            return RunStore(candidate)
    runs = sorted(p.parent.name for p in Path("runs").glob("*/run.json")) if Path("runs").is_dir() else []
    known = ", ".join(runs) if runs else "none"
    raise StoreError(f"{os.fspath(path)} is no run directory; runs here: {known}")
