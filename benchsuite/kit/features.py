"""Feature extraction in one pass, and weights that are found, fetched, and verified before they are used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchsuite.contracts import Preparation
from benchsuite.errors import NotApplicableError, PreparationError, reason_of
from benchsuite.kit.download import Source, fetch
from benchsuite.kit.files import locked_in_turn, sha256
from benchsuite.kit.samples import Samples


def extract(
    samples: Samples, features: Callable[[Tensor], Tensor], device: torch.device, size: int = 256
) -> Iterator[tuple[Tensor, Tensor]]:
    """All ``samples`` in order, (n, *shape) at a time, with their features, (n, D), on ``device``."""
    with torch.no_grad():
        for batch in samples.batches(size):
            x = batch.to(device)
            yield x, features(x)


def in_colour(images: Tensor) -> Tensor:
    """(N, 1 or 3, H, W) -> (N, 3, H, W), grey images repeated. Raises NotApplicableError for what is neither."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise NotApplicableError(
            f"images of 1 or 3 channels are needed; got samples of shape {tuple(images.shape[1:])}"
        )
    return images.expand(-1, 3, -1, -1)


def verified_weights(path: Path, expected_sha256: str, advice: str = "") -> dict[str, Tensor]:
    """The tensors of a file, safetensors or torch's, on the CPU, once its SHA-256 is what it should be.

    Of a torch file only tensors are read, never code. Raises NotApplicableError, which ends with ``advice``, where the
    file is absent, another one, or none of weights.
    """
    if not path.exists():
        raise NotApplicableError(f"weights {path.name} are not at {path.parent}{advice}")
    found = sha256(path)
    if found != expected_sha256.lower():
        raise NotApplicableError(
            f"weights {path.name} in {path.parent} have SHA-256 {found}, not {expected_sha256}{advice}"
        )
    try:
        weights: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # each library has errors of its own for what is none of its files
        raise NotApplicableError(f"weights {path.name} in {path.parent} cannot be read: {reason_of(error)}") from None
    if not isinstance(weights, dict):
        raise NotApplicableError(f"{path.name} in {path.parent} holds a {type(weights).__name__}, not tensors by name")
    return weights


def assign_weights(net: nn.Module, weights: dict[str, Tensor], extractor: str) -> None:
    """Give ``net``, made on the meta device, these ``weights``. Raises NotApplicableError for another network's."""
    try:
        net.load_state_dict(weights, assign=True)
    except RuntimeError:
        raise NotApplicableError(f"{extractor}: the file holds the weights of another network") from None


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that others have published, for the extractor ``extractor``: one file, used only with the right SHA-256.

    They are looked for at a path that is given, else at the one in the environment's ``variable``, else in the cache at
    ``sources/EXTRACTOR/NAME``, else among the downloads of torch.hub, also under the ``other_names`` that the same
    bytes go by.
    """

    extractor: str
    source: Source
    variable: str
    other_names: tuple[str, ...] = ()

    def find(self, cache: Path, given: str | None = None) -> Path:
        """Where the file lies. Raises NotApplicableError where it does not, naming the command that fetches it."""
        named = given or os.environ.get(self.variable)
        if named:
            path = Path(named).expanduser()
            if path.is_file():
                return path
            by = f"weights={given}" if given else f"the environment variable {self.variable}"
            raise NotApplicableError(f"{self.extractor}: {by} names no file; there is none at {path.absolute()}")
        own = self._folder(cache) / self.source.name
        hub = _torch_hub_checkpoints()
        for path in (own, *(hub / name for name in (self.source.name, *self.other_names))):
            if path.is_file():
                return path
        raise NotApplicableError(
            f"the weights of {self.extractor} are neither in the cache nor in {hub}; "
            f"run: benchsuite prepare {self.extractor}"
        )

    def read(self, cache: Path, given: str | None, expected_sha256: str) -> dict[str, Tensor]:
        """The tensors of the file that ``find`` finds. Raises NotApplicableError likewise and for another file."""
        path = self.find(cache, given)
        return verified_weights(
            path,
            expected_sha256,
            advice=f"; name the right file, or remove this one and run: benchsuite prepare {self.extractor}; "
            f"if these are the weights that you want, select {self.extractor}[sha256=...] with their own checksum",
        )

    def prepare(self, cache: Path, work: Preparation, given: str | None, expected_sha256: str) -> None:
        """Fetch the file into the cache unless it is somewhere already, and verify it. Raises PreparationError."""
        folder = self._folder(cache)
        try:
            path = self.find(cache, given)
        except NotApplicableError as error:
            if given or os.environ.get(self.variable):
                raise PreparationError(str(error)) from None
            path = folder / self.source.name
        if path.parent == folder:
            self._fetch(folder, work, expected_sha256)
            return
        found = sha256(path)
        if found != expected_sha256.lower():
            raise PreparationError(
                f"the weights of {self.extractor} at {path} have SHA-256 {found}, not {expected_sha256}; remove that "
                "file, or name another one, and run the same command again"
            )
        work.say(f"{self.extractor}: weights found at {path}")

    def _fetch(self, folder: Path, work: Preparation, expected_sha256: str) -> None:
        # The published addresses bring the published file: another checksum can only be met by hand.
        ours = self.source.sha256 == expected_sha256.lower()
        source = self.source if ours else replace(self.source, urls=(), sha256=expected_sha256)
        folder.mkdir(parents=True, exist_ok=True)

        def wait() -> None:
            work.say(f"{self.extractor}: another process fetches its weights; waiting")

        with locked_in_turn(folder / ".lock", wait):
            fetch(source, folder, work.report)

    def _folder(self, cache: Path) -> Path:
        return cache / "sources" / self.extractor


def _torch_hub_checkpoints() -> Path:
    """Where torch.hub keeps what it has downloaded; asked of the environment, as torch.hub itself does."""
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", str(Path(caches) / "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"
