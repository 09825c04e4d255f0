"""Likelihoods of test data are the models' own, in nats per sample, and are scored only where they are asked for."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CommandLine
from made_up import seeded
from sklearn import decomposition
from torch import Tensor, nn

from benchsuite import DataSpec, Metric, NotApplicableError, Run, Samples
from benchsuite.harness.registry import load_registry
from benchsuite_plugins.methods.pca import PCA
from benchsuite_plugins.methods.vae import VAE

REGISTRY = load_registry()
NAMES = ("log_prob", "elbo", "iw_elbo")
LOG_PROB, ELBO, IW_ELBO = (REGISTRY.get("metrics", name).compute for name in NAMES)


def rows(n: int, seed: int) -> Tensor:
    """Correlated rows of 5 numbers."""
    mix = torch.randn(5, 5, generator=seeded(9))
    return torch.randn(n, 5, generator=seeded(seed)) @ mix


def test_log_prob_is_scikit_learns_mean_score_of_test_data() -> None:
    train, test = rows(400, 0), rows(300, 1)
    model = PCA().build(DataSpec((5,), "vector", 400, 2))
    PCA().fit(model, Samples(train), Run(seed=0, device=torch.device("cpu")))
    oracle = decomposition.PCA(2, svd_solver="full").fit(train.double().numpy())
    assert float(LOG_PROB(Samples(test), model)) == pytest.approx(oracle.score(test.double().numpy()), rel=1e-5)


class Counts(nn.Module):
    """Bounds that tell what they were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []

    def elbo(self, x: Tensor, generator: torch.Generator, draws: int) -> Tensor:
        self.asked.append((len(x), draws))
        return x[:, 0]

    log_likelihood = elbo


@pytest.mark.parametrize("metric", [ELBO, IW_ELBO])
def test_bounds_are_means_over_all_rows_with_the_draws_asked_for(metric: Any) -> None:
    model, x = Counts(), rows(300, 0)
    assert float(metric(Samples(x), model, seeded(0))) == pytest.approx(float(x[:, 0].mean()), rel=1e-5)
    assert {draws for _, draws in model.asked} == {64} and sum(n for n, _ in model.asked) == 300
    model.asked.clear()
    metric(Samples(x), model, seeded(0), draws=7)
    assert {draws for _, draws in model.asked} == {7}


def test_the_weighted_bound_of_a_vae_is_above_its_elbo() -> None:
    torch.manual_seed(0)
    model = VAE(width=4).build(DataSpec((1, 8, 8), "image", 10, 2)).eval()
    real = Samples(torch.rand(20, 1, 8, 8, generator=seeded(0)))
    loose, tight = ELBO(real, model, seeded(1), draws=8), IW_ELBO(real, model, seeded(1), draws=8)
    assert loose.ndim == tight.ndim == 0 and float(loose) < float(tight)  # by the same draws: Jensen


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda x, model: LOG_PROB(x, model), "states no density of x: its model has no log_prob"),
        (lambda x, model: ELBO(x, model, seeded(0)), "has no evidence lower bound: its model has no elbo"),
        (lambda x, model: IW_ELBO(x, model, seeded(0)), "no importance-weighted bound: .* no log_likelihood"),
    ],
)
def test_models_without_a_likelihood_are_skipped_with_the_reason(call: Any, reason: str) -> None:
    with pytest.raises(NotApplicableError, match=reason):
        call(Samples(rows(4, 0)), nn.Linear(1, 1))


def test_a_metric_is_chosen_unasked_unless_it_says_otherwise() -> None:
    assert Metric("any", len, None).default
    assert Metric("any", len, None, "", 1, "image").default  # as positional as ever
    assert not any(REGISTRY.get("metrics", name).default for name in NAMES)


def test_likelihoods_are_listed_as_scored_only_where_they_are_named(command_line: CommandLine) -> None:
    lines = command_line("list", "metrics", check=0).stdout.splitlines()
    marked = {line.split()[0] for line in lines if line.endswith("(only where it is named)")}
    assert marked == {name for name in REGISTRY.names("metrics") if not REGISTRY.get("metrics", name).default}
    assert marked >= set(NAMES)
    listed = json.loads(command_line("list", "metrics", "--json", check=0).stdout)["metrics"]
    assert {item["name"] for item in listed if not item["default"]} == marked


def test_a_run_scores_what_has_a_likelihood_and_says_why_the_rest_has_none(command_line: CommandLine) -> None:
    methods = "pca,vae[epochs=1,width=4]@l2,vae[epochs=1,width=4,likelihood=lap1]@lap1"
    methods += ",vae[epochs=1,width=4,likelihood=bernoulli]@bernoulli"
    command_line("run", "-m", methods, "--metrics", "log_prob,elbo,iw_elbo[draws=2]", "--out", "out", check=0)
    with Path("out/results.csv").open() as file:
        found = {(row["method"], row["metric"]): row for row in csv.DictReader(file)}
    scored = {key for key, row in found.items() if row["status"] == "ok"}
    bounds = ("elbo", "iw_elbo[draws=2]")
    assert scored == {("pca", "log_prob")} | {(m, b) for m in ("l2", "bernoulli") for b in bounds}
    assert all(found[key]["unit"] == "nats" and found[key]["n"] == "57" for key in scored)
    assert all(found[key]["direction"] == "max" for key in scored)
    assert {row["status"] for key, row in found.items() if key not in scored} == {"skipped"}
    assert "likelihood=lap1 is no normalised density" in found["lap1", "elbo"]["reason"]
