"""PCA is scikit-learn's, its density that of probabilistic PCA, and its fit needs no more memory for more samples."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CommandLine
from sklearn import decomposition
from sklearn.datasets import load_digits
from torch.distributions import MultivariateNormal

from benchsuite import DataSpec, NotApplicableError, ParameterError, Run, Samples
from benchsuite_plugins.methods.pca import PCA, PCAModel

CPU = torch.device("cpu")


def fitted(x: torch.Tensor, d: int) -> PCAModel:
    samples = Samples(x)
    model = PCA().build(DataSpec(samples.shape, samples.kind, len(samples), d))
    PCA().fit(model, samples, Run(seed=0, device=CPU))
    return model


def digits() -> torch.Tensor:
    """1797 images of 8 x 8 px, some pixels of which are 0 in all."""
    return torch.from_numpy(load_digits().images[:, None] / 16).float()


def noise(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    """Rows whose standard deviations fall from 3 to 0.3."""
    scale = torch.linspace(3, 0.3, dim)
    return 1 + scale * torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def covariance(model: PCAModel) -> torch.Tensor:
    """The dense covariance of the model's density, (D, D)."""
    axes, variances = model.axes.double(), model.prior.std.double().square()
    outside = torch.eye(axes.shape[1]).double() - axes.T @ axes
    return axes.T @ torch.diag(variances) @ axes + model.noise_variance.double() * outside


@pytest.mark.parametrize("d", [1, 8, 40])
def test_the_model_is_that_of_scikit_learns_full_solver(d: int) -> None:
    x = digits()
    model, oracle = fitted(x, d), decomposition.PCA(d, svd_solver="full").fit(x.flatten(1).double().numpy())
    z = model.encode(x)
    expected = torch.from_numpy(oracle.transform(x.flatten(1).double().numpy()))
    signs = (z.double() * expected).sum(0).sign()
    assert torch.allclose(z.double() * signs, expected, atol=1e-5)
    assert np.allclose(model.prior.std.double().square(), oracle.explained_variance_, rtol=1e-5)
    back = torch.from_numpy(oracle.inverse_transform(expected.numpy())).clamp(0, 1)
    assert torch.allclose(model.decode(z).flatten(1).double(), back, atol=1e-5)


@pytest.mark.parametrize("d", [1, 8, 40])
def test_log_prob_is_scikit_learns_score_of_samples(d: int) -> None:
    x = digits()
    oracle = decomposition.PCA(d, svd_solver="full").fit(x.flatten(1).double().numpy())
    expected = oracle.score_samples(x.flatten(1).double().numpy())
    found = fitted(x, d).log_prob(x)
    assert found.shape == (len(x),) and found.dtype == torch.float64
    assert np.allclose(found.numpy(), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("n", "dim", "d"), [(200, 6, 2), (200, 6, 6), (200, 1, 1), (20, 50, 5)])
def test_log_prob_is_that_of_a_normal_with_the_dense_covariance(n: int, dim: int, d: int) -> None:
    x = noise(n, dim)
    model = fitted(x, d)
    normal = MultivariateNormal(model.mean.double(), covariance(model))
    assert torch.allclose(model.log_prob(x), normal.log_prob(x.double()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d", [1, 2])
def test_the_density_integrates_to_one(d: int) -> None:
    model = fitted(noise(100, 2), d)
    line = torch.linspace(-30, 30, 601)  # 10 deviations to each side, in steps of a third of the smaller one
    grid = torch.cartesian_prod(line, line)
    assert float(model.log_prob(grid).exp().sum()) * 0.1**2 == pytest.approx(1, abs=1e-3)


def test_log_prob_forms_no_matrix_of_all_pixels() -> None:
    """Such a one would take 80 GB here."""
    x = noise(5, 100_000)
    model = fitted(x, 2)
    assert bool(model.log_prob(x).isfinite().all())


def test_a_loaded_model_has_the_same_density() -> None:
    x = noise(50, 6)
    model = fitted(x, 2)
    loaded = PCA().build(DataSpec((6,), "vector", 50, 2))
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(model.log_prob(x), loaded.log_prob(x))


@pytest.mark.parametrize(("n", "dim", "d"), [(10, 20, 9), (100, 6, 5), (100, 6, 6)], ids=str)
def test_where_a_direction_has_no_variance_there_is_no_density(n: int, dim: int, d: int) -> None:
    x = noise(n, dim)
    if n > dim:
        x[:, 0] = 0.5
    with pytest.raises(NotApplicableError, match="no density: .* no variance in some directions"):
        fitted(x, d).log_prob(x)


@pytest.mark.parametrize(("n", "shape", "most"), [(10, (1, 8, 8), 9), (100, (1, 8, 8), 64), (100, (6,), 6)])
def test_more_components_than_the_data_can_have_are_refused(n: int, shape: tuple[int, ...], most: int) -> None:
    kind = "image" if len(shape) == 3 else "vector"
    PCA().build(DataSpec(shape, kind, n, most))
    with pytest.raises(ParameterError, match=rf"latent_dim={most + 1} is not allowed; .* allow at most {most}"):
        PCA().build(DataSpec(shape, kind, n, most + 1))


def test_a_cell_with_too_many_components_ends_before_it_is_trained(command_line: CommandLine) -> None:
    command_line("run", "-m", "pca[latent_dim=257]", "--metrics", "psnr", "--out", "out", check=1)
    (path,) = Path("out").glob("cells/*/record.json")
    record = json.loads(path.read_text())
    assert record["status"] == "error"
    assert record["reason"] == ("pca: latent_dim=257 is not allowed; 1740 samples of 256 numbers allow at most 256")
    assert "fit" not in {phase["phase"] for phase in record["phases"]}
    with Path("out/results.csv").open() as file:
        assert {row["status"] for row in csv.DictReader(file)} == {"error"}


# Fits rows that are made when they are read, few of them and then many, and prints the peak of memory above the start.
MEASURE = """
import sys
import torch
from benchsuite import DataSpec, Run, Samples
from benchsuite.kit import moments
from benchsuite.kit.timing import Timings
from benchsuite_plugins.methods.pca import PCA

class Made(Samples):
    streamed = False
    labels = None
    def __init__(self, n, dim):
        self.n, self.dim = n, dim
        scale = torch.arange(1, dim + 1) ** -0.6
        self.table = torch.randn(997, dim, generator=torch.Generator().manual_seed(0)) * scale
    def __len__(self):
        return self.n
    shape = property(lambda self: (self.dim,))
    kind = "vector"
    device = torch.device("cpu")
    def __getitem__(self, index):
        rows = torch.arange(*index.indices(self.n))
        return self.table[rows % 997] * (1 + (rows % 89)[:, None] / 89)

torch.set_num_threads(1)
dim, dense, numbers, *sizes = map(int, sys.argv[1:])
moments._DENSE, moments._BLOCK_NUMBERS = dense, numbers
for n in sizes:
    rows = Made(n, dim)
    timings = Timings(torch.device("cpu"))
    with timings.phase("fit"):
        model = PCA().build(DataSpec((dim,), "vector", n, 4))
        PCA().fit(model, rows, Run(seed=0, device=torch.device("cpu")))
    print(timings.phases[0].peak_host_mib)
"""


def peaks(dim: int, dense: int, numbers: int, *sizes: int) -> list[float]:
    """The peak memory in MiB of a fit to each number of rows, after a first one that loads what is loaded once.

    glibc is told to give back every block at once: what it would keep for later differs by 20 MiB from run to run.
    """
    command = [sys.executable, "-c", MEASURE, *map(str, (dim, dense, numbers, *sizes))]
    variables = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=200)
    printed = done.stdout.split()
    if "None" in printed:
        pytest.skip("this system does not tell how much memory a process had")
    return [float(line) for line in printed[1:]]


@pytest.mark.parametrize(("dense", "dim", "few", "many"), [(4096, 512, 8_000, 128_000), (128, 256, 2_000, 64_000)])
def test_memory_does_not_grow_with_the_number_of_samples(dense: int, dim: int, few: int, many: int) -> None:
    """By the covariance and by power iterations; all rows would take 234 and 60 MiB more."""
    small, large = peaks(dim, dense, 2**22, few, few, many)
    assert large - small < 16


def test_memory_of_wide_samples_is_that_of_two_blocks_and_the_gram_matrix() -> None:
    """Blocks of 4 MiB, N x N matrices of 2 MiB; all rows take 64 MiB as they are read and 128 in double precision."""
    (peak,) = peaks(32_768, 4096, 2**19, 32, 512)
    assert peak < 64
