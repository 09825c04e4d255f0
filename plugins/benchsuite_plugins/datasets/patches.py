"""Real colour patches without a download: 32 x 32 pixels of the two photographs that ship inside scikit-learn.

Each photograph is cut into four vertical strips; the last 32 columns of every strip are for testing and the others for
training, so that no pixel is in both. Training patches overlap, ``stride`` pixels apart; test patches do not.
``size`` is what they are reduced to, by averaging squares of pixels.

Source: ``china.jpg`` and ``flower.jpg`` of scikit-learn (CC BY 2.0; see ``datasets/images/README.txt`` there). How they
are cut is own work.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchsuite import DataMissingError, Dataset, ParameterError, PositiveInt, Samples, Split, hookimpl

_PHOTOGRAPHS = ("china", "flower")
_SIDE = 32
_STRIPS = 4


@dataclass(frozen=True)
class Patches(Dataset):
    """Colour patches of two photographs, 32 x 32, in two classes: 5200 for training, 104 for testing."""

    name = "patches"
    latent_dim = 32

    stride: PositiveInt = 8
    size: PositiveInt = _SIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        if _SIDE % self.size:
            raise ParameterError(f"patches: size={self.size} is not allowed; it divides {_SIDE}: 8, 16 or {_SIDE}, say")

    def load(self, split: Split, cache: Path) -> Samples:
        """Cut anew each time, always the same."""
        patches = [self._cut(_photograph(name), split) for name in _PHOTOGRAPHS]
        labels = torch.repeat_interleave(torch.arange(len(patches)), torch.tensor([len(p) for p in patches]))
        return Samples(self._reduced(torch.cat(patches)), labels, label_names=_PHOTOGRAPHS)

    def _cut(self, photograph: Tensor, split: Split) -> Tensor:
        """The patches of one photograph (3, H, W), (n, 3, 32, 32)."""
        strips = photograph.tensor_split(_STRIPS, dim=2)
        if split == "train":
            parts, stride = [strip[:, :, :-_SIDE] for strip in strips], self.stride
        else:
            parts, stride = [strip[:, :, -_SIDE:] for strip in strips], _SIDE
        windows = [part.unfold(1, _SIDE, stride).unfold(2, _SIDE, stride) for part in parts]
        return torch.cat([w.permute(1, 2, 0, 3, 4).flatten(0, 1) for w in windows])

    def _reduced(self, patches: Tensor) -> Tensor:
        if self.size == _SIDE:
            return patches
        return F.avg_pool2d(patches.float(), _SIDE // self.size).round().to(torch.uint8)


def _photograph(name: str) -> Tensor:
    """uint8, (3, H, W), from scikit-learn's own file: reading it directly saves the second that its import takes."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataMissingError("patches come with scikit-learn, which is not installed; run: pip install scikit-learn")
    with Image.open(Path(spec.origin).parent / "datasets" / "images" / f"{name}.jpg") as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


@hookimpl
def benchsuite_datasets() -> Sequence[type[Dataset]]:
    """Provides ``patches``."""
    return [Patches]
