"""The registry: plugins found by entry point, loaded one at a time, and the names they provide."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from benchsuite import hookspecs
from benchsuite.contracts import Dataset, Executor, FeatureExtractor, Method, Metric
from benchsuite.errors import PluginError, UnknownNameError, unknown_name
from benchsuite.harness.pluginfiles import blocked_plugins, is_imported_from, load_file, module_of, plugin_files
from benchsuite.parameters import parameters_of
from benchsuite.reports import Reporter

_GROUP = "benchsuite"
_HERE = Path(__file__).parents[1]
_CLASSES: dict[str, type] = {
    "methods": Method,
    "datasets": Dataset,
    "features": FeatureExtractor,
    "executors": Executor,
    "reporters": Reporter,
}
KINDS = ("methods", "datasets", "metrics", "features", "executors", "reporters")


@dataclass
class PluginInfo:
    """One plugin: where it comes from, what it provides, and why it does not work where it does not.

    ``file`` is the path of one that is a file and not installed. One that is ``blocked`` was not loaded.
    """

    name: str
    module: str
    distribution: str
    version: str
    provides: dict[str, list[str]] = field(default_factory=dict)
    problem: str = ""
    blocked: bool = False
    file: str = ""

    def __str__(self) -> str:
        return f"plugin '{self.name}' ({self.origin})"

    @property
    def origin(self) -> str:
        """Its distribution with the version, or its file."""
        return self.file or f"{self.distribution} {self.version}"

    @property
    def status(self) -> str:
        """Whether it works: ``ok``, ``blocked``, or what is wrong with it."""
        return "blocked by --no-plugin" if self.blocked else self.problem or "ok"


class Registry:
    """Names and what they stand for. A broken plugin is a row in ``plugins`` and an error only when selected."""

    def __init__(self) -> None:
        self.plugins: list[PluginInfo] = []
        self.manager = pluggy.PluginManager("benchsuite")
        self.manager.add_hookspecs(hookspecs)
        self._names: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._problems: dict[tuple[str, str], str] = {}

    def names(self, kind: str) -> list[str]:
        """The usable names of one kind, sorted."""
        return sorted(self._names[kind])

    def get(self, kind: str, name: str) -> Any:
        """What ``name`` stands for.

        Raises PluginError where its plugin is broken or its name is taken twice, UnknownNameError where nothing
        answers to it.
        """
        if name in self._names[kind]:
            return self._names[kind][name]
        problem = self._problems.get((kind, name))
        broken = [p for p in self.plugins if p.problem and p.name == name]
        if problem or broken:
            raise PluginError(problem or f"{broken[0]} is broken: {broken[0].problem}")
        noun = "feature extractor" if kind == "features" else kind.removesuffix("s")
        error = unknown_name(noun, name, self._names[kind])
        for what in ("broken", "blocked"):
            others = [p for p in self.plugins if (p.problem if what == "broken" else p.blocked)]
            if others:
                error = UnknownNameError(f"{error}\n{what} plugins, see 'benchsuite plugins list': {_list(others)}")
        raise error

    def add(self, name: str, load: Callable[[], ModuleType], info: PluginInfo) -> None:
        """Load one plugin and take in what it provides; whatever goes wrong is kept as ``info.problem``."""
        self.plugins.append(info)
        twin = next((p for p in self.plugins if p.name == name and p is not info), None)
        if twin is not None:
            self._refuse_both(info, twin)
            return
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is not the answer to --json
                module = load()
            _check_version(module)
            self.manager.register(module, name=name)
            self._check_hooks(module)
            provided = {kind: self._provided(module, kind) for kind in KINDS}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything at import, SystemExit included
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)
            info.problem = str(error) if isinstance(error, PluginError) else f"{_said(error)}{_place_of(error)}"
            return
        for kind, items in provided.items():
            for item in items:
                self._take(kind, item, info)

    def _refuse_both(self, info: PluginInfo, twin: PluginInfo) -> None:
        info.problem = f"its entry point name is also used by {twin}; rename one, or leave one out by --no-plugin"
        twin.problem = f"its entry point name is also used by {info}; rename one, or leave one out by --no-plugin"
        if self.manager.has_plugin(twin.name):
            self.manager.unregister(name=twin.name)
        for kind, names in twin.provides.items():
            for name in names:
                self._names[kind].pop(name, None)
                self._problems[kind, name] = f"{twin} is broken: {twin.problem}"

    def _check_hooks(self, module: ModuleType) -> None:
        """pluggy lets a misspelt hook pass in silence, and a hook that is not marked as well."""
        known = [name for name in vars(hookspecs) if name.startswith("benchsuite_")]
        for name, value in vars(module).items():
            if not inspect.isfunction(value) or getattr(value, "__module__", None) != module.__name__:
                continue
            marked = hasattr(value, "benchsuite_impl")
            if marked and name not in known:
                raise PluginError(str(unknown_name("hook", name, known)))
            if not marked and name in known:
                raise PluginError(f"{name} is not marked as a hook; write @benchsuite.hookimpl above it")
        self.manager.check_pending()

    def _provided(self, module: ModuleType, kind: str) -> Sequence[Any]:
        hook = getattr(self.manager.hook, f"benchsuite_{kind}")
        implementation = next((i for i in hook.get_hookimpls() if i.plugin is module), None)
        items = implementation.function() if implementation else None
        if items is None:
            return ()
        if not isinstance(items, list | tuple):
            raise PluginError(f"benchsuite_{kind} returned {items!r}; it returns a list")
        for item in items:
            _check_item(kind, item)
        return items

    def _take(self, kind: str, item: Any, info: PluginInfo) -> None:
        owners = [p for p in self.plugins if item.name in p.provides.get(kind, ())]
        info.provides.setdefault(kind, []).append(item.name)
        if owners:
            singular = kind.removesuffix("s")
            problem = (
                f"{singular} '{item.name}' is provided twice: by {owners[0]} and by {info}; "
                "rename one, or leave one out by --no-plugin"
            )
            self._problems[kind, item.name] = problem
            self._names[kind].pop(item.name, None)
            owners[0].problem = info.problem = problem
        else:
            self._names[kind][item.name] = item


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _place_of(error: BaseException) -> str:
    """The line that raised ``error`` while a plugin was imported; empty for what names its own, or was never begun."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    known = isinstance(error, SyntaxError | ModuleNotFoundError)
    outside = [frame for frame in frames if not Path(frame.filename).is_relative_to(_HERE)]
    return f", at {outside[-1].filename}:{outside[-1].lineno}" if outside and not known else ""


def _check_version(module: ModuleType) -> None:
    """Raise PluginError where ``module`` was written for another version of the plugin interface."""
    version = getattr(module, "benchsuite_api", hookspecs.API_VERSION)
    if version != hookspecs.API_VERSION:
        change = "up" if isinstance(version, int) and version > hookspecs.API_VERSION else "down"
        raise PluginError(
            f"it is written for version {version!r} of the plugin interface, and this benchsuite has "
            f"{hookspecs.API_VERSION}; {change}grade benchsuite, or the plugin"
        )


def _check_item(kind: str, item: Any) -> None:
    """Raise PluginError unless ``item`` is what the hook of ``kind`` returns."""
    if kind == "metrics":
        if not isinstance(item, Metric):
            raise PluginError(f"benchsuite_metrics returned {item!r}; it returns Metric objects")
        _check_parameters(item.name, item.compute)
        return
    base = _CLASSES[kind]
    if not (inspect.isclass(item) and issubclass(item, base)):
        raise PluginError(f"benchsuite_{kind} returned {item!r}; it returns subclasses of {base.__name__}")
    name = getattr(item, "name", None)
    if not isinstance(name, str):
        raise PluginError(f"{item.__name__} has no name; write name = '...' in its body")
    missing = sorted(getattr(item, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"{name} does not define {', '.join(missing)}")
    if issubclass(item, Method | Dataset | FeatureExtractor) and not _is_own_frozen_dataclass(item):
        raise PluginError(f"{name} is no frozen dataclass; write @dataclass(frozen=True) above it")

    if issubclass(item, Dataset) and not isinstance(getattr(item, "latent_dim", None), int):
        raise PluginError(f"{name} has no latent_dim; write latent_dim = 8, say, in its body")
    _check_parameters(name, item)


def _check_parameters(name: str, owner: Any) -> None:
    try:
        parameters_of(owner)
    except Exception as error:  # annotations are a plugin's code
        raise PluginError(f"the parameters of {name} cannot be read: {type(error).__name__}: {error}") from None


def _is_own_frozen_dataclass(item: type) -> bool:
    """An inherited one will do for a class that declares nothing which would have to become a field."""
    parameters = getattr(item, "__dataclass_params__", None)
    is_own = "__dataclass_params__" in vars(item) or not inspect.get_annotations(item)
    return dataclasses.is_dataclass(item) and is_own and parameters is not None and parameters.frozen


def _list(plugins: list[PluginInfo]) -> str:
    return ", ".join(p.name for p in plugins)


def load_registry() -> Registry:
    """The registry of every plugin that is installed or named as a file, but for those that are blocked.

    It is loaded once per process. Raises UnknownNameError where a name is blocked that no plugin has.
    """
    return _loaded(plugin_files(), blocked_plugins())


@functools.cache
def _loaded(files: tuple[Path, ...], blocked: tuple[str, ...]) -> Registry:
    registry = Registry()
    installed = _installed()
    entry_points_of = {info.module for info, _ in installed}
    not_installed = [path for path in files if not (module_of(path) in entry_points_of and is_imported_from(path))]
    found = [*installed, *_in_files(not_installed)]
    known = {each for info, _ in found for each in (info.name, info.distribution) if each not in ("", "benchsuite")}
    for name in blocked:
        if name not in known:
            raise unknown_name("plugin", name, known)
    for info, load in found:
        if info.name in blocked or info.distribution in blocked:
            registry.plugins.append(dataclasses.replace(info, blocked=True))
        else:
            registry.add(info.name, load, info)
    return registry


_Found = tuple[PluginInfo, Callable[[], ModuleType]]


def _installed() -> list[_Found]:
    found = []
    for entry_point in sorted(entry_points(group=_GROUP), key=_order):
        distribution, version = _origin(entry_point)
        info = PluginInfo(entry_point.name, entry_point.value, distribution, version)
        found.append((info, entry_point.load))
    return found


def _in_files(files: Sequence[Path]) -> list[_Found]:
    found: list[_Found] = []
    for path in files:
        module = module_of(path)
        info = PluginInfo(module.rpartition(".")[2], module, "", "", file=str(path))
        found.append((info, functools.partial(load_file, path)))
    return found


def _origin(entry_point: EntryPoint) -> tuple[str, str]:
    return (entry_point.dist.name, entry_point.dist.version) if entry_point.dist else ("unknown", "0")


def _order(entry_point: EntryPoint) -> tuple[bool, str, str]:
    distribution = _origin(entry_point)[0]
    return distribution != "benchsuite", distribution, entry_point.name
