"""Evaluation: the artefacts that metrics ask for by name, each made at most once per cell, in eval mode, and timed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchsuite.contracts import Cell, Dataset, DataSpec, MetricRow, Model, Score, Status
from benchsuite.errors import BenchsuiteError, ContractError, NotApplicableError, is_out_of_memory
from benchsuite.harness import exhibits
from benchsuite.harness.binding import BY_CODES, BY_EXTRACTOR, BoundMetric, dataset_fingerprint
from benchsuite.harness.coding import Coding, Way
from benchsuite.harness.extraction import Extraction
from benchsuite.harness.identity import source_fingerprint
from benchsuite.harness.loading import load_split
from benchsuite.harness.outputs import check_output
from benchsuite.kit.files import digest
from benchsuite.kit.moments import Moments
from benchsuite.kit.samples import Reconstructions, Samples
from benchsuite.kit.scratch import collected
from benchsuite.kit.seeds import seed_all
from benchsuite.kit.timing import Timings

_BATCH = 256
_SPLITS: tuple[Literal["real", "train"], ...] = ("real", "train")
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
        build: Callable[[], Model],
    ) -> None:
        """``build`` makes the model anew, as it was before training."""
        self.model, self.method, self.spec, self.dataset, self.train = model, method, spec, dataset, train
        self._cache, self._cell, self._folder = cache, cell, folder
        self._timings = timings
        self._made: dict[str, Any] = {}
        self._extractions: dict[str, Extraction] = {}
        self._codings: dict[Way, Coding] = {}
        self._makers: dict[str, Callable[[], Any]] = {
            "real": self._real,
            "train": lambda: self.train,
            "labels": self._labels,
            "generated": self._generated,
            "model": lambda: self.model,
            "untrained": build,
            "spec": lambda: self.spec,
            "truth": lambda: self.dataset.truth(),
        }

    def score(self, bound: BoundMetric) -> list[MetricRow]:
        """The rows of one metric. What it raises marks its own row and nothing else."""
        metric = bound.metric
        try:
            arguments = [self._artefact(name, bound) for name in bound.artefacts]
            seeded = self._seeded(f"metric/{bound.fingerprint}")
            with seeded, self._timings.phase(f"metric.{bound.selection}"), torch.no_grad():
                result = metric.compute(*arguments, **bound.arguments)
            score = result if isinstance(result, Score) else Score(result)
            values = score.value if isinstance(score.value, Mapping) else {"": score.value}
            if set(score.references) - set(values):
                raise ContractError(f"{metric.name}: references are keys of its value; got {list(score.references)}")
            if not values:
                return [unscored(bound, "error", "the metric returned an empty mapping")]
            exhibits.keep(score, metric.name, bound.fingerprint, self._folder)
            sizes = _sizes(dict(zip(bound.artefacts, arguments, strict=True)))
            seen: dict[str, Mapping[str, Any]] = {"n": sizes, "codes": self._sources(bound)}
            return [self._row(bound, key, float(value), score, seen) for key, value in values.items()]
        except NotApplicableError as error:
            return [unscored(bound, "skipped", str(error))]
        except Exception as error:
            status: Status = "oom" if is_out_of_memory(error, str(error)) else "error"
            return [unscored(bound, status, f"{type(error).__name__}: {error}")]

    def picture(self, n: int) -> Tensor:
        """``n`` samples to look at, but no more than are scored; the first of those where they were made already."""
        generated = self._made.get("generated")
        if isinstance(generated, Samples):
            return generated[:n]
        return self._draw(min(n, self._cell.samples), self._generator("generated"))

    @property
    def reconstructed(self) -> Reconstructions | None:
        """Those of the test samples by the model's own codes, where a metric has asked for them; else None."""
        made = (coding.made("reconstructed", self._made) for coding in self._own())
        return next((one for one in made if one is not None), None)

    @property
    def coded(self) -> tuple[Tensor, Samples] | None:
        """The model's own codes of the test samples, else of the most training samples, and these; likewise."""
        for of in _SPLITS:
            made = [coding.coded(of, self._made) for coding in self._own()]
            found = [one for one in made if one is not None]
            if found:
                return max(found, key=lambda one: len(one[0]))
        return None

    def _own(self) -> list[Coding]:
        return [coding for way, coding in self._codings.items() if way.by == "own"]

    def _row(
        self, bound: BoundMetric, key: str, value: float, score: Score, seen: Mapping[str, Mapping[str, Any]]
    ) -> MetricRow:
        """``seen`` is what the metric was given: how many rows of each artefact, and where codes came from."""
        sizes = seen["n"]
        metric, name = bound.metric, f"{bound.selection}.{key}" if key else bound.selection
        sampled = any(artefact.startswith("generated") for artefact in bound.artefacts)
        n = score.n or (self._cell.samples if sampled else next((sizes[of] for of in _COUNTED if of in sizes), None))
        row = MetricRow(
            name,
            bound.selection,
            value,
            metric.unit,
            "none" if key in score.references else metric.direction,
            n,
            bound.fingerprint,
            reason=str(score.caution) or (_COPIES if score.disqualifies else ""),
            protocol={**bound.protocol, "seed": self._cell.seed, **seen},
            disqualifies=bool(score.disqualifies),
        )
        if value == value:
            return row
        return replace(row, value=None, status="error", reason="the metric returned NaN", disqualifies=False)

    def _artefact(self, name: str, bound: BoundMetric) -> Any:
        if name == "generator":
            return self._generator(f"metric/{bound.fingerprint}")  # a fresh one, so that metrics stay independent
        if name == "shared":
            return self._shared(bound)
        if name in BY_EXTRACTOR:
            return self._extraction(bound).get(name)
        if name not in BY_CODES:
            return self._get(name)
        return self._coding(bound.way).get(name)

    def _coding(self, way: Way) -> Coding:
        if way not in self._codings:
            self._codings[way] = Coding(
                way,
                model=self.model,
                method=self.method,
                spec=self.spec,
                dataset=self.dataset,
                once=self._once,
                samples=self._get,
                generator=self._generator,
                folder=self._folder,
                timings=self._timings,
            )
        return self._codings[way]

    def _sources(self, bound: BoundMetric) -> dict[str, str]:
        """Where the codes came from that ``bound`` was given, by artefact."""
        asked = {name: self._coding(bound.way).source(name) for name in bound.artefacts if name in BY_CODES}
        return {name: source for name, source in asked.items() if source is not None}

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
            seed_all(seed)
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
        with self._timings.phase("warm_up.sample"):
            self._draw(min(_BATCH, self._cell.samples), self._generator("warm-up"))
        with self._timings.phase("sample", self._cell.samples):
            return Samples(self._draw(self._cell.samples, self._generator("generated")))

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            return collected((self._checked_draw(size, generator) for size in _chunks(n)), n, self._folder)

    def _checked_draw(self, n: int, generator: torch.Generator) -> Tensor:
        return check_output(self.method, f"sample({n})", self.model.sample(n, generator), n, self.spec, self.dataset)


def unscored(bound: BoundMetric, status: Status, reason: str) -> MetricRow:
    """The row of a metric that came to no number."""
    metric = bound.metric
    row = (bound.selection, bound.selection, None, metric.unit, metric.direction, None, bound.fingerprint)
    return MetricRow(*row, status=status, reason=reason, protocol=bound.protocol)


def broken_metric(selection: str, error: BenchsuiteError) -> MetricRow:
    """The row of a metric whose plugin is broken."""
    return MetricRow(selection, selection, None, "", "none", None, "", "error", str(error))


def _sizes(artefacts: Mapping[str, Any]) -> dict[str, int]:
    """How many rows each of those that have rows has."""
    sizes = {name: len(x) for name, x in artefacts.items() if isinstance(x, Tensor | Samples)}
    return sizes | {name: x.count for name, x in artefacts.items() if isinstance(x, Moments)}


def _chunks(n: int) -> Iterator[int]:
    for start in range(0, n, _BATCH):
        yield min(_BATCH, n - start)
