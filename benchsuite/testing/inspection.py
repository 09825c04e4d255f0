"""What is to be checked of a plugin: that it loads, and the contract of everything that it provides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchsuite.errors import UnknownNameError, UsageError, unknown_name
from benchsuite.harness.binding import make
from benchsuite.harness.pluginfiles import is_imported_from, module_of
from benchsuite.harness.recipe import Selection, parse_selections
from benchsuite.harness.registry import PluginInfo, Registry
from benchsuite.testing.contract import BrokenContractError, Check
from benchsuite.testing.datasets import dataset_checks
from benchsuite.testing.executors import executor_checks
from benchsuite.testing.extractors import extractor_checks
from benchsuite.testing.methods import method_checks
from benchsuite.testing.metrics import metric_checks
from benchsuite.testing.reporters import reporter_checks

_PAGE = "docs/plugins/hooks.md"
CHECKS: dict[str, Callable[[Any], list[Check]]] = {
    "methods": method_checks,
    "datasets": dataset_checks,
    "metrics": metric_checks,
    "features": extractor_checks,
    "executors": executor_checks,
    "reporters": reporter_checks,
}
_SELECTABLE = ("methods", "datasets", "features")  # with parameters


def checks_of(target: str, selections: Sequence[str], registry: Registry) -> list[Check]:
    """Every check of the plugins that ``target`` names: a distribution, a plugin, something provided, or a file.

    ``selections`` are names of what to check, with parameters where these need values: ``waves[size=3]``; none means
    all. Raises UsageError for what does not exist.
    """
    plugins = plugins_of(target, registry)
    chosen = [selection for text in selections for selection in parse_selections(text)]
    checks = []
    for plugin in plugins:
        checks.append(Check(str(plugin), "loads, and provides something", _loading(plugin, registry)))
        provided = [(kind, name) for kind, names in plugin.provides.items() for name in names if not plugin.problem]
        for kind, name in provided:
            for selection in chosen or [Selection(name)]:
                if selection.name == name:
                    checks += CHECKS[kind](_selected(kind, selection, registry))
    known = [name for plugin in plugins for names in plugin.provides.values() for name in names]
    for selection in chosen:
        if selection.name not in known:
            raise unknown_name(f"plugin of {target}", selection.name, known)
    return checks


def plugins_of(target: str, registry: Registry) -> list[PluginInfo]:
    """The plugins that ``target`` names. Raises UnknownNameError for none, UsageError where they are blocked."""
    found = [p for p in registry.plugins if target in (p.name, p.distribution) or _is_file_of(target, p)]
    found = found or [p for p in registry.plugins if any(target in names for names in p.provides.values())]
    if not found:
        known = {name for p in registry.plugins for name in (p.name, p.distribution) if name}
        error = unknown_name("distribution or plugin", target, known)
        raise UnknownNameError(f"{error}; of code that is not installed, name the file: NAME.py")
    blocked = [p for p in found if p.blocked]
    if blocked:
        raise UsageError(f"{blocked[0]} is blocked by --no-plugin; nothing of it is loaded")
    return found


def _is_file_of(target: str, plugin: PluginInfo) -> bool:
    """Whether ``target`` is the file of ``plugin``, which may be installed."""
    if not target.endswith(".py"):
        return False
    path = Path(target).resolve()
    return plugin.file == str(path) or (plugin.module == module_of(path) and is_imported_from(path))


def _loading(plugin: PluginInfo, registry: Registry) -> Callable[[], None]:
    def run() -> None:
        module = registry.manager.get_plugin(plugin.name)
        hooks = registry.manager.get_hookcallers(module) if module is not None else None
        if not plugin.problem and (plugin.provides or hooks):
            return
        raise BrokenContractError(
            expected="a module that can be imported, whose hooks are known and return what they should",
            got=plugin.problem or "it has no hook, or its hooks return nothing; mark one with @benchsuite.hookimpl",
            read=f"{_PAGE}#hooks",
        )

    return run


def _selected(kind: str, selection: Selection, registry: Registry) -> Any:
    """What is checked: an instance where parameters are given, else what the hook returned."""
    if selection.params and kind in _SELECTABLE:
        return make(kind, selection.name, dict(selection.params), registry)
    if selection.params:
        raise UsageError(f"'{selection}': parameters can be given to {', '.join(_SELECTABLE)}")
    return registry.get(kind, selection.name)
