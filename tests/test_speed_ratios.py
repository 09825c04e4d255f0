"""Ratios of speed are compared with those that are stored, by a test and not by their last digits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "speed" / "ratios.py"
ROUNDS = [2.0, 2.1, 1.9, 2.05, 1.95, 2.0, 2.02]


def report(folder: Path, **ratios: tuple[str, list[float]]) -> Path:
    """A report of pytest-benchmark with these benchmarks and one without a ratio."""
    found: list[dict[str, Any]] = [{"fullname": "benchmarks/speed/test_x.py::plain", "extra_info": {}}]
    for name, (better, rounds) in ratios.items():
        extra = {"ratios": rounds, "better": better}
        found.append({"fullname": f"benchmarks/speed/test_x.py::{name}", "extra_info": extra})
    path = folder / "report.json"
    path.write_text(json.dumps({"benchmarks": found}))
    return path


def ratios_py(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("better", "factor", "verdict", "code"),
    [
        ("high", 1.0, "same", 0),
        ("high", 0.85, "same", 0),  # certain, and within the tolerance
        ("high", 0.6, "worse", 3),
        ("high", 1.6, "better", 0),
        ("low", 1.6, "worse", 3),
        ("low", 0.6, "better", 0),
    ],
)
def test_a_ratio_is_worse_by_its_direction_beyond_its_tolerance(
    better: str, factor: float, verdict: str, code: int, tmp_path: Path
) -> None:
    stored = tmp_path / "stored.json"
    assert ratios_py("set", report(tmp_path, one=(better, ROUNDS)), "--stored", stored).returncode == 0
    new = report(tmp_path, one=(better, [factor * ratio for ratio in ROUNDS]))
    done = ratios_py("compare", new, "--stored", stored)
    assert done.returncode == code, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if "one" in line)
    assert row.split("|")[-2].strip() == verdict


def test_noise_of_a_few_rounds_is_no_loss(tmp_path: Path) -> None:
    """The mean is off by 40%, and so are single rounds of either side."""
    stored = tmp_path / "stored.json"
    ratios_py("set", report(tmp_path, one=("high", [1.0, 4.0, 2.0])), "--stored", stored)
    done = ratios_py("compare", report(tmp_path, one=("high", [0.7, 2.0, 1.2])), "--stored", stored)
    assert done.returncode == 0 and "same" in done.stdout


def test_what_is_missing_or_was_never_stored_is_told(tmp_path: Path) -> None:
    stored = tmp_path / "stored.json"
    assert ratios_py("compare", report(tmp_path, one=("high", ROUNDS)), "--stored", stored).returncode == 4
    ratios_py("set", report(tmp_path, one=("high", ROUNDS)), "--stored", stored)
    done = ratios_py("compare", report(tmp_path, two=("high", ROUNDS)), "--stored", stored)
    assert done.returncode == 3 and "missing" in done.stdout and "new" in done.stdout
    done = ratios_py("compare", report(tmp_path), "--stored", stored)
    assert done.returncode == 2 and "has no ratios" in done.stderr


def test_what_is_stored_is_of_the_benchmarks_that_there_are() -> None:
    names = json.loads((ROOT / "benchmarks" / "baselines" / "speed.json").read_text())["ratios"]
    for name in names:
        file, _, test = name.partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT / "benchmarks" / "speed" / file).read_text(), name
    assert len(names) >= 20
