"""Our Frechet distance is that of four other libraries and of the closed form, and survives singular covariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchsuite import NotApplicableError
from benchsuite_plugins.metrics.frechet import benchsuite_metrics, fd, frechet_distance

by_scipy = pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated")  # pytorch-fid and clean-fid use it


def statistics(features: Tensor) -> tuple[np.ndarray, np.ndarray]:
    x = features.double().numpy()
    return x.mean(0), np.cov(x, rowvar=False)


def tensors(features: Tensor) -> tuple[Tensor, Tensor]:
    mean, covariance = statistics(features)
    return torch.from_numpy(mean), torch.from_numpy(covariance)


def theirs(library: str, a: Tensor, b: Tensor) -> float:
    """The distance by another library, where it is installed."""
    if library == "pytorch-fid":
        module = pytest.importorskip("pytorch_fid.fid_score")
        return float(module.calculate_frechet_distance(*statistics(a), *statistics(b)))
    if library == "clean-fid":
        return float(pytest.importorskip("cleanfid.fid").frechet_distance(*statistics(a), *statistics(b)))
    if library == "torchmetrics":
        return float(pytest.importorskip("torchmetrics.image.fid")._compute_fid(*tensors(a), *tensors(b)))
    module = pytest.importorskip("torch_fidelity.metric_fid")
    found = module.fid_statistics_to_metric(*map(module.fid_features_to_statistics, (a, b)), verbose=False)
    return float(found["frechet_inception_distance"])


def features(n: int, d: int, seed: int, rank: int | None = None) -> Tensor:
    """Correlated features with a mean of their own, (n, d), of the given rank."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(rank or d, d, generator=generator) / math.sqrt(d)
    return torch.randn(n, rank or d, generator=generator) @ mixing + torch.randn(d, generator=generator) / 3


@by_scipy
@pytest.mark.parametrize("library", ["pytorch-fid", "clean-fid", "torchmetrics", "torch-fidelity"])
@pytest.mark.parametrize("d", [2, 32, 128])
def test_it_is_the_distance_of_other_libraries(library: str, d: int) -> None:
    a, b = features(400, d, 0), features(300, d, 1)
    assert fd(a, b) == pytest.approx(theirs(library, a, b), rel=1e-6)  # some of them round to single precision


@by_scipy
@pytest.mark.parametrize("library", ["pytorch-fid", "clean-fid", "torch-fidelity"])
def test_it_is_the_distance_of_other_libraries_to_eight_digits(library: str) -> None:
    a, b = features(400, 48, 0).double(), features(300, 48, 1).double()
    assert fd(a, b) == pytest.approx(theirs(library, a, b), rel=1e-8)


@pytest.mark.parametrize("library", ["torchmetrics", "torch-fidelity"])
def test_fewer_images_than_features_give_the_distance_of_other_libraries(library: str) -> None:
    a, b = features(60, 128, 0).double(), features(50, 128, 1).double()
    assert fd(a, b) == pytest.approx(theirs(library, a, b), rel=1e-5)


def test_it_is_the_closed_form_between_diagonal_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    mean_a, mean_b, std_a, std_b = torch.rand(4, 20, generator=generator, dtype=torch.float64)
    std_b[:5] = 0  # degenerate directions
    expected = (mean_a - mean_b).square().sum() + (std_a - std_b).square().sum()
    found = frechet_distance(mean_a, std_a.square().diag(), mean_b, std_b.square().diag())
    assert found == pytest.approx(float(expected), rel=1e-10)


def test_a_shift_costs_its_squared_length_and_a_rotation_of_both_nothing() -> None:
    a, b = features(200, 16, 0).double(), features(200, 16, 1).double()
    shift = torch.linspace(-1, 1, 16, dtype=torch.float64)
    assert fd(a, a + shift) == pytest.approx(float(shift.square().sum()), rel=1e-8)
    rotation = torch.linalg.qr(features(16, 16, 2).double()).Q
    assert fd(a @ rotation, b @ rotation) == pytest.approx(fd(a, b), rel=1e-9)


SETS = {
    "full rank": lambda: features(400, 64, 0),
    "fewer images than features": lambda: features(40, 256, 0),
    "low rank": lambda: features(400, 256, 0, rank=7),
    "duplicated images": lambda: features(5, 64, 0).repeat(20, 1),
    "duplicated features": lambda: features(200, 32, 0).repeat(1, 4),
    "dead features": lambda: torch.cat([features(200, 32, 0), torch.zeros(200, 64)], 1),
    "constant": lambda: torch.full((50, 64), 0.3),
    "two images": lambda: features(2, 64, 0),
    "large": lambda: features(100, 128, 0) * 1e4,
    "small": lambda: features(100, 128, 0) * 1e-4,
}


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_at_no_distance_from_itself(name: str) -> None:
    x = SETS[name]()
    assert 0 <= fd(x, x.clone()) <= 1e-7 * float(x.double().var(0).sum()) + 1e-12


@pytest.mark.parametrize("name", SETS)
def test_the_distance_is_finite_symmetric_and_above_the_distance_of_means(name: str) -> None:
    x = SETS[name]()
    y = features(90, x.shape[1], 7)
    there, back = fd(x, y), fd(y, x)
    scale = float(x.double().var(0).sum() + y.double().var(0).sum())
    assert math.isfinite(there)
    assert there == pytest.approx(back, rel=1e-9, abs=1e-7 * scale)
    assert there >= float((x.double().mean(0) - y.double().mean(0)).square().sum()) - 1e-7 * scale


def test_a_rank_deficient_set_is_as_far_as_the_exact_form_says() -> None:
    # Supports at right angles: nothing overlaps, so the distance is that of the means plus both traces.
    x, y = torch.zeros(100, 200), torch.zeros(80, 200)
    x[:, :9], y[:, 100:140] = features(100, 9, 0), features(80, 40, 1)
    (mean_x, cov_x), (mean_y, cov_y) = tensors(x), tensors(y)
    expected = (mean_x - mean_y).square().sum() + cov_x.trace() + cov_y.trace()
    assert fd(x, y) == pytest.approx(float(expected), rel=1e-7)


def test_it_falls_as_the_distributions_come_together() -> None:
    x = features(300, 16, 0)
    distances = [fd(x, features(300, 16, 1) * t + x * (1 - t)) for t in (1.0, 0.5, 0.25, 0.0)]
    assert distances == sorted(distances, reverse=True)


@pytest.mark.parametrize("where", range(4))
def test_nan_is_never_a_perfect_score(where: int) -> None:
    arguments = [torch.zeros(3).double(), torch.eye(3).double()] * 2
    arguments[where] = arguments[where] * math.nan
    try:
        found = frechet_distance(*arguments)
    except RuntimeError:  # torch's eigenvalue solvers refuse what is not finite
        return
    assert math.isnan(found)


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (0, 5)])
def test_fewer_than_two_images_have_no_distance(n: int, m: int) -> None:
    with pytest.raises(NotApplicableError, match="at least two images"):
        fd(torch.zeros(n, 3), torch.zeros(m, 3))


def test_the_plugin_provides_fd_and_lower_is_better() -> None:
    (metric,) = benchsuite_metrics()
    assert (metric.name, metric.direction) == ("fd", "min")
