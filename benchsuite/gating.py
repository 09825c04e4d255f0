"""The gate as a function: a run against a baseline, with more seeds where these are needed to decide."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchsuite import suite
from benchsuite.errors import BaselineError, PluginError, StoreError
from benchsuite.harness.binding import bind
from benchsuite.harness.environment import describe
from benchsuite.harness.recipe import Recipe, Selection, recipe_from
from benchsuite.harness.registry import load_registry
from benchsuite.harness.store import RunStore, find_run, uncollected
from benchsuite.kit.files import digest
from benchsuite.results.baseline import Baseline, read_baseline
from benchsuite.results.gathering import of_run
from benchsuite.results.judging import Evidence, Terms, verdicts_on
from benchsuite.results.moreseeds import FOLDER, adopt, disown, more_seeds
from benchsuite.results.verdicts import Gate


@dataclass(frozen=True)
class GateOutcome:
    """The verdicts and the run that they are on; None where it was interrupted before they could be had."""

    gate: Gate | None
    store: RunStore


def gate(baseline: Path, run: Path, terms: Terms | None = None) -> GateOutcome:
    """The verdicts on the finished ``run``, a run's folder or its name, against the file ``baseline``. Raises
    UsageError.

    >>> gate(Path("baseline.json"), Path("runs/candidate")).gate.exit_code  # doctest: +SKIP
    0
    """
    against, store = read_baseline(baseline), find_run(run)
    return GateOutcome(_verdicts(against, baseline, store, terms or Terms(), escalates=False), store)


def run_and_gate(
    baseline: Path,
    run: Path | None = None,
    terms: Terms | None = None,
    *,
    recipe: Recipe | None = None,
    jobs: int | None = None,
    device: str | None = None,
    observer: suite.Observer | None = None,
) -> GateOutcome:
    """Run what ``run`` lacks, judge it, give suspects the rest of the baseline's seeds, and judge again.

    A ``run`` that is not there yet, or is not named, gets ``recipe``, by default the baseline's, with the first
    ``seeds`` of its seeds that the rules of ``terms`` say. ``jobs`` and ``device`` stand in for the recipe's. Raises
    UsageError.
    """
    terms = terms or Terms()
    against = read_baseline(baseline)
    there = _existing(run)
    chosen = _recipe(against, there if recipe is None else None, recipe, terms.rules.seeds)
    chosen = replace(chosen, jobs=jobs or chosen.jobs, device=device or chosen.device)
    folder = there.path if there else run or Path("runs") / f"gate-{baseline.stem}-{_name(chosen)}"
    outcome = suite.run(chosen, out=folder, observer=observer)
    if outcome.interrupted:
        return GateOutcome(None, outcome.store)
    found = _verdicts(against, baseline, outcome.store, terms, escalates=True)
    more = _more(chosen, against, found)
    if more is None:
        return GateOutcome(found, outcome.store)
    disown(outcome.store)
    again = suite.run(more, out=outcome.store.path / FOLDER, observer=observer)
    if again.interrupted:
        return GateOutcome(None, outcome.store)
    adopt(outcome.store)
    return GateOutcome(_verdicts(against, baseline, outcome.store, terms, escalates=True), outcome.store)


def _existing(run: Path | None) -> RunStore | None:
    """The run of that folder or name, if there is one."""
    if run is None:
        return None
    try:
        return find_run(run)
    except StoreError:
        return None


def _name(recipe: Recipe) -> str:
    """Of a run that nobody named: another one by other versions of what computes, which cells do not identify."""
    versions = describe()
    return digest([recipe.identity(), versions["python"], versions["packages"]], 8)


def _recipe(baseline: Baseline, run: RunStore | None, recipe: Recipe | None, count: int) -> Recipe:
    """That of ``run``, else ``recipe`` or the baseline's, with the first ``count`` of the baseline's seeds."""
    if run is not None:
        return recipe_from(run.read_run()["recipe"])
    seeds = tuple(_seeds(baseline)[:count])
    if not seeds:
        raise BaselineError("the baseline has no cells; set it again from a run")
    return replace(recipe or recipe_from(baseline.recipe), seeds=seeds)


def _seeds(baseline: Baseline) -> list[int]:
    return sorted({seed for entry in baseline.entries for seed in entry.seeds})


def _more(recipe: Recipe, baseline: Baseline, found: Gate) -> Recipe | None:
    """The recipe of the seeds that suspects lack; None where there is nothing to suspect, or no seed left."""
    suspects = found.suspects()
    seeds = tuple(seed for seed in _seeds(baseline) if seed not in recipe.seeds)
    if not suspects or not seeds:
        return None
    methods = _selecting("methods", recipe.methods, {row.method for row in suspects})
    datasets = _selecting("datasets", recipe.datasets, {row.dataset for row in suspects})
    return replace(recipe, methods=methods, datasets=datasets, seeds=seeds)


def _selecting(kind: str, selections: Sequence[Selection], labels: set[str]) -> tuple[Selection, ...]:
    """Those of ``selections`` that any of ``labels`` comes from; a sweep has several."""
    registry = load_registry()
    chosen = []
    for selection in selections:
        with suppress(PluginError):  # a broken one has no scores to suspect
            if labels & {bound.label for bound in bind(kind, selection, registry)}:
                chosen.append(selection)
    return tuple(chosen)


def _verdicts(baseline: Baseline, path: Path, store: RunStore, terms: Terms, *, escalates: bool) -> Gate:
    with uncollected():
        gathered = of_run(store, store.records())
        records = [*gathered.records, *more_seeds(store)]
        run = Evidence(str(store.path), records, gathered.missing, gathered.contents[0])
        known = Evidence(str(path), baseline.records(), run=baseline.to_run())
        return verdicts_on(known, run, terms, escalates=escalates)
