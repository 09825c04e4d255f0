"""Tables say what the records say: means, intervals, failures, and unlike scores apart."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_runs import cell, failed, record, record_of, report_of, with_phases
from scipy import stats

from benchsuite import suite
from benchsuite.cli.tables import _parts, print_report
from benchsuite.contracts import MetricRow, PhaseRow, Record
from benchsuite.harness.rescoring import rescored
from benchsuite.harness.rows import timing_rows
from benchsuite.harness.store import RunStore, marked
from benchsuite.kit.text import readable
from benchsuite.reports import Report
from benchsuite.results.costs import rates_tables, seconds_tables, untimed
from benchsuite.results.gathering import Gathered
from benchsuite.results.statistics import summarise
from benchsuite.results.summary import as_tables, number, summarised
from benchsuite.results.tables import cautions, failures, frames_of, protocols
from benchsuite_plugins.reporters.markdown import Markdown


def frame(records: list[Record]) -> pd.DataFrame:
    store = RunStore(Path("r"))
    return frames_of(Gathered(tuple((store, record) for record in records), (store,), ()))[0]


def comparison(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return as_tables(summarised(scores))


@pytest.mark.parametrize("n", [3, 5, 20])
def test_the_interval_is_students(n: int) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    summary = summarise(list(values))
    assert summary.half_width is not None
    assert (summary.mean - summary.half_width, summary.mean + summary.half_width) == pytest.approx((low, high))


def test_fewer_than_three_seeds_give_no_interval() -> None:
    assert summarise([1.0]).sd is None and summarise([1.0, 2.0]).half_width is None
    assert summarise([1.0, 2.0]).sd == pytest.approx(2**-0.5)
    with pytest.raises(ValueError, match="at least one"):
        summarise([])


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    # Seed 0; 4000 samples of 3 from N(0, 1): coverage 0.95 has standard error 0.0034, so 4 of them are 0.014
    # (a false alarm in 16,000 such tests).
    draws = np.random.default_rng(0).normal(size=(4000, 3))
    covered = [abs(s.mean) <= (s.half_width or 0) for s in map(summarise, draws.tolist())]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.014)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([24.938], "24.94"),
        ([0.25031], "0.2503"),
        ([40.0, 41.0, 42.0], "41.00 ± 2.48"),
        ([0.0], "0.000"),
        ([1234.5678], "1235"),
        ([-3.0], "-3.000"),
        ([float("inf")], "inf"),
        ([3e-9], "3.000e-09"),
    ],
)
def test_numbers_are_printed_to_four_digits(values: list[float], text: str) -> None:
    summary = summarise(values)
    assert number(summary.mean, summary.half_width) == text


def test_a_cell_is_the_mean_over_its_seeds_and_says_how_many_are_missing() -> None:
    records = [record("pca", 0, 20.0), record("pca", 1, 21.0), record("glo", 0, 25.0), failed("glo", 1)]
    table = comparison(frame(records))
    assert table["digits"]["psnr [dB] ↑"].to_dict() == {"pca": "20.50", "glo": "25.00 (1 of 2)"}


def test_a_method_that_failed_stands_in_the_table_with_its_status() -> None:
    table = comparison(frame([record("pca", 0, 20.0), failed("glo", 0)]))["digits"]
    assert table.loc["glo", "psnr [dB] ↑"] == "error"


def test_scores_of_unlike_protocols_never_share_a_column() -> None:
    table = comparison(frame([record("pca", 0, 20.0, "aaaa0000"), record("glo", 0, 25.0, "bbbb0000")]))["digits"]
    columns = [c for c in table.columns if c.startswith("psnr")]
    assert columns == ["psnr [dB] ↑ #aaaa", "psnr [dB] ↑ #bbbb"]
    assert table[columns].to_numpy().tolist() == [["20.00", "–"], ["–", "25.00"]]


def test_seconds_are_means_over_seeds_and_stages_are_not_added_to_their_fit() -> None:
    row = seconds_tables([record("pca", 0, 20.0), record("pca", 2, 20.0)])["digits"].loc["pca"]
    assert row.to_dict() == {
        "fit [s]": "3.00",
        "encode [s]": "0.75",
        "total [s]": "3.75",
        "cells": "2",
        "device": "cpu",
        "threads": "1",
    }


def test_warm_up_is_in_no_column_but_its_own_and_the_total() -> None:
    warm = (
        PhaseRow(f"warm_up.{name}", 100.0, 1.0, 5, None, None) for name in ("sample", "encode.test", "recover.test")
    )
    plain, warmed = [record("pca", 0, 20.0)], [with_phases(record("pca", 0, 20.0), *warm)]
    without, with_it = (seconds_tables(records)["digits"] for records in (plain, warmed))
    assert with_it.loc["pca", ["warm-up [s]", "total [s]"]].tolist() == ["300.00", "302.75"]
    assert with_it.drop(columns=["warm-up [s]", "total [s]"]).equals(without.drop(columns="total [s]"))
    assert rates_tables(plain)["digits"].equals(rates_tables(warmed)["digits"])
    rows = timing_rows("r", warmed)
    assert "warm_up.sample" in {row["phase"] for row in rows}


def test_rates_are_all_items_over_all_seconds() -> None:
    trained = (PhaseRow("train", 2.0, 2.0, 900, None, None), PhaseRow("train.warm", 4.0, 4.0, 600, None, None))
    sampled = PhaseRow("sample", 8.0, 8.0, 10, 1.0, None)
    records = [with_phases(record("pca", seed, 20.0), *trained, sampled) for seed in (0, 2)]
    row = rates_tables([*records, record("glo", 0, 20.0)])["digits"]
    shown = ["train [1/s]", "train.warm [1/s]", "sample [1/s]", "encode [1/s]"]
    assert row.loc["pca", shown].tolist() == ["450", "150", "1.25", "152"]
    assert row.loc["glo", shown].tolist() == ["–", "–", "–", "152"]
    assert row["host [MiB]"].tolist() == ["102", "100"]
    assert row["parameters"].tolist() == ["1234", "1234"] and row["codes"].tolist() == ["–", "80"]
    assert "recover [1/s]" not in row and "device [MiB]" not in row and "fit [J]" not in row


def test_energy_is_the_mean_of_training_where_it_is_known() -> None:
    known = [
        replace(record("pca", seed, 20.0), phases=(PhaseRow("fit", 1.0, 1.0, 1, None, None, joules),))
        for seed, joules in enumerate((100.0, 300.0))
    ]
    table = rates_tables([*known, record("glo", 0, 20.0)])["digits"]
    assert table["fit [J]"].tolist() == ["200", "–"]


def test_times_of_different_machines_never_share_a_table() -> None:
    records = [record("pca", 0, 20.0), replace(record("pca", 1, 20.0), environment="e2")]
    assert list(seconds_tables(records)) == list(rates_tables(records)) == ["digits on e1", "digits on e2"]


def test_contended_cells_are_left_out_and_named() -> None:
    contended = [replace(record("pca", 1, 20.0), contended=True), replace(record("glo", 0, 20.0), contended=True)]
    records = [record("pca", 0, 20.0), *contended, failed("vae", 0)]
    table = seconds_tables(records)["digits"]
    assert table.index.tolist() == ["pca"]
    assert table.loc["pca", ["cells", "fit [s]"]].tolist() == ["1", "2.00"]
    assert rates_tables(records)["digits"].index.tolist() == ["pca"]
    assert untimed(records).startswith("Not timed: 2 of 3 cells (pca, glo)") and "--jobs 1" in untimed(records)
    assert not untimed(records[:1])
    rows = list(timing_rows("r", records))
    assert {(row["method"], row["seed"], row["contended"]) for row in rows if row["status"] == "ok"} == {
        ("pca", 0, False),
        ("pca", 1, True),
        ("glo", 0, True),
    }


def test_where_all_are_contended_there_is_no_table() -> None:
    records = [replace(record("pca", 0, 20.0), contended=True)]
    assert seconds_tables(records) == rates_tables(records) == {}
    assert "1 of 1 cells (pca)" in untimed(records)


def test_where_nothing_came_to_an_end_there_is_nothing_to_say_of_times() -> None:
    assert seconds_tables([failed("pca", 0)]) == {} and not untimed([failed("pca", 0)])


def test_only_recovery_by_squared_error_has_a_rate_and_what_was_not_found_counts_nothing() -> None:
    phases = [
        PhaseRow("recover.test", 2.0, 2.0, 10, None, None),
        PhaseRow("recover.train[rows=30]", 3.0, 3.0, 30, None, None),
        PhaseRow("recover.lap1.test", 50.0, 50.0, 10, None, None),
        PhaseRow("recover.train", 4.0, 4.0, 0, None, None),
    ]
    (row,) = rates_tables([with_phases(record("pca", 0, 20.0), *phases)])["digits"]["recover [1/s]"]
    assert row == "8"


@pytest.mark.parametrize(("trained", "scored"), [(True, False), (False, True), (False, False), (True, True)])
def test_scoring_beside_others_takes_no_time_of_training_out_of_the_tables(trained: bool, scored: bool) -> None:
    """Its own times say nothing, and are left out; those of training are contended if training was."""
    before, after = (replace(record("pca", 0, 20.0), contended=flag) for flag in (trained, scored))
    after = with_phases(after, PhaseRow("metric.pag", 1.0, 1.0, 0, None, None))
    found = rescored(before, after, before.cell, "")
    assert found.contended == trained
    assert ("metric.pag" in {phase.phase for phase in found.phases}) == (trained or not scored)
    assert {phase.phase for phase in before.phases} <= {phase.phase for phase in found.phases}


@pytest.mark.parametrize("values", [[math.inf] * 3, [1.0, math.inf, 2.0]])
def test_scores_that_are_not_finite_have_no_interval(values: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = summarise(values)
    assert summary.sd is None and summary.half_width is None


def test_many_metrics_are_printed_as_rows() -> None:
    few, many = (pd.DataFrame(1, index=pd.Index(["pca", "glo"], name="method"), columns=range(n)) for n in (12, 13))
    assert readable(few).columns[0] == "method" and len(readable(few)) == 2
    assert readable(many).columns.tolist() == ["metric", "pca", "glo"] and len(readable(many)) == 13


@pytest.mark.parametrize("metrics", [2, 14])
def test_a_method_may_be_labelled_as_what_heads_its_column(metrics: int) -> None:
    table = pd.DataFrame("1.0", index=pd.Index(["metric", "method"], name="method"), columns=range(metrics))
    turned = readable(table.rename(columns={0: "method"}))
    assert sorted(turned.shape) == ([2, 3] if metrics == 2 else [3, 14])


@pytest.mark.parametrize("width", [80, 100, 120])
def test_long_titles_are_folded_and_not_taken_for_prose(width: int) -> None:
    title = "pag_raw[codes_by=reversal,rows=512].ideal [nats]"
    frame = pd.DataFrame({"method": ["pca", "glo"]} | {f"{title}{i}": ["1.000", "24492"] for i in range(6)})
    parts = _parts(frame, width)
    assert [column for part in parts for column in part.columns[1:]] == frame.columns[1:].tolist()
    assert 1 < len(parts) <= 3


def printed(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    print_report(report)
    return capsys.readouterr().out


def in_markdown(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    (path,) = Markdown().write(report, report.folder)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("shown", [printed, in_markdown])
def test_people_see_both_tables_and_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shown: Callable[[Report, pytest.CaptureFixture[str]], str]
) -> None:
    records = [record("pca", 0, 20.0), replace(record("glo", 0, 20.0), contended=True)]
    both = shown(report_of(tmp_path / "both", records), capsys)
    assert "fit [s]" in both and "encode [1/s]" in both.replace("\\", "") and "1 of 2 cells (glo)" in both
    none = shown(report_of(tmp_path / "none", records[1:]), capsys)
    assert "fit [s]" not in none and "1 of 1 cells (glo)" in none
    whole = shown(report_of(tmp_path / "whole", records[:1]), capsys)
    assert "fit [s]" in whole and "Not timed" not in whole


def test_what_came_to_no_number_is_joined_by_reason() -> None:
    table = failures(frame([record("pca", 0, 20.0), record("pca", 1, 20.0), failed("glo", 0)]))
    assert table.to_dict("records") == [
        {"method": "pca", "dataset": "digits", "seeds": "0, 1", "metrics": "fd", "status": "skipped"}
        | {"reason": "no extractor"},
        {"method": "glo", "dataset": "digits", "seeds": "0", "metrics": "all", "status": "error"}
        | {"reason": "ValueError: no"},
    ]


def test_seeds_that_lack_different_metrics_do_not_lack_all() -> None:
    """Seed 0 has psnr and not fd, seed 1 the other way round, for one reason."""
    kept = [MetricRow(name, name, 1.0, "", "max", 57, "f") for name in ("psnr", "fd")]
    lost = [MetricRow(name, name, None, "", "max", None, "f", "error", "x") for name in ("psnr", "fd")]
    one, two = record_of(cell("pca", 0), (kept[0], lost[1])), record_of(cell("pca", 1), (lost[0], kept[1]))
    assert failures(frame([one, two]))["metrics"].tolist() == ["fd, psnr"]
    assert failures(frame([record_of(cell("pca", 0), lost)]))["metrics"].tolist() == ["all"]


def test_a_record_reads_back_from_its_json() -> None:
    measured = with_phases(record("pca", 0, 20.0), PhaseRow("sample", 1.0, 1.0, 5, None, None, 12.5))
    assert Record.from_json(json.loads(json.dumps(measured.to_json()))) == measured


def test_a_record_of_before_energy_was_known_reads_back() -> None:
    written = record("pca", 0, 20.0).to_json()
    for phase in written["phases"]:
        del phase["joules"]
    assert Record.from_json(written) == record("pca", 0, 20.0)


def scored(method: str, caution: str = "", seed: int = 0, disqualifies: bool = False) -> Record:
    samples = {
        "version": 1,
        "samples": 64,
        "features": "net-1",
        "n": {"real_moments": 30},
        "seed": seed,
        "subset": None,
    }
    rows = (
        MetricRow("psnr", "psnr", 20.0, "dB", "max", 57, "p", protocol={"version": 1, "seed": seed}),
        MetricRow("fd", "fd", 1.0, "", "min", 64, "f", protocol=samples),
        MetricRow("authpct", "authpct", 2.0, "%", "max", 64, "a", "ok", caution, samples, disqualifies),
        MetricRow("moments.mean", "moments", 0.5, "", "none", 64, "m", protocol=samples),
    )
    return replace(record(method, seed, None), metrics=marked(rows))


def test_a_caution_is_marked_in_the_table_and_printed_under_it() -> None:
    results = frame([scored("pca", "few"), scored("glo")])
    table = comparison(results)["digits"]
    assert list(table["authpct [%] ↑"]) == ["2.000 †", "2.000"] and list(table["fd ↓"]) == ["1.000"] * 2
    (row,) = cautions(results).to_dict("records")
    assert row == {"method": "pca", "dataset": "digits", "metrics": "authpct", "caution": "few"}


def test_a_model_that_copies_is_marked_at_every_score_of_its_samples() -> None:
    results = frame([scored("pca", "it copies", disqualifies=True), scored("pca", seed=1), scored("glo")])
    table = comparison(results)["digits"].loc["pca"]
    assert table["fd ↓"].endswith("†") and table["authpct [%] ↑"].endswith("†")
    assert table["moments.mean"].endswith("†")
    assert "†" not in table["psnr [dB] ↑"] + "".join(comparison(results)["digits"].loc["glo"])
    (row,) = cautions(results).to_dict("records")
    assert row["metrics"] == "fd, authpct, moments.mean" and row["caution"] == "it copies"


def test_marking_twice_is_marking_once() -> None:
    rows = scored("pca", "it copies", disqualifies=True).metrics
    assert marked(rows) == rows


def test_a_failed_row_is_not_taken_for_a_caution() -> None:
    assert cautions(frame([record("pca", 0, 20.0), failed("glo", 0)])).empty


def test_protocols_are_told_once_for_all_methods_and_seeds() -> None:
    table = protocols([scored("pca"), scored("pca", seed=1), scored("glo"), failed("vae", 0)])
    assert list(table["metric"]) == ["psnr", "fd", "authpct", "moments"] and set(table["methods"]) == {"pca, glo"}
    assert table["protocol"][1] == "version 1; features net-1; 30 real_moments"


def test_other_numbers_of_rows_are_another_protocol() -> None:
    half = scored("real")
    rows = [replace(row, protocol={**row.protocol, "n": {"real_moments": 15}}) for row in half.metrics]
    table = protocols([scored("pca"), replace(half, metrics=tuple(rows))])
    fd = table[table["metric"] == "fd"]
    assert list(fd["methods"]) == ["pca", "real"] and len(set(fd["protocol"])) == 2


@pytest.mark.parametrize(
    ("methods", "jobs", "contended"), [("pca,real", 2, True), ("pca,real", 1, False), ("pca", 2, False)]
)
def test_cells_are_contended_where_more_than_one_runs_at_a_time(
    tmp_path: Path, methods: str, jobs: int, contended: bool
) -> None:
    """Cells this short are never taken to have waited for the processor, whatever else runs."""
    recipe = {"methods": methods, "metrics": "parameters", "samples": 32, "device": "cpu"}
    outcome = suite.run(recipe | {"jobs": jobs}, out=tmp_path / "run")
    assert [r.contended for r in outcome.records] == [contended] * len(outcome.records)
    assert bool(untimed(outcome.records)) == contended
