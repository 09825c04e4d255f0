"""Records of cells that nobody ran, and the report of a run that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchsuite.contracts import Cell, MetricRow, PhaseRow, Record, Status
from benchsuite.harness.store import RunStore
from benchsuite.reports import Report
from benchsuite.results.tables import make_report


def cell(method: str = "pca", seed: int = 0, dataset: str = "digits", metrics: Sequence[str] = ("psnr", "fd")) -> Cell:
    return Cell(
        key=f"{method}-{dataset}-{seed}",
        method=method,
        method_name=method,
        params={"latent_dim": None},
        dataset=dataset,
        dataset_name=dataset,
        dataset_params={},
        dataset_fingerprint="d",
        seed=seed,
        latent_dim=8,
        metrics=tuple(metrics),
        samples=10,
        device="cpu",
        precision="fp32",
        threads=1,
        budget=None,
    )


def record(method: str, seed: int, psnr: float | None, fingerprint: str = "aaaa0000") -> Record:
    rows = (
        MetricRow("psnr", "psnr", psnr, "dB", "max", 57, fingerprint),
        MetricRow("fd", "fd", None, "", "min", None, "f", "skipped", "no extractor"),
    )
    return record_of(cell(method, seed), rows)


def record_of(cell: Cell, rows: Sequence[MetricRow]) -> Record:
    """The record of a cell that came to an end with ``rows``."""
    phases = (
        PhaseRow("fit", 2.0 + cell.seed, 2.0, 10, 100.0 + cell.seed, None),
        PhaseRow("fit.warm", 1.0, 1.0, 0, 1.0, None),
        PhaseRow("encode.test", 0.5, 0.5, 57, 1.0, None),
        PhaseRow("encode.train", 0.25, 0.25, 57, 1.0, None),
    )
    ended = Record(cell, "ok", metrics=tuple(rows), phases=phases, device="cpu", environment="e1")
    return replace(ended, parameters=1234, codes=80 if cell.method == "glo" else None)


def with_phases(record: Record, *phases: PhaseRow) -> Record:
    return replace(record, phases=(*record.phases, *phases))


def failed(method: str, seed: int) -> Record:
    return Record(cell(method, seed), "error", "ValueError: no")


def report_of(folder: Path, records: Sequence[Record], run: Mapping[str, Any] | None = None) -> Report:
    """The report of a run in ``folder`` with ``records``; ``run`` is what its run.json says besides."""
    store = RunStore(folder / "some_run")
    store.create()
    store.write_run({"cells": [], **(run or {})})
    return make_report(store, records)


def stored(folder: Path, records: Sequence[Record], missing: Sequence[Cell] = (), **content: Any) -> RunStore:
    """A run of the cells of ``records``, and of the ``missing`` ones; ``content`` is what run.json says besides."""
    store = RunStore(folder)
    store.create()
    names = ("key", "method", "dataset", "seed", "metrics")
    cells = [{name: getattr(cell, name) for name in names} for cell in (*(one.cell for one in records), *missing)]
    store.write_run({"recipe": {}, "cells": cells, "command": [], "environment": {}} | content)
    for one in records:
        store.write_record(one)
    return store


def scored(
    method: str,
    seed: int,
    values: Mapping[str, float | None],
    *,
    dataset: str = "digits",
    direction: str = "max",
    fingerprint: str = "f1",
    data: str = "d1",
    **cell_fields: Any,
) -> Record:
    """The record of a cell with these scores, all of one direction; None is a score that failed."""
    metrics = tuple(values)
    rows = [
        MetricRow(
            name, name, value, "", direction, None, f"{fingerprint}-{name}", protocol={"metric": name, "version": 1}
        )
        if value is not None
        else MetricRow(name, name, None, "", "none", None, "", "error", "ValueError: no")
        for name, value in values.items()
    ]
    one = record_of(replace(cell(method, seed, dataset, metrics), **cell_fields), rows)
    return replace(one, data=data)


def broken(method: str, seed: int, metrics: Sequence[str], status: Status = "diverged") -> Record:
    """The record of a cell that failed."""
    return Record(cell(method, seed, metrics=metrics), status, "the loss became nan")
