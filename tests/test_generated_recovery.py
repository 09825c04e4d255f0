"""What trained DCGANs generate is found again, and what noise and real images do to that, on digits with 20 dimensions.

Three generators, of seeds 0, 1 and 2, with the defaults; the other seeds are those of the models. Scores are printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from benchsuite import DataSpec, Model, Run, Samples
from benchsuite.harness.registry import load_registry
from benchsuite.kit.coding import reversed_codes
from benchsuite.kit.latents import prior_agreement
from benchsuite.kit.samples import evenly_spaced
from benchsuite_plugins.metrics.noise import noise_error, noise_slope
from benchsuite_plugins.metrics.recovery import psnr_generated, recovery_consistency, recovery_success

pytestmark = pytest.mark.slow
Shared = Callable[[str, Callable[[], Any]], Any]


@pytest.fixture(scope="module", autouse=True)
def one_thread_while_training() -> Iterator[None]:
    """As tests have it themselves: with two, the fixtures of a module take several times as long on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Samples]:
    dataset, cache = load_registry().get("datasets", "digits")(), tmp_path_factory.mktemp("cache")
    return {split: dataset.load(split, cache) for split in ("train", "test")}


@pytest.fixture(scope="module", params=[0, 1, 2])
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def dcgan(seed: int, digits: dict[str, Samples]) -> Model:
    train = digits["train"]
    method = load_registry().get("methods", "dcgan")(latent_dim=20)
    torch.manual_seed(seed)
    model: Model = method.build(DataSpec(train.shape, "image", len(train), latent_dim=20))
    method.fit(model, train, Run(seed=seed, device=torch.device("cpu")))
    return model.eval()


@pytest.fixture(scope="module")
def shared(seed: int) -> Shared:
    made: dict[str, Any] = {}

    def once(key: str, make: Callable[[], Any]) -> Any:
        if key not in made:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                made[key] = make()
        return made[key]

    return once


@torch.no_grad()
def test_images_that_a_gan_generates_are_reconstructed_above_50_decibels(dcgan: Model, shared: Shared) -> None:
    """At least 95% of them, and their codes are found: Bojanowski et al. (2018), section 4.4."""
    success, decibels = recovery_success(dcgan, shared), psnr_generated(dcgan, shared)
    print(success.value, decibels.value)
    assert isinstance(success.value, dict) and isinstance(decibels.value, dict)
    assert decibels.value["p5"] > 50
    assert success.value["1e-4"] >= 0.95


@torch.no_grad()
def test_the_error_of_codes_grows_in_proportion_to_the_variance_of_noise(dcgan: Model, shared: Shared) -> None:
    slope = noise_slope(dcgan, shared).value
    print(noise_error(dcgan, shared).value, slope)
    assert slope == pytest.approx(1, abs=0.15)


@torch.no_grad()
def test_codes_found_for_a_real_image_are_nearer_to_each_other_than_draws_of_the_prior(
    dcgan: Model, digits: dict[str, Samples], shared: Shared, seed: int
) -> None:
    """Nearer, not equal: least squares has several solutions for images that were not generated."""
    score = recovery_consistency(dcgan, digits["test"], shared, torch.Generator().manual_seed(seed))
    print(score.value)
    assert isinstance(score.value, dict)
    assert 0.01 < score.value[""] < 0.95 * score.value["baseline"]


@torch.no_grad()
def test_raw_prior_agreement_grows_with_the_number_of_codes_and_scaled_does_not(
    dcgan: Model, digits: dict[str, Samples]
) -> None:
    """Of the same generator: so that raw scores compare for equal numbers only (Kilcher et al., 2017, eq. 2)."""
    train = digits["train"]
    codes = reversed_codes(dcgan, train.subset(evenly_spaced(len(train), 1024)), torch.Generator().manual_seed(0))
    some = {n: codes[evenly_spaced(1024, n)] for n in (256, 512, 1024)}
    raw = {n: prior_agreement(z, scaled=False) for n, z in some.items()}
    scaled = {n: prior_agreement(z) for n, z in some.items()}
    print(raw, scaled)
    assert raw[1024] > 1.5 * raw[512] > 1.5**2 * raw[256]
    assert max(scaled.values()) < 1.25 * min(scaled.values())
