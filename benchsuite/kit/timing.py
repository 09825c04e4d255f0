"""Phases timed with the device synchronised, and the memory and energy they took.

Work that a device does on its own time is waited for at both ends of a phase, and never inside it, which would slow
down what is timed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from benchsuite.kit.energy import EnergyMeter, energy_meter

MIB = 2**20
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def synchronise(device: torch.device) -> None:
    """Wait until ``device`` has done what it was asked to; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _resident_mib(field_name: str) -> float | None:
    """``VmRSS`` or ``VmHWM`` of this process, or None on systems without /proc."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith(field_name):
                return int(line.split()[1]) / 1024
    except OSError:
        return None
    return None


def _reset_peak() -> None:
    try:
        _CLEAR_REFS.write_text("5")  # resets VmHWM to the present size
    except OSError:
        return


@dataclass
class Phase:
    """One timed phase: seconds of wall clock, processor seconds of this process, peak memory in MiB, energy in joules.

    ``peak_host_mib`` is what the resident memory grew to above its size when the Timings were made, since a forked
    process shows its parent's pages as its own; None where the system does not tell. ``joules`` are those of the
    device, whoever used it, see benchsuite.kit.energy; None where it does not tell.
    """

    name: str
    seconds: float
    cpu_seconds: float
    items: int
    peak_host_mib: float | None
    peak_device_mib: float | None
    joules: float | None = None


class Mark(NamedTuple):
    """Clocks and counters at a moment when the device had nothing left to do."""

    seconds: float
    cpu_seconds: float
    joules: float | None


@dataclass
class Timings:
    """The phases of one cell, in the order in which they ended."""

    device: torch.device
    phases: list[Phase] = field(default_factory=list)
    _base_mib: float | None = field(default_factory=lambda: _resident_mib("VmRSS"))
    _open: list[list[float]] = field(default_factory=list)  # host and device peaks of the phases under way, so far
    _meter: EnergyMeter | None = field(init=False)

    def __post_init__(self) -> None:
        self._meter = energy_meter(self.device)

    @contextmanager
    def phase(self, name: str, items: int = 0) -> Iterator[None]:
        """Time the block as ``name``; recorded also when it raises, so that a failure shows what it cost.

        What raised has no items. Phases may nest: each records its whole time, so only disjoint ones may be summed.
        """
        self._note_peaks()
        _reset_peak()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._open.append([0.0, 0.0])
        with self._meter.watched() if self._meter else nullcontext():
            start, done = self.mark(), 0
            try:
                yield
                done = items
            finally:
                passed = self._since(start)
                self._note_peaks()
                host, device = self._open.pop()
                known = self._host_peak() is not None, self._device_peak() is not None
                peaks = host if known[0] else None, device if known[1] else None
                self.phases.append(Phase(name, passed.seconds, passed.cpu_seconds, done, *peaks, passed.joules))

    def mark(self) -> Mark:
        """This moment, once the device has done what it was asked to."""
        synchronise(self.device)
        joules = self._meter.joules() if self._meter else None
        return Mark(time.perf_counter(), time.process_time(), joules)

    def add(self, name: str, start: Mark, items: int) -> None:
        """Record what came after ``start`` as the phase ``name``, its memory not known.

        For what no block can hold, such as the caller's share of a generator's loop.
        """
        passed = self._since(start)
        self.phases.append(Phase(name, passed.seconds, passed.cpu_seconds, items, None, None, passed.joules))

    def _since(self, start: Mark) -> Mark:
        """What has passed since ``start``, likewise waited for."""
        synchronise(self.device)
        seconds, cpu_seconds = time.perf_counter() - start.seconds, time.process_time() - start.cpu_seconds
        joules = self._meter.joules() if self._meter else None
        spent = None if joules is None or start.joules is None else joules - start.joules
        return Mark(seconds, cpu_seconds, spent)

    def _note_peaks(self) -> None:
        """Phases that nest share one counter, which the inner one resets: each keeps the largest it has seen."""
        host, device = self._host_peak() or 0.0, self._device_peak() or 0.0
        for peaks in self._open:
            peaks[:] = max(peaks[0], host), max(peaks[1], device)

    def _host_peak(self) -> float | None:
        peak = _resident_mib("VmHWM")
        return None if peak is None or self._base_mib is None else max(0.0, peak - self._base_mib)

    def _device_peak(self) -> float | None:
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.device) / MIB


@dataclass
class Steady:
    """What a loop does once it is warm, recorded as one phase.

    The first ``warm_up`` steps of a loop allocate, compile and choose algorithms, and are left out. A loop that has no
    more than these, or is left before its end, records nothing.
    """

    timings: Timings | None
    name: str
    warm_up: int
    _steps: int = 0
    _items: int = 0
    _start: Mark | None = None

    def stepped(self, items: int) -> None:
        """The loop has done one more step, on so many items."""
        if self.timings is None:
            return
        self._steps += 1
        if self._start is not None:
            self._items += items
        elif self._steps == self.warm_up:
            self._start = self.timings.mark()

    def end(self) -> None:
        """The loop has done its last step."""
        if self.timings is not None and self._start is not None and self._items:
            self.timings.add(self.name, self._start, self._items)
