"""The gate as a function: a run against a baseline, with more seeds where these are needed to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchsuite import suite
from benchsuite.contracts import Record
from benchsuite.errors import BaselineError, PluginError, UsageError
from benchsuite.harness.binding import bind
from benchsuite.harness.recipe import Recipe, Selection, recipe_from
from benchsuite.harness.registry import load_registry
from benchsuite.harness.store import RunStore, find_run, uncollected
from benchsuite.kit.files import digest, write_text
from benchsuite.kit.text import named, plural
from benchsuite.results.baseline import Baseline, read_baseline
from benchsuite.results.changes import run_changes
from benchsuite.results.gate import changes_of, judge
from benchsuite.results.gathering import of_run
from benchsuite.results.rules import Rules
from benchsuite.results.statistics import MIN_SEEDS
from benchsuite.results.timegate import TIME, with_times
from benchsuite.results.verdicts import Gate, Row, in_order

_MORE = "more-seeds"  # the run, inside the run's folder, of the seeds that suspects are given
_OF = "of.txt"  # what it belongs to


@dataclass(frozen=True)
class GateOutcome:
    """The verdicts and the run that they are on; ``interrupted`` where it was cut off before they could be had."""

    gate: Gate | None
    store: RunStore
    interrupted: bool = False


def gate(
    baseline: Path,
    run: Path | None = None,
    *,
    rules: Rules | None = None,
    strict: bool = False,
    timing: bool = False,
) -> GateOutcome:
    """The verdicts on the finished ``run`` against the file ``baseline``. Raises UsageError.

    ``timing`` gates the seconds of training too, as far as they compare.

    >>> gate(Path("baseline.json"), Path("runs/candidate")).gate.exit_code  # doctest: +SKIP
    0
    """
    if run is None:
        raise UsageError("name a run, or let the gate make one with --run")
    against, store = read_baseline(baseline), find_run(run)
    return GateOutcome(_verdicts(against, baseline, store, rules or Rules(), strict, timing, escalates=False), store)


def run_and_gate(
    baseline: Path,
    run: Path | None = None,
    *,
    recipe: Recipe | None = None,
    rules: Rules | None = None,
    strict: bool = False,
    timing: bool = False,
    jobs: int | None = None,
    device: str | None = None,
    observer: suite.Observer | None = None,
) -> GateOutcome:
    """Run what ``run`` lacks, judge it, give suspects the rest of the baseline's seeds, and judge again.

    A ``run`` that is not there yet, or is not named, gets ``recipe``, by default the baseline's, with the first
    ``rules.seeds`` of its seeds. ``jobs`` and ``device`` stand in for the recipe's. Raises UsageError.
    """
    rules = rules or Rules()
    against = read_baseline(baseline)
    chosen = _recipe(against, run, recipe, rules)
    chosen = replace(chosen, jobs=jobs or chosen.jobs, device=device or chosen.device)
    folder = run or Path("runs") / f"gate-{baseline.stem}-{chosen.identity()}"
    outcome = suite.run(chosen, out=folder, observer=observer)
    if outcome.interrupted:
        return GateOutcome(None, outcome.store, interrupted=True)
    found = _verdicts(against, baseline, outcome.store, rules, strict, timing, escalates=True)
    more = _more(chosen, against, found)
    if more is None:
        return GateOutcome(found, outcome.store)
    again = suite.run(more, out=outcome.store.path / _MORE, observer=observer)
    if again.interrupted:
        return GateOutcome(None, outcome.store, interrupted=True)
    write_text(again.store.path / _OF, _identity(outcome.store))
    return GateOutcome(
        _verdicts(against, baseline, outcome.store, rules, strict, timing, escalates=True), outcome.store
    )


def _recipe(baseline: Baseline, run: Path | None, recipe: Recipe | None, rules: Rules) -> Recipe:
    """That of the run where there is one, else the one given, else the baseline's, beginning with a few seeds."""
    if run is not None and (run / "run.json").exists():
        return recipe_from(RunStore(run).read_run()["recipe"])
    asked = recipe or recipe_from(baseline.recipe)
    seeds = _seeds(baseline)
    first = tuple(seeds[: rules.seeds])
    if not first:
        raise BaselineError("the baseline has no cells; set it again from a run")
    return replace(asked, seeds=first)


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


def _identity(store: RunStore) -> str:
    """Of the cells of a run, which are others when code has changed."""
    return digest(sorted(cell["key"] for cell in store.read_run()["cells"]))


def _verdicts(
    baseline: Baseline, path: Path, store: RunStore, rules: Rules, strict: bool, timing: bool, *, escalates: bool
) -> Gate:
    with uncollected():
        gathered = of_run(store, store.records())
        records, missing = [*gathered.records, *_of_more_seeds(store)], gathered.missing
        (content,) = gathered.contents
        return verdicts_on(
            baseline.records(),
            records,
            missing,
            rules,
            names=(str(path), str(store.path)),
            runs=(baseline.to_run(), content),
            strict=strict,
            timing=timing,
            escalates=escalates,
        )


def _of_more_seeds(store: RunStore) -> list[Record]:
    """The records that an earlier gate has added to this very run."""
    more = RunStore(store.path / _MORE)
    try:
        belongs = (more.path / _OF).read_text(encoding="utf-8") == _identity(store)
    except OSError:
        return []
    return more.records() if belongs else []


def verdicts_on(
    baseline: Sequence[Record],
    records: Sequence[Record],
    missing: Sequence[Mapping[str, Any]],
    rules: Rules,
    *,
    names: tuple[str, str],
    runs: tuple[Mapping[str, Any], Mapping[str, Any]],
    strict: bool,
    timing: bool,
    escalates: bool,
) -> Gate:
    """The gate on ``records`` against a ``baseline``; ``names`` and ``runs`` are theirs, and what run.json says."""
    untimed: list[Row] = []
    before, after = list(baseline), list(records)
    if timing:
        before, after, untimed = with_times(before, after)
        rules = replace(rules, tolerance={TIME: rules.time, **rules.tolerance})
    rows, comparisons = judge(before, after, missing, rules, escalates=escalates)
    rows = in_order((*rows, *untimed))
    found = Gate(names[1], names[0], rows, comparisons=comparisons, alarm=rules.alarm, strict=strict)
    environments = run_changes(*({"environment": run.get("environment")} for run in runs))
    changed = [f"{row.what}: {row.a} -> {row.b}" for row in environments.itertuples()]
    return replace(found, notices=tuple(_notices(found)), changes=(*changes_of(before, after), *changed))


def _notices(found: Gate) -> list[str]:
    """What has to be known of how much the gate could see."""
    notices = []
    if smoke := [row for row in found.rows if row.by == "smoke"]:
        seeds = max(row.seeds_baseline for row in smoke)
        notices.append(
            f"smoke gate: {plural(len(smoke), 'score')} compared at {plural(seeds, 'seed')}, by tolerance alone and "
            f"without a test; a baseline of {MIN_SEEDS} seeds allows one, 20 are advised"
        )
    tested = [row for row in found.rows if row.by == "test" and row.sd > 0]
    if weak := [row for row in tested if row.sees - row.tolerance > 2 * row.sd]:
        worst = max((row.sees - row.tolerance) / row.sd for row in weak)
        notices.append(
            f"{len(weak)} of {plural(len(tested), 'tested score')} could lose two seed standard deviations unseen (up "
            f"to {worst:.1f}): {named(row.name for row in weak)}; more seeds see more: 20 in the baseline, and --run"
        )
    return notices
