"""Tables say what the records say: means, intervals, failures, and unlike scores apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchsuite.contracts import Cell, MetricRow, PhaseRow, Record
from benchsuite.harness.store import RESULT_COLUMNS, TIMING_COLUMNS, marked, result_rows, timing_rows
from benchsuite.results.statistics import summarise
from benchsuite.results.tables import cautions, comparison, failures, format_summary, protocols, timing


def cell(method: str = "pca", seed: int = 0) -> Cell:
    return Cell(
        key=f"{method}-{seed}",
        method=method,
        method_name=method,
        params={"latent_dim": None},
        dataset="digits",
        dataset_name="digits",
        dataset_params={},
        dataset_fingerprint="d",
        seed=seed,
        latent_dim=8,
        metrics=("psnr", "fd"),
        samples=10,
        device="cpu",
        precision="fp32",
        threads=1,
        budget=None,
    )


def record(method: str, seed: int, psnr: float | None, fingerprint: str = "aaaa0000") -> Record:
    rows = (
        MetricRow("psnr", "psnr", psnr, "dB", "max", 57, fingerprint),
        MetricRow("fd", "fd", None, "", "min", None, "f", "skipped", "no extractor"),
    )
    phases = (
        PhaseRow("fit", 2.0 + seed, 2.0, 10, 100.0 + seed, None),
        PhaseRow("fit.warm", 1.0, 1.0, 0, 1.0, None),
        PhaseRow("encode.test", 0.5, 0.5, 57, 1.0, None),
        PhaseRow("encode.train", 0.25, 0.25, 57, 1.0, None),
    )
    return Record(cell(method, seed), "ok", metrics=rows, phases=phases, device="cpu", environment="e1")


def failed(method: str, seed: int) -> Record:
    return Record(cell(method, seed), "error", "ValueError: no")


def frame(records: list[Record]) -> pd.DataFrame:
    return pd.DataFrame(list(result_rows("r", records)), columns=list(RESULT_COLUMNS))


def times(records: list[Record]) -> pd.DataFrame:
    return pd.DataFrame(list(timing_rows("r", records)), columns=list(TIMING_COLUMNS))


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
    assert format_summary(summarise(values)) == text


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


def test_times_are_means_over_seeds_and_stages_are_not_added_to_their_fit() -> None:
    table = timing(times([record("pca", 0, 20.0), record("pca", 2, 20.0)]))["digits"]
    row = table.loc["pca"]
    assert (row["fit [s]"], row["encode [s]"], row["sample [s]"], row["host [MiB]"]) == ("3.00", "0.75", "–", "102")


def test_times_of_different_machines_never_share_a_table() -> None:
    tables = timing(times([record("pca", 0, 20.0), replace(record("pca", 1, 20.0), environment="e2")]))
    assert list(tables) == ["digits on e1", "digits on e2"]


def test_contended_cells_are_counted() -> None:
    table = timing(times([record("pca", 0, 20.0), replace(record("pca", 1, 20.0), contended=True)]))["digits"]
    assert table.loc["pca", "contended"] == "1 of 2"


def test_what_came_to_no_number_is_joined_by_reason() -> None:
    table = failures(frame([record("pca", 0, 20.0), record("pca", 1, 20.0), failed("glo", 0)]))
    assert table.to_dict("records") == [
        {"method": "pca", "dataset": "digits", "seeds": "0, 1", "metrics": "fd", "status": "skipped"}
        | {"reason": "no extractor"},
        {"method": "glo", "dataset": "digits", "seeds": "0", "metrics": "all", "status": "error"}
        | {"reason": "ValueError: no"},
    ]


def test_a_record_reads_back_from_its_json() -> None:
    assert Record.from_json(record("pca", 0, 20.0).to_json()) == record("pca", 0, 20.0)


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
