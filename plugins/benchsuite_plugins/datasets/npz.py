"""A researcher's own images in one numpy archive, read in pieces, so that it may be larger than memory.

Arrays are found by their usual names: ``x_train``, ``y_train``, ``x_test``, ``y_test`` (as Keras names them);
``train_images``, ``train_labels``, ``val_images``, ``test_images`` ... (MedMNIST); or one array of all images,
``images``, ``x``, ``data`` or ``arr_0``, with ``labels``, ``y`` or ``arr_1``. Images are (N, H, W), (N, H, W, C) or
(N, C, H, W), of whole numbers from 0 to 255 or of floats in [0, 1].

Source: own work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsuite import Dataset, PreparationError, hookimpl
from benchsuite.kit.arrays import DAMAGED, StoredArray, array_names
from benchsuite.kit.images import Block
from benchsuite.kit.prepared import Contents, PreparedDataset

_PARTS = (
    ("train", ("x_train", "train_images"), ("y_train", "train_labels")),
    ("valid", ("x_val", "val_images"), ("y_val", "val_labels")),
    ("test", ("x_test", "test_images"), ("y_test", "test_labels")),
)
_WHOLE = (("train", ("images", "x", "data", "arr_0"), ("labels", "y", "arr_1")),)


@dataclass(frozen=True)
class Npz(PreparedDataset):
    """The images of a numpy archive, as they are; select it as npz[path=FILE.npz]."""

    name = "npz"
    latent_dim = 64

    path: str

    def state(self) -> str:
        """The size and time of the file."""
        path = Path(self.preprocessing()["path"])
        found = path.stat() if path.is_file() else None
        return f"{found.st_size} bytes, {found.st_mtime_ns} ns" if found else ""

    def read(self, sources: Path, work: Path) -> Contents:
        """Read the images in pieces, the labels whole."""
        path = Path(self.preprocessing()["path"])
        try:
            parts = _parts_in(path)
            shapes = sorted({images.image_shape for _, images, _ in parts})
            if len(shapes) > 1:
                raise ValueError(f"its images have different shapes: {', '.join(map(str, shapes))}")
            if len({None if labels is None else labels.shape[1:] for _, _, labels in parts}) > 1:
                names = ", ".join(images.name for _, images, _ in parts)
                raise ValueError(f"labels are of one kind for all of {names}, or for none; add or remove some")
            total = sum(images.shape[0] for _, images, _ in parts)
            if not total:
                raise ValueError("it has no images")
        except DAMAGED as error:
            raise PreparationError(f"{path} cannot be read: {error}") from None
        return Contents(shapes[0], total, _blocks(path, parts))


_Part = tuple[str, StoredArray, NDArray[np.int64] | None]


def _parts_in(path: Path) -> list[_Part]:
    """The parts of the dataset, each with its array of images and its labels."""
    arrays = array_names(path)
    for parts in (_PARTS, _WHOLE):
        found = [
            (part, StoredArray(path, name), next((label for label in labels if label in arrays), None))
            for part, images, labels in parts
            if (name := next((image for image in images if image in arrays), None)) is not None
        ]
        if found:
            with np.load(path, allow_pickle=False) as archive:
                return [
                    (part, images, _labels(archive, label, images) if label else None) for part, images, label in found
                ]
    known = ", ".join(name for _, names, _ in (*_PARTS, *_WHOLE) for name in names)
    raise ValueError(f"its arrays are {', '.join(arrays) or 'none'}; images are found as {known}")


def _labels(archive: Any, name: str, images: StoredArray) -> NDArray[np.int64]:
    labels = archive[name]
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.dtype.kind not in "bui" or labels.shape[:1] != images.shape[:1] or labels.ndim > 2:
        raise ValueError(f"{name} is {labels.dtype} {labels.shape}; labels are whole numbers, one for each image")
    if labels.size and (labels.min() < 0 or (labels.ndim == 2 and labels.max() > 1)):
        raise ValueError(f"{name} holds {labels.min()} to {labels.max()}; classes count from 0, attributes are 0 or 1")
    return np.asarray(labels, np.int64)


def _blocks(path: Path, parts: Sequence[_Part]) -> Iterator[Block]:
    try:
        for part, images, labels in parts:
            done = 0
            for piece in images.images():
                some = None if labels is None else labels[done : done + len(piece)]
                yield Block(part, _as_bytes(piece), some)
                done += len(piece)
    except DAMAGED as error:
        raise PreparationError(f"{path} cannot be read: {error}") from None


def _as_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    return images if images.dtype == np.uint8 else np.rint(images * 255.0).astype(np.uint8)


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``npz``."""
    return [Npz]
