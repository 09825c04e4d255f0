"""The contract kit for every kind of plugin but methods: what is right passes, and what is wrong is named."""

from __future__ import annotations

import ast
import contextlib
import pickle
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from torch import Tensor

import benchsuite.testing
from benchsuite import (
    DataMissingError,
    Dataset,
    FeatureExtractor,
    Metric,
    NotApplicableError,
    Preparation,
    Samples,
    Score,
)
from benchsuite.harness.pluginfiles import load_file
from benchsuite.harness.registry import PluginInfo, Registry, load_registry
from benchsuite.testing.cells import forget_cells, noise_cell, small_cell
from benchsuite.testing.contract import BrokenContractError, Check, tried
from benchsuite.testing.datasets import dataset_checks
from benchsuite.testing.executors import MadeUpCells, executor_checks, made_up_cells, record_of
from benchsuite.testing.extractors import extractor_checks
from benchsuite.testing.finding import Finding
from benchsuite.testing.metrics import metric_checks
from benchsuite.testing.network import network_refused
from benchsuite.testing.reporters import reporter_checks

WRONG = Path(__file__).parent / "fixtures" / "wrong"
CHECKS: Mapping[str, tuple[str, Callable[[Any], list[Check]]]] = {
    "dataset": ("datasets", dataset_checks),
    "metric": ("metrics", metric_checks),
    "extractor": ("features", extractor_checks),
    "executor": ("executors", executor_checks),
    "reporter": ("reporters", reporter_checks),
}
REGISTRY = load_registry()
BUILT_IN = [(kind, name) for kind, (plural, _) in CHECKS.items() for name in REGISTRY.names(plural)]
WRONG_FILES = sorted(path.stem for path in WRONG.glob("*.py") if path.stem.split("_")[0] in CHECKS)

# Which claim each wrong plugin breaks, and it alone.
BROKEN = {
    "dataset_does_not_say_that_it_needs_preparation": "says so where it has to be prepared",
    "dataset_draws_from_entropy": "every load gives the same rows",
    "dataset_fetches_in_load": "loads both splits, without the network",
    "dataset_has_another_law": "its law is one",
    "dataset_has_levels_to_255": "images are in [0, 1], vectors finite",
    "dataset_ignores_split": "test rows are not training rows",
    "dataset_labels_from_one": "labels are classes or attributes",
    "dataset_law_has_another_mean": "its law is one",
    "dataset_tests_on_training_rows": "test rows are not training rows",
    "dataset_writes_in_load": "writes nothing into the cache",
    "executor_leaves_out_what_fails": "loses no error of the callable",
    "executor_makes_records_of_its_own": "runs every cell once, and hands over its record",
    "executor_runs_too_many_at_once": "runs no more cells at once than it may",
    "executor_waits_for_all": "starts no further cell once it is closed",
    "extractor_changes_its_input": "leaves what it is given as it was",
    "extractor_draws_its_filters": "gives the same features each time",
    "extractor_fails_for_small_images": "says so where data do not suit it",
    "extractor_fetches_when_called": "gives features, (N, D), without the network",
    "extractor_forgets_an_option_in_its_fingerprint": "other options have another fingerprint",
    "extractor_gives_maps": "gives features, (N, D), without the network",
    "extractor_ignores_the_device": "works on another device",
    "extractor_normalises_by_its_neighbours": "treats each row as if it were alone",
    "extractor_returns_nothing_for_a_dataset": "gives an extractor for a dataset, or says why not",
    "metric_asks_for_what_is_not_there": "asks for artefacts that exist",
    "metric_changes_features": "leaves what it is given as it was",
    "metric_draws_from_entropy": "returns the same numbers each time",
    "metric_fails_for_vectors": "applies to other models and data, or says why not",
    "metric_fetches_its_weights": "returns a number, or several by name",
    "metric_has_a_parameter_of_no_type": "its parameters have types and defaults",
    "metric_leaves_the_model_in_training": "leaves what it is given as it was",
    "metric_returns_many_numbers": "returns a number, or several by name",
    "metric_returns_nan": "returns a number, or several by name",
    "reporter_escapes_nothing": "what plugins put into names and errors stays text",
    "reporter_needs_scores": "writes a report that has no score",
    "reporter_returns_nothing": "writes files, and says which",
    "reporter_rounds_the_report": "changes nothing of the report",
    "reporter_writes_beside_the_folder": "writes nothing elsewhere",
}
NEED_WEIGHTS = {"fid", "inception_score", "lpips", "inception"}  # which are fetched, so that tests have none


def found(checks: Sequence[Check]) -> dict[str, Finding]:
    """How every check came out, by its claim."""
    return {check.claim: tried(check) for check in checks}


def failed(findings: Mapping[str, Finding]) -> dict[str, str]:
    return {claim: finding.text for claim, finding in findings.items() if finding.verdict == "failed"}


@pytest.mark.parametrize(("kind", "name"), BUILT_IN, ids=lambda text: text)
def test_every_built_in_plugin_keeps_its_contract(kind: str, name: str) -> None:
    plural, checks_of = CHECKS[kind]
    findings = found(checks_of(REGISTRY.get(plural, name)))
    assert not failed(findings)
    if kind == "metric":
        tried_on_something = findings["returns a number, or several by name"].verdict == "ok"
        assert tried_on_something == (name not in NEED_WEIGHTS)
    if kind == "extractor":
        assert (findings["gives features, (N, D), without the network"].verdict == "ok") == (name not in NEED_WEIGHTS)


def test_every_wrong_plugin_of_these_kinds_is_tried() -> None:
    assert sorted(BROKEN) == WRONG_FILES


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_plugin_breaks_the_claim_that_is_meant_and_no_other(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path))
    path, registry = WRONG / f"{name}.py", Registry()
    info = PluginInfo(name, name, "", "", file=str(path))
    registry.add(name, partial(load_file, path), info)
    assert not info.problem
    plural, checks_of = CHECKS[name.split("_")[0]]
    broken = failed(found(checks_of(registry.get(plural, name))))
    assert list(broken) == [BROKEN[name]]
    (text,) = broken.values()
    first, *_ = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    assert first.removeprefix("Expected: ") in text
    assert "    read: docs/plugins/" in text and "Traceback" not in text


@pytest.mark.parametrize("kind", CHECKS)
def test_a_contract_is_a_pytest_function_with_a_test_for_each_claim(kind: str) -> None:
    plural, checks_of = CHECKS[kind]
    plugin = REGISTRY.get(plural, REGISTRY.names(plural)[0])
    contract = getattr(benchsuite.testing, f"{kind}_contract")(plugin)
    (mark,) = contract.pytestmark
    assert [str(check) for check in mark.args[1]] == [check.claim for check in checks_of(plugin)]


# What is no mistake is a remark, or skipped with a reason.


def of_metric(compute: Callable[..., Any], better: bool | None = None, **fields: Any) -> dict[str, Finding]:
    return found(metric_checks(Metric(compute.__name__, compute, better, **fields)))


def brightness(generated: Samples) -> Tensor:
    """The mean of samples. Source: own work."""
    return generated[:].mean()


def distance(real: Samples, generated: Samples) -> Tensor:
    """How far the mean of samples is from that of the test set. Source: own work."""
    return (real[:].mean() - generated[:].mean()).abs()


def test_a_metric_of_eight_lines_keeps_its_contract() -> None:
    findings = of_metric(brightness)
    assert not failed(findings)
    direction = findings["its direction is that of real data and noise"]
    assert (direction.verdict, direction.text) == ("skipped", "it has none")


def test_a_direction_that_noise_contradicts_is_remarked_and_the_other_is_not() -> None:
    """Uniform noise has a mean of 0.5, digits have one of 0.3: by a distance, more is worse."""
    wrong = of_metric(distance, better=True)["its direction is that of real data and noise"]
    right = of_metric(distance, better=False)["its direction is that of real data and noise"]
    assert wrong.verdict == right.verdict == "ok" and right.text == ""
    assert wrong.text.startswith("uniform noise scores better than real data (distance 0.") and "?" in wrong.text


def test_noise_and_real_data_are_what_they_say() -> None:
    real, noise = (cell.evaluation.picture(128) for cell in (small_cell("real", "digits"), noise_cell("digits")))
    train = small_cell("real", "digits").evaluation.train[:]
    assert all(any(torch.equal(row, other) for other in train) for row in real[:8])
    assert abs(float(noise.mean()) - 0.5) < 0.01 and abs(float(noise.var()) - 1 / 12) < 0.005


def test_a_metric_that_draws_from_global_generators_is_told_of_its_own() -> None:
    def jittered(generated: Samples) -> float:
        """The mean of samples, roughly. Source: own work."""
        return float(generated[:].mean() + torch.rand(()))

    again = of_metric(jittered)["returns the same numbers each time"]
    assert again.verdict == "ok" and again.text.startswith("it draws from the global generator of torch")


def test_a_metric_that_nothing_suits_is_skipped_with_every_reason() -> None:
    def never(model: Any) -> float:
        """A number. Source: own work."""
        raise NotApplicableError("it is for models of wood")

    findings = of_metric(never, kind="image")
    assert not failed(findings)
    text = findings["returns a number, or several by name"].text
    assert "pca on digits" in text and "real on digits" in text and text.endswith(": it is for models of wood")
    assert "ring" not in text


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (None, "does it end with return?"),
        ({}, "an empty mapping"),
        ({1: 2.0}, "names of numbers are text"),
        ("3.2", "'3.2', a str"),
        (Score(1.0, references=["ideal"]), "references of a Score are names of its numbers"),
        (Score(1.0, pictures={"best": torch.full((1, 1, 8, 8), 9.0)}), "values from 9 to 9"),
        (Score(1.0, caution=3), "caution is a sentence"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_what_a_metric_must_not_return_is_named(returned: Any, expected: str) -> None:
    def wrong(generated: Samples) -> Any:
        """Whatever it is told. Source: own work."""
        return returned

    broken = failed(of_metric(wrong))
    assert list(broken) == ["returns a number, or several by name"]
    assert expected in broken["returns a number, or several by name"]


def test_an_infinite_score_is_a_remark() -> None:
    def endless(generated: Samples) -> float:
        """Infinity. Source: own work."""
        return float("inf")

    assert "is infinite for pca on digits" in of_metric(endless)["returns a number, or several by name"].text


def test_an_error_of_a_metric_is_told_with_its_line() -> None:
    def fails(generated: Samples) -> float:
        """Nothing. Source: own work."""
        raise KeyError("colour")

    line = fails.__code__.co_firstlineno + 2
    (text,) = failed(of_metric(fails)).values()
    assert f"compute raised KeyError: 'colour', at {__file__}:{line}" in text and "Traceback" not in text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"version": 0}, "version=0"), ({"unit": None}, "unit=None"), ({"kind": "sound"}, "kind='sound'")],
    ids=str,
)
def test_what_a_metric_says_of_itself_has_to_be_of_its_type(fields: dict[str, Any], expected: str) -> None:
    assert f"got: {expected}" in failed(of_metric(brightness, **fields))["says what it is"]


def test_a_metric_says_how_its_parameters_are_declared() -> None:
    def own_parameter(generated: Samples, k: int = 5) -> float:
        """A number. Source: own work."""
        return 0.0

    def without_default(generated: Samples, *, k: int) -> float:
        """A number. Source: own work."""
        return 0.0

    def not_allowed(generated: Samples, *, k: benchsuite.PositiveInt = 0) -> float:
        """A number. Source: own work."""
        return 0.0

    assert "stands behind a '*'" in failed(of_metric(own_parameter))["asks for artefacts that exist"]
    assert "k has a default" in failed(of_metric(without_default))["its parameters have types and defaults"]
    assert "k=0 is not allowed" in failed(of_metric(not_allowed))["its parameters have types and defaults"]


def test_a_metric_is_given_what_the_one_before_has_left_whole() -> None:
    def spoils(generated_features: Tensor) -> float:
        """Zero. Source: own work."""
        generated_features.zero_()
        return 0.0

    seen = []

    def sees(generated_features: Tensor) -> float:
        """The largest feature. Source: own work."""
        seen.append(float(generated_features.abs().max()))
        return seen[-1]

    assert "generated_features changed" in failed(of_metric(spoils))["leaves what it is given as it was"]
    assert not failed(of_metric(sees))
    assert seen and min(seen) > 0


def test_trying_a_metric_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell keeps the features of its training data there; those of a part of digits are of no use to another."""
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path))
    forget_cells()
    assert not failed(found(metric_checks(REGISTRY.get("metrics", "fd"))))
    forget_cells()  # whose cache this was
    assert not list(tmp_path.iterdir())


@dataclass(frozen=True)
class Rows(Dataset):
    """Rows in the plane. Source: own work."""

    name = "rows"
    latent_dim = 2
    kind = "vector"

    def load(self, split: str, cache: Path) -> Samples:
        generator = torch.Generator().manual_seed(1 if split == "train" else 2)
        return Samples(torch.randn(200 if split == "train" else 50, 2, generator=generator))


def test_a_dataset_without_anything_optional_keeps_its_contract() -> None:
    findings = found(dataset_checks(Rows))
    assert not failed(findings)
    skipped = {claim for claim, finding in findings.items() if finding.verdict == "skipped"}
    assert skipped == {"says so where it has to be prepared", "labels are classes or attributes", "its law is one"}
    assert findings["writes nothing into the cache"].verdict == "ok"


def test_test_rows_among_the_training_rows_are_counted() -> None:
    @dataclass(frozen=True)
    class Shared(Rows):
        """Rows of which a few are in both splits. Source: own work."""

        name = "shared"

        def load(self, split: str, cache: Path) -> Samples:
            own, other = (super(Shared, self).load(which, cache)[:] for which in (split, "train"))
            return Samples(torch.cat([own, other[:5]]) if split == "test" else own)

    apart = found(dataset_checks(Shared))["test rows are not training rows"]
    assert (apart.verdict, apart.text) == ("ok", "5 of 55 test rows are among the training rows too")


@pytest.mark.parametrize(("values", "verdict"), [(100_000, "ok"), (10_000_000, "failed")])
def test_rows_of_few_values_may_meet_in_both_splits_and_others_may_not(values: int, verdict: str) -> None:
    """Of 20,000 rows of 100,000 values a fifth have a twin by chance; of many values no row has."""

    @dataclass(frozen=True)
    class Whole(Rows):
        """Whole numbers. Source: own work."""

        name = "whole"

        def load(self, split: str, cache: Path) -> Samples:
            generator = torch.Generator().manual_seed(1 if split == "train" or verdict == "failed" else 2)
            drawn = torch.randint(values, (20_000, 1), generator=generator)
            return Samples((drawn if split == "train" else drawn[5000:7000]).float())

    apart = found(dataset_checks(Whole))["test rows are not training rows"]
    assert apart.verdict == verdict, apart.text
    assert ("are among the training rows too" in apart.text) == (values < 10_000_000)


@pytest.mark.parametrize(
    ("mean", "covariance", "expected"),
    [
        ([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], ""),
        ([0.0, 1.0], [[1.0, 0.0], [0.0, 1.0]], "their mean[1] is 0."),
        ([0.0, 0.0], [[1.0, 0.9], [0.9, 1.0]], "that of the law 0.9, 8"),
        ([0.0, 0.0], [[4.0, 0.0], [0.0, 1.0]], "that of the law 4, 8"),
    ],
)
def test_moments_of_a_law_are_those_of_the_data(
    mean: list[float], covariance: list[list[float]], expected: str
) -> None:
    class Law:
        def __init__(self) -> None:
            self.mean, self.covariance = torch.tensor(mean), torch.tensor(covariance)

    @dataclass(frozen=True)
    class Normal(Rows):
        """A normal in the plane. Source: own work."""

        name = "normal"

        def truth(self) -> Law:
            return Law()

        def load(self, split: str, cache: Path) -> Samples:
            generator = torch.Generator().manual_seed(1 if split == "train" else 2)
            return Samples(torch.randn(500, 2, generator=generator))

    law = found(dataset_checks(Normal))["its law is one"]
    assert (law.verdict == "failed") == bool(expected) and expected in law.text, law.text


def test_moments_of_rare_values_are_not_asked_for_what_rows_cannot_tell() -> None:
    """Of a pixel that is bright once in 3000 rows none of 500 may be."""
    p = torch.tensor([1 / 3000, 0.01, 0.01, 0.5])

    class Law:
        mean = p
        covariance = torch.diag(p * (1 - p))

    @dataclass(frozen=True)
    class Rare(Rows):
        """Bits, some of them rare. Source: own work."""

        name = "rare"

        def truth(self) -> Law:
            return Law()

        def load(self, split: str, cache: Path) -> Samples:
            generator = torch.Generator().manual_seed(1 if split == "train" else 2)
            return Samples((torch.rand(500, 4, generator=generator) < p).float())

    law = found(dataset_checks(Rare))["its law is one"]
    assert law.verdict == "ok", law.text


def test_a_dataset_that_needs_values_is_skipped_and_tried_with_them(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class OfFile(Rows):
        """Rows of a file. Source: own work."""

        name = "of_file"

        path: str

        def load(self, split: str, cache: Path) -> Samples:
            rows = torch.load(self.path, weights_only=True)
            return Samples(rows[:150] if split == "train" else rows[150:])

    torch.save(torch.randn(200, 2), tmp_path / "rows.pt")
    without = found(dataset_checks(OfFile))["loads both splits"]
    assert without.verdict == "skipped"
    assert without.text == "it needs values; give them to the check: of_file[path=...]"
    assert not failed(found(dataset_checks(OfFile(path=str(tmp_path / "rows.pt")))))


def test_a_dataset_that_is_not_prepared_is_skipped_with_the_command_and_one_that_is_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Stored(Rows):
        """Rows that are kept in the cache. Source: own work."""

        name = "stored"

        def prepare(self, cache: Path, work: Any) -> None:
            torch.save(torch.randn(200, 2), cache / "stored.pt")

        def content(self, cache: Path) -> str:
            if not (cache / "stored.pt").exists():
                raise DataMissingError("stored is not in the cache; run: benchsuite prepare stored")
            return "0123"

        def load(self, split: str, cache: Path) -> Samples:
            self.content(cache)
            rows = torch.load(cache / "stored.pt", weights_only=True)
            return Samples(rows[:150] if split == "train" else rows[150:])

    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path))
    loads = found(dataset_checks(Stored))["loads both splits, without the network"]
    assert loads.verdict == "skipped" and "benchsuite prepare stored" in loads.text
    Stored().prepare(tmp_path, None)
    findings = found(dataset_checks(Stored))
    assert not failed(findings) and findings["loads both splits, without the network"].verdict == "ok"


def test_a_dataset_that_was_prepared_keeps_its_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A built-in one, by way of a file, since the others need the network."""
    images = np.random.default_rng(0).integers(0, 256, (128, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "grey.npz", images=images, labels=np.arange(128) % 3)
    monkeypatch.setenv("BENCHSUITE_CACHE", str(tmp_path / "cache"))
    dataset = REGISTRY.get("datasets", "npz")(path=str(tmp_path / "grey.npz"))
    dataset.prepare(tmp_path / "cache", Preparation())
    findings = found(dataset_checks(dataset))
    assert not failed(findings)
    skipped = {claim: finding.text for claim, finding in findings.items() if finding.verdict == "skipped"}
    elsewhere = {"writes nothing into the cache"}  # told by what it says where it is not prepared
    assert set(skipped) - elsewhere == {"its features exist, and suit the data", "its law is one"}
    assert "benchsuite prepare" in skipped["its features exist, and suit the data"]  # that are a classifier's


def test_labels_have_to_be_in_both_splits_and_attributes_zero_or_one() -> None:
    def labelled(train: Tensor | None, test: Tensor | None) -> dict[str, Finding]:
        @dataclass(frozen=True)
        class Labelled(Rows):
            """Rows with labels. Source: own work."""

            name = "labelled"

            def load(self, split: str, cache: Path) -> Samples:
                return Samples(super().load(split, cache)[:], train if split == "train" else test)

        return found(dataset_checks(Labelled))

    claim = "labels are classes or attributes"
    classes, attributes = torch.arange(200) % 4, torch.arange(400).view(200, 2) % 2
    assert labelled(classes, classes[:50])[claim].verdict == "ok"
    assert labelled(attributes, attributes[:50])[claim].verdict == "ok"
    assert "no training row is of class 0;" in labelled(classes % 3 + 1, classes[:50] % 3 + 1)[claim].text
    for wrong, expected in [
        ((classes, None), "none in 'test'"),
        ((classes % 3, classes[:50]), "0 to 3 in 'test'"),
        ((attributes + 1, attributes[:50]), "1 to 2 in 'train'"),
        ((classes, attributes[:50]), "labels of one kind"),
        ((classes.float(), classes[:50]), "labels are whole numbers"),
    ]:
        assert list(failed(labelled(*wrong))) == [claim]
        assert expected in labelled(*wrong)[claim].text


def test_an_extractor_whose_weights_are_missing_is_skipped_and_one_that_does_not_say_so_is_told() -> None:
    @dataclass(frozen=True)
    class Weighted(FeatureExtractor):
        """Features by weights that nobody has. Source: own work."""

        name = "weighted"
        says = "run: benchsuite prepare weighted"

        def prepare(self, cache: Path, work: Any) -> None:
            """Nothing."""

        def fingerprint(self, cache: Path) -> str:
            raise NotApplicableError(f"the weights are not there; {self.says}")

        def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
            raise NotApplicableError(f"the weights are not there; {self.says}")

    @dataclass(frozen=True)
    class Silent(Weighted):
        """The same, without a word on what to do. Source: own work."""

        name = "silent"
        says = "sorry"

    findings = found(extractor_checks(Weighted))
    assert not failed(findings)
    assert findings["gives features, (N, D), without the network"].verdict == "skipped"
    assert (
        "names the command: benchsuite prepare silent"
        in failed(found(extractor_checks(Silent)))["says so where it has to be prepared"]
    )


@dataclass(frozen=True)
class Scaled(FeatureExtractor):
    """Scaled numbers. Source: own work."""

    name = "scaled"

    factor: Annotated[float, benchsuite.Between(0.0, 3.0)] = 2.0
    label: str = "any"

    def fingerprint(self, cache: Path) -> str:
        return f"scaled-{self.factor}"

    def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
        return lambda x: x.flatten(1) * self.factor


def test_an_extractor_with_options_and_logits_keeps_its_contract() -> None:
    class Told:
        def __call__(self, x: Tensor) -> Tensor:
            return x.flatten(1)

        def logits(self, features: Tensor) -> Tensor:
            return features[:, :2]

    @dataclass(frozen=True)
    class Telling(Scaled):
        """The same, which tells two classes. Source: own work."""

        name = "telling"

        def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
            return Told()

    findings = found(extractor_checks(Scaled))
    assert not failed(findings)
    options = findings["other options have another fingerprint"]
    assert (options.verdict, options.text) == ("ok", "no other value of label is known to be tried")
    assert found(extractor_checks(Telling))["logits keep their promise"].verdict == "ok"


Load = Callable[[Path, torch.device], Callable[[Tensor], Tensor]]


def layers(cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten())
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    return net.to(device).eval()


def normalised(cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    mean = torch.tensor([0.4, 0.5, 0.6], device=device)[:, None, None]
    return lambda x: ((x - mean) / torch.ones(3, 1, 1).to(device)).flatten(1)


def through_numpy(cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.from_numpy(x.cpu().numpy()).flatten(1).to(x.device)


def left_on_the_cpu(cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    return lambda x: x.cpu().flatten(1)


def with_one_constant_on_the_cpu(cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    mean = torch.tensor([0.4, 0.5, 0.6])[:, None, None]
    return lambda x: (x - mean).flatten(1)


@pytest.mark.parametrize(
    ("load", "verdict", "text"),
    [
        (layers, "ok", ""),
        (normalised, "ok", ""),
        (through_numpy, "skipped", "could not be followed"),
        (left_on_the_cpu, "failed", "they are on 'cpu'; features.to(x.device)"),
        (with_one_constant_on_the_cpu, "failed", "a tensor on the CPU meets one on the GPU"),
    ],
)
def test_an_extractor_is_followed_to_another_device_that_is_not_there(load: Load, verdict: str, text: str) -> None:
    @dataclass(frozen=True)
    class Loaded(FeatureExtractor):
        """Features of colours. Source: own work."""

        name = "loaded"
        kind = "image"

        def fingerprint(self, cache: Path) -> str:
            return "loaded-1"

        def load(self, cache: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
            def features(x: Tensor) -> Tensor:
                if x.shape[1] != 3:
                    raise NotApplicableError("colours are needed")
                return applied(x)

            applied = load(cache, device)
            return features

    findings = found(extractor_checks(Loaded))
    moved = findings["works on another device"]
    assert (moved.verdict, text in moved.text) == (verdict, True), moved.text
    assert set(failed(findings)) <= {"works on another device"}
    assert not torch.__future__.get_overwrite_module_params_on_conversion()


def test_built_in_extractors_are_followed_to_another_device() -> None:
    for name in ("random_conv", "pixels", "classifier"):
        moved = found(extractor_checks(REGISTRY.get("features", name)))["works on another device"]
        assert moved.verdict == "ok", (name, moved.text)


def test_made_up_cells_can_be_sent_to_another_process(tmp_path: Path) -> None:
    run_cell = pickle.loads(pickle.dumps(MadeUpCells(str(tmp_path), failing="cell1")))
    first, second = made_up_cells(2)
    assert run_cell(first) == record_of(first)
    with pytest.raises(RuntimeError):
        run_cell(second)
    assert run_cell.calls() == ["cell0", "cell1"] and run_cell.most_at_once() == 1


def test_the_network_is_refused_to_other_machines_and_not_to_other_processes() -> None:
    with network_refused("nothing", "here"):
        one, other = socket.socketpair(socket.AF_UNIX)
        one.send(b"x")
        assert other.recv(1) == b"x"
        one.close()
        other.close()
    with pytest.raises(BrokenContractError, match=r"tried to reach example\.org"):  # noqa: SIM117
        with network_refused("that", "here"):
            with contextlib.suppress(OSError):  # and goes on without, as many libraries do
                socket.getaddrinfo("example.org", 80)
    assert socket.getaddrinfo.__module__ == "socket"
