"""Scores of recovery are those of decoders for which it is known what a search finds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CommandLine
from made_up import seeded
from test_latents import distance_of_uniform_codes
from torch import Tensor, nn

from benchsuite import DivergedError, Model, NotApplicableError, ParameterError, Samples
from benchsuite.kit.priors import NormalPrior, UniformPrior
from benchsuite.kit.search import SOLVERS, Search, generated_data, generator_of_shared
from benchsuite_plugins.metrics.recovery import (
    benchsuite_metrics,
    psnr_generated,
    recovery_consistency,
    recovery_success,
)

DIM = 16


class Decoder(Model):
    """Orthonormal combinations of a function of the codes, vectors with 16 numbers or images with as many pixels."""

    def __init__(
        self, prior: nn.Module, d: int, shape: tuple[int, ...] = (DIM,), of: Callable[[Tensor], Tensor] = torch.clone
    ) -> None:
        super().__init__()
        random = torch.randn(DIM, d, generator=torch.Generator().manual_seed(0))
        self.register_buffer("axes", torch.linalg.qr(random).Q)
        self.prior, self.shape, self.of = prior, shape, of

    def decode(self, z: Tensor) -> Tensor:
        axes: Any = self.axes
        return (self.of(z) @ axes.T).view(-1, *self.shape)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        prior: Any = self.prior
        return self.decode(prior.sample(n, generator))


class WithoutDecoder(Model):
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise AssertionError


class Sharing:
    """What a cell does: each piece of work once, with global generators seeded for it."""

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.made = seed, dict[str, Any]()

    def __call__(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self.made:
            with torch.random.fork_rng():
                torch.manual_seed(self.seed)
                self.made[key] = make()
        return self.made[key]


def rows_of(score: Any) -> dict[str, float]:
    assert isinstance(score.value, dict)
    return score.value


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_code_of_an_injective_linear_decoder_is_found(solver: Any) -> None:
    model = Decoder(NormalPrior(3), 3)
    steps = None if solver in ("bfgs", "levenberg_marquardt") else 800
    falling = 0.0 if solver in ("adam", "rmsprop") else None
    score = recovery_success(
        model, Sharing(), images=20, restarts=1, search=Search(solver, steps=steps, final_rate=falling)
    )
    thresholds = ["1e-8", "1e-4", "1e-3", "1e-2", "1e-1"]
    assert rows_of(score) == dict.fromkeys([*thresholds, *(f"ever.{name}" for name in thresholds)], 1.0)
    assert score.n == 20 and float(score.arrays["error"].max()) < 1e-8


def test_codes_that_end_at_a_bound_are_counted_and_those_not_found_apart() -> None:
    """A step too long throws a code to the bound on the side of the right one; it stays where the start was nearer."""
    model, shared = Decoder(UniformPrior(1), 1), Sharing()
    thrown = Search("gradient_descent", "standard", steps=1, learning_rate=1e6, momentum=0.0)
    task = generated_data(model, 400, 1, generator_with(shared.seed))
    right, start = task.codes.squeeze(1), task.starts[0].squeeze(1)
    bound = (right - start).sign()
    at_bound = (bound - right).abs() < (start - right).abs()
    failed = at_bound & ((bound - right).square() >= 1e-4)
    score = recovery_success(model, shared, images=400, restarts=1, search=thrown)
    rows = rows_of(score)
    assert rows["at_bound"] == pytest.approx(float(at_bound.double().mean()), abs=1e-12)
    assert rows["at_bound.failed"] == pytest.approx(float(failed.double().mean()), abs=1e-12)
    assert 0.2 < rows["at_bound.failed"] < rows["at_bound"] < 0.8
    assert set(score.references) == {"at_bound", "at_bound.failed"}
    found = rows_of(recovery_success(model, Sharing(), images=50, restarts=1))
    assert (found["1e-4"], found["at_bound"], found["at_bound.failed"]) == (1.0, 0.0, 0.0)
    assert "at_bound" not in rows_of(recovery_success(Decoder(NormalPrior(1), 1), Sharing(), images=5))


def test_codes_that_share_an_image_are_found_by_chance_and_more_often_on_any_path_than_at_last() -> None:
    """Of |z| every search ends at the signs it starts with: 2^-d of them are right, and of 3 one or more ever were.

    1000 images, seed 0, to four standard errors (a chance of 6e-5 each). Codes within the threshold of their mirror
    image add 0.003 or less.
    """
    model = Decoder(NormalPrior(2), 2, of=torch.abs)
    rows = rows_of(recovery_success(model, Sharing(), images=1000))
    final, ever = 1 / 4, 1 - (3 / 4) ** 3
    assert rows["1e-4"] == pytest.approx(final, abs=4 * math.sqrt(final * (1 - final) / 1000) + 0.003)
    assert rows["ever.1e-4"] == pytest.approx(ever, abs=4 * math.sqrt(ever * (1 - ever) / 1000) + 0.003)


def test_errors_and_decibels_are_those_of_gradient_descent_in_closed_form() -> None:
    """Each step takes the difference of codes times 1 - 2 rate / D, the rate falling from 1 to a half of it."""
    model, shared = Decoder(UniformPrior(4, -3.0, 3.0), 4, shape=(1, 4, 4)), Sharing()
    search = Search("gradient_descent", steps=10, learning_rate=2.0, momentum=0.0, final_rate=0.5)
    settings: dict[str, Any] = {"search": search, "images": 50, "restarts": 1}
    task = generated_data(model, 50, 1, generator_with(shared.seed))
    left = math.prod(1 - 2 * 2.0 * (1 - 0.5 * step / 10) / DIM for step in range(10))
    difference = left**2 * (task.starts[0] - task.codes).double().square().sum(1)
    score = recovery_success(model, shared, **settings)
    torch.testing.assert_close(score.arrays["error"], difference / 4, rtol=1e-4, atol=0)
    expected = {
        name: float((difference / 4 < float(name)).double().mean()) for name in ("1e-4", "1e-3", "1e-2", "1e-1")
    }
    assert {name: rows_of(score)[name] for name in expected} == expected and 0 < expected["1e-1"] < 1
    decibels = psnr_generated(model, shared, **settings)
    torch.testing.assert_close(decibels.arrays["psnr"], -10 * (difference / DIM).log10(), rtol=1e-4, atol=0)


def generator_with(seed: int) -> torch.Generator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return generator_of_shared()


@pytest.mark.parametrize("images", [19, 20, 50])
def test_quantiles_are_what_that_part_of_the_images_reaches(images: int) -> None:
    score = psnr_generated(
        Decoder(NormalPrior(3), 3, (1, 4, 4)), Sharing(), images=images, search=Search("adam", steps=20), restarts=1
    )
    decibels, rows = score.arrays["psnr"].numpy(), rows_of(score)
    for name, part in (("p5", 0.95), ("p50", 0.5)):
        assert np.mean(decibels >= rows[name]) >= part > np.mean(decibels > rows[name])


def test_perfect_reconstructions_have_infinite_decibels_and_no_row_is_undefined() -> None:
    """Of codes that are rounded, with the gradient of not rounding: a start may have the right number already."""
    model = Decoder(NormalPrior(1), 1, shape=(1, 4, 4), of=lambda z: z + (z.round() - z).detach())
    score = psnr_generated(model, Sharing(), images=40, restarts=1, search=Search("adam", steps=5))
    infinite = score.arrays["psnr"].isinf()
    assert bool(infinite.any()) and not bool(infinite.all())
    assert list(rows_of(score)) == ["p50", "p5"] and math.isfinite(rows_of(score)["p5"])


def test_success_and_decibels_are_of_one_recovery_and_solvers_have_the_same_task() -> None:
    model, shared = Decoder(NormalPrior(2), 2, shape=(1, 4, 4)), Sharing()
    recovery_success(model, shared)
    made = set(shared.made)
    psnr_generated(model, shared)
    assert set(shared.made) == made and len(made) == 2
    recovery_success(model, shared, search=Search("levenberg_marquardt"))
    assert len(shared.made) == 3


@pytest.mark.parametrize("d", [20, 100])
def test_the_baseline_of_consistency_is_that_of_independent_draws(d: int) -> None:
    """Of 100 dimensions 0.0815, as Table 2 prints; 4 x 496 pairs, seed 0, to 2%.

    A distance deviates by about 0.24 / sqrt(d) of it, and what 32 draws have in common leaves the mean of their pairs
    a standard error of about 0.4% at d = 20.
    """
    wide = Decoder(UniformPrior(d), min(d, DIM), of=lambda z: z[:, :DIM])
    rows = rows_of(recovery_consistency(wide, Samples(torch.rand(4, DIM)), Sharing(), seeded(), search=Search(steps=1)))
    assert rows["baseline"] == pytest.approx(distance_of_uniform_codes(d), rel=0.02)


def test_searches_agree_through_a_linear_decoder_and_not_through_one_that_forgets_the_sign() -> None:
    """The codes of |z| are z or -z by the start: their mean distance is |z| for 2 |z| apart in half of the pairs.

    30 images with 100 searches each, seed 0: the part of pairs apart is 0.505 in expectation, with a standard error of
    0.001.
    """
    z = torch.linspace(0.5, 2, 30)[:, None]
    linear, even = Decoder(NormalPrior(1), 1), Decoder(NormalPrior(1), 1, of=torch.abs)
    agreeing = recovery_consistency(linear, Samples(linear.decode(z)), Sharing(), seeded(), images=30, restarts=100)
    assert rows_of(agreeing)[""] < 1e-5
    assert rows_of(agreeing)["baseline"] == pytest.approx(2 / math.sqrt(math.pi), rel=0.05)
    apart = recovery_consistency(even, Samples(even.decode(z)), Sharing(), seeded(), images=30, restarts=100)
    assert rows_of(apart)[""] == pytest.approx(float(z.mean()), rel=0.02)
    assert apart.arrays["codes"].shape == (30, 100, 1) and apart.n == 30
    torch.testing.assert_close(apart.arrays["codes"].abs(), z[:, None].expand(30, 100, 1), rtol=0, atol=1e-3)
    assert rows_of(apart)[""] == pytest.approx(float(apart.arrays["distances"].mean()))


@pytest.mark.parametrize("clipping", ["standard", "stochastic"])
def test_clipping_keeps_codes_in_the_box_of_the_prior(clipping: Any) -> None:
    model = Decoder(UniformPrior(2), 2)
    outside = Samples(model.decode(torch.tensor([[3.0, 0.2], [-2.0, -4.0]])))
    free, kept = (
        recovery_consistency(model, outside, Sharing(), seeded(), restarts=5, search=search)
        for search in (Search("gradient_descent", steps=50), Search("gradient_descent", clipping, steps=50))
    )
    assert float(free.arrays["codes"].abs().amin(1).amax()) > 2
    assert float(kept.arrays["codes"].abs().max()) <= 1


def test_what_does_not_go_together_is_refused_with_what_does() -> None:
    with pytest.raises(ParameterError, match="solver=bfgs takes no learning_rate; what it takes is steps$"):
        Search(learning_rate=0.1)
    with pytest.raises(ParameterError, match="adam takes no momentum; what it takes is steps, learning_rate, final_"):
        Search("adam", momentum=0.5)
    with pytest.raises(ParameterError, match="takes no clipping=standard; solvers that do are levenberg_marquardt, g"):
        Search(clipping="standard")
    with pytest.raises(ParameterError, match="solver is one of bfgs"):
        Search("newton")  # type: ignore[arg-type]


def test_what_a_model_lacks_is_the_reason_of_a_skipped_row() -> None:
    normal, bare = Decoder(NormalPrior(2), 2), Decoder(NormalPrior(2), 2)
    del bare.prior
    real = Samples(torch.rand(2, DIM))
    with pytest.raises(NotApplicableError, match="clipping needs a prior with bounds, such as prior=uniform"):
        recovery_success(normal, Sharing(), search=Search("adam", "standard"))
    with pytest.raises(NotApplicableError, match="pSNR is for images"):
        psnr_generated(normal, Sharing())
    for metric in (
        lambda m: recovery_success(m, Sharing()),
        lambda m: recovery_consistency(m, real, Sharing(), seeded()),
    ):
        with pytest.raises(NotApplicableError, match="no prior of codes"):
            metric(bare)
    with pytest.raises(NotApplicableError, match="no decode"):
        recovery_success(WithoutDecoder(), Sharing())


def test_the_plugin_provides_metrics_that_are_chosen_by_name_only() -> None:
    metrics = {metric.name: metric for metric in benchsuite_metrics()}
    assert {name: (m.direction, m.unit, m.kind, m.default) for name, m in metrics.items()} == {
        "recovery_success": ("max", "", None, False),
        "psnr_generated": ("max", "dB", "image", False),
        "recovery_consistency": ("min", "", None, False),
    }


def test_a_score_does_not_depend_on_which_metric_was_asked_for_before(
    command_line: CommandLine, tmp_path: Path
) -> None:
    wanted = "psnr_generated[solver=adam,steps=20,images=32]"
    before = "recovery_success[solver=adam,steps=20,images=32],recovery_success[solver=levenberg_marquardt,steps=2]"
    arguments = ("run", "-m", "pca,real", "--samples", "64", "--metrics")
    command_line(*arguments, wanted, "--out", "alone", check=0)
    command_line(*arguments, f"{before},{wanted}", "--out", "both", check=0)
    alone, both = scores(tmp_path / "alone"), scores(tmp_path / "both")
    assert alone["pca"][f"{wanted}.p5"]["value"] == both["pca"][f"{wanted}.p5"]["value"] is not None
    assert alone["pca"][f"{wanted}.p5"]["n"] == 32
    assert alone["real"][wanted]["reason"] == "the method has no decode"


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (
            "recovery_success[learning_rate=1]",
            "recovery_success: solver=bfgs takes no learning_rate; what it takes is steps",
        ),
        ("noise_slope[clipping=standard]", "noise_slope: solver=bfgs takes no clipping=standard; solvers that do are"),
        ("psnr_generated[solver=adam,momentum=0.5]", "psnr_generated: solver=adam takes no momentum"),
        ("recovery_consistency[restarts=1]", "restarts='1' is not allowed; restarts is a whole number, at least 2"),
        ("reconstruction_curve[steps=4]", "steps='4' is not allowed; steps is a whole number, at least 5"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_runs(
    metric: str, reason: str, command_line: CommandLine
) -> None:
    for command in ("plan", "run"):
        assert reason in command_line(command, "-m", "pca", "--metrics", metric, check=2).stderr


def test_consistency_starts_alike_whatever_solver_is_selected() -> None:
    model, shared = Decoder(UniformPrior(2), 2), Sharing()
    real = Samples(model.decode(torch.rand(3, 2)))
    scores = [
        recovery_consistency(model, real, shared, seeded(), search=search)
        for search in (Search("bfgs", steps=3), Search("adam", steps=3))
    ]
    assert rows_of(scores[0])["baseline"] == rows_of(scores[1])["baseline"]
    assert rows_of(scores[0])[""] != rows_of(scores[1])[""]


def test_a_decoder_that_changes_its_codes_in_place_does_not_change_those_that_are_looked_for() -> None:
    kind = {"prior": NormalPrior(3), "d": 3}
    plain, rude = Decoder(**kind), Decoder(**kind, of=lambda z: z.mul_(1.0).add_(1.0) - 1)  # type: ignore[arg-type]
    found = [rows_of(recovery_success(model, Sharing(), images=20)) for model in (plain, rude)]
    assert found[0]["1e-4"] == found[1]["1e-4"] == 1


def test_a_decoder_that_returns_no_number_is_said_to_have_diverged() -> None:
    broken = Decoder(NormalPrior(2), 2, of=lambda z: z / (z > 0))
    with pytest.raises(DivergedError, match="returned NaN or infinity"):
        recovery_success(broken, Sharing())


def scores(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of each method's record by the name of the metric."""
    records = [json.loads(path.read_text()) for path in folder.glob("cells/*/record.json")]
    return {record["cell"]["method"]: {row["metric"]: row for row in record["metrics"]} for record in records}
