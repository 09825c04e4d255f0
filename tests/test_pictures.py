"""The sheet of samples shows every sample, in order, upright, in its own brightness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchsuite.harness.pictures import write_sheet


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 40])
def test_a_sheet_shows_each_sample_where_it_belongs(channels: int, size: int, tmp_path: Path) -> None:
    images = torch.rand(11, channels, size, size, generator=torch.Generator().manual_seed(0))
    write_sheet(images, tmp_path / "samples.png")
    picture = np.asarray(Image.open(tmp_path / "samples.png")).reshape(-1, 8 * _step(size) - _gap(size), channels)
    for number, image in enumerate(images):
        top, left = number // 8 * _step(size), number % 8 * _step(size)
        tile = picture[top : top + size * _scale(size), left : left + size * _scale(size)]
        shown = tile[:: _scale(size), :: _scale(size)].astype(float) / 255
        np.testing.assert_allclose(shown, image.permute(1, 2, 0).numpy(), atol=0.51 / 255)


def _scale(size: int) -> int:
    return max(1, -(-32 // size))


def _gap(size: int) -> int:
    return 2 * _scale(size)


def _step(size: int) -> int:
    return size * _scale(size) + _gap(size)


def test_other_channels_make_no_picture(tmp_path: Path) -> None:
    write_sheet(torch.rand(2, 2, 8, 8), tmp_path / "samples.png")
    assert not list(tmp_path.iterdir())
