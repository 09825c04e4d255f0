"""What the metrics of subproblems measure is what the paper's formulas say, on models where it can be worked out."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from made_up import seeded
from torch import Tensor, nn

from benchsuite import DataSpec, NotApplicableError, Samples
from benchsuite.harness.registry import load_registry
from benchsuite.kit.gan import GANModel
from benchsuite.kit.priors import NormalPrior

REGISTRY = load_registry()
UPDATE, EXAMPLES, KERNEL = (
    REGISTRY.get("metrics", name).compute for name in ("update_difference", "inverse_examples", "generator_kernel")
)
IMAGES = DataSpec((1, 16, 16), "image", 64, latent_dim=6)
VECTORS = DataSpec((2,), "vector", 64, latent_dim=2)


@pytest.fixture(scope="module")
def gan() -> GANModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: GANModel = REGISTRY.get("methods", "dcgan")(width=8).build(IMAGES)
        return model


def linear(bias: bool = True) -> GANModel:
    """x = B (z, 1) or B z, and a discriminator w x."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Flatten(0))
        return GANModel(VECTORS, NormalPrior(2), nn.Linear(2, 2, bias=bias), critic)


@pytest.mark.parametrize("inversion_rate", [0.1, 0.3, 0.9, 7.0])
def test_in_double_precision_the_split_step_is_the_standard_step(gan: GANModel, inversion_rate: float) -> None:
    rows = UPDATE(gan, seeded(), inversion_rate=inversion_rate)
    assert rows[""] < 1e-10 and rows["length"] == pytest.approx(1, abs=1e-10)


def test_in_single_precision_they_agree_to_a_thousandth(gan: GANModel) -> None:
    assert 0 < UPDATE(gan, seeded(), inversion_rate=0.1, precision="float32")[""] < 1e-3


def test_a_regression_rate_that_is_twice_as_high_is_a_step_twice_as_long(gan: GANModel) -> None:
    rows = UPDATE(gan, seeded(), learning_rate=0.1, inversion_rate=0.5, regression_rate=0.4)
    assert rows[""] == pytest.approx(1) and rows["length"] == pytest.approx(2)


def test_under_adam_the_step_is_longer_by_one_over_lambda_1_and_the_same_at_the_same_rate(gan: GANModel) -> None:
    adam: dict[str, Any] = {"optimiser": "adam", "inversion_rate": 0.1, "epsilon": 1e-30}
    assert UPDATE(gan, seeded(), **adam)["length"] == pytest.approx(10)
    assert UPDATE(gan, seeded(), **adam, regression_rate=2e-4)[""] < 1e-9


def test_a_mean_for_the_sum_shortens_the_step_by_half_of_the_numbers_in_a_batch(gan: GANModel) -> None:
    """torch's mse_loss is the mean of squares, delta_2 half their sum."""
    rows = UPDATE(gan, seeded(), reduction="mean", codes=8)
    assert rows["length"] == pytest.approx(2 / (8 * 16 * 16))


def test_another_regression_loss_is_another_step(gan: GANModel) -> None:
    assert UPDATE(gan, seeded(), regression_loss="l1")[""] > 0.1


def test_metrics_leave_the_model_as_it_was(gan: GANModel) -> None:
    before = copy.deepcopy(gan.state_dict())
    gan.eval()
    UPDATE(gan, seeded())
    EXAMPLES(gan, seeded())
    assert not gan.training
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())


def test_inverse_examples_of_a_linear_discriminator_are_what_the_formula_says() -> None:
    """x' = x + lambda_1 (1 - D(x)) w / N (appendix A, eq. 17), and a step of the generator moves x by lambda_2 times
    the sum over the batch of ((z, 1) . (z', 1)) (x' - x)."""
    model = linear()
    n, rate, second = 8, 0.7, 0.05
    score = EXAMPLES(model, seeded(), inversion_rate=rate, regression_rate=second, codes=n)
    z = model.prior.sample(n, seeded()).double()  # type: ignore[operator]
    weight, decoder = model.discriminator[0].weight.double(), model.decoder  # type: ignore[index, union-attr]
    x = z @ decoder.weight.double().T + decoder.bias.double()  # type: ignore[union-attr, operator]
    logits = (x @ weight.T).squeeze(1)
    change = (rate * (1 - logits.sigmoid())[:, None] * weight / n).detach()
    ones = torch.cat([z, torch.ones(n, 1, dtype=torch.float64)], 1)
    moved = (second * (ones @ ones.T) @ change).detach()
    for name, logit in (("sample", logits), ("inverse", ((x + change) @ weight.T)[:, 0])):
        torch.testing.assert_close(score.arrays[name].double(), logit, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(score.arrays["updated"].double(), ((x + moved) @ weight.T)[:, 0], rtol=1e-5, atol=1e-6)
    assert score.value["more_real"] == 1 and score.value["fake"] == float((logits < 0).double().mean())
    expected = float((moved * change).sum() / change.square().sum())
    assert score.value["approach"] == pytest.approx(expected, rel=1e-4)


def test_the_sheet_has_rows_of_samples_inverse_examples_updated_samples_and_both_changes(gan: GANModel) -> None:
    score = EXAMPLES(gan, seeded(), codes=16)
    sheet = score.pictures["steps"]
    assert sheet.shape == (40, 1, 16, 16) and float(sheet.min()) >= 0 and float(sheet.max()) <= 1
    train = copy.deepcopy(gan).train()
    with torch.no_grad():
        samples = train.decode(train.prior.sample(16, seeded()))  # type: ignore[operator]
    torch.testing.assert_close(sheet[:8], samples[:8])
    change = sheet[24:32] - 0.5  # zero is grey, the largest change black or white
    assert float(change.abs().max()) == pytest.approx(0.5, abs=1e-6)


def test_the_kernel_of_a_linear_generator_is_the_squared_length_times_the_identity() -> None:
    generated = Samples(torch.zeros(4, 2))
    score = KERNEL(linear(), generated, seeded(), codes=4000)
    assert score.value["from_length"] < 1e-12 and score.value["from_identity"] < 1e-12
    # Its expectation is d + 1; 4000 codes, seed 0, a standard error of sqrt(2 d / 4000) = 0.032.
    assert score.value["diagonal"] == pytest.approx(3, abs=0.16) and score.value["ideal"] == 3
    without = KERNEL(linear(bias=False), generated, seeded(), codes=100)
    assert without.value["from_length"] > 0.1  # |z|^2 without the 1 of the bias


def test_the_kernel_of_a_network_is_its_jacobian_times_the_transpose() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = REGISTRY.get("methods", "gan")(generator_hidden=(5,)).build(VECTORS)
    score = KERNEL(model, Samples(torch.zeros(4, 2)), seeded(), codes=3)
    decoder, traces = copy.deepcopy(model.decoder).double(), []
    for code in model.prior.sample(3, seeded()).double():
        out: Tensor = decoder(code[None])[0]
        rows = [torch.autograd.grad(y, list(decoder.parameters()), retain_graph=True) for y in out]
        jacobian = torch.stack([torch.cat([slope.flatten() for slope in row]) for row in rows])
        traces.append(float((jacobian @ jacobian.T).trace()) / 2)
    assert score.value["diagonal"] == pytest.approx(math.fsum(traces) / 3, rel=1e-9)


def test_what_does_not_apply_says_why(gan: GANModel) -> None:
    for compute in (UPDATE, EXAMPLES):
        with pytest.raises(NotApplicableError, match="discriminator of samples"):
            compute(nn.Linear(1, 1), seeded())
    with pytest.raises(NotApplicableError, match="at most 8 coordinates"):
        KERNEL(gan, Samples(torch.rand(4, 1, 16, 16)), seeded())
    with pytest.raises(NotApplicableError, match="no generator with parameters"):
        KERNEL(nn.Linear(1, 1), Samples(torch.zeros(4, 2)), seeded())
