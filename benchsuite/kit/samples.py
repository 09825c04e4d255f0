"""Samples: the rows of a dataset, stored small and handed out as float32."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Literal, Self

import torch
from torch import Tensor

from benchsuite.kit.prefetch import ahead

_SHARE = 0.5  # of a device's free memory, which samples may fill; the rest is for training
_BLOCK_BYTES = 2**26
_HASHED_BYTES = 2**28
_CACHED_BYTES = 2**30  # of a mapped file, which the system is taken to keep in memory once it was read

Index = slice | Tensor | Sequence[int]


class Samples:
    """N images or vectors, indexable like a tensor.

    Images are stored as uint8 (N, C, H, W), or as float32 where they were computed, and handed out as float32 in
    [0, 1]. Vectors are stored and handed out as float32 (N, D). Indexing takes a slice, a list or an index tensor
    and always returns (n, *shape), on ``device``, wherever the data are stored: in memory, in a mapped file, on the
    device itself.

    >>> Samples(torch.full((4, 1, 2, 2), 255, dtype=torch.uint8))[1:3].shape
    torch.Size([2, 1, 2, 2])
    """

    def __init__(
        self,
        data: Tensor,
        labels: Tensor | None = None,
        *,
        label_names: Sequence[str] = (),
        mapped: bool = False,
        content: str = "",
    ) -> None:
        """``data`` is uint8 or float32, (N, C, H, W) or (N, D), ``mapped`` if it lies in a file.

        ``labels`` are classes, whole numbers (N,), or attributes, 0 or 1, (N, A); ``label_names`` names each of them.
        ``content`` identifies prepared data, as ``Dataset.content`` does.
        """
        if data.dtype not in (torch.uint8, torch.float32):
            raise ValueError(f"samples are uint8 or float32; got {data.dtype}")
        if data.ndim not in (2, 4):
            raise ValueError(f"samples have shape (N, C, H, W) or (N, D); got {tuple(data.shape)}")
        if data.ndim == 2 and data.dtype == torch.uint8:
            raise ValueError("vectors are float32; got uint8")
        if labels is not None and (labels.ndim not in (1, 2) or len(labels) != len(data)):
            raise ValueError(f"{len(data)} samples need as many labels; got shape {tuple(labels.shape)}")
        self._data = data
        self._rows: Tensor | None = None  # of the data, those that are in these samples; None for all
        self._mapped = mapped
        self.device = data.device
        self.labels = labels
        self.label_names = tuple(label_names)
        self.content = content
        self._classes: int | None = None
        if labels is not None and labels.ndim == 1 and len(labels):
            self._classes = len(self.label_names) or int(labels.max()) + 1

    def __len__(self) -> int:
        return len(self._data if self._rows is None else self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self._data.shape[1:])

    @property
    def kind(self) -> Literal["image", "vector"]:
        """Whether these are images or vectors."""
        return "image" if self._data.ndim == 4 else "vector"

    @property
    def n_classes(self) -> int | None:
        """How many classes there are, also those that a subset lacks; None where samples have no class each."""
        return self._classes

    @property
    def streamed(self) -> bool:
        """Whether the data are too large for the memory of ``device``, so that batches are read ahead of their use."""
        return self._data.device != self.device or (self._mapped and self._bytes() > _CACHED_BYTES)

    def __getitem__(self, index: Index) -> Tensor:
        if isinstance(index, slice):
            if self._rows is None:
                view = self._data[index]
                return self._handed_out(view if view.dtype == torch.uint8 else view.clone())
            return self._handed_out(self._data.index_select(0, self._rows[index]))
        return self._handed_out(self._data.index_select(0, self._stored_rows(index)))

    def _stored_rows(self, index: Tensor | Sequence[int]) -> Tensor:
        """The rows of the data at ``index``, which counts from 0 or is a mask. Raises IndexError."""
        positions = torch.as_tensor(index, device=self._data.device)
        if positions.dtype == torch.bool:
            if positions.shape != (len(self),):
                raise IndexError(f"a mask of shape {tuple(positions.shape)} for {len(self)} samples")
            positions = positions.nonzero().squeeze(1)
        return positions.long() if self._rows is None else self._rows.index_select(0, positions.long())

    def _handed_out(self, rows: Tensor) -> Tensor:
        """Stored ``rows`` as float32 on the device; bytes travel there, not floats."""
        if rows.device != self.device:
            pinned = rows.pin_memory() if self.device.type == "cuda" else rows
            rows = pinned.to(self.device, non_blocking=True)
        return rows.float().div_(255) if rows.dtype == torch.uint8 else rows

    def fetched(self, indices: Iterable[Index]) -> Iterator[Tensor]:
        """The rows of each index in turn, read one step ahead where they are streamed."""
        if self.streamed:
            return ahead(partial(self.__getitem__, index) for index in indices)
        return (self[index] for index in indices)

    def batches(self, size: int) -> Iterator[Tensor]:
        """All rows in order, at most ``size`` at a time."""
        return self.fetched(slice(start, start + size) for start in range(0, len(self), size))

    def subset(self, index: Tensor) -> Samples:
        """The rows at ``index``, with their labels; the data are shared, not copied. Raises IndexError likewise."""
        rows = self._stored_rows(index)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self._data):
            raise IndexError(f"rows from {int(rows.min())} to {int(rows.max())} of {len(self._data)} samples")
        chosen = Samples(self._data, label_names=self.label_names, mapped=self._mapped, content=self.content)
        chosen._rows, chosen._classes, chosen.device = rows, self._classes, self.device
        chosen.labels = None if self.labels is None else self.labels[index.to(self.labels.device)]
        return chosen

    def to(self, device: torch.device) -> Self:
        """The same samples, handed out on ``device``: stored there where they fit, else streamed from where they lie.

        On a device of its own memory they may take half of what is free. The processor reads a mapped file in place,
        whose pages all processes share.
        """
        moved = copy.copy(self)
        moved.device = torch.empty(0, device=device).device  # with its number, as tensors give it
        moved.labels = None if self.labels is None else self.labels.to(device)
        if self._data.device != moved.device and self._bytes() <= _room(moved.device):
            moved._data = self._resident(moved.device)
            moved._rows, moved._mapped = None, False
        return moved

    def fingerprint(self) -> str:
        """Identifies the rows as they are stored, with their labels: the same bytes have the same.

        Of more than 256 MiB it goes by evenly spaced rows that come to as much.
        """
        found = hashlib.sha256(repr((len(self), self.shape, self._data.dtype, self.label_names)).encode())
        row_bytes = max(1, self._data[:1].nbytes)
        rows = evenly_spaced(len(self), max(1, _HASHED_BYTES // row_bytes)) if len(self) else torch.arange(0)
        for block in torch.split(rows, max(1, _BLOCK_BYTES // row_bytes)):
            stored = self._data.index_select(0, self._stored_rows(block.to(self._data.device)))
            found.update(stored.cpu().numpy().tobytes())
        if self.labels is not None:
            found.update(self.labels.cpu().numpy().tobytes())
        return found.hexdigest()[:12]

    def _bytes(self) -> int:
        return len(self) * self._data[:1].nbytes

    def _resident(self, device: torch.device) -> Tensor:
        """The stored rows, copied to ``device`` block by block."""
        if self._rows is None and not self._mapped:
            return self._data.to(device)
        resident = torch.empty((len(self), *self.shape), dtype=self._data.dtype, device=device)
        size = max(1, _BLOCK_BYTES // max(1, self._data[:1].nbytes))
        rows = torch.arange(len(self)) if self._rows is None else self._rows
        for block, into in zip(torch.split(rows, size), torch.split(resident, size), strict=True):
            into.copy_(self._data.index_select(0, block))
        return resident


def _room(device: torch.device) -> float:
    """The bytes that samples may take on ``device``."""
    if device.type == "cuda":
        return _SHARE * torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return _SHARE * torch.mps.recommended_max_memory()
    return float("inf")


class Reconstructions(Samples):
    """The model's reconstructions of ``original``, row by row; ``source`` says where their codes came from."""

    def __init__(self, data: Tensor, original: Samples, source: str) -> None:
        super().__init__(data)
        if len(data) != len(original) or self.shape != original.shape:
            raise ValueError(f"{tuple(data.shape)} cannot be the reconstructions of {len(original)} x {original.shape}")
        self.original = original
        self.source = source

    def pairs(self, size: int = 1024) -> Iterator[tuple[Tensor, Tensor]]:
        """(original, reconstruction) in order, at most ``size`` rows at a time."""
        return zip(self.original.batches(size), self.batches(size), strict=True)


def random_rows(n: int, count: int, seed: int = 0) -> Tensor:
    """``count`` of the rows 0 ... n-1, drawn without replacement, in rising order; all where there are no more.

    >>> random_rows(10, 3)
    tensor([1, 4, 7])
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n, generator=generator)[:count].sort().values


def evenly_spaced(n: int, count: int) -> Tensor:
    """``count`` of the rows 0 ... n-1, evenly spaced; all of them where there are no more.

    >>> evenly_spaced(10, 3)
    tensor([0, 3, 6])
    """
    return torch.arange(min(count, n)) * n // min(count, n)


def held_out_rows(n: int, every: int = 32) -> tuple[Tensor, Tensor]:
    """(training rows, test rows), the test rows being every 32nd.

    Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks, section 4.1.
    """
    rows = torch.arange(n)
    return rows[rows % every != 0], rows[rows % every == 0]
