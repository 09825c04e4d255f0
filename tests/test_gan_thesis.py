"""Velasquez Vergara, Generative Adversarial Networks (2017): its examples, against truths found by integration.

The items in benchmarks/recipes/gan-thesis run here at their scale ``small``, with seeds of the tests' own; thresholds
were set beforehand, and how far the measured values stay below them is said beside each.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from numpy.typing import NDArray

from benchsuite import DataSpec, Run, Samples, suite
from benchsuite.harness.recipe import Recipe, read_recipe, recipe_from
from benchsuite.harness.registry import load_registry
from benchsuite.results.items import read_item

RECIPES = Path(__file__).parents[1] / "benchmarks" / "recipes"
REGISTRY = load_registry()
GRID = np.linspace(-15, 19, 34_001)
STEP = GRID[1] - GRID[0]

Array = NDArray[np.float64]


def log_normal(mean: float, std: float) -> Array:
    return -0.5 * ((GRID - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)


DATA = np.logaddexp(log_normal(1, 0.3), log_normal(3, 0.3)) - np.log(2)


def kl(at: Array) -> float:
    """KL(p || N(mean, std^2)) in nats, p being the mixture; ``at`` is (mean, log std)."""
    return float((np.exp(DATA) * (DATA - log_normal(at[0], np.exp(at[1])))).sum() * STEP)


def reverse_kl(at: Array) -> float:
    """KL(N(mean, std^2) || p) in nats."""
    model = log_normal(at[0], np.exp(at[1]))
    return float((np.exp(model) * (model - DATA)).sum() * STEP)


def minimum(objective: Any, mean: float, std: float) -> tuple[float, float, float]:
    """(mean, std, value) where descent from a start ends."""
    settings = {"xatol": 1e-7, "fatol": 1e-12, "maxiter": 2000}
    found = scipy.optimize.minimize(objective, [mean, np.log(std)], method="Nelder-Mead", options=settings)
    return float(found.x[0]), float(np.exp(found.x[1])), float(found.fun)


@pytest.mark.parametrize("start", [(0.0, 0.5), (2.1, 0.95), (4.0, 2.0)])
def test_the_best_gaussian_by_kl_has_the_moments_of_the_mixture(start: tuple[float, float]) -> None:
    assert minimum(kl, *start) == pytest.approx((2.0, np.sqrt(1.09), 0.5552), abs=1e-4)


def test_the_thesiss_deviation_of_0952_is_not_the_optimum() -> None:
    assert kl(np.array([2.09541, np.log(0.95154)])) > kl(np.array([2.0, np.log(1.04403)])) + 0.01


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ((0.5, 0.5), (1.00146, 0.30243, 0.6918)),
        ((3.5, 0.5), (2.99854, 0.30243, 0.6918)),
        ((2.1, 1.0), (2.0, 0.89514, 1.1384)),
    ],
)
def test_reverse_kl_has_three_minima(start: tuple[float, float], expected: tuple[float, float, float]) -> None:
    mean, std, value = minimum(reverse_kl, *start)
    assert (mean, std, value) == pytest.approx(expected, abs=1e-4)
    for along in ([1e-3, 0], [0, 1e-3], [7e-4, 7e-4], [7e-4, -7e-4]):  # a minimum, no saddle
        for sign in (-1, 1):
            assert reverse_kl(np.array([mean, np.log(std)]) + sign * np.array(along)) > value


def run(recipe: Recipe, folder: Path) -> dict[str, list[dict[str, float]]]:
    """What a recipe's cells scored: for each label the metrics of each seed."""
    outcome = suite.run(replace(recipe, device="cpu"), out=folder)
    assert outcome.exit_code == 0
    found: dict[str, list[dict[str, float]]] = {}
    for record in outcome.records:
        found.setdefault(record.cell.method, []).append({row.metric: row.value or 0.0 for row in record.metrics})
    return found


def small(item: str, labels: set[str], seeds: int) -> Recipe:
    """The methods with these labels of an item's scale ``small``, on seeds 0, 1, ..."""
    recipe = read_item(item).scales["small"].recipe
    methods = tuple(method for method in recipe.methods if method.label in labels)
    assert {method.label for method in methods} == labels
    return replace(recipe, methods=methods, seeds=tuple(range(seeds)))


def near_the_optimum(scores: dict[str, float]) -> bool:
    return abs(scores["moments.mean"] - 2) < 0.05 and abs(scores["moments.std"] - 1.044) < 0.03


def on_the_mode(scores: dict[str, float], mode: float) -> bool:
    return abs(scores["moments.mean"] - mode) < 0.02 and abs(scores["moments.std"] - 0.302) < 0.02


def test_one_seed_of_the_bivariate_normal_shows_a_mistake_without_the_slow_tests() -> None:
    gan, dataset = REGISTRY.get("methods", "gan"), REGISTRY.get("datasets", "bivariate_normal")()
    train = dataset.load("train", Path())
    torch.manual_seed(20)
    method = gan.preset("bivariate_normal")
    model = method.build(DataSpec(train.shape, train.kind, len(train), latent_dim=2))
    method.fit(model, train, Run(seed=20, device=torch.device("cpu")))
    with torch.no_grad():
        samples = Samples(model.eval().sample(20_000, torch.Generator().manual_seed(0)))
    errors = REGISTRY.get("metrics", "moment_error").compute(samples, dataset.truth())
    assert errors["mean"] < 0.06 and errors["covariance"] < 0.05


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_table_1(tmp_path: Path) -> None:
    # Measured on seeds 0-9: by KL at most 0.027 from the mean and 0.014 from the deviation; by reverse KL, in all of
    # 20, at most 0.006 from the mode and 0.007 from the deviation.
    labels = {"kl", "reverse-kl-near-1", "reverse-kl-near-3"}
    scores = run(small("gan-thesis/table1", labels, seeds=10), tmp_path / "run")
    assert sum(near_the_optimum(seed) for seed in scores["kl"]) >= 9
    assert [on_the_mode(seed, 1.0015) for seed in scores["reverse-kl-near-1"]] == [True] * 10
    assert [on_the_mode(seed, 2.9985) for seed in scores["reverse-kl-near-3"]] == [True] * 10


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_figure_1(tmp_path: Path) -> None:
    # Measured on seeds 0-4, all of which pass: at most 0.012 from the mean and 0.014 from an entry of the covariance.
    scores = run(small("gan-thesis/figure1", {"steps-4000"}, seeds=6), tmp_path / "run")["steps-4000"]
    good = [seed["moment_error.mean"] < 0.06 and seed["moment_error.covariance"] < 0.04 for seed in scores]
    assert sum(good) >= 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_figure_8(tmp_path: Path) -> None:
    # Measured medians of seeds 0-2: 0.034 and 0.084 joint, 0.038 and 0.126 prior-contrastive, at x = 1 and 30.
    labels = {"joint-contrastive", "prior-contrastive"}
    scores = run(small("gan-thesis/figure8", labels, seeds=3), tmp_path / "run")
    for label, far in (("joint-contrastive", 0.15), ("prior-contrastive", 0.25)):
        assert statistics.median(seed["posterior_ks.x=1"] for seed in scores[label]) < 0.08
        assert statistics.median(seed["posterior_ks.x=30"] for seed in scores[label]) < far
        assert statistics.median(seed["posterior_ks.angle"] for seed in scores[label]) < 0.25


@pytest.mark.slow
def test_equation_31_as_printed_fails() -> None:
    """With D / (1 - D) for (1 - D) / D, codes collapse to a point (50 of 310 epochs show it).

    On seed 0 the point is far from the posterior besides, which on seeds 1 to 4 it is not.
    """
    avb = REGISTRY.get("methods", "avb")
    dataset = REGISTRY.get("datasets", "exponential_posterior")()
    train = dataset.load("train", Path())
    scores = {}
    for ratio in ("right", "printed"):
        torch.manual_seed(0)
        method = avb.preset("posterior", epochs=50, ratio=ratio)
        model = method.build(DataSpec(train.shape, train.kind, len(train), latent_dim=2))
        method.fit(model, train, Run(seed=0, device=torch.device("cpu")))
        compute = REGISTRY.get("metrics", "posterior_ks").compute
        with torch.no_grad():
            scores[ratio] = compute(model.eval(), dataset.truth(), torch.Generator().manual_seed(0))
    assert scores["printed"]["angle"] > 0.99 > 0.9 > scores["right"]["angle"]
    assert all(scores["printed"][f"x={x}"] > 0.9 for x in (1, 5, 10, 30))
    assert all(scores["right"][f"x={x}"] < 0.5 for x in (1, 5, 10, 30))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_loss_trains_both_gans_on_digits(tmp_path: Path) -> None:
    """Nine losses, two methods, three seeds of three epochs: none diverges, and all but the saturating ones, which a
    good discriminator leaves without a gradient, get well away from the untrained generator."""
    scores = run(recipe_from(read_recipe(RECIPES / "digits" / "losses.toml")), tmp_path / "run")
    assert len(scores) == 18 and all(len(seeds) == 3 for seeds in scores.values())
    untrained = 51.8
    for label, seeds in scores.items():
        saturating = "loss=kl]" in label or "pearson" in label
        assert all(seed["fd"] < (untrained if saturating else 0.8 * untrained) for seed in seeds), label
