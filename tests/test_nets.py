"""Networks take and give the shapes that were asked for, and are DCGAN where DCGAN is defined."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from benchsuite.errors import NotApplicableError
from benchsuite.kit.nets import (
    MLP,
    ConvGenerator,
    discriminator,
    encoder,
    frozen,
    generator,
    initialise,
    parameter_count,
)


@pytest.fixture(autouse=True)
def seeded_on_one_thread() -> Iterator[None]:
    """The same weights and noise every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


SIZES = [8, 12, 16, 18, 20, 28, 31, 32, 64]
SHAPES = [(channels, size, size) for size in SIZES for channels in (1, 3)]
SHAPES += [(1, 8, 64), (3, 33, 20), (3, 218, 178), (2,), (1,), (784,)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_networks_give_the_shapes_that_were_asked_for(shape: tuple[int, ...], training: bool) -> None:
    net, critic, body = generator(shape, 5, 2), discriminator(shape, 2), encoder(shape, 7, 2)
    for module in (net, critic, body):
        module.train(training)
    x = net(torch.randn(3, 5))
    assert x.shape == (3, *shape)
    assert critic(x).shape == (3,)
    assert body(x).shape == (3, 7)
    assert bool(x.isfinite().all())


@pytest.mark.parametrize("shape", SHAPES)
def test_every_parameter_is_learnt(shape: tuple[int, ...]) -> None:
    net, critic = generator(shape, 5, 2), discriminator(shape, 2)
    for parameter in (*net.parameters(), *critic.parameters()):
        parameter.data.mul_(5)  # weights of 0.02 leave the first layers of deep nets with gradients close to rounding
    critic(net(torch.randn(8, 5))).square().sum().backward()
    for name, parameter in (*net.named_parameters(), *critic.named_parameters()):
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 7, 64), (1, 64, 5), (1, 1, 1)])
def test_images_under_eight_pixels_are_refused(shape: tuple[int, ...]) -> None:
    for build in (lambda: generator(shape, 5, 2), lambda: discriminator(shape, 2), lambda: encoder(shape, 5, 2)):
        with pytest.raises(NotApplicableError, match="at least 8 px; got"):
            build()


def test_the_number_of_doublings_follows_from_the_smaller_side_at_every_size() -> None:
    for size in [*range(8, 72), 127, 128, 255, 256, 257, 511, 512, 1023, 1024]:
        net = ConvGenerator((1, size, size + 3), 1, 1).to("meta")  # shapes without numbers
        layers = [m for m in net.modules() if isinstance(m, nn.ConvTranspose2d)]
        assert len(layers) - 1 == math.floor(math.log2(size)) - 2
        assert 4 <= layers[0].kernel_size[0] <= 8
        assert net(torch.empty(1, 1, device="meta")).shape == (1, 1, size, size + 3)


def test_sizes_that_are_no_multiple_are_cut_from_the_middle() -> None:
    net = ConvGenerator((1, 18, 26), 4, 2).eval()
    z = torch.randn(2, 4)
    whole = net.layers(z[:, :, None, None])
    assert whole.shape == (2, 1, 20, 28)
    assert torch.equal(net(z), whole[:, :, 1:19, 1:27])


def test_images_are_between_minus_one_and_one() -> None:
    net = generator((3, 16, 16), 4, 4)
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 3.0)
    x = net(torch.randn(16, 4)).detach()
    assert -1 <= float(x.min()) < -0.9
    assert 0.9 < float(x.max()) <= 1


def layout(net: nn.Module) -> list[tuple[str, ...]]:
    """The layers of ``net`` that are no container, with what tells convolutions apart."""
    rows: list[tuple[str, ...]] = []
    for module in net.modules():
        name = type(module).__name__
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            sizes = (module.kernel_size, module.stride, module.padding)
            assert module.bias is None
            rows.append((name, f"{module.in_channels}>{module.out_channels}", *(str(s[0]) for s in sizes)))  # type: ignore[index]
        elif isinstance(module, nn.BatchNorm2d):
            rows.append((name, str(module.num_features)))
        elif isinstance(module, nn.LeakyReLU):
            rows.append((name, str(module.negative_slope)))
        elif isinstance(module, nn.ReLU | nn.Tanh):
            rows.append((name,))
    return rows


def test_at_64_pixels_the_generator_is_the_published_dcgan() -> None:
    up = "ConvTranspose2d"
    # The PyTorch DCGAN tutorial, class Generator, with nz = 100, ngf = 64, nc = 3.
    assert layout(generator((3, 64, 64), 100, 64)) == [
        (up, "100>512", "4", "1", "0"),
        ("BatchNorm2d", "512"),
        ("ReLU",),
        (up, "512>256", "4", "2", "1"),
        ("BatchNorm2d", "256"),
        ("ReLU",),
        (up, "256>128", "4", "2", "1"),
        ("BatchNorm2d", "128"),
        ("ReLU",),
        (up, "128>64", "4", "2", "1"),
        ("BatchNorm2d", "64"),
        ("ReLU",),
        (up, "64>3", "4", "2", "1"),
        ("Tanh",),
    ]


def test_at_64_pixels_the_discriminator_is_the_published_dcgan() -> None:
    # The PyTorch DCGAN tutorial, class Discriminator, with ndf = 64, nc = 3, less the sigmoid.
    assert layout(discriminator((3, 64, 64), 64)) == [
        ("Conv2d", "3>64", "4", "2", "1"),
        ("LeakyReLU", "0.2"),
        ("Conv2d", "64>128", "4", "2", "1"),
        ("BatchNorm2d", "128"),
        ("LeakyReLU", "0.2"),
        ("Conv2d", "128>256", "4", "2", "1"),
        ("BatchNorm2d", "256"),
        ("LeakyReLU", "0.2"),
        ("Conv2d", "256>512", "4", "2", "1"),
        ("BatchNorm2d", "512"),
        ("LeakyReLU", "0.2"),
        ("Conv2d", "512>1", "4", "1", "0"),
    ]


@pytest.mark.parametrize(("channels", "latent_dim", "width"), [(3, 100, 64), (1, 20, 16)])
def test_at_64_pixels_the_parameters_are_as_many_as_those_of_dcgan(channels: int, latent_dim: int, width: int) -> None:
    w, c = width, channels
    blocks = 16 * (8 * w * 4 * w + 4 * w * 2 * w + 2 * w * w)
    assert (
        parameter_count(generator((c, 64, 64), latent_dim, w))
        == blocks + 16 * (latent_dim * 8 * w + w * c) + 2 * 15 * w
    )
    assert parameter_count(discriminator((c, 64, 64), w)) == blocks + 16 * (c * w + 8 * w) + 2 * 14 * w
    if (c, latent_dim, w) == (3, 100, 64):  # what the tutorial's networks come to
        assert parameter_count(generator((c, 64, 64), latent_dim, w)) == 3_576_704
        assert parameter_count(discriminator((c, 64, 64), w)) == 2_765_568


def test_weights_start_as_those_of_dcgan() -> None:
    # Seed 0; bounds of 5 standard errors, so that another seed fails once in 1e6 draws for each of about 20 layers.
    nets = [generator((3, 32, 32), 20, 16), discriminator((3, 32, 32), 16)]
    for module in (m for net in nets for m in net.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            weight = module.weight.detach()
            centre = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
            assert abs(float(weight.mean()) - centre) < 5 * 0.02 / math.sqrt(weight.numel())
            assert abs(float(weight.std()) - 0.02) < 5 * 0.02 / math.sqrt(2 * weight.numel())
        if isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.bias, torch.zeros_like(module.bias))


def test_initialising_again_draws_anew() -> None:
    net = generator((1, 8, 8), 3, 2)
    before = [p.clone() for p in net.parameters()]
    initialise(net)
    assert not any(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True) if a.abs().sum() > 0)


def test_a_row_does_not_change_another_in_evaluation() -> None:
    net, critic = generator((1, 16, 16), 4, 4).eval(), discriminator((1, 16, 16), 4).eval()
    z = torch.randn(6, 4)
    assert torch.allclose(net(z)[2:4], net(z[2:4]), atol=1e-6)
    assert torch.allclose(critic(net(z))[2:4], critic(net(z[2:4])), atol=1e-6)


def test_an_mlp_has_two_hidden_layers() -> None:
    net = MLP(3, 2, [8, 8])
    assert [type(m).__name__ for m in net] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    assert parameter_count(net) == 3 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2


def gradients(net: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    net.zero_grad(set_to_none=True)
    x = x.clone().requires_grad_()
    net(x).sum().backward()
    assert x.grad is not None
    return x.grad, [p.grad for p in net.parameters()]


def test_a_frozen_net_passes_gradients_on_and_takes_none() -> None:
    net, x = MLP(3, 2, [4, 4]), torch.randn(5, 3)
    expected, _ = gradients(net, x)
    with frozen(net):
        passed, own = gradients(net, x)
    assert torch.equal(passed, expected)
    assert own == [None] * 6
    assert all(p.requires_grad for p in net.parameters())


def test_freezing_restores_every_flag_after_an_error_too() -> None:
    net = MLP(3, 2, [4, 4])
    net[0].weight.requires_grad_(False)
    before = [p.requires_grad for p in net.parameters()]
    with pytest.raises(ValueError, match="inside"), frozen(net), frozen(net):
        assert not any(p.requires_grad for p in net.parameters())
        raise ValueError("inside")
    assert [p.requires_grad for p in net.parameters()] == before
