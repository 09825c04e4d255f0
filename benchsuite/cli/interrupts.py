"""Ctrl-C that is not lost on the way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_kept() -> Iterator[Callable[[], None]]:
    """A function that raises KeyboardInterrupt where Ctrl-C was pressed before, whatever became of it then.

    Python raises it once, wherever the main thread is, and where that is code in C which asks for an attribute or a
    method in Python and takes any error for its absence, nobody hears of it. What works for long calls the function now
    and then. Where interrupts are ignored or are handled otherwise, and in other threads, nothing is changed.
    """
    asked = False

    def note(signum: int, frame: object) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
