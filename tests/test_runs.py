"""The same command resumes, and what it resumes to are the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import CommandLine, environment

METHODS = "pca,vae[epochs=3],dcgan[epochs=2],glo[epochs=3]"
ARGUMENTS = ("run", "-m", METHODS, "--samples", "64", "--metrics", "fd", "--out", "out")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, float]]]:
    """The scores of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    output, _ = (process := start(folder, *ARGUMENTS)).communicate(timeout=200)
    assert process.returncode == 0, output
    return scores(folder / "out")


def scores(folder: Path) -> dict[str, list[tuple[str, float]]]:
    """Every score of every finished cell, to the bit."""
    found = {}
    for path in sorted(folder.glob("cells/*/record.json")):
        record = json.loads(path.read_text())
        assert record["status"] == "ok", record["reason"]
        found[path.parent.name] = [(row["metric"], row["value"]) for row in record["metrics"]]
    return found


def start(folder: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchsuite", *arguments],
        cwd=folder,
        env=environment() | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell would have it ignored
    )


def wait_for(found: Iterator[object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    for value in found:
        if value:
            return
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def until(folder: Path, pattern: str) -> Iterator[bool]:
    while True:
        yield any(folder.glob(pattern))


def test_same_seed_gives_the_same_bits_whatever_the_number_of_jobs(
    command_line: CommandLine, tmp_path: Path, whole: dict[str, list[tuple[str, float]]]
) -> None:
    command_line(*ARGUMENTS, "--jobs", "1", check=0)
    assert len(whole) == 4
    assert scores(tmp_path / "out") == whole


def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_bits(
    command_line: CommandLine, tmp_path: Path, whole: dict[str, list[tuple[str, float]]]
) -> None:
    process = start(tmp_path, *ARGUMENTS, "--jobs", "1", BENCHSUITE_CHECKPOINT_SECONDS="0")
    wait_for(until(tmp_path, "out/cells/dcgan*/checkpoint.pt"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/cells/*/record.json")}
    assert {path.parent.name.split("-")[0].split("_")[0] for path in before} == {"pca", "vae"}
    wait_until_nothing_runs_in(tmp_path)
    resumed = command_line(*ARGUMENTS, check=0)
    assert "cells: 2 to run, 2 done already" in resumed.stderr
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert scores(tmp_path / "out") == whole
    assert "resumed at batch" in resumed.stdout
    assert not list(tmp_path.glob("out/cells/*/checkpoint.pt"))


STAGED = "pgan[width=8,epochs=2,reversal_steps=10,prior_epochs=8,retraining_epochs=2,rounds=2],glo[width=8,epochs=6]"
LOOPS = ["gan/0", "reverse 1/0", "prior 1/0", "retrain 1/0", "reverse 2/0", "prior 2/0", "retrain 2/0", "loop 0"]


def until_in_loop(folder: Path, method: str, loop: str) -> Iterator[bool]:
    """Whether training was last saved in the middle of this loop, or after it."""
    while True:
        reached = False
        for path in folder.glob(f"out/cells/{method}*/checkpoint.pt"):
            with contextlib.suppress(FileNotFoundError):
                content = torch.load(path, weights_only=True)
                names = [*content["finished"], (content["ongoing"] or {"name": ""})["name"]]
                reached = loop in names or loop.split("/")[0] in names
        yield reached or any(folder.glob(f"out/cells/{method}*/record.json"))


@pytest.mark.slow
def test_pgan_and_glo_killed_in_each_of_their_stages_end_with_the_same_bits(tmp_path: Path) -> None:
    arguments = ("run", "-m", STAGED, "--samples", "64", "--metrics", "fd", "--out", "out", "--jobs", "1")
    (undisturbed := tmp_path / "undisturbed").mkdir()
    start(undisturbed, *arguments).communicate(timeout=200)
    (disturbed := tmp_path / "disturbed").mkdir()
    killed = 0
    for loop in LOOPS:
        process = start(disturbed, *arguments, BENCHSUITE_CHECKPOINT_SECONDS="0")
        wait_for(until_in_loop(disturbed, "glo" if loop == "loop 0" else "pgan", loop), process)
        killed += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        wait_until_nothing_runs_in(disturbed)
    output, _ = start(disturbed, *arguments).communicate(timeout=200)
    assert killed == len(LOOPS) and "resumed at batch" in output
    assert len(scores(disturbed / "out")) == 2 and scores(disturbed / "out") == scores(undisturbed / "out")


def orphans(folder: Path) -> list[str]:
    """Processes of cells whose run lies in ``folder``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        if path.parent.name == str(os.getpid()):
            continue
        try:
            if path.readlink() == folder:
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def wait_until_nothing_runs_in(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while orphans(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not orphans(folder)


def test_no_cell_survives_a_killed_driver(tmp_path: Path) -> None:
    process = start(tmp_path, "run", "-m", "dcgan[epochs=4000]", "--out", "out")
    wait_for(until(tmp_path, "out/cells/*/curve.csv"), process)
    assert orphans(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until_nothing_runs_in(tmp_path)


def test_an_interrupt_ends_at_once_with_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    process = start(tmp_path, "run", "-m", "pca,dcgan[epochs=4000]", "--out", "out", "--metrics", "fd")
    wait_for(until(tmp_path, "out/cells/pca*/record.json"), process)
    wait_for(until(tmp_path, "out/cells/dcgan*/curve.csv"), process)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from here" in output and "Traceback" not in output
    assert "| pca" in output
    events = [json.loads(line)["event"] for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert events[-1] == "run_interrupted"
    assert not orphans(tmp_path)


def test_two_processes_do_not_run_the_same_directory(command_line: CommandLine, tmp_path: Path) -> None:
    process = start(tmp_path, "run", "-m", "dcgan[epochs=4000]", "--out", "out")
    wait_for(until(tmp_path, "out/cells/*/curve.csv"), process)
    refused = command_line("run", "-m", "dcgan[epochs=4000]", "--out", "out", check=2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert "is being run by another process" in refused.stderr


def test_a_killed_server_is_started_again_and_the_cell_once_more(command_line: CommandLine, tmp_path: Path) -> None:
    process = start(
        tmp_path, "run", "-m", "vae[epochs=12]", "--metrics", "psnr", "--out", "out", BENCHSUITE_CHECKPOINT_SECONDS="0"
    )
    wait_for(until(tmp_path, "out/cells/*/checkpoint.pt"), process)
    servers = [p for p in Path("/proc").glob("[0-9]*/stat") if _parent(p) == process.pid]
    assert len(servers) == 1
    os.kill(int(servers[0].parent.name), signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    command_line("run", "-m", "vae[epochs=12]", "--metrics", "psnr", "--out", "whole", check=0)
    assert scores(tmp_path / "out") == scores(tmp_path / "whole")


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def test_new_metrics_score_a_trained_model_without_training_it(command_line: CommandLine, tmp_path: Path) -> None:
    base = ("run", "-m", "vae[epochs=1]", "--samples", "64", "--out", "out")
    command_line(*base, "--metrics", "psnr", check=0)
    (model,) = tmp_path.glob("out/cells/*/model.pt")
    trained = model.stat().st_mtime_ns
    more = command_line(*base, "--metrics", "fd,psnr", check=0)
    assert model.stat().st_mtime_ns == trained
    assert "fd ↓" in more.stdout and "psnr [dB] ↑" in more.stdout
    fewer = command_line(*base, "--metrics", "psnr", check=0)
    assert "cells: 0 to run" in fewer.stderr and "fd ↓" not in fewer.stdout


def test_force_and_fresh_run_again(command_line: CommandLine, tmp_path: Path) -> None:
    base = ("run", "-m", "pca", "--metrics", "psnr")
    command_line(*base, check=0)
    for flag, folders in (("--force", 1), ("--fresh", 2)):
        assert "cells: 1 to run, 0 done already" in command_line(*base, flag, check=0).stderr
        assert len(list((tmp_path / "runs").iterdir())) == folders


def test_a_cell_that_keeps_failing_is_tried_three_times(command_line: CommandLine, acme: Path, tmp_path: Path) -> None:
    base = ("run", "-m", "raises", "-d", "specks", "--metrics", "brightness", "--out", "out")
    for attempt in range(1, 4):
        assert "cells: 1 to run" in command_line(*base, plugins=(acme,), check=1).stderr
        (record,) = tmp_path.glob("out/cells/*/record.json")
        assert json.loads(record.read_text())["attempts"] == attempt
    last = command_line(*base, plugins=(acme,), check=1)
    assert "cells: 0 to run, 1 done already" in last.stderr and "ZeroDivisionError" in last.stdout


def test_spawned_cells_give_the_same_bits_as_forked_ones(command_line: CommandLine, tmp_path: Path) -> None:
    base = ("run", "-m", "glo[epochs=1],dcgan[loss=kl,epochs=1]@kl", "--samples", "64", "--metrics", "fd,ssim", "--out")
    command_line(*base, "forked", check=0)
    command_line(*base, "spawned", env={"BENCHSUITE_ISOLATION": "spawn"}, check=0)
    assert scores(tmp_path / "forked") == scores(tmp_path / "spawned")


def test_a_budget_stops_training_and_says_so(command_line: CommandLine) -> None:
    result = command_line(
        "run", "-m", "dcgan[epochs=4000]", "--budget", "2s", "--metrics", "fd", "--samples", "64", check=0
    )
    assert "training stopped by its budget of 2 s" in result.stdout


def test_unprepared_data_say_how_to_prepare_them(command_line: CommandLine, acme: Path) -> None:
    result = command_line("run", "-m", "pca", "-d", "unprepared", "--metrics", "psnr", plugins=(acme,), check=1)
    assert "unprepared is not in the cache; run: benchsuite prepare unprepared" in result.stdout


def test_vectors_run_as_images_do(command_line: CommandLine, acme: Path) -> None:
    arguments = ("-m", "pca,vae[epochs=1],dcgan[epochs=1],glo[epochs=1]", "-d", "vectors", "--samples", "16")
    result = command_line("run", *arguments, "--metrics", "psnr,brightness", plugins=(acme,), check=0)
    assert "pSNR and SSIM are for images" in result.stdout
