"""The cells of one run or several, told apart by their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchsuite.contracts import Record
from benchsuite.harness.store import RunStore, marked


@dataclass(frozen=True)
class Gathered:
    """Records, each with the run where its files lie, and the runs, in the order in which they were given.

    ``missing`` are the cells of a plan without a record: ``method``, ``dataset``, ``seed``. ``contents`` are what the
    run.json of each run says.
    """

    cells: tuple[tuple[RunStore, Record], ...]
    runs: tuple[RunStore, ...]
    missing: tuple[Mapping[str, Any], ...] = ()
    contents: tuple[Mapping[str, Any], ...] = ()

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
    content = store.read_run()
    unknown = [cell for cell in content["cells"] if cell["key"] not in known]
    missing = tuple(cell for cell in unknown if store.record(cell["key"]) is None)
    return Gathered(tuple((store, record) for record in records), (store,), missing, (content,))


def gather(stores: Sequence[RunStore]) -> Gathered:
    """All cells of ``stores``. A cell that several runs have counts once, with the scores that any of them has.

    Where what runs have under one label does not go together, the label goes with the run's name behind it: what was
    changed between two runs, be it code, is not averaged over, nor are methods compared on unlike data.
    """
    runs = tuple({store.path.resolve(): store for store in stores}.values())
    parts = [of_run(store, store.records()) for store in runs]
    if len(parts) == 1:
        return parts[0]
    names = told_apart(runs)
    methods, datasets = _method_labels(names, parts), _dataset_labels(names, parts)

    def labelled(name: str, store: RunStore, record: Record) -> tuple[RunStore, Record]:
        method, dataset = methods[name, record.cell.method], datasets[name, record.cell.dataset]
        return store, replace(record, cell=replace(record.cell, method=method, dataset=dataset))

    found: dict[str, list[tuple[RunStore, Record]]] = {}
    for name, part in zip(names, parts, strict=True):
        for store, record in part.cells:
            found.setdefault(record.cell.key, []).append(labelled(name, store, record))
    missing = {
        cell["key"]: {**cell, "method": methods.get((name, cell["method"]), cell["method"])}
        for name, part in zip(names, parts, strict=True)
        for cell in part.missing
        if cell["key"] not in found
    }
    contents = tuple(content for part in parts for content in part.contents)
    return Gathered(tuple(map(_together, found.values())), runs, tuple(missing.values()), contents)


def _together(found: Sequence[tuple[RunStore, Record]]) -> tuple[RunStore, Record]:
    """The first of one cell's records that came to its end, with the scores that only others have."""
    store, record = next((one for one in found if one[1].status == "ok"), found[0])
    if record.status != "ok":
        return store, record
    for _, other in found:
        more = [row for row in other.metrics if other.status == "ok" and row.selection not in record.cell.metrics]
        asked = tuple(dict.fromkeys([*record.cell.metrics, *(row.selection for row in more)]))
        cell = replace(record.cell, metrics=asked)
        record = replace(record, cell=cell, metrics=marked((*record.metrics, *more)))
    return store, record


def _method_labels(names: Sequence[str], parts: Sequence[Gathered]) -> dict[tuple[str, str], str]:
    """What the label of a method becomes, by run and label."""
    families: dict[str, dict[str, list[Record]]] = {}  # by label and the first run of each family
    homes: dict[tuple[str, str], str] = {}
    for name, part in zip(names, parts, strict=True):
        by_label: dict[str, list[Record]] = {}
        for record in part.records:
            by_label.setdefault(record.cell.method, []).append(record)
        for label, records in by_label.items():
            known = families.setdefault(label, {})
            home = next((first for first, others in known.items() if _go_together(records, others)), name)
            known.setdefault(home, []).extend(records)
            homes[name, label] = home
    return {place: _label(place[1], home, len(families[place[1]])) for place, home in homes.items()}


def _go_together(records: Sequence[Record], others: Sequence[Record]) -> bool:
    """Whether cells of two runs are one method's: of the same parameters, and where they are on the same data, with
    seeds in common, whose cells are the very same. Without a seed in common nobody knows whether the code is."""
    one, other = records[0].cell, others[0].cell
    if (one.method_name, one.params) != (other.method_name, other.params):
        return False
    keys = {(record.cell.dataset, record.cell.seed): record.cell.key for record in others}
    common = {record.cell.dataset for record in records} & {dataset for dataset, _ in keys}
    shared = [record.cell for record in records if (record.cell.dataset, record.cell.seed) in keys]
    alike = all(keys[cell.dataset, cell.seed] == cell.key for cell in shared)
    return alike and common == {cell.dataset for cell in shared}


def _dataset_labels(names: Sequence[str], parts: Sequence[Gathered]) -> dict[tuple[str, str], str]:
    """What the label of a dataset becomes, by run and label."""
    homes: dict[tuple[str, str], str] = {}
    known: dict[str, dict[str, str]] = {}  # by label and what the data are, the first run that has them
    for name, part in zip(names, parts, strict=True):
        for cell in (record.cell for record in part.records):
            data = repr((cell.dataset_name, sorted(cell.dataset_params.items()), cell.content, cell.subset))
            homes[name, cell.dataset] = known.setdefault(cell.dataset, {}).setdefault(data, name)
    return {place: _label(place[1], home, len(known[place[1]])) for place, home in homes.items()}


def _label(label: str, home: str, families: int) -> str:
    return f"{label} ({home})" if families > 1 else label


def told_apart(runs: Sequence[RunStore]) -> list[str]:
    """The names of ``runs``, different folders: each its folder's, with those above it where several have that."""
    paths = [run.path.resolve() for run in runs]
    return [str(Path(*path.parts[-_depth(path, paths) :])) for path in paths]


def _depth(path: Path, paths: Sequence[Path]) -> int:
    """How many of the last parts of ``path`` tell it from the others of ``paths``."""
    others = [other.parts for other in paths if other != path]
    depths = range(1, len(path.parts) + 1)
    return next(n for n in depths if all(other[-n:] != path.parts[-n:] for other in others))
