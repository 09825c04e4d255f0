"""Whether the fingerprint of a feature extractor tells its options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import torch

from benchsuite.contracts import FeatureExtractor
from benchsuite.errors import BenchsuiteError, NotApplicableError
from benchsuite.parameters import Parameter, parameters_of
from benchsuite.testing.contract import BrokenContractError
from benchsuite.testing.features import CPU, PAGE, ROWS, LoadedExtractor, applied
from benchsuite.testing.network import network_refused
from benchsuite.testing.tiny import tiny_samples


def check_options(extractor: LoadedExtractor) -> str | None:
    """Raises BrokenContractError where another value gives other features under the same fingerprint.

    A remark says which options no other value could be guessed for. Raises NotApplicableError where there are none.
    """
    declared = parameters_of(type(extractor.plugin))
    if not declared:
        raise NotApplicableError("it has no options")
    extractor.home()
    untried = []
    for parameter in declared.values():
        others = list(_others(extractor.plugin, parameter))
        for other in others:
            _check_told_apart(extractor, other, parameter.name)
        if not others:
            untried.append(parameter.name)
    return f"no other value of {', '.join(untried)} is known to be tried" if untried else None


def _check_told_apart(extractor: LoadedExtractor, other: FeatureExtractor, option: str) -> None:
    cache, shape = extractor.cache, extractor.home()
    own, name = extractor.of(shape), extractor.plugin.fingerprint(cache)
    value = getattr(other, option)
    with network_refused(f"load, with {option}={value}", f"{PAGE}#weights"):
        try:
            found = applied(other.load(cache, CPU), tiny_samples(shape, ROWS)[:])
            identity = other.fingerprint(cache)
        except Exception:  # other weights may be missing, or of another network
            return
    if identity == name and not (found.shape == own.shape and torch.equal(found, own)):
        raise BrokenContractError(
            expected="extractors with other features have other fingerprints, since scores under one compare",
            got=f"{option}={value} gives other features, and '{name}' as well",
            read=f"{PAGE}#fingerprints",
        )


def _others(extractor: FeatureExtractor, parameter: Parameter) -> Iterator[FeatureExtractor]:
    """The extractor with other values of one option, such as can be guessed."""
    now = getattr(extractor, parameter.name)
    given = {name: getattr(extractor, name) for name in parameters_of(type(extractor))}
    for value in _guesses(parameter.annotation, now):
        try:
            yield type(extractor)(**{**given, parameter.name: value})
        except BenchsuiteError:
            continue


def _guesses(annotation: Any, now: object) -> list[object]:
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if value != now]
    if isinstance(now, bool):
        return [not now]
    if isinstance(now, int):
        return [now + 1, 2 * now]
    return [now / 2, now * 2] if isinstance(now, float) else []
