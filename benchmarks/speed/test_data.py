"""The data path: 200,000 image files prepared into a store, the store opened, and batches read from it."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.utils.data as loading
from PIL import Image
from torchvision.datasets import MNIST, ImageFolder
from torchvision.transforms import ToTensor

from benchsuite import Preparation, Run, Samples
from benchsuite.harness.registry import load_registry

FILES, READ = 200_000, 20_000  # image files, and those that a timed epoch reads
BATCH = 128

PREPARE = """
import collections, json, resource, sys
from pathlib import Path

opened = collections.Counter()


def count(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".jpg"):
        opened[arguments[0]] += 1


sys.addaudithook(count)
from benchsuite import Preparation
from benchsuite.harness.registry import load_registry

dataset = load_registry().get("datasets", "folder")(path=sys.argv[1])
import time
start = time.perf_counter()
dataset.prepare(Path(sys.argv[2]), Preparation())
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "files": len(opened),
    "most": max(opened.values()),
}))
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of JPEG files in two classes: 2000 different smooth images of 64 x 64 pixels, again and again."""
    root = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    encoded = []
    for _ in range(2000):
        small = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        small.resize((64, 64), Image.Resampling.BICUBIC).save(file, "jpeg", quality=90)
        encoded.append(file.getvalue())
    for name in ("one", "two"):
        (root / name).mkdir()
    for number in range(FILES):
        path = root / ("one" if number % 2 else "two") / f"{number:06d}.jpg"
        path.write_bytes(encoded[number % len(encoded)])
    return root


@pytest.fixture(scope="module")
def prepared(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """The cache with the store of ``pictures``, and what preparing it took, in a process of its own."""
    cache = tmp_path_factory.mktemp("cache")
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(pictures), str(cache)], capture_output=True, text=True, check=True
    )
    return cache, json.loads(done.stdout)


def test_200_000_files_are_prepared_in_one_pass_and_little_memory(prepared: tuple[Path, dict[str, float]]) -> None:
    took = prepared[1]
    print(
        f"\n{took['files']} files, each opened {took['most']} time: {took['seconds']:.0f} s, {took['peak_mib']:.0f} MiB"
    )
    assert (took["files"], took["most"]) == (FILES, 1)
    assert took["peak_mib"] < 1024


def test_a_store_opens_in_milliseconds(pictures: Path, prepared: tuple[Path, dict[str, float]]) -> None:
    dataset = load_registry().get("datasets", "folder")(path=str(pictures))
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        train = dataset.load("train", prepared[0])
        seconds.append(time.perf_counter() - start)
    print(f"\n{len(train)} training images opened in {1000 * max(seconds):.1f} ms at most, of 9 times")
    assert max(seconds) < 0.05


def epoch(batches: Iterable[object]) -> float:
    """Images per second over one epoch; wall clock, since workers are processes."""
    start, images = time.perf_counter(), 0
    for batch in batches:
        x = batch[0] if isinstance(batch, list) else batch.x  # type: ignore[attr-defined]
        images += len(x)
        float(x[0, 0, 0, 0])
    return images / (time.perf_counter() - start)


def of_run(samples: Samples) -> float:
    run = Run(seed=0, device=torch.device("cpu"))
    return epoch(run.batches(samples, batch_size=BATCH, epochs=1))


def of_loader(dataset: loading.Dataset[object], workers: int) -> float:
    return epoch(loading.DataLoader(dataset, BATCH, shuffle=True, num_workers=workers))


def compare(title: str, peer: Callable[[], float], ours: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median over five rounds, run in turn, of each one's images per second over the peer's."""
    ratios: dict[str, list[float]] = {name: [] for name in ours}
    for _ in range(5):
        base = peer()
        for name, work in ours.items():
            ratios[name].append(work() / base)
    medians = {name: float(np.median(values)) for name, values in ratios.items()}
    for name, values in ratios.items():
        print(f"\n{title}, {name}: {medians[name]:.1f} x [{min(values):.1f} .. {max(values):.1f}]", end="")
    return medians


def test_batches_are_read_faster_than_by_torchvision_with_two_workers(
    pictures: Path, prepared: tuple[Path, dict[str, float]]
) -> None:
    stored = load_registry().get("datasets", "folder")(path=str(pictures)).load("train", prepared[0])
    rows = torch.arange(0, len(stored), len(stored) // READ)[:READ]
    store = stored.subset(rows)
    memory = Samples((store[:] * 255).round().to(torch.uint8), store.labels)
    peer = loading.Subset(ImageFolder(str(pictures), ToTensor()), rows.tolist())
    medians = compare(
        "64 px, 3 channels, against two workers",
        lambda: of_loader(peer, 2),
        {"store": lambda: of_run(store), "memory": lambda: of_run(memory)},
    )
    assert medians["store"] >= 5 and medians["memory"] >= 8


def test_small_grey_images_are_read_much_faster_than_without_workers(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6000, 32, 32), dtype=np.uint8)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem in ("train", "t10k"):
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, 6000, 32, 32) + images.tobytes())
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 6000) + bytes(6000))
    peer = MNIST(str(tmp_path), transform=ToTensor())
    np.savez(tmp_path / "images.npz", images=images, labels=np.zeros(6000, np.int64))
    dataset = load_registry().get("datasets", "npz")(path=str(tmp_path / "images.npz"))
    dataset.prepare(tmp_path / "cache", Preparation())
    store = dataset.load("train", tmp_path / "cache")
    memory = Samples((store[:] * 255).round().to(torch.uint8), store.labels)
    medians = compare(
        "32 px, 1 channel, without workers",
        lambda: of_loader(peer, 0),
        {"store": lambda: of_run(store), "memory": lambda: of_run(memory)},
    )
    assert min(medians.values()) >= 50
