"""The energy that a device has taken, where it has a counter of it that this process may read.

Processors: the package counters of Linux' powercap (RAPL), which most systems let only root read. CUDA devices: NVML's
counter of the whole card, where the package ``nvidia-ml-py`` is installed. Both count whatever runs on the package or
card, of whomever: on a machine that is shared they say what it took, not what the process did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import torch

_POWERCAP = Path("/sys/class/powercap")
_SECONDS = 20.0  # between readings; the smallest counters, of 65 kJ, start anew after no less than 65 s at 1 kW


def energy_meter(device: torch.device) -> EnergyMeter | None:
    """A meter of ``device``; None where its energy is not known."""
    try:
        if device.type == "cuda":
            return EnergyMeter((_card(device),))
        packages = _packages(_POWERCAP) if device.type == "cpu" else ()
        return EnergyMeter(packages) if packages else None
    except Exception:  # whatever it is that NVML, or a file of the system's, cannot tell
        return None


@dataclass
class Counter:
    """One counter: ``read`` counts in units of ``unit`` joules, and starts anew from 0 after ``largest`` if any."""

    read: Callable[[], int]
    unit: float
    largest: int | None = None
    last: int = field(init=False)
    total: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.last = self.read()

    def count(self) -> float:
        """Joules since this object was made."""
        now = self.read()
        if now < self.last and self.largest is None:
            raise ValueError("a counter went back")
        self.total += now - self.last if now >= self.last else now + (self.largest or 0) - self.last
        self.last = now
        return self.total * self.unit


class EnergyMeter:
    """The sum of ``counters``, which are read often enough that none starts anew twice while ``watched``."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = counters
        self._lock = threading.Lock()
        self._failed = False

    def joules(self) -> float | None:
        """The energy taken since the meter was made; None from the first reading on that failed."""
        with self._lock:
            try:
                return None if self._failed else sum(counter.count() for counter in self._counters)
            except Exception:  # as in energy_meter
                self._failed = True
                return None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Readings by a thread while the block runs, for counters that start anew."""
        if all(counter.largest is None for counter in self._counters):
            yield
            return
        done = threading.Event()
        reader = threading.Thread(target=self._read_until, args=(done,), daemon=True)
        reader.start()
        try:
            yield
        finally:
            done.set()
            reader.join()

    def _read_until(self, done: threading.Event) -> None:
        while not done.wait(_SECONDS):
            self.joules()


def _packages(powercap: Path) -> tuple[Counter, ...]:
    """One counter for each package; those of ``psys``, of parts and of other interfaces would count a joule twice."""
    zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    return tuple(
        Counter(_reader(zone / "energy_uj"), 1e-6, int((zone / "max_energy_range_uj").read_text()))
        for zone in zones
        if (zone / "name").read_text().startswith("package")
    )


def _reader(path: Path) -> Callable[[], int]:
    return lambda: int(path.read_text())


def _card(device: torch.device) -> Counter:
    """The counter of one card, found by its UUID, since NVML numbers also those that are hidden from the process."""
    nvml = import_module("pynvml")
    nvml.nvmlInit()
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
    return Counter(lambda: int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)), 1e-3)
