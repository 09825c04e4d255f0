"""Samples: the rows of a dataset, stored small and handed out as float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor


class Samples:
    """N images or vectors, indexable like a tensor.

    Images are stored as uint8 (N, C, H, W), or as float32 where they were computed, and handed out as float32 in
    [0, 1]. Vectors are stored and handed out as float32 (N, D). Indexing takes a slice, a list or an index tensor
    and always returns (n, *shape).

    >>> Samples(torch.full((4, 1, 2, 2), 255, dtype=torch.uint8))[1:3].shape
    torch.Size([2, 1, 2, 2])
    """

    def __init__(self, data: Tensor, labels: Tensor | None = None) -> None:
        """``data`` is uint8 or float32, (N, C, H, W) or (N, D); ``labels`` are whole numbers, (N,)."""
        if data.dtype not in (torch.uint8, torch.float32):
            raise ValueError(f"samples are uint8 or float32; got {data.dtype}")
        if data.ndim not in (2, 4):
            raise ValueError(f"samples have shape (N, C, H, W) or (N, D); got {tuple(data.shape)}")
        if data.ndim == 2 and data.dtype == torch.uint8:
            raise ValueError("vectors are float32; got uint8")
        if labels is not None and labels.shape != data.shape[:1]:
            raise ValueError(f"{len(data)} samples need as many labels; got shape {tuple(labels.shape)}")
        self._data = data
        self.labels = labels

    def __len__(self) -> int:
        return len(self._data)

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
        """One more than the largest label, or None where there are no labels."""
        return None if self.labels is None else int(self.labels.max()) + 1

    @property
    def device(self) -> torch.device:
        """Where the data lie."""
        return self._data.device

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> Tensor:
        if isinstance(index, slice):
            rows = self._data[index]
            return rows.float().div_(255) if rows.dtype == torch.uint8 else rows.clone()
        positions = torch.as_tensor(index, device=self.device)
        if positions.dtype == torch.bool:
            positions = positions.nonzero().squeeze(1)
        rows = self._data.index_select(0, positions.long())
        return rows.float().div_(255) if rows.dtype == torch.uint8 else rows

    def batches(self, size: int) -> Iterator[Tensor]:
        """All rows in order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def subset(self, index: Tensor) -> Samples:
        """The rows at ``index``, with their labels, stored as they are here."""
        labels = None if self.labels is None else self.labels[index.to(self.labels.device)]
        return Samples(self._data.index_select(0, index.to(self.device)), labels)

    def to(self, device: torch.device) -> Samples:
        """The same samples on ``device``."""
        return Samples(self._data.to(device), None if self.labels is None else self.labels.to(device))


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
