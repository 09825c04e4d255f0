"""Identity: hashes that change when, and only when, a number could change."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import benchsuite
from benchsuite.harness.belonging import are_of_one
from benchsuite.kit.files import digest

# What every cell runs through, whether or not its plugins import it by name.
CORE_MODULES = (
    "benchsuite.contracts",
    "benchsuite.harness.loading",
    "benchsuite.kit.samples",
    "benchsuite.kit.training",
)


def source_fingerprint(module: str) -> str:
    """A hash of the source of ``module`` and of what it imports, directly or not, of its distribution
    and of benchsuite.

    The source is parsed and compared without comments and docstrings, so that those change nothing.
    """
    return digest({name: _parsed(name) for name in sorted(_closure((module, *CORE_MODULES)))})


def _closure(modules: Iterable[str]) -> set[str]:
    waiting, seen = list(modules), set()
    while waiting:
        name = waiting.pop()
        path = _source_path(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        packages = {name.partition(".")[0], "benchsuite"}
        waiting += [m for m in _imported(name) if m.partition(".")[0] in packages or _belongs(m, path)]
    return seen


def _belongs(module: str, beside: Path) -> bool:
    place = _place_of_top(module.partition(".")[0])
    return place is not None and are_of_one(place, beside)


@functools.cache
def _place_of_top(name: str) -> Path | None:
    """Where the module or package ``name`` lies, which is looked for and not imported."""
    try:
        spec = importlib.util.find_spec(name) if name else None
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin in ("built-in", "frozen"):
        return None
    places = [spec.origin] if spec.origin else [*(spec.submodule_search_locations or [])]
    return Path(places[0]).resolve() if places else None


@functools.cache
def _source_path(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin).resolve()


@functools.cache
def _tree(module: str) -> ast.Module:
    path = _source_path(module)
    assert path is not None
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _parsed(module: str) -> str:
    tree = ast.parse(ast.unparse(_tree(module)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@functools.cache
def _imported(module: str) -> frozenset[str]:
    """The modules that ``module`` names in its imports; names of benchsuite's public face lead to their homes."""
    found: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "benchsuite":
            found.add(f"benchsuite.{node.attr}")
    homes = {f"benchsuite.{name}": home for home, names in benchsuite.PUBLIC_NAMES.items() for name in names}
    found = {homes.get(name, name) for name in found}
    # The face itself is only a table of names, and an executor's home would pull in the whole harness.
    return frozenset(found - {"benchsuite", "benchsuite.suite"})


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    path = _source_path(module)
    parts = module.split(".")
    if path is None or path.name != "__init__.py":
        parts = parts[:-1]
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])
