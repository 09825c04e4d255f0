"""Whatever a plugin does wrong becomes a row with its reason, and the other cells finish."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CommandLine, environment, install

from benchsuite.kit.text import clean

WELL = ["constant", "closes_stdout", "leaves_a_process", "pca"]
REASONS = {
    "raises": ("error", "ZeroDivisionError: the method's own mistake"),
    "loss_is_nan": ("diverged", "loss became nan between batches 1 and 16"),
    "samples_are_nan": ("diverged", "samples_are_nan: sample(16) returned NaN or infinity"),
    "wrong_shape": (
        "error",
        "wrong_shape: sample(16) returned shape (16, 64); dataset 'specks' needs (16, 1, 8, 8)",
    ),
    "wrong_range": ("error", "wrong_range: sample(16) returned values from 2 to 2; images are in [0, 1]"),
    "unwritable_reason": ("error", "ValueError: caf\\udce9 | <script>"),
    "unprintable": ("error", "SilentError: its text cannot be had: RuntimeError"),
    "exits": ("error", "called sys.exit(5)"),
    "exits_at_once": ("error", "the cell's process ended with exit code 7 and left no record"),
    "segfaults": ("killed", "killed by signal 11 (SIGSEGV)"),
    "sleeps": ("timeout", "ran past its limit of 8 s and was killed"),
    "hoards": ("oom", "can't allocate memory"),
    "inapplicable": ("skipped", "inapplicable needs audio"),
    "unimportable": ("error", "plugin 'unimportable' (acme 1.2) is broken: ImportError: acme needs a library"),
    "misspelt": ("error", "no hook named 'benchsuite_method'; did you mean 'benchsuite_methods'?"),
    "unmarked": ("error", "benchsuite_methods is not marked as a hook"),
    "twin": ("error", "method 'twin' is provided twice: by plugin 'twin_a' (acme 1.2) and by plugin 'twin_b'"),
}
METRICS = "psnr,brightness,quantiles[low=0.2],raising,not_a_number,asking,empty"


@pytest.fixture(scope="module")
def failed_run(acme: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run of every bad method between two good ones."""
    folder = tmp_path_factory.mktemp("failures")
    methods = ",".join([*WELL[:-1], *REASONS, WELL[-1]])
    arguments = ["run", "-m", methods, "-d", "specks", "--metrics", METRICS, "--samples", "16"]
    arguments += ["--timeout", "8s", "--memory-limit", "512M", "--out", "out"]
    result = subprocess.run(
        [sys.executable, "-m", "benchsuite", *arguments],
        cwd=folder,
        env=environment(acme) | {"ACME_WATCH": str(folder / "watched.txt")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    return result, folder


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "out" / name).open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", REASONS)
def test_a_failed_cell_is_a_row_with_its_status_and_reason(
    failed_run: tuple[subprocess.CompletedProcess[str], Path], method: str
) -> None:
    mine = [row for row in rows(failed_run[1], "results.csv") if row["method"] == method]
    status, reason = REASONS[method]
    assert len(mine) == len(METRICS.split(","))
    for row in mine:
        assert (row["status"], row["value"]) == (status, "") and reason in row["reason"], row
    assert {row["status"] for row in rows(failed_run[1], "timings.csv") if row["method"] == method} == {status}


@pytest.mark.parametrize("method", WELL)
def test_the_other_cells_finish(failed_run: tuple[subprocess.CompletedProcess[str], Path], method: str) -> None:
    mine = {row["metric"]: row for row in rows(failed_run[1], "results.csv") if row["method"] == method}
    assert float(mine["brightness"]["value"]) == pytest.approx(0.5, abs=0.02)
    assert {"quantiles[low=0.2].low", "quantiles[low=0.2].high"} <= set(mine)


def test_a_metric_that_fails_marks_its_own_row_only(
    failed_run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    mine = {row["metric"]: row for row in rows(failed_run[1], "results.csv") if row["method"] == "constant"}
    assert mine["raising"]["reason"] == "ValueError: the metric's own mistake"
    assert mine["empty"]["reason"] == "the metric returned an empty mapping"
    assert mine["not_a_number"]["reason"] == "the metric returned NaN"
    assert "metric 'asking' asks for 'unheard_of'" in mine["asking"]["reason"]
    assert {mine[m]["status"] for m in ("raising", "not_a_number", "asking", "empty")} == {"error"}
    assert (mine["psnr"]["status"], mine["brightness"]["status"]) == ("skipped", "ok")


def test_the_exit_code_is_one_and_the_reasons_are_printed(
    failed_run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    result, _ = failed_run
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    for status, reason in REASONS.values():
        assert status in result.stdout
        assert clean(reason.split("'")[0]) in result.stdout


def test_a_crash_leaves_its_stack_in_the_log(failed_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    (log,) = (failed_run[1] / "out" / "cells").glob("segfaults-*/log.txt")
    assert "Segmentation fault" in log.read_text() and "misbehaving.py" in log.read_text()


def test_hooks_hear_of_every_cell_and_their_own_mistakes_stop_nothing(
    failed_run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    heard = (failed_run[1] / "watched.txt").read_text().splitlines()
    assert "started constant" in heard and "finished constant ok" in heard
    assert "finished segfaults killed" in heard and "finished twin error" in heard
    events = [json.loads(line) for line in (failed_run[1] / "out" / "events.jsonl").read_text().splitlines()]
    assert {"RuntimeError: a hook's own mistake"} == {e["error"] for e in events if e["event"] == "hook_failed"}


def test_no_process_outlives_its_cell(failed_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    marker = str(failed_run[1])
    alive = [p for p in Path("/proc").glob("[0-9]*/environ") if marker in _environ(p)]
    assert not alive


def _environ(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_a_parameter_that_a_plugin_refuses_or_misses_is_a_usage_error(command_line: CommandLine, acme: Path) -> None:
    missing = command_line("plan", "-m", "picky", "-d", "specks", plugins=(acme,), check=2)
    assert "picky needs a value for size: a whole number" in missing.stderr
    refused = command_line("plan", "-m", "picky[size=4]", "-d", "specks", plugins=(acme,), check=2)
    assert "picky: size has to be 3" in refused.stderr


def test_a_crash_in_scoring_again_keeps_the_scores_that_stand(
    command_line: CommandLine, acme: Path, tmp_path: Path
) -> None:
    base = ("run", "-m", "constant", "-d", "specks", "--samples", "16", "--out", "out")
    command_line(*base, "--metrics", "brightness,drawing", plugins=(acme,), check=0)
    crashed = command_line(*base, "--metrics", "brightness,crashing", plugins=(acme,), check=1)
    assert "signal 11" in crashed.stdout
    mine = {row["metric"]: row["status"] for row in rows(tmp_path, "results.csv")}
    assert mine == {"brightness": "ok", "crashing": "killed"}
    command_line(*base, "--metrics", "brightness,drawing", plugins=(acme,), check=0)
    first = {row["metric"]: row["value"] for row in rows(tmp_path, "results.csv")}
    command_line(*base[:-1], "other", "--metrics", "drawing_too,drawing", plugins=(acme,), check=0)
    with (tmp_path / "other" / "results.csv").open() as file:
        second = {row["metric"]: row["value"] for row in csv.DictReader(file)}
    assert first["drawing"] == second["drawing"], "a metric's draws depend on what was scored before it"


def test_files_in_the_current_folder_do_not_stand_in_for_modules(
    command_line: CommandLine, acme: Path, tmp_path: Path
) -> None:
    for name in ("statistics", "click", "signal", "benchsuite_plugins"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')")
    result = subprocess.run(
        [
            str(Path(sys.executable).with_name("benchsuite")),
            "run",
            "-m",
            "constant",
            "-d",
            "specks",
            "--metrics",
            "psnr",
        ],
        cwd=tmp_path,
        env=environment(acme),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_broken_plugins_are_listed_with_the_reason(acme: Path, tmp_path: Path) -> None:
    rival = install("rival", tmp_path / "rival")
    listed = subprocess.run(
        [sys.executable, "-m", "benchsuite", "plugins", "list", "--json"],
        env=environment(acme, rival),
        capture_output=True,
        text=True,
        check=True,
    )
    problems = {(p["distribution"], p["name"]): p["problem"] for p in json.loads(listed.stdout)}
    assert "also used by plugin 'constant' (rival 0.1)" in problems["acme", "constant"]
    assert "also used by plugin 'constant' (acme 1.2)" in problems["rival", "constant"]
    assert "acme needs a library that is not there" in problems["acme", "unimportable"]
    assert not problems["benchsuite", "pca"] and not problems["acme", "toys"]
