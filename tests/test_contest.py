"""Who is best is said when seeds say it, and not when chance does; ranks and intervals are the literature's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_runs import cell, failed, record_of
from scipy import stats

from benchsuite.contracts import MetricRow, Record
from benchsuite.harness.store import RunStore
from benchsuite.results.contest import contested, with_leads
from benchsuite.results.gathering import Gathered
from benchsuite.results.ranks import critical_difference, ranked
from benchsuite.results.statistics import holm, paired, resampled
from benchsuite.results.summary import as_tables, summarised
from benchsuite.results.tables import frames_of

Values = Mapping[str, Sequence[float]]


def records_of(
    scores: Mapping[str, Values], *, direction: str = "max", dataset: str = "digits", copies: Sequence[str] = ()
) -> list[Record]:
    """Records by metric, method and seed."""
    methods = list(dict.fromkeys(method for by_method in scores.values() for method in by_method))
    found = []
    for method in methods:
        seeds = max(len(by_method.get(method, ())) for by_method in scores.values())
        for seed in range(seeds):
            rows = [
                MetricRow(metric, metric, by_method[method][seed], "", direction, 10, "f", protocol={"samples": 10})
                for metric, by_method in scores.items()
                if method in by_method
            ]
            if method in copies:
                rows = [replace(row, disqualifies=True, reason="it copies") for row in rows]
            found.append(record_of(cell(method, seed, dataset, metrics=list(scores)), rows))
    return found


def scores_of(records: Sequence[Record]) -> pd.DataFrame:
    store = RunStore(Path("r"))
    return frames_of(Gathered(tuple((store, record) for record in records), (store,), ()))[0]


def contest_of(records: Sequence[Record]) -> list[dict[str, Any]]:
    scores = scores_of(records)
    return contested(summarised(scores), scores).to_dict("records")  # type: ignore[return-value]


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_the_paired_test_is_scipys(seeds: int) -> None:
    draws = np.random.default_rng(seeds).normal(0.5, 1, (seeds, 4))
    found = paired(draws)
    expected = stats.ttest_1samp(draws, 0)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.mean - found.half_width == pytest.approx(interval.low)
    assert found.mean + found.half_width == pytest.approx(interval.high)


def test_seeds_without_a_finite_value_are_left_out_of_their_pair_only() -> None:
    draws = np.random.default_rng(0).normal(0.5, 1, (6, 3))
    with_holes = draws.copy()
    with_holes[1, 0], with_holes[4, 1], with_holes[:4, 2] = np.nan, np.inf, np.nan
    found = paired(with_holes)
    assert found.n.tolist() == [5, 5, 2]
    assert found.p[0] == pytest.approx(stats.ttest_1samp(np.delete(draws[:, 0], 1), 0).pvalue)
    assert found.p[1] == pytest.approx(stats.ttest_1samp(np.delete(draws[:, 1], 4), 0).pvalue)
    assert math.isnan(found.p[2]) and math.isnan(found.half_width[2])


def test_differences_that_no_seed_changes_are_certain_and_no_difference_is_none() -> None:
    found = paired(np.array([[0.1 + 0.2 - 0.3 + 1, 0.0], [1.0, 0.0], [1.0, 0.0]]))
    assert found.p.tolist() == [0.0, 1.0] and found.half_width.tolist() == [0.0, 0.0]


def test_holms_method_gives_the_example_of_the_textbooks() -> None:
    # Four tests, p = 0.01, 0.04, 0.03, 0.005: multiplied by 3, 1, 2 and 4 in order of size, and made to rise.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, np.nan, 0.6])) == pytest.approx([1.0, np.nan, 1.0], nan_ok=True)


def test_holms_method_is_the_closed_test_of_bonferroni() -> None:
    """A hypothesis is rejected where every set of hypotheses that it is in is rejected by its least p."""
    p = np.random.default_rng(1).uniform(0, 0.1, 5)
    sets = [s for n in range(1, 6) for s in itertools.combinations(range(5), n)]
    closed = [max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(5)]
    assert holm(p) == pytest.approx(closed)


def test_resampling_starts_at_twenty_values_and_is_scipys() -> None:
    values = np.random.default_rng(2).normal(size=20)
    assert resampled(list(values[:19])) is None and resampled([*values[:19], math.inf]) is None
    low, high = resampled(list(values)) or (0, 0)
    assert (low, high) == resampled(list(values))
    half = stats.norm.ppf(0.975) * values.std() / 20**0.5  # what it tends to, but for the t and n - 1
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


@pytest.mark.parametrize("seeds", [1, 2, 3, 19, 20])
def test_each_statistic_begins_at_its_number_of_seeds(seeds: int) -> None:
    values = list(np.random.default_rng(seeds).normal(5, 1, seeds))
    (row,) = summarised(scores_of(records_of({"psnr": {"a": values}}))).to_dict("records")
    assert row["n"] == seeds and row["mean"] == pytest.approx(np.mean(values))
    if seeds > 1:
        assert (row["sd"], row["se"]) == pytest.approx((np.std(values, ddof=1), stats.sem(values)))
    interval = stats.t.interval(0.95, seeds - 1, np.mean(values), stats.sem(values)) if seeds > 2 else (np.nan,) * 2
    assert (row["low"], row["high"]) == pytest.approx(interval, nan_ok=True)
    by_draws = resampled(values) or (np.nan, np.nan)
    assert (row["resampled_low"], row["resampled_high"]) == pytest.approx(by_draws, nan_ok=True)
    assert math.isnan(row["resampled_low"]) == (seeds < 20)


def test_a_clear_winner_is_told_with_its_lead() -> None:
    (row,) = contest_of(records_of({"psnr": {"a": [20, 21, 22], "b": [10.0, 11.1, 12.2], "c": [1, 2, 3]}}))
    assert (row["best"], row["second"], row["verdict"], row["rivals"]) == ("a", "b", "significant", "")
    differences = np.array([10.0, 9.9, 9.8])
    expected = stats.ttest_1samp(differences, 0)
    assert row["difference"] == pytest.approx(9.9) and row["seeds"] == 3
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    # Against c it is certain; so the pair with b decides, times half the number of methods.
    assert row["p"] == pytest.approx(1.5 * expected.pvalue)


def test_less_is_better_where_the_metric_says_so() -> None:
    (row,) = contest_of(records_of({"fd": {"a": [3, 3.1, 3.2], "b": [1.0, 1.1, 1.21]}}, direction="min"))
    assert row["best"] == "b" and row["difference"] == pytest.approx(1.9966667) and row["verdict"] == "significant"


def test_metrics_without_a_direction_have_no_best() -> None:
    assert contest_of(records_of({"size": {"a": [1, 1, 1], "b": [2, 2, 2]}}, direction="none")) == []


def test_who_is_not_told_from_the_best_is_named() -> None:
    scores = {"a": [20, 21, 22], "b": [19.0, 21.5, 22.1], "c": [1, 2.1, 3]}
    (row,) = contest_of(records_of({"psnr": scores}))
    assert row["verdict"] == "not significant" and row["rivals"] == "b"


def test_two_seeds_test_nothing() -> None:
    (row,) = contest_of(records_of({"psnr": {"a": [20, 21], "b": [10, 11]}}))
    assert row["verdict"] == "not tested" and row["best"] == "a" and row["rivals"] == "b"
    assert math.isnan(row["p"]) and math.isnan(row["low"])


def test_equal_means_are_a_tie() -> None:
    (row,) = contest_of(records_of({"psnr": {"a": [1, 2, 3], "b": [3, 2, 1], "c": [0, 0, 0]}}))
    assert row["verdict"] == "tie" and row["best"] == "a, b" and row["second"] == ""


def test_means_that_are_equal_but_for_rounding_are_a_tie() -> None:
    """0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1 to the last bit."""
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    records = records_of({"psnr": {"a": [0.1, 0.2, 0.3], "b": [0.3, 0.2, 0.1], "c": [0.0, 0.1, 0.2]}})
    (row,) = contest_of(records)
    assert row["verdict"] == "tie" and set(row["best"].split(", ")) == {"a", "b"}


def test_infinite_scores_win_untested() -> None:
    (row,) = contest_of(records_of({"psnr": {"a": [math.inf] * 3, "b": [1, 2, 3]}}))
    assert row["best"] == "a" and row["verdict"] == "not tested" and row["mean"] == "inf"


def test_a_rival_that_cannot_be_tested_leaves_the_best_untested_and_is_the_one_not_told_from_it() -> None:
    scores = {"fd": {"a": [1, 1.1, 1.2], "b": [5, 5.2, 5.1], "c": [math.inf, 9, 9]}}
    (row,) = contest_of(records_of(scores, direction="min"))
    assert (row["best"], row["verdict"], row["rivals"]) == ("a", "not tested", "c") and math.isnan(row["p"])


def test_a_mean_of_opposite_infinities_takes_no_part() -> None:
    scores = {"fd": {"a": [math.inf, -math.inf, 1], "b": [5, 5.2, 5.1]}}
    (row,) = contest_of(records_of(scores, direction="min"))
    assert (row["best"], row["verdict"]) == ("b", "alone")


def test_a_method_alone_wins_nothing() -> None:
    (row,) = contest_of(records_of({"psnr": {"a": [1, 2, 3]}}))
    assert row["verdict"] == "alone" and row["rivals"] == ""


def test_the_best_on_average_that_common_seeds_do_not_favour_is_not_significant() -> None:
    records = records_of({"psnr": {"a": [1, 2, 3, 100], "b": [1.1, 2.11, 3.12]}})
    (row,) = contest_of([*records, failed("b", 3)])
    assert row["best"] == "a" and row["verdict"] == "not significant" and row["p"] == 1.0


def test_references_and_copies_take_no_part() -> None:
    scores = {"fd": {"real": [0.1, 0.1, 0.2], "copy": [0.2, 0.3, 0.2], "a": [3, 3.1, 3.2], "b": [1.0, 1.1, 1.21]}}
    records = [
        replace(one, reference=one.cell.method == "real")
        for one in records_of(scores, direction="min", copies=["copy"])
    ]
    (row,) = contest_of(records)
    assert row["best"] == "b" and row["second"] == "a"


def test_a_copy_still_contends_where_its_samples_are_not_scored() -> None:
    records = records_of({"psnr": {"copy": [9, 9.1, 9.2], "a": [3, 3.1, 3.3]}}, copies=["copy"])
    plain = [replace(r, metrics=tuple(replace(row, protocol={}) for row in r.metrics)) for r in records]
    assert contest_of(plain)[0]["best"] == "copy" and contest_of(records)[0]["best"] == "a"


@pytest.mark.parametrize(("methods", "metrics"), [(2, 1), (4, 1), (4, 8)])
def test_where_all_are_equal_a_table_seldom_has_a_winner(methods: int, metrics: int) -> None:
    # Seed 0; 1000 tables of 5 seeds: at most 5% have any winner. Four standard errors of 0.05 are 0.028, a false alarm
    # in 30,000 such tests; all methods of a table are equal, which is the worst case.
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(1000, metrics, methods, 5))
    won = 0
    for table in draws:
        raw = []
        for values in table:
            means = values.mean(1)
            best = int(means.argmax())
            pairs = paired((values[best] - np.delete(values, best, axis=0)).T)
            raw.append(min(1.0, pairs.p.max() * methods / 2))
        won += bool((holm(np.array(raw)) <= 0.05).any())
    assert won / len(draws) <= 0.05 + 0.028


def test_the_table_of_that_simulation_is_the_one_of_contests() -> None:
    """The simulation above computes p as ``contested`` does."""
    values = np.random.default_rng(3).normal(size=(3, 4, 5))
    scores = {f"m{i}": {f"a{j}": list(values[i, j]) for j in range(4)} for i in range(3)}
    raw = []
    for of_metric in values:
        best = int(of_metric.mean(1).argmax())
        raw.append(min(1.0, paired((of_metric[best] - np.delete(of_metric, best, axis=0)).T).p.max() * 2))
    assert [row["p"] for row in contest_of(records_of(scores))] == pytest.approx(list(holm(np.array(raw))))


def test_a_cell_that_failed_stands_in_every_column_of_its_metric() -> None:
    rows = [MetricRow(f"rec.{key}", "rec", 1.0, "", "max", 5, "f") for key in ("a", "b")]
    one = record_of(cell("glo", metrics=["rec"]), rows)
    two = Record(cell("vae", metrics=["rec"]), "oom", "out of memory")
    table = as_tables(summarised(scores_of([one, two])))["digits"]
    assert table.columns.tolist() == ["rec.a ↑", "rec.b ↑"] and table.loc["vae"].tolist() == ["oom", "oom"]


def test_a_key_without_a_value_takes_nothing_from_the_other_keys_of_its_metric() -> None:
    """Two seeds have rec.a, one of them rec.b, and a third seed failed altogether."""
    a = MetricRow("rec.a", "rec", 1.0, "", "max", 5, "f")
    b = replace(a, metric="rec.b", value=2.0)
    nan = replace(b, value=None, status="error", reason="the metric returned NaN")
    records = [record_of(cell("glo", seed, metrics=["rec"]), rows) for seed, rows in enumerate([(a, b), (a, nan)])]
    summary = summarised(scores_of([*records, Record(cell("glo", 2, metrics=["rec"]), "oom", "full")]))
    told = summary.set_index("metric")[["n", "seeds", "reason"]]
    assert told.loc["rec.a"].tolist() == [2, 3, "full"]
    assert told.loc["rec.b"].tolist() == [1, 3, "the metric returned NaN, full"]


def test_protocols_that_begin_alike_have_columns_of_their_own() -> None:
    rows = [MetricRow("rec", "rec", 1.0, "", "max", 5, fingerprint) for fingerprint in ("abcd01", "abcd02", "ef0011")]
    records = [record_of(cell("glo", seed, metrics=["rec"]), [row]) for seed, row in enumerate(rows)]
    table = as_tables(summarised(scores_of(records)))["digits"]
    assert table.columns.tolist() == ["rec ↑ #abcd01", "rec ↑ #abcd02", "rec ↑ #ef00"]


def many_datasets(count: int, methods: Mapping[str, float]) -> list[Record]:
    rng = np.random.default_rng(4)
    return [
        one
        for number in range(count)
        for one in records_of(
            {"psnr": {name: list(level + rng.normal(size=3)) for name, level in methods.items()}},
            dataset=f"data{number}",
        )
    ]


def test_ranks_are_scipys_and_friedmans() -> None:
    records = many_datasets(6, {"a": 0.0, "b": 1.0, "c": 2.0})
    summary = summarised(scores_of(records))
    means = summary.pivot(index="dataset", columns="method", values="mean")
    found = ranked(summary).set_index("method")
    assert found["rank"].to_dict() == pytest.approx(dict((-means).rank(axis=1).mean()))
    assert found["p"].iloc[0] == pytest.approx(stats.friedmanchisquare(*means.to_numpy().T).pvalue)
    assert found["datasets"].eq(6).all() and found["metric"].eq("psnr ↑").all()


def test_too_few_datasets_have_no_ranks() -> None:
    assert ranked(summarised(scores_of(many_datasets(4, {"a": 0.0, "b": 1.0, "c": 2.0})))).empty
    assert ranked(summarised(scores_of(many_datasets(6, {"a": 0.0, "b": 1.0})))).empty


def test_a_method_that_lacks_a_dataset_has_no_rank() -> None:
    records = [r for r in many_datasets(6, {"a": 0.0, "b": 1.0, "c": 2.0, "d": 1.0}) if r.cell.key != "d-data0-0"]
    kept = [r for r in records if not (r.cell.method == "d" and r.cell.dataset == "data0")]
    assert set(ranked(summarised(scores_of(kept)))["method"]) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (10, 3.164)]
)
def test_the_critical_difference_is_demsars(methods: int, q: float) -> None:
    """Table 5a of Demšar (2006)."""
    assert critical_difference(methods, 12) == pytest.approx(q * math.sqrt(methods * (methods + 1) / 72), rel=1e-3)


def test_the_lead_of_a_table_is_that_of_the_contest() -> None:
    scores = {
        "sure": {"a": [20, 21, 22], "b": [10.0, 11.1, 12.2]},
        "open": {"a": [1.0, 2.0, 3.0], "b": [1.1, 2.5, 2.7]},
        "tie": {"a": [1.0, 2.0, 3.0], "b": [3.0, 2.0, 1.0]},
        "alone": {"a": [1.0, 2.0, 3.0]},
    }
    frame = scores_of(records_of(scores))
    summary = summarised(frame)
    led = with_leads(summary, contested(summary, frame)).set_index(["metric", "method"])["lead"]
    assert led.to_dict() == {
        ("sure", "a"): "significant",
        ("sure", "b"): "",
        ("open", "a"): "",
        ("open", "b"): "best",
        ("tie", "a"): "best",
        ("tie", "b"): "best",
        ("alone", "a"): "",
    }
