"""``pytest --benchsuite recipe.toml``: a verdict is a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from benchsuite import suite
from benchsuite.harness.store import RunStore
from benchsuite.results.baseline import baseline_of, write_baseline

RECIPE = 'methods = ["pca[latent_dim=4]@m"]\nmetrics = ["psnr", "fd", "authpct"]\nsamples = 100\nkeep = "none"\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, the baseline beside it, and an ordinary test."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "gate.toml").write_text(RECIPE)
    run = folder / "main"
    suite.run({"methods": "pca[latent_dim=4]@m", "metrics": "psnr,fd,authpct", "samples": 100, "seeds": 4}, out=run)
    write_baseline(baseline_of(RunStore(run)), folder / "gate.json")
    (folder / "test_mine.py").write_text("def test_mine():\n    assert True\n")
    (folder / "pytest.ini").write_text("[pytest]\ntimeout = 300\n")
    return folder


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=240)


def test_verdicts_are_tests_beside_the_others(project: Path) -> None:
    found = pytest_in(project, "--benchsuite", "gate.toml")
    assert found.returncode == 0, found.stdout
    for line in ("PASSED test_mine.py::test_mine", "PASSED gate.toml::m-digits-psnr", "PASSED gate.toml::m-digits-fd"):
        assert line in found.stdout
    assert "SKIPPED" in found.stdout and "it has no direction" in found.stdout  # authpct
    assert "PASSED gate.toml::everything else" in found.stdout


def test_a_regression_is_a_failed_test_that_says_by_how_much(project: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse.toml"
    worse.write_text(RECIPE.replace("latent_dim=4", "latent_dim=2"))
    found = pytest_in(project, "--benchsuite", str(worse), "--benchsuite-baseline", "gate.json", "-k", "psnr")
    assert found.returncode == 1
    assert "regression: psnr of m on digits" in found.stdout and "worse by" in found.stdout
    assert "pytest_plugin.py" not in found.stdout  # no traceback of ours


def test_the_tests_can_be_listed_without_running_anything(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "never"
    found = pytest_in(project, "--benchsuite", "gate.toml", "--benchsuite-out", str(out), "--collect-only", "-q")
    assert "gate.toml::m-digits-psnr" in found.stdout and not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--benchsuite", "absent.toml"), "--benchsuite: there is no file absent.toml"),
        (("--benchsuite", "gate.toml", "--benchsuite-baseline", "no.json"), "there is no file no.json; set one"),
        (
            ("--benchsuite", "gate.toml", "--benchsuite-baseline", "pytest.ini"),
            "pytest.ini is no baseline, but another file",
        ),
        (("--benchsuite", "gate.toml", "--benchsuite-rules", "no.toml"), "--benchsuite-rules: cannot read the rules"),
    ],
)
def test_what_is_missing_or_unreadable_is_said_before_anything_runs(
    arguments: tuple[str, ...], message: str, project: Path
) -> None:
    found = pytest_in(project, *arguments, "--benchsuite-out", "runs/never")
    assert "INTERNALERROR" not in found.stdout + found.stderr
    assert found.returncode not in (0, 5) and message in found.stdout + found.stderr
    assert not list((project / "runs").glob("never*"))


def test_one_verdict_is_chosen_by_its_name(project: Path) -> None:
    found = pytest_in(project, "--benchsuite", "gate.toml", "gate.toml::m-digits-fd")
    assert found.returncode == 0 and "1 passed" in found.stdout and "PASSED gate.toml::m-digits-fd" in found.stdout


def test_without_the_option_pytest_pays_nothing_for_the_plugin(project: Path) -> None:
    code = "import sys, benchsuite.pytest_plugin; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pandas", "scipy", "msgspec"} & set(loaded)
