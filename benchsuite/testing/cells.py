"""Small real cells: a method fitted to part of a dataset, and the artefacts that metrics are given of it."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchsuite.contracts import Cell, Dataset, DataSpec, Method, Model
from benchsuite.harness.binding import make
from benchsuite.harness.environment import cache_folder
from benchsuite.harness.evaluation import Evaluation
from benchsuite.harness.loading import load_split
from benchsuite.harness.recipe import parse_selections
from benchsuite.harness.registry import load_registry
from benchsuite.kit.samples import Samples
from benchsuite.kit.seeds import seed_all
from benchsuite.kit.timing import Timings
from benchsuite.kit.training import Run

SAMPLES = 128  # as many as an extrapolated Frechet distance of 32 features takes
TRAIN = 128
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class SmallCell:
    """A cell, the evaluation of its fitted model, and a folder for what that keeps."""

    cell: Cell
    evaluation: Evaluation
    folder: tempfile.TemporaryDirectory[str]

    def __str__(self) -> str:
        return f"{self.cell.method} on {self.cell.dataset}"


@functools.cache
def small_cell(method: str, dataset: str) -> SmallCell:
    """The cell of two selections, fitted the first time that it is asked for. Raises what its plugins raise."""
    chosen: Method = _selected("methods", method)
    return fitted(chosen, method, dataset)


@functools.cache
def noise_cell(dataset: str) -> SmallCell:
    """A cell of uniform noise."""
    return fitted(Noise(), "noise", dataset)


def forget_cells() -> None:
    """Have every cell made anew: what a metric has changed is not for another."""
    small_cell.cache_clear()
    noise_cell.cache_clear()


def _selected(kind: str, text: str) -> Any:
    (selection,) = parse_selections(text)
    return make(kind, selection.name, dict(selection.params), load_registry())


def fitted(method: Method, label: str, selection: str) -> SmallCell:
    """``method`` fitted to a part of a dataset as a cell fits it, with the seed 0 on the processor."""
    dataset: Dataset = _selected("datasets", selection)
    cell, cache = _cell(method, label, dataset, selection), cache_folder()
    seed_all(0)
    train = load_split(dataset, "train", cell, cache, _CPU)
    spec = DataSpec(train.shape, train.kind, len(train), dataset.latent_dim, train.n_classes)
    seed_all(0)
    model = method.build(spec)
    run = Run(seed=0, device=_CPU)
    method.fit(model, train, run)
    run.close()
    folder = tempfile.TemporaryDirectory(prefix="benchsuite-check-")
    evaluation = Evaluation(
        model=model.eval(),
        method=method.name,
        spec=spec,
        dataset=dataset,
        train=train,
        cache=cache,
        cell=cell,
        folder=Path(folder.name),
        timings=Timings(_CPU),
        build=lambda: method.build(spec).eval(),
    )
    return SmallCell(cell, evaluation, folder)


def _cell(method: Method, label: str, dataset: Dataset, selection: str) -> Cell:
    return Cell(
        key=f"{label}-{selection}",
        method=label,
        method_name=method.name,
        params=asdict(method),  # type: ignore[call-overload]
        dataset=selection,
        dataset_name=dataset.name,
        dataset_params=asdict(dataset),  # type: ignore[call-overload]
        dataset_fingerprint="",
        seed=0,
        latent_dim=dataset.latent_dim,
        metrics=(),
        samples=SAMPLES,
        device="cpu",
        precision="fp32",
        threads=torch.get_num_threads(),
        budget=None,
        subset=TRAIN,
    )


class _NoiseModel(Model):
    """Uniform in a box."""

    low: Tensor
    high: Tensor

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(spec.shape))
        self.register_buffer("high", torch.ones(spec.shape))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Every number drawn alone."""
        return torch.lerp(self.low, self.high, torch.rand(n, *self.low.shape, generator=generator))


@dataclass(frozen=True)
class Noise(Method):
    """Uniform noise: of images in [0, 1], of vectors in a box twice as wide as that of the data."""

    name = "noise"

    def build(self, spec: DataSpec) -> Model:
        """Noise in [0, 1]."""
        return _NoiseModel(spec)

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Looks where the data lie."""
        assert isinstance(model, _NoiseModel)
        if train.kind == "vector":
            x = train[:]
            low, high = x.amin(0), x.amax(0)
            model.low.copy_(low - (high - low) / 2)
            model.high.copy_(high + (high - low) / 2)
