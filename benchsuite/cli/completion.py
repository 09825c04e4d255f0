"""What a shell completes, from the catalogue: plugins, and inside brackets their parameters, presets and values."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, add_completion_class

from benchsuite.errors import UnknownNameError
from benchsuite.harness.pluginfiles import BLOCKED

if TYPE_CHECKING:
    from benchsuite.harness.catalogue import Catalogue

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_BREAKS = set("=:@")  # what bash takes for words of their own


def selections(*kinds: str) -> Completer:
    """Completes the last of several selections of what plugins provide of ``kinds``."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        known = _catalogue()
        if known is None:
            return []
        extractors = [item["name"] for item in known.kinds["features"]]
        items = [item for kind in kinds for item in known.kinds[kind]]
        return [CompletionItem(text, help=about) for text, about in continued(incomplete, items, extractors)]

    return complete


def plugin_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of a plugin, or of a distribution that has some."""
    known = _catalogue()
    found = known.plugins if known is not None else []
    names = {plugin[key] for plugin in found for key in ("name", "distribution")} - {"", "benchsuite"}
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def continued(text: str, items: Iterable[dict[str, Any]], extractors: Sequence[str]) -> list[tuple[str, str]]:
    """What ``text``, a list of selections of ``items`` that is not finished, may go on as, each with a few words.

    >>> glo = {"name": "glo", "summary": "", "presets": {}, "parameters": [{"name": "epochs", "allowed": "a number"}]}
    >>> continued("pca,g", [glo], []), continued("glo[", [glo], [])
    ([('pca,glo', '')], [('glo[epochs=', 'a number')])
    """
    depth, entry, part = 0, 0, 0  # where the last selection begins, and in it the last parameter
    for position, character in enumerate(text, 1):
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            entry = part = position
        elif depth == 1 and character in "[,":
            part = position
    name, bracket, _ = text[entry:].strip().partition("[")
    if not bracket:
        found = [(item["name"], item["summary"]) for item in items]
    elif depth == 1:
        given = re.findall(r"([^\[,=]+)=", text[entry:part])
        chosen = [item for item in items if item["name"] == name]
        found = [pair for item in chosen for pair in _inside(item, text[part:], given, extractors)]
    else:
        return []  # behind the bracket, or in a list of values
    begun = text[part:].lstrip()
    lead = text[: len(text) - len(begun)]
    return [(lead + candidate, about) for candidate, about in found if candidate.startswith(begun)]


def _inside(item: dict[str, Any], part: str, given: list[str], extractors: Sequence[str]) -> list[tuple[str, str]]:
    """Parameters that are not ``given`` yet, or values of the one that ``part`` names."""
    allowed = {parameter["name"]: parameter["allowed"] for parameter in item["parameters"]}
    if item["presets"]:
        allowed["preset"] = f"one of {', '.join(item['presets'])}"
    name, equals, _ = part.strip().partition("=")
    if not equals:
        return [(f"{each}=", words) for each, words in allowed.items() if each not in given]
    values = extractors if name == "features" else _choices(allowed.get(name, ""))
    return [(f"{name}={value}", "") for value in values]


def _choices(allowed: str) -> list[str]:
    """The values that ``parameters.describe`` has named: ``one of pca, gaussian, or none``."""
    if allowed.startswith("true or false"):
        return ["true", "false"]
    kind, _, values = allowed.partition("one of ")
    return values.replace(", or ", ", ").split(", ") if values and not kind else []


def _catalogue() -> Catalogue | None:
    """In silence, since whatever is printed here lands in the line that a person is typing."""
    from benchsuite.harness.catalogue import catalogue

    with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
        try:
            return catalogue()
        except UnknownNameError:  # of a plugin to block, which the command will name; here it blocks nothing
            os.environ.pop(BLOCKED, None)
            return catalogue()
    return None


class _Bash(BashComplete):
    """Bash splits ``glo[epochs=3`` into three words, and replaces the last of them alone."""

    _lead = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        arguments, incomplete = super().get_completion_args()
        words, last, self._lead = [""], "", ""
        for word in (*arguments, incomplete):
            is_break, after_break = (bool(each) and _BREAKS.issuperset(each) for each in (word, last))
            if is_break or (after_break and word):
                self._lead = words[-1] + (word if is_break else "")
                words[-1] += word
            else:
                self._lead = ""
                words.append(word)
            last = word
        if words[-1].startswith("-"):
            self._lead = self._lead.partition("=")[2]  # click takes the name of the option off
        return words[1:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found = super().get_completions(args, incomplete)
        if len(found) == 1 and found[0].value.count("[") > found[0].value.count("]"):
            found.append(CompletionItem(f"{found[0].value}..."))  # of two, bash neither closes quotes nor adds a space
        return found

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value.removeprefix(self._lead)}"


class _Fish(FishComplete):
    """Click's own script takes a comma in a completion for the end of it."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


def teach_shells() -> None:
    """Let click answer bash and fish by these classes."""
    add_completion_class(_Bash)
    add_completion_class(_Fish)
