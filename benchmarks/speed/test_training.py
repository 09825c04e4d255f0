"""What ``Run`` costs: the DCGAN method against the same steps written by hand, and against the plain loop."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from benchsuite import DataSpec, Run, Samples
from benchsuite.harness.registry import load_registry
from benchsuite.kit.nets import discriminator, frozen, generator

ROWS, BATCH = 512, 64


def data(size: int) -> Samples:
    noise = torch.Generator().manual_seed(0)
    return Samples(torch.randint(256, (ROWS, 1, size, size), generator=noise).to(torch.uint8))


def ours(size: int) -> float:
    """One epoch of the ``dcgan`` method."""
    train = data(size)
    method = load_registry().get("methods", "dcgan")(epochs=1, batch_size=BATCH)
    torch.manual_seed(0)
    model = method.build(DataSpec(train.shape, "image", ROWS, latent_dim=8))
    start = time.process_time()
    method.fit(model, train, Run(seed=0, device=torch.device("cpu")))
    return time.process_time() - start


def by_hand(size: int, *, tuned: bool) -> float:
    """One epoch of the same networks; ``tuned`` with the method's own options, else as a first draft would be."""
    train = data(size)
    torch.manual_seed(0)
    net, critic = generator(train.shape, 8, 32), discriminator(train.shape, 32)
    if tuned:
        net, critic = net.to(memory_format=torch.channels_last), critic.to(memory_format=torch.channels_last)
    optimisers = [torch.optim.Adam(m.parameters(), 2e-4, (0.5, 0.999), fused=tuned) for m in (net, critic)]
    start = time.process_time()
    for rows in torch.split(torch.randperm(ROWS), BATCH):
        fake = net(torch.randn(len(rows), 8))
        loss = F.softplus(-critic(train[rows] * 2 - 1)).mean() + F.softplus(critic(fake.detach())).mean()
        optimisers[1].zero_grad()
        loss.backward()
        optimisers[1].step()
        if tuned:
            with frozen(critic):
                loss = F.softplus(-critic(fake)).mean()
        else:
            loss = F.softplus(-critic(fake)).mean()
        optimisers[0].zero_grad()
        loss.backward()
        optimisers[0].step()
    return time.process_time() - start


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("size", [16, 32])
def test_the_harness_adds_little_to_a_training_step(size: int, cost: Callable[..., float]) -> None:
    ratio = cost(lambda: ours(size), lambda: by_hand(size, tuned=True))
    print(f"\n{size} px: {ratio:.2f} x the same steps by hand; limit 1.10, of which the machine's noise is most")
    assert ratio <= 1.10


@pytest.mark.parametrize("size", [16, 32])
def test_a_training_step_beats_the_plain_loop(size: int, speedup: Callable[..., float]) -> None:
    ratio = speedup(lambda: by_hand(size, tuned=False), lambda: ours(size))
    print(f"\n{size} px: {ratio:.2f} x as fast as the plain loop")
    assert ratio >= 1.0
