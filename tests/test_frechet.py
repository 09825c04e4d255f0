"""The Frechet distance is that of four other libraries and of closed forms, survives singular covariances, and its
extrapolation to infinitely many samples comes nearer to the truth."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchsuite import NotApplicableError, ParameterError
from benchsuite.kit import frechet
from benchsuite.kit.frechet import Gaussian, fd_infinity, frechet_distance, frechet_distance_of
from benchsuite.kit.moments import Moments
from benchsuite.parameters import convert
from benchsuite_plugins.metrics import frechet as plugin

LIBRARIES = ["pytorch-fid", "clean-fid", "torchmetrics", "torch-fidelity"]
by_scipy = pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated")  # pytorch-fid and clean-fid use it


def distance(a: Tensor, b: Tensor) -> float:
    return frechet_distance(Moments.of([a]), Moments.of([b]))


def distance_by_covariances(a: Tensor, b: Tensor) -> float:
    return frechet_distance_of(*tensors(a), *tensors(b))


def statistics(features: Tensor) -> tuple[np.ndarray, np.ndarray]:
    x = features.double().numpy()
    return x.mean(0), np.cov(x, rowvar=False)


def tensors(features: Tensor) -> tuple[Tensor, Tensor]:
    mean, covariance = statistics(features)
    return torch.from_numpy(mean), torch.from_numpy(covariance)


def theirs(library: str, a: Tensor, b: Tensor) -> float:
    """The distance by another library, where it is installed, of statistics in float64."""
    if library == "pytorch-fid":
        module = pytest.importorskip("pytorch_fid.fid_score")
        return float(module.calculate_frechet_distance(*statistics(a), *statistics(b)))
    if library == "clean-fid":
        return float(pytest.importorskip("cleanfid.fid").frechet_distance(*statistics(a), *statistics(b)))
    if library == "torchmetrics":
        return float(pytest.importorskip("torchmetrics.image.fid")._compute_fid(*tensors(a), *tensors(b)))
    module = pytest.importorskip("torch_fidelity.metric_fid")
    found = module.fid_statistics_to_metric(*map(module.fid_features_to_statistics, (a.double(), b.double())), False)
    return float(found["frechet_inception_distance"])


def features(n: int, d: int, seed: int, rank: int | None = None) -> Tensor:
    """Correlated features with a mean of their own, (n, d), of the given rank."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(rank or d, d, generator=generator) / math.sqrt(d)
    return torch.randn(n, rank or d, generator=generator) @ mixing + torch.randn(d, generator=generator) / 3


def rotation(d: int, seed: int) -> Tensor:
    noise = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.qr(noise).Q


def with_condition(condition: float, n: int, d: int, seed: int) -> Tensor:
    """Features, (n, d) in float64, with a covariance of that condition, in axes of their own."""
    centred = features(n, d, seed).double()
    centred = centred - centred.mean(0)
    left = torch.linalg.svd(centred, full_matrices=False).U
    scales = torch.logspace(0, -math.log10(condition) / 2, d, dtype=torch.float64) * math.sqrt(n)
    return (left * scales) @ rotation(d, seed + 1) + features(1, d, seed + 2).double()


@by_scipy
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("d", [2, 32, 128])
def test_it_is_the_distance_of_other_libraries_to_eight_digits(library: str, d: int) -> None:
    a, b = features(400, d, 0), features(300, d, 1)
    assert distance(a, b) == pytest.approx(theirs(library, a, b), rel=1e-8)


@by_scipy
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("condition", "tolerance"), [(1e2, 1e-8), (1e6, 1e-8), (1e10, 1e-6)])
def test_it_is_theirs_for_ill_conditioned_covariances(library: str, condition: float, tolerance: float) -> None:
    a, b = with_condition(condition, 400, 64, 0), with_condition(condition, 300, 64, 10)
    assert np.linalg.cond(statistics(a)[1]) == pytest.approx(condition, rel=1e-3)
    assert distance(a, b) == pytest.approx(theirs(library, a, b), rel=tolerance)


@pytest.mark.parametrize("library", ["torchmetrics", "torch-fidelity"])
@pytest.mark.parametrize(("n", "m"), [(60, 50), (60, 400), (400, 60), (100, 90)])
def test_fewer_images_than_features_give_the_distance_of_other_libraries(library: str, n: int, m: int) -> None:
    a, b = features(n, 128, 0).double(), features(m, 128, 1).double()
    assert distance(a, b) == pytest.approx(theirs(library, a, b), rel=1e-6)


def test_it_is_the_closed_form_between_diagonal_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    mean_a, mean_b, std_a, std_b = torch.rand(4, 20, generator=generator, dtype=torch.float64)
    std_b[:5] = 0  # degenerate directions, of one and of both
    std_a[4:8] = 0
    expected = (mean_a - mean_b).square().sum() + (std_a - std_b).square().sum()
    a, b = (mean_a, std_a.square().diag()), (mean_b, std_b.square().diag())
    assert frechet_distance_of(*a, *b) == pytest.approx(float(expected), rel=1e-12)
    assert frechet_distance_of(*b, *a) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("decay", [2, 6, 10, 14])
@pytest.mark.parametrize("d", [16, 200])
def test_it_is_the_closed_form_where_covariances_share_their_axes(decay: int, d: int) -> None:
    generator = torch.Generator().manual_seed(decay)
    axes, zero = rotation(d, 0), torch.zeros(d, dtype=torch.float64)
    a = torch.logspace(0, -decay, d, dtype=torch.float64)
    b = a * (0.5 + torch.rand(d, generator=generator, dtype=torch.float64))
    expected = float((a.sqrt() - b.sqrt()).square().sum())
    assert frechet_distance_of(zero, (axes * a) @ axes.T, zero, (axes * b) @ axes.T) == pytest.approx(
        expected, rel=1e-10
    )


def in_many_digits(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """The distance of these very numbers in arithmetic of sixty digits; torch itself comes with mpmath."""
    with mpmath.workdps(60):
        a, b = mpmath.matrix(cov_a.tolist()), mpmath.matrix(cov_b.tolist())
        values, vectors = mpmath.eigsy((a + a.T) / 2)
        factor = vectors * mpmath.diag([mpmath.sqrt(max(0, v)) for v in values])
        product = factor.T * (b + b.T) * factor / 2
        overlap = sum(mpmath.sqrt(max(0, v)) for v in mpmath.eigsy((product + product.T) / 2, eigvals_only=True))
        shift = sum((mpmath.mpf(x) - mpmath.mpf(y)) ** 2 for x, y in zip(mean_a.tolist(), mean_b.tolist(), strict=True))
        return float(shift + sum(a[i, i] + b[i, i] for i in range(len(values))) - 2 * overlap)


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10])
def test_it_is_the_distance_in_sixty_digits(condition: float) -> None:
    a, b = with_condition(condition, 100, 12, 0), with_condition(condition, 90, 12, 10)
    assert distance_by_covariances(a, b) == pytest.approx(in_many_digits(*tensors(a), *tensors(b)), rel=1e-10)


def by_factors(a: Tensor, b: Tensor) -> float:
    """The distance of few rows by the singular values of one factor times the other: no covariance is formed."""
    (n, m), (mean_a, mean_b) = (len(a), len(b)), (a.mean(0), b.mean(0))
    f, g = (a - mean_a) / math.sqrt(n - 1), (b - mean_b) / math.sqrt(m - 1)
    overlap = np.linalg.svd((f @ g.T).numpy(), compute_uv=False).sum()
    return float((mean_a - mean_b).square().sum() + f.square().sum() + g.square().sum()) - 2 * float(overlap)


@pytest.mark.parametrize(("n", "m"), [(40, 60), (40, 90), (90, 40), (90, 150), (400, 40), (127, 40)])
@pytest.mark.parametrize("kind", ["plain", "decaying", "duplicated"])
def test_few_rows_have_the_distance_of_their_factors_whichever_way_it_is_computed(n: int, m: int, kind: str) -> None:
    a, b = features(n, 128, 0).double(), features(m, 128, 1).double()
    if kind == "decaying":
        scales = torch.logspace(0, -6, 128, dtype=torch.float64)
        a, b = a * scales @ rotation(128, 2), b * scales @ rotation(128, 2)
    if kind == "duplicated":
        a = a[:5].repeat(n // 5 + 1, 1)[:n]
    expected, scale = by_factors(a, b), float(a.var(0).sum() + b.var(0).sum())
    assert distance(a, b) == pytest.approx(expected, abs=1e-7 * scale)
    assert distance_by_covariances(a, b) == pytest.approx(expected, abs=1e-7 * scale)


def test_few_rows_on_both_sides_keep_all_digits() -> None:
    a, b = features(30, 128, 0).double(), features(50, 128, 1).double()
    assert distance(a, b) == pytest.approx(by_factors(a, b), rel=1e-13)


@pytest.mark.parametrize("n", [30, 60])
def test_few_rows_against_many_keep_the_digits_of_small_variances(n: int) -> None:
    scales, turn = torch.logspace(0, -6, 128, dtype=torch.float64), rotation(128, 2)
    a, b = features(n, 128, 0).double() * scales @ turn, features(400, 128, 1).double() * scales @ turn
    assert distance(a, b) == pytest.approx(by_factors(a, b), rel=1e-12)


@pytest.mark.parametrize("block", [1, 7, 16, 40, 50])
def test_the_product_is_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    a, b = features(200, 40, 0), features(100, 40, 1)
    expected = distance(a, b)
    monkeypatch.setattr(frechet, "_ROWS", block)
    assert distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_a_shift_costs_its_squared_length() -> None:
    a = features(200, 16, 0).double()
    shift = torch.linspace(-1, 1, 16, dtype=torch.float64)
    assert distance(a, a + shift) == pytest.approx(float(shift.square().sum()), rel=1e-8)


SETS = {
    "full rank": lambda: features(400, 64, 0),
    "fewer images than features": lambda: features(40, 256, 0),
    "nearly as many images as features": lambda: features(200, 256, 0),
    "low rank": lambda: features(400, 256, 0, rank=7),
    "duplicated images": lambda: features(5, 64, 0).repeat(20, 1),
    "duplicated features": lambda: features(200, 32, 0).repeat(1, 4),
    "dead features": lambda: torch.cat([features(200, 32, 0), torch.zeros(200, 64)], 1),
    "features of unlike scales": lambda: features(200, 64, 0) * torch.logspace(-8, 8, 64),
    "constant": lambda: torch.full((50, 64), 0.3),
    "few and constant": lambda: torch.full((10, 64), 0.3),
    "two images": lambda: features(2, 64, 0),
    "large": lambda: features(100, 128, 0) * 1e8,
    "tiny": lambda: features(100, 128, 0) * 1e-8,
    "few and tiny": lambda: features(50, 128, 0) * 1e-30,
}


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_at_no_distance_from_itself(name: str) -> None:
    x = SETS[name]()
    trace = float(x.double().var(0).sum())
    for found in (distance(x, x.clone()), distance_by_covariances(x, x.clone())):
        assert 0 <= found <= 1e-7 * trace


@pytest.mark.parametrize("name", SETS)
def test_the_distance_is_finite_symmetric_and_above_the_distance_of_means(name: str) -> None:
    x = SETS[name]()
    y = features(90, x.shape[1], 7)
    there, back = distance(x, y), distance(y, x)
    scale = float(x.double().var(0).sum() + y.double().var(0).sum())
    assert math.isfinite(there)
    assert there == pytest.approx(back, rel=1e-9, abs=1e-7 * scale)
    assert there >= float((x.double().mean(0) - y.double().mean(0)).square().sum()) - 1e-7 * scale


@pytest.mark.parametrize("factor", [1e-30, 1e-8, 1e8, 1e30])
@pytest.mark.parametrize("n", [300, 90, 30])
def test_scaling_both_sets_scales_the_distance_by_its_square(factor: float, n: int) -> None:
    a, b = features(n, 100, 0).double(), features(n, 100, 1).double()
    assert distance(factor * a, factor * b) == pytest.approx(factor**2 * distance(a, b), rel=1e-7)


def test_a_rank_deficient_set_is_as_far_as_the_exact_form_says() -> None:
    # Supports at right angles: nothing overlaps, so the distance is that of the means plus both traces.
    x, y = torch.zeros(100, 200), torch.zeros(80, 200)
    x[:, :9], y[:, 100:140] = features(100, 9, 0), features(80, 40, 1)
    (mean_x, cov_x), (mean_y, cov_y) = tensors(x), tensors(y)
    expected = (mean_x - mean_y).square().sum() + cov_x.trace() + cov_y.trace()
    assert distance(x, y) == pytest.approx(float(expected), rel=1e-12)
    turned = distance(x.double() @ rotation(200, 2), y.double() @ rotation(200, 2))
    assert turned == pytest.approx(float(expected), rel=1e-7)


def test_it_falls_as_the_distributions_come_together() -> None:
    x = features(300, 16, 0)
    distances = [distance(x, features(300, 16, 1) * t + x * (1 - t)) for t in (1.0, 0.5, 0.25, 0.0)]
    assert distances == sorted(distances, reverse=True)


shapes = st.tuples(st.integers(2, 40), st.integers(2, 40), st.integers(1, 24), st.integers(0, 2**16))


@given(shapes)
@settings(max_examples=60, deadline=None)
def test_sets_of_any_shape_have_a_symmetric_distance_above_that_of_their_means(shape: tuple[int, ...]) -> None:
    n, m, d, seed = shape
    a, b = features(n, d, seed).double(), features(m, d, seed + 1).double()
    found, scale = distance(a, b), float(a.var(0).sum() + b.var(0).sum())
    assert found >= float((a.mean(0) - b.mean(0)).square().sum()) - 1e-7 * scale
    assert found == pytest.approx(distance(b, a), abs=1e-7 * scale)


@given(shapes)
@settings(max_examples=40, deadline=None)
def test_a_rotation_of_both_sets_and_an_order_of_rows_change_nothing(shape: tuple[int, ...]) -> None:
    n, m, d, seed = shape
    a, b, turn = features(n, d, seed).double(), features(m, d, seed + 1).double(), rotation(d, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    scale = float(a.var(0).sum() + b.var(0).sum())
    assert distance(a @ turn, b @ turn) == pytest.approx(distance(a, b), abs=1e-7 * scale)
    assert distance(a[order], b) == pytest.approx(distance(a, b), abs=1e-7 * scale)


@given(st.lists(st.integers(2, 700), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_the_batches_that_features_came_in_change_no_bit(sizes: list[int]) -> None:
    a, b = features(sum(sizes), 6, 0), Moments.of([features(50, 6, 1)])
    assert frechet_distance(Moments.of(torch.split(a, sizes)), b) == frechet_distance(Moments.of([a]), b)


@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_features_that_are_not_finite_have_no_score(n: int, bad: float) -> None:
    x, y = features(n, 64, 0), features(n, 64, 1)
    x[3, 5] = bad
    assert math.isnan(distance(x, y))
    assert math.isnan(distance(y, x))
    assert math.isnan(distance(x, x))


@pytest.mark.parametrize("where", range(4))
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_statistics_that_are_not_finite_have_no_score(where: int, bad: float) -> None:
    arguments = [torch.zeros(3).double(), torch.eye(3).double(), torch.zeros(3).double(), torch.eye(3).double()]
    arguments[where].view(-1)[1] = bad
    assert math.isnan(frechet_distance_of(*arguments))


def test_what_is_no_covariance_and_sets_of_unlike_sizes_are_refused() -> None:
    mean, indefinite = torch.zeros(2).double(), torch.tensor([[1.0, 2.0], [2.0, 1.0]]).double()
    with pytest.raises(ValueError, match="negative eigenvalues"):
        frechet_distance_of(mean, indefinite, mean, torch.eye(2).double())
    with pytest.raises(ValueError, match="of 2 and 3 dimensions"):
        distance(features(9, 2, 0), features(9, 3, 0))
    with pytest.raises(ValueError, match="at least two rows; got 1"):
        distance(features(1, 2, 0), features(9, 2, 0))


def test_a_kept_reference_gives_the_same_distances_and_is_factored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, cholesky = [], torch.linalg.cholesky_ex
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda x: calls.append(x) or cholesky(x))
    moments = [Moments.of([features(200, 32, seed)]) for seed in range(4)]
    start = Gaussian.of(moments[0])
    kept = [start.distance_to(Gaussian.of(other)) for other in moments[1:]]
    assert len(calls) == 1
    assert kept == [frechet_distance(moments[0], other) for other in moments[1:]]


@pytest.mark.parametrize(("n", "m"), [(40, 60), (40, 900), (900, 40)])
def test_few_rows_cost_no_decomposition_of_a_covariance(monkeypatch: pytest.MonkeyPatch, n: int, m: int) -> None:
    sides = []
    for name in ("cholesky_ex", "eigh", "eigvalsh", "svdvals"):
        real = getattr(torch.linalg, name)
        monkeypatch.setattr(torch.linalg, name, lambda x, real=real: sides.append(x.shape) or real(x))
    distance(features(n, 200, 0), features(m, 200, 1))
    assert sides
    assert all(max(side) <= 60 for side in sides)


def known_gaussians(d: int, seed: int) -> tuple[Callable[[int], Tensor], Callable[[int], Tensor], float]:
    """Two Gaussians with the same axes, as functions that draw n rows, and their distance."""
    generator = torch.Generator().manual_seed(seed)
    axes, a = rotation(d, seed), torch.logspace(0, -2, d, dtype=torch.float64)
    b = a * (0.5 + torch.rand(d, generator=generator, dtype=torch.float64))
    shift = 0.02 * torch.randn(d, generator=generator, dtype=torch.float64)

    def draw(n: int, variances: Tensor, mean: Tensor) -> Tensor:
        return (torch.randn(n, d, generator=generator, dtype=torch.float64) * variances.sqrt() + mean) @ axes.T

    truth = float(shift.square().sum() + (a.sqrt() - b.sqrt()).square().sum())
    return (lambda n: draw(n, a, torch.zeros_like(shift))), (lambda n: draw(n, b, shift)), truth


def test_the_limit_is_nearer_to_the_true_distance_than_the_distance_itself() -> None:
    """Seeds 0 to 7. The distance is 0.23 too large on average, the limit 0.004, both with a spread of 0.04."""
    errors = []
    for seed in range(8):
        reference, generated, truth = known_gaussians(64, seed)
        moments, samples = Moments.of([reference(12_800)]), generated(640)
        limit = fd_infinity(moments, samples, torch.Generator().manual_seed(seed))
        errors.append([frechet_distance(moments, Moments.of([samples])) - truth, limit - truth])
    plain, limits = torch.tensor(errors).T
    assert bool((limits.abs() < plain.abs() / 2).all())
    assert abs(float(limits.mean())) < float(plain.mean()) / 8


def test_the_limit_is_the_intercept_of_a_line_in_one_over_n() -> None:
    reference, generated, _ = known_gaussians(8, 0)
    moments, samples = Moments.of([reference(1000)]), generated(400)
    found = fd_infinity(moments, samples, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    sizes = [int(size) for size in np.linspace(40, 400, 15)]
    distances = [
        frechet_distance(moments, Moments.of([samples[torch.randperm(400, generator=generator)[:size]]]))
        for size in sizes
    ]
    slope, intercept = np.polyfit(1 / np.array(sizes), distances, 1)
    assert found == pytest.approx(intercept, rel=1e-9)
    assert slope > 0
    assert found == fd_infinity(moments, samples, torch.Generator().manual_seed(3))
    assert found != fd_infinity(moments, samples, torch.Generator().manual_seed(4))


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() == 0, reason="no CUDA device")
@pytest.mark.parametrize(("n", "m"), [(400, 300), (40, 60), (40, 300)])
def test_a_cuda_device_finds_the_distance_that_the_processor_finds(n: int, m: int) -> None:
    a, b = features(n, 128, 0), features(m, 128, 1)
    assert distance(a.cuda(), b.cuda()) == pytest.approx(distance(a, b), rel=1e-7)


def scores_of(n: int, m: int, d: int) -> tuple[Moments, Moments]:
    return Moments.of([features(n, d, 0)]), Moments.of([features(m, d, 1)])


def test_fd_of_enough_rows_is_the_distance_without_a_caution() -> None:
    real, generated = scores_of(50, 40, 16)
    score = plugin.fd(real, generated)
    assert (score.value, score.caution) == (frechet_distance(real, generated), "")
    assert not score.disqualifies


def test_a_covariance_of_too_low_a_rank_gives_a_caution_that_says_what_to_do() -> None:
    caution = plugin.fd(*scores_of(50, 10, 16)).caution
    rank = "rank at most 9 of 16 dimensions, which biases the distance upwards"
    assert caution == f"the covariance of 10 samples has {rank}; more samples: --samples"
    assert "15 training rows has rank at most 14 of 16" in plugin.fd(*scores_of(15, 40, 16)).caution
    assert plugin.fd(*scores_of(9, 8, 16)).caution.count("the covariance of") == 2
    assert plugin.fd(*scores_of(17, 17, 16)).caution == ""


@pytest.mark.parametrize("features", ["inception", "inception[preset=clean]"])
def test_fid_is_fd_on_inception_features(features: str) -> None:
    real, generated = scores_of(50, 10, 16)
    chosen = convert("fid", plugin.fid, {"features": features})
    assert plugin.fid(real, generated, **chosen) == plugin.fd(real, generated, features=features)


@pytest.mark.parametrize("features", ["classifier", "", "inceptions", "my.inception", "pixels[of=inception]"])
def test_fid_refuses_features_of_anything_else(features: str) -> None:
    with pytest.raises(ParameterError, match=r"fid: features=.* is inception or inception\[\.\.\.\]"):
        convert("fid", plugin.fid, {"features": features})
    assert convert("fid", plugin.fid, {"features": "inception[preset=clean]"})


def test_fd_inf_is_the_limit_and_cautions_only_of_the_training_rows() -> None:
    samples, generator = features(100, 16, 1), torch.Generator().manual_seed(0)
    score = plugin.fd_inf(Moments.of([features(10, 16, 0)]), samples, generator)
    again = torch.Generator().manual_seed(0)
    assert score.value == fd_infinity(Moments.of([features(10, 16, 0)]), samples, again)
    assert score.caution.startswith("the covariance of 10 training rows has rank at most 9 of 16")
    assert plugin.fd_inf(Moments.of([features(50, 16, 0)]), samples, generator).caution == ""


def test_fd_inf_says_how_many_samples_it_needs() -> None:
    real = Moments.of([features(50, 16, 0)])
    with pytest.raises(NotApplicableError, match="16 features needs 64 samples; got 63: raise --samples"):
        plugin.fd_inf(real, features(63, 16, 1), torch.Generator())
    assert math.isfinite(plugin.fd_inf(real, features(64, 16, 1), torch.Generator()).value)


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (5, 0), (0, 5)])
def test_fewer_than_two_rows_have_no_distance(n: int, m: int) -> None:
    real, generated = (Moments.of([torch.zeros(rows, 3)]) for rows in (n, m))
    with pytest.raises(NotApplicableError, match="at least two rows on each side"):
        plugin.fd(real, generated)
    if n < 2:
        with pytest.raises(NotApplicableError, match="at least two rows on each side"):
            plugin.fd_inf(real, torch.zeros(m, 3), torch.Generator())


def test_the_plugin_provides_fd_unasked_and_the_others_by_name_and_lower_is_better() -> None:
    metrics = {metric.name: metric for metric in plugin.benchsuite_metrics()}
    assert {name: metric.default for name, metric in metrics.items()} == {"fd": True, "fid": False, "fd_inf": False}
    assert all(metric.direction == "min" for metric in metrics.values())
    assert {name: metric.kind for name, metric in metrics.items()} == {"fd": None, "fid": "image", "fd_inf": None}
    assert metrics["fd"].version == 2
