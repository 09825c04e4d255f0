"""Features of training data and their moments, kept in the cache from one cell to the next.

One folder for each extractor, dataset and environment: ``features.npy`` (N, D), which cells map into memory, and
``moments.safetensors``. Nothing depends on what is there: a folder that is removed is made anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from safetensors.torch import load_file, save
from torch import Tensor

from benchsuite.kit.files import locked_in_turn, replacing, write_text
from benchsuite.kit.moments import Moments

_FEATURES, _MOMENTS, _ABOUT = "features.npy", "moments.safetensors", "about.json"


def kept_features(folder: Path, about: dict[str, str], rows: int, make: Callable[[], Iterable[Tensor]]) -> Tensor:
    """What ``make`` gives in parts, (rows, D) float32 in memory that maps a file in ``folder``; made where it is not
    there yet, by one process at a time. ``about`` is for people who list the cache.

    Raises OSError where the folder cannot be written, and what ``make`` raises.
    """
    path = folder / _FEATURES
    found = _mapped(path, rows)
    if found is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with locked_in_turn(folder / ".lock", lambda: None):
        found = _mapped(path, rows)
        if found is None:
            for part in folder.glob(f".{_FEATURES}.*"):  # of cells that were killed
                part.unlink(missing_ok=True)
            with replacing(path) as temporary:
                _write(temporary, rows, make())
            write_text(folder / _ABOUT, json.dumps(about))
            found = _mapped(path, rows)
    if found is None:
        raise OSError(f"{path} cannot be read back")
    return found


def kept_moments(folder: Path, device: torch.device, make: Callable[[], Moments]) -> Moments:
    """The moments that are kept in ``folder``, on ``device``; made and kept where they are not.

    A folder that cannot be written is no error: they are made again the next time.
    """
    path = folder / _MOMENTS
    try:
        return Moments.from_state(load_file(path), device)
    except Exception:  # absent, or not one of this version: safetensors, tensors and moments each say so in their way
        moments = make()
    try:
        with replacing(path) as temporary:
            # save_file would make a file that nobody else may read.
            temporary.write_bytes(save({name: value.cpu() for name, value in moments.state().items()}))
    except OSError:
        pass
    return moments


def _mapped(path: Path, rows: int) -> Tensor | None:
    """The features in ``path``, or None where they are not there or not as many as they should be."""
    try:
        array = np.load(path, mmap_mode="c")  # copied on write: a metric that works in place harms only itself
    except (OSError, ValueError, EOFError):
        return None
    right = array.ndim == 2 and len(array) == rows and array.dtype == np.float32
    return torch.from_numpy(array) if right else None


def _write(path: Path, rows: int, parts: Iterable[Tensor]) -> None:
    """Write a header, then every part: a disk that is full is an error of writing, not the end of the process."""
    done = 0
    with path.open("wb") as file:
        for part in parts:
            array = part.to(torch.float32).cpu().contiguous().numpy()
            if not done:
                header = {"descr": "<f4", "fortran_order": False, "shape": (rows, array.shape[1])}
                npy.write_array_header_1_0(file, header)
            file.write(array.tobytes())
            done += len(array)
    if done != rows:
        raise ValueError(f"{done} rows of features came of {rows} samples")
