"""``benchsuite run``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from benchsuite.cli.options import force_flag, fresh_flag, json_flag, out_flag, recipe_flags, recipe_of
from benchsuite.harness import server


@click.command("run")
@recipe_flags
@out_flag
@force_flag
@fresh_flag
@json_flag
def command(recipe_file: Path | None, out: Path | None, force: bool, fresh: bool, as_json: bool, **flags: Any) -> int:
    """Run methods on datasets and print the comparison.

    What is finished already is not run again; what was cut off goes on from its checkpoint. Flags stand in for the
    keys of RECIPE.toml.

    \b
    benchsuite run --methods glo,dcgan
    benchsuite run -m pca,vae,dcgan,glo --seeds 3
    benchsuite run -m "glo[epochs=40],glo[optimiser=sgd]@paper" --metrics psnr,fd
    """
    recipe = recipe_of(recipe_file, flags)  # before anything heavy is imported, so that a typo answers at once
    server.start_early()
    from benchsuite import suite
    from benchsuite.cli.progress import watch

    with watch() as observer:
        outcome = suite.run(recipe, out=out, force=force, fresh=fresh, observer=observer)

    from benchsuite.cli.tables import print_report
    from benchsuite.results.tables import make_report

    report = make_report(outcome.store, outcome.records)
    if as_json:
        click.echo(json.dumps(_as_json(outcome), indent=1, allow_nan=False))
    else:
        print_report(report)
    if outcome.interrupted:
        click.echo(f"interrupted; the same command goes on from here: {_left(outcome)}", err=True)
    return outcome.exit_code


def _left(outcome: Any) -> str:
    """What an interrupted run has, and what becomes of the rest."""
    ended = {record.cell.key for record in outcome.records}
    cut = [p.cell.key for p in outcome.plan.cells if p.cell.key not in ended]
    resumed = sum((outcome.store.cell_folder(key) / "checkpoint.pt").exists() for key in cut)
    return f"{len(ended)} cells are kept, {resumed} resume from a checkpoint, {len(cut) - resumed} begin anew"


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: an infinite score, such as the pSNR of a perfect copy, is text there."""
    value = row["value"]
    return row | {"value": value if value is None or math.isfinite(value) else str(value)}


def _as_json(outcome: Any) -> dict[str, Any]:
    from benchsuite.harness.store import result_rows, timing_rows

    return {
        "run": outcome.store.name,
        "folder": str(outcome.store.path),
        "exit_code": outcome.exit_code,
        "results": [_finite(row) for row in result_rows(outcome.store.name, outcome.records)],
        "timings": list(timing_rows(outcome.store.name, outcome.records)),
    }
