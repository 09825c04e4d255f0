"""Baselines come back as they were written, stay small and readable, and tell damage from another version."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_runs import broken, cell, scored, stored

from benchsuite.contracts import Record
from benchsuite.errors import BaselineError
from benchsuite.results.baseline import Baseline, baseline_of, is_baseline, read_baseline, write_baseline
from benchsuite.results.baselinetable import baseline_table


def _records(seeds: int = 20) -> list[Record]:
    values = {"psnr": 20.123456789012345, "fd": 1e-300, "copy": math.inf}
    found = [scored("vae", seed, {name: value + seed / 7 for name, value in values.items()}) for seed in range(seeds)]
    return [*found, scored("glo", 0, {"psnr": 25.0, "fd": None}), broken("glo", 1, ["psnr", "fd"])]


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[Record]]:
    records = _records()
    path = tmp_path / "baselines" / "a.json"
    environment = {"benchsuite": "0.1.0", "python": "3.12.1", "cache": "somewhere of mine"}
    run = stored(tmp_path / "run", records, recipe={"methods": ["vae"], "seeds": [0]}, environment=environment)
    write_baseline(baseline_of(run), path)
    return path, records


def test_what_a_gate_looks_at_comes_back_to_the_last_bit(written: tuple[Path, list[Record]]) -> None:
    path, records = written
    back = {(record.cell.method, record.cell.seed): record for record in read_baseline(path).records()}
    assert len(back) == len(records)
    for record in records:
        other = back[record.cell.method, record.cell.seed]
        assert other.cell == record.cell
        assert (other.status, other.reason, other.data, other.device) == (
            record.status,
            record.reason,
            record.data,
            record.device,
        )
        assert [replace(row, n=None) for row in other.metrics] == [replace(row, n=None) for row in record.metrics]
        assert [p.seconds for p in other.phases] == [p.seconds for p in record.phases if p.phase == "fit"]


def test_the_file_is_small_readable_and_says_nothing_of_a_machines_folders(written: tuple[Path, list[Record]]) -> None:
    text = written[0].read_text()
    assert len(text) < 12_000 and max(map(len, text.splitlines())) <= 120
    assert "somewhere of mine" not in text and '"python": "3.12.1"' in text
    assert json.loads(text)["benchsuite_baseline"] == 1


def test_one_seed_more_changes_few_lines(tmp_path: Path) -> None:
    def lines(seeds: int) -> list[str]:
        run = stored(tmp_path / f"run{seeds}", _records(seeds))
        write_baseline(baseline_of(run), tmp_path / f"{seeds}.json")
        return (tmp_path / f"{seeds}.json").read_text().splitlines()

    before, after = lines(20), lines(21)
    assert len(set(after) - set(before)) <= 12


def test_the_same_run_gives_the_same_file(written: tuple[Path, list[Record]], tmp_path: Path) -> None:
    path, _ = written
    write_baseline(read_baseline(path), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_a_run_without_a_score_that_can_be_gated_is_no_baseline(tmp_path: Path) -> None:
    failed = stored(tmp_path / "failed", [broken("vae", seed, ["m"]) for seed in range(3)])
    undirected = stored(tmp_path / "undirected", [scored("vae", 0, {"m": 1.0}, direction="none")])
    for run in (failed, undirected):
        with pytest.raises(BaselineError, match="has no score that can be gated: none with a value and a direction"):
            baseline_of(run)


def test_a_run_that_is_not_finished_is_no_baseline(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", _records(2), missing=[cell("dcgan", 3)])
    with pytest.raises(BaselineError, match="is not finished: 1 cell without a record; its own command goes on"):
        baseline_of(run)


DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "cut off": (lambda text: text[: len(text) // 2], "is damaged: it is no JSON"),
    "empty": (lambda text: "", "is damaged: it is no JSON"),
    "a number changed by hand": (lambda text: text.replace("20.123456789012344", "20.2", 1), "was changed by hand"),
    "a merge": (lambda text: f"<<<<<<< HEAD\n{text}", "marks of a merge"),
    "lists without end": (lambda text: "[" * 100_000, "is no baseline, but another file"),
    "lists without end in it": (
        lambda text: text.replace('"recipe": {', '"recipe": ' + "[" * 100_000, 1),
        "is damaged",
    ),
    "another JSON": (lambda text: '{"a": 1}', "is JSON, but no baseline"),
    "a list": (lambda text: "[]", "is JSON, but no baseline"),
    "a later format": (
        lambda text: text.replace('"benchsuite_baseline": 1', '"benchsuite_baseline": 2'),
        "format 2, of another version of benchsuite; this one reads format 1",
    ),
    "an unknown field": (lambda text: text.replace('"recipe"', '"extra": 1,\n"recipe"', 1), "unknown field `extra`"),
    "a value too many": (
        lambda text: text.replace('"values": [25.0]', '"values": [25.0, 1.0]'),
        "has 1 seeds and 2 values of psnr",
    ),
    "a word for a number": (lambda text: text.replace('"values": [25.0]', '"values": ["x"]'), "is damaged: "),
    "a cell of other fields": (lambda text: text.replace('"latent_dim": 8', '"latent_dim": "8"', 1), "is damaged: "),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_told_apart_and_says_what_to_do(case: str, written: tuple[Path, list[Record]]) -> None:
    damage, message = DAMAGE[case]
    path, _ = written
    before = path.read_text()
    path.write_text(damage(before))
    assert path.read_text() != before
    with pytest.raises(BaselineError) as error:
        read_baseline(path)
    assert message in str(error.value) and "--baseline" in str(error.value)


def test_bytes_that_are_no_text_are_damage(written: tuple[Path, list[Record]]) -> None:
    path, _ = written
    path.write_bytes(path.read_bytes().replace(b'"digits"', b'"dig\xffits"', 1))
    with pytest.raises(BaselineError, match="is damaged"):
        read_baseline(path)


def test_a_reason_may_hold_marks_of_a_merge_and_halves_of_characters(tmp_path: Path) -> None:
    hostile = replace(broken("vae", 0, ["m"]), reason="\ud800 said\n<<<<<<< HEAD\n>>>>>>> theirs")
    run = stored(tmp_path / "run", [hostile, scored("vae", 1, {"m": 1.0})])
    write_baseline(baseline_of(run), tmp_path / "b.json")
    assert "<<<<<<< HEAD" in read_baseline(tmp_path / "b.json").records()[0].reason


def test_metrics_that_were_scored_later_are_part_of_the_recipe(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", [scored("vae", 0, {"psnr": 1.0, "fd": 2.0})], recipe={"metrics": ["psnr"]})
    assert baseline_of(run).recipe == {"metrics": ["psnr", "fd"], "samples": 10}


def test_what_begins_as_a_baseline_is_one_even_if_it_is_damaged(
    written: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    path, _ = written
    assert is_baseline(path)
    path.write_text(path.read_text()[:300])
    assert is_baseline(path)
    (tmp_path / "other.json").write_text('{"a": 1}')
    assert not is_baseline(tmp_path / "other.json") and not is_baseline(tmp_path / "absent.json")


def test_the_table_has_mean_and_spread_and_the_smallest_loss_that_would_be_found(
    written: tuple[Path, list[Record]],
) -> None:
    rows = {(row.method, row.metric): row for row in baseline_table(read_baseline(written[0]))}
    vae = rows["vae", "psnr"]
    assert vae.seeds == 20 and vae.sd is not None and vae.sees is not None
    assert 1.4 < vae.sees / vae.sd < 2.0
    assert rows["glo", "psnr"].sees is None
    assert rows["vae", "copy"].mean == "inf"


def test_a_baseline_is_a_value(written: tuple[Path, list[Record]]) -> None:
    one, other = read_baseline(written[0]), read_baseline(written[0])
    assert isinstance(one, Baseline) and one == other and len(one.digest) == 16
