"""Evaluation: the artefacts that metrics ask for by name, each made at most once per cell, in eval mode, and timed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchsuite.contracts import Cell, Dataset, DataSpec, MetricRow, Model, Score, Status
from benchsuite.errors import BenchsuiteError, ContractError, DivergedError, NotApplicableError, is_out_of_memory
from benchsuite.harness.binding import BY_EXTRACTOR, BoundMetric, dataset_fingerprint
from benchsuite.harness.extraction import Extraction
from benchsuite.harness.identity import source_fingerprint
from benchsuite.harness.loading import load_split
from benchsuite.kit.files import digest
from benchsuite.kit.moments import Moments
from benchsuite.kit.recovery import recover
from benchsuite.kit.samples import Reconstructions, Samples, evenly_spaced
from benchsuite.kit.scratch import collected
from benchsuite.kit.solvers import Adam
from benchsuite.kit.timing import Timings

_BATCH = 256
TRAIN_IMAGES = 256  # training images that are reconstructed, the same ones for every method
_RESTARTS = 2
_TOLERANCE = 1e-4  # how far outside [0, 1] rounding may take an image
_COPIES = "copies its training data"
# Which artefact's length a row counts as its n, the first that the metric asks for; samples go before all of them.
_COUNTED = ("reconstructed_train", "reconstructed", "codes_train", "codes", "real")


class Evaluation:
    """The artefacts of one fitted model, on its device; those too large for memory are kept in ``folder``."""

    def __init__(
        self,
        *,
        model: Model,
        method: str,
        spec: DataSpec,
        dataset: Dataset,
        train: Samples,
        cache: Path,
        cell: Cell,
        folder: Path,
        timings: Timings,
    ) -> None:
        self.model, self.method, self.spec, self.dataset, self.train = model, method, spec, dataset, train
        self._cache, self._cell, self._folder = cache, cell, folder
        self._timings = timings
        self._made: dict[str, Any] = {}
        self._extractions: dict[str, Extraction] = {}
        self.sources: dict[str, str] = {}
        self._makers: dict[str, Callable[[], Any]] = {
            "real": self._real,
            "train": lambda: self.train,
            "labels": self._labels,
            "generated": self._generated,
            "reconstructed": self._reconstructed,
            "reconstructed_train": self._reconstructed_train,
            "codes": self._codes,
            "codes_train": self._codes_train,
            "model": lambda: self.model,
            "spec": lambda: self.spec,
            "truth": lambda: self.dataset.truth(),
        }

    def score(self, bound: BoundMetric) -> list[MetricRow]:
        """The rows of one metric. What it raises marks its own row and nothing else."""
        metric = bound.metric
        try:
            arguments = [self._artefact(name, bound) for name in bound.artefacts]
            seeded = self._seeded(f"metric/{bound.selection}")
            with seeded, self._timings.phase(f"metric.{metric.name}"), torch.no_grad():
                result = metric.compute(*arguments, **bound.params)
            score = result if isinstance(result, Score) else Score(result)
            values = score.value if isinstance(score.value, Mapping) else {"": score.value}
            if not values:
                return [unscored(bound, "error", "the metric returned an empty mapping")]
            sizes = _sizes(dict(zip(bound.artefacts, arguments, strict=True)))
            return [self._row(bound, key, float(value), score, sizes) for key, value in values.items()]
        except NotApplicableError as error:
            return [unscored(bound, "skipped", str(error))]
        except Exception as error:
            status: Status = "oom" if is_out_of_memory(error, str(error)) else "error"
            return [unscored(bound, status, f"{type(error).__name__}: {error}")]

    def picture(self, n: int) -> Tensor:
        """``n`` samples to look at; the first of those that are scored where they were made already."""
        generated = self._made.get("generated")
        if isinstance(generated, Samples):
            return generated[:n]
        return self._draw(n, self._generator("generated"))

    def _row(self, bound: BoundMetric, key: str, value: float, score: Score, sizes: Mapping[str, int]) -> MetricRow:
        metric, name = bound.metric, f"{bound.selection}.{key}" if key else bound.selection
        sampled = any(artefact.startswith("generated") for artefact in bound.artefacts)
        n = score.n or (self._cell.samples if sampled else next((sizes[of] for of in _COUNTED if of in sizes), None))
        row = MetricRow(
            name,
            bound.selection,
            value,
            metric.unit,
            metric.direction,
            n,
            bound.fingerprint,
            reason=str(score.caution) or (_COPIES if score.disqualifies else ""),
            protocol={**bound.protocol, "seed": self._cell.seed, "n": sizes},
            disqualifies=bool(score.disqualifies),
        )
        if value == value:
            return row
        return replace(row, value=None, status="error", reason="the metric returned NaN", disqualifies=False)

    def _artefact(self, name: str, bound: BoundMetric) -> Any:
        if name == "generator":
            return self._generator(f"metric/{bound.selection}")  # a fresh one, so that metrics stay independent
        if name == "shared":
            return self._shared(bound)
        if name not in BY_EXTRACTOR:
            return self._get(name)
        return self._extraction(bound).get(name)

    def _extraction(self, bound: BoundMetric) -> Extraction:
        if bound.extractor is None or bound.problem:
            raise NotApplicableError(bound.problem)
        fingerprint = bound.protocol["features"]
        if fingerprint not in self._extractions:
            self._extractions[fingerprint] = Extraction(
                bound.extractor,
                fingerprint,
                data=self._data_fingerprint(),
                once=self._once,
                samples=self._get,
                copied=getattr(self.model, "copied_rows", None),
                cell=self._cell,
                cache=self._cache,
                folder=self._folder,
                device=self.train.device,
                timings=self._timings,
            )
        return self._extractions[fingerprint]

    def _data_fingerprint(self) -> str:
        """Of the data that are loaded now, which in scoring may be others than the model was trained on."""
        cell, source = self._cell, source_fingerprint(type(self.dataset).__module__)
        return dataset_fingerprint(cell.dataset_name, cell.content, cell.dataset_params, source)

    def _shared(self, bound: BoundMetric) -> Callable[[str, Callable[[], Any]], Any]:
        """``_once`` for what metrics with the same extractor have in common."""
        return lambda key, make: self._once(f"shared {key} {bound.protocol.get('features')}", make)

    def _get(self, name: str) -> Any:
        return self._once(name, self._makers[name])

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, made the first time only; that it cannot be made is remembered too."""
        if key not in self._made:
            with self._seeded(key):
                try:
                    self._made[key] = make()
                except Exception as error:
                    self._made[key] = error
        made = self._made[key]
        if isinstance(made, Exception):
            raise made
        return made

    @contextmanager
    def _seeded(self, purpose: str) -> Iterator[None]:
        """What draws from global generators must depend neither on which metrics were asked for before nor on which
        artefacts were made, or found in the cache, meanwhile."""
        seed = int(digest([self._cell.seed, purpose], 8), 16)
        before = random.getstate(), np.random.get_state()
        devices = [self.train.device] if self.train.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            try:
                yield
            finally:
                random.setstate(before[0])
                np.random.set_state(before[1])

    def _generator(self, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(int(digest([self._cell.seed, purpose], 13), 16))

    def _real(self) -> Samples:
        with self._timings.phase("load.test"):
            return load_split(self.dataset, "test", self._cell, self._cache, self.train.device)

    def _labels(self) -> Tensor:
        labels: Tensor | None = self._get("real").labels
        if labels is None:
            raise NotApplicableError(f"dataset '{self.dataset.name}' has no labels")
        return labels

    def _generated(self) -> Samples:
        with self._timings.phase("sample", self._cell.samples):
            return Samples(self._draw(self._cell.samples, self._generator("generated")))

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            return collected((self._checked_draw(size, generator) for size in _chunks(n)), n, self._folder)

    def _checked_draw(self, n: int, generator: torch.Generator) -> Tensor:
        return check_output(self.method, f"sample({n})", self.model.sample(n, generator), n, self.spec, self.dataset)

    def _train_subset(self) -> Tensor:
        return evenly_spaced(len(self.train), TRAIN_IMAGES)

    def _codes(self) -> Tensor:
        return self._codes_of(self._get("real"), "test", None)

    def _codes_train(self) -> Tensor:
        rows = self._train_subset()
        own = getattr(self.model, "codes", None)
        return self._codes_of(self.train.subset(rows), "train", None if own is None else own[rows.to(own.device)])

    def _codes_of(self, samples: Samples, split: str, own: Tensor | None) -> Tensor:
        """Codes by the model's own table, else its encoder, else recovery; ``sources`` says which of these it was."""
        encode: Callable[[Tensor], Tensor] | None = getattr(self.model, "encode", None)
        if own is not None:
            codes, source = own.detach(), "codes"
        elif encode is not None:
            with self._timings.phase(f"encode.{split}", len(samples)), torch.no_grad():
                codes = collected((self._encoded(encode, x) for x in samples.batches(_BATCH)), len(samples))
            source = "encoder"
        else:
            codes = self._recovered(samples, split)
            source = "recovery"
        self.sources[split] = source
        return codes

    def _encoded(self, encode: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        codes = encode(x)
        if codes.ndim != 2 or len(codes) != len(x):
            raise ContractError(f"{self.method}: codes of {len(x)} samples have shape {tuple(codes.shape)}")
        return codes

    def _recovered(self, samples: Samples, split: str) -> Tensor:
        decode = self._decoder()
        starts = self._starts(_RESTARTS * len(samples), self._generator(f"recovery/{split}"))
        starts = starts.view(_RESTARTS, len(samples), -1)
        project = getattr(self.model, "project", None)
        spread = float(starts.square().mean().sqrt())
        solver = Adam(learning_rate=0.15 * spread, one_scale=project is not None)
        with self._timings.phase(f"recover.{split}", len(samples)):
            found = recover(decode, samples, starts, solver=solver, constrain=project, net=self.model)
        return found.codes

    def _starts(self, n: int, generator: torch.Generator) -> Tensor:
        """Where recovery starts: at codes of training rows where the model has them, else at draws of its prior."""
        codes = getattr(self.model, "codes", None)
        if codes is not None:
            rows = torch.randint(len(codes), (n,), generator=generator)
            own: Tensor = codes[rows.to(codes.device)].detach()
            return own
        prior: Any = getattr(self.model, "prior", None)
        if prior is None:
            raise NotApplicableError(f"{self.method} has neither codes nor a prior to start recovery from")
        drawn: Tensor = prior.sample(n, generator)
        return drawn

    def _decoder(self) -> Callable[[Tensor], Tensor]:
        decode: Callable[[Tensor], Tensor] | None = getattr(self.model, "decode", None)
        if decode is None:
            raise NotApplicableError(f"{self.method} has no decode, so nothing can be reconstructed")
        return decode

    def _reconstructed(self) -> Reconstructions:
        return self._decode(self._get("codes"), "test", self._get("real"))

    def _reconstructed_train(self) -> Reconstructions:
        return self._decode(self._get("codes_train"), "train", self.train.subset(self._train_subset()))

    def _decode(self, codes: Tensor, split: str, original: Samples) -> Reconstructions:
        decode = self._decoder()
        with torch.no_grad():
            images = collected(
                (
                    check_output(self.method, "decode(z)", decode(z), len(z), self.spec, self.dataset)
                    for z in torch.split(codes, _BATCH)
                ),
                len(codes),
                self._folder,
            )
        return Reconstructions(images, original, self.sources[split])


def unscored(bound: BoundMetric, status: Status, reason: str) -> MetricRow:
    """The row of a metric that came to no number."""
    metric = bound.metric
    row = (bound.selection, bound.selection, None, metric.unit, metric.direction, None, bound.fingerprint)
    return MetricRow(*row, status=status, reason=reason, protocol=bound.protocol)


def broken_metric(selection: str, error: BenchsuiteError) -> MetricRow:
    """The row of a metric whose plugin is broken."""
    return MetricRow(selection, selection, None, "", "none", None, "", "error", str(error))


def check_output(method: str, call: str, x: object, n: int, spec: DataSpec, dataset: Dataset) -> Tensor:
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
    x = x.to(torch.float32)
    if not bool(torch.isfinite(x).all()):
        raise DivergedError(f"{method}: {call} returned NaN or infinity")
    if spec.kind != "image":
        return x
    low, high = float(x.min()), float(x.max())
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise ContractError(f"{method}: {call} returned values from {low:.4g} to {high:.4g}; images are in [0, 1]")
    return torch.clamp(x, 0, 1)


def _sizes(artefacts: Mapping[str, Any]) -> dict[str, int]:
    """How many rows each of those that have rows has."""
    sizes = {name: len(x) for name, x in artefacts.items() if isinstance(x, Tensor | Samples)}
    return sizes | {name: x.count for name, x in artefacts.items() if isinstance(x, Moments)}


def _chunks(n: int) -> Iterator[int]:
    for start in range(0, n, _BATCH):
        yield min(_BATCH, n - start)
