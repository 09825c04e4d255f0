"""What tests of metrics are made up from: draws that anybody can make again, and a model that is only a decoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Decoder(nn.Module):
    """A model that decodes by ``function``."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.decode = function
