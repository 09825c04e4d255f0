"""Phases say what they took: seconds, processor seconds and memory."""

from __future__ import annotations

import gc
import mmap
import time
from pathlib import Path

import pytest
import torch

from benchsuite.kit import timing
from benchsuite.kit.timing import Phase, Steady, Timings

CPU = torch.device("cpu")
tells_memory = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system tells no peak memory")


@pytest.fixture(autouse=True)
def no_garbage() -> None:
    """What other tests left is given back before memory is measured, not while it is."""
    gc.collect()


def timed(name: str = "fit") -> tuple[Timings, Phase]:
    timings = Timings(CPU)
    with timings.phase(name, 7):
        pass
    return timings, timings.phases[0]


def fresh(mib: int) -> mmap.mmap:
    """That much memory from the system, touched: what earlier tests have left, the allocator would hand out again."""
    memory = mmap.mmap(-1, mib * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, len(memory), mmap.PAGESIZE):
        memory[page] = 1
    return memory


def allocate(mib: int) -> None:
    """Touch that much memory, and give it back."""
    fresh(mib).close()


def test_a_phase_is_recorded_with_its_name_and_items() -> None:
    timings, phase = timed()
    assert [p.name for p in timings.phases] == ["fit"]
    assert phase.items == 7
    assert phase.peak_device_mib is None


def test_sleeping_takes_wall_clock_but_no_processor() -> None:
    timings = Timings(CPU)
    with timings.phase("sleep"):
        time.sleep(0.05)
    (phase,) = timings.phases
    assert 0.05 <= phase.seconds < 5
    assert phase.cpu_seconds < 0.04


def test_working_takes_processor_seconds() -> None:
    timings = Timings(CPU)
    with timings.phase("work"):
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
    (phase,) = timings.phases
    assert phase.cpu_seconds >= 0.05
    assert phase.seconds >= 0.04


def test_a_phase_that_raises_is_recorded_without_items_and_raises() -> None:
    timings = Timings(CPU)
    with pytest.raises(ValueError, match="inside"), timings.phase("fit", 7):
        raise ValueError("inside")
    assert [(p.name, p.items) for p in timings.phases] == [("fit", 0)]


def test_phases_are_in_the_order_in_which_they_ended_and_hold_their_inner_ones() -> None:
    timings = Timings(CPU)
    with timings.phase("outer"):
        with timings.phase("first"):
            time.sleep(0.01)
        with timings.phase("second"):
            time.sleep(0.01)
    first, second, outer = timings.phases
    assert [first.name, second.name, outer.name] == ["first", "second", "outer"]
    assert outer.seconds >= first.seconds + second.seconds


@tells_memory
def test_memory_is_the_peak_of_the_phase_even_where_it_was_given_back() -> None:
    timings = Timings(CPU)
    with timings.phase("large"):
        allocate(80)
    with timings.phase("small"):
        allocate(8)
    large, small = (phase.peak_host_mib for phase in timings.phases)
    assert large is not None
    assert small is not None
    assert 70 < large < 160
    assert small < 60


@tells_memory
def test_memory_kept_from_an_earlier_phase_counts_in_a_later_one() -> None:
    timings = Timings(CPU)
    with timings.phase("load"):
        kept = fresh(80)
    with timings.phase("fit"):
        pass
    assert kept[0] == 1
    assert timings.phases[1].peak_host_mib is not None
    assert timings.phases[1].peak_host_mib > 70


@tells_memory
def test_an_inner_phase_does_not_hide_the_peak_of_the_outer_one() -> None:
    timings = Timings(CPU)
    with timings.phase("fit"):
        allocate(80)
        with timings.phase("fit.reverse"):
            allocate(8)
    inner, outer = (phase.peak_host_mib for phase in timings.phases)
    assert inner is not None
    assert outer is not None
    assert inner < 60
    assert outer > 70


@tells_memory
def test_memory_from_before_is_not_counted() -> None:
    kept = fresh(80)
    _, phase = timed()
    assert kept[0] == 1
    assert phase.peak_host_mib is not None
    assert 0 <= phase.peak_host_mib < 40


def test_where_the_system_does_not_tell_memory_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timing, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(timing, "_CLEAR_REFS", tmp_path / "absent" / "clear_refs")
    _, phase = timed()
    assert phase.peak_host_mib is None


def test_what_no_block_can_hold_is_timed_between_a_mark_and_its_end() -> None:
    timings = Timings(CPU)
    start = timings.mark()
    time.sleep(0.02)
    timings.add("train", start, 9)
    (phase,) = timings.phases
    assert (phase.name, phase.items, phase.peak_host_mib) == ("train", 9, None)
    assert 0.02 <= phase.seconds < 5
    assert phase.cpu_seconds < 0.02


def test_a_loop_is_timed_from_its_last_warm_up_step_to_its_end() -> None:
    timings = Timings(CPU)
    steady = Steady(timings, "train", warm_up=2)
    for items in (1, 2, 30, 400):
        if items > 2:
            time.sleep(0.02)
        steady.stepped(items)
    steady.end()
    (phase,) = timings.phases
    assert phase.items == 430
    assert 0.04 <= phase.seconds < 5


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_loop_that_never_got_warm_is_not_timed(steps: int) -> None:
    timings = Timings(CPU)
    steady = Steady(timings, "train", warm_up=2)
    for _ in range(steps):
        steady.stepped(8)
    steady.end()
    assert not timings.phases
