"""Reports that are kept up to date while their runs work."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from benchsuite.cli.interrupts import interrupts_kept
from benchsuite.cli.reporting import Reporting, Written
from benchsuite.harness.store import RunStore
from benchsuite.kit.files import locked

_PAUSE = 2.0  # seconds between two looks
_PATIENCE = 10.0  # seconds without a change, after which a run that no process holds was killed
_TAIL = 4096  # bytes, in which the event of an end lies
_ENDS = ("run_finished", "run_interrupted")
_State = dict[Path, tuple[int, int]]


def watch(reporting: Reporting, on_first: Callable[[Written], None]) -> tuple[Written, bool]:
    """Write the report whenever its runs have changed, until all have ended; the last one does not load itself anew.

    Calls ``on_first`` once there is one. Returns what was written last, and whether Ctrl-C was pressed.
    """
    interrupted = False
    try:
        with interrupts_kept() as check:
            known = _state(reporting.stores)  # before records are read: what comes meanwhile is a change
            ended = _all_ended(reporting.stores)
            written = _write(reporting, watched=not ended)
            on_first(written)
            if ended:
                return written, False
            _follow(reporting, known, check)
    except KeyboardInterrupt:
        interrupted = True
        click.echo("interrupted", err=True)
    return _write(reporting, watched=False), interrupted


def _follow(reporting: Reporting, known: _State, check: Callable[[], None]) -> None:
    changed = time.monotonic()
    took = 0.0
    while not _all_ended(reporting.stores):
        check()
        time.sleep(max(_PAUSE, took))  # at most half of a processor is taken from what runs
        began = time.monotonic()
        state = _state(reporting.stores)
        if state != known:
            _write(reporting, watched=True)
            known, changed = state, time.monotonic()
        elif began - changed > _PATIENCE and not any(_held(store) for store in reporting.stores):
            click.echo("nothing runs any more, and the run did not say that it ended; its command goes on", err=True)
            return
        took = time.monotonic() - began


def _write(reporting: Reporting, *, watched: bool) -> Written:
    written = reporting.write(watched=watched)
    click.echo(f"{written.cells} of {written.planned} cells are in the report in {reporting.folder}", err=True)
    return written


def _state(stores: Sequence[RunStore]) -> _State:
    """When what reports are made from was last written, and how large it is."""
    state: _State = {}
    for store in stores:
        records = (store.path / "cells").glob("*/record.json")
        for path in (store.path / "run.json", store.path / "events.jsonl", *records):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                state[path] = (status.st_mtime_ns, status.st_size)
    return state


def _all_ended(stores: Sequence[RunStore]) -> bool:
    return all(_last_event(store.path / "events.jsonl") in _ENDS and not _held(store) for store in stores)


def _last_event(path: Path) -> str:
    """What the last event is, empty where there is none or it is half written."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL), os.SEEK_SET)
            lines = file.read().splitlines()
        return str(json.loads(lines[-1])["event"])
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return ""


def _held(store: RunStore) -> bool:
    """Whether a process runs it."""
    lock = store.path / ".lock"
    if not lock.exists():
        return False
    try:
        with locked(lock) as mine:
            return not mine
    except OSError:  # a run of somebody else's, say, which cannot be written to
        return False
