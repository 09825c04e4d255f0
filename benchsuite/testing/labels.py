"""The labels of a dataset, held to what they are promised to be."""

from __future__ import annotations

import torch
from torch import Tensor

from benchsuite.errors import NotApplicableError
from benchsuite.kit.samples import Samples
from benchsuite.testing.contract import BrokenContractError

_FEW = 5  # classes that a remark names


def check_labels(train: Samples, test: Samples, read: str) -> str | None:
    """Raises BrokenContractError unless both splits have classes from 0 up, or attributes of 0 and 1, or neither any.

    A remark says which classes have no training row. Raises NotApplicableError where there are no labels.
    """
    if train.labels is None and test.labels is None:
        raise NotApplicableError("it has no labels")
    if train.labels is None or test.labels is None:
        without = "train" if train.labels is None else "test"
        raise BrokenContractError(
            expected="labels in both splits, or in neither", got=f"none in '{without}'", read=read
        )
    if train.labels.shape[1:] != test.labels.shape[1:]:
        raise BrokenContractError(
            expected="labels of one kind in both splits: classes (N,), or attributes (N, A)",
            got=f"shape {tuple(train.labels.shape)} in 'train' and {tuple(test.labels.shape)} in 'test'",
            read=read,
        )
    for split, labels in (("train", train.labels), ("test", test.labels)):
        if labels.is_floating_point() or labels.is_complex():
            raise BrokenContractError(
                expected="labels are whole numbers", got=f"{labels.dtype} in '{split}'; labels.long()", read=read
            )
        _check_attributes(split, labels, train, read) if labels.ndim == 2 else _check_classes(
            split, labels, train, read
        )
    return None if train.labels.ndim == 2 else _remark_on_empty(train)


def _check_classes(split: str, labels: Tensor, train: Samples, read: str) -> None:
    most = (train.n_classes or 1) - 1
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > most:
        names = ", as many as label_names names" if train.label_names else ", as in 'train'"
        raise BrokenContractError(
            expected=f"classes from 0 to {most}{names}", got=f"{low} to {high} in '{split}'", read=read
        )


def _check_attributes(split: str, labels: Tensor, train: Samples, read: str) -> None:
    found = torch.unique(labels)
    if not set(found.tolist()) <= {0, 1}:
        raise BrokenContractError(
            expected="attributes, labels (N, A), are 0 or 1",
            got=f"{int(found.min())} to {int(found.max())} in '{split}'; classes are (N,)",
            read=read,
        )
    if train.label_names and len(train.label_names) != labels.shape[1]:
        raise BrokenContractError(
            expected=f"a name for each of {labels.shape[1]} attributes", got=f"{len(train.label_names)}", read=read
        )


def _remark_on_empty(train: Samples) -> str | None:
    assert train.labels is not None
    there = set(torch.unique(train.labels).tolist())
    empty = [str(k) for k in range(train.n_classes or 0) if k not in there]
    if not empty:
        return None
    more = ", ..." if len(empty) > _FEW else ""
    return f"no training row is of class {', '.join(empty[:_FEW])}{more}; do labels count from 0?"
