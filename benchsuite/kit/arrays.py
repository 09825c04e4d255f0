"""Arrays in numpy's files, read in pieces, so that they may be larger than memory. No pickle is ever opened."""

from __future__ import annotations

import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from benchsuite.errors import reason_of

PIECE_BYTES = 2**25
# What reading a damaged file, or one of another kind, may raise.
DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)

_CHANNELS = (1, 3)
_SUFFIX = ".npy"
_Header = tuple[tuple[int, ...], bool, np.dtype[Any]]  # the shape, whether stored by columns, the type


def array_names(path: Path) -> list[str]:
    """The arrays of the archive ``path``, all of which have been opened.

    Raises one of ``DAMAGED`` for a file that is none, or with an array that cannot be read or is cut off.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # which numpy would load whole, or call a pickle
            raise ValueError("it is no archive of arrays; make one with np.savez")
    found = []
    with ExitStack() as stack:
        with _damage_is_known(path.name):
            archive = stack.enter_context(zipfile.ZipFile(path))
        for member in archive.infolist():
            name = member.filename.removesuffix(_SUFFIX)
            if name != member.filename:
                with _damage_is_known(name), archive.open(member) as opened:
                    _header(name, opened, member.file_size)
                found.append(name)
    return found


@contextmanager
def _damage_is_known(name: str) -> Iterator[None]:
    """All kinds of errors that zipfile, decompressors and parsers of headers raise become ValueError.

    Among them are RuntimeError for what is encrypted, NotImplementedError for an unknown compression, and TokenError,
    SyntaxError and TypeError for a header.
    """
    try:
        yield
    except (*DAMAGED, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{name} cannot be read: {reason_of(error)}") from None


def _header(name: str, file: IO[bytes], size: int) -> _Header:
    """What stands before the numbers. Raises ValueError where ``file``, of ``size`` bytes, has fewer of them."""
    reader = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = reader(file)
    if min(shape, default=0) < 0:
        raise ValueError(f"{name} has shape {shape}; it is damaged")
    needed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if needed > there and not dtype.hasobject:  # objects are a pickle, of any length
        raise ValueError(f"{name} is cut off: {dtype} of shape {shape} needs {needed} bytes, and there are {there}")
    return shape, fortran, dtype


@dataclass(frozen=True)
class StoredArray:
    """An array in an archive, or with an empty ``name`` one in a file of its own, of which only the header is read."""

    path: Path
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.path.name

    def _file(self, stack: ExitStack) -> tuple[IO[bytes], int]:
        """The file, which ``stack`` closes, and how many bytes it has, unpacked."""
        if not self.name:
            return stack.enter_context(self.path.open("rb")), self.path.stat().st_size
        archive = stack.enter_context(zipfile.ZipFile(self.path))
        member = archive.getinfo(f"{self.name}{_SUFFIX}")
        return stack.enter_context(archive.open(member)), member.file_size

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any]]]:
        """The file, at the first number, the shape and the type. Raises ValueError for what is stored otherwise."""
        with ExitStack() as stack:
            with _damage_is_known(str(self)):
                file, size = self._file(stack)
                shape, fortran, dtype = _header(str(self), file, size)
            if dtype.kind not in "buif":
                raise ValueError(f"{self} holds {dtype}; images are whole numbers or floats")
            if fortran:
                raise ValueError(f"{self} is stored by columns; save it with np.ascontiguousarray")
            yield file, shape, dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...). Raises one of ``DAMAGED``, as all that follows."""
        with self._opened() as (_, shape, _):
            return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of truth values, whole numbers or floats."""
        with self._opened() as (_, _, dtype):
            return dtype

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W). Raises ValueError for what is no array of images."""
        shape = self.shape
        if 0 in shape[1:]:
            raise ValueError(f"{self} has shape {shape}, and so no pixels")
        if len(shape) == 3:
            return 1, shape[1], shape[2]
        if len(shape) == 4 and shape[3] in _CHANNELS:
            return shape[3], shape[1], shape[2]
        if len(shape) == 4 and shape[1] in _CHANNELS:
            return shape[1], shape[2], shape[3]
        raise ValueError(f"{self} has shape {shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3")

    def pieces(self) -> Iterator[NDArray[Any]]:
        """All rows in order, (n, ...), as they are stored. Raises EOFError where some are missing."""
        with self._opened() as (file, shape, dtype):
            size = math.prod(shape[1:]) * dtype.itemsize
            step = max(1, PIECE_BYTES // max(1, size))
            for start in range(0, shape[0], step):
                rows = min(step, shape[0] - start)
                with _damage_is_known(str(self)):
                    data = file.read(rows * size)
                if len(data) < rows * size:
                    raise EOFError(f"{self} is cut off after {start} of {shape[0]} images")
                yield np.frombuffer(data, dtype).reshape(rows, *shape[1:])

    def images(self) -> Iterator[NDArray[Any]]:
        """All images in order, (n, C, H, W): of whole numbers as uint8, of floats in [0, 1] as they are.

        Raises ValueError for values that are none of an image.
        """
        image_shape = self.image_shape
        for piece in self.pieces():
            low, high = piece.min(), piece.max()
            floats = piece.dtype.kind == "f"
            if not (low >= 0 and high <= (1 if floats else 255)):  # false for NaN too
                allowed = "floats are in [0, 1]; scale them, or save uint8" if floats else "whole numbers are 0 to 255"
                raise ValueError(f"{self} holds values from {low} to {high}; {allowed}")
            if piece.dtype.kind == "b":
                piece = piece * np.uint8(255)
            if piece.ndim == 4 and piece.shape[3] == image_shape[0]:
                piece = piece.transpose(0, 3, 1, 2)
            piece = piece.reshape(len(piece), *image_shape)
            yield piece if floats else piece.astype(np.uint8)
