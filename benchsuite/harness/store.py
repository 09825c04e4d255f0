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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchsuite.contracts import Cell, MetricRow, Record
from benchsuite.errors import StoreError
from benchsuite.harness import exhibits
from benchsuite.harness.rows import RESULT_COLUMNS, TIMING_COLUMNS, result_rows, timing_rows
from benchsuite.kit.files import locked, write_text
from benchsuite.kit.text import spreadsheet_safe


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
