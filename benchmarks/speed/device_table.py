"""Prints how fast the built-in methods train and sample on this machine's device, as a Markdown table.

Run ``python benchmarks/speed/device_table.py``; nothing comes from the network. Images are noise, since speed does not
depend on what they show; widths are DCGAN's (64 features). The table goes to docs/performance.md with date and card.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchsuite import DataSpec, Run, Samples
from benchsuite.harness.registry import load_registry
from benchsuite.kit.text import table
from benchsuite.kit.timing import MIB, synchronise

METHODS = ("vae", "dcgan", "subproblem_gan", "avb", "ali", "glo")
SIZES = ((1, 16, 16), (3, 32, 32), (3, 64, 64))


def measure(name: str, shape: tuple[int, ...], precision: str, device: torch.device, rows: int) -> list[str]:
    """One row: images per second in training and in sampling, and peak memory.

    Each is done once before it is timed: an epoch of training, a batch of samples.
    """
    data = torch.randint(256, (rows, *shape), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    train = Samples(data).to(device)
    cls = load_registry().get("methods", name)
    model = cls(width=64).build(DataSpec(shape, "image", rows, latent_dim=64)).to(device)
    fitting = [cls(width=64, epochs=epochs, batch_size=128) for epochs in (1, 2)]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for method in fitting:
        synchronise(device)
        start = time.perf_counter()
        method.fit(model, train, Run(seed=0, device=device, precision=precision))
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    model.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.sample(256, generator)
        synchronise(device)
        start = time.perf_counter()
        for _ in range(8):
            model.sample(256, generator)
        synchronise(device)
    sampling = 8 * 256 / (time.perf_counter() - start)
    peak = f"{torch.cuda.max_memory_allocated(device) / MIB:.0f}" if device.type == "cuda" else "-"
    size = "x".join(map(str, shape))
    return [name, size, precision, f"{2 * rows / seconds[1]:.0f}", f"{sampling:.0f}", peak]


def main() -> None:
    """Measure every method, size and precision."""
    parser = argparse.ArgumentParser(description="Training and sampling speed of the built-in methods.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(parser.parse_args().device)
    on_gpu = device.type == "cuda"
    rows, precisions = (16384, ("fp32", "tf32", "bf16")) if on_gpu else (256, ("fp32",))
    card = torch.cuda.get_device_name(device) if on_gpu else f"{torch.get_num_threads()} threads"
    print(f"{card}, torch {torch.__version__}, batch 128, width 64\n")
    lines = []
    for shape in SIZES:
        for precision in precisions:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"
            lines += [measure(name, shape, precision, device, rows) for name in METHODS]
    header = ["method", "image", "precision", "trained images/s", "sampled images/s", "peak MiB"]
    print(table(header, lines, [False, False, False, True, True, True]))


if __name__ == "__main__":
    main()
