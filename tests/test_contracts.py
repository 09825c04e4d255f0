"""Every method, dataset, metric and extractor of the registry keeps its contract: a plugin is tested by existing."""

from __future__ import annotations

import functools
import inspect
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchsuite import Dataset, DataSpec, FeatureExtractor, Method, Metric, Model, Run, Samples
from benchsuite.errors import DataMissingError, NotApplicableError, ParameterError
from benchsuite.harness.binding import ARTEFACTS, bind_metric
from benchsuite.harness.outputs import check_output
from benchsuite.harness.recipe import Selection
from benchsuite.harness.registry import load_registry
from benchsuite.parameters import parameters_of

REGISTRY = load_registry()
METHODS = REGISTRY.names("methods")
SHAPES = [(channels, size, size) for size in (8, 16, 28, 32, 64, 128) for channels in (1, 3)]
ROWS = 33  # an odd last batch of one at batch_size=16


FILES = tempfile.TemporaryDirectory(prefix="benchsuite-contracts-")


@functools.cache
def made_elsewhere(shape: tuple[int, ...]) -> str:
    """The file of 40 samples that a method reads where it needs one."""
    path = Path(FILES.name) / f"{'x'.join(map(str, shape))}.npz"
    generator, images, size = np.random.default_rng(6), len(shape) == 3, (40, *shape)
    np.savez(path, samples=generator.integers(256, size=size, dtype="uint8") if images else generator.normal(size=size))
    return str(path)


def quick(name: str, shape: tuple[int, ...]) -> Method:
    """The method, small and brief where it has such knobs, for data of this ``shape``."""
    cls = REGISTRY.get("methods", name)
    wanted: dict[str, Any] = {"epochs": 1, "batch_size": 16, "width": 4, "prior_width": 4}
    wanted |= {"reversal_steps": 2, "prior_epochs": 1, "retraining_epochs": 1}
    wanted |= {"path": made_elsewhere(shape)} if "path" in parameters_of(cls) else {}
    method: Method = cls(**{key: value for key, value in wanted.items() if key in parameters_of(cls)})
    return method


def pictures(shape: tuple[int, ...], rows: int = ROWS) -> Samples:
    generator = torch.Generator().manual_seed(5)
    return Samples(torch.randint(256, (rows, *shape), generator=generator).to(torch.uint8))


def data(shape: tuple[int, ...], rows: int = ROWS) -> Samples:
    """Images or vectors, by the length of ``shape``."""
    return pictures(shape, rows) if len(shape) == 3 else Samples(torch.randn(rows, *shape))


def fitted(name: str, train: Samples, seed: int = 0, **run: Any) -> tuple[Model, DataSpec]:
    """The method ``name``, fitted as the runner does it; skips where it says that it cannot apply."""
    torch.manual_seed(seed)
    spec = DataSpec(train.shape, train.kind, len(train), latent_dim=2)
    method = quick(name, train.shape)
    model = method.build(spec)
    method.fit(model, train, Run(seed=seed, device=torch.device("cpu"), **run))
    return model.eval(), spec


def draw(model: Model, n: int = 5, seed: int = 1) -> Tensor:
    with torch.no_grad():
        return model.sample(n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [*SHAPES, (6,)], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_samples_have_the_shape_and_range_of_the_data(name: str, shape: tuple[int, ...]) -> None:
    model, spec = fitted(name, data(shape, rows=18))
    dataset: Dataset = REGISTRY.get("datasets", "digits")()
    for n in (1, 5):
        check_output(name, f"sample({n})", draw(model, n), n, spec, dataset)


@pytest.mark.parametrize("rows", [3, 16, 31, 33], ids=lambda n: f"{n} rows")
@pytest.mark.parametrize("shape", [(1, 8, 8), (6,)], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_any_number_of_rows_will_do(name: str, shape: tuple[int, ...], rows: int) -> None:
    """Fewer than a batch of 16, just one, an odd last batch, and a last batch of one."""
    model, _ = fitted(name, data(shape, rows))
    assert bool(draw(model).isfinite().all())


@pytest.mark.parametrize("shape", [(1, 8, 8), (6,)], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_half_precision_trains_and_leaves_a_model_in_single(name: str, shape: tuple[int, ...]) -> None:
    model, _ = fitted(name, data(shape), precision="bf16")
    assert all(value.dtype != torch.bfloat16 for value in model.state_dict().values())
    assert draw(model).dtype == torch.float32 and bool(draw(model).isfinite().all())


@pytest.mark.parametrize("name", METHODS)
def test_samples_follow_the_generator_and_nothing_else(name: str) -> None:
    model, _ = fitted(name, pictures((1, 8, 8)))
    before = torch.get_rng_state()
    first, again, other = draw(model, 20), draw(model, 20), draw(model, 20, seed=2)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", METHODS)
def test_the_seed_decides_the_fit(name: str) -> None:
    def state(seed: int) -> dict[str, Tensor]:
        return fitted(name, pictures((1, 8, 8)), seed)[0].state_dict()

    first, again = state(0), state(0)
    assert all(torch.equal(first[key], again[key]) for key in first)
    if name not in ("pca", "samples"):  # which have nothing random
        other = state(1)
        assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_model_is_the_same_model(name: str, tmp_path: Path) -> None:
    model, spec = fitted(name, pictures((1, 8, 8)))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.manual_seed(99)
    loaded = quick(name, spec.shape).build(spec).eval()
    loaded.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(draw(model), draw(loaded))


@pytest.mark.parametrize("name", METHODS)
def test_codes_decode_and_encode_in_their_shapes(name: str) -> None:
    train = pictures((1, 8, 8))
    model, _ = fitted(name, train)
    with torch.no_grad():
        if hasattr(model, "encode"):
            assert model.encode(train[:]).shape == (ROWS, 2)
        if hasattr(model, "codes"):
            assert model.codes.shape == (ROWS, 2)
        if hasattr(model, "decode"):
            assert model.latent_dim == 2
            z = model.prior.sample(7, torch.Generator().manual_seed(0))
            assert z.shape == (7, 2)
            together, alone = model.decode(z), torch.cat([model.decode(row) for row in z.split(1)])
            torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_leaves_the_training_data_as_they_were(name: str) -> None:
    train = pictures((1, 8, 8))
    before = train[:].clone()
    fitted(name, train)
    assert torch.equal(before, train[:])


class _CutError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("name", [m for m in METHODS if "epochs" in parameters_of(REGISTRY.get("methods", m))])
def test_a_fit_that_is_cut_off_resumes_to_the_same_bits(name: str, tmp_path: Path) -> None:
    train = pictures((1, 8, 8))
    whole = fitted(name, train)[0].state_dict()

    class Cutting(Run):
        def step(self, *arguments: Any, **keywords: Any) -> None:
            super().step(*arguments, **keywords)
            if self.steps == 1:
                raise _CutError

    torch.manual_seed(0)
    spec = DataSpec(train.shape, train.kind, len(train), latent_dim=2)
    checkpoint = {"checkpoint": tmp_path / "checkpoint.pt", "checkpoint_seconds": 0.0}
    with pytest.raises(_CutError):
        method = quick(name, train.shape)
        method.fit(method.build(spec), train, Cutting(seed=0, device=torch.device("cpu"), **checkpoint))
    random.seed(3)
    np.random.seed(3)
    resumed = fitted(name, train, **checkpoint)[0].state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize("name", METHODS)
def test_every_hyper_parameter_refuses_what_is_not_its_type(name: str) -> None:
    cls = REGISTRY.get("methods", name)
    for parameter in parameters_of(cls):
        with pytest.raises(ParameterError, match=f"{name}: {parameter}=.* is not allowed; {parameter} is "):
            cls(**{parameter: object()})


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_where_it_comes_from(name: str) -> None:
    cls = REGISTRY.get("methods", name)
    assert inspect.getdoc(cls)
    page = inspect.getdoc(inspect.getmodule(cls)) or ""
    assert "Source:" in page or name == "real"


def needs_preparation(name: str) -> bool:
    return REGISTRY.get("datasets", name).prepare is not Dataset.prepare


DATASETS = REGISTRY.names("datasets")


@pytest.mark.parametrize("name", [name for name in DATASETS if needs_preparation(name)])
def test_a_dataset_that_is_not_prepared_says_how_to_prepare_it(name: str, tmp_path: Path) -> None:
    cls = REGISTRY.get("datasets", name)
    dataset: Dataset = cls(**({"path": str(tmp_path / "x")} if "path" in parameters_of(cls) else {}))
    for ask in (dataset.content, lambda cache: dataset.load("train", cache)):
        with pytest.raises(DataMissingError, match=rf"{name}.* is not in the cache; run: benchsuite prepare '?{name}"):
            ask(tmp_path)
    assert dataset.latent_dim >= 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in DATASETS if not needs_preparation(name)])
def test_a_dataset_gives_two_splits_of_one_shape(name: str, tmp_path: Path) -> None:
    dataset: Dataset = REGISTRY.get("datasets", name)()
    train, test = dataset.load("train", tmp_path), dataset.load("test", tmp_path)
    assert train.shape == test.shape and train.kind == test.kind and len(train) > len(test) > 0
    assert dataset.latent_dim >= 1 and dataset.kind == train.kind
    again = dataset.load("train", tmp_path)
    assert torch.equal(train[:64], again[:64])
    if train.kind == "image":
        x = train[:64]
        assert x.dtype == torch.float32 and float(x.min()) >= 0 and float(x.max()) <= 1
    if train.labels is not None and test.labels is not None:
        assert int(test.labels.max()) < (train.n_classes or 0)


@pytest.mark.parametrize("name", REGISTRY.names("metrics"))
def test_a_metric_asks_for_known_artefacts_and_says_what_it_is(name: str, tmp_path: Path) -> None:
    metric: Metric = REGISTRY.get("metrics", name)
    bound = bind_metric(Selection(name), REGISTRY.get("datasets", "digits")(), tmp_path, 100, None, REGISTRY)
    assert bound.artefacts and set(bound.artefacts) <= set(ARTEFACTS)
    assert inspect.getdoc(metric.compute) and metric.version >= 1 and len(bound.fingerprint) == 8


@pytest.mark.parametrize("name", REGISTRY.names("features"))
def test_an_extractor_treats_each_image_alone(name: str, tmp_path: Path) -> None:
    extractor: FeatureExtractor = REGISTRY.get("features", name)()
    try:
        features = extractor.load(tmp_path, torch.device("cpu"))
    except NotApplicableError as error:
        pytest.skip(str(error))
    x = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together, alone = features(x), torch.cat([features(row) for row in x.split(1)])
    assert together.shape[0] == 6 and together.ndim == 2
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert extractor.fingerprint(tmp_path)
