"""Phases timed with the device synchronised, and the memory they took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

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
    """One timed phase: seconds of wall clock, processor seconds of this process, and peak memory in MiB.

    ``peak_host_mib`` is what the resident memory grew to above its size when the Timings were made, since a forked
    process shows its parent's pages as its own; None where the system does not tell.
    """

    name: str
    seconds: float
    cpu_seconds: float
    items: int
    peak_host_mib: float | None
    peak_device_mib: float | None


@dataclass
class Timings:
    """The phases of one cell, in the order in which they ended."""

    device: torch.device
    phases: list[Phase] = field(default_factory=list)
    _base_mib: float | None = field(default_factory=lambda: _resident_mib("VmRSS"))
    _open: list[list[float]] = field(default_factory=list)  # host and device peaks of the phases under way, so far

    @contextmanager
    def phase(self, name: str, items: int = 0) -> Iterator[None]:
        """Time the block as ``name``; recorded also when it raises, so that a failure shows what it cost.

        Phases may nest: each records its whole time, so only disjoint ones may be summed.
        """
        self._note_peaks()
        _reset_peak()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._open.append([0.0, 0.0])
        synchronise(self.device)
        start, cpu_start = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            synchronise(self.device)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            self._note_peaks()
            host, device = self._open.pop()
            known = self._host_peak() is not None, self._device_peak() is not None
            self.phases.append(
                Phase(name, seconds, cpu_seconds, items, host if known[0] else None, device if known[1] else None)
            )

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
