"""What a gate goes by: error rates, tolerances and directions, from a TOML file or by default.

    alarm = 0.01          # the chance of any false alarm in a table
    seeds = 5             # that a candidate begins with
    [tolerance]           # losses up to this are none: a share of the baseline's mean, or a number in the metric's unit
    default = "0.1%"
    fd = "5%"
    [smoke_tolerance]     # likewise where there are too few seeds for a test
    [direction]           # "max", "min", or "none" for what is not to be gated
    recall = "none"
    [time]
    tolerance = "20%"

Metrics go by their column (``mode_coverage.forgotten``), their selection (``fd[features=pixels]``) or their name, in
that order.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from benchsuite.errors import RulesError, unknown_name

_LEAST_CHANCE = 1e-6
_LEAST_TOLERANCE = 1e-9  # by default, where the mean is zero
_DIRECTIONS = ("max", "min", "none")


@dataclass(frozen=True)
class Tolerance:
    """A loss that is no loss: a share of the baseline's mean, or an amount in the metric's unit."""

    amount: float
    relative: bool
    least: float = 0.0

    def of(self, mean: float) -> float:
        """In the metric's unit, for a baseline of that mean."""
        return max(self.amount * abs(mean), self.least) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"


_SMOKE_BY_UNIT = {"dB": Tolerance(0.5, relative=False), "%": Tolerance(10.0, relative=False)}


@dataclass(frozen=True)
class Rules:
    """See the module; ``screen`` is the p at which a first look asks for more seeds."""

    alarm: float = 0.01
    screen: float = 0.10
    seeds: int = 5
    tolerance: dict[str, Tolerance] = field(default_factory=dict)
    smoke_tolerance: dict[str, Tolerance] = field(default_factory=dict)
    direction: Mapping[str, str] = field(default_factory=dict)
    time: Tolerance = Tolerance(0.20, relative=True)

    def tolerance_of(self, metric: str, selection: str) -> Tolerance:
        """Of a score that is tested: what rounding does to a method without chance, and what nobody would mind."""
        return self._named(self.tolerance, metric, selection) or Tolerance(0.001, relative=True, least=_LEAST_TOLERANCE)

    def smoke_tolerance_of(self, metric: str, selection: str, unit: str) -> Tolerance:
        """Of a score that is not: what another processor's rounding does to one seed, amplified by training."""
        found = self._named(self.smoke_tolerance, metric, selection)
        return found or _SMOKE_BY_UNIT.get(unit, Tolerance(0.10, relative=True, least=_LEAST_TOLERANCE))

    def direction_of(self, metric: str, selection: str, own: str) -> str:
        """``own``, unless the rules say otherwise."""
        return self._named(self.direction, metric, selection) or own

    def names(self) -> set[str]:
        """The metrics that are named, by whichever of their names."""
        return {*self.tolerance, *self.smoke_tolerance, *self.direction} - {"default"}

    @staticmethod
    def _named(table: Mapping[str, Any], metric: str, selection: str) -> Any:
        names = (*names_of(metric, selection), "default")
        return next((table[name] for name in names if name in table), None)


def names_of(metric: str, selection: str) -> tuple[str, ...]:
    """What rules may call a score, the most particular first."""
    return metric, selection, selection.partition("[")[0]


def read_rules(path: Path) -> Rules:
    """The rules in a TOML file. Raises RulesError for what cannot be read or is not allowed."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RulesError(f"cannot read the rules {path}: {error.strerror}") from None
    except ValueError as error:
        raise RulesError(f"{path} is no TOML: {error}") from None
    try:
        return rules_from(content)
    except RulesError as error:
        raise RulesError(f"{path}: {error}") from None


def rules_from(content: Mapping[str, Any]) -> Rules:
    """Rules from the values of a TOML file. Raises RulesError."""
    known = [f.name for f in fields(Rules)]
    for key in content:
        if key not in known:
            raise RulesError(str(unknown_name("rule of the gate", key, known)))
    values: dict[str, Any] = {}
    for name in ("alarm", "screen"):
        if name in content:
            values[name] = _share(name, content[name])
    if "seeds" in content:
        values["seeds"] = _seeds(content["seeds"])
    for name in ("tolerance", "smoke_tolerance"):
        table = _table(name, content.get(name, {}))
        values[name] = {metric: _tolerance(f"{name}.{metric}", value) for metric, value in table.items()}
    values["direction"] = _table("direction", content.get("direction", {}))
    for metric, value in values["direction"].items():
        if value not in _DIRECTIONS:
            raise RulesError(f"direction.{metric} = {value!r} is not allowed; one of {', '.join(_DIRECTIONS)}")
    time = _table("time", content.get("time", {}))
    if unknown := [key for key in time if key != "tolerance"]:
        raise RulesError(str(unknown_name("rule of time", unknown[0], ["tolerance"])))
    if "tolerance" in time:
        values["time"] = _tolerance("time.tolerance", time["tolerance"])
        if not values["time"].relative:
            raise RulesError(f"time.tolerance = {time['tolerance']!r} is not allowed; give a share, such as '20%'")
    return Rules(**values)


def _share(name: str, value: Any) -> float:
    if not _is_number(value) or not _LEAST_CHANCE <= value < 0.5:
        raise RulesError(f"{name} = {value!r} is not allowed; a chance is at least {_LEAST_CHANCE:g} and below 0.5")
    return float(value)


def _seeds(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RulesError(f"seeds = {value!r} is not allowed; a whole number, at least 1")
    return value


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RulesError(f"{name} = {value!r} is not allowed; it is a table of metrics: [{name}]")
    return value


def _tolerance(name: str, value: Any) -> Tolerance:
    """``"2%"``, or a number in the metric's unit."""
    text = value.strip() if isinstance(value, str) else ""
    amount: Any = value
    if text.endswith("%"):
        try:
            amount = float(text.removesuffix("%")) / 100
        except ValueError:
            amount = None
    if not _is_number(amount) or not 0 <= amount < sys.float_info.max:
        raise RulesError(
            f"{name} = {value!r} is not allowed; give a share, such as '2%', or a number in the metric's unit"
        )
    return Tolerance(float(amount), relative=text.endswith("%"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
