"""Tensors that are put together from parts, also where they are larger than memory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

_LARGE = 2**27  # bytes from which a tensor lies in a file rather than in the memory of the processor


def collected(parts: Iterable[Tensor], rows: int, folder: Path | None = None) -> Tensor:
    """All ``parts`` one after another, (rows, ...), as ``torch.cat`` gives them, each dropped once it is copied.

    A list of parts, however small, would pin the memory between them that was used to make them. With a ``folder``, a
    large tensor of the processor lies in a file there that vanishes with the tensor: the system writes it out when
    memory runs short. Raises ValueError unless the parts have ``rows`` rows together, OSError for a full disk.
    """
    whole: Tensor | None = None
    done = 0
    for part in parts:
        if whole is None:
            whole = _empty((rows, *part.shape[1:]), part.dtype, part.device, folder)
        if done + len(part) > rows:
            raise ValueError(f"more than the {rows} rows that were to come")
        whole[done : done + len(part)] = part
        done += len(part)
    if whole is None or done != rows:
        raise ValueError(f"{done} of {rows} rows came" if whole is not None else "nothing came")
    return whole


def _empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, folder: Path | None) -> Tensor:
    numbers = torch.Size(shape).numel()
    size = numbers * dtype.itemsize
    if folder is None or device.type != "cpu" or size < _LARGE:
        return torch.empty(shape, dtype=dtype, device=device)
    path = folder / f".scratch-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with path.open("xb") as file:
            if hasattr(os, "posix_fallocate"):  # a disk that is full says so here, not by killing the process later
                os.posix_fallocate(file.fileno(), 0, size)
        return torch.from_file(str(path), shared=True, size=numbers, dtype=dtype).view(shape)
    finally:
        path.unlink(missing_ok=True)  # mapped, it lives on without a name
