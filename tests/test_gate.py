"""The verdicts of the gate, one by one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_up_runs import broken, scored

from benchsuite.contracts import Record
from benchsuite.results.gate import changes_of, judge
from benchsuite.results.rules import Rules, rules_from
from benchsuite.results.timegate import TIME, with_times
from benchsuite.results.verdicts import Gate, Row

NOISE = np.random.default_rng(0).normal(size=200)


def made(seeds: Iterable[int], mean: float = 10.0, sd: float = 1.0, *, shift: int = 0, **given: Any) -> list[Record]:
    """Records of ``vae`` whose score ``m`` varies; the same seed has other values with another ``shift``."""
    return [scored("vae", seed, {"m": mean + sd * NOISE[seed + shift]}, **given) for seed in seeds]


def rows_of(
    baseline: list[Record],
    run: list[Record],
    rules: Rules | None = None,
    missing: Iterable[Mapping[str, Any]] = (),
    *,
    escalates: bool = False,
) -> list[Row]:
    return list(judge(baseline, run, missing, rules or Rules(), escalates=escalates)[0])


def only(*args: Any, **kwargs: Any) -> Row:
    (row,) = rows_of(*args, **kwargs)
    return row


def test_equal_bits_pass_outright_and_count_as_no_comparison() -> None:
    rows, comparisons = judge(made(range(20)), made(range(5)), [], Rules(), escalates=False)
    assert [(row.verdict, row.by) for row in rows] == [("pass", "bits")] and comparisons == 0


def test_one_bit_at_one_seed_is_a_comparison() -> None:
    run = made(range(4)) + made([4], mean=10 + 1e-9)
    assert only(made(range(20)), run).by == "test"


@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_loss_is_a_regression_and_a_gain_is_not(direction: str) -> None:
    sign = -1 if direction == "max" else 1
    baseline = made(range(20), direction=direction)
    worse = only(baseline, made(range(20), 10 + sign * 3, shift=100, direction=direction))
    better = only(baseline, made(range(20), 10 - sign * 3, shift=100, direction=direction))
    assert (worse.verdict, worse.by, worse.look) == ("regression", "test", "last")
    assert (better.verdict, better.loss < 0, better.p < 0.01) == ("improved", True, True)
    assert (
        worse.loss == pytest.approx(3, abs=1)
        and 1.3 < worse.sees / worse.sd < 2
        and worse.tolerance == pytest.approx(0.001 * worse.baseline)
    )


def test_a_few_seeds_suspect_and_the_rest_decides() -> None:
    baseline, run = made(range(20)), made(range(20), 8.7, shift=60)
    first = only(baseline, run[:5], escalates=True)
    assert (first.verdict, first.look) == ("inconclusive", "first")
    assert (
        "suspected at 5 of the baseline's 20 seeds (p 0.0" in first.reason and "--run runs the others" in first.reason
    )
    assert only(baseline, run, escalates=True).verdict == "regression"


def test_a_few_seeds_suffice_for_a_collapse() -> None:
    row = only(made(range(20)), made(range(5), 2.0, shift=60))
    assert (row.verdict, row.look) == ("regression", "first")


def test_a_loss_within_the_tolerance_passes_however_certain() -> None:
    baseline, run = made(range(20), sd=0.01), made(range(20), 9.8, 0.01, shift=60)
    assert only(baseline, run).verdict == "regression"
    row = only(baseline, run, rules_from({"tolerance": {"m": "3%"}}))
    assert (row.verdict, row.tolerance) == ("pass", pytest.approx(0.3, rel=1e-3))
    assert only(baseline, run, rules_from({"tolerance": {"m": 0.1}})).verdict == "regression"


def test_of_many_comparisons_each_needs_more_evidence() -> None:
    """A loss with p about 0.001 alone is a regression; among thirty it is not."""

    def table(mean: float, shift: int, count: int) -> list[Record]:
        return [
            scored(
                "vae",
                seed,
                {f"m{i}": (mean if i == 0 else 10.0) + NOISE[(seed + shift + 20 * i) % 200] for i in range(count)},
            )
            for seed in range(20)
        ]

    alone = rows_of(table(10.0, 0, 1), table(8.8, 100, 1))
    among = rows_of(table(10.0, 0, 30), table(8.8, 100, 30))
    assert alone[0].verdict == "regression"
    (first,) = (row for row in among if row.metric == "m0")
    assert first.p > alone[0].p and first.sees > alone[0].sees
    assert first.p == pytest.approx(min(1.0, 30 * alone[0].p), rel=1e-6)


def test_a_method_without_chance_is_held_to_its_tolerance() -> None:
    baseline = made(range(20), sd=0.0)
    assert only(baseline, made(range(5), 9.999, 0.0)).verdict == "pass"
    row = only(baseline, made(range(5), 9.98, 0.0))
    assert (row.verdict, row.sd, row.sees) == ("regression", 0.0, pytest.approx(0.01))


def test_one_seed_is_a_smoke_gate_on_tolerance_alone() -> None:
    row = only(made([0]), made([0], 9.5))
    assert (row.verdict, row.by, row.loss) == ("pass", "smoke", pytest.approx(0.5))
    assert math.isnan(row.p) and math.isnan(row.sees)
    assert only(made([0]), made([0], 8.5)).verdict == "regression"
    assert only(made([0]), made([0], 12.0)).verdict == "improved"
    strict = rules_from({"smoke_tolerance": {"default": 0.01}})
    assert only(made([0]), made([0], 9.5), strict).verdict == "regression"


def test_a_smoke_gate_needs_the_same_seed() -> None:
    row = only(made([0]), made([1]))
    assert row.verdict == "missing" and "no seed in common with the baseline, which has 0" in row.reason


def test_one_new_seed_is_tested_where_the_baseline_knows_the_noise() -> None:
    assert only(made(range(20)), made([0], shift=50)).by == "test"


def test_what_is_missing_says_why() -> None:
    baseline = made(range(3)) + [scored("glo", 0, {"m": 1.0}), scored("vae", 0, {"m": 1.0}, dataset="toys")]
    unfinished = {"method": "glo", "dataset": "digits", "seed": 0, "key": "k"}
    rows = {(row.method, row.dataset): row for row in rows_of(baseline, made(range(3)), missing=[unfinished])}
    assert rows["glo", "digits"].verdict == "missing" and rows["glo", "digits"].reason == "not run yet in this run"
    assert rows["vae", "toys"].reason == "this run does not have this dataset"
    (row,) = rows_of(made(range(3)), [scored("vae", 0, {"other": 1.0})])[:1]
    assert (row.verdict, row.metric, row.reason) == ("missing", "m", "this run does not have this metric")


def test_a_skipped_score_is_missing_with_its_reason() -> None:
    skipped = [_with(record, value=None, status="skipped", reason="no weights") for record in made(range(3))]
    row = only(made(range(3)), skipped)
    assert (row.verdict, row.reason) == ("missing", "skipped in this run: no weights")


def _with(record: Record, **fields: Any) -> Record:
    rows = tuple(replace(row, **fields) for row in record.metrics)
    return replace(record, metrics=rows)


def test_another_protocol_is_changed_and_says_how() -> None:
    run = [_with(r, fingerprint="f2", protocol={"metric": "m", "version": 2}) for r in made(range(5))]
    row = only(made(range(20)), run)
    assert (row.verdict, row.reason) == ("changed", "the protocol changed: version 1 -> 2")


@pytest.mark.parametrize(("field", "before", "after"), [("direction", "max", "min"), ("unit", "none", "dB")])
def test_a_number_that_means_something_else_is_changed(field: str, before: str, after: str) -> None:
    row = only(made(range(20)), [_with(record, **{field: after}) for record in made(range(5))])
    assert (row.verdict, row.reason) == ("changed", f"the metric's {field} changed: {before} -> {after}")


def test_other_data_are_changed_and_other_code_or_rounding_of_the_same_data_are_not() -> None:
    baseline = made(range(20))
    both = made(range(5), data="d2", dataset_fingerprint="e")
    assert only(baseline, both).verdict == "changed"
    assert "the data changed: d1 -> d2" in only(baseline, both).reason
    assert only(baseline, made(range(5), data="d2")).verdict == "pass"
    assert changes_of(baseline, made(range(5), data="d2")) == ("vae: data d1 -> d2",)
    assert only(baseline, made(range(5), dataset_fingerprint="e")).verdict == "pass"


def test_a_cell_that_fails_where_none_failed_is_a_new_failure() -> None:
    row = only(made(range(20)), [*made(range(4)), broken("vae", 4, ["m"])])
    assert row.verdict == "new failure"
    assert row.reason == "failed at 1 of 5 seeds (4), 0 of 20 in the baseline: diverged: the loss became nan"
    row = only(made(range(20)), [broken("vae", seed, ["m"]) for seed in range(5)])
    assert (row.verdict, row.reason) == ("new failure", "diverged: the loss became nan")


def test_a_score_that_raises_is_a_new_failure_and_its_mapping_one_row_each() -> None:
    baseline = [scored("vae", seed, {"m": 1.0, "n": 2.0 + seed}) for seed in range(3)]
    rows = {
        row.metric: row for row in rows_of(baseline, [scored("vae", s, {"m": None, "n": 2.0 + s}) for s in range(3)])
    }
    assert rows["m"].verdict == "new failure" and rows["m"].reason == "error: ValueError: no"
    assert rows["n"].verdict == "pass"


def test_a_method_that_fails_now_and_then_may_go_on_doing_so_but_not_more_often() -> None:
    baseline = [*made(range(16)), *(broken("vae", seed, ["m"]) for seed in range(16, 20))]
    assert only(baseline, [*made(range(4)), broken("vae", 4, ["m"])]).verdict == "pass"
    more = [*made(range(1)), *(broken("vae", seed, ["m"]) for seed in range(1, 10))]
    row = only(baseline, more)
    assert (row.verdict, row.by) == ("new failure", "rate")


def test_what_failed_in_the_baseline_may_fail_or_come_to_a_number() -> None:
    baseline = [broken("vae", seed, ["m"]) for seed in range(3)]
    assert only(baseline, [broken("vae", seed, ["m"]) for seed in range(3)]).verdict == "pass"
    row = only(baseline, made(range(3)))
    assert (row.verdict, row.reason) == ("improved", "it failed in the baseline: diverged: the loss became nan")
    assert only(baseline, []).verdict == "missing"


def test_what_the_baseline_does_not_have_is_new_and_stops_nothing() -> None:
    rows = rows_of(made(range(3)), [*made(range(3)), scored("glo", 0, {"m": 1.0})])
    assert [row.verdict for row in rows] == ["new", "pass"]


def test_a_score_without_a_direction_is_not_gated_until_rules_give_it_one() -> None:
    baseline, run = made(range(20), direction="none"), made(range(20), 5.0, direction="none")
    assert only(baseline, run).verdict == "ungated"
    assert only(baseline, run, rules_from({"direction": {"m": "max"}})).verdict == "regression"
    assert only(made(range(20)), made(range(20), 5.0), rules_from({"direction": {"m": "none"}})).verdict == "ungated"


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([math.inf] * 3, [math.inf] * 3, "pass"),
        ([math.inf] * 3, [30.0, 31.0, 32.0], "regression"),
        ([30.0, 31.0, 32.0], [math.inf] * 3, "improved"),
        ([30.0, math.inf, 32.0], [30.0, 31.0, math.inf], "inconclusive"),
        ([30.0, 31.0, 32.0], [30.0, math.inf, 32.0], "improved"),
    ],
)
def test_infinite_scores_are_told_without_a_test(before: list[float], after: list[float], verdict: str) -> None:
    sides = [[scored("pca", seed, {"psnr": value}) for seed, value in enumerate(values)] for values in (before, after)]
    assert only(*sides).verdict == verdict


@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_score_that_becomes_infinitely_bad_at_some_seeds_is_a_regression(direction: str) -> None:
    bad = -math.inf if direction == "max" else math.inf
    run = made(range(4), direction=direction) + [scored("vae", 4, {"m": bad}, direction=direction)]
    row = only(made(range(20), direction=direction), run)
    assert (row.verdict, row.reason) == ("regression", "infinite at some seeds")


def test_a_score_that_only_some_seeds_have_is_missing() -> None:
    baseline, run = made(range(20)), made(range(5))
    skipped = [_with(record, value=None, status="skipped", reason="no weights") for record in run[1:]]
    row = only(baseline, [run[0], *skipped])
    assert (row.verdict, row.reason) == ("missing", "no score at 4 seeds (1, 2, 3, 4): no weights")
    unfinished = [{"method": "vae", "dataset": "digits", "seed": seed, "key": "k"} for seed in range(1, 5)]
    row = only(baseline, run[:1], missing=unfinished)
    assert row.verdict == "missing" and "no record, or no such key" in row.reason
    assert (
        only([*baseline[:10], *(replace(r, metrics=()) for r in baseline[10:])], [run[0], *skipped]).verdict == "pass"
    )


def test_what_was_skipped_and_fails_now_is_a_new_failure() -> None:
    baseline = [_with(r, value=None, status="skipped", reason="no weights") for r in made(range(3))]
    row = only(baseline, [scored("vae", seed, {"m": None}) for seed in range(3)])
    assert (row.verdict, row.reason) == ("new failure", "error: ValueError: no")
    rows = rows_of(made(range(3)), [*made(range(3)), broken("glo", 0, ["m"])])
    assert [(row.method, row.verdict) for row in rows] == [("glo", "new"), ("vae", "pass")]


def test_a_failure_of_the_baseline_on_a_dataset_that_is_gone_is_missing() -> None:
    baseline = [scored("vae", 0, {"m": None}, dataset="toys"), *made(range(3))]
    rows = {row.dataset: row.verdict for row in rows_of(baseline, made(range(3)))}
    assert rows == {"toys": "missing", "digits": "pass"}


def test_the_very_failures_of_the_baseline_are_not_new() -> None:
    baseline = [*(broken("vae", seed, ["m"]) for seed in range(5)), *made(range(5, 20))]
    first = only(baseline, [broken("vae", seed, ["m"]) for seed in range(5)])
    assert (first.verdict, first.look) == ("inconclusive", "first")
    assert only(baseline, baseline).verdict == "pass"


def test_a_failed_seed_was_tried_and_leaves_no_look_to_come() -> None:
    failing = [broken("vae", seed, ["m"]) for seed in (18, 19)]
    row = only([*made(range(18)), *failing], [*made(range(17), 8.0, shift=60), broken("vae", 17, ["m"]), *failing])
    assert row.verdict == "regression" and row.look == "last"


def test_what_is_not_to_be_gated_closes_nothing_however_it_is_missing() -> None:
    rules = rules_from({"direction": {"m": "none"}})
    for run in ([], [broken("vae", 0, ["m"])], [_with(r, fingerprint="f2") for r in made(range(3))]):
        assert only(made(range(3)), run, rules).verdict == "ungated"


def test_rounding_around_zero_is_no_loss() -> None:
    baseline = made(range(3), 0.0, 0.0, direction="min")
    assert only(baseline, made(range(3), 1e-17, 0.0, direction="min")).verdict == "pass"
    assert only(baseline, made(range(3), 1e-3, 0.0, direction="min")).verdict == "regression"


def test_a_blow_up_at_some_seeds_is_a_regression() -> None:
    baseline = made(range(20), 2.0, 0.2, direction="min")
    blown = [scored("vae", seed, {"m": 10.0 ** (1 + seed / 2)}, direction="min") for seed in range(20)]
    assert only(baseline, blown).verdict == "regression"


def test_a_caution_is_shown_with_the_verdict() -> None:
    run = [_with(record, reason="the model copies its training data") for record in made(range(20), 15.0)]
    row = only(made(range(20)), run)
    assert (row.verdict, row.reason) == ("improved", "caution: the model copies its training data")


def test_changed_parameters_and_code_are_shown_and_not_excused() -> None:
    changed = made(range(5), 2.0, shift=60, params={"latent_dim": None, "epochs": 2})
    assert changes_of(made(range(20)), changed) == ("vae: epochs – -> 2",)
    assert only(made(range(20)), changed).verdict == "regression"
    other_code = [replace(r, cell=replace(r.cell, key="other")) for r in made(range(5))]
    assert changes_of(made(range(20)), other_code) == ("vae: same parameters, other code or data (key differs)",)


def _timed(seconds: float, **fields: Any) -> list[Record]:
    records = []
    for record in made(range(5)):
        phases = tuple(replace(p, seconds=seconds + 0.01 * record.cell.seed) for p in record.phases if p.phase == "fit")
        records.append(replace(record, phases=phases, **fields))
    return records


def test_times_are_gated_where_both_sides_ran_alone_in_one_environment() -> None:
    before, after, untimed = with_times(_timed(2.0), _timed(3.0))
    rules = replace(Rules(), tolerance={TIME: Rules().time})
    found = {row.metric: row for row in rows_of(before, after, rules)}
    assert not untimed and found[TIME].verdict == "regression" and found[TIME].loss == pytest.approx(1.0)
    before, after, _ = with_times(_timed(2.0), _timed(2.3))
    assert {row.metric: row.verdict for row in rows_of(before, after, rules)}[TIME] == "pass"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"contended": True}, "ran beside other cells in this run"), ({"environment": "e2"}, "different")],
)
def test_times_that_do_not_compare_are_not_gated(fields: dict[str, Any], reason: str) -> None:
    before, after, untimed = with_times(_timed(2.0), _timed(3.0, **fields))
    assert [row.verdict for row in untimed] == ["ungated"] and reason in untimed[0].reason
    assert all(len(record.metrics) == 1 for record in (*before, *after))


def test_the_exit_code_is_that_of_the_worst_verdict() -> None:
    def code(verdict: Any, strict: bool = False) -> int:
        return Gate("run", "baseline", (Row("vae", "digits", "m", verdict),), strict=strict).exit_code

    assert [code(v) for v in ("regression", "new failure", "missing", "changed")] == [3, 3, 3, 3]
    assert [code(v) for v in ("pass", "improved", "inconclusive", "new", "ungated")] == [0] * 5
    assert code("inconclusive", strict=True) == 3 and code("pass", strict=True) == 0
    assert Gate("run", "baseline", ()).exit_code == 0


def test_the_worst_comes_first() -> None:
    baseline = [*made(range(3)), scored("glo", 0, {"m": 1.0}), scored("pca", 0, {"m": 1.0})]
    run = [*made(range(3)), scored("pca", 0, {"m": 0.1}), scored("gan", 0, {"m": 1.0})]
    assert [row.verdict for row in rows_of(baseline, run)] == ["regression", "missing", "new", "pass"]


def test_seeds_by_several_protocols_are_changed() -> None:
    run = made(range(4)) + [_with(r, fingerprint="f2") for r in made([4])]
    row = only(made(range(20)), run)
    assert row.verdict == "changed" and "of some seeds" in row.reason


def test_every_row_is_json() -> None:
    import json

    gate = Gate("run", "baseline", tuple(rows_of(made(range(20)), made(range(20), 5.0, shift=50))))
    content = json.loads(json.dumps(gate.to_json(), allow_nan=False))
    assert content["exit_code"] == 3 and content["rows"][0]["verdict"] == "regression"
