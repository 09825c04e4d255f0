"""Scores of how a prior fits codes are what closed forms say, in its own units, and holes in the prior are found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from made_up import seeded
from PIL import Image
from torch import Tensor

from benchsuite import NotApplicableError, Score, run
from benchsuite.contracts import Model, Record
from benchsuite.harness.store import RunStore
from benchsuite.kit.latents import ideal_prior_agreement, normal_shape, prior_agreement
from benchsuite.kit.priors import GaussianPrior, NormalPrior, UniformPrior
from benchsuite_plugins.metrics.prior_fit import (
    benchsuite_metrics,
    gaussianity,
    pag,
    pag_raw,
    prior_disagreement,
    prior_fd,
)

BOX = UniformPrior(2)  # on [-1, 1] squared


class Plain(Model):
    """A prior, and no decoder."""

    def __init__(self, prior: Any) -> None:
        super().__init__()
        self.prior = prior

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """As many codes."""
        drawn: Tensor = self.prior.sample(n, generator)
        return drawn


class Painter(Plain):
    """Decodes codes to images of 2 x 2 pixels, all as bright as the first coordinate, which may be out of range."""

    def decode(self, z: Tensor) -> Tensor:
        """(N, d) -> (N, 1, 2, 2)."""
        return z[:, :1, None, None].expand(-1, 1, 2, 2)


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def values(score: Score) -> dict[str, float]:
    assert isinstance(score.value, dict)
    return score.value


def fitted(codes: Tensor) -> GaussianPrior:
    prior = GaussianPrior(codes.shape[1])
    prior.fit_to(codes)
    return prior


@pytest.mark.parametrize("metric", [pag, pag_raw])
def test_codes_of_the_prior_score_about_what_is_ideal(metric: Any) -> None:
    # 1024 codes of 20 dimensions, seeds 0-9; the score of one varies by 7%, or 1% where it is raw.
    prior = NormalPrior(20, 3.0)
    found = [values(metric(prior.sample(1024, seeded(seed)), Plain(prior))) for seed in range(10)]
    assert np.mean([f[""] for f in found]) == pytest.approx(found[0]["ideal"], rel=0.1 if metric is pag else 0.01)
    assert found[0]["ideal"] == ideal_prior_agreement(1024, 20, scaled=metric is pag)


def test_the_score_is_the_divergence_from_the_models_own_prior() -> None:
    codes = normal(300, 4, 0) @ normal(4, 4, 1)
    mean = codes.double().mean(0)
    own, wrong = fitted(codes), fitted(codes)
    assert values(pag(codes, Plain(own)))[""] == pytest.approx(0, abs=1e-4)
    wrong.mean += torch.tensor([1.0, 0.0, -2.0, 0.5])
    wrong.factor *= 1.5
    # KL between normals of second moments, in coordinates in which the prior is N(0, I)
    inverse = torch.linalg.inv(wrong.factor.double())
    shift = inverse @ (mean - wrong.mean.double())
    moments = inverse @ torch.cov(codes.double().T, correction=0) @ inverse.T + torch.outer(shift, shift)
    closed = float(torch.trace(moments) - torch.logdet(moments) - 4) / 2
    assert values(pag(codes, Plain(wrong)))[""] == pytest.approx(closed, rel=1e-4)
    centred = values(pag(codes, Plain(wrong), centred=True))
    assert centred[""] == pytest.approx(4 * (1 / 2.25 - math.log(1 / 2.25) - 1) / 2, rel=0.01)
    assert centred["ideal"] == ideal_prior_agreement(300, 4, centred=True)


def test_a_prior_that_states_nothing_is_compared_as_a_standard_normal_one() -> None:
    codes = 2 * normal(100, 3, 0)

    class Silent:
        def sample(self, n: int, generator: torch.Generator) -> Tensor:
            return torch.zeros(n, 3)

    for model in (Plain(Silent()), torch.nn.Identity()):
        assert values(pag(codes, model))[""] == prior_agreement(codes)
        assert values(pag_raw(codes, model))[""] == prior_agreement(codes, scaled=False)


def test_the_spectrum_is_kept_in_units_of_the_prior() -> None:
    codes = torch.tensor([[3.0, 0.0], [0.0, 8.0], [-3.0, 0.0], [0.0, -8.0]])
    model = Plain(NormalPrior(2, torch.tensor([1.0, 4.0])))
    assert pag(codes, model).arrays["spectrum"].tolist() == pytest.approx([math.sqrt(4.5), math.sqrt(2)])
    assert pag_raw(codes, model).arrays["spectrum"].tolist() == pytest.approx([math.sqrt(18), math.sqrt(8)])


def test_fewer_codes_than_dimensions_and_codes_in_a_subspace_agree_with_nothing() -> None:
    few, flat = normal(3, 4, 0), torch.cat([normal(50, 2, 0), torch.zeros(50, 1)], 1)
    assert values(pag(few, Plain(NormalPrior(4)))) == {"": math.inf, "ideal": math.inf}
    found = values(pag(flat, Plain(NormalPrior(3))))
    assert found[""] == math.inf and found["ideal"] < 1


def test_codes_that_are_not_finite_are_skipped_with_a_reason() -> None:
    broken = torch.full((50, 2), math.nan)
    model = Plain(BOX)
    for metric in (pag, pag_raw):
        with pytest.raises(NotApplicableError, match="not finite"):
            metric(broken, model)
    with pytest.raises(NotApplicableError, match="not finite"):
        gaussianity(broken)
    with pytest.raises(NotApplicableError, match="not finite"):
        prior_disagreement(model, broken, seeded())


def test_gaussianity_gives_what_is_expected_beside_what_was_found() -> None:
    codes = normal(500, 4, 0).abs()
    shape, score = normal_shape(codes), gaussianity(codes)
    assert values(score) == {
        "skewness": shape.skewness,
        "skewness_ideal": shape.ideal_skewness,
        "kurtosis": shape.kurtosis,
        "radius_ks": shape.radius_ks,
    }
    assert values(score)["skewness"] > 5 * values(score)["skewness_ideal"]
    assert torch.equal(score.arrays["radii"], shape.radii)


HOLE = 0.5  # the radius of the hole in GRID, whose codes are 0.02 apart elsewhere
_AXIS = torch.linspace(-1, 1, 101)
_ALL = torch.cartesian_prod(_AXIS, _AXIS)
GRID = _ALL[_ALL.norm(dim=1) >= HOLE]


def test_draws_in_a_hole_of_the_codes_come_first() -> None:
    drawn = BOX.sample(1000, seeded())
    score = prior_disagreement(Plain(BOX), GRID, seeded())
    deep, inside = drawn[drawn.norm(dim=1) < HOLE - 0.05], drawn[drawn.norm(dim=1) < HOLE]
    # Outside of the hole a code is at most a cell's diagonal away, 0.03, while deep in it there is none within 0.05.
    distances = score.arrays["distances"] * 2 * float(BOX.std[0]) ** 2
    assert 50 < len(deep) <= int((distances > 0.05**2).sum()) <= int((distances > 0.03**2).sum()) <= len(inside)
    deepest = deep[torch.cdist(deep, GRID).amin(1).argsort(descending=True)[:20]]
    assert torch.equal(score.arrays["codes"], deepest)
    assert values(score)["farthest"] > 10 * values(score)["ideal"]


def test_the_mean_distance_of_the_paper_is_blind_to_the_hole_and_names_the_longest_draws() -> None:
    drawn = BOX.sample(1000, seeded())
    score = prior_disagreement(Plain(BOX), GRID, seeded(), distance="mean")
    longest = drawn[drawn.norm(dim=1).argsort(descending=True)[:20]]
    assert torch.equal(score.arrays["codes"], longest)
    assert float(score.arrays["codes"].norm(dim=1).min()) > 2 * HOLE
    unit = float(BOX.std[0])
    by_definition = torch.cdist(longest.double() / unit, GRID.double() / unit).square().mean(1) / 2
    assert score.arrays["distances"][:20].tolist() == pytest.approx(by_definition.tolist(), rel=1e-6)


@pytest.mark.parametrize("distance", ["nearest", "mean"])
def test_disagreement_is_in_units_of_the_prior_and_per_dimension(distance: Any) -> None:
    codes = normal(200, 3, 0)
    one = values(prior_disagreement(Plain(NormalPrior(3)), codes, seeded(1), distance=distance))
    ten = values(prior_disagreement(Plain(NormalPrior(3, 10.0)), 10 * codes, seeded(1), distance=distance))
    assert ten == pytest.approx(one, rel=1e-5)
    alone = values(prior_disagreement(Plain(NormalPrior(3)), torch.zeros(1, 3), seeded(1), draws=5, distance=distance))
    lengths = NormalPrior(3).sample(5, seeded(1)).double().square().sum(1) / 3
    assert alone["all"] == alone["farthest"] == pytest.approx(float(lengths.mean()))


def test_codes_of_the_prior_itself_disagree_as_much_as_is_ideal() -> None:
    # 20 of 1000 draws, seeds 0-9, whose mean varies by 15% between seeds: by 7% for the mean of the ratios.
    model, found = Plain(NormalPrior(4)), []
    for seed in range(10):
        rows = values(prior_disagreement(model, normal(1024, 4, 100 + seed), seeded(seed)))
        found.append(rows["farthest"] / rows["ideal"])
    assert np.mean(found) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("distance", ["nearest", "mean"])
def test_draws_of_the_prior_are_as_far_from_its_codes_as_these_are_from_each_other(distance: Any) -> None:
    # As above: ten seeds, between which the ratio varies by 12% (mean: 4%), and so its mean by 4%: five times that.
    model, found = Plain(NormalPrior(4)), []
    for seed in range(10):
        rows = values(prior_disagreement(model, normal(1024, 4, 100 + seed), seeded(seed), distance=distance))
        found.append(rows["farthest"] / rows["codes"])
    assert np.mean(found) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("distance", ["nearest", "mean"])
def test_a_prior_reaches_beyond_codes_that_are_shorter_than_its_draws_and_not_beyond_longer(distance: Any) -> None:
    """Which ``ideal`` does not tell: codes of 0.3 times the prior's length are near to every draw by it."""
    model, codes = Plain(NormalPrior(20)), normal(1024, 20, 0)
    short, long = (values(prior_disagreement(model, s * codes, seeded(), distance=distance)) for s in (0.3, 2.0))
    assert short["farthest"] > 2 * short["codes"] and long["farthest"] < long["codes"] / 1.5
    assert short["farthest"] < short["ideal"] and long["farthest"] > long["ideal"]


@pytest.mark.parametrize("distance", ["nearest", "mean"])
def test_one_draw_in_twenty_lies_beyond_nineteen_codes_in_twenty_where_both_have_one_law(distance: Any) -> None:
    """Ten seeds: a share of 1000 draws beyond a quantile of 1024 codes varies by 1%, its mean by 0.3%: five times that.
    Codes of a third of the length have all draws beyond them, and those of three times it next to none."""
    model, found = Plain(NormalPrior(4)), []
    for seed in range(10):
        codes = normal(1024, 4, 100 + seed)
        found.append(values(prior_disagreement(model, codes, seeded(seed), distance=distance))["beyond"])
    assert np.mean(found) == pytest.approx(0.05, abs=0.016)
    wide, codes = Plain(NormalPrior(20)), normal(1024, 20, 0)
    shares = [values(prior_disagreement(wide, s * codes, seeded(), distance=distance))["beyond"] for s in (0.33, 3.0)]
    assert shares[0] > 0.95 and shares[1] < 0.01


def test_the_frechet_distance_of_a_prior_from_codes_is_that_of_normal_laws() -> None:
    """N(0, 4 I) against N(m, 9 I): |m|^2 + d (3 - 2)^2, in units of the prior a quarter of it; 2% for 100,000 draws."""
    codes = 3 * normal(100_000, 4, 0) + torch.tensor([2.0, 0.0, 0.0, 0.0])
    found = values(prior_fd(Plain(NormalPrior(4, 2.0)), codes, seeded(), draws=100_000))
    assert found[""] == pytest.approx((4 + 4) / 4, rel=0.02)
    assert 0 <= found["ideal"] < 1e-3
    few = values(prior_fd(Plain(NormalPrior(4)), normal(20, 4, 1), seeded()))
    assert few["ideal"] > 0.05
    with pytest.raises(NotApplicableError, match="two codes; got 1"):
        prior_fd(Plain(NormalPrior(4)), normal(1, 4, 0), seeded())
    with pytest.raises(NotApplicableError, match="no prior of codes"):
        prior_fd(torch.nn.Identity(), normal(5, 2, 0), seeded())


def test_the_distances_of_codes_from_each_other_are_those_of_all_pairs() -> None:
    codes = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0], [0.0, 1.0]])
    model = Plain(NormalPrior(2))
    one = values(prior_disagreement(model, codes, seeded(), draws=5))  # 20 of 5 draws: all, and all codes
    assert one["codes"] == pytest.approx((1 + 0 + 0 + 1) / 4 / 2)
    mean = values(prior_disagreement(model, codes, seeded(), draws=5, distance="mean"))
    squares = [25 + 25 + 1, 25 + 18, 25 + 18, 1 + 18 + 18]
    assert mean["codes"] == pytest.approx(sum(squares) / 3 / 4 / 2)
    assert values(prior_disagreement(model, codes[:1], seeded(), draws=5))["codes"] == math.inf


def test_the_farthest_draws_are_decoded_with_the_farthest_first() -> None:
    score = prior_disagreement(Painter(BOX), GRID, seeded())
    pictures, codes = score.pictures["farthest"], score.arrays["codes"]
    assert pictures.shape == (20, 1, 2, 2)
    assert torch.equal(pictures[:, 0, 0, 0], codes[:, 0].clamp(0, 1)) and bool((codes[:, 0] < 0).any())
    assert prior_disagreement(Painter(BOX), GRID, seeded(), draws=7).pictures["farthest"].shape[0] == 7
    assert not prior_disagreement(Plain(BOX), GRID, seeded()).pictures


def test_without_a_prior_there_is_nothing_to_disagree_with() -> None:
    with pytest.raises(NotApplicableError, match="no prior of codes"):
        prior_disagreement(torch.nn.Identity(), normal(5, 2, 0), seeded())


def test_none_is_chosen_unasked() -> None:
    metrics = {metric.name: metric for metric in benchsuite_metrics()}
    assert {name: (m.direction, m.unit, m.default) for name, m in metrics.items()} == {
        "pag": ("min", "nats", False),
        "pag_raw": ("none", "nats", False),
        "gaussianity": ("none", "", False),
        "prior_disagreement": ("min", "", False),
        "prior_fd": ("min", "", False),
    }


LATENT = [
    "pag",
    "pag_raw[codes_by=reversal,rows=64]",
    "gaussianity",
    "prior_disagreement[rows=300]",
    "prior_fd",
    "cluster_ratio[rows=60]",
    "path_length",
    "path_length[features=classifier]",
    "path_from_average",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """A run of ``pca`` and ``real`` with every metric of latent space."""
    folder = tmp_path_factory.mktemp("latent") / "run"
    run({"methods": ["pca", "real"], "datasets": ["digits"], "metrics": LATENT, "subset": 500}, out=folder)
    return RunStore(folder)


def record_of(store: RunStore, method: str) -> Record:
    (record,) = (record for record in store.records() if record.cell.method_name == method)
    return record


def test_a_run_has_scores_of_the_prior_and_keeps_what_is_plotted(store: RunStore) -> None:
    pca = record_of(store, "pca")
    rows = {row.metric: row for row in pca.metrics}
    assert {row.status for row in pca.metrics} == {"ok"}
    assert (rows["pag"].n, rows["prior_disagreement[rows=300].all"].n) == (500, 300)
    raw = rows["pag_raw[codes_by=reversal,rows=64].ideal"]
    assert raw.n == 64 and raw.protocol["codes"] == {"codes_train": "reversal"}
    spectra = [store.arrays(pca.cell.key, row)["spectrum"] for row in (rows["pag"], raw)]
    assert len(spectra[0]) == len(spectra[1]) > 1 and not np.array_equal(spectra[0], spectra[1])
    assert raw.value == ideal_prior_agreement(64, len(spectra[0]), scaled=False)
    farthest = rows["prior_disagreement[rows=300].farthest"]
    assert set(store.arrays(pca.cell.key, farthest)) == {"distances", "codes"}
    with Image.open(store.pictures(pca.cell.key, farthest)["farthest"]) as picture:
        assert picture.width > picture.height  # three rows of eight


def test_in_a_run_paths_go_by_pixels_unless_features_are_selected(store: RunStore) -> None:
    pca = record_of(store, "pca")
    rows = {row.metric: row for row in pca.metrics}
    assert rows["path_length.ratio"].protocol["features"] == "pixels"
    assert rows["path_length[features=classifier].ratio"].protocol["features"] not in ("pixels", None)
    assert rows["path_length.ratio"].value == pytest.approx(1, abs=0.05)  # linear but for clipping to [0, 1]
    assert store.arrays(pca.cell.key, rows["path_from_average.path"])["path"].shape == (33,)
    assert rows["cluster_ratio[rows=60].tsne"].n == 60


def test_a_method_without_codes_is_skipped_with_a_reason(store: RunStore) -> None:
    rows = record_of(store, "real").metrics
    assert len(rows) == len(LATENT)
    assert {(row.status, row.reason) for row in rows} == {("skipped", "the method has no decode")}
