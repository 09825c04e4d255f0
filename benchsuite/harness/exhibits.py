"""What a metric found besides numbers: arrays for plots and pictures, in files beside the record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchsuite.contracts import MetricRow, Score
from benchsuite.errors import ContractError
from benchsuite.harness.pictures import write_sheet
from benchsuite.kit.files import replacing

_FOLDER = "plots"
_TAKEN = ("file", "allow_pickle")  # arguments of numpy's function that writes arrays


def keep(score: Score, metric: str, fingerprint: str, cell: Path) -> None:
    """Store what ``score`` has of arrays and pictures in the folder of its ``cell``, each file whole or not at all.

    Raises ContractError for a name that is no identifier, and for pictures that are none.
    """
    if not score.arrays and not score.pictures:
        return
    for name in (*score.arrays, *score.pictures):
        if not name.isidentifier() or name in _TAKEN:
            raise ContractError(f"{metric}: neither an array nor a picture can be named '{name}'")
    for name, images in score.pictures.items():
        if images.ndim != 4 or not len(images) or images.shape[1] not in (1, 3):
            raise ContractError(f"{metric}: a picture is (n, 1 or 3, height, width); '{name}' is {tuple(images.shape)}")
    (cell / _FOLDER).mkdir(exist_ok=True)
    stem = f"{metric}-{fingerprint}"
    if score.arrays:
        arrays: dict[str, Any] = {name: _array(values) for name, values in score.arrays.items()}
        with replacing(cell / _FOLDER / f"{stem}.npz") as path, path.open("wb") as file:
            np.savez_compressed(file, **arrays)
    for name, images in score.pictures.items():
        write_sheet(images, cell / _FOLDER / f"{stem}.{name}.png")


def _array(values: Tensor) -> NDArray[Any]:
    array = torch.as_tensor(values).detach().cpu()
    return (array.float() if array.dtype == torch.bfloat16 else array).numpy()


def arrays_of(row: MetricRow, cell: Path) -> Mapping[str, NDArray[Any]]:
    """The arrays that the score of ``row`` came with, by name; empty where there were none."""
    try:
        with np.load(cell / _FOLDER / f"{_stem(row)}.npz", allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        return {}


def pictures_of(row: MetricRow, cell: Path) -> Mapping[str, Path]:
    """The pictures that the score of ``row`` came with, by name."""
    found = sorted((cell / _FOLDER).glob(f"{_stem(row)}.*.png"))
    return {path.stem.removeprefix(f"{_stem(row)}."): path for path in found}


def _stem(row: MetricRow) -> str:
    return f"{row.selection.split('[')[0]}-{row.fingerprint}"
