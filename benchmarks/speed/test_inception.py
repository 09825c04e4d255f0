"""What Inception features cost: the folded, channels-last network against pytorch-fid's, random weights in both."""

from __future__ import annotations

import subprocess
import sys
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
    speedup: Callable[..., float],
    tmp_path: Path,
) -> None:
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no instructions for bf16")
    net, given = networks
    ours, x = Inception(**given, precision=precision).load(tmp_path, torch.device("cpu")), images()
    seconds(ours, x), seconds(net, x)  # what is only done once
    ratio = speedup(lambda: seconds(net, x), lambda: seconds(ours, x))
    rate = BATCH / seconds(ours, x)
    print(f"\n{precision}: {ratio:.2f} x as fast as pytorch-fid, {rate:.1f} images/s; at least {least}")
    assert ratio >= least


EXTRACTION = """
import sys
from pathlib import Path
import torch
from benchsuite_plugins.features.inception import Inception

def mib(of):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(of))

torch.set_num_threads(1)
features = Inception(weights=sys.argv[1], sha256=sys.argv[2]).load(Path(), torch.device("cpu"))
images = torch.rand(128, 3, 64, 64)
loaded = mib("VmRSS")
features(images[:8])
few = mib("VmHWM")
features(images)
print(loaded, few, mib("VmHWM"))
"""


def test_extraction_takes_the_memory_of_eight_images_whatever_their_number(
    networks: tuple[Any, dict[str, str]],
) -> None:
    """In a process of its own, whose peak is that of extraction, or of loading where that is higher."""
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    arguments = [sys.executable, "-c", EXTRACTION, *networks[1].values()]
    printed = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    loaded, few, many = map(float, printed.split())
    print(f"\npeak memory above the loaded network: {few - loaded:.0f} MiB for 8 images, {many - loaded:.0f} for 128")
    assert many - loaded <= 256
