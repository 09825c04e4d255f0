"""The two losses of Figure 2 of the thesis, and the gradients they give, against their closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchsuite import DataSpec, NotApplicableError
from benchsuite.harness.registry import load_registry
from benchsuite.kit.gan import GANModel
from benchsuite.kit.nets import Affine
from benchsuite.kit.priors import NormalPrior

GRADIENTS = load_registry().get("metrics", "loss_gradients").compute
SPEC = DataSpec((1,), "vector", 10, latent_dim=1)


class Constant(nn.Module):
    """A discriminator with logit offset + x."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.offset + x).squeeze(1)


def model(offset: float) -> GANModel:
    decoder = Affine(1)
    with torch.no_grad():
        decoder.scale.fill_(1e-6)  # all samples at 0, but for nothing
    return GANModel(SPEC, NormalPrior(1), decoder, Constant(offset))


@pytest.mark.parametrize("offset", [-6.0, 0.0, 3.0])
def test_gradients_are_those_of_the_formulas(offset: float) -> None:
    """With all samples at one point, d / d mean is -D / 2 by eq. 4 and D - 1 by eq. 8; d / d scale is that times the
    mean of the codes."""
    score = GRADIENTS(model(offset), torch.Generator().manual_seed(0), codes=64)
    d = torch.tensor(offset, dtype=torch.float64).sigmoid()
    z = NormalPrior(1).sample(64, torch.Generator().manual_seed(0)).double()
    factor = float((1 + z.mean() ** 2).sqrt())
    assert score.value["eq4"] == pytest.approx(float(d) / 2 * factor, rel=1e-4)
    assert score.value["eq8"] == pytest.approx(float(1 - d) * factor, rel=1e-4)
    assert score.value["judged"] == pytest.approx(float(d), rel=1e-4)
    assert score.value["ratio"] == pytest.approx(float(2 * (1 - d) / d), rel=1e-4)


def test_curves_and_slopes_are_those_of_figure_2() -> None:
    score = GRADIENTS(model(0.0), torch.Generator().manual_seed(0))
    d = score.arrays["d"]
    torch.testing.assert_close(score.arrays["eq4"], 0.5 * (1 - d).log())
    torch.testing.assert_close(score.arrays["eq8"], -d.log())
    assert score.value["slope_eq4"] == pytest.approx(1 / (2 * 0.99)) and score.value["slope_eq8"] == pytest.approx(100)
    assert set(score.references) == {"slope_eq4", "slope_eq8"}


def test_what_is_no_gan_is_not_applicable() -> None:
    with pytest.raises(NotApplicableError, match="discriminator of samples"):
        GRADIENTS(nn.Linear(1, 1), torch.Generator())
