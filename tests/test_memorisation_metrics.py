"""Generators that copy are found out and honest ones are not; gaps between training and test are what they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchsuite import Dataset, DataSpec, Method, NotApplicableError, Run, Samples, Score
from benchsuite.kit.neighbours import nearest
from benchsuite.kit.samples import Reconstructions
from benchsuite_plugins.datasets.digits import Digits
from benchsuite_plugins.datasets.toys import BivariateNormal, ExponentialPosterior, Grid, Mixture, Ring
from benchsuite_plugins.methods.pca import PCA
from benchsuite_plugins.methods.real import Real
from benchsuite_plugins.metrics.memorisation import Nearest, authpct, benchsuite_metrics, nearest_train, psnr_gap


def once(key: str, make: Callable[[], Nearest]) -> Nearest:
    return make()


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def load(dataset: Dataset, tmp_path: Path) -> tuple[Tensor, Tensor]:
    """Training and test samples, flat."""
    train, test = (dataset.load(split, tmp_path)[:].flatten(1) for split in ("train", "test"))
    return train, test


def alaa(real: Tensor, generated: Tensor) -> float:
    """The percentage of authentic samples, by its definition and all distances."""
    between = torch.cdist(generated.double(), real.double(), compute_mode="donot_use_mm_for_euclid_dist")
    within = torch.cdist(real.double(), real.double(), compute_mode="donot_use_mm_for_euclid_dist")
    own = within.fill_diagonal_(math.inf).amin(1)
    return 100 * float((between.amin(1) > own[between.argmin(1)]).double().mean())


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 2), (1500, 1100, 5), (100, 300, 200)])
def test_authpct_is_its_definition(n: int, m: int, d: int) -> None:
    real, generated = normal(n, d, 0), 0.9 * normal(m, d, 1)
    assert authpct(real, generated, once).value == pytest.approx(alaa(real, generated), abs=1e-9)


def test_a_sample_near_a_repeated_image_is_authentic_only_beyond_the_next_different_one() -> None:
    real = torch.tensor([[0.0], [0.0], [1.0], [5.0]])
    generated = torch.tensor([[0.0], [0.4], [-1.0], [-1.1]])
    assert authpct(real, generated, once).value == 25


def test_the_order_of_rows_does_not_matter() -> None:
    real, generated = normal(50, 3, 0), normal(40, 3, 1)
    generated[:20] = real[:20]
    assert authpct(real.flip(0), generated.flip(0), once) == authpct(real, generated, once)


Copier = Callable[[Tensor, torch.Generator], Tensor]
COPIERS: dict[str, Copier] = {
    "exact copies": lambda x, g: x,
    "copies rounded to bytes": lambda x, g: (x * 0.999 * 255).round() / 255,
    "copies with noise of half a grey level": lambda x, g: x + torch.randn(x.shape, generator=g) / 510,
    "half of them copies": lambda x, g: torch.cat([x[::2], x[1::2] + 0.5 * torch.randn(x[1::2].shape, generator=g)]),
}


@pytest.mark.parametrize("repeated", ["none", "all", "some"])
@pytest.mark.parametrize("name", COPIERS)
def test_copying_digits_disqualifies(name: str, repeated: str, tmp_path: Path) -> None:
    train, _ = load(Digits(), tmp_path)
    generator = torch.Generator().manual_seed(0)
    chosen = train[torch.randint(len(train), (500,), generator=generator)]
    reference = {"none": train, "all": train.repeat(2, 1), "some": torch.cat([train, train[::3]])}[repeated]
    score = authpct(reference, COPIERS[name](chosen, generator), once)
    assert score.disqualifies
    assert score.caution.startswith("copies its training data: ")


def test_held_out_digits_and_the_methods_real_and_pca_do_not_copy(tmp_path: Path) -> None:
    train, test = load(Digits(), tmp_path)
    assert authpct(train, test, once) == Score(pytest.approx(alaa(train, test)))
    samples = Digits().load("train", tmp_path)
    spec = DataSpec(samples.shape, "image", len(samples), Digits.latent_dim)
    methods: list[Method] = [Real(), PCA()]
    for method in methods:
        model = method.build(spec)
        method.fit(model, samples, Run(seed=0, device=torch.device("cpu")))
        reference = torch.ones(len(train), dtype=torch.bool)
        reference[getattr(model, "copied_rows", torch.zeros(0, dtype=torch.long))] = False
        drawn = model.sample(500, torch.Generator().manual_seed(0)).flatten(1)
        score = authpct(train[reference], drawn, once)
        assert score.value > 40 and not score.caution and not score.disqualifies


LAWS = (Mixture, BivariateNormal, Ring, Grid, ExponentialPosterior)


@pytest.mark.parametrize("dataset", LAWS)
def test_on_a_line_and_in_a_plane_only_copies_are_copies(dataset: Callable[..., Any], tmp_path: Path) -> None:
    # Seeds 0-2. By chance 10 % on a line, and 1 % in a plane, are as near to a training row as a copy.
    toy = dataset(size=3000)
    law, (train, _) = toy.truth(), load(toy, tmp_path)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        honest = law.sample(1000, generator)
        blurred = honest + 0.1 * torch.randn(honest.shape, generator=generator)
        collapsed = honest[:1].repeat(1000, 1)
        for samples in (honest, blurred, collapsed):
            assert not authpct(train, samples, once).disqualifies
        assert authpct(train, torch.cat([honest[:500], train[:500]]), once).disqualifies


def test_samples_of_data_that_repeat_are_not_called_copies() -> None:
    # Numbers from 0 to 9 in two coordinates: whoever knows the law hits training rows.
    generator = torch.Generator().manual_seed(0)
    train, samples = (torch.randint(0, 10, (n, 2), generator=generator).float() for n in (2000, 500))
    score = authpct(train, samples, once)
    assert not score.disqualifies and score.caution.startswith("copying cannot be told: 100% of the training data")


def test_authpct_needs_two_different_training_images() -> None:
    with pytest.raises(NotApplicableError, match="two training images are needed; 1 can be"):
        authpct(normal(1, 2, 0), normal(5, 2, 1), once)
    with pytest.raises(NotApplicableError, match="all training images are the same"):
        authpct(torch.ones(5, 2), normal(5, 2, 1), once)


def test_nearest_train_gives_median_distances_and_their_ratio() -> None:
    real = torch.tensor([[0.0], [10.0], [20.0]])
    rows = nearest_train(real, torch.tensor([[0.0], [11.0], [25.0]]), torch.tensor([[2.0], [12.0], [22.0]]), once)
    assert rows == {"generated": 1, "test": 2, "ratio": 0.5}
    assert nearest_train(real, real, real, once) == {"generated": 0, "test": 0}
    with pytest.raises(NotApplicableError, match="no training image"):
        nearest_train(real[:0], real, real, once)


def test_nearest_train_and_authpct_share_one_search() -> None:
    made: dict[str, Nearest] = {}

    def shared(key: str, make: Callable[[], Nearest]) -> Nearest:
        if key not in made:
            made[key] = make()
        return made[key]

    real, generated = normal(30, 2, 0), normal(20, 2, 1)
    authpct(real, generated, shared)
    (found,) = made.values()
    assert torch.equal(found[0], nearest(generated, real)[0])
    nearest_train(real, generated, generated, shared)
    assert len(made) == 1


def reconstructions(error: float, kind: str = "image") -> Reconstructions:
    original = torch.full((6, 1, 4, 4) if kind == "image" else (6, 4), 0.5)
    return Reconstructions(original + error, Samples(original), "encoder")


def test_the_psnr_gap_is_the_difference_of_means_in_decibels() -> None:
    assert float(psnr_gap(reconstructions(0.1), reconstructions(0.01))) == pytest.approx(20, abs=1e-4)
    with pytest.raises(NotApplicableError, match="pSNR is for images"):
        psnr_gap(reconstructions(0.1, "vector"), reconstructions(0.1, "vector"))


def test_the_plugin_chooses_authpct_unasked() -> None:
    metrics = {metric.name: metric for metric in benchsuite_metrics()}
    assert {name: (m.direction, m.unit, m.default) for name, m in metrics.items()} == {
        "authpct": ("none", "%", True),
        "nearest_train": ("none", "", False),
        "psnr_gap": ("none", "dB", False),
    }
