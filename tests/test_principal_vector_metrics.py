"""Principal vectors are those of numpy's covariance, and what they move is what the decoder was told to move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up import Decoder, seeded
from torch import Tensor, nn

from benchsuite import NotApplicableError, Samples
from benchsuite.kit.samples import Reconstructions
from benchsuite_plugins.metrics.principal_vectors import benchsuite_metrics, principal_vectors

SCALES = torch.tensor([4.0, 2.0, 1.0, 0.5])
CODES = torch.randn(400, 4, generator=seeded()) * SCALES + 3
TURN = torch.linalg.qr(torch.randn(4, 4, generator=seeded(1)))[0]


def pixels(z: Tensor) -> Tensor:
    """(N, 4) -> images (N, 1, 2, 2), a pixel for each coordinate of the codes before they were turned."""
    return (z @ TURN.T / 100 + 0.3).view(-1, 1, 2, 2)


def of(codes: Tensor) -> Reconstructions:
    x = pixels(codes)
    return Reconstructions(x, Samples(x), "codes")


def test_moves_and_variances_are_those_of_the_covariance() -> None:
    codes = CODES @ TURN
    score = principal_vectors(Decoder(pixels), codes, of(codes), vectors=1)
    assert isinstance(score.value, dict) and score.n == 400
    eigenvalues = np.linalg.eigvalsh(np.cov(codes.double().numpy().T, bias=True))[::-1]
    np.testing.assert_allclose(score.arrays["deviations"] ** 2, eigenvalues, rtol=1e-6)
    assert score.value["variance"] == pytest.approx(eigenvalues[0] / eigenvalues.sum(), rel=1e-6)
    # An isometry but for the factor 1 / 100: four deviations along a vector, over the root of four pixels.
    assert score.value["moves.first"] == pytest.approx(4 * eigenvalues[0] ** 0.5 / 100 / 2, rel=1e-4)
    assert score.value["moves.last"] == pytest.approx(4 * eigenvalues[-1] ** 0.5 / 100 / 2, rel=1e-4)


def test_brightness_is_told_by_as_much_as_regression_says() -> None:
    codes = CODES @ TURN
    score = principal_vectors(Decoder(pixels), codes, of(codes), vectors=2)
    assert isinstance(score.value, dict)
    centred = (codes - codes.mean(0)).double().numpy()
    bright = pixels(codes).flatten(1).mean(1).double().numpy()
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    for name, chosen in (("first", axes[:2]), ("last", axes[2:])):
        design = np.column_stack([centred @ chosen.T, np.ones(len(bright))])
        rest = bright - design @ np.linalg.lstsq(design, bright, rcond=None)[0]
        assert score.value[f"brightness.{name}"] == pytest.approx(1 - rest.var() / bright.var(), abs=1e-5)
    assert score.value["brightness.first"] + score.value["brightness.last"] == pytest.approx(1, abs=1e-5)


def test_the_sheet_has_the_mean_code_fourth_from_the_left() -> None:
    codes = CODES @ TURN
    score = principal_vectors(Decoder(pixels), codes, of(codes), vectors=3)
    rows = score.pictures["vectors"].view(3, 8, 1, 2, 2)
    middle = pixels(codes.mean(0, keepdim=True))[0]
    assert isinstance(score.value, dict)
    assert score.value["centre"] == pytest.approx(float(middle.mean() / pixels(codes).mean()), rel=1e-5)
    assert score.value["centre"] == pytest.approx(1, rel=1e-4)  # as of every linear decoder
    for k, row in enumerate(rows):
        torch.testing.assert_close(row[3], middle, atol=1e-6, rtol=0)
        step = float((row[4] - row[3]).norm())
        assert step == pytest.approx(0.75 * float(score.arrays["deviations"][k]) / 100, rel=1e-3)
        torch.testing.assert_close(row[7] - row[3], 4 * (row[4] - row[3]), atol=1e-5, rtol=0)


def test_more_vectors_than_dimensions_are_all_of_them() -> None:
    codes = CODES @ TURN
    score = principal_vectors(Decoder(pixels), codes, of(codes), vectors=9)
    assert isinstance(score.value, dict)
    assert score.value["variance"] == pytest.approx(1) and len(score.pictures["vectors"]) == 32


def test_what_has_no_principal_vectors_is_skipped_with_a_reason() -> None:
    codes = CODES[:10]
    for model, z, x, reason in (
        (nn.Identity(), codes, of(codes), "the method has no decode"),
        (Decoder(pixels), codes, Reconstructions(codes, Samples(codes), "codes"), "shown by images"),
        (Decoder(pixels), codes[:3], of(codes[:3]), "4 principal vectors need more codes than 3"),
        (Decoder(pixels), codes[:1].expand(10, -1), of(codes), "all codes are the same"),
        (Decoder(pixels), codes * torch.nan, of(codes), "not finite"),
    ):
        with pytest.raises(NotApplicableError, match=reason):
            principal_vectors(model, z, x)


def test_it_is_not_chosen_unasked() -> None:
    (metric,) = benchsuite_metrics()
    assert (metric.name, metric.direction, metric.default, metric.kind) == ("principal_vectors", "none", False, "image")
