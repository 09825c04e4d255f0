"""A step of GLO costs what its batch costs, however many codes there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from benchsuite import DataSpec, Run, Samples
from benchsuite.harness.registry import load_registry
from benchsuite.kit.training import Batch

FEW, MANY, DIM, STEPS, WARM_UP = 2_000, 200_000, 16, 25, 5


class FirstSteps(Run):
    """A run that times a few steps after a warm-up and ends the loop: what comes before and after it grows with N."""

    seconds = 0.0

    def batches(self, *arguments: Any, **keywords: Any) -> Iterator[Batch]:
        for number, batch in enumerate(super().batches(*arguments, **keywords)):
            if number == WARM_UP:
                start = time.process_time()
            if number == WARM_UP + STEPS:
                self.seconds = time.process_time() - start
                return
            yield batch


def data(rows: int) -> Samples:
    return Samples(torch.randn(rows, DIM, generator=torch.Generator().manual_seed(0)))


def seconds(train: Samples, optimiser: str) -> float:
    """Of the same number of steps, with a network so small that anything of N would show."""
    method = load_registry().get("methods", "glo")(optimiser=optimiser, init="gaussian", epochs=1, width=16)
    model = method.build(DataSpec(train.shape, "vector", len(train), latent_dim=8))
    run = FirstSteps(seed=0, device=torch.device("cpu"))
    method.fit(model, train, run)
    return run.seconds


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_the_cost_of_a_step_does_not_grow_with_the_number_of_codes(optimiser: str, cost: Callable[..., float]) -> None:
    torch.set_num_threads(1)
    few, many = data(FEW), data(MANY)
    ratio = cost(lambda: seconds(many, optimiser), lambda: seconds(few, optimiser))
    print(f"\n{optimiser}: {MANY} codes cost {ratio:.2f} x the step of {FEW}; limit 1.30")
    assert ratio <= 1.3
