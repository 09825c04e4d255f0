"""What the plugins of this Python provide, as ``benchsuite list`` prints it and shells complete it.

It is made by loading them all, which imports torch, and kept in the cache as an index, which is read back until what it
was made from changes, see ``freshness``. What else an import depends on, environment variables, devices and data, is
not watched: what makes a plugin broken may be gone unseen, and who asks for reasons has all plugins loaded anew as long
as there is one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsuite.errors import reason_of
from benchsuite.harness.environment import cache_folder
from benchsuite.harness.freshness import has_changed, imported_places, stamps, stamps_of_places, surroundings
from benchsuite.harness.pluginfiles import module_of, plugin_files
from benchsuite.kit.files import digest, write_text

if TYPE_CHECKING:
    from benchsuite.harness.registry import PluginInfo, Registry

Described = dict[str, Any]
_MOST_KEPT = 32  # indexes, of other Pythons, paths and plugin files; each has some 60 KB


@dataclass(frozen=True)
class Catalogue:
    """All that is provided, by kind and sorted by name, and all plugins with what is wrong with them, as JSON has it.

    What is provided has ``name``, ``summary``, ``parameters`` and ``presets``, metrics more. Plugins have the fields of
    ``PluginInfo``, with their hooks beside what they provide, and ``status``: ``ok``, ``broken`` or ``blocked``.
    """

    kinds: dict[str, list[Described]]
    plugins: list[Described]

    @property
    def broken(self) -> list[Described]:
        """The plugins that do not work."""
        return [plugin for plugin in self.plugins if plugin["status"] == "broken"]


def catalogue(*, broken_anew: bool = False) -> Catalogue:
    """The catalogue of all plugins that are installed or named as files, from the index where nothing has changed.

    With ``broken_anew`` it is made anew where a plugin was broken. Raises UnknownNameError where a name is blocked that
    no plugin has. An index that is damaged counts as none, one that cannot be written is not kept.
    """
    path = cache_folder() / "index" / f"{surroundings()}.json"
    kept = _read(path)
    if kept is not None and not (broken_anew and kept.broken):
        return kept
    from importlib.metadata import entry_points

    plugins = {_first_name(entry_point.value) for entry_point in entry_points(group="benchsuite")}
    known = plugins | {module_of(file) for file in plugin_files()}
    is_first = known.isdisjoint(sys.modules)  # else their source may have changed since they were imported
    modules = sorted(plugins | {"benchsuite"})
    began = time.time_ns()
    before = stamps(modules)  # what changes while plugins are loaded is a change

    from benchsuite.harness.registry import load_registry

    made = catalogue_of(load_registry())
    if is_first:
        _keep(path, made, modules, before, began)
    return made


def _first_name(entry_point: str) -> str:
    """The top-level module of what an entry point says, which may be no module at all: then its plugin is broken."""
    return re.split(r"[\s.:\[]", entry_point.strip(), maxsplit=1)[0]


def catalogue_of(registry: Registry) -> Catalogue:
    """The catalogue of what ``registry`` has taken in."""
    from benchsuite.harness.registry import KINDS

    kinds = {kind: [_described(registry.get(kind, name)) for name in registry.names(kind)] for kind in KINDS}
    return Catalogue(kinds, [_described_plugin(plugin, registry) for plugin in registry.plugins])


def written(value: Any) -> str:
    """A default or a preset's value as one would write it in a selection."""
    if value is dataclasses.MISSING:
        return "required"
    if isinstance(value, tuple | list):
        return f"[{','.join(written(item) for item in value)}]"
    return value if isinstance(value, str) else str(value).lower()


def _described(item: Any) -> Described:
    """As JSON has it. What a plugin's own objects raise when they are described becomes the summary."""
    try:
        found: Described = json.loads(json.dumps(_read_off(item), default=str))
    except Exception as error:
        found = {"name": item.name, "summary": f"cannot be described: {reason_of(error)}"}
        found |= {"parameters": [], "presets": {}}
    return found


def _read_off(item: Any) -> Described:
    from benchsuite.contracts import Metric
    from benchsuite.parameters import describe, parameters_of

    owner = item.compute if isinstance(item, Metric) else item
    text = inspect.getdoc(owner) or ""
    if text.startswith(f"{owner.__name__}("):
        text = ""  # the signature that a dataclass without a docstring is given
    parameters = [
        {"name": p.name, "default": written(p.default), "allowed": describe(p.annotation)}
        for p in parameters_of(owner).values()
    ]
    found = {
        "name": item.name,
        "summary": " ".join(text.partition("\n\n")[0].split()),
        "parameters": parameters,
        "presets": {name: dict(values) for name, values in getattr(item, "presets", {}).items()},
    }
    if isinstance(item, Metric):
        found |= {"unit": item.unit, "direction": item.direction, "version": item.version, "default": item.default}
    return found


def _described_plugin(plugin: PluginInfo, registry: Registry) -> Described:
    from benchsuite.harness.registry import KINDS

    found = asdict(plugin) | {"status": "blocked" if plugin.blocked else "broken" if plugin.problem else "ok"}
    if found["status"] == "ok":
        callers = registry.manager.get_hookcallers(registry.manager.get_plugin(plugin.name)) or []
        hooks = [caller.name for caller in callers if caller.name.removeprefix("benchsuite_") not in KINDS]
        found["provides"] |= {"hooks": hooks} if hooks else {}
    return found


def _read(path: Path) -> Catalogue | None:
    """What is kept in ``path``, where it is whole and nothing has changed since it was made."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kept, whole = content["kept"], content["digest"] == digest(content["kept"])
        if whole and kept["stamps"] == stamps(kept["modules"]) | stamps_of_places(kept["places"]):
            return Catalogue(kept["kinds"], kept["plugins"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    return None


def _keep(path: Path, made: Catalogue, modules: list[str], before: dict[str, str], began: int) -> None:
    places = imported_places(besides=modules)  # known only now that all is loaded, since ``began``
    kept = asdict(made) | {"modules": modules, "places": places, "stamps": before | stamps_of_places(places)}
    if has_changed(places, since=began):
        return
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"digest": digest(kept), "kept": kept}))
        for old in sorted(path.parent.iterdir(), key=_modified, reverse=True)[_MOST_KEPT:]:
            old.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    return path.stat().st_mtime
