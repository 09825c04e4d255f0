"""Evaluation: the artefacts that metrics ask for by name, each made at most once per cell, in eval mode, and timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchsuite.contracts import Dataset, DataSpec, MetricRow, Model
from benchsuite.errors import ContractError, DivergedError, NotApplicableError, PluginError
from benchsuite.harness.binding import BoundMetric, extractor_of
from benchsuite.harness.identity import digest
from benchsuite.harness.registry import Registry
from benchsuite.kit.features import extract
from benchsuite.kit.nets import frozen
from benchsuite.kit.recovery import recover
from benchsuite.kit.samples import Reconstructions, Samples, evenly_spaced
from benchsuite.kit.timing import Timings

_BATCH = 256
TRAIN_IMAGES = 256  # training images that are reconstructed, the same ones for every method
_RESTARTS = 2
_TOLERANCE = 1e-4  # how far outside [0, 1] rounding may take an image
# Which artefact's length a row counts as its n, the first that the metric asks for.
_COUNTED = ("generated_features", "generated", "reconstructed_train", "reconstructed", "codes_train", "codes", "real")


class Evaluation:
    """The artefacts of one fitted model. Everything lives on the model's device."""

    def __init__(
        self,
        *,
        model: Model,
        method: str,
        spec: DataSpec,
        dataset: Dataset,
        train: Samples,
        cache: Path,
        seed: int,
        samples: int,
        registry: Registry,
        timings: Timings,
    ) -> None:
        self.model, self.method, self.spec, self.dataset, self.train = model, method, spec, dataset, train
        self._cache, self._seed, self._samples = cache, seed, samples
        self._registry, self._timings = registry, timings
        self._made: dict[tuple[str, str | None], Any] = {}
        self.sources: dict[str, str] = {}
        self._makers: dict[str, Callable[[], Any]] = {
            "real": self._real,
            "train": lambda: self.train,
            "labels": self._labels,
            "generated": self._generated,
            "reconstructed": self._reconstructed,
            "reconstructed_train": self._reconstructed_train,
            "codes": lambda: self._codes_test()[0],
            "codes_train": lambda: self._codes_train()[0],
            "model": lambda: self.model,
            "spec": lambda: self.spec,
        }

    def score(self, bound: BoundMetric) -> list[MetricRow]:
        """The rows of one metric. What it raises marks its own row and nothing else."""
        metric = bound.metric
        try:
            arguments = [self._artefact(name, bound) for name in bound.artefacts]
            with self._timings.phase(f"metric.{metric.name}"), torch.no_grad():
                result = metric.compute(*arguments, **bound.params)
            values = result if isinstance(result, Mapping) else {"": result}
            n = self._count(bound, arguments)
            return [self._row(bound, key, float(value), n) for key, value in values.items()]
        except NotApplicableError as error:
            return [unscored(bound, "skipped", str(error))]
        except Exception as error:
            return [unscored(bound, "error", f"{type(error).__name__}: {error}")]

    def picture(self, n: int) -> Tensor:
        """``n`` samples to look at; the first of those that are scored where they were made already."""
        generated: Samples | None = self._made.get(("generated", None))
        return generated[:n] if generated else self._draw(n, self._generator("generated"))

    def _row(self, bound: BoundMetric, key: str, value: float, n: int | None) -> MetricRow:
        metric = bound.metric
        name = f"{bound.selection}.{key}" if key else bound.selection
        row = (name, bound.selection, value, metric.unit, metric.direction, n, bound.fingerprint)
        if value != value:
            return MetricRow(*row[:2], None, *row[3:], status="error", reason="the metric returned NaN")
        return MetricRow(*row)

    def _count(self, bound: BoundMetric, arguments: list[Any]) -> int | None:
        sized = dict(zip(bound.artefacts, arguments, strict=True))
        return next((len(sized[name]) for name in _COUNTED if name in sized), None)

    def _artefact(self, name: str, bound: BoundMetric) -> Any:
        if name == "generator":
            return self._generator(f"metric/{bound.selection}")  # a fresh one, so that metrics stay independent
        features = bound.params.get("features") if name.endswith("_features") else None
        key = (name, features)
        if key not in self._made:
            try:
                self._made[key] = self._features(name, features) if name.endswith("_features") else self._makers[name]()
            except NotApplicableError as error:
                self._made[key] = error
        if isinstance(self._made[key], NotApplicableError):
            raise self._made[key]
        return self._made[key]

    def _generator(self, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(int(digest([self._seed, purpose], 13), 16))

    def _real(self) -> Samples:
        with self._timings.phase("load.test"):
            return self.dataset.load("test", self._cache).to(self.train.device)

    def _test(self) -> Samples:
        if ("real", None) not in self._made:
            self._made["real", None] = self._real()
        test: Samples = self._made["real", None]
        return test

    def _labels(self) -> Tensor:
        labels = self._test().labels
        if labels is None:
            raise NotApplicableError(f"dataset '{self.dataset.name}' has no labels")
        return labels

    def _generated(self) -> Samples:
        with self._timings.phase("sample", self._samples):
            return Samples(self._draw(self._samples, self._generator("generated")))

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            return torch.cat([self._checked_draw(size, generator) for size in _chunks(n)])

    def _checked_draw(self, n: int, generator: torch.Generator) -> Tensor:
        return check_output(self.method, f"sample({n})", self.model.sample(n, generator), n, self.spec, self.dataset)

    def _features(self, name: str, chosen: str | None) -> Tensor:
        extractor = extractor_of(chosen, type(self.dataset), self._registry)
        made_with = self._made.get((name, extractor.fingerprint))
        if made_with is None:
            samples = self._artefact_samples(name)
            device = self.train.device
            with self._timings.phase(f"features.{name.removesuffix('_features')}", len(samples)):
                made_with = torch.cat(list(extract(samples, extractor.load(device), device)))
            self._made[name, extractor.fingerprint] = made_with
        features: Tensor = made_with
        return features

    def _artefact_samples(self, name: str) -> Samples:
        """What the features are of; the reference is the training images, since the test set is often too small."""
        if name == "generated_features":
            if ("generated", None) not in self._made:
                self._made["generated", None] = self._generated()
            generated: Samples = self._made["generated", None]
            return generated
        copied = getattr(self.model, "copied_rows", None)
        if copied is None:
            return self.train
        others = torch.ones(len(self.train), dtype=torch.bool)
        others[copied.cpu()] = False
        return self.train.subset(others.nonzero().squeeze(1))

    def _train_subset(self) -> Tensor:
        return evenly_spaced(len(self.train), TRAIN_IMAGES)

    def _codes_test(self) -> tuple[Tensor, str]:
        return self._once("codes of test", lambda: self._codes_of(self._test(), "test", None))

    def _codes_train(self) -> tuple[Tensor, str]:
        rows = self._train_subset()
        own = getattr(self.model, "codes", None)
        return self._once("codes of train", lambda: self._codes_of(self.train.subset(rows), "train", own))

    def _once(self, key: str, make: Callable[[], tuple[Tensor, str]]) -> tuple[Tensor, str]:
        if (key, None) not in self._made:
            self._made[key, None] = make()
        made: tuple[Tensor, str] = self._made[key, None]
        return made

    def _codes_of(self, samples: Samples, split: str, own: Tensor | None) -> tuple[Tensor, str]:
        """Codes by the model's own table, else its encoder, else recovery; and which of these it was."""
        if own is not None:
            codes, source = own[self._train_subset().to(own.device)].detach(), "codes"
        elif hasattr(self.model, "encode"):
            with self._timings.phase(f"encode.{split}", len(samples)), torch.no_grad():
                codes = torch.cat([self.model.encode(x) for x in samples.batches(_BATCH)])
            source = "encoder"
        else:
            with self._timings.phase(f"recover.{split}", len(samples)):
                codes = self._recovered(samples, split)
            source = "recovery"
        if codes.ndim != 2 or len(codes) != len(samples):
            raise ContractError(f"{self.method}: codes of {len(samples)} samples have shape {tuple(codes.shape)}")
        self.sources[split] = source
        return codes, source

    def _recovered(self, samples: Samples, split: str) -> Tensor:
        if not hasattr(self.model, "decode"):
            raise NotApplicableError(f"{self.method} has no decode, so nothing can be reconstructed")
        starts = self._starts(_RESTARTS * len(samples), self._generator(f"recovery/{split}"))
        starts = starts.view(_RESTARTS, len(samples), -1)
        with frozen(self.model):
            found = recover(self.model.decode, samples[:], starts, project=getattr(self.model, "project", None))
        return found.codes

    def _starts(self, n: int, generator: torch.Generator) -> Tensor:
        """Where recovery starts: at codes of training rows where the model has them, else at draws of its prior."""
        codes = getattr(self.model, "codes", None)
        if codes is not None:
            rows = torch.randint(len(codes), (n,), generator=generator)
            own: Tensor = codes[rows.to(codes.device)].detach()
            return own
        if not hasattr(self.model, "prior"):
            raise NotApplicableError(f"{self.method} has neither codes nor a prior to start recovery from")
        drawn: Tensor = self.model.prior.sample(n, generator)  # type: ignore[operator, union-attr]
        return drawn

    def _reconstructed(self) -> Reconstructions:
        return self._decode(*self._codes_test(), self._test())

    def _reconstructed_train(self) -> Reconstructions:
        return self._decode(*self._codes_train(), self.train.subset(self._train_subset()))

    def _decode(self, codes: Tensor, source: str, original: Samples) -> Reconstructions:
        decode = getattr(self.model, "decode", None)
        if decode is None:
            raise NotApplicableError(f"{self.method} has no decode, so nothing can be reconstructed")
        with torch.no_grad():
            images = torch.cat([
                check_output(self.method, "decode(z)", decode(z), len(z), self.spec, self.dataset)
                for z in codes.split(_BATCH)
            ])
        return Reconstructions(images, original, source)


def unscored(bound: BoundMetric, status: Any, reason: str) -> MetricRow:
    """The row of a metric that came to no number."""
    metric = bound.metric
    row = (bound.selection, bound.selection, None, metric.unit, metric.direction, None, bound.fingerprint)
    return MetricRow(*row, status=status, reason=reason)


def broken_metric(selection: str, error: PluginError) -> MetricRow:
    """The row of a metric whose plugin is broken."""
    return MetricRow(selection, selection, None, "", "none", None, "", "error", str(error))


def check_output(method: str, call: str, x: Any, n: int, spec: DataSpec, dataset: Dataset) -> Tensor:
    """``x`` as float32, once it is what the contract promises; images are cut to [0, 1] at rounding.

    Raises ContractError for a wrong type, shape or range, DivergedError for NaN or infinity.
    """
    expected = (n, *spec.shape)
    if not isinstance(x, Tensor):
        raise ContractError(f"{method}: {call} returned a {type(x).__name__}; a tensor of shape {expected} is needed")
    if tuple(x.shape) != expected:
        raise ContractError(
            f"{method}: {call} returned shape {tuple(x.shape)}; dataset '{dataset.name}' needs {expected}"
        )
    x = x.float()
    if not bool(torch.isfinite(x).all()):
        raise DivergedError(f"{method}: {call} returned NaN or infinity")
    if spec.kind != "image":
        return x
    low, high = float(x.min()), float(x.max())
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise ContractError(f"{method}: {call} returned values from {low:.4g} to {high:.4g}; images are in [0, 1]")
    return x.clamp(0, 1)


def _chunks(n: int) -> Iterator[int]:
    for start in range(0, n, _BATCH):
        yield min(_BATCH, n - start)
