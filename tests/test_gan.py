"""The GAN methods are the algorithms they are named after.

Weber (2021), eq. 13: a subproblem step with delta_2 = l2 and SGD is the standard generator step with the learning rate
lambda_1 lambda_2, for every loss. Here the whole of ``fit`` is compared, discriminator and batch norm included.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, ClassVar, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchsuite import DataSpec, ParameterError, Run, Samples
from benchsuite.harness.registry import load_registry
from benchsuite.kit.adversarial import LOSSES, LossName, gradient_penalty
from benchsuite.kit.gan import GANModel, dataloader_order

REGISTRY = load_registry()
DCGAN, SUBPROBLEM = (REGISTRY.get("methods", name) for name in ("dcgan", "subproblem_gan"))
NAMES: tuple[LossName, ...] = get_args(LossName)
BATCH = 16
RATE = 0.1
COMMON: dict[str, Any] = {
    "width": 8,
    "epochs": 1,
    "batch_size": BATCH,
    "optimiser": "sgd",
    "learning_rate": RATE,
    "discriminator_learning_rate": RATE,
}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """The same draws in every test."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def images(rows: int = BATCH) -> Samples:
    return Samples(torch.rand(rows, 1, 16, 16, generator=torch.Generator().manual_seed(5)))


class Double(Run):
    """A run in float64."""

    def prepare(self, net: nn.Module) -> Any:
        return super().prepare(net).double()

    def batches(self, *arguments: Any, **keywords: Any) -> Any:
        for batch in super().batches(*arguments, **keywords):
            yield type(batch)(batch.x.double(), batch.index, batch.labels)


def run(precision: str) -> Run:
    return (Double if precision == "float64" else Run)(seed=0, device=torch.device("cpu"))


def start(loss: LossName, confident: bool) -> GANModel:
    """Networks as they are initialised, or after the discriminator has learnt to tell that generator's samples."""
    spec = DataSpec((1, 16, 16), "image", BATCH, latent_dim=6)
    method = DCGAN(loss=loss, width=8)
    model: GANModel = method.build(spec)
    if confident:
        adam = torch.optim.Adam(model.discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
        real = model.signal(images()[:])
        for _ in range(60):
            adam.zero_grad()
            fake = model.decoder(model.draw(BATCH)).detach()
            method.discriminator_loss(model, real, fake).backward()
            adam.step()
    return model


def after_one_step(method: Any, model: GANModel, precision: str) -> dict[str, Tensor]:
    """The state after one batch: a step of the discriminator, then one of the generator."""
    model = copy.deepcopy(model)
    spec = DataSpec((1, 16, 16), "image", BATCH, latent_dim=6)
    trained = method.build(spec)
    trained.load_state_dict(model.state_dict(), strict=False)
    torch.manual_seed(3)
    method.fit(trained, images(), run(precision))
    return {key: value for key, value in trained.state_dict().items() if key in model.state_dict()}


def difference_of_the_steps(a: dict[str, Tensor], b: dict[str, Tensor], start: GANModel) -> float:
    """|step_a - step_b| / |step_b| of the generator's parameters."""
    names = [f"decoder.{name}" for name, _ in start.decoder.named_parameters()]
    before = start.state_dict()
    steps = [torch.cat([(state[n].double() - before[n].double()).flatten() for n in names]) for state in (a, b)]
    assert float(steps[1].norm()) > 0
    return float((steps[0] - steps[1]).norm() / steps[1].norm())


def buffers_differ(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return any(not torch.equal(a[key], b[key]) for key in a if "running" in key or "num_batches" in key)


def compare(loss: LossName, precision: str, confident: bool, inversion_rate: float, **settings: Any) -> float:
    common = COMMON | {"loss": loss, "final_rate": 1.0, **settings}
    model = start(loss, confident)
    regression = common["learning_rate"] if common["optimiser"] == "adam" else None
    standard = after_one_step(DCGAN(**common), model, precision)
    split = after_one_step(
        SUBPROBLEM(**common, inversion_rate=inversion_rate, regression_rate=regression), model, precision
    )
    assert not buffers_differ(standard, split)
    return difference_of_the_steps(split, standard, model)


@pytest.mark.parametrize("confident", [False, True], ids=["fresh", "confident"])
@pytest.mark.parametrize("loss", NAMES)
def test_the_subproblem_step_is_the_standard_step(loss: LossName, confident: bool) -> None:
    assert compare(loss, "float64", confident, inversion_rate=0.3) < 1e-10


@pytest.mark.parametrize("loss", ["kl", "pearson"])
def test_a_change_far_smaller_than_the_rounding_of_a_sample_is_not_lost(loss: LossName) -> None:
    """Losses whose gradient vanishes against a discriminator that is all but certain."""
    assert compare(loss, "float32", True, inversion_rate=1e-3) < 1e-3


@pytest.mark.parametrize("inversion_rate", [1e-3, 0.3, 10.0])
@pytest.mark.parametrize("loss", NAMES)
def test_in_single_precision_the_steps_agree_to_a_thousandth(loss: LossName, inversion_rate: float) -> None:
    assert compare(loss, "float32", False, inversion_rate) < 1e-3


@pytest.mark.parametrize("loss", NAMES)
def test_adam_makes_the_same_step_whatever_lambda_1_is(loss: LossName) -> None:
    settings = {"optimiser": "adam", "epsilon": 1e-30, "learning_rate": 2e-4}
    assert compare(loss, "float64", False, 0.3, **settings) < 1e-12


def test_with_adams_usual_epsilon_they_are_not_the_same() -> None:
    # Gradients of this size feel an epsilon of 1e-8: the reason why the test above takes it away.
    settings = {"optimiser": "adam", "epsilon": 1e-8, "learning_rate": 2e-4}
    assert compare("non_saturating", "float64", False, 0.3, **settings) > 1e-6


def test_several_standard_steps_agree_too() -> None:
    common = COMMON | {"epochs": 10}
    model = start("non_saturating", False)
    standard = after_one_step(DCGAN(**common), model, "float64")
    split = after_one_step(SUBPROBLEM(**common), model, "float64")
    assert difference_of_the_steps(split, standard, model) < 1e-9
    buffers = [key for key in standard if "running" in key]
    assert all(torch.allclose(standard[key], split[key], rtol=1e-9) for key in buffers)


@pytest.mark.parametrize(
    "wrong",
    [
        {"regression_loss": "l1"},
        {"regression_loss": "ssim"},
        {"inversion_rate": 0.5, "regression_rate": RATE},
        {"inversion_steps": 4, "inversion_rate": 50.0},
        {"regression_steps": 2},
        {"inversion_smoothness": 0.01},
        {"regression_smoothness": 1e-4},
        {"inversion_loss": "least_squares"},
        {"inversion_optimiser": "adam"},
        {"regression_optimiser": "rmsprop"},
    ],
    ids=str,
)
def test_every_other_choice_is_another_step(wrong: dict[str, Any]) -> None:
    """What the subproblems add to GAN training does something; and the tests above could have failed."""
    model = start("non_saturating", False)
    standard = after_one_step(DCGAN(**COMMON), model, "float64")
    other = after_one_step(SUBPROBLEM(**COMMON, **wrong), model, "float64")
    assert difference_of_the_steps(other, standard, model) > 1e-6


def inverse_examples(**settings: Any) -> tuple[GANModel, Tensor, Tensor]:
    method = SUBPROBLEM(width=8, **settings)
    model = method.build(DataSpec((1, 16, 16), "image", BATCH, latent_dim=6)).double()
    fake = model.decoder(model.draw(BATCH).double()).detach()
    return model, fake, fake + method.invert(model, fake, run("float64"))


def test_inverse_examples_are_gradient_steps_from_the_samples() -> None:
    model, fake, examples = inverse_examples(inversion_rate=3.0, loss="hinge")
    x = fake.clone().requires_grad_()
    (slope,) = torch.autograd.grad(-model.discriminator(x).mean(), x)
    torch.testing.assert_close(examples, fake - 3.0 * slope, rtol=1e-12, atol=1e-15)


def test_more_inversion_steps_are_shorter_ones() -> None:
    _, fake, one = inverse_examples(inversion_rate=1.0)
    torch.manual_seed(0)
    _, _, five = inverse_examples(inversion_rate=1.0, inversion_steps=5)
    ratio = float((five - fake).norm() / (one - fake).norm())
    assert 0.8 < ratio < 1.25  # divided by their number, five steps go about as far as one


def test_smoothing_lowers_the_total_variation_of_inverse_examples() -> None:
    def variation(x: Tensor) -> float:
        return float(x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum())

    _, fake, rough = inverse_examples(inversion_rate=1.0)
    torch.manual_seed(0)
    _, _, smooth = inverse_examples(inversion_rate=1.0, inversion_smoothness=0.05)
    assert variation(smooth) < variation(rough)
    assert variation(smooth) < variation(fake)


class Watching(SUBPROBLEM):  # type: ignore[valid-type, misc]
    """Notes lambda_2 and how far the inversion went, under a discriminator that stays as it is."""

    seen: ClassVar[list[tuple[float, float]]] = []

    def discriminator_loss(self, model: Any, real: Tensor, fake: Tensor) -> Tensor:
        return 0 * super().discriminator_loss(model, real, fake)

    def generator_step(self, model: Any, optimiser: Any, z: Tensor, fake: Tensor, run: Run) -> None:
        torch.manual_seed(0)
        change = self.invert(model, torch.randn(fake.shape), run)
        super().generator_step(model, optimiser, z, fake, run)
        self.seen.append((optimiser.param_groups[0]["lr"], float(change.norm())))


@pytest.mark.parametrize(
    ("schedule", "done"), [("linear", (0, 0.25, 0.5, 0.75)), ("cosine", (0, 0.14645, 0.5, 0.85355))], ids=str
)
def test_rates_go_by_their_schedules(schedule: Any, done: tuple[float, ...]) -> None:
    """lambda_1 to three times its value, lambda_2 to a tenth, the discriminator's rate as ever."""
    Watching.seen.clear()
    method = Watching(
        width=4,
        epochs=4,
        batch_size=BATCH,
        learning_rate=0.2,
        inversion_rate=0.5,
        inversion_final=3.0,
        inversion_schedule=schedule,
        regression_final=0.1,
        regression_schedule=schedule,
        norm="none",
    )
    method.fit(method.build(DataSpec((1, 16, 16), "image", BATCH, latent_dim=2)), images(), run("float32"))
    rates, changes = zip(*Watching.seen, strict=True)
    assert list(rates) == pytest.approx([0.4 * (1 - 0.9 * f) for f in done], rel=1e-4)
    assert [change / changes[0] for change in changes] == pytest.approx([1 + 2 * f for f in done], rel=1e-3)


def test_inverse_examples_are_kept_for_a_picture_where_that_is_asked_for() -> None:
    spec = DataSpec((1, 16, 16), "image", BATCH, latent_dim=2)
    settings = {"width": 4, "epochs": 1, "batch_size": BATCH}
    silent, keeping = SUBPROBLEM(**settings), SUBPROBLEM(**settings, keep_inverse_examples=True)
    plain, kept = silent.build(spec), keeping.build(spec)
    kept.decoder.load_state_dict(plain.decoder.state_dict())
    kept.discriminator.load_state_dict(plain.discriminator.state_dict())
    for method, model in ((silent, plain), (keeping, kept)):
        torch.manual_seed(1)
        method.fit(model, images(), run("float32"))
    assert plain.pictures() == {}
    sheet = kept.pictures()["inverse_examples"]
    assert (
        int(kept.kept) == 8 and sheet.shape == (24, 1, 16, 16) and float(sheet.min()) >= 0 and float(sheet.max()) <= 1
    )
    assert not torch.equal(sheet[:8], sheet[8:16])
    assert float((sheet[16:] - 0.5).abs().max()) == pytest.approx(0.5)  # the difference fills the range
    torch.testing.assert_close(plain.decoder.state_dict(), kept.decoder.state_dict())


def test_a_last_batch_that_is_small_leaves_no_rows_of_others_in_the_picture() -> None:
    method = SUBPROBLEM(width=4, epochs=1, batch_size=10, keep_inverse_examples=True)
    model = method.build(DataSpec((1, 16, 16), "image", 13, latent_dim=2))
    assert model.pictures() == {}
    method.fit(model, images(13), run("float32"))
    assert int(model.kept) == 3
    assert float(model.samples[3:].abs().max()) == 0 < float(model.samples[:3].abs().max())


# Weber (2021), appendix A: a linear generator, a logistic discriminator.


def test_a_linear_generator_aligns_means_and_cannot_align_covariances() -> None:
    torch.manual_seed(1)
    mean, covariance = torch.tensor([2.0, -1.0]), torch.tensor([[1.0, 0.6], [0.6, 0.8]])
    factor = torch.linalg.cholesky(covariance)
    matrix, weight = torch.eye(2, 3) * 0.3, torch.zeros(2)  # x = B (z, 1); no bias in the discriminator
    averaged = torch.zeros(2, 3)
    steps, rate = 4000, 0.05
    for step in range(steps):
        real = mean + torch.randn(256, 2) @ factor.T
        z = torch.cat([torch.randn(256, 2), torch.ones(256, 1)], 1)
        fake = z @ matrix.T
        weight.requires_grad_()
        loss = LOSSES["non_saturating"].discriminator(real @ weight, fake @ weight)
        weight = (weight - rate * torch.autograd.grad(loss, weight)[0]).detach()
        # The explicit subproblems: inverse examples with lambda_1 = 1, regression on half the sum of squares.
        x = fake.clone().requires_grad_()
        (slope,) = torch.autograd.grad(LOSSES["non_saturating"].generator(x @ weight).mean(), x)
        examples = fake - slope
        matrix = matrix - rate * (fake - examples).T @ z
        if step >= steps - 1000:
            averaged += matrix / 1000
    assert float((averaged[:, 2] - mean).abs().max()) < 0.02
    found = averaged[:, :2] @ averaged[:, :2].T
    assert float((found - covariance).norm() / covariance.norm()) > 0.5


def test_the_inductive_bias_of_a_linear_generator_is_the_identity_times_the_squared_length() -> None:
    """K = J J^T (eq. 21) of x = B (z, 1) is |(z, 1)|^2 I, whose mean for a standard normal z is d + 1."""
    d = 4
    codes = torch.cat([torch.randn(4000, d, dtype=torch.float64), torch.ones(4000, 1, dtype=torch.float64)], 1)
    matrix = torch.randn(d, d + 1, dtype=torch.float64)
    for z in codes[:20]:
        jacobian = torch.func.jacrev(torch.mv)(matrix, z).flatten(1)
        torch.testing.assert_close(jacobian @ jacobian.T, z.square().sum() * torch.eye(d, dtype=torch.float64))
    # Seed 0; the standard error is sqrt(2 d / 4000) = 0.045.
    assert float(codes.square().sum(1).mean()) == pytest.approx(d + 1, abs=5 * 0.045)


# The PyTorch DCGAN tutorial, transcribed: its order of draws, its losses, its step.


def the_tutorial(data: Tensor, epochs: int, width: int, latent_dim: int) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(999)
    loader = DataLoader(TensorDataset(data), batch_size=BATCH, shuffle=True)
    next(iter(loader))

    def weights(module: nn.Module) -> None:
        kind = type(module).__name__
        if "Conv" in kind:
            nn.init.normal_(module.weight.data, 0.0, 0.02)  # type: ignore[arg-type, union-attr]
        elif "BatchNorm" in kind:
            nn.init.normal_(module.weight.data, 1.0, 0.02)  # type: ignore[arg-type, union-attr]
            nn.init.constant_(module.bias.data, 0)  # type: ignore[arg-type, union-attr]

    generator = nn.Sequential(
        nn.ConvTranspose2d(latent_dim, width * 2, 4, 1, 0, bias=False),
        nn.BatchNorm2d(width * 2),
        nn.ReLU(True),
        nn.ConvTranspose2d(width * 2, width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(True),
        nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    generator.apply(weights)
    discriminator = nn.Sequential(
        nn.Conv2d(1, width, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(width, width * 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width * 2),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(width * 2, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )
    discriminator.apply(weights)
    criterion = nn.BCELoss()
    torch.randn(64, latent_dim, 1, 1)
    adams = [torch.optim.Adam(n.parameters(), lr=0.0002, betas=(0.5, 0.999)) for n in (discriminator, generator)]
    for _ in range(epochs):
        for (x,) in loader:
            discriminator.zero_grad()
            label = torch.ones(len(x))
            criterion(discriminator(x * 2 - 1).view(-1), label).backward()
            fake = generator(torch.randn(len(x), latent_dim, 1, 1))
            label.fill_(0.0)
            criterion(discriminator(fake.detach()).view(-1), label).backward()
            adams[0].step()
            generator.zero_grad()
            label.fill_(1.0)
            criterion(discriminator(fake).view(-1), label).backward()
            adams[1].step()
    return generator, discriminator


def test_the_tutorial_preset_is_the_tutorial() -> None:
    """At its seed, with a last batch that is not full. Weights are compared after 6 steps of 2e-4 each, at most
    1.2e-3 in all, so that one draw in another order would show; cross entropy of logits rounds differently."""
    data = images(40)
    expected = the_tutorial(data[:], epochs=2, width=8, latent_dim=5)
    torch.manual_seed(999)
    method = DCGAN.preset("tutorial", epochs=2, width=8, batch_size=BATCH, latent_dim=5)
    model = method.build(DataSpec((1, 16, 16), "image", 40, latent_dim=5))
    method.fit(model, data, Run(seed=999, device=torch.device("cpu")))
    for net, reference in zip((model.decoder, model.discriminator), expected, strict=True):
        for found, wanted in zip(net.state_dict().values(), reference.state_dict().values(), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("rows", [1, 16, 1000])
def test_rows_are_shuffled_as_by_a_dataloader(rows: int) -> None:
    torch.manual_seed(4)
    loader = DataLoader(TensorDataset(torch.arange(rows)), batch_size=7, shuffle=True)
    expected = [torch.cat([x for (x,) in loader]) for _ in range(2)]
    torch.manual_seed(4)
    assert [dataloader_order(rows).tolist() for _ in range(2)] == [order.tolist() for order in expected]


def test_the_tutorials_order_survives_an_interruption(tmp_path: Any) -> None:
    def trained(**keywords: Any) -> dict[str, Tensor]:
        torch.manual_seed(9)
        method = DCGAN.preset("tutorial", epochs=2, width=4, batch_size=BATCH, latent_dim=3)
        model = method.build(DataSpec((1, 16, 16), "image", 70, latent_dim=3))
        method.fit(model, images(70), Cutting(seed=9, device=torch.device("cpu"), **keywords))
        return model.state_dict()  # type: ignore[no-any-return]

    class Cutting(Run):
        cut_at: int | None = None

        def step(self, *arguments: Any, **keywords: Any) -> None:
            super().step(*arguments, **keywords)
            if self.steps == self.cut_at:
                raise InterruptedError

    whole = trained()
    for Cutting.cut_at in (2, 5, 7):  # in the first pass, at the turn, in the second
        checkpoint = {"checkpoint": tmp_path / f"{Cutting.cut_at}.pt", "checkpoint_seconds": 0.0}
        with pytest.raises(InterruptedError):
            trained(**checkpoint)
        cut, Cutting.cut_at = Cutting.cut_at, None
        resumed = trained(**checkpoint)
        assert all(torch.equal(whole[key], resumed[key]) for key in whole), cut


# The knobs that the papers vary.


def test_presets_are_what_their_papers_state() -> None:
    weber = SUBPROBLEM.preset("hidden_tasks")
    assert weber.regression_rate is None and weber.learning_rate / weber.inversion_rate == pytest.approx(8e-4)
    flexible = DCGAN.preset("flexible_priors")
    assert (flexible.optimiser, flexible.learning_rate, flexible.latent_dim, flexible.batch_size) == (
        "rmsprop",
        3e-4,
        20,
        100,
    )
    model = flexible.build(DataSpec((3, 64, 64), "image", 1000, latent_dim=20))
    convolutions = [m for m in model.discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [512, 256, 128, 64, 1]
    grown = [m for m in model.decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in grown] == [512, 256, 128, 64, 3]
    lipton = DCGAN.preset("lipton")
    assert (lipton.prior, lipton.latent_dim, lipton.generator_steps) == ("uniform", 100, 2)


def test_what_is_given_beside_a_preset_wins() -> None:
    assert DCGAN.preset("tutorial", epochs=1).epochs == 1
    assert DCGAN.preset("tutorial").epochs == 5


class Counting(Run):
    """Counts the optimisers' steps by name."""

    def __init__(self) -> None:
        super().__init__(seed=0, device=torch.device("cpu"))
        self.counted: list[str] = []

    def step(self, optimiser: torch.optim.Optimizer, loss: Tensor, name: str = "loss") -> None:
        super().step(optimiser, loss, name)
        self.counted.append(name[0])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "dgdgdgdg"),
        ({"discriminator_steps": 2}, "ddgddg"),
        ({"generator_steps": 2}, "dggdggdggdgg"),
        ({"warm_up": 2}, "dddgdg"),
        ({"warm_up": 1, "discriminator_steps": 2, "generator_steps": 2}, "ddggddgg"),
    ],
    ids=str,
)
def test_steps_alternate_as_asked_for(settings: dict[str, int], expected: str) -> None:
    counting = Counting()
    method = DCGAN(width=4, epochs=2, batch_size=8, **settings)
    method.fit(method.build(DataSpec((1, 16, 16), "image", BATCH, latent_dim=2)), images(), counting)
    assert "".join(counting.counted) == expected


def test_a_gradient_penalty_is_added_with_its_weight_and_needs_no_batch_norm() -> None:
    def loss(**settings: Any) -> tuple[nn.Module, float]:
        torch.manual_seed(0)
        method = DCGAN(width=8, norm="none", **settings)
        model = method.build(DataSpec((1, 16, 16), "image", BATCH, latent_dim=2))
        fake = model.decoder(model.draw(BATCH)).detach()
        torch.manual_seed(1)
        return model, method.discriminator_loss(model, model.signal(images()[:]), fake).item()

    model, plain = loss(loss="wasserstein", gradient_penalty=0)
    torch.manual_seed(0)
    fake = DCGAN(width=8, norm="none").build(DataSpec((1, 16, 16), "image", BATCH, 2))
    fake = fake.decoder(fake.draw(BATCH)).detach()
    torch.manual_seed(1)
    penalty = gradient_penalty(model.discriminator, [model.signal(images()[:])], [fake]).item()
    assert loss(loss="wasserstein")[1] == pytest.approx(plain + 10 * penalty)  # the loss's own weight
    assert loss(loss="wasserstein", gradient_penalty=3)[1] == pytest.approx(plain + 3 * penalty)
    for settings, batch_norms in (({"loss": "wasserstein"}, 0), ({}, 1), ({"gradient_penalty": 1.0}, 0)):
        built = DCGAN(width=8, **settings).build(DataSpec((1, 16, 16), "image", BATCH, 2))
        assert sum(isinstance(m, nn.BatchNorm2d) for m in built.discriminator.modules()) == batch_norms


def test_each_side_learns_at_its_own_rate() -> None:
    def moved(**rates: float) -> list[float]:
        torch.manual_seed(0)
        method = DCGAN(width=4, epochs=1, batch_size=BATCH, optimiser="sgd", final_rate=1.0, **rates)
        model = method.build(DataSpec((1, 16, 16), "image", BATCH, latent_dim=2))
        before = copy.deepcopy(model)
        method.fit(model, images(), run("float32"))
        pairs = [(model.decoder, before.decoder), (model.discriminator, before.discriminator)]
        return [
            sum(float((p - q).detach().square().sum()) for p, q in zip(a.parameters(), b.parameters(), strict=True))
            ** 0.5
            for a, b in pairs
        ]

    slow = moved(learning_rate=1e-3, discriminator_learning_rate=1e-3)
    fast = moved(learning_rate=1e-3, discriminator_learning_rate=4e-3)
    assert fast[1] / slow[1] == pytest.approx(4, rel=1e-2)
    assert fast[0] / slow[0] == pytest.approx(1, rel=0.2)  # not quite: the generator sees another discriminator


def test_a_generator_that_would_never_learn_is_refused_before_training() -> None:
    for settings in ({"warm_up": 2}, {"discriminator_steps": 3}, {"warm_up": 1, "discriminator_steps": 2}):
        method = DCGAN(width=4, epochs=1, batch_size=8, **settings)
        model = method.build(DataSpec((1, 16, 16), "image", BATCH, latent_dim=2))
        if settings == {"warm_up": 1, "discriminator_steps": 2}:
            method.fit(model, images(), run("float32"))  # two batches: the second is the generator's
            continue
        with pytest.raises(ParameterError, match="leave the generator no step in 2 batches"):
            method.fit(model, images(), run("float32"))


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("regression_loss", ["l2", "ssim"])
def test_every_loss_trains_in_half_precision(loss: LossName, regression_loss: str) -> None:
    method = SUBPROBLEM(loss=loss, regression_loss=regression_loss, width=8, epochs=2, batch_size=BATCH)
    model = method.build(DataSpec((1, 16, 16), "image", BATCH, latent_dim=2))
    before = copy.deepcopy(model.decoder.state_dict())
    half = Run(seed=0, device=torch.device("cpu"), precision="bf16")
    method.fit(model, images(), half)
    half.close()
    assert any(not torch.equal(before[key], value) for key, value in model.decoder.state_dict().items())


def test_weight_decay_shrinks_the_weights() -> None:
    def size(weight_decay: float) -> float:
        torch.manual_seed(0)
        method = DCGAN(width=4, epochs=5, batch_size=8, optimiser="sgd", learning_rate=0.1, weight_decay=weight_decay)
        model = method.build(DataSpec((1, 16, 16), "image", BATCH, latent_dim=2))
        method.fit(model, images(), run("float32"))
        return sum(float(p.detach().square().sum()) for p in model.parameters())

    assert size(0.5) < 0.9 * size(0.0)


# A GAN of a stranger's own, and the fully connected one.


def test_a_subclass_trains_by_its_own_f_divergence() -> None:
    """Squared Hellinger by its formulas is what the generator's step descends."""
    from dataclasses import dataclass

    from benchsuite.kit.adversarial import AdversarialLoss, f_divergence
    from benchsuite.kit.gan import ConvGAN

    hellinger = f_divergence(lambda u: (u.sqrt() - 1) ** 2, lambda u: 1 - u**-0.5, lambda t: t / (1 - t))

    @dataclass(frozen=True)
    class Hellinger(ConvGAN):
        name = "hellinger_gan"

        @property
        def objective(self) -> AdversarialLoss:
            return hellinger

    model = start("non_saturating", False)
    own = after_one_step(Hellinger(**COMMON), model, "float64")
    other = after_one_step(DCGAN(**COMMON), model, "float64")
    assert difference_of_the_steps(own, other, model) > 0.01
    # Where u is near 1, f'' (1) / 2 (u - 1)^2 is all there is of any f-divergence: steps are parallel to kl's.
    kl = after_one_step(DCGAN(**COMMON, loss="kl"), model, "float64")
    names = [f"decoder.{name}" for name, _ in model.decoder.named_parameters()]
    before = model.state_dict()
    a, b = (torch.cat([(s[n] - before[n]).flatten().double() for n in names]) for s in (own, kl))
    assert float(torch.cosine_similarity(a, b, dim=0)) > 0.9


def test_the_affine_generator_is_mean_plus_scale_z_and_starts_in_its_intervals() -> None:
    gan = REGISTRY.get("methods", "gan")
    starts = []
    for seed in range(50):
        torch.manual_seed(seed)
        method = gan(generator="affine", start_mean=(3.0, 4.0), start_scale=(0.5, 0.5))
        net = method.build(DataSpec((1,), "vector", 10, latent_dim=1)).decoder
        z = torch.randn(4, 1)
        torch.testing.assert_close(net(z), net.mean + net.scale * z)
        assert float(net.scale.detach()) == 0.5
        starts.append(float(net.mean.detach()))
    assert 3 <= min(starts) < 3.1 and 3.9 < max(starts) <= 4


@pytest.mark.parametrize(
    ("shape", "kind", "latent_dim"), [((2,), "vector", 1), ((1, 16, 16), "image", 256)], ids=["codes", "images"]
)
def test_an_affine_generator_of_anything_else_is_refused(shape: tuple[int, ...], kind: Any, latent_dim: int) -> None:
    gan = REGISTRY.get("methods", "gan")
    with pytest.raises(ParameterError, match="affine is for vectors with as many coordinates as codes; got"):
        gan(generator="affine").build(DataSpec(shape, kind, 10, latent_dim))


def test_the_toy_example_is_a_whole_matrix_against_a_weighted_sum() -> None:
    """Weber (2021), appendix A: x = B (z, 1), and w x without a bias."""
    spec = DataSpec((2,), "vector", 10, latent_dim=3)
    model = REGISTRY.get("methods", "gan")(generator="linear", discriminator="logistic").build(spec)
    assert [tuple(p.shape) for p in model.decoder.parameters()] == [(2, 3), (2,)]
    (weight,) = model.discriminator.parameters()
    x = torch.randn(5, 2)
    torch.testing.assert_close(model.discriminator(x), x @ weight[0])
    images = REGISTRY.get("methods", "gan")(generator="linear").build(DataSpec((1, 16, 16), "image", 10, latent_dim=3))
    assert images.sample(4, torch.Generator().manual_seed(0)).shape == (4, 1, 16, 16)


def test_a_start_that_the_generator_would_not_take_is_refused() -> None:
    gan = REGISTRY.get("methods", "gan")
    for settings in ({"start_mean": (3.0, 4.0)}, {"start_scale": (0.5, 0.5)}):
        with pytest.raises(ParameterError, match="is for generator=affine; got generator=mlp"):
            gan(**settings)


def test_more_layers_than_the_images_have_room_for_are_refused() -> None:
    with pytest.raises(ParameterError, match="5 stride-2 layers .* are not allowed.*room for at most 4"):
        DCGAN(depth=5).build(DataSpec((1, 16, 16), "image", 10, 2))
    model = DCGAN(depth=4, width=4, kernel_size=5).build(DataSpec((1, 16, 16), "image", 10, 2))
    assert model.decoder(torch.randn(3, 2)).shape == (3, 1, 16, 16)


def test_image_losses_on_vectors_are_refused() -> None:
    wanted: list[dict[str, Any]] = [{"regression_loss": "ssim"}, {"inversion_smoothness": 0.1}]
    for settings in (*wanted, {"regression_smoothness": 0.1}, {"keep_inverse_examples": True}):
        with pytest.raises(ParameterError, match=f"{next(iter(settings))}.* needs images; got vectors"):
            SUBPROBLEM(**settings).build(DataSpec((3,), "vector", 10, 2))
