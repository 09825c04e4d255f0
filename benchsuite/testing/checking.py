"""Checks of a plugin in a process of their own, so that one that hangs or dies is a finding like any other."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Any

from benchsuite.errors import UsageError
from benchsuite.harness import server
from benchsuite.testing.finding import Finding

LIMIT = 60.0  # seconds that a check may take
_LOADING = 60.0  # seconds that a process may take to import torch and every plugin, however short checks are to be


def check_plugin(target: str, selections: Sequence[str] = (), limit: float = LIMIT) -> Iterator[Finding]:
    """The findings on the plugins that ``target`` names, one by one; see benchsuite.testing.inspection.

    A check that takes more than ``limit`` seconds, or ends the process, is the last. Raises UsageError for what does
    not exist.
    """
    request = json.dumps({"path": sys.path, "target": target, "selections": list(selections)})
    command = [sys.executable, "-P", "-m", "benchsuite.testing.worker", request]
    pipe = subprocess.PIPE  # whose end ends the process, however this one ends
    with tempfile.TemporaryDirectory(prefix="benchsuite-check-", ignore_cleanup_errors=True) as folder:
        variables = server.environment() | {"TMPDIR": folder}
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=variables, start_new_session=True)
        try:
            yield from _findings(process, limit)
        finally:
            server.kill_group(process.pid)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()  # not read to its end, which a process that the plugin has started may keep open


def _findings(process: subprocess.Popen[bytes], limit: float) -> Iterator[Finding]:
    assert process.stdout is not None
    messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, messages), daemon=True).start()
    begun = {"subject": "", "claim": ""}
    seconds = max(limit, _LOADING)
    while True:
        try:
            message = messages.get(timeout=seconds)
        except queue.Empty:
            yield _last(begun, f"it did not end within {seconds:g} seconds")
            return
        if message is None:
            yield _last(begun, _how_it_ended(process.wait()))
            return
        event = message.pop("event")
        if event == "refused":
            raise UsageError(message["text"])
        if event == "done":
            return
        if event == "begins":
            begun = message
        else:
            seconds = limit
            yield Finding(**message)


def _read(stdout: IO[bytes], messages: queue.Queue[dict[str, Any] | None]) -> None:
    for line in stdout:
        messages.put(json.loads(line))
    messages.put(None)


def _last(begun: dict[str, str], what: str) -> Finding:
    return Finding(begun["subject"], begun["claim"], "failed", f"{what}; nothing after it was tried")


def _how_it_ended(code: int) -> str:
    from benchsuite.harness.runner import describe_exit

    status, reason = describe_exit(code)
    return reason if status == "killed" else f"it ended the process, with exit code {code}"
