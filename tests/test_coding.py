"""Codes come from where the metric and the record say, of the rows that it asked for, and are found once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchsuite import DataSpec, Metric, Model, NotApplicableError, Samples
from benchsuite.errors import ContractError, PluginError
from benchsuite.harness.binding import bind_metric
from benchsuite.harness.coding import Coding, Way
from benchsuite.harness.recipe import parse_selections
from benchsuite.harness.registry import load_registry
from benchsuite.kit.objective import mse
from benchsuite.kit.priors import NormalPrior
from benchsuite.kit.pyramid import lap1
from benchsuite.kit.timing import Timings

N, TEST, DIM, SHAPE = 40, 9, 3, (1, 8, 8)
SPEC = DataSpec(SHAPE, "image", N, DIM)
DATASET: Any = SimpleNamespace(name="noise")


class Decoder(Model):
    """A curved decoder with a normal prior."""

    def __init__(self, prior: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(DIM, 64, generator=generator))
        if prior:
            self.prior = NormalPrior(DIM)

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z @ self.weight).view(-1, *SHAPE)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.decode(self.prior.sample(n, generator))


class Autoencoder(Decoder):
    """One with an encoder, which says for each image its first three pixels."""

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :DIM]


class Table(Decoder):
    """One with a code for each training row, the number of the row in each coordinate."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.arange(float(N))[:, None].expand(N, DIM) / N)


class Both(Table, Autoencoder):
    """One with a table and an encoder."""


def samples(n: int, seed: int, labels: bool = True) -> Samples:
    images = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return Samples(images, torch.arange(n) if labels else None)


class Made:
    """A Coding, and what it is made of."""

    def __init__(self, model: Model, by: Any = "own", rows: int = 10, labels: bool = True) -> None:
        self.timings, self.made, self.count = Timings(torch.device("cpu")), {}, 0  # type: ignore[var-annotated]
        self.samples = {"real": samples(TEST, 1, labels), "train": samples(N, 2, labels)}
        self.arguments: dict[str, Any] = {
            "way": Way(by, rows),
            "model": model,
            "method": "m",
            "spec": SPEC,
            "dataset": DATASET,
            "once": self.once,
            "samples": self.samples.__getitem__,
            "generator": lambda purpose: torch.Generator().manual_seed(len(purpose)),
            "folder": Path(),
            "timings": self.timings,
        }
        self.coding = Coding(**self.arguments)

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """As a cell does it."""
        if key not in self.made:
            self.made[key] = make()
            self.count += 1
        return self.made[key]


@pytest.mark.parametrize(
    ("model", "test", "train"),
    [
        (Decoder, "recovery", "recovery"),
        (Autoencoder, "encoder", "encoder"),
        (Table, "recovery", "codes"),
        (Both, "encoder", "codes"),
    ],
)
def test_own_codes_are_the_table_else_the_encoders_else_recovered(model: type[Model], test: str, train: str) -> None:
    made = Made(model())
    codes, codes_train = made.coding.get("codes"), made.coding.get("codes_train")
    assert (made.coding.source("codes"), made.coding.source("codes_train")) == (test, train)
    assert (made.coding.source("reconstructed"), made.coding.source("reconstructed_train")) == (test, train)
    assert codes.shape == (TEST, DIM) and codes_train.shape == (10, DIM)
    if test == "encoder":
        torch.testing.assert_close(codes, made.samples["real"][:].flatten(1)[:, :DIM])
    if train == "codes":
        assert torch.equal(codes_train[:, 0] * N, torch.arange(0.0, N, 4))


@pytest.mark.parametrize(
    ("by", "source"), [("mse", "recovery"), ("lap1", "recovery by lap1"), ("reversal", "reversal")]
)
def test_codes_are_searched_for_where_a_way_of_searching_is_named(by: str, source: str) -> None:
    """Though the model has a table and an encoder; and no way loses to the others by its own measure."""
    made = Made(Both(), by)
    assert made.coding.get("codes_train").shape == (10, DIM)
    assert made.coding.source("codes") == made.coding.source("codes_train") == source
    x, found = made.samples["real"][:], made.coding.get("reconstructed")[:]
    for loss, best in ((mse, ("mse", "reversal")), (lap1, ("lap1",))):
        other = Made(Both(), "mse" if loss is lap1 else "lap1").coding.get("reconstructed")[:]
        if by in best:
            assert bool((loss(found, x) <= loss(other, x) + 1e-4).all())
            assert float(loss(found, x).mean()) < float(loss(other, x).mean())


def test_rows_are_evenly_spaced_and_their_labels_are_those_of_the_same_rows() -> None:
    for rows, expected in ((10, list(range(0, N, 4))), (8, list(range(0, N, 5))), (1000, list(range(N)))):
        made = Made(Table(), rows=rows)
        assert made.coding.get("labels_train").tolist() == expected
        assert (made.coding.get("codes_train")[:, 0] * N).round().long().tolist() == expected
        assert torch.equal(made.coding.get("reconstructed_train").original[:], made.samples["train"][expected])
    assert made.coding.source("labels_train") is None
    with pytest.raises(NotApplicableError, match="'noise' has no labels"):
        Made(Table(), labels=False).coding.get("labels_train")


def test_codes_are_found_once_however_many_artefacts_are_made_of_them() -> None:
    made = Made(Decoder())
    for name in ("codes", "reconstructed", "codes", "codes_train", "reconstructed_train"):
        made.coding.get(name)
    assert [p.name for p in made.timings.phases] == [
        "warm_up.recover.test",
        "recover.test",
        "warm_up.recover.train[rows=10]",
        "recover.train[rows=10]",
    ]
    assert [p.items for p in made.timings.phases] == [0, TEST, 0, 10]


def test_own_codes_that_have_to_be_searched_for_are_those_by_squared_error_and_found_once() -> None:
    made = Made(Decoder())
    own = made.coding.get("codes")
    other = Coding(**made.arguments | {"way": Way("mse", 10)})
    assert other.get("codes") is own and [p.name for p in made.timings.phases].count("recover.test") == 1


def test_a_warm_up_comes_before_encoding_and_is_timed_apart() -> None:
    calls: list[str] = []

    class Slow(Autoencoder):
        def encode(self, x: Tensor) -> Tensor:
            calls.append("encode")
            return super().encode(x)

    made = Made(Slow())
    made.coding.get("codes")
    assert [p.name for p in made.timings.phases] == ["warm_up.encode.test", "encode.test"] and len(calls) == 2


def test_what_a_model_lacks_is_said() -> None:
    class Mute(Model):
        def sample(self, n: int, generator: torch.Generator) -> Tensor:
            return torch.zeros(n, *SHAPE)

    with pytest.raises(NotApplicableError, match="the method has no decode"):
        Made(Mute()).coding.get("codes")
    for by in ("own", "mse", "lap1", "reversal"):
        with pytest.raises(NotApplicableError, match="the method has no prior of codes"):
            Made(Decoder(prior=False), by).coding.get("reconstructed")


def test_an_encoder_that_returns_something_else_breaks_its_contract() -> None:
    class Wrong(Decoder):
        def encode(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x) + 1, DIM)

    with pytest.raises(ContractError, match=r"m: codes of 9 samples have shape \(10, 3\)"):
        Made(Wrong()).coding.get("codes")


def bound_way(selection: str, tmp_path: Path) -> Way:
    registry = load_registry()
    (parsed,) = parse_selections(selection)
    dataset = registry.get("datasets", "digits")()
    return bind_metric(parsed, dataset, tmp_path, 100, None, registry).way


def test_a_metrics_parameters_decide_how_its_codes_are_found(tmp_path: Path) -> None:
    assert bound_way("psnr", tmp_path) == Way("own", 256)
    assert bound_way("psnr[codes_by=lap1]", tmp_path) == Way("lap1", 256)
    assert bound_way("ssim[codes_by=reversal]", tmp_path) == Way("reversal", 256)


def test_another_way_of_finding_codes_is_another_protocol(tmp_path: Path) -> None:
    registry = load_registry()
    dataset = registry.get("datasets", "digits")()
    texts = "psnr,psnr[codes_by=mse],psnr[codes_by=lap1],psnr[codes_by=reversal]"
    bound = [bind_metric(s, dataset, tmp_path, 100, None, registry) for s in parse_selections(texts)]
    assert len({b.fingerprint for b in bound}) == 4


def test_metrics_without_such_parameters_get_the_models_own_codes(tmp_path: Path) -> None:
    metric = Metric("m", lambda codes: 0.0, None)
    assert metric.direction == "none"
    assert bound_way("lpips", tmp_path) == Way("own", 256)


@pytest.mark.parametrize(("by", "rows"), [("typo", 256), ("own", 0), ("own", "many"), ("own", None)])
def test_a_metric_that_does_not_say_how_codes_are_found_is_a_broken_plugin(
    by: str, rows: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mine(codes_train: Tensor, *, codes_by: str = by, rows: Any = rows) -> float:
        return 0.0

    registry = load_registry()
    monkeypatch.setattr(registry, "get", lambda kind, name: Metric("mine", mine, None))
    with pytest.raises(PluginError, match="do not say how codes are to be found"):
        bind_metric(parse_selections("mine")[0], DATASET, tmp_path, 100, None, registry)
