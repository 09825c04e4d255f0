"""``classifier``: the penultimate layer of a small classifier that was trained on the dataset's own labels.

For ``digits`` its weights ship with the package: three 3 x 3 convolutions and two linear layers; features are the 32
inputs of the last layer before their activation, standardised on the training images, so that none of them is dead.
Made by ``train_digits_classifier.py`` beside this file. For any other labelled dataset ``benchsuite prepare`` trains
one, of 48 features, and keeps it in the cache.

Scores under it are Frechet distances on these very weights and comparable with no published FID; the fingerprint is the
weights' checksum, so that scores under two trainings are never mixed.

Source: own work.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from benchsuite import (
    DataMissingError,
    Dataset,
    FeatureExtractor,
    NotApplicableError,
    Preparation,
    Samples,
    hookimpl,
)
from benchsuite.kit.classifiers import FeatureClassifier, SmallClassifier, accuracy, fit_classifier
from benchsuite.kit.features import verified_weights
from benchsuite.kit.files import digest, locked_in_turn, replacing, sha256, write_text
from benchsuite.kit.prepared import PreparedDataset
from benchsuite.kit.samples import evenly_spaced

WEIGHTS = Path(__file__).with_name("digits_classifier.safetensors")
SHA256 = "0e326ac981693f42fc29092ffcb11748c16045c4c1db8e58c346d0b45992ede0"

_RECIPE = 1  # goes up when training would give another classifier
_IMAGES, _STEPS, _EPOCHS, _BATCH, _RATE = 50_000, 1500, 20, 128, 5e-3
_SMALLEST = 8  # pixels of a side


class DigitsClassifier(FeatureClassifier):
    """(N, 1, 16, 16) in [0, 1] -> (N, 32) standardised features; ``logits`` gives (N, 10)."""

    shape = (1, 16, 16)

    def __init__(self) -> None:
        super().__init__(32)
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1)
        self.conv2 = nn.Conv2d(12, 24, 3, padding=1)
        self.conv3 = nn.Conv2d(24, 24, 3, padding=1)
        self.hidden = nn.Linear(24 * 4 * 4, 32)
        self.output = nn.Linear(32, 10)

    def raw_features(self, x: Tensor) -> Tensor:
        """(N, 32), before activation and standardisation."""
        x = F.silu(self.conv1(x * 2 - 1))
        x = F.max_pool2d(F.silu(self.conv2(x)), 2)
        x = F.max_pool2d(F.silu(self.conv3(x)), 2)
        hidden: Tensor = self.hidden(x.flatten(1))
        return hidden


class ClassifierFeatures:
    """(N, *shape) -> (N, D), images in [0, 1]; ``logits`` gives those of classes."""

    def __init__(
        self, net: FeatureClassifier, shape: tuple[int, ...], of: str, device: torch.device, attributes: bool = False
    ) -> None:
        self._net, self._shape, self._of = net.to(device).eval().requires_grad_(False), shape, of
        self._attributes = attributes

    def __call__(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self._shape:
            wanted = " x ".join(map(str, self._shape))
            raise NotApplicableError(f"the {self._of} takes {wanted} images; got {tuple(x.shape[1:])}")
        out: Tensor = self._net(x)
        return out

    def logits(self, features: Tensor) -> Tensor:
        """(N, D) features -> (N, classes). Raises NotApplicableError for a classifier of attributes."""
        if self._attributes:
            raise NotApplicableError(f"the {self._of} tells attributes, of which an image has several, and no classes")
        return self._net.logits_of_features(features)


@dataclass(frozen=True)
class Classifier(FeatureExtractor):
    """Features of a classifier of the dataset: of digits the shipped one, else one that is trained on the data."""

    name = "classifier"
    kind = "image"

    def for_dataset(self, dataset: Dataset) -> FeatureExtractor:
        """The shipped classifier for digits; for other images the one that is trained on them."""
        if dataset.name == "digits":
            return self
        return TrainedClassifier(dataset)

    def fingerprint(self, cache: Path) -> str:
        """The checksum of the weights; the preprocessing is none."""
        return f"digits-classifier-{SHA256[:12]}"

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The network with its verified weights."""
        net = DigitsClassifier()
        net.load_state_dict(verified_weights(WEIGHTS, SHA256))
        return ClassifierFeatures(net, DigitsClassifier.shape, "digit classifier", device)


@dataclass(frozen=True)
class TrainedClassifier(FeatureExtractor):
    """The classifier of one labelled dataset, trained on its training images and kept in the cache.

    At most 50,000 evenly spaced images, for 20 epochs or 1500 batches of 128, whichever is less; the seed is fixed, and
    so is one thread. The weights depend on the machine in their last bits all the same, and with them the fingerprint.
    """

    name = "classifier"
    kind = "image"

    dataset: Dataset

    def prepare(self, cache: Path, work: Preparation) -> None:
        """Train and keep the classifier, unless that has been done. One process trains, others wait.

        Raises NotApplicableError for data without labels, DataMissingError where the dataset is not prepared.
        """
        train = self._labelled(cache)
        weights = self._weights(cache)
        weights.parent.mkdir(parents=True, exist_ok=True)

        def wait() -> None:
            work.say(f"{self._selection}: another process trains its classifier; waiting")

        with locked_in_turn(weights.with_suffix(".lock"), wait):
            kept = self._kept(cache)
            if kept is None or work.again or sha256(weights) != kept["sha256"]:
                self._train(train, cache, work)

    def fingerprint(self, cache: Path) -> str:
        """The checksum of the weights that this very training gave."""
        return f"classifier-{self._there(cache)['sha256'][:12]}"

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The network with its verified weights."""
        kept = self._there(cache)
        shape = tuple(kept["shape"])
        net = SmallClassifier(shape, kept["outputs"])
        net.load_state_dict(verified_weights(self._weights(cache), kept["sha256"], f"; run: {self._command}"))
        return ClassifierFeatures(net, shape, f"classifier of {self._selection}", device, kept["attributes"])

    def _train(self, train: Samples, cache: Path, work: Preparation) -> None:
        weights, started = self._weights(cache), time.monotonic()
        test = self.dataset.load("test", cache)
        images = train.subset(evenly_spaced(len(train), _IMAGES))
        steps = min(_STEPS, _EPOCHS * -(-len(images) // _BATCH))
        what = f"training a classifier of {self._selection}"
        with _on_one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = SmallClassifier(train.shape, _outputs(train))
            fit_classifier(
                net,
                images,
                steps=steps,
                batch_size=_BATCH,
                learning_rate=_RATE,
                report=lambda done, of: work.report(what, done, of),
            )
        known = accuracy(net, test)
        with replacing(weights) as temporary:
            temporary.write_bytes(save(net.state_dict()))  # save_file makes files that nobody else may read
        about = {
            "sha256": sha256(weights),
            "accuracy": known,
            "dataset": self._selection,
            "content": self.dataset.content(cache),
            "shape": train.shape,
            "outputs": _outputs(train),
            "attributes": train.n_classes is None,
            "images": len(images),
            "steps": steps,
            "recipe": _RECIPE,
        }
        write_text(weights.with_suffix(".json"), json.dumps(about, indent=1))
        told = "classes" if train.n_classes else "attributes"
        seconds = time.monotonic() - started
        work.say(
            f"{self._selection}: a classifier for features was trained in {seconds:.0f} s; "
            f"accuracy on the {told} of {len(test)} test images: {known:.1%}"
        )

    def _labelled(self, cache: Path) -> Samples:
        """The training images. Raises NotApplicableError where there is nothing to tell apart."""
        train = self.dataset.load("train", cache)
        if train.labels is None or (train.labels.ndim == 1 and len(torch.unique(train.labels)) < 2):
            raise NotApplicableError(
                f"classifier: dataset '{self.dataset.name}' has no classes to tell apart; select features=random_conv"
            )
        if _outputs(train) > len(train):
            raise NotApplicableError(
                f"classifier: dataset '{self.dataset.name}' has {_outputs(train)} classes for {len(train)} images: "
                "its labels must count from 0"
            )
        if min(train.shape[1:]) < _SMALLEST:
            raise NotApplicableError(f"classifier: images of at least {_SMALLEST} px are needed; got {train.shape}")
        return train

    def _there(self, cache: Path) -> dict[str, Any]:
        """What is kept. Raises NotApplicableError where nothing is, or can be."""
        try:
            kept = self._kept(cache)
            if kept is None:
                self._labelled(cache)
        except DataMissingError as error:
            raise NotApplicableError(str(error)) from None
        if kept is None and self.dataset.default_features(cache) != self.name:
            raise NotApplicableError(
                f"no classifier is trained for {self._selection}, whose own features are "
                f"{self.dataset.default_features(cache)}"
            )
        if kept is None:
            raise NotApplicableError(f"no classifier of {self._selection} is in the cache; run: {self._command}")
        return kept

    def _kept(self, cache: Path) -> dict[str, Any] | None:
        weights = self._weights(cache)
        try:
            about = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return about if weights.exists() and isinstance(about, dict) and "sha256" in about else None

    def _weights(self, cache: Path) -> Path:
        content = self.dataset.content(cache)
        # Where prepared data came from does not matter: the same content elsewhere is the same dataset.
        values = {name: value for name, value in vars(self.dataset).items() if name != "path" or not content}
        identity = [self.dataset.name, values, content, _RECIPE]
        return cache / "features" / "classifier" / f"{digest(identity)}.safetensors"

    @property
    def _selection(self) -> str:
        """The dataset as the command line names it, with its split, since that decides what is trained on."""
        if not isinstance(self.dataset, PreparedDataset):
            return self.dataset.name
        written = self.dataset.selection
        if self.dataset.split == "evenly_spaced":
            return written
        split = f"split={self.dataset.split}"
        return f"{written[:-1]},{split}]" if written.endswith("]") else f"{written}[{split}]"

    @property
    def _command(self) -> str:
        return f"benchsuite prepare {shlex.quote(self._selection)}"


def _outputs(train: Samples) -> int:
    """How many classes or attributes there are; 0 without labels."""
    return train.n_classes or (0 if train.labels is None or train.labels.ndim == 1 else train.labels.shape[1])


@contextmanager
def _on_one_thread() -> Iterator[None]:
    """Another number of threads gives other bits; on layers this small it gains little, on a busy machine it loses."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@hookimpl
def benchsuite_features() -> Sequence[type[FeatureExtractor]]:
    """Provides ``classifier``."""
    return [Classifier]
