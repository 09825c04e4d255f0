"""GLO keeps its codes where they belong, moves no others, at a rate of their own, and never holds all the data.

Data are of 8 px or vectors, drawn with seed 5; fits have seed 0.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchsuite import DataSpec, Model, ParameterError, Run, Samples
from benchsuite.kit.priors import GaussianPrior, MixturePrior
from benchsuite.kit.pyramid import laplacian_pyramid
from benchsuite.kit.training import Batch
from benchsuite_plugins.methods.glo import GLO, GLOModel

ROWS = 33


def pictures(rows: int = ROWS, channels: int = 1) -> Samples:
    generator = torch.Generator().manual_seed(5)
    return Samples(torch.randint(256, (rows, channels, 8, 8), generator=generator).to(torch.uint8))


def vectors(rows: int = ROWS, d: int = 6) -> Samples:
    return Samples(torch.randn(rows, d, generator=torch.Generator().manual_seed(5)))


def small(**given: Any) -> GLO:
    return GLO(**{"epochs": 2, "batch_size": 8, "width": 4, **given})


def spec_of(train: Samples, latent_dim: int = 3) -> DataSpec:
    return DataSpec(train.shape, train.kind, len(train), latent_dim=latent_dim)


def fit(method: GLO, train: Samples, run: Run | None = None, model: GLOModel | None = None) -> GLOModel:
    """``method`` fitted with seed 0, in evaluation mode."""
    torch.manual_seed(0)
    model = model or method.build(spec_of(train))
    method.fit(model, train, run or Run(seed=0, device=torch.device("cpu")))
    return model.eval()


def draw(model: Model, n: int = 20) -> Tensor:
    with torch.no_grad():
        return model.sample(n, torch.Generator().manual_seed(1))


class Watching(Run):
    """A run that calls ``look(batch, codes before it, codes after it)`` for every batch."""

    def __init__(self, model: GLOModel, look: Callable[[Batch, Tensor, Tensor], None]) -> None:
        super().__init__(seed=0, device=torch.device("cpu"))
        self.model, self.look = model, look

    def batches(self, *arguments: Any, **keywords: Any) -> Iterator[Batch]:
        for batch in super().batches(*arguments, **keywords):
            before = self.model.codes.clone()
            yield batch
            self.look(batch, before, self.model.codes.clone())


class Steady(Run):
    """A run whose learning rates stay as they are, whatever share of the batches is done."""

    def decay_factor(self, *arguments: Any, **keywords: Any) -> float:
        return 1.0


CHOICES = {
    "loss": ("mse", "lap1", "l2_lap1"),
    "optimiser": ("adam", "sgd"),
    "init": ("pca", "gaussian"),
    "space": ("ball", "sphere"),
    "prior": ("gaussian", "isotropic", "mixture"),
}


@pytest.mark.parametrize("values", list(itertools.product(*CHOICES.values())), ids="-".join)
def test_every_combination_trains_and_draws(values: tuple[str, ...]) -> None:
    chosen = dict(zip(CHOICES, values, strict=True))
    model = fit(small(epochs=1, **chosen), pictures(17, channels=3))
    x = draw(model)
    assert x.shape == (20, 3, 8, 8) and bool(x.isfinite().all()) and 0 <= float(x.min()) <= float(x.max()) <= 1
    norms = model.codes.norm(dim=1)
    assert bool(model.codes.isfinite().all()) and float(norms.max()) <= 1 + 1e-6
    assert chosen["space"] == "ball" or float(norms.min()) >= 1 - 1e-6


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("space", ["ball", "sphere"])
@pytest.mark.parametrize("init", ["pca", "gaussian"])
def test_codes_are_in_their_space_after_every_step(optimiser: Any, space: Any, init: Any) -> None:
    method, train = small(optimiser=optimiser, space=space, init=init, code_learning_rate=3000.0), pictures()
    model = method.build(spec_of(train))
    seen = []

    def look(batch: Batch, before: Tensor, after: Tensor) -> None:
        for codes in (before, after):
            norms = codes.double().norm(dim=1)
            assert float(norms.max()) <= 1 + 1e-6
            assert space == "ball" or float(norms.min()) >= 1 - 1e-6
        moved = (after[batch.index] - before[batch.index]).norm(dim=1)
        seen.append(float(moved.max()))

    fit(method, train, Watching(model, look), model)
    assert len(seen) == 8 and min(seen) > 0.1  # steps so long that without projection codes would have left


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("space", ["ball", "sphere"])
def test_codes_of_other_rows_keep_every_bit(optimiser: Any, space: Any) -> None:
    method, train = small(optimiser=optimiser, space=space, epochs=3), pictures()
    model = method.build(spec_of(train))

    def look(batch: Batch, before: Tensor, after: Tensor) -> None:
        others = torch.ones(ROWS, dtype=torch.bool)
        others[batch.index] = False
        assert int(others.sum()) == ROWS - len(batch.index) > 0
        assert torch.equal(before[others], after[others])
        assert bool((before[batch.index] != after[batch.index]).any(1).all())

    fit(method, train, Watching(model, look), model)


@pytest.mark.parametrize(("optimiser", "slope"), [("sgd", 1.0), ("adam", 1.0), ("adam", 1e-7)])
@pytest.mark.parametrize("space", ["ball", "sphere"])
def test_a_codes_path_does_not_depend_on_how_many_share_its_batch(optimiser: Any, slope: float, space: Any) -> None:
    """With a decoder that stands still, so that codes are all that learns; last batches are smaller, or one larger.

    A decoder of ``slope`` 1e-7 has gradients as small as the epsilon of Adam, which would bring the batch size in.
    """
    train = vectors(100)

    def path(batch_size: int) -> list[Tensor]:
        codes = []
        for epochs in range(4):
            method = small(
                optimiser=optimiser, space=space, epochs=epochs, batch_size=batch_size, learning_rate=1e-30, width=16
            )
            torch.manual_seed(0)
            model = method.build(spec_of(train))
            with torch.no_grad():
                model.decoder[-1].weight.mul_(slope)
            codes.append(fit(method, train, Steady(seed=0, device=torch.device("cpu")), model).codes)
        return codes

    alone = path(1)
    assert all(float((after - before).norm(dim=1).min()) > 1e-4 for before, after in itertools.pairwise(alone))
    for batch_size in (3, 32, 64, 67, 99, 100):
        for found, expected in zip(path(batch_size), alone, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_the_code_rate_of_sgd_is_that_of_a_loss_averaged_over_64_rows() -> None:
    """One step of all rows by hand, by autograd through the mean over numbers and 64 rows."""
    train = vectors(64)
    method = small(optimiser="sgd", epochs=1, batch_size=64, learning_rate=1e-30, code_learning_rate=0.5)
    model = fit(method, train)
    z = fit(small(epochs=0), train).codes.requires_grad_()
    loss = (model.decoder(z) - train[:]).square().mean()
    (gradient,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(model.codes, model.project(z.detach() - 0.5 * gradient), rtol=0, atol=1e-6)


def test_the_papers_rates_are_those_of_sgd() -> None:
    assert GLO(optimiser="sgd").learning_rates() == (1.0, 10.0)
    assert GLO.preset("paper").learning_rates() == (1.0, 10.0)
    assert GLO.preset("paper", code_learning_rate=3).learning_rates() == (1.0, 3.0)
    assert GLO().batch_size == 64


def test_presets_state_what_the_paper_does() -> None:
    """Section 4, "Implementation details" and "Baselines and datasets"."""
    stated = {
        name: (preset.optimiser, preset.loss, preset.init, preset.latent_dim, preset.space, preset.prior)
        for name, preset in ((name, GLO.preset(name)) for name in GLO.presets)
    }
    assert stated == {
        "paper": ("sgd", "l2_lap1", "gaussian", None, "ball", "gaussian"),
        "mnist": ("sgd", "mse", "gaussian", 32, "ball", "gaussian"),
        "svhn": ("sgd", "l2_lap1", "gaussian", 64, "ball", "gaussian"),
        "celeba": ("sgd", "l2_lap1", "gaussian", 256, "ball", "gaussian"),
        "lsun": ("sgd", "l2_lap1", "pca", 256, "ball", "gaussian"),
        "adam": ("adam", "mse", "pca", None, "ball", "gaussian"),
    }
    adam = GLO.preset("adam")
    assert (adam.optimiser, adam.init, adam.learning_rates()) == (GLO().optimiser, GLO().init, GLO().learning_rates())


def test_losses_are_what_they_are_called() -> None:
    """x_hat is x + 0.5 in each of 64 pixels, and in the second image - 1 in the upper left one besides."""
    x = torch.zeros(2, 1, 8, 8)
    x_hat = x + 0.5
    x_hat[1, 0, 0, 0] = -0.5
    mse = (127 * 0.25 + 0.25) / 128
    # Of the constant only the last band is left, 4 x 4 of 0.5; the one pixel is one of its own two bands.
    spike = torch.zeros(1, 1, 8, 8)
    spike[0, 0, 0, 0] = -1
    fine, coarse = laplacian_pyramid(spike)
    second = {base: (float(fine.abs().sum()) + base * float((coarse + 0.5).abs().sum())) / 64 for base in (4, 0.25)}
    lap1 = {base: (base * 16 * 0.5 / 64 + second[base]) / 2 for base in (4, 0.25)}
    expected = {
        GLO(): mse,
        GLO(loss="lap1"): lap1[4],
        GLO(loss="lap1", level_weights="fine"): lap1[0.25],
        GLO(loss="l2_lap1"): mse + lap1[4],
        GLO(loss="l2_lap1", level_weights="fine"): mse + lap1[0.25],
    }
    for method, value in expected.items():
        assert float(method.loss_of(x_hat, x)) == pytest.approx(value, rel=1e-5)


def test_the_loss_that_is_trained_is_the_one_asked_for() -> None:
    """By the first number on the learning curve: that of images in [-1, 1] and the decoder as it was built."""
    train = pictures(16)

    class Noting(Run):
        noted: list[float] = []

        def log(self, name: str, value: Tensor) -> None:
            self.noted.append(float(value.detach()))
            super().log(name, value)

    for loss in CHOICES["loss"]:
        method = small(loss=loss, init="gaussian", epochs=1, batch_size=16)
        torch.manual_seed(0)
        model = method.build(spec_of(train)).train()
        with torch.no_grad():
            x_hat, x = model.decoder(model.codes), train[:] * 2 - 1
        mse = (x_hat - x).square().mean()
        levels = zip(laplacian_pyramid(x_hat), laplacian_pyramid(x), strict=True)
        lap1 = sum(float((one - other).abs().mean()) for one, other in levels)
        run = Noting(seed=0, device=torch.device("cpu"))
        run.noted = []
        fit(method, train, run)
        expected = {"mse": float(mse), "lap1": lap1, "l2_lap1": float(mse) + lap1}[loss]
        assert run.noted == [pytest.approx(expected, rel=1e-5)]


@pytest.mark.parametrize("loss", ["lap1", "l2_lap1"])
def test_a_pyramid_loss_of_vectors_is_refused(loss: Any) -> None:
    words = f"glo: loss={loss} is for images; got vectors of shape (6,), use loss=mse"
    with pytest.raises(ParameterError, match=re.escape(words)):
        GLO(loss=loss).build(spec_of(vectors()))


def test_parameters_without_effect_are_refused() -> None:
    with pytest.raises(ParameterError, match="level_weights is for loss=lap1 and loss=l2_lap1; got loss=mse"):
        GLO(level_weights="fine")
    with pytest.raises(ParameterError, match="components is for prior=mixture; got prior=gaussian"):
        GLO(components=3)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("loss", CHOICES["loss"])
def test_every_loss_falls(loss: Any, optimiser: Any) -> None:
    """On 16 random images with as many epochs as 1 in 5 of a default training has steps."""
    train, method = pictures(16), small(loss=loss, optimiser=optimiser, epochs=60, width=16)

    def of(model: GLOModel) -> float:
        with torch.no_grad():
            return float(method.loss_of(model.decoder(model.codes), train[:] * 2 - 1))

    assert of(fit(method, train)) < 0.9 * of(fit(small(loss=loss, epochs=0, width=16), train))


@pytest.mark.parametrize("space", ["ball", "sphere"])
def test_codes_start_at_the_principal_components(space: Any) -> None:
    """Those of numpy's decomposition, up to signs."""
    train = vectors(50)
    codes = fit(small(epochs=0, space=space), train).codes.double()
    centred = (train[:] - train[:].mean(0)).double()
    components = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:3].T
    norms = components.norm(dim=1, keepdim=True)
    expected = components / (norms.max() if space == "ball" else norms)
    signs = (codes * expected).sum(0).sign()
    torch.testing.assert_close(codes, expected * signs, rtol=0, atol=1e-5)
    assert float(codes.norm(dim=1).max()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("space", ["ball", "sphere"])
def test_equal_images_have_codes_that_are_numbers(space: Any) -> None:
    model = fit(small(space=space, prior="mixture"), Samples(torch.full((20, 1, 8, 8), 100, dtype=torch.uint8)))
    assert bool(model.codes.isfinite().all()) and bool(draw(model).isfinite().all())


def test_the_prior_is_fitted_to_the_codes() -> None:
    for name, kind in (("gaussian", GaussianPrior), ("isotropic", GaussianPrior), ("mixture", MixturePrior)):
        model = fit(small(prior=name, init="pca"), vectors(200))
        assert isinstance(model.prior, kind)
        spread = (model.codes - model.codes.mean(0)).square().mean(0).sqrt()
        if name == "isotropic":
            spread = spread.square().mean().sqrt().expand(3)
        torch.testing.assert_close(model.prior.std, spread, rtol=5e-3, atol=0)  # which divide by 199 or by 200


@pytest.mark.parametrize(("rows", "components"), [(3, 3), (9, 9), (200, 10)])
def test_a_mixture_has_no_more_components_than_there_are_rows(rows: int, components: int) -> None:
    method, train = small(prior="mixture", epochs=1), vectors(rows)
    built, fitted = method.build(spec_of(train, latent_dim=2)).prior, None
    fitted = fit(method, train, model=method.build(spec_of(train, latent_dim=2))).prior
    assert isinstance(built, MixturePrior) and isinstance(fitted, MixturePrior)
    for prior in (built, fitted):
        assert prior.mean.shape == (components, 2) and prior.factor.shape == (components, 2, 2)


def test_the_runs_seed_decides_the_mixture() -> None:
    train = vectors(200)
    method = small(prior="mixture", epochs=0, init="pca")
    first, again, other = (
        fit(method, train, Run(seed=seed, device=torch.device("cpu"))).prior.state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_half_precision_does_not_reach_the_pyramid(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = GLO.loss_of

    def noting(self: GLO, x_hat: Tensor, x: Tensor) -> Tensor:
        loss = original(self, x_hat, x)
        seen.append((x_hat.dtype, loss.dtype, torch.is_autocast_enabled("cpu")))
        return loss

    monkeypatch.setattr(GLO, "loss_of", noting)
    fit(small(loss="l2_lap1", epochs=1), pictures(), Run(seed=0, device=torch.device("cpu"), precision="bf16"))
    assert set(seen) == {(torch.float32, torch.float32, False)}


def test_a_standing_decoder_is_one_that_does_not_move() -> None:
    """What the test of paths rests on: a rate of 1e-30 leaves every bit of single-precision weights."""
    train = vectors(20)
    for optimiser in ("adam", "sgd"):
        method = small(optimiser=optimiser, learning_rate=1e-30)
        before = fit(small(epochs=0), train).decoder.state_dict()
        after = fit(method, train).decoder.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in fit(small(epochs=0), train).decoder.modules())


STREAMED = '''
import torch
from pathlib import Path
from benchsuite import DataSpec, Run, Samples
from benchsuite_plugins.methods.glo import GLO

torch.set_num_threads(1)
N, D, RANK = {rows}, {numbers}, 3
basis = torch.linalg.qr(torch.randn(D, RANK, generator=torch.Generator().manual_seed(0)))[0]


def scores(rows):
    """Where row i lies along the basis, (n, RANK): three incommensurable oscillations, of falling size."""
    return torch.cos(rows.double()[:, None] * torch.tensor([0.7, 1.1, 2.3])) * torch.tensor([9.0, 5.0, 2.0])


class Generated(Samples):
    """Rows that are made when they are asked for, and nowhere kept."""

    streamed = False

    def __init__(self, rows):
        self.rows, self.labels = rows, None

    def __len__(self):
        return self.rows

    shape, kind, device = (D,), "vector", torch.device("cpu")

    def __getitem__(self, index):
        rows = torch.arange(*index.indices(self.rows)) if isinstance(index, slice) else torch.as_tensor(index)
        return (scores(rows).float() @ basis.T).add_(3)


def fit(rows):
    data = Generated(rows)
    method = GLO(epochs=0, width=4)
    model = method.build(DataSpec(data.shape, "vector", rows, latent_dim=RANK))
    method.fit(model, data, Run(seed=0, device=torch.device("cpu")))
    return model


def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


fit(5000)  # libraries are loaded when they are first called
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
model = fit(N)
grown = resident("VmHWM") - before

own = scores(torch.arange(N))
centred = own - own.mean(0)
components = centred @ torch.linalg.eigh(centred.T @ centred)[1].flip(1)
expected = components / components.norm(dim=1).max()
some = torch.arange(0, N, 997)
codes = model.codes[some].double()
signs = (codes * expected[some]).sum(0).sign()
print(grown, float((codes - expected[some] * signs).abs().max()), float(codes.abs().amax(0).min()))
'''


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_principal_components_are_streamed() -> None:
    """488 MiB of rows that exist only a block at a time: what grows is codes, a covariance and blocks."""
    rows, numbers = 500_000, 256
    code = STREAMED.format(rows=rows, numbers=numbers)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    grown, error, size = map(float, done.stdout.split())
    assert 5 * grown < rows * numbers * 4 / 2**20  # measured: 39 MiB
    assert error < 1e-5 and size > 0.1
