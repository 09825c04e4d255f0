"""Numbers and operations of models are those that their layers' shapes say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchsuite import DataSpec, Method, Model
from benchsuite_plugins.methods.ali import ALI
from benchsuite_plugins.methods.avb import AVB
from benchsuite_plugins.methods.dcgan import DCGAN
from benchsuite_plugins.methods.gan import FullyConnectedGAN
from benchsuite_plugins.methods.glo import GLO
from benchsuite_plugins.methods.pca import PCA
from benchsuite_plugins.methods.pgan import PGAN
from benchsuite_plugins.methods.real import Real
from benchsuite_plugins.methods.vae import VAE
from benchsuite_plugins.metrics import sizes
from benchsuite_plugins.metrics.sizes import flops, parameters

GREY = DataSpec((1, 16, 16), "image", 100, latent_dim=8)
RGB = DataSpec((3, 20, 32), "image", 100, latent_dim=5)  # 20 is no multiple of 8: the generator cuts its image
VECTOR = DataSpec((6,), "vector", 100, latent_dim=3)


def built(method: Method, spec: DataSpec = GREY) -> Model:
    torch.manual_seed(0)
    return method.build(spec).eval()


def operations(model: Model) -> dict[str, float]:
    with torch.no_grad():
        return dict(flops(model, torch.Generator().manual_seed(0)))


def mlp(sizes_of_layers: Sequence[int]) -> int:
    return sum(2 * a * b for a, b in itertools.pairwise(sizes_of_layers))


def convolutions(net: nn.Module, row: Tensor) -> int:
    """2 k^2 C_in C_out of every layer, at each place of the grid that its kernel is laid on, by the grids seen."""
    total = 0

    def seen(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        grid = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        kernel = layer.kernel_size[0] * layer.kernel_size[1]
        total += 2 * kernel * layer.in_channels * layer.out_channels * grid.shape[2] * grid.shape[3]

    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    handles = [layer.register_forward_hook(seen) for layer in layers]
    with torch.no_grad():
        net(row)
    for handle in handles:
        handle.remove()
    return total


# Learnt numbers


def test_pca_learns_its_mean_and_axes() -> None:
    assert parameters(built(PCA())) == {"": 256 + 8 * 256, "codes": 0}


def test_codes_are_counted_apart() -> None:
    model = built(GLO(width=4))
    decoder = sum(p.numel() for p in model.decoder.parameters())  # type: ignore[union-attr]
    assert parameters(model) == {"": decoder, "codes": 100 * 8}


def test_codes_that_are_parameters_are_counted_once() -> None:
    class Table(Model):
        def __init__(self) -> None:
            super().__init__()
            self.codes, self.net = nn.Parameter(torch.zeros(100, 3)), nn.Linear(3, 6)

        def sample(self, n: int, generator: torch.Generator) -> Tensor:
            return self.net(torch.randn(n, 3, generator=generator))

    assert parameters(Table()) == {"": 3 * 6 + 6, "codes": 300}


def test_what_only_copies_learns_nothing() -> None:
    assert parameters(built(Real())) == {"": 0, "codes": 0}


# Operations


@pytest.mark.parametrize("spec", [GREY, VECTOR])
def test_pca_takes_a_product_with_its_axes_each_way(spec: DataSpec) -> None:
    product = 2 * spec.latent_dim * math.prod(spec.shape)
    assert operations(built(PCA(), spec)) == {"sample": product, "encode": product}


def test_a_fully_connected_generator_takes_the_products_of_its_layers() -> None:
    model = built(FullyConnectedGAN(generator_hidden=(7, 9)), VECTOR)
    assert operations(model) == {"sample": mlp([3, 7, 9, 6])}


@pytest.mark.parametrize("spec", [GREY, RGB])
@pytest.mark.parametrize("width", [4, 6])
def test_dcgan_takes_what_its_transposed_convolutions_do(spec: DataSpec, width: int) -> None:
    model = built(DCGAN(width=width), spec)
    channels, height, side = spec.shape
    doublings = int(math.log2(min(height, side))) - 2
    grid = (math.ceil(height / 2**doublings), math.ceil(side / 2**doublings))
    cells, features = grid[0] * grid[1], width * 2 ** (doublings - 1)
    by_hand = 2 * cells * spec.latent_dim * features  # from 1 x 1 to the grid, a kernel as large as it
    for layer in range(doublings):
        out = channels if layer == doublings - 1 else features // 2
        by_hand += 2 * 4 * 4 * features * out * cells * 4**layer
        features = out
    assert operations(model) == {"sample": by_hand}


@pytest.mark.parametrize("spec", [GREY, RGB])
def test_a_vae_takes_what_the_layers_of_its_two_networks_do(spec: DataSpec) -> None:
    model = built(VAE(width=4), spec)
    networks = dict(model.named_children())
    rows = {"decoder": torch.zeros(1, spec.latent_dim), "encoder": torch.zeros(1, *spec.shape)}
    by_hand = {name: convolutions(networks[name], row) for name, row in rows.items()}
    assert operations(model) == {"sample": by_hand["decoder"], "encode": by_hand["encoder"]}


@pytest.mark.parametrize("method", [DCGAN(width=4), VAE(width=4), AVB(width=4), ALI(width=4)], ids=lambda m: m.name)
def test_a_sample_takes_what_the_decoder_does(method: Method) -> None:
    model = built(method)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.decode(torch.zeros(1, 8))  # type: ignore[operator]
    assert operations(model)["sample"] == counter.get_total_flops()


def test_a_prior_that_correlates_codes_takes_its_product_too() -> None:
    model = built(GLO(width=4))
    decoder = convolutions(model.decoder, torch.zeros(1, 8))  # type: ignore[arg-type]
    assert operations(model) == {"sample": decoder + 2 * 8 * 8}


def test_what_only_copies_takes_none() -> None:
    assert operations(built(Real())) == {"sample": 0}


@pytest.mark.parametrize("method", [PCA(), DCGAN(width=4), VAE(width=4), AVB(width=4), GLO(width=4), PGAN(width=4)])
def test_operations_do_not_depend_on_the_batch(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(method)
    found = operations(model)
    for rows in (1, 3, 100):
        monkeypatch.setattr(sizes, "_ROWS", rows)
        assert operations(model) == found


def test_neither_has_a_better_direction_and_both_are_chosen_by_name_only() -> None:
    for metric in sizes.benchsuite_metrics():
        assert metric.direction == "none" and not metric.default
