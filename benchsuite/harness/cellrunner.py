"""The callable that an executor is handed: one cell in, its record out, whatever becomes of the cell's process."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchsuite.contracts import Cell, PhaseRow, Record, Status
from benchsuite.harness.isolation import Ending, isolation
from benchsuite.harness.rescoring import with_failed_metrics
from benchsuite.harness.runner import Job, describe_exit
from benchsuite.harness.store import RunStore

Progress = Callable[[str, float, str], None]  # cell key, fraction, text
_LOG_TAIL = 4000

_progress: dict[str, Progress] = {}


def listen(on_progress: Progress | None) -> None:
    """Have progress of this process's cells told to ``on_progress``, or to nobody."""
    _progress.clear()
    if on_progress is not None:
        _progress["listener"] = on_progress


@dataclass(frozen=True)
class CellRunner:
    """Runs one cell in a process of its own and returns its record, whatever becomes of the process."""

    run_folder: str
    keep_model: bool
    shared_device: bool
    timeout: float | None
    memory_limit: int | None
    score_only: frozenset[str]  # keys of cells whose model is trained
    forced: frozenset[str]  # keys of cells to begin anew
    attempts: Mapping[str, int]  # how often each cell has failed before
    rescore: bool = False  # also what is scored already
    notes: Mapping[str, str] = field(default_factory=dict)  # for the records of cells that are only scored

    def __call__(self, cell: Cell) -> Record:
        """Never raises what concerns this cell alone."""
        attempts = self.attempts.get(cell.key, 0) + 1
        try:
            return self._run(cell, attempts)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            return Record(cell, "error", reason, traceback=traceback.format_exc(), attempts=attempts)

    def _run(self, cell: Cell, attempts: int) -> Record:
        store = RunStore(Path(self.run_folder))
        folder = store.cell_folder(cell.key)
        if cell.key in self.forced:
            shutil.rmtree(folder, ignore_errors=True)
        score_only = cell.key in self.score_only
        job = Job(
            cell,
            self.run_folder,
            self.keep_model,
            self.shared_device,
            score_only,
            attempts,
            self.memory_limit,
            self.rescore,
            self.notes.get(cell.key, ""),
        )
        before = _time_of(folder / "record.json")
        began = time.perf_counter()
        for _ in range(2):  # a server that was killed is no fault of the cell's: once more, from its checkpoint
            ending = isolation().run(job, self.timeout, lambda f, text: self._tell(cell, f, text))
            record = store.record(cell.key)
            if record is not None and _time_of(folder / "record.json") != before:
                return record
            if not ending.lost:
                break
        spent = PhaseRow("cell", time.perf_counter() - began, 0.0, 0, None, None)
        failed = replace(self._lost(store, cell, ending, attempts), phases=(spent,))
        if score_only and record is not None:
            failed = with_failed_metrics(record, cell, failed.status, failed.reason)
        if not ending.stopped:
            store.write_record(failed)
        return failed

    def _tell(self, cell: Cell, fraction: float, text: str) -> None:
        listener = _progress.get("listener")
        if listener is not None:
            listener(cell.key, fraction, text)

    def _lost(self, store: RunStore, cell: Cell, ending: Ending, attempts: int) -> Record:
        status: Status
        if ending.timed_out:
            status, reason = "timeout", f"ran past its limit of {self.timeout:g} s and was killed"
        elif ending.code is None:
            status, reason = "killed", "the process that cells are forked from was killed, and this cell with it"
        else:
            status, reason = describe_exit(ending.code)
            if status == "killed" and self.memory_limit is not None:  # native code may crash when it is refused memory
                reason += f"; its memory was limited to {self.memory_limit / 2**20:.0f} MiB"
        log = store.cell_folder(cell.key) / "log.txt"
        return Record(cell, status, reason, traceback=_tail(log), contended=self.shared_device, attempts=attempts)


def _time_of(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _tail(log: Path) -> str:
    """The end of a cell's log, which may be of any size and hold any bytes."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
