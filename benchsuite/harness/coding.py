"""Codes of a cell's samples, found in one way, and what they decode to, each made at most once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from benchsuite.contracts import Dataset, DataSpec, Model
from benchsuite.errors import ContractError, NotApplicableError
from benchsuite.harness.outputs import check_output
from benchsuite.kit.coding import CodesBy, decoder_of, recovered_codes, reversed_codes, starting_codes
from benchsuite.kit.samples import Reconstructions, Samples, evenly_spaced
from benchsuite.kit.scratch import collected
from benchsuite.kit.timing import Timings

TRAIN_IMAGES = 256  # that are coded and reconstructed unless a metric says, the same ones for every method
_BATCH = 256

# What an artefact's maker returned the first time it was called under this key.
Once = Callable[[str, Callable[[], Any]], Any]


class Way(NamedTuple):
    """How codes are found, and of how many training rows."""

    by: CodesBy
    rows: int


class Coded(NamedTuple):
    """Codes (N, d) and where they came from: ``codes``, the model's own table, ``encoder``, ``recovery``, ..."""

    codes: Tensor
    source: str


class Coding:
    """The artefacts that go by codes, for one ``way`` of finding them.

    Of the training set they are those of evenly spaced rows. ``samples`` gives a cell's samples by name, ``generator``
    a seeded one for a purpose.
    """

    def __init__(
        self,
        way: Way,
        *,
        model: Model,
        method: str,
        spec: DataSpec,
        dataset: Dataset,
        once: Once,
        samples: Callable[[str], Samples],
        generator: Callable[[str], torch.Generator],
        folder: Path,
        timings: Timings,
    ) -> None:
        self._way, self._model, self._method, self._spec, self._dataset = way, model, method, spec, dataset
        self._once, self._samples, self._generator = once, samples, generator
        self._folder, self._timings = folder, timings
        self._makers: dict[str, Callable[[], Any]] = {
            "codes": lambda: self._coded("real").codes,
            "codes_train": lambda: self._coded("train").codes,
            "labels_train": self._labels_train,
            "reconstructed": lambda: self._reconstructed("real"),
            "reconstructed_train": lambda: self._reconstructed("train"),
        }

    def get(self, name: str) -> Any:
        """One artefact. Raises NotApplicableError where the model has not what it takes."""
        return self._named(name, self._makers[name])

    def source(self, name: str) -> str | None:
        """Where the codes behind the artefact ``name``, which was made, came from; None where it takes none."""
        if name == "labels_train":
            return None
        return self._coded("train" if name.endswith("train") else "real").source

    def made(self, name: str, found: Mapping[str, Any]) -> Any:
        """One artefact where it is among ``found``, all that ``once`` has made; else None. Nothing is made for it."""
        made = found.get(self._key(name))
        return None if isinstance(made, Exception) else made

    def coded(self, of: Literal["real", "train"], found: Mapping[str, Any]) -> tuple[Tensor, Samples] | None:
        """Likewise the codes of the test or the training samples, and these."""
        made: Coded | None = self.made(f"coded {of}", found)
        return None if made is None else (made.codes, self._originals(of))

    def _named(self, name: str, make: Callable[[], Any]) -> Any:
        return self._once(self._key(name), make)

    def _key(self, name: str) -> str:
        rows = f" {self._way.rows}" if name.endswith("train") else ""
        return f"{name} {self._way.by}{rows}"

    def _rows(self) -> Tensor:
        return evenly_spaced(len(self._samples("train")), self._way.rows)

    def _originals(self, of: str) -> Samples:
        samples = self._samples(of)
        return samples.subset(self._rows()) if of == "train" else samples

    def _labels_train(self) -> Tensor:
        labels = self._originals("train").labels
        if labels is None:
            raise NotApplicableError(f"dataset '{self._dataset.name}' has no labels")
        return labels

    def _coded(self, of: str) -> Coded:
        coded: Coded = self._named(f"coded {of}", lambda: self._code(of))
        return coded

    def _code(self, of: str) -> Coded:
        if self._way.by != "own":
            return self._recovered(of)
        own: Tensor | None = getattr(self._model, "codes", None)
        if own is not None and of == "train":
            return Coded(own[self._rows().to(own.device)].detach(), "codes")
        encode: Callable[[Tensor], Tensor] | None = getattr(self._model, "encode", None)
        return self._recovered(of) if encode is None else self._encoded(encode, of)

    def _encoded(self, encode: Callable[[Tensor], Tensor], of: str) -> Coded:
        samples, split = self._originals(of), self._split(of)
        with torch.no_grad():
            with self._timings.phase(f"warm_up.encode.{split}"):
                encode(samples[:_BATCH])
            with self._timings.phase(f"encode.{split}", len(samples)):
                parts = (self._checked(encode(x), len(x)) for x in samples.batches(_BATCH))
                return Coded(collected(parts, len(samples)), "encoder")

    def _checked(self, codes: Tensor, n: int) -> Tensor:
        if codes.ndim != 2 or len(codes) != n:
            raise ContractError(f"{self._method}: codes of {n} samples have shape {tuple(codes.shape)}")
        return codes

    def _recovered(self, of: str) -> Coded:
        """Found once, whether a metric asked for the model's own codes, of which it has none, or for recovered ones."""
        by = "mse" if self._way.by == "own" else self._way.by
        rows = f" {self._way.rows}" if of == "train" else ""
        coded: Coded = self._once(f"searched {of} {by}{rows}", lambda: self._search(of, by))
        return coded

    def _search(self, of: str, by: Literal["mse", "lap1", "reversal"]) -> Coded:
        samples, split = self._originals(of), self._split(of)
        generator = self._generator(f"recovery/{split}")
        phase = split if by == "mse" else f"{by}.{split}"
        with self._timings.phase(f"warm_up.recover.{phase}"):
            self._differentiate(min(_BATCH, len(samples)))
        with self._timings.phase(f"recover.{phase}", len(samples)):
            if by == "reversal":
                return Coded(reversed_codes(self._model, samples, generator), "reversal")
            source = "recovery" if by == "mse" else "recovery by lap1"
            return Coded(recovered_codes(self._model, samples, generator, by), source)

    def _differentiate(self, n: int) -> None:
        """What the steps of recovery do, once."""
        decode = decoder_of(self._model)
        z = starting_codes(self._model, n, self._generator("warm-up")).clone()
        with torch.enable_grad():
            torch.autograd.grad(decode(z.requires_grad_()).sum(), z)

    def _split(self, of: str) -> str:
        """As phases name it."""
        if of == "real":
            return "test"
        return "train" if self._way.rows == TRAIN_IMAGES else f"train[rows={self._way.rows}]"

    def _reconstructed(self, of: str) -> Reconstructions:
        decode, coded = decoder_of(self._model), self._coded(of)
        with torch.no_grad():
            parts = (
                check_output(self._method, "decode(z)", decode(z), len(z), self._spec, self._dataset)
                for z in torch.split(coded.codes, _BATCH)
            )
            images = collected(parts, len(coded.codes), self._folder)
        return Reconstructions(images, self._originals(of), coded.source)
