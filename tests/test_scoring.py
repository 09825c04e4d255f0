"""``benchsuite score``: finished models are scored by more metrics, and nothing is trained."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CommandLine

from benchsuite import Metric, Score, run, score
from benchsuite.errors import StoreError
from benchsuite.harness.binding import BoundMetric
from benchsuite.harness.evaluation import Evaluation
from benchsuite_plugins.executors.local import Local

RECIPE = {"methods": "pca,vae[epochs=1]", "samples": 64, "metrics": "psnr"}
RUN = ("run", "-m", "pca,vae[epochs=1]", "--samples", "64", "--out", "out", "--metrics")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "out"
    assert run(RECIPE, out=folder).exit_code == 0
    return folder


@pytest.fixture
def trained(finished: Path, tmp_path: Path) -> Path:
    """A finished run of one's own."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def records(folder: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("cells/*/record.json"))]
    return {record["cell"]["method"]: record for record in found}


def fit_phases(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [phase for phase in record["phases"] if phase["phase"] == "fit"]


def values(folder: Path) -> dict[tuple[str, str], str]:
    with (folder / "results.csv").open() as file:
        return {(row["method"], row["metric"]): row["value"] for row in csv.DictReader(file)}


def test_a_score_is_added_beside_what_stands_and_nothing_is_trained(command_line: CommandLine, trained: Path) -> None:
    before, models = records(trained), {p: p.stat().st_mtime_ns for p in trained.glob("cells/*/model.pt")}
    result = command_line("score", "out", "--metrics", "fd,moments", check=0)
    after = records(trained)
    assert {path: path.stat().st_mtime_ns for path in models} == models
    for method, record in after.items():
        assert [row["selection"] for row in record["metrics"]] == ["psnr", "fd", "moments"]
        assert record["metrics"][0] == before[method]["metrics"][0]
        assert fit_phases(record) == fit_phases(before[method])
    assert "psnr [dB] ↑" in result.stdout and "fd ↓" in result.stdout
    assert all(values(trained)[method, "fd"] for method in after) and not values(trained)["pca", "moments"]
    again = command_line("score", "out", "--metrics", "fd", check=0)
    assert "cells: 0 to run" in again.stderr and "fd ↓" in again.stdout


def test_scores_are_those_that_the_run_itself_would_have_given(command_line: CommandLine, trained: Path) -> None:
    command_line("score", "out", "--metrics", "fd", check=0)
    command_line(*RUN, "psnr,fd", "--out", "whole", check=0)
    assert values(trained) == values(trained.with_name("whole"))


def test_the_runs_own_command_finds_its_cells_finished(command_line: CommandLine, trained: Path) -> None:
    command_line("score", "out", "--metrics", "fd", check=0)
    assert "cells: 0 to run, 2 done already" in command_line(*RUN, "psnr", check=0).stderr
    assert "cells: 0 to run, 2 done already" in command_line(*RUN, "fd,psnr", check=0).stderr


def test_more_samples_score_anew_whatever_is_of_samples(command_line: CommandLine, trained: Path) -> None:
    command_line("score", "out", "--metrics", "fd", check=0)
    few = values(trained)
    result = command_line("score", "out", "--metrics", "fd", "--samples", "512", "--json", check=0)
    rows = {(row["method"], row["metric"]): row for row in json.loads(result.stdout)["results"]}
    assert rows["pca", "fd"]["n"] == 512 and rows["pca", "fd"]["value"] != float(few["pca", "fd"])
    assert rows["pca", "psnr"]["value"] == float(few["pca", "psnr"])


def test_the_number_of_samples_counts_from_then_on(command_line: CommandLine, trained: Path) -> None:
    command_line("score", "out", "--metrics", "fd", "--samples", "512", check=0)
    many = values(trained)
    result = command_line("score", "out", "--metrics", "recall", "--json", check=0)
    rows = {(row["method"], row["metric"]): row for row in json.loads(result.stdout)["results"]}
    assert rows["pca", "recall"]["n"] == rows["pca", "fd"]["n"] == 512
    assert rows["pca", "fd"]["value"] == float(many["pca", "fd"])
    assert [command[-2:] for command in json.loads((trained / "run.json").read_text())["scored"]] == [
        ["--samples", "512"],
        ["recall", "--json"],
    ]


def test_an_interruption_loses_no_score(
    command_line: CommandLine, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = values(trained)

    def interrupted(self: object, *arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Local, "run", interrupted)
        result = command_line("score", "out", "--metrics", "fd", check=130)
    assert "0 cells are kept, 2 are trained and still to be scored" in result.stderr
    assert values(trained) == before
    command_line("score", "out", "--metrics", "fd", check=0)
    assert values(trained)["pca", "psnr"] == before["pca", "psnr"] and values(trained)["pca", "fd"]


def test_force_scores_again_what_stands(command_line: CommandLine, trained: Path) -> None:
    path = next(iter(trained.glob("cells/pca*/record.json")))
    record = json.loads(path.read_text())
    true = record["metrics"][0]["value"]
    record["metrics"][0]["value"] = 0.0
    path.write_text(json.dumps(record))
    command_line("score", "out", "--metrics", "psnr", check=0)
    assert records(trained)["pca"]["metrics"][0]["value"] == 0
    command_line("score", "out", "--metrics", "psnr", "--force", check=0)
    assert records(trained)["pca"]["metrics"][0]["value"] == true


def test_models_that_were_not_kept_fail_their_row_and_keep_their_scores(
    command_line: CommandLine, trained: Path
) -> None:
    next(iter(trained.glob("cells/pca*/model.pt"))).unlink()
    result = command_line("score", "out", "--metrics", "fd", check=1)
    assert "no model was kept to score" in result.stdout
    assert (
        values(trained)["pca", "psnr"] and not values(trained)["pca", "fd"] and values(trained)["vae[epochs=1]", "fd"]
    )


def test_a_model_of_other_code_is_scored_and_the_record_says_so(command_line: CommandLine, trained: Path) -> None:
    old = next(iter(trained.glob("cells/pca*")))
    new = old.with_name(f"{old.name[:-4]}0000")
    old.rename(new)
    for path in (trained / "run.json", new / "record.json"):
        path.write_text(path.read_text().replace(old.name, new.name))
    result = command_line("score", "out", "--metrics", "fd", check=0)
    assert "scored by code, or on data, other than it was trained with" in result.stdout
    assert values(trained)["pca", "fd"]


def test_cells_that_are_not_finished_stay_as_they_are(command_line: CommandLine, trained: Path) -> None:
    next(iter(trained.glob("cells/pca*/record.json"))).unlink()
    result = command_line("score", "out", "--metrics", "fd", check=0)
    assert "not run yet" in result.stdout and not list(trained.glob("cells/pca*/record.json"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("score", "nowhere", "--metrics", "fd"), "nowhere is no run directory"),
        (("score", "out", "--metrics", "fdd"), "no metric named 'fdd'; did you mean 'fd'?"),
        (("score", "out", "--metrics", "fd[features=incepton]"), "no feature extractor named 'incepton'"),
        (("score", "out"), "Missing option '--metrics'"),
        (("score", "out", "--metrics", "fd", "--samples", "1"), "--samples"),
    ],
    ids=["no run", "no metric", "no extractor", "no flag", "too few"],
)
def test_a_mistake_is_answered_in_one_sentence(
    arguments: tuple[str, ...], said: str, command_line: CommandLine, trained: Path
) -> None:
    before = (trained / "run.json").read_bytes()
    result = command_line(*arguments, check=2)
    assert said in result.stderr and (trained / "run.json").read_bytes() == before


def test_python_scores_as_the_command_does(trained: Path) -> None:
    outcome = score(trained, ["fd"])
    assert outcome.exit_code == 0 and [row.selection for row in outcome.records[0].metrics] == ["psnr", "fd"]
    with pytest.raises(StoreError, match="no run directory"):
        score(trained / "nothing", "fd")


def test_a_model_is_never_thrown_away_because_code_changed(
    command_line: CommandLine, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = trained.glob("cells/pca*/model.pt")
    other = torch.load(path, weights_only=True) | {"unheard_of": torch.zeros(1)}
    torch.save(other, path)  # as it would be of a version whose model had one parameter more
    result = command_line("score", "out", "--metrics", "fd", check=1)
    assert "scoring failed, earlier scores stand" in result.stdout and path.exists()
    assert values(trained)["pca", "psnr"] and not values(trained)["pca", "fd"]
    other.pop("unheard_of")
    torch.save(other, path)
    again = command_line("score", "out", "--metrics", "fd", check=0)
    assert "scoring failed" not in again.stdout and values(trained)["pca", "fd"]


def test_a_score_that_cannot_be_made_anew_fails_the_command_and_stands(
    command_line: CommandLine, trained: Path
) -> None:
    command_line("score", "out", "--metrics", "fd", check=0)
    before = values(trained)
    for path in trained.glob("cells/*/model.pt"):
        path.unlink()
    result = command_line("score", "out", "--metrics", "fd", "--samples", "500", check=1)
    assert "note: pca on digits, seed 0: scoring failed, earlier scores stand: " in result.stdout
    assert values(trained) == before
    assert {record["cell"]["samples"] for record in records(trained).values()} == {64}


def test_a_metric_that_is_not_installed_any_more_keeps_its_score(command_line: CommandLine, trained: Path) -> None:
    (path,) = trained.glob("cells/pca*/record.json")
    for file in (path, trained / "run.json"):
        file.write_text(file.read_text().replace('"psnr"', '"gone"'))
    command_line("score", "out", "--metrics", "fd", check=1)  # the other method has no score under that name
    assert values(trained)["pca", "gone"] and values(trained)["pca", "fd"]


def test_what_failed_is_tried_again(command_line: CommandLine, trained: Path) -> None:
    (path,) = trained.glob("cells/pca*/record.json")
    command_line("score", "out", "--metrics", "fd", check=0)
    record, true = json.loads(path.read_text()), values(trained)
    record["metrics"][1] |= {"status": "error", "value": None, "reason": "a mishap"}
    path.write_text(json.dumps(record))
    command_line("score", "out", "--metrics", "fd", check=0)
    assert values(trained) == true


@pytest.mark.parametrize("true", [np.bool_(True), torch.tensor(True)], ids=["numpy", "torch"])
def test_a_verdict_may_be_of_any_librarys_truth(true: Any) -> None:
    cell = SimpleNamespace(_cell=SimpleNamespace(samples=5, seed=0))
    bound = BoundMetric("m", Metric("m", len, None), {}, (), {})
    row = Evaluation._row(cell, bound, "", 1.0, Score(1.0, disqualifies=true), {"n": {}})  # type: ignore[arg-type]
    assert row.disqualifies is True and row.reason == "copies its training data" and json.dumps(asdict(row))
