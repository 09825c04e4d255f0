"""Parts are put together as torch.cat does it, in a file where they are large."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchsuite.kit import scratch
from benchsuite.kit.scratch import collected

PARTS = list(torch.split(torch.randn(23, 3, generator=torch.Generator().manual_seed(0)), 5))


@pytest.fixture(params=["memory", "file"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both places, whatever the size."""
    place: str = request.param
    if place == "file":
        monkeypatch.setattr(scratch, "_LARGE", 1)
    return place


def anonymous_mib() -> float:
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def test_all_parts_follow_each_other(kept: str, tmp_path: Path) -> None:
    whole = collected(iter(PARTS), 23, tmp_path)
    assert torch.equal(whole, torch.cat(PARTS)) and whole.dtype == torch.float32
    whole[0] = 7  # it is an ordinary tensor
    assert float(whole[0, 0]) == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("parts", "rows"), [(PARTS, 22), (PARTS, 24), ([], 1)])
def test_other_numbers_of_rows_are_refused(kept: str, parts: list[Tensor], rows: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows|nothing came"):
        collected(iter(parts), rows, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_what_is_large_takes_no_memory_of_the_process(tmp_path: Path) -> None:
    before = anonymous_mib()
    whole = collected((torch.full((2**18,), float(i)) for i in range(256)), 2**26, tmp_path)  # 256 MiB
    assert anonymous_mib() - before < 64
    assert float(whole[-1]) == 255


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="asks for the space")
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    if kept == "file":
        with pytest.raises(OSError, match="No space left"):
            collected(iter(PARTS), 23, tmp_path)
    else:
        collected(iter(PARTS), 23, tmp_path)
    assert list(tmp_path.iterdir()) == []
