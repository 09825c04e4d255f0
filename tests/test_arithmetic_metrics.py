"""Arithmetic with codes finds what is there where codes are known, and nothing where they are not linear."""

from __future__ import annotations

import pytest
import torch
from made_up import Decoder, seeded
from torch import Tensor, nn

from benchsuite import NotApplicableError, Samples
from benchsuite.kit.samples import Reconstructions
from benchsuite_plugins.metrics.arithmetic import arithmetic, benchsuite_metrics

CLASSES, EACH = 3, 20


def painted(z: Tensor) -> Tensor:
    """(N, 4) -> images (N, 1, 4, 4): a row of pixels for each class, as bright as the code says, all times the last."""
    rows = 0.1 * z[:, :3] * (1 + z[:, 3:])
    return torch.cat([rows, torch.zeros(len(z), 1)], 1)[:, None, :, None].expand(-1, 1, 4, 4).clone()


def data() -> tuple[Tensor, Tensor]:
    """Codes (N, 4): the class in one of three directions, the brightness as the fourth; and the classes."""
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    codes = torch.cat([torch.eye(3)[labels], torch.linspace(0, 2, EACH).repeat(CLASSES)[:, None]], 1)
    return codes, labels


def flat(x: Tensor) -> Tensor:
    """Features that do not go by brightness."""
    x = x.flatten(1)
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-6)


def of(codes: Tensor, labels: Tensor, names: tuple[str, ...] = ()) -> Reconstructions:
    x = painted(codes)
    return Reconstructions(x, Samples(x, labels, label_names=names), "codes")


def test_a_decoder_with_class_and_brightness_in_their_own_directions_obeys_arithmetic() -> None:
    codes, labels = data()
    score = arithmetic(Decoder(painted), codes, labels, of(codes, labels), flat, seeded(), draws=50)
    assert score.value == {"both": 1, "group": 1, "attribute": 1, "before": 0, "originals": 1}
    assert score.n == 50 and list(score.references) == ["before", "originals"]


def test_a_decoder_that_ignores_brightness_keeps_the_group_and_adds_nothing() -> None:
    codes, labels = data()

    def dull(z: Tensor) -> Tensor:
        return painted(torch.cat([z[:, :3], torch.zeros(len(z), 1)], 1))

    score = arithmetic(Decoder(dull), codes, labels, of(codes, labels), flat, seeded(), draws=50)
    assert score.value == {"both": 0, "group": 1, "attribute": 0, "before": 0, "originals": 1}


def test_a_decoder_that_shows_one_group_whatever_the_code_hits_it_by_chance() -> None:
    codes, labels = data()

    def same(z: Tensor) -> Tensor:
        return painted(codes[:1] + 0 * z)

    score = arithmetic(Decoder(same), codes, labels, of(codes, labels), flat, seeded(), draws=300)
    assert isinstance(score.value, dict)
    assert 0.2 < score.value["group"] < 0.47  # one of three groups; five deviations of 300 draws are 0.14


def test_attributes_go_by_their_names_and_by_their_numbers() -> None:
    group = torch.arange(2).repeat_interleave(EACH)
    has = (torch.arange(2 * EACH) % 2).long()
    codes = torch.stack([1 - group, group, has, torch.zeros(2 * EACH)], 1).float()
    labels = torch.stack([torch.zeros_like(has), has, group], 1)
    x = of(codes, labels, ("Nothing", "Hat", "Male"))

    def raw(x: Tensor) -> Tensor:
        return x.flatten(1)

    named = arithmetic(Decoder(painted), codes, labels, x, raw, seeded(), attribute="Hat", group="Male", draws=20)
    numbered = arithmetic(Decoder(painted), codes, labels, x, raw, seeded(), attribute="1", group="2", draws=20)
    assert named.value == numbered.value == {"both": 1, "group": 1, "attribute": 1, "before": 0, "originals": 1}
    with pytest.raises(NotApplicableError, match="no attribute 'Eyeglasses'; there are Nothing, Hat, Male"):
        arithmetic(Decoder(painted), codes, labels, x, raw, seeded())


def test_the_sheet_shows_the_groups_their_means_and_the_line_to_the_result() -> None:
    codes, labels = data()
    score = arithmetic(Decoder(painted), codes, labels, of(codes, labels), flat, seeded(), draws=5, shown=1)
    rows = score.pictures["arithmetic"].view(4, 8, 1, 4, 4)
    brightness = rows.flatten(2).mean(2)
    classes = rows.sum((2, 4)).argmax(2)
    (a,), (b,) = classes[:2].unique().tolist(), classes[2:].unique().tolist()
    assert a != b
    assert float(brightness[0].min()) > float(brightness[1].max())
    assert bool((brightness[3].diff() > 0).all())
    torch.testing.assert_close(rows[3, 0], rows[2, 7])  # the line starts at the mean of B without


def test_what_has_no_arithmetic_is_skipped_with_a_reason() -> None:
    codes, labels = data()
    x = of(codes, labels)
    for model, z, images, known, reason in (
        (nn.Identity(), codes, x, labels, "the method has no decode"),
        (Decoder(painted), codes, Reconstructions(codes, Samples(codes), "codes"), labels, "codes of images"),
        (Decoder(painted), codes[:10], of(codes[:10], labels[:10]), labels[:10], "fewer than two groups"),
        (Decoder(painted), codes * torch.nan, x, labels, "not finite"),
    ):
        with pytest.raises(NotApplicableError, match=reason):
            arithmetic(model, z, known, images, flat, seeded())


def test_it_is_not_chosen_unasked() -> None:
    (metric,) = benchsuite_metrics()
    assert (metric.name, metric.direction, metric.default, metric.kind) == ("arithmetic", "none", False, "image")
