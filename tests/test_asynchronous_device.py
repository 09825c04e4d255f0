"""Work that a device does on its own time is in the phase that asked for it, and in no other.

The device is made up: what it is given it does later, and asking it to do something takes the host no more than a
millisecond. Its clock is told how time passes, so that nothing here sleeps and every number is exact.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import benchsuite
from benchsuite.kit import timing
from benchsuite.kit.samples import Samples
from benchsuite.kit.timing import Phase, Timings
from benchsuite.kit.training import _WARM_UP, Run

CUDA = torch.device("cuda")
ASKING = 0.001  # seconds of the host for each piece of work
BATCHES, ROWS = 20, 8


class Device:
    """A clock, and a queue of work that ends at ``busy_until``."""

    def __init__(self) -> None:
        self.now = self.busy_until = 100.0
        self.waits = 0

    def ask(self, seconds: float) -> None:
        """Queue work, and return at once."""
        self.now += ASKING
        self.busy_until = max(self.now, self.busy_until) + seconds

    def wait(self, device: object = None) -> None:
        self.waits += 1
        self.now = max(self.now, self.busy_until)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """The device that ``timing`` sees."""
    fake = Device()
    clocks = SimpleNamespace(perf_counter=lambda: fake.now, process_time=lambda: fake.now)
    monkeypatch.setattr(timing, "time", clocks)
    monkeypatch.setattr(torch.cuda, "synchronize", fake.wait)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 0)
    monkeypatch.setattr(timing, "energy_meter", lambda device: None)
    return fake


def phases_by_name(timings: Timings) -> dict[str, Phase]:
    return {phase.name: phase for phase in timings.phases}


def check_that_a_phase_has_its_own_work(device: Device) -> None:
    timings = Timings(CUDA)
    device.ask(50)  # of whoever was before
    with timings.phase("fit"):
        device.ask(2)
        device.ask(3)
    device.ask(70)
    with timings.phase("sample"):
        device.ask(1)
    found = phases_by_name(timings)
    assert found["fit"].seconds == pytest.approx(5 + ASKING, abs=1e-9)  # the second was asked for meanwhile
    assert found["sample"].seconds == pytest.approx(1 + ASKING, abs=1e-9)


def train(device: Device, *, first: float = 10.0, each: float = 1.0) -> Timings:
    """Two passes of ten batches, whose first three take longer than the others, after work of somebody else's."""
    timings = Timings(CUDA)
    run = Run(seed=0, device=torch.device("cpu"), timings=timings)
    device.ask(1000)
    data = Samples(torch.zeros(ROWS * BATCHES // 2, 1))
    for number, _ in enumerate(run.batches(data, batch_size=ROWS, epochs=2)):
        device.ask(first if number < _WARM_UP else each)
    device.ask(500)
    return timings


def check_that_the_steady_phase_has_its_own_work(device: Device) -> None:
    (phase,) = train(device).phases
    assert (phase.name, phase.items) == ("train", (BATCHES - _WARM_UP) * ROWS)
    assert phase.seconds == pytest.approx((BATCHES - _WARM_UP) * 1.0 + ASKING, abs=1e-9)


CHECKS = [check_that_a_phase_has_its_own_work, check_that_the_steady_phase_has_its_own_work]


@pytest.mark.parametrize("check", CHECKS)
def test_a_phase_has_the_work_that_it_asked_for_and_none_of_before(
    device: Device, check: Callable[[Device], None]
) -> None:
    check(device)


def waits_for_some(device: Device, chosen: Callable[[int], bool]) -> Iterator[None]:
    """``synchronise`` as it would be with some of its calls forgotten: those whose number is not ``chosen``."""
    number = 0
    while True:
        if chosen(number):
            device.wait()
        number += 1
        yield


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "kept", [lambda n: False, lambda n: n % 2 == 0, lambda n: n % 2 == 1], ids=["none", "starts", "ends"]
)
def test_a_wait_that_is_forgotten_is_noticed(
    device: Device, monkeypatch: pytest.MonkeyPatch, check: Callable[[Device], None], kept: Callable[[int], bool]
) -> None:
    waits = waits_for_some(device, kept)
    monkeypatch.setattr(timing, "synchronise", lambda device: next(waits))
    with pytest.raises(AssertionError, match="±"):
        check(device)


def test_training_waits_twice_a_loop_and_never_for_a_batch(device: Device) -> None:
    train(device)
    assert device.waits == 2


def test_a_rate_is_that_of_the_batches_after_the_first(device: Device) -> None:
    (slow,), (fast,) = train(device, first=1000.0).phases, train(device, first=0.0).phases
    assert slow.seconds == pytest.approx(fast.seconds, abs=1e-9)


# Nobody else looks at a clock to measure

CLOCKS = {"perf_counter", "process_time", "thread_time", "monotonic", "time", "clock_gettime", "default_timer"}
PACKAGES = (Path(benchsuite.__file__).parent, Path(benchsuite.__file__).parents[1] / "plugins" / "benchsuite_plugins")
READERS = {
    "kit/timing.py": "measures",
    "kit/training.py": "its budget, when to save and when to tell of progress",
    "kit/download.py": "when to tell of progress",
    "harness/isolation.py": "the deadline of a cell",
    "harness/cellrunner.py": "how long a cell lasted that left no record",
    "cli/watching.py": "when to look again, and how long a run without a change is waited for",
    "harness/catalogue.py": "since when plugins were being loaded",
    "harness/freshness.py": "what was changed since then",
    "testing/contract.py": "tells a person how long a check took",
    "testing/executors.py": "whether cells ran at once",
    "features/classifier.py": "tells a person how long preparing took",
}


def clocks_read_by(source: str) -> set[str]:
    """The clocks that a module names, however it came by them."""
    tree = ast.parse(source)
    modules = {"time", "timeit"}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in ("time", "timeit") and alias.asname:
                    modules.add(alias.asname)
                if alias.name == "timeit":
                    found.add("timeit")
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "timeit"):
            found |= {alias.name.removesuffix("_ns") for alias in node.names} & CLOCKS
        elif isinstance(node, ast.ImportFrom) and node.module == "torch.utils.benchmark":
            found.add("torch.utils.benchmark")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found |= {node.attr.removesuffix("_ns")} & CLOCKS
        if isinstance(node, ast.Attribute) and node.attr == "Event" and ast.unparse(node.value).startswith("torch."):
            found.add("Event")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import time\nstart = time.perf_counter()",
        "import time as t\nstart = t.time()",
        "from time import perf_counter_ns as now",
        "import timeit",
        "import time\nclock = time.process_time",
        "import torch\nstart = torch.cuda.Event(enable_timing=True)",
    ],
)
def test_a_clock_is_found_however_it_is_named(source: str) -> None:
    assert clocks_read_by(source)


def test_only_what_has_a_reason_reads_a_clock() -> None:
    found = {
        path.relative_to(package).as_posix()
        for package in PACKAGES
        for path in package.rglob("*.py")
        if clocks_read_by(path.read_text(encoding="utf-8")) and not path.name.startswith("train_")
    }
    assert found == set(READERS)


def test_only_timing_and_the_driver_read_clocks_that_measure() -> None:
    measuring = {"perf_counter", "process_time", "thread_time", "timeit", "Event"}
    found = {
        path.relative_to(package).as_posix()
        for package in PACKAGES
        for path in package.rglob("*.py")
        if clocks_read_by(path.read_text(encoding="utf-8")) & measuring
    }
    assert found == {"kit/timing.py", "harness/cellrunner.py"}
