"""A feature extractor, loaded, and what it makes of tiny data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchsuite.contracts import FeatureExtractor, Kind
from benchsuite.errors import NotApplicableError
from benchsuite.harness.environment import cache_folder
from benchsuite.testing.claims import Memory
from benchsuite.testing.contract import BrokenContractError, calling
from benchsuite.testing.network import network_refused
from benchsuite.testing.returned import check_returned
from benchsuite.testing.tiny import called, tiny_samples

PAGE = "docs/plugins/extractors.md"
ROWS = 5
CPU = torch.device("cpu")

# What an extractor is tried on, the likeliest first.
_SHAPES: tuple[tuple[int, ...], ...] = ((3, 32, 32), (1, 28, 28), (1, 16, 16), (1, 8, 8), (3, 64, 64), (6,), (2,))

Features = Callable[[Tensor], Tensor]


@dataclass
class LoadedExtractor:
    """``plugin``, loaded once, and its features of tiny rows, made once for all the checks that look at them."""

    plugin: FeatureExtractor
    cache: Path = field(default_factory=cache_folder)
    memory: Memory = field(default_factory=Memory)

    def features(self) -> Features:
        """The map itself. Raises NotApplicableError where its weights are missing, BrokenContractError else."""
        return self.memory.once("load", lambda: loaded(self.plugin, self.cache), "it does not load")

    def of(self, shape: tuple[int, ...], rows: int = ROWS) -> Tensor:
        """Its features of so many tiny rows. Raises likewise, and NotApplicableError where it is not for them."""
        failing = f"it fails for {rows} rows of {called(shape)}"
        return self.memory.once((shape, rows), lambda: self._made(shape, rows), failing, with_reason=True)

    def _made(self, shape: tuple[int, ...], rows: int) -> Tensor:
        features, read = self.features(), f"{PAGE}#the-map"
        call = f"features of {rows} rows, {called(shape)},"
        expected = f"{call} (N, D), or NotApplicableError, which says what they are for"
        with network_refused(call, read), calling(call, expected=expected, read=read):
            found = applied(features, tiny_samples(shape, rows)[:])
        width = found.shape[1] if isinstance(found, Tensor) and found.ndim == 2 else "D"
        if not isinstance(width, int) or width == 0 or not found.is_floating_point():
            got = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise BrokenContractError(expected=f"{call} ({rows}, D), of floating-point numbers", got=got, read=read)
        return check_returned(found, call=call, shape=(rows, width), read=read)

    def shapes(self) -> list[tuple[int, ...]]:
        """What it is tried on: what is of its kind."""
        kinds: dict[int, Kind] = {3: "image", 1: "vector"}
        return [shape for shape in _SHAPES if self.plugin.kind in (None, kinds[len(shape)])]

    def home(self) -> tuple[int, ...]:
        """The first shape that it is for. Raises as ``of`` does."""
        return self.memory.once("home", self._home, "it gives no features")

    def _home(self) -> tuple[int, ...]:
        self.features()
        reasons = []
        for shape in self.shapes():
            try:
                self.of(shape)
                return shape
            except NotApplicableError as error:
                reasons.append(f"{called(shape)}: {error}")
        raise NotApplicableError(f"it is for none of what is tried: {'; '.join(reasons)}")


def loaded(extractor: FeatureExtractor, cache: Path) -> Features:
    """The map of ``extractor``. Raises NotApplicableError where its weights are missing, BrokenContractError else."""
    read = f"{PAGE}#the-map"
    expected = (
        "load(cache, device) returns a function; where weights are missing it raises NotApplicableError, which names "
        f"the command: benchsuite prepare {extractor.name}"
    )
    with network_refused("load", read), calling("load(cache, device)", expected=expected, read=read):
        features: object = extractor.load(cache, CPU)
    if not callable(features):
        raise BrokenContractError(expected=expected, got=f"a {type(features).__name__}", read=read)
    return features


def applied(features: Features, x: Tensor) -> Any:
    """What ``features`` makes of rows."""
    with torch.no_grad():
        return features(x)
