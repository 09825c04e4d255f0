"""``benchsuite plan``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from benchsuite.cli.options import force_flag, fresh_flag, json_flag, out_flag, plugin_flags, recipe_flags, recipe_of


@click.command("plan")
@recipe_flags
@out_flag
@force_flag
@fresh_flag
@plugin_flags
@json_flag
def command(recipe_file: Path | None, out: Path | None, force: bool, fresh: bool, as_json: bool, **flags: Any) -> None:
    """Show what a run would do, and why, without doing it. Takes the flags of ``run``."""
    recipe = recipe_of(recipe_file, flags)
    from benchsuite.harness.plan import make_plan, plan_rows
    from benchsuite.harness.registry import load_registry
    from benchsuite.harness.store import RunStore
    from benchsuite.kit.text import table
    from benchsuite.suite import default_jobs, run_folder

    folder = run_folder(recipe, out, fresh)
    plan = make_plan(recipe, load_registry(), RunStore(folder), force=force)
    rows = plan_rows(plan)
    jobs = recipe.jobs or default_jobs(recipe)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "jobs": jobs, "cells": rows}, indent=1))
        return
    header = ["method", "dataset", "seed", "action", "why"]
    cells = [[str(row[name]) for name in header] for row in rows]
    click.echo(table(header, cells, [False, False, True, False, False]))
    click.echo(f"\n{len(plan.to_run)} of {len(plan.cells)} cells would run, {jobs} at once, in {folder}")
