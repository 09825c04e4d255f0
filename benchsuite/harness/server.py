"""Starting the process that cells are forked from; light, so that it can start while the driver still imports torch."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

_early: list[subprocess.Popen[bytes]] = []


def command(*flags: str) -> list[str]:
    """The command line of a server that imports what this process would import, wherever it is started.

    ``-P`` keeps the current folder off the path, where a file named like some module would stand in for it.
    """
    return [sys.executable, "-P", "-m", "benchsuite.harness.cellserver", json.dumps(sys.path), *flags]


def can_fork() -> bool:
    """Whether cells are forked: where that is safe, unless ``BENCHSUITE_ISOLATION=spawn`` asks otherwise."""
    forks = sys.platform == "linux" and hasattr(os, "pidfd_open")
    return forks and os.environ.get("BENCHSUITE_ISOLATION") != "spawn"


def environment() -> dict[str, str]:
    """This process's, with one thread for libraries that would start theirs when the server imports them."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


def kill_group(process: int) -> None:
    """Kill a process that leads a group, and the group; nothing where both are gone."""
    for kill in (getattr(os, "killpg", os.kill), os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))


def start_early() -> None:
    """Have a server start now for whoever takes one first; whoever calls this calls ``stop_early`` in the end."""
    if can_fork() and not _early:
        _early.append(_start())


def stop_early() -> None:
    """End the server that was started early if nobody took it."""
    while _early:
        process = _early.pop()
        process.kill()
        process.communicate()


def take() -> subprocess.Popen[bytes]:
    """The server that was started early if it lives, else a new one. Its pipes are the caller's."""
    while _early:
        process = _early.pop()
        if process.poll() is None:
            return process
    return _start()


def _start() -> subprocess.Popen[bytes]:
    # A session of its own: an interrupt at the terminal is the driver's to decide about.
    pipe = subprocess.PIPE
    return subprocess.Popen(command(), stdin=pipe, stdout=pipe, env=environment(), start_new_session=True)
