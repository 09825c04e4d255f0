"""Each cell in its own process: the driver's side. Starts processes, keeps their time limits, reads how they died.

Every executor uses it: ``CellRunner`` is the callable that an executor is handed, and it can be pickled.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from benchsuite.contracts import Cell, Record, Status
from benchsuite.errors import BenchsuiteError
from benchsuite.harness import server
from benchsuite.harness.runner import Job, describe_exit
from benchsuite.harness.store import RunStore

Progress = Callable[[str, float, str], None]  # cell key, fraction, text
_START_SECONDS = 300
_LOG_TAIL = 4000


@dataclass(frozen=True)
class Ending:
    """How a cell's process ended: its exit code (negative for a signal), or why it was ended."""

    code: int | None
    timed_out: bool = False
    lost: bool = False  # the server died under it
    stopped: bool = False  # by ``stop``: the cell did not end, it was interrupted


class Isolation(Protocol):
    """A way to run jobs in processes of their own."""

    def run(self, job: Job, timeout: float | None, on_progress: Callable[[float, str], None]) -> Ending:
        """Run ``job`` to its end, or kill it after ``timeout`` seconds."""
        ...

    def stop(self) -> None:
        """Kill every job that is running; their ``run`` calls return."""
        ...


class ForkServer:
    """Jobs as children of one warm server. Thread-safe; the server starts with the first job, and anew if it dies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._inboxes: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._ready = threading.Event()
        self._jobs = 0
        self._stopped = False

    def run(self, job: Job, timeout: float | None, on_progress: Callable[[float, str], None]) -> Ending:
        """See Isolation."""
        inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        with self._lock:
            if self._stopped:
                return Ending(None, stopped=True)
            process = self._running_server()
            self._jobs += 1
            number = self._jobs
            self._inboxes[number] = inbox
        try:
            if not self._ready.wait(_START_SECONDS) and process.poll() is None:
                process.kill()
                raise BenchsuiteError(f"plugins did not load in {_START_SECONDS} s; see 'benchsuite plugins list'")
            self._send(process, {"number": number, "job": job.to_json()})
            return self._follow(process, number, inbox, timeout, on_progress)
        finally:
            with self._lock:
                self._inboxes.pop(number, None)

    def _follow(
        self,
        process: subprocess.Popen[bytes],
        number: int,
        inbox: queue.Queue[dict[str, Any]],
        timeout: float | None,
        on_progress: Callable[[float, str], None],
    ) -> Ending:
        deadline: float | None = None
        timed_out = False
        while True:
            wait = None if deadline is None or timed_out else max(0.0, deadline - time.monotonic())
            try:
                message = inbox.get(timeout=wait)
            except queue.Empty:
                timed_out = True
                self._send(process, {"number": number, "kill": True})
                continue
            if message["event"] == "started" and timeout is not None:
                deadline = time.monotonic() + timeout
            elif message["event"] == "progress":
                on_progress(message["fraction"], message["text"])
            elif message["event"] == "ended":
                return Ending(message["code"], timed_out)
            elif message["event"] == "lost":
                return Ending(None, timed_out, lost=not self._stopped, stopped=self._stopped)

    def stop(self) -> None:
        """See Isolation. The server kills its children when its standard input closes."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process is not None and process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                process.kill()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()

    def _running_server(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._ready.clear()
            self._process = server.take()
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self._process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Hand every message to the job it is about; when the server is gone, tell all jobs that are left."""
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            if message["event"] == "ready":
                self._ready.set()
                continue
            with self._lock:
                inbox = self._inboxes.get(message["number"])
            if inbox is not None:
                inbox.put(message)
        process.wait()
        with self._lock:
            inboxes = list(self._inboxes.values())
        self._ready.set()  # whoever waits for the start finds the server gone
        for inbox in inboxes:
            inbox.put({"event": "lost"})

    def _send(self, process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
        assert process.stdin is not None
        with self._lock:
            try:
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()
            except (OSError, ValueError):
                return  # the reader reports the server as lost


class Spawner:
    """A fresh interpreter for each job: slower by its imports, and safe where forking is not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, job: Job, timeout: float | None, on_progress: Callable[[float, str], None]) -> Ending:
        """See Isolation."""
        with self._lock:
            if self._stopped:
                return Ending(None, stopped=True)
            process = subprocess.Popen(
                [*server.COMMAND, "--once"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=server.environment(),
                start_new_session=os.name != "nt",
            )
            self._running.add(process)
        assert process.stdin is not None and process.stdout is not None
        expired = threading.Event()
        timer: list[threading.Timer] = []
        try:
            process.stdin.write(json.dumps({"number": 1, "job": job.to_json()}).encode() + b"\n")
            process.stdin.close()
            self._listen(process, process.stdout, timeout, expired, timer, on_progress)
            return Ending(process.wait(), expired.is_set(), stopped=self._stopped)
        finally:
            for started in timer:
                started.cancel()
            with self._lock:
                self._running.discard(process)

    def _listen(
        self,
        process: subprocess.Popen[bytes],
        pipe: IO[bytes],
        timeout: float | None,
        expired: threading.Event,
        timer: list[threading.Timer],
        on_progress: Callable[[float, str], None],
    ) -> None:
        def expire() -> None:
            expired.set()
            process.kill()

        for line in pipe:
            message = json.loads(line)
            if message["event"] == "started" and timeout is not None:
                timer.append(threading.Timer(timeout, expire))
                timer[0].start()
            elif message["event"] == "progress":
                on_progress(message["fraction"], message["text"])

    def stop(self) -> None:
        """See Isolation."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()


def best_isolation() -> Isolation:
    """Forking where it is safe, spawning elsewhere."""
    return ForkServer() if server.can_fork() else Spawner()


_current: dict[str, Isolation] = {}


def isolation() -> Isolation:
    """This process's isolation, made when first asked for."""
    return _current.setdefault("isolation", best_isolation())


def stop_isolation() -> None:
    """Kill every cell that this process is running and end its server; none can start until ``start_isolation``."""
    isolation().stop()


def start_isolation() -> None:
    """Begin anew after ``stop_isolation``."""
    _current.clear()


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
    attempts: tuple[tuple[str, int], ...]  # how often each cell has failed before

    def __call__(self, cell: Cell) -> Record:
        store = RunStore(Path(self.run_folder))
        attempts = dict(self.attempts).get(cell.key, 0) + 1
        score_only = cell.key in self.score_only
        job = Job(
            cell,
            self.run_folder,
            self.keep_model,
            self.shared_device,
            score_only,
            attempts,
            self.memory_limit,
        )
        record_file = store.cell_folder(cell.key) / "record.json"
        if not score_only:
            record_file.unlink(missing_ok=True)
        before = record_file.stat().st_mtime_ns if score_only else None
        for _ in range(2):  # a server that was killed is no fault of the cell's: once more, from its checkpoint
            ending = isolation().run(job, self.timeout, lambda f, text: self._tell(cell, f, text))
            record = store.record(cell.key)
            if record is not None and record_file.stat().st_mtime_ns != before:
                return record
            if not ending.lost:
                break
        record = self._lost(store, cell, ending, attempts)
        if not ending.stopped:
            store.write_record(record)
        return record

    def _tell(self, cell: Cell, fraction: float, text: str) -> None:
        listener = _progress.get("listener")
        if listener is not None:
            listener(cell.key, fraction, text)

    def _lost(self, store: RunStore, cell: Cell, ending: Ending, attempts: int) -> Record:
        status: Status
        if ending.timed_out:
            status, reason = "timeout", f"ran past its limit of {self.timeout:g} s and was killed"
        elif ending.code is None:
            status, reason = (
                "killed",
                "the process that cells are forked from was killed, and this cell with it",
            )
        else:
            status, reason = describe_exit(ending.code)
        log = store.cell_folder(cell.key) / "log.txt"
        tail = log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:] if log.exists() else ""
        return Record(cell, status, reason, traceback=tail, contended=self.shared_device, attempts=attempts)
