"""Joules are what the counters counted: over their ends, summed over packages, of the right card, or none at all."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchsuite.kit import energy
from benchsuite.kit.energy import EnergyMeter, energy_meter
from benchsuite.kit.timing import Timings

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 1)
LARGEST = 262_143_328_850  # microjoules, as on many processors


class Powercap:
    """A folder like the system's, whose counters move when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def zone(self, name: str, called: str, microjoules: int = 0, largest: int = LARGEST) -> None:
        (self.folder / name).mkdir(parents=True)
        (self.folder / name / "name").write_text(f"{called}\n")
        (self.folder / name / "max_energy_range_uj").write_text(f"{largest}\n")
        self.count(name, microjoules)

    def count(self, name: str, microjoules: int) -> None:
        path = self.folder / name / "energy_uj"
        path.with_name("next").write_text(f"{microjoules}\n")
        path.with_name("next").replace(path)  # at once, as the system's do


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Powercap:
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    return Powercap(tmp_path)


def meter(device: torch.device = CPU) -> EnergyMeter:
    found = energy_meter(device)
    assert found is not None
    return found


def test_joules_are_counted_from_when_the_meter_was_made(powercap: Powercap) -> None:
    powercap.zone("intel-rapl:0", "package-0", 5_000_000)
    found = meter()
    assert found.joules() == 0
    powercap.count("intel-rapl:0", 7_500_000)
    assert found.joules() == pytest.approx(2.5)


def test_a_counter_that_starts_anew_goes_on(powercap: Powercap) -> None:
    powercap.zone("intel-rapl:0", "package-0", LARGEST - 1_000_000)
    found = meter()
    for round_ in range(3):
        powercap.count("intel-rapl:0", 2_000_000)
        assert found.joules() == pytest.approx(3 + round_ * LARGEST / 1e6)
        powercap.count("intel-rapl:0", LARGEST - 1_000_000)
        assert found.joules() == pytest.approx(LARGEST / 1e6 * (round_ + 1))


def test_packages_add_up_and_nothing_is_counted_twice(powercap: Powercap) -> None:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:1": "package-1",
        "intel-rapl:0:0": "core",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    for name, called in zones.items():
        powercap.zone(name, called)
    found = meter()
    for name in zones:
        powercap.count(name, 4_000_000)
    assert found.joules() == pytest.approx(8)


def test_without_counters_there_is_no_meter(powercap: Powercap) -> None:
    assert energy_meter(CPU) is None
    powercap.zone("intel-rapl:0", "psys")
    assert energy_meter(CPU) is None
    assert energy_meter(torch.device("mps")) is None


def test_counters_that_may_not_be_read_are_no_meter(powercap: Powercap, monkeypatch: pytest.MonkeyPatch) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    read_text = Path.read_text

    def refused(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refused)
    assert energy_meter(CPU) is None


def test_a_counter_that_fails_once_says_nothing_from_then_on(powercap: Powercap) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    found = meter()
    (powercap.folder / "intel-rapl:0" / "energy_uj").write_text("nonsense")
    assert found.joules() is None
    powercap.count("intel-rapl:0", 1_000_000)
    assert found.joules() is None


def test_a_long_phase_misses_no_end_of_the_counter(powercap: Powercap, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread reads on its own; without it two rounds of the counter would pass for none."""
    monkeypatch.setattr(energy, "_SECONDS", 0.001)
    powercap.zone("intel-rapl:0", "package-0", 0, largest=10_000_000)
    found, counted = meter(), threading.Event()
    joules = found.joules

    def counting() -> float | None:
        counted.set()
        return joules()

    monkeypatch.setattr(found, "joules", counting)
    with found.watched():
        for microjoules in (6_000_000, 2_000_000, 8_000_000, 4_000_000):
            powercap.count("intel-rapl:0", microjoules)
            for _ in range(2):  # a reading that began after the counter moved
                counted.clear()
                assert counted.wait(10)
    assert joules() == pytest.approx(24)


def test_phases_have_the_joules_of_their_own_time(powercap: Powercap) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    timings = Timings(CPU)
    powercap.count("intel-rapl:0", 1_000_000)
    with timings.phase("fit"):
        powercap.count("intel-rapl:0", 3_000_000)
        with timings.phase("fit.stage"):
            powercap.count("intel-rapl:0", 7_000_000)
    with timings.phase("sample"):
        pass
    assert [(p.name, p.joules) for p in timings.phases] == [
        ("fit.stage", pytest.approx(4)),
        ("fit", pytest.approx(6)),
        ("sample", pytest.approx(0)),
    ]


def test_where_nothing_counts_phases_have_no_joules(powercap: Powercap) -> None:
    timings = Timings(CPU)
    with timings.phase("fit"):
        pass
    assert timings.phases[0].joules is None


class Nvml:
    """Two cards; NVML numbers both, torch only the second, as under CUDA_VISIBLE_DEVICES=1."""

    def __init__(self) -> None:
        self.millijoules = {"GPU-aaaa": 1000, "GPU-bbbb": 5000}
        self.refuses = False

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in self.millijoules:
            raise RuntimeError("NVMLError_NotFound")
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        if self.refuses:
            raise RuntimeError("NVMLError_NotSupported")
        return self.millijoules[handle]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nvml]:
    fake = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="bbbb"))
    return fake


def test_a_card_is_found_by_its_uuid(nvml: Nvml) -> None:
    found = meter(CUDA)
    nvml.millijoules = {"GPU-aaaa": 900_000, "GPU-bbbb": 7500}
    assert found.joules() == pytest.approx(2.5)


def test_a_card_that_counts_nothing_is_no_meter(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.refuses = True
    assert energy_meter(CUDA) is None
    nvml.refuses = False
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="a part of a card"))
    assert energy_meter(CUDA) is None


def test_a_card_whose_counter_goes_back_says_nothing(nvml: Nvml) -> None:
    found = meter(CUDA)
    nvml.millijoules["GPU-bbbb"] = 10  # its driver was loaded anew
    assert found.joules() is None


def test_without_nvml_there_is_no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy_meter(CUDA) is None
