"""Curves of reconstruction are those that torch's RMSProp makes, and their sheets show what they say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from benchsuite import Model, NotApplicableError, Samples
from benchsuite.kit.coding import reversal_starts
from benchsuite.kit.priors import NormalPrior
from benchsuite_plugins.metrics.curves import benchsuite_metrics, reconstruction_curve

D = 3
REAL = Samples(torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)))


class Linear(Model):
    """x = 1/2 + z A^T, images of 4 x 4 pixels."""

    def __init__(self, seed: int, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("axes", scale * torch.randn(16, D, generator=torch.Generator().manual_seed(seed)))
        self.prior = NormalPrior(D)

    def decode(self, z: Tensor) -> Tensor:
        axes: Any = self.axes
        return (0.5 + z @ axes.T).view(-1, 1, 4, 4)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError


class WithoutDecoder(Model):
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def descended(model: Linear, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """By torch's RMSProp: the squared error after each step (steps + 1, n), and what codes decode to, (..., 4, 4)."""
    z = reversal_starts(model, len(x), seeded())[0].clone().requires_grad_()
    optimiser = torch.optim.RMSprop([z], lr=0.05)
    errors, images = [], []
    with torch.enable_grad():
        for _ in range(steps + 1):
            decoded = model.decode(z)
            each = (decoded - x).square().mean((1, 2, 3))
            errors.append(each.detach())
            images.append(decoded.detach())
            optimiser.zero_grad()
            each.sum().backward()
            optimiser.step()
    return torch.stack(errors), torch.stack(images)


@torch.no_grad()
def test_curves_are_those_of_rmsprop_on_the_trained_and_the_untrained_decoder() -> None:
    trained, untrained, x = Linear(1), Linear(2, 0.1), REAL[::10]
    score = reconstruction_curve(trained, untrained, REAL, seeded(), images=4, steps=120)
    assert score.n == 4 and score.arrays["steps"].tolist() == list(range(121))
    assert isinstance(score.value, dict)
    assert set(score.value) == {f"{name}.{step}" for name in ("trained", "untrained") for step in (5, 20, 100)}
    for name, model in (("trained", trained), ("untrained", untrained)):
        errors, _ = descended(model, x, 120)
        torch.testing.assert_close(score.arrays[name], errors.double().mean(1), rtol=1e-4, atol=1e-7)
        for step in (5, 20, 100):
            assert score.value[f"{name}.{step}"] == pytest.approx(float(-10 * errors[step].log10().mean()), abs=1e-3)
    # Once near the least error, steps of 0.05 stay as long as they are: the point after a step is not the best so far.
    assert float(score.arrays["trained"].diff().max()) > 0


@torch.no_grad()
def test_a_row_of_a_sheet_is_an_image_and_what_it_was_after_more_and_more_steps() -> None:
    trained, untrained, x = Linear(1), Linear(2, 0.1), REAL[::10]
    score = reconstruction_curve(trained, untrained, REAL, seeded(), images=4, steps=60)
    for name, model in (("trained", trained), ("untrained", untrained)):
        sheet, (_, images) = score.pictures[name].view(4, 8, 1, 4, 4), descended(model, x, 60)
        torch.testing.assert_close(sheet[:, 0], x)
        for column, step in enumerate((1, 5, 20, 50, 60, 60, 60), 1):
            torch.testing.assert_close(sheet[:, column], images[step].clamp(0, 1), rtol=0, atol=1e-4)


@torch.no_grad()
def test_the_default_goes_to_400_steps_of_16_images() -> None:
    score = reconstruction_curve(Linear(1), Linear(2), REAL, seeded())
    assert isinstance(score.value, dict) and "untrained.400" in score.value
    assert score.n == 16 and score.pictures["trained"].shape == (128, 1, 4, 4)


def test_what_cannot_be_reversed_is_refused_with_the_reason() -> None:
    model = Linear(1)
    with pytest.raises(NotApplicableError, match="pSNR is for images"):
        reconstruction_curve(model, model, Samples(torch.rand(4, 3)), seeded())
    with pytest.raises(NotApplicableError, match="no prior of codes"):
        reconstruction_curve(WithoutDecoder(), WithoutDecoder(), REAL, seeded())


def test_the_plugin_provides_a_metric_of_images_that_is_chosen_by_name_only() -> None:
    (metric,) = benchsuite_metrics()
    assert (metric.name, metric.direction, metric.unit, metric.kind) == ("reconstruction_curve", "none", "dB", "image")
    assert not metric.default
