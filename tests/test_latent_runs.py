"""Metrics of latent space, recovery and cost run on every method that has what they need, and elsewhere say why not.

One cell of each method, hardly trained, on images and on vectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchsuite import Record, suite
from benchsuite.contracts import MetricRow
from benchsuite.harness.registry import load_registry
from benchsuite.harness.store import RunStore
from benchsuite.parameters import parameters_of

REGISTRY = load_registry()
PLUGINS = ("prior_fit", "clusters", "paths", "recovery", "noise", "curves", "sizes")
METRICS = [name for p in REGISTRY.plugins if p.name in PLUGINS for name in p.provides.get("metrics", [])]
RECONSTRUCTIONS = [f"psnr[codes_by={by}]" for by in ("own", "mse", "lap1", "reversal")] + ["psnr_quantiles"]
COSTS = {"parameters", "flops"}
BUILT_IN = [name for p in REGISTRY.plugins if p.distribution == "benchsuite" for name in p.provides.get("methods", [])]
METHODS = [name for name in BUILT_IN if name != "samples"]  # all metrics on which are in test_samples_method.py
NO_PATH = "the ends of every path decode to the same"  # as those of a model that was hardly trained may
FEW = {"images": 6, "rows": 60, "draws": 50, "pairs": 10, "restarts": 2}
SMALL = {"epochs": 1, "width": 4, "prior_width": 4, "reversal_steps": 2, "prior_epochs": 1, "retraining_epochs": 1}


def selection(kind: str, name: str, wanted: Mapping[str, int]) -> str:
    """``name`` with those of the ``wanted`` parameters that it has."""
    selected = REGISTRY.get(kind, name)
    has = parameters_of(selected.compute if kind == "metrics" else selected)
    return f"{name}[{','.join(f'{key}={value}' for key, value in wanted.items() if key in has)}]".replace("[]", "")


def scored(dataset: str, folder: Path) -> suite.Outcome:
    """All methods by all metrics; a search of 40 steps is enough to see that it runs."""
    metrics = [selection("metrics", name, FEW | ({} if name == "path_length" else {"steps": 40})) for name in METRICS]
    methods = [selection("methods", name, SMALL) + f"@{name}" for name in METHODS]
    recipe = {"methods": methods, "datasets": dataset, "metrics": [*metrics, *RECONSTRUCTIONS], "samples": 32}
    return suite.run(recipe | {"subset": 200} if dataset == "digits" else recipe, out=folder / dataset)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def images(folder: Path) -> suite.Outcome:
    return scored("digits", folder)


@pytest.fixture(scope="module")
def vectors(folder: Path) -> suite.Outcome:
    return scored("ring", folder)


def skipped(record: Record) -> dict[str, str]:
    """The reason by metric."""
    return {row.selection.partition("[")[0]: row.reason for row in record.metrics if row.status == "skipped"}


def test_no_metric_fails_on_any_method(images: suite.Outcome, vectors: suite.Outcome) -> None:
    assert set(METHODS) == {record.cell.method for record in images.records}
    for record in (*images.records, *vectors.records):
        failed = {row.metric: row.reason for row in record.metrics if row.status not in ("ok", "skipped")}
        assert record.status == "ok" and not failed, (record.cell.method, record.reason)
        assert all(row.reason for row in record.metrics if row.status == "skipped")


def test_on_images_nothing_is_skipped_but_for_real_which_has_no_codes(images: suite.Outcome) -> None:
    for record in images.records:
        if record.cell.method == "real":
            assert set(skipped(record)) == {*METRICS, "psnr", "psnr_quantiles"} - COSTS
            assert set(skipped(record).values()) <= {
                "the method has no decode",
                "the method has no prior of codes",
            }
        else:
            lacking = {name for name, reason in skipped(record).items() if reason != NO_PATH}
            assert not lacking, record.cell.method


def test_on_vectors_what_is_of_images_or_of_classes_is_skipped(vectors: suite.Outcome) -> None:
    of_images = {"psnr", "psnr_quantiles", "psnr_generated", "reconstruction_curve"}
    for record in vectors.records:
        if record.cell.method != "real":
            assert set(skipped(record)) >= of_images
            allowed = of_images | {"cluster_ratio"}  # the ring's points are labelled or not
            assert set(skipped(record)) <= allowed, (record.cell.method, skipped(record))


def rows(record: Record, name: str) -> list[MetricRow]:
    return [row for row in record.metrics if row.selection.partition("[")[0] == name]


def test_codes_of_encoders_of_tables_and_of_recovery_are_told_apart(images: suite.Outcome) -> None:
    sources = {}
    for record in images.records:
        for row in rows(record, "pag"):
            if row.status == "ok":
                sources[record.cell.method] = row.protocol["codes"]["codes_train"]
    encoders, tables = {"pca", "vae", "avb", "ali"}, {"glo"}
    assert sources == {
        name: "encoder" if name in encoders else "codes" if name in tables else "recovery"
        for name in METHODS
        if name != "real"
    }


def test_what_plots_need_is_kept_with_each_score(images: suite.Outcome) -> None:
    arrays: dict[str, set[str]] = {}
    pictures: dict[str, set[str]] = {}
    for record in images.records:
        for row in record.metrics:
            if row.status == "ok":
                store, name = RunStore(images.store.path), row.selection.partition("[")[0]
                arrays.setdefault(name, set()).update(store.arrays(record.cell.key, row))
                pictures.setdefault(name, set()).update(store.pictures(record.cell.key, row))
    assert {name for name, found in arrays.items() if not found} <= COSTS | {"noise_slope", "prior_fd"}
    assert arrays["pag"] == arrays["pag_raw"] == {"spectrum"}
    assert pictures["prior_disagreement"] == {"farthest"}
    assert pictures["reconstruction_curve"] == {"trained", "untrained"}


def test_each_is_chosen_only_where_it_is_named() -> None:
    assert not {name for name in METRICS if REGISTRY.get("metrics", name).default}


def test_what_is_there_to_be_compared_with_has_no_direction(images: suite.Outcome) -> None:
    scores = [row for record in images.records for row in record.metrics if row.status == "ok"]
    directions = {re.sub(r"\[.*\]", "", row.metric): row.direction for row in scores}
    references = {
        "pag.ideal",
        "pag_raw.ideal",
        "prior_disagreement.ideal",
        "prior_disagreement.codes",
        "prior_fd.ideal",
        "recovery_consistency.baseline",
    }
    assert {directions[name] for name in references} == {"none"}
    assert directions["pag"] == directions["recovery_consistency"] == directions["prior_disagreement.farthest"] == "min"


def values(folder: Path) -> dict[tuple[str, str], float | None]:
    """Every score by method and metric."""
    return {(r.cell.method, row.metric): row.value for r in RunStore(folder).records() for row in r.metrics}


def test_scores_are_bit_for_bit_those_of_the_run_also_of_searches_through_convolutions(folder: Path) -> None:
    """What a search comes to depends on the last bits of the network, and these on how it lies in memory."""
    searching = ["noise_slope[images=8]", "pag_raw[codes_by=reversal,rows=40]", "psnr_quantiles[codes_by=lap1]"]
    recipe = {"methods": "vae[epochs=1],dcgan[epochs=1]", "subset": 100, "samples": 16}
    suite.run(recipe | {"metrics": searching}, out=folder / "at once")
    suite.run(recipe | {"metrics": "psnr"}, out=folder / "later")
    suite.score(folder / "later", searching)
    later = values(folder / "later")
    assert all(later[key] == value is not None for key, value in values(folder / "at once").items())


def test_one_protocol_has_one_score_however_it_is_spelt(folder: Path) -> None:
    name = "prior_disagreement"
    spellings = [name, f"{name}[draws=1000]", f"{name}[rows=1024,distance=nearest]"]
    suite.run({"methods": "pca", "subset": 100, "metrics": spellings}, out=folder / "spelt")
    found = values(folder / "spelt")
    assert len(found) == 15 and len(set(found.values())) == 5
