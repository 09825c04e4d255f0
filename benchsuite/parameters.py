"""Hyper-parameters: their declared types and ranges, and values read from text or TOML against them.

A plugin declares a parameter by an annotated dataclass field (methods, datasets) or keyword-only argument
(metrics). Ranges are part of the annotation, so that one check serves text, TOML and Python alike.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from benchsuite.errors import ParameterError, unknown_name


@dataclasses.dataclass(frozen=True)
class Between:
    """The range of a number, both ends included unless ``open_low`` or ``open_high`` says that one is not."""

    low: float
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        lower = f"{'above' if self.open_low else 'at least'} {self.low:g}"
        upper = f"{'below' if self.open_high else 'at most'} {self.high:g}"
        return lower if self.high == float("inf") else f"{lower} and {upper}"


@dataclasses.dataclass(frozen=True)
class NotEmpty:
    """That a list has entries."""

    def __contains__(self, value: typing.Sized) -> bool:
        return len(value) > 0

    def __str__(self) -> str:
        return "not empty"


@dataclasses.dataclass(frozen=True)
class Selecting:
    """That a text selects one plugin, with or without parameters: ``Annotated[str, Selecting("inception")]``."""

    name: str

    def __contains__(self, value: str) -> bool:
        return value == self.name or (value.startswith(f"{self.name}[") and value.endswith("]"))

    def __str__(self) -> str:
        return f"{self.name} or {self.name}[...]"


Limit = Between | NotEmpty | Selecting

Count = Annotated[int, Between(0)]
PositiveInt = Annotated[int, Between(1)]
Positive = Annotated[float, Between(0, open_low=True)]
NonNegative = Annotated[float, Between(0)]
Fraction = Annotated[float, Between(0, 1)]
BelowOne = Annotated[float, Between(0, 1, open_high=True)]
Sizes = Annotated[tuple[PositiveInt, ...], NotEmpty()]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One hyper-parameter: its name, declared type and default (``dataclasses.MISSING`` where there is none)."""

    name: str
    annotation: Any
    default: Any


def parameters_of(owner: type | Callable[..., Any]) -> dict[str, Parameter]:
    """The parameters that ``owner`` declares: a dataclass's fields, or a function's keyword-only arguments.

    An argument that is annotated with a dataclass stands for the fields of that, which several functions may share.
    """
    if isinstance(owner, type):
        if not dataclasses.is_dataclass(owner):
            return {}
        hints = typing.get_type_hints(owner, include_extras=True)
        fields = [f for f in dataclasses.fields(owner) if f.init]
        return {f.name: Parameter(f.name, hints[f.name], _field_default(f)) for f in fields}
    found: dict[str, Parameter] = {}
    for argument in _keyword_only(owner):
        found |= parameters_of(argument.annotation) if _is_group(argument) else {argument.name: argument}
    return found


def arguments_of(function: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments by which ``function`` takes ``params``, all that it declares, dataclasses put together.

    Raises what making such a dataclass raises: ParameterError for values that do not go together.
    """
    arguments = {}
    for argument in _keyword_only(function):
        if _is_group(argument):
            fields = {name: params[name] for name in parameters_of(argument.annotation)}
            arguments[argument.name] = argument.annotation(**fields)
        else:
            arguments[argument.name] = params[argument.name]
    return arguments


def _keyword_only(function: Callable[..., Any]) -> list[Parameter]:
    declared = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if not declared:
        return []  # what positional arguments are annotated with may exist for type checkers only
    hints = typing.get_type_hints(function, include_extras=True)
    return [Parameter(p.name, hints.get(p.name, Any), _argument_default(p)) for p in declared]


def _is_group(argument: Parameter) -> bool:
    return isinstance(argument.annotation, type) and dataclasses.is_dataclass(argument.annotation)


def _argument_default(argument: inspect.Parameter) -> Any:
    return dataclasses.MISSING if argument.default is argument.empty else argument.default


def _field_default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def convert(owner_name: str, owner: type | Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` values, text or typed, as the types that ``owner`` declares.

    ``preset=NAME`` stands for the values that ``owner.presets`` has under that name; what is given beside it wins.
    Raises UnknownNameError for a name that ``owner`` does not declare and ParameterError for a value that its
    type or range does not allow.
    """
    known = parameters_of(owner)
    given = _with_preset(owner_name, getattr(owner, "presets", {}), given)
    for name in given:
        if name not in known:
            raise unknown_name(f"{owner_name} parameter", name, known)
    return {name: _convert(owner_name, known[name], value) for name, value in given.items()}


def _with_preset(
    owner_name: str, presets: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> Mapping[str, Any]:
    if "preset" not in given or not presets:
        return given
    name = given["preset"]
    if name not in presets:
        raise unknown_name(f"{owner_name} preset", str(name), presets)
    return {**presets[name], **{key: value for key, value in given.items() if key != "preset"}}


def check_fields(owner_name: str, instance: Any) -> None:
    """Raise ParameterError unless every field of the dataclass ``instance`` has its declared type and range."""
    for parameter in parameters_of(type(instance)).values():
        value = getattr(instance, parameter.name)
        if _convert(owner_name, parameter, value) != value:  # text or a bare item that only stands for the value
            raise _not_allowed(owner_name, parameter, value)


def is_list_type(annotation: Any) -> bool:
    """Whether a parameter of this type takes several values itself, so that a list is one value and not a sweep."""
    return any(typing.get_origin(choice) in (tuple, list) for choice in _choices(annotation))


def _convert(owner_name: str, parameter: Parameter, value: Any) -> Any:
    try:
        return _to_type(parameter.annotation, value)
    except (ValueError, OverflowError):
        raise _not_allowed(owner_name, parameter, value) from None


def _not_allowed(owner_name: str, parameter: Parameter, value: Any) -> ParameterError:
    allowed = describe(parameter.annotation)
    return ParameterError(f"{owner_name}: {parameter.name}={value!r} is not allowed; {parameter.name} is {allowed}")


def _choices(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) is Annotated:
        return _choices(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return tuple(c for arg in typing.get_args(annotation) for c in _choices(arg))
    return (annotation,)


def _to_type(annotation: Any, value: Any) -> Any:
    """``value`` as ``annotation``; ValueError where it cannot be."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return value
    if origin is Annotated:
        converted = _to_type(args[0], value)
        ranges = [m for m in args[1:] if isinstance(m, Limit)]
        if converted is not None and not all(converted in r for r in ranges):
            raise ValueError
        return converted
    if origin in (types.UnionType, typing.Union):
        for choice in sorted(args, key=lambda a: a is not types.NoneType):
            try:
                return _to_type(choice, value)
            except ValueError:
                continue
        raise ValueError
    if origin is Literal:
        for choice in args:
            if (type(value) is type(choice) and value == choice) or (isinstance(value, str) and value == str(choice)):
                return choice
        raise ValueError
    if origin in (tuple, list):
        items = list(value) if isinstance(value, list | tuple) else [value]
        kinds = [args[0]] * len(items) if origin is list or args[-1] is Ellipsis else list(args)
        if len(kinds) != len(items):
            raise ValueError
        return origin(_to_type(kind, item) for kind, item in zip(kinds, items, strict=True))
    return _to_scalar(annotation, value)


def _to_scalar(annotation: Any, value: Any) -> Any:
    if annotation in (None, types.NoneType):
        if value is None or value == "none":
            return None
        raise ValueError
    if annotation is bool:
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
        raise ValueError
    if annotation is int and isinstance(value, int | str) and not isinstance(value, bool):
        return int(value)
    if annotation is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    if annotation is str and isinstance(value, str):
        return value
    if isinstance(annotation, type) and annotation not in (int, float, str) and isinstance(value, annotation):
        return value
    raise ValueError


def describe(annotation: Any) -> str:
    """A declared type in words, for errors and for ``benchsuite list``.

    >>> describe(Annotated[int, Between(1)] | None)
    'a whole number, at least 1, or none'
    """
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated and any(isinstance(m, Selecting) for m in args[1:]):
        return str(args[1])
    if origin is Annotated:
        return ", ".join([describe(args[0]), *(str(m) for m in args[1:] if isinstance(m, Limit))])
    if origin in (types.UnionType, typing.Union):
        return ", or ".join(describe(a) for a in sorted(args, key=lambda a: a is types.NoneType))
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in args)
    if origin is tuple and args[-1] is not Ellipsis:
        return f"a list of {len(args)}: " + "; ".join(describe(a) for a in args)
    if origin in (tuple, list):
        return f"a list, each {describe(args[0])}"
    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        types.NoneType: "none",
    }
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))
