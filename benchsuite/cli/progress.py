"""What a run shows while it works: bars on a terminal, plain lines elsewhere. Both go to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchsuite.contracts import Cell, Record
from benchsuite.harness.plan import Plan
from benchsuite.harness.store import RunStore
from benchsuite.kit.text import clean
from benchsuite.results.phases import seconds_of
from benchsuite.suite import Observer


@contextmanager
def watch() -> Iterator[Observer]:
    """An observer for the standard error that this process has."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Bars(progress)


def _title(cell: Cell) -> str:
    return f"{cell.method} on {cell.dataset}, seed {cell.seed}"


def _summary(plan: Plan, store: RunStore) -> str:
    done = sum(p.action == "done" for p in plan.cells)
    return f"cells: {len(plan.to_run)} to run, {done} done already; {store.path}"


def _ending(record: Record) -> str:
    return f"{record.status} in {seconds_of(record):.1f} s" + (
        f": {clean(record.reason, markdown=False)}" if record.reason else ""
    )


class _Lines(Observer):
    """One line when a cell ends."""

    def __init__(self) -> None:
        self._done = self._total = 0

    def planned(self, plan: Plan, store: RunStore) -> None:
        self._done, self._total = 0, sum(p.action != "done" for p in plan.cells)
        click.echo(_summary(plan, store), err=True)

    def finished(self, record: Record) -> None:
        self._done += 1
        click.echo(f"[{self._done}/{self._total}] {_title(record.cell)}: {_ending(record)}", err=True)


class _Bars(Observer):
    """A bar for each cell at work, and one for the run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._titles: dict[str, str] = {}
        self._bars: dict[str, TaskID] = {}
        self._all: TaskID | None = None

    def planned(self, plan: Plan, store: RunStore) -> None:
        self._titles = {p.cell.key: escape(_title(p.cell)) for p in plan.cells}
        self._progress.console.print(_summary(plan, store), markup=False, highlight=False)
        total = sum(p.action != "done" for p in plan.cells)
        if total:
            self._all = self._progress.add_task("cells", total=total, text=f"0/{total}")

    def progress(self, key: str, fraction: float, text: str) -> None:
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(self._titles[key], total=1.0, text="")
        self._progress.update(self._bars[key], completed=fraction, text=escape(text))

    def finished(self, record: Record) -> None:
        bar = self._bars.pop(record.cell.key, None)
        if bar is not None:
            self._progress.remove_task(bar)
        line = f"{_title(record.cell)}: {_ending(record)}"
        self._progress.console.print(line, markup=False, highlight=False)
        if self._all is not None:
            self._progress.advance(self._all)
            task = self._progress.tasks[self._progress.task_ids.index(self._all)]
            self._progress.update(self._all, text=f"{task.completed:.0f}/{task.total:.0f}")
