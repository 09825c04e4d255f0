"""The path of recovery is that of gradient descent as it is written down, and its sheet shows its stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchsuite import Model, NotApplicableError
from benchsuite.kit.priors import UniformPrior
from benchsuite.kit.search import Search
from benchsuite_plugins.metrics.recovery_path import benchsuite_metrics, recovery_path

D = 3


class Linear(Model):
    """x = 1/2 + z A^T, images of 4 x 4 pixels."""

    def __init__(self, images: bool = True) -> None:
        super().__init__()
        axes = torch.randn(16, D, generator=torch.Generator().manual_seed(1)) / 10
        self.register_buffer("axes", axes)
        self.prior, self.images = UniformPrior(D), images

    def decode(self, z: Tensor) -> Tensor:
        axes: Any = self.axes
        x: Tensor = 0.5 + z @ axes.T
        return x.view(-1, 1, 4, 4) if self.images else x

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def remembering() -> tuple[Callable[[str, Callable[[], Any]], Any], dict[str, Any]]:
    """The artefact ``shared``, and what was made by it."""
    made: dict[str, Any] = {}

    def shared(key: str, make: Callable[[], Any]) -> Any:
        made[key] = make()
        return made[key]

    return shared, made


@pytest.mark.parametrize("images", [4, 5])
def test_the_errors_are_those_of_gradient_descent(images: int) -> None:
    torch.manual_seed(0)
    shared, made = remembering()
    search = Search(solver="gradient_descent", momentum=0, learning_rate=2.0, steps=150)
    model = Linear()
    score = recovery_path(model, shared, seeded(), images=images, search=search)
    (task,) = made.values()
    z, errors, found = task.starts[0].clone(), [], []
    axes: Any = model.axes
    for _ in range(151):
        rest = (model.decode(z) - task.data).flatten(1)
        errors.append(rest.square().mean())
        found.append(torch.tensor(np.median((z - task.codes).square().mean(1).numpy())))
        z = z - 2.0 * 2 * rest @ axes / 16
    torch.testing.assert_close(score.arrays["mse"], torch.stack(errors).double(), rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(score.arrays["error"], torch.stack(found).double(), rtol=1e-3, atol=1e-9)
    assert isinstance(score.value, dict) and score.arrays["steps"].tolist() == list(range(151))
    for name, step in (("start", 0), ("early", 100), ("last", 150)):
        assert score.value[name] == pytest.approx(float(errors[step].sqrt()), rel=1e-3)
    assert score.value["error"] == pytest.approx(float(found[150]), rel=1e-3)


def test_the_sheet_has_originals_start_step_100_and_the_last_one() -> None:
    torch.manual_seed(0)
    shared, made = remembering()
    search = Search(solver="gradient_descent", momentum=0, learning_rate=10.0, steps=3000)
    model = Linear()
    score = recovery_path(model, shared, seeded(), images=5, search=search)
    (task,) = made.values()
    rows = score.pictures["stages"].view(4, 8, 1, 4, 4)
    torch.testing.assert_close(rows[0, :5], task.data)
    torch.testing.assert_close(rows[1, :5], model.decode(task.starts[0]))
    torch.testing.assert_close(rows[3, :5], task.data, atol=1e-3, rtol=0)
    assert bool((rows[:, 5:] == 1).all())
    assert not torch.allclose(rows[2, :5], rows[1, :5])


def test_paths_that_end_stay_where_they_ended() -> None:
    """BFGS drops codes that it cannot improve; the errors of all images are still there."""
    torch.manual_seed(0)
    shared, _ = remembering()
    score = recovery_path(Linear(), shared, seeded(), images=6)
    assert isinstance(score.value, dict) and score.value["last"] < 1e-4 < score.value["start"]
    assert len(score.arrays["mse"]) == len(score.arrays["steps"])


def test_vectors_are_refused_with_the_reason() -> None:
    shared, _ = remembering()
    with pytest.raises(NotApplicableError, match="for images"):
        recovery_path(Linear(images=False), shared, seeded())


def test_it_is_not_chosen_unasked() -> None:
    (metric,) = benchsuite_metrics()
    assert (metric.name, metric.direction, metric.default, metric.kind) == ("recovery_path", "none", False, "image")
