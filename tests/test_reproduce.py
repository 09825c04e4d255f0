"""``benchsuite reproduce``: an item runs at a scale, its claims are judged, and its page says how to do it again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from conftest import CommandLine

from benchsuite import papers, suite
from benchsuite.contracts import Record
from benchsuite.errors import RecipeError
from benchsuite.results.items import read_item
from benchsuite.results.pages import public_text

ITEM = """
title = "Principal components"
source = "Pearson, On Lines and Planes of Closest Fit to Systems of Points in Space (1901)"
about = "More components reconstruct better."
[recipe]
methods = ["pca[latent_dim=2]@two", "pca[latent_dim=16]@sixteen"]
metrics = ["psnr", "psnr_quantiles"]
subset = 300
samples = 100
[smoke]
minutes = 0.1
seeds = 1
deviations = ["one seed only"]
[small]
minutes = 0.2
seeds = 3
[small.stand_ins]
mnist = "digits"
[paper]
minutes = 1
datasets = ["mnist", "celeba"]
[names]
median = "psnr_quantiles.p50"
[[published]]
place = "Table 1, MNIST"
of = "psnr[sixteen, mnist]"
value = 20.6
[[claims]]
name = "more-is-better"
says = "More components reconstruct better."
place = "section 2"
holds = "psnr[sixteen] > psnr[two]"
[[claims]]
name = "fewer-is-better"
says = "Fewer components reconstruct better."
place = "not in the paper"
holds = "median[two] > median[sixteen]"
[[claims]]
name = "on-celeba"
says = "On faces too."
place = "section 3"
holds = "psnr[sixteen, celeba] > 20"
[[figures]]
name = "bars"
draw = "bars"
caption = "pSNR by the number of components."
values = ["psnr"]
"""


@pytest.fixture
def item(tmp_path: Path) -> Path:
    path = tmp_path / "pearson" / "lines.toml"
    path.parent.mkdir()
    path.write_text(ITEM)
    return path


def verdicts(page: Path) -> dict[str, str]:
    with (page / "claims.csv").open() as file:
        return {row["claim"]: row["verdict"] for row in csv.DictReader(file)}


def test_an_item_is_run_judged_and_written_down_and_a_second_time_nothing_is_run(
    command_line: CommandLine, item: Path, tmp_path: Path
) -> None:
    arguments = ["reproduce", str(item), "--scale", "small", "--out", str(tmp_path / "out"), "-j", "1"]
    first = command_line(*arguments, "--reports", str(tmp_path / "reports"), check=0)
    page = tmp_path / "reports" / "pearson" / "lines"
    assert verdicts(page) == {"more-is-better": "holds", "fewer-is-better": "fails", "on-celeba": "not run"}
    assert "holds" in first.stdout and "fails" in first.stdout
    text = (page / "README.md").read_text()
    for said in (
        "Table 1, MNIST",
        "20.6",
        "celeba is not part of this scale",
        "![pSNR by",
        "--scale small",
        "seeds [0, 1, 2]",
    ):
        assert said in text, said
    assert (page / "bars.png").read_bytes().startswith(b"\x89PNG")
    index = (tmp_path / "reports" / "README.md").read_text()
    assert "[pearson/lines](pearson/lines/README.md), scale small" in index
    kept = {path.name: path.read_bytes() for path in page.iterdir()}
    second = command_line(*arguments, "--reports", str(tmp_path / "reports"), check=0)
    assert "cells: 0 to run, 6 done already" in second.stderr
    assert {path.name: path.read_bytes() for path in page.iterdir()} == kept, "the same command wrote something else"


def test_numbers_come_out_the_same_from_a_clean_state(item: Path, tmp_path: Path) -> None:
    pages = [
        papers.reproduce(str(item), "small", out=tmp_path / name, jobs=jobs) for name, jobs in (("a", 1), ("b", 2))
    ]
    claims, others = (outcome.found.claims for outcome in pages)
    assert claims.equals(others)


def test_one_seed_decides_nothing_and_says_so(item: Path, tmp_path: Path) -> None:
    outcome = papers.reproduce(str(item), "smoke", out=tmp_path / "out")
    assert outcome.found.counts() == {"inconclusive": 2, "not run": 1}
    assert "1 seed" in outcome.found.judged[0].verdict.reason
    assert "decides nothing" in outcome.pages[0].read_text()


def test_items_of_one_paper_and_scale_share_their_cells(item: Path, tmp_path: Path) -> None:
    other = item.with_name("planes.toml")
    other.write_text(ITEM.replace('"psnr", "psnr_quantiles"', '"psnr", "psnr_quantiles", "ssim"'))
    papers.reproduce(str(item), "smoke", out=tmp_path / "out")
    outcome = papers.reproduce(str(other), "smoke", out=tmp_path / "out")
    assert {planned.action for planned in outcome.run.plan.cells} == {"score"}, "it was trained a second time"
    assert outcome.run.exit_code == 0
    again = papers.reproduce(str(item), "smoke", out=tmp_path / "out")
    assert {planned.action for planned in again.run.plan.cells} == {"done"}
    assert "ssim" not in again.pages[0].read_text(), "a page shows what its own item asks for"


def test_a_failed_cell_makes_its_claims_not_run_and_the_exit_code_1(
    command_line: CommandLine, item: Path, tmp_path: Path
) -> None:
    item.write_text(ITEM.replace("latent_dim=16", "latent_dim=100000"))
    arguments = ["reproduce", str(item), "--scale", "small", "--out", str(tmp_path / "out"), "--json"]
    found = json.loads(command_line(*arguments, check=1).stdout)[0]
    assert found["exit_code"] == 1
    by_name = {row["claim"]: row for row in found["claims"]}
    assert by_name["more-is-better"]["verdict"] == "not run"
    assert "error" in by_name["more-is-better"]["reason"]


def test_data_that_are_not_prepared_are_asked_for(command_line: CommandLine, item: Path, tmp_path: Path) -> None:
    arguments = ["reproduce", str(item), "--scale", "paper", "--out", str(tmp_path / "out")]
    done = command_line(*arguments, env={"BENCHSUITE_CACHE": str(tmp_path / "empty")}, check=1)
    assert "benchsuite prepare mnist" in done.stdout
    assert "not run" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["glo/tabel1"], "did you mean 'glo/table1'"),
        ([], "--list"),
        (["glo/table1", "--scale", "large"], "small"),
        (["nowhere/item.toml"], "cannot read the recipe"),
        (["glo/table1", "--jobs", "0"], "--jobs"),
    ],
)
def test_a_mistake_on_the_command_line_is_a_usage_error(
    arguments: list[str], said: str, command_line: CommandLine
) -> None:
    done = command_line("reproduce", *arguments, check=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_scale_that_an_item_lacks_is_named(item: Path, tmp_path: Path) -> None:
    item.write_text(ITEM[: ITEM.index("[paper]")] + ITEM[ITEM.index("[names]") :])
    with pytest.raises(RecipeError, match="has no scale 'paper'; it has smoke, small"):
        papers.check_item(read_item(str(item)), "paper")


def test_the_list_names_every_item_with_its_minutes(command_line: CommandLine) -> None:
    listed = command_line("reproduce", "--list", check=0).stdout
    for name in ("glo/table1", "gan-thesis/table1", "stochastic-clipping/table2", "hidden-tasks/figure2b"):
        assert name in listed
    of_one = json.loads(command_line("reproduce", "--list", "glo", "--json", check=0).stdout)
    assert {row["item"].partition("/")[0] for row in of_one} == {"glo"}
    assert all(row["minutes"]["small"] < 15 for row in of_one)


@pytest.mark.parametrize(
    ("old", "new", "near"),
    [
        ("psnr[sixteen] > psnr[two]", "psnr[sixten] > psnr[two]", "did you mean 'sixteen'"),
        ("psnr[sixteen, celeba]", "psnr[sixteen, celebra]", "did you mean 'celeba'"),
        ("psnr[sixteen, celeba]", "pnsr[sixteen, celeba]", "did you mean 'psnr'"),
        ('median = "psnr_quantiles.p50"', 'median = "psnr_quantile.p50"', "psnr_quantile"),
        ('mnist = "digits"', 'mnist = "digtis"', "did you mean 'digits'"),
        ('place = "section 2"', 'place = "section 2"\ndatasets = ["mnits"]', "did you mean 'mnist'"),
        ('values = ["psnr"]', 'values = ["pnsr"]', "pnsr"),
        ('caption = "pSNR', 'methods = ["tow"]\ncaption = "pSNR', "did you mean 'two'"),
    ],
)
def test_what_an_item_misspells_is_refused_before_anything_is_run(
    old: str, new: str, near: str, item: Path, tmp_path: Path
) -> None:
    assert old in ITEM
    item.write_text(ITEM.replace(old, new))
    with pytest.raises(RecipeError, match=near):
        papers.reproduce(str(item), "small", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_the_last_of_several_items_is_found_before_the_first_is_run(
    command_line: CommandLine, item: Path, tmp_path: Path
) -> None:
    wrong = item.with_name("planes.toml")
    wrong.write_text(ITEM.replace("psnr[sixteen] >", "psnr[sixten] >"))
    done = command_line("reproduce", str(item), str(wrong), "--scale", "smoke", "--out", str(tmp_path / "out"), check=2)
    assert "did you mean 'sixteen'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_another_scale_for_another_machine_does_not_stand_in_the_way(item: Path, tmp_path: Path) -> None:
    item.write_text(ITEM.replace("[paper]", '[paper]\ndevice = "cuda:7"'))
    papers.check_item(read_item(str(item)), "smoke")


def test_a_page_has_nothing_left_of_an_earlier_one(item: Path, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    papers.reproduce(str(item), "smoke", out=tmp_path / "out", reports=reports)
    page = reports / "pearson" / "lines"
    assert {path.name for path in page.iterdir()} >= {"bars.png", "claims.csv", "published.csv"}
    item.write_text(ITEM[: ITEM.index("[[published]]")])
    papers.reproduce(str(item), "smoke", out=tmp_path / "out", reports=reports)
    assert {path.name for path in page.iterdir()} == {"README.md", "results.csv"}
    papers.write_index(reports)
    assert "It makes no claim." in (reports / "README.md").read_text()


def test_a_page_of_another_scale_is_not_replaced(command_line: CommandLine, item: Path, tmp_path: Path) -> None:
    arguments = ["reproduce", str(item), "--out", str(tmp_path / "out"), "--reports", str(tmp_path / "reports")]
    command_line(*arguments, "--scale", "smoke", check=0)
    assert "has the page of scale smoke" in command_line(*arguments, "--scale", "small", check=2).stderr


def test_a_metric_that_fails_is_told_and_is_exit_code_1(
    command_line: CommandLine, acme: Path, item: Path, tmp_path: Path
) -> None:
    item.write_text(ITEM.replace('"psnr", "psnr_quantiles"', '"psnr", "psnr_quantiles", "raising"'))
    arguments = ["reproduce", str(item), "--scale", "smoke", "--out", str(tmp_path / "out")]
    assert "the metric's own mistake" in command_line(*arguments, plugins=(acme,), check=1).stdout


def test_an_interrupted_item_is_judged_by_what_it_has_and_leaves_reports_alone(
    command_line: CommandLine, item: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = suite._Drive._finish

    def stop(drive: Any, record: Record) -> None:
        finish(drive, record)
        raise KeyboardInterrupt

    arguments = ["reproduce", str(item), "--scale", "small", "--out", str(tmp_path / "out"), "-j", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(suite._Drive, "_finish", stop)
        done = command_line(*arguments, "--reports", str(tmp_path / "reports"), check=130)
    assert "the same command goes on from here" in done.stderr
    assert not (tmp_path / "reports").exists()
    assert "no record" in (tmp_path / "out" / "pearson-small" / "items" / "lines" / "README.md").read_text()
    assert "5 to run, 1 done already" in command_line(*arguments, check=0).stderr


def test_the_printed_command_has_the_device_that_was_asked_for(item: Path, tmp_path: Path) -> None:
    outcome = papers.reproduce(str(item), "smoke", out=tmp_path / "out", device="cpu")
    assert f"benchsuite reproduce {item} --scale smoke --device cpu" in outcome.pages[0].read_text()


def test_what_was_obtained_is_left_out_where_a_seed_has_no_finite_value(item: Path, tmp_path: Path) -> None:
    divided = 'of = "psnr[sixteen, mnist] / (psnr[two, mnist] - psnr[two, mnist])"'
    item.write_text(ITEM.replace('of = "psnr[sixteen, mnist]"', divided))
    outcome = papers.reproduce(str(item), "small", out=tmp_path / "out")
    row = outcome.found.published.iloc[0]
    assert pd.isna(row["obtained"]) and row["reason"]
    assert "Remarks on what was obtained" in outcome.pages[0].read_text()


def test_no_place_of_the_machine_reaches_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def public(text: str, cache: str, home: str) -> str:
        monkeypatch.setenv("HOME", home)
        report: Any = SimpleNamespace(provenance={"environment": {"cache": cache}})
        return public_text(text, report)

    assert public("not in /var/x/data/a", "/var/x", "/somewhere/home") == "not in CACHE/data/a"
    assert (
        public("in /somewhere/home/.cache, not /somewhere/homeless", "data", "/somewhere/home")
        == "in ~/.cache, not /somewhere/homeless"
    )
    assert public("a dataset / column", "data", "/") == "a dataset / column"


def test_run_sends_an_item_to_reproduce(command_line: CommandLine, item: Path) -> None:
    assert "benchsuite reproduce" in command_line("run", str(item), check=2).stderr
