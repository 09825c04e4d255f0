"""A report on 10,000 cells and 20 metrics: what it takes to read the run and to write its page.

python benchmarks/speed/large_report.py [--pictures]

Prints seconds of the processor, beside those of the standard library's ``json`` for the same bytes, read alternately;
and the size of the page. The run is made up, in a temporary folder. With ``--pictures`` each cell has samples as well.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchsuite.contracts import Cell, MetricRow, PhaseRow, Record
from benchsuite.harness.pictures import write_sheet
from benchsuite.harness.store import RunStore, uncollected
from benchsuite.results.gathering import gather
from benchsuite.results.tables import frames_of, report_of
from benchsuite_plugins.reporters.html import HTML

METHODS, DATASETS, SEEDS, METRICS = 100, 20, 5, 20


def made_up_records() -> Iterator[Record]:
    """One in fifty has failed."""
    rng = random.Random(0)
    metrics = tuple(f"metric{number}" for number in range(METRICS))
    phases = ("load", "build", "fit", "sample", "encode.test", "encode.train", *(f"metric.{name}" for name in metrics))
    for method in range(METHODS):
        for dataset in range(DATASETS):
            for seed in range(SEEDS):
                cell = Cell(
                    key=f"{method}-{dataset}-{seed}",
                    method=f"method{method}",
                    method_name=f"method{method}",
                    params={"width": method, "epochs": 40},
                    dataset=f"data{dataset}",
                    dataset_name=f"data{dataset}",
                    dataset_params={},
                    dataset_fingerprint="d",
                    seed=seed,
                    latent_dim=8,
                    metrics=metrics,
                    samples=4000,
                    device="cpu",
                    precision="fp32",
                    threads=1,
                    budget=None,
                )
                protocol = {"version": 1, "params": {}, "samples": 4000, "features": "net-1", "seed": seed}
                protocol |= {"n": {"real": 57, "generated": 4000}, "codes": {"reconstructed": "encoder"}}
                rows = tuple(
                    MetricRow(
                        name,
                        name,
                        rng.gauss(method + i, 1),
                        "dB",
                        "max" if i % 2 else "min",
                        57,
                        "f",
                        protocol=protocol,
                    )
                    for i, name in enumerate(metrics)
                )
                times = tuple(PhaseRow(phase, rng.random(), 0.5, 10, 100.0, None) for phase in phases)
                ended = {"phases": times, "device": "cpu", "environment": "e"}
                failed = rng.random() < 0.02
                yield (
                    Record(cell, "error", "ValueError: no", **ended)
                    if failed
                    else Record(cell, "ok", metrics=rows, **ended)
                )


def make_run(folder: Path, *, pictures: bool) -> RunStore:
    store = RunStore(folder)
    store.create()
    cells = []
    sheet = torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for record in made_up_records():
        store.write_record(record)
        if pictures:
            write_sheet(sheet, store.cell_folder(record.cell.key) / "samples.png")
        names = ("key", "method", "dataset", "seed", "metrics")
        cells.append({name: getattr(record.cell, name) for name in names})
    store.write_run({"recipe": {}, "cells": cells, "command": ["benchsuite", "run"], "environment": {}})
    return store


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", action="store_true")
    pictures = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as folder:
        store = make_run(Path(folder) / "large", pictures=pictures)
        texts = [path.read_bytes() for path in sorted(store.path.glob("cells/*/record.json"))]
        with uncollected():  # as the command does it
            for _ in range(3):
                by_json, _ = seconds(lambda: sum(len(json.loads(text)) for text in texts))
                loading, _ = seconds(lambda: frames_of(gather([store])))
                print(f"frames {loading:.2f} s, {loading / by_json:.2f} x json")
            making, report = seconds(lambda: report_of(gather([store])))
            writing, (page,) = seconds(lambda: HTML().write(report, Path(folder)))
        print(f"report {making:.2f} s, its page {writing:.2f} s, {page.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
