"""What the harness costs: milliseconds for each cell that does nothing, under full process isolation.

The limit is absolute because it is a promise to users; it leaves half for slower machines. Measured: 19 to 49 ms.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchsuite import suite
from benchsuite.contracts import Record
from benchsuite.harness import registry

ACME = Path(__file__).parents[2] / "tests" / "fixtures" / "acme"
CELLS = 200
LIMIT_MS = 60


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture distribution with the method that does nothing, installed for this process and its cells."""
    site = tmp_path / "site"
    arguments = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", *arguments, str(ACME)], check=True)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    registry._loaded.cache_clear()  # it was loaded without acme


class _Clock(suite.Observer):
    """When each cell ended; the first carries the server's start."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def finished(self, record: Record) -> None:
        assert record.status == "ok", record.reason
        self.ended.append(time.perf_counter())


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cell_that_does_nothing(benchmark: BenchmarkFixture, tmp_path: Path, jobs: int) -> None:
    recipe = {"methods": "constant", "datasets": "specks", "metrics": "brightness", "samples": 16}

    def run() -> float:
        clock = _Clock()
        suite.run(recipe | {"seeds": CELLS, "jobs": jobs}, out=tmp_path / f"jobs{jobs}", observer=clock)
        return (clock.ended[-1] - clock.ended[0]) / (CELLS - 1) * 1000

    milliseconds = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["ms per cell"] = milliseconds
    print(f"\n{milliseconds:.1f} ms per cell, {jobs} at once; limit {LIMIT_MS}")
    assert milliseconds <= LIMIT_MS
