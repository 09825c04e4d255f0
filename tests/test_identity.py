"""Identity changes when a number could change, and comments and docstrings change none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchsuite.harness import identity

PLUGIN = '''"""A plugin."""
from dataclasses import dataclass
import benchsuite
from parcel import nets
from parcel.deep.layers import depth

@dataclass(frozen=True)
class Thing(benchsuite.Method):
    """Does things."""
    name = "thing"
'''


@pytest.fixture
def parcel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a plugin that imports a module, which imports another relatively, and one that nobody imports."""
    folder = tmp_path / "parcel"
    (folder / "deep").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "plugin.py": PLUGIN,
        "nets.py": "from .deep import shared\n\nWIDTH = 3\n",
        "deep/__init__.py": "",
        "deep/layers.py": "depth = 2\n",
        "deep/shared.py": "value = 1\n",
        "unused.py": "value = 1\n",
    }.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [n for n in sys.modules if n.startswith("parcel")]:
        del sys.modules[name]
    forget()


def forget() -> None:
    for cached in (identity._source_path, identity._tree, identity._parsed, identity._imported):
        cached.cache_clear()


def fingerprint() -> str:
    forget()
    return identity.source_fingerprint("parcel.plugin")


@pytest.mark.parametrize("file", ["plugin.py", "nets.py", "deep/layers.py", "deep/shared.py"])
def test_code_that_a_plugin_imports_directly_or_not_is_part_of_its_identity(parcel: Path, file: str) -> None:
    before = fingerprint()
    path = parcel / file
    path.write_text(path.read_text() + "\nadded = 1\n")
    assert fingerprint() != before


def test_comments_docstrings_and_layout_are_not(parcel: Path) -> None:
    before = fingerprint()
    text = PLUGIN.replace('"""Does things."""', '"""Does other things."""').replace("A plugin.", "Another.")
    (parcel / "plugin.py").write_text("# a comment\n" + text.replace('name = "thing"', 'name   =  "thing"  # why'))
    (parcel / "nets.py").write_text('"""Now with a docstring."""\n\nfrom .deep import shared\n\nWIDTH = 3\n')
    assert fingerprint() == before


def test_code_that_nobody_imports_is_not(parcel: Path) -> None:
    before = fingerprint()
    (parcel / "unused.py").write_text("value = 2\n")
    assert fingerprint() == before


def test_a_public_name_leads_to_the_module_it_lives_in() -> None:
    forget()
    closure = identity._closure(("benchsuite_plugins.methods.glo",))
    assert {"benchsuite.kit.models", "benchsuite.kit.training", "benchsuite.kit.checkpoints"} <= closure
    assert not {m for m in closure if m.startswith(("benchsuite.cli", "benchsuite.harness", "benchsuite.results"))}
