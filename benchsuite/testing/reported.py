"""Reports to try reporters on: of a small run with hostile names, and of one in which every cell failed."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchsuite.contracts import Cell, MetricRow, PhaseRow, Record
from benchsuite.harness import gallery
from benchsuite.harness.pictures import write_sheet
from benchsuite.harness.store import RunStore
from benchsuite.reports import Report
from benchsuite.results.gathering import gather
from benchsuite.results.tables import report_of
from benchsuite.testing.cells import SmallCell, small_cell

# What plugins may have put into names, units and errors: HTML, a formula, LaTeX, Markdown, letters of other scripts.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=cmd()|'/c calc'!A1",
    r"\input{x}",
    "a | b ` * _ [c](d)\n# e",
    "naïve ★ Ωμέγα",
)
_DATASETS = ("digits", HOSTILE[0])
_METHODS = ("pca", *HOSTILE)
_METRICS = (("psnr", "dB", "max"), ("fd", "", "min"), (HOSTILE[0], HOSTILE[2], "none"), (HOSTILE[3], HOSTILE[0], "max"))
_SEEDS = (0, 1)


@dataclass(frozen=True)
class ReportedRun:
    """A report, and the folder that its run lies in."""

    report: Report
    folder: tempfile.TemporaryDirectory[str]


@functools.cache
def small_report() -> ReportedRun:
    """A report with scores, failures, cautions and pictures, made as ``benchsuite report`` makes it."""
    return _reported([*_scored(), *_failed("failed")])


@functools.cache
def report_without_scores() -> ReportedRun:
    """A report on cells that all failed."""
    return _reported(list(_failed("pca", HOSTILE[0])))


def _reported(records: Sequence[Record]) -> ReportedRun:
    folder = tempfile.TemporaryDirectory(prefix="benchsuite-check-")
    store = RunStore(Path(folder.name) / "run")
    store.create()
    names = ("key", "method", "dataset", "seed", "metrics")
    cells = [{name: getattr(record.cell, name) for name in names} for record in records]
    store.write_run({"recipe": {}, "cells": cells, "command": ["benchsuite", "run", *HOSTILE], "environment": {}})
    for record in records:
        store.write_record(record)
        if record.status == "ok":
            _keep_pictures(small_cell("pca", "digits"), store.cell_folder(record.cell.key))
    return ReportedRun(report_of(gather([store])), folder)


def _keep_pictures(cell: SmallCell, folder: Path) -> None:
    write_sheet(cell.evaluation.picture(16), folder / "samples.png")
    gallery.keep(cell.evaluation, folder)


def _cells(methods: Sequence[str], key: str) -> Iterator[Cell]:
    like = small_cell("pca", "digits").cell
    metrics = tuple(name for name, _, _ in _METRICS)
    for place, (dataset, method, seed) in enumerate(itertools.product(_DATASETS, methods, _SEEDS)):
        yield replace(like, key=f"{key}{place}", method=method, dataset=dataset, seed=seed, metrics=metrics)


def _scored() -> Iterator[Record]:
    for place, cell in enumerate(_cells(_METHODS, "scored")):
        rows = [
            MetricRow(name, name, 20.0 + place % 5 + 0.1 * cell.seed, unit, direction, 64, f"f{number}")
            for number, (name, unit, direction) in enumerate(_METRICS)
        ]
        if cell.method == HOSTILE[1]:
            rows[0] = replace(rows[0], reason=HOSTILE[0])
            rows[1] = replace(rows[1], value=None, status="skipped", reason=HOSTILE[1])
        phases = (PhaseRow("fit", 1.5 + cell.seed, 1.4, 256, 100.0, None), PhaseRow("sample", 0.1, 0.1, 64, 1.0, None))
        yield Record(
            cell, "ok", metrics=tuple(rows), phases=phases, parameters=2304, device="cpu", environment="e", data="d"
        )


def _failed(*methods: str) -> Iterator[Record]:
    for cell in _cells(methods, "failed"):
        yield Record(cell, "error", f"ValueError: {HOSTILE[cell.seed]}", traceback=HOSTILE[0], device="cpu")
