"""Estimators and modules become methods that keep every promise of one, and those that cannot are refused by name."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.cluster
import sklearn.decomposition
import sklearn.mixture
import sklearn.neighbors
import sklearn.pipeline
import sklearn.preprocessing
import sklearn.random_projection
import torch
from conftest import CommandLine
from torch import Tensor, nn

import benchsuite
from benchsuite import (
    ContractError,
    Dataset,
    DataSpec,
    DivergedError,
    EstimatorMethod,
    Model,
    ModuleMethod,
    NotApplicableError,
    Run,
    Samples,
)
from benchsuite.harness.registry import PluginInfo, Registry, load_registry
from benchsuite.kit.coding import decoder_of, recovered_codes, reversed_codes
from benchsuite.kit.estimators import EstimatorModel
from benchsuite.kit.modules import ModuleModel
from benchsuite.kit.nets import sizes_of

PAGE = Path(__file__).parents[1] / "docs" / "plugins" / "adapters.md"
PLUGINS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
DIGITS: Dataset = load_registry().get("datasets", "digits")()
TRAIN = DIGITS.load("train", Path("unused")).subset(torch.arange(300))
TEST = DIGITS.load("test", Path("unused"))
DIM = 6


def spec_of(train: Samples, latent_dim: int = DIM) -> DataSpec:
    return DataSpec(train.shape, train.kind, len(train), latent_dim)


def run_of(seed: int = 0, **given: Any) -> Run:
    return Run(seed=seed, device=torch.device("cpu"), **given)


def fitted(method: Any, train: Samples = TRAIN, seed: int = 0, **run: Any) -> Any:
    """The model of ``method``, fitted as the runner does it."""
    torch.manual_seed(seed)
    model = method.build(spec_of(train))
    method.fit(model, train, run_of(seed, **run))
    return model.eval()


def draw(model: Model, n: int = 50, seed: int = 1) -> Tensor:
    with torch.no_grad():
        return model.sample(n, torch.Generator().manual_seed(seed))


def estimating(make: Callable[[DataSpec], Any], name: str = "mine") -> EstimatorMethod:
    """The method of the estimator that ``make`` makes."""
    body = {"name": name, "estimator": lambda self, spec: make(spec)}
    method: EstimatorMethod = type("Estimating", (EstimatorMethod,), body)()
    return method


def pca(spec: DataSpec) -> Any:
    return sklearn.decomposition.PCA(spec.latent_dim)


def rows_of(x: Tensor) -> np.ndarray[Any, Any]:
    return np.asarray(x.flatten(1).double())


def generators() -> tuple[Any, ...]:
    return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()


# The page


def loaded(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "printed"}
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), names)
    return names


def test_the_page_prints_an_estimator_a_mixture_and_a_module_in_ten_lines_each() -> None:
    """Whole files, blank lines apart; a hyper-parameter takes three more, and what is adapted is not counted."""
    assert [lines_of(code) for code in PLUGINS[:2]] == [10, 10]
    assert lines_of(PLUGINS[2]) == 13 and lines_of(PLUGINS[2].partition("@benchsuite.hookimpl")[0]) == 10
    network = PLUGINS[3][PLUGINS[3].index("class Autoencoder") : PLUGINS[3].index("class Mine")]
    assert lines_of(PLUGINS[3]) - lines_of(network) == 11  # two imports are the network's


def lines_of(code: str) -> int:
    return sum(bool(line.strip()) for line in code.splitlines())


@pytest.mark.parametrize("number", range(len(PLUGINS)))
def test_what_the_page_prints_is_a_plugin_whose_method_trains_and_samples(number: int) -> None:
    names = loaded(PLUGINS[number])
    module = type(benchsuite)("printed")
    module.__dict__.update(names)
    info = PluginInfo("printed", "printed", "docs", "0")
    Registry().add("printed", lambda: module, info)
    assert not info.problem and info.provides
    (cls,) = names["benchsuite_methods"]()
    method = cls(epochs=1) if issubclass(cls, ModuleMethod) else cls()
    x = draw(fitted(method), 5)
    assert x.shape == (5, 1, 16, 16) and float(x.min()) >= 0 and float(x.max()) <= 1


def test_a_class_without_fields_of_its_own_may_inherit_its_dataclass_and_one_with_fields_may_not() -> None:
    def problem(body: Mapping[str, Any]) -> str:
        cls = type("Some", (EstimatorMethod,), {"name": "some", "estimator": lambda self, spec: None, **body})
        module = type(benchsuite)("some")
        module.benchsuite_methods = benchsuite.hookimpl(_provider(cls))  # type: ignore[attr-defined]
        info = PluginInfo("some", "some", "docs", "0")
        Registry().add("some", lambda: module, info)
        return info.problem or ""

    assert problem({}) == ""
    assert "write @dataclass(frozen=True) above it" in problem({"__annotations__": {"size": int}, "size": 3})


def _provider(cls: type) -> Any:
    def benchsuite_methods() -> list[type]:
        return [cls]

    return benchsuite_methods


def test_the_plugins_of_the_page_run_from_files_and_every_row_is_ok_or_skipped(
    command_line: CommandLine, tmp_path: Path
) -> None:
    """Metrics that search codes, and those that count torch's operations, among them."""
    flags = []
    for name, code in zip(("my_pca", "my_gmm", "mine"), (PLUGINS[0], PLUGINS[2], PLUGINS[3]), strict=True):
        (tmp_path / f"{name}.py").write_text(code)
        flags += ["--plugin", str(tmp_path / f"{name}.py")]
    metrics = (
        "psnr,psnr[codes_by=mse],psnr[codes_by=reversal],psnr_generated,local_convexity,flops,parameters,log_prob,fd"
    )
    selection = "sk_pca,gmm[components=3],mine[epochs=2]"
    run = ["-m", selection, "--metrics", metrics, "--subset", "200", "--samples", "200", "--out", "run"]
    command_line("run", *flags, *run, env={"BENCHSUITE_TEST": "1"}, check=0)
    import pandas as pd

    rows = pd.read_csv(tmp_path / "run" / "results.csv").set_index(["method", "metric"])
    assert set(rows.status) == {"ok", "skipped"}
    no_gradient = ["psnr[codes_by=mse]", "psnr[codes_by=reversal]", "psnr_generated", "local_convexity"]
    for metric in no_gradient:
        assert rows.reason["sk_pca", metric].startswith("decode has no gradient")
        assert rows.reason["gmm[components=3]", metric] == "the method has no decode"
    assert "outside of torch" in rows.reason["sk_pca", "flops"]
    for metric in ("psnr", "log_prob", "fd", "parameters"):
        assert rows.status["sk_pca", metric] == "ok"
    assert {rows.status["gmm[components=3]", metric] for metric in ("log_prob", "fd", "parameters")} == {"ok"}
    assert set(rows.loc["mine[epochs=2]"].query("status == 'skipped'").index) == {"log_prob"}


# Estimators


def test_the_adapter_of_pca_is_sklearns_pca() -> None:
    model = fitted(estimating(pca))
    oracle = sklearn.decomposition.PCA(DIM).fit(rows_of(TRAIN[:]))
    x = TEST[:]
    z = oracle.transform(rows_of(x))
    torch.testing.assert_close(model.encode(x), torch.from_numpy(z).float())
    expected = torch.from_numpy(oracle.inverse_transform(z)).float().clamp(0, 1).view(x.shape)
    torch.testing.assert_close(model.decode(model.encode(x)), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.log_prob(x), torch.from_numpy(oracle.score_samples(rows_of(x))).float())
    assert model.latent_dim == DIM and {model.encode(x).dtype, model.decode(model.encode(x)).dtype} == {torch.float32}


def test_the_adapter_of_pca_reconstructs_and_samples_as_the_built_in_pca_does() -> None:
    ours, built_in = fitted(estimating(pca)), fitted(load_registry().get("methods", "pca")(), TRAIN)
    x = TEST[:]
    torch.testing.assert_close(ours.decode(ours.encode(x)), built_in.decode(built_in.encode(x)), rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.prior.std, built_in.prior.std, rtol=1e-3, atol=0)
    torch.testing.assert_close(draw(ours, 4000).mean(0), draw(built_in, 4000).mean(0), rtol=0, atol=0.03)


def vectors(n: int = 3000) -> Samples:
    """Two Gaussians in the plane, at (-2, 0) and (2, 1), of scales (0.3, 1) and (0.5, 0.2)."""
    generator = torch.Generator().manual_seed(0)
    means, scales = torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), torch.tensor([[0.3, 1.0], [0.5, 0.2]])
    which = torch.randint(2, (n,), generator=generator)
    return Samples(means[which] + scales[which] * torch.randn(n, 2, generator=generator))


def mixture(spec: DataSpec) -> Any:
    return sklearn.mixture.GaussianMixture(2, covariance_type="diag")


def test_the_density_of_a_mixture_is_sklearns() -> None:
    train = vectors()
    torch.manual_seed(5)
    seed = int(torch.randint(2**31 - 1, ()))
    oracle = mixture(spec_of(train)).set_params(random_state=seed).fit(rows_of(train[:]))
    model = fitted(estimating(mixture), train, seed=5)
    expected = torch.from_numpy(oracle.score_samples(rows_of(train[:100]))).float()
    torch.testing.assert_close(model.log_prob(train[:100]), expected)
    assert not any(hasattr(model, name) for name in ("encode", "decode", "latent_dim", "prior", "elbo"))


def test_samples_of_a_mixture_have_its_mean_and_covariance_and_come_in_random_order() -> None:
    """Of 40,000 samples, whose standard errors are below 0.015; the generator's seed is 1."""
    model = fitted(estimating(mixture), vectors())
    gmm, x = model.estimator, draw(model, 40_000).double()
    mean = gmm.weights_ @ gmm.means_
    spread = gmm.means_ - mean
    covariance = np.diag(gmm.weights_ @ gmm.covariances_) + (gmm.weights_[:, None] * spread).T @ spread
    torch.testing.assert_close(x.mean(0), torch.from_numpy(mean), rtol=0, atol=0.05)
    torch.testing.assert_close(x.T.cov(), torch.from_numpy(covariance), rtol=0, atol=0.08)
    left = x[:, 0] < 0
    assert 0.4 < float(left[:1000].double().mean()) < 0.6  # sklearn's own come one component after the other


@pytest.mark.parametrize("stated", [None, 3], ids=["random_state of the run", "random_state stated"])
@pytest.mark.parametrize("make", [pca, mixture])
def test_samples_follow_the_generator_and_leave_global_generators_alone(
    make: Callable[[DataSpec], Any], stated: int | None
) -> None:
    method = estimating(lambda spec: make(spec).set_params(random_state=stated))
    model = fitted(method)
    before = generators()
    first, again, other = draw(model), draw(model), draw(model, seed=2)
    if hasattr(model, "encode"):
        model.decode(model.encode(TEST[:]))
    model.log_prob(TEST[:])
    assert generators() == before
    assert torch.equal(first, again) and not torch.equal(first, other)


def clusters(random_state: int | None = None) -> EstimatorMethod:
    return estimating(
        lambda spec: sklearn.mixture.GaussianMixture(
            5, covariance_type="diag", init_params="random", max_iter=3, random_state=random_state
        )
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_seed_decides_the_fit_unless_the_estimator_states_one() -> None:
    def means(seed: int, random_state: int | None = None) -> Tensor:
        state = fitted(clusters(random_state), seed=seed).state_dict()["_extra_state"]
        found: Tensor = state["means_"]
        return found

    assert torch.equal(means(0), means(0)) and not torch.equal(means(0), means(1))
    assert torch.equal(means(0, random_state=7), means(1, random_state=7))


KEPT: list[type] = [
    sklearn.decomposition.PCA,
    sklearn.decomposition.IncrementalPCA,
    sklearn.decomposition.TruncatedSVD,
    sklearn.decomposition.FastICA,
    sklearn.decomposition.NMF,
    sklearn.decomposition.DictionaryLearning,
    sklearn.decomposition.MiniBatchDictionaryLearning,
    sklearn.decomposition.SparsePCA,
    sklearn.decomposition.MiniBatchSparsePCA,
    sklearn.random_projection.GaussianRandomProjection,
    sklearn.mixture.GaussianMixture,
    sklearn.mixture.BayesianGaussianMixture,
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", KEPT)
def test_a_saved_estimator_is_the_same_estimator(kind: Any, tmp_path: Path) -> None:
    """By way of a file that is read with weights_only, in a model that was built anew."""

    def make(spec: DataSpec) -> Any:
        estimator = kind(n_components=3)
        return estimator.set_params(max_iter=5) if "max_iter" in estimator.get_params() else estimator

    train = TRAIN.subset(torch.arange(80))
    torch.manual_seed(0)
    method, spec = estimating(make), spec_of(train, latent_dim=3)
    model, untrained = method.build(spec), method.build(spec)
    assert not untrained.get_extra_state() and not untrained.learnt_numbers
    method.fit(model, train, run_of())
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.manual_seed(99)
    again = method.build(spec)
    again.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(draw(model), draw(again))
    for call in ("encode", "log_prob"):
        if hasattr(model, call):
            assert torch.equal(getattr(model, call)(TEST[:]), getattr(again, call)(TEST[:]))
    for attribute, value in vars(model.estimator).items():
        if attribute in model.get_extra_state():
            restored = getattr(again.estimator, attribute)
            assert type(restored) is type(value) and np.array_equal(restored, value)


def test_the_page_names_the_estimators_that_are_tried_here() -> None:
    page = PAGE.read_text()
    assert all(f"`{kind.__name__}`" in page for kind in KEPT)


class Learner:
    """An estimator whose samples are what it has ``learnt_``."""

    def __init__(self, learnt: Any, **others: Any) -> None:
        self.given, self.others = learnt, others

    def fit(self, x: np.ndarray[Any, Any]) -> Learner:
        self.learnt_ = self.given
        self.width_ = x.shape[1]
        vars(self).update(self.others)
        return self

    def sample(self, n: int) -> np.ndarray[Any, Any]:
        return np.random.rand(n, self.width_)


@dataclass
class Tree:
    """What is no number."""

    depth: int = 3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda spec: sklearn.neighbors.KernelDensity(),
            r"kde: the fitted attribute 'tree_' of KernelDensity is a KDTree; only numbers and arrays can be kept",
        ),
        (lambda spec: Learner(Tree()), "kde: the fitted attribute 'learnt_' of Learner is a Tree; only numbers"),
        (lambda spec: Learner([1.0, {"a": 2.0}]), "'learnt_' of Learner is a dict;"),
        (lambda spec: Learner("text"), "'learnt_' of Learner is a str;"),
        (lambda spec: Learner(np.array(["a"])), "'learnt_' of Learner is a ndarray of <U1;"),
        (lambda spec: Learner(np.array(["2020"], "M8[D]")), r"'learnt_' of Learner is a ndarray of datetime64\[D\];"),
        (lambda spec: Learner(np.zeros(2, ">f4,>i2")), "'learnt_' of Learner is a ndarray of .*; only numbers and"),
        (lambda spec: Learner(pca(spec)), "'learnt_' of Learner is a PCA;"),
        (
            lambda spec: sklearn.pipeline.make_pipeline(sklearn.preprocessing.StandardScaler(), pca(spec)),
            "kde: Pipeline keeps no fitted attributes of its own, .* nothing of it could be kept; .* write a Method",
        ),
        (
            lambda spec: sklearn.decomposition.KernelPCA(spec.latent_dim, fit_inverse_transform=True),
            "kde: transform of KernelPCA needs more than is kept of it, .* alone it fails with AttributeError",
        ),
        (
            lambda spec: sklearn.decomposition.MiniBatchNMF(spec.latent_dim),
            "kde: transform of MiniBatchNMF needs more than is kept of it",
        ),
        (
            lambda spec: sklearn.decomposition.PCA(3),
            r"transform\(x\) of PCA returned shape \(\d+, 3\); .*latent_dim says",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name_when_the_fit_ends(
    make: Callable[[DataSpec], Any], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        fitted(estimating(make, "kde"))


class Forgetful(Learner):
    """One whose samples depend on what has no underscore at its end, and is silently another number in a new one."""

    scale = 1.0

    def fit(self, x: np.ndarray[Any, Any]) -> Learner:
        self.scale = 0.5
        return super().fit(x)

    def sample(self, n: int) -> np.ndarray[Any, Any]:
        return self.scale * super().sample(n)


def test_an_estimator_that_would_come_back_as_another_is_refused() -> None:
    with pytest.raises(
        ContractError, match="sample of Forgetful needs more .* with these alone it returns other numbers"
    ):
        fitted(estimating(lambda spec: Forgetful(1.0)))


def test_numbers_of_every_kind_come_back_as_they_were() -> None:
    learnt: list[Any] = [
        True,
        3,
        2.5,
        None,
        np.float32(0.1),
        np.arange(3, dtype=np.uint8),
        (np.asfortranarray(np.eye(2)), 1),
    ]
    model = fitted(estimating(lambda spec: Learner(learnt)))
    again = estimating(lambda spec: Learner(None)).build(spec_of(TRAIN))
    again.set_extra_state(copy.deepcopy(model.get_extra_state()))
    found = again.estimator.learnt_
    assert [type(value) for value in found] == [type(value) for value in learnt]
    assert found[:5] == learnt[:5] and found[5].dtype == np.uint8 and np.array_equal(found[5], learnt[5])
    assert np.array_equal(found[6][0], np.eye(2)) and found[6][0].flags.f_contiguous and found[6][1] == 1


@pytest.mark.parametrize("order", "<>")
def test_numbers_in_either_byte_order_are_kept_and_returned(order: str) -> None:
    learnt = np.asfortranarray(np.arange(6.0).reshape(2, 3)).astype(f"{order}f4")
    model = fitted(estimating(lambda spec: Stored(learnt)))
    again = estimating(lambda spec: Stored(None)).build(spec_of(TRAIN))
    again.set_extra_state(copy.deepcopy(model.get_extra_state()))
    found = again.estimator.learnt_
    assert np.array_equal(found, learnt) and found.dtype == np.float32 and found.flags.f_contiguous
    assert torch.equal(draw(again), draw(model)) and draw(model).unique().tolist() == [0.0, 1.0]


class Stored(Learner):
    """One that returns what has the byte order, or the type, of what it was given."""

    def sample(self, n: int) -> np.ndarray[Any, Any]:
        kind = np.float64 if self.given is None else self.given.dtype
        return (np.arange(n * self.width_) % 2).reshape(n, self.width_).astype(kind)


def test_an_answer_that_is_no_numbers_is_refused_by_the_call() -> None:
    model = fitted(estimating(lambda spec: Stored(np.zeros(2))))
    model.estimator.given = np.array(["a"])
    with pytest.raises(ContractError, match="mine: sample of Stored returned a ndarray of <U1; numbers are needed"):
        draw(model)


def test_estimators_that_draw_from_numpys_global_generator_follow_the_given_one() -> None:
    model = fitted(estimating(lambda spec: Learner(1.0)))
    before = generators()
    assert torch.equal(draw(model), draw(model)) and not torch.equal(draw(model), draw(model, seed=2))
    assert generators() == before


def test_learnt_nan_is_a_divergence() -> None:
    with pytest.raises(DivergedError, match="mine: the fitted attribute 'learnt_' of Learner holds NaN"):
        fitted(estimating(lambda spec: Learner([1.0, np.array([0.0, np.nan])])))
    fitted(estimating(lambda spec: Learner(np.array([np.inf]))))  # which may be meant


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda spec: sklearn.cluster.KMeans(3), r"mine: KMeans has neither sample\(n\) nor both transform\(x\) and"),
        (lambda spec: sklearn.decomposition.FactorAnalysis(3), "FactorAnalysis has neither"),
        (lambda spec: sklearn.decomposition.PCA, "returned <class .*PCA'>; an object with fit"),
        (lambda spec: None, "returned None; an object with fit"),
    ],
)
def test_an_estimator_without_samples_is_refused_when_it_is_built(
    make: Callable[[DataSpec], Any], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        estimating(make).build(spec_of(TRAIN))


def test_an_estimator_that_is_not_fitted_says_so() -> None:
    model = estimating(pca).build(spec_of(TRAIN))
    with pytest.raises(NotApplicableError, match="mine: PCA can do nothing before it is fitted"):
        model.encode(TEST[:])


def test_what_an_estimator_learnt_is_counted() -> None:
    model = fitted(estimating(pca))
    numbers = DIM * 256 + 256 + 3 * DIM + 1  # axes, mean, three spectra, variance of the noise
    assert sizes_of(model) == (numbers, None)


def test_a_search_for_codes_through_an_estimator_is_no_result_but_not_applicable() -> None:
    model = fitted(estimating(pca))
    for search in (recovered_codes, reversed_codes):
        with pytest.raises(NotApplicableError, match="decode has no gradient"):
            search(model, TEST, torch.Generator())
    z = torch.zeros(3, DIM)
    assert decoder_of(model)(z).shape == (3, 1, 16, 16)
    with torch.no_grad():
        decoder_of(model)(z.requires_grad_())
    with torch.enable_grad(), pytest.raises(NotApplicableError, match="decode has no gradient"):
        decoder_of(model)(z)


class Counting(sklearn.decomposition.PCA):  # type: ignore[misc]
    """PCA that counts its fits."""

    fits = 0

    def fit(self, x: Any, y: Any = None) -> Any:
        Counting.fits += 1
        return super().fit(x)


def test_a_fit_that_has_ended_is_not_made_again_after_an_interruption(tmp_path: Path) -> None:
    Counting.fits = 0
    method = estimating(lambda spec: Counting(spec.latent_dim))
    whole = fitted(method, checkpoint=tmp_path / "checkpoint.pt")
    again = fitted(method, seed=1, checkpoint=tmp_path / "checkpoint.pt")
    assert Counting.fits == 1 and torch.equal(draw(whole), draw(again))


def test_samples_are_where_the_model_is() -> None:
    """On a device without numbers, which is all of a device that needs to be there."""
    model = fitted(estimating(mixture)).to("meta")
    assert draw(model, 3).device.type == "meta"


# Modules


class Net(nn.Module):
    """An autoencoder with a batch norm, so that there are buffers, and its modes differ."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int) -> None:
        super().__init__()
        size = int(np.prod(shape))
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(size, 32), nn.BatchNorm1d(32), nn.Linear(32, latent_dim))
        self.head = nn.Sequential(nn.Linear(latent_dim, size), nn.Unflatten(1, shape))

    def encode(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return found

    def decode(self, z: Tensor) -> Tensor:
        found: Tensor = self.head(z)
        return found


def moduling(make: Callable[[DataSpec], Any] | None = None, **given: Any) -> ModuleMethod:
    """The method of the module that ``make`` makes."""
    make = make or (lambda spec: Net(spec.shape, spec.latent_dim))
    body = {"name": "net", "module": lambda self, spec: make(spec)}
    method: ModuleMethod = type("Moduling", (ModuleMethod,), body)(**({"epochs": 2, "batch_size": 32} | given))
    return method


def test_a_module_learns_to_reconstruct_digits() -> None:
    models = fitted(moduling(epochs=0)), fitted(moduling(epochs=30, learning_rate=3e-3))

    def error(model: Any) -> float:
        return float((model.decode(model.encode(TEST[:])) - TEST[:]).square().mean())

    with torch.no_grad():
        before, after = (error(model) for model in models)
    assert after < 0.05 < before


def test_the_default_prior_is_the_gaussian_of_the_codes_in_eval_mode() -> None:
    model = fitted(moduling())
    with torch.no_grad():
        codes = model.encode(TRAIN[:])
    torch.testing.assert_close(model.prior.mean, codes.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.prior.factor @ model.prior.factor.T, codes.T.cov(), rtol=1e-3, atol=1e-4)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        assert torch.equal(draw(model, 9), model.decode(model.prior.sample(9, generator)))


def test_a_saved_module_is_the_same_module(tmp_path: Path) -> None:
    method = moduling()
    model = fitted(method)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.manual_seed(99)
    again = method.build(spec_of(TRAIN)).eval()
    again.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(draw(model), draw(again))


def test_the_seed_decides_the_fit_of_a_module() -> None:
    first, again, other = (fitted(moduling(), seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


class _CutError(Exception):
    """Stands for a kill."""


class Cutting(Run):
    """A run that is killed after its third step."""

    def step(self, *arguments: Any, **keywords: Any) -> None:
        super().step(*arguments, **keywords)
        if self.steps == 2:
            raise _CutError


class Noisy(Net):
    """One whose loss draws from the global generator."""

    def loss(self, x: Tensor) -> Tensor:
        z = self.encode(x)
        return (self.decode(z + 0.1 * torch.randn_like(z)) - x).square().mean()


@pytest.mark.parametrize("net", [Net, Noisy])
def test_a_fit_of_a_module_that_is_cut_off_resumes_to_the_same_bits(net: type[Net], tmp_path: Path) -> None:
    method = moduling(lambda spec: net(spec.shape, spec.latent_dim))
    whole = fitted(method).state_dict()
    checkpoint: dict[str, Any] = {"checkpoint": tmp_path / "checkpoint.pt", "checkpoint_seconds": 0.0}
    torch.manual_seed(0)
    with pytest.raises(_CutError):
        method.fit(method.build(spec_of(TRAIN)), TRAIN, Cutting(seed=0, device=torch.device("cpu"), **checkpoint))
    run = run_of(**checkpoint)
    assert run.resumed_at > 0
    torch.manual_seed(3)
    model = method.build(spec_of(TRAIN))
    method.fit(model, TRAIN, run)
    assert all(torch.equal(whole[key], value) for key, value in model.state_dict().items())


class Own(Net):
    """One with everything of its own."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int) -> None:
        super().__init__(shape, latent_dim)
        self.shape, self.losses = shape, 0

    def loss(self, x: Tensor) -> Tensor:
        self.losses += 1
        return (self.decode(self.encode(x)) - x).abs().mean()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return 3 * torch.rand(n, *self.shape, generator=generator) - 1

    def log_prob(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


def test_what_a_module_has_of_its_own_is_what_the_model_has() -> None:
    model = fitted(moduling(lambda spec: Own(spec.shape, spec.latent_dim)))
    assert model.module.losses == 2 * 10  # 300 rows in batches of 32
    expected = 3 * torch.rand(50, 1, 16, 16, generator=torch.Generator().manual_seed(1)) - 1
    assert torch.equal(draw(model), expected.clamp(0, 1))
    assert torch.equal(model.log_prob(TEST[:]), TEST[:].flatten(1).sum(1))
    assert not any(hasattr(model, name) for name in ("prior", "fitted_prior", "elbo", "codes", "anything"))


def test_a_prior_of_the_module_is_the_models() -> None:
    class WithPrior(Net):
        def __init__(self, shape: tuple[int, ...], latent_dim: int) -> None:
            super().__init__(shape, latent_dim)
            from benchsuite.kit.priors import NormalPrior

            self.prior = NormalPrior(latent_dim)

    model = fitted(moduling(lambda spec: WithPrior(spec.shape, spec.latent_dim)))
    assert model.prior is model.module.prior and not hasattr(model, "fitted_prior")
    with torch.no_grad():
        expected = model.decode(torch.randn(50, DIM, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(draw(model), expected)


def test_reconstructions_of_images_are_cut_to_their_range_and_those_of_vectors_are_not() -> None:
    class Loud(Net):
        def decode(self, z: Tensor) -> Tensor:
            return 10 * super().decode(z)

    method = moduling(lambda spec: Loud(spec.shape, spec.latent_dim), epochs=0)
    images, plain = fitted(method), fitted(method, vectors())
    with torch.no_grad():
        z = 5 * torch.randn(20, DIM, generator=torch.Generator().manual_seed(0))
        assert float(images.decode(z).min()) == 0 and float(images.decode(z).max()) == 1
        assert torch.equal(plain.decode(z), plain.module.decode(z))
        assert float(plain.decode(z).abs().max()) > 1


def without(*names: str) -> Callable[[DataSpec], nn.Module]:
    """A maker of a network that lacks these methods."""

    def make(spec: DataSpec) -> nn.Module:
        net = Net(spec.shape, spec.latent_dim)
        for name in names:
            setattr(net, name, None)
        return net

    return make


def with_(**methods: Any) -> Callable[[DataSpec], nn.Module]:
    """A maker of a network that has these as well."""

    def make(spec: DataSpec) -> nn.Module:
        body = {name: method and staticmethod(method) for name, method in methods.items()}
        net: nn.Module = type("Net", (Net,), body)(spec.shape, spec.latent_dim)
        return net

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda spec: 3, "net: module(spec) returned 3; a torch.nn.Module is needed"),
        (lambda spec: nn.Identity(), "net: Identity has no parameters to train"),
        (without("encode"), "net: Net needs loss(x), or both encode(x) and decode(z)"),
        (without("decode"), "net: Net needs loss(x), or both encode(x) and decode(z)"),
        (with_(sample=lambda n: None), "net: sample of Net takes (n); benchsuite calls sample(n, generator)"),
        (with_(loss=nn.MSELoss()), "net: loss of Net takes (input: torch.Tensor, target: torch.Tensor)"),
        (with_(loss=lambda x: x.mean(), encode=None), "net: Net needs sample(n, generator), or decode(z) and either"),
    ],
)
def test_a_module_that_cannot_be_trained_or_sampled_is_refused_when_it_is_built(
    make: Callable[[DataSpec], Any], message: str
) -> None:
    with pytest.raises(ContractError, match=re.escape(message)):
        moduling(make).build(spec_of(TRAIN))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda spec: Net(spec.shape, 3), "net: encode(x) of Net returned shape (32, 3); a tensor of shape (32, 6)"),
        (with_(encode=lambda x: (x, x)), "net: encode(x) of Net returned a tuple; a tensor of shape (32, 6) is needed"),
        (with_(decode=lambda z: z), "net: decode(z) of Net returned shape (32, 6); a tensor of shape (32, 1, 16, 16)"),
        (with_(loss=lambda x: x), "net: loss(x) of Net returned shape (32, 1, 16, 16); a tensor of shape () is needed"),
    ],
)
def test_a_module_whose_results_have_another_shape_is_refused(make: Callable[[DataSpec], Any], message: str) -> None:
    with pytest.raises(ContractError, match=re.escape(message)):
        fitted(moduling(make))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", [estimating(pca), estimating(mixture), moduling()], ids=["pca", "mixture", "module"])
def test_an_adapted_model_works_on_a_device_and_gives_what_it_gives_on_the_processor(method: Any) -> None:
    model: EstimatorModel | ModuleModel = fitted(method)
    on_cpu = draw(model), model.log_prob(TEST[:]) if hasattr(model, "log_prob") else TEST[:]
    model = model.to("cuda")
    x = TEST[:].cuda()
    on_gpu = draw(model), model.log_prob(x) if hasattr(model, "log_prob") else x
    for a, b in zip(on_gpu, on_cpu, strict=True):
        assert a.is_cuda
        torch.testing.assert_close(a.cpu(), b, rtol=1e-3, atol=1e-3)
    if hasattr(model, "encode"):
        assert model.encode(x).is_cuda and model.decode(model.encode(x)).is_cuda
