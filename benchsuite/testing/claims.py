"""Claims put together into checks, and what the later ones make of an earlier one that failed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol, TypeVar

from benchsuite.errors import NotApplicableError, SelectionError
from benchsuite.harness.recipe import parse_selections
from benchsuite.parameters import parameters_of
from benchsuite.testing.contract import GUIDE, BrokenContractError, Check

T = TypeVar("T")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def checks_of_claims(subject: str, claims: Mapping[str, Callable[[T], str | None]], trial: T) -> list[Check]:
    """A check of each claim, all of them on one ``trial``."""
    return [Check(subject, claim, _bound(run, trial)) for claim, run in claims.items()]


def _bound(run: Callable[[T], str | None], trial: T) -> Callable[[], str | None]:
    return lambda: run(trial)


def skipped(subject: str, claim: str, reason: str) -> Check:
    """The check of a claim that cannot be tried, and why."""

    def run() -> None:
        raise NotApplicableError(reason)

    return Check(subject, claim, run)


def with_defaults(cls: Callable[..., T]) -> T:
    """``cls``, a plugin's class, with its defaults. Raises as ``check_required`` does."""
    check_required(cls)
    return cls()


def check_required(cls: Any) -> None:
    """Raises NotApplicableError where ``cls``, a plugin's class, needs values that only its author knows."""
    required = [p.name for p in parameters_of(cls).values() if p.default is dataclasses.MISSING]
    if required:
        values = ",".join(f"{name}=..." for name in required)
        raise NotApplicableError(f"it needs values; give them to the check: {cls.name}[{values}]")


def check_name(plugin: _Named) -> None:
    """Raises BrokenContractError unless ``plugin`` has a name by which it can be selected."""
    name = getattr(plugin, "name", None)
    try:
        found = parse_selections(name) if isinstance(name, str) else ()
    except SelectionError:
        found = ()
    if [str(selection) for selection in found] != [name]:
        raise BrokenContractError(
            expected="a name that the command line can select: letters, digits and . _ -, a letter first",
            got=repr(name),
            read=f"{GUIDE}#words",
        )


class Memory:
    """What was made for several checks, each time once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}
        self._reasons: dict[Hashable, str] = {}

    def once(self, key: Hashable, make: Callable[[], T], failing: str, *, with_reason: bool = False) -> T:
        """What ``make`` returned under ``key`` the first time.

        That it raised BrokenContractError or NotApplicableError is told once; after it there is NotApplicableError:
        ``failing``, as was said, or ``with_reason`` the NotApplicableError that there was.
        """
        if key in self._reasons:
            raise NotApplicableError(self._reasons[key])
        if key not in self._made:
            try:
                self._made[key] = make()
            except (BrokenContractError, NotApplicableError) as error:
                stays = with_reason and isinstance(error, NotApplicableError)
                self._reasons[key] = str(error) if stays else f"{failing}, as was said"
                raise
        made: T = self._made[key]
        return made
