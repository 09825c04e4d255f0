"""The plan: a recipe and the registry make cells, each with its identity; the store says which are done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch

from benchsuite.contracts import Cell, Dataset, Record
from benchsuite.errors import PluginError, SelectionError, UsageError, reason_of
from benchsuite.harness.binding import Bound, BoundMetric, bind, bind_metric, dataset_fingerprint
from benchsuite.harness.environment import cache_folder
from benchsuite.harness.recipe import Recipe, Selection
from benchsuite.harness.registry import Registry
from benchsuite.harness.store import RunStore, seen_by
from benchsuite.kit.files import digest

MAX_ATTEMPTS = 3
Action = Literal["done", "run", "resume", "retry", "score", "broken"]
_RETRIED = ("error", "oom", "timeout", "killed")
_SETTINGS = ("latent_dim", "subset", "device", "precision", "threads", "budget")
_NAMED = ("params", "method_content", "dataset_fingerprint", *_SETTINGS)  # by ``why``, where they differ


@dataclass(frozen=True)
class PlannedCell:
    """A cell, what is to be done about it and why. ``broken`` cells cannot run: ``why`` becomes their record."""

    cell: Cell
    action: Action
    why: str
    record: Record | None = None
    note: str = ""  # for the record, once it is scored


@dataclass(frozen=True)
class Plan:
    """Every cell of a recipe, in the order in which tables show them."""

    recipe: Recipe
    cells: tuple[PlannedCell, ...]

    @property
    def to_run(self) -> tuple[PlannedCell, ...]:
        """The cells that an executor has to run."""
        return tuple(c for c in self.cells if c.action in ("run", "resume", "retry", "score"))


@dataclass(frozen=True)
class AskedCell:
    """A cell of the recipe with its metrics; ``problem`` says why it cannot run, if it cannot."""

    cell: Cell
    metrics: list[BoundMetric | Selection]
    problem: str


@dataclass(frozen=True)
class Cells:
    """Every cell of a recipe, before it is known what of them is done."""

    recipe: Recipe
    asked: tuple[AskedCell, ...]

    def plan(self, store: RunStore | None = None, *, force: bool = False) -> Plan:
        """The plan against what ``store`` holds already; ``force`` runs every cell from its beginning."""
        return Plan(self.recipe, tuple(_decide(asked, store, force) for asked in self.asked))


def cells_of(recipe: Recipe, registry: Registry) -> Cells:
    """The cells of ``recipe``, which takes looking at the data of its datasets.

    Raises UsageError for whatever a person has to put right first; a broken plugin only breaks its own cells.
    """
    _check_executor(recipe, registry)
    _check_device(recipe.device)
    methods = [
        _with_content(m, partial(_files_of, samples=recipe.samples))
        for s in recipe.methods
        for m in _bind_or_break("methods", s, registry)
    ]
    datasets = [_with_content(d, _data_of) for s in recipe.datasets for d in _bind_or_break("datasets", s, registry)]
    asked = []
    for dataset in datasets:
        metrics = _metrics(recipe, dataset, registry)
        for method in methods:
            for seed in recipe.seeds:
                cell = _cell(recipe, method, dataset, seed, metrics)
                asked.append(AskedCell(cell, metrics, method.problem or dataset.problem))
    _check_labels([one.cell for one in asked])
    return Cells(recipe, tuple(asked))


def make_plan(recipe: Recipe, registry: Registry, store: RunStore | None = None, *, force: bool = False) -> Plan:
    """The plan of ``recipe``, against what ``store`` holds already. Raises UsageError as ``cells_of`` does."""
    return cells_of(recipe, registry).plan(store, force=force)


@dataclass(frozen=True)
class _Broken:
    """A selection whose plugin cannot be used."""

    label: str
    name: str
    problem: str
    params: dict[str, Any]


def _check_executor(recipe: Recipe, registry: Registry) -> None:
    try:
        registry.get("executors", recipe.executor)
    except PluginError as error:
        raise UsageError(str(error)) from None


def _check_device(name: str) -> None:
    """A device that is named has to be there; it is counted, not initialised."""
    kind, _, number = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
    if kind in ("cuda", "mps") and int(number or 0) >= count:
        raise UsageError(f"there is no device '{name}' here; see 'benchsuite env', or use --device auto")


def _bind_or_break(kind: str, selection: Selection, registry: Registry) -> list[Bound | _Broken]:
    try:
        return list(bind(kind, selection, registry))
    except PluginError as error:
        label = selection.label or selection.unlabelled()
        return [_Broken(label, selection.name, str(error), dict(selection.params))]


def _with_content(part: Bound | _Broken, find: Callable[[Bound], str]) -> Bound | _Broken:
    """``part`` with what identifies the data that it reads, as ``find`` says, or with its problem where there are none.

    Such as a dataset that has to be prepared first.
    """
    if isinstance(part, _Broken):
        return part
    try:
        return replace(part, content=find(part))
    except UsageError:
        raise
    except Exception as error:  # a plugin's code
        return replace(part, problem=reason_of(error))


def _data_of(dataset: Bound) -> str:
    content: str = dataset.instance.content(cache_folder())
    return content


def _files_of(method: Bound, samples: int) -> str:
    """Raises UsageError where it has fewer ``samples`` than are to be drawn."""
    most = method.instance.most_samples()
    if most is not None and most < samples:
        raise UsageError(
            f"{method.label} has {most} samples, and {samples} are asked for; run with --samples {most}, "
            "which is for all methods"
        )
    content: str = method.instance.content()
    return content


def _metrics(recipe: Recipe, dataset: Bound | _Broken, registry: Registry) -> list[BoundMetric | Selection]:
    """The metrics of one dataset's cells; a Selection alone where its plugin is broken."""
    selections = recipe.metrics or tuple(Selection(name) for name in registry.names("metrics"))
    if isinstance(dataset, _Broken):
        return list(selections)
    metrics: list[BoundMetric | Selection] = []
    for selection in selections:
        try:
            samples, subset = recipe.samples, recipe.subset
            bound = bind_metric(selection, dataset.instance, cache_folder(), samples, subset, registry)
        except PluginError:
            metrics.append(selection)  # its row will say what is wrong
            continue
        if recipe.metrics or _applies(bound, dataset.instance):
            metrics.append(bound)
    return metrics


def _applies(asked: BoundMetric, dataset: Dataset) -> bool:
    """Whether a metric is chosen unasked: where it wants to be, for data of this kind, that can tell what it asks."""
    known = "truth" not in asked.artefacts or type(dataset).truth is not Dataset.truth
    return asked.metric.default and known and asked.metric.kind in (None, dataset.kind)


def _cell(
    recipe: Recipe,
    method: Bound | _Broken,
    dataset: Bound | _Broken,
    seed: int,
    metrics: list[BoundMetric | Selection],
) -> Cell:
    latent_dim = method.params.get("latent_dim") or recipe.latent_dim or _default_latent_dim(dataset)
    files = [_content(method)] if _content(method) else []
    identity = {
        "labels": [method.label, dataset.label],
        "method": [method.name, method.params, _source(method), *files],
        "dataset": _fingerprint(dataset),
        "seed": seed,
        "latent_dim": latent_dim,
        "subset": recipe.subset,
        "device": recipe.device,
        "precision": recipe.precision,
        "threads": recipe.threads,
        "budget": recipe.budget,
    }
    readable = re.sub(r"[^A-Za-z0-9_.=-]+", "_", f"{method.label}-{dataset.label}")[:60].strip("_")
    return Cell(
        key=f"{readable}-s{seed}-{digest(identity)}",
        method=method.label,
        method_name=method.name,
        params=method.params,
        dataset=dataset.label,
        dataset_name=dataset.name,
        dataset_params=dataset.params,
        dataset_fingerprint=_fingerprint(dataset),
        seed=seed,
        latent_dim=latent_dim,
        subset=recipe.subset,
        content=_content(dataset),
        method_content=_content(method),
        metrics=tuple(m.selection if isinstance(m, BoundMetric) else m.unlabelled() for m in metrics),
        samples=recipe.samples,
        device=recipe.device,
        precision=recipe.precision,
        threads=recipe.threads,
        budget=recipe.budget,
    )


def _default_latent_dim(dataset: Bound | _Broken) -> int | None:
    return None if isinstance(dataset, _Broken) else dataset.instance.latent_dim


def _source(part: Bound | _Broken) -> str:
    return "broken" if isinstance(part, _Broken) else part.source


def _fingerprint(dataset: Bound | _Broken) -> str:
    return dataset_fingerprint(dataset.name, _content(dataset), dataset.params, _source(dataset))


def _content(part: Bound | _Broken) -> str:
    return part.content if isinstance(part, Bound) else ""


def _decide(asked: AskedCell, store: RunStore | None, force: bool) -> PlannedCell:
    cell = asked.cell
    if asked.problem:
        return PlannedCell(cell, "broken", asked.problem)
    record = store.record(cell.key) if store and not force else None
    if force:
        return PlannedCell(cell, "run", "forced")
    if record is None:
        return _decide_unfinished(cell, store)
    if record.status in _RETRIED:
        if record.attempts >= MAX_ATTEMPTS:
            return PlannedCell(
                cell,
                "done",
                f"{record.status}, given up after {record.attempts} attempts; --force starts over",
                seen_by(record, cell),
            )
        return PlannedCell(cell, "retry", f"ended as {record.status}, attempt {record.attempts + 1}", record)
    missing = [*unscored_metrics(asked.metrics, record)] if record.status == "ok" else []
    if missing:
        model = store is not None and (store.cell_folder(cell.key) / "model.pt").exists()
        scores = ", ".join(missing)
        if model:
            return PlannedCell(cell, "score", f"trained, not scored: {scores}", record)
        return PlannedCell(cell, "run", f"no model was kept to score: {scores}", record)
    return PlannedCell(cell, "done", "finished" if record.status == "ok" else record.status, seen_by(record, cell))


def _decide_unfinished(cell: Cell, store: RunStore | None) -> PlannedCell:
    if store and (store.cell_folder(cell.key) / "checkpoint.pt").exists():
        return PlannedCell(cell, "resume", "cut off in training, goes on from its checkpoint")
    changed = _nearest(cell, store)
    if changed:
        return PlannedCell(cell, "run", f"{changed} changed since it was run")
    return PlannedCell(cell, "run", "new")


def _nearest(cell: Cell, store: RunStore | None) -> str:
    """What differs from a finished cell of the same name, for the plan's ``why``."""
    if store is None:
        return ""
    for folder in sorted((store.path / "cells").glob(f"{cell.key.rpartition('-')[0]}-*")):
        other = store.record(folder.name)
        if other is None:
            continue
        differing = [name for name in _NAMED if _plain(getattr(other.cell, name)) != _plain(getattr(cell, name))]
        return ", ".join(differing) or "code"
    return ""


def _plain(value: Any) -> Any:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()} if isinstance(value, dict) else value


def unscored_metrics(metrics: list[BoundMetric | Selection], record: Record) -> Iterator[str]:
    """The selections of ``metrics`` that ``record`` has no score of under their protocols."""
    done = {(row.selection, row.fingerprint) for row in record.metrics if row.status in ("ok", "skipped")}
    scored = {row.selection for row in record.metrics if row.status == "ok"}
    broken = {row.selection for row in record.metrics if row.status == "error"}
    for metric in metrics:
        if isinstance(metric, Selection):
            if metric.unlabelled() not in broken:
                yield metric.unlabelled()
        elif metric.problem and metric.selection in scored:
            continue  # what is missing now was there when it was scored
        elif (metric.selection, metric.fingerprint) not in done:
            yield metric.selection


def _check_labels(cells: list[Cell]) -> None:
    """Two cells must not share a row of the tables, let alone a folder."""
    seen = set()
    for cell in cells:
        row = (cell.method, cell.dataset, cell.seed)
        if row in seen:
            raise SelectionError(f"'{cell.method}' on '{cell.dataset}' is selected twice; label one: NAME@label")
        seen.add(row)


def plan_rows(plan: Plan) -> list[dict[str, Any]]:
    """The plan as ``benchsuite plan`` prints it."""
    return [
        {
            "method": p.cell.method,
            "dataset": p.cell.dataset,
            "seed": p.cell.seed,
            "action": p.action,
            "why": p.why,
        }
        | {"cell": p.cell.key}
        for p in plan.cells
    ]
