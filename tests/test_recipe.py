"""Selections, seeds, durations and recipe files say what they mean, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchsuite.errors import RecipeError, SelectionError, UsageError
from benchsuite.harness.recipe import (
    Recipe,
    Selection,
    parse_duration,
    parse_seeds,
    parse_selections,
    parse_size,
    read_recipe,
    recipe_from,
)

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
values = st.from_regex(r"[a-z0-9.+-]{1,8}", fullmatch=True)


@given(
    st.lists(
        st.builds(
            lambda name, params, label: Selection(name, tuple(params.items()), label),
            names,
            st.dictionaries(names, values | st.lists(values, min_size=1, max_size=3).map(tuple), max_size=3),
            st.none() | names,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_selection_reads_back_as_it_was_written(selections: list[Selection]) -> None:
    assert parse_selections(",".join(map(str, selections))) == tuple(selections)


def test_a_value_may_itself_be_a_selection() -> None:
    (selection,) = parse_selections("fd[features=inception[protocol=clean]]@clean")
    assert selection.params == (("features", "inception[protocol=clean]"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "glo,",
        "glo[",
        "glo]",
        "glo[epochs]",
        "glo[epochs=]",
        "glo[=3]",
        "glo[a=1,a=2]",
        "3glo",
        "glo@",
        "glo@a b",
    ]
    + ["glo[epochs=3]x", "glo[a=[1,2]", "[epochs=3]", "glo@a@b"],
)
def test_what_does_not_parse_is_refused_with_what_was_given(text: str) -> None:
    with pytest.raises(SelectionError) as raised:
        parse_selections(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("text", "seeds"), [("3", (0, 1, 2)), ("4,7", (4, 7)), ("7,", (7,)), ("1", (0,))])
def test_seeds_are_a_count_a_list_or_one(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1,1", "1.5", ",", "4,-7"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(SelectionError, match="seed"):
        parse_seeds(text)


def test_durations_and_sizes() -> None:
    assert [parse_duration(t) for t in ("90", "90s", "30m", "1h30m", "0.5m")] == [90, 90, 1800, 5400, 30]
    assert [parse_size(t) for t in ("8G", "512M", "1KiB", "12", "0.5g")] == [2**33, 2**29, 1024, 12, 2**29]
    for text in ("", "0s", "m", "3x", "-1m"):
        with pytest.raises(SelectionError):
            parse_duration(text)
    for text in ("", "0", "G", "8Q", "-1G"):
        with pytest.raises(SelectionError):
            parse_size(text)


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="no recipe key named 'epoch'; known:|did you mean"):
        recipe_from({"methods": "pca", "epoch": 3})
    with pytest.raises(RecipeError, match="no recipe key named 'method'; did you mean 'methods'"):
        recipe_from({"method": "pca"})


@pytest.mark.parametrize(
    ("key", "value"),
    [("seeds", [-1]), ("seeds", [True]), ("seeds", []), ("seeds", [1, 1]), ("executor", 3), ("device", 3)]
    + [("samples", 1), ("samples", "many"), ("threads", 0), ("jobs", 0), ("latent_dim", 0), ("latent_dim", 2.5)]
    + [("precision", "fp8"), ("keep", "all"), ("device", "tpu"), ("methods", 3), ("methods", [])],
)
def test_a_value_out_of_range_is_refused(key: str, value: object) -> None:
    with pytest.raises(UsageError, match=key if key != "methods" else "."):
        recipe_from({"methods": "pca", key: value})


def test_one_method_twice_needs_another_label() -> None:
    with pytest.raises(SelectionError, match="selected twice"):
        recipe_from({"methods": "pca,pca"})
    assert len(recipe_from({"methods": "pca,pca@again"}).methods) == 2


def test_a_recipe_reads_back_from_its_own_json() -> None:
    recipe = recipe_from(
        {"methods": "glo[epochs=3]@g,pca", "seeds": "4,7", "metrics": "psnr", "timeout": "30m", "memory_limit": "8G"}
    )
    assert recipe_from(recipe.to_json()) == recipe


def test_only_what_changes_numbers_changes_a_recipes_identity() -> None:
    base = {"methods": "pca"}
    same = [{"jobs": 2}, {"timeout": "1m"}, {"memory_limit": "1G"}, {"keep": "none"}]
    other = [{"seeds": 2}, {"latent_dim": 4}, {"threads": 2}, {"device": "cpu"}, {"metrics": "psnr"}, {"samples": 10}]
    assert all(recipe_from(base | change).identity() == recipe_from(base).identity() for change in same)
    assert len({recipe_from(base | change).identity() for change in [{}, *other]}) == 1 + len(other)


def test_a_runs_name_is_a_plain_folder_name() -> None:
    recipe = Recipe(parse_selections("glo[epochs=3],dcgan[loss=kl]@kl" + ",pca@p" * 30))
    assert "/" not in recipe.name() and "[" not in recipe.name() and len(recipe.name()) < 100


def test_a_recipe_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        read_recipe(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("methods = [")
    with pytest.raises(RecipeError, match="is no TOML"):
        read_recipe(tmp_path / "bad.toml")
