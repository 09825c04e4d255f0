"""Extractors that need no download: what ships is what its script makes, and classifiers are trained once and kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchsuite import Dataset, NotApplicableError, Preparation, Samples, Split
from benchsuite.harness.binding import extractor_of
from benchsuite.harness.registry import load_registry
from benchsuite.kit.classifiers import FeatureClassifier, SmallClassifier, fit_classifier
from benchsuite.kit.files import locked, sha256
from benchsuite_plugins.datasets.digits import Digits
from benchsuite_plugins.datasets.mnist import Mnist
from benchsuite_plugins.datasets.npz import Npz
from benchsuite_plugins.datasets.toys import Ring
from benchsuite_plugins.features import random_conv
from benchsuite_plugins.features.classifier import Classifier, TrainedClassifier
from benchsuite_plugins.features.make_random_conv import draw
from benchsuite_plugins.features.pixels import Pixels
from benchsuite_plugins.features.random_conv import RandomConv

CPU = torch.device("cpu")
HERE = Path()


# random_conv and pixels


def test_the_shipped_random_filters_are_those_of_the_script() -> None:
    shipped = random_conv.verified_weights(random_conv.WEIGHTS, random_conv.SHA256)
    drawn = draw(0)
    assert shipped.keys() == drawn.keys()
    for name, tensor in shipped.items():
        torch.testing.assert_close(tensor, drawn[name])
    assert random_conv.WEIGHTS.stat().st_size < 150_000


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 21), (1, 28, 28), (3, 128, 128)])
def test_random_filters_take_images_of_any_size_grey_or_in_colour(shape: tuple[int, int, int]) -> None:
    features = RandomConv().load(HERE, CPU)
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    found = features(x)
    assert found.shape == (5, 96) and bool(torch.isfinite(found).all())
    torch.testing.assert_close(features(x.expand(-1, 3, -1, -1)), found)
    assert float(found.std(0).min()) > 0


@pytest.mark.parametrize("shape", [(1, 7, 8), (1, 8, 7), (2, 8, 8), (16,)])
def test_random_filters_refuse_what_is_too_small_or_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(NotApplicableError, match="at least 8 x 8|1 or 3 channels"):
        RandomConv().load(HERE, CPU)(torch.zeros(2, *shape))


def frechet(a: Tensor, b: Tensor) -> float:
    """Another library's distance."""
    compute = pytest.importorskip("torchmetrics.image.fid")._compute_fid
    a, b = a.double(), b.double()
    return float(compute(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T)))


def test_random_filters_rank_digits_as_the_classifier_does() -> None:
    """Real digits, those in principal components at random, a single class, noise: each at least twice as far."""
    digits = Digits().load("train", HERE)
    noise = torch.Generator().manual_seed(0)
    order = torch.randperm(len(digits), generator=noise)
    real, others = digits[order[:870]], digits[order[870:]]
    _, spread, axes = torch.linalg.svd(real.flatten(1) - real.flatten(1).mean(0), full_matrices=False)
    codes = torch.randn(870, 8, generator=noise) * spread[:8] / len(real) ** 0.5
    blends = (codes @ axes[:8]).view(-1, 1, 16, 16) + real.mean(0)
    assert digits.labels is not None
    threes = digits[digits.labels == 3]
    worse = [others, blends.clamp(0, 1), threes, torch.rand(870, 1, 16, 16, generator=noise)]
    random = RandomConv().load(HERE, CPU)
    distances = [frechet(random(real), random(x)) for x in worse]
    assert all(2 * near < far for near, far in pairwise(distances)), distances


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 2, 2), (7,)])
def test_pixels_are_the_numbers_themselves(shape: tuple[int, ...]) -> None:
    x = torch.rand(6, *shape, dtype=torch.float64)
    found = Pixels().load(HERE, CPU)(x)
    assert found.dtype == torch.float32 and not Pixels.kept
    assert torch.equal(found, x.float().reshape(6, -1))


# the classifier


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (1, 28, 28), (3, 64, 64), (3, 300, 129)])
def test_a_classifier_can_be_made_for_any_size(shape: tuple[int, int, int]) -> None:
    net = SmallClassifier(shape, 4).eval()
    x = torch.rand(2, *shape)
    assert net(x).shape == (2, 48) and net.logits(x).shape == (2, 4)
    assert sum(p.numel() for p in net.parameters()) < 400_000


def test_training_steps_are_counted_and_start_from_the_global_generator() -> None:
    class Counting(SmallClassifier):
        steps = 0

        def logits(self, x: Tensor) -> Tensor:
            self.steps += 1
            return super().logits(x)

    def trained(seed: int) -> FeatureClassifier:
        torch.manual_seed(seed)
        net = Counting((1, 8, 8), 2)
        train = Samples(torch.randint(256, (11, 1, 8, 8), dtype=torch.uint8), torch.arange(11) % 2)
        fit_classifier(net, train, steps=7, batch_size=5, learning_rate=1e-3)
        assert net.steps == 7 and not net.training
        return net

    first, again, other = (trained(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])


def test_logits_follow_from_features(tmp_path: Path) -> None:
    features: Any = Classifier().for_dataset(Digits()).load(tmp_path, CPU)
    test = Digits().load("test", tmp_path)
    logits = features.logits(features(test[:]))
    assert test.labels is not None and logits.shape == (57, 10)
    assert int((logits.argmax(1) == test.labels).sum()) >= 55


@pytest.fixture(scope="module")
def saved_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as somebody's own archive of numpy arrays, of 12 x 14 pixels."""
    path = tmp_path_factory.mktemp("archive") / "digits.npz"
    arrays = {}
    for split in ("train", "test"):
        samples = Digits().load(split, HERE)  # type: ignore[arg-type]
        assert samples.labels is not None
        images = F.interpolate(samples[:], (12, 14), mode="bilinear")
        arrays |= {f"x_{split}": (images * 255).byte().squeeze(1).numpy(), f"y_{split}": samples.labels.numpy()}
    np.savez(path, **arrays)
    return path


@dataclass
class Trained:
    dataset: Npz
    extractor: TrainedClassifier
    cache: Path
    said: list[str]
    reports: list[tuple[str, int, int | None]]


@pytest.fixture(scope="module")
def trained(saved_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A classifier of that archive, in a cache of its own."""
    cache, dataset = tmp_path_factory.mktemp("cache"), Npz(path=str(saved_digits), split="official")
    dataset.prepare(cache, Preparation())
    extractor = Classifier().for_dataset(dataset)
    assert isinstance(extractor, TrainedClassifier)
    made = Trained(dataset, extractor, cache, [], [])
    torch.manual_seed(5)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(5))
    extractor.prepare(cache, Preparation(report=lambda *line: made.reports.append(line), say=made.said.append))
    assert torch.equal(torch.rand(3), expected)  # whoever prepares data draws on from where they were
    return made


def kept(trained: Trained) -> tuple[Path, dict[str, Any]]:
    """The file of weights, and what is written beside it."""
    (weights,) = trained.cache.glob("features/classifier/*.safetensors")
    return weights, json.loads(weights.with_suffix(".json").read_text())


def test_a_classifier_of_any_labelled_images_is_trained_and_knows_them(trained: Trained) -> None:
    features: Any = trained.extractor.load(trained.cache, CPU)
    train, test = (trained.dataset.load(split, trained.cache) for split in ("train", "test"))
    assert test.labels is not None and len(test) == 57
    found = features(train[:])
    assert found.shape == (1740, 48)
    torch.testing.assert_close(found.mean(0), torch.zeros(48), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.std(0), torch.ones(48), atol=1e-3, rtol=0)
    right = float((features.logits(features(test[:])).argmax(1) == test.labels).double().mean())
    assert right >= 0.93
    assert kept(trained)[1]["accuracy"] == pytest.approx(right)
    with pytest.raises(NotApplicableError, match="takes 1 x 12 x 14 images"):
        features(torch.zeros(2, 1, 16, 16))


def test_what_is_kept_says_what_it_is(trained: Trained) -> None:
    weights, about = kept(trained)
    assert about["sha256"] == sha256(weights)
    assert trained.extractor.fingerprint(trained.cache) == f"classifier-{about['sha256'][:12]}"
    assert about["dataset"] == f"npz[path={trained.dataset.path},split=official]"
    assert about["content"] == trained.dataset.content(trained.cache)
    assert weights.stat().st_mode & 0o777 == (weights.parent / f"{weights.stem}.json").stat().st_mode & 0o777
    what, done, of = trained.reports[-1]
    assert what.startswith("training a classifier of npz[") and done == of == about["steps"] == len(trained.reports)
    (line,) = trained.said
    assert line.endswith(f"accuracy on the classes of 57 test images: {about['accuracy']:.1%}")


def test_a_classifier_that_is_there_is_trained_only_when_asked_and_then_to_the_same_bits(trained: Trained) -> None:
    weights, about = kept(trained)
    before = weights.stat().st_mtime_ns
    reports: list[Any] = []
    trained.extractor.prepare(trained.cache, Preparation(report=lambda *line: reports.append(line)))
    assert not reports and weights.stat().st_mtime_ns == before
    trained.extractor.prepare(trained.cache, Preparation(again=True, report=lambda *line: reports.append(line)))
    assert reports and weights.stat().st_mtime_ns != before
    assert kept(trained) == (weights, about)


def test_damaged_weights_are_refused_and_trained_anew(trained: Trained) -> None:
    weights, about = kept(trained)
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(NotApplicableError, match=r"SHA-256 .* run: benchsuite prepare 'npz\[path=.*,split=official\]'"):
        trained.extractor.load(trained.cache, CPU)
    trained.extractor.prepare(trained.cache, Preparation())
    assert weights.read_bytes() == whole and kept(trained)[1] == about


@dataclass(frozen=True)
class Squares(Dataset):
    """Images with a white square or none in each of two corners: its labels say so in one of several ways."""

    name = "squares"
    latent_dim = 2

    labels: str = "attributes"
    seed: int = 0

    def content(self, cache: Path) -> str:
        return str(self.seed)

    def load(self, split: Split, cache: Path) -> Samples:
        generator = torch.Generator().manual_seed(self.seed + (split == "test"))
        images = torch.randint(120, (200, 1, 12, 12), generator=generator).to(torch.uint8)
        marked = torch.randint(2, (200, 2), generator=generator).to(torch.uint8)
        images[:, 0, :4, :4] += 120 * marked[:, 0, None, None]
        images[:, 0, -4:, -4:] += 120 * marked[:, 1, None, None]
        labels = {"attributes": marked, "classes": marked[:, 0].long(), "one": torch.zeros(200, dtype=torch.long)}
        return Samples(images, labels.get(self.labels))


def prepared(dataset: Dataset, cache: Path, **work: Any) -> TrainedClassifier:
    extractor = Classifier().for_dataset(dataset)
    assert isinstance(extractor, TrainedClassifier)
    extractor.prepare(cache, Preparation(**work))
    return extractor


@pytest.mark.parametrize(("labels", "outputs"), [("attributes", 2), ("classes", 2)])
def test_attributes_are_told_apart_one_by_one(labels: str, outputs: int, tmp_path: Path) -> None:
    said: list[str] = []
    extractor = prepared(Squares(labels), tmp_path, say=said.append)
    features: Any = extractor.load(tmp_path, CPU)
    test = Squares(labels).load("test", tmp_path)
    (about,) = (json.loads(path.read_text()) for path in tmp_path.glob("features/classifier/*.json"))
    assert about["outputs"] == outputs and about["accuracy"] > 0.95
    assert ("attributes" in said[0]) == (labels == "attributes")
    if labels == "attributes":
        with pytest.raises(NotApplicableError, match="tells attributes, of which an image has several, and no classes"):
            features.logits(features(test[:]))
    else:
        right = features.logits(features(test[:])).argmax(1) == test.labels
        assert float(right.double().mean()) == pytest.approx(about["accuracy"])


def test_every_dataset_and_content_has_a_classifier_of_its_own(tmp_path: Path) -> None:
    variants = [Squares("classes"), Squares("attributes"), Squares("classes", seed=1)]
    assert len({prepared(dataset, tmp_path).fingerprint(tmp_path) for dataset in variants}) == 3
    assert len(list(tmp_path.glob("features/classifier/*.safetensors"))) == 3


@pytest.mark.parametrize("labels", ["none", "one"])
def test_without_classes_there_is_nothing_to_train_on(labels: str, tmp_path: Path) -> None:
    extractor = Classifier().for_dataset(Squares(labels))
    for ask in (
        extractor.fingerprint,
        lambda cache: extractor.load(cache, CPU),
        lambda cache: extractor.prepare(cache, Preparation()),
    ):
        with pytest.raises(NotApplicableError, match="no classes to tell apart; select features=random_conv"):
            ask(tmp_path)


@pytest.mark.parametrize("name", ["classifier", "inception", "lpips", "random_conv"])
def test_vectors_have_no_features_of_images(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotApplicableError, match=f"features '{name}' are of images, and 'ring' has vectors; select"):
        extractor_of(name, Ring(), tmp_path, load_registry())
    assert extractor_of(None, Ring(), tmp_path, load_registry()).name == "pixels"


def test_a_classifier_that_is_not_there_names_the_command_that_trains_it(saved_digits: Path, tmp_path: Path) -> None:
    absent: list[tuple[Dataset, str]] = [
        (Npz(path=str(saved_digits)), f"'npz[path={saved_digits}]'"),
        (Mnist(size=28), "'mnist[size=28]'"),  # its data are not there either
    ]
    absent[0][0].prepare(tmp_path, Preparation())
    for dataset, selection in absent:
        extractor = Classifier().for_dataset(dataset)
        asks: tuple[Callable[[Path], object], ...] = (extractor.fingerprint, lambda c, e=extractor: e.load(c, CPU))
        for ask in asks:
            with pytest.raises(NotApplicableError) as raised:
                ask(tmp_path)
            assert str(raised.value).endswith(f"run: benchsuite prepare {selection}")


def test_a_dataset_that_wants_no_classifier_is_not_said_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NotApplicableError, match="no classifier is trained for squares, whose own features are random"):
        Classifier().for_dataset(Squares()).fingerprint(tmp_path)


@pytest.mark.parametrize(
    ("labels", "said"), [([5, 5, 5, 5], "no classes to tell apart"), ([0, 10**8, 0, 1], "count from 0")]
)
def test_labels_that_are_no_classes_train_nothing(labels: list[int], said: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "odd.npz", images=images, labels=np.array(labels * 16))
    dataset = Npz(path=str(tmp_path / "odd.npz"))
    dataset.prepare(tmp_path, Preparation())
    with pytest.raises(NotApplicableError, match=said):
        Classifier().for_dataset(dataset).prepare(tmp_path, Preparation())
    assert dataset.default_features(tmp_path) == ("random_conv" if len(set(labels)) == 1 else "classifier")


def test_two_processes_train_one_after_the_other(tmp_path: Path) -> None:
    extractor = prepared(Squares(), tmp_path)
    (weights,) = tmp_path.glob("features/classifier/*.safetensors")
    reports: list[Any] = []
    waits, say = threading.Event(), lambda line: waits.set() if "another process trains" in line else None
    work = Preparation(report=lambda *line: reports.append(line), say=say)
    with locked(weights.with_suffix(".lock")) as mine:
        assert mine
        other = threading.Thread(target=extractor.prepare, args=(tmp_path, work))
        other.start()
        assert waits.wait(30)
    other.join(30)
    assert not other.is_alive() and not reports  # what the first has trained is there
