"""A split of a dataset as a cell uses it: what was planned for, reduced where asked, and handed out on its device."""

from __future__ import annotations

from pathlib import Path

import torch

from benchsuite.contracts import Cell, Dataset, Split
from benchsuite.errors import DataMissingError
from benchsuite.kit.files import digest
from benchsuite.kit.samples import Samples, random_rows

_LEAST_TEST = 32  # test rows that a subset keeps where there are as many: one decides nothing


def load_split(dataset: Dataset, split: Split, cell: Cell, cache: Path, device: torch.device) -> Samples:
    """``split`` of ``dataset`` on ``device``; with a subset, so many training rows, or the same part of the others.

    Which rows depends on nothing but their number, so that every method and every seed has the same. Raises
    DataMissingError where the data were prepared anew since the cell was planned.
    """
    samples = dataset.load(split, cache)
    if samples.content and samples.content != cell.content:
        raise DataMissingError(f"{cell.dataset} was prepared anew since this was planned; run the same command again")
    if cell.subset is not None:
        count = cell.subset if split == "train" else _test_rows(dataset, cell.subset, len(samples), cache)
        if count < len(samples):
            samples = samples.subset(random_rows(len(samples), count))
    return samples.to(device)


def data_fingerprint(dataset: Dataset, train: Samples, cell: Cell, cache: Path) -> str:
    """Identifies the data themselves, whatever code reads them: ``train`` and the test split, or what was prepared."""
    return cell.content or digest([train.fingerprint(), dataset.load("test", cache).fingerprint()])


def _test_rows(dataset: Dataset, subset: int, n_test: int, cache: Path) -> int:
    return max(_LEAST_TEST, round(subset / len(dataset.load("train", cache)) * n_test))
