"""What ``run`` and ``score`` print when they are done."""

from __future__ import annotations

import json
from typing import Any

import click

from benchsuite.cli.tables import print_report
from benchsuite.harness.rows import result_rows, timing_rows
from benchsuite.kit.text import json_safe
from benchsuite.results.tables import make_report
from benchsuite.suite import Outcome


def show(outcome: Outcome, as_json: bool) -> int:
    """Print the tables of ``outcome``, or JSON; returns the exit code."""
    if as_json:
        click.echo(json.dumps(_as_json(outcome), indent=1, allow_nan=False))
    else:
        print_report(make_report(outcome.store, outcome.records))
    if outcome.interrupted:
        click.echo(f"interrupted; the same command goes on from here: {_left(outcome)}", err=True)
    return outcome.exit_code


def _left(outcome: Outcome) -> str:
    """What an interrupted run has, and what becomes of the rest."""
    known = {record.cell.key for record in outcome.records}
    cut = [p.cell.key for p in outcome.plan.cells if p.cell.key not in known]
    resumed = sum((outcome.store.cell_folder(key) / "checkpoint.pt").exists() for key in cut)
    parts = [f"{outcome.ended} cells are kept"]
    if to_score := len(known) - outcome.ended:
        parts.append(f"{to_score} are trained and still to be scored")
    if cut:
        parts.append(f"{resumed} resume from a checkpoint, {len(cut) - resumed} begin anew")
    return ", ".join(parts)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "run": outcome.store.name,
        "folder": str(outcome.store.path),
        "exit_code": outcome.exit_code,
        "results": [
            row | {"value": json_safe(row["value"])} for row in result_rows(outcome.store.name, outcome.records)
        ],
        "timings": list(timing_rows(outcome.store.name, outcome.records)),
    }
