"""Run: what every training loop needs and none should write again.

A method loops over ``run.batches`` and calls ``run.step``; seeded shuffling, progress, a time budget, learning
curves, the watch for divergence, checkpoints and resumption at the very batch come with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from benchsuite.errors import ContractError, DivergedError
from benchsuite.kit.checkpoints import Checkpoint, Stateful
from benchsuite.kit.curves import Curve
from benchsuite.kit.samples import Samples
from benchsuite.kit.timing import Steady, Timings

Schedule = Literal["linear", "cosine"]

_WINDOW = 50  # batches between looks at the losses: each look waits for the device
_PROGRESS_SECONDS = 0.5
_WARM_UP = 3  # batches at the beginning of each loop whose time is not that of the others

AnyModule = TypeVar("AnyModule", bound=nn.Module)


@dataclass(frozen=True)
class Batch:
    """``x`` (n, *shape) on the run's device, the training rows ``index`` (n,) it came from, and their ``labels``."""

    x: Tensor
    index: Tensor
    labels: Tensor | None


class Run:
    """One training run: its device, seed, batches, steps, stages, progress, budget and checkpoints.

    ``fraction`` is how much of the present loop is done, in [0, 1); ``steps`` counts batches over all loops, and like
    ``fraction`` survives an interruption, which a local counter does not.
    """

    def __init__(
        self,
        *,
        seed: int,
        device: torch.device,
        precision: str = "fp32",
        budget: float | None = None,
        checkpoint: Path | None = None,
        checkpoint_seconds: float = 30.0,
        curve: Path | None = None,
        timings: Timings | None = None,
        on_progress: Callable[[float, str], None] | None = None,
    ) -> None:
        """``budget`` is in seconds of training; a ``checkpoint`` that exists already is resumed from."""
        self.seed, self.device, self.precision = seed, device, precision
        self.budget = math.inf if budget is None else budget
        self.fraction = 0.0
        self._on_progress = on_progress
        self._timings = timings
        self._checkpoint_seconds = checkpoint_seconds
        self._checkpoint = Checkpoint.open(checkpoint)
        self.resumed_at: int = self._checkpoint.steps
        self.steps = 0
        self._curve = Curve(curve, self._checkpoint.curve_bytes)
        self._pending: list[tuple[str, Tensor]] = []
        self._stages: set[str] = set()
        self._scope = ""
        self._loops: defaultdict[str, int] = defaultdict(int)
        self._last_save = self._last_progress = time.monotonic()

    @property
    def stopped_early(self) -> bool:
        """Whether the budget ended a loop before its time."""
        return self._checkpoint.stopped_early

    def prepare(self, net: AnyModule) -> AnyModule:
        """``net`` on the run's device, in training mode, laid out as its convolutions like it best."""
        return net.to(self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload, no-any-return]

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The run's precision for the forward pass: bfloat16 where ``--precision bf16`` asks for it."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def batches(
        self,
        data: Samples,
        *,
        batch_size: int,
        epochs: int,
        state: Sequence[Stateful] = (),
        shuffle: Callable[[int], Tensor] | None = None,
    ) -> Iterator[Batch]:
        """``epochs`` passes over ``data`` in seeded random order, ``batch_size`` rows at a time.

        ``state`` lists everything that the loop changes (modules, optimisers, generators, tensors): it is what a
        checkpoint holds and what resumption restores, in place, when the first batch is asked for. Checkpoints are
        taken between batches. The last batch of a pass is smaller where the rows do not divide; a single row left
        over joins the batch before it, since batch norm cannot use it alone. ``shuffle`` gives, for a number of rows,
        the order of a pass at its beginning, in place of the seeded one.

        Rows and seconds after the first few batches, the body of the caller's loop included, are the phase ``train``,
        or ``train.STAGE``, of the run's timings.
        """
        name = self._next_loop()
        order = torch.empty(len(data) if shuffle else 0, dtype=torch.int64)
        if shuffle and state:
            state = (*state, order)  # it was drawn when the pass began and cannot be drawn again
        if self._skipped(name, state):
            return
        started_epoch, started_batch = self._checkpoint.restore_ongoing(name, state, self.device)
        self._if_back_where_it_was_cut_off()
        sizes = batch_sizes(len(data), batch_size)
        began = time.monotonic()
        spent_before = self._checkpoint.seconds
        steady = Steady(self._timings, f"train.{self._scope}" if self._scope else "train", _WARM_UP)
        epoch = started_epoch
        for epoch in range(started_epoch, epochs):
            if shuffle is None:
                order = self._order(name, epoch, len(data))
            elif epoch != started_epoch or started_batch == 0:
                order.copy_(shuffle(len(data)))
            rows_of_batches = torch.split(order, sizes)
            first = started_batch if epoch == started_epoch else 0
            coming = rows_of_batches[first:]
            for number, (rows, x) in enumerate(zip(coming, data.fetched(coming), strict=True), first):
                if self._checkpoint.seconds >= self.budget:
                    self._checkpoint.stopped_early = True
                    steady.end()
                    self._finish(name, state, epoch)
                    return
                self.fraction = (epoch * len(sizes) + number) / (epochs * len(sizes))
                self._progress(f"{self._scope} epoch {epoch + 1}/{epochs}".strip())
                index = rows.to(self.device)
                labels = None if data.labels is None else data.labels[rows.to(data.labels.device)].to(self.device)
                yield Batch(x.to(self.device), index, labels)
                steady.stepped(len(rows))
                self.steps += 1
                self._checkpoint.seconds = spent_before + time.monotonic() - began
                if self.steps % _WINDOW == 0:
                    self._look_at_losses(epoch)
                if state and time.monotonic() - self._last_save >= self._checkpoint_seconds:
                    self._save(name, epoch, number + 1, state)
        steady.end()
        self._finish(name, state, epoch)

    def step(self, optimiser: torch.optim.Optimizer, loss: Tensor, name: str = "loss") -> None:
        """One optimiser step down the gradient of ``loss``, which goes to the learning curve as ``name``."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        self.log(name, loss)

    def log(self, name: str, value: Tensor) -> None:
        """Put a number on the learning curve; NaN or infinity ends the run as diverged, within 50 batches."""
        self._pending.append((name, value.detach().clone()))  # it may change in place

    def decay(self, optimiser: torch.optim.Optimizer, final: float, schedule: Schedule = "linear") -> None:
        """Set the learning rates for this batch: from their first values to ``final`` times those."""
        for group in optimiser.param_groups:
            first = group.setdefault("initial_lr", group["lr"])
            group["lr"] = first * self.decay_factor(final, schedule)

    def decay_factor(self, final: float, schedule: Schedule = "linear") -> float:
        """Where a rate stands now: 1 at the start of the loop, ``final`` at its end, on a line or a half cosine."""
        done = self.fraction if schedule == "linear" else (1 - math.cos(math.pi * self.fraction)) / 2
        return 1 - (1 - final) * done

    def stage(self, name: str, work: Callable[[], object], state: Sequence[Stateful] = ()) -> None:
        """Call ``work``, or restore the ``state`` that it ended with where an earlier attempt finished it.

        Code between stages runs again after an interruption; code inside a finished stage does not.
        """
        if name in self._stages:
            raise ContractError(f"the stage '{name}' was there already; each needs a name of its own")
        self._stages.add(name)
        if self._skipped(name, state):
            return
        outer, self._scope = self._scope, name
        timed = self._timings.phase(f"fit.{name}") if self._timings else contextlib.nullcontext()
        try:
            with timed:
                work()
            self._finish(name, state, 0)
        finally:
            self._scope = outer
        if state:
            self._checkpoint.forget_inside(name)
        self._checkpoint.write(self.steps, self._pending, self._curve.size)

    def close(self) -> None:
        """Look at what is left of the losses; the harness calls it when ``fit`` has returned."""
        self._look_at_losses(0)

    def _next_loop(self) -> str:
        number = self._loops[self._scope]
        self._loops[self._scope] += 1
        return f"{self._scope}/{number}" if self._scope else f"loop {number}"

    def _order(self, name: str, epoch: int, n: int) -> Tensor:
        digest = hashlib.sha256(f"{self.seed}/{name}/{epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        return torch.randperm(n, generator=generator)

    def _skipped(self, name: str, state: Sequence[Stateful]) -> bool:
        """Whether an earlier attempt finished ``name``; things are then as they were at its end."""
        steps = self._checkpoint.restore_finished(name, state, self.device)
        if steps is None:
            return False
        self.steps, self.fraction = steps, 1.0
        self._if_back_where_it_was_cut_off()
        return True

    def _if_back_where_it_was_cut_off(self) -> None:
        """Loops without state run again when resumed; what they counted and logged before is not counted twice."""
        if self._checkpoint.resuming or self._checkpoint.steps == 0:
            return
        self.steps, self._pending = self._checkpoint.steps, self._checkpoint.pending
        self._checkpoint.steps = 0

    def _finish(self, name: str, state: Sequence[Stateful], epoch: int) -> None:
        self._look_at_losses(epoch)
        self.fraction = 1.0
        self._checkpoint.finish(name, state, self.steps, self.device)

    def _save(self, name: str, epoch: int, batch: int, state: Sequence[Stateful]) -> None:
        if self._checkpoint.resuming:
            return
        self._raise_if_diverged()
        self._checkpoint.set_ongoing(name, epoch, batch, state, self.device)
        self._checkpoint.write(self.steps, self._pending, self._curve.size)
        self._last_save = time.monotonic()

    def _look_at_losses(self, epoch: int) -> None:
        if not self._pending:
            return
        self._raise_if_diverged()
        if not self._checkpoint.resuming:
            self._curve.append(self.steps, epoch, self._scope, self._pending)
        self._pending.clear()

    def _raise_if_diverged(self) -> None:
        for name, value in self._pending:
            if not math.isfinite(float(value)):
                first = max(1, self.steps - _WINDOW + 1)
                raise DivergedError(f"{name} became {float(value)} between batches {first} and {self.steps}")

    def _progress(self, text: str) -> None:
        now = time.monotonic()
        if self._on_progress and now - self._last_progress >= _PROGRESS_SECONDS:
            self._last_progress = now
            self._on_progress(self.fraction, text)


def batch_sizes(n: int, batch_size: int) -> list[int]:
    """The sizes of the batches that one pass over ``n`` rows is made of."""
    whole, rest = divmod(n, batch_size)
    sizes = [batch_size] * whole + [rest] * (rest > 0)
    if rest == 1 and whole:
        sizes[-2:] = [batch_size + 1]
    return sizes
