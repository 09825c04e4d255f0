"""Scale ``paper`` of every item plans, loads data in their true format, made small, and takes its first steps.

Whole cells of that scale want a GPU and days. Here every method of an item is built at its full size and trained for as
many steps as a second allows on the first of its datasets, and the last of them on the others; what its metrics are is
settled in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dataset_files import (
    trust_celeba,
    trust_cifar10,
    trust_lsun,
    trust_mnist,
    trust_svhn,
    write_celeba,
    write_cifar10,
    write_lsun,
    write_mnist,
    write_svhn,
)

from benchsuite import Preparation, suite
from benchsuite.contracts import Dataset
from benchsuite.harness.binding import bind
from benchsuite.harness.plan import cells_of
from benchsuite.harness.recipe import Recipe, Selection
from benchsuite.harness.registry import load_registry
from benchsuite.results.items import item_names, read_item

FILES = {
    "mnist": (write_mnist, trust_mnist),
    "svhn": (write_svhn, trust_svhn),
    "cifar10": (write_cifar10, trust_cifar10),
    "celeba": (write_celeba, trust_celeba),
    "lsun": (write_lsun, trust_lsun),
}
ENOUGH = 300  # images for the 256 principal components that are asked for of those
WHOLE = ("glo/", "gan-thesis/")  # which have principal components, and vectors, which are cheap
FEW = 16  # images to train on elsewhere: a step with a hundred takes half a minute
EMBEDDED = {"digits", "patches", "bivariate_normal", "mixture", "ring", "grid", "exponential_posterior"}


def recipe_of(name: str) -> Recipe:
    return read_item(name).scales["paper"].recipe


def datasets() -> list[Dataset]:
    """Every dataset that an item asks for at this scale, each once."""
    registry = load_registry()
    selections = dict.fromkeys(s.unlabelled() for name in item_names() for s in recipe_of(name).datasets)
    chosen = [s for name in item_names() for s in recipe_of(name).datasets]
    found = {s.unlabelled(): bound for s in chosen for bound in bind("datasets", s, registry)}
    return [found[key].instance for key in selections]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with the papers' datasets, prepared from files in their true format, of some hundred images each."""
    folder = tmp_path_factory.mktemp("papers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHSUITE_CACHE", str(folder / "cache"))
        for dataset in datasets():
            if dataset.name not in EMBEDDED:
                sources = folder / "cache" / "sources" / dataset.name
                write, trust = FILES[dataset.name]
                scene = {"scene": dataset.scene} if dataset.name == "lsun" else {}
                many = {"train": ENOUGH} if dataset.name in ("lsun", "celeba") else {}
                if scene or not sources.exists():
                    sources.mkdir(parents=True, exist_ok=True)
                    write(sources, patch, **scene, **many)
                    trust(sources, patch)
                dataset.prepare(folder / "cache", Preparation())
        yield folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", item_names())
def test_the_papers_own_scale_takes_its_first_steps(name: str, folder: Path) -> None:
    recipe = recipe_of(name)
    planned = cells_of(recipe, load_registry()).asked
    assert not {asked.problem for asked in planned} - {""}
    brief = replace(
        recipe,
        subset=None if name.startswith(WHOLE) else FEW,
        seeds=recipe.seeds[:1],
        metrics=(Selection("parameters"),),
        samples=2,
        budget=1.0,
        device="cpu",
        keep="none",
        jobs=2,
    )
    parts = [replace(brief, datasets=recipe.datasets[:1])]
    if others := recipe.datasets[1:]:
        parts.append(replace(brief, methods=recipe.methods[-1:], datasets=others))
    for part in parts:
        outcome = suite.run(part, out=folder / "runs" / name.partition("/")[0])
        assert {record.status for record in outcome.records} == {"ok"}, [r.reason for r in outcome.records if r.reason]
        assert all(record.parameters is not None for record in outcome.records), "it was not built"
