"""The process that checks run in: ``python -m benchsuite.testing.worker REQUEST``, REQUEST being JSON.

It writes an object a line to standard output: that it begins a check, and how the check came out. What plugins print is
dropped: there may be much of it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from typing import Any, NoReturn

from benchsuite.errors import UsageError
from benchsuite.harness.server import kill_group


def main() -> None:
    """Try every check that is asked for, one after the other."""
    request = json.loads(sys.argv[1])
    threading.Thread(target=_end_with, args=(os.dup(0),), daemon=True).start()
    null = os.open(os.devnull, os.O_RDWR)
    pipe = os.dup(1)
    os.dup2(null, 0)
    os.dup2(null, 1)
    sys.path[:] = request["path"]

    def send(**message: Any) -> None:
        os.write(pipe, json.dumps(message).encode() + b"\n")

    send(event="begins", subject=request["target"], claim="loads, and provides something")

    import torch

    from benchsuite.harness.registry import load_registry
    from benchsuite.testing.contract import tried
    from benchsuite.testing.inspection import checks_of

    torch.set_num_threads(1)
    try:
        checks = checks_of(request["target"], request["selections"], load_registry())
    except UsageError as error:
        send(event="refused", text=str(error))
        return
    for check in checks:
        send(event="begins", subject=check.subject, claim=check.claim)
        send(event="found", **dataclasses.asdict(tried(check)))
    send(event="done")


def _end_with(lifeline: int) -> NoReturn:
    """End this process, and what it has started, when the other end of the pipe closes."""
    os.read(lifeline, 1)
    kill_group(os.getpid())
    os._exit(1)


if __name__ == "__main__":
    main()
    os._exit(0)  # a thread that a plugin left running keeps nobody waiting
