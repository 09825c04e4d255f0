"""Jobs in processes of their own, the driver's side: starts them, keeps their time limits, reads how they ended."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from benchsuite.errors import BenchsuiteError
from benchsuite.harness import server
from benchsuite.harness.runner import Job

_START_SECONDS = 300


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


class _Server:
    """One server process: its pipes, and the jobs that wait for its messages."""

    def __init__(self) -> None:
        self._process = server.take()
        self._lock = threading.Lock()
        self._inboxes: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._children: dict[int, int] = {}  # job number -> process
        self._ready = threading.Event()
        self._gone = False
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._bury, daemon=True).start()

    @property
    def alive(self) -> bool:
        return not self._gone and self._process.poll() is None

    def submit(self, number: int, job: Job) -> queue.Queue[dict[str, Any]]:
        """Hand over a job; returns where its messages arrive, ending in one that is ``ended`` or ``lost``."""
        inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        if not self._ready.wait(_START_SECONDS):
            self.end()
            raise BenchsuiteError(f"plugins did not load in {_START_SECONDS} s; see 'benchsuite plugins list'")
        with self._lock:
            self._inboxes[number] = inbox
            if self._gone:
                inbox.put({"event": "lost"})
        self.send({"number": number, "job": job.to_json()})
        return inbox

    def send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError):
                return  # the server is gone, which its jobs are told by _bury

    def end(self) -> None:
        """Close its standard input, at which it kills its children and ends."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:
            self._process.kill()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # not ours: something that a plugin wrote to the pipe
            if message["event"] == "ready":
                self._ready.set()
                continue
            with self._lock:
                if message["event"] == "started":
                    self._children[message["number"]] = message["process"]
                inbox = self._inboxes.get(message["number"])
                if message["event"] == "ended":
                    self._inboxes.pop(message["number"], None)
                    self._children.pop(message["number"], None)
            if inbox is not None:
                inbox.put(message)

    def _bury(self) -> None:
        """When the process has ended, kill what its cells have started and tell the jobs that are left.

        The end of the pipe would not do: whatever a cell has started holds the pipe too.
        """
        self._process.wait()
        with self._lock:
            self._gone = True
            inboxes, self._inboxes = self._inboxes, {}
        for process in self._children.values():
            server.kill_group(process)
        for inbox in inboxes.values():
            inbox.put({"event": "lost"})
        self._ready.set()  # whoever waits for the start finds it gone


class ForkServer:
    """Jobs as children of one warm server. Thread-safe; the server starts with the first job, and anew if it dies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._jobs = 0
        self._stopped = False

    def run(self, job: Job, timeout: float | None, on_progress: Callable[[float, str], None]) -> Ending:
        """See Isolation."""
        with self._lock:
            if self._stopped:
                return Ending(None, stopped=True)
            if self._server is None or not self._server.alive:
                self._server = _Server()
            current = self._server
            self._jobs += 1
            number = self._jobs
        return self._follow(current, number, current.submit(number, job), timeout, on_progress)

    def _follow(
        self,
        current: _Server,
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
                current.send({"number": number, "kill": True})
                continue
            if message["event"] == "started" and timeout is not None:
                deadline = time.monotonic() + timeout
            elif message["event"] == "progress":
                on_progress(message["fraction"], message["text"])
            elif message["event"] == "ended":
                return Ending(message["code"], timed_out, stopped=self._stopped and message["code"] != 0)
            elif message["event"] == "lost":
                return Ending(None, timed_out, lost=not self._stopped, stopped=self._stopped)

    def stop(self) -> None:
        """See Isolation."""
        with self._lock:
            self._stopped = True
            current = self._server
        if current is not None:
            current.end()


class Spawner:
    """A fresh interpreter for each job: slower by its imports, and safe where forking is not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, job: Job, timeout: float | None, on_progress: Callable[[float, str], None]) -> Ending:
        """See Isolation."""
        pipe, own_session = subprocess.PIPE, os.name != "nt"
        with self._lock:
            if self._stopped:
                return Ending(None, stopped=True)
            process = subprocess.Popen(
                server.command("--once"),
                stdin=pipe,
                stdout=pipe,
                env=server.environment(),
                start_new_session=own_session,
            )
            self._running.add(process)
        assert process.stdin is not None and process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            server.kill_group(process.pid)

        timer = threading.Timer(timeout or 0, expire)
        try:
            process.stdin.write(json.dumps({"number": 1, "job": job.to_json()}).encode() + b"\n")
            process.stdin.flush()  # and left open: the process ends when it closes
            for line in process.stdout:
                message = json.loads(line)
                if message["event"] == "started" and timeout is not None:
                    timer.start()
                elif message["event"] == "progress":
                    on_progress(message["fraction"], message["text"])
            return Ending(process.wait(), expired.is_set(), stopped=self._stopped)
        finally:
            timer.cancel()
            process.stdin.close()
            with self._lock:
                self._running.discard(process)

    def stop(self) -> None:
        """See Isolation."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                server.kill_group(process.pid)


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
