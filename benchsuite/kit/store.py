"""The store of a prepared dataset: a folder with its images as uint8, its labels, and what they are.

``images.npy`` (N, C, H, W) and ``labels.npy`` (N,) or (N, A) can be opened by numpy; ``store.json`` is written last.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from io import BufferedWriter
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from benchsuite.kit.files import replacing_folder, write_text
from benchsuite.kit.images import Block
from benchsuite.kit.samples import Samples

FORMAT = 1  # of the files below


@dataclass(frozen=True)
class Manifest:
    """What a store holds. ``parts`` are consecutive rows, (train, valid or test, how many), in their order.

    ``fingerprint`` identifies images and labels: sources, preprocessing and versions. ``state`` is that of the user's
    files that they came from, see ``PreparedDataset.state``; ``skipped`` counts the images left out.
    """

    selection: str
    fingerprint: str
    shape: tuple[int, int, int]
    parts: tuple[tuple[str, int], ...]
    label_names: tuple[str, ...] = ()
    labelled: bool = False
    state: str = ""
    skipped: int = 0
    version: int = 1
    prepared: str = ""
    format: int = FORMAT

    def __len__(self) -> int:
        return sum(count for _, count in self.parts)

    def rows(self, *parts: str) -> Tensor:
        """The rows that belong to ``parts``, (n,), in order."""
        found, start = [torch.empty(0, dtype=torch.long)], 0
        for part, count in self.parts:
            if part in parts:
                found.append(torch.arange(start, start + count))
            start += count
        return torch.cat(found)


def read_manifest(folder: Path) -> Manifest | None:
    """What the store in ``folder`` holds; None where there is none, or one that this version cannot read."""
    try:
        values = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        values["shape"] = tuple(values["shape"])
        values["parts"] = tuple((part, count) for part, count in values["parts"])
        values["label_names"] = tuple(values["label_names"])
        manifest = Manifest(**values)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    numbers = (*manifest.shape, *(count for _, count in manifest.parts), manifest.skipped, manifest.version)
    texts = (manifest.selection, manifest.fingerprint, manifest.state, manifest.prepared, *manifest.label_names)
    right = (
        manifest.format == FORMAT
        and len(manifest.shape) == 3
        and all(type(number) is int and number >= 0 for number in numbers)
        and all(isinstance(text, str) for text in (*texts, *(part for part, _ in manifest.parts)))
    )
    return manifest if right else None


def tells_apart(folder: Path, manifest: Manifest) -> bool:
    """Whether the labels in the store are attributes, or classes of which there is more than one."""
    try:
        labels = np.load(folder / "labels.npy") if manifest.labelled else None
    except (OSError, ValueError, EOFError):
        return False
    return labels is not None and (labels.ndim == 2 or (len(labels) > 0 and bool((labels != labels[0]).any())))


def open_store(folder: Path, manifest: Manifest) -> Samples:
    """Every row of the store, its images mapped into memory, not read: pages are shared by all who open it.

    Raises OSError or ValueError for files that are not what ``manifest`` says.
    """
    try:
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels = torch.from_numpy(np.load(folder / "labels.npy")) if manifest.labelled else None
    except EOFError:
        raise ValueError("a file is empty") from None
    if images.shape != (len(manifest), *manifest.shape) or images.dtype != np.uint8:
        raise ValueError(f"{folder / 'images.npy'} holds {images.dtype} {images.shape}, not what store.json says")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nobody writes to samples
        data = torch.from_numpy(images)
    return Samples(data, labels, label_names=manifest.label_names, mapped=True)


class StoreWriter:
    """Takes in the rows of a store in their order, into ``folder``, which may be used for other work meanwhile."""

    def __init__(self, folder: Path, file: BufferedWriter, shape: tuple[int, int, int]) -> None:
        self.folder, self._file, self._shape = folder, file, shape
        self._labels: list[NDArray[np.int64]] = []
        self.parts: list[tuple[str, int]] = []
        self._write_header()

    @property
    def rows(self) -> int:
        """How many rows have come so far."""
        return sum(count for _, count in self.parts)

    def add(self, block: Block) -> None:
        """Append the images and labels of ``block``. Raises ValueError for images of another shape."""
        if not len(block.images):
            return
        if block.images.shape[1:] != self._shape or block.images.dtype != np.uint8:
            raise ValueError(f"a block of {block.images.dtype} {block.images.shape[1:]}; the store has {self._shape}")
        self._file.write(np.ascontiguousarray(block.images).data)
        if block.labels is not None:
            self._labels.append(block.labels)
        before = self.parts.pop()[1] if self.parts and self.parts[-1][0] == block.part else 0
        self.parts.append((block.part, before + len(block.images)))

    def finish(self, manifest: Manifest) -> None:
        """Write the final number of rows, the labels (attributes as bytes) and ``manifest``, dated."""
        self._file.seek(0)
        self._write_header()
        self._file.close()
        if self._labels:
            labels = np.concatenate(self._labels)
            if len(labels) != self.rows:
                raise ValueError(f"{len(labels)} of {self.rows} images have labels; all do, or none")
            np.save(self.folder / "labels.npy", labels.astype(np.uint8) if labels.ndim == 2 else labels)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        final = replace(manifest, labelled=bool(self._labels), prepared=now)
        write_text(self.folder / "store.json", json.dumps(asdict(final), indent=1))

    def _write_header(self) -> None:
        """Of a constant length, since numpy leaves room for the first number to grow."""
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.rows, *self._shape)}
        npy.write_array_header_1_0(self._file, header)


@contextmanager
def new_store(folder: Path, shape: tuple[int, int, int]) -> Iterator[StoreWriter]:
    """A writer for the store that takes the place of ``folder`` when the block has ended; it calls ``finish``.

    Until then nothing there passes for a store, and an error leaves nothing behind.
    """
    with replacing_folder(folder) as new, (new / "images.npy").open("wb") as file:
        yield StoreWriter(new, file, shape)
