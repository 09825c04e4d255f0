"""Image files as uint8 arrays of one shape: whatever their size, mode and orientation, and however damaged."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import groupby, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

_BLOCK, _BLOCK_BYTES = 512, 2**25  # files that are decoded between two writes, and bytes that they come to
_LONGEST = 100  # sides, from which an image has no square to speak of
# What Pillow knows by its first bytes only, or hands to another program, as PostScript to Ghostscript.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}

_GREY = {"1", "L", "LA"}
_COLOUR = {"P", "PA", "RGB", "RGBA"}

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageFile:
    """One encoded image: its name for messages, its part of the dataset, how to read it, and its label or labels."""

    name: str
    part: str
    read: Callable[[], bytes]
    label: Any = None


@dataclass(frozen=True)
class Block:
    """Consecutive images of one ``part`` (train, valid or test), uint8 (n, C, H, W), and their labels, (n,) or (n, A).

    ``bad`` are the images that cannot be read, each with the reason; ``digest`` identifies the bytes that were read.
    """

    part: str
    images: Bytes
    labels: NDArray[np.int64] | None = None
    bad: tuple[tuple[str, str], ...] = ()
    digest: bytes = b""


class Viewing(Protocol):
    """What makes one array of an image, always of the same ``shape``; raises ValueError for an image that it cannot."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""

    def __call__(self, image: Image.Image) -> Bytes:
        """uint8, (C, H, W)."""


@dataclass(frozen=True)
class View:
    """What is kept of an image: ``channels`` x ``size`` x ``size``.

    With ``crop``, its centred square of so many pixels, resized; without, the shorter side resized and then the
    centred square, as DCGAN's code does it (torchvision's Resize and CenterCrop, bilinear and antialiased).
    """

    size: int
    channels: int
    crop: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return self.channels, self.size, self.size

    def __call__(self, image: Image.Image) -> Bytes:
        """uint8, (channels, size, size). Raises ValueError for an image that is smaller than the crop."""
        from torchvision.transforms.functional import center_crop, resize

        image = _in_mode("L" if self.channels == 1 else "RGB", ImageOps.exif_transpose(image))
        if max(image.size) > _LONGEST * min(image.size):
            raise ValueError(f"it has {image.width} x {image.height} pixels, too long for a square")
        if self.crop is not None:
            if min(image.size) < self.crop:
                raise ValueError(f"it has {image.width} x {image.height} pixels, fewer than the crop of {self.crop}")
            image = center_crop(image, [self.crop, self.crop])
        image = center_crop(resize(image, [self.size]), [self.size, self.size])
        return np.asarray(image).reshape(self.size, self.size, self.channels).transpose(2, 0, 1)


@dataclass(frozen=True)
class AsIs:
    """What is kept of an image that has this ``shape`` already: every pixel as it is. Any other is refused.

    A colour image whose three channels are equal passes for a grey one, since it holds no more.
    """

    shape: tuple[int, int, int]

    def __call__(self, image: Image.Image) -> Bytes:
        """uint8, (C, H, W). Raises ValueError for an image that would have to be resized or converted."""
        channels, height, width = self.shape
        _check_kept(image)
        grey = image.mode in _GREY
        image = ImageOps.exif_transpose(image)
        if image.size != (width, height):
            raise ValueError(f"it has {image.width} x {image.height} pixels")
        pixels = np.asarray(image.convert("L" if grey else "RGB")).reshape(height, width, -1).transpose(2, 0, 1)
        if channels == 1 and (pixels == pixels[:1]).all():
            return pixels[:1]
        if channels != len(pixels):
            raise ValueError("it is grey" if grey else "it is in colour")
        return pixels


@cache
def formats() -> tuple[str, ...]:
    """The formats that Pillow decodes by itself, by its names, the usual ones first."""
    Image.init()
    return tuple(name for name in Image.OPEN if name not in _NOT_DECODED)


def decoded(files: Iterable[ImageFile], view: Viewing) -> Iterator[Block]:
    """``files`` in order as blocks, decoded by as many threads as there are processors."""
    size = max(1, min(_BLOCK, _BLOCK_BYTES // math.prod(view.shape)))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for part, run in groupby(files, key=lambda file: file.part):
            while chunk := list(islice(run, size)):
                yield _block(part, chunk, list(threads.map(lambda file: _decode(file, view), chunk)), view)


def _block(part: str, files: list[ImageFile], results: list[tuple[Bytes | str, bytes]], view: Viewing) -> Block:
    good = [(file, image) for file, (image, _) in zip(files, results, strict=True) if not isinstance(image, str)]
    bad = [(file.name, reason) for file, (reason, _) in zip(files, results, strict=True) if isinstance(reason, str)]
    images = np.stack([image for _, image in good]) if good else np.empty((0, *view.shape), np.uint8)
    labels = np.array([file.label for file, _ in good], np.int64) if good and good[0][0].label is not None else None
    return Block(part, images, labels, tuple(bad), b"".join(digest for _, digest in results))


def _decode(file: ImageFile, view: Viewing) -> tuple[Bytes | str, bytes]:
    """The image, or the reason why there is none, and the SHA-256 of its name and bytes if it counts."""
    try:
        data = file.read()
        with Image.open(io.BytesIO(data), formats=formats()) as image:
            decoded = view(image)
    except UnidentifiedImageError:
        return "it is no image, or none of a known format", b""
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        return f"{error}" or type(error).__name__, b""
    return decoded, hashlib.sha256(file.name.encode("utf-8", "surrogateescape") + b"\0" + data).digest()


def _in_mode(mode: str, image: Image.Image) -> Image.Image:
    """``image`` in ``mode`` L or RGB: transparent parts show white, 16 bits are rounded to 8, palettes looked up."""
    if image.mode.startswith("I"):
        image = _of_16_bits(image)
    elif image.mode == "F":
        raise ValueError("it holds floating-point pixels, whose range is not known; save it with 8 or 16 bits")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colours).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _check_kept(image: Image.Image) -> None:
    """Raises ValueError for an image of which grey or RGB of 8 bits would not keep everything."""
    if getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"it holds {image.n_frames} frames; save each as a file of its own")  # type: ignore[attr-defined]
    if image.mode[0] in "IF" or any(";16" in str(tile) for tile in getattr(image, "tile", ())):
        raise ValueError("it has more than 8 bits a channel")
    if image.mode not in _GREY | _COLOUR:
        raise ValueError(f"it is neither grey nor RGB but {image.mode}")
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise ValueError("it is transparent in parts")


def _of_16_bits(image: Image.Image) -> Image.Image:
    """Pillow would cut off what is above 255."""
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError(f"it holds values from {pixels.min()} to {pixels.max()}; save it with 8 or 16 bits")
    return Image.fromarray(((pixels + 128) // 257).astype(np.uint8))
