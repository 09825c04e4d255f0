"""What one feature extractor makes of a cell's samples: features, moments and logits, each made at most once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchsuite.contracts import Cell, FeatureExtractor
from benchsuite.errors import ContractError, NotApplicableError, PreparationError
from benchsuite.harness.environment import environment_key
from benchsuite.harness.identity import source_fingerprint
from benchsuite.harness.keeping import kept_features, kept_moments
from benchsuite.kit.features import extract
from benchsuite.kit.files import digest
from benchsuite.kit.moments import Moments
from benchsuite.kit.samples import Samples
from benchsuite.kit.scratch import collected
from benchsuite.kit.timing import Timings

_BLOCK = 1024  # rows of features that are worked on at once
_MOST_FEATURES = 4096  # of which a covariance is 128 MiB, and a distance needs several matrices of its size


# What an artefact's maker returned the first time it was called under this key.
Once = Callable[[str, Callable[[], Any]], Any]


class Extraction:
    """The artefacts of ``extractor`` with this ``fingerprint``; ``samples`` gives those of a cell by name, whose data
    are identified by ``data``.

    Distances compare with the training images, since test sets are often too small, less the rows that the model
    ``copied``. The features of the others are kept in ``cache`` for later cells.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        fingerprint: str,
        *,
        data: str,
        once: Once,
        samples: Callable[[str], Samples],
        copied: Tensor | None,
        cell: Cell,
        cache: Path,
        folder: Path,
        device: torch.device,
        timings: Timings,
    ) -> None:
        self._extractor, self._once, self._samples, self._copied = extractor, once, samples, copied
        self._cell, self._cache, self._folder, self._device, self._timings = cell, cache, folder, device, timings
        self._data = data
        self._fingerprint = fingerprint
        self._makers: dict[str, Callable[[], Any]] = {
            "real_features": self._real_features,
            "test_features": lambda: self._features("real", "test"),
            "generated_features": lambda: self._features("generated", "generated"),
            "real_moments": self._real_moments,
            "generated_moments": self._generated_moments,
            "generated_logits": self._generated_logits,
            "extractor": self._loaded,
            "width": self._width,
            "all_real_features": self._all_real_features,
        }

    def get(self, name: str) -> Any:
        """One artefact. Raises NotApplicableError where the extractor cannot make it."""
        return self._once(f"{name} {self._fingerprint}", self._makers[name])

    def _loaded(self) -> Callable[[Tensor], Tensor]:
        """That the weights are other ones is an error to be put right, unlike data that the extractor is not for."""
        try:
            return self._extractor.load(self._cache, self._device)
        except NotApplicableError as error:
            raise PreparationError(str(error)) from None

    def _extracted(self, of: str, phase: str) -> Iterator[Tensor]:
        samples, features = self._samples(of), self.get("extractor")
        with self._timings.phase(f"features.{phase}", len(samples)):
            for x, found in extract(samples, features, self._device):
                yield self._checked(found, len(x))

    def _checked(self, features: Tensor, rows: int) -> Tensor:
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != rows:
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ContractError(f"the extractor '{self._extractor.name}' made {got} of {rows} samples, not ({rows}, D)")
        return features.to(torch.float32)

    def _width(self) -> int:
        """How many features a sample has."""
        two = self._samples("train")[:2].to(self._device)
        with torch.no_grad():
            return self._checked(self.get("extractor")(two), len(two)).shape[1]

    def _features(self, of: str, phase: str) -> Tensor:
        return collected(self._extracted(of, phase), len(self._samples(of)), self._folder)

    def _all_real_features(self) -> Tensor:
        """Those of all training samples. A cache that cannot be written, or is full, costs time and nothing else."""
        rows = len(self._samples("train"))
        if not self._extractor.kept:
            return self._features("train", "real")
        about = {"features": self._fingerprint, "dataset": self._cell.dataset}
        try:
            found = kept_features(self._kept_in(), about, rows, lambda: self._extracted("train", "real"))
        except OSError:
            return self._features("train", "real")
        return found.to(self._device)

    def _real_features(self) -> Tensor:
        found: Tensor = self.get("all_real_features")
        if self._copied is None:
            return found
        others = torch.ones(len(found), dtype=torch.bool)
        others[self._copied.cpu()] = False
        rows = others.nonzero().squeeze(1).to(found.device)
        return collected((found[part] for part in torch.split(rows, _BLOCK)), len(rows), self._folder)

    def _real_moments(self) -> Moments:
        self._check_width()
        if self._copied is not None or not self._extractor.kept:
            return self._moments(self.get("real_features"))
        return kept_moments(self._kept_in(), self._device, lambda: self._moments(self.get("real_features")))

    def _generated_moments(self) -> Moments:
        self._check_width()
        return self._moments(self.get("generated_features"))

    def _check_width(self) -> None:
        """Before any are extracted, since that may take hours."""
        dim = self.get("width")
        if dim > _MOST_FEATURES:
            raise NotApplicableError(
                f"a covariance of {dim} features takes {8 * dim**2 / 2**30:.1f} GiB; there are moments of at most "
                f"{_MOST_FEATURES}: select other features"
            )

    def _moments(self, features: Tensor) -> Moments:
        with self._timings.phase("features.moments", len(features)):
            return Moments.of(torch.split(features, _BLOCK))

    def _generated_logits(self) -> Tensor:
        features, logits = self.get("generated_features"), getattr(self.get("extractor"), "logits", None)
        if logits is None:
            raise NotApplicableError(f"the extractor '{self._extractor.name}' tells no classes apart")
        return collected((logits(part) for part in torch.split(features, _BLOCK)), len(features))

    def _kept_in(self) -> Path:
        """Where the features of the training data are kept: by all that could change a bit of them."""
        cell = self._cell
        key = {
            "features": [self._fingerprint, source_fingerprint(type(self._extractor).__module__)],
            "data": [self._data, cell.subset],
            "environment": [environment_key(self._device), cell.threads],
        }
        return self._cache / "features" / "kept" / digest(key)
