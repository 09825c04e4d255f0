"""The Python API that the command line calls: a recipe in, a run directory and its records out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchsuite.contracts import Executor, ExecutorOptions, Record
from benchsuite.errors import UsageError
from benchsuite.harness import cellrunner, isolation
from benchsuite.harness.environment import describe, usable_cores
from benchsuite.harness.plan import Plan, PlannedCell, cells_of
from benchsuite.harness.recipe import Recipe, read_recipe, recipe_from
from benchsuite.harness.registry import Registry, load_registry
from benchsuite.harness.rescoring import SCORING_FAILED
from benchsuite.harness.scoring import plan_scoring, scored_run
from benchsuite.harness.store import RunStore, find_run, seen_by

EXIT_OK, EXIT_CELL_FAILED, EXIT_INTERRUPTED = 0, 1, 130


class Observer:
    """Told what happens while a recipe runs; every method does nothing until overridden."""

    def planned(self, plan: Plan, store: RunStore) -> None:
        """The plan is made and the run directory is open."""

    def progress(self, key: str, fraction: float, text: str) -> None:
        """A cell is ``fraction`` through what ``text`` names. Called from other threads."""

    def finished(self, record: Record) -> None:
        """A cell has ended."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to: where it lies, its plan, and the records of the plan's cells, in its order.

    After an interruption they are those of the cells that have one, be it of before.
    """

    store: RunStore
    plan: Plan
    records: tuple[Record, ...]
    interrupted: bool = False
    ended: int = 0  # cells that are as the plan wants them

    @property
    def exit_code(self) -> int:
        """0 where every cell is ok or skipped and no metric failed, 1 where one failed, 130 when interrupted."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        statuses = {r.status for r in self.records} | {row.status for r in self.records for row in r.metrics}
        tried = {planned.cell.key for planned in self.plan.to_run}
        notes = [note for r in self.records if r.cell.key in tried for note in r.notes]
        scored = not any(note.startswith(SCORING_FAILED) for note in notes)
        return EXIT_OK if statuses <= {"ok", "skipped"} and scored else EXIT_CELL_FAILED


def run(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    *,
    out: str | Path | None = None,
    force: bool = False,
    fresh: bool = False,
    observer: Observer | None = None,
) -> Outcome:
    """Run what ``recipe`` asks for and is not done yet.

    ``recipe`` is a Recipe, its keys and values, or the path of a TOML file. ``out`` is the run directory, by default
    under ``runs/`` and named by the recipe, so that the same recipe finds its finished cells again. ``force`` runs
    them all again; ``fresh`` takes a new directory. Raises UsageError for what a person has to put right first.

    >>> outcome = run({"methods": "pca"}, out="runs/example")  # doctest: +SKIP
    """
    resolved = resolve(recipe)
    if resolved.memory_limit is not None and sys.platform != "linux":
        raise UsageError(f"memory limits need Linux; this is {sys.platform}; run without --memory-limit")
    registry = load_registry()
    cells = cells_of(resolved, registry)  # refuses what cannot run before a folder is made
    store = RunStore(run_folder(resolved, out, fresh))
    store.create()
    with store.exclusive():
        plan = cells.plan(store, force=force)
        return _Drive(plan, store, registry, observer or Observer(), forced=force).go(_content(plan))


def score(
    run: str | Path,
    metrics: str | Sequence[str],
    *,
    samples: int | None = None,
    force: bool = False,
    observer: Observer | None = None,
) -> Outcome:
    """Score the finished models of a run again, by ``metrics`` beside those that it has, without training any.

    ``run`` is its folder, or the folder's name under ``runs/``. ``samples`` is how many are drawn, by default as many
    as it was last scored with; with another number all metrics of samples are scored anew, and with ``force`` all
    metrics. Raises
    UsageError for what a person has to put right first.

    >>> outcome = score("runs/example", "precision,recall")  # doctest: +SKIP
    """
    chosen = recipe_from({"methods": "any", "metrics": metrics if isinstance(metrics, str) else list(metrics)}).metrics
    registry, store = load_registry(), find_run(Path(run))
    with store.exclusive():
        plan = plan_scoring(store, chosen or (), registry, samples=samples, force=force)
        return _Drive(plan, store, registry, observer or Observer(), rescore=force).go(
            scored_run(store, plan, sys.argv)
        )


def _content(plan: Plan) -> dict[str, Any]:
    """What run.json says of a run of ``plan``."""
    return {
        "recipe": plan.recipe.to_json(),
        "cells": [
            {
                "key": p.cell.key,
                "method": p.cell.method,
                "dataset": p.cell.dataset,
                "seed": p.cell.seed,
                "metrics": p.cell.metrics,
            }
            for p in plan.cells
        ],
        "command": sys.argv,
        "environment": describe(),
    }


def resolve(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    """``recipe`` in whatever form it is given, as a Recipe."""
    if isinstance(recipe, Recipe):
        return recipe
    return recipe_from(recipe if isinstance(recipe, Mapping) else read_recipe(Path(recipe)))


def run_folder(recipe: Recipe, out: str | Path | None, fresh: bool) -> Path:
    """The run directory of ``recipe``; with ``fresh`` one that does not exist yet."""
    folder = Path(out) if out is not None else Path("runs") / recipe.name()
    if not fresh:
        return folder
    number = 2
    candidate = folder
    while candidate.exists():
        candidate = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return candidate


class _Drive:
    """Drives one plan through its executor."""

    def __init__(
        self,
        plan: Plan,
        store: RunStore,
        registry: Registry,
        observer: Observer,
        *,
        forced: bool = False,
        rescore: bool = False,
    ) -> None:
        self.plan, self.store, self.registry, self.observer = plan, store, registry, observer
        self.forced, self.rescore = forced, rescore
        self.records = {p.cell.key: p.record for p in plan.cells if p.record is not None and p.action == "done"}
        self.cells = {p.cell.key: p.cell for p in plan.cells}

    def go(self, content: Mapping[str, Any]) -> Outcome:
        self.store.write_run(content)
        self.store.event("run_started", to_run=len(self.plan.to_run), cells=len(self.plan.cells))
        self.observer.planned(self.plan, self.store)
        for planned in self.plan.cells:
            if planned.action == "broken":
                record = Record(planned.cell, "error", planned.why)
                self.store.write_record(record)
                self._finish(record)
        interrupted = False
        try:
            if self.plan.to_run:
                self._execute()
        except KeyboardInterrupt:
            interrupted = True
            isolation.stop_isolation()
            self._take_in_what_ended_meanwhile()
        ended = len(self.records)
        for planned in self.plan.cells:  # a model that was to be scored has its earlier scores still
            if planned.action == "score" and planned.record is not None:
                self.records.setdefault(planned.cell.key, seen_by(planned.record, planned.cell))
        records = tuple(self.records[p.cell.key] for p in self.plan.cells if p.cell.key in self.records)
        self.store.write_tables(records)
        self.store.event("run_interrupted" if interrupted else "run_finished")
        return Outcome(self.store, self.plan, records, interrupted, ended)

    def _take_in_what_ended_meanwhile(self) -> None:
        """Records that cells have stored but that the executor had not handed over when it was interrupted."""
        for planned in self.plan.to_run:
            record = self.store.record(planned.cell.key)
            if record is not None and record != planned.record and planned.cell.key not in self.records:
                self._finish(record)

    def _execute(self) -> None:
        recipe, to_run = self.plan.recipe, self.plan.to_run
        jobs = min(recipe.jobs or default_jobs(recipe), len(to_run))
        runner = cellrunner.CellRunner(
            run_folder=str(self.store.path.resolve()),
            keep_model=recipe.keep == "models",
            shared_device=jobs > 1,  # of memory bandwidth, caches and clock, if of nothing else
            timeout=recipe.timeout,
            memory_limit=recipe.memory_limit,
            score_only=frozenset(p.cell.key for p in to_run if p.action == "score"),
            forced=frozenset(p.cell.key for p in to_run) if self.forced else frozenset(),
            attempts={p.cell.key: _attempts(p) for p in to_run},
            rescore=self.rescore,
            notes={p.cell.key: p.note for p in to_run},
        )
        executor: Executor = self.registry.get("executors", recipe.executor)()
        isolation.start_isolation()
        cellrunner.listen(self.observer.progress)
        for planned in to_run:
            self.store.event("cell_queued", cell=planned.cell.key, why=planned.why)
            self._tell(partial(self.registry.manager.hook.benchsuite_cell_started, cell=planned.cell))
        results = executor.run([p.cell for p in to_run], runner, ExecutorOptions(jobs))
        try:
            for record in results:
                self._finish(record)
        finally:
            close = getattr(results, "close", None)
            if close is not None:
                close()
            cellrunner.listen(None)
            isolation.stop_isolation()

    def _finish(self, record: Record) -> None:
        if self.store.record(record.cell.key) is None:
            with contextlib.suppress(OSError):  # its folder may be the trouble; the tables have it all the same
                self.store.write_record(record)
        record = seen_by(record, self.cells[record.cell.key])
        self.records[record.cell.key] = record
        self.store.event("cell_finished", cell=record.cell.key, status=record.status, reason=record.reason)
        self._tell(partial(self.registry.manager.hook.benchsuite_cell_finished, cell=record.cell, record=record))
        self.observer.finished(record)

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self.store.event("hook_failed", error=f"{type(error).__name__}: {error}")


def _attempts(planned: PlannedCell) -> int:
    return planned.record.attempts if planned.record and planned.action == "retry" else 0


def default_jobs(recipe: Recipe) -> int:
    """One cell at a time on a GPU, else as many as there are cores for their threads."""
    return 1 if _uses_gpu(recipe) else max(1, usable_cores() // recipe.threads)


def _uses_gpu(recipe: Recipe) -> bool:
    import torch

    if recipe.device == "auto":
        return torch.cuda.device_count() > 0  # counts without initialising one
    return recipe.device != "cpu"
