"""What a plugin says of itself: its words, its sources, its hyper-parameters and their presets."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any, get_args

from benchsuite.errors import ParameterError
from benchsuite.parameters import Parameter, convert, describe, parameters_of
from benchsuite.testing.contract import GUIDE, BrokenContractError, Check

# Parameters that methods share, none of which may be negative.
_SHARED = ("epochs", "batch_size", "learning_rate", "width", "latent_dim")


def checks_of_words(subject: str, owner: type | Callable[..., Any]) -> list[Check]:
    """That ``owner``, a class or function, has a docstring, and says where its idea comes from."""
    return [
        Check(subject, "has a docstring", lambda: _docstring(owner)),
        Check(subject, "says where it comes from", lambda: _source(owner)),
    ]


def _docstring(owner: type | Callable[..., Any]) -> None:
    text = inspect.getdoc(owner) if owner.__doc__ else ""
    if not text or text.startswith(f"{owner.__name__}("):  # the signature that a dataclass is given
        raise BrokenContractError(
            expected=f"a docstring of {owner.__name__}, whose first sentence 'benchsuite list' shows",
            got="none",
            read=f"{GUIDE}#words",
        )


def _source(owner: type | Callable[..., Any]) -> None:
    texts = [owner.__doc__ or "", getattr(sys.modules.get(owner.__module__), "__doc__", None) or ""]
    if not any("Source:" in text for text in texts):
        raise BrokenContractError(
            expected="'Source: author, title, year', or 'Source: own work', in a docstring of the class, function or "
            "module",
            got="none of them has one",
            read=f"{GUIDE}#words",
        )


def checks_of_parameters(subject: str, cls: type) -> list[Check]:
    """That ``cls``, a frozen dataclass, refuses bad hyper-parameters, and that its own are good."""
    return [
        Check(subject, "refuses bad hyper-parameters", lambda: _refuses(cls)),
        Check(subject, "its defaults and presets are allowed", lambda: _defaults(cls)),
        Check(subject, "its hyper-parameters are annotated", lambda: _annotated(cls)),
    ]


def _refuses(cls: type) -> None:
    for parameter in parameters_of(cls).values():
        bad: list[Any] = [object()]
        if parameter.name in _SHARED:
            bad += [-1]
        for value in bad:
            _check_refused(cls, parameter, value)


def _check_refused(cls: type, parameter: Parameter, value: Any) -> None:
    given = "an object" if type(value) is object else value
    try:
        cls(**{parameter.name: value, **_needed(cls, parameter.name)})
    except ParameterError as error:
        if parameter.name in str(error):
            return
        got = f"an error that does not name {parameter.name}: {error}"
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
    else:
        got = "it was accepted"
    raise BrokenContractError(
        expected=f"{parameter.name}={given} is refused with a ParameterError that names it",
        got=f"{got}; {parameter.name} is declared as {describe(parameter.annotation)}: annotate it by what it may be, "
        "such as benchsuite.PositiveInt, and call super().__post_init__() in a __post_init__ of your own",
        read=f"{GUIDE}#hyper-parameters",
    )


def _needed(cls: type, but: str) -> dict[str, Any]:
    """Something for the parameters that have no default, ``but`` one, that is not refused before that is."""
    needed = [p for p in parameters_of(cls).values() if p.default is dataclasses.MISSING and p.name != but]
    return {parameter.name: _allowed(cls, parameter) for parameter in needed}


def _allowed(cls: type, parameter: Parameter) -> Any:
    for value in ("x", 1, 0.5, True, *get_args(parameter.annotation)):
        try:
            return convert(cls.__name__, cls, {parameter.name: value})[parameter.name]
        except ParameterError:
            continue
    return object()


def _defaults(cls: type) -> None:
    declared = parameters_of(cls)
    values = {p.name: p.default for p in declared.values() if p.default is not dataclasses.MISSING}
    try:
        json.dumps(values)
    except (TypeError, ValueError):
        raise BrokenContractError(
            expected="hyper-parameters are numbers, text, true, false, none and lists of these",
            got=f"defaults {values}",
            read=f"{GUIDE}#hyper-parameters",
        ) from None
    if len(values) < len(declared):
        return
    for preset in ("", *getattr(cls, "presets", {})):
        try:
            cls.preset(preset) if preset else cls()  # type: ignore[attr-defined]
        except Exception as error:
            raise BrokenContractError(
                expected=f"the values of preset '{preset}' are allowed" if preset else "the defaults are allowed",
                got=f"{type(error).__name__}: {error}",
                read=f"{GUIDE}#hyper-parameters",
            ) from None


def _annotated(cls: type) -> str | None:
    """A remark on values without an annotation, which a dataclass takes for constants and not for fields."""
    declared = {name for base in cls.__mro__ for name in getattr(base, "__annotations__", {})}
    plain = [name for name, value in vars(cls).items() if isinstance(value, bool | int | float)]
    constants = [name for name in plain if name not in declared and name.islower() and not name.startswith("_")]
    if not constants:
        return None
    return f"constants, which cannot be chosen since they have no annotation: {', '.join(constants)}"
