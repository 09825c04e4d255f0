"""Recovery finds the codes it should, each as if it were alone, and leaves the decoder as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchsuite.kit import recovery
from benchsuite.kit.nets import generator
from benchsuite.kit.optimisers import project_to_ball
from benchsuite.kit.recovery import recover


def linear(d: int = 4, dim: int = 12) -> nn.Linear:
    """A decoder with orthonormal columns, of which the best codes of any x are (x - bias) W."""
    decoder = nn.Linear(d, dim).double()
    random = torch.randn(dim, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        decoder.weight.copy_(torch.linalg.qr(random).Q)
        decoder.bias.copy_(torch.linspace(-1, 1, dim))
    return decoder


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_codes_of_a_linear_decoder_are_found() -> None:
    decoder, codes = linear(), normal(50, 4)
    found = recover(decoder, decoder(codes).detach(), normal(2, 50, 4, seed=2))
    assert torch.allclose(found.codes, codes, atol=1e-3)
    assert float(found.error.max()) < 1e-6


def test_data_off_the_model_get_the_nearest_code() -> None:
    decoder, x = linear(), 2 * normal(20, 12)
    found = recover(decoder, x, normal(1, 20, 4, seed=2), steps=400)
    best = (x - decoder.bias) @ decoder.weight
    assert torch.allclose(found.codes, best, atol=1e-3)
    assert torch.allclose(found.error, (decoder(best) - x).square().mean(1), rtol=1e-4)


def test_codes_of_a_convolutional_generator_reproduce_its_images() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = generator((1, 8, 8), 3, 4).double().eval()
    for parameter in decoder.parameters():
        parameter.data.mul_(10)
    x = decoder(normal(6, 3)).detach()
    found = recover(decoder, x, normal(4, 6, 3, seed=2))
    assert float(found.error.max()) < 1e-3 * float(x.var())
    assert torch.allclose(found.error, (decoder(found.codes) - x).square().mean((1, 2, 3)))


@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("steps", [1, 30])
def test_the_path_of_a_code_does_not_depend_on_how_many_share_its_batch(rows: int, steps: int) -> None:
    decoder = nn.Sequential(linear(), nn.Tanh(), linear(12, 20))
    x, starts = normal(64, 20), normal(3, 64, 4, seed=2)
    together = recover(decoder, x, starts, steps=steps, learning_rate=0.05)
    alone = recover(decoder, x[:rows], starts[:, :rows], steps=steps, learning_rate=0.05)
    assert torch.allclose(alone.codes, together.codes[:rows], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("chunk", [1, 5, 7, 1000])
def test_the_size_of_chunks_changes_no_code(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    decoder, x, starts = linear(), normal(11, 12), normal(3, 11, 4, seed=2)
    expected = recover(decoder, x, starts, steps=20)
    monkeypatch.setattr(recovery, "_CHUNK", chunk)
    found = recover(decoder, x, starts, steps=20)
    assert torch.allclose(found.codes, expected.codes, rtol=1e-9, atol=1e-9)
    assert torch.allclose(found.error, expected.error, rtol=1e-9)


def wells(z: Tensor) -> Tensor:
    """z^3 - 3z: from above 1 descent towards a target of 2 ends at 2, from elsewhere it can end at -1."""
    return z**3 - 3 * z


def test_each_sample_keeps_the_best_of_its_restarts() -> None:
    x = torch.tensor([[18.0], [-18.0], [0.5]]).double()
    starts = torch.tensor([[[2.0], [2.0], [2.0]], [[-2.0], [-2.0], [0.0]], [[0.0], [0.0], [-2.0]]]).double()
    options = {"steps": 100, "learning_rate": 0.02}
    each = [recover(wells, x, start[None], **options) for start in starts]  # type: ignore[arg-type]
    together = recover(wells, x, starts, **options)  # type: ignore[arg-type]
    errors = torch.stack([found.error for found in each])
    best = errors.argmin(0)
    assert len(set(best.tolist())) > 1
    assert torch.allclose(together.error, errors.min(0).values)
    codes = torch.stack([found.codes for found in each])
    assert torch.allclose(together.codes, codes[best, torch.arange(3)])


def test_a_restart_that_became_nan_is_never_the_best() -> None:
    def decode(z: Tensor) -> Tensor:
        return z.sqrt()  # NaN below 0

    x = torch.full((2, 1), 1.5).double()
    starts = torch.tensor([[[-1.0], [2.0]], [[2.0], [-1.0]]]).double()
    found = recover(decode, x, starts, steps=5, learning_rate=0.01)
    assert bool(found.error.isfinite().all())
    assert bool(found.codes.isfinite().all())


def test_projection_is_respected() -> None:
    decoder, x = linear(), 5 * normal(20, 12)
    found = recover(decoder, x, normal(2, 20, 4, seed=2), project=project_to_ball)
    assert float(found.codes.norm(dim=1).max()) <= 1 + 1e-9
    assert torch.allclose(found.error, (decoder(found.codes) - x).square().mean(1))


def test_among_projected_codes_the_nearest_is_found() -> None:
    decoder, x = linear(), 5 * normal(20, 12)
    free = ((x - decoder.bias) @ decoder.weight).detach()
    assert float(free.norm(dim=1).min()) > 1
    found = recover(decoder, x, normal(2, 20, 4, seed=2), project=project_to_ball)
    # The columns being orthonormal, the best code in the ball is the one nearest to the best code of all.
    assert torch.allclose(found.codes, project_to_ball(free), atol=1e-2)


def test_nothing_is_left_on_the_decoder() -> None:
    decoder = linear()
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    starts, x = normal(2, 5, 4), normal(5, 12)
    given = starts.clone(), x.clone()
    found = recover(decoder, x, starts, steps=3)
    assert [p.grad for p in decoder.parameters()] == [None, None]
    assert all(p.requires_grad for p in decoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())
    assert torch.equal(starts, given[0])
    assert torch.equal(x, given[1])
    assert not found.codes.requires_grad
    assert not found.error.requires_grad


def test_it_works_where_gradients_are_off() -> None:
    decoder, x, starts = linear(), normal(5, 12), normal(1, 5, 4)
    expected = recover(decoder, x, starts, steps=10)
    with torch.no_grad():
        found = recover(decoder, x, starts, steps=10)
    assert torch.equal(found.codes, expected.codes)


def test_it_draws_no_random_numbers() -> None:
    decoder, state = linear(), torch.get_rng_state()
    recover(decoder, normal(5, 12), normal(2, 5, 4), steps=3)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_default_learning_rate_goes_with_the_scale_of_the_codes(scale: float) -> None:
    decoder, codes = linear(), normal(20, 4)
    found = recover(lambda z: decoder(z / scale), decoder(codes).detach(), scale * normal(2, 20, 4, seed=2))
    assert torch.allclose(found.codes / scale, codes, atol=1e-2)
