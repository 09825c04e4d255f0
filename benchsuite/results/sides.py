"""One of two sets of records that are compared, by what is looked up in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchsuite.contracts import MetricRow, Record
from benchsuite.harness.rows import rows_of
from benchsuite.kit.text import named
from benchsuite.results.changes import Identity, identity_of

Key = tuple[str, str, str]  # dataset, metric, method
Absence = Literal["failed", "skipped", "absent"]


@dataclass
class Side:
    """One set of records; ``name`` is what sentences call it."""

    name: str
    records: dict[Identity, Record] = field(default_factory=dict)
    values: dict[Key, dict[str, dict[int, float]]] = field(default_factory=dict)  # by fingerprint and seed
    rows: dict[Key, MetricRow] = field(default_factory=dict)  # the first with a value, for what all seeds share
    cautions: dict[Key, list[str]] = field(default_factory=dict)
    lacking: dict[Key, dict[int, MetricRow]] = field(default_factory=dict)  # without a value, by seed
    scored: set[Key] = field(default_factory=set)  # likewise by selection, which stands for all that a metric maps to
    unrecorded: dict[tuple[str, str], set[int]] = field(default_factory=dict)  # seeds of cells without a record
    cells: dict[tuple[str, str], set[int]] = field(default_factory=dict)  # of all cells, by dataset and method

    def without(self, key: Key, selection: str) -> dict[int, MetricRow]:
        """The rows without a value at the place of ``key``; a metric that failed has none of its mapping's keys."""
        dataset, metric, method = key
        return {**self.lacking.get((dataset, selection, method), {}), **self.lacking.get((dataset, metric, method), {})}

    def failed(self, key: Key, selection: str) -> dict[int, MetricRow]:
        """Those of them that were not skipped."""
        return {seed: row for seed, row in self.without(key, selection).items() if row.status != "skipped"}


def side_of(name: str, records: Iterable[Record], missing: Iterable[Mapping[str, Any]] = ()) -> Side:
    """``records``, and the ``missing`` cells of their plan that have none."""
    side = Side(name)
    for cell in missing:
        for seeds in (side.unrecorded, side.cells):
            seeds.setdefault((cell["dataset"], cell["method"]), set()).add(cell["seed"])
    for record in records:
        method, dataset, seed = identity_of(record)
        side.records[method, dataset, seed] = record
        side.cells.setdefault((dataset, method), set()).add(seed)
        for row in rows_of(record):
            key = (dataset, row.metric, method)
            if row.value is None:
                side.lacking.setdefault(key, {})[seed] = row
                continue
            side.values.setdefault(key, {}).setdefault(row.fingerprint, {})[seed] = row.value
            side.rows.setdefault(key, row)
            side.scored.add((dataset, row.selection, method))
            if row.reason and row.reason not in side.cautions.setdefault(key, []):
                side.cautions[key].append(row.reason)
    return side


def why_absent(key: Key, selection: str, side: Side) -> tuple[Absence, str]:
    """Why ``side`` has no number at the place of ``key``, which the other side has."""
    dataset, _, method = key
    where = side.name
    without, failed = side.without(key, selection), side.failed(key, selection)
    if failed:
        return "failed", said(failed)
    if without:
        return "skipped", f"skipped in {where}: {said(without, status=False)}"
    if (dataset, method) in side.unrecorded:
        return "absent", f"not run yet in {where}"
    if (dataset, method) in side.cells:
        return "absent", f"{where} does not have this metric"
    if all(dataset != of_dataset for of_dataset, _ in side.cells):
        return "absent", f"{where} does not have this dataset"
    if all(method != of_method for _, of_method in side.cells):
        return "absent", f"{where} does not have this method"
    return "absent", f"{where} does not have this method on this dataset"


def said(rows: Mapping[int, MetricRow], status: bool = True) -> str:
    """Why ``rows``, by seed, have no number."""
    return named(f"{row.status}: {row.reason}" if status else row.reason for row in rows.values())
