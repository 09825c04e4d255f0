"""The contract of a feature extractor, check by check, on tiny data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from benchsuite.contracts import FeatureExtractor, Kind
from benchsuite.errors import BenchsuiteError, NotApplicableError
from benchsuite.harness.environment import cache_folder
from benchsuite.parameters import Parameter, parameters_of
from benchsuite.testing.claims import Memory, check_name, checks_of_claims, skipped, with_defaults
from benchsuite.testing.contract import BrokenContractError, Check, as_test, calling
from benchsuite.testing.declared import checks_of_parameters, checks_of_words
from benchsuite.testing.network import network_refused
from benchsuite.testing.preparing import there_unprepared
from benchsuite.testing.returned import check_returned
from benchsuite.testing.surroundings import generators_kept, switches_restored
from benchsuite.testing.tiny import called, tiny_samples

PAGE = "docs/plugins/extractors.md"

# What an extractor is tried on, the likeliest first.
_SHAPES: tuple[tuple[int, ...], ...] = ((3, 32, 32), (1, 28, 28), (1, 16, 16), (1, 8, 8), (3, 64, 64), (6,), (2,))
_ROWS = 5
_RTOL, _ATOL = 1e-3, 1e-4  # what another order of sums makes of float32
_CPU = torch.device("cpu")

Features = Callable[[Tensor], Tensor]


def extractor_contract(extractor: type[FeatureExtractor] | FeatureExtractor) -> Callable[[Check], None]:
    """A pytest function with one test for each claim of the contract of a feature extractor.

    >>> test_edges = extractor_contract(Edges)  # doctest: +SKIP

    One that has to be prepared goes by what is in the user's cache, and is skipped where it is not there.
    """
    return as_test(extractor_checks(extractor))


def extractor_checks(extractor: type[FeatureExtractor] | FeatureExtractor) -> list[Check]:
    """Every check of a feature extractor: of what it declares, and of what it makes of tiny data."""
    cls = extractor if isinstance(extractor, type) else type(extractor)
    subject = f"feature extractor '{cls.name}'"
    declared = checks_of_words(subject, cls) + checks_of_parameters(subject, cls)
    declared.append(Check(subject, "says its kind", lambda: _words(cls)))
    try:
        trial = Trial(with_defaults(cls) if isinstance(extractor, type) else extractor)
    except NotApplicableError as error:
        return [*declared, skipped(subject, "gives features", str(error))]
    claims: dict[str, Callable[[Trial], str | None]] = {
        "says so where it has to be prepared": _unprepared,
        "its fingerprint is a text, the same each time": _fingerprint,
        "gives features, (N, D), without the network": _gives,
        "any number of rows will do": _any_rows,
        "says so where data do not suit it": _refuses,
        "gives the same features each time": _again,
        "treats each row as if it were alone": _alone,
        "leaves what it is given as it was": _leaves,
        "leaves seeds and switches of others alone": _surroundings,
        "other options have another fingerprint": _options,
        "logits keep their promise": _logits,
    }
    return declared + checks_of_claims(subject, claims, trial)


@dataclass
class Trial:
    """``extractor``, loaded once, and its features of tiny rows, made once for all the checks that look at them."""

    extractor: FeatureExtractor
    cache: Path = field(default_factory=cache_folder)
    memory: Memory = field(default_factory=Memory)

    def features(self) -> Features:
        """The map itself. Raises NotApplicableError where its weights are missing, BrokenContractError else."""
        return self.memory.once("load", lambda: loaded(self.extractor, self.cache), "it does not load")

    def of(self, shape: tuple[int, ...], rows: int = _ROWS) -> Tensor:
        """Its features of so many tiny rows. Raises likewise, and NotApplicableError where it is not for them."""
        failing = f"it fails for {rows} rows of {called(shape)}"
        return self.memory.once((shape, rows), lambda: self._made(shape, rows), failing, with_reason=True)

    def _made(self, shape: tuple[int, ...], rows: int) -> Tensor:
        features, read = self.features(), f"{PAGE}#the-map"
        call = f"features of {rows} rows, {called(shape)},"
        expected = f"{call} (N, D), or NotApplicableError, which says what they are for"
        with network_refused(call, read), calling(call, expected=expected, read=read):
            found = _applied(features, tiny_samples(shape, rows)[:])
        width = found.shape[1] if isinstance(found, Tensor) and found.ndim == 2 else "D"
        if not isinstance(width, int) or width == 0 or not found.is_floating_point():
            got = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise BrokenContractError(expected=f"{call} ({rows}, D), of floating-point numbers", got=got, read=read)
        return check_returned(found, call=call, shape=(rows, width), read=read)

    def shapes(self) -> list[tuple[int, ...]]:
        """What it is tried on: what is of its kind."""
        kinds: dict[int, Kind] = {3: "image", 1: "vector"}
        return [shape for shape in _SHAPES if self.extractor.kind in (None, kinds[len(shape)])]

    def home(self) -> tuple[int, ...]:
        """The first shape that it is for. Raises as ``of`` does."""
        return self.memory.once("home", self._home, "it gives no features")

    def _home(self) -> tuple[int, ...]:
        self.features()
        reasons = []
        for shape in self.shapes():
            try:
                self.of(shape)
                return shape
            except NotApplicableError as error:
                reasons.append(f"{called(shape)}: {error}")
        raise NotApplicableError(f"it is for none of what is tried: {'; '.join(reasons)}")


def loaded(extractor: FeatureExtractor, cache: Path) -> Features:
    """The map of ``extractor``. Raises NotApplicableError where its weights are missing, BrokenContractError else."""
    read = f"{PAGE}#the-map"
    expected = (
        "load(cache, device) returns a function; where weights are missing it raises NotApplicableError, which names "
        f"the command: benchsuite prepare {extractor.name}"
    )
    with network_refused("load", read), calling("load(cache, device)", expected=expected, read=read):
        features: object = extractor.load(cache, _CPU)
    if not callable(features):
        raise BrokenContractError(expected=expected, got=f"a {type(features).__name__}", read=read)
    return features


def _applied(features: Features, x: Tensor) -> Any:
    with torch.no_grad():
        return features(x)


def _words(cls: type[FeatureExtractor]) -> None:
    check_name(cls)
    if cls.kind not in (None, *get_args(Kind)):
        raise BrokenContractError(
            expected="kind is 'image', 'vector', or None for both", got=f"kind = {cls.kind!r}", read=f"{PAGE}#the-map"
        )


def _unprepared(trial: Trial) -> str | None:
    extractor = trial.extractor
    if type(extractor).prepare is FeatureExtractor.prepare:
        raise NotApplicableError("it has no prepare")
    calls: dict[str, Callable[[Path], object]] = {
        "fingerprint(cache)": extractor.fingerprint,
        "load(cache, device)": lambda cache: extractor.load(cache, _CPU),
    }
    there = there_unprepared(extractor.name, calls, NotApplicableError, f"{PAGE}#weights")
    return f"{' and '.join(there)} found weights outside of the cache" if there else None


def _fingerprint(trial: Trial) -> None:
    read = f"{PAGE}#fingerprints"
    expected = "fingerprint(cache) is a text that identifies weights and preprocessing, the same each time"
    with calling("fingerprint(cache)", expected=expected, read=read):
        first, second = trial.extractor.fingerprint(trial.cache), trial.extractor.fingerprint(trial.cache)
    if not isinstance(first, str) or not first or first != second:
        raise BrokenContractError(expected=expected, got=f"{first!r}, then {second!r}", read=read)


def _gives(trial: Trial) -> None:
    trial.home()


def _any_rows(trial: Trial) -> None:
    shape = trial.home()
    for rows in (1, 2, 33):
        trial.of(shape, rows)


def _refuses(trial: Trial) -> str | None:
    trial.home()
    refused, taken = [], []
    for shape in trial.shapes():
        try:
            trial.of(shape)
            taken.append(len(shape))
        except NotApplicableError as error:
            refused.append(f"{called(shape)} ({error})")
    if trial.extractor.kind is None and len(set(taken)) == 1:
        kind = "image" if 3 in taken else "vector"
        return f"it is for {kind}s only; kind = '{kind}' in its body says so before anything runs"
    return f"it is not for {'; '.join(refused)}" if refused else None


def _again(trial: Trial) -> None:
    shape = trial.home()
    first = trial.of(shape)
    for what, features in (("called", trial.features()), ("loaded", loaded(trial.extractor, trial.cache))):
        if not torch.equal(first, _applied(features, tiny_samples(shape, _ROWS)[:])):
            raise BrokenContractError(
                expected="the same rows have the same features, each time",
                got=f"others when it was {what} again; put layers into eval mode, and draw filters by a generator with "
                "a fixed seed, or load them",
                read=f"{PAGE}#the-map",
            )


def _alone(trial: Trial) -> None:
    shape = trial.home()
    features, x = trial.features(), tiny_samples(shape, 33)[:]
    together, one = trial.of(shape, 33), trial.of(shape, 1)
    alone = torch.cat([one, *(_applied(features, row) for row in torch.split(x[1:], 1))])
    if together.shape != alone.shape or not torch.allclose(together, alone, _RTOL, _ATOL * _scale(together)):
        raise BrokenContractError(
            expected="a row has the same features, whatever rows lie beside it",
            got="others when rows come one by one; do not normalise by the rows that come together, as batch norm does "
            "in training mode",
            read=f"{PAGE}#the-map",
        )


def _scale(x: Tensor) -> float:
    return max(1.0, float(x.abs().max()))


def _leaves(trial: Trial) -> None:
    x = tiny_samples(trial.home(), _ROWS)[:]
    kept = x.clone()
    _applied(trial.features(), x)
    if not torch.equal(x, kept):
        raise BrokenContractError(
            expected="the rows that are given stay as they were",
            got="they were changed in place; x = x * 2 makes new ones, x *= 2 does not",
            read=f"{PAGE}#the-map",
        )


def _surroundings(trial: Trial) -> None:
    x, read = tiny_samples(trial.home(), _ROWS)[:], f"{PAGE}#the-map"
    with switches_restored() as switched:
        features = loaded(trial.extractor, trial.cache)  # which may draw, as layers do when they are made
        with generators_kept("an extractor at work", read, "features are a fixed map"):
            _applied(features, x)
    if switched:
        raise BrokenContractError(
            expected="an extractor leaves the process as it was", got=f"it changed {', '.join(switched)}", read=read
        )


def _options(trial: Trial) -> str | None:
    extractor, cache, shape = trial.extractor, trial.cache, trial.home()
    own, name = trial.of(shape), extractor.fingerprint(cache)
    declared = parameters_of(type(extractor))
    if not declared:
        raise NotApplicableError("it has no options")
    untried = []
    for parameter in declared.values():
        others = list(_others(extractor, parameter))
        for other in others:
            try:
                found, same = _applied(other.load(cache, _CPU), tiny_samples(shape, _ROWS)[:]), own
                alike = found.shape == same.shape and torch.equal(found, same)
                identity = other.fingerprint(cache)
            except Exception:  # other weights may be missing, or of another network
                continue
            if not alike and identity == name:
                value = getattr(other, parameter.name)
                raise BrokenContractError(
                    expected="extractors with other features have other fingerprints, since scores under one compare",
                    got=f"{parameter.name}={value} gives other features, and '{name}' as well",
                    read=f"{PAGE}#fingerprints",
                )
        if not others:
            untried.append(parameter.name)
    return f"no other value of {', '.join(untried)} is known to be tried" if untried else None


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


def _logits(trial: Trial) -> None:
    shape = trial.home()
    logits: Callable[[Tensor], Any] | None = getattr(trial.features(), "logits", None)
    if logits is None:
        raise NotApplicableError("it tells no classes apart")
    features, read = trial.of(shape), f"{PAGE}#the-map"
    expected = "logits(features), (N, D) -> (N, K), tells K classes apart, two or more"
    with calling("logits(features)", expected=expected, read=read):
        found = _applied(logits, features)
    classes = found.shape[1] if isinstance(found, Tensor) and found.ndim == 2 else 0
    if classes < 2:
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise BrokenContractError(expected=expected, got=got, read=read)
    check_returned(found, call="logits(features)", shape=(_ROWS, classes), read=read)
