"""A report says how to make its run again, and the command that it gives makes the same recipe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchsuite.cli.options import recipe_flags, recipe_of
from benchsuite.harness.recipe import Recipe, recipe_from
from benchsuite.harness.store import RunStore
from benchsuite.results.gathering import gather
from benchsuite.results.provenance import provenance


def said_of(folder: Path, **run: Any) -> dict[str, Any]:
    store = RunStore(folder / "run")
    store.create()
    store.write_run({"cells": [], **run})
    return dict(provenance(gather([store])))


def read_back(command: str) -> Recipe:
    found: list[Recipe] = []

    @click.command()
    @recipe_flags
    def run(recipe_file: Path | None, **flags: Any) -> None:
        found.append(recipe_of(recipe_file, flags))

    words = shlex.split(command)
    assert words[:2] == ["benchsuite", "run"]
    result = CliRunner().invoke(run, words[2:], catch_exceptions=False)
    assert found, result.output
    return found[0]


@pytest.mark.parametrize(
    "recipe",
    [
        {"methods": "pca"},
        {"methods": "glo[epochs=[5,10]],dcgan[loss=kl]@kl", "datasets": "digits,ring@r", "seeds": 3},
        {"methods": "gan[generator_hidden=[20,20]]", "seeds": "7,", "metrics": "fd[features=classifier],psnr"},
        {"methods": "pca", "seeds": "4,7", "latent_dim": 3, "subset": 100, "samples": 50, "threads": 2},
        {"methods": "pca", "budget": "90s", "timeout": "1h30m", "memory_limit": "8G", "jobs": 2, "keep": "none"},
        {"methods": "pca", "device": "cpu", "precision": "bf16", "seeds": list(range(1200))},
    ],
)
def test_the_command_makes_the_same_recipe(tmp_path: Path, recipe: dict[str, Any]) -> None:
    resolved = recipe_from(recipe)
    again = said_of(tmp_path, recipe=resolved.to_json())["runs"][0]["again"]
    assert read_back(again) == resolved


def test_what_was_scored_later_is_part_of_the_command(tmp_path: Path) -> None:
    recipe = recipe_from({"methods": "pca", "metrics": "psnr"}).to_json()
    cells = [{"key": "k", "method": "pca", "dataset": "digits", "seed": 0, "metrics": ["psnr", "fd"]}]
    scored = [["/usr/bin/benchsuite", "score", "run", "--metrics", "fd"]]
    found = said_of(tmp_path, recipe=recipe, cells=cells, scored=scored)
    assert read_back(found["runs"][0]["again"]) == recipe_from({"methods": "pca", "metrics": "psnr,fd"})
    assert found["scored"] == [["benchsuite", "score", "run", "--metrics", "fd"]]


def test_labels_are_told_by_what_they_stand_for(tmp_path: Path) -> None:
    recipe = recipe_from({"methods": "glo[epochs=5]@short,pca"}).to_json()
    assert said_of(tmp_path, recipe=recipe)["labels"] == {"short": "glo[epochs=5]"}


@pytest.mark.parametrize("recipe", [{}, {"methods": ["glo[["]}])
def test_a_recipe_of_another_version_stops_no_report(tmp_path: Path, recipe: dict[str, Any]) -> None:
    assert said_of(tmp_path, recipe=recipe)["labels"] == {}
