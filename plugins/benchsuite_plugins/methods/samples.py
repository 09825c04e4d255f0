"""Samples made elsewhere: what any program in any language has left in files, in the tables beside other methods.

Source: Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis (2021), whose evaluation reads archives with
one array of samples; folders of image files are what others read.

Images lie in a folder, or are one array (N, H, W), (N, H, W, C) or (N, C, H, W), of bytes or of floats in [0, 1];
vectors are one array (N, D) of floats. They have the dataset's shape already, because whoever resizes or converts them
decides their scores. There are no codes, so that only metrics of samples apply. No row is handed out twice: drawn with
replacement, the same rows would have another Fréchet distance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchsuite import DataSpec, Method, Model, ParameterError, Run, Samples, UsageError, hookimpl
from benchsuite.kit.arrays import DAMAGED, StoredArray, array_names
from benchsuite.kit.files import digest_of_files
from benchsuite.kit.folders import check_path, images_below
from benchsuite.kit.images import AsIs, ImageFile, decoded

_ARRAYS = ("samples", "images", "x", "data", "arr_0")
_LEAST = 2  # rows that anything can be said of
_GENERATORS = 8  # whose orders are remembered
_NAMED = 5  # bad images that a message names
_AS_IT_IS = "nothing is resized or converted, since that would change scores"


@dataclass(frozen=True)
class _Order:
    """The rows that a generator has not been given so far, and its state since it drew their order."""

    left: Tensor
    state: Tensor


class SamplesModel(Model):
    """The rows that it hands out, as they are stored: images as bytes or floats in [0, 1], vectors as floats."""

    rows: Tensor
    made_elsewhere = True

    def __init__(self, shape: tuple[int, ...], count: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(count, *shape, dtype=dtype))
        self._orders: dict[int, _Order] = {}  # of the last few generators, which older torch cannot refer to weakly

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """The next ``n`` rows of a random order that ``generator`` decides, none of them twice.

        An order begins where a generator comes for the first time, and anew where it was seeded or drawn from
        elsewhere since. Raises UsageError for more rows than are left of it.
        """
        order = self._orders.get(id(generator))
        if order is None or not torch.equal(order.state, generator.get_state()):
            drawn = torch.randperm(len(self.rows), generator=generator)
            order = _Order(drawn, generator.get_state())
        if n > len(order.left):
            count = len(self.rows)
            raise UsageError(f"samples has {count} rows, and more are asked for; run with --samples {count}")
        self._orders.pop(id(generator), None)  # so that the latest is last
        self._orders[id(generator)] = _Order(order.left[n:], order.state)
        if len(self._orders) > _GENERATORS:
            del self._orders[next(iter(self._orders))]
        rows = self.rows[order.left[:n].to(self.rows.device)]
        return rows.float().div_(255) if rows.dtype == torch.uint8 else rows


@dataclass(frozen=True)
class SamplesMethod(Method):
    """Images or vectors that were made elsewhere; select them as samples[path=DIR] or samples[path=FILE.npz]."""

    name = "samples"

    path: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.name, self.path)

    def content(self) -> str:
        """A digest of the files, by their names and bytes; beyond 1 GiB by names, sizes and times."""
        with _explained(self.path):
            return digest_of_files(_source(self.path).files)

    def most_samples(self) -> int:
        """As many as there are image files, or rows in the array."""
        with _explained(self.path):
            return _source(self.path).count

    def build(self, spec: DataSpec) -> SamplesModel:
        """Room for the rows. Raises ParameterError for files that are not there, or of another shape."""
        with _explained(self.path):
            source = _source(self.path)
            return SamplesModel(spec.shape, source.count, source.dtype(spec.shape))

    def fit(self, model: Model, train: Samples, run: Run) -> None:
        """Reads the rows; nothing is trained. Raises ParameterError for what the dataset's samples cannot be."""
        assert isinstance(model, SamplesModel)
        done = 0
        with _explained(self.path):
            for block in _source(self.path).blocks(train.shape):
                model.rows[done : done + len(block)].copy_(torch.from_numpy(np.ascontiguousarray(block)))
                done += len(block)


@dataclass(frozen=True)
class _Images:
    """Image files below a folder, in the order of their names."""

    files: Mapping[str, Path]

    @property
    def count(self) -> int:
        return len(self.files)

    def dtype(self, shape: tuple[int, ...]) -> torch.dtype:
        """Of rows for a dataset of this shape. Raises ValueError where they cannot be its samples."""
        if len(shape) != 3:
            raise ValueError(f"it is a folder of images, and the dataset's samples are vectors of {shape[0]} numbers")
        return torch.uint8

    def blocks(self, shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
        """All rows in order. Raises ValueError for what would have to be changed to be of this shape."""
        channels, height, width = shape
        files = (ImageFile(name, "", path.read_bytes) for name, path in self.files.items())
        for block in decoded(files, AsIs((channels, height, width))):
            if block.bad:
                named = "; ".join(f"{name}: {reason}" for name, reason in block.bad[:_NAMED])
                others = f"; and {len(block.bad) - _NAMED} others, if no more" if len(block.bad) > _NAMED else ""
                raise ValueError(f"{named}{others}; {_needed(shape)}")
            yield block.images


@dataclass(frozen=True)
class _Rows:
    """The rows of an array."""

    array: StoredArray

    @property
    def files(self) -> Mapping[str, Path]:
        return {self.array.path.name: self.array.path}

    @property
    def count(self) -> int:
        return self.array.shape[0] if self.array.shape else 0

    def dtype(self, shape: tuple[int, ...]) -> torch.dtype:
        """Of rows for a dataset of this shape. Raises ValueError where they cannot be its samples."""
        stored, floats = self.array.shape, self.array.dtype.kind == "f"
        if len(shape) == 1:
            if not floats or stored[1:] != (shape if shape != (1,) or len(stored) == 2 else ()):
                raise ValueError(f"{self.array} holds {self.array.dtype} of shape {stored}; {_needed(shape)}")
        elif self.array.image_shape not in (shape, _in_colour(shape)):
            raise ValueError(f"{self.array} has shape {stored}; {_needed(shape)}")
        return torch.float32 if floats else torch.uint8

    def blocks(self, shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
        """All rows in order. Raises ValueError for values that are none of samples of this shape."""
        return self._vectors(shape) if len(shape) == 1 else self._images(shape)

    def _vectors(self, shape: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
        for piece in self.array.pieces():
            with np.errstate(over="ignore"):
                vectors = piece.reshape(-1, *shape).astype(np.float32)
            if not np.isfinite(vectors).all():
                raise ValueError(f"{self.array} holds NaN, infinity, or numbers that float32 does not")
            yield vectors

    def _images(self, shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
        for piece in self.array.images():
            images = piece[:, : shape[0]]
            if images.shape != piece.shape and not (images == piece).all():
                raise ValueError(f"{self.array} has images in colour; {_needed(shape)}")
            yield images if images.dtype == np.uint8 else images.astype(np.float32)


def _source(path: str) -> _Images | _Rows:
    """What lies at ``path``. Raises ValueError, and what is ``DAMAGED``, where it is nothing to be read."""
    where = Path(path).expanduser()
    source = _images_in(where) if where.is_dir() else _rows_in(where)
    if source.count < _LEAST:
        raise ValueError(f"it has {source.count} samples; at least {_LEAST} are needed")
    return source


def _images_in(folder: Path) -> _Images:
    found, ignored = images_below(folder)
    if not found:
        others = f"only {sum(ignored.values())} files of other kinds" if ignored else "no files"
        raise ValueError(f"it has no images, {others}; known are .png, .jpg, .webp and the like")
    return _Images({name: folder / name for name in sorted(found)})


def _rows_in(file: Path) -> _Rows:
    if not file.is_file():
        raise ValueError("there is no such file or folder; give a folder of images, an .npz or an .npy")
    with file.open("rb") as opened:
        if opened.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
            return _Rows(StoredArray(file))
    names = array_names(file)
    known = [name for name in _ARRAYS if name in names]
    if len(known) != 1:
        raise ValueError(f"its arrays are {', '.join(names) or 'none'}; exactly one has to be named {_either(_ARRAYS)}")
    return _Rows(StoredArray(file, known[0]))


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _in_colour(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of images whose three channels may be equal, and so one."""
    return (3, *shape[1:]) if shape[0] == 1 else shape


def _needed(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"the dataset needs floats of shape (N, {shape[0]})"
    colours = {1: "grey", 3: "RGB"}.get(shape[0], f"{shape[0]} channels")
    return f"the dataset needs images of {shape[2]} x {shape[1]} pixels, {colours}; {_AS_IT_IS}"


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """What is wrong with files is an error of the parameter that names them."""
    try:
        yield
    except DAMAGED as error:
        raise ParameterError(f"samples: path='{path}' cannot be used: {error}") from None


@hookimpl
def benchsuite_methods() -> Sequence[type[Method]]:
    """Provides ``samples``."""
    return [SamplesMethod]
