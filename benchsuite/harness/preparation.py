"""Datasets prepared by name, and what has been prepared so far."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsuite.contracts import Dataset, Preparation
from benchsuite.errors import PreparationError
from benchsuite.harness.binding import Bound
from benchsuite.kit.store import read_manifest


@dataclass(frozen=True)
class Prepared:
    """One dataset in the cache; ``needed`` is False for one that needs no preparation."""

    dataset: str
    needed: bool
    train: int
    test: int
    shape: tuple[int, ...]
    content: str


def prepare(bound: Bound, cache: Path, work: Preparation) -> Prepared:
    """Prepare one dataset, and open it. Raises PreparationError, and whatever a plugin raises."""
    dataset: Dataset = bound.instance
    needed = type(dataset).prepare is not Dataset.prepare
    if needed:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            dataset.prepare(cache, work)
        except OSError as error:
            raise PreparationError(f"{error}; the cache is {cache}, BENCHSUITE_CACHE moves it") from None
    train, test = (dataset.load(split, cache) for split in ("train", "test"))
    return Prepared(bound.label, needed, len(train), len(test), train.shape, dataset.content(cache))


def stores(cache: Path) -> Iterator[dict[str, Any]]:
    """What is prepared: dataset, number of images, shape, MiB on the disk, fingerprint, time and folder."""
    for folder in sorted((cache / "prepared").glob("[!.]*")):
        manifest = read_manifest(folder)
        if manifest is not None:
            yield {
                "dataset": manifest.selection,
                "images": len(manifest),
                "left_out": manifest.skipped,
                "shape": list(manifest.shape),
                "mib": round(_size(folder) / 2**20, 1),
                "fingerprint": manifest.fingerprint,
                "prepared": manifest.prepared,
                "folder": str(folder),
            }


def fetched(cache: Path) -> Iterator[dict[str, Any]]:
    """The files that datasets were, or are to be, made from: dataset, name, MiB, and whether the file is whole."""
    for path in sorted((cache / "sources").glob("*/[!.]*")):
        yield {
            "dataset": path.parent.name,
            "file": path.name.removesuffix(".part"),
            "mib": round(_size(path) / 2**20, 1),
            "whole": path.suffix != ".part",
        }


def _size(path: Path) -> int:
    """The bytes of a file, or of a folder with all in it; what vanishes meanwhile counts nothing."""
    total = 0
    for file in (path, *path.rglob("*")):
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total
