"""A split of a dataset as a cell uses it: reduced where a run asks for that, and handed out on its device."""

from __future__ import annotations

from pathlib import Path

import torch

from benchsuite.contracts import Dataset, Split
from benchsuite.kit.samples import Samples, random_rows

_LEAST_TEST = 32  # test rows that a subset keeps where there are as many: one decides nothing


def load_split(dataset: Dataset, split: Split, subset: int | None, cache: Path, device: torch.device) -> Samples:
    """``split`` of ``dataset`` on ``device``; with ``subset``, so many training rows, or the same part of the others.

    Which rows depends on nothing but their number, so that every method and every seed has the same.
    """
    samples = dataset.load(split, cache)
    if subset is not None:
        count = subset if split == "train" else _test_rows(subset, len(dataset.load("train", cache)), len(samples))
        if count < len(samples):
            samples = samples.subset(random_rows(len(samples), count))
    return samples.to(device)


def _test_rows(subset: int, n_train: int, n_test: int) -> int:
    return max(_LEAST_TEST, round(subset / n_train * n_test))
