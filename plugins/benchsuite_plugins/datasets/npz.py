"""A researcher's own images in one numpy archive, read in pieces, so that it may be larger than memory.

Arrays are found by their usual names: ``x_train``, ``y_train``, ``x_test``, ``y_test`` (as Keras names them);
``train_images``, ``train_labels``, ``val_images``, ``test_images`` ... (MedMNIST); or one array of all images,
``images``, ``x``, ``data`` or ``arr_0``, with ``labels``, ``y`` or ``arr_1``. Images are (N, H, W), (N, H, W, C) or
(N, C, H, W), of whole numbers from 0 to 255 or of floats in [0, 1].
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from benchsuite import Dataset, PreparationError, hookimpl
from benchsuite.kit.images import Block
from benchsuite.kit.prepared import Contents, PreparedDataset

_PARTS = (
    ("train", ("x_train", "train_images"), ("y_train", "train_labels")),
    ("valid", ("x_val", "val_images"), ("y_val", "val_labels")),
    ("test", ("x_test", "test_images"), ("y_test", "test_labels")),
)
_WHOLE = (("train", ("images", "x", "data", "arr_0"), ("labels", "y", "arr_1")),)
_CHANNELS = (1, 3)
_PIECE_BYTES = 2**25
_DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


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
        except _DAMAGED as error:
            raise PreparationError(f"{path} cannot be read: {error}") from None
        return Contents(shapes[0], total, _blocks(path, parts))


@dataclass(frozen=True)
class _Array:
    """An array in an archive, of which only the header has been read."""

    archive: Path
    name: str

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any]]]:
        """The file, at the first number, the shape and the type. Raises ValueError for what is stored otherwise."""
        with zipfile.ZipFile(self.archive) as archive, archive.open(f"{self.name}.npy") as file:
            reader = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = reader(file)
            if dtype.kind not in "buif":
                raise ValueError(f"{self.name} holds {dtype}; images are whole numbers or floats")
            if fortran:
                raise ValueError(f"{self.name} is stored by columns; save it with np.ascontiguousarray")
            yield file, shape, dtype

    @property
    def shape(self) -> tuple[int, ...]:
        with self._opened() as (_, shape, _):
            return shape

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W). Raises ValueError for what is no array of images."""
        shape = self.shape
        if 0 in shape[1:]:
            raise ValueError(f"{self.name} has shape {shape}, and so no pixels")
        if len(shape) == 3:
            return 1, shape[1], shape[2]
        if len(shape) == 4 and shape[3] in _CHANNELS:
            return shape[3], shape[1], shape[2]
        if len(shape) == 4 and shape[1] in _CHANNELS:
            return shape[1], shape[2], shape[3]
        raise ValueError(f"{self.name} has shape {shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3")

    def pieces(self) -> Iterator[NDArray[np.uint8]]:
        """All images in order, uint8 (n, C, H, W). Raises ValueError for values that are none of an image."""
        image_shape = self.image_shape
        with self._opened() as (file, shape, dtype):
            size = math.prod(shape[1:]) * dtype.itemsize
            step = max(1, _PIECE_BYTES // max(1, size))
            for start in range(0, shape[0], step):
                rows = min(step, shape[0] - start)
                data = file.read(rows * size)
                if len(data) < rows * size:
                    raise EOFError(f"{self.name} is cut off after {start} of {shape[0]} images")
                yield self._as_bytes(np.frombuffer(data, dtype).reshape(rows, *shape[1:]), image_shape)

    def _as_bytes(self, piece: NDArray[Any], image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        low, high = piece.min(), piece.max()
        kind = piece.dtype.kind
        if not (low >= 0 and high <= (1 if kind == "f" else 255)):  # false for NaN too
            allowed = "floats are in [0, 1]; scale them, or save uint8" if kind == "f" else "whole numbers are 0 to 255"
            raise ValueError(f"{self.name} holds values from {low} to {high}; {allowed}")
        if kind == "f":
            piece = np.rint(piece * 255.0)
        elif kind == "b":
            piece = piece * np.uint8(255)
        if piece.ndim == 4 and piece.shape[3] == image_shape[0]:
            piece = piece.transpose(0, 3, 1, 2)
        return piece.reshape(len(piece), *image_shape).astype(np.uint8)


_Part = tuple[str, _Array, NDArray[np.int64] | None]


def _parts_in(path: Path) -> list[_Part]:
    """The parts of the dataset, each with its array of images and its labels."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # which numpy would load whole, or call a pickle
            raise ValueError("it is no archive of arrays; make one with np.savez")
    with np.load(path, allow_pickle=False) as archive:
        for parts in (_PARTS, _WHOLE):
            found = [
                (part, name, next((label for label in labels if label in archive), None))
                for part, images, labels in parts
                if (name := next((image for image in images if image in archive), None)) is not None
            ]
            if found:
                return [
                    (part, _Array(path, name), _labels(archive, label, _Array(path, name)) if label else None)
                    for part, name, label in found
                ]
        known = ", ".join(name for _, names, _ in (*_PARTS, *_WHOLE) for name in names)
        raise ValueError(f"its arrays are {', '.join(archive) or 'none'}; images are found as {known}")


def _labels(archive: Any, name: str, images: _Array) -> NDArray[np.int64]:
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
            for piece in images.pieces():
                some = None if labels is None else labels[done : done + len(piece)]
                yield Block(part, piece, some)
                done += len(piece)
    except _DAMAGED as error:
        raise PreparationError(f"{path} cannot be read: {error}") from None


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``npz``."""
    return [Npz]
