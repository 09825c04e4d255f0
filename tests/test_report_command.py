"""``benchsuite report``: one report on one run or several, a page that opens, and one that follows a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import made_up_runs
import pytest
from conftest import CommandLine

from benchsuite import Report
from benchsuite.cli import watching
from benchsuite.cli.watching import _last_event
from benchsuite.contracts import Cell, MetricRow, Record
from benchsuite.harness.store import RunStore
from benchsuite.results.gathering import gather, told_apart
from benchsuite.results.provenance import provenance
from benchsuite_plugins.reporters.csv import CSV
from benchsuite_plugins.reporters.markdown import Markdown

Write = Callable[[Any, Report, Path], Sequence[Path]]


def cell(method: str = "pca", seed: int = 0, key: str = "") -> Cell:
    return replace(made_up_runs.cell(method, seed, metrics=["psnr"]), key=f"{method}-{seed}{key}", params={})


def record(of: Cell, value: float = 1.0) -> Record:
    return Record(of, "ok", metrics=(MetricRow("psnr", "psnr", value, "dB", "max", 57, "aaaa"),), environment="e1")


def stored(folder: Path, cells: Sequence[Cell], records: Sequence[Record] | None = None) -> RunStore:
    """A run of ``cells``, by default with a record for each, that has ended."""
    there = [record(of) for of in cells] if records is None else records
    known = {one.cell.key for one in there}
    lacking = [of for of in cells if of.key not in known]
    store = made_up_runs.stored(folder, there, lacking, command=["benchsuite", "run"])
    store.event("run_started")
    store.event("run_finished")
    return store


def replaced(monkeypatch: pytest.MonkeyPatch, reporter: type, write: Write) -> None:
    monkeypatch.setattr(reporter, "write", write)


def test_one_run_is_reported_in_its_own_folder_as_html_markdown_and_csv(
    command_line: CommandLine, tmp_path: Path
) -> None:
    stored(tmp_path / "run", [cell()])
    written = command_line("report", "run", check=0).stdout.splitlines()
    assert {"run/report/report.html", "run/report/report.md", "run/report/results.csv"} <= set(written)
    assert all((tmp_path / path).is_file() for path in written)


def test_several_runs_make_one_report_here_which_tells_equal_names_apart(
    command_line: CommandLine, tmp_path: Path
) -> None:
    for place, value in (("a", 1.0), ("b", 2.0)):
        changed, same = cell("glo", key=place), cell("pca", key=place if place == "a" else "b")
        stored(tmp_path / place / "run", [changed, same], [record(changed, value), record(same)])
    stored(tmp_path / "other", [cell("vae")])
    written = command_line("report", "a/run", "b/run", "other", "--format", "markdown,csv", check=0).stdout.splitlines()
    assert written[:2] == ["report/report.md", "report/results.csv"]
    page = (tmp_path / "report" / "report.md").read_text()
    assert page.startswith("# a/run + b/run + other\n")
    assert all(text in page for text in ("| glo (a/run)", "| glo (b/run)", "| vae "))
    lines = (tmp_path / "report" / "results.csv").read_text().splitlines()
    assert sorted(line.split(",")[2] for line in lines[1:]) == [
        "glo (a/run)",
        "glo (b/run)",
        "pca (a/run)",
        "pca (b/run)",
        "vae",
    ]


def test_a_label_that_stands_for_different_things_goes_with_its_run(tmp_path: Path) -> None:
    stores = [stored(tmp_path / name, [cell("long", key=name)]) for name in ("a", "b")]
    for store, epochs in zip(stores, (20, 40), strict=True):
        recipe = {"methods": [f"glo[epochs={epochs}]@long", "pca[k=3]@three"]}
        store.write_run({**store.read_run(), "recipe": recipe})
    found = provenance(gather(stores))["labels"]
    assert found == {"long (a)": "glo[epochs=20]", "long (b)": "glo[epochs=40]", "three": "pca[k=3]"}


def test_runs_are_told_apart_by_as_little_of_their_paths_as_it_takes(tmp_path: Path) -> None:
    stores = [RunStore(tmp_path / path) for path in ("a/x/run", "b/x/run", "b/run", "b/other")]
    assert told_apart(stores) == ["a/x/run", "b/x/run", "b/run", "other"]


def test_a_run_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    stored(tmp_path / "run", [cell(), cell(seed=1)], [record(cell())])
    gathered = gather([RunStore(tmp_path / "run"), RunStore(tmp_path / "run" / ".." / "run")])
    assert (gathered.name, len(gathered.cells), len(gathered.missing)) == ("run", 1, 1)


def test_a_cell_that_one_run_lacks_and_another_has_is_not_missing(tmp_path: Path) -> None:
    stored(tmp_path / "a", [cell(), cell(seed=1)], [record(cell())])
    stored(tmp_path / "b", [cell(seed=1), cell(seed=2)], [record(cell(seed=1))])
    gathered = gather([RunStore(tmp_path / "a"), RunStore(tmp_path / "b")])
    assert [one.cell.key for one in gathered.records] == ["pca-0", "pca-1"]
    assert [one["key"] for one in gathered.missing] == ["pca-2"]


@pytest.mark.parametrize("error", [ValueError("no\n\x1b[31m room"), OSError(28, "full"), SystemExit(3)])
def test_a_reporter_that_fails_is_one_line_and_stops_no_other(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(self: Any, report: Report, folder: Path) -> Sequence[Path]:
        print("what plugins print")
        raise error

    replaced(monkeypatch, Markdown, fail)
    stored(tmp_path / "run", [cell()])
    result = command_line("report", "run", "--format", "markdown,csv", "--json", check=1)
    (line,) = [line for line in result.stderr.splitlines() if "markdown" in line]
    assert line.startswith("reporter 'markdown' failed: ") and "\x1b" not in line
    content = json.loads(result.stdout)
    assert "run/report/results.csv" in content["written"] and set(content["failed"]) == {"markdown"}


def test_a_run_without_any_record_is_reported_all_the_same(command_line: CommandLine, tmp_path: Path) -> None:
    stored(tmp_path / "run", [cell()], [])
    command_line("report", "run", check=0)
    assert "| missing |" in (tmp_path / "run" / "report" / "report.md").read_text()


@pytest.mark.parametrize("opens", [True, False, webbrowser.Error("none")])
def test_the_page_is_opened_or_it_is_said_where_it_lies(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opens: bool | Exception
) -> None:
    opened: list[str] = []

    def open_(url: str) -> bool:
        opened.append(url)
        if isinstance(opens, Exception):
            raise opens
        return opens

    monkeypatch.setattr(webbrowser, "open", open_)
    stored(tmp_path / "a run", [cell()])
    result = command_line("report", "a run", "--format", "csv,html", "--open", check=0)
    page = (tmp_path / "a run" / "report" / "report.html").resolve()
    assert opened == [page.as_uri()]
    assert (f"no browser could be opened; the page is {page}" in result.stderr) == (opens is not True)


def test_nothing_can_be_opened_without_html(command_line: CommandLine, tmp_path: Path) -> None:
    stored(tmp_path / "run", [cell()])
    result = command_line("report", "run", "--format", "markdown,csv", "--open", check=2)
    assert "--open opens an HTML page, and --format markdown,csv writes none" in result.stderr
    assert not (tmp_path / "run" / "report").exists()


# Watching.


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_PAUSE", 0.05)
    monkeypatch.setattr(watching, "_PATIENCE", 0.5)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Of each report that is written: whether it says that it is watched, and how many rows it has."""
    reports: list[tuple[bool, int]] = []

    def write(self: Any, report: Report, folder: Path) -> Sequence[Path]:
        reports.append((bool(report.provenance.get("watched")), len(report.results)))
        return [folder / "results.csv"]

    replaced(monkeypatch, CSV, write)
    return reports


@contextmanager
def meanwhile(*steps: Callable[[], object]) -> Iterator[None]:
    """Take ``steps`` in another thread, half a second apart."""

    def take() -> None:
        for step in steps:
            time.sleep(0.5)
            step()

    thread = threading.Thread(target=take)
    thread.start()
    yield
    thread.join(10)


WATCH = ("report", "run", "--format", "csv", "--watch")


def test_an_ended_run_is_reported_once(command_line: CommandLine, tmp_path: Path, seen: list[tuple[bool, int]]) -> None:
    stored(tmp_path / "run", [cell()])
    command_line(*WATCH, check=0)
    assert seen == [(False, 1)]


def test_every_change_is_reported_until_the_run_says_that_it_has_ended(
    command_line: CommandLine, tmp_path: Path, seen: list[tuple[bool, int]], quick: None
) -> None:
    cells = [cell(seed=seed) for seed in range(3)]
    store = stored(tmp_path / "run", cells, [])  # it has ended once, and goes on
    lock = ExitStack()
    lock.enter_context(store.exclusive())
    ended = [partial(store.event, "run_started"), partial(store.event, "run_interrupted"), lock.close]
    with meanwhile(*(partial(store.write_record, record(one)) for one in cells[:2]), *ended):
        command_line(*WATCH, check=0)
        with store.exclusive():  # it has waited for this too
            pass
    assert list(dict.fromkeys(seen)) == [(True, 0), (True, 1), (True, 2), (False, 2)]
    assert len(seen) <= 6  # no report without a change


def test_a_run_that_was_killed_is_not_waited_for(
    command_line: CommandLine, tmp_path: Path, seen: list[tuple[bool, int]], quick: None
) -> None:
    stored(tmp_path / "run", [cell()]).event("cell_queued")
    result = command_line(*WATCH, check=0)
    assert "nothing runs any more" in result.stderr
    assert seen == [(True, 1), (False, 1)]


def test_a_run_that_has_not_started_is_a_usage_error(command_line: CommandLine, tmp_path: Path) -> None:
    RunStore(tmp_path / "run").create()
    assert "run is no run directory" in command_line(*WATCH, check=2).stderr


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("", ""),
        ('{"event": "run_finished"}\n', "run_finished"),
        ('{"event": "run_finished"}\n{"eve', ""),
        ("x" * 9000 + '\n{"event": "run_started"}\n', "run_started"),
        ('["run_finished"]\n', ""),
        ("\udce9", ""),
    ],
)
def test_the_last_event_is_read_however_the_file_ends(tmp_path: Path, text: str, event: str) -> None:
    (tmp_path / "events.jsonl").write_text(text, errors="surrogateescape")
    assert _last_event(tmp_path / "events.jsonl") == event
    assert _last_event(tmp_path / "absent") == ""


def benchsuite(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchsuite", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.05)


def test_a_real_run_is_followed_to_its_end(tmp_path: Path) -> None:
    arguments = ("-m", "pca", "--seeds", "3", "--metrics", "psnr", "--samples", "16", "--jobs", "1")
    run = benchsuite(tmp_path, "run", *arguments, "--out", "run")
    wait_for((tmp_path / "run" / "run.json").exists)
    watcher = benchsuite(tmp_path, "report", "run", "--watch")
    out, err = watcher.communicate(timeout=120)
    assert run.wait(120) == 0 and watcher.returncode == 0, err
    assert err.splitlines()[-1] == "3 of 3 cells are in the report in run/report"
    assert "run/report/report.html" in out.splitlines()
    assert "data-watched" not in (tmp_path / "run" / "report" / "report.html").read_text()
    assert len((tmp_path / "run" / "report" / "results.csv").read_text().splitlines()) == 4
    run.communicate()


def test_control_c_ends_the_watching_with_a_page_that_stays(tmp_path: Path) -> None:
    store = stored(tmp_path / "run", [cell()])
    with store.exclusive():
        watcher = benchsuite(tmp_path, *WATCH[:2], "--format", "html", "--watch")
        page = tmp_path / "run" / "report" / "report.html"
        wait_for(page.exists)
        assert "data-watched" in page.read_text()
        os.kill(watcher.pid, signal.SIGINT)
        out, err = watcher.communicate(timeout=60)
    assert watcher.returncode == 130 and "Traceback" not in err
    assert "interrupted" in err and out.splitlines() == ["run/report/report.html"]
    assert "data-watched" not in page.read_text()
