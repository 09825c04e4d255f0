"""``benchsuite gate --against GIT_REF``: two checkouts in turn, on a repository of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import OFFLINE
from made_up_runs import scored

from benchsuite.contracts import PhaseRow, Record
from benchsuite.errors import UsageError
from benchsuite.interleaving import _moved
from benchsuite.results.ratios import RATIO, ratio_rows
from benchsuite.results.rules import Rules, rules_from

PLUGIN = """
import time
from dataclasses import dataclass
import torch, benchsuite

class Grey(benchsuite.Model):
    def __init__(self, spec):
        super().__init__()
        self.register_buffer("mean", torch.zeros(spec.shape))
    def sample(self, n, generator):
        return (self.mean + SPREAD * torch.rand(n, *self.mean.shape, generator=generator)).clamp(0, 1)

@dataclass(frozen=True)
class Slow(benchsuite.Method):
    name = "slow"
    def build(self, spec):
        return Grey(spec)
    def fit(self, model, train, run):
        model.mean.copy_(train[:].mean(0))
        time.sleep(SECONDS)

@benchsuite.hookimpl
def benchsuite_methods():
    return [Slow]
"""


def timed(seconds: list[float]) -> list[Record]:
    return [
        replace(scored("vae", seed, {"m": 1.0}), phases=(PhaseRow("fit", value, value, 1, None, None),))
        for seed, value in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1.0, "pass"), (1.1, "pass"), (1.6, "regression"), (0.5, "improved"), (1.25, "inconclusive")],
)
def test_a_ratio_is_judged_by_tolerance_and_test(factor: float, verdict: str) -> None:
    before = [2.0, 2.1, 1.9, 2.05, 1.95]
    noise = [1.0, 1.3, 0.8, 1.2, 0.85] if verdict == "inconclusive" else [1.0, 1.01, 0.99, 1.0, 1.01]
    (row,) = ratio_rows(timed(before), timed([a * factor * b for a, b in zip(before, noise, strict=True)]), Rules())
    assert (row.verdict, row.metric, row.seeds) == (verdict, RATIO, 5)
    assert row.value == pytest.approx(factor, rel=0.03)


def test_the_ratio_is_the_geometric_mean_and_drift_cancels() -> None:
    drift = [1.0, 2.0, 4.0]
    (row,) = ratio_rows(timed(drift), timed([2 * one for one in drift]), rules_from({"time": {"tolerance": "5%"}}))
    assert (row.value, row.loss, row.verdict) == (pytest.approx(2.0), pytest.approx(1.0), "regression")


def test_two_pairs_are_no_test() -> None:
    (row,) = ratio_rows(timed([1.0, 1.0]), timed([9.0, 9.0]), Rules())
    assert row.verdict == "ungated" and math.isnan(row.p)


def test_only_folders_of_the_checkout_move(tmp_path: Path) -> None:
    top, other = tmp_path / "top", tmp_path / "other"
    for folder in (top / "src", top / ".venv", other / "src"):
        folder.mkdir(parents=True)
    paths = [str(top / "src"), str(top / ".venv"), "/usr/lib", ""]
    assert _moved(paths, top, other) == [str(other / "src"), str(top / ".venv"), "/usr/lib"]
    with pytest.raises(UsageError, match="both commits would run the same code; install it from the checkout"):
        _moved(["/usr/lib"], top, other)


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project with a method of its own, whose second commit is slower and has other samples."""
    folder = tmp_path / "project"
    metadata = folder / "src" / "slow-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[benchsuite]\nslow = slow_plugin\n")
    git(folder, "init", "-q")
    for seconds, spread in ((0.1, 0.4), (0.4, 0.1)):
        text = PLUGIN.replace("SECONDS", str(seconds)).replace("SPREAD", str(spread))
        (folder / "src" / "slow_plugin.py").write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "change")
    return folder


def benchsuite(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "src"), str(OFFLINE)])
    command = [sys.executable, "-m", "benchsuite", *arguments]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)


def test_a_slower_and_other_commit_is_found_against_the_one_before(repository: Path) -> None:
    made = benchsuite(repository, "run", "-m", "slow", "--metrics", "fd", "--samples", "100", "--out", "run")
    assert made.returncode == 0, made.stderr
    found = benchsuite(repository, "gate", "run", "--against", "HEAD~1", "--seeds", "3", "--json")
    assert found.returncode == 3, found.stderr
    content = json.loads(found.stdout)
    rows = {row["metric"]: row for row in content["rows"]}
    assert rows[RATIO]["verdict"] == "regression" and 2 < rows[RATIO]["value"] < 6
    assert rows["fd"]["value"] != rows["fd"]["baseline"] and rows["fd"]["seeds"] == 3
    assert "slow: same parameters, other code or data (key differs)" in content["changes"]
    order = [line.partition(", ")[2] for line in found.stderr.splitlines() if line.startswith("seed ")]
    assert order == ["HEAD~1", "this checkout", "this checkout", "HEAD~1", "HEAD~1", "this checkout"]
    worktrees = subprocess.run(["git", "worktree", "list"], cwd=repository, capture_output=True, text=True).stdout
    assert len(worktrees.splitlines()) == 1  # nothing is left behind


def test_a_project_that_is_not_imported_from_its_checkout_is_refused(repository: Path) -> None:
    made = benchsuite(repository, "run", "-m", "pca", "--metrics", "fd", "--samples", "100", "--out", "run")
    assert made.returncode == 0, made.stderr
    (repository / "src" / "slow-1.0.dist-info" / "entry_points.txt").unlink()  # nothing imports from src then
    found = benchsuite(repository, "gate", "run", "--against", "HEAD", "--seeds", "3")
    assert found.returncode == 2 and "would run the same code" in found.stderr


def test_a_commit_that_is_not_there_is_named(repository: Path) -> None:
    made = benchsuite(repository, "run", "-m", "slow", "--metrics", "fd", "--samples", "100", "--out", "run")
    assert made.returncode == 0, made.stderr
    found = benchsuite(repository, "gate", "run", "--against", "nowhere")
    assert found.returncode == 2 and "there is no commit 'nowhere' here" in found.stderr
    assert "name what is to be run" in benchsuite(repository, "gate", "--against", "HEAD").stderr
