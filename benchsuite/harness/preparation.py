"""Datasets and feature extractors prepared by name, and what has been prepared so far."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsuite.contracts import Dataset, FeatureExtractor, Preparation
from benchsuite.errors import NotApplicableError, PreparationError, unknown_name
from benchsuite.harness.binding import Bound, bind, extractor_of
from benchsuite.harness.recipe import Selection
from benchsuite.harness.registry import Registry
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


@dataclass(frozen=True)
class PreparedFeatures:
    """One feature extractor whose weights are there; ``needed`` is False for one that needs no preparation."""

    features: str
    needed: bool
    fingerprint: str


def bind_prepared(selection: Selection, registry: Registry) -> list[Bound]:
    """The datasets, or feature extractors, that ``selection`` names. Raises UsageError and PluginError as ``bind``."""
    datasets, extractors = registry.names("datasets"), registry.names("features")
    if selection.name in datasets:
        return bind("datasets", selection, registry)
    if selection.name in extractors:
        return bind("features", selection, registry)
    raise unknown_name("dataset or feature extractor", selection.name, [*datasets, *extractors])


def prepare(bound: Bound, cache: Path, work: Preparation, registry: Registry) -> Prepared | PreparedFeatures:
    """Prepare one dataset, open it, and prepare the extractor that its metrics use; or prepare one extractor.

    Raises PreparationError, and whatever a plugin raises.
    """
    if isinstance(bound.instance, FeatureExtractor):
        return _prepare_extractor(bound.label, bound.instance, cache, work)
    dataset: Dataset = bound.instance
    needed = type(dataset).prepare is not Dataset.prepare
    if needed:
        with _cache_named(cache):
            dataset.prepare(cache, work)
    train, test = (dataset.load(split, cache) for split in ("train", "test"))
    prepared = Prepared(bound.label, needed, len(train), len(test), train.shape, dataset.content(cache))
    with contextlib.suppress(NotApplicableError):  # metrics will be skipped for this reason
        extractor = extractor_of(None, dataset, cache, registry)
        _prepare_extractor(extractor.name, extractor, cache, work)
    return prepared


def _prepare_extractor(label: str, extractor: FeatureExtractor, cache: Path, work: Preparation) -> PreparedFeatures:
    needed = type(extractor).prepare is not FeatureExtractor.prepare
    if needed:
        with _cache_named(cache):
            extractor.prepare(cache, work)
    return PreparedFeatures(label, needed, extractor.fingerprint(cache))


@contextlib.contextmanager
def _cache_named(cache: Path) -> Iterator[None]:
    """Work in the cache, whose place an error of the disk names."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise PreparationError(f"{error}; the cache is {cache}, BENCHSUITE_CACHE moves it") from None


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


def kept_features(cache: Path) -> Iterator[dict[str, Any]]:
    """Features of training data that are kept between runs: dataset, extractor, MiB. They may be removed."""
    for about in sorted((cache / "features" / "kept").glob("*/about.json")):
        with contextlib.suppress(OSError, ValueError):
            yield {**json.loads(about.read_text(encoding="utf-8")), "mib": round(_size(about.parent) / 2**20, 1)}


def trained(cache: Path) -> Iterator[dict[str, Any]]:
    """The networks that were trained on datasets: extractor, dataset, accuracy on its test split, file."""
    for about in sorted((cache / "features").glob("*/*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            content = json.loads(about.read_text(encoding="utf-8"))
            found = {name: content[name] for name in ("dataset", "accuracy")}
            yield {"extractor": about.parent.name, **found, "file": str(about.with_suffix(".safetensors"))}


def _size(path: Path) -> int:
    """The bytes of a file, or of a folder with all in it; what vanishes meanwhile counts nothing."""
    total = 0
    for file in (path, *path.rglob("*")):
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total
