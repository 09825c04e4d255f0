"""samples.png: a sheet of samples, made without matplotlib, whose import would cost each cell half a second."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchsuite.kit.files import replacing


def write_sheet(images: Tensor, path: Path) -> None:
    """A grid of eight columns, each image at least 32 px and enlarged without smoothing."""
    n, channels, height, width = images.shape
    if channels not in (1, 3):
        return
    columns, scale = 8, max(1, -(-32 // min(height, width)))
    rows = -(-n // columns)
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    sheet = torch.full((channels, rows * (height + 2) - 2, columns * (width + 2) - 2), 255, dtype=torch.uint8)
    for number, image in enumerate(pixels):
        top, left = number // columns * (height + 2), number % columns * (width + 2)
        sheet[:, top : top + height, left : left + width] = image
    array = sheet[0].numpy() if channels == 1 else sheet.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(array)
    with replacing(path) as temporary:
        picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(temporary, "PNG")
