"""``inception``: the 2048 features of the Inception network that the FID is defined on, as four packages feed it.

Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision (2015); Heusel et al., GANs Trained by
a Two Time-Scale Update Rule (2017); the weights of TensorFlow's inception-2015-12-05 as pytorch-fid converted them.

All packages run the same network with the same weights, and differ in how an image becomes its input; a preset names
the package. What their source does, which the tests hold each preset to:

- ``pytorch-fid`` 0.3 reads 8-bit files, divides by 255, resizes bilinearly without antialiasing, and takes 2 x - 1.
- ``torch-fidelity`` 0.4 accepts bytes only, resizes as TensorFlow 1 did (bilinear, pixel corners and not centres
  aligned at the top left) and takes (b - 128) / 128, which is not 2 x - 1: white is 127/128.
- ``clean`` (clean-fid 0.1.35) reads 8-bit files, resizes each channel by PIL's bicubic filter with antialiasing, keeps
  what comes out as floats, cut to [0, 255], and takes (b - 128) / 128.
- ``torchmetrics`` since 1.8 resizes bilinearly with antialiasing by default, takes (b - 128) / 128, and makes bytes of
  floats, by ``normalize=True``, by cutting off: 0.999 becomes 254. Only bytes survive that, so that it darkens
  generated images by half a level and leaves real ones alone.

Where a package takes only bytes, what it is given is rounded to the nearest, as a file would be written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchsuite import FeatureExtractor, ParameterError, Preparation, hookimpl
from benchsuite.kit.download import Source
from benchsuite.kit.features import PublishedWeights, assign_weights, in_colour

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_NAME = "pt_inception-2015-12-05-6726825d.pth"
WEIGHTS = PublishedWeights(
    "inception",
    Source(_NAME, (f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{_NAME}",), sha256=SHA256),
    variable="BENCHSUITE_INCEPTION",
    other_names=("weights-inception-2015-12-05-6726825d.pth",),  # torch-fidelity's name for the same bytes
)

_SIZE = 299
# Images at a time: activations take about 10 MiB an image, and more of them at once are no faster on a processor.
_AT_ONCE = {"cpu": 8, "cuda": 64}
_STAGES = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)


@dataclass(frozen=True)
class Inception(FeatureExtractor):
    """Pool3 features of the FID's Inception network, (N, 2048) float32, of images of any size in 1 or 3 channels.

    ``rounding`` says how images become bytes; ``resize`` and ``antialias`` how they become 299 x 299; ``scaling`` is
    2 b / 255 - 1 or (b - 128) / 128. ``weights`` is the path of a file and ``sha256`` its checksum. ``precision`` bf16
    is several times as fast and shifts features by about 0.5%, so that scores under it are scores of their own.
    """

    name = "inception"
    kind = "image"
    presets = {
        "pytorch-fid": {"rounding": "round", "resize": "bilinear", "antialias": False, "scaling": "symmetric"},
        "torch-fidelity": {"rounding": "round", "resize": "tensorflow", "antialias": False, "scaling": "tensorflow"},
        "clean": {"rounding": "round", "resize": "bicubic", "antialias": True, "scaling": "tensorflow"},
        "torchmetrics": {"rounding": "truncate", "resize": "bilinear", "antialias": True, "scaling": "tensorflow"},
    }

    rounding: Literal["none", "round", "truncate"] = "round"
    resize: Literal["bilinear", "bicubic", "tensorflow"] = "bilinear"
    antialias: bool = False
    scaling: Literal["symmetric", "tensorflow"] = "symmetric"
    precision: Literal["fp32", "bf16"] = "fp32"
    weights: str | None = None
    sha256: str = SHA256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resize == "tensorflow" and self.antialias:
            raise ParameterError(
                "inception: antialias=True is not allowed with resize='tensorflow', since TensorFlow 1 has none; "
                "leave it out, or take resize=bilinear"
            )

    def prepare(self, cache: Path, work: Preparation) -> None:
        """Fetch the weights, 92 MiB, unless they are found."""
        WEIGHTS.prepare(cache, work, self.weights, self.sha256)

    def fingerprint(self, cache: Path) -> str:
        """The checksum of the weights and every step before the network."""
        WEIGHTS.find(cache, self.weights)
        antialias = "antialias" if self.antialias else "plain"
        steps = (self.rounding, self.resize, antialias, self.scaling, self.precision)
        return "-".join(("inception", self.sha256[:12].lower(), *steps))

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The network with its verified weights; it has ``logits``."""
        weights = WEIGHTS.read(cache, self.weights, self.sha256)
        return InceptionFeatures(self, fid_inception(weights), weights["fc.weight"], device)

    def network_input(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (N, 1 or 3, H, W), as the network takes them, (N, 3, 299, 299), about -1 to 1."""
        levels = in_colour(images).to(torch.float32) * 255
        if self.rounding != "none":
            levels = levels.round() if self.rounding == "round" else levels.trunc()
        if self.scaling == "symmetric":  # resized in [0, 1] as pytorch-fid does, which shows in the last bits
            return 2 * self._resized(levels / 255, white=1) - 1
        return (self._resized(levels, white=255) - 128) / 128

    def _resized(self, x: Tensor, white: float) -> Tensor:
        if x.shape[2:] == (_SIZE, _SIZE):
            return x  # as every package's own resizing leaves it
        if self.resize == "tensorflow":
            return resized_as_tensorflow_1(x)
        if self.resize == "bilinear":
            return F.interpolate(x, (_SIZE, _SIZE), mode="bilinear", align_corners=False, antialias=self.antialias)
        # PIL's filters are of double precision; and a cubic filter overshoots, which clean-fid cuts off.
        x = F.interpolate(x.double(), (_SIZE, _SIZE), mode="bicubic", align_corners=False, antialias=self.antialias)
        return x.clamp(0, white).float()


class InceptionFeatures:
    """(N, 1 or 3, H, W) in [0, 1] -> (N, 2048); ``logits`` gives the 1008 classes that Inception Scores go by.

    Batch norms are folded and memory is channels last, which makes it about 1.4 times as fast as pytorch-fid on a
    processor at the same features; about 100 MiB are used besides the weights, whatever N
    (``benchmarks/speed/test_inception.py``).
    """

    def __init__(self, protocol: Inception, net: nn.Module, class_weights: Tensor, device: torch.device) -> None:
        self._protocol, self._device = protocol, device
        self._net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._class_weights = class_weights.to(device)
        self._at_once = _AT_ONCE.get(device.type, 16)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self._few(part) for part in torch.split(images, self._at_once)])

    def _few(self, images: Tensor) -> Tensor:
        x = self._protocol.network_input(images).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._protocol.precision == "bf16"):
            x = self._net(x)
        pooled: Tensor = x.float().mean((2, 3))
        return pooled

    def logits(self, features: Tensor) -> Tensor:
        """(N, 2048) -> (N, 1008), without the bias.

        Source: Salimans et al., Improved Techniques for Training GANs (2016), whose code leaves it out; so do
        torch-fidelity (``logits_unbiased``) and torchmetrics.
        """
        return features.to(self._class_weights) @ self._class_weights.T


def fid_inception(weights: dict[str, Tensor]) -> nn.Module:
    """pytorch-fid's network up to its last block, (N, 3, 299, 299) -> (N, 2048, 8, 8), batch norms folded.

    ``weights`` are those of its ``fid_inception_v3``, which is not called because it downloads them. Raises
    RuntimeError for weights of another network.
    """
    from pytorch_fid import inception as theirs
    from torchvision.models import inception_v3

    with torch.device("meta"):  # its modules only: what they are filled with comes from the file
        net: Any = inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
        net.Mixed_5b = theirs.FIDInceptionA(192, pool_features=32)
        net.Mixed_5c = theirs.FIDInceptionA(256, pool_features=64)
        net.Mixed_5d = theirs.FIDInceptionA(288, pool_features=64)
        net.Mixed_6b = theirs.FIDInceptionC(768, channels_7x7=128)
        net.Mixed_6c = theirs.FIDInceptionC(768, channels_7x7=160)
        net.Mixed_6d = theirs.FIDInceptionC(768, channels_7x7=160)
        net.Mixed_6e = theirs.FIDInceptionC(768, channels_7x7=192)
        net.Mixed_7b = theirs.FIDInceptionE_1(1280)
        net.Mixed_7c = theirs.FIDInceptionE_2(2048)
    assign_weights(net, weights, "inception")
    net.eval().requires_grad_(False)
    for block in list(net.modules()):
        if isinstance(getattr(block, "bn", None), nn.BatchNorm2d):
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
    return nn.Sequential(*(getattr(net, stage) for stage in _STAGES))


def resized_as_tensorflow_1(x: Tensor) -> Tensor:
    """(N, C, H, W) resized to 299 x 299 as TensorFlow 1's ``resize_bilinear`` does: output pixel i lies at i H / 299.

    Source: TensorFlow 1.x, core/kernels/resize_bilinear_op.cc.
    """
    for axis in (3, 2):
        size = x.shape[axis]
        at = torch.arange(_SIZE, dtype=x.dtype, device=x.device) * torch.tensor(size / _SIZE, dtype=torch.float32)
        low = at.long()
        high = (low + 1).clamp_max(size - 1)
        part = (at - low).view(-1, 1) if axis == 2 else at - low
        before, after = x.index_select(axis, low), x.index_select(axis, high)
        x = before + (after - before) * part
    return x


@hookimpl
def benchsuite_features() -> Sequence[type[FeatureExtractor]]:
    """Provides ``inception``."""
    return [Inception]
