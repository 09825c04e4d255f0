"""``benchsuite compare`` says what changed between two runs: by a paired test, in words where nothing can be tested."""

from __future__ import annotations

import doctest
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up_runs
import numpy as np
import pandas as pd
import pytest
from conftest import CommandLine
from made_up_runs import stored
from scipy import stats

from benchsuite.contracts import Cell, MetricRow, PhaseRow, Record
from benchsuite.results import changes
from benchsuite.results.comparing import Comparison, compare

Compared = Callable[[Sequence[Record], Sequence[Record]], Comparison]
PROTOCOL = {"metric": "psnr", "version": 1, "params": {"k": 3}, "protocol": 4, "subset": None, "samples": 100}


def cell(method: str = "glo", seed: int = 0, dataset: str = "digits") -> Cell:
    made = made_up_runs.cell(method, seed, dataset, ["psnr"])
    return replace(made, params={"epochs": 40}, dataset_fingerprint="d1", samples=100, device="auto")


def row(value: float | None, metric: str = "psnr", direction: str = "max", fingerprint: str = "aaaa") -> MetricRow:
    return MetricRow(metric, metric, value, "dB", direction, 57, fingerprint, protocol=PROTOCOL)


def record(seed: int, *rows: MetricRow, method: str = "glo", dataset: str = "digits") -> Record:
    asked = replace(cell(method, seed, dataset), metrics=tuple(dict.fromkeys(one.selection for one in rows)))
    phases = (PhaseRow("fit", 2.0 + seed, 2.0, 10, None, None), PhaseRow("fit.warm", 1.0, 1.0, 0, None, None))
    return Record(asked, "ok", metrics=rows, phases=phases, device="cpu", environment="e1")


def scored(values: Sequence[float], metric: str = "psnr", direction: str = "max", method: str = "glo") -> list[Record]:
    return [record(seed, row(value, metric, direction), method=method) for seed, value in enumerate(values)]


def failed(one: Record, status: Any = "oom", reason: str = "out of memory") -> Record:
    return Record(one.cell, status, reason)


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    def of(a: Sequence[Record], b: Sequence[Record]) -> Comparison:
        return compare(stored(tmp_path / "a", a), stored(tmp_path / "b", b))

    return of


def only(frame: pd.DataFrame) -> Mapping[str, Any]:
    (found,) = frame.to_dict("records")
    return {str(name): value for name, value in found.items()}


def by_holm(p: Sequence[float]) -> list[float]:
    """As Holm wrote it down: the smallest times their number, the next times one less, and never less than before."""
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = min(1.0, max(largest, p[place] * (len(p) - rank)))
        adjusted[place] = largest
    return adjusted


def test_the_test_is_scipys_of_pairs_corrected_by_holm_over_the_table(compared: Compared) -> None:
    draws = np.random.default_rng(0)
    a = draws.normal(0, 1, (6, 5))
    b = a + draws.normal(0.5, 0.5, a.shape) * np.arange(6)[:, None]
    names = [f"m{i}" for i in range(6)]
    runs = [[one for name, of in zip(names, v, strict=True) for one in scored(of, method=name)] for v in (a, b)]
    found = compared(*runs).scores.set_index("method").loc[names[1:]]
    tests = [stats.ttest_rel(y, x) for x, y in zip(a[1:], b[1:], strict=True)]
    assert found["p"].tolist() == pytest.approx(by_holm([float(one.pvalue) for one in tests]))
    intervals = [one.confidence_interval(0.95) for one in tests]
    assert found["low"].tolist() == pytest.approx([one.low for one in intervals])
    assert found["high"].tolist() == pytest.approx([one.high for one in intervals])
    assert found["difference"].tolist() == pytest.approx((b - a)[1:].mean(axis=1).tolist())
    assert found["mean_a"].tolist() == pytest.approx(a[1:].mean(axis=1).tolist())
    assert found["mean_b"].tolist() == pytest.approx(b[1:].mean(axis=1).tolist())
    assert {*found["verdict"]} == {"better", "undecided"}
    assert ((found["p"] <= 0.05) == (found["verdict"] == "better")).all()


@pytest.mark.parametrize(
    ("direction", "step", "verdict"),
    [
        ("max", 1.0, "better"),
        ("max", -1.0, "worse"),
        ("min", 1.0, "worse"),
        ("min", -1.0, "better"),
        ("none", 1.0, "higher"),
        ("none", -1.0, "lower"),
    ],
)
def test_what_is_significant_is_named_by_the_direction(
    compared: Compared, direction: str, step: float, verdict: str
) -> None:
    a = [1.0, 2.0, 3.0]
    b = [value + step * (1 + 0.01 * place) for place, value in enumerate(a)]
    assert only(compared(scored(a, direction=direction), scored(b, direction=direction)).scores)["verdict"] == verdict


def test_what_is_equal_to_the_last_bit_is_the_same_and_no_test(compared: Compared) -> None:
    a, b = [1.0, 2.0, 4.0], [2.0, 3.1, 5.0]
    many = [one for i in range(30) for one in scored(a, method=f"m{i}")]
    found = compared([*scored(a), *many], [*scored(b), *many]).scores
    assert found["verdict"].tolist() == ["better", *["same"] * 30]
    assert found["p"][0] == pytest.approx(stats.ttest_rel(b, a).pvalue)
    assert found["p"][1:].isna().all() and (found["difference"][1:] == 0).all()


def test_two_seeds_and_two_infinities_may_be_the_same_too(compared: Compared) -> None:
    a = [*scored([1.0, 2.0]), *scored([math.inf, 1.0, 2.0], method="copy")]
    assert compared(a, a).scores["verdict"].tolist() == ["same", "same"]


def test_one_bit_of_difference_is_not_the_same_but_decides_nothing(compared: Compared) -> None:
    a = [20.0, 20.0, 20.0]
    b = [math.nextafter(value, math.inf) for value in a]
    found = only(compared(scored(a), scored(b)).scores)
    assert (found["verdict"], found["reason"]) == ("undecided", "equal but for rounding")


def test_too_few_common_seeds_and_infinite_values_are_not_tested(compared: Compared) -> None:
    a = [*scored([1.0, 2.0, 3.0]), *scored([1.0, 2.0, 3.0, 4.0], method="copy")]
    b = [*scored([2.0, 3.5]), *scored([2.0, 3.5, 4.0, math.inf], method="copy")]
    found = compared(a, b).scores.set_index("method")
    assert found["verdict"].tolist() == ["not tested"] * 2 and found["p"].isna().all()
    assert found["reason"].to_dict() == {"glo": "2 common seeds; a test needs 3", "copy": "a value is infinite"}
    assert found["difference"].to_dict() == {"glo": 1.25, "copy": math.inf}
    assert found["mean_a"]["glo"] == 1.5  # of the common seeds


def test_seeds_are_paired_by_their_number_and_not_by_their_place(compared: Compared) -> None:
    a = scored([1.0, 5.0, 9.0, 13.0])
    b = [record(seed, row(value)) for seed, value in ((3, 14.0), (1, 6.0), (7, 0.0), (2, 10.5))]
    found = only(compared(a, b).scores)
    assert (found["seeds"], found["difference"]) == (3, pytest.approx((1 + 1 + 1.5) / 3))
    assert (found["mean_a"], found["mean_b"]) == (pytest.approx(9.0), pytest.approx(30.5 / 3))


def test_scores_of_two_protocols_are_not_compared_and_the_change_is_said(compared: Compared) -> None:
    changed = PROTOCOL | {"version": 2, "params": {"k": 5}, "samples": 50, "seed": 9, "n": {"real": 3}}
    a = scored([1.0, 2.0, 3.0])
    b = [replace(one, metrics=(replace(row(9.0, fingerprint="bbbb"), protocol=changed),)) for one in scored([9.0] * 3)]
    found = only(compared(a, b).scores)
    assert found["verdict"] == "not comparable"
    assert found["reason"] == "the protocol changed: version 1 -> 2; samples 100 -> 50; k 3 -> 5"
    assert (found["mean_a"], found["mean_b"]) == (2.0, 9.0)
    assert math.isnan(found["difference"]) and math.isnan(found["p"])


def test_what_one_run_lacks_is_said_with_why(compared: Compared) -> None:
    a = [record(0, row(1.0), row(1.0, "fd")), record(0, row(1.0), method="pca")]
    a += [record(0, row(1.0), dataset="faces"), record(0, row(1.0), method="vae"), record(0, row(1.0), method="gan")]
    b = [record(0, row(1.0)), record(0, row(1.0), dataset="rings"), record(0, row(1.0), method="vae", dataset="rings")]
    b += [record(0, replace(row(None), status="skipped", reason="no encoder"), method="gan")]
    found = compared(a, b).scores
    said = {(r["dataset"], r["metric"], r["method"]): (r["verdict"], r["reason"]) for r in found.to_dict("records")}
    assert said == {
        ("digits", "psnr", "glo"): ("same", ""),
        ("digits", "fd", "glo"): ("only in A", "B does not have this metric"),
        ("digits", "psnr", "pca"): ("only in A", "B does not have this method"),
        ("digits", "psnr", "vae"): ("only in A", "B does not have this method on this dataset"),
        ("digits", "psnr", "gan"): ("only in A", "skipped in B: no encoder"),
        ("faces", "psnr", "glo"): ("only in A", "B does not have this dataset"),
        ("rings", "psnr", "glo"): ("only in B", "A does not have this dataset"),
        ("rings", "psnr", "vae"): ("only in B", "A does not have this dataset"),
    }


def test_a_failure_is_a_row_with_its_reason_whatever_the_metric_would_have_been_called(compared: Compared) -> None:
    low, high = (replace(row(1.0, f"quantiles.{key}"), selection="quantiles") for key in ("low", "high"))
    a = [record(seed, low, high) for seed in range(3)] + [failed(one) for one in scored([0.0], method="pca")]
    a += [failed(record(0, row(1.0), method="gan"))]
    b = [failed(one, "error", "ValueError: no") for one in a[:3]] + scored([1.0], method="pca")
    b += [failed(record(0, row(1.0), method="gan"), "timeout", "60 s")]
    found = compared(a, b).scores
    told = found[["metric", "method", "verdict", "reason"]].itertuples(index=False, name=None)
    assert sorted(told) == [
        ("psnr", "gan", "failed in A and B", "A: oom: out of memory; B: timeout: 60 s"),
        ("psnr", "pca", "failed in A", "oom: out of memory"),
        ("quantiles.high", "glo", "failed in B", "error: ValueError: no"),
        ("quantiles.low", "glo", "failed in B", "error: ValueError: no"),
    ]


def test_a_seed_that_failed_is_left_out_and_named(compared: Compared) -> None:
    a, b = scored([1.0, 2.0, 3.0, 4.0]), scored([2.0, 3.5, 4.0, 5.5])
    found = only(compared(a, [*b[:2], failed(b[2]), b[3]]).scores)
    assert (found["seeds"], found["reason"]) == (3, "seed 2 failed in B: oom: out of memory")
    assert found["p"] == pytest.approx(stats.ttest_rel([2.0, 3.5, 5.5], [1.0, 2.0, 4.0]).pvalue)


def test_a_reason_that_is_half_a_character_is_told_without_it(compared: Compared) -> None:
    found = compared(scored([1]), [failed(one, reason="not \ud800 UTF-8") for one in scored([1])])
    assert only(found.scores)["reason"] == "oom: not  UTF-8"


def test_a_caution_is_told_beside_a_score_that_got_better(compared: Compared) -> None:
    b = [replace(one, metrics=(replace(one.metrics[0], reason="copies"),)) for one in scored([2.0, 3.1, 4.0])]
    found = only(compared(scored([1.0, 2.0, 3.0]), b).scores)
    assert (found["verdict"], found["reason"]) == ("better", "caution in B: copies")


def test_cells_without_a_record_are_told_and_not_taken_for_failures(tmp_path: Path) -> None:
    a = stored(tmp_path / "a", [*scored([1.0]), *scored([1.0], method="pca")])
    b = stored(tmp_path / "b", scored([1.0]), missing=[cell("pca")])
    found = compare(a, b)
    assert found.notices == ("B is not finished: 1 of 2 cells have no record yet; its own command goes on.",)
    last = found.scores.set_index("method").loc["pca"]
    assert (last["verdict"], last["reason"]) == ("only in A", "not run yet in B")


def test_a_run_without_any_record_is_compared_all_the_same(tmp_path: Path) -> None:
    a, b = (stored(tmp_path / name, [], missing=[cell()]) for name in "ab")
    found = compare(a, b)
    assert found.scores.empty and found.times.empty and found.changes.empty
    assert found.notices[-1] == "A and B have no score in common."


def changed_cells(records: Sequence[Record], **changes: Any) -> list[Record]:
    return [replace(one, cell=replace(one.cell, key=f"{one.cell.key}x", **changes)) for one in records]


def test_what_differs_between_cells_is_said_exactly(compared: Compared) -> None:
    glo, pca, vae, gan = (scored([1.0, 2.0], method=name) for name in ("glo", "pca", "vae", "gan"))
    b = [*changed_cells(glo, params={"epochs": 20, "loss": None}, threads=2), *changed_cells(pca)]
    b += [*changed_cells(vae, threads=2), gan[0], replace(gan[1], device="cuda")]
    found = compared([*glo, *pca, *vae, *gan], b).changes
    assert list(dict.fromkeys(found["sentence"])) == [
        "glo: epochs 40 -> 20",
        "glo: loss – -> none",
        "glo, vae: threads 1 -> 2",
        "pca: same parameters, other code or data (key differs)",
        "gan: ran on cpu -> cuda (seed 1)",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset_fingerprint": "d2"}, "glo: dataset fingerprint d1 -> d2"),
        ({"latent_dim": 16}, "glo: latent_dim 8 -> 16"),
        ({"precision": "bf16"}, "glo: precision fp32 -> bf16"),
        ({"device": "cuda:1"}, "glo: device auto -> cuda:1"),
        ({"content": "new"}, "glo: prepared data – -> new"),
        ({"dataset_params": {"size": 28}}, "glo: dataset size – -> 28"),
        ({"method_name": "vae", "params": {"sigma": 1}}, "glo: method glo -> vae"),
    ],
)
def test_every_part_of_a_cell_is_watched(compared: Compared, change: dict[str, Any], sentence: str) -> None:
    a = scored([1.0])
    assert compared(a, changed_cells(a, **change)).changes["sentence"].tolist() == [sentence]


def test_more_samples_alone_are_no_other_code(compared: Compared) -> None:
    a = scored([1.0])
    b = [replace(a[0], cell=replace(a[0].cell, samples=200))]
    assert compared(a, b).changes["sentence"].tolist() == ["glo: samples 100 -> 200"]


def test_a_change_on_one_dataset_names_it(compared: Compared) -> None:
    a = [record(0, row(1.0)), record(0, row(1.0), dataset="rings")]
    b = [a[0], *changed_cells(a[1:], threads=4)]
    assert compared(a, b).changes["sentence"].tolist() == ["glo on rings: threads 1 -> 4"]


def test_commands_commits_and_packages_that_differ_are_listed(tmp_path: Path) -> None:
    environment = {"benchsuite": "0.1.0", "commit": "abc", "python": "3.11.4", "cache": "/a"}
    environment |= {"processor": "P", "cores": 2}
    a = stored(
        tmp_path / "a",
        [],
        command=["/x/bin/benchsuite", "run"],
        environment=environment | {"packages": {"torch": "2.11", "numpy": "2"}},
    )
    b = stored(
        tmp_path / "b",
        [],
        command=["/y/benchsuite", "run"],
        scored=[["benchsuite", "score", "b c"]],
        environment=environment | {"commit": None, "cache": "/b", "packages": {"torch": "2.12", "numpy": "2"}},
    )
    assert compare(a, b).runs.to_numpy().tolist() == [
        ["commit", "abc", "none"],
        ["torch", "2.11", "2.12"],
        ["scored by (1)", "–", "benchsuite score 'b c'"],
    ]


def test_times_stand_side_by_side_only_where_they_compare(compared: Compared) -> None:
    fast, beside, moved = (scored([1.0, 1.0], method=name) for name in ("fast", "beside", "moved"))
    b = [replace(one, phases=(PhaseRow("fit", 9.0, 9.0, 1, None, None),)) for one in fast]
    b += [replace(one, contended=True) for one in beside] + [replace(one, environment="e2") for one in moved]
    found = compared([*fast, *beside, *moved], b)
    assert only(found.times) == {"dataset": "digits", "method": "fast", "seeds": 2, "a": 2.5, "b": 9.0}
    assert found.untimed == (
        "Times do not compare: of beside, which ran beside other cells in B; "
        "of moved, which ran on different machines or devices (e1 and e2)."
    )


def test_the_example_prints_what_it_says() -> None:
    tried = doctest.testmod(changes)
    assert tried.attempted and not tried.failed


# The command.


def test_the_worst_comes_first_and_much_of_the_same_is_one_line(command_line: CommandLine, tmp_path: Path) -> None:
    before = [1.0, 2.0, 3.0]
    after = {"up": [2.0, 3.01, 4.0], "down": [0.0, 1.01, 2.0]}
    names = ["same0", "up", "far", "gone", "broken", "down", *(f"same{i}" for i in range(1, 9))]
    a = [one for name in names for one in scored(before, method=name)]
    b = [one for name in names if name != "gone" for one in scored(after.get(name, before), method=name)]
    b = [failed(one) if one.cell.method == "broken" else one for one in b]
    other = (row(1.0, fingerprint="bbbb"),)
    b = [replace(one, metrics=other) if one.cell.method == "far" else one for one in b]
    stored(tmp_path / "a", a)
    stored(tmp_path / "b", b)
    printed = command_line("compare", "a", "b", check=0).stdout
    told = [line.split("|")[1].strip() for line in printed.splitlines() if "psnr" in line]
    assert told == [f"psnr [dB] ↑ of {name}" for name in ("down", "broken", "far", "gone", "up")]
    assert "In all: 1 worse, 1 failed in B, 1 not comparable, 1 only in A, 1 better, 9 same" in printed
    assert "the records do not say why" in printed


def test_many_metrics_of_a_method_that_is_gone_are_one_row(command_line: CommandLine, tmp_path: Path) -> None:
    rows = [row(1.0, f"metric{i}") for i in range(8)]
    stored(tmp_path / "a", [record(0, *rows, method=name) for name in ("kept", "gone", "gone2")])
    stored(tmp_path / "b", [record(0, *rows, method="kept")])
    printed = command_line("compare", "a", "b", check=0).stdout
    (line,) = [line for line in printed.splitlines() if "only in A |" in line]
    assert "metric4 [dB] ↑ and 3 more of gone, gone2 |" in line
    assert "In all: 16 only in A, 8 same" in printed


def test_json_has_everything_and_finite_numbers_only(command_line: CommandLine, tmp_path: Path) -> None:
    stored(tmp_path / "a", [*scored([1.0, 2.0, 3.0]), *scored([math.inf] * 3, method="copy")])
    stored(tmp_path / "b", [*scored([2.0, 3.0, 4.5]), *scored([1.0, 2.0, 3.0], method="copy")])
    text = command_line("compare", "a", "b", "--json", check=0).stdout
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert set(content) == {"a", "b", "notices", "runs", "changes", "scores", "times", "untimed"}
    by_method = {score["method"]: score for score in content["scores"]}
    assert by_method["glo"]["p"] == pytest.approx(stats.ttest_rel([2.0, 3.0, 4.5], [1.0, 2.0, 3.0]).pvalue)
    assert (by_method["copy"]["mean_a"], by_method["copy"]["difference"], by_method["copy"]["p"]) == (
        "inf",
        "-inf",
        None,
    )


def test_equal_names_are_no_trouble_and_one_folder_twice_is_told(command_line: CommandLine, tmp_path: Path) -> None:
    stored(tmp_path / "x" / "run", scored([1.0, 2.0, 3.0]))
    stored(tmp_path / "y" / "run", scored([2.0, 3.5, 4.0]))
    printed = command_line("compare", "x/run", "y/run", check=0).stdout
    assert printed.startswith("A: x/run\nB: y/run\n") and "better" in printed
    printed = command_line("compare", "x/run", "x/../x/run", check=0).stdout
    assert "A and B are the same folder, so that nothing can differ." in printed and "In all: 1 same" in printed


@pytest.mark.parametrize("arguments", [["a", "nowhere"], ["nowhere", "a"], ["a"], ["a", "a", "a"]])
def test_what_is_no_run_is_a_usage_error(command_line: CommandLine, tmp_path: Path, arguments: list[str]) -> None:
    stored(tmp_path / "a", scored([1.0]))
    result = command_line("compare", *arguments, check=2)
    assert not result.stdout and ("nowhere is no run directory" in result.stderr or "Usage:" in result.stderr)


def test_texts_of_plugins_stay_inert_and_short(command_line: CommandLine, tmp_path: Path) -> None:
    bad = "<script>|\u202e`x`\n\x1b[31m" + 10_000 * "a"
    (glo,), (named,) = scored([1.0]), changed_cells(scored([1.0], method="named"), method=bad)
    stored(tmp_path / "a", [glo, named])
    stored(tmp_path / "b", [*changed_cells([glo], params={"path": bad}), failed(named, "error", bad)])
    printed = command_line("compare", "a", "b", check=0).stdout
    assert "\x1b" not in printed and "\u202e" not in printed and "| <script>" not in printed
    assert "failed in B" in printed and max(map(len, printed.splitlines())) < 1500
