"""The registry takes in what plugins provide, and keeps what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from benchsuite import Method, Metric, hookimpl
from benchsuite.errors import PluginError, UnknownNameError
from benchsuite.harness.registry import KINDS, PluginInfo, Registry, load_registry


def plugin(name: str, **functions: Callable[..., Any]) -> ModuleType:
    module = ModuleType(name)
    for key, function in functions.items():
        function.__module__ = name
        setattr(module, key, function)
    return module


def add(registry: Registry, name: str, load: Callable[[], ModuleType], distribution: str = "acme") -> PluginInfo:
    info = PluginInfo(name, name, distribution, "1.0")
    registry.add(name, load, info)
    return info


def method(name: str) -> type[Method]:
    @dataclass(frozen=True)
    class Some(Method):
        def build(self, spec: Any) -> Any: ...

        def fit(self, model: Any, train: Any, run: Any) -> None: ...

    Some.name = name
    return Some


def provider(*items: Any, hook: str = "benchsuite_methods") -> dict[str, Callable[[], Any]]:
    @hookimpl
    def provide() -> Any:
        return list(items)

    provide.__name__ = hook
    return {hook: provide}


def test_every_built_in_plugin_is_sound_and_provides_something() -> None:
    own = [p for p in load_registry().plugins if p.distribution == "benchsuite"]
    assert own and not [p for p in own if p.problem or not p.provides]
    assert {"pca", "vae", "dcgan", "glo"} <= set(load_registry().names("methods"))


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match="no method named 'vea'; did you mean 'vae'\\? known: ali, avb, dcgan, gan, glo"
    ):
        load_registry().get("methods", "vea")


@pytest.mark.parametrize("error", [ImportError("no such library"), SystemExit(3), RuntimeError("at import")])
def test_a_plugin_that_fails_to_import_is_a_row_and_an_error_only_when_selected(error: BaseException) -> None:
    def fail() -> ModuleType:
        raise error

    registry = Registry()
    info = add(registry, "broken", fail)
    assert str(error) in info.problem
    with pytest.raises(PluginError, match="plugin 'broken' \\(acme 1.0\\) is broken"):
        registry.get("methods", "broken")
    with pytest.raises(UnknownNameError, match="broken plugins, see 'benchsuite plugins list': broken"):
        registry.get("methods", "other")


def test_a_misspelt_hook_is_named_with_the_one_that_was_meant() -> None:
    registry = Registry()
    info = add(registry, "p", lambda: plugin("p", **provider(hook="benchsuite_method")))
    assert "no hook named 'benchsuite_method'; did you mean 'benchsuite_methods'?" in info.problem


def test_a_hook_that_is_not_marked_is_told_apart_from_no_hook() -> None:
    def benchsuite_methods() -> list[Any]:
        return []

    registry = Registry()
    info = add(registry, "p", lambda: plugin("p", benchsuite_methods=benchsuite_methods))
    assert "benchsuite_methods is not marked as a hook" in info.problem


def test_a_hook_with_an_argument_that_it_is_not_given_is_refused() -> None:
    @hookimpl
    def benchsuite_methods(registry: Any) -> list[Any]:
        return []

    registry = Registry()
    assert (
        "PluginValidationError"
        in add(registry, "p", lambda: plugin("p", benchsuite_methods=benchsuite_methods)).problem
    )


def test_a_name_provided_twice_is_refused_for_both() -> None:
    registry = Registry()
    infos = [add(registry, n, lambda n=n: plugin(n, **provider(method("twin"), method(n)))) for n in ("a", "b", "c")]
    assert all("provided twice" in info.problem for info in infos)
    with pytest.raises(PluginError, match="'twin' is provided twice: by plugin 'a' .* and by plugin"):
        registry.get("methods", "twin")
    assert registry.get("methods", "a").name == "a"


def test_an_entry_point_name_used_twice_is_refused_for_both() -> None:
    registry = Registry()
    first = add(registry, "p", lambda: plugin("p", **provider(method("mine"))))
    second = add(registry, "p", lambda: plugin("p", **provider(method("yours"))), distribution="rival")
    assert "also used by plugin 'p' (rival 1.0)" in first.problem
    assert "also used by plugin 'p' (acme 1.0)" in second.problem
    for name in ("mine", "p"):
        with pytest.raises(PluginError, match="entry point name is also used"):
            registry.get("methods", name)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (int, "returns subclasses of Method"),
        (method("x")(), "returns subclasses of Method"),
        (type("Nameless", (method("x"),), {"name": None}), "has no name"),
        (type("Abstract", (Method,), {"name": "abstract"}), "abstract does not define build, fit"),
        (type("Plain", (method("x"),), {"name": "plain", "__annotations__": {"size": int}}), "no frozen dataclass"),
    ],
)
def test_what_a_hook_must_not_return_is_named(item: Any, message: str) -> None:
    registry = Registry()
    assert message in add(registry, "p", lambda: plugin("p", **provider(item))).problem


def test_a_metric_hook_returns_metrics() -> None:
    registry = Registry()
    bad = add(registry, "bad", lambda: plugin("bad", **provider(len, hook="benchsuite_metrics")))
    assert "returns Metric objects" in bad.problem
    good = Metric("length", len, higher_is_better=None)
    assert not add(registry, "good", lambda: plugin("good", **provider(good, hook="benchsuite_metrics"))).problem
    assert registry.get("metrics", "length") is good


def test_none_means_that_a_plugin_has_none() -> None:
    @hookimpl
    def benchsuite_methods() -> None:
        return None

    registry = Registry()
    assert not add(registry, "p", lambda: plugin("p", benchsuite_methods=benchsuite_methods)).problem
    assert not any(registry.names(kind) for kind in KINDS)
