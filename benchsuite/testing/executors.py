"""The contract of an executor, check by check, with made-up cells that end at once."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchsuite.contracts import Cell, Executor, ExecutorOptions, Record
from benchsuite.errors import NotApplicableError
from benchsuite.testing.claims import Memory, check_name, checks_of_claims
from benchsuite.testing.contract import BrokenContractError, Check, as_test, calling
from benchsuite.testing.declared import checks_of_words

PAGE = "docs/plugins/executors.md"

_CELLS = 5
_MANY = 16  # cells, of which an executor that is stopped leaves some alone
_SECONDS = 0.05  # that a made-up cell takes
_SETTLED = 0.5  # seconds after which what was under way has ended


def executor_contract(executor: type[Executor]) -> Callable[[Check], None]:
    """A pytest function with one test for each claim of the contract of an executor.

    >>> test_queue = executor_contract(Queue)  # doctest: +SKIP
    """
    return as_test(executor_checks(executor))


def executor_checks(executor: type[Executor]) -> list[Check]:
    """Every check of an executor: of what it declares, and of how it runs made-up cells."""
    subject, running = f"executor '{executor.name}'", RunExecutor(executor)
    claims: dict[str, Callable[[RunExecutor], str | None]] = {
        "has a name": lambda executor: check_name(executor.plugin),
        "runs every cell once, and hands over its record": _runs,
        "runs no more cells at once than it may": _at_once,
        "runs no cell where there is none": _none,
        "starts no further cell once it is closed": _closed,
        "loses no error of the callable": _errors,
    }
    return checks_of_words(subject, executor) + checks_of_claims(subject, claims, running)


@dataclass(frozen=True)
class MadeUpCells:
    """Stands for what runs cells: it can be pickled, and writes down in ``folder`` what it was called for, and when.

    The cell with the key ``failing`` raises an error.
    """

    folder: str
    failing: str = ""

    def __call__(self, cell: Cell) -> Record:
        """The cell's record."""
        began = time.monotonic()
        path = Path(self.folder) / f"{cell.key} {uuid.uuid4().hex}"
        path.touch()
        time.sleep(_SECONDS)
        if cell.key == self.failing:
            raise RuntimeError("this cell cannot be run")
        path.write_text(f"{began} {time.monotonic()}")
        return record_of(cell)

    def calls(self) -> list[str]:
        """The keys of the cells that it was called for."""
        return sorted(path.name.split()[0] for path in Path(self.folder).iterdir())

    def most_at_once(self) -> int:
        """How many cells ran at the same time, at most."""
        written = [path.read_text().split() for path in Path(self.folder).iterdir()]
        spans = [(float(times[0]), float(times[1])) for times in written if times]
        return max((sum(began <= start < ended for began, ended in spans) for start, _ in spans), default=0)


def record_of(cell: Cell) -> Record:
    """The record that a made-up cell comes to."""
    return Record(cell, "ok", notes=(f"of {cell.key}",))


def made_up_cells(n: int) -> list[Cell]:
    """``n`` cells that stand for any."""
    return [
        Cell(
            key=f"cell{seed}",
            method="made_up",
            method_name="made_up",
            params={"epochs": 1},
            dataset="made_up",
            dataset_name="made_up",
            dataset_params={},
            dataset_fingerprint="",
            seed=seed,
            latent_dim=None,
            metrics=(),
            samples=1,
            device="cpu",
            precision="fp32",
            threads=1,
            budget=None,
        )
        for seed in range(n)
    ]


@contextmanager
def _made_up(failing: str = "") -> Iterator[MadeUpCells]:
    with tempfile.TemporaryDirectory(prefix="benchsuite-check-", ignore_cleanup_errors=True) as folder:
        yield MadeUpCells(folder, failing)


@dataclass(frozen=True)
class RunExecutor:
    """``plugin``, and whether it runs cells at all."""

    plugin: type[Executor]
    memory: Memory = field(default_factory=Memory)

    def started(self, cells: Sequence[Cell], run_cell: Callable[[Cell], Record], jobs: int) -> Any:
        """What its ``run`` returns."""
        return self.plugin().run(cells, run_cell, ExecutorOptions(jobs))

    def check_run(self, jobs: int) -> int:
        """Run a few cells; how many ran at once. Raises BrokenContractError, once for each number of ``jobs``."""
        return self.memory.once(jobs, lambda: self._check_run(jobs), "it does not run cells")

    def _check_run(self, jobs: int) -> int:
        cells, read = made_up_cells(_CELLS), f"{PAGE}#what-it-promises"
        expected = f"each of {_CELLS} cells is run once, with jobs={jobs}, and its record handed over as it is"
        with _made_up() as run_cell:
            with calling("run(cells, run_cell, options)", expected=expected, read=read):
                records: list[object] = list(self.started(cells, run_cell, jobs))
            calls, at_once = run_cell.calls(), run_cell.most_at_once()
        _check_calls([cell.key for cell in cells], calls, expected, read)
        _check_records(cells, records, expected, read)
        return at_once


def _check_calls(keys: Sequence[str], calls: Sequence[str], expected: str, read: str) -> None:
    left_out = sorted(set(keys) - set(calls))
    twice = sorted({key for key in calls if calls.count(key) > 1})
    for what, which in (("were not run", left_out), ("were run more than once", twice)):
        if which:
            raise BrokenContractError(expected=expected, got=f"{', '.join(which)} {what}", read=read)


def _check_records(cells: Sequence[Cell], records: Sequence[object], expected: str, read: str) -> None:
    strange = [record for record in records if not isinstance(record, Record)]
    if strange:
        got = f"a {type(strange[0]).__name__}: {strange[0]!r}"[:200]
        raise BrokenContractError(expected=expected, got=got, read=read)
    keys = [record.cell.key for record in records if isinstance(record, Record)]
    if sorted(keys) != sorted(cell.key for cell in cells):
        raise BrokenContractError(
            expected=expected, got=f"{len(keys)} records, of {', '.join(sorted(keys)) or 'none'}", read=read
        )
    changed = [cell.key for cell in cells if record_of(cell) not in records]
    if changed:
        raise BrokenContractError(
            expected=expected, got=f"another record of {', '.join(changed)} than run_cell returned", read=read
        )


def _runs(executor: RunExecutor) -> None:
    executor.check_run(1)


def _at_once(executor: RunExecutor) -> str | None:
    executor.check_run(1)
    for jobs in (1, 2):
        at_once = executor.check_run(jobs)
        if at_once > jobs:
            raise BrokenContractError(
                expected=f"with jobs={jobs} no more than {jobs} of the cells run at once, since they share the machine",
                got=f"{at_once} at once; options.jobs says how many may",
                read=f"{PAGE}#what-it-promises",
            )
    return None if at_once == 2 else "with jobs=2 it runs one cell after the other"


def _none(executor: RunExecutor) -> None:
    expected, read = "no records where there are no cells", f"{PAGE}#what-it-promises"
    with _made_up() as run_cell, calling("run([], run_cell, options)", expected=expected, read=read):
        records: list[object] = list(executor.started([], run_cell, 1))
    if records:
        raise BrokenContractError(expected=expected, got=f"{len(records)} of them", read=read)


def _closed(executor: RunExecutor) -> None:
    executor.check_run(1)
    jobs, read = 2, f"{PAGE}#what-it-promises"
    most = 2 + 3 * jobs  # ended, under way, and about to start, which a pool of processes cannot call off
    expected = f"of {_MANY} cells no more than {most} are started where run is closed after the first record"
    with _made_up() as run_cell:
        with calling("run(cells, run_cell, options)", expected=expected, read=read):
            records = executor.started(made_up_cells(_MANY), run_cell, jobs)
            next(iter(records))
            close = getattr(records, "close", None)
            if close is not None:
                close()
        time.sleep(_SETTLED)
        started = len(run_cell.calls())
    if started > most:
        raise BrokenContractError(
            expected=expected,
            got=f"{started} were; yield each record as it comes, and stop in a finally, or a with, around the yield",
            read=read,
        )


def _errors(executor: RunExecutor) -> None:
    executor.check_run(1)
    cells, read = made_up_cells(_CELLS), f"{PAGE}#what-it-promises"
    with _made_up(failing=cells[1].key) as run_cell:
        try:
            records: list[object] = list(executor.started(cells, run_cell, 1))
        except NotApplicableError:
            raise
        except Exception:  # the error itself, or one that the executor's own library makes of it
            return
        finally:
            time.sleep(_SETTLED)
    keys = {record.cell.key for record in records if isinstance(record, Record)}
    if cells[1].key not in keys:
        raise BrokenContractError(
            expected="where run_cell raises an error, run raises one too, or makes a record of it: no cell is a gap",
            got=f"records of {', '.join(sorted(keys)) or 'no cell'}, and nothing of {cells[1].key}",
            read=read,
        )
