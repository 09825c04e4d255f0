"""A GPU that is not there: torch's fake tensors, which have a device and no numbers, and code followed on them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchsuite.errors import NotApplicableError
from benchsuite.testing.contract import BrokenContractError, place_of

GPU = torch.device("cuda", 0)
_MIXED = ("same device", "different devices", "device propagation")  # what torch says where devices meet
_LEFT_BEHIND = "convert all tensors to faketensors"


def followed(call: Callable[[], object], what: str, *, cure: str, read: str) -> object:
    """What ``call`` returns.

    Raises BrokenContractError where a tensor of the CPU meets one of the GPU, NotApplicableError where code cannot be
    followed, as where it looks at numbers.
    """
    try:
        return call()
    except NotApplicableError:
        raise
    except Exception as error:
        text = str(error).lower()
        if _LEFT_BEHIND in text:
            got = "a tensor that is no parameter, buffer or argument stays on the CPU"
        elif any(sign in text for sign in _MIXED):
            got = "a tensor on the CPU meets one on the GPU"
        else:
            raise NotApplicableError(f"{what} could not be followed: {type(error).__name__}{place_of(error)}") from None
        raise BrokenContractError(
            expected=f"{what} keeps to that device", got=f"{got}{place_of(error)}; {cure}", read=read
        ) from error
