"""Ctrl-C is heard also where the code that it fell into dropped it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from benchsuite.cli.interrupts import interrupts_kept


@pytest.fixture(autouse=True)
def handled_as_usual() -> Iterator[None]:
    """By Python's own handler, whatever this process was started with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)  # until it is noticed


def test_an_interrupt_that_was_dropped_is_raised_when_it_is_asked_for() -> None:
    with interrupts_kept() as check:
        check()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_ignored_or_handled_otherwise_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_kept() as check:
        os.kill(os.getpid(), signal.SIGINT)
        check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_may_use_it_and_changes_nothing() -> None:
    seen = []

    def work() -> None:
        with interrupts_kept() as check:
            check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert seen == [signal.default_int_handler]
