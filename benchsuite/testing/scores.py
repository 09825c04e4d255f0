"""What a metric returned, held to what is promised of it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from benchsuite.contracts import Score
from benchsuite.testing.contract import BrokenContractError
from benchsuite.testing.returned import check_returned


def check_score(returned: object, expected: str, read: str) -> None:
    """Raises BrokenContractError unless ``returned`` is a number, a mapping of numbers, or a sound Score of either."""
    score = returned if isinstance(returned, Score) else Score(returned)  # type: ignore[arg-type]
    values: Mapping[Any, object] = score.value if isinstance(score.value, Mapping) else {"": score.value}
    if not values:
        raise BrokenContractError(expected=expected, got="an empty mapping", read=read)
    for key, value in values.items():
        if not isinstance(key, str):
            raise BrokenContractError(expected="names of numbers are text", got=f"{key!r}", read=read)
        wrong = _wrong(value)
        if wrong is not None:
            raise BrokenContractError(expected=expected, got=f"{key!r}: {wrong}" if key else wrong, read=read)
    unknown = [str(key) for key in score.references if key not in values]
    if unknown:
        raise BrokenContractError(
            expected="references of a Score are names of its numbers", got=", ".join(unknown), read=read
        )
    if not isinstance(score.caution, str):
        raise BrokenContractError(expected="caution is a sentence", got=repr(score.caution), read=read)
    for name, images in score.pictures.items():
        shape = tuple(images.shape) if isinstance(images, Tensor) else ()
        check_returned(images, call=f"pictures['{name}']", shape=shape, image=True, read=read)


def _wrong(value: object) -> str | None:
    """What is wrong with a number; None where it is one. Infinity is."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex():
            return f"a tensor of shape {tuple(value.shape)}; a mean, say, makes one number of it"
        return "NaN" if bool(value.isnan()) else None
    if value is None:
        return "nothing; does it end with return?"
    if not isinstance(value, numbers.Real | np.number):
        return f"{value!r}, a {type(value).__name__}"[:200]
    return "NaN" if math.isnan(float(value)) else None
