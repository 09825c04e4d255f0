"""Decoded lines are as long, as even and as near to the average as they are for decoders that are known."""

from __future__ import annotations

import math

import pytest
import torch
from made_up import Decoder, seeded
from torch import Tensor, nn

from benchsuite import NotApplicableError, Samples, Score
from benchsuite_plugins.metrics.paths import benchsuite_metrics, path_from_average, path_length

ANGLE = 2.0  # between the two codes on the circle
ENDS = torch.tensor([[0.5], [0.5 + ANGLE]])


def circle(z: Tensor) -> Tensor:
    """The unit circle about (3, 4)."""
    return torch.cat([z.cos(), z.sin()], 1) + torch.tensor([3.0, 4.0])


def affine(z: Tensor) -> Tensor:
    """(N, 3) -> images (N, 1, 2, 4)."""
    matrix = torch.randn(3, 8, generator=seeded(1))
    return (z @ matrix + 0.5).view(-1, 1, 2, 4)


def flat(x: Tensor) -> Tensor:
    return x.flatten(1)


def values(score: Score) -> dict[str, float]:
    assert isinstance(score.value, dict)
    return score.value


@pytest.mark.parametrize("steps", [1, 32, 200])
def test_the_paths_of_a_linear_decoder_are_straight_and_even(steps: int) -> None:
    codes = torch.randn(30, 3, generator=seeded())
    score = path_length(Decoder(affine), codes, flat, seeded(), steps=steps)
    assert values(score) == pytest.approx({"ratio": 1, "largest_step": 1}, abs=1e-3 if steps > 100 else 1e-4)
    assert score.n == 100 and score.arrays["speed"].tolist() == pytest.approx([1] * steps, abs=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 7, 32])
def test_a_path_along_a_circle_is_its_arc_over_its_chord(steps: int) -> None:
    found = values(path_length(Decoder(circle), ENDS, flat, seeded(), steps=steps))
    polygon = steps * math.sin(ANGLE / 2 / steps) / math.sin(ANGLE / 2)
    assert found == pytest.approx({"ratio": polygon, "largest_step": 1}, abs=1e-4)


def test_with_many_steps_the_length_is_that_of_the_arc() -> None:
    found = values(path_length(Decoder(circle), ENDS, flat, seeded(), steps=500))
    assert found["ratio"] == pytest.approx(ANGLE / 2 / math.sin(ANGLE / 2), rel=1e-4)


def test_one_jump_is_one_step_as_large_as_all() -> None:
    jump = Decoder(lambda z: (z > 0.7).float())
    score = path_length(jump, torch.tensor([[0.0], [1.0]]), flat, seeded(), steps=10)
    assert values(score) == pytest.approx({"ratio": 1, "largest_step": 10})


def test_uneven_speed_is_told_by_its_largest_step() -> None:
    # z ** 2 from 0 to 1, or back: the largest of 10 steps is 1 - 0.81, the mean step 0.1.
    score = path_length(Decoder(torch.square), torch.tensor([[0.0], [1.0]]), flat, seeded(), steps=10, pairs=1)
    assert values(score) == pytest.approx({"ratio": 1, "largest_step": 1.9}, abs=1e-5)
    assert sorted(score.arrays["speed"].tolist()) == pytest.approx([0.1 + 0.2 * i for i in range(10)], abs=1e-5)


def test_lengths_are_those_of_the_features_that_are_selected() -> None:
    def angle(x: Tensor) -> Tensor:
        centred = x - torch.tensor([3.0, 4.0])
        return torch.atan2(centred[:, 1:], centred[:, :1])

    found = values(path_length(Decoder(circle), ENDS, angle, seeded()))
    assert found == pytest.approx({"ratio": 1, "largest_step": 1}, abs=1e-4)


def test_paths_whose_ends_decode_to_the_same_are_left_out() -> None:
    train = Samples(torch.zeros(3, 1))
    mirror, codes = Decoder(torch.abs), torch.tensor([[-1.0], [1.0], [3.0]])
    score = path_length(mirror, codes, flat, seeded(), pairs=60)
    average = path_from_average(mirror, codes, train, seeded(), pairs=60)
    assert score.n is not None and score.n == average.n and 30 < score.n < 50  # one pair of three has the same ends
    assert values(path_length(mirror, codes[1:], flat, seeded())) == pytest.approx({"ratio": 1, "largest_step": 1})
    for metric in (
        lambda: path_length(mirror, codes[:2], flat, seeded()),
        lambda: path_from_average(mirror, codes[:2], train, seeded()),
    ):
        with pytest.raises(NotApplicableError, match="the ends of every path decode to the same"):
            metric()


def test_every_pair_is_of_two_codes_and_all_codes_take_part() -> None:
    seen: list[Tensor] = []

    def remember(z: Tensor) -> Tensor:
        seen.append(z.view(-1, 3, 1))
        return z

    path_length(Decoder(remember), torch.arange(5.0)[:, None], flat, seeded(), steps=2, pairs=300)
    lines = torch.cat(seen)[:, :, 0]
    assert torch.allclose(lines[:, 1], (lines[:, 0] + lines[:, 2]) / 2)
    pairs = {(int(start), int(end)) for start, end in lines[:, [0, 2]].tolist()}
    assert pairs == {(i, j) for i in range(5) for j in range(5) if i != j}  # all 20, of which 300 draws miss none


def on_the_circle(n: int) -> Samples:
    """Points whose mean is (3, 4)."""
    angles = torch.arange(n)[:, None] * 2 * math.pi / n
    return Samples(circle(angles))


@pytest.mark.parametrize("steps", [2, 32])
def test_a_path_around_the_average_stays_as_far_as_its_ends_and_a_crossfade_cuts_through(steps: int) -> None:
    score = path_from_average(Decoder(circle), ENDS, on_the_circle(700), seeded(), steps=steps)
    assert values(score) == pytest.approx({"path": 1, "crossfade": math.cos(ANGLE / 2)}, abs=1e-5)
    assert score.arrays["path"].tolist() == pytest.approx([1] * (steps + 1), abs=1e-5)
    t = torch.linspace(-1, 1, steps + 1).double()
    chord = (math.cos(ANGLE / 2) ** 2 + (t * math.sin(ANGLE / 2)).square()).sqrt()
    assert score.arrays["crossfade"].tolist() == pytest.approx(chord.tolist(), abs=1e-5)


def test_the_paths_of_a_linear_decoder_are_crossfades() -> None:
    codes = torch.randn(30, 3, generator=seeded())
    train = Samples((torch.rand(20, 1, 2, 4, generator=seeded(2)) * 255).to(torch.uint8))
    score = path_from_average(Decoder(affine), codes, train, seeded())
    found = values(score)
    assert found["path"] == pytest.approx(found["crossfade"], rel=1e-5) and found["path"] < 0.95
    assert score.arrays["path"].tolist() == pytest.approx(score.arrays["crossfade"].tolist(), rel=1e-5)


def test_the_average_is_that_of_all_training_images_and_distance_0_is_through_it() -> None:
    images = torch.randint(0, 256, (300, 1, 2, 4), generator=seeded(), dtype=torch.uint8)  # more than one batch
    mean = images.double().mean(0) / 255
    codes = torch.tensor([[-1.0], [1.0]])
    through = Decoder(lambda z: (mean + z[:, :, None, None] * torch.eye(2, 4)).float())
    found = values(path_from_average(through, codes, Samples(images), seeded()))
    assert found == pytest.approx({"path": 0, "crossfade": 0}, abs=1e-6)


def test_what_has_no_paths_is_skipped_with_a_reason() -> None:
    train, codes = on_the_circle(10), torch.zeros(1, 1)
    for model, rows, reason in (
        (nn.Identity(), ENDS, "the method has no decode"),
        (Decoder(circle), codes, "a path joins two codes; there is 1"),
        (Decoder(circle), torch.full((3, 1), math.nan), "not finite"),
    ):
        with pytest.raises(NotApplicableError, match=reason):
            path_length(model, rows, flat, seeded())
        with pytest.raises(NotApplicableError, match=reason):
            path_from_average(model, rows, train, seeded())


def test_neither_is_chosen_unasked() -> None:
    metrics = {metric.name: (metric.direction, metric.default) for metric in benchsuite_metrics()}
    assert metrics == {"path_length": ("none", False), "path_from_average": ("none", False)}
