"""Several runs make one report in which nothing is lost and nothing averaged that does not belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from made_up_runs import cell, record_of, stored

from benchsuite.contracts import MetricRow, Record
from benchsuite.results.gathering import gather
from benchsuite.results.tables import report_of


def scored(key: str, seed: int, scores: Mapping[str, float], method: str = "glo", **fields: Any) -> Record:
    rows = [MetricRow(name, name, value, "", "max", 5, "f") for name, value in scores.items()]
    made = replace(cell(method, seed, metrics=list(scores)), key=key)
    return record_of(replace(made, **fields), rows)


def tables(tmp_path: Path, *runs: Sequence[Record]) -> dict[str, dict[str, dict[str, str]]]:
    """By dataset, metric and method."""
    stores = [stored(tmp_path / "ABC"[number], run) for number, run in enumerate(runs)]
    return {name: table.to_dict() for name, table in report_of(gather(stores)).comparison.items()}


def test_a_shared_cell_has_the_scores_of_all_runs(tmp_path: Path) -> None:
    found = tables(tmp_path, [scored("k", 0, {"m": 1.0})], [scored("k", 0, {"m": 1.0, "k": 2.0})])
    assert found == {"digits": {"m ↑": {"glo": "1.000"}, "k ↑": {"glo": "2.000"}}}


def test_a_shared_cell_that_ended_well_somewhere_did(tmp_path: Path) -> None:
    ended = scored("k", 0, {"m": 1.0})
    failed = Record(ended.cell, "oom", "out of memory")
    assert tables(tmp_path, [failed], [ended]) == {"digits": {"m ↑": {"glo": "1.000"}}}


def test_seeds_that_were_added_to_the_same_cells_are_of_one_method(tmp_path: Path) -> None:
    first = [scored(f"k{seed}", seed, {"m": float(seed)}) for seed in range(3)]
    more = [scored(f"k{seed}", seed, {"m": float(seed)}) for seed in range(6)]
    assert tables(tmp_path, first, more)["digits"]["m ↑"] == {"glo": "2.500 ± 1.963"}


def test_other_cells_under_the_same_label_stand_apart(tmp_path: Path) -> None:
    changed = [scored("new", 0, {"m": 3.0})]
    assert tables(tmp_path, [scored("old", 0, {"m": 1.0})], changed)["digits"]["m ↑"] == {
        "glo (A)": "1.000",
        "glo (B)": "3.000",
    }


def test_seeds_without_one_in_common_stand_apart(tmp_path: Path) -> None:
    """Nobody knows whether the code of both is the same."""
    found = tables(tmp_path, [scored("k0", 0, {"m": 1.0})], [scored("k1", 1, {"m": 3.0})])
    assert set(found["digits"]["m ↑"]) == {"glo (A)", "glo (B)"}


def test_a_third_run_goes_with_the_one_whose_cells_it_has(tmp_path: Path) -> None:
    runs = ([scored("a", 0, {"m": 1.0})], [scored("b", 0, {"m": 3.0})], [scored("b", 0, {"m": 3.0, "k": 4.0})])
    found = tables(tmp_path, *runs)["digits"]
    assert found["m ↑"] == {"glo (A)": "1.000", "glo (B)": "3.000"} and found["k ↑"]["glo (B)"] == "4.000"


def test_runs_on_different_data_have_one_method(tmp_path: Path) -> None:
    found = tables(tmp_path, [scored("a", 0, {"m": 1.0})], [scored("b", 0, {"m": 3.0}, dataset="rings")])
    assert found == {"digits": {"m ↑": {"glo": "1.000"}}, "rings": {"m ↑": {"glo": "3.000"}}}


def test_other_parameters_under_one_label_stand_apart_on_different_data_too(tmp_path: Path) -> None:
    other = scored("b", 0, {"m": 3.0}, dataset="rings", params={"epochs": 5})
    found = tables(tmp_path, [scored("a", 0, {"m": 1.0})], [other])
    assert found == {"digits": {"m ↑": {"glo (A)": "1.000"}}, "rings": {"m ↑": {"glo (B)": "3.000"}}}


def test_unlike_data_under_one_label_are_two_tables(tmp_path: Path) -> None:
    half = scored("b", 0, {"m": 3.0}, method="pca", subset=100)
    found = tables(tmp_path, [scored("a", 0, {"m": 1.0})], [half])
    assert found == {"digits (A)": {"m ↑": {"glo": "1.000"}}, "digits (B)": {"m ↑": {"pca": "3.000"}}}


def test_a_missing_cell_is_that_of_its_runs_method(tmp_path: Path) -> None:
    a, b = stored(tmp_path / "A", [scored("a", 0, {"m": 1.0})]), stored(tmp_path / "B", [scored("b", 0, {"m": 2.0})])
    lacking = {"key": "b1", "method": "glo", "dataset": "digits", "seed": 1, "metrics": ["m"]}
    b.write_run({"cells": [*b.read_run()["cells"], lacking]})
    assert [one["method"] for one in gather([a, b]).missing] == ["glo (B)"]
