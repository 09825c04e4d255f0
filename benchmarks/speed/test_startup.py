"""What the command line costs before it does anything, against the interpreter alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

LIMIT = 8
CASES = {
    "help": ["--help"],
    "version": ["--version"],
    "unknown command": ["rnu"],
    "unknown flag": ["run", "--no-such-flag"],
    "bad selection": ["run", "-m", "glo[epochs="],
}


def processor_seconds(*arguments: str) -> float:
    """User and system time of a fresh interpreter, the least of three."""

    def once() -> float:
        silence = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (1, 2)]
        process = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ, file_actions=silence)
        usage = os.wait4(process, 0)[2]
        return usage.ru_utime + usage.ru_stime

    return min(once() for _ in range(3))


@pytest.mark.parametrize("case", CASES)
def test_starting_up(case: str, cost: Callable[..., float]) -> None:
    ratio = cost(lambda: processor_seconds("-m", "benchsuite", *CASES[case]), lambda: processor_seconds("-c", "pass"))
    print(f"\n{case}: {ratio:.1f} x a bare interpreter; limit {LIMIT}")
    assert ratio <= LIMIT
