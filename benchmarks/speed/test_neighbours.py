"""The kernel distance, and precision, recall, density and coverage, against the libraries that define them.

One thread. Peak memory is that of a process of its own, above what it holds when features are made.
"""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchsuite.kit.kernel import kernel_distance
from benchsuite.kit.neighbours import manifolds

K = 5

MEASURE = """
import json, resource, sys, tempfile
import torch
from benchsuite.kit.kernel import kernel_distance
from benchsuite.kit.neighbours import manifolds, nearest

torch.set_num_threads(1)
work, rows, dim = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
WORKS = {
    "kernel": lambda a, b: kernel_distance(a, b),
    "manifolds": lambda a, b: manifolds(a, b, 5),
    "nearest": lambda a, b: nearest(b[:1024], a),  # of samples, one block; the others take the same memory again
}
WORKS[work](torch.randn(100, dim), torch.randn(100, dim))
file = tempfile.NamedTemporaryFile()
a = torch.from_file(file.name, shared=True, size=rows * dim, dtype=torch.float32).view(rows, dim)
for block in torch.split(a, 1000):
    block.normal_()
b = torch.randn(min(rows, 10_000), dim)


def anonymous():
    status = open("/proc/self/status").read()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


import threading, time
before, peak, done = anonymous(), 0.0, False


def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.002)


watcher = threading.Thread(target=watch)
watcher.start()
start = time.process_time()
WORKS[work](a[:len(b)] if work != "nearest" else a, b)
seconds = time.process_time() - start
done = True
watcher.join()
print(json.dumps({"mib": peak - before, "seconds": seconds}))
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def features(rows: int, dim: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, dim, generator=generator), 0.98 * torch.randn(rows, dim, generator=generator) + 0.01


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), threadpool_limits(1):
        work()
    return time.process_time() - start


def compare(title: str, peer: Callable[[], object], ours: Callable[[], object]) -> float:
    """The median over five rounds, run in turn, of the peer's seconds over ours."""
    ratios = []
    for number in range(5):
        if number % 2:
            own = seconds(ours)
            ratios.append(seconds(peer) / own)
        else:
            other = seconds(peer)
            ratios.append(other / seconds(ours))
    median = statistics.median(ratios)
    print(f"\n{title}: {median:.2f} x [{min(ratios):.2f} .. {max(ratios):.2f}]")
    return median


def test_the_kernel_distance_over_all_pairs_is_faster_than_a_hundred_subsets_of_torchmetrics() -> None:
    poly_mmd = pytest.importorskip("torchmetrics.image.kid").poly_mmd
    real, generated = features(10_000, 2048)

    def theirs() -> None:
        for _ in range(100):
            poly_mmd(*(x[torch.randperm(len(x))[:1000]] for x in (real, generated)))

    assert compare("KID, D = 2048", theirs, lambda: kernel_distance(real, generated)) >= 1.2


@pytest.mark.parametrize(("rows", "dim", "least"), [(10_000, 64, 2.5), (4_000, 2048, 1.4)])
def test_all_four_of_prdc_are_faster_than_by_its_package(rows: int, dim: int, least: float) -> None:
    compute = pytest.importorskip("prdc").compute_prdc
    real, generated = features(rows, dim)
    title = f"precision, recall, density and coverage, {rows} x {dim}"
    theirs = partial(compute, real.numpy(), generated.numpy(), K)
    ratio = compare(title, theirs, partial(manifolds, real, generated, K))
    assert ratio >= least


@pytest.mark.parametrize(
    ("work", "rows", "dim", "most"),
    [
        ("manifolds", 10_000, 64, 200),
        ("manifolds", 3_000, 12_288, 200),
        ("kernel", 10_000, 2048, 64),
        ("nearest", 50_000, 2048, 200),
    ],
)
def test_memory_above_the_features_is_bounded(work: str, rows: int, dim: int, most: float) -> None:
    arguments = [sys.executable, "-c", MEASURE, work, str(rows), str(dim)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    took = json.loads(done.stdout)
    print(f"\n{work}, {rows} x {dim}: {took['mib']:.0f} MiB above the features, {took['seconds']:.1f} s")
    assert took["mib"] < most
