"""The defaults reach, on real digits, what the papers say of the methods and what was measured before."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchsuite import suite
from benchsuite.harness.recipe import read_recipe

RECIPE = Path(__file__).parents[1] / "benchmarks" / "recipes" / "digits" / "comparison.toml"


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Seed 3 of the comparison recipe. Defaults were chosen on seed 7, margins checked on seeds 0 to 2."""
    recipe = read_recipe(RECIPE) | {"seeds": [3], "device": "cpu"}
    reconstructing = ["pca", "glo", "glo[optimiser=sgd]@glo-sgd"]
    folder = tmp_path_factory.mktemp("runs")
    outcomes = [
        suite.run(recipe | {"metrics": "fd"}, out=folder / "generation"),
        suite.run(recipe | {"methods": reconstructing, "metrics": "psnr,psnr_train"}, out=folder / "reconstruction"),
    ]
    found: dict[str, dict[str, float]] = {}
    for outcome in outcomes:
        assert outcome.exit_code == 0
        for record in outcome.records:
            found.setdefault(record.cell.method, {}).update({row.metric: row.value or 0.0 for row in record.metrics})
    return found


def test_glo_reconstructs_better_than_pca_by_three_decibels(scores: dict[str, dict[str, float]]) -> None:
    # Measured margins on seeds 0-2: at least 4.4 dB on test, 5.9 on train, with a seed deviation of 0.1.
    assert scores["glo"]["psnr"] >= scores["pca"]["psnr"] + 3
    assert scores["glo"]["psnr_train"] >= scores["pca"]["psnr_train"] + 3


def test_glo_with_the_papers_learning_rates_beats_pca_by_two_decibels(scores: dict[str, dict[str, float]]) -> None:
    assert scores["glo-sgd"]["psnr"] >= scores["pca"]["psnr"] + 2


def test_frechet_distances_rank_as_the_samples_look(scores: dict[str, dict[str, float]]) -> None:
    fd = {method: of_method["fd"] for method, of_method in scores.items()}
    assert fd["real"] < fd["dcgan"] < fd["pca"]
    assert fd["vae"] < fd["pca"]
    assert 10 * fd["pca"] <= fd["untrained"]


def test_glo_needs_the_full_covariance_of_its_codes(scores: dict[str, dict[str, float]]) -> None:
    assert scores["glo"]["fd"] < scores["glo-isotropic"]["fd"]
