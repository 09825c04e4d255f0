"""``benchsuite plugins check`` catches plugins that are wrong by the very mistake, and lets sound ones pass."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import FIXTURES, CommandLine

from benchsuite import Method
from benchsuite.harness.pluginfiles import load_file
from benchsuite.harness.registry import PluginInfo, Registry
from benchsuite.testing.contract import tried
from benchsuite.testing.declared import checks_of_parameters
from benchsuite.testing.finding import Finding
from benchsuite.testing.inspection import CHECKS, checks_of

SOUND = FIXTURES / "wrong" / "sound_methods.py"
WRONG = sorted(path for path in (FIXTURES / "wrong").glob("*.py") if path != SOUND)
# These take their process along, so that they cannot be tried in this one.
FATAL = {"method_never_ends", "method_ends_the_process"}


def expected(path: Path) -> str:
    """The words of the message, which the first line of the file has."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith('"""Expected: ')
    return first.removeprefix('"""Expected: ').rstrip('"')


def words(text: str) -> str:
    """The words of a text, however it was wrapped."""
    return " ".join(text.split())


def findings(path: Path) -> list[Finding]:
    registry = Registry()
    info = PluginInfo(path.stem, path.stem, "", "", file=str(path))
    registry.add(path.stem, lambda: load_file(path), info)
    return [tried(check) for check in checks_of(path.stem, [], registry)]


def test_there_are_twenty_wrong_plugins_and_more() -> None:
    assert len(WRONG) >= 20 and len({expected(path) for path in WRONG}) >= 20


def test_what_the_wrong_methods_change_is_sound() -> None:
    found = findings(SOUND)
    assert len(found) > 50 and not [finding for finding in found if finding.verdict == "failed"]


@pytest.mark.parametrize("path", [path for path in WRONG if path.stem not in FATAL], ids=lambda path: path.stem)
def test_a_wrong_plugin_is_caught_by_its_mistake(path: Path) -> None:
    failed = [finding for finding in findings(path) if finding.verdict == "failed"]
    assert any(expected(path) in words(finding.text) for finding in failed), failed
    assert len(failed) <= 2  # the mistake, and perhaps one thing that follows from it
    for finding in failed:
        assert re.match(r"expected: .*\n     got: .*\n    read: docs/plugins/\w+\.md#[\w-]+$", finding.text, re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("path", WRONG[::3], ids=lambda path: path.stem)
def test_the_command_catches_it_as_well(path: Path, command_line: CommandLine) -> None:
    result = command_line("plugins", "check", str(path), "--limit", "10", check=1)
    assert expected(path) in words(result.stdout)


@pytest.mark.parametrize(
    ("name", "limit"),
    [("method_never_ends", "4"), ("method_ends_the_process", "60"), ("method_samples_flat_rows", "60")],
)
def test_the_command_survives_what_it_checks(name: str, limit: str, command_line: CommandLine) -> None:
    path = FIXTURES / "wrong" / f"{name}.py"
    result = command_line("plugins", "check", str(path), "--limit", limit, "--json", check=1)
    found = [Finding(**each) for each in json.loads(result.stdout)]
    assert found[0].claim == "loads, and provides something" and found[0].verdict == "ok"
    assert any(expected(path) in words(f.text) for f in found if f.verdict == "failed")


def test_a_sound_plugin_passes_and_is_told_in_full(command_line: CommandLine) -> None:
    result = command_line("plugins", "check", "pca", check=0)
    assert "method 'pca':" in result.stdout
    assert re.search(r"\n  ok +a saved model is the same model\n", result.stdout)
    assert re.search(r"\n\d+ checks in [\d.]+ s: \d+ ok, 0 failed, \d+ skipped\n", result.stdout)


def test_parameters_can_be_given_to_what_is_checked(command_line: CommandLine) -> None:
    result = command_line("plugins", "check", "pca", "pca[latent_dim=2]", "--json", check=0)
    assert len(json.loads(result.stdout)) > 10
    refused = command_line("plugins", "check", "pca", "vae", check=2)
    assert "no plugin of pca named 'vae'" in refused.stderr


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("pcaa", "no distribution or plugin named 'pcaa'; did you mean 'pca'?"),
        ("nowhere.py", "--plugin nowhere.py: there is no such file"),
    ],
)
def test_what_is_not_there_is_a_usage_error(target: str, words: str, command_line: CommandLine) -> None:
    assert words in command_line("plugins", "check", target, check=2).stderr


def test_a_blocked_plugin_is_not_checked(command_line: CommandLine) -> None:
    assert "is blocked by --no-plugin" in command_line("plugins", "check", "pca", "--no-plugin", "pca", check=2).stderr


def test_a_value_without_an_annotation_is_remarked_on() -> None:
    class Forgetful(Method):
        name = "forgetful"
        latent_dim: int | None = None
        width = 8

    (check,) = (c for c in checks_of_parameters("it", Forgetful) if c.claim == "its hyper-parameters are annotated")
    assert check.run() == "constants, which cannot be chosen since they have no annotation: width"


def test_every_kind_has_a_contract() -> None:
    from benchsuite.harness.registry import KINDS

    assert set(CHECKS) == set(KINDS)
