"""The process that cells are forked from, and the cell's side of isolation.

Run as ``python -m benchsuite.harness.cellserver PATH``, where PATH is the driver's ``sys.path`` as JSON. It reads jobs
from standard input and writes messages to standard output, one JSON object a line. It imports torch and every plugin
once, and never touches a device, runs a tensor operation or starts a thread, so that its children can do all of that;
each job is a forked child that costs tens of milliseconds. It ends, and its children with it, when the driver's end of
the pipe closes, however that came about.

With ``--once`` it runs one job in its own process, for systems where forking is unsafe.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import selectors
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

from benchsuite.harness.server import kill_group

_PR_SET_PDEATHSIG = 1


class _Messages:
    """The pipe to the driver. Lines stay under PIPE_BUF, so that those of several processes never mix."""

    _LIMIT = 4000

    def __init__(self) -> None:
        self._pipe = os.dup(1)
        os.set_inheritable(self._pipe, False)
        os.dup2(2, 1)  # what plugins print goes to the driver's stderr, or to the cell's log

    def send(self, **message: Any) -> None:
        line = json.dumps(message).encode() + b"\n"
        if len(line) > self._LIMIT:
            line = json.dumps(message | {"text": str(message.get("text", ""))[:300]}).encode() + b"\n"
        os.write(self._pipe, line)


def _preload() -> None:
    """Import everything that cells need, single-threaded: a parallel operation at import would hang every child."""
    import torch

    torch.set_num_threads(1)
    for module in ("PIL.PngImagePlugin", "torch._dynamo", "benchsuite.harness.runner"):
        import_module(module)  # the first optimiser of a process would import dynamo, which takes a second

    from benchsuite.harness.registry import load_registry

    load_registry()


def serve() -> None:
    """Fork a child for each job until standard input closes."""
    messages = _Messages()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interrupt means
    _set_death_signal(signal.SIGKILL)  # while standard input is not watched yet
    _preload()
    _set_death_signal(0)  # it would follow the driver's thread that started this process
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    running: dict[int, int] = {}  # job number -> process
    waiting = b""
    try:
        messages.send(event="ready")
        while True:
            for key, _ in selector.select():
                if key.fileobj == 0:
                    data = os.read(0, 65536)
                    if not data:
                        return
                    *lines, waiting = (waiting + data).split(b"\n")
                    for line in lines:
                        _obey(json.loads(line), running, selector, messages)
                else:
                    _reap(key.data, running, selector, key.fd, messages)
    except BrokenPipeError:
        return  # the driver is gone
    finally:
        for process in running.values():
            kill_group(process)


def _obey(
    order: dict[str, Any], running: dict[int, int], selector: selectors.BaseSelector, messages: _Messages
) -> None:
    number = order["number"]
    if "kill" in order:
        if number in running:
            kill_group(running[number])
        return
    parent = os.getpid()
    try:
        process = os.fork()
    except OSError as error:  # no processes left, say: this cell's problem, not the server's
        print(f"cannot fork: {error}", file=sys.stderr)
        messages.send(event="ended", number=number, code=71)
        return
    if process == 0:
        _run_child(order, selector, parent, messages)
    with contextlib.suppress(OSError):
        os.setpgid(process, process)  # the child does the same; whoever comes first
    running[number] = process
    selector.register(os.pidfd_open(process), selectors.EVENT_READ, number)
    messages.send(event="started", number=number, process=process)


def _reap(number: int, running: dict[int, int], selector: selectors.BaseSelector, fd: int, messages: _Messages) -> None:
    selector.unregister(fd)
    os.close(fd)
    process = running.pop(number)
    kill_group(process)  # what the cell started and left behind; before waitpid, so that the number is still its own
    _, status = os.waitpid(process, 0)
    messages.send(event="ended", number=number, code=os.waitstatus_to_exitcode(status))


def _die_with(parent: int) -> None:
    """Have the kernel kill this child when the server dies, which would otherwise leave it running as an orphan."""
    os.setpgid(0, 0)
    _set_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _set_death_signal(number: int) -> None:
    """The signal that the kernel sends this process when its parent dies; 0 for none."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)


def _run_child(order: dict[str, Any], selector: selectors.BaseSelector, parent: int, messages: _Messages) -> NoReturn:
    """Nothing may leave this function: the server's own clean-up, which kills its children, is not the child's."""
    code = 70
    try:
        selector.close()
        _die_with(parent)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _run(order, messages)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(code)


def _run(order: dict[str, Any], messages: _Messages) -> None:
    from benchsuite.harness.runner import Job, run_job

    job = Job.from_json(order["job"])
    _redirect_output(Path(job.run_folder) / "cells" / job.cell.key / "log.txt")
    faulthandler.enable()  # a crash in native code leaves its Python stack in the log
    if job.memory_limit is not None:
        _limit_memory(job.memory_limit)
    report: Callable[[float, str], None] = lambda fraction, text: messages.send(  # noqa: E731
        event="progress", number=order["number"], fraction=round(fraction, 4), text=text
    )
    run_job(job, report)


def _redirect_output(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def _limit_memory(limit: int) -> None:
    """Let private memory grow by at most ``limit`` bytes; beyond it allocations fail and the cell says where."""
    import resource

    used = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData"):
            used = int(line.split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))


def run_once() -> None:
    """Run the one job on standard input in this process, which ends when standard input closes."""
    messages = _Messages()
    lifeline = os.fdopen(os.dup(0), "rb", buffering=0)
    order = json.loads(lifeline.readline())
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _preload()
    messages.send(event="started", number=order["number"], process=os.getpid())
    _run(order, messages)


def _end_with(lifeline: IO[bytes]) -> NoReturn:
    """End this process when the driver's end of the pipe closes."""
    lifeline.read()
    os._exit(72)


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    run_once() if "--once" in sys.argv else serve()
