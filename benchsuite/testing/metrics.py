"""The contract of a metric, check by check, on small real cells."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from benchsuite.contracts import Kind, Metric
from benchsuite.errors import NotApplicableError, ParameterError, PluginError, UsageError, unknown_name
from benchsuite.harness.binding import ARTEFACTS
from benchsuite.parameters import Parameter, convert, describe, parameters_of
from benchsuite.testing.cells import SmallCell, noise_cell, small_cell
from benchsuite.testing.claims import Memory, check_name, checks_of_claims
from benchsuite.testing.contract import BrokenContractError, Check, as_test, calling
from benchsuite.testing.declared import checks_of_words
from benchsuite.testing.scores import check_score
from benchsuite.testing.untouched import check_untouched
from benchsuite.testing.watching import Call, watched

PAGE = "docs/plugins/metrics.md"

# What a metric is tried on: models with codes and without, of grey and coloured images and of vectors.
_CELLS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "image": (("pca", "digits"), ("vae[epochs=1,width=4]", "digits"), ("real", "digits"), ("pca", "patches")),
    "vector": (
        ("gan[epochs=1]", "ring"),
        ("pca", "bivariate_normal"),
        ("avb[epochs=1,likelihood=exponential]", "exponential_posterior"),
    ),
}
_ROUNDING = 1e-6
_WHERE_NOT = "where it makes no sense it raises benchsuite.NotApplicableError(reason)"


def metric_contract(metric: Metric) -> Callable[[Check], None]:
    """A pytest function with one test for each claim of the contract of a metric.

    >>> test_brightness = metric_contract(Metric("brightness", brightness, None))  # doctest: +SKIP
    """
    return as_test(metric_checks(metric))


def metric_checks(metric: Metric) -> list[Check]:
    """Every check of a metric: of what it declares, and of what it makes of small real cells on the processor."""
    subject, scoring = f"metric '{metric.name}'", ScoringMetric(metric)
    claims: dict[str, Callable[[ScoringMetric], str | None]] = {
        "says what it is": _words,
        "asks for artefacts that exist": _artefacts,
        "its parameters have types and defaults": _parameters,
        "returns a number, or several by name": _returns,
        "returns the same numbers each time": _again,
        "leaves what it is given as it was": _leaves,
        "leaves the process as it was": _switches,
        "applies to other models and data, or says why not": _elsewhere,
        "its direction is that of real data and noise": _direction,
    }
    return checks_of_words(subject, _written(metric.compute)) + checks_of_claims(subject, claims, scoring)


def _written(compute: Any) -> Any:
    """What bears the docstring: the function, or the class of a callable object."""
    while isinstance(compute, functools.partial):
        compute = compute.func
    return compute if hasattr(compute, "__name__") else type(compute)


@dataclass
class ScoringMetric:
    """``plugin``, and its first call on each cell, made once for all the checks that look at it."""

    plugin: Metric
    memory: Memory = field(default_factory=Memory)

    def declared(self) -> None:
        """Raises NotApplicableError where it cannot be called, as another check tells."""
        try:
            _artefacts(self)
            _parameters(self)
        except BrokenContractError:
            raise NotApplicableError("it cannot be called as it is declared, as was said") from None

    def call(self, method: str, dataset: str) -> Call:
        """Its call on a cell. Raises NotApplicableError where it does not apply, BrokenContractError else."""
        failing = f"it fails on {method} on {dataset}"
        return self.memory.once(
            (method, dataset), lambda: self.called(_cell(method, dataset)), failing, with_reason=True
        )

    def called(self, cell: SmallCell) -> Call:
        """A call that is not remembered. Raises likewise."""
        expected = f"a number, several by name, or a Score of them, of {cell}; {_WHERE_NOT}"
        with calling("binding its parameters", expected=expected, read=f"{PAGE}#parameters"):
            call = watched(self.plugin, cell)
        with calling("compute", expected=expected, read=f"{PAGE}#values"):
            if call.raised is not None:
                raise call.raised
        if call.called:
            check_score(call.returned, expected, f"{PAGE}#values")
        wrong = [row for row in call.rows if row.status != "ok"]
        if wrong:
            raise BrokenContractError(
                expected=expected, got=f"{wrong[0].metric}: {wrong[0].reason}", read=f"{PAGE}#values"
            )
        return call

    def cells(self) -> list[tuple[str, str]]:
        """Those that it is tried on: of its kind of data."""
        kinds = [self.plugin.kind] if self.plugin.kind in _CELLS else list(_CELLS)
        return [cell for kind in kinds for cell in _CELLS[str(kind)]]

    def home(self) -> tuple[str, str]:
        """The first cell that it applies to. Raises as ``call`` does."""
        return self.memory.once("home", self._home, "it returns no numbers")

    def _home(self) -> tuple[str, str]:
        self.declared()
        reasons: dict[str, list[str]] = {}
        for cell in self.cells():
            try:
                self.call(*cell)
                return cell
            except NotApplicableError as error:
                reasons.setdefault(str(error), []).append(" on ".join(cell))
        listed = "; ".join(f"{', '.join(cells)}: {reason}" for reason, cells in reasons.items())
        raise NotApplicableError(f"it applies to none of the models that it is tried on: {listed}")


def _cell(method: str, dataset: str) -> SmallCell:
    try:
        return small_cell(method, dataset)
    except (PluginError, UsageError) as error:  # a built-in plugin that is blocked
        raise NotApplicableError(str(error)) from None


def _words(metric: ScoringMetric) -> None:
    plugin, read = metric.plugin, f"{PAGE}#choosing"
    check_name(plugin)
    allowed: dict[str, tuple[bool, str]] = {
        "higher_is_better": (plugin.higher_is_better in (True, False, None), "True, False, or None for neither"),
        "unit": (isinstance(plugin.unit, str), "a text"),
        "version": (type(plugin.version) is int and plugin.version >= 1, "a whole number, at least 1"),
        "kind": (plugin.kind in (None, *get_args(Kind)), "'image', 'vector', or None for both"),
        "default": (isinstance(plugin.default, bool), "True or False"),
    }
    for name, (fine, what) in allowed.items():
        if not fine:
            got = f"{name}={getattr(plugin, name)!r}"
            raise BrokenContractError(expected=f"{name} is {what}", got=got, read=read)


def _artefacts(metric: ScoringMetric) -> None:
    read = f"{PAGE}#artefacts"
    asked = [p for p in inspect.signature(metric.plugin.compute).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    if not asked:
        raise BrokenContractError(
            expected="compute asks for what it scores, by the names of its positional parameters, such as generated",
            got="it has none",
            read=read,
        )
    for parameter in asked:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise BrokenContractError(
                expected="compute names every artefact and parameter that it takes",
                got=f"{parameter}, which nothing is given for",
                read=read,
            )
        if parameter.name not in ARTEFACTS:
            own = parameter.default is not parameter.empty
            hint = "; a parameter of its own stands behind a '*', as in (generated, *, k: int = 5)" if own else ""
            raise BrokenContractError(
                expected="the positional parameters of compute name artefacts",
                got=f"{unknown_name('artefact', parameter.name, ARTEFACTS)}{hint}",
                read=read,
            )


def _parameters(metric: ScoringMetric) -> None:
    plugin, read = metric.plugin, f"{PAGE}#parameters"
    expected = "the keyword-only parameters of compute have types that can be read"
    with calling("reading them", expected=expected, read=read):
        declared = parameters_of(plugin.compute)
    for parameter in declared.values():
        _check_parameter(plugin, parameter, read)


def _check_parameter(metric: Metric, parameter: Parameter, read: str) -> None:
    name, default = parameter.name, parameter.default
    if default is dataclasses.MISSING:
        raise BrokenContractError(expected=f"{name} has a default", got="none", read=read)
    if parameter.annotation is Any:
        raise BrokenContractError(
            expected=f"{name} says what it may be, as {name}: benchsuite.PositiveInt = {default!r} does",
            got=f"no annotation, so that {metric.name}[{name}=...] would give it text",
            read=read,
        )
    try:
        convert(metric.name, metric.compute, {name: default})
        json.dumps(default)
    except ParameterError as error:
        raise BrokenContractError(expected=f"the default of {name} is allowed", got=str(error), read=read) from None
    except (TypeError, ValueError):
        raise BrokenContractError(
            expected="parameters are numbers, text, true, false, none and lists of these",
            got=f"{name}={default!r}, {describe(parameter.annotation)}",
            read=read,
        ) from None


def _returns(metric: ScoringMetric) -> str | None:
    home = metric.home()
    values = metric.call(*home).values
    infinite = [name for name, value in values.items() if math.isinf(value)]
    return f"{', '.join(infinite)} is infinite for {' on '.join(home)}" if infinite else None


def _again(metric: ScoringMetric) -> str | None:
    home = metric.home()
    first, second = metric.call(*home), metric.called(_cell(*home))
    for name, value in first.values.items():
        other = second.values.get(name, math.nan)
        if value != other and not math.isclose(value, other, rel_tol=_ROUNDING):
            raise BrokenContractError(
                expected="the same model has the same score each time",
                got=f"{name} is {value:.6g}, then {other:.6g}; ask for generator and draw by it, as in "
                "torch.randn(n, generator=generator)",
                read=f"{PAGE}#artefacts",
            )
    if not second.drew:  # in the first call it may have been an import that drew
        return None
    return (
        f"it draws from the global generator of {', '.join(second.drew)}, which is seeded when it is called; ask for "
        "generator, so that its numbers are the same elsewhere too"
    )


def _leaves(metric: ScoringMetric) -> None:
    check_untouched(
        metric.call(*metric.home()).changed,
        expected="artefacts stay as they were, since other metrics are given the same ones",
        after=" changed; work on a copy: x = x - x.mean(0) makes one, x -= x.mean(0) does not, and "
        "copy.deepcopy(model) may be trained",
        read=f"{PAGE}#artefacts",
    )


def _switches(metric: ScoringMetric) -> None:
    check_untouched(
        metric.call(*metric.home()).switched,
        expected="a metric leaves the process as it was",
        before="it changed ",
        read=f"{PAGE}#artefacts",
    )


def _elsewhere(metric: ScoringMetric) -> str | None:
    home = metric.home()
    applied = 0
    for cell in metric.cells():
        if cell == home:
            continue
        try:
            metric.call(*cell)
            applied += 1
        except NotApplicableError:
            continue
    return None if applied else f"it applies to {' on '.join(home)} alone, of what is tried"


def _direction(metric: ScoringMetric) -> str | None:
    plugin = metric.plugin
    if plugin.higher_is_better is None:
        raise NotApplicableError("it has none")
    _, dataset = metric.home()
    real, noise = metric.call("real", dataset), metric.called(noise_cell(dataset))
    for name, best in real.values.items():
        other = noise.values.get(name, best)
        if name not in real.references and (other > best if plugin.higher_is_better else other < best):
            better = "higher" if plugin.higher_is_better else "lower"
            return (
                f"uniform noise scores better than real data ({name} {other:.4g} and {best:.4g}), though {better} is "
                "better: is the direction right?"
            )
    return None
