"""What a plugin must not change behind the backs of others: the global random generators and torch's switches."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchsuite.testing.contract import BrokenContractError


def generators() -> dict[str, object]:
    """The states of the global generators, which compare."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    keys = np.asarray(keys)
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (kind, keys.tobytes(), *rest),
        "random": random.getstate(),
    }


def in_common(states: dict[str, object], others: dict[str, object]) -> list[str]:
    """The modules whose generator is in the same state in both."""
    return [name for name in states if states[name] == others[name]]


# What a plugin may find switched in a process, and might switch itself: how each is read and set.
_SWITCHES: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch.get_default_dtype()": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.get_default_device()": (torch.get_default_device, torch.set_default_device),
    "torch.is_grad_enabled()": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.get_num_threads()": (torch.get_num_threads, torch.set_num_threads),
    "torch.are_deterministic_algorithms_enabled()": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "torch.is_anomaly_enabled()": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "torch.backends.cudnn.benchmark": (
        lambda: torch.backends.cudnn.benchmark,
        lambda value: setattr(torch.backends.cudnn, "benchmark", value),
    ),
    "torch.get_float32_matmul_precision()": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "numpy.geterr()": (np.geterr, lambda value: np.seterr(**value)),
    "the current folder": (Path.cwd, os.chdir),
}


@contextmanager
def switches_restored() -> Iterator[list[str]]:
    """Set back what a plugin switches in the process; afterwards the list says in words what that was."""
    before = {name: read() for name, (read, _) in _SWITCHES.items()}
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, (read, write) in _SWITCHES.items():
            if (now := read()) != before[name]:
                changed.append(f"{name} from {before[name]} to {now}")
                write(before[name])


@contextmanager
def generators_kept(what: str, read: str, instead: str) -> Iterator[None]:
    """Raises BrokenContractError where ``what`` draws from a global generator, or seeds one."""
    before = generators()
    try:
        yield
    except BrokenContractError as error:  # of which drawing may be the cause
        _check_untouched(before, what, read, instead, error)
        raise
    _check_untouched(before, what, read, instead, None)


def _check_untouched(
    before: dict[str, object], what: str, read: str, instead: str, error: BrokenContractError | None
) -> None:
    touched = sorted(set(before) - set(in_common(before, generators())))
    if touched:
        raise BrokenContractError(
            expected=f"{what} leaves the global random generators alone",
            got=f"it drew from, or seeded, that of {', '.join(touched)}; {instead}",
            read=read,
        ) from error
