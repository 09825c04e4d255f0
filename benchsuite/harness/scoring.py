"""The plan of scoring what is trained already: the cells of a run, with more metrics, none of them trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchsuite.contracts import Cell, Record
from benchsuite.errors import StoreError
from benchsuite.harness.plan import AskedCell, Plan, PlannedCell, cells_of, unscored_metrics
from benchsuite.harness.recipe import Selection, recipe_from
from benchsuite.harness.registry import Registry
from benchsuite.harness.rescoring import OTHER_CODE
from benchsuite.harness.store import RunStore, seen_by


def plan_scoring(
    store: RunStore, metrics: tuple[Selection, ...], registry: Registry, *, samples: int | None, force: bool
) -> Plan:
    """Every finished model of the run's current plan with ``metrics`` beside those that it was planned with.

    ``samples`` is how many are drawn, by default as many as the models were last scored with; ``force`` scores again
    what stands. Raises UsageError for what a person has to put right first.
    """
    content = store.read_run()
    try:
        before = recipe_from(content["recipe"])
        planned = [(cell["key"], tuple(cell["metrics"])) for cell in content["cells"]]
    except (KeyError, TypeError):
        raise StoreError(f"{store.path / 'run.json'} is not of this version; run its command again") from None
    found = [(record, texts) for key, texts in planned if (record := store.record(key)) is not None]
    last = max((record.cell.samples for record, _ in found), default=before.samples)
    recipe = replace(before, metrics=metrics, samples=last if samples is None else samples)
    asked = {(one.cell.method, one.cell.dataset, one.cell.seed): one for one in cells_of(recipe, registry).asked}
    cells = []
    for record, texts in found:
        one = asked.get((record.cell.method, record.cell.dataset, record.cell.seed))
        if one is None:  # its plugin is broken by now
            cells.append(PlannedCell(record.cell, "done", "its method or dataset cannot be used", record))
            continue
        wanted = tuple(dict.fromkeys((*texts, *one.cell.metrics)))
        cells.append(_planned(record, one, replace(record.cell, metrics=wanted, samples=recipe.samples), force))
    return Plan(recipe, tuple(cells))


def _planned(record: Record, asked: AskedCell, cell: Cell, force: bool) -> PlannedCell:
    missing = [*unscored_metrics(asked.metrics, record)]
    redrawn = cell.samples != record.cell.samples
    if record.status != "ok" or not (missing or redrawn or force):
        why = "scored already" if record.status == "ok" else f"ended as {record.status}"
        return PlannedCell(cell, "done", why, seen_by(record, cell))
    note = OTHER_CODE if asked.cell.key != cell.key else ""
    return PlannedCell(cell, "score", ", ".join(missing) or "scored again", record, note)


def scored_run(store: RunStore, plan: Plan, command: list[str]) -> dict[str, Any]:
    """The content of run.json with what ``plan`` adds to the metrics of its cells, and the ``command`` that did it."""
    content, wanted = store.read_run(), {planned.cell.key: planned.cell.metrics for planned in plan.cells}
    cells = [{**cell, "metrics": wanted.get(cell["key"], cell["metrics"])} for cell in content["cells"]]
    return {**content, "cells": cells, "scored": [*content.get("scored", []), command]}
