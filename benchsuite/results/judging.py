"""The gate on two sets of records: verdicts, what else changed, and what could be seen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchsuite.contracts import MetricRow, Record
from benchsuite.errors import BaselineError
from benchsuite.kit.text import named, plural
from benchsuite.results.changes import run_changes
from benchsuite.results.gate import changes_of, judge
from benchsuite.results.rules import Rules, names_of
from benchsuite.results.statistics import MIN_SEEDS
from benchsuite.results.timegate import TIME, with_times
from benchsuite.results.verdicts import Gate, Row, in_order

_COMMIT = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{32}\b")  # of which eight digits are enough


@dataclass(frozen=True)
class Terms:
    """By what a run is judged; ``strict`` closes the gate for what is undecided, ``timing`` gates times as well."""

    rules: Rules = field(default_factory=Rules)
    strict: bool = False
    timing: bool = False


@dataclass(frozen=True)
class Evidence:
    """One side: its name, its records, the cells of its plan that have none, and what its run.json says."""

    name: str
    records: Sequence[Record]
    missing: Sequence[Mapping[str, Any]] = ()
    run: Mapping[str, Any] = field(default_factory=dict)


def verdicts_on(baseline: Evidence, run: Evidence, terms: Terms, *, escalates: bool = False) -> Gate:
    """The gate on ``run``; ``escalates``: see benchsuite.results.gate.judge."""
    rules, before, after, untimed = terms.rules, list(baseline.records), list(run.records), list[Row]()
    if terms.timing:
        before, after, untimed = with_times(before, after)
        own = {TIME: rules.time}
        rules = replace(rules, tolerance=rules.tolerance | own, smoke_tolerance=rules.smoke_tolerance | own)
    rows, comparisons = judge(before, after, run.missing, rules, escalates=escalates)
    if not any(_is_gated(row, rules) for record in before for row in record.metrics):
        raise BaselineError(f"{baseline.name} has no score that can be gated: none with a value and a direction")
    environments = run_changes(*({"environment": side.run.get("environment")} for side in (baseline, run)))
    found = Gate(
        run.name,
        baseline.name,
        in_order((*rows, *untimed)),
        comparisons=comparisons,
        alarm=rules.alarm,
        strict=terms.strict,
        changes=tuple(
            _COMMIT.sub(r"\1", text)
            for text in (
                *changes_of(before, after),
                *(f"{row.what}: {row.a} -> {row.b}" for row in environments.itertuples()),
            )
        ),
    )
    return replace(found, notices=(*_notices(found), *_unused(terms.rules, baseline, run)))


def _is_gated(row: MetricRow, rules: Rules) -> bool:
    return row.value is not None and rules.direction_of(row.metric, row.selection, row.direction) != "none"


def _notices(found: Gate) -> Iterator[str]:
    """What has to be known of how much the gate could see."""
    if smoke := [row for row in found.rows if row.by == "smoke"]:
        seeds = max(row.seeds_baseline for row in smoke)
        yield (
            f"smoke gate: {plural(len(smoke), 'score')} compared at {plural(seeds, 'seed')}, by tolerance alone and "
            f"without a test; a baseline of {MIN_SEEDS} seeds allows one, 20 are advised"
        )
    tested = [row for row in found.rows if row.by == "test" and row.sd > 0]
    if weak := [row for row in tested if row.sees - row.tolerance > 2 * row.sd]:
        worst = max((row.sees - row.tolerance) / row.sd for row in weak)
        yield (
            f"{len(weak)} of {plural(len(tested), 'tested score')} could lose two seed standard deviations unseen (up "
            f"to {worst:.1f}): {named(row.name for row in weak)}; more seeds see more"
        )


def _unused(rules: Rules, *sides: Evidence) -> Iterator[str]:
    """On names in the rules that no score answers to, which may be typing errors."""
    rows = (row for side in sides for record in side.records for row in record.metrics)
    known = {name for row in rows for name in names_of(row.metric, row.selection)}
    if unknown := sorted(rules.names() - known):
        yield f"the rules name scores that neither side has: {named(unknown)}"
