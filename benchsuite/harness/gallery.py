"""What a cell keeps to be looked at beside samples.png, once its metrics are scored: more sheets, codes, and vectors.

Nothing is searched or encoded for it: what no metric has asked for is not shown.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchsuite.errors import ContractError, reason_of
from benchsuite.harness.evaluation import Evaluation
from benchsuite.harness.pictures import write_sheet
from benchsuite.kit.coding import decoded_lines, prior_draws
from benchsuite.kit.files import replacing
from benchsuite.kit.samples import evenly_spaced

# What a picture of a model's own cannot be named.
NAMES = ("samples", "reconstructions", "interpolations")

_COLUMNS = 8  # of a sheet
_PAIRS_OF_ROWS = 4
_PAIRS = 8  # of images, with codes on the line between theirs
_ROWS = 1000  # of codes and vectors


def keep(evaluation: Evaluation, folder: Path) -> list[str]:
    """Write reconstructions.png, interpolations.png, codes.npz and vectors.npz into ``folder``, those that apply.

    Returns a note for each that could not be written, and why.
    """
    notes = []
    for name, write in _KEPT.items():
        try:
            write(evaluation, folder / name)
        except Exception as error:
            traceback.print_exc()  # into the cell's log
            notes.append(f"no {name}: {reason_of(error)}")
    return notes


def _reconstructions(evaluation: Evaluation, path: Path) -> None:
    """Rows of eight test images, each above the row of their reconstructions; the last are filled up with white."""
    found = evaluation.reconstructed
    if found is None or found.kind != "image":
        return
    rows = evenly_spaced(len(found), _COLUMNS * _PAIRS_OF_ROWS)
    sides = [_filled_up(images[rows].cpu()) for images in (found.original, found)]
    write_sheet(torch.stack(sides, 1).flatten(0, 2), path)


def _filled_up(images: Tensor) -> Tensor:
    """(n, *shape) as (rows, 8, *shape)."""
    white = torch.ones(-len(images) % _COLUMNS, *images.shape[1:])
    return torch.cat([images, white]).view(-1, _COLUMNS, *images.shape[1:])


def _interpolations(evaluation: Evaluation, path: Path) -> None:
    """A row for each of eight pairs: an image, six codes from its own to that of the other, and the other."""
    found, model = evaluation.coded, evaluation.model
    if found is None or found[1].kind != "image" or not hasattr(model, "decode"):
        return
    codes, originals = found
    rows = evenly_spaced(len(codes), 2 * _PAIRS)
    pairs = len(rows) // 2
    if pairs:
        halves = torch.stack([rows[:pairs], rows[pairs : 2 * pairs]], 1).to(codes.device)
        write_sheet(decoded_lines(model, codes, originals, halves, _COLUMNS - 3), path)


def _codes(evaluation: Evaluation, path: Path) -> None:
    """``codes`` (n, d), ``labels`` (n,) of samples that have a class each, and ``prior`` (n, d), draws of the prior."""
    if evaluation.coded is None:
        return
    codes, originals = evaluation.coded
    rows = evenly_spaced(len(codes), _ROWS)
    arrays = {"codes": codes[rows.to(codes.device)].float()}
    labels = originals.labels
    if labels is not None and labels.ndim == 1:
        arrays["labels"] = labels[rows.to(labels.device)].long()
    if getattr(evaluation.model, "prior", None) is not None:
        with torch.no_grad():
            arrays["prior"] = prior_draws(evaluation.model, len(rows), torch.Generator().manual_seed(0)).float()
        if arrays["prior"].shape != arrays["codes"].shape:
            expected, got = tuple(arrays["codes"].shape), tuple(arrays["prior"].shape)
            raise ContractError(f"draws of the prior must have shape {expected}; got {got}")
    _write(arrays, path)


def _vectors(evaluation: Evaluation, path: Path) -> None:
    """``samples`` and ``real`` (n, D): of the model and of the training data, for data of two dimensions or more."""
    train = evaluation.train
    if train.kind != "vector" or train.shape[0] < 2:
        return
    _write({"samples": evaluation.picture(_ROWS), "real": train[evenly_spaced(len(train), _ROWS)]}, path)


def _write(arrays: Mapping[str, Tensor], path: Path) -> None:
    on_disk: dict[str, Any] = {name: array.detach().cpu().numpy() for name, array in arrays.items()}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **on_disk)


_KEPT: Mapping[str, Callable[[Evaluation, Path], None]] = {
    "reconstructions.png": _reconstructions,
    "interpolations.png": _interpolations,
    "codes.npz": _codes,
    "vectors.npz": _vectors,
}
