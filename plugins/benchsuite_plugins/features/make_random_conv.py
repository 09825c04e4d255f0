"""Makes ``random_conv.safetensors``: run ``python -m benchsuite_plugins.features.make_random_conv``.

Filters are Gaussian, scaled to length sqrt 2, which keeps activations from fading; biases are N(0, 1/4). Prints the
checksum to put into ``random_conv.py``.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from benchsuite.kit.files import sha256

_CHANNELS = (3, 16, 24, 24)


def draw(seed: int) -> dict[str, Tensor]:
    """``weight1`` ... ``weight3`` (out, in, 3, 3) and ``bias1`` ... ``bias3`` (out,)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for level in (1, 2, 3):
        before, after = _CHANNELS[level - 1 : level + 1]
        filters = torch.randn(after, before, 3, 3, generator=generator)
        drawn[f"weight{level}"] = filters * (math.sqrt(2) / filters.flatten(1).norm(dim=1))[:, None, None, None]
        drawn[f"bias{level}"] = torch.randn(after, generator=generator) / 2
    return drawn


def main() -> None:
    """Draw, save, and print the checksum."""
    path = Path(__file__).with_name("random_conv.safetensors")
    path.write_bytes(save(draw(0)))
    print(f"{path.name}: {path.stat().st_size} bytes; SHA-256 {sha256(path)}")


if __name__ == "__main__":
    main()
