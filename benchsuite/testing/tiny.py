"""Tiny data, and a training run that is soon over and can be cut off at any batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchsuite.contracts import DataSpec
from benchsuite.kit.checkpoints import Stateful
from benchsuite.kit.samples import Samples
from benchsuite.kit.training import Batch, Run

ROWS = 33  # so that batches of 16 leave one row over
CLASSES = 3
LATENT_DIM = 2
EPOCHS = 2
SHAPES: tuple[tuple[int, ...], ...] = ((1, 8, 8), (3, 16, 16), (1, 28, 28), (6,))
RARE_SHAPES: tuple[tuple[int, ...], ...] = (
    (1, 32, 32),
    (3, 32, 32),
    (3, 64, 64),
    (2,),
)  # for methods that are for none of those


def tiny_samples(shape: tuple[int, ...], rows: int = ROWS) -> Samples:
    """Random images with labels, (C, H, W), or vectors, (D,), with labels in the plane; always the same."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(rows) % CLASSES
    if len(shape) == 1:
        return Samples(torch.randn(rows, *shape, generator=generator), labels if shape == (2,) else None)
    return Samples(torch.randint(256, (rows, *shape), generator=generator).to(torch.uint8), labels)


def spec_of(samples: Samples) -> DataSpec:
    """What a method is told of them."""
    return DataSpec(samples.shape, samples.kind, len(samples), LATENT_DIM, samples.n_classes)


def called(shape: tuple[int, ...]) -> str:
    """Data of this shape in words."""
    if len(shape) == 1:
        return f"vectors of {shape[0]} numbers"
    return f"images of {shape[0]} x {shape[1]} x {shape[2]}"


class CutError(BaseException):
    """Stands for a kill: no handler of a plugin's takes it for an error of its own."""


class TinyRun(Run):
    """A run of at most two epochs a loop, which is killed before the batch ``cut_at``, counted over all loops, or after
    the stage ``cut_after``, counted from 1.

    ``handed_out`` counts batches, ``staged`` stages; ``without_state`` says whether a loop had nothing to resume from.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        device: torch.device | None = None,
        precision: str = "fp32",
        checkpoint: Path | None = None,
        cut_at: int | None = None,
        cut_after: int | None = None,
    ) -> None:
        super().__init__(
            seed=seed,
            device=device or torch.device("cpu"),
            precision=precision,
            checkpoint=checkpoint,
            checkpoint_seconds=0.0 if checkpoint else math.inf,
        )
        self.cut_at, self.cut_after = cut_at, cut_after
        self.handed_out = self.staged = 0
        self.without_state = False

    def batches(
        self,
        data: Samples,
        *,
        batch_size: int,
        epochs: int,
        state: Sequence[Stateful] = (),
        shuffle: Callable[[int], Tensor] | None = None,
    ) -> Iterator[Batch]:
        """As those of a run. Raises CutError when its time has come."""
        self.without_state |= not state
        few = min(epochs, EPOCHS)
        for batch in super().batches(data, batch_size=batch_size, epochs=few, state=state, shuffle=shuffle):
            if self.handed_out == self.cut_at:
                raise CutError
            self.handed_out += 1
            yield batch

    def stage(self, name: str, work: Callable[[], object], state: Sequence[Stateful] = ()) -> None:
        """As that of a run. Raises CutError when its time has come."""
        super().stage(name, work, state)
        self.staged += 1
        if self.staged == self.cut_after:
            raise CutError
