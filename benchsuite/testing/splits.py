"""Whether the test rows of a dataset are held out."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from benchsuite.errors import NotApplicableError
from benchsuite.kit.samples import Samples, evenly_spaced
from benchsuite.testing.contract import BrokenContractError

_LOOKED_AT = 512  # test rows
_SEARCHED = 20_000  # training rows among which they are looked for ...
_SEARCHED_BYTES = 2**28  # ... and what these may take as float32
_BLOCK = 256
_SHARED = 0.1  # of the test rows that are looked at may be training rows


def check_apart(train: Samples, test: Samples, read: str) -> str | None:
    """Raises BrokenContractError where more than a tenth of ``test`` rows are ``train`` rows; fewer are a remark.

    Rows that are drawn from few values meet by chance, among the training rows too: twice as large a part of the test
    rows may be found as of the training rows have a twin.
    """
    if train.shape != test.shape:
        raise NotApplicableError("the splits have different shapes, as was said")
    row_bytes = 4 * torch.Size(train.shape).numel()
    searched = evenly_spaced(len(train), min(_SEARCHED, max(1, _SEARCHED_BYTES // row_bytes)))
    known = Counter(_hashes(train, searched))
    rows = evenly_spaced(len(test), _LOOKED_AT)
    found = sum(row in known for row in _hashes(test, rows))
    twins = sum(times for times in known.values() if times > 1) / len(searched)
    same = len(train) == len(test) and torch.equal(train[rows], test[rows])
    if same or found > len(rows) * (_SHARED + 2 * twins):
        all_of_them = same or found == len(rows)
        which = f"every one of {len(rows)} test rows is a training row" if all_of_them else ""
        raise BrokenContractError(
            expected="load('test', cache) gives rows that are held out: none of them is for training",
            got=f"{which or f'{found} of {len(rows)} test rows are training rows'}; does load look at split?",
            read=read,
        )
    return f"{found} of {len(rows)} test rows are among the training rows too" if found else None


def _hashes(samples: Samples, rows: Tensor) -> list[int]:
    """A hash of each of these rows."""
    found = []
    for part in torch.split(rows, _BLOCK):
        found += [hash(row.tobytes()) for row in samples[part].numpy()]
    return found
