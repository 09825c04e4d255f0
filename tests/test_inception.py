"""Inception's features are those of the packages that its presets name, and its weights are found, verified or refused.

The real weights cannot be had here: all but the last test use random ones in their format.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchsuite import NotApplicableError, ParameterError, Preparation, PreparationError
from benchsuite.kit.features import PublishedWeights, verified_weights
from benchsuite.kit.files import sha256
from benchsuite.parameters import convert
from benchsuite_plugins.features import inception as plugin
from benchsuite_plugins.features.inception import SHA256, WEIGHTS, Inception, fid_inception

theirs = pytest.importorskip("pytorch_fid.inception")

CPU = torch.device("cpu")
PRESETS = list(Inception.presets)
NAMES = [WEIGHTS.source.name, *WEIGHTS.other_names]


def random_weights() -> dict[str, Tensor]:
    """What pytorch-fid's network could hold, with activations that neither vanish nor explode."""
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(theirs, "load_state_dict_from_url", lambda *arguments, **keywords: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *arguments, **keywords: None)
        shapes = theirs.fid_inception_v3().state_dict()
    noise = torch.Generator().manual_seed(0)

    def drawn(name: str, shape: torch.Size) -> Tensor:
        if name.endswith("num_batches_tracked"):
            return torch.tensor(0)
        x = torch.randn(shape, generator=noise)
        if len(shape) > 1:
            return x * math.sqrt(2 / math.prod(shape[1:]))
        return 1 + x.abs() / 4 if name.endswith(("running_var", "bn.weight")) else x / 10

    return {name: drawn(name, tensor.shape) for name, tensor in shapes.items()}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in the real ones' format."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(random_weights(), path)
    return path


@pytest.fixture(scope="module")
def given(file: Path) -> dict[str, str]:
    """The parameters that select it."""
    return {"weights": str(file), "sha256": sha256(file)}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, beside an empty cache of torch.hub, with no weights named by the environment."""
    monkeypatch.delenv("BENCHSUITE_INCEPTION", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache"


def pictures(size: int, channels: int = 3, n: int = 3) -> Tensor:
    """Smooth and rough 8-bit images in [0, 1], black and white included, (n, channels, size, size + 3)."""
    noise = torch.rand(n, channels, size, size + 3, generator=torch.Generator().manual_seed(size))
    noise[0] = torch.nn.functional.avg_pool2d(noise[0], 5, 1, 2, count_include_pad=False)
    noise[-1, :, : size // 2] = noise[-1, :, : size // 2].round()
    return (noise * 255).round() / 255


def bytes_of(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)


class _Stop(torch.nn.Module):
    """Raises what it is called with: the input of the network."""

    def forward(self, x: Tensor) -> Tensor:
        raise _ReachedError(x)


class _ReachedError(Exception):
    pass


def input_of(net: torch.nn.Module, first: str, images: Tensor) -> Tensor:
    """What ``net`` hands to its first layer, whose attribute is ``first``."""
    held = net.get_submodule(first)
    parent, _, name = first.rpartition(".")
    net.get_submodule(parent)._modules[name] = _Stop()
    try:
        with pytest.raises(_ReachedError) as reached:
            net(images)
    finally:
        net.get_submodule(parent)._modules[name] = held
    (x,) = reached.value.args
    assert isinstance(x, Tensor)
    return x


class Package:
    """Another package's own network, and the way it takes images in [0, 1]."""

    def __init__(self, preset: str, file: Path, patch: pytest.MonkeyPatch) -> None:
        self.preset = preset
        self.net: Any
        patch.setattr(torch.nn.init, "kaiming_uniform_", lambda tensor, **keywords: tensor)  # it takes a second
        if preset in ("pytorch-fid", "clean"):  # clean-fid's own network is a file that it downloads
            weights = torch.load(file, weights_only=True)
            patch.setattr(theirs, "load_state_dict_from_url", lambda *arguments, **keywords: weights)
            clean = preset == "clean"
            self.net = theirs.InceptionV3(resize_input=not clean, normalize_input=not clean).eval()
        elif preset == "torch-fidelity":
            module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
            self.net = module.FeatureExtractorInceptionV3("x", ["2048", "logits_unbiased"], str(file))
        else:
            pytest.importorskip("torch_fidelity")
            fid = pytest.importorskip("torchmetrics.image.fid")
            self.net = fid.NoTrainInceptionV3("x", ["2048"], str(file))

    def taken(self, images: Tensor) -> Tensor:
        if self.preset == "pytorch-fid":
            return images  # files of it, read by torchvision's ToTensor
        if self.preset == "clean":
            resize = pytest.importorskip("cleanfid.resize").build_resizer("clean")
            resized = np.stack([resize(image.permute(1, 2, 0).numpy()) for image in bytes_of(images)])
            return (torch.from_numpy(resized).permute(0, 3, 1, 2) - 128) / 128  # as its InceptionV3W.forward does
        if self.preset == "torchmetrics":
            return (images * 255).byte()  # as its FrechetInceptionDistance.update does with normalize=True
        return bytes_of(images)

    def input(self, images: Tensor) -> Tensor:
        return input_of(self.net, "blocks.0.0" if hasattr(self.net, "blocks") else "Conv2d_1a_3x3", self.taken(images))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        out = self.net(self.taken(images))
        return (out if isinstance(out, Tensor) else out[0]).flatten(1)


@pytest.fixture(scope="module", params=PRESETS)
def package(request: pytest.FixtureRequest, file: Path) -> Iterator[Package]:
    with pytest.MonkeyPatch.context() as patch:
        yield Package(request.param, file, patch)


@pytest.mark.parametrize("size", [8, 64, 400])
def test_a_preset_feeds_the_network_what_its_package_does(package: Package, size: int) -> None:
    images = pictures(size)
    expected = package.input(images)
    found = Inception.preset(package.preset).network_input(images)
    exact = package.preset != "clean"
    torch.testing.assert_close(found, expected, rtol=0, atol=0 if exact else 1e-6)


def test_images_as_large_as_the_network_wants_are_not_resized(package: Package) -> None:
    images = pictures(302)[:, :, :299, :299]
    expected = package.input(images)
    assert torch.equal(Inception.preset(package.preset).network_input(images), expected)
    levels = images * 255
    unresized = 2 * images - 1 if package.preset == "pytorch-fid" else (levels.round() - 128) / 128
    assert torch.equal(expected, unresized)


def test_a_preset_has_its_packages_features(package: Package, given: dict[str, str], cache: Path) -> None:
    images = pictures(32)
    expected = package.features(images)
    found = Inception.preset(package.preset, **given).load(cache, CPU)(images)
    assert found.shape == (3, 2048) and found.dtype == torch.float32
    scale = float(expected.std())
    assert scale > 0.01
    assert float((found - expected).abs().max()) <= 1e-6 * float(expected.abs().max())


def test_generated_floats_are_rounded_as_each_package_does(package: Package) -> None:
    images = pictures(299)
    floats = (images + torch.rand(images.shape, generator=torch.Generator().manual_seed(1)) * 0.9 / 255).clamp(max=1)
    written = images if package.preset == "torchmetrics" else bytes_of(floats) / 255.0
    found = Inception.preset(package.preset).network_input(floats)
    assert torch.equal(found, Inception.preset(package.preset).network_input(written))
    kept = replace(Inception.preset(package.preset), rounding="none").network_input(floats)
    assert not torch.equal(kept, found)


def test_the_default_is_the_protocol_of_pytorch_fid() -> None:
    assert Inception() == Inception.preset("pytorch-fid")


def test_logits_are_those_that_inception_scores_go_by(file: Path, given: dict[str, str], cache: Path) -> None:
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    net = module.FeatureExtractorInceptionV3("x", ["2048", "logits_unbiased"], str(file))
    features, expected = net(bytes_of(pictures(32)))
    extractor: Any = Inception(**given).load(cache, CPU)
    found = extractor.logits(features)
    assert found.shape == (3, 1008)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_grey_images_are_repeated_and_batches_change_nothing(given: dict[str, str], cache: Path) -> None:
    extractor = Inception(**given).load(cache, CPU)
    grey = pictures(16, channels=1, n=9)
    together = extractor(grey)
    torch.testing.assert_close(together[7:], extractor(grey[7:].repeat(1, 3, 1, 1)), rtol=1e-5, atol=1e-5)
    with pytest.raises(NotApplicableError, match="1 or 3 channels"):
        extractor(torch.zeros(2, 4, 16, 16))


def test_half_precision_is_close_and_says_so_in_its_fingerprint(given: dict[str, str], cache: Path) -> None:
    exact, rough = Inception(**given), Inception(**given, precision="bf16")
    images = pictures(32)
    a, b = exact.load(cache, CPU)(images), rough.load(cache, CPU)(images)
    error = float((a - b).norm() / a.norm())
    assert 1e-5 < error < 2e-2 and b.dtype == torch.float32
    assert exact.fingerprint(cache) != rough.fingerprint(cache)


def test_every_step_before_the_network_is_in_the_fingerprint(given: dict[str, str], cache: Path) -> None:
    variants = [Inception.preset(preset, **given) for preset in PRESETS]
    base = Inception(**given)
    variants += [replace(base, rounding="none"), replace(base, scaling="tensorflow"), replace(base, antialias=True)]
    assert len({variant.fingerprint(cache) for variant in variants}) == len(variants)
    assert base.fingerprint(cache).startswith(f"inception-{given['sha256'][:12]}-")


def test_tensorflow_1_had_no_antialiasing() -> None:
    with pytest.raises(ParameterError, match="resize=bilinear"):
        Inception(resize="tensorflow", antialias=True)
    chosen = convert("inception", Inception, {"preset": "clean", "antialias": "false"})
    assert Inception(**chosen) == Inception(resize="bicubic", scaling="tensorflow")


def test_weights_that_are_nowhere_name_the_command_that_fetches_them(cache: Path) -> None:
    for ask in (Inception().fingerprint, lambda cache: Inception().load(cache, CPU)):
        with pytest.raises(NotApplicableError, match="run: benchsuite prepare inception$"):
            ask(cache)


@pytest.mark.parametrize("place", ["field", "variable", "cache", *NAMES])
def test_weights_are_found_at_every_place(
    place: str, file: Path, given: dict[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = Inception(sha256=given["sha256"])
    if place == "field":
        extractor = Inception(**given)
    elif place == "variable":
        monkeypatch.setenv("BENCHSUITE_INCEPTION", str(file))
    else:
        hub = Path(torch.hub.get_dir()) / "checkpoints" / place
        path = cache / "sources" / "inception" / WEIGHTS.source.name if place == "cache" else hub
        path.parent.mkdir(parents=True)
        path.symlink_to(file)
    assert extractor.fingerprint(cache)
    said: list[str] = []
    extractor.prepare(cache, Preparation(say=said.append))  # fetches nothing: the network is refused to tests
    assert len(said) == (place != "cache")
    if place in ("variable", "cache"):
        assert WEIGHTS.read(cache, None, given["sha256"]).keys() == torch.load(file, weights_only=True).keys()


def test_the_folder_of_torch_hub_follows_its_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variables in ({"TORCH_HOME": "~/x"}, {"XDG_CACHE_HOME": str(tmp_path)}, {}):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        expected = Path(torch.hub.get_dir()) / "checkpoints"
        absent = PublishedWeights("inception", replace(WEIGHTS.source, name="none.pth"), "BENCHSUITE_NONE")
        with pytest.raises(NotApplicableError) as raised:
            absent.find(tmp_path)
        assert f"nor in {expected};" in str(raised.value)


@pytest.mark.parametrize("by", ["field", "variable"])
def test_a_path_that_names_no_file_is_not_passed_over(
    by: str, file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = cache / "sources" / "inception" / WEIGHTS.source.name
    own.parent.mkdir(parents=True)
    own.symlink_to(file)
    monkeypatch.setenv("BENCHSUITE_INCEPTION", str(file) if by == "field" else "nowhere.pth")
    extractor = Inception(weights="nowhere.pth" if by == "field" else None)
    with pytest.raises(NotApplicableError, match=f"{'weights' if by == 'field' else 'BENCHSUITE_INCEPTION'}.*nowhere"):
        extractor.fingerprint(cache)
    with pytest.raises(PreparationError, match="nowhere"):
        extractor.prepare(cache, Preparation())


def test_other_weights_than_promised_are_refused_before_they_are_read(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(b"not even weights")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    extractor = Inception(weights=str(path))
    monkeypatch.setattr(torch, "load", lambda *arguments, **keywords: pytest.fail("it was read"))
    with pytest.raises(NotApplicableError) as raised:
        extractor.load(cache, CPU)
    for part in ("other.pth", str(tmp_path), found, SHA256, "remove this one and run: benchsuite prepare inception"):
        assert part in str(raised.value)
    with pytest.raises(PreparationError, match=f"{found}, not {SHA256}"):
        extractor.prepare(cache, Preparation())


def test_weights_of_another_checksum_cannot_be_fetched(cache: Path, given: dict[str, str]) -> None:
    with pytest.raises(PreparationError, match=f"no address is known .*\n.*SHA-256 {given['sha256']}"):
        Inception(sha256=given["sha256"]).prepare(cache, Preparation())


def test_the_files_checksum_is_the_one_in_its_name() -> None:
    assert SHA256.startswith(Path(NAMES[0]).stem.rpartition("-")[2])
    assert WEIGHTS.source.sha256 == SHA256 and Inception().sha256 == SHA256


def test_old_files_without_the_counters_of_batch_norms_are_read(file: Path) -> None:
    weights = torch.load(file, weights_only=True)
    without = {name: tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
    first, second = fid_inception(weights).state_dict(), fid_inception(without).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.skipif("BENCHSUITE_INCEPTION" not in os.environ, reason="BENCHSUITE_INCEPTION names no weights")
def test_the_real_weights_have_pytorch_fids_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(os.environ["BENCHSUITE_INCEPTION"])
    assert sha256(path) == SHA256
    weights = torch.load(path, map_location="cpu", weights_only=True)
    monkeypatch.setattr(theirs, "load_state_dict_from_url", lambda *arguments, **keywords: weights)
    images = pictures(64, n=2)
    with torch.no_grad():
        expected = theirs.InceptionV3().eval()(images)[0].flatten(1)
    found = plugin.Inception().load(tmp_path, CPU)(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_weights_of_another_network_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for content in ({"fc.weight": torch.zeros(3)}, {}):
        torch.save(content, tmp_path / "other.pth")
        chosen = Inception(weights=str(tmp_path / "other.pth"), sha256=sha256(tmp_path / "other.pth"))
        with pytest.raises(NotApplicableError, match="inception: the file holds the weights of another network"):
            chosen.load(tmp_path, CPU)


@pytest.mark.parametrize("name", ["junk.pth", "junk.safetensors"])
def test_a_file_that_is_none_of_weights_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(NotApplicableError, match=f"weights {name} in .* cannot be read"):
        verified_weights(tmp_path / name, sha256(tmp_path / name))
