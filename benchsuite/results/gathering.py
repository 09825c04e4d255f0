"""The cells of one run or several, told apart by their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore


@dataclass(frozen=True)
class Gathered:
    """Records, each with the run where its files lie, and the runs, in the order in which they were given.

    ``missing`` are the cells of a plan without a record: ``method``, ``dataset``, ``seed``.
    """

    cells: tuple[tuple[RunStore, Record], ...]
    runs: tuple[RunStore, ...]
    missing: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        """The name of the run, or of all of them."""
        return " + ".join(told_apart(self.runs))

    @property
    def folder(self) -> Path:
        """Where the run lies, or the first of them."""
        return self.runs[0].path

    @property
    def records(self) -> list[Record]:
        """Those of all cells."""
        return [record for _, record in self.cells]


def of_run(store: RunStore, records: Sequence[Record]) -> Gathered:
    """``records`` of one run."""
    known = {record.cell.key for record in records}
    unknown = [cell for cell in store.read_run()["cells"] if cell["key"] not in known]
    missing = tuple(cell for cell in unknown if store.record(cell["key"]) is None)
    return Gathered(tuple((store, record) for record in records), (store,), missing)


def gather(stores: Sequence[RunStore]) -> Gathered:
    """All cells of ``stores``. A cell that several runs have counts once, and so does a run that is named twice.

    Where runs have different cells under one label, the label goes with the run's name behind it: what was changed
    between two runs, be it code, is not averaged over.
    """
    runs = tuple({store.path.resolve(): store for store in stores}.values())
    parts = [of_run(store, store.records()) for store in runs]
    if len(parts) == 1:
        return parts[0]
    homes: dict[str, str] = {}
    names = told_apart(runs)
    for name, part in zip(names, parts, strict=True):
        for record in part.records:
            homes.setdefault(record.cell.key, name)
    runs_of: dict[str, set[str]] = {}
    for part in parts:
        for record in part.records:
            runs_of.setdefault(record.cell.method, set()).add(homes[record.cell.key])
    cells = [
        (store, _labelled(record, name) if len(runs_of[record.cell.method]) > 1 else record)
        for name, part in zip(names, parts, strict=True)
        for store, record in part.cells
        if homes[record.cell.key] == name
    ]
    missing = {cell["key"]: cell for part in parts for cell in part.missing if cell["key"] not in homes}
    return Gathered(tuple(cells), runs, tuple(missing.values()))


def told_apart(runs: Sequence[RunStore]) -> list[str]:
    """The names of ``runs``, different folders: each its folder's, with those above it where several have that."""
    paths = [run.path.resolve() for run in runs]
    return [str(Path(*path.parts[-_depth(path, paths) :])) for path in paths]


def _depth(path: Path, paths: Sequence[Path]) -> int:
    """How many of the last parts of ``path`` tell it from the others of ``paths``."""
    others = [other.parts for other in paths if other != path]
    depths = range(1, len(path.parts) + 1)
    return next(n for n in depths if all(other[-n:] != path.parts[-n:] for other in others))


def _labelled(record: Record, run: str) -> Record:
    return replace(record, cell=replace(record.cell, method=f"{record.cell.method} ({run})"))
