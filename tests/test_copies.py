"""A model that hands out its training images is not rewarded: every score of its samples says what it is."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from conftest import CommandLine

METRICS = "fd,kid,precision,recall,authpct,nearest_train,psnr"


@pytest.fixture
def table(command_line: CommandLine, acme: Path, tmp_path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """results.csv by method and metric."""
    methods = "copies,copies[noise=0.002]@noisy,pca,real"
    arguments = ("run", "-m", methods, "--samples", "1000", "--metrics", METRICS, "--out", "out")
    printed = command_line(*arguments, plugins=(acme,), check=0).stdout
    (tmp_path / "printed.txt").write_text(printed)
    found: dict[str, dict[str, dict[str, str]]] = {}
    with (tmp_path / "out" / "results.csv").open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row["method"], {})[row["metric"]] = row
    return found


def test_copies_are_caught_and_marked_at_every_score(
    table: dict[str, dict[str, dict[str, str]]], command_line: CommandLine, acme: Path, tmp_path: Path
) -> None:
    fd = {method: float(rows["fd"]["value"]) for method, rows in table.items()}
    assert fd["copies"] < fd["real"] < fd["pca"]  # by its number alone it would be the best of all
    for method in ("copies", "noisy"):
        for metric in ("fd", "kid", "precision", "recall", "authpct"):
            assert "copies its training data" in table[method][metric]["reason"], (method, metric)
        assert float(table[method]["authpct"]["value"]) < 5
        assert float(table[method]["nearest_train.ratio"]["value"]) < 0.1
    for method in ("pca", "real"):
        assert not [row for row in table[method].values() if row["status"] == "ok" and row["reason"]]
    printed = (tmp_path / "printed.txt").read_text()
    comparison = printed.partition("† Cautions")[0].splitlines()
    lines = {line.split("|")[1].strip(): line for line in comparison if line.startswith("|")}
    assert lines["copies"].count("†") == lines["noisy"].count("†") == 8 and "†" not in lines["pca"] + lines["real"]
    assert "† Cautions" in printed and "copies its training data" in printed
    command_line("report", "out", plugins=(acme,), check=0)
    page = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "copies its training data" in page and "## Protocols" in page


def test_what_is_scored_later_is_marked_too(command_line: CommandLine, acme: Path, tmp_path: Path) -> None:
    run = ("run", "-m", "copies", "--samples", "1000", "--metrics", "fd", "--out", "out")
    command_line(*run, plugins=(acme,), check=0)
    assert not reasons(tmp_path)["fd"]
    command_line("score", "out", "--metrics", "authpct,recall", plugins=(acme,), check=0)
    found = reasons(tmp_path)
    assert all("copies its training data" in found[metric] for metric in ("fd", "authpct", "recall"))
    command_line("score", "out", "--metrics", "precision", plugins=(acme,), check=0)
    assert "copies its training data" in reasons(tmp_path)["precision"]
    command_line(*run, plugins=(acme,), check=0)  # shows fd alone, which the record knows to be a copy's
    assert list(reasons(tmp_path)) == ["fd"] and "copies its training data" in reasons(tmp_path)["fd"]


def test_a_model_that_is_found_honest_later_is_not_marked_any_more(
    command_line: CommandLine, acme: Path, tmp_path: Path
) -> None:
    command_line("run", "-m", "pca", "--samples", "200", "--metrics", "fd,authpct", "--out", "out", check=0)
    (path,) = tmp_path.glob("out/cells/*/record.json")
    record = json.loads(path.read_text())
    record["metrics"][1] |= {"disqualifies": True, "reason": "copies"}
    path.write_text(json.dumps(record))
    command_line("score", "out", "--metrics", "recall", check=0)
    assert set(reasons(tmp_path).values()) == {"copies"}
    command_line("score", "out", "--metrics", "authpct", "--force", check=0)
    assert set(reasons(tmp_path).values()) == {""}


def reasons(folder: Path) -> dict[str, str]:
    with (folder / "out" / "results.csv").open() as file:
        return {row["metric"]: row["reason"] for row in csv.DictReader(file)}
