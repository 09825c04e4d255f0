"""What Inception features cost: the folded, channels-last network against pytorch-fid's, with random weights in both."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchsuite.kit.files import sha256
from benchsuite_plugins.features.inception import Inception

theirs = pytest.importorskip("pytorch_fid.inception")

BATCH, SIZE, SPEEDUP, SPEEDUP_BF16 = 8, 64, 1.35, 2.5


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    """pytorch-fid's network with the weights that it was initialised with, and the parameters that select them."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *arguments, **keywords: None)
        patch.setattr(theirs, "load_state_dict_from_url", lambda *arguments, **keywords: {})
        whole = theirs.fid_inception_v3()
    torch.save(whole.state_dict(), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "load_state_dict_from_url", lambda *arguments, **keywords: whole.state_dict())
        net = theirs.InceptionV3().eval()
    yield net, {"weights": str(path), "sha256": sha256(path)}


def images(n: int = BATCH) -> Tensor:
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def seconds(work: Callable[[Tensor], object], x: Tensor) -> float:
    with torch.no_grad():
        start = time.process_time()
        work(x)
    return time.process_time() - start


@pytest.mark.parametrize(("precision", "least"), [("fp32", SPEEDUP), ("bf16", SPEEDUP_BF16)])
def test_features_cost_less_than_pytorch_fids(
    precision: str,
    least: float,
    networks: tuple[Any, dict[str, str]],
    alternating_ratio: Callable[..., float],
    tmp_path: Path,
) -> None:
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no instructions for bf16")
    net, given = networks
    ours, x = Inception(**given, precision=precision).load(tmp_path, torch.device("cpu")), images()
    seconds(ours, x), seconds(net, x)  # what is only done once
    ratio = alternating_ratio(lambda: seconds(net, x), lambda: seconds(ours, x))
    print(f"\n{precision}: {ratio:.2f} x as fast as pytorch-fid, {BATCH / seconds(ours, x):.1f} images/s; at least {least}")
    assert ratio >= least


def test_the_memory_of_extraction_does_not_grow_with_the_number_of_images(
    networks: tuple[Any, dict[str, str]], tmp_path: Path
) -> None:
    ours = Inception(**networks[1]).load(tmp_path, torch.device("cpu"))
    ours(images(BATCH))
    before = peak_mib()
    ours(images(8 * BATCH))
    print(f"\npeak memory of the process: {before:.0f} MiB with {BATCH} images, {peak_mib():.0f} with {8 * BATCH}")
    assert peak_mib() <= before + 64


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # in KiB on Linux
