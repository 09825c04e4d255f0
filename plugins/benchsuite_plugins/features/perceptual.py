"""``lpips``: features whose squared distance is the Learned Perceptual Image Patch Similarity of two images.

Source: Zhang, Isola, Efros, Shechtman, Wang, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric
(2018), eq. 1, with AlexNet. The distance of two images is sum over layers l of the mean over positions of
sum over channels c of w_lc (a_lc - b_lc)^2, where a and b are activations of unit length. So each image has a vector of
its own, of entries sqrt(w_lc / (H_l W_l)) a_lc, and an image is worked on once, whatever it is compared with.

AlexNet's weights are torchvision's; the weights w are those of the paper's version 0.1, which torchmetrics ships.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchsuite import FeatureExtractor, NotApplicableError, Preparation, hookimpl
from benchsuite.kit.download import Source
from benchsuite.kit.features import PublishedWeights, assign_weights, in_colour, verified_weights

SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
HEADS_SHA256 = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
_NAME = "alexnet-owt-7be5be79.pth"
WEIGHTS = PublishedWeights(
    "lpips",
    Source(_NAME, (f"https://download.pytorch.org/models/{_NAME}",), sha256=SHA256),
    variable="BENCHSUITE_ALEXNET",
)

SMALLEST = 32  # pixels of a side; AlexNet's poolings leave nothing of smaller images
_AT_ONCE = 16  # images, whose vectors are long: 125 KiB each at 64 x 64
_LAYERS = ((0, 2), (2, 5), (5, 8), (8, 10), (10, 12))  # of AlexNet's features, each up to a ReLU
# Of images in [-1, 1], as the paper's code has them: mean and standard deviation of ImageNet's, rounded.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPSILON = 1e-8  # under the root of a length


@dataclass(frozen=True)
class Lpips(FeatureExtractor):
    """Vectors whose squared Euclidean distance is LPIPS, of images of at least 32 x 32, grey or in colour.

    They are longer than the image: 31,872 numbers at 64 x 64. ``weights`` is the path of AlexNet's, ``sha256`` their
    checksum.
    """

    name = "lpips"
    kind = "image"
    kept = False  # they take ten times the room of the images

    weights: str | None = None
    sha256: str = SHA256

    def prepare(self, cache: Path, work: Preparation) -> None:
        """Fetch AlexNet's weights, 233 MiB, unless they are found."""
        WEIGHTS.prepare(cache, work, self.weights, self.sha256)

    def fingerprint(self, cache: Path) -> str:
        """The checksums of both files; the preprocessing is fixed."""
        WEIGHTS.find(cache, self.weights)
        return f"lpips-alex-{self.sha256[:12].lower()}-{HEADS_SHA256[:12]}"

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        """AlexNet with its verified weights, and those of the layers."""
        alexnet = WEIGHTS.read(cache, self.weights, self.sha256)
        heads = verified_weights(_heads(), HEADS_SHA256, "; install another version of torchmetrics")
        return _PerceptualFeatures(alexnet, heads).to(device)


class _PerceptualFeatures(nn.Module):
    """(N, 1 or 3, H, W) in [0, 1] -> (N, D)."""

    shift: Tensor
    scale: Tensor

    def __init__(self, alexnet: dict[str, Tensor], heads: dict[str, Tensor]) -> None:
        super().__init__()
        from torchvision.models import alexnet as architecture

        with torch.device("meta"):
            layers: Any = architecture(weights=None).features[: _LAYERS[-1][1]]
        own = {name.removeprefix("features."): tensor for name, tensor in alexnet.items()}
        assign_weights(layers, {name: own[name] for name in layers.state_dict() if name in own}, "lpips")
        self.slices = nn.ModuleList(layers[start:end] for start, end in _LAYERS)
        for number in range(len(_LAYERS)):
            self.register_buffer(f"head{number}", heads[f"lin{number}.model.1.weight"])
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        if min(images.shape[2:], default=0) < SMALLEST:
            size = " x ".join(map(str, images.shape[1:]))
            raise NotApplicableError(f"LPIPS is for images of at least {SMALLEST} x {SMALLEST}; got {size}")
        return torch.cat([self._few(part) for part in torch.split(in_colour(images), _AT_ONCE)])

    def _few(self, images: Tensor) -> Tensor:
        x = (2 * images - 1 - self.shift) / self.scale
        parts = []
        for number, layers in enumerate(self.slices):
            x = layers(x)
            unit = x / (_EPSILON + x.square().sum(1, keepdim=True)).sqrt()
            weight = self.get_buffer(f"head{number}") / (x.shape[2] * x.shape[3])
            parts.append((unit * weight.sqrt()).flatten(1))
        return torch.cat(parts, 1)


def _heads() -> Path:
    """Where torchmetrics has the weights of the layers; asked without importing it, which takes seconds."""
    spec = importlib.util.find_spec("torchmetrics")
    if spec is None or spec.origin is None:
        raise NotApplicableError("the weights of LPIPS's layers come with torchmetrics; run: pip install torchmetrics")
    return Path(spec.origin).parent / "functional" / "image" / "lpips_models" / "alex.pth"


@hookimpl
def benchsuite_features() -> Sequence[type[FeatureExtractor]]:
    """Provides ``lpips``."""
    return [Lpips]
