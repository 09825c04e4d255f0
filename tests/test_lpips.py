"""LPIPS is torchmetrics', from the same weights; those of AlexNet cannot be had here and are random in these tests."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchsuite import NotApplicableError, Preparation
from benchsuite.kit.files import sha256
from benchsuite.kit.samples import Reconstructions, Samples
from benchsuite_plugins.features import perceptual
from benchsuite_plugins.features.perceptual import HEADS_SHA256, SHA256, WEIGHTS, Lpips
from benchsuite_plugins.metrics.perceptual import benchsuite_metrics, lpips

models = pytest.importorskip("torchvision.models")
theirs = pytest.importorskip("torchmetrics.functional.image.lpips")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of AlexNet under their names, the large linear layers, which LPIPS has no use for, cut short."""
    with torch.device("meta"):
        shapes = models.alexnet(weights=None).state_dict()
    noise = torch.Generator().manual_seed(0)
    weights = {}
    for name, tensor in shapes.items():
        shape = tensor.shape if name.startswith("features") else tensor.shape[:1]
        drawn = torch.randn(shape, generator=noise)
        weights[name] = drawn * math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else drawn / 10
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(weights, path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, beside an empty cache of torch.hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache"


@pytest.fixture
def features(file: Path, cache: Path) -> Callable[[Tensor], Tensor]:
    return Lpips(weights=str(file), sha256=sha256(file)).load(cache, CPU)


def pictures(size: tuple[int, int], channels: int = 3, n: int = 5, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed))


def oracle(weights: Path, x: Tensor, y: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """torchmetrics' distance of each pair, (N,), with the weights of that file in its AlexNet."""

    def filled(net: str, pretrained: bool = False) -> Any:
        layers = models.alexnet(weights=None).features
        known = torch.load(weights, map_location="cpu", weights_only=True)
        layers.load_state_dict({name: known[f"features.{name}"] for name in layers.state_dict()})
        return layers

    monkeypatch.setattr(theirs, "_get_tv_model_features", filled)
    score = theirs.learned_perceptual_image_patch_similarity
    found = score(x, y, net_type="alex", normalize=True, reduction="none")
    assert isinstance(found, Tensor)
    return found


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (47, 90)])
def test_the_squared_distance_of_features_is_lpips(
    size: tuple[int, int], features: Callable[[Tensor], Tensor], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = pictures(size), pictures(size, seed=1)
    y[0] = x[0] + (y[0] - x[0]) / 100  # nearly alike
    y[1] = 0  # all black
    expected = oracle(file, x, y, monkeypatch)
    found = (features(x) - features(y)).square().sum(1)
    assert float(expected.min()) > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_the_metric_is_the_mean_over_reconstructions_in_batches(
    features: Callable[[Tensor], Tensor], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = pictures((32, 32), n=70), pictures((32, 32), n=70, seed=1)
    found = lpips(Reconstructions(y, Samples(x), "encoder"), features)
    assert float(found) == pytest.approx(float(oracle(file, x, y, monkeypatch).mean()), rel=1e-5)
    assert float(lpips(Reconstructions(x, Samples(x), "encoder"), features)) == 0


def test_grey_images_are_repeated(features: Callable[[Tensor], Tensor]) -> None:
    grey = pictures((32, 40), channels=1)
    torch.testing.assert_close(features(grey), features(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("shape", [(3, 31, 64), (1, 16, 16)])
def test_small_images_are_refused(shape: tuple[int, int, int], features: Callable[[Tensor], Tensor]) -> None:
    x = torch.zeros(2, *shape)
    with pytest.raises(NotApplicableError, match="at least 32 x 32"):
        lpips(Reconstructions(x, Samples(x), "encoder"), features)


def test_vectors_have_no_lpips(features: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(NotApplicableError, match="for images"):
        lpips(Reconstructions(torch.zeros(2, 3), Samples(torch.zeros(2, 3)), "encoder"), features)


def test_absent_weights_name_the_command_that_fetches_them(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHSUITE_ALEXNET", raising=False)
    for ask in (Lpips().fingerprint, lambda cache: Lpips().load(cache, CPU)):
        with pytest.raises(NotApplicableError, match="run: benchsuite prepare lpips$"):
            ask(cache)


@pytest.mark.parametrize("place", ["variable", "cache", "hub"])
def test_weights_are_found_and_verified(place: str, file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHSUITE_ALEXNET", raising=False)
    if place == "variable":
        monkeypatch.setenv("BENCHSUITE_ALEXNET", str(file))
    else:
        folder = cache / "sources" / "lpips" if place == "cache" else Path(torch.hub.get_dir()) / "checkpoints"
        folder.mkdir(parents=True)
        (folder / WEIGHTS.source.name).symlink_to(file)
    extractor = Lpips(sha256=sha256(file))
    extractor.prepare(cache, Preparation())  # fetches nothing: the network is refused to tests
    assert extractor.load(cache, CPU)(pictures((32, 32))).ndim == 2
    assert extractor.fingerprint(cache) == f"lpips-alex-{sha256(file)[:12]}-{HEADS_SHA256[:12]}"
    with pytest.raises(NotApplicableError, match=f"{sha256(file)}, not {SHA256}"):
        Lpips().load(cache, CPU)


def test_other_weights_of_the_layers_are_refused(
    file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alex.pth").write_bytes(b"others")
    monkeypatch.setattr(perceptual, "_heads", lambda: tmp_path / "alex.pth")
    with pytest.raises(NotApplicableError, match="alex.pth .*SHA-256 .*another version of torchmetrics"):
        Lpips(weights=str(file), sha256=sha256(file)).load(cache, CPU)


def test_the_weights_of_the_layers_are_those_that_torchmetrics_reads() -> None:
    folder = Path(inspect.getfile(theirs)).parent / "lpips_models"
    assert perceptual._heads() == folder / "alex.pth"


def test_the_metric_is_chosen_only_by_name_and_lower_is_better() -> None:
    (metric,) = benchsuite_metrics()
    assert (metric.name, metric.direction, metric.kind, metric.default) == ("lpips", "min", "image", False)


@pytest.mark.skipif("BENCHSUITE_ALEXNET" not in os.environ, reason="BENCHSUITE_ALEXNET names no weights")
def test_the_real_weights_give_torchmetrics_value(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(os.environ["BENCHSUITE_ALEXNET"])
    assert sha256(path) == SHA256
    x, y = pictures((64, 64)), pictures((64, 64), seed=1)
    features = Lpips().load(cache, CPU)
    found = (features(x) - features(y)).square().sum(1)
    torch.testing.assert_close(found, oracle(path, x, y, monkeypatch), rtol=1e-4, atol=1e-6)
