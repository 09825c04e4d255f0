"""What a training run needs to go on after a kill as if nothing had happened."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchsuite.errors import ContractError
from benchsuite.kit.files import replacing

Stateful = nn.Module | torch.optim.Optimizer | torch.Generator | Tensor
_FORMAT = 1


class Checkpoint:
    """Where a run stands: loops and stages that are finished, the one under way, and the random generators.

    Finished ones keep their end state, because ``fit`` begins anew when resumed and skips over them.
    """

    def __init__(self, path: Path | None, content: dict[str, Any]) -> None:
        self._path = path
        self._finished: dict[str, Any] = content.get("finished", {})
        self._ongoing: dict[str, Any] | None = content.get("ongoing")
        self.steps: int = content.get("steps", 0)
        self.seconds: float = content.get("seconds", 0.0)
        self.stopped_early: bool = content.get("stopped_early", False)
        self.resuming = bool(self._finished or self._ongoing)  # until fit is back where it was cut off
        self.curve_bytes: int = content.get("curve_bytes", 0)
        self.pending: list[tuple[str, Tensor]] = [tuple(p) for p in content.get("pending", [])]

    @classmethod
    def open(cls, path: Path | None) -> Checkpoint:
        """The checkpoint at ``path``, or an empty one where there is none or it cannot be read."""
        if path is None or not path.exists():
            return cls(path, {})
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            return cls(path, content if isinstance(content, dict) and content["format"] == _FORMAT else {})
        except Exception:  # a damaged pickle can raise anything
            return cls(path, {})

    def restore_finished(self, name: str, state: Sequence[Stateful], device: torch.device) -> int | None:
        """Bring ``state`` to the end of the loop or stage ``name``; its steps by then, None where it has not ended."""
        saved = self._finished.get(name)
        if saved is None:
            return None
        _apply(state, saved, device)
        if self._ongoing is None and name == list(self._finished)[-1]:
            self.resuming = False
        return int(saved["steps"])

    def restore_ongoing(self, name: str, state: Sequence[Stateful], device: torch.device) -> tuple[int, int]:
        """Bring ``state`` to where the loop ``name`` was cut off; returns the (epoch, batch) to go on with."""
        if self._ongoing is None or self._ongoing["name"] != name:
            return 0, 0
        ongoing, self._ongoing, self.resuming = self._ongoing, None, False
        _apply(state, ongoing["state"], device)
        return ongoing["epoch"], ongoing["batch"]

    def set_ongoing(self, name: str, epoch: int, batch: int, state: Sequence[Stateful], device: torch.device) -> None:
        """The loop ``name`` is to go on with ``batch`` of ``epoch``."""
        self._ongoing = {"name": name, "epoch": epoch, "batch": batch, "state": _capture(state, device)}

    def finish(self, name: str, state: Sequence[Stateful], steps: int, device: torch.device) -> None:
        """The loop or stage ``name`` has ended. Without ``state`` it would run again, so nothing is kept of it."""
        if self.resuming:
            return
        self._ongoing = None
        if state and self._path is not None:
            self._finished[name] = {"steps": steps} | copy.deepcopy(_capture(state, device))

    def forget_inside(self, stage: str) -> None:
        """Drop the end states of the loops inside a finished stage, which its own end state supersedes."""
        self._finished = {name: s for name, s in self._finished.items() if not name.startswith(f"{stage}/")}

    def write(self, steps: int, pending: list[tuple[str, Tensor]], curve_bytes: int) -> None:
        """Write it, whole or not at all."""
        if self._path is None or self.resuming:
            return
        content = {
            "format": _FORMAT,
            "finished": self._finished,
            "ongoing": self._ongoing,
            "steps": steps,
            "seconds": self.seconds,
            "stopped_early": self.stopped_early,
            "curve_bytes": curve_bytes,
            "pending": [(name, value.cpu()) for name, value in pending],
        }
        with replacing(self._path) as temporary:
            torch.save(content, temporary)


def _capture(state: Sequence[Stateful], device: torch.device) -> dict[str, Any]:
    """The values of ``state`` in order, and those of every global random generator."""
    values: list[Any] = []
    for item in state:
        if isinstance(item, Tensor):
            values.append(item.detach())
        elif isinstance(item, torch.Generator):
            values.append(item.get_state())
        else:
            values.append(item.state_dict())
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "values": values,
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "random": random.getstate(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, float(gauss)),
    }


def _apply(state: Sequence[Stateful], saved: dict[str, Any], device: torch.device) -> None:
    if len(state) != len(saved["values"]):
        raise ContractError(
            f"this loop has {len(state)} objects in state=, its checkpoint {len(saved['values'])}; "
            "run again with --force to start from the beginning"
        )
    for item, value in zip(state, saved["values"], strict=True):
        if isinstance(item, Tensor):
            with torch.no_grad():
                item.copy_(value)
        elif isinstance(item, torch.Generator):
            item.set_state(value)
        else:
            item.load_state_dict(value)
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] is not None:
        torch.cuda.set_rng_state(saved["cuda"], device)
    version, keys, gauss = saved["random"]
    random.setstate((version, tuple(keys), gauss))
    kind, keys, position, has_gauss, gauss = saved["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
