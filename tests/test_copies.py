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
    comparison = printed.partition("Timing on")[0].splitlines()
    lines = {line.split("|")[1].strip(): line for line in comparison if line.startswith("|")}
    assert lines["copies"].count("†") == lines["noisy"].count("†") == 5 and "†" not in lines["pca"] + lines["real"]
    assert "† Cautions" in printed and "copies its training data" in printed
    command_line("report", "out", plugins=(acme,), check=0)
    page = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "copies its training data" in page and "## Protocols" in page


def test_what_is_scored_later_is_marked_too(command_line: CommandLine, acme: Path, tmp_path: Path) -> None:
    run = ("run", "-m", "copies", "--samples", "1000", "--metrics", "fd", "--out", "out")
    command_line(*run, plugins=(acme,), check=0)
    (path,) = tmp_path.glob("out/cells/*/record.json")
    assert not json.loads(path.read_text())["metrics"][0]["reason"]
    command_line("score", "out", "--metrics", "authpct,recall", plugins=(acme,), check=0)
    reasons = {row["metric"]: row["reason"] for row in json.loads(path.read_text())["metrics"]}
    assert all("copies its training data" in reasons[metric] for metric in ("fd", "authpct", "recall"))
    command_line("score", "out", "--metrics", "precision", plugins=(acme,), check=0)
    (precision,) = (row for row in json.loads(path.read_text())["metrics"] if row["metric"] == "precision")
    assert "copies its training data" in precision["reason"]
