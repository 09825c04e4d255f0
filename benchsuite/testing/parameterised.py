"""The checks of a plugin that has parameters: of its class, and of the plugin itself, with its defaults or as given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from benchsuite.contracts import Dataset, FeatureExtractor, Method
from benchsuite.errors import NotApplicableError
from benchsuite.testing.claims import checks_of_claims, skipped
from benchsuite.testing.contract import Check
from benchsuite.testing.declared import checks_of_parameters, checks_of_words

P = TypeVar("P", bound=Dataset | FeatureExtractor | Method)
T = TypeVar("T")


def checks_of_parameterised(
    kind: str,
    plugin: type[P] | P,
    *,
    of_class: Mapping[str, Callable[[type[P]], None]],
    by_default: Callable[[type[P]], P],
    on_trial: Callable[[P], T],
    claims: Mapping[str, Callable[[T], str | None]],
    foremost: str,
) -> list[Check]:
    """The checks that ``plugin``, a ``kind``, declares itself well, those ``of_class``, and ``claims`` on a trial.

    A class stands for what ``by_default`` makes of it; where it can make nothing, ``foremost`` is skipped in place of
    all claims.
    """
    cls = plugin if isinstance(plugin, type) else type(plugin)
    subject = f"{kind} '{cls.name}'"
    declared: list[Check] = [
        *checks_of_words(subject, cls),
        *checks_of_parameters(subject, cls),
        *checks_of_claims(subject, of_class, cls),
    ]
    try:
        trial = on_trial(by_default(plugin) if isinstance(plugin, type) else plugin)
    except NotApplicableError as error:
        return [*declared, skipped(subject, foremost, str(error))]
    return declared + checks_of_claims(subject, claims, trial)
